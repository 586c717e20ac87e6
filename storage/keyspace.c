/* See keyspace.h. This file: databases, lookups, and every change of an object's standing. */
#include "storage/keyspace.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cut.h"
#include "storage/evict.h"
#include "storage/expire.h"
#include "storage/key_filter.h"
#include "storage/loader.h"
#include "storage/object_value.h"
#include "storage/parts.h"
#include "storage/tier.h"
#include "storage/types/string.h"

#include <stddef.h>

#define OBJECT_HEADER_BYTES offsetof(struct object, key)
#define KEPT_LIST_PLACES    ((uint32_t)64 << 10) /* object_list_empty frees longer lists */

_Static_assert(OBJECT_HEADER_BYTES <= 48, "the object's header is packed");

/* Bytes of an object's allocation. Never less than the struct, of which key bytes fill the padding:
 * the compiler may read all of it at once. */
static size_t allocation_bytes(size_t key_len, size_t inline_len)
{
    size_t bytes = OBJECT_HEADER_BYTES + key_len + inline_len;
    return bytes < sizeof(struct object) ? sizeof(struct object) : bytes;
}

/* ---- Lists ------------------------------------------------------------------------------------
 */

void object_list_push(struct object_list *list, struct object *o)
{
    if (list->count == list->capacity) {
        CHECK(list->capacity < UINT32_MAX / 2);
        list->capacity = list->capacity == 0 ? 1024 : list->capacity * 2;
        list->items = mem_realloc(list->items, list->capacity * sizeof(*list->items));
    }
    o->list_index = list->count;
    list->items[list->count++] = o;
    list->live++;
}

void object_list_remove(struct object_list *list, struct object *o)
{
    CHECK(o->list_index < list->count);
    CHECK(list->items[o->list_index] == o);
    list->live--;
    if (o->list_index == list->count - 1)
        list->count--;
    else
        list->items[o->list_index] = NULL;
}

void object_list_empty(struct object_list *list)
{
    if (list->capacity > KEPT_LIST_PLACES) {
        mem_free(list->items);
        *list = (struct object_list){0};
    }
    list->count = 0;
    list->live = 0;
    list->bytes = 0;
}

/* ---- Databases --------------------------------------------------------------------------------
 */

struct db *db_create(uint32_t id)
{
    struct db *db = mem_calloc(1, sizeof(*db));
    db->id = id;
    db->filtered_to = TABLE_POSITION_LIMIT;
    db->table = table_create();
    return db;
}

static void free_object(struct object *o)
{
    if (o->encoding > ENCODING_INLINE) {
        object_free_fn *free_fn = NULL;
        void *value = object_value_take(o, &free_fn);
        if (value != NULL)
            free_fn(value);
    }
    mem_free(o);
}

void db_destroy(struct db *db)
{
    if (db == NULL)
        return;
    struct object *few[64];
    struct object **objects = few;
    size_t room = 64;
    uint64_t position = 0;
    while (position < TABLE_POSITION_LIMIT) {
        uint64_t next = 0;
        size_t count = table_walk(db->table, position, objects, room, &next);
        if (count > room) {
            objects = mem_realloc(objects == few ? NULL : objects, count * sizeof(*objects));
            room = count;
            continue;
        }
        for (size_t i = 0; i < count; i++)
            free_object(objects[i]);
        position = next;
    }
    if (objects != few)
        mem_free(objects);
    table_destroy(db->table);
    mem_free(db->dirty.items);
    mem_free(db);
}

static uint64_t new_object_id(void *arg)
{
    struct keyspace *ks = arg;
    return ks->next_object_id++;
}

