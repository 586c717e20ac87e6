/* Goal: when the disk fails under the journal, nothing that was promised is lost, writes are
 * refused with a reason, reads go on, and service resumes by itself.
 *
 * Method: a server with the I/O shim (support/io_shim.h), whose writes or syncs of the journal fail
 * while the test says so; and once with the server's own seam, BASALT_FAULT. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/io_shim.h"
#include "tests/support/model.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/witness.h"

#define JOURNAL      "/journal/"
#define PATIENCE_MS  20000
#define POLL_MS      5
#define SILENCE_MS   300 /* nothing has come by then: nothing comes */
#define WITNESSES    4
#define FAULT_ROUNDS 4

static void pause_ms(int ms)
{
    struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&span, NULL);
}

static char *data_dir;

static int setup(void **state)
{
    (void)state;
    data_dir = harness_make_dir();
    io_shim_open(data_dir);
    return 0;
}

static int teardown(void **state)
{
    (void)server_fixture_teardown(state);
    io_shim_close();
    harness_remove_dir(data_dir);
    mem_free(data_dir);
    data_dir = NULL;
    return 0;
}

static struct server_fixture *start(const char *policy)
{
    return server_fixture_start(&(struct server_options){
        .dir = data_dir,
        .args = (const char *const[]){"--appendfsync", policy, "--journal-segment-size", "64kb",
                                      "--flush-interval", "200", "--enable-debug-command", "yes",
                                      NULL}});
}

static void send_line(struct resp_client *client, const char *line)
{
    struct err err;
    assert_ok(resp_client_send(client, bytes_text(line), &err), &err);
    assert_ok(resp_client_send(client, bytes_text("\r\n"), &err), &err);
}

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Repeats a request until its reply begins with `prefix`. */
static void ask_until(struct resp_client *client, const char *line, const char *prefix)
{
    int64_t deadline_ms = harness_now_ms() + PATIENCE_MS;
    while (!begins_with(resp_client_ask(client, line), prefix)) {
        if (harness_now_ms() > deadline_ms)
            fail_msg("%s does not answer %s...", line, prefix);
        pause_ms(POLL_MS);
    }
}

static bool info_says(struct resp_client *client, const char *field)
{
    return strstr(resp_client_ask(client, "INFO everything"), field) != NULL;
}

static void wait_for_info(struct resp_client *client, const char *field)
{
    int64_t deadline_ms = harness_now_ms() + PATIENCE_MS;
    while (!info_says(client, field)) {
        if (harness_now_ms() > deadline_ms)
            fail_msg("INFO does not say %s", field);
        pause_ms(POLL_MS);
    }
}

/* --- one failure of each kind --- */

static void fail_and_recover(const char *policy, uint32_t ops, int error)
{
    bool always = begins_with(policy, "always");
    struct server_fixture *server = start(policy);
    struct resp_client *reader = server_fixture_connect(server);
    struct resp_client *writer = server_fixture_connect(server);
    struct resp_client *victim = server_fixture_connect(server);
    assert_reply(writer, "SET before 1", "+OK");
    assert_reply(writer, "WAITAOF 1 0 5000",
                 "[:1 :0]"); /* or its write may be the one that fails */
    io_shim_fail(ops, JOURNAL, error);
    if (always)
        send_line(victim, "SET during 2"); /* cannot be promised, and is not refused either */
    else
        assert_reply(victim, "SET during 2", "+OK");
    wait_for_info(reader, "journal_status:err");
    assert_true(io_shim_hits() > 0);
    assert_reply(writer, "SET refused 1", "-/MISCONF Errors writing to the journal.*/");

    assert_reply(reader, "GET before", "\"1\"");
    assert_reply(reader, "GET refused", "nil");
    assert_reply(reader, "PING", "+PONG");
    assert_reply(writer, "GET before", "\"1\"");
    assert_true(info_says(reader, "aof_last_write_status:err"));
    struct resp_client *newcomer = server_fixture_connect(server);
    assert_reply(newcomer, "GET before", "\"1\"");
    resp_client_close(newcomer);

    io_shim_clear();
    ask_until(writer, "SET after 3", "+OK");
    if (always)
        assert_string_equal(resp_client_next(victim), "+OK");
    assert_true(info_says(reader, "journal_status:ok"));
    assert_reply(reader, "GET during", "\"2\"");
    if (!always) /* what is durable only then */
        assert_reply(writer, "WAITAOF 1 0 5000", "[:1 :0]");
    server_fixture_kill(server);
    resp_client_close(reader);
    resp_client_close(writer);
    resp_client_close(victim);

    server_fixture_restart(server);
    reader = server_fixture_connect(server);
    assert_reply(reader, "MGET before during after refused", "[\"1\" \"2\" \"3\" nil]");
    resp_client_close(reader);
    server_fixture_destroy(server);
}

