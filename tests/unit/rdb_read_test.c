/* The RDB reader: files of redis-server 7.0.15 are understood whatever the pieces they arrive in;
 * every truncation and every flipped bit of them is noticed; each type of value, also those that
 * server does not write, is skipped to its very end. */
#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/rdb_read.h"
#include "tests/support/byte_source.h"
#include "tests/support/golden.h"
#include "tests/support/harness.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define LITERAL(text)                                                                              \
    {                                                                                              \
        .data = (const uint8_t *)(text), .len = sizeof(text) - 1                                   \
    }
#define EXPIRE_A      INT64_C(4102444800123)
#define EXPIRE_B      INT64_C(4102444800999)
#define TEXT_10(text) text text text text text text text text text text
#define TEXT_60(text) TEXT_10(text text text text text text)
#define LONG_NAME     TEXT_10("long") "longlonglonglonglonglong"

/* What to do with the values of a file. */
enum manner { READ_VALUES, COPY_VALUES, FRAME_VALUES, SKIP_VALUES, IGNORE_VALUES, MANNER_COUNT };

#define FRAME_BYTES 64 /* smaller than some values of the files */

static struct rdb_reader *open_reader(struct byte_source *source)
{
    return rdb_reader_create(
        &(struct rdb_reader_options){.read = byte_source_read, .read_arg = source});
}

/* As a frame if it is small enough. */
static enum status frame_value(struct rdb_reader *reader, size_t bytes_max, struct buf *copy,
                               struct err *err)
{
    struct rdb_frame frame;
    uint64_t offset = rdb_reader_offset(reader);
    enum status st = rdb_reader_frame_value(reader, bytes_max, &frame, err);
    if (st == ST_NOT_FOUND) {
        assert_int_equal(rdb_reader_offset(reader), offset);
        return rdb_reader_read_raw(reader, copy, err);
    }
    if (st != ST_OK)
        return st;
    assert_int_equal(frame.offset, offset);
    assert_int_equal(rdb_reader_offset(reader), offset + frame.bytes.len);
    assert_true(frame.bytes.len <= bytes_max);
    buf_append_bytes(copy, frame.bytes);
    return ST_OK;
}

static enum status take_value(struct rdb_reader *reader, const struct rdb_key *key,
                              enum manner manner, struct buf *copy, struct err *err)
{
    struct bytes value;
    switch (manner) {
    case READ_VALUES:
        if (key->type == RDB_TYPE_STRING)
            return rdb_reader_read_string(reader, &value, err);
        return rdb_reader_skip_value(reader, err);
    case COPY_VALUES:
        return rdb_reader_read_raw(reader, copy, err);
    case FRAME_VALUES:
        return frame_value(reader, FRAME_BYTES, copy, err);
    case SKIP_VALUES:
        return rdb_reader_skip_value(reader, err);
    case IGNORE_VALUES:
    case MANNER_COUNT:
        break;
    }
    return ST_OK;
}

/* Reads a whole file and returns how it ended; `digest` stands for all that was seen. */
static enum status read_all(struct bytes file, size_t piece_bytes, enum manner manner,
                            bool ignore_checksum, uint64_t *digest_out, struct err *err)
{
    struct byte_source source = {.data = file, .piece_bytes = piece_bytes};
    struct rdb_reader *reader = rdb_reader_create(&(struct rdb_reader_options){
        .read = byte_source_read, .read_arg = &source, .ignore_checksum = ignore_checksum});
    struct buf copy = {0};
    struct rdb_item item;
    uint64_t digest = 0;
    enum status st;
    while ((st = rdb_reader_next(reader, &item, err)) == ST_OK) {
        digest = hash64(digest, &item.event, sizeof(item.event));
        if (item.event != RDB_EVENT_KEY)
            continue;
        digest = hash64(digest, item.key.name.data, item.key.name.len);
        digest = hash64(digest, &item.key.expire_at_ms, sizeof(item.key.expire_at_ms));
        st = take_value(reader, &item.key, manner, &copy, err);
        if (st != ST_OK)
            break;
    }
    if (st == ST_END && !ignore_checksum)
        assert_int_equal(rdb_reader_offset(reader), file.len);
    /* The end, and a failure, stay. */
    assert_int_equal(rdb_reader_next(reader, &item, NULL), st);
    *digest_out = hash64(digest, copy.data, copy.len);
    buf_deinit(&copy);
    rdb_reader_destroy(reader);
    return st;
}

