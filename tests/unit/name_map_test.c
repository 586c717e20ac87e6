/* Goal: a map finds just what is in it, through any growing and shrinking. Method: random additions
 * and removals beside a plain array of flags. */
#include "server/name_map.h"

#include "tests/support/harness.h"

#include <stdio.h>
#include <stdlib.h>

#define THING_COUNT 5000
#define ROUNDS      60000

struct thing {
    struct name_entry entry; /* first */
    char name[16];
    bool present;
};

static struct thing *make_things(void)
{
    struct thing *things = calloc(THING_COUNT, sizeof(*things));
    for (int i = 0; i < THING_COUNT; i++) {
        (void)snprintf(things[i].name, sizeof(things[i].name), "thing %d", i);
        things[i].entry.name = bytes_text(things[i].name);
    }
    return things;
}

static void toggle(struct name_map *map, struct thing *thing)
{
    if (thing->present)
        name_map_remove(map, &thing->entry);
    else
        name_map_add(map, &thing->entry);
    thing->present = !thing->present;
}

static void assert_agrees(const struct name_map *map, const struct thing *things)
{
    size_t present = 0;
    for (int i = 0; i < THING_COUNT; i++) {
        const struct name_entry *found = name_map_find(map, bytes_text(things[i].name));
        assert_ptr_equal(found, things[i].present ? &things[i].entry : NULL);
        present += things[i].present;
    }
    assert_int_equal(map->count, present);
    size_t walked = 0;
    for (const struct name_entry *e = name_map_first(map); e != NULL; e = name_map_next(map, e)) {
        assert_true(((const struct thing *)(const void *)e)->present);
        walked++;
    }
    assert_int_equal(walked, present);
}

static void a_map_finds_what_is_in_it_and_nothing_else(void **state)
{
    (void)state;
    struct name_map map;
    name_map_init(&map, 17);
    struct thing *things = make_things();
    uint32_t seed = 1;
    /* Thirds of the run: mostly adding, even, mostly removing. */
    for (int round = 0; round < ROUNDS; round++) {
        seed = seed * 1664525u + 1013904223u;
        struct thing *thing = &things[(seed >> 8) % THING_COUNT];
        int third = round / (ROUNDS / 3);
        bool dice = (seed >> 4) % 8 != 0;
        if (third == 1 || (third == 0 && (!thing->present || !dice)) ||
            (third == 2 && (thing->present || !dice)))
            toggle(&map, thing);
        if (round % 7919 == 0)
            assert_agrees(&map, things);
    }
    assert_agrees(&map, things);
    for (int i = 0; i < THING_COUNT; i++) {
        if (things[i].present)
            toggle(&map, &things[i]);
    }
    assert_agrees(&map, things);
    assert_null(map.buckets); /* empty maps hold no memory */
    name_map_deinit(&map);
    free(things);
}

static void a_map_shrinks_with_its_entries(void **state)
{
    (void)state;
    struct name_map map;
    name_map_init(&map, 3);
    struct thing *things = make_things();
    for (int i = 0; i < THING_COUNT; i++)
        toggle(&map, &things[i]);
    assert_int_equal(map.bucket_count, THING_COUNT);
    for (int i = 10; i < THING_COUNT; i++)
        toggle(&map, &things[i]);
    assert_true(map.bucket_count <= 64);
    assert_true(map.capacity <= 256);
    assert_agrees(&map, things);
    name_map_deinit(&map);
    free(things);
}

static void any_entry_comes_up_by_chance(void **state)
{
    (void)state;
    struct name_map map;
    name_map_init(&map, 5);
    assert_null(name_map_any(&map, 12345));
    struct thing *things = make_things();
    for (int i = 0; i < 4; i++)
        toggle(&map, &things[i]);
    unsigned seen = 0;
    for (uint64_t random = 0; random < 64; random++) {
        struct name_entry *entry = name_map_any(&map, random);
        assert_non_null(entry);
        seen |= 1u << ((struct thing *)(void *)entry - things);
    }
    assert_true((seen & (seen - 1)) != 0); /* more than one of them */
    name_map_deinit(&map);
    free(things);
}

static void a_map_can_be_emptied_one_by_one_and_filled_meanwhile(void **state)
{
    (void)state;
    struct name_map map;
    name_map_init(&map, 9);
    struct thing *things = make_things();
    for (int i = 0; i < THING_COUNT; i++)
        toggle(&map, &things[i]);
    for (int i = 0; i < THING_COUNT - 3; i++) {
        struct thing *thing = (struct thing *)(void *)name_map_pop(&map);
        assert_true(thing->present);
        thing->present = false;
        if (i % 999 == 0)
            assert_agrees(&map, things);
    }
    for (int i = 0; i < 100; i++) {
        if (!things[i].present)
            toggle(&map, &things[i]);
    }
    assert_agrees(&map, things);
    while (map.count != 0)
        ((struct thing *)(void *)name_map_pop(&map))->present = false;
    assert_agrees(&map, things);
    assert_null(map.buckets);
    free(things);
}

static void names_may_hold_any_bytes(void **state)
{
    (void)state;
    struct name_map map;
    name_map_init(&map, 0);
    struct name_entry empty = {.name = bytes_text("")};
    struct name_entry zero = {.name = bytes_make("\0", 1)};
    struct name_entry zeros = {.name = bytes_make("\0\0", 2)};
    name_map_add(&map, &empty);
    name_map_add(&map, &zero);
    assert_null(name_map_find(&map, zeros.name));
    name_map_add(&map, &zeros);
    assert_ptr_equal(name_map_find(&map, bytes_make(NULL, 0)), &empty);
    assert_ptr_equal(name_map_find(&map, zero.name), &zero);
    assert_ptr_equal(name_map_find(&map, zeros.name), &zeros);
    name_map_deinit(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_map_finds_what_is_in_it_and_nothing_else),
        TEST(a_map_shrinks_with_its_entries),
        TEST(any_entry_comes_up_by_chance),
        TEST(a_map_can_be_emptied_one_by_one_and_filled_meanwhile),
        TEST(names_may_hold_any_bytes),
    };
    return RUN_TESTS("name_map", tests);
}
