#include "storage/types/string.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "storage/value_type.h"

#define HEAP_DOUBLING_BYTES_MAX ((size_t)1 << 20) /* beyond it, growth is by this much */
#define CHUNK_BYTES_MIN         16u
#define CHUNK_BYTES_MAX         ((uint32_t)1 << 20)
#define FREE_HEAP_BYTES_LONG    ((size_t)1 << 20)
#define FREE_CHUNKS_LONG        8u

_Static_assert(STRING_SCRATCH_BYTES >= NUMBER_I64_CHARS_MAX, "an integer's text fits");
_Static_assert(STRING_LARGE_BYTES_LIMIT < UINT32_MAX / 4, "string_heap counts in 32 bits");

/* ---- Making values. */

static struct string_heap *heap_create(size_t len, size_t capacity)
{
    CHECK(len <= capacity && capacity < UINT32_MAX - sizeof(struct string_heap));
    size_t bytes = mem_good_size(sizeof(struct string_heap) + capacity);
    struct string_heap *heap = mem_alloc(bytes);
    heap->len = (uint32_t)len;
    heap->capacity = (uint32_t)(bytes - sizeof(*heap));
    return heap;
}

static void copy_bytes(uint8_t *to, struct bytes from)
{
    if (from.len > 0)
        memmove(to, from.data, from.len);
}

static void set_chunked(struct object *o, struct string_chunked *chunked)
{
    o->encoding = ENCODING_CHUNKED;
    o->value.pointer = chunked;
    o->large = 1;
}

void string_plan_text(const struct string_rules *rules, struct bytes value, bool raw,
                      struct string_plan *out)
{
    *out = (struct string_plan){.value = value, .raw = raw};
    if (value.len > rules->large_bytes) {
        out->encoding = ENCODING_CHUNKED;
    } else if (value.len > STRING_INLINE_BYTES_MAX) {
        out->encoding = ENCODING_HEAP;
    } else {
        out->encoding = ENCODING_INLINE;
        out->inline_len = value.len;
    }
}

static enum status plan_large_record(const struct record_header *header, struct bytes payload,
                                     struct string_plan *out)
{
    struct record_large_string large;
    enum status st = record_large_string_decode(payload, &large);
    if (st != ST_OK)
        return st;
    uint32_t chunk_bytes = large.chunk_bytes;
    if (header->encoding != RECORD_STRING_RAW || chunk_bytes < CHUNK_BYTES_MIN ||
        chunk_bytes > CHUNK_BYTES_MAX || (chunk_bytes & (chunk_bytes - 1)) != 0 ||
        large.len > STRING_CHUNKS_MAX * chunk_bytes)
        return ST_CORRUPT;
    *out = (struct string_plan){
        .encoding = ENCODING_CHUNKED, .raw = true, .large = large, .cold = true};
    return ST_OK;
}

enum status string_plan_record(const struct record_header *header, struct bytes payload,
                               struct string_plan *out)
{
    if (header->large)
        return plan_large_record(header, payload, out);
    if (header->encoding > RECORD_STRING_INT || payload.len >= UINT32_MAX / 2)
        return ST_CORRUPT;
    struct string_plan plan = {.value = payload};
    if (header->encoding == RECORD_STRING_INT) {
        if (!number_parse_i64(payload, &plan.integer))
            return ST_CORRUPT;
        plan.encoding = ENCODING_INT;
    } else if (payload.len > STRING_INLINE_BYTES_MAX) {
        plan.encoding = ENCODING_HEAP;
    } else {
        plan.encoding = ENCODING_INLINE;
        plan.inline_len = payload.len;
        plan.raw = header->encoding == RECORD_STRING_RAW;
    }
    *out = plan;
    return ST_OK;
}

void string_plan_like(const struct object *from, struct string_plan *out)
{
    *out = (struct string_plan){.encoding = from->encoding, .raw = from->raw};
    if (from->encoding == ENCODING_INLINE) {
        out->value = bytes_make(from->key + from->key_len, from->value.inline_len);
        out->inline_len = from->value.inline_len;
    }
}

