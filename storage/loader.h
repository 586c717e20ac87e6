/* Cold loads: records and pieces of large objects that requests wait for, read by a pool of threads
 * and put into the keyspace on the main thread.
 *
 * A request that misses keys takes a *wait*: a counter of what is still on its way, and references
 * on each load. Equal loads are joined. A load stays known, and its key is kept from being demoted,
 * until the last request that refers to it has run; so what a request has waited for is still there
 * when it runs, and "the key is absent" is an answer that lasts as long.
 *
 * A load that comes back after its key was written is thrown away: RAM wins over disk. Since a key
 * with a load under way is not demoted, and a tombstone that leaves the table takes its key's loads
 * with it (loader_forget), a load can never meet a disk that is newer than it read and a table that
 * has forgotten. A load of chunks is thrown away if a cut took chunks of the value meanwhile.
 *
 * Main thread, all of it. */
#ifndef BASALT_STORAGE_LOADER_H
#define BASALT_STORAGE_LOADER_H

#include "storage/cold.h"
#include "storage/keyspace.h"

struct executor;
struct loader;
struct load;

struct loader_options {
    struct keyspace *ks;
    struct cold *cold;
    struct executor *executor; /* for loads that requests wait for */
    /* For blind overwrites; its completions are those that cuts wait on. */
    struct executor *resolver;
};

/* The column family of a type's records. */
enum family loader_family(enum object_type type);

struct loader *loader_create(const struct loader_options *options);
/* No load may be referred to, no job under way. */
void loader_destroy(struct loader *loader);
/* Whether a load may be answered from RocksDB's cache at once (so it is at first). Without, every
 * one goes through the pool: under debug-always-cold, where tests are after that. */
void loader_set_inline(struct loader *loader, bool allowed);

/* What one request waits for. Embedded in the request; zeroed is empty. */
struct load_wait {
    struct load **loads; /* owned vector of references */
    uint32_t load_count, load_capacity;
    uint32_t outstanding; /* loads that have not come back */
    bool failed;          /* a load ended with an error: the request must not run */
    struct err err;
    void (*ready)(void *arg); /* called when `outstanding` reaches 0, from the loop */
    void *arg;
};

/* What is known of a key that is not in the table. */
enum loader_answer {
    LOADER_ABSENT,  /* certainly not there */
    LOADER_STARTED, /* a load was started or joined; `wait` has it */
    LOADER_FAILED,  /* a load that `wait` holds failed: see wait->err */
    LOADER_LOADED,  /* it came from memory and is in the table now */
};
/* Asks for the record of a key that is not in the table. `wait` may be NULL to ask only whether
 * the key is known to be absent (then LOADER_STARTED means: not known). */
enum loader_answer loader_want_record(struct loader *loader, struct load_wait *wait, struct db *db,
                                      uint64_t position, struct bytes key);
/* Asks for the chunks of a large string that the bytes from..to-1 touch and that are not in RAM.
 * LOADER_ABSENT: nothing is missing. */
enum loader_answer loader_want_chunks(struct loader *loader, struct load_wait *wait, struct db *db,
                                      struct object *o, uint64_t from, uint64_t to);
/* The request has run or is given up: lets go of its loads. */
void load_wait_release(struct loader *loader, struct load_wait *wait);

/* The same at once, blocking on the disk: for keys that come up while a command runs. Counted. */
MUST_USE enum status loader_read_now(struct loader *loader, struct db *db, uint64_t position,
                                     struct bytes key, struct err *err);
MUST_USE enum status loader_read_chunks_now(struct loader *loader, struct db *db, struct object *o,
                                            uint64_t from, uint64_t to, struct err *err);

/* Finds out in the background what the disk holds for an object just written blindly. */
void loader_resolve(struct loader *loader, struct db *db, struct object *o);
/* Hands what was asked for to the pool's threads, and what could not be looked up a second ago:
 * once per tick, so that one wake-up serves many. */
void loader_submit(struct loader *loader);
/* Hands over at once what could not be looked up. */
void loader_retry_resolves(struct loader *loader);
/* ST_OK, or why some blind overwrites could not be looked up: they wait to be tried again. */
enum status loader_resolve_status(const struct loader *loader, struct err *err);
/* Blind overwrites not looked up yet. */
size_t loader_resolving(const struct loader *loader);
/* A tombstone leaves the table: its key is absent, whatever a load of it has read or will. */
void loader_forget(struct loader *loader, const struct db *db, const struct object *o);
/* Whether a load of this object's key is under way or referred to. */
bool loader_is_loading(const struct loader *loader, const struct db *db, const struct object *o);
/* Whether a request that needs much of this object's value is waiting for it, so that what has come
 * must stay until the rest is there. */
bool loader_holds_pieces(const struct loader *loader, const struct db *db, const struct object *o);
/* No load is under way or referred to, and no job. */
bool loader_idle(const struct loader *loader);

struct loader_stats {
    uint64_t loads;            /* records read by the pool */
    uint64_t chunk_loads;      /* of pieces of large strings */
    uint64_t part_loads;       /* of elements of large collections, one or many */
    uint64_t joined;           /* requests for something already on its way */
    uint64_t absent;           /* loads that found nothing */
    uint64_t filter_negatives; /* misses answered by filters on the main thread */
    uint64_t inline_hits;      /* found in RocksDB's cache on the main thread */
    uint64_t discarded;        /* came back too late: RAM was newer */
    uint64_t errors;
    uint64_t synchronous; /* loader_read_now and loader_read_chunks_now */
    uint64_t resolved;    /* blind overwrites looked up */
    uint64_t assumed;     /* of them, given up: the record could not be read */
    uint64_t pending;
    uint64_t latency_us_p50, latency_us_p99, latency_us_max; /* of recent loads, queue included */
};
void loader_read_stats(const struct loader *loader, struct loader_stats *out);

/* How long loads took since the start, queue included. */
#define LOADER_LATENCY_LIMITS_MAX 16
struct loader_latencies {
    uint64_t count, sum_us;
    uint64_t below[LOADER_LATENCY_LIMITS_MAX]; /* how many took less than each limit */
};
/* The limits must be powers of two, which the buckets do not straddle. */
void loader_read_latencies(const struct loader *loader, const uint64_t *limits_us, size_t count,
                           struct loader_latencies *out);

#endif
