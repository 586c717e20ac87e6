/* Taking the first or the last elements of sorted sets: ZPOPMIN, ZPOPMAX, ZMPOP, and BZPOPMIN,
 * BZPOPMAX, BZMPOP, which wait for some. Source: t_zset.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/commands/zset_edit.h"

#include "codec/number.h"
#include "storage/types/zset_ensure.h"

enum shape {
    SHAPE_FLAT,      /* member, score, member, score, … */
    SHAPE_PAIRS,     /* pairs */
    SHAPE_KEY,       /* key, member, score */
    SHAPE_KEY_PAIRS, /* key, pairs */
};

struct pop {
    bool max;
    int64_t count;
    enum shape shape;
};

static void reply_head(struct call *c, const struct pop *pop, int index, uint64_t count)
{
    switch (pop->shape) {
    case SHAPE_FLAT:
        reply_array(c->reply, 2 * count);
        break;
    case SHAPE_PAIRS:
        reply_array(c->reply, count);
        break;
    case SHAPE_KEY:
        reply_array(c->reply, 2 * count + 1);
        reply_bulk(c->reply, c->keys[index].key);
        break;
    case SHAPE_KEY_PAIRS:
        reply_array(c->reply, 2);
        reply_bulk(c->reply, c->keys[index].key);
        reply_array(c->reply, count);
        break;
    }
}

/* Pops from key `index`, which has a sorted set. Returns how many elements. */
static uint64_t pop_from(struct call *c, const struct pop *pop, int index, struct object *o)
{
    uint64_t all = zset_count(o);
    uint64_t count = (uint64_t)pop->count < all ? (uint64_t)pop->count : all;
    uint64_t from = pop->max ? all - count : 0;
    bool pairs = pop->shape == SHAPE_PAIRS || pop->shape == SHAPE_KEY_PAIRS;
    struct zset_walk walk;
    struct bytes member;
    double score;
    reply_head(c, pop, index, count);
    if (count == 0)
        return 0;
    zset_walk_init(&walk, o, pop->max ? all - 1 : 0, pop->max);
    for (uint64_t i = 0; i < count && zset_walk_next(&walk, &member, &score); i++) {
        if (pairs)
            reply_array(c->reply, 2);
        reply_bulk(c->reply, member);
        reply_double(c->reply, score);
    }
    ks_change_begin(c->ks, c->keys[index].db, o);
    zset_remove_range(o, from, count);
    zset_removed(c, index, o, count, pop->max ? "zpopmax" : "zpopmin");
    return count;
}

/* Finds the first of `count` keys that exists, from key `first` on. -1: none does, or an error was
 * replied and `*wrong_type` set. */
static int find_first(struct call *c, int count, struct object **out, bool *wrong_type)
{
    *out = NULL;
    *wrong_type = false;
    for (int i = 0; i < count && !*wrong_type; i++) {
        *out = call_find_write_type(c, i, OBJECT_ZSET, wrong_type);
        if (*out != NULL)
            return i;
    }
    return -1;
}

/* What popping needs of a large set. */
static enum ensured ensure_pop(struct ensure *e, const struct pop *pop)
{
    if (e->o->type != OBJECT_ZSET)
        return ENSURED;
    enum ensured result = zset_ensure_order(e);
    if (result != ENSURED)
        return result;
    uint64_t all = zset_count(e->o);
    uint64_t count = (uint64_t)pop->count < all ? (uint64_t)pop->count : all;
    uint64_t from = pop->max ? all - count : 0;
    return zset_ensure_ranks(e, from, from + count);
}

/* ---- ZPOPMIN, ZPOPMAX. */

static enum ensured ensure_ends(struct ensure *e, const struct bytes *argv, int argc, bool max)
{
    struct pop pop = {.max = max, .count = 1};
    if (argc > 3 || (argc == 3 && (!number_parse_i64(argv[2], &pop.count) || pop.count < 0)))
        return ENSURED;
    return ensure_pop(e, &pop);
}

static enum ensured ensure_zpopmin(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_ends(e, argv, argc, false);
}

static enum ensured ensure_zpopmax(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_ends(e, argv, argc, true);
}

static void pop_one_key(struct call *c, bool max)
{
    struct pop pop = {.max = max, .count = 1, .shape = SHAPE_FLAT};
    struct object *o;
    bool wrong_type;
    if (c->argc > 3) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    if (c->argc == 3) {
        if (!call_arg_range(c, 2, 0, INT64_MAX, &pop.count,
                            "ERR value is out of range, must be positive"))
            return;
        if (c->reply->resp != 2)
            pop.shape = SHAPE_PAIRS;
    }
    int index = find_first(c, 1, &o, &wrong_type);
    if (wrong_type)
        return;
    if (index < 0)
        reply_array(c->reply, 0);
    else
        (void)pop_from(c, &pop, index, o);
}

