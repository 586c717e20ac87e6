/* Large collections. The formats are FORMAT.md's, "Cold records". */
#include "storage/rdb_record_internal.h"

#include "codec/endian.h"
#include "codec/listpack.h"
#include "codec/mem.h"
#include "codec/rdb_write.h"
#include "storage/cold.h"
#include "storage/rdb_stream.h"
#include "storage/types/stream_reader.h"

#include <stdlib.h>

/* ---- Sets, hashes, sorted sets -----------------------------------------------------------------
 */

#define MEMBER_KIND         'M'
#define MEMBER_PREFIX_BYTES 9 /* kind and position */
#define FLAG_PREFIXED       2
#define PREFIX_BYTES        8

/* An element's record, taken apart. */
struct member {
    struct bytes name;
    struct bytes value;
    bool has_prefix;
    uint64_t prefix; /* of a hash: when the field is due; of a sorted set: the score's bits */
};

static bool read_member(const struct rdb_put *put, struct member *out)
{
    struct bytes element = rdb_put_element(put);
    struct bytes value = cold_iter_value(put->elements);
    if (element.len < MEMBER_PREFIX_BYTES || value.len == 0 ||
        (value.data[0] & ~FLAG_PREFIXED) != 0)
        return false;
    *out = (struct member){
        .name = bytes_make(element.data + MEMBER_PREFIX_BYTES, element.len - MEMBER_PREFIX_BYTES),
        .has_prefix = value.data[0] != 0};
    size_t head = out->has_prefix ? 1 + PREFIX_BYTES : 1;
    if (value.len < head)
        return false;
    if (out->has_prefix)
        out->prefix = load_le64(value.data + 1);
    out->value = bytes_make(value.data + head, value.len - head);
    return true;
}

/* What has to be known of a hash with deadlines before its fields are put. */
struct survey {
    uint64_t count;   /* of all */
    uint64_t due;     /* of them, due */
    int64_t first_ms; /* the earliest deadline; INT64_MAX: none */
};

static enum status survey_fields(const struct rdb_put *put, struct survey *out, struct err *err)
{
    static const uint8_t kind = MEMBER_KIND;
    struct member member;
    *out = (struct survey){.first_ms = INT64_MAX};
    for (bool more = rdb_put_seek(put, bytes_make(&kind, 1), kind); more;
         more = rdb_put_next(put, kind)) {
        if (!read_member(put, &member))
            return rdb_put_damaged(put, "element", err);
        out->count++;
        if (!member.has_prefix)
            continue;
        out->due += (int64_t)member.prefix <= put->target->now_ms;
        if ((int64_t)member.prefix < out->first_ms)
            out->first_ms = (int64_t)member.prefix;
    }
    return ST_OK;
}

/* How the members of one collection are put. */
struct members_form {
    uint8_t type;
    uint64_t count; /* that must be there */
    bool drop_due;
    int64_t first_ms; /* RDB_TYPE_HASH_METADATA */
};

static void put_member(const struct rdb_put *put, const struct members_form *form,
                       const struct member *member)
{
    struct rdb_writer *writer = put->target->writer;
    double score;
    if (form->type == RDB_TYPE_HASH_METADATA)
        rdb_writer_put_length(writer, member->has_prefix
                                          ? (uint64_t)((int64_t)member->prefix - form->first_ms + 1)
                                          : 0);
    rdb_writer_put_text(writer, member->name);
    if (form->type == RDB_TYPE_ZSET_2) {
        memcpy(&score, &member->prefix, sizeof(score));
        rdb_put_score(writer, score);
    } else if (form->type != RDB_TYPE_SET) {
        rdb_writer_put_text(writer, member->value);
    }
}

static enum status put_members(const struct rdb_put *put, const struct members_form *form,
                               struct err *err)
{
    static const uint8_t kind = MEMBER_KIND;
    struct rdb_writer *writer = put->target->writer;
    struct member member;
    uint64_t left = form->count;
    rdb_put_key(put, form->type);
    if (form->type == RDB_TYPE_HASH_METADATA)
        rdb_put_ms(writer, form->first_ms);
    rdb_writer_put_length(writer, form->count);
    for (bool more = rdb_put_seek(put, bytes_make(&kind, 1), kind); more;
         more = rdb_put_next(put, kind)) {
        if (!read_member(put, &member))
            return rdb_put_damaged(put, "element", err);
        if (form->drop_due && member.has_prefix && (int64_t)member.prefix <= put->target->now_ms)
            continue;
        if (left-- == 0)
            break;
        put_member(put, form, &member);
        if (rdb_writer_failed(writer)) /* no need to read on: finish tells why */
            return ST_OK;
    }
    return left == 0 ? ST_OK : rdb_put_damaged(put, "number of elements", err);
}

