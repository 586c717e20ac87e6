/* A data directory that no server has open, read as an RDB file would be: a thread exports it
 * (storage/rdb_export.h) into a socket, from which a struct rdb_source reads. Memory is bounded,
 * and there is no file. */
#ifndef BASALT_TOOLS_DATASET_SOURCE_H
#define BASALT_TOOLS_DATASET_SOURCE_H

#include <pthread.h>

#include "storage/rdb_export.h"
#include "tools/rdb_filter.h"
#include "tools/rdb_source.h"

struct dataset_source {
    struct rdb_source rdb; /* to read from */
    /* private */
    struct rdb_filter filter;
    struct rdb_export_options options;
    pthread_t thread;
    bool started;
    int write_fd; /* the thread's */
    bool cut_off; /* nobody reads any more */
    /* the thread's results */
    enum status status;
    struct err err;
    struct rdb_export_report report; /* public, when it is closed */
};

/* Only the keys that `filter` (copied; what it points to is borrowed) wants are exported. `doing`
 * as for rdb_source_open. Close it whatever the result. */
MUST_USE enum status dataset_source_open(struct dataset_source *source, const char *dir,
                                         const struct rdb_filter *filter, bool ignore_journal,
                                         const char *doing, struct tool_signals *signals,
                                         struct err *err);
/* `st` and `err` are how reading ended; returns that, or how exporting failed, which comes first: a
 * dataset that could not be read looks like a file that is cut off. */
enum status dataset_source_close(struct dataset_source *source, enum status st, struct err *err);

#endif
