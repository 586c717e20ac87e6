/* Goal: a pattern matches exactly the replies that it describes, in both protocols, and the text
 * form of a reply is itself a pattern for it. Method: replies are parsed from their wire form
 * through a socket pair, so that the client's reader is under test too. */
#include "tests/support/reply_pattern.h"

#include <sys/socket.h>
#include <unistd.h>

#include "codec/buf.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"

/* Reads one reply from `wire`, then end of file. */
static enum status read_wire(struct bytes wire, struct resp_reply *out, struct err *err)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(write(ends[1], wire.data, wire.len), wire.len);
    assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
    struct resp_client *client = resp_client_adopt(ends[0]);
    enum status st = resp_client_read(client, out, err);
    resp_client_close(client);
    close(ends[1]);
    return st;
}

static bool matches(const char *pattern_text, const char *wire, int protocol)
{
    struct resp_reply reply;
    struct err err = {0};
    struct reply_pattern *pattern = NULL;
    assert_ok(read_wire(bytes_text(wire), &reply, &err), &err);
    assert_ok(reply_pattern_parse(bytes_text(pattern_text), &pattern, &err), &err);
    bool result = reply_pattern_matches(pattern, &reply, protocol, NULL);
    reply_pattern_destroy(pattern);
    resp_reply_deinit(&reply);
    return result;
}

static const struct {
    const char *wire;
    const char *text;
} rendered[] = {
    {"+OK\r\n", "+OK"},
    {"+two words\r\n", "+two words"},
    {"+\r\n", "+\"\""},
    {"+\"quoted\"\r\n", "+\"\\\"quoted\\\"\""},
    {"+*\r\n", "+\"*\""},
    {"-ERR no [such] thing\r\n", "-ERR no [such] thing"},
    {"-/x\r\n", "-\"/x\""},
    {":7\r\n", ":7"},
    {":-9223372036854775808\r\n", ":-9223372036854775808"},
    {"$0\r\n\r\n", "\"\""},
    {"$5\r\na\r\nb\x01\r\n", "\"a\\r\\nb\\x01\""},
    {"$-1\r\n", "nil"},
    {"_\r\n", "nil"},
    {"*-1\r\n", "nil-array"},
    {"*0\r\n", "[]"},
    {"*3\r\n:1\r\n+a b\r\n*1\r\n$1\r\nx\r\n", "[:1 +\"a b\" [\"x\"]]"},
    {"*2\r\n-ERR x\r\n-NO\r\n", "[-\"ERR x\" -NO]"},
    {"%1\r\n$1\r\nk\r\n:1\r\n", "{\"k\" :1}"},
    {"~2\r\n:1\r\n:2\r\n", "~[:1 :2]"},
    {">1\r\n$1\r\nx\r\n", ">[\"x\"]"},
    {"|1\r\n+k\r\n+v\r\n", "|{+k +v}"},
    {",1.5\r\n", ",1.5"},
    {",inf\r\n", ",inf"},
    {"#t\r\n", "#t"},
    {"#f\r\n", "#f"},
    {"(123456789012345678901234567890\r\n", "(123456789012345678901234567890"},
    {"=6\r\ntxt:ab\r\n", "=txt:\"ab\""},
    {"!5\r\nERR x\r\n", "!\"ERR x\""},
};

static void replies_have_one_text_each_and_it_matches_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rendered) / sizeof(rendered[0]); i++) {
        struct resp_reply reply;
        struct err err = {0};
        struct buf text = {0};
        assert_ok(read_wire(bytes_text(rendered[i].wire), &reply, &err), &err);
        resp_reply_render(&reply, &text);
        assert_bytes(buf_bytes(&text), bytes_text(rendered[i].text));
        struct reply_pattern *pattern = NULL;
        assert_ok(reply_pattern_parse(buf_bytes(&text), &pattern, &err), &err);
        assert_true(reply_pattern_matches(pattern, &reply, 0, NULL));
        reply_pattern_destroy(pattern);
        resp_reply_deinit(&reply);
        buf_deinit(&text);
    }
}

static void texts_match_no_other_reply(void **state)
{
    (void)state;
    size_t count = sizeof(rendered) / sizeof(rendered[0]);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            /* RESP3 has one null for both. */
            bool both_null =
                strcmp(rendered[i].text, "nil-array") == 0 && strcmp(rendered[j].text, "nil") == 0;
            if (!both_null && strcmp(rendered[i].text, rendered[j].text) != 0 &&
                matches(rendered[i].text, rendered[j].wire, 3))
                fail_msg("%s matches %s", rendered[i].text, rendered[j].text);
        }
    }
}

