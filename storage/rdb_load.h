/* Makes values of what an RDB or DUMP says of them (codec/rdb_read_value.h), as the types
 * themselves would: with the encodings that Redis gives them under the same settings, and large
 * where they are larger than large-collection-threshold.
 *
 * The value is made in an object of the caller's (zeroed), away from the keyspace, so that nothing
 * has happened when the bytes turn out bad; rdb_load_move puts it in a key's object. */
#ifndef BASALT_STORAGE_RDB_LOAD_H
#define BASALT_STORAGE_RDB_LOAD_H

#include "codec/buf.h"
#include "codec/rdb_read_value.h"
#include "codec/status.h"
#include "storage/object.h"
#include "storage/types/list.h"
#include "storage/types/stream_load.h"

struct zset_build;

struct rdb_load {
    const struct list_rules *rules; /* borrowed; with the rules of all types */
    struct buf text;                /* of a string */
    enum rdb_value_form form;
    uint64_t count; /* as the value claims */
    bool has_deadlines;
    bool has_element;
    struct zset_build *zset; /* owned: what becomes a sorted set */
    struct stream_load stream;
    /* Last, as it ends with an array. Has a value once an element came, but that of a string. */
    struct object o;
};

void rdb_load_init(struct rdb_load *load, const struct list_rules *rules);
/* Frees what has not been moved. */
void rdb_load_deinit(struct rdb_load *load);
/* An rdb_element_fn; `arg` is the struct rdb_load. ST_CORRUPT: elements that repeat, and such. */
enum status rdb_load_take(void *arg, const struct rdb_element *element, struct err *err);
/* After the last element. ST_OK: load->o has the value, or load->text if it is a string's;
 * ST_NOT_FOUND: a collection without elements, which is no value. */
MUST_USE enum status rdb_load_finish(struct rdb_load *load);
/* Moves the value, not a string's, to an object without one (ks_create); between ks_change_begin
 * and ks_change_end. */
void rdb_load_move(struct rdb_load *load, struct object *to);

#endif
