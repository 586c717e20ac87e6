#include "storage/backup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "storage/backup_internal.h"
#include "storage/cold.h"
#include "storage/journal_archive.h"
#include "storage/journal_walk.h"
#include "storage/meta.h"

#define STORE_ID_FILE "IDENTITY"
#define LOCK_FILE     "lock"
#define STAGED_PREFIX "copying-"

/* ---- What is there ---- */

enum status backup_read_store_id(struct env *env, const char *rocksdb_dir,
                                 char out[BACKUP_NAME_BYTES_MAX], struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    struct buf text = {0};
    (void)snprintf(path, sizeof(path), "%s/" STORE_ID_FILE, rocksdb_dir);
    enum status st = env_read_file(env, path, BACKUP_NAME_BYTES_MAX - 1, &text, err);
    size_t len = 0;
    while (st == ST_OK && len < text.len && text.data[len] > ' ' && text.data[len] != '/')
        len++;
    if (st == ST_OK && len == 0)
        st = err_set(err, ST_CORRUPT, "%s is empty", path);
    if (st == ST_OK) {
        memcpy(out, text.data, len);
        out[len] = '\0';
    }
    buf_deinit(&text);
    return st;
}

enum status backup_describe_dir(struct env *env, const char *dir, struct backup_source *out,
                                struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    struct cold *cold = NULL;
    struct meta_identity identity;
    struct meta_state state = {0};
    struct journal_check check;
    (void)snprintf(path, sizeof(path), "%s/rocksdb", dir);
    struct cold_options options = {.dir = path, .must_exist = true, .read_only = true};
    enum status st = cold_open(&options, &cold, err);
    if (st == ST_OK)
        st = meta_read_identity(cold, &identity, err);
    if (st == ST_OK)
        st = meta_read_state(cold, &state, err);
    if (st == ST_NOT_FOUND && cold != NULL && identity.replication_id[0] != '\0')
        st = ST_OK; /* no cut yet */
    cold_close(cold);
    if (st == ST_OK)
        st = backup_read_store_id(env, path, out->store, err);
    if (st == ST_OK) {
        memcpy(out->replication_id, identity.replication_id, sizeof(out->replication_id));
        out->cut_offset = state.cut_offset;
        (void)snprintf(path, sizeof(path), "%s/journal", dir);
        st = journal_check_dir(env, path, &check, err);
        out->end_offset = st == ST_OK ? check.end_offset : state.cut_offset;
        if (st == ST_NOT_FOUND)
            st = ST_OK;
    }
    meta_state_deinit(&state);
    return st;
}

/* ---- Making one ---- */

struct writer {
    const struct backup_options *options;
    struct backup_copier copier;
    struct backup_manifest manifest;
    const struct backup_list *list;     /* what is there already */
    const struct backup_manifest *last; /* of the same store; NULL: none */
    struct backup_report *report;
    struct buf names; /* of RocksDB's files: each with a zero behind it */
};

static bool ends_with(const char *text, const char *suffix)
{
    size_t len = strlen(text);
    size_t tail = strlen(suffix);
    return len >= tail && strcmp(text + len - tail, suffix) == 0;
}

/* What RocksDB needs to open a copy; a new id it gives itself. */
static void visit_rocksdb_file(void *arg, const char *name)
{
    struct writer *writer = arg;
    if (ends_with(name, ".sst") || ends_with(name, ".log") || strcmp(name, "CURRENT") == 0 ||
        strncmp(name, "MANIFEST-", 9) == 0 || strncmp(name, "OPTIONS-", 8) == 0)
        buf_append(&writer->names, name, strlen(name) + 1);
}

static enum status file_bytes(struct env *env, const char *path, uint64_t *bytes_out,
                              struct err *err)
{
    int fd = -1;
    enum status st = env_open(env, path, ENV_READ, &fd, err);
    if (st == ST_OK)
        st = env_file_size(env, fd, path, bytes_out, err);
    env_close(env, fd);
    return st;
}