static void strings_of_redis_are_read(void **state)
{
    (void)state;
    static const struct {
        uint32_t db;
        const char *name;
        struct bytes value;
        int64_t expire_at_ms;
    } expected[] = {
        {0, "", LITERAL("the empty name"), 0},
        {0, "plain", LITERAL("hello"), 0},
        {0, "empty", LITERAL(""), 0},
        {0, "int8", LITERAL("-128"), 0},
        {0, "int16", LITERAL("-32768"), 0},
        {0, "int32", LITERAL("2147483647"), 0},
        {0, "int32low", LITERAL("-2147483648"), 0},
        {0, "int64", LITERAL("9223372036854775807"), 0},
        {0, "not_an_integer", LITERAL("007"), 0},
        {0, "lzf", LITERAL(TEXT_60("abc")), 0},
        {0, "incompressible", LITERAL("0f1e2d3c4b5a69788796a5b4c3d2e1f0qwertyuiopasdfghjklzxcvbnm"),
         0},
        {0, "binary", LITERAL("zero\0and\r\nnewline"), 0},
        {0, LONG_NAME, LITERAL("a long name"), 0},
        {0, "expiring", LITERAL("soon"), EXPIRE_A},
        {3, "third", LITERAL("database"), 0},
        {15, "12345", LITERAL("a name that is an integer"), 0},
        {15, "last", LITERAL("{tag}"), EXPIRE_B},
    };
    struct buf file = {0};
    golden_read("rdb/v10/strings.rdb", &file);
    struct byte_source source = {.data = buf_bytes(&file)};
    struct rdb_reader *reader = open_reader(&source);
    struct rdb_item item;
    struct err err;
    bool seen[COUNT_OF(expected)] = {false};
    size_t seen_count = 0;
    enum status st;
    while ((st = rdb_reader_next(reader, &item, &err)) == ST_OK) {
        if (item.event != RDB_EVENT_KEY)
            continue;
        size_t i = 0;
        while (i < COUNT_OF(expected) && !bytes_equal(item.key.name, bytes_text(expected[i].name)))
            i++;
        assert_true(i < COUNT_OF(expected) && !seen[i]);
        seen[i] = true;
        seen_count++;
        assert_int_equal(item.key.db, expected[i].db);
        assert_int_equal(item.key.has_expire, expected[i].expire_at_ms != 0);
        assert_int_equal(item.key.expire_at_ms, expected[i].expire_at_ms);
        assert_true(item.key.idle_s >= 0);
        assert_int_equal(item.key.freq, -1);
        struct bytes value;
        assert_ok(rdb_reader_read_string(reader, &value, &err), &err);
        assert_bytes(value, expected[i].value);
        /* The name is still there when the value was read. */
        assert_bytes(item.key.name, bytes_text(expected[i].name));
    }
    assert_int_equal(st, ST_END);
    assert_int_equal(seen_count, COUNT_OF(expected));
    assert_int_equal(rdb_reader_version(reader), 10);
    assert_true(rdb_reader_has_checksum(reader));
    assert_int_equal(rdb_reader_rest(reader).len, 0);
    rdb_reader_destroy(reader);
    buf_deinit(&file);
}

