/* Goal: requests are found whole whatever way they arrive in, and what Redis refuses is refused
 * with its words. Method: each text of a table is fed as a whole, one byte at a time, split at each
 * place, and in memory that moves between the calls; all ways must give the same requests. */
#include "codec/resp_parse.h"

#include "codec/buf.h"
#include "codec/mem.h"
#include "tests/support/harness.h"

#include <stdio.h>

static const struct resp_limits normal = {.bulk_bytes_max = 512 * 1024 * 1024};
static const struct resp_limits unauthenticated = {.bulk_bytes_max = 512 * 1024 * 1024,
                                                   .unauthenticated = true};

/* What a text was parsed to: "[a|b]" for a request, with '=' behind it if it was canonical, "[]"
 * for an empty one, "!error". */
struct transcript {
    struct buf text;
};

static void note_request(struct transcript *t, const struct resp_parser *parser)
{
    buf_append_text(&t->text, "[");
    for (int i = 0; i < parser->argc; i++) {
        if (i > 0)
            buf_append_text(&t->text, "|");
        buf_append_bytes(&t->text, parser->argv[i]);
    }
    buf_append_text(&t->text, parser->canonical ? "]=" : "]");
}

/* Feeds `text` in pieces: the first `first` bytes, then `step` bytes each. Each call sees the bytes
 * in fresh memory of exactly their size. */
static void feed(struct transcript *t, struct bytes text, size_t first, size_t step,
                 const struct resp_limits *limits)
{
    struct resp_parser parser = {0};
    size_t start = 0;
    size_t end = first < text.len ? first : text.len;
    bool failed = false;
    while (!failed) {
        uint8_t *copy = end > start ? mem_dup(text.data + start, end - start) : NULL;
        enum resp_parse_result result = resp_parse(&parser, copy, end - start, limits);
        switch (result) {
        case RESP_PARSE_REQUEST:
            note_request(t, &parser);
            start += parser.consumed;
            break;
        case RESP_PARSE_EMPTY:
            buf_append_text(&t->text, "[]");
            start += parser.consumed;
            break;
        case RESP_PARSE_ERROR:
            buf_append_format(&t->text, "!%s", parser.error);
            failed = true;
            break;
        case RESP_PARSE_MORE:
            assert_true(parser.needed == 0 || parser.needed > end - start);
            break;
        }
        mem_free(copy);
        if (result == RESP_PARSE_MORE) {
            if (end == text.len)
                break;
            end = text.len - end < step ? text.len : end + step;
        }
    }
    resp_parser_deinit(&parser);
}

static void assert_parses(struct bytes text, size_t first, size_t step,
                          const struct resp_limits *limits, const char *expected)
{
    struct transcript t = {0};
    feed(&t, text, first, step, limits);
    assert_bytes(buf_bytes(&t.text), bytes_text(expected));
    buf_deinit(&t.text);
}

