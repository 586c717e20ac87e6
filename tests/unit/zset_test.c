/* Goal: a sorted set answers the same in both holdings, through every change, copy and record; and
 * what is damaged is refused. Method: random changes of a listpack and a table side by side,
 * against a plain array; records are decoded again, cut short at every place, and changed in every
 * byte. */
#include "tests/support/harness.h"

#include "codec/mem.h"
#include "storage/types/zset.h"
#include "storage/value_type.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MEMBERS 100 /* "m0" to "m99" */

static const struct value_rules listpacks = {.hash_seed = 7,
                                             .large_bytes = SIZE_MAX,
                                             .zset_listpack_entries = 1000,
                                             .zset_listpack_value = 1000};
static const struct value_rules tables = {.hash_seed = 7, .large_bytes = SIZE_MAX};

static struct object *object_make(void)
{
    struct object *o = mem_calloc(1, sizeof(*o));
    o->type = OBJECT_ZSET;
    return o;
}

static void object_free(struct object *o)
{
    object_free_fn *free_fn;
    void *value = zset_value_type.take(o, &free_fn);
    free_fn(value);
    mem_free(o);
}

static struct object *set_make(const struct value_rules *rules)
{
    struct object *o = object_make();
    zset_init(o, rules, 1, 1);
    return o;
}

static struct bytes member_text(unsigned number, char text[8])
{
    return bytes_make(text, (size_t)snprintf(text, 8, "m%u", number));
}

static void set_score(struct object *o, const struct value_rules *rules, struct bytes member,
                      double score)
{
    struct zset_found found;
    if (zset_find(o, member, &found))
        zset_rescore(o, member, &found, score);
    else
        zset_add(o, rules, member, score);
}

/* What is in the set, as text: members and scores in order, up and down, each with its rank. */
static void describe(const struct object *o, struct buf *out)
{
    for (int down = 0; down < 2; down++) {
        struct zset_walk walk;
        struct bytes member;
        double score;
        uint64_t rank = down ? zset_count(o) - 1 : 0;
        zset_walk_init(&walk, o, rank, down != 0);
        while (zset_walk_next(&walk, &member, &score)) {
            struct zset_found found;
            buf_append_bytes(out, member);
            buf_append_format(out, " %.17g,", score + 0.0);
            assert_true(zset_find(o, member, &found));
            assert_true(found.score == score);
            assert_int_equal(zset_rank(o, &found), rank);
            rank += down ? -1ull : 1;
        }
    }
}

static void assert_same(const struct object *a, const struct object *b)
{
    struct buf x = {0}, y = {0};
    describe(a, &x);
    describe(b, &y);
    assert_bytes(buf_bytes(&x), buf_bytes(&y));
    assert_int_equal(zset_count(a), zset_count(b));
    buf_deinit(&x);
    buf_deinit(&y);
}

static void change(struct object *o, const struct value_rules *rules, unsigned action,
                   unsigned number, double score)
{
    char text[8];
    struct bytes member = member_text(number, text);
    struct zset_found found;
    uint64_t count = zset_count(o);
    if (action < 6)
        set_score(o, rules, member, score);
    else if (action < 9 && zset_find(o, member, &found))
        zset_remove(o, &found);
    else if (action == 9 && count > 2)
        zset_remove_range(o, number % (count - 2), 2);
}

static void assert_seeks(const struct object *a, const struct object *b, double score,
                         unsigned number, bool equal_scores)
{
    char text[8];
    struct order_bound bounds[] = {{.score = score},
                                   {.score = score, .after = true},
                                   {.score = -INFINITY, .after = true},
                                   {.score = INFINITY}};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
        assert_int_equal(zset_seek(a, &bounds[i]), zset_seek(b, &bounds[i]));
    struct order_bound by_member = {.kind = ORDER_BY_MEMBER, .member = member_text(number, text)};
    if (equal_scores)
        assert_int_equal(zset_seek(a, &by_member), zset_seek(b, &by_member));
}

static void both_holdings_answer_the_same(void **state)
{
    (void)state;
    static const double scores[] = {0, 1, -1, 2.5, 1e17, -1e300, INFINITY, -INFINITY, 1.0 / 3};
    srand(1);
    for (unsigned round = 0; round < 20; round++) {
        struct object *small = set_make(&listpacks);
        struct object *large = set_make(&tables);
        size_t choice = round % 4 == 0 ? 1 : sizeof scores / sizeof scores[0];
        for (int i = 0; i < 500; i++) {
            unsigned action = (unsigned)rand() % 10;
            unsigned number = (unsigned)rand() % MEMBERS;
            double score = scores[(size_t)rand() % choice];
            change(small, &listpacks, action, number, score);
            change(large, &tables, action, number, score);
            assert_seeks(small, large, score, number, choice == 1);
        }
        assert_int_equal(small->encoding, ENCODING_LISTPACK);
        assert_int_equal(large->encoding, ENCODING_ORDERED);
        assert_same(small, large);
        object_free(small);
        object_free(large);
    }
}

