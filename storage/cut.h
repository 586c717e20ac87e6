/* Cuts: write-behind from the hot tier to RocksDB, so that RocksDB always equals the dataset at one
 * journal offset.
 *
 *   IDLE ─start─► ENCODING ─all encoded─► RESOLVING ─none unresolved─► WRITING ─applied─► FINISHING
 * ─► IDLE
 *
 *   start      X = the journal's end. The dirty lists are taken; new ones begin.
 *   ENCODING   objects of the lists are encoded in slices between loop ticks; an object that is
 *              about to change before its turn is encoded first (cut_encode_now): its image at X
 *   RESOLVING  waits for the loaders to say what blind overwrites had replaced
 *   WRITING    the flusher waits until the journal is durable up to X, and applies one batch with
 * all families, the databases' table, the counters, and X itself FINISHING  tombstones whose
 * deletion has been applied leave the table, in slices
 *
 * A batch that fails is tried again until it succeeds: nothing is lost meanwhile, the journal keeps
 * everything since the last cut, and writers are slowed when the dirty data reach their limit.
 *
 * Main thread, but for the flusher's job. */
#ifndef BASALT_STORAGE_CUT_H
#define BASALT_STORAGE_CUT_H

#include "codec/log_fn.h"
#include "storage/cut_snapshots.h"
#include "storage/keyspace.h"

struct cold;
struct completions;
struct cut;
struct executor;
struct journal;

struct cut_options {
    struct keyspace *ks;
    struct cold *cold;
    struct journal *journal;
    struct executor *flusher;        /* one thread; its completions must be `completions` */
    struct completions *completions; /* of flusher and resolver: cut_run waits on them */
    uint64_t offset;                 /* of the last cut in RocksDB */
    int64_t interval_ms;             /* flush-interval */
    size_t dirty_bytes_max;          /* dirty-limit */
    uint64_t journal_bytes_max;      /* journal-max-since-cut */
    bool unordered; /* debugging: do not wait for the journal's sync (process kills are still safe)
                     */
    log_fn *log;
    void *log_arg;
};

struct cut *cut_create(const struct cut_options *options);
/* Gives a running cut up; the flusher must not be at it (cut_writing). */
void cut_destroy(struct cut *cut);
void cut_configure(struct cut *cut, int64_t interval_ms, size_t dirty_bytes_max,
                   uint64_t journal_bytes_max, bool unordered);

/* Once per tick: starts a cut when one is due and goes on with a running one for at most
 * `budget_us`. Returns true when there is more to do at once. The clock is monotonic. */
bool cut_tick(struct cut *cut, int64_t mono_ms, int64_t budget_us);
/* Asks for a cut as soon as possible (memory pressure). */
void cut_request(struct cut *cut);
/* Finishes a running cut, makes another one up to the journal's end if there is anything in it, and
 * waits for it. Never inside ks_change_begin .. end. With `flush` RocksDB's memtables are written
 * out too. After a failure the cut goes on being tried, by cut_tick. */
MUST_USE enum status cut_run(struct cut *cut, bool flush, struct err *err);
/* Asks for a cut that begins after this call, as soon as possible, and for RocksDB as that cut
 * makes it. The request must not be waiting, and stay where it is until it has been called. */
void cut_want_snapshot(struct cut *cut, struct cut_snapshot_request *request);
bool cut_running(const struct cut *cut);
/* The flusher has a job of the cut's. */
bool cut_writing(const struct cut *cut);
/* RAM that the running cut takes: its batch, its references, its lists. */
size_t cut_bytes(const struct cut *cut);

/* ---- For the keyspace. */

/* Encodes an object of the running cut that is about to change. */
void cut_encode_now(struct cut *cut, struct db *db, struct object *o);
/* A leaving tombstone stays: its key was written again. */
void cut_keep_tombstone(struct cut *cut, struct db *db, struct object *o);
/* A blind overwrite that the running cut has encoded was resolved: the disk holds `type`. */
void cut_resolved(struct cut *cut, struct db *db, const struct object *o, enum object_type type,
                  bool has_expire);
/* The running cut replaces the record of a large object: its elements go with it. */
void cut_retire_object(struct cut *cut, enum object_type type, uint64_t object_id);

/* ---- For the expiry index: entries to be written or removed with the next cut. */
void cut_index_put(struct cut *cut, struct bytes expires_key);
void cut_index_delete(struct cut *cut, struct bytes expires_key);

/* ---- For records of the meta family that a command changes (meta.h): part of the next cut. A
 * later call for the same key wins. */
void cut_meta_put(struct cut *cut, struct bytes key, struct bytes value);
void cut_meta_delete(struct cut *cut, struct bytes key);

/* How hard writers must be slowed: 0 (not at all) to 1000 (dirty data at twice their limit). */
uint32_t cut_pressure(const struct cut *cut);

struct cut_stats {
    uint64_t offset; /* journal offset that RocksDB equals */
    uint64_t count;  /* cuts applied */
    uint64_t failures;
    uint64_t objects;                           /* encoded in all */
    uint64_t bytes;                             /* of all batches */
    uint64_t duration_us_last, duration_us_max; /* from start to applied */
    uint64_t write_us_last;                     /* of it, in RocksDB */
    size_t batch_bytes;                         /* of the running cut */
    size_t dirty_bytes_max;
    bool running;
    int64_t last_applied_ms; /* wall clock; 0: none yet */
    bool failed;             /* the last try to apply one failed, see error */
    struct err error;
};
void cut_read_stats(const struct cut *cut, struct cut_stats *out);

#endif
