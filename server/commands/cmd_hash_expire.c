/* Deadlines of fields: HEXPIRE, HTTL, HPERSIST and the like. Source: t_hash.c of Redis 7.4. The
 * effect is what has become of which fields: HPEXPIREAT, HPERSIST, HDEL. */
#include "server/commands/hash_edit.h"
#include "server/commands/hash_expire.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"

#include "codec/mem.h"

enum { NO_FIELD = -2, NO_DEADLINE = -1, NOT_MET = 0, DONE = 1, DELETED = 2 };

static const char not_positive[] = "ERR Number of fields must be a positive integer";

static enum ensured ensure_named(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    const struct bytes *fields;
    size_t count;
    if (hash_needs_nothing(e) || !hash_peek_fields(argv, argc, 2, &fields, &count, 1))
        return ENSURED;
    return members_ensure(e, hash_members(e->o), fields, count, 1);
}

static void reply_no_fields(struct call *c, int count)
{
    reply_array(c->reply, (uint64_t)count);
    for (int i = 0; i < count; i++)
        reply_integer(c->reply, NO_FIELD);
}

/* ---- HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT. */

enum condition { ALWAYS, IF_NONE, IF_SOME, IF_LATER, IF_EARLIER };

static enum condition read_condition(const struct call *c, int at)
{
    static const struct {
        const char *word;
        enum condition condition;
    } words[] = {{"nx", IF_NONE}, {"xx", IF_SOME}, {"gt", IF_LATER}, {"lt", IF_EARLIER}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (call_arg_is(c, at, words[i].word))
            return words[i].condition;
    return ALWAYS;
}

static bool is_met(enum condition condition, int64_t old_ms, int64_t new_ms)
{
    bool has = old_ms != OBJECT_NO_EXPIRE;
    switch (condition) {
    case ALWAYS:
        return true;
    case IF_NONE:
        return !has;
    case IF_SOME:
        return has;
    case IF_LATER:
        return has && new_ms > old_ms;
    case IF_EARLIER:
        return !has || new_ms < old_ms;
    }
    return false;
}

static void expire_fields(struct call *c, int64_t base_ms, bool seconds)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_HASH, &wrong_type);
    int64_t at_ms;
    if (wrong_type || !hash_read_deadline(c, 2, base_ms, seconds, &at_ms))
        return;
    enum condition condition = read_condition(c, 3);
    const struct bytes *fields;
    int count;
    if (!hash_read_fields(c, condition == ALWAYS ? 3 : 4,
                          "ERR Parameter `numFields` should be greater than 0", &fields, &count))
        return;
    hash_expire_named(c, 0, &o, fields, (size_t)count, 1);
    if (o == NULL) {
        reply_no_fields(c, count);
        return;
    }
    struct hash_redating redating;
    hash_redating_begin(&redating, c, o, at_ms, (size_t)count);
    reply_array(c->reply, (uint64_t)count);
    for (int i = 0; i < count; i++) {
        struct hash_value value;
        if (!hash_get(o, fields[i], &value))
            reply_integer(c->reply, NO_FIELD);
        else if (!is_met(condition, value.expire_at_ms, at_ms))
            reply_integer(c->reply, NOT_MET);
        else
            reply_integer(c->reply, hash_redate(&redating, fields[i]) ? DONE : DELETED);
    }
    hash_redating_end(&redating);
}

static void cmd_hexpire(struct call *c)
{
    expire_fields(c, c->now_ms, true);
}

static void cmd_hpexpire(struct call *c)
{
    expire_fields(c, c->now_ms, false);
}

static void cmd_hexpireat(struct call *c)
{
    expire_fields(c, 0, true);
}

static void cmd_hpexpireat(struct call *c)
{
    expire_fields(c, 0, false);
}

/* ---- HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME. */

