/* Goal: the key filter never denies a key that is on disk, and denies nearly all others: while keys
 * come and go, at its bound, after a restart while it is being filled, and when it is filled again.
 *
 * Method: the filter itself against the hashes put into it; then a real store in a scratch
 * directory, whose keys are asked for between all steps. */
#include "storage/key_filter.h"

#include "codec/mem.h"
#include "storage/env.h"
#include "storage/executor.h"
#include "storage/key_filter_fill.h"
#include "storage/store.h"
#include "storage/tier.h"
#include "storage/types/set.h"
#include "tests/support/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MANY_KEYS   400000
#define STORED_KEYS 20000
#define DB_COUNT    3
#define WAIT_MS_MAX 60000

/* ---- The filter. */

static uint64_t nth_hash(uint64_t n)
{
    return key_filter_hash((uint32_t)(n % 3), n * 0x9e3779b97f4a7c15ULL >> 11);
}

static void fill_with(struct key_filter *filter, uint64_t count)
{
    for (uint64_t n = 0; n < count; n++)
        key_filter_add(filter, nth_hash(n));
}

static uint64_t denied(const struct key_filter *filter, uint64_t from, uint64_t to)
{
    uint64_t count = 0;
    for (uint64_t n = from; n < to; n++)
        count += !key_filter_may_have(filter, nth_hash(n));
    return count;
}

static void it_denies_only_what_was_not_added(void **state)
{
    (void)state;
    struct key_filter *filter = key_filter_create();
    assert_int_equal(denied(filter, 0, 1000), 1000);
    fill_with(filter, MANY_KEYS);
    assert_int_equal(denied(filter, 0, MANY_KEYS), 0);
    /* 6 of 65536 tags are taken in a page. */
    assert_true(denied(filter, MANY_KEYS, MANY_KEYS * 2) > MANY_KEYS - MANY_KEYS / 2000);
    uint64_t count = key_filter_count(filter);
    size_t bytes = key_filter_bytes(filter);
    assert_true(count > MANY_KEYS - MANY_KEYS / 2000);
    assert_true(count <= MANY_KEYS);
    fill_with(filter, MANY_KEYS);
    assert_int_equal(key_filter_count(filter), count);
    assert_int_equal(key_filter_bytes(filter), bytes);
    assert_false(key_filter_is_cut_short(filter));
    key_filter_clear(filter);
    assert_int_equal(denied(filter, 0, 1000), 1000);
    assert_int_equal(key_filter_bytes(filter), 0);
    key_filter_destroy(filter);
}

/* Redis Cluster's {tags} give keys one slot, the upper bits of their positions. */
static void keys_of_one_slot_spread_over_the_pages(void **state)
{
    (void)state;
    struct key_filter *filter = key_filter_create();
    for (uint64_t n = 0; n < MANY_KEYS; n++)
        key_filter_add(filter, key_filter_hash(0, n));
    uint64_t count = 0;
    for (uint64_t n = MANY_KEYS; n < MANY_KEYS * 2; n++)
        count += !key_filter_may_have(filter, key_filter_hash(0, n));
    assert_true(count > MANY_KEYS - MANY_KEYS / 2000);
    key_filter_destroy(filter);
}

