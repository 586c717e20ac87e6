/* Entries of streams: XADD, XDEL, XLEN, XRANGE, XREVRANGE, XSETID, XTRIM. Source: t_stream.c of
 * Redis 7.2. */
#include "codec/number.h"
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/stream_args.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/notify.h"
#include "server/services.h"

#include "codec/mem.h"

#define TRIM_LIMIT_NODES   100 /* of approximate trimming, in nodes, where no LIMIT is given */
#define TRIM_LIMIT_DEFAULT 10000
#define TRIM_LIMIT_MAX     1000000

/* ---- Options of XADD and XTRIM ----------------------------------------------------------------
 */

struct add_args {
    bool trims;
    struct stream_trim trim;
    bool no_create;
    bool id_given;
    bool seq_given;
    struct stream_id id;
    int id_arg; /* XADD: where the id stands */
};

static bool is_word(const struct bytes *argv, int arg, const char *word)
{
    return bytes_equal_nocase(argv[arg], word);
}

/* MAXLEN or MINID with its value; `*arg` moves to the value. `c` NULL: without replies. */
static bool parse_strategy(struct call *c, const struct bytes *argv, int argc, int *arg,
                           struct add_args *out)
{
    bool by_id = is_word(argv, *arg, "minid");
    if (out->trims) {
        if (c != NULL)
            reply_error(c->reply, "ERR syntax error, MAXLEN and MINID options at the same time "
                                  "are not compatible");
        return false;
    }
    int more = argc - 1 - *arg;
    out->trim.by_id = by_id;
    out->trim.approximate = false;
    if (more >= 2 && (is_word(argv, *arg + 1, "~") || is_word(argv, *arg + 1, "="))) {
        out->trim.approximate = is_word(argv, *arg + 1, "~");
        ++*arg;
    }
    ++*arg;
    out->trims = true;
    if (by_id)
        return stream_arg_id(c, argv[*arg], 0, true, NULL, &out->trim.min_id);
    int64_t length;
    if (!number_parse_i64(argv[*arg], &length)) {
        if (c != NULL)
            reply_error_id(c->reply, ERROR_NOT_INTEGER);
        return false;
    }
    if (length < 0) {
        if (c != NULL)
            reply_error(c->reply, "ERR The MAXLEN argument must be >= 0.");
        return false;
    }
    out->trim.length_max = (uint64_t)length;
    return true;
}

static bool fail(struct call *c, const char *error)
{
    if (c != NULL)
        reply_error(c->reply, error);
    return false;
}

static bool settle_limit(struct call *c, struct add_args *out, bool limit_given, bool obeys,
                         uint64_t node_entries_max)
{
    if (obeys) { /* what the journal and a master say has been bounded already */
        out->trim.limit = 0;
        return true;
    }
    if (limit_given && !out->trim.approximate)
        return fail(c, "ERR syntax error, LIMIT cannot be used without the special ~ option");
    if (!limit_given && out->trim.approximate) {
        uint64_t limit = node_entries_max > TRIM_LIMIT_MAX / TRIM_LIMIT_NODES
                             ? TRIM_LIMIT_MAX
                             : node_entries_max * TRIM_LIMIT_NODES;
        out->trim.limit = limit == 0 ? TRIM_LIMIT_DEFAULT : limit;
    }
    return true;
}

