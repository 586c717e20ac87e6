/* What the commands on strings have in common: replying values, creating keys, changing in place.
 */
#ifndef BASALT_SERVER_COMMANDS_STRING_EDIT_H
#define BASALT_SERVER_COMMANDS_STRING_EDIT_H

#include "server/call.h"
#include "server/notify.h"
#include "storage/types/string.h"

/* ---- Replying. */

/* The bytes from..to-1 as a bulk string. */
void string_reply_range(struct reply *r, const struct object *o, uint64_t from, uint64_t to);

/* All of it. */
static inline void string_reply(struct reply *r, const struct object *o)
{
    char scratch[STRING_SCRATCH_BYTES];
    struct bytes value;
    if (string_view(o, scratch, &value))
        reply_bulk(r, value);
    else
        string_reply_range(r, o, 0, UINT64_MAX);
}

/* ---- Storing. */

/* Stores a planned value at key `index`, without expiry, and tells who wants to know of changed
 * keys. */
struct object *string_store(struct call *c, int index, const struct string_plan *plan);

/* The same for a value from the request. */
static inline struct object *string_store_bytes(struct call *c, int index, struct bytes value)
{
    struct string_plan plan;
    string_plan(ks_string_rules(c->ks), value, &plan);
    return string_store(c, index, &plan);
}

/* ---- Changing in place. */

/* Bytes that a string may have: proto-max-bulk-len; a master's word overrules it. */
uint64_t string_bytes_max(const struct call *c);
/* Replies and returns false if offset + len is beyond that. */
bool string_check_len(struct call *c, uint64_t offset, uint64_t len);

/* Begins changing the string `o` at key `index`, or an empty one that it creates if `o` is NULL,
 * which is to become at least `len` bytes long. Returns the object to call string_write and the
 * like on until string_edit_end; nothing else of the keyspace in between. The caller tells who
 * wants to know if anything has changed. */
struct object *string_edit_begin(struct call *c, int index, struct object *o, uint64_t len);
void string_edit_end(struct call *c, int index, struct object *o);

#endif
