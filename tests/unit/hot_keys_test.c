/* Goal: the keys that are used most are told, with honest errors, in bounded memory. Method:
 * streams of known shares. */
#include "server/hot_keys.h"

#include "codec/mem.h"
#include "tests/support/harness.h"

#include <stdio.h>

static void count(struct hot_keys *keys, uint32_t db, const char *name, uint64_t weight)
{
    hot_keys_count(keys, db, bytes_text(name), weight);
}

static void keys_come_in_the_order_of_their_counts(void **state)
{
    (void)state;
    struct hot_keys *keys = hot_keys_create(1);
    struct hot_keys_item items[8];
    uint64_t total;
    assert_int_equal(hot_keys_read(keys, items, 8, &total), 0);
    count(keys, 0, "a", 1);
    count(keys, 0, "b", 3);
    count(keys, 1, "b", 1);
    count(keys, 1, "b", 1);
    count(keys, 0, "", 4);
    assert_int_equal(hot_keys_read(keys, items, 8, &total), 4);
    assert_int_equal(total, 10);
    static const struct {
        uint32_t db;
        const char *key;
        uint64_t count;
    } expected[] = {{0, "", 4}, {0, "b", 3}, {1, "b", 2}, {0, "a", 1}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(items[i].db, expected[i].db);
        assert_bytes(items[i].key, bytes_text(expected[i].key));
        assert_int_equal(items[i].count, expected[i].count);
        assert_int_equal(items[i].error, 0);
    }
    assert_int_equal(hot_keys_read(keys, items, 1, &total), 1);
    hot_keys_destroy(keys);
}

/* Whatever comes between: ten keys with one in a hundred each among a million different ones. */
static void frequent_keys_are_found_among_many(void **state)
{
    (void)state;
    struct hot_keys *keys = hot_keys_create(7);
    struct hot_keys_item items[10];
    char name[32];
    uint64_t total;
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(name, sizeof(name), i % 100 < 10 ? "hot-%d" : "cold-%d",
                       i % 100 < 10 ? i % 100 : i);
        count(keys, 0, name, 1);
    }
    assert_int_equal(hot_keys_read(keys, items, 10, &total), 10);
    assert_int_equal(total, 100000);
    for (size_t i = 0; i < 10; i++) {
        assert_memory_equal(items[i].key.data, "hot-", 4);
        assert_true(items[i].count >= 1000);
        assert_true(items[i].count - items[i].error <= 1000);
        assert_true(items[i].error <= 100000 / HOT_KEYS_COUNT);
    }
    hot_keys_destroy(keys);
}

static void what_is_past_is_forgotten(void **state)
{
    (void)state;
    struct hot_keys *keys = hot_keys_create(7);
    struct hot_keys_item items[4];
    uint64_t total;
    count(keys, 0, "old", 8);
    for (int minute = 1; minute <= 3; minute++) {
        hot_keys_cron(keys, minute * 60000);
        hot_keys_cron(keys, minute * 60000 + 59999);
    }
    assert_int_equal(hot_keys_read(keys, items, 4, &total), 1);
    assert_int_equal(items[0].count, 1);
    hot_keys_cron(keys, 4 * 60000);
    assert_int_equal(hot_keys_read(keys, items, 4, &total), 0);
    assert_int_equal(total, 0);
    hot_keys_destroy(keys);
}

static void long_names_are_left_out(void **state)
{
    (void)state;
    struct hot_keys *keys = hot_keys_create(7);
    struct hot_keys_item items[4];
    uint64_t total;
    uint8_t *name = mem_calloc(1, HOT_KEYS_NAME_BYTES_MAX + 1);
    hot_keys_count(keys, 0, bytes_make(name, HOT_KEYS_NAME_BYTES_MAX + 1), 1);
    assert_int_equal(hot_keys_read(keys, items, 4, &total), 0);
    hot_keys_count(keys, 0, bytes_make(name, HOT_KEYS_NAME_BYTES_MAX), 1);
    assert_int_equal(hot_keys_read(keys, items, 4, &total), 1);
    mem_free(name);
    hot_keys_destroy(keys);
}

static void intervals_are_right_in_the_mean(void **state)
{
    (void)state;
    struct hot_keys *keys = hot_keys_create(3);
    uint64_t sum = 0;
    for (int i = 0; i < 10000; i++) {
        uint32_t next = hot_keys_next(keys);
        assert_in_range(next, 1, 2 * HOT_KEYS_INTERVAL - 1);
        sum += next;
    }
    assert_in_range(sum / 10000, HOT_KEYS_INTERVAL - 3, HOT_KEYS_INTERVAL + 3);
    hot_keys_destroy(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_come_in_the_order_of_their_counts),
        TEST(frequent_keys_are_found_among_many),
        TEST(what_is_past_is_forgotten),
        TEST(long_names_are_left_out),
        TEST(intervals_are_right_in_the_mean),
    };
    return RUN_TESTS("hot_keys", tests);
}
