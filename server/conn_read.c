/* From the socket to the executor.
 *
 * All connections read into one shared buffer: requests that arrive whole are run right there and
 * leave nothing behind, in memory that stays in the processor's cache. What is left over goes to a
 * buffer of the connection's own:
 *   - the beginning of a request: copied (it is small), and back again before the next read;
 *   - a large argument: a buffer of the request's whole size, into which the rest is read directly;
 *   - requests that must wait (cold keys, the tick's bound): the connection takes the shared buffer
 *     as it is, and a new one is made. Arguments that the executor holds thus never move. */
#include "server/conn_internal.h"

#include "codec/check.h"
#include "codec/log_fn.h"
#include "codec/mem.h"
#include "codec/split_args.h"
#include "server/acl.h"
#include "server/exec.h"
#include "server/log.h"
#include "server/loop.h"
#include "server/multi.h"
#include "server/stats.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

/* A large request's buffer has room for what may follow its large argument, so that one more small
 * argument or request does not make it move. */
#define SLACK_BYTES 1024
/* Left-over bytes up to this are copied out of the shared buffer, more take it along. */
#define COPY_OUT_BYTES_MAX 4096
/* POST and Host: are logged no more often than this. */
#define HTTP_LOG_PERIOD_MS 60000
/* Less room than this is not worth a read. */
#define ROOM_BYTES_MIN 512
/* How much of the query buffer a log line shows. */
#define LOGGED_QUERY_BYTES_MAX 64

/* Bytes of a request on their way through run_requests. */
struct input {
    uint8_t *data;
    size_t start; /* first byte not yet run */
    size_t end;
};

static void free_query(struct conn *conn)
{
    mem_free(conn->query);
    conn->query = NULL;
    conn->query_start = 0;
    conn->query_end = 0;
    conn->query_capacity = 0;
}

/* ---- Running requests. */

static void log_protocol_error(struct conn *conn, const struct input *input)
{
    if (!log_enabled(LOG_VERBOSE))
        return;
    size_t len = input->end - input->start;
    if (len > LOGGED_QUERY_BYTES_MAX)
        len = LOGGED_QUERY_BYTES_MAX;
    char sample[LOGGED_QUERY_BYTES_MAX + 1];
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = input->data[input->start + i];
        sample[i] = isprint(byte) ? (char)byte : '.';
    }
    sample[len] = '\0';
    struct buf line = {0};
    conn_describe(conn, &line);
    log_write(LOG_VERBOSE, "Protocol error (%s) from client: %.*s. Query buffer: '%s'",
              conn->parser.error, (int)line.len, (const char *)line.data, sample);
    buf_deinit(&line);
}

static void refuse_protocol(struct conn *conn, struct input *input)
{
    log_protocol_error(conn, input);
    struct session *session = &conn->session;
    session->reply.muted = (session->flags & SESSION_REPLY_OFF) != 0;
    reply_error_format(&session->reply, "ERR %s", conn->parser.error);
    stats_count_error(conn->conns->stats, session->reply.error_code);
    conn->conns->stats->error_replies++;
    session->flags |= SESSION_CLOSE_AFTER_REPLY;
    input->start = input->end;
}

/* A browser that was made to talk to us. */
static bool is_http(const struct resp_parser *parser)
{
    return bytes_equal_nocase(parser->argv[0], "post") ||
           bytes_equal_nocase(parser->argv[0], "host:");
}

/* The lines of a form could be commands. Always false. */
static bool refuse_http(struct conn *conn)
{
    struct conns *conns = conn->conns;
    int64_t now_ms = loop_now_ms(conns->loop);
    if (conns->http_logged_at_ms == 0 || now_ms - conns->http_logged_at_ms > HTTP_LOG_PERIOD_MS) {
        log_write(LOG_WARNING,
                  "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or "
                  "Host: commands to Redis. This is likely due to an attacker attempting to use "
                  "Cross Protocol Scripting to compromise your Redis instance. Connection from %s "
                  "aborted.",
                  conn->peer_address);
        conns->http_logged_at_ms = now_ms;
    }
    conn_close_later(conn);
    return false;
}

