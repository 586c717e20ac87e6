/* Leaves and separators of the ordered index: what ordered_index.c builds its tree from. Included
 * by ordered_index*.c only. */
#ifndef BASALT_STORAGE_ORDERED_INDEX_INTERNAL_H
#define BASALT_STORAGE_ORDERED_INDEX_INTERNAL_H

#include "storage/ordered_index.h"

#include "storage/types/zset_element.h"

#define ORDER_LEAF_MAX 246 /* halves of 123: 1024 and 2048 bytes, sizes that allocators have */

/* What elements and separators are compared by. */
struct order_key {
    uint64_t score; /* zset_score_order */
    struct bytes member;
};

static inline struct order_key order_key_of(const struct part *element)
{
    return (struct order_key){.score = zset_score_order(zset_element_score(element)),
                              .member = zset_element_member(element)};
}

/* <0, 0, >0. */
static inline int order_compare(const struct part *element, const struct order_key *key)
{
    uint64_t score = zset_score_order(zset_element_score(element));
    if (score != key->score)
        return score < key->score ? -1 : 1;
    return bytes_compare(zset_element_member(element), key->member);
}

/* The lower end of a leaf: not above its elements, above all those before it. */
struct order_separator {
    uint64_t score;
    size_t len;
    uint8_t member[]; /* a prefix of one, may be empty */
};

static inline struct bytes order_separator_member(const struct order_separator *separator)
{
    return bytes_make(separator->member, separator->len);
}

/* An entry is an element's pointer with its tag in the upper 16 bits: where its score lies between
 * the lowest and the highest one that the leaf had when its tags were made. Tags ascend as the
 * elements do; what lies beyond has the first or the last tag. */
struct order_leaf {
    struct order_leaf *previous;
    struct order_leaf *next;
    struct order_separator *separator; /* owned; NULL: the first leaf, it has no lower end */
    uint64_t tag_base;                 /* the score (zset_score_order) of tag 0 */
    uint16_t count;                    /* elements, 1..ORDER_LEAF_MAX */
    uint16_t capacity;                 /* entries that there is room for */
    uint16_t tagged;                   /* elements when the tags were made */
    uint8_t tag_shift;
    uint64_t entries[];
};

_Static_assert(offsetof(struct order_leaf, entries) == 40, "what the sizes of leaves count with");

static inline struct part *order_entry_element(uint64_t entry)
{
    return (struct part *)(uintptr_t)(entry & (((uint64_t)1 << 48) - 1));
}

struct order_leaf *order_leaf_create(struct ordered_index *index);
/* Frees the separator too. */
void order_leaf_destroy(struct ordered_index *index, struct order_leaf *leaf);

/* The first entry that is not below `key`. */
uint32_t order_leaf_search(const struct order_leaf *leaf, const struct order_key *key);
/* The first entry that is not before `bound`. */
uint32_t order_leaf_search_bound(const struct order_leaf *leaf, const struct order_bound *bound);

/* Puts an element before entry `at`. The leaf must not be full. It may move; returns where it is,
 * its neighbours know. */
struct order_leaf *order_leaf_insert(struct ordered_index *index, struct order_leaf *leaf,
                                     uint32_t at, struct part *element);
/* Removes `count` entries from `at` on. The leaf may move, as above. */
struct order_leaf *order_leaf_remove(struct ordered_index *index, struct order_leaf *leaf,
                                     uint32_t at, uint32_t count);
/* Takes the element out of entry `from` and puts `element` where it belongs. */
void order_leaf_reseat(struct order_leaf *leaf, uint32_t from, struct part *element);

/* Moves the entries from `at` on to a new leaf behind `*leaf`, and returns that. `element` is about
 * to be inserted at `at`: what divides the two where one of them is empty. `*leaf` may move. */
struct order_leaf *order_leaf_split(struct ordered_index *index, struct order_leaf **leaf,
                                    uint32_t at, const struct part *element);
/* Appends all entries of the next leaf to `leaf`, and frees that. */
struct order_leaf *order_leaf_merge(struct ordered_index *index, struct order_leaf *leaf);
/* Evens out the entries of `*left` and the leaf behind it, `*right`, which gets a new separator. */
void order_leaf_share(struct ordered_index *index, struct order_leaf **left,
                      struct order_leaf **right);

#endif
