/* The RDB writer: bytes are those that Redis writes; what is written is read back, for lengths and
 * integers on both sides of each limit; a failing output is reported. */
#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/number.h"
#include "codec/rdb_read.h"
#include "codec/rdb_write.h"
#include "tests/support/byte_source.h"
#include "tests/support/golden.h"
#include "tests/support/harness.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct sink {
    struct buf data;
    size_t calls;
    size_t fail_call; /* this call fails (the first is 1); 0 for none */
};

static enum status sink_write(void *arg, struct bytes data, struct err *err)
{
    struct sink *sink = arg;
    if (++sink->calls == sink->fail_call)
        return err_set(err, ST_NO_SPACE, "injected write error");
    buf_append_bytes(&sink->data, data);
    return ST_OK;
}

static struct rdb_writer *open_writer(struct sink *sink)
{
    return rdb_writer_create(&(struct rdb_writer_options){.write = sink_write, .write_arg = sink});
}

static struct rdb_key make_key(const char *name)
{
    return (struct rdb_key){
        .name = bytes_text(name), .type = RDB_TYPE_STRING, .idle_s = -1, .freq = -1};
}

static void the_bytes_are_those_of_the_format(void **state)
{
    (void)state;
    struct sink sink = {0};
    struct rdb_writer *writer = open_writer(&sink);
    rdb_writer_put_aux(writer, "redis-ver", bytes_text("7.0.0"));
    rdb_writer_put_aux_i64(writer, "ctime", 1700000000);
    rdb_writer_put_function(writer, bytes_text("code"));
    rdb_writer_put_select_db(writer, 3);
    rdb_writer_put_resize_db(writer, 100, 1);
    struct rdb_key key = make_key("k");
    key.has_expire = true;
    key.expire_at_ms = 0x0102;
    key.idle_s = 5;
    key.freq = 255;
    rdb_writer_put_string(writer, &key, bytes_text("12"));
    key = make_key("7");
    key.type = RDB_TYPE_SET_INTSET;
    rdb_writer_put_raw(writer, &key, bytes_text("\3abc"));
    static const char expected[] = "REDIS0010"
                                   "\xfa\x09redis-ver\x05"
                                   "7.0.0"
                                   "\xfa\5ctime\xc2\x00\xf1\x53\x65"
                                   "\xf5\4code"
                                   "\xfe\3"
                                   "\xfb\x40\x64\1"
                                   "\xfc\2\1\0\0\0\0\0\0\xf8\5\xf9\xff\0\1k\xc0\x0c"
                                   "\x0b\xc0\7\3abc"
                                   "\xff";
    size_t len = sizeof(expected) - 1;
    assert_int_equal(rdb_writer_offset(writer), len - 1);
    assert_ok(rdb_writer_finish(writer, NULL), NULL);
    assert_int_equal(rdb_writer_offset(writer), len + RDB_CHECKSUM_BYTES);
    assert_int_equal(sink.data.len, len + RDB_CHECKSUM_BYTES);
    assert_bytes(bytes_make(sink.data.data, len), bytes_make(expected, len));
    assert_int_equal(load_le64(sink.data.data + len), crc64(0, expected, len));
    rdb_writer_destroy(writer);
    rdb_writer_destroy(NULL);
    buf_deinit(&sink.data);
}

