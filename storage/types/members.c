#include "storage/types/members.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/types/members_internal.h"

#include <string.h>

#define FREE_AT_ONCE_MAX 64 /* more are freed in the background */

/* ---- Parts ------------------------------------------------------------------------------------
 */

static size_t varint_bytes(uint64_t value)
{
    size_t bytes = 1;
    while ((value >>= 7) != 0)
        bytes++;
    return bytes;
}

static size_t content_bytes(const struct member_content *content)
{
    size_t bytes = PART_HEADER_BYTES + varint_bytes(content->member.len) + content->member.len;
    if (content->prefixed)
        bytes += PART_PREFIX_BYTES;
    if (content->valued)
        bytes += varint_bytes(content->value.len) + content->value.len;
    return bytes;
}

static size_t part_content_bytes(const struct part *part)
{
    struct bytes last = (part->bits & PART_VALUED) != 0 ? member_value(part) : member_text(part);
    return (size_t)(last.data - (const uint8_t *)part) + last.len;
}

uint8_t member_content_bits(const struct member_content *content)
{
    return (uint8_t)((content->prefixed ? PART_PREFIXED : 0) | (content->valued ? PART_VALUED : 0));
}

static void fill_part(struct part *part, const struct member_content *content)
{
    uint8_t *at = part->data;
    if (content->prefixed) {
        store_le64(at, (uint64_t)content->prefix);
        at += PART_PREFIX_BYTES;
    }
    at += varint_encode(content->member.len, at);
    if (content->member.len != 0)
        memcpy(at, content->member.data, content->member.len);
    at += content->member.len;
    if (!content->valued)
        return;
    at += varint_encode(content->value.len, at);
    if (content->value.len != 0)
        memcpy(at, content->value.data, content->value.len);
}

struct part *member_part(const struct member_content *content, uint8_t bits)
{
    struct part *part = mem_alloc(content_bytes(content));
    memset(part, 0, PART_HEADER_BYTES);
    part->bits = bits;
    fill_part(part, content);
    return part;
}

struct part *member_tombstone(struct bytes member)
{
    struct member_content content = {.member = member};
    return member_part(&content, PART_GONE);
}

/* ---- Owning -----------------------------------------------------------------------------------
 */

void members_init(struct members *m, const struct value_rules *rules)
{
    *m = (struct members){.count = 0};
    member_table_init(&m->table, rules->hash_seed, 0);
}

void members_deinit(struct members *m)
{
    if (m->large != NULL)
        parts_deinit(&m->large->parts); /* looks at the parts */
    struct member_iter iter = member_iter_begin(&m->table);
    for (struct part *part; (part = member_iter_next(&iter)) != NULL;)
        mem_free(part);
    member_table_deinit(&m->table);
    if (m->large != NULL) {
        member_cover_deinit(&m->large->cover);
        mem_free(m->large);
        m->large = NULL;
    }
}

struct member_content member_content_of(const struct part *part)
{
    struct member_content content = {.member = member_text(part)};
    content.prefixed = (part->bits & PART_PREFIXED) != 0;
    if (content.prefixed)
        content.prefix = member_prefix(part);
    content.valued = (part->bits & PART_VALUED) != 0;
    if (content.valued)
        content.value = member_value(part);
    return content;
}

void members_copy(struct members *to, const struct members *from, const struct value_rules *rules)
{
    members_init(to, rules);
    struct member_iter iter = member_iter_begin(&from->table);
    for (const struct part *part; (part = member_iter_next(&iter)) != NULL;) {
        if (!member_is_live(part))
            continue;
        struct member_content content = member_content_of(part);
        (void)members_add(to, member_position(rules->hash_seed, content.member), &content);
    }
    CHECK(to->count == from->count);
}

/* The dirty vector is not among them: cuts take it outside of any change. */
size_t members_bytes(const struct members *m)
{
    size_t large = m->large == NULL ? 0 : sizeof(*m->large) + member_cover_bytes(&m->large->cover);
    return m->table.bytes + m->part_bytes + large;
}

bool members_free_is_long(const struct members *m)
{
    return m->table.count > FREE_AT_ONCE_MAX;
}

size_t members_dirty_bytes(const struct members *m)
{
    return m->large == NULL ? m->content_bytes : m->large->parts.dirty_bytes;
}

/* ---- Looking up -------------------------------------------------------------------------------
 */

struct scan {
    const struct members *m;
    uint64_t end; /* visit nothing from here on */
    bool check;   /* some that are met may lie behind the end */
    size_t count;
    member_visit_fn *visit;
    void *arg;
};

static uint64_t part_position(const struct members *m, const struct part *part)
{
    return member_key(m, member_text(part)).position;
}

static void visit_live(void *arg, struct part *part)
{
    struct scan *scan = arg;
    if (!member_is_live(part) || (scan->check && part_position(scan->m, part) >= scan->end))
        return;
    scan->count++;
    scan->visit(scan->arg, part);
}

