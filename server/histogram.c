/* Log-linear buckets: values below 2^SPLIT_BITS have one each; above, a value's bucket is its power
 * of two and the SPLIT_BITS bits behind its highest one. */
#include "server/histogram.h"

#include <string.h>

#define SPLIT_COUNT  (1u << HISTOGRAM_SPLIT_BITS)
#define VALUE_NS_MAX ((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1)

static unsigned bucket_of(uint64_t value)
{
    if (value < SPLIT_COUNT)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SPLIT_BITS;
    return ((shift + 1) << HISTOGRAM_SPLIT_BITS) + (unsigned)(value >> shift) - SPLIT_COUNT;
}

/* The largest value that falls into a bucket. */
static uint64_t bucket_top(unsigned bucket)
{
    if (bucket < SPLIT_COUNT)
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_SPLIT_BITS) - 1;
    uint64_t low = (bucket & (SPLIT_COUNT - 1)) + SPLIT_COUNT;
    return ((low + 1) << shift) - 1;
}

void histogram_record(struct histogram *histogram, uint64_t duration_ns)
{
    if (duration_ns > VALUE_NS_MAX)
        duration_ns = VALUE_NS_MAX;
    histogram->buckets[bucket_of(duration_ns)]++;
    histogram->count++;
    if (duration_ns > histogram->max_ns)
        histogram->max_ns = duration_ns;
}

uint64_t histogram_percentile_ns(const struct histogram *histogram, double percent)
{
    if (histogram->count == 0)
        return 0;
    uint64_t wanted = (uint64_t)(percent / 100.0 * (double)histogram->count + 0.5);
    if (wanted == 0)
        wanted = 1;
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKET_COUNT; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen >= wanted) {
            uint64_t top = bucket_top(bucket);
            return top < histogram->max_ns ? top : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}

uint64_t histogram_count_below(const struct histogram *histogram, uint64_t limit_ns)
{
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKET_COUNT && bucket_top(bucket) <= limit_ns;
         bucket++)
        seen += histogram->buckets[bucket];
    return seen;
}

void histogram_reset(struct histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
}
