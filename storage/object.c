/* What depends on an object's type, for the modules that handle all types alike. A new type is
 * added to each switch here. */
#include "storage/object.h"

#include "codec/check.h"
#include "storage/object_value.h"
#include "storage/types/string.h"

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

const char *object_encoding_name(const struct object *o)
{
    CHECK(o->type == OBJECT_STRING);
    return string_encoding_name(o);
}

size_t object_value_bytes(const struct object *o)
{
    if (o->type == OBJECT_STRING)
        return string_bytes(o);
    CHECK(o->type == OBJECT_NONE);
    return 0;
}

size_t object_value_dirty_bytes(const struct object *o)
{
    if (o->type == OBJECT_STRING)
        return string_dirty_bytes(o);
    CHECK(o->type == OBJECT_NONE);
    return 0;
}

void *object_value_take(struct object *o, object_free_fn **free_out)
{
    CHECK(o->type == OBJECT_STRING);
    return string_take(o, free_out);
}

bool object_value_free_is_long(const struct object *o)
{
    return o->type == OBJECT_STRING && string_free_is_long(o);
}

uint64_t object_large_id(const struct object *o)
{
    CHECK(o->large);
    CHECK(o->type == OBJECT_STRING);
    return string_object_id(o);
}

bool object_large_is_stored(const struct object *o)
{
    CHECK(o->large);
    CHECK(o->type == OBJECT_STRING);
    return string_chunked(o)->stored;
}
