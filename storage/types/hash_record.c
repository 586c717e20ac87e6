/* Hashes as values of any type (value_type.h), and as records. FORMAT.md, "Hash". */
#include "codec/check.h"
#include "codec/listpack.h"
#include "codec/mem.h"
#include "storage/types/hash_internal.h"

#define DEADLINE_BYTES 8

static const char *encoding_name(const struct object *o)
{
    switch (o->encoding) {
    case ENCODING_LISTPACK:
        return "listpack";
    case ENCODING_LISTPACK_EX:
        return "listpackex";
    default:
        return "hashtable";
    }
}

static size_t value_bytes(const struct object *o)
{
    size_t bytes = mem_usable_size(o->value.pointer);
    if (!hash_is_table(o))
        return bytes;
    return bytes + members_bytes(hash_members(o)) + hash_deadlines_bytes(hash_table(o));
}

static size_t dirty_bytes(const struct object *o)
{
    return hash_is_table(o) ? members_dirty_bytes(hash_members(o))
                            : listpack_bytes(o->value.pointer);
}

static void *take(struct object *o, object_free_fn **free_out)
{
    void *value = o->value.pointer;
    *free_out = hash_is_table(o) ? hash_table_destroy : mem_free;
    o->value.pointer = NULL;
    o->encoding = ENCODING_NONE;
    return value;
}

static bool free_is_long(const struct object *o)
{
    return hash_is_table(o) && members_free_is_long(hash_members(o));
}

/* ---- Records. A record with deadlines tells the next one, for the active cycle: in front of a
 * small hash, behind the header of a large one. */

static void put_deadline(struct buf *payload, int64_t deadline_ms)
{
    store_le64(buf_reserve(payload, DEADLINE_BYTES), (uint64_t)deadline_ms);
    payload->len += DEADLINE_BYTES;
}

static uint8_t encode_table(const struct object *o, struct buf *payload)
{
    int64_t deadline_ms = hash_next_deadline(o);
    bool dated = deadline_ms != OBJECT_NO_EXPIRE;
    if (dated && !o->large)
        put_deadline(payload, deadline_ms);
    members_encode(hash_members(o), payload);
    if (dated && o->large)
        put_deadline(payload, deadline_ms);
    return dated ? RECORD_HASH_TABLE_EX : RECORD_HASH_TABLE;
}

static uint8_t encode(const struct object *o, struct buf *payload)
{
    if (hash_is_table(o))
        return encode_table(o, payload);
    if (o->encoding == ENCODING_LISTPACK_EX)
        put_deadline(payload, hash_next_deadline(o));
    buf_append(payload, o->value.pointer, listpack_bytes(o->value.pointer));
    return o->encoding == ENCODING_LISTPACK ? RECORD_HASH_LISTPACK : RECORD_HASH_LISTPACK_EX;
}

static bool take_deadline(struct bytes *in, int64_t *deadline_ms)
{
    if (in->len < DEADLINE_BYTES)
        return false;
    *deadline_ms = (int64_t)load_le64(in->data);
    in->data += DEADLINE_BYTES;
    in->len -= DEADLINE_BYTES;
    return *deadline_ms >= OBJECT_NO_EXPIRE;
}

static bool is_dated(const struct record_header *header)
{
    return header->encoding == RECORD_HASH_LISTPACK_EX || header->encoding == RECORD_HASH_TABLE_EX;
}

static int64_t record_deadline(const struct record_header *header, struct bytes payload)
{
    int64_t deadline_ms = OBJECT_NO_EXPIRE;
    if (!is_dated(header) || payload.len < DEADLINE_BYTES)
        return OBJECT_NO_EXPIRE;
    if (header->large)
        payload = bytes_make(payload.data + payload.len - DEADLINE_BYTES, DEADLINE_BYTES);
    return take_deadline(&payload, &deadline_ms) ? deadline_ms : OBJECT_NO_EXPIRE;
}

static enum status decode_listpack(struct object *o, struct bytes in, enum object_encoding encoding)
{
    uint32_t step = encoding == ENCODING_LISTPACK ? 2 : 3;
    enum status st = listpack_validate(in, NULL, NULL);
    if (st != ST_OK)
        return st;
    if (!hash_listpack_check(in.data, step))
        return ST_CORRUPT;
    o->value.pointer = mem_dup(in.data, in.len);
    o->encoding = (uint8_t)encoding;
    return ST_OK;
}

