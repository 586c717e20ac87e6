#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/backup_internal.h"
#include "storage/cold.h"
#include "storage/journal_walk.h"
#include "storage/meta.h"

#define UNFINISHED_SUFFIX ".basalt-restoring"

struct restore {
    const struct restore_options *options;
    struct backup_list list;
    const struct backup_manifest *base;
    uint64_t target; /* the journal is wanted up to here; UINT64_MAX: all of it, or to be found */
    struct backup_chain chain; /* from the base's cut to the target */
    struct backup_copier copier;
    struct restore_report *report;
    char dir[ENV_PATH_BYTES_MAX]; /* where it is made */
};

/* ---- Choosing ---- */

/* Whether a backup may be the base for what is wanted. */
static bool may_be_base(const struct restore *restore, const struct backup_manifest *manifest)
{
    const struct restore_options *options = restore->options;
    if (options->name != NULL && strcmp(manifest->name, options->name) != 0)
        return false;
    if (options->has_offset)
        return manifest->cut_offset <= options->to_offset;
    /* the oldest, if none is old enough: its journal may begin before */
    return !options->has_time || restore->base == NULL ||
           manifest->created_ms <= options->to_time_ms;
}

/* The latest backup that is not beyond what is wanted. */
static enum status choose_base(struct restore *restore, struct err *err)
{
    const struct restore_options *options = restore->options;
    for (size_t i = 0; i < restore->list.count; i++) {
        const struct backup_manifest *manifest = &restore->list.items[i];
        if (may_be_base(restore, manifest))
            restore->base = manifest;
    }
    if (restore->base != NULL) {
        restore->target = options->has_offset ? options->to_offset : restore->base->end_offset;
        if (options->has_time || (options->journal_dir != NULL && !options->has_offset))
            restore->target = UINT64_MAX;
        return ST_OK;
    }
    if (options->has_offset && restore->list.count != 0)
        return err_set(err, ST_NOT_FOUND, "no backup in %s reaches back to offset %" PRIu64,
                       options->dest, options->to_offset);
    return err_set(err, ST_NOT_FOUND, "%s has no backup%s%s", options->dest,
                   options->name == NULL ? "" : " ", options->name == NULL ? "" : options->name);
}

/* Of the base's history. */
static const struct backup_manifest *last_backup(const struct restore *restore)
{
    const struct backup_manifest *last = restore->base;
    for (size_t i = 0; i < restore->list.count; i++)
        if (strcmp(restore->list.items[i].replication_id, last->replication_id) == 0)
            last = &restore->list.items[i];
    return last;
}

/* The journal between the chain's end and what is wanted is in none of the files. */
static enum status report_gap(const struct restore *restore, struct err *err)
{
    return err_set(err, ST_NOT_FOUND, "%s the journal from backup %s on only up to offset %" PRIu64,
                   restore->options->journal_dir == NULL ? "the backups have"
                                                         : "backups and journal have",
                   restore->base->name, restore->chain.end);
}

static enum status choose_journal(struct restore *restore, struct err *err)
{
    const struct restore_options *options = restore->options;
    struct backup_chain *chain = &restore->chain;
    enum status st = backup_chain_open(options->env, &restore->list, restore->base,
                                       options->journal_dir, chain, err);
    if (st != ST_OK)
        return st;
    if (options->has_time && options->to_time_ms > chain->known_ms && options->journal_dir == NULL)
        return err_set(err, ST_NOT_FOUND, "the last backup of this history is of %s, before that",
                       last_backup(restore)->name);
    if (options->has_time && options->to_time_ms > chain->known_ms)
        return err_set(err, ST_NOT_FOUND, "%s does not tell what was written up to that time",
                       options->journal_dir);
    backup_chain_choose(chain, restore->base->cut_offset, restore->target);
    if (restore->target != UINT64_MAX && chain->end < restore->target)
        return report_gap(restore, err);
    if (restore->target == UINT64_MAX && !options->has_time && chain->end < chain->known_end)
        return report_gap(restore, err);
    return ST_OK;
}

