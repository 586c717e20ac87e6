/* See member_table.h for the design.
 *
 * Segment i has the positions whose upper `depth` bits, reversed, are i. depth is level, or level+1
 * for those that this round has split already and what came of it. A tag is 19 bits of the
 * position, from bit `base` on (counted from the top), with base <= depth <= base + 8: of the tag,
 * the first depth - base bits are the same all over the segment, and the others tell the line. */
#include "storage/member_table.h"

#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/mem.h"

#include <string.h>

#define POSITION_BITS       53
#define TAG_BITS            19
#define TAG_MASK            (((uint64_t)1 << TAG_BITS) - 1)
#define ADDRESS_BITS        (64 - TAG_BITS)
#define ADDRESS_MASK        (((uint64_t)1 << ADDRESS_BITS) - 1)
#define ADDRESS_SHIFT       3 /* allocations are aligned to so many bits at least */
#define LINE_ENTRIES        8
#define CHUNK_SEGMENTS      256
#define SEGMENT_MEMBERS     320 /* on average, before another one is made */
#define SEGMENT_MEMBERS_MIN 128 /* on average, before the last one is merged */
#define LINE_FILL_MAX       36  /* of 40ths: lines are added beyond */
#define LINE_FILL_MIN       18  /* of 40ths: and taken away below, */
#define LINE_FILL_SHRUNK    29  /* to this fill */
#define BASE_SPAN           8u  /* depth goes so far beyond base */
#define BASE_SLACK          2u  /* so that merging does not look at the members at once */

struct member_segment {
    uint64_t *lines; /* owned */
    uint32_t count;
    uint16_t line_count;
    uint8_t base;
};

_Static_assert(sizeof(struct member_segment) == 16, "headers stand four to a cache line");
_Static_assert(TAG_BITS - BASE_SPAN >= 11, "enough bits to tell the lines of a segment");
_Static_assert(ADDRESS_BITS + ADDRESS_SHIFT == 48, "user addresses have 48 bits");

uint64_t member_position(uint64_t seed, struct bytes member)
{
    return hash64(seed, member.data, member.len) >> (64 - POSITION_BITS);
}

/* ---- Entries, tags and lines. */

static inline struct part *entry_part(uint64_t entry)
{
    return (struct part *)(uintptr_t)((entry & ADDRESS_MASK) << ADDRESS_SHIFT);
}

static inline uint64_t entry_tag(uint64_t entry)
{
    return entry >> ADDRESS_BITS;
}

static inline uint64_t make_entry(const struct part *part, uint64_t tag)
{
    uint64_t address = (uint64_t)(uintptr_t)part;
    DCHECK((address & 7) == 0 && address >> 48 == 0);
    return tag << ADDRESS_BITS | address >> ADDRESS_SHIFT;
}

static inline uint64_t position_tag(uint64_t position, uint32_t base)
{
    return (position << (64 - POSITION_BITS) << base) >> (64 - TAG_BITS);
}

/* The line where an entry of this tag stands if there is room. */
static inline uint32_t home_line(uint64_t tag, uint32_t spent_bits, uint32_t line_count)
{
    return (uint32_t)(((tag << spent_bits) & TAG_MASK) * line_count >> TAG_BITS);
}

static inline uint64_t *line_at(const struct member_segment *segment, uint32_t line)
{
    return segment->lines + (size_t)line * LINE_ENTRIES;
}

static inline uint32_t next_line(const struct member_segment *segment, uint32_t line)
{
    return line + 1 == segment->line_count ? 0 : line + 1;
}

/* Entries of a line stand at its front. */
static inline uint32_t line_used(const uint64_t *line)
{
    uint32_t used = LINE_ENTRIES;
    while (used > 0 && line[used - 1] == 0)
        used--;
    return used;
}

/* ---- Segments. */

