#include "tests/support/large_world.h"

#include "codec/mem.h"
#include "storage/env.h"
#include "storage/loader.h"
#include "storage/value_type.h"
#include "tests/support/harness.h"

#include <inttypes.h>
#include <stdlib.h>

static void open_store(struct large_world *w)
{
    struct err err;
    uint32_t db;
    uint64_t offset;
    struct bytes payload;
    assert_ok(store_open(&w->options, &w->store, &err), &err);
    w->ks = store_keyspace(w->store);
    w->db = ks_db(w->ks, 0);
    assert_status(store_replay_next(w->store, &db, &offset, &payload, &err), ST_END);
}

void large_world_open(struct large_world *w, uint64_t seed)
{
    *w = (struct large_world){.random = seed * 0x9E3779B97F4A7C15ULL | 1};
    w->dir = harness_make_dir();
    w->options = (struct store_options){.env = env_posix(),
                                        .dir = w->dir,
                                        .db_count = 1,
                                        .large_object_bytes = 1000,
                                        .large_collection_bytes = 1000,
                                        .whole_load_bytes = (size_t)1 << 30,
                                        .fsync = JOURNAL_FSYNC_NO,
                                        .flush_interval_ms = 1000,
                                        .dirty_bytes_max = 1 << 30,
                                        .journal_bytes_max = 1 << 30,
                                        .block_cache_bytes = 4 << 20,
                                        .write_buffer_bytes = 4 << 20,
                                        .compaction_threads = 1,
                                        .loader_threads = 1,
                                        .hot_bytes_max = (size_t)1 << 30,
                                        .samples = 5};
    open_store(w);
}

void large_world_close(struct large_world *w)
{
    (void)store_close(w->store, false, NULL);
    harness_remove_dir(w->dir);
    mem_free(w->dir);
}

void large_world_reopen(struct large_world *w)
{
    struct err err;
    assert_ok(store_close(w->store, true, &err), &err);
    open_store(w);
}

uint64_t large_world_below(struct large_world *w, uint64_t limit)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (w->random * 0x2545F4914F6CDD1DULL >> 20) % limit;
}

struct object *large_world_find(struct large_world *w, struct keyref *ref)
{
    struct err err;
    ks_ref(w->ks, w->db, bytes_text("key"), ref);
    if (ref->object == NULL) {
        enum status st =
            loader_read_now(store_loader(w->store), ref->db, ref->position, ref->key, &err);
        assert_true(st == ST_OK || st == ST_NOT_FOUND);
    }
    return ks_find(w->ks, ref);
}

struct ensure large_world_ensure(struct large_world *w, struct object *o)
{
    return (struct ensure){
        .loader = store_loader(w->store), .db = w->db, .o = o, .whole_bytes_max = SIZE_MAX};
}

void large_world_evict(struct large_world *w, size_t bytes)
{
    struct keyref ref;
    struct object *o = large_world_find(w, &ref);
    if (o == NULL || !o->large)
        return;
    size_t freed = object_value_type(o->type)->drop_clean(o, bytes);
    w->db->object_bytes -= freed;
    w->ks->object_bytes -= freed;
}

void large_world_evict_all(struct large_world *w)
{
    struct err err;
    assert_ok(store_evict_all(w->store, &err), &err);
}

void large_world_cut(struct large_world *w)
{
    struct err err;
    assert_ok(store_cut_now(w->store, false, &err), &err);
}

void large_world_disturb(struct large_world *w, size_t evict_max)
{
    switch (large_world_below(w, 200)) {
    case 0:
        large_world_cut(w);
        break;
    case 1: /* a cut begins, and may still run when the next changes come */
    case 2:
    case 3:
        w->mono_ms += 1000;
        (void)store_tick(w->store, 1000, w->mono_ms);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        (void)store_tick(w->store, 1000, w->mono_ms);
        break;
    case 8:
    case 9:
    case 10:
    case 11:
        large_world_evict(w, (size_t)large_world_below(w, evict_max));
        break;
    case 12:
    case 13:
        large_world_evict_all(w);
        break;
    case 14:
        if (large_world_below(w, 8) == 0)
            large_world_reopen(w);
        break;
    default:
        break;
    }
}

void large_world_each_seed(uint64_t seeds, void (*run)(uint64_t seed))
{
    const char *given = getenv("BASALT_TEST_SEED");
    uint64_t first = given != NULL ? strtoull(given, NULL, 10) : 1;
    uint64_t last = given != NULL ? first : seeds;
    for (uint64_t seed = first; seed <= last; seed++) {
        print_message("seed %" PRIu64 "\n", seed);
        run(seed);
    }
}
