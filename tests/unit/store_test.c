/* Goal: sequences of operations, cuts, emptied databases and restarts that have once gone wrong, or
 * nearly. What a plain dataset would hold at their ends is what the store must hold. (Random ones:
 * store_model_test.c.)
 *
 * Method: a real store in a scratch directory, driven step by step; nothing happens in the
 * background but what a test asks for. */
#include "codec/buf.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/env.h"
#include "storage/env_hook.h"
#include "storage/object_value.h"
#include "storage/store.h"
#include "storage/tier.h"
#include "storage/types/hash.h"
#include "storage/types/set.h"
#include "tests/support/harness.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define WAIT_MS_MAX 20000

struct fixture {
    char *dir;
    struct store_options options;
    struct store *store;
    struct keyspace *ks;
    int64_t mono_ms;
};

static void delete_due_fields(struct fixture *f, struct keyref *ref, struct object *o)
{
    struct buf names = {0};
    ks_change_begin(f->ks, ref->db, o);
    (void)hash_collect_due(o, f->ks->now_ms, SIZE_MAX, &names);
    for (size_t at = 0; at < names.len;) {
        struct bytes name = bytes_make(names.data + at + 4, load_le32(names.data + at));
        (void)hash_delete(o, name);
        at += 4 + name.len;
    }
    ks_change_end(f->ks, ref->db, o);
    ks_note_deadline(f->ks, ref->db, o, hash_next_deadline(o));
    buf_deinit(&names);
}

static void delete_expired(void *arg, uint32_t number, struct keyref *ref)
{
    struct fixture *f = arg;
    struct object *o = ks_find(f->ks, ref);
    assert_int_equal(number, 0);
    if (o->type == OBJECT_HASH && (!object_has_expire(o) || o->expire_at_ms > f->ks->now_ms))
        delete_due_fields(f, ref, o);
    else
        ks_delete(f->ks, ref);
}

static void open_store(struct fixture *f)
{
    struct err err;
    assert_ok(store_open(&f->options, &f->store, &err), &err);
    f->ks = store_keyspace(f->store);
    f->ks->string_rules.chunk_bytes = 64;
}

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    f->dir = harness_make_dir();
    f->options = (struct store_options){.env = env_posix(),
                                        .dir = f->dir,
                                        .db_count = 4,
                                        .large_object_bytes = 100,
                                        .large_collection_bytes = 500,
                                        .fsync = JOURNAL_FSYNC_NO,
                                        .flush_interval_ms = 1000,
                                        .dirty_bytes_max = 1 << 30,
                                        .journal_bytes_max = 1 << 30,
                                        .block_cache_bytes = 4 << 20,
                                        .write_buffer_bytes = 4 << 20,
                                        .compaction_threads = 1,
                                        .loader_threads = 2,
                                        .hot_bytes_max = (size_t)1 << 30,
                                        .samples = 5,
                                        .expired = delete_expired,
                                        .arg = f};
    open_store(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    (void)store_close(f->store, false, NULL);
    harness_remove_dir(f->dir);
    mem_free(f->dir);
    mem_free(f);
    return 0;
}

/* ---- Steps. */

static void ref_of(struct fixture *f, uint32_t db, const char *key, struct keyref *out)
{
    struct err err;
    ks_ref(f->ks, ks_db(f->ks, db), bytes_text(key), out);
    if (out->object != NULL)
        return;
    enum status st =
        loader_read_now(store_loader(f->store), out->db, out->position, out->key, &err);
    assert_true(st == ST_OK || st == ST_NOT_FOUND);
}

/* Writes at an offset, as SETRANGE does. */
static void write_at(struct fixture *f, uint32_t db, const char *key, uint64_t at, const char *text)
{
    struct keyref ref;
    struct err err;
    ref_of(f, db, key, &ref);
    struct object *o = ks_find(f->ks, &ref);
    bool is_new = o == NULL;
    if (is_new)
        o = ks_create(f->ks, &ref, OBJECT_STRING);
    else
        assert_ok(
            loader_read_chunks_now(store_loader(f->store), ref.db, o, at, at + strlen(text), &err),
            &err);
    ks_change_begin(f->ks, ref.db, o);
    if (is_new)
        string_init_empty(o);
    if (text[0] == '\0')
        string_grow(o, ks_string_rules(f->ks), at);
    else
        string_write(o, ks_string_rules(f->ks), at, bytes_text(text));
    ks_change_end(f->ks, ref.db, o);
}

