/* Values out of RDB files: each type and encoding that there ever was is told element by element,
 * and becomes a value with Redis's encoding; damaged ones are found out, or are another value. */
#include "codec/mem.h"
#include "codec/rdb_read.h"
#include "storage/rdb_load.h"
#include "storage/value_type.h"
#include "tests/support/byte_source.h"
#include "tests/support/harness.h"
#include "tests/support/rdb_samples.h"
#include "tests/support/rdb_words.h"

#include <stdio.h>
#include <string.h>

/* ---- Elements ----------------------------------------------------------------------------------
 */

static void values_are_told_element_by_element(void **state)
{
    (void)state;
    size_t count;
    const struct rdb_sample *samples = rdb_samples(&count);
    for (size_t i = 0; i < count; i++) {
        struct buf value = {0};
        struct buf words = {0};
        struct err err;
        samples[i].put(&value);
        assert_ok(rdb_decode(samples[i].type, buf_bytes(&value), 0, rdb_words_take, &words, &err),
                  &err);
        assert_bytes(buf_bytes(&words), bytes_text(samples[i].elements));
        buf_deinit(&value);
        buf_deinit(&words);
    }
}

static void values_in_a_file_are_told_whatever_the_pieces(void **state)
{
    (void)state;
    size_t count;
    const struct rdb_sample *samples = rdb_samples(&count);
    struct buf file = {0};
    buf_append_text(&file, "REDIS0012");
    for (size_t i = 0; i < count; i++) {
        buf_append_byte(&file, samples[i].type);
        buf_append(&file, "\x01k", 2);
        samples[i].put(&file);
    }
    buf_append(&file, "\xff\0\0\0\0\0\0\0\0", 9);
    for (size_t piece = 0; piece < 8; piece++) {
        struct byte_source source = {.data = buf_bytes(&file), .piece_bytes = piece};
        struct rdb_reader *reader = rdb_reader_create(
            &(struct rdb_reader_options){.read = byte_source_read, .read_arg = &source});
        struct rdb_item item;
        struct err err;
        for (size_t i = 0; i < count; i++) {
            struct buf words = {0};
            assert_ok(rdb_reader_next(reader, &item, &err), &err);
            assert_int_equal(item.key.type, samples[i].type);
            assert_ok(rdb_reader_read_value(reader, rdb_words_take, &words, &err), &err);
            assert_bytes(buf_bytes(&words), bytes_text(samples[i].elements));
            buf_deinit(&words);
        }
        assert_status(rdb_reader_next(reader, &item, &err), ST_END);
        rdb_reader_destroy(reader);
    }
    buf_deinit(&file);
}

/* ---- Values in RAM ----------------------------------------------------------------------------
 */

static uint64_t new_id(void *arg)
{
    (void)arg;
    return 1;
}

static struct value_rules values_with(size_t large_bytes)
{
    return (struct value_rules){.hash_seed = 5,
                                .large_bytes = large_bytes,
                                .hash_listpack_entries = 128,
                                .hash_listpack_value = 64,
                                .set_intset_entries = 512,
                                .set_listpack_entries = 128,
                                .set_listpack_value = 64,
                                .zset_listpack_entries = 128,
                                .zset_listpack_value = 64,
                                .new_id = new_id};
}

/* Loads a value; what its record says goes to `record`, with the encoding in front. */
static enum status load(uint8_t type, struct bytes value, size_t large_bytes, struct buf *record,
                        const char **encoding_out)
{
    struct value_rules values = values_with(large_bytes);
    struct list_rules rules = {
        .values = &values, .node_size = -2, .plain_bytes = LIST_PLAIN_BYTES_MAX};
    struct rdb_load load;
    rdb_load_init(&load, &rules);
    enum status st = rdb_decode(type, value, 0, rdb_load_take, &load, NULL);
    if (st == ST_OK)
        st = rdb_load_finish(&load);
    if (st == ST_OK && load.o.type != OBJECT_STRING) {
        const struct value_type *ops = object_value_type((enum object_type)load.o.type);
        *encoding_out = ops->encoding_name(&load.o);
        buf_append_byte(record, ops->encode(&load.o, record));
        assert_true(ops->bytes(&load.o) > 0);
        if (load.o.large)
            assert_true(ops->parts(&load.o)->dirty_count > 0);
    }
    rdb_load_deinit(&load);
    return st;
}

