/* What the parts of the cold tier share: cold_rocksdb.c (open, close, errors), _options.c, _read.c,
 * _batch.c, _write.c, _import.c and _stats.c. Nobody else includes this. */
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

struct cold {
    /* Set by cold_open, then constant. RocksDB's objects are thread-safe as used here. */
    rocksdb_t *db;
    rocksdb_column_family_handle_t *families[FAMILY_COUNT];
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
    struct err failure;           /* of the latest write-side call; ST_OK after a success */
};

struct cold_snapshot {
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read; /* for point reads at the snapshot */
};

/* Turns RocksDB's error text into a status and fills `err` with "<doing>: <text>"; frees the text.
 */
enum status cold_error_take(char *text, const char *doing, struct err *err);

/* Brackets of every write-side call. begin: ST_INVALID on a read-only store, else CHECKs that no
 * other write-side call runs. end: notes success or failure for cold_failed, returns `st`. */
enum status cold_write_begin(struct cold *cold, struct err *err);
enum status cold_write_end(struct cold *cold, enum status st, const struct err *err);

/* The batch in RocksDB's form, sorted; borrowed until cold_batch_clear. */
rocksdb_writebatch_t *cold_batch_seal(struct cold_batch *batch, struct cold *cold);

static inline const char *cold_chars(struct bytes bytes)
{
    return (const char *)bytes.data;
}

#endif
