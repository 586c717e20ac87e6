#include "server/latency.h"

#include "codec/mem.h"

struct latency {
    struct latency_series series[LATENCY_EVENT_COUNT];
};

static const char *const names[LATENCY_EVENT_COUNT] = {
    [LATENCY_COMMAND] = "command",           [LATENCY_FAST_COMMAND] = "fast-command",
    [LATENCY_EXPIRE_CYCLE] = "expire-cycle", [LATENCY_EVICTION_CYCLE] = "eviction-cycle",
    [LATENCY_CUT_SLICE] = "cut-slice",       [LATENCY_COLD_LOAD] = "cold-load",
    [LATENCY_WRITE_DELAY] = "write-delay",   [LATENCY_AOF_FSYNC_ALWAYS] = "aof-fsync-always",
};

struct latency *latency_create(void)
{
    return mem_calloc(1, sizeof(struct latency));
}

void latency_destroy(struct latency *latency)
{
    mem_free(latency);
}

void latency_add(struct latency *latency, enum latency_event event, uint64_t ms, int64_t now_s)
{
    struct latency_series *series = &latency->series[event];
    if (ms > series->max_ms)
        series->max_ms = ms;
    struct latency_sample *newest =
        &series->samples[(series->next + LATENCY_SAMPLES_MAX - 1) % LATENCY_SAMPLES_MAX];
    if (newest->at_s == now_s) {
        if (ms > newest->ms)
            newest->ms = ms;
        return;
    }
    series->samples[series->next] = (struct latency_sample){.at_s = now_s, .ms = ms};
    series->next = (series->next + 1) % LATENCY_SAMPLES_MAX;
}

const char *latency_name(enum latency_event event)
{
    return names[event];
}

enum latency_event latency_find(struct bytes name)
{
    int event = 0;
    while (event < LATENCY_EVENT_COUNT && !bytes_equal_nocase(name, names[event]))
        event++;
    return (enum latency_event)event;
}

const struct latency_sample *latency_sample(const struct latency_series *series, size_t back)
{
    if (back >= LATENCY_SAMPLES_MAX)
        return NULL;
    size_t place = (series->next + LATENCY_SAMPLES_MAX - 1 - back) % LATENCY_SAMPLES_MAX;
    const struct latency_sample *sample = &series->samples[place];
    return sample->at_s == 0 ? NULL : sample;
}

const struct latency_series *latency_series(const struct latency *latency, enum latency_event event)
{
    const struct latency_series *series = &latency->series[event];
    return latency_sample(series, 0) == NULL ? NULL : series;
}

bool latency_reset(struct latency *latency, enum latency_event event)
{
    bool any = latency_series(latency, event) != NULL;
    latency->series[event] = (struct latency_series){.next = 0};
    return any;
}
