/* Zstd frames: contents come back with and without a context; every truncation and every
 * single-byte flip is refused; limits hold. */
#include "codec/compress.h"
#include "tests/support/harness.h"

static void contents_come_back(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 100, 70000};
    static const int levels[] = {COMPRESS_LEVEL_MIN, COMPRESS_LEVEL_DEFAULT, COMPRESS_LEVEL_MAX};
    struct compress_context *context = compress_context_create();
    struct buf text = {0};
    for (int i = 0; i < 7000; i++)
        buf_append_format(&text, "line %05d", i);
    for (size_t i = 0; i < 4 * 3 * 2; i++) {
        struct compress_context *used = i % 2 == 0 ? context : NULL;
        struct bytes in = bytes_make(text.data, lens[i / 2 % 4]);
        struct buf packed = {0};
        struct buf again = {0};
        buf_append_text(&packed, "<");
        buf_append_text(&again, ">");
        assert_ok(compress_encode(used, levels[i / 8], in, &packed, NULL), NULL);
        struct bytes frame = bytes_make(packed.data + 1, packed.len - 1);
        assert_ok(compress_decode(used, frame, in.len, &again, NULL), NULL);
        assert_int_equal(packed.data[0], '<');
        assert_int_equal(again.data[0], '>');
        assert_bytes(bytes_make(again.data + 1, again.len - 1), in);
        buf_deinit(&packed);
        buf_deinit(&again);
    }
    buf_deinit(&text);
    compress_context_destroy(context);
    compress_context_destroy(NULL);
}

static void a_claim_beyond_the_limit_is_refused_before_it_is_allocated(void **state)
{
    (void)state;
    struct buf packed = {0};
    struct buf again = {0};
    struct err err;
    assert_ok(compress_encode(NULL, 1, bytes_text("hello"), &packed, NULL), NULL);
    assert_status(compress_decode(NULL, buf_bytes(&packed), 4, &again, &err), ST_LIMIT);
    assert_null(again.data);
    assert_ok(compress_decode(NULL, buf_bytes(&packed), 5, &again, &err), &err);
    assert_bytes(buf_bytes(&again), bytes_text("hello"));
    buf_deinit(&packed);
    buf_deinit(&again);
}

static void truncated_flipped_and_joined_frames_are_refused(void **state)
{
    (void)state;
    struct compress_context *context = compress_context_create();
    struct buf packed = {0};
    struct buf again = {0};
    struct bytes text = bytes_text("to be or not to be, that is to be the question not to be");
    assert_ok(compress_encode(context, 3, text, &packed, NULL), NULL);
    for (size_t len = 0; len < packed.len; len++) {
        enum status st = compress_decode(context, bytes_make(packed.data, len), 100, &again, NULL);
        assert_int_equal(st, ST_CORRUPT);
    }
    for (size_t at = 0; at < packed.len; at++) {
        for (int flip = 1; flip < 256; flip++) {
            packed.data[at] ^= (uint8_t)flip;
            enum status st = compress_decode(context, buf_bytes(&packed), 100, &again, NULL);
            /* Of the frame's descriptor, one bit is unused; and the size may become too large. */
            if (st == ST_OK)
                assert_bytes(buf_bytes(&again), text);
            else
                assert_true(st == ST_CORRUPT || st == ST_LIMIT);
            buf_clear(&again);
            packed.data[at] ^= (uint8_t)flip;
        }
    }
    assert_ok(compress_encode(context, 3, text, &packed, NULL), NULL);
    assert_status(compress_decode(context, buf_bytes(&packed), 200, &again, NULL), ST_CORRUPT);
    assert_int_equal(again.len, 0);
    assert_status(compress_decode(context, bytes_text("text"), 200, &again, NULL), ST_CORRUPT);
    buf_deinit(&packed);
    buf_deinit(&again);
    compress_context_destroy(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(contents_come_back),
        TEST(a_claim_beyond_the_limit_is_refused_before_it_is_allocated),
        TEST(truncated_flipped_and_joined_frames_are_refused),
    };
    return RUN_TESTS("compress", tests);
}
