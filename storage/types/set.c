#include "storage/types/set.h"

#include "codec/check.h"
#include "codec/intset.h"
#include "codec/listpack.h"
#include "codec/mem.h"
#include "storage/types/members.h"
#include "storage/types/set_internal.h"

#define INTEGER_CHARS_MAX NUMBER_I64_CHARS_MAX

/* ---- Blocks -----------------------------------------------------------------------------------
 */

static struct listpack listpack_of(const struct object *o)
{
    return (struct listpack){.block = o->value.pointer};
}

static const uint8_t *block_of(const struct object *o)
{
    return o->value.pointer;
}

static void set_block(struct object *o, enum object_encoding encoding, uint8_t *block)
{
    o->value.pointer = block;
    o->encoding = (uint8_t)encoding;
}

/* ---- Making -----------------------------------------------------------------------------------
 */

struct members *set_init_table(struct object *o, const struct value_rules *rules)
{
    struct members *m = mem_alloc(sizeof(*m));
    members_init(m, rules);
    o->value.pointer = m;
    o->encoding = ENCODING_TABLE;
    return m;
}

void set_init_intset(struct object *o)
{
    set_block(o, ENCODING_INTSET, intset_create());
}

void set_init_listpack(struct object *o)
{
    set_block(o, ENCODING_LISTPACK, listpack_create(0).block);
}

void set_init(struct object *o, const struct value_rules *rules, struct bytes first, size_t count)
{
    int64_t integer;
    if (count <= rules->set_intset_entries && number_parse_i64(first, &integer))
        set_init_intset(o);
    else if (count <= rules->set_listpack_entries)
        set_init_listpack(o);
    else
        (void)set_init_table(o, rules);
}

void set_clear(struct object *o)
{
    if (o->encoding == ENCODING_NONE)
        return;
    if (set_is_table(o))
        members_deinit(set_members(o));
    mem_free(o->value.pointer);
    o->value.pointer = NULL;
    o->encoding = ENCODING_NONE;
    o->large = 0;
}

