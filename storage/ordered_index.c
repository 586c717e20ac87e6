/* See ordered_index.h for the design, ordered_index_leaf.c for leaves.
 *
 * Child i of a node has the elements from its separator on, up to that of child i + 1. The first
 * child of a node has the separator that the node has in its parent; on the tree's left edge it is
 * below everything. A node's or leaf's place among its siblings never needs the elements
 * themselves.
 *
 * A leaf or node below a quarter is joined with a sibling, or shares with it when the two are too
 * many for one: so every node but the root has at least NODE_MIN children, and no leaf is empty.
 * Cold leaves cannot share; they may stay small. */
#include "storage/ordered_index_internal.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "storage/parts.h"

#define LEAF_MIN       (ORDER_LEAF_MAX / 4)
#define LEAF_MERGE_MAX (ORDER_LEAF_MAX * 3 / 4)
#define NODE_MAX       63 /* 2024 bytes */
#define NODE_MIN       (NODE_MAX / 4)
#define NODE_MERGE_MAX (NODE_MAX * 3 / 4)

#define PREFETCH_DISTANCE 8 /* elements, on a walk */

struct order_child {
    uint64_t score;               /* of the separator: most searches end here */
    const struct part *separator; /* borrowed from the first leaf below */
    void *below;                  /* owned: a leaf or a node */
    uint64_t elements;
};

struct order_node {
    uint32_t count;
    uint32_t capacity;
    struct order_child children[];
};

/* ---- Memory of nodes. */

static size_t node_bytes(uint32_t capacity)
{
    return sizeof(struct order_node) + capacity * sizeof(struct order_child);
}

static uint32_t node_capacity(uint32_t count)
{
    size_t capacity =
        (mem_good_size(node_bytes(count)) - sizeof(struct order_node)) / sizeof(struct order_child);
    return capacity < NODE_MAX ? (uint32_t)capacity : NODE_MAX;
}

static size_t node_memory(const struct order_node *node)
{
    return mem_good_size(node_bytes(node->capacity));
}

static struct order_node *node_create(struct ordered_index *index, uint32_t count)
{
    uint32_t capacity = node_capacity(count);
    struct order_node *node = mem_alloc(node_bytes(capacity));
    node->count = 0;
    node->capacity = capacity;
    index->bytes += node_memory(node);
    return node;
}

static void node_destroy(struct ordered_index *index, struct order_node *node)
{
    index->bytes -= node_memory(node);
    mem_free(node);
}

static struct order_node *node_reserve(struct ordered_index *index, struct order_node *node,
                                       uint32_t count)
{
    if (count <= node->capacity)
        return node;
    index->bytes -= node_memory(node);
    uint32_t capacity = node_capacity(count);
    node = mem_realloc(node, node_bytes(capacity));
    node->capacity = capacity;
    index->bytes += node_memory(node);
    return node;
}

static void move_children(struct order_node *node, uint32_t to, uint32_t from)
{
    memmove(&node->children[to], &node->children[from],
            (node->count - from) * sizeof node->children[0]);
}

static uint64_t node_elements(const struct order_node *node)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < node->count; i++)
        sum += node->children[i].elements;
    return sum;
}

static struct order_child leaf_child(struct order_leaf *leaf)
{
    return (struct order_child){.score = order_separator_key(leaf->separator).score,
                                .separator = leaf->separator,
                                .below = leaf,
                                .elements = leaf->count};
}

static struct order_child node_child(struct order_node *node)
{
    return (struct order_child){.score = node->children[0].score,
                                .separator = node->children[0].separator,
                                .below = node,
                                .elements = node_elements(node)};
}

void ordered_index_init(struct ordered_index *index)
{
    *index = (struct ordered_index){0};
}

/* Frees the nodes level by level: the first children lead down. */
static void destroy_nodes(struct ordered_index *index, struct order_node *node, uint32_t height)
{
    struct order_path path;
    uint32_t level = 0;
    path.node[0] = node;
    path.at[0] = 0;
    for (;;) {
        struct order_node *n = path.node[level];
        if (level + 1 < height && path.at[level] < n->count) {
            path.node[level + 1] = n->children[path.at[level]++].below;
            path.at[++level] = 0;
            continue;
        }
        node_destroy(index, n);
        if (level-- == 0)
            return;
    }
}

