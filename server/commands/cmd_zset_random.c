/* Elements in no order: ZRANDMEMBER, ZSCAN. Source: t_zset.c and db.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/scan_options.h"
#include "server/commands/tables.h"
#include "server/commands/zset_edit.h"

#include "codec/mem.h"
#include "codec/number.h"
#include "storage/types/members.h"
#include "storage/types/zset_ensure.h"

#define REPEAT_WINDOW 1000 /* of a large set: what repeated elements are chosen among */

/* ---- ZRANDMEMBER. */

struct random_reply {
    struct reply *reply;
    bool scores;
};

static void reply_element(void *arg, struct bytes member, double score)
{
    const struct random_reply *random = arg;
    zset_reply_element(random->reply, member, score, random->scores);
}

static void reply_different(struct call *c, const struct object *o, uint64_t count, bool scores)
{
    struct random_reply random = {.reply = c->reply, .scores = scores};
    uint64_t all = zset_count(o);
    size_t some = (size_t)(count < all ? count : all);
    zset_reply_array(c->reply, some, scores);
    zset_sample(o, call_random_position(c), some, reply_element, &random);
}

/* Elements that were chosen, to choose among. */
struct chosen {
    struct buf names;
    struct {
        size_t off, len;
        double score;
    } items[REPEAT_WINDOW];
    size_t count;
};

static void keep_element(void *arg, struct bytes member, double score)
{
    struct chosen *chosen = arg;
    chosen->items[chosen->count].off = chosen->names.len;
    chosen->items[chosen->count].len = member.len;
    chosen->items[chosen->count++].score = score;
    buf_append_bytes(&chosen->names, member);
}

/* The same element may come more than once. */
static void reply_repeated(struct call *c, const struct object *o, uint64_t count, bool scores)
{
    struct random_reply reply = {.reply = c->reply, .scores = scores};
    uint64_t random = call_random_position(c) | 1;
    zset_reply_array(c->reply, count, scores);
    if (zset_is_all(o)) {
        for (uint64_t i = 0; i < count; i++)
            zset_random(o, &random, reply_element, &reply);
        return;
    }
    struct chosen *chosen = mem_calloc(1, sizeof *chosen);
    size_t window = count < REPEAT_WINDOW ? (size_t)count : REPEAT_WINDOW;
    zset_sample(o, call_random_position(c), window, keep_element, chosen);
    for (uint64_t i = 0; i < count; i++) {
        size_t k = member_random(&random) % chosen->count;
        struct bytes member =
            bytes_make(chosen->names.data + chosen->items[k].off, chosen->items[k].len);
        reply_element(&reply, member, chosen->items[k].score);
    }
    buf_deinit(&chosen->names);
    mem_free(chosen);
}

static void reply_random(struct call *c, const struct object *o, int64_t count, bool scores)
{
    if (o == NULL || count == 0)
        reply_array(c->reply, 0);
    else if (count < 0)
        reply_repeated(c, o, (uint64_t)-count, scores);
    else
        reply_different(c, o, (uint64_t)count, scores);
}

static void reply_name(void *arg, struct bytes member, double score)
{
    (void)score;
    reply_bulk(arg, member);
}

static void reply_one(struct call *c, const struct object *o)
{
    if (o == NULL)
        reply_null(c->reply);
    else
        zset_sample(o, call_random_position(c), 1, reply_name, c->reply);
}

static enum ensured ensure_zrandmember(struct ensure *e, const struct bytes *argv, int argc,
                                       int key)
{
    int64_t count = 1;
    (void)key;
    if (e->o->type != OBJECT_ZSET || argc > 4 || (argc > 2 && !number_parse_i64(argv[2], &count)))
        return ENSURED;
    if (count < 0)
        count = count < -REPEAT_WINDOW ? REPEAT_WINDOW : -count;
    if ((uint64_t)count >= zset_count(e->o))
        return zset_ensure_all(e);
    return zset_ensure_sample(e, (size_t)count);
}

