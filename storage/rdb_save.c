#include "storage/rdb_save.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "storage/cold.h"
#include "storage/cut.h"
#include "storage/env.h"
#include "storage/executor.h"
#include "storage/rdb_dataset.h"
#include "storage/reap.h"

#include <stdio.h>

#define SYNC_EACH_BYTES ((uint64_t)32 << 20) /* so that the last sync is short */

enum phase { IDLE, CUTTING, WRITING };

struct rdb_save {
    struct job job; /* first */
    struct rdb_save_parts parts;
    struct rdb_save_options options;
    enum phase phase;
    struct cut_snapshot_request request;
    struct rdb_progress progress;
    int64_t started_us;
    /* The job's. */
    char dir[ENV_PATH_BYTES_MAX];
    char path[ENV_PATH_BYTES_MAX];
    char temp[ENV_PATH_BYTES_MAX];
    char redis_version[32];
    struct cold_snapshot *snapshot;
    int fd;
    uint64_t written, synced;
    struct rdb_save_result result;
};

struct rdb_save *rdb_save_create(const struct rdb_save_parts *parts)
{
    struct rdb_save *save = mem_calloc(1, sizeof(*save));
    save->parts = *parts;
    return save;
}

void rdb_save_destroy(struct rdb_save *save)
{
    CHECK(save == NULL || save->phase == IDLE);
    mem_free(save);
}

/* ---- The thread --------------------------------------------------------------------------------
 */

static enum status write_file(void *arg, struct bytes data, struct err *err)
{
    struct rdb_save *save = arg;
    struct env *env = save->parts.env;
    if (atomic_load(&save->progress.stop))
        return err_set(err, ST_AGAIN, "it was stopped");
    enum status st = env_write_all(env, save->fd, save->temp, data.data, data.len, err);
    if (st != ST_OK)
        return st;
    save->written += data.len;
    if (save->written - save->synced < SYNC_EACH_BYTES)
        return ST_OK;
    save->synced = save->written;
    return env_sync(env, save->fd, save->temp, err);
}

static enum status put_all(struct rdb_save *save, struct err *err)
{
    struct rdb_writer_options options = {.write = write_file,
                                         .write_arg = save,
                                         .version = save->options.version,
                                         .no_compression = save->options.no_compression,
                                         .no_checksum = save->options.no_checksum};
    struct rdb_dataset dataset = {.cold = save->parts.cold,
                                  .snapshot = save->snapshot,
                                  .hash_seed = save->parts.hash_seed,
                                  .version = save->options.version,
                                  .now_ms = env_now_realtime_ms(save->parts.env),
                                  .redis_version = save->redis_version,
                                  .used_memory = save->options.used_memory,
                                  .leave_out = save->options.leave_out,
                                  .progress = &save->progress};
    struct rdb_writer *writer = rdb_writer_create(&options);
    enum status st = rdb_dataset_put(&dataset, writer, err);
    if (st == ST_OK)
        st = rdb_writer_finish(writer, err);
    rdb_writer_destroy(writer);
    return st;
}

/* The old file is there until the new one is complete and durable. */
static enum status make_file(struct rdb_save *save, struct err *err)
{
    struct env *env = save->parts.env;
    unsigned flags = ENV_WRITE | ENV_CREATE | ENV_TRUNCATE;
    enum status st = env_open(env, save->temp, flags, &save->fd, err);
    if (st != ST_OK)
        return st;
    st = put_all(save, err);
    if (st == ST_OK)
        st = env_sync(env, save->fd, save->temp, err);
    env_close(env, save->fd);
    if (st == ST_OK)
        st = env_rename(env, save->temp, save->path, err);
    if (st != ST_OK) {
        (void)env->unlink(env, save->temp);
        return st;
    }
    return env_sync_dir(env, save->dir, err);
}

static void run(struct job *job)
{
    struct rdb_save *save = (struct rdb_save *)(void *)job;
    save->result.status = make_file(save, &save->result.err);
    cold_snapshot_release(save->parts.cold, save->snapshot);
    save->snapshot = NULL;
}

/* ---- The main thread ---------------------------------------------------------------------------
 */