/* Parses up to the id (XADD) or the end. `c` NULL: without replies. */
static bool parse_args(struct call *c, const struct bytes *argv, int argc, bool is_add, bool obeys,
                       uint64_t node_entries_max, struct add_args *out)
{
    bool limit_given = false;
    int64_t limit = 0;
    *out = (struct add_args){0};
    int arg = 2;
    for (; arg < argc; arg++) {
        bool more = arg + 1 < argc;
        if (is_add && is_word(argv, arg, "*"))
            break;
        if ((is_word(argv, arg, "maxlen") || is_word(argv, arg, "minid")) && more) {
            if (!parse_strategy(c, argv, argc, &arg, out))
                return false;
        } else if (is_word(argv, arg, "limit") && more) {
            if (!number_parse_i64(argv[++arg], &limit)) {
                if (c != NULL)
                    reply_error_id(c->reply, ERROR_NOT_INTEGER);
                return false;
            }
            if (limit < 0)
                return fail(c, "ERR The LIMIT argument must be >= 0.");
            limit_given = true;
        } else if (is_add && is_word(argv, arg, "nomkstream")) {
            out->no_create = true;
        } else if (is_add) {
            if (!stream_arg_id(c, argv[arg], 0, true, &out->seq_given, &out->id))
                return false;
            out->id_given = true;
            break;
        } else {
            if (c != NULL)
                reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    out->id_arg = arg;
    out->trim.limit = (uint64_t)limit;
    if (limit != 0 && !out->trims)
        return fail(c, "ERR syntax error, LIMIT cannot be used without specifying a trimming "
                       "strategy");
    if (!is_add && !out->trims)
        return fail(c, "ERR syntax error, XTRIM must be called with a trimming strategy");
    return settle_limit(c, out, limit_given, obeys, node_entries_max);
}

static bool obeys(const struct call *c)
{
    return (c->session->flags & (SESSION_REPLAY | SESSION_MASTER)) != 0;
}

static bool parse(struct call *c, bool is_add, struct add_args *out)
{
    return parse_args(c, c->argv, c->argc, is_add, obeys(c),
                      c->services->config->stream_node_max_entries, out);
}

/* What trimming has come to, as replicas are told it: exactly. */
static struct bytes trim_result(const struct stream *s, const struct stream_trim *trim,
                                char text[STREAM_ID_CHARS_MAX])
{
    if (trim->by_id)
        return stream_id_text(s->length == 0 ? STREAM_ID_MAX : s->first_id, text);
    return bytes_make(text, number_format_i64((int64_t)s->length, text));
}

/* ---- XADD -------------------------------------------------------------------------------------
 */

/* The id of the new entry. False: an error was replied. */
static bool choose_id(struct call *c, const struct add_args *args, struct stream_id last,
                      struct stream_id *id)
{
    if (stream_id_compare(last, STREAM_ID_MAX) == 0) {
        reply_error(c->reply, "ERR The stream has exhausted the last possible ID, unable to add "
                              "more items");
        return false;
    }
    bool valid = true;
    if (!args->id_given) {
        *id = (struct stream_id){.ms = (uint64_t)c->now_ms};
        if (id->ms <= last.ms) {
            *id = last;
            valid = stream_id_increment(id);
        }
    } else {
        *id = args->id;
        if (!args->seq_given && id->ms == last.ms) {
            valid = last.seq != UINT64_MAX;
            id->seq = last.seq + 1;
        }
        valid = valid && stream_id_compare(*id, last) > 0;
    }
    if (!valid)
        reply_error(c->reply, "ERR The ID specified in XADD is equal or smaller than the target "
                              "stream top item");
    return valid;
}

static bool texts_fit(struct call *c, int first)
{
    size_t total = 0;
    for (int i = first; i < c->argc; i++)
        total += c->argv[i].len;
    if (total <= STREAM_NODE_BYTES_LIMIT)
        return true;
    reply_error(c->reply, "ERR Elements are too large to be stored");
    return false;
}

/* Tells the journal the entry with the id that it got, and how far trimming went. */
static void add_effect(struct call *c, const struct add_args *args, const struct stream *s,
                       struct stream_id id)
{
    char id_text[STREAM_ID_CHARS_MAX];
    char trim_text[STREAM_ID_CHARS_MAX];
    struct bytes *argv = mem_alloc(((size_t)c->argc + 4) * sizeof(*argv));
    int argc = 0;
    argv[argc++] = bytes_text("XADD");
    argv[argc++] = c->argv[1];
    if (args->trims) {
        argv[argc++] = bytes_text(args->trim.by_id ? "MINID" : "MAXLEN");
        argv[argc++] = bytes_text("=");
        argv[argc++] = trim_result(s, &args->trim, trim_text);
    }
    argv[argc++] = stream_id_text(id, id_text);
    for (int i = args->id_arg + 1; i < c->argc; i++)
        argv[argc++] = c->argv[i];
    call_effect(c, argc, argv);
    mem_free(argv);
}

static void cmd_xadd(struct call *c)
{
    struct add_args args;
    if (!parse(c, true, &args))
        return;
    int first = args.id_arg + 1;
    if (c->argc - first < 2 || (c->argc - first) % 2 != 0) {
        reply_error_arity(c->reply, "xadd");
        return;
    }
    if (args.id_given && args.seq_given && stream_id_is_zero(args.id)) {
        reply_error(c->reply, "ERR The ID specified in XADD must be greater than 0-0");
        return;
    }
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_STREAM, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL && args.no_create) {
        reply_null(c->reply);
        return;
    }
    struct stream_id id;
    struct stream_id last = o == NULL ? (struct stream_id){0, 0} : stream_of(o)->last_id;
    if (!choose_id(c, &args, last, &id) || !texts_fit(c, first))
        return;
    const struct config *config = c->services->config;
    struct stream_limits limits = {.node_bytes_max = config->stream_node_max_bytes,
                                   .node_entries_max = config->stream_node_max_entries};
    o = stream_change_begin(c, 0, o);
    struct stream *s = stream_of(o);
    stream_append(s, id, c->argv + first, (size_t)(c->argc - first) / 2, &limits);
    uint64_t trimmed = args.trims ? stream_trim(s, &args.trim) : 0;
    if (!args.id_given || !args.seq_given || args.trim.approximate)
        add_effect(c, &args, s, id);
    stream_change_end(c, 0, o);
    stream_reply_id(c->reply, id);
    call_key_modified(c, &c->keys[0]);
    call_notify(c, NOTIFY_STREAM, "xadd", c->keys[0].key);
    if (trimmed != 0)
        call_notify(c, NOTIFY_STREAM, "xtrim", c->keys[0].key);
    call_changed(c, 1);
}

static enum ensured ensure_xadd(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    struct add_args args;
    (void)key;
    if (!parse_args(NULL, argv, argc, true, false, 0, &args))
        return ENSURED;
    enum ensured got = stream_ensure_tail(e);
    if (got != ENSURED || !args.trims)
        return got;
    /* by then it will be longer by one */
    if (!args.trim.by_id && args.trim.length_max != 0)
        args.trim.length_max--;
    return stream_ensure_trim(e, &args.trim);
}

/* ---- XTRIM ------------------------------------------------------------------------------------
 */

static void cmd_xtrim(struct call *c)
{
    struct add_args args;
    if (!parse(c, false, &args))
        return;
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_STREAM, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL) {
        reply_integer(c->reply, 0);
        return;
    }
    o = stream_change_begin(c, 0, o);
    struct stream *s = stream_of(o);
    uint64_t trimmed = stream_trim(s, &args.trim);
    stream_change_end(c, 0, o);
    reply_integer(c->reply, (int64_t)trimmed);
    if (trimmed == 0)
        return;
    if (args.trim.approximate) {
        char text[STREAM_ID_CHARS_MAX];
        struct bytes result = trim_result(s, &args.trim, text);
        call_effect_format(c, "sbssb", "XTRIM", &c->argv[1], args.trim.by_id ? "MINID" : "MAXLEN",
                           "=", &result);
    }
    call_notify(c, NOTIFY_STREAM, "xtrim", c->keys[0].key);
    call_key_modified(c, &c->keys[0]);
    call_changed(c, trimmed);
}

