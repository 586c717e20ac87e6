/* Life of a connection:
 *
 *   conns_adopt ─► idle ─readable─► running ─► idle
 *                                    │  ▲
 *               exec: suspended, blocked └── exec's resumed callback
 *
 *   any ─conn_close_later─► closing ─tick's end─► closed ─libuv's close callback─► freed
 *
 * and of a tick, after libuv's callbacks: run those that have unread requests and may go on; hand
 * the journal bytes over; send; close. The order matters: replies are sent after their journal
 * bytes are on their way, and a connection is closed only when all that its requests have done is
 * done. */
#include "server/conn_internal.h"

#include "codec/check.h"
#include "codec/log_fn.h"
#include "codec/mem.h"
#include "server/acl.h"
#include "server/exec.h"
#include "server/log.h"
#include "server/loop.h"
#include "server/services.h"
#include "server/stats.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BY_ID_CAPACITY_MIN 64
#define GATHER_NAP_NS      20000

static const char max_clients_error[] = "-ERR max number of clients reached\r\n";
static const char protected_mode_error[] =
    "-DENIED Redis is running in protected mode because protected "
    "mode is enabled and no password is set for the default user. "
    "In this mode connections are only accepted from the loopback interface. "
    "If you want to connect from external computers to Redis you "
    "may adopt one of the following solutions: "
    "1) Just disable protected mode sending the command "
    "'CONFIG SET protected-mode no' from the loopback interface "
    "by connecting to Redis from the same host the server is "
    "running, however MAKE SURE Redis is not publicly accessible "
    "from internet if you do so. Use CONFIG REWRITE to make this "
    "change permanent. "
    "2) Alternatively you can just disable the protected mode by "
    "editing the Redis configuration file, and setting the protected "
    "mode option to 'no', and then restarting the server. "
    "3) If you started the server manually just for testing, restart "
    "it with the '--protected-mode no' option. "
    "4) Set up an authentication password for the default user. "
    "NOTE: You only need to do one of the above things in order for "
    "the server to start accepting connections from the outside.\r\n";

void conn_log(int level, const char *what, struct conn *conn)
{
    struct buf line = {0};
    conn_describe(conn, &line);
    log_write(level, "%s %.*s", what, (int)line.len, (const char *)line.data);
    buf_deinit(&line);
}

/* ---- Looking up by id: linear probing; ids are consecutive, so they hardly ever collide. */

static size_t by_id_place(const struct conns *conns, uint64_t id)
{
    size_t mask = conns->by_id_capacity - 1;
    size_t place = (size_t)id & mask;
    while (conns->by_id[place] != NULL && conns->by_id[place]->session.id != id)
        place = (place + 1) & mask;
    return place;
}

static void by_id_add(struct conns *conns, struct conn *conn)
{
    if ((conns->count + 1) * 2 > conns->by_id_capacity) {
        struct conn **old = conns->by_id;
        size_t old_capacity = conns->by_id_capacity;
        conns->by_id_capacity = old_capacity == 0 ? BY_ID_CAPACITY_MIN : old_capacity * 2;
        conns->by_id = mem_calloc(conns->by_id_capacity, sizeof(struct conn *));
        for (size_t i = 0; i < old_capacity; i++) {
            if (old[i] != NULL)
                conns->by_id[by_id_place(conns, old[i]->session.id)] = old[i];
        }
        mem_free(old);
    }
    conns->by_id[by_id_place(conns, conn->session.id)] = conn;
}

/* Closes the gap, so that no probe ends too early. */
static void by_id_remove(struct conns *conns, const struct conn *conn)
{
    size_t mask = conns->by_id_capacity - 1;
    size_t hole = by_id_place(conns, conn->session.id);
    CHECK(conns->by_id[hole] == conn);
    for (size_t i = (hole + 1) & mask; conns->by_id[i] != NULL; i = (i + 1) & mask) {
        size_t home = (size_t)conns->by_id[i]->session.id & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            conns->by_id[hole] = conns->by_id[i];
            hole = i;
        }
    }
    conns->by_id[hole] = NULL;
}

struct conn *conns_find(const struct conns *conns, uint64_t id)
{
    if (conns->by_id_capacity == 0)
        return NULL;
    struct conn *conn = conns->by_id[by_id_place(conns, id)];
    return conn != NULL && (conn->state & CONN_CLOSING) == 0 ? conn : NULL;
}