static void end(struct rdb_save *save)
{
    reap_release_files(save->parts.reap);
    save->phase = IDLE;
    save->result.keys = atomic_load(&save->progress.keys);
    save->result.undated = atomic_load(&save->progress.undated);
    save->result.bytes = save->written;
    save->result.took_ms = (env_now_mono_us(save->parts.env) - save->started_us) / 1000;
    struct rdb_save_result result = save->result; /* `done` may start another one */
    save->options.done(save->options.arg, &result);
}

static void done(struct job *job)
{
    end((struct rdb_save *)(void *)job);
}

static void on_snapshot(void *arg, struct cold_snapshot *snapshot, uint64_t offset,
                        const struct err *err)
{
    struct rdb_save *save = arg;
    save->result.offset = offset;
    if (snapshot == NULL) {
        save->result.status = err->code;
        save->result.err = *err;
        end(save);
        return;
    }
    save->phase = WRITING;
    save->snapshot = snapshot;
    save->job.run = run;
    save->job.done = done;
    executor_submit(save->parts.executor, &save->job);
}

/* False: the path is too long, and the result says so. */
static bool prepare(struct rdb_save *save, const struct rdb_save_options *options)
{
    CHECK(save->phase == IDLE);
    CHECK(options->version >= 9);
    CHECK(options->version <= RDB_VERSION_MAX);
    save->options = *options;
    save->phase = CUTTING;
    save->started_us = env_now_mono_us(save->parts.env);
    save->written = 0;
    save->synced = 0;
    save->result = (struct rdb_save_result){0};
    atomic_store(&save->progress.stop, false);
    atomic_store(&save->progress.seen, 0);
    atomic_store(&save->progress.keys, 0);
    atomic_store(&save->progress.total, 0);
    atomic_store(&save->progress.undated, 0);
    (void)snprintf(save->dir, sizeof(save->dir), "%s", options->dir);
    (void)snprintf(save->redis_version, sizeof(save->redis_version), "%s", options->redis_version);
    reap_hold_files(save->parts.reap);
    int path = snprintf(save->path, sizeof(save->path), "%s/%s", options->dir, options->name);
    int temp = snprintf(save->temp, sizeof(save->temp), "%s/%s.tmp", options->dir, options->name);
    if (path < (int)sizeof(save->path) && temp < (int)sizeof(save->temp))
        return true;
    save->result.status =
        err_set(&save->result.err, ST_INVALID, "the path of the RDB file is too long");
    return false;
}

void rdb_save_start(struct rdb_save *save, const struct rdb_save_options *options)
{
    if (!prepare(save, options)) {
        end(save);
        return;
    }
    save->request = (struct cut_snapshot_request){.fn = on_snapshot, .arg = save};
    cut_want_snapshot(save->parts.cut, &save->request);
}

void rdb_save_now(struct rdb_save *save, const struct rdb_save_options *options)
{
    if (prepare(save, options)) {
        struct cut_stats stats;
        save->result.status = cut_run(save->parts.cut, false, &save->result.err);
        if (save->result.status == ST_OK) {
            cut_read_stats(save->parts.cut, &stats);
            save->result.offset = stats.offset;
            save->snapshot = cold_snapshot_create(save->parts.cold);
            run(&save->job);
        }
    }
    end(save);
}

void rdb_save_remove_rest(struct env *env, const char *dir, const char *name)
{
    char path[ENV_PATH_BYTES_MAX];
    int len = snprintf(path, sizeof(path), "%s/%s.tmp", dir, name);
    if (len < (int)sizeof(path))
        (void)env->unlink(env, path);
}

void rdb_save_stop(struct rdb_save *save)
{
    atomic_store(&save->progress.stop, true);
}

void rdb_save_set_key_delay(struct rdb_save *save, int delay_us)
{
    atomic_store(&save->progress.key_delay_us, delay_us);
}

bool rdb_save_running(const struct rdb_save *save)
{
    return save->phase != IDLE;
}

bool rdb_save_writing(const struct rdb_save *save)
{
    return save->phase == WRITING;
}

void rdb_save_read_progress(struct rdb_save *save, uint64_t *keys_out, uint64_t *total_out)
{
    *keys_out = atomic_load(&save->progress.seen);
    *total_out = atomic_load(&save->progress.total);
}