/* What was made of a value must be a record that can be read. */
static void check_record(uint8_t kind, const struct buf *record)
{
    struct value_rules values = values_with(SIZE_MAX);
    struct record_header header = {.encoding = record->data[record->len - 1]};
    struct object o = {.type = kind};
    assert_int_equal(object_value_type((enum object_type)kind)
                         ->decode(&o, &header, bytes_make(record->data, record->len - 1), &values),
                     ST_OK);
    object_free_fn *free_fn;
    void *value = object_value_type((enum object_type)kind)->take(&o, &free_fn);
    free_fn(value);
}

static uint8_t kind_of(uint8_t type)
{
    static const struct {
        const char *name;
        uint8_t kind;
    } kinds[] = {{"list", OBJECT_LIST}, {"set", OBJECT_SET},       {"zset", OBJECT_ZSET},
                 {"hash", OBJECT_HASH}, {"stream", OBJECT_STREAM}, {"string", OBJECT_STRING}};
    size_t i = 0;
    while (strcmp(kinds[i].name, rdb_type_name(type)) != 0)
        i++;
    return kinds[i].kind;
}

static void values_get_the_encodings_of_redis(void **state)
{
    (void)state;
    size_t count;
    const struct rdb_sample *samples = rdb_samples(&count);
    for (size_t i = 0; i < count; i++) {
        struct buf value = {0};
        struct buf record = {0};
        const char *encoding = samples[i].encoding;
        samples[i].put(&value);
        assert_int_equal(load(samples[i].type, buf_bytes(&value), SIZE_MAX, &record, &encoding),
                         ST_OK);
        assert_string_equal(encoding, samples[i].encoding);
        if (record.len != 0)
            check_record(kind_of(samples[i].type), &record);
        buf_deinit(&value);
        buf_deinit(&record);
    }
}

/* As small records and as large collections. */
static void try_damaged(uint8_t type, struct bytes value)
{
    struct buf record = {0};
    const char *encoding;
    enum status st = load(type, value, SIZE_MAX, &record, &encoding);
    assert_true(st == ST_OK || st == ST_CORRUPT || st == ST_LIMIT || st == ST_NOT_FOUND);
    if (st == ST_OK && record.len != 0)
        check_record(kind_of(type), &record);
    buf_clear(&record);
    assert_int_equal(load(type, value, 1, &record, &encoding), st);
    buf_deinit(&record);
}

static void truncated_values_are_corrupt(void **state)
{
    (void)state;
    size_t count;
    const struct rdb_sample *samples = rdb_samples(&count);
    for (size_t i = 0; i < count; i++) {
        struct buf value = {0};
        struct buf record = {0};
        const char *encoding;
        samples[i].put(&value);
        for (size_t len = 0; len < value.len; len++) {
            uint8_t *part = mem_dup(value.data, len + 1); /* so that reading behind it is seen */
            part = mem_realloc(part, len == 0 ? 1 : len);
            assert_int_equal(
                load(samples[i].type, bytes_make(part, len), SIZE_MAX, &record, &encoding),
                ST_CORRUPT);
            mem_free(part);
        }
        buf_append_byte(&value, 0);
        assert_int_equal(load(samples[i].type, buf_bytes(&value), SIZE_MAX, &record, &encoding),
                         ST_CORRUPT);
        buf_deinit(&value);
        buf_deinit(&record);
    }
}

static void flipped_bytes_do_no_harm(void **state)
{
    (void)state;
    size_t count;
    const struct rdb_sample *samples = rdb_samples(&count);
    for (size_t i = 0; i < count; i++) {
        struct buf value = {0};
        samples[i].put(&value);
        for (size_t at = 0; at < value.len; at++) {
            uint8_t was = value.data[at];
            for (unsigned bit = 0; bit < 8; bit++) {
                value.data[at] = was ^ (uint8_t)(1u << bit);
                try_damaged(samples[i].type, buf_bytes(&value));
            }
            value.data[at] = (uint8_t)~was;
            try_damaged(samples[i].type, buf_bytes(&value));
            value.data[at] = was;
        }
        buf_deinit(&value);
    }
}

