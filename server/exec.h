/* The executor: takes a session's request through the phases
 *
 *   find the row ► arity ► gates (auth, loading, disk trouble, …) ► keys ► make resident (may
 * suspend) ► run the handler ► stage its effect in the journal
 *
 * Replies go to session->reply as they are made; when they may be sent is decided by the journal's
 * fsync policy (exec_gate). Main thread. */
#ifndef BASALT_SERVER_EXEC_H
#define BASALT_SERVER_EXEC_H

#include "codec/bytes.h"
#include "server/session.h"

#include <stdbool.h>
#include <stdint.h>

struct command;
struct exec;
struct keyref;
struct services;
struct watches;

enum exec_result {
    EXEC_DONE,      /* replied; the request's bytes are no longer needed */
    EXEC_SUSPENDED, /* waits for cold keys, or (SESSION_BLOCKED) for a condition of its own: `argv`
                       and what it points to must stay as they are until exec's resumed callback is
                       called for the session; run nothing else for it */
    EXEC_BLOCKED, /* waits for an event (BLPOP and the like); the request's bytes are not needed any
                     more; the callback comes when the reply has been made */
};

/* Called when a suspended or blocked session's request has been completed. */
typedef void exec_resumed_fn(void *arg, struct session *session);

struct exec *exec_create(struct services *services);
void exec_destroy(struct exec *exec);
/* Takes over changed settings (debug-always-cold, notify-keyspace-events). */
void exec_configure(struct exec *exec);
void exec_on_resumed(struct exec *exec, exec_resumed_fn *fn, void *arg);
/* Called when a suspended request turns out to be EXEC_BLOCKED: with the same `arg`. */
void exec_on_blocked(struct exec *exec, exec_resumed_fn *fn);

/* Runs one request. `raw` is the request's own bytes when it came as a canonical RESP array (they
 * are then the journal's record), else empty. argc >= 1. */
enum exec_result exec_run(struct exec *exec, struct session *session, const struct bytes *argv,
                          int argc, struct bytes raw);
/* A command's CMD_* as they hold for this request: those of EVAL and the like depend on the script,
 * those of EXEC on what is queued. */
uint32_t exec_command_flags(const struct exec *exec, const struct session *session,
                            const struct command *command, const struct bytes *argv, int argc);
/* A script runs for too long: until this is called with NULL, requests are answered with `error`,
 * but for those of commands with CMD_ALLOW_BUSY. Hands the journal what was staged before. */
void exec_set_busy(struct exec *exec, const char *error);
/* NULL: it is not. */
const char *exec_busy(const struct exec *exec);
/* Call before exec_run with the bytes that follow the request in the connection's buffer. */
void exec_look_ahead(struct exec *exec, const struct session *session, const uint8_t *next,
                     const uint8_t *end);
/* Forgets a suspended or blocked request; its session is going away. */
void exec_cancel(struct exec *exec, struct session *session);

/* CLIENT UNBLOCK: ends a blocked session's wait (SESSION_BLOCKED), at once or at the tick's end, as
 * if its time were over or with an error. False: it does not wait so. A conns_unblock_fn. */
bool exec_unblock(void *exec, struct session *session, bool with_error);

/* What is watched (watch.h). */
struct watches *exec_watches(struct exec *exec);

/* Time as of the running command. */
int64_t exec_now_ms(struct exec *exec);  /* wall clock */
int64_t exec_mono_ms(struct exec *exec); /* monotonic */
/* Deletes an expired key, or the expired fields of a hash, with the journal record and event
 * (store_options.expired). */
void exec_expired(void *exec, uint32_t db, struct keyref *ref);
/* While the journal is replayed commands that are not CMD_LOADING are refused. */
void exec_set_loading(struct exec *exec, bool loading);
bool exec_loading(const struct exec *exec);

struct exec_stats {
    uint64_t keyspace_hits, keyspace_misses;
    uint64_t expired_keys;
    uint64_t expired_fields;  /* of hashes */
    uint64_t changes;         /* since start; rdb_changes_since_last_save counts from a save */
    uint64_t sync_walks;      /* scans and exact counts that a nested command could not wait for */
    uint64_t suspended_total; /* requests that had to wait for cold keys */
    uint64_t suspended_now;
    uint64_t throttled_total; /* writes delayed because dirty data were over their limit */
    uint64_t throttled_now;
    uint64_t throttled_us;   /* sum of their delays */
    uint64_t io_errors;      /* requests refused because a record could not be read */
    uint64_t sync_evictions; /* of debug-always-cold */
    uint64_t blocking_keys;  /* that blocked clients wait for, at present */
    uint64_t blocking_keys_on_delete;
    uint64_t blocked_with_timeout; /* clients, at present */
};
void exec_read_stats(const struct exec *exec, struct exec_stats *out);
/* CONFIG RESETSTAT */
void exec_reset_stats(struct exec *exec);

/* Sets up a session with its defaults (id, times, protocol 2, database 0); frees what it owns. */
void session_init(struct session *session, struct output *out, uint64_t id, int64_t now_ms);
void session_deinit(struct exec *exec, struct session *session);

/* Begins and ends a loop tick. The end gives the store its share of work and hands the staged
 * journal bytes to their thread; true when there is more to do at once. */
bool exec_tick_end(struct exec *exec);
/* Requests wait for their turn to write: the next tick should come within a millisecond. */
bool exec_waiting(const struct exec *exec);
/* When replies may be sent. While the journal works, all replies of a tick wait until it is durable
 * up to the tick's end, so that nobody reads what could still be lost. While it is failed that may
 * take long: then only sessions whose own writes are not durable, or that were told of such writes,
 * wait, and the others read on. */
struct exec_gate {
    uint64_t offset;  /* that replies made so far wait for; 0: for nothing (appendfsync everysec or
                         no, or nothing unsynced) */
    uint64_t durable; /* what waits for no more than this may be sent; UINT64_MAX: all */
    bool failed;      /* the journal is: ask for session->write_offset and told_offset */
};
/* Ask after exec_tick_end. */
struct exec_gate exec_gate(const struct exec *exec);
/* Those whose replies waited for the journal to be durable up to `durable` have come back with what
 * they want next. Not after any change since exec_tick_end. */
void exec_gathered(struct exec *exec, uint64_t durable);
/* Whether the journal waits for that. */
bool exec_is_gathering(const struct exec *exec);

#endif