static void types_of_redis_are_named_and_skipped(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t type;
    } expected[] = {
        {"string", RDB_TYPE_STRING},
        {"list_one_node", RDB_TYPE_LIST_QUICKLIST_2},
        {"list_many_nodes", RDB_TYPE_LIST_QUICKLIST_2},
        {"set_integers", RDB_TYPE_SET_INTSET},
        {"set_table", RDB_TYPE_SET},
        {"set_integer_table", RDB_TYPE_SET},
        {"hash_small", RDB_TYPE_HASH_LISTPACK},
        {"hash_table", RDB_TYPE_HASH},
        {"zset_small", RDB_TYPE_ZSET_LISTPACK},
        {"zset_table", RDB_TYPE_ZSET_2},
        {"stream_plain", RDB_TYPE_STREAM_LISTPACKS_2},
        {"stream_groups", RDB_TYPE_STREAM_LISTPACKS_2},
        {"hyperloglog", RDB_TYPE_STRING},
    };
    struct buf file = {0};
    golden_read("rdb/v10/types.rdb", &file);
    struct byte_source source = {.data = buf_bytes(&file)};
    struct rdb_reader *reader = open_reader(&source);
    struct rdb_item item;
    struct err err;
    size_t events[RDB_EVENT_KEY + 1] = {0};
    bool version_seen = false;
    enum status st;
    while ((st = rdb_reader_next(reader, &item, &err)) == ST_OK) {
        events[item.event]++;
        if (item.event == RDB_EVENT_AUX && bytes_equal(item.aux.name, bytes_text("redis-ver"))) {
            assert_bytes(item.aux.value, bytes_text("7.0.15"));
            version_seen = true;
        } else if (item.event == RDB_EVENT_RESIZE_DB) {
            assert_int_equal(item.resize.key_count, COUNT_OF(expected));
            assert_int_equal(item.resize.expire_count, 1);
        } else if (item.event == RDB_EVENT_FUNCTION) {
            assert_memory_equal(item.function.data, "#!lua name=golden\n", 18);
        } else if (item.event == RDB_EVENT_KEY) {
            size_t i = 0;
            while (i < COUNT_OF(expected) &&
                   !bytes_equal(item.key.name, bytes_text(expected[i].name)))
                i++;
            assert_true(i < COUNT_OF(expected));
            assert_int_equal(item.key.type, expected[i].type);
            assert_true(item.key.freq >= 0);
        }
    }
    assert_int_equal(st, ST_END);
    assert_true(version_seen);
    assert_int_equal(events[RDB_EVENT_KEY], COUNT_OF(expected));
    assert_int_equal(events[RDB_EVENT_FUNCTION], 1);
    assert_int_equal(events[RDB_EVENT_SELECT_DB], 1);
    rdb_reader_destroy(reader);
    buf_deinit(&file);
}

static const char *const golden_files[] = {"rdb/v10/strings.rdb", "rdb/v10/types.rdb"};

static void pieces_of_any_size_give_the_same(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 2, 3, 5, 7, 13, 64, 100, 500};
    for (size_t i = 0; i < COUNT_OF(golden_files); i++) {
        struct buf file = {0};
        golden_read(golden_files[i], &file);
        uint64_t copied = 0;
        for (enum manner manner = 0; manner < MANNER_COUNT; manner++) {
            uint64_t whole;
            struct err err;
            assert_status(read_all(buf_bytes(&file), 0, manner, false, &whole, &err), ST_END);
            if (manner == COPY_VALUES)
                copied = whole;
            if (manner == FRAME_VALUES)
                assert_int_equal(whole, copied);
            for (size_t j = 0; j < COUNT_OF(pieces); j++) {
                uint64_t digest;
                assert_status(read_all(buf_bytes(&file), pieces[j], manner, false, &digest, &err),
                              ST_END);
                assert_int_equal(digest, whole);
            }
        }
        buf_deinit(&file);
    }
}

static void each_truncation_is_noticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(golden_files); i++) {
        struct buf file = {0};
        golden_read(golden_files[i], &file);
        for (size_t len = 0; len < file.len; len++) {
            for (enum manner manner = 0; manner < MANNER_COUNT; manner++) {
                uint64_t digest;
                struct err err = {0};
                struct bytes cut = bytes_make(file.data, len);
                assert_status(read_all(cut, 0, manner, false, &digest, &err), ST_CORRUPT);
                assert_non_null(strstr(err.message, "the file ends here"));
                assert_non_null(strstr(err.message, "RDB offset"));
            }
        }
        buf_deinit(&file);
    }
}

static void each_flipped_bit_is_noticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(golden_files); i++) {
        struct buf file = {0};
        golden_read(golden_files[i], &file);
        for (size_t at = 0; at < file.len; at++) {
            for (int bit = 0; bit <= 8; bit++) {
                uint8_t flip = (uint8_t)(bit == 8 ? 0xff : 1 << bit);
                enum manner manner = (at + (size_t)bit) % MANNER_COUNT;
                uint64_t digest;
                file.data[at] ^= flip;
                enum status st = read_all(buf_bytes(&file), 0, manner, false, &digest, NULL);
                assert_true(st == ST_CORRUPT || st == ST_UNSUPPORTED || st == ST_LIMIT);
                /* Without the checksum's help, it must at least come to an orderly end. */
                st = read_all(buf_bytes(&file), 0, manner, true, &digest, NULL);
                assert_true(st == ST_END || st == ST_CORRUPT || st == ST_UNSUPPORTED ||
                            st == ST_LIMIT);
                file.data[at] ^= flip;
            }
        }
        buf_deinit(&file);
    }
}

