/* Goal: the keys of a request are those that Redis 7.2's COMMAND GETKEYS tells, and bad counts
 * never lead out of the request. Method: rows with the shapes of specification that Redis's
 * commands use, requests as text. */
#include "server/command.h"

#include "codec/split_args.h"
#include "tests/support/harness.h"

#include <stdio.h>

/* SET with GET reads as well. */
static int set_keys(const struct bytes *argv, int argc, struct key_arg *out, int max)
{
    bool get = argc > 3 && bytes_equal_nocase(argv[3], "get");
    if (max > 0)
        out[0] = (struct key_arg){.index = 1, .flags = get ? KEY_RW : KEY_OW};
    return 1;
}

/* A key behind the word STORE, wherever it stands. */
static int store_keys(const struct bytes *argv, int argc, struct key_arg *out, int max)
{
    int count = 0;
    if (count++ < max)
        out[0] = (struct key_arg){.index = 1, .flags = KEY_RO};
    for (int i = 2; i + 1 < argc; i++)
        if (bytes_equal_nocase(argv[i], "store") && count++ < max)
            out[1] = (struct key_arg){.index = i + 1, .flags = KEY_OW};
    return count;
}

static const struct command rows[] = {
    {.name = "get", .arity = 2, .keys = {KEY_AT(1, KEY_RO)}},
    {.name = "ping", .arity = -1},
    {.name = "del", .arity = -2, .keys = {KEY_RANGE(1, -1, 1, KEY_RM)}},
    {.name = "mset", .arity = -3, .keys = {KEY_RANGE(1, -1, 2, KEY_OW)}},
    {.name = "blpop", .arity = -3, .keys = {KEY_RANGE(1, -2, 1, KEY_RW)}},
    {.name = "copy", .arity = -3, .keys = {KEY_AT(1, KEY_RO), KEY_AT(2, KEY_OW)}},
    {.name = "bitop", .arity = -4, .keys = {KEY_AT(2, KEY_OW), KEY_RANGE(3, -1, 1, KEY_RO)}},
    {.name = "zunion", .arity = -3, .keys = {KEY_NUMKEYS(1, KEY_RO)}},
    {.name = "zunionstore", .arity = -4, .keys = {KEY_AT(1, KEY_OW), KEY_NUMKEYS(2, KEY_RO)}},
    {.name = "eval", .arity = -3, .flags = CMD_NO_MANDATORY_KEYS, .keys = {KEY_NUMKEYS(2, KEY_RW)}},
    {.name = "set",
     .arity = -3,
     .keys = {KEY_AT(1, KEY_RW | KEY_VARIABLE_FLAGS)},
     .keys_fn = set_keys},
    {.name = "sort",
     .arity = -2,
     .keys = {KEY_AT(1, KEY_RO),
              {.flags = KEY_OW | KEY_INCOMPLETE,
               .begin = KEY_BEGIN_UNKNOWN,
               .find = KEY_FIND_UNKNOWN}},
     .keys_fn = store_keys},
    {.name = "xread",
     .arity = -4,
     .keys = {{.flags = KEY_RO,
               .begin = KEY_BEGIN_KEYWORD,
               .index = 1,
               .keyword = "STREAMS",
               .last_or_keynum = -1,
               .step_or_first = 1,
               .limit_or_step = 2}}},
    {.name = "georadius",
     .arity = -6,
     .keys = {KEY_AT(1, KEY_RO),
              {.flags = KEY_OW,
               .begin = KEY_BEGIN_KEYWORD,
               .index = 6,
               .keyword = "STORE",
               .step_or_first = 1}}},
    {.name = "migrate",
     .arity = -6,
     .keys = {KEY_AT(3, KEY_RW),
              {.flags = KEY_RW | KEY_INCOMPLETE,
               .begin = KEY_BEGIN_KEYWORD,
               .index = -2,
               .keyword = "KEYS",
               .last_or_keynum = -1,
               .step_or_first = 1}}},
    {.name = "spublish", .arity = 3, .keys = {KEY_AT(1, KEY_NOT_KEY)}},
    {.name = NULL},
};

static const struct command *const tables[] = {rows};

#define KEYS_MAX 8

/* Writes "index:flags" of each key, separated by blanks; "invalid" without an answer. */
static void format_keys(const struct command_table *table, const char *request, char *out,
                        size_t out_bytes)
{
    struct split_args args;
    assert_true(split_args(bytes_text(request), &args));
    int argc = (int)args.count;
    const struct command *row = command_find(table, args.items, argc, NULL);
    assert_non_null(row);
    struct key_arg keys[KEYS_MAX];
    int count = command_keys(row, args.items, argc, keys, KEYS_MAX);
    out[0] = 0;
    if (count < 0)
        snprintf(out, out_bytes, "invalid");
    for (int i = 0; i < count; i++) {
        size_t used = strlen(out);
        uint32_t flags = keys[i].flags;
        const char *access = flags & KEY_RO   ? "ro"
                             : flags & KEY_RW ? "rw"
                             : flags & KEY_OW ? "ow"
                                              : "rm";
        snprintf(out + used, out_bytes - used, "%s%d:%s", i == 0 ? "" : " ", keys[i].index, access);
    }
    split_args_deinit(&args);
}

