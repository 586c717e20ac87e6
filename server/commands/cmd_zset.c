/* Sorted sets, element by element: ZADD, ZREM, ZSCORE, ZRANK and their kin. Source: t_zset.c of
 * Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/commands/zset_add.h"
#include "server/commands/zset_edit.h"
#include "server/commands/zset_range.h"
#include "storage/types/zset_ensure.h"

#include "codec/mem.h"
#include "codec/number.h"

#define SCORES_FAST 32 /* so many of a request need no allocation */

/* ---- ZADD, ZINCRBY. */

/* Returns the argument behind the options. */
static int parse_add_options(const struct bytes *argv, int argc, unsigned *flags)
{
    static const struct {
        const char *word;
        unsigned flag;
    } words[] = {{"nx", ZSET_ADD_NX}, {"xx", ZSET_ADD_XX}, {"gt", ZSET_ADD_GT},
                 {"lt", ZSET_ADD_LT}, {"ch", ZSET_ADD_CH}, {"incr", ZSET_ADD_INCR}};
    for (int i = 2; i < argc; i++) {
        unsigned flag = 0;
        for (size_t w = 0; w < sizeof words / sizeof words[0]; w++)
            if (bytes_equal_nocase(argv[i], words[w].word))
                flag = words[w].flag;
        if (flag == 0)
            return i;
        *flags |= flag;
    }
    return argc;
}

/* Looks at the options together; false: an error was replied. */
static bool check_add(struct call *c, unsigned flags, int first)
{
    bool nx = (flags & ZSET_ADD_NX) != 0;
    bool gt = (flags & ZSET_ADD_GT) != 0;
    bool lt = (flags & ZSET_ADD_LT) != 0;
    int rest = c->argc - first;
    if (rest == 0 || rest % 2 != 0)
        reply_error_id(c->reply, ERROR_SYNTAX);
    else if (nx && (flags & ZSET_ADD_XX) != 0)
        reply_error(c->reply, "ERR XX and NX options at the same time are not compatible");
    else if ((gt && nx) || (lt && nx) || (gt && lt))
        reply_error(c->reply, "ERR GT, LT, and/or NX options at the same time are not compatible");
    else if ((flags & ZSET_ADD_INCR) != 0 && rest > 2)
        reply_error(c->reply, "ERR INCR option supports a single increment-element pair");
    else
        return true;
    return false;
}

/* The pairs of arguments from `first` on. */
static void add_pairs(struct call *c, unsigned flags, int first)
{
    double fast[SCORES_FAST];
    int count = (c->argc - first) / 2;
    double *scores = count <= SCORES_FAST ? fast : mem_alloc((size_t)count * sizeof *scores);
    bool valid = true;
    for (int i = 0; i < count && valid; i++)
        valid = call_arg_f64(c, first + 2 * i, &scores[i]);
    if (valid) {
        struct zset_add add = {
            .flags = flags, .scores = scores, .count = count, .first_member = first + 1, .step = 2};
        (void)zset_add_elements(c, &add);
    }
    if (scores != fast)
        mem_free(scores);
}

/* What that needs of a large set. */
static enum ensured ensure_pairs(struct ensure *e, const struct bytes *argv, int argc, int first,
                                 bool increments)
{
    double fast[SCORES_FAST];
    if (e->o->type != OBJECT_ZSET || argc - first < 2 || (argc - first) % 2 != 0)
        return ENSURED;
    struct zset_scores scores = {.members = argv + first + 1,
                                 .count = (size_t)(argc - first) / 2,
                                 .step = 2,
                                 .increments = increments};
    if (zset_order_is_whole(e->o))
        return zset_ensure_members(e, scores.members, scores.count, scores.step);
    double *read =
        scores.count <= SCORES_FAST ? fast : mem_alloc(scores.count * sizeof *scores.scores);
    bool valid = true;
    for (size_t i = 0; i < scores.count && valid; i++)
        valid = number_parse_f64(argv[first + 2 * (int)i], &read[i]);
    scores.scores = read;
    enum ensured result = valid ? zset_ensure_add(e, &scores) : ENSURED;
    if (read != fast)
        mem_free(read);
    return result;
}

static enum ensured ensure_zadd(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    unsigned flags = 0;
    int first = parse_add_options(argv, argc, &flags);
    (void)key;
    return ensure_pairs(e, argv, argc, first, (flags & ZSET_ADD_INCR) != 0);
}

static enum ensured ensure_zincrby(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_pairs(e, argv, argc, 2, true);
}

static void cmd_zadd(struct call *c)
{
    unsigned flags = 0;
    int first = parse_add_options(c->argv, c->argc, &flags);
    if (check_add(c, flags, first))
        add_pairs(c, flags, first);
}

static void cmd_zincrby(struct call *c)
{
    add_pairs(c, ZSET_ADD_INCR, 2);
}