static struct string_chunked *plan_chunks(const struct string_plan *plan,
                                          const struct string_rules *rules)
{
    if (plan->cold)
        return string_chunked_create(plan->large.object_id, plan->large.len,
                                     plan->large.chunk_bytes, CHUNK_COLD);
    struct string_chunked *chunked = string_chunked_create(
        rules->new_id(rules->arg), plan->value.len, rules->chunk_bytes, CHUNK_ZERO);
    string_chunked_write(chunked, 0, plan->value);
    return chunked;
}

void string_fill(struct object *o, const struct string_plan *plan, const struct string_rules *rules)
{
    o->type = OBJECT_STRING;
    o->encoding = plan->encoding;
    o->raw = plan->raw;
    o->large = 0;
    switch (plan->encoding) {
    case ENCODING_INT:
        o->value.integer = plan->integer;
        break;
    case ENCODING_INLINE:
        o->value.inline_len = plan->value.len;
        copy_bytes(string_inline(o), plan->value);
        break;
    case ENCODING_HEAP: {
        struct string_heap *heap = heap_create(plan->value.len, plan->value.len);
        memcpy(heap->bytes, plan->value.data, plan->value.len);
        o->value.pointer = heap;
        break;
    }
    default:
        CHECK(plan->encoding == ENCODING_CHUNKED);
        set_chunked(o, plan_chunks(plan, rules));
        break;
    }
}

void string_move(struct object *to, struct object *from)
{
    to->type = OBJECT_STRING;
    to->encoding = from->encoding;
    to->raw = from->raw;
    to->large = from->large;
    to->value = from->value;
    if (from->encoding == ENCODING_INLINE)
        copy_bytes(string_inline(to), bytes_make(string_inline(from), from->value.inline_len));
    from->encoding = ENCODING_NONE;
    from->large = 0;
    from->value.pointer = NULL;
}

void string_copy(struct object *to, const struct object *from, const struct string_rules *rules)
{
    if (from->encoding == ENCODING_CHUNKED) {
        to->type = OBJECT_STRING;
        to->raw = from->raw;
        set_chunked(to, string_chunked_clone(string_chunked(from), rules->new_id(rules->arg)));
        return;
    }
    struct string_plan plan;
    string_plan_like(from, &plan);
    char scratch[STRING_SCRATCH_BYTES];
    CHECK(string_view(from, scratch, &plan.value));
    if (from->encoding == ENCODING_INT)
        plan.integer = from->value.integer;
    string_fill(to, &plan, rules);
}

static void free_chunked(void *value)
{
    string_chunked_destroy(value);
}

void *string_take(struct object *o, object_free_fn **free_out)
{
    bool owns = o->encoding == ENCODING_HEAP || o->encoding == ENCODING_CHUNKED;
    void *value = owns ? o->value.pointer : NULL;
    *free_out = o->encoding == ENCODING_CHUNKED ? free_chunked : mem_free;
    o->encoding = ENCODING_NONE;
    o->large = 0;
    o->value.pointer = NULL;
    return value;
}

bool string_free_is_long(const struct object *o)
{
    if (o->encoding == ENCODING_CHUNKED)
        return string_chunked(o)->resident_count > FREE_CHUNKS_LONG;
    return o->encoding == ENCODING_HEAP && string_bytes(o) > FREE_HEAP_BYTES_LONG;
}

/* ---- Reading. */

void string_reader_init(struct string_reader *reader, const struct object *o, uint64_t from,
                        uint64_t to)
{
    uint64_t len = string_len(o);
    reader->o = o;
    reader->end = to < len ? to : len;
    reader->at = from < reader->end ? from : reader->end;
}

bool string_reader_next(struct string_reader *reader, struct bytes *piece)
{
    if (reader->at == reader->end)
        return false;
    struct bytes all;
    if (string_view(reader->o, reader->scratch, &all))
        *piece = bytes_make(all.data + reader->at, reader->end - reader->at);
    else
        *piece = string_chunked_piece(string_chunked(reader->o), reader->at, reader->end);
    reader->at += piece->len;
    return true;
}

