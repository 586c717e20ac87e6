/* What the commands on lists have in common: replying elements, changing lists, telling of it. */
#ifndef BASALT_SERVER_COMMANDS_LIST_EDIT_H
#define BASALT_SERVER_COMMANDS_LIST_EDIT_H

#include "server/call.h"
#include "storage/types/list.h"

/* How lists are held, by the settings of now. */
struct list_rules list_rules_of(const struct call *c);

static inline void list_reply_element(struct reply *r, const struct listpack_value *value)
{
    if (value->is_integer)
        reply_bulk_integer(r, value->integer);
    else
        reply_bulk(r, value->text);
}
/* `count` elements from index `from` on towards the tail, or the head; all exist. Without the
 * array's header. */
void list_reply_elements(struct reply *r, const struct object *o, uint64_t from, uint64_t count,
                         bool forward);

/* Begins changing the list `o` at `key`, or an empty one that it creates if `o` is NULL. Returns
 * the object; nothing else of the keyspace until list_commit. */
struct object *list_open(struct call *c, struct keyref *key, struct object *o);
void list_commit(struct call *c, struct keyref *key, struct object *o);
/* The same when elements have been taken away: the list may have become short, and is deleted if it
 * is empty. Tells of the event, and of the key's change. */
void list_commit_removal(struct call *c, struct keyref *key, struct object *o, const char *event);

/* LEFT or RIGHT; else replies a syntax error. */
bool list_arg_end(struct call *c, int arg, enum list_end *out);
/* From negative (from the tail on) to absolute indexes, as LRANGE has it. False: nothing is in
 * that range. */
bool list_range_of(uint64_t length, int64_t start, int64_t stop, uint64_t *from_out,
                   uint64_t *count_out);

#endif
