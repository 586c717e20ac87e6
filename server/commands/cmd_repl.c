/* SYNC, PSYNC, REPLCONF and ROLE: of a server that others follow; REPLICAOF and FAILOVER of one
 * that is nobody's replica itself. Source: replication.c of Redis 7.2. */
#include "codec/number.h"
#include "codec/split_args.h"
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/output.h"
#include "server/replicas.h"
#include "server/services.h"
#include "server/session.h"
#include "storage/journal.h"
#include "storage/rdb_dataset.h"

#include <stdio.h>
#include <string.h>

#define PORT_MAX 65535

static void count_online(void *arg, const struct replica_state *state)
{
    *(uint64_t *)arg += strcmp(state->state, "online") == 0;
}

static void tell_role(void *arg, const struct replica_state *state)
{
    struct reply *reply = arg;
    if (strcmp(state->state, "online") != 0)
        return;
    reply_array(reply, 3);
    reply_bulk_text(reply, state->address);
    reply_bulk_integer(reply, state->port);
    reply_bulk_integer(reply, (int64_t)state->acknowledged);
}

static void cmd_role(struct call *c)
{
    struct journal_stats journal;
    const struct replicas *replicas = c->services->replicas;
    uint64_t online = 0;
    journal_read_stats(c->services->journal, &journal);
    replicas_visit(replicas, count_online, &online);
    reply_array(c->reply, 3);
    reply_bulk_text(c->reply, "master");
    reply_integer(c->reply, (int64_t)journal.end);
    reply_array(c->reply, online);
    replicas_visit(replicas, tell_role, c->reply);
}

/* ---- Those that follow ------------------------------------------------------------------------
 */

/* Replies that are still to be sent would stand in the middle of the file. */
static bool may_sync(struct call *c)
{
    if (c->session->conn == NULL)
        return false;
    if ((c->session->flags & SESSION_REPLICA) == 0 && output_bytes(c->reply->out) != 0) {
        reply_error(c->reply, "ERR SYNC and PSYNC are invalid with pending output");
        return false;
    }
    return true;
}

static void cmd_sync(struct call *c)
{
    if (may_sync(c))
        replicas_sync(c->services->replicas, c->session);
}

static void cmd_psync(struct call *c)
{
    int64_t offset;
    if (call_arg_i64(c, 2, &offset) && may_sync(c))
        replicas_psync(c->services->replicas, c->session, c->argv[1], offset);
}

static void acknowledge(struct call *c)
{
    int64_t offset, synced = 0;
    if (!number_parse_i64(c->argv[2], &offset) || offset < 0)
        return;
    bool told = c->argc > 4 && call_arg_is(c, 3, "fack");
    if (told && (!number_parse_i64(c->argv[4], &synced) || synced < 0))
        return;
    replicas_acknowledge(c->session, (uint64_t)offset, (uint64_t)synced);
}

/* The names of what is wanted of an RDB file; of nothing else there is anything in it. */
static bool filter(struct call *c, struct replica_facts *facts, struct bytes names)
{
    struct split_args args;
    if (!split_args(names, &args)) {
        reply_error(c->reply, "ERR Missing rdb-filter-only values");
        return false;
    }
    bool known = true;
    facts->leave_out |= RDB_LEAVE_OUT_KEYS | RDB_LEAVE_OUT_LIBRARIES;
    for (size_t i = 0; i < args.count && known; i++) {
        known = bytes_equal_nocase(args.items[i], "functions");
        if (known)
            facts->leave_out &= ~RDB_LEAVE_OUT_LIBRARIES;
        else
            reply_error_format(c->reply, "ERR Unsupported rdb-filter-only option: %.*s",
                               (int)(args.items[i].len < 128 ? args.items[i].len : 128),
                               args.items[i].data);
    }
    split_args_deinit(&args);
    return known;
}

/* One option of REPLCONF; false: it was refused. */
static bool configure(struct call *c, int i)
{
    struct replica_facts *facts = replicas_facts(c->services->replicas, c->session);
    int64_t value;
    if (call_arg_is(c, i, "listening-port")) {
        if (!call_arg_range(c, i + 1, 0, PORT_MAX, &value, NULL))
            return false;
        facts->port = (int)value;
    } else if (call_arg_is(c, i, "ip-address")) {
        struct bytes address = c->argv[i + 1];
        if (address.len >= sizeof(facts->address)) {
            reply_error_format(c->reply,
                               "ERR REPLCONF ip-address provided by replica instance is too long: "
                               "%zu bytes",
                               address.len);
            return false;
        }
        memcpy(facts->address, address.data, address.len);
        facts->address[address.len] = '\0';
    } else if (call_arg_is(c, i, "rdb-only")) {
        if (!call_arg_range(c, i + 1, 0, 1, &value, NULL))
            return false;
        facts->rdb_only = value != 0;
    } else if (call_arg_is(c, i, "rdb-filter-only")) {
        return filter(c, facts, c->argv[i + 1]);
    } else if (!call_arg_is(c, i, "capa") && !call_arg_is(c, i, "version")) {
        reply_error_format(c->reply, "ERR Unrecognized REPLCONF option: %.*s",
                           (int)(c->argv[i].len < 128 ? c->argv[i].len : 128), c->argv[i].data);
        return false;
    }
    return true;
}

/* ACK and GETACK get no reply. */
static void cmd_replconf(struct call *c)
{
    if (c->session->conn == NULL) /* what the journal has of replicas_ask */
        return;
    if (c->argc % 2 == 0) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    if (c->argc >= 3 && (call_arg_is(c, 1, "ack") || call_arg_is(c, 1, "getack"))) {
        if (call_arg_is(c, 1, "ack"))
            acknowledge(c);
        return;
    }
    for (int i = 1; i < c->argc; i += 2)
        if (!configure(c, i))
            return;
    reply_ok(c->reply);
}

/* ---- Nobody's replica --------------------------------------------------------------------------
 */

static void cmd_replicaof(struct call *c)
{
    if (call_arg_is(c, 1, "no") && call_arg_is(c, 2, "one")) {
        reply_ok(c->reply); /* it is */
        return;
    }
    int64_t port;
    if (!call_arg_range(c, 2, 0, PORT_MAX, &port, "ERR Invalid master port"))
        return;
    reply_error(c->reply, "ERR this server cannot be a replica: it can only have replicas");
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
    {.name = "psync",
     .handler = cmd_psync,
     .arity = -3,
     .flags = CMD_NO_ASYNC_LOADING | CMD_ADMIN | CMD_NO_MULTI | CMD_NOSCRIPT,
     .group = "server",
     .since = "2.8.0",
     .summary = "An internal command used in replication.",
     .args = ARGS(ARG("replicationid", STRING), ARG("offset", INTEGER))},
    {.name = "replconf",
     .handler = cmd_replconf,
     .arity = -1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_ALLOW_BUSY | CMD_SYSCMD,
     .group = "server",
     .since = "3.0.0",
     .complexity = "O(1)",
     .summary = "An internal command for configuring the replication stream."},
    {.name = "sync",
     .handler = cmd_sync,
     .arity = 1,
     .flags = CMD_NO_ASYNC_LOADING | CMD_ADMIN | CMD_NO_MULTI | CMD_NOSCRIPT,
     .group = "server",
     .since = "1.0.0",
     .summary = "An internal command used in replication."},
    {.name = NULL},
};
