/* Who wants to see RocksDB as it is at a cut and not later: for saving (rdb_save.h) and the like.
 * Part of cut.c, which says when a cut begins, has been written, and is over. */
#ifndef BASALT_STORAGE_CUT_SNAPSHOTS_H
#define BASALT_STORAGE_CUT_SNAPSHOTS_H

#include "codec/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cold;
struct cold_snapshot;

/* `snapshot` is RocksDB at the cut of journal offset `offset`, and is the callee's to release; NULL
 * if the cut failed: `err` tells why. Main thread. */
typedef void cut_snapshot_fn(void *arg, struct cold_snapshot *snapshot, uint64_t offset,
                             const struct err *err);

/* Embedded in whatever wants one; zeroed, it is not waiting. */
struct cut_snapshot_request {
    cut_snapshot_fn *fn;
    void *arg;
    struct cut_snapshot_request *next; /* these are the cut's */
    struct cold_snapshot *snapshot;
    bool waiting;
};

struct cut_snapshots {
    struct cut_snapshot_request *wanted;  /* by the next cut */
    struct cut_snapshot_request *serving; /* by the running one */
};

void cut_snapshots_want(struct cut_snapshots *snapshots, struct cut_snapshot_request *request);
/* A cut begins. */
void cut_snapshots_begin(struct cut_snapshots *snapshots);
/* It has been written, and nothing later. The flusher's thread. */
void cut_snapshots_take(struct cut_snapshots *snapshots, struct cold *cold);
/* It is over; `err` NULL: it has been applied. */
void cut_snapshots_end(struct cut_snapshots *snapshots, uint64_t offset, const struct err *err);
/* No cut will come any more. */
void cut_snapshots_give_up(struct cut_snapshots *snapshots);

#endif
