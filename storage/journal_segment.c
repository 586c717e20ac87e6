/* Segment files of the journal: their names, how they are made, and reading them block by block. */
#include <inttypes.h>
#include <stdio.h>

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"
#include "storage/journal_internal.h"

#define NAME_DIGITS       20 /* any uint64_t, so that names sort as offsets do */
#define READ_AHEAD_BYTES  ((size_t)256 << 10)
#define LIST_CAPACITY_MIN 16

/* ---- The list ---- */

void segment_list_deinit(struct segment_list *list)
{
    mem_free(list->items);
    *list = (struct segment_list){0};
}

struct segment *segment_list_append(struct segment_list *list, uint64_t start, uint64_t end)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? LIST_CAPACITY_MIN : list->capacity * 2;
        list->items = mem_realloc(list->items, list->capacity * sizeof(*list->items));
    }
    struct segment *segment = &list->items[list->count++];
    *segment = (struct segment){.id = ++list->next_id, .start = start, .end = end};
    return segment;
}

struct segment *segment_list_find(const struct segment_list *list, uint64_t offset)
{
    size_t low = 0;
    size_t high = list->count; /* the first with an end beyond offset is in low..high */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->items[middle].end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->count && list->items[low].start <= offset ? &list->items[low] : NULL;
}

/* ---- Names ---- */

void segment_path(const char *dir, uint64_t start, const char *suffix, char out[ENV_PATH_BYTES_MAX])
{
    int len = snprintf(out, ENV_PATH_BYTES_MAX, "%s/%0*" PRIu64 JOURNAL_FILE_SUFFIX "%s", dir,
                       NAME_DIGITS, start, suffix);
    CHECK(len > 0 && len < ENV_PATH_BYTES_MAX);
}

bool segment_parse_name(const char *name, uint64_t *start_out)
{
    if (strlen(name) != NAME_DIGITS + strlen(JOURNAL_FILE_SUFFIX) ||
        strcmp(name + NAME_DIGITS, JOURNAL_FILE_SUFFIX) != 0)
        return false;
    uint64_t start = 0;
    for (size_t i = 0; i < NAME_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(name[i] - '0');
        if (start > (JOURNAL_OFFSET_MAX - digit) / 10)
            return false;
        start = start * 10 + digit;
    }
    *start_out = start;
    return true;
}

/* ---- Making one ---- */

enum status segment_create(struct env *env, const char *dir, uint64_t start, int *fd_out,
                           struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    segment_path(dir, start, JOURNAL_TMP_SUFFIX, path);
    int fd = -1;
    enum status st =
        env_open(env, path, ENV_READ | ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &fd, err);
    if (st != ST_OK)
        return st;
    int64_t now = env_now_realtime_ms(env);
    struct journal_segment segment = {.start_offset = start,
                                      .created_ms = now > 0 ? (uint64_t)now : 0};
    uint8_t header[JOURNAL_SEGMENT_HEADER_BYTES];
    journal_segment_header_encode(&segment, header);
    st = env_write_all(env, fd, path, header, sizeof(header), err);
    if (st != ST_OK) {
        segment_discard(env, dir, start, fd);
        return st;
    }
    *fd_out = fd;
    return ST_OK;
}

enum status segment_name(struct env *env, const char *dir, uint64_t start, struct err *err)
{
    char tmp_path[ENV_PATH_BYTES_MAX];
    segment_path(dir, start, JOURNAL_TMP_SUFFIX, tmp_path);
    struct buf path = {0};
    uint8_t *room = buf_reserve(&path, ENV_PATH_BYTES_MAX);
    segment_path(dir, start, "", (char *)room);
    enum status st = env_rename(env, tmp_path, (const char *)room, err);
    buf_deinit(&path);
    return st;
}

enum status segment_publish(struct env *env, const char *dir, uint64_t start, int fd,
                            struct err *err)
{
    char tmp_path[ENV_PATH_BYTES_MAX];
    segment_path(dir, start, JOURNAL_TMP_SUFFIX, tmp_path);
    enum status st = env_sync(env, fd, tmp_path, err);
    if (st == ST_OK)
        st = segment_name(env, dir, start, err);
    return st == ST_OK ? env_sync_dir(env, dir, err) : st;
}

void segment_discard(struct env *env, const char *dir, uint64_t start, int fd)
{
    char path[ENV_PATH_BYTES_MAX];
    segment_path(dir, start, JOURNAL_TMP_SUFFIX, path);
    env_close(env, fd);
    (void)env->unlink(env, path);
}

/* ---- Reading one ---- */

enum status segment_file_blame(const struct segment_file *file, uint64_t pos, enum status code,
                               struct err *err)
{
    if (err == NULL)
        return code;
    struct err inner = *err;
    return err_set_at(err, inner.file, inner.line, code, inner.os_errno,
                      "%s: at byte %" PRIu64 ": %s", file->path, pos, inner.message);
}