static void tell_deadlines(struct call *c, int64_t base_ms, bool seconds)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_HASH, &wrong_type);
    const struct bytes *fields;
    int count;
    if (wrong_type || !hash_read_fields(c, 2, not_positive, &fields, &count))
        return;
    reply_array(c->reply, (uint64_t)count);
    for (int i = 0; i < count; i++) {
        struct hash_value value;
        if (o == NULL || !hash_get(o, fields[i], &value) ||
            call_field_is_due(c, value.expire_at_ms))
            reply_integer(c->reply, NO_FIELD);
        else if (value.expire_at_ms == OBJECT_NO_EXPIRE)
            reply_integer(c->reply, NO_DEADLINE);
        else if (seconds)
            reply_integer(c->reply, (value.expire_at_ms + 999 - base_ms) / 1000);
        else
            reply_integer(c->reply, value.expire_at_ms - base_ms);
    }
}

static void cmd_httl(struct call *c)
{
    tell_deadlines(c, c->now_ms, true);
}

static void cmd_hpttl(struct call *c)
{
    tell_deadlines(c, c->now_ms, false);
}

static void cmd_hexpiretime(struct call *c)
{
    tell_deadlines(c, 0, true);
}

static void cmd_hpexpiretime(struct call *c)
{
    tell_deadlines(c, 0, false);
}

/* ---- HPERSIST. */

static void cmd_hpersist(struct call *c)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_HASH, &wrong_type);
    const struct bytes *fields;
    int count;
    if (wrong_type || !hash_read_fields(c, 2, not_positive, &fields, &count))
        return;
    hash_expire_named(c, 0, &o, fields, (size_t)count, 1);
    if (o == NULL) {
        reply_no_fields(c, count);
        return;
    }
    struct hash_redating redating;
    hash_redating_begin(&redating, c, o, OBJECT_NO_EXPIRE, (size_t)count);
    reply_array(c->reply, (uint64_t)count);
    for (int i = 0; i < count; i++) {
        struct hash_value value;
        if (!hash_get(o, fields[i], &value))
            reply_integer(c->reply, NO_FIELD);
        else if (value.expire_at_ms == OBJECT_NO_EXPIRE)
            reply_integer(c->reply, NO_DEADLINE);
        else
            reply_integer(c->reply, hash_redate(&redating, fields[i]) ? DONE : DELETED);
    }
    hash_redating_end(&redating);
}

/* ---- The rows. */

