/* The cold tier on a healthy disk: batches, lookups, iterators, snapshots, import, checkpoints.
 * Each test has its own store with the smallest memtables, so that little data reaches files. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "storage/cold.h"
#include "tests/support/harness.h"

struct fixture {
    char *dir;
    struct cold *cold;
    struct cold_batch *batch;
};

static void open_store(struct fixture *f)
{
    const struct cold_options options = {.dir = f->dir,
                                         .write_buffer_bytes = COLD_WRITE_BUFFER_BYTES_MIN,
                                         .block_cache_bytes = COLD_BLOCK_CACHE_BYTES_MIN};
    struct err err;
    assert_ok(cold_open(&options, &f->cold, &err), &err);
}

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    f->dir = harness_make_dir();
    f->batch = cold_batch_create();
    *state = f;
    open_store(f);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cold_close(f->cold);
    cold_batch_destroy(f->batch);
    harness_remove_dir(f->dir);
    mem_free(f->dir);
    mem_free(f);
    return 0;
}

static void reopen(struct fixture *f)
{
    cold_close(f->cold);
    f->cold = NULL;
    open_store(f);
}

static void put(struct fixture *f, enum family family, const char *key, const char *value)
{
    cold_batch_put(f->batch, family, bytes_text(key), bytes_text(value));
}

static void write_batch(struct fixture *f)
{
    struct err err;
    assert_ok(cold_write(f->cold, f->batch, false, &err), &err);
    cold_batch_clear(f->batch);
}

static void flush(struct fixture *f)
{
    struct err err;
    assert_ok(cold_flush(f->cold, &err), &err);
}

static void assert_value(struct fixture *f, enum family family, const char *key, const char *value)
{
    struct buf got = {0};
    struct err err;
    assert_ok(cold_get(f->cold, family, bytes_text(key), &got, &err), &err);
    assert_bytes(buf_bytes(&got), bytes_text(value));
    buf_deinit(&got);
}

static void assert_absent(struct fixture *f, enum family family, const char *key)
{
    struct buf got = {0};
    struct err err;
    assert_status(cold_get(f->cold, family, bytes_text(key), &got, &err), ST_NOT_FOUND);
    assert_int_equal(got.len, 0);
    buf_deinit(&got);
}

struct key {
    char text[24];
    size_t len;
};

static struct key numbered(const char *prefix, unsigned number)
{
    struct key key;
    key.len = (size_t)snprintf(key.text, sizeof(key.text), "%s%08u", prefix, number);
    return key;
}

static struct bytes key_bytes(const struct key *key)
{
    return bytes_make(key->text, key->len);
}

/* Puts keys number [from, to) of a family with their own text, repeated, as the value. */
static void put_numbered(struct fixture *f, enum family family, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct key key = numbered("k", i);
        char value[200];
        int len =
            snprintf(value, sizeof(value), "%s-%s-%0150u", key.text, key.text, i * 2654435761U);
        cold_batch_put(f->batch, family, key_bytes(&key), bytes_make(value, (size_t)len));
    }
    write_batch(f);
}

/* ---- Batches ------------------------------------------------------------------------------------
 */

static void families_are_apart(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < FAMILY_COUNT; i++)
        put(f, (enum family)i, "key", cold_family_name((enum family)i));
    write_batch(f);
    for (int i = 0; i < FAMILY_COUNT; i++)
        assert_value(f, (enum family)i, "key", cold_family_name((enum family)i));
    reopen(f);
    for (int i = 0; i < FAMILY_COUNT; i++)
        assert_value(f, (enum family)i, "key", cold_family_name((enum family)i));
}

static void last_entry_of_a_key_wins(void **state)
{
    struct fixture *f = *state;
    put(f, FAMILY_HASH, "b", "1");
    put(f, FAMILY_HASH, "a", "1");
    put(f, FAMILY_HASH, "b", "2");
    cold_batch_delete(f->batch, FAMILY_HASH, bytes_text("a"));
    cold_batch_delete(f->batch, FAMILY_HASH, bytes_text("c"));
    put(f, FAMILY_HASH, "c", "3");
    put(f, FAMILY_HASH, "b", "3");
    assert_int_equal(cold_batch_count(f->batch), 7);
    write_batch(f);
    assert_absent(f, FAMILY_HASH, "a");
    assert_value(f, FAMILY_HASH, "b", "3");
    assert_value(f, FAMILY_HASH, "c", "3");
}

