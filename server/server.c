#include "server/server.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "server/acl.h"
#include "server/command.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/exec.h"
#include "server/hot_keys.h"
#include "server/import_start.h"
#include "server/latency.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/loop.h"
#include "server/memory_report.h"
#include "server/metrics_http.h"
#include "server/migrations.h"
#include "server/monitor.h"
#include "server/oom_score.h"
#include "server/open_files.h"
#include "server/pubsub.h"
#include "server/push.h"
#include "server/replay.h"
#include "server/replicas.h"
#include "server/saves.h"
#include "server/scripting.h"
#include "server/services.h"
#include "server/slowlog.h"
#include "server/stats.h"
#include "server/supervise.h"
#include "server/tls.h"
#include "server/tracking.h"
#include "storage/env.h"
#include "storage/expire.h"
#include "storage/keyspace.h"
#include "storage/store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REPLAY_BUDGET_US       20000
#define PULSE_IDLE_MS          10 /* longest sleep of the loop */
#define PULSE_BUSY_MS          1  /* while writes wait for their turn */
#define REPLAY_LOG_PERIOD_MS   2000
#define SHUTDOWN_SIGNALS_FORCE 2 /* a second signal during shutdown ends the process at once */

struct server {
    struct services services;
    struct config *config;
    struct env *env;
    struct replay *replay;              /* NULL once the dataset is complete */
    struct loop_wakeup *work_wakeup;    /* loaders, flusher */
    struct loop_wakeup *journal_wakeup; /* durability advanced */
    struct loop_timer *cron;
    uint64_t pulse_ms;
    struct loop_timer *pulse; /* ends long sleeps so that expiry and cuts go on */
    struct listeners *listeners;
    struct metrics_http *metrics;
    struct oom_score oom_score;
    struct server_facts facts;
    char run_id[41];
    int64_t replay_logged_ms;
    bool shutdown_asked;
    struct server_shutdown shutdown;
    int signal_count;
    int exit_status;
};

/* ---- Settings to the store --------------------------------------------------------------------
 */

static enum journal_fsync fsync_policy(const struct config *config)
{
    switch (config->appendfsync) {
    case CONFIG_APPENDFSYNC_ALWAYS:
        return JOURNAL_FSYNC_ALWAYS;
    case CONFIG_APPENDFSYNC_NO:
        return JOURNAL_FSYNC_NO;
    default:
        return JOURNAL_FSYNC_EVERYSEC;
    }
}

static void fill_policy(const struct config *config, struct store_options *out)
{
    out->policy = EVICT_LRU;
    switch (config->maxmemory_policy) {
    case CONFIG_POLICY_VOLATILE_LFU:
    case CONFIG_POLICY_ALLKEYS_LFU:
        out->policy = EVICT_LFU;
        break;
    case CONFIG_POLICY_VOLATILE_RANDOM:
    case CONFIG_POLICY_ALLKEYS_RANDOM:
        out->policy = EVICT_RANDOM;
        break;
    case CONFIG_POLICY_VOLATILE_TTL:
        out->policy = EVICT_TTL;
        break;
    default:
        break;
    }
    out->volatile_first = config->maxmemory_policy == CONFIG_POLICY_VOLATILE_LRU ||
                          config->maxmemory_policy == CONFIG_POLICY_VOLATILE_LFU ||
                          config->maxmemory_policy == CONFIG_POLICY_VOLATILE_RANDOM ||
                          config->maxmemory_policy == CONFIG_POLICY_VOLATILE_TTL;
}

/* A thirty-second part of the hot tier, within sensible bounds: a batch may be twice as large under
 * pressure, and while it is written RocksDB holds about four times its size. */
static size_t dirty_limit(const struct config *config, size_t hot_bytes)
{
    if (config->dirty_limit != 0)
        return config->dirty_limit;
    size_t limit = hot_bytes / 32;
    if (limit > ((size_t)64 << 20))
        limit = (size_t)64 << 20;
    if (limit < ((size_t)4 << 20))
        limit = (size_t)4 << 20;
    return limit;
}

/* memtable-size, but no more than a thirty-second part of the memory that this process may use. */
static uint64_t memtable_bytes(const struct config *config)
{
    uint64_t share = config_memory_available() / 32;
    if (share < ((uint64_t)16 << 20))
        share = (uint64_t)16 << 20;
    return config->memtable_size < share ? config->memtable_size : share;
}

static void work_ready(void *arg)
{
    loop_wakeup_signal(((struct server *)arg)->work_wakeup);
}