static void listpacks_become_tables_at_their_limits(void **state)
{
    (void)state;
    struct value_rules rules = listpacks;
    rules.zset_listpack_entries = 3;
    rules.zset_listpack_value = 4;
    struct object *o = set_make(&rules);
    zset_add(o, &rules, bytes_text("a"), 1);
    zset_add(o, &rules, bytes_text("four"), 2);
    zset_add(o, &rules, bytes_text("c"), 3);
    assert_string_equal(zset_value_type.encoding_name(o), "listpack");
    assert_true(zset_fits(o, &rules, 3));
    assert_false(zset_fits(o, &rules, 4));
    zset_add(o, &rules, bytes_text("d"), 0);
    assert_string_equal(zset_value_type.encoding_name(o), "skiplist");
    assert_int_equal(zset_count(o), 4);
    assert_true(zset_fits(o, &rules, 4));
    object_free(o);
    o = set_make(&rules);
    zset_add(o, &rules, bytes_text("fives"), 1);
    assert_string_equal(zset_value_type.encoding_name(o), "skiplist");
    object_free(o);
}

static struct object *sample(const struct value_rules *rules)
{
    static const struct {
        const char *member;
        double score;
    } elements[] = {{"b", 1.5}, {"a", -INFINITY}, {"12", 3}, {"", 3}, {"zz", 1e100}};
    struct object *o = set_make(rules);
    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++)
        zset_add(o, rules, bytes_text(elements[i].member), elements[i].score);
    return o;
}

static enum status decode(struct bytes payload, uint8_t encoding, struct object **out)
{
    struct record_header header = {.encoding = encoding};
    struct object *o = object_make();
    enum status st = zset_value_type.decode(o, &header, payload, &tables);
    *out = st == ST_OK ? o : NULL;
    if (st != ST_OK)
        mem_free(o);
    return st;
}

static void records_are_read_as_they_were_written(void **state)
{
    (void)state;
    const struct value_rules *rules[] = {&listpacks, &tables};
    for (size_t i = 0; i < 2; i++) {
        struct object *o = sample(rules[i]);
        struct object *read, *copy = object_make();
        struct buf payload = {0};
        uint8_t encoding = zset_value_type.encode(o, &payload);
        assert_ok(decode(buf_bytes(&payload), encoding, &read), NULL);
        assert_int_equal(read->encoding, o->encoding);
        assert_same(o, read);
        zset_value_type.copy(copy, o, rules[i]);
        assert_int_equal(copy->encoding, o->encoding);
        assert_same(o, copy);
        buf_deinit(&payload);
        object_free(copy);
        object_free(read);
        object_free(o);
    }
}

/* As FORMAT.md has it. */
static void table_records_have_their_documented_bytes(void **state)
{
    (void)state;
    struct object *o = set_make(&tables);
    struct buf payload = {0};
    zset_add(o, &tables, bytes_text("b"), 2);
    zset_add(o, &tables, bytes_text("aa"), 1.5);
    assert_int_equal(zset_value_type.encode(o, &payload), RECORD_ZSET_TABLE);
    static const uint8_t expected[] = {2,    2, 'a', 'a', 0, 0, 0, 0, 0, 0, 0xf8,
                                       0x3f, 1, 'b', 0,   0, 0, 0, 0, 0, 0, 0x40};
    assert_bytes(buf_bytes(&payload), bytes_make(expected, sizeof expected));
    buf_deinit(&payload);
    object_free(o);
}

static void damaged_records_are_refused_or_read_as_they_stand(void **state)
{
    (void)state;
    const struct value_rules *rules[] = {&listpacks, &tables};
    for (size_t i = 0; i < 2; i++) {
        struct object *o = sample(rules[i]);
        struct object *read;
        struct buf payload = {0};
        uint8_t encoding = zset_value_type.encode(o, &payload);
        for (size_t len = 0; len < payload.len; len++) {
            uint8_t *cut = mem_dup(payload.data, len); /* so that a read beyond it is seen */
            assert_status(decode(bytes_make(cut, len), encoding, &read), ST_CORRUPT);
            mem_free(cut);
        }
        buf_append_byte(&payload, 0);
        assert_status(decode(buf_bytes(&payload), encoding, &read), ST_CORRUPT);
        payload.len--;
        for (size_t at = 0; at < payload.len * 8; at++) {
            payload.data[at / 8] ^= (uint8_t)(1u << at % 8);
            if (decode(buf_bytes(&payload), encoding, &read) == ST_OK) {
                struct buf text = {0};
                describe(read, &text);
                buf_deinit(&text);
                object_free(read);
            }
            payload.data[at / 8] ^= (uint8_t)(1u << at % 8);
        }
        assert_status(decode(buf_bytes(&payload), 2, &read), ST_CORRUPT);
        buf_deinit(&payload);
        object_free(o);
    }
}

