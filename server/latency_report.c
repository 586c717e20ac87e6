/* LATENCY GRAPH and LATENCY DOCTOR: the latency monitor's series for people. */
#include "server/config.h"
#include "server/latency.h"

#include <stdio.h>
#include <stdlib.h>

#define COLUMNS_MAX 80
#define ROWS        4

/* ---- GRAPH. */

struct extent {
    size_t count;
    uint64_t low_ms, high_ms;
};

static struct extent extent_of(const struct latency_series *series, size_t count_max)
{
    struct extent extent = {.low_ms = UINT64_MAX};
    const struct latency_sample *sample;
    while (extent.count < count_max && (sample = latency_sample(series, extent.count)) != NULL) {
        if (sample->ms < extent.low_ms)
            extent.low_ms = sample->ms;
        if (sample->ms > extent.high_ms)
            extent.high_ms = sample->ms;
        extent.count++;
    }
    return extent;
}

/* How many of the rows a column fills: 1 for the lowest, ROWS for the highest. */
static uint64_t height(const struct extent *extent, uint64_t ms)
{
    uint64_t range = extent->high_ms - extent->low_ms;
    return range == 0 ? ROWS : 1 + (ms - extent->low_ms) * (ROWS - 1) / range;
}

static void format_age(int64_t seconds, char out[8])
{
    static const struct {
        int64_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t i = 0;
    if (seconds < 0)
        seconds = 0;
    while (i < 3 && seconds < units[i].seconds)
        i++;
    int64_t value = seconds / units[i].seconds;
    (void)snprintf(out, 8, "%lld%c", (long long)(value > 99999 ? 99999 : value), units[i].unit);
}

/* Each column's age stands below it, read downwards. False: no column's reaches this line. */
static bool draw_ages(const struct latency_series *series, const struct extent *extent, size_t line,
                      int64_t now_s, struct buf *out)
{
    bool any = false;
    for (size_t column = extent->count; column-- > 0;) {
        char age[8];
        format_age(now_s - latency_sample(series, column)->at_s, age);
        bool reaches = strlen(age) > line;
        any = any || reaches;
        buf_append_byte(out, reaches ? (uint8_t)age[line] : ' ');
    }
    buf_append_byte(out, '\n');
    return any;
}

void latency_draw(const struct latency *latency, enum latency_event event, int64_t now_s,
                  struct buf *out)
{
    const struct latency_series *series = latency_series(latency, event);
    struct extent extent = extent_of(series, COLUMNS_MAX);
    buf_append_format(out, "%s - high %llu ms, low %llu ms (all time high %llu ms)\n",
                      latency_name(event), (unsigned long long)extent.high_ms,
                      (unsigned long long)extent.low_ms, (unsigned long long)series->max_ms);
    for (size_t i = 0; i < COLUMNS_MAX; i++)
        buf_append_byte(out, '-');
    buf_append_byte(out, '\n');
    for (uint64_t row = ROWS; row > 0; row--) {
        for (size_t column = extent.count; column-- > 0;) {
            uint64_t top = height(&extent, latency_sample(series, column)->ms);
            buf_append_byte(out, top > row ? '|' : top == row ? '#' : ' ');
        }
        buf_append_byte(out, '\n');
    }
    buf_append_byte(out, '\n');
    for (size_t line = 0; draw_ages(series, &extent, line, now_s, out);)
        line++;
}

/* ---- DOCTOR. */

static const char *const advice[LATENCY_EVENT_COUNT] = {
    [LATENCY_COMMAND] = "SLOWLOG GET tells which commands run long, if slowlog-log-slower-than is "
                        "low enough. Walk over large collections in parts (SCAN, HSCAN, ranges).",
    [LATENCY_FAST_COMMAND] = "Commands of constant cost took long: the process did not get the "
                             "processor. Look for other work on the machine, or a virtual machine "
                             "that is short of it (redis-cli --intrinsic-latency).",
    [LATENCY_EXPIRE_CYCLE] = "Many keys, or large ones, are due at the same moment. Spread their "
                             "times to live.",
    [LATENCY_EVICTION_CYCLE] = "The hot tier is full and large objects leave it. Raise maxmemory, "
                               "or lower large-collection-threshold so that they go in parts.",
    [LATENCY_CUT_SLICE] = "Large changed values are encoded in one piece. Lower "
                          "large-object-threshold, or flush-interval for smaller cuts.",
    [LATENCY_COLD_LOAD] = "Requests wait for cold data. Compare cold_load_usec_p99 in INFO tiering "
                          "with what the disk can do; more maxmemory, block-cache-size or "
                          "loader-threads help if it is the disk's queue.",
    [LATENCY_WRITE_DELAY] = "Writes come faster than the disk takes them. See writes_delayed and "
                            "rocksdb_write_stall in INFO tiering; dirty-limit bridges bursts only.",
    [LATENCY_AOF_FSYNC_ALWAYS] =
        "Each reply waits for the disk's sync with appendfsync always. A "
        "disk with a protected cache syncs faster; everysec does not wait.",
};

static void describe_event(const struct latency_series *series, enum latency_event event,
                           int64_t now_s, struct buf *out)
{
    struct extent extent = extent_of(series, LATENCY_SAMPLES_MAX);
    uint64_t sum = 0, deviation = 0;
    for (size_t i = 0; i < extent.count; i++)
        sum += latency_sample(series, i)->ms;
    uint64_t mean = sum / extent.count;
    for (size_t i = 0; i < extent.count; i++) {
        uint64_t ms = latency_sample(series, i)->ms;
        deviation += ms > mean ? ms - mean : mean - ms;
    }
    int64_t period = now_s - latency_sample(series, extent.count - 1)->at_s;
    buf_append_format(out,
                      "%s: %zu samples in %lld seconds, %llu ms on average (mean deviation %llu "
                      "ms), %llu ms at most.\n  %s\n\n",
                      latency_name(event), extent.count, (long long)(period < 1 ? 1 : period),
                      (unsigned long long)mean, (unsigned long long)(deviation / extent.count),
                      (unsigned long long)series->max_ms, advice[event]);
}

void latency_diagnose(const struct latency *latency, const struct config *config, int64_t now_s,
                      struct buf *out)
{
    bool any = false;
    for (int i = 0; i < LATENCY_EVENT_COUNT; i++) {
        const struct latency_series *series = latency_series(latency, (enum latency_event)i);
        if (series == NULL)
            continue;
        any = true;
        describe_event(series, (enum latency_event)i, now_s, out);
    }
    if (config->latency_monitor_threshold == 0)
        buf_append_text(out, "The latency monitor is off. \"CONFIG SET latency-monitor-threshold "
                             "<milliseconds>\" makes it watch for what takes longer.\n");
    else if (!any)
        buf_append_text(out, "Nothing took longer than latency-monitor-threshold so far.\n");
}
