/* Large sorted sets: their elements on disk, and what of them is in RAM. FORMAT.md, "Large sorted
 * set".
 *
 * An element stands under two keys: by member, with its score (members.h), and by order, where only
 * the key counts. Of an element that goes or gets another score, the record by order is deleted by
 * a part of its own, which is in no index (zset_score_tombstone). The leaves of the order are
 * records too, separator and count (ordered_index.h).
 *
 * What has been read by member is in the table only, if its leaf is cold; what has been read by
 * order is in both. A whole leaf has all of its elements in RAM, so nothing that belongs to it can
 * be read by member any more. */
#include "storage/types/zset_internal.h"

#include "codec/check.h"

#include <math.h>

#define FLAG_NEGATIVE_ZERO 1    /* in a record by order */
#define DROP_LEAVES_MAX    1024 /* looked at by one call */

/* ---- Keys. */

static size_t put_order_key(uint8_t kind, const struct order_key *place, uint8_t *out)
{
    out[0] = kind;
    store_be64(out + 1, place->score);
    if (place->member.len != 0)
        memcpy(out + ZSET_KEY_PREFIX_BYTES, place->member.data, place->member.len);
    return ZSET_KEY_PREFIX_BYTES + place->member.len;
}

void zset_order_key(const struct order_key *place, struct buf *key)
{
    key->len = 0;
    key->len = put_order_key(ZSET_KEY_ORDER, place,
                             buf_reserve(key, ZSET_KEY_PREFIX_BYTES + place->member.len));
}

/* False: the bytes are no such key. Borrows. */
static bool get_order_key(uint8_t kind, struct bytes element, struct order_key *out)
{
    if (element.len < ZSET_KEY_PREFIX_BYTES || element.data[0] != kind)
        return false;
    out->score = load_be64(element.data + 1);
    out->member =
        bytes_make(element.data + ZSET_KEY_PREFIX_BYTES, element.len - ZSET_KEY_PREFIX_BYTES);
    return true;
}

/* ---- Writing: the flusher's thread; of the part, only bits and data. */

static struct order_key place_of(const struct part *element)
{
    return (struct order_key){.score = zset_score_order(zset_element_score(element)),
                              .member = zset_element_member(element)};
}

static size_t sink_key(struct part_sink *sink, uint8_t kind, const struct order_key *place)
{
    uint8_t *out = part_element(sink, ZSET_KEY_PREFIX_BYTES + place->member.len);
    return put_order_key(kind, place, out);
}

static void encode_separator(const struct part *part, struct part_sink *sink)
{
    struct order_key place = order_separator_key(part);
    size_t len = sink_key(sink, ZSET_KEY_LEAF, &place);
    uint8_t count[VARINT_BYTES_MAX];
    if ((part->bits & PART_GONE) != 0)
        part_delete(sink, len);
    else
        part_put(sink, len, bytes_make(count, varint_encode(order_separator_count(part), count)));
}

void zset_encode_part(const struct part *part, struct part_sink *sink)
{
    bool gone = (part->bits & PART_GONE) != 0;
    if ((part->bits & PART_SEPARATOR) != 0) {
        encode_separator(part, sink);
        return;
    }
    bool has_score = (part->bits & PART_PREFIXED) != 0;
    if (has_score) {
        struct order_key place = place_of(part);
        size_t len = sink_key(sink, ZSET_KEY_ORDER, &place);
        uint8_t flags = signbit(zset_element_score(part)) && zset_element_score(part) == 0
                            ? FLAG_NEGATIVE_ZERO
                            : 0;
        if (gone)
            part_delete(sink, len);
        else
            part_put(sink, len, bytes_make(&flags, 1));
    }
    if (has_score != gone) /* of a score's tombstone, the member may still be there */
        members_encode_part(part, sink);
}

struct part *zset_score_tombstone(const struct part *element)
{
    return zset_element_create(zset_element_score(element), zset_element_member(element),
                               PART_GONE);
}

void zset_forget_part(struct object *o, struct part *part)
{
    members_forget_part(&zset_of(o)->members, part);
}

/* ---- Reading. */

static enum status install_separator(struct zset *zset, struct bytes element, struct bytes value)
{
    struct order_key begin;
    uint64_t count = 0;
    if (!get_order_key(ZSET_KEY_LEAF, element, &begin) ||
        varint_decode(value, &count) != value.len || count == 0)
        return ST_CORRUPT;
    if (zset->order.unread)
        ordered_index_read_leaf(&zset->order, &begin, count);
    return ST_OK;
}

static void put_element(struct zset *zset, uint64_t position, struct part *element)
{
    element->fresh = 1;
    members_put(&zset->members, position, element);
}

/* Whether an element that the table does not have is in a whole leaf: a damaged record. */
static bool belongs_to_whole(const struct zset *zset, double score, struct bytes member)
{
    struct order_key place = {.score = zset_score_order(score), .member = member};
    const struct order_leaf *leaf =
        zset->order.unread ? NULL : ordered_index_leaf_of(&zset->order, &place);
    return leaf != NULL && order_leaf_is_whole(leaf);
}