static enum status check_segment_header(struct segment_file *file, uint64_t start, struct err *err)
{
    struct bytes header;
    enum status st = segment_file_peek(file, 0, JOURNAL_SEGMENT_HEADER_BYTES, &header, err);
    if (st != ST_OK)
        return st;
    if (header.len < JOURNAL_SEGMENT_HEADER_BYTES)
        return err_set(err, ST_CORRUPT, "%s: at byte %zu: the file ends in its header", file->path,
                       header.len);
    struct journal_segment segment;
    st = journal_segment_header_decode(header.data, &segment, err);
    if (st != ST_OK)
        return segment_file_blame(file, 0, st, err);
    if (segment.start_offset != start)
        return err_set(err, ST_CORRUPT,
                       "%s: at byte 0: the header says that it starts at offset %" PRIu64,
                       file->path, segment.start_offset);
    return ST_OK;
}

enum status segment_file_open(struct segment_file *file, struct env *env, const char *dir,
                              uint64_t start, unsigned flags, struct err *err)
{
    *file = (struct segment_file){.env = env, .fd = -1, .pos = JOURNAL_SEGMENT_HEADER_BYTES};
    segment_path(dir, start, "", file->path);
    enum status st = env_open(env, file->path, flags, &file->fd, err);
    if (st == ST_OK)
        st = env_file_size(env, file->fd, file->path, &file->size, err);
    if (st == ST_OK)
        st = check_segment_header(file, start, err);
    if (st != ST_OK)
        segment_file_close(file);
    return st;
}

void segment_file_close(struct segment_file *file)
{
    if (file->env != NULL)
        env_close(file->env, file->fd);
    mem_free(file->buf);
    file->env = NULL;
    file->fd = -1;
    file->buf = NULL;
    file->buf_len = 0;
    file->buf_capacity = 0;
}

enum status segment_file_refresh(struct segment_file *file, struct err *err)
{
    file->buf_len = 0;
    return env_file_size(file->env, file->fd, file->path, &file->size, err);
}

/* Makes the buffer hold the file from `off` on, at least `len` bytes of it if the file has them. */
static enum status fill(struct segment_file *file, uint64_t off, size_t len, struct err *err)
{
    bool overlaps = off >= file->buf_off && off - file->buf_off < file->buf_len;
    size_t kept = overlaps ? file->buf_len - (size_t)(off - file->buf_off) : 0;
    if (kept > 0 && off != file->buf_off)
        memmove(file->buf, file->buf + (off - file->buf_off), kept);
    file->buf_off = off;
    file->buf_len = kept;
    size_t want = len > READ_AHEAD_BYTES ? len : READ_AHEAD_BYTES;
    if (want > file->buf_capacity) {
        uint8_t *grown = mem_try_realloc(file->buf, want);
        if (grown == NULL)
            return err_set(err, ST_LIMIT, "%s: no memory for a block of %zu bytes", file->path,
                           len);
        file->buf = grown;
        file->buf_capacity = want;
    }
    size_t got = 0;
    enum status st = env_read_at(file->env, file->fd, file->path, off + kept, file->buf + kept,
                                 want - kept, &got, err);
    if (st == ST_OK)
        file->buf_len += got;
    return st;
}

enum status segment_file_peek(struct segment_file *file, uint64_t off, size_t len,
                              struct bytes *out, struct err *err)
{
    bool buffered = off >= file->buf_off && off - file->buf_off <= file->buf_len &&
                    file->buf_len - (size_t)(off - file->buf_off) >= len;
    if (!buffered) {
        enum status st = fill(file, off, len, err);
        if (st != ST_OK)
            return st;
    }
    size_t skip = (size_t)(off - file->buf_off);
    size_t available = file->buf_len - skip;
    *out = bytes_make(file->buf + skip, available < len ? available : len);
    return ST_OK;
}

enum status segment_file_header(struct segment_file *file, uint64_t offset,
                                struct journal_block *out, struct err *err)
{
    struct bytes header;
    enum status st = segment_file_peek(file, file->pos, JOURNAL_BLOCK_HEADER_BYTES, &header, err);
    if (st != ST_OK)
        return st;
    if (header.len == 0)
        return ST_END;
    if (header.len < JOURNAL_BLOCK_HEADER_BYTES)
        return err_set(err, ST_CORRUPT, "%s: at byte %" PRIu64 ": the file ends in a block header",
                       file->path, file->pos);
    struct journal_block block;
    st = journal_block_header_decode(header.data, &block, err);
    if (st != ST_OK)
        return segment_file_blame(file, file->pos, st, err);
    if (block.offset != offset)
        return err_set(err, ST_CORRUPT,
                       "%s: at byte %" PRIu64 ": block of stream offset %" PRIu64 " where %" PRIu64
                       " should follow",
                       file->path, file->pos, block.offset, offset);
    *out = block;
    return ST_OK;
}

enum status segment_file_payload(struct segment_file *file, const struct journal_block *block,
                                 struct bytes *out, struct err *err)
{
    uint64_t start = file->pos + JOURNAL_BLOCK_HEADER_BYTES;
    /* Before any memory is taken for it: the length may be that of a block that was cut. */
    if (file->size < start || file->size - start < block->payload_len)
        return err_set(err, ST_CORRUPT,
                       "%s: at byte %" PRIu64 ": the file ends in a block of %" PRIu64 " bytes",
                       file->path, file->pos, block->payload_len);
    struct bytes payload;
    enum status st = segment_file_peek(file, start, (size_t)block->payload_len, &payload, err);
    if (st != ST_OK)
        return st;
    st = journal_block_payload_verify(block, payload, err);
    if (st != ST_OK)
        return segment_file_blame(file, file->pos, st, err);
    *out = payload;
    return ST_OK;
}
