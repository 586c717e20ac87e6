/* RDB to records: what a worker does in its turn, and with what it took. */
#include "storage/import_internal.h"

#include "codec/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROGRESS_BYTES ((uint64_t)256 << 10) /* of input, between calls */

/* Writes the batch if the record does not fit. */
static enum status make_room(struct import_worker *worker, size_t key_len, size_t value_len,
                             struct err *err)
{
    enum status st = ST_OK;
    if (import_batch_has_room(worker->batch, key_len, value_len))
        return ST_OK;
    if (worker->batch->count > 0)
        st = import_write_batch(worker, err);
    if (st != ST_OK || import_batch_has_room(worker->batch, key_len, value_len))
        return st;
    return import_batch_enlarge(worker->batch, key_len, value_len, err);
}

enum status import_add_record(struct import_worker *worker, enum family family, struct bytes key,
                              struct bytes value, struct err *err)
{
    enum status st = make_room(worker, key.len, value.len, err);
    if (st != ST_OK)
        return st;
    struct import_space space =
        import_batch_add(worker->batch, family, import_rank(family, key), key.len, value.len);
    memcpy(space.key, key.data, key.len);
    if (value.len > 0)
        memcpy(space.value, value.data, value.len);
    return ST_OK;
}

static struct bytes without_zeros_at_end(struct bytes bytes)
{
    while (bytes.len > 0 && bytes.data[bytes.len - 1] == 0)
        bytes.len--;
    return bytes;
}

/* In the worker's turn object ids ascend, so that the elements of all large strings come in order.
 */
static enum status write_chunks(struct import *import, struct bytes value, uint64_t object_id,
                                struct err *err)
{
    enum status st = ST_OK;
    uint32_t index = 0;
    for (size_t at = 0; st == ST_OK && at < value.len; at += RECORD_CHUNK_BYTES, index++) {
        size_t len = value.len - at < RECORD_CHUNK_BYTES ? value.len - at : RECORD_CHUNK_BYTES;
        struct bytes chunk = without_zeros_at_end(bytes_make(value.data + at, len));
        if (chunk.len == 0)
            continue;
        uint8_t key[RECORD_CHUNK_KEY_BYTES];
        record_chunk_key_encode(object_id, index, key);
        st = import_tables_put(&import->chunks, bytes_make(key, sizeof(key)), chunk, err);
    }
    return st;
}

static uint8_t record_encoding(const struct string_plan *plan, size_t len)
{
    if (plan->encoding == ENCODING_INT)
        return RECORD_STRING_INT;
    return len <= STRING_EMBSTR_BYTES_MAX ? RECORD_STRING_EMBSTR : RECORD_STRING_RAW;
}

static enum status add_expires(struct import_worker *worker, const struct rdb_key *key,
                               uint64_t position, struct err *err)
{
    size_t len = RECORD_EXPIRES_PREFIX_BYTES + record_key_bytes(key->name.len);
    uint64_t at_ms = key->expire_at_ms < 0 ? 0 : (uint64_t)key->expire_at_ms;
    enum status st = make_room(worker, len, 0, err);
    if (st != ST_OK)
        return st;
    struct import_space space = import_batch_add(worker->batch, FAMILY_EXPIRES, at_ms, len, 0);
    store_be64(space.key, at_ms);
    (void)record_key_encode(key->db, position, key->name, space.key + RECORD_EXPIRES_PREFIX_BYTES);
    return ST_OK;
}

static enum status write_large(struct import_worker *worker, struct bytes value,
                               struct record_large_string *out, struct err *err)
{
    bool has_turn = worker->has_turn;
    if (!has_turn)
        import_begin_turn(worker);
    *out = (struct record_large_string){.object_id = worker->import->next_object_id++,
                                        .len = value.len,
                                        .chunk_bytes = RECORD_CHUNK_BYTES};
    enum status st = write_chunks(worker->import, value, out->object_id, err);
    if (!has_turn)
        import_end_turn(worker);
    return st;
}

