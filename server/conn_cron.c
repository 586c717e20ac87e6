/* What must be done for connections from time to time: limits, timeouts, memory. A call visits a
 * part of them, so that each has its turn about once a second whatever their number. */
#include "server/conn_internal.h"

#include "codec/check.h"
#include "codec/log_fn.h"
#include "codec/mem.h"
#include "server/log.h"
#include "server/loop.h"
#include "server/stats.h"

/* From accept() to the end of a TLS handshake. */
#define HANDSHAKE_MS_MAX 10000
#define VISITS_MIN       5
/* Unused query buffer memory that an idle connection may keep, and when it is idle. */
#define IDLE_SPARE_BYTES_MAX 4096
#define IDLE_AFTER_MS        2000

/* ---- Output limits. */

static bool is_over_limit(struct conn *conn)
{
    const struct config *config = conn->conns->config;
    enum config_client_class class = conn_class(conn);
    const struct config_buffer_limit *limit = &config->client_output_buffer_limit[class];
    uint64_t used = conn_output_memory(conn);
    uint64_t hard = limit->hard_bytes;
    if (class == CONFIG_CLIENT_REPLICA && hard != 0 && (int64_t)hard < config->repl_backlog_size)
        hard = (uint64_t)config->repl_backlog_size;
    if (hard != 0 && used >= hard)
        return true;
    if (limit->soft_bytes == 0 || used < limit->soft_bytes) {
        conn->soft_limit_since_ms = 0;
        return false;
    }
    int64_t now_ms = loop_now_ms(conn->conns->loop);
    if (conn->soft_limit_since_ms == 0) {
        conn->soft_limit_since_ms = now_ms;
        return false;
    }
    return now_ms - conn->soft_limit_since_ms > limit->soft_seconds * 1000;
}

void conn_check_output_limit(struct conn *conn)
{
    if ((conn->session.flags & SESSION_CLOSE_ASAP) != 0 || !is_over_limit(conn))
        return;
    struct buf line = {0};
    conn_describe(conn, &line);
    log_write(LOG_WARNING,
              "Client %.*s scheduled to be closed ASAP for overcoming of output buffer limits.",
              (int)line.len, (const char *)line.data);
    buf_deinit(&line);
    conn->conns->stats->output_buffer_limit_closes++;
    conn_close_later(conn);
}

/* ---- Memory. */

void conn_uncount_memory(struct conn *conn)
{
    conn->conns->memory[conn->counted_class] -= conn->counted_memory;
    conn->counted_memory = 0;
}

void conn_count_memory(struct conn *conn)
{
    conn_uncount_memory(conn);
    conn->counted_class = conn_class(conn);
    conn->counted_memory = conn_memory(conn);
    conn->conns->memory[conn->counted_class] += conn->counted_memory;
}

static size_t eviction_limit(const struct config *config)
{
    if (config->maxmemory_clients >= 0)
        return (size_t)config->maxmemory_clients;
    return (size_t)((double)config->maxmemory * (double)-config->maxmemory_clients / 100.0);
}

static bool may_be_evicted(const struct conn *conn)
{
    return conn_class(conn) != CONFIG_CLIENT_REPLICA &&
           (conn->session.flags & (SESSION_NO_EVICT | SESSION_MASTER)) == 0;
}

static struct conn *find_largest(struct conns *conns)
{
    struct conn *largest = NULL;
    for (struct conn *conn = conns_first(conns); conn != NULL; conn = conns_next(conn)) {
        if (may_be_evicted(conn) &&
            (largest == NULL || conn->counted_memory > largest->counted_memory))
            largest = conn;
    }
    return largest;
}

void conns_evict(struct conns *conns)
{
    size_t limit = eviction_limit(conns->config);
    if (limit == 0)
        return;
    while (conns->memory[CONFIG_CLIENT_NORMAL] + conns->memory[CONFIG_CLIENT_PUBSUB] > limit) {
        struct conn *largest = find_largest(conns);
        if (largest == NULL)
            return;
        conn_log(LOG_NOTICE, "Evicting client", largest);
        conns->stats->clients_evicted++;
        conn_uncount_memory(largest);
        conn_close_later(largest);
    }
}

