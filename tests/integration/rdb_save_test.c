/* Goal: what the server dumps and saves, Redis reads, and it is the same there. Method: a data set
 * with keys of each type in each form is carried to the reference, and both are asked for digests.
 * Skipped where no reference is installed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "storage/env.h"
#include "tests/support/every_type.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#define EXIT_SKIPPED 77

/* `dir` NULL: an empty one. */
static struct server_fixture *start_reference(const char *dir)
{
    static const char *const args[] = {"--enable-debug-command", "yes", "--save", "", NULL};
    struct server_options options = {.program = server_fixture_reference(),
                                     .argv0 = SERVER_FIXTURE_REFERENCE_ARGV0,
                                     .args = args,
                                     .dir = dir};
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

/* ---- DUMP ---- */

static void carry_key(struct resp_client *from, struct resp_client *to, const char *key)
{
    char line[128];
    struct buf restore = {0};
    (void)snprintf(line, sizeof(line), "DUMP %s", key);
    buf_append_format(&restore, "RESTORE %s 0 %s", key, resp_client_ask(from, line));
    const char *reply = resp_client_ask(to, (const char *)restore.data);
    if (strcmp(reply, "+OK") != 0)
        fail_msg("RESTORE %s: %s", key, reply);
    buf_deinit(&restore);
    (void)snprintf(line, sizeof(line), "DEBUG DIGEST-VALUE %s", key);
    assert_same(to, from, line);
}

static void carry_all(const char *setting, const char *value)
{
    struct server_fixture *ours = server_fixture_start_with(setting, value);
    struct server_fixture *theirs = start_reference(NULL);
    struct resp_client *server = server_fixture_connect(ours);
    struct resp_client *reference = server_fixture_connect(theirs);
    every_type_fill(server);
    for (size_t i = 0; i < every_type_key_count; i++)
        carry_key(server, reference, every_type_keys[i]);
    assert_same(reference, server, "XPENDING x:small group");
    assert_same(reference, server, "XPENDING x:large group");
    assert_same(reference, server, "XINFO GROUPS x:small");
    assert_same(reference, server, "XINFO GROUPS x:large");
    resp_client_close(server);
    resp_client_close(reference);
    server_fixture_destroy(ours);
    server_fixture_destroy(theirs);
}

static void what_is_dumped_redis_restores(void **state)
{
    (void)state;
    carry_all("--appendfsync", "everysec");
}

static void cold_values_are_dumped_whole(void **state)
{
    (void)state;
    carry_all("--debug-always-cold", "yes");
}

static void a_dump_needs_all_of_a_value_and_has_a_limit(void **state)
{
    (void)state;
    struct server_fixture *ours = server_fixture_start_with("--whole-load-limit", "64kb");
    struct resp_client *server = server_fixture_connect(ours);
    every_type_fill(server);
    assert_reply(server, "DEBUG EVICT all", "+OK");
    assert_reply(server, "DUMP h:large", "-/.*larger than whole-load-limit.*/");
    assert_int_equal(resp_client_ask(server, "DUMP h:table")[0], '"');
    resp_client_close(server);
    server_fixture_destroy(ours);
}

/* ---- Files ---- */

static bool info_says(struct resp_client *client, const char *line)
{
    return strstr(resp_client_ask(client, "INFO persistence"), line) != NULL;
}

static void wait_for_info(struct resp_client *client, const char *line)
{
    int64_t deadline_ms = harness_now_ms() + 20000;
    while (!info_says(client, line)) {
        if (harness_now_ms() > deadline_ms)
            fail_msg("INFO never says %s", line);
        (void)usleep(10000);
    }
}

/* Starts the reference with a copy of the server's file. */
static struct server_fixture *load_file(struct server_fixture *ours, char **dir_out)
{
    char path[512];
    struct buf content = {0};
    *dir_out = harness_make_dir();
    (void)snprintf(path, sizeof(path), "%s/dump.rdb", server_fixture_dir(ours));
    assert_ok(env_read_file(env_posix(), path, 1 << 28, &content, NULL), NULL);
    (void)snprintf(path, sizeof(path), "%s/dump.rdb", *dir_out);
    assert_ok(env_replace_file(env_posix(), path, buf_bytes(&content), NULL), NULL);
    buf_deinit(&content);
    return start_reference(*dir_out);
}

static bool file_exists(struct server_fixture *ours, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", server_fixture_dir(ours), name);
    return access(path, F_OK) == 0;
}

static void drop_loaded(struct server_fixture *theirs, char *dir)
{
    server_fixture_destroy(theirs);
    harness_remove_dir(dir);
    mem_free(dir);
}

static void save_and_compare(const char *setting, const char *value, const char *version)
{
    char *dir;
    struct server_fixture *ours = server_fixture_start_with(setting, value);
    struct resp_client *server = server_fixture_connect(ours);
    every_type_fill(server);
    (void)resp_client_call(server, "CONFIG", "SET", "rdb-version", version, NULL);
    assert_reply(server,
                 "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return "
                 "1 end)\"",
                 "\"lib\"");
    assert_reply(server, "SAVE", "+OK");
    assert_true(info_says(server, "rdb_saves:1"));
    assert_true(info_says(server, "rdb_changes_since_last_save:0"));
    struct server_fixture *theirs = load_file(ours, &dir);
    struct resp_client *reference = server_fixture_connect(theirs);
    assert_same(reference, server, "DEBUG DIGEST");
    assert_same(reference, server, "DBSIZE");
    assert_same(reference, server, "PEXPIRETIME s:due");
    assert_same(reference, server, "XPENDING x:small group");
    assert_same(reference, server, "XPENDING x:large group");
    if (strcmp(version, "9") != 0) {
        assert_same(reference, server, "XINFO GROUPS x:large");
        assert_same(reference, server, "FUNCTION LIST");
    }
    resp_client_close(server);
    resp_client_close(reference);
    server_fixture_destroy(ours);
    drop_loaded(theirs, dir);
}

static void what_is_saved_redis_loads(void **state)
{
    (void)state;
    save_and_compare("--appendfsync", "everysec", "10");
}

static void old_versions_have_the_same_values(void **state)
{
    (void)state;
    save_and_compare("--appendfsync", "everysec", "9");
}

static void large_collections_are_saved_from_their_elements(void **state)
{
    (void)state;
    save_and_compare("--large-collection-threshold", "1kb", "10");
    save_and_compare("--large-collection-threshold", "1kb", "9");
}

/* Each transaction gives two keys, far from each other, the same value. */
static void a_file_is_of_one_moment(void **state)
{
    enum { PAIRS = 50, TRANSACTIONS = 30000 };
    (void)state;
    char *dir, line[64];
    struct server_fixture *ours = server_fixture_start_with("--appendfsync", "everysec");
    struct resp_client *writer = server_fixture_connect(ours);
    struct resp_client *server = server_fixture_connect(ours);
    assert_reply(server, "DEBUG POPULATE 50000 key 100", "+OK");
    struct buf requests = {0};
    for (int i = 0; i < TRANSACTIONS; i++)
        buf_append_format(&requests,
                          "MULTI\r\nSET left:%d %d\r\nRPUSH {x%d}right:%d %d\r\nEXEC\r\n",
                          i % PAIRS, i, i % 7, i % PAIRS, i);
    /* Behind the last reply a marker tells that all has been run. */
    size_t sent = 0;
    while (sent < requests.len) {
        size_t piece = requests.len - sent < 65536 ? requests.len - sent : 65536;
        assert_ok(resp_client_send(writer, bytes_make(requests.data + sent, piece), NULL), NULL);
        sent += piece;
        if (sent >= requests.len / 3 && sent - piece < requests.len / 3)
            assert_reply(server, "BGSAVE", "+Background saving started");
        resp_client_set_timeout_ms(writer, 0);
        for (struct resp_reply reply = {0};; resp_reply_deinit(&reply))
            if (resp_client_read(writer, &reply, NULL) != ST_OK)
                break;
        resp_client_set_timeout_ms(writer, RESP_CLIENT_TIMEOUT_MS);
    }
    wait_for_info(server, "rdb_saves:1");
    struct server_fixture *theirs = load_file(ours, &dir);
    struct resp_client *reference = server_fixture_connect(theirs);
    int newest = 0;
    for (int i = 0; i < PAIRS; i++) {
        (void)snprintf(line, sizeof(line), "GET left:%d", i);
        char *left = mem_strdup(resp_client_ask(reference, line));
        int value = strcmp(left, "nil") == 0 ? -1 : atoi(left + 1);
        newest = value > newest ? value : newest;
        (void)snprintf(line, sizeof(line), "LINDEX {x%d}right:%d -1", value < 0 ? 0 : value % 7, i);
        assert_string_equal(resp_client_ask(reference, line), left);
        mem_free(left);
    }
    assert_in_range(newest, 1, TRANSACTIONS - 1);
    /* One moment: the newest values are those of the last transactions, without a gap. */
    for (int i = 0; i < PAIRS; i++) {
        int expected = newest - (newest - i % PAIRS + PAIRS) % PAIRS;
        char reply[32];
        (void)snprintf(line, sizeof(line), "GET left:%d", i);
        (void)snprintf(reply, sizeof(reply), "\"%d\"", expected);
        assert_reply(reference, line, reply);
    }
    buf_deinit(&requests);
    resp_client_close(reference);
    resp_client_close(server);
    resp_client_close(writer);
    server_fixture_destroy(ours);
    drop_loaded(theirs, dir);
}

static void what_is_dropped_while_it_is_saved_is_in_the_file(void **state)
{
    (void)state;
    char *dir;
    struct server_fixture *ours = server_fixture_start_with("--appendfsync", "everysec");
    struct resp_client *server = server_fixture_connect(ours);
    every_type_fill(server);
    assert_reply(server, "DEBUG POPULATE 200000 key 100", "+OK");
    assert_reply(server, "DEBUG CUT", "+OK");
    char *digest = mem_strdup(resp_client_ask(server, "DEBUG DIGEST"));
    assert_reply(server, "BGSAVE", "+Background saving started");
    /* Where this process rests for long, the save is over by then. */
    while (!info_says(server, "current_save_keys_total:2") && !info_says(server, "rdb_saves:1"))
        (void)usleep(1000);
    assert_reply(server, "FLUSHALL", "+OK");
    assert_reply(server, "SET later 1", "+OK");
    assert_reply(server, "DEBUG CUT", "+OK");
    wait_for_info(server, "rdb_saves:1");
    assert_reply(server, "DBSIZE", ":1");
    struct server_fixture *theirs = load_file(ours, &dir);
    struct resp_client *reference = server_fixture_connect(theirs);
    assert_string_equal(resp_client_ask(reference, "DEBUG DIGEST"), digest);
    mem_free(digest);
    resp_client_close(reference);
    resp_client_close(server);
    server_fixture_destroy(ours);
    drop_loaded(theirs, dir);
}

/* ---- Failures ---- */

static struct server_fixture *start_with_faults(const char *faults)
{
    static const char *const args[] = {"--enable-debug-command", "yes", NULL};
    return server_fixture_start(&(struct server_options){.args = args, .env = faults});
}

static void a_failed_save_is_an_error_and_leaves_the_old_file(void **state)
{
    static const char *const faults[] = {
        "BASALT_FAULT=open:dump.rdb.tmp:2:EACCES", "BASALT_FAULT=write:dump.rdb.tmp:3:ENOSPC",
        "BASALT_FAULT=fdatasync:dump.rdb.tmp:2:EIO", "BASALT_FAULT=rename:dump.rdb.tmp:2:EIO"};
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        char *dir;
        struct server_fixture *ours = start_with_faults(faults[i]);
        struct resp_client *server = server_fixture_connect(ours);
        assert_reply(server, "SET key old", "+OK");
        assert_reply(server, "SAVE", "+OK");
        assert_reply(server, "SET key new", "+OK");
        assert_reply(server, "SAVE", "-ERR");
        assert_true(info_says(server, "rdb_last_bgsave_status:err"));
        assert_true(info_says(server, "rdb_changes_since_last_save:1"));
        assert_false(file_exists(ours, "dump.rdb.tmp"));
        assert_reply(server, "SET key newer", "+OK");
        struct server_fixture *theirs = load_file(ours, &dir);
        struct resp_client *reference = server_fixture_connect(theirs);
        assert_reply(reference, "GET key", "\"old\"");
        resp_client_close(reference);
        drop_loaded(theirs, dir);
        assert_reply(server, "SAVE", "+OK");
        assert_true(info_says(server, "rdb_last_bgsave_status:ok"));
        resp_client_close(server);
        server_fixture_destroy(ours);
    }
}