struct keyspace *ks_create_keyspace(const struct keyspace_options *options)
{
    CHECK(options->db_count >= 1);
    CHECK(options->db_count <= KEYSPACE_DBS_MAX);
    struct keyspace *ks = mem_calloc(1, sizeof(*ks));
    ks->db_count = options->db_count;
    ks->dbs = mem_calloc(ks->db_count, sizeof(*ks->dbs));
    for (uint32_t i = 0; i < ks->db_count; i++)
        ks->dbs[i] = db_create(i);
    ks->next_db_id = ks->db_count;
    ks->next_object_id = 1;
    ks->hash_seed = options->hash_seed;
    ks->string_rules = (struct string_rules){.large_bytes = options->large_bytes,
                                             .chunk_bytes = RECORD_CHUNK_BYTES,
                                             .new_id = new_object_id,
                                             .arg = ks};
    ks->value_rules = (struct value_rules){.hash_seed = options->hash_seed,
                                           .large_bytes = options->large_collection_bytes,
                                           .new_id = new_object_id,
                                           .arg = ks};
    ks->dirty_state = OBJECT_DIRTY_A;
    ks->random = options->hash_seed | 1;
    ks->hints = expire_hints_create();
    ks->filter = key_filter_create();
    return ks;
}

void ks_destroy_keyspace(struct keyspace *ks)
{
    if (ks == NULL)
        return;
    ks_release_parked(ks);
    for (uint32_t i = 0; i < ks->db_count; i++)
        db_destroy(ks->dbs[i]);
    mem_free(ks->dbs);
    mem_free(ks->retired);
    mem_free(ks->retired_dbs);
    mem_free(ks->parked);
    ks_forget_moved(ks);
    mem_free(ks->moved);
    expire_hints_destroy(ks->hints);
    key_filter_destroy(ks->filter);
    mem_free(ks);
}

struct db *ks_db(struct keyspace *ks, uint32_t number)
{
    CHECK(number < ks->db_count);
    return ks->dbs[number];
}

uint32_t ks_db_count(const struct keyspace *ks)
{
    return ks->db_count;
}

struct db *ks_db_by_id(struct keyspace *ks, uint32_t id)
{
    for (uint32_t i = 0; i < ks->db_count; i++)
        if (ks->dbs[i]->id == id)
            return ks->dbs[i];
    return NULL;
}

struct db *ks_db_by_id_or_parked(struct keyspace *ks, uint32_t id)
{
    struct db *db = ks_db_by_id(ks, id);
    for (size_t i = 0; i < ks->parked_count && db == NULL; i++)
        if (ks->parked[i]->id == id)
            db = ks->parked[i];
    return db;
}

/* ---- Lookups ----------------------------------------------------------------------------------
 */

void ks_set_watch(struct keyspace *ks, const struct keyspace_watch *watch)
{
    ks->watch = *watch;
}

void ks_ref_at(struct keyspace *ks, struct db *db, struct bytes key, uint64_t position,
               struct keyref *out)
{
    out->key = key;
    out->db = db;
    out->flags = 0;
    out->position = position;
    out->object = table_find(db->table, position, key);
    out->generation = ks->generation;
}

void ks_ref(struct keyspace *ks, struct db *db, struct bytes key, struct keyref *out)
{
    ks_ref_at(ks, db, key, record_position(ks->hash_seed, key), out);
}

void ks_prefetch(const struct db *db, uint64_t position)
{
    table_prefetch(db->table, position);
}

void ks_prefetch_object(const struct keyspace *ks, const struct db *db, uint64_t position)
{
    if (!table_prefetch_object(db->table, position) && db->cold_count != 0)
        key_filter_prefetch(ks->filter, key_filter_hash(db->id, position));
}

uint64_t ks_hash_seed(const struct keyspace *ks)
{
    return ks->hash_seed;
}

struct object *ks_lookup(struct keyspace *ks, struct keyref *ref)
{
    if (__builtin_expect(ref->generation != ks->generation, 0)) {
        ref->object = table_find(ref->db->table, ref->position, ref->key);
        ref->generation = ks->generation;
    }
    return ref->object;
}

bool ks_is_absent(const struct keyspace *ks, const struct db *db, uint64_t position)
{
    return db->cold_count == 0 ||
           (position < db->filtered_to &&
            !key_filter_may_have(ks->filter, key_filter_hash(db->id, position)));
}

