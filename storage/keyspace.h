/* The keyspace: databases, their resident objects (the hot tier) and what is known of the rest.
 *
 * Commands only ever see RAM, through this module. Every key is in one of these situations:
 *
 *   not in the table ── cold or absent: the disk knows (ks_is_absent tells what is known cheaply)
 *   CLEAN            ── resident, equals its record; may be demoted
 *   DIRTY            ── resident, changed since its last cut; in db->dirty
 *   PENDING          ── (the other dirty state) part of the running cut and not encoded yet
 *   LEAVING          ── a tombstone whose cut is being written
 *
 *   create/change ─► DIRTY ─cut begins─► PENDING ─encoded─► CLEAN (demotable once cut_epoch is
 * applied) ▲                    │                 │ └──── ks_change_begin encodes first ───┴──────►
 * DIRTY again
 *
 * A deleted key that has (or may have) a record on disk stays as a tombstone (OBJECT_NONE) through
 * DIRTY and LEAVING, so that a lookup finds its absence in RAM.
 *
 * Invariants:
 *   K1  a key's newest state is in the table, or else on disk at the applied cut
 *   K2  size(db) = live resident objects + cold keys; exact when no object is unresolved
 *   K3  nothing mutates an object outside ks_change_begin .. ks_change_end
 *   K4  the key filter has every cold key below db->filtered_to
 *
 * Main thread only, all of it. */
#ifndef BASALT_STORAGE_KEYSPACE_H
#define BASALT_STORAGE_KEYSPACE_H

#include "codec/bytes.h"
#include "codec/status.h"
#include "storage/object.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key_filter;
struct keyspace;
struct table;
struct string_plan;
struct string_rules;
struct value_rules;

/* A vector of objects; object->list_index is the place. */
struct object_list {
    struct object **items; /* owned; NULL entries are holes */
    uint32_t count;        /* places used, holes included */
    uint32_t live;         /* without the holes */
    uint32_t capacity;
    size_t bytes; /* what the objects in it would take in a cut, about */
};

/* A logical database. SWAPDB exchanges these between numbers. */
struct db {
    uint32_t id;                      /* database id in record keys; never reused */
    bool on_disk;                     /* a record may have been written under this id */
    bool parked;                      /* emptied, kept for the running cut only */
    struct table *table;              /* owned: resident objects and tombstones */
    size_t object_bytes;              /* of all in the table */
    uint64_t resident;                /* live objects in the table */
    uint64_t resident_expires;        /* of these, with expiry */
    uint64_t unresolved;              /* objects and tombstones whose disk_type is not known yet */
    uint64_t cold[OBJECT_TYPE_COUNT]; /* keys on disk and not in the table, per type */
    uint64_t cold_count;              /* their sum */
    uint64_t cold_expires;            /* of these, with expiry */
    uint64_t filtered_to;             /* position: the key filter knows the cold keys below */
    uint64_t disk[OBJECT_TYPE_COUNT]; /* records on disk once the last cut is applied */
    uint64_t disk_expires;            /* of these, with expiry */
    int64_t ttl_ms_average;           /* running estimate by the active expiry cycle, for INFO */
    uint32_t cut_part;                /* place among the running cut's databases (cut.c) */
    struct object_list dirty;
};

/* A key of a command: looked up once, used by the handler. */
#define KEYREF_BLIND ((uint32_t)1 << 31) /* whether it is on disk is not known and not needed */

struct keyref {
    struct bytes key; /* borrowed from the request */
    struct db *db;
    uint64_t position;
    struct object *object; /* in the table (may be a tombstone), or NULL */
    uint32_t generation;   /* of the keyspace when `object` was found */
    uint32_t flags;        /* KEYREF_BLIND, and KEY_* of server/command.h */
};

/* ---- Looking up. */

/* Finds the object or tombstone of `ref` again if something was replaced since; cheap. */
struct object *ks_lookup(struct keyspace *ks, struct keyref *ref);
/* The live object, expired or not; NULL when absent. The key must be resident or absent. */
static inline struct object *ks_find(struct keyspace *ks, struct keyref *ref)
{
    struct object *o = ks_lookup(ks, ref);
    return o != NULL && object_is_live(o) ? o : NULL;
}
/* Whether a key that is not in the table is known to be absent. Some 50 ns. */
bool ks_is_absent(const struct keyspace *ks, const struct db *db, uint64_t position);
const struct key_filter *ks_key_filter(const struct keyspace *ks);
/* Makes a keyref: computes the position and looks the key up. */
void ks_ref(struct keyspace *ks, struct db *db, struct bytes key, struct keyref *out);

/* The same with the position known already. */
void ks_ref_at(struct keyspace *ks, struct db *db, struct bytes key, uint64_t position,
               struct keyref *out);
/* Brings what a lookup will touch into the cache: first the table's bucket; then, once that is
 * there, the object, or what tells that the key is absent. */
void ks_prefetch(const struct db *db, uint64_t position);
void ks_prefetch_object(const struct keyspace *ks, const struct db *db, uint64_t position);
/* The seed of record_position() in this data directory. */
uint64_t ks_hash_seed(const struct keyspace *ks);

struct db *ks_db(struct keyspace *ks, uint32_t number);
uint32_t ks_db_count(const struct keyspace *ks);
/* Keys of a database, exact but while db->unresolved is not 0. */
static inline uint64_t db_size(const struct db *db)
{
    return db->resident + db->cold_count;
}

/* ---- Being told what happens to keys. Each function may be NULL, and must not use the keyspace.
 */
