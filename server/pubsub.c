/* Three tables by name, one per kind, hold the topics; a subscription hangs in its topic's list and
 * in its session's, both in the order of subscribing. A fourth table finds the subscription of a
 * session to a topic, so that ending one takes the same time whatever the numbers. */
#include "server/pubsub.h"

#include "codec/check.h"
#include "codec/glob.h"
#include "codec/mem.h"
#include "server/name_map.h"
#include "server/push.h"
#include "server/session.h"

struct subscription;

struct pubsub_topic {
    struct name_entry entry; /* in pubsub->topics[kind]; first */
    enum pubsub_kind kind;
    size_t subscriber_count;
    struct subscription *first, *last;
    uint8_t name[];
};

struct pair {
    struct pubsub_topic *topic;
    struct session *session;
};

struct subscription {
    struct name_entry entry; /* in pubsub->subscriptions, by the bytes of `pair`; first */
    struct pair pair;
    struct subscription *topic_prev, *topic_next;
    struct subscription *session_prev, *session_next;
};

/* session->extension[0] of a subscriber. */
struct subscriber {
    struct subscription *first[PUBSUB_KIND_COUNT];
    struct subscription *last[PUBSUB_KIND_COUNT];
    size_t count[PUBSUB_KIND_COUNT];
    size_t memory;
};

struct pubsub {
    struct pushes *pushes;
    struct name_map topics[PUBSUB_KIND_COUNT];
    struct name_map subscriptions;
    struct push push; /* the message being published */
};

_Static_assert(sizeof(struct pair) == 2 * sizeof(void *), "no padding: its bytes are a name");

struct pubsub *pubsub_create(struct pushes *pushes, uint64_t seed)
{
    struct pubsub *pubsub = mem_calloc(1, sizeof(*pubsub));
    pubsub->pushes = pushes;
    for (int kind = 0; kind < PUBSUB_KIND_COUNT; kind++)
        name_map_init(&pubsub->topics[kind], seed);
    name_map_init(&pubsub->subscriptions, seed);
    return pubsub;
}

void pubsub_destroy(struct pubsub *pubsub)
{
    if (pubsub == NULL)
        return;
    CHECK(pubsub->subscriptions.count == 0);
    for (int kind = 0; kind < PUBSUB_KIND_COUNT; kind++)
        name_map_deinit(&pubsub->topics[kind]);
    name_map_deinit(&pubsub->subscriptions);
    push_deinit(&pubsub->push);
    mem_free(pubsub);
}

/* ---- Looking up. */

static struct pubsub_topic *find_topic(const struct pubsub *pubsub, enum pubsub_kind kind,
                                       struct bytes name)
{
    return (struct pubsub_topic *)(void *)name_map_find(&pubsub->topics[kind], name);
}

static struct subscription *find_subscription(const struct pubsub *pubsub,
                                              struct pubsub_topic *topic, struct session *session)
{
    struct pair pair = {.topic = topic, .session = session};
    return (struct subscription *)(void *)name_map_find(&pubsub->subscriptions,
                                                        bytes_make(&pair, sizeof(pair)));
}

static struct subscriber *subscriber_of(const struct session *session)
{
    return session->extension[SESSION_EXTENSION_PUBSUB];
}

/* ---- Subscribing. */

static struct pubsub_topic *create_topic(struct pubsub *pubsub, enum pubsub_kind kind,
                                         struct bytes name)
{
    struct pubsub_topic *topic = mem_alloc(sizeof(*topic) + name.len);
    *topic = (struct pubsub_topic){.kind = kind};
    if (name.len != 0)
        memcpy(topic->name, name.data, name.len);
    topic->entry.name = bytes_make(topic->name, name.len);
    name_map_add(&pubsub->topics[kind], &topic->entry);
    return topic;
}

static void link_to_topic(struct subscription *sub)
{
    struct pubsub_topic *topic = sub->pair.topic;
    sub->topic_prev = topic->last;
    if (topic->last != NULL)
        topic->last->topic_next = sub;
    else
        topic->first = sub;
    topic->last = sub;
    topic->subscriber_count++;
}

