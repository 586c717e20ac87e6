/* Connected clients: sockets on one side, sessions on the other.
 *
 *   socket ──read──► query bytes ──resp_parse──► exec_run ──► output ──tick end, gate──► socket
 *
 * Requests of one connection run in their order, one at a time; a connection that waits for cold
 * keys or blocks lets all others run on. Per tick a connection reads once, runs at most
 * CONN_REQUESTS_PER_TICK_MAX requests and writes once, so that none starves the others. Replies
 * that depend on journal bytes which are not durable yet (appendfsync always) are held back until
 * they are.
 *
 * Nothing is freed while a request runs: connections are closed at the tick's end. Main thread. */
#ifndef BASALT_SERVER_CONN_H
#define BASALT_SERVER_CONN_H

#include "codec/buf.h"
#include "server/config.h"
#include "server/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct conns;
struct services;
struct sockaddr;
struct tls;

#define CONN_REQUESTS_PER_TICK_MAX 1024

/* ---- All of them. */

/* `services` is borrowed and must be complete: config, exec, loop and stats are used. Hooks itself
 * into the loop's tick end and into exec's resumed callback. */
struct conns *conns_create(struct services *services);
/* Closes all connections at once, without sending what is left. Accepts NULL. */
void conns_destroy(struct conns *conns);
/* Takes an accepted socket (non-blocking, close-on-exec) and serves it, or refuses it with Redis's
 * words: maxclients, protected mode. `peer` is what accept() told. */
void conns_adopt(struct conns *conns, int fd, const struct sockaddr *peer);
/* The same for a socket that speaks TLS. Whom it refuses, it tells nothing. */
void conns_adopt_tls(struct conns *conns, int fd, const struct sockaddr *peer, struct tls *tls);
/* Call `hz` times a second: timeouts, limits, memory that is given back. Visits every connection
 * about once a second. */
void conns_cron(struct conns *conns);
/* Sends what may be sent now without waiting: before the process ends. */
void conns_flush(struct conns *conns);

/* While a request of `session` runs for too long, and exec_set_busy has said so: reads and answers
 * the other connections once, without waiting. */
void conns_serve_busy(struct conns *conns, const struct session *session);

size_t conns_count(const struct conns *conns);
/* How many wait for a blocking command or the end of a pause; not those that wait for cold keys. */
size_t conns_count_blocked(const struct conns *conns);
/* O(1); NULL when there is none, or it is about to be closed. */
struct conn *conns_find(const struct conns *conns, uint64_t id);
/* In the order in which they came; NULL at the end. Those about to be closed are left out. */
struct conn *conns_first(const struct conns *conns);
struct conn *conns_next(const struct conn *conn);

/* Calls `visit` for the session of each, also of those about to be closed. */
typedef void conns_visit_fn(void *arg, struct session *session);
void conns_visit(struct conns *conns, conns_visit_fn *visit, void *arg);

/* CLIENT PAUSE: requests are held back, all or those that may write, until the loop's clock reaches
 * `until_ms` or conns_unpause; then they run in their order. A pause that is on already only grows:
 * the later end and the stricter mode count. */
enum conns_pause { CONNS_RUN, CONNS_PAUSE_WRITES, CONNS_PAUSE_ALL };
void conns_pause(struct conns *conns, int64_t until_ms, enum conns_pause mode);
void conns_unpause(struct conns *conns);
/* While it is not CONNS_RUN nothing else must change the dataset either (expiry). */
enum conns_pause conns_paused(const struct conns *conns);

/* CLIENT UNBLOCK: the function through which a blocked session's wait is ended, as if its time were
 * over or (`with_error`) with the error -UNBLOCKED. False: it does not let itself be unblocked. */
typedef bool conns_unblock_fn(void *arg, struct session *session, bool with_error);
void conns_on_unblock(struct conns *conns, conns_unblock_fn *fn, void *arg);

/* What INFO clients and INFO memory tell. */
struct conns_stats {
    size_t count;
    size_t blocked;
    size_t suspended;        /* waiting for cold keys */
    size_t pubsub;           /* subscribers */
    size_t held_by_gate;     /* with replies that wait for the journal */
    size_t input_bytes_max;  /* largest query buffer of the last seconds */
    size_t output_bytes_max; /* largest output of the last seconds */
    size_t memory;           /* of all connections but replicas */
    size_t memory_replicas;
};
void conns_read_stats(const struct conns *conns, struct conns_stats *out);

/* ---- One of them. */

struct session *conn_session(struct conn *conn);
/* Closes it at the tick's end; what was not sent is lost. */
void conn_close_later(struct conn *conn);
/* Closes it when all its replies are sent; runs no more of its requests. */
void conn_close_after_reply(struct conn *conn);
/* Call after appending to its output while none of its own requests was running (messages pushed to
 * it): makes the tick's end look at it, and closes it if that is more than its class may have. */
void conn_output_added(struct conn *conn);
/* MULTI's queue and the like, to be part of the connection's memory. */
void conn_add_memory(struct conn *conn, int64_t bytes);

int conn_fd(const struct conn *conn);
/* Whether an address is of this machine: loopback, or a unix socket. */
bool conn_address_is_local(const struct sockaddr *address);
/* "127.0.0.1:50000", "[::1]:50000" or "/path/of/socket:0". Valid as long as the connection. */
const char *conn_peer_address(const struct conn *conn);
const char *conn_local_address(struct conn *conn);
/* From this machine: loopback address or unix socket. */
bool conn_is_local(const struct conn *conn);
enum config_client_class conn_class(const struct conn *conn);
/* Waits for a blocking command or the end of a pause. */
bool conn_is_blocked(const struct conn *conn);
/* False: it is not blocked, or must not be unblocked. */
bool conn_unblock(struct conn *conn, bool with_error);
int64_t conn_idle_ms(const struct conn *conn);
size_t conn_memory(const struct conn *conn);
/* Appends the line that CLIENT LIST shows of it, without a newline. */
void conn_describe(struct conn *conn, struct buf *out);

#endif
