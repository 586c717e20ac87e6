/* Unions, intersections and differences of sorted sets and sets, whose members count as scored 1.
 * Source: t_zset.c of Redis 7.2, down to the order in which scores are added up. */
#include "server/call.h"
#include "server/commands/operands_ensure.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/commands/zset_edit.h"

#include "codec/mem.h"
#include "storage/types/set.h"
#include "storage/types/zset_element.h"

#include <math.h>
#include <stdlib.h>

#define SET_SCORE 1.0 /* of each member of a set */

enum operation { OPERATION_UNION, OPERATION_INTER, OPERATION_DIFF };
enum aggregate { AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };

struct source {
    const struct object *o; /* NULL: no such key, an empty set */
    double weight;
    uint64_t count;
    int place; /* among the request's keys */
};

struct request {
    struct call *c;
    enum operation operation;
    bool cardinality_only;
    bool stores;
    int numkeys_arg;
    enum aggregate aggregate;
    bool scores;            /* to be replied */
    int64_t limit;          /* of ZINTERCARD; 0: none */
    struct source *sources; /* owned */
    int count;
};

/* ---- Sources. */

static bool source_find(const struct source *source, struct bytes member, double *score)
{
    struct zset_found found;
    if (source->count == 0)
        return false;
    if (source->o->type == OBJECT_SET) {
        *score = SET_SCORE;
        return set_has(source->o, member);
    }
    if (!zset_find(source->o, member, &found))
        return false;
    *score = found.score;
    return true;
}

struct source_walk {
    bool is_set;
    struct set_iter set;
    struct zset_walk zset;
    uint64_t left;
};

static void source_walk_init(struct source_walk *walk, const struct source *source)
{
    walk->left = source->count;
    if (source->count == 0)
        return;
    walk->is_set = source->o->type == OBJECT_SET;
    if (walk->is_set)
        set_iter_init(&walk->set, source->o);
    else
        zset_walk_init(&walk->zset, source->o, 0, false);
}

static bool source_walk_next(struct source_walk *walk, struct bytes *member, double *score)
{
    if (walk->left-- == 0)
        return false;
    if (!walk->is_set)
        return zset_walk_next(&walk->zset, member, score);
    *score = SET_SCORE;
    return set_iter_next(&walk->set, member);
}

static uint64_t count_of(const struct object *o)
{
    if (o == NULL)
        return 0;
    return o->type == OBJECT_SET ? set_count(o) : zset_count(o);
}

/* ---- Arguments. */

static bool read_sources(struct request *request)
{
    struct call *c = request->c;
    int first = request->stores ? 1 : 0;
    for (int i = 0; i < request->count; i++) {
        const struct object *o = call_find_read(c, first + i);
        if (o != NULL && o->type != OBJECT_ZSET && o->type != OBJECT_SET) {
            reply_error_id(c->reply, ERROR_WRONGTYPE);
            return false;
        }
        request->sources[i] =
            (struct source){.o = o, .weight = 1, .count = count_of(o), .place = i};
    }
    return true;
}

static bool parse_weights(struct request *request, int first)
{
    for (int i = 0; i < request->count; i++) {
        if (number_parse_f64(request->c->argv[first + i], &request->sources[i].weight))
            continue;
        reply_error(request->c->reply, "ERR weight value is not a float");
        return false;
    }
    return true;
}

static bool parse_aggregate(struct request *request, int arg)
{
    if (call_arg_is(request->c, arg, "sum"))
        request->aggregate = AGGREGATE_SUM;
    else if (call_arg_is(request->c, arg, "min"))
        request->aggregate = AGGREGATE_MIN;
    else if (call_arg_is(request->c, arg, "max"))
        request->aggregate = AGGREGATE_MAX;
    else
        reply_error_id(request->c->reply, ERROR_SYNTAX);
    return !request->c->reply->failed;
}

