/* A histogram of durations with a relative error below 3 %, from 1 ns to about 18 minutes; longer
 * ones count as that. Recording costs a few nanoseconds and no memory. One thread at a time. */
#ifndef BASALT_SERVER_HISTOGRAM_H
#define BASALT_SERVER_HISTOGRAM_H

#include <stdint.h>

/* Each power of two is split into this many buckets. */
#define HISTOGRAM_SPLIT_BITS 5
#define HISTOGRAM_VALUE_BITS 40
#define HISTOGRAM_BUCKET_COUNT                                                                     \
    ((HISTOGRAM_VALUE_BITS - HISTOGRAM_SPLIT_BITS + 1) << HISTOGRAM_SPLIT_BITS)

/* A zeroed struct is a valid empty histogram; 9 KiB. */
struct histogram {
    uint64_t count;
    uint64_t max_ns;
    uint64_t buckets[HISTOGRAM_BUCKET_COUNT];
};

void histogram_record(struct histogram *histogram, uint64_t duration_ns);
/* A duration that `percent` (0..100) of the recorded ones do not exceed; 0 when there are none. */
uint64_t histogram_percentile_ns(const struct histogram *histogram, double percent);
/* How many were at most `limit_ns` (with the histogram's precision). */
uint64_t histogram_count_below(const struct histogram *histogram, uint64_t limit_ns);
void histogram_reset(struct histogram *histogram);

#endif