void ordered_index_deinit(struct ordered_index *index)
{
    if (index->height != 0)
        destroy_nodes(index, index->root, index->height);
    for (struct order_leaf *leaf = index->first; leaf != NULL;) {
        struct order_leaf *next = leaf->next;
        order_leaf_free(index, leaf);
        leaf = next;
    }
    CHECK(index->bytes == 0);
    ordered_index_init(index);
}

/* ---- Ways down. */

/* Whether a child begins at or below the key. */
static bool child_begins_by(const struct order_child *child, const struct order_key *key)
{
    if (child->score != key->score)
        return child->score < key->score;
    return bytes_compare(order_separator_key(child->separator).member, key->member) <= 0;
}

/* The last child that begins at or below the key; the first one begins below everything. */
static uint32_t find_child(const struct order_node *node, const struct order_key *key)
{
    uint32_t from = 1;
    uint32_t to = node->count;
    while (from < to) {
        uint32_t middle = (from + to) / 2;
        if (child_begins_by(&node->children[middle], key))
            from = middle + 1;
        else
            to = middle;
    }
    return from - 1;
}

/* Finds the leaf in which the key is or would be. */
struct order_leaf *order_descend(const struct ordered_index *index, const struct order_key *key,
                                 struct order_path *path)
{
    void *below = index->root;
    for (uint32_t level = 0; level < index->height; level++) {
        path->node[level] = below;
        path->at[level] = find_child(below, key);
        below = path->node[level]->children[path->at[level]].below;
    }
    return below;
}

struct order_leaf *order_descend_last(const struct ordered_index *index, struct order_path *path)
{
    void *below = index->root;
    for (uint32_t level = 0; level < index->height; level++) {
        path->node[level] = below;
        path->at[level] = path->node[level]->count - 1;
        below = path->node[level]->children[path->at[level]].below;
    }
    return below;
}

/* Finds the leaf of a rank; `*rank` becomes the place in it. */
struct order_leaf *order_descend_rank(const struct ordered_index *index, uint64_t *rank,
                                      struct order_path *path)
{
    void *below = index->root;
    for (uint32_t level = 0; level < index->height; level++) {
        struct order_node *node = below;
        uint32_t i = 0;
        while (*rank >= node->children[i].elements)
            *rank -= node->children[i++].elements;
        path->node[level] = node;
        path->at[level] = i;
        below = node->children[i].below;
    }
    return below;
}

/* How many elements are before the leaf at the path's end. */
static uint64_t elements_before(const struct ordered_index *index, const struct order_path *path)
{
    uint64_t sum = 0;
    for (uint32_t level = 0; level < index->height; level++)
        for (uint32_t i = 0; i < path->at[level]; i++)
            sum += path->node[level]->children[i].elements;
    return sum;
}

/* Elements below the path's children: `change` more. */
void order_count_change(struct ordered_index *index, const struct order_path *path, int64_t change)
{
    index->count += (uint64_t)change;
    for (uint32_t level = 0; level < index->height; level++)
        path->node[level]->children[path->at[level]].elements += (uint64_t)change;
}

/* Writes the count of the path's leaf down. */
void order_write_count(struct ordered_index *index, const struct order_path *path,
                       struct order_leaf *leaf)
{
    if (!order_leaf_write_count(index, leaf))
        return;
    for (uint32_t level = index->height; level-- > 0;) {
        path->node[level]->children[path->at[level]].separator = leaf->separator;
        if (path->at[level] != 0)
            return;
    }
}

/* The leaf at the path's end is at another address. */
void order_set_leaf(struct ordered_index *index, const struct order_path *path,
                    struct order_leaf *leaf)
{
    if (index->height == 0)
        index->root = leaf;
    else
        path->node[index->height - 1]->children[path->at[index->height - 1]].below = leaf;
}

