/* Goal: requests are answered whole, in order and to the right client, whatever the pace of the
 * socket; limits close exactly whom they must; what is told of connections is right. Method: see
 * conn_fixture.h. */
#include "tests/unit/conn_fixture.h"

/* ---- Requests and replies. */

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    connect_client(f, 1);
    send_text(f, 0, "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$1\r\na\r\necho b\r\n");
    send_text(f, 1, "ECHO other\r\n");
    expect(f, 0, "+PONG\r\n$1\r\na\r\n$1\r\nb\r\n");
    expect(f, 1, "$5\r\nother\r\n");
    assert_int_equal(f->stats->connections_received, 2);
    assert_int_equal(f->stats->input_bytes, 14 + 21 + 8 + 12);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    static const char text[] = "*2\r\n$4\r\nECHO\r\n$3\r\nabc\r\nPING\r\n";
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        send_bytes(f, 0, bytes_make(text + i, 1));
        loop_run_once(f->loop);
    }
    expect(f, 0, "$3\r\nabc\r\n+PONG\r\n");
}

static void large_arguments_come_through_whole(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    static const size_t lens[] = {16383, 32700, 32768, 40000, 65536, 300000, 3000000};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct buf value = {0};
        for (size_t k = 0; k < lens[i]; k++)
            buf_append_byte(&value, (uint8_t)(k * 31 + i));
        struct buf request = {0};
        append_request(&request, "ECHO", buf_bytes(&value));
        size_t request_len = request.len;
        buf_append_text(&request, "PING\r\n");
        struct buf reply = {0};
        buf_append_format(&reply, "$%zu\r\n", value.len);
        buf_append_bytes(&reply, buf_bytes(&value));
        buf_append_text(&reply, "\r\n+PONG\r\n");
        send_bytes(f, 0, buf_bytes(&request));
        for (int tick = 0; tick < 200 && f->received[0].len < reply.len; tick++)
            run(f);
        assert_int_equal(f->received[0].len, reply.len);
        assert_bytes(buf_bytes(&f->received[0]), buf_bytes(&reply));
        buf_clear(&f->received[0]);
        assert_true(request_len > 0);
        buf_deinit(&value);
        buf_deinit(&request);
        buf_deinit(&reply);
    }
}

static void a_canonical_request_is_handed_over_with_its_bytes(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    send_text(f, 0, "*2\r\n$4\r\nECHO\r\n$1\r\na\r\n");
    expect(f, 0, "$1\r\na\r\n");
    assert_bytes(buf_bytes(&f->exec.last_raw), bytes_text("*2\r\n$4\r\nECHO\r\n$1\r\na\r\n"));
    send_text(f, 0, "ECHO a\r\n");
    expect(f, 0, "$1\r\na\r\n");
    assert_int_equal(f->exec.last_raw.len, 0);
    send_text(f, 0, "*1\r\n$4\r\nPINGxx");
    expect(f, 0, "+PONG\r\n");
    assert_int_equal(f->exec.last_raw.len, 0);
}

static void a_protocol_error_is_answered_and_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    send_text(f, 0, "PING\r\n*1\r\nx\r\nPING\r\n");
    expect(f, 0, "+PONG\r\n-ERR Protocol error: expected '$', got 'x'\r\n");
    assert_true(f->ended[0]);
    assert_int_equal(conns_count(f->conns), 0);
}

static void browsers_are_sent_away(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    connect_client(f, 1);
    send_text(f, 0, "POST / HTTP/1.1\r\nPING\r\n");
    send_text(f, 1, "host: x\r\nPING\r\n");
    expect(f, 0, "");
    expect(f, 1, "");
    assert_true(f->ended[0]);
    assert_true(f->ended[1]);
    assert_int_equal(f->exec.runs, 0);
}

static void nothing_is_run_after_quit(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    send_text(f, 0, "QUIT\r\nPING\r\n");
    expect(f, 0, "+OK\r\n");
    assert_true(f->ended[0]);
    assert_int_equal(f->exec.runs, 1);
}

static void a_half_closed_client_gets_its_answers(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    send_text(f, 0, "PING\r\nCOLD\r\nPING\r\n");
    assert_int_equal(shutdown(f->clients[0], SHUT_WR), 0);
    expect(f, 0, "+PONG\r\n");
    assert_false(f->ended[0]);
    resume_first(&f->exec, true);
    expect(f, 0, "+RESUMED\r\n+PONG\r\n");
    assert_true(f->ended[0]);
}

