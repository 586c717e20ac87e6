/* Life of a connection:
 *
 *   accepted ─headers complete─► answering ─all written─► closing ─libuv's callbacks─► freed
 *       └── deadline, too long a request, an error, the peer's end ──► closing
 *
 * Requests are read up to the empty line behind the headers; a body is not waited for: no method
 * that has one is allowed. */
#include "server/metrics_http.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/log_fn.h"
#include "codec/mem.h"
#include "server/acl.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/loop.h"
#include "server/metrics.h"
#include "server/services.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <uv.h>

#define SCRAPES_MAX       16 /* at a time */
#define REQUEST_BYTES_MAX 8192
#define DEADLINE_MS       10000
#define BACKLOG           16

struct scrape {
    uv_tcp_t socket;
    uv_timer_t deadline;
    uv_write_t write;
    struct metrics_http *http;  /* NULL: closing */
    struct scrape *next, *prev; /* http->first */
    int open_handles;
    bool answering;
    size_t request_len;
    struct buf response;
    char request[REQUEST_BYTES_MAX];
};

struct metrics_http {
    struct services *services;
    uv_tcp_t *listeners[CONFIG_BIND_COUNT_MAX]; /* owned, until libuv's callback */
    size_t listener_count;
    struct scrape *first;
    size_t count;
};

/* ---- Closing. */

static void on_closed(uv_handle_t *handle)
{
    struct scrape *scrape = handle->data;
    if (--scrape->open_handles > 0)
        return;
    buf_deinit(&scrape->response);
    mem_free(scrape);
}

static void end(struct scrape *scrape)
{
    struct metrics_http *http = scrape->http;
    if (http == NULL)
        return;
    scrape->http = NULL;
    if (scrape->prev != NULL)
        scrape->prev->next = scrape->next;
    else
        http->first = scrape->next;
    if (scrape->next != NULL)
        scrape->next->prev = scrape->prev;
    http->count--;
    uv_close((uv_handle_t *)&scrape->socket, on_closed);
    uv_close((uv_handle_t *)&scrape->deadline, on_closed);
}

static void on_deadline(uv_timer_t *timer)
{
    end(timer->data);
}

/* ---- Answering. */

static void on_written(uv_write_t *write, int status)
{
    (void)status;
    end(write->data);
}

static void answer(struct scrape *scrape, const char *status, const char *type, struct bytes body)
{
    scrape->answering = true;
    (void)uv_read_stop((uv_stream_t *)&scrape->socket);
    buf_append_format(&scrape->response,
                      "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                      "Connection: close\r\n%s\r\n",
                      status, type, body.len,
                      strncmp(status, "405", 3) == 0 ? "Allow: GET, HEAD\r\n" : "");
    bool head = scrape->request_len >= 5 && memcmp(scrape->request, "HEAD ", 5) == 0;
    if (!head)
        buf_append_bytes(&scrape->response, body);
    uv_buf_t bytes = uv_buf_init((char *)scrape->response.data, (unsigned)scrape->response.len);
    scrape->write.data = scrape;
    if (uv_write(&scrape->write, (uv_stream_t *)&scrape->socket, &bytes, 1, on_written) != 0)
        end(scrape);
}

static void refuse(struct scrape *scrape, const char *status)
{
    char body[64];
    (void)snprintf(body, sizeof body, "%s\n", status);
    answer(scrape, status, "text/plain", bytes_text(body));
}

static bool begins_with(const struct scrape *scrape, const char *text)
{
    size_t len = strlen(text);
    return scrape->request_len >= len && memcmp(scrape->request, text, len) == 0;
}

/* The request line is there. */
static void answer_request(struct scrape *scrape)
{
    bool get = begins_with(scrape, "GET "), head = begins_with(scrape, "HEAD ");
    const char *path = scrape->request + (get ? 4 : 5);
    const char *line_end = memchr(scrape->request, '\r', scrape->request_len);
    if (!get && !head) {
        refuse(scrape, "405 Method Not Allowed");
        return;
    }
    size_t rest = (size_t)(line_end - path);
    static const char wanted[] = "/metrics";
    size_t len = sizeof wanted - 1;
    if (line_end < path || rest < len + 1 || memcmp(path, wanted, len) != 0 ||
        (path[len] != ' ' && path[len] != '?')) {
        refuse(scrape, "404 Not Found");
        return;
    }
    struct buf body = {0};
    metrics_write(scrape->http->services, &body);
    answer(scrape, "200 OK", METRICS_CONTENT_TYPE, buf_bytes(&body));
    buf_deinit(&body);
}

