#include "storage/ordered_index_internal.h"

#include "codec/check.h"
#include "codec/endian.h"
#include "storage/parts.h"

#include <string.h>

#define TAG_SHIFT 48
#define TAG_MAX   UINT16_MAX

#define SEPARATOR_SCORE_OFF  8
#define SEPARATOR_MEMBER_OFF 16

/* ---- Separators: count u64 | score u64 | length of the member prefix, varint | prefix. */

struct order_key order_separator_key(const struct part *separator)
{
    const uint8_t *at = separator->data + SEPARATOR_MEMBER_OFF;
    size_t len;
    at += member_varint(at, &len);
    return (struct order_key){.score = load_le64(separator->data + SEPARATOR_SCORE_OFF),
                              .member = bytes_make(at, len)};
}

uint64_t order_separator_count(const struct part *separator)
{
    return load_le64(separator->data);
}

static size_t separator_memory(const struct part *separator)
{
    struct order_key key = order_separator_key(separator);
    return mem_good_size((size_t)(key.member.data - (const uint8_t *)separator) + key.member.len);
}

static struct part *make_separator(const struct order_key *key, uint64_t count, uint8_t bits)
{
    uint8_t len[VARINT_BYTES_MAX];
    size_t len_bytes = varint_encode(key->member.len, len);
    struct part *separator =
        mem_alloc(PART_HEADER_BYTES + SEPARATOR_MEMBER_OFF + len_bytes + key->member.len);
    memset(separator, 0, PART_HEADER_BYTES);
    separator->bits = bits;
    store_le64(separator->data, count);
    store_le64(separator->data + SEPARATOR_SCORE_OFF, key->score);
    memcpy(separator->data + SEPARATOR_MEMBER_OFF, len, len_bytes);
    if (key->member.len != 0)
        memcpy(separator->data + SEPARATOR_MEMBER_OFF + len_bytes, key->member.data,
               key->member.len);
    return separator;
}

/* The leaf's separator is not one any more: a record that there may be of it goes. */
static void retire_separator(struct ordered_index *index, struct part *separator)
{
    struct parts *parts = index->parts;
    index->bytes -= separator_memory(separator);
    if (parts == NULL) {
        mem_free(separator);
    } else if (!parts->stored) {
        parts_drop(parts, separator);
    } else {
        struct order_key key = order_separator_key(separator);
        struct part *gone = make_separator(&key, 0, PART_SEPARATOR | PART_GONE);
        parts_replace(parts, separator, gone);
        gone->orphan = 1; /* it is in no index */
    }
}

/* Gives a leaf that has none a separator. */
static void set_separator(struct ordered_index *index, struct order_leaf *leaf,
                          const struct order_key *key)
{
    leaf->separator = make_separator(key, leaf->count, PART_SEPARATOR);
    index->bytes += separator_memory(leaf->separator);
    if (index->parts != NULL && !index->unread)
        parts_add(index->parts, leaf->separator);
}

bool order_leaf_write_count(struct ordered_index *index, struct order_leaf *leaf)
{
    struct part *old = leaf->separator;
    if (index->parts == NULL || index->unread)
        return false;
    if (parts_is_own(index->parts, old)) {
        store_le64(old->data, leaf->count);
        return false;
    }
    struct order_key key = order_separator_key(old);
    leaf->separator = make_separator(&key, leaf->count, PART_SEPARATOR);
    parts_replace(index->parts, old, leaf->separator);
    return true;
}

/* The shortest key above `left` and not above `right`; borrows from `right`. */
static struct order_key divide(const struct part *left, const struct part *right)
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
    b.member.len = len;
    return b;
}

/* ---- Memory. */

static size_t leaf_bytes(uint32_t capacity)
{
    return sizeof(struct order_leaf) + capacity * sizeof(uint64_t);
}

/* What an allocation with room for `count` entries really has room for. */
static uint32_t leaf_capacity(uint32_t count)
{
    size_t capacity =
        (mem_good_size(leaf_bytes(count)) - sizeof(struct order_leaf)) / sizeof(uint64_t);
    return count <= ORDER_LEAF_MAX && capacity > ORDER_LEAF_MAX ? ORDER_LEAF_MAX
                                                                : (uint32_t)capacity;
}

