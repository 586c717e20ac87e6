/* Goal: a Redis server that follows this one has the same dataset, from the first file on, through
 * broken links and crashes. Method: the reference is made a replica, and digests are compared.
 * Skipped where no reference is installed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "storage/cold.h"
#include "storage/meta.h"
#include "tests/support/every_type.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#define EXIT_SKIPPED 77
#define PAUSE_US     50000
#define WAIT_MS      30000

struct pair {
    struct server_fixture *ours, *theirs;
    struct resp_client *master, *replica;
};

static void start(struct pair *pair, const char *const *args)
{
    pair->ours = server_fixture_start(&(struct server_options){.args = args});
    pair->master = server_fixture_connect(pair->ours);
}

/* DEBUG POPULATE would not be in the journal, and so not reach replicas. */
static void fill(struct pair *pair, int count, const char *prefix, int bytes)
{
    char line[256];
    (void)snprintf(line, sizeof(line),
                   "EVAL \"for i = 1, %d do redis.call('SET', ARGV[1] .. i, string.rep(i, %d)) "
                   "end\" 0 %s",
                   count, bytes, prefix);
    assert_reply(pair->master, line, "nil");
}

static void start_replica(struct pair *pair)
{
    char port[16];
    (void)snprintf(port, sizeof(port), "%d", server_fixture_port(pair->ours));
    const char *const args[] = {
        "--enable-debug-command", "yes", "--save", "", "--replicaof", "127.0.0.1", port, NULL};
    struct server_options options = {.program = server_fixture_reference(),
                                     .argv0 = SERVER_FIXTURE_REFERENCE_ARGV0,
                                     .args = args};
    pair->theirs = server_fixture_start(&options);
    pair->replica = server_fixture_connect(pair->theirs);
}

static void stop(struct pair *pair)
{
    resp_client_close(pair->replica);
    resp_client_close(pair->master);
    server_fixture_destroy(pair->theirs);
    server_fixture_destroy(pair->ours);
}

/* Waits until a request's answer holds `text`. */
static void wait_for(struct resp_client *client, const char *request, const char *text)
{
    for (int waited_us = 0; waited_us < WAIT_MS * 1000; waited_us += PAUSE_US) {
        if (strstr(resp_client_ask(client, request), text) != NULL)
            return;
        usleep(PAUSE_US);
    }
    fail_msg("%s does not say %s, but %s", request, text, resp_client_ask(client, request));
}

/* A write, so that WAIT knows what to wait for, and then the same dataset. */
static void assert_same(struct pair *pair)
{
    char *expected;
    assert_reply(pair->master, "INCR written", ":*");
    wait_for(pair->master, "WAIT 1 1000", ":1");
    expected = mem_strdup(resp_client_ask(pair->master, "DEBUG DIGEST"));
    assert_string_equal(resp_client_ask(pair->replica, "DEBUG DIGEST"), expected);
    mem_free(expected);
}

static void follows_from_the_file_on(void **state)
{
    (void)state;
    static const char *const args[] = {"--enable-debug-command", "yes",
                                       "--large-collection-threshold", "500", NULL};
    struct pair pair;
    start(&pair, args);
    every_type_fill(pair.master);
    fill(&pair, 20000, "key", 20);
    start_replica(&pair);
    wait_for(pair.replica, "INFO replication", "master_link_status:up");
    wait_for(pair.master, "INFO replication", "state=online");
    assert_same(&pair);
    assert_reply(pair.master, "ROLE", "[\"master\" :* [[\"127.0.0.1\" * *]]]");

    struct resp_client *listener = server_fixture_connect(pair.theirs);
    assert_reply(listener, "SUBSCRIBE news", "[\"subscribe\" \"news\" :1]");
    assert_reply(pair.master, "SELECT 5", "+OK");
    assert_reply(pair.master, "MULTI", "+OK");
    assert_reply(pair.master, "SET in-five 1", "+QUEUED");
    assert_reply(pair.master, "PUBLISH news hello", "+QUEUED");
    assert_reply(pair.master, "EXEC", "[+OK :0]");
    assert_string_equal(resp_client_next(listener), "[\"message\" \"news\" \"hello\"]");
    resp_client_close(listener);
    assert_reply(pair.master,
                 "EVAL \"redis.call('SPOP', KEYS[1]) return redis.call('RPUSH', "
                 "KEYS[2], 'x')\" 2 s:large l:new",
                 ":1");
    assert_reply(pair.master, "SELECT 0", "+OK");
    (void)resp_client_ask(pair.master, "SPOP s:large 7");
    assert_reply(pair.master, "HINCRBYFLOAT h:float f 1.5", "\"1.5\"");
    assert_reply(pair.master, "SET short x PX 1", "+OK");
    assert_reply(pair.master, "XADD x:other 1-* a b", "\"1-0\"");
    usleep(PAUSE_US);
    assert_reply(pair.master, "GET short", "nil");
    assert_same(&pair);
    stop(&pair);
}