static bool is_stored(const struct writer *writer, const struct backup_file *file)
{
    char stored[BACKUP_PATH_BYTES_MAX];
    char path[ENV_PATH_BYTES_MAX];
    uint64_t bytes = 0;
    backup_stored_path(file, stored);
    (void)snprintf(path, sizeof(path), "%s/%s", writer->options->dest, stored);
    return file_bytes(writer->options->env, path, &bytes, NULL) == ST_OK && bytes == file->bytes;
}

/* Stores a file's content unless it is there, and completes its entry. */
static enum status store_file(struct writer *writer, const char *path, struct backup_file *file,
                              struct err *err)
{
    struct env *env = writer->options->env;
    const char *dest = writer->options->dest;
    char staged[ENV_PATH_BYTES_MAX];
    char final[ENV_PATH_BYTES_MAX];
    char stored[BACKUP_PATH_BYTES_MAX];
    (void)snprintf(staged, sizeof(staged), "%s/files/" STAGED_PREFIX "%zu", dest,
                   writer->manifest.count);
    enum status st = backup_copy(&writer->copier, path, file->bytes, staged, &file->checksum, err);
    if (st != ST_OK) {
        (void)!env_unlink(env, staged, NULL);
        return st;
    }
    if (is_stored(writer, file))
        return env_unlink(env, staged, err);
    backup_stored_path(file, stored);
    (void)snprintf(final, sizeof(final), "%s/%s", dest, stored);
    writer->report->copied_files++;
    writer->report->copied_bytes += file->bytes;
    return env_rename(env, staged, final, err);
}

/* A table of the same store with the same name is the same: RocksDB does not change them, nor use
 * their numbers again. */
static const struct backup_file *find_known(const struct writer *writer, const char *name,
                                            uint64_t bytes)
{
    for (size_t i = 0; writer->last != NULL && ends_with(name, ".sst") && i < writer->last->count;
         i++) {
        const struct backup_file *file = &writer->last->files[i];
        if (strcmp(file->name, name) == 0 && file->bytes == bytes && is_stored(writer, file))
            return file;
    }
    return NULL;
}

static enum status add_rocksdb_file(struct writer *writer, const char *name, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    uint64_t bytes = 0;
    (void)snprintf(path, sizeof(path), "%s/%s", writer->options->source->rocksdb_dir, name);
    if (strlen(name) >= BACKUP_NAME_BYTES_MAX)
        return err_set(err, ST_UNSUPPORTED, "%s: the name is too long", path);
    enum status st = file_bytes(writer->options->env, path, &bytes, err);
    if (st != ST_OK)
        return st;
    const struct backup_file *known = find_known(writer, name, bytes);
    struct backup_file *file = backup_manifest_add(&writer->manifest);
    writer->report->files++;
    writer->report->bytes += bytes;
    if (known != NULL) {
        *file = *known;
        writer->copier.total -= bytes;
        return ST_OK;
    }
    (void)snprintf(file->name, sizeof(file->name), "%s", name);
    file->bytes = bytes;
    return store_file(writer, path, file, err);
}

static enum status add_segment(void *arg, const struct journal_walk_segment *segment,
                               struct err *err)
{
    struct writer *writer = arg;
    char path[ENV_PATH_BYTES_MAX];
    (void)snprintf(path, sizeof(path), "%s/%020" PRIu64 ".journal",
                   writer->options->source->journal_dir, segment->start);
    struct backup_file *file = backup_manifest_add(&writer->manifest);
    file->bytes = segment->bytes;
    file->start = segment->start;
    file->end = segment->end;
    writer->report->files++;
    writer->report->bytes += file->bytes;
    for (size_t i = 0; writer->last != NULL && i < writer->last->count; i++) {
        const struct backup_file *known = &writer->last->files[i];
        if (known->name[0] == '\0' && known->start == file->start && known->end == file->end &&
            known->bytes == file->bytes && is_stored(writer, known) &&
            strcmp(writer->last->replication_id, writer->manifest.replication_id) == 0) {
            *file = *known;
            return ST_OK;
        }
    }
    writer->copier.total += file->bytes;
    return store_file(writer, path, file, err);
}