/* ---- ZREM. */

static enum ensured ensure_zrem(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return e->o->type == OBJECT_ZSET ? zset_ensure_remove(e, argv + 2, (size_t)argc - 2, 1)
                                     : ENSURED;
}

static void cmd_zrem(struct call *c)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return;
    uint64_t removed = 0;
    for (int i = 2; i < c->argc && o != NULL && zset_count(o) != 0; i++) {
        struct zset_found found;
        if (!zset_find(o, c->argv[i], &found))
            continue;
        if (removed++ == 0)
            ks_change_begin(c->ks, c->keys[0].db, o);
        zset_remove(o, &found);
    }
    zset_removed(c, 0, o, removed, "zrem");
    reply_integer(c->reply, (int64_t)removed);
}

/* ---- ZCARD, ZSCORE, ZMSCORE, ZCOUNT, ZLEXCOUNT. */

static enum ensured ensure_count(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)e;
    (void)argv;
    (void)argc;
    (void)key;
    return ENSURED;
}

static enum ensured ensure_listed(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return e->o->type == OBJECT_ZSET ? zset_ensure_members(e, argv + 2, (size_t)argc - 2, 1)
                                     : ENSURED;
}

static void cmd_zcard(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (!wrong_type)
        reply_integer(c->reply, o == NULL ? 0 : (int64_t)zset_count(o));
}

static void reply_score(struct call *c, const struct object *o, struct bytes member)
{
    struct zset_found found;
    if (o != NULL && zset_find(o, member, &found))
        reply_double(c->reply, found.score);
    else
        reply_null(c->reply);
}

static void cmd_zscore(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (!wrong_type)
        reply_score(c, o, c->argv[2]);
}

static void cmd_zmscore(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return;
    reply_array(c->reply, (uint64_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++)
        reply_score(c, o, c->argv[i]);
}

static void count_range(struct call *c, enum zset_range_kind kind)
{
    struct zset_range range;
    bool wrong_type = false;
    if (!zset_range_parse(c, kind, 2, 3, &range))
        return;
    const struct object *o = call_find_read_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return;
    struct zset_ranks ranks = {0, 0};
    if (o != NULL)
        ranks = zset_range_find(o, &range, false);
    reply_integer(c->reply, (int64_t)(ranks.to - ranks.from));
}

static enum ensured ensure_counted(struct ensure *e, const struct bytes *argv,
                                   enum zset_range_kind kind)
{
    struct zset_range range;
    if (e->o->type != OBJECT_ZSET || !zset_range_read(kind, argv[2], argv[3], &range))
        return ENSURED;
    return zset_range_ensure(e, &(struct zset_range_needs){.range = &range});
}

static enum ensured ensure_zcount(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argc;
    (void)key;
    return ensure_counted(e, argv, ZSET_RANGE_SCORE);
}

static enum ensured ensure_zlexcount(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argc;
    (void)key;
    return ensure_counted(e, argv, ZSET_RANGE_MEMBER);
}

static void cmd_zcount(struct call *c)
{
    count_range(c, ZSET_RANGE_SCORE);
}

static void cmd_zlexcount(struct call *c)
{
    count_range(c, ZSET_RANGE_MEMBER);
}

/* ---- ZRANK, ZREVRANK. */

static void reply_rank(struct call *c, bool from_end)
{
    bool with_score = c->argc == 4;
    bool wrong_type = false;
    struct zset_found found;
    if (c->argc > 4) {
        reply_error_arity(c->reply, c->command->name);
        return;
    }
    if (with_score && !call_arg_is(c, 3, "withscore")) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    const struct object *o = call_find_read_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL || !zset_find(o, c->argv[2], &found)) {
        if (with_score)
            reply_null_array(c->reply);
        else
            reply_null(c->reply);
        return;
    }
    uint64_t rank = zset_rank(o, &found);
    if (from_end)
        rank = zset_count(o) - 1 - rank;
    if (with_score)
        reply_array(c->reply, 2);
    reply_integer(c->reply, (int64_t)rank);
    if (with_score)
        reply_double(c->reply, found.score);
}

static enum ensured ensure_zrank(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argc;
    (void)key;
    return e->o->type == OBJECT_ZSET ? zset_ensure_rank(e, argv[2]) : ENSURED;
}

static void cmd_zrank(struct call *c)
{
    reply_rank(c, false);
}

static void cmd_zrevrank(struct call *c)
{
    reply_rank(c, true);
}

