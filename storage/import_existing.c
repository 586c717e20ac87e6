/* Import into a dataset that is there. The new store begins as a copy of the old one (tables by
 * hard links), in which keys that are replaced are deleted while the input is read; what is
 * imported then comes in as tables, as always, and counts on top. So whatever happens on the way
 * happens to the copy, and the directories change places when it is complete.
 *
 * Databases keep their ids, positions their seed, and object ids go on where they were. The history
 * is another one, as what has changed is in no journal. */
#include "storage/import_internal.h"

#include "codec/mem.h"

#include <string.h>

#define REMOVALS_BYTES ((size_t)1 << 20) /* gathered, before they are written */

static enum status count_library(void *arg, struct bytes name, struct bytes code, struct err *err)
{
    (void)name;
    (void)code;
    (void)err;
    ((struct import *)arg)->has_libraries = true;
    return ST_OK;
}

/* The journal must have nothing that the store lacks. */
static enum status check_journal(struct import *import, uint64_t cut_offset, struct err *err)
{
    struct import_place *place = &import->place;
    if (place->has_journal && place->cut_offset > cut_offset)
        return err_set(err, ST_INVALID,
                       "the journal in %s has changes that are not in RocksDB yet, or is damaged: "
                       "start the server once and stop it in order",
                       place->dir);
    place->cut_offset = cut_offset;
    return ST_OK;
}

enum status import_existing_open(struct import *import, struct err *err)
{
    struct meta_state state = {0};
    enum status st = meta_read_identity(import->cold, &import->identity, err);
    if (st == ST_OK)
        st = meta_read_state(import->cold, &state, err);
    if (st == ST_NOT_FOUND)
        st = err_set(err, ST_CORRUPT, "the store in %s holds no dataset", import->place.dir);
    if (st == ST_OK)
        st = check_journal(import, state.cut_offset, err);
    if (st == ST_OK)
        st = meta_read_libraries(import->cold, count_library, import, err);
    if (st == ST_OK) {
        meta_renew_replication_id(import->options.env, &import->identity);
        import_grow_dbs(import, state.db_count);
        for (uint32_t i = 0; i < state.db_count; i++) {
            struct import_db *db = &import->dbs[i];
            import->db_ids[i] = state.dbs[i].id;
            db->expires = state.dbs[i].expires;
            memcpy(db->keys_of_type, state.dbs[i].keys, sizeof(db->keys_of_type));
            for (int type = 0; type < OBJECT_TYPE_COUNT; type++)
                db->keys += db->keys_of_type[type];
        }
        import->next_db_id = state.next_db_id;
        import->next_object_id = state.next_object_id;
        import->removals = cold_batch_create();
    }
    meta_state_deinit(&state);
    return st;
}

/* ---- Keys that are there. */

struct existing {
    enum object_type type;
    struct buf value; /* owned: the record's */
    struct record_header header;
    struct bytes payload;
};

/* ST_NOT_FOUND: it is not there. */
static enum status find_record(struct import *import, struct bytes record_key, struct existing *out,
                               struct err *err)
{
    enum status st = ST_NOT_FOUND;
    for (int type = OBJECT_STRING; type < OBJECT_TYPE_COUNT && st == ST_NOT_FOUND; type++) {
        enum family family = loader_family((enum object_type)type);
        out->type = (enum object_type)type;
        if (cold_probe(import->cold, family, record_key) == COLD_MAYBE)
            st = cold_get(import->cold, family, record_key, &out->value, err);
    }
    if (st == ST_OK &&
        record_header_decode(buf_bytes(&out->value), &out->header, &out->payload) != ST_OK)
        st = err_set(err, ST_CORRUPT, "a record of type %s in %s is damaged",
                     object_type_name(out->type), import->place.dir);
    return st;
}

static void remove_entry(struct import *import, struct bytes record_key, int64_t at_ms)
{
    struct buf entry = {0};
    entry.len = record_expires_key_encode(
        at_ms, record_key, buf_reserve(&entry, RECORD_EXPIRES_PREFIX_BYTES + record_key.len));
    cold_batch_delete(import->removals, FAMILY_EXPIRES, buf_bytes(&entry));
    buf_deinit(&entry);
}

/* Deletes the record, its entries in the expiry index, and leaves its elements to the reaper. */
static enum status remove_record(struct import *import, uint32_t number, struct bytes record_key,
                                 const struct existing *old, struct err *err)
{
    struct import_db *db = &import->dbs[number];
    int64_t deadline_ms = object_record_deadline(old->type, &old->header, old->payload);
    cold_batch_delete(import->removals, loader_family(old->type), record_key);
    if (old->header.has_expire)
        remove_entry(import, record_key, old->header.expire_at_ms);
    if (deadline_ms != OBJECT_NO_EXPIRE)
        remove_entry(import, record_key, deadline_ms);
    if (old->header.large && old->payload.len >= RECORD_LARGE_ID_BYTES) {
        uint8_t key[META_REAP_KEY_BYTES];
        meta_reap_key(META_REAP_OBJECT, (uint8_t)old->type, load_le64(old->payload.data), key);
        cold_batch_put(import->removals, FAMILY_META, bytes_make(key, sizeof(key)),
                       bytes_make("", 0));
    }
    if (db->keys == 0 || db->keys_of_type[old->type] == 0 ||
        db->expires < (uint64_t)old->header.has_expire)
        return err_set(err, ST_CORRUPT, "the counters in %s are below what is there: basalt check",
                       import->place.dir);
    db->keys--;
    db->keys_of_type[old->type]--;
    db->expires -= old->header.has_expire;
    return cold_batch_bytes(import->removals) < REMOVALS_BYTES ? ST_OK
                                                               : import_existing_write(import, err);
}

enum status import_existing_write(struct import *import, struct err *err)
{
    enum status st = cold_write(import->cold, import->removals, false, err);
    cold_batch_clear(import->removals);
    return st;
}

enum status import_existing_meet(struct import *import, const struct rdb_key *key, uint32_t number,
                                 bool *wanted_out, struct err *err)
{
    struct existing old = {.type = OBJECT_NONE};
    struct buf record_key = {0};
    record_key.len =
        record_key_encode(key->db, record_position(import->identity.hash_seed, key->name),
                          key->name, buf_reserve(&record_key, record_key_bytes(key->name.len)));
    *wanted_out = true;
    enum status st = find_record(import, buf_bytes(&record_key), &old, err);
    if (st == ST_NOT_FOUND) {
        st = ST_OK;
    } else if (st == ST_OK) {
        bool due = old.header.has_expire && old.header.expire_at_ms < import->now_ms;
        *wanted_out = import->options.existing == IMPORT_EXISTING_REPLACED || due;
        import->report.existing += !*wanted_out;
        import->report.replaced += *wanted_out && !due;
        if (*wanted_out)
            st = remove_record(import, number, buf_bytes(&record_key), &old, err);
    }
    buf_deinit(&record_key);
    buf_deinit(&old.value);
    return st;
}
