/* Goal: any spelling of a name finds its row and nothing else does; derived fields follow from the
 * rows; keys of requests are those that Redis tells. Method: a small table of rows, and all names
 * of Redis's commands with random ones around them. */
#include "server/command.h"

#include "codec/mem.h"
#include "tests/support/harness.h"

#include <stdio.h>

static const struct command first_table[] = {
    {.name = "get", .arity = 2, .flags = CMD_READONLY | CMD_FAST, .keys = {KEY_AT(1, KEY_RO)}},
    {.name = "georadiusbymember_ro", .arity = -5, .keys = {KEY_AT(1, KEY_RO)}},
    {.name = "georadiusbymember", .arity = -5},
    {.name = "config", .arity = -2},
    {.name = "config|get", .arity = -3, .flags = CMD_ADMIN},
    {.name = "config|set", .arity = -4},
    {.name = "config|resetstat", .arity = 2},
    {.name = NULL},
};

static const struct command second_table[] = {
    {.name = "config-x", .arity = 1},
    {.name = "zrangebyscore", .arity = -4},
    {.name = "zrevrangebyscore", .arity = -4},
    {.name = "command", .arity = -1},
    {.name = "command|get", .arity = 2},
    {.name = "command|a-subcommand-with-a-long-name", .arity = 2},
    {.name = "q", .arity = 1},
    {.name = NULL},
};

static const struct command *const both_tables[] = {first_table, second_table};

static struct command_table *make_table(void)
{
    return command_table_create_from(both_tables, 2);
}

static const struct command *find_words(const struct command_table *table, const char *first,
                                        const char *second, const struct command **container)
{
    struct bytes argv[2] = {bytes_text(first), bytes_text(second == NULL ? "" : second)};
    return command_find(table, argv, second == NULL ? 1 : 2, container);
}

static void assert_finds(const struct command_table *table, const char *first, const char *second,
                         const char *expected)
{
    const struct command *row = find_words(table, first, second, NULL);
    if (expected == NULL) {
        assert_null(row);
        return;
    }
    assert_non_null(row);
    assert_string_equal(row->name, expected);
}

static void name_is_found_in_any_case(void **state)
{
    (void)state;
    struct command_table *table = make_table();
    assert_finds(table, "get", NULL, "get");
    assert_finds(table, "GET", "a", "get");
    assert_finds(table, "gEt", "a", "get");
    assert_finds(table, "Q", NULL, "q");
    assert_finds(table, "ZRANGEBYSCORE", "a", "zrangebyscore");
    assert_finds(table, "ZRevRangeByScore", "a", "zrevrangebyscore");
    assert_finds(table, "GEORADIUSBYMEMBER", "a", "georadiusbymember");
    assert_finds(table, "GEORADIUSBYMEMBER_RO", "a", "georadiusbymember_ro");
    command_table_destroy(table);
}

static void similar_names_are_not_found(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",          "g",          "ge",
        "gets",      "get ",       " get",
        "gEt@",      "config|get", "config|",
        "\xc7\xc5t", "GEORADIUS",  "GEORADIUSBYMEMBER_RW",
        "G%T",       "get\x7f",    "georadiusbymembeR_ro_and_much_more_text_behind_it",
    };
    struct command_table *table = make_table();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_finds(table, names[i], NULL, NULL);
    struct bytes with_zero = bytes_make("get\0", 4);
    assert_null(command_find(table, &with_zero, 1, NULL));
    struct bytes middle_differs = bytes_text("georadiuXXXmember_ro");
    assert_null(command_find(table, &middle_differs, 1, NULL));
    command_table_destroy(table);
}

/* '@' and '[' surround the capitals, '`' and '{' the small letters. */
static void only_letters_change_case(void **state)
{
    (void)state;
    static const struct command rows[] = {
        {.name = "@[`{"},       {.name = "az09_-.~"}, {.name = "abcdefghijklmnop"},
        {.name = "qrstuvwxyz"}, {.name = NULL},
    };
    static const struct command *const tables[] = {rows};
    struct command_table *table = command_table_create_from(tables, 1);
    assert_finds(table, "@[`{", NULL, "@[`{");
    assert_finds(table, "`{@[", NULL, NULL);
    assert_finds(table, "AZ09_-.~", NULL, "az09_-.~");
    assert_finds(table, "AZ09\x7f-.~", NULL, NULL);
    assert_finds(table, "ABCDEFGHIJKLMNOP", NULL, "abcdefghijklmnop");
    assert_finds(table, "QRSTUVWXYZ", NULL, "qrstuvwxyz");
    command_table_destroy(table);
}

static void subcommand_is_found_under_its_container_only(void **state)
{
    (void)state;
    struct command_table *table = make_table();
    const struct command *container;
    const struct command *row = find_words(table, "CONFIG", "GET", &container);
    assert_string_equal(row->name, "config|get");
    assert_string_equal(container->name, "config");
    assert_finds(table, "config", "ResetStat", "config|resetstat");
    assert_finds(table, "command", "get", "command|get");
    assert_finds(table, "command", "A-SUBCOMMAND-with-a-LONG-name",
                 "command|a-subcommand-with-a-long-name");
    assert_finds(table, "get", "get", "get");

    assert_null(find_words(table, "config", "config", &container));
    assert_string_equal(container->name, "config");
    assert_null(find_words(table, "none", "get", &container));
    assert_null(container);
    row = find_words(table, "config", NULL, &container);
    assert_string_equal(row->name, "config");
    assert_finds(table, "config-x", "get", "config-x");
    command_table_destroy(table);
}