/* The same for the node of `level`. */
static void set_node(struct ordered_index *index, struct order_path *path, uint32_t level,
                     struct order_node *node)
{
    path->node[level] = node;
    if (level == 0)
        index->root = node;
    else
        path->node[level - 1]->children[path->at[level - 1]].below = node;
}

/* ---- Growing. */

static void insert_child(struct order_node *node, uint32_t at, struct order_child child)
{
    move_children(node, at + 1, at);
    node->children[at] = child;
    node->count++;
}

/* Splits the full node of `level`; `*path` then leads to the half with the child that it led to.
 * Both have room for one more. Returns the new right node, for the parent. */
static struct order_node *split_node(struct ordered_index *index, struct order_path *path,
                                     uint32_t level)
{
    struct order_node *left = path->node[level];
    bool at_end = path->at[level] == left->count - 1;
    uint32_t kept = at_end ? left->count - 1 : left->count / 2;
    struct order_node *right = node_create(index, left->count - kept + 1);
    right->count = left->count - kept;
    memcpy(right->children, &left->children[kept], right->count * sizeof left->children[0]);
    left->count = kept;
    if (path->at[level] >= kept) {
        path->at[level] -= kept;
        path->node[level] = right;
    }
    return right;
}

/* The root gets a sibling: a new root above both. */
static void grow_root(struct ordered_index *index, struct order_child left,
                      struct order_child right)
{
    CHECK(index->height < ORDER_HEIGHT_MAX);
    struct order_node *root = node_create(index, 2);
    root->children[0] = left;
    root->children[1] = right;
    root->count = 2;
    index->root = root;
    index->height++;
}

/* A new child goes behind the path's one of `level`, which it was split from; what is full is split
 * on the way up. Elements in the nodes above are counted already. */
static void add_behind(struct ordered_index *index, struct order_path *path, uint32_t level,
                       struct order_child child)
{
    for (;;) {
        struct order_node *node = path->node[level];
        node->children[path->at[level]].elements -= child.elements;
        if (node->count < NODE_MAX) {
            node = node_reserve(index, node, node->count + 1);
            set_node(index, path, level, node);
            insert_child(node, path->at[level] + 1, child);
            return;
        }
        struct order_node *right = split_node(index, path, level);
        insert_child(path->node[level], path->at[level] + 1, child);
        child = node_child(right);
        if (level == 0)
            break;
        level--;
    }
    grow_root(index, node_child(index->root), child);
}

/* Where to split a full leaf: in the middle, but at the tree's ends so that ascending or descending
 * insertions leave full leaves. */
static uint32_t split_place(const struct order_leaf *leaf, uint32_t at)
{
    if (at == leaf->used && leaf->next == NULL)
        return at;
    return at == 0 && leaf->previous == NULL ? 0 : leaf->used / 2;
}

/* A leaf was split off behind the path's leaf, which has changed too. */
void order_add_leaf_behind(struct ordered_index *index, struct order_path *path,
                           struct order_leaf *left, struct order_leaf *right)
{
    order_set_leaf(index, path, left);
    order_write_count(index, path, left);
    (void)order_leaf_write_count(index, right); /* new: its separator stays where it is */
    if (index->height == 0)
        grow_root(index, leaf_child(left), leaf_child(right));
    else
        add_behind(index, path, index->height - 1, leaf_child(right));
}

static void split_and_insert(struct ordered_index *index, struct order_path *path,
                             struct order_leaf *leaf, uint32_t at, struct part *element)
{
    uint32_t kept = split_place(leaf, at);
    struct order_leaf *right = order_leaf_split(index, &leaf, kept, element);
    struct order_key begin = order_separator_key(right->separator);
    if (at > kept || (at == kept && order_compare(element, &begin) >= 0)) {
        right = order_leaf_insert(index, right, at - kept, element);
        right->count++;
    } else {
        leaf = order_leaf_insert(index, leaf, at, element);
        leaf->count++;
    }
    order_count_change(index, path, 1);
    order_add_leaf_behind(index, path, leaf, right);
}

