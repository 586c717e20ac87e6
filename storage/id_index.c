#include "storage/id_index.h"

#include "codec/check.h"
#include "codec/mem.h"

#include <string.h>

#define LEAF_ENTRIES_MAX 256u
#define LEAF_ENTRIES_MIN 4u /* of a leaf's allocation, which doubles */

struct id_leaf {
    uint32_t count, capacity;
    struct id_entry entries[];
};

void id_index_deinit(struct id_index *index)
{
    for (uint32_t i = 0; i < index->leaf_count; i++)
        mem_free(index->leaves[i]);
    mem_free(index->leaves);
    *index = (struct id_index){0};
}

/* The leaf in which `id` is or belongs: the last one that begins at or before it. */
static uint32_t find_leaf(const struct id_index *index, struct stream_id id)
{
    uint32_t low = 0;
    uint32_t high = index->leaf_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (stream_id_compare(index->leaves[middle]->entries[0].id, id) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The first place in the leaf with an id >= `id`. */
static uint32_t find_place(const struct id_leaf *leaf, struct stream_id id)
{
    uint32_t low = 0;
    uint32_t high = leaf->count;
    if (high != 0 && stream_id_compare(leaf->entries[high - 1].id, id) < 0)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (stream_id_compare(leaf->entries[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct id_entry *find_entry(const struct id_index *index, struct stream_id id)
{
    if (index->leaf_count == 0)
        return NULL;
    struct id_leaf *leaf = index->leaves[find_leaf(index, id)];
    uint32_t place = find_place(leaf, id);
    if (place == leaf->count || stream_id_compare(leaf->entries[place].id, id) != 0)
        return NULL;
    return &leaf->entries[place];
}

void *id_index_find(const struct id_index *index, struct stream_id id)
{
    struct id_entry *entry = find_entry(index, id);
    return entry == NULL ? NULL : entry->value;
}

static void insert_leaf(struct id_index *index, uint32_t at, struct id_leaf *leaf)
{
    if (index->leaf_count == index->leaf_capacity) {
        index->leaf_capacity = index->leaf_capacity == 0 ? 1 : index->leaf_capacity * 2;
        index->leaves = mem_realloc(index->leaves, index->leaf_capacity * sizeof(*index->leaves));
    }
    memmove(index->leaves + at + 1, index->leaves + at,
            (index->leaf_count - at) * sizeof(*index->leaves));
    index->leaves[at] = leaf;
    index->leaf_count++;
}

static struct id_leaf *create_leaf(uint32_t capacity)
{
    struct id_leaf *leaf = mem_alloc(sizeof(*leaf) + capacity * sizeof(leaf->entries[0]));
    leaf->count = 0;
    leaf->capacity = capacity;
    return leaf;
}

/* Makes room in a full leaf: a longer one, or two. One at the end is left full, as ids ascend. */
static void make_room(struct id_index *index, uint32_t at, uint32_t place)
{
    struct id_leaf *leaf = index->leaves[at];
    if (leaf->capacity < LEAF_ENTRIES_MAX) {
        uint32_t capacity = leaf->capacity * 2;
        index->leaves[at] = mem_realloc(leaf, sizeof(*leaf) + capacity * sizeof(leaf->entries[0]));
        index->leaves[at]->capacity = capacity;
        return;
    }
    bool ascending = at == index->leaf_count - 1 && place == leaf->count;
    uint32_t keep = ascending ? leaf->count : leaf->count / 2;
    struct id_leaf *next = create_leaf(ascending ? LEAF_ENTRIES_MIN : LEAF_ENTRIES_MAX);
    next->count = leaf->count - keep;
    memcpy(next->entries, leaf->entries + keep, next->count * sizeof(leaf->entries[0]));
    leaf->count = keep;
    insert_leaf(index, at + 1, next);
}

void *id_index_put(struct id_index *index, struct stream_id id, void *value)
{
    CHECK(value != NULL);
    struct id_entry *entry = find_entry(index, id);
    if (entry != NULL) {
        void *old = entry->value;
        entry->value = value;
        return old;
    }
    if (index->leaf_count == 0)
        insert_leaf(index, 0, create_leaf(LEAF_ENTRIES_MIN));
    uint32_t at = find_leaf(index, id);
    uint32_t place = find_place(index->leaves[at], id);
    if (index->leaves[at]->count == index->leaves[at]->capacity) {
        make_room(index, at, place);
        if (place > index->leaves[at]->count ||
            (place == index->leaves[at]->count && place == index->leaves[at]->capacity)) {
            place -= index->leaves[at]->count;
            at++;
        }
    }
    struct id_leaf *leaf = index->leaves[at];
    memmove(leaf->entries + place + 1, leaf->entries + place,
            (leaf->count - place) * sizeof(leaf->entries[0]));
    leaf->entries[place] = (struct id_entry){.id = id, .value = value};
    leaf->count++;
    index->count++;
    return NULL;
}

void *id_index_remove(struct id_index *index, struct stream_id id)
{
    if (index->leaf_count == 0)
        return NULL;
    uint32_t at = find_leaf(index, id);
    struct id_leaf *leaf = index->leaves[at];
    uint32_t place = find_place(leaf, id);
    if (place == leaf->count || stream_id_compare(leaf->entries[place].id, id) != 0)
        return NULL;
    void *value = leaf->entries[place].value;
    leaf->count--;
    index->count--;
    memmove(leaf->entries + place, leaf->entries + place + 1,
            (leaf->count - place) * sizeof(leaf->entries[0]));
    if (leaf->count == 0) {
        mem_free(leaf);
        index->leaf_count--;
        memmove(index->leaves + at, index->leaves + at + 1,
                (index->leaf_count - at) * sizeof(*index->leaves));
    }
    return value;
}

bool id_index_first(const struct id_index *index, struct stream_id id, struct id_entry *out)
{
    struct id_walk walk;
    id_walk_init(&walk, index, id);
    return id_walk_next(&walk, out);
}

bool id_index_last(const struct id_index *index, struct id_entry *out)
{
    if (index->leaf_count == 0)
        return false;
    const struct id_leaf *leaf = index->leaves[index->leaf_count - 1];
    *out = leaf->entries[leaf->count - 1];
    return true;
}

/* Leaves are counted as if they were full: an upper bound, and O(1). */
size_t id_index_bytes(const struct id_index *index)
{
    size_t leaf = sizeof(struct id_leaf) + LEAF_ENTRIES_MAX * sizeof(struct id_entry);
    size_t bytes = index->leaf_capacity * sizeof(*index->leaves);
    if (index->leaf_count == 1)
        return bytes + sizeof(struct id_leaf) +
               index->leaves[0]->capacity * sizeof(struct id_entry);
    return bytes + index->leaf_count * leaf;
}

void id_walk_init(struct id_walk *walk, const struct id_index *index, struct stream_id from)
{
    *walk = (struct id_walk){.index = index};
    if (index->leaf_count == 0)
        return;
    walk->leaf = find_leaf(index, from);
    walk->place = find_place(index->leaves[walk->leaf], from);
}

bool id_walk_next(struct id_walk *walk, struct id_entry *out)
{
    const struct id_index *index = walk->index;
    if (walk->leaf < index->leaf_count && walk->place == index->leaves[walk->leaf]->count) {
        walk->leaf++;
        walk->place = 0;
    }
    if (walk->leaf >= index->leaf_count)
        return false;
    *out = index->leaves[walk->leaf]->entries[walk->place++];
    return true;
}