static uint32_t reverse32(uint32_t x)
{
    x = __builtin_bswap32(x);
    x = (x & 0x0f0f0f0fu) << 4 | (x >> 4 & 0x0f0f0f0fu);
    x = (x & 0x33333333u) << 2 | (x >> 2 & 0x33333333u);
    return (x & 0x55555555u) << 1 | (x >> 1 & 0x55555555u);
}

static inline uint32_t segment_index(const struct member_table *table, uint64_t position)
{
    if (table->segments <= 1)
        return 0;
    uint32_t reversed = reverse32((uint32_t)(position >> (POSITION_BITS - 32)));
    uint32_t index = reversed & (((uint32_t)2 << table->level) - 1);
    return index < table->segments ? index : reversed & (((uint32_t)1 << table->level) - 1);
}

static inline struct member_segment *segment_at(const struct member_table *table, uint32_t index)
{
    if (table->segments <= CHUNK_SEGMENTS)
        return &table->at.single[index];
    return &table->at.chunks[index / CHUNK_SEGMENTS][index % CHUNK_SEGMENTS];
}

static inline uint32_t segment_depth(const struct member_table *table, uint32_t index)
{
    uint32_t half = (uint32_t)1 << table->level;
    return index >= half || index + half < table->segments ? table->level + 1u : table->level;
}

static uint64_t part_position(const struct member_table *table, const struct part *part)
{
    return member_position(table->seed, member_of_part(part, table->member_offset));
}

/* The next larger and smaller number of lines that fill one of the allocator's size classes. */
static uint32_t more_lines(uint32_t lines)
{
    return lines < 8 ? lines + 1 : lines + ((uint32_t)1 << (29 - __builtin_clz(lines)));
}

static uint32_t lines_for(uint32_t count, uint32_t fill)
{
    uint32_t lines = 1;
    while ((uint64_t)count * 40 > (uint64_t)lines * LINE_ENTRIES * fill)
        lines = more_lines(lines);
    return lines;
}

static void set_lines(struct member_table *table, struct member_segment *segment,
                      uint32_t line_count)
{
    CHECK(line_count <= UINT16_MAX);
    segment->lines = mem_calloc(line_count, LINE_ENTRIES * sizeof(uint64_t));
    segment->line_count = (uint16_t)line_count;
    segment->count = 0;
    table->bytes += (size_t)line_count * LINE_ENTRIES * sizeof(uint64_t);
}

static void free_lines(struct member_table *table, struct member_segment *segment)
{
    table->bytes -= (size_t)segment->line_count * LINE_ENTRIES * sizeof(uint64_t);
    mem_free(segment->lines);
}

/* There is room: fewer entries than places. */
static void put_entry(struct member_segment *segment, uint32_t depth, uint64_t entry)
{
    uint32_t line = home_line(entry_tag(entry), depth - segment->base, segment->line_count);
    for (;; line = next_line(segment, line)) {
        uint64_t *entries = line_at(segment, line);
        if (entries[LINE_ENTRIES - 1] != 0)
            continue;
        entries[line_used(entries)] = entry;
        segment->count++;
        return;
    }
}

static void resize(struct member_table *table, uint32_t index, uint32_t line_count)
{
    struct member_segment *segment = segment_at(table, index);
    uint32_t depth = segment_depth(table, index);
    struct member_segment old = *segment;
    set_lines(table, segment, line_count);
    for (uint32_t i = 0; i < (uint32_t)old.line_count * LINE_ENTRIES; i++)
        if (old.lines[i] != 0)
            put_entry(segment, depth, old.lines[i]);
    free_lines(table, &old);
}

/* Makes tags begin at another bit of the position. Looks at every member. */
static void set_base(struct member_table *table, struct member_segment *segment, uint32_t base)
{
    for (uint32_t i = 0; i < (uint32_t)segment->line_count * LINE_ENTRIES; i++) {
        if (segment->lines[i] == 0)
            continue;
        struct part *part = entry_part(segment->lines[i]);
        segment->lines[i] = make_entry(part, position_tag(part_position(table, part), base));
    }
    segment->base = (uint8_t)base;
}