static void a_failing_input_is_reported_with_its_reason(void **state)
{
    (void)state;
    struct buf file = {0};
    struct buf copy = {0};
    golden_read("rdb/v10/types.rdb", &file);
    for (size_t call = 1;; call++) {
        struct byte_source source = {
            .data = buf_bytes(&file), .piece_bytes = 64, .fail_call = call};
        struct rdb_reader *reader = open_reader(&source);
        struct rdb_item item;
        struct err err = {0};
        enum status st;
        do {
            st = rdb_reader_next(reader, &item, &err);
            if (st == ST_OK && item.event == RDB_EVENT_KEY && call % 2 == 0)
                st = frame_value(reader, SIZE_MAX, &copy, &err);
        } while (st == ST_OK);
        if (st == ST_END) {
            rdb_reader_destroy(reader);
            break;
        }
        assert_int_equal(st, ST_IO);
        assert_non_null(strstr(err.message, "injected read error"));
        /* It stays failed, though the input would work again. */
        source.fail_call = 0;
        struct err again = {0};
        assert_int_equal(rdb_reader_next(reader, &item, &again), ST_IO);
        assert_string_equal(again.message, err.message);
        rdb_reader_destroy(reader);
    }
    buf_deinit(&copy);
    buf_deinit(&file);
}

/* A file of version 12 without checksum around `middle`. */
static void wrap(struct bytes middle, struct buf *file)
{
    buf_clear(file);
    buf_append_text(file, "REDIS0012");
    buf_append_bytes(file, middle);
    buf_append(file, "\xff\0\0\0\0\0\0\0\0", 9);
}

