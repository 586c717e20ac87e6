/* Keeps the hot tier within its bound by demoting: dropping clean objects from RAM. Nothing is ever
 * lost by it; an object that is not on disk yet waits for its cut, which eviction asks for.
 *
 * Who goes: keys that were loaded and not touched a second time stand in a first-in-first-out
 * queue, and go first while that is more than a tenth of all keys: so a scan over cold keys passes
 * through a tenth of memory and leaves the hot set alone. Otherwise the worst of some sampled
 * objects by the policy: LRU (longest idle), LFU (least counted), TTL (soonest to expire) or
 * random; "volatile" policies prefer keys with an expiry. Main thread. */
#ifndef BASALT_STORAGE_EVICT_H
#define BASALT_STORAGE_EVICT_H

#include "storage/keyspace.h"

enum evict_policy { EVICT_LRU, EVICT_LFU, EVICT_RANDOM, EVICT_TTL };

struct cut;
struct evict;
struct probation;

/* ---- For the keyspace: a newly loaded object. */
struct probation *probation_create(void);
void probation_destroy(struct probation *probation);
void probation_push(struct keyspace *ks, const struct db *db, const struct object *o);
size_t probation_bytes(const struct probation *probation);

struct evict_options {
    struct keyspace *ks;
    struct cut *cut;
    size_t bytes_max; /* maxmemory */
    enum evict_policy policy;
    bool volatile_first;
    uint32_t samples; /* maxmemory-samples, 1..64 */
};
struct evict *evict_create(const struct evict_options *options);
void evict_destroy(struct evict *evict);
/* Replaces the settings. */
void evict_configure(struct evict *evict, const struct evict_options *options);

/* What counts against maxmemory: objects, tables, dirty data on its way to disk. */
size_t evict_used_bytes(const struct evict *evict);
/* Demotes until `extra` more bytes have room or `budget_us` is over. True when the bound is met. */
bool evict_make_room(struct evict *evict, size_t extra, int64_t budget_us);
/* How hard writers must be slowed because eviction does not keep up: 0 (not at all) to 1000, which
 * stops them. It is less than that when nothing is left to evict: what else there is, tables and
 * what requests hold, would be over the bound for ever, and the writers with it. */
uint32_t evict_pressure(const struct evict *evict);
/* DEBUG EVICT: demotes one key now. False if it is not clean. */
bool evict_object(struct evict *evict, struct db *db, struct object *o);
/* Demotes all that can be; returns how many cannot. */
size_t evict_all(struct evict *evict);

struct evict_stats {
    uint64_t demoted;
    uint64_t demoted_probation; /* of these, from the queue of newly loaded keys */
    uint64_t piece_bytes;       /* dropped pieces of large objects */
    uint64_t no_victim;         /* rounds in which all samples were dirty */
};
void evict_read_stats(const struct evict *evict, struct evict_stats *out);

#endif