void set_move(struct object *to, struct object *from)
{
    to->value = from->value;
    to->encoding = from->encoding;
    to->large = from->large;
    from->value.pointer = NULL;
    from->encoding = ENCODING_NONE;
    from->large = 0;
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

uint64_t set_count(const struct object *o)
{
    switch (o->encoding) {
    case ENCODING_INTSET:
        return intset_count(block_of(o));
    case ENCODING_LISTPACK:
        return listpack_count(block_of(o));
    default:
        return set_members(o)->count;
    }
}

bool set_has(const struct object *o, struct bytes member)
{
    if (o->encoding == ENCODING_INTSET) {
        int64_t integer;
        return number_parse_i64(member, &integer) && intset_has(block_of(o), integer);
    }
    if (o->encoding == ENCODING_LISTPACK)
        return listpack_find(block_of(o), listpack_first(block_of(o)), member, 0) != 0;
    struct member_key key = member_key(set_members(o), member);
    return members_find(set_members(o), &key) != NULL;
}

void set_prefetch(const struct object *o, struct bytes member)
{
    if (set_is_table(o))
        member_table_prefetch(&set_members(o)->table, member_key(set_members(o), member).position);
}

void set_iter_init(struct set_iter *iter, const struct object *o)
{
    iter->o = o;
    iter->at = o->encoding == ENCODING_LISTPACK ? listpack_first(block_of(o)) : 0;
    if (set_is_table(o))
        iter->members = member_iter_begin(&set_members(o)->table);
}

bool set_iter_next(struct set_iter *iter, struct bytes *member)
{
    const struct object *o = iter->o;
    if (o->encoding == ENCODING_INTSET) {
        if (iter->at == intset_count(block_of(o)))
            return false;
        int64_t integer = intset_get(block_of(o), iter->at++);
        *member = bytes_make(iter->scratch, number_format_i64(integer, iter->scratch));
        return true;
    }
    if (o->encoding == ENCODING_LISTPACK) {
        if (iter->at == 0)
            return false;
        *member = listpack_get_text(block_of(o), iter->at, iter->scratch);
        iter->at = listpack_next(block_of(o), iter->at);
        return true;
    }
    const struct part *part;
    do {
        part = member_iter_next(&iter->members);
    } while (part != NULL && !member_is_live(part));
    if (part == NULL)
        return false;
    *member = member_text(part);
    return true;
}

struct visitor {
    set_visit_fn *visit;
    void *arg;
};

static void visit_part(void *arg, struct part *part)
{
    const struct visitor *visitor = arg;
    visitor->visit(visitor->arg, member_text(part));
}

uint64_t set_scan(const struct object *o, uint64_t cursor, size_t count, set_visit_fn *visit,
                  void *arg)
{
    if (set_is_table(o)) {
        struct visitor visitor = {.visit = visit, .arg = arg};
        uint64_t next = members_scan(set_members(o), cursor, count, visit_part, &visitor);
        return next < MEMBER_POSITION_LIMIT ? next : 0;
    }
    struct set_iter iter;
    struct bytes member;
    for (set_iter_init(&iter, o); set_iter_next(&iter, &member);)
        visit(arg, member);
    return 0;
}

static uint64_t random_below(uint64_t *random, uint64_t limit)
{
    return member_random(random) % limit;
}

struct bytes set_random(const struct object *o, uint64_t *random, char scratch[INTEGER_CHARS_MAX])
{
    if (set_is_table(o))
        return member_text(members_random(set_members(o), random));
    uint32_t index = (uint32_t)random_below(random, set_count(o));
    if (o->encoding == ENCODING_LISTPACK)
        return listpack_get_text(block_of(o), listpack_seek(block_of(o), index), scratch);
    int64_t integer = intset_get(block_of(o), index);
    return bytes_make(scratch, number_format_i64(integer, scratch));
}

/* Each member is taken with the chance that makes `count` of those that are left. */
static void sample_compact(const struct object *o, uint64_t seed, size_t count, set_visit_fn *visit,
                           void *arg)
{
    uint64_t left = set_count(o);
    struct set_iter iter;
    struct bytes member;
    set_iter_init(&iter, o);
    for (; count > 0 && set_iter_next(&iter, &member); left--) {
        if (random_below(&seed, left) < count) {
            visit(arg, member);
            count--;
        }
    }
}

void set_sample(const struct object *o, uint64_t seed, size_t count, set_visit_fn *visit, void *arg)
{
    if (!set_is_table(o)) {
        sample_compact(o, seed | 1, count, visit, arg);
        return;
    }
    struct part **parts = mem_alloc(count * sizeof(struct part *) + 1);
    size_t found = members_sample(set_members(o), seed, count, parts);
    for (size_t i = 0; i < found; i++)
        visit(arg, member_text(parts[i]));
    mem_free(parts);
}

/* ---- Changing ---------------------------------------------------------------------------------
 */

static void add_to_table(struct members *m, struct bytes member)
{
    struct member_content content = {.member = member};
    (void)members_add(m, member_key(m, member).position, &content);
}

static void make_table(struct object *o, const struct value_rules *rules)
{
    struct object from = {.type = OBJECT_SET};
    set_move(&from, o);
    struct members *m = set_init_table(o, rules);
    struct set_iter iter;
    struct bytes member;
    for (set_iter_init(&iter, &from); set_iter_next(&iter, &member);)
        add_to_table(m, member);
    set_clear(&from);
}

/* An intset's members in a listpack, with room for about so many bytes more. */
static void make_listpack(struct object *o, size_t extra)
{
    const uint8_t *set = block_of(o);
    struct listpack lp = listpack_create(0);
    uint32_t count = intset_count(set);
    listpack_reserve(&lp, (size_t)count * (intset_width(set) + 2) + extra);
    for (uint32_t i = 0; i < count; i++)
        listpack_append(&lp, listpack_integer(intset_get(set, i)));
    mem_free(o->value.pointer);
    set_block(o, ENCODING_LISTPACK, lp.block);
}

void set_make_intset(struct object *o, const struct value_rules *rules)
{
    if (o->encoding == ENCODING_INTSET || set_count(o) > rules->set_intset_entries ||
        set_count(o) * sizeof(int64_t) > COMPACT_BYTES_MAX)
        return;
    uint8_t *set = intset_create();
    struct set_iter iter;
    struct bytes member;
    for (set_iter_init(&iter, o); set_iter_next(&iter, &member);) {
        int64_t integer = 0;
        bool changed;
        CHECK(number_parse_i64(member, &integer));
        set = intset_add(set, integer, &changed);
    }
    set_clear(o);
    set_block(o, ENCODING_INTSET, set);
}

void set_expect(struct object *o, const struct value_rules *rules, size_t count)
{
    if ((o->encoding == ENCODING_LISTPACK && count > rules->set_listpack_entries) ||
        (o->encoding == ENCODING_INTSET && count > rules->set_intset_entries))
        make_table(o, rules);
}

static bool add_integer(struct object *o, const struct value_rules *rules, int64_t integer)
{
    bool added;
    set_block(o, ENCODING_INTSET, intset_add(o->value.pointer, integer, &added));
    if (intset_count(block_of(o)) > rules->set_intset_entries ||
        intset_bytes(block_of(o)) > COMPACT_BYTES_MAX)
        make_table(o, rules);
    return added;
}

static size_t integer_chars(int64_t integer)
{
    char text[INTEGER_CHARS_MAX];
    return number_format_i64(integer, text);
}

/* Whether an intset can become a listpack that has `member`, too. */
static bool fits_listpack(const uint8_t *set, const struct value_rules *rules, struct bytes member)
{
    uint32_t count = intset_count(set);
    if (count >= rules->set_listpack_entries || member.len > rules->set_listpack_value)
        return false;
    return count == 0 || (integer_chars(intset_get(set, 0)) <= rules->set_listpack_value &&
                          integer_chars(intset_get(set, count - 1)) <= rules->set_listpack_value);
}

static bool add_to_listpack(struct object *o, const struct value_rules *rules, struct bytes member)
{
    struct listpack lp = listpack_of(o);
    if (listpack_count(lp.block) >= rules->set_listpack_entries ||
        member.len > rules->set_listpack_value ||
        listpack_bytes(lp.block) + member.len > COMPACT_BYTES_MAX)
        return false;
    listpack_append(&lp, listpack_text(member));
    o->value.pointer = lp.block;
    return true;
}

bool set_add(struct object *o, const struct value_rules *rules, struct bytes member)
{
    if (o->encoding == ENCODING_INTSET) {
        int64_t integer;
        if (number_parse_i64(member, &integer))
            return add_integer(o, rules, integer);
        if (fits_listpack(block_of(o), rules, member))
            make_listpack(o, member.len + LISTPACK_ENTRY_EXTRA_BYTES_MAX);
        else
            make_table(o, rules);
    }
    if (o->encoding == ENCODING_LISTPACK) {
        if (set_has(o, member))
            return false;
        if (add_to_listpack(o, rules, member))
            return true;
        make_table(o, rules);
    }
    struct members *m = set_members(o);
    struct member_key key = member_key(m, member);
    if (members_find(m, &key) != NULL)
        return false;
    struct member_content content = {.member = member};
    (void)members_add(m, key.position, &content);
    return true;
}

bool set_remove(struct object *o, struct bytes member)
{
    if (o->encoding == ENCODING_INTSET) {
        int64_t integer;
        bool removed = false;
        if (number_parse_i64(member, &integer))
            set_block(o, ENCODING_INTSET, intset_remove(o->value.pointer, integer, &removed));
        return removed;
    }
    if (o->encoding == ENCODING_LISTPACK) {
        struct listpack lp = listpack_of(o);
        uint32_t at = listpack_find(lp.block, listpack_first(lp.block), member, 0);
        if (at == 0)
            return false;
        listpack_delete(&lp, at);
        o->value.pointer = lp.block;
        return true;
    }
    struct members *m = set_members(o);
    struct member_key key = member_key(m, member);
    struct part *part = members_find(m, &key);
    if (part == NULL)
        return false;
    members_remove(m, key.position, part);
    return true;
}

void set_settle(struct object *o, const struct value_rules *rules)
{
    if (set_is_table(o))
        members_settle(set_members(o), o, rules);
}
