/* A cheap clock for durations: the processor's counter where there is one. */
#ifndef BASALT_SERVER_TICKS_H
#define BASALT_SERVER_TICKS_H

#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

static inline uint64_t ticks_clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t ticks_now(void)
{
#if defined(__x86_64__)
    return __rdtsc();
#else
    return ticks_clock_ns();
#endif
}

/* Nanoseconds per 2^16 ticks, learned by comparing both clocks from time to time. */
struct ticks_scale {
    uint64_t first_ticks, first_ns;
    uint64_t ns_per_64k; /* 65536 = 1 ns per tick */
};

static inline void ticks_scale_init(struct ticks_scale *scale)
{
    scale->first_ticks = ticks_now();
    scale->first_ns = ticks_clock_ns();
    scale->ns_per_64k = 65536 / 2; /* until the first update: about 2 GHz */
}

static inline void ticks_scale_update(struct ticks_scale *scale, uint64_t now_ns)
{
    uint64_t ticks = ticks_now() - scale->first_ticks;
    uint64_t ns = now_ns - scale->first_ns;
    if (ns > 1000000 && ticks > 65536)
        scale->ns_per_64k = (uint64_t)((double)ns * 65536 / (double)ticks);
}

static inline uint64_t ticks_to_ns(const struct ticks_scale *scale, uint64_t ticks)
{
    return (uint64_t)(((unsigned __int128)ticks * scale->ns_per_64k) >> 16);
}

#endif
