/* Times to live. Deadlines are absolute milliseconds everywhere behind this file: what goes to the
 * journal is PEXPIREAT, or DEL where the deadline has passed already. Source: expire.c of Redis
 * 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/notify.h"
#include "server/services.h"

#define MS_PER_SECOND 1000

/* ---- EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT. */

enum { EXPIRE_NX = 1, EXPIRE_XX = 2, EXPIRE_GT = 4, EXPIRE_LT = 8 };

static bool parse_condition(struct call *c, unsigned *out)
{
    static const struct {
        const char *word;
        unsigned flag;
    } words[] = {{"nx", EXPIRE_NX}, {"xx", EXPIRE_XX}, {"gt", EXPIRE_GT}, {"lt", EXPIRE_LT}};
    unsigned flags = 0;
    for (int i = 3; i < c->argc; i++) {
        unsigned flag = 0;
        for (size_t w = 0; w < sizeof words / sizeof words[0]; w++)
            if (call_arg_is(c, i, words[w].word))
                flag = words[w].flag;
        if (flag == 0) {
            reply_error_format(c->reply, "ERR Unsupported option %.*s", (int)c->argv[i].len,
                               (const char *)c->argv[i].data);
            return false;
        }
        flags |= flag;
    }
    if ((flags & EXPIRE_NX) && (flags & ~(unsigned)EXPIRE_NX)) {
        reply_error(c->reply, "ERR NX and XX, GT or LT options at the same time are not "
                              "compatible");
        return false;
    }
    if ((flags & EXPIRE_GT) && (flags & EXPIRE_LT)) {
        reply_error(c->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    *out = flags;
    return true;
}

/* Without expiry, a key lives for ever: longer than any deadline. */
static bool condition_holds(const struct object *o, int64_t at_ms, unsigned flags)
{
    bool has = object_has_expire(o);
    if ((flags & EXPIRE_NX) && has)
        return false;
    if ((flags & EXPIRE_XX) && !has)
        return false;
    if ((flags & EXPIRE_GT) && (!has || at_ms <= o->expire_at_ms))
        return false;
    if ((flags & EXPIRE_LT) && has && at_ms >= o->expire_at_ms)
        return false;
    return true;
}

/* The deadline that argument 2 means; replies and returns false if it is none. */
static bool parse_deadline(struct call *c, int64_t base_ms, int64_t unit_ms, int64_t *out)
{
    int64_t value, at_ms;
    if (!call_arg_i64(c, 2, &value))
        return false;
    if (__builtin_mul_overflow(value, unit_ms, &at_ms) ||
        __builtin_add_overflow(at_ms, base_ms, &at_ms)) {
        reply_error_format(c->reply, "ERR invalid expire time in '%s' command", c->command->name);
        return false;
    }
    *out = at_ms;
    return true;
}

/* Only a master decides that time is up; a stream of effects says so by itself. */
static bool is_past(const struct call *c, int64_t at_ms)
{
    return at_ms <= c->now_ms && !(c->session->flags & (SESSION_REPLAY | SESSION_MASTER));
}

static void delete_expired_now(struct call *c)
{
    struct bytes key = c->keys[0].key;
    ks_delete(c->ks, &c->keys[0]);
    call_key_modified(c, &c->keys[0]);
    call_notify(c, NOTIFY_GENERIC, "del", key);
    const char *name = call_deletion_name(c->services->config->lazyfree_lazy_expire);
    call_effect_format(c, "sb", name, &key);
}

static void expire(struct call *c, int64_t base_ms, int64_t unit_ms)
{
    unsigned flags;
    int64_t at_ms;
    if (!parse_condition(c, &flags) || !parse_deadline(c, base_ms, unit_ms, &at_ms))
        return;
    struct object *o = call_find_write(c, 0);
    if (o == NULL || !condition_holds(o, at_ms, flags)) {
        reply_integer(c->reply, 0);
        return;
    }
    if (is_past(c, at_ms)) {
        delete_expired_now(c);
    } else {
        struct keyref *ref = &c->keys[0];
        ks_set_expire(c->ks, ref->db, o, at_ms < 0 ? 0 : at_ms);
        call_key_modified(c, ref);
        call_notify(c, NOTIFY_GENERIC, "expire", ref->key);
        call_effect_format(c, "sbi", "PEXPIREAT", &ref->key, at_ms);
    }
    call_changed(c, 1);
    reply_integer(c->reply, 1);
}

static void cmd_expire(struct call *c)
{
    expire(c, c->now_ms, MS_PER_SECOND);
}

static void cmd_pexpire(struct call *c)
{
    expire(c, c->now_ms, 1);
}

static void cmd_expireat(struct call *c)
{
    expire(c, 0, MS_PER_SECOND);
}

static void cmd_pexpireat(struct call *c)
{
    expire(c, 0, 1);
}

static void cmd_persist(struct call *c)
{
    struct object *o = call_find_write(c, 0);
    if (o == NULL || !object_has_expire(o)) {
        reply_integer(c->reply, 0);
        return;
    }
    struct keyref *ref = &c->keys[0];
    ks_set_expire(c->ks, ref->db, o, OBJECT_NO_EXPIRE);
    call_key_modified(c, ref);
    call_notify(c, NOTIFY_GENERIC, "persist", ref->key);
    call_changed(c, 1);
    reply_integer(c->reply, 1);
}

/* ---- TTL, PTTL, EXPIRETIME, PEXPIRETIME. */

#define TTL_NO_KEY    (-2)
#define TTL_NO_EXPIRE (-1)

/* `base_ms`: what the deadline is told relative to. */
static void reply_deadline(struct call *c, int64_t base_ms, int64_t unit_ms)
{
    const struct object *o = call_find_read(c, 0);
    if (o == NULL) {
        reply_integer(c->reply, TTL_NO_KEY);
        return;
    }
    if (!object_has_expire(o)) {
        reply_integer(c->reply, TTL_NO_EXPIRE);
        return;
    }
    int64_t left_ms = o->expire_at_ms - base_ms;
    if (left_ms < 0)
        left_ms = 0;
    reply_integer(c->reply, left_ms / unit_ms + (left_ms % unit_ms * 2 >= unit_ms));
}

static void cmd_ttl(struct call *c)
{
    reply_deadline(c, c->now_ms, MS_PER_SECOND);
}

static void cmd_pttl(struct call *c)
{
    reply_deadline(c, c->now_ms, 1);
}

static void cmd_expiretime(struct call *c)
{
    reply_deadline(c, 0, MS_PER_SECOND);
}

static void cmd_pexpiretime(struct call *c)
{
    reply_deadline(c, 0, 1);
}

const struct command cmd_expire_table[] = {
    {.name = "expire",
     .handler = cmd_expire,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE | KEY_LOAD_META)},
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Sets the expiration time of a key in seconds.",
     .history = TEXTS("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`."),
     .args = ARGS(ARG("key", KEY), ARG("seconds", INTEGER),
                  ARG("condition", ONEOF, .flags = ARG_OPTIONAL, .since = "7.0.0",
                      .children = ARGS(TOKEN("nx", "NX"), TOKEN("xx", "XX"), TOKEN("gt", "GT"),
                                       TOKEN("lt", "LT"))))},
    {.name = "expireat",
     .handler = cmd_expireat,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE | KEY_LOAD_META)},
     .group = "generic",
     .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Sets the expiration time of a key to a Unix timestamp.",
     .history = TEXTS("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`."),
     .args = ARGS(ARG("key", KEY), ARG("unix-time-seconds", UNIX_TIME),
                  ARG("condition", ONEOF, .flags = ARG_OPTIONAL, .since = "7.0.0",
                      .children = ARGS(TOKEN("nx", "NX"), TOKEN("xx", "XX"), TOKEN("gt", "GT"),
                                       TOKEN("lt", "LT"))))},
    {.name = "expiretime",
     .handler = cmd_expiretime,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS | KEY_LOAD_META | KEY_NO_TOUCH)},
     .group = "generic",
     .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Returns the expiration time of a key as a Unix timestamp.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "persist",
     .handler = cmd_persist,
     .arity = 2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE | KEY_LOAD_META)},
     .group = "generic",
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Removes the expiration time of a key.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "pexpire",
     .handler = cmd_pexpire,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE | KEY_LOAD_META)},
     .group = "generic",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Sets the expiration time of a key in milliseconds.",
     .history = TEXTS("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`."),
     .args = ARGS(ARG("key", KEY), ARG("milliseconds", INTEGER),
                  ARG("condition", ONEOF, .flags = ARG_OPTIONAL, .since = "7.0.0",
                      .children = ARGS(TOKEN("nx", "NX"), TOKEN("xx", "XX"), TOKEN("gt", "GT"),
                                       TOKEN("lt", "LT"))))},
    {.name = "pexpireat",
     .handler = cmd_pexpireat,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE | KEY_LOAD_META)},
     .group = "generic",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Sets the expiration time of a key to a Unix milliseconds timestamp.",
     .history = TEXTS("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`."),
     .args = ARGS(ARG("key", KEY), ARG("unix-time-milliseconds", UNIX_TIME),
                  ARG("condition", ONEOF, .flags = ARG_OPTIONAL, .since = "7.0.0",
                      .children = ARGS(TOKEN("nx", "NX"), TOKEN("xx", "XX"), TOKEN("gt", "GT"),
                                       TOKEN("lt", "LT"))))},
    {.name = "pexpiretime",
     .handler = cmd_pexpiretime,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS | KEY_LOAD_META | KEY_NO_TOUCH)},
     .group = "generic",
     .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Returns the expiration time of a key as a Unix milliseconds timestamp.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "pttl",
     .handler = cmd_pttl,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS | KEY_LOAD_META | KEY_NO_TOUCH)},
     .group = "generic",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Returns the expiration time in milliseconds of a key.",
     .tips = TEXTS("nondeterministic_output"),
     .history = TEXTS("2.8.0", "Added the -2 reply."),
     .args = ARGS(ARG("key", KEY))},
    {.name = "ttl",
     .handler = cmd_ttl,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS | KEY_LOAD_META | KEY_NO_TOUCH)},
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Returns the expiration time in seconds of a key.",
     .tips = TEXTS("nondeterministic_output"),
     .history = TEXTS("2.8.0", "Added the -2 reply."),
     .args = ARGS(ARG("key", KEY))},
    {.name = NULL},
};