static void tables_with_wrong_elements_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint8_t bytes[32];
    } cases[] = {
        {1, {0}},                                                                  /* none */
        {11, {1, 1, 'a', 0, 0, 0, 0, 0, 0, 0xf8, 0x7f}},                           /* NaN */
        {21, {2, 1, 'b', 0, 0, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 0}}, /* order */
        {21, {2, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 0}}, /* twice */
        {21, {2, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 0x40}},
        {21, {3, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 0, 1, 'b', 0, 0, 0, 0, 0, 0, 0, 0}}, /* fewer */
        {21, {1, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 0, 1, 'b', 0, 0, 0, 0, 0, 0, 0, 0}}, /* more */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct object *read;
        if (decode(bytes_make(cases[i].bytes, cases[i].len), RECORD_ZSET_TABLE, &read) !=
            ST_CORRUPT)
            fail_msg("case %zu", i);
    }
}

static void collect(void *arg, struct bytes member, double score)
{
    uint8_t *seen = arg;
    unsigned number = 0;
    (void)score;
    for (size_t i = 1; i < member.len; i++)
        number = number * 10 + member.data[i] - '0';
    assert_true(number < MEMBERS);
    seen[number] = 1;
}

static void scans_visit_every_element(void **state)
{
    (void)state;
    struct object *o = set_make(&tables);
    char text[8];
    for (unsigned i = 0; i < MEMBERS; i++)
        zset_add(o, &tables, member_text(i, text), i);
    uint8_t seen[MEMBERS] = {0};
    uint64_t cursor = 0;
    do
        cursor = zset_scan(o, cursor, 5, collect, seen);
    while (cursor != 0);
    for (unsigned i = 0; i < MEMBERS; i++)
        assert_int_equal(seen[i], 1);
    object_free(o);
}

static void random_elements_are_of_the_set(void **state)
{
    (void)state;
    const struct value_rules *rules[] = {&listpacks, &tables};
    for (size_t i = 0; i < 2; i++) {
        struct object *o = set_make(rules[i]);
        char text[8];
        for (unsigned n = 0; n < 10; n++)
            zset_add(o, rules[i], member_text(n, text), n);
        uint64_t random = 1;
        uint8_t seen[MEMBERS] = {0};
        for (int n = 0; n < 1000; n++) {
            zset_random(o, &random, collect, seen);
        }
        for (unsigned n = 0; n < MEMBERS; n++)
            assert_int_equal(seen[n], n < 10);
        object_free(o);
    }
}

static void results_are_stored_in_order_and_small(void **state)
{
    (void)state;
    const struct value_rules *rules[] = {&listpacks, &tables};
    for (size_t i = 0; i < 2; i++) {
        struct object *expected = set_make(rules[i]);
        struct object *o = object_make();
        struct zset_build *build = zset_build_create(rules[i]);
        char text[8];
        for (unsigned n = 0; n < MEMBERS; n++) {
            double score = (double)(n * 37 % 11);
            zset_add(expected, rules[i], member_text(n, text), score);
            zset_build_add(build, member_text(n, text), score);
        }
        zset_build_add(build, bytes_text("x"), 0);
        zset_build_remove(build, zset_build_find(build, bytes_text("x")));
        assert_null(zset_build_find(build, bytes_text("x")));
        assert_int_equal(zset_build_count(build), MEMBERS);
        zset_build_store(build, o);
        assert_int_equal(o->encoding, expected->encoding);
        assert_same(o, expected);
        object_free(o);
        object_free(expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_holdings_answer_the_same),
        TEST(listpacks_become_tables_at_their_limits),
        TEST(records_are_read_as_they_were_written),
        TEST(table_records_have_their_documented_bytes),
        TEST(damaged_records_are_refused_or_read_as_they_stand),
        TEST(tables_with_wrong_elements_are_refused),
        TEST(scans_visit_every_element),
        TEST(random_elements_are_of_the_set),
        TEST(results_are_stored_in_order_and_small),
    };
    return RUN_TESTS("zset", tests);
}