/* Reads the option at `i`. Returns how many arguments it has, 0 after an error. */
static int parse_option(struct request *request, int i)
{
    struct call *c = request->c;
    bool has_value = i + 1 < c->argc;
    bool adds_up = request->operation != OPERATION_DIFF && !request->cardinality_only;
    if (adds_up && c->argc - i > request->count && call_arg_is(c, i, "weights"))
        return parse_weights(request, i + 1) ? request->count + 1 : 0;
    if (adds_up && has_value && call_arg_is(c, i, "aggregate"))
        return parse_aggregate(request, i + 1) ? 2 : 0;
    if (!request->stores && !request->cardinality_only && call_arg_is(c, i, "withscores")) {
        request->scores = true;
        return 1;
    }
    if (request->cardinality_only && has_value && call_arg_is(c, i, "limit"))
        return call_arg_range(c, i + 1, 0, INT64_MAX, &request->limit,
                              "ERR LIMIT can't be negative")
                   ? 2
                   : 0;
    reply_error_id(c->reply, ERROR_SYNTAX);
    return 0;
}

/* False: an error was replied. */
static bool parse(struct request *request)
{
    struct call *c = request->c;
    int64_t count;
    if (!call_arg_i64(c, request->numkeys_arg, &count))
        return false;
    if (count < 1) {
        reply_error_format(c->reply, "ERR at least 1 input key is needed for '%s' command",
                           c->command->name);
        return false;
    }
    if (count > c->argc - request->numkeys_arg - 1) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    request->count = (int)count;
    request->sources = mem_alloc((size_t)count * sizeof *request->sources);
    if (!read_sources(request))
        return false;
    for (int i = request->numkeys_arg + 1 + request->count; i < c->argc;) {
        int used = parse_option(request, i);
        if (used == 0)
            return false;
        i += used;
    }
    return true;
}

/* ---- The operations. */

static double add_up(enum aggregate aggregate, double a, double b)
{
    switch (aggregate) {
    case AGGREGATE_SUM: {
        double sum = a + b;
        return isnan(sum) ? 0 : sum; /* of +inf and -inf */
    }
    case AGGREGATE_MIN:
        return b < a ? b : a;
    case AGGREGATE_MAX:
        return b > a ? b : a;
    }
    return a;
}

static double weighted(double weight, double score)
{
    double product = weight * score;
    return isnan(product) ? 0 : product; /* of 0 and inf */
}

static void unite(const struct request *request, struct zset_build *build)
{
    for (int i = 0; i < request->count; i++) {
        const struct source *source = &request->sources[i];
        struct source_walk walk;
        struct bytes member;
        double score;
        source_walk_init(&walk, source);
        while (source_walk_next(&walk, &member, &score)) {
            struct part *there = zset_build_find(build, member);
            score = weighted(source->weight, score);
            if (there == NULL)
                zset_build_add(build, member, score);
            else
                zset_element_set_score(
                    there, add_up(request->aggregate, zset_element_score(there), score));
        }
    }
}

/* Whether a member of the first source is in all; its score is added up to `*score`. */
static bool is_in_all(const struct request *request, struct bytes member, double *score)
{
    const struct source *sources = request->sources;
    double first = *score;
    *score = weighted(sources[0].weight, first);
    for (int i = 1; i < request->count; i++) {
        double other = first;
        if (sources[i].o != sources[0].o && !source_find(&sources[i], member, &other))
            return false;
        /* As Redis has it: what is no number here becomes 0 in the sum only. */
        *score = add_up(request->aggregate, *score, other * sources[i].weight);
    }
    return true;
}

/* Returns how many there are; up to the limit, if there is one. `build` may be NULL. */
static uint64_t intersect(const struct request *request, struct zset_build *build)
{
    struct source_walk walk;
    struct bytes member;
    double score;
    uint64_t count = 0;
    source_walk_init(&walk, &request->sources[0]);
    while (source_walk_next(&walk, &member, &score)) {
        if (!is_in_all(request, member, &score))
            continue;
        count++;
        if (build != NULL)
            zset_build_add(build, member, score);
        if (request->limit != 0 && count == (uint64_t)request->limit)
            break;
    }
    return count;
}

static bool is_in_others(const struct request *request, struct bytes member)
{
    for (int i = 1; i < request->count; i++) {
        double score;
        if (source_find(&request->sources[i], member, &score))
            return true;
    }
    return false;
}

static void subtract(const struct request *request, struct zset_build *build)
{
    struct source_walk walk;
    struct bytes member;
    double score;
    for (int i = 1; i < request->count; i++)
        if (request->sources[i].o == request->sources[0].o)
            return;
    source_walk_init(&walk, &request->sources[0]);
    while (source_walk_next(&walk, &member, &score))
        if (!is_in_others(request, member))
            zset_build_add(build, member, score);
}