static size_t leaf_memory(const struct order_leaf *leaf)
{
    return mem_good_size(leaf_bytes(leaf->capacity));
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

/* Behind `previous`; without a separator yet. */
static struct order_leaf *create_behind(struct ordered_index *index, struct order_leaf *previous,
                                        uint32_t count)
{
    uint32_t capacity = leaf_capacity(count);
    struct order_leaf *leaf = mem_alloc(leaf_bytes(capacity));
    *leaf = (struct order_leaf){.capacity = capacity, .whole = true, .previous = previous};
    leaf->next = previous == NULL ? index->first : previous->next;
    link_leaf(index, leaf);
    index->bytes += leaf_memory(leaf);
    return leaf;
}

struct order_leaf *order_leaf_create(struct ordered_index *index, struct order_leaf *previous,
                                     const struct order_key *begin)
{
    struct order_leaf *leaf = create_behind(index, previous, 1);
    set_separator(index, leaf, begin);
    return leaf;
}

void order_leaf_set_unread(struct ordered_index *index, struct order_leaf *leaf,
                           const struct order_key *to)
{
    if (leaf->unread != NULL) {
        index->bytes -= separator_memory(leaf->unread);
        mem_free(leaf->unread);
    }
    leaf->unread = to == NULL ? NULL : make_separator(to, 0, 0);
    if (to != NULL)
        index->bytes += separator_memory(leaf->unread);
}

void order_leaf_set_whole(struct ordered_index *index, struct order_leaf *leaf, bool whole)
{
    if (leaf->whole == whole)
        return;
    leaf->whole = whole;
    index->cold_leaves += whole ? -1ull : 1;
    order_leaf_set_unread(index, leaf, NULL);
}

void order_leaf_free(struct ordered_index *index, struct order_leaf *leaf)
{
    order_leaf_set_whole(index, leaf, true);
    index->bytes -= leaf_memory(leaf);
    if (leaf->separator != NULL) {
        index->bytes -= separator_memory(leaf->separator);
        mem_free(leaf->separator);
    }
    mem_free(leaf);
}

void order_leaf_destroy(struct ordered_index *index, struct order_leaf *leaf)
{
    if (index->hand == leaf)
        index->hand = leaf->next;
    if (leaf->previous != NULL)
        leaf->previous->next = leaf->next;
    else
        index->first = leaf->next;
    if (leaf->next != NULL)
        leaf->next->previous = leaf->previous;
    else
        index->last = leaf->previous;
    retire_separator(index, leaf->separator);
    leaf->separator = NULL;
    order_leaf_free(index, leaf);
}

static struct order_leaf *resize(struct ordered_index *index, struct order_leaf *leaf,
                                 uint32_t count)
{
    uint32_t capacity = leaf_capacity(count);
    if (capacity == leaf->capacity)
        return leaf;
    bool has_hand = index->hand == leaf;
    index->bytes -= leaf_memory(leaf);
    leaf = mem_realloc(leaf, leaf_bytes(capacity));
    leaf->capacity = capacity;
    index->bytes += leaf_memory(leaf);
    link_leaf(index, leaf);
    if (has_hand)
        index->hand = leaf;
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

void order_leaf_make_tags(struct order_leaf *leaf)
{
    leaf->tagged = (uint16_t)(leaf->used < TAG_MAX ? leaf->used : TAG_MAX);
    if (leaf->used == 0)
        return;
    leaf->tag_base = entry_score(leaf->entries[0]);
    uint64_t range = entry_score(leaf->entries[leaf->used - 1]) - leaf->tag_base;
    int bits = range == 0 ? 0 : 64 - __builtin_clzll(range);
    leaf->tag_shift = (uint8_t)(bits > 16 ? bits - 16 : 0);
    for (uint32_t i = 0; i < leaf->used; i++)
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
    *from = lower_bound(leaf->entries, leaf->used, tag << TAG_SHIFT);
    *to = tag == TAG_MAX ? leaf->used
                         : *from + lower_bound(leaf->entries + *from, leaf->used - *from,
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
    uint32_t to = leaf->used;
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

/* ---- Entries. */

static void move_entries(struct order_leaf *leaf, uint32_t to, uint32_t from)
{
    memmove(&leaf->entries[to], &leaf->entries[from],
            (leaf->used - from) * sizeof leaf->entries[0]);
}

struct order_leaf *order_leaf_insert(struct ordered_index *index, struct order_leaf *leaf,
                                     uint32_t at, struct part *element)
{
    if (leaf->used == leaf->capacity)
        leaf = resize(index, leaf, leaf->used + 1);
    move_entries(leaf, at + 1, at);
    leaf->entries[at] = make_entry(leaf, element);
    leaf->used++;
    if (leaf->used > 2u * leaf->tagged)
        order_leaf_make_tags(leaf);
    return leaf;
}

struct order_leaf *order_leaf_remove(struct ordered_index *index, struct order_leaf *leaf,
                                     uint32_t at, uint32_t count)
{
    DCHECK(at + count <= leaf->used);
    move_entries(leaf, at, at + count);
    leaf->used -= count;
    /* Shrinking at half leaves room to grow again: no allocation per change. */
    return leaf->used < leaf->capacity / 2 ? resize(index, leaf, leaf->used + 2) : leaf;
}

void order_leaf_reseat(struct order_leaf *leaf, uint32_t from, struct part *element)
{
    struct order_key key = order_key_of(element);
    uint64_t *entries = leaf->entries;
    uint64_t entry = make_entry(leaf, element);
    bool stays_above = from == 0 || order_compare(order_entry_element(entries[from - 1]), &key) < 0;
    bool stays_below =
        from + 1 == leaf->used || order_compare(order_entry_element(entries[from + 1]), &key) > 0;
    if (!stays_above || !stays_below) {
        move_entries(leaf, from, from + 1);
        leaf->used--;
        from = order_leaf_search(leaf, &key);
        move_entries(leaf, from + 1, from);
        leaf->used++;
    }
    entries[from] = entry;
}

/* ---- Leaves with their neighbours. */

struct order_leaf *order_leaf_split(struct ordered_index *index, struct order_leaf **leaf_in_out,
                                    uint32_t at, const struct part *element)
{
    struct order_leaf *leaf = *leaf_in_out;
    uint32_t moved = leaf->used - at;
    CHECK(leaf->whole);
    const struct part *left_last = at == 0 ? element : order_entry_element(leaf->entries[at - 1]);
    const struct part *right_first = moved == 0 ? element : order_entry_element(leaf->entries[at]);
    struct order_key begin = divide(left_last, right_first);
    struct order_leaf *right = create_behind(index, leaf, moved == 0 ? 1 : moved);
    memcpy(right->entries, &leaf->entries[at], moved * sizeof right->entries[0]);
    right->used = right->count = moved;
    right->hot = leaf->hot;
    set_separator(index, right, &begin);
    leaf->used = leaf->count = at;
    leaf = resize(index, leaf, at == 0 ? 1 : at);
    order_leaf_make_tags(leaf);
    order_leaf_make_tags(right);
    *leaf_in_out = leaf;
    return right;
}

struct order_leaf *order_leaf_merge(struct ordered_index *index, struct order_leaf *leaf)
{
    struct order_leaf *right = leaf->next;
    uint32_t used = leaf->used + right->used;
    bool whole = leaf->whole && right->whole;
    if (used > leaf->capacity)
        leaf = resize(index, leaf, used);
    memcpy(&leaf->entries[leaf->used], right->entries, right->used * sizeof leaf->entries[0]);
    leaf->used = used;
    leaf->count += right->count;
    leaf->hot = leaf->hot || right->hot;
    order_leaf_set_unread(index, leaf, NULL);
    order_leaf_set_whole(index, leaf, whole);
    order_leaf_make_tags(leaf);
    order_leaf_destroy(index, right);
    return leaf;
}

void order_leaf_share(struct ordered_index *index, struct order_leaf **left_in_out,
                      struct order_leaf **right_in_out)
{
    struct order_leaf *left = *left_in_out;
    struct order_leaf *right = *right_in_out;
    uint32_t total = left->used + right->used;
    uint32_t left_used = total / 2;
    CHECK(left->whole && right->whole);
    if (left->used < left_used) {
        uint32_t moved = left_used - left->used;
        if (left_used > left->capacity)
            left = resize(index, left, left_used);
        memcpy(&left->entries[left->used], right->entries, moved * sizeof left->entries[0]);
        left->used = left_used;
        right = order_leaf_remove(index, right, 0, moved);
    } else {
        uint32_t moved = left->used - left_used;
        if (total - left_used > right->capacity)
            right = resize(index, right, total - left_used);
        move_entries(right, moved, 0);
        memcpy(right->entries, &left->entries[left_used], moved * sizeof left->entries[0]);
        right->used += moved;
        left = order_leaf_remove(index, left, left_used, moved);
    }
    left->count = left->used;
    right->count = right->used;
    order_leaf_make_tags(left);
    order_leaf_make_tags(right);
    struct order_key begin = divide(order_entry_element(left->entries[left->used - 1]),
                                    order_entry_element(right->entries[0]));
    retire_separator(index, right->separator);
    set_separator(index, right, &begin);
    *left_in_out = left;
    *right_in_out = right;
}
