/* Goal: every command row is complete and does not contradict itself, whoever writes it. Method:
 * rules that hold for all rows of Redis 7.2, applied to all of ours. */
#include "server/command.h"

#include "tests/support/harness.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static int setup(void **state)
{
    *state = command_table_create();
    return 0;
}

static int teardown(void **state)
{
    command_table_destroy(*state);
    return 0;
}

static bool is_version(const char *text)
{
    int major, minor, patch, end = 0;
    return text != NULL && sscanf(text, "%d.%d.%d%n", &major, &minor, &patch, &end) == 3 &&
           text[end] == 0;
}

static bool is_one_of(const char *text, const char *const *list)
{
    for (; *list != NULL; list++)
        if (text != NULL && strcmp(text, *list) == 0)
            return true;
    return false;
}

static void rows_tell_what_they_are(void **state)
{
    static const char *const groups[] = {
        "bitmap",      "cluster", "connection", "generic",      "geo",    "hash",
        "hyperloglog", "list",    "pubsub",     "scripting",    "server", "set",
        "sorted-set",  "stream",  "string",     "transactions", NULL,
    };
    const struct command_table *table = *state;
    for (int i = 0; i < command_count(table); i++) {
        const struct command *row = command_at(table, i);
        for (const char *c = row->name; *c != 0; c++)
            if (isupper((unsigned char)*c) || isspace((unsigned char)*c))
                fail_msg("%s: the name is not in lower case", row->name);
        if (row->arity == 0)
            fail_msg("%s: no arity", row->name);
        if (row->handler == NULL && row->subcommand_count == 0)
            fail_msg("%s: neither handler nor subcommands", row->name);
        if (row->summary == NULL || row->summary[0] == 0)
            fail_msg("%s: no summary", row->name);
        if (!is_version(row->since))
            fail_msg("%s: since \"%s\"", row->name, row->since == NULL ? "" : row->since);
        if (!is_one_of(row->group, groups))
            fail_msg("%s: group \"%s\"", row->name, row->group == NULL ? "" : row->group);
        if (row->deprecated_since != NULL && !is_version(row->deprecated_since))
            fail_msg("%s: deprecated since \"%s\"", row->name, row->deprecated_since);
    }
}

static void history_comes_in_pairs(void **state)
{
    const struct command_table *table = *state;
    for (int i = 0; i < command_count(table); i++) {
        const struct command *row = command_at(table, i);
        size_t count = 0;
        for (; row->history != NULL && row->history[count] != NULL; count++)
            if (count % 2 == 0 && !is_version(row->history[count]))
                fail_msg("%s: history begins with \"%s\"", row->name, row->history[count]);
        if (count % 2 != 0)
            fail_msg("%s: a version without a change", row->name);
    }
}

static void flags_do_not_contradict_each_other(void **state)
{
    const struct command_table *table = *state;
    for (int i = 0; i < command_count(table); i++) {
        const struct command *row = command_at(table, i);
        if ((row->flags & CMD_WRITE) && (row->flags & CMD_READONLY))
            fail_msg("%s: both write and readonly", row->name);
        if ((row->flags & CMD_DENYOOM) && !(row->flags & (CMD_WRITE | CMD_NOSCRIPT)))
            fail_msg("%s: may need memory, but does not write", row->name);
    }
}

/* A request of the shortest allowed length has every key that must be there. */
static void key_specifications_fit_the_arity(void **state)
{
    const struct command_table *table = *state;
    for (int i = 0; i < command_count(table); i++) {
        const struct command *row = command_at(table, i);
        bool writes = (row->flags & (CMD_WRITE | CMD_MAY_REPLICATE)) != 0; /* PFCOUNT caches */
        for (int k = 0; k < row->key_spec_count; k++) {
            const struct key_spec *spec = &row->keys[k];
            uint32_t access = spec->flags & (KEY_RO | KEY_RW | KEY_OW | KEY_RM);
            if (!(spec->flags & KEY_NOT_KEY) && (access == 0 || (access & (access - 1)) != 0))
                fail_msg("%s: key specification %d has not one kind of access", row->name, k);
            if (access != KEY_RO && access != 0 && !writes)
                fail_msg("%s: key specification %d changes what the command only reads", row->name,
                         k);
            if (spec->begin == KEY_BEGIN_INDEX && spec->index >= abs(row->arity) &&
                row->keys_fn == NULL && !(spec->flags & KEY_NOT_KEY))
                fail_msg("%s: key specification %d lies beyond the arity", row->name, k);
            if ((spec->flags & KEY_LOAD_META) && (spec->flags & KEY_LOAD_NOTHING))
                fail_msg("%s: key specification %d loads nothing and something", row->name, k);
        }
    }
}

static void check_args(const struct command *row, const struct command_arg *args)
{
    for (const struct command_arg *arg = args; arg->name != NULL; arg++) {
        bool has_children = arg->type == ARG_ONEOF || arg->type == ARG_BLOCK;
        if (has_children != (arg->children != NULL))
            fail_msg("%s: argument %s and what is within it", row->name, arg->name);
        if (arg->type == ARG_PURE_TOKEN && arg->token == NULL)
            fail_msg("%s: argument %s is a token without a word", row->name, arg->name);
        if (arg->type == ARG_KEY && arg->key_spec_index >= row->key_spec_count)
            fail_msg("%s: argument %s belongs to no key specification", row->name, arg->name);
        if (arg->since != NULL && !is_version(arg->since))
            fail_msg("%s: argument %s since \"%s\"", row->name, arg->name, arg->since);
        if (arg->children != NULL)
            check_args(row, arg->children);
    }
}

static void arguments_are_well_formed(void **state)
{
    const struct command_table *table = *state;
    for (int i = 0; i < command_count(table); i++) {
        const struct command *row = command_at(table, i);
        if (row->args != NULL)
            check_args(row, row->args);
        else if (row->arity > 1 + row->is_subcommand && row->handler != NULL)
            fail_msg("%s: takes arguments and tells none", row->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(rows_tell_what_they_are, setup, teardown),
        TEST_WITH(history_comes_in_pairs, setup, teardown),
        TEST_WITH(flags_do_not_contradict_each_other, setup, teardown),
        TEST_WITH(key_specifications_fit_the_arity, setup, teardown),
        TEST_WITH(arguments_are_well_formed, setup, teardown),
    };
    return RUN_TESTS("command_tables", tests);
}
