/* Goal: `basalt rdb export` makes a file of a data directory that Redis loads with the same values,
 * changes nothing in the directory, and says by words and exit status what it did. Method: a server
 * is filled and stopped, the tool is run as a process, and the reference loads what it wrote.
 * Skipped where no reference is installed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/mem.h"
#include "tests/support/every_type.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/tool_run.h"

#define EXIT_SKIPPED 77

struct fixture {
    char *root; /* where the reference will look for dump.rdb */
    struct server_fixture *server;
    struct server_fixture *reference;
};

static int setup(void **state)
{
    struct fixture *fixture = mem_calloc(1, sizeof(*fixture));
    fixture->root = harness_make_dir();
    *state = fixture;
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

/* Exports the server's directory to the file that the reference will load; with more arguments up
 * to NULL. */
static int run_export(struct fixture *fixture, const char *const *more)
{
    char file[512];
    const char *args[16] = {"rdb", "export", "--dir", server_fixture_dir(fixture->server),
                            "-o",  file};
    (void)snprintf(file, sizeof(file), "%s/dump.rdb", fixture->root);
    for (size_t i = 0; more[i] != NULL; i++)
        args[6 + i] = more[i];
    return tool_run(fixture->root, args);
}

#define EXPORT(fixture, ...) run_export((fixture), (const char *const[]){__VA_ARGS__})

static struct resp_client *start_server(struct fixture *fixture)
{
    static const char *const args[] = {"--enable-debug-command", "yes", NULL};
    fixture->server = server_fixture_start(&(struct server_options){.args = args});
    return server_fixture_connect(fixture->server);
}

static struct resp_client *start_reference(struct fixture *fixture)
{
    static const char *const args[] = {"--enable-debug-command", "yes", "--save", "", NULL};
    struct server_options options = {.program = server_fixture_reference(),
                                     .argv0 = SERVER_FIXTURE_REFERENCE_ARGV0,
                                     .args = args,
                                     .dir = fixture->root};
    fixture->reference = server_fixture_start(&options);
    return server_fixture_connect(fixture->reference);
}

static void what_is_exported_redis_loads(void **state)
{
    struct fixture *fixture = *state;
    struct resp_client *server = start_server(fixture);
    every_type_fill(server);
    assert_reply(server,
                 "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return "
                 "1 end)\"",
                 "\"lib\"");
    char *digest = mem_strdup(resp_client_ask(server, "DEBUG DIGEST"));
    resp_client_close(server);
    server_fixture_stop(fixture->server);
    assert_int_equal(EXPORT(fixture, NULL), 0);
    tool_assert_printed(fixture->root, "stdout", " keys as RDB version 10, ");
    struct resp_client *reference = start_reference(fixture);
    assert_string_equal(resp_client_ask(reference, "DEBUG DIGEST"), digest);
    assert_reply(reference, "FCALL f 0", ":1");
    resp_client_close(reference);
    server_fixture_destroy(fixture->reference);
    /* The directory is what it was. */
    server_fixture_restart(fixture->server);
    server = server_fixture_connect(fixture->server);
    assert_string_equal(resp_client_ask(server, "DEBUG DIGEST"), digest);
    resp_client_close(server);
    server_fixture_destroy(fixture->server);
    mem_free(digest);
}

static void keys_can_be_chosen(void **state)
{
    struct fixture *fixture = *state;
    struct resp_client *server = start_server(fixture);
    assert_reply(server, "MSET user:1 a user:2 b other c", "+OK");
    assert_reply(server, "HSET user:3 f v", ":1");
    assert_reply(server, "SELECT 3", "+OK");
    assert_reply(server, "SET user:1 three", "+OK");
    resp_client_close(server);
    server_fixture_stop(fixture->server);
    assert_int_equal(
        EXPORT(fixture, "--match", "user:*", "--type", "string", "--db", "0", "--json", NULL), 0);
    tool_assert_printed(fixture->root, "stdout",
                        "{\"status\":\"ok\",\"rdb_version\":10,\"keys\":2,\"unwanted\":3,");
    struct resp_client *reference = start_reference(fixture);
    assert_reply(reference, "DBSIZE", ":2");
    assert_reply(reference, "MGET user:1 user:2", "[\"a\" \"b\"]");
    assert_reply(reference, "SELECT 3", "+OK");
    assert_reply(reference, "DBSIZE", ":0");
    resp_client_close(reference);
    server_fixture_destroy(fixture->reference);
    server_fixture_destroy(fixture->server);
}

static void a_packed_file_can_be_imported(void **state)
{
    struct fixture *fixture = *state;
    char file[512];
    struct resp_client *server = start_server(fixture);
    assert_reply(server, "DEBUG POPULATE 20000 key 100", "+OK");
    char *digest = mem_strdup(resp_client_ask(server, "DEBUG DIGEST"));
    resp_client_close(server);
    server_fixture_stop(fixture->server);
    assert_int_equal(EXPORT(fixture, "--zstd", NULL), 0);
    (void)snprintf(file, sizeof(file), "%s/dump.rdb", fixture->root);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", file, "--dir",
                              server_fixture_dir(fixture->server), "--replace-dataset"),
                     0);
    server_fixture_restart(fixture->server);
    server = server_fixture_connect(fixture->server);
    assert_string_equal(resp_client_ask(server, "DEBUG DIGEST"), digest);
    resp_client_close(server);
    server_fixture_destroy(fixture->server);
    mem_free(digest);
}

