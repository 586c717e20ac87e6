#include "tests/support/store_model.h"

#include <stdio.h>

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"

#define KEY_NAME_BYTES 16

void store_model_init(struct store_model *model)
{
    for (uint32_t db = 0; db < MODEL_DBS; db++) {
        model->dbs[db] = mem_calloc(MODEL_KEYS, sizeof(struct store_model_key));
        for (uint32_t key = 0; key < MODEL_KEYS; key++)
            model->dbs[db][key].expire_at_ms = MODEL_NO_EXPIRE;
    }
}

static void clear_key(struct store_model_key *key)
{
    key->live = false;
    key->expire_at_ms = MODEL_NO_EXPIRE;
    buf_deinit(&key->value);
}

static void clear_db(struct store_model_key *keys)
{
    for (uint32_t key = 0; key < MODEL_KEYS; key++)
        clear_key(&keys[key]);
}

void store_model_deinit(struct store_model *model)
{
    for (uint32_t db = 0; db < MODEL_DBS; db++) {
        clear_db(model->dbs[db]);
        mem_free(model->dbs[db]);
    }
}

static bool is_of(const struct store_model_key *key, enum object_type type)
{
    return key->live && key->type == type;
}

bool store_model_allows(const struct store_model *model, const struct op *op)
{
    const struct store_model_key *key = &model->dbs[op->db][op->key];
    bool same = op->db == op->db2 && op->key == op->key2;
    switch (op->kind) {
    case OP_SET:
    case OP_FLUSH:
    case OP_SWAP:
        return true;
    case OP_DELETE:
    case OP_EXPIRE:
        return key->live;
    case OP_SET_NUMBER:
        return is_of(key, OBJECT_STRING);
    case OP_ADD:
        return !key->live || is_of(key, OBJECT_SET);
    case OP_REMOVE:
        return is_of(key, OBJECT_SET);
    case OP_WRITE:
        return (!key->live || is_of(key, OBJECT_STRING)) && op->len != 0 &&
               (size_t)op->at + op->len <= MODEL_VALUE_BYTES;
    case OP_GROW:
        return (!key->live || is_of(key, OBJECT_STRING)) && op->at <= MODEL_VALUE_BYTES;
    case OP_RENAME:
    case OP_COPY:
        return key->live && !same;
    }
    return false;
}

static void grow_value(struct store_model_key *key, size_t len)
{
    if (key->value.len >= len)
        return;
    size_t added = len - key->value.len;
    memset(buf_reserve(&key->value, added), 0, added);
    key->value.len += added;
}

static void write_value(struct store_model_key *key, const struct op *op)
{
    struct buf data = {0};
    store_model_value(op, &data);
    grow_value(key, op->at + data.len);
    memcpy(key->value.data + op->at, data.data, data.len);
    buf_deinit(&data);
}

static void change_set(struct store_model_key *key, const struct op *op)
{
    uint16_t members[MODEL_OP_MEMBERS];
    uint32_t count = store_model_members(op, members);
    if (!key->live) {
        key->live = true;
        key->type = OBJECT_SET;
        grow_value(key, MODEL_MEMBERS);
    }
    for (uint32_t i = 0; i < count; i++)
        key->value.data[members[i]] = op->kind == OP_ADD;
    if (memchr(key->value.data, 1, key->value.len) == NULL)
        clear_key(key);
}

static void make_string(struct store_model_key *key)
{
    key->live = true;
    key->type = OBJECT_STRING;
}

static void copy_key(struct store_model_key *to, const struct store_model_key *from)
{
    clear_key(to);
    to->live = true;
    to->type = from->type;
    to->expire_at_ms = from->expire_at_ms;
    buf_append_bytes(&to->value, buf_bytes(&from->value));
}

