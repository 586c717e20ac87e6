/* LATENCY. Source: latency.c of Redis 7.2 for replies. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/latency.h"
#include "server/services.h"
#include "server/stats.h"

#define BUCKET_FIRST_NS 1024
#define BUCKET_LAST_NS  (UINT64_C(1) << 30)
#define MS_PER_S        1000

static int64_t now_s(const struct call *c)
{
    return c->now_ms / MS_PER_S;
}

/* ---- Events. */

static void cmd_latency_latest(struct call *c)
{
    struct reply_deferred list = reply_deferred_begin(c->reply);
    uint64_t count = 0;
    for (int i = 0; i < LATENCY_EVENT_COUNT; i++) {
        enum latency_event event = (enum latency_event)i;
        const struct latency_series *series = latency_series(c->services->latency, event);
        if (series == NULL)
            continue;
        const struct latency_sample *newest = latency_sample(series, 0);
        reply_array(c->reply, 4);
        reply_bulk_text(c->reply, latency_name(event));
        reply_integer(c->reply, newest->at_s);
        reply_integer(c->reply, (int64_t)newest->ms);
        reply_integer(c->reply, (int64_t)series->max_ms);
        count++;
    }
    reply_deferred_array(c->reply, &list, count);
}

/* NULL: there are no samples of the event that the argument names. */
static const struct latency_series *series_of(struct call *c, int arg, enum latency_event *event)
{
    *event = latency_find(c->argv[arg]);
    return *event == LATENCY_EVENT_COUNT ? NULL : latency_series(c->services->latency, *event);
}

static void cmd_latency_history(struct call *c)
{
    enum latency_event event;
    const struct latency_series *series = series_of(c, 2, &event);
    if (series == NULL) {
        reply_array(c->reply, 0);
        return;
    }
    size_t count = 0;
    while (latency_sample(series, count) != NULL)
        count++;
    reply_array(c->reply, count);
    while (count-- > 0) {
        const struct latency_sample *sample = latency_sample(series, count);
        reply_array(c->reply, 2);
        reply_integer(c->reply, sample->at_s);
        reply_integer(c->reply, (int64_t)sample->ms);
    }
}

static void cmd_latency_graph(struct call *c)
{
    enum latency_event event;
    if (series_of(c, 2, &event) == NULL) {
        reply_error_format(c->reply, "ERR No samples available for event '%.*s'",
                           (int)c->argv[2].len, (const char *)c->argv[2].data);
        return;
    }
    struct buf text = {0};
    latency_draw(c->services->latency, event, now_s(c), &text);
    reply_text(c->reply, buf_bytes(&text));
    buf_deinit(&text);
}

static void cmd_latency_doctor(struct call *c)
{
    struct buf text = {0};
    latency_diagnose(c->services->latency, c->services->config, now_s(c), &text);
    reply_text(c->reply, buf_bytes(&text));
    buf_deinit(&text);
}

static void cmd_latency_reset(struct call *c)
{
    int64_t count = 0;
    for (int i = 2; i < c->argc; i++) {
        enum latency_event event = latency_find(c->argv[i]);
        count += event != LATENCY_EVENT_COUNT && latency_reset(c->services->latency, event);
    }
    for (int i = 0; c->argc == 2 && i < LATENCY_EVENT_COUNT; i++)
        count += latency_reset(c->services->latency, (enum latency_event)i);
    reply_integer(c->reply, count);
}

/* ---- HISTOGRAM: of each command's durations, how many were at most so long. The limits double,
 * and are told in whole microseconds as Redis's histograms round them. */

