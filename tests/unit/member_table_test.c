/* Goal: a table of members finds what was put into it, at any size; walks miss nothing, also while
 * it grows and shrinks between their calls; random members are fair; memory is what is promised.
 * Method: random changes against an array that says what is in the table, with sizes at which
 * segments are split and merged, and entries get other bits of their positions. */
#include "storage/member_table.h"

#include "codec/mem.h"
#include "codec/record.h"
#include "tests/support/harness.h"

#include <stdio.h>
#include <stdlib.h>

#define SEED UINT64_C(0x1234567890abcdef)

struct model {
    struct member_table table;
    struct part **parts; /* by number; NULL: not in the table */
    uint32_t *visited;   /* by number: in how many walks */
    uint32_t room;
    uint32_t count;
};

static struct part *make_part(uint32_t number, uint8_t offset, bool prefixed)
{
    char text[32];
    size_t len = (size_t)snprintf(text, sizeof(text), "member:%u", number);
    struct part *part = mem_calloc(1, PART_HEADER_BYTES + 24 + len);
    part->bits = prefixed ? PART_PREFIXED : 0;
    uint8_t *at = part->data + offset + (prefixed ? PART_PREFIX_BYTES : 0);
    *at++ = (uint8_t)len;
    memcpy(at, text, len);
    return part;
}

static struct bytes member_text(uint32_t number, char out[32])
{
    return bytes_make(out, (size_t)snprintf(out, 32, "member:%u", number));
}

static uint64_t position_of(uint32_t number)
{
    char text[32];
    return member_position(SEED, member_text(number, text));
}

static struct part *find(const struct model *m, uint32_t number)
{
    char text[32];
    return member_table_find(&m->table, position_of(number), member_text(number, text));
}

static void model_init(struct model *m, uint32_t room, uint8_t offset)
{
    member_table_init(&m->table, SEED, offset);
    m->parts = mem_calloc(room, sizeof(struct part *));
    m->visited = mem_calloc(room, sizeof(uint32_t));
    m->room = room;
    m->count = 0;
}

static void model_deinit(struct model *m)
{
    member_table_deinit(&m->table);
    assert_int_equal(m->table.bytes, 0);
    for (uint32_t i = 0; i < m->room; i++)
        mem_free(m->parts[i]);
    mem_free(m->parts);
    mem_free(m->visited);
}

static void add(struct model *m, uint32_t number)
{
    m->parts[number] = make_part(number, m->table.member_offset, number % 5 == 0);
    member_table_insert(&m->table, position_of(number), m->parts[number]);
    m->count++;
}

static void take(struct model *m, uint32_t number)
{
    member_table_remove(&m->table, position_of(number), m->parts[number]);
    mem_free(m->parts[number]);
    m->parts[number] = NULL;
    m->count--;
}

static uint32_t number_of(const struct model *m, const struct part *part)
{
    struct bytes member = member_of_part(part, m->table.member_offset);
    char text[32] = {0};
    memcpy(text, member.data, member.len);
    return (uint32_t)strtoul(text + strlen("member:"), NULL, 10);
}

static void assert_is_model(const struct model *m)
{
    assert_int_equal(m->table.count, m->count);
    for (uint32_t i = 0; i < m->room; i++)
        assert_ptr_equal(find(m, i), m->parts[i]);
    uint32_t seen = 0;
    struct member_iter iter = member_iter_begin(&m->table);
    for (struct part *part; (part = member_iter_next(&iter)) != NULL; seen++)
        assert_ptr_equal(m->parts[number_of(m, part)], part);
    assert_int_equal(seen, m->count);
}

static void lengths_of_any_size_are_read(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 127, 128, 300, 16383, 16384, 3000000};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        uint8_t encoded[VARINT_BYTES_MAX];
        size_t value = 77;
        size_t len = varint_encode(lens[i], encoded);
        assert_int_equal(member_varint(encoded, &value), len);
        assert_int_equal(value, lens[i]);
    }
}

static void an_empty_table_has_nothing(void **state)
{
    (void)state;
    struct member_table table;
    member_table_init(&table, SEED, 0);
    uint64_t random = 1;
    assert_null(member_table_find(&table, 5, bytes_text("a")));
    assert_null(member_table_random(&table, &random));
    assert_true(member_table_walk(&table, 0, NULL, NULL) == MEMBER_POSITION_LIMIT);
    struct member_iter iter = member_iter_begin(&table);
    assert_null(member_iter_next(&iter));
    member_table_prefetch(&table, 7);
    member_table_prefetch_part(&table, 7);
    assert_int_equal(table.bytes, 0);
    member_table_deinit(&table);
}

static void changes_are_those_of_an_array(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 12; seed++) {
        srand(seed);
        struct model m;
        uint32_t room = seed < 4 ? 20 : 200u * seed;
        model_init(&m, room, seed % 2 == 0 ? 8 : 0);
        for (int phase = 0; phase < 8; phase++) {
            int adding = rand() % 100;
            for (uint32_t i = 0; i < room * 2; i++) {
                uint32_t number = (uint32_t)rand() % room;
                if (m.parts[number] != NULL && rand() % 10 == 0) {
                    struct part *other = make_part(number, m.table.member_offset, i % 2 == 0);
                    member_table_replace(&m.table, position_of(number), m.parts[number], other);
                    mem_free(m.parts[number]);
                    m.parts[number] = other;
                }
                if (m.parts[number] == NULL && rand() % 100 < adding)
                    add(&m, number);
                else if (m.parts[number] != NULL && rand() % 100 >= adding)
                    take(&m, number);
            }
            assert_is_model(&m);
        }
        for (uint32_t i = 0; i < room; i++)
            if (m.parts[i] != NULL)
                take(&m, i);
        assert_int_equal(m.table.bytes, 0);
        model_deinit(&m);
    }
}

