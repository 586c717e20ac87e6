/* Any bytes given as a value's (its type, then what DUMP has) are found to be corrupt, or make a
 * value, small or large, whose record can be read again. */
#include "codec/check.h"
#include "storage/rdb_load.h"
#include "storage/value_type.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STRING_BYTES_MAX 65536

static uint64_t new_id(void *arg)
{
    (void)arg;
    return 1;
}

static struct value_rules values_with(size_t large_bytes)
{
    return (struct value_rules){.hash_seed = 5,
                                .large_bytes = large_bytes,
                                .hash_listpack_entries = 8,
                                .hash_listpack_value = 64,
                                .set_intset_entries = 8,
                                .set_listpack_entries = 8,
                                .set_listpack_value = 64,
                                .zset_listpack_entries = 8,
                                .zset_listpack_value = 64,
                                .new_id = new_id};
}

static void free_value(struct object *o)
{
    object_free_fn *free_fn;
    void *value = object_value_type((enum object_type)o->type)->take(o, &free_fn);
    free_fn(value);
}

/* The record of a value has to be one. */
static void check_record(const struct object *o, const struct value_rules *values)
{
    const struct value_type *type = object_value_type((enum object_type)o->type);
    struct buf payload = {0};
    struct record_header header = {.encoding = type->encode(o, &payload), .large = o->large};
    struct object again = {.type = o->type};
    CHECK(type->decode(&again, &header, buf_bytes(&payload), values) == ST_OK);
    CHECK(again.large == o->large);
    free_value(&again);
    buf_deinit(&payload);
}

static enum status load(uint8_t type, struct bytes value, size_t large_bytes)
{
    struct value_rules values = values_with(large_bytes);
    struct list_rules rules = {
        .values = &values, .node_size = -2, .plain_bytes = LIST_PLAIN_BYTES_MAX};
    struct rdb_load load;
    rdb_load_init(&load, &rules);
    enum status st = rdb_decode(type, value, STRING_BYTES_MAX, rdb_load_take, &load, NULL);
    if (st == ST_OK)
        st = rdb_load_finish(&load);
    if (st == ST_OK && load.o.type != OBJECT_STRING)
        check_record(&load.o, &values);
    rdb_load_deinit(&load);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes value = bytes_make(data + 1, size - 1);
    enum status st = load(data[0], value, SIZE_MAX);
    CHECK(st == ST_OK || st == ST_CORRUPT || st == ST_LIMIT || st == ST_NOT_FOUND ||
          st == ST_UNSUPPORTED);
    CHECK(load(data[0], value, 16) == st);
    return 0;
}
