/* What the commands on hashes have in common: beginning and ending a change, fields whose time has
 * come, and what requests need of large hashes. */
#ifndef BASALT_SERVER_COMMANDS_HASH_EDIT_H
#define BASALT_SERVER_COMMANDS_HASH_EDIT_H

#include "codec/buf.h"
#include "server/call.h"
#include "server/notify.h"
#include "storage/types/hash.h"
#include "storage/types/members.h"

/* Begins to change the hash of key `index`: `o`, or one that is created. */
struct object *hash_edit_begin(struct call *c, int index, struct object *o);
/* Ends the change; an empty hash is deleted, and true returned. Events are the caller's. */
bool hash_edit_end(struct call *c, int index, struct object *o);
/* The same, and tells who wants to know that the hash was changed, with this event. */
void hash_edit_done(struct call *c, int index, struct object *o, const char *event);

/* hash_get, but a field whose time has come is not there; its name goes to `due`, for
 * call_expire_fields when the handler is done with the hash. */
bool hash_find(const struct call *c, const struct object *o, struct bytes field,
               struct hash_value *out, struct buf *due);
/* The same for a hash that is to be changed: such a field is deleted at once. `*o` is NULL when the
 * key went, too. */
bool hash_find_write(struct call *c, int index, struct object **o, struct bytes field,
                     struct hash_value *out);

/* Deletes those of `count` fields whose time has come. `*o` is NULL when the key went, too. */
void hash_expire_named(struct call *c, int index, struct object **o, const struct bytes *fields,
                       size_t count, size_t step);

/* The collection is large, but it is no hash: nothing is needed. */
static inline bool hash_needs_nothing(const struct ensure *e)
{
    return e->o->type != OBJECT_HASH;
}

/* "FIELDS numfields field ..." at argument `at`. False: an error was replied; `not_positive` is
 * what there is to say of the number. */
bool hash_read_fields(struct call *c, int at, const char *not_positive, const struct bytes **fields,
                      int *count);
/* The same without replies, for ensure functions: looks for the word from `at` on. */
bool hash_peek_fields(const struct bytes *argv, int argc, int at, const struct bytes **fields,
                      size_t *count, size_t step);

#endif
