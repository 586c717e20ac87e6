#include "storage/types/zset_ensure.h"

#include "codec/check.h"
#include "storage/types/zset_internal.h"

#define READ_LEAVES_ALL ((size_t)1 << 20) /* all that fit in one read */
#define READ_ELEMENTS   8192u             /* by order, in one read */
#define READS_AT_ONCE   4                 /* by order, for one request */
#define BEYOND_ORDER    "T"               /* the key behind all keys by order */

static struct zset *of(const struct ensure *e)
{
    CHECK(e->o->large);
    return zset_of(e->o);
}

enum ensured zset_ensure_members(struct ensure *e, const struct bytes *members, size_t count,
                                 size_t step)
{
    return members_ensure(e, &of(e)->members, members, count, step);
}

/* ---- The order. */

/* Behind the last separator that has been read. */
static void unread_leaves(const struct zset *zset, struct buf *from)
{
    if (zset->order.last == NULL) {
        buf_append_byte(from, ZSET_KEY_LEAF);
        return;
    }
    struct order_key begin = order_leaf_begin(zset->order.last);
    zset_order_key(&begin, from);
    from->data[0] = ZSET_KEY_LEAF;
    buf_append_byte(from, 0);
}

enum ensured zset_ensure_order(struct ensure *e)
{
    struct zset *zset = of(e);
    static const uint8_t behind = ZSET_KEY_LEAF + 1;
    enum ensured result = ENSURED;
    while (zset->order.unread && result == ENSURED) {
        struct buf from = {0};
        unread_leaves(zset, &from);
        result = ensure_range(e, buf_bytes(&from), bytes_make(&behind, 1), READ_LEAVES_ALL);
        buf_deinit(&from);
    }
    return result;
}

/* Reads by order from the leaf on, up to a leaf that is whole, or to `last`, or until there are
 * many. `*leaf` becomes the leaf behind what is read; NULL behind `last`. */
static enum ensured read_leaves(struct ensure *e, const struct order_leaf **leaf,
                                const struct order_leaf *last)
{
    struct buf from = {0};
    struct buf to = {0};
    struct order_key place = order_leaf_unread(*leaf);
    uint64_t count = 0;
    bool ends = false;
    zset_order_key(&place, &from);
    while (!ends && *leaf != NULL && !order_leaf_is_whole(*leaf) &&
           (count == 0 || count + order_leaf_count(*leaf) <= READ_ELEMENTS)) {
        count += order_leaf_count(*leaf);
        ends = *leaf == last;
        *leaf = order_leaf_next(*leaf);
    }
    if (*leaf == NULL) {
        buf_append_text(&to, BEYOND_ORDER);
    } else {
        place = order_leaf_begin(*leaf);
        zset_order_key(&place, &to);
    }
    enum ensured result = ensure_range(e, buf_bytes(&from), buf_bytes(&to), SIZE_MAX);
    buf_deinit(&from);
    buf_deinit(&to);
    if (ends)
        *leaf = NULL;
    return result;
}

/* Makes the leaves from one to another whole. */
static enum ensured ensure_leaves(struct ensure *e, const struct order_leaf *leaf,
                                  const struct order_leaf *last)
{
    enum ensured result = ENSURED;
    for (int reads = 0; leaf != NULL && reads < READS_AT_ONCE;) {
        if (!order_leaf_is_whole(leaf)) {
            enum ensured one = read_leaves(e, &leaf, last);
            result = zset_ensure_both(result, one);
            if (one != ENSURE_WAIT) /* read at once: leaves have changed */
                return result;
            reads++;
        } else {
            leaf = leaf == last ? NULL : order_leaf_next(leaf);
        }
    }
    return result;
}

enum ensured zset_ensure_seek(struct ensure *e, const struct order_bound *bound)
{
    enum ensured result = zset_ensure_order(e);
    while (result == ENSURED) {
        const struct order_leaf *leaf = ordered_index_leaf_of_bound(&of(e)->order, bound);
        if (leaf == NULL || order_leaf_is_whole(leaf))
            return ENSURED;
        result = ensure_leaves(e, leaf, leaf);
    }
    return result;
}

/* What the elements take, about. */
static uint64_t content_bytes(const struct zset *zset, uint64_t count)
{
    uint64_t all = zset->members.count;
    return all == 0 ? 0
                    : (uint64_t)((double)zset->members.content_bytes * (double)count / (double)all);
}

/* The first leaf that is not whole, of those from one to another; NULL if all are. */
static const struct order_leaf *find_cold(const struct order_leaf *leaf,
                                          const struct order_leaf *last)
{
    while (leaf != last && order_leaf_is_whole(leaf))
        leaf = order_leaf_next(leaf);
    return order_leaf_is_whole(leaf) ? NULL : leaf;
}

