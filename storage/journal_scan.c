/* What journal_open finds in a directory, and its repair.
 *
 * Segments are files named by their start. One ends where the next begins, whatever else stands in
 * it: a failure makes a segment begin in the middle of the one before (see journal_write.c). The
 * last one ends with its last good block. What stands behind that is a *torn tail* if a crash can
 * have left it so: blocks written after the last sync, any of which may be missing or half there.
 * It is *damage* if a block behind it says that it had been synced (the flags
 * JOURNAL_BLOCK_AFTER_SYNC and JOURNAL_BLOCK_MARK), or if it is not in the last segment: a segment
 * is begun only when the one before is durable. So is a bad segment header, for a file gets its
 * name after a sync.
 *
 * The last file is synced and dropped from the page cache before it is read. After a failed sync
 * the kernel calls pages clean that are not on the disk: what a process died with then must not be
 * taken for durable by the next one. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "storage/journal_internal.h"

#define SEARCH_WINDOW_BYTES ((size_t)256 << 10)
#define LOG_TEXT_BYTES      1024

/* Reading one segment up to its end or its first bad block. */
struct walk {
    uint64_t offset; /* stream offset behind the last good block */
    uint64_t pos;    /* the same in the file */
    uint64_t block_count;
    bool has_last;        /* there is a good block that is not a mark; of the last one: */
    uint64_t last_pos;    /* where it stands */
    uint64_t last_offset; /* its stream offset */
    bool last_closed;     /* the last good block has the flag JOURNAL_BLOCK_CLOSED */
    bool bad;             /* what follows is not a block; `reason` says why */
    struct err reason;
};

struct damage {
    bool found;
    size_t index;    /* of the segment */
    uint64_t offset; /* stream offset up to which all is well */
    struct err reason;
};