static struct conn *first_open(const struct conns *conns, struct conn_link *link)
{
    while (link != &conns->all) {
        struct conn *conn = CONN_OF(link, all);
        if ((conn->state & CONN_CLOSING) == 0)
            return conn;
        link = link->next;
    }
    return NULL;
}

struct conn *conns_first(const struct conns *conns)
{
    return first_open(conns, conns->all.next);
}

struct conn *conns_next(const struct conn *conn)
{
    return first_open(conn->conns, conn->all.next);
}

void conns_visit(struct conns *conns, conns_visit_fn *visit, void *arg)
{
    for (struct conn_link *link = conns->all.next; link != &conns->all; link = link->next)
        visit(arg, &CONN_OF(link, all)->session);
}

size_t conns_count(const struct conns *conns)
{
    return conns->count;
}

size_t conns_count_blocked(const struct conns *conns)
{
    return conns->blocked;
}

struct session *conn_session(struct conn *conn)
{
    return &conn->session;
}

/* ---- Watching. */

void conn_on_events(struct conn *conn, bool writable, bool readable, bool disconnected)
{
    if (writable) {
        conn->state &= ~(uint32_t)CONN_WRITE_WAITS;
        conn_list_add(&conn->conns->flush, &conn->flush);
    }
    if (readable || (writable && conn->tls != NULL && tls_wants_write(conn->tls))) {
        conn_read(conn);
    } else if (disconnected) {
        if (conn_is_blocked(conn))
            conn_close_later(conn);
        conn->state |= CONN_HUNG_UP;
        conn_watch(conn);
    }
}

static void on_poll(uv_poll_t *watcher, int status, int events)
{
    struct conn *conn = watcher->data;
    struct conns *conns = conn->conns;
    if ((conn->state & CONN_CLOSING) != 0)
        return;
    if (conns->tick_started_us == 0) {
        conns->tick_started_us = loop_clock_us();
        conns->tick_commands = conns->stats->commands_processed;
    }
    if (status < 0) {
        conn->watched = 0;
        log_write(LOG_VERBOSE, "Reading from client: connection lost");
        conn_close_later(conn);
        return;
    }
    conn_on_events(conn, (events & UV_WRITABLE) != 0, (events & UV_READABLE) != 0,
                   (events & UV_DISCONNECT) != 0);
}

void conn_watch(struct conn *conn)
{
    int events = 0;
    if ((conn->state & (CONN_READ_PAUSED | CONN_EOF)) == 0)
        events |= UV_READABLE;
    else if ((conn->state & (CONN_HUNG_UP | CONN_EOF)) == 0)
        events |= UV_DISCONNECT;
    if ((conn->state & CONN_WRITE_WAITS) != 0)
        events |= UV_WRITABLE;
    if (conn->tls != NULL && (events & UV_READABLE) != 0) {
        if (tls_wants_write(conn->tls))
            events |= UV_WRITABLE;
        if (tls_has_unread(conn->tls))
            conn_list_add(&conn->conns->unread, &conn->unread);
    }
    if (events == conn->watched)
        return;
    conn->watched = events;
    if (events == 0)
        (void)uv_poll_stop(&conn->watcher);
    else
        CHECK(uv_poll_start(&conn->watcher, events, on_poll) == 0);
}

/* ---- Opening. */

