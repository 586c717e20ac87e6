/* Journal bytes: golden bytes of version 1 read back and are written again; every truncation and
 * every single-byte flip of them is refused. */
#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/journal_block.h"
#include "tests/support/golden.h"
#include "tests/support/harness.h"

#define PAYLOAD "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"

#define SEGMENT_BYTES                                                                              \
    (JOURNAL_SEGMENT_HEADER_BYTES + JOURNAL_BLOCK_HEADER_BYTES + sizeof(PAYLOAD) - 1)

/* A segment with one block, as version 1 wrote it; filled before each test. */
static uint8_t golden[SEGMENT_BYTES];

static const struct journal_segment golden_segment = {.start_offset = UINT64_C(0x0102030405060708),
                                                      .created_ms = UINT64_C(1700000000123)};

static int load_golden(void **state)
{
    (void)state;
    struct buf file = {0};
    golden_read("journal/v1/segment.bin", &file);
    assert_int_equal(file.len, sizeof(golden));
    memcpy(golden, file.data, sizeof(golden));
    buf_deinit(&file);
    return 0;
}

static const uint8_t *golden_header(void)
{
    return golden + JOURNAL_SEGMENT_HEADER_BYTES;
}

static struct bytes golden_payload(void)
{
    size_t before = JOURNAL_SEGMENT_HEADER_BYTES + JOURNAL_BLOCK_HEADER_BYTES;
    return bytes_make(golden + before, sizeof(golden) - before);
}

static struct journal_block make_block(void)
{
    struct bytes payload = bytes_text(PAYLOAD);
    return (struct journal_block){
        .payload_len = payload.len,
        .offset = golden_segment.start_offset,
        .payload_crc = crc32c(0, payload.data, payload.len),
        .db = 0x1234,
    };
}

static void golden_bytes_are_what_we_write(void **state)
{
    (void)state;
    uint8_t out[sizeof(golden)];
    journal_segment_header_encode(&golden_segment, out);
    struct journal_block block = make_block();
    journal_block_header_encode(&block, out + JOURNAL_SEGMENT_HEADER_BYTES);
    memcpy(out + JOURNAL_SEGMENT_HEADER_BYTES + JOURNAL_BLOCK_HEADER_BYTES, PAYLOAD,
           strlen(PAYLOAD));
    assert_bytes(bytes_make(out, sizeof(out)), bytes_make(golden, sizeof(golden)));
}

static void golden_bytes_are_read(void **state)
{
    (void)state;
    struct err err;
    struct journal_segment segment;
    assert_ok(journal_segment_header_decode(golden, &segment, &err), &err);
    assert_int_equal(segment.start_offset, golden_segment.start_offset);
    assert_int_equal(segment.created_ms, golden_segment.created_ms);
    struct journal_block block;
    assert_ok(journal_block_header_decode(golden_header(), &block, &err), &err);
    assert_int_equal(block.payload_len, strlen(PAYLOAD));
    assert_int_equal(block.offset, golden_segment.start_offset);
    assert_int_equal(block.db, 0x1234);
    assert_int_equal(block.flags, 0);
    assert_ok(journal_block_payload_verify(&block, golden_payload(), &err), &err);
    assert_bytes(golden_payload(), bytes_text(PAYLOAD));
}

static void each_flipped_byte_of_a_header_is_detected(void **state)
{
    (void)state;
    for (size_t at = 0; at < JOURNAL_BLOCK_HEADER_BYTES; at++) {
        for (int flip = 1; flip < 256; flip++) {
            uint8_t bad[JOURNAL_BLOCK_HEADER_BYTES];
            struct journal_block block;
            struct err err = {0};
            memcpy(bad, golden_header(), sizeof(bad));
            bad[at] ^= (uint8_t)flip;
            assert_status(journal_block_header_decode(bad, &block, &err), ST_CORRUPT);
            assert_non_null(strstr(err.message, at < 4 ? "magic" : "checksum"));
            struct journal_segment segment;
            memcpy(bad, golden, sizeof(bad));
            bad[at] ^= (uint8_t)flip;
            assert_status(journal_segment_header_decode(bad, &segment, &err), ST_CORRUPT);
            assert_non_null(strstr(err.message, at < 8 ? "not a journal segment" : "checksum"));
        }
    }
}

