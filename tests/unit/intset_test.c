/* Goal: an intset is an ascending set of integers in Redis's bytes, and damage is found.
 * Method: golden bytes as Redis writes them; random changes against a sorted array; every
 * truncation and every changed byte. */
#include "tests/support/harness.h"

#include "codec/intset.h"
#include "codec/mem.h"

#include <stdlib.h>

#define MODEL_MAX 300

static struct bytes raw(const uint8_t *set)
{
    return bytes_make(set, intset_bytes(set));
}

static uint8_t *add(uint8_t *set, int64_t value)
{
    bool changed;
    set = intset_add(set, value, &changed);
    assert_true(changed);
    return set;
}

static void bytes_are_those_of_redis(void **state)
{
    (void)state;
    uint8_t *set = intset_create();
    assert_bytes(raw(set), bytes_make("\2\0\0\0\0\0\0\0", 8));
    set = add(set, 5);
    set = add(set, -2);
    assert_bytes(raw(set), bytes_make("\2\0\0\0\2\0\0\0\xfe\xff\5\0", 12));
    set = add(set, 65535);
    assert_bytes(raw(set), bytes_make("\4\0\0\0\3\0\0\0\xfe\xff\xff\xff\5\0\0\0\xff\xff\0\0", 20));
    bool changed;
    set = intset_remove(set, 65535, &changed);
    assert_true(changed);
    assert_bytes(raw(set), bytes_make("\4\0\0\0\2\0\0\0\xfe\xff\xff\xff\5\0\0\0", 16));
    set = intset_remove(set, 6, &changed);
    assert_false(changed);
    set = intset_add(set, 5, &changed);
    assert_false(changed);
    mem_free(set);
}

static void width_is_that_of_the_widest(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        uint32_t width;
    } cases[] = {
        {INT16_MAX, 2}, {INT16_MIN, 2}, {INT16_MAX + 1, 4},       {INT16_MIN - 1, 4},
        {INT32_MAX, 4}, {INT32_MIN, 4}, {INT64_C(2147483648), 8}, {INT64_C(-2147483649), 8},
        {INT64_MAX, 8}, {INT64_MIN, 8},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *set = add(add(intset_create(), 1), cases[i].value);
        assert_int_equal(intset_width(set), cases[i].width);
        assert_true(intset_has(set, cases[i].value));
        assert_true(intset_has(set, 1));
        assert_false(intset_has(set, 0));
        assert_ok(intset_validate(raw(set), NULL), NULL);
        mem_free(set);
    }
}

static int64_t random_integer(unsigned wide)
{
    static const int64_t bases[] = {0, 100, 70000, INT64_C(10000000000), INT64_MIN, INT64_MAX - 40};
    return bases[(unsigned)rand() % wide] + rand() % 40;
}

static void random_changes_are_those_of_a_sorted_array(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 60; seed++) {
        srand(seed);
        int64_t model[MODEL_MAX];
        uint32_t count = 0;
        uint8_t *set = intset_create();
        for (int i = 0; i < 400; i++) {
            int64_t value = random_integer(1 + seed % 6);
            uint32_t place = 0;
            while (place < count && model[place] < value)
                place++;
            bool there = place < count && model[place] == value;
            assert_int_equal(intset_seek(set, value), place);
            assert_int_equal(intset_has(set, value), there);
            bool changed;
            if (rand() % 3 != 0) {
                set = intset_add(set, value, &changed);
                assert_int_equal(changed, !there);
                memmove(model + place + changed, model + place, (count - place) * sizeof(model[0]));
                model[place] = value;
                count += changed;
            } else {
                set = intset_remove(set, value, &changed);
                assert_int_equal(changed, there);
                memmove(model + place, model + place + changed,
                        (count - place - changed) * sizeof(model[0]));
                count -= changed;
            }
            assert_int_equal(intset_count(set), count);
            for (uint32_t k = 0; k < count; k++)
                assert_int_equal(intset_get(set, k), model[k]);
            assert_ok(intset_validate(raw(set), NULL), NULL);
        }
        uint8_t *copy = intset_copy(set);
        assert_bytes(raw(copy), raw(set));
        mem_free(copy);
        mem_free(set);
    }
}

static void damage_is_refused_or_leaves_a_set(void **state)
{
    (void)state;
    uint8_t *set = intset_create();
    for (int64_t i = 0; i < 20; i++)
        set = add(set, i * 3000 - 7000);
    struct bytes all = raw(set);
    for (size_t len = 0; len < all.len; len++) {
        uint8_t *cut = mem_dup(all.data, len);
        assert_status(intset_validate(bytes_make(cut, len), NULL), ST_CORRUPT);
        mem_free(cut);
    }
    uint8_t *changed = mem_dup(all.data, all.len);
    for (size_t i = 0; i < all.len; i++) {
        for (unsigned value = 0; value < 256; value++) {
            changed[i] = (uint8_t)value;
            if (intset_validate(bytes_make(changed, all.len), NULL) != ST_OK)
                continue;
            for (uint32_t k = 0; k < intset_count(changed); k++)
                assert_int_equal(intset_seek(changed, intset_get(changed, k)), k);
        }
        changed[i] = all.data[i];
    }
    mem_free(changed);
    mem_free(set);
    assert_status(intset_validate(bytes_make("\2\0\0\0\xff\xff\xff\xff\1\0", 10), NULL),
                  ST_CORRUPT);
    assert_status(intset_validate(bytes_make("\2\0\0\0\2\0\0\0\1\0\1\0", 12), NULL), ST_CORRUPT);
    assert_status(intset_validate(bytes_make("\2\0\0\0\2\0\0\0\2\0\1\0", 12), NULL), ST_CORRUPT);
    assert_status(intset_validate(bytes_make("\3\0\0\0\0\0\0\0", 8), NULL), ST_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_are_those_of_redis),
        TEST(width_is_that_of_the_widest),
        TEST(random_changes_are_those_of_a_sorted_array),
        TEST(damage_is_refused_or_leaves_a_set),
    };
    return RUN_TESTS("intset", tests);
}
