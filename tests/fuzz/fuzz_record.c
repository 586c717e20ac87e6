/* Any bytes given to the record decoders are refused, or are what the encoders write. Numbers as
 * text are here too: what parses is printed as the same number. */
#include "codec/buf.h"
#include "codec/check.h"
#include "codec/number.h"
#include "codec/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct buf *again, size_t len, struct bytes in)
{
    CHECK(bytes_equal(bytes_make(again->data, len), in));
}

static void check_keys(struct bytes in, struct buf *again)
{
    uint32_t db_id;
    uint64_t position;
    struct bytes key;
    if (record_key_decode(in, &db_id, &position, &key)) {
        check_same(again, record_key_encode(db_id, position, key, again->data), in);
        CHECK(!record_is_element_key(in));
    }
    uint64_t object_id;
    struct bytes element;
    if (record_element_key_decode(in, &object_id, &element)) {
        check_same(again, record_element_key_encode(object_id, element, again->data), in);
        CHECK(record_is_element_key(in));
    }
    uint32_t index;
    if (record_chunk_key_decode(in, &object_id, &index)) {
        record_chunk_key_encode(object_id, index, again->data);
        check_same(again, RECORD_CHUNK_KEY_BYTES, in);
    }
    int64_t at_ms;
    if (record_expires_key_decode(in, &at_ms, &key))
        check_same(again, record_expires_key_encode(at_ms, key, again->data), in);
    position = record_position(1, in);
    CHECK(position <= RECORD_POSITION_MAX);
    CHECK(record_position_slot(position) == record_slot(in));
}

static void check_values(struct bytes in, struct buf *again)
{
    struct record_header header;
    struct bytes payload;
    if (record_header_decode(in, &header, &payload) == ST_OK) {
        size_t len = record_header_encode(&header, again->data);
        CHECK(len + payload.len == in.len);
        check_same(again, len, bytes_make(in.data, len));
        struct record_large_string large;
        if (record_large_string_decode(payload, &large) == ST_OK) {
            record_large_string_encode(&large, again->data);
            check_same(again, RECORD_LARGE_STRING_BYTES, payload);
        }
    }
    uint64_t value;
    size_t len = varint_decode(in, &value);
    if (len != 0)
        CHECK(varint_encode(value, again->data) == len && memcmp(again->data, in.data, len) == 0);
}

static void check_numbers(struct bytes in)
{
    char text[NUMBER_F64_CHARS_MAX];
    int64_t integer;
    if (number_parse_i64(in, &integer))
        CHECK(bytes_equal(bytes_make(text, number_format_i64(integer, text)), in));
    uint64_t natural;
    if (number_parse_u64(in, &natural))
        CHECK(bytes_equal(bytes_make(text, number_format_u64(natural, text)), in));
    double value;
    double again;
    if (number_parse_f64(in, &value)) {
        size_t len = number_format_f64(value, text);
        CHECK(number_parse_f64(bytes_make(text, len), &again));
        CHECK(memcmp(&again, &value, sizeof(value)) == 0);
    }
    long double wide;
    (void)!number_parse_long_double(in, &wide);
    (void)!number_parse_memory(in, &natural);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size);
    struct buf again = {0};
    (void)buf_reserve(&again, size + 64);
    check_keys(in, &again);
    check_values(in, &again);
    check_numbers(in);
    buf_deinit(&again);
    return 0;
}
