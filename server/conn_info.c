/* What CLIENT LIST and INFO tell of connections. Source: catClientInfoString of Redis 7.2. */
#include "server/conn_internal.h"

#include "codec/mem.h"
#include "server/acl.h"
#include "server/command.h"
#include "server/loop.h"
#include "server/multi.h"
#include "server/pubsub.h"
#include "server/tracking.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

/* An IPv6 address in brackets, a colon, a port. */
#define ADDRESS_BYTES_MAX (INET6_ADDRSTRLEN + 10)

/* The address as text, to be freed with mem_free; "?:0" when it is of no known kind. */
static char *format_address(const struct conn *conn, const struct sockaddr_storage *address)
{
    char host[INET6_ADDRSTRLEN];
    char text[ADDRESS_BYTES_MAX];
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        (void)snprintf(text, sizeof(text), "%s:%d", host, ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        (void)snprintf(text, sizeof(text), "[%s]:%d", host, ntohs(in6->sin6_port));
    } else if (address->ss_family == AF_UNIX) {
        const char *path = conn->conns->config->unixsocket;
        size_t size = strlen(path) + 3;
        char *named = mem_alloc(size);
        (void)snprintf(named, size, "%s:0", path);
        return named;
    } else {
        (void)snprintf(text, sizeof(text), "?:0");
    }
    return mem_strdup(text);
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_UNIX)
        return true;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    }
    return false;
}

void conn_set_peer(struct conn *conn, const struct sockaddr *peer)
{
    struct sockaddr_storage copy = {0};
    size_t size = peer->sa_family == AF_INET    ? sizeof(struct sockaddr_in)
                  : peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                : sizeof(peer->sa_family);
    memcpy(&copy, peer, size);
    conn->peer_address = format_address(conn, &copy);
}

bool conn_address_is_local(const struct sockaddr *address)
{
    return is_loopback(address);
}

const char *conn_peer_address(const struct conn *conn)
{
    return conn->peer_address;
}

const char *conn_local_address(struct conn *conn)
{
    if (conn->local_address == NULL) {
        struct sockaddr_storage address = {0};
        socklen_t size = sizeof(address);
        if (getsockname(conn->fd, (struct sockaddr *)&address, &size) != 0)
            address.ss_family = AF_UNSPEC;
        conn->local_address = format_address(conn, &address);
    }
    return conn->local_address;
}

int conn_fd(const struct conn *conn)
{
    return conn->fd;
}

bool conn_is_local(const struct conn *conn)
{
    return conn->local;
}

enum config_client_class conn_class(const struct conn *conn)
{
    uint32_t flags = conn->session.flags;
    if ((flags & SESSION_REPLICA) != 0 && (flags & SESSION_MONITOR) == 0)
        return CONFIG_CLIENT_REPLICA;
    return (flags & SESSION_PUBSUB) != 0 ? CONFIG_CLIENT_PUBSUB : CONFIG_CLIENT_NORMAL;
}

bool conn_is_blocked(const struct conn *conn)
{
    return (conn->state & (CONN_BLOCKED | CONN_HELD)) != 0;
}

int64_t conn_idle_ms(const struct conn *conn)
{
    return loop_now_ms(conn->conns->loop) - conn->last_io_at_ms;
}

/* Bytes of the arguments of the request that waits; those of others are in the query buffer. */
static size_t argument_bytes(const struct conn *conn)
{
    if ((conn->state & CONN_PINNED) == 0)
        return 0;
    size_t bytes = 0;
    for (int i = 0; i < conn->parser.argc; i++)
        bytes += conn->parser.argv[i].len;
    return bytes;
}

static size_t text_bytes(const char *text)
{
    return text == NULL ? 0 : strlen(text) + 1;
}

size_t conn_output_memory(const struct conn *conn)
{
    size_t memory = output_memory(&conn->output);
    return memory > OUTPUT_FIRST_BLOCK_BYTES ? memory - OUTPUT_FIRST_BLOCK_BYTES : 0;
}

size_t conn_memory(const struct conn *conn)
{
    const struct session *session = &conn->session;
    return sizeof(*conn) + conn->query_capacity + resp_parser_memory(&conn->parser) +
           output_memory(&conn->output) + pubsub_session_memory(session) +
           tracking_session_memory(session) + text_bytes(session->name) +
           text_bytes(session->lib_name) + text_bytes(session->lib_version) +
           text_bytes(conn->peer_address) + (size_t)conn->extra_memory;
}

