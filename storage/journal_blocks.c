/* Submitted blocks on their way out of the chunks into a file: see journal_internal.h. */
#include "codec/checksum.h"
#include "storage/journal_internal.h"

_Static_assert(JOURNAL_SINK_PARTS_MAX <= ENV_IO_PARTS_MAX, "one writev takes a batch");

/* Takes the next piece, of at most `len` bytes, that stands in one chunk. There must be one. */
static struct bytes take_piece(struct block_cursor *at, uint64_t len)
{
    for (;;) {
        struct chunk *next = atomic_load_explicit(&at->chunk->next, memory_order_acquire);
        size_t end = next == NULL ? at->chunk->capacity : at->chunk->used;
        if (at->pos < end) {
            size_t room = end - at->pos;
            struct bytes piece =
                bytes_make(at->chunk->data + at->pos, len < room ? (size_t)len : room);
            at->pos += piece.len;
            return piece;
        }
        CHECK(next != NULL);
        at->chunk = next;
        at->pos = 0;
    }
}

static enum status flush_sink(struct journal_sink *sink, struct err *err)
{
    int count = sink->count;
    sink->count = 0;
    return env_writev_all(sink->env, sink->fd, sink->path, sink->parts, count, err);
}

static enum status put(struct journal_sink *sink, struct bytes piece, struct err *err)
{
    union {
        const uint8_t *borrowed;
        void *base; /* struct iovec knows no const */
    } cast = {.borrowed = piece.data};
    sink->bytes += piece.len;
    if (sink->count > 0) {
        struct iovec *last = &sink->parts[sink->count - 1];
        if ((uint8_t *)last->iov_base + last->iov_len == piece.data) {
            last->iov_len += piece.len;
            return ST_OK;
        }
    }
    enum status st = sink->count == JOURNAL_SINK_PARTS_MAX ? flush_sink(sink, err) : ST_OK;
    sink->parts[sink->count++] = (struct iovec){.iov_base = cast.base, .iov_len = piece.len};
    return st;
}

/* Completes the header of the block at `at`, which the main thread has filled in but for checksum
 * and flags. */
static struct journal_block finish_header(struct block_cursor at, uint64_t durable)
{
    struct journal_block block;
    struct bytes room = take_piece(&at, JOURNAL_BLOCK_HEADER_BYTES);
    CHECK(room.len == JOURNAL_BLOCK_HEADER_BYTES);
    CHECK(journal_block_header_decode(room.data, &block, NULL) == ST_OK);
    CHECK(block.offset == at.offset);
    uint8_t *header = at.chunk->data + at.pos - JOURNAL_BLOCK_HEADER_BYTES;
    uint32_t crc = 0;
    for (uint64_t left = block.payload_len; left > 0;) {
        struct bytes piece = take_piece(&at, left);
        crc = crc32c(crc, piece.data, piece.len);
        left -= piece.len;
    }
    block.payload_crc = crc;
    block.flags = block.offset == durable ? JOURNAL_BLOCK_AFTER_SYNC : 0;
    journal_block_header_encode(&block, header);
    return block;
}

/* Says before `next` up to where the stream is durable, unless the file does or `next` will. */
static enum status put_mark(struct journal_sink *sink, const struct journal_block *next,
                            uint64_t durable, struct err *err)
{
    if (durable <= sink->claimed)
        return ST_OK;
    sink->claimed = durable;
    if ((next->flags & JOURNAL_BLOCK_AFTER_SYNC) != 0)
        return ST_OK;
    struct journal_block mark = {
        .offset = next->offset, .db = next->db, .flags = JOURNAL_BLOCK_MARK, .durable = durable};
    journal_block_header_encode(&mark, sink->mark);
    return put(sink, bytes_make(sink->mark, sizeof(sink->mark)), err);
}

/* Says before `next` what time it is, if that is due. */
static enum status put_time(const struct journal *journal, struct journal_sink *sink,
                            struct block_cursor next, struct err *err)
{
    int64_t now_ms = journal->time_interval_ms == 0 ? 0 : env_now_realtime_ms(journal->env);
    if (now_ms <= 0 || now_ms - sink->timed_ms < (int64_t)journal->time_interval_ms)
        return ST_OK; /* also when the clock was put back: times never descend */
    struct journal_block first;
    struct bytes room = take_piece(&next, JOURNAL_BLOCK_HEADER_BYTES);
    CHECK(journal_block_header_decode(room.data, &first, NULL) == ST_OK);
    struct journal_block time = {
        .offset = first.offset, .db = first.db, .flags = JOURNAL_BLOCK_TIME, .time_ms = now_ms};
    journal_block_header_encode(&time, sink->time);
    sink->timed_ms = now_ms;
    return put(sink, bytes_make(sink->time, sizeof(sink->time)), err);
}

enum status journal_put_blocks(struct journal *journal, struct block_cursor *at, uint64_t target,
                               uint64_t bytes_max, struct journal_sink *sink, struct err *err)
{
    uint64_t durable = journal->durable_at.offset;
    uint64_t blocks = 0;
    enum status st = at->offset < target ? put_time(journal, sink, *at, err) : ST_OK;
    while (st == ST_OK && at->offset < target && sink->bytes < bytes_max) {
        struct journal_block block = finish_header(*at, durable);
        st = put_mark(sink, &block, durable, err);
        uint64_t left = JOURNAL_BLOCK_HEADER_BYTES + block.payload_len;
        while (st == ST_OK && left > 0) {
            struct bytes piece = take_piece(at, left);
            left -= piece.len;
            st = put(sink, piece, err);
        }
        at->offset += block.payload_len;
        blocks++;
    }
    if (st == ST_OK)
        st = flush_sink(sink, err);
    if (st == ST_OK) {
        journal_count(&journal->block_count, blocks);
        journal_count(&journal->write_count, 1);
        journal_count(&journal->written_bytes, sink->bytes);
    }
    return st;
}
