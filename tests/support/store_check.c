#include "tests/support/store_check.h"

#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/meta.h"
#include "storage/object_value.h"
#include "storage/tier.h"
#include "storage/types/members.h"
#include "storage/types/set.h"
#include "tests/support/harness.h"

/* ---- RAM. */

struct db_sums {
    size_t bytes, dirty_bytes;
    uint64_t resident, expires, unresolved, dirty;
};

static void sum_object(const struct keyspace *ks, const struct db *db, const struct object *o,
                       struct db_sums *sums)
{
    sums->bytes += ks_object_bytes(o);
    sums->unresolved += o->unresolved;
    if (object_is_live(o)) {
        sums->resident++;
        sums->expires += object_has_expire(o);
    } else {
        assert_false(object_has_expire(o));
        assert_int_equal(o->encoding, ENCODING_NONE);
        assert_true(o->state != OBJECT_CLEAN);
    }
    if (o->state == ks->dirty_state) {
        assert_true(o->list_index < db->dirty.count);
        assert_ptr_equal(db->dirty.items[o->list_index], o);
        sums->dirty++;
        sums->dirty_bytes += offsetof(struct object, key) + o->key_len;
        if (o->encoding == ENCODING_INLINE)
            sums->dirty_bytes += o->value.inline_len;
        else if (object_is_live(o))
            sums->dirty_bytes += object_value_dirty_bytes(o);
    }
}

static void check_db(struct keyspace *ks, const struct db *db)
{
    struct db_sums sums = {0};
    struct object *objects[1024];
    uint64_t walked = 0;
    for (uint64_t position = 0; position < TABLE_POSITION_LIMIT;) {
        size_t count = table_walk(db->table, position, objects, 1024, &position);
        assert_true(count <= 1024);
        for (size_t i = 0; i < count; i++)
            sum_object(ks, db, objects[i], &sums);
        walked += count;
    }
    assert_int_equal(walked, table_count(db->table));
    assert_int_equal(sums.bytes, db->object_bytes);
    assert_int_equal(sums.resident, db->resident);
    assert_int_equal(sums.expires, db->resident_expires);
    assert_int_equal(sums.unresolved, db->unresolved);
    assert_int_equal(sums.dirty, db->dirty.live);
    assert_int_equal(sums.dirty_bytes, db->dirty.bytes);
    uint64_t cold = 0;
    for (uint32_t type = 0; type < OBJECT_TYPE_COUNT; type++)
        cold += db->cold[type];
    assert_int_equal(cold, db->cold_count);
    assert_true(db->cold_expires <= db->cold_count);
}

void store_check_keyspace(struct keyspace *ks)
{
    size_t bytes = 0;
    size_t dirty_bytes = 0;
    for (uint32_t i = 0; i < ks->db_count; i++) {
        check_db(ks, ks->dbs[i]);
        bytes += ks->dbs[i]->object_bytes;
        dirty_bytes += ks->dbs[i]->dirty.bytes;
    }
    assert_int_equal(bytes, ks->object_bytes);
    assert_int_equal(dirty_bytes, ks->dirty_bytes);
}

void store_check_sizes(struct keyspace *ks, const struct store_model *model)
{
    for (uint32_t i = 0; i < MODEL_DBS; i++) {
        const struct db *db = ks->dbs[i];
        assert_int_equal(db->unresolved, 0);
        assert_int_equal(db_size(db), store_model_size(model, i));
        assert_int_equal(db->resident_expires + db->cold_expires, store_model_expires(model, i));
    }
}

/* A set as a model has it. */
static void add_member(struct bytes name, struct buf *value)
{
    uint32_t member = store_model_member_of(name);
    assert_true(member < MODEL_MEMBERS);
    assert_int_equal(value->data[member], 0);
    value->data[member] = 1;
}

static void init_set_value(struct buf *value)
{
    memset(buf_reserve(value, MODEL_MEMBERS), 0, MODEL_MEMBERS);
    value->len = MODEL_MEMBERS;
}

