#include "storage/types/bitmap.h"

#include "codec/endian.h"

#include <string.h>

/* Sums and differences of 64-bit numbers, exact. */
typedef __int128 wide_int;

/* ---- Counting. */

static uint64_t load_word(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* Bits of each byte pairwise, then in fours, then summed up by the multiplication. */
static unsigned count_word(uint64_t word)
{
    word -= word >> 1 & UINT64_C(0x5555555555555555);
    word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
    word = (word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(word * UINT64_C(0x0101010101010101) >> 56);
}

static uint64_t count_plain(struct bytes bytes)
{
    uint64_t count = 0;
    size_t at = 0;
    for (; bytes.len - at >= 8; at += 8)
        count += count_word(load_word(bytes.data + at));
    for (; at < bytes.len; at++)
        count += count_word(bytes.data[at]);
    return count;
}

#if defined(__x86_64__)

/* Four sums, since the instruction takes three cycles and one may begin in each. */
__attribute__((target("popcnt"))) static uint64_t count_popcnt(struct bytes bytes)
{
    uint64_t sums[4] = {0};
    size_t at = 0;
    for (; bytes.len - at >= 32; at += 32)
        for (size_t i = 0; i < 4; i++)
            sums[i] += (uint64_t)__builtin_popcountll(load_word(bytes.data + at + 8 * i));
    uint64_t count = sums[0] + sums[1] + sums[2] + sums[3];
    for (; at < bytes.len; at++)
        count += (uint64_t)__builtin_popcountll(bytes.data[at]);
    return count;
}

uint64_t bitmap_count(struct bytes bytes)
{
    return __builtin_cpu_supports("popcnt") ? count_popcnt(bytes) : count_plain(bytes);
}

#else

uint64_t bitmap_count(struct bytes bytes)
{
    return count_plain(bytes);
}

#endif

/* ---- Searching. */

uint64_t bitmap_find(struct bytes bytes, bool bit)
{
    uint64_t skip = bit ? 0 : UINT64_MAX;
    size_t at = 0;
    while (bytes.len - at >= 8 && load_word(bytes.data + at) == skip)
        at += 8;
    while (at < bytes.len && bytes.data[at] == (uint8_t)skip)
        at++;
    if (at == bytes.len)
        return BITMAP_NONE;
    unsigned byte = bytes.data[at] ^ (uint8_t)skip; /* not 0: what is looked for is set here */
    return at * 8 + (unsigned)__builtin_clz(byte << 24);
}

/* ---- Combining. */

static void store_word(uint8_t *at, uint64_t word)
{
    memcpy(at, &word, sizeof(word));
}

/* One loop per operation, a word at a time. */
static size_t combine_words(enum bitmap_operation operation, uint8_t *restrict out,
                            const uint8_t *restrict in, size_t len)
{
    size_t end = len / 8 * 8;
    switch (operation) {
    case BITMAP_AND:
        for (size_t i = 0; i < end; i += 8)
            store_word(out + i, load_word(out + i) & load_word(in + i));
        break;
    case BITMAP_OR:
        for (size_t i = 0; i < end; i += 8)
            store_word(out + i, load_word(out + i) | load_word(in + i));
        break;
    case BITMAP_XOR:
        for (size_t i = 0; i < end; i += 8)
            store_word(out + i, load_word(out + i) ^ load_word(in + i));
        break;
    }
    return end;
}

void bitmap_combine(enum bitmap_operation operation, uint8_t *restrict out,
                    const uint8_t *restrict in, size_t len)
{
    for (size_t i = combine_words(operation, out, in, len); i < len; i++) {
        unsigned both = operation == BITMAP_AND  ? out[i] & in[i]
                        : operation == BITMAP_OR ? out[i] | in[i]
                                                 : out[i] ^ in[i];
        out[i] = (uint8_t)both;
    }
}

void bitmap_invert(uint8_t *out, size_t len)
{
    size_t end = len / 8 * 8;
    for (size_t i = 0; i < end; i += 8)
        store_word(out + i, ~load_word(out + i));
    for (size_t i = end; i < len; i++)
        out[i] = (uint8_t)~out[i];
}

/* ---- Fields. */

static uint64_t low_bits(unsigned width)
{
    return width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
}

uint64_t bitmap_get_field(const uint8_t *bytes, unsigned offset, unsigned width)
{
    unsigned end = offset + width; /* <= 71 */
    uint8_t padded[BITMAP_FIELD_BYTES_MAX] = {0};
    memcpy(padded, bytes, (end + 7) / 8);
    uint64_t value = load_be64(padded);
    if (end <= 64)
        return value >> (64 - end) & low_bits(width);
    return (value << (end - 64) | padded[8] >> (72 - end)) & low_bits(width);
}

void bitmap_set_field(uint8_t *bytes, unsigned offset, unsigned width, uint64_t value)
{
    unsigned end = offset + width;
    size_t len = (end + 7) / 8;
    uint8_t padded[BITMAP_FIELD_BYTES_MAX] = {0};
    memcpy(padded, bytes, len);
    value &= low_bits(width);
    uint64_t head = load_be64(padded);
    if (end <= 64) {
        head &= ~(low_bits(width) << (64 - end));
        head |= value << (64 - end);
    } else {
        unsigned tail_bits = end - 64; /* in the ninth byte, its highest ones */
        head &= ~(low_bits(width) >> tail_bits);
        head |= value >> tail_bits;
        unsigned tail = (unsigned)(value & low_bits(tail_bits)) << (8 - tail_bits);
        padded[8] = (uint8_t)((padded[8] & (0xffu >> tail_bits)) | tail);
    }
    store_be64(padded, head);
    memcpy(bytes, padded, len);
}

int64_t bitmap_field_value(struct bitmap_field field, uint64_t content)
{
    if (field.is_signed && field.width < 64 && (content >> (field.width - 1) & 1) != 0)
        content |= ~low_bits(field.width);
    return (int64_t)content;
}

static bool fit(struct bitmap_field field, wide_int value, enum bitmap_overflow overflow,
                int64_t *out)
{
    wide_int max = (wide_int)low_bits(field.is_signed ? field.width - 1 : field.width);
    wide_int min = field.is_signed ? -max - 1 : 0;
    if (value >= min && value <= max) {
        *out = (int64_t)value;
        return true;
    }
    if (overflow == BITMAP_WRAP)
        *out = bitmap_field_value(field, (uint64_t)value & low_bits(field.width));
    else if (overflow == BITMAP_SATURATE)
        *out = (int64_t)(value > max ? max : min);
    return false;
}

bool bitmap_field_add(struct bitmap_field field, int64_t old, int64_t increment,
                      enum bitmap_overflow overflow, int64_t *out)
{
    return fit(field, (wide_int)old + increment, overflow, out);
}

bool bitmap_field_store(struct bitmap_field field, int64_t value, enum bitmap_overflow overflow,
                        int64_t *out)
{
    wide_int wide = value;
    if (!field.is_signed && value < 0) {
        wide = (wide_int)(uint64_t)value;
    } else if (field.is_signed && field.width < 64 && overflow == BITMAP_SATURATE) {
        int64_t max = (int64_t)low_bits(field.width - 1);
        int64_t distance;
        if (__builtin_sub_overflow(max, value, &distance))
            wide = (wide_int)max + 1;
    }
    return fit(field, wide, overflow, out);
}