static enum status install_by_order(struct zset *zset, struct bytes element, struct bytes value)
{
    struct order_key place;
    if (!get_order_key(ZSET_KEY_ORDER, element, &place) || value.len != 1 ||
        (value.data[0] & ~FLAG_NEGATIVE_ZERO) != 0)
        return ST_CORRUPT;
    double score = zset_score_of_order(place.score);
    bool negative_zero = (value.data[0] & FLAG_NEGATIVE_ZERO) != 0;
    if (isnan(score) || zset_score_order(score) != place.score || (negative_zero && score != 0))
        return ST_CORRUPT;
    if (zset->order.unread)
        return ST_OK; /* the set was demoted and loaded meanwhile */
    struct member_key key = member_key(&zset->members, place.member);
    struct part *part = member_table_find(&zset->members.table, key.position, key.member);
    if (part == NULL) {
        if (belongs_to_whole(zset, score, key.member))
            return ST_CORRUPT;
        part = zset_element_create(negative_zero ? -0.0 : score, key.member, 0);
        put_element(zset, key.position, part);
    } else if (!member_is_live(part) || zset_element_score(part) != score) {
        return ST_OK; /* RAM is newer */
    }
    ordered_index_install(&zset->order, part);
    return ST_OK;
}

static enum status install_by_member(struct zset *zset, struct bytes element, struct bytes value,
                                     bool found)
{
    struct members *m = &zset->members;
    if (element.len < MEMBER_ELEMENT_PREFIX_BYTES || element.data[0] != MEMBER_ELEMENT_KIND)
        return ST_CORRUPT;
    struct member_key key = member_key(m, bytes_make(element.data + MEMBER_ELEMENT_PREFIX_BYTES,
                                                     element.len - MEMBER_ELEMENT_PREFIX_BYTES));
    if (load_be64(element.data + 1) != key.position)
        return ST_CORRUPT;
    if (member_table_find(&m->table, key.position, key.member) != NULL)
        return ST_OK; /* RAM wins */
    if (!found) {
        m->gone++;
        put_element(zset, key.position, member_tombstone(key.member));
        return ST_OK;
    }
    if (value.len != 1 + ZSET_SCORE_BYTES || value.data[0] != MEMBER_RECORD_PREFIXED)
        return ST_CORRUPT;
    double score = zset_score_of_bits(load_le64(value.data + 1));
    if (isnan(score) || belongs_to_whole(zset, score, key.member))
        return ST_CORRUPT;
    put_element(zset, key.position, zset_element_create(score, key.member, 0));
    return ST_OK;
}

enum status zset_install_part(struct object *o, struct bytes element, struct bytes value,
                              bool found, const struct value_rules *rules)
{
    (void)rules;
    struct zset *zset = zset_of(o);
    uint8_t kind = element.len == 0 ? 0 : element.data[0];
    if (kind == ZSET_KEY_LEAF && found)
        return install_separator(zset, element, value);
    if (kind == ZSET_KEY_ORDER && found)
        return install_by_order(zset, element, value);
    return install_by_member(zset, element, value, found);
}

static void installed_order(struct zset *zset, struct bytes from, struct bytes to)
{
    struct order_key lower, upper;
    if (zset->order.unread || !get_order_key(ZSET_KEY_ORDER, from, &lower))
        return;
    bool has_upper = get_order_key(ZSET_KEY_ORDER, to, &upper);
    ordered_index_installed(&zset->order, &lower, has_upper ? &upper : NULL);
    if (zset->order.cold_leaves == 0)
        member_cover_add(&zset->members.large->cover, 0, MEMBER_POSITION_LIMIT);
}

void zset_installed_range(struct object *o, struct bytes from, struct bytes to)
{
    struct zset *zset = zset_of(o);
    CHECK(from.len != 0);
    switch (from.data[0]) {
    case ZSET_KEY_LEAF:
        if (zset->order.unread && (to.len == 0 || to.data[0] != ZSET_KEY_LEAF))
            ordered_index_read_last(&zset->order, zset->members.count);
        break;
    case ZSET_KEY_ORDER:
        installed_order(zset, from, to);
        break;
    default:
        member_cover_installed(&zset->members.large->cover, from, to);
    }
    if (!zset->order.unread) /* they differ only where records are missing */
        zset->members.count = zset->order.count;
}

/* ---- Eviction. */

static void drop_from_table(struct members *m, struct part *part)
{
    struct member_key key = member_key(m, member_text(part));
    m->part_bytes -= mem_usable_size(part);
    member_table_remove(&m->table, key.position, part);
    parts_drop(&m->large->parts, part);
}

/* order_drop_fn: changed elements stay. */
static bool drop_element(void *arg, struct part *element)
{
    if (element->dirty != 0)
        return false;
    drop_from_table(arg, element);
    return true;
}

static size_t table_bytes(const struct zset *zset)
{
    return members_bytes(&zset->members) + zset->order.bytes;
}

/* member_may_go_fn: what is in the order goes with its leaf. */
static bool may_go(void *arg, struct part *part)
{
    const struct zset *zset = arg;
    return !member_is_live(part) || zset->order.unread || !ordered_index_has(&zset->order, part);
}

size_t zset_drop_clean(struct object *o, size_t bytes)
{
    struct zset *zset = zset_of(o);
    size_t before = table_bytes(zset);
    size_t budget = DROP_LEAVES_MAX;
    while (table_bytes(zset) + bytes > before) {
        struct order_leaf *leaf = ordered_index_find_victim(&zset->order, &budget);
        if (leaf == NULL)
            break;
        /* Its members are anywhere: of no stretch of positions is it known any more that all are
         * in RAM. */
        member_cover_remove(&zset->members.large->cover, 0, MEMBER_POSITION_LIMIT);
        ordered_index_shed(&zset->order, leaf, drop_element, &zset->members);
    }
    size_t after = table_bytes(zset);
    size_t freed = before > after ? before - after : 0;
    if (freed < bytes)
        freed += members_drop_clean_if(&zset->members, bytes - freed, may_go, zset);
    return freed;
}
