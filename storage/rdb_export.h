/* A data directory that no server has open, as an RDB file. Nothing in the directory is changed.
 *
 * What RocksDB holds is the dataset at the last cut. Changes that only the journal has are a
 * server's to apply: with such a journal the export is refused, unless `ignore_journal` says that
 * the last cut will do. After a clean shutdown there are none. */
#ifndef BASALT_STORAGE_RDB_EXPORT_H
#define BASALT_STORAGE_RDB_EXPORT_H

#include "codec/rdb_write.h"
#include "codec/status.h"
#include "storage/object.h"

struct env;

struct rdb_export_options {
    struct env *env; /* borrowed, as all others are, for the call */
    const char *dir; /* the data directory */
    const char *redis_version;
    int version; /* of the file: 9 to RDB_VERSION_MAX */
    bool no_compression;
    bool ignore_journal;
    rdb_write_fn *write;
    void *write_arg;
    /* Which keys are wanted; NULL: all, and libraries of functions. */
    bool (*wanted)(void *arg, uint32_t db, enum object_type type, struct bytes key);
    /* Called now and then with the keys that were gone through, and all; false: stop. */
    bool (*progress)(void *arg, uint64_t seen, uint64_t total);
    void *arg; /* of both */
};

struct rdb_export_report {
    uint64_t keys;     /* in the file */
    uint64_t unwanted; /* not in it */
    uint64_t bytes;    /* of the file, before anything that `write` does to it */
    uint64_t offset;   /* of the journal: the moment of which the file is */
    uint64_t behind;   /* bytes of journal that were ignored */
    uint64_t undated;  /* hashes whose fields have lost their deadlines */
};

/* ST_NOT_FOUND: there is no dataset; ST_EXISTS: a server uses it; ST_INVALID: the journal has
 * changes; ST_AGAIN: it was stopped; ST_CORRUPT, ST_UNSUPPORTED, ST_IO; what `write` returned.
 * Blocks. */
MUST_USE enum status rdb_export_run(const struct rdb_export_options *options,
                                    struct rdb_export_report *out, struct err *err);

#endif
