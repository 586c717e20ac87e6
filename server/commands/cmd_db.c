/* Databases as a whole: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB. All of them take the same time whatever
 * a database holds: what was in it is dropped in the background, with SYNC too. Source: db.c of
 * Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/services.h"

#include "codec/number.h"

static void cmd_dbsize(struct call *c)
{
    if (!call_wait_exact(c, c->db))
        return;
    reply_integer(c->reply, (int64_t)db_size(c->db));
}

/* ---- FLUSHDB, FLUSHALL. */

static bool parse_flush(struct call *c)
{
    bool ok =
        c->argc == 1 || (c->argc == 2 && (call_arg_is(c, 1, "async") || call_arg_is(c, 1, "sync")));
    if (!ok)
        reply_error_id(c->reply, ERROR_SYNTAX);
    return ok;
}

/* How many keys went. */
static uint64_t flush_db(struct call *c, uint32_t number)
{
    const struct db *db = ks_db(c->ks, number);
    uint64_t keys = db_size(db);
    if (keys == 0 && db->unresolved == 0)
        return 0;
    call_db_emptied(c, number);
    ks_flush_db(c->ks, number);
    return keys;
}

/* Caches and replicas are told of it even if there was nothing to remove: they may have something.
 */
static void finish_flush(struct call *c, uint64_t keys)
{
    call_flushed(c);
    call_changed(c, keys == 0 ? 1 : keys);
    reply_ok(c->reply);
}

static void cmd_flushdb(struct call *c)
{
    if (parse_flush(c))
        finish_flush(c, flush_db(c, c->session->db));
}

static void cmd_flushall(struct call *c)
{
    if (!parse_flush(c))
        return;
    uint64_t keys = 0;
    for (uint32_t i = 0; i < ks_db_count(c->ks); i++)
        keys += flush_db(c, i);
    finish_flush(c, keys);
}

/* ---- SWAPDB. */

static bool parse_number(struct call *c, int arg, const char *error, int64_t *out)
{
    return call_arg_range(c, arg, INT32_MIN, INT32_MAX, out, error);
}

static void cmd_swapdb(struct call *c)
{
    if (c->services->config->cluster_enabled) {
        reply_error(c->reply, "ERR SWAPDB is not allowed in cluster mode");
        return;
    }
    int64_t a, b, count = ks_db_count(c->ks);
    if (!parse_number(c, 1, "ERR invalid first DB index", &a) ||
        !parse_number(c, 2, "ERR invalid second DB index", &b))
        return;
    if (a < 0 || a >= count || b < 0 || b >= count) {
        reply_error(c->reply, "ERR DB index is out of range");
        return;
    }
    if (a != b) {
        if (!call_wait_swap(c, (uint32_t)a, (uint32_t)b))
            return;
        call_dbs_swapped(c, (uint32_t)a, (uint32_t)b);
        ks_swap_db(c->ks, (uint32_t)a, (uint32_t)b);
    }
    call_changed(c, 1);
    reply_ok(c->reply);
}

const struct command cmd_db_table[] = {
    {.name = "dbsize",
     .handler = cmd_dbsize,
     .arity = 1,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Returns the number of keys in the database.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:agg_sum")},
    {.name = "flushall",
     .handler = cmd_flushall,
     .arity = -1,
     .flags = CMD_WRITE,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(N) where N is the total number of keys in all databases",
     .summary = "Removes all keys from all databases.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:all_succeeded"),
     .history = TEXTS("4.0.0", "Added the `ASYNC` flushing mode modifier.", "6.2.0",
                      "Added the `SYNC` flushing mode modifier."),
     .args = ARGS(ARG("flush-type", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("async", "ASYNC", .since = "4.0.0"),
                                       TOKEN("sync", "SYNC", .since = "6.2.0"))))},
    {.name = "flushdb",
     .handler = cmd_flushdb,
     .arity = -1,
     .flags = CMD_WRITE,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of keys in the selected database",
     .summary = "Remove all keys from the current database.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:all_succeeded"),
     .history = TEXTS("4.0.0", "Added the `ASYNC` flushing mode modifier.", "6.2.0",
                      "Added the `SYNC` flushing mode modifier."),
     .args = ARGS(ARG("flush-type", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("async", "ASYNC", .since = "4.0.0"),
                                       TOKEN("sync", "SYNC", .since = "6.2.0"))))},
    {.name = "swapdb",
     .handler = cmd_swapdb,
     .arity = 3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .group = "server",
     .since = "4.0.0",
     .complexity =
         "O(N) where N is the count of clients watching or blocking on keys from both databases.",
     .summary = "Swaps two Redis databases.",
     .args = ARGS(ARG("index1", INTEGER), ARG("index2", INTEGER))},
    {.name = NULL},
};
