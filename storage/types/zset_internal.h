/* The table holding of sorted sets, for zset*.c only. */
#ifndef BASALT_STORAGE_TYPES_ZSET_INTERNAL_H
#define BASALT_STORAGE_TYPES_ZSET_INTERNAL_H

#include "storage/types/zset.h"

#include "storage/types/members.h"
#include "storage/types/zset_element.h"
#include "storage/types/zset_listpack.h"
#include "storage/value_type.h"

/* Listpacks do not get larger than this, whatever the settings say: they are written whole. */
#define ZSET_LISTPACK_BYTES_MAX ((size_t)1 << 20)

/* What value.pointer of an ENCODING_ORDERED object points to. */
struct zset {
    struct members members;     /* owns the elements */
    struct ordered_index order; /* of the same elements; of a large set maybe not of all in RAM */
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

/* ---- Large sets (zset_large.c), as value_type.h says. */

void zset_encode_part(const struct part *part, struct part_sink *sink);
void zset_forget_part(struct object *o, struct part *part);
enum status zset_install_part(struct object *o, struct bytes element, struct bytes value,
                              bool found, const struct value_rules *rules);
void zset_installed_range(struct object *o, struct bytes from, struct bytes to);
size_t zset_drop_clean(struct object *o, size_t bytes);

/* The element that a score's deletion is written down with. */
struct part *zset_score_tombstone(const struct part *element);

/* Element keys of large sets: a kind, then, big endian, for ZSET_KEY_ORDER and ZSET_KEY_LEAF the
 * score (zset_score_order) and the member or a prefix of one. Elements by member are MEMBER_*. */
#define ZSET_KEY_LEAF         'L'
#define ZSET_KEY_ORDER        'S'
#define ZSET_KEY_PREFIX_BYTES 9

/* The element key of a place in the order; `key` is overwritten. */
void zset_order_key(const struct order_key *place, struct buf *key);

#endif