static enum ensured ensure_xtrim(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    struct add_args args;
    (void)key;
    if (!parse_args(NULL, argv, argc, false, false, 0, &args))
        return ENSURED;
    return stream_ensure_trim(e, &args.trim);
}

/* ---- XLEN, XRANGE, XREVRANGE ------------------------------------------------------------------
 */

static void cmd_xlen(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_STREAM, &wrong_type);
    if (!wrong_type)
        reply_integer(c->reply, o == NULL ? 0 : (int64_t)stream_of(o)->length);
}

/* Needs the header only. */
static enum ensured ensure_nothing(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)e, (void)argv, (void)argc, (void)key;
    return ENSURED;
}

/* COUNT; -1 without one. `c` NULL: without replies. */
static bool parse_range(struct call *c, const struct bytes *argv, int argc, bool reverse,
                        struct stream_id *from, struct stream_id *to, int64_t *count)
{
    *count = -1;
    if (!stream_arg_bound(c, argv[reverse ? 3 : 2], true, from) ||
        !stream_arg_bound(c, argv[reverse ? 2 : 3], false, to))
        return false;
    for (int arg = 4; arg < argc; arg += 2) {
        if (!is_word(argv, arg, "count") || arg + 1 >= argc) {
            if (c != NULL)
                reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
        if (!number_parse_i64(argv[arg + 1], count)) {
            if (c != NULL)
                reply_error_id(c->reply, ERROR_NOT_INTEGER);
            return false;
        }
        if (*count < 0)
            *count = 0;
    }
    return true;
}

static void range(struct call *c, bool reverse)
{
    struct stream_id from, to;
    int64_t count;
    if (!parse_range(c, c->argv, c->argc, reverse, &from, &to, &count))
        return;
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_STREAM, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL) {
        reply_array(c->reply, 0);
        return;
    }
    if (count == 0) {
        reply_null_array(c->reply);
        return;
    }
    struct stream_walk walk;
    struct stream_entry entry;
    uint64_t found = 0;
    struct reply_deferred d = reply_deferred_begin(c->reply);
    stream_walk_init(&walk, stream_of(o), from, to, reverse);
    while ((count < 0 || found < (uint64_t)count) && stream_walk_next(&walk, &entry)) {
        stream_reply_entry(c->reply, &entry);
        found++;
    }
    reply_deferred_array(c->reply, &d, found);
}

