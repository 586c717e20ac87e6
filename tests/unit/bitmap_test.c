/* Goal: bit counting, searching and fields agree with their definition.
 * Method: random ranges at all alignments against loops that look at one bit at a time; for fields
 * every offset and width. */
#include "tests/support/harness.h"

#include "storage/types/bitmap.h"

#include <string.h>

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static bool bit_at(const uint8_t *bytes, uint64_t index)
{
    return (bytes[index / 8] >> (7 - index % 8) & 1) != 0;
}

static void count_and_find_agree_with_looking_at_each_bit(void **state)
{
    (void)state;
    uint64_t seed = 4711;
    uint8_t bytes[200];
    for (int round = 0; round < 3000; round++) {
        size_t from = random_next(&seed) % 16;
        size_t len = random_next(&seed) % (sizeof(bytes) - 16);
        memset(bytes, round % 3 == 0 ? 0 : round % 3 == 1 ? 0xff : 0x10, sizeof(bytes));
        for (uint64_t i = random_next(&seed) % 4; i > 0; i--)
            bytes[random_next(&seed) % sizeof(bytes)] = (uint8_t)random_next(&seed);
        uint64_t count = 0;
        uint64_t first[2] = {BITMAP_NONE, BITMAP_NONE};
        for (uint64_t i = 0; i < len * 8; i++) {
            bool bit = bit_at(bytes + from, i);
            count += bit;
            if (first[bit] == BITMAP_NONE)
                first[bit] = i;
        }
        struct bytes range = bytes_make(bytes + from, len);
        assert_int_equal(bitmap_count(range), count);
        assert_int_equal(bitmap_find(range, false), first[0]);
        assert_int_equal(bitmap_find(range, true), first[1]);
    }
}

static void field_of_any_width_is_read_and_written_in_place(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (unsigned offset = 0; offset < 8; offset++) {
        for (unsigned width = 1; width <= 64; width++) {
            uint8_t before[16], after[16];
            for (size_t i = 0; i < sizeof(before); i++)
                before[i] = (uint8_t)random_next(&seed);
            memcpy(after, before, sizeof(after));
            uint64_t value = random_next(&seed);
            bitmap_set_field(after, offset, width, value);
            for (unsigned i = 0; i < sizeof(before) * 8; i++) {
                bool inside = i >= offset && i < offset + width;
                bool expected =
                    inside ? (value >> (offset + width - 1 - i) & 1) != 0 : bit_at(before, i);
                if (bit_at(after, i) != expected)
                    fail_msg("offset %u width %u bit %u", offset, width, i);
            }
            uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
            assert_true(bitmap_get_field(after, offset, width) == (value & mask));
        }
    }
}

struct overflow_case {
    unsigned width;
    bool is_signed;
    int64_t old;
    int64_t increment;
    bool fits;
    int64_t wrapped;
    int64_t saturated;
};

static const struct overflow_case overflow_cases[] = {
    {8, false, 250, 5, true, 255, 255},
    {8, false, 250, 6, false, 0, 255},
    {8, false, 3, -3, true, 0, 0},
    {8, false, 3, -4, false, 255, 0},
    {8, true, 120, 7, true, 127, 127},
    {8, true, 120, 8, false, -128, 127},
    {8, true, -120, -8, true, -128, -128},
    {8, true, -120, -9, false, 127, -128},
    {1, true, 0, 1, false, -1, 0},
    {1, false, 1, 1, false, 0, 1},
    {64, true, INT64_MAX, 1, false, INT64_MIN, INT64_MAX},
    {64, true, INT64_MIN, -1, false, INT64_MAX, INT64_MIN},
    {64, true, INT64_MIN, INT64_MAX, true, -1, -1},
    {63, false, INT64_MAX, 1, false, 0, INT64_MAX},
    {63, false, INT64_MAX, INT64_MAX, false, INT64_MAX - 1, INT64_MAX},
    {63, false, 0, INT64_MIN, false, 0, 0},
    {4, true, 7, INT64_MAX, false, 6, 7},
};

