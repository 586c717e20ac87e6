/* Goal: whatever happens in whatever order, the store holds what a plain array would hold, RocksDB
 * equals the dataset at the cut's journal offset, and a reopened store goes on from there.
 *
 * Method: seeded random operations on a real store in a scratch directory, with time, cuts (in the
 * smallest slices), demotions, loads that are held up, scans in flight, expiry and the reaper in
 * between; the store is closed and reopened, with and without a last cut, and then replays from its
 * journal, which holds the numbers of the operations. A second model follows the cuts, and RocksDB
 * is read directly and compared with it. A failure prints its seed: BASALT_TEST_SEED=n repeats it
 * (but for the timing of threads); BASALT_TEST_RUNS=n runs more seeds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/env.h"
#include "storage/store.h"
#include "storage/tier.h"
#include "tests/support/harness.h"
#include "tests/support/store_check.h"
#include "tests/support/store_model.h"
#include "tests/support/store_ops.h"
#include "tests/support/store_scanner.h"

#define RUNS           6
#define STEPS          5000
#define REOPEN_STEPS   1250
#define READERS        12
#define SCANNERS       3
#define CLIENTS        6
#define WAIT_MS_MAX    20000
#define JOURNAL_RECORD 8 /* bytes: the number of the operation */

struct run;

/* A request that waits for a key, as a client would, and holds its loads for a while. */
struct reader {
    struct run *run;
    bool active;
    bool ready;    /* its loads have come back */
    struct op op;  /* what it looks at: see store_op_check */
    uint32_t hold; /* steps; once it has read */
    bool has_read;
    struct load_wait wait;
};

/* A request that changes keys, run as the server does: from the callback of its loads. */
struct client {
    struct run *run;
    bool active;
    bool ready;
    bool blind;
    struct op op;
    struct load_wait wait;
};

struct run {
    uint64_t seed;
    uint64_t random;
    char *dir;
    struct store_options options;
    uint32_t chunk_bytes;
    struct store *store;
    struct keyspace *ks;
    struct store_model model;
    struct store_model disk_model; /* at the applied cut's offset */
    struct op *ops;
    size_t op_count, op_capacity;
    size_t disk_op_count; /* of ops, applied to disk_model */
    uint64_t cut_count;   /* seen */
    int64_t now_ms, mono_ms;
    struct reader readers[READERS];
    struct client clients[CLIENTS];
    struct store_model_habits habits;
    bool refuses;       /* expired keys are kept, as while the journal is failed */
    uint32_t cold_odds; /* under always_cold: one in so many operations demotes everything */
    struct store_scanner scanners[SCANNERS];
};

static uint32_t below(struct run *run, uint32_t limit)
{
    return store_model_below(&run->random, limit);
}

static void sleep_a_little(void)
{
    const struct timespec pause = {.tv_nsec = 20000};
    (void)nanosleep(&pause, NULL);
}

/* Lets background work come back. */
static void drain(struct run *run)
{
    loader_submit(store_loader(run->store));
    store_drain(run->store);
}

static void drain_until_zero(struct run *run, const uint32_t *outstanding)
{
    int64_t deadline_ms = harness_now_ms() + WAIT_MS_MAX;
    for (drain(run); *outstanding != 0; drain(run)) {
        assert_true(harness_now_ms() < deadline_ms);
        sleep_a_little();
    }
}

/* ---- Operations. */

static void make_ref(struct run *run, uint32_t db, uint32_t key, struct keyref *out)
{
    ks_ref(run->ks, ks_db(run->ks, db), store_model_key_name(key), out);
}

