#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/mem.h"
#include "storage/backup_internal.h"
#include "storage/cold.h"
#include "storage/journal_walk.h"
#include "storage/meta.h"

#define UNFINISHED_SUFFIX ".basalt-restoring"

struct restore {
    const struct restore_options *options;
    struct backup_list list;
    const struct backup_manifest *base;
    uint64_t target;                     /* the journal is wanted up to here */
    const struct backup_file **segments; /* owned; a chain from the base's cut to the target */
    size_t segment_count;
    struct backup_copier copier;
    struct restore_report *report;
    char dir[ENV_PATH_BYTES_MAX]; /* where it is made */
};

/* ---- Choosing ---- */

/* The segment of the history that holds `offset` and reaches furthest. */
static const struct backup_file *find_segment(const struct restore *restore, uint64_t offset)
{
    const struct backup_file *best = NULL;
    for (size_t i = 0; i < restore->list.count; i++) {
        const struct backup_manifest *manifest = &restore->list.items[i];
        if (strcmp(manifest->replication_id, restore->base->replication_id) != 0)
            continue;
        for (size_t k = 0; k < manifest->count; k++) {
            const struct backup_file *file = &manifest->files[k];
            if (file->name[0] == '\0' && file->start <= offset && file->end > offset &&
                (best == NULL || file->end > best->end))
                best = file;
        }
    }
    return best;
}

static enum status choose_segments(struct restore *restore, struct err *err)
{
    uint64_t offset = restore->base->cut_offset;
    while (offset < restore->target) {
        const struct backup_file *file = find_segment(restore, offset);
        if (file == NULL && restore->options->has_time) /* all that there is will be searched */
            break;
        if (file == NULL)
            return err_set(err, ST_NOT_FOUND,
                           "the backups have the journal from backup %s on only up to offset "
                           "%" PRIu64,
                           restore->base->name, offset);
        restore->segments = mem_realloc(restore->segments,
                                        (restore->segment_count + 1) * sizeof(*restore->segments));
        restore->segments[restore->segment_count++] = file;
        offset = file->end;
    }
    return ST_OK;
}

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

/* No backup that was made later knows what happened then. */
static enum status check_time(const struct restore *restore, struct err *err)
{
    const struct backup_manifest *last = restore->base;
    for (size_t i = 0; i < restore->list.count; i++)
        if (strcmp(restore->list.items[i].replication_id, last->replication_id) == 0)
            last = &restore->list.items[i];
    if (restore->options->has_time && restore->options->to_time_ms > last->created_ms)
        return err_set(err, ST_NOT_FOUND, "the last backup of this history is of %s, before that",
                       last->name);
    return ST_OK;
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
        if (options->has_time)
            restore->target = UINT64_MAX;
        return check_time(restore, err);
    }
    if (options->has_offset && restore->list.count != 0)
        return err_set(err, ST_NOT_FOUND, "no backup in %s reaches back to offset %" PRIu64,
                       options->dest, options->to_offset);
    return err_set(err, ST_NOT_FOUND, "%s has no backup%s%s", options->dest,
                   options->name == NULL ? "" : " ", options->name == NULL ? "" : options->name);
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
    if (file->name[0] != '\0')
        (void)snprintf(path, sizeof(path), "%s/rocksdb/%s", restore->dir, file->name);
    else
        (void)snprintf(path, sizeof(path), "%s/journal/%020" PRIu64 ".journal", restore->dir,
                       file->start);
    restore->report->files++;
    restore->report->bytes += file->bytes;
    return backup_fetch(&restore->copier, restore->options->dest, file, path, err);
}

static enum status fetch_all(struct restore *restore, struct err *err)
{
    enum status st = ST_OK;
    for (size_t i = 0; i < restore->base->count; i++)
        if (restore->base->files[i].name[0] != '\0')
            restore->copier.total += restore->base->files[i].bytes;
    for (size_t i = 0; i < restore->segment_count; i++)
        restore->copier.total += restore->segments[i]->bytes;
    for (size_t i = 0; st == ST_OK && i < restore->base->count; i++)
        if (restore->base->files[i].name[0] != '\0')
            st = fetch(restore, &restore->base->files[i], err);
    for (size_t i = 0; st == ST_OK && i < restore->segment_count; i++)
        st = fetch(restore, restore->segments[i], err);
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
    if (restore->segment_count != 0 && restore->options->has_time)
        st = find_target(restore, path, err);
    if (st != ST_OK)
        return st;
    if (restore->segment_count != 0)
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
        st = choose_segments(&restore, err);
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
    backup_list_deinit(&restore.list);
    mem_free(restore.segments);
    return st;
}