static void each_type_is_skipped_to_its_end(void **state)
{
    (void)state;
#define ID   "\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\1"
#define MS   "\1\2\3\4\5\6\7\x08"
#define NODE "\x10" ID "\4node"
    static const struct {
        uint8_t type;
        struct bytes value;
    } cases[] = {
        {RDB_TYPE_STRING, LITERAL("\3abc")},
        {RDB_TYPE_STRING, LITERAL("\x40\3abc")},
        {RDB_TYPE_STRING, LITERAL("\x80\0\0\0\3abc")},
        {RDB_TYPE_STRING, LITERAL("\x81\0\0\0\0\0\0\0\3abc")},
        {RDB_TYPE_STRING, LITERAL("\xc0\x7f")},
        {RDB_TYPE_STRING, LITERAL("\xc1\1\2")},
        {RDB_TYPE_STRING, LITERAL("\xc2\1\2\3\4")},
        {RDB_TYPE_LIST, LITERAL("\0")},
        {RDB_TYPE_LIST, LITERAL("\2\1a\xc0\1")},
        {RDB_TYPE_SET, LITERAL("\2\1a\1b")},
        {RDB_TYPE_ZSET, LITERAL("\4\1a\3"
                                "1.5"
                                "\1b\xff\1c\xfe\1d\xfd")},
        {RDB_TYPE_HASH, LITERAL("\2\1a\1b\1c\xc1\1\2")},
        {RDB_TYPE_ZSET_2, LITERAL("\1\1a" MS)},
        {RDB_TYPE_MODULE_2, LITERAL("\x81\1\2\3\4\5\6\7\x08\0")},
        {RDB_TYPE_MODULE_2, LITERAL("\5\1\x40\1\2\x80\0\0\0\1\3\1\2\3\4\4" MS "\5\3abc\5\xc0\1\0")},
        {RDB_TYPE_HASH_ZIPMAP, LITERAL("\3abc")},
        {RDB_TYPE_LIST_ZIPLIST, LITERAL("\3abc")},
        {RDB_TYPE_SET_INTSET, LITERAL("\3abc")},
        {RDB_TYPE_ZSET_ZIPLIST, LITERAL("\3abc")},
        {RDB_TYPE_HASH_ZIPLIST, LITERAL("\3abc")},
        {RDB_TYPE_LIST_QUICKLIST, LITERAL("\2\3abc\4defg")},
        {RDB_TYPE_STREAM_LISTPACKS, LITERAL("\0\0\0\0\0")},
        {RDB_TYPE_STREAM_LISTPACKS, LITERAL("\2" NODE NODE "\2\5\1"
                                            "\1"
                                            "\5group"
                                            "\5\1"
                                            "\1" ID MS "\1"
                                            "\1"
                                            "\4"
                                            "user" MS "\1" ID)},
        {RDB_TYPE_HASH_LISTPACK, LITERAL("\3abc")},
        {RDB_TYPE_ZSET_LISTPACK, LITERAL("\3abc")},
        {RDB_TYPE_LIST_QUICKLIST_2, LITERAL("\2\1\3abc\2\4defg")},
        {RDB_TYPE_STREAM_LISTPACKS_2, LITERAL("\1" NODE "\2\5\1\1\1\0\0\7"
                                              "\2"
                                              "\2g1\5\1\x40\7"
                                              "\0\0"
                                              "\2g2\5\1\7"
                                              "\1" ID MS "\1"
                                              "\2"
                                              "\2u1" MS "\0"
                                              "\2u2" MS "\1" ID)},
        {RDB_TYPE_SET_LISTPACK, LITERAL("\3abc")},
        {RDB_TYPE_STREAM_LISTPACKS_3, LITERAL("\1" NODE "\2\5\1\1\1\0\0\7"
                                              "\1"
                                              "\2g2\5\1\7"
                                              "\1" ID MS "\1"
                                              "\2"
                                              "\2u1" MS MS "\0"
                                              "\2u2" MS MS "\1" ID)},
        {RDB_TYPE_HASH_METADATA_PRE_GA, LITERAL("\2\0\1a\1b\x40\1\1c\1d")},
        {RDB_TYPE_HASH_LISTPACK_EX_PRE_GA, LITERAL("\3abc")},
        {RDB_TYPE_HASH_METADATA, LITERAL(MS "\2\0\1a\1b\1\1c\1d")},
        {RDB_TYPE_HASH_LISTPACK_EX, LITERAL(MS "\3abc")},
    };
    bool covered[RDB_TYPE_COUNT] = {false};
    struct buf middle = {0};
    struct buf file = {0};
    struct buf copy = {0};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        covered[cases[i].type] = true;
        buf_clear(&middle);
        buf_append_byte(&middle, cases[i].type);
        buf_append_text(&middle, "\5first");
        buf_append_bytes(&middle, cases[i].value);
        buf_append(&middle, "\0\6second\3end", 12);
        wrap(buf_bytes(&middle), &file);
        for (int manner = 0; manner < 3; manner++) {
            struct byte_source source = {.data = buf_bytes(&file), .piece_bytes = 1};
            struct rdb_reader *reader = open_reader(&source);
            struct rdb_item item;
            struct err err = {0};
            assert_ok(rdb_reader_next(reader, &item, &err), &err);
            assert_int_equal(item.key.type, cases[i].type);
            buf_clear(&copy);
            if (manner == 1)
                assert_ok(rdb_reader_read_raw(reader, &copy, &err), &err);
            if (manner == 2)
                assert_ok(frame_value(reader, cases[i].value.len, &copy, &err), &err);
            if (manner != 0)
                assert_bytes(buf_bytes(&copy), cases[i].value);
            if (rdb_reader_next(reader, &item, &err) != ST_OK)
                fail_msg("case %zu: %s", i, err.message);
            assert_bytes(item.key.name, bytes_text("second"));
            struct bytes value;
            assert_ok(rdb_reader_read_string(reader, &value, &err), &err);
            assert_bytes(value, bytes_text("end"));
            assert_status(rdb_reader_next(reader, &item, &err), ST_END);
            rdb_reader_destroy(reader);
        }
    }
    for (uint8_t type = 0; type < RDB_TYPE_COUNT; type++) {
        bool readable = type != 8 && type != RDB_TYPE_MODULE_PRE_GA;
        assert_int_equal(covered[type], readable);
        assert_int_equal(strcmp(rdb_type_name(type), "unknown") == 0, type == 8);
    }
    assert_string_equal(rdb_type_name(RDB_TYPE_COUNT), "unknown");
    buf_deinit(&middle);
    buf_deinit(&file);
    buf_deinit(&copy);
}

