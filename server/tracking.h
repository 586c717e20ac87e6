/* Client-side caching: who may have which keys in a cache of their own, and telling them when these
 * change (CLIENT TRACKING).
 *
 * Keys are names here, without a database, as in Redis: whether they are in RAM, on disk or nowhere
 * does not matter, and loads and demotions tell nobody anything. In default mode what a client
 * reads is remembered by its id until the key changes once, at most tracking-table-max-keys keys
 * for all clients together: beyond, keys chosen by chance are invalidated as if they had changed.
 * In broadcasting mode nothing is remembered, and a client hears of all keys with its prefixes,
 * once per tick. Main thread. Source: tracking.c of Redis 7.2. */
#ifndef BASALT_SERVER_TRACKING_H
#define BASALT_SERVER_TRACKING_H

#include "codec/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct command;
struct services;
struct session;
struct tracking;

/* Modes of a client; SESSION_TRACKING tells whether it tracks at all. */
enum {
    TRACKING_BCAST = 1 << 0,
    TRACKING_OPTIN = 1 << 1,
    TRACKING_OPTOUT = 1 << 2,
    TRACKING_NOLOOP = 1 << 3,
    TRACKING_CACHING = 1 << 4,      /* CLIENT CACHING was called for the current request */
    TRACKING_BROKEN_REDIR = 1 << 5, /* who it redirects to has gone */
};

/* `services` is borrowed: config, conns and pushes are used, from the first client on. */
struct tracking *tracking_create(const struct services *services, uint64_t hash_seed);
/* All sessions must have been forgotten. Accepts NULL. */
void tracking_destroy(struct tracking *tracking);

/* ---- A client. */

struct tracking_options {
    uint32_t modes;    /* TRACKING_BCAST, _OPTIN, _OPTOUT, _NOLOOP */
    uint64_t redirect; /* session id; 0: itself */
    const struct bytes *prefixes;
    size_t prefix_count; /* 0 with TRACKING_BCAST: all keys */
};
/* The prefixes are added to those it has. */
void tracking_enable(struct tracking *tracking, struct session *session,
                     const struct tracking_options *options);
void tracking_disable(struct tracking *tracking, struct session *session);
/* Its modes, 0 when it does not track; and where its messages go. */
uint32_t tracking_modes(const struct session *session);
uint64_t tracking_redirect(const struct session *session);
size_t tracking_prefix_count(const struct session *session);
struct bytes tracking_prefix(const struct session *session, size_t index);
/* Bytes that are kept for it, without the keys. */
size_t tracking_session_memory(const struct session *session);
/* CLIENT CACHING: for the next request, or the whole transaction. */
void tracking_set_caching(struct session *session);
/* Call at each request of a session with SESSION_TRACKING; `command` NULL when it is unknown. */
void tracking_begin_request(struct session *session, const struct command *command);

/* ---- What happens to keys; between pushes_begin and pushes_end. Cheap while nobody tracks. */

/* A command has read its keys; `client` is whose request it belongs to. */
void tracking_remember(struct tracking *tracking, struct session *client, const struct call *call);
/* A key has changed. `by` is whose change it is; NULL: nobody's (expiry). */
void tracking_key_modified(struct tracking *tracking, const struct session *by, struct bytes key);
/* FLUSHALL and FLUSHDB: everybody forgets everything. */
void tracking_flushed(struct tracking *tracking);
/* At a tick's end: tells what is broadcast, and tidies up. True when there is more to do at once.
 */
bool tracking_tick(struct tracking *tracking);

struct tracking_stats {
    size_t clients;
    size_t keys;
    size_t items; /* pairs of a key and a client */
    size_t prefixes;
};
void tracking_read_stats(const struct tracking *tracking, struct tracking_stats *out);

#endif
