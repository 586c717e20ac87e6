/* Whole values: GET, SET and their kin. Deadlines go to the journal as absolute times. Source:
 * t_string.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/string_edit.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/services.h"

#include "codec/mem.h"

#define MS_PER_SECOND    1000
#define EFFECT_ARGS_FAST 16

/* ---- Options of SET and GETEX. */

enum {
    OPTION_NX = 1 << 0,
    OPTION_XX = 1 << 1,
    OPTION_GET = 1 << 2,
    OPTION_KEEPTTL = 1 << 3,
    OPTION_PERSIST = 1 << 4,
    OPTION_EX = 1 << 5,
    OPTION_PX = 1 << 6,
    OPTION_EXAT = 1 << 7,
    OPTION_PXAT = 1 << 8,
    OPTION_DEADLINES = OPTION_EX | OPTION_PX | OPTION_EXAT | OPTION_PXAT,
    OPTION_TTL = OPTION_DEADLINES | OPTION_KEEPTTL | OPTION_PERSIST,
    OPTIONS_OF_SET = OPTION_NX | OPTION_XX | OPTION_GET | OPTION_KEEPTTL | OPTION_DEADLINES,
    OPTIONS_OF_GETEX = OPTION_PERSIST | OPTION_DEADLINES,
};

struct option_word {
    const char *word;
    unsigned option;
    unsigned excludes; /* repeating the same word is fine, as in Redis */
};

static const struct option_word option_words[] = {
    {"nx", OPTION_NX, OPTION_XX},
    {"xx", OPTION_XX, OPTION_NX},
    {"get", OPTION_GET, 0},
    {"keepttl", OPTION_KEEPTTL, OPTION_TTL & ~OPTION_KEEPTTL},
    {"persist", OPTION_PERSIST, OPTION_TTL & ~OPTION_PERSIST},
    {"ex", OPTION_EX, OPTION_TTL & ~OPTION_EX},
    {"px", OPTION_PX, OPTION_TTL & ~OPTION_PX},
    {"exat", OPTION_EXAT, OPTION_TTL & ~OPTION_EXAT},
    {"pxat", OPTION_PXAT, OPTION_TTL & ~OPTION_PXAT},
};

struct options {
    unsigned flags;
    int deadline_arg; /* argument of EX, PX, EXAT or PXAT; 0 = none */
};

static const struct option_word *find_option(struct bytes text)
{
    for (size_t i = 0; i < sizeof option_words / sizeof option_words[0]; i++) {
        if (bytes_equal_nocase(text, option_words[i].word))
            return &option_words[i];
    }
    return NULL;
}

/* Parses from argument `first` on; false on a syntax error. */
static bool parse_options(const struct bytes *argv, int argc, int first, unsigned allowed,
                          struct options *out)
{
    *out = (struct options){0};
    for (int i = first; i < argc; i++) {
        const struct option_word *word = find_option(argv[i]);
        if (word == NULL || (word->option & allowed) == 0 || (out->flags & word->excludes) != 0)
            return false;
        if ((word->option & OPTION_DEADLINES) != 0) {
            if (++i == argc)
                return false;
            out->deadline_arg = i;
        }
        out->flags |= word->option;
    }
    return true;
}

/* The absolute time that an argument means under OPTION_EX and the like; false: replied. */
static bool parse_deadline(struct call *c, int arg, unsigned flags, int64_t *out)
{
    int64_t value;
    if (!call_arg_i64(c, arg, &value))
        return false;
    bool is_seconds = (flags & (OPTION_EX | OPTION_EXAT)) != 0;
    bool is_relative = (flags & (OPTION_EX | OPTION_PX)) != 0;
    if (value <= 0 || __builtin_mul_overflow(value, is_seconds ? MS_PER_SECOND : 1, &value) ||
        __builtin_add_overflow(value, is_relative ? c->now_ms : 0, &value)) {
        reply_error_expire(c->reply, c->command->name);
        return false;
    }
    *out = value;
    return true;
}

/* ---- Reading. */

