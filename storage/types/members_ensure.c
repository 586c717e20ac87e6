/* What requests need of large sets and hashes; and what eviction takes away again. */
#include "storage/types/members_internal.h"

#include "codec/mem.h"

#define RANGE_MEMBERS_MIN                                                                          \
    256                         /* to be read at once: what follows is likely to be asked for next \
                                 */
#define RANGE_MEMBERS_ALL 4096  /* while all are read */
#define QUARTERS          4     /* reads at once while all are read */
#define DROP_PARTS_MAX    16384 /* looked at by one call */
#define DROP_BATCH        64

/* ---- Ensuring ---------------------------------------------------------------------------------
 */

static bool is_known(const struct members *m, const struct member_key *key)
{
    return member_cover_end(&m->large->cover, key->position) != key->position ||
           member_table_find(&m->table, key->position, key->member) != NULL;
}

enum ensured members_ensure(struct ensure *e, struct members *m, const struct bytes *members,
                            size_t count, size_t step)
{
    if (members_are_all(m))
        return ENSURED;
    struct buf elements = {0};
    size_t unknown = 0;
    size_t *lens = NULL;
    for (size_t i = 0; i < count; i++) {
        struct member_key key = member_key(m, members[i * step]);
        if (is_known(m, &key))
            continue;
        if (lens == NULL)
            lens = mem_alloc((count - i) * sizeof(*lens));
        lens[unknown++] = MEMBER_ELEMENT_PREFIX_BYTES + key.member.len;
        uint8_t *place = buf_reserve(&elements, lens[unknown - 1]);
        member_element_prefix(key.position, place);
        elements.len += MEMBER_ELEMENT_PREFIX_BYTES;
        buf_append_bytes(&elements, key.member);
    }
    if (unknown == 0)
        return ENSURED;
    struct bytes *asked = mem_alloc(unknown * sizeof(*asked));
    size_t at = 0;
    for (size_t i = 0; i < unknown; i++) {
        asked[i] = bytes_make(elements.data + at, lens[i]);
        at += lens[i];
    }
    enum ensured result = ensure_parts(e, asked, unknown);
    mem_free(asked);
    mem_free(lens);
    buf_deinit(&elements);
    return result;
}

/* What is between two positions, the first of which is not covered: as much as is wanted. */
static enum ensured ensure_between(struct ensure *e, const struct members *m, uint64_t from,
                                   uint64_t to, size_t count)
{
    struct buf from_key = {0};
    struct buf to_key = {0};
    member_cover_bounds(&m->large->cover, from, to, &from_key, &to_key);
    enum ensured result = ensure_range(e, buf_bytes(&from_key), buf_bytes(&to_key), count);
    buf_deinit(&from_key);
    buf_deinit(&to_key);
    return result;
}

/* From a position that is not covered to the next one that is. */
static enum ensured ensure_gap(struct ensure *e, const struct members *m, uint64_t from,
                               size_t count)
{
    uint64_t to = member_cover_next(&m->large->cover, from);
    return ensure_between(e, m, from, to, count > RANGE_MEMBERS_MIN ? count : RANGE_MEMBERS_MIN);
}

enum ensured members_ensure_between(struct ensure *e, struct members *m, uint64_t from, uint64_t to,
                                    size_t count)
{
    enum ensured result = ENSURED;
    while (result == ENSURED) {
        uint64_t position = member_cover_end(&m->large->cover, from);
        if (position >= to)
            return ENSURED;
        uint64_t next = member_cover_next(&m->large->cover, position);
        result = ensure_between(e, m, position, next < to ? next : to, count);
    }
    return result;
}

bool members_are_all(const struct members *m)
{
    return m->large == NULL || member_cover_is_all(&m->large->cover);
}

/* The first position of a quarter that is not covered; false if all of it is. */
static bool find_gap(const struct members *m, uint32_t quarter, uint64_t *from, uint64_t *to)
{
    uint64_t end = MEMBER_POSITION_LIMIT / QUARTERS * (quarter + 1);
    uint64_t position = MEMBER_POSITION_LIMIT / QUARTERS * quarter;
    position = member_cover_end(&m->large->cover, position);
    if (position >= end)
        return false;
    uint64_t next = member_cover_next(&m->large->cover, position);
    *from = position;
    *to = next < end ? next : end;
    return true;
}

