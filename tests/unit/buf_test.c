/* Goal: the growable buffer keeps its bytes in order through growth, consumption and shrinking. */
#include "codec/buf.h"

#include "codec/mem.h"
#include "tests/support/harness.h"

static void zeroed_buffer_is_empty_and_usable(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_bytes(buf_bytes(&buf), bytes_text(""));
    buf_append_text(&buf, "x");
    assert_bytes(buf_bytes(&buf), bytes_text("x"));
    buf_deinit(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.capacity, 0);
}

static void appended_bytes_survive_growth_in_order(void **state)
{
    (void)state;
    struct buf buf = {0};
    for (size_t i = 0; i < 5000; i++)
        buf_append_byte(&buf, (uint8_t)(i * 7));
    assert_int_equal(buf.len, 5000);
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(buf.data[i], (uint8_t)(i * 7));
    buf_deinit(&buf);
}

static void consume_drops_the_front_and_keeps_the_rest(void **state)
{
    (void)state;
    static const struct {
        size_t consumed;
        const char *rest;
    } cases[] = {{0, "abcdef"}, {1, "bcdef"}, {5, "f"}, {6, ""}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf buf = {0};
        buf_append_text(&buf, "abcdef");
        buf_consume(&buf, cases[i].consumed);
        print_message("case %zu\n", i);
        assert_bytes(buf_bytes(&buf), bytes_text(cases[i].rest));
        buf_deinit(&buf);
    }
}

static void format_appends_text_longer_than_the_free_room(void **state)
{
    (void)state;
    struct buf buf = {0};
    buf_append_text(&buf, ">");
    buf_append_format(&buf, "%0300d|%s", 7, "end");
    assert_int_equal(buf.len, 1 + 300 + 4);
    assert_memory_equal(buf.data + 297, "0007|end", 8);
    buf_deinit(&buf);
}

static void shrink_keeps_the_bytes(void **state)
{
    (void)state;
    struct buf buf = {0};
    (void)buf_reserve(&buf, 100000);
    buf_append_text(&buf, "kept");
    buf_shrink(&buf);
    assert_true(buf.capacity < 100000);
    assert_bytes(buf_bytes(&buf), bytes_text("kept"));
    buf_deinit(&buf);
}

static void try_reserve_refuses_what_memory_cannot_hold(void **state)
{
    (void)state;
    struct buf buf = {0};
    buf_append_text(&buf, "kept");
    assert_false(buf_try_reserve(&buf, SIZE_MAX - 2));
    assert_bytes(buf_bytes(&buf), bytes_text("kept"));
    buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(zeroed_buffer_is_empty_and_usable),
        TEST(appended_bytes_survive_growth_in_order),
        TEST(consume_drops_the_front_and_keeps_the_rest),
        TEST(format_appends_text_longer_than_the_free_room),
        TEST(shrink_keeps_the_bytes),
        TEST(try_reserve_refuses_what_memory_cannot_hold),
    };
    return RUN_TESTS("buf", tests);
}
