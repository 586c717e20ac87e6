/* Active expiry: finds keys whose time has come, in RAM and on disk, without reading the dataset. A
 * value may have deadlines of its own, those of a hash's fields: the first of all counts
 * (object_next_deadline).
 *
 * Two sources of hints say when to look at a key; the object or record itself decides.
 *   - Near deadlines (within EXPIRE_HORIZON_MS) of resident keys are in a heap in RAM.
 *   - The expires family on disk has (when, record key) of all others, written with the cut that
 *     writes the key. An entry is at or before its key's deadline: when it is due and the key's
 *     deadline was moved to later, the entry is written again for that; a stale one is dropped.
 *
 * What is due is handed to a callback, which deletes the key with its journal record and event.
 * Keys are exact to the millisecond all the same: a lookup hides what has expired. Main thread. */
#ifndef BASALT_STORAGE_EXPIRE_H
#define BASALT_STORAGE_EXPIRE_H

#include "storage/keyspace.h"

#define EXPIRE_HORIZON_MS 60000

struct cold;
struct cut;
struct executor;
struct expire;
struct expire_hints;

/* ---- For the keyspace. */
struct expire_hints *expire_hints_create(void);
void expire_hints_destroy(struct expire_hints *hints);
size_t expire_hints_bytes(const struct expire_hints *hints);
/* An object's deadline was set, or moved to earlier. */
void expire_hint(struct keyspace *ks, struct db *db, const struct object *o, int64_t at_ms);

/* ---- The active cycle. */
struct expire_options {
    struct keyspace *ks;
    struct cold *cold;
    struct cut *cut;
    struct executor *executor;
    /* Deletes the live, expired object of `ref` (resident) in database `number`, or what is due in
     * its value. If it leaves that, it is called again later. */
    void (*expired)(void *arg, uint32_t number, struct keyref *ref);
    void *arg;
};
struct expire *expire_create(const struct expire_options *options);
/* Its job, if one is under way, must have been drained. */
void expire_destroy(struct expire *expire);
/* Once per tick. Works at most about `budget_us`; true when more is due. */
bool expire_tick(struct expire *expire, int64_t now_ms, int64_t budget_us);
/* DEBUG SET-ACTIVE-EXPIRE; a replica leaves expiry to its master. */
void expire_set_active(struct expire *expire, bool active);
/* CLIENT PAUSE: nothing changes by itself meanwhile. */
void expire_set_paused(struct expire *expire, bool paused);
bool expire_busy(const struct expire *expire);

struct expire_stats {
    uint64_t from_ram, from_disk; /* keys expired by the cycle, by the hint's source */
    uint64_t rearmed, stale;      /* entries of the family moved to later, and dropped */
    uint64_t hints;               /* in the heap */
    uint64_t busy_us;             /* in ticks that found something due */
    uint64_t cut_short;           /* of them, those that used up their budget */
    int64_t lateness_ms_last, lateness_ms_max;
    uint64_t read_errors;
};
void expire_read_stats(const struct expire *expire, struct expire_stats *out);

#endif
