/* Goal: every kind of reply has Redis 7.2's bytes in RESP2 and in RESP3. Method: a table of calls
 * with both expected texts. */
#include "server/reply.h"

#include "server/output.h"
#include "tests/support/harness.h"

#include <math.h>

static void say_ok(struct reply *r)
{
    reply_ok(r);
}
static void say_simple(struct reply *r)
{
    reply_simple(r, "PONG");
}
static void say_integers(struct reply *r)
{
    static const int64_t values[] = {0, 1, 9, 10, 123456, -1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        reply_integer(r, values[i]);
}
static void say_bulks(struct reply *r)
{
    reply_bulk(r, bytes_make(NULL, 0));
    reply_bulk_text(r, "hello world");
    reply_bulk_integer(r, -42);
    reply_bulk_format(r, "%s=%d", "a", 7);
}
static void say_bulk_in_parts(struct reply *r)
{
    reply_bulk_begin(r, 5);
    reply_bulk_part(r, bytes_text("he"));
    reply_bulk_part(r, bytes_text(""));
    reply_bulk_part(r, bytes_text("llo"));
    reply_bulk_end(r);
}
static void say_nulls(struct reply *r)
{
    reply_null(r);
    reply_null_array(r);
}
static void say_aggregates(struct reply *r)
{
    reply_array(r, 0);
    reply_array(r, 1000000);
    reply_map(r, 3);
    reply_set(r, 4);
    reply_push(r, 2);
}
static void say_bools(struct reply *r)
{
    reply_bool(r, true);
    reply_bool(r, false);
}
static void say_doubles(struct reply *r)
{
    reply_double(r, 1.5);
    reply_double(r, 3.0);
    reply_double(r, (double)INFINITY);
    reply_double(r, -(double)INFINITY);
    reply_double(r, 0.1);
}
static void say_long_double(struct reply *r)
{
    reply_long_double(r, 10.5L);
}
static void say_big_number(struct reply *r)
{
    reply_big_number(r, "1234567999999999999999999999999999999");
}
static void say_texts(struct reply *r)
{
    reply_text(r, bytes_text("a\nb"));
    reply_verbatim(r, bytes_text("x"), "mkd");
}
static void say_raw(struct reply *r)
{
    reply_raw(r, bytes_text("+raw\r\n"));
}
static void say_deferred(struct reply *r)
{
    struct reply_deferred outer = reply_deferred_begin(r);
    struct reply_deferred map = reply_deferred_begin(r);
    reply_integer(r, 1);
    reply_integer(r, 2);
    reply_deferred_map(r, &map, 1);
    struct reply_deferred set = reply_deferred_begin(r);
    reply_deferred_set(r, &set, 0);
    reply_deferred_array(r, &outer, 2);
}
static void say_errors(struct reply *r)
{
    reply_error(r, "ERR broken\r\nin\ntwo\r\n");
    reply_error_format(r, "WRONG %s %d", "thing", 3);
    reply_error_id(r, ERROR_WRONGTYPE);
}
static void say_subcommand_errors(struct reply *r)
{
    reply_error_subcommand(r, bytes_make("fo\0o", 4), "CLIENT");
    reply_error_subcommand_syntax(r, bytes_text("foo"), "CLIENT");
    reply_error_arity(r, "config|get");
    reply_error_expire(r, "set");
}
static void say_help(struct reply *r)
{
    static const char *const lines[] = {"GET <pattern>", "    Get.", NULL};
    reply_help(r, "CONFIG", lines);
}

static const struct {
    void (*say)(struct reply *r);
    const char *resp2;
    const char *resp3; /* NULL: the same */
} cases[] = {
    {say_ok, "+OK\r\n", NULL},
    {say_simple, "+PONG\r\n", NULL},
    {say_integers,
     ":0\r\n:1\r\n:9\r\n:10\r\n:123456\r\n:-1\r\n:9223372036854775807\r\n:-9223372036854775808\r\n",
     NULL},
    {say_bulks, "$0\r\n\r\n$11\r\nhello world\r\n$3\r\n-42\r\n$3\r\na=7\r\n", NULL},
    {say_bulk_in_parts, "$5\r\nhello\r\n", NULL},
    {say_nulls, "$-1\r\n*-1\r\n", "_\r\n_\r\n"},
    {say_aggregates, "*0\r\n*1000000\r\n*6\r\n*4\r\n*2\r\n",
     "*0\r\n*1000000\r\n%3\r\n~4\r\n>2\r\n"},
    {say_bools, ":1\r\n:0\r\n", "#t\r\n#f\r\n"},
    {say_doubles, "$3\r\n1.5\r\n$1\r\n3\r\n$3\r\ninf\r\n$4\r\n-inf\r\n$3\r\n0.1\r\n",
     ",1.5\r\n,3\r\n,inf\r\n,-inf\r\n,0.1\r\n"},
    {say_long_double, "$4\r\n10.5\r\n", ",10.5\r\n"},
    {say_big_number, "$37\r\n1234567999999999999999999999999999999\r\n",
     "(1234567999999999999999999999999999999\r\n"},
    {say_texts, "$3\r\na\nb\r\n$1\r\nx\r\n", "=7\r\ntxt:a\nb\r\n=5\r\nmkd:x\r\n"},
    {say_raw, "+raw\r\n", NULL},
    {say_deferred, "*2\r\n*2\r\n:1\r\n:2\r\n*0\r\n", "*2\r\n%1\r\n:1\r\n:2\r\n~0\r\n"},
    {say_errors,
     "-ERR broken  in two\r\n-WRONG thing 3\r\n-WRONGTYPE Operation against a key holding the "
     "wrong "
     "kind of value\r\n",
     NULL},
    {say_subcommand_errors,
     "-ERR unknown subcommand 'fo'. Try CLIENT HELP.\r\n"
     "-ERR unknown subcommand or wrong number of arguments for 'foo'. Try CLIENT HELP.\r\n"
     "-ERR wrong number of arguments for 'config|get' command\r\n"
     "-ERR invalid expire time in 'set' command\r\n",
     NULL},
    {say_help,
     "*5\r\n+CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"
     "+GET <pattern>\r\n+    Get.\r\n+HELP\r\n+    Print this help.\r\n",
     NULL},
};

static void assert_says(void (*say)(struct reply *r), uint8_t resp, bool muted, const char *text)
{
    struct output *out = output_create();
    struct reply reply = {.out = out, .resp = resp, .muted = muted};
    say(&reply);
    struct buf actual = {0};
    struct bytes ranges[8];
    size_t count = output_peek(out, ranges, 8);
    for (size_t i = 0; i < count; i++)
        buf_append_bytes(&actual, ranges[i]);
    assert_bytes(buf_bytes(&actual), bytes_text(text));
    buf_deinit(&actual);
    output_destroy(out);
}

static void replies_have_the_bytes_of_redis(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_says(cases[i].say, 2, false, cases[i].resp2);
        assert_says(cases[i].say, 3, false,
                    cases[i].resp3 != NULL ? cases[i].resp3 : cases[i].resp2);
    }
}

