/* Commands on keys of any type: copying, deleting, moving, renaming, asking what they are. None of
 * them looks into a value, so the metadata of a cold key is all that they load, but for COPY.
 * Source: db.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/notify.h"
#include "server/services.h"

/* ---- DEL, UNLINK, EXISTS, TOUCH, TYPE. */

/* The value of a large key is freed in the background whichever of the two is used. */
static void cmd_del(struct call *c)
{
    int64_t deleted = 0;
    for (int i = 0; i < c->key_count; i++) {
        if (call_find_write(c, i) == NULL)
            continue;
        ks_delete(c->ks, &c->keys[i]);
        call_key_modified(c, &c->keys[i]);
        call_notify(c, NOTIFY_GENERIC, "del", c->keys[i].key);
        deleted++;
    }
    call_changed(c, (uint64_t)deleted);
    reply_integer(c->reply, deleted);
}

static void reply_count_of_existing(struct call *c)
{
    int64_t count = 0;
    for (int i = 0; i < c->key_count; i++)
        count += call_find_read(c, i) != NULL;
    reply_integer(c->reply, count);
}

static void cmd_exists(struct call *c)
{
    reply_count_of_existing(c);
}

/* Differs from EXISTS in its row: its keys count as used. */
static void cmd_touch(struct call *c)
{
    reply_count_of_existing(c);
}

static void cmd_type(struct call *c)
{
    const struct object *o = call_find_read(c, 0);
    reply_simple(c->reply, object_type_name(o == NULL ? OBJECT_NONE : (enum object_type)o->type));
}

/* ---- RENAME, RENAMENX. */

static void rename_key(struct call *c, bool only_if_absent)
{
    struct keyref *from = &c->keys[0], *to = &c->keys[1];
    if (call_find_write(c, 0) == NULL) {
        reply_error_id(c->reply, ERROR_NO_KEY);
        return;
    }
    bool same = bytes_equal(from->key, to->key);
    if (only_if_absent && (same || call_find_write(c, 1) != NULL)) {
        reply_integer(c->reply, 0);
        return;
    }
    if (!same) {
        if (!only_if_absent)
            (void)call_find_write(c, 1); /* an expired key ends as such, not overwritten */
        ks_rename(c->ks, from, to);
        call_key_modified(c, from);
        call_key_modified(c, to);
        call_notify(c, NOTIFY_GENERIC, "rename_from", from->key);
        call_notify(c, NOTIFY_GENERIC, "rename_to", to->key);
        call_changed(c, 1);
    }
    if (only_if_absent)
        reply_integer(c->reply, 1);
    else
        reply_ok(c->reply);
}

static void cmd_rename(struct call *c)
{
    rename_key(c, false);
}

static void cmd_renamenx(struct call *c)
{
    rename_key(c, true);
}

/* ---- MOVE, COPY: with a second database. */

static int move_keys(const struct bytes *argv, int argc, struct key_arg *out, int max)
{
    (void)argv;
    (void)argc;
    const uint32_t flags = KEY_RW | KEY_ACCESS | KEY_DELETE | KEY_LOAD_META;
    if (max > 0)
        out[0] = (struct key_arg){.index = 1, .flags = flags};
    if (max > 1)
        out[1] = (struct key_arg){
            .index = 1, .flags = KEY_OW | KEY_INSERT | KEY_LOAD_META | KEY_HIDDEN, .db_arg = 2};
    return 2;
}

static void cmd_move(struct call *c)
{
    if (c->services->config->cluster_enabled) {
        reply_error(c->reply, "ERR MOVE is not allowed in cluster mode");
        return;
    }
    uint32_t db;
    if (!call_arg_db(c, 2, &db, NULL))
        return;
    if (db == c->session->db) {
        reply_error_id(c->reply, ERROR_SAME_OBJECT);
        return;
    }
    if (call_find_write(c, 0) == NULL || call_find_write(c, 1) != NULL) {
        reply_integer(c->reply, 0);
        return;
    }
    struct keyref *from = &c->keys[0], *to = &c->keys[1];
    ks_rename(c->ks, from, to);
    call_key_modified(c, from);
    call_key_modified(c, to);
    call_notify(c, NOTIFY_GENERIC, "move_from", from->key);
    call_notify_db(c, NOTIFY_GENERIC, "move_to", to->key, db);
    call_changed(c, 1);
    reply_integer(c->reply, 1);
}

/* The argument behind the last DB option, or 0. */
static int copy_db_arg(const struct bytes *argv, int argc)
{
    int db_arg = 0;
    for (int i = 3; i + 1 < argc; i++)
        if (bytes_equal_nocase(argv[i], "db"))
            db_arg = ++i;
    return db_arg;
}

static int copy_keys(const struct bytes *argv, int argc, struct key_arg *out, int max)
{
    if (max > 0)
        out[0] = (struct key_arg){.index = 1, .flags = KEY_RO | KEY_ACCESS};
    if (max > 1)
        out[1] = (struct key_arg){.index = 2,
                                  .flags = KEY_OW | KEY_UPDATE | KEY_LOAD_META,
                                  .db_arg = copy_db_arg(argv, argc)};
    return 2;
}

struct copy_options {
    bool replace;
    uint32_t db;
};

