/* Goal: `basalt rdb convert` tells all that is in a file, in forms that others read. Method: the
 * reference makes a file with every type; the commands made of it are fed to another reference,
 * which must have the same digest then; of the other forms, what is told of known keys is compared.
 * `basalt rdb diff` compares files of one reference before and after changes. Skipped where no
 * reference or no redis-cli is installed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/mem.h"
#include "tests/support/every_type.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/tool_run.h"

#define EXIT_SKIPPED 77

struct fixture {
    char *root;
    char rdb[512]; /* of the first reference */
    struct server_fixture *reference, *second;
};

static struct server_fixture *start_reference(void)
{
    static const char *const args[] = {"--enable-debug-command", "yes", "--save", "", NULL};
    return server_fixture_start(&(struct server_options){.program = server_fixture_reference(),
                                                         .argv0 = SERVER_FIXTURE_REFERENCE_ARGV0,
                                                         .args = args});
}

static int setup(void **state)
{
    struct fixture *fixture = mem_calloc(1, sizeof(*fixture));
    *state = fixture;
    fixture->root = harness_make_dir();
    fixture->reference = start_reference();
    (void)snprintf(fixture->rdb, sizeof(fixture->rdb), "%s/dump.rdb",
                   server_fixture_dir(fixture->reference));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    int result = server_fixture_teardown(state);
    harness_remove_dir(fixture->root);
    mem_free(fixture->root);
    mem_free(fixture);
    return result;
}

static void commands_make_the_same_data(void **state)
{
    struct fixture *fixture = *state;
    struct resp_client *client = server_fixture_connect(fixture->reference);
    every_type_fill(client);
    assert_reply(client, "SET \"bin\\r\\n\\xff\" \"\\x00\\r\\n\"", "+OK");
    assert_reply(client,
                 "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return "
                 "1 end)\"",
                 "\"lib\"");
    char *digest = mem_strdup(resp_client_ask(client, "DEBUG DIGEST"));
    assert_reply(client, "SAVE", "+OK");
    resp_client_close(client);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "convert", fixture->rdb, "--to", "resp"), 0);
    fixture->second = start_reference();
    char line[1024];
    (void)snprintf(line, sizeof(line), "redis-cli -p %d --pipe <'%s/stdout' >'%s/pipe' 2>&1",
                   server_fixture_port(fixture->second), fixture->root, fixture->root);
    assert_int_equal(system(line), 0);
    tool_assert_printed(fixture->root, "pipe", "errors: 0,");
    client = server_fixture_connect(fixture->second);
    assert_string_equal(resp_client_ask(client, "DEBUG DIGEST"), digest);
    /* 3-1 is pending, too, but was deleted: a command cannot make that. */
    assert_reply(client, "XPENDING x:small group", "[:1 \"1-1\" \"1-1\" [[\"one\" \"1\"]]]");
    assert_reply(client, "FCALL f 0", ":1");
    assert_reply(client, "PEXPIRETIME s:due", ":4102444800123");
    resp_client_close(client);
    server_fixture_destroy(fixture->second);
    server_fixture_destroy(fixture->reference);
    mem_free(digest);
}

