/* Goal: patterns mean what they mean in Redis 7.2, oddities included, and no pattern is slow.
 * Method: a table of (pattern, text, answers), checked against the reference when it was written.
 */
#include "tests/support/harness.h"

#include "codec/glob.h"
#include "codec/mem.h"

#include <time.h>

struct glob_case {
    const char *pattern;
    const char *text;
    bool matches;
    bool matches_nocase;
};

static const struct glob_case cases[] = {
    {"", "", true, true},
    {"", "a", false, false},
    {"*", "", false, false}, /* as Redis: an empty text matches the empty pattern only */
    {"*", "abc", true, true},
    {"**", "abc", true, true},
    {"a*", "a", true, true},
    {"a**", "a", true, true},
    {"a*c", "abbbc", true, true},
    {"a*c", "abbb", false, false},
    {"*b*", "abc", true, true},
    {"*ab*cd*", "xxabyyabcd", true, true},
    {"?", "", false, false},
    {"?", "x", true, true},
    {"h?llo", "hello", true, true},
    {"h?llo", "hllo", false, false},
    {"HELLO", "hello", false, true},
    {"h[ae]llo", "hallo", true, true},
    {"h[ae]llo", "hillo", false, false},
    {"h[^e]llo", "hallo", true, true},
    {"h[^e]llo", "hello", false, false},
    {"h[a-c]llo", "hbllo", true, true},
    {"h[c-a]llo", "hbllo", true, true},
    {"h[a-c]llo", "hBllo", false, true},
    {"h[A]llo", "hallo", false, true},
    {"h[\\a]llo", "hAllo", false, false}, /* escaped in a set: the case always counts */
    {"h[\\]]llo", "h]llo", true, true},
    {"[]", "a", false, false},
    {"[^]", "a", true, true},
    {"[ab", "b", true, true},
    {"[ab", "c", false, false},
    {"[a-", "-", true, true},
    {"[", "[", false, false},
    {"[^", "x", true, true},
    {"a\\*c", "a*c", true, true},
    {"a\\*c", "abc", false, false},
    {"a\\", "a\\", true, true},
    {"\\\\", "\\", true, true},
    {"*\\", "xyz\\", true, true},
    {"[\x80-\xff]", "\x90", true, true},
    {"[a-\xff]", "\xff", true, true},
};

static void patterns_match_as_in_redis(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes pattern = bytes_text(cases[i].pattern);
        struct bytes text = bytes_text(cases[i].text);
        if (glob_match(pattern, text, false) != cases[i].matches ||
            glob_match(pattern, text, true) != cases[i].matches_nocase)
            fail_msg("case %zu: pattern '%s' text '%s'", i, cases[i].pattern, cases[i].text);
    }
}

static void zero_bytes_are_ordinary(void **state)
{
    (void)state;
    assert_true(glob_match(bytes_make("a\0*", 3), bytes_make("a\0b", 3), false));
    assert_false(glob_match(bytes_make("a\0c", 3), bytes_make("a\0b", 3), false));
}

/* The recursive matcher needs more steps than there are atoms for this one. */
static void many_stars_stay_cheap(void **state)
{
    (void)state;
    char pattern[128];
    size_t len = 0;
    for (size_t i = 0; i < 30; i++) {
        pattern[len++] = 'a';
        pattern[len++] = '*';
    }
    pattern[len++] = 'b';
    size_t text_len = 100000;
    char *text = mem_alloc(text_len);
    memset(text, 'a', text_len);
    clock_t start = clock(); /* of the processor's time: the machine may have other things to do */
    assert_false(glob_match(bytes_make(pattern, len), bytes_make(text, text_len), false));
    assert_true(clock() - start < CLOCKS_PER_SEC);
    mem_free(text);
}

static void wildcards_are_told_from_names(void **state)
{
    (void)state;
    assert_false(glob_has_wildcard(bytes_text("maxmemory")));
    assert_false(glob_has_wildcard(bytes_text("")));
    assert_false(glob_has_wildcard(bytes_text("a\\")));
    assert_true(glob_has_wildcard(bytes_text("max*")));
    assert_true(glob_has_wildcard(bytes_text("?")));
    assert_true(glob_has_wildcard(bytes_text("a[b]")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(patterns_match_as_in_redis),
        TEST(zero_bytes_are_ordinary),
        TEST(many_stars_stay_cheap),
        TEST(wildcards_are_told_from_names),
    };
    return RUN_TESTS("glob", tests);
}
