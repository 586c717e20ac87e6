/* The latency monitor: what held clients up for longer than latency-monitor-threshold, as one
 * series of samples per kind of event, at most one sample per second. Main thread. Source:
 * latency.c of Redis 7.2; the kinds are those that exist here. */
#ifndef BASALT_SERVER_LATENCY_H
#define BASALT_SERVER_LATENCY_H

#include "codec/buf.h"
#include "codec/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct latency;

enum latency_event {
    LATENCY_COMMAND,          /* a command ran so long */
    LATENCY_FAST_COMMAND,     /* one that is said to be fast */
    LATENCY_EXPIRE_CYCLE,     /* keys and fields that were due were deleted in one go */
    LATENCY_EVICTION_CYCLE,   /* objects were demoted in one go */
    LATENCY_CUT_SLICE,        /* changed objects were encoded in one go */
    LATENCY_COLD_LOAD,        /* a request waited for cold data */
    LATENCY_WRITE_DELAY,      /* a write waited for its turn, the disk being behind */
    LATENCY_AOF_FSYNC_ALWAYS, /* replies waited for the journal to be synced */
    LATENCY_EVENT_COUNT,
};

#define LATENCY_SAMPLES_MAX 160

struct latency_sample {
    int64_t at_s; /* wall clock; 0: none */
    uint64_t ms;
};

struct latency_series {
    struct latency_sample samples[LATENCY_SAMPLES_MAX]; /* a ring */
    size_t next;
    uint64_t max_ms; /* since the last reset */
};

struct latency *latency_create(void);
/* Accepts NULL. */
void latency_destroy(struct latency *latency);
void latency_add(struct latency *latency, enum latency_event event, uint64_t ms, int64_t now_s);
const char *latency_name(enum latency_event event);
/* LATENCY_EVENT_COUNT: there is no event of that name. */
enum latency_event latency_find(struct bytes name);
/* NULL: it has not happened. */
const struct latency_series *latency_series(const struct latency *latency,
                                            enum latency_event event);
/* The `back`th sample from the newest (0) on; NULL: there are not so many. */
const struct latency_sample *latency_sample(const struct latency_series *series, size_t back);
/* False: there was nothing to forget. */
bool latency_reset(struct latency *latency, enum latency_event event);

/* latency_report.c: what people read. */
/* The series as a diagram, oldest on the left; the event must have happened. */
void latency_draw(const struct latency *latency, enum latency_event event, int64_t now_s,
                  struct buf *out);
void latency_diagnose(const struct latency *latency, const struct config *config, int64_t now_s,
                      struct buf *out);

#endif
