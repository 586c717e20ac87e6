/* Bit offsets as arguments, for SETBIT and its kin. */
#ifndef BASALT_SERVER_COMMANDS_BIT_OFFSET_H
#define BASALT_SERVER_COMMANDS_BIT_OFFSET_H

#include "codec/number.h"

#define BIT_OFFSET_ERROR "ERR bit offset is not an integer or out of range"

/* The bit that `text` names, which must be in the first `bytes_max` bytes. With `field_width`
 * (BITFIELD; else 0), "#n" means the n-th field of that width. */
static inline bool bit_offset_parse(struct bytes text, unsigned field_width, uint64_t bytes_max,
                                    uint64_t *out)
{
    bool counts_fields = field_width != 0 && text.len > 0 && text.data[0] == '#';
    if (counts_fields)
        text = bytes_make(text.data + 1, text.len - 1);
    int64_t offset;
    if (!number_parse_i64(text, &offset) ||
        __builtin_mul_overflow(offset, counts_fields ? (int64_t)field_width : 1, &offset) ||
        offset < 0 || (uint64_t)offset / 8 >= bytes_max)
        return false;
    *out = (uint64_t)offset;
    return true;
}

#endif