static void a_client_that_wants_no_replies_gets_none(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    connect_client(f, 1);
    send_text(f, 0, "OFF\r\nECHO a\r\n*1\r\nx\r\n");
    expect(f, 0, "");
    assert_true(f->ended[0]);
    send_text(f, 1, "SKIP\r\nECHO a\r\n*1\r\nx\r\n");
    expect(f, 1, "-ERR Protocol error: expected '$', got 'x'\r\n");
}

static void one_client_cannot_keep_the_loop_to_itself(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    connect_client(f, 1);
    struct buf many = {0};
    for (int i = 0; i < 5000; i++)
        buf_append_text(&many, "PING\r\n");
    send_bytes(f, 0, buf_bytes(&many));
    send_text(f, 1, "ECHO x\r\n");
    loop_run_once(f->loop);
    loop_run_once(f->loop);
    receive(f, 1);
    assert_bytes(buf_bytes(&f->received[1]), bytes_text("$1\r\nx\r\n"));
    assert_true(f->exec.runs < 4500);
    for (int i = 0; i < 5; i++)
        run(f);
    assert_int_equal(f->exec.runs, 5001);
    assert_int_equal(f->received[0].len, 5000 * 7);
    buf_deinit(&many);
}

/* ---- Slow readers and limits. */

static void a_slow_reader_gets_everything_and_holds_up_nobody(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    connect_client(f, 1);
    int slow = f->clients[0];
    f->clients[0] = -1; /* run() does not read for it */
    struct buf value = {0};
    memset(buf_reserve(&value, 4000000), 'v', 4000000);
    value.len = 4000000;
    struct buf request = {0};
    append_request(&request, "ECHO", buf_bytes(&value));
    for (size_t sent = 0; sent < request.len;) {
        ssize_t count = send(slow, request.data + sent, request.len - sent, MSG_NOSIGNAL);
        sent += count > 0 ? (size_t)count : 0;
        loop_run_once(f->loop);
    }
    run(f);
    send_text(f, 1, "ECHO x\r\n");
    expect(f, 1, "$1\r\nx\r\n");
    f->clients[0] = slow;
    size_t wanted = value.len + strlen("$4000000\r\n\r\n");
    for (int i = 0; i < 1000 && f->received[0].len < wanted; i++)
        run(f);
    assert_int_equal(f->received[0].len, wanted);
    buf_deinit(&value);
    buf_deinit(&request);
}

static void output_beyond_the_hard_limit_closes(void **state)
{
    struct fixture *f = *state;
    f->config->client_output_buffer_limit[CONFIG_CLIENT_NORMAL].hard_bytes = 100000;
    connect_client(f, 0);
    connect_client(f, 1);
    struct buf value = {0};
    memset(buf_reserve(&value, 60000), 'v', 60000);
    value.len = 60000;
    struct buf request = {0};
    append_request(&request, "ECHO", buf_bytes(&value));
    f->exec.gate.offset = 1; /* nothing leaves */
    send_bytes(f, 0, buf_bytes(&request));
    run(f);
    assert_int_equal(conns_count(f->conns), 2);
    send_bytes(f, 0, buf_bytes(&request));
    run(f);
    assert_int_equal(conns_count(f->conns), 1);
    assert_true(f->ended[0]);
    assert_int_equal(f->stats->output_buffer_limit_closes, 1);
    buf_deinit(&value);
    buf_deinit(&request);
}

static void a_query_beyond_its_limit_closes(void **state)
{
    struct fixture *f = *state;
    f->config->client_query_buffer_limit = 1048576;
    connect_client(f, 0);
    struct buf request = {0};
    buf_append_text(&request, "*2\r\n$4\r\nECHO\r\n$2000000\r\n");
    memset(buf_reserve(&request, 1048576), 'v', 1048576);
    request.len += 1048576;
    for (size_t sent = 0; sent < request.len && !f->ended[0];) {
        ssize_t count = send(f->clients[0], request.data + sent, request.len - sent, MSG_NOSIGNAL);
        sent += count > 0 ? (size_t)count : 0;
        run(f);
    }
    run(f);
    assert_true(f->ended[0]);
    assert_int_equal(f->stats->query_buffer_limit_closes, 1);
    buf_deinit(&request);
}

