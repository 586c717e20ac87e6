/* From the output to the socket, past the gate.
 *
 * With appendfsync always a reply may be sent only when the journal is durable up to the offset at
 * which the reply was made. A connection keeps two such marks at most:
 *
 *   | sendable | sealed: waits for sealed_offset | open: waits for open_offset | new in this tick |
 *
 * While something is sealed, what comes later joins the open part, whose offset is that of its
 * newest bytes; when the sealed part is released, the open part is sealed. A reply thus waits for
 * at most one more group than it must, and a connection costs the same however many it has sent.
 *
 * Clients whose replies one sync has released mostly come back with the next request at once. Of
 * those it is counted how many are still away; when half are back, exec is told that a sync need
 * not wait for more (journal_gathered): one half is then served while the other's sync runs. With
 * 50 clients and SET, one command at a time, that is 1.2 times as fast as to wait for nearly all,
 * or for none.
 *
 * While the journal is failed only connections wait that have made writes which are not durable, or
 * were sent messages of such writes (struct exec_gate). */
#include "server/conn_internal.h"

#include "codec/check.h"
#include "codec/log_fn.h"
#include "server/exec.h"
#include "server/log.h"
#include "server/loop.h"
#include "server/stats.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define WRITE_RANGES_MAX 64
#define STRAGGLERS_OF    2 /* one in so many connections is not waited for */

/* Sorts the bytes that came since the last time behind the right mark. */
static void mark_new_bytes(struct conn *conn, uint64_t offset)
{
    size_t known = conn->sendable + conn->sealed_bytes + conn->open_bytes;
    size_t fresh = output_bytes(&conn->output) - known;
    if (fresh == 0)
        return;
    conn_note_back(conn);
    if (offset == 0 && conn->sealed_bytes == 0) {
        conn->sendable += fresh;
    } else if (conn->sealed_bytes == 0) {
        conn->sealed_bytes = fresh;
        conn->sealed_offset = offset;
        conn_list_add(&conn->conns->gated, &conn->gated);
    } else {
        conn->open_bytes += fresh;
        conn->open_offset = offset != 0 ? offset : conn->sealed_offset;
    }
}

/* Releases what the journal has caught up with. */
static void open_gate(struct conn *conn, uint64_t durable)
{
    while (conn->sealed_bytes != 0 && conn->sealed_offset <= durable) {
        conn->sendable += conn->sealed_bytes;
        conn->sealed_bytes = conn->open_bytes;
        conn->sealed_offset = conn->open_offset;
        conn->open_bytes = 0;
    }
    if (conn->sealed_bytes == 0)
        conn_link_remove(&conn->gated);
}

/* While the journal is failed: whether nothing of the connection's own is at stake, nor anything
 * that messages have told it of. */
static bool reads_on(const struct conn *conn, const struct exec_gate *gate)
{
    return gate->failed && conn->session.write_offset <= gate->durable &&
           conn->session.told_offset <= gate->durable;
}

void conn_open_gates(struct conns *conns, const struct exec_gate *gate)
{
    if (gate->durable == conns->durable_seen && !gate->failed)
        return;
    conns->durable_seen = gate->durable;
    conns->release_round++;
    conns->released = 0;
    conns->away = 0;
    conns->gathered = false;
    struct conn_link *next;
    for (struct conn_link *link = conns->gated.next; link != &conns->gated; link = next) {
        next = link->next;
        struct conn *conn = CONN_OF(link, gated);
        open_gate(conn, reads_on(conn, gate) ? UINT64_MAX : gate->durable);
        if (conn->sendable != 0)
            conn_list_add(&conns->flush, &conn->flush);
        if (conn->sealed_bytes == 0) {
            conn->released_round = conns->release_round;
            conns->released++;
            conns->away++;
        }
    }
}

void conn_note_back(struct conn *conn)
{
    if (conn->released_round != conn->conns->release_round)
        return;
    conn->released_round = 0;
    conn->conns->away--;
}

void conns_tell_gathered(struct conns *conns)
{
    if (conns->gathered || conns->away > conns->released / STRAGGLERS_OF)
        return;
    conns->gathered = true;
    exec_gathered(conns->exec, conns->durable_seen);
}

/* The ranges to send next; returns how many, and their sum in `*len_out`. */
static int gather(const struct conn *conn, struct iovec *iov, size_t *len_out)
{
    struct bytes ranges[WRITE_RANGES_MAX];
    size_t count = output_peek(&conn->output, ranges, WRITE_RANGES_MAX);
    size_t left = conn->sendable;
    size_t used = 0;
    for (size_t i = 0; i < count && left > 0; i++) {
        size_t len = ranges[i].len < left ? ranges[i].len : left;
        /* iovec wants a plain pointer for both directions; sendmsg only reads. */
        union {
            const uint8_t *borrowed;
            void *plain;
        } cast = {.borrowed = ranges[i].data};
        iov[used++] = (struct iovec){.iov_base = cast.plain, .iov_len = len};
        left -= len;
    }
    *len_out = conn->sendable - left;
    return (int)used;
}

static ssize_t send_ranges(const struct conn *conn, struct iovec *iov, int count)
{
    int fd = conn->fd;
    if (conn->tls != NULL)
        return tls_write(conn->tls, iov, count);
    if (count == 1)
        return send(fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* One system call. */
static void send_some(struct conn *conn)
{
    struct conns *conns = conn->conns;
    struct iovec iov[WRITE_RANGES_MAX];
    size_t len;
    int count = gather(conn, iov, &len);
    ssize_t sent = send_ranges(conn, iov, count);
    conns->stats->writes++;
    if (sent < 0) {
        if (errno == EINTR) {
            sent = 0;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            conn->state |= CONN_WRITE_WAITS;
            return;
        } else {
            log_write(LOG_VERBOSE, "Error writing to client: %s",
                      conn->tls != NULL ? tls_error(conn->tls) : strerror(errno));
            conn_close_later(conn);
            return;
        }
    }
    conns->stats->output_bytes += (uint64_t)sent;
    output_consume(&conn->output, (size_t)sent);
    conn->sendable -= (size_t)sent;
    if (sent > 0)
        conn->last_io_at_ms = loop_now_ms(conns->loop);
    if ((size_t)sent < len)
        conn->state |= CONN_WRITE_WAITS;
    else if (conn->sendable != 0)
        conn_list_add(&conns->flush, &conn->flush); /* more blocks than one call takes */
}

/* True when nothing is left to do for a connection whose end was decided. */
static bool is_done(const struct conn *conn)
{
    if (output_bytes(&conn->output) != 0)
        return false;
    if ((conn->session.flags & SESSION_CLOSE_AFTER_REPLY) != 0)
        return true;
    return (conn->state & CONN_EOF) != 0 && (conn->state & CONN_WAITS) == 0 &&
           !conn_link_is_used(&conn->ready);
}

void conn_write(struct conn *conn, const struct exec_gate *gate)
{
    if ((conn->state & CONN_CLOSING) != 0)
        return;
    if ((conn->session.flags & SESSION_CLOSE_ASAP) != 0) {
        conn_close_later(conn);
        return;
    }
    mark_new_bytes(conn, reads_on(conn, gate) ? 0 : gate->offset);
    if (conn->sendable != 0 && (conn->state & CONN_WRITE_WAITS) == 0)
        send_some(conn);
    if (((conn->state & CONN_WRITE_WAITS) != 0) != ((conn->watched & UV_WRITABLE) != 0))
        conn_watch(conn);
    if (is_done(conn))
        conn_close_later(conn);
}
