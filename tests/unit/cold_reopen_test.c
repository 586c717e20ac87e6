/* Goal: RocksDB can be closed and opened again under the readers, who notice nothing but a pause,
 * and who never get a missing key for an answer because RocksDB is not there.
 *
 * Method: a store whose keys are all known; readers in threads of their own; files that are moved
 * away so that the store cannot be opened again. */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "storage/cold.h"
#include "tests/support/harness.h"

#define KEYS          2000
#define READERS       3
#define REOPENINGS    10
#define BATCH_KEYS    20
#define KEY_BYTES_MAX 16

struct fixture {
    char *dir;
    struct cold *cold;
};

static struct bytes key_of(unsigned number, char out[KEY_BYTES_MAX])
{
    int len = snprintf(out, KEY_BYTES_MAX, "key%06u", number);
    return bytes_make(out, (size_t)len);
}

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    f->dir = harness_make_dir();
    const struct cold_options options = {.dir = f->dir,
                                         .write_buffer_bytes = COLD_WRITE_BUFFER_BYTES_MIN,
                                         .block_cache_bytes = COLD_BLOCK_CACHE_BYTES_MIN};
    struct err err;
    assert_ok(cold_open(&options, &f->cold, &err), &err);
    struct cold_batch *batch = cold_batch_create();
    for (unsigned i = 0; i < KEYS; i++) {
        char key[KEY_BYTES_MAX];
        cold_batch_put(batch, FAMILY_STRING, key_of(i, key), key_of(i, key));
        if (i == KEYS / 2) { /* one half in a table, the other in the log */
            assert_ok(cold_write(f->cold, batch, false, &err), &err);
            assert_ok(cold_flush(f->cold, &err), &err);
            cold_batch_clear(batch);
        }
    }
    assert_ok(cold_write(f->cold, batch, false, &err), &err);
    cold_batch_destroy(batch);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cold_close(f->cold);
    harness_remove_dir(f->dir);
    mem_free(f->dir);
    mem_free(f);
    return 0;
}

static void assert_key_is_there(struct cold *cold, unsigned number)
{
    char key[KEY_BYTES_MAX];
    struct buf value = {0};
    struct err err;
    assert_ok(cold_get(cold, FAMILY_STRING, key_of(number, key), &value, &err), &err);
    assert_bytes(buf_bytes(&value), key_of(number, key));
    buf_deinit(&value);
}

/* ---- Readers -----------------------------------------------------------------------------------
 */

struct reader {
    struct cold *cold;
    pthread_t thread;
    atomic_bool *stopping;
    uint64_t reads;
    const char *problem; /* static; NULL: none */
    unsigned seed;
};

static void read_one(struct reader *reader, struct buf *value)
{
    char key[KEY_BYTES_MAX];
    unsigned number = (unsigned)rand_r(&reader->seed) % (2 * KEYS);
    struct bytes bytes = key_of(number, key);
    bool there = number < KEYS;
    if (cold_probe(reader->cold, FAMILY_STRING, bytes) == COLD_ABSENT && there)
        reader->problem = "the probe denies a key that is there";
    enum status st = cold_get_cached(reader->cold, FAMILY_STRING, bytes, value, NULL);
    if (st != ST_AGAIN && (st == ST_OK) != there)
        reader->problem = "a cached read answers wrongly";
    st = cold_get(reader->cold, FAMILY_STRING, bytes, value, NULL);
    if (st != (there ? ST_OK : ST_NOT_FOUND) || (there && !bytes_equal(buf_bytes(value), bytes)))
        reader->problem = "a read answers wrongly";
}

static void read_batch(struct reader *reader)
{
    char texts[BATCH_KEYS][KEY_BYTES_MAX];
    struct bytes keys[BATCH_KEYS];
    struct cold_result results[BATCH_KEYS] = {{0}};
    unsigned first = (unsigned)rand_r(&reader->seed) % (KEYS - BATCH_KEYS);
    for (unsigned i = 0; i < BATCH_KEYS; i++)
        keys[i] = key_of(first + i, texts[i]);
    if (cold_get_batch(reader->cold, FAMILY_STRING, BATCH_KEYS, keys, results, NULL) != ST_OK)
        reader->problem = "a batch of reads fails";
    for (unsigned i = 0; i < BATCH_KEYS; i++)
        if (results[i].status != ST_OK || !bytes_equal(results[i].value, keys[i]))
            reader->problem = "a batch of reads answers wrongly";
    cold_results_release(results, BATCH_KEYS);
}

