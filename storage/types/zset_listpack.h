/* Small sorted sets as listpacks: members, each followed by its score, in the order of the set; as
 * Redis packs them. A whole score is an integer, others are their text. As in Redis, -0 becomes 0.
 *
 * An element is named by the offset of its member. Inside the type (zset*.c). */
#ifndef BASALT_STORAGE_TYPES_ZSET_LISTPACK_H
#define BASALT_STORAGE_TYPES_ZSET_LISTPACK_H

#include "codec/listpack.h"
#include "storage/ordered_index.h"

/* Checks bytes from outside: pairs, at least one, with scores that are numbers, in order. */
MUST_USE enum status zset_listpack_validate(struct bytes in, struct err *err);

static inline uint32_t zset_listpack_count(const uint8_t *data)
{
    return listpack_count(data) / 2;
}

/* The score of the element at `at`. */
double zset_listpack_score(const uint8_t *data, uint32_t at);
/* 0 when there is no such member. */
static inline uint32_t zset_listpack_find(const uint8_t *data, struct bytes member)
{
    return listpack_find(data, listpack_first(data), member, 1);
}
/* How many elements are before the one at `at`. */
uint64_t zset_listpack_rank(const uint8_t *data, uint32_t at);
/* As ordered_index_seek. */
uint64_t zset_listpack_seek(const uint8_t *data, const struct order_bound *bound);

/* There must be no such member. */
void zset_listpack_insert(struct listpack *lp, struct bytes member, double score);
void zset_listpack_append(struct listpack *lp, struct bytes member, double score);
void zset_listpack_delete(struct listpack *lp, uint32_t at);

#endif