enum status rdb_put_large_members(const struct rdb_put *put, bool *put_out, struct err *err)
{
    const struct rdb_record *record = put->record;
    struct members_form form = {.type = RDB_TYPE_HASH};
    struct bytes rest = bytes_make(record->payload.data + RECORD_LARGE_ID_BYTES,
                                   record->payload.len - RECORD_LARGE_ID_BYTES);
    if (varint_decode(rest, &form.count) == 0)
        return rdb_put_damaged(put, "record", err);
    if (record->type == OBJECT_SET)
        form.type = RDB_TYPE_SET;
    else if (record->type == OBJECT_ZSET)
        form.type = RDB_TYPE_ZSET_2;
    else if (record->header.encoding == RECORD_HASH_TABLE_EX) {
        struct survey survey;
        enum status st = survey_fields(put, &survey, err);
        if (st != ST_OK)
            return st;
        if (survey.count != form.count)
            return rdb_put_damaged(put, "number of elements", err);
        form.drop_due = put->target->version < RDB_VERSION_FIELD_DEADLINES;
        if (form.drop_due) {
            form.count -= survey.due;
        } else if (survey.first_ms != INT64_MAX) {
            form.type = RDB_TYPE_HASH_METADATA;
            form.first_ms = survey.first_ms;
        }
    }
    *put_out = form.count != 0;
    return form.count == 0 ? ST_OK : put_members(put, &form, err);
}

/* ---- Lists -------------------------------------------------------------------------------------
 */

#define LIST_NODE_KIND     'N'
#define LIST_PAGE_KIND     'I'
#define LIST_ELEMENT_BYTES 9
#define LIST_PLAIN_HEAD    9 /* of a plain node: its mark, and the length */

static bool take_varint(struct bytes *in, uint64_t *out)
{
    size_t len = varint_decode(*in, out);
    *in = bytes_make(in->data + len, in->len - len);
    return len != 0;
}

static bool seek_list_element(const struct rdb_put *put, uint8_t kind, uint64_t id)
{
    uint8_t element[LIST_ELEMENT_BYTES] = {kind};
    store_be64(element + 1, id);
    struct bytes wanted = bytes_make(element, sizeof(element));
    /* Mostly it is the one behind the last. */
    if (cold_iter_valid(put->elements)) {
        cold_iter_next(put->elements);
        if (cold_iter_valid(put->elements) && bytes_equal(rdb_put_element(put), wanted))
            return true;
    }
    return rdb_put_seek(put, wanted, kind) && bytes_equal(rdb_put_element(put), wanted);
}

/* `count` is how many elements the node must have. */
static enum status put_list_node(const struct rdb_put *put, uint64_t id, uint64_t count,
                                 struct err *err)
{
    if (!seek_list_element(put, LIST_NODE_KIND, id))
        return rdb_put_damaged(put, "list of nodes", err);
    struct bytes value = cold_iter_value(put->elements);
    uint32_t found = 0;
    bool plain = value.len != 0 && value.data[0] != 0;
    if (plain && value.len >= LIST_PLAIN_HEAD && count == 1 &&
        load_le64(value.data + 1) == value.len - LIST_PLAIN_HEAD) {
        rdb_put_list_node(put->target, true,
                          bytes_make(value.data + LIST_PLAIN_HEAD, value.len - LIST_PLAIN_HEAD));
        return ST_OK;
    }
    struct bytes packed = bytes_make(value.data + 1, value.len == 0 ? 0 : value.len - 1);
    if (plain || listpack_validate(packed, &found, NULL) != ST_OK || found != count)
        return rdb_put_damaged(put, "node", err);
    rdb_put_list_node(put->target, false, packed);
    return ST_OK;
}

static enum status put_list_page(const struct rdb_put *put, uint64_t page, uint64_t node_count,
                                 struct err *err)
{
    if (!seek_list_element(put, LIST_PAGE_KIND, page))
        return rdb_put_damaged(put, "list of pages", err);
    struct buf copy = {0}; /* the iterator moves on */
    buf_append_bytes(&copy, cold_iter_value(put->elements));
    struct bytes in = buf_bytes(&copy);
    uint64_t nodes, id, count, bytes;
    enum status st =
        take_varint(&in, &nodes) && nodes == node_count ? ST_OK : rdb_put_damaged(put, "page", err);
    for (uint64_t i = 0; i < node_count && st == ST_OK; i++) {
        if (!take_varint(&in, &id) || !take_varint(&in, &count) || !take_varint(&in, &bytes))
            st = rdb_put_damaged(put, "page", err);
        else
            st = put_list_node(put, id, count, err);
    }
    buf_deinit(&copy);
    return st;
}

/* Of each page in the record: its id, and the numbers of its nodes and elements. */
static bool take_page(struct bytes *in, uint64_t *id, uint64_t *nodes, uint64_t *elements)
{
    uint64_t bytes, next;
    return take_varint(in, id) && take_varint(in, nodes) && take_varint(in, elements) &&
           take_varint(in, &bytes) && take_varint(in, &next);
}

