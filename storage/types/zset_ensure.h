/* What requests need of large sorted sets, brought into RAM (storage/ensure.h). Each function wants
 * what its counterpart in zset.h looks at; `e->o` is a large sorted set. Several may be called for
 * one request: zset_ensure_both joins what they answer, so that their reads run side by side. */
#ifndef BASALT_STORAGE_TYPES_ZSET_ENSURE_H
#define BASALT_STORAGE_TYPES_ZSET_ENSURE_H

#include "storage/ensure.h"
#include "storage/ordered_index.h"

struct object;

/* The worse of two answers. */
static inline enum ensured zset_ensure_both(enum ensured a, enum ensured b)
{
    if (a == ENSURED || b == ENSURED)
        return a == ENSURED ? b : a;
    return a == ENSURE_WAIT ? b : a;
}

/* zset_find of members that stand in an array, `step` apart. */
enum ensured zset_ensure_members(struct ensure *e, const struct bytes *members, size_t count,
                                 size_t step);
/* The same; and to remove them. */
enum ensured zset_ensure_remove(struct ensure *e, const struct bytes *members, size_t count,
                                size_t step);
/* The same; and to add them, or to give them other scores. */
struct zset_scores {
    const struct bytes *members;
    size_t count;
    size_t step;
    const double *scores; /* one for each */
    bool increments;      /* they are to be added to what is there */
};
enum ensured zset_ensure_add(struct ensure *e, const struct zset_scores *scores);
/* Whether zset_ensure_add needs to know no scores: all of the order is in RAM. */
bool zset_order_is_whole(const struct object *o);
/* zset_find and zset_rank. */
enum ensured zset_ensure_rank(struct ensure *e, struct bytes member);
/* zset_seek; also that of a bound at the end of everything needs this. */
enum ensured zset_ensure_seek(struct ensure *e, const struct order_bound *bound);
/* The counts of the leaves alone: ranks from the ends are known then. */
enum ensured zset_ensure_order(struct ensure *e);
/* zset_walk and zset_remove_range, from one rank to before another. After zset_ensure_order. */
enum ensured zset_ensure_ranks(struct ensure *e, uint64_t from, uint64_t to);
enum ensured zset_ensure_scan(struct ensure *e, uint64_t cursor, size_t count);
/* zset_sample, with the seed e->random. */
enum ensured zset_ensure_sample(struct ensure *e, size_t count);
/* Everything, and how many bytes that counts for (ensure_takes). */
enum ensured zset_ensure_all(struct ensure *e);
uint64_t zset_whole_bytes(const struct object *o);

#endif
