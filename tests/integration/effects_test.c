/* Goal: what the journal, and with it a replica, is told of a command's effects, where no reply
 * shows it.
 *
 * Method: the bytes of the only journal file of a server that was killed, with every write synced.
 */
#include <stdio.h>
#include <string.h>

#include "codec/mem.h"
#include "storage/env.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)

static char *data_dir;

static int setup(void **state)
{
    (void)state;
    data_dir = harness_make_dir();
    return 0;
}

static int teardown(void **state)
{
    int result = server_fixture_teardown(state);
    harness_remove_dir(data_dir);
    mem_free(data_dir);
    return result;
}

/* Where `part` begins; content.len: nowhere. */
static size_t index_of(struct bytes content, const char *part)
{
    const uint8_t *found = memmem(content.data, content.len, part, strlen(part));
    return found == NULL ? content.len : (size_t)(found - content.data);
}

static unsigned count_of(struct bytes content, const char *part)
{
    unsigned count = 0;
    for (size_t at; (at = index_of(content, part)) != content.len; count++)
        content = bytes_make(content.data + at + 1, content.len - at - 1);
    return count;
}

static struct server_fixture *start(void)
{
    return server_fixture_start(&(struct server_options){
        .dir = data_dir,
        .args = (const char *const[]){"--appendfsync", "always", "--enable-debug-command", "yes",
                                      "--flush-interval", "600000", NULL}});
}

/* Kills the server, and reads its journal. */
static void end(struct server_fixture *server, struct buf *journal_out)
{
    char path[512];
    struct err err;
    server_fixture_kill(server);
    server_fixture_destroy(server);
    (void)snprintf(path, sizeof(path), "%s/journal/%020d.journal", data_dir, 0);
    assert_ok(env_read_file(env_posix(), path, FILE_BYTES_MAX, journal_out, &err), &err);
}

/* Two keys expire when `line` finds them; then the journal has `multis` MULTI and two DEL. */
static void check_expiry(const char *line, unsigned multis)
{
    struct buf content = {0};
    struct server_fixture *server = start();
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "DEBUG SET-ACTIVE-EXPIRE 0", "+OK");
    assert_reply(client, "SET foo1 v PX 1", "+OK");
    assert_reply(client, "SET foo2 v PX 1", "+OK");
    assert_reply(client, "DEBUG SLEEP 0.01", "+OK");
    (void)resp_client_ask(client, line);
    assert_reply(client, "DBSIZE", ":0");
    resp_client_close(client);
    end(server, &content);
    assert_int_equal(count_of(buf_bytes(&content), "\r\nDEL\r\n$4\r\nfoo"), 2);
    assert_int_equal(count_of(buf_bytes(&content), "\r\nMULTI\r\n"), multis);
    buf_deinit(&content);
}

static void keys_that_scan_finds_expired_are_deleted_one_by_one(void **state)
{
    (void)state;
    check_expiry("SCAN 0", 0);
}

static void keys_that_randomkey_finds_expired_are_deleted_one_by_one(void **state)
{
    (void)state;
    check_expiry("RANDOMKEY", 0);
}

static void keys_that_one_command_finds_expired_are_deleted_together(void **state)
{
    (void)state;
    check_expiry("MGET foo1 foo2", 1);
}

/* Deletions that nobody has asked for, and the setting that decides about them. */
static void deletions_are_told_as_the_lazyfree_settings_say(void **state)
{
    static const struct {
        const char *setting;
        const char *before[2];
        const char *line;
    } cases[] = {
        {"lazyfree-lazy-expire", {"SET foo1 v PX 1", "DEBUG SLEEP 0.01"}, "GET foo1"},
        {"lazyfree-lazy-expire", {"SET foo1 v"}, "PEXPIREAT foo1 1"},
        {"lazyfree-lazy-expire", {"SET foo1 v"}, "GETEX foo1 PXAT 1"},
        {"lazyfree-lazy-server-del", {"SADD foo1 a b"}, "SPOP foo1 2"},
        {"lazyfree-lazy-server-del",
         {"SET foo1 v"},
         "EVAL \"return redis.call('RESTORE', KEYS[1], 1, redis.call('DUMP', KEYS[1]), 'ABSTTL', "
         "'REPLACE')\" 1 foo1"},
    };
    const unsigned count = sizeof(cases) / sizeof(*cases);
    (void)state;
    struct buf content = {0};
    char text[128];
    struct server_fixture *server = start();
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "DEBUG SET-ACTIVE-EXPIRE 0", "+OK");
    for (unsigned i = 0; i < 2 * count; i++) {
        const char *const *before = cases[i / 2].before;
        (void)snprintf(text, sizeof(text), "CONFIG SET %s %s", cases[i / 2].setting,
                       i % 2 == 0 ? "no" : "yes");
        assert_reply(client, text, "+OK");
        for (unsigned line = 0; line < 2 && before[line] != NULL; line++)
            (void)resp_client_ask(client, before[line]);
        (void)resp_client_ask(client, cases[i / 2].line);
        assert_reply(client, "EXISTS foo1", ":0");
        (void)snprintf(text, sizeof(text), "CONFIG SET %s no", cases[i / 2].setting);
        assert_reply(client, text, "+OK");
        (void)snprintf(text, sizeof(text), "SET case%u v", i);
        assert_reply(client, text, "+OK");
    }
    resp_client_close(client);
    end(server, &content);
    size_t at = 0;
    for (unsigned i = 0; i < 2 * count; i++) { /* each one's effects end where its `case` is set */
        (void)snprintf(text, sizeof(text), "\r\nSET\r\n$5\r\ncase%u\r\n", i);
        struct bytes rest = bytes_make(content.data + at, content.len - at);
        size_t len = index_of(rest, text);
        assert_int_not_equal(len, rest.len);
        struct bytes effects = bytes_make(rest.data, len);
        if (count_of(effects, "\r\nDEL\r\n$4\r\nfoo1") != (i % 2 == 0) ||
            count_of(effects, "\r\nUNLINK\r\n$4\r\nfoo1") != (i % 2 == 1))
            fail_msg("case %u: not told as the setting says", i);
        at += len + 1;
    }
    buf_deinit(&content);
    server = start();
    client = server_fixture_connect(server);
    assert_reply(client, "EXISTS foo1", ":0");
    resp_client_close(client);
    server_fixture_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(keys_that_scan_finds_expired_are_deleted_one_by_one, setup, teardown),
        TEST_WITH(keys_that_randomkey_finds_expired_are_deleted_one_by_one, setup, teardown),
        TEST_WITH(keys_that_one_command_finds_expired_are_deleted_together, setup, teardown),
        TEST_WITH(deletions_are_told_as_the_lazyfree_settings_say, setup, teardown),
    };
    return RUN_TESTS("effects", tests);
}
