#include "storage/types/zset_internal.h"

#include "codec/check.h"
#include "storage/types/zset_listpack.h"

struct zset *zset_create(const struct value_rules *rules)
{
    struct zset *zset = mem_calloc(1, sizeof *zset);
    member_table_init(&zset->members, rules->hash_seed, ZSET_SCORE_BYTES);
    ordered_index_init(&zset->order);
    return zset;
}

void zset_destroy(struct zset *zset)
{
    struct member_iter iter = member_iter_begin(&zset->members);
    for (struct part *element; (element = member_iter_next(&iter)) != NULL;)
        mem_free(element);
    member_table_deinit(&zset->members);
    ordered_index_deinit(&zset->order);
    mem_free(zset);
}

void zset_insert_element(struct zset *zset, struct bytes member, double score, bool last)
{
    struct part *element = zset_element_create(score, member);
    member_table_insert(&zset->members, member_position(zset->members.seed, member), element);
    if (last)
        ordered_index_append(&zset->order, element);
    else
        ordered_index_insert(&zset->order, element);
    zset->count++;
    zset->element_bytes += mem_usable_size(element);
    zset->payload_bytes += zset_payload_bytes(member);
}

/* An element that is not in the order any more leaves the set. */
static void drop_element(struct zset *zset, struct part *element)
{
    struct bytes member = zset_element_member(element);
    member_table_remove(&zset->members, member_position(zset->members.seed, member), element);
    zset->count--;
    zset->element_bytes -= mem_usable_size(element);
    zset->payload_bytes -= zset_payload_bytes(member);
    mem_free(element);
}

static void make_table(struct object *o, const struct value_rules *rules)
{
    struct zset *zset = zset_create(rules);
    struct zset_walk walk;
    struct bytes member;
    double score;
    zset_walk_init(&walk, o, 0, false);
    while (zset_walk_next(&walk, &member, &score))
        zset_insert_element(zset, member, score, true);
    mem_free(o->value.pointer);
    zset_set_table(o, zset);
}

void zset_init(struct object *o, const struct value_rules *rules, size_t count, size_t member_len)
{
    if (count > rules->zset_listpack_entries || member_len > rules->zset_listpack_value) {
        zset_set_table(o, zset_create(rules));
        return;
    }
    o->encoding = ENCODING_LISTPACK;
    o->value.pointer = listpack_create(0).block;
}

/* ---- Reading. */

uint64_t zset_count(const struct object *o)
{
    return zset_is_listpack(o) ? zset_listpack_count(zset_listpack_of(o)) : zset_of(o)->count;
}

bool zset_find(const struct object *o, const struct value_rules *rules, struct bytes member,
               struct zset_found *out)
{
    if (zset_is_listpack(o)) {
        uint32_t at = zset_listpack_find(zset_listpack_of(o), member);
        if (at == 0)
            return false;
        *out = (struct zset_found){.score = zset_listpack_score(zset_listpack_of(o), at), .at = at};
        return true;
    }
    struct part *element =
        member_table_find(&zset_of(o)->members, member_position(rules->hash_seed, member), member);
    if (element == NULL)
        return false;
    *out = (struct zset_found){.score = zset_element_score(element), .element = element};
    return true;
}

uint64_t zset_rank(const struct object *o, const struct zset_found *found)
{
    return zset_is_listpack(o) ? zset_listpack_rank(zset_listpack_of(o), found->at)
                               : ordered_index_rank(&zset_of(o)->order, found->element);
}

uint64_t zset_seek(const struct object *o, const struct order_bound *bound)
{
    return zset_is_listpack(o) ? zset_listpack_seek(zset_listpack_of(o), bound)
                               : ordered_index_seek(&zset_of(o)->order, bound, NULL);
}

void zset_walk_init(struct zset_walk *walk, const struct object *o, uint64_t rank, bool down)
{
    *walk = (struct zset_walk){.down = down};
    if (zset_is_listpack(o)) {
        walk->data = zset_listpack_of(o);
        walk->at = rank < zset_count(o) ? listpack_seek(walk->data, 2 * (int64_t)rank) : 0;
    } else if (rank < zset_count(o)) {
        walk->cursor = ordered_index_at(&zset_of(o)->order, rank);
    }
}

static bool next_in_listpack(struct zset_walk *walk, struct bytes *member, double *score)
{
    const uint8_t *data = walk->data;
    uint32_t at = walk->at;
    if (at == 0)
        return false;
    *member = listpack_get_text(data, at, walk->scratch);
    *score = zset_listpack_score(data, at);
    if (!walk->down) {
        walk->at = listpack_next(data, listpack_next(data, at));
    } else {
        uint32_t before = listpack_prev(data, at);
        walk->at = before == 0 ? 0 : listpack_prev(data, before);
    }
    return true;
}