static void a_batch_sorts_any_order_of_keys(void **state)
{
    struct fixture *f = *state;
    /* 7919 is prime to the count, so all numbers come once, out of order; many share long prefixes,
     * some are prefixes of others. */
    const unsigned count = 5000;
    for (unsigned i = 0; i < count; i++) {
        struct key key = numbered("shared-prefix-", i * 7919 % count);
        cold_batch_put(f->batch, FAMILY_SET, bytes_make(key.text, key.len - i % 2),
                       key_bytes(&key));
    }
    write_batch(f);
    struct cold_iter *iter = cold_iter_create(f->cold, FAMILY_SET, NULL);
    struct buf previous = {0};
    size_t seen = 0;
    for (cold_iter_seek_first(iter); cold_iter_valid(iter); cold_iter_next(iter)) {
        assert_true(bytes_compare(buf_bytes(&previous), cold_iter_key(iter)) < 0);
        buf_clear(&previous);
        buf_append_bytes(&previous, cold_iter_key(iter));
        seen++;
    }
    assert_ok(cold_iter_status(iter, NULL), NULL);
    assert_true(seen > count / 2);
    buf_deinit(&previous);
    cold_iter_destroy(iter);
}

static void entries_larger_than_a_chunk_keep_their_bytes(void **state)
{
    struct fixture *f = *state;
    static const size_t sizes[] = {0, 1, 65000, 65536, 1 << 20, (1 << 20) + 1, 3 << 20};
    uint8_t *data = mem_alloc(3 << 20);
    for (size_t i = 0; i < 3 << 20; i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct key key = numbered("size", (unsigned)i);
        struct bytes value = bytes_make(data + i, sizes[i] > i ? sizes[i] - i : 0);
        struct bytes head = bytes_make(value.data, value.len / 3);
        struct bytes body = bytes_make(value.data + head.len, value.len - head.len);
        cold_batch_put_parts(f->batch, FAMILY_STRING, key_bytes(&key), head, body);
    }
    assert_true(cold_batch_bytes(f->batch) > 5 << 20);
    write_batch(f);
    assert_int_equal(cold_batch_bytes(f->batch), 0);
    struct buf got = {0};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct key key = numbered("size", (unsigned)i);
        assert_ok(cold_get(f->cold, FAMILY_STRING, key_bytes(&key), &got, NULL), NULL);
        assert_bytes(buf_bytes(&got), bytes_make(data + i, sizes[i] > i ? sizes[i] - i : 0));
    }
    buf_deinit(&got);
    mem_free(data);
}

static void space_is_filled_in_place(void **state)
{
    struct fixture *f = *state;
    struct cold_batch_space space = cold_batch_put_space(f->batch, FAMILY_ZSET, 3, 5);
    memcpy(space.key, "abc", 3);
    memcpy(space.value, "12345", 5);
    write_batch(f);
    assert_value(f, FAMILY_ZSET, "abc", "12345");
}

static void range_deletions_come_before_puts_of_their_batch(void **state)
{
    struct fixture *f = *state;
    put(f, FAMILY_LIST, "a", "old");
    put(f, FAMILY_LIST, "b", "old");
    put(f, FAMILY_LIST, "c", "old");
    write_batch(f);
    put(f, FAMILY_LIST, "b", "new");
    cold_batch_delete_range(f->batch, FAMILY_LIST, bytes_text("a"), bytes_text("c"));
    write_batch(f);
    assert_absent(f, FAMILY_LIST, "a");
    assert_value(f, FAMILY_LIST, "b", "new");
    assert_value(f, FAMILY_LIST, "c", "old");
    flush(f);
    assert_absent(f, FAMILY_LIST, "a");
    assert_value(f, FAMILY_LIST, "b", "new");
}