/* Adds the members from.."to"-1, as SADD does. */
static void add_members(struct fixture *f, uint32_t db, const char *key, int from, int to)
{
    struct keyref ref;
    char member[24];
    ref_of(f, db, key, &ref);
    struct object *o = ks_find(f->ks, &ref);
    bool is_new = o == NULL;
    if (is_new)
        o = ks_create(f->ks, &ref, OBJECT_SET);
    ks_change_begin(f->ks, ref.db, o);
    if (is_new)
        set_init(o, ks_value_rules(f->ks), bytes_text("member"), (size_t)(to - from));
    for (int i = from; i < to; i++) {
        (void)snprintf(member, sizeof(member), "member%d", i);
        (void)set_add(o, ks_value_rules(f->ks), bytes_text(member));
    }
    set_settle(o, ks_value_rules(f->ks));
    ks_change_end(f->ks, ref.db, o);
}

static void delete_key(struct fixture *f, uint32_t db, const char *key)
{
    struct keyref ref;
    ref_of(f, db, key, &ref);
    ks_delete(f->ks, &ref);
}

static void rename_key(struct fixture *f, uint32_t db, const char *key, uint32_t to_db,
                       const char *to_key)
{
    struct keyref from;
    struct keyref to;
    ref_of(f, db, key, &from);
    ref_of(f, to_db, to_key, &to);
    ks_rename(f->ks, &from, &to);
}

static void cut(struct fixture *f)
{
    struct err err;
    assert_ok(store_cut_now(f->store, false, &err), &err);
}

/* Everything changed so far is on disk, and only there. */
static void cut_and_forget(struct fixture *f)
{
    struct err err;
    assert_ok(store_evict_all(f->store, &err), &err);
    cut(f);
    for (uint32_t i = 0; i < ks_db_count(f->ks); i++)
        assert_int_equal(table_count(ks_db(f->ks, i)->table), 0);
}

/* Lets the reaper come to its end. */
static void reap_all(struct fixture *f)
{
    struct reap *reap = store_reap(f->store);
    const struct timespec pause = {.tv_nsec = 100000};
    int64_t deadline_ms = harness_now_ms() + WAIT_MS_MAX;
    for (uint32_t jobs = 0; jobs < 4; jobs++) {
        f->mono_ms += 5000;
        reap_tick(reap, f->ks->applied_epoch, f->mono_ms);
        while (reap_busy(reap)) {
            assert_true(harness_now_ms() < deadline_ms);
            (void)nanosleep(&pause, NULL);
            store_drain(f->store);
        }
    }
}

/* Not a record and no element is left of a type. */
static void check_nothing_left(struct fixture *f, enum object_type type)
{
    struct cold_iter *iter = cold_iter_create(store_cold(f->store), loader_family(type), NULL);
    cold_iter_seek_first(iter);
    assert_false(cold_iter_valid(iter));
    assert_ok(cold_iter_status(iter, NULL), NULL);
    cold_iter_destroy(iter);
}

static void check_value(struct fixture *f, uint32_t db, const char *key, uint64_t at,
                        const char *expected)
{
    struct keyref ref;
    struct err err;
    char found[64] = {0};
    ref_of(f, db, key, &ref);
    struct object *o = ks_find(f->ks, &ref);
    assert_non_null(o);
    assert_ok(
        loader_read_chunks_now(store_loader(f->store), ref.db, o, at, at + strlen(expected), &err),
        &err);
    assert_int_equal(string_read(o, at, (uint8_t *)found, strlen(expected)), strlen(expected));
    assert_string_equal(found, expected);
}

/* ---- Large values that leave a database before it is emptied. */

static void large_value_that_moved_survives_the_emptying_of_its_first_database(void **state)
{
    struct fixture *f = *state;
    write_at(f, 0, "key", 1000, "tail");
    cut_and_forget(f);
    rename_key(f, 0, "key", 1, "key");
    ks_flush_db(f->ks, 0);
    cut_and_forget(f);
    reap_all(f);
    check_value(f, 1, "key", 1000, "tail");
}

