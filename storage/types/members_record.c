/* Members on disk: in the record of a small set or hash, or as elements of a large one. FORMAT.md,
 * "Members". */
#include "storage/types/members_internal.h"

#include "codec/record.h"

#include <string.h>

#define LARGE_ID_BYTES 8

/* ---- Elements ---------------------------------------------------------------------------------
 */

/* The flusher's thread: of the part, only bits and data. */
void members_encode_part(const struct part *part, struct part_sink *sink)
{
    struct bytes member = member_text(part);
    size_t len = MEMBER_ELEMENT_PREFIX_BYTES + member.len;
    uint8_t *element = part_element(sink, len);
    member_element_prefix(member_position(sink->hash_seed, member), element);
    if (member.len != 0)
        memcpy(element + MEMBER_ELEMENT_PREFIX_BYTES, member.data, member.len);
    if (!member_is_live(part)) {
        part_delete(sink, len);
        return;
    }
    struct bytes value = (part->bits & PART_VALUED) != 0 ? member_value(part) : bytes_make("", 0);
    buf_clear(&sink->value);
    buf_append_byte(&sink->value, part->bits & PART_PREFIXED);
    if ((part->bits & PART_PREFIXED) != 0)
        buf_append(&sink->value, part->data, PART_PREFIX_BYTES);
    buf_append_bytes(&sink->value, value);
    part_put(sink, len, buf_bytes(&sink->value));
}

_Static_assert(PART_PREFIXED == MEMBER_RECORD_PREFIXED, "the flag is the part's bit");

/* Reads an element's record. False: it is none that we write. */
static bool read_record(struct bytes record, bool valued, struct member_content *content)
{
    if (record.len == 0 || (record.data[0] & ~MEMBER_RECORD_PREFIXED) != 0)
        return false;
    content->prefixed = (record.data[0] & MEMBER_RECORD_PREFIXED) != 0;
    content->valued = valued;
    size_t at = 1;
    if (content->prefixed) {
        if (record.len < at + PART_PREFIX_BYTES)
            return false;
        content->prefix = (int64_t)load_le64(record.data + at);
        if (valued && content->prefix < 0) /* no deadline */
            return false;
        at += PART_PREFIX_BYTES;
    }
    content->value = bytes_make(record.data + at, record.len - at);
    return valued || (content->value.len == 0 && !content->prefixed);
}

enum status members_install_part(struct members *m, struct bytes element, struct bytes value,
                                 bool found, bool valued)
{
    if (element.len < MEMBER_ELEMENT_PREFIX_BYTES || element.data[0] != MEMBER_ELEMENT_KIND)
        return ST_CORRUPT;
    struct member_content content = {.member =
                                         bytes_make(element.data + MEMBER_ELEMENT_PREFIX_BYTES,
                                                    element.len - MEMBER_ELEMENT_PREFIX_BYTES)};
    uint64_t position = load_be64(element.data + 1);
    if (position != member_position(m->table.seed, content.member))
        return ST_CORRUPT;
    if (member_table_find(&m->table, position, content.member) != NULL)
        return ST_OK; /* RAM wins */
    struct part *part;
    if (!found) {
        part = member_tombstone(content.member);
        m->gone++;
    } else {
        if (!read_record(value, valued, &content))
            return ST_CORRUPT;
        part = member_part(&content, member_content_bits(&content));
    }
    part->fresh = 1;
    members_put(m, position, part);
    return ST_OK;
}

/* ---- Records ----------------------------------------------------------------------------------
 */

static void put_varint(struct buf *out, uint64_t value)
{
    out->len += varint_encode(value, buf_reserve(out, VARINT_BYTES_MAX));
}

static void put_text(struct buf *out, struct bytes text)
{
    put_varint(out, text.len);
    buf_append_bytes(out, text);
}

static void encode_large(const struct members *m, struct buf *out)
{
    uint8_t id[LARGE_ID_BYTES];
    store_le64(id, m->large->parts.object_id);
    buf_append(out, id, sizeof(id));
    put_varint(out, m->count);
    put_varint(out, m->content_bytes);
}

void members_encode(const struct members *m, struct buf *out)
{
    if (m->large != NULL) {
        encode_large(m, out);
        return;
    }
    put_varint(out, m->count);
    struct member_iter iter = member_iter_begin(&m->table);
    for (const struct part *part; (part = member_iter_next(&iter)) != NULL;) {
        struct member_content content = member_content_of(part);
        if (content.valued)
            buf_append_byte(out, part->bits & PART_PREFIXED);
        if (content.prefixed)
            buf_append(out, part->data, PART_PREFIX_BYTES);
        put_text(out, content.member);
        if (content.valued)
            put_text(out, content.value);
    }
}

static bool get_varint(struct bytes *in, uint64_t *out)
{
    size_t len = varint_decode(*in, out);
    in->data += len;
    in->len -= len;
    return len != 0;
}

static bool get_text(struct bytes *in, struct bytes *out)
{
    uint64_t len;
    if (!get_varint(in, &len) || len > in->len)
        return false;
    *out = bytes_make(in->data, (size_t)len);
    in->data += len;
    in->len -= (size_t)len;
    return true;
}

/* The flags and what they announce. */
static bool get_prefix(struct bytes *in, struct member_content *content)
{
    if (in->len == 0 || (in->data[0] & ~MEMBER_RECORD_PREFIXED) != 0)
        return false;
    content->prefixed = in->data[0] != 0;
    size_t len = content->prefixed ? 1 + PART_PREFIX_BYTES : 1;
    if (in->len < len)
        return false;
    if (content->prefixed)
        content->prefix = (int64_t)load_le64(in->data + 1);
    if (content->prefixed && content->valued && content->prefix < 0) /* no deadline */
        return false;
    in->data += len;
    in->len -= len;
    return true;
}

static bool get_content(struct bytes *in, struct member_content *content)
{
    if (content->valued && !get_prefix(in, content))
        return false;
    return get_text(in, &content->member) && (!content->valued || get_text(in, &content->value));
}

static enum status decode_small(struct members *m, struct bytes in, bool valued)
{
    uint64_t count = 0;
    if (!get_varint(&in, &count) || count == 0)
        return ST_CORRUPT;
    for (; count > 0; count--) {
        struct member_content content = {.valued = valued};
        if (!get_content(&in, &content))
            return ST_CORRUPT;
        struct member_key key = member_key(m, content.member);
        if (members_find(m, &key) != NULL)
            return ST_CORRUPT;
        (void)members_add(m, key.position, &content);
    }
    return in.len == 0 ? ST_OK : ST_CORRUPT;
}

enum status members_decode(struct members *m, bool large, struct bytes *in, bool valued,
                           const struct value_rules *rules)
{
    if (!large)
        return decode_small(m, *in, valued);
    uint64_t count = 0;
    uint64_t bytes = 0;
    if (in->len < LARGE_ID_BYTES || load_le64(in->data) == 0)
        return ST_CORRUPT;
    uint64_t object_id = load_le64(in->data);
    in->data += LARGE_ID_BYTES;
    in->len -= LARGE_ID_BYTES;
    if (!get_varint(in, &count) || !get_varint(in, &bytes) || count == 0 || count > bytes)
        return ST_CORRUPT;
    members_init_large(m, rules, object_id, count, bytes);
    return ST_OK;
}