enum status rdb_put_large_list(const struct rdb_put *put, struct err *err)
{
    const size_t head = RECORD_LARGE_ID_BYTES + 1;
    struct bytes payload = put->record->payload;
    uint64_t next_page, pages, id, nodes, elements;
    if (payload.len < head)
        return rdb_put_damaged(put, "record", err);
    struct bytes in = bytes_make(payload.data + head, payload.len - head);
    if (!take_varint(&in, &next_page) || !take_varint(&in, &pages))
        return rdb_put_damaged(put, "record", err);
    uint64_t node_sum = 0, element_sum = 0;
    struct bytes rest = in;
    for (uint64_t i = 0; i < pages; i++) {
        if (!take_page(&rest, &id, &nodes, &elements))
            return rdb_put_damaged(put, "record", err);
        node_sum += nodes;
        element_sum += elements;
    }
    uint8_t type = rdb_list_type(put->target->version);
    rdb_put_key(put, type);
    rdb_writer_put_length(put->target->writer, type == RDB_TYPE_LIST ? element_sum : node_sum);
    enum status st = ST_OK;
    for (uint64_t i = 0; i < pages && st == ST_OK; i++) {
        (void)take_page(&in, &id, &nodes, &elements);
        st = put_list_page(put, id, nodes, err);
        if (rdb_writer_failed(put->target->writer))
            break;
    }
    return st;
}

/* ---- Streams -----------------------------------------------------------------------------------
 */

/* A pending entry, as it is kept while its group is put. */
struct pending {
    struct stream_id id;
    int64_t delivered_at_ms;
    uint64_t deliveries;
    uint32_t consumer;
};

struct pendings {
    struct pending *items; /* owned */
    size_t count, capacity;
};

static enum status put_nodes(const struct rdb_put *put, uint64_t count, struct err *err)
{
    static const uint8_t kind = 'N';
    uint64_t entries;
    rdb_writer_put_length(put->target->writer, count);
    for (bool more = rdb_put_seek(put, bytes_make(&kind, 1), kind); more;
         more = rdb_put_next(put, kind)) {
        struct bytes element = rdb_put_element(put);
        struct bytes listpack = cold_iter_value(put->elements);
        if (element.len != 17 || count-- == 0 ||
            stream_node_validate(listpack, &entries, NULL) != ST_OK)
            return rdb_put_damaged(put, "node", err);
        struct stream_id id = {load_be64(element.data + 1), load_be64(element.data + 9)};
        rdb_stream_put_node(put->target, id, listpack);
        if (rdb_writer_failed(put->target->writer))
            return ST_OK;
    }
    return count == 0 ? ST_OK : rdb_put_damaged(put, "number of nodes", err);
}

static enum status read_pendings(const struct rdb_put *put, uint32_t group, struct pendings *out,
                                 struct err *err)
{
    uint8_t from[5] = {'E'};
    store_be32(from + 1, group);
    for (bool more = rdb_put_seek(put, bytes_make(from, sizeof(from)), 'E'); more;
         more = rdb_put_next(put, 'E')) {
        struct bytes element = rdb_put_element(put);
        struct bytes value = cold_iter_value(put->elements);
        if (element.len != 21)
            return rdb_put_damaged(put, "pending entry", err);
        if (load_be32(element.data + 1) != group)
            break;
        struct stream_id id = {load_be64(element.data + 5), load_be64(element.data + 13)};
        struct stream_reader r = {.at = value.data, .left = value.len, .sound = true};
        struct stream_pending_part *part = read_pending_part(&r, group, id);
        if (part == NULL)
            return rdb_put_damaged(put, "pending entry", err);
        if (out->count == out->capacity) {
            out->capacity = out->capacity * 2 + 16;
            out->items = mem_realloc(out->items, out->capacity * sizeof(*out->items));
        }
        out->items[out->count++] = (struct pending){.id = id,
                                                    .delivered_at_ms = part->delivered_at_ms,
                                                    .deliveries = part->deliveries,
                                                    .consumer = part->consumer};
        mem_free(part);
    }
    return ST_OK;
}

static int compare_pendings(const void *a, const void *b)
{
    const struct pending *x = a;
    const struct pending *y = b;
    if (x->consumer != y->consumer)
        return x->consumer < y->consumer ? -1 : 1;
    return stream_id_compare(x->id, y->id);
}

/* Those of a consumer from `*next` on, sorted by consumer. */
static void put_pendings_of(const struct rdb_put *put, const struct pendings *pendings,
                            uint32_t consumer, size_t *next)
{
    size_t end = *next;
    while (end < pendings->count && pendings->items[end].consumer == consumer)
        end++;
    rdb_writer_put_length(put->target->writer, end - *next);
    for (; *next < end; (*next)++)
        rdb_stream_put_id(put->target, pendings->items[*next].id);
}

