/* Record bytes: what is written stands where FORMAT.md says, reads back, and sorts as it must;
 * every truncation and every single-byte flip is either refused or read as other, valid contents.
 */
#include "codec/checksum.h"
#include "codec/record.h"
#include "tests/support/golden.h"
#include "tests/support/harness.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define SEED            UINT64_C(0x0123456789abcdef)

static void slots_are_those_of_redis_cluster(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint16_t slot;
    } cases[] = {
        {"123456789", 12739}, {"foo", 12182},
        {"bar", 5061},        {"", 0},
        {"foo{bar}", 5061},   {"{foo}bar", 12182},
        {"{bar}{foo}", 5061}, {"x{bar", 0},
        {"{}bar", 0},         {"foo{}{bar}", 0},
        {"foo{{bar}}zap", 0}, {"a long key with the tag {bar} inside", 5061},
        {"{bar}", 5061},      {"}{bar}", 5061},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bytes key = bytes_text(cases[i].key);
        uint16_t slot = record_slot(key);
        if (cases[i].slot != 0 || key.len == 0)
            assert_int_equal(slot, cases[i].slot);
    }
    /* An empty or an unfinished tag is none; a brace within a tag belongs to it. */
    assert_int_equal(record_slot(bytes_text("x{bar")), crc16("x{bar", 5) & 16383);
    assert_int_equal(record_slot(bytes_text("{}bar")), crc16("{}bar", 5) & 16383);
    assert_int_equal(record_slot(bytes_text("foo{}{bar}")), crc16("foo{}{bar}", 10) & 16383);
    assert_int_equal(record_slot(bytes_text("foo{{bar}}zap")), crc16("{bar", 4) & 16383);
}

static void a_brace_is_found_wherever_it_stands(void **state)
{
    (void)state;
    for (size_t len = 3; len <= 40; len++) {
        for (size_t at = 0; at + 3 <= len; at++) {
            char key[40];
            /* 0xfb and 0x7a differ from the brace in one bit. */
            memset(key, len % 2 == 0 ? 0xfb : 0x7a, sizeof(key));
            memcpy(key + at, "{t}", 3);
            assert_int_equal(record_slot(bytes_make(key, len)), crc16("t", 1) & 16383);
            memcpy(key + at, "zt}", 3);
            assert_int_equal(record_slot(bytes_make(key, len)), crc16(key, len) & 16383);
        }
    }
}

/* These numbers are on disks: they must never change. */
static void positions_never_change(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint64_t position;
    } cases[] = {
        {"", UINT64_C(0x0000660e51ad0d)},
        {"a", UINT64_C(0x1e43fe79b4fcf3)},
        {"foo", UINT64_C(0x17cb09523456c7)},
        {"12345678", UINT64_C(0x080a8bbc97aa55)},
        {"key:000000012345", UINT64_C(0x187a96a494fb1f)},
        {"{user1000}.following", UINT64_C(0x06b99377b2251c)},
        {"a key of more than thirty-two bytes, which are all hashed", UINT64_C(0x08dd8f64c2020d)},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t position = record_position(SEED, bytes_text(cases[i].key));
        if (position != cases[i].position)
            fail_msg("{\"%s\", UINT64_C(0x%014llx)},", cases[i].key, (unsigned long long)position);
    }
}

static void a_position_is_the_slot_and_a_hash_of_the_whole_key(void **state)
{
    (void)state;
    struct bytes a = bytes_text("{user}1");
    struct bytes b = bytes_text("{user}2");
    uint64_t position = record_position(SEED, a);
    assert_true(position <= RECORD_POSITION_MAX);
    assert_int_equal(record_position_slot(position), record_slot(a));
    assert_int_equal(record_position_slot(position),
                     record_position_slot(record_position(SEED, b)));
    assert_int_not_equal(position, record_position(SEED, b));
    assert_int_not_equal(position, record_position(SEED + 1, a));
    assert_int_equal(position & ((UINT64_C(1) << 39) - 1), hash64(SEED, a.data, a.len) >> 25);
    assert_int_equal(record_slot_position(RECORD_SLOT_COUNT), RECORD_POSITION_MAX + 1);
}

