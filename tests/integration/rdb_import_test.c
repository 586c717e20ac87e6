/* Goal: what redis-server saved is what our server serves after `basalt rdb import`, and the tool
 * says by words and exit status what it did. Method: the reference makes the file, the tool is run
 * as a process, and both servers are asked the same. Skipped where no reference is installed. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/compress.h"
#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/tool_run.h"

#define EXIT_SKIPPED 77

struct fixture {
    char *root;
    char data[256]; /* the directory that is imported into */
    char rdb[512];  /* a file of the reference */
    struct server_fixture *reference;
};

static void make_path(char out[512], const char *dir, const char *name)
{
    assert_in_range(snprintf(out, 512, "%s/%s", dir, name), 1, 511);
}

static int setup(void **state)
{
    struct fixture *fixture = mem_calloc(1, sizeof(*fixture));
    fixture->root = harness_make_dir();
    (void)snprintf(fixture->data, sizeof(fixture->data), "%s/data", fixture->root);
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

/* ---- Two servers ---- */

static struct server_fixture *start_reference(struct fixture *fixture)
{
    static const char *const args[] = {"--enable-debug-command", "yes", "--save", "", NULL};
    struct server_options options = {.program = server_fixture_reference(),
                                     .argv0 = SERVER_FIXTURE_REFERENCE_ARGV0,
                                     .args = args};
    fixture->reference = server_fixture_start(&options);
    make_path(fixture->rdb, server_fixture_dir(fixture->reference), "dump.rdb");
    return fixture->reference;
}

static struct server_fixture *start_server(struct fixture *fixture)
{
    static const char *const args[] = {"--enable-debug-command", "yes", "--appendfsync", "always",
                                       NULL};
    struct server_options options = {.dir = fixture->data, .args = args};
    return server_fixture_start(&options);
}

/* Asks both the same and compares the answers. */
static void assert_same(struct resp_client *reference, struct resp_client *server,
                        const char *request)
{
    char *expected = mem_strdup(resp_client_ask(reference, request));
    const char *actual = resp_client_ask(server, request);
    if (strcmp(expected, actual) != 0)
        fail_msg("%s: the reference says %.200s, the server %.200s", request, expected, actual);
    mem_free(expected);
}

static void fill(struct resp_client *client)
{
    assert_reply(client, "DEBUG POPULATE 5000 key 90", "+OK");
    assert_reply(client, "DEBUG POPULATE 300 long 3000", "+OK");
    assert_reply(client, "SET int -1234567890123", "+OK");
    assert_reply(client, "SET short abc PXAT 4102444800123", "+OK");
    assert_reply(client, "APPEND grown abc", ":3");
    assert_reply(client, "SETRANGE large 500000 tail", ":500004");
    assert_reply(client, "SETRANGE large 100000 amid", ":500004");
    assert_reply(client, "EXPIREAT large 4102444800", ":1");
    assert_reply(client, "SETBIT bitmap 8000000 1", ":0");
    assert_reply(client, "SET empty \"\"", "+OK");
    assert_reply(client, "SET \"\" \"the empty key\"", "+OK");
    assert_reply(client, "SET \"\\x00\\xff{b}in\" \"\\x00\\x01\\xff\"", "+OK");
    assert_reply(client, "SELECT 9", "+OK");
    assert_reply(client, "SET int 7 EXAT 4102444800", "+OK");
    assert_reply(client, "DEBUG POPULATE 1000 nine", "+OK");
    assert_reply(client, "SELECT 0", "+OK");
}

static void a_saved_dataset_is_served_with_the_same_answers(void **state)
{
    static const char *const keys[] = {"int",      "short",  "grown",  "large",
                                       "bitmap",   "empty",  "\"\"",   "\"\\x00\\xff{b}in\"",
                                       "key:4999", "long:7", "missing"};
    static const char *const questions[] = {"GET %s", "PEXPIRETIME %s", "OBJECT ENCODING %s",
                                            "STRLEN %s"};
    struct fixture *fixture = *state;
    struct resp_client *reference = server_fixture_connect(start_reference(fixture));
    fill(reference);
    assert_reply(reference, "SAVE", "+OK");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", fixture->rdb, "--dir", fixture->data),
                     0);
    tool_assert_printed(fixture->root, "stdout", "Imported 6,309 keys (3 with an expiry)");
    tool_assert_printed(fixture->root, "stdout", "db9: 1,001 keys, 1 with an expiry");
    struct server_fixture *ours = start_server(fixture);
    struct resp_client *server = server_fixture_connect(ours);
    assert_same(reference, server, "DBSIZE");
    assert_same(reference, server, "DEBUG DIGEST");
    for (int db = 9; db >= 0; db -= 9) {
        char request[256];
        (void)snprintf(request, sizeof(request), "SELECT %d", db);
        assert_same(reference, server, request);
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
            for (size_t q = 0; q < sizeof(questions) / sizeof(questions[0]); q++) {
                char verb[32];
                (void)snprintf(verb, sizeof(verb), "%s", questions[q]);
                *strchr(verb, '%') = '\0';
                (void)snprintf(request, sizeof(request), "%s%s", verb, keys[i]);
                assert_same(reference, server, request);
            }
    }
    assert_reply(server, "APPEND large x", ":500005");
    assert_reply(server, "SET new 1", "+OK");
    resp_client_close(server);
    server_fixture_kill(ours);
    server_fixture_restart(ours);
    server = server_fixture_connect(ours);
    assert_reply(server, "STRLEN large", ":500005");
    assert_reply(server, "DBSIZE", ":5309");
    resp_client_close(server);
    resp_client_close(reference);
    server_fixture_destroy(ours);
    server_fixture_destroy(fixture->reference);
}

