/* What an import makes of an RDB: files are made in memory, imported with little memory and much,
 * and the store is then compared with what was put in, and with itself. */
#include <stdio.h>
#include <stdlib.h>

#include "codec/mem.h"
#include "codec/rdb_write.h"
#include "storage/cold.h"
#include "storage/env.h"
#include "storage/import_internal.h"
#include "storage/types/string.h"
#include "tests/support/byte_source.h"
#include "tests/support/dataset.h"
#include "tests/support/harness.h"
#include "tests/support/rdb_samples.h"

#define FUTURE_MS INT64_C(4102444800000) /* 2100 */

static int make_dir(void **state)
{
    *state = harness_make_dir();
    return 0;
}

static int remove_dir(void **state)
{
    harness_remove_dir(*state);
    mem_free(*state);
    return 0;
}

static struct bytes text(const char *s)
{
    return bytes_text(s);
}

static void import_ok(const char *dir, size_t memory_bytes, struct rdb_file *file,
                      struct import_report *report)
{
    struct import_options options = {.dir = dir, .memory_bytes = memory_bytes};
    struct err err;
    assert_ok(dataset_import(&options, buf_bytes(&file->bytes), report, &err), &err);
}

static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* ---- Contents ---- */

static void strings_come_in_as_the_server_would_hold_them(void **state)
{
    static const struct {
        const char *value;
        uint8_t encoding;
    } cases[] = {
        {"", RECORD_STRING_EMBSTR},
        {"0", RECORD_STRING_INT},
        {"-17", RECORD_STRING_INT},
        {"70000", RECORD_STRING_INT},
        {"9223372036854775807", RECORD_STRING_INT},
        {"-9223372036854775808", RECORD_STRING_INT},
        {"9223372036854775808", RECORD_STRING_EMBSTR},
        {"007", RECORD_STRING_EMBSTR},
        {"hello", RECORD_STRING_EMBSTR},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", RECORD_STRING_EMBSTR}, /* 44 */
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", RECORD_STRING_RAW},   /* 45 */
    };
    const size_t count = sizeof(cases) / sizeof(cases[0]);
    struct rdb_file file;
    rdb_file_begin(&file);
    rdb_file_select(&file, 0);
    for (size_t i = 0; i < count; i++)
        rdb_file_put(&file, bytes_make(&i, sizeof(i)), text(cases[i].value), 0);
    rdb_file_end(&file);
    struct import_report report;
    import_ok(*state, 0, &file, &report);
    assert_int_equal(report.keys, count);
    assert_int_equal(report.rdb_version, 10);
    assert_string_equal(report.redis_version, "7.2.4");
    struct dataset dataset;
    dataset_open(&dataset, *state);
    struct buf value = {0};
    for (size_t i = 0; i < count; i++) {
        struct record_header header;
        assert_true(dataset_read(&dataset, 0, bytes_make(&i, sizeof(i)), &value, &header));
        assert_bytes(buf_bytes(&value), text(cases[i].value));
        assert_int_equal(header.encoding, cases[i].encoding);
        assert_false(header.large);
    }
    assert_int_equal(dataset_check(&dataset), count);
    assert_int_equal(dataset.state.cut_offset, 0);
    buf_deinit(&value);
    dataset_close(&dataset);
    rdb_file_deinit(&file);
}

static void an_empty_file_becomes_an_empty_dataset(void **state)
{
    struct rdb_file file;
    rdb_file_begin(&file);
    rdb_file_end(&file);
    import_ok(*state, 0, &file, NULL);
    struct dataset dataset;
    dataset_open(&dataset, *state);
    assert_int_equal(dataset.state.db_count, 16);
    assert_int_equal(dataset.state.next_db_id, 16);
    assert_int_equal(dataset_check(&dataset), 0);
    dataset_close(&dataset);
    rdb_file_deinit(&file);
}

