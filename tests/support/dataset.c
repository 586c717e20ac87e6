#include "tests/support/dataset.h"

#include <stdio.h>

#include "codec/mem.h"
#include "codec/rdb_write.h"
#include "storage/cold.h"
#include "storage/env.h"
#include "tests/support/byte_source.h"
#include "tests/support/harness.h"

/* ---- RDB files ---- */

static enum status append_output(void *arg, struct bytes data, struct err *err)
{
    (void)err;
    buf_append_bytes(arg, data);
    return ST_OK;
}

void rdb_file_begin(struct rdb_file *file)
{
    *file = (struct rdb_file){.writer = NULL};
    struct rdb_writer_options options = {.write = append_output, .write_arg = &file->bytes};
    file->writer = rdb_writer_create(&options);
    rdb_writer_put_aux(file->writer, "redis-ver", bytes_text("7.2.4"));
}

void rdb_file_select(struct rdb_file *file, uint32_t db)
{
    rdb_writer_put_select_db(file->writer, db);
}

static struct rdb_key make_key(struct bytes name, uint8_t type, int64_t expire_at_ms)
{
    return (struct rdb_key){.name = name,
                            .type = type,
                            .has_expire = expire_at_ms != 0,
                            .expire_at_ms = expire_at_ms,
                            .idle_s = -1,
                            .freq = -1};
}

void rdb_file_put(struct rdb_file *file, struct bytes key, struct bytes value, int64_t expire_at_ms)
{
    struct rdb_key rdb_key = make_key(key, RDB_TYPE_STRING, expire_at_ms);
    rdb_writer_put_string(file->writer, &rdb_key, value);
}

void rdb_file_put_raw(struct rdb_file *file, const char *key, uint8_t type, struct bytes raw)
{
    struct rdb_key rdb_key = make_key(bytes_text(key), type, 0);
    rdb_writer_put_raw(file->writer, &rdb_key, raw);
}

void rdb_file_end(struct rdb_file *file)
{
    struct err err;
    assert_ok(rdb_writer_finish(file->writer, &err), &err);
    rdb_writer_destroy(file->writer);
    file->writer = NULL;
}

void rdb_file_deinit(struct rdb_file *file)
{
    rdb_writer_destroy(file->writer);
    buf_deinit(&file->bytes);
}

/* ---- Import ---- */

enum status dataset_import(const struct import_options *options, struct bytes rdb,
                           struct import_report *report_out, struct err *err)
{
    struct byte_source source = {.data = rdb};
    struct import_options o = *options;
    struct import *import = NULL;
    bool placed = false;
    o.env = o.env != NULL ? o.env : env_posix();
    o.read = byte_source_read;
    o.read_arg = &source;
    o.input_bytes = rdb.len;
    enum status st = import_open(&o, &import, err);
    if (st == ST_OK)
        st = import_read(import, err);
    if (st == ST_OK)
        st = import_publish(import, &placed, err);
    if (import != NULL && report_out != NULL)
        *report_out = *import_report(import);
    import_close(import);
    return st;
}

/* ---- What is there ---- */

void dataset_open(struct dataset *dataset, const char *dir)
{
    struct err err;
    struct buf path = {0};
    *dataset = (struct dataset){.cold = NULL};
    buf_append_format(&path, "%s/rocksdb", dir);
    buf_append_byte(&path, 0);
    struct cold_options options = {.dir = (const char *)path.data,
                                   .must_exist = true,
                                   .block_cache_bytes = COLD_BLOCK_CACHE_BYTES_MIN,
                                   .write_buffer_bytes = COLD_WRITE_BUFFER_BYTES_MIN};
    assert_ok(cold_open(&options, &dataset->cold, &err), &err);
    buf_deinit(&path);
    assert_ok(meta_read_identity(dataset->cold, &dataset->identity, &err), &err);
    assert_ok(meta_read_state(dataset->cold, &dataset->state, &err), &err);
}

void dataset_close(struct dataset *dataset)
{
    meta_state_deinit(&dataset->state);
    cold_close(dataset->cold);
    dataset->cold = NULL;
}

static void read_chunks(struct dataset *dataset, const struct record_large_string *large,
                        struct buf *text_out)
{
    struct buf chunk = {0};
    struct err err;
    for (uint64_t at = 0; at < large->len; at += large->chunk_bytes) {
        uint8_t key[RECORD_CHUNK_KEY_BYTES];
        record_chunk_key_encode(large->object_id, (uint32_t)(at / large->chunk_bytes), key);
        enum status st =
            cold_get(dataset->cold, FAMILY_STRING, bytes_make(key, sizeof(key)), &chunk, &err);
        assert_true(st == ST_OK || st == ST_NOT_FOUND);
        size_t len =
            large->len - at < large->chunk_bytes ? (size_t)(large->len - at) : large->chunk_bytes;
        assert_true(chunk.len <= len);
        size_t zeros = len - chunk.len;
        buf_append_bytes(text_out, buf_bytes(&chunk));
        memset(buf_reserve(text_out, zeros), 0, zeros);
        text_out->len += zeros;
    }
    buf_deinit(&chunk);
}

