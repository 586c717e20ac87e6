/* Strings in RAM. A string is held in one of four ways, which only this module tells apart:
 *
 *   ENCODING_INT      the canonical text of a 64-bit integer: value.integer
 *   ENCODING_INLINE   value.inline_len bytes behind the key, in the object's own allocation
 *   ENCODING_HEAP     struct string_heap: too long to be inline, or growing
 *   ENCODING_CHUNKED  struct string_chunked: longer than rules->large_bytes; may be partly resident
 *                     (string_chunked.h)
 *
 * Objects are allocated and moved by the keyspace alone. To store a value it makes a plan
 * (string_plan, or string_plan_record for a record from disk), provides an object with
 * plan.inline_len bytes of room behind the key, and fills it (string_fill). To change a value in
 * place, a handler calls string_write and the like between ks_change_begin and ks_change_end; they
 * never move the object itself.
 *
 * Main thread. Source: Redis 7.2 for limits and for what OBJECT ENCODING says. */
#ifndef BASALT_STORAGE_TYPES_STRING_H
#define BASALT_STORAGE_TYPES_STRING_H

#include "codec/buf.h"
#include "codec/bytes.h"
#include "codec/number.h"
#include "codec/record.h"
#include "codec/status.h"
#include "storage/object.h"
#include "storage/object_value.h"
#include "storage/types/string_chunked.h"

#define STRING_EMBSTR_BYTES_MAX  44                 /* longer ones are "raw" */
#define STRING_INLINE_BYTES_MAX  4096               /* longer ones are not put behind the key */
#define STRING_LARGE_BYTES_LIMIT ((size_t)16 << 20) /* of rules.large_bytes */
#define STRING_INTEGER_CHARS_MAX 20                 /* of the text of a 64-bit integer */
#define STRING_SCRATCH_BYTES     32 /* where string_view may write an integer's text */

/* How values are to be held, from the settings. The keyspace has one (ks_string_rules). */
struct string_rules {
    size_t large_bytes;            /* longer values are chunked; <= STRING_LARGE_BYTES_LIMIT */
    uint32_t chunk_bytes;          /* a power of two >= 16; RECORD_CHUNK_BYTES but in tests */
    uint64_t (*new_id)(void *arg); /* gives out object ids */
    void *arg;
};

struct value_type;

struct string_heap {
    uint32_t len;
    uint32_t capacity; /* of `bytes`; with this header, what the allocator has set aside */
    uint8_t bytes[];
};

/* ---- Storing whole values. */

struct string_plan {
    struct bytes value;               /* borrowed until filled */
    int64_t integer;                  /* ENCODING_INT */
    size_t inline_len;                /* room that the object needs behind its key */
    uint8_t encoding;                 /* enum object_encoding */
    bool raw;                         /* becomes object->raw */
    struct record_large_string large; /* ENCODING_CHUNKED from a record: its header */
    bool cold;                        /* ENCODING_CHUNKED from a record: no chunk is in RAM yet */
};

/* How `value`, as a client sent it, is held. */
static inline void string_plan(const struct string_rules *rules, struct bytes value,
                               struct string_plan *out)
{
    out->value = value;
    out->inline_len = 0;
    out->raw = false;
    out->cold = false;
    if (value.len - 1 < STRING_INTEGER_CHARS_MAX && value.data[0] <= '9' &&
        number_parse_i64(value, &out->integer)) {
        out->encoding = ENCODING_INT;
    } else if (value.len > rules->large_bytes) {
        out->encoding = ENCODING_CHUNKED;
    } else if (value.len > STRING_INLINE_BYTES_MAX) {
        out->encoding = ENCODING_HEAP;
    } else {
        out->encoding = ENCODING_INLINE;
        out->inline_len = value.len;
    }
}

/* The same, but never as an integer: results of INCRBYFLOAT and, with `raw`, of BITOP. */
void string_plan_text(const struct string_rules *rules, struct bytes value, bool raw,
                      struct string_plan *out);
/* How a record's value is held. ST_CORRUPT when it is none that we write. */
MUST_USE enum status string_plan_record(const struct record_header *header, struct bytes payload,
                                        struct string_plan *out);
/* How the value of `from` is held by another object, when moved or copied there. */
void string_plan_like(const struct object *from, struct string_plan *out);

/* Gives `o`, which holds no value, the planned one: type, encoding, value, raw, large. It must have
 * plan->inline_len bytes of room behind its key. plan->value may overlap them. */
void string_fill(struct object *o, const struct string_plan *plan,
                 const struct string_rules *rules);
/* Makes `o`, which holds no value, an empty "raw" string that is to be written to. */
static inline void string_init_empty(struct object *o)
{
    o->type = OBJECT_STRING;
    o->encoding = ENCODING_INLINE;
    o->raw = 1;
    o->large = 0;
    o->value.inline_len = 0;
}
/* Moves the value of `from` to `to`, which holds none and has the room that string_plan_like asks
 * for. O(1) but for inline bytes; `from` holds no value then. The object id stays the same. */
