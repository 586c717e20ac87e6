/* LZF: what is compressed comes back; damage is refused or gives as many bytes, never more. */
#include "codec/lzf.h"
#include "codec/mem.h"
#include "tests/support/harness.h"

static void repetitive_text_shrinks_and_comes_back(void **state)
{
    (void)state;
    uint8_t text[1000];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)("abcdefg"[i % 7]);
    for (size_t len = 21; len <= sizeof(text); len += 13) {
        uint8_t packed[1000];
        uint8_t again[1000];
        size_t packed_len = lzf_encode(bytes_make(text, len), packed, len - 4);
        assert_true(packed_len > 0 && packed_len <= len - 4);
        assert_true(len <= lzf_decoded_bytes_max(packed_len));
        struct bytes in = bytes_make(packed, packed_len);
        assert_status(lzf_decode(in, again, len), ST_OK);
        assert_memory_equal(again, text, len);
        assert_status(lzf_decode(in, again, len - 1), ST_CORRUPT);
        if (len < sizeof(again))
            assert_status(lzf_decode(in, again, len + 1), ST_CORRUPT);
    }
}

static void a_long_run_reaches_the_highest_ratio(void **state)
{
    (void)state;
    size_t len = 1 << 20;
    uint8_t *text = mem_calloc(len, 1);
    uint8_t *packed = mem_alloc(len);
    size_t packed_len = lzf_encode(bytes_make(text, len), packed, len);
    assert_true(packed_len > 0);
    assert_true(len <= lzf_decoded_bytes_max(packed_len));
    assert_true(len >= lzf_decoded_bytes_max(packed_len) / 100 * 99);
    memset(text, 1, len);
    assert_status(lzf_decode(bytes_make(packed, packed_len), text, len), ST_OK);
    assert_int_equal(text[0] | text[len - 1], 0);
    mem_free(packed);
    mem_free(text);
}

static void what_does_not_shrink_is_left_alone(void **state)
{
    (void)state;
    uint8_t text[64];
    uint8_t packed[64];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 37);
    assert_int_equal(lzf_encode(bytes_make(text, sizeof(text)), packed, sizeof(text) - 4), 0);
    assert_int_equal(lzf_encode(bytes_make(NULL, 0), packed, sizeof(packed)), 0);
    assert_int_equal(lzf_encode(bytes_make(text, sizeof(text)), packed, 0), 0);
    assert_status(lzf_decode(bytes_make(NULL, 0), packed, 1), ST_CORRUPT);
    assert_status(lzf_decode(bytes_make(text, 1), packed, 0), ST_CORRUPT);
}

static void truncated_and_flipped_input_never_writes_beyond_the_output(void **state)
{
    (void)state;
    uint8_t text[200];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i / 9);
    uint8_t packed[200];
    size_t packed_len = lzf_encode(bytes_make(text, sizeof(text)), packed, sizeof(packed));
    assert_true(packed_len > 0);
    for (size_t len = 0; len < packed_len; len++) {
        uint8_t *out = mem_alloc(sizeof(text)); /* the sanitizer sees its end */
        assert_status(lzf_decode(bytes_make(packed, len), out, sizeof(text)), ST_CORRUPT);
        mem_free(out);
    }
    for (size_t at = 0; at < packed_len; at++) {
        for (int flip = 1; flip < 256; flip++) {
            uint8_t *in = mem_dup(packed, packed_len);
            uint8_t *out = mem_alloc(sizeof(text));
            in[at] ^= (uint8_t)flip;
            enum status st = lzf_decode(bytes_make(in, packed_len), out, sizeof(text));
            assert_true(st == ST_OK || st == ST_CORRUPT);
            mem_free(out);
            mem_free(in);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(repetitive_text_shrinks_and_comes_back),
        TEST(a_long_run_reaches_the_highest_ratio),
        TEST(what_does_not_shrink_is_left_alone),
        TEST(truncated_and_flipped_input_never_writes_beyond_the_output),
    };
    return RUN_TESTS("lzf", tests);
}
