/* The order of a sorted set: its elements by (score, bytes of the member), with counts, so that an
 * element's rank and the element of a rank take O(log n).
 *
 * A B+ tree over pointers. Leaves of up to 246 elements are linked both ways; the nodes above them
 * have, for each child, how many elements are below it. A leaf begins at its *separator*, the
 * shortest (score, member prefix) that divides it from the leaf before it: no element's copy, so
 * that elements come and go without a look at the nodes above, and a child's place is found by
 * comparing scores in the node itself. In a leaf, 16 bits beside each pointer tell where the score
 * lies in the leaf's range, so that a search looks at an element or two, not at eight.
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

struct order_leaf;
struct part;

struct ordered_index {
    void *root;               /* owned: a leaf when `height` is 0, else a node; NULL: empty */
    struct order_leaf *first; /* leaves; NULL: empty */
    struct order_leaf *last;
    uint64_t count;
    size_t bytes;    /* of nodes, leaves and separators (allocator's sizes) */
    uint32_t height; /* levels of nodes above the leaves */
};

void ordered_index_init(struct ordered_index *index);
/* Frees everything but the elements. */
void ordered_index_deinit(struct ordered_index *index);

/* ---- Changes. */

/* No element with this score and member must be in the index. */
void ordered_index_insert(struct ordered_index *index, struct part *element);
/* The same for an element behind all others: about 15 ns. Building from sorted elements. */
void ordered_index_append(struct ordered_index *index, struct part *element);
/* The element must be in the index; it is not freed. */
void ordered_index_remove(struct ordered_index *index, const struct part *element);
/* Gives an element of the index another score. */
void ordered_index_rescore(struct ordered_index *index, struct part *element, double score);
/* Puts `to` (same member, any score) in the place of `from`. */
void ordered_index_replace(struct ordered_index *index, const struct part *from, struct part *to);
/* Removes up to `max` elements from `rank` on, in order, and hands them to the caller; returns how
 * many. At least one if there are any, but never many at a time: at most ORDERED_INDEX_TAKE_MAX. */
#define ORDERED_INDEX_TAKE_MAX 256
size_t ordered_index_take(struct ordered_index *index, uint64_t rank, size_t max,
                          struct part **out);

/* ---- Looking up. */

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
/* How many elements are before the bound: the rank of the first that is not. Its cursor goes to
 * `*out` (may be NULL). "First >= x" is the bound x, "first > x" the bound after x; the last <= x
 * is the one before the latter. */
uint64_t ordered_index_seek(const struct ordered_index *index, const struct order_bound *bound,
                            struct order_cursor *out);

/* The element at the cursor; NULL when there is none. */
struct part *order_cursor_element(const struct order_cursor *cursor);
void order_cursor_next(struct order_cursor *cursor);
void order_cursor_previous(struct order_cursor *cursor);

#endif
