/* Hashes: setting, getting and deleting fields. Source: t_hash.c of Redis 7.2, and 7.4 for fields
 * whose time has come: whoever names one deletes it. */
#include "server/commands/hash_edit.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"

#include "codec/number.h"

#include <math.h>

#define PREFETCH_AHEAD 4

/* ---- What requests need of large hashes. */

/* Fields from argument 2 on, all of them or every other. */
static enum ensured ensure_fields(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    if (hash_needs_nothing(e))
        return ENSURED;
    return members_ensure(e, hash_members(e->o), argv + 2, (size_t)argc - 2, 1);
}

static enum ensured ensure_pairs(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    if (hash_needs_nothing(e))
        return ENSURED;
    return members_ensure(e, hash_members(e->o), argv + 2, (size_t)(argc - 2) / 2, 2);
}

static enum ensured ensure_first(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argc;
    return ensure_fields(e, argv, 3, key);
}

/* ---- Setting. */

/* Sets the pairs from argument 2 on; returns how many are new. */
static uint64_t set_pairs(struct call *c, struct object *o)
{
    const struct value_rules *rules = ks_value_rules(c->ks);
    uint64_t created = 0;
    o = hash_edit_begin(c, 0, o);
    hash_expect(o, rules, c->argv + 2, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i += 2) {
        if (i + 2 * PREFETCH_AHEAD < c->argc)
            hash_prefetch(o, c->argv[i + 2 * PREFETCH_AHEAD]);
        created += hash_set(o, rules, c->argv[i], c->argv[i + 1], OBJECT_NO_EXPIRE);
    }
    hash_edit_done(c, 0, o, "hset");
    call_changed(c, (uint64_t)(c->argc - 2) / 2);
    return created;
}

static bool begin_set(struct call *c, struct object **o)
{
    if (c->argc % 2 == 1) {
        reply_error_arity(c->reply, c->command->name);
        return false;
    }
    bool wrong_type = false;
    *o = call_find_write_type(c, 0, OBJECT_HASH, &wrong_type);
    return !wrong_type;
}

static void cmd_hset(struct call *c)
{
    struct object *o;
    if (begin_set(c, &o))
        reply_integer(c->reply, (int64_t)set_pairs(c, o));
}

static void cmd_hmset(struct call *c)
{
    struct object *o;
    if (!begin_set(c, &o))
        return;
    (void)set_pairs(c, o);
    reply_ok(c->reply);
}

static void cmd_hsetnx(struct call *c)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_HASH, &wrong_type);
    if (wrong_type)
        return;
    struct hash_value value;
    if (hash_find_write(c, 0, &o, c->argv[2], &value)) {
        reply_integer(c->reply, 0);
        return;
    }
    (void)set_pairs(c, o);
    reply_integer(c->reply, 1);
}

/* Stores the result of an increment, which keeps the field's deadline. */
static void store_result(struct call *c, struct object *o, struct bytes text, int64_t expire_at_ms,
                         const char *event)
{
    o = hash_edit_begin(c, 0, o);
    (void)hash_set(o, ks_value_rules(c->ks), c->argv[2], text, expire_at_ms);
    hash_edit_done(c, 0, o, event);
    call_changed(c, 1);
}

static void cmd_hincrby(struct call *c)
{
    int64_t by;
    if (!call_arg_i64(c, 3, &by))
        return;
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_HASH, &wrong_type);
    if (wrong_type)
        return;
    int64_t value = 0;
    struct hash_value old = {.expire_at_ms = OBJECT_NO_EXPIRE};
    bool found = hash_find_write(c, 0, &o, c->argv[2], &old);
    if (found && !number_parse_i64(old.value, &value)) {
        reply_error(c->reply, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(value, by, &value)) {
        reply_error(c->reply, "ERR increment or decrement would overflow");
        return;
    }
    char text[NUMBER_I64_CHARS_MAX];
    store_result(c, o, bytes_make(text, number_format_i64(value, text)),
                 found ? old.expire_at_ms : OBJECT_NO_EXPIRE, "hincrby");
    reply_integer(c->reply, value);
}

/* The effect is the result, since floats may be computed or written differently elsewhere; with the
 * deadline, which a plain HSET takes away. */