static void cmd_xrange(struct call *c)
{
    range(c, false);
}

static void cmd_xrevrange(struct call *c)
{
    range(c, true);
}

static enum ensured ensure_range_of(struct ensure *e, const struct bytes *argv, int argc,
                                    bool reverse)
{
    struct stream_id from, to;
    int64_t count;
    if (!parse_range(NULL, argv, argc, reverse, &from, &to, &count) || count == 0)
        return ENSURED;
    return stream_ensure_range(e, from, to, count < 0 ? 0 : (uint64_t)count, reverse);
}

static enum ensured ensure_xrange(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_range_of(e, argv, argc, false);
}

static enum ensured ensure_xrevrange(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_range_of(e, argv, argc, true);
}

/* ---- XDEL -------------------------------------------------------------------------------------
 */

static void cmd_xdel(struct call *c)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_STREAM, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL) {
        reply_integer(c->reply, 0);
        return;
    }
    struct stream_id id;
    for (int arg = 2; arg < c->argc; arg++)
        if (!stream_arg_id(c, c->argv[arg], 0, true, NULL, &id))
            return;
    uint64_t deleted = 0;
    o = stream_change_begin(c, 0, o);
    for (int arg = 2; arg < c->argc; arg++)
        if (stream_parse_id(c->argv[arg], 0, &id))
            deleted += stream_delete(stream_of(o), id);
    stream_change_end(c, 0, o);
    reply_integer(c->reply, (int64_t)deleted);
    if (deleted == 0)
        return;
    call_key_modified(c, &c->keys[0]);
    call_notify(c, NOTIFY_STREAM, "xdel", c->keys[0].key);
    call_changed(c, deleted);
}

static enum ensured ensure_xdel(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    struct stream_id *ids = mem_alloc((size_t)argc * sizeof(*ids));
    size_t count = 0;
    for (int arg = 2; arg < argc; arg++)
        if (stream_parse_id(argv[arg], 0, &ids[count]))
            count++;
    enum ensured got = stream_ensure_ids(e, ids, count);
    mem_free(ids);
    return got;
}

/* ---- XSETID -----------------------------------------------------------------------------------
 */

struct setid_args {
    struct stream_id id;
    struct stream_id max_deleted;
    int64_t entries_added; /* -1: not given */
};

