#include "storage/rdb_record_internal.h"

#include "codec/check.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/rdb_write.h"
#include "storage/cold.h"
#include "storage/loader.h"
#include "storage/object_value.h"

/* ---- What the types share ----------------------------------------------------------------------
 */

void rdb_put_key(const struct rdb_put *put, uint8_t type)
{
    const struct record_header *header = &put->record->header;
    struct rdb_key key = {.name = put->record->key,
                          .type = type,
                          .has_expire = header->has_expire,
                          .expire_at_ms = header->expire_at_ms,
                          .idle_s = -1,
                          .freq = -1};
    rdb_writer_put_key(put->target->writer, &key);
}

enum status rdb_put_damaged(const struct rdb_put *put, const char *what, struct err *err)
{
    return err_set(err, ST_CORRUPT, "the %s of a %s is damaged (object id %llu)", what,
                   object_type_name(put->record->type), (unsigned long long)put->object_id);
}

static bool is_of_kind(const struct rdb_put *put, uint8_t kind)
{
    if (!cold_iter_valid(put->elements))
        return false;
    struct bytes element = rdb_put_element(put);
    return element.len != 0 && element.data[0] == kind;
}

bool rdb_put_seek(const struct rdb_put *put, struct bytes element, uint8_t kind)
{
    uint8_t few[64];
    uint8_t *key = few;
    size_t len = RECORD_ELEMENT_PREFIX_BYTES + element.len;
    if (len > sizeof(few))
        key = mem_alloc(len);
    len = record_element_key_encode(put->object_id, element, key);
    cold_iter_seek(put->elements, bytes_make(key, len));
    if (key != few)
        mem_free(key);
    return is_of_kind(put, kind);
}

bool rdb_put_next(const struct rdb_put *put, uint8_t kind)
{
    cold_iter_next(put->elements);
    return is_of_kind(put, kind);
}

struct bytes rdb_put_element(const struct rdb_put *put)
{
    struct bytes key = cold_iter_key(put->elements);
    return bytes_make(key.data + RECORD_ELEMENT_PREFIX_BYTES,
                      key.len - RECORD_ELEMENT_PREFIX_BYTES);
}

/* ---- Large strings -----------------------------------------------------------------------------
 */

static void put_zeros(struct rdb_writer *writer, uint64_t count)
{
    static const uint8_t zeros[4096];
    while (count != 0) {
        size_t len = count < sizeof(zeros) ? (size_t)count : sizeof(zeros);
        rdb_writer_put_bytes(writer, bytes_make(zeros, len));
        count -= len;
    }
}

/* As it stands, not compressed: its length in the file would have to be known before. */
static enum status put_large_string(const struct rdb_put *put, struct err *err)
{
    struct record_large_string large;
    struct rdb_writer *writer = put->target->writer;
    if (record_large_string_decode(put->record->payload, &large) != ST_OK)
        return rdb_put_damaged(put, "record", err);
    rdb_put_key(put, RDB_TYPE_STRING);
    rdb_writer_put_length(writer, large.len);
    uint64_t at = 0;
    for (cold_iter_seek_first(put->elements); cold_iter_valid(put->elements);
         cold_iter_next(put->elements)) {
        uint64_t id;
        uint32_t index;
        struct bytes chunk = cold_iter_value(put->elements);
        if (!record_chunk_key_decode(cold_iter_key(put->elements), &id, &index))
            return rdb_put_damaged(put, "chunk's key", err);
        uint64_t from = (uint64_t)index * large.chunk_bytes;
        if (from >= large.len)
            break;
        if (from < at || chunk.len > large.chunk_bytes || chunk.len > large.len - from)
            return rdb_put_damaged(put, "chunk", err);
        put_zeros(writer, from - at);
        rdb_writer_put_bytes(writer, chunk);
        at = from + chunk.len;
    }
    put_zeros(writer, large.len - at);
    return ST_OK;
}

/* ---- Records -----------------------------------------------------------------------------------
 */

static enum status put_large(struct rdb_put *put, bool *put_out, struct err *err)
{
    uint8_t lower[RECORD_ELEMENT_PREFIX_BYTES];
    uint8_t upper[RECORD_ELEMENT_PREFIX_BYTES];
    const struct rdb_record *record = put->record;
    if (record->payload.len < RECORD_LARGE_ID_BYTES)
        return rdb_put_damaged(put, "record", err);
    put->object_id = load_le64(record->payload.data);
    record_element_prefix_encode(put->object_id, lower);
    record_element_prefix_encode(put->object_id + 1, upper);
    struct cold_iter_options options = {.lower = bytes_make(lower, sizeof(lower)),
                                        .upper = bytes_make(upper, sizeof(upper)),
                                        .snapshot = put->source->snapshot};
    put->elements = cold_iter_create(put->source->cold, loader_family(record->type), &options);
    enum status st = ST_UNSUPPORTED;
    switch (record->type) {
    case OBJECT_STRING:
        st = put_large_string(put, err);
        break;
    case OBJECT_SET:
    case OBJECT_ZSET:
    case OBJECT_HASH:
        st = rdb_put_large_members(put, put_out, err);
        break;
    case OBJECT_LIST:
        st = rdb_put_large_list(put, err);
        break;
    case OBJECT_STREAM:
        st = rdb_put_large_stream(put, err);
        break;
    case OBJECT_NONE:
    case OBJECT_TYPE_COUNT:
        CHECK_UNREACHED("a record has a type");
    }
    struct err read_err;
    enum status read = cold_iter_status(put->elements, &read_err);
    if (read != ST_OK) { /* then what was found wrong may be due to it */
        st = read;
        if (err != NULL)
            *err = read_err;
    }
    cold_iter_destroy(put->elements);
    return st;
}

/* By way of an object that is nobody else's. */
static enum status put_small(const struct rdb_put *put, bool *put_out, struct err *err)
{
    struct object o = {.type = (uint8_t)put->record->type, .expire_at_ms = OBJECT_NO_EXPIRE};
    const struct value_type *type = object_value_type(put->record->type);
    if (type->decode(&o, &put->record->header, put->record->payload, &put->source->rules) != ST_OK)
        return rdb_put_damaged(put, "record", err);
    *put_out = !rdb_value_is_empty(put->target, &o);
    if (*put_out) {
        rdb_put_key(put, rdb_value_type(&o, put->target->version));
        rdb_value_put(put->target, &o);
    }
    object_free_fn *free_fn;
    void *value = type->take(&o, &free_fn);
    if (value != NULL)
        free_fn(value);
    return ST_OK;
}

enum status rdb_record_put(const struct rdb_source *source, const struct rdb_target *target,
                           const struct rdb_record *record, bool *put_out, struct err *err)
{
    struct rdb_put put = {.source = source, .target = target, .record = record};
    *put_out = true;
    if (record->header.large)
        return put_large(&put, put_out, err);
    if (record->type != OBJECT_STRING)
        return put_small(&put, put_out, err);
    rdb_put_key(&put, RDB_TYPE_STRING);
    rdb_writer_put_text(target->writer, record->payload);
    return ST_OK;
}