/* Store, journal, model: what one command does. */
static void perform(struct run *run, struct op op, uint32_t flags)
{
    struct journal *journal = store_journal(run->store);
    if (run->op_count == run->op_capacity) {
        run->op_capacity = run->op_capacity == 0 ? 1024 : run->op_capacity * 2;
        run->ops = mem_realloc(run->ops, run->op_capacity * sizeof(*run->ops));
    }
    store_op_execute(run->store, &op, flags);
    uint8_t record[JOURNAL_RECORD];
    store_le64(record, run->op_count);
    journal_stage_raw(journal, bytes_make(record, sizeof(record)));
    journal_set_db(journal, 0);
    op.offset = journal_end(journal);
    run->ops[run->op_count++] = op;
    store_model_apply(&run->model, &op);
    for (uint32_t i = 0; i < SCANNERS; i++)
        store_scanner_note(&run->scanners[i], &op);
}

static void expired(void *arg, uint32_t number, struct keyref *ref)
{
    struct run *run = arg;
    uint32_t key = store_model_key_of(ref->key);
    assert_true(key < MODEL_KEYS);
    const struct store_model_key *expected = &run->model.dbs[number][key];
    assert_true(expected->live);
    assert_true(expected->expire_at_ms != MODEL_NO_EXPIRE);
    assert_true(expected->expire_at_ms <= run->ks->now_ms);
    assert_int_equal(ks_find(run->ks, ref)->expire_at_ms, expected->expire_at_ms);
    if (!run->refuses)
        perform(run, (struct op){.kind = OP_DELETE, .db = number, .key = key}, 0);
}

/* ---- Residency. */

static void nothing_to_do(void *arg)
{
    (void)arg;
}

/* Makes the keys of the operation resident as a client's request would: asks, waits, and asks
 * again, until nothing is missing. `wait` is to be released after the operation. */
static void make_resident(struct run *run, const struct op *op, bool blind, struct load_wait *wait)
{
    for (uint32_t tries = 0; !store_op_want(run->store, op, blind, wait); tries++) {
        assert_true(tries < 100);
        drain_until_zero(run, &wait->outstanding);
        assert_false(wait->failed);
    }
}

/* ---- Requests. */

static struct op choose_op(struct run *run)
{
    return store_model_choose(&run->model, &run->habits, run->now_ms, &run->random);
}

static bool is_allowed(const struct run *run, const struct op *op)
{
    if (!store_model_allows(&run->model, op))
        return false;
    return op->kind != OP_SET_NUMBER ||
           run->model.dbs[op->db][op->key].value.len <= run->options.large_object_bytes;
}

static void demote_all(struct run *run)
{
    struct err err;
    if (run->options.always_cold && below(run, run->cold_odds) == 0)
        assert_ok(store_evict_all(run->store, &err), &err);
}

static void step_client(struct client *client)
{
    struct run *run = client->run;
    client->ready = false;
    assert_false(client->wait.failed);
    if (is_allowed(run, &client->op)) {
        if (!store_op_want(run->store, &client->op, client->blind, &client->wait)) {
            client->ready = client->wait.outstanding == 0;
            return;
        }
        perform(run, client->op, client->blind ? KEYREF_BLIND : 0);
        demote_all(run);
    }
    load_wait_release(store_loader(run->store), &client->wait);
    client->active = false;
}

static void client_ready(void *arg)
{
    struct client *client = arg;
    client->ready = true;
    if (below(client->run, 4) != 0)
        step_client(client);
}

static void start_client(struct run *run)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &run->clients[i];
        if (client->active)
            continue;
        *client = (struct client){
            .run = run, .active = true, .op = choose_op(run), .blind = below(run, 2) == 0};
        client->wait.ready = client_ready;
        client->wait.arg = client;
        step_client(client);
        return;
    }
}

static void step_clients(struct run *run)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (run->clients[i].active && run->clients[i].ready)
            step_client(&run->clients[i]);
}

static void do_op(struct run *run)
{
    struct op op = choose_op(run);
    if (!is_allowed(run, &op))
        return;
    bool blind = below(run, 2) == 0;
    struct load_wait wait = {.ready = nothing_to_do};
    if (below(run, 4) == 0)
        store_op_read(run->store, &op, blind);
    else
        make_resident(run, &op, blind, &wait);
    /* Waiting may have let the key expire. */
    if (is_allowed(run, &op))
        perform(run, op, blind ? KEYREF_BLIND : 0);
    load_wait_release(store_loader(run->store), &wait);
    demote_all(run);
}