static void databases_keep_their_keys_apart(void **state)
{
    struct rdb_file file;
    rdb_file_begin(&file);
    static const uint32_t numbers[] = {0, 3, 15, 20, 3000};
    for (size_t i = 0; i < 5; i++) {
        rdb_file_select(&file, numbers[i]);
        rdb_file_put(&file, text("same"), bytes_make(&i, sizeof(i)), i == 2 ? FUTURE_MS : 0);
        rdb_file_put(&file, bytes_make(&i, sizeof(i)), text("own"), 0);
    }
    rdb_file_end(&file);
    import_ok(*state, 0, &file, NULL);
    struct dataset dataset;
    dataset_open(&dataset, *state);
    assert_int_equal(dataset.state.db_count, 3001);
    for (size_t i = 0; i < 5; i++) {
        dataset_assert(&dataset, numbers[i], text("same"), bytes_make(&i, sizeof(i)),
                       i == 2 ? FUTURE_MS : 0);
        assert_int_equal(dataset.state.dbs[numbers[i]].keys[OBJECT_STRING], 2);
        assert_int_equal(dataset.state.dbs[numbers[i]].expires, i == 2);
    }
    assert_int_equal(dataset_check(&dataset), 10);
    dataset_close(&dataset);
    rdb_file_deinit(&file);
}

static int64_t at_a_thousand_seconds(struct env *env)
{
    (void)env;
    return 1000000;
}

static void keys_that_are_due_are_left_out(void **state)
{
    struct env env = *env_posix();
    env.now_realtime_ms = at_a_thousand_seconds;
    for (int keep = 0; keep <= 1; keep++) {
        struct rdb_file file;
        rdb_file_begin(&file);
        rdb_file_select(&file, 0);
        rdb_file_put(&file, text("before"), text("1"), 999999);
        rdb_file_put(&file, text("now"), text("2"), 1000000);
        rdb_file_put(&file, text("after"), text("3"), 1000001);
        rdb_file_put(&file, text("none"), text("4"), -1); /* what Redis takes for no expiry */
        rdb_file_put(&file, text("negative"), text("5"), -2);
        rdb_file_end(&file);
        struct import_options options = {
            .env = &env, .dir = *state, .replace = true, .keep_expired = keep != 0};
        struct import_report report;
        struct err err;
        assert_ok(dataset_import(&options, buf_bytes(&file.bytes), &report, &err), &err);
        assert_int_equal(report.expired, keep ? 0 : 2);
        assert_int_equal(report.keys, keep ? 5 : 3);
        assert_int_equal(report.expires, keep ? 4 : 2);
        struct dataset dataset;
        dataset_open(&dataset, *state);
        dataset_assert(&dataset, 0, text("now"), text("2"), 1000000);
        dataset_assert(&dataset, 0, text("after"), text("3"), 1000001);
        dataset_assert(&dataset, 0, text("none"), text("4"), 0);
        (void)dataset_check(&dataset);
        dataset_close(&dataset);
        rdb_file_deinit(&file);
    }
}

/* As import_ok, with the databases. */
static enum status import_dbs_of(const char *dir, const struct import_options *how,
                                 struct rdb_file *file, struct import_report *report,
                                 struct import_db *db)
{
    struct byte_source source = {.data = buf_bytes(&file->bytes)};
    struct import_options options = *how;
    struct import *import = NULL;
    struct err err;
    bool placed;
    options.env = env_posix();
    options.dir = dir;
    options.replace = true;
    options.read = byte_source_read;
    options.read_arg = &source;
    assert_ok(import_open(&options, &import, &err), &err);
    enum status st = import_read(import, &err);
    if (st == ST_OK) {
        uint32_t count;
        assert_ok(import_publish(import, &placed, &err), &err);
        *report = *import_report(import);
        *db = import_dbs(import, &count)[0];
    }
    import_close(import);
    return st;
}

static void values_of_modules_are_skipped_and_counted(void **state)
{
    static const uint8_t module[] = {0x81, 75, 81, 173, 75, 52, 140, 0, 1, 2, 5, 0};
    struct rdb_file file;
    rdb_file_begin(&file);
    rdb_file_select(&file, 0);
    rdb_file_put_raw(&file, "m", RDB_TYPE_MODULE_2, bytes_make(module, sizeof(module)));
    rdb_file_put(&file, text("k"), text("v"), 0);
    rdb_file_end(&file);
    struct import_report report;
    import_ok(*state, 0, &file, &report);
    assert_int_equal(report.keys, 1);
    assert_int_equal(report.skipped[RDB_TYPE_MODULE_2], 1);
    struct dataset dataset;
    dataset_open(&dataset, *state);
    assert_int_equal(dataset_check(&dataset), 1);
    dataset_close(&dataset);
    rdb_file_deinit(&file);
}

