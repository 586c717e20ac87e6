#include "tools/tool_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "codec/bytes.h"
#include "codec/number.h"
#include "tools/tool_output.h"
#include "tools/tool_tls.h"

#define READ_BYTES      4096
#define TIMEOUT_MS      60000
#define REPLY_BYTES_MAX ((long)1 << 20)

/* ---- Connecting. */

static enum status connect_tcp(struct tool_client *client, const struct tool_server *server,
                               struct err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(server->host, server->port, &hints, &found);
    if (error != 0)
        return err_set(err, ST_IO, "%s port %s: %s", server->host, server->port,
                       gai_strerror(error));
    int reason = 0;
    for (const struct addrinfo *at = found; at != NULL && client->fd < 0; at = at->ai_next) {
        client->fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (client->fd >= 0 && connect(client->fd, at->ai_addr, at->ai_addrlen) != 0) {
            reason = errno;
            close(client->fd);
            client->fd = -1;
        }
    }
    freeaddrinfo(found);
    if (client->fd < 0)
        return err_set_os(err, ST_IO, reason, "cannot connect to %s port %s: %s", server->host,
                          server->port, strerror(reason));
    return ST_OK;
}

static enum status connect_unix(struct tool_client *client, const char *path, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof(address.sun_path))
        return err_set(err, ST_INVALID, "the socket's name is too long");
    memcpy(address.sun_path, path, len + 1);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 ||
        connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        return err_set_os(err, ST_IO, errno, "cannot connect to %s: %s", path, strerror(errno));
    return ST_OK;
}

static const char *password_of(const struct tool_server *server)
{
    static const char *const names[] = {"BASALT_PASSWORD", "BASALTCLI_AUTH", "REDISCLI_AUTH"};
    const char *password = server->password;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && password == NULL; i++)
        password = getenv(names[i]);
    return password;
}

static enum status log_in(struct tool_client *client, const struct tool_server *server,
                          struct err *err)
{
    const char *password = password_of(server);
    struct tool_reply reply = {.count = 0};
    const char *args[] = {"AUTH", server->user, password, NULL};
    if (password == NULL)
        return ST_OK;
    if (server->user == NULL) {
        args[1] = password;
        args[2] = NULL;
    }
    enum status st = tool_client_call(client, args, &reply, err);
    tool_reply_deinit(&reply);
    return st;
}

enum status tool_client_connect(struct tool_client *client, const struct tool_server *server,
                                struct tool_signals *signals, struct err *err)
{
    *client = (struct tool_client){.fd = -1, .signals = signals};
    enum status st = server->socket != NULL ? connect_unix(client, server->socket, err)
                                            : connect_tcp(client, server, err);
    if (st == ST_OK && fcntl(client->fd, F_SETFL, O_NONBLOCK) != 0)
        st = err_set_os(err, ST_IO, errno, "cannot use the socket: %s", strerror(errno));
    if (st == ST_OK && server->tls != NULL)
        st = tool_tls_open(server->tls, client->fd, &client->tls, err);
    return st == ST_OK ? log_in(client, server, err) : st;
}

void tool_client_close(struct tool_client *client)
{
    tool_tls_close(client->tls);
    client->tls = NULL;
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    buf_deinit(&client->in);
}

/* ---- Bytes. */

static enum status await(struct tool_client *client, short events, struct err *err)
{
    struct pollfd fds[] = {
        {.fd = client->fd, .events = events},
        {.fd = client->signals == NULL ? -1 : client->signals->fd, .events = POLLIN}};
    int ready;
    do
        ready = poll(fds, 2, TIMEOUT_MS);
    while (ready < 0 && errno == EINTR);
    if (client->signals != NULL && tool_signals_poll(client->signals))
        return err_set(err, ST_AGAIN, "interrupted by a signal");
    if (ready < 0)
        return err_set_os(err, ST_IO, errno, "cannot wait for the server: %s", strerror(errno));
    return ready != 0 ? ST_OK
                      : err_set(err, ST_IO, "the server was silent for %d s", TIMEOUT_MS / 1000);
}

/* After a call that failed: waits until it can be tried again, or says why not. */
static enum status judge(struct tool_client *client, short events, const char *what,
                         struct err *err)
{
    int reason = errno;
    if (reason == EINTR)
        return ST_OK;
    if (reason == EAGAIN)
        return await(client, client->tls == NULL ? events : tool_tls_awaits(client->tls), err);
    return err_set_os(err, ST_IO, reason, "%s: %s", what,
                      client->tls != NULL && reason == EPROTO ? tool_tls_error(client->tls)
                                                              : strerror(reason));
}

