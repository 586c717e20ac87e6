/* Most metrics are INFO's lines under another name, so that whatever INFO tells is there and means
 * the same: `name:value` becomes `basalt_name value`. What INFO packs into one line (databases,
 * RocksDB's levels) becomes metrics with labels. Histograms, commands and errors, of which INFO
 * shows less, are written from their sources. */
#include "server/metrics.h"

#include "codec/number.h"
#include "server/command.h"
#include "server/info.h"
#include "server/services.h"
#include "server/stats.h"
#include "server/version.h"
#include "storage/loader.h"
#include "storage/store.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define NS_PER_S     1e9
#define NAME_MAX_LEN 96

/* Limits of the histograms' buckets. */
static const uint64_t limits_us[] = {1,    4,     16,    64,     256,     1024,
                                     4096, 16384, 65536, 262144, 1048576, 4194304};
#define LIMIT_COUNT (sizeof limits_us / sizeof limits_us[0])

/* ---- INFO's lines. */

static bool has_suffix(struct bytes text, const char *suffix)
{
    size_t len = strlen(suffix);
    return text.len >= len && memcmp(text.data + text.len - len, suffix, len) == 0;
}

static bool has_prefix(struct bytes text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

/* Fields of INFO that only grow, until a restart or CONFIG RESETSTAT; a blank around each. */
static const char counters[] =
    " "
    "demoted_keys demoted_probation_keys demoted_piece_bytes demotion_stalls "
    "cold_walks_synchronous requests_waited_for_disk writes_delayed "
    "writes_delayed_usec read_errors cold_loads cold_part_loads "
    "cold_chunk_loads cold_loads_joined cold_loads_absent "
    "cold_loads_discarded cold_loads_synchronous cold_load_errors "
    "cold_filter_negatives cold_block_cache_hits cold_overwrites_resolved "
    "cut_count cut_failures cut_objects cut_bytes cut_batch_bytes "
    "journal_written_bytes journal_writes journal_syncs "
    "journal_syncs_gathered journal_syncs_gathered_in_vain journal_failures "
    "journal_archive_failures "
    "journal_recoveries rocksdb_writes rocksdb_write_bytes "
    "rocksdb_background_errors expired_from_ram expired_from_disk "
    "expiry_entries_moved expiry_entries_stale reaped_databases "
    "reaped_objects reap_errors total_connections_received "
    "total_commands_processed total_net_input_bytes total_net_output_bytes "
    "total_net_repl_input_bytes total_net_repl_output_bytes "
    "rejected_connections sync_full sync_partial_ok sync_partial_err "
    "expired_keys expired_subkeys expired_time_cap_reached_count "
    "expire_cycle_cpu_milliseconds dump_payload_sanitizations evicted_keys "
    "evicted_clients keyspace_hits keyspace_misses total_forks unexpected_error_replies "
    "total_error_replies total_reads_processed total_writes_processed "
    "eventloop_cycles eventloop_duration_sum eventloop_duration_cmd_sum "
    "acl_access_denied_auth acl_access_denied_cmd acl_access_denied_key "
    "acl_access_denied_channel used_cpu_sys used_cpu_user "
    "used_cpu_sys_children used_cpu_user_children used_cpu_sys_main_thread "
    "used_cpu_user_main_thread rdb_saves aof_rewrites ";

static bool is_counter(struct bytes name)
{
    char wanted[NAME_MAX_LEN];
    int len = snprintf(wanted, sizeof wanted, " %.*s ", (int)name.len, (const char *)name.data);
    return (size_t)len < sizeof wanted && strstr(counters, wanted) != NULL;
}

/* Digits that are no figure: ids and versions. */
static bool is_identity(struct bytes name)
{
    return has_suffix(name, "_human") || has_suffix(name, "_replid") ||
           has_suffix(name, "_replid2") || has_prefix(name, "redis_") ||
           has_prefix(name, "basalt_") || bytes_equal(name, bytes_text("run_id")) ||
           bytes_equal(name, bytes_text("arch_bits"));
}

static void write_type(struct buf *out, const char *name, const char *type)
{
    buf_append_format(out, "# TYPE basalt_%s %s\n", name, type);
}

static void write_value(struct buf *out, struct bytes name, struct bytes value)
{
    buf_append_text(out, "# TYPE basalt_");
    buf_append_bytes(out, name);
    buf_append_text(out, is_counter(name) ? " counter\nbasalt_" : " gauge\nbasalt_");
    buf_append_bytes(out, name);
    buf_append_byte(out, ' ');
    buf_append_bytes(out, value);
    buf_append_byte(out, '\n');
}

static void write_line(struct buf *out, struct bytes name, struct bytes value)
{
    double number;
    if (value.len == 0 || is_identity(name))
        return;
    if (has_suffix(name, "_status")) {
        write_value(out, name, bytes_text(bytes_equal(value, bytes_text("ok")) ? "1" : "0"));
        return;
    }
    if (value.data[value.len - 1] == '%')
        value.len--;
    if (number_parse_f64(value, &number) && (isdigit(value.data[0]) || value.data[0] == '-'))
        write_value(out, name, value);
}

/* ---- Lines of several figures, "db0:keys=1,expires=0": a metric for each, the number as label. */

struct figures {
    const char *prefix; /* what stands before the number */
    const char *metric; /* what the metrics' names begin with */
    const char *label;
};

static void write_family(struct buf *out, const struct figures *family, const char *field,
                         struct bytes text)
{
    char wanted[NAME_MAX_LEN];
    (void)snprintf(wanted, sizeof wanted, "%s=", field);
    buf_append_format(out, "# TYPE basalt_%s_%s gauge\n", family->metric, field);
    const char *at = (const char *)text.data;
    const char *end = at + text.len;
    while (at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        if (line_end == NULL)
            break;
        const char *found = memmem(at, (size_t)(line_end - at), wanted, strlen(wanted));
        size_t prefix_len = strlen(family->prefix);
        if (found != NULL && strncmp(at, family->prefix, prefix_len) == 0) {
            long number = strtol(at + prefix_len, NULL, 10);
            long long value = strtoll(found + strlen(wanted), NULL, 10);
            buf_append_format(out, "basalt_%s_%s{%s=\"%ld\"} %lld\n", family->metric, field,
                              family->label, number, value);
        }
        at = line_end + 2;
    }
}

static void write_families(struct buf *out, struct bytes text)
{
    static const struct figures dbs = {"db", "db", "db"};
    static const struct figures levels = {"rocksdb_level", "rocksdb_level", "level"};
    write_family(out, &dbs, "keys", text);
    write_family(out, &dbs, "expires", text);
    write_family(out, &dbs, "avg_ttl", text);
    write_family(out, &levels, "files", text);
    write_family(out, &levels, "bytes", text);
}

static void write_info(const struct services *services, struct buf *out)
{
    struct buf text = {0};
    info_write(services, NULL, 0, &text);
    buf_append_byte(&text, 0); /* strtol and the like stop there */
    text.len--;
    const uint8_t *at = text.data, *end = text.data + text.len;
    while (at < end) {
        const uint8_t *line_end = memchr(at, '\r', (size_t)(end - at));
        if (line_end == NULL)
            break;
        const uint8_t *colon = memchr(at, ':', (size_t)(line_end - at));
        if (colon != NULL && *at != '#')
            write_line(out, bytes_make(at, (size_t)(colon - at)),
                       bytes_make(colon + 1, (size_t)(line_end - colon - 1)));
        at = line_end + 2;
    }
    write_families(out, buf_bytes(&text));
    buf_deinit(&text);
}

/* ---- Commands. */

static const char *command_name(const struct services *services, int id)
{
    return command_at(services->commands, id)->name;
}

static void write_commands(const struct services *services, struct buf *out)
{
    const struct stats *stats = services->stats;
    write_type(out, "command_calls_total", "counter");
    for (int id = 0; id < stats->command_count; id++)
        if (stats->commands[id].calls != 0)
            buf_append_format(out, "basalt_command_calls_total{command=\"%s\"} %llu\n",
                              command_name(services, id),
                              (unsigned long long)stats->commands[id].calls);
    write_type(out, "command_rejected_total", "counter");
    for (int id = 0; id < stats->command_count; id++)
        if (stats->commands[id].rejected != 0)
            buf_append_format(out, "basalt_command_rejected_total{command=\"%s\"} %llu\n",
                              command_name(services, id),
                              (unsigned long long)stats->commands[id].rejected);
    write_type(out, "command_failed_total", "counter");
    for (int id = 0; id < stats->command_count; id++)
        if (stats->commands[id].failed != 0)
            buf_append_format(out, "basalt_command_failed_total{command=\"%s\"} %llu\n",
                              command_name(services, id),
                              (unsigned long long)stats->commands[id].failed);
}

static void write_command_latency(const struct stats_command *command, const char *name,
                                  struct buf *out)
{
    static const char metric[] = "basalt_command_duration_seconds";
    for (size_t i = 0; i < LIMIT_COUNT; i++)
        buf_append_format(
            out, "%s_bucket{command=\"%s\",le=\"%.9g\"} %llu\n", metric, name,
            (double)limits_us[i] / 1e6,
            (unsigned long long)histogram_count_below(command->latency, limits_us[i] * 1000));
    unsigned long long count = (unsigned long long)command->latency->count;
    buf_append_format(out, "%s_bucket{command=\"%s\",le=\"+Inf\"} %llu\n", metric, name, count);
    buf_append_format(out, "%s_sum{command=\"%s\"} %.9f\n", metric, name,
                      (double)command->duration_ns / NS_PER_S);
    buf_append_format(out, "%s_count{command=\"%s\"} %llu\n", metric, name, count);
}

static void write_command_latencies(const struct services *services, struct buf *out)
{
    const struct stats *stats = services->stats;
    write_type(out, "command_duration_seconds", "histogram");
    for (int id = 0; id < stats->command_count; id++)
        if (stats->commands[id].latency != NULL && stats->commands[id].latency->count != 0)
            write_command_latency(&stats->commands[id], command_name(services, id), out);
}

/* Codes come from scripts, too: what a label must not have is replaced. */
static void write_errors(const struct stats *stats, struct buf *out)
{
    write_type(out, "errors_total", "counter");
    for (size_t i = 0; i < stats->error_count; i++) {
        char code[sizeof stats->errors[i].code];
        memcpy(code, stats->errors[i].code, sizeof code);
        code[sizeof code - 1] = 0;
        for (char *at = code; *at != 0; at++)
            if (!isalnum((unsigned char)*at) && *at != '_' && *at != '-')
                *at = '_';
        buf_append_format(out, "basalt_errors_total{code=\"%s\"} %llu\n", code,
                          (unsigned long long)stats->errors[i].count);
    }
}

/* ---- Cold loads. */

static void write_cold_loads(const struct services *services, struct buf *out)
{
    struct loader_latencies latencies;
    loader_read_latencies(store_loader(services->store), limits_us, LIMIT_COUNT, &latencies);
    write_type(out, "cold_load_duration_seconds", "histogram");
    for (size_t i = 0; i < LIMIT_COUNT; i++)
        buf_append_format(out, "basalt_cold_load_duration_seconds_bucket{le=\"%.9g\"} %llu\n",
                          (double)limits_us[i] / 1e6, (unsigned long long)latencies.below[i]);
    unsigned long long count = (unsigned long long)latencies.count;
    buf_append_format(out, "basalt_cold_load_duration_seconds_bucket{le=\"+Inf\"} %llu\n", count);
    buf_append_format(out, "basalt_cold_load_duration_seconds_sum %.6f\n",
                      (double)latencies.sum_us / 1e6);
    buf_append_format(out, "basalt_cold_load_duration_seconds_count %llu\n", count);
}

void metrics_write(const struct services *services, struct buf *out)
{
    write_type(out, "build_info", "gauge");
    buf_append_text(out, "basalt_build_info{version=\"" BASALT_VERSION
                         "\",redis_version=\"" REDIS_COMPATIBLE_VERSION "\"} 1\n");
    write_info(services, out);
    write_cold_loads(services, out);
    write_commands(services, out);
    write_command_latencies(services, out);
    write_errors(services->stats, out);
}
