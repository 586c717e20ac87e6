/* CONFIG, over config.h. Source: config.c of Redis 7.2 for replies. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/exec.h"
#include "server/log.h"
#include "server/services.h"
#include "server/stats.h"
#include "storage/store.h"

#include "codec/mem.h"

static void reply_setting(void *arg, struct bytes name, struct bytes value)
{
    struct reply *reply = arg;
    reply_bulk(reply, name);
    reply_bulk(reply, value);
}

static void cmd_config_get(struct call *c)
{
    const struct config *config = c->services->config;
    const struct bytes *patterns = c->argv + 2;
    size_t pattern_count = (size_t)c->argc - 2;
    reply_map(c->reply, config_get(config, patterns, pattern_count, NULL, NULL));
    (void)config_get(config, patterns, pattern_count, reply_setting, c->reply);
}

static void reply_set_failure(struct call *c, enum status st, const struct err *err)
{
    if (st == ST_AGAIN)
        reply_error_id(c->reply, ERROR_LOADING);
    else
        reply_error_format(c->reply, "ERR %s", err->message);
}

static void cmd_config_set(struct call *c)
{
    if (c->argc % 2 != 0) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    size_t count = (size_t)(c->argc - 2) / 2;
    struct config_pair *pairs = mem_calloc(count, sizeof *pairs);
    for (size_t i = 0; i < count; i++)
        pairs[i] = (struct config_pair){.name = c->argv[2 + 2 * i], .value = c->argv[3 + 2 * i]};
    struct config_set_context context = {
        .client_is_local = c->session->conn == NULL || conn_is_local(c->session->conn),
        .loading = exec_loading(c->exec),
    };
    struct err err;
    enum status st = config_set(c->services->config, pairs, count, &context, &err);
    mem_free(pairs);
    if (st == ST_OK)
        reply_ok(c->reply);
    else
        reply_set_failure(c, st, &err);
}

static void cmd_config_resetstat(struct call *c)
{
    stats_reset(c->services->stats);
    exec_reset_stats(c->exec);
    store_reset_reclaimed(c->services->store);
    reply_ok(c->reply);
}

static void cmd_config_rewrite(struct call *c)
{
    struct err err;
    enum status st = config_rewrite(c->services->config, false, &err);
    if (st == ST_OK) {
        log_write(LOG_NOTICE, "CONFIG REWRITE executed with success.");
        reply_ok(c->reply);
    } else if (st == ST_INVALID) {
        reply_error_format(c->reply, "ERR %s", err.message);
    } else {
        log_write(LOG_WARNING, "CONFIG REWRITE failed: %s", err.message);
        reply_error_format(c->reply, "ERR Rewriting config file: %s", err.message);
    }
}

static void cmd_config_help(struct call *c)
{
    static const char *const lines[] = {
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
        NULL,
    };
    reply_help(c->reply, "CONFIG", lines);
}

const struct command cmd_config_table[] = {
    {.name = "config",
     .arity = -2,
     .group = "server",
     .since = "2.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for server configuration commands."},
    {.name = "config|get",
     .handler = cmd_config_get,
     .arity = -3,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.0.0",
     .complexity = "O(N) when N is the number of configuration parameters provided",
     .summary = "Returns the effective values of configuration parameters.",
     .history = TEXTS("7.0.0", "Added the ability to pass multiple pattern parameters in one call"),
     .args = ARGS(ARG("parameter", STRING, .flags = ARG_MULTIPLE))},
    {.name = "config|help",
     .handler = cmd_config_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "config|resetstat",
     .handler = cmd_config_resetstat,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Resets the server's statistics.",
     .tips = TEXTS("request_policy:all_nodes", "response_policy:all_succeeded")},
    {.name = "config|rewrite",
     .handler = cmd_config_rewrite,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.8.0",
     .complexity = "O(1)",
     .summary = "Persists the effective configuration to file.",
     .tips = TEXTS("request_policy:all_nodes", "response_policy:all_succeeded")},
    {.name = "config|set",
     .handler = cmd_config_set,
     .arity = -4,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.0.0",
     .complexity = "O(N) when N is the number of configuration parameters provided",
     .summary = "Sets configuration parameters in-flight.",
     .tips = TEXTS("request_policy:all_nodes", "response_policy:all_succeeded"),
     .history = TEXTS("7.0.0", "Added the ability to set multiple parameters in one call."),
     .args = ARGS(ARG("data", BLOCK, .flags = ARG_MULTIPLE,
                      .children = ARGS(ARG("parameter", STRING), ARG("value", STRING))))},
    {.name = NULL},
};