static enum status sum_up(struct writer *writer, struct err *err)
{
    const char *name = (const char *)writer->names.data;
    const char *end = name + writer->names.len;
    enum status st = ST_OK;
    for (; st == ST_OK && name < end; name += strlen(name) + 1) {
        char path[ENV_PATH_BYTES_MAX];
        uint64_t bytes = 0;
        (void)snprintf(path, sizeof(path), "%s/%s", writer->options->source->rocksdb_dir, name);
        st = file_bytes(writer->options->env, path, &bytes, err);
        writer->copier.total += bytes;
    }
    return st;
}

/* From where on the journal is wanted: so that it goes on where the last backup ends, or as far
 * back as it reaches (what is older may be archived). */
static uint64_t journal_from(const struct writer *writer)
{
    const struct backup_source *source = writer->options->source;
    const struct backup_manifest *last = writer->last;
    uint64_t first = 0;
    if (last == NULL || strcmp(last->replication_id, source->replication_id) != 0 ||
        last->end_offset >= source->cut_offset ||
        journal_walk_first(writer->options->env, source->journal_dir, &first, NULL) != ST_OK)
        return source->cut_offset;
    uint64_t from = first > last->end_offset ? first : last->end_offset;
    return from < source->cut_offset ? from : source->cut_offset;
}

static enum status add_journal(struct writer *writer, struct err *err)
{
    const struct backup_source *source = writer->options->source;
    uint64_t from = journal_from(writer);
    size_t before = writer->manifest.count;
    struct backup_report report = *writer->report;
    enum status st = journal_walk_segments(writer->options->env, source->journal_dir, from,
                                           source->end_offset, add_segment, writer, err);
    if (st != ST_NOT_FOUND || from == source->cut_offset)
        return st;
    /* the server has archived or deleted a segment meanwhile: what is behind the cut it keeps */
    writer->manifest.count = before;
    *writer->report = report;
    return journal_walk_segments(writer->options->env, source->journal_dir, source->cut_offset,
                                 source->end_offset, add_segment, writer, err);
}

/* Whether the backup has the stretch of the stream in a file that restoring would use. */
static bool has_stretch(const struct writer *writer, const struct backup_manifest *manifest,
                        const struct journal_archive *head)
{
    bool same_id = strcmp(manifest->replication_id, writer->options->source->replication_id) == 0;
    for (size_t i = 0; i < manifest->count; i++) {
        const struct backup_file *file = &manifest->files[i];
        if (file->name[0] == '\0' && (file->archived || same_id) && file->start <= head->start &&
            file->end >= head->end)
            return true;
    }
    return false;
}

/* Whether an archived segment belongs to this dataset, is behind the cut of a backup of it, which
 * it can be applied to, and is in none of them. */
static bool is_wanted(const struct writer *writer, const struct journal_archive_file *file)
{
    const char *store = writer->options->source->store;
    bool usable = writer->options->source->cut_offset < file->head.end;
    if (file->unreadable || strcmp(file->head.history, store) != 0 ||
        has_stretch(writer, &writer->manifest, &file->head))
        return false;
    for (size_t i = 0; i < writer->list->count; i++) {
        const struct backup_manifest *manifest = &writer->list->items[i];
        if (strcmp(manifest->store, store) != 0)
            continue;
        if (has_stretch(writer, manifest, &file->head))
            return false;
        usable = usable || manifest->cut_offset < file->head.end;
    }
    return usable;
}

