/* Shared by the decoders of values: rdb_read_value.c, rdb_read_value_stream.c. */
#ifndef BASALT_CODEC_RDB_READ_VALUE_INTERNAL_H
#define BASALT_CODEC_RDB_READ_VALUE_INTERNAL_H

#include "codec/buf.h"
#include "codec/rdb_read_value.h"

struct rdb_input;

/* A value being decoded. */
struct rdb_decoding {
    struct rdb_input *in;
    uint8_t type;
    rdb_element_fn *take;
    void *arg;
    struct err *err;
    struct buf texts[2];  /* owned: scratch for two strings */
    uint64_t earliest_ms; /* of a hash's deadlines, from which the others count */
    struct buf pending;   /* owned: struct rdb_pending of a stream's group */
};

/* Hands an element over. */
MUST_USE enum status rdb_decode_give(struct rdb_decoding *v, const struct rdb_element *element);
MUST_USE enum status rdb_decode_begin(struct rdb_decoding *v, uint64_t count);
/* A string; good until the next one. */
MUST_USE enum status rdb_decode_text(struct rdb_decoding *v, struct bytes *out);

/* The same, but it stays while others of the first kind are read. */
MUST_USE enum status rdb_decode_kept_text(struct rdb_decoding *v, struct bytes *out);

/* rdb_read_value_stream.c */
MUST_USE enum status rdb_decode_stream(struct rdb_decoding *v);

#endif
