/* Checksums: published check values, and agreement with bit-by-bit definitions for each length,
 * alignment and split. */
#include "codec/checksum.h"
#include "codec/mem.h"
#include "tests/support/harness.h"

#define SAMPLE_BYTES 20000

static uint8_t *make_sample(void)
{
    uint8_t *sample = mem_alloc(SAMPLE_BYTES);
    uint32_t state = 12345;
    for (size_t i = 0; i < SAMPLE_BYTES; i++) {
        state = state * 1664525 + 1013904223;
        sample[i] = (uint8_t)(state >> 24);
    }
    return sample;
}

static uint64_t reflected_by_bits(uint64_t crc, uint64_t polynomial, struct bytes data)
{
    for (size_t i = 0; i < data.len; i++) {
        crc ^= data.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? polynomial : 0);
    }
    return crc;
}

static uint32_t crc32c_by_bits(struct bytes data)
{
    return ~(uint32_t)reflected_by_bits(0xffffffff, 0x82f63b78, data);
}

static uint64_t crc64_by_bits(struct bytes data)
{
    return reflected_by_bits(0, UINT64_C(0x95ac9329ac4bc9b5), data);
}

static uint16_t crc16_by_bits(struct bytes data)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < data.len; i++) {
        crc ^= (uint32_t)data.data[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc << 1 ^ ((crc & 0x8000) != 0 ? 0x1021 : 0)) & 0xffff;
    }
    return (uint16_t)crc;
}

static void published_check_values_are_met(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_portable(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc64(0, "123456789", 9), UINT64_C(0xe9c6d914c4b8d9ca));
    assert_int_equal(crc16("123456789", 9), 0x31c3);
    assert_int_equal(hash64(0, "", 0), UINT64_C(0x2d06800538d394c2));
    uint8_t zeros[32] = {0};
    assert_int_equal(crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa); /* RFC 3720, B.4 */
    memset(zeros, 0xff, sizeof(zeros));
    assert_int_equal(crc32c(0, zeros, sizeof(zeros)), 0x62a8ab43);
}

static void nothing_has_the_seed_as_its_checksum(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "", 0), 0);
    assert_int_equal(crc32c(77, "", 0), 77);
    assert_int_equal(crc32c_portable(77, "", 0), 77);
    assert_int_equal(crc64(77, "", 0), 77);
    assert_int_equal(crc16("", 0), 0);
}

static void each_short_length_and_alignment_agrees_with_the_definition(void **state)
{
    (void)state;
    uint8_t *sample = make_sample();
    for (size_t align = 0; align < 8; align++) {
        for (size_t len = 0; len <= 70; len++) {
            struct bytes data = bytes_make(sample + align, len);
            assert_int_equal(crc32c(0, data.data, len), crc32c_by_bits(data));
            assert_int_equal(crc32c_portable(0, data.data, len), crc32c_by_bits(data));
            assert_int_equal(crc64(0, data.data, len), crc64_by_bits(data));
            assert_int_equal(crc16(data.data, len), crc16_by_bits(data));
        }
    }
    mem_free(sample);
}

static void lengths_around_the_stream_sizes_agree_with_the_definition(void **state)
{
    (void)state;
    static const size_t lens[] = {255,  256,   257,   767,   768,         769,  776,
                                  1535, 1536,  1544,  6143,  6144,        6145, 6911,
                                  6912, 12288, 13056, 13057, SAMPLE_BYTES};
    uint8_t *sample = make_sample();
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct bytes data = bytes_make(sample, lens[i]);
        assert_int_equal(crc32c(0, data.data, data.len), crc32c_by_bits(data));
        assert_int_equal(crc32c_portable(0, data.data, data.len), crc32c_by_bits(data));
        assert_int_equal(crc64(0, data.data, data.len), crc64_by_bits(data));
    }
    mem_free(sample);
}

static void checksums_of_parts_join_at_each_split(void **state)
{
    (void)state;
    uint8_t *sample = make_sample();
    uint32_t whole32 = crc32c(0, sample, 900);
    uint64_t whole64 = crc64(0, sample, 900);
    for (size_t split = 0; split <= 900; split++) {
        const uint8_t *rest = sample + split;
        assert_int_equal(crc32c(crc32c(0, sample, split), rest, 900 - split), whole32);
        assert_int_equal(crc32c_portable(crc32c(0, sample, split), rest, 900 - split), whole32);
        assert_int_equal(crc64(crc64(0, sample, split), rest, 900 - split), whole64);
    }
    mem_free(sample);
}

static void hash_depends_on_the_seed(void **state)
{
    (void)state;
    assert_int_equal(hash64(1, "key", 3), hash64(1, "key", 3));
    assert_int_not_equal(hash64(1, "key", 3), hash64(2, "key", 3));
    assert_int_not_equal(hash64(1, "", 0), hash64(2, "", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(published_check_values_are_met),
        TEST(nothing_has_the_seed_as_its_checksum),
        TEST(each_short_length_and_alignment_agrees_with_the_definition),
        TEST(lengths_around_the_stream_sizes_agree_with_the_definition),
        TEST(checksums_of_parts_join_at_each_split),
        TEST(hash_depends_on_the_seed),
    };
    return RUN_TESTS("checksum", tests);
}
