#include "storage/types/hash.h"

#include "codec/check.h"
#include "codec/listpack.h"
#include "codec/mem.h"
#include "storage/types/hash_internal.h"
#include "storage/types/set.h"

static uint8_t *data_of(const struct object *o)
{
    return o->value.pointer;
}

struct members *hash_members(const struct object *o)
{
    return &hash_table(o)->members;
}

/* ---- Making -----------------------------------------------------------------------------------
 */

void hash_init(struct object *o)
{
    o->value.pointer = listpack_create(0).block;
    o->encoding = ENCODING_LISTPACK;
}

struct hash_table *hash_init_table(struct object *o, const struct value_rules *rules)
{
    struct hash_table *table = mem_calloc(1, sizeof(*table));
    members_init(&table->members, rules);
    o->value.pointer = table;
    o->encoding = ENCODING_TABLE;
    return table;
}

void hash_table_destroy(void *value)
{
    struct hash_table *table = value;
    hash_deadlines_destroy(table->deadlines);
    members_deinit(&table->members);
    mem_free(table);
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

uint64_t hash_count(const struct object *o)
{
    if (hash_is_table(o))
        return hash_members(o)->count;
    return listpack_count(data_of(o)) / hash_step(o);
}

static int64_t part_deadline(const struct part *part)
{
    return (part->bits & PART_PREFIXED) != 0 ? member_prefix(part) : OBJECT_NO_EXPIRE;
}

static void read_part(const struct part *part, struct hash_value *out)
{
    out->value = member_value(part);
    out->expire_at_ms = part_deadline(part);
}

bool hash_get(const struct object *o, struct bytes field, struct hash_value *out)
{
    if (!hash_is_table(o)) {
        uint32_t at = hash_listpack_find(o, field);
        if (at != 0)
            (void)hash_listpack_read(o, at, out);
        return at != 0;
    }
    struct member_key key = member_key(hash_members(o), field);
    const struct part *part = members_find(hash_members(o), &key);
    if (part != NULL)
        read_part(part, out);
    return part != NULL;
}

void hash_prefetch(const struct object *o, struct bytes field)
{
    if (hash_is_table(o))
        member_table_prefetch(&hash_members(o)->table, member_key(hash_members(o), field).position);
}

void hash_iter_init(struct hash_iter *iter, const struct object *o)
{
    iter->o = o;
    iter->at = hash_is_table(o) ? 0 : listpack_first(data_of(o));
    if (hash_is_table(o))
        iter->members = member_iter_begin(&hash_members(o)->table);
}

bool hash_iter_next(struct hash_iter *iter, struct bytes *field, struct hash_value *value)
{
    const struct object *o = iter->o;
    if (!hash_is_table(o)) {
        if (iter->at == 0)
            return false;
        *field = listpack_get_text(data_of(o), iter->at, iter->scratch);
        iter->at = hash_listpack_read(o, iter->at, value);
        return true;
    }
    const struct part *part;
    do {
        part = member_iter_next(&iter->members);
    } while (part != NULL && !member_is_live(part));
    if (part == NULL)
        return false;
    *field = member_text(part);
    read_part(part, value);
    return true;
}

struct visitor {
    hash_visit_fn *visit;
    void *arg;
};

static void visit_part(void *arg, struct part *part)
{
    const struct visitor *visitor = arg;
    struct hash_value value;
    read_part(part, &value);
    visitor->visit(visitor->arg, member_text(part), &value);
}

uint64_t hash_scan(const struct object *o, uint64_t cursor, size_t count, hash_visit_fn *visit,
                   void *arg)
{
    if (hash_is_table(o)) {
        struct visitor visitor = {.visit = visit, .arg = arg};
        uint64_t next = members_scan(hash_members(o), cursor, count, visit_part, &visitor);
        return next < MEMBER_POSITION_LIMIT ? next : 0;
    }
    struct hash_iter iter;
    struct bytes field;
    struct hash_value value;
    for (hash_iter_init(&iter, o); hash_iter_next(&iter, &field, &value);)
        visit(arg, field, &value);
    return 0;
}

void hash_sample(const struct object *o, uint64_t seed, size_t count, hash_visit_fn *visit,
                 void *arg)
{
    struct visitor visitor = {.visit = visit, .arg = arg};
    uint64_t left = hash_count(o);
    if (count > left)
        count = (size_t)left;
    if (hash_is_table(o)) {
        struct part **parts = mem_alloc(count * sizeof(struct part *) + 1);
        size_t found = members_sample(hash_members(o), seed, count, parts);
        for (size_t i = 0; i < found; i++)
            visit_part(&visitor, parts[i]);
        mem_free(parts);
        return;
    }
    /* Each is taken with the chance that makes `count` of those that are left. */
    uint64_t random = seed | 1;
    struct hash_iter iter;
    struct bytes field;
    struct hash_value value;
    hash_iter_init(&iter, o);
    for (; count > 0 && hash_iter_next(&iter, &field, &value); left--) {
        if (member_random(&random) % left < count) {
            visit(arg, field, &value);
            count--;
        }
    }
}

bool hash_has_deadlines(const struct object *o)
{
    return hash_is_table(o) ? hash_table(o)->deadlines != NULL
                            : o->encoding == ENCODING_LISTPACK_EX;
}

int64_t hash_next_deadline(const struct object *o)
{
    return hash_is_table(o) ? hash_deadlines_next(hash_table(o)) : hash_listpack_deadline(o);
}

/* ---- Changing ---------------------------------------------------------------------------------
 */

static bool set_in_table(struct hash_table *table, struct bytes field, struct bytes value,
                         int64_t expire_at_ms)
{
    struct member_key key = member_key(&table->members, field);
    struct member_content content = {.member = field,
                                     .value = value,
                                     .valued = true,
                                     .prefixed = expire_at_ms != OBJECT_NO_EXPIRE,
                                     .prefix = expire_at_ms};
    struct part *part = members_find(&table->members, &key);
    bool is_new = part == NULL;
    int64_t old_ms = is_new ? OBJECT_NO_EXPIRE : part_deadline(part);
    if (is_new)
        (void)members_add(&table->members, key.position, &content);
    else
        (void)members_change(&table->members, key.position, part, &content);
    if (old_ms == expire_at_ms)
        return is_new;
    if (old_ms != OBJECT_NO_EXPIRE)
        hash_deadlines_drop(table, field, key.position, old_ms);
    if (content.prefixed)
        hash_deadlines_add(table, field, key.position, expire_at_ms);
    return is_new;
}

static void make_table(struct object *o, const struct value_rules *rules)
{
    struct object from = *o;
    struct hash_table *table = hash_init_table(o, rules);
    struct hash_iter iter;
    struct bytes field;
    struct hash_value value;
    for (hash_iter_init(&iter, &from); hash_iter_next(&iter, &field, &value);)
        (void)set_in_table(table, field, value.value, value.expire_at_ms);
    mem_free(from.value.pointer);
}

void hash_expect(struct object *o, const struct value_rules *rules, const struct bytes *texts,
                 size_t count)
{
    if (hash_is_table(o))
        return;
    size_t bytes = listpack_bytes(data_of(o));
    bool fits = count / 2 <= rules->hash_listpack_entries;
    for (size_t i = 0; i < count && fits; i++) {
        bytes += texts[i].len;
        fits = texts[i].len <= rules->hash_listpack_value && bytes <= COMPACT_BYTES_MAX;
    }
    if (!fits)
        make_table(o, rules);
}

bool hash_set(struct object *o, const struct value_rules *rules, struct bytes field,
              struct bytes value, int64_t expire_at_ms)
{
    const struct bytes texts[] = {field, value};
    hash_expect(o, rules, texts, 2);
    if (hash_is_table(o))
        return set_in_table(hash_table(o), field, value, expire_at_ms);
    CHECK(expire_at_ms == OBJECT_NO_EXPIRE || o->encoding == ENCODING_LISTPACK_EX);
    bool is_new = hash_listpack_set(o, field, value, expire_at_ms);
    if (is_new && hash_count(o) > rules->hash_listpack_entries)
        make_table(o, rules);
    return is_new;
}

void hash_set_expire(struct object *o, struct bytes field, int64_t expire_at_ms)
{
    if (!hash_is_table(o)) {
        hash_listpack_set_expire(o, field, expire_at_ms);
        return;
    }
    struct hash_value old;
    CHECK(hash_get(o, field, &old));
    (void)set_in_table(hash_table(o), field, old.value, expire_at_ms);
}

bool hash_delete(struct object *o, struct bytes field)
{
    if (!hash_is_table(o))
        return hash_listpack_delete(o, field);
    struct members *m = hash_members(o);
    struct member_key key = member_key(m, field);
    struct part *part = members_find(m, &key);
    if (part == NULL)
        return false;
    if ((part->bits & PART_PREFIXED) != 0)
        hash_deadlines_drop(hash_table(o), field, key.position, member_prefix(part));
    members_remove(m, key.position, part);
    return true;
}

void hash_settle(struct object *o, const struct value_rules *rules)
{
    if (!hash_is_table(o) || o->large)
        return;
    members_settle(hash_members(o), o, rules);
    if (o->large)
        hash_deadlines_settle(hash_table(o));
}

/* ---- Fields whose time has come ---------------------------------------------------------------
 */

size_t hash_collect_due(struct object *o, int64_t now_ms, size_t max, struct buf *names)
{
    return hash_is_table(o) ? hash_deadlines_collect(hash_table(o), now_ms, max, names)
                            : hash_listpack_collect_due(o, now_ms, max, names);
}
