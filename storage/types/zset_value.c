/* Sorted sets as values: memory, copies, records. */
#include "storage/types/zset_ensure.h"
#include "storage/types/zset_internal.h"

#include "codec/check.h"

#include <math.h>

/* ---- As a value. */

static const char *encoding_name(const struct object *o)
{
    return zset_is_listpack(o) ? "listpack" : "skiplist";
}

static size_t value_bytes(const struct object *o)
{
    if (zset_is_listpack(o))
        return mem_usable_size(o->value.pointer);
    const struct zset *zset = zset_of(o);
    return mem_usable_size(zset) + members_bytes(&zset->members) + zset->order.bytes;
}

static size_t dirty_bytes(const struct object *o)
{
    return zset_is_listpack(o) ? listpack_bytes(zset_listpack_of(o))
                               : members_dirty_bytes(&zset_of(o)->members);
}

static void free_listpack(void *value)
{
    mem_free(value);
}

static void free_table(void *value)
{
    zset_destroy(value);
}

static void *take(struct object *o, object_free_fn **free_out)
{
    void *value = o->value.pointer;
    *free_out = zset_is_listpack(o) ? free_listpack : free_table;
    o->encoding = ENCODING_NONE;
    o->value.pointer = NULL;
    return value;
}

static bool free_is_long(const struct object *o)
{
    return !zset_is_listpack(o) && members_free_is_long(&zset_of(o)->members);
}

static void copy(struct object *to, const struct object *from, const struct value_rules *rules)
{
    if (zset_is_listpack(from)) {
        to->encoding = ENCODING_LISTPACK;
        to->value.pointer = listpack_copy(zset_listpack_of(from), 0).block;
        return;
    }
    struct zset *zset = zset_create(rules);
    struct order_cursor cursor = {NULL, 0};
    if (zset_count(from) != 0)
        cursor = ordered_index_at(&zset_of(from)->order, 0);
    for (const struct part *element; (element = order_cursor_element(&cursor)) != NULL;
         order_cursor_next(&cursor))
        zset_insert_element(zset, zset_element_member(element), zset_element_score(element), true);
    zset_set_table(to, zset);
    zset_settle(to, rules);
}

/* ---- Records (FORMAT.md, "Sorted set"). */

static uint8_t encode(const struct object *o, struct buf *payload)
{
    if (zset_is_listpack(o)) {
        buf_append(payload, zset_listpack_of(o), listpack_bytes(zset_listpack_of(o)));
        return RECORD_ZSET_LISTPACK;
    }
    if (o->large) {
        members_encode(&zset_of(o)->members, payload);
        return RECORD_ZSET_TABLE;
    }
    struct zset_walk walk;
    struct bytes member;
    double score;
    uint8_t number[VARINT_BYTES_MAX];
    buf_append(payload, number, varint_encode(zset_count(o), number));
    zset_walk_init(&walk, o, 0, false);
    while (zset_walk_next(&walk, &member, &score)) {
        uint8_t *place = buf_reserve(payload, VARINT_BYTES_MAX + member.len + ZSET_SCORE_BYTES);
        size_t len = varint_encode(member.len, place);
        if (member.len != 0)
            memcpy(place + len, member.data, member.len);
        len += member.len;
        store_le64(place + len, zset_score_bits(score));
        payload->len += len + ZSET_SCORE_BYTES;
    }
    return RECORD_ZSET_TABLE;
}

/* Reads one element from the front of `*rest`; false when there is none. */
static bool next_element(struct bytes *rest, struct bytes *member, double *score)
{
    uint64_t len;
    size_t len_bytes = varint_decode(*rest, &len);
    if (len_bytes == 0 || rest->len - len_bytes < ZSET_SCORE_BYTES ||
        len > rest->len - len_bytes - ZSET_SCORE_BYTES)
        return false;
    *member = bytes_make(rest->data + len_bytes, len);
    *score = zset_score_of_bits(load_le64(member->data + len));
    size_t read = len_bytes + len + ZSET_SCORE_BYTES;
    *rest = bytes_make(rest->data + read, rest->len - read);
    return !isnan(*score);
}

/* Elements in order, each member once. */
static bool decode_elements(struct zset *zset, struct bytes rest)
{
    uint64_t count;
    size_t count_bytes = varint_decode(rest, &count);
    struct bytes member, last_member = {NULL, 0};
    double score, last_score = 0;
    if (count_bytes == 0 || count == 0)
        return false;
    rest = bytes_make(rest.data + count_bytes, rest.len - count_bytes);
    for (; count != 0; count--) {
        if (!next_element(&rest, &member, &score))
            return false;
        if (zset->members.count != 0 &&
            (score < last_score ||
             (score == last_score && bytes_compare(last_member, member) >= 0)))
            return false;
        struct member_key key = member_key(&zset->members, member);
        if (members_find(&zset->members, &key) != NULL)
            return false;
        zset_insert_element(zset, member, score, true);
        last_member = member;
        last_score = score;
    }
    return rest.len == 0;
}

static enum status decode_listpack(struct object *o, struct bytes payload)
{
    enum status st = zset_listpack_validate(payload, NULL);
    if (st != ST_OK)
        return st;
    o->encoding = ENCODING_LISTPACK;
    o->value.pointer = listpack_copy(payload.data, 0).block;
    return ST_OK;
}

/* Of a large set, nothing but that it is one. */
static bool decode_large(struct zset *zset, struct bytes payload, const struct value_rules *rules)
{
    if (members_decode(&zset->members, true, &payload, false, rules) != ST_OK)
        return false;
    ordered_index_init_unread(&zset->order, &zset->members.large->parts);
    return payload.len == 0;
}

static enum status decode(struct object *o, const struct record_header *header,
                          struct bytes payload, const struct value_rules *rules)
{
    if (header->encoding == RECORD_ZSET_LISTPACK && !header->large)
        return decode_listpack(o, payload);
    if (header->encoding != RECORD_ZSET_TABLE)
        return ST_CORRUPT;
    struct zset *zset = zset_create(rules);
    if (header->large ? !decode_large(zset, payload, rules) : !decode_elements(zset, payload)) {
        zset_destroy(zset);
        return ST_CORRUPT;
    }
    zset_set_table(o, zset);
    o->large = header->large;
    return ST_OK;
}

static struct parts *parts(const struct object *o)
{
    return &zset_of(o)->members.large->parts;
}

const struct value_type zset_value_type = {
    .encoding_name = encoding_name,
    .bytes = value_bytes,
    .dirty_bytes = dirty_bytes,
    .take = take,
    .free_is_long = free_is_long,
    .encode = encode,
    .decode = decode,
    .copy = copy,
    .parts = parts,
    .encode_part = zset_encode_part,
    .forget_part = zset_forget_part,
    .install_part = zset_install_part,
    .installed_range = zset_installed_range,
    .ensure_all = zset_ensure_all,
    .drop_clean = zset_drop_clean,
};