static void libraries_are_known_by_their_names(void **state)
{
    static const struct {
        const char *codes[2];
        enum status status;
    } cases[] = {
        {{"#!lua name=one\nreturn", "#!lua name=two\nreturn"}, ST_OK},
        {{"#!lua\tNAME=one\nreturn", "#!lua \"name=two\"\nreturn"}, ST_OK},
        {{"#!lua name=one\nreturn", "#!lua name=on\nreturn"}, ST_OK},
        {{"#!lua name=one\nreturn", "#!lua \"name=one\"\nreturn"}, ST_CORRUPT}, /* twice */
        {{"#!lua name=one\nreturn", "#!lua\nreturn"}, ST_CORRUPT},
        {{"#!lua name=one\nreturn", "#!lua name=\nreturn"}, ST_CORRUPT},
        {{"#!lua name=one\nreturn", "#!lua name=t.o\nreturn"}, ST_CORRUPT},
        {{"#!lua name=one\nreturn", "#!lua name=two"}, ST_CORRUPT},
        {{"#!lua name=one\nreturn", ""}, ST_CORRUPT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rdb_file file;
        struct import_options options = {.dir = *state, .replace = true};
        struct import_report report;
        rdb_file_begin(&file);
        rdb_writer_put_function(file.writer, text(cases[i].codes[0]));
        rdb_writer_put_function(file.writer, text(cases[i].codes[1]));
        rdb_file_end(&file);
        enum status st = dataset_import(&options, buf_bytes(&file.bytes), &report, NULL);
        if (st != cases[i].status)
            fail_msg("case %zu: %s", i, status_name(st));
        if (st == ST_OK)
            assert_int_equal(report.functions, 2);
        rdb_file_deinit(&file);
    }
}

/* ---- Collections ---- */

static void collections_of_all_types_come_in_small_or_large(void **state)
{
    size_t count;
    const struct rdb_sample *samples = rdb_samples(&count);
    struct rdb_file file;
    rdb_file_begin(&file);
    rdb_file_select(&file, 0);
    for (size_t i = 0; i < count; i++) {
        struct buf value = {0};
        samples[i].put(&value);
        rdb_file_put_raw(&file, samples[i].name, samples[i].type, buf_bytes(&value));
        buf_deinit(&value);
    }
    rdb_file_put_raw(&file, "empty", RDB_TYPE_LIST, bytes_make("", 1));
    rdb_file_end(&file);
    for (int large = 0; large < 2; large++) {
        struct import_options options = {.large_collection_bytes = large ? 1 : 0};
        struct import_report report;
        struct import_db db;
        assert_int_equal(import_dbs_of(*state, &options, &file, &report, &db), ST_OK);
        assert_int_equal(report.keys, count);
        assert_int_equal(report.empty, 1);
        assert_int_equal(db.keys_of_type[OBJECT_STRING], 3);
        assert_int_equal(db.keys_of_type[OBJECT_LIST], 4);
        assert_int_equal(db.keys_of_type[OBJECT_SET], 5);
        assert_int_equal(db.keys_of_type[OBJECT_ZSET], 5);
        assert_int_equal(db.keys_of_type[OBJECT_HASH], 10);
        assert_int_equal(db.keys_of_type[OBJECT_STREAM], 3);
        if (large)
            assert_int_equal(report.large_collections, 3 + 4);
        else
            assert_int_equal(report.large_collections, 0);
    }
    rdb_file_deinit(&file);
}

/* A set of `count` members, the last of which is the one at `repeated` again. */
static void make_large_set(struct rdb_file *file, uint32_t count, uint32_t repeated)
{
    struct buf value = {0};
    uint8_t head[5] = {RDB_LENGTH_32_BITS};
    store_be32(head + 1, count);
    buf_append(&value, head, sizeof(head));
    for (uint32_t i = 0; i < count; i++) {
        buf_append_byte(&value, 14);
        buf_append_format(&value, "member%08u", i + 1 == count ? repeated : i);
    }
    rdb_file_begin(file);
    rdb_file_select(file, 0);
    rdb_file_put_raw(file, "set", RDB_TYPE_SET, buf_bytes(&value));
    rdb_file_end(file);
    buf_deinit(&value);
}

static void a_collection_larger_than_memory_is_written_while_it_comes(void **state)
{
    const uint32_t count = 200000;
    struct import_options options = {.memory_bytes = IMPORT_MEMORY_BYTES_MIN};
    struct rdb_file file;
    struct import_report report;
    struct import_db db;
    make_large_set(&file, count, count - 1);
    assert_int_equal(import_dbs_of(*state, &options, &file, &report, &db), ST_OK);
    assert_int_equal(report.keys, 1);
    assert_int_equal(report.large_collections, 1);
    assert_true(report.runs > 20);
    rdb_file_deinit(&file);
    /* Nobody has the first members in RAM any more when the last one comes. */
    make_large_set(&file, count, 5);
    assert_int_equal(import_dbs_of(*state, &options, &file, &report, &db), ST_CORRUPT);
    rdb_file_deinit(&file);
}

/* ---- Large strings ---- */

static uint8_t *make_noise(size_t len, uint64_t seed)
{
    uint8_t *data = mem_alloc(len + 8);
    for (size_t at = 0; at < len; at += 8) {
        uint64_t word = next_random(&seed);
        memcpy(data + at, &word, 8);
    }
    return data;
}

static size_t count_chunks(struct dataset *dataset)
{
    uint8_t lower[RECORD_ELEMENT_PREFIX_BYTES];
    record_element_prefix_encode(0, lower);
    size_t count = 0;
    struct cold_iter *iter = cold_iter_create(dataset->cold, FAMILY_STRING, NULL);
    cold_iter_seek(iter, bytes_make(lower, sizeof(lower)));
    for (; cold_iter_valid(iter); cold_iter_next(iter))
        count++;
    cold_iter_destroy(iter);
    return count;
}

static void large_strings_become_chunks(void **state)
{
    enum { LARGE = 65536 };
    static const size_t lens[] = {LARGE, LARGE + 1, 5 * RECORD_CHUNK_BYTES, 1234567};
    uint8_t *noise = make_noise(1234567, 7);
    struct rdb_file file;
    rdb_file_begin(&file);
    rdb_file_select(&file, 0);
    for (size_t i = 0; i < 4; i++)
        rdb_file_put(&file, bytes_make(&i, sizeof(i)), bytes_make(noise, lens[i]),
                     i == 3 ? FUTURE_MS : 0);
    rdb_file_end(&file);
    struct import_report report;
    import_ok(*state, IMPORT_MEMORY_BYTES_MIN, &file, &report);
    assert_int_equal(report.large_strings, 3);
    struct dataset dataset;
    dataset_open(&dataset, *state);
    for (size_t i = 0; i < 4; i++)
        dataset_assert(&dataset, 0, bytes_make(&i, sizeof(i)), bytes_make(noise, lens[i]),
                       i == 3 ? FUTURE_MS : 0);
    assert_int_equal(dataset_check(&dataset), 4);
    assert_int_equal(count_chunks(&dataset), 5 + 5 + 76);
    assert_int_equal(dataset.state.next_object_id, 4);
    dataset_close(&dataset);
    rdb_file_deinit(&file);
    mem_free(noise);
}

static void zeros_take_no_chunks(void **state)
{
    uint8_t *zeros = mem_calloc(1, 3000000);
    zeros[1000000] = 1;
    struct rdb_file file;
    rdb_file_begin(&file);
    rdb_file_select(&file, 0);
    rdb_file_put(&file, text("bitmap"), bytes_make(zeros, 3000000), 0);
    rdb_file_end(&file);
    import_ok(*state, 0, &file, NULL);
    struct dataset dataset;
    dataset_open(&dataset, *state);
    dataset_assert(&dataset, 0, text("bitmap"), bytes_make(zeros, 3000000), 0);
    assert_int_equal(dataset_check(&dataset), 1);
    assert_int_equal(count_chunks(&dataset), 1);
    dataset_close(&dataset);
    rdb_file_deinit(&file);
    mem_free(zeros);
}

static void a_key_longer_than_all_memory_is_taken(void **state)
{
    uint8_t *noise = make_noise(2000000, 3);
    struct rdb_file file;
    rdb_file_begin(&file);
    rdb_file_select(&file, 0);
    for (int i = 0; i < 3; i++) {
        rdb_file_put(&file, bytes_make(noise + i, 700000), text("long key"), FUTURE_MS);
        rdb_file_put(&file, bytes_make(noise + i, 16), bytes_make(noise + i, 60000), 0);
    }
    rdb_file_end(&file);
    import_ok(*state, IMPORT_MEMORY_BYTES_MIN, &file, NULL);
    struct dataset dataset;
    dataset_open(&dataset, *state);
    for (int i = 0; i < 3; i++) {
        dataset_assert(&dataset, 0, bytes_make(noise + i, 700000), text("long key"), FUTURE_MS);
        dataset_assert(&dataset, 0, bytes_make(noise + i, 16), bytes_make(noise + i, 60000), 0);
    }
    assert_int_equal(dataset_check(&dataset), 6);
    dataset_close(&dataset);
    rdb_file_deinit(&file);
    mem_free(noise);
}

/* ---- Runs ---- */

enum { MANY = 20000, MANY_DBS = 3 };

static size_t many_key(size_t i, char out[32])
{
    return (size_t)snprintf(out, 32, "key:%zu", i * 7919 % MANY);
}

static struct bytes many_value(size_t i, size_t round, uint8_t out[200])
{
    memset(out, (int)(i * 31 + round), 200);
    memcpy(out, &i, sizeof(i));
    return bytes_make(out, 20 + i % 180);
}

static int64_t many_expiry(size_t i, size_t round)
{
    return (i + round) % 10 == 0 ? FUTURE_MS + (int64_t)(i % 1000) : 0;
}

static void put_many(struct rdb_file *file, size_t round, size_t step)
{
    char key[32];
    uint8_t value[200];
    for (size_t i = 0; i < MANY; i += step)
        rdb_file_put(file, bytes_make(key, many_key(i, key)), many_value(i, round, value),
                     many_expiry(i, round));
}

static void many_runs_are_merged_into_one_dataset(void **state)
{
    struct rdb_file file;
    rdb_file_begin(&file);
    for (uint32_t db = 0; db < MANY_DBS; db++) {
        rdb_file_select(&file, db);
        put_many(&file, db, 1);
    }
    rdb_file_end(&file);
    struct import_report report;
    import_ok(*state, IMPORT_MEMORY_BYTES_MIN, &file, &report);
    assert_int_equal(report.keys, MANY * MANY_DBS);
    assert_true(report.runs > 64); /* 8 a level: there were merges of merged runs */
    struct dataset dataset;
    dataset_open(&dataset, *state);
    assert_int_equal(dataset_check(&dataset), MANY * MANY_DBS);
    char key[32];
    uint8_t value[200];
    for (uint32_t db = 0; db < MANY_DBS; db++)
        for (size_t i = 0; i < MANY; i += 13)
            dataset_assert(&dataset, db, bytes_make(key, many_key(i, key)),
                           many_value(i, db, value), many_expiry(i, db));
    dataset_close(&dataset);
    rdb_file_deinit(&file);
}

/* The same key near and far, in one batch and in several runs, in one type and in two. */
static void a_key_that_comes_twice_is_refused(void **state)
{
    static const size_t memories[] = {IMPORT_MEMORY_BYTES_MIN, 0};
    uint8_t *noise = make_noise(200000, 9);
    for (size_t i = 0; i < 16; i++) {
        bool far = (i & 1) != 0;
        bool other_type = (i & 2) != 0;
        bool large = (i & 4) != 0;
        struct rdb_file file;
        rdb_file_begin(&file);
        rdb_file_select(&file, 7);
        rdb_file_put(&file, text("twi\nce"), text("in another database"), 0);
        rdb_file_select(&file, 1);
        rdb_file_put(&file, text("twi\nce"), bytes_make(noise, large ? 200000 : 20), 0);
        if (far)
            put_many(&file, 0, 1);
        if (other_type)
            rdb_file_put_raw(&file, "twi\nce", RDB_TYPE_LIST, text("\1\1x"));
        else
            rdb_file_put(&file, text("twi\nce"), text("small"), FUTURE_MS);
        rdb_file_end(&file);
        struct import_options options = {.dir = *state, .memory_bytes = memories[i >> 3]};
        struct err err = {0};
        assert_status(dataset_import(&options, buf_bytes(&file.bytes), NULL, &err), ST_CORRUPT);
        assert_non_null(strstr(err.message, "the key \"twi?ce\" of db1 twice"));
        rdb_file_deinit(&file);
    }
    mem_free(noise);
}

/* Whichever thread comes upon it. */
static void the_first_of_several_damaged_values_is_told(void **state)
{
    const struct bytes one = bytes_make("\12\2\0\0\0\1\0\0\0\1\0", 11); /* an intset */
    const size_t keys = 20000;
    for (size_t round = 0; round < 8; round++) {
        const size_t first = round * 2400 + 7;
        struct rdb_file file;
        rdb_file_begin(&file);
        rdb_file_select(&file, 0);
        for (size_t i = 0; i < keys; i++) {
            char name[32];
            bool damaged = i >= first && (i - first) % (1 + round * 100) == 0;
            (void)snprintf(name, sizeof(name), "sets:%05zu", i);
            rdb_file_put_raw(&file, name, RDB_TYPE_SET_INTSET, damaged ? text("\4oops") : one);
        }
        rdb_file_end(&file);
        struct import_options options = {
            .dir = *state, .memory_bytes = round % 2 == 0 ? IMPORT_MEMORY_BYTES_MIN : 0};
        struct err err = {0};
        char where[64];
        assert_status(dataset_import(&options, buf_bytes(&file.bytes), NULL, &err), ST_CORRUPT);
        /* 28 bytes before the first key, 23 of each, 17 of the damaged one. */
        (void)snprintf(where, sizeof(where), "RDB offset %zu, reading a value",
                       28 + 23 * first + 17);
        if (strstr(err.message, where) == NULL)
            fail_msg("%s, not %s", err.message, where);
        rdb_file_deinit(&file);
    }
}

static void one_name_may_be_in_all_databases(void **state)
{
    struct rdb_file file;
    rdb_file_begin(&file);
    for (uint32_t db = 0; db < 20; db++) {
        rdb_file_select(&file, db);
        if (db % 2 == 0)
            rdb_file_put(&file, text("name"), text("v"), 0);
        else
            rdb_file_put_raw(&file, "name", RDB_TYPE_LIST, text("\1\1x"));
    }
    rdb_file_end(&file);
    struct import_report report;
    import_ok(*state, 0, &file, &report);
    assert_int_equal(report.keys, 20);
    rdb_file_deinit(&file);
}

/* ---- Sorting ---- */

struct dropped {
    size_t count;
};

static void count_dropped(void *arg, enum family family, const struct import_record *record)
{
    struct dropped *dropped = arg;
    (void)family;
    (void)record;
    dropped->count++;
}

/* Ranks as positions give them, and such as no radix pass can tell apart. */
static uint64_t rank_of(unsigned shape, uint64_t random)
{
    switch (shape) {
    case 0:
        return random >> 11;
    case 1:
        return 42;
    case 2:
        return random % 3 << 50 | random % 5;
    case 3:
        return UINT64_MAX - random % 1000;
    default:
        return random % 2 == 0 ? random : random % 100;
    }
}

static void batches_sort_whatever_their_ranks(void **state)
{
    (void)state;
    enum { SHAPES = 5, KEY_LEN = 12 };
    static const size_t counts[] = {0, 1, 2, 17, 255, 256, 3000};
    uint64_t random = 88172645463325252u;
    for (unsigned shape = 0; shape < SHAPES; shape++)
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            struct import_batch *batch = import_batch_create((size_t)1 << 20);
            for (size_t i = 0; i < counts[c]; i++) {
                uint64_t rank = rank_of(shape, next_random(&random));
                assert_true(import_batch_has_room(batch, KEY_LEN, 8));
                enum family family = i % 4 == 0 ? FAMILY_EXPIRES : FAMILY_STRING;
                struct import_space space = import_batch_add(batch, family, rank, KEY_LEN, 8);
                store_be64(space.key, rank); /* keys are ordered as ranks are */
                store_be32(space.key + 8, (uint32_t)(next_random(&random) % 64));
                memcpy(space.value, &i, 8);
            }
            struct dropped dropped = {0};
            import_batch_sort(batch, count_dropped, &dropped);
            assert_int_equal(batch->family_start[FAMILY_COUNT] + dropped.count, counts[c]);
            for (int family = 0; family < FAMILY_COUNT; family++)
                for (size_t i = batch->family_start[family] + 1;
                     i < batch->family_start[family + 1]; i++) {
                    struct import_record before;
                    struct import_record record;
                    import_batch_record(batch, &batch->entries[i - 1], &before);
                    import_batch_record(batch, &batch->entries[i], &record);
                    assert_int_equal(batch->entries[i].family, family);
                    assert_true(bytes_compare(before.key, record.key) < 0);
                }
            import_batch_destroy(batch);
        }
}