static void a_muted_reply_says_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_says(cases[i].say, 2, true, "");
}

static void attributes_exist_in_resp3(void **state)
{
    (void)state;
    struct output *out = output_create();
    struct reply reply = {.out = out, .resp = 3};
    reply_attribute(&reply, 1);
    struct bytes range;
    assert_int_equal(output_peek(out, &range, 1), 1);
    assert_bytes(range, bytes_text("|1\r\n"));
    output_destroy(out);
}

static void long_bulks_and_formats_come_out_whole(void **state)
{
    (void)state;
    static const size_t lens[] = {1023, 1024, 1025, 5000, 14304, 100000};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct output *out = output_create();
        struct reply reply = {.out = out, .resp = 2};
        struct buf value = {0};
        memset(buf_reserve(&value, lens[i] + 1), 'v', lens[i]);
        value.len = lens[i];
        value.data[value.len] = '\0';
        reply_bulk(&reply, buf_bytes(&value));
        reply_bulk_format(&reply, "%s", (const char *)value.data);
        struct buf expected = {0};
        for (int twice = 0; twice < 2; twice++) {
            buf_append_format(&expected, "$%zu\r\n", lens[i]);
            buf_append_bytes(&expected, buf_bytes(&value));
            buf_append_text(&expected, "\r\n");
        }
        struct buf actual = {0};
        struct bytes ranges[8];
        size_t count = output_peek(out, ranges, 8);
        for (size_t k = 0; k < count; k++)
            buf_append_bytes(&actual, ranges[k]);
        assert_bytes(buf_bytes(&actual), buf_bytes(&expected));
        buf_deinit(&actual);
        buf_deinit(&expected);
        buf_deinit(&value);
        output_destroy(out);
    }
}

static void an_error_is_noted_with_its_code(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *code;
    } errors[] = {
        {"ERR x", "ERR"},
        {"WRONGTYPE Operation", "WRONGTYPE"},
        {"nospace", "ERR"},
        {"AVERYLONGERRORCODETHATHASNOENDATALL x", "ERR"},
    };
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct output *out = output_create();
        struct reply reply = {.out = out, .resp = 2, .muted = true};
        assert_false(reply.failed);
        reply_error(&reply, errors[i].text);
        assert_true(reply.failed);
        assert_string_equal(reply.error_code, errors[i].code);
        output_destroy(out);
    }
}

static void every_error_has_a_text(void **state)
{
    (void)state;
    for (int id = 0; id < REPLY_ERROR_COUNT; id++)
        assert_non_null(reply_error_text((enum reply_error_id)id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replies_have_the_bytes_of_redis), TEST(a_muted_reply_says_nothing),
        TEST(attributes_exist_in_resp3),       TEST(long_bulks_and_formats_come_out_whole),
        TEST(an_error_is_noted_with_its_code), TEST(every_error_has_a_text),
    };
    return RUN_TESTS("reply", tests);
}