/* ---- Reading. */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct scrape *scrape = handle->data;
    (void)suggested;
    *out = uv_buf_init(scrape->request + scrape->request_len,
                       (unsigned)(REQUEST_BYTES_MAX - scrape->request_len));
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct scrape *scrape = stream->data;
    (void)buffer;
    if (scrape->http == NULL || scrape->answering || count == 0)
        return;
    if (count < 0) {
        end(scrape);
        return;
    }
    scrape->request_len += (size_t)count;
    if (memmem(scrape->request, scrape->request_len, "\r\n\r\n", 4) != NULL)
        answer_request(scrape);
    else if (scrape->request_len == REQUEST_BYTES_MAX)
        refuse(scrape, "431 Request Header Fields Too Large");
}

/* ---- Accepting. */

/* As for clients of the database: without a password only this machine is served. */
static bool may_enter(const struct metrics_http *http, const struct scrape *scrape)
{
    const struct services *services = http->services;
    if (!services->config->protected_mode || !acl_default_user(services->acl)->no_password)
        return true;
    struct sockaddr_storage peer = {0};
    int size = sizeof peer;
    return uv_tcp_getpeername(&scrape->socket, (struct sockaddr *)&peer, &size) == 0 &&
           conn_address_is_local((const struct sockaddr *)&peer);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct metrics_http *http = listener->data;
    if (status != 0)
        return;
    struct scrape *scrape = mem_calloc(1, sizeof *scrape);
    uv_loop_t *loop = loop_uv(http->services->loop);
    CHECK(uv_tcp_init(loop, &scrape->socket) == 0);
    CHECK(uv_timer_init(loop, &scrape->deadline) == 0);
    scrape->socket.data = scrape;
    scrape->deadline.data = scrape;
    scrape->open_handles = 2;
    scrape->http = http;
    scrape->next = http->first;
    if (http->first != NULL)
        http->first->prev = scrape;
    http->first = scrape;
    http->count++;
    bool accepted = uv_accept(listener, (uv_stream_t *)&scrape->socket) == 0;
    if (!accepted || http->count > SCRAPES_MAX || !may_enter(http, scrape) ||
        uv_timer_start(&scrape->deadline, on_deadline, DEADLINE_MS, 0) != 0 ||
        uv_read_start((uv_stream_t *)&scrape->socket, on_room, on_read) != 0)
        end(scrape);
}

/* ---- Opening and closing. */

static void free_listener(uv_handle_t *handle)
{
    mem_free(handle);
}

static enum status listen_at(struct metrics_http *http, const char *address, struct err *err)
{
    const struct config *config = http->services->config;
    char reason[200];
    bool optional = false;
    int fd =
        listener_open_tcp(config, address, config->metrics_port, &optional, reason, sizeof reason);
    if (fd < 0 && optional) {
        log_write(LOG_WARNING, "Warning: metrics are not served at %s:%d: %s", address,
                  config->metrics_port, reason);
        return ST_OK;
    }
    if (fd < 0)
        return err_set_os(err, ST_IO, errno, "Failed listening on metrics-port %d at %s: %s",
                          config->metrics_port, address, reason);
    uv_tcp_t *listener = mem_calloc(1, sizeof *listener);
    CHECK(uv_tcp_init(loop_uv(http->services->loop), listener) == 0);
    listener->data = http;
    http->listeners[http->listener_count++] = listener;
    int result = uv_tcp_open(listener, fd);
    if (result == 0)
        result = uv_listen((uv_stream_t *)listener, BACKLOG, on_connection);
    return result == 0 ? ST_OK
                       : err_set(err, ST_IO, "Failed listening on metrics-port %d: %s",
                                 config->metrics_port, uv_strerror(result));
}

enum status metrics_http_open(struct services *services, struct metrics_http **out, struct err *err)
{
    *out = NULL;
    const struct config *config = services->config;
    if (config->metrics_port == 0)
        return ST_OK;
    struct metrics_http *http = mem_calloc(1, sizeof *http);
    http->services = services;
    for (size_t i = 0; i < config->bind.count; i++) {
        enum status st = listen_at(http, config->bind.addresses[i], err);
        if (st != ST_OK) {
            metrics_http_close(http);
            return st;
        }
    }
    log_write(LOG_NOTICE, "Metrics are served on port %d", config->metrics_port);
    *out = http;
    return ST_OK;
}

void metrics_http_close(struct metrics_http *http)
{
    if (http == NULL)
        return;
    while (http->first != NULL)
        end(http->first);
    for (size_t i = 0; i < http->listener_count; i++)
        uv_close((uv_handle_t *)http->listeners[i], free_listener);
    mem_free(http);
}
