/* Goal: the ordered index gives every element its rank and every rank its element, through any row
 * of changes. Method: random changes against a plain sorted array, with scores that are all
 * different, mostly equal, all equal, and extreme; then every rank, both directions, all bounds and
 * the account of its memory are compared. Sizes go through several levels of nodes and back. */
#include "tests/support/harness.h"

#include "codec/mem.h"
#include "storage/ordered_index.h"
#include "storage/types/zset_element.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MODEL_MAX 40000

enum scores { SCORES_SPREAD, SCORES_FEW, SCORES_ONE, SCORES_EXTREME, SCORES_COUNT };

struct model {
    struct ordered_index index;
    struct part **sorted; /* by (score, member) */
    size_t count;
    uint64_t random;
    enum scores scores;
    uint64_t next_member;
};

static uint64_t next_random(struct model *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random;
}

static double random_score(struct model *m)
{
    static const double extremes[] = {-INFINITY, -1.7e308, -1,     -4.9e-324, -0.0,
                                      0.0,       4.9e-324, 1e-300, 1.7e308,   INFINITY};
    uint64_t r = next_random(m);
    switch (m->scores) {
    case SCORES_SPREAD:
        return (double)(int64_t)r / 1e9;
    case SCORES_FEW:
        return (double)(r % 5) - 2;
    case SCORES_EXTREME:
        return extremes[r % (sizeof extremes / sizeof extremes[0])];
    case SCORES_ONE:
    case SCORES_COUNT:
        break;
    }
    return 7;
}

/* Members of different lengths, with long common prefixes, and none twice. */
static struct part *random_element(struct model *m)
{
    char text[200];
    uint64_t number = m->next_member++;
    uint64_t r = next_random(m);
    int len = 0;
    if (number == 0)
        text[0] = '\0';
    else if (r % 4 == 0)
        len = snprintf(text, sizeof text, "%0150llu", (unsigned long long)number);
    else if (r % 4 == 1)
        len = snprintf(text, sizeof text, "%llx", (unsigned long long)number * 0x9E3779B97F4A7C15U);
    else
        len = snprintf(text, sizeof text, "%llu%s", (unsigned long long)number,
                       r % 8 == 2 ? "ab" : "");
    return zset_element_create(random_score(m), bytes_make(text, (size_t)len), 0);
}

static int compare(const struct part *a, const struct part *b)
{
    double x = zset_element_score(a);
    double y = zset_element_score(b);
    if (x != y)
        return x < y ? -1 : 1;
    return bytes_compare(zset_element_member(a), zset_element_member(b));
}

