/* A migration belongs to the main thread until it is started and once it is over; in between to its
 * job. It is freed by whoever of the two is last to let go of it. */
#include "server/migrations.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "server/loop.h"
#include "server/peer_link.h"
#include "server/tls.h"
#include "storage/executor.h"

#include <stdio.h>

#define MIGRATION_THREADS 4 /* more migrations at a time wait for their turn */
#define ERROR_BYTES_MAX   (PEER_LINE_BYTES_MAX + 64)

struct migrations {
    struct executor *executor; /* NULL before the first migration */
    struct loop_wakeup *wakeup;
};

struct migration {
    struct job job;
    char *host, *port;      /* owned */
    struct tls_stream *tls; /* owned until the job has begun */
    int64_t timeout_ms;
    bool replace;
    struct buf greeting; /* AUTH, SELECT */
    size_t greeting_count;
    struct buf request; /* RESTORE of each key */
    size_t count;
    struct buf taken; /* a byte for each key */
    char error[ERROR_BYTES_MAX];
    struct loop_wakeup *wakeup; /* borrowed from migrations */
    atomic_bool cancelled;
    atomic_bool over;
    atomic_int owners;
};

struct migrations *migrations_create(struct loop *loop)
{
    struct migrations *migrations = mem_calloc(1, sizeof(*migrations));
    migrations->wakeup = loop_wakeup_create(loop, NULL, NULL);
    return migrations;
}

void migrations_destroy(struct migrations *migrations)
{
    if (migrations == NULL)
        return;
    executor_destroy(migrations->executor);
    loop_wakeup_destroy(migrations->wakeup);
    mem_free(migrations);
}

/* ---- The request. */

static void put_head(struct buf *out, char kind, size_t value)
{
    buf_append_format(out, "%c%zu\r\n", kind, value);
}

static void put_arg(struct buf *out, struct bytes arg)
{
    put_head(out, '$', arg.len);
    buf_append_bytes(out, arg);
    buf_append_text(out, "\r\n");
}

static void put_number(struct buf *out, int64_t value)
{
    char digits[NUMBER_I64_CHARS_MAX];
    put_arg(out, bytes_make(digits, number_format_i64(value, digits)));
}

/* Up to the first zero byte, if there is one. */
static char *copy_text(struct bytes text)
{
    char *copy = mem_calloc(1, text.len + 1);
    if (text.len != 0)
        memcpy(copy, text.data, text.len);
    return copy;
}

struct migration *migration_create(const struct migration_options *options)
{
    struct migration *m = mem_calloc(1, sizeof(*m));
    m->host = copy_text(options->host);
    m->port = copy_text(options->port);
    m->timeout_ms = options->timeout_ms;
    m->tls = options->tls;
    m->replace = options->replace;
    atomic_init(&m->cancelled, false);
    atomic_init(&m->over, false);
    atomic_init(&m->owners, 1);
    if (options->auth) {
        put_head(&m->greeting, '*', options->auth_user ? 3 : 2);
        put_arg(&m->greeting, bytes_text("AUTH"));
        if (options->auth_user)
            put_arg(&m->greeting, options->user);
        put_arg(&m->greeting, options->password);
        m->greeting_count++;
    }
    put_head(&m->greeting, '*', 2);
    put_arg(&m->greeting, bytes_text("SELECT"));
    put_number(&m->greeting, options->db);
    m->greeting_count++;
    return m;
}

void migration_add(struct migration *m, struct bytes key, int64_t ttl_ms, struct bytes payload)
{
    put_head(&m->request, '*', m->replace ? 5 : 4);
    put_arg(&m->request, bytes_text("RESTORE"));
    put_arg(&m->request, key);
    put_number(&m->request, ttl_ms);
    put_arg(&m->request, payload);
    if (m->replace)
        put_arg(&m->request, bytes_text("REPLACE"));
    buf_append_byte(&m->taken, 0);
    m->count++;
}

size_t migration_count(const struct migration *m)
{
    return m->count;
}

size_t migration_bytes(const struct migration *m)
{
    return m->request.len;
}

/* ---- On the thread. */