/* Gives back what an idle connection does not need. */
static void shrink(struct conn *conn)
{
    if ((conn->state & (CONN_WAITS | CONN_RELEASED)) != 0 || conn_idle_ms(conn) < IDLE_AFTER_MS)
        return;
    resp_parser_trim(&conn->parser);
    size_t unread = conn_unread(conn);
    if (conn->query_capacity <= unread + IDLE_SPARE_BYTES_MAX)
        return;
    if (unread == 0) {
        mem_free(conn->query);
        conn->query = NULL;
    } else {
        memmove(conn->query, conn->query + conn->query_start, unread);
        conn->query = mem_realloc(conn->query, unread);
    }
    conn->query_start = 0;
    conn->query_end = unread;
    conn->query_capacity = unread;
}

/* ---- The round. */

static void check_timeout(struct conn *conn)
{
    int64_t timeout_ms = (int64_t)conn->conns->config->timeout * 1000;
    if (timeout_ms == 0 || (conn->state & CONN_WAITS) != 0 ||
        (conn->session.flags &
         (SESSION_MASTER | SESSION_REPLICA | SESSION_PUBSUB | SESSION_MONITOR)) != 0)
        return;
    if (conn_idle_ms(conn) > timeout_ms) {
        log_write(LOG_VERBOSE, "Closing idle client");
        conn_close_later(conn);
    }
}

/* Whoever does not even finish the handshake must not keep a connection. */
static void check_handshake(struct conn *conn)
{
    int64_t age_ms = loop_now_ms(conn->conns->loop) - conn->session.created_at_ms;
    if (conn->tls == NULL || age_ms < HANDSHAKE_MS_MAX || tls_is_established(conn->tls))
        return;
    log_write(
        LOG_WARNING,
        "Error accepting a client connection: no TLS handshake within %d s (addr=%s laddr=%s)",
        HANDSHAKE_MS_MAX / 1000, conn_peer_address(conn), conn_local_address(conn));
    conn_close_later(conn);
}

static void visit(struct conn *conn)
{
    struct conns *conns = conn->conns;
    check_handshake(conn);
    check_timeout(conn);
    shrink(conn);
    if (output_bytes(&conn->output) != 0)
        conn_check_output_limit(conn);
    conn_count_memory(conn);
    size_t input = conn->query_capacity + resp_parser_memory(&conn->parser);
    size_t output = conn_output_memory(conn);
    size_t slot = conns->peak_slot;
    if (input > conns->input_peaks[slot])
        conns->input_peaks[slot] = input;
    if (output > conns->output_peaks[slot])
        conns->output_peaks[slot] = output;
}

static void start_peak_slot(struct conns *conns)
{
    size_t slot = (size_t)(loop_now_ms(conns->loop) / 1000) % CONN_PEAK_SLOTS;
    if (slot == conns->peak_slot)
        return;
    conns->peak_slot = slot;
    conns->input_peaks[slot] = 0;
    conns->output_peaks[slot] = 0;
}

void conns_cron(struct conns *conns)
{
    start_peak_slot(conns);
    size_t visits = conns->count / (size_t)conns->config->hz;
    if (visits < VISITS_MIN)
        visits = VISITS_MIN < conns->count ? VISITS_MIN : conns->count;
    for (; visits > 0; visits--) {
        if (conns->cron_next == &conns->all)
            conns->cron_next = conns->all.next;
        struct conn *conn = CONN_OF(conns->cron_next, all);
        conns->cron_next = conns->cron_next->next;
        if ((conn->state & CONN_CLOSING) == 0)
            visit(conn);
    }
    conns_evict(conns);
}

void conns_read_stats(const struct conns *conns, struct conns_stats *out)
{
    *out = (struct conns_stats){.count = conns->count,
                                .blocked = conns->blocked,
                                .suspended = conns->suspended,
                                .memory_replicas = conns->memory[CONFIG_CLIENT_REPLICA],
                                .memory = conns->memory[CONFIG_CLIENT_NORMAL] +
                                          conns->memory[CONFIG_CLIENT_PUBSUB]};
    for (size_t i = 0; i < CONN_PEAK_SLOTS; i++) {
        if (conns->input_peaks[i] > out->input_bytes_max)
            out->input_bytes_max = conns->input_peaks[i];
        if (conns->output_peaks[i] > out->output_bytes_max)
            out->output_bytes_max = conns->output_peaks[i];
    }
    for (const struct conn_link *link = conns->gated.next; link != &conns->gated; link = link->next)
        out->held_by_gate++;
    for (struct conn *conn = conns_first(conns); conn != NULL; conn = conns_next(conn))
        out->pubsub += (conn->session.flags & SESSION_PUBSUB) != 0;
}
