/* ROLE, REPLICAOF, FAILOVER: of a server without replicas, which is nobody's replica. Source:
 * replication.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/services.h"
#include "storage/journal.h"

#define PORT_MAX 65535

static void cmd_role(struct call *c)
{
    struct journal_stats journal;
    journal_read_stats(c->services->journal, &journal);
    reply_array(c->reply, 3);
    reply_bulk_text(c->reply, "master");
    reply_integer(c->reply, (int64_t)journal.end);
    reply_array(c->reply, 0);
}

static void cmd_replicaof(struct call *c)
{
    if (call_arg_is(c, 1, "no") && call_arg_is(c, 2, "one")) {
        reply_ok(c->reply); /* it is */
        return;
    }
    int64_t port;
    if (!call_arg_range(c, 2, 0, PORT_MAX, &port, "ERR Invalid master port"))
        return;
    reply_error(c->reply, "ERR this server cannot be a replica: replication is not supported");
}

/* False: an error was replied. */
static bool parse_failover(struct call *c)
{
    bool has_timeout = false, has_target = false, force = false;
    for (int i = 1; i < c->argc; i++) {
        int more = c->argc - 1 - i;
        int64_t value;
        if (call_arg_is(c, i, "timeout") && more >= 1 && !has_timeout) {
            if (!call_arg_i64(c, ++i, &value))
                return false;
            if (value <= 0) {
                reply_error(c->reply, "ERR FAILOVER timeout must be greater than 0");
                return false;
            }
            has_timeout = true;
        } else if (call_arg_is(c, i, "to") && more >= 2 && !has_target) {
            i += 2;
            if (!call_arg_i64(c, i, &value))
                return false;
            has_target = true;
        } else if (call_arg_is(c, i, "force") && !force) {
            force = true;
        } else {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

static void cmd_failover(struct call *c)
{
    if (c->argc == 2 && call_arg_is(c, 1, "abort"))
        reply_error(c->reply, "ERR No failover in progress.");
    else if (parse_failover(c))
        reply_error(c->reply, "ERR FAILOVER requires connected replicas.");
}

const struct command cmd_repl_table[] = {
    {.name = "failover",
     .handler = cmd_failover,
     .arity = -1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_STALE,
     .group = "server",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Starts a coordinated failover from a server to one of its replicas.",
     .args = ARGS(ARG("target", BLOCK, .token = "TO", .flags = ARG_OPTIONAL,
                      .children = ARGS(ARG("host", STRING), ARG("port", INTEGER),
                                       TOKEN("force", "FORCE", .flags = ARG_OPTIONAL))),
                  TOKEN("abort", "ABORT", .flags = ARG_OPTIONAL),
                  ARG("milliseconds", INTEGER, .token = "TIMEOUT", .flags = ARG_OPTIONAL))},
    {.name = "replicaof",
     .handler = cmd_replicaof,
     .arity = 3,
     .flags = CMD_NO_ASYNC_LOADING | CMD_ADMIN | CMD_NOSCRIPT | CMD_STALE,
     .group = "server",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Configures a server as replica of another, or promotes it to a master.",
     .args = ARGS(ARG(
         "args", ONEOF,
         .children = ARGS(
             ARG("host-port", BLOCK, .children = ARGS(ARG("host", STRING), ARG("port", INTEGER))),
             ARG("no-one", BLOCK, .children = ARGS(TOKEN("no", "NO"), TOKEN("one", "ONE"))))))},
    {.name = "role",
     .handler = cmd_role,
     .arity = 1,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_SENTINEL,
     .acl = ACL_ADMIN | ACL_DANGEROUS,
     .group = "server",
     .since = "2.8.12",
     .complexity = "O(1)",
     .summary = "Returns the replication role."},
    {.name = "slaveof",
     .handler = cmd_replicaof,
     .arity = 3,
     .flags = CMD_NO_ASYNC_LOADING | CMD_ADMIN | CMD_NOSCRIPT | CMD_STALE,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Sets a Redis server as a replica of another, or promotes it to being a master.",
     .deprecated_since = "5.0.0",
     .replaced_by = "`REPLICAOF`",
     .args = ARGS(ARG(
         "args", ONEOF,
         .children = ARGS(
             ARG("host-port", BLOCK, .children = ARGS(ARG("host", STRING), ARG("port", INTEGER))),
             ARG("no-one", BLOCK, .children = ARGS(TOKEN("no", "NO"), TOKEN("one", "ONE"))))))},
    {.name = NULL},
};