static void unlink_from_topic(struct subscription *sub)
{
    struct pubsub_topic *topic = sub->pair.topic;
    if (sub->topic_prev != NULL)
        sub->topic_prev->topic_next = sub->topic_next;
    else
        topic->first = sub->topic_next;
    if (sub->topic_next != NULL)
        sub->topic_next->topic_prev = sub->topic_prev;
    else
        topic->last = sub->topic_prev;
    topic->subscriber_count--;
}

static void link_to_session(struct subscriber *subscriber, struct subscription *sub)
{
    enum pubsub_kind kind = sub->pair.topic->kind;
    sub->session_prev = subscriber->last[kind];
    if (subscriber->last[kind] != NULL)
        subscriber->last[kind]->session_next = sub;
    else
        subscriber->first[kind] = sub;
    subscriber->last[kind] = sub;
    subscriber->count[kind]++;
}

static void unlink_from_session(struct subscriber *subscriber, struct subscription *sub)
{
    enum pubsub_kind kind = sub->pair.topic->kind;
    if (sub->session_prev != NULL)
        sub->session_prev->session_next = sub->session_next;
    else
        subscriber->first[kind] = sub->session_next;
    if (sub->session_next != NULL)
        sub->session_next->session_prev = sub->session_prev;
    else
        subscriber->last[kind] = sub->session_prev;
    subscriber->count[kind]--;
}

/* What a subscription is held against its client's memory for: as if it were its topic's only one.
 */
static size_t memory_of(const struct subscription *sub)
{
    return sizeof(*sub) + sizeof(*sub->pair.topic) + sub->pair.topic->entry.name.len;
}

void pubsub_subscribe(struct pubsub *pubsub, struct session *session, enum pubsub_kind kind,
                      struct bytes name)
{
    struct subscriber *subscriber = subscriber_of(session);
    struct pubsub_topic *topic = find_topic(pubsub, kind, name);
    if (topic == NULL)
        topic = create_topic(pubsub, kind, name);
    else if (subscriber != NULL && find_subscription(pubsub, topic, session) != NULL)
        return;
    if (subscriber == NULL) {
        subscriber = mem_calloc(1, sizeof(*subscriber));
        session->extension[SESSION_EXTENSION_PUBSUB] = subscriber;
    }
    struct subscription *sub = mem_calloc(1, sizeof(*sub));
    sub->pair = (struct pair){.topic = topic, .session = session};
    sub->entry.name = bytes_make(&sub->pair, sizeof(sub->pair));
    name_map_add(&pubsub->subscriptions, &sub->entry);
    link_to_topic(sub);
    link_to_session(subscriber, sub);
    subscriber->memory += memory_of(sub);
}

static void end_subscription(struct pubsub *pubsub, struct subscription *sub)
{
    struct pubsub_topic *topic = sub->pair.topic;
    struct subscriber *subscriber = subscriber_of(sub->pair.session);
    subscriber->memory -= memory_of(sub);
    name_map_remove(&pubsub->subscriptions, &sub->entry);
    unlink_from_topic(sub);
    unlink_from_session(subscriber, sub);
    if (topic->subscriber_count == 0) {
        name_map_remove(&pubsub->topics[topic->kind], &topic->entry);
        mem_free(topic);
    }
    mem_free(sub);
}

void pubsub_unsubscribe(struct pubsub *pubsub, struct session *session, enum pubsub_kind kind,
                        struct bytes name)
{
    struct pubsub_topic *topic = find_topic(pubsub, kind, name);
    if (topic == NULL)
        return;
    struct subscription *sub = find_subscription(pubsub, topic, session);
    if (sub != NULL)
        end_subscription(pubsub, sub);
}

void pubsub_forget(struct pubsub *pubsub, struct session *session)
{
    struct subscriber *subscriber = subscriber_of(session);
    if (subscriber == NULL)
        return;
    for (int kind = 0; kind < PUBSUB_KIND_COUNT; kind++) {
        while (subscriber->first[kind] != NULL)
            end_subscription(pubsub, subscriber->first[kind]);
    }
    mem_free(subscriber);
    session->extension[SESSION_EXTENSION_PUBSUB] = NULL;
}

size_t pubsub_session_count(const struct session *session, enum pubsub_kind kind)
{
    const struct subscriber *subscriber = subscriber_of(session);
    return subscriber == NULL ? 0 : subscriber->count[kind];
}