const struct key_filter *ks_key_filter(const struct keyspace *ks)
{
    return ks->filter;
}

static void follow(struct keyspace *ks, struct keyref *ref, struct object *o)
{
    ks->generation++;
    ref->object = o;
    ref->generation = ks->generation;
}

uint64_t ks_random_position(struct keyspace *ks)
{
    return ks_random(ks) % TABLE_POSITION_LIMIT;
}

/* ---- Accounting -------------------------------------------------------------------------------
 */

size_t ks_object_bytes(const struct object *o)
{
    return mem_usable_size(o) + object_value_bytes(o);
}

size_t ks_bytes(const struct keyspace *ks)
{
    size_t bytes = ks->object_bytes;
    for (uint32_t i = 0; i < ks->db_count; i++) {
        const struct db *db = ks->dbs[i];
        if (table_count(db->table) != 0)
            bytes += table_bytes(db->table);
        bytes += db->dirty.capacity * sizeof(*db->dirty.items);
    }
    return bytes + expire_hints_bytes(ks->hints) + probation_bytes(ks->probation) +
           key_filter_bytes(ks->filter);
}

size_t ks_dirty_bytes(const struct keyspace *ks)
{
    return ks->dirty_bytes;
}

/* What a cut would write for the value, wherever it is held. */
static inline size_t dirty_value_bytes(const struct object *o)
{
    if (o->encoding == ENCODING_INLINE)
        return o->value.inline_len;
    return o->encoding < ENCODING_INLINE ? 0 : object_value_dirty_bytes(o);
}

static size_t dirty_weight(const struct object *o)
{
    return OBJECT_HEADER_BYTES + o->key_len + dirty_value_bytes(o);
}

static void add_dirty_bytes(struct keyspace *ks, struct db *db, size_t bytes)
{
    db->dirty.bytes += bytes;
    ks->dirty_bytes += bytes;
}

static void sub_dirty_bytes(struct keyspace *ks, struct db *db, size_t bytes)
{
    DCHECK(bytes <= db->dirty.bytes);
    db->dirty.bytes -= bytes;
    ks->dirty_bytes -= bytes;
}

static void add_object_bytes(struct keyspace *ks, struct db *db, size_t bytes)
{
    db->object_bytes += bytes;
    ks->object_bytes += bytes;
}

static void sub_object_bytes(struct keyspace *ks, struct db *db, size_t bytes)
{
    DCHECK(db->object_bytes >= bytes);
    db->object_bytes -= bytes;
    ks->object_bytes -= bytes;
}

/* ---- States -----------------------------------------------------------------------------------
 */

/* Before any change: saves the pre-image for a running cut and enters the dirty list. */
static void make_dirty(struct keyspace *ks, struct db *db, struct object *o)
{
    if (__builtin_expect(o->state == ks->dirty_state, 1))
        return;
    if (o->state != OBJECT_CLEAN && o->state != OBJECT_LEAVING)
        cut_encode_now(ks->cut, db, o); /* becomes clean, or leaving */
    if (o->state == OBJECT_LEAVING)
        cut_keep_tombstone(ks->cut, db, o); /* out of its list */
    o->state = ks->dirty_state;
    object_list_push(&db->dirty, o);
    add_dirty_bytes(ks, db, dirty_weight(o));
}

void ks_change_begin(struct keyspace *ks, struct db *db, struct object *o)
{
    CHECK(object_is_live(o));
    make_dirty(ks, db, o);
    ks->change_value_bytes = o->encoding > ENCODING_INLINE ? object_value_bytes(o) : 0;
    ks->change_dirty_bytes = dirty_value_bytes(o);
}

/* The bookkeeping of a large collection's parts; NULL for all others. */
static struct parts *parts_of(const struct object *o)
{
    if (!o->large || o->type == OBJECT_STRING)
        return NULL;
    return object_value_type((enum object_type)o->type)->parts(o);
}