static enum status add_string(struct import_worker *worker, const struct rdb_key *key,
                              struct bytes value, struct err *err)
{
    const struct import *import = worker->import;
    struct string_plan plan;
    string_plan(&import->rules, value, &plan);
    struct record_header header = {.has_expire = key->has_expire,
                                   .large = plan.encoding == ENCODING_CHUNKED,
                                   .encoding = record_encoding(&plan, value.len),
                                   .expire_at_ms = key->has_expire ? key->expire_at_ms : 0};
    uint8_t large_payload[RECORD_LARGE_STRING_BYTES];
    struct bytes payload = value;
    enum status st = ST_OK;
    if (header.large) {
        struct record_large_string large;
        st = write_large(worker, value, &large, err);
        record_large_string_encode(&large, large_payload);
        payload = bytes_make(large_payload, sizeof(large_payload));
    }
    uint64_t position = record_position(import->identity.hash_seed, key->name);
    if (st == ST_OK && key->has_expire)
        st = add_expires(worker, key, position, err);
    if (st != ST_OK)
        return st;
    uint8_t head[RECORD_HEADER_BYTES_MAX];
    size_t head_len = record_header_encode(&header, head);
    uint8_t prefix[RECORD_KEY_PREFIX_BYTES];
    record_key_prefix_encode(key->db, position, prefix);
    size_t key_len = record_key_bytes(key->name.len);
    st = make_room(worker, key_len, head_len + payload.len, err);
    if (st != ST_OK)
        return st;
    uint64_t rank = import_rank(FAMILY_STRING, bytes_make(prefix, sizeof(prefix)));
    struct import_space space =
        import_batch_add(worker->batch, FAMILY_STRING, rank, key_len, head_len + payload.len);
    (void)record_key_encode(key->db, position, key->name, space.key);
    memcpy(space.value, head, head_len);
    if (payload.len > 0)
        memcpy(space.value + head_len, payload.data, payload.len);
    return ST_OK;
}

static enum status add_frame(struct import_worker *worker, const struct rdb_key *key,
                             const struct rdb_frame *frame, struct err *err)
{
    if (key->type != RDB_TYPE_STRING)
        return import_read_collection(worker, frame, key, err);
    struct bytes value;
    enum status st =
        rdb_frame_read_string(frame, IMPORT_STRING_BYTES_MAX, &worker->scratch, &value, err);
    return st == ST_OK ? add_string(worker, key, value, err) : st;
}

/* Keeps what is to be decoded after the turn. */
static enum status keep_item(struct import_worker *worker, const struct rdb_key *key,
                             const struct rdb_frame *frame, struct err *err)
{
    struct buf *frames = &worker->frames;
    if (worker->item_count == worker->item_capacity) {
        worker->item_capacity = worker->item_capacity == 0 ? 64 : 2 * worker->item_capacity;
        worker->items = mem_realloc(worker->items, worker->item_capacity * sizeof(*worker->items));
    }
    if (!buf_try_reserve(frames, key->name.len + frame->bytes.len))
        return err_set(err, ST_LIMIT, "out of memory for a key of %zu bytes", key->name.len);
    worker->items[worker->item_count++] =
        (struct import_item){.key = *key,
                             .offset = frame->offset,
                             .name_at = frames->len,
                             .value_at = frames->len + key->name.len,
                             .value_len = frame->bytes.len};
    buf_append_bytes(frames, key->name);
    buf_append_bytes(frames, frame->bytes);
    return ST_OK;
}

enum status import_decode_items(struct import_worker *worker, struct err *err)
{
    const uint8_t *frames = worker->frames.data;
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < worker->item_count; i++) {
        const struct import_item *item = &worker->items[i];
        struct rdb_key key = item->key;
        key.name = bytes_make(frames + item->name_at, key.name.len);
        struct rdb_frame frame = {.type = key.type,
                                  .offset = item->offset,
                                  .bytes = bytes_make(frames + item->value_at, item->value_len)};
        st = add_frame(worker, &key, &frame, err);
    }
    worker->item_count = 0;
    buf_clear(&worker->frames);
    if (worker->frames.capacity > 4 * worker->import->turn_bytes) /* it had a huge name */
        buf_deinit(&worker->frames);
    if (worker->scratch.capacity > 4 * worker->import->turn_bytes)
        buf_deinit(&worker->scratch);
    return st;
}

/* Too large to be decoded apart; that is the whole turn then. */
static enum status add_value(struct import_worker *worker, const struct rdb_key *key,
                             struct err *err)
{
    if (key->type != RDB_TYPE_STRING)
        return import_read_collection(worker, NULL, key, err);
    struct bytes value;
    enum status st = rdb_reader_read_string(worker->import->turns.reader, &value, err);
    return st == ST_OK ? add_string(worker, key, value, err) : st;
}

