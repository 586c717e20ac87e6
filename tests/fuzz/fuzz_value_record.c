/* Any bytes given as the record of a value of any type, or as an element of a large set or hash,
 * are found to be corrupt, or make a value whose record can be read again. */
#include "codec/check.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/types/members.h"
#include "storage/value_type.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TYPES 5 /* that have values of their own: all but strings */

static uint64_t new_id(void *arg)
{
    (void)arg;
    return 1;
}

static const struct value_rules rules = {.hash_seed = 5,
                                         .large_bytes = SIZE_MAX,
                                         .hash_listpack_entries = 8,
                                         .hash_listpack_value = 64,
                                         .set_intset_entries = 8,
                                         .set_listpack_entries = 8,
                                         .set_listpack_value = 64,
                                         .zset_listpack_entries = 8,
                                         .zset_listpack_value = 64,
                                         .new_id = new_id};

static void free_value(const struct value_type *type, struct object *o)
{
    object_free_fn *free_fn;
    void *value = type->take(o, &free_fn);
    free_fn(value);
}

static void check_record(uint8_t object_type, uint8_t form, struct bytes payload)
{
    const struct value_type *type = object_value_type((enum object_type)object_type);
    struct record_header header = {.encoding = form & 7, .large = (form & 8) != 0};
    struct object o = {.type = object_type};
    enum status st = type->decode(&o, &header, payload, &rules);
    CHECK(st == ST_OK || st == ST_CORRUPT);
    if (st != ST_OK)
        return;
    struct buf again = {0};
    struct object other = {.type = object_type};
    CHECK(type->bytes(&o) != 0);
    header.encoding = type->encode(&o, &again);
    header.large = o.large;
    CHECK(type->decode(&other, &header, buf_bytes(&again), &rules) == ST_OK);
    CHECK(other.large == o.large && other.encoding == o.encoding);
    free_value(type, &other);
    free_value(type, &o);
    buf_deinit(&again);
}

/* The position is made right, or no input would ever have a good one. */
static void check_element(bool valued, struct bytes in)
{
    struct members m;
    size_t len = in.len == 0 ? 0 : in.data[0] % in.len;
    struct bytes member = bytes_make(in.data + 1, len);
    uint8_t *element = mem_alloc(MEMBER_ELEMENT_PREFIX_BYTES + len);
    member_element_prefix(member_position(rules.hash_seed, member), element);
    memcpy(element + MEMBER_ELEMENT_PREFIX_BYTES, member.data, len);
    members_init_large(&m, &rules, 1, 1, 1);
    enum status st =
        members_install_part(&m, bytes_make(element, MEMBER_ELEMENT_PREFIX_BYTES + len),
                             bytes_make(in.data + 1 + len, in.len - 1 - len), true, valued);
    CHECK(st == ST_OK || st == ST_CORRUPT);
    if (st == ST_OK) {
        struct member_key key = member_key(&m, member);
        CHECK(members_find(&m, &key) != NULL);
    }
    members_deinit(&m);
    mem_free(element);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct bytes rest = bytes_make(data + 1, size - 1);
    uint8_t what = data[0] % (TYPES + 2);
    if (what >= TYPES)
        check_element(what == TYPES, rest);
    else
        check_record((uint8_t)(OBJECT_STRING + 1 + what), data[1], bytes_make(data + 2, size - 2));
    return 0;
}