size_t pubsub_session_memory(const struct session *session)
{
    const struct subscriber *subscriber = subscriber_of(session);
    return subscriber == NULL ? 0 : sizeof(*subscriber) + subscriber->memory;
}

struct bytes pubsub_session_first(const struct session *session, enum pubsub_kind kind)
{
    const struct subscriber *subscriber = subscriber_of(session);
    CHECK(subscriber != NULL);
    CHECK(subscriber->first[kind] != NULL);
    return subscriber->first[kind]->pair.topic->entry.name;
}

bool pubsub_session_all(const struct session *session, enum pubsub_kind kind, pubsub_test_fn *test,
                        void *arg)
{
    const struct subscriber *subscriber = subscriber_of(session);
    if (subscriber == NULL)
        return true;
    for (const struct subscription *sub = subscriber->first[kind]; sub != NULL;
         sub = sub->session_next)
        if (!test(arg, sub->pair.topic->entry.name))
            return false;
    return true;
}

/* ---- Publishing. */

/* Sends the message in pubsub->push. */
static uint64_t send_to(struct pubsub *pubsub, const struct pubsub_topic *topic)
{
    uint64_t count = 0;
    for (struct subscription *sub = topic->first; sub != NULL; sub = sub->topic_next)
        count += push_send(pubsub->pushes, &pubsub->push, sub->pair.session);
    return count;
}

static uint64_t send_message(struct pubsub *pubsub, enum pubsub_kind kind, const char *type,
                             struct bytes channel, struct bytes message)
{
    const struct pubsub_topic *topic = find_topic(pubsub, kind, channel);
    if (topic == NULL)
        return 0;
    push_begin(&pubsub->push, 3);
    push_add(&pubsub->push, bytes_text(type));
    push_add(&pubsub->push, channel);
    push_add(&pubsub->push, message);
    return send_to(pubsub, topic);
}

uint64_t pubsub_publish(struct pubsub *pubsub, struct bytes channel, struct bytes message)
{
    uint64_t count = send_message(pubsub, PUBSUB_CHANNEL, "message", channel, message);
    const struct pubsub_topic *topic = pubsub_first(pubsub, PUBSUB_PATTERN);
    for (; topic != NULL; topic = pubsub_next(pubsub, topic)) {
        if (!glob_match(topic->entry.name, channel, false))
            continue;
        push_begin(&pubsub->push, 4);
        push_add(&pubsub->push, bytes_text("pmessage"));
        push_add(&pubsub->push, topic->entry.name);
        push_add(&pubsub->push, channel);
        push_add(&pubsub->push, message);
        count += send_to(pubsub, topic);
    }
    return count;
}

uint64_t pubsub_publish_shard(struct pubsub *pubsub, struct bytes channel, struct bytes message)
{
    return send_message(pubsub, PUBSUB_SHARD, "smessage", channel, message);
}

bool pubsub_is_heard(const struct pubsub *pubsub)
{
    return pubsub->topics[PUBSUB_CHANNEL].count != 0 || pubsub->topics[PUBSUB_PATTERN].count != 0;
}

/* ---- Telling. */

size_t pubsub_count(const struct pubsub *pubsub, enum pubsub_kind kind)
{
    return pubsub->topics[kind].count;
}

size_t pubsub_subscriber_count(const struct pubsub *pubsub, enum pubsub_kind kind,
                               struct bytes name)
{
    const struct pubsub_topic *topic = find_topic(pubsub, kind, name);
    return topic == NULL ? 0 : topic->subscriber_count;
}

const struct pubsub_topic *pubsub_first(const struct pubsub *pubsub, enum pubsub_kind kind)
{
    return (const struct pubsub_topic *)(const void *)name_map_first(&pubsub->topics[kind]);
}

const struct pubsub_topic *pubsub_next(const struct pubsub *pubsub,
                                       const struct pubsub_topic *topic)
{
    return (const struct pubsub_topic *)(const void *)name_map_next(&pubsub->topics[topic->kind],
                                                                    &topic->entry);
}

struct bytes pubsub_topic_name(const struct pubsub_topic *topic)
{
    return topic->entry.name;
}
