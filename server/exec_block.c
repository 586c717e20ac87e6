/* Requests that wait for keys (call_block): what the executor does for them beside blocking.c,
 * which knows who waits for what. A blocked request owns its arguments, so that its connection need
 * not keep them. */
#include "server/exec_internal.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "server/blocking.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/loop.h"
#include "server/services.h"
#include "server/stats.h"

#include <math.h>

/* ---- Serving -----------------------------------------------------------------------------------
 */

static enum blocked_result serve(void *arg, void *owner)
{
    (void)arg;
    struct pending *p = owner;
    switch (exec_retry(p)) {
    case EXEC_DONE:
        exec_finish(p);
        return BLOCKED_ENDED;
    case EXEC_BLOCKED:
        return BLOCKED_STILL;
    case EXEC_SUSPENDED:
        return BLOCKED_LOADING;
    }
    return BLOCKED_STILL;
}

static enum object_type type_of(void *arg, uint32_t db_number, struct bytes key)
{
    struct exec *exec = arg;
    struct db *db = ks_db(exec->ks, db_number);
    struct keyref ref;
    ks_ref(exec->ks, db, key, &ref);
    const struct object *o = ref.object;
    if (o != NULL && object_has_expire(o) && o->expire_at_ms <= exec->now_ms)
        return OBJECT_NONE; /* it is left to be deleted by somebody who asks for it */
    if (o != NULL)
        return (enum object_type)o->type;
    return db->cold_count == 0 ? OBJECT_NONE : BLOCKING_TYPE_UNKNOWN;
}

/* While clients are paused nothing must change the dataset: they are served when it is over. */
void exec_serve_blocked(struct exec *exec)
{
    if (__builtin_expect(!blocking_is_ready(exec->blocking), 1))
        return;
    const struct conns *conns = exec->services->conns;
    if (conns == NULL || conns_paused(conns) == CONNS_RUN)
        blocking_serve(exec->blocking);
}

bool exec_stays_blocked(struct call *c)
{
    return !blocking_is_for(c->exec->blocking, c->pending->blocked);
}

/* ---- Ends --------------------------------------------------------------------------------------
 */

void exec_end_blocked(struct pending *p, const char *error)
{
    struct exec *exec = p->exec;
    struct session *session = p->session;
    session->reply.failed = false;
    if (error == NULL)
        reply_null_array(&session->reply);
    else
        reply_error(&session->reply, error);
    stats_count_command(exec->stats, p->command->id, 0, exec->config->latency_tracking);
    if (error != NULL) {
        exec->stats->commands[p->command->id].failed++;
        stats_count_error(exec->stats, session->reply.error_code);
        exec->stats->error_replies++;
    }
    exec_finish(p);
}

static void set_timer(struct exec *exec)
{
    int64_t due_ms = blocking_next_deadline_ms(exec->blocking);
    if (due_ms == exec->block_timer_ms)
        return;
    exec->block_timer_ms = due_ms;
    if (due_ms == INT64_MAX) {
        loop_timer_stop(exec->block_timer);
        return;
    }
    int64_t now_ms = loop_now_ms(exec->services->loop);
    loop_timer_start(exec->block_timer, due_ms > now_ms ? (uint64_t)(due_ms - now_ms) : 0, 0);
}

/* The loop's clock may run a little ahead of ours: then the rest is waited for, too. */
static void on_timer(void *arg)
{
    struct exec *exec = arg;
    exec_refresh_time(exec);
    for (void *due; (due = blocking_find_due(exec->blocking, exec->mono_ms)) != NULL;)
        exec_end_blocked(due, NULL);
    exec->block_timer_ms = INT64_MAX;
    set_timer(exec);
    exec_serve_blocked(exec);
}

void exec_block_open(struct exec *exec)
{
    struct blocking_options options = {
        .hash_seed = ks_hash_seed(exec->ks), .serve = serve, .type_of = type_of, .arg = exec};
    exec->blocking = blocking_create(&options);
    exec->block_timer_ms = INT64_MAX;
}

void exec_block_close(struct exec *exec)
{
    blocking_destroy(exec->blocking);
    loop_timer_destroy(exec->block_timer);
}

void exec_block_forget(struct pending *p)
{
    struct exec *exec = p->exec;
    if (p->blocked != NULL) {
        bool had_deadline = blocking_next_deadline_ms(exec->blocking) != INT64_MAX;
        blocking_remove(exec->blocking, p->blocked);
        p->blocked = NULL;
        if (had_deadline)
            set_timer(exec);
        /* A connection that went away may have stalled a key. */
        if (blocking_is_ready(exec->blocking) && exec->services->loop != NULL)
            loop_again(exec->services->loop);
    }
    if (p->own_argv != NULL && p->session->conn != NULL)
        conn_add_memory(p->session->conn, -p->own_bytes);
    mem_free(p->own_argv);
    p->own_argv = NULL;
}