static void other_forms_tell_every_type(void **state)
{
    static const char *const json[] = {
        "{\"db\":0,\"key\":\"s\",\"type\":\"string\",\"value\":\"a,\\\"b\\\"\\u000a\"}\n",
        "{\"db\":0,\"key\":\"due\",\"type\":\"string\",\"expire_at_ms\":4102444800123,\"value\":"
        "{\"base64\":\"/w==\"}}\n",
        "\"type\":\"list\",\"value\":[\"1\",\"two\"]}\n",
        "\"type\":\"zset\",\"value\":[[\"m\",1.5],[\"n\",\"inf\"]]}\n",
        "\"type\":\"hash\",\"value\":[[\"f\",\"v\"]]}\n",
        "{\"entries\":[[\"1-1\",[\"f\",\"v\"]]],\"length\":1,\"last_id\":\"1-1\"",
        "\"groups\":[{\"name\":\"g\",\"last_id\":\"1-1\",\"entries_read\":1,\"consumers\":"
        "[{\"name\":\"c\",",
        "{\"db\":3,\"key\":\"set\",\"type\":\"set\",\"value\":[\"7\"]}\n",
    };
    static const char *const csv[] = {"db,key,type,expire_at_ms,id,member,value\r\n",
                                      "0,s,string,,,,\"a,\"\"b\"\"\n\"\r\n",
                                      "0,l,list,,1,,two\r\n",
                                      "0,z,zset,,,m,1.5\r\n",
                                      "0,h,hash,,,f,v\r\n",
                                      "0,x,stream,,1-1,f,v\r\n",
                                      "3,set,set,,,7,\r\n"};
    struct fixture *fixture = *state;
    struct resp_client *client = server_fixture_connect(fixture->reference);
    assert_reply(client, "SET s \"a,\\\"b\\\"\\n\"", "+OK");
    assert_reply(client, "SET due \"\\xff\" PXAT 4102444800123", "+OK");
    assert_reply(client, "RPUSH l 1 two", ":2");
    assert_reply(client, "ZADD z 1.5 m inf n", ":2");
    assert_reply(client, "HSET h f v", ":1");
    assert_reply(client, "XADD x 1-1 f v", "\"1-1\"");
    assert_reply(client, "XGROUP CREATE x g 0", "+OK");
    (void)resp_client_ask(client, "XREADGROUP GROUP g c STREAMS x >");
    assert_reply(client, "SELECT 3", "+OK");
    assert_reply(client, "SADD set 7", ":1");
    assert_reply(client, "SAVE", "+OK");
    resp_client_close(client);
    const char *dir = fixture->root;
    assert_int_equal(TOOL_RUN(dir, "rdb", "convert", fixture->rdb, "--to", "jsonl"), 0);
    for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++)
        tool_assert_printed(dir, "stdout", json[i]);
    assert_int_equal(TOOL_RUN(dir, "rdb", "convert", fixture->rdb, "--to", "csv"), 0);
    for (size_t i = 0; i < sizeof(csv) / sizeof(csv[0]); i++)
        tool_assert_printed(dir, "stdout", csv[i]);
    assert_int_equal(TOOL_RUN(dir, "rdb", "convert", fixture->rdb, "--to", "json", "--db", "3"), 0);
    tool_assert_printed(dir, "stdout",
                        "[\n{\"db\":3,\"key\":\"set\",\"type\":\"set\",\"value\":[\"7\"]}\n]\n");
    assert_int_equal(TOOL_RUN(dir, "rdb", "convert", fixture->rdb, "--to", "json", "--match", "no"),
                     0);
    tool_assert_printed(dir, "stdout", "[\n]\n");
    assert_int_equal(TOOL_RUN(dir, "rdb", "convert", fixture->rdb), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "convert", fixture->rdb, "--to", "xml"), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "convert", "/missing", "--to", "csv"), 1);
    assert_int_equal(TOOL_RUN(dir, "rdb", "convert", "--help"), 0);
    tool_assert_printed(dir, "stdout", "redis-cli --pipe");
    server_fixture_destroy(fixture->reference);
}

