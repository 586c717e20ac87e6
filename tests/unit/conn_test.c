/* Goal: requests are answered whole, in order and to the right client, whatever the pace of the
 * socket, the disk and the journal; limits close exactly whom they must. Method: the real loop and
 * real socket pairs, with an executor of the test's own that echoes, suspends, blocks and holds the
 * gate as the request's first word says. */
#include "server/conn.h"

#include "codec/mem.h"
#include "server/command.h"
#include "server/exec.h"
#include "server/loop.h"
#include "server/output.h"
#include "server/services.h"
#include "server/stats.h"
#include "tests/support/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- The executor. */

#define WAITERS_MAX 8

struct waiter {
    struct session *session;
    const struct bytes *argv;
    int argc;
    struct buf copy; /* what argv said, to be compared when it is resumed */
};

struct exec {
    exec_resumed_fn *resumed;
    void *resumed_arg;
    struct waiter waiters[WAITERS_MAX];
    int waiter_count;
    int cancelled;
    int runs;
    struct buf last_raw;
    struct exec_gate gate;
    bool syncs_fast; /* each request closes the gate, the tick's end after the next opens it */
    int ticks_to_sync;
    struct conn *to_close;
};

static void join(struct buf *out, const struct bytes *argv, int argc)
{
    for (int i = 0; i < argc; i++) {
        buf_append_bytes(out, argv[i]);
        buf_append_byte(out, '|');
    }
}

static void wait_for(struct exec *exec, struct session *session, const struct bytes *argv, int argc)
{
    assert_true(exec->waiter_count < WAITERS_MAX);
    struct waiter *waiter = &exec->waiters[exec->waiter_count++];
    *waiter = (struct waiter){.session = session, .argv = argv, .argc = argc};
    join(&waiter->copy, argv, argc);
}

enum exec_result exec_run(struct exec *exec, struct session *session, const struct bytes *argv,
                          int argc, struct bytes raw)
{
    exec->runs++;
    if (exec->syncs_fast) {
        exec->gate.offset = exec->gate.durable + 100;
        exec->ticks_to_sync = 2;
    }
    buf_clear(&exec->last_raw);
    buf_append_bytes(&exec->last_raw, raw);
    if (bytes_equal_nocase(argv[0], "echo")) {
        reply_bulk(&session->reply, argv[1]);
    } else if (bytes_equal_nocase(argv[0], "cold")) {
        wait_for(exec, session, argv, argc);
        return EXEC_SUSPENDED;
    } else if (bytes_equal_nocase(argv[0], "wait")) {
        wait_for(exec, session, argv, argc);
        session->flags |= SESSION_BLOCKED;
        return EXEC_SUSPENDED;
    } else if (bytes_equal_nocase(argv[0], "block")) {
        wait_for(exec, session, argv, argc);
        return EXEC_BLOCKED;
    } else if (bytes_equal_nocase(argv[0], "quit")) {
        reply_ok(&session->reply);
        session->flags |= SESSION_CLOSE_AFTER_REPLY;
    } else if (bytes_equal_nocase(argv[0], "kill")) {
        conn_close_later(exec->to_close);
        reply_ok(&session->reply);
    } else if (bytes_equal_nocase(argv[0], "skip")) {
        session->reply.muted = true;
    } else if (bytes_equal_nocase(argv[0], "off")) {
        session->flags |= SESSION_REPLY_OFF;
        session->reply.muted = true;
    } else if (bytes_equal_nocase(argv[0], "list")) {
        struct buf line = {0};
        conn_describe(session->conn, &line);
        reply_bulk(&session->reply, buf_bytes(&line));
        buf_deinit(&line);
    } else {
        reply_simple(&session->reply, "PONG");
    }
    return EXEC_DONE;
}

void exec_look_ahead(struct exec *exec, const struct session *session, const uint8_t *next,
                     const uint8_t *end)
{
    (void)exec, (void)session;
    assert_true(next <= end);
}

void exec_on_resumed(struct exec *exec, exec_resumed_fn *fn, void *arg)
{
    exec->resumed = fn;
    exec->resumed_arg = arg;
}

void exec_cancel(struct exec *exec, struct session *session)
{
    for (int i = 0; i < exec->waiter_count; i++) {
        if (exec->waiters[i].session != session)
            continue;
        buf_deinit(&exec->waiters[i].copy);
        exec->waiters[i] = exec->waiters[--exec->waiter_count];
        exec->cancelled++;
        return;
    }
}

void session_init(struct session *session, struct output *out, uint64_t id, int64_t now_ms)
{
    *session = (struct session){.id = id, .created_at_ms = now_ms};
    session->reply = (struct reply){.out = out, .resp = 2};
}

void session_deinit(struct exec *exec, struct session *session)
{
    (void)exec;
    mem_free(session->name);
}

bool exec_tick_end(struct exec *exec)
{
    if (exec->ticks_to_sync > 0 && --exec->ticks_to_sync == 0)
        exec->gate = (struct exec_gate){.durable = exec->gate.offset};
    return false;
}

struct exec_gate exec_gate(const struct exec *exec)
{
    return exec->gate;
}

/* Ends the wait of the first waiter; checks that its arguments are still what they were. */
static void resume_first(struct exec *exec, bool arguments_must_hold)
{
    assert_true(exec->waiter_count > 0);
    struct waiter waiter = exec->waiters[0];
    exec->waiter_count--;
    memmove(exec->waiters, exec->waiters + 1, (size_t)exec->waiter_count * sizeof(waiter));
    struct buf now = {0};
    if (arguments_must_hold) {
        join(&now, waiter.argv, waiter.argc);
        assert_bytes(buf_bytes(&now), buf_bytes(&waiter.copy));
    }
    reply_simple(&waiter.session->reply, "RESUMED");
    exec->resumed(exec->resumed_arg, waiter.session);
    buf_deinit(&now);
    buf_deinit(&waiter.copy);
}

