/* Shared by functions.c and functions_dump.c. */
#ifndef BASALT_SERVER_FUNCTIONS_INTERNAL_H
#define BASALT_SERVER_FUNCTIONS_INTERNAL_H

#include "server/functions.h"

struct functions {
    struct script_lua *lua;
    uint64_t seed;
    functions_changed_fn *changed; /* may be NULL */
    void *changed_arg;
    struct name_map libraries;
    struct name_map functions;
    struct library *first, *last;
    size_t bytes;
};

/* Libraries that are loaded and not yet part of the others. */
struct functions *functions_create_aside(const struct functions *functions);
/* Moves all libraries of `from` to `functions`, in the place of those of the same name if
 * `replace`, and of all others if `flush`. False: nothing has changed, and why is appended to
 * `error`. */
bool functions_join(struct functions *functions, struct functions *from, bool replace, bool flush,
                    struct buf *error);

#endif
