/* COMMAND: what this server can do, for clients that ask it rather than know it. */
#include "server/call.h"
#include "server/command_info.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/services.h"

#include "codec/glob.h"
#include "codec/mem.h"

static const struct command_table *table_of(const struct call *c)
{
    return c->services->commands;
}

/* ---- COMMAND, COMMAND COUNT, INFO, DOCS. */

static void reply_all(struct call *c)
{
    const struct command_table *table = table_of(c);
    int count = command_top_count(table);
    reply_array(c->reply, (uint64_t)count);
    for (int i = 0; i < count; i++)
        command_info_reply(c->reply, table, command_top_at(table, i));
}

static void cmd_command(struct call *c)
{
    reply_all(c);
}

static void cmd_command_count(struct call *c)
{
    reply_integer(c->reply, command_top_count(table_of(c)));
}

static void cmd_command_info(struct call *c)
{
    if (c->argc == 2) {
        reply_all(c);
        return;
    }
    const struct command_table *table = table_of(c);
    reply_array(c->reply, (uint64_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++)
        command_info_reply(c->reply, table, command_find_name(table, c->argv[i]));
}

static void reply_docs(struct call *c, const struct command *row)
{
    reply_bulk_text(c->reply, row->name);
    command_info_reply_docs(c->reply, table_of(c), row);
}

static void cmd_command_docs(struct call *c)
{
    const struct command_table *table = table_of(c);
    if (c->argc == 2) {
        int count = command_top_count(table);
        reply_map(c->reply, (uint64_t)count);
        for (int i = 0; i < count; i++)
            reply_docs(c, command_top_at(table, i));
        return;
    }
    uint64_t found = 0;
    struct reply_deferred deferred = reply_deferred_begin(c->reply);
    for (int i = 2; i < c->argc; i++) {
        const struct command *row = command_find_name(table, c->argv[i]);
        if (row == NULL)
            continue;
        reply_docs(c, row);
        found++;
    }
    reply_deferred_map(c->reply, &deferred, found);
}

/* ---- COMMAND LIST. */

enum list_filter { FILTER_NONE, FILTER_MODULE, FILTER_ACLCAT, FILTER_PATTERN };

static bool parse_filter(struct call *c, enum list_filter *out)
{
    *out = FILTER_NONE;
    if (c->argc == 2)
        return true;
    if (c->argc != 5 || !call_arg_is(c, 2, "filterby"))
        return false;
    if (call_arg_is(c, 3, "module"))
        *out = FILTER_MODULE;
    else if (call_arg_is(c, 3, "aclcat"))
        *out = FILTER_ACLCAT;
    else if (call_arg_is(c, 3, "pattern"))
        *out = FILTER_PATTERN;
    else
        return false;
    return true;
}

static bool passes_filter(const struct command *row, enum list_filter filter, struct bytes argument)
{
    switch (filter) {
    case FILTER_NONE:
        return true;
    case FILTER_MODULE:
        return false; /* no command comes from a module */
    case FILTER_ACLCAT:
        return (command_acl_categories(row) & command_info_find_acl_category(argument)) != 0;
    case FILTER_PATTERN:
        return glob_match(argument, bytes_text(row->name), true);
    }
    return false;
}

static void cmd_command_list(struct call *c)
{
    enum list_filter filter;
    if (!parse_filter(c, &filter)) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    struct bytes argument = filter == FILTER_NONE ? bytes_make(NULL, 0) : c->argv[4];
    const struct command_table *table = table_of(c);
    uint64_t count = 0;
    struct reply_deferred deferred = reply_deferred_begin(c->reply);
    for (int i = 0; i < command_top_count(table); i++) {
        int id = command_top_at(table, i)->id;
        int last = id + command_top_at(table, i)->subcommand_count;
        for (; id <= last; id++) {
            const struct command *row = command_at(table, id);
            if (!passes_filter(row, filter, argument))
                continue;
            reply_bulk_text(c->reply, row->name);
            count++;
        }
    }
    reply_deferred_array(c->reply, &deferred, count);
}

/* ---- COMMAND GETKEYS, GETKEYSANDFLAGS. */

#define KEYS_ON_STACK 32

static bool arity_fits(const struct command *row, int argc)
{
    return row->arity > 0 ? argc == row->arity : argc >= -row->arity;
}

/* Leaves out what clients are not told; returns how many stay. */
static int remove_hidden(struct key_arg *keys, int count)
{
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (!(keys[i].flags & KEY_HIDDEN))
            keys[kept++] = keys[i];
    return kept;
}

static void reply_keys(struct call *c, const struct key_arg *keys, int count, bool with_flags)
{
    reply_array(c->reply, (uint64_t)count);
    for (int i = 0; i < count; i++) {
        if (with_flags)
            reply_array(c->reply, 2);
        reply_bulk(c->reply, c->argv[2 + keys[i].index]);
        if (with_flags)
            command_info_reply_key_flags(c->reply, keys[i].flags);
    }
}

static void get_keys(struct call *c, bool with_flags)
{
    const struct bytes *argv = c->argv + 2;
    int argc = c->argc - 2;
    const struct command *row = command_find(table_of(c), argv, argc, NULL);
    if (row == NULL) {
        reply_error(c->reply, "ERR Invalid command specified");
        return;
    }
    if (!command_has_keys(row)) {
        reply_error(c->reply, "ERR The command has no key arguments");
        return;
    }
    if (!arity_fits(row, argc)) {
        reply_error(c->reply, "ERR Invalid number of arguments specified for command");
        return;
    }
    struct key_arg on_stack[KEYS_ON_STACK];
    struct key_arg *keys = on_stack;
    int count = command_keys(row, argv, argc, keys, KEYS_ON_STACK);
    if (count > KEYS_ON_STACK) {
        keys = mem_calloc((size_t)count, sizeof *keys);
        count = command_keys(row, argv, argc, keys, count);
    }
    count = remove_hidden(keys, count);
    if (count > 0)
        reply_keys(c, keys, count, with_flags);
    else if (row->flags & CMD_NO_MANDATORY_KEYS)
        reply_array(c->reply, 0);
    else
        reply_error(c->reply, "ERR Invalid arguments specified for command");
    if (keys != on_stack)
        mem_free(keys);
}

static void cmd_command_getkeys(struct call *c)
{
    get_keys(c, false);
}

static void cmd_command_getkeysandflags(struct call *c)
{
    get_keys(c, true);
}

static void cmd_command_help(struct call *c)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
        NULL,
    };
    reply_help(c->reply, "COMMAND", lines);
}

