/* Blocks are a singly linked list; only the last one grows. Its end is out->place, kept outside the
 * block so that appending touches one cache line; close_last() writes it back when another block
 * becomes the last. A mark is a hole of fixed size: filling it moves the rest of its own block (at
 * most a block's worth of bytes) down over what is left of the hole, so that neither the list nor
 * other blocks change. */
#include "server/output.h"

#include "codec/check.h"
#include "codec/mem.h"

/* Whole allocations, chosen from the allocator's size classes that are not powers of two, so that
 * the heads of many blocks do not compete for the same cache sets. */
#define SMALL_BLOCK_BYTES OUTPUT_FIRST_BLOCK_BYTES
#define LARGE_BLOCK_BYTES 14336
/* Together at most 4.75 MiB. */
#define POOL_SMALL_COUNT_MAX 256
#define POOL_LARGE_COUNT_MAX 256
/* Outputs up to this are copied rather than linked when spliced. */
#define SPLICE_COPY_BYTES_MAX 1024

_Static_assert(SMALL_BLOCK_BYTES - sizeof(struct output_block) >= OUTPUT_RESERVE_BYTES_MAX,
               "every block has room for a reserved piece");
_Static_assert(OUTPUT_MARK_BYTES_MAX >= sizeof(struct output_block *), "a mark names its block");

/* What a block counts for. */
static size_t block_bytes(const struct output_block *block)
{
    if (block->shared != NULL)
        return sizeof(*block) + block->shared->bytes.len;
    return (size_t)(block->limit - (const uint8_t *)block);
}

static size_t room_of(size_t block_size)
{
    return block_size - sizeof(struct output_block);
}

static struct output_block *pool_take(struct output_pool *pool, size_t size)
{
    struct output_block **list =
        size == SMALL_BLOCK_BYTES ? &pool->small_blocks : &pool->large_blocks;
    struct output_block *block = *list;
    if (block == NULL)
        return NULL;
    *list = block->next;
    if (size == SMALL_BLOCK_BYTES)
        pool->small_count--;
    else
        pool->large_count--;
    return block;
}

/* False: not of a pooled size, or the pool is full. */
static bool pool_give(struct output_pool *pool, struct output_block *block)
{
    if (block->shared != NULL)
        return false;
    size_t size = block_bytes(block);
    if (size == SMALL_BLOCK_BYTES && pool->small_count < POOL_SMALL_COUNT_MAX) {
        block->next = pool->small_blocks;
        pool->small_blocks = block;
        pool->small_count++;
        return true;
    }
    if (size == LARGE_BLOCK_BYTES && pool->large_count < POOL_LARGE_COUNT_MAX) {
        block->next = pool->large_blocks;
        pool->large_blocks = block;
        pool->large_count++;
        return true;
    }
    return false;
}

void output_shared_unref(struct output_shared *shared)
{
    if (shared == NULL || --shared->refs != 0)
        return;
    buf_deinit(&shared->bytes);
    mem_free(shared);
}

static void free_block(struct output_block *block)
{
    output_shared_unref(block->shared);
    mem_free(block);
}

static void free_list(struct output_block *block)
{
    while (block != NULL) {
        struct output_block *next = block->next;
        free_block(block);
        block = next;
    }
}

void output_pool_deinit(struct output_pool *pool)
{
    free_list(pool->small_blocks);
    free_list(pool->large_blocks);
    *pool = (struct output_pool){0};
}

void output_init(struct output *out, struct output_pool *pool)
{
    *out = (struct output){.pool = pool};
}

void output_deinit(struct output *out)
{
    free_list(out->first);
    output_init(out, out->pool);
}

struct output *output_create(void)
{
    struct output *out = mem_alloc(sizeof(*out));
    output_init(out, NULL);
    return out;
}

void output_destroy(struct output *out)
{
    if (out == NULL)
        return;
    output_deinit(out);
    mem_free(out);
}

static struct output_block *new_block(struct output *out, size_t size)
{
    struct output_block *block = NULL;
    if (out->pool != NULL && size <= LARGE_BLOCK_BYTES)
        block = pool_take(out->pool, size);
    if (block == NULL) {
        block = mem_alloc(size);
        block->limit = (uint8_t *)block + size;
        block->shared = NULL;
    }
    block->next = NULL;
    block->start = block->data;
    block->end = block->data;
    return block;
}

static void release_block(struct output *out, struct output_block *block)
{
    out->memory -= block_bytes(block);
    if (out->pool == NULL || !pool_give(out->pool, block))
        free_block(block);
}

static void close_last(struct output *out)
{
    struct output_block *last = out->last;
    if (last == NULL)
        return;
    last->end = out->place;
    out->bytes_before += (size_t)(last->end - last->start);
}

static void link_last(struct output *out, struct output_block *block)
{
    close_last(out);
    if (out->last == NULL)
        out->first = block;
    else
        out->last->next = block;
    out->last = block;
    out->place = block->start;
    out->limit = block->limit;
    out->memory += block_bytes(block);
}

void output_grow(struct output *out, size_t len_min)
{
    size_t size = out->last == NULL ? SMALL_BLOCK_BYTES : LARGE_BLOCK_BYTES;
    if (len_min > room_of(size))
        size = len_min <= room_of(LARGE_BLOCK_BYTES) ? LARGE_BLOCK_BYTES
                                                     : len_min + sizeof(struct output_block);
    link_last(out, new_block(out, size));
}