static const struct {
    const char *text;
    const char *expected;
} cases[] = {
    {"*1\r\n$4\r\nPING\r\n", "[PING]="},
    {"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", "[SET|k|]="},
    {"*2\r\n$3\r\nGET\r\n$12\r\nabcdefghijkl\r\n*1\r\n$1\r\nx\r\n", "[GET|abcdefghijkl]=[x]="},
    {"*2\r\n$2\r\n\r\n\r\n$4\r\n*1\r\n\r\n", "[\r\n|*1\r\n]="},
    {"*10\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n$"
     "1\r\n7\r\n"
     "$1\r\n8\r\n$1\r\n9\r\n",
     "[0|1|2|3|4|5|6|7|8|9]="},
    /* No request at all. */
    {"", ""},
    {"*0\r\n", "[]"},
    {"*-1\r\n*-10\r\nPING\r\n", "[][][PING]"},
    {"\r\n\n   \r\n", "[][][]"},
    /* Inline. */
    {"PING\r\n", "[PING]"},
    {"PING\n", "[PING]"},
    {"set  k \"a b\\x41\" 'c d'\r\nGET k\n", "[set|k|a bA|c d][GET|k]"},
    {"$4\r\n", "[$4]"},
    {"SET k \"a\r\n", "!Protocol error: unbalanced quotes in request"},
    {"SET k 'a'b\r\n", "!Protocol error: unbalanced quotes in request"},
    /* Lenient, and then not canonical. */
    {"*1\rx$4\r\nPING\r\n", "[PING]"},
    {"*1\r\n$4\rxPING\r\n", "[PING]"},
    {"*1\r\n$4\r\nPINGxy*1\r\n$1\r\nx\r\n", "[PING][x]="},
    /* Counts. */
    {"*2147483648\r\n", "!Protocol error: invalid multibulk length"},
    {"*99999999999999999999\r\n", "!Protocol error: invalid multibulk length"},
    {"*01\r\n$1\r\nx\r\n", "!Protocol error: invalid multibulk length"},
    {"*+1\r\n", "!Protocol error: invalid multibulk length"},
    {"*\r\n", "!Protocol error: invalid multibulk length"},
    {"*a\r\n", "!Protocol error: invalid multibulk length"},
    {"*3 \r\n", "!Protocol error: invalid multibulk length"},
    {"*20000000000000\r\n", "!Protocol error: invalid multibulk length"},
    /* Lengths. */
    {"*1\r\n$-1\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$536870913\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$00\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$2000000000000000000000000000\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$x\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\nPING\r\n", "!Protocol error: expected '$', got 'P'"},
    {"*2\r\n$1\r\nx\r\n*1\r\n", "!Protocol error: expected '$', got '*'"},
    {"*1\r\n\r\n\r\n", "!Protocol error: expected '$', got '\r'"},
};
#define CASE_COUNT (sizeof(cases) / sizeof(cases[0]))

static void requests_are_found_when_they_come_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        struct bytes text = bytes_text(cases[i].text);
        assert_parses(text, text.len, 1, &normal, cases[i].expected);
    }
}

static void requests_are_found_one_byte_at_a_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASE_COUNT; i++)
        assert_parses(bytes_text(cases[i].text), 0, 1, &normal, cases[i].expected);
}

static void requests_are_found_at_each_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        struct bytes text = bytes_text(cases[i].text);
        for (size_t split = 0; split <= text.len; split++)
            assert_parses(text, split, text.len, &normal, cases[i].expected);
    }
}

static void an_incomplete_request_says_what_it_needs(void **state)
{
    (void)state;
    struct resp_parser parser = {0};
    static const char head[] = "*2\r\n$3\r\nGET\r\n$100000\r\nab";
    struct bytes text = bytes_text(head);
    assert_int_equal(resp_parse(&parser, text.data, text.len, &normal), RESP_PARSE_MORE);
    assert_int_equal(parser.needed, strlen("*2\r\n$3\r\nGET\r\n$100000\r\n") + 100002);
    resp_parser_deinit(&parser);
}

static void the_largest_bulk_length_is_allowed(void **state)
{
    (void)state;
    struct resp_parser parser = {0};
    struct bytes text = bytes_text("*1\r\n$536870912\r\n");
    assert_int_equal(resp_parse(&parser, text.data, text.len, &normal), RESP_PARSE_MORE);
    assert_int_equal(parser.needed, text.len + 536870914);
    resp_parser_deinit(&parser);
}

static void limits_before_authentication_are_tight(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *expected;
    } limited[] = {
        {"*10\r\n", ""},
        {"*11\r\n", "!Protocol error: unauthenticated multibulk length"},
        {"*1\r\n$16384\r\n", ""},
        {"*1\r\n$16385\r\n", "!Protocol error: unauthenticated bulk length"},
        {"*1\r\n$600000000\r\n", "!Protocol error: invalid bulk length"},
        {"*11\r\r", "!Protocol error: unauthenticated multibulk length"},
        {"*1\r\n$16385\r\r", "!Protocol error: unauthenticated bulk length"},
    };
    for (size_t i = 0; i < sizeof(limited) / sizeof(limited[0]); i++) {
        struct bytes text = bytes_text(limited[i].text);
        assert_parses(text, text.len, 1, &unauthenticated, limited[i].expected);
    }
}

/* `head` and then so many 'a's that the line has `len` bytes, without an end. */
static void assert_endless_line(const char *head, size_t line_start, size_t len,
                                const char *expected)
{
    struct buf text = {0};
    buf_append_text(&text, head);
    size_t total = line_start + len;
    while (text.len < total)
        buf_append_byte(&text, '1');
    assert_parses(buf_bytes(&text), text.len, 1, &normal, expected);
    buf_deinit(&text);
}

