/* Serving the other connections while a script runs for too long. The loop waits for the script, in
 * a callback, where libuv cannot be run once more; so the sockets are asked directly. libuv will
 * report what was read here anew, and find nothing there.
 *
 * The connection whose request runs is left alone: its arguments lie in the shared buffer (others
 * get another one meanwhile), and its output may be in the midst of a reply. */
#include "server/conn_internal.h"

#include "codec/mem.h"
#include "server/exec.h"

#include <poll.h>

/* The sockets that matter now, and their connections in the same order. */
struct sockets {
    struct pollfd *fds;
    struct conn **conns;
    size_t count;
};

static short wanted_events(const struct conn *conn)
{
    short events = 0;
    if ((conn->state & (CONN_CLOSING | CONN_READ_PAUSED | CONN_EOF)) == 0)
        events |= POLLIN;
    if ((conn->state & CONN_CLOSING) == 0 && (conn->state & CONN_WRITE_WAITS) != 0)
        events |= POLLOUT;
    return events;
}

static void collect(struct conns *conns, const struct conn *running, struct sockets *out)
{
    out->fds = mem_alloc((conns->count + 1) * sizeof(*out->fds));
    out->conns = mem_alloc((conns->count + 1) * sizeof(struct conn *));
    out->count = 0;
    for (struct conn_link *link = conns->all.next; link != &conns->all; link = link->next) {
        struct conn *conn = CONN_OF(link, all);
        short events = wanted_events(conn);
        if (events == 0 || conn == running)
            continue;
        out->fds[out->count] = (struct pollfd){.fd = conn->fd, .events = events};
        out->conns[out->count++] = conn;
    }
}

static void read_ready(struct conns *conns, const struct conn *running)
{
    struct sockets sockets;
    collect(conns, running, &sockets);
    int ready = poll(sockets.fds, sockets.count, 0);
    for (size_t i = 0; i < sockets.count && ready > 0; i++) {
        short events = sockets.fds[i].revents;
        if (events == 0)
            continue;
        ready--;
        conn_on_events(sockets.conns[i], (events & (POLLOUT | POLLERR)) != 0,
                       (events & (POLLIN | POLLHUP | POLLERR)) != 0, false);
    }
    mem_free(sockets.fds);
    mem_free(sockets.conns);
}

/* Those that wait for something of the executor's are closed when the script has ended. */
static void close_idle(struct conns *conns, const struct conn *running)
{
    struct conn_link *next;
    for (struct conn_link *link = conns->closing.next; link != &conns->closing; link = next) {
        next = link->next;
        struct conn *conn = CONN_OF(link, closing);
        if (conn != running && (conn->state & (CONN_RUNNING | CONN_WAITS)) == 0)
            conn_close_now(conn);
    }
}

void conns_serve_busy(struct conns *conns, const struct session *session)
{
    struct conn *running = session->conn;
    uint8_t *shared = conns->shared;
    conns->shared = NULL;
    read_ready(conns, running);
    conns_run_ready(conns);
    bool flushes = running != NULL && conn_link_is_used(&running->flush);
    if (flushes)
        conn_link_remove(&running->flush);
    conns_send(conns);
    close_idle(conns, running);
    if (flushes)
        conn_list_add(&conns->flush, &running->flush);
    mem_free(conns->shared);
    conns->shared = shared;
}
