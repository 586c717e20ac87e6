#include "codec/check.h"
#include "codec/listpack.h"
#include "codec/mem.h"
#include "storage/types/hash_internal.h"

#define STEP_EX 3

static const uint8_t *data_of(const struct object *o)
{
    return o->value.pointer;
}

static struct listpack listpack_of(const struct object *o)
{
    return (struct listpack){.block = o->value.pointer};
}

static int64_t read_deadline(const uint8_t *data, uint32_t at)
{
    struct listpack_value value;
    listpack_get(data, at, &value);
    return value.integer != 0 ? value.integer : OBJECT_NO_EXPIRE;
}

static int64_t packed_deadline(int64_t expire_at_ms)
{
    return expire_at_ms != OBJECT_NO_EXPIRE ? expire_at_ms : 0;
}

uint32_t hash_listpack_find(const struct object *o, struct bytes field)
{
    return listpack_find(data_of(o), listpack_first(data_of(o)), field, hash_step(o) - 1);
}

uint32_t hash_listpack_read(const struct object *o, uint32_t at, struct hash_value *out)
{
    const uint8_t *data = data_of(o);
    at = listpack_next(data, at);
    out->value = listpack_get_text(data, at, out->scratch);
    out->expire_at_ms = OBJECT_NO_EXPIRE;
    at = listpack_next(data, at);
    if (o->encoding == ENCODING_LISTPACK)
        return at;
    out->expire_at_ms = read_deadline(data, at);
    return listpack_next(data, at);
}

/* Where a field of this deadline belongs: before the first that is due later, or never. */
static uint32_t place_of(const uint8_t *data, int64_t expire_at_ms)
{
    if (expire_at_ms == OBJECT_NO_EXPIRE)
        return listpack_end(data);
    uint32_t at = listpack_first(data);
    while (at != 0) {
        uint32_t deadline_at = listpack_next(data, listpack_next(data, at));
        int64_t deadline = read_deadline(data, deadline_at);
        if (deadline == OBJECT_NO_EXPIRE || deadline > expire_at_ms)
            return at;
        at = listpack_next(data, deadline_at);
    }
    return listpack_end(data);
}

static void insert_field(struct object *o, struct bytes field, struct bytes value,
                         int64_t expire_at_ms)
{
    struct listpack lp = listpack_of(o);
    struct listpack_value entries[STEP_EX] = {listpack_text(field), listpack_text(value),
                                              listpack_integer(packed_deadline(expire_at_ms))};
    uint32_t at = o->encoding == ENCODING_LISTPACK ? listpack_end(lp.block)
                                                   : place_of(lp.block, expire_at_ms);
    listpack_splice(&lp, at, 0, entries, hash_step(o));
    o->value.pointer = lp.block;
}

bool hash_listpack_set(struct object *o, struct bytes field, struct bytes value,
                       int64_t expire_at_ms)
{
    uint32_t at = hash_listpack_find(o, field);
    if (at == 0) {
        insert_field(o, field, value, expire_at_ms);
        return true;
    }
    struct hash_value old;
    (void)hash_listpack_read(o, at, &old);
    struct listpack lp = listpack_of(o);
    if (old.expire_at_ms == expire_at_ms) {
        listpack_replace(&lp, listpack_next(lp.block, at), listpack_text(value));
        o->value.pointer = lp.block;
        return false;
    }
    listpack_splice(&lp, at, STEP_EX, NULL, 0);
    o->value.pointer = lp.block;
    insert_field(o, field, value, expire_at_ms);
    return false;
}

/* A third entry behind each pair. */
static void add_deadlines(struct object *o)
{
    const uint8_t *data = data_of(o);
    struct listpack lp = listpack_create(0);
    listpack_reserve(&lp, listpack_bytes(data) + listpack_count(data));
    for (uint32_t at = listpack_first(data); at != 0;) {
        struct listpack_value entries[STEP_EX];
        listpack_get(data, at, &entries[0]);
        at = listpack_next(data, at);
        listpack_get(data, at, &entries[1]);
        at = listpack_next(data, at);
        entries[2] = listpack_integer(0);
        listpack_splice(&lp, listpack_end(lp.block), 0, entries, STEP_EX);
    }
    listpack_shrink(&lp);
    mem_free(o->value.pointer);
    o->value.pointer = lp.block;
    o->encoding = ENCODING_LISTPACK_EX;
}

void hash_listpack_set_expire(struct object *o, struct bytes field, int64_t expire_at_ms)
{
    if (o->encoding == ENCODING_LISTPACK)
        add_deadlines(o);
    uint32_t at = hash_listpack_find(o, field);
    CHECK(at != 0);
    struct hash_value old;
    (void)hash_listpack_read(o, at, &old);
    struct buf value = {0};
    buf_append_bytes(&value, old.value);
    struct listpack lp = listpack_of(o);
    listpack_splice(&lp, at, STEP_EX, NULL, 0);
    o->value.pointer = lp.block;
    insert_field(o, field, buf_bytes(&value), expire_at_ms);
    buf_deinit(&value);
}

bool hash_listpack_delete(struct object *o, struct bytes field)
{
    uint32_t at = hash_listpack_find(o, field);
    if (at == 0)
        return false;
    struct listpack lp = listpack_of(o);
    listpack_splice(&lp, at, hash_step(o), NULL, 0);
    o->value.pointer = lp.block;
    return true;
}

int64_t hash_listpack_deadline(const struct object *o)
{
    uint32_t at = listpack_first(data_of(o));
    if (o->encoding == ENCODING_LISTPACK || at == 0)
        return OBJECT_NO_EXPIRE;
    struct hash_value first;
    (void)hash_listpack_read(o, at, &first);
    return first.expire_at_ms;
}

size_t hash_listpack_collect_due(const struct object *o, int64_t now_ms, size_t max,
                                 struct buf *names)
{
    size_t count = 0;
    uint32_t at = listpack_first(data_of(o));
    while (at != 0 && count < max) {
        char scratch[NUMBER_I64_CHARS_MAX];
        struct bytes field = listpack_get_text(data_of(o), at, scratch);
        struct hash_value value;
        at = hash_listpack_read(o, at, &value);
        if (value.expire_at_ms == OBJECT_NO_EXPIRE || value.expire_at_ms > now_ms)
            break;
        hash_append_name(names, field);
        count++;
    }
    return count;
}

/* The deadlines of fields in a listpack that has been found valid. */
static bool deadlines_are_in_order(const uint8_t *data)
{
    int64_t last = 0;
    bool none = false; /* has been met: it must stay so */
    uint32_t index = 0;
    for (uint32_t at = listpack_first(data); at != 0; at = listpack_next(data, at)) {
        if (index++ % STEP_EX != STEP_EX - 1)
            continue;
        struct listpack_value value;
        listpack_get(data, at, &value);
        if (!value.is_integer || value.integer < 0)
            return false;
        if (value.integer == 0) {
            none = true;
            continue;
        }
        if (none || value.integer < last)
            return false;
        last = value.integer;
    }
    return true;
}

bool hash_listpack_check(const uint8_t *data, uint32_t step)
{
    uint32_t count = listpack_count(data);
    return count != 0 && count % step == 0 && !listpack_has_duplicates(data, step) &&
           (step != STEP_EX || deadlines_are_in_order(data));
}
