/* An RDB stream written anew: as it is, byte for byte, once it is known to be sound; or only chosen
 * keys of it, or in another version.
 *
 * Values pass through in pieces. Only what the wanted version has no form for is made anew, and
 * then one value is held as a whole. */
#ifndef BASALT_TOOLS_RDB_REWRITE_H
#define BASALT_TOOLS_RDB_REWRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/rdb_read.h"
#include "codec/rdb_write.h"

struct rdb_filter;

struct rdb_rewrite_options {
    rdb_read_fn *read;
    void *read_arg;
    rdb_write_fn *write;
    void *write_arg;
    int version;                     /* wanted, 9 to RDB_VERSION_MAX; 0: that of the stream */
    const struct rdb_filter *filter; /* borrowed */
    int64_t now_ms;                  /* fields of hashes that are due lose nothing else */
    /* Called now and then; false: stop. */
    bool (*progress)(void *arg, uint64_t keys);
    void *arg;
};

struct rdb_rewrite_report {
    int version;        /* of what was written */
    bool has_checksum;  /* the stream had one, which was right */
    uint64_t keys;      /* written */
    uint64_t unwanted;  /* not written */
    uint64_t undated;   /* hashes whose fields have lost their deadlines */
    uint64_t modules;   /* records of modules' own data that were left out */
    uint64_t functions; /* libraries that the version cannot tell */
    uint64_t bytes;     /* written, before anything that `write` does to them */
};

/* Reads the stream to its end. ST_CORRUPT, ST_UNSUPPORTED, ST_LIMIT: it is no sound RDB file, or
 * goes on behind its end; ST_AGAIN: it was stopped; what `read` and `write` returned. After a
 * failure what was written is of no use. */
MUST_USE enum status rdb_rewrite_run(const struct rdb_rewrite_options *options,
                                     struct rdb_rewrite_report *out, struct err *err);

#endif
