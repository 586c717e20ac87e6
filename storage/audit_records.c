/* The audit's way through records, in the order of their keys in all families at once, so that a
 * key with two records shows; then through what stands under ids of objects; then through the
 * expiry index. */
#include "storage/audit_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "storage/loader.h"
#include "storage/object_value.h"
#include "storage/types/string.h"

/* ---- Ids of large objects ---- */

static int compare_ids(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;
    return (*left > *right) - (*left < *right);
}

/* Keeps the smaller half when twice the window has come together. */
static void add_id(struct audit_ids *ids, uint64_t entry)
{
    if (entry <= ids->above || entry > ids->upto)
        return;
    if (ids->count == ids->capacity) {
        if (ids->capacity >= 2 * AUDIT_IDS_MAX) {
            qsort(ids->items, ids->count, sizeof(*ids->items), compare_ids);
            ids->count = AUDIT_IDS_MAX;
            ids->upto = ids->items[ids->count - 1];
            add_id(ids, entry);
            return;
        }
        ids->capacity = ids->capacity == 0 ? 1024 : ids->capacity * 2;
        ids->items = mem_realloc(ids->items, ids->capacity * sizeof(*ids->items));
    }
    ids->items[ids->count++] = entry;
}

static bool has_id(const struct audit_ids *ids, uint64_t entry)
{
    return ids->count != 0 &&
           bsearch(&entry, ids->items, ids->count, sizeof(entry), compare_ids) != NULL;
}

/* ---- One record ---- */

static void note_record(struct audit *audit, const struct audit_record *record,
                        enum audit_kind kind, const char *what)
{
    char place[AUDIT_PLACE_BYTES_MAX];
    audit_note(audit, kind, false, "%s: %s", audit_place(audit, record, place), what);
}

static enum status decode_value(const struct audit *audit, const struct audit_record *record)
{
    if (record->type == OBJECT_STRING) {
        struct string_plan plan;
        return string_plan_record(&record->header, record->payload, &plan);
    }
    struct object o = {.type = (uint8_t)record->type, .expire_at_ms = OBJECT_NO_EXPIRE};
    enum status st = object_value_type(record->type)
                         ->decode(&o, &record->header, record->payload, &audit->rules);
    if (st != ST_OK)
        return st;
    object_free_fn *free_value = NULL;
    void *value = object_value_take(&o, &free_value);
    if (value != NULL)
        free_value(value);
    return ST_OK;
}

static void add_suspect(struct audit *audit, const struct audit_record *record, int64_t deadline_ms)
{
    if (audit->suspects == NULL)
        audit->suspects = mem_alloc(AUDIT_SUSPECTS_MAX * sizeof(*audit->suspects));
    audit->suspects[audit->suspect_count++] =
        (struct audit_suspect){.key_hash = hash64(0, record->key.data, record->key.len),
                               .deadline_ms = deadline_ms,
                               .off = (uint32_t)audit->suspect_keys.len,
                               .len = (uint32_t)record->key.len,
                               .type = (uint8_t)record->type};
    buf_append_bytes(&audit->suspect_keys, record->key);
}

/* An expiring key has an entry in the index, at its deadline or before it. */
static enum status check_deadline(struct audit *audit, const struct audit_record *record,
                                  struct err *err)
{
    int64_t deadline_ms = object_record_deadline(record->type, &record->header, record->payload);
    if (deadline_ms == OBJECT_NO_EXPIRE)
        return ST_OK;
    audit->dated++;
    if (!audit->options->deep)
        return ST_OK;
    struct buf value = {0};
    uint8_t *key = mem_alloc(RECORD_EXPIRES_PREFIX_BYTES + record->key.len);
    size_t len = record_expires_key_encode(deadline_ms, record->key, key);
    enum status st = audit_get(audit, FAMILY_EXPIRES, bytes_make(key, len), &value, err);
    mem_free(key);
    buf_deinit(&value);
    if (st != ST_NOT_FOUND)
        return st == ST_CORRUPT ? ST_OK : st;
    add_suspect(audit, record, deadline_ms);
    if (audit->suspect_count < AUDIT_SUSPECTS_MAX &&
        audit->suspect_keys.len < AUDIT_SUSPECT_BYTES_MAX)
        return ST_OK;
    return audit_clear_suspects(audit, err);
}