static void a_written_batch_can_be_written_again(void **state)
{
    struct fixture *f = *state;
    put(f, FAMILY_STRING, "key", "1");
    assert_ok(cold_write(f->cold, f->batch, true, NULL), NULL);
    reopen(f);
    assert_ok(cold_write(f->cold, f->batch, true, NULL), NULL);
    assert_value(f, FAMILY_STRING, "key", "1");
    cold_batch_clear(f->batch);
    put(f, FAMILY_STRING, "key", "2");
    write_batch(f);
    assert_value(f, FAMILY_STRING, "key", "2");
}

static void an_empty_batch_writes_nothing(void **state)
{
    struct fixture *f = *state;
    assert_ok(cold_write(f->cold, f->batch, false, NULL), NULL);
    assert_ok(cold_write(f->cold, f->batch, true, NULL), NULL);
    assert_ok(cold_sync(f->cold, NULL), NULL);
    struct cold_stats stats;
    cold_read_stats(f->cold, &stats);
    assert_int_equal(stats.sequence, 0);
    assert_int_equal(stats.writes, 0);
}

/* ---- Lookups ------------------------------------------------------------------------------------
 */

static void assert_probes_hold(struct fixture *f, unsigned count)
{
    unsigned absent = 0;
    for (unsigned i = 0; i < count; i++) {
        struct key key = numbered("k", i);
        assert_int_equal(cold_probe(f->cold, FAMILY_STRING, key_bytes(&key)), COLD_MAYBE);
        struct key other = numbered("other", i);
        absent += cold_probe(f->cold, FAMILY_STRING, key_bytes(&other)) == COLD_ABSENT;
    }
    assert_true(absent > count - count / 20);
}

static void a_probe_never_denies_an_existing_key(void **state)
{
    struct fixture *f = *state;
    const unsigned count = 6000;
    put_numbered(f, FAMILY_STRING, 0, count / 2);
    assert_probes_hold(f, count / 2); /* in a memtable */
    put_numbered(f, FAMILY_STRING, count / 2, count);
    flush(f);
    assert_probes_hold(f, count); /* in level 0 */
    assert_ok(
        cold_compact_range(f->cold, FAMILY_STRING, (struct bytes){0}, (struct bytes){0}, NULL),
        NULL);
    assert_probes_hold(f, count); /* in the last level */
    reopen(f);
    assert_probes_hold(f, count); /* with nothing cached */
}

static void a_deleted_key_is_absent(void **state)
{
    struct fixture *f = *state;
    put(f, FAMILY_STRING, "key", "value");
    write_batch(f);
    flush(f);
    cold_batch_delete(f->batch, FAMILY_STRING, bytes_text("key"));
    write_batch(f);
    assert_absent(f, FAMILY_STRING, "key");
    assert_int_equal(cold_probe(f->cold, FAMILY_STRING, bytes_text("key")), COLD_ABSENT);
}

static enum status get_cached(struct fixture *f, struct bytes key, struct buf *value)
{
    struct err err;
    return cold_get_cached(f->cold, FAMILY_STRING, key, value, &err);
}

static void a_cached_read_answers_from_memory_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    struct buf got = {0};
    put(f, FAMILY_STRING, "key", "value");
    put(f, FAMILY_STRING, "empty", "");
    write_batch(f);
    assert_status(get_cached(f, bytes_text("key"), &got), ST_OK);
    assert_bytes(buf_bytes(&got), bytes_text("value"));
    flush(f);
    reopen(f);
    assert_status(get_cached(f, bytes_text("key"), &got), ST_AGAIN);
    assert_int_equal(got.len, 0);
    assert_value(f, FAMILY_STRING, "key", "value");
    assert_status(get_cached(f, bytes_text("key"), &got), ST_OK);
    assert_bytes(buf_bytes(&got), bytes_text("value"));
    assert_status(get_cached(f, bytes_text("other"), &got), ST_NOT_FOUND);
    assert_value(f, FAMILY_STRING, "empty", "");
    assert_status(get_cached(f, bytes_text("empty"), &got), ST_AGAIN);
    buf_deinit(&got);
}