static void at_its_bound_it_gives_pages_up_and_denies_nothing_wrongly(void **state)
{
    (void)state;
    struct key_filter *filter = key_filter_create();
    size_t bound = KEY_FILTER_BYTES_MIN + KEY_FILTER_BYTES_MIN / 2;
    key_filter_set_bound(filter, bound);
    fill_with(filter, MANY_KEYS);
    assert_true(key_filter_is_cut_short(filter));
    assert_true(key_filter_bytes(filter) <= bound);
    assert_int_equal(denied(filter, 0, MANY_KEYS), 0);
    uint64_t before = denied(filter, MANY_KEYS, MANY_KEYS * 2);
    assert_true(before > MANY_KEYS / 10);
    assert_true(before < MANY_KEYS);
    /* Lower: it fits at once. */
    key_filter_set_bound(filter, bound - KEY_FILTER_BYTES_MIN / 4);
    assert_true(key_filter_bytes(filter) <= bound - KEY_FILTER_BYTES_MIN / 4);
    assert_int_equal(denied(filter, 0, MANY_KEYS), 0);
    assert_true(denied(filter, MANY_KEYS, MANY_KEYS * 2) < before);
    /* Too low for any, then high again: what it has forgotten it must not deny. */
    key_filter_set_bound(filter, 1000);
    assert_int_equal(key_filter_bytes(filter), 0);
    key_filter_set_bound(filter, SIZE_MAX);
    key_filter_add(filter, nth_hash(MANY_KEYS * 3));
    assert_int_equal(denied(filter, 0, MANY_KEYS * 2), 0);
    assert_true(key_filter_is_cut_short(filter));
    key_filter_clear(filter);
    fill_with(filter, 1000);
    assert_int_equal(denied(filter, 0, 1000), 0);
    assert_true(denied(filter, 1000, 2000) > 990);
    key_filter_destroy(filter);
}

static void a_bound_too_low_from_the_start_denies_nothing(void **state)
{
    (void)state;
    struct key_filter *filter = key_filter_create();
    key_filter_set_bound(filter, KEY_FILTER_BYTES_MIN - 1);
    key_filter_add(filter, nth_hash(1));
    assert_int_equal(denied(filter, 0, 1000), 0);
    assert_int_equal(key_filter_bytes(filter), 0);
    key_filter_destroy(filter);
}

/* ---- In a store. */

struct world {
    char *dir;
    struct store_options options;
    struct store *store;
    struct keyspace *ks;
    int64_t mono_ms;
};

static void open_store(struct world *w)
{
    struct err err;
    assert_ok(store_open(&w->options, &w->store, &err), &err);
    w->ks = store_keyspace(w->store);
}

