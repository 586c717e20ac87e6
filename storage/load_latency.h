/* Buckets for latencies in microseconds: four per power of two. Pure. */
#ifndef BASALT_STORAGE_LOAD_LATENCY_H
#define BASALT_STORAGE_LOAD_LATENCY_H

#include <stdint.h>

#define LATENCY_BUCKETS 128

static inline uint32_t latency_bucket(uint64_t us)
{
    if (us < 4)
        return (uint32_t)us;
    uint32_t log = 63 - (uint32_t)__builtin_clzll(us);
    uint32_t bucket = log * 4 - 4 + (uint32_t)(us >> (log - 2) & 3);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The smallest latency of a bucket. */
static inline uint64_t latency_bucket_us(uint32_t bucket)
{
    if (bucket < 4)
        return bucket;
    uint32_t log = (bucket + 4) / 4;
    return ((uint64_t)1 << log) + ((uint64_t)(bucket & 3) << (log - 2));
}

#endif