static void cached_reads_agree_with_full_reads(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, FAMILY_STRING, 0, 3000);
    flush(f);
    put_numbered(f, FAMILY_STRING, 2500, 5000);
    reopen(f);
    struct buf cached = {0};
    struct buf full = {0};
    unsigned answered = 0;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 5000; i += 3) {
            struct key key = numbered("k", i);
            enum status st = get_cached(f, key_bytes(&key), &cached);
            assert_true(st == ST_OK || st == ST_AGAIN);
            assert_ok(cold_get(f->cold, FAMILY_STRING, key_bytes(&key), &full, NULL), NULL);
            if (st == ST_OK)
                assert_bytes(buf_bytes(&cached), buf_bytes(&full));
            answered += st == ST_OK;
        }
    }
    assert_true(answered > 1000);
    buf_deinit(&cached);
    buf_deinit(&full);
}

static void a_batched_read_has_a_status_per_key(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, FAMILY_STRING, 0, 1000);
    flush(f);
    put_numbered(f, FAMILY_STRING, 1000, 1100);
    enum { COUNT = 300 };
    struct key keys[COUNT];
    struct bytes wanted[COUNT];
    struct cold_result results[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        keys[i] = numbered(i % 3 == 0 ? "missing" : "k", i * 7 % 1100);
        wanted[i] = key_bytes(&keys[i]);
    }
    struct err err;
    assert_ok(cold_get_batch(f->cold, FAMILY_STRING, COUNT, wanted, results, &err), &err);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_status(results[i].status, i % 3 == 0 ? ST_NOT_FOUND : ST_OK);
        if (i % 3 != 0)
            assert_bytes(bytes_make(results[i].value.data, keys[i].len), wanted[i]);
    }
    cold_results_release(results, COUNT);
    cold_results_release(results, COUNT); /* twice is allowed */
    assert_ok(cold_get_batch(f->cold, FAMILY_STRING, 0, wanted, results, &err), &err);
}

/* ---- Iterators and snapshots --------------------------------------------------------------------
 */

static void assert_at(const struct cold_iter *iter, const char *key)
{
    if (key == NULL) {
        assert_false(cold_iter_valid(iter));
        assert_ok(cold_iter_status(iter, NULL), NULL);
        return;
    }
    assert_true(cold_iter_valid(iter));
    assert_bytes(cold_iter_key(iter), bytes_text(key));
}

static void iterators_stay_within_their_bounds(void **state)
{
    struct fixture *f = *state;
    static const char *const keys[] = {"a", "b", "bb", "c", "d", "e"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        put(f, FAMILY_STRING, keys[i], "v");
        write_batch(f);
        if (i % 2 == 0)
            flush(f);
    }
    const struct cold_iter_options options = {.lower = bytes_text("b"), .upper = bytes_text("d")};
    struct cold_iter *iter = cold_iter_create(f->cold, FAMILY_STRING, &options);
    assert_at(iter, NULL);
    cold_iter_seek_first(iter);
    assert_at(iter, "b");
    cold_iter_prev(iter);
    assert_at(iter, NULL);
    cold_iter_seek_last(iter);
    assert_at(iter, "c");
    cold_iter_next(iter);
    assert_at(iter, NULL);
    cold_iter_seek(iter, bytes_text("a"));
    assert_at(iter, "b");
    cold_iter_next(iter);
    assert_at(iter, "bb");
    assert_bytes(cold_iter_value(iter), bytes_text("v"));
    cold_iter_seek(iter, bytes_text("cc"));
    assert_at(iter, NULL);
    cold_iter_seek_for_prev(iter, bytes_text("z"));
    assert_at(iter, "c");
    cold_iter_seek_for_prev(iter, bytes_text("bz"));
    assert_at(iter, "bb");
    cold_iter_seek_for_prev(iter, bytes_text("a"));
    assert_at(iter, NULL);
    cold_iter_destroy(iter);
    cold_iter_destroy(NULL);
}

static void iterators_show_the_moment_of_their_creation(void **state)
{
    struct fixture *f = *state;
    put(f, FAMILY_STRING, "a", "1");
    write_batch(f);
    struct cold_iter *iter = cold_iter_create(f->cold, FAMILY_STRING, NULL);
    put(f, FAMILY_STRING, "a", "2");
    put(f, FAMILY_STRING, "b", "2");
    write_batch(f);
    flush(f);
    cold_iter_seek_first(iter);
    assert_at(iter, "a");
    assert_bytes(cold_iter_value(iter), bytes_text("1"));
    cold_iter_next(iter);
    assert_at(iter, NULL);
    cold_iter_destroy(iter);
}