static void cmd_zrandmember(struct call *c)
{
    int64_t count = 0;
    bool scores = c->argc == 4;
    bool wrong_type = false;
    if (c->argc > 2 && !call_arg_range(c, 2, -INT64_MAX, INT64_MAX, &count, NULL))
        return;
    if (c->argc > 4 || (scores && !call_arg_is(c, 3, "withscores"))) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    if (scores && (count < -INT64_MAX / 2 || count > INT64_MAX / 2)) {
        reply_error_id(c->reply, ERROR_OUT_OF_RANGE);
        return;
    }
    const struct object *o = call_find_read_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return;
    if (c->argc == 2)
        reply_one(c, o);
    else
        reply_random(c, o, count, scores);
}

/* ---- ZSCAN. */

struct scan_reply {
    struct reply *reply;
    const struct scan_options *options;
    bool is_listpack;
    uint64_t count;
};

static void reply_scanned(void *arg, struct bytes member, double score)
{
    struct scan_reply *scan = arg;
    char text[NUMBER_F64_CHARS_MAX];
    if (!scan_matches(scan->options, member))
        return;
    reply_bulk(scan->reply, member);
    if (scan->is_listpack) /* as it stands there; elsewhere Redis writes all digits */
        reply_bulk(scan->reply, bytes_make(text, number_format_f64(score, text)));
    else
        reply_bulk_format(scan->reply, "%.17g", score);
    scan->count += 2;
}

static enum ensured ensure_zscan(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    struct scan_options options;
    (void)key;
    if (e->o->type != OBJECT_ZSET || !scan_peek(argv, argc, 2, &options))
        return ENSURED;
    return zset_ensure_scan(e, options.cursor, (size_t)options.count);
}

static void cmd_zscan(struct call *c)
{
    struct scan_options options;
    bool wrong_type = false;
    if (!scan_read_cursor(c, 2, &options))
        return;
    const struct object *o = call_find_read_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL) {
        scan_reply_empty(c->reply);
        return;
    }
    if (!scan_read_options(c, 3, 0, &options))
        return;
    struct scan_reply scan = {
        .reply = c->reply, .options = &options, .is_listpack = o->encoding == ENCODING_LISTPACK};
    reply_array(c->reply, 2);
    struct reply_deferred cursor = reply_deferred_begin(c->reply);
    struct reply_deferred elements = reply_deferred_begin(c->reply);
    uint64_t next = zset_scan(o, options.cursor, (size_t)options.count, reply_scanned, &scan);
    reply_deferred_array(c->reply, &elements, scan.count);
    reply_deferred_bulk_integer(c->reply, &cursor, next);
}

const struct command cmd_zset_random_table[] = {
    {.name = "zrandmember",
     .handler = cmd_zrandmember,
     .arity = -2,
     .flags = CMD_READONLY,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zrandmember,
     .group = "sorted-set",
     .since = "6.2.0",
     .complexity = "O(N) where N is the number of members returned",
     .summary = "Returns one or more random members from a sorted set.",
     .tips = TEXTS("nondeterministic_output"),
     .args = ARGS(ARG("key", KEY),
                  ARG("options", BLOCK, .flags = ARG_OPTIONAL,
                      .children = ARGS(ARG("count", INTEGER),
                                       TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL))))},
    {.name = "zscan",
     .handler = cmd_zscan,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zscan,
     .group = "sorted-set",
     .since = "2.8.0",
     .complexity =
         "O(1) for every call. O(N) for a complete iteration, including enough command calls for "
         "the cursor to return back to 0. N is the number of elements inside the collection.",
     .summary = "Iterates over members and scores of a sorted set.",
     .tips = TEXTS("nondeterministic_output"),
     .args = ARGS(ARG("key", KEY), ARG("cursor", INTEGER),
                  ARG("pattern", PATTERN, .flags = ARG_OPTIONAL, .token = "MATCH"),
                  ARG("count", INTEGER, .flags = ARG_OPTIONAL, .token = "COUNT"))},
    {.name = NULL},
};
