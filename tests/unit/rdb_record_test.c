/* Goal: keys go from disk into RDB files as they are, and what is damaged on disk is told, never
 * written as if it were good, nor followed out of bounds. Method: a store with elements made by
 * hand; each case has a record and the elements of its object, and says what becomes of it. */
#include <stdio.h>

#include "codec/buf.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/rdb_write.h"
#include "storage/cold.h"
#include "storage/loader.h"
#include "storage/rdb_record.h"
#include "tests/support/harness.h"

#define OBJECT_ID 7
#define ELEMENTS  6
#define NOW_MS    1000
#define MEMBER(p) "M\0\0\0\0\0\0\0" p
#define TEXT(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
#define NONE                                                                                       \
    {                                                                                              \
        NULL, 0                                                                                    \
    }

struct text {
    const char *data;
    size_t len;
};

struct element {
    struct text key, value;
};

struct test_case {
    const char *name;
    enum object_type type;
    uint8_t encoding;
    int version;
    struct text payload; /* behind the object id */
    struct element elements[ELEMENTS];
    enum status expected;
    struct text value; /* behind the key, when ST_OK; NULL: nothing is put */
};

/* A listpack with the element "a", and a list's node with it; "b" is another one. */
#define PACKED_A                                                                                   \
    "\x0a\0\0\0\x01\0\x81"                                                                         \
    "a\x02\xff"
#define PACKED_B                                                                                   \
    "\x0a\0\0\0\x01\0\x81"                                                                         \
    "b\x02\xff"
#define PAGE_ID "I\0\0\0\0\0\0\0\x01"
#define NODE_ID "N\0\0\0\0\x01\0\0"