enum ensured zset_ensure_ranks(struct ensure *e, uint64_t from, uint64_t to)
{
    const struct ordered_index *order = &of(e)->order;
    CHECK(!order->unread);
    bool taken = false;
    while (from < to && from < order->count && order->cold_leaves != 0) {
        uint64_t before;
        if (to > order->count)
            to = order->count;
        const struct order_leaf *last = ordered_index_leaf_at(order, to - 1, &before);
        const struct order_leaf *cold =
            find_cold(ordered_index_leaf_at(order, from, &before), last);
        if (cold == NULL)
            break;
        if (!taken && !ensure_takes(e, content_bytes(of(e), to - from)))
            return ENSURE_TOO_LARGE;
        taken = true;
        enum ensured result = ensure_leaves(e, cold, last);
        if (result != ENSURED)
            return result;
    }
    return ENSURED;
}

enum ensured zset_ensure_all(struct ensure *e)
{
    enum ensured result = zset_ensure_order(e);
    return result == ENSURED ? zset_ensure_ranks(e, 0, UINT64_MAX) : result;
}

uint64_t zset_whole_bytes(const struct object *o)
{
    return zset_of(o)->members.content_bytes;
}

enum ensured zset_ensure_rank(struct ensure *e, struct bytes member)
{
    struct zset *zset = of(e);
    enum ensured result =
        zset_ensure_both(zset_ensure_members(e, &member, 1, 1), zset_ensure_order(e));
    while (result == ENSURED) {
        struct member_key key = member_key(&zset->members, member);
        const struct part *element = members_find(&zset->members, &key);
        if (element == NULL)
            return ENSURED;
        struct order_key place = {.score = zset_score_order(zset_element_score(element)),
                                  .member = member};
        const struct order_leaf *leaf = ordered_index_leaf_of(&zset->order, &place);
        if (leaf == NULL || order_leaf_is_whole(leaf))
            return ENSURED;
        result = ensure_leaves(e, leaf, leaf);
    }
    return result;
}

/* ---- Changes. */

enum ensured zset_ensure_remove(struct ensure *e, const struct bytes *members, size_t count,
                                size_t step)
{
    return zset_ensure_both(zset_ensure_members(e, members, count, step), zset_ensure_order(e));
}

bool zset_order_is_whole(const struct object *o)
{
    const struct ordered_index *order = &zset_of(o)->order;
    return !order->unread && order->cold_leaves == 0;
}

/* The leaf that gets an element. */
static struct order_leaf *target_of(struct zset *zset, const struct zset_scores *scores, size_t i)
{
    struct bytes member = scores->members[i * scores->step];
    double score = scores->scores[i];
    if (scores->increments) {
        struct member_key key = member_key(&zset->members, member);
        const struct part *element = members_find(&zset->members, &key);
        score += element == NULL ? 0 : zset_element_score(element);
    }
    struct order_key place = {.score = zset_score_order(score), .member = member};
    return ordered_index_leaf_of(&zset->order, &place);
}

/* Looks for cold leaves that would become too large, since they cannot be divided: up to `max`. */
static size_t find_overfull(struct zset *zset, const struct zset_scores *scores,
                            struct order_leaf **out, size_t max)
{
    size_t found = 0;
    for (size_t i = 0; i < scores->count; i++) {
        struct order_leaf *leaf = target_of(zset, scores, i);
        if (leaf == NULL || order_leaf_is_whole(leaf))
            continue;
        uint64_t count = order_leaf_count(leaf) + order_leaf_expect(leaf, 1);
        if (count == ORDER_LEAF_MAX + 1 && found < max)
            out[found++] = leaf;
        else if (count > ORDER_LEAF_MAX && found < max && order_leaf_expect(leaf, 0) == 1)
            out[found++] = leaf; /* it was too large before */
    }
    for (size_t i = 0; i < scores->count; i++) {
        struct order_leaf *leaf = target_of(zset, scores, i);
        if (leaf != NULL && !order_leaf_is_whole(leaf))
            (void)order_leaf_expect(leaf, -1);
    }
    return found;
}

enum ensured zset_ensure_add(struct ensure *e, const struct zset_scores *scores)
{
    enum ensured result = zset_ensure_remove(e, scores->members, scores->count, scores->step);
    while (result == ENSURED && !zset_order_is_whole(e->o)) {
        struct order_leaf *overfull[READS_AT_ONCE];
        size_t count = find_overfull(of(e), scores, overfull, READS_AT_ONCE);
        if (count == 0)
            break;
        for (size_t i = 0; i < count; i++) {
            enum ensured one = ensure_leaves(e, overfull[i], overfull[i]);
            result = zset_ensure_both(result, one);
            if (one != ENSURE_WAIT) /* read at once: leaves have changed */
                break;
        }
    }
    return result;
}

/* ---- Elements in no order. */

enum ensured zset_ensure_scan(struct ensure *e, uint64_t cursor, size_t count)
{
    return members_ensure_scan(e, &of(e)->members, cursor, count);
}

enum ensured zset_ensure_sample(struct ensure *e, size_t count)
{
    return members_ensure_sample(e, &of(e)->members, count);
}
