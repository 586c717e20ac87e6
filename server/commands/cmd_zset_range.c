/* Ranges of sorted sets: ZRANGE and its older forms, ZRANGESTORE, ZREMRANGEBYRANK and its kin.
 * Source: t_zset.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/commands/zset_edit.h"
#include "server/commands/zset_range.h"

#include "codec/number.h"

/* ---- ZRANGE, ZRANGESTORE and the commands that ZRANGE has replaced. */

struct options {
    enum zset_range_kind kind;
    bool down;
    bool scores;
    int64_t offset;
    int64_t limit; /* negative: none */
};

/* What a command takes beyond LIMIT. */
enum { TAKES_SCORES = 1, TAKES_KIND = 2, TAKES_REV = 4 };

enum parsed { PARSED, PARSED_SYNTAX, PARSED_NOT_INTEGER, PARSED_LIMIT, PARSED_SCORES };

static enum parsed parse_options(const struct bytes *argv, int argc, int first, unsigned takes,
                                 struct options *out)
{
    bool kind_is_open = (takes & TAKES_KIND) != 0;
    bool rev_is_open = (takes & TAKES_REV) != 0;
    for (int i = first; i < argc; i++) {
        if ((takes & TAKES_SCORES) != 0 && bytes_equal_nocase(argv[i], "withscores")) {
            out->scores = true;
        } else if (i + 2 < argc && bytes_equal_nocase(argv[i], "limit")) {
            if (!number_parse_i64(argv[i + 1], &out->offset) ||
                !number_parse_i64(argv[i + 2], &out->limit))
                return PARSED_NOT_INTEGER;
            i += 2;
        } else if (rev_is_open && bytes_equal_nocase(argv[i], "rev")) {
            rev_is_open = false;
            out->down = true;
        } else if (kind_is_open && bytes_equal_nocase(argv[i], "bylex")) {
            kind_is_open = false;
            out->kind = ZSET_RANGE_MEMBER;
        } else if (kind_is_open && bytes_equal_nocase(argv[i], "byscore")) {
            kind_is_open = false;
            out->kind = ZSET_RANGE_SCORE;
        } else {
            return PARSED_SYNTAX;
        }
    }
    if (out->limit != -1 && out->kind == ZSET_RANGE_RANK)
        return PARSED_LIMIT;
    return out->scores && out->kind == ZSET_RANGE_MEMBER ? PARSED_SCORES : PARSED;
}

