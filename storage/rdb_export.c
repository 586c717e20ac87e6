#include "storage/rdb_export.h"

#include "storage/cold.h"
#include "storage/env.h"
#include "storage/journal_walk.h"
#include "storage/meta.h"
#include "storage/rdb_dataset.h"

#include <stdio.h>

struct export
{
    const struct rdb_export_options *options;
    struct rdb_export_report *report;
    struct rdb_progress progress;
    struct cold *cold;
    struct meta_identity identity;
};

static bool look(void *arg)
{
    struct export *export = arg;
    return export->options->progress == NULL ||
           export->options->progress(export->options->arg, atomic_load(&export->progress.seen),
                                     atomic_load(&export->progress.total));
}

static bool is_wanted(void *arg, uint32_t db, enum object_type type, struct bytes key)
{
    const struct export *export = arg;
    return export->options->wanted(export->options->arg, db, type, key);
}

static bool pass_block(void *arg, const struct journal_walk_block *block)
{
    (void)arg;
    (void)block;
    return true;
}

/* What the journal has behind the cut. */
static enum status check_journal(struct export *export, struct err *err)
{
    char dir[ENV_PATH_BYTES_MAX];
    struct journal_check check = {0};
    uint64_t cut = export->report->offset;
    (void)snprintf(dir, sizeof(dir), "%s/journal", export->options->dir);
    enum status st = journal_walk(export->options->env, dir, cut, pass_block, NULL, &check, err);
    if (st == ST_NOT_FOUND) /* the server would begin one at the cut */
        return ST_OK;
    if (st != ST_OK)
        return st;
    export->report->behind = check.end_offset > cut ? check.end_offset - cut : 0;
    if (export->report->behind == 0 || export->options->ignore_journal)
        return ST_OK;
    return err_set(err, ST_INVALID,
                   "the journal in %s has %llu bytes of changes that are not in RocksDB yet: the "
                   "server was not shut down in order",
                   export->options->dir, (unsigned long long)export->report->behind);
}

static enum status read_meta(struct export *export, struct err *err)
{
    struct meta_state state = {0};
    enum status st = meta_read_identity(export->cold, &export->identity, err);
    if (st == ST_OK)
        st = meta_read_state(export->cold, &state, err);
    if (st == ST_OK)
        export->report->offset = state.cut_offset;
    meta_state_deinit(&state);
    return st == ST_NOT_FOUND ? err_set(err, st, "there is no dataset in %s", export->options->dir)
                              : st;
}

static enum status put_all(struct export *export, struct err *err)
{
    const struct rdb_export_options *options = export->options;
    struct rdb_writer_options to = {.write = options->write,
                                    .write_arg = options->write_arg,
                                    .version = options->version,
                                    .no_compression = options->no_compression};
    struct cold_snapshot *snapshot = cold_snapshot_create(export->cold);
    struct rdb_dataset dataset = {.cold = export->cold,
                                  .snapshot = snapshot,
                                  .hash_seed = export->identity.hash_seed,
                                  .version = options->version,
                                  .now_ms = env_now_realtime_ms(options->env),
                                  .redis_version = options->redis_version,
                                  .progress = &export->progress,
                                  .wanted = options->wanted == NULL ? NULL : is_wanted,
                                  .look = look,
                                  .arg = export};
    struct rdb_writer *writer = rdb_writer_create(&to);
    enum status st = rdb_dataset_put(&dataset, writer, err);
    if (st == ST_OK)
        st = rdb_writer_finish(writer, err);
    export->report->keys = atomic_load(&export->progress.keys);
    export->report->unwanted = atomic_load(&export->progress.seen) - export->report->keys;
    export->report->undated = atomic_load(&export->progress.undated);
    export->report->bytes = rdb_writer_offset(writer);
    rdb_writer_destroy(writer);
    cold_snapshot_release(export->cold, snapshot);
    return st;
}

enum status rdb_export_run(const struct rdb_export_options *options, struct rdb_export_report *out,
                           struct err *err)
{
    char dir[ENV_PATH_BYTES_MAX];
    struct export export = {.options = options, .report = out};
    int lock = -1;
    *out = (struct rdb_export_report){0};
    int len = snprintf(dir, sizeof(dir), "%s/rocksdb", options->dir);
    if (len < 0 || (size_t)len >= sizeof(dir) - 64)
        return err_set(err, ST_INVALID, "the directory's name is too long");
    enum status st = cold_lock(dir, &lock, err);
    if (st != ST_OK && st != ST_NOT_FOUND) /* a copied directory may lack the lock's file */
        return st;
    struct cold_options from = {.dir = dir, .must_exist = true, .read_only = true};
    st = cold_open(&from, &export.cold, err);
    if (st == ST_OK)
        st = read_meta(&export, err);
    if (st == ST_OK)
        st = check_journal(&export, err);
    if (st == ST_OK)
        st = put_all(&export, err);
    cold_close(export.cold);
    cold_unlock(lock);
    return st;
}
