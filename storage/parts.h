/* The parts of a large collection: its elements (of a hash, a set, a sorted set), nodes (of a list,
 * a stream) or whatever else stands under an element key of its own, loaded, changed and written
 * one by one.
 *
 * A part is one allocation that begins with struct part. The collection owns it, in whatever index
 * it has. Changed parts stand in the collection's *dirty vector*, until a cut takes the vector away
 * as a whole (O(1), whatever its length) and the flusher encodes what is in it, while the main
 * thread goes on. Hence the one rule: the bytes of a part that a cut has taken do not change.
 * Whoever changes an element puts a new part in its place.
 *
 *                    ┌── changed: another part takes its place ──┐
 *   CLEAN ──────────►│                                           │
 *     ▲              ▼                                           │
 *     │            OWN (in the dirty vector; may be changed in place, or replaced at no cost)
 *     │              │ a cut takes the vector
 *     │              ▼
 *     └─ applied ── TAKEN (by the running cut) ── replaced or removed ──► orphan, freed when
 * applied
 *
 * As with objects the two dirty states change places when a cut takes the vector, so that nothing
 * has to look at the parts then. A deleted element that the disk may still have stays as a part
 * with PART_GONE (a tombstone) until its deletion has been applied: what is looked up in RAM and
 * found gone is not looked up on disk.
 *
 * Loads that began before a cut with parts of the collection was applied are thrown away
 * (applied_epoch): what they have read may be older than what RAM has forgotten since. Whoever
 * waits for them asks again.
 *
 * Main thread, but for encoding (part_sink). */
#ifndef BASALT_STORAGE_PARTS_H
#define BASALT_STORAGE_PARTS_H

#include "codec/buf.h"
#include "codec/bytes.h"
#include "storage/object.h"
#include "storage/object_value.h"

#include <stddef.h>

struct cold_batch;
struct db;
struct parts_taken;
struct value_type;

#define PARTS_DIRTY_MAX ((1u << 27) - 1) /* in one vector; far beyond dirty-limit */

struct part {
    uint32_t list_index : 27; /* place in the vector */
    uint32_t dirty : 2;       /* 0: clean; else the vector it is in: see parts_is_own */
    uint32_t orphan : 1;      /* in no index any more: whoever has the vector frees it */
    uint32_t fresh : 1;       /* loaded and not looked at since: eviction spares it once */
    uint32_t used : 1;        /* for the type's second chance on eviction */
    uint8_t bits;   /* PART_*; like what follows, constant once a cut has taken the part */
    uint8_t data[]; /* the type's */
};

enum {
    PART_GONE = 1, /* a tombstone, or (clean) an absence that a load has found */
    /* The other bits are the type's. */
};

#define PART_HEADER_BYTES offsetof(struct part, data)
_Static_assert(PART_HEADER_BYTES == 5, "elements are packed behind the header");

/* Embedded in the value of a collection that can be large. */
struct parts {
    uint64_t object_id;   /* 0: the collection is not large, and nothing here is used */
    struct object *owner; /* kept by the keyspace, like db */
    struct db *db;
    struct part **dirty; /* owned vector; NULL entries are holes */
    uint32_t dirty_count, dirty_capacity;
    size_t dirty_bytes;        /* of the parts in it */
    uint8_t dirty_state;       /* part.dirty of those in it: 1 or 2 */
    uint32_t applied_epoch;    /* the last cut that has brought parts of it to disk */
    bool stored;               /* elements may be on disk, or in a cut on its way there */
    struct parts_taken *taken; /* borrowed: what the running cut has; NULL */
};

void parts_init(struct parts *parts, uint64_t object_id);
/* Frees the vector, and of the parts those that are in no index. Before the others are freed: it
 * looks at all that are dirty. Any thread. */
void parts_deinit(struct parts *parts);

/* ---- Changes; between ks_change_begin and ks_change_end. Parts are mem_alloc'ed. */

/* In the dirty vector and not taken: its bytes may be changed in place. */
static inline bool parts_is_own(const struct parts *parts, const struct part *part)
{
    return part->dirty == parts->dirty_state;
}
/* A new part that has to be written enters the vector. Its header need not be set up but for
 * `bits`. */
void parts_add(struct parts *parts, struct part *part);
/* `part` is to be written in the place of `old`, which is freed now or when its cut is through. (Or
 * `old` was clean, so there is nothing to take over.) */
void parts_replace(struct parts *parts, struct part *old, struct part *part);
/* An own part has been reallocated, or has changed its size from `bytes_before`. */
void parts_resized(struct parts *parts, struct part *part, size_t bytes_before);
/* A part leaves the collection without leaving anything to be written: a clean one, that only RAM
 * forgets, or an own one that neither the disk nor a cut has ever had. Frees it. */
void parts_drop(struct parts *parts, struct part *part);
/* Something to be written that is in no index. It is freed when its cut is through. */
void parts_add_loose(struct parts *parts, struct part *part);
/* The same for a deletion: `part` has PART_GONE. */
void parts_add_deletion(struct parts *parts, struct part *part);

/* ---- Cuts. */

struct parts_taken {
    struct parts_taken *next;
    const struct value_type *type;
    enum object_type object_type;
    uint64_t object_id;
    uint64_t hash_seed;
    struct parts *parts; /* NULL once the value is gone */
    struct part **items; /* owned */
    uint32_t count;
    uint32_t finished; /* so many of them are through */
    size_t bytes;
    size_t *orphan_bytes; /* where to add what only the cut still needs */
    void *value;          /* a value that went meanwhile, with what frees it; else NULL */
    object_free_fn *free_fn;
};

/* Takes the vector away from the collection; NULL if nothing is in it. */
struct parts_taken *parts_take(struct parts *parts, enum object_type type, uint64_t hash_seed,
                               size_t *orphan_bytes);
/* Puts what was taken into the batch. The flusher's thread. */
void parts_encode(const struct parts_taken *taken, struct cold_batch *batch);
/* Hands what was taken to `put` instead, record by record; nothing of it may be a deletion. */
typedef void part_put_fn(void *arg, struct bytes key, struct bytes value);
void parts_encode_to(const struct parts_taken *taken, part_put_fn *put, void *arg);
/* The cut was applied: goes through up to `count` more of the parts; false when that was the last.
 * `o` is the collection's object, NULL when its database or it is gone. */
bool parts_finish(struct parts_taken *taken, struct object *o, uint32_t count);
/* Frees it, after parts_finish has returned false or when a cut is given up. A value that went
 * meanwhile is the caller's to free. */
void parts_taken_destroy(struct parts_taken *taken);

/* Where value_type.encode_part puts what it has to say. Element bytes are what stands behind the
 * object id in the element key. */
struct part_sink {
    struct cold_batch *batch;
    part_put_fn *put; /* instead of the batch; or NULL */
    void *put_arg;
    uint8_t family;
    uint64_t hash_seed; /* of positions */
    struct buf key;     /* prefix, then the element */
    struct buf value;   /* for the type's use, between its calls */
};
/* Room for an element's bytes: to be filled before part_put or part_delete, which name as many. */
uint8_t *part_element(struct part_sink *sink, size_t len);
/* `value` must not be empty: this RocksDB's cache may answer "present, empty" without looking. */
void part_put(struct part_sink *sink, size_t element_len, struct bytes value);
void part_delete(struct part_sink *sink, size_t element_len);

#endif