static int compare_counts(const void *a, const void *b)
{
    const struct source *x = a;
    const struct source *y = b;
    if (x->count != y->count)
        return x->count < y->count ? -1 : 1;
    return x->place - y->place;
}

static void reply_result(struct call *c, struct zset_build *build, bool scores)
{
    uint64_t count = zset_build_count(build);
    struct part *const *sorted = zset_build_sort(build);
    zset_reply_array(c->reply, count, scores);
    for (uint64_t i = 0; i < count; i++)
        zset_reply_element(c->reply, zset_element_member(sorted[i]), zset_element_score(sorted[i]),
                           scores);
}

static void run(struct request *request, const char *event)
{
    struct call *c = request->c;
    if (request->operation != OPERATION_DIFF)
        qsort(request->sources, (size_t)request->count, sizeof *request->sources, compare_counts);
    if (request->cardinality_only) {
        reply_integer(c->reply, (int64_t)intersect(request, NULL));
        return;
    }
    struct zset_build *build = zset_build_create(ks_value_rules(c->ks));
    switch (request->operation) {
    case OPERATION_UNION:
        unite(request, build);
        break;
    case OPERATION_INTER:
        (void)intersect(request, build);
        break;
    case OPERATION_DIFF:
        subtract(request, build);
        break;
    }
    if (request->stores) {
        zset_store_result(c, 0, build, event);
    } else {
        reply_result(c, build, request->scores);
        zset_build_destroy(build);
    }
}

static void serve(struct request request)
{
    request.numkeys_arg = request.stores ? 2 : 1;
    if (parse(&request))
        run(&request, request.c->command->name);
    mem_free(request.sources);
}

static void cmd_zunion(struct call *c)
{
    serve((struct request){.c = c, .operation = OPERATION_UNION});
}

static void cmd_zinter(struct call *c)
{
    serve((struct request){.c = c, .operation = OPERATION_INTER});
}

static void cmd_zdiff(struct call *c)
{
    serve((struct request){.c = c, .operation = OPERATION_DIFF});
}

static void cmd_zintercard(struct call *c)
{
    serve((struct request){.c = c, .operation = OPERATION_INTER, .cardinality_only = true});
}

static void cmd_zunionstore(struct call *c)
{
    serve((struct request){.c = c, .operation = OPERATION_UNION, .stores = true});
}

static void cmd_zinterstore(struct call *c)
{
    serve((struct request){.c = c, .operation = OPERATION_INTER, .stores = true});
}

static void cmd_zdiffstore(struct call *c)
{
    serve((struct request){.c = c, .operation = OPERATION_DIFF, .stores = true});
}