typedef void ks_key_fn(void *arg, const struct db *db, struct bytes key);
struct keyspace_watch {
    ks_key_fn
        *created; /* a key that was not there; known only of keys that are not written blindly */
    ks_key_fn *loaded;  /* from disk into RAM */
    ks_key_fn *demoted; /* out of RAM, to its record on disk */
    void *arg;
};
void ks_set_watch(struct keyspace *ks, const struct keyspace_watch *watch);

/* ---- Changing. Prepare (all that can fail), then commit with these, which cannot. */

/* Must come before any change of a live object's value, and ks_change_end after it. Between them
 * nothing else of the keyspace may be called. */
void ks_change_begin(struct keyspace *ks, struct db *db, struct object *o);
void ks_change_end(struct keyspace *ks, struct db *db, struct object *o);

/* Creates a string, or replaces whatever the key holds by it (O(1): a large old value is freed in
 * the background). The expiry is cleared. When the key is not in the table, `ref->flags` tells
 * whether its absence is known or it is a blind overwrite (KEYREF_BLIND) to be resolved later.
 */
struct object *ks_set_string(struct keyspace *ks, struct keyref *ref, struct bytes value);
/* The same for a value whose holding has been planned already (types/string.h). plan->value must
 * not point into the object that is replaced. */
struct object *ks_store_string(struct keyspace *ks, struct keyref *ref,
                               const struct string_plan *plan);
/* How string values are held here, for the functions that change them in place. */
const struct string_rules *ks_string_rules(const struct keyspace *ks);
/* What values of the other types need of the keyspace (value_type.h). */
const struct value_rules *ks_value_rules(const struct keyspace *ks);
/* Creates an object with an empty value of `type`, or replaces what the key holds; the caller then
 * fills value and encoding between ks_change_begin and ks_change_end. The expiry is cleared. */
struct object *ks_create(struct keyspace *ks, struct keyref *ref, enum object_type type);
/* Changes a string's allocation so that `inline_len` bytes fit behind the key, and not many more (0
 * when the value stands elsewhere);
 * returns the object, which may have moved (ref->object follows). Between begin and end. */
struct object *ks_resize_inline(struct keyspace *ks, struct keyref *ref, size_t inline_len);
/* Deletes a live object. `ref->object` is NULL or a tombstone afterwards. */
void ks_delete(struct keyspace *ks, struct keyref *ref);
/* Sets (or with OBJECT_NO_EXPIRE clears) the expiry of a live object. */
void ks_set_expire(struct keyspace *ks, struct db *db, struct object *o, int64_t expire_at_ms);
/* A dirty object's value has a deadline of its own (value_type.next_deadline) that it did not have
 * before, or its first one has passed: `at_ms` is the next one. */
void ks_note_deadline(struct keyspace *ks, struct db *db, struct object *o, int64_t at_ms);
/* Moves a live object's value and expiry to another key (and database), replacing what it holds;
 * O(1) whatever the size. The two must differ. */
void ks_rename(struct keyspace *ks, struct keyref *from, struct keyref *to);
/* Copies a live object, all of which is in RAM, with its expiry to another key, replacing what that
 * holds. Large values share their pieces until one of the two changes. The two must differ. */
struct object *ks_copy(struct keyspace *ks, struct keyref *from, struct keyref *to);
/* Empties a database in O(1): it gets a new id, the old one's data goes in the background. */
void ks_flush_db(struct keyspace *ks, uint32_t number);
void ks_swap_db(struct keyspace *ks, uint32_t a, uint32_t b);

/* A random place in scan order. */
uint64_t ks_random_position(struct keyspace *ks);

/* ---- Use and accounting. */

/* The access clock, set once per tick; the keyspace's first member. */
struct access_clock {
    uint32_t seconds; /* monotonic */
    bool lfu;
    uint8_t lfu_log_factor;
    uint16_t lfu_decay_minutes;
};
void ks_touch_lfu(struct keyspace *ks, struct object *o);
/* Notes an access for the eviction policy. */
static inline void ks_touch(struct keyspace *ks, struct object *o)
{
    const struct access_clock *clock = (const struct access_clock *)(const void *)ks;
    if (__builtin_expect(o->probation, 0)) {
        if (o->fresh)
            o->fresh = 0;
        else
            o->probation = 0;
    }
    if (__builtin_expect(!clock->lfu, 1))
        o->access = clock->seconds;
    else
        ks_touch_lfu(ks, o);
}
/* Seconds since the last use; 0 where it is not known because LFU was the policy then. */
static inline uint32_t ks_idle_seconds(const struct keyspace *ks, const struct object *o)
{
    uint32_t now = ((const struct access_clock *)(const void *)ks)->seconds;
    return now > o->access ? now - o->access : 0;
}
/* The logarithmic counter as it has decayed by now; meaningful while the clock is set to LFU. */
uint8_t ks_frequency(const struct keyspace *ks, const struct object *o);
/* As if it had last been used so long ago (as far back as the clock goes), or so often; each only
 * under the policies that look at it. */
void ks_set_idle(struct keyspace *ks, struct object *o, uint64_t idle_s);
void ks_set_frequency(struct keyspace *ks, struct object *o, uint8_t counter);
/* Bytes of RAM that an object takes (allocator's sizes), O(1) for all types. */
size_t ks_object_bytes(const struct object *o);
/* Bytes of all objects, tables, lists and hints. */
size_t ks_bytes(const struct keyspace *ks);
size_t ks_dirty_bytes(const struct keyspace *ks);

#endif
