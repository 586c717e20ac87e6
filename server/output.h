/* Replies on their way to a client: a queue of blocks. Main thread.
 *
 * Small replies are packed into blocks: a small one first (5 KiB: what most batches of replies
 * need), then larger ones (14 KiB); a long bulk string gets a block of its own size. The front of
 * the queue is what the socket takes next. A deferred aggregate keeps a place for its header.
 *
 * Bytes that go to many outputs (a published message) are shared by reference if they are long.
 *
 * An output holds no memory while it is empty: its blocks go back to a pool, if it has one, that
 * all connections share, so that ten thousand idle ones cost nothing and the busy ones use memory
 * that is still in the processor's caches. */
#ifndef BASALT_SERVER_OUTPUT_H
#define BASALT_SERVER_OUTPUT_H

#include "codec/buf.h"
#include "codec/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What output_reserve gives in one piece at most. */
#define OUTPUT_RESERVE_BYTES_MAX 4096
/* Memory of an output that holds little. */
#define OUTPUT_FIRST_BLOCK_BYTES 5120
/* What output_fill_mark can put into a mark at most. */
#define OUTPUT_MARK_BYTES_MAX 24

/* Bytes that several outputs send; freed with the last reference. */
struct output_shared {
    struct buf bytes;
    size_t refs;
};

struct output_block {
    struct output_block *next;
    uint8_t *start;               /* first byte not yet consumed */
    uint8_t *end;                 /* behind the last byte; not kept up in an output's last block */
    uint8_t *limit;               /* end of the block's room */
    struct output_shared *shared; /* a reference: the bytes are there; NULL: they are in `data` */
    uint8_t data[];
};

/* Blocks kept for reuse. A zeroed struct is a valid empty pool. */
struct output_pool {
    struct output_block *small_blocks;
    struct output_block *large_blocks;
    uint32_t small_count;
    uint32_t large_count;
};
void output_pool_deinit(struct output_pool *pool);

/* Private, but for embedding; `place` == `limit` == NULL without a block. */
struct output {
    uint8_t *place; /* where the next byte goes, in `last` */
    uint8_t *limit; /* = last->limit */
    struct output_block *first;
    struct output_block *last;
    size_t bytes_before; /* bytes in all blocks but the last */
    size_t memory;       /* bytes of all blocks, headers included */
    struct output_pool *pool;
};

/* `pool` may be NULL; else it must live longer. */
void output_init(struct output *out, struct output_pool *pool);
void output_deinit(struct output *out);
/* On the heap, without a pool. */
struct output *output_create(void);
void output_destroy(struct output *out);

/* A new block with at least `len_min` bytes of room behind the others. For the functions below. */
void output_grow(struct output *out, size_t len_min);
void output_append_slow(struct output *out, const void *data, size_t len);

/* A place for up to `len_max` bytes in one piece; commit what was used. */
static inline uint8_t *output_reserve(struct output *out, size_t len_max)
{
    if (__builtin_expect((size_t)(out->limit - out->place) < len_max, 0))
        output_grow(out, len_max);
    return out->place;
}

static inline void output_commit(struct output *out, size_t len)
{
    out->place += len;
}

static inline void output_append(struct output *out, const void *data, size_t len)
{
    if (__builtin_expect((size_t)(out->limit - out->place) < len, 0)) {
        output_append_slow(out, data, len);
    } else if (len != 0) {
        memcpy(out->place, data, len);
        out->place += len;
    }
}

/* Says that `len` bytes will be appended in pieces: they get one block if that pays. */
void output_expect(struct output *out, size_t len);

/* Takes the bytes out of `bytes`; the caller has one reference. */
struct output_shared *output_shared_create(struct buf *bytes);
/* Accepts NULL. */
void output_shared_unref(struct output_shared *shared);
/* Appends without copying; the output gets a reference of its own. In output_memory the bytes count
 * in full: what is not sent keeps them alive. */
void output_append_shared(struct output *out, struct output_shared *shared);

/* Keeps a place, to be filled once with at most OUTPUT_MARK_BYTES_MAX bytes that go before all that
 * comes later (a deferred header). Marks nest like brackets: the last one made is filled first. An
 * output with an unfilled mark cannot be sent, spliced or truncated but to before the mark. */
void *output_mark(struct output *out);
void output_fill_mark(struct output *out, void *mark, const void *data, size_t len);

/* Bytes queued. */
static inline size_t output_bytes(const struct output *out)
{
    return out->last == NULL ? 0 : out->bytes_before + (size_t)(out->place - out->last->start);
}
/* Bytes of memory held. */
static inline size_t output_memory(const struct output *out)
{
    return out->memory;
}
/* Number of blocks (CLIENT LIST's oll). Walks them. */
size_t output_block_count(const struct output *out);

/* For the sender: up to `max` ranges from the front, and how many; then what was sent. */
size_t output_peek(const struct output *out, struct bytes *ranges, size_t max);
void output_consume(struct output *out, size_t len);
/* Moves all of `from` behind what `out` holds. */
void output_splice(struct output *out, struct output *from);
/* Drops everything behind `bytes_kept` (a transaction's replies thrown away, a captured reply). */
void output_truncate(struct output *out, size_t bytes_kept);
/* Drops everything. */
void output_clear(struct output *out);

#endif
