/* XINFO. Source: t_stream.c of Redis 7.2. */
#include "codec/number.h"
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/stream_args.h"
#include "server/commands/tables.h"

#define FULL_COUNT_DEFAULT 10

static void name_integer(struct reply *r, const char *name, int64_t value)
{
    reply_bulk_text(r, name);
    reply_integer(r, value);
}

static void name_id(struct reply *r, const char *name, struct stream_id id)
{
    reply_bulk_text(r, name);
    stream_reply_id(r, id);
}

static void name_bytes(struct reply *r, const char *name, struct bytes value)
{
    reply_bulk_text(r, name);
    reply_bulk(r, value);
}

static void name_entries_read(struct reply *r, const struct stream_group *group)
{
    reply_bulk_text(r, "entries-read");
    if (group->part->entries_read == STREAM_ENTRIES_READ_UNKNOWN)
        reply_null(r);
    else
        reply_integer(r, group->part->entries_read);
}

/* How many entries the group has not been given yet, where that is known. */
static void name_lag(struct reply *r, const struct stream *s, const struct stream_group *group)
{
    int64_t read = 0;
    if (s->entries_added != 0) {
        read = group->part->entries_read;
        if (read == STREAM_ENTRIES_READ_UNKNOWN || stream_has_gaps(s, group->part->last_id))
            read = stream_entries_up_to(s, group->part->last_id);
    }
    reply_bulk_text(r, "lag");
    if (read == STREAM_ENTRIES_READ_UNKNOWN)
        reply_null(r);
    else
        reply_integer(r, (int64_t)s->entries_added - read);
}

static const struct stream *find_stream(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_STREAM, &wrong_type);
    if (o != NULL)
        return stream_of(o);
    if (!wrong_type)
        reply_error_id(c->reply, ERROR_NO_KEY);
    return NULL;
}

/* ---- XINFO STREAM -----------------------------------------------------------------------------
 */

static void reply_edge(struct call *c, const struct stream *s, const char *name, bool last)
{
    struct stream_walk walk;
    struct stream_entry entry;
    reply_bulk_text(c->reply, name);
    stream_walk_init(&walk, s, (struct stream_id){0, 0}, STREAM_ID_MAX, last);
    if (stream_walk_next(&walk, &entry))
        stream_reply_entry(c->reply, &entry);
    else
        reply_null(c->reply);
}

static void reply_entries(struct call *c, const struct stream *s, int64_t count)
{
    struct stream_walk walk;
    struct stream_entry entry;
    uint64_t found = 0;
    reply_bulk_text(c->reply, "entries");
    struct reply_deferred d = reply_deferred_begin(c->reply);
    stream_walk_init(&walk, s, (struct stream_id){0, 0}, STREAM_ID_MAX, false);
    while ((count == 0 || found < (uint64_t)count) && stream_walk_next(&walk, &entry)) {
        stream_reply_entry(c->reply, &entry);
        found++;
    }
    reply_deferred_array(c->reply, &d, found);
}

/* Pending entries of a group, or of one consumer (without its name). */
static void reply_pending(struct call *c, const struct stream_group *group,
                          const struct id_index *index, int64_t count)
{
    struct id_walk walk;
    struct id_entry entry;
    bool of_group = index == &group->pending;
    uint64_t total = count == 0 || index->count < (uint64_t)count ? index->count : (uint64_t)count;
    reply_bulk_text(c->reply, "pending");
    reply_array(c->reply, total);
    id_walk_init(&walk, index, (struct stream_id){0, 0});
    for (uint64_t i = 0; i < total && id_walk_next(&walk, &entry); i++) {
        const struct stream_pending_part *part = entry.value;
        reply_array(c->reply, of_group ? 4 : 3);
        stream_reply_id(c->reply, entry.id);
        if (of_group)
            reply_bulk(c->reply,
                       stream_consumer_name(stream_consumer_by_number(group, part->consumer)));
        reply_integer(c->reply, part->delivered_at_ms);
        reply_integer(c->reply, (int64_t)part->deliveries);
    }
}

