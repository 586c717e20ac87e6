/* Sets: adding, removing, asking for and listing members. Source: t_set.c of Redis 7.2. */
#include "server/commands/rows.h"
#include "server/commands/scan_options.h"
#include "server/commands/set_edit.h"
#include "server/commands/tables.h"

#define PREFETCH_AHEAD 4

/* ---- What requests need of large sets. */

static enum ensured ensure_listed(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    if (set_needs_nothing(e))
        return ENSURED;
    return members_ensure(e, set_members(e->o), argv + 2, (size_t)argc - 2, 1);
}

static enum ensured ensure_moved(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argc, (void)key;
    if (set_needs_nothing(e))
        return ENSURED;
    return members_ensure(e, set_members(e->o), argv + 3, 1, 1);
}

static enum ensured ensure_scan(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    struct scan_options options;
    if (set_needs_nothing(e) || !scan_peek(argv, argc, 2, &options))
        return ENSURED;
    return members_ensure_scan(e, set_members(e->o), options.cursor, (size_t)options.count);
}

/* ---- Changing. */

static void cmd_sadd(struct call *c)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_SET, &wrong_type);
    if (wrong_type)
        return;
    const struct value_rules *rules = ks_value_rules(c->ks);
    uint64_t added = 0;
    if (o != NULL && c->argc == 3 && set_has(o, c->argv[2])) {
        reply_integer(c->reply, 0);
        return;
    }
    o = set_edit_begin(c, 0, o, c->argv[2], (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        if (i + PREFETCH_AHEAD < c->argc)
            set_prefetch(o, c->argv[i + PREFETCH_AHEAD]);
        added += set_add(o, rules, c->argv[i]);
    }
    (void)set_edit_end(c, 0, o);
    if (added > 0) {
        call_key_modified(c, &c->keys[0]);
        call_notify(c, NOTIFY_SET, "sadd", c->keys[0].key);
        call_changed(c, added);
    }
    reply_integer(c->reply, (int64_t)added);
}

/* Removes members; `*emptied` tells whether the key went, too. */
static uint64_t remove_members(struct call *c, int index, struct object *o,
                               const struct bytes *members, size_t count, bool *emptied)
{
    uint64_t removed = 0;
    ks_change_begin(c->ks, c->keys[index].db, o);
    for (size_t i = 0; i < count && set_count(o) > 0; i++)
        removed += set_remove(o, members[i]);
    *emptied = set_edit_end(c, index, o);
    return removed;
}

static void cmd_srem(struct call *c)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_SET, &wrong_type);
    if (wrong_type)
        return;
    bool emptied = false;
    uint64_t removed = 0;
    if (o != NULL)
        removed = remove_members(c, 0, o, c->argv + 2, (size_t)c->argc - 2, &emptied);
    if (removed > 0) {
        call_key_modified(c, &c->keys[0]);
        call_notify(c, NOTIFY_SET, "srem", c->keys[0].key);
        if (emptied)
            call_notify(c, NOTIFY_GENERIC, "del", c->keys[0].key);
        call_changed(c, removed);
    }
    reply_integer(c->reply, (int64_t)removed);
}

static void move_member(struct call *c, struct object *from, struct object *to)
{
    bool emptied = false;
    (void)remove_members(c, 0, from, &c->argv[3], 1, &emptied);
    call_notify(c, NOTIFY_SET, "srem", c->keys[0].key);
    if (emptied)
        call_notify(c, NOTIFY_GENERIC, "del", c->keys[0].key);
    call_key_modified(c, &c->keys[0]);
    call_changed(c, 1);
    to = set_edit_begin(c, 1, to, c->argv[3], 1);
    bool added = set_add(to, ks_value_rules(c->ks), c->argv[3]);
    (void)set_edit_end(c, 1, to);
    if (!added)
        return;
    call_key_modified(c, &c->keys[1]);
    call_notify(c, NOTIFY_SET, "sadd", c->keys[1].key);
    call_changed(c, 1);
}

static void cmd_smove(struct call *c)
{
    struct object *from = call_find_write(c, 0);
    struct object *to = call_find_write(c, 1);
    if (from == NULL) {
        reply_integer(c->reply, 0);
        return;
    }
    if (from->type != OBJECT_SET || (to != NULL && to->type != OBJECT_SET)) {
        reply_error_id(c->reply, ERROR_WRONGTYPE);
        return;
    }
    bool there = set_has(from, c->argv[3]);
    if (there && from != to)
        move_member(c, from, to);
    reply_integer(c->reply, there);
}

/* ---- Asking. */

static void cmd_sismember(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_SET, &wrong_type);
    if (!wrong_type)
        reply_integer(c->reply, o != NULL && set_has(o, c->argv[2]));
}

static void cmd_smismember(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_SET, &wrong_type);
    if (wrong_type)
        return;
    reply_array(c->reply, (uint64_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++)
        reply_integer(c->reply, o != NULL && set_has(o, c->argv[i]));
}

