/* Whole databases: emptying one takes O(1), whatever its size, and so does exchanging two. */
#include "storage/tier.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cut.h"

void ks_release_parked(struct keyspace *ks)
{
    for (size_t i = 0; i < ks->parked_count; i++) {
        if (ks->reclaim_db != NULL)
            ks->reclaim_db(ks->reclaim_arg, ks->parked[i]);
        else
            db_destroy(ks->parked[i]);
    }
    ks->parked_count = 0;
}

static void park(struct keyspace *ks, struct db *db)
{
    if (ks->parked_count == ks->parked_capacity) {
        ks->parked_capacity = ks->parked_capacity == 0 ? 16 : ks->parked_capacity * 2;
        ks->parked = mem_realloc(ks->parked, ks->parked_capacity * sizeof(struct db *));
    }
    ks->parked[ks->parked_count++] = db;
}

static void retire_db(struct keyspace *ks, uint32_t id)
{
    if (ks->retired_db_count == ks->retired_db_capacity) {
        ks->retired_db_capacity = ks->retired_db_capacity == 0 ? 16 : ks->retired_db_capacity * 2;
        ks->retired_dbs =
            mem_realloc(ks->retired_dbs, ks->retired_db_capacity * sizeof(*ks->retired_dbs));
    }
    ks->retired_dbs[ks->retired_db_count++] = id;
}

/* The elements of large objects are found by the reaper, from the records it drops. Objects that
 * have none there yet have no elements either, but for moved ones. A running cut, up to the last of
 * its tombstones, needs the objects: its offset lies before the flush. */
void ks_flush_db(struct keyspace *ks, uint32_t number)
{
    struct db *old = ks_db(ks, number);
    if (table_count(old->table) == 0 && old->cold_count == 0)
        return;
    struct db *db = db_create(ks->next_db_id++);
    CHECK(ks->next_db_id != RECORD_ELEMENT_DB_ID);
    ks->dbs[number] = db;
    ks->dbs_changed = true;
    ks->object_bytes -= old->object_bytes;
    ks->dirty_bytes -= old->dirty.bytes;
    old->dirty.bytes = 0;
    old->dirty.count = 0;
    old->dirty.live = 0;
    ks->generation++;
    for (size_t i = 0; i < ks->moved_count; i++)
        if (ks->moved[i].db_id == old->id)
            ks_retire_object(ks, ks->moved[i].type, ks->moved[i].object_id);
    bool in_cut = ks->cut != NULL && cut_running(ks->cut);
    if (old->on_disk || in_cut)
        retire_db(ks, old->id);
    old->parked = true;
    park(ks, old);
    if (!in_cut)
        ks_release_parked(ks);
}

void ks_swap_db(struct keyspace *ks, uint32_t a, uint32_t b)
{
    struct db *db = ks_db(ks, a);
    ks->dbs[a] = ks_db(ks, b);
    ks->dbs[b] = db;
    ks->dbs_changed = true;
    ks->generation++;
}
