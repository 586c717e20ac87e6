/* A whole dataset as RDB: what stands in RocksDB at a snapshot, all databases, keys and libraries,
 * put in one pass by a thread that has nothing else to do. Memory is bounded whatever the size.
 *
 * Keys that are due and not deleted yet are put with their expiry, as Redis does it. */
#ifndef BASALT_STORAGE_RDB_DATASET_H
#define BASALT_STORAGE_RDB_DATASET_H

#include "codec/rdb_write.h"
#include "codec/status.h"
#include "storage/object.h"

#include <stdatomic.h>

struct cold;
struct cold_snapshot;

/* What the thread at work and others tell each other. */
struct rdb_progress {
    atomic_bool stop;             /* set by others: it ends with ST_AGAIN */
    atomic_int key_delay_us;      /* set by others: see rdb_save_set_key_delay */
    atomic_uint_fast64_t seen;    /* keys gone through so far */
    atomic_uint_fast64_t keys;    /* put so far */
    atomic_uint_fast64_t total;   /* known from the beginning on */
    atomic_uint_fast64_t undated; /* hashes whose fields' deadlines the version cannot tell */
};

/* What a file may go without: bits of rdb_dataset.leave_out. */
#define RDB_LEAVE_OUT_KEYS      ((uint32_t)1 << 0)
#define RDB_LEAVE_OUT_LIBRARIES ((uint32_t)1 << 1)

struct rdb_dataset {
    struct cold *cold;
    const struct cold_snapshot *snapshot;
    uint64_t hash_seed;        /* of the data directory */
    int version;               /* 9 to RDB_VERSION_MAX */
    int64_t now_ms;            /* wall clock */
    const char *redis_version; /* AUX fields: that, and bytes of memory in use */
    uint64_t used_memory;
    uint32_t leave_out;
    struct rdb_progress *progress;
    /* Which keys are wanted; NULL: all, and then the file tells their number at its beginning. */
    bool (*wanted)(void *arg, uint32_t db, enum object_type type, struct bytes key);
    /* Called now and then; false: stop. May be NULL. */
    bool (*look)(void *arg);
    void *arg; /* of both */
};

/* Puts all but the file's end (rdb_writer_finish). A writer that has failed ends it early, with
 * ST_OK. ST_AGAIN: it was stopped. ST_CORRUPT, ST_IO: what is on disk cannot be read. */
MUST_USE enum status rdb_dataset_put(const struct rdb_dataset *dataset, struct rdb_writer *writer,
                                     struct err *err);

#endif
