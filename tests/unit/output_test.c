/* Goal: what is appended comes out in order and whole, however it was appended, split over blocks
 * and consumed. Method: each case is compared with a plain buffer that was given the same bytes. */
#include "server/output.h"

#include "codec/buf.h"
#include "codec/mem.h"
#include "tests/support/harness.h"

static const size_t sizes[] = {0,    1,     7,     100,   4096,  5079,   5080,  5081,
                               5120, 14295, 14296, 14297, 20000, 100000, 32768, 3};
#define SIZE_COUNT (sizeof(sizes) / sizeof(sizes[0]))

/* Bytes that tell their place. */
static void fill(uint8_t *data, size_t len, uint32_t *seed)
{
    for (size_t i = 0; i < len; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(*seed >> 24);
    }
}

static void append_both(struct output *out, struct buf *expected, size_t len, uint32_t *seed)
{
    uint8_t *data = mem_alloc(len + 1);
    fill(data, len, seed);
    output_append(out, data, len);
    buf_append(expected, data, len);
    mem_free(data);
}

static void read_all(const struct output *out, struct buf *into)
{
    struct bytes ranges[64];
    size_t count = output_peek(out, ranges, 64);
    for (size_t i = 0; i < count; i++)
        buf_append_bytes(into, ranges[i]);
}

static void assert_content(const struct output *out, struct bytes expected)
{
    struct buf actual = {0};
    read_all(out, &actual);
    assert_int_equal(output_bytes(out), expected.len);
    assert_bytes(buf_bytes(&actual), expected);
    buf_deinit(&actual);
}

static void an_empty_output_holds_no_memory(void **state)
{
    (void)state;
    struct output_pool pool = {0};
    struct output out;
    output_init(&out, &pool);
    struct bytes range;
    assert_int_equal(output_bytes(&out), 0);
    assert_int_equal(output_peek(&out, &range, 1), 0);
    output_consume(&out, 0);
    output_append(&out, "x", 1);
    assert_true(output_memory(&out) > 0);
    output_consume(&out, 1);
    assert_int_equal(output_memory(&out), 0);
    assert_int_equal(pool.small_count, 1);
    output_append(&out, "x", 1);
    assert_int_equal(pool.small_count, 0);
    output_deinit(&out);
    output_pool_deinit(&pool);
}

static void appended_bytes_come_out_in_order(void **state)
{
    (void)state;
    for (size_t first = 0; first < SIZE_COUNT; first++) {
        struct output *out = output_create();
        struct buf expected = {0};
        uint32_t seed = (uint32_t)first;
        for (size_t i = 0; i < SIZE_COUNT; i++)
            append_both(out, &expected, sizes[(first + i) % SIZE_COUNT], &seed);
        assert_content(out, buf_bytes(&expected));
        buf_deinit(&expected);
        output_destroy(out);
    }
}

static void reserved_pieces_are_contiguous(void **state)
{
    (void)state;
    struct output *out = output_create();
    struct buf expected = {0};
    for (size_t i = 1; i < 200; i++) {
        uint8_t *place = output_reserve(out, OUTPUT_RESERVE_BYTES_MAX);
        memset(place, (int)i, i);
        output_commit(out, i);
        memset(buf_reserve(&expected, i), (int)i, i);
        expected.len += i;
    }
    assert_content(out, buf_bytes(&expected));
    buf_deinit(&expected);
    output_destroy(out);
}

static void consuming_in_any_steps_leaves_the_rest(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 13, 5079, 5080, 5081, 40000};
    for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
        struct output_pool pool = {0};
        struct output out;
        output_init(&out, &pool);
        struct buf expected = {0};
        uint32_t seed = 1;
        for (size_t i = 0; i < 8; i++)
            append_both(&out, &expected, sizes[i], &seed);
        int appended = 0;
        while (expected.len > 0) {
            size_t step = steps[s] < expected.len ? steps[s] : expected.len;
            output_consume(&out, step);
            buf_consume(&expected, step);
            if (steps[s] > 1 || expected.len % 512 == 0)
                assert_content(&out, buf_bytes(&expected));
            if (appended < 5) {
                append_both(&out, &expected, 2, &seed);
                appended++;
            }
        }
        assert_int_equal(output_memory(&out), 0);
        buf_deinit(&expected);
        output_deinit(&out);
        output_pool_deinit(&pool);
    }
}

