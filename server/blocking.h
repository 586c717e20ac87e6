/* Who waits for which key (BLPOP, BZPOPMIN, XREAD BLOCK and the like).
 *
 * Waiting hangs on names, database number and key, not on objects: whether the key is in RAM, on
 * disk or nowhere does not matter. Whatever may have made a key what somebody waits for *signals*
 * it; when the command, transaction or script that did so is complete, blocking_serve tries the
 * requests that wait for it again, in the order in which they blocked. Each is a command of its
 * own then, and ends or goes on waiting.
 *
 *   key:     IDLE ─signal─► READY ─serve─► SERVING ─► IDLE
 *                             ▲               └ its next request has to wait for the disk ─►
 * STALLED └──────────────── that request has been tried ─────────────────────┘
 *
 * A key whose next request is waiting for the disk waits with it: nobody overtakes. A signal costs
 * O(1), serving a key O(requests tried), and only requests that wait for the type which the key
 * holds are tried.
 *
 * Handlers do not call this module: they call call_block (call.h). Main thread. */
#ifndef BASALT_SERVER_BLOCKING_H
#define BASALT_SERVER_BLOCKING_H

#include "codec/bytes.h"
#include "storage/object.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blocking;
struct blocked; /* a request that waits */

enum blocked_result {
    BLOCKED_ENDED,   /* it has been replied to, and blocking_remove was called for it */
    BLOCKED_STILL,   /* there was nothing for it: it goes on waiting in its place */
    BLOCKED_LOADING, /* it needs something from the disk; blocking_tried or _remove will follow */
};

/* blocking_type_fn: what the key holds cannot be told without the disk. */
#define BLOCKING_TYPE_UNKNOWN OBJECT_TYPE_COUNT

/* Tries a request again; `owner` is the one blocking_add was given. */
typedef enum blocked_result blocking_serve_fn(void *arg, void *owner);
/* The type of what a key holds; OBJECT_NONE: nothing. */
typedef enum object_type blocking_type_fn(void *arg, uint32_t db, struct bytes key);

struct blocking_options {
    uint64_t hash_seed;
    blocking_serve_fn *serve;
    blocking_type_fn *type_of;
    void *arg;
};

struct blocking *blocking_create(const struct blocking_options *options);
/* Nothing may wait any more. Accepts NULL. */
void blocking_destroy(struct blocking *blocking);

struct blocked_options {
    void *owner;           /* borrowed until blocking_remove */
    uint32_t db;           /* number */
    enum object_type type; /* what one of the keys has to hold */
    bool on_delete;        /* tried too when a key goes, or is of another type from now on */
    int64_t deadline_ms;   /* INT64_MAX: none */
};
/* `keys` are borrowed for the call; one that occurs twice counts once. */
struct blocked *blocking_add(struct blocking *blocking, const struct blocked_options *options,
                             const struct bytes *keys, int key_count);
/* It has ended or is given up. Frees it; keys that were stalled on its behalf are ready again. */
void blocking_remove(struct blocking *blocking, struct blocked *blocked);
/* A request that was BLOCKED_LOADING has been tried, and goes on waiting. */
void blocking_tried(struct blocking *blocking, struct blocked *blocked);
/* For a request that is being tried, once its keys are in RAM: whether the key that woke it holds
 * what it waits for. */
bool blocking_is_for(struct blocking *blocking, const struct blocked *blocked);

/* A key was created, changed or deleted. */
void blocking_signal(struct blocking *blocking, uint32_t db, struct bytes key);
/* All keys of a database were. */
void blocking_signal_db(struct blocking *blocking, uint32_t db);
/* Tries the requests that wait for signalled keys, until none is ready. Does nothing when it is
 * called from within. */
void blocking_serve(struct blocking *blocking);

/* INT64_MAX: nothing has a deadline. */
int64_t blocking_next_deadline_ms(const struct blocking *blocking);
/* The owner of a request whose time is over by then; NULL: none. */
void *blocking_find_due(const struct blocking *blocking, int64_t now_ms);

/* What INFO tells. The first two members are read by the inline functions below. */
struct blocking_stats {
    size_t keys;           /* that somebody waits for */
    size_t ready;          /* of them, signalled and not served yet */
    size_t on_delete_keys; /* of them, with one that waits for the key to go too */
    size_t timeouts;       /* requests with a deadline */
};
const struct blocking_stats *blocking_stats(const struct blocking *blocking);

/* Nobody waits: nothing need be signalled. The struct's first member is its stats. */
static inline bool blocking_is_idle(const struct blocking *blocking)
{
    return ((const struct blocking_stats *)(const void *)blocking)->keys == 0;
}
static inline bool blocking_is_ready(const struct blocking *blocking)
{
    return ((const struct blocking_stats *)(const void *)blocking)->ready != 0;
}

#endif