/* ---- Beginnings --------------------------------------------------------------------------------
 */

/* Copies a request into one allocation: the argument vector, the bytes behind it. */
static void keep_request(struct pending *p, const struct bytes *argv, int argc)
{
    size_t bytes = (size_t)argc * sizeof(*argv);
    size_t at = bytes;
    for (int i = 0; i < argc; i++)
        bytes += argv[i].len;
    struct bytes *own = mem_alloc(bytes);
    for (int i = 0; i < argc; i++) {
        uint8_t *place = (uint8_t *)own + at;
        if (argv[i].len != 0)
            memcpy(place, argv[i].data, argv[i].len);
        own[i] = bytes_make(place, argv[i].len);
        at += argv[i].len;
    }
    p->own_argv = own;
    p->own_bytes = (int64_t)bytes;
    p->argv = own;
    p->argc = argc;
    p->raw = bytes_make(NULL, 0);
    if (p->session->conn != NULL)
        conn_add_memory(p->session->conn, p->own_bytes);
}

static int64_t deadline_ms(const struct exec *exec, int64_t timeout_ms)
{
    return timeout_ms == 0 ? INT64_MAX : exec->mono_ms + timeout_ms;
}

void call_block(struct call *c, const struct call_block *how)
{
    CHECK(call_may_block(c));
    CHECK(how->key_count > 0);
    CHECK(how->first_key + how->key_count <= c->key_count);
    c->waiting = true;
    c->blocks = true;
    struct exec *exec = c->exec;
    struct pending *p = exec_pending(c);
    if (p->blocked != NULL)
        return;
    struct bytes *keys = mem_alloc((size_t)how->key_count * sizeof(*keys));
    for (int i = 0; i < how->key_count; i++)
        keys[i] = c->keys[how->first_key + i].key;
    struct blocked_options options = {.owner = p,
                                      .db = c->session->db,
                                      .type = how->type,
                                      .on_delete = how->on_delete,
                                      .deadline_ms = deadline_ms(exec, how->timeout_ms)};
    p->blocked = blocking_add(exec->blocking, &options, keys, how->key_count);
    mem_free(keys);
    if (exec->block_timer == NULL && how->timeout_ms != 0)
        exec->block_timer = loop_timer_create(exec->services->loop, on_timer, exec);
    if (how->timeout_ms != 0)
        set_timer(exec);
    if (how->argv != NULL)
        keep_request(p, how->argv, how->argc);
    else
        keep_request(p, c->argv, c->argc);
}

enum exec_result exec_block(struct call *c)
{
    struct pending *p = c->pending;
    CHECK(c->changes == 0);
    load_wait_release(c->exec->loader, &p->wait);
    CHECK(p->wait.outstanding == 0);
    exec_end_wait(p);
    if ((c->session->flags & SESSION_SUSPENDED) != 0) {
        c->session->flags &= ~(uint32_t)SESSION_SUSPENDED;
        c->exec->counters.suspended_now--;
    }
    c->session->flags |= SESSION_BLOCKED;
    return EXEC_BLOCKED;
}

/* ---- Timeouts ----------------------------------------------------------------------------------
 */

static bool check_timeout(struct call *c, int64_t timeout_ms, int64_t *timeout_ms_out)
{
    if (timeout_ms < 0) {
        reply_error(c->reply, "ERR timeout is negative");
        return false;
    }
    if (timeout_ms > INT64_MAX - c->now_ms) {
        reply_error(c->reply, "ERR timeout is out of range");
        return false;
    }
    *timeout_ms_out = timeout_ms;
    return true;
}

bool call_arg_timeout(struct call *c, int arg, int64_t *timeout_ms_out)
{
    long double seconds;
    if (!number_parse_long_double(c->argv[arg], &seconds)) {
        reply_error(c->reply, "ERR timeout is not a float or out of range");
        return false;
    }
    long double ms = ceill(seconds * 1000);
    if (ms >= 0x1p63L) {
        reply_error(c->reply, "ERR timeout is out of range");
        return false;
    }
    return check_timeout(c, ms < 0 ? -1 : (int64_t)ms, timeout_ms_out);
}

bool call_arg_timeout_ms(struct call *c, int arg, int64_t *timeout_ms_out)
{
    int64_t ms;
    if (!number_parse_i64(c->argv[arg], &ms)) {
        reply_error(c->reply, "ERR timeout is not an integer or out of range");
        return false;
    }
    return check_timeout(c, ms, timeout_ms_out);
}
