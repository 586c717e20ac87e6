/* Sockets and the RESP reader. The reader pulls what it needs through `fill`, hence no reply is
 * parsed twice however slowly it comes in, and reading a megabyte costs one copy. */
#include "tests/support/resp_client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "codec/mem.h"
#include "codec/split_args.h"
#include "tests/support/harness.h"
#include "tests/support/reply_pattern.h"

#define READ_BYTES        65536
#define NESTING_MAX       64
#define LINE_BYTES_MAX    (1024 * 1024)
#define CHILDREN_MAX      (64 * 1024 * 1024)
#define CALL_ARGS_MAX     64
#define BULK_BYTES_MAX    ((int64_t)1024 * 1024 * 1024)
#define VERBATIM_HEAD_LEN 4

struct resp_client {
    int fd;
    int timeout_ms;
    int64_t deadline_ms; /* of the running call */
    struct buf input;    /* received; consumed up to `taken` */
    size_t taken;
    struct buf rendered; /* what resp_client_ask returned last */
};

static struct resp_client *client_create(int fd)
{
    struct resp_client *client = mem_calloc(1, sizeof(*client));
    client->fd = fd;
    client->timeout_ms = RESP_CLIENT_TIMEOUT_MS;
    return client;
}

struct resp_client *resp_client_adopt(int fd)
{
    return client_create(fd);
}

static enum status connect_to(int fd, const struct sockaddr *address, socklen_t len,
                              struct resp_client **out, struct err *err)
{
    if (fd < 0)
        return err_set_os(err, ST_IO, errno, "no socket");
    if (connect(fd, address, len) != 0) {
        int error = errno;
        close(fd);
        return err_set_os(err, ST_IO, error, "cannot connect: %s", strerror(error));
    }
    *out = client_create(fd);
    return ST_OK;
}

enum status resp_client_connect(int port, struct resp_client **out, struct err *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return connect_to(fd, (const struct sockaddr *)&address, sizeof(address), out, err);
}