static void record_keys_read_back(void **state)
{
    (void)state;
    static const uint32_t db_ids[] = {0, 1, 0x01020304, RECORD_ELEMENT_DB_ID - 1};
    static const uint64_t positions[] = {0, 1, UINT64_C(0x01020304050607), RECORD_POSITION_MAX};
    for (size_t i = 0; i < COUNT_OF(db_ids); i++) {
        for (size_t j = 0; j < COUNT_OF(positions); j++) {
            for (size_t len = 0; len < 4; len++) {
                uint8_t out[RECORD_KEY_PREFIX_BYTES + 4];
                struct bytes key = bytes_make("key", len);
                size_t size = record_key_encode(db_ids[i], positions[j], key, out);
                assert_int_equal(size, record_key_bytes(len));
                uint32_t db_id;
                uint64_t position;
                struct bytes key_out;
                assert_true(record_key_decode(bytes_make(out, size), &db_id, &position, &key_out));
                assert_int_equal(db_id, db_ids[i]);
                assert_int_equal(position, positions[j]);
                assert_bytes(key_out, key);
                assert_false(record_is_element_key(bytes_make(out, size)));
            }
        }
    }
}

static void record_keys_have_the_documented_bytes(void **state)
{
    (void)state;
    uint8_t out[64];
    size_t size = record_key_encode(2, UINT64_C(0x1fffffffffff00), bytes_text("ab"), out);
    assert_bytes(bytes_make(out, size), bytes_make("\0\0\0\2\x1f\xff\xff\xff\xff\xff\0ab", 13));
    record_db_prefix_encode(2, out);
    assert_memory_equal(out, "\0\0\0\2", 4);
    size = record_element_key_encode(0x0102, bytes_text("e"), out);
    assert_bytes(bytes_make(out, size), bytes_make("\xff\xff\xff\xff\0\0\0\0\0\0\1\2e", 13));
    record_chunk_key_encode(0x0102, 0x0304, out);
    assert_memory_equal(out, "\xff\xff\xff\xff\0\0\0\0\0\0\1\2\0\0\3\4", RECORD_CHUNK_KEY_BYTES);
    size = record_expires_key_encode(0x0506, bytes_text("rec"), out);
    assert_bytes(bytes_make(out, size), bytes_make("\0\0\0\0\0\0\5\6rec", 11));
}

static void record_keys_sort_by_database_then_position_then_key(void **state)
{
    (void)state;
    static const struct {
        uint32_t db_id;
        uint64_t position;
        const char *key;
    } ascending[] = {
        {0, 0, ""},
        {0, 0, "a"},
        {0, 0, "aa"},
        {0, 0, "b"},
        {0, 255, ""},
        {0, 256, ""},
        {0, RECORD_POSITION_MAX, "z"},
        {1, 0, ""},
        {255, 7, "k"},
        {256, 0, ""},
    };
    uint8_t before[32];
    size_t before_len = 0;
    for (size_t i = 0; i < COUNT_OF(ascending); i++) {
        uint8_t out[32];
        size_t len = record_key_encode(ascending[i].db_id, ascending[i].position,
                                       bytes_text(ascending[i].key), out);
        if (i != 0)
            assert_true(bytes_compare(bytes_make(before, before_len), bytes_make(out, len)) < 0);
        memcpy(before, out, len);
        before_len = len;
    }
    uint8_t element[RECORD_ELEMENT_PREFIX_BYTES];
    record_element_prefix_encode(0, element);
    uint8_t last[16];
    size_t last_len =
        record_key_encode(RECORD_ELEMENT_DB_ID - 1, RECORD_POSITION_MAX, bytes_text("\xff"), last);
    assert_true(bytes_compare(bytes_make(last, last_len), bytes_make(element, 12)) < 0);
}