static void reply_parse_error(struct reply *r, enum parsed parsed)
{
    switch (parsed) {
    case PARSED:
        break;
    case PARSED_SYNTAX:
        reply_error_id(r, ERROR_SYNTAX);
        break;
    case PARSED_NOT_INTEGER:
        reply_error_id(r, ERROR_NOT_INTEGER);
        break;
    case PARSED_LIMIT:
        reply_error(r, "ERR syntax error, LIMIT is only supported in combination with either "
                       "BYSCORE or BYLEX");
        break;
    case PARSED_SCORES:
        reply_error(r, "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        break;
    }
}

/* Ranges by score and member are told from the other end when they go down. */
static int lower_arg(const struct options *options, int first)
{
    return first + (options->down && options->kind != ZSET_RANGE_RANK);
}

static int upper_arg(const struct options *options, int first)
{
    return 2 * first + 1 - lower_arg(options, first);
}

/* Reads options and range, the arguments of which begin at `first`; false: an error was replied. */
static bool parse(struct call *c, int first, unsigned takes, struct options *options,
                  struct zset_range *range)
{
    options->limit = -1;
    enum parsed parsed = parse_options(c->argv, c->argc, first + 2, takes, options);
    reply_parse_error(c->reply, parsed);
    return parsed == PARSED && zset_range_parse(c, options->kind, lower_arg(options, first),
                                                upper_arg(options, first), range);
}

/* The elements that a request is about, after LIMIT. */
static struct zset_ranks find_limited(const struct object *o, const struct zset_range *range,
                                      const struct options *options)
{
    return zset_range_limit(zset_range_find(o, range, options->down), options->down,
                            options->offset, options->limit);
}

/* What that needs of a large set; the range's arguments begin at `first`. */
static enum ensured ensure_parsed(struct ensure *e, const struct bytes *argv, int argc, int first,
                                  unsigned takes, struct options options)
{
    struct zset_range range;
    options.limit = -1;
    if (e->o->type != OBJECT_ZSET ||
        parse_options(argv, argc, first + 2, takes, &options) != PARSED ||
        !zset_range_read(options.kind, argv[lower_arg(&options, first)],
                         argv[upper_arg(&options, first)], &range))
        return ENSURED;
    struct zset_range_needs needs = {.range = &range,
                                     .down = options.down,
                                     .offset = options.offset,
                                     .limit = options.limit,
                                     .elements = true};
    return zset_range_ensure(e, &needs);
}

static void walk_ranks(struct zset_walk *walk, const struct object *o, struct zset_ranks ranks,
                       bool down)
{
    zset_walk_init(walk, o, down ? ranks.to - 1 : ranks.from, down);
}

static void reply_range(struct call *c, struct options options, unsigned takes)
{
    struct zset_range range;
    bool wrong_type = false;
    if (!parse(c, 2, takes, &options, &range))
        return;
    const struct object *o = call_find_read_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return;
    struct zset_ranks ranks = {0, 0};
    if (o != NULL)
        ranks = find_limited(o, &range, &options);
    uint64_t count = ranks.to - ranks.from;
    zset_reply_array(c->reply, count, options.scores);
    if (count == 0)
        return;
    struct zset_walk walk;
    struct bytes member;
    double score;
    walk_ranks(&walk, o, ranks, options.down);
    for (; count != 0 && zset_walk_next(&walk, &member, &score); count--)
        zset_reply_element(c->reply, member, score, options.scores);
}

/* What each command is to begin with, and takes. */
#define BY(k, d)  ((struct options){.kind = ZSET_RANGE_##k, .down = (d)})
#define TAKES_ALL (TAKES_SCORES | TAKES_KIND | TAKES_REV)

static void cmd_zrange(struct call *c)
{
    reply_range(c, BY(RANK, false), TAKES_ALL);
}

static enum ensured ensure_zrange(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_parsed(e, argv, argc, 2, TAKES_ALL, BY(RANK, false));
}

static void cmd_zrevrange(struct call *c)
{
    reply_range(c, BY(RANK, true), TAKES_SCORES);
}

static enum ensured ensure_zrevrange(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_parsed(e, argv, argc, 2, TAKES_SCORES, BY(RANK, true));
}

static void cmd_zrangebyscore(struct call *c)
{
    reply_range(c, BY(SCORE, false), TAKES_SCORES);
}

static enum ensured ensure_zrangebyscore(struct ensure *e, const struct bytes *argv, int argc,
                                         int key)
{
    (void)key;
    return ensure_parsed(e, argv, argc, 2, TAKES_SCORES, BY(SCORE, false));
}

static void cmd_zrevrangebyscore(struct call *c)
{
    reply_range(c, BY(SCORE, true), TAKES_SCORES);
}

static enum ensured ensure_zrevrangebyscore(struct ensure *e, const struct bytes *argv, int argc,
                                            int key)
{
    (void)key;
    return ensure_parsed(e, argv, argc, 2, TAKES_SCORES, BY(SCORE, true));
}

static void cmd_zrangebylex(struct call *c)
{
    reply_range(c, BY(MEMBER, false), TAKES_SCORES);
}

static enum ensured ensure_zrangebylex(struct ensure *e, const struct bytes *argv, int argc,
                                       int key)
{
    (void)key;
    return ensure_parsed(e, argv, argc, 2, TAKES_SCORES, BY(MEMBER, false));
}

static void cmd_zrevrangebylex(struct call *c)
{
    reply_range(c, BY(MEMBER, true), TAKES_SCORES);
}

static enum ensured ensure_zrevrangebylex(struct ensure *e, const struct bytes *argv, int argc,
                                          int key)
{
    (void)key;
    return ensure_parsed(e, argv, argc, 2, TAKES_SCORES, BY(MEMBER, true));
}

static void cmd_zrangestore(struct call *c)
{
    struct options options = BY(RANK, false);
    struct zset_range range;
    bool wrong_type = false;
    if (!parse(c, 3, TAKES_KIND | TAKES_REV, &options, &range))
        return;
    const struct object *o = call_find_read_type(c, 1, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return;
    struct zset_ranks ranks = {0, 0};
    if (o != NULL)
        ranks = find_limited(o, &range, &options);
    struct zset_build *build = zset_build_create(ks_value_rules(c->ks));
    if (ranks.from != ranks.to) {
        struct zset_walk walk;
        struct bytes member;
        double score;
        uint64_t count = ranks.to - ranks.from;
        walk_ranks(&walk, o, ranks, false);
        for (; count != 0 && zset_walk_next(&walk, &member, &score); count--)
            zset_build_add(build, member, score);
    }
    zset_store_result(c, 0, build, "zrangestore");
}

static enum ensured ensure_zrangestore(struct ensure *e, const struct bytes *argv, int argc,
                                       int key)
{
    if (key == 0)
        return ENSURED; /* it is overwritten */
    return ensure_parsed(e, argv, argc, 3, TAKES_KIND | TAKES_REV, BY(RANK, false));
}

/* ---- ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX. */

static void remove_range(struct call *c, enum zset_range_kind kind)
{
    struct zset_range range;
    bool wrong_type = false;
    if (!zset_range_parse(c, kind, 2, 3, &range))
        return;
    struct object *o = call_find_write_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return;
    struct zset_ranks ranks = {0, 0};
    if (o != NULL)
        ranks = zset_range_find(o, &range, false);
    uint64_t count = ranks.to - ranks.from;
    if (count != 0) {
        ks_change_begin(c->ks, c->keys[0].db, o);
        zset_remove_range(o, ranks.from, count);
    }
    zset_removed(c, 0, o, count, c->command->name);
    reply_integer(c->reply, (int64_t)count);
}

static void cmd_zremrangebyrank(struct call *c)
{
    remove_range(c, ZSET_RANGE_RANK);
}

static enum ensured ensure_zremrangebyrank(struct ensure *e, const struct bytes *argv, int argc,
                                           int key)
{
    (void)key;
    return ensure_parsed(e, argv, argc, 2, 0, BY(RANK, false));
}

static void cmd_zremrangebyscore(struct call *c)
{
    remove_range(c, ZSET_RANGE_SCORE);
}

static enum ensured ensure_zremrangebyscore(struct ensure *e, const struct bytes *argv, int argc,
                                            int key)
{
    (void)key;
    return ensure_parsed(e, argv, argc, 2, 0, BY(SCORE, false));
}

static void cmd_zremrangebylex(struct call *c)
{
    remove_range(c, ZSET_RANGE_MEMBER);
}

static enum ensured ensure_zremrangebylex(struct ensure *e, const struct bytes *argv, int argc,
                                          int key)
{
    (void)key;
    return ensure_parsed(e, argv, argc, 2, 0, BY(MEMBER, false));
}

const struct command cmd_zset_range_table[] = {
    {.name = "zrange",
     .handler = cmd_zrange,
     .arity = -4,
     .flags = CMD_READONLY,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zrange,
     .group = "sorted-set",
     .since = "1.2.0",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the "
                   "number of elements returned.",
     .summary = "Returns members in a sorted set within a range of indexes.",
     .history = TEXTS("6.2.0", "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options."),
     .args = ARGS(ARG("key", KEY), ARG("start", STRING), ARG("stop", STRING),
                  ARG("sortby", ONEOF, .flags = ARG_OPTIONAL, .since = "6.2.0",
                      .children = ARGS(TOKEN("byscore", "BYSCORE"), TOKEN("bylex", "BYLEX"))),
                  TOKEN("rev", "REV", .flags = ARG_OPTIONAL, .since = "6.2.0"),
                  ARG("limit", BLOCK, .flags = ARG_OPTIONAL, .since = "6.2.0", .token = "LIMIT",
                      .children = ARGS(ARG("offset", INTEGER), ARG("count", INTEGER))),
                  TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL))},
    {.name = "zrangebylex",
     .handler = cmd_zrangebylex,
     .arity = -4,
     .flags = CMD_READONLY,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zrangebylex,
     .group = "sorted-set",
     .since = "2.8.9",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the "
                   "number of elements being returned. If M is constant (e.g. always asking for "
                   "the first 10 elements with LIMIT), you can consider it O(log(N)).",
     .summary = "Returns members in a sorted set within a lexicographical range.",
     .args = ARGS(ARG("key", KEY), ARG("min", STRING), ARG("max", STRING),
                  ARG("limit", BLOCK, .flags = ARG_OPTIONAL, .token = "LIMIT",
                      .children = ARGS(ARG("offset", INTEGER), ARG("count", INTEGER)))),
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `BYLEX` argument"},
    {.name = "zrangebyscore",
     .handler = cmd_zrangebyscore,
     .arity = -4,
     .flags = CMD_READONLY,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zrangebyscore,
     .group = "sorted-set",
     .since = "1.0.5",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the "
                   "number of elements being returned. If M is constant (e.g. always asking for "
                   "the first 10 elements with LIMIT), you can consider it O(log(N)).",
     .summary = "Returns members in a sorted set within a range of scores.",
     .history = TEXTS("2.0.0", "Added the `WITHSCORES` modifier."),
     .args = ARGS(ARG("key", KEY), ARG("min", DOUBLE), ARG("max", DOUBLE),
                  TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL, .since = "2.0.0"),
                  ARG("limit", BLOCK, .flags = ARG_OPTIONAL, .token = "LIMIT",
                      .children = ARGS(ARG("offset", INTEGER), ARG("count", INTEGER)))),
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `BYSCORE` argument"},
    {.name = "zrangestore",
     .handler = cmd_zrangestore,
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_OW | KEY_UPDATE | KEY_LOAD_META), KEY_AT(2, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zrangestore,
     .group = "sorted-set",
     .since = "6.2.0",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the "
                   "number of elements stored into the destination key.",
     .summary = "Stores a range of members from sorted set in a key.",
     .args = ARGS(ARG("dst", KEY), ARG("src", KEY, .key_spec_index = 1), ARG("min", STRING),
                  ARG("max", STRING),
                  ARG("sortby", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("byscore", "BYSCORE"), TOKEN("bylex", "BYLEX"))),
                  TOKEN("rev", "REV", .flags = ARG_OPTIONAL),
                  ARG("limit", BLOCK, .flags = ARG_OPTIONAL, .token = "LIMIT",
                      .children = ARGS(ARG("offset", INTEGER), ARG("count", INTEGER))))},
    {.name = "zremrangebylex",
     .handler = cmd_zremrangebylex,
     .arity = 4,
     .flags = CMD_WRITE,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RW | KEY_DELETE)},
     .ensure = ensure_zremrangebylex,
     .group = "sorted-set",
     .since = "2.8.9",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the "
                   "number of elements removed by the operation.",
     .summary = "Removes members in a sorted set within a lexicographical range. Deletes the "
                "sorted set if all members were removed.",
     .args = ARGS(ARG("key", KEY), ARG("min", STRING), ARG("max", STRING))},
    {.name = "zremrangebyrank",
     .handler = cmd_zremrangebyrank,
     .arity = 4,
     .flags = CMD_WRITE,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RW | KEY_DELETE)},
     .ensure = ensure_zremrangebyrank,
     .group = "sorted-set",
     .since = "2.0.0",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the "
                   "number of elements removed by the operation.",
     .summary = "Removes members in a sorted set within a range of indexes. Deletes the sorted set "
                "if all members were removed.",
     .args = ARGS(ARG("key", KEY), ARG("start", INTEGER), ARG("stop", INTEGER))},
    {.name = "zremrangebyscore",
     .handler = cmd_zremrangebyscore,
     .arity = 4,
     .flags = CMD_WRITE,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RW | KEY_DELETE)},
     .ensure = ensure_zremrangebyscore,
     .group = "sorted-set",
     .since = "1.2.0",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the "
                   "number of elements removed by the operation.",
     .summary = "Removes members in a sorted set within a range of scores. Deletes the sorted set "
                "if all members were removed.",
     .args = ARGS(ARG("key", KEY), ARG("min", DOUBLE), ARG("max", DOUBLE))},
    {.name = "zrevrange",
     .handler = cmd_zrevrange,
     .arity = -4,
     .flags = CMD_READONLY,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zrevrange,
     .group = "sorted-set",
     .since = "1.2.0",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the "
                   "number of elements returned.",
     .summary = "Returns members in a sorted set within a range of indexes in reverse order.",
     .args = ARGS(ARG("key", KEY), ARG("start", INTEGER), ARG("stop", INTEGER),
                  TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL)),
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `REV` argument"},
    {.name = "zrevrangebylex",
     .handler = cmd_zrevrangebylex,
     .arity = -4,
     .flags = CMD_READONLY,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zrevrangebylex,
     .group = "sorted-set",
     .since = "2.8.9",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the "
                   "number of elements being returned. If M is constant (e.g. always asking for "
                   "the first 10 elements with LIMIT), you can consider it O(log(N)).",
     .summary = "Returns members in a sorted set within a lexicographical range in reverse order.",
     .args = ARGS(ARG("key", KEY), ARG("max", STRING), ARG("min", STRING),
                  ARG("limit", BLOCK, .flags = ARG_OPTIONAL, .token = "LIMIT",
                      .children = ARGS(ARG("offset", INTEGER), ARG("count", INTEGER)))),
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `REV` and `BYLEX` arguments"},
    {.name = "zrevrangebyscore",
     .handler = cmd_zrevrangebyscore,
     .arity = -4,
     .flags = CMD_READONLY,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zrevrangebyscore,
     .group = "sorted-set",
     .since = "2.2.0",
     .complexity = "O(log(N)+M) with N being the number of elements in the sorted set and M the "
                   "number of elements being returned. If M is constant (e.g. always asking for "
                   "the first 10 elements with LIMIT), you can consider it O(log(N)).",
     .summary = "Returns members in a sorted set within a range of scores in reverse order.",
     .history = TEXTS("2.1.6", "`min` and `max` can be exclusive."),
     .args = ARGS(ARG("key", KEY), ARG("max", DOUBLE), ARG("min", DOUBLE),
                  TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL),
                  ARG("limit", BLOCK, .flags = ARG_OPTIONAL, .token = "LIMIT",
                      .children = ARGS(ARG("offset", INTEGER), ARG("count", INTEGER)))),
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `REV` and `BYSCORE` arguments"},
    {.name = NULL},
};