static void journal_ready(void *arg)
{
    loop_wakeup_signal(((struct server *)arg)->journal_wakeup);
}

static void key_expired(void *arg, uint32_t db, struct keyref *ref)
{
    exec_expired(((struct server *)arg)->services.exec, db, ref);
}

static void fill_store_options(struct server *server, struct store_options *out)
{
    const struct config *config = server->config;
    size_t hot_bytes = config_effective_maxmemory(config);
    *out = (struct store_options){
        .env = server->env,
        .dir = config->dir,
        .db_count = (uint32_t)config->databases,
        .large_object_bytes = config->large_object_threshold,
        .large_collection_bytes = config->large_collection_threshold,
        .zset_listpack_entries = config->zset_max_listpack_entries,
        .zset_listpack_value = config->zset_max_listpack_value,
        .hash_listpack_entries = config->hash_max_listpack_entries,
        .hash_listpack_value = config->hash_max_listpack_value,
        .set_intset_entries = config->set_max_intset_entries,
        .set_listpack_entries = config->set_max_listpack_entries,
        .set_listpack_value = config->set_max_listpack_value,
        .whole_load_bytes = config->whole_load_limit,
        .fsync = fsync_policy(config),
        .segment_bytes = config->journal_segment_size,
        .retain_bytes = (uint64_t)config->repl_backlog_size,
        .archiving = {.bytes = config->journal_retention_size,
                      .ms = config->journal_retention_time * 1000},
        .accept_loss = config->accept_journal_loss,
        .flush_interval_ms = config->flush_interval,
        .dirty_bytes_max = dirty_limit(config, hot_bytes),
        .journal_bytes_max = config->journal_max_since_cut,
        .block_cache_bytes = config->block_cache_size,
        .write_buffer_bytes = memtable_bytes(config),
        .compaction_threads = (uint32_t)config->compaction_threads,
        .loader_threads = (uint32_t)config->loader_threads,
        .hot_bytes_max = hot_bytes,
        .samples = (uint32_t)config->maxmemory_samples,
        .lfu_log_factor = (uint8_t)config->lfu_log_factor,
        .lfu_decay_minutes = (uint16_t)config->lfu_decay_time,
        .always_cold = config->debug_always_cold,
        .rdb_key_delay_us = config->rdb_key_save_delay,
        .wakeup = work_ready,
        .journal_progress = journal_ready,
        .expired = key_expired,
        .arg = server,
        .log = log_sink,
    };
    fill_policy(config, out);
    if (out->samples > 64)
        out->samples = 64;
}

static enum status apply_store_settings(void *arg, const struct config *config, struct err *err)
{
    struct server *server = arg;
    (void)config;
    (void)err;
    struct store_options options;
    fill_store_options(server, &options);
    store_configure(server->services.store, &options);
    exec_configure(server->services.exec);
    return ST_OK;
}

static enum status apply_loglevel(void *arg, const struct config *config, struct err *err)
{
    (void)arg;
    (void)err;
    log_set_level(config->loglevel);
    return ST_OK;
}

static void register_hooks(struct server *server)
{
    static const char *const store_settings[] = {"appendfsync",
                                                 "flush-interval",
                                                 "dirty-limit",
                                                 "journal-max-since-cut",
                                                 "maxmemory",
                                                 "maxmemory-policy",
                                                 "maxmemory-samples",
                                                 "lfu-log-factor",
                                                 "lfu-decay-time",
                                                 "journal-retention-size",
                                                 "journal-retention-time",
                                                 "repl-backlog-size",
                                                 "rdb-key-save-delay",
                                                 "debug-always-cold",
                                                 "notify-keyspace-events",
                                                 "slowlog-log-slower-than",
                                                 "slowlog-max-len",
                                                 "latency-monitor-threshold",
                                                 "large-object-threshold",
                                                 "large-collection-threshold",
                                                 "whole-load-limit",
                                                 "zset-max-listpack-entries",
                                                 "zset-max-listpack-value",
                                                 "hash-max-listpack-entries",
                                                 "hash-max-listpack-value",
                                                 "set-max-intset-entries",
                                                 "set-max-listpack-entries",
                                                 "set-max-listpack-value"};
    for (size_t i = 0; i < sizeof(store_settings) / sizeof(store_settings[0]); i++)
        config_on_change(server->config, store_settings[i], apply_store_settings, server);
    config_on_change(server->config, "loglevel", apply_loglevel, server);
    server->oom_score.path = OOM_SCORE_PATH;
    config_on_change(server->config, "oom-score-adj", oom_score_apply, &server->oom_score);
    config_on_change(server->config, "oom-score-adj-values", oom_score_apply, &server->oom_score);
}

