/* Byte orders: values stand where they must, at any address. */
#include "codec/endian.h"
#include "tests/support/harness.h"

static void bytes_stand_in_the_named_order(void **state)
{
    (void)state;
    uint8_t at[9] = {0};
    store_le16(at + 1, 0x1122);
    assert_memory_equal(at + 1, "\x22\x11", 2);
    store_be16(at + 1, 0x1122);
    assert_memory_equal(at + 1, "\x11\x22", 2);
    store_le32(at + 1, 0x11223344);
    assert_memory_equal(at + 1, "\x44\x33\x22\x11", 4);
    store_be32(at + 1, 0x11223344);
    assert_memory_equal(at + 1, "\x11\x22\x33\x44", 4);
    store_le64(at + 1, UINT64_C(0x1122334455667788));
    assert_memory_equal(at + 1, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
    store_be64(at + 1, UINT64_C(0x1122334455667788));
    assert_memory_equal(at + 1, "\x11\x22\x33\x44\x55\x66\x77\x88", 8);
}

static void what_was_stored_is_loaded(void **state)
{
    (void)state;
    uint8_t at[9] = {0};
    store_le16(at + 1, 0xfedc);
    assert_int_equal(load_le16(at + 1), 0xfedc);
    assert_int_equal(load_be16(at + 1), 0xdcfe);
    store_le32(at + 1, 0xfedcba98);
    assert_int_equal(load_le32(at + 1), 0xfedcba98);
    assert_int_equal(load_be32(at + 1), 0x98badcfe);
    store_le64(at + 1, UINT64_C(0xfedcba9876543210));
    assert_int_equal(load_le64(at + 1), UINT64_C(0xfedcba9876543210));
    assert_int_equal(load_be64(at + 1), UINT64_C(0x1032547698badcfe));
    store_be16(at + 1, 0xfedc);
    assert_int_equal(load_be16(at + 1), 0xfedc);
    store_be32(at + 1, 0xfedcba98);
    assert_int_equal(load_be32(at + 1), 0xfedcba98);
    store_be64(at + 1, UINT64_C(0xfedcba9876543210));
    assert_int_equal(load_be64(at + 1), UINT64_C(0xfedcba9876543210));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_stand_in_the_named_order),
        TEST(what_was_stored_is_loaded),
    };
    return RUN_TESTS("endian", tests);
}
