#include "storage/store.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"
#include "storage/backup.h"
#include "storage/backup_stage.h"
#include "storage/cold.h"
#include "storage/env.h"
#include "storage/feed.h"
#include "storage/key_filter.h"
#include "storage/key_filter_fill.h"
#include "storage/key_survey.h"
#include "storage/meta.h"
#include "storage/rdb_save.h"
#include "storage/table.h"
#include "storage/tier.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define BOOT_PATH                "/proc/sys/kernel/random/boot_id"
#define BOOT_BYTES_MAX           256
#define JOURNAL_TIME_INTERVAL_MS 100
#define RESOLVER_THREADS         2
#define CUT_BUDGET_US            500
#define EVICT_EXTRA_US           2000 /* more for each 64th of maxmemory over the bound */
#define EVICT_BUDGET_US_MAX      10000
#define EVICT_BUDGET_US          300
#define EXPIRE_BUDGET_US         500
#define KEY_FILTER_SHARE         16 /* of the hot tier's bytes: one of so many */

struct store {
    struct store_options options;
    struct meta_identity identity;
    struct completions *load_completions; /* of loads: may resume requests */
    struct completions *cut_completions;  /* of flusher and resolver: never run commands */
    struct executor *loaders, *resolvers, *flusher, *reclaimers, *scanners, *snapshots;
    struct cold *cold;
    struct journal *journal;
    struct journal_reader *replay;
    struct feeds *feeds;
    struct keyspace *ks;
    struct loader *loader;
    struct cut *cut;
    struct evict *evict;
    struct expire *expire;
    struct scans *scans;
    struct reap *reap;
    struct rdb_save *rdb_save;
    struct key_survey *key_survey;
    struct key_filter_fill *filter_fill;
    struct backup_stage *backup;
    atomic_uint_fast64_t reclaims_pending; /* store_read_reclaimed */
    atomic_uint_fast64_t reclaimed;
    char *dir;                /* owned; absolute */
    uint32_t memory_pressure; /* as of the last tick, 0..1000 */
    bool cuts_held;           /* store_hold_cuts */
    bool measures_ticks;
    struct store_tick_times tick_times; /* of the last tick */
};

/* ---- Reclaiming memory ------------------------------------------------------------------------
 */

struct reclaim_job {
    struct job job; /* first */
    struct store *store;
    void (*free_fn)(void *value);
    void *value;
    uint64_t objects;
};

static void run_reclaim(struct job *job)
{
    struct reclaim_job *reclaim = (struct reclaim_job *)(void *)job;
    reclaim->free_fn(reclaim->value);
    (void)atomic_fetch_add(&reclaim->store->reclaimed, reclaim->objects);
    (void)atomic_fetch_sub(&reclaim->store->reclaims_pending, reclaim->objects);
    mem_free(reclaim);
}

static void reclaim(struct store *store, void (*free_fn)(void *value), void *value,
                    uint64_t objects)
{
    struct reclaim_job *reclaim = mem_calloc(1, sizeof(*reclaim));
    reclaim->job.run = run_reclaim;
    reclaim->store = store;
    reclaim->free_fn = free_fn;
    reclaim->value = value;
    reclaim->objects = objects;
    (void)atomic_fetch_add(&store->reclaims_pending, objects);
    executor_submit(store->reclaimers, &reclaim->job);
}

static void reclaim_value(void *arg, void (*free_fn)(void *value), void *value)
{
    reclaim(arg, free_fn, value, 1);
}

static void free_db(void *value)
{
    db_destroy(value);
}

static void reclaim_db(void *arg, struct db *db)
{
    reclaim(arg, free_db, db, table_count(db->table));
}

/* The server may change its working directory, and others ask where the files are. */
static char *absolute_path(const char *path)
{
    char here[ENV_PATH_BYTES_MAX];
    if (path[0] == '/' || getcwd(here, sizeof(here)) == NULL)
        return mem_strdup(path);
    struct buf out = {0};
    buf_append_format(&out, "%s/%s", here, path);
    buf_append_byte(&out, 0);
    char *absolute = mem_strdup((const char *)out.data);
    buf_deinit(&out);
    return absolute;
}

/* ---- Opening ----------------------------------------------------------------------------------
 */