static void each_flipped_byte_and_truncation_of_a_payload_is_detected(void **state)
{
    (void)state;
    struct journal_block block;
    assert_ok(journal_block_header_decode(golden_header(), &block, NULL), NULL);
    struct bytes payload = golden_payload();
    uint8_t bad[sizeof(golden)];
    memcpy(bad, payload.data, payload.len);
    for (size_t at = 0; at < payload.len; at++) {
        for (int flip = 1; flip < 256; flip++) {
            bad[at] = (uint8_t)(payload.data[at] ^ flip);
            struct bytes view = bytes_make(bad, payload.len);
            assert_status(journal_block_payload_verify(&block, view, NULL), ST_CORRUPT);
        }
        bad[at] = payload.data[at];
        struct err err;
        assert_status(journal_block_payload_verify(&block, bytes_make(bad, at), &err), ST_CORRUPT);
    }
    struct bytes longer = bytes_make(payload.data - 1, payload.len + 1);
    assert_status(journal_block_payload_verify(&block, longer, NULL), ST_CORRUPT);
}

static void fields_are_checked_although_the_checksum_is_right(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint64_t value;
        int bytes;
        enum status expected;
    } cases[] = {
        {8, JOURNAL_BLOCK_PAYLOAD_BYTES_MAX, 8, ST_OK},
        {8, JOURNAL_BLOCK_PAYLOAD_BYTES_MAX + 1, 8, ST_CORRUPT},
        {8, UINT64_MAX, 8, ST_CORRUPT},
        {8, 0, 8, ST_OK},
        {16, JOURNAL_OFFSET_MAX - 50, 8, ST_OK},
        {16, JOURNAL_OFFSET_MAX - 49, 8, ST_CORRUPT},
        {16, UINT64_MAX, 8, ST_CORRUPT},
        {26, 0, 2, ST_OK},
        {26, JOURNAL_BLOCK_AFTER_SYNC, 2, ST_OK},
        {26, JOURNAL_BLOCK_AFTER_SYNC | JOURNAL_BLOCK_CLOSED, 2, ST_OK},
        {26, JOURNAL_BLOCK_MARK, 2, ST_OK},
        {26, JOURNAL_BLOCK_MARK | JOURNAL_BLOCK_CLOSED, 2, ST_CORRUPT},
        {26, JOURNAL_BLOCK_TIME, 2, ST_OK},
        {26, JOURNAL_BLOCK_TIME | JOURNAL_BLOCK_MARK, 2, ST_CORRUPT},
        {26, JOURNAL_BLOCK_TIME | JOURNAL_BLOCK_AFTER_SYNC, 2, ST_CORRUPT},
        {26, JOURNAL_BLOCK_FLAGS_ALL + 1, 2, ST_UNSUPPORTED},
        {26, 0x8000, 2, ST_UNSUPPORTED},
        {24, 0xffff, 2, ST_OK},
    };
    assert_int_equal(strlen(PAYLOAD), 50);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t header[JOURNAL_BLOCK_HEADER_BYTES];
        memcpy(header, golden_header(), sizeof(header));
        if (cases[i].bytes == 8)
            store_le64(header + cases[i].at, cases[i].value);
        else
            store_le16(header + cases[i].at, (uint16_t)cases[i].value);
        store_le32(header + 28, crc32c(0, header, 28));
        struct journal_block block;
        if (journal_block_header_decode(header, &block, NULL) != cases[i].expected)
            fail_msg("case %zu", i);
    }
}