static void changes_in_the_journal_are_not_left_out_in_silence(void **state)
{
    struct fixture *fixture = *state;
    struct resp_client *server = start_server(fixture);
    assert_reply(server, "SET key old", "+OK");
    assert_reply(server, "DEBUG CUT", "+OK");
    assert_int_equal(EXPORT(fixture, NULL), 1);
    tool_assert_printed(fixture->root, "stderr", "in use by another process");
    assert_reply(server, "CONFIG SET appendfsync always flush-interval 600000", "+OK");
    assert_reply(server, "SET key new", "+OK");
    resp_client_close(server);
    server_fixture_kill(fixture->server);
    assert_int_equal(EXPORT(fixture, NULL), 1);
    tool_assert_printed(fixture->root, "stderr", "changes that are not in RocksDB yet");
    tool_assert_printed(fixture->root, "stderr", "--ignore-journal");
    assert_int_equal(EXPORT(fixture, "--ignore-journal", NULL), 3);
    tool_assert_printed(fixture->root, "stdout", "NOT EXPORTED: ");
    struct resp_client *reference = start_reference(fixture);
    assert_reply(reference, "GET key", "\"old\"");
    resp_client_close(reference);
    server_fixture_destroy(fixture->reference);
    server_fixture_destroy(fixture->server);
}

static void deadlines_of_fields_need_version_12(void **state)
{
    struct fixture *fixture = *state;
    struct resp_client *server = start_server(fixture);
    assert_reply(server, "HSET hash due 1 later 2 stays 3", ":3");
    assert_reply(server, "HPEXPIREAT hash 4102444800000 FIELDS 1 later", "[:1]");
    resp_client_close(server);
    server_fixture_stop(fixture->server);
    assert_int_equal(EXPORT(fixture, "--rdb-version", "12", NULL), 0);
    assert_int_equal(EXPORT(fixture, NULL), 3);
    tool_assert_printed(fixture->root, "stdout", "the deadlines of fields of 1 hashes");
    struct resp_client *reference = start_reference(fixture);
    assert_reply(reference, "HLEN hash", ":3");
    resp_client_close(reference);
    server_fixture_destroy(fixture->reference);
    server_fixture_destroy(fixture->server);
}

static void a_wrong_command_line_is_explained(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "export", "--help"), 0);
    tool_assert_printed(fixture->root, "stdout", "--rdb-version");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "export", "--dir", "d"), 2);
    tool_assert_printed(fixture->root, "stderr", "into which file?");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "export", "-o", "f"), 2);
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "export", "--dir", "d", "-o", "f", "--rdb-version", "8"), 2);
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "export", "--dir", "d", "-o", "f", "--type", "module"), 2);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "export", "--dir", "d", "-o", "f", "--db", "x"),
                     2);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "export", "--dir", "d", "-o", "f", "more"), 2);
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "export", "--dir", "/missing", "-o", "/dev/null/f"), 1);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "export", "--dir", "/missing", "-o", "-"), 1);
}

int main(void)
{
    if (tool_program() == NULL || server_fixture_program() == NULL ||
        server_fixture_reference() == NULL) {
        (void)fprintf(stderr, "skipped: the tool, the server or the reference is missing\n");
        return EXIT_SKIPPED;
    }
#define FIXTURE_TEST(function) TEST_WITH(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(what_is_exported_redis_loads),
        FIXTURE_TEST(keys_can_be_chosen),
        FIXTURE_TEST(a_packed_file_can_be_imported),
        FIXTURE_TEST(changes_in_the_journal_are_not_left_out_in_silence),
        FIXTURE_TEST(deadlines_of_fields_need_version_12),
        FIXTURE_TEST(a_wrong_command_line_is_explained),
    };
    return RUN_TESTS("rdb_export", tests);
}