/* ---- One segment more, one less. */

static struct member_segment *append_segment(struct member_table *table)
{
    uint32_t index = table->segments;
    if (index < CHUNK_SEGMENTS) {
        if ((index & (index - 1)) == 0) { /* a power of two, or none: no place is left */
            uint32_t places = index == 0 ? 1 : index * 2;
            table->at.single =
                mem_realloc(table->at.single, places * sizeof(struct member_segment));
            table->bytes += (places - index) * sizeof(struct member_segment);
        }
        table->segments++;
        return &table->at.single[index];
    }
    uint32_t chunk = index / CHUNK_SEGMENTS;
    if (index == CHUNK_SEGMENTS) {
        struct member_segment *first = table->at.single;
        table->chunk_places = 4;
        table->at.chunks = mem_alloc(table->chunk_places * sizeof(*table->at.chunks));
        table->at.chunks[0] = first;
        table->bytes += table->chunk_places * sizeof(*table->at.chunks);
    }
    if (chunk == table->chunk_places) {
        table->bytes += table->chunk_places * sizeof(*table->at.chunks);
        table->chunk_places *= 2;
        table->at.chunks =
            mem_realloc(table->at.chunks, table->chunk_places * sizeof(*table->at.chunks));
    }
    if (index % CHUNK_SEGMENTS == 0) {
        table->at.chunks[chunk] = mem_alloc(CHUNK_SEGMENTS * sizeof(struct member_segment));
        table->bytes += CHUNK_SEGMENTS * sizeof(struct member_segment);
    }
    table->segments++;
    return &table->at.chunks[chunk][index % CHUNK_SEGMENTS];
}

static void drop_last_segment(struct member_table *table)
{
    uint32_t index = --table->segments;
    if (index < CHUNK_SEGMENTS) {
        if ((index & (index - 1)) == 0) { /* half of the places are enough */
            uint32_t places = index == 0 ? 1 : index * 2;
            table->bytes -= (places - index) * sizeof(struct member_segment);
            if (index == 0)
                mem_free(table->at.single);
            else
                table->at.single =
                    mem_realloc(table->at.single, index * sizeof(struct member_segment));
            if (index == 0)
                table->at.single = NULL;
        }
        return;
    }
    if (index % CHUNK_SEGMENTS == 0) {
        mem_free(table->at.chunks[index / CHUNK_SEGMENTS]);
        table->bytes -= CHUNK_SEGMENTS * sizeof(struct member_segment);
    }
    if (index == CHUNK_SEGMENTS) {
        struct member_segment *first = table->at.chunks[0];
        table->bytes -= table->chunk_places * sizeof(*table->at.chunks);
        mem_free(table->at.chunks);
        table->at.single = first;
    }
}

static void split_next(struct member_table *table)
{
    uint32_t half = (uint32_t)1 << table->level;
    uint32_t from_index = table->segments - half;
    uint32_t depth = table->level + 1u; /* of both afterwards */
    struct member_segment *to = append_segment(table);
    struct member_segment *from = segment_at(table, from_index);
    if (depth > from->base + BASE_SPAN)
        set_base(table, from, depth - BASE_SLACK);
    struct member_segment old = *from;
    uint32_t bit = TAG_BITS - depth + old.base; /* of the tag: whether it goes to the new one */
    uint32_t moving = 0;
    for (uint32_t i = 0; i < (uint32_t)old.line_count * LINE_ENTRIES; i++)
        moving += old.lines[i] != 0 && (entry_tag(old.lines[i]) >> bit & 1) != 0;
    *to = (struct member_segment){.base = old.base};
    set_lines(table, from, lines_for(old.count - moving, LINE_FILL_SHRUNK));
    set_lines(table, to, lines_for(moving, LINE_FILL_SHRUNK));
    for (uint32_t i = 0; i < (uint32_t)old.line_count * LINE_ENTRIES; i++) {
        if (old.lines[i] == 0)
            continue;
        bool moves = (entry_tag(old.lines[i]) >> bit & 1) != 0;
        put_entry(moves ? to : from, depth, old.lines[i]);
    }
    free_lines(table, &old);
    if (table->segments == half * 2)
        table->level++;
}

