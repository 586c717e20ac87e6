/* INFO's sections of counters: stats, commandstats, errorstats, latencystats. */
#include "server/info_internal.h"

#include "server/command.h"
#include "server/config.h"
#include "server/exec.h"
#include "server/pubsub.h"
#include "server/stats.h"
#include "server/tracking.h"
#include "storage/store.h"

#include <stdio.h>
#include <string.h>

/* ---- Stats. */

static void write_rate_kbps(const struct stats *stats, const char *name, enum stats_rate rate,
                            struct buf *out)
{
    info_ratio(out, name, (double)stats_rate(stats, rate) / 1024);
}

static void write_traffic(const struct stats *stats, struct buf *out)
{
    info_u64(out, "total_connections_received", stats->connections_received);
    info_u64(out, "total_commands_processed", stats->commands_processed);
    info_i64(out, "instantaneous_ops_per_sec", stats_rate(stats, STATS_RATE_COMMANDS));
    info_u64(out, "total_net_input_bytes", stats->input_bytes + stats->replication_input_bytes);
    info_u64(out, "total_net_output_bytes", stats->output_bytes + stats->replication_output_bytes);
    info_u64(out, "total_net_repl_input_bytes", stats->replication_input_bytes);
    info_u64(out, "total_net_repl_output_bytes", stats->replication_output_bytes);
    write_rate_kbps(stats, "instantaneous_input_kbps", STATS_RATE_INPUT, out);
    write_rate_kbps(stats, "instantaneous_output_kbps", STATS_RATE_OUTPUT, out);
    write_rate_kbps(stats, "instantaneous_input_repl_kbps", STATS_RATE_REPLICATION_INPUT, out);
    write_rate_kbps(stats, "instantaneous_output_repl_kbps", STATS_RATE_REPLICATION_OUTPUT, out);
    info_u64(out, "rejected_connections", stats->connections_rejected);
}

static void write_keys(const struct services *services, struct buf *out)
{
    static const char *const no_eviction[] = {"total_eviction_exceeded_time",
                                              "current_eviction_exceeded_time", NULL};
    const struct stats *stats = services->stats;
    struct exec_stats exec;
    struct expire_stats expire;
    exec_read_stats(services->exec, &exec);
    expire_read_stats(store_expire(services->store), &expire);
    info_u64(out, "sync_full", stats->syncs_full);
    info_u64(out, "sync_partial_ok", stats->syncs_partial);
    info_u64(out, "sync_partial_err", stats->syncs_partial_refused);
    info_u64(out, "expired_keys", exec.expired_keys);
    info_u64(out, "expired_subkeys", exec.expired_fields);
    info_ratio(out, "expired_stale_perc", 0);
    info_u64(out, "expired_time_cap_reached_count", expire.cut_short);
    info_u64(out, "expire_cycle_cpu_milliseconds", expire.busy_us / 1000);
    info_u64(out, "evicted_keys", 0);
    info_u64(out, "evicted_clients", stats->clients_evicted);
    info_zeros(out, no_eviction);
    info_u64(out, "keyspace_hits", exec.keyspace_hits);
    info_u64(out, "keyspace_misses", exec.keyspace_misses);
}

static void write_pubsub(const struct pubsub *pubsub, struct buf *out)
{
    info_u64(out, "pubsub_channels", pubsub_count(pubsub, PUBSUB_CHANNEL));
    info_u64(out, "pubsub_patterns", pubsub_count(pubsub, PUBSUB_PATTERN));
    info_u64(out, "pubsubshard_channels", pubsub_count(pubsub, PUBSUB_SHARD));
}

/* Parts of Redis that there are not, or not yet. */
static void write_absent(struct buf *out)
{
    static const char *const names[] = {
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
        NULL,
    };
    info_zeros(out, names);
}

static void write_tracking(const struct tracking *tracking, struct buf *out)
{
    struct tracking_stats stats;
    tracking_read_stats(tracking, &stats);
    info_u64(out, "tracking_total_keys", stats.keys);
    info_u64(out, "tracking_total_items", stats.items);
    info_u64(out, "tracking_total_prefixes", stats.prefixes);
}

static uint64_t total_command_us(const struct stats *stats)
{
    uint64_t ns = 0;
    for (int id = 0; id < stats->command_count; id++)
        ns += stats->commands[id].duration_ns;
    return ns / 1000;
}

