/* An RDB file that a command of the tool reads from front to back, with progress and signals. */
#ifndef BASALT_TOOLS_RDB_SOURCE_H
#define BASALT_TOOLS_RDB_SOURCE_H

#include "codec/rdb_read.h"
#include "tools/progress.h"
#include "tools/tool_input.h"

struct rdb_source {
    struct tool_input input;
    struct rdb_reader *reader; /* owned */
    struct progress progress;
    const char *doing; /* static: for the progress */
    uint64_t item_at;  /* where in the unpacked file the item begins */
    uint64_t keys;     /* that were read */
};

/* `doing` is a word such as "reading". Close it whatever the result. */
MUST_USE enum status rdb_source_open(struct rdb_source *source, const char *file, const char *doing,
                                     struct tool_signals *signals, struct err *err);
/* Of a pipe or a socket, which becomes the source's; `name` is for messages. */
void rdb_source_open_fd(struct rdb_source *source, int fd, const char *name, const char *doing,
                        struct tool_signals *signals);
void rdb_source_close(struct rdb_source *source);
/* As rdb_reader_next, whose ST_END here also says that nothing stands behind the file's end. */
MUST_USE enum status rdb_source_next(struct rdb_source *source, struct rdb_item *item_out,
                                     struct err *err);
/* Module values cannot be decoded. */
static inline bool rdb_key_is_module(const struct rdb_key *key)
{
    return key->type == RDB_TYPE_MODULE_2 || key->type == RDB_TYPE_MODULE_PRE_GA;
}

#endif