/* After the journal, so that a segment that is archived meanwhile is seen in one of the forms. */
static enum status add_archive(struct writer *writer, struct err *err)
{
    char dir[ENV_PATH_BYTES_MAX];
    char path[ENV_PATH_BYTES_MAX];
    struct journal_archive_list list;
    (void)snprintf(dir, sizeof(dir), "%s/" JOURNAL_ARCHIVE_DIR,
                   writer->options->source->journal_dir);
    enum status st = journal_archive_list_read(writer->options->env, dir, false, &list, err);
    for (size_t i = 0; st == ST_OK && i < list.count; i++) {
        const struct journal_archive *head = &list.items[i].head;
        if (!is_wanted(writer, &list.items[i]))
            continue;
        journal_archive_path(dir, head->start, head->end, path);
        struct backup_file *file = backup_manifest_add(&writer->manifest);
        file->archived = true;
        file->bytes = list.items[i].bytes;
        file->start = head->start;
        file->end = head->end;
        writer->copier.total += file->bytes;
        st = store_file(writer, path, file, err);
        if (st == ST_OK) {
            writer->report->files++;
            writer->report->bytes += file->bytes;
        } else if (st == ST_NOT_FOUND) { /* retention has just ended for it */
            writer->manifest.count--;
            st = ST_OK;
        }
    }
    journal_archive_list_deinit(&list);
    return st;
}

static enum status add_files(struct writer *writer, struct err *err)
{
    struct env *env = writer->options->env;
    enum status st =
        env_list_dir(env, writer->options->source->rocksdb_dir, visit_rocksdb_file, writer, err);
    if (st == ST_OK)
        st = sum_up(writer, err);
    const char *name = (const char *)writer->names.data;
    const char *end = name + writer->names.len;
    for (; st == ST_OK && name < end; name += strlen(name) + 1)
        st = add_rocksdb_file(writer, name, err);
    if (st == ST_OK)
        st = add_journal(writer, err);
    return st == ST_OK ? add_archive(writer, err) : st;
}

/* ---- The backup directory ---- */

static void visit_staged(void *arg, const char *name)
{
    struct buf *names = arg;
    if (strncmp(name, STAGED_PREFIX, strlen(STAGED_PREFIX)) == 0)
        buf_append(names, name, strlen(name) + 1);
}

/* What a killed backup was copying. */
static enum status remove_staged(struct env *env, const char *dest, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    struct buf names = {0};
    (void)snprintf(path, sizeof(path), "%s/files", dest);
    enum status st = env_list_dir(env, path, visit_staged, &names, err);
    for (size_t at = 0; st == ST_OK && at < names.len;
         at += strlen((const char *)names.data + at) + 1) {
        (void)snprintf(path, sizeof(path), "%s/files/%s", dest, (const char *)names.data + at);
        st = env_unlink(env, path, err);
    }
    buf_deinit(&names);
    return st;
}

static void visit_any(void *arg, const char *name)
{
    struct buf *names = arg;
    if (strcmp(name, "files") != 0 && strcmp(name, "backups") != 0 && strcmp(name, LOCK_FILE) != 0)
        buf_append_byte(names, 1);
}

static enum status prepare_dest(struct env *env, const char *dest, int *lock_out, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    struct buf others = {0};
    enum status st = env_mkdir(env, dest, err);
    if (st == ST_OK)
        st = env_list_dir(env, dest, visit_any, &others, err);
    if (st == ST_OK && others.len != 0)
        st = err_set(err, ST_EXISTS, "%s holds other things than backups", dest);
    buf_deinit(&others);
    (void)snprintf(path, sizeof(path), "%s/" LOCK_FILE, dest);
    if (st == ST_OK)
        st = env_lock_file(env, path, lock_out, err);
    if (st == ST_AGAIN)
        return err_set(err, ST_EXISTS, "another process writes to %s", dest);
    (void)snprintf(path, sizeof(path), "%s/files", dest);
    if (st == ST_OK)
        st = env_mkdir(env, path, err);
    (void)snprintf(path, sizeof(path), "%s/backups", dest);
    if (st == ST_OK)
        st = env_mkdir(env, path, err);
    return st == ST_OK ? remove_staged(env, dest, err) : st;
}