static void damaged_record_keys_are_refused_or_read_as_written(void **state)
{
    (void)state;
    uint8_t good[16];
    size_t len = record_key_encode(7, UINT64_C(0x0123456789abcd), bytes_text("key"), good);
    uint32_t db_id = 0;
    uint64_t position = 0;
    struct bytes key;
    for (size_t cut = 0; cut < len; cut++) {
        bool ok = record_key_decode(bytes_make(good, cut), &db_id, &position, &key);
        assert_int_equal(ok, cut >= RECORD_KEY_PREFIX_BYTES);
    }
    for (size_t at = 0; at < len; at++) {
        for (int flip = 1; flip < 256; flip++) {
            uint8_t bad[16];
            memcpy(bad, good, len);
            bad[at] ^= (uint8_t)flip;
            if (!record_key_decode(bytes_make(bad, len), &db_id, &position, &key)) {
                assert_int_equal(at, 4); /* only the top of the position has invalid values */
                continue;
            }
            uint8_t again[16];
            assert_int_equal(record_key_encode(db_id, position, key, again), len);
            assert_memory_equal(again, bad, len);
        }
    }
    record_element_prefix_encode(1, good);
    assert_false(record_key_decode(bytes_make(good, 12), &db_id, &position, &key));
}

static void element_and_chunk_keys_read_back(void **state)
{
    (void)state;
    uint8_t out[RECORD_CHUNK_KEY_BYTES + 1] = {0};
    uint64_t object_id = 0;
    uint32_t index = 0;
    struct bytes element;
    record_chunk_key_encode(UINT64_C(0xfedcba9876543210), 0x89abcdef, out);
    assert_true(record_is_element_key(bytes_make(out, RECORD_CHUNK_KEY_BYTES)));
    for (size_t len = 0; len <= sizeof(out); len++) {
        struct bytes encoded = bytes_make(out, len);
        assert_int_equal(record_chunk_key_decode(encoded, &object_id, &index), len == 16);
        assert_int_equal(record_element_key_decode(encoded, &object_id, &element), len >= 12);
        if (len >= 12)
            assert_int_equal(element.len, len - 12);
    }
    assert_int_equal(object_id, UINT64_C(0xfedcba9876543210));
    assert_int_equal(index, 0x89abcdef);
    for (size_t at = 0; at < 4; at++) {
        uint8_t bad[RECORD_CHUNK_KEY_BYTES];
        memcpy(bad, out, sizeof(bad));
        bad[at] = 0;
        assert_false(record_chunk_key_decode(bytes_make(bad, sizeof(bad)), &object_id, &index));
        assert_false(record_element_key_decode(bytes_make(bad, 16), &object_id, &element));
    }
}

static void expires_keys_read_back_and_sort_by_time(void **state)
{
    (void)state;
    static const int64_t times[] = {0, 1, 255, 256, 1700000000000, INT64_MAX};
    uint8_t before[RECORD_EXPIRES_PREFIX_BYTES + 1];
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        uint8_t out[RECORD_EXPIRES_PREFIX_BYTES + 1];
        size_t len = record_expires_key_encode(times[i], bytes_text("r"), out);
        int64_t at_ms;
        struct bytes record_key;
        assert_true(record_expires_key_decode(bytes_make(out, len), &at_ms, &record_key));
        assert_int_equal(at_ms, times[i]);
        assert_bytes(record_key, bytes_text("r"));
        assert_false(record_expires_key_decode(bytes_make(out, 7), &at_ms, &record_key));
        if (i != 0)
            assert_true(memcmp(before, out, len) < 0);
        memcpy(before, out, len);
        out[0] |= 0x80;
        assert_false(record_expires_key_decode(bytes_make(out, len), &at_ms, &record_key));
    }
    uint8_t out[RECORD_EXPIRES_PREFIX_BYTES];
    assert_int_equal(record_expires_key_encode(-5, bytes_make(NULL, 0), out), 8);
    assert_memory_equal(out, "\0\0\0\0\0\0\0\0", 8);
}

static void headers_read_back(void **state)
{
    (void)state;
    for (int bits = 0; bits < 4; bits++) {
        struct record_header header = {
            .has_expire = (bits & 1) != 0,
            .large = (bits & 2) != 0,
            .encoding = (uint8_t)(100 + bits),
            .expire_at_ms = (bits & 1) != 0 ? -2 - bits : 0,
        };
        uint8_t value[RECORD_HEADER_BYTES_MAX + 3];
        size_t len = record_header_encode(&header, value);
        assert_int_equal(len, (bits & 1) != 0 ? 10 : 2);
        assert_int_equal(value[0], 0x10 | bits);
        memcpy(value + len, "pay", 3);
        struct record_header out;
        struct bytes payload;
        assert_status(record_header_decode(bytes_make(value, len + 3), &out, &payload), ST_OK);
        assert_int_equal(out.has_expire, header.has_expire);
        assert_int_equal(out.large, header.large);
        assert_int_equal(out.encoding, header.encoding);
        assert_int_equal(out.expire_at_ms, header.expire_at_ms);
        assert_bytes(payload, bytes_text("pay"));
        for (size_t cut = 0; cut < len; cut++)
            assert_status(record_header_decode(bytes_make(value, cut), &out, &payload), ST_CORRUPT);
        assert_status(record_header_decode(bytes_make(value, len), &out, &payload), ST_OK);
        assert_int_equal(payload.len, 0);
    }
}