/* ---- Readers. */

static void step_reader(struct reader *reader)
{
    struct run *run = reader->run;
    reader->ready = false;
    assert_false(reader->wait.failed);
    const struct op *op = &reader->op;
    if (!store_op_want(run->store, op, true, &reader->wait)) {
        reader->ready = reader->wait.outstanding == 0;
        return;
    }
    struct keyref ref;
    make_ref(run, op->db, op->key, &ref);
    const struct object *o = ks_find(run->ks, &ref);
    const struct store_model_key *expected = &run->model.dbs[op->db][op->key];
    if (o == NULL && expected->live)
        print_error("key %s of database %u is not found\n",
                    (const char *)store_model_key_name(op->key).data, op->db);
    assert_int_equal(o != NULL, expected->live);
    if (o != NULL)
        store_op_check(op, o, expected);
    reader->has_read = true;
    reader->hold = below(run, 4) == 0 ? below(run, 200) : 0;
}

static void reader_ready(void *arg)
{
    struct reader *reader = arg;
    reader->ready = true;
    if (below(reader->run, 2) == 0)
        step_reader(reader);
}

static void release_reader(struct reader *reader)
{
    if (!reader->active)
        return;
    load_wait_release(store_loader(reader->run->store), &reader->wait);
    reader->active = false;
}

static void init_reader(struct run *run, struct reader *reader, uint32_t db, uint32_t key,
                        enum op_kind kind)
{
    *reader = (struct reader){.run = run, .active = true};
    reader->op = (struct op){.kind = kind,
                             .db = db,
                             .key = key,
                             .seed = (uint32_t)store_model_random(&run->random),
                             .len = below(run, 10)};
}

static void start_reader(struct run *run, uint32_t db, uint32_t key)
{
    for (uint32_t i = 0; i < READERS; i++) {
        struct reader *reader = &run->readers[i];
        if (reader->active)
            continue;
        init_reader(run, reader, db, key, below(run, 2) == 0 ? OP_COPY : OP_ADD);
        reader->wait.ready = reader_ready;
        reader->wait.arg = reader;
        step_reader(reader);
        return;
    }
}

static void step_readers(struct run *run)
{
    for (uint32_t i = 0; i < READERS; i++) {
        struct reader *reader = &run->readers[i];
        if (!reader->active)
            continue;
        if (reader->ready)
            step_reader(reader);
        if (reader->has_read && reader->hold-- == 0)
            release_reader(reader);
    }
}

/* ---- Scans. */

static void start_scanner(struct run *run)
{
    for (uint32_t i = 0; i < SCANNERS; i++) {
        if (!store_scanner_is_busy(&run->scanners[i])) {
            store_scanner_start(&run->scanners[i], run->store, &run->model, &run->random);
            return;
        }
    }
}

static void step_scanners(struct run *run)
{
    for (uint32_t i = 0; i < SCANNERS; i++)
        store_scanner_step(&run->scanners[i]);
}

/* ---- The disk. */

static void follow_cut(struct run *run, uint64_t offset)
{
    while (run->disk_op_count < run->op_count && run->ops[run->disk_op_count].offset <= offset)
        store_model_apply(&run->disk_model, &run->ops[run->disk_op_count++]);
    if (run->disk_op_count != 0)
        assert_int_equal(run->ops[run->disk_op_count - 1].offset, offset);
}

/* Lets the reaper come to its end. */
static void reap_all(struct run *run)
{
    struct reap *reap = store_reap(run->store);
    int64_t deadline_ms = harness_now_ms() + WAIT_MS_MAX;
    do {
        assert_true(harness_now_ms() < deadline_ms);
        run->mono_ms += 5000;
        reap_tick(reap, run->ks->applied_epoch, run->mono_ms);
        while (reap_busy(reap)) {
            sleep_a_little();
            drain(run);
        }
    } while (store_has_reap_notes(run->store));
}

