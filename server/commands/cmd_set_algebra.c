/* Sets made of sets: intersection, union, difference. Source: t_set.c of Redis 7.2. */
#include "server/commands/operands_ensure.h"
#include "server/commands/rows.h"
#include "server/commands/set_edit.h"
#include "server/commands/tables.h"

#include "codec/mem.h"
#include "codec/number.h"
#include "storage/types/members.h"

#include <stdlib.h>

/* The sets that a request names; NULL where there is none. */
struct operands {
    const struct object **items; /* owned */
    size_t count;
    size_t missing;
};

/* The keys from index `first` on. False: one is of another type, and an error was replied. */
static bool find_operands(struct call *c, int first, struct operands *out)
{
    *out = (struct operands){.count = (size_t)(c->key_count - first)};
    out->items = mem_alloc(out->count * sizeof(*out->items) + 1);
    for (size_t i = 0; i < out->count; i++) {
        bool wrong_type = false;
        out->items[i] = call_find_read_type(c, first + (int)i, OBJECT_SET, &wrong_type);
        if (wrong_type) {
            mem_free(out->items);
            return false;
        }
        out->missing += out->items[i] == NULL;
    }
    return true;
}

static void operands_deinit(struct operands *operands)
{
    mem_free(operands->items);
}

static uint64_t count_of(const struct object *o)
{
    return o == NULL ? 0 : set_count(o);
}

static int smaller_first(const void *a, const void *b)
{
    uint64_t first = count_of(*(const struct object *const *)a);
    uint64_t second = count_of(*(const struct object *const *)b);
    return (first > second) - (first < second);
}

static int larger_first(const void *a, const void *b)
{
    return smaller_first(b, a);
}

/* The smallest, of several the first one, comes first: all of it is in RAM (operands_ensure.h).
 */
static void sort_smaller_first(struct operands *operands)
{
    size_t smallest = 0;
    for (size_t i = 1; i < operands->count; i++)
        if (count_of(operands->items[i]) < count_of(operands->items[smallest]))
            smallest = i;
    const struct object *first = operands->items[smallest];
    operands->items[smallest] = operands->items[0];
    operands->items[0] = first;
    qsort(operands->items + 1, operands->count - 1, sizeof(*operands->items), smaller_first);
}

static bool in_all(const struct operands *operands, struct bytes member)
{
    for (size_t i = 1; i < operands->count; i++)
        if (operands->items[i] != operands->items[0] && !set_has(operands->items[i], member))
            return false;
    return true;
}

static bool in_any_other(const struct operands *operands, struct bytes member)
{
    for (size_t i = 1; i < operands->count; i++)
        if (operands->items[i] != NULL && set_has(operands->items[i], member))
            return true;
    return false;
}

/* ---- Intersection: the members of the smallest set that all others have. */

struct intersection {
    struct operands operands;
    struct set_iter iter;
};

/* False: one of the sets is empty. */
static bool intersection_begin(struct intersection *in)
{
    if (in->operands.missing != 0)
        return false;
    sort_smaller_first(&in->operands);
    set_iter_init(&in->iter, in->operands.items[0]);
    return true;
}

static bool intersection_next(struct intersection *in, struct bytes *member)
{
    while (set_iter_next(&in->iter, member))
        if (in_all(&in->operands, *member))
            return true;
    return false;
}

static void cmd_sinter(struct call *c)
{
    struct intersection in;
    if (!find_operands(c, 0, &in.operands))
        return;
    if (intersection_begin(&in)) {
        struct bytes member;
        uint64_t count = 0;
        struct reply_deferred deferred = reply_deferred_begin(c->reply);
        for (; intersection_next(&in, &member); count++)
            reply_bulk(c->reply, member);
        reply_deferred_set(c->reply, &deferred, count);
    } else {
        reply_set(c->reply, 0);
    }
    operands_deinit(&in.operands);
}

