/* One command on its way through the executor, as its handler sees it.
 *
 * A handler runs when every key it declared is in RAM (or known to be absent), runs to the end
 * without waiting, and is atomic. It reads as: parse options, find, check the type, act, reply.
 *
 * What goes to the journal is the command's effect. By default that is the request itself, once the
 * handler has changed something (call_changed); a handler whose request is not deterministic
 * (relative times, random members, floats) says another one with call_effect. */
#ifndef BASALT_SERVER_CALL_H
#define BASALT_SERVER_CALL_H

#include "server/command.h"
#include "server/reply.h"
#include "server/session.h"
#include "storage/keyspace.h"
#include "storage/scan.h"

#include <stdatomic.h>

struct exec;
struct pending;
struct services;

#define CALL_KEYS_INLINE 4

struct call {
    struct session *session;
    const struct command *command;
    const struct bytes *argv; /* borrowed until the handler returns */
    int argc;
    struct reply *reply;
    struct keyspace *ks;
    struct db *db;             /* the session's selected database */
    struct services *services; /* the server's parts, for administrative handlers (services.h) */
    struct exec *exec;
    struct call *outer; /* the call inside which this one runs (exec_nested.h); NULL: none */
    int64_t now_ms;     /* wall clock, one value for the whole command (and transaction) */

    /* The declared keys, in order, looked up: see keyspace.h. */
    struct keyref *keys;
    int key_count;
    struct keyref keys_inline[CALL_KEYS_INLINE];

    struct bytes raw; /* the request's own RESP bytes if it came as a canonical array, else empty */
    uint64_t
        changes; /* how much the handler changed; what INFO calls rdb_changes_since_last_save */
    bool effect_custom;       /* call_effect was used: the request itself is not journaled */
    bool effect_none;         /* call_no_effect */
    bool error_counted;       /* the error that was replied came from a nested command */
    bool waiting;             /* call_scan and the like: the handler will be called anew */
    bool blocks;              /* waiting, by call_block */
    uint8_t wanted;           /* call_want: the worst that it met */
    struct pending *pending;  /* what it waits for; NULL at first */
    uint64_t random_position; /* call_random_position */
    bool has_random_position;
};

/* ---- Finding keys. `index` counts the command's declared keys from 0. Expired keys are deleted
 * (with their journal record and event) or, on a replica, hidden; LRU and hit counters are kept. */

/* For reading; NULL when absent. */
struct object *call_find_read(struct call *c, int index);
/* For changing; NULL when absent. */
struct object *call_find_write(struct call *c, int index);
/* The same with the replies that most commands want: when the key holds another type, replies
 * WRONGTYPE and sets `*wrong_type`; NULL then and when absent. */
struct object *call_find_read_type(struct call *c, int index, enum object_type type,
                                   bool *wrong_type);
struct object *call_find_write_type(struct call *c, int index, enum object_type type,
                                    bool *wrong_type);
/* A key that was not declared (scripts, SORT patterns); may read the disk synchronously. */
struct object *call_find_undeclared(struct call *c, struct bytes key, bool for_write);
/* Whether an object is there as clients see it: not expired, if not deleted yet. */
static inline bool call_is_live(const struct call *c, const struct object *o)
{
    return o != NULL && object_is_live(o) && (!object_has_expire(o) || o->expire_at_ms > c->now_ms);
}
/* Deletes a key whose time is over if it is in RAM; on disk only, it is left to the active cycle.
 */
void call_expire_resident(struct call *c, struct db *db, struct bytes key);
/* Fills `ref` for a key and its current object without any side effect. */
void call_keyref(struct call *c, struct bytes key, struct keyref *ref);

/* ---- Waiting, at the beginning of a handler: when these do not give what was asked for, the
 * handler returns at once without a reply, and is called anew when it can be had. Before them it
 * must not have changed anything. Nested commands (exec_nested.h) get what they ask for at once. */

