/* What depends on an object's type, for the modules that handle all types alike. */
#include "storage/object.h"

#include "codec/check.h"
#include "storage/object_value.h"
#include "storage/parts.h"
#include "storage/types/hash.h"
#include "storage/types/list.h"
#include "storage/types/set.h"
#include "storage/types/stream.h"
#include "storage/types/string.h"
#include "storage/types/zset.h"
#include "storage/value_type.h"

const char *object_type_name(enum object_type type)
{
    switch (type) {
    case OBJECT_NONE:
    case OBJECT_TYPE_COUNT:
        return "none";
    case OBJECT_STRING:
        return "string";
    case OBJECT_LIST:
        return "list";
    case OBJECT_SET:
        return "set";
    case OBJECT_ZSET:
        return "zset";
    case OBJECT_HASH:
        return "hash";
    case OBJECT_STREAM:
        return "stream";
    }
    return "none";
}

/* A new type is added here. */
static const struct value_type *const value_types[OBJECT_TYPE_COUNT] = {
    [OBJECT_STRING] = &string_value_type, [OBJECT_LIST] = &list_value_type,
    [OBJECT_SET] = &set_value_type,       [OBJECT_HASH] = &hash_value_type,
    [OBJECT_ZSET] = &zset_value_type,     [OBJECT_STREAM] = &stream_value_type,
};

const struct value_type *object_value_type(enum object_type type)
{
    CHECK(type < OBJECT_TYPE_COUNT);
    return value_types[type];
}

static const struct value_type *type_of(const struct object *o)
{
    const struct value_type *type = object_value_type((enum object_type)o->type);
    CHECK(type != NULL);
    return type;
}

const char *object_encoding_name(const struct object *o)
{
    return type_of(o)->encoding_name(o);
}

size_t object_value_bytes(const struct object *o)
{
    return object_is_live(o) ? type_of(o)->bytes(o) : 0;
}

size_t object_value_dirty_bytes(const struct object *o)
{
    return object_is_live(o) ? type_of(o)->dirty_bytes(o) : 0;
}

void *object_value_take(struct object *o, object_free_fn **free_out)
{
    return type_of(o)->take(o, free_out);
}

bool object_value_free_is_long(const struct object *o)
{
    return object_is_live(o) && type_of(o)->free_is_long(o);
}

int64_t object_next_deadline(const struct object *o)
{
    const struct value_type *type = object_is_live(o) ? type_of(o) : NULL;
    if (type == NULL || type->next_deadline == NULL)
        return o->expire_at_ms;
    int64_t deadline_ms = type->next_deadline(o);
    if (deadline_ms == OBJECT_NO_EXPIRE)
        return o->expire_at_ms;
    return object_has_expire(o) && o->expire_at_ms < deadline_ms ? o->expire_at_ms : deadline_ms;
}

int64_t object_record_deadline(enum object_type type, const struct record_header *header,
                               struct bytes payload)
{
    const struct value_type *value_type = object_value_type(type);
    int64_t expire_at_ms = header->has_expire ? header->expire_at_ms : OBJECT_NO_EXPIRE;
    if (value_type == NULL || value_type->record_deadline == NULL)
        return expire_at_ms;
    int64_t deadline_ms = value_type->record_deadline(header, payload);
    if (deadline_ms == OBJECT_NO_EXPIRE)
        return expire_at_ms;
    return header->has_expire && expire_at_ms < deadline_ms ? expire_at_ms : deadline_ms;
}

uint64_t object_large_id(const struct object *o)
{
    CHECK(o->large);
    return o->type == OBJECT_STRING ? string_object_id(o) : type_of(o)->parts(o)->object_id;
}

bool object_large_is_stored(const struct object *o)
{
    CHECK(o->large);
    return o->type == OBJECT_STRING ? string_chunked(o)->stored : type_of(o)->parts(o)->stored;
}
