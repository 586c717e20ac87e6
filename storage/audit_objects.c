/* The audit of large objects whose elements are in no order of their own: strings, sets, hashes. */
#include "storage/audit_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "codec/check.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "storage/loader.h"
#include "storage/member_cover.h"
#include "storage/member_table.h"

#define MEMBER_FLAG_PREFIXED 2 /* FORMAT.md, "Members" */
#define PREFIX_BYTES         8
#define DEADLINE_KIND        'D'
#define DEADLINE_HEAD_BYTES  17 /* kind, deadline, position */

/* ---- Walking ---- */

void audit_walk_begin(struct audit_walk *walk, struct audit *audit,
                      const struct audit_record *record, uint64_t object_id, uint8_t first)
{
    uint8_t lower[RECORD_ELEMENT_PREFIX_BYTES + 1];
    uint8_t upper[RECORD_ELEMENT_PREFIX_BYTES + 1];
    size_t len = RECORD_ELEMENT_PREFIX_BYTES + (first != 0);
    record_element_prefix_encode(object_id, lower);
    record_element_prefix_encode(first != 0 ? object_id : object_id + 1, upper);
    lower[RECORD_ELEMENT_PREFIX_BYTES] = first;
    upper[RECORD_ELEMENT_PREFIX_BYTES] = (uint8_t)(first + 1);
    struct cold_iter_options options = {.lower = bytes_make(lower, len),
                                        .upper = bytes_make(upper, len)};
    *walk = (struct audit_walk){.audit = audit,
                                .record = record,
                                .object_id = object_id,
                                .family = loader_family(record->type)};
    walk->iter = cold_iter_create(audit->cold, walk->family, &options);
    cold_iter_seek(walk->iter, options.lower);
}

bool audit_walk_next(struct audit_walk *walk)
{
    if (walk->element.data != NULL)
        cold_iter_next(walk->iter);
    if (!cold_iter_valid(walk->iter))
        return false;
    struct bytes key = cold_iter_key(walk->iter);
    walk->element =
        bytes_make(key.data + RECORD_ELEMENT_PREFIX_BYTES, key.len - RECORD_ELEMENT_PREFIX_BYTES);
    walk->value = cold_iter_value(walk->iter);
    walk->audit->report->elements++;
    return true;
}

enum status audit_walk_end(struct audit_walk *walk, enum status st, struct err *err)
{
    if (st == ST_OK && !walk->audit->unreadable[walk->family])
        st = audit_iter_end(walk->audit, walk->family, walk->iter, err);
    cold_iter_destroy(walk->iter);
    buf_deinit(&walk->key);
    buf_deinit(&walk->found);
    return st;
}

enum status audit_walk_find(struct audit_walk *walk, struct bytes element, struct err *err)
{
    buf_clear(&walk->key);
    uint8_t *key = buf_reserve(&walk->key, RECORD_ELEMENT_PREFIX_BYTES + element.len);
    walk->key.len = record_element_key_encode(walk->object_id, element, key);
    return audit_get(walk->audit, walk->family, buf_bytes(&walk->key), &walk->found, err);
}

void audit_walk_blame(struct audit_walk *walk, const char *what)
{
    char place[AUDIT_PLACE_BYTES_MAX];
    char bytes[2 * 24 + 1] = "";
    for (size_t i = 0; i < walk->element.len && i < 24; i++)
        (void)snprintf(bytes + 2 * i, 3, "%02x", walk->element.data[i]);
    walk->bad++;
    audit_note(walk->audit, AUDIT_ELEMENT, false, "%s, object %" PRIu64 ", element %s%s: %s",
               audit_place(walk->audit, walk->record, place), walk->object_id, bytes,
               walk->element.len > 24 ? "..." : "", what);
}

void audit_blame_object(struct audit *audit, const struct audit_record *record,
                        enum audit_kind kind, const char *what, uint64_t is, uint64_t should)
{
    char place[AUDIT_PLACE_BYTES_MAX];
    if (audit->unreadable[loader_family(record->type)])
        return; /* not all was seen */
    audit_note(audit, kind, false, "%s: %" PRIu64 " %s, where there should be %" PRIu64,
               audit_place(audit, record, place), is, what, should);
}

/* ---- Strings ---- */

static enum status read_string(struct audit *audit, const struct audit_record *record,
                               uint64_t object_id, struct err *err)
{
    struct record_large_string large;
    struct audit_walk walk;
    enum status st = ST_OK;
    CHECK(record_large_string_decode(record->payload, &large) == ST_OK); /* it was decoded before */
    audit_walk_begin(&walk, audit, record, object_id, 0);
    while (st == ST_OK && audit_walk_next(&walk)) {
        uint64_t at = walk.element.len == 4
                          ? (uint64_t)load_be32(walk.element.data) * large.chunk_bytes
                          : UINT64_MAX;
        if (at >= large.len)
            audit_walk_blame(&walk, "no chunk of a string of this length");
        else if (walk.value.len > large.chunk_bytes || walk.value.len > large.len - at)
            audit_walk_blame(&walk, "the chunk is too long");
        st = audit_advance(audit, "elements", 1, err);
    }
    return audit_walk_end(&walk, st, err);
}

/* ---- Sets and hashes ---- */

/* What a hash's header says about deadlines. */
struct fields {
    int64_t next_ms; /* OBJECT_NO_EXPIRE: none is announced */
    uint64_t early;  /* deadlines before that */
};

