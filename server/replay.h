/* Replays the journal behind the last cut at start-up, between loop ticks, so that clients are told
 * -LOADING meanwhile. Keys are read ahead in windows of commands, by the loaders. Main thread. */
#ifndef BASALT_SERVER_REPLAY_H
#define BASALT_SERVER_REPLAY_H

#include "codec/status.h"

#include <stdbool.h>
#include <stdint.h>

struct replay;
struct services;

struct replay *replay_create(struct services *services);
void replay_destroy(struct replay *replay);
/* Goes on for about `budget_us`. ST_AGAIN: there is more (or loads are awaited); ST_END: all is
 * done; ST_CORRUPT, ST_IO: the journal cannot be replayed, `err` names file or offset. */
MUST_USE enum status replay_step(struct replay *replay, int64_t budget_us, struct err *err);

struct replay_stats {
    uint64_t commands;
    uint64_t bytes_total, bytes_done;
};
void replay_read_stats(const struct replay *replay, struct replay_stats *out);

#endif
