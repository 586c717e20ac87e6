/* Results of commands, as they become sorted sets: gathered by member, sorted once at the end. */
#include "storage/types/zset_internal.h"

#include "codec/check.h"

#include <stdlib.h>

/* An element with what it is sorted by first. */
struct sortable {
    uint64_t score;
    struct part *element;
};

struct zset_build {
    const struct value_rules *rules; /* borrowed */
    struct members members;          /* owns the elements */
    size_t longest;                  /* member there ever was; only the rules for listpacks care */
    struct part **sorted;            /* owned; NULL: not sorted yet */
};

struct zset_build *zset_build_create(const struct value_rules *rules)
{
    struct zset_build *build = mem_calloc(1, sizeof *build);
    build->rules = rules;
    members_init(&build->members, rules);
    return build;
}

void zset_build_destroy(struct zset_build *build)
{
    members_deinit(&build->members);
    mem_free(build->sorted);
    mem_free(build);
}

uint64_t zset_build_count(const struct zset_build *build)
{
    return build->members.count;
}

struct part *zset_build_find(const struct zset_build *build, struct bytes member)
{
    struct member_key key = member_key(&build->members, member);
    return members_find(&build->members, &key);
}

void zset_build_add(struct zset_build *build, struct bytes member, double score)
{
    CHECK(build->sorted == NULL);
    struct member_content content = {
        .member = member, .prefixed = true, .prefix = (int64_t)zset_score_bits(score)};
    (void)members_add(&build->members, member_key(&build->members, member).position, &content);
    if (member.len > build->longest)
        build->longest = member.len;
}

void zset_build_remove(struct zset_build *build, struct part *element)
{
    CHECK(build->sorted == NULL);
    struct member_key key = member_key(&build->members, zset_element_member(element));
    members_remove(&build->members, key.position, element);
}

static int compare(const void *a, const void *b)
{
    const struct sortable *x = a;
    const struct sortable *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return bytes_compare(zset_element_member(x->element), zset_element_member(y->element));
}

struct part *const *zset_build_sort(struct zset_build *build)
{
    size_t count = build->members.count;
    if (build->sorted != NULL || count == 0)
        return build->sorted;
    struct sortable *items = mem_alloc(count * sizeof *items);
    struct member_iter iter = member_iter_begin(&build->members.table);
    for (size_t i = 0; i < count; i++) {
        struct part *element = member_iter_next(&iter);
        items[i] = (struct sortable){zset_score_order(zset_element_score(element)), element};
    }
    qsort(items, count, sizeof *items, compare);
    build->sorted = mem_alloc(count * sizeof(struct part *));
    for (size_t i = 0; i < count; i++)
        build->sorted[i] = items[i].element;
    mem_free(items);
    return build->sorted;
}

static void store_listpack(struct zset_build *build, struct object *o)
{
    struct listpack lp = listpack_create(0);
    struct part *const *sorted = zset_build_sort(build);
    for (uint64_t i = 0; i < build->members.count; i++)
        zset_listpack_append(&lp, zset_element_member(sorted[i]), zset_element_score(sorted[i]));
    o->encoding = ENCODING_LISTPACK;
    o->value.pointer = lp.block;
}

static void store_table(struct zset_build *build, struct object *o)
{
    struct zset *zset = zset_create(build->rules);
    struct part *const *sorted = zset_build_sort(build);
    zset->members = build->members;
    for (uint64_t i = 0; i < zset->members.count; i++)
        ordered_index_append(&zset->order, sorted[i]);
    members_init(&build->members, build->rules);
    zset_set_table(o, zset);
    zset_settle(o, build->rules);
}

static bool fits_listpack(const struct zset_build *build)
{
    const struct value_rules *rules = build->rules;
    uint64_t count = build->members.count;
    size_t extra = NUMBER_F64_CHARS_MAX + 2 * LISTPACK_ENTRY_EXTRA_BYTES_MAX;
    return count <= rules->zset_listpack_entries && build->longest <= rules->zset_listpack_value &&
           count <= ZSET_LISTPACK_BYTES_MAX / (build->longest + extra);
}

void zset_build_store(struct zset_build *build, struct object *o)
{
    if (fits_listpack(build))
        store_listpack(build, o);
    else
        store_table(build, o);
    zset_build_destroy(build);
}
