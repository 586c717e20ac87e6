#include "storage/ordered_index_internal.h"

#include "codec/check.h"
#include "codec/mem.h"

#include <string.h>

#define TAG_SHIFT 48
#define TAG_MAX   UINT16_MAX

/* ---- Memory. */

static size_t leaf_bytes(uint32_t capacity)
{
    return sizeof(struct order_leaf) + capacity * sizeof(uint64_t);
}

/* What an allocation with room for `count` entries really has room for. */
static uint16_t leaf_capacity(uint32_t count)
{
    size_t capacity =
        (mem_good_size(leaf_bytes(count)) - sizeof(struct order_leaf)) / sizeof(uint64_t);
    return (uint16_t)(capacity < ORDER_LEAF_MAX ? capacity : ORDER_LEAF_MAX);
}

static size_t leaf_memory(const struct order_leaf *leaf)
{
    return mem_good_size(leaf_bytes(leaf->capacity));
}

static size_t separator_memory(const struct order_separator *separator)
{
    return separator == NULL ? 0 : mem_good_size(sizeof(*separator) + separator->len);
}

static struct order_leaf *leaf_create(struct ordered_index *index, uint32_t count)
{
    uint16_t capacity = leaf_capacity(count);
    struct order_leaf *leaf = mem_alloc(leaf_bytes(capacity));
    *leaf = (struct order_leaf){.capacity = capacity};
    index->bytes += leaf_memory(leaf);
    return leaf;
}

struct order_leaf *order_leaf_create(struct ordered_index *index)
{
    return leaf_create(index, 2);
}

static void set_separator(struct ordered_index *index, struct order_leaf *leaf,
                          struct order_separator *separator)
{
    index->bytes += separator_memory(separator);
    index->bytes -= separator_memory(leaf->separator);
    mem_free(leaf->separator);
    leaf->separator = separator;
}

void order_leaf_destroy(struct ordered_index *index, struct order_leaf *leaf)
{
    set_separator(index, leaf, NULL);
    index->bytes -= leaf_memory(leaf);
    mem_free(leaf);
}

/* The neighbours learn where a leaf is. */
static void link_leaf(struct ordered_index *index, struct order_leaf *leaf)
{
    if (leaf->previous != NULL)
        leaf->previous->next = leaf;
    else
        index->first = leaf;
    if (leaf->next != NULL)
        leaf->next->previous = leaf;
    else
        index->last = leaf;
}

static struct order_leaf *resize(struct ordered_index *index, struct order_leaf *leaf,
                                 uint32_t count)
{
    uint16_t capacity = leaf_capacity(count);
    if (capacity == leaf->capacity)
        return leaf;
    index->bytes -= leaf_memory(leaf);
    leaf = mem_realloc(leaf, leaf_bytes(capacity));
    leaf->capacity = capacity;
    index->bytes += leaf_memory(leaf);
    link_leaf(index, leaf);
    return leaf;
}

/* ---- Tags. */

static uint64_t make_tag(const struct order_leaf *leaf, uint64_t score)
{
    if (score <= leaf->tag_base)
        return 0;
    uint64_t tag = (score - leaf->tag_base) >> leaf->tag_shift;
    return tag < TAG_MAX ? tag : TAG_MAX;
}

static uint64_t make_entry(const struct order_leaf *leaf, struct part *element)
{
    uint64_t score = zset_score_order(zset_element_score(element));
    DCHECK((uintptr_t)element >> TAG_SHIFT == 0);
    return make_tag(leaf, score) << TAG_SHIFT | (uintptr_t)element;
}

static uint64_t entry_score(uint64_t entry)
{
    return zset_score_order(zset_element_score(order_entry_element(entry)));
}

/* Makes all tags anew, for the scores that the leaf has now. */
static void make_tags(struct order_leaf *leaf)
{
    leaf->tagged = leaf->count;
    if (leaf->count == 0)
        return;
    leaf->tag_base = entry_score(leaf->entries[0]);
    uint64_t range = entry_score(leaf->entries[leaf->count - 1]) - leaf->tag_base;
    int bits = range == 0 ? 0 : 64 - __builtin_clzll(range);
    leaf->tag_shift = (uint8_t)(bits > 16 ? bits - 16 : 0);
    for (uint32_t i = 0; i < leaf->count; i++)
        leaf->entries[i] = make_entry(leaf, order_entry_element(leaf->entries[i]));
}