static enum status open_cold(struct store *store, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    enum status st = env_mkdir(store->options.env, store->options.dir, err);
    if (st != ST_OK)
        return st;
    (void)snprintf(path, sizeof(path), "%s/rocksdb", store->options.dir);
    struct cold_options options = {.dir = path,
                                   .block_cache_bytes = store->options.block_cache_bytes,
                                   .write_buffer_bytes = store->options.write_buffer_bytes,
                                   .background_jobs = store->options.compaction_threads};
    return cold_open(&options, &store->cold, err);
}

static enum status make_identity(struct store *store, struct err *err)
{
    meta_make_identity(store->options.env, &store->identity);
    struct cold_batch *batch = cold_batch_create();
    meta_put_identity(batch, &store->identity);
    enum status st = cold_write(store->cold, batch, true, err);
    cold_batch_destroy(batch);
    return st;
}

/* Replicas may have been sent more than was synced. When that can be lost, because the machine has
 * stopped or a damaged end was given up, the same offsets will mean other commands. */
static enum status settle_history(struct store *store, struct err *err)
{
    struct buf boot = {0}, known = {0};
    struct journal_recovery recovery;
    struct env *env = store->options.env;
    struct err ignored;
    if (env_read_file(env, BOOT_PATH, BOOT_BYTES_MAX, &boot, &ignored) != ST_OK)
        buf_clear(&boot); /* every boot is another one */
    enum status st = meta_read_boot(store->cold, &known, err);
    bool same = st == ST_OK && known.len != 0 && bytes_equal(buf_bytes(&known), buf_bytes(&boot));
    journal_read_recovery(store->journal, &recovery);
    bool lost = !recovery.fresh && (recovery.loss_accepted || (!recovery.clean && !same));
    if (st == ST_NOT_FOUND)
        st = ST_OK;
    if (st == ST_OK && (lost || !same)) {
        struct cold_batch *batch = cold_batch_create();
        if (lost)
            meta_renew_replication_id(env, &store->identity);
        meta_put_identity(batch, &store->identity);
        meta_put_boot(batch, buf_bytes(&boot));
        st = cold_write(store->cold, batch, true, err);
        cold_batch_destroy(batch);
    }
    buf_deinit(&boot);
    buf_deinit(&known);
    return st;
}

static enum status create_keyspace(struct store *store, const struct meta_state *state)
{
    uint32_t db_count = store->options.db_count;
    if (state->db_count > db_count)
        db_count = state->db_count;
    struct keyspace_options options = {.db_count = db_count,
                                       .hash_seed = store->identity.hash_seed,
                                       .large_bytes = store->options.large_object_bytes,
                                       .large_collection_bytes =
                                           store->options.large_collection_bytes};
    struct keyspace *ks = ks_create_keyspace(&options);
    store->ks = ks;
    ks->reclaim_value = reclaim_value;
    ks->reclaim_db = reclaim_db;
    ks->reclaim_arg = store;
    ks->probation = probation_create();
    if (state->db_count == 0)
        return ST_OK;
    ks->next_object_id = state->next_object_id;
    ks->next_db_id = state->next_db_id;
    for (uint32_t i = 0; i < db_count; i++) {
        struct db *db = ks->dbs[i];
        if (i >= state->db_count) {
            db->id = ks->next_db_id++;
            continue;
        }
        const struct meta_db *from = &state->dbs[i];
        db->id = from->id;
        for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++) {
            db->disk[type] = from->keys[type];
            db->cold[type] = from->keys[type];
            db->cold_count += from->keys[type];
        }
        db->on_disk = db->cold_count != 0;
        if (db->on_disk)
            db->filtered_to = 0;
        db->disk_expires = from->expires;
        db->cold_expires = from->expires;
    }
    return ST_OK;
}

