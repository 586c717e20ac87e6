/* Random members.
 *
 * Of a collection of which not all is in RAM, a sample comes from *cells*: equal stretches of
 * positions, chosen at random, of which all is read. A cell has as many slots as its members will
 * hardly ever be; a slot is chosen at random, and if no member is in it, another cell is. So each
 * member has the same chance, however unevenly the cells are filled. A large sample takes several
 * members of each cell. */
#include "storage/types/members_internal.h"

#include "codec/check.h"
#include "codec/mem.h"

#include <string.h>

#define CELLS        16  /* that a sample comes from, and half as many again */
#define CELL_MEMBERS 64  /* at least, on average */
#define CELL_TAKES   4   /* at least so many times as many as are taken of one */
#define CELLS_SPARE  8   /* there must be so many times as many as are needed */
#define DRAWS_MAX    256 /* a few dozen are enough */
#define WALK_SHARE   3   /* a sample of more than 1 / this much is made by looking at all */

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

/* ---- Cells. */

struct cells {
    uint32_t bits; /* there are 2^bits */
    size_t mean;   /* members of one */
    size_t slots;
    size_t takes;
};

/* False: there are too few of them for such a sample. */
static bool plan_cells(const struct members *m, size_t count, struct cells *out)
{
    *out = (struct cells){.takes = (count + CELLS - 1) / CELLS};
    size_t least = out->takes * CELL_TAKES;
    if (least < CELL_MEMBERS)
        least = CELL_MEMBERS;
    while (m->count >> (out->bits + 1) >= least)
        out->bits++;
    out->mean = (size_t)(m->count >> out->bits);
    out->slots = out->mean + out->mean / 2 + 8; /* beyond 4 standard deviations */
    return out->takes != 0 && (uint64_t)1 << out->bits >= CELLS_SPARE * (count / out->takes + 1);
}

/* The cells of a sample, one after the other. */
struct draw {
    const struct members *m;
    struct cells cells;
    uint64_t random;
    uint64_t drawn[DRAWS_MAX];
    size_t count;
    /* the last one */
    uint64_t from, to; /* positions */
    uint64_t seed;     /* of the choice in it */
};

static void draw_init(struct draw *draw, const struct members *m, const struct cells *cells,
                      uint64_t seed)
{
    draw->m = m;
    draw->cells = *cells;
    draw->random = seed | 1;
    draw->count = 0;
}

static bool was_drawn(const struct draw *draw, uint64_t cell)
{
    for (size_t i = 0; i < draw->count; i++)
        if (draw->drawn[i] == cell)
            return true;
    return false;
}

static bool draw_next(struct draw *draw)
{
    uint64_t width = MEMBER_POSITION_LIMIT >> draw->cells.bits;
    if (draw->count == DRAWS_MAX)
        return false;
    do {
        draw->from = member_random(&draw->random) % MEMBER_POSITION_LIMIT / width * width;
    } while (was_drawn(draw, draw->from));
    draw->drawn[draw->count++] = draw->from;
    draw->to = draw->from + width;
    draw->seed = member_random(&draw->random);
    return true;
}

static bool is_there(const struct draw *draw)
{
    return member_cover_end(&draw->m->large->cover, draw->from) >= draw->to;
}

/* What is chosen of the last cell, which is in RAM; up to `max`. */
static size_t choose_in_cell(const struct draw *draw, struct part **out, size_t max)
{
    size_t slots = draw->cells.slots;
    struct part **parts = mem_calloc(slots, sizeof(struct part *));
    struct gather gather = {.m = draw->m, .out = parts, .max = slots};
    uint64_t random = draw->seed | 1;
    size_t found = 0;
    (void)gather_between(&gather, draw->from, draw->to);
    choose(parts, slots, draw->cells.takes, &random);
    for (size_t i = 0; i < draw->cells.takes && found < max; i++) {
        if (parts[i] == NULL)
            continue;
        if (out != NULL)
            out[found] = parts[i];
        found++;
    }
    mem_free(parts);
    return found;
}

static size_t sample_cells(const struct members *m, const struct cells *cells, uint64_t seed,
                           size_t count, struct part **out)
{
    struct draw draw;
    size_t found = 0;
    draw_init(&draw, m, cells, seed);
    while (found < count && draw_next(&draw))
        if (is_there(&draw))
            found += choose_in_cell(&draw, out + found, count - found);
    return found;
}

size_t members_sample(const struct members *m, uint64_t seed, size_t count, struct part **out)
{
    struct cells cells;
    if (count > m->count)
        count = (size_t)m->count;
    if (!members_are_all(m))
        return plan_cells(m, count, &cells) ? sample_cells(m, &cells, seed, count, out)
                                            : sample_stretch(m, seed, count, out);
    if (count * WALK_SHARE > m->count)
        sample_by_walk(m, seed | 1, count, out);
    else
        sample_by_chance(m, seed | 1, count, out);
    return count;
}

/* As many cells at once as are likely to be enough. */
static enum ensured ensure_cells(struct ensure *e, struct members *m, const struct cells *cells,
                                 size_t count)
{
    struct draw draw;
    enum ensured result = ENSURED;
    size_t found = 0; /* times the slots of a cell */
    draw_init(&draw, m, cells, e->random);
    while (found < count * cells->slots && draw_next(&draw)) {
        if (!is_there(&draw)) {
            enum ensured one = members_ensure_between(e, m, draw.from, draw.to, cells->slots);
            if (one == ENSURE_FAILED)
                return one;
            if (one == ENSURE_WAIT) {
                result = ENSURE_WAIT;
                found += cells->takes * cells->mean;
                continue;
            }
        }
        found += choose_in_cell(&draw, NULL, cells->takes) * cells->slots;
    }
    return result;
}

enum ensured members_ensure_sample(struct ensure *e, struct members *m, size_t count)
{
    struct cells cells;
    if (members_are_all(m))
        return ENSURED;
    if (count > m->count)
        count = (size_t)m->count;
    if (plan_cells(m, count, &cells))
        return ensure_cells(e, m, &cells, count);
    if (m->content_bytes <= e->whole_bytes_max)
        return members_ensure_all(e, m);
    return members_ensure_gather(e, m, e->random % MEMBER_POSITION_LIMIT,
                                 count + MEMBERS_SAMPLE_SLACK);
}