/* ---- Making ---- */

static enum status make_dirs(struct restore *restore, struct err *err)
{
    struct env *env = restore->options->env;
    char path[ENV_PATH_BYTES_MAX + 16];
    enum status st = env_remove_tree(env, restore->dir, err); /* of one that was killed */
    if (st == ST_OK)
        st = env_mkdir(env, restore->dir, err);
    (void)snprintf(path, sizeof(path), "%s/rocksdb", restore->dir);
    if (st == ST_OK)
        st = env_mkdir(env, path, err);
    (void)snprintf(path, sizeof(path), "%s/journal", restore->dir);
    return st == ST_OK ? env_mkdir(env, path, err) : st;
}

static enum status fetch(struct restore *restore, const struct backup_file *file, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX + 2 * BACKUP_NAME_BYTES_MAX];
    (void)snprintf(path, sizeof(path), "%s/rocksdb/%s", restore->dir, file->name);
    restore->report->files++;
    restore->report->bytes += file->bytes;
    return backup_fetch(&restore->copier, restore->options->dest, file, path, err);
}

static enum status fetch_all(struct restore *restore, struct err *err)
{
    char journal[ENV_PATH_BYTES_MAX + 16];
    enum status st = ST_OK;
    (void)snprintf(journal, sizeof(journal), "%s/journal", restore->dir);
    restore->report->files = restore->chain.count;
    restore->report->bytes = backup_chain_bytes(&restore->chain);
    restore->copier.total = restore->report->bytes;
    for (size_t i = 0; i < restore->base->count; i++)
        if (restore->base->files[i].name[0] != '\0')
            restore->copier.total += restore->base->files[i].bytes;
    for (size_t i = 0; st == ST_OK && i < restore->base->count; i++)
        if (restore->base->files[i].name[0] != '\0')
            st = fetch(restore, &restore->base->files[i], err);
    if (st == ST_OK)
        st = backup_chain_fetch(&restore->chain, &restore->copier, restore->options->dest, journal,
                                err);
    return st;
}

/* From here on it is another history: replicas of the old one must not go on with this. */
static enum status renew_identity(struct restore *restore, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX + 16];
    struct meta_identity identity;
    struct meta_identity fresh;
    struct cold *cold = NULL;
    (void)snprintf(path, sizeof(path), "%s/rocksdb", restore->dir);
    struct cold_options options = {.dir = path, .must_exist = true};
    enum status st = cold_open(&options, &cold, err);
    if (st != ST_OK)
        return st;
    st = meta_read_identity(cold, &identity, err);
    if (st == ST_OK) {
        struct cold_batch *batch = cold_batch_create();
        meta_make_identity(restore->options->env, &fresh);
        fresh.hash_seed = identity.hash_seed;
        meta_put_identity(batch, &fresh);
        st = cold_write(cold, batch, true, err);
        cold_batch_destroy(batch);
    }
    cold_close(cold);
    return st;
}

/* The time that is wanted, as an offset of what was fetched. */
static enum status find_target(struct restore *restore, const char *path, struct err *err)
{
    uint64_t cut = restore->base->cut_offset;
    int64_t first_ms = 0;
    int64_t time_ms = restore->options->to_time_ms;
    enum status st = journal_walk_find_time(restore->options->env, path, cut, time_ms,
                                            &restore->target, &first_ms, err);
    if (st == ST_OK && restore->base->created_ms > time_ms && first_ms > time_ms)
        return err_set(err, ST_NOT_FOUND, "no backup reaches back to that time; the oldest is %s",
                       restore->base->name);
    if (st == ST_OK && restore->target == UINT64_MAX &&
        restore->chain.end < restore->chain.known_end)
        return report_gap(restore, err);
    if (st == ST_OK && restore->target < cut)
        restore->target = cut;
    return st;
}