/* The keys from a position on (storage/scan.h); NULL: not yet, or failed and an error was replied.
 * `step` (0 or 1) tells two scans of one request apart. Valid until the handler returns. */
const struct scan_result *call_scan(struct call *c, int step, struct db *db, uint64_t cursor,
                                    size_t count);
/* Forgets what the scan of `step` found: the next call_scan of that step begins a new one. */
void call_scan_again(struct call *c, int step);
/* What a handler that walks over a whole database in many scans keeps between being called; zeroed
 * at first, freed with the request. */
struct call_walk {
    struct buf found;
    uint64_t count;
    uint64_t cursor; /* where the next scan begins */
    bool wrapped;
};
struct call_walk *call_walk(struct call *c);
/* Until db_size() of the database is exact (no blind overwrite is unresolved), or an error was
 * replied. */
bool call_wait_exact(struct call *c, struct db *db);
/* Until is known which watched keys change when two databases are exchanged. */
bool call_wait_swap(struct call *c, uint32_t a, uint32_t b);
/* Until the journal is durable up to `offset` (UINT64_MAX: never), or `timeout_ms` are over (0:
 * none), counted from the first call. Sessions that cannot wait do not. Unlike the others here it
 * may come at any place before the reply. */
bool call_wait_journal(struct call *c, uint64_t offset, int64_t timeout_ms);
/* Until the next tick: for what can only be looked at again and again. `call_ticket` is a number of
 * the handler's own, which is 0 at first and stays until the reply. Not in nested commands. */
void call_wait_tick(struct call *c);
uint64_t *call_ticket(struct call *c);
/* Until a thread has set `over` and woken the loop. What it stands in must live as long as the
 * request waits: call_keep. Not in nested commands. */
void call_wait_over(struct call *c, const atomic_bool *over);
/* What a handler keeps between being called; NULL at first. */
void *call_kept(const struct call *c);
/* Begins to keep something. `drop` is called for it when the request has ended, in any way. */
typedef void call_drop_fn(void *kept);
void call_keep(struct call *c, void *kept, call_drop_fn *drop);
/* A random position that stays the same when the handler is called anew. */
uint64_t call_random_position(struct call *c);

/* Whether a command may block its client until something happens. Inside a transaction or a script,
 * and on behalf of the journal or a master, it must answer at once instead, as if its time were
 * over. */
static inline bool call_may_block(const struct call *c)
{
    const uint32_t never = SESSION_MULTI | SESSION_SCRIPT | SESSION_REPLAY | SESSION_MASTER;
    return c->outer == NULL && (c->session->flags & never) == 0;
}
/* A handler that found nothing in its keys, and may block (call_may_block), waits until one of them
 * has something. Like the waits above: it returns without a reply, has changed nothing, and is
 * called anew, maybe several times, as a command of its own: behind the command, transaction or
 * script that made a key what it waits for, in the order in which clients blocked. The keys may be
 * cold then as they may be at first; handlers need not know. When it still finds nothing it calls
 * this again, and keeps its place and its deadline. When its time is over, or CLIENT UNBLOCK ends
 * the wait, the client is answered without the handler: a null array, or -UNBLOCKED.
 *
 * Whatever makes a key ready need not know of it: call_key_modified and call_db_emptied do. */
struct call_block {
    enum object_type type; /* what one of the keys has to hold: a list, sorted set or stream */
    bool on_delete;        /* call the handler too when a key goes or gets another type: for those
                              that answer an error then (XREADGROUP) */
    int first_key;         /* of the declared keys, those that it waits for */
    int key_count;
    int64_t timeout_ms; /* 0: for ever */
    /* The request with which the handler is to be called anew, where that is another one (XREAD
     * with `$` has to keep the id that it stood for); copied. NULL: the same one. Its declared keys
     * must be the same. */
    const struct bytes *argv;
    int argc;
};
void call_block(struct call *c, const struct call_block *how);
/* The timeout argument of commands that block: seconds, with fractions, to the millisecond. */
bool call_arg_timeout(struct call *c, int arg, int64_t *timeout_ms_out);
/* The same in whole milliseconds (XREAD BLOCK). */
bool call_arg_timeout_ms(struct call *c, int arg, int64_t *timeout_ms_out);