static void a_snapshot_outlives_overwrites_and_compaction(void **state)
{
    struct fixture *f = *state;
    put(f, FAMILY_HASH, "a", "1");
    put(f, FAMILY_SET, "a", "1");
    write_batch(f);
    struct cold_snapshot *snapshot = cold_snapshot_create(f->cold);
    put(f, FAMILY_HASH, "a", "2");
    cold_batch_delete_range(f->batch, FAMILY_SET, bytes_text("a"), bytes_text("b"));
    put(f, FAMILY_HASH, "b", "2");
    write_batch(f);
    flush(f);
    struct bytes all = {0};
    assert_ok(cold_compact_range(f->cold, FAMILY_HASH, all, all, NULL), NULL);
    assert_ok(cold_compact_range(f->cold, FAMILY_SET, all, all, NULL), NULL);
    struct buf got = {0};
    assert_ok(cold_get_at(f->cold, snapshot, FAMILY_HASH, bytes_text("a"), &got, NULL), NULL);
    assert_bytes(buf_bytes(&got), bytes_text("1"));
    assert_ok(cold_get_at(f->cold, snapshot, FAMILY_SET, bytes_text("a"), &got, NULL), NULL);
    assert_status(cold_get_at(f->cold, snapshot, FAMILY_HASH, bytes_text("b"), &got, NULL),
                  ST_NOT_FOUND);
    const struct cold_iter_options options = {.snapshot = snapshot};
    struct cold_iter *iter = cold_iter_create(f->cold, FAMILY_HASH, &options);
    cold_iter_seek_first(iter);
    assert_bytes(cold_iter_value(iter), bytes_text("1"));
    cold_iter_next(iter);
    assert_at(iter, NULL);
    cold_iter_destroy(iter);
    cold_snapshot_release(f->cold, snapshot);
    buf_deinit(&got);
    assert_value(f, FAMILY_HASH, "a", "2");
    assert_absent(f, FAMILY_SET, "a");
}

/* ---- Files --------------------------------------------------------------------------------------
 */

static uint64_t count_files(struct fixture *f, enum family family)
{
    struct cold_stats stats;
    cold_read_stats(f->cold, &stats);
    return stats.families[family].sst_files;
}

static void dropping_files_keeps_the_upper_bound(void **state)
{
    struct fixture *f = *state;
    put(f, FAMILY_STRING, "b1", "v");
    put(f, FAMILY_STRING, "b2", "v");
    write_batch(f);
    flush(f);
    /* A file whose greatest key is the (exclusive) upper bound must stay. */
    put(f, FAMILY_STRING, "b3", "v");
    put(f, FAMILY_STRING, "c", "v");
    write_batch(f);
    flush(f);
    struct bytes all = {0};
    assert_ok(cold_compact_range(f->cold, FAMILY_STRING, all, all, NULL), NULL);
    assert_int_equal(count_files(f, FAMILY_STRING), 2);
    struct bytes b = bytes_text("b");
    struct err err;
    assert_ok(cold_drop_files(f->cold, FAMILY_STRING, b, bytes_text("c"), &err), &err);
    assert_int_equal(count_files(f, FAMILY_STRING), 1);
    assert_value(f, FAMILY_STRING, "c", "v");
    assert_value(f, FAMILY_STRING, "b3", "v");
    struct bytes past_c = bytes_make("c", 2); /* with the terminator: the very next key */
    assert_ok(cold_drop_files(f->cold, FAMILY_STRING, b, past_c, &err), &err);
    assert_int_equal(count_files(f, FAMILY_STRING), 0);
    assert_absent(f, FAMILY_STRING, "c");
}

static struct cold_sst_writer *create_writer(struct fixture *f, const char *name, struct buf *path)
{
    buf_append_format(path, "%s/%s", f->dir, name);
    buf_append_byte(path, 0);
    struct cold_sst_writer *writer = NULL;
    struct err err;
    assert_ok(
        cold_sst_writer_create(f->cold, FAMILY_STRING, (const char *)path->data, &writer, &err),
        &err);
    return writer;
}