void output_append_slow(struct output *out, const void *data, size_t len)
{
    const uint8_t *from = data;
    size_t room = (size_t)(out->limit - out->place);
    if (room != 0) {
        memcpy(out->place, from, room);
        out->place += room;
    }
    output_grow(out, len - room);
    memcpy(out->place, from + room, len - room);
    out->place += len - room;
}

void output_expect(struct output *out, size_t len)
{
    if ((size_t)(out->limit - out->place) < len && len > room_of(LARGE_BLOCK_BYTES))
        output_grow(out, len);
}

struct output_shared *output_shared_create(struct buf *bytes)
{
    struct output_shared *shared = mem_alloc(sizeof(*shared));
    *shared = (struct output_shared){.bytes = *bytes, .refs = 1};
    *bytes = (struct buf){0};
    return shared;
}

void output_append_shared(struct output *out, struct output_shared *shared)
{
    struct output_block *block = mem_alloc(sizeof(*block));
    uint8_t *start = shared->bytes.data;
    uint8_t *end = start + shared->bytes.len;
    *block = (struct output_block){.start = start, .end = end, .limit = end, .shared = shared};
    shared->refs++;
    link_last(out, block);
    out->place = end;
}

void *output_mark(struct output *out)
{
    uint8_t *mark = output_reserve(out, OUTPUT_MARK_BYTES_MAX);
    memcpy(mark, &out->last, sizeof(out->last));
    output_commit(out, OUTPUT_MARK_BYTES_MAX);
    return mark;
}

void output_fill_mark(struct output *out, void *mark, const void *data, size_t len)
{
    CHECK(len <= OUTPUT_MARK_BYTES_MAX);
    struct output_block *block;
    memcpy(&block, mark, sizeof(block));
    uint8_t *place = mark;
    uint8_t *behind = place + OUTPUT_MARK_BYTES_MAX;
    uint8_t *end = block == out->last ? out->place : block->end;
    CHECK(place >= block->start && behind <= end);
    memmove(place + len, behind, (size_t)(end - behind));
    memcpy(place, data, len);
    size_t gap = OUTPUT_MARK_BYTES_MAX - len;
    if (block == out->last) {
        out->place -= gap;
    } else {
        block->end -= gap;
        out->bytes_before -= gap;
    }
}

size_t output_block_count(const struct output *out)
{
    size_t count = 0;
    for (const struct output_block *block = out->first; block != NULL; block = block->next)
        count++;
    return count;
}

size_t output_peek(const struct output *out, struct bytes *ranges, size_t max)
{
    size_t count = 0;
    for (const struct output_block *block = out->first; block != NULL && count < max;
         block = block->next) {
        const uint8_t *end = block == out->last ? out->place : block->end;
        if (end != block->start)
            ranges[count++] = bytes_make(block->start, (size_t)(end - block->start));
    }
    return count;
}

/* Takes the first block, whose bytes are all consumed, off the list. */
static void drop_first(struct output *out)
{
    struct output_block *block = out->first;
    if (block != out->last) {
        out->first = block->next;
        release_block(out, block);
        return;
    }
    out->first = NULL;
    out->last = NULL;
    out->place = NULL;
    out->limit = NULL;
    release_block(out, block);
}

void output_consume(struct output *out, size_t len)
{
    CHECK(len <= output_bytes(out));
    while (out->first != out->last) {
        struct output_block *block = out->first;
        size_t held = (size_t)(block->end - block->start);
        if (len < held) {
            block->start += len;
            out->bytes_before -= len;
            return;
        }
        len -= held;
        out->bytes_before -= held;
        drop_first(out);
    }
    if (out->first == NULL)
        return;
    out->first->start += len;
    if (out->first->start == out->place)
        drop_first(out);
}

void output_splice(struct output *out, struct output *from)
{
    size_t bytes = output_bytes(from);
    if (bytes <= SPLICE_COPY_BYTES_MAX || bytes <= (size_t)(out->limit - out->place)) {
        for (struct output_block *block = from->first; block != NULL; block = block->next) {
            uint8_t *end = block == from->last ? from->place : block->end;
            output_append(out, block->start, (size_t)(end - block->start));
        }
        output_clear(from);
        return;
    }
    close_last(out);
    if (out->last == NULL)
        out->first = from->first;
    else
        out->last->next = from->first;
    out->last = from->last;
    out->place = from->place;
    out->limit = from->limit;
    out->bytes_before += from->bytes_before;
    out->memory += from->memory;
    output_init(from, from->pool);
}

void output_truncate(struct output *out, size_t bytes_kept)
{
    CHECK(bytes_kept <= output_bytes(out));
    if (bytes_kept == 0) {
        output_clear(out);
        return;
    }
    out->last->end = out->place;
    struct output_block *block = out->first;
    size_t before = 0;
    while (before + (size_t)(block->end - block->start) < bytes_kept) {
        before += (size_t)(block->end - block->start);
        block = block->next;
    }
    struct output_block *rest = block->next;
    block->next = NULL;
    out->last = block;
    out->place = block->start + (bytes_kept - before);
    if (block->shared != NULL)
        block->limit = out->place; /* nothing may be written behind what is kept */
    out->limit = block->limit;
    out->bytes_before = before;
    while (rest != NULL) {
        struct output_block *next = rest->next;
        release_block(out, rest);
        rest = next;
    }
}

void output_clear(struct output *out)
{
    struct output_block *block = out->first;
    out->first = NULL;
    out->last = NULL;
    out->place = NULL;
    out->limit = NULL;
    out->bytes_before = 0;
    while (block != NULL) {
        struct output_block *next = block->next;
        release_block(out, block);
        block = next;
    }
}
