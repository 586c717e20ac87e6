/* The replicas of this server: Redis servers and others that follow its dataset, and tools that
 * want an RDB file (redis-cli --rdb).
 *
 * A full synchronisation is an RDB file of one moment (rdb_save.h) and the journal from that moment
 * on; a partial one is the journal from where the replica has stopped, as long as that is still
 * held. What is sent is read by a thread (storage/feed.h), a piece at a time, when the socket has
 * taken the one before: a slow replica costs no memory, and the journal waits for it on disk.
 *
 *     HOLDING ─the journal is kept─► WAITING ─the RDB file is there─► SENDING ──► ONLINE
 *        └───────────────── partial: the journal goes back far enough ────────────►
 *
 * Main thread. Source: replication.c of Redis 7.2. */
#ifndef BASALT_SERVER_REPLICAS_H
#define BASALT_SERVER_REPLICAS_H

#include "codec/buf.h"
#include "codec/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct replicas;
struct services;
struct session;

struct replicas *replicas_create(const struct services *services);
/* All sessions must have been removed. Accepts NULL. */
void replicas_destroy(struct replicas *replicas);

/* The session, which replies nothing to this, becomes a replica. SYNC: always in full. */
void replicas_sync(struct replicas *replicas, struct session *session);
/* PSYNC: `id` and `offset` (of the first byte wanted, from 1 on) are what it has followed. */
void replicas_psync(struct replicas *replicas, struct session *session, struct bytes id,
                    int64_t offset);
/* What REPLCONF tells of one that is to be a replica; call before it is one, too. */
struct replica_facts {
    char address[64];   /* empty: that of its connection */
    int port;           /* that it listens on; 0: not told */
    bool rdb_only;      /* it wants the file and nothing else */
    uint32_t leave_out; /* of the file: as in rdb_dataset.h */
};
struct replica_facts *replicas_facts(struct replicas *replicas, struct session *session);
/* REPLCONF ACK: it has applied the stream up to `offset`, and synced it up to `synced`. */
void replicas_acknowledge(struct session *session, uint64_t offset, uint64_t synced);
/* Accepts any session. */
void replicas_remove(struct replicas *replicas, struct session *session);

/* At the end of each tick, and several times a second. */
void replicas_tick(struct replicas *replicas);
void replicas_cron(struct replicas *replicas);

/* Replicas follow: what is told to them alone (PUBLISH) is worth being put into the journal. */
bool replicas_any(const struct replicas *replicas);
/* Asks them in the stream how far they are. */
void replicas_ask(struct replicas *replicas);
/* How many have applied (or `synced`) the stream up to `offset`. */
size_t replicas_count(const struct replicas *replicas, uint64_t offset, bool synced);
/* How many have been heard of within min-replicas-max-lag. */
size_t replicas_count_good(const struct replicas *replicas);

/* There are fewer of those than min-replicas-to-write asks for: nobody may write. */
bool replicas_lacking(const struct replicas *replicas);

/* What is said of one online replica. */
struct replica_state {
    char address[64];
    int port;
    const char *state; /* as INFO has it: wait_bgsave, send_bulk, online */
    uint64_t acknowledged;
    int64_t lag_s;
};
typedef void replica_fn(void *arg, const struct replica_state *state);
void replicas_visit(const struct replicas *replicas, replica_fn *visit, void *arg);

#endif