static void opcodes_become_items_and_attributes(void **state)
{
    (void)state;
    static const char middle[] = "\xfa\1n\xc0\7"                       /* AUX n = 7 */
                                 "\xfe\x40\x64"                        /* SELECTDB 100 */
                                 "\xfb\x80\0\1\0\0\5"                  /* RESIZEDB 65536 5 */
                                 "\xf4\x41\1\2\1"                      /* SLOT_INFO 257 2 1 */
                                 "\xf5\4code"                          /* FUNCTION2 */
                                 "\xf7\x81\0\0\0\0\0\0\4\7\2\1\5\1x\0" /* MODULE_AUX */
                                 "\xfd\1\0\0\x80"                      /* EXPIRETIME, negative */
                                 "\xf8\x05\xf9\xff"                    /* IDLE 5, FREQ 255 */
                                 "\0\1a\1b"
                                 "\xfc\xfe\xff\xff\xff\xff\xff\xff\xff" /* EXPIRETIME_MS -2 */
                                 "\0\1c\1d"
                                 "\0\1e\1f";
    struct buf file = {0};
    wrap(bytes_make(middle, sizeof(middle) - 1), &file);
    struct byte_source source = {.data = buf_bytes(&file)};
    struct rdb_reader *reader = open_reader(&source);
    struct rdb_item item;
    struct err err = {0};
    assert_int_equal(rdb_reader_version(reader), 0);
    assert_ok(rdb_reader_next(reader, &item, &err), &err);
    assert_int_equal(rdb_reader_version(reader), 12);
    assert_int_equal(item.event, RDB_EVENT_AUX);
    assert_bytes(item.aux.name, bytes_text("n"));
    assert_bytes(item.aux.value, bytes_text("7"));
    assert_ok(rdb_reader_next(reader, &item, &err), &err);
    assert_int_equal(item.event, RDB_EVENT_SELECT_DB);
    assert_int_equal(item.db, 100);
    assert_ok(rdb_reader_next(reader, &item, &err), &err);
    assert_int_equal(item.event, RDB_EVENT_RESIZE_DB);
    assert_int_equal(item.resize.key_count, 65536);
    assert_int_equal(item.resize.expire_count, 5);
    assert_ok(rdb_reader_next(reader, &item, &err), &err);
    assert_int_equal(item.event, RDB_EVENT_SLOT_INFO);
    assert_int_equal(item.resize.slot, 257);
    assert_int_equal(item.resize.key_count, 2);
    assert_ok(rdb_reader_next(reader, &item, &err), &err);
    assert_int_equal(item.event, RDB_EVENT_FUNCTION);
    assert_bytes(item.function, bytes_text("code"));
    assert_ok(rdb_reader_next(reader, &item, &err), &err);
    assert_int_equal(item.event, RDB_EVENT_MODULE_AUX);
    assert_int_equal(item.module_id, 0x407);
    assert_ok(rdb_reader_next(reader, &item, &err), &err);
    assert_int_equal(item.event, RDB_EVENT_KEY);
    assert_int_equal(item.key.db, 100);
    assert_true(item.key.has_expire);
    assert_int_equal(item.key.expire_at_ms, INT64_C(-2147483647000));
    assert_int_equal(item.key.idle_s, 5);
    assert_int_equal(item.key.freq, 255);
    assert_ok(rdb_reader_next(reader, &item, &err), &err);
    assert_true(item.key.has_expire);
    assert_int_equal(item.key.expire_at_ms, -2);
    assert_int_equal(item.key.idle_s, -1);
    assert_int_equal(item.key.freq, -1);
    assert_ok(rdb_reader_next(reader, &item, &err), &err);
    assert_false(item.key.has_expire);
    assert_int_equal(item.key.expire_at_ms, 0);
    assert_status(rdb_reader_next(reader, &item, &err), ST_END);
    assert_false(rdb_reader_has_checksum(reader));
    rdb_reader_destroy(reader);
    buf_deinit(&file);
}

