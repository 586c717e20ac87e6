/* WAIT and WAITAOF: wait until the client's writes have reached replicas and the disk. Source:
 * replication.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/replicas.h"
#include "server/services.h"
#include "server/session.h"
#include "storage/journal.h"

static bool parse_timeout(struct call *c, int arg, int64_t *out)
{
    if (!call_arg_range(c, arg, INT64_MIN, INT64_MAX, out,
                        "ERR timeout is not an integer or out of range"))
        return false;
    if (*out < 0) {
        reply_error(c->reply, "ERR timeout is negative");
        return false;
    }
    if (*out > INT64_MAX - c->now_ms) {
        reply_error(c->reply, "ERR timeout is out of range");
        return false;
    }
    return true;
}

/* How many replicas have the client's writes. */
static size_t count_replicas(struct call *c, bool synced)
{
    return replicas_count(c->services->replicas, c->session->write_offset, synced);
}

/* Waits for nothing but its timeout, and is asked again each time that a replica may have answered.
 * False: wait on. */
static bool wait_timeout(struct call *c, int64_t timeout_ms)
{
    if (c->pending == NULL && replicas_any(c->services->replicas) && call_may_block(c))
        replicas_ask(c->services->replicas);
    return call_wait_journal(c, UINT64_MAX, timeout_ms);
}

static void cmd_wait(struct call *c)
{
    int64_t replicas, timeout_ms;
    if (!call_arg_i64(c, 1, &replicas) || !parse_timeout(c, 2, &timeout_ms))
        return;
    if (replicas > (int64_t)count_replicas(c, false) && !wait_timeout(c, timeout_ms))
        return;
    reply_integer(c->reply, (int64_t)count_replicas(c, false));
}

struct waitaof {
    int64_t local;    /* 0 or 1 */
    int64_t replicas; /* how many are to have it on disk */
    int64_t timeout_ms;
};

static bool parse_waitaof(struct call *c, struct waitaof *out)
{
    if (!call_arg_range(c, 1, 0, 1, &out->local, NULL))
        return false;
    if (!call_arg_range(c, 2, 0, INT64_MAX, &out->replicas,
                        "ERR value is out of range, must be positive"))
        return false;
    return parse_timeout(c, 3, &out->timeout_ms);
}

static void cmd_waitaof(struct call *c)
{
    struct waitaof wait;
    if (!parse_waitaof(c, &wait))
        return;
    uint64_t offset = c->session->write_offset;
    if (wait.replicas > (int64_t)count_replicas(c, true) && !wait_timeout(c, wait.timeout_ms))
        return;
    if (wait.local != 0 && !call_wait_journal(c, offset, wait.timeout_ms))
        return;
    reply_array(c->reply, 2);
    reply_integer(c->reply, journal_durable(c->services->journal) >= c->session->write_offset);
    reply_integer(c->reply, (int64_t)count_replicas(c, true));
}

const struct command cmd_wait_table[] = {
    {.name = "wait",
     .handler = cmd_wait,
     .arity = 3,
     .acl = ACL_CONNECTION,
     .group = "generic",
     .since = "3.0.0",
     .complexity = "O(1)",
     .summary = "Blocks until the asynchronous replication of all preceding write commands sent by "
                "the connection is completed.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:agg_min"),
     .args = ARGS(ARG("numreplicas", INTEGER), ARG("timeout", INTEGER))},
    {.name = "waitaof",
     .handler = cmd_waitaof,
     .arity = 4,
     .flags = CMD_NOSCRIPT,
     .acl = ACL_CONNECTION,
     .group = "generic",
     .since = "7.2.0",
     .complexity = "O(1)",
     .summary = "Blocks until all of the preceding write commands sent by the connection are "
                "written to the append-only file of the master and/or replicas.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:agg_min"),
     .args = ARGS(ARG("numlocal", INTEGER), ARG("numreplicas", INTEGER), ARG("timeout", INTEGER))},
    {.name = NULL},
};