static void merge_last(struct member_table *table)
{
    uint32_t last_index = table->segments - 1;
    if (last_index < (uint32_t)1 << table->level)
        table->level--;
    uint32_t depth = table->level; /* of what they become */
    uint32_t into_index = last_index - ((uint32_t)1 << table->level);
    struct member_segment last = *segment_at(table, last_index);
    struct member_segment *into = segment_at(table, into_index);
    uint32_t base = into->base;
    if (base > depth)
        base = depth > BASE_SLACK ? depth - BASE_SLACK : 0;
    if (into->base != base)
        set_base(table, into, base);
    if (last.base != base)
        set_base(table, &last, base);
    struct member_segment old = *into;
    drop_last_segment(table);
    into = segment_at(table, into_index);
    set_lines(table, into, lines_for(old.count + last.count, LINE_FILL_SHRUNK));
    const struct member_segment *both[] = {&old, &last};
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < (uint32_t)both[k]->line_count * LINE_ENTRIES; i++)
            if (both[k]->lines[i] != 0)
                put_entry(into, depth, both[k]->lines[i]);
    free_lines(table, &old);
    free_lines(table, &last);
}

/* ---- The table. */

void member_table_init(struct member_table *table, uint64_t seed, uint8_t member_offset)
{
    *table = (struct member_table){.seed = seed, .member_offset = member_offset};
}

void member_table_deinit(struct member_table *table)
{
    for (uint32_t i = 0; i < table->segments; i++)
        mem_free(segment_at(table, i)->lines);
    if (table->segments > CHUNK_SEGMENTS) {
        uint32_t chunk_count = (table->segments + CHUNK_SEGMENTS - 1) / CHUNK_SEGMENTS;
        for (uint32_t i = 0; i < chunk_count; i++)
            mem_free(table->at.chunks[i]);
        mem_free(table->at.chunks);
    } else {
        mem_free(table->at.single);
    }
    member_table_init(table, table->seed, table->member_offset);
}

struct part *member_table_find(const struct member_table *table, uint64_t position,
                               struct bytes member)
{
    if (table->segments == 0)
        return NULL;
    uint32_t index = segment_index(table, position);
    const struct member_segment *segment = segment_at(table, index);
    uint64_t tag = position_tag(position, segment->base);
    uint32_t home =
        home_line(tag, segment_depth(table, index) - segment->base, segment->line_count);
    uint32_t line = home;
    do {
        const uint64_t *entries = line_at(segment, line);
        for (uint32_t i = 0; i < LINE_ENTRIES; i++) {
            if (entries[i] == 0)
                return NULL;
            if (entry_tag(entries[i]) != tag)
                continue;
            struct part *part = entry_part(entries[i]);
            struct bytes its = member_of_part(part, table->member_offset);
            if (its.len == member.len && memcmp(its.data, member.data, member.len) == 0)
                return part;
        }
        line = next_line(segment, line);
    } while (line != home);
    return NULL;
}

/* The line where `position` is at home, or NULL. */
static const uint64_t *line_of(const struct member_table *table, uint64_t position,
                               uint64_t *tag_out)
{
    if (table->segments == 0)
        return NULL;
    uint32_t index = segment_index(table, position);
    const struct member_segment *segment = segment_at(table, index);
    *tag_out = position_tag(position, segment->base);
    return line_at(segment, home_line(*tag_out, segment_depth(table, index) - segment->base,
                                      segment->line_count));
}

void member_table_prefetch(const struct member_table *table, uint64_t position)
{
    uint64_t tag;
    const uint64_t *line = line_of(table, position, &tag);
    if (line != NULL)
        __builtin_prefetch(line);
}