static void large_value_renamed_and_then_moved_survives_it_too(void **state)
{
    struct fixture *f = *state;
    write_at(f, 0, "key", 1000, "tail");
    cut_and_forget(f);
    rename_key(f, 0, "key", 0, "other");
    rename_key(f, 0, "other", 1, "key");
    ks_flush_db(f->ks, 0);
    cut_and_forget(f);
    reap_all(f);
    check_value(f, 1, "key", 1000, "tail");
}

/* Its record is on disk, though no element is: what is written later must not be dropped. */
static void large_value_of_zeros_that_moved_keeps_what_is_written_later(void **state)
{
    struct fixture *f = *state;
    write_at(f, 0, "key", 1000, "");
    cut(f);
    rename_key(f, 0, "key", 1, "key");
    ks_flush_db(f->ks, 0);
    write_at(f, 1, "key", 500, "middle");
    cut_and_forget(f);
    reap_all(f);
    check_value(f, 1, "key", 500, "middle");
}

static void elements_go_when_the_database_is_emptied_that_the_value_moved_to(void **state)
{
    struct fixture *f = *state;
    write_at(f, 0, "key", 1000, "tail");
    cut_and_forget(f);
    rename_key(f, 0, "key", 0, "other");
    rename_key(f, 0, "other", 1, "key");
    rename_key(f, 1, "key", 2, "key");
    ks_flush_db(f->ks, 2);
    cut_and_forget(f);
    reap_all(f);
    check_nothing_left(f, OBJECT_STRING);
}

static void elements_go_with_their_database_whatever_their_type(void **state)
{
    struct fixture *f = *state;
    add_members(f, 0, "set", 0, 200);
    write_at(f, 0, "string", 1000, "tail");
    cut_and_forget(f);
    ks_flush_db(f->ks, 0);
    cut(f);
    reap_all(f);
    check_nothing_left(f, OBJECT_SET);
    check_nothing_left(f, OBJECT_STRING);
}

/* Nothing else needs to happen for that: no writes that would bring on a compaction. */
static void disk_space_of_a_deleted_collection_is_free_once_it_is_reaped(void **state)
{
    struct fixture *f = *state;
    struct cold *cold = store_cold(f->store);
    struct bytes from = bytes_make("\xff", 1); /* all elements */
    struct bytes to = bytes_make("\xff\xff\xff\xff\xff", 5);
    struct err err;
    add_members(f, 0, "set", 0, 700000);
    cut(f);
    assert_ok(cold_flush(cold, &err), &err);
    assert_ok(cold_compact_range(cold, loader_family(OBJECT_SET), from, to, &err), &err);
    assert_true(cold_file_bytes(cold, loader_family(OBJECT_SET), from, to) > 8 << 20);
    delete_key(f, 0, "set");
    cut(f);
    reap_all(f);
    int64_t deadline_ms = harness_now_ms() + WAIT_MS_MAX;
    while (cold_file_bytes(cold, loader_family(OBJECT_SET), from, to) > 1 << 20) {
        const struct timespec pause = {.tv_nsec = 1000000};
        assert_true(harness_now_ms() < deadline_ms);
        (void)nanosleep(&pause, NULL);
    }
    check_nothing_left(f, OBJECT_SET);
}

/* ---- Deadlines of a large hash's fields. */

static void date_field(struct fixture *f, int field, int64_t deadline_ms)
{
    struct keyref ref;
    char name[24];
    ref_of(f, 0, "hash", &ref);
    struct object *o = ks_find(f->ks, &ref);
    (void)snprintf(name, sizeof(name), "field%d", field);
    ks_change_begin(f->ks, ref.db, o);
    hash_set_expire(o, bytes_text(name), deadline_ms);
    ks_change_end(f->ks, ref.db, o);
}

static void fill_hash(struct fixture *f, int count)
{
    struct keyref ref;
    char name[24];
    const struct value_rules *rules = ks_value_rules(f->ks);
    ref_of(f, 0, "hash", &ref);
    struct object *o = ks_create(f->ks, &ref, OBJECT_HASH);
    ks_change_begin(f->ks, ref.db, o);
    hash_init(o);
    for (int i = 0; i < count; i++) {
        (void)snprintf(name, sizeof(name), "field%d", i);
        (void)hash_set(o, rules, bytes_text(name), bytes_text("some value"), OBJECT_NO_EXPIRE);
    }
    hash_settle(o, rules);
    assert_true(o->large);
    ks_change_end(f->ks, ref.db, o);
}