/* Values of all types, of few and of so many elements that they are held in pieces. */
static void fill_types(struct resp_client *client)
{
    assert_reply(client, "RPUSH l 1 b \"\" -7", ":4");
    assert_reply(client, "SADD set:integers 1 70000 -3", ":3");
    assert_reply(client, "SADD set:texts a b 3", ":3");
    assert_reply(client, "HSET h f v g 12", ":2");
    assert_reply(client, "ZADD z 1 a 2.5 b -inf c", ":3");
    assert_reply(client, "PEXPIREAT z 4102444800123", ":1");
    assert_reply(client, "XADD x 1-1 f v g w", "\"1-1\"");
    assert_reply(client, "XADD x 2-1 f v", "\"2-1\"");
    assert_reply(client, "XGROUP CREATE x readers 0", "+OK");
    (void)resp_client_ask(client, "XREADGROUP GROUP readers one COUNT 1 STREAMS x >");
    for (int i = 0; i < 3000; i++) {
        char request[256];
        static const char *const forms[] = {"RPUSH large:l element:%d", "SADD large:s member:%d",
                                            "HSET large:h field:%d value", "ZADD large:z %d member",
                                            "XADD large:x %d-1 f value"};
        for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
            char *end = strchr(forms[f], '%');
            (void)snprintf(request, sizeof(request), "%.*s%d%s", (int)(end - forms[f]), forms[f],
                           i + 1, end + 2);
            if (f == 3)
                (void)snprintf(request, sizeof(request), "ZADD large:z %d member:%d", i % 7, i);
            (void)resp_client_ask(client, request);
        }
    }
    assert_reply(client, "XGROUP CREATE large:x readers 0", "+OK");
    (void)resp_client_ask(client, "XREADGROUP GROUP readers one COUNT 900 STREAMS large:x >");
    assert_reply(client,
                 "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', "
                 "function() return 42 end)\"",
                 "\"lib\"");
}

static void values_of_all_types_are_served_with_the_same_digests(void **state)
{
    static const char *const questions[] = {
        "DEBUG DIGEST",
        "DBSIZE",
        "FCALL f 0",
        "PEXPIRETIME z",
        "LRANGE large:l 1000 1010",
        "HGET large:h field:77",
        "SISMEMBER large:s member:2999",
        "ZRANGE large:z 5 7 WITHSCORES",
        "XRANGE large:x 500 + COUNT 2",
        "XPENDING x readers",
        "XPENDING large:x readers",
    };
    static const char *const changes[] = {
        "RPUSH large:l more",           "LPOP large:l 2",
        "HDEL large:h field:1",         "HSET large:h field:2 new",
        "SREM large:s member:2",        "SADD large:s another",
        "ZADD large:z 3 another",       "XADD large:x 9000-1 f v",
        "XACK large:x readers 1-1 2-1", "DEBUG DIGEST",
    };
    struct fixture *fixture = *state;
    struct resp_client *reference = server_fixture_connect(start_reference(fixture));
    fill_types(reference);
    assert_reply(reference, "SAVE", "+OK");
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "import", "--json", fixture->rdb, "--dir", fixture->data),
        0);
    tool_assert_printed(fixture->root, "stdout", "{\"status\":\"ok\",\"rdb_version\":10");
    tool_assert_printed(fixture->root, "stdout", "\"functions\":1");
    tool_assert_printed(fixture->root, "stdout",
                        "\"databases\":{\"0\":{\"keys\":11,\"expires\":1}}");
    struct server_fixture *ours = start_server(fixture);
    struct resp_client *server = server_fixture_connect(ours);
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
        assert_same(reference, server, questions[i]);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        assert_same(reference, server, changes[i]);
    resp_client_close(server);
    server_fixture_kill(ours);
    server_fixture_restart(ours);
    server = server_fixture_connect(ours);
    assert_same(reference, server, "DEBUG DIGEST");
    resp_client_close(server);
    resp_client_close(reference);
    server_fixture_destroy(ours);
    server_fixture_destroy(fixture->reference);
}

