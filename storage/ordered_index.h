/* The order of a sorted set: its elements by (score, bytes of the member), with counts, so that an
 * element's rank and the element of a rank take O(log n).
 *
 * A B+ tree over pointers. Leaves of up to 496 elements are linked both ways; the nodes above them
 * have, for each child, how many elements are below it. A leaf begins at its *separator*, the
 * shortest (score, member prefix) that divides it from the leaf before it: no element's copy, so
 * that elements come and go without a look at the nodes above, and a child's place is found by
 * comparing scores in the node itself. In a leaf, 16 bits beside each pointer tell where the score
 * lies in the leaf's range, so that a search looks at an element or two, not at nine.
 *
 * The order of a large set need not be in RAM as a whole. Its leaves are records on disk, separator
 * and count, which are read all together; of a leaf's elements a *whole* leaf has all, a *cold* one
 * those that have been changed lately, and maybe some others:
 *
 *     not read ── all separators read ─► cold ── its elements read ─► whole
 *                                         ▲                             │
 *                                         └──── elements evicted ───────┘
 *
 * Inserting into a cold leaf, and removing from it, needs no look at its elements. What asks for
 * ranks or elements needs whole leaves; see the functions on leaves.
 *
 * About 9.5 bytes per element. Nothing takes longer than some microseconds at any size, but for
 * deinit. The elements are the caller's (storage/types/zset_element.h). Main thread, but for
 * deinit once nobody else knows the index. */
#ifndef BASALT_STORAGE_ORDERED_INDEX_H
#define BASALT_STORAGE_ORDERED_INDEX_H

#include "codec/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORDER_LEAF_MAX 496 /* halves of 248: 2048 and 4096 bytes, sizes that allocators have */

struct order_leaf;
struct part;
struct parts;

struct ordered_index {
    void *root;               /* owned: a leaf when `height` is 0, else a node; NULL: empty */
    struct order_leaf *first; /* leaves; NULL: empty */
    struct order_leaf *last;
    uint64_t count;          /* elements, in RAM or not */
    size_t bytes;            /* of nodes, leaves and separators (allocator's sizes) */
    uint32_t height;         /* levels of nodes above the leaves */
    bool unread;             /* the separators have not been read (all) yet */
    uint64_t cold_leaves;    /* of the leaves */
    struct order_leaf *hand; /* where eviction goes on; NULL: at the first leaf */
    struct parts *parts;     /* borrowed: where separators are written down; NULL: nowhere */
};

void ordered_index_init(struct ordered_index *index);
/* Frees everything but the elements. */
void ordered_index_deinit(struct ordered_index *index);

/* ---- Changes. */

/* No element with this score and member must be in the index. */
void ordered_index_insert(struct ordered_index *index, struct part *element);
/* The same for an element behind all others: about 15 ns. Building from sorted elements. */
void ordered_index_append(struct ordered_index *index, struct part *element);
/* The element must be in the index, or belong to a cold leaf; it is not freed. */
void ordered_index_remove(struct ordered_index *index, const struct part *element);
/* Gives an element of the index another score. */
void ordered_index_rescore(struct ordered_index *index, struct part *element, double score);
/* Puts `to` (same member, any score) in the place of `from`, for which the same holds as for one
 * that is removed. */
void ordered_index_replace(struct ordered_index *index, const struct part *from, struct part *to);
/* Removes up to `max` elements from `rank` on, in order, and hands them to the caller; returns how
 * many. At least one if there are any, but never many at a time: at most ORDER_LEAF_MAX. */
size_t ordered_index_take(struct ordered_index *index, uint64_t rank, size_t max,
                          struct part **out);

/* ---- Looking up: in whole leaves. */

/* How many elements are before this one, which must be in the index. */
uint64_t ordered_index_rank(const struct ordered_index *index, const struct part *element);

/* A place between or at elements, good until the index changes. */
struct order_cursor {
    const struct order_leaf *leaf; /* NULL: before the first or behind the last element */
    uint32_t at;
};

/* The element of `rank`, below the count. */
struct order_cursor ordered_index_at(const struct ordered_index *index, uint64_t rank);

