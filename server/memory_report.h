/* Where the process's memory is: for INFO memory, MEMORY STATS and MEMORY DOCTOR. Main thread. */
#ifndef BASALT_SERVER_MEMORY_REPORT_H
#define BASALT_SERVER_MEMORY_REPORT_H

#include "codec/buf.h"

#include <stdint.h>

struct services;
struct stats;

/* Notes startup and peak memory in `stats`, at most once a second; call at least as often. */
void memory_report_sample(struct stats *stats, int64_t mono_ms);

/* Bytes, unless said otherwise. */
struct memory_report {
    /* The allocator and the system */
    uint64_t used; /* handed out by the allocator, to all parts of the process */
    uint64_t active;
    uint64_t resident;
    uint64_t rss;
    uint64_t startup; /* `used` when the server had started */
    uint64_t peak;
    uint64_t system; /* of the machine or, if smaller, its cgroup */

    /* The parts */
    uint64_t hot;         /* objects and tables: what maxmemory bounds, with `dirty` */
    uint64_t dirty;       /* of hot, not on disk yet */
    uint64_t cold;        /* RocksDB's block cache, memtables, filters and indexes */
    uint64_t journal;     /* staged and unsynced */
    uint64_t clients;     /* buffers of connections */
    uint64_t replicas;    /* the same of replicas */
    uint64_t hot_objects; /* count */
    uint64_t keys;        /* count, in RAM and on disk */
};
/* Some 100 us. */
void memory_report_read(const struct services *services, struct memory_report *out);

/* All that is not data: `used` without `hot`. */
uint64_t memory_report_overhead(const struct memory_report *report);
/* Share of the data in what was used since the start, in percent. */
double memory_report_dataset_percent(const struct memory_report *report);
/* a / b, or 0. */
double memory_report_ratio(uint64_t a, uint64_t b);

/* MEMORY DOCTOR's text. */
void memory_report_diagnose(const struct services *services, struct buf *out);

#endif
