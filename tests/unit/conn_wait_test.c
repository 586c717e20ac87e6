/* Goal: a connection waits for the disk, the journal, an event or the end of a pause without losing
 * or reordering anything, and without holding up others. Method: see conn_fixture.h. */
#include "tests/unit/conn_fixture.h"

/* ---- Waiting. */

static void a_suspended_request_holds_up_its_own_client_only(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    connect_client(f, 1);
    send_text(f, 0, "*2\r\n$4\r\nCOLD\r\n$3\r\nkey\r\nECHO after\r\n");
    expect(f, 0, "");
    struct conns_stats stats;
    conns_read_stats(f->conns, &stats);
    assert_int_equal(stats.suspended, 1);
    send_text(f, 1, "ECHO other\r\n");
    expect(f, 1, "$5\r\nother\r\n");
    send_text(f, 0, "ECHO later\r\n");
    expect(f, 0, "");
    resume_first(&f->exec, true);
    expect(f, 0, "+RESUMED\r\n$5\r\nafter\r\n$5\r\nlater\r\n");
}

static void suspended_arguments_stay_while_the_client_sends_on(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    struct buf value = {0};
    memset(buf_reserve(&value, 100000), 'v', 100000);
    value.len = 100000;
    struct buf request = {0};
    append_request(&request, "COLD", buf_bytes(&value));
    send_bytes(f, 0, buf_bytes(&request));
    for (int i = 0; f->exec.waiter_count == 0 && i < 100; i++)
        run(f);
    /* More than the connection may read ahead. */
    struct buf more = {0};
    for (int i = 0; i < 8000; i++)
        buf_append_text(&more, "ECHO 0123456789\r\n");
    size_t sent = 0;
    for (int i = 0; i < 50; i++) {
        ssize_t count = send(f->clients[0], more.data + sent, more.len - sent, MSG_NOSIGNAL);
        sent += count > 0 ? (size_t)count : 0;
        run(f);
    }
    resume_first(&f->exec, true);
    send_bytes(f, 0, bytes_make(more.data + sent, more.len - sent));
    for (int i = 0; i < 200 && f->exec.runs < 8001; i++)
        run(f);
    assert_int_equal(f->exec.runs, 8001);
    run(f);
    assert_int_equal(f->received[0].len,
                     strlen("+RESUMED\r\n") + 8000 * strlen("$10\r\n0123456789\r\n"));
    buf_deinit(&value);
    buf_deinit(&request);
    buf_deinit(&more);
}

static void a_blocked_client_that_leaves_is_forgotten(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    send_text(f, 0, "BLOCK\r\n");
    run(f);
    assert_int_equal(conns_count_blocked(f->conns), 1);
    (void)close(f->clients[0]);
    f->clients[0] = -1;
    run(f);
    assert_int_equal(conns_count(f->conns), 0);
    assert_int_equal(conns_count_blocked(f->conns), 0);
    assert_int_equal(f->exec.cancelled, 1);
}

static void a_blocked_client_with_much_unread_is_closed_when_it_leaves(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    send_text(f, 0, "BLOCK\r\n");
    run(f);
    struct buf more = {0};
    for (int i = 0; i < 20000; i++)
        buf_append_text(&more, "ECHO 0123456789\r\n");
    for (int i = 0; i < 50; i++) {
        (void)!send(f->clients[0], more.data, more.len, MSG_NOSIGNAL);
        run(f);
    }
    assert_true(conn_memory(conns_first(f->conns)) < 300000);
    (void)close(f->clients[0]);
    f->clients[0] = -1;
    run(f);
    assert_int_equal(conns_count(f->conns), 0);
    buf_deinit(&more);
}

static void a_blocked_client_goes_on_after_its_event(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    send_text(f, 0, "BLOCK a b\r\nECHO after\r\n");
    run(f);
    assert_true(conn_is_blocked(conns_first(f->conns)));
    resume_first(&f->exec, false);
    expect(f, 0, "+RESUMED\r\n$5\r\nafter\r\n");
    assert_int_equal(conns_count_blocked(f->conns), 0);
}