/* A name that no other backup has: the time. */
static void make_name(const struct backup_list *list, struct backup_manifest *manifest)
{
    time_t seconds = (time_t)(manifest->created_ms / 1000);
    struct tm tm;
    char base[32];
    (void)gmtime_r(&seconds, &tm);
    (void)strftime(base, sizeof(base), "%Y%m%dT%H%M%SZ", &tm);
    (void)snprintf(manifest->name, sizeof(manifest->name), "%s", base);
    for (unsigned n = 2, taken = 1; taken != 0; n++) {
        taken = 0;
        for (size_t i = 0; i < list->count; i++)
            taken += strcmp(list->items[i].name, manifest->name) == 0;
        if (taken != 0)
            (void)snprintf(manifest->name, sizeof(manifest->name), "%s-%u", base, n);
    }
}

static const struct backup_manifest *find_last(const struct backup_list *list, const char *store)
{
    for (size_t i = list->count; i > 0; i--)
        if (strcmp(list->items[i - 1].store, store) == 0)
            return &list->items[i - 1];
    return NULL;
}

static enum status write_files(struct writer *writer, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    struct env *env = writer->options->env;
    enum status st = add_files(writer, err);
    (void)snprintf(path, sizeof(path), "%s/files", writer->options->dest);
    if (st == ST_OK)
        st = env_sync_dir(env, path, err);
    if (st == ST_OK)
        st = backup_manifest_write(env, writer->options->dest, &writer->manifest, err);
    return st;
}

enum status backup_write(const struct backup_options *options, struct backup_report *out,
                         struct err *err)
{
    const struct backup_source *source = options->source;
    struct backup_list list = {0};
    struct writer writer = {.options = options, .report = out, .list = &list};
    int lock = -1;
    *out =
        (struct backup_report){.cut_offset = source->cut_offset, .end_offset = source->end_offset};
    backup_copier_init(&writer.copier, options->env, options->progress, options->arg, "copying");
    enum status st = prepare_dest(options->env, options->dest, &lock, err);
    if (st == ST_OK)
        st = backup_list_read(options->env, options->dest, &list, err);
    if (st == ST_OK) {
        struct backup_manifest *manifest = &writer.manifest;
        manifest->created_ms = env_now_realtime_ms(options->env);
        memcpy(manifest->replication_id, source->replication_id, sizeof(manifest->replication_id));
        memcpy(manifest->store, source->store, sizeof(manifest->store));
        manifest->cut_offset = source->cut_offset;
        manifest->end_offset = source->end_offset;
        make_name(&list, manifest);
        memcpy(out->name, manifest->name, sizeof(out->name));
        writer.last = find_last(&list, source->store);
        if (options->incremental && writer.last == NULL)
            st = err_set(err, ST_NOT_FOUND, "%s has no backup of this dataset to build on",
                         options->dest);
    }
    if (st == ST_OK)
        st = write_files(&writer, err);
    backup_copier_deinit(&writer.copier);
    backup_manifest_deinit(&writer.manifest);
    buf_deinit(&writer.names);
    backup_list_deinit(&list);
    env_close(options->env, lock);
    return st;
}

enum status backup_verify(struct env *env, const char *dest, const char *name,
                          backup_progress_fn *progress, void *arg, uint64_t *files_out,
                          struct err *err)
{
    struct backup_list list;
    struct backup_copier copier;
    uint64_t files = 0;
    bool found = name == NULL;
    enum status st = backup_list_read(env, dest, &list, err);
    if (st != ST_OK)
        return st;
    backup_copier_init(&copier, env, progress, arg, "reading");
    for (size_t i = 0; st == ST_OK && i < list.count; i++) {
        const struct backup_manifest *manifest = &list.items[i];
        if (name != NULL && strcmp(name, manifest->name) != 0)
            continue;
        found = true;
        for (size_t k = 0; st == ST_OK && k < manifest->count; k++, files++)
            st = backup_fetch(&copier, dest, &manifest->files[k], NULL, err);
    }
    if (st == ST_OK && !found)
        st = err_set(err, ST_NOT_FOUND, "%s has no backup %s", dest, name);
    backup_copier_deinit(&copier);
    backup_list_deinit(&list);
    *files_out = files;
    return st;
}