/* Replies the value of key `index` or null; false if it is no string (replied). */
static bool reply_value(struct call *c, int index)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, index, OBJECT_STRING, &wrong_type);
    if (o != NULL)
        string_reply(c->reply, o);
    else if (!wrong_type)
        reply_null(c->reply);
    return !wrong_type;
}

static void cmd_get(struct call *c)
{
    (void)reply_value(c, 0);
}

static void cmd_mget(struct call *c)
{
    reply_array(c->reply, (uint64_t)c->key_count);
    for (int i = 0; i < c->key_count; i++) {
        const struct object *o = call_find_read(c, i);
        if (o != NULL && o->type == OBJECT_STRING)
            string_reply(c->reply, o);
        else
            reply_null(c->reply);
    }
}

/* ---- SET, SETNX, SETEX, PSETEX, GETSET. */

/* An expired value that is about to be overwritten still expires, with its event. */
static void expire_before_set(struct call *c, int index)
{
    const struct object *o = ks_lookup(c->ks, &c->keys[index]);
    if (o != NULL && object_has_expire(o))
        (void)call_find_write(c, index);
}

static void set_plain(struct call *c, int index, struct bytes value)
{
    expire_before_set(c, index);
    (void)string_store_bytes(c, index, value);
    call_notify(c, NOTIFY_STRING, "set", c->keys[index].key);
}

static void set_with_deadline(struct call *c, struct bytes value, int64_t at_ms)
{
    struct keyref *ref = &c->keys[0];
    expire_before_set(c, 0);
    struct object *o = string_store_bytes(c, 0, value);
    ks_set_expire(c->ks, ref->db, o, at_ms);
    call_notify(c, NOTIFY_STRING, "set", ref->key);
    call_notify(c, NOTIFY_GENERIC, "expire", ref->key);
    call_changed(c, 1);
}

static void set_keeping_deadline(struct call *c, struct bytes value)
{
    struct keyref *ref = &c->keys[0];
    const struct object *before = call_find_write(c, 0);
    int64_t at_ms = before == NULL ? OBJECT_NO_EXPIRE : before->expire_at_ms;
    struct object *o = string_store_bytes(c, 0, value);
    if (at_ms != OBJECT_NO_EXPIRE)
        ks_set_expire(c->ks, ref->db, o, at_ms);
    call_notify(c, NOTIFY_STRING, "set", ref->key);
}

static void effect_set_pxat(struct call *c, struct bytes value, int64_t at_ms)
{
    call_effect_format(c, "sbbsi", "SET", &c->keys[0].key, &value, "PXAT", at_ms);
}

/* The request without its GETs: replaying it has nobody to answer. */
static void effect_without_get(struct call *c)
{
    struct bytes fast[EFFECT_ARGS_FAST] = {{0}};
    struct bytes *argv =
        c->argc <= EFFECT_ARGS_FAST ? fast : mem_alloc((size_t)c->argc * sizeof *argv);
    int argc = 0;
    for (int i = 0; i < c->argc; i++) {
        if (i < 3 || !call_arg_is(c, i, "get"))
            argv[argc++] = c->argv[i];
    }
    call_effect(c, argc, argv);
    if (argv != fast)
        mem_free(argv);
}

/* Whether NX or XX forbids to set. */
static bool condition_fails(struct call *c, unsigned flags)
{
    if ((flags & (OPTION_NX | OPTION_XX)) == 0)
        return false;
    bool exists = call_find_write(c, 0) != NULL;
    return exists ? (flags & OPTION_NX) != 0 : (flags & OPTION_XX) != 0;
}

