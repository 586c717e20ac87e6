#include "storage/journal_walk.h"

#include <inttypes.h>

#include "storage/journal_internal.h"

struct walker {
    struct env *env;
    const char *dir;
    uint64_t from, end; /* of the stream that is wanted */
    journal_walk_fn *fn;
    void *arg;
    bool stopped;
};

static enum status walk_segment(struct walker *walker, const struct segment *segment,
                                struct err *err)
{
    struct segment_file file;
    uint64_t offset = segment->start;
    uint64_t end = segment->end < walker->end ? segment->end : walker->end;
    enum status st =
        segment_file_open(&file, walker->env, walker->dir, segment->start, ENV_READ, err);
    if (st != ST_OK)
        return st;
    while (st == ST_OK && offset < end && !walker->stopped) {
        struct journal_block block;
        struct journal_walk_block found = {.offset = offset};
        st = segment_file_header(&file, offset, &block, err);
        if (st == ST_OK && block.payload_len != 0 && offset + block.payload_len > walker->from) {
            st = segment_file_payload(&file, &block, &found.payload, err);
            found.db = block.db;
            if (st == ST_OK && !walker->fn(walker->arg, &found))
                walker->stopped = true;
        }
        if (st == ST_OK) {
            offset += block.payload_len;
            file.pos += JOURNAL_BLOCK_HEADER_BYTES + block.payload_len;
        }
    }
    segment_file_close(&file);
    return st == ST_END ? ST_OK : st; /* the scan has seen that all is there */
}

enum status journal_walk(struct env *env, const char *dir, uint64_t from, journal_walk_fn *fn,
                         void *arg, struct journal_check *out, struct err *err)
{
    struct journal_scan_options options = {.env = env, .dir = dir, .needed_from = from};
    struct journal_scan scan;
    enum status st = journal_scan(&options, &scan, err);
    if (st != ST_OK)
        return st;
    if (scan.list.count == 0) {
        journal_scan_deinit(&scan);
        return err_set(err, ST_NOT_FOUND, "%s: no journal segment", dir);
    }
    journal_scan_describe(&scan, out);
    struct walker walker = {
        .env = env, .dir = dir, .from = from, .end = scan.end_offset, .fn = fn, .arg = arg};
    for (size_t i = 0; st == ST_OK && i < scan.list.count && !walker.stopped; i++)
        if (scan.list.items[i].end > from)
            st = walk_segment(&walker, &scan.list.items[i], err);
    journal_scan_deinit(&scan);
    return st;
}

/* ---- Segments ---- */

/* Goes on behind the blocks that end at `to` at the latest, checking them; `*offset` is where it
 * stands in the stream, the file's `pos` in the file. ST_END: the file ends before. */
static enum status skip_blocks(struct segment_file *file, uint64_t to, uint64_t *offset,
                               struct err *err)
{
    while (*offset < to) {
        struct journal_block block;
        struct bytes payload;
        enum status st = segment_file_header(file, *offset, &block, err);
        if (st == ST_OK && block.payload_len > to - *offset)
            return ST_OK;
        if (st == ST_OK)
            st = segment_file_payload(file, &block, &payload, err);
        if (st != ST_OK)
            return st;
        *offset += block.payload_len;
        file->pos += JOURNAL_BLOCK_HEADER_BYTES + block.payload_len;
    }
    return ST_OK;
}

static enum status measure_segment(struct env *env, const char *dir, const struct segment *segment,
                                   uint64_t to, struct journal_walk_segment *out, struct err *err)
{
    struct segment_file file;
    uint64_t offset = segment->start;
    uint64_t end = segment->end < to ? segment->end : to;
    enum status st = segment_file_open(&file, env, dir, segment->start, ENV_READ, err);
    if (st != ST_OK)
        return st;
    st = skip_blocks(&file, end, &offset, err);
    if (st == ST_END || (st == ST_OK && offset != end))
        st = err_set(err, ST_CORRUPT, "%s: ends at stream offset %" PRIu64 ", not %" PRIu64,
                     file.path, offset, end);
    *out = (struct journal_walk_segment){.start = segment->start, .end = offset, .bytes = file.pos};
    segment_file_close(&file);
    return st;
}

enum status journal_walk_segments(struct env *env, const char *dir, uint64_t from, uint64_t to,
                                  journal_walk_segment_fn *fn, void *arg, struct err *err)
{
    struct segment_list list = {0};
    enum status st = journal_scan_list(env, dir, &list, err);
    if (st == ST_OK && from < to && (list.count == 0 || list.items[0].start > from))
        st = err_set(err, ST_NOT_FOUND, "%s: the journal is not there from offset %" PRIu64 " on",
                     dir, from);
    for (size_t i = 0; st == ST_OK && i < list.count; i++) {
        struct journal_walk_segment segment;
        if (list.items[i].end <= from || list.items[i].start >= to)
            continue;
        st = measure_segment(env, dir, &list.items[i], to, &segment, err);
        if (st == ST_OK)
            st = fn(arg, &segment, err);
    }
    segment_list_deinit(&list);
    return st;
}

