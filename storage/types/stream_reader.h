/* Reading a stream's records and parts: a cursor that remembers when something was wrong. */
#ifndef BASALT_STORAGE_TYPES_STREAM_READER_H
#define BASALT_STORAGE_TYPES_STREAM_READER_H

#include "codec/record.h"
#include "storage/types/stream.h"

struct stream_reader {
    const uint8_t *at;
    size_t left;
    bool sound; /* false: what was read is meaningless */
};

static inline uint64_t read_varint(struct stream_reader *r)
{
    uint64_t value = 0;
    size_t len = r->sound ? varint_decode(bytes_make(r->at, r->left), &value) : 0;
    r->sound = r->sound && len != 0;
    r->at += len;
    r->left -= len;
    return r->sound ? value : 0;
}

static inline uint32_t read_u32(struct stream_reader *r)
{
    uint64_t value = read_varint(r);
    r->sound = r->sound && value <= UINT32_MAX;
    return r->sound ? (uint32_t)value : 0;
}

static inline struct stream_id read_id(struct stream_reader *r)
{
    struct stream_id id;
    id.ms = read_varint(r);
    id.seq = read_varint(r);
    return id;
}

static inline struct bytes read_bytes(struct stream_reader *r)
{
    uint64_t len = read_varint(r);
    r->sound = r->sound && len <= r->left;
    if (!r->sound)
        return bytes_make("", 0);
    struct bytes bytes = bytes_make(r->at, (size_t)len);
    r->at += len;
    r->left -= (size_t)len;
    return bytes;
}

/* The values of parts, as stream_part_value wrote them. NULL: damaged, and r->sound is false. */
struct stream_group_part *read_group_part(struct stream_reader *r, uint32_t number);
struct stream_consumer_part *read_consumer_part(struct stream_reader *r, uint32_t group,
                                                uint32_t number);
struct stream_pending_part *read_pending_part(struct stream_reader *r, uint32_t group,
                                              struct stream_id id);

#endif
