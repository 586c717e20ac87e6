/* See ordered_index.h for the design, ordered_index_leaf.c for leaves.
 *
 * Child i of a node has the elements from its separator on, up to that of child i + 1. The first
 * child of a node has the separator that the node has in its parent; on the tree's left edge there
 * is none. A node's or leaf's place among its siblings never needs the elements themselves.
 *
 * A leaf or node below a quarter is joined with a sibling, or shares with it when the two are too
 * many for one: so every node but the root has at least NODE_MIN children, and no leaf is empty. */
#include "storage/ordered_index_internal.h"

#include "codec/check.h"
#include "codec/mem.h"

#define LEAF_MIN       (ORDER_LEAF_MAX / 4)
#define LEAF_MERGE_MAX (ORDER_LEAF_MAX * 3 / 4)
#define NODE_MAX       63 /* 2024 bytes */
#define NODE_MIN       (NODE_MAX / 4)
#define NODE_MERGE_MAX (NODE_MAX * 3 / 4)
#define HEIGHT_MAX     16 /* 15^16 is more than 2^62 */

struct order_child {
    uint64_t score;                          /* of the separator: most searches end here */
    const struct order_separator *separator; /* borrowed from the first leaf below */
    void *below;                             /* owned: a leaf or a node */
    uint64_t elements;
};

struct order_node {
    uint32_t count;
    uint32_t capacity;
    struct order_child children[];
};

_Static_assert(ORDERED_INDEX_TAKE_MAX >= ORDER_LEAF_MAX, "a leaf is taken at once");