enum status journal_walk_first(struct env *env, const char *dir, uint64_t *start_out,
                               struct err *err)
{
    struct segment_list list = {0};
    enum status st = journal_scan_list(env, dir, &list, err);
    if (st == ST_OK && list.count == 0)
        st = err_set(err, ST_NOT_FOUND, "%s: no journal segment", dir);
    if (st == ST_OK)
        *start_out = list.items[0].start;
    segment_list_deinit(&list);
    return st;
}

enum status journal_walk_files(struct env *env, const char *dir, journal_walk_segment_fn *fn,
                               void *arg, struct err *err)
{
    struct segment_list list = {0};
    enum status st = journal_scan_list(env, dir, &list, err);
    for (size_t i = 0; st == ST_OK && i < list.count; i++) {
        struct segment_file file;
        uint64_t end = list.items[i].end;
        st = segment_file_open(&file, env, dir, list.items[i].start, ENV_READ, err);
        if (st != ST_OK)
            break;
        uint64_t bytes = file.size;
        if (i + 1 == list.count) {
            end = list.items[i].start;
            st = skip_blocks(&file, UINT64_MAX, &end, err);
            if (st == ST_END || st == ST_CORRUPT) /* what is being written, or a torn tail */
                st = ST_OK;
            bytes = file.pos;
        }
        segment_file_close(&file);
        struct journal_walk_segment segment = {
            .start = list.items[i].start, .end = end, .bytes = bytes};
        if (st == ST_OK)
            st = fn(arg, &segment, err);
    }
    segment_list_deinit(&list);
    return st;
}

/* ---- Times ---- */

static enum status find_time_in(struct env *env, const char *dir, const struct segment *segment,
                                uint64_t from, int64_t time_ms, uint64_t *offset_out,
                                int64_t *first_ms_out, struct err *err)
{
    struct segment_file file;
    uint64_t offset = segment->start;
    enum status st = segment_file_open(&file, env, dir, segment->start, ENV_READ, err);
    if (st != ST_OK)
        return st;
    while (st == ST_OK && offset < segment->end && *offset_out == UINT64_MAX) {
        struct journal_block block;
        st = segment_file_header(&file, offset, &block, err);
        if (st != ST_OK)
            break;
        if ((block.flags & JOURNAL_BLOCK_TIME) != 0) {
            if (offset < from || *first_ms_out == INT64_MAX)
                *first_ms_out = block.time_ms;
            if (offset >= from && block.time_ms > time_ms)
                *offset_out = offset;
        }
        offset += block.payload_len;
        file.pos += JOURNAL_BLOCK_HEADER_BYTES + block.payload_len;
    }
    segment_file_close(&file);
    return st == ST_END || st == ST_CORRUPT ? ST_OK : st;
}

enum status journal_walk_find_time(struct env *env, const char *dir, uint64_t from, int64_t time_ms,
                                   uint64_t *offset_out, int64_t *first_ms_out, struct err *err)
{
    struct segment_list list = {0};
    enum status st = journal_scan_list(env, dir, &list, err);
    *offset_out = UINT64_MAX;
    *first_ms_out = INT64_MAX;
    for (size_t i = 0; st == ST_OK && i < list.count && *offset_out == UINT64_MAX; i++)
        if (list.items[i].end > from)
            st = find_time_in(env, dir, &list.items[i], from, time_ms, offset_out, first_ms_out,
                              err);
    segment_list_deinit(&list);
    return st;
}

/* ---- Cutting ---- */

static enum status cut_segment(struct env *env, const char *dir, uint64_t start, uint64_t upto,
                               uint64_t *end_out, struct err *err)
{
    struct segment_file file;
    uint64_t offset = start;
    enum status st = segment_file_open(&file, env, dir, start, ENV_READ | ENV_WRITE, err);
    if (st != ST_OK)
        return st;
    st = skip_blocks(&file, upto, &offset, err);
    if (st == ST_OK || st == ST_END)
        st = env_truncate(env, file.fd, file.path, file.pos, err);
    if (st == ST_OK)
        st = env_sync(env, file.fd, file.path, err);
    *end_out = offset;
    segment_file_close(&file);
    return st;
}

enum status journal_walk_cut(struct env *env, const char *dir, uint64_t upto, uint64_t *end_out,
                             struct err *err)
{
    struct segment_list list = {0};
    enum status st = journal_scan_list(env, dir, &list, err);
    size_t last = list.count;
    while (last > 1 && list.items[last - 1].start >= upto)
        last--;
    /* the last first: what is left after a kill is a journal without a gap */
    for (size_t i = list.count; st == ST_OK && i > last; i--) {
        char path[ENV_PATH_BYTES_MAX];
        segment_path(dir, list.items[i - 1].start, "", path);
        st = env_unlink(env, path, err);
    }
    if (st == ST_OK && last > 0)
        st = cut_segment(env, dir, list.items[last - 1].start, upto, end_out, err);
    else if (st == ST_OK)
        *end_out = upto;
    if (st == ST_OK)
        st = env_sync_dir(env, dir, err);
    segment_list_deinit(&list);
    return st;
}