/* A request has been replied to. False: the connection's requests end here. */
static bool finish_request(struct conn *conn)
{
    struct session *session = &conn->session;
    if (output_bytes(&conn->output) > CONN_OUTPUT_UNCHECKED_BYTES_MAX)
        conn_check_output_limit(conn);
    return (session->flags & (SESSION_CLOSE_AFTER_REPLY | SESSION_CLOSE_ASAP)) == 0;
}

/* Nobody will read what a blocked client is waiting for. */
static void close_if_gone(struct conn *conn)
{
    if ((conn->state & (CONN_EOF | CONN_HUNG_UP)) != 0)
        conn_close_later(conn);
}

static void start_waiting(struct conn *conn, enum exec_result result)
{
    if (result == EXEC_SUSPENDED)
        conn->state |= CONN_SUSPENDED;
    if (result == EXEC_BLOCKED || (conn->session.flags & SESSION_BLOCKED) != 0) {
        conn->state |= CONN_BLOCKED;
        conn->conns->blocked++;
        close_if_gone(conn);
    } else {
        conn->conns->suspended++;
    }
}

/* Runs one parsed request, the last `consumed` bytes before input->start. False: stop here. */
static bool run_request(struct conn *conn, const struct input *input)
{
    const struct resp_parser *parser = &conn->parser;
    if (conn->conns->pause != CONNS_RUN && conn_hold(conn))
        return false;
    struct bytes raw = {0};
    if (parser->canonical)
        raw = bytes_make(input->data + input->start - parser->consumed, parser->consumed);
    else if (is_http(parser))
        return refuse_http(conn);
    conn->state |= CONN_RUNNING;
    conn->input_bytes = input->end;
    exec_look_ahead(conn->conns->exec, &conn->session, input->data + input->start,
                    input->data + input->end);
    enum exec_result result =
        exec_run(conn->conns->exec, &conn->session, parser->argv, parser->argc, raw);
    conn->state &= ~(uint32_t)CONN_RUNNING;
    if (result != EXEC_DONE) {
        start_waiting(conn, result);
        return false;
    }
    return finish_request(conn);
}

/* Nothing is run behind a request that ended the connection. */
static void drop_rest(const struct conn *conn, struct input *input)
{
    if ((conn->state & CONN_WAITS) == 0)
        input->start = input->end;
}

/* Runs requests until the bytes end, one must wait, or the tick's bound is reached. */
static void run_requests(struct conn *conn, struct input *input)
{
    struct conns *conns = conn->conns;
    struct resp_limits limits = {.bulk_bytes_max = conns->config->proto_max_bulk_len,
                                 .unauthenticated = acl_must_log_in(conns->acl, &conn->session)};
    conn_list_add(&conns->flush, &conn->flush);
    for (int count = 0; input->start < input->end; count++) {
        if (count == CONN_REQUESTS_PER_TICK_MAX) {
            conn_list_add(&conns->ready, &conn->ready);
            return;
        }
        switch (resp_parse(&conn->parser, input->data + input->start, input->end - input->start,
                           &limits)) {
        case RESP_PARSE_REQUEST:
            input->start += conn->parser.consumed;
            if (!run_request(conn, input)) {
                drop_rest(conn, input);
                return;
            }
            limits.unauthenticated = acl_must_log_in(conns->acl, &conn->session);
            break;
        case RESP_PARSE_EMPTY:
            input->start += conn->parser.consumed;
            break;
        case RESP_PARSE_MORE:
            return;
        case RESP_PARSE_ERROR:
            refuse_protocol(conn, input);
            return;
        }
    }
}

/* ---- Keeping what is left. */

/* The connection keeps the shared buffer; the next reader makes another one. */
static void take_shared(struct conn *conn, const struct input *input)
{
    free_query(conn);
    conn->query = input->data;
    conn->query_start = input->start;
    conn->query_end = input->end;
    conn->query_capacity = CONN_READ_BYTES_MAX;
    conn->conns->shared = NULL;
}