static void keys_of_one_slot_and_one_moment_are_sorted(void **state)
{
    struct rdb_file file;
    rdb_file_begin(&file);
    rdb_file_select(&file, 0);
    char key[32];
    for (int i = 0; i < 5000; i++)
        rdb_file_put(&file,
                     bytes_make(key, (size_t)snprintf(key, sizeof(key), "{tag}%d", i * 7 % 5000)),
                     text("v"), FUTURE_MS);
    rdb_file_end(&file);
    import_ok(*state, IMPORT_MEMORY_BYTES_MIN, &file, NULL);
    struct dataset dataset;
    dataset_open(&dataset, *state);
    assert_int_equal(dataset_check(&dataset), 5000);
    assert_int_equal(dataset.state.dbs[0].expires, 5000);
    dataset_close(&dataset);
    rdb_file_deinit(&file);
}

/* ---- Progress ---- */

struct watched {
    uint64_t calls[IMPORT_FINISHING + 1];
    uint64_t last_done;
    enum import_phase phase;
};

static bool watch(void *arg, const struct import_progress *progress)
{
    struct watched *watched = arg;
    if (progress->phase != watched->phase)
        watched->last_done = 0;
    assert_true(progress->phase >= watched->phase);
    assert_true(progress->done >= watched->last_done);
    assert_true(progress->total == 0 || progress->done <= progress->total);
    watched->phase = progress->phase;
    watched->last_done = progress->done;
    watched->calls[progress->phase]++;
    return true;
}