enum status resp_client_connect_unix(const char *path, struct resp_client **out, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return err_set(err, ST_LIMIT, "socket path too long: %s", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect_to(fd, (const struct sockaddr *)&address, sizeof(address), out, err);
}

void resp_client_close(struct resp_client *client)
{
    if (client == NULL)
        return;
    close(client->fd);
    buf_deinit(&client->input);
    buf_deinit(&client->rendered);
    mem_free(client);
}

void resp_client_set_timeout_ms(struct resp_client *client, int timeout_ms)
{
    client->timeout_ms = timeout_ms;
}

int resp_client_local_port(const struct resp_client *client)
{
    struct sockaddr_in address = {0};
    socklen_t len = sizeof(address);
    if (getsockname(client->fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    return ntohs(address.sin_port);
}

/* Waits for `events` until the running call's deadline. */
static enum status wait_for(const struct resp_client *client, short events, struct err *err)
{
    for (;;) {
        int64_t left_ms = client->deadline_ms - harness_now_ms();
        struct pollfd entry = {.fd = client->fd, .events = events};
        int ready = poll(&entry, 1, left_ms > 0 ? (int)left_ms : 0);
        if (ready > 0)
            return ST_OK;
        if (ready == 0)
            return err_set(err, ST_AGAIN, "no answer within %d ms", client->timeout_ms);
        if (errno != EINTR)
            return err_set_os(err, ST_IO, errno, "poll failed: %s", strerror(errno));
    }
}

static void start_call(struct resp_client *client)
{
    client->deadline_ms = harness_now_ms() + client->timeout_ms;
}

/* Whatever the server sent is received while we write: both sides' buffers may be full. */
static enum status receive_some(struct resp_client *client, struct err *err)
{
    if (client->taken >= client->input.len - client->taken) {
        buf_consume(&client->input, client->taken);
        client->taken = 0;
    }
    uint8_t *room = buf_reserve(&client->input, READ_BYTES);
    ssize_t got = recv(client->fd, room, client->input.capacity - client->input.len, MSG_DONTWAIT);
    if (got > 0) {
        client->input.len += (size_t)got;
        return ST_OK;
    }
    if (got == 0)
        return err_set(err, ST_END, "the server closed the connection");
    if (errno == EAGAIN || errno == EINTR)
        return ST_OK;
    return err_set_os(err, ST_IO, errno, "receiving failed: %s", strerror(errno));
}

enum status resp_client_send(struct resp_client *client, struct bytes bytes, struct err *err)
{
    start_call(client);
    while (bytes.len != 0) {
        ssize_t sent = send(client->fd, bytes.data, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            bytes = bytes_make(bytes.data + sent, bytes.len - (size_t)sent);
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return err_set_os(err, ST_IO, errno, "sending failed: %s", strerror(errno));
        enum status st = wait_for(client, POLLOUT | POLLIN, err);
        if (st != ST_OK)
            return st;
        struct pollfd entry = {.fd = client->fd, .events = POLLIN};
        if (poll(&entry, 1, 0) > 0 && (st = receive_some(client, err)) != ST_OK)
            return st == ST_END ? ST_IO : st;
    }
    return ST_OK;
}

void resp_format_request(size_t count, const struct bytes *args, struct buf *out)
{
    buf_append_format(out, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++) {
        buf_append_format(out, "$%zu\r\n", args[i].len);
        buf_append_bytes(out, args[i]);
        buf_append_text(out, "\r\n");
    }
}

/* Makes at least `len` unread bytes available. */
static enum status fill(struct resp_client *client, size_t len, struct err *err)
{
    while (client->input.len - client->taken < len) {
        enum status st = wait_for(client, POLLIN, err);
        if (st == ST_OK)
            st = receive_some(client, err);
        if (st == ST_END && client->input.len > client->taken)
            st = err_set(err, ST_IO, "the server closed the connection amid a reply");
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* Takes a line without its CRLF; `line` is valid until the next read. */
static enum status read_line(struct resp_client *client, struct bytes *line, struct err *err)
{
    size_t searched = 0;
    for (;;) {
        enum status st = fill(client, searched + 1, err);
        if (st != ST_OK)
            return st;
        const uint8_t *start = client->input.data + client->taken;
        size_t available = client->input.len - client->taken;
        const uint8_t *end = memchr(start + searched, '\n', available - searched);
        if (end != NULL) {
            if (end == start || end[-1] != '\r')
                return err_set(err, ST_CORRUPT, "a line ends with LF alone");
            *line = bytes_make(start, (size_t)(end - start) - 1);
            client->taken += line->len + 2;
            return ST_OK;
        }
        if (available > LINE_BYTES_MAX)
            return err_set(err, ST_CORRUPT, "a line has no end");
        searched = available;
    }
}

static enum status parse_length(struct bytes line, int64_t max, int64_t *out, struct err *err)
{
    char text[24];
    char *end = text;
    if (line.len != 0 && line.len < sizeof(text)) {
        memcpy(text, line.data, line.len);
        text[line.len] = '\0';
        errno = 0;
        *out = strtoll(text, &end, 10);
    }
    if (end == text || *end != '\0' || errno != 0 || *out < -1 || *out > max)
        return err_set(err, ST_CORRUPT, "bad length \"%.*s\"", (int)(line.len & 0xff),
                       (const char *)line.data);
    return ST_OK;
}

static enum status read_bulk(struct resp_client *client, struct bytes line, struct resp_reply *out,
                             struct err *err)
{
    int64_t len = 0;
    enum status st = parse_length(line, BULK_BYTES_MAX, &len, err);
    if (st != ST_OK)
        return st;
    if (len < 0) {
        if (out->kind != RESP_BULK)
            return err_set(err, ST_CORRUPT, "a negative length");
        out->kind = RESP_NIL;
        return ST_OK;
    }
    st = fill(client, (size_t)len + 2, err);
    if (st != ST_OK)
        return st == ST_END ? ST_IO : st;
    const uint8_t *start = client->input.data + client->taken;
    if (start[len] != '\r' || start[len + 1] != '\n')
        return err_set(err, ST_CORRUPT, "a bulk string does not end with CRLF");
    client->taken += (size_t)len + 2;
    if (out->kind == RESP_VERBATIM) {
        if (len < VERBATIM_HEAD_LEN || start[VERBATIM_HEAD_LEN - 1] != ':')
            return err_set(err, ST_CORRUPT, "a verbatim string without its format");
        memcpy(out->format, start, VERBATIM_HEAD_LEN - 1);
        start += VERBATIM_HEAD_LEN;
        len -= VERBATIM_HEAD_LEN;
    }
    buf_append(&out->text, start, (size_t)len);
    return ST_OK;
}

static enum status read_reply(struct resp_client *client, size_t depth, struct resp_reply *out,
                              struct err *err);

static enum status read_children(struct resp_client *client, struct bytes line, size_t depth,
                                 struct resp_reply *out, struct err *err)
{
    int64_t count = 0;
    enum status st = parse_length(line, CHILDREN_MAX, &count, err);
    if (st != ST_OK)
        return st;
    if (count < 0) {
        if (out->kind != RESP_ARRAY)
            return err_set(err, ST_CORRUPT, "a negative count");
        out->kind = RESP_NIL_ARRAY;
        return ST_OK;
    }
    if (depth == NESTING_MAX)
        return err_set(err, ST_CORRUPT, "nested too deeply");
    if (out->kind == RESP_MAP || out->kind == RESP_ATTRIBUTE)
        count *= 2;
    if (count == 0)
        return ST_OK;
    out->children = mem_calloc((size_t)count, sizeof(*out->children));
    for (int64_t i = 0; i < count; i++) {
        st = read_reply(client, depth + 1, &out->children[i], err);
        if (st != ST_OK)
            return st == ST_END ? ST_IO : st;
        out->child_count++;
    }
    return ST_OK;
}

static bool integer_is_valid(struct bytes text)
{
    size_t i = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;
    size_t first = i;
    while (i < text.len && text.data[i] >= '0' && text.data[i] <= '9')
        i++;
    return i == text.len && i > first;
}

static enum status read_line_kind(struct bytes line, struct resp_reply *out, struct err *err)
{
    bool valid = true;
    if (out->kind == RESP_INTEGER || out->kind == RESP_BIG_NUMBER)
        valid = integer_is_valid(line);
    else if (out->kind == RESP_BOOL)
        valid = line.len == 1 && (line.data[0] == 't' || line.data[0] == 'f');
    else if (out->kind == RESP_NIL)
        valid = line.len == 0;
    if (!valid)
        return err_set(err, ST_CORRUPT, "\"%.*s\" is not valid for its type",
                       (int)(line.len & 0xff), (const char *)line.data);
    buf_append_bytes(&out->text, line);
    return ST_OK;
}

static bool kind_of_prefix(uint8_t prefix, struct resp_reply *out)
{
    static const struct {
        char prefix;
        bool is_resp3;
        enum resp_kind kind;
    } kinds[] = {
        {'+', false, RESP_SIMPLE},  {'-', false, RESP_ERROR},     {':', false, RESP_INTEGER},
        {'$', false, RESP_BULK},    {'*', false, RESP_ARRAY},     {'%', true, RESP_MAP},
        {'~', true, RESP_SET},      {'>', true, RESP_PUSH},       {'|', true, RESP_ATTRIBUTE},
        {',', true, RESP_DOUBLE},   {'#', true, RESP_BOOL},       {'(', true, RESP_BIG_NUMBER},
        {'=', true, RESP_VERBATIM}, {'!', true, RESP_BULK_ERROR}, {'_', true, RESP_NIL},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].prefix == (char)prefix) {
            out->kind = kinds[i].kind;
            out->is_resp3 = kinds[i].is_resp3;
            return true;
        }
    }
    return false;
}

/* On failure `out` is released. The recursion is bounded by NESTING_MAX. */
static enum status read_reply(struct resp_client *client, size_t depth, struct resp_reply *out,
                              struct err *err)
{
    *out = (struct resp_reply){0};
    struct bytes line = {0};
    enum status st = read_line(client, &line, err);
    if (st != ST_OK)
        return st;
    if (line.len == 0 || !kind_of_prefix(line.data[0], out))
        return err_set(err, ST_CORRUPT, "no reply begins like \"%.*s\"", (int)(line.len & 0x3f),
                       (const char *)line.data);
    line = bytes_make(line.data + 1, line.len - 1);
    if (resp_kind_has_children(out->kind))
        st = read_children(client, line, depth, out, err);
    else if (out->kind == RESP_BULK || out->kind == RESP_VERBATIM || out->kind == RESP_BULK_ERROR)
        st = read_bulk(client, line, out, err);
    else
        st = read_line_kind(line, out, err);
    if (st != ST_OK)
        resp_reply_deinit(out);
    return st;
}

enum status resp_client_read(struct resp_client *client, struct resp_reply *out, struct err *err)
{
    start_call(client);
    return read_reply(client, 0, out, err);
}

enum status resp_client_read_raw(struct resp_client *client, size_t len, struct buf *out,
                                 struct err *err)
{
    start_call(client);
    enum status st = fill(client, len, err);
    if (st != ST_OK)
        return st;
    buf_append(out, client->input.data + client->taken, len);
    client->taken += len;
    return ST_OK;
}

/* --- calls that fail the test --- */

static void send_or_fail(struct resp_client *client, size_t count, const struct bytes *args)
{
    struct buf request = {0};
    struct err err = {0};
    resp_format_request(count, args, &request);
    enum status st = resp_client_send(client, buf_bytes(&request), &err);
    buf_deinit(&request);
    if (st != ST_OK)
        fail_msg("request not sent: %s", err.message);
}

static void read_or_fail(struct resp_client *client, bool skip_pushes, struct resp_reply *reply)
{
    struct err err = {0};
    for (;;) {
        if (resp_client_read(client, reply, &err) != ST_OK)
            fail_msg("no reply: %s", err.message);
        if (!skip_pushes || reply->kind != RESP_PUSH)
            return;
        resp_reply_deinit(reply);
    }
}

static const char *read_rendered(struct resp_client *client, bool skip_pushes)
{
    struct resp_reply reply;
    read_or_fail(client, skip_pushes, &reply);
    buf_clear(&client->rendered);
    resp_reply_render(&reply, &client->rendered);
    buf_append_byte(&client->rendered, '\0');
    resp_reply_deinit(&reply);
    return (const char *)client->rendered.data;
}

static void send_line_or_fail(struct resp_client *client, const char *line)
{
    struct split_args args;
    if (!split_args(bytes_text(line), &args) || args.count == 0)
        fail_msg("unbalanced quotes, or nothing, in request: %s", line);
    send_or_fail(client, args.count, args.items);
    split_args_deinit(&args);
}

const char *resp_client_ask(struct resp_client *client, const char *line)
{
    send_line_or_fail(client, line);
    return read_rendered(client, true);
}

const char *resp_client_call(struct resp_client *client, ...)
{
    struct bytes args[CALL_ARGS_MAX];
    size_t count = 0;
    va_list list;
    va_start(list, client);
    for (const char *arg = va_arg(list, const char *); arg != NULL;
         arg = va_arg(list, const char *)) {
        if (count == CALL_ARGS_MAX)
            fail_msg("more than %d arguments", CALL_ARGS_MAX);
        args[count++] = bytes_text(arg);
    }
    va_end(list);
    send_or_fail(client, count, args);
    return read_rendered(client, true);
}

const char *resp_client_next(struct resp_client *client)
{
    return read_rendered(client, false);
}

void resp_client_assert_reply(struct resp_client *client, const char *line, const char *pattern,
                              const char *file, int source_line)
{
    struct resp_reply reply;
    struct err err = {0};
    send_line_or_fail(client, line);
    read_or_fail(client, true, &reply);
    struct reply_pattern *parsed = NULL;
    if (reply_pattern_parse(bytes_text(pattern), &parsed, &err) != ST_OK)
        fail_msg("bad pattern %s: %s", pattern, err.message);
    bool matches = reply_pattern_matches(parsed, &reply, reply.is_resp3 ? 3 : 0, NULL);
    reply_pattern_destroy(parsed);
    if (!matches) {
        struct buf text = {0};
        resp_reply_render(&reply, &text);
        print_error("%s\n  expected %s\n  got      %.*s\n", line, pattern, (int)text.len,
                    (const char *)text.data);
        buf_deinit(&text);
        resp_reply_deinit(&reply);
        _fail(file, source_line);
    }
    resp_reply_deinit(&reply);
}
