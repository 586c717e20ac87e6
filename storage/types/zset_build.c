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
    struct member_table members;     /* owns the elements */
    size_t longest;                  /* member there ever was; only the rules for listpacks care */
    struct part **sorted;            /* owned; NULL: not sorted yet */
};

struct zset_build *zset_build_create(const struct value_rules *rules)
{
    struct zset_build *build = mem_calloc(1, sizeof *build);
    build->rules = rules;
    member_table_init(&build->members, rules->hash_seed, ZSET_SCORE_BYTES);
    return build;
}

void zset_build_destroy(struct zset_build *build)
{
    struct member_iter iter = member_iter_begin(&build->members);
    for (struct part *element; (element = member_iter_next(&iter)) != NULL;)
        mem_free(element);
    member_table_deinit(&build->members);
    mem_free(build->sorted);
    mem_free(build);
}

uint64_t zset_build_count(const struct zset_build *build)
{
    return build->members.count;
}

struct part *zset_build_find(const struct zset_build *build, struct bytes member)
{
    return member_table_find(&build->members, member_position(build->rules->hash_seed, member),
                             member);
}

void zset_build_add(struct zset_build *build, struct bytes member, double score)
{
    CHECK(build->sorted == NULL);
    member_table_insert(&build->members, member_position(build->rules->hash_seed, member),
                        zset_element_create(score, member));
    if (member.len > build->longest)
        build->longest = member.len;
}

void zset_build_remove(struct zset_build *build, struct part *element)
{
    CHECK(build->sorted == NULL);
    struct bytes member = zset_element_member(element);
    member_table_remove(&build->members, member_position(build->rules->hash_seed, member), element);
    mem_free(element);
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
    struct member_iter iter = member_iter_begin(&build->members);
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
    zset->count = build->members.count;
    for (uint64_t i = 0; i < zset->count; i++) {
        ordered_index_append(&zset->order, sorted[i]);
        zset->element_bytes += mem_usable_size(sorted[i]);
        zset->payload_bytes += zset_payload_bytes(zset_element_member(sorted[i]));
    }
    member_table_init(&build->members, build->rules->hash_seed, ZSET_SCORE_BYTES);
    zset_set_table(o, zset);
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