bool zset_walk_next(struct zset_walk *walk, struct bytes *member, double *score)
{
    if (walk->data != NULL)
        return next_in_listpack(walk, member, score);
    const struct part *element = order_cursor_element(&walk->cursor);
    if (element == NULL)
        return false;
    *member = zset_element_member(element);
    *score = zset_element_score(element);
    if (walk->down)
        order_cursor_previous(&walk->cursor);
    else
        order_cursor_next(&walk->cursor);
    return true;
}

struct scan {
    zset_visit_fn *visit;
    void *arg;
    size_t visited;
};

static void visit_part(void *arg, struct part *element)
{
    struct scan *scan = arg;
    scan->visited++;
    scan->visit(scan->arg, zset_element_member(element), zset_element_score(element));
}

uint64_t zset_scan(const struct object *o, uint64_t cursor, size_t count, zset_visit_fn *visit,
                   void *arg)
{
    if (zset_is_listpack(o)) {
        struct zset_walk walk;
        struct bytes member;
        double score;
        zset_walk_init(&walk, o, 0, false);
        while (zset_walk_next(&walk, &member, &score))
            visit(arg, member, score);
        return 0;
    }
    struct scan scan = {.visit = visit, .arg = arg};
    while (cursor < MEMBER_POSITION_LIMIT && scan.visited < count)
        cursor = member_table_walk(&zset_of(o)->members, cursor, visit_part, &scan);
    return cursor < MEMBER_POSITION_LIMIT ? cursor : 0;
}

void zset_random(const struct object *o, uint64_t *random, struct zset_walk *scratch,
                 struct bytes *member, double *score)
{
    if (zset_is_listpack(o)) {
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        zset_walk_init(scratch, o, (*random >> 32) % zset_count(o), false);
        CHECK(zset_walk_next(scratch, member, score));
        return;
    }
    const struct part *element = member_table_random(&zset_of(o)->members, random);
    *member = zset_element_member(element);
    *score = zset_element_score(element);
}

/* ---- Changing. */

bool zset_fits(const struct object *o, const struct value_rules *rules, size_t count)
{
    return !zset_is_listpack(o) || count <= rules->zset_listpack_entries;
}

void zset_expect(struct object *o, const struct value_rules *rules, size_t count)
{
    if (!zset_fits(o, rules, count))
        make_table(o, rules);
}

void zset_add(struct object *o, const struct value_rules *rules, struct bytes member, double score)
{
    if (zset_is_listpack(o)) {
        struct listpack lp = {.block = o->value.pointer};
        size_t extra = member.len + NUMBER_F64_CHARS_MAX + 2 * LISTPACK_ENTRY_EXTRA_BYTES_MAX;
        if (zset_count(o) < rules->zset_listpack_entries &&
            member.len <= rules->zset_listpack_value &&
            listpack_bytes(zset_listpack_of(o)) + extra <= ZSET_LISTPACK_BYTES_MAX) {
            zset_listpack_insert(&lp, member, score);
            o->value.pointer = lp.block;
            return;
        }
        make_table(o, rules);
    }
    zset_insert_element(zset_of(o), member, score, false);
}

void zset_rescore(struct object *o, struct bytes member, const struct zset_found *found,
                  double score)
{
    if (zset_is_listpack(o)) {
        struct listpack lp = {.block = o->value.pointer};
        zset_listpack_delete(&lp, found->at);
        zset_listpack_insert(&lp, member, score);
        o->value.pointer = lp.block;
        return;
    }
    ordered_index_rescore(&zset_of(o)->order, found->element, score);
}

void zset_remove(struct object *o, const struct zset_found *found)
{
    if (zset_is_listpack(o)) {
        struct listpack lp = {.block = o->value.pointer};
        zset_listpack_delete(&lp, found->at);
        o->value.pointer = lp.block;
        return;
    }
    ordered_index_remove(&zset_of(o)->order, found->element);
    drop_element(zset_of(o), found->element);
}

void zset_remove_range(struct object *o, uint64_t rank, uint64_t count)
{
    if (zset_is_listpack(o)) {
        struct listpack lp = {.block = o->value.pointer};
        (void)listpack_delete_range(&lp, 2 * (int64_t)rank, (uint32_t)(2 * count));
        o->value.pointer = lp.block;
        return;
    }
    struct zset *zset = zset_of(o);
    while (count != 0) {
        struct part *taken[ORDERED_INDEX_TAKE_MAX];
        size_t some = ordered_index_take(&zset->order, rank, count, taken);
        CHECK(some != 0);
        for (size_t i = 0; i < some; i++)
            drop_element(zset, taken[i]);
        count -= some;
    }
}