static void fail(struct migration *m, const char *text)
{
    if (m->error[0] == 0)
        (void)snprintf(m->error, sizeof(m->error), "%s", text);
}

/* ST_OK: `*good_out` tells whether it was no error. Only a status reply is good: what answers in
 * another way does not understand us. */
static enum status read_reply(struct migration *m, struct peer_link *link, struct buf *line,
                              bool *good_out)
{
    enum status st = peer_link_read_line(link, line);
    if (st != ST_OK)
        return st;
    char kind = line->len == 0 ? 0 : (char)line->data[0];
    if (kind != '+' && kind != '-')
        return ST_INVALID;
    *good_out = kind == '+';
    if (kind == '-' && m->error[0] == 0)
        (void)snprintf(m->error, sizeof(m->error), "ERR Target instance replied with error: %.*s",
                       (int)(line->len - 1), (const char *)line->data + 1);
    return ST_OK;
}

/* False: it has failed, or the target does not let us in. */
static bool greet(struct migration *m, struct peer_link *link, struct buf *line)
{
    if (peer_link_write(link, buf_bytes(&m->greeting)) != ST_OK) {
        fail(m, "IOERR error or timeout writing to target instance");
        return false;
    }
    bool welcome = true;
    for (size_t i = 0; i < m->greeting_count; i++) {
        bool good = false;
        if (read_reply(m, link, line, &good) != ST_OK) {
            fail(m, "IOERR error or timeout reading to target instance");
            return false;
        }
        welcome = welcome && good;
    }
    return welcome;
}

static void send_all(struct migration *m, struct peer_link *link, struct buf *line)
{
    if (peer_link_write(link, buf_bytes(&m->request)) != ST_OK) {
        fail(m, "IOERR error or timeout writing to target instance");
        return;
    }
    for (size_t i = 0; i < m->count; i++) {
        bool good = false;
        if (read_reply(m, link, line, &good) != ST_OK) {
            fail(m, "IOERR error or timeout reading to target instance");
            return;
        }
        m->taken.data[i] = good;
    }
}

static void let_go(struct migration *m)
{
    if (atomic_fetch_sub(&m->owners, 1) != 1)
        return;
    mem_free(m->host);
    mem_free(m->port);
    tls_stream_destroy(m->tls);
    buf_deinit(&m->greeting);
    buf_deinit(&m->request);
    buf_deinit(&m->taken);
    mem_free(m);
}

static void run(struct job *job)
{
    struct migration *m = (struct migration *)job; /* its first member */
    struct peer_link link = {
        .fd = -1, .tls = m->tls, .timeout_ms = m->timeout_ms, .cancelled = &m->cancelled};
    struct buf line = {0};
    m->tls = NULL;
    if (atomic_load(&m->cancelled) || peer_link_open(&link, m->host, m->port) != ST_OK)
        fail(m, "IOERR error or timeout connecting to the client");
    else if (greet(m, &link, &line))
        send_all(m, &link, &line);
    peer_link_close(&link);
    buf_deinit(&line);
    struct loop_wakeup *wakeup = m->wakeup;
    atomic_store(&m->over, true);
    loop_wakeup_signal(wakeup);
    let_go(m);
}

/* ---- Its course. */

void migration_start(struct migrations *migrations, struct migration *m)
{
    if (migrations->executor == NULL)
        migrations->executor = executor_create("migrate", MIGRATION_THREADS, NULL);
    m->wakeup = migrations->wakeup;
    m->job.run = run;
    atomic_fetch_add(&m->owners, 1);
    executor_submit(migrations->executor, &m->job);
}

const atomic_bool *migration_over(const struct migration *m)
{
    return &m->over;
}

const char *migration_error(const struct migration *m)
{
    CHECK(atomic_load(&m->over));
    return m->error[0] == 0 ? NULL : m->error;
}

bool migration_was_taken(const struct migration *m, size_t index)
{
    CHECK(atomic_load(&m->over));
    CHECK(index < m->count);
    return m->taken.data[index] != 0;
}

void migration_drop(struct migration *m)
{
    atomic_store(&m->cancelled, true);
    let_go(m);
}