const struct command cmd_zset_table[] = {
    {.name = "zadd",
     .handler = cmd_zadd,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_zadd,
     .group = "sorted-set",
     .since = "1.2.0",
     .complexity =
         "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
     .summary = "Adds one or more members to a sorted set, or updates their scores. Creates the "
                "key if it doesn't exist.",
     .history = TEXTS("2.4.0", "Accepts multiple elements.", "3.0.2",
                      "Added the `XX`, `NX`, `CH` and `INCR` options.", "6.2.0",
                      "Added the `GT` and `LT` options."),
     .args = ARGS(ARG("key", KEY),
                  ARG("condition", ONEOF, .flags = ARG_OPTIONAL, .since = "3.0.2",
                      .children = ARGS(TOKEN("nx", "NX"), TOKEN("xx", "XX"))),
                  ARG("comparison", ONEOF, .flags = ARG_OPTIONAL, .since = "6.2.0",
                      .children = ARGS(TOKEN("gt", "GT"), TOKEN("lt", "LT"))),
                  TOKEN("change", "CH", .flags = ARG_OPTIONAL, .since = "3.0.2"),
                  TOKEN("increment", "INCR", .flags = ARG_OPTIONAL, .since = "3.0.2"),
                  ARG("data", BLOCK, .flags = ARG_MULTIPLE,
                      .children = ARGS(ARG("score", DOUBLE), ARG("member", STRING))))},
    {.name = "zcard",
     .handler = cmd_zcard,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO)},
     .ensure = ensure_count,
     .group = "sorted-set",
     .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Returns the number of members in a sorted set.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "zcount",
     .handler = cmd_zcount,
     .arity = 4,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zcount,
     .group = "sorted-set",
     .since = "2.0.0",
     .complexity = "O(log(N)) with N being the number of elements in the sorted set.",
     .summary = "Returns the count of members in a sorted set that have scores within a range.",
     .args = ARGS(ARG("key", KEY), ARG("min", DOUBLE), ARG("max", DOUBLE))},
    {.name = "zincrby",
     .handler = cmd_zincrby,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .ensure = ensure_zincrby,
     .group = "sorted-set",
     .since = "1.2.0",
     .complexity = "O(log(N)) where N is the number of elements in the sorted set.",
     .summary = "Increments the score of a member in a sorted set.",
     .args = ARGS(ARG("key", KEY), ARG("increment", INTEGER), ARG("member", STRING))},
    {.name = "zlexcount",
     .handler = cmd_zlexcount,
     .arity = 4,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zlexcount,
     .group = "sorted-set",
     .since = "2.8.9",
     .complexity = "O(log(N)) with N being the number of elements in the sorted set.",
     .summary = "Returns the number of members in a sorted set within a lexicographical range.",
     .args = ARGS(ARG("key", KEY), ARG("min", STRING), ARG("max", STRING))},
    {.name = "zmscore",
     .handler = cmd_zmscore,
     .arity = -3,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_listed,
     .group = "sorted-set",
     .since = "6.2.0",
     .complexity = "O(N) where N is the number of members being requested.",
     .summary = "Returns the score of one or more members in a sorted set.",
     .args = ARGS(ARG("key", KEY), ARG("member", STRING, .flags = ARG_MULTIPLE))},
    {.name = "zrank",
     .handler = cmd_zrank,
     .arity = -3,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zrank,
     .group = "sorted-set",
     .since = "2.0.0",
     .complexity = "O(log(N))",
     .summary = "Returns the index of a member in a sorted set ordered by ascending scores.",
     .history = TEXTS("7.2.0", "Added the optional `WITHSCORE` argument."),
     .args = ARGS(ARG("key", KEY), ARG("member", STRING),
                  TOKEN("withscore", "WITHSCORE", .flags = ARG_OPTIONAL))},
    {.name = "zrem",
     .handler = cmd_zrem,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RW | KEY_DELETE)},
     .ensure = ensure_zrem,
     .group = "sorted-set",
     .since = "1.2.0",
     .complexity = "O(M*log(N)) with N being the number of elements in the sorted set and M the "
                   "number of elements to be removed.",
     .summary = "Removes one or more members from a sorted set. Deletes the sorted set if all "
                "members were removed.",
     .history = TEXTS("2.4.0", "Accepts multiple elements."),
     .args = ARGS(ARG("key", KEY), ARG("member", STRING, .flags = ARG_MULTIPLE))},
    {.name = "zrevrank",
     .handler = cmd_zrevrank,
     .arity = -3,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_zrank,
     .group = "sorted-set",
     .since = "2.0.0",
     .complexity = "O(log(N))",
     .summary = "Returns the index of a member in a sorted set ordered by descending scores.",
     .history = TEXTS("7.2.0", "Added the optional `WITHSCORE` argument."),
     .args = ARGS(ARG("key", KEY), ARG("member", STRING),
                  TOKEN("withscore", "WITHSCORE", .flags = ARG_OPTIONAL))},
    {.name = "zscore",
     .handler = cmd_zscore,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_listed,
     .group = "sorted-set",
     .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Returns the score of a member in a sorted set.",
     .args = ARGS(ARG("key", KEY), ARG("member", STRING))},
    {.name = NULL},
};