/* Parts know whose they are. */
static void own_parts(struct db *db, struct object *o)
{
    struct parts *parts = parts_of(o);
    if (parts == NULL)
        return;
    parts->owner = o;
    parts->db = db;
}

void ks_change_end(struct keyspace *ks, struct db *db, struct object *o)
{
    own_parts(db, o);
    size_t value_bytes = o->encoding > ENCODING_INLINE ? object_value_bytes(o) : 0;
    size_t dirty_bytes = dirty_value_bytes(o);
    if (value_bytes != ks->change_value_bytes) {
        sub_object_bytes(ks, db, ks->change_value_bytes);
        add_object_bytes(ks, db, value_bytes);
    }
    if (dirty_bytes > ks->change_dirty_bytes)
        add_dirty_bytes(ks, db, dirty_bytes - ks->change_dirty_bytes);
    else if (dirty_bytes < ks->change_dirty_bytes)
        sub_dirty_bytes(ks, db, ks->change_dirty_bytes - dirty_bytes);
}

void ks_retire_object(struct keyspace *ks, enum object_type type, uint64_t object_id)
{
    if (ks->retired_count == ks->retired_capacity) {
        ks->retired_capacity = ks->retired_capacity == 0 ? 64 : ks->retired_capacity * 2;
        ks->retired = mem_realloc(ks->retired, ks->retired_capacity * sizeof(*ks->retired));
    }
    ks->retired[ks->retired_count++] =
        (struct retired_object){.object_id = object_id, .type = (uint8_t)type};
}

static void free_value(struct keyspace *ks, struct object *o)
{
    bool is_long = object_value_free_is_long(o);
    struct parts *parts = parts_of(o);
    struct parts_taken *taken = parts == NULL ? NULL : parts->taken;
    object_free_fn *free_fn = NULL;
    void *value = object_value_take(o, &free_fn);
    if (value == NULL)
        return;
    if (taken != NULL) { /* the running cut has parts of it, and frees it afterwards */
        taken->parts = NULL;
        taken->value = value;
        taken->free_fn = free_fn;
        return;
    }
    if (is_long && ks->reclaim_value != NULL)
        ks->reclaim_value(ks->reclaim_arg, free_fn, value);
    else
        free_fn(value);
}

/* Takes the value out of a dirty object and frees it, in the background if that takes long. */
static void release_value(struct keyspace *ks, struct db *db, struct object *o)
{
    sub_dirty_bytes(ks, db, dirty_value_bytes(o));
    if (o->encoding > ENCODING_INLINE) {
        sub_object_bytes(ks, db, object_value_bytes(o));
        if (o->large && object_large_is_stored(o))
            ks_retire_object(ks, o->type, object_large_id(o));
        free_value(ks, o);
    }
    o->value.pointer = NULL;
    o->encoding = ENCODING_NONE;
    o->large = 0;
    o->raw = 0;
    o->moved = 0;
}

static void clear_expire(struct db *db, struct object *o)
{
    if (object_has_expire(o)) {
        db->resident_expires--;
        o->expire_at_ms = OBJECT_NO_EXPIRE;
    }
    o->expire_new = 0;
}

/* Moves an object into an allocation with room for `inline_len` bytes if its own does not suit. */
static struct object *fit_allocation(struct keyspace *ks, struct keyref *ref, struct object *o,
                                     size_t inline_len)
{
    size_t wanted = allocation_bytes(o->key_len, inline_len);
    size_t have = mem_usable_size(o);
    if (__builtin_expect(wanted <= have && (wanted >= have / 2 || have <= 96), 1))
        return o;
    CHECK(o->state == ks->dirty_state);
    struct object *moved = mem_realloc(o, wanted);
    sub_object_bytes(ks, ref->db, have);
    add_object_bytes(ks, ref->db, mem_usable_size(moved));
    if (moved == o)
        return o;
    table_replace(ref->db->table, o, moved);
    ref->db->dirty.items[moved->list_index] = moved;
    follow(ks, ref, moved);
    return moved;
}

