/* Sets as values of any type (value_type.h), and as records. FORMAT.md, "Set". */
#include "codec/check.h"
#include "codec/intset.h"
#include "codec/listpack.h"
#include "codec/mem.h"
#include "storage/types/members.h"
#include "storage/types/set_internal.h"

static const char *encoding_name(const struct object *o)
{
    switch (o->encoding) {
    case ENCODING_INTSET:
        return "intset";
    case ENCODING_LISTPACK:
        return "listpack";
    default:
        return "hashtable";
    }
}

static size_t block_bytes(const struct object *o)
{
    return o->encoding == ENCODING_INTSET ? intset_bytes(o->value.pointer)
                                          : listpack_bytes(o->value.pointer);
}

static size_t value_bytes(const struct object *o)
{
    size_t bytes = mem_usable_size(o->value.pointer);
    return set_is_table(o) ? bytes + members_bytes(set_members(o)) : bytes;
}

static size_t dirty_bytes(const struct object *o)
{
    return set_is_table(o) ? members_dirty_bytes(set_members(o)) : block_bytes(o);
}

static void free_table(void *value)
{
    members_deinit(value);
    mem_free(value);
}

static void *take(struct object *o, object_free_fn **free_out)
{
    void *value = o->value.pointer;
    *free_out = set_is_table(o) ? free_table : mem_free;
    o->value.pointer = NULL;
    o->encoding = ENCODING_NONE;
    return value;
}

static bool free_is_long(const struct object *o)
{
    return set_is_table(o) && members_free_is_long(set_members(o));
}

static uint8_t encode(const struct object *o, struct buf *payload)
{
    if (!set_is_table(o)) {
        buf_append(payload, o->value.pointer, block_bytes(o));
        return o->encoding == ENCODING_INTSET ? RECORD_SET_INTSET : RECORD_SET_LISTPACK;
    }
    members_encode(set_members(o), payload);
    return RECORD_SET_TABLE;
}

static enum status decode_block(struct object *o, const struct record_header *header,
                                struct bytes payload)
{
    bool intset = header->encoding == RECORD_SET_INTSET;
    enum status st =
        intset ? intset_validate(payload, NULL) : listpack_validate(payload, NULL, NULL);
    if (st != ST_OK)
        return st;
    if (intset ? intset_count(payload.data) == 0 : listpack_is_empty(payload.data))
        return ST_CORRUPT;
    if (!intset && listpack_has_duplicates(payload.data, 1))
        return ST_CORRUPT;
    o->encoding = intset ? ENCODING_INTSET : ENCODING_LISTPACK;
    o->value.pointer = mem_dup(payload.data, payload.len);
    return ST_OK;
}

static enum status decode(struct object *o, const struct record_header *header,
                          struct bytes payload, const struct value_rules *rules)
{
    if (header->encoding != RECORD_SET_TABLE)
        return header->encoding > RECORD_SET_TABLE || header->large
                   ? ST_CORRUPT
                   : decode_block(o, header, payload);
    struct members *m = set_init_table(o, rules);
    enum status st = members_decode(m, header->large, &payload, false, rules);
    if (st == ST_OK && header->large && payload.len != 0)
        st = ST_CORRUPT;
    if (st != ST_OK)
        set_clear(o);
    else
        o->large = header->large;
    return st;
}

static void copy(struct object *to, const struct object *from, const struct value_rules *rules)
{
    if (!set_is_table(from)) {
        to->encoding = from->encoding;
        to->value.pointer = mem_dup(from->value.pointer, block_bytes(from));
        return;
    }
    struct members *m = mem_alloc(sizeof(*m));
    members_copy(m, set_members(from), rules);
    to->value.pointer = m;
    to->encoding = ENCODING_TABLE;
    set_settle(to, rules);
}

/* ---- Large sets -------------------------------------------------------------------------------
 */

static struct parts *parts(const struct object *o)
{
    return &set_members(o)->large->parts;
}

static void forget_part(struct object *o, struct part *part)
{
    members_forget_part(set_members(o), part);
}

static enum status install_part(struct object *o, struct bytes element, struct bytes value,
                                bool found, const struct value_rules *rules)
{
    (void)rules;
    return members_install_part(set_members(o), element, value, found, false);
}

static void installed_range(struct object *o, struct bytes from, struct bytes to)
{
    member_cover_installed(&set_members(o)->large->cover, from, to);
}

static enum ensured ensure_all(struct ensure *e)
{
    return members_ensure_all(e, set_members(e->o));
}

static size_t drop_clean(struct object *o, size_t bytes)
{
    return members_drop_clean(set_members(o), bytes);
}

const struct value_type set_value_type = {
    .encoding_name = encoding_name,
    .bytes = value_bytes,
    .dirty_bytes = dirty_bytes,
    .take = take,
    .free_is_long = free_is_long,
    .encode = encode,
    .decode = decode,
    .copy = copy,
    .parts = parts,
    .encode_part = members_encode_part,
    .forget_part = forget_part,
    .install_part = install_part,
    .installed_range = installed_range,
    .ensure_all = ensure_all,
    .drop_clean = drop_clean,
};