/* ---- Loading ----------------------------------------------------------------------------------
 */

static void finish_replay(struct server *server)
{
    struct replay_stats stats;
    replay_read_stats(server->replay, &stats);
    server->facts.loading_commands = stats.commands;
    server->facts.loading_us =
        (env_now_realtime_ms(server->env) - server->facts.loading_started_ms) * 1000;
    replay_destroy(server->replay);
    server->replay = NULL;
    exec_set_loading(server->services.exec, false);
    log_write(LOG_NOTICE, "Journal replayed behind the last cut: %llu commands, %.3f seconds",
              (unsigned long long)stats.commands, (double)server->facts.loading_us / 1e6);
    listeners_log_ready(server->listeners);
    supervise_ready(server->config);
}

static void log_replay_progress(struct server *server)
{
    int64_t now_ms = env_now_realtime_ms(server->env);
    if (now_ms - server->replay_logged_ms < REPLAY_LOG_PERIOD_MS)
        return;
    server->replay_logged_ms = now_ms;
    struct replay_stats stats;
    replay_read_stats(server->replay, &stats);
    log_write(LOG_NOTICE, "Replaying the journal: %llu of %llu bytes, %llu commands",
              (unsigned long long)stats.bytes_done, (unsigned long long)stats.bytes_total,
              (unsigned long long)stats.commands);
}

static void go_on_replaying(struct server *server)
{
    struct err err;
    enum status st = replay_step(server->replay, REPLAY_BUDGET_US, &err);
    if (st == ST_AGAIN) {
        log_replay_progress(server);
        loop_again(server->services.loop);
    } else if (st == ST_END) {
        finish_replay(server);
    } else {
        log_write(LOG_WARNING, "Fatal: the journal cannot be replayed: %s", err.message);
        server->exit_status = 1;
        loop_stop(server->services.loop);
    }
}

/* ---- Shutdown ---------------------------------------------------------------------------------
 */

void server_request_shutdown(struct server *server, const struct server_shutdown *how)
{
    server->shutdown_asked = true;
    server->shutdown = *how;
    loop_again(server->services.loop);
}

bool server_abort_shutdown(struct server *server)
{
    bool asked = server->shutdown_asked;
    server->shutdown_asked = false;
    return asked;
}

static void on_signal(void *arg, int signal_number)
{
    struct server *server = arg;
    if (++server->signal_count >= SHUTDOWN_SIGNALS_FORCE && server->shutdown_asked) {
        log_write(LOG_WARNING, "You insist... exiting now.");
        _exit(1);
    }
    log_write(LOG_WARNING, "Received %s scheduling shutdown...",
              signal_number == SIGINT ? "SIGINT" : "SIGTERM");
    struct server_shutdown how = {.force = true};
    server_request_shutdown(server, &how);
}

static void carry_out_shutdown(struct server *server)
{
    server->shutdown_asked = false;
    log_write(LOG_WARNING, "User requested shutdown...");
    struct err err;
    if (server->replay == NULL && !server->shutdown.no_save) {
        log_write(LOG_NOTICE, "Writing the last cut before exiting.");
        if (store_cut_now(server->services.store, true, &err) != ST_OK) {
            log_write(LOG_WARNING, "The last cut failed: %s", err.message);
            if (!server->shutdown.force) {
                log_write(LOG_WARNING, "Errors trying to shut down, check the log for details.");
                return;
            }
        }
    }
    journal_submit(server->services.journal);
    if (journal_wait_durable(server->services.journal, journal_end(server->services.journal),
                             &err) != ST_OK)
        log_write(LOG_WARNING, "The journal's end could not be synced: %s", err.message);
    conns_flush(server->services.conns);
    loop_stop(server->services.loop);
}

/* ---- Scripts that run for too long ------------------------------------------------------------
 */

/* Inside a request that will not end: what it has done is in RAM alone and is lost, and all else is
 * in the journal. Closing the store would take its time, and it needs no closing. */
static void leave_at_once(struct server *server)
{
    struct err err;
    log_write(LOG_WARNING, "User requested shutdown...");
    if (journal_wait_durable(server->services.journal, journal_end(server->services.journal),
                             &err) != ST_OK)
        log_write(LOG_WARNING, "The journal's end could not be synced: %s", err.message);
    supervise_stopping(server->config);
    listeners_close(server->listeners);
    supervise_remove_pid(server->config);
    log_write(LOG_WARNING, "Basalt is now ready to exit, bye bye...");
    _exit(0);
}