static void more_than_maxclients_are_refused(void **state)
{
    struct fixture *f = *state;
    f->config->maxclients = 2;
    for (int i = 0; i < 3; i++)
        connect_client(f, i);
    expect(f, 2, "-ERR max number of clients reached\r\n");
    assert_true(f->ended[2]);
    assert_int_equal(f->stats->connections_rejected, 1);
    send_text(f, 1, "PING\r\n");
    expect(f, 1, "+PONG\r\n");
}

static void strangers_are_refused_in_protected_mode(void **state)
{
    struct fixture *f = *state;
    connect_from(f, 0, "10.1.2.3");
    run(f);
    assert_true(f->ended[0]);
    assert_memory_equal(f->received[0].data, "-DENIED Redis is running in protected mode", 42);
    f->config->protected_mode = false;
    connect_from(f, 1, "10.1.2.3");
    send_text(f, 1, "PING\r\n");
    expect(f, 1, "+PONG\r\n");
    assert_false(conn_is_local(conns_first(f->conns)));
}

static void clients_without_password_are_limited(void **state)
{
    struct fixture *f = *state;
    struct bytes rules[] = {bytes_text("resetpass")};
    struct buf error = {0};
    assert_true(acl_set_user(f->services.acl, NULL, bytes_text("default"), rules, 1, &error));
    connect_client(f, 0);
    send_text(f, 0, "*11\r\n");
    expect(f, 0, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    assert_true(f->ended[0]);
}

/* ---- Bookkeeping. */

static void connections_are_found_by_id_and_listed_in_order(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++)
        connect_client(f, i);
    struct conn *conn = conns_first(f->conns);
    for (uint64_t id = 1; id <= 3; id++) {
        assert_ptr_equal(conns_find(f->conns, id), conn);
        assert_int_equal(conn_session(conn)->id, id);
        conn = conns_next(conn);
    }
    assert_null(conn);
    conn_close_later(conns_find(f->conns, 2));
    assert_null(conns_find(f->conns, 2));
    assert_ptr_equal(conns_next(conns_find(f->conns, 1)), conns_find(f->conns, 3));
    run(f);
    assert_true(f->ended[1]);
    assert_int_equal(conns_count(f->conns), 2);
    assert_null(conns_find(f->conns, 2));
    assert_null(conns_find(f->conns, 99));
}

static void many_connections_are_found_while_they_come_and_go(void **state)
{
    struct fixture *f = *state;
    uint64_t next = 1;
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 10; i++) {
            int pair[2];
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
            struct sockaddr_in peer = {.sin_family = AF_INET};
            peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            (void)close(pair[0]);
            conns_adopt(f->conns, pair[1], (const struct sockaddr *)&peer);
            next++;
        }
        for (uint64_t id = 1; id < next; id++) {
            struct conn *conn = conns_find(f->conns, id);
            if (conn != NULL && id % 3 != 0)
                conn_close_later(conn);
        }
        /* Those left notice that their peer is gone. */
        run(f);
        assert_int_equal(conns_count(f->conns), 0);
    }
}

static void a_connection_may_close_another_or_itself(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    connect_client(f, 1);
    f->exec.to_close = conns_find(f->conns, 2);
    send_text(f, 0, "KILL\r\nPING\r\n");
    send_text(f, 1, "PING\r\n");
    expect(f, 0, "+OK\r\n+PONG\r\n");
    assert_true(f->ended[1]);
    f->exec.to_close = conns_find(f->conns, 1);
    send_text(f, 0, "KILL\r\nPING\r\n");
    run(f);
    assert_true(f->ended[0]);
    assert_int_equal(conns_count(f->conns), 0);
}

static void a_connection_describes_itself_as_redis_does(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    conn_session(conns_first(f->conns))->name = mem_strdup("me");
    send_text(f, 0, "*1\r\n$4\r\nLIST\r\n");
    run(f);
    buf_append_byte(&f->received[0], 0);
    const char *line = (const char *)f->received[0].data;
    assert_non_null(strstr(line, "id=1 addr=127.0.0.1:4000 laddr="));
    assert_non_null(strstr(line, " name=me age=0 idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 "
                                 "qbuf=14 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 "
                                 "oll=0 omem=0 tot-mem="));
    assert_non_null(
        strstr(line, " events=r cmd=NULL user=default redir=-1 resp=2 lib-name= lib-ver=\r\n"));
}

