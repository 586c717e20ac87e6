/* The contents of an RDB's values: whatever the type and its encoding, a value is told as a
 * sequence of *elements*, one at a time, so that it need never be in memory as a whole.
 *
 * What a value's own bytes can tell has been checked then: lengths, counts, every byte of packed
 * encodings, the order of packed integers, that scores are numbers and deadlines times, that what
 * is pending for a consumer is pending in its group, and once. Whether elements repeat is for the
 * receiver to see, which has them in a table; so is the inside of a stream's nodes. */
#ifndef BASALT_CODEC_RDB_READ_VALUE_H
#define BASALT_CODEC_RDB_READ_VALUE_H

#include "codec/rdb_format.h"
#include "codec/status.h"

#define RDB_NO_EXPIRE         INT64_C(-1)
#define RDB_FIELD_EXPIRE_MAX  ((INT64_C(1) << 48) - 1) /* of a hash's field, in ms */
#define RDB_GROUP_PENDING_MAX (UINT32_MAX - 1)         /* of one group */

enum rdb_value_kind {
    RDB_VALUE_STRING,
    RDB_VALUE_LIST,
    RDB_VALUE_SET,
    RDB_VALUE_ZSET,
    RDB_VALUE_HASH,
    RDB_VALUE_STREAM,
};

/* How the writer held it, which decides how it is held again. */
enum rdb_value_form {
    RDB_FORM_PLAIN, /* each element by itself */
    RDB_FORM_PACKED,
    RDB_FORM_INTSET,
};

enum rdb_element_kind {
    RDB_ELEMENT_BEGIN,    /* comes first, once */
    RDB_ELEMENT_TEXT,     /* of a string, which has one; a list; a set */
    RDB_ELEMENT_SCORED,   /* of a sorted set, in any order */
    RDB_ELEMENT_FIELD,    /* of a hash */
    RDB_ELEMENT_NODE,     /* of a stream */
    RDB_ELEMENT_STREAM,   /* behind its nodes, once */
    RDB_ELEMENT_GROUP,    /* of the stream */
    RDB_ELEMENT_CONSUMER, /* of the group */
    RDB_ELEMENT_PENDING,  /* of the consumer */
};

struct rdb_stream_id {
    uint64_t ms;
    uint64_t seq;
};

/* All bytes are borrowed while the receiver runs. */
struct rdb_element {
    enum rdb_element_kind kind;
    union {
        struct {
            enum rdb_value_kind kind;
            enum rdb_value_form form;
            uint64_t count; /* of elements (of a stream: nodes), as the value claims; 0: unknown */
            bool has_deadlines; /* of a hash: its fields may have some */
        } begin;
        struct bytes text;
        struct {
            struct bytes member;
            double score; /* not NaN */
        } scored;
        struct {
            struct bytes name;
            struct bytes value;
            int64_t expire_at_ms; /* or RDB_NO_EXPIRE */
        } field;
        struct {
            struct rdb_stream_id id;
            struct bytes listpack; /* not checked */
        } node;
        struct {
            uint64_t length;
            struct rdb_stream_id last_id;
            bool has_history; /* the rest is known; not in the oldest format */
            struct rdb_stream_id first_id;
            struct rdb_stream_id max_deleted_id;
            uint64_t entries_added;
        } stream;
        struct {
            struct bytes name;
            struct rdb_stream_id last_id;
            bool has_entries_read;
            int64_t entries_read; /* -1: unknown to the writer, too */
        } group;
        struct {
            struct bytes name;
            int64_t seen_at_ms;
            int64_t active_at_ms; /* -1: never */
        } consumer;
        struct {
            struct rdb_stream_id id;
            int64_t delivered_at_ms;
            uint64_t deliveries;
        } pending;
    };
};

/* Takes an element. Anything but ST_OK ends the value, and is what the decoder returns. */
typedef enum status rdb_element_fn(void *arg, const struct rdb_element *element, struct err *err);

/* Decodes a value that stands by itself, as in DUMP between the type and the version. ST_OK;
 * ST_CORRUPT, also when bytes are left over; ST_UNSUPPORTED (a module's value); ST_LIMIT (out of
 * memory, or a string longer than `string_bytes_max`); or what the receiver returned. */
MUST_USE enum status rdb_decode(uint8_t type, struct bytes value, uint64_t string_bytes_max,
                                rdb_element_fn *take, void *arg, struct err *err);

#endif
