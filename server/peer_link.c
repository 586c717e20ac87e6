#include "server/peer_link.h"

#include "server/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CANCEL_POLL_MS 50
#define READ_BYTES     4096

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until the descriptor is ready for `events`; looks every so often whether it is cancelled. */
static enum status await(const struct peer_link *link, short events)
{
    int64_t start_ms = now_ms();
    while (!atomic_load(link->cancelled)) {
        int64_t left_ms = link->timeout_ms - (now_ms() - start_ms);
        if (left_ms <= 0)
            return ST_IO;
        struct pollfd poll_fd = {.fd = link->fd, .events = events};
        int ready = poll(&poll_fd, 1, left_ms < CANCEL_POLL_MS ? (int)left_ms : CANCEL_POLL_MS);
        if (ready > 0)
            return ST_OK;
        if (ready < 0 && errno != EINTR)
            return ST_IO;
    }
    return ST_IO;
}

static void close_socket(struct peer_link *link)
{
    if (link->fd >= 0)
        (void)close(link->fd);
    link->fd = -1;
}

static enum status connect_to(struct peer_link *link, const struct addrinfo *address)
{
    link->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return ST_IO;
    int error = 0;
    socklen_t len = sizeof(error);
    int on = 1;
    if (connect(link->fd, address->ai_addr, address->ai_addrlen) != 0 && errno != EINPROGRESS)
        return ST_IO;
    if (await(link, POLLOUT) != ST_OK)
        return ST_IO;
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
        return ST_IO;
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return ST_OK;
}

/* Over the connection that is there. */
static enum status shake_hands(struct peer_link *link)
{
    while (tls_connect(link->tls, link->fd) != 0)
        if (errno != EAGAIN || await(link, tls_wants_write(link->tls) ? POLLOUT : POLLIN) != ST_OK)
            return ST_IO;
    return ST_OK;
}

enum status peer_link_open(struct peer_link *link, const char *host, const char *port)
{
    struct addrinfo *addresses = NULL;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    link->fd = -1;
    if (getaddrinfo(host, port, &hints, &addresses) != 0)
        return ST_IO;
    enum status st = ST_IO;
    for (const struct addrinfo *a = addresses; a != NULL && st != ST_OK; a = a->ai_next) {
        st = connect_to(link, a);
        if (st != ST_OK)
            close_socket(link);
    }
    freeaddrinfo(addresses);
    if (st == ST_OK && link->tls != NULL)
        st = shake_hands(link);
    if (st != ST_OK)
        peer_link_close(link);
    return st;
}

void peer_link_close(struct peer_link *link)
{
    tls_stream_destroy(link->tls);
    link->tls = NULL;
    close_socket(link);
    buf_deinit(&link->in);
}

/* As send and recv. */
static ssize_t send_some(struct peer_link *link, struct bytes bytes)
{
    union {
        const uint8_t *borrowed;
        void *base;
    } data = {.borrowed = bytes.data};
    struct iovec iov = {.iov_base = data.base, .iov_len = bytes.len};
    return link->tls == NULL ? send(link->fd, bytes.data, bytes.len, MSG_NOSIGNAL)
                             : tls_write(link->tls, &iov, 1);
}

static ssize_t receive_some(struct peer_link *link, void *place, size_t room)
{
    return link->tls == NULL ? recv(link->fd, place, room, 0) : tls_read(link->tls, place, room);
}

enum status peer_link_write(struct peer_link *link, struct bytes bytes)
{
    for (size_t at = 0; at < bytes.len;) {
        ssize_t sent = send_some(link, bytes_make(bytes.data + at, bytes.len - at));
        if (sent >= 0)
            at += (size_t)sent;
        else if (errno != EAGAIN && errno != EINTR)
            return ST_IO;
        else if (await(link, POLLOUT) != ST_OK)
            return ST_IO;
    }
    return ST_OK;
}

static enum status read_more(struct peer_link *link)
{
    for (;;) {
        ssize_t got = receive_some(link, buf_reserve(&link->in, READ_BYTES), READ_BYTES);
        if (got > 0) {
            link->in.len += (size_t)got;
            return ST_OK;
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            return ST_IO;
        if (await(link, POLLIN) != ST_OK)
            return ST_IO;
    }
}

enum status peer_link_read_line(struct peer_link *link, struct buf *line)
{
    const uint8_t *end;
    while ((end = link->in.len == 0 ? NULL : memchr(link->in.data, '\n', link->in.len)) == NULL) {
        if (link->in.len > PEER_LINE_BYTES_MAX || read_more(link) != ST_OK)
            return ST_IO;
    }
    size_t len = (size_t)(end - link->in.data);
    if (len > PEER_LINE_BYTES_MAX)
        return ST_IO;
    buf_clear(line);
    buf_append(line, link->in.data, len != 0 && end[-1] == '\r' ? len - 1 : len);
    buf_consume(&link->in, len + 1);
    return ST_OK;
}