static const struct test_case cases[] = {
    {"a set",
     OBJECT_SET,
     RECORD_SET_TABLE,
     10,
     TEXT("\x02\x10"),
     {{TEXT(MEMBER("\1a")), TEXT("\0")}, {TEXT(MEMBER("\2bc")), TEXT("\0")}},
     ST_OK,
     TEXT("\x02\x01"
          "a\x02"
          "bc")},
    {"a set with a member too few",
     OBJECT_SET,
     RECORD_SET_TABLE,
     10,
     TEXT("\x03\x10"),
     {{TEXT(MEMBER("\1a")), TEXT("\0")}, {TEXT(MEMBER("\2bc")), TEXT("\0")}},
     ST_CORRUPT,
     NONE},
    {"a set with a member too many",
     OBJECT_SET,
     RECORD_SET_TABLE,
     10,
     TEXT("\x01\x10"),
     {{TEXT(MEMBER("\1a")), TEXT("\0")}, {TEXT(MEMBER("\2bc")), TEXT("\0")}},
     ST_CORRUPT,
     NONE},
    {"a set without members",
     OBJECT_SET,
     RECORD_SET_TABLE,
     10,
     TEXT("\x01\x10"),
     {{NONE, NONE}},
     ST_CORRUPT,
     NONE},
    {"a header that ends early",
     OBJECT_SET,
     RECORD_SET_TABLE,
     10,
     TEXT(""),
     {{NONE, NONE}},
     ST_CORRUPT,
     NONE},
    {"unknown flags",
     OBJECT_SET,
     RECORD_SET_TABLE,
     10,
     TEXT("\x01\x10"),
     {{TEXT(MEMBER("\1a")), TEXT("\4")}},
     ST_CORRUPT,
     NONE},
    {"a member's key that ends early",
     OBJECT_SET,
     RECORD_SET_TABLE,
     10,
     TEXT("\x01\x10"),
     {{TEXT("M\0\0"), TEXT("\0")}},
     ST_CORRUPT,
     NONE},
    {"a sorted set",
     OBJECT_ZSET,
     RECORD_ZSET_TABLE,
     10,
     TEXT("\x01\x10"),
     {{TEXT(MEMBER("\1a")), TEXT("\2\0\0\0\0\0\0\xf8\x3f")}},
     ST_OK,
     TEXT("\x01\x01"
          "a\0\0\0\0\0\0\xf8\x3f")},
    {"a score that ends early",
     OBJECT_ZSET,
     RECORD_ZSET_TABLE,
     10,
     TEXT("\x01\x10"),
     {{TEXT(MEMBER("\1a")), TEXT("\2\0\0\0")}},
     ST_CORRUPT,
     NONE},
    {"a hash",
     OBJECT_HASH,
     RECORD_HASH_TABLE,
     10,
     TEXT("\x01\x10"),
     {{TEXT(MEMBER("\1a")), TEXT("\0value")}},
     ST_OK,
     TEXT("\x01\x01"
          "a\x05value")},
    /* Deadlines at 500 and 2000. */
    {"a due field is left out",
     OBJECT_HASH,
     RECORD_HASH_TABLE_EX,
     10,
     TEXT("\x02\x10\xf4\1\0\0\0\0\0\0"),
     {{TEXT(MEMBER("\1a")), TEXT("\2\xf4\1\0\0\0\0\0\0x")},
      {TEXT(MEMBER("\2b")), TEXT("\2\xd0\7\0\0\0\0\0\0y")}},
     ST_OK,
     TEXT("\x01\x01"
          "b\x01y")},
    {"a hash of due fields is left out",
     OBJECT_HASH,
     RECORD_HASH_TABLE_EX,
     10,
     TEXT("\x01\x10\xf4\1\0\0\0\0\0\0"),
     {{TEXT(MEMBER("\1a")), TEXT("\2\xf4\1\0\0\0\0\0\0x")}},
     ST_OK,
     NONE},
    {"deadlines are told by version 12",
     OBJECT_HASH,
     RECORD_HASH_TABLE_EX,
     12,
     TEXT("\x02\x10\xf4\1\0\0\0\0\0\0"),
     {{TEXT(MEMBER("\1a")), TEXT("\2\xf4\1\0\0\0\0\0\0x")}, {TEXT(MEMBER("\2b")), TEXT("\0y")}},
     ST_OK,
     TEXT("\xf4\1\0\0\0\0\0\0"
          "\x02\x01\x01"
          "a\x01x"
          "\0\x01"
          "b\x01y")},
    {"a list",
     OBJECT_LIST,
     1,
     10,
     TEXT("\0"
          "\x02\x01"
          "\x01\x02\x02\x14\x02"),
     {{TEXT(PAGE_ID), TEXT("\x02"
                           "\x80\x80\x80\x08\x01\x0a"
                           "\x81\x80\x80\x08\x01\x0a")},
      {TEXT(NODE_ID "\0"), TEXT("\0" PACKED_A)},
      {TEXT(NODE_ID "\1"), TEXT("\0" PACKED_B)}},
     ST_OK,
     TEXT("\x02"
          "\x02\x0a" PACKED_A "\x02\x0a" PACKED_B)},
    {"a list for version 9",
     OBJECT_LIST,
     1,
     9,
     TEXT("\0"
          "\x02\x01"
          "\x01\x01\x01\x0a\x01"),
     {{TEXT(PAGE_ID), TEXT("\x01"
                           "\x80\x80\x80\x08\x01\x0a")},
      {TEXT(NODE_ID "\0"), TEXT("\0" PACKED_A)}},
     ST_OK,
     TEXT("\x01\x01"
          "a")},
    {"a list without its page",
     OBJECT_LIST,
     1,
     10,
     TEXT("\0"
          "\x02\x01"
          "\x01\x01\x01\x0a\x01"),
     {{TEXT(NODE_ID "\0"), TEXT("\0" PACKED_A)}},
     ST_CORRUPT,
     NONE},
    {"a list without its node",
     OBJECT_LIST,
     1,
     10,
     TEXT("\0"
          "\x02\x01"
          "\x01\x01\x01\x0a\x01"),
     {{TEXT(PAGE_ID), TEXT("\x01"
                           "\x80\x80\x80\x08\x01\x0a")}},
     ST_CORRUPT,
     NONE},
    {"a page that counts otherwise",
     OBJECT_LIST,
     1,
     10,
     TEXT("\0"
          "\x02\x01"
          "\x01\x02\x02\x0a\x01"),
     {{TEXT(PAGE_ID), TEXT("\x01"
                           "\x80\x80\x80\x08\x01\x0a")},
      {TEXT(NODE_ID "\0"), TEXT("\0" PACKED_A)}},
     ST_CORRUPT,
     NONE},
    {"a damaged listpack",
     OBJECT_LIST,
     1,
     10,
     TEXT("\0"
          "\x02\x01"
          "\x01\x01\x01\x0a\x01"),
     {{TEXT(PAGE_ID), TEXT("\x01"
                           "\x80\x80\x80\x08\x01\x0a")},
      {TEXT(NODE_ID "\0"), TEXT("\0\x0a\0\0\0\x01\0\x85"
                                "a\x02\xff")}},
     ST_CORRUPT,
     NONE},
    {"a plain node of another length",
     OBJECT_LIST,
     1,
     10,
     TEXT("\0"
          "\x02\x01"
          "\x01\x01\x01\x0a\x01"),
     {{TEXT(PAGE_ID), TEXT("\x01"
                           "\x80\x80\x80\x08\x01\x0a")},
      {TEXT(NODE_ID "\0"), TEXT("\1\x05\0\0\0\0\0\0\0abcd")}},
     ST_CORRUPT,
     NONE},
    {"a list's record that ends early",
     OBJECT_LIST,
     1,
     10,
     TEXT("\0"
          "\x02\x03"
          "\x01\x01"),
     {{NONE, NONE}},
     ST_CORRUPT,
     NONE},
    {"a stream that counts more nodes",
     OBJECT_STREAM,
     0,
     10,
     TEXT("\x01"
          "\1\1"
          "\1\1"
          "\0\0"
          "\1"
          "\1"
          "\1"
          "\x02"
          "\x10"),
     {{NONE, NONE}},
     ST_CORRUPT,
     NONE},
    {"a stream's node that is none",
     OBJECT_STREAM,
     0,
     10,
     TEXT("\x01"
          "\1\1"
          "\1\1"
          "\0\0"
          "\1"
          "\1"
          "\1"
          "\x01"
          "\x10"),
     {{TEXT("N\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1"), TEXT(PACKED_A)}},
     ST_CORRUPT,
     NONE},
    {"a group that ends early",
     OBJECT_STREAM,
     0,
     10,
     TEXT("\0"
          "\0\0"
          "\0\0"
          "\0\0"
          "\0"
          "\1"
          "\2"
          "\0"
          "\x10"),
     {{TEXT("G\0\0\0\1"), TEXT("\1\0")}},
     ST_CORRUPT,
     NONE},
    {"a pending entry of no consumer",
     OBJECT_STREAM,
     0,
     10,
     TEXT("\0"
          "\0\0"
          "\0\0"
          "\0\0"
          "\0"
          "\1"
          "\2"
          "\0"
          "\x10"),
     {{TEXT("E\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1"), TEXT("\5\1\1")},
      {TEXT("G\0\0\0\1"), TEXT("\1\0\0\0\1g")}},
     ST_CORRUPT,
     NONE},
    {"a stream without entries",
     OBJECT_STREAM,
     0,
     10,
     TEXT("\0"
          "\1\1"
          "\0\0"
          "\1\1"
          "\1"
          "\1"
          "\2"
          "\0"
          "\x10"),
     {{TEXT("E\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1"), TEXT("\1\x09\3")},
      {TEXT("G\0\0\0\1"), TEXT("\2\1\1\2\1g")},
      {TEXT("K\0\0\0\1\0\0\0\1"), TEXT("\x08\0\1c")}},
     ST_OK,
     TEXT("\0"
          "\0\1\1"
          "\0\0\1\1"
          "\1"
          "\1"
          "\1g"
          "\1\1\1"
          "\1"
          "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\x09\0\0\0\0\0\0\0\3"
          "\1"
          "\1c"
          "\x08\0\0\0\0\0\0\0"
          "\1"
          "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1")},
    {"a string of one chunk and zeros",
     OBJECT_STRING,
     0,
     10,
     TEXT("\x06\0\0\0\0\0\0\0"
          "\x04\0\0\0"),
     {{TEXT("\0\0\0\0"), TEXT("ab")}},
     ST_OK,
     TEXT("\x06"
          "ab\0\0\0\0")},
    {"a chunk that is too long",
     OBJECT_STRING,
     0,
     10,
     TEXT("\x06\0\0\0\0\0\0\0"
          "\x04\0\0\0"),
     {{TEXT("\0\0\0\0"), TEXT("abcde")}},
     ST_CORRUPT,
     NONE},
    {"a chunk beyond the string's end",
     OBJECT_STRING,
     0,
     10,
     TEXT("\x06\0\0\0\0\0\0\0"
          "\x04\0\0\0"),
     {{TEXT("\0\0\0\1"), TEXT("abc")}},
     ST_CORRUPT,
     NONE},
};