static void keys_are_those_that_redis_tells(void **state)
{
    (void)state;
    static const struct {
        const char *request, *expected;
    } cases[] = {
        {"get a", "1:ro"},
        {"ping", ""},
        {"ping a", ""},
        {"del a", "1:rm"},
        {"del a b c", "1:rm 2:rm 3:rm"},
        {"mset a 1 b 2", "1:ow 3:ow"},
        {"mset a 1 b", "1:ow 3:ow"},
        {"blpop a 0", "1:rw"},
        {"blpop a b 0", "1:rw 2:rw"},
        {"blpop 0", "invalid"},
        {"copy a b", "1:ro 2:ow"},
        {"bitop and d a b", "2:ow 3:ro 4:ro"},
        {"bitop and d", "invalid"},
        {"zunion 2 a b", "2:ro 3:ro"},
        {"zunion 2 a b withscores", "2:ro 3:ro"},
        {"zunion 3 a b", "invalid"},
        {"zunion 0 a b", "invalid"},
        {"zunion -1 a b", "invalid"},
        {"zunion 9223372036854775807 a b", "invalid"},
        {"zunion 4294967297 a b", "invalid"},
        {"zunion x a b", "invalid"},
        {"zunion", "invalid"},
        {"zunionstore d 1 a", "1:ow 3:ro"},
        {"zunionstore d 2 a", "invalid"},
        {"eval s 0", ""},
        {"eval s 0 a", ""},
        {"eval s 1 a b", "3:rw"},
        {"eval s -1 a b", "invalid"},
        {"set a 1", "1:ow"},
        {"set a 1 get", "1:rw"},
        {"sort a", "1:ro"},
        {"sort a store b", "1:ro 3:ow"},
        {"xread streams a 0", "2:ro"},
        {"xread count 2 streams a b 0 1", "4:ro 5:ro"},
        {"xread streams a b 0", "2:ro"},
        {"xread count 2", ""},
        {"georadius a 1 2 3 km", "1:ro"},
        {"georadius a 1 2 3 km store b", "1:ro 7:ow"},
        {"georadius a 1 2 3 km asc STORE b", "1:ro 8:ow"},
        {"georadius a 1 2 3 km store", "1:ro"},
        {"migrate h 1 k 0 5", "3:rw"},
        {"spublish a b", ""},
    };
    struct command_table *table = command_table_create_from(tables, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char keys[256];
        format_keys(table, cases[i].request, keys, sizeof keys);
        if (strcmp(keys, cases[i].expected) != 0)
            fail_msg("case %zu, \"%s\": keys \"%s\", expected \"%s\"", i, cases[i].request, keys,
                     cases[i].expected);
    }
    command_table_destroy(table);
}

static void count_goes_on_where_the_output_ends(void **state)
{
    (void)state;
    struct command_table *table = command_table_create_from(tables, 1);
    struct bytes argv[101];
    for (size_t i = 0; i < 101; i++)
        argv[i] = bytes_text(i == 0 ? "del" : "k");
    const struct command *row = command_find(table, argv, 101, NULL);
    struct key_arg keys[3] = {{.index = -1}, {.index = -1}, {.index = -1}};
    assert_int_equal(command_keys(row, argv, 101, keys, 2), 100);
    assert_int_equal(keys[1].index, 2);
    assert_int_equal(keys[2].index, -1);
    assert_int_equal(command_keys(row, argv, 101, NULL, 0), 100);
    command_table_destroy(table);
}

static void legacy_range_joins_neighbours(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct key_range expected;
    } cases[] = {
        {"get", {1, 1, 1, false}},        {"ping", {0, 0, 0, false}},
        {"del", {1, -1, 1, false}},       {"mset", {1, -1, 2, false}},
        {"blpop", {1, -2, 1, false}},     {"copy", {1, 2, 1, false}},
        {"bitop", {2, -1, 1, false}},     {"zunion", {0, 0, 0, true}},
        {"zunionstore", {1, 1, 1, true}}, {"eval", {0, 0, 0, true}},
        {"set", {1, 1, 1, false}},        {"sort", {1, 1, 1, true}},
        {"xread", {0, 0, 0, true}},       {"georadius", {1, 1, 1, true}},
        {"migrate", {3, 3, 1, true}},     {"spublish", {1, 1, 1, false}},
    };
    struct command_table *table = command_table_create_from(tables, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct command *row = command_find_name(table, bytes_text(cases[i].name));
        struct key_range range = command_key_range(row);
        if (range.first != cases[i].expected.first || range.last != cases[i].expected.last ||
            range.step != cases[i].expected.step || range.movable != cases[i].expected.movable)
            fail_msg("%s: %d %d %d %d", cases[i].name, range.first, range.last, range.step,
                     range.movable);
        assert_int_equal((row->flags & CMD_MOVABLE_KEYS) != 0, range.movable);
    }
    command_table_destroy(table);
}

static void commands_without_keys_say_so(void **state)
{
    (void)state;
    struct command_table *table = command_table_create_from(tables, 1);
    assert_true(command_has_keys(command_find_name(table, bytes_text("get"))));
    assert_true(command_has_keys(command_find_name(table, bytes_text("sort"))));
    assert_false(command_has_keys(command_find_name(table, bytes_text("ping"))));
    assert_false(command_has_keys(command_find_name(table, bytes_text("spublish"))));
    command_table_destroy(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_are_those_that_redis_tells),
        TEST(count_goes_on_where_the_output_ends),
        TEST(legacy_range_joins_neighbours),
        TEST(commands_without_keys_say_so),
    };
    return RUN_TESTS("command_keys", tests);
}
