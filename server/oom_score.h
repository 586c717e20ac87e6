/* Settings oom-score-adj and oom-score-adj-values: how likely the system is to end this process
 * when memory runs out. */
#ifndef BASALT_SERVER_OOM_SCORE_H
#define BASALT_SERVER_OOM_SCORE_H

#include "codec/status.h"

#include <stdbool.h>

struct config;

/* Path of the score of this process. */
#define OOM_SCORE_PATH "/proc/self/oom_score_adj"

/* Zeroed but for `path`: nothing was adjusted yet. */
struct oom_score {
    const char *path; /* borrowed for good; OOM_SCORE_PATH but in tests */
    bool adjusted;    /* by us; `base` is then what was there before */
    int base;
};

/* Makes the score what the settings say for a replica (replicaof is set) or a master; switched off,
 * gives back what was there before the first adjustment. Call at start, when the role changes, and,
 * through oom_score_apply, when a setting does. ST_IO: the system refuses (lowering the score needs
 * privileges). */
MUST_USE enum status oom_score_update(struct oom_score *self, const struct config *config,
                                      struct err *err);
/* The same as a config_apply_fn; `arg` is the struct. The details of a failure are logged. */
enum status oom_score_apply(void *arg, const struct config *config, struct err *err);

#endif