/* A scripting_serve_fn. */
static void serve_while_busy(void *arg, const struct session *session)
{
    struct server *server = arg;
    listeners_accept(server->listeners);
    conns_serve_busy(server->services.conns, session);
    if (server->shutdown_asked)
        leave_at_once(server);
}

/* ---- Ticks ------------------------------------------------------------------------------------
 */

/* Runs before that of the connections, which ends the executor's tick and sends what may be sent.
 */
static void set_pulse(struct server *server, uint64_t period_ms)
{
    if (server->pulse == NULL || server->pulse_ms == period_ms)
        return;
    server->pulse_ms = period_ms;
    loop_timer_start(server->pulse, period_ms, period_ms);
}

static void on_tick_end(void *arg)
{
    struct server *server = arg;
    if (server->replay != NULL)
        go_on_replaying(server);
    replicas_tick(server->services.replicas);
    if (server->shutdown_asked)
        carry_out_shutdown(server);
}

static void on_cron(void *arg)
{
    struct server *server = arg;
    uint64_t begin_us = loop_clock_us();
    conns_cron(server->services.conns);
    expire_set_paused(store_expire(server->services.store),
                      conns_paused(server->services.conns) != CONNS_RUN);
    saves_cron(server->services.saves);
    replicas_cron(server->services.replicas);
    hot_keys_cron(server->services.hot_keys, exec_mono_ms(server->services.exec));
    stats_sample(server->services.stats, loop_clock_us());
    memory_report_sample(server->services.stats, exec_mono_ms(server->services.exec));
    server->services.stats->cron_duration_us += loop_clock_us() - begin_us;
}

static void on_pulse(void *arg)
{
    (void)arg; /* being awake is all: the tick's end does the work */
}

/* ---- Opening and closing ----------------------------------------------------------------------
 */

static void make_run_id(struct server *server)
{
    uint8_t random[20];
    server->env->random_bytes(server->env, random, sizeof(random));
    for (int i = 0; i < 20; i++)
        (void)snprintf(server->run_id + 2 * i, 3, "%02x", random[i]);
    server->facts.run_id = server->run_id;
}

static enum status choose_env(struct server *server, struct err *err)
{
    server->env = env_posix();
    const char *faults = getenv("BASALT_FAULT");
    if (faults == NULL || server->config->enable_debug_command == CONFIG_PERMIT_NO)
        return ST_OK;
    log_write(LOG_WARNING, "Injecting faults as BASALT_FAULT says: %s", faults);
    return env_posix_with_faults(faults, &server->env, err);
}

static enum status rename_commands(struct server *server, struct err *err)
{
    const struct config *config = server->config;
    for (size_t i = 0; i < config->rename_count; i++) {
        enum status st =
            command_rename(server->services.commands, bytes_text(config->renames[i].from),
                           bytes_text(config->renames[i].to));
        if (st == ST_NOT_FOUND)
            return err_set(err, st, "rename-command: no such command '%s'",
                           config->renames[i].from);
        if (st != ST_OK)
            return err_set(err, st, "rename-command: target name '%s' already exists",
                           config->renames[i].to);
    }
    return ST_OK;
}

