/* HGETDEL, HGETEX, HSETEX: several fields, and their deadlines, in one step. Source: Redis 8.0. The
 * effects are those of simpler commands. */
#include "server/commands/hash_edit.h"
#include "server/commands/hash_expire.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"

#include "codec/mem.h"

static enum ensured ensure_step(struct ensure *e, const struct bytes *argv, int argc, size_t step)
{
    const struct bytes *fields;
    size_t count;
    if (hash_needs_nothing(e) || !hash_peek_fields(argv, argc, 2, &fields, &count, step))
        return ENSURED;
    return members_ensure(e, hash_members(e->o), fields, count, step);
}

static enum ensured ensure_named(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_step(e, argv, argc, 1);
}

static enum ensured ensure_pairs(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_step(e, argv, argc, 2);
}

static void reply_values(struct call *c, const struct object *o, const struct bytes *fields,
                         int count)
{
    reply_array(c->reply, (uint64_t)count);
    for (int i = 0; i < count; i++) {
        struct hash_value value;
        if (o != NULL && hash_get(o, fields[i], &value))
            reply_bulk(c->reply, value.value);
        else
            reply_null(c->reply);
    }
}

/* ---- HGETDEL. */

static void cmd_hgetdel(struct call *c)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_HASH, &wrong_type);
    const struct bytes *fields;
    int count;
    if (wrong_type ||
        !hash_read_fields(c, 2, "ERR Number of fields must be a positive integer", &fields, &count))
        return;
    hash_expire_named(c, 0, &o, fields, (size_t)count, 1);
    reply_values(c, o, fields, count);
    if (o == NULL)
        return;
    struct bytes *effect = mem_alloc(((size_t)count + 2) * sizeof(*effect));
    effect[0] = bytes_text("HDEL");
    effect[1] = c->keys[0].key;
    int argc = 2;
    ks_change_begin(c->ks, c->keys[0].db, o);
    for (int i = 0; i < count; i++)
        if (hash_delete(o, fields[i]))
            effect[argc++] = fields[i];
    if (argc > 2) {
        hash_edit_done(c, 0, o, "hdel");
        call_effect(c, argc, effect);
        call_changed(c, (uint64_t)argc - 2);
    } else {
        (void)hash_edit_end(c, 0, o);
    }
    mem_free(effect);
}

/* ---- Options of HGETEX and HSETEX. */

enum condition { ALWAYS, IF_NEW, IF_THERE };

struct options {
    bool dated; /* at_ms */
    int64_t at_ms;
    bool persist;  /* HGETEX */
    bool keep_ttl; /* HSETEX */
    enum condition condition;
    const struct bytes *fields;
    int count;
};

/* Reads EX, PX, EXAT, PXAT at argument `*at` and moves on to the value. False: it is none of them,
 * or an error was replied, which `*failed` tells. */
static bool read_time(struct call *c, int *at, struct options *out, bool *failed)
{
    static const struct {
        const char *word;
        bool seconds, relative;
    } words[] = {
        {"ex", true, true}, {"px", false, true}, {"exat", true, false}, {"pxat", false, false}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!call_arg_is(c, *at, words[i].word))
            continue;
        if (*at + 1 >= c->argc) {
            reply_error(c->reply, "ERR missing expire time");
            *failed = true;
            return false;
        }
        int64_t base_ms = words[i].relative ? c->now_ms : 0;
        *at += 1;
        *failed = !hash_read_deadline(c, *at, base_ms, words[i].seconds, &out->at_ms);
        out->dated = true;
        return !*failed;
    }
    return false;
}

/* HGETEX: one option at most, in front of the fields. False: an error was replied. */
static bool read_get_options(struct call *c, struct options *out)
{
    *out = (struct options){.condition = ALWAYS};
    int at = 2;
    bool failed = false;
    out->persist = call_arg_is(c, at, "persist");
    if (out->persist || read_time(c, &at, out, &failed))
        at++;
    return !failed && hash_read_fields(c, at, "ERR Number of fields must be a positive integer",
                                       &out->fields, &out->count);
}

static bool read_pairs(struct call *c, int at, struct options *out)
{
    int left = c->argc - at - 2;
    int64_t count = 0;
    if (left < 2) {
        reply_error_arity(c->reply, c->command->name);
        return false;
    }
    if (!call_arg_range(c, at + 1, 1, INT32_MAX, &count, "ERR invalid number of fields"))
        return false;
    if (left % 2 != 0 || count != left / 2) {
        reply_error_arity(c->reply, c->command->name);
        return false;
    }
    out->fields = c->argv + at + 2;
    out->count = (int)count;
    return true;
}

