/* What the commands on sets have in common: beginning and ending a change, and what requests need
 * of large sets. */
#ifndef BASALT_SERVER_COMMANDS_SET_EDIT_H
#define BASALT_SERVER_COMMANDS_SET_EDIT_H

#include "server/call.h"
#include "server/notify.h"
#include "storage/types/members.h"
#include "storage/types/set.h"

/* Begins to change the set of key `index`: `o`, or one that is created for about `count` members,
 * of which `first` is one. */
struct object *set_edit_begin(struct call *c, int index, struct object *o, struct bytes first,
                              size_t count);
/* Ends the change; an empty set is deleted, and true returned. Events are the caller's. */
bool set_edit_end(struct call *c, int index, struct object *o);

/* Stores `result`, a set of the caller's, in key `index`, or deletes that if it is empty; tells who
 * wants to know, and replies the count. */
void set_store_result(struct call *c, int index, struct object *result, const char *event);

/* The collection is large, but it is no set: nothing is needed. */
static inline bool set_needs_nothing(const struct ensure *e)
{
    return e->o->type != OBJECT_SET;
}

#endif
