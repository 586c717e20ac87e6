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

static unsigned count_of(struct bytes content, const char *part)
{
    unsigned count = 0;
    size_t len = strlen(part);
    for (size_t at = 0; at + len <= content.len; at++)
        count += memcmp(content.data + at, part, len) == 0;
    return count;
}

/* Two keys expire when `line` finds them; then the journal has `multis` MULTI and two DEL. */
static void check_expiry(const char *line, unsigned multis)
{
    char path[512];
    struct buf content = {0};
    struct err err;
    struct server_fixture *server = server_fixture_start(&(struct server_options){
        .dir = data_dir,
        .args = (const char *const[]){"--appendfsync", "always", "--enable-debug-command", "yes",
                                      "--flush-interval", "600000", NULL}});
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "DEBUG SET-ACTIVE-EXPIRE 0", "+OK");
    assert_reply(client, "SET foo1 v PX 1", "+OK");
    assert_reply(client, "SET foo2 v PX 1", "+OK");
    assert_reply(client, "DEBUG SLEEP 0.01", "+OK");
    (void)resp_client_ask(client, line);
    assert_reply(client, "DBSIZE", ":0");
    resp_client_close(client);
    server_fixture_kill(server);
    server_fixture_destroy(server);
    (void)snprintf(path, sizeof(path), "%s/journal/%020d.journal", data_dir, 0);
    assert_ok(env_read_file(env_posix(), path, FILE_BYTES_MAX, &content, &err), &err);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(keys_that_scan_finds_expired_are_deleted_one_by_one, setup, teardown),
        TEST_WITH(keys_that_randomkey_finds_expired_are_deleted_one_by_one, setup, teardown),
        TEST_WITH(keys_that_one_command_finds_expired_are_deleted_together, setup, teardown),
    };
    return RUN_TESTS("effects", tests);
}
