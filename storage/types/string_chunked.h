/* The holding of large strings: equal chunks, each in RAM or not, changed or not, so that touching
 * one byte of a 100 MB value reads, changes and writes back a single chunk.
 *
 * On disk: a header record (object id, length, chunk size) and one element per chunk, keyed by its
 * index. A chunk's element holds its bytes without the zeros at its end; a chunk without an element
 * is all zeros. An object id is given to one value only and a value never gets shorter, so an
 * element can be stale in no other way than by being older.
 *
 *   COLD ──install──► CLEAN ──write──► DIRTY ──take_dirty──► CLEAN ──drop_clean──► COLD
 *     └── install of nothing ──► ZERO ──write──► DIRTY
 *
 *   COLD   on disk, perhaps; not in RAM          CLEAN  in RAM, equals what a cut has or takes
 *   ZERO   all zeros, nowhere                    DIRTY  in RAM, newer than any cut
 *
 * A cut takes references to the dirty chunks instead of copying them. While it holds them they do
 * not change: a write to a shared chunk replaces it by a copy first. Taking is thus cheap whatever
 * the size, and the copies are made one by one, by the writes that need them.
 *
 * Rules for the keyspace:
 *   - take_dirty comes before the first change after a cut began (in ks_change_begin), as for small
 *     objects their encoding;
 *   - drop_clean only once the cut that took the chunks last (taken_epoch, which moves with the
 *     value) has been applied to RocksDB;
 *   - pin while chunk loads are under way or a request waits for them: a pinned object's chunks are
 *     not dropped, and the object must not be demoted. A load that comes back late can then never
 *     meet a chunk that has been written, dropped and gone cold again.
 *
 * Main thread, but for the functions on struct string_chunk. */
#ifndef BASALT_STORAGE_TYPES_STRING_CHUNKED_H
#define BASALT_STORAGE_TYPES_STRING_CHUNKED_H

#include "codec/bytes.h"
#include "codec/status.h"
#include "storage/object.h"

#include <stdatomic.h>

/* Bounds the arrays that a header's length makes us allocate: 16 GiB in chunks of 16 KiB. */
#define STRING_CHUNKS_MAX ((uint64_t)1 << 20)

/* A chunk in RAM. Immutable while it has more than one reference. */
struct string_chunk {
    _Atomic uint32_t refs;
    uint32_t capacity; /* chunk_bytes of its string; bytes behind the string's end are zeros */
    uint8_t *data;     /* owned */
};

enum string_chunk_state { CHUNK_COLD = 0, CHUNK_ZERO, CHUNK_CLEAN, CHUNK_DIRTY };

/* What value.pointer of an ENCODING_CHUNKED object points to. */
struct string_chunked {
    uint64_t object_id;
    uint64_t len;
    uint32_t chunk_bytes;    /* a power of two */
    uint32_t count;          /* chunks that `len` needs */
    uint32_t capacity;       /* places in the three arrays */
    uint32_t dirty_count;    /* entries of `dirty` */
    uint32_t resident_count; /* chunks in RAM */
    uint32_t pins;
    uint32_t taken_epoch;         /* the last cut that took chunks of it; set by the cut */
    bool stored;                  /* elements may be on disk, or in a cut on its way there */
    uint32_t hand;                /* where drop_clean goes on */
    struct string_chunk **chunks; /* owned references; NULL unless CLEAN or DIRTY */
    uint8_t *states;              /* enum string_chunk_state | CHUNK_USED */
    uint32_t *dirty;              /* indices of the dirty chunks, in no order */
};

static inline struct string_chunked *string_chunked(const struct object *o)
{
    return (struct string_chunked *)o->value.pointer;
}

/* ---- Loading. */

/* Writes up to `max` indices of chunks that the bytes from..to-1 touch and that are COLD, in
 * ascending order; returns how many there are in all. The range may go beyond the end: what is to
 * be appended needs the chunk that it begins in. */
size_t string_chunked_missing(const struct object *o, uint64_t from, uint64_t to, uint32_t *out,
                              size_t max);
/* Brings a chunk in that was loaded: the element's bytes, or `found` false when there is none. Does
 * nothing if the chunk is not COLD any more. ST_CORRUPT if the element is longer than a chunk. */
MUST_USE enum status string_chunked_install(struct object *o, uint32_t index, struct bytes element,
                                            bool found);
static inline void string_chunked_pin(struct object *o)
{
    string_chunked(o)->pins++;
}
void string_chunked_unpin(struct object *o);

/* ---- Cuts. */

/* `chunk` comes with a reference for the receiver, to be released when its bytes have been put into
 * the cut's batch. */
typedef void string_chunk_fn(void *arg, uint64_t object_id, uint32_t index,
                             struct string_chunk *chunk);
/* Hands over every DIRTY chunk, which becomes CLEAN; returns their number. No bytes are copied:
 * about 20 ns per chunk. */
size_t string_chunked_take_dirty(struct object *o, string_chunk_fn *fn, void *arg);

/* The bytes that a chunk's element holds: without the zeros at the end. Any thread. */
struct bytes string_chunk_element(const struct string_chunk *chunk);
/* Gives a reference back. Any thread. */
void string_chunk_release(struct string_chunk *chunk);

/* ---- Memory pressure. */

/* Drops CLEAN chunks, those not used since the last round first, until `bytes` have been freed or
 * none is left; returns the bytes freed. Does nothing while pinned. */
size_t string_chunked_drop_clean(struct object *o, size_t bytes);

/* ---- Inside the type (string.c). */

struct string_chunked *string_chunked_create(uint64_t object_id, uint64_t len, uint32_t chunk_bytes,
                                             enum string_chunk_state state);
/* A value with an id of its own that shares the chunks, all DIRTY. All must be in RAM or ZERO. */
struct string_chunked *string_chunked_clone(const struct string_chunked *from, uint64_t object_id);
/* Any thread once nothing else refers to it. */
void string_chunked_destroy(struct string_chunked *c);
void string_chunked_grow(struct string_chunked *c, uint64_t len);
/* Within the length; chunks that are not written as a whole must not be COLD. */
void string_chunked_write(struct string_chunked *c, uint64_t offset, struct bytes data);
/* The longest piece in one chunk that begins at `offset` and ends at `end` at the latest. */
struct bytes string_chunked_piece(struct string_chunked *c, uint64_t offset, uint64_t end);
/* Bytes of RAM, O(1). */
size_t string_chunked_bytes(const struct string_chunked *c);

#endif