static void progress_goes_forward_through_all_phases(void **state)
{
    struct rdb_file file;
    rdb_file_begin(&file);
    rdb_file_select(&file, 0);
    put_many(&file, 0, 1);
    rdb_file_end(&file);
    struct watched watched = {0};
    struct import_options options = {.dir = *state,
                                     .memory_bytes = IMPORT_MEMORY_BYTES_MIN,
                                     .progress = watch,
                                     .progress_arg = &watched};
    struct err err;
    assert_ok(dataset_import(&options, buf_bytes(&file.bytes), NULL, &err), &err);
    for (int phase = 0; phase <= IMPORT_FINISHING; phase++)
        assert_true(watched.calls[phase] > 1);
    rdb_file_deinit(&file);
}

int main(void)
{
#define DIR_TEST(function) TEST_WITH(function, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        DIR_TEST(strings_come_in_as_the_server_would_hold_them),
        DIR_TEST(an_empty_file_becomes_an_empty_dataset),
        DIR_TEST(databases_keep_their_keys_apart),
        DIR_TEST(keys_that_are_due_are_left_out),
        DIR_TEST(values_of_modules_are_skipped_and_counted),
        DIR_TEST(libraries_are_known_by_their_names),
        DIR_TEST(collections_of_all_types_come_in_small_or_large),
        DIR_TEST(a_collection_larger_than_memory_is_written_while_it_comes),
        DIR_TEST(large_strings_become_chunks),
        DIR_TEST(zeros_take_no_chunks),
        DIR_TEST(a_key_longer_than_all_memory_is_taken),
        DIR_TEST(many_runs_are_merged_into_one_dataset),
        DIR_TEST(a_key_that_comes_twice_is_refused),
        DIR_TEST(the_first_of_several_damaged_values_is_told),
        DIR_TEST(one_name_may_be_in_all_databases),
        TEST(batches_sort_whatever_their_ranks),
        DIR_TEST(keys_of_one_slot_and_one_moment_are_sorted),
        DIR_TEST(progress_goes_forward_through_all_phases),
    };
    return RUN_TESTS("import", tests);
}