static void write_sst(struct fixture *f, const char *name, unsigned from, unsigned to,
                      struct buf *path)
{
    struct cold_sst_writer *writer = create_writer(f, name, path);
    struct err err;
    for (unsigned i = from; i < to; i++) {
        struct key key = numbered("k", i);
        assert_ok(cold_sst_writer_put(writer, key_bytes(&key), bytes_text(name), &err), &err);
    }
    assert_ok(cold_sst_writer_finish(writer, &err), &err);
    assert_true(cold_sst_writer_bytes(writer) > 0);
    cold_sst_writer_destroy(writer);
}

static void ingested_files_are_newer_than_all_before(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, FAMILY_STRING, 0, 10);
    flush(f);
    put_numbered(f, FAMILY_STRING, 5, 15); /* still in the memtable */
    struct buf paths[2] = {{0}};
    write_sst(f, "one.import", 8, 100, &paths[0]);
    write_sst(f, "two.import", 100, 200, &paths[1]);
    const char *names[] = {(const char *)paths[0].data, (const char *)paths[1].data};
    struct err err;
    assert_ok(cold_ingest(f->cold, FAMILY_STRING, names, 2, &err), &err);
    assert_int_not_equal(access(names[0], F_OK), 0); /* moved */
    assert_ok(cold_ingest(f->cold, FAMILY_STRING, names, 0, &err), &err);
    reopen(f);
    assert_value(f, FAMILY_STRING, "k00000008", "one.import");
    assert_value(f, FAMILY_STRING, "k00000099", "one.import");
    assert_value(f, FAMILY_STRING, "k00000100", "two.import");
    struct buf got = {0};
    assert_ok(cold_get(f->cold, FAMILY_STRING, bytes_text("k00000007"), &got, NULL), NULL);
    assert_true(got.len > 100);
    put(f, FAMILY_STRING, "k00000150", "newer");
    write_batch(f);
    assert_value(f, FAMILY_STRING, "k00000150", "newer");
    buf_deinit(&got);
    buf_deinit(&paths[0]);
    buf_deinit(&paths[1]);
}

static void a_table_file_takes_ascending_keys_only(void **state)
{
    struct fixture *f = *state;
    struct buf path = {0};
    struct cold_sst_writer *writer = create_writer(f, "t.import", &path);
    struct err err;
    assert_status(cold_sst_writer_finish(writer, &err), ST_INVALID);
    assert_ok(cold_sst_writer_put(writer, bytes_text("b"), bytes_text(""), &err), &err);
    assert_status(cold_sst_writer_put(writer, bytes_text("b"), bytes_text(""), &err), ST_INVALID);
    assert_status(cold_sst_writer_put(writer, bytes_text("a"), bytes_text(""), &err), ST_INVALID);
    cold_sst_writer_destroy(writer); /* unfinished: the file goes */
    assert_int_not_equal(access((const char *)path.data, F_OK), 0);
    assert_status(cold_sst_writer_create(f->cold, FAMILY_STRING, "/nonexistent/x", &writer, &err),
                  ST_IO);
    const char *missing = (const char *)path.data;
    assert_int_not_equal(cold_ingest(f->cold, FAMILY_STRING, &missing, 1, &err), ST_OK);
    assert_false(cold_failed(f->cold, &err)); /* the store itself is well */
    put(f, FAMILY_STRING, "a", "1");
    write_batch(f);
    buf_deinit(&path);
}

static void a_checkpoint_is_a_store_of_its_own(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, FAMILY_STRING, 0, 100);
    put(f, FAMILY_META, "cut", "7");
    write_batch(f);
    struct buf path = {0};
    buf_append_format(&path, "%s/copy", f->dir);
    buf_append_byte(&path, 0);
    const char *dir = (const char *)path.data;
    struct err err;
    assert_ok(cold_checkpoint(f->cold, dir, &err), &err);
    assert_status(cold_checkpoint(f->cold, dir, &err), ST_EXISTS);
    put(f, FAMILY_META, "cut", "8");
    write_batch(f);
    const struct cold_options options = {.dir = dir, .read_only = true};
    struct cold *copy = NULL;
    assert_ok(cold_open(&options, &copy, &err), &err);
    struct buf got = {0};
    assert_ok(cold_get(copy, FAMILY_META, bytes_text("cut"), &got, &err), &err);
    assert_bytes(buf_bytes(&got), bytes_text("7"));
    put(f, FAMILY_META, "cut", "9");
    assert_status(cold_write(copy, f->batch, false, &err), ST_INVALID);
    assert_status(cold_flush(copy, &err), ST_INVALID);
    cold_tend(copy, 1);
    cold_close(copy);
    buf_deinit(&got);
    buf_deinit(&path);
}