static bool parse_setid(struct call *c, struct setid_args *out)
{
    *out = (struct setid_args){.entries_added = -1};
    if (!stream_arg_id(c, c->argv[2], 0, true, NULL, &out->id))
        return false;
    for (int arg = 3; arg < c->argc; arg += 2) {
        bool more = arg + 1 < c->argc;
        if (call_arg_is(c, arg, "entriesadded") && more) {
            if (!call_arg_i64(c, arg + 1, &out->entries_added))
                return false;
            if (out->entries_added < 0)
                return fail(c, "ERR entries_added must be positive");
        } else if (call_arg_is(c, arg, "maxdeletedid") && more) {
            if (!stream_arg_id(c, c->argv[arg + 1], 0, true, NULL, &out->max_deleted))
                return false;
            if (stream_id_compare(out->id, out->max_deleted) < 0)
                return fail(c, "ERR The ID specified in XSETID is smaller than the provided "
                               "max_deleted_entry_id");
        } else {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* The id of the last entry that there is. */
static struct stream_id last_entry_id(const struct stream *s)
{
    struct stream_walk walk;
    struct stream_entry entry;
    stream_walk_init(&walk, s, (struct stream_id){0, 0}, STREAM_ID_MAX, true);
    return stream_walk_next(&walk, &entry) ? entry.id : (struct stream_id){0, 0};
}

static void cmd_xsetid(struct call *c)
{
    struct setid_args args;
    if (!parse_setid(c, &args))
        return;
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_STREAM, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL) {
        reply_error_id(c->reply, ERROR_NO_KEY);
        return;
    }
    const struct stream *now = stream_of(o);
    if (stream_id_compare(args.id, now->max_deleted_id) < 0) {
        reply_error(c->reply, "ERR The ID specified in XSETID is smaller than current "
                              "max_deleted_entry_id");
        return;
    }
    if (now->length != 0 && stream_id_compare(args.id, last_entry_id(now)) < 0) {
        reply_error(c->reply, "ERR The ID specified in XSETID is smaller than the target stream "
                              "top item");
        return;
    }
    if (now->length != 0 && args.entries_added != -1 &&
        now->length > (uint64_t)args.entries_added) {
        reply_error(c->reply, "ERR The entries_added specified in XSETID is smaller than the "
                              "target stream length");
        return;
    }
    o = stream_change_begin(c, 0, o);
    struct stream *s = stream_of(o);
    s->last_id = args.id;
    if (args.entries_added != -1)
        s->entries_added = (uint64_t)args.entries_added;
    if (!stream_id_is_zero(args.max_deleted))
        s->max_deleted_id = args.max_deleted;
    stream_change_end(c, 0, o);
    reply_ok(c->reply);
    call_key_modified(c, &c->keys[0]);
    call_notify(c, NOTIFY_STREAM, "xsetid", c->keys[0].key);
    call_changed(c, 1);
}

static enum ensured ensure_tail(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argv, (void)argc, (void)key;
    return stream_ensure_tail(e);
}

/* ---- The rows. */

const struct command cmd_stream_table[] = {
    {.name = "xadd",
     .handler = cmd_xadd,
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_xadd,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(1) when adding a new entry, O(N) when trimming where N being the number of "
                   "entries evicted.",
     .summary = "Appends a new message to a stream. Creates the key if it doesn't exist.",
     .tips = TEXTS("nondeterministic_output"),
     .history =
         TEXTS("6.2.0",
               "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option.",
               "7.0.0", "Added support for the `<ms>-*` explicit ID form."),
     .args = ARGS(
         ARG("key", KEY),
         TOKEN("nomkstream", "NOMKSTREAM", .flags = ARG_OPTIONAL, .since = "6.2.0"),
         ARG("trim", BLOCK, .flags = ARG_OPTIONAL,
             .children = ARGS(
                 ARG("strategy", ONEOF,
                     .children = ARGS(TOKEN("maxlen", "MAXLEN"),
                                      TOKEN("minid", "MINID", .since = "6.2.0"))),
                 ARG("operator", ONEOF, .flags = ARG_OPTIONAL,
                     .children = ARGS(TOKEN("equal", "="), TOKEN("approximately", "~"))),
                 ARG("threshold", STRING),
                 ARG("count", INTEGER, .token = "LIMIT", .flags = ARG_OPTIONAL, .since = "6.2.0"))),
         ARG("id-selector", ONEOF, .children = ARGS(TOKEN("auto-id", "*"), ARG("id", STRING))),
         ARG("data", BLOCK, .flags = ARG_MULTIPLE,
             .children = ARGS(ARG("field", STRING), ARG("value", STRING))))},
    {.name = "xdel",
     .handler = cmd_xdel,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(1, KEY_RW | KEY_DELETE)},
     .ensure = ensure_xdel,
     .group = "stream",
     .since = "5.0.0",
     .complexity =
         "O(1) for each single item to delete in the stream, regardless of the stream size.",
     .summary = "Returns the number of messages after removing them from a stream.",
     .args = ARGS(ARG("key", KEY), ARG("ID", STRING, .flags = ARG_MULTIPLE))},
    {.name = "xlen",
     .handler = cmd_xlen,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(1, KEY_RO)},
     .ensure = ensure_nothing,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Return the number of messages in a stream.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "xrange",
     .handler = cmd_xrange,
     .arity = -4,
     .flags = CMD_READONLY,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_xrange,
     .group = "stream",
     .since = "5.0.0",
     .complexity =
         "O(N) with N being the number of elements being returned. If N is constant (e.g. always "
         "asking for the first 10 elements with COUNT), you can consider it O(1).",
     .summary = "Returns the messages from a stream within a range of IDs.",
     .history = TEXTS("6.2.0", "Added exclusive ranges."),
     .args = ARGS(ARG("key", KEY), ARG("start", STRING), ARG("end", STRING),
                  ARG("count", INTEGER, .token = "COUNT", .flags = ARG_OPTIONAL))},
    {.name = "xrevrange",
     .handler = cmd_xrevrange,
     .arity = -4,
     .flags = CMD_READONLY,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_xrevrange,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(N) with N being the number of elements returned. If N is constant (e.g. "
                   "always asking for the first 10 elements with COUNT), you can consider it O(1).",
     .summary = "Returns the messages from a stream within a range of IDs in reverse order.",
     .history = TEXTS("6.2.0", "Added exclusive ranges."),
     .args = ARGS(ARG("key", KEY), ARG("end", STRING), ARG("start", STRING),
                  ARG("count", INTEGER, .token = "COUNT", .flags = ARG_OPTIONAL))},
    {.name = "xsetid",
     .handler = cmd_xsetid,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_tail,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "An internal command for replicating stream values.",
     .history = TEXTS("7.0.0", "Added the `entries_added` and `max_deleted_entry_id` arguments."),
     .args = ARGS(ARG("key", KEY), ARG("last-id", STRING),
                  ARG("entries-added", INTEGER, .token = "ENTRIESADDED", .flags = ARG_OPTIONAL,
                      .since = "7.0.0"),
                  ARG("max-deleted-id", STRING, .token = "MAXDELETEDID", .flags = ARG_OPTIONAL,
                      .since = "7.0.0"))},
    {.name = "xtrim",
     .handler = cmd_xtrim,
     .arity = -4,
     .flags = CMD_WRITE,
     .acl = ACL_STREAM,
     .keys = {KEY_AT(1, KEY_RW | KEY_DELETE)},
     .ensure = ensure_xtrim,
     .group = "stream",
     .since = "5.0.0",
     .complexity = "O(N), with N being the number of evicted entries. Constant times are very "
                   "small however, since entries are organized in macro nodes containing multiple "
                   "entries that can be released with a single deallocation.",
     .summary = "Deletes messages from the beginning of a stream.",
     .tips = TEXTS("nondeterministic_output"),
     .history = TEXTS("6.2.0", "Added the `MINID` trimming strategy and the `LIMIT` option."),
     .args = ARGS(ARG("key", KEY),
                  ARG("trim", BLOCK,
                      .children = ARGS(
                          ARG("strategy", ONEOF,
                              .children = ARGS(TOKEN("maxlen", "MAXLEN"),
                                               TOKEN("minid", "MINID", .since = "6.2.0"))),
                          ARG("operator", ONEOF, .flags = ARG_OPTIONAL,
                              .children = ARGS(TOKEN("equal", "="), TOKEN("approximately", "~"))),
                          ARG("threshold", STRING),
                          ARG("count", INTEGER, .token = "LIMIT", .flags = ARG_OPTIONAL,
                              .since = "6.2.0"))))},
    {.name = NULL},
};
