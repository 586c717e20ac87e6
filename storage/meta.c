#include "storage/meta.h"

#include "codec/check.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/env.h"

#define IDENTITY_KEY "identity"
#define STATE_KEY    "state"
#define BOOT_KEY     "boot"

static struct bytes identity_key(void)
{
    return bytes_text(IDENTITY_KEY);
}

static struct bytes state_key(void)
{
    return bytes_text(STATE_KEY);
}

static void append_varint(struct buf *buf, uint64_t value)
{
    buf->len += varint_encode(value, buf_reserve(buf, VARINT_BYTES_MAX));
}

static bool take_varint(struct bytes *from, uint64_t *value_out)
{
    size_t len = varint_decode(*from, value_out);
    from->data += len;
    from->len -= len;
    return len != 0;
}

/* Checks the first byte, the format's version, and drops it. */
static enum status take_version(struct bytes *from, const char *what, struct err *err)
{
    if (from->len == 0)
        return err_set(err, ST_CORRUPT, "meta record \"%s\" is empty", what);
    if (from->data[0] != META_FORMAT_VERSION)
        return err_set(err, ST_UNSUPPORTED,
                       "the data directory has format version %u, this server knows version %d",
                       from->data[0], META_FORMAT_VERSION);
    from->data++;
    from->len--;
    return ST_OK;
}

enum status meta_read_identity(struct cold *cold, struct meta_identity *out, struct err *err)
{
    struct buf value = {0};
    enum status st = cold_get(cold, FAMILY_META, identity_key(), &value, err);
    struct bytes rest = buf_bytes(&value);
    if (st == ST_OK)
        st = take_version(&rest, IDENTITY_KEY, err);
    if (st == ST_OK && rest.len != 8 + 40)
        st = err_set(err, ST_CORRUPT, "meta record \"%s\" has %zu bytes instead of 48",
                     IDENTITY_KEY, rest.len);
    if (st == ST_OK) {
        out->hash_seed = load_le64(rest.data);
        memcpy(out->replication_id, rest.data + 8, 40);
        out->replication_id[40] = '\0';
    }
    buf_deinit(&value);
    return st;
}

void meta_renew_replication_id(struct env *env, struct meta_identity *identity)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[20];
    env->random_bytes(env, random, sizeof(random));
    for (int i = 0; i < 40; i++)
        identity->replication_id[i] = digits[random[i / 2] >> (i % 2 * 4) & 15];
    identity->replication_id[40] = '\0';
}

void meta_make_identity(struct env *env, struct meta_identity *out)
{
    uint8_t random[8];
    env->random_bytes(env, random, sizeof(random));
    memcpy(&out->hash_seed, random, 8);
    meta_renew_replication_id(env, out);
}

enum status meta_read_boot(struct cold *cold, struct buf *out, struct err *err)
{
    struct buf value = {0};
    enum status st = cold_get(cold, FAMILY_META, bytes_text(BOOT_KEY), &value, err);
    struct bytes rest = buf_bytes(&value);
    if (st == ST_OK)
        st = take_version(&rest, BOOT_KEY, err);
    if (st == ST_OK)
        buf_append_bytes(out, rest);
    buf_deinit(&value);
    return st;
}

void meta_put_boot(struct cold_batch *batch, struct bytes boot)
{
    struct buf value = {0};
    buf_append_byte(&value, META_FORMAT_VERSION);
    buf_append_bytes(&value, boot);
    cold_batch_put(batch, FAMILY_META, bytes_text(BOOT_KEY), buf_bytes(&value));
    buf_deinit(&value);
}

void meta_put_identity(struct cold_batch *batch, const struct meta_identity *identity)
{
    uint8_t value[1 + 8 + 40];
    value[0] = META_FORMAT_VERSION;
    store_le64(value + 1, identity->hash_seed);
    memcpy(value + 9, identity->replication_id, 40);
    cold_batch_put(batch, FAMILY_META, identity_key(), bytes_make(value, sizeof(value)));
}

static bool take_db(struct bytes *rest, struct meta_db *db)
{
    uint64_t id = 0;
    if (!take_varint(rest, &id) || id >= RECORD_ELEMENT_DB_ID)
        return false;
    db->id = (uint32_t)id;
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        if (!take_varint(rest, &db->keys[type]))
            return false;
    return take_varint(rest, &db->expires);
}