/* ---- Pauses. */

static void a_pause_of_writes_holds_writers_back(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    connect_client(f, 1);
    conns_pause(f->conns, loop_now_ms(f->loop) + 3600000, CONNS_PAUSE_WRITES);
    send_text(f, 0, "ECHO a\r\n*2\r\n$5\r\nWRITE\r\n$1\r\nk\r\nECHO b\r\n");
    send_text(f, 1, "ECHO other\r\nWRITE\r\nNOSUCH\r\n");
    expect(f, 0, "$1\r\na\r\n");
    expect(f, 1, "$5\r\nother\r\n+PONG\r\n+PONG\r\n"); /* those are only refused */
    assert_int_equal(conns_count_blocked(f->conns), 1);
    assert_true(conn_is_blocked(conns_first(f->conns)));
    send_text(f, 0, "ECHO c\r\n");
    expect(f, 0, "");
    conns_unpause(f->conns);
    expect(f, 0, "+PONG\r\n$1\r\nb\r\n$1\r\nc\r\n");
    assert_int_equal(conns_count_blocked(f->conns), 0);
    assert_int_equal(conns_paused(f->conns), CONNS_RUN);
}

static void a_pause_of_all_ends_with_its_time(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    conns_pause(f->conns, loop_now_ms(f->loop) + 20, CONNS_PAUSE_ALL);
    conns_pause(f->conns, loop_now_ms(f->loop) + 1, CONNS_PAUSE_WRITES);
    assert_int_equal(conns_paused(f->conns), CONNS_PAUSE_ALL);
    send_text(f, 0, "ECHO a\r\nECHO b\r\n");
    expect(f, 0, "");
    for (int i = 0; i < 100000 && f->received[0].len == 0; i++)
        run(f);
    expect(f, 0, "$1\r\na\r\n$1\r\nb\r\n");
}

static void a_held_request_keeps_its_bytes(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    connect_client(f, 1);
    conns_pause(f->conns, loop_now_ms(f->loop) + 3600000, CONNS_PAUSE_ALL);
    static const char request[] = "*2\r\n$5\r\nWRITE\r\n$3\r\nkey\r\n";
    send_text(f, 0, request);
    send_text(f, 1, "*2\r\n$4\r\nCOLD\r\n$3\r\nkey\r\nECHO x\r\n");
    run(f);
    for (int i = 0; i < 10; i++)
        conns_cron(f->conns);
    assert_int_equal(f->exec.runs, 0);
    conns_unpause(f->conns);
    conns_cron(f->conns);
    conns_pause(f->conns, loop_now_ms(f->loop) + 3600000, CONNS_PAUSE_ALL); /* held anew */
    run(f);
    assert_int_equal(f->exec.runs, 0);
    conns_unpause(f->conns);
    run(f);
    assert_int_equal(f->exec.runs, 2);
    assert_bytes(buf_bytes(&f->exec.last_raw), bytes_text("*2\r\n$4\r\nCOLD\r\n$3\r\nkey\r\n"));
    expect(f, 0, "+PONG\r\n");
    resume_first(&f->exec, true);
    expect(f, 1, "+RESUMED\r\n$1\r\nx\r\n");
}

static void a_held_client_may_go(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    conns_pause(f->conns, loop_now_ms(f->loop) + 3600000, CONNS_PAUSE_ALL);
    send_text(f, 0, "ECHO a\r\n");
    run(f);
    assert_false(conn_unblock(conns_first(f->conns), false));
    (void)close(f->clients[0]);
    f->clients[0] = -1;
    run(f);
    assert_int_equal(conns_count(f->conns), 0);
    conns_unpause(f->conns);
    run(f);
    assert_int_equal(f->exec.runs, 0);
}

static void a_blocked_client_can_be_unblocked(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    struct conn *conn = conns_first(f->conns);
    assert_false(conn_unblock(conn, true));
    send_text(f, 0, "BLOCK\r\n");
    run(f);
    assert_false(conn_unblock(conn, false));
    assert_true(conn_unblock(conn, true));
    expect(f, 0, "+RESUMED\r\n");
}