static void failed_syncs_refuse_writes_and_end(void **state)
{
    (void)state;
    fail_and_recover("always", IO_SYNC, EIO);
}

static void failed_syncs_each_second_refuse_writes_and_end(void **state)
{
    (void)state;
    fail_and_recover("everysec", IO_SYNC, EIO);
}

static void failed_writes_refuse_writes_and_end(void **state)
{
    (void)state;
    fail_and_recover("always", IO_WRITE, EIO);
}

static void a_full_disk_refuses_writes_until_there_is_room(void **state)
{
    (void)state;
    fail_and_recover("always", IO_WRITE, ENOSPC);
}

static void a_full_disk_refuses_writes_until_there_is_room_with_everysec(void **state)
{
    (void)state;
    fail_and_recover("everysec", IO_WRITE, ENOSPC);
}

static void a_disk_that_fails_in_every_way_refuses_writes_and_ends(void **state)
{
    (void)state;
    fail_and_recover("always", IO_CHANGES, EROFS);
}

/* --- messages --- */

static void assert_nothing_comes(struct resp_client *client)
{
    struct resp_reply reply;
    resp_client_set_timeout_ms(client, SILENCE_MS);
    assert_status(resp_client_read(client, &reply, NULL), ST_AGAIN);
    resp_client_set_timeout_ms(client, RESP_CLIENT_TIMEOUT_MS);
}

static void messages_do_not_tell_of_changes_that_may_be_lost(void **state)
{
    (void)state;
    struct server_fixture *server = start("always");
    struct resp_client *watcher = server_fixture_connect(server);
    struct resp_client *listener = server_fixture_connect(server);
    struct resp_client *reader = server_fixture_connect(server);
    struct resp_client *victim = server_fixture_connect(server);
    assert_reply(reader, "CONFIG SET notify-keyspace-events KEA", "+OK");
    assert_reply(watcher, "SUBSCRIBE __keyevent@0__:set", "[\"subscribe\" * :1]");
    assert_reply(listener, "SUBSCRIBE channel", "[\"subscribe\" * :1]");
    io_shim_fail(IO_SYNC, JOURNAL, EIO);
    send_line(victim, "SET during 2");
    wait_for_info(reader, "journal_status:err");
    assert_nothing_comes(watcher);

    /* Messages that tell of nothing of the kind go on. */
    assert_reply(reader, "PUBLISH channel hello", ":1");
    assert_string_equal(resp_client_next(listener), "[\"message\" \"channel\" \"hello\"]");
    assert_nothing_comes(watcher);

    io_shim_clear();
    assert_string_equal(resp_client_next(watcher),
                        "[\"message\" \"__keyevent@0__:set\" \"during\"]");
    assert_string_equal(resp_client_next(victim), "+OK");
    server_fixture_kill(server);
    resp_client_close(watcher);
    resp_client_close(listener);
    resp_client_close(reader);
    resp_client_close(victim);

    server_fixture_restart(server);
    reader = server_fixture_connect(server);
    assert_reply(reader, "GET during", "\"2\"");
    resp_client_close(reader);
    server_fixture_destroy(server);
}

/* --- failures under load --- */

static bool send_all(struct witness *const *witnesses, struct resp_client *watcher)
{
    for (int i = 0; i < WITNESSES; i++)
        if (!witness_send(witnesses[i]))
            return false;
    return watcher != NULL;
}

static bool receive_all(struct witness *const *witnesses)
{
    for (int i = 0; i < WITNESSES; i++)
        if (!witness_receive(witnesses[i]))
            return false;
    return true;
}

/* Some requests, then the fault, and requests that wait or are refused; then either the fault ends
 * and all get their replies, or the server is killed while it lasts. */
static void run_fault_round(struct server_fixture *server, struct witness *const *witnesses,
                            uint32_t ops, int error, bool killed)
{
    struct resp_client *watcher = server_fixture_connect(server);
    for (int i = 0; i < WITNESSES; i++)
        witness_use(witnesses[i], server_fixture_connect(server));
    for (int i = 0; i < 100; i++)
        assert_true(send_all(witnesses, watcher) && receive_all(witnesses));
    io_shim_fail(ops, JOURNAL, error);
    assert_true(send_all(witnesses, watcher));
    wait_for_info(watcher, "journal_status:err");
    if (!killed) {
        io_shim_clear();
        for (int i = 0; i < 100; i++)
            assert_true(receive_all(witnesses) && send_all(witnesses, watcher));
        pause_ms(50);
    }
    resp_client_close(watcher);
    server_fixture_kill(server);
    io_shim_clear();
}

