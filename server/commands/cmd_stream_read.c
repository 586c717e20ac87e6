/* XREAD and XREADGROUP. Source: t_stream.c of Redis 7.2. */
#include "codec/number.h"
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/stream_args.h"
#include "server/commands/tables.h"

#include "codec/mem.h"

#include <stdio.h>

struct read_args {
    bool is_group;
    bool no_ack;
    bool blocks;
    int64_t timeout_ms;
    int64_t count; /* 0: all */
    int group_arg; /* its name; the consumer's behind it. 0: none */
    int first_key; /* argument */
    int stream_count;
};

/* `c` NULL: without replies. */
static bool fail(struct call *c, const char *error)
{
    if (c != NULL)
        reply_error(c->reply, error);
    return false;
}

static bool parse_streams(struct call *c, int argc, int arg, struct read_args *out)
{
    out->first_key = arg + 1;
    out->stream_count = (argc - out->first_key) / 2;
    if ((argc - out->first_key) % 2 == 0)
        return true;
    if (c != NULL)
        reply_error_format(c->reply,
                           "ERR Unbalanced '%s' list of streams: for each stream key an ID or '%c' "
                           "must be specified.",
                           out->is_group ? "xreadgroup" : "xread", out->is_group ? '>' : '$');
    return false;
}

static bool parse_block(struct call *c, int arg, struct read_args *out)
{
    out->blocks = true;
    if (c == NULL)
        return true;
    if ((c->session->flags & SESSION_SCRIPT) != 0) {
        reply_error_format(c->reply, "ERR %s command is not allowed with BLOCK option from scripts",
                           out->is_group ? "xreadgroup" : "xread");
        return false;
    }
    return call_arg_timeout_ms(c, arg, &out->timeout_ms);
}

