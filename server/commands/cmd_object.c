/* OBJECT: what is known of a value beside its content. Asking is no use of the key. Source:
 * object.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/services.h"

/* Redis shares the objects of small integers while no policy needs a clock per object, and tells
 * this count of their references. */
#define SHARED_INTEGER_LIMIT 10000
#define SHARED_REFCOUNT      INT32_MAX

static bool policy_is_lfu(const struct config *config)
{
    return config->maxmemory_policy == CONFIG_POLICY_ALLKEYS_LFU ||
           config->maxmemory_policy == CONFIG_POLICY_VOLATILE_LFU;
}

static bool policy_is_lru(const struct config *config)
{
    return config->maxmemory_policy == CONFIG_POLICY_ALLKEYS_LRU ||
           config->maxmemory_policy == CONFIG_POLICY_VOLATILE_LRU;
}

/* The key's object; replies nil when there is none. */
static const struct object *find_or_nil(struct call *c)
{
    const struct object *o = call_find_read(c, 0);
    if (o == NULL)
        reply_null(c->reply);
    return o;
}

static void cmd_object_encoding(struct call *c)
{
    const struct object *o = find_or_nil(c);
    if (o != NULL)
        reply_bulk_text(c->reply, object_encoding_name(o));
}

static void cmd_object_freq(struct call *c)
{
    const struct object *o = find_or_nil(c);
    if (o == NULL)
        return;
    if (!policy_is_lfu(c->services->config)) {
        reply_error(c->reply,
                    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
                    "Please note that when switching between policies at runtime LRU and LFU data "
                    "will take some time to adjust.");
        return;
    }
    reply_integer(c->reply, ks_frequency(c->ks, o));
}

static void cmd_object_idletime(struct call *c)
{
    const struct object *o = find_or_nil(c);
    if (o == NULL)
        return;
    if (policy_is_lfu(c->services->config)) {
        reply_error(c->reply,
                    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note "
                    "that when switching between policies at runtime LRU and LFU data will take "
                    "some time to adjust.");
        return;
    }
    reply_integer(c->reply, ks_idle_seconds(c->ks, o));
}

static bool is_shared_integer(const struct call *c, const struct object *o)
{
    const struct config *config = c->services->config;
    bool needs_clock = config->maxmemory != 0 && (policy_is_lru(config) || policy_is_lfu(config));
    return o->encoding == ENCODING_INT && o->value.integer >= 0 &&
           o->value.integer < SHARED_INTEGER_LIMIT && !needs_clock;
}

static void cmd_object_refcount(struct call *c)
{
    const struct object *o = find_or_nil(c);
    if (o != NULL)
        reply_integer(c->reply, is_shared_integer(c, o) ? SHARED_REFCOUNT : 1);
}

static void cmd_object_help(struct call *c)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        NULL,
    };
    reply_help(c->reply, "OBJECT", lines);
}

const struct command cmd_object_table[] = {
    {.name = "object",
     .arity = -2,
     .group = "generic",
     .since = "2.2.3",
     .complexity = "Depends on subcommand.",
     .summary = "A container for object introspection commands."},
    {.name = "object|encoding",
     .handler = cmd_object_encoding,
     .arity = 3,
     .flags = CMD_READONLY,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(2, KEY_RO | KEY_LOAD_META | KEY_NO_TOUCH | KEY_NO_MISS)},
     .group = "generic",
     .since = "2.2.3",
     .complexity = "O(1)",
     .summary = "Returns the internal encoding of a Redis object.",
     .tips = TEXTS("nondeterministic_output"),
     .args = ARGS(ARG("key", KEY))},
    {.name = "object|freq",
     .handler = cmd_object_freq,
     .arity = 3,
     .flags = CMD_READONLY,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(2, KEY_RO | KEY_LOAD_META | KEY_NO_TOUCH | KEY_NO_MISS)},
     .group = "generic",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Returns the logarithmic access frequency counter of a Redis object.",
     .tips = TEXTS("nondeterministic_output"),
     .args = ARGS(ARG("key", KEY))},
    {.name = "object|help",
     .handler = cmd_object_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_KEYSPACE,
     .group = "generic",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "object|idletime",
     .handler = cmd_object_idletime,
     .arity = 3,
     .flags = CMD_READONLY,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(2, KEY_RO | KEY_LOAD_META | KEY_NO_TOUCH | KEY_NO_MISS)},
     .group = "generic",
     .since = "2.2.3",
     .complexity = "O(1)",
     .summary = "Returns the time since the last access to a Redis object.",
     .tips = TEXTS("nondeterministic_output"),
     .args = ARGS(ARG("key", KEY))},
    {.name = "object|refcount",
     .handler = cmd_object_refcount,
     .arity = 3,
     .flags = CMD_READONLY,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(2, KEY_RO | KEY_LOAD_META | KEY_NO_TOUCH | KEY_NO_MISS)},
     .group = "generic",
     .since = "2.2.3",
     .complexity = "O(1)",
     .summary = "Returns the reference count of a value of a key.",
     .tips = TEXTS("nondeterministic_output"),
     .args = ARGS(ARG("key", KEY))},
    {.name = NULL},
};
