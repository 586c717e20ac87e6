/* What a request needs of a large collection, brought into RAM before it runs.
 *
 * A command's row names a function (command.h, command_ensure_fn) that asks for the parts that the
 * request will touch, through the collection's type. It is called when the collection's header is
 * in RAM, and again after each wait, until it answers ENSURED; in between other clients' commands
 * run, so it looks anew at what is missing each time. Then the handler runs: a part that is not in
 * RAM then does not exist.
 *
 * A type's ensure function looks what is missing in its own index, and asks for that only. Main
 * thread. */
#ifndef BASALT_STORAGE_ENSURE_H
#define BASALT_STORAGE_ENSURE_H

#include "codec/bytes.h"
#include "codec/status.h"

#include <stddef.h>
#include <stdint.h>

struct db;
struct load_wait;
struct loader;
struct object;

enum ensured {
    ENSURED,          /* all there, or known to be absent */
    ENSURE_WAIT,      /* `wait` has loads; call again when they are back */
    ENSURE_FAILED,    /* the disk cannot be read: `err` */
    ENSURE_TOO_LARGE, /* all of it is needed, and that is more than whole_bytes_max */
};

struct ensure {
    struct loader *loader;
    /* The wait of the request; called only when there is something to wait for. NULL: read at once,
     * blocking (scripts, replay), and never answer ENSURE_WAIT. */
    struct load_wait *(*wait)(void *arg);
    void *wait_arg;
    struct db *db;
    struct object *o;       /* large */
    size_t whole_bytes_max; /* that may still be brought into RAM at once: see ensure_takes */
    uint64_t random;        /* the same each time that one request asks */
    struct err err;
};

/* The request needs so many bytes of values together, and not all of them are in RAM. False: that
 * is more than may be brought in, with what it needed before; answer ENSURE_TOO_LARGE. */
static inline bool ensure_takes(struct ensure *e, uint64_t bytes)
{
    if (bytes > e->whole_bytes_max)
        return false;
    e->whole_bytes_max -= (size_t)bytes;
    return true;
}

/* Elements that are not in RAM; `elements[i]` is what stands behind the object id in the element
 * key. Filters and RocksDB's cache are asked at once. After ENSURED an element that is still not in
 * RAM does not exist. */
enum ensured ensure_parts(struct ensure *e, const struct bytes *elements, size_t count);
/* The first `count_max` elements of from <= element < to (to empty: up to the end), or fewer if
 * they are long. value_type.installed_range tells the type how far that reached; with ENSURED it
 * has been called already. */
enum ensured ensure_range(struct ensure *e, struct bytes from, struct bytes to, size_t count_max);

/* All of a large value (a string too) at once, blocking on the disk, whatever its size: for values
 * that come up while a command runs. */
MUST_USE enum status ensure_all_now(struct loader *loader, struct db *db, struct object *o,
                                    struct err *err);

#endif
