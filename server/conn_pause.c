/* CLIENT PAUSE and CLIENT UNBLOCK. A held request stays parsed in its connection, which is read and
 * run no further; when the pause ends or becomes laxer, all held requests are tried again in the
 * order in which they came, and may be held anew. Source: pauseActions of Redis 7.2. */
#include "server/conn_internal.h"

#include "server/command.h"
#include "server/exec.h"
#include "server/loop.h"

/* Requests that will only be refused are not held: their errors come at once. */
static bool must_wait(const struct conn *conn)
{
    const struct conns *conns = conn->conns;
    const struct session *session = &conn->session;
    if ((session->flags & (SESSION_REPLICA | SESSION_MASTER)) != 0)
        return false;
    const struct resp_parser *parser = &conn->parser;
    const struct command *command = command_find(conns->commands, parser->argv, parser->argc, NULL);
    if (command == NULL || !command_takes(command, parser->argc))
        return false;
    if (!session->authenticated && (command->flags & CMD_NO_AUTH) == 0)
        return false;
    uint32_t flags = exec_command_flags(conns->exec, session, command, parser->argv, parser->argc);
    return conns->pause == CONNS_PAUSE_ALL || (flags & (CMD_WRITE | CMD_MAY_REPLICATE)) != 0;
}

bool conn_hold(struct conn *conn)
{
    if (!must_wait(conn))
        return false;
    conn->state |= CONN_HELD;
    conn->conns->blocked++;
    conn_list_add(&conn->conns->held, &conn->held);
    return true;
}

void conn_forget_held(struct conn *conn)
{
    if ((conn->state & CONN_HELD) == 0)
        return;
    conn->state &= ~(uint32_t)CONN_HELD;
    conn->conns->blocked--;
    conn_link_remove(&conn->held);
}

static void release_all(struct conns *conns)
{
    while (!conn_list_is_empty(&conns->held)) {
        struct conn *conn = CONN_OF(conns->held.next, held);
        conn_forget_held(conn);
        conn->state |= CONN_RELEASED;
        conn_list_add(&conns->ready, &conn->ready);
    }
}

void conns_unpause(struct conns *conns)
{
    conns->pause = CONNS_RUN;
    conns->pause_until_ms = 0;
    loop_timer_stop(conns->pause_timer);
    release_all(conns);
}

static void on_pause_end(void *arg)
{
    conns_unpause(arg);
}

void conns_pause(struct conns *conns, int64_t until_ms, enum conns_pause mode)
{
    int64_t now_ms = loop_now_ms(conns->loop);
    if (conns->pause < mode)
        conns->pause = mode;
    if (conns->pause_until_ms < until_ms)
        conns->pause_until_ms = until_ms;
    if (conns->pause_until_ms <= now_ms) {
        conns_unpause(conns);
        return;
    }
    loop_timer_start(conns->pause_timer, (uint64_t)(conns->pause_until_ms - now_ms), 0);
}

enum conns_pause conns_paused(const struct conns *conns)
{
    return conns->pause;
}

void conns_pause_init(struct conns *conns)
{
    conn_list_init(&conns->held);
    conns->pause_timer = loop_timer_create(conns->loop, on_pause_end, conns);
}

void conns_pause_deinit(struct conns *conns)
{
    loop_timer_destroy(conns->pause_timer);
}

void conns_on_unblock(struct conns *conns, conns_unblock_fn *fn, void *arg)
{
    conns->unblock = fn;
    conns->unblock_arg = arg;
}

bool conn_unblock(struct conn *conn, bool with_error)
{
    const struct conns *conns = conn->conns;
    if ((conn->state & CONN_BLOCKED) == 0 || conns->unblock == NULL)
        return false;
    return conns->unblock(conns->unblock_arg, &conn->session, with_error);
}