static enum status read_key(struct import_worker *worker, const struct rdb_key *from,
                            struct err *err)
{
    struct import *import = worker->import;
    struct rdb_key key = *from;
    /* Redis stands for "no expiry" by this very value when it loads a file. */
    key.has_expire = key.has_expire && key.expire_at_ms != OBJECT_NO_EXPIRE;
    import->keys_read++;
    if (import->options.wanted != NULL &&
        !import->options.wanted(import->options.wanted_arg, &key)) {
        import->report.unwanted++;
        return ST_OK;
    }
    if (key.type == RDB_TYPE_MODULE_2) {
        import->report.skipped[key.type]++;
        return ST_OK;
    }
    if (key.has_expire && key.expire_at_ms < import->now_ms && !import->options.keep_expired) {
        import->report.expired++;
        return ST_OK;
    }
    bool wanted = true;
    enum status st = ST_OK;
    key.db = import->db_ids[from->db];
    if (import->merging)
        st = import_existing_meet(import, &key, from->db, &wanted, err);
    if (st != ST_OK || !wanted)
        return st;
    struct rdb_frame frame;
    st = rdb_reader_frame_value(import->turns.reader, import->turn_bytes / 2, &frame, err);
    if (st == ST_OK)
        return keep_item(worker, &key, &frame, err);
    return st == ST_NOT_FOUND ? add_value(worker, &key, err) : st;
}

static void read_note(struct import *import, struct bytes name, struct bytes value)
{
    if (bytes_equal(name, bytes_text("redis-ver")))
        (void)snprintf(
            import->report.redis_version, sizeof(import->report.redis_version), "%.*s",
            (int)(value.len < IMPORT_VERSION_CHARS_MAX ? value.len : IMPORT_VERSION_CHARS_MAX - 1),
            (const char *)value.data);
}

static enum status read_item(struct import_worker *worker, const struct rdb_item *item,
                             struct err *err)
{
    struct import *import = worker->import;
    switch (item->event) {
    case RDB_EVENT_KEY:
        return read_key(worker, &item->key, err);
    case RDB_EVENT_SELECT_DB:
        if (item->db >= import->options.db_count_max)
            return err_set(err, ST_LIMIT,
                           "RDB offset %" PRIu64 ": database %" PRIu32
                           " is one too many, at most %" PRIu32 " are allowed",
                           rdb_reader_offset(import->turns.reader), item->db,
                           import->options.db_count_max);
        import_grow_dbs(import, item->db + 1);
        return ST_OK;
    case RDB_EVENT_AUX:
        read_note(import, item->aux.name, item->aux.value);
        return ST_OK;
    case RDB_EVENT_FUNCTION:
        return import_read_library(import, item->function, err);
    case RDB_EVENT_MODULE_AUX:
        import->report.module_data++;
        return ST_OK;
    case RDB_EVENT_RESIZE_DB:
    case RDB_EVENT_SLOT_INFO:
        return ST_OK;
    }
    return ST_OK;
}

/* What follows the RDB, as in an append-only file that begins with one, would be lost. */
static enum status check_rest(struct import *import, struct rdb_reader *reader, struct err *err)
{
    size_t rest = rdb_reader_rest(reader).len;
    uint8_t more;
    struct err read_err;
    enum status st = ST_OK;
    if (rest == 0)
        st = import->options.read(import->options.read_arg, &more, 1, &rest, &read_err);
    if (st != ST_OK && err != NULL)
        *err = read_err;
    if (st == ST_OK && rest != 0)
        st = err_set(err, ST_UNSUPPORTED,
                     "RDB offset %" PRIu64 ": the RDB ends here but the input goes on (an "
                     "append-only file that begins with an RDB?)",
                     rdb_reader_offset(reader));
    return st;
}

static enum status end_of_items(struct import *import, struct err *err)
{
    struct rdb_reader *reader = import->turns.reader;
    import->report.rdb_version = rdb_reader_version(reader);
    import->report.has_checksum = rdb_reader_has_checksum(reader);
    import->report.input_bytes = rdb_reader_offset(reader);
    enum status st = check_rest(import, reader, err);
    return st == ST_OK ? ST_END : st;
}

/* False: given up. */
static bool tell_progress(struct import *import, struct err *err)
{
    uint64_t offset = rdb_reader_offset(import->turns.reader);
    if (offset < import->turns.progress_at)
        return true;
    import->turns.progress_at = offset + PROGRESS_BYTES;
    return import_report_progress(import, IMPORT_READING, offset, import->options.input_bytes,
                                  err) == ST_OK;
}

enum status import_take_items(struct import_worker *worker, struct err *err)
{
    struct import *import = worker->import;
    struct rdb_reader *reader = import->turns.reader;
    uint64_t end = rdb_reader_offset(reader) + import->turn_bytes;
    enum status st = ST_OK;
    while (st == ST_OK && rdb_reader_offset(reader) < end &&
           worker->frames.len + worker->item_count * sizeof(*worker->items) < import->turn_bytes) {
        struct rdb_item item;
        st = rdb_reader_next(reader, &item, err);
        if (st == ST_OK)
            st = read_item(worker, &item, err);
    }
    if (worker->number == 0 && (st == ST_OK || st == ST_END) && !tell_progress(import, err))
        return ST_AGAIN;
    return st == ST_END ? end_of_items(import, err) : st;
}
