/* The operations on values that every type has (object.c dispatches by type). */
#ifndef BASALT_STORAGE_OBJECT_VALUE_H
#define BASALT_STORAGE_OBJECT_VALUE_H

#include "storage/object.h"

#include <stddef.h>

/* Bytes of RAM behind value.pointer (allocator's sizes); 0 when the value is in the object. O(1). */
size_t object_value_bytes(const struct object *o);
/* About what a cut would write for the value, beyond the object's own allocation. O(1). */
size_t object_value_dirty_bytes(const struct object *o);
/* Freeing it takes more than a few microseconds. */
bool object_value_is_expensive(const struct object *o);
/* Frees what value.pointer pointed to, taken out of its object. Any thread. */
void object_value_free(enum object_type type, enum object_encoding encoding, void *value);
/* The id under which a large object's elements stand on disk. */
uint64_t object_large_id(const struct object *o);

#endif