static enum status check_large(struct audit *audit, const struct audit_record *record,
                               struct err *err)
{
    uint64_t id = load_le64(record->payload.data);
    if (id == 0 || id >= AUDIT_ID_LIMIT) {
        note_record(audit, record, AUDIT_OBJECT_ID, "an id that no object can have");
        return ST_OK;
    }
    audit->report->large[record->type]++;
    add_id(&audit->ids, (uint64_t)record->type << 60 | id);
    if (id > audit->highest_id)
        audit->highest_id = id;
    return audit_read_object(audit, record, id, err);
}

/* The number of the database with an id; db_count if there is none. Records come by database. */
static uint32_t number_of(const struct audit *audit, uint32_t db_id, uint32_t last)
{
    const struct meta_state *state = &audit->state;
    if (last < state->db_count && state->dbs[last].id == db_id)
        return last;
    for (uint32_t i = 0; i < state->db_count; i++)
        if (state->dbs[i].id == db_id)
            return i;
    return state->db_count;
}

static enum status check_value(struct audit *audit, struct audit_record *record, struct err *err)
{
    enum status st = record_header_decode(record->value, &record->header, &record->payload);
    bool has_id =
        st == ST_OK && record->header.large && record->payload.len >= RECORD_LARGE_ID_BYTES;
    if (st == ST_OK)
        st = decode_value(audit, record);
    if (st != ST_OK) {
        note_record(audit, record, AUDIT_RECORD,
                    st == ST_UNSUPPORTED ? "the record is of a newer version"
                                         : "the record cannot be decoded");
        if (has_id)
            add_id(&audit->ids, (uint64_t)record->type << 60 |
                                    (load_le64(record->payload.data) & (AUDIT_ID_LIMIT - 1)));
        else
            audit->ids_lost[loader_family(record->type)] = true;
        return ST_OK;
    }
    struct meta_db *counted = &audit->counted[record->db_number];
    audit->report->expiring += record->header.has_expire;
    counted->expires += record->header.has_expire;
    if (record->db_number < audit->state.db_count)
        st = check_deadline(audit, record, err);
    if (st == ST_OK && record->header.large)
        st = check_large(audit, record, err);
    return st;
}

/* A database that is being emptied in the background, if the reaper knows it. */
static enum status check_lost_database(struct audit *audit, const struct audit_record *record,
                                       uint32_t db_id, bool *known_out, struct err *err)
{
    uint8_t note[META_REAP_KEY_BYTES];
    struct buf value = {0};
    meta_reap_key(META_REAP_DB, 0, db_id, note);
    enum status st = audit_get(audit, FAMILY_META, bytes_make(note, sizeof(note)), &value, err);
    buf_deinit(&value);
    *known_out = st == ST_OK;
    if (st != ST_NOT_FOUND)
        return st == ST_CORRUPT ? ST_OK : st;
    if (audit->state.db_count != 0)
        note_record(audit, record, AUDIT_DATABASE, "there is no such database (first of it)");
    return ST_OK;
}

/* ---- All families at once ---- */

struct merge {
    struct cold_iter *iters[OBJECT_TYPE_COUNT];
    enum object_type type; /* of the record at hand */
    struct bytes key;
};

static void open_merge(struct audit *audit, struct merge *merge)
{
    static const uint8_t upper[4] = {0xff, 0xff, 0xff, 0xff};
    struct cold_iter_options options = {.upper = bytes_make(upper, sizeof(upper)),
                                        .readahead_bytes = AUDIT_READAHEAD_BYTES};
    *merge = (struct merge){.type = OBJECT_NONE};
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++) {
        merge->iters[type] =
            cold_iter_create(audit->cold, loader_family((enum object_type)type), &options);
        cold_iter_seek_first(merge->iters[type]);
    }
}

/* The least key that is left. False at the end. */
static bool find_least(struct merge *merge)
{
    merge->type = OBJECT_NONE;
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++) {
        if (!cold_iter_valid(merge->iters[type]))
            continue;
        struct bytes key = cold_iter_key(merge->iters[type]);
        if (merge->type == OBJECT_NONE || bytes_compare(key, merge->key) < 0) {
            merge->type = (enum object_type)type;
            merge->key = key;
        }
    }
    return merge->type != OBJECT_NONE;
}

static enum status close_merge(struct audit *audit, struct merge *merge, enum status st,
                               struct err *err)
{
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++) {
        enum family family = loader_family((enum object_type)type);
        if (st == ST_OK && !audit->unreadable[family])
            st = audit_iter_end(audit, family, merge->iters[type], err);
        cold_iter_destroy(merge->iters[type]);
    }
    return st;
}