static bool is_consumer_of(const struct rdb_put *put, uint32_t group)
{
    struct bytes element = rdb_put_element(put);
    return element.len == 9 && load_be32(element.data + 1) == group;
}

static enum status put_consumers(const struct rdb_put *put, uint32_t group,
                                 const struct pendings *pendings, struct err *err)
{
    size_t next = 0;
    uint8_t from[5] = {'K'};
    store_be32(from + 1, group);
    struct bytes first = bytes_make(from, sizeof(from));
    uint64_t count = 0;
    for (bool more = rdb_put_seek(put, first, 'K'); more && is_consumer_of(put, group);
         more = rdb_put_next(put, 'K'))
        count++;
    rdb_writer_put_length(put->target->writer, count);
    bool more = rdb_put_seek(put, first, 'K');
    for (; count != 0; count--, more = rdb_put_next(put, 'K')) {
        if (!more)
            return rdb_put_damaged(put, "number of consumers", err);
        uint32_t number = load_be32(rdb_put_element(put).data + 5);
        struct bytes value = cold_iter_value(put->elements);
        struct stream_reader r = {.at = value.data, .left = value.len, .sound = true};
        struct stream_consumer_part *part = read_consumer_part(&r, group, number);
        if (part == NULL)
            return rdb_put_damaged(put, "consumer", err);
        rdb_stream_put_consumer(put->target, part);
        mem_free(part);
        put_pendings_of(put, pendings, number, &next);
    }
    return next == pendings->count ? ST_OK : rdb_put_damaged(put, "pending entry's consumer", err);
}

static enum status put_group(const struct rdb_put *put, const struct stream_group_part *group,
                             struct err *err)
{
    struct pendings pendings = {0};
    enum status st = read_pendings(put, group->number, &pendings, err);
    if (st == ST_OK) {
        rdb_stream_put_group(put->target, group);
        rdb_writer_put_length(put->target->writer, pendings.count);
        for (size_t i = 0; i < pendings.count; i++)
            rdb_stream_put_pending(put->target, pendings.items[i].id,
                                   pendings.items[i].delivered_at_ms, pendings.items[i].deliveries);
        if (pendings.count != 0) /* consumers come in the order of their numbers */
            qsort(pendings.items, pendings.count, sizeof(*pendings.items), compare_pendings);
        st = put_consumers(put, group->number, &pendings, err);
    }
    mem_free(pendings.items);
    return st;
}

/* Groups are few: their numbers are looked at first, then each is read again. */
static enum status put_groups(const struct rdb_put *put, struct err *err)
{
    static const uint8_t kind = 'G';
    uint64_t count = 0;
    bool more;
    for (more = rdb_put_seek(put, bytes_make(&kind, 1), kind); more; more = rdb_put_next(put, kind))
        count++;
    rdb_writer_put_length(put->target->writer, count);
    uint8_t from[5] = {kind};
    enum status st = ST_OK;
    for (; count != 0 && st == ST_OK; count--) {
        if (!rdb_put_seek(put, bytes_make(from, sizeof(from)), kind) ||
            rdb_put_element(put).len != sizeof(from))
            return rdb_put_damaged(put, "group", err);
        uint32_t number = load_be32(rdb_put_element(put).data + 1);
        struct bytes value = cold_iter_value(put->elements);
        struct stream_reader r = {.at = value.data, .left = value.len, .sound = true};
        struct stream_group_part *part = read_group_part(&r, number);
        if (part == NULL)
            return rdb_put_damaged(put, "group", err);
        st = put_group(put, part, err);
        mem_free(part);
        store_be32(from + 1, number + 1);
    }
    return st;
}

enum status rdb_put_large_stream(const struct rdb_put *put, struct err *err)
{
    struct bytes payload = put->record->payload;
    struct stream_reader r = {.at = payload.data + RECORD_LARGE_ID_BYTES,
                              .left = payload.len - RECORD_LARGE_ID_BYTES,
                              .sound = true};
    struct stream s = {.length = read_varint(&r)};
    s.last_id = read_id(&r);
    s.first_id = read_id(&r);
    s.max_deleted_id = read_id(&r);
    s.entries_added = read_varint(&r);
    (void)read_varint(&r); /* next page */
    (void)read_varint(&r); /* next group */
    uint64_t nodes = read_varint(&r);
    if (!r.sound)
        return rdb_put_damaged(put, "record", err);
    rdb_put_key(put, rdb_stream_type(put->target->version));
    enum status st = put_nodes(put, nodes, err);
    rdb_stream_put_facts(put->target, &s);
    return st == ST_OK ? put_groups(put, err) : st;
}
