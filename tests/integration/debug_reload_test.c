/* Goal: DEBUG RELOAD makes the dataset anew out of the RDB file, with each of its options, and
 * loses nothing wherever it is killed. Method: a data set with keys of each type in each form,
 * digests before and after, and a server that kills itself at chosen reads and writes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "storage/env.h"
#include "tests/support/every_type.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#define EXIT_SKIPPED 77
#define FAILED       "-ERR Error trying to load the RDB dump, check server logs."
#define DIGEST_CHARS 48
#define EXIT_TIME_MS 20000
#define LIBRARY(name)                                                                              \
    "#!lua name=" name "\\nredis.register_function('" name "', function() return 1 end)"

struct digest {
    char text[DIGEST_CHARS];
};

static struct digest digest_of(struct resp_client *client)
{
    struct digest digest;
    (void)snprintf(digest.text, sizeof(digest.text), "%s", resp_client_ask(client, "DEBUG DIGEST"));
    return digest;
}

static void assert_digest(struct resp_client *client, const struct digest *expected)
{
    assert_string_equal(resp_client_ask(client, "DEBUG DIGEST"), expected->text);
}

static void put_file(struct server_fixture *fixture, struct bytes content)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/dump.rdb", server_fixture_dir(fixture));
    assert_ok(env_replace_file(env_posix(), path, content, NULL), NULL);
}

static void get_file(struct server_fixture *fixture, struct buf *out)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/dump.rdb", server_fixture_dir(fixture));
    assert_ok(env_read_file(env_posix(), path, 1 << 28, out, NULL), NULL);
}

/* ---- What it makes ---- */

static void reload_every_type(const char *setting, const char *value)
{
    struct server_fixture *fixture = server_fixture_start_with(setting, value);
    struct resp_client *client = server_fixture_connect(fixture);
    every_type_fill(client);
    assert_reply(client, "SELECT 7", "+OK");
    assert_reply(client, "SET k v PXAT 4102444800123", "+OK");
    assert_reply(client, "HSET h f v g w", ":2");
    assert_reply(client, "HPEXPIREAT h 4102444800124 FIELDS 1 f", "[:1]");
    char *consumers = mem_strdup(resp_client_ask(client, "XINFO GROUPS x:large"));
    struct digest before = digest_of(client);
    static const char *const requests[] = {"DEBUG RELOAD", "DEBUG RELOAD MERGE NOFLUSH",
                                           "DEBUG RELOAD NOSAVE"};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        assert_reply(client, requests[i], "+OK");
        assert_digest(client, &before);
        assert_reply(client, "DBSIZE", ":2");
        assert_reply(client, "PEXPIRETIME k", ":4102444800123");
        assert_reply(client, "HPEXPIRETIME h FIELDS 1 f", "[:4102444800124]");
        assert_string_equal(resp_client_ask(client, "XINFO GROUPS x:large"), consumers);
    }
    mem_free(consumers);
    resp_client_close(client);
    server_fixture_kill(fixture);
    server_fixture_restart(fixture);
    client = server_fixture_connect(fixture);
    assert_digest(client, &before);
    resp_client_close(client);
    server_fixture_destroy(fixture);
}

static void every_type_is_the_same_afterwards(void **state)
{
    (void)state;
    reload_every_type("--appendfsync", "always");
    reload_every_type("--debug-always-cold", "yes");
    reload_every_type("--large-collection-threshold", "1kb");
}

/* Values of the same bytes are held as the settings of now say. */
static void encodings_are_chosen_anew(void **state)
{
    (void)state;
    struct server_fixture *fixture = server_fixture_start_with("--appendfsync", "everysec");
    struct resp_client *client = server_fixture_connect(fixture);
    assert_reply(client, "RPUSH l a b c", ":3");
    assert_reply(client, "HSET h f 1 g 2", ":2");
    assert_reply(client, "ZADD z 1 a 2 b", ":2");
    assert_reply(client, "SADD i 1 2 3", ":3");
    assert_reply(client, "SADD s a b c", ":3");
    assert_reply(client,
                 "CONFIG SET list-max-listpack-size 1 hash-max-listpack-entries 1 "
                 "zset-max-listpack-entries 1 set-max-intset-entries 1 set-max-listpack-entries 1",
                 "+OK");
    assert_reply(client, "OBJECT ENCODING h", "\"listpack\"");
    assert_reply(client, "DEBUG RELOAD", "+OK");
    assert_reply(client, "OBJECT ENCODING l", "\"quicklist\"");
    assert_reply(client, "OBJECT ENCODING h", "\"hashtable\"");
    assert_reply(client, "OBJECT ENCODING z", "\"skiplist\"");
    assert_reply(client, "OBJECT ENCODING i", "\"hashtable\"");
    assert_reply(client, "OBJECT ENCODING s", "\"hashtable\"");
    assert_reply(client,
                 "CONFIG SET list-max-listpack-size -2 hash-max-listpack-entries 128 "
                 "zset-max-listpack-entries 128",
                 "+OK");
    assert_reply(client, "DEBUG RELOAD", "+OK");
    assert_reply(client, "OBJECT ENCODING l", "\"listpack\"");
    assert_reply(client, "OBJECT ENCODING h", "\"listpack\"");
    assert_reply(client, "OBJECT ENCODING z", "\"listpack\"");
    resp_client_close(client);
    server_fixture_destroy(fixture);
}