static void cmd_zpopmin(struct call *c)
{
    pop_one_key(c, false);
}

static void cmd_zpopmax(struct call *c)
{
    pop_one_key(c, true);
}

/* ---- ZMPOP and the commands that wait. */

/* Reads what stands from the number of keys on: keys, MIN or MAX, COUNT. */
static bool parse_many(struct call *c, int numkeys_arg, struct pop *pop)
{
    int64_t key_count;
    bool has_count = false;
    *pop = (struct pop){.count = 1, .shape = SHAPE_KEY_PAIRS};
    if (!call_arg_range(c, numkeys_arg, 1, INT64_MAX, &key_count,
                        "ERR numkeys should be greater than 0"))
        return false;
    bool has_where = key_count < c->argc - numkeys_arg - 1;
    int where = has_where ? numkeys_arg + 1 + (int)key_count : 0;
    if (!has_where || (!call_arg_is(c, where, "min") && !call_arg_is(c, where, "max"))) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    pop->max = call_arg_is(c, where, "max");
    for (int i = where + 1; i < c->argc; i += 2) {
        if (has_count || i + 1 == c->argc || !call_arg_is(c, i, "count")) {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
        if (!call_arg_range(c, i + 1, 1, INT64_MAX, &pop->count,
                            "ERR count should be greater than 0"))
            return false;
        has_count = true;
    }
    return true;
}

static void effect_pop(struct call *c, const struct pop *pop, int index, uint64_t popped)
{
    const char *name = pop->max ? "ZPOPMAX" : "ZPOPMIN";
    if (pop->shape == SHAPE_KEY)
        call_effect_format(c, "sb", name, &c->keys[index].key);
    else
        call_effect_format(c, "sbi", name, &c->keys[index].key, (int64_t)popped);
}

/* Pops from the first of the keys that has something; false: there is none, and no reply yet. */
static bool pop_from_first(struct call *c, const struct pop *pop)
{
    struct object *o;
    bool wrong_type;
    int index = find_first(c, c->key_count, &o, &wrong_type);
    if (index >= 0)
        effect_pop(c, pop, index, pop_from(c, pop, index, o));
    return wrong_type || index >= 0;
}

/* Of several keys, any may be the one; MIN or MAX, and COUNT, stand behind them. */
static enum ensured ensure_many(struct ensure *e, const struct bytes *argv, int argc,
                                int numkeys_arg)
{
    struct pop pop = {.count = 1};
    int64_t key_count;
    if (!number_parse_i64(argv[numkeys_arg], &key_count) || key_count < 1 ||
        key_count >= argc - numkeys_arg - 1)
        return ENSURED;
    int where = numkeys_arg + 1 + (int)key_count;
    pop.max = bytes_equal_nocase(argv[where], "max");
    if (where + 2 < argc && (!number_parse_i64(argv[where + 2], &pop.count) || pop.count < 1))
        return ENSURED;
    return ensure_pop(e, &pop);
}

static enum ensured ensure_zmpop(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_many(e, argv, argc, 1);
}

static enum ensured ensure_bzmpop(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_many(e, argv, argc, 2);
}

static enum ensured ensure_bzpopmin(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argv;
    (void)argc;
    (void)key;
    return ensure_pop(e, &(struct pop){.count = 1});
}

static enum ensured ensure_bzpopmax(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argv;
    (void)argc;
    (void)key;
    return ensure_pop(e, &(struct pop){.max = true, .count = 1});
}

static void cmd_zmpop(struct call *c)
{
    struct pop pop;
    if (parse_many(c, 1, &pop) && !pop_from_first(c, &pop))
        reply_null_array(c->reply);
}

static void pop_or_block(struct call *c, const struct pop *pop, int timeout_arg)
{
    int64_t timeout_ms;
    if (!call_arg_timeout(c, timeout_arg, &timeout_ms) || pop_from_first(c, pop))
        return;
    if (!call_may_block(c)) {
        reply_null_array(c->reply);
        return;
    }
    struct call_block block = {
        .type = OBJECT_ZSET, .key_count = c->key_count, .timeout_ms = timeout_ms};
    call_block(c, &block);
}

static void cmd_bzpopmin(struct call *c)
{
    struct pop pop = {.count = 1, .shape = SHAPE_KEY};
    pop_or_block(c, &pop, c->argc - 1);
}

static void cmd_bzpopmax(struct call *c)
{
    struct pop pop = {.max = true, .count = 1, .shape = SHAPE_KEY};
    pop_or_block(c, &pop, c->argc - 1);
}

static void cmd_bzmpop(struct call *c)
{
    struct pop pop;
    if (parse_many(c, 2, &pop))
        pop_or_block(c, &pop, 1);
}

const struct command cmd_zset_pop_table[] = {
    {.name = "bzmpop",
     .handler = cmd_bzmpop,
     .arity = -5,
     .flags = CMD_WRITE | CMD_BLOCKING,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_NUMKEYS(2, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_bzmpop,
     .group = "sorted-set",
     .since = "7.0.0",
     .complexity = "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number "
                   "of elements in the sorted set, and M being the number of elements popped.",
     .summary =
         "Removes and returns a member by score from one or more sorted sets. Blocks until a "
         "member is available otherwise. Deletes the sorted set if the last element was popped.",
     .args = ARGS(ARG("timeout", DOUBLE), ARG("numkeys", INTEGER),
                  ARG("key", KEY, .flags = ARG_MULTIPLE),
                  ARG("where", ONEOF, .children = ARGS(TOKEN("min", "MIN"), TOKEN("max", "MAX"))),
                  ARG("count", INTEGER, .flags = ARG_OPTIONAL, .token = "COUNT"))},
    {.name = "bzpopmax",
     .handler = cmd_bzpopmax,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST | CMD_BLOCKING,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_RANGE(1, -2, 1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_bzpopmax,
     .group = "sorted-set",
     .since = "5.0.0",
     .complexity = "O(log(N)) with N being the number of elements in the sorted set.",
     .summary = "Removes and returns the member with the highest score from one or more sorted "
                "sets. Blocks until a member available otherwise.  Deletes the sorted set if the "
                "last element was popped.",
     .history = TEXTS("6.0.0", "`timeout` is interpreted as a double instead of an integer."),
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE), ARG("timeout", DOUBLE))},
    {.name = "bzpopmin",
     .handler = cmd_bzpopmin,
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST | CMD_BLOCKING,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_RANGE(1, -2, 1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_bzpopmin,
     .group = "sorted-set",
     .since = "5.0.0",
     .complexity = "O(log(N)) with N being the number of elements in the sorted set.",
     .summary = "Removes and returns the member with the lowest score from one or more sorted "
                "sets. Blocks until a member is available otherwise. Deletes the sorted set if the "
                "last element was popped.",
     .history = TEXTS("6.0.0", "`timeout` is interpreted as a double instead of an integer."),
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE), ARG("timeout", DOUBLE))},
    {.name = "zmpop",
     .handler = cmd_zmpop,
     .arity = -4,
     .flags = CMD_WRITE,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_NUMKEYS(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_zmpop,
     .group = "sorted-set",
     .since = "7.0.0",
     .complexity = "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number "
                   "of elements in the sorted set, and M being the number of elements popped.",
     .summary = "Returns the highest- or lowest-scoring members from one or more sorted sets after "
                "removing them. Deletes the sorted set if the last member was popped.",
     .args = ARGS(ARG("numkeys", INTEGER), ARG("key", KEY, .flags = ARG_MULTIPLE),
                  ARG("where", ONEOF, .children = ARGS(TOKEN("min", "MIN"), TOKEN("max", "MAX"))),
                  ARG("count", INTEGER, .flags = ARG_OPTIONAL, .token = "COUNT"))},
    {.name = "zpopmax",
     .handler = cmd_zpopmax,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_zpopmax,
     .group = "sorted-set",
     .since = "5.0.0",
     .complexity = "O(log(N)*M) with N being the number of elements in the sorted set, and M being "
                   "the number of elements popped.",
     .summary = "Returns the highest-scoring members from a sorted set after removing them. "
                "Deletes the sorted set if the last member was popped.",
     .args = ARGS(ARG("key", KEY), ARG("count", INTEGER, .flags = ARG_OPTIONAL))},
    {.name = "zpopmin",
     .handler = cmd_zpopmin,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_zpopmin,
     .group = "sorted-set",
     .since = "5.0.0",
     .complexity = "O(log(N)*M) with N being the number of elements in the sorted set, and M being "
                   "the number of elements popped.",
     .summary = "Returns the lowest-scoring members from a sorted set after removing them. Deletes "
                "the sorted set if the last member was popped.",
     .args = ARGS(ARG("key", KEY), ARG("count", INTEGER, .flags = ARG_OPTIONAL))},
    {.name = NULL},
};