/* A buffer of its own for the `rest` bytes of an incomplete request. False: no memory. */
static bool copy_out(struct conn *conn, const struct input *input)
{
    size_t rest = input->end - input->start;
    size_t capacity = rest;
    if (conn->parser.needed > CONN_READ_BYTES_MAX)
        capacity = conn->parser.needed + SLACK_BYTES;
    uint8_t *old = conn->query;
    uint8_t *query = old;
    if (conn->query_capacity < capacity) {
        query = mem_try_alloc(capacity);
        if (query == NULL)
            return false;
        conn->query_capacity = capacity;
    }
    memmove(query, input->data + input->start, rest);
    conn->query = query;
    conn->query_start = 0;
    conn->query_end = rest;
    if (old != query)
        mem_free(old);
    return true;
}

/* Makes the connection's own buffer just large enough for its unread bytes. */
static void fit_query(struct conn *conn)
{
    size_t rest = conn_unread(conn);
    uint8_t *small = rest == 0 ? NULL : mem_dup(conn->query + conn->query_start, rest);
    free_query(conn);
    conn->query = small;
    conn->query_end = rest;
    conn->query_capacity = rest;
}

/* Puts what run_requests has left of the shared buffer into the connection's own. */
static bool keep_rest_of_shared(struct conn *conn, const struct input *input)
{
    size_t rest = input->end - input->start;
    if ((conn->state & CONN_PINNED) != 0 ||
        (rest > COPY_OUT_BYTES_MAX && conn->parser.needed <= CONN_READ_BYTES_MAX)) {
        take_shared(conn, input);
        return true;
    }
    if (rest != 0)
        return copy_out(conn, input);
    free_query(conn);
    return true;
}

/* The same when the bytes were in the connection's own buffer already. */
static bool keep_rest_of_query(struct conn *conn, const struct input *input)
{
    conn->query_start = input->start;
    conn->query_end = input->end;
    if ((conn->state & CONN_PINNED) != 0)
        return true;
    size_t rest = conn_unread(conn);
    if (rest == 0) {
        free_query(conn);
        return true;
    }
    bool large = conn->query_capacity > CONN_READ_BYTES_MAX;
    if (large && rest <= COPY_OUT_BYTES_MAX && conn->parser.needed <= CONN_READ_BYTES_MAX) {
        /* A large request is done; the beginning of the next one needs no large buffer. */
        fit_query(conn);
    }
    return true;
}

/* ---- Reading. */

/* The peer has closed, or its half: what was sent is still answered, unless it waits for an event
 * that the peer will not see. */
static void on_end_of_input(struct conn *conn)
{
    if ((conn->state & (CONN_BLOCKED | CONN_HELD)) != 0) {
        conn_close_later(conn);
        return;
    }
    conn->state |= CONN_EOF;
    conn_watch(conn);
    conn_list_add(&conn->conns->flush, &conn->flush);
}

static void on_read_error(struct conn *conn, int os_error)
{
    if (conn->tls == NULL)
        log_write(LOG_VERBOSE, "Reading from client: %s", strerror(os_error));
    else if (tls_is_established(conn->tls))
        log_write(LOG_VERBOSE, "Reading from client: %s", tls_error(conn->tls));
    else
        log_write(LOG_WARNING, "Error accepting a client connection: %s (addr=%s laddr=%s)",
                  tls_error(conn->tls), conn_peer_address(conn), conn_local_address(conn));
    conn_close_later(conn);
}

