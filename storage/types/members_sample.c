/* Random members. */
#include "storage/types/members_internal.h"

#include "codec/check.h"
#include "codec/mem.h"

#include <string.h>

#define WALK_SHARE 3 /* a sample of more than 1 / this much is made by looking at all */

struct part *members_random(const struct members *m, uint64_t *random)
{
    CHECK(m->count != 0);
    for (;;) {
        struct part *part = member_table_random(&m->table, random);
        if (member_is_live(part))
            return part;
    }
}

/* ---- Stretches. */

struct gather {
    const struct members *m;
    uint64_t from, to; /* positions */
    struct part **out; /* NULL: only count them */
    size_t count, max;
};

static void gather_part(void *arg, struct part *part)
{
    struct gather *gather = arg;
    uint64_t position = member_key(gather->m, member_text(part)).position;
    if (gather->count >= gather->max || position < gather->from || position >= gather->to)
        return;
    if (gather->out != NULL)
        gather->out[gather->count] = part;
    gather->count++;
}

/* Goes from one position to before another, while there is something in RAM. Returns how far. */
static uint64_t gather_between(struct gather *gather, uint64_t from, uint64_t to)
{
    gather->from = from;
    gather->to = to;
    uint64_t position = from;
    while (gather->count < gather->max && position < to) {
        size_t wanted = gather->max - gather->count;
        uint64_t next = members_scan(gather->m, position, wanted, gather_part, gather);
        if (next == position)
            break;
        position = next;
    }
    return position;
}

size_t members_gather(const struct members *m, uint64_t position, size_t count, struct part **out,
                      uint64_t *stopped_at)
{
    struct gather gather = {.m = m, .out = out, .max = count < m->count ? count : m->count};
    *stopped_at = gather_between(&gather, position, MEMBER_POSITION_LIMIT);
    if (gather.count < gather.max && *stopped_at >= MEMBER_POSITION_LIMIT)
        *stopped_at = gather_between(&gather, 0, position);
    return gather.count;
}

/* ---- Samples. */

/* Each is taken with the chance that makes `count` of those that are left. Moves them to the front.
 */
static void choose(struct part **parts, size_t found, size_t count, uint64_t *random)
{
    for (size_t i = 0; i < count; i++) {
        size_t k = i + member_random(random) % (found - i);
        struct part *part = parts[i];
        parts[i] = parts[k];
        parts[k] = part;
    }
}

static size_t sample_stretch(const struct members *m, uint64_t seed, size_t count,
                             struct part **out)
{
    size_t window = count + MEMBERS_SAMPLE_SLACK;
    struct part **parts = mem_alloc(window * sizeof(struct part *));
    uint64_t stopped_at;
    size_t found = members_gather(m, seed % MEMBER_POSITION_LIMIT, window, parts, &stopped_at);
    uint64_t random = seed | 1;
    if (found < count)
        count = found;
    choose(parts, found, count, &random);
    memcpy(out, parts, count * sizeof(struct part *));
    mem_free(parts);
    return count;
}

static void sample_by_walk(const struct members *m, uint64_t random, size_t count,
                           struct part **out)
{
    uint64_t left = m->count;
    struct member_iter iter = member_iter_begin(&m->table);
    while (count > 0) {
        struct part *part = member_iter_next(&iter);
        CHECK(part != NULL);
        if (!member_is_live(part))
            continue;
        if (member_random(&random) % left < count) {
            *out++ = part;
            count--;
        }
        left--;
    }
}

/* Random members until there are enough different ones. They are told by a hash set. */
static void sample_by_chance(const struct members *m, uint64_t random, size_t count,
                             struct part **out)
{
    size_t places = 16;
    while (places < count * 2)
        places *= 2;
    struct part **seen = mem_calloc(places, sizeof(struct part *));
    for (size_t found = 0; found < count;) {
        struct part *part = members_random(m, &random);
        size_t at = (uint64_t)(uintptr_t)part * 0x9E3779B97F4A7C15ULL >> 32;
        while (seen[at & (places - 1)] != NULL && seen[at & (places - 1)] != part)
            at++;
        if (seen[at & (places - 1)] == part)
            continue;
        seen[at & (places - 1)] = part;
        out[found++] = part;
    }
    mem_free(seen);
}

size_t members_sample(const struct members *m, uint64_t seed, size_t count, struct part **out)
{
    if (count > m->count)
        count = (size_t)m->count;
    if (!members_are_all(m))
        return sample_stretch(m, seed, count, out);
    if (count * WALK_SHARE > m->count)
        sample_by_walk(m, seed | 1, count, out);
    else
        sample_by_chance(m, seed | 1, count, out);
    return count;
}

enum ensured members_ensure_sample(struct ensure *e, struct members *m, size_t count)
{
    if (count > m->count)
        count = (size_t)m->count;
    return members_ensure_gather(e, m, e->random % MEMBER_POSITION_LIMIT,
                                 count + MEMBERS_SAMPLE_SLACK);
}