/* HSETEX: options in any order, and last the fields. False: an error was replied. */
static bool read_set_options(struct call *c, struct options *out)
{
    *out = (struct options){.condition = ALWAYS};
    for (int i = 2; i < c->argc; i++) {
        bool failed = false;
        bool had_time = out->dated || out->keep_ttl;
        bool had_condition = out->condition != ALWAYS;
        bool time = read_time(c, &i, out, &failed);
        if (failed)
            return false;
        if (!time && call_arg_is(c, i, "fields"))
            return read_pairs(c, i, out);
        if (!time && call_arg_is(c, i, "keepttl")) {
            time = true;
            out->keep_ttl = true;
        }
        if (time && had_time) {
            reply_error(c->reply,
                        "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified");
            return false;
        }
        if (time)
            continue;
        bool is_new = call_arg_is(c, i, "fnx");
        if (!is_new && !call_arg_is(c, i, "fxx")) {
            reply_error_format(c->reply, "ERR unknown argument: %.*s",
                               c->argv[i].len < 128 ? (int)c->argv[i].len : 128,
                               (const char *)c->argv[i].data);
            return false;
        }
        if (had_condition) {
            reply_error(c->reply, "ERR Only one of FXX or FNX arguments can be specified");
            return false;
        }
        out->condition = is_new ? IF_NEW : IF_THERE;
    }
    reply_error_arity(c->reply, c->command->name);
    return false;
}

/* ---- HGETEX. */

static void cmd_hgetex(struct call *c)
{
    struct options options;
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_HASH, &wrong_type);
    if (wrong_type || !read_get_options(c, &options))
        return;
    hash_expire_named(c, 0, &o, options.fields, (size_t)options.count, 1);
    reply_values(c, o, options.fields, options.count);
    if (o == NULL || (!options.dated && !options.persist))
        return;
    struct hash_redating redating;
    int64_t at_ms = options.dated ? options.at_ms : OBJECT_NO_EXPIRE;
    hash_redating_begin(&redating, c, o, at_ms, (size_t)options.count);
    for (int i = 0; i < options.count; i++) {
        struct hash_value value;
        if (hash_get(o, options.fields[i], &value) && value.expire_at_ms != at_ms)
            (void)hash_redate(&redating, options.fields[i]);
    }
    hash_redating_end(&redating);
}

/* ---- HSETEX. */

static bool is_met(const struct object *o, const struct options *options)
{
    for (int i = 0; i < options->count && options->condition != ALWAYS; i++) {
        struct hash_value value;
        bool there = o != NULL && hash_get(o, options->fields[2 * i], &value);
        if (there != (options->condition == IF_THERE))
            return false;
    }
    return true;
}

/* HSET of all pairs, and, since it takes deadlines away, what they are: one for all, or (KEEPTTL)
 * one by one. */
static void effect_set(struct call *c, const struct object *o, const struct options *options)
{
    size_t pairs = (size_t)options->count;
    struct bytes *argv = mem_alloc((2 * pairs + 2) * sizeof(*argv));
    argv[0] = bytes_text("HSET");
    argv[1] = c->keys[0].key;
    memcpy(argv + 2, options->fields, 2 * pairs * sizeof(*argv));
    call_effect(c, (int)(2 * pairs + 2), argv);
    mem_free(argv);
    for (size_t i = 0; i < pairs; i++) {
        struct hash_value value;
        if (hash_get(o, options->fields[2 * i], &value) && value.expire_at_ms != OBJECT_NO_EXPIRE)
            call_effect_format(c, "sbisib", "HPEXPIREAT", &c->keys[0].key, value.expire_at_ms,
                               "FIELDS", (int64_t)1, &options->fields[2 * i]);
    }
}

static void set_fields(struct call *c, struct object *o, const struct options *options)
{
    const struct value_rules *rules = ks_value_rules(c->ks);
    o = hash_edit_begin(c, 0, o);
    hash_expect(o, rules, options->fields, (size_t)options->count * 2);
    for (int i = 0; i < options->count; i++) {
        struct bytes field = options->fields[2 * i];
        struct hash_value old;
        int64_t at_ms = OBJECT_NO_EXPIRE;
        if (options->keep_ttl && hash_get(o, field, &old))
            at_ms = old.expire_at_ms;
        (void)hash_set(o, rules, field, options->fields[2 * i + 1], at_ms);
        if (options->dated)
            hash_set_expire(o, field, options->at_ms);
    }
    effect_set(c, o, options);
    hash_edit_done(c, 0, o, "hset");
    if (options->dated) {
        ks_note_deadline(c->ks, c->keys[0].db, o, options->at_ms);
        call_notify(c, NOTIFY_HASH, "hexpire", c->keys[0].key);
    }
    call_changed(c, (uint64_t)options->count);
}