static void set_with_options(struct call *c)
{
    struct options options;
    int64_t at_ms = 0;
    if (!parse_options(c->argv, c->argc, 3, OPTIONS_OF_SET, &options)) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    if (options.deadline_arg != 0 &&
        !parse_deadline(c, options.deadline_arg, options.flags, &at_ms))
        return;
    bool get = (options.flags & OPTION_GET) != 0;
    if (get && !reply_value(c, 0))
        return;
    if (condition_fails(c, options.flags)) {
        if (!get)
            reply_null(c->reply);
        return;
    }
    if (options.deadline_arg != 0) {
        set_with_deadline(c, c->argv[2], at_ms);
        if ((options.flags & OPTION_PXAT) == 0)
            effect_set_pxat(c, c->argv[2], at_ms);
        else if (get)
            effect_without_get(c);
    } else {
        if ((options.flags & OPTION_KEEPTTL) != 0)
            set_keeping_deadline(c, c->argv[2]);
        else
            set_plain(c, 0, c->argv[2]);
        call_changed(c, 1);
        if (get)
            effect_without_get(c);
    }
    if (!get)
        reply_ok(c->reply);
}

static void cmd_set(struct call *c)
{
    if (c->argc != 3) {
        set_with_options(c);
        return;
    }
    set_plain(c, 0, c->argv[2]);
    call_changed(c, 1);
    reply_ok(c->reply);
}

static int keys_of_set(const struct bytes *argv, int argc, struct key_arg *out, int max)
{
    uint32_t flags = KEY_OW | KEY_UPDATE;
    uint32_t load = KEY_LOAD_NOTHING;
    for (int i = 3; i < argc; i++) {
        const struct option_word *word = find_option(argv[i]);
        if (word == NULL)
            continue;
        if (word->option == OPTION_GET) {
            flags = KEY_RW | KEY_ACCESS | KEY_UPDATE;
            load = 0;
        } else if ((word->option & (OPTION_NX | OPTION_XX | OPTION_KEEPTTL)) != 0 && load != 0) {
            load = KEY_LOAD_META;
        }
    }
    if (max > 0)
        out[0] = (struct key_arg){.index = 1, .flags = flags | load};
    return 1;
}

static void cmd_setnx(struct call *c)
{
    if (call_find_write(c, 0) != NULL) {
        reply_integer(c->reply, 0);
        return;
    }
    set_plain(c, 0, c->argv[2]);
    call_changed(c, 1);
    reply_integer(c->reply, 1);
}

static void set_ex(struct call *c, unsigned option)
{
    int64_t at_ms;
    if (!parse_deadline(c, 2, option, &at_ms))
        return;
    set_with_deadline(c, c->argv[3], at_ms);
    effect_set_pxat(c, c->argv[3], at_ms);
    reply_ok(c->reply);
}

static void cmd_setex(struct call *c)
{
    set_ex(c, OPTION_EX);
}

static void cmd_psetex(struct call *c)
{
    set_ex(c, OPTION_PX);
}

static void cmd_getset(struct call *c)
{
    if (!reply_value(c, 0))
        return;
    set_plain(c, 0, c->argv[2]);
    call_changed(c, 1);
    call_effect_format(c, "sbb", "SET", &c->keys[0].key, &c->argv[2]);
}

/* ---- MSET, MSETNX. */

static bool check_pairs(struct call *c)
{
    if (c->argc % 2 == 1)
        return true;
    reply_error_arity(c->reply, c->command->name);
    return false;
}

static void set_pairs(struct call *c)
{
    for (int i = 0; i < c->key_count; i++)
        set_plain(c, i, c->argv[2 + 2 * i]);
    call_changed(c, (uint64_t)c->key_count);
}

static void cmd_mset(struct call *c)
{
    if (!check_pairs(c))
        return;
    set_pairs(c);
    reply_ok(c->reply);
}

static void cmd_msetnx(struct call *c)
{
    if (!check_pairs(c))
        return;
    for (int i = 0; i < c->key_count; i++) {
        if (call_find_write(c, i) != NULL) {
            reply_integer(c->reply, 0);
            return;
        }
    }
    set_pairs(c);
    reply_integer(c->reply, 1);
}

/* ---- GETDEL, GETEX. */

/* `name`: what the journal is told, DEL or UNLINK. */
static void delete_key(struct call *c, const char *name)
{
    struct keyref *ref = &c->keys[0];
    ks_delete(c->ks, ref);
    call_key_modified(c, ref);
    call_notify(c, NOTIFY_GENERIC, "del", ref->key);
    call_effect_format(c, "sb", name, &ref->key);
    call_changed(c, 1);
}