static void a_killed_save_leaves_the_old_file(void **state)
{
    static const char *const faults[] = {"BASALT_FAULT=write:dump.rdb.tmp:3:KILL_AFTER",
                                         "BASALT_FAULT=rename:dump.rdb.tmp:2:KILL"};
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        char *dir;
        int status;
        struct server_fixture *ours = start_with_faults(faults[i]);
        struct resp_client *server = server_fixture_connect(ours);
        assert_reply(server, "SET key old", "+OK");
        assert_reply(server, "SAVE", "+OK");
        assert_reply(server, "SET key new", "+OK");
        assert_reply(server, "BGSAVE", "+Background saving started");
        assert_true(server_fixture_wait_exit(ours, 20000, &status));
        resp_client_close(server);
        assert_true(file_exists(ours, "dump.rdb.tmp"));
        struct server_fixture *theirs = load_file(ours, &dir);
        struct resp_client *reference = server_fixture_connect(theirs);
        assert_reply(reference, "GET key", "\"old\"");
        resp_client_close(reference);
        drop_loaded(theirs, dir);
        server_fixture_restart(ours);
        assert_false(file_exists(ours, "dump.rdb.tmp"));
        server_fixture_destroy(ours);
    }
}

/* ---- When ---- */

/* A setting for tests of what watches saves. Nobody else waits, nor does the end of the server. */
static void saves_last_as_long_as_they_are_told(void **state)
{
    (void)state;
    struct server_fixture *ours = server_fixture_start(&(struct server_options){.args = NULL});
    struct resp_client *client = server_fixture_connect(ours);
    for (int i = 0; i < 100; i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "SET key:%d value", i);
        assert_reply(client, line, "+OK");
    }
    assert_reply(client, "CONFIG SET rdb-key-save-delay 3000", "+OK");
    int64_t begin_ms = harness_now_ms();
    assert_reply(client, "SAVE", "+OK");
    assert_true(harness_now_ms() - begin_ms >= 300);
    assert_reply(client, "CONFIG SET rdb-key-save-delay -2147483648", "+OK");
    assert_reply(client, "SAVE", "+OK");
    assert_reply(client, "CONFIG SET rdb-key-save-delay 2147483647", "+OK");
    assert_reply(client, "BGSAVE", "+Background saving started");
    wait_for_info(client, "current_save_keys_processed:1");
    assert_reply(client, "SET key:0 other", "+OK");
    wait_for_info(client, "rdb_bgsave_in_progress:1");
    assert_reply(client, "CONFIG SET rdb-key-save-delay 0", "+OK");
    wait_for_info(client, "rdb_bgsave_in_progress:0");
    assert_reply(client, "CONFIG SET rdb-key-save-delay 2147483647", "+OK");
    assert_reply(client, "BGSAVE", "+Background saving started");
    wait_for_info(client, "current_save_keys_processed:1");
    resp_client_close(client);
    server_fixture_stop(ours);
    server_fixture_destroy(ours);
}