static enum status append(void *arg, struct bytes data, struct err *err)
{
    (void)err;
    buf_append_bytes(arg, data);
    return ST_OK;
}

static struct bytes bytes_of(struct text text)
{
    return bytes_make(text.data, text.len);
}

static void put_elements(struct cold *cold, const struct test_case *test)
{
    uint8_t lower[RECORD_ELEMENT_PREFIX_BYTES];
    uint8_t upper[RECORD_ELEMENT_PREFIX_BYTES];
    uint8_t key[256];
    struct cold_batch *batch = cold_batch_create();
    record_element_prefix_encode(OBJECT_ID, lower);
    record_element_prefix_encode(OBJECT_ID + 1, upper);
    cold_batch_delete_range(batch, loader_family(test->type), bytes_make(lower, sizeof(lower)),
                            bytes_make(upper, sizeof(upper)));
    for (size_t i = 0; i < ELEMENTS && test->elements[i].key.data != NULL; i++) {
        size_t len = record_element_key_encode(OBJECT_ID, bytes_of(test->elements[i].key), key);
        cold_batch_put(batch, loader_family(test->type), bytes_make(key, len),
                       bytes_of(test->elements[i].value));
    }
    struct err err;
    assert_ok(cold_write(cold, batch, false, &err), &err);
    cold_batch_destroy(batch);
}