static enum status open_journal(struct store *store, uint64_t cut_offset, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    char store_id[BACKUP_NAME_BYTES_MAX];
    (void)snprintf(path, sizeof(path), "%s/rocksdb", store->options.dir);
    enum status st = backup_read_store_id(store->options.env, path, store_id, err);
    if (st != ST_OK)
        return st;
    (void)snprintf(path, sizeof(path), "%s/journal", store->options.dir);
    struct journal_options options = {.env = store->options.env,
                                      .dir = path,
                                      .segment_bytes = store->options.segment_bytes,
                                      .fsync = store->options.fsync,
                                      .retain_bytes = store->options.retain_bytes,
                                      .archiving = store->options.archiving,
                                      .history = store_id,
                                      .time_interval_ms = JOURNAL_TIME_INTERVAL_MS,
                                      .start_offset = cut_offset,
                                      .needed_from = cut_offset,
                                      .accept_loss = store->options.accept_loss,
                                      .notify = store->options.journal_progress,
                                      .notify_arg = store->options.arg,
                                      .log = store->options.log,
                                      .log_arg = store->options.log_arg};
    st = journal_open(&options, &store->journal, err);
    if (st != ST_OK)
        return st;
    struct journal_recovery recovery;
    journal_read_recovery(store->journal, &recovery);
    if (!recovery.fresh && recovery.first_offset > cut_offset)
        return err_set(
            err, ST_CORRUPT,
            "the journal in %s begins at offset %llu, after the last cut at %llu: RocksDB "
            "is older than the journal or missing",
            path, (unsigned long long)recovery.first_offset, (unsigned long long)cut_offset);
    if (journal_end(store->journal) < cut_offset)
        return err_set(
            err, ST_CORRUPT, "the journal in %s ends at offset %llu, before the last cut at %llu",
            path, (unsigned long long)journal_end(store->journal), (unsigned long long)cut_offset);
    if (journal_end(store->journal) == cut_offset)
        return ST_OK;
    st = journal_reader_open(store->journal, cut_offset, &store->replay, err);
    if (st == ST_OK && !journal_reader_aligned(store->replay))
        st = err_set(err, ST_CORRUPT, "the last cut's offset %llu is inside a block of the journal",
                     (unsigned long long)cut_offset);
    return st;
}

static void fill_evict_options(const struct store *store, struct evict_options *out)
{
    const struct store_options *options = &store->options;
    *out = (struct evict_options){.ks = store->ks,
                                  .cut = store->cut,
                                  .bytes_max = options->hot_bytes_max,
                                  .policy = options->policy,
                                  .volatile_first = options->volatile_first,
                                  .samples = options->samples};
}

static void start_parts(struct store *store, uint64_t cut_offset)
{
    const struct store_options *options = &store->options;
    struct loader_options loader = {.ks = store->ks,
                                    .cold = store->cold,
                                    .executor = store->loaders,
                                    .resolver = store->resolvers};
    store->loader = loader_create(&loader);
    store->ks->loader = store->loader;
    struct cut_options cut = {.ks = store->ks,
                              .cold = store->cold,
                              .journal = store->journal,
                              .flusher = store->flusher,
                              .completions = store->cut_completions,
                              .offset = cut_offset,
                              .interval_ms = options->flush_interval_ms,
                              .dirty_bytes_max = options->dirty_bytes_max,
                              .journal_bytes_max = options->journal_bytes_max,
                              .unordered = options->always_cold,
                              .log = options->log,
                              .log_arg = options->log_arg};
    store->cut = cut_create(&cut);
    store->ks->cut = store->cut;
    struct evict_options evict;
    fill_evict_options(store, &evict);
    store->evict = evict_create(&evict);
    struct expire_options expire = {.ks = store->ks,
                                    .cold = store->cold,
                                    .cut = store->cut,
                                    .executor = store->scanners,
                                    .expired = options->expired,
                                    .arg = options->arg};
    store->expire = expire_create(&expire);
    struct scans_options scans = {
        .ks = store->ks, .cold = store->cold, .executor = store->scanners};
    store->scans = scans_create(&scans);
    store->reap = reap_create(store->cold, store->flusher);
    struct rdb_save_parts save = {.env = options->env,
                                  .cold = store->cold,
                                  .cut = store->cut,
                                  .reap = store->reap,
                                  .executor = store->snapshots,
                                  .hash_seed = store->identity.hash_seed};
    store->rdb_save = rdb_save_create(&save);
    rdb_save_set_key_delay(store->rdb_save, options->rdb_key_delay_us);
    struct key_survey_parts survey = {
        .cold = store->cold, .reap = store->reap, .completions = store->load_completions};
    store->key_survey = key_survey_create(&survey);
    store->filter_fill = key_filter_fill_create(store->ks, store->cold, store->load_completions);
    store->feeds = feeds_create(options->env, store->journal, store->cut_completions);
    struct backup_stage_options backup = {.env = options->env,
                                          .dir = store->dir,
                                          .cold = store->cold,
                                          .journal = store->journal,
                                          .flusher = store->flusher,
                                          .reclaimer = store->reclaimers};
    store->backup = backup_stage_create(&backup);
}