enum status tool_client_send(struct tool_client *client, struct bytes bytes, struct err *err)
{
    while (bytes.len != 0) {
        ssize_t sent = client->tls != NULL ? tool_tls_write(client->tls, bytes.data, bytes.len)
                                           : send(client->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes = bytes_make(bytes.data + sent, bytes.len - (size_t)sent);
            continue;
        }
        enum status st = judge(client, POLLOUT, "the server does not take requests", err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status receive(struct tool_client *client, void *out, size_t capacity, size_t *read_out,
                           struct err *err)
{
    for (;;) {
        ssize_t got = client->tls != NULL ? tool_tls_read(client->tls, out, capacity)
                                          : recv(client->fd, out, capacity, 0);
        if (got == 0)
            return err_set(err, ST_IO, "the server has closed the connection");
        if (got > 0) {
            *read_out = (size_t)got;
            return ST_OK;
        }
        enum status st = judge(client, POLLIN, "the server does not answer", err);
        if (st != ST_OK)
            return st;
    }
}

static enum status receive_more(struct tool_client *client, struct err *err)
{
    size_t got = 0;
    enum status st = receive(client, buf_reserve(&client->in, READ_BYTES), READ_BYTES, &got, err);
    client->in.len += got;
    return st;
}

enum status tool_client_read(struct tool_client *client, void *out, size_t capacity,
                             size_t *read_out, struct err *err)
{
    size_t left = client->in.len - client->at;
    if (left == 0)
        return receive(client, out, capacity, read_out, err);
    *read_out = left < capacity ? left : capacity;
    memcpy(out, client->in.data + client->at, *read_out);
    client->at += *read_out;
    return ST_OK;
}

/* ---- Replies. */

/* The next `len` bytes and the line's end behind them; borrowed until the next read. */
static enum status read_exactly(struct tool_client *client, size_t len, struct bytes *out,
                                struct err *err)
{
    while (client->in.len - client->at < len + 2) {
        enum status st = receive_more(client, err);
        if (st != ST_OK)
            return st;
    }
    *out = bytes_make(client->in.data + client->at, len);
    client->at += len + 2;
    return ST_OK;
}

enum status tool_client_read_line(struct tool_client *client, struct bytes *out, struct err *err)
{
    for (;;) {
        size_t left = client->in.len - client->at;
        const uint8_t *from = left == 0 ? NULL : client->in.data + client->at;
        const uint8_t *end = from == NULL ? NULL : memmem(from, left, "\r\n", 2);
        if (end != NULL)
            return read_exactly(client, (size_t)(end - from), out, err);
        if (left > (size_t)REPLY_BYTES_MAX)
            return err_set(err, ST_CORRUPT, "the server's reply has an endless line");
        enum status st = receive_more(client, err);
        if (st != ST_OK)
            return st;
    }
}

static void add_part(struct tool_reply *reply, struct bytes text)
{
    if (reply->count == TOOL_REPLY_PARTS_MAX)
        return;
    reply->parts[reply->count++] = reply->text.len;
    buf_append_bytes(&reply->text, text);
    buf_append_byte(&reply->text, 0);
}

static enum status read_reply(struct tool_client *client, struct tool_reply *reply, struct err *err)
{
    for (uint64_t left = 1; left != 0; left--) {
        struct bytes line = bytes_make("", 0);
        enum status st = tool_client_read_line(client, &line, err);
        if (st != ST_OK)
            return st;
        char kind = line.len == 0 ? '\0' : (char)line.data[0];
        struct bytes rest = bytes_make(line.data + 1, line.len - (line.len != 0));
        int64_t number = 0;
        if (kind == '-')
            return err_set(err, ST_INVALID, "the server says: %.*s", (int)rest.len,
                           (const char *)rest.data);
        if (kind != '+' && kind != ':' && kind != '$' && kind != '*')
            return err_set(err, ST_CORRUPT, "the server's reply is not RESP");
        if ((kind == '$' || kind == '*') && !number_parse_i64(rest, &number))
            return err_set(err, ST_CORRUPT, "the server's reply has a length that is no number");
        if (number > REPLY_BYTES_MAX)
            return err_set(err, ST_CORRUPT, "the server's reply is too long");
        if (kind == '*') {
            left += number > 0 ? (uint64_t)number : 0;
            continue;
        }
        if (kind == '$')
            rest = bytes_make("", 0);
        if (kind == '$' && number >= 0) {
            st = read_exactly(client, (size_t)number, &rest, err);
            if (st != ST_OK)
                return st;
        }
        add_part(reply, rest);
    }
    return ST_OK;
}

enum status tool_client_call(struct tool_client *client, const char *const *args,
                             struct tool_reply *reply, struct err *err)
{
    struct buf request = {0};
    size_t count = 0;
    while (args[count] != NULL)
        count++;
    buf_append_format(&request, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++)
        buf_append_format(&request, "$%zu\r\n%s\r\n", strlen(args[i]), args[i]);
    buf_clear(&reply->text);
    reply->count = 0;
    buf_clear(&client->in);
    client->at = 0;
    enum status st = tool_client_send(client, buf_bytes(&request), err);
    buf_deinit(&request);
    return st == ST_OK ? read_reply(client, reply, err) : st;
}

void tool_reply_deinit(struct tool_reply *reply)
{
    buf_deinit(&reply->text);
    reply->count = 0;
}

const char *tool_reply_find(const struct tool_reply *reply, const char *name)
{
    for (size_t i = 0; i + 1 < reply->count; i += 2)
        if (strcmp((const char *)reply->text.data + reply->parts[i], name) == 0)
            return (const char *)reply->text.data + reply->parts[i + 1];
    return "";
}
