#include "storage/types/hyperloglog.h"

#include "codec/check.h"
#include "codec/endian.h"
#include "codec/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ENCODING_OFF     4
#define CACHED_OFF       8
#define HASH_SEED        UINT64_C(0xadc83b19)
#define INDEX_BITS       14
#define RUN_BITS         (64 - INDEX_BITS)
#define REGISTER_BITS    6
#define REGISTER_MAX     63
#define SPARSE_VALUE_MAX 32
#define SPARSE_RUN_MAX   4
#define SPARSE_ZEROS_MAX 64
#define SPARSE_MERGE_OPS 5 /* looked at after a change, from the one before it on */
#define CACHE_STALE      ((uint64_t)1 << 63)
#define ALPHA_INFINITY   0.721347520444481703680 /* 0.5 / ln(2) */

_Static_assert(1 << INDEX_BITS == HLL_REGISTERS, "the index chooses a register");

/* MurmurHash64A, by Austin Appleby (public domain); for any byte order as on little endian. */
static uint64_t hash_element(struct bytes element)
{
    const uint64_t m = UINT64_C(0xc6a4a7935bd1e995);
    uint64_t hash = HASH_SEED ^ (element.len * m);
    size_t at = 0;
    for (; element.len - at >= 8; at += 8) {
        uint64_t word = load_le64(element.data + at) * m;
        hash = (hash ^ ((word ^ word >> 47) * m)) * m;
    }
    if (at < element.len) {
        uint64_t word = 0;
        for (size_t i = element.len; i > at; i--)
            word = word << 8 | element.data[i - 1];
        hash = (hash ^ word) * m;
    }
    hash = (hash ^ hash >> 47) * m;
    return hash ^ hash >> 47;
}

static void place_element(struct bytes element, uint32_t *index_out, uint8_t *value_out)
{
    uint64_t hash = hash_element(element);
    *index_out = (uint32_t)hash & (HLL_REGISTERS - 1);
    hash = hash >> INDEX_BITS | (uint64_t)1 << RUN_BITS;
    *value_out = (uint8_t)(__builtin_ctzll(hash) + 1);
}

/* ---- Dense ------------------------------------------------------------------------------------
 */

/* A register lies in one byte or in two neighbours. Behind the last there is one more bit pattern
 * to read for none: the last register ends with the last byte. */
static uint8_t dense_get(const uint8_t *registers, uint32_t index)
{
    size_t byte = (size_t)index * REGISTER_BITS / 8;
    unsigned shift = index * REGISTER_BITS % 8;
    unsigned bits = registers[byte];
    if (shift > 8 - REGISTER_BITS)
        bits |= (unsigned)registers[byte + 1] << 8;
    return bits >> shift & REGISTER_MAX;
}

static void dense_set(uint8_t *registers, uint32_t index, uint8_t value)
{
    size_t byte = (size_t)index * REGISTER_BITS / 8;
    unsigned shift = index * REGISTER_BITS % 8;
    unsigned mask = (unsigned)REGISTER_MAX << shift;
    unsigned bits = (unsigned)value << shift;
    registers[byte] = (uint8_t)((registers[byte] & ~mask) | bits);
    if (shift > 8 - REGISTER_BITS)
        registers[byte + 1] = (uint8_t)((registers[byte + 1] & ~(mask >> 8)) | bits >> 8);
}

bool hll_dense_change(struct bytes hll, struct bytes element, size_t *off_out, uint8_t bytes_out[2])
{
    uint32_t index;
    uint8_t value;
    place_element(element, &index, &value);
    CHECK(hll.len == HLL_DENSE_BYTES);
    const uint8_t *registers = hll.data + HLL_HEADER_BYTES;
    if (dense_get(registers, index) >= value)
        return false;
    /* Two bytes that hold the register; of the last one, those before the end. */
    size_t byte = (size_t)index * REGISTER_BITS / 8;
    if (byte + 2 > HLL_DENSE_BYTES - HLL_HEADER_BYTES)
        byte--;
    size_t shift = (size_t)index * REGISTER_BITS - byte * 8;
    unsigned bits = load_le16(registers + byte) & ~((unsigned)REGISTER_MAX << shift);
    store_le16(bytes_out, (uint16_t)(bits | (unsigned)value << shift));
    *off_out = HLL_HEADER_BYTES + byte;
    return true;
}

/* ---- Sparse -----------------------------------------------------------------------------------
 */

struct opcode {
    uint8_t bytes; /* 1 or 2 */
    uint8_t value; /* 0: zeros */
    uint32_t run;  /* registers */
};

