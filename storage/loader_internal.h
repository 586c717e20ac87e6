/* Shared by the parts of the loader: loader.c (the index of loads, records, blind overwrites) and
 * loader_pieces.c (chunks of large strings, parts of large collections). */
#ifndef BASALT_STORAGE_LOADER_INTERNAL_H
#define BASALT_STORAGE_LOADER_INTERNAL_H

#include "storage/executor.h"
#include "storage/load_latency.h"
#include "storage/loader.h"

#define BUCKET_COUNT    4096 /* of the index of loads */
#define CHUNKS_PER_LOAD 64
#define BULK_LOADS      32 /* of one request: from then on all that it loads is held in RAM */

struct part_load;
struct resolve_batch;

enum load_state { LOAD_PENDING, LOAD_PRESENT, LOAD_ABSENT, LOAD_FAILED };

struct load {
    struct job job;
    struct loader *loader;
    struct load *next; /* in its bucket */
    uint32_t refs;
    enum load_state state;
    struct load_wait **waiters; /* owned vector */
    uint32_t waiter_count, waiter_capacity;
    int64_t started_us;
    bool bulk;            /* of a request with many: eviction leaves the key's pieces alone */
    bool overtaken;       /* a tombstone of the key has left the table: it is absent */
    uint32_t taken_epoch; /* of the value whose chunks are read, when the load began */

    /* the request */
    uint32_t db_id;
    uint64_t position;
    struct bytes key;        /* behind the struct */
    struct bytes record_key; /* behind the struct; `key` is its end */
    uint32_t families;       /* bit per object type to look in */
    uint32_t chunk_count;    /* 0: the record; else these chunks */
    uint64_t object_id;
    uint32_t chunks[CHUNKS_PER_LOAD];

    /* the result */
    enum status status;
    struct err err;
    enum object_type type;
    struct buf value;
    struct cold_result *chunk_results; /* owned */
    struct part_load *parts;           /* owned; parts of a large collection, not the record */
};

struct loader {
    struct keyspace *ks;
    struct cold *cold;
    struct executor *executor;
    struct executor *resolver;
    struct load *buckets[BUCKET_COUNT];
    size_t load_count;                       /* in the index */
    struct job *queued_first, **queued_last; /* loads not submitted yet */
    size_t queued_count;
    struct resolve_batch *filling; /* not submitted yet */
    struct resolve_batch *failed;  /* what could not be read, to be tried again */
    int64_t retry_at_us;
    size_t resolving;         /* entries in all batches */
    size_t resolve_jobs;      /* under way */
    struct load_wait **ready; /* waits whose callback is due */
    size_t ready_count, ready_capacity;
    uint32_t cache_hit_ratio; /* of inline cache reads, in 1/1024, smoothed */
    uint32_t cache_trial;
    bool never_inline; /* debugging: all loads go through the pool */
    uint64_t latency_counts[LATENCY_BUCKETS];
    uint64_t latency_total;
    uint64_t latency_all_counts[LATENCY_BUCKETS]; /* since the start, where the others fade */
    uint64_t latency_all_us;
    struct loader_stats stats;
};

int64_t loader_now_us(void);
/* A load of the key's record, or of pieces of its value, in the index; it has one reference, the
 * pool's. */
struct load *loader_create_load(struct loader *loader, const struct db *db, uint64_t position,
                                struct bytes key);
/* The loads of a key's bucket, linked by `next`. */
struct load *loader_first_load(const struct loader *loader, uint64_t position);
static inline bool load_is_of(const struct load *load, uint32_t db_id, uint64_t position,
                              struct bytes key)
{
    return load->position == position && load->db_id == db_id && bytes_equal(load->key, key);
}
static inline bool load_is_pieces(const struct load *load)
{
    return load->chunk_count != 0 || load->parts != NULL;
}
/* `wait` waits for a pending load; refers to it in any case. */
void loader_wait_for(struct load_wait *wait, struct load *load);
/* Hands a load to the pool. `run` and `done` are set. */
void loader_start_load(struct loader *loader, struct load *load);
/* A load has come back with `state` set: counts, and tells the waiters. It may be freed. */
void loader_finish_load(struct load *load);
void loader_free_part_load(struct part_load *parts);
void loader_free_chunk_results(struct load *load);
/* Whether to try RocksDB's cache on this thread for one more read, and what came of it. */
bool loader_cache_pays(struct loader *loader);
void loader_note_cached(struct loader *loader, bool hit);

#endif