static void delete_field(struct fixture *f, const char *field)
{
    struct keyref ref;
    ref_of(f, 0, "hash", &ref);
    struct object *o = ks_find(f->ks, &ref);
    ks_change_begin(f->ks, ref.db, o);
    assert_true(hash_delete(o, bytes_text(field)));
    ks_change_end(f->ks, ref.db, o);
}

/* Elements of hashes that are deadlines. */
static size_t count_deadlines(struct fixture *f)
{
    struct cold_iter *iter = cold_iter_create(store_cold(f->store), FAMILY_HASH, NULL);
    uint64_t object_id;
    struct bytes element;
    size_t count = 0;
    for (cold_iter_seek_first(iter); cold_iter_valid(iter); cold_iter_next(iter))
        count += record_element_key_decode(cold_iter_key(iter), &object_id, &element) &&
                 element.data[0] == 'D';
    assert_ok(cold_iter_status(iter, NULL), NULL);
    cold_iter_destroy(iter);
    return count;
}

static void records_of_deadlines_go_with_them(void **state)
{
    struct fixture *f = *state;
    const int64_t far_ms = INT64_C(33177117420000);
    fill_hash(f, 200);
    cut(f);
    for (int i = 0; i < 10; i++)
        date_field(f, i, far_ms + i);
    cut(f);
    assert_int_equal(count_deadlines(f), 10);
    for (int i = 0; i < 10; i++)
        date_field(f, i, far_ms + 1000 + i);
    cut(f);
    assert_int_equal(count_deadlines(f), 10);
    date_field(f, 0, OBJECT_NO_EXPIRE);
    delete_field(f, "field1");
    cut(f);
    assert_int_equal(count_deadlines(f), 8);
    date_field(f, 2, far_ms); /* there, and back in one cut: it must not be lost */
    date_field(f, 2, far_ms + 1002);
    cut(f);
    assert_in_range(count_deadlines(f), 8, 9);
}

/* ---- Cuts. */

/* A value whose parts the cut has, and which is gone: the store's end must free it once. */
static void running_cut_is_given_up_with_a_large_value_that_was_deleted(void **state)
{
    struct fixture *f = *state;
    struct err err;
    add_members(f, 0, "gone", 0, 200);
    add_members(f, 0, "there", 0, 200);
    cut_request(store_cut(f->store));
    while (!cut_writing(store_cut(f->store))) /* written, and nobody has heard of it */
        (void)cut_tick(store_cut(f->store), f->mono_ms, 1000);
    delete_key(f, 0, "gone");
    add_members(f, 0, "there", 100, 300);
    assert_ok(store_close(f->store, false, &err), &err);
    open_store(f);
    struct keyref ref;
    ref_of(f, 0, "gone", &ref);
    assert_non_null(ks_find(f->ks, &ref));
}

/* ---- Expiry of keys on disk. */

/* Puts bytes in the place of a key's record. */
static void damage_record(struct fixture *f, uint32_t db, const char *key)
{
    struct keyref ref;
    struct err err;
    uint8_t record_key[64];
    ks_ref(f->ks, ks_db(f->ks, db), bytes_text(key), &ref);
    size_t len = record_key_encode(ref.db->id, ref.position, ref.key, record_key);
    struct cold_batch *batch = cold_batch_create();
    cold_batch_put(batch, FAMILY_STRING, bytes_make(record_key, len), bytes_text("\xff\xff"));
    assert_ok(cold_write(store_cold(f->store), batch, false, &err), &err);
    cold_batch_destroy(batch);
}

static void set_until(struct fixture *f, const char *key, int64_t expire_at_ms)
{
    struct keyref ref;
    ref_of(f, 0, key, &ref);
    struct object *o = ks_set_string(f->ks, &ref, bytes_text("value"));
    ks_set_expire(f->ks, ref.db, o, expire_at_ms);
}