/* `element` goes before entry `at` of the path's leaf. */
static void insert_at(struct ordered_index *index, struct order_path *path, struct order_leaf *leaf,
                      uint32_t at, struct part *element)
{
    if (leaf->whole && leaf->count >= ORDER_LEAF_MAX) {
        split_and_insert(index, path, leaf, at, element);
        return;
    }
    leaf = order_leaf_insert(index, leaf, at, element);
    leaf->count++;
    order_set_leaf(index, path, leaf);
    order_count_change(index, path, 1);
    order_write_count(index, path, leaf);
}

static void insert_first(struct ordered_index *index, struct part *element)
{
    struct order_path path;
    struct order_leaf *leaf = order_leaf_create(index, NULL, &order_lowest);
    index->root = leaf;
    insert_at(index, &path, leaf, 0, element);
}

void ordered_index_insert(struct ordered_index *index, struct part *element)
{
    struct order_path path;
    CHECK(!index->unread);
    if (index->root == NULL) {
        insert_first(index, element);
        return;
    }
    struct order_key key = order_key_of(element);
    struct order_leaf *leaf = order_descend(index, &key, &path);
    insert_at(index, &path, leaf, order_leaf_search(leaf, &key), element);
}

void ordered_index_append(struct ordered_index *index, struct part *element)
{
    struct order_path path;
    if (index->root == NULL) {
        insert_first(index, element);
        return;
    }
    struct order_leaf *leaf = order_descend_last(index, &path);
    insert_at(index, &path, leaf, leaf->used, element);
}

/* ---- Shrinking. */

/* The left one of two siblings to join, of which one is the path's at `level`. */
static uint32_t left_sibling(const struct order_path *path, uint32_t level)
{
    uint32_t at = path->at[level];
    return at + 1 < path->node[level]->count ? at : at - 1;
}

static void remove_child(struct order_node *node, uint32_t at)
{
    move_children(node, at, at + 1);
    node->count--;
}

/* The path's leaf is too small: joins it with a sibling, or evens the two out. False: nothing could
 * be done, since one of them is cold. */
static bool mend_leaf(struct ordered_index *index, struct order_path *path, uint32_t level)
{
    struct order_node *node = path->node[level];
    uint32_t at = left_sibling(path, level);
    struct order_leaf *left = node->children[at].below;
    struct order_leaf *right = node->children[at + 1].below;
    if (left->count + right->count <= LEAF_MERGE_MAX || left->count == 0 || right->count == 0) {
        left = order_leaf_merge(index, left);
        remove_child(node, at + 1);
    } else if (left->whole && right->whole) {
        order_leaf_share(index, &left, &right);
        node->children[at + 1] = leaf_child(right);
    } else {
        return false;
    }
    path->at[level] = at;
    node->children[at].below = left;
    node->children[at].elements = left->count;
    order_write_count(index, path, left);
    return true;
}

static void move_between(struct order_node *left, struct order_node *right, uint32_t left_count)
{
    uint32_t total = left->count + right->count;
    if (left->count < left_count) {
        uint32_t moved = left_count - left->count;
        memcpy(&left->children[left->count], right->children, moved * sizeof left->children[0]);
        move_children(right, 0, moved);
    } else {
        uint32_t moved = left->count - left_count;
        move_children(right, moved, 0);
        memcpy(right->children, &left->children[left_count], moved * sizeof left->children[0]);
    }
    left->count = left_count;
    right->count = total - left_count;
}

/* The same for the node below the path's at `level`. */
static void mend_node(struct ordered_index *index, struct order_path *path, uint32_t level)
{
    struct order_node *node = path->node[level];
    uint32_t at = left_sibling(path, level);
    struct order_node *left = node->children[at].below;
    struct order_node *right = node->children[at + 1].below;
    uint32_t total = left->count + right->count;
    if (total <= NODE_MERGE_MAX) {
        left = node_reserve(index, left, total);
        move_between(left, right, total);
        node_destroy(index, right);
        remove_child(node, at + 1);
    } else {
        left = node_reserve(index, left, total / 2);
        right = node_reserve(index, right, total - total / 2);
        move_between(left, right, total / 2);
        node->children[at + 1] = node_child(right);
    }
    node->children[at] = node_child(left);
}