static void each_first_byte_of_a_value_is_judged(void **state)
{
    (void)state;
    for (int first = 0; first < 256; first++) {
        uint8_t value[RECORD_HEADER_BYTES_MAX] = {(uint8_t)first};
        struct record_header out;
        struct bytes payload;
        enum status expected = first >> 4 == 0      ? ST_CORRUPT
                               : first >> 4 != 1    ? ST_UNSUPPORTED
                               : (first & 0xc) != 0 ? ST_CORRUPT
                                                    : ST_OK;
        assert_status(record_header_decode(bytes_make(value, sizeof(value)), &out, &payload),
                      expected);
    }
}

static void large_strings_read_back(void **state)
{
    (void)state;
    struct record_large_string large = {
        .object_id = UINT64_C(0x1122334455667788), .len = 512 << 20, .chunk_bytes = 16384};
    uint8_t out[RECORD_LARGE_STRING_BYTES + 1] = {0};
    record_large_string_encode(&large, out);
    assert_memory_equal(out, "\x88\x77\x66\x55\x44\x33\x22\x11\0\0\0\x20\0\0\0\0\0\x40\0\0", 20);
    struct record_large_string again;
    for (size_t len = 0; len <= sizeof(out); len++)
        assert_status(record_large_string_decode(bytes_make(out, len), &again),
                      len == RECORD_LARGE_STRING_BYTES ? ST_OK : ST_CORRUPT);
    assert_int_equal(again.object_id, large.object_id);
    assert_int_equal(again.len, large.len);
    assert_int_equal(again.chunk_bytes, large.chunk_bytes);
    memset(out + 16, 0, 4);
    assert_status(record_large_string_decode(bytes_make(out, 20), &again), ST_CORRUPT);
    memcpy(out + 8, "\xff\xff\xff\xff\xff\xff\xff\xff\1\0\0\0", 12);
    assert_status(record_large_string_decode(bytes_make(out, 20), &again), ST_CORRUPT);
    memcpy(out + 8, "\xff\xff\xff\xff\0\0\0\0\1\0\0\0", 12);
    assert_status(record_large_string_decode(bytes_make(out, 20), &again), ST_OK);
}

/* The value of a golden file, decoded and encoded again, or ST_CORRUPT and such. */
static enum status rewrite_value(struct bytes value, struct buf *again)
{
    struct record_header header;
    struct record_large_string large;
    struct bytes payload;
    enum status st = record_header_decode(value, &header, &payload);
    if (st != ST_OK)
        return st;
    uint8_t out[RECORD_HEADER_BYTES_MAX];
    buf_clear(again);
    buf_append(again, out, record_header_encode(&header, out));
    if (!header.large) {
        buf_append_bytes(again, payload);
        return ST_OK;
    }
    st = record_large_string_decode(payload, &large);
    if (st != ST_OK)
        return st;
    uint8_t encoded[RECORD_LARGE_STRING_BYTES];
    record_large_string_encode(&large, encoded);
    buf_append(again, encoded, sizeof(encoded));
    return ST_OK;
}

/* A record has no checksum of its own (RocksDB's blocks have): damage is either refused, or read as
 * other contents, which are then exactly those bytes. */