static void configure_keyspace(struct store *store)
{
    const struct store_options *options = &store->options;
    key_filter_set_bound(store->ks->filter, options->hot_bytes_max / KEY_FILTER_SHARE);
    store->ks->clock.lfu = options->policy == EVICT_LFU;
    store->ks->clock.lfu_log_factor = options->lfu_log_factor;
    store->ks->clock.lfu_decay_minutes = options->lfu_decay_minutes;
    store->ks->string_rules.large_bytes = options->large_object_bytes;
    struct value_rules *rules = &store->ks->value_rules;
    rules->large_bytes = options->large_collection_bytes;
    rules->hash_listpack_entries = options->hash_listpack_entries;
    rules->hash_listpack_value = options->hash_listpack_value;
    rules->set_intset_entries = options->set_intset_entries;
    rules->set_listpack_entries = options->set_listpack_entries;
    rules->set_listpack_value = options->set_listpack_value;
    rules->zset_listpack_entries = options->zset_listpack_entries;
    rules->zset_listpack_value = options->zset_listpack_value;
    loader_set_inline(store->loader, !options->always_cold);
}

static void free_store(struct store *store)
{
    feeds_destroy(store->feeds);
    backup_stage_destroy(store->backup);
    journal_reader_close(store->replay);
    journal_close(store->journal);
    executor_destroy(store->loaders);
    executor_destroy(store->resolvers);
    executor_destroy(store->flusher);
    executor_destroy(store->scanners);
    executor_destroy(store->snapshots);
    while (completions_drain(store->load_completions) + completions_drain(store->cut_completions))
        ;
    expire_destroy(store->expire);
    evict_destroy(store->evict);
    cut_destroy(store->cut);
    rdb_save_destroy(store->rdb_save);
    key_survey_destroy(store->key_survey);
    key_filter_fill_destroy(store->filter_fill);
    reap_destroy(store->reap);
    scans_destroy(store->scans);
    loader_destroy(store->loader);
    if (store->ks != NULL)
        probation_destroy(store->ks->probation);
    ks_destroy_keyspace(store->ks);
    executor_destroy(store->reclaimers);
    completions_destroy(store->load_completions);
    completions_destroy(store->cut_completions);
    cold_close(store->cold);
    mem_free(store->dir);
    mem_free(store);
}

enum status store_open(const struct store_options *options, struct store **out, struct err *err)
{
    struct store *store = mem_calloc(1, sizeof(*store));
    struct meta_state state = {0};
    store->options = *options;
    store->dir = absolute_path(options->dir);
    store->load_completions = completions_create(options->wakeup, options->arg);
    store->cut_completions = completions_create(options->wakeup, options->arg);
    enum status st = open_cold(store, err);
    if (st != ST_OK)
        goto out;
    st = meta_read_identity(store->cold, &store->identity, err);
    if (st == ST_NOT_FOUND)
        st = make_identity(store, err);
    if (st != ST_OK)
        goto out;
    st = meta_read_state(store->cold, &state, err);
    if (st != ST_OK && st != ST_NOT_FOUND)
        goto out;
    st = open_journal(store, state.cut_offset, err);
    if (st == ST_OK)
        st = settle_history(store, err);
    if (st != ST_OK)
        goto out;
    store->loaders = executor_create("loader", options->loader_threads, store->load_completions);
    store->scanners = executor_create("scanner", 1, store->load_completions);
    store->snapshots = executor_create("snapshot", 1, store->load_completions);
    store->resolvers = executor_create("resolver", RESOLVER_THREADS, store->cut_completions);
    store->flusher = executor_create("flusher", 1, store->cut_completions);
    store->reclaimers = executor_create("reclaim", 1, store->load_completions);
    st = create_keyspace(store, &state);
    start_parts(store, state.cut_offset);
    configure_keyspace(store);
    *out = store;
out:
    meta_state_deinit(&state);
    if (st != ST_OK)
        free_store(store);
    return st;
}

