/* Drops what emptied databases and deleted large objects have left on disk. What is to go is noted
 * in the meta family by the cut that made it unreachable (meta.h), so nothing is forgotten in a
 * crash. Works in short jobs on the flusher's thread, between cuts. Main thread but for the jobs.
 */
#ifndef BASALT_STORAGE_REAP_H
#define BASALT_STORAGE_REAP_H

#include <stdbool.h>
#include <stdint.h>

struct cold;
struct executor;
struct reap;

struct reap *reap_create(struct cold *cold, struct executor *flusher);
/* Its job must have been drained. */
void reap_destroy(struct reap *reap);
/* Once per tick; `epoch` is the last applied cut, after each of which there may be something to do.
 * Also lets RocksDB adapt itself to the load (cold_tend) every few seconds. */
void reap_tick(struct reap *reap, uint32_t epoch, int64_t mono_ms);
bool reap_busy(const struct reap *reap);
void reap_stop(struct reap *reap);
/* While somebody holds them, no file of dropped ranges is removed as a whole: snapshots would lose
 * what they still have to read there. To be held before the snapshot is made. */
void reap_hold_files(struct reap *reap);
void reap_release_files(struct reap *reap);

struct reap_stats {
    uint64_t databases, objects; /* dropped */
    uint64_t records;            /* deleted one by one */
    uint64_t ranges;             /* deleted as ranges */
    uint64_t errors;
};
void reap_read_stats(const struct reap *reap, struct reap_stats *out);

#endif