const struct command cmd_command_table[] = {
    {.name = "command",
     .handler = cmd_command,
     .arity = -1,
     .flags = CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .acl = ACL_CONNECTION,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(N) where N is the total number of Redis commands",
     .summary = "Returns detailed information about all commands.",
     .tips = TEXTS("nondeterministic_output_order")},
    {.name = "command|count",
     .handler = cmd_command_count,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .acl = ACL_CONNECTION,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Returns a count of commands."},
    {.name = "command|docs",
     .handler = cmd_command_docs,
     .arity = -2,
     .flags = CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .acl = ACL_CONNECTION,
     .group = "server",
     .since = "7.0.0",
     .complexity = "O(N) where N is the number of commands to look up",
     .summary = "Returns documentary information about one, multiple or all commands.",
     .tips = TEXTS("nondeterministic_output_order"),
     .args = ARGS(ARG("command-name", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "command|getkeys",
     .handler = cmd_command_getkeys,
     .arity = -3,
     .flags = CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .acl = ACL_CONNECTION,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(N) where N is the number of arguments to the command",
     .summary = "Extracts the key names from an arbitrary command.",
     .args =
         ARGS(ARG("command", STRING), ARG("arg", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "command|getkeysandflags",
     .handler = cmd_command_getkeysandflags,
     .arity = -3,
     .flags = CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .acl = ACL_CONNECTION,
     .group = "server",
     .since = "7.0.0",
     .complexity = "O(N) where N is the number of arguments to the command",
     .summary = "Extracts the key names and access flags for an arbitrary command.",
     .args =
         ARGS(ARG("command", STRING), ARG("arg", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "command|help",
     .handler = cmd_command_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .acl = ACL_CONNECTION,
     .group = "server",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "command|info",
     .handler = cmd_command_info,
     .arity = -2,
     .flags = CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .acl = ACL_CONNECTION,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(N) where N is the number of commands to look up",
     .summary = "Returns information about one, multiple or all commands.",
     .tips = TEXTS("nondeterministic_output_order"),
     .history =
         TEXTS("7.0.0", "Allowed to be called with no argument to get info on all commands."),
     .args = ARGS(ARG("command-name", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "command|list",
     .handler = cmd_command_list,
     .arity = -2,
     .flags = CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .acl = ACL_CONNECTION,
     .group = "server",
     .since = "7.0.0",
     .complexity = "O(N) where N is the total number of Redis commands",
     .summary = "Returns a list of command names.",
     .tips = TEXTS("nondeterministic_output_order"),
     .args = ARGS(ARG("filterby", ONEOF, .token = "FILTERBY", .flags = ARG_OPTIONAL,
                      .children = ARGS(ARG("module-name", STRING, .token = "MODULE"),
                                       ARG("category", STRING, .token = "ACLCAT"),
                                       ARG("pattern", PATTERN, .token = "PATTERN"))))},
    {.name = NULL},
};