static void say(const struct journal_scan_options *options, int level, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void say(const struct journal_scan_options *options, int level, const char *format, ...)
{
    if (options->log == NULL)
        return;
    char text[LOG_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    options->log(options->log_arg, level, text);
}

/* ---- SELECT ---- */

/* Reads a line "<kind><number>\r\n" at `*at`. */
static bool read_number(struct bytes text, size_t *at, char kind, uint64_t *out)
{
    size_t i = *at;
    if (i >= text.len || text.data[i] != (uint8_t)kind)
        return false;
    uint64_t value = 0;
    size_t digits = 0;
    for (i++; i < text.len && text.data[i] >= '0' && text.data[i] <= '9' && digits < 18; i++) {
        value = value * 10 + (uint64_t)(text.data[i] - '0');
        digits++;
    }
    if (digits == 0 || text.len - i < 2 || text.data[i] != '\r' || text.data[i + 1] != '\n')
        return false;
    *at = i + 2;
    *out = value;
    return true;
}

static bool read_bulk(struct bytes text, size_t *at, struct bytes *out)
{
    uint64_t len = 0;
    if (!read_number(text, at, '$', &len) || len > text.len - *at || text.len - *at - len < 2)
        return false;
    *out = bytes_make(text.data + *at, (size_t)len);
    *at += (size_t)len + 2;
    return true;
}

uint32_t journal_scan_selects(struct bytes payload, uint32_t db)
{
    size_t at = 0;
    while (at < payload.len) {
        uint64_t count = 0;
        if (!read_number(payload, &at, '*', &count)) {
            /* Not a command in RESP: an inline one (a master's "\n" keep-alive). Skip the line. */
            const uint8_t *newline = memchr(payload.data + at, '\n', payload.len - at);
            if (newline == NULL)
                return db;
            at = (size_t)(newline - payload.data) + 1;
            continue;
        }
        bool select = false;
        for (uint64_t i = 0; i < count; i++) {
            struct bytes arg;
            if (!read_bulk(payload, &at, &arg))
                return db;
            if (i == 0)
                select = count == 2 && bytes_equal_nocase(arg, "select");
            else if (select && arg.len > 0 && arg.len <= 5)
                db = (uint32_t)strtoul((const char *)arg.data, NULL, 10); /* ends at the \r */
        }
    }
    return db;
}

/* ---- Listing ---- */

struct listing {
    struct segment_list list;
    char **leftovers; /* owned names of temporary files */
    size_t leftover_count;
};

static void visit_entry(void *arg, const char *name)
{
    struct listing *listing = arg;
    uint64_t start = 0;
    size_t len = strlen(name);
    size_t tail = strlen(JOURNAL_FILE_SUFFIX JOURNAL_TMP_SUFFIX);
    if (segment_parse_name(name, &start)) {
        (void)segment_list_append(&listing->list, start, UINT64_MAX);
    } else if (len > tail &&
               strcmp(name + len - tail, JOURNAL_FILE_SUFFIX JOURNAL_TMP_SUFFIX) == 0) {
        size_t bytes = (listing->leftover_count + 1) * sizeof(*listing->leftovers);
        listing->leftovers = mem_realloc(listing->leftovers, bytes);
        listing->leftovers[listing->leftover_count++] = mem_strdup(name);
    }
}

static int compare_starts(const void *a, const void *b)
{
    const struct segment *left = a;
    const struct segment *right = b;
    return (left->start > right->start) - (left->start < right->start);
}

static void delete_leftovers(const struct journal_scan_options *options, struct listing *listing)
{
    for (size_t i = 0; i < listing->leftover_count; i++) {
        struct buf path = {0};
        buf_append_format(&path, "%s/%s", options->dir, listing->leftovers[i]);
        buf_append_byte(&path, '\0');
        if (options->repair)
            (void)options->env->unlink(options->env, (const char *)path.data);
        buf_deinit(&path);
        mem_free(listing->leftovers[i]);
    }
    mem_free(listing->leftovers);
}

static enum status list_segments(const struct journal_scan_options *options,
                                 struct segment_list *out, struct err *err)
{
    struct listing listing = {0};
    enum status st = env_list_dir(options->env, options->dir, visit_entry, &listing, err);
    delete_leftovers(options, &listing);
    if (st != ST_OK) {
        segment_list_deinit(&listing.list);
        return st;
    }
    *out = listing.list;
    if (out->count > 1)
        qsort(out->items, out->count, sizeof(*out->items), compare_starts);
    for (size_t i = 0; i + 1 < out->count; i++)
        out->items[i].end = out->items[i + 1].start;
    return ST_OK;
}

/* ---- One segment ---- */

/* Walks the blocks up to stream offset `bound`. Payloads before `needed_from` are not read. A bad
 * block is a result (`bad`), not a failure. */
static enum status walk_blocks(struct segment_file *file, uint64_t start, uint64_t bound,
                               uint64_t needed_from, struct walk *walk, struct err *err)
{
    *walk = (struct walk){.offset = start, .pos = file->pos};
    while (walk->offset < bound) {
        struct journal_block block;
        enum status st = segment_file_header(file, walk->offset, &block, &walk->reason);
        if (st == ST_END)
            return ST_OK;
        if (st == ST_OK && block.payload_len > bound - walk->offset)
            st = err_set(&walk->reason, ST_CORRUPT,
                         "%s: at byte %" PRIu64 ": block reaches beyond offset %" PRIu64
                         ", where the next segment starts",
                         file->path, file->pos, bound);
        struct bytes payload;
        if (st == ST_OK && walk->offset + block.payload_len > needed_from)
            st = segment_file_payload(file, &block, &payload, &walk->reason);
        if (st == ST_CORRUPT) {
            walk->bad = true;
            return ST_OK;
        }
        if (st != ST_OK) {
            if (err != NULL)
                *err = walk->reason;
            return st;
        }
        walk->last_closed = (block.flags & JOURNAL_BLOCK_CLOSED) != 0;
        if (!journal_block_is_note(&block)) {
            walk->last_pos = walk->pos;
            walk->last_offset = walk->offset;
            walk->has_last = true;
        }
        walk->block_count++;
        walk->offset += block.payload_len;
        walk->pos += JOURNAL_BLOCK_HEADER_BYTES + block.payload_len;
        file->pos = walk->pos;
    }
    return ST_OK;
}

/* The database selected behind the last block of the walk; JOURNAL_DB_UNKNOWN if there is none or
 * it is damaged (where that is no matter, see needed_from). */
static enum status db_behind(struct segment_file *file, const struct walk *walk, uint32_t *db_out,
                             struct err *err)
{
    struct bytes payload;
    struct journal_block block;
    *db_out = JOURNAL_DB_UNKNOWN;
    if (!walk->has_last)
        return ST_OK;
    file->pos = walk->last_pos;
    enum status st = segment_file_header(file, walk->last_offset, &block, err);
    if (st == ST_OK)
        st = segment_file_payload(file, &block, &payload, err);
    if (st == ST_OK)
        *db_out = journal_scan_selects(payload, block.db);
    return st == ST_CORRUPT || st == ST_END ? ST_OK : st;
}

/* The same for a segment that was not walked. */
static enum status db_behind_segment(const struct journal_scan_options *options,
                                     const struct segment *segment, uint32_t *db_out,
                                     struct err *err)
{
    struct segment_file file;
    struct walk walk;
    *db_out = JOURNAL_DB_UNKNOWN;
    enum status st =
        segment_file_open(&file, options->env, options->dir, segment->start, ENV_READ, err);
    if (st == ST_CORRUPT)
        return ST_OK;
    if (st != ST_OK)
        return st;
    st = walk_blocks(&file, segment->start, segment->end, UINT64_MAX, &walk, err);
    if (st == ST_OK)
        st = db_behind(&file, &walk, db_out, err);
    segment_file_close(&file);
    return st;
}

/* Whether a header found at byte `at` of the file can belong to a block that really was written
 * behind a bad one at byte `bad_pos`: between them stand whole blocks. Keeps payloads that happen
 * to contain journal bytes from being taken for blocks. */
static bool is_plausible(const struct journal_block *block, uint64_t offset, uint64_t at,
                         uint64_t bad_pos)
{
    uint64_t distance = at - bad_pos;
    if (distance < JOURNAL_BLOCK_HEADER_BYTES || block->offset < offset)
        return false;
    uint64_t payload = block->offset - offset;
    return payload <= distance - JOURNAL_BLOCK_HEADER_BYTES &&
           (distance - payload) % JOURNAL_BLOCK_HEADER_BYTES == 0;
}

/* Whether a block says that what stands at stream offset `offset` had been durable before it. */
static bool says_synced(const struct journal_block *block, uint64_t offset)
{
    return (block->flags & JOURNAL_BLOCK_AFTER_SYNC) != 0 ||
           ((block->flags & JOURNAL_BLOCK_MARK) != 0 && block->durable > offset);
}

/* Looks behind a bad block at (bad_pos, offset) for a good one that says it had been synced. */
static enum status find_synced_block(struct segment_file *file, uint64_t bad_pos, uint64_t offset,
                                     uint64_t *found_pos, struct err *err)
{
    struct journal_block block;
    uint64_t from = bad_pos + 1;
    file->pos = bad_pos;
    /* If its header is good, nothing inside the payload is a block. */
    if (segment_file_header(file, offset, &block, NULL) == ST_OK)
        from = bad_pos + JOURNAL_BLOCK_HEADER_BYTES + block.payload_len;
    while (from < file->size && file->size - from >= JOURNAL_BLOCK_HEADER_BYTES) {
        struct bytes window;
        struct bytes payload;
        size_t at = 0;
        enum status st = segment_file_peek(file, from, SEARCH_WINDOW_BYTES, &window, err);
        if (st != ST_OK)
            return st;
        if (window.len < JOURNAL_BLOCK_HEADER_BYTES)
            break;
        if (!journal_block_find(window, offset, &at, &block)) {
            from += window.len - JOURNAL_BLOCK_HEADER_BYTES + 1;
            continue;
        }
        file->pos = from + at;
        from = file->pos + 1;
        if (!is_plausible(&block, offset, file->pos, bad_pos))
            continue;
        st = segment_file_payload(file, &block, &payload, err);
        if (st == ST_OK && says_synced(&block, offset)) {
            *found_pos = file->pos;
            return ST_OK;
        }
        if (st == ST_OK)
            from = file->pos + JOURNAL_BLOCK_HEADER_BYTES + block.payload_len;
        else if (st != ST_CORRUPT)
            return st;
    }
    return ST_NOT_FOUND;
}

/* ---- All of them ---- */

static void note_damage(struct damage *damage, size_t index, uint64_t offset,
                        const struct err *reason)
{
    *damage = (struct damage){.found = true, .index = index, .offset = offset, .reason = *reason};
}

/* Whether the file holds nothing but zeros from `from` on: room that was made for blocks. */
static enum status is_blank(struct segment_file *file, uint64_t from, bool *blank_out,
                            struct err *err)
{
    *blank_out = true;
    while (*blank_out && from < file->size) {
        struct bytes window;
        enum status st = segment_file_peek(file, from, SEARCH_WINDOW_BYTES, &window, err);
        if (st != ST_OK)
            return st;
        if (window.len == 0)
            break;
        for (size_t i = 0; i < window.len && *blank_out; i++)
            *blank_out = window.data[i] == 0;
        from += window.len;
    }
    return ST_OK;
}

/* Decides what the bad end of the last segment is, and cuts it off if it is torn or was never
 * written to. */
static enum status judge_tail(const struct journal_scan_options *options, struct segment_file *file,
                              const struct walk *walk, struct journal_scan *out,
                              struct damage *damage, struct err *err)
{
    uint64_t found_pos = 0;
    enum status st = find_synced_block(file, walk->pos, walk->offset, &found_pos, err);
    if (st == ST_OK) {
        struct err reason;
        (void)err_set(&reason, ST_CORRUPT,
                      "%s (stream offset %" PRIu64 "); a good block at byte %" PRIu64
                      " was written after it had been synced",
                      walk->reason.message, walk->offset, found_pos);
        note_damage(damage, out->list.count - 1, walk->offset, &reason);
        return ST_OK;
    }
    if (st != ST_NOT_FOUND)
        return st;
    bool blank = false;
    st = is_blank(file, walk->pos, &blank, err);
    if (st != ST_OK)
        return st;
    out->tail_cut_bytes = blank ? 0 : file->size - walk->pos;
    if (!options->repair)
        return ST_OK;
    if (!blank)
        say(options, LOG_WARNING,
            "Journal: cutting off %" PRIu64 " bytes of an unfinished write, the stream ends at "
            "offset %" PRIu64 ". %s",
            out->tail_cut_bytes, walk->offset, walk->reason.message);
    st = env_truncate(file->env, file->fd, file->path, walk->pos, err);
    return st == ST_OK ? env_sync(file->env, file->fd, file->path, err) : st;
}

static enum status scan_last(const struct journal_scan_options *options, struct segment_file *file,
                             const struct walk *walk, struct journal_scan *out,
                             struct damage *damage, struct err *err)
{
    enum status st = ST_OK;
    if (walk->bad)
        st = judge_tail(options, file, walk, out, damage, err);
    if (st != ST_OK || damage->found)
        return st;
    out->end_offset = walk->offset;
    out->tail_file_bytes = walk->pos;
    out->clean = out->tail_cut_bytes == 0 && walk->last_closed;
    if (!walk->has_last && out->list.count > 1)
        return db_behind_segment(options, &out->list.items[out->list.count - 2], &out->db, err);
    return db_behind(file, walk, &out->db, err);
}

static enum status scan_segment(const struct journal_scan_options *options, size_t index,
                                struct journal_scan *out, struct damage *damage, struct err *err)
{
    struct segment *segment = &out->list.items[index];
    bool last = index + 1 == out->list.count;
    bool writable = last && options->repair;
    struct segment_file file;
    struct err reason;
    enum status st = segment_file_open(&file, options->env, options->dir, segment->start,
                                       writable ? ENV_READ | ENV_WRITE : ENV_READ, &reason);
    if (st == ST_CORRUPT) {
        note_damage(damage, index, segment->start, &reason);
        return ST_OK;
    }
    if (st != ST_OK) {
        if (err != NULL)
            *err = reason;
        return st;
    }
    struct walk walk;
    segment->file_bytes = file.size;
    if (writable) {
        st = env_sync(file.env, file.fd, file.path, err);
        if (st == ST_OK) /* a process that was killed may not have come to that */
            st = env_sync_dir(file.env, options->dir, err);
        (void)file.env->drop_cache(file.env, file.fd);
        file.buf_len = 0;
    }
    if (st == ST_OK)
        st = walk_blocks(&file, segment->start, segment->end, options->needed_from, &walk, err);
    if (st == ST_OK) {
        out->block_count += walk.block_count;
        if (last) {
            st = scan_last(options, &file, &walk, out, damage, err);
        } else if (walk.offset < segment->end) {
            if (!walk.bad)
                (void)err_set(&walk.reason, ST_CORRUPT,
                              "%s: at byte %" PRIu64 ": the file ends at stream offset %" PRIu64
                              ", the next one starts at %" PRIu64,
                              file.path, walk.pos, walk.offset, segment->end);
            note_damage(damage, index, walk.offset, &walk.reason);
        }
    }
    segment_file_close(&file);
    return st;
}

/* The size of a segment that need not be read. */
static void measure_segment(const struct journal_scan_options *options, struct segment *segment)
{
    char path[ENV_PATH_BYTES_MAX];
    int fd = -1;
    segment_path(options->dir, segment->start, "", path);
    if (env_open(options->env, path, ENV_READ, &fd, NULL) == ST_OK)
        (void)options->env->file_size(options->env, fd, &segment->file_bytes);
    env_close(options->env, fd);
}

static enum status scan_segments(const struct journal_scan_options *options,
                                 struct journal_scan *out, struct damage *damage, struct err *err)
{
    struct err reason;
    const struct segment *first = &out->list.items[0];
    if (options->needed_from != 0 && first->start > options->needed_from) {
        (void)err_set(&reason, ST_CORRUPT,
                      "%s: journal segments are missing: the first starts at offset %" PRIu64
                      ", the data needs it from %" PRIu64,
                      options->dir, first->start, options->needed_from);
        note_damage(damage, 0, 0, &reason);
    }
    for (size_t i = 0; i < out->list.count && !damage->found; i++) {
        struct segment *segment = &out->list.items[i];
        if (segment->end <= options->needed_from && i + 1 < out->list.count) {
            measure_segment(options, segment);
            continue;
        }
        enum status st = scan_segment(options, i, out, damage, err);
        if (st != ST_OK)
            return st;
    }
    for (size_t i = 0; i < out->list.count; i++)
        out->disk_bytes += out->list.items[i].file_bytes;
    if (!damage->found && out->end_offset < options->needed_from) {
        (void)err_set(&reason, ST_CORRUPT,
                      "%s: the journal ends at offset %" PRIu64 ", the data needs it from %" PRIu64,
                      options->dir, out->end_offset, options->needed_from);
        note_damage(damage, 0, out->end_offset, &reason);
    }
    return ST_OK;
}

/* ---- Accepting a loss ---- */

/* Renames the segments from `index` on, the last one first, so that a crash in between leaves a
 * journal that ends early and not one with a gap. */
static enum status set_aside(const struct journal_scan_options *options, struct journal_scan *out,
                             size_t index, struct err *err)
{
    char suffix[64];
    (void)snprintf(suffix, sizeof(suffix), JOURNAL_LOST_SUFFIX "-%" PRId64,
                   env_now_realtime_ms(options->env));
    struct buf to = {0};
    char *to_path = (char *)buf_reserve(&to, ENV_PATH_BYTES_MAX);
    enum status st = ST_OK;
    while (st == ST_OK && out->list.count > index) {
        char from[ENV_PATH_BYTES_MAX];
        uint64_t start = out->list.items[out->list.count - 1].start;
        segment_path(options->dir, start, "", from);
        segment_path(options->dir, start, suffix, to_path);
        st = env_rename(options->env, from, to_path, err);
        if (st == ST_OK) {
            say(options, LOG_WARNING, "Journal: keeping %s aside as %s.", from, to_path);
            out->list.count--;
        }
    }
    buf_deinit(&to);
    return st == ST_OK ? env_sync_dir(options->env, options->dir, err) : st;
}

/* Lets the stream end at the damage. The damaged segment stays as it is: the next one, made by the
 * caller, supersedes what it holds from there on. */
static enum status accept_damage(const struct journal_scan_options *options,
                                 const struct damage *damage, struct journal_scan *out,
                                 struct err *err)
{
    say(options, LOG_WARNING, "Journal: accepting the loss of what follows. %s",
        damage->reason.message);
    size_t index = damage->index;
    out->end_offset = damage->offset;
    if (damage->offset < options->needed_from) {
        index = 0; /* nothing that is left can be joined to the data */
        out->end_offset = options->needed_from;
    } else if (damage->offset > out->list.items[index].start) {
        out->list.items[index].end = damage->offset;
        index++;
    }
    out->tail_file_bytes = 0;
    out->tail_cut_bytes = 0;
    out->clean = false;
    out->loss_accepted = true;
    out->db = JOURNAL_DB_UNKNOWN;
    enum status st = set_aside(options, out, index, err);
    if (st == ST_OK && out->list.count > 0)
        st = db_behind_segment(options, &out->list.items[out->list.count - 1], &out->db, err);
    return st;
}

enum status journal_scan(const struct journal_scan_options *options, struct journal_scan *out,
                         struct err *err)
{
    *out = (struct journal_scan){.db = JOURNAL_DB_UNKNOWN};
    struct damage damage = {0};
    enum status st = list_segments(options, &out->list, err);
    if (st == ST_OK && out->list.count > 0)
        st = scan_segments(options, out, &damage, err);
    if (st == ST_OK && damage.found) {
        if (options->repair && options->accept_loss) {
            st = accept_damage(options, &damage, out, err);
        } else {
            st = ST_CORRUPT;
            if (err != NULL)
                *err = damage.reason;
        }
    }
    if (st != ST_OK)
        journal_scan_deinit(out);
    return st;
}

enum status journal_scan_list(struct env *env, const char *dir, struct segment_list *out,
                              struct err *err)
{
    struct journal_scan_options options = {.env = env, .dir = dir};
    return list_segments(&options, out, err);
}

void journal_scan_describe(const struct journal_scan *scan, struct journal_check *out)
{
    *out = (struct journal_check){
        .first_offset = scan->list.items[0].start,
        .end_offset = scan->end_offset,
        .segment_count = scan->list.count,
        .block_count = scan->block_count,
        .disk_bytes = scan->disk_bytes,
        .tail_bytes = scan->tail_cut_bytes,
        .clean = scan->clean,
    };
}

void journal_scan_deinit(struct journal_scan *scan)
{
    segment_list_deinit(&scan->list);
}