/* ---- The fixture. */

static void never_called(struct call *call)
{
    (void)call;
    fail();
}

/* What a pause looks at; the executor does not. */
static const struct command rows[] = {
    {.name = "echo", .handler = never_called, .arity = 2, .flags = CMD_FAST},
    {.name = "ping", .handler = never_called, .arity = -1, .flags = CMD_FAST},
    {.name = "cold", .handler = never_called, .arity = -1, .flags = CMD_WRITE},
    {.name = "write", .handler = never_called, .arity = 2, .flags = CMD_WRITE},
    {.name = NULL},
};

#define CLIENTS_MAX 4

struct fixture {
    struct loop *loop;
    struct config *config;
    struct stats *stats;
    struct command_table *commands;
    struct conns *conns;
    struct exec exec;
    struct services services;
    int clients[CLIENTS_MAX]; /* our ends; -1: closed */
    struct buf received[CLIENTS_MAX];
    bool ended[CLIENTS_MAX]; /* the server has closed */
};

static int set_up(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    struct err err;
    if (loop_open(&f->loop, &err) != ST_OK)
        return -1;
    f->config = config_create();
    f->stats = stats_create(0);
    const struct command *const tables[] = {rows};
    f->commands = command_table_create_from(tables, 1);
    f->services = (struct services){.config = f->config,
                                    .commands = f->commands,
                                    .exec = &f->exec,
                                    .loop = f->loop,
                                    .stats = f->stats};
    f->conns = conns_create(&f->services);
    for (int i = 0; i < CLIENTS_MAX; i++)
        f->clients[i] = -1;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    conns_destroy(f->conns);
    loop_close(f->loop);
    for (int i = 0; i < CLIENTS_MAX; i++) {
        if (f->clients[i] >= 0)
            (void)close(f->clients[i]);
        buf_deinit(&f->received[i]);
    }
    for (int i = 0; i < f->exec.waiter_count; i++)
        buf_deinit(&f->exec.waiters[i].copy);
    buf_deinit(&f->exec.last_raw);
    stats_destroy(f->stats);
    command_table_destroy(f->commands);
    config_destroy(f->config);
    mem_free(f);
    return 0;
}

/* Connects client `i` as if from `address`. */
static void connect_from(struct fixture *f, int i, const char *address)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(4000)};
    assert_int_equal(inet_pton(AF_INET, address, &peer.sin_addr), 1);
    f->clients[i] = pair[0];
    f->ended[i] = false;
    conns_adopt(f->conns, pair[1], (const struct sockaddr *)&peer);
}

static void connect_client(struct fixture *f, int i)
{
    connect_from(f, i, "127.0.0.1");
}

static void receive(struct fixture *f, int i)
{
    while (!f->ended[i]) {
        ssize_t count = recv(f->clients[i], buf_reserve(&f->received[i], 65536), 65536, 0);
        if (count > 0)
            f->received[i].len += (size_t)count;
        else if (count == 0 || errno == ECONNRESET)
            f->ended[i] = true;
        else
            return;
    }
}

/* Some ticks: enough for what is under way between two ends of a local socket. */
static void run(struct fixture *f)
{
    for (int tick = 0; tick < 6; tick++) {
        loop_run_once(f->loop);
        for (int i = 0; i < CLIENTS_MAX; i++) {
            if (f->clients[i] >= 0)
                receive(f, i);
        }
    }
}

static void send_bytes(struct fixture *f, int i, struct bytes bytes)
{
    while (bytes.len > 0) {
        ssize_t count = send(f->clients[i], bytes.data, bytes.len, MSG_NOSIGNAL);
        if (count > 0)
            bytes = bytes_make(bytes.data + count, bytes.len - (size_t)count);
        else
            loop_run_once(f->loop);
    }
}

static void send_text(struct fixture *f, int i, const char *text)
{
    send_bytes(f, i, bytes_text(text));
}

/* Lets the server work and compares all that client `i` has received since the last time. */
static void expect(struct fixture *f, int i, const char *text)
{
    run(f);
    assert_bytes(buf_bytes(&f->received[i]), bytes_text(text));
    buf_clear(&f->received[i]);
}

static void append_request(struct buf *out, const char *word, struct bytes argument)
{
    buf_append_format(out, "*2\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(word), word, argument.len);
    buf_append_bytes(out, argument);
    buf_append_text(out, "\r\n");
}

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

bool exec_unblock(void *arg, struct session *session, bool with_error)
{
    struct exec *exec = arg;
    if (!with_error)
        return false;
    assert_ptr_equal(exec->waiters[0].session, session);
    resume_first(exec, false);
    return true;
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
    struct bytes none = f->config->requirepass;
    f->config->requirepass = bytes_text("secret");
    connect_client(f, 0);
    send_text(f, 0, "*11\r\n");
    expect(f, 0, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    assert_true(f->ended[0]);
    f->config->requirepass = none;
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

#define CONN_TEST(function) TEST_WITH(function, set_up, tear_down)

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
        CONN_TEST(replies_wait_until_the_journal_is_durable),
        CONN_TEST(only_writers_wait_while_the_journal_is_failed),
        CONN_TEST(an_opened_gate_releases_all),
        CONN_TEST(a_gate_opens_every_time),
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
