/* Goal: memory is bounded as the settings say, and a bound that is too low stops nobody.
 *
 * Method: real servers with small bounds; what the kernel says that they take is looked at while
 * clients write. */
#include <stdio.h>

#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#define DATABASES   1500
#define KEYS        100
#define VALUE_BYTES 5000 /* together more than the burst that is admitted in any case */

/* Requests that write, each in its own way; all are answered before the client gives up. */
static void write_in_every_way(struct resp_client *client)
{
    char line[VALUE_BYTES + 64];
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(line, sizeof(line), "SET key:%d %0*d", i, VALUE_BYTES, i);
        assert_reply(client, line, "+OK");
        (void)snprintf(line, sizeof(line), "STRLEN key:%d", i / 2);
        assert_reply(client, line, ":5000");
    }
    for (int i = 0; i < 5; i++) {
        assert_reply(client, "SET k v", "+OK");
        assert_reply(client, "GET k", "\"v\"");
        assert_reply(client, "MULTI", "+OK");
        assert_reply(client, "SET n 1", "+QUEUED");
        assert_reply(client, "INCR n", "+QUEUED");
        assert_reply(client, "EXEC", "[+OK :2]");
        assert_reply(client, "EVAL \"return redis.call('INCRBY', KEYS[1], 5)\" 1 n", ":7");
        assert_reply(client, "DEL k n", ":2");
    }
}

static void a_bound_of_one_byte_stops_nobody(void **state)
{
    (void)state;
    struct server_fixture *server = server_fixture_start(
        &(struct server_options){.args = (const char *const[]){"--maxmemory", "1", NULL}});
    struct resp_client *client = server_fixture_connect(server);
    write_in_every_way(client);
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_destroy(server);
}

/* The tables of so many databases take more than the least that writers are given. */
static void a_bound_below_what_tables_take_stops_nobody(void **state)
{
    (void)state;
    char line[64];
    struct server_fixture *server = server_fixture_start(&(struct server_options){
        .args = (const char *const[]){"--maxmemory", "256mb", "--databases", "1501", NULL}});
    struct resp_client *client = server_fixture_connect(server);
    for (int i = 1; i <= DATABASES; i++) {
        (void)snprintf(line, sizeof(line), "SELECT %d", i);
        assert_reply(client, line, "+OK");
        assert_reply(client, "SET k v", "+OK");
    }
    assert_reply(client, "SELECT 0", "+OK");
    assert_reply(client, "CONFIG SET maxmemory 1", "+OK");
    write_in_every_way(client);
    assert_reply(client, "SELECT 7", "+OK");
    assert_reply(client, "GET k", "\"v\"");
    assert_reply(client, "CONFIG SET maxmemory 100mb", "+OK");
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(a_bound_of_one_byte_stops_nobody, NULL, server_fixture_teardown),
        TEST_WITH(a_bound_below_what_tables_take_stops_nobody, NULL, server_fixture_teardown),
    };
    return RUN_TESTS("memory", tests);
}
