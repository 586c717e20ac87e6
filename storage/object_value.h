/* The operations on values that every type has (object.c dispatches by type). */
#ifndef BASALT_STORAGE_OBJECT_VALUE_H
#define BASALT_STORAGE_OBJECT_VALUE_H

#include "storage/object.h"

#include <stddef.h>

/* Frees a value taken from an object. Any thread. */
typedef void object_free_fn(void *value);

/* Bytes of RAM beside the object's own allocation (allocator's sizes). O(1). */
size_t object_value_bytes(const struct object *o);
/* Of these, about what a cut would have to write. O(1). */
size_t object_value_dirty_bytes(const struct object *o);
/* Takes the value away from `o` in O(1). Returns what has to be freed by calling `*free_out` with
 * it, on any thread; NULL if nothing has. */
void *object_value_take(struct object *o, object_free_fn **free_out);
/* Whether freeing the value takes long enough to let another thread do it. */
bool object_value_free_is_long(const struct object *o);
/* When something of it is due next: the key, or something in the value; OBJECT_NO_EXPIRE: nothing.
 * It may be earlier than that. */
int64_t object_next_deadline(const struct object *o);
/* The id under which a large object's elements stand on disk. */
uint64_t object_large_id(const struct object *o);
/* Whether there may be elements on disk, or in a cut on its way there. */
bool object_large_is_stored(const struct object *o);

#endif