static void cmd_scard(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_SET, &wrong_type);
    if (!wrong_type)
        reply_integer(c->reply, o == NULL ? 0 : (int64_t)set_count(o));
}

static void cmd_smembers(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_SET, &wrong_type);
    if (wrong_type)
        return;
    reply_set(c->reply, o == NULL ? 0 : set_count(o));
    if (o == NULL)
        return;
    struct set_iter iter;
    struct bytes member;
    for (set_iter_init(&iter, o); set_iter_next(&iter, &member);)
        reply_bulk(c->reply, member);
}

struct scan_reply {
    struct reply *reply;
    const struct scan_options *options;
    uint64_t count;
};

static void reply_scanned(void *arg, struct bytes member)
{
    struct scan_reply *scan = arg;
    if (!scan_matches(scan->options, member))
        return;
    reply_bulk(scan->reply, member);
    scan->count++;
}

static void cmd_sscan(struct call *c)
{
    struct scan_options options;
    if (!scan_read_cursor(c, 2, &options))
        return;
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_SET, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL) {
        scan_reply_empty(c->reply);
        return;
    }
    if (!scan_read_options(c, 3, 0, &options))
        return;
    struct scan_reply scan = {.reply = c->reply, .options = &options};
    reply_array(c->reply, 2);
    struct reply_deferred cursor = reply_deferred_begin(c->reply);
    struct reply_deferred members = reply_deferred_begin(c->reply);
    uint64_t next = set_scan(o, options.cursor, (size_t)options.count, reply_scanned, &scan);
    reply_deferred_array(c->reply, &members, scan.count);
    reply_deferred_bulk_integer(c->reply, &cursor, next);
}

/* ---- The rows. */

const struct command cmd_set_table[] = {
    {.name = "sadd",
     .handler = cmd_sadd,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_RW | KEY_INSERT)},
     .ensure = ensure_listed,
     .group = "set",
     .since = "1.0.0",
     .complexity = "O(1) for each element added, so O(N) to add N elements when the command is "
                   "called with multiple arguments.",
     .summary = "Adds one or more members to a set. Creates the key if it doesn't exist.",
     .history = TEXTS("2.4.0", "Accepts multiple `member` arguments."),
     .args = ARGS(ARG("key", KEY), ARG("member", STRING, .flags = ARG_MULTIPLE))},
    {.name = "scard",
     .handler = cmd_scard,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_RO | KEY_LOAD_META)},
     .group = "set",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Returns the number of members in a set.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "sismember",
     .handler = cmd_sismember,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_RO)},
     .ensure = ensure_listed,
     .group = "set",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Determines whether a member belongs to a set.",
     .args = ARGS(ARG("key", KEY), ARG("member", STRING))},
    {.name = "smembers",
     .handler = cmd_smembers,
     .arity = 2,
     .flags = CMD_READONLY,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .group = "set",
     .since = "1.0.0",
     .complexity = "O(N) where N is the set cardinality.",
     .summary = "Returns all members of a set.",
     .tips = TEXTS("nondeterministic_output_order"),
     .args = ARGS(ARG("key", KEY))},
    {.name = "smismember",
     .handler = cmd_smismember,
     .arity = -3,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_listed,
     .group = "set",
     .since = "6.2.0",
     .complexity = "O(N) where N is the number of elements being checked for membership",
     .summary = "Determines whether multiple members belong to a set.",
     .args = ARGS(ARG("key", KEY), ARG("member", STRING, .flags = ARG_MULTIPLE))},
    {.name = "smove",
     .handler = cmd_smove,
     .arity = 4,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEY_AT(2, KEY_RW | KEY_INSERT)},
     .ensure = ensure_moved,
     .group = "set",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Moves a member from one set to another.",
     .args = ARGS(ARG("source", KEY), ARG("destination", KEY, .key_spec_index = 1),
                  ARG("member", STRING))},
    {.name = "srem",
     .handler = cmd_srem,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_RW | KEY_DELETE)},
     .ensure = ensure_listed,
     .group = "set",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of members to be removed.",
     .summary =
         "Removes one or more members from a set. Deletes the set if the last member was removed.",
     .history = TEXTS("2.4.0", "Accepts multiple `member` arguments."),
     .args = ARGS(ARG("key", KEY), ARG("member", STRING, .flags = ARG_MULTIPLE))},
    {.name = "sscan",
     .handler = cmd_sscan,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_scan,
     .group = "set",
     .since = "2.8.0",
     .complexity =
         "O(1) for every call. O(N) for a complete iteration, including enough command calls for "
         "the cursor to return back to 0. N is the number of elements inside the collection.",
     .summary = "Iterates over members of a set.",
     .tips = TEXTS("nondeterministic_output"),
     .args = ARGS(ARG("key", KEY), ARG("cursor", INTEGER),
                  ARG("pattern", PATTERN, .token = "MATCH", .flags = ARG_OPTIONAL),
                  ARG("count", INTEGER, .token = "COUNT", .flags = ARG_OPTIONAL))},
    {.name = NULL},
};