static void integers_and_lengths_take_as_few_bytes_as_in_redis(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } cases[] = {
        {"0", 2},
        {"127", 2},
        {"128", 3},
        {"-128", 2},
        {"-129", 3},
        {"32767", 3},
        {"32768", 5},
        {"-32768", 3},
        {"-32769", 5},
        {"2147483647", 5},
        {"2147483648", 11},
        {"-2147483648", 5},
        {"-2147483649", 12},
        {"01", 3},
        {"-0", 3},
        {"+1", 3},
        {"", 1},
        {"99999999999", 12},
        {"1.5", 4},
    };
    struct sink sink = {0};
    struct rdb_writer *writer = open_writer(&sink);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t before = rdb_writer_offset(writer);
        rdb_writer_put_text(writer, bytes_text(cases[i].text));
        assert_int_equal(rdb_writer_offset(writer) - before, cases[i].bytes);
    }
    static const struct {
        uint64_t len;
        size_t bytes;
    } lens[] = {{0, 1},
                {63, 1},
                {64, 2},
                {16383, 2},
                {16384, 5},
                {UINT32_MAX, 5},
                {UINT64_C(1) << 32, 9},
                {UINT64_MAX, 9}};
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        uint64_t before = rdb_writer_offset(writer);
        rdb_writer_put_length(writer, lens[i].len);
        assert_int_equal(rdb_writer_offset(writer) - before, lens[i].bytes);
    }
    assert_ok(rdb_writer_finish(writer, NULL), NULL);
    rdb_writer_destroy(writer);
    buf_deinit(&sink.data);
}

/* Fills `out` with `len` bytes that compress (or not). */
static void make_value(size_t len, bool compressible, struct buf *out)
{
    buf_clear(out);
    uint32_t random = (uint32_t)len + 1;
    for (size_t i = 0; i < len; i++) {
        random = random * 1664525 + 1013904223;
        buf_append_byte(out, compressible ? (uint8_t)(i / 50) : (uint8_t)(random >> 24));
    }
}

static void strings_of_any_length_read_back(void **state)
{
    (void)state;
    static const size_t lens[] = {0,      1,      19,     20,     21,     22,    63,
                                  64,     100,    16383,  16384,  65535,  65536, 65537,
                                  200000, 262143, 262144, 262145, 1000000};
    struct buf value = {0};
    for (int flags = 0; flags < 4; flags++) {
        bool compressible = (flags & 1) != 0;
        struct sink sink = {0};
        struct rdb_writer *writer = rdb_writer_create(&(struct rdb_writer_options){
            .write = sink_write,
            .write_arg = &sink,
            .version = 11,
            .no_compression = (flags & 2) != 0,
            .no_checksum = (flags & 2) != 0,
        });
        for (size_t i = 0; i < COUNT_OF(lens); i++) {
            struct rdb_key key = make_key("name");
            make_value(lens[i], compressible, &value);
            rdb_writer_put_string(writer, &key, buf_bytes(&value));
        }
        assert_false(rdb_writer_failed(writer));
        assert_ok(rdb_writer_finish(writer, NULL), NULL);
        rdb_writer_destroy(writer);
        assert_int_equal(sink.data.len < 500000, flags == 1);

        struct byte_source source = {.data = buf_bytes(&sink.data), .piece_bytes = 100000};
        struct rdb_reader *reader = rdb_reader_create(
            &(struct rdb_reader_options){.read = byte_source_read, .read_arg = &source});
        struct rdb_item item;
        struct err err;
        for (size_t i = 0; i < COUNT_OF(lens); i++) {
            struct bytes again;
            assert_ok(rdb_reader_next(reader, &item, &err), &err);
            assert_ok(rdb_reader_read_string(reader, &again, &err), &err);
            make_value(lens[i], compressible, &value);
            assert_int_equal(again.len, lens[i]);
            assert_true(bytes_equal(again, buf_bytes(&value)));
            assert_bytes(item.key.name, bytes_text("name"));
        }
        assert_status(rdb_reader_next(reader, &item, &err), ST_END);
        assert_int_equal(rdb_reader_version(reader), 11);
        assert_int_equal(rdb_reader_has_checksum(reader), (flags & 2) == 0);
        rdb_reader_destroy(reader);
        buf_deinit(&sink.data);
    }
    buf_deinit(&value);
}