struct object *ks_resize_inline(struct keyspace *ks, struct keyref *ref, size_t inline_len)
{
    struct object *o = ks_lookup(ks, ref);
    CHECK(o->type == OBJECT_STRING);
    CHECK(o->encoding != ENCODING_INLINE || inline_len >= o->value.inline_len);
    return fit_allocation(ks, ref, o, inline_len);
}

static struct object *new_object(struct keyspace *ks, struct keyref *ref, size_t inline_len)
{
    struct object *o = mem_alloc(allocation_bytes(ref->key.len, inline_len));
    memset(o, 0, OBJECT_HEADER_BYTES);
    o->position = ref->position;
    o->expire_at_ms = OBJECT_NO_EXPIRE;
    o->key_len = (uint32_t)ref->key.len;
    memcpy(o->key, ref->key.data, ref->key.len);
    o->access = ks->clock.lfu ? 0 : ks->clock.seconds;
    if (ks->clock.lfu)
        ks_touch_lfu(ks, o);
    table_insert(ref->db->table, o);
    add_object_bytes(ks, ref->db, mem_usable_size(o));
    follow(ks, ref, o);
    return o;
}

static void tell(const struct keyspace *ks, ks_key_fn *fn, const struct db *db, struct bytes key)
{
    if (__builtin_expect(fn != NULL, 0))
        fn(ks->watch.arg, db, key);
}

/* What takes another key's place counts as created, even if it replaces something. */
static void tell_replaced(struct keyspace *ks, struct keyref *to)
{
    if (ks_find(ks, to) != NULL)
        tell(ks, ks->watch.created, to->db, to->key);
}

/* Makes `ref` a dirty live object of `type` without value, with room for an inline one. */
static struct object *make_object(struct keyspace *ks, struct keyref *ref, enum object_type type,
                                  size_t inline_len)
{
    struct db *db = ref->db;
    struct object *o = ks_lookup(ks, ref);
    if (o == NULL) {
        o = new_object(ks, ref, inline_len);
        o->type = (uint8_t)type;
        make_dirty(ks, db, o);
        db->resident++;
        if ((ref->flags & KEYREF_BLIND) != 0 && !ks_is_absent(ks, db, ref->position))
            loader_resolve(ks->loader, db, o);
        else
            tell(ks, ks->watch.created, db, ref->key);
        return o;
    }
    make_dirty(ks, db, o);
    ks_touch(ks, o);
    if (object_is_live(o)) {
        release_value(ks, db, o);
        clear_expire(db, o);
    } else {
        db->resident++;
        tell(ks, ks->watch.created, db, ref->key);
    }
    o->type = (uint8_t)type;
    return fit_allocation(ks, ref, o, inline_len);
}

struct object *ks_create(struct keyspace *ks, struct keyref *ref, enum object_type type)
{
    struct object *o = make_object(ks, ref, type, 0);
    o->encoding = ENCODING_NONE;
    return o;
}

const struct string_rules *ks_string_rules(const struct keyspace *ks)
{
    return &ks->string_rules;
}

const struct value_rules *ks_value_rules(const struct keyspace *ks)
{
    return &ks->value_rules;
}

static size_t inline_len(const struct object *o)
{
    return o->encoding == ENCODING_INLINE ? o->value.inline_len : 0;
}

/* Gives a fresh object its value and accounts for what lies outside of it. */
static void account_value(struct keyspace *ks, struct db *db, struct object *o)
{
    own_parts(db, o);
    add_dirty_bytes(ks, db, dirty_value_bytes(o));
    if (o->encoding > ENCODING_INLINE)
        add_object_bytes(ks, db, object_value_bytes(o));
}

/* Moves the value of `from` to `to`, which holds none and has room for what is inline. */
static void move_value(struct object *to, struct object *from)
{
    if (from->type == OBJECT_STRING) {
        string_move(to, from);
        return;
    }
    to->encoding = from->encoding;
    to->large = from->large;
    to->value = from->value;
    from->encoding = ENCODING_NONE;
    from->large = 0;
    from->value.pointer = NULL;
}

