/* RDB files: BGSAVE, SAVE, `save` points, and what INFO tells of them. One save at a time; the file
 * is `dbfilename` in `dir`. Beside the journal they are copies: no write depends on them. Main
 * thread. */
#ifndef BASALT_SERVER_SAVES_H
#define BASALT_SERVER_SAVES_H

#include <stdbool.h>
#include <stdint.h>

struct saves;
struct services;

/* The parts of `services` are used when they are there. */
struct saves *saves_create(const struct services *services);
/* Nothing may be saved any more. NULL is allowed. */
void saves_destroy(struct saves *saves);

/* Starts one, and returns its number (from 1 on); 0: one is running already. */
uint64_t saves_start(struct saves *saves);
/* Saves at once, waiting for the disk; none may be running. The file is of the newest version,
 * whatever rdb-version says, and so has all that the dataset has. False: it failed, and the log
 * says why. */
bool saves_run(struct saves *saves);
/* Several times a second: starts one if a save point asks for it. */
void saves_cron(struct saves *saves);
/* Whether one is running; how the last one ended. */
bool saves_running(const struct saves *saves);
bool saves_last_was_good(const struct saves *saves);
/* The number of the last one that has ended; 0: none has. */
uint64_t saves_last_ended(const struct saves *saves);

struct saves_stats {
    bool running;
    bool last_was_good;             /* true before the first */
    uint64_t count;                 /* good ones */
    int64_t last_good_ms;           /* wall clock; at first, when the server started */
    int64_t last_took_ms;           /* -1: none has ended */
    int64_t running_ms;             /* -1: none is running */
    uint64_t changes;               /* of the dataset since the last good one began */
    uint64_t keys_done, keys_total; /* of the running one; 0 without one */
};
void saves_read_stats(const struct saves *saves, struct saves_stats *out);

#endif
