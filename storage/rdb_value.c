#include "storage/rdb_value.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/intset.h"
#include "codec/listpack.h"
#include "codec/rdb_write.h"
#include "storage/rdb_stream.h"
#include "storage/types/hash.h"
#include "storage/types/list.h"
#include "storage/types/set.h"
#include "storage/types/string.h"
#include "storage/types/zset.h"

#include <string.h>

/* From which version on Redis reads a form. */
#define VERSION_LISTPACKS     10 /* of lists, hashes and sorted sets */
#define VERSION_SET_LISTPACKS 11

/* Of a list's node (RDB type "quicklist 2"). */
enum { NODE_PLAIN = 1, NODE_PACKED = 2 };

#define FOOTER_VERSION_BYTES 2
/* The end of a file: an opcode and a checksum. */
#define FILE_END_BYTES (1 + RDB_CHECKSUM_BYTES)

/* ---- Forms -------------------------------------------------------------------------------------
 */

static uint8_t set_type(const struct object *o, int version)
{
    if (o->encoding == ENCODING_INTSET)
        return RDB_TYPE_SET_INTSET;
    return o->encoding == ENCODING_LISTPACK && version >= VERSION_SET_LISTPACKS
               ? RDB_TYPE_SET_LISTPACK
               : RDB_TYPE_SET;
}

/* Whether the deadlines of fields are told. */
static bool is_dated(const struct object *o, int version)
{
    return version >= RDB_VERSION_FIELD_DEADLINES && hash_has_deadlines(o);
}

static uint8_t hash_type(const struct object *o, int version)
{
    if (is_dated(o, version))
        return o->encoding == ENCODING_LISTPACK_EX ? RDB_TYPE_HASH_LISTPACK_EX
                                                   : RDB_TYPE_HASH_METADATA;
    return o->encoding == ENCODING_LISTPACK && version >= VERSION_LISTPACKS ? RDB_TYPE_HASH_LISTPACK
                                                                            : RDB_TYPE_HASH;
}

uint8_t rdb_list_type(int version)
{
    return version >= VERSION_LISTPACKS ? RDB_TYPE_LIST_QUICKLIST_2 : RDB_TYPE_LIST;
}

uint8_t rdb_value_type(const struct object *o, int version)
{
    switch ((enum object_type)o->type) {
    case OBJECT_STRING:
        return RDB_TYPE_STRING;
    case OBJECT_LIST:
        return rdb_list_type(version);
    case OBJECT_SET:
        return set_type(o, version);
    case OBJECT_ZSET:
        return o->encoding == ENCODING_LISTPACK && version >= VERSION_LISTPACKS
                   ? RDB_TYPE_ZSET_LISTPACK
                   : RDB_TYPE_ZSET_2;
    case OBJECT_HASH:
        return hash_type(o, version);
    case OBJECT_STREAM:
        return rdb_stream_type(version);
    case OBJECT_NONE:
    case OBJECT_TYPE_COUNT:
        break;
    }
    CHECK_UNREACHED("the object is live");
    return 0;
}

/* ---- Pieces ------------------------------------------------------------------------------------
 */

void rdb_put_score(struct rdb_writer *writer, double score)
{
    uint8_t out[8];
    uint64_t bits;
    memcpy(&bits, &score, sizeof(bits));
    store_le64(out, bits);
    rdb_writer_put_bytes(writer, bytes_make(out, sizeof(out)));
}

void rdb_put_ms(struct rdb_writer *writer, int64_t ms)
{
    uint8_t out[8];
    store_le64(out, (uint64_t)ms);
    rdb_writer_put_bytes(writer, bytes_make(out, sizeof(out)));
}

static void put_elements(struct rdb_writer *writer, const uint8_t *packed)
{
    char digits[NUMBER_I64_CHARS_MAX];
    for (uint32_t at = listpack_first(packed); at != 0; at = listpack_next(packed, at)) {
        rdb_writer_put_text(writer, listpack_get_text(packed, at, digits));
    }
}