static void a_suspended_request_may_count_as_blocked(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    connect_client(f, 1);
    send_text(f, 0, "WAIT a\r\nECHO x\r\n");
    send_text(f, 1, "WAIT b\r\n");
    run(f);
    assert_int_equal(conns_count_blocked(f->conns), 2);
    struct conns_stats stats;
    conns_read_stats(f->conns, &stats);
    assert_int_equal(stats.suspended, 0);
    conn_session(conns_first(f->conns))->flags &= ~(uint32_t)SESSION_BLOCKED;
    resume_first(&f->exec, true);
    expect(f, 0, "+RESUMED\r\n$1\r\nx\r\n");
    assert_int_equal(conns_count_blocked(f->conns), 1);
    (void)close(f->clients[1]);
    f->clients[1] = -1;
    run(f);
    assert_int_equal(conns_count_blocked(f->conns), 0);
    assert_int_equal(conns_count(f->conns), 1);
}

static void a_suspended_request_may_turn_out_to_block(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    send_text(f, 0, "*2\r\n$4\r\nCOLD\r\n$3\r\nkey\r\nECHO after\r\n");
    expect(f, 0, "");
    struct conn *conn = conns_first(f->conns);
    size_t suspended_bytes = conn_memory(conn);
    f->exec.blocked(f->exec.resumed_arg, f->exec.waiters[0].session);
    assert_true(conn_is_blocked(conn));
    assert_true(conn_memory(conn) < suspended_bytes); /* its request is not kept any more */
    struct conns_stats stats;
    conns_read_stats(f->conns, &stats);
    assert_int_equal(stats.suspended, 0);
    assert_int_equal(stats.blocked, 1);
    send_text(f, 0, "ECHO later\r\n");
    expect(f, 0, "");
    resume_first(&f->exec, false);
    expect(f, 0, "+RESUMED\r\n$5\r\nafter\r\n$5\r\nlater\r\n");
    assert_int_equal(conns_count_blocked(f->conns), 0);
}

static void a_client_that_has_left_does_not_block(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    send_text(f, 0, "COLD key\r\n");
    expect(f, 0, "");
    assert_int_equal(shutdown(f->clients[0], SHUT_WR), 0);
    run(f);
    assert_int_equal(conns_count(f->conns), 1); /* its reply is still to come */
    f->exec.blocked(f->exec.resumed_arg, f->exec.waiters[0].session);
    run(f);
    assert_int_equal(conns_count(f->conns), 0);
    assert_int_equal(f->exec.cancelled, 1);
}

/* ---- The gate. */

static void replies_wait_until_the_journal_is_durable(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    connect_client(f, 1);
    f->exec.gate.offset = 100;
    send_text(f, 0, "ECHO a\r\n");
    expect(f, 0, "");
    f->exec.gate.offset = 200;
    send_text(f, 0, "ECHO b\r\n");
    send_text(f, 1, "ECHO c\r\n");
    expect(f, 0, "");
    f->exec.gate.offset = 300;
    send_text(f, 0, "ECHO d\r\n");
    expect(f, 0, "");
    f->exec.gate.durable = 99;
    expect(f, 0, "");
    f->exec.gate.durable = 100;
    expect(f, 0, "$1\r\na\r\n");
    expect(f, 1, "");
    f->exec.gate.durable = 200;
    expect(f, 0, ""); /* b shares d's mark */
    expect(f, 1, "$1\r\nc\r\n");
    f->exec.gate.durable = 300;
    expect(f, 0, "$1\r\nb\r\n$1\r\nd\r\n");
    f->exec.gate.offset = 0;
    send_text(f, 0, "ECHO e\r\n");
    expect(f, 0, "$1\r\ne\r\n");
}