static void damaged_golden_values_are_refused_or_read_as_they_stand(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t bytes_min; /* shorter ones are refused */
    } files[] = {
        {"record/v1/value_raw.bin", 2},
        {"record/v1/value_int_expiring.bin", 10},
        {"record/v1/value_large.bin", 22},
    };
    struct buf file = {0};
    struct buf again = {0};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        golden_read(files[i].name, &file);
        assert_status(rewrite_value(buf_bytes(&file), &again), ST_OK);
        assert_bytes(buf_bytes(&again), buf_bytes(&file));
        for (size_t len = 0; len < file.len; len++) {
            enum status st = rewrite_value(bytes_make(file.data, len), &again);
            assert_int_equal(st, len < files[i].bytes_min ? ST_CORRUPT : ST_OK);
        }
        for (size_t at = 0; at < file.len; at++) {
            for (int flip = 1; flip < 256; flip++) {
                file.data[at] ^= (uint8_t)flip;
                enum status st = rewrite_value(buf_bytes(&file), &again);
                if (st == ST_OK)
                    assert_bytes(buf_bytes(&again), buf_bytes(&file));
                else
                    assert_true(st == ST_CORRUPT || st == ST_UNSUPPORTED);
                file.data[at] ^= (uint8_t)flip;
            }
        }
    }
    buf_deinit(&file);
    buf_deinit(&again);
}

static void golden_keys_are_what_we_write(void **state)
{
    (void)state;
    struct buf file = {0};
    uint8_t out[64];
    struct bytes name = bytes_text("key:000000012345");
    size_t len = record_key_encode(7, record_position(SEED, name), name, out + 8);
    golden_read("record/v1/key.bin", &file);
    assert_bytes(bytes_make(out + 8, len), buf_bytes(&file));
    golden_read("record/v1/expires_key.bin", &file);
    uint8_t expires[64];
    size_t expires_len =
        record_expires_key_encode(INT64_C(4102444800123), bytes_make(out + 8, len), expires);
    assert_bytes(bytes_make(expires, expires_len), buf_bytes(&file));
    golden_read("record/v1/element_key.bin", &file);
    len = record_element_key_encode(UINT64_C(0x0102030405060708), bytes_text("member"), out);
    assert_bytes(bytes_make(out, len), buf_bytes(&file));
    golden_read("record/v1/chunk_key.bin", &file);
    record_chunk_key_encode(UINT64_C(0x0102030405060708), 0x0a0b0c0d, out);
    assert_bytes(bytes_make(out, RECORD_CHUNK_KEY_BYTES), buf_bytes(&file));
    buf_deinit(&file);
}

static void varints_have_one_spelling(void **state)
{
    (void)state;
    uint8_t out[VARINT_BYTES_MAX];
    for (int shift = 0; shift < 64; shift++) {
        for (uint64_t delta = 0; delta < 3; delta++) {
            uint64_t value = (UINT64_C(1) << shift) - 1 + delta;
            size_t len = varint_encode(value, out);
            uint64_t again = ~value;
            assert_int_equal(varint_decode(bytes_make(out, len), &again), len);
            assert_int_equal(again, value);
            for (size_t cut = 0; cut < len; cut++)
                assert_int_equal(varint_decode(bytes_make(out, cut), &again), 0);
        }
    }
    assert_int_equal(varint_encode(UINT64_MAX, out), VARINT_BYTES_MAX);
    static const struct {
        const char *encoded;
        size_t len;
    } refused[] = {
        {"\x80\0", 2},
        {"\xff\x80\0", 3},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x80\0", 11},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 11},
    };
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        uint64_t value = 77;
        struct bytes encoded = bytes_make(refused[i].encoded, refused[i].len);
        assert_int_equal(varint_decode(encoded, &value), 0);
        assert_int_equal(value, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(slots_are_those_of_redis_cluster),
        TEST(a_brace_is_found_wherever_it_stands),
        TEST(positions_never_change),
        TEST(a_position_is_the_slot_and_a_hash_of_the_whole_key),
        TEST(record_keys_read_back),
        TEST(record_keys_have_the_documented_bytes),
        TEST(record_keys_sort_by_database_then_position_then_key),
        TEST(damaged_record_keys_are_refused_or_read_as_written),
        TEST(element_and_chunk_keys_read_back),
        TEST(expires_keys_read_back_and_sort_by_time),
        TEST(headers_read_back),
        TEST(each_first_byte_of_a_value_is_judged),
        TEST(large_strings_read_back),
        TEST(damaged_golden_values_are_refused_or_read_as_they_stand),
        TEST(golden_keys_are_what_we_write),
        TEST(varints_have_one_spelling),
    };
    return RUN_TESTS("record", tests);
}