void rdb_put_list_node(const struct rdb_target *target, bool plain, struct bytes content)
{
    struct rdb_writer *writer = target->writer;
    if (target->version >= VERSION_LISTPACKS) {
        rdb_writer_put_length(writer, plain ? NODE_PLAIN : NODE_PACKED);
        rdb_writer_put_text(writer, content);
    } else if (plain) {
        rdb_writer_put_text(writer, content);
    } else {
        put_elements(writer, content.data);
    }
}

/* ---- Types -------------------------------------------------------------------------------------
 */

static void put_string(struct rdb_writer *writer, const struct object *o)
{
    struct buf value = {0};
    string_append_to(o, &value);
    rdb_writer_put_text(writer, buf_bytes(&value));
    buf_deinit(&value);
}

static void put_node(void *arg, bool plain, struct bytes content)
{
    rdb_put_list_node(arg, plain, content);
}

static void put_list(const struct rdb_target *target, const struct object *o)
{
    struct list_facts facts;
    struct rdb_target copy = *target;
    if (target->version < VERSION_LISTPACKS)
        rdb_writer_put_length(target->writer, list_length(o));
    else
        rdb_writer_put_length(target->writer, list_read_facts(o, &facts) ? facts.nodes : 1);
    list_visit_nodes(o, put_node, &copy);
}

static void put_packed(struct rdb_writer *writer, const struct object *o)
{
    const uint8_t *packed = o->value.pointer;
    rdb_writer_put_text(writer, bytes_make(packed, listpack_bytes(packed)));
}

static void put_set(struct rdb_writer *writer, const struct object *o, uint8_t type)
{
    if (type == RDB_TYPE_SET_INTSET) {
        const uint8_t *block = o->value.pointer;
        rdb_writer_put_text(writer, bytes_make(block, intset_bytes(block)));
        return;
    }
    if (type == RDB_TYPE_SET_LISTPACK) {
        put_packed(writer, o);
        return;
    }
    struct set_iter iter;
    struct bytes member;
    rdb_writer_put_length(writer, set_count(o));
    for (set_iter_init(&iter, o); set_iter_next(&iter, &member);)
        rdb_writer_put_text(writer, member);
}

static void put_zset(struct rdb_writer *writer, const struct object *o, uint8_t type)
{
    if (type == RDB_TYPE_ZSET_LISTPACK) {
        put_packed(writer, o);
        return;
    }
    struct zset_walk walk;
    struct bytes member;
    double score;
    uint64_t count = zset_count(o);
    rdb_writer_put_length(writer, count);
    if (count == 0)
        return;
    /* From the highest score down, so that Redis adds each element at the list's head. */
    zset_walk_init(&walk, o, count - 1, true);
    while (zset_walk_next(&walk, &member, &score)) {
        rdb_writer_put_text(writer, member);
        rdb_put_score(writer, score);
    }
}

/* Whether a field goes into a form that has no deadlines. */
static bool is_kept(const struct rdb_target *target, const struct hash_value *value)
{
    return value->expire_at_ms == OBJECT_NO_EXPIRE || value->expire_at_ms > target->now_ms;
}

static uint64_t count_kept(const struct rdb_target *target, const struct object *o)
{
    if (!hash_has_deadlines(o))
        return hash_count(o);
    struct hash_iter iter;
    struct bytes field;
    struct hash_value value;
    uint64_t count = 0;
    for (hash_iter_init(&iter, o); hash_iter_next(&iter, &field, &value);)
        count += is_kept(target, &value);
    return count;
}

/* Redis counts deadlines from the first one, and the first one exactly. */
static int64_t first_deadline(const struct object *o)
{
    struct hash_iter iter;
    struct bytes field;
    struct hash_value value;
    int64_t first_ms = OBJECT_NO_EXPIRE;
    for (hash_iter_init(&iter, o); hash_iter_next(&iter, &field, &value);)
        if (value.expire_at_ms != OBJECT_NO_EXPIRE &&
            (first_ms == OBJECT_NO_EXPIRE || value.expire_at_ms < first_ms))
            first_ms = value.expire_at_ms;
    return first_ms == OBJECT_NO_EXPIRE ? 0 : first_ms;
}