/* `left` > 0 bytes. False: it is cut off. */
static bool opcode_read(const uint8_t *at, size_t left, struct opcode *out)
{
    if ((at[0] & 0x80) != 0) {
        *out = (struct opcode){.bytes = 1, .value = (uint8_t)((at[0] >> 2 & 0x1f) + 1)};
        out->run = (at[0] & 3u) + 1;
        return true;
    }
    if ((at[0] & 0x40) == 0) {
        *out = (struct opcode){.bytes = 1, .run = (at[0] & 0x3fu) + 1};
        return true;
    }
    if (left < 2)
        return false;
    *out = (struct opcode){.bytes = 2, .run = ((at[0] & 0x3fu) << 8 | at[1]) + 1};
    return true;
}

static uint8_t value_opcode(uint8_t value, uint32_t run)
{
    return (uint8_t)(0x80u | (value - 1u) << 2 | (run - 1));
}

/* Writes a run of one value (0: zeros); nothing for an empty one. Returns the bytes written. */
static size_t opcode_write(uint8_t *at, uint8_t value, uint32_t run)
{
    if (run == 0)
        return 0;
    if (value != 0) {
        at[0] = value_opcode(value, run);
        return 1;
    }
    if (run <= SPARSE_ZEROS_MAX) {
        at[0] = (uint8_t)(run - 1);
        return 1;
    }
    at[0] = (uint8_t)(0x40 | (run - 1) >> 8);
    at[1] = (uint8_t)(run - 1);
    return 2;
}

/* Replaces `old_len` bytes at `at` by `len` others. */
static void splice(struct buf *hll, size_t at, size_t old_len, const uint8_t *bytes, size_t len)
{
    (void)buf_reserve(hll, len);
    memmove(hll->data + at + len, hll->data + at + old_len, hll->len - at - old_len);
    memcpy(hll->data + at, bytes, len);
    hll->len = hll->len - old_len + len;
}

/* Joins neighbours of equal value, from `at` on. */
static void sparse_tidy(struct buf *hll, size_t at)
{
    struct opcode one;
    struct opcode next;
    for (int n = 0; n < SPARSE_MERGE_OPS && at < hll->len; n++) {
        if (!opcode_read(hll->data + at, hll->len - at, &one))
            return;
        size_t behind = at + one.bytes;
        if (one.value != 0 && behind < hll->len &&
            opcode_read(hll->data + behind, hll->len - behind, &next) && next.value == one.value &&
            one.run + next.run <= SPARSE_RUN_MAX) {
            uint8_t joined = value_opcode(one.value, one.run + next.run);
            splice(hll, at, 2, &joined, 1);
        } else {
            at = behind;
        }
    }
}

static enum hll_added raise_promoted(struct buf *hll, uint32_t index, uint8_t value)
{
    if (!hll_to_dense(hll))
        return HLL_DAMAGED;
    dense_set(hll->data + HLL_HEADER_BYTES, index, value);
    return HLL_CHANGED;
}

static enum hll_added sparse_raise(struct buf *hll, uint32_t index, uint8_t value, size_t bytes_max)
{
    if (value > SPARSE_VALUE_MAX)
        return raise_promoted(hll, index, value);
    size_t at = HLL_HEADER_BYTES;
    size_t before = at; /* the opcode before the one at `at` */
    uint32_t first = 0; /* register */
    struct opcode found = {0};
    for (;; before = at, at += found.bytes, first += found.run) {
        if (at >= hll->len || !opcode_read(hll->data + at, hll->len - at, &found))
            return HLL_DAMAGED;
        if (index < first + found.run)
            break;
    }
    if (found.value >= value)
        return HLL_UNCHANGED;
    uint8_t bytes[5];
    size_t len = opcode_write(bytes, found.value, index - first);
    len += opcode_write(bytes + len, value, 1);
    len += opcode_write(bytes + len, found.value, first + found.run - 1 - index);
    if (len > found.bytes && hll->len + len - found.bytes > bytes_max)
        return raise_promoted(hll, index, value);
    splice(hll, at, found.bytes, bytes, len);
    sparse_tidy(hll, before);
    return HLL_CHANGED;
}

/* ---- Both -------------------------------------------------------------------------------------
 */

bool hll_is_valid(struct bytes value)
{
    return value.len >= HLL_HEADER_BYTES && memcmp(value.data, "HYLL", 4) == 0 &&
           value.data[ENCODING_OFF] <= 1 && (!hll_is_dense(value) || value.len == HLL_DENSE_BYTES);
}

void hll_create(struct buf *out)
{
    static const uint8_t empty[HLL_HEADER_BYTES] = {'H', 'Y', 'L', 'L', 1};
    uint8_t zeros[2];
    buf_clear(out);
    buf_append(out, empty, sizeof(empty));
    buf_append(out, zeros, opcode_write(zeros, 0, HLL_REGISTERS));
}