static void wildcards_match_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *wire;
        bool matches;
    } cases[] = {
        {"*", "$-1\r\n", true},
        {"*", "*1\r\n:1\r\n", true},
        {":*", ":5\r\n", true},
        {":*", "$1\r\n5\r\n", false},
        {":1..5", ":1\r\n", true},
        {":1..5", ":5\r\n", true},
        {":1..5", ":0\r\n", false},
        {":1..5", ":6\r\n", false},
        {":-5..-1", ":-3\r\n", true},
        {"+*", "+anything\r\n", true},
        {"-*", "+anything\r\n", false},
        {"-/ERR .*/", "-ERR x\r\n", true},
        {"-/ERR/", "-ERR x\r\n", false},
        {"/a.*c/", "$5\r\na\r\nbc\r\n", true},
        {"/a.*c/", "$4\r\nabcd\r\n", false},
        {"/a|b/", "$1\r\nb\r\n", true},
        {"/a[^\\n]\\r\\n/", "$4\r\nab\r\n\r\n", true},
        {"/a[^\\n]b/", "$3\r\na\nb\r\n", false},
        {"/a\\/b/", "$3\r\na/b\r\n", true},
        {"/ab/", "=6\r\ntxt:ab\r\n", true},
        {"[:1 ...]", "*3\r\n:1\r\n:2\r\n:3\r\n", true},
        {"[:1 ...]", "*1\r\n:1\r\n", true},
        {"[:1 ...]", "*0\r\n", false},
        {"[:1]", "*2\r\n:1\r\n:2\r\n", false},
        {"[...]", "*0\r\n", true},
        {"unordered [:1 :2 :2]", "*3\r\n:2\r\n:1\r\n:2\r\n", true},
        {"unordered [:1 :2 :2]", "*3\r\n:2\r\n:1\r\n:1\r\n", false},
        {"unordered [:* :1]", "*2\r\n:1\r\n:2\r\n", true},
        {"unordered {\"a\" :1 \"b\" :2}", "*4\r\n$1\r\nb\r\n:2\r\n$1\r\na\r\n:1\r\n", true},
        {"unordered {\"a\" :1 \"b\" :2}", "*4\r\n$1\r\nb\r\n:1\r\n$1\r\na\r\n:2\r\n", false},
        {"~[:1 :2]", "~2\r\n:2\r\n:1\r\n", true},
        {":1 or nil", "$-1\r\n", true},
        {":1 or nil", ":1\r\n", true},
        {":1 or nil", ":2\r\n", false},
        {"[:1 or :2 \"x\"]", "*2\r\n:2\r\n$1\r\nx\r\n", true},
        {"-ERR this or that", "-ERR this or that\r\n", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (matches(cases[i].pattern, cases[i].wire, 0) != cases[i].matches)
            fail_msg("case %zu: %s", i, cases[i].pattern);
    }
}

static void pattern_serves_both_protocols(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *resp2;
        const char *resp3;
    } cases[] = {
        {"{\"k\" :1}", "*2\r\n$1\r\nk\r\n:1\r\n", "%1\r\n$1\r\nk\r\n:1\r\n"},
        {"~[:1]", "*1\r\n:1\r\n", "~1\r\n:1\r\n"},
        {"pairs [:1 ,2]", "*2\r\n:1\r\n$1\r\n2\r\n", "*1\r\n*2\r\n:1\r\n,2\r\n"},
        {"pairs [:1 :2 ...]", "*3\r\n:1\r\n:2\r\n:3\r\n",
         "*2\r\n*2\r\n:1\r\n:2\r\n*2\r\n:3\r\n:4\r\n"},
        {"unordered pairs [:1 :2 :3 :4]", "*4\r\n:3\r\n:4\r\n:1\r\n:2\r\n",
         "*2\r\n*2\r\n:3\r\n:4\r\n*2\r\n:1\r\n:2\r\n"},
        {">[:1]", "*1\r\n:1\r\n", ">1\r\n:1\r\n"},
        {",1.5", "$3\r\n1.5\r\n", ",1.5\r\n"},
        {"(12", "$2\r\n12\r\n", "(12\r\n"},
        {"#t", ":1\r\n", "#t\r\n"},
        {"#f", ":0\r\n", "#f\r\n"},
        {"=txt:\"x\"", "$1\r\nx\r\n", "=5\r\ntxt:x\r\n"},
        {"!\"ERR\"", "-ERR\r\n", "!3\r\nERR\r\n"},
        {"nil", "$-1\r\n", "_\r\n"},
        {"nil-array", "*-1\r\n", "_\r\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (!matches(cases[i].pattern, cases[i].resp2, 2) ||
            !matches(cases[i].pattern, cases[i].resp3, 3) ||
            matches(cases[i].pattern, cases[i].resp2, 3) ||
            matches(cases[i].pattern, cases[i].resp3, 2))
            fail_msg("case %zu: %s", i, cases[i].pattern);
    }
}

static void capture_into(void *arg, struct bytes name, struct bytes value)
{
    struct buf *out = arg;
    buf_append_bytes(out, name);
    buf_append_byte(out, '=');
    buf_append_bytes(out, value);
    buf_append_byte(out, ';');
}