/* What is more than may be in RAM at once. */
static void collections_beyond_the_limit_stay_as_they_are(void **state)
{
    (void)state;
    struct server_fixture *fixture = server_fixture_start_with("--whole-load-limit", "64kb");
    struct resp_client *client = server_fixture_connect(fixture);
    assert_reply(client, "CONFIG SET hash-max-listpack-entries 1", "+OK");
    every_type_fill(client);
    assert_reply(client, "OBJECT ENCODING h:table", "\"hashtable\"");
    assert_reply(client, "CONFIG SET hash-max-listpack-entries 10000 hash-max-listpack-value 1000",
                 "+OK");
    struct digest before = digest_of(client);
    assert_reply(client, "DEBUG EVICT all", "+OK");
    assert_reply(client, "DEBUG RELOAD", "+OK");
    assert_digest(client, &before);
    assert_reply(client, "OBJECT ENCODING h:table", "\"listpack\"");
    assert_reply(client, "OBJECT ENCODING h:large", "\"hashtable\"");
    resp_client_close(client);
    server_fixture_destroy(fixture);
}

/* ---- Options ---- */

static void the_file_as_it_is_can_be_loaded(void **state)
{
    (void)state;
    struct server_fixture *fixture = server_fixture_start_with("--appendfsync", "always");
    struct resp_client *client = server_fixture_connect(fixture);
    assert_reply(client, "SET k old", "+OK");
    assert_reply(client, "SET gone v", "+OK");
    assert_reply(client, "FUNCTION LOAD \"" LIBRARY("one") "\"", "\"one\"");
    assert_reply(client, "SAVE", "+OK");
    struct digest saved = digest_of(client);
    assert_reply(client, "DEL gone", ":1");
    assert_reply(client, "SET k new", "+OK");
    assert_reply(client, "SET more v", "+OK");
    assert_reply(client, "FUNCTION LOAD \"" LIBRARY("two") "\"", "\"two\"");
    /* What is there already is neither replaced nor added to. */
    assert_reply(client, "DEBUG RELOAD NOSAVE NOFLUSH", FAILED);
    assert_reply(client, "MGET k gone more", "[\"new\" nil \"v\"]");
    assert_reply(client, "DEBUG RELOAD NOSAVE NOFLUSH MERGE", "+OK");
    assert_reply(client, "MGET k gone more", "[\"old\" \"v\" \"v\"]");
    assert_reply(client, "FCALL one 0", ":1");
    assert_reply(client, "FCALL two 0", ":1");
    assert_reply(client, "DEBUG RELOAD NOSAVE", "+OK");
    assert_digest(client, &saved);
    assert_reply(client, "FCALL two 0", "-ERR Function not found");
    resp_client_close(client);
    server_fixture_kill(fixture);
    server_fixture_restart(fixture);
    client = server_fixture_connect(fixture);
    assert_digest(client, &saved);
    assert_reply(client, "FCALL one 0", ":1");
    assert_reply(client, "FCALL two 0", "-ERR Function not found");
    assert_reply(client, "FLUSHALL", "+OK");
    assert_reply(client, "FUNCTION FLUSH", "+OK");
    assert_reply(client, "DEBUG RELOAD NOSAVE NOFLUSH", "+OK");
    assert_digest(client, &saved);
    assert_reply(client, "FCALL one 0", ":1");
    assert_reply(client, "DEBUG RELOAD AGAIN",
                 "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
    resp_client_close(client);
    server_fixture_destroy(fixture);
}

static void a_file_that_cannot_be_had_changes_nothing(void **state)
{
    (void)state;
    struct server_fixture *fixture = server_fixture_start_with("--whole-load-limit", "64kb");
    struct resp_client *client = server_fixture_connect(fixture);
    struct buf content = {0};
    assert_reply(client, "DEBUG RELOAD NOSAVE", FAILED);
    assert_reply(client, "SET k v", "+OK");
    assert_reply(client, "SAVE", "+OK");
    get_file(fixture, &content);
    assert_reply(client, "SET l w", "+OK");
    struct digest before = digest_of(client);
    for (size_t len = 0; len < content.len; len++) {
        put_file(fixture, bytes_make(content.data, len));
        assert_reply(client, "DEBUG RELOAD NOSAVE", FAILED);
    }
    content.data[content.len - 12] ^= 1;
    put_file(fixture, buf_bytes(&content));
    assert_reply(client, "DEBUG RELOAD NOSAVE", FAILED);
    /* Longer than may be in RAM at once. */
    assert_reply(client, "SETRANGE long 100000 x", ":100001");
    assert_reply(client, "CONFIG SET rdbcompression no", "+OK");
    assert_reply(client, "SAVE", "+OK");
    assert_reply(client, "DEL long", ":1");
    assert_reply(client, "DEBUG RELOAD NOSAVE", FAILED);
    assert_digest(client, &before);
    assert_reply(client, "DEBUG RELOAD", "+OK");
    assert_digest(client, &before);
    buf_deinit(&content);
    resp_client_close(client);
    server_fixture_destroy(fixture);
}

static void keys_whose_time_is_over_are_not_loaded(void **state)
{
    (void)state;
    struct server_fixture *fixture = server_fixture_start_with("--appendfsync", "everysec");
    struct resp_client *client = server_fixture_connect(fixture);
    assert_reply(client, "DEBUG SET-ACTIVE-EXPIRE 0", "+OK");
    assert_reply(client, "SET due v PX 1", "+OK");
    assert_reply(client, "SET k v", "+OK");
    assert_reply(client, "DEBUG SLEEP 0.01", "+OK");
    assert_reply(client, "DBSIZE", ":2");
    assert_reply(client, "DEBUG RELOAD", "+OK");
    assert_reply(client, "DBSIZE", ":1");
    resp_client_close(client);
    server_fixture_destroy(fixture);
}

/* ---- Kills ---- */

/* Kills the server in a reload, at the `nth` read of the file, and starts it again. False: the
 * reload was over before. Memory is so short that there are cuts in between. */
static bool kill_at_read(int nth)
{
    static const char *const args[] = {"--enable-debug-command", "yes",    "--maxmemory", "4mb",
                                       "--appendfsync",          "always", NULL};
    char env[128];
    int status;
    struct resp_reply reply = {0};
    (void)snprintf(env, sizeof(env), "BASALT_FAULT=pread:dump.rdb:%d:KILL", nth);
    struct server_fixture *fixture =
        server_fixture_start(&(struct server_options){.args = args, .env = env});
    struct resp_client *client = server_fixture_connect(fixture);
    every_type_fill(client);
    struct digest before = digest_of(client);
    assert_ok(resp_client_send(client, bytes_text("DEBUG RELOAD\r\n"), NULL), NULL);
    bool killed = resp_client_read(client, &reply, NULL) != ST_OK;
    resp_reply_deinit(&reply);
    resp_client_close(client);
    if (killed) {
        assert_true(server_fixture_wait_exit(fixture, EXIT_TIME_MS, &status));
        assert_true(WIFSIGNALED(status));
        server_fixture_restart(fixture);
    }
    client = server_fixture_connect(fixture);
    assert_digest(client, &before);
    resp_client_close(client);
    server_fixture_destroy(fixture);
    return killed;
}

static void a_kill_leaves_the_dataset(void **state)
{
    (void)state;
    int kills = 0;
    for (int nth = 1; kill_at_read(nth); nth += 9)
        kills++;
    if (kills < 3)
        fail_msg("killed %d times only", kills);
}

int main(void)
{
    if (server_fixture_program() == NULL) {
        (void)fprintf(stderr, "skipped: the server is missing\n");
        return EXIT_SKIPPED;
    }
#define SERVER_TEST(function) TEST_WITH(function, NULL, server_fixture_teardown)
    const struct CMUnitTest tests[] = {
        SERVER_TEST(every_type_is_the_same_afterwards),
        SERVER_TEST(encodings_are_chosen_anew),
        SERVER_TEST(collections_beyond_the_limit_stay_as_they_are),
        SERVER_TEST(the_file_as_it_is_can_be_loaded),
        SERVER_TEST(a_file_that_cannot_be_had_changes_nothing),
        SERVER_TEST(keys_whose_time_is_over_are_not_loaded),
        SERVER_TEST(a_kill_leaves_the_dataset),
    };
    return RUN_TESTS("debug_reload", tests);
}
