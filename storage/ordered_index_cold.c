/* Ordered indexes of which not all is in RAM: reading separators and elements, and evicting them.
 */
#include "storage/ordered_index_internal.h"

#include "codec/check.h"
#include "storage/parts.h"

/* ---- Leaves. */

static int compare_begin(const struct order_leaf *leaf, const struct order_key *key)
{
    struct order_key begin = order_separator_key(leaf->separator);
    return order_key_compare(&begin, key);
}

bool order_leaf_is_whole(const struct order_leaf *leaf)
{
    return leaf->whole;
}

uint64_t order_leaf_count(const struct order_leaf *leaf)
{
    return leaf->count;
}

const struct order_leaf *order_leaf_next(const struct order_leaf *leaf)
{
    return leaf->next;
}

struct order_key order_leaf_begin(const struct order_leaf *leaf)
{
    return order_separator_key(leaf->separator);
}

struct order_key order_leaf_unread(const struct order_leaf *leaf)
{
    return order_separator_key(leaf->unread != NULL ? leaf->unread : leaf->separator);
}

uint32_t order_leaf_expect(struct order_leaf *leaf, int32_t more)
{
    leaf->expected += (uint32_t)more;
    return leaf->expected;
}

void ordered_index_set_parts(struct ordered_index *index, struct parts *parts)
{
    index->parts = parts;
    for (struct order_leaf *leaf = index->first; leaf != NULL; leaf = leaf->next)
        parts_add(parts, leaf->separator);
    /* What is in the vector is ours: counts can be written in place. */
    for (struct order_leaf *leaf = index->first; leaf != NULL; leaf = leaf->next)
        CHECK(!order_leaf_write_count(index, leaf));
}

void ordered_index_init_unread(struct ordered_index *index, struct parts *parts)
{
    ordered_index_init(index);
    index->parts = parts;
    index->unread = true;
}

bool ordered_index_read_leaf(struct ordered_index *index, const struct order_key *begin,
                             uint64_t count)
{
    struct order_path path;
    CHECK(index->unread);
    if (count == 0 || count > UINT32_MAX)
        return false;
    if (index->last == NULL ? order_key_compare(begin, &order_lowest) != 0
                            : compare_begin(index->last, begin) >= 0)
        return false;
    struct order_leaf *before = index->last;
    if (before != NULL)
        (void)order_descend_last(index, &path);
    struct order_leaf *leaf = order_leaf_create(index, before, begin);
    order_leaf_set_whole(index, leaf, false);
    leaf->count = (uint32_t)count;
    if (before == NULL) {
        index->root = leaf;
        index->count = count;
        return true;
    }
    order_count_change(index, &path, (int64_t)count);
    order_add_leaf_behind(index, &path, before, leaf);
    return true;
}

void ordered_index_read_last(struct ordered_index *index, uint64_t count)
{
    if (index->root == NULL && count != 0)
        (void)ordered_index_read_leaf(index, &order_lowest,
                                      count < UINT32_MAX ? count : UINT32_MAX);
    index->unread = false;
}

void ordered_index_install(struct ordered_index *index, struct part *element)
{
    struct order_path path;
    if (index->root == NULL)
        return;
    struct order_key key = order_key_of(element);
    struct order_leaf *leaf = order_descend(index, &key, &path);
    uint32_t at = order_leaf_search(leaf, &key);
    bool found = at < leaf->used && order_entry_element(leaf->entries[at]) == element;
    leaf->hot = true; /* whoever has it read is going to use it */
    if (!found && !leaf->whole)
        order_set_leaf(index, &path, order_leaf_insert(index, leaf, at, element));
}

