/* Adding to sorted sets, for ZADD and what becomes one. */
#ifndef BASALT_SERVER_COMMANDS_ZSET_ADD_H
#define BASALT_SERVER_COMMANDS_ZSET_ADD_H

#include "server/call.h"

enum {
    ZSET_ADD_NX = 1,   /* only new members */
    ZSET_ADD_XX = 2,   /* only members that are there */
    ZSET_ADD_GT = 4,   /* only to a higher score */
    ZSET_ADD_LT = 8,   /* only to a lower one */
    ZSET_ADD_CH = 16,  /* reply what has changed, not only what is new */
    ZSET_ADD_INCR = 32 /* add to the score, reply the sum */
};

struct zset_add {
    unsigned flags;
    const double *scores;
    int count;        /* of scores and members, at least one */
    int first_member; /* argument of the first member; the others follow in steps */
    int step;
};

/* Adds to the set of key 0, replies, and tells who wants to know. Returns how many elements have
 * been added or changed. */
uint64_t zset_add_elements(struct call *c, const struct zset_add *add);

#endif
