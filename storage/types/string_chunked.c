#include "storage/types/string_chunked.h"

#include "codec/check.h"
#include "codec/mem.h"

#define CHUNK_USED ((uint8_t)0x80) /* of a state: touched since drop_clean came by */

/* Bytes of the three arrays' places for one chunk. */
#define PLACE_BYTES (sizeof(struct string_chunk *) + sizeof(uint8_t) + sizeof(uint32_t))

/* What ZERO chunks read as, in pieces of at most this size. */
static const uint8_t zeros[16 * 1024];

static enum string_chunk_state chunk_state(const struct string_chunked *c, uint32_t index)
{
    return (enum string_chunk_state)(c->states[index] & ~CHUNK_USED);
}

static uint32_t chunks_needed(uint64_t len, uint32_t chunk_bytes)
{
    uint64_t count = (len + chunk_bytes - 1) / chunk_bytes;
    CHECK(count <= STRING_CHUNKS_MAX);
    return (uint32_t)count;
}

/* ---- Chunks. */

static struct string_chunk *chunk_create(uint32_t capacity)
{
    struct string_chunk *chunk = mem_alloc(sizeof(*chunk));
    atomic_init(&chunk->refs, 1);
    chunk->capacity = capacity;
    chunk->data = mem_alloc_pages(capacity);
    return chunk;
}

static struct string_chunk *chunk_ref(struct string_chunk *chunk)
{
    atomic_fetch_add_explicit(&chunk->refs, 1, memory_order_relaxed);
    return chunk;
}

/* Whether a cut or another string refers to it as well. A release on another thread may be seen
 * late, which costs a needless copy. */
static bool chunk_is_shared(struct string_chunk *chunk)
{
    return atomic_load_explicit(&chunk->refs, memory_order_acquire) != 1;
}

void string_chunk_release(struct string_chunk *chunk)
{
    if (atomic_fetch_sub_explicit(&chunk->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(chunk->data);
        mem_free(chunk);
    }
}

struct bytes string_chunk_element(const struct string_chunk *chunk)
{
    size_t len = chunk->capacity;
    while (len >= 8 && memcmp(chunk->data + len - 8, zeros, 8) == 0)
        len -= 8;
    while (len > 0 && chunk->data[len - 1] == 0)
        len--;
    return bytes_make(chunk->data, len);
}

/* ---- The arrays. */

static void reserve_places(struct string_chunked *c, uint32_t capacity)
{
    if (capacity <= c->capacity)
        return;
    c->chunks = mem_realloc(c->chunks, capacity * sizeof(*c->chunks));
    c->states = mem_realloc(c->states, capacity * sizeof(*c->states));
    c->dirty = mem_realloc(c->dirty, capacity * sizeof(*c->dirty));
    c->capacity = capacity;
}

static void add_places(struct string_chunked *c, uint32_t count, enum string_chunk_state state)
{
    size_t added = count - c->count;
    if (added == 0)
        return;
    memset(c->chunks + c->count, 0, added * sizeof(*c->chunks));
    memset(c->states + c->count, state, added);
    c->count = count;
}

struct string_chunked *string_chunked_create(uint64_t object_id, uint64_t len, uint32_t chunk_bytes,
                                             enum string_chunk_state state)
{
    CHECK(state == CHUNK_COLD || state == CHUNK_ZERO);
    CHECK(chunk_bytes != 0 && (chunk_bytes & (chunk_bytes - 1)) == 0);
    struct string_chunked *c = mem_calloc(1, sizeof(*c));
    c->object_id = object_id;
    c->len = len;
    c->chunk_bytes = chunk_bytes;
    c->stored = state == CHUNK_COLD;
    uint32_t count = chunks_needed(len, chunk_bytes);
    reserve_places(c, count);
    add_places(c, count, state);
    return c;
}

void string_chunked_destroy(struct string_chunked *c)
{
    if (c == NULL)
        return;
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->chunks[i] != NULL)
            string_chunk_release(c->chunks[i]);
    }
    mem_free(c->chunks);
    mem_free(c->states);
    mem_free(c->dirty);
    mem_free(c);
}

static void mark_dirty(struct string_chunked *c, uint32_t index)
{
    if (chunk_state(c, index) != CHUNK_DIRTY)
        c->dirty[c->dirty_count++] = index;
    c->states[index] = CHUNK_DIRTY | CHUNK_USED;
}

struct string_chunked *string_chunked_clone(const struct string_chunked *from, uint64_t object_id)
{
    struct string_chunked *c =
        string_chunked_create(object_id, from->len, from->chunk_bytes, CHUNK_ZERO);
    for (uint32_t i = 0; i < from->count; i++) {
        CHECK(chunk_state(from, i) != CHUNK_COLD);
        if (from->chunks[i] == NULL)
            continue;
        c->chunks[i] = chunk_ref(from->chunks[i]);
        c->resident_count++;
        mark_dirty(c, i);
    }
    return c;
}

void string_chunked_grow(struct string_chunked *c, uint64_t len)
{
    if (len <= c->len)
        return;
    uint32_t count = chunks_needed(len, c->chunk_bytes);
    if (count > c->capacity) {
        uint64_t capacity = count + (uint64_t)count / 2;
        reserve_places(c, (uint32_t)(capacity < STRING_CHUNKS_MAX ? capacity : STRING_CHUNKS_MAX));
    }
    add_places(c, count, CHUNK_ZERO);
    c->len = len;
}

size_t string_chunked_bytes(const struct string_chunked *c)
{
    return sizeof(*c) + c->capacity * PLACE_BYTES +
           c->resident_count * (sizeof(struct string_chunk) + c->chunk_bytes);
}

/* ---- Reading and writing. */

