/* What conn.c and conn_*.c share; for nobody else. */
#ifndef BASALT_SERVER_CONN_INTERNAL_H
#define BASALT_SERVER_CONN_INTERNAL_H

#include "codec/resp_parse.h"
#include "server/conn.h"
#include "server/output.h"
#include "server/tls.h"

#include <uv.h>

struct acl;
struct exec_gate;

/* One read takes this much at most. Also the size of the buffer that all connections share. */
#define CONN_READ_BYTES_MAX 32768
/* Unread requests that a waiting connection may pile up before it is not read any more. */
#define CONN_READ_AHEAD_BYTES_MAX 65536
/* Output up to this is not held against the limits. */
#define CONN_OUTPUT_UNCHECKED_BYTES_MAX 16384

/* A place in a doubly linked list; `next` is NULL outside of any list. */
struct conn_link {
    struct conn_link *prev;
    struct conn_link *next;
};

static inline void conn_list_init(struct conn_link *list)
{
    list->prev = list;
    list->next = list;
}

static inline bool conn_list_is_empty(const struct conn_link *list)
{
    return list->next == list;
}

static inline bool conn_link_is_used(const struct conn_link *link)
{
    return link->next != NULL;
}

/* Appends; a link that is in a list stays where it is. */
static inline void conn_list_add(struct conn_link *list, struct conn_link *link)
{
    if (conn_link_is_used(link))
        return;
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

static inline void conn_link_remove(struct conn_link *link)
{
    if (!conn_link_is_used(link))
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = NULL;
    link->next = NULL;
}

/* Moves all of `from` to the empty or uninitialised list `to`. */
static inline void conn_list_take(struct conn_link *to, struct conn_link *from)
{
    if (conn_list_is_empty(from)) {
        conn_list_init(to);
        return;
    }
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    conn_list_init(from);
}

enum {
    CONN_SUSPENDED = 1 << 0,   /* exec holds argv: query bytes and parser must not change */
    CONN_BLOCKED = 1 << 1,     /* waits for an event, not for data; without CONN_SUSPENDED the query
                                  bytes are free */
    CONN_READ_PAUSED = 1 << 2, /* not read: it waits and has enough unread requests */
    CONN_WRITE_WAITS = 1 << 3, /* the socket takes no more for now */
    CONN_EOF = 1 << 4,         /* the peer sends no more */
    CONN_CLOSING = 1 << 5,     /* in conns->closing */
    CONN_RUNNING = 1 << 6,     /* inside exec_run */
    CONN_HUNG_UP = 1 << 7,     /* the peer has shut its side while it was not read */
    CONN_HELD = 1 << 8,        /* its parsed request waits for the end of a pause; in conns->held */
    CONN_RELEASED = 1 << 9,    /* it need not wait any more; in conns->ready */
};
/* Nothing of the connection may be run. */
#define CONN_WAITS (CONN_SUSPENDED | CONN_BLOCKED | CONN_HELD)
/* Its parsed request is still needed. */
#define CONN_PINNED (CONN_SUSPENDED | CONN_HELD | CONN_RELEASED)

/* Query bytes lie in conns->shared while they are read and run; what is left then, and what must
 * not move, is in `query`. Invariants:
 *   C1  CONN_PINNED: argv points into `query` (or the parser), which is not moved or freed; the
 *       request's bytes are those before query_start
 *   C2  sendable + sealed_bytes + open_bytes <= output_bytes(output); the rest came in this tick
 *   C3  open_bytes > 0 only while sealed_bytes > 0 */
struct conn {
    uv_poll_t watcher;
    struct conns *conns;
    int fd;
    struct tls_stream *tls; /* owned; NULL: plain bytes */
    int watched;            /* UV_READABLE… that libuv watches for, 0: none */
    uint32_t state;         /* CONN_* */

    /* Input */
    uint8_t *query; /* owned; NULL: nothing unread */
    size_t query_start;
    size_t query_end;
    size_t query_capacity;
    size_t input_bytes; /* all bytes of the buffer in use, while CONN_RUNNING */
    struct resp_parser parser;

    /* Output, in the order of the bytes */
    struct output output;
    size_t sendable;     /* bytes that may be sent */
    size_t sealed_bytes; /* bytes that wait for the journal to be durable up to sealed_offset */
    size_t open_bytes;   /* bytes that wait for open_offset */
    uint64_t sealed_offset;
    uint64_t open_offset;
    uint64_t released_round; /* conns->release_round when its last reply was released */

    struct conn_link flush;   /* in conns->flush: output may have to be sent */
    struct conn_link ready;   /* in conns->ready: unread requests may be run */
    struct conn_link gated;   /* in conns->gated: sealed_bytes > 0 */
    struct conn_link closing; /* in conns->closing */
    struct conn_link held;    /* in conns->held */
    struct conn_link unread;  /* in conns->unread: its TLS stream has bytes that no poll tells of */
    struct conn_link all;     /* in conns->all */

    struct session session;
    int64_t last_io_at_ms;
    int64_t soft_limit_since_ms; /* output beyond the soft limit since then; 0: it is not */
    int64_t extra_memory;        /* conn_add_memory */
    size_t counted_memory;       /* part of conns->memory[counted_class] */
    enum config_client_class counted_class;
    char *peer_address;  /* owned */
    char *local_address; /* owned; NULL: not asked for yet */
    bool local;
};

#define CONN_PEAK_SLOTS 8

struct conns {
    const struct config *config;
    const struct acl *acl;
    struct exec *exec;
    struct loop *loop;
    struct stats *stats;
    const struct command_table *commands;

    uint8_t *shared; /* owned; CONN_READ_BYTES_MAX bytes; NULL after a connection has taken it */
    struct output_pool output_pool;

    struct conn_link flush;
    struct conn_link ready;
    struct conn_link gated;
    struct conn_link closing;
    struct conn_link held;
    struct conn_link unread;
    struct conn_link all;
    size_t count;
    size_t blocked;
    size_t suspended;
    uint64_t next_id;
    uint64_t durable_seen;  /* exec_gate's `durable` when `gated` was last looked through */
    uint64_t release_round; /* counts these looks */
    size_t released;        /* connections that no longer waited after the last one */
    size_t away;            /* of them, those that have not had another reply made since */
    bool gathered;          /* exec was told that they are back */

    struct conn **by_id; /* owned; open addressing by id, a power of two of places */
    size_t by_id_capacity;

    enum conns_pause pause;
    int64_t pause_until_ms;
    struct loop_timer *pause_timer; /* owned; runs while there is a pause */
    conns_unblock_fn *unblock;      /* NULL: nothing blocks */
    void *unblock_arg;

    int64_t http_logged_at_ms;   /* 0: never */
    uint64_t tick_started_us;    /* first event of this tick; 0: none yet */
    uint64_t tick_commands;      /* how many had run then */
    struct conn_link *cron_next; /* where conns_cron goes on; &all: from the start */
    size_t memory[CONFIG_CLIENT_CLASS_COUNT];
    size_t input_peaks[CONN_PEAK_SLOTS]; /* per second modulo CONN_PEAK_SLOTS */
    size_t output_peaks[CONN_PEAK_SLOTS];
    size_t peak_slot;
};

#define CONN_OF(link, member) ((struct conn *)((char *)(link)-offsetof(struct conn, member)))

/* conn.c */
/* Tells libuv which events matter now. */
void conn_watch(struct conn *conn);
void conn_log(int level, const char *what, struct conn *conn);

/* What a socket is ready for. */
void conn_on_events(struct conn *conn, bool writable, bool readable, bool disconnected);
/* Runs unread requests of those that may go on, one turn each. */
void conns_run_ready(struct conns *conns);
/* Sends what may be sent. */
void conns_send(struct conns *conns);
/* Closes and frees; no request of the connection may be running. */
void conn_close_now(struct conn *conn);

/* conn_read.c */
void conn_read(struct conn *conn);
/* Reads what TLS streams hold. */
void conns_read_unread(struct conns *conns);
/* Runs unread requests of a connection that may run. */
void conn_run_unread(struct conn *conn);
void conn_on_resumed(void *conns, struct session *session);
void conn_on_blocked(void *conns, struct session *session);
/* Exec waits for nothing on its behalf any more. */
static inline void conn_stop_waiting(struct conn *conn)
{
    if ((conn->state & CONN_BLOCKED) != 0)
        conn->conns->blocked--;
    else if ((conn->state & CONN_SUSPENDED) != 0)
        conn->conns->suspended--;
    conn->state &= ~(uint32_t)(CONN_SUSPENDED | CONN_BLOCKED);
}
static inline size_t conn_unread(const struct conn *conn)
{
    return conn->query_end - conn->query_start;
}

/* conn_pause.c */
void conns_pause_init(struct conns *conns);
void conns_pause_deinit(struct conns *conns);
/* True: the request that was just parsed has to wait; the connection is in CONN_HELD then. */
bool conn_hold(struct conn *conn);
void conn_forget_held(struct conn *conn);

/* conn_write.c */
/* Sends what may be sent and decides whether the connection is done. `gate` is for the bytes that
 * came since the last time. */
void conn_write(struct conn *conn, const struct exec_gate *gate);
/* Lets go what waited for the journal. */
void conn_open_gates(struct conns *conns, const struct exec_gate *gate);
/* The connection has made a reply since it was released, or ends. */
void conn_note_back(struct conn *conn);
/* Tells exec once when half of those that were released are back. */
void conns_tell_gathered(struct conns *conns);

/* conn_info.c */
void conn_set_peer(struct conn *conn, const struct sockaddr *peer);
/* What the output-buffer limits are held against. */
size_t conn_output_memory(const struct conn *conn);

/* conn_cron.c */
void conn_check_output_limit(struct conn *conn);
void conn_count_memory(struct conn *conn);
void conn_uncount_memory(struct conn *conn);
/* maxmemory-clients. */
void conns_evict(struct conns *conns);

#endif