static void a_mark_is_written_and_read(void **state)
{
    (void)state;
    struct err err;
    struct buf file = {0};
    struct journal_block mark = {.offset = UINT64_C(0x0102030405060708),
                                 .db = 0x1234,
                                 .flags = JOURNAL_BLOCK_MARK,
                                 .durable = UINT64_C(0x0102030405060702)};
    uint8_t out[JOURNAL_BLOCK_HEADER_BYTES];
    journal_block_header_encode(&mark, out);
    golden_read("journal/v1/mark.bin", &file);
    assert_bytes(bytes_make(out, sizeof(out)), buf_bytes(&file));
    struct journal_block block;
    assert_ok(journal_block_header_decode(file.data, &block, &err), &err);
    assert_int_equal(block.payload_len, 0);
    assert_int_equal(block.offset, mark.offset);
    assert_int_equal(block.durable, mark.durable);
    assert_int_equal(block.db, 0x1234);
    assert_int_equal(block.flags, JOURNAL_BLOCK_MARK);
    assert_ok(journal_block_payload_verify(&block, bytes_make(NULL, 0), &err), &err);
    /* It cannot speak of what follows it. */
    for (uint64_t durable = mark.offset; durable <= mark.offset + 1; durable++) {
        store_le64(out + 8, durable);
        store_le32(out + 28, crc32c(0, out, 28));
        assert_status(journal_block_header_decode(out, &block, NULL),
                      durable == mark.offset ? ST_OK : ST_CORRUPT);
    }
    buf_deinit(&file);
}

static void a_time_is_written_and_read(void **state)
{
    (void)state;
    struct err err;
    struct buf file = {0};
    struct journal_block time = {.offset = UINT64_C(0x0102030405060708),
                                 .db = 0x1234,
                                 .flags = JOURNAL_BLOCK_TIME,
                                 .time_ms = INT64_C(1700000000123)};
    uint8_t out[JOURNAL_BLOCK_HEADER_BYTES];
    struct journal_block block;
    journal_block_header_encode(&time, out);
    golden_read("journal/v1/time.bin", &file);
    assert_bytes(bytes_make(out, sizeof(out)), buf_bytes(&file));
    assert_ok(journal_block_header_decode(file.data, &block, &err), &err);
    assert_int_equal(block.payload_len, 0);
    assert_int_equal(block.offset, time.offset);
    assert_int_equal(block.time_ms, time.time_ms);
    assert_true(journal_block_is_note(&block));
    store_le64(out + 8, UINT64_MAX);
    store_le32(out + 28, crc32c(0, out, 28));
    assert_status(journal_block_header_decode(out, &block, NULL), ST_CORRUPT);
    buf_deinit(&file);
}