static void values_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        struct bytes value;
        enum status status;
    } cases[] = {
#define CASE(type, text, status)                                                                   \
    {type, {.data = (const uint8_t *)(text), .len = sizeof(text) - 1}, status}
        CASE(RDB_TYPE_LIST, "\x00", ST_NOT_FOUND),
        CASE(RDB_TYPE_SET, "\x00", ST_NOT_FOUND),
        CASE(RDB_TYPE_HASH, "\x00", ST_NOT_FOUND),
        CASE(RDB_TYPE_ZSET_2, "\x00", ST_NOT_FOUND),
        CASE(RDB_TYPE_SET_INTSET, "\x08\x02\0\0\0\0\0\0\0", ST_NOT_FOUND),
        CASE(RDB_TYPE_LIST_QUICKLIST_2, "\x01\x02\x07\x07\0\0\0\0\0\xff", ST_NOT_FOUND),
        CASE(RDB_TYPE_SET, "\x02\x01x\x01x", ST_CORRUPT),
        CASE(RDB_TYPE_SET,
             "\x02\x01"
             "5\x01"
             "5",
             ST_CORRUPT),
        CASE(RDB_TYPE_HASH, "\x02\x01x\x01y\x01x\x01z", ST_CORRUPT),
        CASE(RDB_TYPE_ZSET,
             "\x02\x01x\x01"
             "1\x01x\x01"
             "2",
             ST_CORRUPT),
        CASE(RDB_TYPE_ZSET, "\x01\x01x\xfd", ST_CORRUPT), /* NaN */
        CASE(RDB_TYPE_ZSET, "\x01\x01x\x03nan", ST_CORRUPT),
        CASE(RDB_TYPE_ZSET_2, "\x01\x01x\0\0\0\0\0\0\xf8\x7f", ST_CORRUPT),
        CASE(RDB_TYPE_HASH_METADATA, "\0\0\0\0\0\0\0\0\x01\x01\x01x\x01y", ST_CORRUPT),
        CASE(RDB_TYPE_HASH_METADATA, "\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x01x\x01y",
             ST_CORRUPT),
        CASE(RDB_TYPE_LIST_QUICKLIST_2, "\x01\x03\x01x", ST_CORRUPT),
        CASE(RDB_TYPE_LIST_QUICKLIST_2, "\x01\x01\x00", ST_CORRUPT),
        CASE(RDB_TYPE_MODULE_2, "\x00\x00", ST_UNSUPPORTED),
        CASE(RDB_TYPE_MODULE_PRE_GA, "\x00\x00", ST_UNSUPPORTED),
        CASE(8, "\x00", ST_CORRUPT),
        CASE(RDB_TYPE_COUNT, "\x00", ST_CORRUPT),
        CASE(RDB_OPCODE_EOF, "\x00", ST_CORRUPT),
        /* More than there is memory for, said by few bytes. */
        CASE(RDB_TYPE_SET, "\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01x", ST_CORRUPT),
        CASE(RDB_TYPE_STRING, "\x80\xff\xff\xff\xffx", ST_CORRUPT),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf record = {0};
        const char *encoding;
        enum status st = load(cases[i].type, cases[i].value, SIZE_MAX, &record, &encoding);
        if (st != cases[i].status)
            print_error("case %zu\n", i);
        assert_int_equal(st, cases[i].status);
        buf_deinit(&record);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(values_are_told_element_by_element),
        TEST(values_in_a_file_are_told_whatever_the_pieces),
        TEST(values_get_the_encodings_of_redis),
        TEST(truncated_values_are_corrupt),
        TEST(flipped_bytes_do_no_harm),
        TEST(values_that_cannot_be_are_refused),
    };
    return RUN_TESTS("rdb_decode", tests);
}
