/* Which keys of a dataset are wanted: the options --db, --match and --type. */
#ifndef BASALT_TOOLS_RDB_FILTER_H
#define BASALT_TOOLS_RDB_FILTER_H

#include "codec/buf.h"
#include "codec/rdb_format.h"
#include "storage/object.h"

/* Zeroed: all. */
struct rdb_filter {
    struct buf dbs;      /* owned: uint32_t; empty: any */
    const char *pattern; /* borrowed; NULL: any */
    unsigned types;      /* bits by enum object_type; 0: any */
};

void rdb_filter_deinit(struct rdb_filter *filter);
/* They take an option's value. False, after complaining in the name of `command`: it is none. */
bool rdb_filter_add_db(struct rdb_filter *filter, const char *command, const char *text);
bool rdb_filter_add_type(struct rdb_filter *filter, const char *command, const char *text);
bool rdb_filter_is_empty(const struct rdb_filter *filter);
/* A module's key has no type here: OBJECT_NONE. */
bool rdb_filter_wants(const struct rdb_filter *filter, uint32_t db, enum object_type type,
                      struct bytes key);
bool rdb_filter_wants_key(const struct rdb_filter *filter, const struct rdb_key *key);
/* The same; `arg` is the struct rdb_filter: import_options.wanted. */
bool rdb_filter_takes(void *arg, const struct rdb_key *key);

#endif