static void save_points_start_saves(void **state)
{
    (void)state;
    struct server_fixture *ours = server_fixture_start_with("--save", "1 3");
    struct resp_client *server = server_fixture_connect(ours);
    assert_reply(server, "MSET a 1 b 2", "+OK");
    assert_true(info_says(server, "rdb_changes_since_last_save:2"));
    (void)usleep(1500000);
    assert_false(file_exists(ours, "dump.rdb"));
    assert_reply(server, "SET c 3", "+OK");
    wait_for_info(server, "rdb_saves:1");
    assert_true(file_exists(ours, "dump.rdb"));
    resp_client_close(server);
    server_fixture_destroy(ours);
}

static void shutdown_saves_if_it_is_told(void **state)
{
    (void)state;
    int status;
    struct server_fixture *ours = server_fixture_start_with("--appendfsync", "everysec");
    struct resp_client *server = server_fixture_connect(ours);
    assert_reply(server, "DEBUG POPULATE 1000", "+OK");
    assert_ok(resp_client_send(server, bytes_text("SHUTDOWN SAVE\r\n"), NULL), NULL);
    assert_true(server_fixture_wait_exit(ours, 20000, &status));
    assert_int_equal(status, 0);
    assert_true(file_exists(ours, "dump.rdb"));
    resp_client_close(server);
    server_fixture_restart(ours);
    server = server_fixture_connect(ours);
    assert_reply(server, "DBSIZE", ":1000");
    resp_client_close(server);
    server_fixture_destroy(ours);
}