static void run_case(struct cold *cold, const struct test_case *test)
{
    struct buf file = {0}, payload = {0};
    struct err err = {0};
    put_elements(cold, test);
    store_le64(buf_reserve(&payload, 8), OBJECT_ID);
    payload.len = 8;
    buf_append_bytes(&payload, bytes_of(test->payload));
    struct rdb_writer_options options = {
        .write = append, .write_arg = &file, .version = test->version, .no_compression = true};
    struct cold_snapshot *snapshot = cold_snapshot_create(cold);
    struct rdb_source source = {.cold = cold, .snapshot = snapshot};
    struct rdb_target target = {
        .writer = rdb_writer_create(&options), .version = test->version, .now_ms = NOW_MS};
    struct rdb_record record = {.type = test->type,
                                .key = bytes_text("k"),
                                .header = {.large = true, .encoding = test->encoding},
                                .payload = buf_bytes(&payload)};
    bool put = false;
    enum status st = rdb_record_put(&source, &target, &record, &put, &err);
    if (st != test->expected)
        fail_msg("%s: %s (%s)", test->name, status_name(st), err.message);
    assert_ok(rdb_writer_finish(target.writer, &err), &err);
    if (st == ST_OK) {
        /* header, type, length and text of the key; the end */
        size_t head = RDB_MAGIC_BYTES + (put ? 3 : 0);
        assert_int_equal(put, test->value.data != NULL);
        struct bytes value = bytes_make(file.data + head, file.len - head - 1 - RDB_CHECKSUM_BYTES);
        if (!bytes_equal(value, bytes_of(test->value)))
            (void)fprintf(stderr, "%s:\n", test->name);
        assert_bytes(value, bytes_of(test->value));
    }
    rdb_writer_destroy(target.writer);
    cold_snapshot_release(cold, snapshot);
    buf_deinit(&payload);
    buf_deinit(&file);
}

static void large_objects_are_put_or_found_damaged(void **state)
{
    (void)state;
    char *dir = harness_make_dir();
    struct cold *cold;
    struct err err;
    assert_ok(cold_open(&(struct cold_options){.dir = dir}, &cold, &err), &err);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        run_case(cold, &cases[i]);
    cold_close(cold);
    harness_remove_dir(dir);
    mem_free(dir);
}

static void damaged_small_records_are_told(void **state)
{
    static const struct {
        enum object_type type;
        uint8_t encoding;
        struct text payload;
    } small[] = {
        {OBJECT_LIST, 0,
         TEXT("\x0a\0\0\0\x01\0\x85"
              "a\x02\xff")},
        {OBJECT_SET, RECORD_SET_TABLE,
         TEXT("\x02\x01"
              "a")},
        {OBJECT_SET, RECORD_SET_INTSET, TEXT("\x03\0\0\0\x01\0\0\0\0\0\0")},
        {OBJECT_HASH, RECORD_HASH_TABLE,
         TEXT("\x01\0\x05"
              "a")},
        {OBJECT_ZSET, RECORD_ZSET_TABLE,
         TEXT("\x01\x01"
              "a\0\0\0")},
        {OBJECT_STREAM, 0, TEXT("\x01\x01")},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
        struct buf file = {0};
        struct err err;
        struct rdb_writer_options options = {.write = append, .write_arg = &file};
        struct rdb_source source = {.cold = NULL};
        struct rdb_target target = {.writer = rdb_writer_create(&options), .version = 10};
        struct rdb_record record = {.type = small[i].type,
                                    .key = bytes_text("k"),
                                    .header = {.encoding = small[i].encoding},
                                    .payload = bytes_of(small[i].payload)};
        bool put;
        assert_status(rdb_record_put(&source, &target, &record, &put, &err), ST_CORRUPT);
        rdb_writer_destroy(target.writer);
        buf_deinit(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(large_objects_are_put_or_found_damaged),
        TEST(damaged_small_records_are_told),
    };
    return RUN_TESTS("rdb_record", tests);
}
