/* Goal: sizes are told from records of all encodings, and no record makes it read beyond its end.
 * Method: the examples of FORMAT.md, whole, and cut off at each byte. */
#include "storage/record_size.h"

#include "codec/mem.h"
#include "tests/support/harness.h"

struct size_case {
    enum object_type type;
    bool large;
    uint8_t encoding;
    const char *payload;
    size_t len;
    uint64_t bytes, elements;
};

#define PAYLOAD(text) (text), sizeof(text) - 1

static const struct size_case cases[] = {
    {OBJECT_STRING, false, RECORD_STRING_RAW, PAYLOAD("12345"), 5, 1},
    {OBJECT_STRING, true, 0,
     PAYLOAD("\x08\x07\x06\x05\x04\x03\x02\x01\x00\xe1\xf5\x05\x00\x00\x00\x00\x00\x40\x00\x00"),
     100000000, 1},
    {OBJECT_ZSET, false, RECORD_ZSET_TABLE,
     PAYLOAD("\x02\x02"
             "aa\x00\x00\x00\x00\x00\x00\xf8\x3f\x01"
             "b\x00\x00\x00\x00\x00\x00\x00\x40"),
     22, 2},
    {OBJECT_LIST, false, 1,
     PAYLOAD("\x02\x1a\x0d\x00\x00\x00\x02\x00\x81\x61\x02\x81\x62\x02\xff\x03\x63"), 17, 3},
    {OBJECT_LIST, false, 0, PAYLOAD("\x0d\x00\x00\x00\x02\x00\x81\x61\x02\x81\x62\x02\xff"), 13, 2},
    {OBJECT_HASH, false, RECORD_HASH_LISTPACK,
     PAYLOAD("\x0d\x00\x00\x00\x02\x00\x81\x61\x02\x81\x62\x02\xff"), 13, 1},
    {OBJECT_SET, false, RECORD_SET_TABLE, PAYLOAD("\x02\x01\x61\x02\x62\x63"), 6, 2},
    {OBJECT_SET, false, RECORD_SET_INTSET,
     PAYLOAD("\x02\x00\x00\x00\x03\x00\x00\x00\x01\x00\x02\x00\x03\x00"), 14, 3},
    {OBJECT_HASH, true, RECORD_HASH_TABLE,
     PAYLOAD("\x01\x00\x00\x00\x00\x00\x00\x00\xac\x02\x90\x4e"), 10000, 300},
    {OBJECT_LIST, true, 1,
     PAYLOAD(
         "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x03\x02\x01\x04\x0a\x14\x04\x02\x05\x0b\x15\x05"),
     41, 21},
    {OBJECT_STREAM, true, 0,
     PAYLOAD("\x01\x00\x00\x00\x00\x00\x00\x00\x07\x01\x01\x01\x01\x01\x01\x07\x01\x01\x02\x64"),
     100, 7},
};

static enum status read_size(const struct size_case *c, size_t len, struct record_size *out)
{
    const struct record_header header = {.large = c->large, .encoding = c->encoding};
    /* Memory of exactly the length: the sanitizer sees overruns. */
    uint8_t *copy = len == 0 ? NULL : mem_dup(c->payload, len);
    enum status st = record_size_read(c->type, &header, bytes_make(copy, len), out);
    mem_free(copy);
    return st;
}

static void sizes_are_those_of_the_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct record_size size;
        if (read_size(&cases[i], cases[i].len, &size) != ST_OK)
            fail_msg("case %zu is refused", i);
        if (size.bytes != cases[i].bytes || size.elements != cases[i].elements)
            fail_msg("case %zu: %llu bytes, %llu elements", i, (unsigned long long)size.bytes,
                     (unsigned long long)size.elements);
    }
}

/* What is cut off behind the numbers that are looked for is no concern of these. */
static void truncated_records_are_read_to_their_end_at_most(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t len = 0; len < cases[i].len; len++) {
            struct record_size size;
            enum status st = read_size(&cases[i], len, &size);
            if (st == ST_OK)
                assert_false(cases[i].large);
            else
                assert_int_equal(st, ST_CORRUPT);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sizes_are_those_of_the_values),
        TEST(truncated_records_are_read_to_their_end_at_most),
    };
    return RUN_TESTS("record_size", tests);
}