enum hll_added hll_raise(struct buf *hll, uint32_t index, uint8_t value, size_t sparse_bytes_max)
{
    CHECK(index < HLL_REGISTERS);
    if (!hll_is_dense(buf_bytes(hll)))
        return sparse_raise(hll, index, value, sparse_bytes_max);
    uint8_t *registers = hll->data + HLL_HEADER_BYTES;
    if (dense_get(registers, index) >= value)
        return HLL_UNCHANGED;
    dense_set(registers, index, value);
    return HLL_CHANGED;
}

enum hll_added hll_add(struct buf *hll, struct bytes element, size_t sparse_bytes_max)
{
    uint32_t index;
    uint8_t value;
    place_element(element, &index, &value);
    return hll_raise(hll, index, value, sparse_bytes_max);
}

bool hll_merge(struct hll_registers *registers, struct bytes hll)
{
    uint8_t *values = registers->values;
    if (hll_is_dense(hll)) {
        for (uint32_t i = 0; i < HLL_REGISTERS; i++) {
            uint8_t value = dense_get(hll.data + HLL_HEADER_BYTES, i);
            values[i] = value > values[i] ? value : values[i];
        }
        return true;
    }
    uint32_t index = 0;
    struct opcode one;
    for (size_t at = HLL_HEADER_BYTES; at < hll.len; at += one.bytes) {
        if (!opcode_read(hll.data + at, hll.len - at, &one) || one.run > HLL_REGISTERS - index)
            return false;
        for (uint32_t end = index + one.run; index < end; index++)
            values[index] = one.value > values[index] ? one.value : values[index];
    }
    return index == HLL_REGISTERS;
}

bool hll_to_dense(struct buf *hll)
{
    if (hll_is_dense(buf_bytes(hll)))
        return true;
    struct hll_registers *registers = mem_calloc(1, sizeof(*registers));
    bool sound = hll_merge(registers, buf_bytes(hll));
    if (!sound) {
        mem_free(registers);
        return false;
    }
    if (hll->len < HLL_DENSE_BYTES)
        (void)buf_reserve(hll, HLL_DENSE_BYTES - hll->len);
    hll->len = HLL_DENSE_BYTES;
    hll->data[ENCODING_OFF] = 0;
    memset(hll->data + HLL_HEADER_BYTES, 0, HLL_DENSE_BYTES - HLL_HEADER_BYTES);
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        if (registers->values[i] != 0)
            dense_set(hll->data + HLL_HEADER_BYTES, i, registers->values[i]);
    mem_free(registers);
    return true;
}

/* Ertl's sigma and tau: what registers at zero, and at their end, add. */
static double sigma(double x)
{
    if (x >= 1)
        return INFINITY;
    double sum = x;
    double last;
    double weight = 1;
    do {
        last = sum;
        x *= x;
        sum += x * weight;
        weight *= 2;
    } while (sum > last);
    return sum;
}

static double tau(double x)
{
    if (x <= 0 || x >= 1)
        return 0;
    double sum = 1 - x;
    double last;
    double weight = 1;
    do {
        last = sum;
        x = sqrt(x);
        weight /= 2;
        sum -= (1 - x) * (1 - x) * weight;
    } while (sum < last);
    return sum / 3;
}

uint64_t hll_estimate(const struct hll_registers *registers)
{
    uint32_t counts[REGISTER_MAX + 1] = {0};
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        counts[registers->values[i]]++;
    const double m = HLL_REGISTERS;
    double z = m * tau((m - counts[RUN_BITS + 1]) / m);
    for (int value = RUN_BITS; value >= 1; value--)
        z = (z + counts[value]) / 2;
    z += m * sigma(counts[0] / m);
    return (uint64_t)llround(ALPHA_INFINITY * m * m / z);
}

bool hll_cached(struct bytes hll, uint64_t *out)
{
    uint64_t cached = load_le64(hll.data + CACHED_OFF);
    *out = cached;
    return (cached & CACHE_STALE) == 0;
}

void hll_encode_cached(uint64_t cardinality, bool valid, uint8_t out[8])
{
    store_le64(out, valid ? cardinality & ~CACHE_STALE : cardinality | CACHE_STALE);
}

void hll_describe(struct bytes hll, struct buf *out)
{
    struct opcode one;
    for (size_t at = HLL_HEADER_BYTES; at < hll.len; at += one.bytes) {
        if (!opcode_read(hll.data + at, hll.len - at, &one))
            return;
        char text[48];
        const char *gap = at == HLL_HEADER_BYTES ? "" : " ";
        int len =
            one.value != 0
                ? snprintf(text, sizeof(text), "%sv:%u,%u", gap, one.value, one.run)
                : snprintf(text, sizeof(text), "%s%c:%u", gap, one.bytes == 1 ? 'z' : 'Z', one.run);
        buf_append(out, text, (size_t)len);
    }
}