static enum status check_record(struct audit *audit, struct audit_record *record,
                                uint32_t *lost_db_id, struct err *err)
{
    uint32_t db_id = 0;
    uint64_t position = 0;
    struct bytes key;
    if (!record_key_decode(record->key, &db_id, &position, &key)) {
        record->db_number = audit->state.db_count;
        note_record(audit, record, AUDIT_RECORD_KEY, "this is not the key of a record");
        audit->ids_lost[loader_family(record->type)] = true;
        return ST_OK;
    }
    record->db_number = number_of(audit, db_id, record->db_number);
    bool known = record->db_number < audit->state.db_count;
    if (!known && db_id != *lost_db_id) {
        *lost_db_id = db_id;
        enum status st = check_lost_database(audit, record, db_id, &known, err);
        if (st != ST_OK)
            return st;
    }
    if (position != record_position(audit->identity.hash_seed, key))
        note_record(audit, record, AUDIT_RECORD_KEY, "the record stands where no one looks for it");
    audit->report->keys[record->type] += record->db_number < audit->state.db_count;
    audit->counted[record->db_number].keys[record->type]++;
    return check_value(audit, record, err);
}

static enum status read_all(struct audit *audit, struct err *err)
{
    struct merge merge;
    struct buf last = {0};
    struct audit_record record = {.db_number = 0};
    uint32_t lost_db_id = RECORD_ELEMENT_DB_ID;
    enum status st = ST_OK;
    open_merge(audit, &merge);
    while (st == ST_OK && find_least(&merge)) {
        struct cold_iter *iter = merge.iters[merge.type];
        record.type = merge.type;
        record.key = merge.key;
        record.value = cold_iter_value(iter);
        if (last.len != 0 && bytes_equal(buf_bytes(&last), merge.key))
            note_record(audit, &record, AUDIT_RECORD_TWICE,
                        "the key has a record of another type, too");
        st = check_record(audit, &record, &lost_db_id, err);
        buf_clear(&last);
        buf_append_bytes(&last, merge.key);
        cold_iter_next(iter);
        if (st == ST_OK)
            st = audit_advance(audit, "records", 1, err);
    }
    buf_deinit(&last);
    return close_merge(audit, &merge, st, err);
}

/* Ids that did not fit into the window before. */
static enum status read_ids(struct audit *audit, struct err *err)
{
    struct merge merge;
    enum status st = ST_OK;
    open_merge(audit, &merge);
    while (find_least(&merge)) {
        struct record_header header;
        struct bytes payload;
        struct cold_iter *iter = merge.iters[merge.type];
        if (record_header_decode(cold_iter_value(iter), &header, &payload) == ST_OK &&
            header.large && payload.len >= RECORD_LARGE_ID_BYTES)
            add_id(&audit->ids,
                   (uint64_t)merge.type << 60 | (load_le64(payload.data) & (AUDIT_ID_LIMIT - 1)));
        cold_iter_next(iter);
    }
    return close_merge(audit, &merge, st, err);
}

/* ---- Elements without objects ---- */

static enum status note_orphans(struct audit *audit, uint8_t type, uint64_t id, struct err *err)
{
    uint8_t note[META_REAP_KEY_BYTES];
    struct buf value = {0};
    meta_reap_key(META_REAP_OBJECT, type, id, note);
    struct bytes key = bytes_make(note, sizeof(note));
    enum status st = audit_get(audit, FAMILY_META, key, &value, err);
    buf_deinit(&value);
    if (st != ST_NOT_FOUND) /* the reaper knows, or nobody can tell */
        return st == ST_CORRUPT ? ST_OK : st;
    bool repaired = audit_put(audit, FAMILY_META, key, bytes_make("", 0));
    audit_note(audit, AUDIT_ORPHANS, repaired,
               "elements of object %" PRIu64 " in column family %s: no %s has this id", id,
               cold_family_name(loader_family((enum object_type)type)),
               object_type_name((enum object_type)type));
    return ST_OK;
}