/* A leaf has all of its elements now. */
static struct order_leaf *become_whole(struct ordered_index *index, struct order_leaf *leaf)
{
    struct order_path path;
    struct order_key begin = order_separator_key(leaf->separator);
    order_leaf_set_whole(index, leaf, true);
    order_leaf_make_tags(leaf);
    leaf->hot = true;
    CHECK(order_descend(index, &begin, &path) == leaf);
    if (leaf->count != leaf->used) { /* a record is missing, or too many: what there is counts */
        order_count_change(index, &path, (int64_t)leaf->used - (int64_t)leaf->count);
        leaf->count = leaf->used;
        order_write_count(index, &path, leaf);
        order_mend(index, &path, leaf);
        return NULL;
    }
    while (leaf->count > ORDER_LEAF_MAX) {
        struct order_leaf *right = order_leaf_split(index, &leaf, ORDER_LEAF_MAX / 2, NULL);
        order_add_leaf_behind(index, &path, leaf, right);
        begin = order_separator_key(right->separator);
        leaf = order_descend(index, &begin, &path);
    }
    return leaf;
}

void ordered_index_installed(struct ordered_index *index, const struct order_key *from,
                             const struct order_key *to)
{
    struct order_path path;
    struct order_leaf *leaf = index->root == NULL ? NULL : order_descend(index, from, &path);
    while (leaf != NULL) {
        struct order_key unread = order_leaf_unread(leaf);
        bool from_here = leaf->whole || order_key_compare(from, &unread) <= 0;
        bool to_end = to == NULL || (leaf->next != NULL && compare_begin(leaf->next, to) <= 0);
        struct order_leaf *next = leaf->next;
        if (!leaf->whole && from_here && to_end)
            leaf = become_whole(index, leaf);
        else if (!leaf->whole && from_here && order_key_compare(to, &unread) > 0)
            order_leaf_set_unread(index, leaf, to);
        if (!to_end || leaf == NULL)
            return;
        leaf = next;
    }
}

const struct order_leaf *ordered_index_leaf_at(const struct ordered_index *index, uint64_t rank,
                                               uint64_t *before)
{
    struct order_path path;
    uint64_t at = rank;
    CHECK(rank < index->count);
    const struct order_leaf *leaf = order_descend_rank(index, &at, &path);
    *before = rank - at;
    return leaf;
}

struct order_leaf *ordered_index_leaf_of(const struct ordered_index *index,
                                         const struct order_key *key)
{
    struct order_path path;
    return index->root == NULL ? NULL : order_descend(index, key, &path);
}

const struct order_leaf *ordered_index_leaf_of_bound(const struct ordered_index *index,
                                                     const struct order_bound *bound)
{
    struct order_path path;
    return index->root == NULL ? NULL : order_descend_bound(index, bound, &path);
}

bool ordered_index_has(const struct ordered_index *index, const struct part *element)
{
    struct order_path path;
    struct order_leaf *leaf;
    uint32_t at;
    return index->root != NULL && order_find_element(index, element, &path, &leaf, &at);
}

/* ---- Eviction. */

struct order_leaf *ordered_index_find_victim(struct ordered_index *index, size_t *budget)
{
    while (*budget != 0) {
        --*budget; /* for victims too: all of their elements may be dirty, and stay */
        struct order_leaf *leaf = index->hand != NULL ? index->hand : index->first;
        if (leaf == NULL)
            return NULL;
        index->hand = leaf->next;
        if (leaf->used != 0 && !leaf->hot)
            return leaf;
        leaf->hot = false;
    }
    return NULL;
}

void ordered_index_shed(struct ordered_index *index, struct order_leaf *leaf, order_drop_fn *drop,
                        void *arg)
{
    struct order_path path;
    struct order_key begin = order_separator_key(leaf->separator);
    CHECK(order_descend(index, &begin, &path) == leaf);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < leaf->used; i++) {
        uint64_t entry = leaf->entries[i];
        if (!drop(arg, order_entry_element(entry)))
            leaf->entries[kept++] = entry;
    }
    if (kept == leaf->used)
        return;
    order_leaf_set_whole(index, leaf, false);
    order_leaf_set_unread(index, leaf, NULL);
    order_set_leaf(index, &path, order_leaf_remove(index, leaf, kept, leaf->used - kept));
}
