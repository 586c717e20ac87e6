/* Values as RDB files have them, one for each type and encoding, old ones built by hand, with what
 * they say in words. */
#ifndef BASALT_TESTS_SUPPORT_RDB_SAMPLES_H
#define BASALT_TESTS_SUPPORT_RDB_SAMPLES_H

#include "codec/buf.h"

#include <stddef.h>
#include <stdint.h>

struct rdb_sample {
    const char *name;
    uint8_t type; /* enum rdb_type */
    void (*put)(struct buf *out);
    const char *elements; /* in words, as rdb_decode_test has them */
    const char *encoding; /* that the value gets in RAM, with Redis's defaults */
};

/* All of them; `*count_out` of them. */
const struct rdb_sample *rdb_samples(size_t *count_out);

#endif
