/* Fills the key filter with what is on disk: after a start, and when much in it is gone.
 *
 * A thread reads the records' keys in the order of their positions, some thousand at a time, and
 * rests as long as it works. db->filtered_to says how far it is: below that position the filter
 * holds every cold key. It holds at all times what was demoted since it was cleared; so a key that
 * the thread's iterator did not see, because it was not on disk yet, is in it as well.
 *
 * It stops when the filter's bound is near: what is left keeps to RocksDB's filters.
 *
 * Main thread, but for the thread that reads. */
#ifndef BASALT_STORAGE_KEY_FILTER_FILL_H
#define BASALT_STORAGE_KEY_FILTER_FILL_H

#include <stdbool.h>
#include <stdint.h>

struct cold;
struct completions;
struct key_filter_fill;
struct keyspace;

struct key_filter_fill *key_filter_fill_create(struct keyspace *ks, struct cold *cold,
                                               struct completions *completions);
/* Not while it is busy. NULL allowed. */
void key_filter_fill_destroy(struct key_filter_fill *fill);
/* Begins what there is to do; once per tick. `mono_ms`: monotonic clock. */
void key_filter_fill_tick(struct key_filter_fill *fill, int64_t mono_ms);
/* Nothing is begun any more. */
void key_filter_fill_stop(struct key_filter_fill *fill);
bool key_filter_fill_busy(const struct key_filter_fill *fill);

#endif
