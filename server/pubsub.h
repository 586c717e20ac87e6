/* Who is subscribed to what, and publishing to them. Channels and patterns belong together; shard
 * channels are a world of their own, as in Redis. Main thread. Source: pubsub.c of Redis 7.2. */
#ifndef BASALT_SERVER_PUBSUB_H
#define BASALT_SERVER_PUBSUB_H

#include "codec/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pubsub;
struct pubsub_topic;
struct pushes;
struct session;

enum pubsub_kind { PUBSUB_CHANNEL, PUBSUB_PATTERN, PUBSUB_SHARD, PUBSUB_KIND_COUNT };

/* `pushes` is borrowed; `seed` is the hash tables'. */
struct pubsub *pubsub_create(struct pushes *pushes, uint64_t seed);
/* All sessions must have been forgotten. Accepts NULL. */
void pubsub_destroy(struct pubsub *pubsub);

/* ---- Subscribing. SESSION_PUBSUB is the commands' business: it depends on the commands, not only
 * on what is subscribed. */

/* Nothing happens if it is subscribed already. */
void pubsub_subscribe(struct pubsub *pubsub, struct session *session, enum pubsub_kind kind,
                      struct bytes name);
/* Nothing happens if it is not subscribed. */
void pubsub_unsubscribe(struct pubsub *pubsub, struct session *session, enum pubsub_kind kind,
                        struct bytes name);
/* Ends all of a session's subscriptions, and forgets it. */
void pubsub_forget(struct pubsub *pubsub, struct session *session);
/* How many subscriptions a session has. */
size_t pubsub_session_count(const struct session *session, enum pubsub_kind kind);
/* Bytes that they take. */
size_t pubsub_session_memory(const struct session *session);
/* The name of its oldest subscription of a kind, valid until it ends; it must have one. */
struct bytes pubsub_session_first(const struct session *session, enum pubsub_kind kind);

/* Whether `test` holds for all of its subscriptions of a kind. */
typedef bool pubsub_test_fn(void *arg, struct bytes name);
bool pubsub_session_all(const struct session *session, enum pubsub_kind kind, pubsub_test_fn *test,
                        void *arg);

/* ---- Publishing: to subscribers of the channel, then to those of matching patterns; between
 * pushes_begin and pushes_end. Returns how often the message was sent. */
uint64_t pubsub_publish(struct pubsub *pubsub, struct bytes channel, struct bytes message);
uint64_t pubsub_publish_shard(struct pubsub *pubsub, struct bytes channel, struct bytes message);
/* True if somebody might hear. */
bool pubsub_is_heard(const struct pubsub *pubsub);

/* ---- Telling. */

/* Different names that somebody is subscribed to. */
size_t pubsub_count(const struct pubsub *pubsub, enum pubsub_kind kind);
/* Subscribers of one. */
size_t pubsub_subscriber_count(const struct pubsub *pubsub, enum pubsub_kind kind,
                               struct bytes name);
/* All names, in no order; NULL at the end. Nothing may be subscribed or ended on the way. */
const struct pubsub_topic *pubsub_first(const struct pubsub *pubsub, enum pubsub_kind kind);
const struct pubsub_topic *pubsub_next(const struct pubsub *pubsub,
                                       const struct pubsub_topic *topic);
struct bytes pubsub_topic_name(const struct pubsub_topic *topic);

#endif
