/* Goal: the record of a value of any type is read back as it was, and a damaged one is found to be
 * corrupt or is another value; never anything worse. The same for elements of large sets and
 * hashes.
 *
 * Method: the records of sample values in each form, cut off at each byte, and with each byte
 * changed in a few ways. Sanitizers see the rest. */
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/rdb_load.h"
#include "storage/types/members.h"
#include "storage/value_type.h"
#include "tests/support/harness.h"
#include "tests/support/rdb_samples.h"

#include <string.h>

#define STRING_BYTES_MAX 65536
#define DAMAGE_BYTES_MAX 700 /* of a record */

static uint64_t new_id(void *arg)
{
    (void)arg;
    return 7;
}

/* Compact forms up to so many entries. */
static struct value_rules values_with(size_t large_bytes, size_t entries)
{
    return (struct value_rules){.hash_seed = 5,
                                .large_bytes = large_bytes,
                                .hash_listpack_entries = entries,
                                .hash_listpack_value = 64,
                                .set_intset_entries = entries,
                                .set_listpack_entries = entries,
                                .set_listpack_value = 64,
                                .zset_listpack_entries = entries,
                                .zset_listpack_value = 64,
                                .new_id = new_id};
}

static const struct value_type *type_of(const struct object *o)
{
    return object_value_type((enum object_type)o->type);
}

static void free_value(struct object *o)
{
    object_free_fn *free_fn;
    void *value = type_of(o)->take(o, &free_fn);
    free_fn(value);
}

/* Reads a record; what comes of it, if it can be read, must work. */
static bool try_record(uint8_t type, const struct record_header *header, struct bytes payload,
                       const struct value_rules *values)
{
    struct object o = {.type = type};
    uint8_t *exact = mem_dup(payload.data, payload.len); /* sanitizers know where it ends */
    enum status st = type_of(&o)->decode(&o, header, bytes_make(exact, payload.len), values);
    assert_true(st == ST_OK || st == ST_CORRUPT);
    if (st == ST_OK) {
        struct buf again = {0};
        assert_true(type_of(&o)->bytes(&o) > 0);
        assert_non_null(type_of(&o)->encoding_name(&o));
        (void)type_of(&o)->encode(&o, &again);
        buf_deinit(&again);
        free_value(&o);
    }
    mem_free(exact);
    return st == ST_OK;
}

static void damage(uint8_t type, struct record_header header, struct buf *payload,
                   const struct value_rules *values)
{
    static const uint8_t masks[] = {0x01, 0x02, 0x40, 0x80, 0xff};
    for (size_t len = 0; len < payload->len; len++)
        (void)try_record(type, &header, bytes_make(payload->data, len), values);
    for (size_t at = 0; at < payload->len; at++) {
        for (size_t i = 0; i < sizeof(masks); i++) {
            payload->data[at] ^= masks[i];
            (void)try_record(type, &header, buf_bytes(payload), values);
            payload->data[at] ^= masks[i];
        }
    }
    for (uint32_t encoding = 0; encoding < 8; encoding++) { /* what another form would read there */
        struct record_header other = {.encoding = (uint8_t)encoding, .large = !header.large};
        (void)try_record(type, &other, buf_bytes(payload), values);
        other.large = header.large;
        (void)try_record(type, &other, buf_bytes(payload), values);
    }
    assert_true(try_record(type, &header, buf_bytes(payload), values));
}