static void effect_float(struct call *c, struct bytes text, int64_t expire_at_ms)
{
    struct bytes key = c->keys[0].key;
    call_effect_format(c, "sbbb", "HSET", &key, &c->argv[2], &text);
    if (expire_at_ms != OBJECT_NO_EXPIRE)
        call_effect_format(c, "sbisib", "HPEXPIREAT", &key, expire_at_ms, "FIELDS", (int64_t)1,
                           &c->argv[2]);
}

static void cmd_hincrbyfloat(struct call *c)
{
    long double by;
    if (!number_parse_long_double(c->argv[3], &by)) {
        reply_error_id(c->reply, ERROR_NOT_FLOAT);
        return;
    }
    if (isnan(by) || isinf(by)) {
        reply_error(c->reply, "ERR value is NaN or Infinity");
        return;
    }
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_HASH, &wrong_type);
    if (wrong_type)
        return;
    long double value = 0;
    struct hash_value old = {.expire_at_ms = OBJECT_NO_EXPIRE};
    bool found = hash_find_write(c, 0, &o, c->argv[2], &old);
    if (found && !number_parse_long_double(old.value, &value)) {
        reply_error(c->reply, "ERR hash value is not a float");
        return;
    }
    value += by;
    if (isnan(value) || isinf(value)) {
        reply_error_id(c->reply, ERROR_NAN_OR_INFINITY);
        return;
    }
    int64_t expire_at_ms = found ? old.expire_at_ms : OBJECT_NO_EXPIRE;
    struct buf text = {0};
    text.len = number_format_long_double_human(
        value, (char *)buf_reserve(&text, NUMBER_LONG_DOUBLE_CHARS_MAX));
    store_result(c, o, buf_bytes(&text), expire_at_ms, "hincrbyfloat");
    effect_float(c, buf_bytes(&text), expire_at_ms);
    reply_bulk(c->reply, buf_bytes(&text));
    buf_deinit(&text);
}

/* ---- Deleting. */

static void cmd_hdel(struct call *c)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_HASH, &wrong_type);
    if (wrong_type)
        return;
    uint64_t deleted = 0;
    if (o != NULL) {
        ks_change_begin(c->ks, c->keys[0].db, o);
        for (int i = 2; i < c->argc && hash_count(o) > 0; i++)
            deleted += hash_delete(o, c->argv[i]);
        if (deleted > 0)
            hash_edit_done(c, 0, o, "hdel");
        else
            (void)hash_edit_end(c, 0, o);
        call_changed(c, deleted);
    }
    reply_integer(c->reply, (int64_t)deleted);
}

/* ---- Getting. */

static void cmd_hget(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_HASH, &wrong_type);
    if (wrong_type)
        return;
    struct hash_value value;
    struct buf due = {0};
    if (hash_find(c, o, c->argv[2], &value, &due))
        reply_bulk(c->reply, value.value);
    else
        reply_null(c->reply);
    (void)call_expire_fields(c, 0, &due);
    buf_deinit(&due);
}

static void cmd_hmget(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_HASH, &wrong_type);
    if (wrong_type)
        return;
    struct hash_value value;
    struct buf due = {0};
    reply_array(c->reply, (uint64_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        if (o != NULL && i + PREFETCH_AHEAD < c->argc)
            hash_prefetch(o, c->argv[i + PREFETCH_AHEAD]);
        if (hash_find(c, o, c->argv[i], &value, &due))
            reply_bulk(c->reply, value.value);
        else
            reply_null(c->reply);
    }
    (void)call_expire_fields(c, 0, &due);
    buf_deinit(&due);
}

/* The length of a field's value, or SIZE_MAX: there is none. False: an error was replied. */
static bool find_length(struct call *c, size_t *len)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_HASH, &wrong_type);
    if (wrong_type)
        return false;
    struct hash_value value;
    struct buf due = {0};
    *len = hash_find(c, o, c->argv[2], &value, &due) ? value.value.len : SIZE_MAX;
    (void)call_expire_fields(c, 0, &due);
    buf_deinit(&due);
    return true;
}

static void cmd_hexists(struct call *c)
{
    size_t len;
    if (find_length(c, &len))
        reply_integer(c->reply, len != SIZE_MAX);
}

