/* Goal: scripts are found by digest and by name, dropped oldest first, and each reference is
 * released exactly once. Method: a thousand scripts against a list of what was released. */
#include "server/script_cache.h"

#include "tests/support/harness.h"

#include <stdio.h>

#define SCRIPT_COUNT 1000

struct released {
    int times[SCRIPT_COUNT];
    size_t total;
};

static void release(void *arg, int reference)
{
    struct released *released = arg;
    assert_in_range(reference, 0, SCRIPT_COUNT - 1);
    assert_int_equal(released->times[reference]++, 0);
    released->total++;
}

static void make_digest(int i, uint8_t out[SHA1_BYTES])
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%d", i);
    sha1_digest(bytes_make(text, (size_t)len), out);
}

static struct script *find(struct script_cache *cache, int i)
{
    uint8_t digest[SHA1_BYTES];
    make_digest(i, digest);
    return script_cache_find(cache, digest);
}

static struct script *add(struct script_cache *cache, int i)
{
    uint8_t digest[SHA1_BYTES];
    make_digest(i, digest);
    return script_cache_add(cache, digest, (uint32_t)i, i);
}

static void fill(struct script_cache *cache)
{
    for (int i = 0; i < SCRIPT_COUNT; i++)
        (void)add(cache, i);
}

static void scripts_are_found_by_digest_and_name(void **state)
{
    (void)state;
    struct released released = {{0}, 0};
    struct script_cache *cache = script_cache_create(release, &released);
    fill(cache);
    assert_int_equal(script_cache_count(cache), SCRIPT_COUNT);
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        struct script *script = find(cache, i);
        assert_non_null(script);
        assert_int_equal(script->reference, i);
        assert_int_equal(script->flags, i);
        char name[SHA1_HEX_CHARS + 1];
        (void)snprintf(name, sizeof(name), "%s", script->name);
        assert_ptr_equal(script_cache_find_name(cache, bytes_text(name)), script);
        for (char *c = name; *c != '\0'; c++)
            if (*c >= 'a')
                *c = (char)(*c - 'a' + 'A');
        assert_ptr_equal(script_cache_find_name(cache, bytes_text(name)), script);
        name[i % SHA1_HEX_CHARS] = 'g';
        assert_null(script_cache_find_name(cache, bytes_text(name)));
        assert_null(script_cache_find_name(cache, bytes_make(script->name, SHA1_HEX_CHARS - 1)));
    }
    assert_null(find(cache, SCRIPT_COUNT));
    script_cache_clear(cache);
    assert_int_equal(released.total, SCRIPT_COUNT);
    assert_int_equal(script_cache_count(cache), 0);
    assert_null(find(cache, 1));
    script_cache_destroy(cache);
    assert_int_equal(released.total, SCRIPT_COUNT);
}

static void the_half_unused_for_longest_is_dropped(void **state)
{
    (void)state;
    struct released released = {{0}, 0};
    struct script_cache *cache = script_cache_create(release, &released);
    fill(cache);
    script_cache_keep(cache, find(cache, 0));
    script_cache_keep(cache, find(cache, 0));
    assert_non_null(find(cache, 1)); /* used just now */
    assert_int_equal(script_cache_drop_half(cache), SCRIPT_COUNT / 2);
    assert_int_equal(script_cache_count(cache), SCRIPT_COUNT / 2);
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        bool there = i <= 1 || i > SCRIPT_COUNT / 2 + 1;
        assert_int_equal(find(cache, i) != NULL, there);
        assert_int_equal(released.times[i], !there);
    }
    size_t dropped;
    while ((dropped = script_cache_drop_half(cache)) != 0)
        assert_true(dropped <= SCRIPT_COUNT / 2);
    assert_int_equal(script_cache_count(cache), 1);
    assert_non_null(find(cache, 0));
    script_cache_destroy(cache);
    assert_int_equal(released.total, SCRIPT_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scripts_are_found_by_digest_and_name),
        TEST(the_half_unused_for_longest_is_dropped),
    };
    return RUN_TESTS("script_cache", tests);
}