static void full_name_is_found(void **state)
{
    (void)state;
    struct command_table *table = make_table();
    assert_string_equal(command_find_name(table, bytes_text("CONFIG|Set"))->name, "config|set");
    assert_string_equal(command_find_name(table, bytes_text("Config"))->name, "config");
    assert_null(command_find_name(table, bytes_text("config|nothing")));
    assert_null(command_find_name(table, bytes_text("config|")));
    assert_null(command_find_name(table, bytes_text("get|get")));
    assert_null(command_find_name(table, bytes_text("config|get|get")));
    assert_null(command_find_name(table, bytes_text("")));
    assert_null(command_find_name(table, bytes_text("|")));
    command_table_destroy(table);
}

static void ids_are_dense_and_follow_names(void **state)
{
    (void)state;
    struct command_table *table = make_table();
    static const char *const order[] = {
        "command",
        "command|a-subcommand-with-a-long-name",
        "command|get",
        "config",
        "config|get",
        "config|resetstat",
        "config|set",
        "config-x",
        "georadiusbymember",
        "georadiusbymember_ro",
        "get",
        "q",
        "zrangebyscore",
        "zrevrangebyscore",
    };
    assert_int_equal(command_count(table), sizeof order / sizeof order[0]);
    for (int i = 0; i < command_count(table); i++) {
        const struct command *row = command_at(table, i);
        assert_string_equal(row->name, order[i]);
        assert_int_equal(command_id(table, row), i);
        assert_int_equal((uintptr_t)row % 64, 0);
    }
    const struct command *config = command_find_name(table, bytes_text("config"));
    assert_int_equal(config->subcommand_count, 3);
    assert_false(config->is_subcommand);
    assert_true(command_at(table, config->id + 1)->is_subcommand);
    assert_int_equal(command_top_count(table), 9);
    command_table_destroy(table);
}

static void categories_follow_from_flags(void **state)
{
    (void)state;
    static const struct {
        uint32_t flags, acl, expected;
    } cases[] = {
        {0, 0, ACL_SLOW},
        {CMD_FAST, 0, ACL_FAST},
        {CMD_WRITE | CMD_FAST, ACL_STRING, ACL_WRITE | ACL_STRING | ACL_FAST},
        {CMD_READONLY, ACL_KEYSPACE, ACL_READ | ACL_KEYSPACE | ACL_SLOW},
        {CMD_READONLY, ACL_SCRIPTING, ACL_SCRIPTING | ACL_SLOW},
        {CMD_ADMIN, 0, ACL_ADMIN | ACL_DANGEROUS | ACL_SLOW},
        {CMD_PUBSUB | CMD_BLOCKING, 0, ACL_PUBSUB | ACL_BLOCKING | ACL_SLOW},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct command row = {.flags = cases[i].flags, .acl = cases[i].acl};
        assert_int_equal(command_acl_categories(&row), cases[i].expected);
    }
}

static void renamed_command_is_found_by_its_new_name_alone(void **state)
{
    (void)state;
    struct command_table *table = make_table();
    assert_ok(command_rename(table, bytes_text("GET"), bytes_text("Fetch")), NULL);
    assert_finds(table, "get", "a", NULL);
    assert_finds(table, "FETCH", "a", "get");
    assert_status(command_rename(table, bytes_text("get"), bytes_text("b")), ST_NOT_FOUND);
    assert_status(command_rename(table, bytes_text("fetch"), bytes_text("Q")), ST_EXISTS);
    assert_ok(command_rename(table, bytes_text("q"), bytes_text("get")), NULL);
    assert_finds(table, "get", NULL, "q");

    assert_ok(command_rename(table, bytes_text("config"), bytes_text("setup")), NULL);
    assert_finds(table, "setup", "get", "config|get");
    assert_finds(table, "config", "get", NULL);
    assert_int_equal(command_top_count(table), 9);
    assert_ok(command_rename(table, bytes_text("setup"), bytes_text("")), NULL);
    assert_finds(table, "setup", "get", NULL);
    assert_int_equal(command_top_count(table), 8);
    assert_int_equal(command_count(table), 14);
    command_table_destroy(table);
}

/* Fills a table with names of all lengths and looks all of them and near misses up. */
static void thousand_names_are_told_apart(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct command *rows = mem_calloc(COUNT + 1, sizeof *rows);
    char *names = mem_calloc(COUNT, 32);
    for (int i = 0; i < COUNT; i++) {
        char *name = names + (size_t)i * 32;
        snprintf(name, 32, "%.*s%d", i % 25, "abcdefghijklmnopqrstuvwxyz", i);
        rows[i].name = name;
        rows[i].arity = (int16_t)i;
    }
    const struct command *const tables[] = {rows};
    struct command_table *table = command_table_create_from(tables, 1);
    for (int i = 0; i < COUNT; i++) {
        char name[40];
        snprintf(name, sizeof name, "%s", rows[i].name);
        const struct command *row = find_words(table, name, NULL, NULL);
        assert_non_null(row);
        assert_int_equal(row->arity, i);
        name[0] ^= 0x40;
        assert_finds(table, name, NULL, NULL);
        name[0] ^= 0x40;
        snprintf(name, sizeof name, "%s.", rows[i].name);
        assert_finds(table, name, NULL, NULL);
    }
    command_table_destroy(table);
    mem_free(names);
    mem_free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(name_is_found_in_any_case),
        TEST(similar_names_are_not_found),
        TEST(only_letters_change_case),
        TEST(subcommand_is_found_under_its_container_only),
        TEST(full_name_is_found),
        TEST(ids_are_dense_and_follow_names),
        TEST(categories_follow_from_flags),
        TEST(renamed_command_is_found_by_its_new_name_alone),
        TEST(thousand_names_are_told_apart),
    };
    return RUN_TESTS("command", tests);
}