enum ensured members_ensure_all(struct ensure *e, struct members *m)
{
    if (members_are_all(m))
        return ENSURED;
    if (!ensure_takes(e, m->content_bytes))
        return ENSURE_TOO_LARGE;
    enum ensured result = ENSURED;
    for (uint32_t quarter = 0; quarter < QUARTERS; quarter++) {
        uint64_t from, to;
        while (find_gap(m, quarter, &from, &to)) {
            enum ensured one = ensure_between(e, m, from, to, RANGE_MEMBERS_ALL);
            if (one == ENSURE_FAILED)
                return one;
            if (one == ENSURE_WAIT) {
                result = ENSURE_WAIT;
                break;
            }
        }
    }
    return result;
}

enum ensured members_ensure_scan(struct ensure *e, struct members *m, uint64_t position,
                                 size_t count)
{
    if (m->large == NULL || position >= MEMBER_POSITION_LIMIT)
        return ENSURED;
    enum ensured result = ENSURED;
    while (result == ENSURED && member_cover_end(&m->large->cover, position) == position)
        result = ensure_gap(e, m, position, count);
    return result;
}

enum ensured members_ensure_gather(struct ensure *e, struct members *m, uint64_t position,
                                   size_t count)
{
    if (members_are_all(m))
        return ENSURED;
    if (count > m->count)
        count = m->count;
    enum ensured result = ENSURED;
    while (result == ENSURED) {
        uint64_t stopped_at;
        size_t found = members_gather(m, position, count, NULL, &stopped_at);
        if (found >= count || members_are_all(m))
            return ENSURED;
        result = ensure_gap(e, m, stopped_at, count - found);
    }
    return result;
}

/* ---- Eviction ---------------------------------------------------------------------------------
 */

struct drop {
    struct part *victims[DROP_BATCH];
    size_t count;
    size_t seen;
    bool full; /* there were more than fit */
    member_may_go_fn *may_go;
    void *arg;
};

static void consider(void *arg, struct part *part)
{
    struct drop *drop = arg;
    drop->seen++;
    if (part->dirty != 0 || (drop->may_go != NULL && !drop->may_go(drop->arg, part)))
        return;
    if (part->fresh) {
        part->fresh = 0;
    } else if (part->used) {
        part->used = 0;
    } else if (drop->count < DROP_BATCH) {
        drop->victims[drop->count++] = part;
    } else {
        drop->full = true;
    }
}

/* Returns where it was. */
static uint64_t drop_part(struct members *m, struct part *part)
{
    uint64_t position = member_key(m, member_text(part)).position;
    m->gone -= !member_is_live(part);
    m->part_bytes -= mem_usable_size(part);
    member_table_remove(&m->table, position, part);
    parts_drop(&m->large->parts, part);
    return position;
}

size_t members_drop_clean_if(struct members *m, size_t bytes, member_may_go_fn *may_go, void *arg)
{
    size_t before = members_bytes(m);
    size_t seen = 0;
    while (members_bytes(m) + bytes > before && seen < DROP_PARTS_MAX && m->table.count != 0) {
        struct drop drop = {.may_go = may_go, .arg = arg};
        uint64_t from = m->large->hand;
        uint64_t to = member_table_walk(&m->table, from, consider, &drop);
        seen += drop.seen + 1;
        for (size_t i = 0; i < drop.count; i++) {
            uint64_t position = drop_part(m, drop.victims[i]);
            if (position < from)
                from = position; /* a stretch may begin a little earlier */
        }
        if (drop.count != 0)
            member_cover_remove(&m->large->cover, from, to);
        if (!drop.full)
            m->large->hand = to < MEMBER_POSITION_LIMIT ? to : 0;
    }
    size_t after = members_bytes(m);
    return before > after ? before - after : 0;
}

size_t members_drop_clean(struct members *m, size_t bytes)
{
    return members_drop_clean_if(m, bytes, NULL, NULL);
}
