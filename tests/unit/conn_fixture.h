/* What the tests of connections share: the real loop and real socket pairs, and an executor that
 * echoes, suspends, blocks and holds the gate as the request's first word says. It defines the
 * functions of exec.h, so that a program can include it once and links nothing of the executor. */
#ifndef BASALT_TESTS_UNIT_CONN_FIXTURE_H
#define BASALT_TESTS_UNIT_CONN_FIXTURE_H

#include "server/conn.h"

#include "codec/mem.h"
#include "server/acl.h"
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
    exec_resumed_fn *blocked;
    void *resumed_arg;
    struct waiter waiters[WAITERS_MAX];
    int waiter_count;
    int cancelled;
    int runs;
    struct buf last_raw;
    struct exec_gate gate;
    uint64_t gathered; /* what exec_gathered was told last */
    bool syncs_fast;   /* each request closes the gate, the tick's end after the next opens it */
    int ticks_to_sync;
    struct conn *to_close;
};

static inline void join(struct buf *out, const struct bytes *argv, int argc)
{
    for (int i = 0; i < argc; i++) {
        buf_append_bytes(out, argv[i]);
        buf_append_byte(out, '|');
    }
}

static inline void wait_for(struct exec *exec, struct session *session, const struct bytes *argv,
                            int argc)
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

void exec_on_blocked(struct exec *exec, exec_resumed_fn *fn)
{
    exec->blocked = fn;
}

uint32_t exec_command_flags(const struct exec *exec, const struct session *session,
                            const struct command *command, const struct bytes *argv, int argc)
{
    (void)exec, (void)session, (void)argv, (void)argc;
    return command->flags;
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

void exec_gathered(struct exec *exec, uint64_t durable)
{
    exec->gathered = durable;
}

bool exec_is_gathering(const struct exec *exec)
{
    (void)exec;
    return false;
}

/* Ends the wait of the first waiter; checks that its arguments are still what they were. */
static inline void resume_first(struct exec *exec, bool arguments_must_hold)
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

bool exec_unblock(void *arg, struct session *session, bool with_error)
{
    struct exec *exec = arg;
    if (!with_error)
        return false;
    assert_ptr_equal(exec->waiters[0].session, session);
    resume_first(exec, false);
    return true;
}

/* ---- The fixture. */

static inline void never_called(struct call *call)
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

static inline int set_up(void **state)
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
    f->services.acl = acl_create(&f->services);
    f->conns = conns_create(&f->services);
    for (int i = 0; i < CLIENTS_MAX; i++)
        f->clients[i] = -1;
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
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
    acl_destroy(f->services.acl);
    command_table_destroy(f->commands);
    config_destroy(f->config);
    mem_free(f);
    return 0;
}

/* Connects client `i` as if from `address`. */
static inline void connect_from(struct fixture *f, int i, const char *address)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(4000)};
    assert_int_equal(inet_pton(AF_INET, address, &peer.sin_addr), 1);
    f->clients[i] = pair[0];
    f->ended[i] = false;
    conns_adopt(f->conns, pair[1], (const struct sockaddr *)&peer);
}

static inline void connect_client(struct fixture *f, int i)
{
    connect_from(f, i, "127.0.0.1");
}

static inline void receive(struct fixture *f, int i)
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
static inline void run(struct fixture *f)
{
    for (int tick = 0; tick < 6; tick++) {
        loop_run_once(f->loop);
        for (int i = 0; i < CLIENTS_MAX; i++) {
            if (f->clients[i] >= 0)
                receive(f, i);
        }
    }
}

static inline void send_bytes(struct fixture *f, int i, struct bytes bytes)
{
    while (bytes.len > 0) {
        ssize_t count = send(f->clients[i], bytes.data, bytes.len, MSG_NOSIGNAL);
        if (count > 0)
            bytes = bytes_make(bytes.data + count, bytes.len - (size_t)count);
        else
            loop_run_once(f->loop);
    }
}

static inline void send_text(struct fixture *f, int i, const char *text)
{
    send_bytes(f, i, bytes_text(text));
}

/* Lets the server work and compares all that client `i` has received since the last time. */
static inline void expect(struct fixture *f, int i, const char *text)
{
    run(f);
    assert_bytes(buf_bytes(&f->received[i]), bytes_text(text));
    buf_clear(&f->received[i]);
}

static inline void append_request(struct buf *out, const char *word, struct bytes argument)
{
    buf_append_format(out, "*2\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(word), word, argument.len);
    buf_append_bytes(out, argument);
    buf_append_text(out, "\r\n");
}

#define CONN_TEST(function) TEST_WITH(function, set_up, tear_down)

#endif