static void cmd_hstrlen(struct call *c)
{
    size_t len;
    if (find_length(c, &len))
        reply_integer(c->reply, len != SIZE_MAX ? (int64_t)len : 0);
}

static void cmd_hlen(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_HASH, &wrong_type);
    if (!wrong_type)
        reply_integer(c->reply, o == NULL ? 0 : (int64_t)hash_count(o));
}

/* ---- The rows. */

const struct command cmd_hash_table[] = {
    {.name = "hdel",
     .handler = cmd_hdel,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_DELETE)},
     .ensure = ensure_fields,
     .group = "hash",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of fields to be removed.",
     .summary = "Deletes one or more fields and their values from a hash. Deletes the hash if no "
                "fields remain.",
     .history = TEXTS("2.4.0", "Accepts multiple `field` arguments."),
     .args = ARGS(ARG("key", KEY), ARG("field", STRING, .flags = ARG_MULTIPLE))},
    {.name = "hexists",
     .handler = cmd_hexists,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO)},
     .ensure = ensure_first,
     .group = "hash",
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Determines whether a field exists in a hash.",
     .args = ARGS(ARG("key", KEY), ARG("field", STRING))},
    {.name = "hget",
     .handler = cmd_hget,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_first,
     .group = "hash",
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Returns the value of a field in a hash.",
     .args = ARGS(ARG("key", KEY), ARG("field", STRING))},
    {.name = "hincrby",
     .handler = cmd_hincrby,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .ensure = ensure_first,
     .group = "hash",
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Increments the integer value of a field in a hash by a number. Uses 0 as initial "
                "value if the field doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("field", STRING), ARG("increment", INTEGER))},
    {.name = "hincrbyfloat",
     .handler = cmd_hincrbyfloat,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .ensure = ensure_first,
     .group = "hash",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Increments the floating point value of a field by a number. Uses 0 as initial "
                "value if the field doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("field", STRING), ARG("increment", DOUBLE))},
    {.name = "hlen",
     .handler = cmd_hlen,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO | KEY_LOAD_META)},
     .group = "hash",
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Returns the number of fields in a hash.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "hmget",
     .handler = cmd_hmget,
     .arity = -3,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_fields,
     .group = "hash",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of fields being requested.",
     .summary = "Returns the values of all fields in a hash.",
     .args = ARGS(ARG("key", KEY), ARG("field", STRING, .flags = ARG_MULTIPLE))},
    {.name = "hmset",
     .handler = cmd_hmset,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_pairs,
     .group = "hash",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of fields being set.",
     .summary = "Sets the values of multiple fields.",
     .args =
         ARGS(ARG("key", KEY), ARG("data", BLOCK, .flags = ARG_MULTIPLE,
                                   .children = ARGS(ARG("field", STRING), ARG("value", STRING)))),
     .deprecated_since = "4.0.0",
     .replaced_by = "`HSET` with multiple field-value pairs"},
    {.name = "hset",
     .handler = cmd_hset,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_pairs,
     .group = "hash",
     .since = "2.0.0",
     .complexity = "O(1) for each field/value pair added, so O(N) to add N field/value pairs when "
                   "the command is called with multiple field/value pairs.",
     .summary = "Creates or modifies the value of a field in a hash.",
     .history = TEXTS("4.0.0", "Accepts multiple `field` and `value` arguments."),
     .args =
         ARGS(ARG("key", KEY), ARG("data", BLOCK, .flags = ARG_MULTIPLE,
                                   .children = ARGS(ARG("field", STRING), ARG("value", STRING))))},
    {.name = "hsetnx",
     .handler = cmd_hsetnx,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_INSERT)},
     .ensure = ensure_first,
     .group = "hash",
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Sets the value of a field in a hash only when the field doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("field", STRING), ARG("value", STRING))},
    {.name = "hstrlen",
     .handler = cmd_hstrlen,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO)},
     .ensure = ensure_first,
     .group = "hash",
     .since = "3.2.0",
     .complexity = "O(1)",
     .summary = "Returns the length of the value of a field.",
     .args = ARGS(ARG("key", KEY), ARG("field", STRING))},
    {.name = NULL},
};
