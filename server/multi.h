/* Transactions: what a session has queued since MULTI, and what it watches.
 *
 *            MULTI                    EXEC, DISCARD, RESET
 *   (none) ─────────► queueing ────────────────────────────► (none)
 *                        │ a request is refused: SESSION_DIRTY_EXEC
 *                        │ a watched key changes: SESSION_DIRTY_CAS
 *                        └ nothing is kept any more, EXEC will not run it
 *
 * Watching goes on from WATCH, before or without MULTI, to the end of a transaction or UNWATCH.
 * What is queued is a copy that the transaction owns, and counts as memory of its connection, which
 * is closed when that and its unread requests exceed client-query-buffer-limit. Main thread. */
#ifndef BASALT_SERVER_MULTI_H
#define BASALT_SERVER_MULTI_H

#include "server/command.h"
#include "server/exec_nested.h"
#include "server/session.h"
#include "server/watch.h"

struct transaction {
    struct nested_request *requests; /* owned vector, with the arguments */
    size_t count, capacity;
    uint32_t flags_any; /* CMD_* that one of them has */
    uint32_t flags_all; /* that all of them have */
    uint32_t db;        /* selected behind the last one */
    size_t bytes;       /* of memory */
    struct watch_list watched;
};

void multi_begin(struct session *session);
/* Queues a copy of a request whose flags are these, unless the transaction is spoiled already.
 * False: no memory for it. */
MUST_USE bool multi_queue(struct session *session, uint32_t db_count,
                          const struct nested_request *request, uint32_t flags);
/* Ends a transaction, if there is one, and all watches. */
void multi_end(struct watches *watches, struct session *session);
/* Marks a transaction as not to be run: EXEC answers EXECABORT. */
static inline void multi_spoil(struct session *session)
{
    if ((session->flags & SESSION_MULTI) != 0)
        session->flags |= SESSION_DIRTY_EXEC;
}
/* How many requests are queued; -1 outside of a transaction. */
int64_t multi_count(const struct session *session);
/* Their memory. */
size_t multi_bytes(const struct session *session);

/* Watches a key (watch_add) unless a watched one has changed already. */
void multi_watch(struct watches *watches, struct session *session, const struct watch_key *key,
                 bool live, int64_t expire_at_ms);
/* Ends all watches; whether one of the keys has changed is kept. */
void multi_unwatch(struct watches *watches, struct session *session);
/* A watched key of this session has changed. */
void multi_dirty(struct watches *watches, struct session *session);

/* What a request may do: its row's flags, and for EXEC those of all that is queued. */
static inline uint32_t multi_flags(const struct session *session, const struct command *command)
{
    uint32_t flags = command->flags;
    if (__builtin_expect((session->flags & SESSION_MULTI) != 0, 0) && (flags & CMD_EXEC) != 0)
        flags |= session->transaction->flags_any;
    return flags;
}
/* The flags that it has throughout. */
static inline uint32_t multi_flags_throughout(const struct session *session,
                                              const struct command *command)
{
    uint32_t flags = command->flags;
    if (__builtin_expect((session->flags & SESSION_MULTI) != 0, 0) && (flags & CMD_EXEC) != 0)
        flags &= session->transaction->flags_all;
    return flags;
}

#endif