void member_table_prefetch_part(const struct member_table *table, uint64_t position)
{
    uint64_t tag;
    const uint64_t *line = line_of(table, position, &tag);
    for (uint32_t i = 0; line != NULL && i < LINE_ENTRIES; i++)
        if (line[i] != 0 && entry_tag(line[i]) == tag)
            __builtin_prefetch(entry_part(line[i]));
}

void member_table_insert(struct member_table *table, uint64_t position, struct part *part)
{
    if (table->segments == 0) {
        struct member_segment *first = append_segment(table);
        *first = (struct member_segment){.base = 0};
        set_lines(table, first, 1);
        table->level = 0;
    } else if (table->count >= (uint64_t)table->segments * SEGMENT_MEMBERS) {
        split_next(table);
    }
    uint32_t index = segment_index(table, position);
    struct member_segment *segment = segment_at(table, index);
    uint32_t lines = segment->line_count;
    if (lines == 1 ? segment->count == LINE_ENTRIES
                   : (segment->count + 1) * 40 > lines * LINE_ENTRIES * LINE_FILL_MAX)
        resize(table, index, more_lines(lines));
    put_entry(segment, segment_depth(table, index),
              make_entry(part, position_tag(position, segment->base)));
    table->count++;
}

static uint64_t *find_entry(const struct member_table *table, uint32_t index, uint64_t position,
                            const struct part *part, uint32_t *line_out)
{
    const struct member_segment *segment = segment_at(table, index);
    uint64_t wanted = make_entry(part, position_tag(position, segment->base));
    uint32_t home = home_line(entry_tag(wanted), segment_depth(table, index) - segment->base,
                              segment->line_count);
    uint32_t line = home;
    do {
        uint64_t *entries = line_at(segment, line);
        for (uint32_t i = 0; i < LINE_ENTRIES; i++) {
            if (entries[i] == wanted) {
                *line_out = line;
                return &entries[i];
            }
        }
        line = next_line(segment, line);
    } while (line != home);
    CHECK_UNREACHED("the part is in the table");
    return NULL;
}

static uint32_t distance(const struct member_segment *segment, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + segment->line_count - from;
}

/* An entry has left `line`, which was full: brings back what had to go beyond it. */
static void pull_back(struct member_segment *segment, uint32_t depth, uint32_t line)
{
    uint32_t hole = line;
    uint32_t at = line;
    for (uint32_t seen = 1; seen < segment->line_count; seen++) {
        at = next_line(segment, at);
        uint64_t *entries = line_at(segment, at);
        uint32_t used = line_used(entries);
        bool was_full = used == LINE_ENTRIES;
        for (uint32_t i = 0; i < used; i++) {
            uint32_t home =
                home_line(entry_tag(entries[i]), depth - segment->base, segment->line_count);
            if (distance(segment, home, at) < distance(segment, hole, at))
                continue;
            line_at(segment, hole)[LINE_ENTRIES - 1] = entries[i];
            entries[i] = entries[used - 1];
            entries[used - 1] = 0;
            hole = at;
            seen = 0;
            break;
        }
        if (!was_full)
            return;
    }
}

void member_table_remove(struct member_table *table, uint64_t position, const struct part *part)
{
    uint32_t index = segment_index(table, position);
    struct member_segment *segment = segment_at(table, index);
    uint32_t line = 0;
    uint64_t *entry = find_entry(table, index, position, part, &line);
    uint64_t *entries = line_at(segment, line);
    uint32_t used = line_used(entries);
    *entry = entries[used - 1];
    entries[used - 1] = 0;
    if (used == LINE_ENTRIES)
        pull_back(segment, segment_depth(table, index), line);
    segment->count--;
    table->count--;
    if (table->count == 0) {
        member_table_deinit(table);
    } else if (table->segments > 1 &&
               table->count < (uint64_t)table->segments * SEGMENT_MEMBERS_MIN) {
        merge_last(table);
    } else if (segment->line_count > 1 &&
               segment->count * 40 < (uint32_t)segment->line_count * LINE_ENTRIES * LINE_FILL_MIN) {
        resize(table, index, lines_for(segment->count, LINE_FILL_SHRUNK));
    }
}