static void write_file(const char *path, struct bytes bytes)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
}

/* A string, a list, a hash in database 2, and a value of a module. */
static const char small_file[] = "REDIS0009\xfe\0\0\1s\1v\1\1l\1\1x"
                                 "\7\1m\x81\x4b\x51\xad\x4b\x34\x8c\0\1\2\5\0"
                                 "\xfe\2\4\1h\1\1f\1v\xff\0\0\0\0\0\0\0\0";

static void values_of_modules_are_left_out_and_told_by_the_exit_status(void **state)
{
    struct fixture *fixture = *state;
    char path[512];
    make_path(path, fixture->root, "small.rdb");
    write_file(path, bytes_make(small_file, sizeof(small_file) - 1));
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "import", path, "--json", "--dir", fixture->data), 3);
    tool_assert_printed(fixture->root, "stdout", "\"skipped\":{\"module\":1}");
    tool_assert_printed(fixture->root, "stdout",
                        "\"databases\":{\"0\":{\"keys\":2,\"expires\":0},"
                        "\"2\":{\"keys\":1,\"expires\":0}}");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", path, "--replace-dataset",
                              "--skip-modules", "--dir", fixture->data),
                     0);
    tool_assert_printed(fixture->root, "stdout", "NOT IMPORTED: 1 values of modules.");
}

static void only_wanted_keys_are_imported_also_of_packed_files(void **state)
{
    static const struct {
        const char *option;
        const char *value;
        const char *databases;
    } cases[] = {
        {"--db", "2", "{\"2\":{\"keys\":1,\"expires\":0}}"},
        {"--match", "[sh]", "{\"0\":{\"keys\":1,\"expires\":0},\"2\":{\"keys\":1,\"expires\":0}}"},
        {"--type", "list", "{\"0\":{\"keys\":1,\"expires\":0}}"},
        {"--type", "zset", "{}"},
    };
    struct fixture *fixture = *state;
    struct buf packed = {0};
    char path[512];
    struct err err;
    make_path(path, fixture->root, "small.rdb.zst");
    assert_ok(compress_encode(NULL, 1, bytes_make(small_file, 10), &packed, &err), &err);
    assert_ok(compress_encode(NULL, 1, bytes_make(small_file + 10, sizeof(small_file) - 11),
                              &packed, &err),
              &err); /* two frames */
    write_file(path, buf_bytes(&packed));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char databases[256];
        (void)snprintf(databases, sizeof(databases), "\"databases\":%s", cases[i].databases);
        assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", path, "--json",
                                  "--replace-dataset", "--skip-modules", cases[i].option,
                                  cases[i].value, "--dir", fixture->data),
                         0);
        tool_assert_printed(fixture->root, "stdout", databases);
    }
    write_file(path, bytes_make(packed.data, packed.len - 3));
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "import", path, "--replace-dataset", "--dir", fixture->data),
        1);
    tool_assert_printed(fixture->root, "stderr", "cut off");
    buf_deinit(&packed);
}

static void a_dataset_is_replaced_only_while_its_server_rests(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(mkdir(fixture->data, 0700), 0);
    struct server_fixture *ours = start_server(fixture);
    struct resp_client *server = server_fixture_connect(ours);
    struct resp_client *reference = server_fixture_connect(start_reference(fixture));
    for (int i = 0; i < 100; i++)
        assert_reply(server, "INCR old", ":*");
    assert_reply(reference, "SET new 1", "+OK");
    assert_reply(reference, "SAVE", "+OK");
    resp_client_close(reference);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", fixture->rdb, "--dir", fixture->data),
                     1);
    tool_assert_printed(fixture->root, "stderr", "holds a dataset already");
    tool_assert_printed(fixture->root, "stderr", "--replace-dataset");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", fixture->rdb, "--dir", fixture->data,
                              "--replace-dataset"),
                     1);
    tool_assert_printed(fixture->root, "stderr", "in use by another process");
    assert_reply(server, "INCR old", ":101");
    resp_client_close(server);
    server_fixture_kill(ours); /* there is a journal to replay now */
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", fixture->rdb, "--dir", fixture->data,
                              "--replace-dataset"),
                     0);
    server_fixture_restart(ours);
    server = server_fixture_connect(ours);
    assert_reply(server, "GET old", "nil");
    assert_reply(server, "INCR new", ":2");
    resp_client_close(server);
    server_fixture_kill(ours);
    server_fixture_restart(ours);
    server = server_fixture_connect(ours);
    assert_reply(server, "GET new", "\"2\"");
    assert_reply(server, "DBSIZE", ":1");
    resp_client_close(server);
    server_fixture_destroy(ours);
    server_fixture_destroy(fixture->reference);
}