/* A chunk that nobody shares, with room made for it if it was not in RAM. `whole`: the caller
 * overwrites all of its bytes up to the string's end, so what it held does not matter. */
static uint8_t *chunk_for_write(struct string_chunked *c, uint32_t index, bool whole)
{
    CHECK(whole || chunk_state(c, index) != CHUNK_COLD);
    struct string_chunk *chunk = c->chunks[index];
    if (chunk == NULL) {
        chunk = chunk_create(c->chunk_bytes);
        memset(chunk->data, 0, c->chunk_bytes);
        c->resident_count++;
    } else if (chunk_is_shared(chunk)) {
        struct string_chunk *copy = chunk_create(c->chunk_bytes);
        memcpy(copy->data, chunk->data, c->chunk_bytes);
        string_chunk_release(chunk);
        chunk = copy;
    }
    c->chunks[index] = chunk;
    mark_dirty(c, index);
    return chunk->data;
}

void string_chunked_write(struct string_chunked *c, uint64_t offset, struct bytes data)
{
    CHECK(offset <= c->len && data.len <= c->len - offset);
    while (data.len > 0) {
        uint32_t index = (uint32_t)(offset / c->chunk_bytes);
        uint32_t at = (uint32_t)(offset % c->chunk_bytes);
        uint64_t rest_of_string = c->len - offset;
        size_t room = c->chunk_bytes - at;
        size_t len = data.len < room ? data.len : room;
        bool whole = at == 0 && (len == c->chunk_bytes || len == rest_of_string);
        memcpy(chunk_for_write(c, index, whole) + at, data.data, len);
        offset += len;
        data = bytes_make(data.data + len, data.len - len);
    }
}

struct bytes string_chunked_piece(struct string_chunked *c, uint64_t offset, uint64_t end)
{
    CHECK(offset <= end && end <= c->len);
    if (offset == end)
        return bytes_make(NULL, 0);
    uint32_t index = (uint32_t)(offset / c->chunk_bytes);
    uint32_t at = (uint32_t)(offset % c->chunk_bytes);
    uint64_t len = end - offset;
    if (len > c->chunk_bytes - at)
        len = c->chunk_bytes - at;
    enum string_chunk_state state = chunk_state(c, index);
    CHECK(state != CHUNK_COLD);
    if (state == CHUNK_ZERO)
        return bytes_make(zeros, len < sizeof(zeros) ? len : sizeof(zeros));
    c->states[index] |= CHUNK_USED;
    return bytes_make(c->chunks[index]->data + at, len);
}

/* ---- Loading. */

size_t string_chunked_missing(const struct object *o, uint64_t from, uint64_t to, uint32_t *out,
                              size_t max)
{
    const struct string_chunked *c = string_chunked(o);
    uint64_t end = (uint64_t)c->count * c->chunk_bytes;
    if (to > end)
        to = end;
    if (from >= to)
        return 0;
    size_t count = 0;
    uint32_t last = (uint32_t)((to - 1) / c->chunk_bytes);
    for (uint32_t i = (uint32_t)(from / c->chunk_bytes); i <= last; i++) {
        if (chunk_state(c, i) != CHUNK_COLD)
            continue;
        if (count < max)
            out[count] = i;
        count++;
    }
    return count;
}

enum status string_chunked_install(struct object *o, uint32_t index, struct bytes element,
                                   bool found)
{
    struct string_chunked *c = string_chunked(o);
    CHECK(index < c->count);
    if (found && element.len > c->chunk_bytes)
        return ST_CORRUPT;
    if (chunk_state(c, index) != CHUNK_COLD)
        return ST_OK;
    if (!found || element.len == 0) {
        c->states[index] = CHUNK_ZERO;
        return ST_OK;
    }
    struct string_chunk *chunk = chunk_create(c->chunk_bytes);
    memcpy(chunk->data, element.data, element.len);
    memset(chunk->data + element.len, 0, c->chunk_bytes - element.len);
    c->chunks[index] = chunk;
    c->states[index] = CHUNK_CLEAN;
    c->resident_count++;
    return ST_OK;
}

void string_chunked_unpin(struct object *o)
{
    struct string_chunked *c = string_chunked(o);
    CHECK(c->pins > 0);
    c->pins--;
}

/* ---- Cuts and memory pressure. */

size_t string_chunked_take_dirty(struct object *o, string_chunk_fn *fn, void *arg)
{
    struct string_chunked *c = string_chunked(o);
    size_t count = c->dirty_count;
    c->dirty_count = 0;
    c->stored = c->stored || count != 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t index = c->dirty[i];
        DCHECK(chunk_state(c, index) == CHUNK_DIRTY);
        c->states[index] = CHUNK_CLEAN | CHUNK_USED;
        fn(arg, c->object_id, index, chunk_ref(c->chunks[index]));
    }
    return count;
}

size_t string_chunked_drop_clean(struct object *o, size_t bytes)
{
    struct string_chunked *c = string_chunked(o);
    size_t freed = 0;
    if (c->pins > 0)
        return 0;
    /* Two rounds at most: the first one may do no more than take the marks of use away. */
    for (uint64_t steps = 2 * (uint64_t)c->count; steps > 0 && freed < bytes; steps--) {
        uint32_t index = c->hand < c->count ? c->hand : 0;
        c->hand = index + 1;
        if (chunk_state(c, index) != CHUNK_CLEAN)
            continue;
        if ((c->states[index] & CHUNK_USED) != 0) {
            c->states[index] = CHUNK_CLEAN;
            continue;
        }
        string_chunk_release(c->chunks[index]);
        c->chunks[index] = NULL;
        c->states[index] = CHUNK_COLD;
        c->resident_count--;
        freed += sizeof(struct string_chunk) + c->chunk_bytes;
    }
    return freed;
}