/* Copies a file item by item. */
static void copy_file(struct bytes file, struct buf *out)
{
    struct byte_source source = {.data = file};
    struct sink sink = {0};
    struct rdb_reader *reader = rdb_reader_create(
        &(struct rdb_reader_options){.read = byte_source_read, .read_arg = &source});
    struct rdb_writer *writer = open_writer(&sink);
    struct rdb_item item;
    struct buf value = {0};
    struct bytes text;
    struct err err;
    enum status st;
    while ((st = rdb_reader_next(reader, &item, &err)) == ST_OK) {
        switch (item.event) {
        case RDB_EVENT_AUX:
            buf_clear(&value);
            buf_append_bytes(&value, item.aux.name);
            buf_append_byte(&value, 0);
            rdb_writer_put_aux(writer, (const char *)value.data, item.aux.value);
            break;
        case RDB_EVENT_SELECT_DB:
            rdb_writer_put_select_db(writer, item.db);
            break;
        case RDB_EVENT_RESIZE_DB:
            rdb_writer_put_resize_db(writer, item.resize.key_count, item.resize.expire_count);
            break;
        case RDB_EVENT_FUNCTION:
            rdb_writer_put_function(writer, item.function);
            break;
        case RDB_EVENT_SLOT_INFO:
        case RDB_EVENT_MODULE_AUX:
            fail();
            break;
        case RDB_EVENT_KEY:
            if (item.key.type == RDB_TYPE_STRING) {
                assert_ok(rdb_reader_read_string(reader, &text, &err), &err);
                rdb_writer_put_string(writer, &item.key, text);
                break;
            }
            buf_clear(&value);
            assert_ok(rdb_reader_read_raw(reader, &value, &err), &err);
            rdb_writer_put_raw(writer, &item.key, buf_bytes(&value));
            break;
        }
    }
    assert_int_equal(st, ST_END);
    assert_ok(rdb_writer_finish(writer, &err), &err);
    rdb_reader_destroy(reader);
    rdb_writer_destroy(writer);
    buf_deinit(&value);
    *out = sink.data;
}

static void a_file_of_redis_is_copied_byte_for_byte(void **state)
{
    (void)state;
    static const char *const files[] = {"rdb/v10/strings.rdb", "rdb/v10/types.rdb"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        struct buf file = {0};
        struct buf copy = {0};
        golden_read(files[i], &file);
        copy_file(buf_bytes(&file), &copy);
        assert_bytes(buf_bytes(&copy), buf_bytes(&file));
        buf_deinit(&file);
        buf_deinit(&copy);
    }
}

static void a_failing_output_is_reported_at_the_end(void **state)
{
    (void)state;
    struct buf value = {0};
    make_value(300000, false, &value);
    for (size_t fail_call = 1;; fail_call++) {
        struct sink sink = {.fail_call = fail_call};
        struct rdb_writer *writer = open_writer(&sink);
        struct rdb_key key = make_key("name");
        rdb_writer_put_string(writer, &key, buf_bytes(&value));
        assert_int_equal(rdb_writer_failed(writer), fail_call == 1);
        rdb_writer_put_string(writer, &key, buf_bytes(&value));
        struct err err = {0};
        enum status st = rdb_writer_finish(writer, &err);
        size_t calls = sink.calls;
        rdb_writer_destroy(writer);
        buf_deinit(&sink.data);
        if (st == ST_OK) {
            assert_int_equal(fail_call, calls + 1);
            assert_true(calls >= 3);
            break;
        }
        assert_int_equal(st, ST_NO_SPACE);
        assert_string_equal(err.message, "injected write error");
        assert_int_equal(calls, fail_call); /* nothing is written after a failure */
    }
    buf_deinit(&value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_bytes_are_those_of_the_format),
        TEST(integers_and_lengths_take_as_few_bytes_as_in_redis),
        TEST(strings_of_any_length_read_back),
        TEST(a_file_of_redis_is_copied_byte_for_byte),
        TEST(a_failing_output_is_reported_at_the_end),
    };
    return RUN_TESTS("rdb_write", tests);
}
