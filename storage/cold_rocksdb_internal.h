/* What the parts of the cold tier share: cold_rocksdb.c (open, close, errors), _reopen.c,
 * _options.c, _read.c, _batch.c, _write.c, _import.c and _stats.c. Nobody else includes this.
 *
 * The gate. RocksDB can be closed and opened again while the store is in use (cold_reopen). So all
 * that uses it passes the gate: point reads for their duration, and iterators, snapshots and pinned
 * results for their lives. Passing is two atomic additions to a counter that hardly anybody else
 * uses (some 15 ns together). The flusher's own calls need no gate: it is the one that reopens. */
#ifndef BASALT_STORAGE_COLD_ROCKSDB_INTERNAL_H
#define BASALT_STORAGE_COLD_ROCKSDB_INTERNAL_H

#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>

#include "storage/cold.h"

/* RocksDB's option objects for one store, made from struct cold_options. */
struct cold_setup {
    rocksdb_options_t *db;
    rocksdb_options_t *families[FAMILY_COUNT];
    rocksdb_cache_t *block_cache;
    uint64_t block_cache_bytes;  /* as chosen, defaults resolved */
    uint64_t write_buffer_bytes; /* likewise */
    uint32_t background_jobs;    /* likewise */
};

/* Level 0 files of a family that start a compaction: under load, and while little is written. */
#define COLD_L0_FILES_LOADED 8
#define COLD_L0_FILES_QUIET  2

enum status cold_setup_init(struct cold_setup *setup, const struct cold_options *options,
                            struct err *err);
void cold_setup_deinit(struct cold_setup *setup); /* a zeroed setup is allowed */

#define COLD_GATE_STRIPES    32
#define COLD_GATE_HASH_SHIFT 59 /* leaves as many bits as number the stripes */
#define COLD_CACHE_LINE      64

_Static_assert((uint64_t)1 << (64 - COLD_GATE_HASH_SHIFT) == COLD_GATE_STRIPES,
               "the hash numbers the stripes");

struct cold_gate {
    struct {
        _Atomic int64_t users; /* only the sum over the stripes means something */
        uint8_t pad[COLD_CACHE_LINE - sizeof(int64_t)];
    } stripes[COLD_GATE_STRIPES];
    atomic_bool closed;
    pthread_mutex_t lock; /* guards changes of `closed` */
    pthread_cond_t opened;
};

struct cold {
    /* Changed by cold_reopen alone, behind the closed gate. RocksDB's objects are thread-safe as
     * used here. */
    rocksdb_t *db; /* NULL: it could not be opened again, `failure` says why */
    rocksdb_column_family_handle_t *families[FAMILY_COUNT];
    bool read_fallback; /* it could be opened again for reading only; likewise */
    struct cold_gate gate;

    /* Set by cold_open, then constant. */
    struct cold_options options; /* `dir` is owned */
    rocksdb_readoptions_t *read;
    rocksdb_readoptions_t *read_cached; /* memory only */
    rocksdb_writeoptions_t *write;
    rocksdb_writeoptions_t *write_sync;
    rocksdb_flushoptions_t *flush;
    struct cold_setup setup;
    bool read_only;

    /* The one-writer rule: true while a write-side call runs. */
    atomic_bool writing;
    _Atomic uint64_t writes;
    _Atomic uint64_t write_bytes;

    /* Of cold_tend: the flusher's. */
    int64_t window_start_ms;
    uint64_t window_start_bytes; /* write_bytes then */
    bool merges_early[FAMILY_COUNT];

    pthread_mutex_t failure_lock; /* guards `failure` */
    struct err failure;           /* ST_OK: none; else what made the store failed */
};

struct cold_snapshot {
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read; /* for point reads at the snapshot */
};

/* Turns RocksDB's error text into a status and fills `err` with "<doing>: <text>"; frees the text.
 */
enum status cold_error_take(char *text, const char *doing, struct err *err);

/* Brackets of every write-side call. begin: ST_INVALID on a read-only store, the failure on a
 * failed one, else CHECKs that no other write-side call runs. end: a disk error makes the store
 * failed; returns `st`. cold_write_end_aside: the same for calls whose errors may be of files that
 * are not the store's. */
enum status cold_write_begin(struct cold *cold, struct err *err);
enum status cold_write_end(struct cold *cold, enum status st, const struct err *err);
enum status cold_write_end_aside(struct cold *cold, enum status st);
/* NULL: the store is not failed any more. */
void cold_set_failure(struct cold *cold, const struct err *err);

/* Opens RocksDB as `read_only` or not; on failure cold->db is NULL. */
enum status cold_open_db(struct cold *cold, bool read_only, struct err *err);
void cold_close_db(struct cold *cold);

/* Whether files in the store's directory can be made, written, synced and removed. */
enum status cold_probe_disk(const struct cold *cold, struct err *err);

/* ---- The gate ---- */

void cold_gate_init(struct cold_gate *gate);
void cold_gate_deinit(struct cold_gate *gate);
/* What cold_enter does in the rare cases. */
enum status cold_enter_slow(struct cold *cold, struct err *err);

/* The counter of this thread, which few others share. */
static inline _Atomic int64_t *cold_gate_users(struct cold *cold)
{
    uint64_t hash = ((uint64_t)(uintptr_t)pthread_self() >> 12) * 0x9E3779B97F4A7C15U;
    return &cold->gate.stripes[hash >> COLD_GATE_HASH_SHIFT].users;
}

/* One more user, by somebody who is inside. Sequentially consistent, as is the closing: whoever the
 * closing does not see sees the closing. */
static inline void cold_hold(struct cold *cold)
{
    (void)atomic_fetch_add(cold_gate_users(cold), 1);
}

/* Ends a cold_enter, cold_try_enter or cold_hold of any thread. */
static inline void cold_leave(struct cold *cold)
{
    (void)atomic_fetch_sub_explicit(cold_gate_users(cold), 1, memory_order_release);
}

/* Passes the gate unless it is closed or RocksDB is not there. */
static inline bool cold_try_enter(struct cold *cold)
{
    cold_hold(cold);
    if (__builtin_expect(!atomic_load(&cold->gate.closed) && cold->db != NULL, 1))
        return true;
    cold_leave(cold);
    return false;
}

/* Passes the gate, waiting while it is closed. ST_OK, or why RocksDB is not there. */
static inline enum status cold_enter(struct cold *cold, struct err *err)
{
    return __builtin_expect(cold_try_enter(cold), 1) ? ST_OK : cold_enter_slow(cold, err);
}

/* The batch in RocksDB's form, sorted; borrowed until cold_batch_clear. */
rocksdb_writebatch_t *cold_batch_seal(struct cold_batch *batch, struct cold *cold);

static inline const char *cold_chars(struct bytes bytes)
{
    return (const char *)bytes.data;
}

#endif