static void reply_full_group(struct call *c, const struct stream *s,
                             const struct stream_group *group, int64_t count)
{
    struct reply *r = c->reply;
    reply_map(r, 7);
    name_bytes(r, "name", stream_group_name(group));
    name_id(r, "last-delivered-id", group->part->last_id);
    name_entries_read(r, group);
    name_lag(r, s, group);
    name_integer(r, "pel-count", (int64_t)group->pending.count);
    reply_pending(c, group, &group->pending, count);
    reply_bulk_text(r, "consumers");
    reply_array(r, group->consumer_count);
    for (uint32_t i = 0; i < group->consumer_count; i++) {
        const struct stream_consumer *consumer = group->consumers[i];
        reply_map(r, 5);
        name_bytes(r, "name", stream_consumer_name(consumer));
        name_integer(r, "seen-time", consumer->part->seen_at_ms);
        name_integer(r, "active-time", consumer->part->active_at_ms);
        name_integer(r, "pel-count", (int64_t)consumer->pending.count);
        reply_pending(c, group, &consumer->pending, count);
    }
}

/* `*count` -1: not FULL. `c` NULL: without replies. */
static bool parse_full(struct call *c, const struct bytes *argv, int argc, int64_t *count)
{
    *count = -1;
    if (argc == 3)
        return true;
    bool sound = (argc == 4 || argc == 6) && bytes_equal_nocase(argv[3], "full") &&
                 (argc == 4 || bytes_equal_nocase(argv[4], "count"));
    if (!sound) {
        if (c != NULL)
            reply_error_subcommand_syntax(c->reply, argv[1], "XINFO");
        return false;
    }
    *count = FULL_COUNT_DEFAULT;
    if (argc == 6 && !number_parse_i64(argv[5], count)) {
        if (c != NULL)
            reply_error_id(c->reply, ERROR_NOT_INTEGER);
        return false;
    }
    if (*count < 0)
        *count = FULL_COUNT_DEFAULT;
    return true;
}

static void cmd_xinfo_stream(struct call *c)
{
    struct reply *r = c->reply;
    const struct stream *s = find_stream(c);
    int64_t count;
    if (s == NULL || !parse_full(c, c->argv, c->argc, &count))
        return;
    bool full = count >= 0;
    reply_map(r, full ? 9 : 10);
    name_integer(r, "length", (int64_t)s->length);
    name_integer(r, "radix-tree-keys", (int64_t)s->node_count);
    name_integer(r, "radix-tree-nodes", (int64_t)s->node_count + 1);
    name_id(r, "last-generated-id", s->last_id);
    name_id(r, "max-deleted-entry-id", s->max_deleted_id);
    name_integer(r, "entries-added", (int64_t)s->entries_added);
    name_id(r, "recorded-first-entry-id", s->first_id);
    if (!full) {
        name_integer(r, "groups", s->group_count);
        reply_edge(c, s, "first-entry", false);
        reply_edge(c, s, "last-entry", true);
        return;
    }
    reply_entries(c, s, count);
    reply_bulk_text(r, "groups");
    reply_array(r, s->group_count);
    for (uint32_t i = 0; i < s->group_count; i++)
        reply_full_group(c, s, s->groups[i], count);
}

/* ---- XINFO GROUPS, CONSUMERS, HELP ------------------------------------------------------------
 */

static void cmd_xinfo_groups(struct call *c)
{
    struct reply *r = c->reply;
    const struct stream *s = find_stream(c);
    if (s == NULL)
        return;
    reply_array(r, s->group_count);
    for (uint32_t i = 0; i < s->group_count; i++) {
        const struct stream_group *group = s->groups[i];
        reply_map(r, 6);
        name_bytes(r, "name", stream_group_name(group));
        name_integer(r, "consumers", group->consumer_count);
        name_integer(r, "pending", (int64_t)group->pending.count);
        name_id(r, "last-delivered-id", group->part->last_id);
        name_entries_read(r, group);
        name_lag(r, s, group);
    }
}

