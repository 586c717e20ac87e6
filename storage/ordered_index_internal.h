/* Leaves and separators of the ordered index: what ordered_index.c builds its tree from. Included
 * by ordered_index*.c only. */
#ifndef BASALT_STORAGE_ORDERED_INDEX_INTERNAL_H
#define BASALT_STORAGE_ORDERED_INDEX_INTERNAL_H

#include "storage/ordered_index.h"

#include "storage/types/zset_element.h"

#define ORDER_HEIGHT_MAX 16 /* levels of nodes; 15^16 is more than 2^62 */

static const struct order_key order_lowest = {.score = 0}; /* below -inf */

static inline struct order_key order_key_of(const struct part *element)
{
    return (struct order_key){.score = zset_score_order(zset_element_score(element)),
                              .member = zset_element_member(element)};
}

/* <0, 0, >0. */
static inline int order_key_compare(const struct order_key *a, const struct order_key *b)
{
    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    return bytes_compare(a->member, b->member);
}

static inline int order_compare(const struct part *element, const struct order_key *key)
{
    uint64_t score = zset_score_order(zset_element_score(element));
    if (score != key->score)
        return score < key->score ? -1 : 1;
    return bytes_compare(zset_element_member(element), key->member);
}

/* An entry is an element's pointer with its tag in the upper 16 bits: where its score lies between
 * the lowest and the highest one that the leaf had when its tags were made. Tags ascend as the
 * elements do; what lies beyond has the first or the last tag. */
struct order_leaf {
    struct order_leaf *previous;
    struct order_leaf *next;
    struct part *separator; /* owned: the leaf's lower end; of the first leaf, below everything */
    struct part *unread;    /* owned; a separator up to which a cold leaf has been read; or NULL */
    uint64_t tag_base;      /* the score (zset_score_order) of tag 0 */
    uint32_t count;         /* elements; 1..ORDER_LEAF_MAX of a whole leaf */
    uint32_t used;          /* entries: as many, or fewer of a cold leaf */
    uint32_t capacity;      /* entries that there is room for */
    uint32_t expected;      /* order_leaf_expect */
    uint16_t tagged;        /* entries when the tags were made */
    uint8_t tag_shift;
    bool whole;
    bool hot; /* used since eviction came by */
    uint64_t entries[];
};

_Static_assert(offsetof(struct order_leaf, entries) == 64, "what the sizes of leaves count with");

static inline struct part *order_entry_element(uint64_t entry)
{
    return (struct part *)(uintptr_t)(entry & (((uint64_t)1 << 48) - 1));
}

/* A leaf without entries, behind `previous` (NULL: the first), that begins at `begin`. */
struct order_leaf *order_leaf_create(struct ordered_index *index, struct order_leaf *previous,
                                     const struct order_key *begin);
/* Takes it out of the row and frees it, with its separator. */
void order_leaf_destroy(struct ordered_index *index, struct order_leaf *leaf);
/* For deinit: frees it, and leaves the rest alone. */
void order_leaf_free(struct ordered_index *index, struct order_leaf *leaf);

/* The first entry that is not below `key`. */
uint32_t order_leaf_search(const struct order_leaf *leaf, const struct order_key *key);
/* The first entry that is not before `bound`. */
uint32_t order_leaf_search_bound(const struct order_leaf *leaf, const struct order_bound *bound);

/* Entries come and go; `count` is the caller's business. The leaf may move; both return where it
 * is, its neighbours know. */
struct order_leaf *order_leaf_insert(struct ordered_index *index, struct order_leaf *leaf,
                                     uint32_t at, struct part *element);
struct order_leaf *order_leaf_remove(struct ordered_index *index, struct order_leaf *leaf,
                                     uint32_t at, uint32_t count);
/* Takes the element out of entry `from` and puts `element` where it belongs. */
void order_leaf_reseat(struct order_leaf *leaf, uint32_t from, struct part *element);

/* Whole leaves: moves the entries from `at` on to a new leaf behind `*leaf`, and returns that.
 * `element` is about to be inserted at `at`: what divides the two where one of them is empty; NULL
 * if neither is. `*leaf` may move. */
struct order_leaf *order_leaf_split(struct ordered_index *index, struct order_leaf **leaf,
                                    uint32_t at, const struct part *element);
/* Appends all of the next leaf to `leaf`, and destroys that. The leaf is whole if both were. */
struct order_leaf *order_leaf_merge(struct ordered_index *index, struct order_leaf *leaf);
/* Evens out the entries of `*left` and the leaf behind it, `*right`, which gets a new separator.
 * Both are whole. */
void order_leaf_share(struct ordered_index *index, struct order_leaf **left,
                      struct order_leaf **right);
void order_leaf_set_whole(struct ordered_index *index, struct order_leaf *leaf, bool whole);
/* `to` NULL: forgets how far the leaf has been read. */
void order_leaf_set_unread(struct ordered_index *index, struct order_leaf *leaf,
                           const struct order_key *to);
/* Makes all tags anew, for the scores that the leaf has now. */
void order_leaf_make_tags(struct order_leaf *leaf);
/* Writes the leaf's count down. True: its separator is at another address. */
bool order_leaf_write_count(struct ordered_index *index, struct order_leaf *leaf);

/* ---- The tree (ordered_index.c). */

struct order_node;

/* From the root to a leaf. node[0] is the root, at[i] the child of node[i] that was taken. */
struct order_path {
    struct order_node *node[ORDER_HEIGHT_MAX];
    uint32_t at[ORDER_HEIGHT_MAX];
};

/* Finds the leaf in which the key is or would be; the bound; the last leaf; the leaf of a rank,
 * which becomes the place in it. */
struct order_leaf *order_descend(const struct ordered_index *index, const struct order_key *key,
                                 struct order_path *path);
struct order_leaf *order_descend_bound(const struct ordered_index *index,
                                       const struct order_bound *bound, struct order_path *path);
struct order_leaf *order_descend_last(const struct ordered_index *index, struct order_path *path);
struct order_leaf *order_descend_rank(const struct ordered_index *index, uint64_t *rank,
                                      struct order_path *path);
/* Finds the place of an element. False: it has no entry, in a cold leaf. */
bool order_find_element(const struct ordered_index *index, const struct part *element,
                        struct order_path *path, struct order_leaf **leaf_out, uint32_t *at_out);

/* The leaf at the path's end is at another address. */
void order_set_leaf(struct ordered_index *index, const struct order_path *path,
                    struct order_leaf *leaf);
/* Elements below the path's children: `change` more. */
void order_count_change(struct ordered_index *index, const struct order_path *path, int64_t change);
/* Writes the count of the path's leaf down. */
void order_write_count(struct ordered_index *index, const struct order_path *path,
                       struct order_leaf *leaf);
/* The path's leaf has a new one behind it, with elements that were its own (they are counted), and
 * may have moved. */
void order_add_leaf_behind(struct ordered_index *index, struct order_path *path,
                           struct order_leaf *left, struct order_leaf *right);
/* The path's leaf has lost elements. */
void order_mend(struct ordered_index *index, struct order_path *path, struct order_leaf *leaf);

#endif