/* The path's leaf has lost elements. */
void order_mend(struct ordered_index *index, struct order_path *path, struct order_leaf *leaf)
{
    if (index->height == 0) {
        if (leaf->count == 0) {
            order_leaf_destroy(index, leaf);
            index->root = NULL;
        }
        return;
    }
    uint32_t level = index->height - 1;
    if (leaf->count >= LEAF_MIN || !mend_leaf(index, path, level))
        return;
    for (; level > 0 && path->node[level]->count < NODE_MIN; level--)
        mend_node(index, path, level - 1);
    struct order_node *root = path->node[0];
    if (root->count == 1) {
        index->root = root->children[0].below;
        index->height--;
        node_destroy(index, root);
    }
}

/* `count` elements leave the path's leaf; `used` of them are entries, from `at` on. */
static void remove_at(struct ordered_index *index, struct order_path *path, struct order_leaf *leaf,
                      uint32_t at, uint32_t used, uint32_t count)
{
    CHECK(leaf->count >= count);
    leaf = order_leaf_remove(index, leaf, at, used);
    leaf->count -= count;
    order_set_leaf(index, path, leaf);
    order_count_change(index, path, -(int64_t)count);
    order_write_count(index, path, leaf);
    order_mend(index, path, leaf);
}

/* Finds the place of an element. False: it has no entry, in a cold leaf. */
bool order_find_element(const struct ordered_index *index, const struct part *element,
                        struct order_path *path, struct order_leaf **leaf_out, uint32_t *at_out)
{
    struct order_key key = order_key_of(element);
    CHECK(index->root != NULL);
    struct order_leaf *leaf = order_descend(index, &key, path);
    uint32_t at = order_leaf_search(leaf, &key);
    bool found = at < leaf->used && order_entry_element(leaf->entries[at]) == element;
    CHECK(found || !leaf->whole);
    *leaf_out = leaf;
    *at_out = at;
    return found;
}

void ordered_index_remove(struct ordered_index *index, const struct part *element)
{
    struct order_path path;
    struct order_leaf *leaf;
    uint32_t at;
    bool found = order_find_element(index, element, &path, &leaf, &at);
    remove_at(index, &path, leaf, at, found, 1);
}

size_t ordered_index_take(struct ordered_index *index, uint64_t rank, size_t max, struct part **out)
{
    struct order_path path;
    if (rank >= index->count || max == 0)
        return 0;
    struct order_leaf *leaf = order_descend_rank(index, &rank, &path);
    CHECK(leaf->whole);
    uint32_t at = (uint32_t)rank;
    uint32_t count = leaf->used - at;
    if (count > max)
        count = (uint32_t)max;
    for (uint32_t i = 0; i < count; i++)
        out[i] = order_entry_element(leaf->entries[at + i]);
    remove_at(index, &path, leaf, at, count, count);
    return count;
}

/* ---- Moving an element. */

/* Whether a key belongs to the path's leaf. */
static bool belongs(const struct ordered_index *index, const struct order_path *path,
                    const struct order_key *key)
{
    if (index->height == 0)
        return true;
    uint32_t level = index->height - 1;
    const struct order_child *child = &path->node[level]->children[path->at[level]];
    if (child->separator != NULL && !child_begins_by(child, key))
        return false;
    for (;; level--) {
        const struct order_node *node = path->node[level];
        if (path->at[level] + 1 < node->count)
            return !child_begins_by(&node->children[path->at[level] + 1], key);
        if (level == 0)
            return true;
    }
}

/* `element` takes the place of entry `at`, or another one. */
static void reseat(struct ordered_index *index, struct order_path *path, struct order_leaf *leaf,
                   uint32_t at, struct part *element)
{
    struct order_key key = order_key_of(element);
    if (belongs(index, path, &key)) {
        order_leaf_reseat(leaf, at, element);
    } else {
        remove_at(index, path, leaf, at, 1, 1);
        ordered_index_insert(index, element);
    }
}

void ordered_index_rescore(struct ordered_index *index, struct part *element, double score)
{
    struct order_path path;
    struct order_leaf *leaf;
    uint32_t at;
    CHECK(order_find_element(index, element, &path, &leaf, &at));
    zset_element_set_score(element, score);
    reseat(index, &path, leaf, at, element);
}