static void check_disk(struct run *run, bool reaped)
{
    struct cut_stats stats;
    if (cut_running(store_cut(run->store)))
        return;
    if (reaped)
        reap_all(run);
    while (reap_busy(store_reap(run->store))) {
        sleep_a_little();
        drain(run);
    }
    cut_read_stats(store_cut(run->store), &stats);
    assert_false(stats.failed);
    follow_cut(run, stats.offset);
    store_check_disk(run->store, &run->disk_model, reaped);
}

static void look_at_cuts(struct run *run)
{
    struct cut_stats stats;
    cut_read_stats(store_cut(run->store), &stats);
    if (stats.count == run->cut_count)
        return;
    run->cut_count = stats.count;
    if (below(run, 10) == 0)
        check_disk(run, below(run, 2) == 0);
}

/* ---- Time. */

static void pass_time(struct run *run, uint32_t ms)
{
    run->now_ms += ms;
    run->mono_ms += ms;
    run->ks->now_ms = run->now_ms;
    run->ks->clock.seconds = (uint32_t)(run->mono_ms / 1000);
}

/* A loop tick in pieces, some of which are left out. */
static void tick(struct run *run)
{
    pass_time(run, below(run, 30));
    if (below(run, 100) == 0)
        run->refuses = !run->refuses;
    if (below(run, 100) == 0)
        expire_set_paused(store_expire(run->store), below(run, 2) == 0);
    if (below(run, 300) == 0) { /* the wall clock is set */
        run->now_ms += (int64_t)below(run, 20000) - 10000;
        pass_time(run, 0);
    }
    if (below(run, 3) != 0)
        drain(run);
    if (below(run, 8) == 0)
        (void)expire_tick(store_expire(run->store), run->now_ms, 1000);
    if (below(run, 4) != 0)
        (void)cut_tick(store_cut(run->store), run->mono_ms, 0);
    if (below(run, 8) == 0)
        (void)evict_make_room(store_evict(run->store), 0, 100);
    if (below(run, 20) == 0)
        reap_tick(store_reap(run->store), run->ks->applied_epoch, run->mono_ms);
    if (below(run, 10) == 0)
        (void)store_tick(run->store, run->now_ms, run->mono_ms);
    look_at_cuts(run);
}

static void demote_one(struct run *run)
{
    struct keyref ref;
    make_ref(run, below(run, MODEL_DBS), below(run, run->habits.key_count), &ref);
    if (ref.object != NULL)
        (void)evict_object(store_evict(run->store), ref.db, ref.object);
}

static void do_rare(struct run *run)
{
    struct err err;
    switch (below(run, 8)) {
    case 0:
        assert_ok(store_cut_now(run->store, below(run, 8) == 0, &err), &err);
        check_disk(run, below(run, 2) == 0);
        break;
    case 1:
        assert_ok(store_evict_all(run->store, &err), &err);
        store_check_keyspace(run->ks);
        break;
    case 2:
        (void)evict_all(store_evict(run->store));
        break;
    case 3:
        cut_request(store_cut(run->store));
        break;
    case 4:
        journal_submit(store_journal(run->store));
        break;
    default:
        store_check_keyspace(run->ks);
        break;
    }
}

static void step(struct run *run)
{
    uint32_t what = below(run, 100);
    if (what < 35)
        do_op(run);
    else if (what < 55)
        start_client(run);
    else if (what < 75)
        tick(run);
    else if (what < 85)
        start_reader(run, below(run, MODEL_DBS), below(run, run->habits.key_count));
    else if (what < 94)
        demote_one(run);
    else if (what < 97)
        start_scanner(run);
    else
        do_rare(run);
    step_readers(run);
    step_clients(run);
    step_scanners(run);
}

/* ---- Opening and closing. */

static void let_go(struct run *run)
{
    for (uint32_t i = 0; i < READERS; i++)
        release_reader(&run->readers[i]);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        load_wait_release(store_loader(run->store), &run->clients[i].wait);
        run->clients[i].active = false;
    }
    for (uint32_t i = 0; i < SCANNERS; i++)
        store_scanner_stop(&run->scanners[i]);
}

