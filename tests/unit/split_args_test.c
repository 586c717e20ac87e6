/* Goal: lines split as Redis splits inline commands and configuration lines.
 * Method: a table of lines with their arguments joined by '|', and what is refused. */
#include "tests/support/harness.h"

#include "codec/split_args.h"

struct split_case {
    const char *line;
    const char *joined; /* NULL: unbalanced quotes */
};

static const struct split_case cases[] = {
    {"", ""},
    {"  \t\v\f ", ""},
    {"set key value", "set|key|value"},
    {"  set\tkey  value\r\n", "set|key|value"},
    {"a\vb", "a\vb"}, /* a vertical tab separates only where blanks are skipped */
    {"\va", "a"},
    {"\"\"", ""},
    {"save \"\"", "save|"},
    {"\"a b\" c", "a b|c"},
    {"x\"a b\"", "xa b"},
    {"\"\\x41\\n\\r\\t\\b\\a\\q\\\"\\\\\"", "A\n\r\t\b\aq\"\\"},
    {"\"\\x4\"", "x4"},
    {"\"\\xZZ\"", "xZZ"},
    {"'a \\n \\' b'", "a \\n ' b"},
    {"'\\'", NULL},
    {"\"abc", NULL},
    {"'abc", NULL},
    {"\"abc\"d", NULL},
    {"'abc'd", NULL},
    {"\"abc\\\"", NULL},
    {"\"abc\\", NULL},
    {"a 'b' \"c\" d'e'", "a|b|c|de"},
};

static void lines_split_as_in_redis(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct split_args args;
        bool ok = split_args(bytes_text(cases[i].line), &args);
        if (ok != (cases[i].joined != NULL))
            fail_msg("case %zu: '%s'", i, cases[i].line);
        struct buf joined = {0};
        for (size_t j = 0; j < args.count; j++) {
            if (j > 0)
                buf_append_byte(&joined, '|');
            buf_append_bytes(&joined, args.items[j]);
            assert_int_equal(args.items[j].data[args.items[j].len], 0);
        }
        assert_bytes(buf_bytes(&joined), bytes_text(ok ? cases[i].joined : ""));
        buf_deinit(&joined);
        split_args_deinit(&args);
    }
}

static void zero_byte_ends_the_line(void **state)
{
    (void)state;
    struct split_args args;
    assert_true(split_args(bytes_make("a b\0 c", 6), &args));
    assert_int_equal(args.count, 2);
    split_args_deinit(&args);
}

static void empty_range_has_no_arguments(void **state)
{
    (void)state;
    struct split_args args;
    assert_true(split_args((struct bytes){0}, &args));
    assert_int_equal(args.count, 0);
    split_args_deinit(&args);
}

static void quoted_bytes_read_back_as_they_were(void **state)
{
    (void)state;
    uint8_t all[256];
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (uint8_t)i;
    struct buf line = {0};
    split_args_quote(&line, bytes_make(all, sizeof(all)));
    struct split_args args;
    assert_true(split_args(buf_bytes(&line), &args));
    assert_int_equal(args.count, 1);
    assert_bytes(args.items[0], bytes_make(all, sizeof(all)));
    split_args_deinit(&args);
    buf_clear(&line);
    split_args_quote(&line, bytes_text("a\"b\\\n\x01"));
    assert_bytes(buf_bytes(&line), bytes_text("\"a\\\"b\\\\\\n\\x01\""));
    buf_deinit(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_split_as_in_redis),
        TEST(zero_byte_ends_the_line),
        TEST(empty_range_has_no_arguments),
        TEST(quoted_bytes_read_back_as_they_were),
    };
    return RUN_TESTS("split_args", tests);
}
