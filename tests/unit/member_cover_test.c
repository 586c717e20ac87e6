/* Goal: a cover says exactly which positions were added and not removed since; of too many
 * stretches it forgets the ones added first, and never says more than is true.
 *
 * Method: random additions and removals against an array of booleans. */
#include "storage/member_cover.h"
#include "storage/member_table.h"
#include "tests/support/harness.h"

#include <string.h>

#define POSITIONS 200
#define STEPS     20000

static uint64_t random_below(uint64_t *random, uint64_t limit)
{
    *random = *random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*random >> 33) % limit;
}

static uint64_t model_end(const bool *there, uint64_t position)
{
    while (position < POSITIONS && there[position])
        position++;
    return position;
}

static uint64_t model_next(const bool *there, uint64_t position)
{
    while (position < POSITIONS && !there[position])
        position++;
    return position < POSITIONS ? position : MEMBER_POSITION_LIMIT;
}

static void cover_is_what_an_array_would_be(void **state)
{
    (void)state;
    struct member_cover cover = {.count = 0};
    bool there[POSITIONS] = {false};
    uint64_t random = 1;
    for (int step = 0; step < STEPS; step++) {
        uint64_t from = random_below(&random, POSITIONS);
        uint64_t to = from + random_below(&random, step % 7 == 0 ? POSITIONS : 6);
        bool add = random_below(&random, 2) == 0;
        if (to > POSITIONS)
            to = POSITIONS;
        if (add)
            member_cover_add(&cover, from, to);
        else
            member_cover_remove(&cover, from, to);
        for (uint64_t i = from; i < to; i++)
            there[i] = add;
        for (uint64_t i = 0; i < POSITIONS; i++) {
            assert_int_equal(member_cover_end(&cover, i), model_end(there, i));
            if (!there[i])
                assert_int_equal(member_cover_next(&cover, i), model_next(there, i));
        }
        assert_false(member_cover_is_all(&cover));
    }
    member_cover_add(&cover, 0, MEMBER_POSITION_LIMIT);
    assert_true(member_cover_is_all(&cover));
    member_cover_deinit(&cover);
}

static void of_too_many_stretches_the_first_are_forgotten(void **state)
{
    (void)state;
    struct member_cover cover = {.count = 0};
    for (uint64_t i = 0; i < 3 * MEMBER_COVER_SPANS; i++) {
        uint64_t at = (i * 101 % (3 * MEMBER_COVER_SPANS)) * 10; /* each once, up and down */
        member_cover_add(&cover, at, at + 5);
        assert_int_equal(member_cover_end(&cover, at), at + 5);
    }
    assert_int_equal(cover.count, MEMBER_COVER_SPANS);
    for (uint64_t i = 0; i < 3 * MEMBER_COVER_SPANS; i++) {
        uint64_t at = (i * 101 % (3 * MEMBER_COVER_SPANS)) * 10;
        bool kept = i >= 2 * MEMBER_COVER_SPANS;
        assert_int_equal(member_cover_end(&cover, at), kept ? at + 5 : at);
    }
    member_cover_deinit(&cover);
}

/* A read that ends between two members of one position does not cover the position, and the next
 * one begins where it ended. */
static void reads_go_on_in_the_middle_of_a_position(void **state)
{
    (void)state;
    struct member_cover cover = {.count = 0};
    uint8_t key[MEMBER_ELEMENT_PREFIX_BYTES + 1];
    struct buf from = {0};
    struct buf to = {0};
    member_element_prefix(20, key);
    key[MEMBER_ELEMENT_PREFIX_BYTES] = 'b';
    member_cover_bounds(&cover, 10, 30, &from, &to);
    member_cover_installed(&cover, buf_bytes(&from), bytes_make(key, sizeof(key)));
    assert_int_equal(member_cover_end(&cover, 10), 20);
    buf_clear(&from);
    buf_clear(&to);
    member_cover_bounds(&cover, 20, 30, &from, &to);
    assert_bytes(buf_bytes(&from), bytes_make(key, sizeof(key)));
    member_cover_installed(&cover, buf_bytes(&from), buf_bytes(&to));
    assert_int_equal(member_cover_end(&cover, 10), 30);
    buf_deinit(&from);
    buf_deinit(&to);
    member_cover_deinit(&cover);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cover_is_what_an_array_would_be),
        TEST(of_too_many_stretches_the_first_are_forgotten),
        TEST(reads_go_on_in_the_middle_of_a_position),
    };
    return RUN_TESTS("member_cover", tests);
}
