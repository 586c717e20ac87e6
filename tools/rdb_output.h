/* The file that an export writes, or standard output, packed by zstd if wanted. A file gets its
 * name when it is complete and durable: whenever the process or the machine ends, what had the name
 * before is there, or the new file. */
#ifndef BASALT_TOOLS_RDB_OUTPUT_H
#define BASALT_TOOLS_RDB_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/buf.h"
#include "codec/status.h"
#include "storage/env.h"

struct compress_context;

struct rdb_output {
    uint64_t written; /* bytes of the file, packed */
    /* private */
    struct env *env;
    const char *file; /* borrowed; NULL: standard output */
    char temp[ENV_PATH_BYTES_MAX];
    int fd;
    struct compress_context *packer; /* owned; NULL: not packed */
    struct buf packed;               /* owned */
};

/* `file` may be "-". ST_INVALID (the name is too long), ST_IO. */
MUST_USE enum status rdb_output_open(struct rdb_output *output, struct env *env, const char *file,
                                     bool zstd, struct err *err);
/* An rdb_write_fn; `arg` is the struct rdb_output. Large pieces pack better. */
enum status rdb_output_write(void *arg, struct bytes data, struct err *err);
/* `st` is how the writing went: if it is ST_OK, the file takes its name, else there is none.
 * Returns the first failure. */
MUST_USE enum status rdb_output_close(struct rdb_output *output, enum status st, struct err *err);

#endif
