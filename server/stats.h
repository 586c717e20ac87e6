/* Counters of the server's front: connections, traffic, commands, errors. INFO reads them, CONFIG
 * RESETSTAT clears them. What a lower module counts itself (keyspace hits, cuts, loads) is not
 * here. Plain fields on purpose: the hot path only increments. Main thread. Source: INFO of
 * Redis 7.2. */
#ifndef BASALT_SERVER_STATS_H
#define BASALT_SERVER_STATS_H

#include "codec/bytes.h"
#include "server/histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one command, by command_id(). `calls` does not count rejected ones. */
struct stats_command {
    uint64_t calls;
    uint64_t duration_ns;
    uint64_t rejected;         /* refused before it ran: arity, auth, state gates */
    uint64_t failed;           /* ran and replied an error */
    struct histogram *latency; /* owned; NULL until first used */
};

/* How often errors of one code were replied. */
struct stats_error {
    char code[32];
    uint64_t count;
};

/* Rates, sampled ten times a second over 16 samples. */
enum stats_rate {
    STATS_RATE_COMMANDS,           /* per second */
    STATS_RATE_INPUT,              /* bytes per second, replication included */
    STATS_RATE_OUTPUT,             /* the same */
    STATS_RATE_REPLICATION_INPUT,  /* bytes per second */
    STATS_RATE_REPLICATION_OUTPUT, /* bytes per second */
    STATS_RATE_TICKS,              /* event loop cycles per second */
    STATS_RATE_TICK_DURATION,      /* mean duration of a cycle, us */
    STATS_RATE_COUNT,
};
#define STATS_RATE_SAMPLE_COUNT 16

struct stats_rate_samples {
    int64_t samples[STATS_RATE_SAMPLE_COUNT];
    unsigned next;
    uint64_t last_value;
    uint64_t last_base; /* 0: no sample yet */
};

struct stats {
    /* Connections */
    uint64_t connections_received;
    uint64_t connections_rejected; /* maxclients */
    uint64_t clients_evicted;      /* maxmemory-clients */
    uint64_t query_buffer_limit_closes;
    uint64_t output_buffer_limit_closes;
    uint64_t auth_failures;                                 /* acl_access_denied_auth */
    uint64_t denied_commands, denied_keys, denied_channels; /* acl_access_denied_… */

    /* Traffic */
    uint64_t input_bytes;
    uint64_t output_bytes;
    uint64_t replication_input_bytes;
    uint64_t replication_output_bytes;
    uint64_t reads;               /* read calls */
    uint64_t writes;              /* write calls */
    uint64_t largest_input_bytes; /* of any client in the last seconds; see conns_cron */
    uint64_t largest_output_bytes;

    /* Commands */
    uint64_t commands_processed;
    uint64_t error_replies;
    uint64_t unexpected_error_replies; /* to a master, or while the journal is replayed */

    uint64_t payloads_checked; /* of RESTORE */

    /* Replicas that asked for synchronization */
    uint64_t syncs_full, syncs_partial;
    uint64_t syncs_partial_refused; /* of the full ones: those that had hoped for less */

    /* Event loop: cycles that did something */
    uint64_t ticks;
    uint64_t tick_duration_us; /* sum */
    uint64_t tick_duration_us_max;
    uint64_t tick_commands_max;
    uint64_t cron_duration_us; /* sum */

    /* Memory in use, bytes (memory_report.h); not reset */
    uint64_t memory_startup; /* when the server had started; 0: not known yet */
    uint64_t memory_peak;
    int64_t memory_sampled_ms; /* monotonic */

    struct stats_command *commands; /* owned; command_count entries, by command_id() */
    int command_count;

    struct stats_error *errors; /* owned; sorted by code */
    size_t error_count;

    struct stats_rate_samples rates[STATS_RATE_COUNT];
};

struct stats *stats_create(int command_count);
void stats_destroy(struct stats *stats);
/* CONFIG RESETSTAT: all counters, command and error counters and histograms included. */
void stats_reset(struct stats *stats);

/* Records a duration in the command's histogram. */
void stats_keep_latency(struct stats_command *command, uint64_t duration_ns);

/* A command has run. `keep_latency`: latency-tracking is on. */
static inline void stats_count_command(struct stats *stats, int command_id, uint64_t duration_ns,
                                       bool keep_latency)
{
    struct stats_command *command = &stats->commands[command_id];
    command->calls++;
    command->duration_ns += duration_ns;
    stats->commands_processed++;
    if (keep_latency)
        stats_keep_latency(command, duration_ns);
}

/* An error was replied (error_replies is counted by the caller); `code` is its first word. Beyond
 * STATS_ERROR_CODES_MAX different ones the rest count as one, "ERRORSTATS_OVERFLOW". */
#define STATS_ERROR_CODES_MAX 128
void stats_count_error(struct stats *stats, const char *code);

/* Takes a sample of all rates if the last one is 100 ms old. Call at least that often. */
void stats_sample(struct stats *stats, uint64_t now_us);
/* The mean of the last samples. */
int64_t stats_rate(const struct stats *stats, enum stats_rate rate);

#endif