static void set_value(const struct object *o, struct buf *value)
{
    struct set_iter iter;
    struct bytes member;
    uint64_t count = 0;
    init_set_value(value);
    set_iter_init(&iter, o);
    for (; set_iter_next(&iter, &member); count++)
        add_member(member, value);
    assert_int_equal(count, set_count(o));
}

void store_check_object(const struct object *o, const struct store_model_key *key)
{
    assert_true(key->live);
    assert_true(object_is_live(o));
    assert_int_equal(o->type, key->type);
    assert_int_equal(o->expire_at_ms, key->expire_at_ms);
    struct buf value = {0};
    if (o->type == OBJECT_SET)
        set_value(o, &value);
    else
        string_append_to(o, &value);
    assert_bytes(buf_bytes(&value), buf_bytes(&key->value));
    buf_deinit(&value);
}

/* ---- Disk. */

/* The earliest index entry of each key of a database. */
struct disk_index {
    int64_t when_ms[MODEL_DBS][MODEL_KEYS];
};

struct disk_check {
    struct store *store;
    const struct store_model *model;
    struct meta_state state;
    struct disk_index index;
    uint64_t *object_ids; /* of live large records */
    size_t object_count;
    uint64_t keys[MODEL_DBS][OBJECT_TYPE_COUNT];
    uint64_t expires[MODEL_DBS];
    bool found[MODEL_DBS][MODEL_KEYS];
};

static uint32_t db_number(const struct meta_state *state, uint32_t id)
{
    for (uint32_t i = 0; i < state->db_count; i++)
        if (state->dbs[i].id == id)
            return i;
    return UINT32_MAX;
}

static void read_index(struct disk_check *check)
{
    for (uint32_t db = 0; db < MODEL_DBS; db++)
        for (uint32_t key = 0; key < MODEL_KEYS; key++)
            check->index.when_ms[db][key] = INT64_MAX;
    struct cold_iter *iter = cold_iter_create(store_cold(check->store), FAMILY_EXPIRES, NULL);
    for (cold_iter_seek_first(iter); cold_iter_valid(iter); cold_iter_next(iter)) {
        int64_t when_ms = 0;
        struct bytes record_key;
        struct bytes name;
        uint32_t db_id = 0;
        uint64_t position = 0;
        assert_true(record_expires_key_decode(cold_iter_key(iter), &when_ms, &record_key));
        assert_true(record_key_decode(record_key, &db_id, &position, &name));
        uint32_t db = db_number(&check->state, db_id);
        uint32_t key = store_model_key_of(name);
        assert_true(key < MODEL_KEYS);
        if (db < MODEL_DBS && when_ms < check->index.when_ms[db][key])
            check->index.when_ms[db][key] = when_ms;
    }
    assert_ok(cold_iter_status(iter, NULL), NULL);
    cold_iter_destroy(iter);
}

static void note_object(struct disk_check *check, uint64_t object_id)
{
    check->object_ids =
        mem_realloc(check->object_ids, (check->object_count + 1) * sizeof(uint64_t));
    check->object_ids[check->object_count++] = object_id;
}

static void check_large_string(struct disk_check *check, struct bytes payload,
                               struct bytes expected)
{
    struct record_large_string large;
    assert_ok(record_large_string_decode(payload, &large), NULL);
    assert_int_equal(large.len, expected.len);
    note_object(check, large.object_id);
    struct buf value = {0};
    struct buf chunk = {0};
    for (uint32_t i = 0; (uint64_t)i * large.chunk_bytes < large.len; i++) {
        uint8_t key[RECORD_CHUNK_KEY_BYTES];
        record_chunk_key_encode(large.object_id, i, key);
        enum status st = cold_get(store_cold(check->store), FAMILY_STRING,
                                  bytes_make(key, sizeof(key)), &chunk, NULL);
        assert_true(st == ST_OK || st == ST_NOT_FOUND);
        assert_true(chunk.len <= large.chunk_bytes);
        memset(buf_reserve(&value, large.chunk_bytes), 0, large.chunk_bytes);
        if (chunk.len != 0)
            memcpy(value.data + value.len, chunk.data, chunk.len);
        value.len += large.chunk_bytes;
    }
    assert_bytes(bytes_make(value.data, large.len), expected);
    buf_deinit(&value);
    buf_deinit(&chunk);
}