/* The letters of CLIENT LIST's flags. */
static void format_flags(const struct conn *conn, char out[20])
{
    static const struct {
        uint32_t flag;
        uint32_t tracking_mode;
        char letter;
    } letters[] = {
        {SESSION_MASTER, 0, 'M'},
        {SESSION_PUBSUB, 0, 'P'},
        {SESSION_MULTI, 0, 'x'},
        {SESSION_BLOCKED, 0, 'b'},
        {SESSION_TRACKING, 0, 't'},
        {0, TRACKING_BROKEN_REDIR, 'R'},
        {0, TRACKING_BCAST, 'B'},
        {SESSION_DIRTY_CAS, 0, 'd'},
        {SESSION_CLOSE_AFTER_REPLY, 0, 'c'},
        {SESSION_CLOSE_ASAP, 0, 'A'},
        {SESSION_UNIX_SOCKET, 0, 'U'},
        {SESSION_READONLY_LINK, 0, 'r'},
        {SESSION_NO_EVICT, 0, 'e'},
        {SESSION_NO_TOUCH, 0, 'T'},
    };
    uint32_t modes = tracking_modes(&conn->session);
    uint32_t flags = conn->session.flags;
    if (conn_is_blocked(conn))
        flags |= SESSION_BLOCKED;
    char *place = out;
    if ((flags & SESSION_MONITOR) != 0)
        *place++ = 'O';
    else if ((flags & SESSION_REPLICA) != 0)
        *place++ = 'S';
    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        if ((flags & letters[i].flag) != 0 || (modes & letters[i].tracking_mode) != 0)
            *place++ = letters[i].letter;
    }
    if (place == out)
        *place++ = 'N';
    *place = '\0';
}

void conn_describe(struct conn *conn, struct buf *out)
{
    const struct session *session = &conn->session;
    int64_t now_ms = loop_now_ms(conn->conns->loop);
    bool tracks = (session->flags & SESSION_TRACKING) != 0;
    long long redirect = tracks ? (long long)tracking_redirect(session) : -1;
    char flags[20];
    format_flags(conn, flags);
    /* As in Redis the first block does not count as memory: it is what every reply passes through.
     */
    size_t blocks = output_block_count(&conn->output);
    size_t unread = (conn->state & CONN_RUNNING) != 0 ? conn->input_bytes : conn_unread(conn);
    size_t capacity = conn->query_capacity > unread ? conn->query_capacity : unread;
    buf_append_format(out, "id=%llu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%lld flags=%s",
                      (unsigned long long)session->id, conn->peer_address, conn_local_address(conn),
                      conn->fd, session->name != NULL ? session->name : "",
                      (long long)(now_ms - session->created_at_ms) / 1000,
                      (long long)(now_ms - conn->last_io_at_ms) / 1000, flags);
    buf_append_format(
        out,
        " db=%u sub=%zu psub=%zu ssub=%zu multi=%lld qbuf=%zu qbuf-free=%zu argv-mem=%zu"
        " multi-mem=%zu",
        session->db, pubsub_session_count(session, PUBSUB_CHANNEL),
        pubsub_session_count(session, PUBSUB_PATTERN), pubsub_session_count(session, PUBSUB_SHARD),
        (long long)multi_count(session), unread, capacity - unread, argument_bytes(conn),
        multi_bytes(session));
    buf_append_format(out, " rbs=%zu rbp=%zu obl=%zu oll=%zu omem=%zu tot-mem=%zu events=%s%s",
                      (size_t)0, (size_t)0, blocks <= 1 ? output_bytes(&conn->output) : 0,
                      blocks <= 1 ? 0 : blocks - 1, conn_output_memory(conn), conn_memory(conn),
                      (conn->watched & UV_READABLE) != 0 ? "r" : "",
                      (conn->watched & UV_WRITABLE) != 0 ? "w" : "");
    buf_append_format(out, " cmd=%s user=%s redir=%lld resp=%d lib-name=%s lib-ver=%s",
                      session->last_command != NULL ? session->last_command->name : "NULL",
                      acl_name_of(session), redirect, session->reply.resp,
                      session->lib_name != NULL ? session->lib_name : "",
                      session->lib_version != NULL ? session->lib_version : "");
}