size_t string_read(const struct object *o, uint64_t from, uint8_t *out, size_t len)
{
    uint64_t to = from > UINT64_MAX - len ? UINT64_MAX : from + len;
    struct string_reader reader;
    string_reader_init(&reader, o, from, to);
    size_t done = 0;
    struct bytes piece;
    while (string_reader_next(&reader, &piece)) {
        memcpy(out + done, piece.data, piece.len);
        done += piece.len;
    }
    return done;
}

void string_append_to(const struct object *o, struct buf *out)
{
    uint64_t len = string_len(o);
    uint8_t *place = buf_reserve(out, len);
    out->len += string_read(o, 0, place, len);
}

bool string_integer(const struct object *o, int64_t *out)
{
    if (o->encoding == ENCODING_INT) {
        *out = o->value.integer;
        return true;
    }
    char scratch[STRING_SCRATCH_BYTES];
    struct bytes text;
    return string_view(o, scratch, &text) && number_parse_i64(text, out);
}

/* ---- Changing. */

/* How much to set aside for a heap string that grew to `len`. */
static size_t heap_growth(const struct string_rules *rules, size_t len)
{
    size_t capacity = len < HEAP_DOUBLING_BYTES_MAX ? 2 * len : len + HEAP_DOUBLING_BYTES_MAX;
    if (capacity <= rules->large_bytes)
        return capacity;
    return len > rules->large_bytes ? len : rules->large_bytes; /* beyond, it becomes chunks */
}

static void to_heap(struct object *o, struct bytes value, size_t len, size_t capacity)
{
    struct string_heap *heap = heap_create(len, capacity);
    copy_bytes(heap->bytes, value);
    o->encoding = ENCODING_HEAP;
    o->value.pointer = heap;
}

/* An integer becomes its text. */
static void integer_to_text(struct object *o)
{
    char text[NUMBER_I64_CHARS_MAX];
    struct bytes value = bytes_make(text, number_format_i64(o->value.integer, text));
    if (value.len > string_inline_room(o)) {
        to_heap(o, value, value.len, value.len);
        return;
    }
    copy_bytes(string_inline(o), value);
    o->encoding = ENCODING_INLINE;
    o->value.inline_len = value.len;
}

static void to_chunked(struct object *o, const struct string_rules *rules, uint64_t len)
{
    char scratch[STRING_SCRATCH_BYTES];
    struct bytes value;
    CHECK(string_view(o, scratch, &value));
    struct string_chunked *chunked =
        string_chunked_create(rules->new_id(rules->arg), len, rules->chunk_bytes, CHUNK_ZERO);
    string_chunked_write(chunked, 0, value);
    if (o->encoding == ENCODING_HEAP)
        mem_free(o->value.pointer);
    set_chunked(o, chunked);
}

static void grow_inline(struct object *o, const struct string_rules *rules, size_t len)
{
    if (len <= string_inline_room(o))
        o->value.inline_len = len;
    else
        to_heap(o, bytes_make(string_inline(o), o->value.inline_len), len, heap_growth(rules, len));
}

static void grow_heap(struct object *o, const struct string_rules *rules, size_t len)
{
    struct string_heap *heap = o->value.pointer;
    if (len > heap->capacity) {
        size_t bytes = mem_good_size(sizeof(*heap) + heap_growth(rules, len));
        heap = mem_realloc(heap, bytes);
        heap->capacity = (uint32_t)(bytes - sizeof(*heap));
        o->value.pointer = heap;
    }
    heap->len = (uint32_t)len;
}

/* Makes the value text of at least `len` bytes. Returns the length before; the new bytes of a value
 * that is not chunked are not set yet. */
static uint64_t extend(struct object *o, const struct string_rules *rules, uint64_t len)
{
    if (o->encoding == ENCODING_INT)
        integer_to_text(o);
    o->raw = 1;
    uint64_t len_before = string_len(o);
    if (len <= len_before)
        return len_before;
    if (o->encoding == ENCODING_CHUNKED)
        string_chunked_grow(string_chunked(o), len);
    else if (len > rules->large_bytes)
        to_chunked(o, rules, len);
    else if (o->encoding == ENCODING_INLINE)
        grow_inline(o, rules, len);
    else
        grow_heap(o, rules, len);
    return len_before;
}