static void check_large_set(struct disk_check *check, struct bytes payload, struct bytes expected)
{
    uint8_t lower[RECORD_ELEMENT_PREFIX_BYTES];
    uint8_t upper[RECORD_ELEMENT_PREFIX_BYTES];
    struct buf value = {0};
    uint64_t count = 0;
    uint64_t found = 0;
    assert_true(payload.len > RECORD_LARGE_ID_BYTES);
    uint64_t object_id = load_le64(payload.data);
    payload = bytes_make(payload.data + RECORD_LARGE_ID_BYTES, payload.len - RECORD_LARGE_ID_BYTES);
    assert_true(varint_decode(payload, &count) != 0);
    note_object(check, object_id);
    init_set_value(&value);
    record_element_prefix_encode(object_id, lower);
    record_element_prefix_encode(object_id + 1, upper);
    struct cold_iter_options options = {.lower = bytes_make(lower, sizeof(lower)),
                                        .upper = bytes_make(upper, sizeof(upper))};
    struct cold_iter *iter = cold_iter_create(store_cold(check->store), FAMILY_SET, &options);
    for (cold_iter_seek(iter, options.lower); cold_iter_valid(iter); cold_iter_next(iter)) {
        struct bytes key = cold_iter_key(iter);
        size_t prefix = RECORD_ELEMENT_PREFIX_BYTES + MEMBER_ELEMENT_PREFIX_BYTES;
        assert_true(key.len > prefix);
        add_member(bytes_make(key.data + prefix, key.len - prefix), &value);
        found++;
    }
    assert_ok(cold_iter_status(iter, NULL), NULL);
    cold_iter_destroy(iter);
    assert_bytes(buf_bytes(&value), expected);
    assert_int_equal(found, count);
    buf_deinit(&value);
}

static void check_small_set(struct disk_check *check, const struct record_header *header,
                            struct bytes payload, struct bytes expected)
{
    struct keyspace *ks = store_keyspace(check->store);
    struct object o = {.type = OBJECT_SET};
    struct buf value = {0};
    assert_ok(set_value_type.decode(&o, header, payload, ks_value_rules(ks)), NULL);
    set_value(&o, &value);
    assert_bytes(buf_bytes(&value), expected);
    set_clear(&o);
    buf_deinit(&value);
}

static void check_value(struct disk_check *check, const struct record_header *header,
                        struct bytes payload, const struct store_model_key *expected)
{
    struct bytes value = buf_bytes(&expected->value);
    if (expected->type == OBJECT_SET && header->large)
        check_large_set(check, payload, value);
    else if (expected->type == OBJECT_SET)
        check_small_set(check, header, payload, value);
    else if (header->large)
        check_large_string(check, payload, value);
    else
        assert_bytes(payload, value);
}

static void check_record(struct disk_check *check, uint32_t db, enum object_type type,
                         struct bytes name, struct bytes value)
{
    uint32_t key = store_model_key_of(name);
    assert_true(key < MODEL_KEYS);
    const struct store_model_key *expected = &check->model->dbs[db][key];
    if (!expected->live)
        print_error("database %u has %.*s on disk\n", db, (int)name.len, (const char *)name.data);
    assert_true(expected->live);
    assert_int_equal(type, expected->type);
    struct record_header header;
    struct bytes payload;
    assert_ok(record_header_decode(value, &header, &payload), NULL);
    assert_int_equal(header.has_expire, expected->expire_at_ms != MODEL_NO_EXPIRE);
    check->keys[db][type]++;
    check->found[db][key] = true;
    if (header.has_expire) {
        check->expires[db]++;
        assert_int_equal(header.expire_at_ms, expected->expire_at_ms);
        assert_true(check->index.when_ms[db][key] <= header.expire_at_ms);
    }
    check_value(check, &header, payload, expected);
}

