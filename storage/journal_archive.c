#include "storage/journal_archive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/buf.h"
#include "codec/compress.h"
#include "codec/mem.h"
#include "storage/journal_internal.h"

#define NAME_DIGITS    20
#define ARCHIVE_SUFFIX ".archive"
#define PIECE_BYTES    ((size_t)1 << 20)   /* of a segment, in one frame */
#define SYNC_BYTES     ((uint64_t)8 << 20) /* so that one sync does not keep the disk long */
#define READ_BYTES     ((size_t)256 << 10)

/* ---- Names ---- */

void journal_archive_path(const char *dir, uint64_t start, uint64_t end,
                          char out[ENV_PATH_BYTES_MAX])
{
    int len = snprintf(out, ENV_PATH_BYTES_MAX, "%s/%0*" PRIu64 "-%0*" PRIu64 ARCHIVE_SUFFIX, dir,
                       NAME_DIGITS, start, NAME_DIGITS, end);
    CHECK(len > 0 && len < ENV_PATH_BYTES_MAX);
}

static bool parse_digits(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < NAME_DIGITS; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (value > (JOURNAL_OFFSET_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

static bool parse_name(const char *name, uint64_t *start_out, uint64_t *end_out)
{
    return strlen(name) == 2 * NAME_DIGITS + 1 + strlen(ARCHIVE_SUFFIX) &&
           name[NAME_DIGITS] == '-' && strcmp(name + 2 * NAME_DIGITS + 1, ARCHIVE_SUFFIX) == 0 &&
           parse_digits(name, start_out) && parse_digits(name + NAME_DIGITS + 1, end_out);
}

/* ---- The list ---- */

static int compare_files(const void *left, const void *right)
{
    const struct journal_archive_file *a = left;
    const struct journal_archive_file *b = right;
    if (a->head.start != b->head.start)
        return a->head.start < b->head.start ? -1 : 1;
    return (a->head.end > b->head.end) - (a->head.end < b->head.end);
}

static void append_file(struct journal_archive_list *list, const struct journal_archive_file *file)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        list->items = mem_realloc(list->items, list->capacity * sizeof(*list->items));
    }
    list->items[list->count++] = *file;
}

void journal_archive_list_add(struct journal_archive_list *list,
                              const struct journal_archive_file *file)
{
    append_file(list, file);
    for (size_t at = list->count - 1;
         at > 0 && compare_files(&list->items[at - 1], &list->items[at]) > 0; at--) {
        struct journal_archive_file before = list->items[at - 1];
        list->items[at - 1] = list->items[at];
        list->items[at] = before;
    }
}

void journal_archive_list_deinit(struct journal_archive_list *list)
{
    mem_free(list->items);
    *list = (struct journal_archive_list){.count = 0};
}

/* Names of files: each with a zero behind it. */
struct found {
    struct buf archives, leftovers;
};

static void visit(void *arg, const char *name)
{
    struct found *found = arg;
    uint64_t start = 0;
    uint64_t end = 0;
    size_t len = strlen(name);
    size_t tail = strlen(JOURNAL_TMP_SUFFIX);
    if (parse_name(name, &start, &end))
        buf_append(&found->archives, name, len + 1);
    else if (len > tail && strcmp(name + len - tail, JOURNAL_TMP_SUFFIX) == 0)
        buf_append(&found->leftovers, name, len + 1);
}

static enum status read_head(struct env *env, int fd, const char *path, struct journal_archive *out,
                             struct err *err)
{
    uint8_t header[JOURNAL_ARCHIVE_HEADER_BYTES];
    size_t got = 0;
    struct err reason;
    enum status st = env_read_at(env, fd, path, 0, header, sizeof(header), &got, err);
    if (st != ST_OK)
        return st;
    if (got < sizeof(header))
        return err_set(err, ST_CORRUPT, "%s: the file ends in its header", path);
    st = journal_archive_header_decode(header, out, &reason);
    return st == ST_OK ? ST_OK : err_set(err, st, "%s: %s", path, reason.message);
}

static enum status read_file(struct env *env, const char *dir, const char *name,
                             struct journal_archive_file *out, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    uint64_t start = 0;
    uint64_t end = 0;
    int fd = -1;
    CHECK(parse_name(name, &start, &end));
    *out = (struct journal_archive_file){.bytes = 0};
    journal_archive_path(dir, start, end, path);
    enum status st = env_open(env, path, ENV_READ, &fd, err);
    if (st == ST_OK)
        st = env_file_size(env, fd, path, &out->bytes, err);
    if (st == ST_OK) {
        st = read_head(env, fd, path, &out->head, err);
        out->unreadable = st == ST_CORRUPT || st == ST_UNSUPPORTED ||
                          (st == ST_OK && (out->head.start != start || out->head.end != end));
        if (out->unreadable) {
            out->head = (struct journal_archive){.start = start, .end = end};
            st = ST_OK;
        }
    }
    env_close(env, fd);
    return st;
}

enum status journal_archive_list_read(struct env *env, const char *dir, bool tidy,
                                      struct journal_archive_list *out, struct err *err)
{
    struct found found = {.archives = {0}, .leftovers = {0}};
    *out = (struct journal_archive_list){.count = 0};
    enum status st = env_list_dir(env, dir, visit, &found, err);
    for (size_t at = 0; st == ST_OK && at < found.archives.len;) {
        struct journal_archive_file file;
        const char *name = (const char *)found.archives.data + at;
        st = read_file(env, dir, name, &file, err);
        if (st == ST_OK)
            append_file(out, &file);
        else if (st == ST_NOT_FOUND) /* deleted meanwhile, by its server */
            st = ST_OK;
        at += strlen(name) + 1;
    }
    for (size_t at = 0; tidy && st == ST_OK && at < found.leftovers.len;) {
        struct buf path = {0};
        const char *name = (const char *)found.leftovers.data + at;
        buf_append_format(&path, "%s/%s", dir, name);
        buf_append_byte(&path, '\0');
        st = env_unlink(env, (const char *)path.data, err);
        buf_deinit(&path);
        at += strlen(name) + 1;
    }
    buf_deinit(&found.archives);
    buf_deinit(&found.leftovers);
    if (st == ST_NOT_FOUND)
        st = ST_OK;
    if (st != ST_OK)
        journal_archive_list_deinit(out);
    else if (out->count > 1)
        qsort(out->items, out->count, sizeof(*out->items), compare_files);
    return st;
}

/* ---- Packing ---- */

/* Goes through the blocks up to head->end, for the last time that one tells. */
static enum status read_blocks(struct segment_file *file, struct journal_archive *head,
                               struct err *err)
{
    uint64_t offset = head->start;
    while (offset < head->end) {
        struct journal_block block;
        struct bytes payload;
        enum status st = segment_file_header(file, offset, &block, err);
        if (st == ST_OK)
            st = segment_file_payload(file, &block, &payload, err);
        if (st == ST_END || (st == ST_OK && block.payload_len > head->end - offset))
            st = err_set(err, ST_CORRUPT, "%s: it does not end at stream offset %" PRIu64,
                         file->path, head->end);
        if (st != ST_OK)
            return st;
        if ((block.flags & JOURNAL_BLOCK_TIME) != 0 && block.time_ms > head->last_ms)
            head->last_ms = block.time_ms;
        offset += block.payload_len;
        file->pos += JOURNAL_BLOCK_HEADER_BYTES + block.payload_len;
    }
    return ST_OK;
}

enum status journal_archive_measure(struct env *env, const char *journal_dir,
                                    struct journal_archive *head, struct err *err)
{
    struct segment_file file;
    struct journal_segment segment;
    struct bytes header;
    head->damaged = false;
    head->last_ms = 0;
    enum status st = segment_file_open(&file, env, journal_dir, head->start, ENV_READ, err);
    if (st == ST_OK) {
        st = segment_file_peek(&file, 0, JOURNAL_SEGMENT_HEADER_BYTES, &header, err);
        if (st == ST_OK && journal_segment_header_decode(header.data, &segment, NULL) == ST_OK)
            head->last_ms = segment.created_ms > INT64_MAX ? 0 : (int64_t)segment.created_ms;
        if (st == ST_OK)
            st = read_blocks(&file, head, err);
        head->plain_bytes = st == ST_OK ? file.pos : file.size;
        segment_file_close(&file);
    } else if (st == ST_CORRUPT) { /* in its header */
        int fd = -1;
        char path[ENV_PATH_BYTES_MAX];
        segment_path(journal_dir, head->start, "", path);
        st = env_open(env, path, ENV_READ, &fd, err);
        if (st == ST_OK)
            st = env_file_size(env, fd, path, &head->plain_bytes, err);
        env_close(env, fd);
        st = st == ST_OK ? ST_CORRUPT : st;
    }
    head->damaged = st == ST_CORRUPT;
    return st;
}

/* What goes into a file, and how far it is. */
struct packer {
    struct env *env;
    const struct journal_archive *head;
    const atomic_bool *stop;
    struct compress_context *zstd;
    int in, out;
    char from[ENV_PATH_BYTES_MAX];
    char to[ENV_PATH_BYTES_MAX + sizeof(JOURNAL_TMP_SUFFIX)]; /* the temporary name */
    struct buf piece, packed;
    uint64_t written, synced;
};

static enum status put(struct packer *p, struct bytes bytes, struct err *err)
{
    enum status st = env_write_all(p->env, p->out, p->to, bytes.data, bytes.len, err);
    p->written += bytes.len;
    if (st == ST_OK && p->written - p->synced >= SYNC_BYTES) {
        st = env_sync(p->env, p->out, p->to, err);
        p->synced = p->written;
    }
    return st;
}

static enum status pack_pieces(struct packer *p, struct err *err)
{
    uint8_t header[JOURNAL_ARCHIVE_HEADER_BYTES];
    journal_archive_header_encode(p->head, header);
    enum status st = put(p, bytes_make(header, sizeof(header)), err);
    uint8_t *piece = buf_reserve(&p->piece, PIECE_BYTES);
    for (uint64_t at = 0; st == ST_OK && at < p->head->plain_bytes;) {
        uint64_t left = p->head->plain_bytes - at;
        size_t want = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        size_t got = 0;
        if (atomic_load(p->stop))
            return err_set(err, ST_AGAIN, "stopped");
        st = env_read_at(p->env, p->in, p->from, at, piece, want, &got, err);
        if (st == ST_OK && got < want)
            st = err_set(err, ST_CORRUPT, "%s has become shorter", p->from);
        buf_clear(&p->packed);
        if (st == ST_OK)
            st = compress_encode(p->zstd, COMPRESS_LEVEL_DEFAULT, bytes_make(piece, want),
                                 &p->packed, err);
        if (st == ST_OK)
            st = put(p, buf_bytes(&p->packed), err);
        at += want;
    }
    return st == ST_OK ? env_sync(p->env, p->out, p->to, err) : st;
}

enum status journal_archive_pack(struct env *env, const char *journal_dir,
                                 const struct journal_archive *head, const char *dir,
                                 const atomic_bool *stop, uint64_t *bytes_out, struct err *err)
{
    struct packer *p = mem_calloc(1, sizeof(*p));
    char path[ENV_PATH_BYTES_MAX];
    *p = (struct packer){.env = env, .head = head, .stop = stop, .in = -1, .out = -1};
    p->zstd = compress_context_create();
    journal_archive_path(dir, head->start, head->end, path);
    (void)snprintf(p->to, sizeof(p->to), "%s" JOURNAL_TMP_SUFFIX, path);
    segment_path(journal_dir, head->start, "", p->from);
    enum status st = env_mkdir(env, dir, err);
    if (st == ST_OK)
        st = env_open(env, p->from, ENV_READ, &p->in, err);
    if (st == ST_OK)
        st = env_open(env, p->to, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &p->out, err);
    bool begun = st == ST_OK;
    if (st == ST_OK)
        st = pack_pieces(p, err);
    if (st == ST_OK) /* nobody will read it soon */
        (void)env->drop_cache(env, p->out);
    env_close(env, p->out);
    env_close(env, p->in);
    if (st == ST_OK)
        st = env_rename(env, p->to, path, err);
    if (st == ST_OK)
        st = env_sync_dir(env, dir, err);
    if (begun && st != ST_OK)
        (void)env->unlink(env, p->to);
    *bytes_out = p->written;
    compress_context_destroy(p->zstd);
    buf_deinit(&p->piece);
    buf_deinit(&p->packed);
    mem_free(p);
    return st;
}

/* ---- Unpacking ---- */

struct unpacker {
    struct env *env;
    const char *from, *to;
    int in, out;
    struct unpack *zstd;
    uint8_t *packed, *plain; /* owned; READ_BYTES, PIECE_BYTES */
    uint64_t plain_bytes;    /* so far */
};

/* Unpacks what is in `in`; all of it, for zstd holds nothing back that it has room for. */
static enum status unpack_some(struct unpacker *u, struct bytes in, uint64_t bytes_max,
                               struct err *err)
{
    size_t len = 0;
    do {
        struct err reason;
        enum status st = unpack_step(u->zstd, &in, u->plain, PIECE_BYTES, &len, &reason);
        if (st != ST_OK)
            return err_set(err, st, "%s: %s", u->from, reason.message);
        u->plain_bytes += len;
        if (u->plain_bytes > bytes_max)
            return err_set(err, ST_CORRUPT, "%s: it has more than its header tells", u->from);
        if (u->to != NULL) {
            st = env_write_all(u->env, u->out, u->to, u->plain, len, err);
            if (st != ST_OK)
                return st;
        }
    } while (in.len > 0 || len == PIECE_BYTES);
    return ST_OK;
}

static enum status unpack_all(struct unpacker *u, struct err *err)
{
    struct journal_archive head;
    enum status st = read_head(u->env, u->in, u->from, &head, err);
    uint64_t at = JOURNAL_ARCHIVE_HEADER_BYTES;
    size_t got = READ_BYTES;
    while (st == ST_OK && got == READ_BYTES) {
        st = env_read_at(u->env, u->in, u->from, at, u->packed, READ_BYTES, &got, err);
        if (st == ST_OK && got > 0)
            st = unpack_some(u, bytes_make(u->packed, got), head.plain_bytes, err);
        at += got;
    }
    if (st == ST_OK && (!unpack_at_end(u->zstd) || u->plain_bytes != head.plain_bytes))
        st = err_set(err, ST_CORRUPT, "%s: it ends before its segment does", u->from);
    if (st == ST_OK && head.damaged)
        st = err_set(err, ST_CORRUPT, "%s: the segment was damaged when it was archived", u->from);
    if (st == ST_OK && u->to != NULL)
        st = env_sync(u->env, u->out, u->to, err);
    return st;
}

enum status journal_archive_unpack(struct env *env, const char *from, const char *to,
                                   struct err *err)
{
    struct unpacker u = {.env = env, .from = from, .to = to, .in = -1, .out = -1};
    enum status st = env_open(env, from, ENV_READ, &u.in, err);
    if (st == ST_OK && to != NULL)
        st = env_open(env, to, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &u.out, err);
    if (st == ST_OK) {
        u.zstd = unpack_create();
        u.packed = mem_alloc(READ_BYTES);
        u.plain = mem_alloc(PIECE_BYTES);
        st = unpack_all(&u, err);
    }
    unpack_destroy(u.zstd);
    mem_free(u.packed);
    mem_free(u.plain);
    env_close(env, u.out);
    env_close(env, u.in);
    return st;
}