static uint8_t *flat_bytes(struct object *o)
{
    if (o->encoding == ENCODING_INLINE)
        return string_inline(o);
    return ((struct string_heap *)o->value.pointer)->bytes;
}

void string_write(struct object *o, const struct string_rules *rules, uint64_t offset,
                  struct bytes data)
{
    uint64_t len_before = extend(o, rules, offset + data.len);
    if (o->encoding == ENCODING_CHUNKED) {
        string_chunked_write(string_chunked(o), offset, data);
        return;
    }
    uint8_t *bytes = flat_bytes(o);
    if (offset > len_before)
        memset(bytes + len_before, 0, offset - len_before);
    copy_bytes(bytes + offset, data);
}

void string_grow(struct object *o, const struct string_rules *rules, uint64_t len)
{
    uint64_t len_before = extend(o, rules, len);
    if (o->encoding != ENCODING_CHUNKED && len > len_before)
        memset(flat_bytes(o) + len_before, 0, len - len_before);
}

void string_set_integer(struct object *o, int64_t value)
{
    CHECK(o->encoding != ENCODING_CHUNKED);
    if (o->encoding == ENCODING_HEAP)
        mem_free(o->value.pointer);
    o->encoding = ENCODING_INT;
    o->value.integer = value;
    o->raw = 0;
}

/* ---- Records. */

static uint8_t record_encoding(const struct object *o)
{
    if (o->encoding == ENCODING_INT)
        return RECORD_STRING_INT;
    bool embstr = !o->raw && string_len(o) <= STRING_EMBSTR_BYTES_MAX;
    return embstr ? RECORD_STRING_EMBSTR : RECORD_STRING_RAW;
}

void string_encode(const struct object *o, struct buf *out)
{
    struct record_header header = {.has_expire = object_has_expire(o),
                                   .large = o->encoding == ENCODING_CHUNKED,
                                   .encoding = record_encoding(o),
                                   .expire_at_ms = object_has_expire(o) ? o->expire_at_ms : 0};
    char scratch[STRING_SCRATCH_BYTES];
    struct bytes value = {.data = NULL, .len = 0};
    bool flat = string_view(o, scratch, &value);
    size_t payload_len = flat ? value.len : RECORD_LARGE_STRING_BYTES;
    uint8_t *place = buf_reserve(out, RECORD_HEADER_BYTES_MAX + payload_len);
    size_t header_len = record_header_encode(&header, place);
    if (flat) {
        copy_bytes(place + header_len, value);
    } else {
        const struct string_chunked *chunked = string_chunked(o);
        struct record_large_string large = {.object_id = chunked->object_id,
                                            .len = chunked->len,
                                            .chunk_bytes = chunked->chunk_bytes};
        record_large_string_encode(&large, place + header_len);
    }
    out->len += header_len + payload_len;
}

/* ---- Facts. */

size_t string_inline_room(const struct object *o)
{
    return mem_usable_size(o) - offsetof(struct object, key) - o->key_len;
}

const char *string_encoding_name(const struct object *o)
{
    switch (record_encoding(o)) {
    case RECORD_STRING_INT:
        return "int";
    case RECORD_STRING_EMBSTR:
        return "embstr";
    default:
        return "raw";
    }
}

size_t string_bytes(const struct object *o)
{
    if (o->encoding == ENCODING_HEAP)
        return sizeof(struct string_heap) +
               ((const struct string_heap *)o->value.pointer)->capacity;
    return o->encoding == ENCODING_CHUNKED ? string_chunked_bytes(string_chunked(o)) : 0;
}

size_t string_dirty_bytes(const struct object *o)
{
    if (o->encoding != ENCODING_CHUNKED)
        return string_bytes(o);
    const struct string_chunked *chunked = string_chunked(o);
    return RECORD_LARGE_STRING_BYTES + (size_t)chunked->dirty_count * chunked->chunk_bytes;
}

const struct value_type string_value_type = {
    .encoding_name = string_encoding_name,
    .bytes = string_bytes,
    .dirty_bytes = string_dirty_bytes,
    .take = string_take,
    .free_is_long = string_free_is_long,
};