/* Waits until no thread has a job that it would hand back to a part. */
static void settle(struct store *store)
{
    const struct timespec pause = {.tv_nsec = 100000};
    for (;;) {
        loader_submit(store->loader);
        store_drain(store);
        if (!expire_busy(store->expire) && !reap_busy(store->reap) && !cut_writing(store->cut) &&
            !rdb_save_writing(store->rdb_save) && !key_survey_running(store->key_survey) &&
            !key_filter_fill_busy(store->filter_fill) && !backup_stage_busy(store->backup) &&
            loader_idle(store->loader))
            return;
        (void)nanosleep(&pause, NULL);
    }
}

enum status store_close(struct store *store, bool clean, struct err *err)
{
    if (store == NULL)
        return ST_OK;
    enum status st = ST_OK;
    expire_set_active(store->expire, false);
    reap_stop(store->reap);
    rdb_save_stop(store->rdb_save);
    key_survey_stop(store->key_survey);
    key_filter_fill_stop(store->filter_fill);
    settle(store);
    if (clean && store->replay == NULL)
        st = cut_run(store->cut, true, err);
    settle(store);
    free_store(store);
    return st;
}

void store_configure(struct store *store, const struct store_options *options)
{
    store->options = *options;
    configure_keyspace(store);
    cut_configure(store->cut, options->flush_interval_ms, options->dirty_bytes_max,
                  options->journal_bytes_max, options->always_cold);
    struct evict_options evict;
    fill_evict_options(store, &evict);
    evict_configure(store->evict, &evict);
    journal_set_fsync(store->journal, options->fsync);
    journal_set_retain(store->journal, options->retain_bytes);
    journal_set_archiving(store->journal, options->archiving);
    rdb_save_set_key_delay(store->rdb_save, options->rdb_key_delay_us);
}

/* ---- Running ----------------------------------------------------------------------------------
 */

enum status store_replay_next(struct store *store, uint32_t *db_out, uint64_t *offset_out,
                              struct bytes *payload_out, struct err *err)
{
    if (store->replay == NULL)
        return ST_END;
    enum status st = journal_reader_next(store->replay, db_out, offset_out, payload_out, err);
    if (st == ST_END) {
        journal_reader_close(store->replay);
        store->replay = NULL;
    }
    return st;
}

uint64_t store_replay_left(const struct store *store)
{
    return store->replay == NULL
               ? 0
               : journal_end(store->journal) - journal_reader_offset(store->replay);
}

void store_drain(struct store *store)
{
    (void)completions_drain(store->cut_completions);
    (void)completions_drain(store->load_completions);
}

/* The further over the bound, the longer eviction may work in a tick, so that it keeps up with any
 * rate of growth. True when there is no more to do now. */
static bool make_room(struct store *store)
{
    size_t max = store->options.hot_bytes_max;
    size_t used = evict_used_bytes(store->evict);
    store->memory_pressure = 0;
    if (used <= max)
        return true;
    int64_t budget_us = EVICT_BUDGET_US + (int64_t)((used - max) * EVICT_EXTRA_US / (max / 64 + 1));
    if (budget_us > EVICT_BUDGET_US_MAX)
        budget_us = EVICT_BUDGET_US_MAX;
    bool met = evict_make_room(store->evict, 0, budget_us);
    store->memory_pressure = evict_pressure(store->evict);
    return met || cut_running(store->cut);
}

uint32_t store_pressure(const struct store *store)
{
    uint32_t dirty = cut_pressure(store->cut);
    return dirty > store->memory_pressure ? dirty : store->memory_pressure;
}

void store_hold_cuts(struct store *store, bool hold)
{
    store->cuts_held = hold;
}

void store_measure_ticks(struct store *store, bool measure)
{
    store->measures_ticks = measure;
}

const struct store_tick_times *store_tick_times(const struct store *store)
{
    return &store->tick_times;
}

static int64_t tick_clock_us(const struct store *store)
{
    return store->measures_ticks ? env_now_mono_us(store->options.env) : 0;
}

