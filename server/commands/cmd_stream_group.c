/* Consumer groups: XACK, XAUTOCLAIM, XCLAIM, XGROUP, XPENDING. Source: t_stream.c of Redis 7.2. */
#include "codec/number.h"
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/stream_args.h"
#include "server/commands/tables.h"
#include "server/notify.h"

#include "codec/mem.h"

#define AUTOCLAIM_COUNT_DEFAULT 100
#define AUTOCLAIM_ATTEMPTS      10 /* entries looked at for each that may be claimed */

/* ---- XGROUP -----------------------------------------------------------------------------------
 */

static bool find_key_and_group(struct call *c, struct object **o, struct stream_group **group)
{
    bool wrong_type = false;
    *o = call_find_write_type(c, 0, OBJECT_STREAM, &wrong_type);
    if (wrong_type)
        return false;
    if (*o == NULL) {
        reply_error(c->reply, "ERR The XGROUP subcommand requires the key to exist. Note that for "
                              "CREATE you may want to use the MKSTREAM option to create an empty "
                              "stream automatically.");
        return false;
    }
    *group = stream_find_group(stream_of(*o), c->argv[3]);
    return true;
}

static bool require_group(struct call *c, const struct stream_group *group)
{
    if (group != NULL)
        return true;
    reply_error_format(
        c->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
        (int)(c->argv[3].len < 512 ? c->argv[3].len : 512), (const char *)c->argv[3].data,
        (int)(c->argv[2].len < 512 ? c->argv[2].len : 512), (const char *)c->argv[2].data);
    return false;
}

/* Options of CREATE and SETID from argument 5 on. */
static bool parse_group_options(struct call *c, bool *make_stream, int64_t *entries_read)
{
    *entries_read = STREAM_ENTRIES_READ_UNKNOWN;
    for (int arg = 5; arg < c->argc; arg++) {
        if (make_stream != NULL && call_arg_is(c, arg, "mkstream")) {
            *make_stream = true;
        } else if (call_arg_is(c, arg, "entriesread") && arg + 1 < c->argc) {
            if (!call_arg_i64(c, ++arg, entries_read))
                return false;
            if (*entries_read < 0 && *entries_read != STREAM_ENTRIES_READ_UNKNOWN) {
                reply_error(c->reply, "ERR value for ENTRIESREAD must be positive or -1");
                return false;
            }
        } else {
            reply_error_subcommand_syntax(c->reply, c->argv[1], "XGROUP");
            return false;
        }
    }
    return true;
}

static void done(struct call *c, const char *event)
{
    call_notify(c, NOTIFY_STREAM, event, c->keys[0].key);
    call_key_modified(c, &c->keys[0]);
    call_changed(c, 1);
}

static void cmd_xgroup_create(struct call *c)
{
    bool make_stream = false;
    int64_t entries_read;
    struct object *o = NULL;
    struct stream_group *group = NULL;
    bool wrong_type = false;
    if (!parse_group_options(c, &make_stream, &entries_read))
        return;
    if (make_stream) {
        o = call_find_write_type(c, 0, OBJECT_STREAM, &wrong_type);
        if (wrong_type)
            return;
    } else if (!find_key_and_group(c, &o, &group)) {
        return;
    }
    struct stream_id id = {0, 0};
    if (!bytes_equal_nocase(c->argv[4], "$")) {
        if (!stream_arg_id(c, c->argv[4], 0, true, NULL, &id))
            return;
    } else if (o != NULL) {
        id = stream_of(o)->last_id;
    }
    if (o != NULL && stream_find_group(stream_of(o), c->argv[3]) != NULL) {
        reply_error(c->reply, "BUSYGROUP Consumer Group name already exists");
        return;
    }
    o = stream_change_begin(c, 0, o);
    (void)stream_create_group(stream_of(o), c->argv[3], id, entries_read);
    stream_change_end(c, 0, o);
    reply_ok(c->reply);
    done(c, "xgroup-create");
}