static void nonsense_is_refused_with_offset_and_reason(void **state)
{
    (void)state;
    static const struct {
        struct bytes file;
        enum status expected;
        const char *message;
    } cases[] = {
        {LITERAL("RODIS0010\xff"), ST_CORRUPT, "not an RDB file"},
        {LITERAL("VALKEY080"), ST_CORRUPT, "not an RDB file"},
        {LITERAL("REDIS00x0\xff"), ST_CORRUPT, "not a number"},
        {LITERAL("REDIS0000\xff"), ST_CORRUPT, "version 0"},
        {LITERAL("REDIS0013\xff"), ST_UNSUPPORTED, "version 13 is newer than 12"},
        {LITERAL("REDIS0010\x08\1k"), ST_CORRUPT, "offset 10, reading a key's name: unknown type"},
        {LITERAL("REDIS0010\x1a\1k"), ST_CORRUPT, "unknown type or opcode 26"},
        {LITERAL("REDIS0010\xf3\1k"), ST_CORRUPT, "unknown type or opcode 243"},
        {LITERAL("REDIS0010\6\1k"), ST_UNSUPPORTED, "before Redis 4.0"},
        {LITERAL("REDIS0010\xf6\1k"), ST_UNSUPPORTED, "release candidates"},
        {LITERAL("REDIS0010\xfe\xc0\1"), ST_CORRUPT, "a length is needed"},
        {LITERAL("REDIS0010\xfe\x82\1"), ST_CORRUPT, "no length starts with byte 0x82"},
        {LITERAL("REDIS0010\xfe\x80\x80\0\0\0"), ST_CORRUPT, "database 2147483648"},
        {LITERAL("REDIS0010\0\xc4"), ST_CORRUPT, "unknown string encoding 4"},
        {LITERAL("REDIS0010\0\1k\xff"), ST_CORRUPT, "unknown string encoding 63"},
        {LITERAL("REDIS0010\0\1k\xc3\2\x80\xff\xff\xff\xff"
                 "ab"),
         ST_CORRUPT, "cannot stand for"},
        {LITERAL("REDIS0010\0\1k\xc3\2\5"
                 "\xff\xff"),
         ST_CORRUPT, "do not decompress to 5"},
        {LITERAL("REDIS0010\0\1k\x80\xff\xff\xff\xff"
                 "a"),
         ST_CORRUPT, "the file ends here"},
        {LITERAL("REDIS0010\0\1k\x81\0\0\0\1\0\0\0\0"
                 "a"),
         ST_LIMIT, "over the limit"},
        {LITERAL("REDIS0010\0\x81\xff\xff\xff\xff\xff\xff\xff\xff"), ST_LIMIT, "over the limit"},
        {LITERAL("REDIS0010\7\1k\1\6\1"), ST_CORRUPT, "unknown module opcode 6"},
        {LITERAL("REDIS0010\xf7\1\1\1"), ST_CORRUPT, "a number is needed"},
        {LITERAL("REDIS0010\xff"
                 "12345678"),
         ST_CORRUPT, "the checksum is 0x3837363534333231"},
        {LITERAL("REDIS0010\xff"
                 "1234567"),
         ST_CORRUPT, "at least 1 more"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t digest;
        struct err err = {0};
        enum status st = read_all(cases[i].file, 0, READ_VALUES, false, &digest, &err);
        if (st != cases[i].expected || strstr(err.message, cases[i].message) == NULL)
            fail_msg("case %zu: %s: %s", i, status_name(st), err.message);
    }
}

static void the_limit_of_a_string_is_exact(void **state)
{
    (void)state;
    struct buf file = {0};
    wrap(bytes_make("\0\1k\4abcd", 8), &file);
    for (uint64_t limit = 3; limit <= 5; limit++) {
        struct byte_source source = {.data = buf_bytes(&file)};
        struct rdb_reader *reader = rdb_reader_create(&(struct rdb_reader_options){
            .read = byte_source_read, .read_arg = &source, .string_bytes_max = limit});
        struct rdb_item item;
        struct bytes value;
        assert_ok(rdb_reader_next(reader, &item, NULL), NULL);
        assert_status(rdb_reader_read_string(reader, &value, NULL), limit < 4 ? ST_LIMIT : ST_OK);
        rdb_reader_destroy(reader);
    }
    buf_deinit(&file);
}

static void old_versions_have_no_checksum(void **state)
{
    (void)state;
    static const struct {
        struct bytes file;
        size_t rest;
    } cases[] = {
        {LITERAL("REDIS0001\xfe\1\xfd\1\0\0\0\0\1k\1v\xff"), 0},
        {LITERAL("REDIS0004\xfe\1\xfd\1\0\0\0\0\1k\1v\xff"
                 "*1\r\n"),
         4},
        {LITERAL("REDIS0005\xfe\1\xfd\1\0\0\0\0\1k\1v\xff\0\0\0\0\0\0\0\0"
                 "*1"),
         2},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct byte_source source = {.data = cases[i].file};
        struct rdb_reader *reader = open_reader(&source);
        struct rdb_item item;
        struct err err;
        assert_ok(rdb_reader_next(reader, &item, &err), &err);
        assert_ok(rdb_reader_next(reader, &item, &err), &err);
        assert_int_equal(item.key.expire_at_ms, 1000);
        assert_status(rdb_reader_next(reader, &item, &err), ST_END);
        assert_false(rdb_reader_has_checksum(reader));
        assert_int_equal(rdb_reader_rest(reader).len, cases[i].rest);
        rdb_reader_destroy(reader);
    }
}

static void module_names_are_decoded(void **state)
{
    (void)state;
    /* "ReJSON-RL" version 3: nine letters of six bits, then ten bits. */
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint64_t id = 0;
    for (const char *p = "ReJSON-RL"; *p != '\0'; p++)
        id = id << 6 | (uint64_t)(strchr(letters, *p) - letters);
    char name[RDB_MODULE_NAME_BYTES + 1];
    assert_int_equal(rdb_module_name(id << 10 | 3, name), 3);
    assert_string_equal(name, "ReJSON-RL");
}

/* The buffer slides under them; the checksum stays right. */
static void frames_are_as_large_as_the_buffer_at_most(void **state)
{
    (void)state;
    static const size_t lens[] = {10,     100000, 250000, 3,      262000, 262139, 262140,
                                  262144, 400000, 7,      200000, 0,      131072, 20};
    struct buf file = {0};
    buf_append_text(&file, "REDIS0012");
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        uint8_t *at = buf_reserve(&file, lens[i] + 16);
        memcpy(at, "\0\1k\x80", 4);
        store_be32(at + 4, (uint32_t)lens[i]);
        for (size_t n = 0; n < lens[i]; n++)
            at[8 + n] = (uint8_t)(n * 7 + n / 251 + i);
        file.len += 8 + lens[i];
    }
    buf_append_byte(&file, 0xff);
    store_le64(buf_reserve(&file, 8), crc64(0, file.data, file.len));
    file.len += 8;
    for (size_t piece = 0; piece <= 1000; piece += 500) {
        struct byte_source source = {.data = buf_bytes(&file), .piece_bytes = piece};
        struct rdb_reader *reader = open_reader(&source);
        struct rdb_item item;
        struct err err = {0};
        const uint8_t *at = file.data + 9;
        size_t framed = 0;
        for (size_t i = 0; i < COUNT_OF(lens); i++) {
            struct bytes value = bytes_make(at + 8, lens[i]);
            struct rdb_frame frame;
            struct bytes read;
            struct buf scratch = {0};
            assert_ok(rdb_reader_next(reader, &item, &err), &err);
            enum status st = rdb_reader_frame_value(reader, SIZE_MAX, &frame, &err);
            framed += st == ST_OK;
            if (st == ST_OK)
                assert_ok(rdb_frame_read_string(&frame, UINT32_MAX, &scratch, &read, &err), &err);
            else
                assert_status(st, ST_NOT_FOUND);
            if (st == ST_NOT_FOUND)
                assert_ok(rdb_reader_read_string(reader, &read, &err), &err);
            assert_bytes(read, value);
            buf_deinit(&scratch);
            at += 8 + lens[i];
        }
        assert_status(rdb_reader_next(reader, &item, &err), ST_END);
        assert_true(rdb_reader_has_checksum(reader));
        assert_int_equal(framed, COUNT_OF(lens) - 3);
        rdb_reader_destroy(reader);
    }
    buf_deinit(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(strings_of_redis_are_read),
        TEST(types_of_redis_are_named_and_skipped),
        TEST(pieces_of_any_size_give_the_same),
        TEST(each_truncation_is_noticed),
        TEST(each_flipped_bit_is_noticed),
        TEST(a_failing_input_is_reported_with_its_reason),
        TEST(each_type_is_skipped_to_its_end),
        TEST(frames_are_as_large_as_the_buffer_at_most),
        TEST(opcodes_become_items_and_attributes),
        TEST(nonsense_is_refused_with_offset_and_reason),
        TEST(the_limit_of_a_string_is_exact),
        TEST(old_versions_have_no_checksum),
        TEST(module_names_are_decoded),
    };
    return RUN_TESTS("rdb_read", tests);
}
