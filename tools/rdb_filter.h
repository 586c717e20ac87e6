/* Which keys of an RDB file are wanted: the options --db, --match and --type. */
#ifndef BASALT_TOOLS_RDB_FILTER_H
#define BASALT_TOOLS_RDB_FILTER_H

#include "codec/buf.h"
#include "codec/rdb_format.h"

/* Zeroed: all. */
struct rdb_filter {
    struct buf dbs;      /* owned: uint32_t; empty: any */
    const char *pattern; /* borrowed; NULL: any */
    unsigned types;      /* bits of the type's place in a list of names; 0: any */
};

void rdb_filter_deinit(struct rdb_filter *filter);
/* They take an option's value. False, after complaining in the name of `command`: it is none. */
bool rdb_filter_add_db(struct rdb_filter *filter, const char *command, const char *text);
bool rdb_filter_add_type(struct rdb_filter *filter, const char *command, const char *text);
bool rdb_filter_is_empty(const struct rdb_filter *filter);
/* `arg` is the struct rdb_filter: import_options.wanted. */
bool rdb_filter_takes(void *arg, const struct rdb_key *key);

#endif