void ordered_index_replace(struct ordered_index *index, const struct part *from, struct part *to)
{
    struct order_path path;
    struct order_leaf *leaf;
    uint32_t at;
    if (order_find_element(index, from, &path, &leaf, &at)) {
        reseat(index, &path, leaf, at, to);
    } else {
        remove_at(index, &path, leaf, at, 0, 1);
        ordered_index_insert(index, to);
    }
}

/* ---- Looking up. */

uint64_t ordered_index_rank(const struct ordered_index *index, const struct part *element)
{
    struct order_path path;
    struct order_leaf *leaf;
    uint32_t at;
    CHECK(order_find_element(index, element, &path, &leaf, &at) && leaf->whole);
    leaf->hot = true;
    return elements_before(index, &path) + at;
}

struct order_cursor ordered_index_at(const struct ordered_index *index, uint64_t rank)
{
    struct order_path path;
    CHECK(rank < index->count);
    struct order_leaf *leaf = order_descend_rank(index, &rank, &path);
    CHECK(leaf->whole);
    leaf->hot = true;
    return (struct order_cursor){.leaf = leaf, .at = (uint32_t)rank};
}

/* Whether the bound is not before the child's begin. */
static bool child_begins_by_bound(const struct order_child *child, const struct order_bound *bound,
                                  uint64_t score)
{
    if (bound->kind == ORDER_BY_MEMBER)
        return bytes_compare(order_separator_key(child->separator).member, bound->member) <= 0;
    return child->score < score || (child->score == score && bound->after);
}

static uint32_t find_child_of_bound(const struct order_node *node, const struct order_bound *bound,
                                    uint64_t score)
{
    uint32_t from = 1;
    uint32_t to = node->count;
    while (from < to) {
        uint32_t middle = (from + to) / 2;
        if (child_begins_by_bound(&node->children[middle], bound, score))
            from = middle + 1;
        else
            to = middle;
    }
    return from - 1;
}

struct order_leaf *order_descend_bound(const struct ordered_index *index,
                                       const struct order_bound *bound, struct order_path *path)
{
    uint64_t score = zset_score_order(bound->score);
    void *below = index->root;
    for (uint32_t level = 0; level < index->height; level++) {
        path->node[level] = below;
        path->at[level] = find_child_of_bound(below, bound, score);
        below = path->node[level]->children[path->at[level]].below;
    }
    return below;
}

uint64_t ordered_index_seek(const struct ordered_index *index, const struct order_bound *bound)
{
    struct order_path path;
    if (index->root == NULL)
        return 0;
    struct order_leaf *leaf = order_descend_bound(index, bound, &path);
    CHECK(leaf->whole);
    leaf->hot = true;
    return elements_before(index, &path) + order_leaf_search_bound(leaf, bound);
}

/* Elements further on are likely to be wanted soon. */
static void prefetch_ahead(const struct order_leaf *leaf, uint32_t at)
{
    if (at < leaf->used)
        __builtin_prefetch(order_entry_element(leaf->entries[at]));
}

struct part *order_cursor_element(const struct order_cursor *cursor)
{
    if (cursor->leaf == NULL)
        return NULL;
    CHECK(cursor->leaf->whole);
    return order_entry_element(cursor->leaf->entries[cursor->at]);
}

void order_cursor_next(struct order_cursor *cursor)
{
    if (cursor->leaf == NULL)
        return;
    prefetch_ahead(cursor->leaf, cursor->at + PREFETCH_DISTANCE);
    if (++cursor->at == cursor->leaf->used)
        *cursor = (struct order_cursor){.leaf = cursor->leaf->next};
}

void order_cursor_previous(struct order_cursor *cursor)
{
    if (cursor->leaf == NULL)
        return;
    prefetch_ahead(cursor->leaf, cursor->at - PREFETCH_DISTANCE);
    if (cursor->at-- > 0)
        return;
    cursor->leaf = cursor->leaf->previous;
    cursor->at = cursor->leaf == NULL ? 0 : cursor->leaf->used - 1;
}