static void cmd_xgroup_setid(struct call *c)
{
    int64_t entries_read;
    struct object *o;
    struct stream_group *group;
    if (!parse_group_options(c, NULL, &entries_read) || !find_key_and_group(c, &o, &group) ||
        !require_group(c, group))
        return;
    struct stream_id id = stream_of(o)->last_id;
    if (!bytes_equal_nocase(c->argv[4], "$") && !stream_arg_id(c, c->argv[4], 0, false, NULL, &id))
        return;
    o = stream_change_begin(c, 0, o);
    stream_set_group_id(stream_of(o), group, id, entries_read);
    stream_change_end(c, 0, o);
    reply_ok(c->reply);
    done(c, "xgroup-setid");
}

static void cmd_xgroup_destroy(struct call *c)
{
    struct object *o;
    struct stream_group *group;
    if (!find_key_and_group(c, &o, &group))
        return;
    if (group == NULL) {
        reply_integer(c->reply, 0);
        return;
    }
    o = stream_change_begin(c, 0, o);
    stream_destroy_group(stream_of(o), group);
    stream_change_end(c, 0, o);
    reply_integer(c->reply, 1);
    done(c, "xgroup-destroy");
}

static void cmd_xgroup_createconsumer(struct call *c)
{
    struct object *o;
    struct stream_group *group;
    if (!find_key_and_group(c, &o, &group) || !require_group(c, group))
        return;
    if (stream_find_consumer(group, c->argv[4]) != NULL) {
        reply_integer(c->reply, 0);
        return;
    }
    o = stream_change_begin(c, 0, o);
    (void)stream_create_consumer(stream_of(o), group, c->argv[4], c->now_ms);
    stream_change_end(c, 0, o);
    reply_integer(c->reply, 1);
    done(c, "xgroup-createconsumer");
}

static void cmd_xgroup_delconsumer(struct call *c)
{
    struct object *o;
    struct stream_group *group;
    if (!find_key_and_group(c, &o, &group) || !require_group(c, group))
        return;
    struct stream_consumer *consumer = stream_find_consumer(group, c->argv[4]);
    if (consumer == NULL) {
        reply_integer(c->reply, 0);
        return;
    }
    o = stream_change_begin(c, 0, o);
    uint64_t pending = stream_destroy_consumer(stream_of(o), group, consumer);
    stream_change_end(c, 0, o);
    reply_integer(c->reply, (int64_t)pending);
    done(c, "xgroup-delconsumer");
}

static void cmd_xgroup_help(struct call *c)
{
    static const char *const lines[] = {
        "CREATE <key> <groupname> <id|$> [option]",
        "    Create a new consumer group. Options are:",
        "    * MKSTREAM",
        "      Create the empty stream if it does not exist.",
        "    * ENTRIESREAD entries_read",
        "      Set the group's entries_read counter (internal use).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Create a new consumer in the specified group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove the specified consumer.",
        "DESTROY <key> <groupname>",
        "    Remove the specified group.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the current group ID and entries_read counter.",
        NULL};
    reply_help(c->reply, "XGROUP", lines);
}

/* ---- XACK -------------------------------------------------------------------------------------
 */

static void cmd_xack(struct call *c)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_STREAM, &wrong_type);
    if (wrong_type)
        return;
    struct stream_group *group = o == NULL ? NULL : stream_find_group(stream_of(o), c->argv[2]);
    if (group == NULL) {
        reply_integer(c->reply, 0);
        return;
    }
    struct stream_id id;
    for (int arg = 3; arg < c->argc; arg++)
        if (!stream_arg_id(c, c->argv[arg], 0, true, NULL, &id))
            return;
    uint64_t acknowledged = 0;
    o = stream_change_begin(c, 0, o);
    for (int arg = 3; arg < c->argc; arg++)
        if (stream_parse_id(c->argv[arg], 0, &id))
            acknowledged += stream_remove_pending(stream_of(o), group, id);
    stream_change_end(c, 0, o);
    reply_integer(c->reply, (int64_t)acknowledged);
    call_changed(c, acknowledged);
}

