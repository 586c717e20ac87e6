/* Error counters are a sorted array: there are a dozen of them, and INFO lists them in order. */
#include "server/stats.h"

#include "codec/mem.h"

#include <string.h>

#define SAMPLE_INTERVAL_US  100000
#define ERROR_OVERFLOW_CODE "ERRORSTATS_OVERFLOW"

struct stats *stats_create(int command_count)
{
    struct stats *stats = mem_calloc(1, sizeof(*stats));
    stats->command_count = command_count;
    stats->commands =
        mem_calloc(command_count > 0 ? (size_t)command_count : 1, sizeof(*stats->commands));
    return stats;
}

static void clear_commands(struct stats *stats)
{
    for (int i = 0; i < stats->command_count; i++) {
        mem_free(stats->commands[i].latency);
        stats->commands[i] = (struct stats_command){0};
    }
}

void stats_destroy(struct stats *stats)
{
    if (stats == NULL)
        return;
    clear_commands(stats);
    mem_free(stats->commands);
    mem_free(stats->errors);
    mem_free(stats);
}

void stats_reset(struct stats *stats)
{
    clear_commands(stats);
    mem_free(stats->errors);
    *stats = (struct stats){.commands = stats->commands,
                            .command_count = stats->command_count,
                            .memory_startup = stats->memory_startup,
                            .memory_peak = stats->memory_peak,
                            .memory_sampled_ms = stats->memory_sampled_ms};
}

void stats_keep_latency(struct stats_command *command, uint64_t duration_ns)
{
    if (command->latency == NULL)
        command->latency = mem_calloc(1, sizeof(*command->latency));
    histogram_record(command->latency, duration_ns);
}

/* The place of `code`, or where it would go. */
static size_t find_error(const struct stats *stats, const char *code, bool *found_out)
{
    size_t low = 0;
    size_t high = stats->error_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(code, stats->errors[middle].code);
        if (order == 0) {
            *found_out = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    *found_out = false;
    return low;
}

void stats_count_error(struct stats *stats, const char *code)
{
    bool found;
    size_t place = find_error(stats, code, &found);
    if (!found && stats->error_count >= STATS_ERROR_CODES_MAX - 1) {
        code = ERROR_OVERFLOW_CODE;
        place = find_error(stats, code, &found);
    }
    if (!found) {
        stats->errors =
            mem_realloc(stats->errors, (stats->error_count + 1) * sizeof(*stats->errors));
        memmove(stats->errors + place + 1, stats->errors + place,
                (stats->error_count - place) * sizeof(*stats->errors));
        struct stats_error *error = &stats->errors[place];
        *error = (struct stats_error){0};
        strncpy(error->code, code, sizeof(error->code) - 1);
        stats->error_count++;
    }
    stats->errors[place].count++;
}

/* One sample: how much `value` grew per unit of `base`, times `factor`. */
static void sample(struct stats_rate_samples *rate, uint64_t value, uint64_t base, uint64_t factor)
{
    if (rate->last_base > 0) {
        uint64_t step = base - rate->last_base;
        int64_t average =
            step > 0 ? (int64_t)((double)(value - rate->last_value) * (double)factor / (double)step)
                     : 0;
        rate->samples[rate->next] = average;
        rate->next = (rate->next + 1) % STATS_RATE_SAMPLE_COUNT;
    }
    rate->last_base = base;
    rate->last_value = value;
}

void stats_sample(struct stats *stats, uint64_t now_us)
{
    struct stats_rate_samples *rates = stats->rates;
    uint64_t last_us = rates[STATS_RATE_COMMANDS].last_base;
    if (last_us != 0 && now_us - last_us < SAMPLE_INTERVAL_US)
        return;
    const struct {
        enum stats_rate rate;
        uint64_t value;
    } per_second[] = {
        {STATS_RATE_COMMANDS, stats->commands_processed},
        {STATS_RATE_INPUT, stats->input_bytes + stats->replication_input_bytes},
        {STATS_RATE_OUTPUT, stats->output_bytes + stats->replication_output_bytes},
        {STATS_RATE_REPLICATION_INPUT, stats->replication_input_bytes},
        {STATS_RATE_REPLICATION_OUTPUT, stats->replication_output_bytes},
        {STATS_RATE_TICKS, stats->ticks},
    };
    for (size_t i = 0; i < sizeof(per_second) / sizeof(per_second[0]); i++)
        sample(&rates[per_second[i].rate], per_second[i].value, now_us, 1000000);
    sample(&rates[STATS_RATE_TICK_DURATION], stats->tick_duration_us, stats->ticks, 1);
}

int64_t stats_rate(const struct stats *stats, enum stats_rate rate)
{
    int64_t sum = 0;
    for (size_t i = 0; i < STATS_RATE_SAMPLE_COUNT; i++)
        sum += stats->rates[rate].samples[i];
    return sum / STATS_RATE_SAMPLE_COUNT;
}