/* The heap of what has just been decoded. */
static void add_deadlines(struct hash_table *table)
{
    struct member_iter iter = member_iter_begin(&table->members.table);
    for (const struct part *part; (part = member_iter_next(&iter)) != NULL;) {
        struct bytes field = member_text(part);
        if ((part->bits & PART_PREFIXED) != 0)
            hash_deadlines_add(table, field, member_key(&table->members, field).position,
                               member_prefix(part));
    }
}

static enum status decode_table(struct object *o, const struct record_header *header,
                                struct bytes in, const struct value_rules *rules)
{
    bool dated = is_dated(header);
    int64_t deadline_ms = OBJECT_NO_EXPIRE;
    if (dated && !header->large && !take_deadline(&in, &deadline_ms))
        return ST_CORRUPT;
    struct hash_table *table = hash_init_table(o, rules);
    enum status st = members_decode(&table->members, header->large, &in, true, rules);
    if (st == ST_OK && header->large && dated && !take_deadline(&in, &deadline_ms))
        st = ST_CORRUPT;
    if (st == ST_OK && header->large && in.len != 0)
        st = ST_CORRUPT;
    if (st != ST_OK) {
        hash_table_destroy(table);
        o->value.pointer = NULL;
        o->encoding = ENCODING_NONE;
        return st;
    }
    o->large = header->large;
    if (dated && header->large)
        hash_deadlines_of(table)->disk_ms = deadline_ms;
    else
        add_deadlines(table);
    return ST_OK;
}

static enum status decode(struct object *o, const struct record_header *header,
                          struct bytes payload, const struct value_rules *rules)
{
    int64_t deadline_ms;
    switch (header->encoding) {
    case RECORD_HASH_TABLE:
    case RECORD_HASH_TABLE_EX:
        return decode_table(o, header, payload, rules);
    case RECORD_HASH_LISTPACK:
        return header->large ? ST_CORRUPT : decode_listpack(o, payload, ENCODING_LISTPACK);
    case RECORD_HASH_LISTPACK_EX:
        if (header->large || !take_deadline(&payload, &deadline_ms))
            return ST_CORRUPT;
        return decode_listpack(o, payload, ENCODING_LISTPACK_EX);
    default:
        return ST_CORRUPT;
    }
}

static void copy(struct object *to, const struct object *from, const struct value_rules *rules)
{
    if (!hash_is_table(from)) {
        to->encoding = from->encoding;
        to->value.pointer = mem_dup(from->value.pointer, listpack_bytes(from->value.pointer));
        return;
    }
    struct hash_table *table = mem_calloc(1, sizeof(*table));
    members_copy(&table->members, hash_members(from), rules);
    to->value.pointer = table;
    to->encoding = ENCODING_TABLE;
    add_deadlines(table);
    hash_settle(to, rules);
}

/* ---- Large hashes. */

static struct parts *parts(const struct object *o)
{
    return &hash_members(o)->large->parts;
}

static void encode_part(const struct part *part, struct part_sink *sink)
{
    if ((part->bits & PART_DEADLINE) != 0)
        hash_encode_deadline(part, sink);
    else
        members_encode_part(part, sink);
}

static void forget_part(struct object *o, struct part *part)
{
    members_forget_part(hash_members(o), part);
}

static enum status install_part(struct object *o, struct bytes element, struct bytes value,
                                bool found, const struct value_rules *rules)
{
    (void)rules;
    if (hash_is_deadline(element))
        return hash_install_deadline(hash_table(o), element);
    return members_install_part(hash_members(o), element, value, found, true);
}

static void installed_range(struct object *o, struct bytes from, struct bytes to)
{
    if (hash_is_deadline(from))
        hash_installed_deadlines(hash_table(o), to);
    else
        member_cover_installed(&hash_members(o)->large->cover, from, to);
}

static enum ensured ensure_all(struct ensure *e)
{
    return members_ensure_all(e, hash_members(e->o));
}

static size_t drop_clean(struct object *o, size_t bytes)
{
    return members_drop_clean(hash_members(o), bytes);
}

const struct value_type hash_value_type = {
    .encoding_name = encoding_name,
    .bytes = value_bytes,
    .dirty_bytes = dirty_bytes,
    .take = take,
    .free_is_long = free_is_long,
    .encode = encode,
    .decode = decode,
    .copy = copy,
    .next_deadline = hash_next_deadline,
    .record_deadline = record_deadline,
    .parts = parts,
    .encode_part = encode_part,
    .forget_part = forget_part,
    .install_part = install_part,
    .installed_range = installed_range,
    .ensure_all = ensure_all,
    .drop_clean = drop_clean,
};
