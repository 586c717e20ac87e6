/* Which keys are asked for most: one request in about 64 has its keys counted, whatever it does
 * with them, by the Space-Saving algorithm: a table of so many keys, in which a new one takes the
 * place of the least counted one and goes on from its count, as its *error*. A key with more than
 * one in HOT_KEYS_COUNT of all accesses is always in it. Every minute all counts are halved, so
 * that what is told is what the last minutes were like. Main thread. */
#ifndef BASALT_SERVER_HOT_KEYS_H
#define BASALT_SERVER_HOT_KEYS_H

#include "codec/bytes.h"

#include <stddef.h>
#include <stdint.h>

struct hot_keys;

#define HOT_KEYS_COUNT          512
#define HOT_KEYS_INTERVAL       64   /* requests, in the mean, for one that is counted */
#define HOT_KEYS_NAME_BYTES_MAX 4096 /* keys with longer names are not counted */

struct hot_keys *hot_keys_create(uint64_t seed);
void hot_keys_destroy(struct hot_keys *keys);

/* One that stands for `weight` accesses. */
void hot_keys_count(struct hot_keys *keys, uint32_t db, struct bytes key, uint64_t weight);
/* After how many requests the next one is to be counted: not always the same, so that a client that
 * repeats a few requests is not seen to repeat one of them. */
uint32_t hot_keys_next(struct hot_keys *keys);
/* A number below `limit`, which is not 0. */
uint64_t hot_keys_random(struct hot_keys *keys, uint64_t limit);
/* Once per second or so. */
void hot_keys_cron(struct hot_keys *keys, int64_t mono_ms);

struct hot_keys_item {
    uint32_t db;
    struct bytes key; /* until the next change */
    uint64_t count;
    uint64_t error; /* of the count, at most so many too high */
};

/* The most counted ones, the most first; returns how many. `total_out`: of all counts. */
size_t hot_keys_read(const struct hot_keys *keys, struct hot_keys_item *out, size_t max,
                     uint64_t *total_out);

#endif