static bool parse(struct call *c, const struct bytes *argv, int argc, bool is_group,
                  struct read_args *out)
{
    *out = (struct read_args){.is_group = is_group};
    for (int arg = 1; arg < argc && out->first_key == 0; arg++) {
        int more = argc - arg - 1;
        if (bytes_equal_nocase(argv[arg], "block") && more > 0) {
            if (!parse_block(c, ++arg, out))
                return false;
        } else if (bytes_equal_nocase(argv[arg], "count") && more > 0) {
            if (!number_parse_i64(argv[++arg], &out->count)) {
                if (c != NULL)
                    reply_error_id(c->reply, ERROR_NOT_INTEGER);
                return false;
            }
            if (out->count < 0)
                out->count = 0;
        } else if (bytes_equal_nocase(argv[arg], "streams") && more > 0) {
            if (!parse_streams(c, argc, arg, out))
                return false;
        } else if (bytes_equal_nocase(argv[arg], "group") && more >= 2) {
            if (!is_group)
                return fail(c, "ERR The GROUP option is only supported by XREADGROUP. You called "
                               "XREAD instead.");
            out->group_arg = arg + 1;
            arg += 2;
        } else if (bytes_equal_nocase(argv[arg], "noack")) {
            if (!is_group)
                return fail(c, "ERR The NOACK option is only supported by XREADGROUP. You called "
                               "XREAD instead.");
            out->no_ack = true;
        } else {
            out->first_key = 0;
            break;
        }
    }
    if (out->first_key == 0) {
        if (c != NULL)
            reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (is_group && out->group_arg == 0)
        return fail(c, "ERR Missing GROUP option for XREADGROUP");
    return true;
}

/* ---- Which entries ----------------------------------------------------------------------------
 */

/* One stream of the request. */
struct source {
    int key;                    /* of the declared keys */
    struct object *o;           /* NULL: none */
    struct stream_group *group; /* XREADGROUP */
    struct stream_id after;     /* entries behind it are wanted */
    bool is_new;                /* ">" */
};

static struct bytes id_arg(const struct bytes *argv, const struct read_args *args, int index)
{
    return argv[args->first_key + args->stream_count + index];
}

static bool find_source(struct call *c, const struct read_args *args, int index, struct source *out)
{
    bool wrong_type = false;
    struct bytes id = id_arg(c->argv, args, index);
    *out = (struct source){.key = index};
    out->o = args->is_group ? call_find_write_type(c, index, OBJECT_STREAM, &wrong_type)
                            : call_find_read_type(c, index, OBJECT_STREAM, &wrong_type);
    if (wrong_type)
        return false;
    if (args->is_group) {
        struct bytes name = c->argv[args->group_arg];
        out->group = out->o == NULL ? NULL : stream_find_group(stream_of(out->o), name);
        if (out->group == NULL) {
            stream_reply_no_group(c, c->keys[index].key, name, " in XREADGROUP with GROUP option");
            return false;
        }
    }
    if (bytes_equal_nocase(id, "$")) {
        if (args->is_group)
            return fail(c, "ERR The $ ID is meaningless in the context of XREADGROUP: you want to "
                           "read the history of this consumer by specifying a proper ID, or use "
                           "the > ID to get new messages. The $ ID would just return an empty "
                           "result set.");
        if (out->o != NULL)
            out->after = stream_of(out->o)->last_id;
        return true;
    }
    if (bytes_equal_nocase(id, ">")) {
        if (!args->is_group)
            return fail(c, "ERR The > ID can be specified only when calling XREADGROUP using the "
                           "GROUP <group> <consumer> option.");
        out->is_new = true;
        out->after = out->group->part->last_id;
        return true;
    }
    return stream_arg_id(c, id, 0, true, NULL, &out->after);
}

/* Whether the stream has an entry behind `after`: what deletions have left counts. */
static bool has_entries(const struct stream *s, struct stream_id after)
{
    struct stream_walk walk;
    struct stream_entry entry;
    if (s->length == 0 || stream_id_compare(s->last_id, after) <= 0 || !stream_id_increment(&after))
        return false;
    stream_walk_init(&walk, s, after, STREAM_ID_MAX, false);
    return stream_walk_next(&walk, &entry);
}

static void begin_stream(struct call *c, const struct source *source)
{
    if (c->reply->resp == 2)
        reply_array(c->reply, 2);
    reply_bulk(c->reply, c->keys[source->key].key);
}

static void reply_behind(struct call *c, const struct source *source, int64_t count)
{
    struct stream_walk walk;
    struct stream_entry entry;
    struct stream_id from = source->after;
    int64_t found = 0;
    begin_stream(c, source);
    struct reply_deferred d = reply_deferred_begin(c->reply);
    (void)stream_id_increment(&from);
    stream_walk_init(&walk, stream_of(source->o), from, STREAM_ID_MAX, false);
    while ((count == 0 || found < count) && stream_walk_next(&walk, &entry)) {
        stream_reply_entry(c->reply, &entry);
        found++;
    }
    reply_deferred_array(c->reply, &d, (uint64_t)found);
}

/* ---- Groups -----------------------------------------------------------------------------------
 */

/* The group's position after an entry was delivered. */
static void advance(struct stream *s, struct stream_group *group, struct stream_id id)
{
    int64_t read = group->part->entries_read;
    if (stream_id_compare(id, group->part->last_id) <= 0)
        return;
    if (read != STREAM_ENTRIES_READ_UNKNOWN && !stream_has_gaps(s, id))
        read++;
    else if (s->entries_added != 0)
        read = stream_entries_up_to(s, id);
    stream_set_group_id(s, group, id, read);
}

/* New entries: each becomes pending for the consumer. The ids are collected first, since the walk
 * must not see changes. */
static void deliver_new(struct call *c, const struct read_args *args, const struct source *source,
                        struct stream_consumer *consumer)
{
    struct stream *s = stream_of(source->o);
    struct stream_walk walk;
    struct stream_entry entry;
    struct stream_id from = source->after;
    struct bytes key = c->keys[source->key].key;
    struct bytes name = stream_consumer_name(consumer);
    int64_t found = 0;
    bool advanced = false;
    begin_stream(c, source);
    struct reply_deferred d = reply_deferred_begin(c->reply);
    (void)stream_id_increment(&from);
    stream_walk_init(&walk, s, from, STREAM_ID_MAX, false);
    while ((args->count == 0 || found < args->count) && stream_walk_next(&walk, &entry)) {
        struct stream_id id = entry.id;
        stream_reply_entry(c->reply, &entry);
        advance(s, source->group, id);
        advanced = true;
        found++;
        if (args->no_ack)
            continue;
        stream_put_pending(s, source->group, consumer, id, c->now_ms, 1);
        stream_touch_consumer(s, consumer, c->now_ms, true);
        stream_effect_claim(c, key, source->group, name, id, c->now_ms, 1);
    }
    if (args->no_ack && advanced)
        stream_effect_group_id(c, key, source->group);
    reply_deferred_array(c->reply, &d, (uint64_t)found);
}

/* What is pending for the consumer already. */
static void deliver_history(struct call *c, const struct read_args *args,
                            const struct source *source, struct stream_consumer *consumer)
{
    struct stream *s = stream_of(source->o);
    struct bytes key = c->keys[source->key].key;
    struct bytes name = stream_consumer_name(consumer);
    struct stream_id from = source->after;
    struct id_entry pending;
    int64_t found = 0;
    begin_stream(c, source);
    struct reply_deferred d = reply_deferred_begin(c->reply);
    bool more = stream_id_increment(&from);
    while (more && (args->count == 0 || found < args->count) &&
           id_index_first(&consumer->pending, from, &pending)) {
        if (stream_reply_one(c->reply, s, pending.id)) {
            const struct stream_pending_part *part = pending.value;
            uint64_t deliveries = part->deliveries + 1;
            stream_put_pending(s, source->group, consumer, pending.id, c->now_ms, deliveries);
            stream_effect_claim(c, key, source->group, name, pending.id, c->now_ms, deliveries);
        } else { /* it was deleted meanwhile */
            reply_array(c->reply, 2);
            stream_reply_id(c->reply, pending.id);
            reply_null_array(c->reply);
        }
        from = pending.id;
        more = stream_id_increment(&from);
        found++;
    }
    reply_deferred_array(c->reply, &d, (uint64_t)found);
}

/* ---- Both -------------------------------------------------------------------------------------
 */

/* Waits for an entry. "$" becomes the id that it stands for, or it would never come. */
static void block(struct call *c, const struct read_args *args, const struct source *sources)
{
    struct call_block how = {.type = OBJECT_STREAM,
                             .on_delete = args->is_group,
                             .key_count = args->stream_count,
                             .timeout_ms = args->timeout_ms,
                             .argc = c->argc};
    struct bytes *argv = mem_alloc((size_t)c->argc * sizeof(*argv));
    char(*texts)[STREAM_ID_CHARS_MAX] = mem_alloc((size_t)args->stream_count * sizeof(*texts));
    memcpy(argv, c->argv, (size_t)c->argc * sizeof(*argv));
    for (int i = 0; i < args->stream_count; i++)
        if (bytes_equal_nocase(id_arg(c->argv, args, i), "$"))
            argv[args->first_key + args->stream_count + i] =
                stream_id_text(sources[i].after, texts[i]);
    how.argv = argv;
    call_block(c, &how);
    mem_free(texts);
    mem_free(argv);
}

static bool is_served(const struct read_args *args, const struct source *source)
{
    if (source->o == NULL)
        return false;
    return (args->is_group && !source->is_new) || has_entries(stream_of(source->o), source->after);
}

static void serve_group(struct call *c, const struct read_args *args, struct source *source,
                        bool served)
{
    source->o = stream_change_begin(c, source->key, source->o);
    struct stream *s = stream_of(source->o);
    bool claims = served && source->is_new && !args->no_ack;
    struct stream_consumer *consumer = stream_use_consumer(
        c, c->keys[source->key].key, s, source->group, c->argv[args->group_arg + 1], claims);
    if (served && source->is_new)
        deliver_new(c, args, source, consumer);
    else if (served)
        deliver_history(c, args, source, consumer);
    stream_change_end(c, source->key, source->o);
    if (served)
        call_changed(c, 1);
}

/* True: at least one stream had something, and all was replied. */
static bool serve(struct call *c, const struct read_args *args, struct source *sources)
{
    uint64_t served_count = 0;
    struct reply_deferred d = {0};
    for (int i = 0; i < args->stream_count; i++) {
        bool served = is_served(args, &sources[i]);
        if (served && served_count++ == 0)
            d = reply_deferred_begin(c->reply);
        if (args->is_group)
            serve_group(c, args, &sources[i], served);
        else if (served)
            reply_behind(c, &sources[i], args->count);
    }
    if (served_count == 0)
        return false;
    if (c->reply->resp == 2)
        reply_deferred_array(c->reply, &d, served_count);
    else
        reply_deferred_map(c->reply, &d, served_count);
    return true;
}

static void read_streams(struct call *c, bool is_group)
{
    struct read_args args;
    if (!parse(c, c->argv, c->argc, is_group, &args))
        return;
    struct source *sources = mem_calloc((size_t)args.stream_count, sizeof(*sources));
    bool sound = true;
    for (int i = 0; i < args.stream_count && sound; i++)
        sound = find_source(c, &args, i, &sources[i]);
    if (sound && !serve(c, &args, sources)) {
        if (args.blocks && call_may_block(c))
            block(c, &args, sources);
        else
            reply_null_array(c->reply);
    }
    if (is_group)
        stream_finish_effects(c);
    mem_free(sources);
}

static void cmd_xread(struct call *c)
{
    read_streams(c, false);
}

static void cmd_xreadgroup(struct call *c)
{
    read_streams(c, true);
}

/* ---- What they need ---------------------------------------------------------------------------
 */

/* The nodes of what is pending for a consumer, from an id on. */
static enum ensured ensure_history(struct ensure *e, const struct stream_consumer *consumer,
                                   struct stream_id after, int64_t count)
{
    struct buf ids = {0};
    struct id_walk walk;
    struct id_entry entry;
    uint64_t found = 0;
    if (!stream_id_increment(&after))
        return ENSURED;
    id_walk_init(&walk, &consumer->pending, after);
    while ((count == 0 || found < (uint64_t)count) && id_walk_next(&walk, &entry)) {
        buf_append(&ids, &entry.id, sizeof(entry.id));
        found++;
    }
    enum ensured got =
        stream_ensure_ids(e, (const struct stream_id *)(const void *)ids.data, found);
    buf_deinit(&ids);
    return got;
}

static enum ensured ensure_read(struct ensure *e, const struct bytes *argv, int argc, int key,
                                bool is_group)
{
    struct read_args args;
    struct stream_id after;
    if (!parse(NULL, argv, argc, is_group, &args) || key >= args.stream_count ||
        e->o->type != OBJECT_STREAM)
        return ENSURED;
    struct bytes id = id_arg(argv, &args, key);
    const struct stream *s = stream_of(e->o);
    if (is_group) {
        enum ensured got = stream_ensure_groups(e);
        if (got == ENSURED)
            got = stream_ensure_tail(e); /* what changes may change the directory */
        const struct stream_group *group =
            got == ENSURED ? stream_find_group(s, argv[args.group_arg]) : NULL;
        if (group == NULL)
            return got;
        const struct stream_consumer *consumer =
            stream_find_consumer(group, argv[args.group_arg + 1]);
        if (!bytes_equal_nocase(id, ">"))
            return consumer != NULL && stream_parse_id(id, 0, &after)
                       ? ensure_history(e, consumer, after, args.count)
                       : ENSURED;
        after = group->part->last_id;
    } else if (!stream_parse_id(id, 0, &after)) {
        return ENSURED;
    }
    if (stream_id_compare(after, s->last_id) >= 0 || !stream_id_increment(&after))
        return ENSURED;
    return stream_ensure_range(e, after, STREAM_ID_MAX, (uint64_t)args.count, false);
}

static enum ensured ensure_xread(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    return ensure_read(e, argv, argc, key, false);
}

static enum ensured ensure_xreadgroup(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    return ensure_read(e, argv, argc, key, true);
}

/* ---- The rows. */

const struct command cmd_stream_read_table[] = {
    {.name = "xread",
     .handler = cmd_xread,
     .arity = -4,
     .flags = CMD_BLOCKING | CMD_READONLY,
     .acl = ACL_STREAM,
     .keys = {{.flags = KEY_RO | KEY_ACCESS,
               .begin = KEY_BEGIN_KEYWORD,
               .keyword = "STREAMS",
               .index = 1,
               .last_or_keynum = -1,
               .step_or_first = 1,
               .limit_or_step = 2}},
     .ensure = ensure_xread,
     .group = "stream",
     .since = "5.0.0",
     .summary = "Returns messages from multiple streams with IDs greater than the ones requested. "
                "Blocks until a message is available otherwise.",
     .args = ARGS(ARG("count", INTEGER, .token = "COUNT", .flags = ARG_OPTIONAL),
                  ARG("milliseconds", INTEGER, .token = "BLOCK", .flags = ARG_OPTIONAL),
                  ARG("streams", BLOCK, .token = "STREAMS",
                      .children = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE),
                                       ARG("ID", STRING, .flags = ARG_MULTIPLE))))},
    {.name = "xreadgroup",
     .handler = cmd_xreadgroup,
     .arity = -7,
     .flags = CMD_BLOCKING | CMD_WRITE,
     .acl = ACL_STREAM,
     .keys = {{.flags = KEY_RO | KEY_ACCESS,
               .begin = KEY_BEGIN_KEYWORD,
               .keyword = "STREAMS",
               .index = 4,
               .last_or_keynum = -1,
               .step_or_first = 1,
               .limit_or_step = 2}},
     .ensure = ensure_xreadgroup,
     .group = "stream",
     .since = "5.0.0",
     .complexity =
         "For each stream mentioned: O(M) with M being the number of elements returned. If M is "
         "constant (e.g. always asking for the first 10 elements with COUNT), you can consider it "
         "O(1). On the other side when XREADGROUP blocks, XADD will pay the O(N) time in order to "
         "serve the N clients blocked on the stream getting new data.",
     .summary = "Returns new or historical messages from a stream for a consumer in a group. "
                "Blocks until a message is available otherwise.",
     .args = ARGS(ARG("group-block", BLOCK, .token = "GROUP",
                      .children = ARGS(ARG("group", STRING), ARG("consumer", STRING))),
                  ARG("count", INTEGER, .token = "COUNT", .flags = ARG_OPTIONAL),
                  ARG("milliseconds", INTEGER, .token = "BLOCK", .flags = ARG_OPTIONAL),
                  TOKEN("noack", "NOACK", .flags = ARG_OPTIONAL),
                  ARG("streams", BLOCK, .token = "STREAMS",
                      .children = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE),
                                       ARG("ID", STRING, .flags = ARG_MULTIPLE))))},
    {.name = NULL},
};