/* How many times the replica was given everything. */
static void assert_full_syncs(struct pair *pair, size_t expected)
{
    char *log = server_fixture_read_log(pair->theirs);
    size_t count = 0;
    for (const char *at = log; (at = strstr(at, "Full resync from master")) != NULL; at++)
        count++;
    assert_int_equal(count, expected);
    mem_free(log);
}

static void goes_on_where_it_has_stopped(void **state)
{
    (void)state;
    static const char *const args[] = {"--enable-debug-command", "yes", NULL};
    struct pair pair;
    start(&pair, args);
    start_replica(&pair);
    wait_for(pair.replica, "INFO replication", "master_link_status:up");
    assert_same(&pair);
    assert_reply(pair.master, "CLIENT KILL TYPE replica", ":1");
    assert_reply(pair.master, "SET while-away 1", "+OK");
    wait_for(pair.replica, "INFO replication", "master_link_status:up");
    assert_same(&pair);
    for (int i = 0; i < 3; i++) {
        fill(&pair, 1000 + i, "more", 3);
        resp_client_close(pair.master);
        if (i == 1)
            server_fixture_stop(pair.ours);
        else
            server_fixture_kill(pair.ours);
        server_fixture_restart(pair.ours);
        pair.master = server_fixture_connect(pair.ours);
        wait_for(pair.replica, "INFO replication", "master_link_status:up");
        assert_same(&pair);
    }
    assert_full_syncs(&pair, 1);
    assert_reply(pair.master, "DEBUG CHANGE-REPL-ID", "+OK");
    assert_reply(pair.master, "CLIENT KILL TYPE replica", ":1");
    assert_same(&pair);
    assert_full_syncs(&pair, 2);
    /* since the last start */
    wait_for(pair.master, "INFO stats", "sync_full:1");
    wait_for(pair.master, "INFO stats", "sync_partial_ok:1");
    wait_for(pair.master, "INFO stats", "sync_partial_err:1");
    stop(&pair);
}

/* As if the machine had been started anew since the server ran: what it had not synced is gone. */
static void pretend_new_boot(const struct server_fixture *server)
{
    char path[1024];
    struct cold *cold;
    struct err err;
    (void)snprintf(path, sizeof(path), "%s/rocksdb", server_fixture_dir(server));
    assert_status(cold_open(&(struct cold_options){.dir = path}, &cold, &err), ST_OK);
    struct cold_batch *batch = cold_batch_create();
    meta_put_boot(batch, bytes_text("another-boot"));
    assert_status(cold_write(cold, batch, true, &err), ST_OK);
    cold_batch_destroy(batch);
    cold_close(cold);
}

/* A machine that stops may take with it what replicas were sent already: their offsets mean nothing
 * any more then. After a clean stop everything was synced. */
static void what_a_machine_may_have_lost_is_not_gone_on_from(void **state)
{
    (void)state;
    static const char *const args[] = {"--enable-debug-command", "yes", NULL};
    static const char leftover[] = "temp-sync.rdb";
    struct pair pair;
    char path[1024];
    start(&pair, args);
    start_replica(&pair);
    wait_for(pair.replica, "INFO replication", "master_link_status:up");
    for (int i = 0; i < 2; i++) {
        bool clean = i == 0;
        assert_same(&pair);
        resp_client_close(pair.master);
        if (clean)
            server_fixture_stop(pair.ours);
        else
            server_fixture_kill(pair.ours);
        pretend_new_boot(pair.ours);
        (void)snprintf(path, sizeof(path), "%s/%s", server_fixture_dir(pair.ours), leftover);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fclose(file), 0);
        server_fixture_restart(pair.ours);
        if (clean) /* else a synchronisation may be making it */
            assert_int_not_equal(access(path, F_OK), 0);
        pair.master = server_fixture_connect(pair.ours);
        wait_for(pair.master, "INFO replication", "state=online");
        wait_for(pair.replica, "INFO replication", "master_link_status:up");
        assert_same(&pair);
        assert_full_syncs(&pair, clean ? 1 : 2);
    }
    stop(&pair);
}

static void writes_need_replicas_if_told_so(void **state)
{
    (void)state;
    static const char *const args[] = {"--enable-debug-command", "yes", "--min-replicas-to-write",
                                       "1", NULL};
    struct pair pair;
    start(&pair, args);
    assert_reply(pair.master, "SET k v", "-NOREPLICAS Not enough good replicas to write.");
    assert_reply(pair.master, "GET k", "nil");
    start_replica(&pair);
    wait_for(pair.master, "SET k v", "+OK");
    assert_same(&pair);
    stop(&pair);
}