/* Goes from one object's elements to the next one's. */
static enum status find_orphans(struct audit *audit, uint8_t type, struct err *err)
{
    const struct audit_ids *ids = &audit->ids;
    uint64_t base = (uint64_t)type << 60;
    uint64_t from = ids->above > base ? ids->above - base : 0;
    enum family family = loader_family((enum object_type)type);
    if (from >= AUDIT_ID_LIMIT || ids->upto < base)
        return ST_OK;
    struct cold_iter *iter = cold_iter_create(audit->cold, family, NULL);
    enum status st = ST_OK;
    uint8_t prefix[RECORD_ELEMENT_PREFIX_BYTES];
    record_element_prefix_encode(from, prefix);
    cold_iter_seek(iter, bytes_make(prefix, sizeof(prefix)));
    while (st == ST_OK && cold_iter_valid(iter)) {
        uint64_t id = 0;
        struct bytes element;
        if (!record_element_key_decode(cold_iter_key(iter), &id, &element) ||
            id >= AUDIT_ID_LIMIT) {
            audit_note(audit, AUDIT_ELEMENT, false, "column family %s: an element of no id",
                       cold_family_name(family));
            break;
        }
        if ((base | id) > ids->upto)
            break;
        if ((base | id) > ids->above && !has_id(ids, base | id))
            st = note_orphans(audit, type, id, err);
        record_element_prefix_encode(id + 1, prefix);
        cold_iter_seek(iter, bytes_make(prefix, sizeof(prefix)));
        if (st == ST_OK)
            st = audit_advance(audit, "elements", 1, err);
    }
    if (st == ST_OK && !audit->unreadable[family])
        st = audit_iter_end(audit, family, iter, err);
    cold_iter_destroy(iter);
    return st;
}

static void note_equal_ids(struct audit *audit)
{
    const struct audit_ids *ids = &audit->ids;
    for (size_t i = 1; i < ids->count; i++)
        if (ids->items[i] == ids->items[i - 1])
            audit_note(audit, AUDIT_OBJECT_ID, false, "two objects of type %s have the id %" PRIu64,
                       object_type_name((enum object_type)(ids->items[i] >> 60)),
                       ids->items[i] & (AUDIT_ID_LIMIT - 1));
}

enum status audit_read_records(struct audit *audit, struct err *err)
{
    struct audit_ids *ids = &audit->ids;
    ids->upto = UINT64_MAX;
    enum status st = read_all(audit, err);
    if (st == ST_OK)
        st = audit_clear_suspects(audit, err);
    while (st == ST_OK) {
        if (ids->count > 1)
            qsort(ids->items, ids->count, sizeof(*ids->items), compare_ids);
        note_equal_ids(audit);
        for (uint8_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT && st == ST_OK; type++) {
            enum family family = loader_family((enum object_type)type);
            if (!audit->unreadable[family] && !audit->ids_lost[family])
                st = find_orphans(audit, type, err);
        }
        if (ids->upto == UINT64_MAX || st != ST_OK)
            break;
        ids->above = ids->upto;
        ids->upto = UINT64_MAX;
        ids->count = 0;
        st = read_ids(audit, err);
    }
    return st;
}

/* ---- The expiry index ---- */

static int compare_suspects(const void *a, const void *b)
{
    const struct audit_suspect *left = a;
    const struct audit_suspect *right = b;
    return (left->key_hash > right->key_hash) - (left->key_hash < right->key_hash);
}

static void clear_suspect(struct audit *audit, struct bytes record_key, int64_t when_ms)
{
    struct audit_suspect wanted = {.key_hash = hash64(0, record_key.data, record_key.len)};
    struct audit_suspect *found =
        bsearch(&wanted, audit->suspects, audit->suspect_count, sizeof(wanted), compare_suspects);
    if (found == NULL)
        return;
    while (found > audit->suspects && found[-1].key_hash == wanted.key_hash)
        found--;
    const struct audit_suspect *end = audit->suspects + audit->suspect_count;
    for (; found < end && found->key_hash == wanted.key_hash; found++) {
        struct bytes key = bytes_make(audit->suspect_keys.data + found->off, found->len);
        if (when_ms <= found->deadline_ms && bytes_equal(key, record_key))
            found->cleared = true;
    }
}

static void note_suspect(struct audit *audit, const struct audit_suspect *suspect)
{
    char place[AUDIT_PLACE_BYTES_MAX];
    uint32_t db_id = 0;
    uint64_t position;
    struct bytes name;
    struct audit_record record = {
        .type = (enum object_type)suspect->type,
        .key = bytes_make(audit->suspect_keys.data + suspect->off, suspect->len)};
    (void)!record_key_decode(record.key, &db_id, &position, &name);
    record.db_number = number_of(audit, db_id, 0);
    uint8_t *key = mem_alloc(RECORD_EXPIRES_PREFIX_BYTES + suspect->len);
    size_t len = record_expires_key_encode(suspect->deadline_ms, record.key, key);
    bool repaired = audit_put(audit, FAMILY_EXPIRES, bytes_make(key, len), bytes_make("", 0));
    mem_free(key);
    audit_note(audit, AUDIT_EXPIRES_MISSING, repaired,
               "%s: due at %" PRId64 " ms, but the expiry index does not know",
               audit_place(audit, &record, place), suspect->deadline_ms);
}