/* ---- The whole ----------------------------------------------------------------------------------
 */

static void figures_add_up(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, FAMILY_STRING, 0, 2000);
    struct cold_stats stats;
    cold_read_stats(f->cold, &stats);
    assert_int_equal(stats.writes, 1);
    assert_true(stats.write_bytes > 2000 * 150);
    assert_int_equal(stats.sequence, 2000);
    assert_true(stats.families[FAMILY_STRING].memtable_bytes > 2000 * 150);
    flush(f);
    cold_read_stats(f->cold, &stats);
    assert_int_equal(stats.families[FAMILY_STRING].keys_estimate, 2000);
    assert_int_equal(stats.total.sst_files, 1);
    assert_int_equal(stats.total.levels[0].files, 1);
    assert_true(stats.total.sst_bytes > 0);
    assert_true(stats.total.table_reader_bytes > 2000);
    assert_int_equal(stats.block_cache_capacity, COLD_BLOCK_CACHE_BYTES_MIN);
    assert_int_equal(stats.background_errors, 0);
    assert_false(stats.write_stopped);
    assert_true(cold_memory_bound(f->cold) >
                COLD_BLOCK_CACHE_BYTES_MIN + COLD_WRITE_BUFFER_BYTES_MIN);
    struct buf text = {0};
    assert_ok(cold_property(f->cold, FAMILY_STRING, "rocksdb.levelstats", &text), NULL);
    assert_true(text.len > 0);
    assert_status(cold_property(f->cold, FAMILY_STRING, "nonsense", &text), ST_NOT_FOUND);
    buf_deinit(&text);
}

static void files_are_merged_once_it_is_quiet(void **state)
{
    struct fixture *f = *state;
    cold_tend(f->cold, 1000);
    for (unsigned i = 0; i < 4; i++) {
        put_numbered(f, FAMILY_STRING, i * 10, i * 10 + 100);
        flush(f);
    }
    cold_tend(f->cold, 15999);
    assert_int_equal(count_files(f, FAMILY_STRING), 4);
    cold_tend(f->cold, 16000);
    int64_t deadline = harness_now_ms() + 10000;
    while (count_files(f, FAMILY_STRING) != 1 && harness_now_ms() < deadline)
        usleep(1000);
    assert_int_equal(count_files(f, FAMILY_STRING), 1);
    /* A load lets them pile up again. */
    char *large = mem_calloc(1, 33 << 20);
    cold_batch_put(f->batch, FAMILY_HASH, bytes_text("k"), bytes_make(large, 33 << 20));
    write_batch(f);
    mem_free(large);
    cold_tend(f->cold, 16001);
    for (unsigned i = 0; i < 3; i++) {
        put_numbered(f, FAMILY_STRING, i * 10, i * 10 + 100);
        flush(f);
    }
    assert_int_equal(count_files(f, FAMILY_STRING), 4);
}

struct reader {
    pthread_t thread;
    struct fixture *f;
    atomic_bool *stop;
    unsigned seed;
    uint64_t wrong;
    uint64_t reads;
};

/* Keys 0..1999 exist all the time: whatever runs beside, nothing may say that they do not. */
static void *read_existing(void *arg)
{
    struct reader *r = arg;
    struct buf got = {0};
    while (!atomic_load(r->stop)) {
        r->seed = r->seed * 1664525 + 1013904223;
        struct key key = numbered("k", (r->seed >> 8) % 2000);
        enum status cached =
            cold_get_cached(r->f->cold, FAMILY_STRING, key_bytes(&key), &got, NULL);
        r->wrong += cold_probe(r->f->cold, FAMILY_STRING, key_bytes(&key)) == COLD_ABSENT;
        r->wrong += cached != ST_OK && cached != ST_AGAIN;
        r->wrong += cold_get(r->f->cold, FAMILY_STRING, key_bytes(&key), &got, NULL) != ST_OK;
        r->wrong += got.len < key.len || memcmp(got.data, key.text, key.len) != 0;
        r->reads++;
    }
    buf_deinit(&got);
    return NULL;
}