static void reply_histogram(struct call *c, const struct stats_command *command)
{
    reply_map(c->reply, 2);
    reply_bulk_text(c->reply, "calls");
    reply_integer(c->reply, (int64_t)command->latency->count);
    reply_bulk_text(c->reply, "histogram_usec");
    struct reply_deferred map = reply_deferred_begin(c->reply);
    uint64_t pairs = 0, before = 0;
    for (uint64_t ns = BUCKET_FIRST_NS; before < command->latency->count; ns *= 2) {
        bool last = ns >= BUCKET_LAST_NS;
        uint64_t below =
            last ? command->latency->count : histogram_count_below(command->latency, ns);
        if (below == before)
            continue;
        reply_integer(c->reply, (int64_t)((ns + (ns >> 7) - 1) / 1000));
        reply_integer(c->reply, (int64_t)below);
        before = below;
        pairs++;
    }
    reply_deferred_map(c->reply, &map, pairs);
}

/* True if the command has run. */
static bool reply_command(struct call *c, const struct command *command)
{
    const struct stats_command *stats = &c->services->stats->commands[command->id];
    if (stats->latency == NULL || stats->latency->count == 0)
        return false;
    reply_bulk_text(c->reply, command->name);
    reply_histogram(c, stats);
    return true;
}

static void cmd_latency_histogram(struct call *c)
{
    const struct command_table *commands = c->services->commands;
    struct reply_deferred map = reply_deferred_begin(c->reply);
    uint64_t pairs = 0;
    for (int id = 0; c->argc == 2 && id < command_count(commands); id++)
        pairs += reply_command(c, command_at(commands, id));
    for (int i = 2; i < c->argc; i++) {
        const struct command *command = command_find_name(commands, c->argv[i]);
        for (int sub = 0; command != NULL && sub <= command->subcommand_count; sub++)
            pairs += reply_command(c, command_at(commands, command->id + sub));
    }
    reply_deferred_map(c->reply, &map, pairs);
}

static void cmd_latency_help(struct call *c)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the "
        "specified command names.",
        "    If no commands are specified then all histograms are replied.",
        NULL,
    };
    reply_help(c->reply, "LATENCY", lines);
}

const struct command cmd_latency_table[] = {
    {.name = "latency",
     .arity = -2,
     .group = "server",
     .since = "2.8.13",
     .complexity = "Depends on subcommand.",
     .summary = "A container for latency diagnostics commands."},
    {.name = "latency|doctor",
     .handler = cmd_latency_doctor,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Returns a human-readable latency analysis report.",
     .tips =
         TEXTS("nondeterministic_output", "request_policy:all_nodes", "response_policy:special")},
    {.name = "latency|graph",
     .handler = cmd_latency_graph,
     .arity = 3,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Returns a latency graph for an event.",
     .tips =
         TEXTS("nondeterministic_output", "request_policy:all_nodes", "response_policy:special"),
     .args = ARGS(ARG("event", STRING))},
    {.name = "latency|help",
     .handler = cmd_latency_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "latency|histogram",
     .handler = cmd_latency_histogram,
     .arity = -2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "7.0.0",
     .complexity =
         "O(N) where N is the number of commands with latency information being retrieved.",
     .summary = "Returns the cumulative distribution of latencies of a subset or all commands.",
     .tips =
         TEXTS("nondeterministic_output", "request_policy:all_nodes", "response_policy:special"),
     .args = ARGS(ARG("COMMAND", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "latency|history",
     .handler = cmd_latency_history,
     .arity = 3,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Returns timestamp-latency samples for an event.",
     .tips =
         TEXTS("nondeterministic_output", "request_policy:all_nodes", "response_policy:special"),
     .args = ARGS(ARG("event", STRING))},
    {.name = "latency|latest",
     .handler = cmd_latency_latest,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Returns the latest latency samples for all events.",
     .tips =
         TEXTS("nondeterministic_output", "request_policy:all_nodes", "response_policy:special")},
    {.name = "latency|reset",
     .handler = cmd_latency_reset,
     .arity = -2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Resets the latency data for one or more events.",
     .tips = TEXTS("request_policy:all_nodes", "response_policy:agg_sum"),
     .args = ARGS(ARG("event", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = NULL},
};
