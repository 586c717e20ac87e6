/* Subscribing and publishing. Source: pubsub.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/pubsub.h"
#include "server/replicas.h"
#include "server/services.h"

#include "codec/glob.h"

/* What replies call a kind. */
static const struct {
    const char *subscribe;
    const char *unsubscribe;
} words[PUBSUB_KIND_COUNT] = {
    [PUBSUB_CHANNEL] = {"subscribe", "unsubscribe"},
    [PUBSUB_PATTERN] = {"psubscribe", "punsubscribe"},
    [PUBSUB_SHARD] = {"ssubscribe", "sunsubscribe"},
};

/* ---- Subscribing. */

static size_t count_all(const struct session *session)
{
    size_t count = 0;
    for (int kind = 0; kind < PUBSUB_KIND_COUNT; kind++)
        count += pubsub_session_count(session, (enum pubsub_kind)kind);
    return count;
}

/* What a reply counts: channels and patterns together, shard channels alone. */
static size_t count_shown(const struct session *session, enum pubsub_kind kind)
{
    if (kind == PUBSUB_SHARD)
        return pubsub_session_count(session, PUBSUB_SHARD);
    return pubsub_session_count(session, PUBSUB_CHANNEL) +
           pubsub_session_count(session, PUBSUB_PATTERN);
}

/* These replies are pushes, one per name, and come with CLIENT REPLY OFF too. `name` NULL: of
 * nothing. */
static void confirm(struct call *c, const char *word, const struct bytes *name,
                    enum pubsub_kind kind)
{
    bool muted = c->reply->muted;
    c->reply->muted = false;
    reply_push(c->reply, 3);
    reply_bulk_text(c->reply, word);
    if (name != NULL)
        reply_bulk(c->reply, *name);
    else
        reply_null(c->reply);
    reply_integer(c->reply, (int64_t)count_shown(c->session, kind));
    c->reply->muted = muted;
}

static void subscribe(struct call *c, enum pubsub_kind kind)
{
    for (int i = 1; i < c->argc; i++) {
        pubsub_subscribe(c->services->pubsub, c->session, kind, c->argv[i]);
        confirm(c, words[kind].subscribe, &c->argv[i], kind);
    }
    c->session->flags |= SESSION_PUBSUB;
}

static void unsubscribe_from_all(struct call *c, enum pubsub_kind kind)
{
    if (pubsub_session_count(c->session, kind) == 0)
        confirm(c, words[kind].unsubscribe, NULL, kind);
    struct buf name = {0}; /* lives longer than the subscription */
    while (pubsub_session_count(c->session, kind) != 0) {
        buf_clear(&name);
        buf_append_bytes(&name, pubsub_session_first(c->session, kind));
        struct bytes bytes = buf_bytes(&name);
        pubsub_unsubscribe(c->services->pubsub, c->session, kind, bytes);
        confirm(c, words[kind].unsubscribe, &bytes, kind);
    }
    buf_deinit(&name);
}

static void unsubscribe(struct call *c, enum pubsub_kind kind)
{
    if (c->argc == 1)
        unsubscribe_from_all(c, kind);
    for (int i = 1; i < c->argc; i++) {
        pubsub_unsubscribe(c->services->pubsub, c->session, kind, c->argv[i]);
        confirm(c, words[kind].unsubscribe, &c->argv[i], kind);
    }
    if (count_all(c->session) == 0)
        c->session->flags &= ~(uint32_t)SESSION_PUBSUB;
}

static void cmd_subscribe(struct call *c)
{
    subscribe(c, PUBSUB_CHANNEL);
}

static void cmd_unsubscribe(struct call *c)
{
    unsubscribe(c, PUBSUB_CHANNEL);
}

static void cmd_psubscribe(struct call *c)
{
    subscribe(c, PUBSUB_PATTERN);
}

static void cmd_punsubscribe(struct call *c)
{
    unsubscribe(c, PUBSUB_PATTERN);
}