static bool read_limit(struct call *c, uint64_t *limit)
{
    int64_t numkeys = 0;
    if (!call_arg_range(c, 1, 1, INT64_MAX, &numkeys, "ERR numkeys should be greater than 0"))
        return false;
    if (numkeys > c->argc - 2) {
        reply_error(c->reply, "ERR Number of keys can't be greater than number of args");
        return false;
    }
    *limit = 0;
    for (int i = 2 + (int)numkeys; i < c->argc; i += 2) {
        if (i + 1 == c->argc || !call_arg_is(c, i, "limit")) {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
        int64_t value = 0;
        if (!call_arg_range(c, i + 1, 0, INT64_MAX, &value, "ERR LIMIT can't be negative"))
            return false;
        *limit = (uint64_t)value;
    }
    return true;
}

static void cmd_sintercard(struct call *c)
{
    struct intersection in;
    uint64_t limit = 0;
    if (!read_limit(c, &limit) || !find_operands(c, 0, &in.operands))
        return;
    uint64_t count = 0;
    struct bytes member;
    if (intersection_begin(&in))
        while ((limit == 0 || count < limit) && intersection_next(&in, &member))
            count++;
    reply_integer(c->reply, (int64_t)count);
    operands_deinit(&in.operands);
}

/* As the smallest set is held, at first; an intset if there are only integers. */
static void intersect(struct call *c, struct intersection *in, struct object *result)
{
    if (!intersection_begin(in)) {
        set_init_listpack(result);
        return;
    }
    bool integers = true;
    struct bytes member;
    if (in->operands.items[0]->encoding == ENCODING_INTSET)
        set_init_intset(result);
    else
        set_init_listpack(result);
    while (intersection_next(in, &member)) {
        int64_t integer;
        integers = integers && number_parse_i64(member, &integer);
        (void)set_add(result, ks_value_rules(c->ks), member);
    }
    if (integers)
        set_make_intset(result, ks_value_rules(c->ks));
}

static void cmd_sinterstore(struct call *c)
{
    struct intersection in;
    if (!find_operands(c, 1, &in.operands))
        return;
    struct object result = {.type = OBJECT_SET};
    intersect(c, &in, &result);
    set_store_result(c, 0, &result, "sinterstore");
    set_clear(&result);
    operands_deinit(&in.operands);
}

/* ---- Union and difference. */

static void add_all(struct call *c, struct object *result, const struct object *o)
{
    struct set_iter iter;
    struct bytes member;
    if (o == NULL)
        return;
    for (set_iter_init(&iter, o); set_iter_next(&iter, &member);)
        (void)set_add(result, ks_value_rules(c->ks), member);
}

static void unite(struct call *c, struct operands *operands, struct object *result)
{
    for (size_t i = 0; i < operands->count; i++)
        add_all(c, result, operands->items[i]);
}

/* Whether it is less work to look each member of the first set up in the others than to remove all
 * of theirs from a copy of it. Looking up gets an advantage: it may end early. It must be that if
 * one of the others has not been read whole. */
static bool look_up_is_less(const struct operands *operands)
{
    uint64_t lookups = 0;
    uint64_t removals = 0;
    for (size_t i = 0; i < operands->count; i++) {
        const struct object *o = operands->items[i];
        if (o == NULL)
            continue;
        if (set_is_table(o) && !members_are_all(set_members(o)))
            return true;
        lookups += set_count(operands->items[0]);
        removals += set_count(operands->items[i]);
    }
    return lookups / 2 <= removals;
}

static void subtract_by_look_up(struct call *c, struct operands *operands, struct object *result)
{
    qsort(operands->items + 1, operands->count - 1, sizeof(*operands->items), larger_first);
    struct set_iter iter;
    struct bytes member;
    for (set_iter_init(&iter, operands->items[0]); set_iter_next(&iter, &member);)
        if (!in_any_other(operands, member))
            (void)set_add(result, ks_value_rules(c->ks), member);
}

static void subtract_by_removal(struct call *c, struct operands *operands, struct object *result)
{
    add_all(c, result, operands->items[0]);
    for (size_t i = 1; i < operands->count && set_count(result) != 0; i++) {
        struct set_iter iter;
        struct bytes member;
        if (operands->items[i] == NULL)
            continue;
        for (set_iter_init(&iter, operands->items[i]); set_iter_next(&iter, &member);)
            (void)set_remove(result, member);
    }
}

static void subtract(struct call *c, struct operands *operands, struct object *result)
{
    if (operands->items[0] == NULL)
        return;
    for (size_t i = 1; i < operands->count; i++)
        if (operands->items[i] == operands->items[0])
            return;
    if (look_up_is_less(operands))
        subtract_by_look_up(c, operands, result);
    else
        subtract_by_removal(c, operands, result);
}

typedef void combine_fn(struct call *c, struct operands *operands, struct object *result);

/* The result of the keys from `first` on, in a set of the caller's. False: an error was replied. */
static bool combine(struct call *c, int first, combine_fn *fn, struct object *result)
{
    struct operands operands;
    if (!find_operands(c, first, &operands))
        return false;
    set_init_intset(result);
    fn(c, &operands, result);
    operands_deinit(&operands);
    return true;
}

static void reply_combined(struct call *c, combine_fn *fn)
{
    struct object result = {.type = OBJECT_SET};
    if (!combine(c, 0, fn, &result))
        return;
    struct set_iter iter;
    struct bytes member;
    reply_set(c->reply, set_count(&result));
    for (set_iter_init(&iter, &result); set_iter_next(&iter, &member);)
        reply_bulk(c->reply, member);
    set_clear(&result);
}

static void store_combined(struct call *c, combine_fn *fn, const char *event)
{
    struct object result = {.type = OBJECT_SET};
    if (!combine(c, 1, fn, &result))
        return;
    set_store_result(c, 0, &result, event);
    set_clear(&result);
}

static void cmd_sunion(struct call *c)
{
    reply_combined(c, unite);
}

static void cmd_sunionstore(struct call *c)
{
    store_combined(c, unite, "sunionstore");
}

static void cmd_sdiff(struct call *c)
{
    reply_combined(c, subtract);
}

static void cmd_sdiffstore(struct call *c)
{
    store_combined(c, subtract, "sdiffstore");
}

/* ---- The rows. */

const struct command cmd_set_algebra_table[] = {
    {.name = "sdiff",
     .handler = cmd_sdiff,
     .arity = -2,
     .flags = CMD_READONLY,
     .acl = ACL_SET,
     .keys = {KEY_RANGE(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_difference,
     .group = "set",
     .since = "1.0.0",
     .complexity = "O(N) where N is the total number of elements in all given sets.",
     .summary = "Returns the difference of multiple sets.",
     .tips = TEXTS("nondeterministic_output_order"),
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE))},
    {.name = "sdiffstore",
     .handler = cmd_sdiffstore,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_OW | KEY_UPDATE | KEY_LOAD_META),
              KEY_RANGE(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_stored_difference,
     .group = "set",
     .since = "1.0.0",
     .complexity = "O(N) where N is the total number of elements in all given sets.",
     .summary = "Stores the difference of multiple sets in a key.",
     .args = ARGS(ARG("destination", KEY),
                  ARG("key", KEY, .flags = ARG_MULTIPLE, .key_spec_index = 1))},
    {.name = "sinter",
     .handler = cmd_sinter,
     .arity = -2,
     .flags = CMD_READONLY,
     .acl = ACL_SET,
     .keys = {KEY_RANGE(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_intersection,
     .group = "set",
     .since = "1.0.0",
     .complexity = "O(N*M) worst case where N is the cardinality of the smallest set and M is the "
                   "number of sets.",
     .summary = "Returns the intersect of multiple sets.",
     .tips = TEXTS("nondeterministic_output_order"),
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE))},
    {.name = "sintercard",
     .handler = cmd_sintercard,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_SET,
     .keys = {KEY_NUMKEYS(1, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_intersection,
     .group = "set",
     .since = "7.0.0",
     .complexity = "O(N*M) worst case where N is the cardinality of the smallest set and M is the "
                   "number of sets.",
     .summary = "Returns the number of members of the intersect of multiple sets.",
     .args = ARGS(ARG("numkeys", INTEGER), ARG("key", KEY, .flags = ARG_MULTIPLE),
                  ARG("limit", INTEGER, .token = "LIMIT", .flags = ARG_OPTIONAL))},
    {.name = "sinterstore",
     .handler = cmd_sinterstore,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE | KEY_LOAD_META),
              KEY_RANGE(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_stored_intersection,
     .group = "set",
     .since = "1.0.0",
     .complexity = "O(N*M) worst case where N is the cardinality of the smallest set and M is the "
                   "number of sets.",
     .summary = "Stores the intersect of multiple sets in a key.",
     .args = ARGS(ARG("destination", KEY),
                  ARG("key", KEY, .flags = ARG_MULTIPLE, .key_spec_index = 1))},
    {.name = "sunion",
     .handler = cmd_sunion,
     .arity = -2,
     .flags = CMD_READONLY,
     .acl = ACL_SET,
     .keys = {KEY_RANGE(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_union,
     .group = "set",
     .since = "1.0.0",
     .complexity = "O(N) where N is the total number of elements in all given sets.",
     .summary = "Returns the union of multiple sets.",
     .tips = TEXTS("nondeterministic_output_order"),
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE))},
    {.name = "sunionstore",
     .handler = cmd_sunionstore,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_OW | KEY_UPDATE | KEY_LOAD_META),
              KEY_RANGE(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .ensure_keys = operands_ensure_stored_union,
     .group = "set",
     .since = "1.0.0",
     .complexity = "O(N) where N is the total number of elements in all given sets.",
     .summary = "Stores the union of multiple sets in a key.",
     .args = ARGS(ARG("destination", KEY),
                  ARG("key", KEY, .flags = ARG_MULTIPLE, .key_spec_index = 1))},
    {.name = NULL},
};
