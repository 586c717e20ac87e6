/* The inside of the keyspace, shared by the modules that move objects between RAM and disk: cut,
 * loader, evict, expire, scan, recover. Nobody else includes it. Main thread. */
#ifndef BASALT_STORAGE_TIER_H
#define BASALT_STORAGE_TIER_H

#include "codec/buf.h"
#include "storage/keyspace.h"
#include "storage/table.h"
#include "storage/types/string.h"
#include "storage/value_type.h"

struct cut;
struct loader;
struct expire_hints;
struct key_filter;

/* An element range whose object is gone: dropped from disk with the next cut. */
struct retired_object {
    uint64_t object_id;
    uint8_t type; /* enum object_type */
};

/* A large object that has changed its key since the last cut began. When a database is emptied, the
 * reaper finds the elements to drop by the records under its id. Such an object's record is not yet
 * where the object is, and is still where it was. So the next cut deletes the old record, whatever
 * becomes of the database that it is in (and of the tombstone there); and emptying the database
 * where the object is now retires it by its id. Renaming within a database counts as well: the
 * object may leave that before the cut. */
struct moved_object {
    uint64_t object_id;
    uint32_t db_id;        /* where it is now */
    uint8_t type;          /* enum object_type */
    struct buf old_record; /* key */
};

struct keyspace {
    struct access_clock clock; /* must be first: ks_touch is inline */

    struct db **dbs; /* owned; by database number */
    uint32_t db_count;
    uint32_t next_db_id;
    uint64_t next_object_id;
    uint64_t hash_seed;

    size_t object_bytes;                           /* all objects and tombstones */
    size_t dirty_bytes;                            /* what the next cut will have to write, about */
    size_t change_value_bytes, change_dirty_bytes; /* between ks_change_begin and ks_change_end */
    struct string_rules string_rules;
    struct value_rules value_rules;
    uint8_t dirty_state; /* OBJECT_DIRTY_A or _B: what dirty means now */
    int64_t now_ms;      /* wall clock, set once per tick */
    uint32_t generation; /* changes whenever an object leaves, moves or enters the table */

    uint64_t random; /* state of a small generator (evict, LFU) */

    struct keyspace_watch watch;

    /* The cut in flight (cut.c). */
    struct cut *cut;
    uint32_t applied_epoch; /* the last cut that is in RocksDB */
    uint32_t running_epoch; /* the cut being made, or applied_epoch */

    struct key_filter *filter; /* owned: has every cold key at a position below db->filtered_to */
    struct loader *loader;     /* resolves blind overwrites; protects keys being loaded */

    /* Leftovers on disk, to be noted for the reaper by the next cut (reap.h). */
    struct retired_object *retired; /* owned vector */
    size_t retired_count, retired_capacity;
    uint32_t *retired_dbs; /* owned vector of database ids */
    size_t retired_db_count, retired_db_capacity;
    /* Databases emptied while their objects were still part of the running cut. */
    struct db **parked; /* owned vector */
    size_t parked_count, parked_capacity;
    bool dbs_changed;           /* the table of databases differs from the last cut's */
    struct moved_object *moved; /* owned vector: since the last cut */
    size_t moved_count, moved_capacity;

    /* Near deadlines of keys that the expires family may not know yet (expire.c). */
    struct expire_hints *hints;
    struct probation *probation; /* newly loaded objects, oldest first (evict.c); may be NULL */

    /* Called with memory that is expensive to free: a value, or a whole database. */
    void (*reclaim_value)(void *arg, void (*free_fn)(void *value), void *value);
    void (*reclaim_db)(void *arg, struct db *db);
    void *reclaim_arg;
};

struct keyspace_options {
    uint32_t db_count; /* 1..KEYSPACE_DBS_MAX */
    uint64_t hash_seed;
    size_t large_bytes;            /* large-object-threshold */
    size_t large_collection_bytes; /* large-collection-threshold */
};

#define KEYSPACE_DBS_MAX 65535

struct keyspace *ks_create_keyspace(const struct keyspace_options *options);
/* Frees everything. */
void ks_destroy_keyspace(struct keyspace *ks);

struct db *db_create(uint32_t id);
/* Frees the database with its objects. Any thread, once nobody else knows it. */
void db_destroy(struct db *db);
/* The database with this id, or NULL. */
struct db *ks_db_by_id(struct keyspace *ks, uint32_t id);
/* The same, also among those emptied that the running cut still needs. */
struct db *ks_db_by_id_or_parked(struct keyspace *ks, uint32_t id);

/* ---- Lists of objects. */
void object_list_push(struct object_list *list, struct object *o);
void object_list_remove(struct object_list *list, struct object *o);
/* Empties a list, and keeps its memory for the next use unless that is much. */
void object_list_empty(struct object_list *list);

/* ---- For the loader: puts a record that was read into the table, as a clean object. The key must
 * not be in the table. `value` is the record's value. ST_CORRUPT names what is wrong. */
MUST_USE enum status ks_install(struct keyspace *ks, struct db *db, enum object_type type,
                                uint64_t position, struct bytes key, struct bytes value,
                                struct object **out, struct err *err);
/* What the disk holds for an object written blindly: `type` (OBJECT_NONE: nothing). */
void ks_resolve(struct keyspace *ks, struct db *db, struct object *o, enum object_type type,
                bool has_expire, bool large, uint64_t object_id);
/* ---- For eviction: whether an object may leave RAM now, and its leaving. */
bool ks_can_demote(const struct keyspace *ks, const struct db *db, const struct object *o);
void ks_demote(struct keyspace *ks, struct db *db, struct object *o);
/* ---- For cuts: a tombstone whose deletion has been applied. */
void ks_forget_tombstone(struct keyspace *ks, struct db *db, struct object *o);
/* Frees the databases parked during a cut. */
void ks_release_parked(struct keyspace *ks);
void ks_retire_object(struct keyspace *ks, enum object_type type, uint64_t object_id);
/* The next cut has taken the list. */
void ks_forget_moved(struct keyspace *ks);

/* xorshift; not for secrets. */
static inline uint64_t ks_random(struct keyspace *ks)
{
    uint64_t x = ks->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    ks->random = x;
    return x * 0x2545F4914F6CDD1DULL;
}

#endif
