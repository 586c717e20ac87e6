/* Elements in no order: ZRANDMEMBER, ZSCAN. Source: t_zset.c and db.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/scan_options.h"
#include "server/commands/tables.h"
#include "server/commands/zset_edit.h"

#define MANY_FACTOR 3 /* when more than one element of so many is asked for, all are looked at */

/* Elements drawn one by one, any of them maybe several times. */
static void reply_drawn(struct call *c, const struct object *o, uint64_t count, bool scores)
{
    uint64_t random = call_random_position(c) | 1;
    zset_reply_array(c->reply, count, scores);
    for (; count != 0; count--) {
        struct zset_walk scratch;
        struct bytes member;
        double score;
        zset_random(o, &random, &scratch, &member, &score);
        zset_reply_element(c->reply, member, score, scores);
    }
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* `count` different elements of a set in which at most MANY_FACTOR times as many are: goes through
 * it, and takes each with the probability that is left. */
static void reply_many(struct call *c, const struct object *o, uint64_t count, bool scores)
{
    uint64_t random = call_random_position(c) | 1;
    struct zset_walk walk;
    struct bytes member;
    double score;
    zset_reply_array(c->reply, count, scores);
    zset_walk_init(&walk, o, 0, false);
    for (uint64_t left = zset_count(o); count != 0 && zset_walk_next(&walk, &member, &score);
         left--) {
        if (next_random(&random) % left >= count)
            continue;
        zset_reply_element(c->reply, member, score, scores);
        count--;
    }
}

/* `count` different elements of a much larger set. */
static void reply_few(struct call *c, const struct object *o, uint64_t count, bool scores)
{
    uint64_t random = call_random_position(c) | 1;
    struct zset_build *drawn = zset_build_create(ks_value_rules(c->ks));
    zset_reply_array(c->reply, count, scores);
    while (zset_build_count(drawn) < count) {
        struct zset_walk scratch;
        struct bytes member;
        double score;
        zset_random(o, &random, &scratch, &member, &score);
        if (zset_build_find(drawn, member) != NULL)
            continue;
        zset_build_add(drawn, member, score);
        zset_reply_element(c->reply, member, score, scores);
    }
    zset_build_destroy(drawn);
}

static void reply_random(struct call *c, const struct object *o, int64_t count, bool scores)
{
    uint64_t all = o == NULL ? 0 : zset_count(o);
    if (all == 0 || count == 0) {
        reply_array(c->reply, 0);
    } else if (count < 0) {
        reply_drawn(c, o, (uint64_t)-count, scores);
    } else {
        uint64_t wanted = (uint64_t)count < all ? (uint64_t)count : all;
        if (wanted > all / MANY_FACTOR || o->encoding == ENCODING_LISTPACK)
            reply_many(c, o, wanted, scores);
        else
            reply_few(c, o, wanted, scores);
    }
}

static void reply_one(struct call *c, const struct object *o)
{
    uint64_t random = call_random_position(c) | 1;
    struct zset_walk scratch;
    struct bytes member;
    double score;
    if (o == NULL) {
        reply_null(c->reply);
        return;
    }
    zset_random(o, &random, &scratch, &member, &score);
    reply_bulk(c->reply, member);
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