static void it_grows_and_shrinks_through_all_sizes(void **state)
{
    (void)state;
    struct model m;
    uint32_t room = 250000; /* segments in several chunks, with other bases */
    model_init(&m, room, 0);
    for (uint32_t i = 0; i < room; i++) {
        add(&m, i);
        assert_ptr_equal(find(&m, i / 2), m.parts[i / 2]);
    }
    assert_is_model(&m);
    for (uint32_t i = 0; i < room; i += 1 + i % 3 / 2)
        if (i % 16 != 0)
            take(&m, i);
    assert_is_model(&m);
    for (uint32_t i = 0; i < room; i++)
        if (m.parts[i] == NULL && i % 4 == 0)
            add(&m, i);
    assert_is_model(&m);
    for (uint32_t i = 0; i < room; i++)
        if (m.parts[i] != NULL && i % 1000 != 0)
            take(&m, i);
    assert_is_model(&m);
    assert_true(m.table.bytes < 12000);
    model_deinit(&m);
}

static void ten_bytes_per_member(void **state)
{
    (void)state;
    struct model m;
    uint32_t room = 200000;
    model_init(&m, room, 0);
    double sum = 0;
    uint32_t looks = 0;
    for (uint32_t i = 0; i < room; i++) {
        add(&m, i);
        if (i < 20000)
            continue;
        sum += (double)m.table.bytes / (i + 1);
        looks++;
        assert_true(m.table.bytes < 11.5 * (i + 1));
    }
    assert_true(sum / looks < 10.7);
    model_deinit(&m);
}

static void visit(void *arg, struct part *part)
{
    struct model *m = arg;
    m->visited[number_of(m, part)]++;
}

static void a_walk_visits_everything_once_in_the_order_of_positions(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 7, 8, 9, 60, 300, 1000, 5000, 100000, 200000};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct model m;
        model_init(&m, sizes[s], 0);
        for (uint32_t i = 0; i < sizes[s]; i++)
            add(&m, i);
        uint64_t position = 0;
        uint32_t calls = 0;
        while (position < MEMBER_POSITION_LIMIT) {
            uint64_t next = member_table_walk(&m.table, position, visit, &m);
            assert_true(next > position);
            position = next;
            calls++;
        }
        for (uint32_t i = 0; i < sizes[s]; i++)
            assert_int_equal(m.visited[i], 1);
        assert_true(calls <= sizes[s] / 4 + 2);
        /* Each stretch has exactly the members whose positions are in it. */
        uint64_t from = position_of(0);
        memset(m.visited, 0, sizes[s] * sizeof(uint32_t));
        uint64_t to = member_table_walk(&m.table, from, visit, &m);
        for (uint32_t i = 0; i < sizes[s]; i++) {
            bool inside = position_of(i) >= from && position_of(i) < to;
            if (inside || position_of(i) >= to) /* just before `from` is allowed */
                assert_int_equal(m.visited[i], inside);
        }
        model_deinit(&m);
    }
}

static void a_walk_misses_nothing_while_the_table_changes(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 6; seed++) {
        srand(seed);
        struct model m;
        uint32_t stay = 2000;
        uint32_t room = 60000;
        model_init(&m, room, 0);
        for (uint32_t i = 0; i < stay; i++)
            add(&m, i);
        uint32_t next_new = stay;
        uint64_t position = 0;
        while (position < MEMBER_POSITION_LIMIT) {
            position = member_table_walk(&m.table, position, visit, &m);
            for (int k = 0; k < 100; k++) {
                uint32_t number = stay + (uint32_t)rand() % (room - stay);
                bool grow = seed % 3 == 0 || (seed % 3 == 1 && m.table.count < 20000 && k % 3 != 0);
                if (grow && m.parts[number] == NULL)
                    add(&m, number);
                else if (!grow && m.parts[number] != NULL)
                    take(&m, number);
            }
            if (seed % 3 == 2 && position < MEMBER_POSITION_LIMIT / 16) /* to shrink afterwards */
                for (int k = 0; k < 3000 && next_new < room; k++, next_new++)
                    if (m.parts[next_new] == NULL)
                        add(&m, next_new);
        }
        for (uint32_t i = 0; i < stay; i++)
            assert_true(m.visited[i] >= 1);
        model_deinit(&m);
    }
}

static void random_members_are_fair(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {3, 100, 700, 1500};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct model m;
        model_init(&m, sizes[s], 0);
        for (uint32_t i = 0; i < sizes[s]; i++)
            add(&m, i);
        uint64_t random = 42;
        for (uint32_t i = 0; i < sizes[s] * 200; i++)
            m.visited[number_of(&m, member_table_random(&m.table, &random))]++;
        for (uint32_t i = 0; i < sizes[s]; i++) { /* 200 expected, 14 is one sigma */
            assert_true(m.visited[i] > 120);
            assert_true(m.visited[i] < 290);
        }
        model_deinit(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lengths_of_any_size_are_read),
        TEST(an_empty_table_has_nothing),
        TEST(changes_are_those_of_an_array),
        TEST(it_grows_and_shrinks_through_all_sizes),
        TEST(ten_bytes_per_member),
        TEST(a_walk_visits_everything_once_in_the_order_of_positions),
        TEST(a_walk_misses_nothing_while_the_table_changes),
        TEST(random_members_are_fair),
    };
    return RUN_TESTS("member_table", tests);
}