/* Lets a read of the index, if one is due, come to its end. With `cut` one is applied meanwhile. */
static void expire_step(struct fixture *f, int64_t now_ms, bool cut_meanwhile)
{
    struct expire *expire = store_expire(f->store);
    f->ks->now_ms = now_ms;
    (void)expire_tick(expire, now_ms, 1000);
    if (cut_meanwhile) {
        journal_stage_bytes(store_journal(f->store), 0, bytes_text("*1\r\n$4\r\nPING\r\n"));
        cut(f);
    }
    const struct timespec pause = {.tv_nsec = 100000};
    int64_t deadline_ms = harness_now_ms() + WAIT_MS_MAX;
    while (expire_busy(expire)) {
        assert_true(harness_now_ms() < deadline_ms);
        (void)nanosleep(&pause, NULL);
        store_drain(f->store);
    }
}

static void unreadable_record_does_not_keep_others_from_expiring(void **state)
{
    struct fixture *f = *state;
    f->ks->now_ms = 1000000;
    set_until(f, "first", 2000000);
    set_until(f, "second", 2000001);
    cut_and_forget(f);
    damage_record(f, 0, "first");
    for (int64_t now_ms = 3000000; now_ms < 3002000; now_ms += 200)
        expire_step(f, now_ms, false);
    assert_int_equal(db_size(ks_db(f->ks, 0)), 1);
    struct expire_stats stats;
    expire_read_stats(store_expire(f->store), &stats);
    assert_int_equal(stats.from_disk, 1);
    assert_int_equal(stats.read_errors, 1);
    /* It is tried again now and then: it may have been an error that passes. */
    for (int64_t now_ms = 3002000; now_ms < 3024000; now_ms += 200)
        expire_step(f, now_ms, false);
    expire_read_stats(store_expire(f->store), &stats);
    assert_in_range(stats.read_errors, 2, 3);
}

static void keys_on_disk_expire_although_cuts_are_applied_all_the_time(void **state)
{
    struct fixture *f = *state;
    f->ks->now_ms = 1000000;
    set_until(f, "first", 2000000);
    set_until(f, "second", 2000001);
    cut_and_forget(f);
    for (int64_t now_ms = 3000000; now_ms < 3002000; now_ms += 200)
        expire_step(f, now_ms, true);
    assert_int_equal(db_size(ks_db(f->ks, 0)), 0);
}

/* ---- Expiry of fields on disk. */

/* "hash", a small table, with field0.."field<count - 1>". */
static void fill_small_hash(struct fixture *f, int count)
{
    struct keyref ref;
    char name[24];
    uint8_t value[100] = {0}; /* too long for a listpack */
    ref_of(f, 0, "hash", &ref);
    struct object *o = ks_create(f->ks, &ref, OBJECT_HASH);
    ks_change_begin(f->ks, ref.db, o);
    hash_init(o);
    for (int i = 0; i < count; i++) {
        (void)snprintf(name, sizeof(name), "field%d", i);
        (void)hash_set(o, ks_value_rules(f->ks), bytes_text(name), bytes_make(value, sizeof(value)),
                       OBJECT_NO_EXPIRE);
    }
    assert_int_equal(o->encoding, ENCODING_TABLE);
    ks_change_end(f->ks, ref.db, o);
}

/* As HPEXPIREAT does. */
static void note_field(struct fixture *f, int field, int64_t deadline_ms)
{
    struct keyref ref;
    date_field(f, field, deadline_ms);
    ref_of(f, 0, "hash", &ref);
    ks_note_deadline(f->ks, ref.db, ks_find(f->ks, &ref), deadline_ms);
}

static void expire_hash(struct fixture *f, int64_t at_ms)
{
    struct keyref ref;
    ref_of(f, 0, "hash", &ref);
    ks_set_expire(f->ks, ref.db, ks_find(f->ks, &ref), at_ms);
}

/* When the record of "hash" says that something is due. */
static int64_t deadline_on_disk(struct fixture *f, struct buf *record_key)
{
    struct keyref ref;
    struct buf value = {0};
    struct record_header header;
    struct bytes payload;
    ks_ref(f->ks, ks_db(f->ks, 0), bytes_text("hash"), &ref);
    record_key->len = record_key_encode(ref.db->id, ref.position, ref.key,
                                        buf_reserve(record_key, record_key_bytes(ref.key.len)));
    assert_ok(cold_get(store_cold(f->store), FAMILY_HASH, buf_bytes(record_key), &value, NULL),
              NULL);
    assert_ok(record_header_decode(buf_bytes(&value), &header, &payload), NULL);
    int64_t at_ms = object_record_deadline(OBJECT_HASH, &header, payload);
    buf_deinit(&value);
    return at_ms;
}

