/* Keys as they are on disk, put into an RDB file: for saving from a snapshot, on a thread of its
 * own. A large collection is never in memory as a whole: its elements are read and put one by one
 * (of a stream, the pending entries of one group at a time are). Uses no object of the keyspace. */
#ifndef BASALT_STORAGE_RDB_RECORD_H
#define BASALT_STORAGE_RDB_RECORD_H

#include "codec/record.h"
#include "codec/status.h"
#include "storage/object.h"
#include "storage/rdb_value.h"
#include "storage/value_type.h"

struct cold;
struct cold_snapshot;

struct rdb_source {
    struct cold *cold;
    const struct cold_snapshot *snapshot;
    struct value_rules rules; /* hash_seed is looked at */
};

struct rdb_record {
    enum object_type type;
    struct bytes key; /* the user's */
    struct record_header header;
    struct bytes payload;
};

/* Puts a key with its expiry and value. `*put_out` is false if there was nothing to put: a hash of
 * which all fields are due. ST_CORRUPT: the record or its elements are damaged, and part of the key
 * may have been put; ST_IO. */
MUST_USE enum status rdb_record_put(const struct rdb_source *source,
                                    const struct rdb_target *target,
                                    const struct rdb_record *record, bool *put_out,
                                    struct err *err);

#endif