/* Returns how many bytes were read, 0 for none (and then all is done that must be). */
static size_t read_socket(struct conn *conn, uint8_t *place, size_t room)
{
    struct conns *conns = conn->conns;
    ssize_t count =
        conn->tls == NULL ? recv(conn->fd, place, room, 0) : tls_read(conn->tls, place, room);
    conns->stats->reads++;
    if (count > 0) {
        conns->stats->input_bytes += (uint64_t)count;
        conn->last_io_at_ms = loop_now_ms(conns->loop);
        return (size_t)count;
    }
    if (count == 0) {
        if (log_enabled(LOG_VERBOSE))
            conn_log(LOG_VERBOSE, "Client closed connection", conn);
        on_end_of_input(conn);
        return 0;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return 0;
    on_read_error(conn, errno);
    return 0;
}

/* What waits in a transaction has not been run either. */
static bool is_over_limit(const struct conn *conn, size_t unread)
{
    return unread + multi_bytes(&conn->session) > conn->conns->config->client_query_buffer_limit;
}

static void close_for_query_limit(struct conn *conn, const struct input *input)
{
    size_t len = input->end - input->start;
    struct buf sample = {0};
    split_args_quote(&sample,
                     bytes_make(input->data + input->start,
                                len < LOGGED_QUERY_BYTES_MAX ? len : LOGGED_QUERY_BYTES_MAX));
    struct buf line = {0};
    conn_describe(conn, &line);
    log_write(
        LOG_WARNING,
        "Closing client that reached max query buffer length: %.*s (qbuf initial bytes: %.*s)",
        (int)line.len, (const char *)line.data, (int)sample.len, (const char *)sample.data);
    buf_deinit(&line);
    buf_deinit(&sample);
    conn->conns->stats->query_buffer_limit_closes++;
    conn_close_later(conn);
}

static void close_for_memory(struct conn *conn)
{
    conn_log(LOG_WARNING, "Closing client whose request is too large for the memory that is left",
             conn);
    conn_close_later(conn);
}

/* Room behind the unread bytes of the connection's own buffer for a large request. Grows to what
 * the request needs; by half when that is not known or comes again and again. */
static bool make_room(struct conn *conn)
{
    size_t unread = conn_unread(conn);
    size_t wanted = unread + CONN_READ_BYTES_MAX;
    if (conn->parser.needed > unread)
        wanted = conn->parser.needed + SLACK_BYTES;
    if (conn->query_start != 0 && conn->query_start + wanted > conn->query_capacity) {
        memmove(conn->query, conn->query + conn->query_start, unread);
        conn->query_start = 0;
        conn->query_end = unread;
    }
    /* The slack is there to be used up: only without room must the buffer grow. */
    size_t room = conn->query_capacity - conn->query_end;
    bool enough = conn->parser.needed > unread
                      ? conn->query_start + conn->parser.needed <= conn->query_capacity
                      : room >= ROOM_BYTES_MIN;
    if (enough)
        return true;
    if (wanted < conn->query_capacity + conn->query_capacity / 2)
        wanted = conn->query_capacity + conn->query_capacity / 2;
    uint8_t *query = mem_try_realloc(conn->query, wanted);
    if (query == NULL)
        return false;
    conn->query = query;
    conn->query_capacity = wanted;
    return true;
}

/* Reads behind the unread bytes in the connection's own buffer, and runs what is complete. */
static void read_into_query(struct conn *conn)
{
    if (!make_room(conn)) {
        close_for_memory(conn);
        return;
    }
    size_t count =
        read_socket(conn, conn->query + conn->query_end, conn->query_capacity - conn->query_end);
    if (count == 0)
        return;
    conn->query_end += count;
    struct input input = {.data = conn->query, .start = conn->query_start, .end = conn->query_end};
    if (is_over_limit(conn, conn_unread(conn))) {
        close_for_query_limit(conn, &input);
        return;
    }
    run_requests(conn, &input);
    if (!keep_rest_of_query(conn, &input))
        close_for_memory(conn);
}

/* The usual way: through the shared buffer, what was left from the last time in front. */
static void read_into_shared(struct conn *conn)
{
    struct conns *conns = conn->conns;
    if (conns->shared == NULL)
        conns->shared = mem_alloc(CONN_READ_BYTES_MAX);
    size_t unread = conn_unread(conn);
    if (unread != 0)
        memcpy(conns->shared, conn->query + conn->query_start, unread);
    size_t count = read_socket(conn, conns->shared + unread, CONN_READ_BYTES_MAX - unread);
    if (count == 0)
        return;
    struct input input = {.data = conns->shared, .start = 0, .end = unread + count};
    if (is_over_limit(conn, input.end)) {
        close_for_query_limit(conn, &input);
        return;
    }
    run_requests(conn, &input);
    if (!keep_rest_of_shared(conn, &input))
        close_for_memory(conn);
}

/* A waiting connection's further requests: only as many as there is room for. This also notices
 * that the peer has gone. */
static void read_ahead(struct conn *conn)
{
    bool may_grow = (conn->state & CONN_PINNED) == 0;
    if (may_grow && conn->query_capacity - conn->query_end < ROOM_BYTES_MIN &&
        conn_unread(conn) < CONN_READ_AHEAD_BYTES_MAX) {
        size_t capacity = 2 * (conn_unread(conn) + ROOM_BYTES_MIN);
        uint8_t *query = mem_realloc(conn->query, conn->query_start + capacity);
        conn->query = query;
        conn->query_capacity = conn->query_start + capacity;
    }
    size_t room = conn->query_capacity - conn->query_end;
    if (room == 0) {
        conn->state |= CONN_READ_PAUSED;
        conn_watch(conn);
        return;
    }
    conn->query_end += read_socket(conn, conn->query + conn->query_end, room);
}

static void read_once(struct conn *conn)
{
    if (conn_link_is_used(&conn->ready))
        return; /* has enough to do already; its turn comes at the tick's end */
    if ((conn->session.flags & SESSION_CLOSE_AFTER_REPLY) != 0) {
        /* Nothing of it is run any more: stop hearing of it, but not of its end. */
        conn->state |= CONN_READ_PAUSED;
        conn_watch(conn);
        return;
    }
    if ((conn->state & CONN_WAITS) != 0)
        read_ahead(conn);
    else if (conn_unread(conn) <= CONN_READ_BYTES_MAX / 2 &&
             conn->parser.needed <= CONN_READ_BYTES_MAX)
        read_into_shared(conn);
    else
        read_into_query(conn);
}

void conn_read(struct conn *conn)
{
    read_once(conn);
    if (conn->tls != NULL && (conn->state & CONN_CLOSING) == 0)
        conn_watch(conn); /* which asks the stream what it waits for */
}

void conns_read_unread(struct conns *conns)
{
    struct conn_link list;
    if (conn_list_is_empty(&conns->unread))
        return;
    conn_list_take(&list, &conns->unread);
    while (!conn_list_is_empty(&list)) {
        struct conn *conn = CONN_OF(list.next, unread);
        conn_link_remove(&conn->unread);
        if ((conn->state & CONN_RUNNING) != 0)
            conn_list_add(&conns->unread, &conn->unread);
        else if ((conn->state & (CONN_CLOSING | CONN_READ_PAUSED | CONN_EOF)) == 0)
            conn_read(conn);
    }
}

void conn_run_unread(struct conn *conn)
{
    if ((conn->state & CONN_READ_PAUSED) != 0) {
        conn->state &= ~(uint32_t)CONN_READ_PAUSED;
        conn_watch(conn);
    }
    if (conn->query == NULL)
        return;
    struct input input = {.data = conn->query, .start = conn->query_start, .end = conn->query_end};
    bool go_on = true;
    if ((conn->state & CONN_RELEASED) != 0) {
        conn->state &= ~(uint32_t)CONN_RELEASED;
        conn_list_add(&conn->conns->flush, &conn->flush);
        go_on = run_request(conn, &input);
    }
    if (go_on)
        run_requests(conn, &input);
    else
        drop_rest(conn, &input);
    if (!keep_rest_of_query(conn, &input))
        close_for_memory(conn);
}

void conn_on_resumed(void *arg, struct session *session)
{
    struct conns *conns = arg;
    struct conn *conn = session->conn;
    if (conn == NULL)
        return;
    CHECK((conn->state & CONN_WAITS) != 0);
    conn_stop_waiting(conn);
    conn_list_add(&conns->flush, &conn->flush);
    if (finish_request(conn))
        conn_list_add(&conns->ready, &conn->ready);
    else
        free_query(conn);
}

void conn_on_blocked(void *arg, struct session *session)
{
    struct conns *conns = arg;
    struct conn *conn = session->conn;
    if (conn == NULL)
        return;
    CHECK((conn->state & CONN_SUSPENDED) != 0);
    conn_stop_waiting(conn);
    conn->state |= CONN_BLOCKED;
    conns->blocked++;
    fit_query(conn);
    conn->state &= ~(uint32_t)CONN_READ_PAUSED;
    conn_watch(conn);
    close_if_gone(conn);
}