bool dataset_read(struct dataset *dataset, uint32_t db, struct bytes key, struct buf *text_out,
                  struct record_header *header_out)
{
    assert_true(db < dataset->state.db_count);
    struct buf place = {0};
    struct buf value = {0};
    struct err err;
    place.len = record_key_encode(dataset->state.dbs[db].id,
                                  record_position(dataset->identity.hash_seed, key), key,
                                  buf_reserve(&place, record_key_bytes(key.len)));
    enum status st = cold_get(dataset->cold, FAMILY_STRING, buf_bytes(&place), &value, &err);
    buf_deinit(&place);
    if (st == ST_OK) {
        struct bytes payload;
        assert_ok(record_header_decode(buf_bytes(&value), header_out, &payload), NULL);
        buf_clear(text_out);
        struct record_large_string large;
        if (header_out->large) {
            assert_ok(record_large_string_decode(payload, &large), NULL);
            read_chunks(dataset, &large, text_out);
        } else {
            buf_append_bytes(text_out, payload);
        }
    } else {
        assert_status(st, ST_NOT_FOUND);
    }
    buf_deinit(&value);
    return st == ST_OK;
}

void dataset_assert(struct dataset *dataset, uint32_t db, struct bytes key, struct bytes value,
                    int64_t expire_at_ms)
{
    struct buf text = {0};
    struct record_header header;
    if (!dataset_read(dataset, db, key, &text, &header))
        fail_msg("key %.*s is not there", (int)key.len, (const char *)key.data);
    assert_bytes(buf_bytes(&text), value);
    assert_int_equal(header.has_expire, expire_at_ms != 0);
    assert_int_equal(header.expire_at_ms, expire_at_ms);
    buf_deinit(&text);
}

/* ---- Walking ---- */

struct walk {
    struct dataset *dataset;
    struct import_db *dbs; /* owned: counted */
    struct buf large;      /* struct record_large_string of each record that has one */
    uint64_t keys;
};

static void check_index(struct walk *walk, struct bytes record_key, int64_t expire_at_ms)
{
    struct buf key = {0};
    struct buf value = {0};
    key.len = record_expires_key_encode(
        expire_at_ms, record_key, buf_reserve(&key, RECORD_EXPIRES_PREFIX_BYTES + record_key.len));
    struct err err;
    assert_ok(cold_get(walk->dataset->cold, FAMILY_EXPIRES, buf_bytes(&key), &value, &err), &err);
    buf_deinit(&key);
    buf_deinit(&value);
}

static void check_record(struct walk *walk, struct bytes key, struct bytes value)
{
    uint32_t db_id;
    uint64_t position;
    struct bytes name;
    struct record_header header;
    struct bytes payload;
    assert_true(record_key_decode(key, &db_id, &position, &name));
    assert_true(position == record_position(walk->dataset->identity.hash_seed, name));
    assert_ok(record_header_decode(value, &header, &payload), NULL);
    uint32_t number = 0;
    while (number < walk->dataset->state.db_count && walk->dataset->state.dbs[number].id != db_id)
        number++;
    assert_true(number < walk->dataset->state.db_count);
    walk->dbs[number].keys++;
    walk->dbs[number].expires += header.has_expire;
    walk->keys++;
    if (header.has_expire)
        check_index(walk, key, header.expire_at_ms);
    struct record_large_string large;
    if (header.large) {
        assert_ok(record_large_string_decode(payload, &large), NULL);
        assert_true(large.object_id < walk->dataset->state.next_object_id);
        buf_append(&walk->large, &large, sizeof(large));
    }
}

static bool is_to_be_reaped(struct walk *walk, uint64_t object_id)
{
    uint8_t key[META_REAP_KEY_BYTES];
    struct buf value = {0};
    struct err err;
    meta_reap_key(META_REAP_OBJECT, OBJECT_STRING, object_id, key);
    enum status st =
        cold_get(walk->dataset->cold, FAMILY_META, bytes_make(key, sizeof(key)), &value, &err);
    buf_deinit(&value);
    return st == ST_OK;
}

static void check_chunk(struct walk *walk, struct bytes key)
{
    uint64_t object_id;
    uint32_t index;
    assert_true(record_chunk_key_decode(key, &object_id, &index));
    for (size_t at = 0; at < walk->large.len; at += sizeof(struct record_large_string)) {
        struct record_large_string large;
        memcpy(&large, walk->large.data + at, sizeof(large));
        if (large.object_id == object_id) {
            assert_true((uint64_t)index * large.chunk_bytes < large.len);
            return;
        }
    }
    assert_true(is_to_be_reaped(walk, object_id));
}

uint64_t dataset_check(struct dataset *dataset)
{
    struct walk walk = {.dataset = dataset,
                        .dbs = mem_calloc(dataset->state.db_count, sizeof(*walk.dbs))};
    struct err err;
    struct cold_iter *iter = cold_iter_create(dataset->cold, FAMILY_STRING, NULL);
    for (cold_iter_seek_first(iter); cold_iter_valid(iter); cold_iter_next(iter)) {
        if (record_is_element_key(cold_iter_key(iter)))
            check_chunk(&walk, cold_iter_key(iter)); /* behind all records */
        else
            check_record(&walk, cold_iter_key(iter), cold_iter_value(iter));
    }
    assert_ok(cold_iter_status(iter, &err), &err);
    cold_iter_destroy(iter);
    for (uint32_t i = 0; i < dataset->state.db_count; i++) {
        assert_int_equal(walk.dbs[i].keys, dataset->state.dbs[i].keys[OBJECT_STRING]);
        assert_int_equal(walk.dbs[i].expires, dataset->state.dbs[i].expires);
    }
    mem_free(walk.dbs);
    buf_deinit(&walk.large);
    return walk.keys;
}