/* A replica that does not read costs no memory, and gets everything in the end. */
static void sleeping_replica_costs_no_memory(void **state)
{
    (void)state;
    static const char *const args[] = {"--enable-debug-command", "yes", NULL};
    struct pair pair;
    struct err err;
    start(&pair, args);
    start_replica(&pair);
    wait_for(pair.replica, "INFO replication", "master_link_status:up");
    assert_same(&pair);
    static const char request[] = "*3\r\n$5\r\nDEBUG\r\n$5\r\nSLEEP\r\n$1\r\n3\r\n";
    assert_status(resp_client_send(pair.replica, bytes_text(request), &err), ST_OK);
    usleep(PAUSE_US);
    for (int i = 0; i < 40; i++) {
        char prefix[16];
        (void)snprintf(prefix, sizeof(prefix), "big%d-", i);
        fill(&pair, 100, prefix, 10000);
    }
    const char *clients = resp_client_ask(pair.master, "CLIENT LIST TYPE replica");
    const char *memory = strstr(clients, "tot-mem=");
    assert_non_null(memory);
    assert_in_range(strtoull(memory + 8, NULL, 10), 0, 4 << 20);
    assert_string_equal(resp_client_next(pair.replica), "+OK");
    assert_same(&pair);
    stop(&pair);
}

/* The file that one gets who asks for parts of it only. */
static void fetch_file(struct server_fixture *ours, const char *filter, struct buf *out)
{
    char line[128];
    struct buf head = {0};
    struct resp_client *client = server_fixture_connect(ours);
    assert_reply(client, "REPLCONF rdb-only 1", "+OK");
    (void)snprintf(line, sizeof(line), "REPLCONF rdb-filter-only %s", filter);
    assert_reply(client, line, "+OK");
    assert_ok(resp_client_send(client, bytes_text("SYNC\r\n"), NULL), NULL);
    /* Empty lines say that it is being made; then come a `$` and its length. */
    while (head.len == 0 || head.data[head.len - 1] == '\n')
        assert_ok(resp_client_read_raw(client, 1, &head, NULL), NULL);
    buf_clear(&head);
    while (head.len == 0 || head.data[head.len - 1] != '\n')
        assert_ok(resp_client_read_raw(client, 1, &head, NULL), NULL);
    buf_append_byte(&head, 0);
    assert_ok(resp_client_read_raw(client, (size_t)atoi((const char *)head.data), out, NULL), NULL);
    buf_deinit(&head);
    resp_client_close(client);
}

static bool holds(const struct buf *file, const char *text)
{
    return memmem(file->data, file->len, text, strlen(text)) != NULL;
}

static void who_asks_for_libraries_is_sent_no_keys(void **state)
{
    (void)state;
    struct pair pair;
    struct buf libraries = {0}, nothing = {0};
    start(&pair, (const char *const[]){"--rdbcompression", "no", NULL});
    assert_reply(pair.master, "SET a-key v", "+OK");
    assert_reply(
        pair.master,
        "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('a_function', function() "
        "return 1 end)\"",
        "\"lib\"");
    assert_reply(pair.master, "REPLCONF rdb-filter-only keys",
                 "-ERR Unsupported rdb-filter-only option: keys");
    assert_reply(pair.master, "REPLCONF rdb-filter-only '\"x'",
                 "-ERR Missing rdb-filter-only values");
    fetch_file(pair.ours, "FUNCTIONS", &libraries);
    assert_true(holds(&libraries, "a_function"));
    assert_false(holds(&libraries, "a-key"));
    fetch_file(pair.ours, "\"\"", &nothing);
    assert_true(holds(&nothing, "redis-ver"));
    assert_false(holds(&nothing, "a_function"));
    assert_false(holds(&nothing, "a-key"));
    /* A replica gets everything. */
    start_replica(&pair);
    wait_for(pair.replica, "INFO replication", "master_link_status:up");
    assert_reply(pair.replica, "GET a-key", "\"v\"");
    assert_reply(pair.replica, "FCALL_RO a_function 0", "-*");
    buf_deinit(&libraries);
    buf_deinit(&nothing);
    stop(&pair);
}

int main(void)
{
    if (server_fixture_reference() == NULL)
        return EXIT_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(follows_from_the_file_on, server_fixture_teardown),
        cmocka_unit_test_teardown(goes_on_where_it_has_stopped, server_fixture_teardown),
        cmocka_unit_test_teardown(what_a_machine_may_have_lost_is_not_gone_on_from,
                                  server_fixture_teardown),
        cmocka_unit_test_teardown(writes_need_replicas_if_told_so, server_fixture_teardown),
        cmocka_unit_test_teardown(sleeping_replica_costs_no_memory, server_fixture_teardown),
        cmocka_unit_test_teardown(who_asks_for_libraries_is_sent_no_keys, server_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