static void peek_gives_no_more_ranges_than_asked_for(void **state)
{
    (void)state;
    struct output *out = output_create();
    struct buf expected = {0};
    uint32_t seed = 5;
    for (int i = 0; i < 10; i++)
        append_both(out, &expected, 14000, &seed);
    struct bytes ranges[2];
    assert_int_equal(output_peek(out, ranges, 2), 2);
    assert_bytes(ranges[0], bytes_make(expected.data, ranges[0].len));
    assert_true(output_block_count(out) > 2);
    buf_deinit(&expected);
    output_destroy(out);
}

static void a_mark_is_filled_before_what_came_later(void **state)
{
    (void)state;
    for (size_t before = 0; before < SIZE_COUNT; before++) {
        for (size_t behind = 0; behind < SIZE_COUNT; behind++) {
            struct output *out = output_create();
            struct buf expected = {0};
            uint32_t seed = 9;
            append_both(out, &expected, sizes[before], &seed);
            void *mark = output_mark(out);
            buf_append_text(&expected, "*12\r\n");
            append_both(out, &expected, sizes[behind], &seed);
            output_fill_mark(out, mark, "*12\r\n", 5);
            append_both(out, &expected, 50, &seed);
            assert_content(out, buf_bytes(&expected));
            buf_deinit(&expected);
            output_destroy(out);
        }
    }
}

static void marks_nest_like_brackets(void **state)
{
    (void)state;
    struct output *out = output_create();
    void *outer = output_mark(out);
    void *inner = output_mark(out);
    output_append(out, "c", 1);
    output_fill_mark(out, inner, "b", 1);
    void *second = output_mark(out);
    output_fill_mark(out, second, "", 0);
    output_append(out, "d", 1);
    output_fill_mark(out, outer, "aaaaaaaaaaaaaaaaaaaaaaaa", OUTPUT_MARK_BYTES_MAX);
    assert_content(out, bytes_text("aaaaaaaaaaaaaaaaaaaaaaaabcd"));
    output_destroy(out);
}

static void splicing_moves_everything_behind(void **state)
{
    (void)state;
    for (size_t a = 0; a < SIZE_COUNT; a++) {
        for (size_t b = 0; b < SIZE_COUNT; b++) {
            struct output *out = output_create();
            struct output *from = output_create();
            struct buf expected = {0};
            struct buf all = {0};
            uint32_t seed = 3;
            append_both(out, &all, sizes[a], &seed);
            append_both(from, &expected, sizes[b], &seed);
            append_both(from, &expected, 6000, &seed);
            output_consume(from, 10);
            buf_consume(&expected, 10);
            output_splice(out, from);
            buf_append_bytes(&all, buf_bytes(&expected));
            append_both(out, &all, 100, &seed);
            assert_content(out, buf_bytes(&all));
            assert_int_equal(output_bytes(from), 0);
            assert_int_equal(output_memory(from), 0);
            output_consume(out, output_bytes(out));
            assert_int_equal(output_memory(out), 0);
            buf_deinit(&expected);
            buf_deinit(&all);
            output_destroy(out);
            output_destroy(from);
        }
    }
}