static size_t model_place(const struct model *m, const struct part *element)
{
    size_t from = 0;
    size_t to = m->count;
    while (from < to) {
        size_t middle = (from + to) / 2;
        if (compare(m->sorted[middle], element) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static void model_insert(struct model *m, struct part *element)
{
    size_t at = model_place(m, element);
    memmove(&m->sorted[at + 1], &m->sorted[at], (m->count - at) * sizeof m->sorted[0]);
    m->sorted[at] = element;
    m->count++;
}

static void model_remove(struct model *m, size_t at, size_t count)
{
    memmove(&m->sorted[at], &m->sorted[at + count], (m->count - at - count) * sizeof m->sorted[0]);
    m->count -= count;
}

static void add(struct model *m)
{
    struct part *element = random_element(m);
    model_insert(m, element);
    ordered_index_insert(&m->index, element);
}

static void remove_one(struct model *m, size_t at)
{
    struct part *element = m->sorted[at];
    ordered_index_remove(&m->index, element);
    model_remove(m, at, 1);
    mem_free(element);
}

static void rescore(struct model *m, size_t at)
{
    struct part *element = m->sorted[at];
    double score = random_score(m);
    if (m->scores == SCORES_SPREAD && next_random(m) % 2 == 0)
        score = zset_element_score(element) + 1e5; /* near */
    model_remove(m, at, 1);
    ordered_index_rescore(&m->index, element, score);
    model_insert(m, element);
}

static void replace(struct model *m, size_t at)
{
    struct part *element = m->sorted[at];
    double score = next_random(m) % 2 == 0 ? zset_element_score(element) : random_score(m);
    struct part *other = zset_element_create(score, zset_element_member(element), 0);
    ordered_index_replace(&m->index, element, other);
    model_remove(m, at, 1);
    model_insert(m, other);
    mem_free(element);
}

static void take(struct model *m, size_t at, size_t max)
{
    struct part *taken[ORDER_LEAF_MAX];
    size_t count = ordered_index_take(&m->index, at, max, taken);
    assert_true(count >= 1 && count <= max && count <= m->count - at);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(taken[i], m->sorted[at + i]);
        mem_free(taken[i]);
    }
    model_remove(m, at, count);
}

static void check_bound(const struct model *m, const struct order_bound *bound)
{
    uint64_t expected = 0;
    for (; expected < m->count; expected++) {
        const struct part *e = m->sorted[expected];
        double score = zset_element_score(e);
        int order = bound->kind == ORDER_BY_MEMBER
                        ? bytes_compare(zset_element_member(e), bound->member)
                        : (score > bound->score) - (score < bound->score);
        if (order > 0 || (order == 0 && !bound->after))
            break;
    }
    assert_int_equal(ordered_index_seek(&m->index, bound), expected);
}

static void check_bounds(struct model *m)
{
    for (int i = 0; i < 6; i++) {
        const struct part *some = m->count == 0 ? NULL : m->sorted[next_random(m) % m->count];
        struct order_bound bound = {.after = i % 2 == 0};
        bound.score = some == NULL || i < 2 ? random_score(m) : zset_element_score(some);
        check_bound(m, &bound);
        if (m->scores != SCORES_ONE)
            continue;
        bound.kind = ORDER_BY_MEMBER;
        bound.member = some == NULL ? bytes_text("") : zset_element_member(some);
        if (i > 3)
            bound.member.len /= 2;
        check_bound(m, &bound);
    }
}

static void check_all(struct model *m)
{
    assert_int_equal(m->index.count, m->count);
    struct order_cursor up = {NULL, 0};
    struct order_cursor down = {NULL, 0};
    if (m->count != 0) {
        up = ordered_index_at(&m->index, 0);
        down = ordered_index_at(&m->index, m->count - 1);
    }
    for (size_t i = 0; i < m->count; i++) {
        assert_ptr_equal(order_cursor_element(&up), m->sorted[i]);
        assert_ptr_equal(order_cursor_element(&down), m->sorted[m->count - 1 - i]);
        order_cursor_next(&up);
        order_cursor_previous(&down);
        assert_int_equal(ordered_index_rank(&m->index, m->sorted[i]), i);
        struct order_cursor at = ordered_index_at(&m->index, i);
        assert_ptr_equal(order_cursor_element(&at), m->sorted[i]);
    }
    assert_null(order_cursor_element(&up));
    assert_null(order_cursor_element(&down));
}

static void model_init(struct model *m, enum scores scores, uint64_t seed)
{
    *m = (struct model){.scores = scores, .random = seed * 0x9E3779B97F4A7C15U | 1};
    m->sorted = mem_alloc(MODEL_MAX * sizeof *m->sorted);
    ordered_index_init(&m->index);
}

static void model_deinit(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        mem_free(m->sorted[i]);
    ordered_index_deinit(&m->index); /* checks the account of bytes */
    assert_int_equal(m->index.bytes, 0);
    mem_free(m->sorted);
}

/* One change; `grows` of 100 are insertions. */
static void change(struct model *m, unsigned grows)
{
    size_t at = m->count == 0 ? 0 : next_random(m) % m->count;
    if (m->count == 0 || (m->count < MODEL_MAX - 1 && next_random(m) % 100 < grows)) {
        add(m);
        return;
    }
    switch (next_random(m) % 8) {
    case 0:
    case 1:
        rescore(m, at);
        break;
    case 2:
    case 3:
        replace(m, at);
        break;
    case 4:
        take(m, next_random(m) % 2 == 0 ? 0 : at, 1 + next_random(m) % 3);
        break;
    default:
        remove_one(m, at);
        break;
    }
}

static void random_changes_of_small_sets_equal_a_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct model m;
        model_init(&m, (enum scores)(seed % SCORES_COUNT), seed);
        for (int i = 0; i < 3000; i++) {
            change(&m, i % 1500 < 900 ? 60 : 25);
            if (i % 97 == 0) {
                check_all(&m);
                check_bounds(&m);
            }
        }
        model_deinit(&m);
    }
}