/* From the root to a leaf. node[0] is the root, at[i] the child of node[i] that was taken. */
struct path {
    struct order_node *node[HEIGHT_MAX];
    uint32_t at[HEIGHT_MAX];
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
    return (struct order_child){.score = leaf->separator == NULL ? 0 : leaf->separator->score,
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
    struct path path;
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
        order_leaf_destroy(index, leaf);
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
    return bytes_compare(order_separator_member(child->separator), key->member) <= 0;
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
static struct order_leaf *descend(const struct ordered_index *index, const struct order_key *key,
                                  struct path *path)
{
    void *below = index->root;
    for (uint32_t level = 0; level < index->height; level++) {
        path->node[level] = below;
        path->at[level] = find_child(below, key);
        below = path->node[level]->children[path->at[level]].below;
    }
    return below;
}

static struct order_leaf *descend_last(const struct ordered_index *index, struct path *path)
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
static struct order_leaf *descend_rank(const struct ordered_index *index, uint64_t *rank,
                                       struct path *path)
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
static uint64_t elements_before(const struct ordered_index *index, const struct path *path)
{
    uint64_t sum = 0;
    for (uint32_t level = 0; level < index->height; level++)
        for (uint32_t i = 0; i < path->at[level]; i++)
            sum += path->node[level]->children[i].elements;
    return sum;
}

/* Writes down that the path's leaf has `change` elements more. */
static void count_change(struct ordered_index *index, const struct path *path, int64_t change)
{
    index->count += (uint64_t)change;
    for (uint32_t level = 0; level < index->height; level++)
        path->node[level]->children[path->at[level]].elements += (uint64_t)change;
}

/* The leaf at the path's end is at another address. */
static void set_leaf(struct ordered_index *index, const struct path *path, struct order_leaf *leaf)
{
    if (index->height == 0)
        index->root = leaf;
    else
        path->node[index->height - 1]->children[path->at[index->height - 1]].below = leaf;
}

/* The same for the node of `level`. */
static void set_node(struct ordered_index *index, struct path *path, uint32_t level,
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
static struct order_node *split_node(struct ordered_index *index, struct path *path, uint32_t level)
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
    CHECK(index->height < HEIGHT_MAX);
    struct order_node *root = node_create(index, 2);
    root->children[0] = left;
    root->children[1] = right;
    root->count = 2;
    index->root = root;
    index->height++;
}

/* A new child goes behind the path's one of `level`, which it was split from; what is full is split
 * on the way up. Elements in the nodes above are counted already. */
static void add_behind(struct ordered_index *index, struct path *path, uint32_t level,
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
    if (at == leaf->count && leaf->next == NULL)
        return at;
    return at == 0 && leaf->previous == NULL ? 0 : leaf->count / 2u;
}

/* Whether an element that stands between two leaves belongs to the right one. */
static bool is_right(const struct order_leaf *right, const struct part *element)
{
    struct order_key key = {.score = right->separator->score,
                            .member = order_separator_member(right->separator)};
    return order_compare(element, &key) >= 0;
}

static void split_and_insert(struct ordered_index *index, struct path *path,
                             struct order_leaf *leaf, uint32_t at, struct part *element)
{
    uint32_t kept = split_place(leaf, at);
    struct order_leaf *right = order_leaf_split(index, &leaf, kept, element);
    if (at > kept || (at == kept && is_right(right, element)))
        right = order_leaf_insert(index, right, at - kept, element);
    else
        leaf = order_leaf_insert(index, leaf, at, element);
    set_leaf(index, path, leaf);
    count_change(index, path, 1);
    if (index->height == 0)
        grow_root(index, leaf_child(leaf), leaf_child(right));
    else
        add_behind(index, path, index->height - 1, leaf_child(right));
}

/* `element` goes before entry `at` of the path's leaf. */
static void insert_at(struct ordered_index *index, struct path *path, struct order_leaf *leaf,
                      uint32_t at, struct part *element)
{
    if (leaf->count == ORDER_LEAF_MAX) {
        split_and_insert(index, path, leaf, at, element);
        return;
    }
    set_leaf(index, path, order_leaf_insert(index, leaf, at, element));
    count_change(index, path, 1);
}

static void insert_first(struct ordered_index *index, struct part *element)
{
    struct order_leaf *leaf = order_leaf_create(index);
    index->root = index->first = index->last = order_leaf_insert(index, leaf, 0, element);
    index->count = 1;
}

void ordered_index_insert(struct ordered_index *index, struct part *element)
{
    struct path path;
    if (index->root == NULL) {
        insert_first(index, element);
        return;
    }
    struct order_key key = order_key_of(element);
    struct order_leaf *leaf = descend(index, &key, &path);
    insert_at(index, &path, leaf, order_leaf_search(leaf, &key), element);
}

void ordered_index_append(struct ordered_index *index, struct part *element)
{
    struct path path;
    if (index->root == NULL) {
        insert_first(index, element);
        return;
    }
    struct order_leaf *leaf = descend_last(index, &path);
    insert_at(index, &path, leaf, leaf->count, element);
}

/* ---- Shrinking. */

/* The left one of two siblings to join, of which one is the path's at `level`. */
static uint32_t left_sibling(const struct path *path, uint32_t level)
{
    uint32_t at = path->at[level];
    return at + 1 < path->node[level]->count ? at : at - 1;
}

static void remove_child(struct order_node *node, uint32_t at)
{
    move_children(node, at, at + 1);
    node->count--;
}

/* The path's leaf is too small: joins it with a sibling, or evens the two out. */
static void mend_leaf(struct ordered_index *index, struct path *path, uint32_t level)
{
    struct order_node *node = path->node[level];
    uint32_t at = left_sibling(path, level);
    struct order_leaf *left = node->children[at].below;
    struct order_leaf *right = node->children[at + 1].below;
    if (left->count + right->count <= LEAF_MERGE_MAX) {
        left = order_leaf_merge(index, left);
        remove_child(node, at + 1);
    } else {
        order_leaf_share(index, &left, &right);
        node->children[at + 1] = leaf_child(right);
    }
    node->children[at] = leaf_child(left);
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
static void mend_node(struct ordered_index *index, struct path *path, uint32_t level)
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
static void mend(struct ordered_index *index, struct path *path, struct order_leaf *leaf)
{
    if (index->height == 0) {
        if (leaf->count == 0) {
            order_leaf_destroy(index, leaf);
            index->root = index->first = index->last = NULL;
        }
        return;
    }
    if (leaf->count >= LEAF_MIN)
        return;
    uint32_t level = index->height - 1;
    mend_leaf(index, path, level);
    for (; level > 0 && path->node[level]->count < NODE_MIN; level--)
        mend_node(index, path, level - 1);
    struct order_node *root = path->node[0];
    if (root->count == 1) {
        index->root = root->children[0].below;
        index->height--;
        node_destroy(index, root);
    }
}

static void remove_at(struct ordered_index *index, struct path *path, struct order_leaf *leaf,
                      uint32_t at, uint32_t count)
{
    leaf = order_leaf_remove(index, leaf, at, count);
    set_leaf(index, path, leaf);
    count_change(index, path, -(int64_t)count);
    mend(index, path, leaf);
}

/* Finds the place of an element that is in the index. */
static struct order_leaf *find_element(const struct ordered_index *index,
                                       const struct part *element, struct path *path,
                                       uint32_t *at_out)
{
    struct order_key key = order_key_of(element);
    CHECK(index->root != NULL);
    struct order_leaf *leaf = descend(index, &key, path);
    uint32_t at = order_leaf_search(leaf, &key);
    CHECK(at < leaf->count && order_entry_element(leaf->entries[at]) == element);
    *at_out = at;
    return leaf;
}

void ordered_index_remove(struct ordered_index *index, const struct part *element)
{
    struct path path;
    uint32_t at;
    struct order_leaf *leaf = find_element(index, element, &path, &at);
    remove_at(index, &path, leaf, at, 1);
}

size_t ordered_index_take(struct ordered_index *index, uint64_t rank, size_t max, struct part **out)
{
    struct path path;
    if (rank >= index->count || max == 0)
        return 0;
    struct order_leaf *leaf = descend_rank(index, &rank, &path);
    uint32_t at = (uint32_t)rank;
    uint32_t count = leaf->count - at;
    if (count > max)
        count = (uint32_t)max;
    for (uint32_t i = 0; i < count; i++)
        out[i] = order_entry_element(leaf->entries[at + i]);
    remove_at(index, &path, leaf, at, count);
    return count;
}

/* ---- Moving an element. */

/* Whether a key belongs to the path's leaf. */
static bool belongs(const struct ordered_index *index, const struct path *path,
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
static void reseat(struct ordered_index *index, struct path *path, struct order_leaf *leaf,
                   uint32_t at, struct part *element)
{
    struct order_key key = order_key_of(element);
    if (belongs(index, path, &key)) {
        order_leaf_reseat(leaf, at, element);
    } else {
        remove_at(index, path, leaf, at, 1);
        ordered_index_insert(index, element);
    }
}

void ordered_index_rescore(struct ordered_index *index, struct part *element, double score)
{
    struct path path;
    uint32_t at;
    struct order_leaf *leaf = find_element(index, element, &path, &at);
    zset_element_set_score(element, score);
    reseat(index, &path, leaf, at, element);
}

void ordered_index_replace(struct ordered_index *index, const struct part *from, struct part *to)
{
    struct path path;
    uint32_t at;
    struct order_leaf *leaf = find_element(index, from, &path, &at);
    reseat(index, &path, leaf, at, to);
}

/* ---- Looking up. */

uint64_t ordered_index_rank(const struct ordered_index *index, const struct part *element)
{
    struct path path;
    uint32_t at;
    (void)find_element(index, element, &path, &at);
    return elements_before(index, &path) + at;
}

struct order_cursor ordered_index_at(const struct ordered_index *index, uint64_t rank)
{
    struct path path;
    CHECK(rank < index->count);
    struct order_leaf *leaf = descend_rank(index, &rank, &path);
    return (struct order_cursor){.leaf = leaf, .at = (uint32_t)rank};
}

/* Whether the bound is not before the child's begin. */
static bool child_begins_by_bound(const struct order_child *child, const struct order_bound *bound,
                                  uint64_t score)
{
    if (bound->kind == ORDER_BY_MEMBER)
        return bytes_compare(order_separator_member(child->separator), bound->member) <= 0;
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

uint64_t ordered_index_seek(const struct ordered_index *index, const struct order_bound *bound,
                            struct order_cursor *out)
{
    struct path path;
    struct order_cursor cursor = {.leaf = NULL};
    uint64_t rank = 0;
    if (index->root != NULL) {
        uint64_t score = zset_score_order(bound->score);
        void *below = index->root;
        for (uint32_t level = 0; level < index->height; level++) {
            path.node[level] = below;
            path.at[level] = find_child_of_bound(below, bound, score);
            below = path.node[level]->children[path.at[level]].below;
        }
        cursor.leaf = below;
        cursor.at = order_leaf_search_bound(cursor.leaf, bound);
        rank = elements_before(index, &path) + cursor.at;
        if (cursor.at == cursor.leaf->count)
            cursor = (struct order_cursor){.leaf = cursor.leaf->next};
    }
    if (out != NULL)
        *out = cursor;
    return rank;
}

struct part *order_cursor_element(const struct order_cursor *cursor)
{
    return cursor->leaf == NULL ? NULL : order_entry_element(cursor->leaf->entries[cursor->at]);
}

void order_cursor_next(struct order_cursor *cursor)
{
    if (cursor->leaf == NULL || ++cursor->at < cursor->leaf->count)
        return;
    *cursor = (struct order_cursor){.leaf = cursor->leaf->next};
}

void order_cursor_previous(struct order_cursor *cursor)
{
    if (cursor->leaf == NULL || cursor->at-- > 0)
        return;
    cursor->leaf = cursor->leaf->previous;
    cursor->at = cursor->leaf == NULL ? 0 : cursor->leaf->count - 1u;
}