static void refuse(struct conns *conns, int fd, const char *error, size_t len)
{
    /* As far as the socket takes it; there is nobody to tell if it does not. */
    (void)!send(fd, error, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
    conns->stats->connections_rejected++;
}

/* Takes the stream; NULL: plain bytes. */
static struct conn *create(struct conns *conns, int fd, const struct sockaddr *peer,
                           struct tls_stream *tls)
{
    struct conn *conn = mem_calloc(1, sizeof(*conn));
    if (uv_poll_init(loop_uv(conns->loop), &conn->watcher, fd) != 0) {
        mem_free(conn);
        return NULL;
    }
    conn->watcher.data = conn;
    conn->conns = conns;
    conn->fd = fd;
    conn->tls = tls;
    conn->last_io_at_ms = loop_now_ms(conns->loop);
    output_init(&conn->output, &conns->output_pool);
    session_init(&conn->session, &conn->output, conns->next_id++, conn->last_io_at_ms);
    conn->session.conn = conn;
    acl_admit(conns->acl, &conn->session);
    if (peer->sa_family == AF_UNIX)
        conn->session.flags |= SESSION_UNIX_SOCKET;
    conn->local = conn_address_is_local(peer);
    conn_set_peer(conn, peer);
    return conn;
}

/* Why nobody is let in from there now; NULL: one may come. */
static const char *refusal(const struct conns *conns, const struct sockaddr *peer)
{
    if (conns->count >= conns->config->maxclients)
        return max_clients_error;
    if (conns->config->protected_mode && acl_default_user(conns->acl)->no_password &&
        !conn_address_is_local(peer))
        return protected_mode_error;
    return NULL;
}

static void let_in(struct conns *conns, int fd, const struct sockaddr *peer, struct tls_stream *tls)
{
    struct conn *conn = create(conns, fd, peer, tls);
    if (conn == NULL) {
        log_write(LOG_WARNING, "Error registering fd event for the new client connection");
        tls_stream_destroy(tls);
        (void)close(fd);
        return;
    }
    by_id_add(conns, conn);
    conn_list_add(&conns->all, &conn->all);
    conns->count++;
    conns->stats->connections_received++;
    conn_watch(conn);
    conn_count_memory(conn);
}

void conns_adopt(struct conns *conns, int fd, const struct sockaddr *peer)
{
    const char *error = refusal(conns, peer);
    if (error != NULL)
        refuse(conns, fd, error, strlen(error));
    else
        let_in(conns, fd, peer, NULL);
}

void conns_adopt_tls(struct conns *conns, int fd, const struct sockaddr *peer, struct tls *tls)
{
    if (refusal(conns, peer) != NULL) {
        refuse(conns, fd, "", 0);
        return;
    }
    struct tls_stream *stream = tls_accept(tls, fd);
    if (stream != NULL) {
        let_in(conns, fd, peer, stream);
        return;
    }
    log_write(LOG_WARNING, "Error accepting a client connection: no TLS stream for it");
    (void)close(fd);
}

/* ---- Closing. */

void conn_close_later(struct conn *conn)
{
    conn->session.flags |= SESSION_CLOSE_ASAP;
    conn->state |= CONN_CLOSING;
    conn_list_add(&conn->conns->closing, &conn->closing);
}

void conn_close_after_reply(struct conn *conn)
{
    conn->session.flags |= SESSION_CLOSE_AFTER_REPLY;
    conn_list_add(&conn->conns->flush, &conn->flush);
}

void conn_output_added(struct conn *conn)
{
    conn_list_add(&conn->conns->flush, &conn->flush);
    if (output_bytes(&conn->output) > CONN_OUTPUT_UNCHECKED_BYTES_MAX)
        conn_check_output_limit(conn);
}

void conn_add_memory(struct conn *conn, int64_t bytes)
{
    conn->extra_memory += bytes;
    CHECK(conn->extra_memory >= 0);
}

static void free_conn(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void conn_close_now(struct conn *conn)
{
    struct conns *conns = conn->conns;
    CHECK((conn->state & CONN_RUNNING) == 0);
    if ((conn->state & (CONN_SUSPENDED | CONN_BLOCKED)) != 0)
        exec_cancel(conns->exec, &conn->session);
    conn_forget_held(conn);
    conn_stop_waiting(conn);
    if (conns->cron_next == &conn->all)
        conns->cron_next = conn->all.next;
    conn_link_remove(&conn->flush);
    conn_link_remove(&conn->ready);
    conn_link_remove(&conn->gated);
    conn_note_back(conn);
    conn_link_remove(&conn->closing);
    conn_link_remove(&conn->unread);
    conn_link_remove(&conn->all);
    conn_uncount_memory(conn);
    by_id_remove(conns, conn);
    conns->count--;

    session_deinit(conns->exec, &conn->session);
    resp_parser_deinit(&conn->parser);
    output_clear(&conn->output);
    mem_free(conn->query);
    mem_free(conn->peer_address);
    mem_free(conn->local_address);
    tls_stream_destroy(conn->tls);
    uv_close((uv_handle_t *)&conn->watcher, free_conn);
    (void)close(conn->fd);
}

/* ---- The tick's end. */

/* Each connection of the list gets one turn; what it leaves waits for the next tick. */
void conns_run_ready(struct conns *conns)
{
    struct conn_link list;
    conns_read_unread(conns);
    conn_list_take(&list, &conns->ready);
    while (!conn_list_is_empty(&list)) {
        struct conn *conn = CONN_OF(list.next, ready);
        conn_link_remove(&conn->ready);
        if ((conn->state & (CONN_CLOSING | CONN_WAITS)) == 0)
            conn_run_unread(conn);
    }
}

void conns_send(struct conns *conns)
{
    struct exec_gate gate = exec_gate(conns->exec);
    conn_open_gates(conns, &gate);
    struct conn_link list;
    conn_list_take(&list, &conns->flush);
    bool counts_memory = conns->config->maxmemory_clients != 0;
    while (!conn_list_is_empty(&list)) {
        struct conn *conn = CONN_OF(list.next, flush);
        conn_link_remove(&conn->flush);
        conn_write(conn, &gate);
        if (counts_memory)
            conn_count_memory(conn);
    }
    if (counts_memory)
        conns_evict(conns);
    conns_tell_gathered(conns);
}

static void close_all_closing(struct conns *conns)
{
    while (!conn_list_is_empty(&conns->closing))
        conn_close_now(CONN_OF(conns->closing.next, closing));
}

/* While the journal waits for clients to come back, no reply can leave: what they send had better
 * be read some of it at a time than one by one. With 50 clients and SET, on 2 cores, that takes a
 * quarter off the time that the server spends on a command. */
static void nap_while_gathering(struct conns *conns)
{
    static const struct timespec nap = {.tv_nsec = GATHER_NAP_NS};
    if (!conn_list_is_empty(&conns->gated) && exec_is_gathering(conns->exec))
        (void)nanosleep(&nap, NULL);
}

static void count_tick(struct conns *conns)
{
    struct stats *stats = conns->stats;
    uint64_t duration_us = loop_clock_us() - conns->tick_started_us;
    stats->ticks++;
    stats->tick_duration_us += duration_us;
    if (duration_us > stats->tick_duration_us_max)
        stats->tick_duration_us_max = duration_us;
    /* CONFIG RESETSTAT may have come. */
    if (stats->commands_processed > conns->tick_commands + stats->tick_commands_max)
        stats->tick_commands_max = stats->commands_processed - conns->tick_commands;
    conns->tick_started_us = 0;
}

static void on_tick_end(void *arg)
{
    struct conns *conns = arg;
    conns_run_ready(conns);
    bool more = exec_tick_end(conns->exec);
    conns_send(conns);
    close_all_closing(conns);
    if (more || !conn_list_is_empty(&conns->ready) || !conn_list_is_empty(&conns->flush) ||
        !conn_list_is_empty(&conns->unread))
        loop_again(conns->loop);
    if (conns->tick_started_us != 0)
        count_tick(conns);
    nap_while_gathering(conns);
}

void conns_flush(struct conns *conns)
{
    (void)exec_tick_end(conns->exec);
    conns_send(conns);
}

struct conns *conns_create(struct services *services)
{
    struct conns *conns = mem_calloc(1, sizeof(*conns));
    conns->config = services->config;
    conns->acl = services->acl;
    conns->exec = services->exec;
    conns->loop = services->loop;
    conns->stats = services->stats;
    conns->commands = services->commands;
    conns->next_id = 1;
    conns->release_round = 1; /* a connection that was never released is of round 0 */
    conn_list_init(&conns->flush);
    conn_list_init(&conns->ready);
    conn_list_init(&conns->gated);
    conn_list_init(&conns->closing);
    conn_list_init(&conns->unread);
    conn_list_init(&conns->all);
    conns->cron_next = &conns->all;
    conns_pause_init(conns);
    exec_on_resumed(conns->exec, conn_on_resumed, conns);
    exec_on_blocked(conns->exec, conn_on_blocked);
    conns_on_unblock(conns, exec_unblock, conns->exec);
    loop_on_tick_end(conns->loop, on_tick_end, conns);
    return conns;
}

void conns_destroy(struct conns *conns)
{
    if (conns == NULL)
        return;
    while (!conn_list_is_empty(&conns->all))
        conn_close_now(CONN_OF(conns->all.next, all));
    conns_pause_deinit(conns);
    mem_free(conns->shared);
    mem_free(conns->by_id);
    output_pool_deinit(&conns->output_pool);
    mem_free(conns);
}