static void cmd_ssubscribe(struct call *c)
{
    if ((c->session->flags & SESSION_MULTI) != 0) {
        reply_error(c->reply, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
        return;
    }
    subscribe(c, PUBSUB_SHARD);
}

static void cmd_sunsubscribe(struct call *c)
{
    unsubscribe(c, PUBSUB_SHARD);
}

/* ---- Publishing. Nothing of the dataset changes: the journal is told nothing. */

/* Replicas have subscribers, too; without any it is nothing that the journal needs. */
static void tell_replicas(struct call *c)
{
    if (replicas_any(c->services->replicas))
        call_effect(c, c->argc, c->argv);
}

static void cmd_publish(struct call *c)
{
    tell_replicas(c);
    uint64_t count = pubsub_publish(c->services->pubsub, c->argv[1], c->argv[2]);
    reply_integer(c->reply, (int64_t)count);
}

static void cmd_spublish(struct call *c)
{
    tell_replicas(c);
    uint64_t count = pubsub_publish_shard(c->services->pubsub, c->argv[1], c->argv[2]);
    reply_integer(c->reply, (int64_t)count);
}

/* ---- PUBSUB. */

static void list_names(struct call *c, enum pubsub_kind kind)
{
    if (c->argc > 3) {
        reply_error_subcommand_syntax(c->reply, c->argv[1], "PUBSUB");
        return;
    }
    struct reply_deferred names = reply_deferred_begin(c->reply);
    uint64_t count = 0;
    const struct pubsub_topic *topic = pubsub_first(c->services->pubsub, kind);
    for (; topic != NULL; topic = pubsub_next(c->services->pubsub, topic)) {
        struct bytes name = pubsub_topic_name(topic);
        if (c->argc == 3 && !glob_match(c->argv[2], name, false))
            continue;
        reply_bulk(c->reply, name);
        count++;
    }
    reply_deferred_array(c->reply, &names, count);
}

static void count_subscribers(struct call *c, enum pubsub_kind kind)
{
    reply_array(c->reply, 2 * (uint64_t)(c->argc - 2));
    for (int i = 2; i < c->argc; i++) {
        size_t count = pubsub_subscriber_count(c->services->pubsub, kind, c->argv[i]);
        reply_bulk(c->reply, c->argv[i]);
        reply_integer(c->reply, (int64_t)count);
    }
}

static void cmd_pubsub_channels(struct call *c)
{
    list_names(c, PUBSUB_CHANNEL);
}

static void cmd_pubsub_numsub(struct call *c)
{
    count_subscribers(c, PUBSUB_CHANNEL);
}

static void cmd_pubsub_numpat(struct call *c)
{
    reply_integer(c->reply, (int64_t)pubsub_count(c->services->pubsub, PUBSUB_PATTERN));
}

static void cmd_pubsub_shardchannels(struct call *c)
{
    list_names(c, PUBSUB_SHARD);
}

static void cmd_pubsub_shardnumsub(struct call *c)
{
    count_subscribers(c, PUBSUB_SHARD);
}

static void cmd_pubsub_help(struct call *c)
{
    static const char *const lines[] = {
        "CHANNELS [<pattern>]",
        "    Return the currently active channels matching a <pattern> (default: '*').",
        "NUMPAT",
        "    Return number of subscriptions to patterns.",
        "NUMSUB [<channel> ...]",
        "    Return the number of subscribers for the specified channels, excluding",
        "    pattern subscriptions(default: no channels).",
        "SHARDCHANNELS [<pattern>]",
        "    Return the currently active shard level channels matching a <pattern> (default: '*').",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Return the number of subscribers for the specified shard level channel(s)",
        NULL};
    reply_help(c->reply, "PUBSUB", lines);
}

/* ---- Rows. */

#define FLAGS_SUBSCRIBE (CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SUBSCRIBER)
#define FLAGS_PUBLISH   (CMD_PUBSUB | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_MAY_REPLICATE)
#define FLAGS_TELL      (CMD_PUBSUB | CMD_LOADING | CMD_STALE)

const struct command cmd_pubsub_table[] = {
    {.name = "psubscribe",
     .handler = cmd_psubscribe,
     .channels = CHANNELS_PATTERNS,
     .arity = -2,
     .flags = FLAGS_SUBSCRIBE | CMD_SENTINEL,
     .group = "pubsub",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of patterns to subscribe to.",
     .summary = "Listens for messages published to channels that match one or more patterns.",
     .args = ARGS(ARG("pattern", PATTERN, .flags = ARG_MULTIPLE))},
    {.name = "publish",
     .handler = cmd_publish,
     .channels = CHANNELS_FIRST,
     .arity = 3,
     .flags = FLAGS_PUBLISH | CMD_SENTINEL,
     .group = "pubsub",
     .since = "2.0.0",
     .complexity = "O(N+M) where N is the number of clients subscribed to the receiving channel "
                   "and M is the total number of subscribed patterns (by any client).",
     .summary = "Posts a message to a channel.",
     .args = ARGS(ARG("channel", STRING), ARG("message", STRING))},
    {.name = "pubsub",
     .arity = -2,
     .group = "pubsub",
     .since = "2.8.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for Pub/Sub commands."},
    {.name = "pubsub|channels",
     .handler = cmd_pubsub_channels,
     .arity = -2,
     .flags = FLAGS_TELL,
     .group = "pubsub",
     .since = "2.8.0",
     .complexity = "O(N) where N is the number of active channels, and assuming constant time "
                   "pattern matching (relatively short channels and patterns)",
     .summary = "Returns the active channels.",
     .args = ARGS(ARG("pattern", PATTERN, .flags = ARG_OPTIONAL))},
    {.name = "pubsub|help",
     .handler = cmd_pubsub_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .group = "pubsub",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "pubsub|numpat",
     .handler = cmd_pubsub_numpat,
     .arity = 2,
     .flags = FLAGS_TELL,
     .group = "pubsub",
     .since = "2.8.0",
     .complexity = "O(1)",
     .summary = "Returns a count of unique pattern subscriptions."},
    {.name = "pubsub|numsub",
     .handler = cmd_pubsub_numsub,
     .arity = -2,
     .flags = FLAGS_TELL,
     .group = "pubsub",
     .since = "2.8.0",
     .complexity = "O(N) for the NUMSUB subcommand, where N is the number of requested channels",
     .summary = "Returns a count of subscribers to channels.",
     .args = ARGS(ARG("channel", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "pubsub|shardchannels",
     .handler = cmd_pubsub_shardchannels,
     .arity = -2,
     .flags = FLAGS_TELL,
     .group = "pubsub",
     .since = "7.0.0",
     .complexity = "O(N) where N is the number of active shard channels, and assuming constant "
                   "time pattern matching (relatively short shard channels).",
     .summary = "Returns the active shard channels.",
     .args = ARGS(ARG("pattern", PATTERN, .flags = ARG_OPTIONAL))},
    {.name = "pubsub|shardnumsub",
     .handler = cmd_pubsub_shardnumsub,
     .arity = -2,
     .flags = FLAGS_TELL,
     .group = "pubsub",
     .since = "7.0.0",
     .complexity =
         "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels",
     .summary = "Returns the count of subscribers of shard channels.",
     .args = ARGS(ARG("shardchannel", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "punsubscribe",
     .handler = cmd_punsubscribe,
     .arity = -1,
     .flags = FLAGS_SUBSCRIBE | CMD_SENTINEL,
     .group = "pubsub",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of patterns to unsubscribe.",
     .summary =
         "Stops listening to messages published to channels that match one or more patterns.",
     .args = ARGS(ARG("pattern", PATTERN, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "spublish",
     .handler = cmd_spublish,
     .channels = CHANNELS_FIRST,
     .arity = 3,
     .flags = FLAGS_PUBLISH,
     .keys = {KEY_AT(1, KEY_NOT_KEY)},
     .group = "pubsub",
     .since = "7.0.0",
     .complexity =
         "O(N) where N is the number of clients subscribed to the receiving shard channel.",
     .summary = "Post a message to a shard channel",
     .args = ARGS(ARG("shardchannel", STRING), ARG("message", STRING))},
    {.name = "ssubscribe",
     .handler = cmd_ssubscribe,
     .channels = CHANNELS_ALL,
     .arity = -2,
     .flags = FLAGS_SUBSCRIBE,
     .keys = {KEY_RANGE(1, -1, 1, KEY_NOT_KEY)},
     .group = "pubsub",
     .since = "7.0.0",
     .complexity = "O(N) where N is the number of shard channels to subscribe to.",
     .summary = "Listens for messages published to shard channels.",
     .args = ARGS(ARG("shardchannel", STRING, .flags = ARG_MULTIPLE))},
    {.name = "subscribe",
     .handler = cmd_subscribe,
     .channels = CHANNELS_ALL,
     .arity = -2,
     .flags = FLAGS_SUBSCRIBE | CMD_SENTINEL,
     .group = "pubsub",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of channels to subscribe to.",
     .summary = "Listens for messages published to channels.",
     .args = ARGS(ARG("channel", STRING, .flags = ARG_MULTIPLE))},
    {.name = "sunsubscribe",
     .handler = cmd_sunsubscribe,
     .arity = -1,
     .flags = FLAGS_SUBSCRIBE,
     .keys = {KEY_RANGE(1, -1, 1, KEY_NOT_KEY)},
     .group = "pubsub",
     .since = "7.0.0",
     .complexity = "O(N) where N is the number of shard channels to unsubscribe.",
     .summary = "Stops listening to messages posted to shard channels.",
     .args = ARGS(ARG("shardchannel", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "unsubscribe",
     .handler = cmd_unsubscribe,
     .arity = -1,
     .flags = FLAGS_SUBSCRIBE | CMD_SENTINEL,
     .group = "pubsub",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of channels to unsubscribe.",
     .summary = "Stops listening to messages posted to channels.",
     .args = ARGS(ARG("channel", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = NULL},
};
