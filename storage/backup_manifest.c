#include "storage/backup_manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/buf.h"
#include "codec/checksum.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "storage/env.h"

#define MANIFEST_BYTES_MAX ((size_t)256 << 20)
#define MANIFEST_SUFFIX    ".manifest"
#define FIELDS_MAX         6

struct backup_file *backup_manifest_add(struct backup_manifest *manifest)
{
    if (manifest->count == manifest->capacity) {
        manifest->capacity = manifest->capacity == 0 ? 64 : manifest->capacity * 2;
        manifest->files =
            mem_realloc(manifest->files, manifest->capacity * sizeof(*manifest->files));
    }
    struct backup_file *file = &manifest->files[manifest->count++];
    memset(file, 0, sizeof(*file));
    return file;
}

void backup_manifest_deinit(struct backup_manifest *manifest)
{
    mem_free(manifest->files);
    *manifest = (struct backup_manifest){.count = 0};
}

void backup_stored_path(const struct backup_file *file, char out[BACKUP_PATH_BYTES_MAX])
{
    (void)snprintf(out, BACKUP_PATH_BYTES_MAX, "files/%016" PRIx64 "-%" PRIu64, file->checksum,
                   file->bytes);
}

static void manifest_path(const char *dest, const char *name, char out[ENV_PATH_BYTES_MAX])
{
    (void)snprintf(out, ENV_PATH_BYTES_MAX, "%s/backups/%s" MANIFEST_SUFFIX, dest, name);
}

/* ---- Writing ---- */

enum status backup_manifest_write(struct env *env, const char *dest,
                                  const struct backup_manifest *manifest, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    struct buf out = {0};
    unsigned version = 1;
    for (size_t i = 0; i < manifest->count; i++)
        if (manifest->files[i].archived)
            version = 2; /* what version 1 does not know */
    buf_append_format(&out, "basalt-backup %u\n", version);
    buf_append_format(&out, "created %" PRId64 "\nhistory %s\nstore %s\n", manifest->created_ms,
                      manifest->replication_id, manifest->store);
    buf_append_format(&out, "cut %" PRIu64 "\nend %" PRIu64 "\n", manifest->cut_offset,
                      manifest->end_offset);
    for (size_t i = 0; i < manifest->count; i++) {
        const struct backup_file *file = &manifest->files[i];
        if (file->name[0] != '\0')
            buf_append_format(&out, "file %016" PRIx64 " %" PRIu64 " %s\n", file->checksum,
                              file->bytes, file->name);
        else
            buf_append_format(&out, "%s %016" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                              file->archived ? "archive" : "journal", file->checksum, file->bytes,
                              file->start, file->end);
    }
    buf_append_format(&out, "checksum %016" PRIx64 "\n", hash64(0, out.data, out.len));
    manifest_path(dest, manifest->name, path);
    enum status st = env_replace_file(env, path, buf_bytes(&out), err);
    buf_deinit(&out);
    return st;
}

/* ---- Reading ---- */

/* Splits a line at its spaces; how many fields there are, 0 if too many. */
static size_t split(struct bytes line, struct bytes fields[FIELDS_MAX])
{
    size_t count = 0;
    while (count < FIELDS_MAX) {
        const uint8_t *space = line.len == 0 ? NULL : memchr(line.data, ' ', line.len);
        size_t len = space == NULL ? line.len : (size_t)(space - line.data);
        fields[count++] = bytes_make(line.data, len);
        if (space == NULL)
            return count;
        line = bytes_make(line.data + len + 1, line.len - len - 1);
    }
    return 0;
}

static bool take_text(struct bytes from, char *out, size_t capacity)
{
    if (from.len == 0 || from.len >= capacity || memchr(from.data, '/', from.len) != NULL ||
        from.data[0] == '.')
        return false;
    memcpy(out, from.data, from.len);
    out[from.len] = '\0';
    return true;
}

static bool take_hex(struct bytes from, uint64_t *out)
{
    char text[17];
    char *end = NULL;
    if (from.len != 16)
        return false;
    memcpy(text, from.data, 16);
    text[16] = '\0';
    *out = strtoull(text, &end, 16);
    return end == text + 16;
}

static bool take_line(struct backup_manifest *manifest, struct bytes line)
{
    struct bytes f[FIELDS_MAX];
    size_t count = split(line, f);
    uint64_t number;
    if (count == 2 && bytes_equal(f[0], bytes_text("created"))) {
        bool good = number_parse_u64(f[1], &number) && number <= INT64_MAX;
        manifest->created_ms = good ? (int64_t)number : 0;
        return good;
    }
    if (count == 2 && bytes_equal(f[0], bytes_text("history")))
        return take_text(f[1], manifest->replication_id, sizeof(manifest->replication_id));
    if (count == 2 && bytes_equal(f[0], bytes_text("store")))
        return take_text(f[1], manifest->store, sizeof(manifest->store));
    if (count == 2 && bytes_equal(f[0], bytes_text("cut")))
        return number_parse_u64(f[1], &manifest->cut_offset);
    if (count == 2 && bytes_equal(f[0], bytes_text("end")))
        return number_parse_u64(f[1], &manifest->end_offset);
    if (count == 4 && bytes_equal(f[0], bytes_text("file"))) {
        struct backup_file *file = backup_manifest_add(manifest);
        return take_hex(f[1], &file->checksum) && number_parse_u64(f[2], &file->bytes) &&
               take_text(f[3], file->name, sizeof(file->name));
    }
    bool archived = bytes_equal(f[0], bytes_text("archive"));
    if (count == 5 && (archived || bytes_equal(f[0], bytes_text("journal")))) {
        struct backup_file *file = backup_manifest_add(manifest);
        file->archived = archived;
        return take_hex(f[1], &file->checksum) && number_parse_u64(f[2], &file->bytes) &&
               number_parse_u64(f[3], &file->start) && number_parse_u64(f[4], &file->end) &&
               file->start <= file->end;
    }
    return false;
}