enum status meta_read_state_at(struct cold *cold, const struct cold_snapshot *snapshot,
                               struct meta_state *out, struct err *err)
{
    struct buf value = {0};
    struct meta_state state = {0};
    enum status st = snapshot == NULL
                         ? cold_get(cold, FAMILY_META, state_key(), &value, err)
                         : cold_get_at(cold, snapshot, FAMILY_META, state_key(), &value, err);
    struct bytes rest = buf_bytes(&value);
    if (st == ST_OK)
        st = take_version(&rest, STATE_KEY, err);
    if (st != ST_OK)
        goto out;
    uint64_t next_db_id = 0;
    uint64_t db_count = 0;
    bool good = take_varint(&rest, &state.cut_offset) && take_varint(&rest, &next_db_id) &&
                take_varint(&rest, &state.next_object_id) && take_varint(&rest, &db_count) &&
                next_db_id < RECORD_ELEMENT_DB_ID && db_count >= 1 && db_count <= META_DB_COUNT_MAX;
    if (good) {
        state.next_db_id = (uint32_t)next_db_id;
        state.db_count = (uint32_t)db_count;
        state.dbs = mem_calloc(db_count, sizeof(*state.dbs));
        for (uint32_t i = 0; i < state.db_count && good; i++)
            good = take_db(&rest, &state.dbs[i]);
    }
    if (!good || rest.len != 0) {
        st = err_set(err, ST_CORRUPT, "meta record \"%s\" is damaged at byte %zu of %zu", STATE_KEY,
                     value.len - rest.len, value.len);
        meta_state_deinit(&state);
        goto out;
    }
    *out = state;
out:
    buf_deinit(&value);
    return st;
}

enum status meta_read_state(struct cold *cold, struct meta_state *out, struct err *err)
{
    return meta_read_state_at(cold, NULL, out, err);
}

void meta_put_state(struct cold_batch *batch, const struct meta_state *state)
{
    struct buf value = {0};
    buf_append_byte(&value, META_FORMAT_VERSION);
    append_varint(&value, state->cut_offset);
    append_varint(&value, state->next_db_id);
    append_varint(&value, state->next_object_id);
    append_varint(&value, state->db_count);
    for (uint32_t i = 0; i < state->db_count; i++) {
        append_varint(&value, state->dbs[i].id);
        for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
            append_varint(&value, state->dbs[i].keys[type]);
        append_varint(&value, state->dbs[i].expires);
    }
    cold_batch_put(batch, FAMILY_META, state_key(), buf_bytes(&value));
    buf_deinit(&value);
}

void meta_state_deinit(struct meta_state *state)
{
    mem_free(state->dbs);
    *state = (struct meta_state){0};
}

/* "f", name. */
#define LIBRARY_PREFIX 'f'

struct bytes meta_library_key(struct buf *scratch, struct bytes name)
{
    buf_clear(scratch);
    buf_append_byte(scratch, LIBRARY_PREFIX);
    buf_append_bytes(scratch, name);
    return buf_bytes(scratch);
}

struct bytes meta_library_value(struct buf *scratch, struct bytes code)
{
    buf_clear(scratch);
    buf_append_byte(scratch, META_FORMAT_VERSION);
    buf_append_bytes(scratch, code);
    return buf_bytes(scratch);
}

enum status meta_read_libraries_at(struct cold *cold, const struct cold_snapshot *snapshot,
                                   meta_library_fn *fn, void *arg, struct err *err)
{
    static const uint8_t lower = LIBRARY_PREFIX;
    static const uint8_t upper = LIBRARY_PREFIX + 1;
    struct cold_iter_options options = {
        .lower = bytes_make(&lower, 1), .upper = bytes_make(&upper, 1), .snapshot = snapshot};
    struct cold_iter *iter = cold_iter_create(cold, FAMILY_META, &options);
    enum status st = ST_OK;
    cold_iter_seek(iter, options.lower);
    for (; st == ST_OK && cold_iter_valid(iter); cold_iter_next(iter)) {
        struct bytes name = cold_iter_key(iter);
        struct bytes code = cold_iter_value(iter);
        name.data++;
        name.len--;
        st = take_version(&code, "f", err);
        if (st == ST_OK)
            st = fn(arg, name, code, err);
    }
    if (st == ST_OK)
        st = cold_iter_status(iter, err);
    cold_iter_destroy(iter);
    return st;
}

enum status meta_read_libraries(struct cold *cold, meta_library_fn *fn, void *arg, struct err *err)
{
    return meta_read_libraries_at(cold, NULL, fn, arg, err);
}

/* "r", kind, type, id: the reaper reads them in this order. */
void meta_reap_key(enum meta_reap_kind kind, uint8_t type, uint64_t id,
                   uint8_t out[META_REAP_KEY_BYTES])
{
    out[0] = 'r';
    out[1] = (uint8_t)kind;
    out[2] = type;
    store_be64(out + 3, id);
}

bool meta_reap_key_decode(struct bytes key, enum meta_reap_kind *kind_out, uint8_t *type_out,
                          uint64_t *id_out)
{
    if (key.len != META_REAP_KEY_BYTES || key.data[0] != 'r' ||
        (key.data[1] != META_REAP_DB && key.data[1] != META_REAP_OBJECT))
        return false;
    *kind_out = (enum meta_reap_kind)key.data[1];
    *type_out = key.data[2];
    *id_out = load_be64(key.data + 3);
    return true;
}
