/* Goal: `basalt rdb import --replace` and `--skip-existing` make of a dataset and a file what a
 * server has that was given the keys of one and then those of the other: all types, small and in
 * pieces, expiries, databases; with exact counters, nothing left over, and also after kills.
 *
 * Method: digests and INFO of servers are compared, and `basalt check --deep` has nothing to say.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/tool_run.h"

#define EXIT_SKIPPED 77
#define LIBRARY                                                                                    \
    "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return 1 end)\""

/* Keys k:from to k:to of all types in turn; every twentieth is large. */
static const char fill_script[] =
    "local from, to, shift = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]) "
    "for i = from, to do "
    "  local k, kind, large = 'k:' .. i, (i + shift) % 9, i % 20 == 0 "
    "  redis.call('DEL', k) "
    "  if kind == 0 then redis.call('SET', k, 'small' .. shift) end "
    "  if kind == 1 then redis.call('SET', k, string.rep('text', large and 30000 or 20)) end "
    "  for j = 1, large and 600 or 3 do "
    "    local e = 'an-element-of-some-length-' .. j + shift "
    "    if kind == 2 then redis.call('RPUSH', k, e) end "
    "    if kind == 3 then redis.call('SADD', k, e) end "
    "    if kind == 4 then redis.call('ZADD', k, j, e) end "
    "    if kind == 5 or kind == 8 then redis.call('HSET', k, e, j) end "
    "    if kind == 6 then redis.call('XADD', k, i .. '-' .. j, 'f', e) end "
    "    if kind == 7 then redis.call('SETBIT', k, j * 7, 1) end "
    "    if kind == 8 and j % 2 == 0 then "
    "      redis.call('HPEXPIREAT', k, 4102444800000 + j, 'FIELDS', 1, e) end "
    "  end "
    "  if kind == 6 then redis.call('XGROUP', 'CREATE', k, 'g', '0') end "
    "  if (i + shift) % 5 == 0 then redis.call('PEXPIREAT', k, 4102444800000 + i) end "
    "end";

enum part { OF_DATASET, OF_FILE };
static const struct {
    const char *from, *to, *shift;
} parts[] = {[OF_DATASET] = {"1", "600", "0"}, [OF_FILE] = {"301", "900", "1"}};

struct fixture {
    char *root;
    struct server_fixture *server;
};

static int set_up(void **state)
{
    struct fixture *fixture = mem_calloc(1, sizeof(*fixture));
    fixture->root = harness_make_dir();
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    int result = server_fixture_teardown(state);
    harness_remove_dir(fixture->root);
    mem_free(fixture->root);
    mem_free(fixture);
    return result;
}

static const char *path(const struct fixture *fixture, const char *name)
{
    static char texts[8][1024];
    static int next;
    char *text = texts[next++ % 8];
    (void)snprintf(text, sizeof(texts[0]), "%s/%s", fixture->root, name);
    return text;
}

static struct server_fixture *start_server(void)
{
    static const char *const args[] = {"--enable-debug-command", "yes", "--rdb-version", "12",
                                       NULL};
    return server_fixture_start(&(struct server_options){.args = args});
}

static void fill(struct resp_client *client, enum part part)
{
    assert_string_equal(resp_client_call(client, "EVAL", fill_script, "0", parts[part].from,
                                         parts[part].to, parts[part].shift, NULL),
                        "nil");
}

/* `swapped`: database 0 is one that was another. */
static void fill_dataset(struct resp_client *client, bool swapped)
{
    assert_reply(client, swapped ? "SELECT 3" : "SELECT 0", "+OK");
    fill(client, OF_DATASET);
    assert_reply(client, swapped ? "SELECT 0" : "SELECT 3", "+OK");
    assert_reply(client, "SET other 1", "+OK");
    if (swapped)
        assert_reply(client, "SWAPDB 0 3", "+OK");
    assert_reply(client, "SELECT 0", "+OK");
}

static void fill_file(struct resp_client *client)
{
    fill(client, OF_FILE);
    assert_reply(client, "SELECT 5", "+OK");
    fill(client, OF_DATASET);
    assert_reply(client, "SELECT 0", "+OK");
}

/* What tells datasets apart: values, and counters. To be freed. */
static char *describe(struct resp_client *client)
{
    struct buf out = {0};
    buf_append_text(&out, resp_client_ask(client, "DEBUG DIGEST"));
    for (int db = 0; db < 16; db++) {
        char line[32];
        (void)snprintf(line, sizeof(line), "SELECT %d", db);
        assert_reply(client, line, "+OK");
        buf_append_format(&out, " %s", resp_client_ask(client, "DBSIZE"));
    }
    const char *info = strstr(resp_client_ask(client, "INFO keyspace"), "db0:");
    assert_non_null(info);
    for (const char *at = info; (at = strstr(at, ",expires=")) != NULL; at++)
        buf_append_format(&out, " %.*s", (int)strcspn(at + 1, ","), at + 1);
    buf_append_byte(&out, 0);
    return (char *)out.data;
}

/* The file: dump.rdb of the root. */
static void make_file(struct fixture *fixture)
{
    struct server_fixture *server = start_server();
    struct resp_client *client = server_fixture_connect(server);
    fill_file(client);
    assert_reply(client, LIBRARY, "\"lib\"");
    resp_client_close(client);
    server_fixture_stop(server);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "export", "--dir", server_fixture_dir(server),
                              "-o", path(fixture, "dump.rdb"), "--rdb-version", "12"),
                     0);
    server_fixture_destroy(server);
}