static void write_work(const struct stats *stats, struct buf *out)
{
    static const char *const no_threads[] = {"io_threaded_reads_processed",
                                             "io_threaded_writes_processed", "reply_buffer_shrinks",
                                             "reply_buffer_expands", NULL};
    info_u64(out, "unexpected_error_replies", stats->unexpected_error_replies);
    info_u64(out, "total_error_replies", stats->error_replies);
    info_u64(out, "dump_payload_sanitizations", stats->payloads_checked);
    info_u64(out, "total_reads_processed", stats->reads);
    info_u64(out, "total_writes_processed", stats->writes);
    info_zeros(out, no_threads);
    info_u64(out, "eventloop_cycles", stats->ticks);
    info_u64(out, "eventloop_duration_sum", stats->tick_duration_us);
    info_u64(out, "eventloop_duration_cmd_sum", total_command_us(stats));
    info_i64(out, "instantaneous_eventloop_cycles_per_sec", stats_rate(stats, STATS_RATE_TICKS));
    info_i64(out, "instantaneous_eventloop_duration_usec",
             stats_rate(stats, STATS_RATE_TICK_DURATION));
    info_u64(out, "acl_access_denied_auth", stats->auth_failures);
    info_u64(out, "acl_access_denied_cmd", stats->denied_commands);
    info_u64(out, "acl_access_denied_key", stats->denied_keys);
    info_u64(out, "acl_access_denied_channel", stats->denied_channels);
}

void info_write_stats(const struct services *services, struct buf *out)
{
    write_traffic(services->stats, out);
    write_keys(services, out);
    write_pubsub(services->pubsub, out);
    write_absent(out);
    write_tracking(services->tracking, out);
    write_work(services->stats, out);
}

/* ---- Debug: only for who asks for it by name. */

void info_write_debug(const struct services *services, struct buf *out)
{
    const struct stats *stats = services->stats;
    info_u64(out, "eventloop_duration_aof_sum", 0); /* a thread writes the journal */
    info_u64(out, "eventloop_duration_cron_sum", stats->cron_duration_us);
    info_u64(out, "eventloop_duration_max", stats->tick_duration_us_max);
    info_u64(out, "eventloop_cmd_per_cycle_max", stats->tick_commands_max);
}

/* ---- Per command. */

void info_write_commandstats(const struct services *services, struct buf *out)
{
    const struct stats *stats = services->stats;
    for (int id = 0; id < stats->command_count; id++) {
        const struct stats_command *command = &stats->commands[id];
        if (command->calls == 0 && command->rejected == 0 && command->failed == 0)
            continue;
        double us = (double)command->duration_ns / 1000;
        buf_append_format(
            out,
            "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,"
            "failed_calls=%llu\r\n",
            command_at(services->commands, id)->name, (unsigned long long)command->calls,
            (unsigned long long)us, command->calls == 0 ? 0 : us / (double)command->calls,
            (unsigned long long)command->rejected, (unsigned long long)command->failed);
    }
}

/* "99.900000" as "99.9". */
static void write_percentile_name(struct buf *out, double percent)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%f", percent);
    while (len > 0 && text[len - 1] == '0')
        len--;
    if (len > 0 && text[len - 1] == '.')
        len--;
    buf_append_format(out, "p%.*s", len, text);
}

static void write_latencies(const struct config_percentiles *percentiles, const char *name,
                            const struct histogram *latency, struct buf *out)
{
    buf_append_format(out, "latency_percentiles_usec_%s:", name);
    for (size_t i = 0; i < percentiles->count; i++) {
        uint64_t ns = histogram_percentile_ns(latency, percentiles->values[i]);
        if (i > 0)
            buf_append_byte(out, ',');
        write_percentile_name(out, percentiles->values[i]);
        buf_append_format(out, "=%.3f", (double)ns / 1000);
    }
    buf_append_text(out, "\r\n");
}

void info_write_latencystats(const struct services *services, struct buf *out)
{
    const struct stats *stats = services->stats;
    if (!services->config->latency_tracking)
        return;
    for (int id = 0; id < stats->command_count; id++)
        if (stats->commands[id].latency != NULL && stats->commands[id].calls > 0)
            write_latencies(&services->config->latency_tracking_info_percentiles,
                            command_at(services->commands, id)->name, stats->commands[id].latency,
                            out);
}

/* ---- Errors. A code comes from scripts too: what would break a line's form is replaced. */

void info_write_errorstats(const struct services *services, struct buf *out)
{
    const struct stats *stats = services->stats;
    for (size_t i = 0; i < stats->error_count; i++) {
        char code[sizeof stats->errors[i].code];
        memcpy(code, stats->errors[i].code, sizeof code);
        for (size_t c = 0; c < sizeof code && code[c] != 0; c++)
            if (strchr("#:\r\n", code[c]) != NULL)
                code[c] = '_';
        buf_append_format(out, "errorstat_%.*s:count=%llu\r\n", (int)sizeof code, code,
                          (unsigned long long)stats->errors[i].count);
    }
}