static void check_sample(const struct rdb_sample *sample, const struct value_rules *values)
{
    struct list_rules rules = {
        .values = values, .node_size = -2, .plain_bytes = LIST_PLAIN_BYTES_MAX};
    struct rdb_load load;
    struct buf dumped = {0};
    struct err err;
    sample->put(&dumped);
    rdb_load_init(&load, &rules);
    assert_ok(
        rdb_decode(sample->type, buf_bytes(&dumped), STRING_BYTES_MAX, rdb_load_take, &load, &err),
        &err);
    assert_ok(rdb_load_finish(&load), &err);
    if (load.o.type != OBJECT_STRING) {
        struct buf payload = {0};
        struct record_header header = {.encoding = type_of(&load.o)->encode(&load.o, &payload),
                                       .large = load.o.large};
        if (payload.len <= DAMAGE_BYTES_MAX)
            damage(load.o.type, header, &payload, values);
        else
            assert_true(try_record(load.o.type, &header, buf_bytes(&payload), values));
        buf_deinit(&payload);
    }
    rdb_load_deinit(&load);
    buf_deinit(&dumped);
}

static void damaged_records_are_found_out_or_are_other_values(void **state)
{
    (void)state;
    size_t count;
    const struct rdb_sample *samples = rdb_samples(&count);
    const struct value_rules forms[] = {values_with(SIZE_MAX, 128), values_with(SIZE_MAX, 0),
                                        values_with(1, 0)};
    for (size_t i = 0; i < count; i++)
        for (size_t form = 0; form < sizeof(forms) / sizeof(*forms); form++)
            check_sample(&samples[i], &forms[form]);
}

/* ---- Elements of large sets and hashes. */

static enum status install(struct bytes element, struct bytes value, bool valued, struct members *m)
{
    uint8_t *name = mem_dup(element.data, element.len);
    uint8_t *content = mem_dup(value.data, value.len);
    enum status st = members_install_part(m, bytes_make(name, element.len),
                                          bytes_make(content, value.len), true, valued);
    mem_free(name);
    mem_free(content);
    return st;
}

static void check_install(struct bytes element, struct bytes value, bool valued)
{
    const struct value_rules values = values_with(1, 0);
    struct members m;
    members_init_large(&m, &values, 7, 1, 10);
    enum status st = install(element, value, valued, &m);
    assert_true(st == ST_OK || st == ST_CORRUPT);
    assert_int_equal(m.table.count, st == ST_OK);
    members_deinit(&m);
}

static void damaged_elements_are_found_out_or_are_other_members(void **state)
{
    (void)state;
    uint8_t element[MEMBER_ELEMENT_PREFIX_BYTES + 5];
    uint8_t value[] = {MEMBER_RECORD_PREFIXED, 0, 1, 2, 3, 4, 5, 6, 7, 'v', 'a', 'l'};
    member_element_prefix(member_position(5, bytes_text("field")), element);
    memcpy(element + MEMBER_ELEMENT_PREFIX_BYTES, "field", 5);
    struct bytes whole = bytes_make(element, sizeof(element));
    for (int valued = 0; valued < 2; valued++) {
        for (size_t len = 0; len <= sizeof(value); len++)
            check_install(whole, bytes_make(value, len), valued != 0);
        for (size_t len = 0; len < sizeof(element); len++)
            check_install(bytes_make(element, len), bytes_make(value, sizeof(value)), valued != 0);
        for (unsigned byte = 0; byte < 256; byte++) {
            value[0] = (uint8_t)byte;
            check_install(whole, bytes_make(value, sizeof(value)), valued != 0);
        }
        value[0] = MEMBER_RECORD_PREFIXED;
    }
    /* An element under another member's position would never be found: it is none. */
    const struct value_rules values = values_with(1, 0);
    struct members m;
    members_init_large(&m, &values, 7, 1, 10);
    for (size_t at = 0; at < sizeof(element); at++) {
        element[at] ^= 1;
        assert_int_equal(install(whole, bytes_make("", 1), false, &m), ST_CORRUPT);
        element[at] ^= 1;
    }
    assert_int_equal(install(whole, bytes_make("", 1), false, &m), ST_OK);
    members_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(damaged_records_are_found_out_or_are_other_values),
        TEST(damaged_elements_are_found_out_or_are_other_members),
    };
    return RUN_TESTS("value_record", tests);
}