bool store_tick(struct store *store, int64_t now_ms, int64_t mono_ms)
{
    struct keyspace *ks = store->ks;
    CHECK(!store->cuts_held); /* I4 */
    ks->now_ms = now_ms;
    ks->clock.seconds = (uint32_t)(mono_ms / 1000);
    store_drain(store);
    loader_submit(store->loader);
    if (store->replay != NULL)
        return false;
    int64_t start_us = tick_clock_us(store);
    bool more = expire_tick(store->expire, now_ms, EXPIRE_BUDGET_US);
    int64_t expired_us = tick_clock_us(store);
    more = cut_tick(store->cut, mono_ms, CUT_BUDGET_US) || more;
    int64_t cut_us = tick_clock_us(store);
    more = !make_room(store) || more;
    store->tick_times =
        (struct store_tick_times){.expire_us = (uint64_t)(expired_us - start_us),
                                  .cut_us = (uint64_t)(cut_us - expired_us),
                                  .evict_us = (uint64_t)(tick_clock_us(store) - cut_us)};
    reap_tick(store->reap, ks->applied_epoch, mono_ms);
    key_filter_fill_tick(store->filter_fill, mono_ms);
    return more;
}

/* A cut claims that RocksDB has everything up to the journal's end, and nothing else. */
static enum status may_cut(const struct store *store, struct err *err)
{
    if (store->replay != NULL)
        return err_set(err, ST_AGAIN, "the journal is still being replayed");
    if (store->cuts_held)
        return err_set(err, ST_AGAIN, "a transaction or script is running"); /* I4 */
    return ST_OK;
}

enum status store_cut_now(struct store *store, bool flush, struct err *err)
{
    enum status st = may_cut(store, err);
    return st == ST_OK ? cut_run(store->cut, flush, err) : st;
}

enum status store_resolve_now(struct store *store, struct err *err)
{
    loader_retry_resolves(store->loader);
    while (loader_resolving(store->loader) != 0) {
        loader_submit(store->loader);
        completions_wait(store->cut_completions);
        (void)completions_drain(store->cut_completions);
        enum status st = loader_resolve_status(store->loader, err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

enum status store_evict_all(struct store *store, struct err *err)
{
    enum status st = store_cut_now(store, false, err);
    if (st == ST_OK)
        (void)evict_all(store->evict);
    return st;
}

size_t store_whole_bytes_max(const struct store *store)
{
    size_t half = store->options.hot_bytes_max / 2;
    return store->options.whole_load_bytes < half ? store->options.whole_load_bytes : half;
}

void store_read_reclaimed(const struct store *store, uint64_t *pending_out, uint64_t *freed_out)
{
    *pending_out = atomic_load(&store->reclaims_pending);
    *freed_out = atomic_load(&store->reclaimed);
}

void store_reset_reclaimed(struct store *store)
{
    atomic_store(&store->reclaimed, 0);
}

bool store_always_cold(const struct store *store)
{
    return store->options.always_cold;
}

struct keyspace *store_keyspace(struct store *store)
{
    return store->ks;
}

struct journal *store_journal(struct store *store)
{
    return store->journal;
}

struct cold *store_cold(struct store *store)
{
    return store->cold;
}

struct loader *store_loader(struct store *store)
{
    return store->loader;
}

struct cut *store_cut(struct store *store)
{
    return store->cut;
}

struct evict *store_evict(struct store *store)
{
    return store->evict;
}

struct expire *store_expire(struct store *store)
{
    return store->expire;
}

struct scans *store_scans(struct store *store)
{
    return store->scans;
}

struct reap *store_reap(struct store *store)
{
    return store->reap;
}

struct env *store_env(const struct store *store)
{
    return store->options.env;
}

struct feeds *store_feeds(struct store *store)
{
    return store->feeds;
}

struct key_survey *store_key_survey(struct store *store)
{
    return store->key_survey;
}

struct rdb_save *store_rdb_save(struct store *store)
{
    return store->rdb_save;
}

struct backup_stage *store_backup(struct store *store)
{
    return store->backup;
}

const char *store_dir(const struct store *store)
{
    return store->dir;
}

const char *store_replication_id(const struct store *store)
{
    return store->identity.replication_id;
}

void store_set_replication_id(struct store *store, const char id[40])
{
    memcpy(store->identity.replication_id, id, 40);
}