static void readers_see_every_key_beside_writes_and_compactions(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, FAMILY_STRING, 0, 2000);
    atomic_bool stop = false;
    struct reader readers[2];
    for (unsigned i = 0; i < 2; i++) {
        readers[i] = (struct reader){.f = f, .stop = &stop, .seed = i + 1};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_existing, &readers[i]), 0);
    }
    struct bytes all = {0};
    for (unsigned round = 0; round < 12; round++) {
        put_numbered(f, FAMILY_STRING, round * 100, round * 100 + 800);
        if (round % 2 == 0)
            flush(f);
        if (round % 4 == 0)
            assert_ok(cold_compact_range(f->cold, FAMILY_STRING, all, all, NULL), NULL);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].wrong, 0);
        assert_true(readers[i].reads > 0);
    }
}

static void a_store_serves_under_other_options(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, FAMILY_STRING, 0, 3000);
    flush(f);
    static const struct cold_options variants[] = {
        {.bounded_metadata = true, .compression = COLD_COMPRESSION_ZSTD},
        {.direct_io = true, .compression = COLD_COMPRESSION_NONE, .background_jobs = 4},
    };
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        cold_close(f->cold);
        f->cold = NULL;
        struct cold_options options = variants[i];
        options.dir = f->dir;
        struct err err;
        assert_ok(cold_open(&options, &f->cold, &err), &err);
        put_numbered(f, FAMILY_STRING, 2000, 5000);
        struct bytes all = {0};
        assert_ok(cold_compact_range(f->cold, FAMILY_STRING, all, all, &err), &err);
        assert_probes_hold(f, 5000);
        struct buf got = {0};
        for (unsigned n = 0; n < 5000; n += 7) {
            struct key key = numbered("k", n);
            assert_ok(cold_get(f->cold, FAMILY_STRING, key_bytes(&key), &got, &err), &err);
            assert_memory_equal(got.data, key.text, key.len);
        }
        buf_deinit(&got);
    }
}

int main(void)
{
#define STORE_TEST(function) TEST_WITH(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(families_are_apart),
        STORE_TEST(last_entry_of_a_key_wins),
        STORE_TEST(a_batch_sorts_any_order_of_keys),
        STORE_TEST(entries_larger_than_a_chunk_keep_their_bytes),
        STORE_TEST(space_is_filled_in_place),
        STORE_TEST(range_deletions_come_before_puts_of_their_batch),
        STORE_TEST(a_written_batch_can_be_written_again),
        STORE_TEST(an_empty_batch_writes_nothing),
        STORE_TEST(a_probe_never_denies_an_existing_key),
        STORE_TEST(a_deleted_key_is_absent),
        STORE_TEST(a_cached_read_answers_from_memory_or_not_at_all),
        STORE_TEST(cached_reads_agree_with_full_reads),
        STORE_TEST(a_batched_read_has_a_status_per_key),
        STORE_TEST(iterators_stay_within_their_bounds),
        STORE_TEST(iterators_show_the_moment_of_their_creation),
        STORE_TEST(a_snapshot_outlives_overwrites_and_compaction),
        STORE_TEST(dropping_files_keeps_the_upper_bound),
        STORE_TEST(ingested_files_are_newer_than_all_before),
        STORE_TEST(a_table_file_takes_ascending_keys_only),
        STORE_TEST(a_checkpoint_is_a_store_of_its_own),
        STORE_TEST(figures_add_up),
        STORE_TEST(files_are_merged_once_it_is_quiet),
        STORE_TEST(readers_see_every_key_beside_writes_and_compactions),
        STORE_TEST(a_store_serves_under_other_options),
    };
    return RUN_TESTS("cold", tests);
}