/* ---- Searches. */

/* The first of `count` ascending entries that is not below `limit`. */
static uint32_t lower_bound(const uint64_t *entries, uint32_t count, uint64_t limit)
{
    const uint64_t *base = entries;
    while (count > 1) {
        uint32_t half = count / 2;
        base += base[half - 1] < limit ? half : 0;
        count -= half;
    }
    return (uint32_t)(base - entries) + (count == 1 && *base < limit);
}

/* The entries that may have this score: those of its tag. */
static void tag_range(const struct order_leaf *leaf, uint64_t score, uint32_t *from, uint32_t *to)
{
    uint64_t tag = make_tag(leaf, score);
    *from = lower_bound(leaf->entries, leaf->count, tag << TAG_SHIFT);
    *to = tag == TAG_MAX ? leaf->count
                         : *from + lower_bound(leaf->entries + *from, leaf->count - *from,
                                               (tag + 1) << TAG_SHIFT);
}

uint32_t order_leaf_search(const struct order_leaf *leaf, const struct order_key *key)
{
    uint32_t from, to;
    tag_range(leaf, key->score, &from, &to);
    while (from < to) {
        uint32_t middle = (from + to) / 2;
        if (order_compare(order_entry_element(leaf->entries[middle]), key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static bool is_before(const struct part *element, const struct order_bound *bound, uint64_t score)
{
    int order;
    if (bound->kind == ORDER_BY_MEMBER) {
        order = bytes_compare(zset_element_member(element), bound->member);
    } else {
        uint64_t own = zset_score_order(zset_element_score(element));
        order = (own > score) - (own < score);
    }
    return order < 0 || (order == 0 && bound->after);
}

uint32_t order_leaf_search_bound(const struct order_leaf *leaf, const struct order_bound *bound)
{
    uint64_t score = zset_score_order(bound->score);
    uint32_t from = 0;
    uint32_t to = leaf->count;
    if (bound->kind == ORDER_BY_SCORE)
        tag_range(leaf, score, &from, &to);
    while (from < to) {
        uint32_t middle = (from + to) / 2;
        if (is_before(order_entry_element(leaf->entries[middle]), bound, score))
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* ---- Changes. */

static void move_entries(struct order_leaf *leaf, uint32_t to, uint32_t from)
{
    memmove(&leaf->entries[to], &leaf->entries[from],
            (leaf->count - from) * sizeof leaf->entries[0]);
}

struct order_leaf *order_leaf_insert(struct ordered_index *index, struct order_leaf *leaf,
                                     uint32_t at, struct part *element)
{
    CHECK(leaf->count < ORDER_LEAF_MAX);
    if (leaf->count == leaf->capacity)
        leaf = resize(index, leaf, leaf->count + 1u);
    move_entries(leaf, at + 1, at);
    leaf->entries[at] = make_entry(leaf, element);
    leaf->count++;
    if (leaf->count > 2 * leaf->tagged)
        make_tags(leaf);
    return leaf;
}

struct order_leaf *order_leaf_remove(struct ordered_index *index, struct order_leaf *leaf,
                                     uint32_t at, uint32_t count)
{
    DCHECK(at + count <= leaf->count);
    move_entries(leaf, at, at + count);
    leaf->count = (uint16_t)(leaf->count - count);
    /* Shrinking at half leaves room to grow again: no allocation per change. */
    return leaf->count < leaf->capacity / 2 ? resize(index, leaf, leaf->count + 2u) : leaf;
}

void order_leaf_reseat(struct order_leaf *leaf, uint32_t from, struct part *element)
{
    struct order_key key = order_key_of(element);
    uint64_t *entries = leaf->entries;
    uint64_t entry = make_entry(leaf, element);
    bool stays_above = from == 0 || order_compare(order_entry_element(entries[from - 1]), &key) < 0;
    bool stays_below =
        from + 1u == leaf->count || order_compare(order_entry_element(entries[from + 1]), &key) > 0;
    if (!stays_above || !stays_below) {
        move_entries(leaf, from, from + 1);
        leaf->count--;
        from = order_leaf_search(leaf, &key);
        move_entries(leaf, from + 1, from);
        leaf->count++;
    }
    entries[from] = entry;
}

/* ---- Separators, and leaves with their neighbours. */

/* The shortest one above `left` and not above `right`. */
static struct order_separator *make_separator(const struct part *left, const struct part *right)
{
    struct order_key a = order_key_of(left);
    struct order_key b = order_key_of(right);
    size_t len = 0;
    DCHECK(order_compare(left, &b) < 0);
    if (a.score == b.score) {
        while (len < a.member.len && a.member.data[len] == b.member.data[len])
            len++;
        len++;
    }
    struct order_separator *separator = mem_alloc(sizeof(*separator) + len);
    separator->score = b.score;
    separator->len = len;
    memcpy(separator->member, b.member.data, len);
    return separator;
}

static void divide(struct ordered_index *index, const struct order_leaf *left,
                   struct order_leaf *right, const struct part *element)
{
    const struct part *a =
        left->count == 0 ? element : order_entry_element(left->entries[left->count - 1]);
    const struct part *b = right->count == 0 ? element : order_entry_element(right->entries[0]);
    set_separator(index, right, make_separator(a, b));
}

struct order_leaf *order_leaf_split(struct ordered_index *index, struct order_leaf **leaf_in_out,
                                    uint32_t at, const struct part *element)
{
    struct order_leaf *leaf = *leaf_in_out;
    uint32_t moved = leaf->count - at;
    struct order_leaf *right = leaf_create(index, moved == 0 ? 2 : moved);
    memcpy(right->entries, &leaf->entries[at], moved * sizeof right->entries[0]);
    right->count = (uint16_t)moved;
    right->previous = leaf;
    right->next = leaf->next;
    link_leaf(index, right);
    leaf->count = (uint16_t)at;
    leaf = resize(index, leaf, at == 0 ? 2 : at);
    make_tags(leaf);
    make_tags(right);
    divide(index, leaf, right, element);
    *leaf_in_out = leaf;
    return right;
}

struct order_leaf *order_leaf_merge(struct ordered_index *index, struct order_leaf *leaf)
{
    struct order_leaf *right = leaf->next;
    uint32_t count = (uint32_t)leaf->count + right->count;
    CHECK(count <= ORDER_LEAF_MAX);
    if (count > leaf->capacity)
        leaf = resize(index, leaf, count);
    memcpy(&leaf->entries[leaf->count], right->entries, right->count * sizeof leaf->entries[0]);
    leaf->count = (uint16_t)count;
    make_tags(leaf);
    leaf->next = right->next;
    link_leaf(index, leaf);
    order_leaf_destroy(index, right);
    return leaf;
}

void order_leaf_share(struct ordered_index *index, struct order_leaf **left_in_out,
                      struct order_leaf **right_in_out)
{
    struct order_leaf *left = *left_in_out;
    struct order_leaf *right = *right_in_out;
    uint32_t total = (uint32_t)left->count + right->count;
    uint32_t left_count = total / 2;
    if (left->count < left_count) {
        uint32_t moved = left_count - left->count;
        if (left_count > left->capacity)
            left = resize(index, left, left_count);
        memcpy(&left->entries[left->count], right->entries, moved * sizeof left->entries[0]);
        left->count = (uint16_t)left_count;
        right = order_leaf_remove(index, right, 0, moved);
    } else {
        uint32_t moved = left->count - left_count;
        uint32_t right_count = right->count + moved;
        if (right_count > right->capacity)
            right = resize(index, right, right_count);
        move_entries(right, moved, 0);
        memcpy(right->entries, &left->entries[left_count], moved * sizeof left->entries[0]);
        right->count = (uint16_t)right_count;
        left = order_leaf_remove(index, left, left_count, moved);
    }
    make_tags(left);
    make_tags(right);
    divide(index, left, right, NULL);
    *left_in_out = left;
    *right_in_out = right;
}
