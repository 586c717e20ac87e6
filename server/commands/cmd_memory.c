/* MEMORY. Source: object.c of Redis 7.2 for replies; the figures are those of memory_report.h. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/memory_report.h"
#include "server/services.h"
#include "storage/table.h"

#include "codec/mem.h"

#include <stdio.h>

/* ---- MEMORY USAGE. What the key takes in RAM now; a large value may be there in part only. */

static bool parse_usage(struct call *c)
{
    for (int i = 3; i < c->argc; i += 2) {
        int64_t samples; /* accepted; all types know their size */
        if (i + 1 >= c->argc || !call_arg_is(c, i, "samples")) {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
        if (!call_arg_i64(c, i + 1, &samples))
            return false;
        if (samples < 0) {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

static void cmd_memory_usage(struct call *c)
{
    if (!parse_usage(c))
        return;
    const struct object *o = ks_find(c->ks, &c->keys[0]);
    if (o == NULL)
        reply_null(c->reply);
    else
        reply_integer(c->reply, (int64_t)ks_object_bytes(o));
}

/* ---- MEMORY STATS. */

static void reply_u64(struct call *c, const char *name, uint64_t value)
{
    reply_bulk_text(c->reply, name);
    reply_integer(c->reply, (int64_t)value);
}

static void reply_f64(struct call *c, const char *name, double value)
{
    reply_bulk_text(c->reply, name);
    reply_double(c->reply, value);
}

static uint64_t count_used_dbs(const struct call *c)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < ks_db_count(c->ks); i++)
        count += db_size(ks_db(c->ks, i)) > 0;
    return count;
}

static void reply_dbs(struct call *c)
{
    for (uint32_t i = 0; i < ks_db_count(c->ks); i++) {
        const struct db *db = ks_db(c->ks, i);
        char name[32];
        if (db_size(db) == 0)
            continue;
        (void)snprintf(name, sizeof name, "db.%u", i);
        reply_bulk_text(c->reply, name);
        reply_map(c->reply, 3);
        reply_u64(c, "overhead.hashtable.main", table_bytes(db->table));
        reply_u64(c, "overhead.hashtable.expires", 0);
        reply_u64(c, "overhead.hashtable.slot-to-keys", 0);
    }
}

static void reply_ratios(struct call *c, const struct memory_report *memory)
{
    reply_u64(c, "allocator.allocated", memory->used);
    reply_u64(c, "allocator.active", memory->active);
    reply_u64(c, "allocator.resident", memory->resident);
    reply_f64(c, "allocator-fragmentation.ratio",
              memory_report_ratio(memory->active, memory->used));
    reply_u64(c, "allocator-fragmentation.bytes", memory->active - memory->used);
    reply_f64(c, "allocator-rss.ratio", memory_report_ratio(memory->resident, memory->active));
    reply_u64(c, "allocator-rss.bytes", memory->resident - memory->active);
    reply_f64(c, "rss-overhead.ratio", memory_report_ratio(memory->rss, memory->resident));
    reply_u64(c, "rss-overhead.bytes", memory->rss - memory->resident);
    reply_f64(c, "fragmentation", memory_report_ratio(memory->rss, memory->used));
    reply_u64(c, "fragmentation.bytes", memory->rss - memory->used);
}

#define STATS_FIELDS 27

static void cmd_memory_stats(struct call *c)
{
    struct memory_report memory;
    memory_report_read(c->services, &memory);
    uint64_t grown = memory.used > memory.startup ? memory.used - memory.startup : 0;
    reply_map(c->reply, STATS_FIELDS + count_used_dbs(c));
    reply_u64(c, "peak.allocated", memory.peak);
    reply_u64(c, "total.allocated", memory.used);
    reply_u64(c, "startup.allocated", memory.startup);
    reply_u64(c, "replication.backlog", 0);
    reply_u64(c, "clients.slaves", memory.replicas);
    reply_u64(c, "clients.normal", memory.clients);
    reply_u64(c, "cluster.links", 0);
    reply_u64(c, "aof.buffer", memory.journal);
    reply_u64(c, "lua.caches", 0);
    reply_u64(c, "functions.caches", 0);
    reply_dbs(c);
    reply_u64(c, "overhead.total", memory_report_overhead(&memory));
    reply_u64(c, "keys.count", memory.keys);
    reply_u64(c, "keys.bytes-per-key", memory.keys == 0 ? 0 : grown / memory.keys);
    reply_u64(c, "dataset.bytes", memory.hot);
    reply_f64(c, "dataset.percentage", memory_report_dataset_percent(&memory));
    reply_f64(c, "peak.percentage", memory_report_ratio(memory.used, memory.peak) * 100);
    reply_ratios(c, &memory);
}

/* ---- The others. */

static void cmd_memory_doctor(struct call *c)
{
    struct buf text = {0};
    memory_report_diagnose(c->services, &text);
    reply_text(c->reply, buf_bytes(&text));
    buf_deinit(&text);
}

static void append_stats(void *arg, const char *text)
{
    buf_append_text(arg, text);
}

static void cmd_memory_malloc_stats(struct call *c)
{
    struct buf text = {0};
    mem_print_stats(append_stats, &text);
    reply_text(c->reply, buf_bytes(&text));
    buf_deinit(&text);
}

static void cmd_memory_purge(struct call *c)
{
    mem_purge();
    reply_ok(c->reply);
}

static void cmd_memory_help(struct call *c)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
        NULL,
    };
    reply_help(c->reply, "MEMORY", lines);
}

const struct command cmd_memory_table[] = {
    {.name = "memory",
     .arity = -2,
     .group = "server",
     .since = "4.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for memory diagnostics commands."},
    {.name = "memory|doctor",
     .handler = cmd_memory_doctor,
     .arity = 2,
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Outputs a memory problems report.",
     .tips =
         TEXTS("nondeterministic_output", "request_policy:all_shards", "response_policy:special")},
    {.name = "memory|help",
     .handler = cmd_memory_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "memory|malloc-stats",
     .handler = cmd_memory_malloc_stats,
     .arity = 2,
     .group = "server",
     .since = "4.0.0",
     .complexity = "Depends on how much memory is allocated, could be slow",
     .summary = "Returns the allocator statistics.",
     .tips =
         TEXTS("nondeterministic_output", "request_policy:all_shards", "response_policy:special")},
    {.name = "memory|purge",
     .handler = cmd_memory_purge,
     .arity = 2,
     .group = "server",
     .since = "4.0.0",
     .complexity = "Depends on how much memory is allocated, could be slow",
     .summary = "Asks the allocator to release memory.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:all_succeeded")},
    {.name = "memory|stats",
     .handler = cmd_memory_stats,
     .arity = 2,
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Returns details about memory usage.",
     .tips =
         TEXTS("nondeterministic_output", "request_policy:all_shards", "response_policy:special")},
    {.name = "memory|usage",
     .handler = cmd_memory_usage,
     .arity = -3,
     .flags = CMD_READONLY,
     .keys = {KEY_AT(2, KEY_RO | KEY_LOAD_META | KEY_NO_TOUCH)},
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(N) where N is the number of samples.",
     .summary = "Estimates the memory usage of a key.",
     .args =
         ARGS(ARG("key", KEY), ARG("count", INTEGER, .token = "SAMPLES", .flags = ARG_OPTIONAL))},
    {.name = NULL},
};