static void sums_overflow_as_their_field_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(overflow_cases) / sizeof(overflow_cases[0]); i++) {
        const struct overflow_case *oc = &overflow_cases[i];
        struct bitmap_field field = {.width = oc->width, .is_signed = oc->is_signed};
        int64_t wrapped = 0, saturated = 0, failed = 77;
        bool fits = bitmap_field_add(field, oc->old, oc->increment, BITMAP_WRAP, &wrapped);
        bool fits_too =
            bitmap_field_add(field, oc->old, oc->increment, BITMAP_SATURATE, &saturated);
        (void)bitmap_field_add(field, oc->old, oc->increment, BITMAP_FAIL, &failed);
        if (fits != oc->fits || fits_too != oc->fits || wrapped != oc->wrapped ||
            saturated != oc->saturated || (!fits && failed != 77))
            fail_msg("case %zu: %d %lld %lld", i, fits, (long long)wrapped, (long long)saturated);
    }
}

static void stored_value_that_does_not_fit_is_cut_or_bounded(void **state)
{
    (void)state;
    struct bitmap_field u8 = {.width = 8};
    struct bitmap_field i8 = {.width = 8, .is_signed = true};
    int64_t out = 0;
    assert_true(bitmap_field_store(u8, 255, BITMAP_WRAP, &out));
    assert_int_equal(out, 255);
    assert_false(bitmap_field_store(u8, -1, BITMAP_WRAP, &out));
    assert_int_equal(out, 255);
    assert_false(bitmap_field_store(u8, -1, BITMAP_SATURATE, &out));
    assert_int_equal(out, 255); /* as in Redis: a huge unsigned number */
    assert_false(bitmap_field_store(i8, 200, BITMAP_SATURATE, &out));
    assert_int_equal(out, 127);
    assert_false(bitmap_field_store(i8, 200, BITMAP_WRAP, &out));
    assert_int_equal(out, -56);
    assert_false(bitmap_field_store(i8, INT64_MIN + 128, BITMAP_SATURATE, &out));
    assert_int_equal(out, -128);
    assert_false(bitmap_field_store(i8, INT64_MIN + 127, BITMAP_SATURATE, &out));
    assert_int_equal(out, 127);
    assert_true(bitmap_field_store(i8, -128, BITMAP_FAIL, &out));
    assert_int_equal(out, -128);
}

static void operations_agree_at_all_lengths(void **state)
{
    (void)state;
    uint64_t seed = 99;
    for (size_t len = 0; len < 70; len++) {
        uint8_t a[72], b[72], out[72];
        for (size_t i = 0; i < sizeof(a); i++) {
            a[i] = (uint8_t)random_next(&seed);
            b[i] = (uint8_t)random_next(&seed);
        }
        for (int operation = BITMAP_AND; operation <= BITMAP_XOR; operation++) {
            memcpy(out, a, sizeof(a));
            bitmap_combine((enum bitmap_operation)operation, out, b, len);
            for (size_t i = 0; i < sizeof(a); i++) {
                int expected = operation == BITMAP_AND  ? a[i] & b[i]
                               : operation == BITMAP_OR ? a[i] | b[i]
                                                        : a[i] ^ b[i];
                assert_int_equal(out[i], i < len ? expected : a[i]);
            }
        }
        memcpy(out, a, sizeof(a));
        bitmap_invert(out, len);
        for (size_t i = 0; i < sizeof(a); i++)
            assert_int_equal(out[i], i < len ? (uint8_t)~a[i] : a[i]);
    }
}

static void operations_combine_each_bit(void **state)
{
    (void)state;
    uint8_t out[3] = {0x0f, 0xf0, 0xaa};
    const uint8_t in[3] = {0x3c, 0x3c, 0xff};
    bitmap_combine(BITMAP_AND, out, in, 3);
    assert_memory_equal(out, "\x0c\x30\xaa", 3);
    bitmap_combine(BITMAP_OR, out, in, 3);
    assert_memory_equal(out, "\x3c\x3c\xff", 3);
    bitmap_combine(BITMAP_XOR, out, (const uint8_t *)"\x01\x80\xff", 3);
    assert_memory_equal(out, "\x3d\xbc\x00", 3);
    bitmap_invert(out, 2);
    assert_memory_equal(out, "\xc2\x43\x00", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(count_and_find_agree_with_looking_at_each_bit),
        TEST(field_of_any_width_is_read_and_written_in_place),
        TEST(sums_overflow_as_their_field_says),
        TEST(stored_value_that_does_not_fit_is_cut_or_bounded),
        TEST(operations_combine_each_bit),
        TEST(operations_agree_at_all_lengths),
    };
    return RUN_TESTS("bitmap", tests);
}
