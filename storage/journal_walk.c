#include "storage/journal_walk.h"

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
