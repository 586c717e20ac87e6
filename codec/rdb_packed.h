/* Collections that an RDB holds as one string: listpacks and intsets, and their forerunners
 * ziplist and zipmap, which are read only. All are read as one sequence of texts and integers.
 * Source: Redis 7.2; described in FORMAT.md, "Packed collections". */
#ifndef BASALT_CODEC_RDB_PACKED_H
#define BASALT_CODEC_RDB_PACKED_H

#include "codec/listpack.h"
#include "codec/status.h"

enum rdb_packed_form {
    RDB_PACKED_LISTPACK,
    RDB_PACKED_INTSET,
    RDB_PACKED_ZIPLIST,
    RDB_PACKED_ZIPMAP, /* fields and values in turn */
};

/* A walk over the entries. */
struct rdb_packed {
    enum rdb_packed_form form;
    struct bytes in; /* borrowed */
    uint32_t at;     /* offset of the next entry; of an intset its index */
    uint32_t count;  /* of all entries */
};

/* Checks every byte of `in` and begins a walk. Returns ST_OK, or ST_CORRUPT with what is wrong. No
 * entries is valid. */
MUST_USE enum status rdb_packed_open(struct rdb_packed *packed, enum rdb_packed_form form,
                                     struct bytes in, struct err *err);
/* False at the end. `value` borrows from what is walked over. */
bool rdb_packed_next(struct rdb_packed *packed, struct listpack_value *value);

#endif