/* What a record on disk says is due has an entry in the index that is due no later. */
static void check_hash_is_indexed(struct fixture *f)
{
    struct buf record_key = {0};
    int64_t deadline_ms = deadline_on_disk(f, &record_key);
    bool found = deadline_ms == OBJECT_NO_EXPIRE;
    struct cold_iter *iter = cold_iter_create(store_cold(f->store), FAMILY_EXPIRES, NULL);
    for (cold_iter_seek_first(iter); cold_iter_valid(iter); cold_iter_next(iter)) {
        int64_t when_ms;
        struct bytes key;
        assert_true(record_expires_key_decode(cold_iter_key(iter), &when_ms, &key));
        found |= bytes_equal(key, buf_bytes(&record_key)) && when_ms <= deadline_ms;
    }
    assert_ok(cold_iter_status(iter, NULL), NULL);
    cold_iter_destroy(iter);
    buf_deinit(&record_key);
    assert_true(found);
}

/* Ten reads of the index, 200 ms apart. */
static void expire_until(struct fixture *f, int64_t now_ms)
{
    for (int64_t at_ms = now_ms - 2000; at_ms < now_ms; at_ms += 200)
        expire_step(f, at_ms, false);
    cut(f);
}

/* A record may tell the deadline of a field that has lost it. In RAM it is known better. */
static void check_index_covers_the_record(struct fixture *f, bool all_persist)
{
    f->ks->now_ms = 1000000;
    fill_small_hash(f, 3);
    note_field(f, 0, 2000000);
    note_field(f, 1, 4000000);
    cut(f);
    date_field(f, 0, OBJECT_NO_EXPIRE);
    if (all_persist)
        date_field(f, 1, OBJECT_NO_EXPIRE);
    cut_and_forget(f);
    check_hash_is_indexed(f);
    struct keyref ref;
    ref_of(f, 0, "hash", &ref);
    assert_int_equal(ks_find(f->ks, &ref)->state, OBJECT_CLEAN);
    expire_until(f, 2004000);
    check_hash_is_indexed(f);
    expire_until(f, 4004000);
    check_hash_is_indexed(f);
    ref_of(f, 0, "hash", &ref);
    assert_int_equal(hash_count(ks_find(f->ks, &ref)), all_persist ? 3 : 2);
}

static void index_covers_the_record_of_a_hash_that_is_in_ram(void **state)
{
    check_index_covers_the_record(*state, false);
}

static void index_covers_the_record_of_a_hash_without_deadlines_in_ram(void **state)
{
    check_index_covers_the_record(*state, true);
}

/* The key's own entry is dropped for that of the field, which is due before. */
static void check_key_expires_after_its_field(struct fixture *f, bool cold)
{
    f->ks->now_ms = 1000000;
    fill_small_hash(f, 3);
    expire_hash(f, 2000000);
    note_field(f, 0, 4000000);
    cut(f);
    expire_hash(f, 6000000);
    cut(f);
    for (int64_t now_ms = 2004000; now_ms < 6000000; now_ms += 2000000) {
        if (cold)
            cut_and_forget(f);
        expire_until(f, now_ms);
        check_hash_is_indexed(f);
    }
    cut_and_forget(f);
    expire_until(f, 6004000);
    assert_int_equal(db_size(ks_db(f->ks, 0)), 0);
}

static void hash_in_ram_expires_after_its_field(void **state)
{
    check_key_expires_after_its_field(*state, false);
}

static void hash_on_disk_expires_after_its_field(void **state)
{
    check_key_expires_after_its_field(*state, true);
}

/* ---- Restarts. */