int main(void)
{
    if (server_fixture_program() == NULL || server_fixture_reference() == NULL) {
        (void)fprintf(stderr, "skipped: the server or the reference is missing\n");
        return EXIT_SKIPPED;
    }
#define SERVER_TEST(function) TEST_WITH(function, NULL, server_fixture_teardown)
    const struct CMUnitTest tests[] = {
        SERVER_TEST(what_is_dumped_redis_restores),
        SERVER_TEST(cold_values_are_dumped_whole),
        SERVER_TEST(a_dump_needs_all_of_a_value_and_has_a_limit),
        SERVER_TEST(what_is_saved_redis_loads),
        SERVER_TEST(old_versions_have_the_same_values),
        SERVER_TEST(large_collections_are_saved_from_their_elements),
        SERVER_TEST(a_file_is_of_one_moment),
        SERVER_TEST(what_is_dropped_while_it_is_saved_is_in_the_file),
        SERVER_TEST(a_failed_save_is_an_error_and_leaves_the_old_file),
        SERVER_TEST(a_killed_save_leaves_the_old_file),
        SERVER_TEST(saves_last_as_long_as_they_are_told),
        SERVER_TEST(save_points_start_saves),
        SERVER_TEST(shutdown_saves_if_it_is_told),
    };
    return RUN_TESTS("rdb_save", tests);
}