enum order_bound_kind {
    ORDER_BY_SCORE,  /* all elements of this score are equal */
    ORDER_BY_MEMBER, /* the score does not count; for sets in which all have the same score */
};
struct order_bound {
    enum order_bound_kind kind;
    double score;
    struct bytes member;
    bool after; /* where the equal ones end; else where they begin */
};
/* How many elements are before the bound: the rank of the first that is not. "First >= x" is the
 * bound x, "first > x" the bound after x; the last <= x is the one before the latter. */
uint64_t ordered_index_seek(const struct ordered_index *index, const struct order_bound *bound);

/* The element at the cursor; NULL when there is none. The next and the previous leaf must be whole
 * when the cursor gets there, but for the step that ends a walk. */
struct part *order_cursor_element(const struct order_cursor *cursor);
void order_cursor_next(struct order_cursor *cursor);
void order_cursor_previous(struct order_cursor *cursor);

/* ---- Leaves of large sets. Pointers are good until the index changes. */

/* A place in the order, for elements that there may be or not. */
struct order_key {
    uint64_t score; /* zset_score_order */
    struct bytes member;
};

/* Elements from now on are written down, as separators are from the next call on. */
void ordered_index_set_parts(struct ordered_index *index, struct parts *parts);
/* The same for an index of which nothing has been read. */
void ordered_index_init_unread(struct ordered_index *index, struct parts *parts);
/* A separator that was read: a cold leaf behind all others. False if it does not belong there. */
bool ordered_index_read_leaf(struct ordered_index *index, const struct order_key *begin,
                             uint64_t count);
/* That was the last. */
void ordered_index_read_last(struct ordered_index *index, uint64_t count);
/* An element that was read; not a new one. */
void ordered_index_install(struct ordered_index *index, struct part *element);
/* All elements from one place to before another (NULL: the end) have been installed: leaves become
 * whole, and those of them that are too large are divided. */
void ordered_index_installed(struct ordered_index *index, const struct order_key *from,
                             const struct order_key *to);

/* The leaf that has `rank`, below the count; how many elements are before it goes to `before`. */
const struct order_leaf *ordered_index_leaf_at(const struct ordered_index *index, uint64_t rank,
                                               uint64_t *before);
/* The leaf to which a key belongs; NULL when the index is empty. */
struct order_leaf *ordered_index_leaf_of(const struct ordered_index *index,
                                         const struct order_key *key);
/* The leaf into which ordered_index_seek looks; NULL when the index is empty. */
const struct order_leaf *ordered_index_leaf_of_bound(const struct ordered_index *index,
                                                     const struct order_bound *bound);
bool order_leaf_is_whole(const struct order_leaf *leaf);
uint64_t order_leaf_count(const struct order_leaf *leaf);
const struct order_leaf *order_leaf_next(const struct order_leaf *leaf);
/* Where it begins; and from where on it has yet to be read. */
struct order_key order_leaf_begin(const struct order_leaf *leaf);
struct order_key order_leaf_unread(const struct order_leaf *leaf);
/* A counter for who adds to many leaves at once: returns it after adding; 0 at first. */
uint32_t order_leaf_expect(struct order_leaf *leaf, int32_t more);

/* Looks for a leaf with elements to evict, going round and passing over those that were used since
 * it came by. Looks at `*budget` leaves at most, which goes down. NULL: none. */
struct order_leaf *ordered_index_find_victim(struct ordered_index *index, size_t *budget);
/* Calls `drop` for each of a leaf's elements that are in the index; those for which it answers true
 * are the caller's then, and out of the index. */
typedef bool order_drop_fn(void *arg, struct part *element);
void ordered_index_shed(struct ordered_index *index, struct order_leaf *leaf, order_drop_fn *drop,
                        void *arg);
/* Whether the element is in the index. */
bool ordered_index_has(const struct ordered_index *index, const struct part *element);

/* ---- Separators as parts (flusher's thread: bits and data only). */

#define PART_SEPARATOR 8 /* bit of struct part: what follows */

/* A separator's place, and its count. */
struct order_key order_separator_key(const struct part *separator);
uint64_t order_separator_count(const struct part *separator);

#endif