const struct command cmd_zset_algebra_table[] = {
    {.name = "zdiff",
     .handler = cmd_zdiff,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_NUMKEYS(1, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_difference,
     .group = "sorted-set",
     .since = "6.2.0",
     .complexity = "O(L + (N-K)log(N)) worst case where L is the total number of elements in all "
                   "the sets, N is the size of the first set, and K is the size of the result set.",
     .summary = "Returns the difference between multiple sorted sets.",
     .args = ARGS(ARG("numkeys", INTEGER), ARG("key", KEY, .flags = ARG_MULTIPLE),
                  TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL))},
    {.name = "zdiffstore",
     .handler = cmd_zdiffstore,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_OW | KEY_UPDATE | KEY_LOAD_META), KEY_NUMKEYS(2, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_stored_difference,
     .group = "sorted-set",
     .since = "6.2.0",
     .complexity = "O(L + (N-K)log(N)) worst case where L is the total number of elements in all "
                   "the sets, N is the size of the first set, and K is the size of the result set.",
     .summary = "Stores the difference of multiple sorted sets in a key.",
     .args = ARGS(ARG("destination", KEY), ARG("numkeys", INTEGER),
                  ARG("key", KEY, .flags = ARG_MULTIPLE, .key_spec_index = 1))},
    {.name = "zinter",
     .handler = cmd_zinter,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_NUMKEYS(1, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_intersection,
     .group = "sorted-set",
     .since = "6.2.0",
     .complexity = "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K "
                   "being the number of input sorted sets and M being the number of elements in "
                   "the resulting sorted set.",
     .summary = "Returns the intersect of multiple sorted sets.",
     .args =
         ARGS(ARG("numkeys", INTEGER), ARG("key", KEY, .flags = ARG_MULTIPLE),
              ARG("weight", INTEGER, .flags = ARG_OPTIONAL | ARG_MULTIPLE, .token = "WEIGHTS"),
              ARG("aggregate", ONEOF, .flags = ARG_OPTIONAL, .token = "AGGREGATE",
                  .children = ARGS(TOKEN("sum", "SUM"), TOKEN("min", "MIN"), TOKEN("max", "MAX"))),
              TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL))},
    {.name = "zintercard",
     .handler = cmd_zintercard,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_NUMKEYS(1, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_intersection,
     .group = "sorted-set",
     .since = "7.0.0",
     .complexity = "O(N*K) worst case with N being the smallest input sorted set, K being the "
                   "number of input sorted sets.",
     .summary = "Returns the number of members of the intersect of multiple sorted sets.",
     .args = ARGS(ARG("numkeys", INTEGER), ARG("key", KEY, .flags = ARG_MULTIPLE),
                  ARG("limit", INTEGER, .flags = ARG_OPTIONAL, .token = "LIMIT"))},
    {.name = "zinterstore",
     .handler = cmd_zinterstore,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_OW | KEY_UPDATE | KEY_LOAD_META), KEY_NUMKEYS(2, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_stored_intersection,
     .group = "sorted-set",
     .since = "2.0.0",
     .complexity = "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K "
                   "being the number of input sorted sets and M being the number of elements in "
                   "the resulting sorted set.",
     .summary = "Stores the intersect of multiple sorted sets in a key.",
     .args = ARGS(
         ARG("destination", KEY), ARG("numkeys", INTEGER),
         ARG("key", KEY, .flags = ARG_MULTIPLE, .key_spec_index = 1),
         ARG("weight", INTEGER, .flags = ARG_OPTIONAL | ARG_MULTIPLE, .token = "WEIGHTS"),
         ARG("aggregate", ONEOF, .flags = ARG_OPTIONAL, .token = "AGGREGATE",
             .children = ARGS(TOKEN("sum", "SUM"), TOKEN("min", "MIN"), TOKEN("max", "MAX"))))},
    {.name = "zunion",
     .handler = cmd_zunion,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_NUMKEYS(1, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_union,
     .group = "sorted-set",
     .since = "6.2.0",
     .complexity = "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, "
                   "and M being the number of elements in the resulting sorted set.",
     .summary = "Returns the union of multiple sorted sets.",
     .args =
         ARGS(ARG("numkeys", INTEGER), ARG("key", KEY, .flags = ARG_MULTIPLE),
              ARG("weight", INTEGER, .flags = ARG_OPTIONAL | ARG_MULTIPLE, .token = "WEIGHTS"),
              ARG("aggregate", ONEOF, .flags = ARG_OPTIONAL, .token = "AGGREGATE",
                  .children = ARGS(TOKEN("sum", "SUM"), TOKEN("min", "MIN"), TOKEN("max", "MAX"))),
              TOKEN("withscores", "WITHSCORES", .flags = ARG_OPTIONAL))},
    {.name = "zunionstore",
     .handler = cmd_zunionstore,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SORTEDSET,
     .keys = {KEY_AT(1, KEY_OW | KEY_UPDATE | KEY_LOAD_META), KEY_NUMKEYS(2, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_stored_union,
     .group = "sorted-set",
     .since = "2.0.0",
     .complexity = "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, "
                   "and M being the number of elements in the resulting sorted set.",
     .summary = "Stores the union of multiple sorted sets in a key.",
     .args = ARGS(
         ARG("destination", KEY), ARG("numkeys", INTEGER),
         ARG("key", KEY, .flags = ARG_MULTIPLE, .key_spec_index = 1),
         ARG("weight", INTEGER, .flags = ARG_OPTIONAL | ARG_MULTIPLE, .token = "WEIGHTS"),
         ARG("aggregate", ONEOF, .flags = ARG_OPTIONAL, .token = "AGGREGATE",
             .children = ARGS(TOKEN("sum", "SUM"), TOKEN("min", "MIN"), TOKEN("max", "MAX"))))},
    {.name = NULL},
};