uint64_t members_scan(const struct members *m, uint64_t position, size_t count,
                      member_visit_fn *visit, void *arg)
{
    struct scan scan = {.m = m, .end = MEMBER_POSITION_LIMIT, .visit = visit, .arg = arg};
    if (m->large != NULL) {
        scan.end = member_cover_end(&m->large->cover, position);
        scan.check = scan.end != MEMBER_POSITION_LIMIT;
    }
    while (position < scan.end && scan.count < count)
        position = member_table_walk(&m->table, position, visit_live, &scan);
    return position < scan.end ? position : scan.end;
}

/* ---- Changing ---------------------------------------------------------------------------------
 */

void members_put(struct members *m, uint64_t position, struct part *part)
{
    member_table_insert(&m->table, position, part);
    m->part_bytes += mem_usable_size(part);
}

static void replace_in_table(struct members *m, uint64_t position, const struct part *old,
                             struct part *part)
{
    m->part_bytes = m->part_bytes - mem_usable_size(old) + mem_usable_size(part);
    member_table_replace(&m->table, position, old, part);
}

struct part *members_add(struct members *m, uint64_t position, const struct member_content *content)
{
    struct part *part = member_part(content, member_content_bits(content));
    m->count++;
    m->content_bytes += content_bytes(content);
    struct part *gone =
        m->gone == 0 ? NULL : member_table_find(&m->table, position, content->member);
    if (gone == NULL) {
        members_put(m, position, part);
        if (m->large != NULL)
            parts_add(&m->large->parts, part);
        return part;
    }
    CHECK(!member_is_live(gone));
    m->gone--;
    replace_in_table(m, position, gone, part);
    parts_replace(&m->large->parts, gone, part);
    return part;
}

/* Whether the content has exactly the part's layout, but for other bytes in the value and prefix.
 */
static bool fits_in_place(const struct members *m, const struct part *part,
                          const struct member_content *content)
{
    return (m->large == NULL || parts_is_own(&m->large->parts, part)) &&
           member_content_bits(content) == part->bits &&
           (!content->valued || content->value.len == member_value(part).len);
}

struct part *members_change(struct members *m, uint64_t position, struct part *part,
                            const struct member_content *content)
{
    if (fits_in_place(m, part, content)) {
        if (content->prefixed)
            store_le64(part->data, (uint64_t)content->prefix);
        struct bytes value = content->valued ? member_value(part) : bytes_make(NULL, 0);
        size_t value_off = (size_t)(value.data - (const uint8_t *)part);
        if (value.len != 0)
            memmove((uint8_t *)part + value_off, content->value.data, value.len);
        return part;
    }
    struct part *changed = member_part(content, member_content_bits(content));
    members_replace(m, position, part, changed);
    return changed;
}

void members_replace(struct members *m, uint64_t position, struct part *old, struct part *part)
{
    m->content_bytes = m->content_bytes - part_content_bytes(old) + part_content_bytes(part);
    replace_in_table(m, position, old, part);
    if (m->large != NULL)
        parts_replace(&m->large->parts, old, part);
    else
        mem_free(old);
}

void members_remove(struct members *m, uint64_t position, struct part *part)
{
    m->count--;
    m->content_bytes -= part_content_bytes(part);
    if (m->large != NULL && m->large->parts.stored) {
        struct part *tombstone = member_tombstone(member_text(part));
        m->gone++;
        replace_in_table(m, position, part, tombstone);
        parts_replace(&m->large->parts, part, tombstone);
        return;
    }
    m->part_bytes -= mem_usable_size(part);
    member_table_remove(&m->table, position, part);
    if (m->large != NULL)
        parts_drop(&m->large->parts, part);
    else
        mem_free(part);
}

static void make_large(struct members *m, uint64_t object_id)
{
    m->large = mem_calloc(1, sizeof(*m->large));
    parts_init(&m->large->parts, object_id);
}

void members_settle(struct members *m, struct object *o, const struct value_rules *rules)
{
    if (m->large != NULL || m->content_bytes <= rules->large_bytes)
        return;
    make_large(m, rules->new_id(rules->arg));
    member_cover_add(&m->large->cover, 0, MEMBER_POSITION_LIMIT);
    struct member_iter iter = member_iter_begin(&m->table);
    for (struct part *part; (part = member_iter_next(&iter)) != NULL;)
        parts_add(&m->large->parts, part);
    o->large = 1;
}

/* ---- Large ones -------------------------------------------------------------------------------
 */

void members_init_large(struct members *m, const struct value_rules *rules, uint64_t object_id,
                        uint64_t count, uint64_t bytes)
{
    members_init(m, rules);
    make_large(m, object_id);
    m->large->parts.stored = true;
    m->count = count;
    m->content_bytes = bytes;
}

void members_forget_part(struct members *m, struct part *part)
{
    m->gone--;
    m->part_bytes -= mem_usable_size(part);
    member_table_remove(&m->table, part_position(m, part), part);
    mem_free(part);
}