static void large_sets_grow_and_shrink_through_all_levels(void **state)
{
    (void)state;
    for (int scores = 0; scores < SCORES_COUNT; scores++) {
        struct model m;
        model_init(&m, (enum scores)scores, 77 + (uint64_t)scores);
        while (m.count < 35000)
            change(&m, 95);
        assert_true(m.index.height >= 2);
        check_all(&m);
        check_bounds(&m);
        while (m.count > 8000)
            change(&m, 5);
        check_all(&m);
        while (m.count > 300)
            take(&m, next_random(&m) % m.count, ORDER_LEAF_MAX);
        check_all(&m);
        while (m.count > 0)
            take(&m, 0, 100);
        assert_int_equal(m.index.bytes, 0);
        model_deinit(&m);
    }
}

/* Inserts elements with the numbers 0..count-1 as scores, in this order or backwards. */
static void insert_row(struct model *m, size_t count, bool backwards, bool append)
{
    char text[32];
    for (size_t i = 0; i < count; i++) {
        size_t number = backwards ? count - 1 - i : i;
        int len = snprintf(text, sizeof text, "member:%zu", number);
        struct part *element =
            zset_element_create((double)number, bytes_make(text, (size_t)len), 0);
        if (append)
            ordered_index_append(&m->index, element);
        else
            ordered_index_insert(&m->index, element);
        m->sorted[number] = element;
    }
    m->count = count;
}

static void rows_in_order_fill_their_leaves(void **state)
{
    (void)state;
    static const struct {
        bool backwards, append;
    } cases[] = {{false, true}, {false, false}, {true, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model m;
        model_init(&m, SCORES_SPREAD, 5);
        insert_row(&m, MODEL_MAX, cases[i].backwards, cases[i].append);
        check_all(&m);
        assert_true(m.index.bytes < 9 * m.count);
        model_deinit(&m);
    }
}

static void random_order_takes_ten_bytes_per_element(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, SCORES_SPREAD, 6);
    while (m.count < 30000)
        add(&m);
    assert_true(m.index.bytes < 10 * m.count);
    model_deinit(&m);
}

static void taking_from_the_front_keeps_the_rest_in_order(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, SCORES_FEW, 9);
    while (m.count < 5000)
        add(&m);
    while (m.count > 0) {
        take(&m, 0, 1);
        if (m.count % 500 == 0)
            check_all(&m);
    }
    model_deinit(&m);
}

static void an_empty_index_has_no_bounds(void **state)
{
    (void)state;
    struct ordered_index index;
    ordered_index_init(&index);
    struct order_bound bound = {.score = 1};
    assert_int_equal(ordered_index_seek(&index, &bound), 0);
    assert_int_equal(ordered_index_take(&index, 0, 10, NULL), 0);
    ordered_index_deinit(&index);
}

static void minus_zero_equals_zero(void **state)
{
    (void)state;
    struct ordered_index index;
    ordered_index_init(&index);
    struct part *a = zset_element_create(0.0, bytes_text("a"), 0);
    struct part *b = zset_element_create(-0.0, bytes_text("b"), 0);
    struct part *c = zset_element_create(0.0, bytes_text("c"), 0);
    ordered_index_insert(&index, c);
    ordered_index_insert(&index, b);
    ordered_index_insert(&index, a);
    assert_int_equal(ordered_index_rank(&index, a), 0);
    assert_int_equal(ordered_index_rank(&index, b), 1);
    assert_true(signbit(zset_element_score(b)) != 0);
    struct order_bound bound = {.score = -0.0, .after = true};
    assert_int_equal(ordered_index_seek(&index, &bound), 3);
    ordered_index_deinit(&index);
    mem_free(a);
    mem_free(b);
    mem_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_changes_of_small_sets_equal_a_model),
        TEST(large_sets_grow_and_shrink_through_all_levels),
        TEST(rows_in_order_fill_their_leaves),
        TEST(random_order_takes_ten_bytes_per_element),
        TEST(taking_from_the_front_keeps_the_rest_in_order),
        TEST(an_empty_index_has_no_bounds),
        TEST(minus_zero_equals_zero),
    };
    return RUN_TESTS("ordered_index", tests);
}