struct object *ks_store_string(struct keyspace *ks, struct keyref *ref,
                               const struct string_plan *plan)
{
    struct object *o = make_object(ks, ref, OBJECT_STRING, plan->inline_len);
    string_fill(o, plan, &ks->string_rules);
    account_value(ks, ref->db, o);
    return o;
}

struct object *ks_set_string(struct keyspace *ks, struct keyref *ref, struct bytes value)
{
    struct string_plan plan;
    string_plan(&ks->string_rules, value, &plan);
    return ks_store_string(ks, ref, &plan);
}

static void drop_object(struct keyspace *ks, struct db *db, struct object *o)
{
    table_remove(db->table, o);
    sub_object_bytes(ks, db, mem_usable_size(o));
    mem_free(o);
    ks->generation++;
}

void ks_delete(struct keyspace *ks, struct keyref *ref)
{
    struct db *db = ref->db;
    struct object *o = ks_lookup(ks, ref);
    CHECK(o != NULL);
    CHECK(object_is_live(o));
    make_dirty(ks, db, o);
    release_value(ks, db, o);
    clear_expire(db, o);
    db->resident--;
    bool on_disk = o->disk_type != OBJECT_NONE || o->unresolved ||
                   o->cut_epoch > ks->applied_epoch || loader_is_loading(ks->loader, db, o);
    if (on_disk) {
        o->type = OBJECT_NONE;
        o->probation = 0;
        o = fit_allocation(ks, ref, o, 0);
        return;
    }
    sub_dirty_bytes(ks, db, dirty_weight(o));
    object_list_remove(&db->dirty, o);
    drop_object(ks, db, o);
    ref->object = NULL;
    ref->generation = ks->generation;
}

void ks_set_expire(struct keyspace *ks, struct db *db, struct object *o, int64_t expire_at_ms)
{
    CHECK(object_is_live(o));
    int64_t old = o->expire_at_ms;
    if (expire_at_ms < 0 && expire_at_ms != OBJECT_NO_EXPIRE)
        expire_at_ms = 0;
    if (old == expire_at_ms)
        return;
    make_dirty(ks, db, o);
    if (expire_at_ms == OBJECT_NO_EXPIRE) {
        clear_expire(db, o);
        return;
    }
    if (old == OBJECT_NO_EXPIRE)
        db->resident_expires++;
    o->expire_at_ms = expire_at_ms;
    if (old == OBJECT_NO_EXPIRE || expire_at_ms < old) {
        o->expire_new = 1;
        expire_hint(ks, db, o, expire_at_ms);
    }
}

void ks_note_deadline(struct keyspace *ks, struct db *db, struct object *o, int64_t at_ms)
{
    CHECK(o->type != OBJECT_STRING);
    CHECK(o->state == ks->dirty_state);
    o->raw = 0;
    if (at_ms != OBJECT_NO_EXPIRE)
        expire_hint(ks, db, o, at_ms);
}

static struct moved_object *find_moved(struct keyspace *ks, uint64_t object_id)
{
    for (size_t i = ks->moved_count; i-- > 0;)
        if (ks->moved[i].object_id == object_id)
            return &ks->moved[i];
    return NULL;
}

/* Notes that the large object `from` goes to the place of `to`: see struct moved_object. */
static void note_moved(struct keyspace *ks, const struct db *from_db, const struct object *from,
                       const struct db *to_db, struct object *to)
{
    struct moved_object *moved = from->moved ? find_moved(ks, object_large_id(from)) : NULL;
    if (moved == NULL && from->disk_type == OBJECT_NONE)
        return; /* no record has its id */
    to->moved = 1;
    if (moved != NULL) {
        moved->db_id = to_db->id;
        return;
    }
    if (ks->moved_count == ks->moved_capacity) {
        ks->moved_capacity = ks->moved_capacity == 0 ? 16 : ks->moved_capacity * 2;
        ks->moved = mem_realloc(ks->moved, ks->moved_capacity * sizeof(*ks->moved));
    }
    moved = &ks->moved[ks->moved_count++];
    *moved = (struct moved_object){
        .object_id = object_large_id(from), .db_id = to_db->id, .type = from->type};
    size_t len = record_key_bytes(from->key_len);
    (void)record_key_encode(from_db->id, from->position, object_key(from),
                            buf_reserve(&moved->old_record, len));
    moved->old_record.len = len;
}