static void captures_take_the_text_or_the_first_group(void **state)
{
    (void)state;
    struct resp_reply reply;
    struct err err = {0};
    struct buf captured = {0};
    struct reply_pattern *pattern = NULL;
    const char *wire = "*4\r\n:7\r\n$7\r\nid=12 x\r\n$2\r\nab\r\n+OK\r\n";
    assert_ok(read_wire(bytes_text(wire), &reply, &err), &err);
    const char *text = "[:*=a /id=([0-9]+) .*/=b /[a-z]+/=c *=d]";
    assert_ok(reply_pattern_parse(bytes_text(text), &pattern, &err), &err);
    struct reply_captures captures = {.capture = capture_into, .arg = &captured};
    assert_true(reply_pattern_matches(pattern, &reply, 2, &captures));
    assert_bytes(buf_bytes(&captured), bytes_text("a=7;b=12;c=ab;d=OK;"));
    reply_pattern_destroy(pattern);
    resp_reply_deinit(&reply);
    buf_deinit(&captured);
}

static void broken_patterns_are_refused_and_open_ones_go_on(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum status status;
    } cases[] = {
        {"", ST_INVALID},         {"x", ST_INVALID},          {"\"x", ST_INVALID},
        {"\"\\x1\"", ST_INVALID}, {"/x", ST_INVALID},         {"/(/", ST_INVALID},
        {":", ST_INVALID},        {":x", ST_INVALID},         {":1..", ST_INVALID},
        {":1 :2", ST_INVALID},    {"\"a\"b", ST_INVALID},     {"[... :1]", ST_INVALID},
        {"{:1}", ST_INVALID},     {"[:1}", ST_INVALID},       {"unordered :1", ST_INVALID},
        {"pairs :1", ST_INVALID}, {"pairs [:1]", ST_INVALID}, {"pairs ~[:1 :2]", ST_INVALID},
        {":1=", ST_INVALID},      {":1 or", ST_INVALID},      {"nilly", ST_INVALID},
        {"[", ST_AGAIN},          {"[:1 {\"a\"", ST_AGAIN},   {"~[ [] ", ST_AGAIN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reply_pattern *pattern = NULL;
        enum status st = reply_pattern_parse(bytes_text(cases[i].text), &pattern, NULL);
        if (st != cases[i].status)
            fail_msg("%s: %s", cases[i].text, status_name(st));
    }
}

static void malformed_replies_are_corrupt_and_cut_ones_are_io_errors(void **state)
{
    (void)state;
    static const char *const malformed[] = {
        "x\r\n",  "\r\n",        ":1\n",         ":x\r\n",           ":\r\n",
        "$x\r\n", "$-2\r\n",     "$1\r\nab\r\n", "*-2\r\n",          "%-1\r\n",
        "#x\r\n", "_x\r\n",      "=-1\r\n",      "=3\r\nabc\r\n",    "=5\r\nabcde\r\n",
        "(x\r\n", "*1\r\n?\r\n", "!-1\r\n",      "$99999999999\r\n", "*99999999999\r\n",
    };
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        struct resp_reply reply;
        enum status st = read_wire(bytes_text(malformed[i]), &reply, NULL);
        if (st != ST_CORRUPT)
            fail_msg("case %zu: %s", i, status_name(st));
    }
    for (size_t i = 0; i < sizeof(rendered) / sizeof(rendered[0]); i++) {
        struct bytes wire = bytes_text(rendered[i].wire);
        for (size_t len = 0; len < wire.len; len++) {
            struct resp_reply reply;
            enum status st = read_wire(bytes_make(wire.data, len), &reply, NULL);
            assert_status(st, len == 0 ? ST_END : ST_IO);
        }
    }
}

static void replies_that_come_byte_by_byte_are_read_whole(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct resp_client *client = resp_client_adopt(ends[0]);
    resp_client_set_timeout_ms(client, 0);
    struct resp_reply reply;
    const char *wire = "+A\r\n";
    assert_status(resp_client_read(client, &reply, NULL), ST_AGAIN);
    for (size_t i = 0; i < strlen(wire); i++) {
        assert_int_equal(write(ends[1], wire + i, 1), 1);
        enum status expected = i + 1 == strlen(wire) ? ST_OK : ST_AGAIN;
        assert_status(resp_client_read(client, &reply, NULL), expected);
    }
    assert_int_equal(reply.kind, RESP_SIMPLE);
    resp_reply_deinit(&reply);
    resp_client_close(client);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replies_have_one_text_each_and_it_matches_them),
        TEST(texts_match_no_other_reply),
        TEST(wildcards_match_what_they_say),
        TEST(pattern_serves_both_protocols),
        TEST(captures_take_the_text_or_the_first_group),
        TEST(broken_patterns_are_refused_and_open_ones_go_on),
        TEST(malformed_replies_are_corrupt_and_cut_ones_are_io_errors),
        TEST(replies_that_come_byte_by_byte_are_read_whole),
    };
    return RUN_TESTS("reply_pattern", tests);
}
