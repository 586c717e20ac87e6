/* Listpacks: a sequence of short texts and integers packed into one block, byte for byte as Redis
 * packs them (FORMAT.md, "Listpack"), so that they go to and come from disk, RDB and DUMP as they
 * are. Small hashes, sets, sorted sets, and the nodes of lists and streams are such blocks.
 *
 * An entry is named by its offset from the listpack's first byte; 0 is no entry. Offsets, unlike
 * pointers, stay good when the block moves: a change moves only what stands behind it.
 *
 * Readers trust the bytes: what comes from outside goes through listpack_validate first.
 * Pure functions of memory; one thread at a time per listpack. */
#ifndef BASALT_CODEC_LISTPACK_H
#define BASALT_CODEC_LISTPACK_H

#include "codec/bytes.h"
#include "codec/endian.h"
#include "codec/number.h"
#include "codec/status.h"

#include <assert.h>

#define LISTPACK_HEADER_BYTES          6
#define LISTPACK_EMPTY_BYTES           7          /* a header and the end mark */
#define LISTPACK_BYTES_MAX             (1u << 30) /* callers keep below it: listpack_fits */
#define LISTPACK_ENTRY_EXTRA_BYTES_MAX 10u        /* of an entry, beyond its text */

/* A listpack that can change. It begins `head` bytes into its block, which is of mem_*; what stands
 * before it is the owner's and moves with it. */
struct listpack {
    uint8_t *block; /* owned */
    size_t head;
};

/* What an entry holds, or is to hold. A text that is an integer's is packed as that integer, and
 * comes back as one. */
struct listpack_value {
    struct bytes text; /* unless is_integer; borrowed */
    int64_t integer;
    bool is_integer;
};

static inline struct listpack_value listpack_text(struct bytes text)
{
    return (struct listpack_value){.text = text};
}

static inline struct listpack_value listpack_integer(int64_t integer)
{
    return (struct listpack_value){.integer = integer, .is_integer = true};
}

/* The value as text, in `scratch` if it is an integer. */
static inline struct bytes listpack_value_text(const struct listpack_value *value,
                                               char scratch[NUMBER_I64_CHARS_MAX])
{
    if (!value->is_integer)
        return value->text;
    return bytes_make(scratch, number_format_i64(value->integer, scratch));
}

/* --- Owning --- */

/* An empty one. The `head` bytes are not initialized. */
struct listpack listpack_create(size_t head);
/* A copy of `data`, a valid listpack. */
struct listpack listpack_copy(const uint8_t *data, size_t head);
void listpack_destroy(struct listpack *lp);

static inline uint8_t *listpack_data(const struct listpack *lp)
{
    return lp->block + lp->head;
}

/* --- Reading: `data` is where a listpack begins --- */

/* Checks every byte. `count_out` gets the number of entries, and may be NULL. Returns ST_OK, or
 * ST_CORRUPT with what is wrong. No entries is valid. */
MUST_USE enum status listpack_validate(struct bytes in, uint32_t *count_out, struct err *err);

/* Size of the whole. */
static inline uint32_t listpack_bytes(const uint8_t *data)
{
    return load_le32(data);
}

/* Number of entries. A walk from 65535 on, else O(1). */
uint32_t listpack_count(const uint8_t *data);

static inline bool listpack_is_empty(const uint8_t *data)
{
    return listpack_bytes(data) == LISTPACK_EMPTY_BYTES;
}

/* Where the next entry would go. */
static inline uint32_t listpack_end(const uint8_t *data)
{
    return listpack_bytes(data) - 1;
}

static inline uint32_t listpack_first(const uint8_t *data)
{
    return listpack_is_empty(data) ? 0 : LISTPACK_HEADER_BYTES;
}

uint32_t listpack_last(const uint8_t *data);
uint32_t listpack_next(const uint8_t *data, uint32_t at);
/* Also of listpack_end. */
uint32_t listpack_prev(const uint8_t *data, uint32_t at);
/* By index, from the end if negative (-1 is the last); 0 beyond either end. Walks from the nearer
 * end. */
uint32_t listpack_seek(const uint8_t *data, int64_t index);

/* `value` borrows from the listpack. */
void listpack_get(const uint8_t *data, uint32_t at, struct listpack_value *value_out);
/* The entry's text, in `scratch` if it is an integer. */
struct bytes listpack_get_text(const uint8_t *data, uint32_t at,
                               char scratch[NUMBER_I64_CHARS_MAX]);
MUST_USE bool listpack_equal(const uint8_t *data, uint32_t at, struct bytes text);
/* The first entry that is `text` among `from` (0: none is found), and every one `skip` entries
 * further: 1 looks at every other, as a search for a field does. */
uint32_t listpack_find(const uint8_t *data, uint32_t from, struct bytes text, uint32_t skip);

/* Whether two entries of those at every `step`th index (1: of all) are the same text. */
MUST_USE bool listpack_has_duplicates(const uint8_t *data, uint32_t step);

/* --- Changing: no value may point into the listpack that it goes to --- */

/* Whether `extra` more bytes keep it below the maximum. */
static inline bool listpack_fits(const uint8_t *data, size_t extra)
{
    return extra <= LISTPACK_BYTES_MAX - LISTPACK_EMPTY_BYTES &&
           listpack_bytes(data) <= LISTPACK_BYTES_MAX - extra;
}

/* Bytes that an entry of this value takes. */
size_t listpack_entry_bytes(const struct listpack_value *value);

/* Puts `count` values in the place of `removed` entries from `at` on. The first of them is then at
 * `at`; so is what follows, if there are none. There must be as many entries. */
void listpack_splice(struct listpack *lp, uint32_t at, uint32_t removed,
                     const struct listpack_value *values, size_t count);

static inline void listpack_append(struct listpack *lp, struct listpack_value value)
{
    listpack_splice(lp, listpack_end(listpack_data(lp)), 0, &value, 1);
}

static inline void listpack_prepend(struct listpack *lp, struct listpack_value value)
{
    listpack_splice(lp, LISTPACK_HEADER_BYTES, 0, &value, 1);
}

/* Before the entry at `at`, or at the end. */
static inline void listpack_insert(struct listpack *lp, uint32_t at, struct listpack_value value)
{
    listpack_splice(lp, at, 0, &value, 1);
}

static inline void listpack_replace(struct listpack *lp, uint32_t at, struct listpack_value value)
{
    listpack_splice(lp, at, 1, &value, 1);
}

static inline void listpack_delete(struct listpack *lp, uint32_t at)
{
    listpack_splice(lp, at, 1, NULL, 0);
}

/* Deletes up to `count` entries from an index on (negative: from the end), and returns how many. */
uint32_t listpack_delete_range(struct listpack *lp, int64_t index, uint32_t count);
/* Deletes the entries at `count` ascending offsets in one pass. */
void listpack_delete_each(struct listpack *lp, const uint32_t *ats, size_t count);
/* Inserts at `at` the `count` entries that stand in another listpack from offset `from` to before
 * offset `to`. */
void listpack_insert_entries(struct listpack *lp, uint32_t at, const uint8_t *other, uint32_t from,
                             uint32_t to, uint32_t count);
/* Makes room for `extra` more bytes at once, where many appends will follow; and gives back what is
 * left over. */
void listpack_reserve(struct listpack *lp, size_t extra);
void listpack_shrink(struct listpack *lp);

#endif