void ks_forget_moved(struct keyspace *ks)
{
    for (size_t i = 0; i < ks->moved_count; i++)
        buf_deinit(&ks->moved[i].old_record);
    ks->moved_count = 0;
}

void ks_rename(struct keyspace *ks, struct keyref *from, struct keyref *to)
{
    struct object *source = ks_lookup(ks, from);
    CHECK(source != NULL);
    CHECK(object_is_live(source));
    CHECK(ks_lookup(ks, to) != source);
    make_dirty(ks, from->db, source);
    tell_replaced(ks, to);
    struct object *target = make_object(ks, to, source->type, inline_len(source));
    if (source->large)
        note_moved(ks, from->db, source, to->db, target);
    sub_dirty_bytes(ks, from->db, dirty_value_bytes(source));
    if (source->encoding > ENCODING_INLINE)
        sub_object_bytes(ks, from->db, object_value_bytes(source));
    move_value(target, source);
    account_value(ks, to->db, target);
    target->access = source->access;
    int64_t expire_at_ms = source->expire_at_ms;
    ks_delete(ks, from);
    if (expire_at_ms != OBJECT_NO_EXPIRE)
        ks_set_expire(ks, to->db, ks_lookup(ks, to), expire_at_ms);
}

struct object *ks_copy(struct keyspace *ks, struct keyref *from, struct keyref *to)
{
    struct object *source = ks_lookup(ks, from);
    CHECK(source != NULL);
    CHECK(object_is_live(source));
    CHECK(ks_lookup(ks, to) != source);
    tell_replaced(ks, to);
    struct object *target = make_object(ks, to, source->type, inline_len(source));
    if (source->type == OBJECT_STRING)
        string_copy(target, source, &ks->string_rules);
    else
        object_value_type((enum object_type)source->type)->copy(target, source, &ks->value_rules);
    account_value(ks, to->db, target);
    if (object_has_expire(source))
        ks_set_expire(ks, to->db, target, source->expire_at_ms);
    return target;
}

/* ---- Between RAM and disk ---------------------------------------------------------------------
 */

/* A key is not cold any more. Should the directory's counters be wrong, they are not made worse. */
static void uncount_cold(struct db *db, enum object_type type, bool has_expire)
{
    DCHECK(db->cold[type] != 0);
    if (db->cold[type] != 0) {
        db->cold[type]--;
        db->cold_count--;
    }
    DCHECK(!has_expire || db->cold_expires != 0);
    if (has_expire && db->cold_expires != 0)
        db->cold_expires--;
}