void member_table_replace(struct member_table *table, uint64_t position, const struct part *from,
                          struct part *to)
{
    uint32_t index = segment_index(table, position);
    uint32_t line = 0;
    uint64_t *entry = find_entry(table, index, position, from, &line);
    *entry = make_entry(to, entry_tag(*entry));
}

/* ---- Random members and walks. */

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x * 0x2545F4914F6CDD1DULL;
}

/* A number below `limit`, which is small. */
static uint32_t random_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)((next_random(state) >> 32) * limit >> 32);
}

/* Any place of any segment, thought of as all equally large: what is beyond a segment's end, or
 * empty, is another try. */
struct part *member_table_random(const struct member_table *table, uint64_t *random)
{
    if (table->count == 0)
        return NULL;
    uint32_t places = 1;
    if (table->segments == 1)
        places = (uint32_t)segment_at(table, 0)->line_count * LINE_ENTRIES;
    else
        places = LINE_ENTRIES * lines_for(SEGMENT_MEMBERS * 3, LINE_FILL_MAX);
    for (;;) {
        uint32_t index = random_below(random, table->segments);
        uint32_t place = random_below(random, places);
        const struct member_segment *segment = segment_at(table, index);
        uint32_t end = (uint32_t)segment->line_count * LINE_ENTRIES;
        if (__builtin_expect(end > places, 0)) { /* very unlikely; then it is not quite fair */
            places = end;
            continue;
        }
        if (place < end && segment->lines[place] != 0)
            return entry_part(segment->lines[place]);
    }
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

uint64_t member_table_walk(const struct member_table *table, uint64_t position,
                           member_visit_fn *visit, void *arg)
{
    if (table->segments == 0 || position >= MEMBER_POSITION_LIMIT)
        return MEMBER_POSITION_LIMIT;
    uint32_t index = segment_index(table, position);
    const struct member_segment *segment = segment_at(table, index);
    uint32_t depth = segment_depth(table, index);
    uint32_t spent = depth - segment->base;
    uint64_t tag = position_tag(position, segment->base);
    uint32_t home = home_line(tag, spent, segment->line_count);
    uint32_t line = home;
    do {
        const uint64_t *entries = line_at(segment, line);
        for (uint32_t i = 0; i < LINE_ENTRIES && entries[i] != 0; i++)
            if (entry_tag(entries[i]) >= tag &&
                home_line(entry_tag(entries[i]), spent, segment->line_count) == home)
                visit(arg, entry_part(entries[i]));
        if (entries[LINE_ENTRIES - 1] == 0)
            break;
        line = next_line(segment, line);
    } while (line != home);
    /* Where the next line's positions begin. */
    uint64_t start = position & ~((MEMBER_POSITION_LIMIT >> depth) - 1);
    if (home + 1 == segment->line_count)
        return start + (MEMBER_POSITION_LIMIT >> depth);
    uint64_t fraction = divide_up((uint64_t)(home + 1) << TAG_BITS, segment->line_count);
    uint32_t tag_shift = POSITION_BITS - TAG_BITS - segment->base;
    return start + (divide_up(fraction, (uint64_t)1 << spent) << tag_shift);
}

struct part *member_iter_next(struct member_iter *iter)
{
    for (; iter->segment < iter->table->segments; iter->segment++, iter->slot = 0) {
        const struct member_segment *segment = segment_at(iter->table, iter->segment);
        uint32_t end = (uint32_t)segment->line_count * LINE_ENTRIES;
        while (iter->slot < end) {
            uint64_t entry = segment->lines[iter->slot++];
            if (entry != 0)
                return entry_part(entry);
        }
    }
    return NULL;
}