static void cmd_getdel(struct call *c)
{
    if (reply_value(c, 0) && ks_find(c->ks, &c->keys[0]) != NULL)
        delete_key(c, "DEL");
}

static void getex_persist(struct call *c, struct object *o)
{
    struct keyref *ref = &c->keys[0];
    if (!object_has_expire(o))
        return;
    ks_set_expire(c->ks, ref->db, o, OBJECT_NO_EXPIRE);
    call_key_modified(c, ref);
    call_notify(c, NOTIFY_GENERIC, "persist", ref->key);
    call_effect_format(c, "sb", "PERSIST", &ref->key);
    call_changed(c, 1);
}

static void getex_expire(struct call *c, struct object *o, unsigned flags, int64_t at_ms)
{
    struct keyref *ref = &c->keys[0];
    /* Only a master decides that time is up. */
    bool decides = (c->session->flags & (SESSION_REPLAY | SESSION_MASTER)) == 0;
    if ((flags & (OPTION_EXAT | OPTION_PXAT)) != 0 && at_ms <= c->now_ms && decides) {
        delete_key(c, call_deletion_name(c->services->config->lazyfree_lazy_expire));
        return;
    }
    ks_set_expire(c->ks, ref->db, o, at_ms);
    call_key_modified(c, ref);
    call_notify(c, NOTIFY_GENERIC, "expire", ref->key);
    call_effect_format(c, "sbi", "PEXPIREAT", &ref->key, at_ms);
    call_changed(c, 1);
}

static void cmd_getex(struct call *c)
{
    struct options options;
    if (!parse_options(c->argv, c->argc, 2, OPTIONS_OF_GETEX, &options)) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    bool wrong_type = false;
    struct object *o = call_find_read_type(c, 0, OBJECT_STRING, &wrong_type);
    if (o == NULL) {
        if (!wrong_type)
            reply_null(c->reply);
        return;
    }
    int64_t at_ms = 0;
    if (options.deadline_arg != 0 &&
        !parse_deadline(c, options.deadline_arg, options.flags, &at_ms))
        return;
    string_reply(c->reply, o);
    if (options.deadline_arg != 0)
        getex_expire(c, o, options.flags, at_ms);
    else if ((options.flags & OPTION_PERSIST) != 0)
        getex_persist(c, o);
}

/* ---- The rows. */

