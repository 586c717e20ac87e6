/* Keyspace notifications: what happens to keys, published on __keyspace@<db>__:<key> and
 * __keyevent@<db>__:<event>. Handlers call call_notify (call.h). Source: notify.c of Redis 7.2. */
#ifndef BASALT_SERVER_NOTIFY_H
#define BASALT_SERVER_NOTIFY_H

#include "codec/bytes.h"

struct buf;
struct pubsub;

/* Classes of notify-keyspace-events. */

enum {
    NOTIFY_KEYSPACE = 1 << 0,  /* K */
    NOTIFY_KEYEVENT = 1 << 1,  /* E */
    NOTIFY_GENERIC = 1 << 2,   /* g */
    NOTIFY_STRING = 1 << 3,    /* $ */
    NOTIFY_LIST = 1 << 4,      /* l */
    NOTIFY_SET = 1 << 5,       /* s */
    NOTIFY_HASH = 1 << 6,      /* h */
    NOTIFY_ZSET = 1 << 7,      /* z */
    NOTIFY_EXPIRED = 1 << 8,   /* x */
    NOTIFY_EVICTED = 1 << 9,   /* e */
    NOTIFY_STREAM = 1 << 10,   /* t */
    NOTIFY_KEY_MISS = 1 << 11, /* m, not part of A */
    NOTIFY_MODULE = 1 << 13,   /* d */
    NOTIFY_CREATED = 1 << 14,  /* n, not part of A: told by the keyspace, not by handlers */
    NOTIFY_TIER = 1 << 15,     /* T: demoted and loaded; Basalt's own, not part of A */
};

/* Publishes an event as `classes` (notify-keyspace-events) says; whether its class is on is the
 * caller's business. Between pushes_begin and pushes_end. `scratch` is overwritten. */
void notify_publish(struct pubsub *pubsub, int classes, const char *event, struct bytes key,
                    uint32_t db, struct buf *scratch);

#endif
