#include "tools/tool_client.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "codec/bytes.h"
#include "codec/number.h"

#define READ_BYTES      4096
#define TIMEOUT_SECONDS 60
#define REPLY_BYTES_MAX ((long)1 << 20)

enum status tool_client_connect(struct tool_client *client, const char *host, const char *port,
                                struct err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    struct timeval timeout = {.tv_sec = TIMEOUT_SECONDS};
    int error = getaddrinfo(host, port, &hints, &found);
    *client = (struct tool_client){.fd = -1};
    if (error != 0)
        return err_set(err, ST_IO, "%s port %s: %s", host, port, gai_strerror(error));
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
        return err_set_os(err, ST_IO, reason, "cannot connect to %s port %s: %s", host, port,
                          strerror(reason));
    (void)setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    return ST_OK;
}

void tool_client_close(struct tool_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    buf_deinit(&client->in);
}

static enum status send_all(struct tool_client *client, struct bytes bytes, struct err *err)
{
    while (bytes.len != 0) {
        ssize_t sent = send(client->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return err_set_os(err, ST_IO, errno, "the server does not take requests: %s",
                              strerror(errno));
        if (sent > 0)
            bytes = bytes_make(bytes.data + sent, bytes.len - (size_t)sent);
    }
    return ST_OK;
}

static enum status receive(struct tool_client *client, struct err *err)
{
    ssize_t got;
    do
        got = recv(client->fd, buf_reserve(&client->in, READ_BYTES), READ_BYTES, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_set_os(err, ST_IO, errno, "the server does not answer: %s", strerror(errno));
    if (got == 0)
        return err_set(err, ST_IO, "the server has closed the connection");
    client->in.len += (size_t)got;
    return ST_OK;
}

/* The next `len` bytes and the line's end behind them; borrowed until the next read. */
static enum status read_exactly(struct tool_client *client, size_t len, struct bytes *out,
                                struct err *err)
{
    while (client->in.len - client->at < len + 2) {
        enum status st = receive(client, err);
        if (st != ST_OK)
            return st;
    }
    *out = bytes_make(client->in.data + client->at, len);
    client->at += len + 2;
    return ST_OK;
}

static enum status read_line(struct tool_client *client, struct bytes *out, struct err *err)
{
    for (;;) {
        size_t left = client->in.len - client->at;
        const uint8_t *from = left == 0 ? NULL : client->in.data + client->at;
        const uint8_t *end = from == NULL ? NULL : memmem(from, left, "\r\n", 2);
        if (end != NULL)
            return read_exactly(client, (size_t)(end - from), out, err);
        if (left > (size_t)REPLY_BYTES_MAX)
            return err_set(err, ST_CORRUPT, "the server's reply has an endless line");
        enum status st = receive(client, err);
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
        enum status st = read_line(client, &line, err);
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
    enum status st = send_all(client, buf_bytes(&request), err);
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