static enum status cut_journal(struct restore *restore, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX + 16];
    uint64_t end = restore->base->cut_offset;
    enum status st = ST_OK;
    (void)snprintf(path, sizeof(path), "%s/journal", restore->dir);
    if (restore->options->has_time)
        st = find_target(restore, path, err);
    if (st != ST_OK)
        return st;
    if (restore->chain.count != 0)
        st = journal_walk_cut(restore->options->env, path, restore->target, &end, err);
    restore->report->end_offset = end;
    return st;
}

static enum status sync_dirs(struct restore *restore, struct err *err)
{
    static const char *const folders[] = {"/rocksdb", "/journal", ""};
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < sizeof(folders) / sizeof(folders[0]); i++) {
        char path[ENV_PATH_BYTES_MAX + 16];
        (void)snprintf(path, sizeof(path), "%s%s", restore->dir, folders[i]);
        st = env_sync_dir(restore->options->env, path, err);
    }
    return st;
}

static void visit_any(void *arg, const char *name)
{
    bool *found = arg;
    (void)name;
    *found = true;
}

static enum status check_dir(const struct restore_options *options, struct err *err)
{
    bool found = false;
    enum status st = env_list_dir(options->env, options->dir, visit_any, &found, err);
    if (st == ST_NOT_FOUND)
        return ST_OK;
    if (st == ST_OK && found)
        return err_set(err, ST_EXISTS, "%s is not empty: nothing was restored", options->dir);
    return st;
}

/* The parent of a path; "." if it names none. */
static void parent_of(const char *path, char out[ENV_PATH_BYTES_MAX])
{
    (void)snprintf(out, ENV_PATH_BYTES_MAX, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash == NULL)
        (void)snprintf(out, ENV_PATH_BYTES_MAX, ".");
    else
        slash[slash == out] = '\0';
}

/* An empty directory gives way to the rename. */
static enum status publish(struct restore *restore, struct err *err)
{
    char parent[ENV_PATH_BYTES_MAX];
    struct env *env = restore->options->env;
    enum status st = sync_dirs(restore, err);
    if (st == ST_OK)
        st = env_rename(env, restore->dir, restore->options->dir, err);
    parent_of(restore->dir, parent);
    return st == ST_OK ? env_sync_dir(env, parent, err) : st;
}

enum status restore_run(const struct restore_options *options, struct restore_report *out,
                        struct err *err)
{
    struct restore restore = {.options = options, .report = out};
    *out = (struct restore_report){.files = 0};
    int len = snprintf(restore.dir, sizeof(restore.dir), "%s", options->dir);
    while (len > 1 && restore.dir[len - 1] == '/')
        len--;
    if (len <= 0 || (size_t)len > sizeof(restore.dir) - 256)
        return err_set(err, ST_INVALID, "no name of a directory");
    (void)snprintf(restore.dir + len, sizeof(restore.dir) - (size_t)len, UNFINISHED_SUFFIX);
    backup_copier_init(&restore.copier, options->env, options->progress, options->arg, "copying");
    enum status st = check_dir(options, err);
    if (st == ST_OK)
        st = backup_list_read(options->env, options->dest, &restore.list, err);
    if (st == ST_OK)
        st = choose_base(&restore, err);
    if (st == ST_OK)
        st = choose_journal(&restore, err);
    bool begun = st == ST_OK;
    if (st == ST_OK)
        st = make_dirs(&restore, err);
    if (st == ST_OK)
        st = fetch_all(&restore, err);
    if (st == ST_OK)
        st = cut_journal(&restore, err);
    if (st == ST_OK)
        st = renew_identity(&restore, err);
    if (st == ST_OK)
        st = publish(&restore, err);
    if (begun && st != ST_OK)
        (void)!env_remove_tree(options->env, restore.dir, NULL);
    if (restore.base != NULL) {
        memcpy(out->name, restore.base->name, sizeof(out->name));
        out->cut_offset = restore.base->cut_offset;
    }
    backup_copier_deinit(&restore.copier);
    backup_chain_close(&restore.chain);
    backup_list_deinit(&restore.list);
    return st;
}