static void replay_block(struct run *run, size_t *next, struct bytes payload)
{
    assert_int_equal(payload.len % JOURNAL_RECORD, 0);
    for (size_t at = 0; at < payload.len; at += JOURNAL_RECORD) {
        uint64_t number = load_le64(payload.data + at);
        assert_int_equal(number, *next);
        assert_true(number < run->op_count);
        const struct op *op = &run->ops[number];
        bool blind = below(run, 2) == 0;
        store_op_read(run->store, op, blind);
        store_op_execute(run->store, op, blind ? KEYREF_BLIND : 0);
        (*next)++;
    }
}

/* Replays what is behind the cut; returns how many operations that were. With `stops` it may give
 * up before the end. */
static size_t replay(struct run *run, bool stops)
{
    size_t first = run->disk_op_count;
    size_t next = first;
    uint32_t db = 0;
    uint64_t offset = 0;
    struct bytes payload;
    struct err err;
    enum status st = ST_OK;
    while ((st = store_replay_next(run->store, &db, &offset, &payload, &err)) == ST_OK) {
        replay_block(run, &next, payload);
        if (stops && below(run, 20) == 0)
            return next - first;
    }
    assert_status(st, ST_END);
    assert_int_equal(next, run->op_count);
    return next - first;
}

static void open_store(struct run *run)
{
    struct err err;
    assert_ok(store_open(&run->options, &run->store, &err), &err);
    run->ks = store_keyspace(run->store);
    run->ks->string_rules.chunk_bytes = run->chunk_bytes;
    run->cut_count = 0;
    pass_time(run, 0);
}

static void resolve_all(struct run *run)
{
    int64_t deadline_ms = harness_now_ms() + WAIT_MS_MAX;
    while (loader_resolving(store_loader(run->store)) != 0) {
        assert_true(harness_now_ms() < deadline_ms);
        drain(run);
        sleep_a_little();
    }
}

static void reopen(struct run *run, bool clean)
{
    struct err err;
    let_go(run);
    if (clean)
        resolve_all(run);
    assert_ok(store_close(run->store, clean, &err), &err);
    open_store(run);
    check_disk(run, false);
    if (!clean && below(run, 2) == 0) {
        (void)replay(run, true);
        assert_ok(store_close(run->store, false, &err), &err);
        open_store(run);
        check_disk(run, false);
    }
    size_t replayed = replay(run, false);
    if (clean)
        assert_int_equal(replayed, 0);
    resolve_all(run);
    store_check_keyspace(run->ks);
    store_check_sizes(run->ks, &run->model);
}

/* Each key, through loads where it is cold. */
static void check_all_keys(struct run *run)
{
    for (uint32_t db = 0; db < MODEL_DBS; db++) {
        for (uint32_t key = 0; key < MODEL_KEYS; key++) {
            struct reader reader;
            init_reader(run, &reader, db, key, OP_COPY);
            reader.wait.ready = nothing_to_do;
            for (uint32_t tries = 0; !reader.has_read; tries++) {
                assert_true(tries < 100);
                drain_until_zero(run, &reader.wait.outstanding);
                step_reader(&reader);
            }
            release_reader(&reader);
        }
    }
}

/* Far in the future no key with an expiry may be left, in RAM or on disk. */
static void check_everything_expires(struct run *run)
{
    int64_t deadline_ms = harness_now_ms() + WAIT_MS_MAX;
    uint64_t left = 1;
    run->refuses = false;
    expire_set_paused(store_expire(run->store), false);
    while (left != 0) {
        assert_true(harness_now_ms() < deadline_ms);
        pass_time(run, 5000);
        (void)store_tick(run->store, run->now_ms, run->mono_ms);
        sleep_a_little();
        left = 0;
        for (uint32_t db = 0; db < MODEL_DBS; db++)
            left += store_model_expires(&run->model, db);
    }
    resolve_all(run);
    store_check_sizes(run->ks, &run->model);
}

