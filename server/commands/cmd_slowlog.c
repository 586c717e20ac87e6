/* SLOWLOG. An entry's duration is the time that the request took from the moment when it could have
 * run: waiting for cold data and for its turn to write is part of it; SLOWLOG TIMES, which is ours,
 * tells the parts. Source: slowlog.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/services.h"
#include "server/slowlog.h"

#define COUNT_DEFAULT 10

/* How many entries are asked for. False: an error was replied. */
static bool parse_count(struct call *c, uint64_t *count_out)
{
    int64_t count = COUNT_DEFAULT;
    if (c->argc == 3 && !call_arg_range(c, 2, -1, INT64_MAX, &count,
                                        "ERR count should be greater than or equal to -1"))
        return false;
    uint64_t len = slowlog_len(c->services->slowlog);
    *count_out = count < 0 || (uint64_t)count > len ? len : (uint64_t)count;
    return true;
}

static void reply_argv(struct call *c, const struct slowlog_entry *entry)
{
    reply_array(c->reply, (uint64_t)entry->argc);
    for (int i = 0; i < entry->argc; i++)
        reply_bulk(c->reply, entry->argv[i]);
}

static void reply_entry(struct call *c, const struct slowlog_entry *entry)
{
    reply_array(c->reply, 6);
    reply_integer(c->reply, (int64_t)entry->id);
    reply_integer(c->reply, entry->at_s);
    reply_integer(c->reply, (int64_t)slowlog_total_us(&entry->times));
    reply_argv(c, entry);
    reply_bulk(c->reply, entry->address);
    reply_bulk(c->reply, entry->name);
}

static void reply_field(struct call *c, const char *name, uint64_t value)
{
    reply_bulk_text(c->reply, name);
    reply_integer(c->reply, (int64_t)value);
}

static void reply_times(struct call *c, const struct slowlog_entry *entry)
{
    reply_map(c->reply, 6);
    reply_field(c, "id", entry->id);
    reply_field(c, "timestamp", (uint64_t)entry->at_s);
    reply_field(c, "queue-usec", entry->times.queue_us);
    reply_field(c, "load-usec", entry->times.load_us);
    reply_field(c, "run-usec", entry->times.run_us);
    reply_bulk_text(c->reply, "arguments");
    reply_argv(c, entry);
}

static void reply_entries(struct call *c,
                          void (*reply_one)(struct call *c, const struct slowlog_entry *entry))
{
    uint64_t count;
    if (!parse_count(c, &count))
        return;
    const struct slowlog_entry *entry = slowlog_newest(c->services->slowlog);
    reply_array(c->reply, count);
    for (; count > 0; count--) {
        reply_one(c, entry);
        entry = entry->older;
    }
}

static void cmd_slowlog_get(struct call *c)
{
    if (c->argc > 3)
        reply_error_subcommand_syntax(c->reply, c->argv[1], "SLOWLOG");
    else
        reply_entries(c, reply_entry);
}

static void cmd_slowlog_times(struct call *c)
{
    if (c->argc > 3)
        reply_error_subcommand_syntax(c->reply, c->argv[1], "SLOWLOG");
    else
        reply_entries(c, reply_times);
}

static void cmd_slowlog_len(struct call *c)
{
    reply_integer(c->reply, (int64_t)slowlog_len(c->services->slowlog));
}

static void cmd_slowlog_reset(struct call *c)
{
    slowlog_reset(c->services->slowlog);
    reply_ok(c->reply);
}

static void cmd_slowlog_help(struct call *c)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        "TIMES [<count>]",
        "    Return the same entries with where their time went: waiting for the turn",
        "    to write, waiting for cold data, running.",
        NULL,
    };
    reply_help(c->reply, "SLOWLOG", lines);
}

const struct command cmd_slowlog_table[] = {
    {.name = "slowlog",
     .arity = -2,
     .group = "server",
     .since = "2.2.12",
     .complexity = "Depends on subcommand.",
     .summary = "A container for slow log commands."},
    {.name = "slowlog|get",
     .handler = cmd_slowlog_get,
     .arity = -2,
     .flags = CMD_ADMIN | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.2.12",
     .complexity = "O(N) where N is the number of entries returned",
     .summary = "Returns the slow log's entries.",
     .tips = TEXTS("request_policy:all_nodes", "nondeterministic_output"),
     .history = TEXTS("4.0.0", "Added client IP address, port and name to the reply."),
     .args = ARGS(ARG("count", INTEGER, .flags = ARG_OPTIONAL))},
    {.name = "slowlog|help",
     .handler = cmd_slowlog_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Show helpful text about the different subcommands"},
    {.name = "slowlog|len",
     .handler = cmd_slowlog_len,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.2.12",
     .complexity = "O(1)",
     .summary = "Returns the number of entries in the slow log.",
     .tips =
         TEXTS("request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output")},
    {.name = "slowlog|reset",
     .handler = cmd_slowlog_reset,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.2.12",
     .complexity = "O(N) where N is the number of entries in the slowlog",
     .summary = "Clears all entries from the slow log.",
     .tips = TEXTS("request_policy:all_nodes", "response_policy:all_succeeded")},
    {.name = "slowlog|times",
     .handler = cmd_slowlog_times,
     .arity = -2,
     .flags = CMD_ADMIN | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "7.2.0",
     .complexity = "O(N) where N is the number of entries returned",
     .summary = "Returns where the time of the slow log's entries went.",
     .tips = TEXTS("request_policy:all_nodes", "nondeterministic_output"),
     .args = ARGS(ARG("count", INTEGER, .flags = ARG_OPTIONAL))},
    {.name = NULL},
};
