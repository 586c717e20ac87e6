/* Sorted sets: members with scores, in the order of (score, member).
 *
 * Small ones are listpacks (zset_listpack.h; ENCODING_LISTPACK). All others are a table of elements
 * by member and an index of the same elements by order (members.h, ordered_index.h;
 * ENCODING_ORDERED, "skiplist" for clients, who know that name). What is once a table stays one, as
 * in Redis. A large one need not be in RAM as a whole: zset_ensure.h brings in what is looked at.
 *
 * Ranges are told by rank: whatever bounds a request names, zset_seek makes ranks of them.
 *
 * Changes come between ks_change_begin and ks_change_end. Main thread. */
#ifndef BASALT_STORAGE_TYPES_ZSET_H
#define BASALT_STORAGE_TYPES_ZSET_H

#include "codec/bytes.h"
#include "codec/number.h"
#include "storage/object.h"
#include "storage/ordered_index.h"

#include <stdbool.h>
#include <stdint.h>

struct part;
struct value_rules;
struct value_type;

extern const struct value_type zset_value_type;

/* ---- Reading. */

uint64_t zset_count(const struct object *o);

/* An element as it was found by its member; good until the set changes. */
struct zset_found {
    double score;
    struct part *element; /* of a table */
    uint32_t at;          /* in a listpack */
};
bool zset_find(const struct object *o, struct bytes member, struct zset_found *out);
/* How many elements are before it. */
uint64_t zset_rank(const struct object *o, const struct zset_found *found);
/* How many elements are before a bound: the rank of the first that is not. */
uint64_t zset_seek(const struct object *o, const struct order_bound *bound);

/* Walks from an element on, up or down. */
struct zset_walk {
    const uint8_t *data; /* of a listpack; NULL: a table */
    uint32_t at;
    bool down;
    struct order_cursor cursor;
    char scratch[NUMBER_I64_CHARS_MAX];
};
/* Begins at the element of `rank`; none if that is beyond the end. */
void zset_walk_init(struct zset_walk *walk, const struct object *o, uint64_t rank, bool down);
/* False at the end. `member` is good until the next call. */
bool zset_walk_next(struct zset_walk *walk, struct bytes *member, double *score);

typedef void zset_visit_fn(void *arg, struct bytes member, double score);
/* Visits elements for a scan: about `count` from a cursor on (0: the beginning). Returns the next
 * cursor, 0 at the end. What is in the set all the time is visited at least once. */
uint64_t zset_scan(const struct object *o, uint64_t cursor, size_t count, zset_visit_fn *visit,
                   void *arg);
/* Visits `count` different elements chosen at random, or all if they are fewer; in no random order.
 * Of a large set of which not all is in RAM, zset_ensure_sample of the same seed and count must
 * have been called. */
void zset_sample(const struct object *o, uint64_t seed, size_t count, zset_visit_fn *visit,
                 void *arg);
/* Visits one, any as likely as any other; for zset_is_all. `random` is a generator's state, not 0.
 */
void zset_random(const struct object *o, uint64_t *random, zset_visit_fn *visit, void *arg);
/* Whether all elements are in RAM. */
bool zset_is_all(const struct object *o);

/* ---- Changing. */

/* Gives an object that ks_create has made an empty set; for about `count` elements, the first of
 * which has so many bytes. */
void zset_init(struct object *o, const struct value_rules *rules, size_t count, size_t member_len);
/* Whether a set may be a listpack although so many elements are about to be added. */
bool zset_fits(const struct object *o, const struct value_rules *rules, size_t count);
/* Makes a listpack that must not be one then a table. */
void zset_expect(struct object *o, const struct value_rules *rules, size_t count);
/* Adds a member that is not there. */
void zset_add(struct object *o, const struct value_rules *rules, struct bytes member, double score);
/* Gives an element another score. */
void zset_rescore(struct object *o, struct bytes member, const struct zset_found *found,
                  double score);
void zset_remove(struct object *o, const struct zset_found *found);
/* Removes `count` elements, which there must be, from `rank` on. */
void zset_remove_range(struct object *o, uint64_t rank, uint64_t count);
/* Makes a set that has become so many bytes large. After additions, before ks_change_end. */
void zset_settle(struct object *o, const struct value_rules *rules);

/* ---- Making a set of results, then an object of it. */

struct zset_build;

struct zset_build *zset_build_create(const struct value_rules *rules);
void zset_build_destroy(struct zset_build *build);
uint64_t zset_build_count(const struct zset_build *build);
/* The element of a member, for its score to be read and set; NULL when there is none. */
struct part *zset_build_find(const struct zset_build *build, struct bytes member);
/* Adds a member that is not there. */
void zset_build_add(struct zset_build *build, struct bytes member, double score);
void zset_build_remove(struct zset_build *build, struct part *element);
/* Brings the elements in order: all of them, `zset_build_count` many, good until the next call. */
struct part *const *zset_build_sort(struct zset_build *build);
/* Gives them to an object that ks_create has made; as a listpack if they are few and short. Frees
 * `build`. */
void zset_build_store(struct zset_build *build, struct object *o);

#endif