static void read_range(struct reader *reader)
{
    char first[KEY_BYTES_MAX];
    unsigned number = (unsigned)rand_r(&reader->seed) % (KEYS - BATCH_KEYS);
    struct cold_iter *iter = cold_iter_create(reader->cold, FAMILY_STRING, NULL);
    cold_iter_seek(iter, key_of(number, first));
    for (unsigned i = 0; i < BATCH_KEYS; i++) {
        char key[KEY_BYTES_MAX];
        if (!cold_iter_valid(iter) || !bytes_equal(cold_iter_key(iter), key_of(number + i, key))) {
            reader->problem = "an iterator misses a key";
            break;
        }
        cold_iter_next(iter);
    }
    cold_iter_destroy(iter);
}

static void *run_reader(void *arg)
{
    struct reader *reader = arg;
    struct buf value = {0};
    while (!atomic_load(reader->stopping) && reader->problem == NULL) {
        read_one(reader, &value);
        read_batch(reader);
        read_range(reader);
        reader->reads++;
    }
    buf_deinit(&value);
    return NULL;
}

static void readers_notice_nothing_of_a_reopening(void **state)
{
    struct fixture *f = *state;
    struct reader readers[READERS];
    atomic_bool stopping = false;
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.cold = f->cold, .stopping = &stopping, .seed = i};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, run_reader, &readers[i]), 0);
    }
    struct err err;
    for (unsigned done = 0; done < REOPENINGS;) {
        enum status st = cold_reopen(f->cold, &err);
        if (st == ST_AGAIN)
            continue;
        assert_ok(st, &err);
        done++;
        const struct timespec pause = {.tv_nsec = 2000000};
        (void)nanosleep(&pause, NULL);
    }
    atomic_store(&stopping, true);
    uint64_t reads = 0;
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        if (readers[i].problem != NULL)
            fail_msg("%s", readers[i].problem);
        reads += readers[i].reads;
    }
    assert_true(reads > 0);
}

/* ---- Holders -----------------------------------------------------------------------------------
 */

static void what_is_still_in_use_puts_a_reopening_off(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct cold_iter *iter = cold_iter_create(f->cold, FAMILY_STRING, NULL);
    assert_status(cold_reopen(f->cold, &err), ST_AGAIN);
    cold_iter_seek_first(iter);
    assert_true(cold_iter_valid(iter));
    cold_iter_destroy(iter);

    struct cold_snapshot *snapshot = cold_snapshot_create(f->cold);
    assert_status(cold_reopen(f->cold, &err), ST_AGAIN);
    cold_snapshot_release(f->cold, snapshot);

    char key[KEY_BYTES_MAX];
    struct bytes keys[1] = {key_of(7, key)};
    struct cold_result result = {0};
    assert_ok(cold_get_batch(f->cold, FAMILY_STRING, 1, keys, &result, &err), &err);
    assert_status(cold_reopen(f->cold, &err), ST_AGAIN);
    assert_bytes(result.value, keys[0]);
    cold_result_release(&result);
    cold_result_release(&result); /* once more is allowed, and counts for nothing */

    assert_false(cold_failed(f->cold, NULL)); /* putting it off is no failure */
    assert_ok(cold_reopen(f->cold, &err), &err);
    assert_key_is_there(f->cold, 7);
    assert_key_is_there(f->cold, KEYS - 1);
}

/* ---- A store that cannot be opened again -------------------------------------------------------
 */

/* Moves the first table out of the store's directory, or back into it. */
static void hide_table(struct fixture *f, char name[256], bool hide)
{
    char inside[600];
    char outside[600];
    DIR *entries = opendir(f->dir);
    assert_non_null(entries);
    struct dirent *entry;
    while (hide && (entry = readdir(entries)) != NULL)
        if (strstr(entry->d_name, ".sst") != NULL)
            (void)snprintf(name, 256, "%s", entry->d_name);
    closedir(entries);
    (void)snprintf(inside, sizeof(inside), "%s/%s", f->dir, name);
    (void)snprintf(outside, sizeof(outside), "%s.%s", f->dir, name);
    assert_int_equal(hide ? rename(inside, outside) : rename(outside, inside), 0);
}

