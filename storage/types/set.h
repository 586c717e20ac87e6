/* Sets. A set of few integers is an intset, one of few short members a listpack (ENCODING_INTSET,
 * ENCODING_LISTPACK: value.pointer is that block); all others are a table of members (members.h,
 * ENCODING_TABLE), of which a large one need not be in RAM as a whole. What has once become a table
 * stays one. Source: Redis 7.2, for when a set changes its encoding.
 *
 * Changes come between ks_change_begin and ks_change_end, with set_settle before the latter. A
 * struct object of the caller's, zeroed but for its type, is a set too (for results): set_init and
 * set_clear, and set_move to give it to a key. Main thread. */
#ifndef BASALT_STORAGE_TYPES_SET_H
#define BASALT_STORAGE_TYPES_SET_H

#include "codec/bytes.h"
#include "codec/number.h"
#include "storage/ensure.h"
#include "storage/member_table.h"
#include "storage/object.h"

struct members;
struct value_rules;
struct value_type;

extern const struct value_type set_value_type;

/* Compact forms do not get larger than this, whatever the settings say: they are written whole. */
#define COMPACT_BYTES_MAX ((size_t)1 << 20)

static inline bool set_is_table(const struct object *o)
{
    return o->encoding == ENCODING_TABLE;
}

/* Of a table. */
static inline struct members *set_members(const struct object *o)
{
    return (struct members *)o->value.pointer;
}

/* ---- Making. */

/* Gives `o`, which holds no value, an empty set for about `count` members, of which this is one. */
void set_init(struct object *o, const struct value_rules *rules, struct bytes first, size_t count);
/* The same as an intset, or a listpack, whatever is to come. */
void set_init_intset(struct object *o);
void set_init_listpack(struct object *o);
/* Frees the value of an object of the caller's. */
void set_clear(struct object *o);
/* Moves the value of `from`, an object of the caller's, to `to`, which holds none. */
void set_move(struct object *to, struct object *from);

/* ---- Reading. Of a large set, what is looked at must be in RAM. */

uint64_t set_count(const struct object *o);
bool set_has(const struct object *o, struct bytes member);
/* Starts to bring what set_has touches into the cache. */
void set_prefetch(const struct object *o, struct bytes member);

/* Walks over all members while the set does not change. */
struct set_iter {
    const struct object *o;
    uint32_t at; /* offset in a listpack, index in an intset */
    struct member_iter members;
    char scratch[NUMBER_I64_CHARS_MAX];
};
void set_iter_init(struct set_iter *iter, const struct object *o);
/* `member` is good until the next call. False at the end. */
bool set_iter_next(struct set_iter *iter, struct bytes *member);

typedef void set_visit_fn(void *arg, struct bytes member);
/* Visits about `count` members from a cursor on; returns the next cursor, 0 at the end. */
uint64_t set_scan(const struct object *o, uint64_t cursor, size_t count, set_visit_fn *visit,
                  void *arg);
/* A random member; there must be one, and all must be in RAM. `random` is a generator's state. */
struct bytes set_random(const struct object *o, uint64_t *random,
                        char scratch[NUMBER_I64_CHARS_MAX]);
/* Visits `count` different members chosen at random; there must be as many. Not in random order.
 * A large set of which not all is in RAM has had set_ensure_random of the same count and seed. */
void set_sample(const struct object *o, uint64_t seed, size_t count, set_visit_fn *visit,
                void *arg);

/* ---- Changing. */

/* So many members are about to be added: a compact form that cannot have as many becomes a table.
 */
void set_expect(struct object *o, const struct value_rules *rules, size_t count);
/* False if it was there already. */
bool set_add(struct object *o, const struct value_rules *rules, struct bytes member);
/* False if it was not there. */
bool set_remove(struct object *o, struct bytes member);
/* Makes an intset of a set that has nothing but integers, unless they are too many. */
void set_make_intset(struct object *o, const struct value_rules *rules);
/* Makes a set that has become so many bytes large. */
void set_settle(struct object *o, const struct value_rules *rules);

#endif