static void lines_without_end_are_refused_beyond_64_kib(void **state)
{
    (void)state;
    assert_endless_line("P", 0, RESP_LINE_BYTES_MAX, "");
    assert_endless_line("P", 0, RESP_LINE_BYTES_MAX + 1, "!Protocol error: too big inline request");
    assert_endless_line("*", 0, RESP_LINE_BYTES_MAX, "");
    assert_endless_line("*", 0, RESP_LINE_BYTES_MAX + 1,
                        "!Protocol error: too big mbulk count string");
    assert_endless_line("*1\r\n$", 4, RESP_LINE_BYTES_MAX, "");
    assert_endless_line("*1\r\n$", 4, RESP_LINE_BYTES_MAX + 1,
                        "!Protocol error: too big bulk count string");
}

static void a_zero_byte_makes_an_inline_line_endless(void **state)
{
    (void)state;
    assert_parses(bytes_make("\0PING\r\nPING\r\n", 13), 13, 1, &normal, "");
    struct buf text = {0};
    buf_append_byte(&text, 0);
    while (text.len <= RESP_LINE_BYTES_MAX)
        buf_append_text(&text, "AAAAAAAAAAAA\n");
    assert_parses(buf_bytes(&text), text.len, 1, &normal,
                  "!Protocol error: too big inline request");
    buf_deinit(&text);
}

static void arguments_point_into_the_data(void **state)
{
    (void)state;
    struct resp_parser parser = {0};
    struct bytes text = bytes_text("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    assert_int_equal(resp_parse(&parser, text.data, text.len, &normal), RESP_PARSE_REQUEST);
    assert_int_equal(parser.consumed, text.len);
    assert_ptr_equal(parser.argv[0].data, text.data + 8);
    assert_ptr_equal(parser.argv[1].data, text.data + 17);
    resp_parser_deinit(&parser);
}

static void memory_for_many_arguments_is_given_back(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_append_text(&text, "*100000\r\n");
    for (int i = 0; i < 100000; i++)
        buf_append_text(&text, "$1\r\nx\r\n");
    struct resp_parser parser = {0};
    assert_int_equal(resp_parse(&parser, text.data, text.len, &normal), RESP_PARSE_REQUEST);
    assert_int_equal(parser.argc, 100000);
    assert_true(parser.canonical);
    assert_true(resp_parser_memory(&parser) >= 1600000);
    resp_parser_trim(&parser);
    assert_int_equal(resp_parser_memory(&parser), 0);
    assert_int_equal(resp_parse(&parser, text.data, 1000, &normal), RESP_PARSE_MORE);
    size_t held = resp_parser_memory(&parser);
    resp_parser_trim(&parser);
    assert_int_equal(resp_parser_memory(&parser), held);
    assert_int_equal(resp_parse(&parser, text.data, text.len, &normal), RESP_PARSE_REQUEST);
    resp_parser_deinit(&parser);
    buf_deinit(&text);
}

/* A count costs nothing before its arguments come. */
static void an_announced_count_takes_no_memory(void **state)
{
    (void)state;
    struct resp_parser parser = {0};
    struct bytes text = bytes_text("*2147483647\r\n$1\r\nx\r\n");
    assert_int_equal(resp_parse(&parser, text.data, text.len, &normal), RESP_PARSE_MORE);
    assert_true(resp_parser_memory(&parser) <= 256);
    resp_parser_deinit(&parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_are_found_when_they_come_whole),
        TEST(requests_are_found_one_byte_at_a_time),
        TEST(requests_are_found_at_each_split),
        TEST(an_incomplete_request_says_what_it_needs),
        TEST(the_largest_bulk_length_is_allowed),
        TEST(limits_before_authentication_are_tight),
        TEST(lines_without_end_are_refused_beyond_64_kib),
        TEST(a_zero_byte_makes_an_inline_line_endless),
        TEST(arguments_point_into_the_data),
        TEST(memory_for_many_arguments_is_given_back),
        TEST(an_announced_count_takes_no_memory),
    };
    return RUN_TESTS("resp_parse", tests);
}