const struct command cmd_string_table[] = {
    {.name = "get",
     .handler = cmd_get,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Returns the string value of a key.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "getdel",
     .handler = cmd_getdel,
     .arity = 2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .group = "string",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Returns the string value of a key after deleting the key.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "getex",
     .handler = cmd_getex,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_UPDATE,
               .begin = KEY_BEGIN_INDEX,
               .index = 1,
               .step_or_first = 1,
               .notes = "RW and UPDATE because it changes the TTL"}},
     .group = "string",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Returns the string value of a key after setting its expiration time.",
     .args = ARGS(ARG("key", KEY),
                  ARG("expiration", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(ARG("seconds", INTEGER, .token = "EX"),
                                       ARG("milliseconds", INTEGER, .token = "PX"),
                                       ARG("unix-time-seconds", UNIX_TIME, .token = "EXAT"),
                                       ARG("unix-time-milliseconds", UNIX_TIME, .token = "PXAT"),
                                       TOKEN("persist", "PERSIST"))))},
    {.name = "getset",
     .handler = cmd_getset,
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Returns the previous string value of a key after setting it to a new value.",
     .args = ARGS(ARG("key", KEY), ARG("value", STRING)),
     .deprecated_since = "6.2.0",
     .replaced_by = "`SET` with the `!GET` argument"},
    {.name = "mget",
     .handler = cmd_mget,
     .arity = -2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_RANGE(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of keys to retrieve.",
     .summary = "Atomically returns the string values of one or more keys.",
     .tips = TEXTS("request_policy:multi_shard"),
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE))},
    {.name = "mset",
     .handler = cmd_mset,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {KEY_RANGE(1, -1, 2, KEY_OW | KEY_UPDATE | KEY_LOAD_NOTHING)},
     .group = "string",
     .since = "1.0.1",
     .complexity = "O(N) where N is the number of keys to set.",
     .summary = "Atomically creates or modifies the string values of one or more keys.",
     .tips = TEXTS("request_policy:multi_shard", "response_policy:all_succeeded"),
     .args = ARGS(ARG("data", BLOCK, .flags = ARG_MULTIPLE,
                      .children = ARGS(ARG("key", KEY), ARG("value", STRING))))},
    {.name = "msetnx",
     .handler = cmd_msetnx,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {KEY_RANGE(1, -1, 2, KEY_OW | KEY_INSERT | KEY_LOAD_META)},
     .group = "string",
     .since = "1.0.1",
     .complexity = "O(N) where N is the number of keys to set.",
     .summary = "Atomically modifies the string values of one or more keys only when all keys "
                "don't exist.",
     .args = ARGS(ARG("data", BLOCK, .flags = ARG_MULTIPLE,
                      .children = ARGS(ARG("key", KEY), ARG("value", STRING))))},
    {.name = "psetex",
     .handler = cmd_psetex,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_OW | KEY_UPDATE | KEY_LOAD_NOTHING)},
     .group = "string",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Sets both string value and expiration time in milliseconds of a key. The key is "
                "created if it doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("milliseconds", INTEGER), ARG("value", STRING)),
     .deprecated_since = "2.6.12",
     .replaced_by = "`SET` with the `PX` argument"},
    {.name = "set",
     .handler = cmd_set,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_VARIABLE_FLAGS,
               .begin = KEY_BEGIN_INDEX,
               .index = 1,
               .step_or_first = 1,
               .notes = "RW and ACCESS due to the optional `GET` argument"}},
     .keys_fn = keys_of_set,
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Sets the string value of a key, ignoring its type. The key is created if it "
                "doesn't exist.",
     .history =
         TEXTS("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options.", "6.0.0",
               "Added the `KEEPTTL` option.", "6.2.0", "Added the `GET`, `EXAT` and `PXAT` option.",
               "7.0.0", "Allowed the `NX` and `GET` options to be used together."),
     .args =
         ARGS(ARG("key", KEY), ARG("value", STRING),
              ARG("condition", ONEOF, .flags = ARG_OPTIONAL, .since = "2.6.12",
                  .children = ARGS(TOKEN("nx", "NX"), TOKEN("xx", "XX"))),
              TOKEN("get", "GET", .flags = ARG_OPTIONAL, .since = "6.2.0"),
              ARG("expiration", ONEOF, .flags = ARG_OPTIONAL,
                  .children = ARGS(
                      ARG("seconds", INTEGER, .token = "EX", .since = "2.6.12"),
                      ARG("milliseconds", INTEGER, .token = "PX", .since = "2.6.12"),
                      ARG("unix-time-seconds", UNIX_TIME, .token = "EXAT", .since = "6.2.0"),
                      ARG("unix-time-milliseconds", UNIX_TIME, .token = "PXAT", .since = "6.2.0"),
                      TOKEN("keepttl", "KEEPTTL", .since = "6.0.0"))))},
    {.name = "setex",
     .handler = cmd_setex,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_OW | KEY_UPDATE | KEY_LOAD_NOTHING)},
     .group = "string",
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Sets the string value and expiration time of a key. Creates the key if it "
                "doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("seconds", INTEGER), ARG("value", STRING)),
     .deprecated_since = "2.6.12",
     .replaced_by = "`SET` with the `EX` argument"},
    {.name = "setnx",
     .handler = cmd_setnx,
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_OW | KEY_INSERT | KEY_LOAD_META)},
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Set the string value of a key only when the key doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("value", STRING)),
     .deprecated_since = "2.6.12",
     .replaced_by = "`SET` with the `NX` argument"},
    {.name = NULL},
};
