/* What unions, intersections and differences of large sets and sorted sets need in RAM
 * (storage/ensure.h): some operands whole, and of the others what they have of one that is. All
 * that is brought in together is bounded as one value is. */
#ifndef BASALT_SERVER_COMMANDS_OPERANDS_ENSURE_H
#define BASALT_SERVER_COMMANDS_OPERANDS_ENSURE_H

#include "storage/ensure.h"
#include "storage/keyspace.h"

/* command.ensure_keys of commands whose keys are all operands... */
enum ensured operands_ensure_union(struct ensure *e, const struct keyref *keys, int count);
/* ... of the first of the smallest one everything, and its members in the others ... */
enum ensured operands_ensure_intersection(struct ensure *e, const struct keyref *keys, int count);
/* ... of the first one everything, and its members in the others. */
enum ensured operands_ensure_difference(struct ensure *e, const struct keyref *keys, int count);
/* The same where the first key is that of the result. */
enum ensured operands_ensure_stored_union(struct ensure *e, const struct keyref *keys, int count);
enum ensured operands_ensure_stored_intersection(struct ensure *e, const struct keyref *keys,
                                                 int count);
enum ensured operands_ensure_stored_difference(struct ensure *e, const struct keyref *keys,
                                               int count);

#endif