static void differences_are_named(void **state)
{
    struct fixture *fixture = *state;
    const char *dir = fixture->root;
    char old[512];
    char line[1200];
    struct resp_client *client = server_fixture_connect(fixture->reference);
    every_type_fill(client);
    assert_reply(client, "SAVE", "+OK");
    (void)snprintf(old, sizeof(old), "%s/old.rdb", dir);
    (void)snprintf(line, sizeof(line), "cp '%s' '%s'", fixture->rdb, old);
    assert_int_equal(system(line), 0);
    /* Loaded again, sets and the like are in another order. */
    assert_reply(client, "DEBUG RELOAD", "+OK");
    /* Other encodings of the same. */
    assert_reply(client, "CONFIG SET hash-max-listpack-entries 0 zset-max-listpack-entries 0",
                 "+OK");
    assert_reply(client, "HSET h:small g v", ":1");
    assert_reply(client, "HDEL h:small g", ":1");
    assert_reply(client, "SAVE", "+OK");
    assert_int_equal(TOOL_RUN(dir, "rdb", "diff", old, fixture->rdb), 0);
    tool_assert_printed(dir, "stdout", "The files hold the same: ");
    assert_reply(client, "SET s:text other", "+OK");
    assert_reply(client, "DEL l:small s:int", ":2");
    assert_reply(client, "SADD l:small a", ":1");
    assert_reply(client, "PEXPIREAT s:due 4102444800124", ":1");
    assert_reply(client, "XGROUP DESTROY x:small other", ":1");
    assert_reply(client, "SET new v", "+OK");
    assert_reply(client, "SAVE", "+OK");
    resp_client_close(client);
    static const char *const parts[] = {
        "differs db0 \"s:text\", value\n",
        "differs db0 \"l:small\", type list and set\n",
        "differs db0 \"s:due\", expiry 4102444800123 and 4102444800124\n",
        "differs db0 \"x:small\", value\n",
        "only_a db0 \"s:int\"\n",
        "only_b db0 \"new\"\n",
        " 4 differ, 1 are only in A, 1 only in B.\n",
    };
    assert_int_equal(TOOL_RUN(dir, "rdb", "diff", old, fixture->rdb), 3);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        tool_assert_printed(dir, "stdout", parts[i]);
    assert_int_equal(TOOL_RUN(dir, "rdb", "diff", old, fixture->rdb, "--json"), 3);
    tool_assert_printed(dir, "stdout", "\"key\":\"l:small\",\"types\":[\"list\",\"set\"]}\n");
    tool_assert_printed(dir, "stdout", "\"differs\":4,\"only_a\":1,\"only_b\":1}\n");
    assert_int_equal(TOOL_RUN(dir, "rdb", "diff", old, "/missing"), 1);
    assert_int_equal(TOOL_RUN(dir, "rdb", "diff", old), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "diff", old, "-"), 2);
    server_fixture_destroy(fixture->reference);
}

/* 30,000 keys do not fit in a table of 1 MiB. */
static void files_with_many_keys_take_several_passes(void **state)
{
    struct fixture *fixture = *state;
    const char *dir = fixture->root;
    char old[512];
    char line[1200];
    struct resp_client *client = server_fixture_connect(fixture->reference);
    assert_reply(client, "DEBUG POPULATE 30000", "+OK");
    assert_reply(client, "SAVE", "+OK");
    (void)snprintf(old, sizeof(old), "%s/old.rdb", dir);
    (void)snprintf(line, sizeof(line), "cp '%s' '%s'", fixture->rdb, old);
    assert_int_equal(system(line), 0);
    assert_reply(client, "DEL key:1 key:2 key:29999", ":3");
    assert_reply(client, "MSET key:3 x n:1 a n:2 b", "+OK");
    assert_reply(client, "SAVE", "+OK");
    resp_client_close(client);
    assert_int_equal(TOOL_RUN(dir, "rdb", "diff", old, fixture->rdb, "--memory", "1mb"), 3);
    tool_assert_printed(dir, "stdout", "only_a db0 \"key:29999\"\n");
    tool_assert_printed(dir, "stdout",
                        ": 29996 keys are the same, 1 differ, 3 are only in A, 2 only in B.\n");
    server_fixture_destroy(fixture->reference);
}

int main(void)
{
    if (tool_program() == NULL || server_fixture_reference() == NULL ||
        system("redis-cli --version >/dev/null 2>&1") != 0) {
        (void)fprintf(stderr, "skipped: the tool, the reference or redis-cli is missing\n");
        return EXIT_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        TEST_WITH(commands_make_the_same_data, setup, teardown),
        TEST_WITH(other_forms_tell_every_type, setup, teardown),
        TEST_WITH(differences_are_named, setup, teardown),
        TEST_WITH(files_with_many_keys_take_several_passes, setup, teardown),
    };
    return RUN_TESTS("rdb_convert", tests);
}