enum status audit_clear_suspects(struct audit *audit, struct err *err)
{
    if (audit->suspect_count == 0)
        return ST_OK;
    qsort(audit->suspects, audit->suspect_count, sizeof(*audit->suspects), compare_suspects);
    struct cold_iter_options options = {.readahead_bytes = AUDIT_READAHEAD_BYTES};
    struct cold_iter *iter = cold_iter_create(audit->cold, FAMILY_EXPIRES, &options);
    for (cold_iter_seek_first(iter); cold_iter_valid(iter); cold_iter_next(iter)) {
        int64_t when_ms = 0;
        struct bytes record_key;
        if (record_expires_key_decode(cold_iter_key(iter), &when_ms, &record_key))
            clear_suspect(audit, record_key, when_ms);
    }
    enum status st = audit_iter_end(audit, FAMILY_EXPIRES, iter, err);
    cold_iter_destroy(iter);
    for (size_t i = 0;
         st == ST_OK && !audit->unreadable[FAMILY_EXPIRES] && i < audit->suspect_count; i++)
        if (!audit->suspects[i].cleared)
            note_suspect(audit, &audit->suspects[i]);
    audit->suspect_count = 0;
    buf_clear(&audit->suspect_keys);
    return st;
}

/* Whether the key of an entry is there with a deadline. */
static enum status is_stale(struct audit *audit, struct bytes record_key, struct buf *value,
                            bool *stale_out, struct err *err)
{
    *stale_out = true;
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++) {
        if (audit->report->keys[type] == 0)
            continue;
        struct record_header header;
        struct bytes payload;
        enum status st =
            audit_get(audit, loader_family((enum object_type)type), record_key, value, err);
        if (st == ST_NOT_FOUND || st == ST_CORRUPT)
            continue;
        if (st != ST_OK)
            return st;
        *stale_out =
            record_header_decode(buf_bytes(value), &header, &payload) == ST_OK &&
            object_record_deadline((enum object_type)type, &header, payload) == OBJECT_NO_EXPIRE;
        break;
    }
    return ST_OK;
}

static enum status check_entry(struct audit *audit, struct bytes entry, struct buf *value,
                               struct err *err)
{
    int64_t when_ms = 0;
    struct bytes record_key;
    struct bytes key;
    uint32_t db_id = 0;
    uint64_t position = 0;
    audit->report->expires_entries++;
    if (!record_expires_key_decode(entry, &when_ms, &record_key) ||
        !record_key_decode(record_key, &db_id, &position, &key)) {
        audit_note(audit, AUDIT_EXPIRES_BAD, audit_delete(audit, FAMILY_EXPIRES, entry),
                   "an entry of %zu bytes in the expiry index is none", entry.len);
        return ST_OK;
    }
    if (!audit->options->deep)
        return ST_OK;
    bool stale = false;
    enum status st = is_stale(audit, record_key, value, &stale, err);
    audit->report->expires_stale += st == ST_OK && stale;
    return st;
}

enum status audit_read_expires(struct audit *audit, struct err *err)
{
    struct cold_iter_options options = {.readahead_bytes = AUDIT_READAHEAD_BYTES};
    struct cold_iter *iter = cold_iter_create(audit->cold, FAMILY_EXPIRES, &options);
    struct buf value = {0};
    enum status st = ST_OK;
    for (cold_iter_seek_first(iter); st == ST_OK && cold_iter_valid(iter); cold_iter_next(iter)) {
        st = check_entry(audit, cold_iter_key(iter), &value, err);
        if (st == ST_OK)
            st = audit_advance(audit, "expiry index", 1, err);
    }
    if (st == ST_OK)
        st = audit_iter_end(audit, FAMILY_EXPIRES, iter, err);
    cold_iter_destroy(iter);
    buf_deinit(&value);
    uint64_t entries = audit->report->expires_entries;
    if (st == ST_OK && !audit->options->deep && !audit->unreadable[FAMILY_EXPIRES] &&
        entries < audit->dated)
        audit_note(audit, AUDIT_EXPIRES_MISSING, false,
                   "%" PRIu64 " keys with an expiry, but only %" PRIu64
                   " entries in the expiry index; --deep tells which are missing",
                   audit->dated, entries);
    return st;
}
