/* Libraries of functions: what FUNCTION LOAD has made. A library is its source, which runs once and
 * registers functions in the interpreter (script_lua.h); nothing else of it is kept on disk, in the
 * journal and in dumps. Main thread. Source: functions of Redis 7.2. */
#ifndef BASALT_SERVER_FUNCTIONS_H
#define BASALT_SERVER_FUNCTIONS_H

#include "codec/buf.h"
#include "codec/bytes.h"
#include "server/name_map.h"

#include <stdbool.h>

struct functions;
struct script_lua;

struct function {
    struct name_entry entry; /* by name in lower case: functions are found in any case */
    struct library *library;
    char *name;             /* owned */
    struct buf description; /* data NULL: none */
    uint32_t flags;         /* SCRIPT_FLAG_* */
    int reference;          /* script_lua.h */
    struct function *next;  /* of its library, in the order in which they were registered */
};

struct library {
    struct name_entry entry; /* by name */
    char *name;              /* owned */
    struct buf code;         /* with its first line */
    struct function *first;
    size_t function_count;
    struct library *next, *prev; /* in the order in which they were loaded */
};

/* Called when a library has come, or is about to go. */
typedef void functions_changed_fn(void *arg, const struct library *library, bool comes);

/* `lua` is borrowed, and opened for functions; `seed` is for hashes of names. */
struct functions *functions_create(struct script_lua *lua, uint64_t seed);
/* From now on `fn` is told. */
void functions_on_changed(struct functions *functions, functions_changed_fn *fn, void *arg);
/* Tells nobody. Accepts NULL. */
void functions_destroy(struct functions *functions);

/* Loads a library; with `replace` in the place of one of the same name. NULL: nothing has changed,
 * and why is appended to `error`. */
const struct library *functions_load(struct functions *functions, struct bytes code, bool replace,
                                     struct buf *error);
/* False: there is none of that name. */
bool functions_delete(struct functions *functions, struct bytes name);
void functions_clear(struct functions *functions);

/* NULL: there is none. Borrowed until a library changes. */
const struct function *functions_find(const struct functions *functions, struct bytes name);
/* The first library, and then the `next` ones. */
const struct library *functions_first(const struct functions *functions);
size_t functions_library_count(const struct functions *functions);
size_t functions_count(const struct functions *functions);
/* Memory, but for what is in the interpreter. */
size_t functions_bytes(const struct functions *functions);

/* Libraries that are loaded and not part of the others yet. */
struct functions *functions_create_aside(const struct functions *functions);
/* Moves all libraries of `from` to `functions`, in the place of those of the same name if
 * `replace`, and of all others if `flush`. False: nothing has changed, and why is appended to
 * `error`. */
bool functions_join(struct functions *functions, struct functions *from, bool replace, bool flush,
                    struct buf *error);

/* FUNCTION DUMP and RESTORE. The payload is Redis's: for each library the opcode and its source as
 * in an RDB file, then the version and a CRC64. */
void functions_dump(const struct functions *functions, bool compress, struct buf *out);
enum functions_policy { FUNCTIONS_APPEND, FUNCTIONS_REPLACE, FUNCTIONS_FLUSH };
/* False: nothing has changed, and why is appended to `error`. */
bool functions_restore(struct functions *functions, struct bytes payload,
                       enum functions_policy policy, struct buf *error);

#endif