const struct command cmd_hash_expire_table[] = {
    {.name = "hexpire",
     .handler = cmd_hexpire,
     .arity = -6,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_named,
     .group = "hash",
     .since = "7.4.0",
     .complexity = "O(N) where N is the number of specified fields",
     .summary = "Set expiry for hash field using relative time to expire (seconds)",
     .args = ARGS(ARG("key", KEY), ARG("seconds", INTEGER),
                  ARG("condition", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("nx", "NX"), TOKEN("xx", "XX"), TOKEN("gt", "GT"),
                                       TOKEN("lt", "LT"))),
                  ARG("fields", BLOCK, .token = "FIELDS",
                      .children = ARGS(ARG("numfields", INTEGER),
                                       ARG("field", STRING, .flags = ARG_MULTIPLE))))},
    {.name = "hexpireat",
     .handler = cmd_hexpireat,
     .arity = -6,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_named,
     .group = "hash",
     .since = "7.4.0",
     .complexity = "O(N) where N is the number of specified fields",
     .summary = "Set expiry for hash field using an absolute Unix timestamp (seconds)",
     .args = ARGS(ARG("key", KEY), ARG("unix-time-seconds", UNIX_TIME),
                  ARG("condition", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("nx", "NX"), TOKEN("xx", "XX"), TOKEN("gt", "GT"),
                                       TOKEN("lt", "LT"))),
                  ARG("fields", BLOCK, .token = "FIELDS",
                      .children = ARGS(ARG("numfields", INTEGER),
                                       ARG("field", STRING, .flags = ARG_MULTIPLE))))},
    {.name = "hexpiretime",
     .handler = cmd_hexpiretime,
     .arity = -5,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_named,
     .group = "hash",
     .since = "7.4.0",
     .complexity = "O(N) where N is the number of specified fields",
     .summary = "Returns the expiration time of a hash field as a Unix timestamp, in seconds.",
     .args =
         ARGS(ARG("key", KEY), ARG("fields", BLOCK, .token = "FIELDS",
                                   .children = ARGS(ARG("numfields", INTEGER),
                                                    ARG("field", STRING, .flags = ARG_MULTIPLE))))},
    {.name = "hpersist",
     .handler = cmd_hpersist,
     .arity = -5,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_named,
     .group = "hash",
     .since = "7.4.0",
     .complexity = "O(N) where N is the number of specified fields",
     .summary = "Removes the expiration time for each specified field",
     .args =
         ARGS(ARG("key", KEY), ARG("fields", BLOCK, .token = "FIELDS",
                                   .children = ARGS(ARG("numfields", INTEGER),
                                                    ARG("field", STRING, .flags = ARG_MULTIPLE))))},
    {.name = "hpexpire",
     .handler = cmd_hpexpire,
     .arity = -6,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_named,
     .group = "hash",
     .since = "7.4.0",
     .complexity = "O(N) where N is the number of specified fields",
     .summary = "Set expiry for hash field using relative time to expire (milliseconds)",
     .args = ARGS(ARG("key", KEY), ARG("milliseconds", INTEGER),
                  ARG("condition", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("nx", "NX"), TOKEN("xx", "XX"), TOKEN("gt", "GT"),
                                       TOKEN("lt", "LT"))),
                  ARG("fields", BLOCK, .token = "FIELDS",
                      .children = ARGS(ARG("numfields", INTEGER),
                                       ARG("field", STRING, .flags = ARG_MULTIPLE))))},
    {.name = "hpexpireat",
     .handler = cmd_hpexpireat,
     .arity = -6,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_named,
     .group = "hash",
     .since = "7.4.0",
     .complexity = "O(N) where N is the number of specified fields",
     .summary = "Set expiry for hash field using an absolute Unix timestamp (milliseconds)",
     .args = ARGS(ARG("key", KEY), ARG("unix-time-milliseconds", UNIX_TIME),
                  ARG("condition", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("nx", "NX"), TOKEN("xx", "XX"), TOKEN("gt", "GT"),
                                       TOKEN("lt", "LT"))),
                  ARG("fields", BLOCK, .token = "FIELDS",
                      .children = ARGS(ARG("numfields", INTEGER),
                                       ARG("field", STRING, .flags = ARG_MULTIPLE))))},
    {.name = "hpexpiretime",
     .handler = cmd_hpexpiretime,
     .arity = -5,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_named,
     .group = "hash",
     .since = "7.4.0",
     .complexity = "O(N) where N is the number of specified fields",
     .summary = "Returns the expiration time of a hash field as a Unix timestamp, in msec.",
     .args =
         ARGS(ARG("key", KEY), ARG("fields", BLOCK, .token = "FIELDS",
                                   .children = ARGS(ARG("numfields", INTEGER),
                                                    ARG("field", STRING, .flags = ARG_MULTIPLE))))},
    {.name = "hpttl",
     .handler = cmd_hpttl,
     .arity = -5,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_named,
     .group = "hash",
     .since = "7.4.0",
     .complexity = "O(N) where N is the number of specified fields",
     .summary = "Returns the TTL in milliseconds of a hash field.",
     .args =
         ARGS(ARG("key", KEY), ARG("fields", BLOCK, .token = "FIELDS",
                                   .children = ARGS(ARG("numfields", INTEGER),
                                                    ARG("field", STRING, .flags = ARG_MULTIPLE))))},
    {.name = "httl",
     .handler = cmd_httl,
     .arity = -5,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_named,
     .group = "hash",
     .since = "7.4.0",
     .complexity = "O(N) where N is the number of specified fields",
     .summary = "Returns the TTL in seconds of a hash field.",
     .args =
         ARGS(ARG("key", KEY), ARG("fields", BLOCK, .token = "FIELDS",
                                   .children = ARGS(ARG("numfields", INTEGER),
                                                    ARG("field", STRING, .flags = ARG_MULTIPLE))))},
    {.name = NULL},
};
