/* The table holding of sorted sets, for zset*.c only. */
#ifndef BASALT_STORAGE_TYPES_ZSET_INTERNAL_H
#define BASALT_STORAGE_TYPES_ZSET_INTERNAL_H

#include "storage/types/zset.h"

#include "storage/types/zset_element.h"
#include "storage/types/zset_listpack.h"
#include "storage/value_type.h"

/* Listpacks do not get larger than this, whatever the settings say: they are written whole. */
#define ZSET_LISTPACK_BYTES_MAX ((size_t)1 << 20)

/* What value.pointer of an ENCODING_ORDERED object points to. */
struct zset {
    struct member_table members; /* owns the elements */
    struct ordered_index order;  /* of the same elements */
    uint64_t count;
    size_t element_bytes; /* of the elements (allocator's sizes) */
    size_t payload_bytes; /* that they take in a record, about */
};

static inline bool zset_is_listpack(const struct object *o)
{
    return o->encoding == ENCODING_LISTPACK;
}

static inline const uint8_t *zset_listpack_of(const struct object *o)
{
    return o->value.pointer;
}

static inline struct zset *zset_of(const struct object *o)
{
    return (struct zset *)o->value.pointer;
}

static inline void zset_set_table(struct object *o, struct zset *zset)
{
    o->encoding = ENCODING_ORDERED;
    o->value.pointer = zset;
}

struct zset *zset_create(const struct value_rules *rules);
void zset_destroy(struct zset *zset);
/* Adds a member that is not there; `last`: it is known to come behind all others. */
void zset_insert_element(struct zset *zset, struct bytes member, double score, bool last);

/* What an element of this member takes in a record. */
static inline size_t zset_payload_bytes(struct bytes member)
{
    return ZSET_SCORE_BYTES + 1 + member.len;
}

#endif
