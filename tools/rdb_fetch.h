/* The RDB file that a server, Basalt or Redis, sends a replica: asked for and read, whether its
 * length is told beforehand (from the server's disk) or a mark ends it (diskless). The server is
 * not asked for what comes behind. Nothing is kept but a buffer. */
#ifndef BASALT_TOOLS_RDB_FETCH_H
#define BASALT_TOOLS_RDB_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/buf.h"
#include "tools/tool_client.h"

#define RDB_FETCH_MARK_BYTES 40

/* Zeroed is closed, but for client.fd: -1. */
struct rdb_fetch {
    struct tool_client client;
    uint64_t bytes; /* of the file; 0: not known */
    uint64_t read;  /* so far */
    /* private */
    bool has_mark;
    bool ended;
    char mark[RDB_FETCH_MARK_BYTES];
    struct buf held; /* owned: received behind a mark that may have begun */
    size_t held_at;
};

/* Connects, logs in and asks; returns when the server begins to send. Close it whatever the result.
 * ST_INVALID: the server refuses, `err` has its words; ST_CORRUPT: it speaks otherwise; ST_IO;
 * ST_AGAIN: a signal came. */
MUST_USE enum status rdb_fetch_open(struct rdb_fetch *fetch, const struct tool_server *server,
                                    struct tool_signals *signals, struct err *err);
void rdb_fetch_close(struct rdb_fetch *fetch);
/* An rdb_read_fn; `arg` is the struct rdb_fetch. ST_IO: the connection was lost amid the file. */
enum status rdb_fetch_read(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                           struct err *err);

#endif