void store_model_apply(struct store_model *model, const struct op *op)
{
    struct store_model_key *key = &model->dbs[op->db][op->key];
    struct store_model_key *to = &model->dbs[op->db2][op->key2];
    CHECK(store_model_allows(model, op));
    switch (op->kind) {
    case OP_SET:
        clear_key(key);
        make_string(key);
        store_model_value(op, &key->value);
        break;
    case OP_SET_NUMBER:
        buf_clear(&key->value);
        buf_append_format(&key->value, "%u", op->seed);
        break;
    case OP_WRITE:
        make_string(key);
        write_value(key, op);
        break;
    case OP_GROW:
        make_string(key);
        grow_value(key, op->at);
        break;
    case OP_ADD:
    case OP_REMOVE:
        change_set(key, op);
        break;
    case OP_DELETE:
        clear_key(key);
        break;
    case OP_EXPIRE:
        key->expire_at_ms = op->when_ms;
        break;
    case OP_RENAME:
        copy_key(to, key);
        clear_key(key);
        break;
    case OP_COPY:
        copy_key(to, key);
        break;
    case OP_FLUSH:
        clear_db(model->dbs[op->db]);
        break;
    case OP_SWAP: {
        struct store_model_key *keys = model->dbs[op->db];
        model->dbs[op->db] = model->dbs[op->db2];
        model->dbs[op->db2] = keys;
        break;
    }
    }
}

uint64_t store_model_size(const struct store_model *model, uint32_t db)
{
    uint64_t count = 0;
    for (uint32_t key = 0; key < MODEL_KEYS; key++)
        count += model->dbs[db][key].live;
    return count;
}

uint64_t store_model_expires(const struct store_model *model, uint32_t db)
{
    uint64_t count = 0;
    for (uint32_t key = 0; key < MODEL_KEYS; key++)
        count += model->dbs[db][key].live && model->dbs[db][key].expire_at_ms != MODEL_NO_EXPIRE;
    return count;
}

/* Some are numbers, some have long rows of zeros (which chunks do not store). */
void store_model_value(const struct op *op, struct buf *out)
{
    uint64_t state = op->seed;
    if (op->len <= 18 && op->seed % 4 == 0) {
        for (uint32_t i = 0; i < op->len; i++)
            buf_append_byte(out, (uint8_t)('1' + store_model_below(&state, 9)));
        return;
    }
    uint8_t *at = buf_reserve(out, op->len);
    for (uint32_t i = 0; i < op->len;) {
        bool zeros = store_model_below(&state, 4) == 0;
        uint32_t end = i + 1 + store_model_below(&state, 200);
        for (; i < end && i < op->len; i++)
            at[i] = zeros ? 0 : (uint8_t)store_model_random(&state);
    }
    out->len += op->len;
}

uint32_t store_model_members(const struct op *op, uint16_t members[MODEL_OP_MEMBERS])
{
    uint64_t state = op->seed;
    uint32_t limit = op->seed % 3 == 0 ? 100 : MODEL_MEMBERS;
    uint32_t count = 1 + op->len % MODEL_OP_MEMBERS;
    for (uint32_t i = 0; i < count; i++)
        members[i] = (uint16_t)store_model_below(&state, limit);
    return count;
}

struct bytes store_model_member_name(uint32_t member)
{
    static char names[MODEL_MEMBERS][KEY_NAME_BYTES];
    CHECK(member < MODEL_MEMBERS);
    if (names[member][0] == '\0')
        (void)snprintf(names[member], KEY_NAME_BYTES, member < 100 ? "%u" : "member:%u", member);
    return bytes_text(names[member]);
}

uint32_t store_model_member_of(struct bytes name)
{
    for (uint32_t member = 0; member < MODEL_MEMBERS; member++)
        if (bytes_equal(store_model_member_name(member), name))
            return member;
    return MODEL_MEMBERS;
}

bool store_model_has(const struct store_model_key *key, uint32_t member)
{
    return member < key->value.len && key->value.data[member] != 0;
}

struct bytes store_model_key_name(uint32_t key)
{
    static char names[MODEL_KEYS][KEY_NAME_BYTES];
    CHECK(key < MODEL_KEYS);
    if (names[key][0] == '\0')
        (void)snprintf(names[key], KEY_NAME_BYTES, key % 2 == 0 ? "key:%03u" : "{tag}:%03u", key);
    return bytes_text(names[key]);
}

uint32_t store_model_key_of(struct bytes name)
{
    if (name.len < 3)
        return MODEL_KEYS;
    uint64_t key = 0;
    for (size_t i = name.len - 3; i < name.len; i++)
        key = key * 10 + (uint64_t)(name.data[i] - '0');
    if (key >= MODEL_KEYS || !bytes_equal(store_model_key_name((uint32_t)key), name))
        return MODEL_KEYS;
    return (uint32_t)key;
}