static enum status open_parts(struct server *server, struct err *err)
{
    struct services *services = &server->services;
    const struct config_replicaof *replicaof = &server->config->replicaof;
    if (replicaof->host != NULL)
        return err_set(
            err, ST_UNSUPPORTED,
            "replicaof %s %d: this server cannot be a replica, it can only have replicas",
            replicaof->host, replicaof->port);
    services->commands = command_table_create();
    enum status st = rename_commands(server, err);
    if (st != ST_OK)
        return st;
    services->pushes = pushes_create();
    services->stats = stats_create(command_count(services->commands));
    services->acl = acl_create(services);
    st = acl_load_configured(services->acl, err);
    if (st != ST_OK)
        return st;
    st = open_files_adjust(server->config, err);
    if (st != ST_OK)
        return st;
    st = loop_open(&services->loop, err);
    if (st != ST_OK)
        return st;
    server->work_wakeup = loop_wakeup_create(services->loop, NULL, NULL);
    server->journal_wakeup = loop_wakeup_create(services->loop, NULL, NULL);
    st = import_at_start(server->env, server->config, err);
    if (st != ST_OK)
        return st;
    struct store_options options;
    fill_store_options(server, &options);
    st = store_open(&options, &services->store, err);
    if (st != ST_OK)
        return st;
    services->ks = store_keyspace(services->store);
    services->journal = store_journal(services->store);
    services->cold = store_cold(services->store);
    services->pubsub = pubsub_create(services->pushes, ks_hash_seed(services->ks));
    services->tracking = tracking_create(services, ks_hash_seed(services->ks));
    services->slowlog = slowlog_create();
    services->latency = latency_create();
    services->monitors = monitors_create(services->pushes);
    services->hot_keys = hot_keys_create(ks_hash_seed(services->ks));
    services->exec = exec_create(services);
    services->saves = saves_create(services);
    services->replicas = replicas_create(services);
    services->migrations = migrations_create(services->loop);
    services->scripting = scripting_create(services);
    st = scripting_read_libraries(services->scripting, err);
    if (st != ST_OK)
        return st;
    loop_on_tick_end(services->loop, on_tick_end, server);
    services->tls = tls_create(server->config);
    services->conns = conns_create(services);
    server->listeners = listeners_create(services);
    scripting_on_busy(services->scripting, serve_while_busy, server);
    st = metrics_http_open(services, &server->metrics, err);
    return st == ST_OK ? listeners_open(server->listeners, err) : st;
}

enum status server_open(struct config *config, const char *executable, struct server **out,
                        struct err *err)
{
    struct server *server = mem_calloc(1, sizeof(*server));
    server->config = config;
    server->services.config = config;
    server->services.server = server;
    server->facts.executable = executable;
    enum status st = choose_env(server, err);
    if (st == ST_OK) {
        server->facts.started_at_ms = env_now_realtime_ms(server->env);
        server->facts.started_mono_ms = env_now_mono_us(server->env) / 1000;
        make_run_id(server);
        st = open_parts(server, err);
    }
    if (st != ST_OK) {
        server_close(server);
        return st;
    }
    register_hooks(server);
    loop_on_signal(server->services.loop, on_signal, server);
    server->cron = loop_timer_create(server->services.loop, on_cron, server);
    loop_timer_start(server->cron, 100, (uint64_t)(1000 / config->hz));
    server->pulse = loop_timer_create(server->services.loop, on_pulse, server);
    set_pulse(server, PULSE_IDLE_MS);
    exec_set_loading(server->services.exec, true);
    server->facts.loading_started_ms = env_now_realtime_ms(server->env);
    server->replay = replay_create(&server->services);
    log_write(LOG_NOTICE, "Server initialized");
    *out = server;
    return ST_OK;
}

int server_run(struct server *server)
{
    loop_run(server->services.loop);
    return server->exit_status;
}

void server_close(struct server *server)
{
    if (server == NULL)
        return;
    struct services *services = &server->services;
    metrics_http_close(server->metrics);
    listeners_destroy(server->listeners);
    conns_destroy(services->conns);
    tls_destroy(services->tls);
    replay_destroy(server->replay);
    scripting_destroy(services->scripting);
    exec_destroy(services->exec);
    migrations_destroy(services->migrations);
    tracking_destroy(services->tracking);
    pubsub_destroy(services->pubsub);
    monitors_destroy(services->monitors);
    latency_destroy(services->latency);
    hot_keys_destroy(services->hot_keys);
    slowlog_destroy(services->slowlog);
    pushes_destroy(services->pushes);
    struct err err;
    (void)store_close(services->store, false, &err);
    saves_destroy(services->saves);
    replicas_destroy(services->replicas);
    loop_timer_destroy(server->cron);
    loop_timer_destroy(server->pulse);
    loop_wakeup_destroy(server->work_wakeup);
    loop_wakeup_destroy(server->journal_wakeup);
    loop_close(services->loop);
    stats_destroy(services->stats);
    acl_destroy(services->acl);
    command_table_destroy(services->commands);
    mem_free(server);
}

void server_read_facts(const struct server *server, struct server_facts *out)
{
    *out = server->facts;
    out->loading = server->replay != NULL;
    if (server->replay != NULL) {
        struct replay_stats stats;
        replay_read_stats(server->replay, &stats);
        out->loading_bytes_total = stats.bytes_total;
        out->loading_bytes_done = stats.bytes_done;
    }
}

enum status server_reload(struct server *server, struct err *err)
{
    enum status st = store_cut_now(server->services.store, true, err);
    if (st == ST_OK)
        (void)evict_all(store_evict(server->services.store));
    return st;
}
