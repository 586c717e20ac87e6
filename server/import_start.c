#include "server/import_start.h"

#include "codec/buf.h"
#include "server/config.h"
#include "server/log.h"
#include "storage/env.h"
#include "storage/import.h"
#include "storage/import_aof.h"

#include <inttypes.h>

#define PROGRESS_US ((int64_t)5000000) /* between lines of the log */

struct job {
    struct env *env;
    const struct config *config;
    struct buf rdb, manifest; /* owned: paths, with a terminator */
    struct aof *aof;          /* owned: what is imported; NULL: the RDB */
    int fd;                   /* of the RDB */
    uint64_t off;
    int64_t told_us;
};

static const char *path_of(const struct buf *path)
{
    return (const char *)path->data;
}

static bool exists(struct env *env, const struct buf *path)
{
    int fd;
    if (env_open(env, path_of(path), ENV_READ, &fd, NULL) != ST_OK)
        return false;
    env_close(env, fd);
    return true;
}

static bool has_dataset(struct env *env, const struct config *config)
{
    struct buf path = {0};
    buf_append_format(&path, "%s/rocksdb/CURRENT", config->dir);
    buf_append_byte(&path, 0);
    bool found = exists(env, &path);
    buf_deinit(&path);
    return found;
}

static enum status read_rdb(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                            struct err *err)
{
    struct job *job = arg;
    enum status st =
        env_read_at(job->env, job->fd, path_of(&job->rdb), job->off, out, capacity, read_out, err);
    if (st == ST_OK)
        job->off += *read_out;
    return st;
}

static bool tell_progress(void *arg, const struct import_progress *progress)
{
    static const char *const phases[] = {"reading", "merging", "finishing"};
    struct job *job = arg;
    int64_t now_us = env_now_mono_us(job->env);
    if (now_us - job->told_us < PROGRESS_US)
        return true;
    job->told_us = now_us;
    log_write(LOG_NOTICE, "Import: %s, %" PRIu64 " of %" PRIu64 ", %" PRIu64 " keys so far",
              phases[progress->phase], progress->done, progress->total, progress->keys);
    return true;
}

static void tell_result(const struct job *job, const struct import_report *report)
{
    uint64_t modules = report->skipped[RDB_TYPE_MODULE_2] + report->module_data;
    log_write(LOG_NOTICE, "Imported %" PRIu64 " keys from %s in %.1f seconds", report->keys,
              job->aof == NULL ? path_of(&job->rdb) : path_of(&job->manifest),
              (double)(report->read_us + report->merge_us + report->finish_us) / 1e6);
    if (report->expired != 0)
        log_write(LOG_NOTICE, "Import: %" PRIu64 " keys whose time was up were left out",
                  report->expired);
    if (modules != 0)
        log_write(LOG_WARNING,
                  "Import: %" PRIu64
                  " values and data of modules were LEFT OUT: they cannot be kept",
                  modules);
    if (job->aof == NULL)
        return;
    const struct aof_report *aof = aof_report(job->aof);
    log_write(LOG_NOTICE,
              "Import: %" PRIu64 " commands of %" PRIu64 " append-only files are run next",
              aof->commands, aof->files);
    if (aof->cut_off_bytes != 0)
        log_write(LOG_WARNING,
                  "Import: the last append-only file ends amid a command or transaction: %" PRIu64
                  " bytes at its end were dropped",
                  aof->cut_off_bytes);
}

static enum status open_input(struct job *job, struct import_options *options, struct err *err)
{
    if (job->aof != NULL) {
        options->read = aof_read_base;
        options->read_arg = job->aof;
        options->more_follows = true;
        return ST_OK;
    }
    options->read = read_rdb;
    options->read_arg = job;
    enum status st = env_open(job->env, path_of(&job->rdb), ENV_READ, &job->fd, err);
    return st == ST_OK
               ? env_file_size(job->env, job->fd, path_of(&job->rdb), &options->input_bytes, err)
               : st;
}

/* `replace`: what an interrupted import has left. */
static enum status run(struct job *job, bool replace, struct err *err)
{
    const struct config *config = job->config;
    struct import_options options = {.env = job->env,
                                     .dir = config->dir,
                                     .replace = replace,
                                     .db_count = (uint32_t)config->databases,
                                     .db_count_max = (uint32_t)config->databases,
                                     .large_object_bytes = config->large_object_threshold,
                                     .large_collection_bytes = config->large_collection_threshold,
                                     .progress = tell_progress,
                                     .progress_arg = job};
    struct import *import = NULL;
    bool placed = false;
    uint64_t offset = 0;
    job->told_us = env_now_mono_us(job->env);
    enum status st = open_input(job, &options, err);
    if (st == ST_OK)
        st = import_open(&options, &import, err);
    if (st == ST_OK)
        st = import_read(import, err);
    if (st == ST_OK)
        st = import_publish(import, &placed, err);
    if (st == ST_OK) {
        tell_result(job, import_report(import));
        offset = import_cut_offset(import);
    }
    import_close(import);
    if (st == ST_OK && job->aof != NULL)
        st = aof_append(job->aof, config->dir, offset, err);
    return st;
}

/* Chooses what is imported; false: there is nothing. */
static enum status choose(struct job *job, bool *found, struct err *err)
{
    bool has_rdb = exists(job->env, &job->rdb);
    bool has_aof = exists(job->env, &job->manifest);
    *found = has_rdb || has_aof;
    if (!has_aof || (has_rdb && !job->config->appendonly))
        return ST_OK;
    if (has_rdb)
        log_write(LOG_NOTICE, "There are both %s and %s: with `appendonly yes` the latter counts",
                  path_of(&job->rdb), path_of(&job->manifest));
    return aof_open(job->env, path_of(&job->manifest), &job->aof, err);
}

static void set_paths(struct job *job)
{
    const struct config *config = job->config;
    buf_append_format(&job->rdb, "%s/%s", config->dir, config->dbfilename);
    buf_append_byte(&job->rdb, 0);
    buf_append_format(&job->manifest, "%s/%s/%s.manifest", config->dir, config->appenddirname,
                      config->appendfilename);
    buf_append_byte(&job->manifest, 0);
}

enum status import_at_start(struct env *env, const struct config *config, struct err *err)
{
    bool pending = import_is_pending(env, config->dir);
    if (!pending && (!config->import_on_start || has_dataset(env, config)))
        return ST_OK;
    struct job job = {.env = env, .config = config, .fd = -1};
    bool found = false;
    set_paths(&job);
    enum status st = choose(&job, &found, err);
    if (st == ST_OK && pending && (job.aof == NULL || !config->import_on_start))
        st = err_set(err, ST_INVALID,
                     "an import of append-only files into %s was interrupted: run it again, or "
                     "delete %s/" IMPORT_PENDING_NAME " to start with what there is",
                     config->dir, config->dir);
    if (st == ST_OK && found) {
        log_write(LOG_NOTICE, "There is no dataset yet: importing %s",
                  path_of(job.aof == NULL ? &job.rdb : &job.manifest));
        st = run(&job, pending, err);
        if (st == ST_EXISTS && !pending) /* a journal alone */
            st = ST_OK;
    }
    aof_close(job.aof);
    env_close(env, job.fd);
    buf_deinit(&job.rdb);
    buf_deinit(&job.manifest);
    return st;
}
