/* Intsets: ascending integers without duplicates, of 2, 4 or 8 bytes each as the widest one needs,
 * byte for byte as Redis holds them (FORMAT.md, "Intset"). Small sets of integers are such blocks.
 *
 * An intset is a block of mem_*; changing it may move it. The width only grows.
 * Readers trust the bytes: what comes from outside goes through intset_validate first. */
#ifndef BASALT_CODEC_INTSET_H
#define BASALT_CODEC_INTSET_H

#include "codec/bytes.h"
#include "codec/endian.h"
#include "codec/status.h"

#define INTSET_HEADER_BYTES 8
#define INTSET_COUNT_MAX    (1u << 27) /* callers keep below it; 1 GiB of the widest */

/* Checks every byte. Returns ST_OK, or ST_CORRUPT with what is wrong. No integers is valid. */
MUST_USE enum status intset_validate(struct bytes in, struct err *err);

/* An empty one, to be freed with mem_free; and a copy. */
uint8_t *intset_create(void);
uint8_t *intset_copy(const uint8_t *set);

static inline uint32_t intset_count(const uint8_t *set)
{
    return load_le32(set + 4);
}

static inline uint32_t intset_width(const uint8_t *set)
{
    return load_le32(set);
}

static inline size_t intset_bytes(const uint8_t *set)
{
    return INTSET_HEADER_BYTES + (size_t)intset_count(set) * intset_width(set);
}

/* The integer at `index` below the count, in ascending order. */
int64_t intset_get(const uint8_t *set, uint32_t index);
/* Index of the first one that is not less than `value`: the count if there is none. */
uint32_t intset_seek(const uint8_t *set, int64_t value);
MUST_USE bool intset_has(const uint8_t *set, int64_t value);

/* Return where the block is now. `changed` tells whether the value was new, or was there. */
MUST_USE uint8_t *intset_add(uint8_t *set, int64_t value, bool *changed);
MUST_USE uint8_t *intset_remove(uint8_t *set, int64_t value, bool *changed);

#endif