static void nothing_promised_is_lost_in_failures_under_load(void **state)
{
    (void)state;
    struct server_fixture *server = start("always");
    struct witness *witnesses[WITNESSES];
    for (int i = 0; i < WITNESSES; i++) {
        char prefix[16];
        (void)snprintf(prefix, sizeof(prefix), "w%d.", i);
        witnesses[i] = witness_create(
            &(struct witness_options){.prefix = prefix, .seed = 77 + (uint64_t)i, .large_keys = 1});
        witness_accept_error(witnesses[i], "MISCONF");
    }
    static const struct {
        uint32_t ops;
        int error;
    } faults[FAULT_ROUNDS] = {
        {IO_SYNC, EIO}, {IO_WRITE, ENOSPC}, {IO_SYNC | IO_OPEN, EIO}, {IO_CHANGES, EROFS}};
    for (int i = 0; i < 2 * FAULT_ROUNDS; i++) {
        run_fault_round(server, witnesses, faults[i / 2].ops, faults[i / 2].error, i % 2 == 1);
        server_fixture_restart(server);
        struct resp_client *client = server_fixture_connect(server);
        struct model *found = server_read_all(client);
        assert_non_null(found);
        witnesses_settle(witnesses, WITNESSES, found, witness_now_us(), 0, NULL);
        model_destroy(found);
        resp_client_close(client);
    }
    for (int i = 0; i < WITNESSES; i++)
        witness_destroy(witnesses[i]);
    server_fixture_destroy(server);
}

static void a_clean_stop_while_the_journal_fails_says_what_is_lost(void **state)
{
    (void)state;
    struct server_fixture *server = start("everysec");
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "SET before 1", "+OK");
    assert_reply(client, "WAITAOF 1 0 5000", "[:1 :0]");
    io_shim_fail(IO_CHANGES, JOURNAL, EIO);
    ask_until(client, "SET during 1", "-MISCONF");
    assert_reply(client, "SHUTDOWN", "-*"); /* refused: something would be lost */
    assert_reply(client, "GET before", "\"1\"");
    io_shim_clear();
    ask_until(client, "SET after 1", "+OK");
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_restart(server);
    client = server_fixture_connect(server);
    assert_reply(client, "MGET before after", "[\"1\" \"1\"]");
    resp_client_close(client);
    server_fixture_destroy(server);
}

static void the_servers_own_seam_fails_chosen_calls(void **state)
{
    (void)state;
    struct server_fixture *server = server_fixture_start(&(struct server_options){
        .env = "BASALT_FAULT=fdatasync:/journal/:5:EIO:2",
        .args = (const char *const[]){"--appendfsync", "always", "--enable-debug-command", "yes",
                                      NULL}});
    struct resp_client *client = server_fixture_connect(server);
    for (int i = 0; i < 20; i++)
        ask_until(client, "INCR n", ":");
    resp_client_close(client);
    assert_true(server_fixture_wait_log(server, "Writes are refused", 0));
    assert_true(server_fixture_wait_log(server, "can be written again", 0));
    server_fixture_kill(server);
    server_fixture_restart(server);
    client = server_fixture_connect(server);
    assert_reply(client, "GET n", "\"20\"");
    resp_client_close(client);
    server_fixture_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(failed_syncs_refuse_writes_and_end, setup, teardown),
        TEST_WITH(failed_syncs_each_second_refuse_writes_and_end, setup, teardown),
        TEST_WITH(failed_writes_refuse_writes_and_end, setup, teardown),
        TEST_WITH(a_full_disk_refuses_writes_until_there_is_room, setup, teardown),
        TEST_WITH(a_full_disk_refuses_writes_until_there_is_room_with_everysec, setup, teardown),
        TEST_WITH(a_disk_that_fails_in_every_way_refuses_writes_and_ends, setup, teardown),
        TEST_WITH(messages_do_not_tell_of_changes_that_may_be_lost, setup, teardown),
        TEST_WITH(nothing_promised_is_lost_in_failures_under_load, setup, teardown),
        TEST_WITH(a_clean_stop_while_the_journal_fails_says_what_is_lost, setup, teardown),
        TEST_WITH(the_servers_own_seam_fails_chosen_calls, NULL, server_fixture_teardown),
    };
    return RUN_TESTS("fault", tests);
}