void string_move(struct object *to, struct object *from);
/* The same with a copy; large values share their chunks and get a new id. All of it in RAM. */
void string_copy(struct object *to, const struct object *from, const struct string_rules *rules);

/* Takes the value away from `o` in O(1). Returns what has to be freed by calling `*free_out` with
 * it, on any thread, or NULL if nothing has. */
void *string_take(struct object *o, object_free_fn **free_out);
/* Whether freeing takes long enough to let another thread do it. */
bool string_free_is_long(const struct object *o);

/* ---- Reading. What is read must be in RAM. */

static inline uint64_t string_len(const struct object *o)
{
    switch (o->encoding) {
    case ENCODING_INLINE:
        return o->value.inline_len;
    case ENCODING_HEAP:
        return ((const struct string_heap *)o->value.pointer)->len;
    case ENCODING_CHUNKED:
        return string_chunked(o)->len;
    default: {
        char text[NUMBER_I64_CHARS_MAX];
        return number_format_i64(o->value.integer, text);
    }
    }
}

static inline uint8_t *string_inline(struct object *o)
{
    return o->key + o->key_len;
}

/* All bytes in one range, which is valid until `o` changes; false for a chunked value. */
static inline bool string_view(const struct object *o, char scratch[STRING_SCRATCH_BYTES],
                               struct bytes *out)
{
    switch (o->encoding) {
    case ENCODING_INLINE:
        *out = bytes_make(o->key + o->key_len, o->value.inline_len);
        return true;
    case ENCODING_INT:
        *out = bytes_make(scratch, number_format_i64(o->value.integer, scratch));
        return true;
    case ENCODING_HEAP: {
        const struct string_heap *heap = o->value.pointer;
        *out = bytes_make(heap->bytes, heap->len);
        return true;
    }
    default:
        return false;
    }
}

/* Walks over a range in pieces, whatever the holding. */
struct string_reader {
    const struct object *o;
    uint64_t at;
    uint64_t end;
    char scratch[STRING_SCRATCH_BYTES];
};
/* The bytes from..to-1; both are cut to the length. */
void string_reader_init(struct string_reader *reader, const struct object *o, uint64_t from,
                        uint64_t to);
/* False at the end. */
bool string_reader_next(struct string_reader *reader, struct bytes *piece);

/* Copies up to `len` bytes from `from` on; returns how many there were. */
size_t string_read(const struct object *o, uint64_t from, uint8_t *out, size_t len);
/* Appends the whole value. */
void string_append_to(const struct object *o, struct buf *out);
/* The value as INCR understands it; false if it is no 64-bit integer. */
bool string_integer(const struct object *o, int64_t *out);

/* ---- Changing in place: between ks_change_begin and ks_change_end. All but the first make the
 * value "raw", as in Redis. What they touch must be in RAM (string_missing). The new length is the
 * caller's to limit. */

/* Replaces the value, which is not chunked, by an integer. */
void string_set_integer(struct object *o, int64_t value);
/* Writes `data` at `offset`; zeros fill a gap before it. */
void string_write(struct object *o, const struct string_rules *rules, uint64_t offset,
                  struct bytes data);
/* Makes the value at least `len` bytes long, filling with zeros. */
void string_grow(struct object *o, const struct string_rules *rules, uint64_t len);

/* ---- Records. */

/* Appends the record's value: header with the object's expiry, and payload. Of a large string this
 * is all but its chunks. */
void string_encode(const struct object *o, struct buf *out);

/* ---- Facts, all O(1). */

/* Bytes that fit behind the key. */
size_t string_inline_room(const struct object *o);
/* Chunks that are needed for the bytes from..to-1 and not in RAM; as string_chunked_missing, and 0
 * for all other holdings. */
static inline size_t string_missing(const struct object *o, uint64_t from, uint64_t to,
                                    uint32_t *out, size_t max)
{
    return o->encoding == ENCODING_CHUNKED ? string_chunked_missing(o, from, to, out, max) : 0;
}
/* "int", "embstr" or "raw". */
const char *string_encoding_name(const struct object *o);
/* Bytes of RAM beside the object's own allocation. */
size_t string_bytes(const struct object *o);
/* Of these, what a cut would have to write: all of it, or a large string's dirty chunks. */
size_t string_dirty_bytes(const struct object *o);
/* The object id of a large string, 0 of others. */
static inline uint64_t string_object_id(const struct object *o)
{
    return o->encoding == ENCODING_CHUNKED ? string_chunked(o)->object_id : 0;
}

/* Strings as a value of any type; moves and inline values are the keyspace's and this module's. */
extern const struct value_type string_value_type;

#endif
