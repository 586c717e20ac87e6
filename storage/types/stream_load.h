/* Makes a stream of the elements of an RDB's value (codec/rdb_read_value.h), and checks what they
 * are: nodes and the ids in them ascend, the counts fit, names are there once. */
#ifndef BASALT_STORAGE_TYPES_STREAM_LOAD_H
#define BASALT_STORAGE_TYPES_STREAM_LOAD_H

#include "codec/rdb_read_value.h"
#include "codec/status.h"
#include "storage/types/stream.h"

/* Zeroed at first. */
struct stream_load {
    uint64_t entries;
    struct stream_id first, last;     /* of the entries that there are */
    struct stream_group *group;       /* the last one; borrowed */
    struct stream_consumer *consumer; /* the group's last one; borrowed */
};

/* Adds an element to `s`, which began empty. Nodes that have come may have left RAM since. ST_OK;
 * ST_CORRUPT, and the stream is of no use then. */
MUST_USE enum status stream_load_take(struct stream_load *load, struct stream *s,
                                      const struct rdb_element *element, struct err *err);

#endif