static void a_file_cut_off_is_refused_with_the_offset(void **state)
{
    struct fixture *fixture = *state;
    struct resp_client *reference = server_fixture_connect(start_reference(fixture));
    assert_reply(reference, "DEBUG POPULATE 1000", "+OK");
    assert_reply(reference, "SAVE", "+OK");
    assert_int_equal(truncate(fixture->rdb, 5000), 0);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", fixture->rdb, "--dir", fixture->data),
                     1);
    tool_assert_printed(fixture->root, "stderr", "RDB offset ");
    tool_assert_printed(fixture->root, "stderr", "the file ends here");
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "import", fixture->rdb, "--dir", fixture->data, "--json"),
        1);
    tool_assert_printed(fixture->root, "stdout", "{\"status\":\"error\",\"error\":\"corrupt\"");
    assert_int_equal(rmdir(fixture->data), 0); /* empty */
    resp_client_close(reference);
    server_fixture_destroy(fixture->reference);
}

static void standard_input_is_read_and_signals_end_the_import(void **state)
{
    struct fixture *fixture = *state;
    struct resp_client *reference = server_fixture_connect(start_reference(fixture));
    assert_reply(reference, "DEBUG POPULATE 1000", "+OK");
    assert_reply(reference, "SAVE", "+OK");
    static const char *const args[] = {"rdb", "import", "-", "--dir", NULL, NULL};
    const char *argv[6];
    memcpy(argv, args, sizeof(argv));
    argv[4] = fixture->data;
    int input = open(fixture->rdb, O_RDONLY);
    assert_int_equal(tool_wait(tool_start_from(fixture->root, input, argv)), 0);
    close(input);
    tool_assert_printed(fixture->root, "stdout", "Imported 1,000 keys");
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    (void)snprintf(fixture->data, sizeof(fixture->data), "%s/other", fixture->root);
    char work[512];
    make_path(work, fixture->data, "import.tmp/rocksdb/CURRENT");
    pid_t pid = tool_start_from(fixture->root, ends[0], argv);
    int64_t deadline_ms = harness_now_ms() + 20000;
    while (access(work, F_OK) != 0 && harness_now_ms() < deadline_ms)
        (void)usleep(1000);
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_int_equal(tool_wait(pid), 128 + SIGINT);
    tool_assert_printed(fixture->root, "stderr", "interrupted");
    assert_int_equal(rmdir(fixture->data), 0);
    close(ends[0]);
    close(ends[1]);
    resp_client_close(reference);
    server_fixture_destroy(fixture->reference);
}

static void a_wrong_command_line_is_explained(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(TOOL_RUN(fixture->root, "--version"), 0);
    tool_assert_printed(fixture->root, "stdout", "basalt ");
    assert_int_equal(TOOL_RUN(fixture->root, "--help"), 0);
    tool_assert_printed(fixture->root, "stdout", "rdb import");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "--help"), 0);
    tool_assert_printed(fixture->root, "stdout", "--replace-dataset");
    assert_int_equal(TOOL_RUN(fixture->root, "fly"), 2);
    tool_assert_printed(fixture->root, "stderr", "no command \"fly\"");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import"), 2);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", "file"), 2);
    tool_assert_printed(fixture->root, "stderr", "--dir");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", "file", "more", "--dir", "d"), 2);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", "file", "--dir"), 2);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", "file", "--dir", "d", "--fast"), 2);
    tool_assert_printed(fixture->root, "stderr", "--fast");
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "import", "f", "--dir", "d", "--memory", "12mb"), 2);
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "import", "f", "--dir", "d", "--databases", "0"), 2);
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "import", fixture->root, "--dir", fixture->data), 1);
    tool_assert_printed(fixture->root, "stderr", "is a directory");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "import", "/missing", "--dir", fixture->data),
                     1);
    tool_assert_printed(fixture->root, "stderr", "/missing: No such file");
    assert_int_not_equal(access(fixture->data, F_OK), 0);
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
        FIXTURE_TEST(a_saved_dataset_is_served_with_the_same_answers),
        FIXTURE_TEST(values_of_all_types_are_served_with_the_same_digests),
        FIXTURE_TEST(values_of_modules_are_left_out_and_told_by_the_exit_status),
        FIXTURE_TEST(only_wanted_keys_are_imported_also_of_packed_files),
        FIXTURE_TEST(a_dataset_is_replaced_only_while_its_server_rests),
        FIXTURE_TEST(a_file_cut_off_is_refused_with_the_offset),
        FIXTURE_TEST(standard_input_is_read_and_signals_end_the_import),
        FIXTURE_TEST(a_wrong_command_line_is_explained),
    };
    return RUN_TESTS("rdb_import", tests);
}