static void cmd_xinfo_consumers(struct call *c)
{
    struct reply *r = c->reply;
    const struct stream *s = find_stream(c);
    if (s == NULL)
        return;
    const struct stream_group *group = stream_find_group(s, c->argv[3]);
    if (group == NULL) {
        reply_error_format(
            r, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
            (int)(c->argv[3].len < 512 ? c->argv[3].len : 512), (const char *)c->argv[3].data,
            (int)(c->argv[2].len < 512 ? c->argv[2].len : 512), (const char *)c->argv[2].data);
        return;
    }
    reply_array(r, group->consumer_count);
    for (uint32_t i = 0; i < group->consumer_count; i++) {
        const struct stream_consumer *consumer = group->consumers[i];
        int64_t idle = c->now_ms - consumer->part->seen_at_ms;
        int64_t active_at_ms = consumer->part->active_at_ms;
        reply_map(r, 4);
        name_bytes(r, "name", stream_consumer_name(consumer));
        name_integer(r, "pending", (int64_t)consumer->pending.count);
        name_integer(r, "idle", idle < 0 ? 0 : idle);
        name_integer(r, "inactive", active_at_ms == -1 ? -1 : c->now_ms - active_at_ms);
    }
}

static void cmd_xinfo_help(struct call *c)
{
    static const char *const lines[] = {"CONSUMERS <key> <groupname>",
                                        "    Show consumers of <groupname>.",
                                        "GROUPS <key>",
                                        "    Show the stream consumer groups.",
                                        "STREAM <key> [FULL [COUNT <count>]",
                                        "    Show information about the stream.",
                                        NULL};
    reply_help(c->reply, "XINFO", lines);
}

/* ---- What they need ---------------------------------------------------------------------------
 */

static enum ensured ensure_groups(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argv, (void)argc, (void)key;
    return stream_ensure_groups(e);
}

static enum ensured ensure_info(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    int64_t count;
    const struct stream_id zero = {0, 0};
    if (!parse_full(NULL, argv, argc, &count))
        return ENSURED;
    enum ensured got = stream_ensure_groups(e);
    if (got == ENSURED)
        got = stream_ensure_range(e, zero, STREAM_ID_MAX, count < 0 ? 1 : (uint64_t)count, false);
    if (got == ENSURED && count < 0)
        got = stream_ensure_tail(e);
    return got;
}

/* ---- The rows. */

const struct command cmd_stream_info_table[] = {
    {.name = "xinfo",
     .arity = -2,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for stream introspection commands."},
    {.name = "xinfo|consumers",
     .handler = cmd_xinfo_consumers,
     .arity = 4,
     .flags = CMD_READONLY,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(2, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_groups,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Returns a list of the consumers in a consumer group.",
     .tips = TEXTS("nondeterministic_output"),
     .history = TEXTS("7.2.0", "Added the `inactive` field."),
     .args = ARGS(ARG("key", KEY), ARG("group", STRING))},
    {.name = "xinfo|groups",
     .handler = cmd_xinfo_groups,
     .arity = 3,
     .flags = CMD_READONLY,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(2, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_groups,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Returns a list of the consumer groups of a stream.",
     .history = TEXTS("7.0.0", "Added the `entries-read` and `lag` fields"),
     .args = ARGS(ARG("key", KEY))},
    {.name = "xinfo|help",
     .handler = cmd_xinfo_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_STREAM,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "xinfo|stream",
     .handler = cmd_xinfo_stream,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(2, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_info,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Returns information about a stream.",
     .history =
         TEXTS("6.0.0", "Added the `FULL` modifier.", "7.0.0",
               "Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, "
               "`entries-read` and `lag` fields",
               "7.2.0", "Added the `active-time` field, and changed the meaning of `seen-time`."),
     .args = ARGS(ARG("key", KEY), ARG("full-block", BLOCK, .flags = ARG_OPTIONAL,
                                       .children = ARGS(TOKEN("full", "FULL"),
                                                        ARG("count", INTEGER, .token = "COUNT",
                                                            .flags = ARG_OPTIONAL))))},
    {.name = NULL},
};