static void an_idle_connection_holds_no_buffers(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    size_t before = conn_memory(conns_first(f->conns));
    struct buf value = {0};
    memset(buf_reserve(&value, 200000), 'v', 200000);
    value.len = 200000;
    struct buf request = {0};
    append_request(&request, "ECHO", buf_bytes(&value));
    send_bytes(f, 0, buf_bytes(&request));
    for (int i = 0; i < 20; i++)
        run(f);
    assert_int_equal(f->received[0].len, value.len + 11);
    size_t after = conn_memory(conns_first(f->conns));
    assert_true(after <= before + 256); /* the array of arguments stays */
    buf_deinit(&value);
    buf_deinit(&request);
}

static void the_largest_clients_are_evicted_first(void **state)
{
    struct fixture *f = *state;
    f->config->maxmemory_clients = 1000000;
    for (int i = 0; i < 3; i++)
        connect_client(f, i);
    f->exec.gate.offset = 1;
    static const size_t lens[] = {100, 800000, 300000};
    for (int i = 0; i < 3; i++) {
        struct buf value = {0};
        memset(buf_reserve(&value, lens[i]), 'v', lens[i]);
        value.len = lens[i];
        struct buf request = {0};
        append_request(&request, "ECHO", buf_bytes(&value));
        send_bytes(f, i, buf_bytes(&request));
        for (int k = 0; k < 10; k++)
            run(f);
        buf_deinit(&value);
        buf_deinit(&request);
    }
    assert_false(f->ended[0]);
    assert_true(f->ended[1]);
    assert_false(f->ended[2]);
    assert_int_equal(f->stats->clients_evicted, 1);
}

static void messages_can_be_pushed_to_an_idle_client(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    run(f);
    struct conn *conn = conns_first(f->conns);
    reply_simple(&conn_session(conn)->reply, "pushed");
    conn_output_added(conn);
    expect(f, 0, "+pushed\r\n");
    conn_close_after_reply(conn);
    run(f);
    assert_true(f->ended[0]);
}

static void visits_reach_every_connection(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++)
        connect_client(f, i);
    f->exec.gate.offset = 1;
    send_text(f, 1, "ECHO x\r\n");
    run(f);
    for (int i = 0; i < 10; i++)
        conns_cron(f->conns);
    struct conns_stats stats;
    conns_read_stats(f->conns, &stats);
    assert_int_equal(stats.count, 3);
    assert_int_equal(stats.held_by_gate, 1);
    assert_true(stats.memory >= 3 * 512 + 5120);
    conn_close_later(conns_find(f->conns, 2));
    run(f);
    conns_cron(f->conns);
    conns_read_stats(f->conns, &stats);
    assert_true(stats.memory < 3 * 512 + 5120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONN_TEST(pipelined_requests_are_answered_in_order),
        CONN_TEST(a_request_may_come_byte_by_byte),
        CONN_TEST(large_arguments_come_through_whole),
        CONN_TEST(a_canonical_request_is_handed_over_with_its_bytes),
        CONN_TEST(a_protocol_error_is_answered_and_ends_the_connection),
        CONN_TEST(browsers_are_sent_away),
        CONN_TEST(nothing_is_run_after_quit),
        CONN_TEST(a_half_closed_client_gets_its_answers),
        CONN_TEST(a_client_that_wants_no_replies_gets_none),
        CONN_TEST(one_client_cannot_keep_the_loop_to_itself),
        CONN_TEST(a_slow_reader_gets_everything_and_holds_up_nobody),
        CONN_TEST(output_beyond_the_hard_limit_closes),
        CONN_TEST(a_query_beyond_its_limit_closes),
        CONN_TEST(more_than_maxclients_are_refused),
        CONN_TEST(strangers_are_refused_in_protected_mode),
        CONN_TEST(clients_without_password_are_limited),
        CONN_TEST(connections_are_found_by_id_and_listed_in_order),
        CONN_TEST(many_connections_are_found_while_they_come_and_go),
        CONN_TEST(a_connection_may_close_another_or_itself),
        CONN_TEST(a_connection_describes_itself_as_redis_does),
        CONN_TEST(an_idle_connection_holds_no_buffers),
        CONN_TEST(the_largest_clients_are_evicted_first),
        CONN_TEST(messages_can_be_pushed_to_an_idle_client),
        CONN_TEST(visits_reach_every_connection),
    };
    return RUN_TESTS("conn", tests);
}