enum status ks_install(struct keyspace *ks, struct db *db, enum object_type type, uint64_t position,
                       struct bytes key, struct bytes value, struct object **out, struct err *err)
{
    struct record_header header;
    struct bytes payload;
    enum status st = record_header_decode(value, &header, &payload);
    if (st != ST_OK)
        return err_set(err, st, "record of a %s key in database id %u is damaged (%zu bytes)",
                       object_type_name(type), db->id, value.len);
    const struct value_type *value_type = object_value_type(type);
    if (value_type == NULL)
        return err_set(err, ST_UNSUPPORTED, "record of type %s in database id %u is not supported",
                       object_type_name(type), db->id);
    struct string_plan plan = {0};
    if (type == OBJECT_STRING)
        st = string_plan_record(&header, payload, &plan);
    struct object *o = NULL;
    if (st == ST_OK) {
        o = mem_alloc(allocation_bytes(key.len, plan.inline_len));
        memset(o, 0, OBJECT_HEADER_BYTES);
        o->position = position;
        o->key_len = (uint32_t)key.len;
        memcpy(o->key, key.data, key.len);
        o->type = (uint8_t)type;
        if (type == OBJECT_STRING)
            string_fill(o, &plan, &ks->string_rules);
        else
            st = value_type->decode(o, &header, payload, &ks->value_rules);
    }
    if (st != ST_OK) {
        mem_free(o);
        return err_set(err, st, "record of a %s key in database id %u is damaged (%zu bytes)",
                       object_type_name(type), db->id, value.len);
    }
    own_parts(db, o);
    if (parts_of(o) != NULL)
        parts_of(o)->applied_epoch = ks->applied_epoch; /* what was read before may be older */
    o->disk_type = (uint8_t)type;
    o->expire_at_ms = header.has_expire ? header.expire_at_ms : OBJECT_NO_EXPIRE;
    o->disk_expire = header.has_expire;
    if (type != OBJECT_STRING)
        o->raw = 1; /* the cut that wrote the record has indexed its deadlines */
    o->probation = 1;
    o->fresh = 1;
    o->access = ks->clock.lfu ? 0 : ks->clock.seconds;
    if (ks->clock.lfu)
        ks_touch_lfu(ks, o);
    table_insert(db->table, o);
    add_object_bytes(ks, db, ks_object_bytes(o));
    probation_push(ks, db, o);
    ks->generation++;
    db->resident++;
    db->resident_expires += header.has_expire;
    uncount_cold(db, type, header.has_expire);
    tell(ks, ks->watch.loaded, db, key);
    *out = o;
    return ST_OK;
}

void ks_resolve(struct keyspace *ks, struct db *db, struct object *o, enum object_type type,
                bool has_expire, bool large, uint64_t object_id)
{
    CHECK(o->unresolved);
    o->unresolved = 0;
    db->unresolved--;
    if (type != OBJECT_NONE)
        uncount_cold(db, type, has_expire);
    bool encoded = o->cut_epoch > ks->applied_epoch;
    bool pending =
        o->state != ks->dirty_state && o->state != OBJECT_CLEAN && o->state != OBJECT_LEAVING;
    if (large &&
        (encoded || pending)) /* the running cut replaces the record, so it drops the rest */
        cut_retire_object(ks->cut, type, object_id);
    else if (large)
        ks_retire_object(ks, type, object_id);
    if (encoded) { /* disk_type is what the running cut will leave */
        cut_resolved(ks->cut, db, o, type, has_expire);
        return;
    }
    o->disk_type = (uint8_t)type;
    o->disk_expire = has_expire;
}

bool ks_can_demote(const struct keyspace *ks, const struct db *db, const struct object *o)
{
    if (o->state != OBJECT_CLEAN || !object_is_live(o) || o->cut_epoch > ks->applied_epoch ||
        o->unresolved || loader_is_loading(ks->loader, db, o))
        return false;
    const struct parts *parts = parts_of(o);
    return parts == NULL || parts->taken == NULL; /* a cut that was applied may be finishing */
}

void ks_demote(struct keyspace *ks, struct db *db, struct object *o)
{
    CHECK(ks_can_demote(ks, db, o));
    CHECK(o->disk_type == o->type);
    tell(ks, ks->watch.demoted, db, object_key(o));
    key_filter_add(ks->filter, key_filter_hash(db->id, o->position));
    db->resident--;
    db->cold[o->type]++;
    db->cold_count++;
    if (object_has_expire(o)) {
        db->resident_expires--;
        db->cold_expires++;
    }
    table_remove(db->table, o);
    sub_object_bytes(ks, db, ks_object_bytes(o));
    ks->generation++;
    if (o->encoding > ENCODING_INLINE)
        free_value(ks, o);
    mem_free(o);
}

void ks_forget_tombstone(struct keyspace *ks, struct db *db, struct object *o)
{
    CHECK(!object_is_live(o));
    CHECK(o->state == OBJECT_LEAVING);
    CHECK(!o->unresolved);
    loader_forget(ks->loader, db, o);
    drop_object(ks, db, o);
}