/* What is set with a time that is past is gone at once. */
static void delete_fields(struct call *c, struct object *o, const struct options *options)
{
    if (o == NULL)
        return;
    struct hash_redating redating;
    hash_redating_begin(&redating, c, o, options->at_ms, (size_t)options->count);
    for (int i = 0; i < options->count; i++) {
        struct hash_value value;
        if (hash_get(o, options->fields[2 * i], &value))
            (void)hash_redate(&redating, options->fields[2 * i]);
    }
    hash_redating_end(&redating);
}

static void cmd_hsetex(struct call *c)
{
    struct options options;
    bool wrong_type = false;
    if (!read_set_options(c, &options))
        return;
    struct object *o = call_find_write_type(c, 0, OBJECT_HASH, &wrong_type);
    if (wrong_type)
        return;
    hash_expire_named(c, 0, &o, options.fields, (size_t)options.count, 2);
    if (!is_met(o, &options)) {
        reply_integer(c->reply, 0);
        return;
    }
    if (options.dated && call_field_is_due(c, options.at_ms))
        delete_fields(c, o, &options);
    else
        set_fields(c, o, &options);
    reply_integer(c->reply, 1);
}

/* ---- The rows. */

#define TIME_ARGS                                                                                  \
    ARG("seconds", INTEGER, .token = "EX"), ARG("milliseconds", INTEGER, .token = "PX"),           \
        ARG("unix-time-seconds", UNIX_TIME, .token = "EXAT"),                                      \
        ARG("unix-time-milliseconds", UNIX_TIME, .token = "PXAT")

const struct command cmd_hash_ex_table[] = {
    {.name = "hgetdel",
     .handler = cmd_hgetdel,
     .arity = -5,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_named,
     .group = "hash",
     .since = "8.0.0",
     .complexity = "O(N) where N is the number of specified fields",
     .summary = "Returns the value of a field and deletes it from the hash.",
     .args =
         ARGS(ARG("key", KEY), ARG("fields", BLOCK, .token = "FIELDS",
                                   .children = ARGS(ARG("numfields", INTEGER),
                                                    ARG("field", STRING, .flags = ARG_MULTIPLE))))},
    {.name = "hgetex",
     .handler = cmd_hgetex,
     .arity = -5,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .ensure = ensure_named,
     .group = "hash",
     .since = "8.0.0",
     .complexity = "O(N) where N is the number of specified fields",
     .summary = "Get the value of one or more fields of a given hash key, and optionally set their "
                "expiration.",
     .args = ARGS(ARG("key", KEY),
                  ARG("expiration", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TIME_ARGS, TOKEN("persist", "PERSIST"))),
                  ARG("fields", BLOCK, .token = "FIELDS",
                      .children = ARGS(ARG("numfields", INTEGER),
                                       ARG("field", STRING, .flags = ARG_MULTIPLE))))},
    {.name = "hsetex",
     .handler = cmd_hsetex,
     .arity = -6,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_pairs,
     .group = "hash",
     .since = "8.0.0",
     .complexity = "O(N) where N is the number of fields being set.",
     .summary = "Set the value of one or more fields of a given hash key, and optionally set their "
                "expiration.",
     .args = ARGS(
         ARG("key", KEY),
         ARG("condition", ONEOF, .flags = ARG_OPTIONAL,
             .children = ARGS(TOKEN("fnx", "FNX"), TOKEN("fxx", "FXX"))),
         ARG("expiration", ONEOF, .flags = ARG_OPTIONAL,
             .children = ARGS(TIME_ARGS, TOKEN("keepttl", "KEEPTTL"))),
         ARG("fields", BLOCK, .token = "FIELDS",
             .children = ARGS(ARG("numfields", INTEGER),
                              ARG("data", BLOCK, .flags = ARG_MULTIPLE,
                                  .children = ARGS(ARG("field", STRING), ARG("value", STRING))))))},
    {.name = NULL},
};
