/* Goal: the index is an ordered map. Method: random puts, removals, searches and walks against a
 * sorted array. */
#include "tests/support/harness.h"

#include "storage/id_index.h"

#include <string.h>

#define MODEL_MAX 4000

static struct id_entry model[MODEL_MAX];
static size_t model_count;

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static size_t model_place(struct stream_id id)
{
    size_t at = 0;
    while (at < model_count && stream_id_compare(model[at].id, id) < 0)
        at++;
    return at;
}

static bool model_has(size_t at, struct stream_id id)
{
    return at < model_count && stream_id_compare(model[at].id, id) == 0;
}

static void put(struct id_index *index, struct stream_id id, void *value)
{
    size_t at = model_place(id);
    void *before = model_has(at, id) ? model[at].value : NULL;
    if (before == NULL) {
        memmove(model + at + 1, model + at, (model_count - at) * sizeof(model[0]));
        model_count++;
    }
    model[at] = (struct id_entry){.id = id, .value = value};
    assert_ptr_equal(id_index_put(index, id, value), before);
}

static void take(struct id_index *index, struct stream_id id)
{
    size_t at = model_place(id);
    void *before = NULL;
    if (model_has(at, id)) {
        before = model[at].value;
        model_count--;
        memmove(model + at, model + at + 1, (model_count - at) * sizeof(model[0]));
    }
    assert_ptr_equal(id_index_remove(index, id), before);
}

static void check_walk(const struct id_index *index, struct stream_id from)
{
    struct id_walk walk;
    struct id_entry entry;
    size_t at = model_place(from);
    id_walk_init(&walk, index, from);
    for (; at < model_count; at++) {
        assert_true(id_walk_next(&walk, &entry));
        assert_int_equal(stream_id_compare(entry.id, model[at].id), 0);
        assert_ptr_equal(entry.value, model[at].value);
    }
    assert_false(id_walk_next(&walk, &entry));
}

static void index_agrees_with_a_sorted_array(void **state)
{
    (void)state;
    static char values[64];
    for (uint64_t round = 1; round <= 12; round++) {
        uint64_t seed = round * 1299709;
        struct id_index index = {0};
        struct stream_id next = {1, 0};
        model_count = 0;
        for (int step = 0; step < 6000; step++) {
            uint64_t what = random_next(&seed) % 10;
            struct stream_id id = {random_next(&seed) % (round * 20), random_next(&seed) % 50};
            void *value = &values[random_next(&seed) % sizeof(values)];
            if (round % 3 == 0 && what < 7) { /* as streams do: at the end */
                next.seq++;
                id = (struct stream_id){UINT64_MAX - 1, next.seq};
            }
            if (what < 6 && model_count < MODEL_MAX)
                put(&index, id, value);
            else if (what < 9)
                take(&index, model_count != 0 && what == 8
                                 ? model[random_next(&seed) % model_count].id
                                 : id);
            size_t at = model_place(id);
            assert_ptr_equal(id_index_find(&index, id), model_has(at, id) ? model[at].value : NULL);
            assert_int_equal(index.count, model_count);
            if (step % 500 == 0) {
                check_walk(&index, id);
                check_walk(&index, (struct stream_id){0, 0});
            }
        }
        struct id_entry last;
        assert_int_equal(id_index_last(&index, &last), model_count != 0);
        while (model_count != 0)
            take(&index, model[random_next(&seed) % model_count].id);
        assert_int_equal(index.leaf_count, 0);
        id_index_deinit(&index);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(index_agrees_with_a_sorted_array)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