static void a_store_that_cannot_be_reopened_answers_with_the_error(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char table[256] = "";
    char text[KEY_BYTES_MAX];
    struct bytes key = key_of(7, text);
    hide_table(f, table, true);
    assert_status(cold_reopen(f->cold, &err), ST_CORRUPT);
    assert_non_null(strstr(err.message, table));
    assert_true(cold_closed(f->cold));
    assert_true(cold_failed(f->cold, NULL));

    struct buf value = {0};
    struct cold_result result = {0};
    assert_status(cold_get(f->cold, FAMILY_STRING, key, &value, &err), ST_CORRUPT);
    assert_status(cold_get_cached(f->cold, FAMILY_STRING, key, &value, NULL), ST_AGAIN);
    assert_int_equal(cold_probe(f->cold, FAMILY_STRING, key), COLD_MAYBE);
    assert_status(cold_get_batch(f->cold, FAMILY_STRING, 1, &key, &result, &err), ST_CORRUPT);
    assert_int_equal(result.status, ST_CORRUPT);
    cold_result_release(&result);
    struct cold_iter *iter = cold_iter_create(f->cold, FAMILY_STRING, NULL);
    cold_iter_seek_first(iter);
    assert_false(cold_iter_valid(iter));
    assert_status(cold_iter_status(iter, &err), ST_CORRUPT);
    cold_iter_destroy(iter);
    struct cold_snapshot *snapshot = cold_snapshot_create(f->cold);
    assert_status(cold_get_at(f->cold, snapshot, FAMILY_STRING, key, &value, &err), ST_IO);
    struct cold_batch *batch = cold_batch_create();
    cold_batch_put(batch, FAMILY_STRING, key, key);
    assert_status(cold_write(f->cold, batch, true, &err), ST_CORRUPT);
    assert_status(cold_flush(f->cold, &err), ST_CORRUPT);
    cold_tend(f->cold, 1000);
    struct cold_stats stats;
    cold_read_stats(f->cold, &stats);
    assert_status(cold_property(f->cold, FAMILY_META, "rocksdb.stats", &value), ST_AGAIN);

    hide_table(f, table, false);
    assert_ok(cold_reopen(f->cold, &err), &err);
    assert_false(cold_closed(f->cold));
    assert_false(cold_failed(f->cold, NULL));
    /* A snapshot of nothing stays one. */
    assert_status(cold_get_at(f->cold, snapshot, FAMILY_STRING, key, &value, &err), ST_IO);
    cold_snapshot_release(f->cold, snapshot);
    assert_ok(cold_write(f->cold, batch, true, &err), &err);
    for (unsigned i = 0; i < KEYS; i++)
        assert_key_is_there(f->cold, i);
    cold_batch_destroy(batch);
    buf_deinit(&value);
}

static void a_reopened_store_holds_what_was_written_before_and_after(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct cold_batch *batch = cold_batch_create();
    for (unsigned i = 0; i < 5; i++) {
        char key[KEY_BYTES_MAX];
        cold_batch_put(batch, FAMILY_STRING, key_of(KEYS + i, key), key_of(KEYS + i, key));
        assert_ok(cold_write(f->cold, batch, false, &err), &err);
        assert_ok(cold_reopen(f->cold, &err), &err);
        assert_ok(cold_write(f->cold, batch, false, &err), &err); /* the same again is harmless */
        cold_batch_clear(batch);
    }
    for (unsigned i = 0; i < KEYS + 5; i++)
        assert_key_is_there(f->cold, i);
    cold_batch_destroy(batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(readers_notice_nothing_of_a_reopening, setup, teardown),
        TEST_WITH(what_is_still_in_use_puts_a_reopening_off, setup, teardown),
        TEST_WITH(a_store_that_cannot_be_reopened_answers_with_the_error, setup, teardown),
        TEST_WITH(a_reopened_store_holds_what_was_written_before_and_after, setup, teardown),
    };
    return RUN_TESTS("cold_reopen", tests);
}