static int setup(void **state)
{
    struct world *w = mem_calloc(1, sizeof(*w));
    w->dir = harness_make_dir();
    w->options = (struct store_options){.env = env_posix(),
                                        .dir = w->dir,
                                        .db_count = DB_COUNT,
                                        .large_object_bytes = 1000,
                                        .large_collection_bytes = 1000,
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
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    (void)store_close(w->store, false, NULL);
    harness_remove_dir(w->dir);
    mem_free(w->dir);
    mem_free(w);
    return 0;
}

static void key_ref(struct world *w, uint32_t n, char name[32], struct keyref *out)
{
    int len = snprintf(name, 32, "{one}key:%u", n);
    ks_ref(w->ks, ks_db(w->ks, n % DB_COUNT), bytes_make(name, (size_t)len), out);
}

/* Every 5th is a set. */
static void write_keys(struct world *w, uint32_t from, uint32_t to)
{
    for (uint32_t n = from; n < to; n++) {
        char name[32];
        struct keyref ref;
        key_ref(w, n, name, &ref);
        ref.flags = KEYREF_BLIND;
        if (n % 5 != 0) {
            (void)ks_set_string(w->ks, &ref, bytes_text("a value"));
            continue;
        }
        struct object *o = ks_create(w->ks, &ref, OBJECT_SET);
        ks_change_begin(w->ks, ref.db, o);
        set_init(o, ks_value_rules(w->ks), bytes_text("member"), 1);
        (void)set_add(o, ks_value_rules(w->ks), bytes_text("member"));
        ks_change_end(w->ks, ref.db, o);
    }
}

static void read_key(struct world *w, struct keyref *ref)
{
    struct err err;
    if (ref->object != NULL)
        return;
    enum status st =
        loader_read_now(store_loader(w->store), ref->db, ref->position, ref->key, &err);
    assert_true(st == ST_OK || st == ST_NOT_FOUND);
}

static void delete_keys(struct world *w, uint32_t from, uint32_t to)
{
    for (uint32_t n = from; n < to; n++) {
        char name[32];
        struct keyref ref;
        key_ref(w, n, name, &ref);
        read_key(w, &ref);
        assert_non_null(ks_find(w->ks, &ref));
        ks_delete(w->ks, &ref);
    }
}

static void evict(struct world *w)
{
    struct err err;
    assert_ok(store_evict_all(w->store, &err), &err);
}

static void tick(struct world *w)
{
    w->mono_ms += 1000;
    (void)store_tick(w->store, 1000000 + w->mono_ms, w->mono_ms);
}

/* Asks for each `step`th key; how many of those that are not there were denied without a look. */
static uint32_t check_keys(struct world *w, uint32_t from, uint32_t to, uint32_t step, bool there)
{
    uint32_t count = 0;
    for (uint32_t n = from; n < to; n += step) {
        char name[32];
        struct keyref ref;
        key_ref(w, n, name, &ref);
        if (there)
            assert_true(ref.object != NULL || !ks_is_absent(w->ks, ref.db, ref.position));
        else
            count += ks_is_absent(w->ks, ref.db, ref.position);
    }
    return count;
}

static bool is_filled(const struct world *w)
{
    for (uint32_t i = 0; i < DB_COUNT; i++)
        if (ks_db(w->ks, i)->filtered_to != TABLE_POSITION_LIMIT)
            return false;
    return true;
}

/* Ticks until the filter is filled; asks for keys meanwhile. */
static void wait_filled(struct world *w, uint32_t from, uint32_t to)
{
    int64_t deadline_ms = harness_now_ms() + WAIT_MS_MAX;
    while (!is_filled(w)) {
        assert_true(harness_now_ms() < deadline_ms);
        tick(w);
        (void)check_keys(w, from, to, 97, true);
    }
}

static void reopen(struct world *w)
{
    struct err err;
    assert_ok(store_close(w->store, true, &err), &err);
    open_store(w);
}

static void new_keys_are_known_to_be_absent(void **state)
{
    struct world *w = *state;
    write_keys(w, 0, STORED_KEYS);
    evict(w);
    assert_int_equal(ks_db(w->ks, 0)->resident, 0);
    assert_true(is_filled(w));
    (void)check_keys(w, 0, STORED_KEYS, 1, true);
    assert_true(check_keys(w, STORED_KEYS, STORED_KEYS * 2, 1, false) > STORED_KEYS - 20);
    write_keys(w, STORED_KEYS, STORED_KEYS * 2);
    assert_true(loader_resolving(store_loader(w->store)) < 20);
    /* Blind writes over what is on disk are looked up. */
    write_keys(w, 0, 100);
    assert_true(loader_resolving(store_loader(w->store)) >= 100);
    evict(w);
    assert_int_equal(ks_db(w->ks, 0)->cold_count + ks_db(w->ks, 1)->cold_count +
                         ks_db(w->ks, 2)->cold_count,
                     STORED_KEYS * 2);
}

static void after_a_restart_it_is_filled_while_keys_come_and_go(void **state)
{
    struct world *w = *state;
    write_keys(w, 0, STORED_KEYS);
    evict(w);
    reopen(w);
    assert_false(is_filled(w));
    assert_int_equal(check_keys(w, STORED_KEYS, STORED_KEYS * 2, 1, false), 0);
    uint32_t written = STORED_KEYS;
    while (!is_filled(w)) {
        tick(w);
        if (written < STORED_KEYS * 2) {
            write_keys(w, written, written + 50);
            written += 50;
            evict(w);
        }
        (void)check_keys(w, 0, written, 7, true);
    }
    (void)check_keys(w, 0, written, 1, true);
    assert_true(check_keys(w, STORED_KEYS * 3, STORED_KEYS * 4, 1, false) > STORED_KEYS - 20);
}

static void when_worn_it_is_filled_again(void **state)
{
    struct world *w = *state;
    for (uint32_t round = 0; round < 5; round++) {
        write_keys(w, round * STORED_KEYS, (round + 1) * STORED_KEYS);
        evict(w);
        if (round == 4)
            break;
        delete_keys(w, round * STORED_KEYS, (round + 1) * STORED_KEYS);
        evict(w);
    }
    assert_true(is_filled(w));
    /* 100,000 entries for 20,000 keys are not too many yet; without these, they are. */
    tick(w);
    assert_true(key_filter_count(w->ks->filter) > STORED_KEYS * 5 - 100);
    delete_keys(w, STORED_KEYS * 4, STORED_KEYS * 5 - 1000);
    evict(w);
    for (int64_t end = harness_now_ms() + WAIT_MS_MAX;
         key_filter_count(w->ks->filter) > STORED_KEYS;) {
        assert_true(harness_now_ms() < end);
        tick(w);
        (void)check_keys(w, STORED_KEYS * 5 - 1000, STORED_KEYS * 5, 1, true);
    }
    wait_filled(w, STORED_KEYS * 5 - 1000, STORED_KEYS * 5);
    assert_true(key_filter_count(w->ks->filter) <= 1000);
    assert_true(check_keys(w, 0, STORED_KEYS, 1, false) > STORED_KEYS - 5);
}

static void emptied_and_swapped_databases_keep_their_keys_apart(void **state)
{
    struct world *w = *state;
    write_keys(w, 0, STORED_KEYS);
    evict(w);
    reopen(w);
    tick(w);
    ks_flush_db(w->ks, 1);
    ks_swap_db(w->ks, 0, 2);
    ks_swap_db(w->ks, 0, 2);
    wait_filled(w, 0, 1);
    for (uint32_t n = 0; n < STORED_KEYS; n++) {
        char name[32];
        struct keyref ref;
        key_ref(w, n, name, &ref);
        assert_int_equal(ks_is_absent(w->ks, ref.db, ref.position), n % DB_COUNT == 1);
    }
    write_keys(w, 1, 2);
    evict(w);
    (void)check_keys(w, 1, 2, 1, true);
}

static void a_bound_that_changes_loses_no_keys(void **state)
{
    struct world *w = *state;
    write_keys(w, 0, STORED_KEYS);
    evict(w);
    w->options.hot_bytes_max = (size_t)4 << 20;
    store_configure(w->store, &w->options);
    assert_int_equal(key_filter_bytes(w->ks->filter), 0);
    assert_int_equal(check_keys(w, STORED_KEYS, STORED_KEYS * 2, 1, false), 0);
    tick(w);
    assert_int_equal(check_keys(w, STORED_KEYS, STORED_KEYS * 2, 1, false), 0);
    w->options.hot_bytes_max = (size_t)1 << 30;
    store_configure(w->store, &w->options);
    (void)check_keys(w, 0, STORED_KEYS, 1, true);
    tick(w);
    assert_false(is_filled(w));
    wait_filled(w, 0, STORED_KEYS);
    (void)check_keys(w, 0, STORED_KEYS, 1, true);
    assert_true(check_keys(w, STORED_KEYS, STORED_KEYS * 2, 1, false) > STORED_KEYS - 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_denies_only_what_was_not_added),
        cmocka_unit_test(keys_of_one_slot_spread_over_the_pages),
        cmocka_unit_test(at_its_bound_it_gives_pages_up_and_denies_nothing_wrongly),
        cmocka_unit_test(a_bound_too_low_from_the_start_denies_nothing),
        cmocka_unit_test_setup_teardown(new_keys_are_known_to_be_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(after_a_restart_it_is_filled_while_keys_come_and_go, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(when_worn_it_is_filled_again, setup, teardown),
        cmocka_unit_test_setup_teardown(emptied_and_swapped_databases_keep_their_keys_apart, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bound_that_changes_loses_no_keys, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