static void cut_before_the_replay_is_through_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct bytes payload;
    uint32_t db = 0;
    uint64_t offset = 0;
    journal_stage_bytes(store_journal(f->store), 0, bytes_text("*1\r\n$4\r\nPING\r\n"));
    assert_ok(store_close(f->store, false, &err), &err);
    open_store(f);
    assert_status(store_cut_now(f->store, false, &err), ST_AGAIN);
    assert_status(store_evict_all(f->store, &err), ST_AGAIN);
    assert_ok(store_replay_next(f->store, &db, &offset, &payload, &err), &err);
    assert_status(store_cut_now(f->store, true, &err), ST_AGAIN);
    assert_status(store_replay_next(f->store, &db, &offset, &payload, &err), ST_END);
    cut(f);
    struct cut_stats stats;
    cut_read_stats(store_cut(f->store), &stats);
    assert_int_equal(stats.offset, journal_end(store_journal(f->store)));
}

/* ---- Files. */

#define NAMES_MAX 8

/* Directories whose names may not be durable yet. */
struct new_names {
    char paths[NAMES_MAX][ENV_PATH_BYTES_MAX];
    size_t count, made;
};

static bool is_parent(const char *parent, const char *path)
{
    size_t len = strlen(parent);
    return strncmp(parent, path, len) == 0 && path[len] == '/' &&
           strchr(path + len + 1, '/') == NULL;
}

static int let_through(void *arg, struct env_call *call)
{
    (void)arg;
    (void)call;
    return 0;
}

static void watch_names(void *arg, const struct env_call *call, int error, size_t done)
{
    struct new_names *names = arg;
    (void)done;
    if (error != 0)
        return;
    if (call->op == ENV_OP_MKDIR) {
        assert_true(names->count < NAMES_MAX);
        (void)snprintf(names->paths[names->count++], ENV_PATH_BYTES_MAX, "%s", call->path);
        names->made++;
    }
    for (size_t i = names->count; call->op == ENV_OP_SYNC_DIR && i-- > 0;)
        if (is_parent(call->path, names->paths[i]))
            memmove(names->paths[i], names->paths[--names->count], ENV_PATH_BYTES_MAX);
}

static void new_directories_have_durable_names(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char path[ENV_PATH_BYTES_MAX];
    struct env_hook hook;
    struct new_names *names = mem_calloc(1, sizeof(*names));
    assert_ok(store_close(f->store, false, &err), &err);
    env_hook_init(&hook, env_posix(), let_through, watch_names, names);
    (void)snprintf(path, sizeof(path), "%s/new", f->dir);
    f->options.dir = path;
    f->options.env = &hook.env;
    open_store(f);
    assert_int_equal(names->made, 2); /* itself, and the journal's */
    assert_int_equal(names->count, 0);
    assert_ok(store_close(f->store, true, &err), &err);
    f->store = NULL;
    env_hook_deinit(&hook);
    mem_free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(large_value_that_moved_survives_the_emptying_of_its_first_database, setup,
                  teardown),
        TEST_WITH(large_value_renamed_and_then_moved_survives_it_too, setup, teardown),
        TEST_WITH(large_value_of_zeros_that_moved_keeps_what_is_written_later, setup, teardown),
        TEST_WITH(elements_go_when_the_database_is_emptied_that_the_value_moved_to, setup,
                  teardown),
        TEST_WITH(elements_go_with_their_database_whatever_their_type, setup, teardown),
        TEST_WITH(disk_space_of_a_deleted_collection_is_free_once_it_is_reaped, setup, teardown),
        TEST_WITH(records_of_deadlines_go_with_them, setup, teardown),
        TEST_WITH(running_cut_is_given_up_with_a_large_value_that_was_deleted, setup, teardown),
        TEST_WITH(unreadable_record_does_not_keep_others_from_expiring, setup, teardown),
        TEST_WITH(keys_on_disk_expire_although_cuts_are_applied_all_the_time, setup, teardown),
        TEST_WITH(index_covers_the_record_of_a_hash_that_is_in_ram, setup, teardown),
        TEST_WITH(index_covers_the_record_of_a_hash_without_deadlines_in_ram, setup, teardown),
        TEST_WITH(hash_in_ram_expires_after_its_field, setup, teardown),
        TEST_WITH(hash_on_disk_expires_after_its_field, setup, teardown),
        TEST_WITH(cut_before_the_replay_is_through_is_refused, setup, teardown),
        TEST_WITH(new_directories_have_durable_names, setup, teardown),
    };
    return RUN_TESTS("store", tests);
}
