#include "storage/journal_discard.h"

#include "codec/buf.h"
#include "codec/mem.h"
#include "storage/journal_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Names of a journal directory's files, sorted: segments by their start. */
struct file_names {
    char **items; /* owned */
    size_t count;
    size_t capacity;
};

static void add_name(void *arg, const char *name)
{
    struct file_names *names = arg;
    if (strstr(name, JOURNAL_FILE_SUFFIX) == NULL)
        return;
    if (names->count == names->capacity) {
        names->capacity = names->capacity == 0 ? 64 : names->capacity * 2;
        names->items = mem_realloc(names->items, names->capacity * sizeof(*names->items));
    }
    names->items[names->count++] = mem_strdup(name);
}

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

static void free_names(struct file_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        mem_free(names->items[i]);
    mem_free(names->items);
}

static enum status list_names(struct env *env, const char *dir, struct file_names *names,
                              struct err *err)
{
    enum status st = env_list_dir(env, dir, add_name, names, err);
    if (names->count > 1)
        qsort(names->items, names->count, sizeof(*names->items), compare_names);
    return st;
}

static enum status file_bytes(struct env *env, const char *path, uint64_t *bytes_out,
                              struct err *err)
{
    int fd = -1;
    enum status st = env_open(env, path, ENV_READ, &fd, err);
    if (st != ST_OK)
        return st;
    st = env_file_size(env, fd, path, bytes_out, err);
    env_close(env, fd);
    return st;
}

/* A segment's stream is shorter than its file, and each begins at the offset in its name. */
static enum status bound_end(struct env *env, const char *dir, uint64_t *end_out, struct err *err)
{
    struct file_names names = {0};
    uint64_t end = 0;
    enum status st = list_names(env, dir, &names, err);
    for (size_t i = 0; st == ST_OK && i < names.count; i++) {
        uint64_t start;
        uint64_t bytes;
        if (!segment_parse_name(names.items[i], &start))
            continue;
        char path[ENV_PATH_BYTES_MAX];
        segment_path(dir, start, "", path);
        st = file_bytes(env, path, &bytes, err);
        if (st == ST_OK && start + bytes > end)
            end = start + bytes;
    }
    free_names(&names);
    if (st == ST_OK && end > JOURNAL_OFFSET_MAX)
        return err_set(err, ST_LIMIT, "the journal in %s is at the end of all offsets", dir);
    if (st == ST_OK)
        *end_out = end;
    return st;
}

/* Only the last segment may hold what its process did not live to sync. */
static enum status sync_last(struct env *env, const char *dir, struct err *err)
{
    struct file_names names = {0};
    uint64_t last = 0;
    enum status st = list_names(env, dir, &names, err);
    for (size_t i = 0; i < names.count; i++)
        (void)segment_parse_name(names.items[i], &last);
    free_names(&names);
    if (st != ST_OK)
        return st;
    char path[ENV_PATH_BYTES_MAX];
    int fd = -1;
    segment_path(dir, last, "", path);
    st = env_open(env, path, ENV_READ, &fd, err);
    if (st == ST_OK)
        st = env_sync(env, fd, path, err);
    env_close(env, fd);
    return st;
}

enum status journal_find_end(struct env *env, const char *dir, uint64_t *end_out, struct err *err)
{
    struct journal_check check;
    struct err damage;
    enum status st = journal_check_dir(env, dir, &check, &damage);
    if (st == ST_CORRUPT)
        return bound_end(env, dir, end_out, err);
    if (st != ST_OK) {
        if (err != NULL)
            *err = damage;
        return st;
    }
    st = sync_last(env, dir, err);
    if (st == ST_OK)
        *end_out = check.end_offset;
    return st;
}

enum status journal_discard(struct env *env, const char *dir, struct err *err)
{
    struct file_names names = {0};
    enum status st = list_names(env, dir, &names, err);
    if (st == ST_NOT_FOUND)
        st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < names.count; i++) {
        struct buf path = {0};
        buf_append_format(&path, "%s/%s", dir, names.items[i]);
        buf_append_byte(&path, 0);
        st = env_unlink(env, (const char *)path.data, err);
        buf_deinit(&path);
        /* One name after the other must go, whatever happens to the machine. */
        if (st == ST_OK)
            st = env_sync_dir(env, dir, err);
    }
    free_names(&names);
    return st;
}