static void truncating_drops_only_what_is_behind(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        struct output *out = output_create();
        struct buf expected = {0};
        uint32_t seed = 4;
        append_both(out, &expected, sizes[i], &seed);
        append_both(out, &expected, 5100, &seed);
        output_consume(out, 50);
        buf_consume(&expected, 50);
        size_t kept = sizes[i] < expected.len ? sizes[i] : expected.len;
        output_truncate(out, kept);
        expected.len = kept;
        assert_content(out, buf_bytes(&expected));
        append_both(out, &expected, 30, &seed);
        assert_content(out, buf_bytes(&expected));
        output_truncate(out, 0);
        assert_int_equal(output_memory(out), 0);
        buf_deinit(&expected);
        output_destroy(out);
    }
}

static void expected_bytes_get_one_block(void **state)
{
    (void)state;
    struct output *out = output_create();
    output_append(out, "$100000\r\n", 9);
    output_expect(out, 100002);
    static const uint8_t piece[1000];
    for (int i = 0; i < 100; i++)
        output_append(out, piece, sizeof(piece));
    output_append(out, "\r\n", 2);
    assert_int_equal(output_block_count(out), 2);
    assert_int_equal(output_bytes(out), 100011);
    output_destroy(out);
}

static struct output_shared *share(struct buf *copy, size_t len, uint32_t *seed)
{
    struct buf bytes = {0};
    fill(buf_reserve(&bytes, len), len, seed);
    bytes.len = len;
    buf_append_bytes(copy, buf_bytes(&bytes));
    return output_shared_create(&bytes);
}

static void shared_bytes_stand_between_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        struct output_pool pool = {0};
        struct output out;
        output_init(&out, &pool);
        struct buf expected = {0};
        uint32_t seed = 11;
        append_both(&out, &expected, sizes[i], &seed);
        struct output_shared *shared = share(&expected, 6000, &seed);
        output_append_shared(&out, shared);
        append_both(&out, &expected, sizes[SIZE_COUNT - 1 - i], &seed);
        output_shared_unref(shared);
        assert_content(&out, buf_bytes(&expected));
        assert_true(output_memory(&out) >= expected.len);
        while (expected.len > 0) {
            size_t step = expected.len < 777 ? expected.len : 777;
            output_consume(&out, step);
            buf_consume(&expected, step);
            assert_content(&out, buf_bytes(&expected));
        }
        assert_int_equal(output_memory(&out), 0);
        buf_deinit(&expected);
        output_deinit(&out);
        output_pool_deinit(&pool);
    }
}

static void outputs_that_share_bytes_do_not_change_them(void **state)
{
    (void)state;
    struct buf expected = {0};
    struct output *outs[3];
    uint32_t seed = 12;
    struct output_shared *shared = share(&expected, 5000, &seed);
    for (size_t i = 0; i < 3; i++) {
        outs[i] = output_create();
        output_append_shared(outs[i], shared);
    }
    output_shared_unref(shared);
    output_truncate(outs[0], 2000);
    output_append(outs[0], "behind", 6);
    output_append(outs[1], "behind", 6);
    struct output *all = output_create();
    output_append(all, "before", 6);
    output_splice(all, outs[1]);
    assert_int_equal(output_bytes(all), 5012);
    output_destroy(all);
    assert_int_equal(output_bytes(outs[0]), 2006);
    output_clear(outs[0]);
    assert_content(outs[2], buf_bytes(&expected));
    for (size_t i = 0; i < 3; i++)
        output_destroy(outs[i]);
    buf_deinit(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_output_holds_no_memory),
        TEST(appended_bytes_come_out_in_order),
        TEST(reserved_pieces_are_contiguous),
        TEST(consuming_in_any_steps_leaves_the_rest),
        TEST(peek_gives_no_more_ranges_than_asked_for),
        TEST(a_mark_is_filled_before_what_came_later),
        TEST(marks_nest_like_brackets),
        TEST(splicing_moves_everything_behind),
        TEST(truncating_drops_only_what_is_behind),
        TEST(expected_bytes_get_one_block),
        TEST(shared_bytes_stand_between_others),
        TEST(outputs_that_share_bytes_do_not_change_them),
    };
    return RUN_TESTS("output", tests);
}
