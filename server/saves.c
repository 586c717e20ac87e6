#include "server/saves.h"

#include "codec/mem.h"
#include "codec/rdb_format.h"
#include "server/config.h"
#include "server/exec.h"
#include "server/log.h"
#include "server/memory_report.h"
#include "server/server.h"
#include "server/services.h"
#include "server/version.h"
#include "storage/rdb_save.h"
#include "storage/store.h"

#define RETRY_MS 5000 /* after a failure, before a save point is heeded again */

struct saves {
    const struct services *services;
    uint64_t started, ended; /* numbers of saves */
    bool failed;             /* the last one */
    uint64_t count;
    int64_t last_good_ms; /* wall clock; 0: none yet */
    int64_t last_took_ms;
    int64_t began_ms; /* wall clock, of the last one */
    uint64_t changes_when_begun, changes_saved;
};

struct saves *saves_create(const struct services *services)
{
    struct saves *saves = mem_calloc(1, sizeof(*saves));
    saves->services = services;
    saves->last_took_ms = -1;
    rdb_save_remove_rest(store_env(services->store), services->config->dir,
                         services->config->dbfilename);
    return saves;
}

void saves_destroy(struct saves *saves)
{
    mem_free(saves);
}

static uint64_t count_changes(const struct saves *saves)
{
    struct exec_stats stats;
    exec_read_stats(saves->services->exec, &stats);
    return stats.changes;
}

/* Also called while the server is being closed: looks at nothing but `result` then. */
static void on_done(void *arg, const struct rdb_save_result *result)
{
    struct saves *saves = arg;
    saves->ended = saves->started;
    saves->failed = result->status != ST_OK;
    saves->last_took_ms = result->took_ms;
    if (saves->failed) {
        log_write(LOG_WARNING, "Saving an RDB file failed: %s", result->err.message);
        return;
    }
    saves->count++;
    saves->last_good_ms = saves->began_ms + result->took_ms;
    saves->changes_saved = saves->changes_when_begun;
    log_write(LOG_NOTICE,
              "DB saved on disk: %llu keys, %llu bytes, %.3f seconds, journal offset %llu",
              (unsigned long long)result->keys, (unsigned long long)result->bytes,
              (double)result->took_ms / 1000, (unsigned long long)result->offset);
    if (result->undated != 0)
        log_write(
            LOG_WARNING,
            "The RDB file lacks the deadlines of fields of %llu hashes: rdb-version 12 is the "
            "first that has them",
            (unsigned long long)result->undated);
}

/* Counts a save that begins now. */
static void begin(struct saves *saves, struct rdb_save_options *options)
{
    const struct config *config = saves->services->config;
    struct memory_report memory;
    memory_report_read(saves->services, &memory);
    saves->started++;
    saves->began_ms = exec_now_ms(saves->services->exec);
    saves->changes_when_begun = count_changes(saves);
    *options = (struct rdb_save_options){.dir = config->dir,
                                         .name = config->dbfilename,
                                         .redis_version = REDIS_COMPATIBLE_VERSION,
                                         .version = config->rdb_version,
                                         .no_compression = !config->rdbcompression,
                                         .no_checksum = !config->rdbchecksum,
                                         .used_memory = memory.used,
                                         .done = on_done,
                                         .arg = saves};
}

uint64_t saves_start(struct saves *saves)
{
    struct rdb_save *save = store_rdb_save(saves->services->store);
    struct rdb_save_options options;
    if (rdb_save_running(save))
        return 0;
    begin(saves, &options);
    log_write(LOG_NOTICE, "Background saving started");
    rdb_save_start(save, &options);
    return saves->started;
}

bool saves_run(struct saves *saves)
{
    struct rdb_save *save = store_rdb_save(saves->services->store);
    struct rdb_save_options options;
    begin(saves, &options);
    options.version = RDB_VERSION_MAX;
    rdb_save_now(save, &options);
    return !saves->failed;
}

void saves_cron(struct saves *saves)
{
    const struct config_save *points = &saves->services->config->save;
    if (points->count == 0 || exec_loading(saves->services->exec) || saves_running(saves))
        return;
    struct saves_stats stats;
    saves_read_stats(saves, &stats);
    int64_t now_ms = exec_now_ms(saves->services->exec);
    if (saves->failed && now_ms - saves->began_ms < RETRY_MS)
        return;
    for (size_t i = 0; i < points->count; i++) {
        const struct config_save_point *point = &points->points[i];
        if (stats.changes < (uint64_t)point->changes ||
            now_ms - stats.last_good_ms <= point->seconds * 1000)
            continue;
        log_write(LOG_NOTICE, "%d changes in %lld seconds. Saving...", point->changes,
                  (long long)point->seconds);
        (void)saves_start(saves);
        return;
    }
}

bool saves_running(const struct saves *saves)
{
    return rdb_save_running(store_rdb_save(saves->services->store));
}

bool saves_last_was_good(const struct saves *saves)
{
    return !saves->failed;
}

uint64_t saves_last_ended(const struct saves *saves)
{
    return saves->ended;
}

void saves_read_stats(const struct saves *saves, struct saves_stats *out)
{
    *out = (struct saves_stats){.running = saves_running(saves),
                                .last_was_good = !saves->failed,
                                .count = saves->count,
                                .last_good_ms = saves->last_good_ms,
                                .last_took_ms = saves->last_took_ms,
                                .running_ms = -1,
                                .changes = count_changes(saves) - saves->changes_saved};
    struct server_facts facts;
    server_read_facts(saves->services->server, &facts);
    if (out->last_good_ms == 0)
        out->last_good_ms = facts.started_at_ms;
    if (!out->running)
        return;
    out->running_ms = exec_now_ms(saves->services->exec) - saves->began_ms;
    rdb_save_read_progress(store_rdb_save(saves->services->store), &out->keys_done,
                           &out->keys_total);
}