static bool parse_copy_options(struct call *c, struct copy_options *out)
{
    *out = (struct copy_options){.db = c->session->db};
    for (int i = 3; i < c->argc; i++) {
        if (call_arg_is(c, i, "replace")) {
            out->replace = true;
        } else if (call_arg_is(c, i, "db") && i + 1 < c->argc) {
            if (!call_arg_db(c, ++i, &out->db, NULL))
                return false;
        } else {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    if (c->services->config->cluster_enabled && (c->session->db != 0 || out->db != 0)) {
        reply_error(c->reply, "ERR Copying to another database is not allowed in cluster mode");
        return false;
    }
    return true;
}

static void cmd_copy(struct call *c)
{
    struct copy_options options;
    if (!parse_copy_options(c, &options))
        return;
    struct keyref *from = &c->keys[0], *to = &c->keys[1];
    if (options.db == c->session->db && bytes_equal(from->key, to->key)) {
        reply_error_id(c->reply, ERROR_SAME_OBJECT);
        return;
    }
    if (call_find_read(c, 0) == NULL || (call_find_write(c, 1) != NULL && !options.replace)) {
        reply_integer(c->reply, 0);
        return;
    }
    ks_copy(c->ks, from, to);
    call_key_modified(c, to);
    call_notify_db(c, NOTIFY_GENERIC, "copy_to", to->key, options.db);
    call_changed(c, 1);
    reply_integer(c->reply, 1);
}

const struct command cmd_key_table[] = {
    {.name = "copy",
     .handler = cmd_copy,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS), KEY_AT(2, KEY_OW | KEY_UPDATE)},
     .keys_fn = copy_keys,
     .group = "generic",
     .since = "6.2.0",
     .complexity = "O(N) worst case for collections, where N is the number of nested items. O(1) "
                   "for string values.",
     .summary = "Copies the value of a key to a new key.",
     .args = ARGS(ARG("source", KEY), ARG("destination", KEY, .key_spec_index = 1),
                  ARG("destination-db", INTEGER, .token = "DB", .flags = ARG_OPTIONAL),
                  TOKEN("replace", "REPLACE", .flags = ARG_OPTIONAL))},
    {.name = "del",
     .handler = cmd_del,
     .arity = -2,
     .flags = CMD_WRITE,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_RANGE(1, -1, 1, KEY_RM | KEY_DELETE | KEY_LOAD_META)},
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of keys that will be removed. When a key to remove "
                   "holds a value other than a string, the individual complexity for this key is "
                   "O(M) where M is the number of elements in the list, set, sorted set or hash. "
                   "Removing a single key that holds a string value is O(1).",
     .summary = "Deletes one or more keys.",
     .tips = TEXTS("request_policy:multi_shard", "response_policy:agg_sum"),
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE))},
    {.name = "exists",
     .handler = cmd_exists,
     .arity = -2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_RANGE(1, -1, 1, KEY_RO | KEY_LOAD_META | KEY_NO_TOUCH)},
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of keys to check.",
     .summary = "Determines whether one or more keys exist.",
     .tips = TEXTS("request_policy:multi_shard", "response_policy:agg_sum"),
     .history = TEXTS("3.0.3", "Accepts multiple `key` arguments."),
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE))},
    {.name = "move",
     .handler = cmd_move,
     .arity = 3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_LOAD_META)},
     .keys_fn = move_keys,
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Moves a key to another database.",
     .args = ARGS(ARG("key", KEY), ARG("db", INTEGER))},
    {.name = "rename",
     .handler = cmd_rename,
     .arity = 3,
     .flags = CMD_WRITE,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE | KEY_LOAD_META),
              KEY_AT(2, KEY_OW | KEY_UPDATE | KEY_LOAD_META)},
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Renames a key and overwrites the destination.",
     .args = ARGS(ARG("key", KEY), ARG("newkey", KEY, .key_spec_index = 1))},
    {.name = "renamenx",
     .handler = cmd_renamenx,
     .arity = 3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE | KEY_LOAD_META),
              KEY_AT(2, KEY_OW | KEY_INSERT | KEY_LOAD_META)},
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Renames a key only when the target key name doesn't exist.",
     .history = TEXTS(
         "3.2.0",
         "The command no longer returns an error when source and destination names are the same."),
     .args = ARGS(ARG("key", KEY), ARG("newkey", KEY, .key_spec_index = 1))},
    {.name = "touch",
     .handler = cmd_touch,
     .arity = -2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_RANGE(1, -1, 1, KEY_RO | KEY_LOAD_META)},
     .group = "generic",
     .since = "3.2.1",
     .complexity = "O(N) where N is the number of keys that will be touched.",
     .summary = "Returns the number of existing keys out of those specified after updating the "
                "time they were last accessed.",
     .tips = TEXTS("request_policy:multi_shard", "response_policy:agg_sum"),
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE))},
    {.name = "type",
     .handler = cmd_type,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RO | KEY_LOAD_META | KEY_NO_TOUCH)},
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Determines the type of value stored at a key.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "unlink",
     .handler = cmd_del,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_RANGE(1, -1, 1, KEY_RM | KEY_DELETE | KEY_LOAD_META)},
     .group = "generic",
     .since = "4.0.0",
     .complexity = "O(1) for each key removed regardless of its size. Then the command does O(N) "
                   "work in a different thread in order to reclaim memory, where N is the number "
                   "of allocations the deleted objects where composed of.",
     .summary = "Asynchronously deletes one or more keys.",
     .tips = TEXTS("request_policy:multi_shard", "response_policy:agg_sum"),
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE))},
    {.name = NULL},
};