static void the_header_of_an_archived_segment_is_written_and_read(void **state)
{
    (void)state;
    struct err err;
    struct buf file = {0};
    struct journal_archive archive = {.start = UINT64_C(0x0102030405060708),
                                      .end = UINT64_C(0x010203040506073a),
                                      .plain_bytes = 114,
                                      .last_ms = INT64_C(1700000000123),
                                      .history = "9f8e7d6c-5b4a"};
    struct journal_archive read;
    uint8_t out[JOURNAL_ARCHIVE_HEADER_BYTES];
    journal_archive_header_encode(&archive, out);
    golden_read("journal/v1/archive.bin", &file);
    assert_bytes(bytes_make(out, sizeof(out)), buf_bytes(&file));
    assert_ok(journal_archive_header_decode(file.data, &read, &err), &err);
    assert_int_equal(read.start, archive.start);
    assert_int_equal(read.end, archive.end);
    assert_int_equal(read.plain_bytes, archive.plain_bytes);
    assert_int_equal(read.last_ms, archive.last_ms);
    assert_false(read.damaged);
    assert_string_equal(read.history, archive.history);
    buf_deinit(&file);
    for (size_t at = 0; at < sizeof(out); at++) {
        out[at] ^= 1;
        assert_status(journal_archive_header_decode(out, &read, &err), ST_CORRUPT);
        out[at] ^= 1;
    }
    static const struct {
        size_t at;
        uint8_t value;
        enum status expected;
    } cases[] = {
        {8, 2, ST_UNSUPPORTED}, {12, 1, ST_OK},        {12, 2, ST_UNSUPPORTED},
        {31, 0x80, ST_CORRUPT}, {31, 0, ST_CORRUPT},   {39, 1, ST_CORRUPT},
        {47, 0x80, ST_CORRUPT}, {48, ' ', ST_CORRUPT}, {111, 'x', ST_CORRUPT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        journal_archive_header_encode(&archive, out);
        out[cases[i].at] = cases[i].value;
        store_le32(out + 112, crc32c(0, out, 112));
        if (journal_archive_header_decode(out, &read, NULL) != cases[i].expected)
            fail_msg("case %zu", i);
    }
}

static void a_segment_of_another_version_is_told_from_a_damaged_one(void **state)
{
    (void)state;
    uint8_t header[JOURNAL_SEGMENT_HEADER_BYTES];
    struct journal_segment segment;
    struct err err = {0};
    memcpy(header, golden, sizeof(header));
    store_le32(header + 8, 2);
    assert_status(journal_segment_header_decode(header, &segment, &err), ST_CORRUPT);
    store_le32(header + 28, crc32c(0, header, 28));
    assert_status(journal_segment_header_decode(header, &segment, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.message, "version 2"));
    store_le32(header + 8, 1);
    store_le64(header + 12, JOURNAL_OFFSET_MAX + 1);
    store_le32(header + 28, crc32c(0, header, 28));
    assert_status(journal_segment_header_decode(header, &segment, &err), ST_CORRUPT);
}

static void a_block_behind_damage_is_found_wherever_it_stands(void **state)
{
    (void)state;
    for (size_t before = 0; before < 80; before++) {
        uint8_t data[200];
        memset(data, 'B', sizeof(data));
        memcpy(data + before, golden_header(), JOURNAL_BLOCK_HEADER_BYTES);
        struct journal_block block;
        size_t at = 0;
        size_t end = before + JOURNAL_BLOCK_HEADER_BYTES;
        for (size_t len = 0; len < end; len++)
            assert_false(journal_block_find(bytes_make(data, len), 0, &at, &block));
        assert_true(journal_block_find(bytes_make(data, end), 0, &at, &block));
        assert_int_equal(at, before);
        assert_int_equal(block.offset, golden_segment.start_offset);
        uint64_t later = golden_segment.start_offset + 1;
        assert_true(journal_block_find(bytes_make(data, 200), later - 1, &at, &block));
        assert_false(journal_block_find(bytes_make(data, 200), later, &at, &block));
    }
}

static void a_broken_header_does_not_hide_a_good_one_inside_it(void **state)
{
    (void)state;
    uint8_t data[100] = {0};
    struct journal_block block;
    size_t at;
    memcpy(data, golden_header(), 4);
    memcpy(data + 6, golden_header(), JOURNAL_BLOCK_HEADER_BYTES);
    assert_true(journal_block_find(bytes_make(data, sizeof(data)), 0, &at, &block));
    assert_int_equal(at, 6);
    assert_false(journal_block_find(bytes_make(NULL, 0), 0, &at, &block));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(golden_bytes_are_what_we_write, load_golden, NULL),
        TEST_WITH(golden_bytes_are_read, load_golden, NULL),
        TEST_WITH(each_flipped_byte_of_a_header_is_detected, load_golden, NULL),
        TEST_WITH(each_flipped_byte_and_truncation_of_a_payload_is_detected, load_golden, NULL),
        TEST_WITH(fields_are_checked_although_the_checksum_is_right, load_golden, NULL),
        TEST_WITH(a_mark_is_written_and_read, NULL, NULL),
        TEST_WITH(a_time_is_written_and_read, NULL, NULL),
        TEST_WITH(the_header_of_an_archived_segment_is_written_and_read, NULL, NULL),
        TEST_WITH(a_segment_of_another_version_is_told_from_a_damaged_one, load_golden, NULL),
        TEST_WITH(a_block_behind_damage_is_found_wherever_it_stands, load_golden, NULL),
        TEST_WITH(a_broken_header_does_not_hide_a_good_one_inside_it, load_golden, NULL),
    };
    return RUN_TESTS("journal_block", tests);
}
