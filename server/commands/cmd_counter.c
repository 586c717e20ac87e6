/* Strings as numbers: INCR, DECR and INCRBYFLOAT. Source: t_string.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/string_edit.h"
#include "server/commands/tables.h"

#include <math.h>

/* A value so large that it is chunked is no number, whatever its bytes are. */
static bool pieces_none(const struct bytes *argv, int argc, int key, const struct object *o,
                        uint64_t *from_out, uint64_t *to_out)
{
    (void)argv, (void)argc, (void)key, (void)o;
    *from_out = 0;
    *to_out = 0;
    return true;
}

/* ---- Integers. */

static void store_integer(struct call *c, struct object *o, int64_t value)
{
    struct keyref *ref = &c->keys[0];
    if (o == NULL) {
        struct string_plan plan = {.encoding = ENCODING_INT, .integer = value};
        (void)string_store(c, 0, &plan);
        return;
    }
    ks_change_begin(c->ks, ref->db, o);
    string_set_integer(o, value);
    ks_change_end(c->ks, ref->db, o);
    call_key_modified(c, ref);
}

static void increment(struct call *c, int64_t by)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_STRING, &wrong_type);
    if (wrong_type)
        return;
    int64_t value = 0;
    if (o != NULL && !string_integer(o, &value)) {
        reply_error_id(c->reply, ERROR_NOT_INTEGER);
        return;
    }
    if (__builtin_add_overflow(value, by, &value)) {
        reply_error_id(c->reply, ERROR_OVERFLOW);
        return;
    }
    store_integer(c, o, value);
    call_notify(c, NOTIFY_STRING, "incrby", c->keys[0].key);
    call_changed(c, 1);
    reply_integer(c->reply, value);
}

static void cmd_incr(struct call *c)
{
    increment(c, 1);
}

static void cmd_decr(struct call *c)
{
    increment(c, -1);
}

static void cmd_incrby(struct call *c)
{
    int64_t by;
    if (call_arg_i64(c, 2, &by))
        increment(c, by);
}

static void cmd_decrby(struct call *c)
{
    int64_t by;
    if (!call_arg_i64(c, 2, &by))
        return;
    if (by == INT64_MIN)
        reply_error(c->reply, "ERR decrement would overflow");
    else
        increment(c, -by);
}

/* ---- INCRBYFLOAT. */

static bool parse_float(const struct object *o, long double *out)
{
    char scratch[STRING_SCRATCH_BYTES];
    struct bytes text;
    return string_view(o, scratch, &text) && number_parse_long_double(text, out);
}

/* Stores the sum, keeping the deadline. The effect is the result, since floats may be computed or
 * written differently elsewhere. */
static void store_float(struct call *c, struct object *o, struct bytes text)
{
    struct keyref *ref = &c->keys[0];
    int64_t expire_at_ms = o == NULL ? OBJECT_NO_EXPIRE : o->expire_at_ms;
    struct string_plan plan;
    string_plan_text(ks_string_rules(c->ks), text, false, &plan);
    o = string_store(c, 0, &plan);
    if (expire_at_ms != OBJECT_NO_EXPIRE)
        ks_set_expire(c->ks, ref->db, o, expire_at_ms);
    call_notify(c, NOTIFY_STRING, "incrbyfloat", ref->key);
    call_effect_format(c, "sbbs", "SET", &ref->key, &text, "KEEPTTL");
    call_changed(c, 1);
}

static void cmd_incrbyfloat(struct call *c)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_STRING, &wrong_type);
    if (wrong_type)
        return;
    long double value = 0;
    long double by;
    if ((o != NULL && !parse_float(o, &value)) || !number_parse_long_double(c->argv[2], &by)) {
        reply_error_id(c->reply, ERROR_NOT_FLOAT);
        return;
    }
    value += by;
    if (isnan(value) || isinf(value)) {
        reply_error_id(c->reply, ERROR_NAN_OR_INFINITY);
        return;
    }
    struct buf text = {0};
    char *place = (char *)buf_reserve(&text, NUMBER_LONG_DOUBLE_CHARS_MAX);
    text.len = number_format_long_double_human(value, place);
    store_float(c, o, buf_bytes(&text));
    reply_bulk(c->reply, buf_bytes(&text));
    buf_deinit(&text);
}

/* ---- The rows. */

const struct command cmd_counter_table[] = {
    {.name = "decr",
     .handler = cmd_decr,
     .arity = 2,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .pieces = pieces_none,
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Decrements the integer value of a key by one. Uses 0 as initial value if the key "
                "doesn't exist.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "decrby",
     .handler = cmd_decrby,
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .pieces = pieces_none,
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Decrements a number from the integer value of a key. Uses 0 as initial value if "
                "the key doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("decrement", INTEGER))},
    {.name = "incr",
     .handler = cmd_incr,
     .arity = 2,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .pieces = pieces_none,
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Increments the integer value of a key by one. Uses 0 as initial value if the key "
                "doesn't exist.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "incrby",
     .handler = cmd_incrby,
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .pieces = pieces_none,
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Increments the integer value of a key by a number. Uses 0 as initial value if "
                "the key doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("increment", INTEGER))},
    {.name = "incrbyfloat",
     .handler = cmd_incrbyfloat,
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .pieces = pieces_none,
     .group = "string",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Increment the floating point value of a key by a number. Uses 0 as initial value "
                "if the key doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("increment", DOUBLE))},
    {.name = NULL},
};