/* ---- XPENDING ---------------------------------------------------------------------------------
 */

struct pending_args {
    bool summary;
    int64_t idle_min_ms;
    struct stream_id from, to;
    int64_t count;
    int consumer_arg; /* 0: all */
};

static bool parse_pending(struct call *c, struct pending_args *out)
{
    *out = (struct pending_args){.summary = c->argc == 3};
    if (out->summary)
        return true;
    int arg = 3;
    if (c->argc < 6 || c->argc > 9) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (call_arg_is(c, 3, "idle")) {
        if (!call_arg_i64(c, 4, &out->idle_min_ms))
            return false;
        if (c->argc < 8) {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
        arg = 5;
    }
    if (!call_arg_i64(c, arg + 2, &out->count))
        return false;
    out->consumer_arg = arg + 3 < c->argc ? arg + 3 : 0;
    return stream_arg_bound(c, c->argv[arg], true, &out->from) &&
           stream_arg_bound(c, c->argv[arg + 1], false, &out->to);
}

static void reply_summary(struct call *c, const struct stream_group *group)
{
    struct id_entry first;
    struct id_entry last;
    uint64_t owners = 0;
    reply_array(c->reply, 4);
    reply_integer(c->reply, (int64_t)group->pending.count);
    if (!id_index_first(&group->pending, (struct stream_id){0, 0}, &first) ||
        !id_index_last(&group->pending, &last)) {
        reply_null(c->reply);
        reply_null(c->reply);
        reply_null_array(c->reply);
        return;
    }
    stream_reply_id(c->reply, first.id);
    stream_reply_id(c->reply, last.id);
    for (uint32_t i = 0; i < group->consumer_count; i++)
        owners += group->consumers[i]->pending.count != 0;
    reply_array(c->reply, owners);
    for (uint32_t i = 0; i < group->consumer_count; i++) {
        const struct stream_consumer *consumer = group->consumers[i];
        if (consumer->pending.count == 0)
            continue;
        reply_array(c->reply, 2);
        reply_bulk(c->reply, stream_consumer_name(consumer));
        reply_bulk_integer(c->reply, (int64_t)consumer->pending.count);
    }
}

static void reply_pending(struct call *c, const struct stream_group *group,
                          const struct pending_args *args)
{
    const struct id_index *index = &group->pending;
    if (args->consumer_arg != 0) {
        const struct stream_consumer *consumer =
            stream_find_consumer(group, c->argv[args->consumer_arg]);
        if (consumer == NULL) {
            reply_array(c->reply, 0);
            return;
        }
        index = &consumer->pending;
    }
    struct id_walk walk;
    struct id_entry entry;
    int64_t found = 0;
    struct reply_deferred d = reply_deferred_begin(c->reply);
    id_walk_init(&walk, index, args->from);
    while (found < args->count && id_walk_next(&walk, &entry) &&
           stream_id_compare(entry.id, args->to) <= 0) {
        const struct stream_pending_part *part = entry.value;
        int64_t idle = c->now_ms - part->delivered_at_ms;
        if (args->idle_min_ms != 0 && idle < args->idle_min_ms)
            continue;
        reply_array(c->reply, 4);
        stream_reply_id(c->reply, entry.id);
        reply_bulk(c->reply,
                   stream_consumer_name(stream_consumer_by_number(group, part->consumer)));
        reply_integer(c->reply, idle < 0 ? 0 : idle);
        reply_integer(c->reply, (int64_t)part->deliveries);
        found++;
    }
    reply_deferred_array(c->reply, &d, (uint64_t)found);
}

static void cmd_xpending(struct call *c)
{
    struct pending_args args;
    bool wrong_type = false;
    if (!parse_pending(c, &args))
        return;
    const struct object *o = call_find_read_type(c, 0, OBJECT_STREAM, &wrong_type);
    if (wrong_type)
        return;
    const struct stream_group *group =
        o == NULL ? NULL : stream_find_group(stream_of(o), c->argv[2]);
    if (group == NULL)
        stream_reply_no_group(c, c->argv[1], c->argv[2], "");
    else if (args.summary)
        reply_summary(c, group);
    else
        reply_pending(c, group, &args);
}

/* ---- XCLAIM -----------------------------------------------------------------------------------
 */

struct claim_args {
    int64_t idle_min_ms;
    int64_t delivered_at_ms; /* -1: now */
    int64_t deliveries;      /* -1: one more */
    bool force;
    bool just_id;
    struct stream_id last_id;
    int id_count; /* from argument 5 on */
};

static bool claim_number(struct call *c, int arg, int64_t *out, const char *error)
{
    if (number_parse_i64(c->argv[arg], out))
        return true;
    reply_error(c->reply, error);
    return false;
}

static bool parse_claim(struct call *c, struct claim_args *out)
{
    struct stream_id id;
    *out = (struct claim_args){.delivered_at_ms = -1, .deliveries = -1};
    if (!claim_number(c, 4, &out->idle_min_ms, "ERR Invalid min-idle-time argument for XCLAIM"))
        return false;
    int arg = 5;
    while (arg < c->argc && stream_parse_id(c->argv[arg], 0, &id))
        arg++;
    out->id_count = arg - 5;
    for (; arg < c->argc; arg++) {
        bool more = arg + 1 < c->argc;
        bool sound = true;
        if (call_arg_is(c, arg, "force")) {
            out->force = true;
        } else if (call_arg_is(c, arg, "justid")) {
            out->just_id = true;
        } else if (call_arg_is(c, arg, "idle") && more) {
            int64_t idle_ms = 0;
            sound = claim_number(c, ++arg, &idle_ms, "ERR Invalid IDLE option argument for XCLAIM");
            out->delivered_at_ms = (int64_t)((uint64_t)c->now_ms - (uint64_t)idle_ms);
        } else if (call_arg_is(c, arg, "time") && more) {
            sound = claim_number(c, ++arg, &out->delivered_at_ms,
                                 "ERR Invalid TIME option argument for XCLAIM");
        } else if (call_arg_is(c, arg, "retrycount") && more) {
            sound = claim_number(c, ++arg, &out->deliveries,
                                 "ERR Invalid RETRYCOUNT option argument for XCLAIM");
        } else if (call_arg_is(c, arg, "lastid") && more) {
            sound = stream_arg_id(c, c->argv[++arg], 0, true, NULL, &out->last_id);
        } else {
            reply_error_format(c->reply, "ERR Unrecognized XCLAIM option '%.*s'",
                               (int)(c->argv[arg].len < 128 ? c->argv[arg].len : 128),
                               (const char *)c->argv[arg].data);
            sound = false;
        }
        if (!sound)
            return false;
    }
    if (out->delivered_at_ms < 0 || out->delivered_at_ms > c->now_ms)
        out->delivered_at_ms = c->now_ms;
    return true;
}

/* The stream and the group of argument 2. */
static bool find_group(struct call *c, struct object **o, struct stream_group **group)
{
    bool wrong_type = false;
    *o = call_find_write_type(c, 0, OBJECT_STREAM, &wrong_type);
    if (wrong_type)
        return false;
    *group = *o == NULL ? NULL : stream_find_group(stream_of(*o), c->argv[2]);
    if (*group != NULL)
        return true;
    stream_reply_no_group(c, c->argv[1], c->argv[2], "");
    return false;
}

/* A claim's state while it goes through its ids. */
struct claim {
    struct call *c;
    struct stream *s;
    struct stream_group *group;
    struct stream_consumer *consumer;
    bool told;          /* an effect has the group's last id in it */
    struct buf claimed; /* ids */
    struct buf missing; /* ids */
};

/* Gives the entry to the consumer, and tells the journal. */
static void claim_entry(struct claim *claim, struct stream_id id, int64_t delivered_at_ms,
                        uint64_t deliveries)
{
    struct call *c = claim->c;
    stream_put_pending(claim->s, claim->group, claim->consumer, id, delivered_at_ms, deliveries);
    stream_touch_consumer(claim->s, claim->consumer, c->now_ms, true);
    stream_effect_claim(c, c->argv[1], claim->group, c->argv[3], id, delivered_at_ms, deliveries);
    claim->told = true;
    buf_append(&claim->claimed, &id, sizeof(id));
    call_changed(c, 1);
}

static void reply_ids(struct reply *r, const struct buf *ids)
{
    reply_array(r, ids->len / sizeof(struct stream_id));
    for (size_t at = 0; at < ids->len; at += sizeof(struct stream_id)) {
        struct stream_id id;
        memcpy(&id, ids->data + at, sizeof(id));
        stream_reply_id(r, id);
    }
}

static void reply_claimed(const struct claim *claim, bool just_id)
{
    const struct buf *ids = &claim->claimed;
    if (just_id) {
        reply_ids(claim->c->reply, ids);
        return;
    }
    reply_array(claim->c->reply, ids->len / sizeof(struct stream_id));
    for (size_t at = 0; at < ids->len; at += sizeof(struct stream_id)) {
        struct stream_id id;
        memcpy(&id, ids->data + at, sizeof(id));
        (void)stream_reply_one(claim->c->reply, claim->s, id);
    }
}

/* What is pending but no longer there is not pending any more. Redis tells its replicas so by a
 * claim of the entry, which they find missing too. */
static void drop_missing(struct claim *claim, struct stream_id id)
{
    struct call *c = claim->c;
    const struct stream_pending_part *part = stream_find_pending(claim->group, id);
    if (part == NULL)
        return;
    struct bytes owner =
        stream_consumer_name(stream_consumer_by_number(claim->group, part->consumer));
    stream_effect_claim(c, c->argv[1], claim->group, owner, id, part->delivered_at_ms,
                        part->deliveries);
    (void)stream_remove_pending(claim->s, claim->group, id);
    buf_append(&claim->missing, &id, sizeof(id));
    claim->told = true;
    call_changed(c, 1);
}

static void claim_one(struct claim *claim, const struct claim_args *args, struct stream_id id)
{
    if (!stream_has(claim->s, id)) {
        drop_missing(claim, id);
        return;
    }
    const struct stream_pending_part *part = stream_find_pending(claim->group, id);
    if (part == NULL && !args->force)
        return;
    if (part != NULL && args->idle_min_ms > 0 &&
        claim->c->now_ms - part->delivered_at_ms < args->idle_min_ms)
        return;
    uint64_t deliveries = part == NULL ? 1 : part->deliveries;
    if (args->deliveries >= 0)
        deliveries = (uint64_t)args->deliveries;
    else if (!args->just_id)
        deliveries++;
    claim_entry(claim, id, args->delivered_at_ms, deliveries);
}

static void cmd_xclaim(struct call *c)
{
    struct claim_args args;
    struct object *o;
    struct claim claim = {.c = c};
    if (!find_group(c, &o, &claim.group) || !parse_claim(c, &args))
        return;
    o = stream_change_begin(c, 0, o);
    claim.s = stream_of(o);
    bool advanced = stream_id_compare(args.last_id, claim.group->part->last_id) > 0;
    if (advanced)
        stream_set_group_id(claim.s, claim.group, args.last_id, claim.group->part->entries_read);
    claim.consumer = stream_use_consumer(c, c->argv[1], claim.s, claim.group, c->argv[3], false);
    for (int i = 0; i < args.id_count; i++) {
        struct stream_id id;
        if (stream_parse_id(c->argv[5 + i], 0, &id))
            claim_one(&claim, &args, id);
    }
    reply_claimed(&claim, args.just_id);
    if (advanced && !claim.told) {
        stream_effect_group_id(c, c->argv[1], claim.group);
        call_changed(c, 1);
    }
    stream_change_end(c, 0, o);
    buf_deinit(&claim.claimed);
    buf_deinit(&claim.missing);
    stream_finish_effects(c);
}

/* ---- XAUTOCLAIM -------------------------------------------------------------------------------
 */

struct autoclaim_args {
    int64_t idle_min_ms;
    struct stream_id from;
    int64_t count;
    bool just_id;
};

/* `c` NULL: without replies. */
static bool parse_autoclaim(struct call *c, const struct bytes *argv, int argc,
                            struct autoclaim_args *out)
{
    const int64_t count_max = INT64_MAX / (int64_t)sizeof(struct stream_id);
    *out = (struct autoclaim_args){.count = AUTOCLAIM_COUNT_DEFAULT};
    if (!number_parse_i64(argv[4], &out->idle_min_ms)) {
        if (c != NULL)
            reply_error(c->reply, "ERR Invalid min-idle-time argument for XAUTOCLAIM");
        return false;
    }
    if (!stream_arg_bound(c, argv[5], true, &out->from))
        return false;
    for (int arg = 6; arg < argc; arg++) {
        if (bytes_equal_nocase(argv[arg], "count") && arg + 1 < argc) {
            if (!number_parse_i64(argv[++arg], &out->count) || out->count < 1 ||
                out->count > count_max) {
                if (c != NULL)
                    reply_error(c->reply, "ERR COUNT must be > 0");
                return false;
            }
        } else if (bytes_equal_nocase(argv[arg], "justid")) {
            out->just_id = true;
        } else {
            if (c != NULL)
                reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

static uint64_t attempts_of(const struct autoclaim_args *args)
{
    uint64_t attempts;
    return __builtin_mul_overflow((uint64_t)args->count, AUTOCLAIM_ATTEMPTS, &attempts) ? UINT64_MAX
                                                                                        : attempts;
}

static void cmd_xautoclaim(struct call *c)
{
    struct autoclaim_args args;
    struct object *o;
    struct claim claim = {.c = c};
    if (!parse_autoclaim(c, c->argv, c->argc, &args) || !find_group(c, &o, &claim.group))
        return;
    o = stream_change_begin(c, 0, o);
    claim.s = stream_of(o);
    claim.consumer = stream_use_consumer(c, c->argv[1], claim.s, claim.group, c->argv[3], false);
    struct stream_id at = args.from;
    struct id_entry entry = {0};
    int64_t left = args.count;
    uint64_t attempts = attempts_of(&args);
    bool more = id_index_first(&claim.group->pending, at, &entry);
    for (; more && attempts != 0 && left != 0; attempts--) {
        const struct stream_pending_part *part = entry.value;
        if (!stream_has(claim.s, entry.id)) {
            drop_missing(&claim, entry.id);
            left--;
        } else if (args.idle_min_ms <= 0 || c->now_ms - part->delivered_at_ms >= args.idle_min_ms) {
            claim_entry(&claim, entry.id, c->now_ms, part->deliveries + (args.just_id ? 0 : 1));
            left--;
        }
        at = entry.id;
        more = stream_id_increment(&at) && id_index_first(&claim.group->pending, at, &entry);
    }
    reply_array(c->reply, 3);
    stream_reply_id(c->reply, more ? entry.id : (struct stream_id){0, 0});
    reply_claimed(&claim, args.just_id);
    reply_ids(c->reply, &claim.missing);
    stream_change_end(c, 0, o);
    buf_deinit(&claim.claimed);
    buf_deinit(&claim.missing);
    stream_finish_effects(c);
}

/* ---- What they need ---------------------------------------------------------------------------
 */

static enum ensured ensure_groups(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argv, (void)argc, (void)key;
    return stream_ensure_groups(e);
}

static enum ensured ensure_xclaim(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    struct stream_id *ids = mem_alloc((size_t)argc * sizeof(*ids));
    size_t count = 0;
    for (int arg = 5; arg < argc && stream_parse_id(argv[arg], 0, &ids[count]); arg++)
        count++;
    enum ensured got = stream_ensure_groups(e);
    if (got == ENSURED)
        got = stream_ensure_ids(e, ids, count);
    mem_free(ids);
    return got;
}

static enum ensured ensure_xautoclaim(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    struct autoclaim_args args;
    enum ensured got = stream_ensure_groups(e);
    if (got != ENSURED || e->o->type != OBJECT_STREAM || !parse_autoclaim(NULL, argv, argc, &args))
        return got;
    const struct stream_group *group = stream_find_group(stream_of(e->o), argv[2]);
    if (group == NULL)
        return ENSURED;
    struct buf ids = {0};
    struct id_walk walk;
    struct id_entry entry;
    uint64_t attempts = attempts_of(&args);
    id_walk_init(&walk, &group->pending, args.from);
    size_t count = 0;
    for (; attempts != 0 && id_walk_next(&walk, &entry); attempts--, count++)
        buf_append(&ids, &entry.id, sizeof(entry.id));
    got = stream_ensure_ids(e, (const struct stream_id *)(const void *)ids.data, count);
    buf_deinit(&ids);
    return got;
}

/* ---- The rows. */

const struct command cmd_stream_group_table[] = {
    {.name = "xack",
     .handler = cmd_xack,
     .arity = -4,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_groups,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(1) for each message ID processed.",
     .summary = "Returns the number of messages that were successfully acknowledged by the "
                "consumer group member of a stream.",
     .args = ARGS(ARG("key", KEY), ARG("group", STRING), ARG("ID", STRING, .flags = ARG_MULTIPLE))},
    {.name = "xautoclaim",
     .handler = cmd_xautoclaim,
     .arity = -6,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(1, KEY_RW | KEY_DELETE)},
     .ensure = ensure_xautoclaim,
     .group = "stream",
     .since = "6.2.0",
     .complexity = "O(1) if COUNT is small.",
     .summary = "Changes, or acquires, ownership of messages in a consumer group, as if the "
                "messages were delivered to as consumer group member.",
     .tips = TEXTS("nondeterministic_output"),
     .history = TEXTS("7.0.0", "Added an element to the reply array, containing deleted entries "
                               "the command cleared from the PEL"),
     .args = ARGS(ARG("key", KEY), ARG("group", STRING), ARG("consumer", STRING),
                  ARG("min-idle-time", STRING), ARG("start", STRING),
                  ARG("count", INTEGER, .token = "COUNT", .flags = ARG_OPTIONAL),
                  TOKEN("justid", "JUSTID", .flags = ARG_OPTIONAL))},
    {.name = "xclaim",
     .handler = cmd_xclaim,
     .arity = -6,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_xclaim,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(log N) with N being the number of messages in the PEL of the consumer group.",
     .summary = "Changes, or acquires, ownership of a message in a consumer group, as if the "
                "message was delivered a consumer group member.",
     .tips = TEXTS("nondeterministic_output"),
     .args = ARGS(ARG("key", KEY), ARG("group", STRING), ARG("consumer", STRING),
                  ARG("min-idle-time", STRING), ARG("ID", STRING, .flags = ARG_MULTIPLE),
                  ARG("ms", INTEGER, .token = "IDLE", .flags = ARG_OPTIONAL),
                  ARG("unix-time-milliseconds", UNIX_TIME, .token = "TIME", .flags = ARG_OPTIONAL),
                  ARG("count", INTEGER, .token = "RETRYCOUNT", .flags = ARG_OPTIONAL),
                  TOKEN("force", "FORCE", .flags = ARG_OPTIONAL),
                  TOKEN("justid", "JUSTID", .flags = ARG_OPTIONAL),
                  ARG("lastid", STRING, .token = "LASTID", .flags = ARG_OPTIONAL))},
    {.name = "xgroup",
     .arity = -2,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for consumer groups commands."},
    {.name = "xgroup|create",
     .handler = cmd_xgroup_create,
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(2, KEY_RW | KEY_INSERT)},
     .ensure = ensure_groups,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Creates a consumer group.",
     .history = TEXTS("7.0.0", "Added the `entries_read` named argument."),
     .args =
         ARGS(ARG("key", KEY), ARG("group", STRING),
              ARG("id-selector", ONEOF, .children = ARGS(ARG("id", STRING), TOKEN("new-id", "$"))),
              TOKEN("mkstream", "MKSTREAM", .flags = ARG_OPTIONAL),
              ARG("entries-read", INTEGER, .token = "ENTRIESREAD", .flags = ARG_OPTIONAL))},
    {.name = "xgroup|createconsumer",
     .handler = cmd_xgroup_createconsumer,
     .arity = 5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(2, KEY_RW | KEY_INSERT)},
     .ensure = ensure_groups,
     .group = "stream",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Creates a consumer in a consumer group.",
     .args = ARGS(ARG("key", KEY), ARG("group", STRING), ARG("consumer", STRING))},
    {.name = "xgroup|delconsumer",
     .handler = cmd_xgroup_delconsumer,
     .arity = 5,
     .flags = CMD_WRITE,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(2, KEY_RW | KEY_DELETE)},
     .ensure = ensure_groups,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Deletes a consumer from a consumer group.",
     .args = ARGS(ARG("key", KEY), ARG("group", STRING), ARG("consumer", STRING))},
    {.name = "xgroup|destroy",
     .handler = cmd_xgroup_destroy,
     .arity = 4,
     .flags = CMD_WRITE,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(2, KEY_RW | KEY_DELETE)},
     .ensure = ensure_groups,
     .group = "stream",
     .since = "5.0.0",
     .complexity =
         "O(N) where N is the number of entries in the group's pending entries list (PEL).",
     .summary = "Destroys a consumer group.",
     .args = ARGS(ARG("key", KEY), ARG("group", STRING))},
    {.name = "xgroup|help",
     .handler = cmd_xgroup_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_STREAM,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "xgroup|setid",
     .handler = cmd_xgroup_setid,
     .arity = -5,
     .flags = CMD_WRITE,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(2, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_groups,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Sets the last-delivered ID of a consumer group.",
     .history = TEXTS("7.0.0", "Added the optional `entries_read` argument."),
     .args =
         ARGS(ARG("key", KEY), ARG("group", STRING),
              ARG("id-selector", ONEOF, .children = ARGS(ARG("id", STRING), TOKEN("new-id", "$"))),
              ARG("entriesread", INTEGER, .token = "ENTRIESREAD", .flags = ARG_OPTIONAL,
                  .display = "entries-read"))},
    {.name = "xpending",
     .handler = cmd_xpending,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_groups,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(N) with N being the number of elements returned, so asking for a small fixed "
                   "number of entries per call is O(1). O(M), where M is the total number of "
                   "entries scanned when used with the IDLE filter. When the command returns just "
                   "the summary and the list of consumers is small, it runs in O(1) time; "
                   "otherwise, an additional O(N) time for iterating every consumer.",
     .summary =
         "Returns the information and entries from a stream consumer group's pending entries list.",
     .tips = TEXTS("nondeterministic_output"),
     .history = TEXTS("6.2.0", "Added the `IDLE` option and exclusive range intervals."),
     .args =
         ARGS(ARG("key", KEY), ARG("group", STRING),
              ARG("filters", BLOCK, .flags = ARG_OPTIONAL,
                  .children = ARGS(ARG("min-idle-time", INTEGER, .token = "IDLE",
                                       .flags = ARG_OPTIONAL, .since = "6.2.0"),
                                   ARG("start", STRING), ARG("end", STRING), ARG("count", INTEGER),
                                   ARG("consumer", STRING, .flags = ARG_OPTIONAL))))},
    {.name = NULL},
};