static void init_run(struct run *run, uint64_t seed)
{
    *run = (struct run){.seed = seed, .random = seed * 7919 + 1};
    run->dir = harness_make_dir();
    run->now_ms = INT64_C(1700000000000);
    run->mono_ms = 1000000;
    run->chunk_bytes = below(run, 2) == 0 ? 64 : 1024;
    run->habits = (struct store_model_habits){
        .key_count = (const uint32_t[]){4, 12, 40, MODEL_KEYS}[below(run, 4)],
        .flush_odds = below(run, 2) == 0 ? 15 : 300,
        .mostly_large = below(run, 2) == 0,
        .mostly_expires = below(run, 2) == 0,
        .mostly_sets = below(run, 2) == 0,
    };
    run->cold_odds = 1 + below(run, 8) * 4;
    store_model_init(&run->model);
    store_model_init(&run->disk_model);
    run->options = (struct store_options){
        .env = env_posix(),
        .dir = run->dir,
        .db_count = MODEL_DBS,
        .large_object_bytes = below(run, 2) == 0 ? 300 : 6000,
        .large_collection_bytes = below(run, 2) == 0 ? 300 : 3000,
        .set_intset_entries = 20,
        .set_listpack_entries = 20,
        .set_listpack_value = 64,
        .whole_load_bytes = 64 << 20,
        .fsync = JOURNAL_FSYNC_NO,
        .segment_bytes = JOURNAL_SEGMENT_BYTES_MIN,
        .flush_interval_ms = below(run, 2) == 0 ? 200 : 2000,
        .dirty_bytes_max = below(run, 2) == 0 ? 200000 : 10000000,
        .journal_bytes_max = 1 << 30,
        .block_cache_bytes = 4 << 20,
        .write_buffer_bytes = 4 << 20,
        .compaction_threads = 1,
        .loader_threads = 3,
        .hot_bytes_max = (const size_t[]){65536, 3 << 20, 1 << 30}[below(run, 3)],
        .policy = (enum evict_policy)below(run, 4),
        .volatile_first = below(run, 2) == 0,
        .samples = 5,
        .lfu_log_factor = 10,
        .lfu_decay_minutes = 1,
        .always_cold = below(run, 2) == 0,
        .expired = expired,
        .arg = run,
    };
}

static void deinit_run(struct run *run)
{
    store_model_deinit(&run->model);
    store_model_deinit(&run->disk_model);
    mem_free(run->ops);
    harness_remove_dir(run->dir);
    mem_free(run->dir);
}

static void run_seed(uint64_t seed)
{
    struct run *run = mem_calloc(1, sizeof(*run));
    init_run(run, seed);
    open_store(run);
    for (uint32_t i = 1; i <= STEPS; i++) {
        step(run);
        if (i % REOPEN_STEPS == 0)
            reopen(run, below(run, 2) == 0);
    }
    check_all_keys(run);
    check_everything_expires(run);
    reopen(run, true);
    check_disk(run, true);
    check_all_keys(run);
    struct err err;
    assert_ok(store_close(run->store, true, &err), &err);
    deinit_run(run);
    mem_free(run);
}

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static uint64_t current_seed;

static int print_seed(void **state)
{
    (void)state;
    if (current_seed != 0)
        print_error("store_model_test failed with BASALT_TEST_SEED=%llu\n",
                    (unsigned long long)current_seed);
    return 0;
}

static void the_store_holds_what_a_plain_array_would_hold(void **state)
{
    (void)state;
    uint64_t seed = number_from_environment("BASALT_TEST_SEED", 0);
    uint64_t runs = seed != 0 ? 1 : number_from_environment("BASALT_TEST_RUNS", RUNS);
    if (seed == 0)
        seed = (uint64_t)time(NULL) % 1000000 + 1;
    for (uint64_t i = 0; i < runs; i++) {
        current_seed = seed + i;
        run_seed(current_seed);
    }
    current_seed = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(the_store_holds_what_a_plain_array_would_hold, NULL, print_seed)};
    return RUN_TESTS("store_model", tests);
}