static void put_fields(const struct rdb_target *target, const struct object *o, bool dated)
{
    struct rdb_writer *writer = target->writer;
    struct hash_iter iter;
    struct bytes field;
    struct hash_value value;
    int64_t first_ms = 0;
    if (dated) {
        first_ms = first_deadline(o);
        rdb_put_ms(writer, first_ms);
    }
    rdb_writer_put_length(writer, dated ? hash_count(o) : count_kept(target, o));
    for (hash_iter_init(&iter, o); hash_iter_next(&iter, &field, &value);) {
        if (dated)
            rdb_writer_put_length(writer, value.expire_at_ms == OBJECT_NO_EXPIRE
                                              ? 0
                                              : (uint64_t)(value.expire_at_ms - first_ms + 1));
        else if (!is_kept(target, &value))
            continue;
        rdb_writer_put_text(writer, field);
        rdb_writer_put_text(writer, value.value);
    }
}

static void put_hash(const struct rdb_target *target, const struct object *o, uint8_t type)
{
    if (type == RDB_TYPE_HASH_LISTPACK) {
        put_packed(target->writer, o);
    } else if (type == RDB_TYPE_HASH_LISTPACK_EX) {
        rdb_put_ms(target->writer, first_deadline(o));
        put_packed(target->writer, o);
    } else {
        put_fields(target, o, type == RDB_TYPE_HASH_METADATA);
    }
}

bool rdb_value_is_empty(const struct rdb_target *target, const struct object *o)
{
    return o->type == OBJECT_HASH && !is_dated(o, target->version) && count_kept(target, o) == 0;
}

void rdb_value_put(const struct rdb_target *target, const struct object *o)
{
    uint8_t type = rdb_value_type(o, target->version);
    switch ((enum object_type)o->type) {
    case OBJECT_STRING:
        put_string(target->writer, o);
        break;
    case OBJECT_LIST:
        put_list(target, o);
        break;
    case OBJECT_SET:
        put_set(target->writer, o, type);
        break;
    case OBJECT_ZSET:
        put_zset(target->writer, o, type);
        break;
    case OBJECT_HASH:
        put_hash(target, o, type);
        break;
    case OBJECT_STREAM:
        rdb_stream_put(target, o);
        break;
    case OBJECT_NONE:
    case OBJECT_TYPE_COUNT:
        CHECK_UNREACHED("the object is live");
    }
}

/* ---- DUMP -------------------------------------------------------------------------------------
 */

static enum status append(void *arg, struct bytes data, struct err *err)
{
    (void)err;
    buf_append_bytes(arg, data);
    return ST_OK;
}

void rdb_value_dump(const struct object *o, bool compress, struct buf *out)
{
    struct buf file = {0};
    int version = RDB_VERSION_DEFAULT;
    if (o->type == OBJECT_HASH && hash_has_deadlines(o))
        version = RDB_VERSION_FIELD_DEADLINES;
    struct rdb_writer_options options = {.write = append,
                                         .write_arg = &file,
                                         .version = version,
                                         .no_compression = !compress,
                                         .no_checksum = true};
    struct rdb_target target = {.writer = rdb_writer_create(&options), .version = version};
    uint8_t type = rdb_value_type(o, version);
    rdb_writer_put_bytes(target.writer, bytes_make(&type, 1));
    rdb_value_put(&target, o);
    struct err err;
    CHECK(rdb_writer_finish(target.writer, &err) == ST_OK);
    rdb_writer_destroy(target.writer);
    /* The payload is what stands between a file's header and its end; then a footer of its own. */
    size_t first = out->len;
    buf_append(out, file.data + RDB_MAGIC_BYTES, file.len - RDB_MAGIC_BYTES - FILE_END_BYTES);
    buf_deinit(&file);
    uint8_t footer[FOOTER_VERSION_BYTES + RDB_CHECKSUM_BYTES];
    store_le16(footer, (uint16_t)version);
    buf_append(out, footer, FOOTER_VERSION_BYTES);
    store_le64(footer, crc64(0, out->data + first, out->len - first));
    buf_append(out, footer, RDB_CHECKSUM_BYTES);
}