static void print_missing(const struct disk_check *check)
{
    for (uint32_t db = 0; db < MODEL_DBS; db++)
        for (uint32_t key = 0; key < MODEL_KEYS; key++)
            if (check->model->dbs[db][key].live && !check->found[db][key])
                print_error("database %u lacks %s on disk\n", db,
                            (const char *)store_model_key_name(key).data);
}

static void check_family(struct disk_check *check, enum object_type type, bool reaped)
{
    struct cold_iter *iter = cold_iter_create(store_cold(check->store), loader_family(type), NULL);
    for (cold_iter_seek_first(iter); cold_iter_valid(iter); cold_iter_next(iter)) {
        uint32_t db_id = 0;
        uint64_t position = 0;
        struct bytes name;
        if (!record_key_decode(cold_iter_key(iter), &db_id, &position, &name))
            break; /* elements stand behind all records */
        uint32_t db = db_number(&check->state, db_id);
        if (db < MODEL_DBS)
            check_record(check, db, type, name, cold_iter_value(iter));
        else
            assert_false(reaped);
    }
    assert_ok(cold_iter_status(iter, NULL), NULL);
    cold_iter_destroy(iter);
}

static void check_records(struct disk_check *check, bool reaped)
{
    check_family(check, OBJECT_STRING, reaped);
    check_family(check, OBJECT_SET, reaped);
    print_missing(check);
    for (uint32_t db = 0; db < MODEL_DBS; db++) {
        const uint64_t *keys = check->keys[db];
        assert_int_equal(keys[OBJECT_STRING] + keys[OBJECT_SET],
                         store_model_size(check->model, db));
        if (check->state.db_count == 0)
            continue;
        for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
            assert_int_equal(keys[type], check->state.dbs[db].keys[type]);
        assert_int_equal(check->expires[db], check->state.dbs[db].expires);
    }
}

static bool is_known_object(const struct disk_check *check, uint64_t object_id)
{
    for (size_t i = 0; i < check->object_count; i++)
        if (check->object_ids[i] == object_id)
            return true;
    return false;
}

static void check_elements(const struct disk_check *check, enum object_type type)
{
    uint8_t lower[RECORD_ELEMENT_PREFIX_BYTES];
    record_element_prefix_encode(0, lower);
    struct cold_iter *iter = cold_iter_create(store_cold(check->store), loader_family(type), NULL);
    for (cold_iter_seek(iter, bytes_make(lower, sizeof(lower))); cold_iter_valid(iter);
         cold_iter_next(iter)) {
        struct bytes key = cold_iter_key(iter);
        assert_true(record_is_element_key(key));
        uint64_t object_id = load_be64(key.data + RECORD_DB_ID_BYTES);
        if (!is_known_object(check, object_id))
            fail_msg("an element of %s %llu belongs to no key", object_type_name(type),
                     (unsigned long long)object_id);
    }
    assert_ok(cold_iter_status(iter, NULL), NULL);
    cold_iter_destroy(iter);
}

void store_check_disk(struct store *store, const struct store_model *model, bool reaped)
{
    struct disk_check *check = mem_calloc(1, sizeof(*check));
    struct err err;
    check->store = store;
    check->model = model;
    enum status st = meta_read_state(store_cold(store), &check->state, &err);
    if (st != ST_NOT_FOUND) { /* before the first cut there is none */
        assert_ok(st, &err);
        assert_int_equal(check->state.db_count, MODEL_DBS);
        read_index(check);
    }
    check_records(check, reaped);
    if (reaped) {
        check_elements(check, OBJECT_STRING);
        check_elements(check, OBJECT_SET);
    }
    mem_free(check->object_ids);
    meta_state_deinit(&check->state);
    mem_free(check);
}

bool store_has_reap_notes(struct store *store)
{
    struct cold_iter_options options = {.lower = bytes_text("r"), .upper = bytes_text("s")};
    struct cold_iter *iter = cold_iter_create(store_cold(store), FAMILY_META, &options);
    cold_iter_seek(iter, options.lower);
    bool found = cold_iter_valid(iter);
    cold_iter_destroy(iter);
    return found;
}