/* Inside a transaction or a script: the dataset must not be cut or snapshot now, since the journal
 * does not have what the others of the group have done. */
static inline bool call_is_nested(const struct call *c)
{
    return c->outer != NULL;
}

/* ---- Telling what was done. */

/* The handler changed `count` things: the effect goes to the journal, INFO counts them. */
static inline void call_changed(struct call *c, uint64_t count)
{
    c->changes += count;
}
/* A key was modified: wakes WATCHers, client-side caches and blocked clients. Call once per changed
 * key. */
void call_key_modified(struct call *c, const struct keyref *key);
/* A keyspace event. `class` is one of notify.h's NOTIFY_*; `event` static, e.g. "set". */
void call_notify(struct call *c, int event_class, const char *event, struct bytes key);
/* The same in another database than the session's. */
void call_notify_db(struct call *c, int event_class, const char *event, struct bytes key,
                    uint32_t db);
/* All keys of a database are removed (FLUSHDB), or those of two databases exchanged: wakes WATCHers
 * and blocked clients of their keys. Call before the change is made, and before an exchange
 * call_wait_swap. */
void call_db_emptied(struct call *c, uint32_t db);
void call_dbs_swapped(struct call *c, uint32_t a, uint32_t b);
/* FLUSHDB or FLUSHALL: empties all client-side caches, which know no databases. Call once. */
void call_flushed(struct call *c);

/* ---- Fields of hashes that have a deadline of their own. */

/* Whether a field with this deadline is to be seen as gone. */
bool call_field_is_due(const struct call *c, int64_t expire_at_ms);
/* Deletes the fields of the hash of key `index` that are due and whose names were met: as
 * hash_collect_due tells them. Their journal record and event go before the command's own. True if
 * the key is gone, too. While clients are paused nothing is deleted. */
bool call_expire_fields(struct call *c, int index, const struct buf *names);

/* The same for all due fields that are in RAM. */
bool call_expire_hash(struct call *c, int index);

/* ---- Effects. Several calls make a MULTI/EXEC group. */
void call_effect(struct call *c, int argc, const struct bytes *argv);
/* The same for text and number arguments: format letters s (const char *), b (const struct bytes
 * *), i (int64_t). E.g. call_effect_format(c, "sbsi", "SET", &key, "PXAT", at). */
void call_effect_format(struct call *c, const char *format, ...);
/* With what the journal is told of a key that goes without having been asked to. `lazy` is the
 * setting that Redis looks at for it: whether its replicas free the key in the background. */
static inline const char *call_deletion_name(bool lazy)
{
    return lazy ? "UNLINK" : "DEL";
}
/* In another database than the session's. */
void call_effect_db(struct call *c, uint32_t db, int argc, const struct bytes *argv);
/* The request itself is not to be journaled, whatever it changed (debugging aids). Not together
 * with call_effect. */
void call_no_effect(struct call *c);

/* ---- Arguments, with the replies that Redis gives. False: an error was replied. */
bool call_arg_i64(struct call *c, int arg, int64_t *out);
/* Within min..max, else replies `error` (NULL: "ERR value is out of range …" as Redis words it). */
bool call_arg_range(struct call *c, int arg, int64_t min, int64_t max, int64_t *out,
                    const char *error);
bool call_arg_f64(struct call *c, int arg, double *out);
static inline bool call_arg_is(const struct call *c, int arg, const char *word)
{
    return bytes_equal_nocase(c->argv[arg], word);
}
/* Database number argument: "ERR invalid DB index" / "ERR DB index is out of range". */
bool call_arg_db(struct call *c, int arg, uint32_t *out, const char *not_integer_error);

#endif