static void only_writers_wait_while_the_journal_is_failed(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++)
        connect_client(f, i);
    f->exec.gate.offset = 100;
    f->exec.gate.durable = 50;
    for (int i = 0; i < 3; i++)
        send_text(f, i, "ECHO a\r\n");
    for (int i = 0; i < 3; i++)
        expect(f, i, "");
    conn_session(conns_find(f->conns, 1))->write_offset = 100;
    conn_session(conns_find(f->conns, 2))->write_offset = 50;
    f->exec.gate.failed = true;
    expect(f, 0, "");
    expect(f, 1, "$1\r\na\r\n");
    expect(f, 2, "$1\r\na\r\n");
    for (int i = 0; i < 3; i++)
        send_text(f, i, "ECHO b\r\n");
    expect(f, 0, "");
    expect(f, 1, "$1\r\nb\r\n");
    expect(f, 2, "$1\r\nb\r\n");
    f->exec.gate = (struct exec_gate){.durable = 100};
    expect(f, 0, "$1\r\na\r\n$1\r\nb\r\n");
}

static void an_opened_gate_releases_all(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    f->exec.gate.offset = 100;
    send_text(f, 0, "ECHO a\r\n");
    expect(f, 0, "");
    send_text(f, 0, "ECHO b\r\nQUIT\r\n");
    expect(f, 0, "");
    assert_false(f->ended[0]);
    f->exec.gate = (struct exec_gate){.durable = UINT64_MAX};
    expect(f, 0, "$1\r\na\r\n$1\r\nb\r\n+OK\r\n");
    assert_true(f->ended[0]);
}

static void a_gate_opens_every_time(void **state)
{
    struct fixture *f = *state;
    f->exec.syncs_fast = true;
    connect_client(f, 0);
    for (int round = 0; round < 3; round++) {
        send_text(f, 0, "ECHO a\r\n");
        expect(f, 0, "$1\r\na\r\n");
    }
}

static void exec_is_told_when_those_who_were_let_go_are_back(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++)
        connect_client(f, i);
    f->exec.gate.offset = 10;
    for (int i = 0; i < 3; i++)
        send_text(f, i, "ECHO a\r\n");
    expect(f, 0, "");
    f->exec.gate = (struct exec_gate){.durable = 10};
    for (int i = 0; i < 3; i++)
        expect(f, i, "$1\r\na\r\n");
    assert_int_not_equal(f->exec.gathered, 10);
    f->exec.gate.offset = 20;
    send_text(f, 1, "ECHO b\r\nECHO c\r\n");
    expect(f, 1, "");
    assert_int_not_equal(f->exec.gathered, 10); /* two of three are away */
    /* Who has left is not waited for. */
    conn_close_later(conns_find(f->conns, 3));
    run(f);
    assert_int_equal(f->exec.gathered, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONN_TEST(a_suspended_request_holds_up_its_own_client_only),
        CONN_TEST(suspended_arguments_stay_while_the_client_sends_on),
        CONN_TEST(a_blocked_client_that_leaves_is_forgotten),
        CONN_TEST(a_blocked_client_with_much_unread_is_closed_when_it_leaves),
        CONN_TEST(a_blocked_client_goes_on_after_its_event),
        CONN_TEST(a_pause_of_writes_holds_writers_back),
        CONN_TEST(a_pause_of_all_ends_with_its_time),
        CONN_TEST(a_held_request_keeps_its_bytes),
        CONN_TEST(a_held_client_may_go),
        CONN_TEST(a_blocked_client_can_be_unblocked),
        CONN_TEST(a_suspended_request_may_count_as_blocked),
        CONN_TEST(a_suspended_request_may_turn_out_to_block),
        CONN_TEST(a_client_that_has_left_does_not_block),
        CONN_TEST(replies_wait_until_the_journal_is_durable),
        CONN_TEST(only_writers_wait_while_the_journal_is_failed),
        CONN_TEST(an_opened_gate_releases_all),
        CONN_TEST(a_gate_opens_every_time),
        CONN_TEST(exec_is_told_when_those_who_were_let_go_are_back),
    };
    return RUN_TESTS("conn_wait", tests);
}