/* What a server has that was given one after the other. To be freed. */
static char *describe_both(bool file_last)
{
    struct server_fixture *server = start_server();
    struct resp_client *client = server_fixture_connect(server);
    if (!file_last)
        fill_file(client);
    fill_dataset(client, false);
    if (file_last)
        fill_file(client);
    char *text = describe(client);
    resp_client_close(client);
    server_fixture_destroy(server);
    return text;
}

static void start_with_dataset(struct fixture *fixture, bool library)
{
    fixture->server = start_server();
    struct resp_client *client = server_fixture_connect(fixture->server);
    fill_dataset(client, true);
    if (library)
        assert_reply(client, LIBRARY, "\"lib\"");
    resp_client_close(client);
    server_fixture_stop(fixture->server);
}

static int import(struct fixture *fixture, const char *option)
{
    return TOOL_RUN(fixture->root, "rdb", "import", path(fixture, "dump.rdb"), "--dir",
                    server_fixture_dir(fixture->server), option);
}

static void assert_has(struct fixture *fixture, const char *expected)
{
    server_fixture_restart(fixture->server);
    struct resp_client *client = server_fixture_connect(fixture->server);
    char *found = describe(client);
    assert_string_equal(found, expected);
    assert_reply(client, "FCALL f 0", ":1");
    mem_free(found);
    resp_client_close(client);
    server_fixture_stop(fixture->server);
    if (TOOL_RUN(fixture->root, "check", server_fixture_dir(fixture->server), "--deep") != 0)
        tool_assert_printed(fixture->root, "stdout", "which basalt check --deep found");
}

static void keys_are_replaced(void **state)
{
    struct fixture *fixture = *state;
    make_file(fixture);
    char *expected = describe_both(true);
    start_with_dataset(fixture, false);
    assert_int_equal(import(fixture, NULL), 1);
    tool_assert_printed(fixture->root, "stderr", "--skip-existing or --replace");
    assert_int_equal(import(fixture, "--replace"), 0);
    tool_assert_printed(fixture->root, "stdout", "Replaced: 300 keys");
    assert_has(fixture, expected);
    /* Once more it is the same. */
    assert_int_equal(import(fixture, "--replace"), 3);
    tool_assert_printed(fixture->root, "stdout", "Replaced: 1,200 keys");
    tool_assert_printed(fixture->root, "stdout", "NOT IMPORTED: 1 function libraries");
    assert_has(fixture, expected);
    server_fixture_destroy(fixture->server);
    mem_free(expected);
}

static void keys_that_exist_are_kept(void **state)
{
    struct fixture *fixture = *state;
    make_file(fixture);
    char *expected = describe_both(false);
    start_with_dataset(fixture, true);
    assert_int_equal(import(fixture, "--skip-existing"), 3);
    tool_assert_printed(fixture->root, "stdout", "Left out: 300 keys that the dataset has.");
    assert_has(fixture, expected);
    server_fixture_destroy(fixture->server);
    mem_free(expected);
}

static void kills_leave_the_dataset_and_it_can_be_done_again(void **state)
{
    struct fixture *fixture = *state;
    make_file(fixture);
    char *expected = describe_both(true);
    start_with_dataset(fixture, false);
    const char *const args[] = {"rdb",
                                "import",
                                path(fixture, "dump.rdb"),
                                "--dir",
                                server_fixture_dir(fixture->server),
                                "--replace",
                                NULL};
    for (useconds_t after_us = 1000; after_us < 1000000; after_us *= 2) {
        pid_t pid = tool_start(fixture->root, args);
        (void)usleep(after_us);
        assert_int_equal(kill(pid, SIGKILL), 0);
        (void)tool_wait(pid);
        assert_int_equal(
            TOOL_RUN(fixture->root, "check", server_fixture_dir(fixture->server), "--deep"), 0);
    }
    assert_in_range(import(fixture, "--replace"), 0, 3);
    assert_has(fixture, expected);
    server_fixture_destroy(fixture->server);
    mem_free(expected);
}

static void only_a_settled_dataset_is_added_to(void **state)
{
    struct fixture *fixture = *state;
    make_file(fixture);
    start_with_dataset(fixture, false);
    server_fixture_restart(fixture->server);
    struct resp_client *client = server_fixture_connect(fixture->server);
    assert_int_equal(import(fixture, "--replace"), 1);
    tool_assert_printed(fixture->root, "stderr", "in use by another process");
    assert_reply(client, "CONFIG SET appendfsync always flush-interval 600000", "+OK");
    assert_reply(client, "DEBUG CUT", "+OK");
    assert_reply(client, "SET late 1", "+OK");
    resp_client_close(client);
    server_fixture_kill(fixture->server);
    assert_int_equal(import(fixture, "--skip-existing"), 1);
    tool_assert_printed(fixture->root, "stderr", "start the server once");
    server_fixture_restart(fixture->server);
    client = server_fixture_connect(fixture->server);
    assert_reply(client, "GET late", "\"1\"");
    resp_client_close(client);
    server_fixture_destroy(fixture->server);
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "import", "f", "--dir", "d", "--replace", "--skip-existing"),
        2);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", "f", "--dir", "d", "--replace",
                              "--replace-dataset"),
                     2);
}

int main(void)
{
    if (tool_program() == NULL || server_fixture_program() == NULL) {
        (void)fprintf(stderr, "skipped: the tool or the server is missing\n");
        return EXIT_SKIPPED;
    }
#define MERGE_TEST(function) TEST_WITH(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        MERGE_TEST(keys_are_replaced),
        MERGE_TEST(keys_that_exist_are_kept),
        MERGE_TEST(kills_leave_the_dataset_and_it_can_be_done_again),
        MERGE_TEST(only_a_settled_dataset_is_added_to),
    };
    return RUN_TESTS("rdb_merge", tests);
}