#define CHECKSUM_LINE_BYTES (sizeof("checksum 0123456789abcdef\n") - 1)

static enum status parse(struct bytes text, const char *path, struct backup_manifest *out,
                         struct err *err)
{
    static const char head[] = "basalt-backup ";
    uint64_t checksum = 0;
    if (text.len < sizeof(head) + CHECKSUM_LINE_BYTES ||
        memcmp(text.data, head, sizeof(head) - 1) != 0)
        return err_set(err, ST_CORRUPT, "%s is no manifest of a backup", path);
    if (memcmp(text.data + sizeof(head) - 1, "1\n", 2) != 0 &&
        memcmp(text.data + sizeof(head) - 1, "2\n", 2) != 0)
        return err_set(err, ST_UNSUPPORTED, "%s is of a newer version", path);
    size_t body = text.len - CHECKSUM_LINE_BYTES;
    if (memcmp(text.data + body, "checksum ", 9) != 0 ||
        !take_hex(bytes_make(text.data + body + 9, 16), &checksum) ||
        checksum != hash64(0, text.data, body))
        return err_set(err, ST_CORRUPT, "%s is damaged: its checksum does not match", path);
    size_t at = sizeof(head) - 1 + 2;
    while (at < body) {
        const uint8_t *newline = memchr(text.data + at, '\n', body - at);
        size_t len = newline == NULL ? body - at : (size_t)(newline - text.data) - at;
        if (!take_line(out, bytes_make(text.data + at, len)))
            return err_set(err, ST_CORRUPT, "%s is damaged at byte %zu", path, at);
        at += len + 1;
    }
    return ST_OK;
}

enum status backup_manifest_read(struct env *env, const char *dest, const char *name,
                                 struct backup_manifest *out, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    struct buf text = {0};
    *out = (struct backup_manifest){.count = 0};
    (void)snprintf(out->name, sizeof(out->name), "%s", name);
    manifest_path(dest, name, path);
    enum status st = env_read_file(env, path, MANIFEST_BYTES_MAX, &text, err);
    if (st == ST_OK)
        st = parse(buf_bytes(&text), path, out, err);
    if (st != ST_OK)
        backup_manifest_deinit(out);
    buf_deinit(&text);
    return st;
}

/* ---- All of them ---- */

struct names {
    char (*items)[BACKUP_NAME_BYTES_MAX]; /* owned */
    size_t count;
};

static void visit(void *arg, const char *name)
{
    struct names *names = arg;
    size_t len = strlen(name);
    size_t tail = strlen(MANIFEST_SUFFIX);
    if (len <= tail || len - tail >= BACKUP_NAME_BYTES_MAX ||
        strcmp(name + len - tail, MANIFEST_SUFFIX) != 0)
        return;
    names->items = mem_realloc(names->items, (names->count + 1) * sizeof(*names->items));
    memcpy(names->items[names->count], name, len - tail);
    names->items[names->count++][len - tail] = '\0';
}

static int compare_manifests(const void *a, const void *b)
{
    const struct backup_manifest *left = a;
    const struct backup_manifest *right = b;
    if (left->created_ms != right->created_ms)
        return left->created_ms < right->created_ms ? -1 : 1;
    return strcmp(left->name, right->name);
}

enum status backup_list_read(struct env *env, const char *dest, struct backup_list *out,
                             struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    struct names names = {0};
    *out = (struct backup_list){.count = 0};
    (void)snprintf(path, sizeof(path), "%s/backups", dest);
    enum status st = env_list_dir(env, path, visit, &names, err);
    if (st == ST_OK && names.count != 0)
        out->items = mem_calloc(names.count, sizeof(*out->items));
    for (size_t i = 0; st == ST_OK && i < names.count; i++) {
        st = backup_manifest_read(env, dest, names.items[i], &out->items[out->count], err);
        out->count += st == ST_OK;
    }
    mem_free(names.items);
    if (st != ST_OK)
        backup_list_deinit(out);
    else if (out->count > 1)
        qsort(out->items, out->count, sizeof(*out->items), compare_manifests);
    return st;
}

void backup_list_deinit(struct backup_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        backup_manifest_deinit(&list->items[i]);
    mem_free(list->items);
    *list = (struct backup_list){.count = 0};
}
