#include "storage/types/zset_internal.h"

#include "codec/check.h"

/* ---- Tables. */

struct zset *zset_create(const struct value_rules *rules)
{
    struct zset *zset = mem_calloc(1, sizeof *zset);
    members_init(&zset->members, rules);
    ordered_index_init(&zset->order);
    return zset;
}

void zset_destroy(struct zset *zset)
{
    members_deinit(&zset->members); /* first: its vector of parts looks at the order's */
    ordered_index_deinit(&zset->order);
    mem_free(zset);
}

static struct member_content content_of(struct bytes member, double score)
{
    return (struct member_content){
        .member = member, .prefixed = true, .prefix = (int64_t)zset_score_bits(score)};
}

void zset_insert_element(struct zset *zset, struct bytes member, double score, bool last)
{
    struct member_key key = member_key(&zset->members, member);
    struct member_content content = content_of(member, score);
    struct part *element = members_add(&zset->members, key.position, &content);
    if (last)
        ordered_index_append(&zset->order, element);
    else
        ordered_index_insert(&zset->order, element);
}

/* Whether the element may be changed in place. Else its record in the order, which the disk has or
 * is about to get, goes when the element goes or gets another score. */
static bool is_own(const struct zset *zset, const struct part *element)
{
    const struct members_large *large = zset->members.large;
    return large == NULL || parts_is_own(&large->parts, element);
}

static void forget_score(struct zset *zset, const struct part *element)
{
    if (!is_own(zset, element))
        parts_add_deletion(&zset->members.large->parts, zset_score_tombstone(element));
}

static void rescore_element(struct zset *zset, struct part *element, double score)
{
    if (is_own(zset, element)) {
        ordered_index_rescore(&zset->order, element, score);
        return;
    }
    struct member_key key = member_key(&zset->members, zset_element_member(element));
    struct part *changed = zset_element_create(score, key.member, 0);
    forget_score(zset, element);
    ordered_index_replace(&zset->order, element, changed);
    members_replace(&zset->members, key.position, element, changed);
}

/* An element that is not in the order any more leaves the set. */
static void drop_element(struct zset *zset, struct part *element)
{
    struct member_key key = member_key(&zset->members, zset_element_member(element));
    forget_score(zset, element);
    members_remove(&zset->members, key.position, element);
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
    return zset_is_listpack(o) ? zset_listpack_count(zset_listpack_of(o))
                               : zset_of(o)->members.count;
}

bool zset_find(const struct object *o, struct bytes member, struct zset_found *out)
{
    if (zset_is_listpack(o)) {
        uint32_t at = zset_listpack_find(zset_listpack_of(o), member);
        if (at == 0)
            return false;
        *out = (struct zset_found){.score = zset_listpack_score(zset_listpack_of(o), at), .at = at};
        return true;
    }
    struct member_key key = member_key(&zset_of(o)->members, member);
    struct part *element = members_find(&zset_of(o)->members, &key);
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
                               : ordered_index_seek(&zset_of(o)->order, bound);
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

struct visit {
    zset_visit_fn *fn;
    void *arg;
};

static void visit_element(void *arg, struct part *element)
{
    const struct visit *visit = arg;
    visit->fn(visit->arg, zset_element_member(element), zset_element_score(element));
}

uint64_t zset_scan(const struct object *o, uint64_t cursor, size_t count, zset_visit_fn *fn,
                   void *arg)
{
    if (zset_is_listpack(o)) {
        struct zset_walk walk;
        struct bytes member;
        double score;
        zset_walk_init(&walk, o, 0, false);
        while (zset_walk_next(&walk, &member, &score))
            fn(arg, member, score);
        return 0;
    }
    struct visit visit = {.fn = fn, .arg = arg};
    uint64_t next = members_scan(&zset_of(o)->members, cursor, count, visit_element, &visit);
    return next < MEMBER_POSITION_LIMIT ? next : 0;
}

static void sample_listpack(const struct object *o, uint64_t seed, size_t count, zset_visit_fn *fn,
                            void *arg)
{
    uint64_t random = seed | 1;
    uint64_t left = zset_count(o);
    struct zset_walk walk;
    struct bytes member;
    double score;
    zset_walk_init(&walk, o, 0, false);
    for (; count != 0 && zset_walk_next(&walk, &member, &score); left--) {
        if (member_random(&random) % left >= count)
            continue;
        fn(arg, member, score);
        count--;
    }
}

void zset_sample(const struct object *o, uint64_t seed, size_t count, zset_visit_fn *fn, void *arg)
{
    if (count > zset_count(o))
        count = zset_count(o);
    if (zset_is_listpack(o)) {
        sample_listpack(o, seed, count, fn, arg);
        return;
    }
    struct part **chosen = mem_alloc(count * sizeof(*chosen) + 1);
    struct visit visit = {.fn = fn, .arg = arg};
    size_t found = members_sample(&zset_of(o)->members, seed, count, chosen);
    for (size_t i = 0; i < found; i++)
        visit_element(&visit, chosen[i]);
    mem_free(chosen);
}

bool zset_is_all(const struct object *o)
{
    return zset_is_listpack(o) || members_are_all(&zset_of(o)->members);
}

void zset_random(const struct object *o, uint64_t *random, zset_visit_fn *fn, void *arg)
{
    struct zset_walk walk;
    struct bytes member;
    double score;
    if (!zset_is_listpack(o)) {
        struct visit visit = {.fn = fn, .arg = arg};
        visit_element(&visit, members_random(&zset_of(o)->members, random));
        return;
    }
    zset_walk_init(&walk, o, member_random(random) % zset_count(o), false);
    CHECK(zset_walk_next(&walk, &member, &score));
    fn(arg, member, score);
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
    rescore_element(zset_of(o), found->element, score);
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
        struct part *taken[ORDER_LEAF_MAX];
        size_t some = ordered_index_take(&zset->order, rank, count, taken);
        CHECK(some != 0);
        for (size_t i = 0; i < some; i++)
            drop_element(zset, taken[i]);
        count -= some;
    }
}

void zset_settle(struct object *o, const struct value_rules *rules)
{
    if (zset_is_listpack(o) || o->large)
        return;
    struct zset *zset = zset_of(o);
    members_settle(&zset->members, o, rules);
    if (o->large)
        ordered_index_set_parts(&zset->order, &zset->members.large->parts);
}
