/* RESTORE: a key made of what DUMP gave: the value as an RDB has it, behind its type; then the
 * version of that format, u16 LE, and a CRC64 of all before it, u64 LE. Every byte of the value is
 * checked before anything is changed (rdb_read_value.h, rdb_load.h). Source: cluster.c of
 * Redis 7.2. */
#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "server/call.h"
#include "server/commands/list_edit.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/notify.h"
#include "server/services.h"
#include "server/stats.h"
#include "storage/rdb_load.h"
#include "storage/types/hash.h"

#define VERSION_BYTES    2
#define FOOTER_BYTES     (VERSION_BYTES + RDB_CHECKSUM_BYTES)
#define STRING_BYTES_MAX ((uint64_t)512 << 20)

struct restore_options {
    bool replace;
    bool absolute;
    int64_t idle_s; /* -1: not given */
    int64_t frequency;
};

/* An integer from 0 to `max`; false: replied. */
static bool parse_amount(struct call *c, int arg, int64_t max, const char *error, int64_t *out)
{
    if (!call_arg_i64(c, arg, out))
        return false;
    if (*out >= 0 && *out <= max)
        return true;
    reply_error(c->reply, error);
    return false;
}

static bool parse_options(struct call *c, struct restore_options *out)
{
    *out = (struct restore_options){.idle_s = -1, .frequency = -1};
    for (int i = 4; i < c->argc; i++) {
        bool more = i + 1 < c->argc;
        if (call_arg_is(c, i, "replace")) {
            out->replace = true;
        } else if (call_arg_is(c, i, "absttl")) {
            out->absolute = true;
        } else if (call_arg_is(c, i, "idletime") && more && out->frequency == -1) {
            if (!parse_amount(c, ++i, INT64_MAX, "ERR Invalid IDLETIME value, must be >= 0",
                              &out->idle_s))
                return false;
        } else if (call_arg_is(c, i, "freq") && more && out->idle_s == -1) {
            if (!parse_amount(c, ++i, UINT8_MAX, "ERR Invalid FREQ value, must be >= 0 and <= 255",
                              &out->frequency))
                return false;
        } else {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

static bool check_footer(const struct call *c, struct bytes payload)
{
    if (payload.len < FOOTER_BYTES)
        return false;
    const uint8_t *footer = payload.data + payload.len - FOOTER_BYTES;
    if (load_le16(footer) > RDB_VERSION_MAX)
        return false;
    return c->services->config->debug_skip_checksum ||
           crc64(0, payload.data, payload.len - RDB_CHECKSUM_BYTES) ==
               load_le64(footer + VERSION_BYTES);
}

/* The value that a payload holds; false, with the reply made: none. */
static bool load_value(struct call *c, struct bytes payload, struct rdb_load *load)
{
    if (!check_footer(c, payload)) {
        reply_error(c->reply, "ERR DUMP payload version or checksum are wrong");
        return false;
    }
    enum status st = ST_CORRUPT;
    c->services->stats->payloads_checked++;
    if (payload.len > FOOTER_BYTES)
        st = rdb_decode(payload.data[0],
                        bytes_make(payload.data + 1, payload.len - 1 - FOOTER_BYTES),
                        STRING_BYTES_MAX, rdb_load_take, load, NULL);
    if (st == ST_OK)
        st = rdb_load_finish(load);
    if (st != ST_OK)
        reply_error(c->reply, "ERR Bad data format");
    return st == ST_OK;
}

static struct object *store_value(struct call *c, struct rdb_load *load)
{
    struct keyref *ref = &c->keys[0];
    if (load->o.type == OBJECT_STRING)
        return ks_set_string(c->ks, ref, buf_bytes(&load->text));
    struct object *o = ks_create(c->ks, ref, (enum object_type)load->o.type);
    ks_change_begin(c->ks, ref->db, o);
    rdb_load_move(load, o);
    ks_change_end(c->ks, ref->db, o);
    if (o->type == OBJECT_HASH && hash_next_deadline(o) != OBJECT_NO_EXPIRE)
        ks_note_deadline(c->ks, ref->db, o, hash_next_deadline(o));
    return o;
}

/* The request itself, but for a time to live, which becomes a time. */
static void tell_effect(struct call *c, int64_t at_ms, const struct restore_options *options)
{
    call_changed(c, 1);
    if (at_ms == 0 || options->absolute)
        return;
    char digits[NUMBER_I64_CHARS_MAX];
    struct bytes *argv = mem_alloc(((size_t)c->argc + 1) * sizeof(*argv));
    memcpy(argv, c->argv, (size_t)c->argc * sizeof(*argv));
    argv[2] = bytes_make(digits, number_format_i64(at_ms, digits));
    argv[c->argc] = bytes_text("ABSTTL");
    call_effect(c, c->argc + 1, argv);
    mem_free(argv);
}

/* Only a master decides that time is up; a stream of effects says so by itself. */
static bool is_past(const struct call *c, int64_t at_ms)
{
    return at_ms <= c->now_ms && !(c->session->flags & (SESSION_REPLAY | SESSION_MASTER));
}

/* The value's time was over before it came: what it replaces is gone, that is all. */
static void delete_replaced(struct call *c)
{
    struct bytes key = c->keys[0].key;
    ks_delete(c->ks, &c->keys[0]);
    call_key_modified(c, &c->keys[0]);
    call_notify(c, NOTIFY_GENERIC, "del", key);
    const char *name = call_deletion_name(c->services->config->lazyfree_lazy_server_del);
    call_effect_format(c, "sb", name, &key);
    call_changed(c, 1);
}

static void restore(struct call *c, int64_t at_ms, const struct restore_options *options,
                    struct rdb_load *load)
{
    struct keyref *ref = &c->keys[0];
    if (at_ms != 0 && is_past(c, at_ms)) {
        if (call_find_write(c, 0) != NULL)
            delete_replaced(c);
        reply_ok(c->reply);
        return;
    }
    struct object *o = store_value(c, load);
    if (at_ms != 0)
        ks_set_expire(c->ks, ref->db, o, at_ms);
    if (options->idle_s >= 0)
        ks_set_idle(c->ks, o, (uint64_t)options->idle_s);
    if (options->frequency >= 0)
        ks_set_frequency(c->ks, o, (uint8_t)options->frequency);
    call_key_modified(c, ref);
    call_notify(c, NOTIFY_GENERIC, "restore", ref->key);
    tell_effect(c, at_ms, options);
    reply_ok(c->reply);
}

static void cmd_restore(struct call *c)
{
    struct restore_options options;
    if (!parse_options(c, &options))
        return;
    if (call_find_write(c, 0) != NULL && !options.replace) {
        reply_error_id(c->reply, ERROR_BUSYKEY);
        return;
    }
    int64_t at_ms;
    if (!call_arg_i64(c, 2, &at_ms))
        return;
    if (at_ms < 0) {
        reply_error(c->reply, "ERR Invalid TTL value, must be >= 0");
        return;
    }
    if (at_ms != 0 && !options.absolute && __builtin_add_overflow(at_ms, c->now_ms, &at_ms))
        at_ms = INT64_MAX;
    struct list_rules rules = list_rules_of(c);
    struct rdb_load load;
    rdb_load_init(&load, &rules);
    if (load_value(c, c->argv[3], &load))
        restore(c, at_ms, &options, &load);
    rdb_load_deinit(&load);
}

#define COMPLEXITY                                                                                 \
    "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where " \
    "N is the number of Redis objects composing the value and M their average size. For small "    \
    "string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). "     \
    "However for sorted set values the complexity is O(N*M*log(N)) because inserting values into " \
    "sorted sets is O(log(N))."

#define HISTORY                                                                                    \
    TEXTS("3.0.0", "Added the `REPLACE` modifier.", "5.0.0", "Added the `ABSTTL` modifier.",       \
          "5.0.0", "Added the `IDLETIME` and `FREQ` options.")

#define RESTORE_ARGS                                                                               \
    ARGS(ARG("key", KEY), ARG("ttl", INTEGER), ARG("serialized-value", STRING),                    \
         TOKEN("replace", "REPLACE", .flags = ARG_OPTIONAL, .since = "3.0.0"),                     \
         TOKEN("absttl", "ABSTTL", .flags = ARG_OPTIONAL, .since = "5.0.0"),                       \
         ARG("seconds", INTEGER, .token = "IDLETIME", .flags = ARG_OPTIONAL, .since = "5.0.0"),    \
         ARG("frequency", INTEGER, .token = "FREQ", .flags = ARG_OPTIONAL, .since = "5.0.0"))

const struct command cmd_restore_table[] = {
    {.name = "restore",
     .handler = cmd_restore,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .keys = {KEY_AT(1, KEY_OW | KEY_UPDATE | KEY_LOAD_META)},
     .group = "generic",
     .since = "2.6.0",
     .complexity = COMPLEXITY,
     .summary = "Creates a key from the serialized representation of a value.",
     .history = HISTORY,
     .args = RESTORE_ARGS},
    {.name = "restore-asking",
     .handler = cmd_restore,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_ASKING | CMD_SYSCMD,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .keys = {KEY_AT(1, KEY_OW | KEY_UPDATE | KEY_LOAD_META)},
     .group = "server",
     .since = "3.0.0",
     .complexity = COMPLEXITY,
     .summary = "An internal command for migrating keys in a cluster.",
     .history = HISTORY,
     .args = RESTORE_ARGS},
    {.name = NULL},
};
