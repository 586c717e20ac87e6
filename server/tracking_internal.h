/* What tracking.c (clients, remembered keys), tracking_bcast.c (prefixes) and tracking_send.c
 * (messages) share; for nobody else. */
#ifndef BASALT_SERVER_TRACKING_INTERNAL_H
#define BASALT_SERVER_TRACKING_INTERNAL_H

#include "server/name_map.h"
#include "server/push.h"
#include "server/tracking.h"

struct bcast_prefix;

/* session->extension[SESSION_EXTENSION_TRACKING] of a session with SESSION_TRACKING. */
struct tracker {
    struct session *session;
    struct tracker *prev, *next; /* tracking->first_tracker */
    uint32_t modes;              /* TRACKING_* */
    bool keeps_caching;          /* the last request was a CLIENT: it did not end CLIENT CACHING */
    uint64_t redirect;
    struct bcast_prefix **prefixes; /* owned array of borrowed pointers */
    size_t prefix_count;
    size_t memory; /* of the prefixes, as if nobody else had them */
};

struct tracking {
    const struct services *services;
    struct tracker *first_tracker;
    size_t tracker_count;

    struct name_map keys;    /* struct tracked_key (tracking.c) */
    struct name_map dropped; /* keys that nobody needs, to be freed by and by */
    size_t item_count;
    uint64_t random; /* state of a small generator */

    struct name_map prefixes;     /* struct bcast_prefix (tracking_bcast.c) */
    struct bcast_prefix *changed; /* those with changed keys */

    struct push push; /* the message being sent */
};

/* NULL for a session that does not track. */
struct tracker *tracker_of(const struct session *session);

/* tracking_bcast.c */
void bcast_join(struct tracking *tracking, struct tracker *tracker, struct bytes name);
void bcast_leave_all(struct tracking *tracking, struct tracker *tracker);
struct bytes bcast_prefix_name(const struct bcast_prefix *prefix);
void bcast_key_modified(struct tracking *tracking, const struct session *by, struct bytes key);
/* Sends what was collected. */
void bcast_send(struct tracking *tracking);

/* tracking_send.c */
/* Keys that a message names: `resp` is their array; NULL: all keys. */
struct invalidation {
    const struct bytes *resp;
    uint8_t made_for; /* what tracking->push holds is this message for that protocol; 0: not yet */
};
/* Tells a client, or who it redirects to. */
void send_invalidation(struct tracking *tracking, struct tracker *tracker,
                       struct invalidation *message);

#endif
