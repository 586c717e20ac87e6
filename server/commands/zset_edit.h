/* What the commands on sorted sets have in common: replying elements, what follows a removal,
 * storing results. */
#ifndef BASALT_SERVER_COMMANDS_ZSET_EDIT_H
#define BASALT_SERVER_COMMANDS_ZSET_EDIT_H

#include "server/call.h"
#include "server/notify.h"
#include "storage/types/zset.h"

/* The header of an array of `count` elements, and each of them: with `scores`, what RESP3 has as
 * pairs RESP2 has in a row. */
void zset_reply_array(struct reply *r, uint64_t count, bool scores);
void zset_reply_element(struct reply *r, struct bytes member, double score, bool scores);

/* `removed` elements have left the set of key `index`, between ks_change_begin, which was called if
 * there are any, and now: ends the change, deletes an empty set, tells who wants to know. */
void zset_removed(struct call *c, int index, struct object *o, uint64_t removed, const char *event);

/* Puts a result in key `index`, or deletes that if the result is empty, and replies the count.
 * Takes `build`. */
void zset_store_result(struct call *c, int index, struct zset_build *build, const char *event);

#endif