static void put_deadline_element(struct buf *out, int64_t at_ms, struct bytes member_element)
{
    buf_clear(out);
    buf_append_byte(out, DEADLINE_KIND);
    store_be64(buf_reserve(out, 8), (uint64_t)at_ms);
    out->len += 8;
    /* position and field stand in a member's element as in this one */
    buf_append(out, member_element.data + 1, member_element.len - 1);
}

/* Each field with a deadline has a hint of that time among the elements. */
static enum status check_field_deadline(struct audit_walk *walk, int64_t at_ms, struct err *err)
{
    struct buf element = {0};
    put_deadline_element(&element, at_ms, walk->element);
    enum status st = audit_walk_find(walk, buf_bytes(&element), err);
    buf_deinit(&element);
    if (st != ST_NOT_FOUND)
        return st == ST_CORRUPT ? ST_OK : st;
    char place[AUDIT_PLACE_BYTES_MAX];
    bool repaired = audit_put(walk->audit, walk->family, buf_bytes(&walk->key), bytes_make("", 1));
    audit_note(walk->audit, AUDIT_FIELD_DEADLINE, repaired,
               "%s: a field is due at %" PRId64 " ms, but no element says so",
               audit_place(walk->audit, walk->record, place), at_ms);
    return ST_OK;
}

static enum status check_member(struct audit_walk *walk, struct fields *fields, struct err *err)
{
    bool is_hash = walk->record->type == OBJECT_HASH;
    struct bytes member = bytes_make(walk->element.data + MEMBER_ELEMENT_PREFIX_BYTES,
                                     walk->element.len - MEMBER_ELEMENT_PREFIX_BYTES);
    uint8_t flags = walk->value.len != 0 ? walk->value.data[0] : UINT8_MAX;
    bool prefixed = flags == MEMBER_FLAG_PREFIXED;
    if ((flags & ~MEMBER_FLAG_PREFIXED) != 0 || (prefixed && walk->value.len < 1 + PREFIX_BYTES) ||
        (!is_hash && walk->value.len != 1)) {
        audit_walk_blame(walk, "its value is none that is written");
        return ST_OK;
    }
    if (load_be64(walk->element.data + 1) !=
        member_position(walk->audit->identity.hash_seed, member))
        audit_walk_blame(walk, "it stands where no one looks for it");
    if (!prefixed)
        return ST_OK;
    int64_t at_ms = (int64_t)load_le64(walk->value.data + 1);
    if (fields->next_ms == OBJECT_NO_EXPIRE || at_ms < fields->next_ms)
        fields->early++;
    return walk->audit->options->deep ? check_field_deadline(walk, at_ms, err) : ST_OK;
}

static enum status read_members(struct audit *audit, const struct audit_record *record,
                                uint64_t object_id, struct err *err)
{
    struct bytes rest = record->payload;
    uint64_t says = 0;
    uint64_t count = 0;
    struct fields fields = {.next_ms = OBJECT_NO_EXPIRE};
    const struct value_type *type = object_value_type(record->type);
    struct audit_walk walk;
    enum status st = ST_OK;
    rest = bytes_make(rest.data + RECORD_LARGE_ID_BYTES, rest.len - RECORD_LARGE_ID_BYTES);
    CHECK(audit_take_varint(&rest, &says));
    if (type->record_deadline != NULL)
        fields.next_ms = type->record_deadline(&record->header, record->payload);
    audit_walk_begin(&walk, audit, record, object_id, 0);
    while (st == ST_OK && audit_walk_next(&walk)) {
        uint8_t kind = walk.element.len != 0 ? walk.element.data[0] : 0;
        if (kind == MEMBER_ELEMENT_KIND && walk.element.len >= MEMBER_ELEMENT_PREFIX_BYTES) {
            count++;
            st = check_member(&walk, &fields, err);
        } else if (kind != DEADLINE_KIND || record->type != OBJECT_HASH ||
                   walk.element.len < DEADLINE_HEAD_BYTES || walk.value.len != 1) {
            audit_walk_blame(&walk, "no element of this type");
        }
        if (st == ST_OK)
            st = audit_advance(audit, "elements", 1, err);
    }
    st = audit_walk_end(&walk, st, err);
    if (st == ST_OK && count != says)
        audit_blame_object(audit, record, AUDIT_COUNT,
                           record->type == OBJECT_HASH ? "fields" : "members", count, says);
    if (st == ST_OK && fields.early != 0)
        audit_blame_object(audit, record, AUDIT_COUNT,
                           "fields with a deadline before the one in the header", fields.early, 0);
    return st;
}

enum status audit_read_object(struct audit *audit, const struct audit_record *record,
                              uint64_t object_id, struct err *err)
{
    switch (record->type) {
    case OBJECT_STRING:
        return read_string(audit, record, object_id, err);
    case OBJECT_SET:
    case OBJECT_HASH:
        return read_members(audit, record, object_id, err);
    case OBJECT_LIST:
        return audit_read_list(audit, record, object_id, err);
    case OBJECT_ZSET:
        return audit_read_zset(audit, record, object_id, err);
    case OBJECT_STREAM:
        return audit_read_stream(audit, record, object_id, err);
    case OBJECT_NONE:
    case OBJECT_TYPE_COUNT:
        break;
    }
    CHECK_UNREACHED("records have types");
    return ST_OK;
}
