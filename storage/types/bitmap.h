/* Bits in byte ranges, as the bitmap commands see them: bit 0 is the most significant one of the
 * first byte. Pure functions, any thread. */
#ifndef BASALT_STORAGE_TYPES_BITMAP_H
#define BASALT_STORAGE_TYPES_BITMAP_H

#include "codec/bytes.h"

#define BITMAP_NONE UINT64_MAX

/* Bytes that a field of up to 64 bits may touch. */
#define BITMAP_FIELD_BYTES_MAX 9

enum bitmap_operation { BITMAP_AND, BITMAP_OR, BITMAP_XOR };

/* How many bits are set. About 0.1 ns per byte where the CPU counts bits itself. */
uint64_t bitmap_count(struct bytes bytes);
/* The first bit that is set (`bit`) or clear, or BITMAP_NONE. */
uint64_t bitmap_find(struct bytes bytes, bool bit);
/* out = out OP in, for `len` bytes. */
void bitmap_combine(enum bitmap_operation operation, uint8_t *out, const uint8_t *in, size_t len);
void bitmap_invert(uint8_t *out, size_t len);

/* The number in `width` (1 to 64) bits from bit `offset` (0 to 7) on, the highest bit first. Reads
 * exactly the bytes that these bits touch, and so for writing. */
uint64_t bitmap_get_field(const uint8_t *bytes, unsigned offset, unsigned width);
void bitmap_set_field(uint8_t *bytes, unsigned offset, unsigned width, uint64_t value);

/* What a sum or a value becomes that does not fit in its field. */
enum bitmap_overflow { BITMAP_WRAP, BITMAP_SATURATE, BITMAP_FAIL };

struct bitmap_field {
    unsigned width; /* 1 to 64, unsigned ones to 63 */
    bool is_signed;
};

/* The field's content as a number. */
int64_t bitmap_field_value(struct bitmap_field field, uint64_t content);
/* Computes old + increment for a field that holds `old`. False if the result does not fit; `*out`
 * is then what `overflow` makes of it (nothing for BITMAP_FAIL). */
bool bitmap_field_add(struct bitmap_field field, int64_t old, int64_t increment,
                      enum bitmap_overflow overflow, int64_t *out);
/* The same for storing `value` as it is. As in Redis, a negative one is too large for an unsigned
 * field, and so is one for a signed field that is more than 2^63 below the largest. */
bool bitmap_field_store(struct bitmap_field field, int64_t value, enum bitmap_overflow overflow,
                        int64_t *out);

#endif
