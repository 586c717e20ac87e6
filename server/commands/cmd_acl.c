/* ACL: users, what they may do, and what was denied. Source: aclCommand of Redis 7.2. */
#include "server/acl.h"
#include "server/acl_log.h"
#include "server/call.h"
#include "server/command_info.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/services.h"

#include "codec/buf.h"
#include "storage/env.h"

#define GENPASS_BITS_DEFAULT 256
#define GENPASS_BITS_MAX     4096
#define LOG_COUNT_DEFAULT    10
#define LOG_FIELDS           10
#define CATEGORY_TEXT_MAX    128

static struct acl *acl_of(const struct call *c)
{
    return c->services->acl;
}

/* Too many arguments for a subcommand whose arity does not bound them. */
static bool has_at_most(struct call *c, int argc_max)
{
    if (c->argc <= argc_max)
        return true;
    reply_error_subcommand_syntax(c->reply, c->argv[1], "ACL");
    return false;
}

/* `text` is what came before, ended here. */
static void reply_error_buf(struct call *c, struct buf *text)
{
    reply_error_format(c->reply, "ERR %.*s", (int)text->len, (const char *)text->data);
    buf_deinit(text);
}

/* ---- Users. */

static void cmd_acl_setuser(struct call *c)
{
    if (!acl_user_name_is_valid(c->argv[2])) {
        reply_error(c->reply, "ERR Usernames can't contain spaces or null characters");
        return;
    }
    struct buf error = {0};
    size_t count = (size_t)(c->argc - 3);
    if (acl_set_user(acl_of(c), c->session, c->argv[2], c->argv + 3, count, &error))
        reply_ok(c->reply);
    else
        reply_error_buf(c, &error);
}

static void cmd_acl_deluser(struct call *c)
{
    for (int i = 2; i < c->argc; i++) {
        if (bytes_equal(c->argv[i], bytes_text(acl_default_user(acl_of(c))->name))) {
            reply_error(c->reply, "ERR The 'default' user cannot be removed");
            return;
        }
    }
    int64_t deleted = 0;
    for (int i = 2; i < c->argc; i++)
        deleted += acl_delete_user(acl_of(c), c->session, c->argv[i]);
    reply_integer(c->reply, deleted);
}

typedef void describe_fn(const struct acl_selector *selector, struct buf *out);

static void reply_rules(struct call *c, const char *name, const struct acl_selector *selector,
                        describe_fn *describe)
{
    struct buf text = {0};
    describe(selector, &text);
    reply_bulk_text(c->reply, name);
    reply_bulk(c->reply, buf_bytes(&text));
    buf_deinit(&text);
}

static void reply_selector(struct call *c, const struct acl_selector *selector)
{
    reply_rules(c, "commands", selector, acl_selector_describe_commands);
    reply_rules(c, "keys", selector, acl_selector_describe_keys);
    reply_rules(c, "channels", selector, acl_selector_describe_channels);
}

static void reply_flags(struct call *c, const struct acl_user *user)
{
    reply_bulk_text(c->reply, "flags");
    reply_set(c->reply, user->no_password ? 3 : 2);
    reply_bulk_text(c->reply, user->enabled ? "on" : "off");
    if (user->no_password)
        reply_bulk_text(c->reply, "nopass");
    reply_bulk_text(c->reply, user->skip_sanitize ? "skip-sanitize-payload" : "sanitize-payload");
}

static void cmd_acl_getuser(struct call *c)
{
    const struct acl_user *user = acl_find(acl_of(c), c->argv[2]);
    if (user == NULL) {
        reply_null(c->reply);
        return;
    }
    reply_map(c->reply, 6);
    reply_flags(c, user);
    reply_bulk_text(c->reply, "passwords");
    reply_array(c->reply, user->password_count);
    for (size_t i = 0; i < user->password_count; i++)
        reply_bulk_text(c->reply, user->passwords[i].hash);
    reply_selector(c, &user->selectors[0]);
    reply_bulk_text(c->reply, "selectors");
    reply_array(c->reply, user->selector_count - 1);
    for (size_t i = 1; i < user->selector_count; i++) {
        reply_map(c->reply, 3);
        reply_selector(c, &user->selectors[i]);
    }
}

static void cmd_acl_list(struct call *c)
{
    reply_array(c->reply, acl_count(acl_of(c)));
    for (size_t i = 0; i < acl_count(acl_of(c)); i++) {
        const struct acl_user *user = acl_at(acl_of(c), i);
        struct buf line = {0};
        buf_append_format(&line, "user %s ", user->name);
        acl_user_describe(user, &line);
        reply_bulk(c->reply, buf_bytes(&line));
        buf_deinit(&line);
    }
}

static void cmd_acl_users(struct call *c)
{
    reply_array(c->reply, acl_count(acl_of(c)));
    for (size_t i = 0; i < acl_count(acl_of(c)); i++)
        reply_bulk_text(c->reply, acl_at(acl_of(c), i)->name);
}

static void cmd_acl_whoami(struct call *c)
{
    if (c->session->user == NULL)
        reply_null(c->reply);
    else
        reply_bulk_text(c->reply, c->session->user->name);
}

/* ---- The file. */

/* False: an error was replied. */
static bool has_file(struct call *c)
{
    if (c->services->config->aclfile[0] != '\0')
        return true;
    reply_error(c->reply,
                "ERR This Redis instance is not configured to use an ACL file. You may want to "
                "specify users via the ACL SETUSER command and then issue a CONFIG REWRITE "
                "(assuming you have a Redis configuration file set) in order to store users in the "
                "Redis configuration.");
    return false;
}

static void cmd_acl_load(struct call *c)
{
    struct buf error = {0};
    if (!has_file(c))
        return;
    if (acl_load_file(acl_of(c), c->session, &error))
        reply_ok(c->reply);
    else
        reply_error_buf(c, &error);
}

static void cmd_acl_save(struct call *c)
{
    if (!has_file(c))
        return;
    if (acl_save_file(acl_of(c)))
        reply_ok(c->reply);
    else
        reply_error(c->reply, "ERR There was an error trying to save the ACLs. Please check the "
                              "server logs for more information");
}

/* ---- What there is. */

static void list_commands(struct call *c, uint32_t category)
{
    const struct command_table *commands = c->services->commands;
    struct reply_deferred names = reply_deferred_begin(c->reply);
    uint64_t count = 0;
    for (int id = 0; id < command_count(commands); id++) {
        const struct command *command = command_at(commands, id);
        if ((command_acl_categories(command) & category) == 0)
            continue;
        reply_bulk_text(c->reply, command->name);
        count++;
    }
    reply_deferred_array(c->reply, &names, count);
}

static void cmd_acl_cat(struct call *c)
{
    if (!has_at_most(c, 3))
        return;
    if (c->argc == 2) {
        command_info_reply_acl_categories(c->reply);
        return;
    }
    uint32_t category = command_info_find_acl_category(c->argv[2]);
    if (category == 0) {
        size_t len = c->argv[2].len < CATEGORY_TEXT_MAX ? c->argv[2].len : CATEGORY_TEXT_MAX;
        reply_error_format(c->reply, "ERR Unknown category '%.*s'", (int)len,
                           (const char *)c->argv[2].data);
        return;
    }
    list_commands(c, category);
}

static void cmd_acl_genpass(struct call *c)
{
    int64_t bits = GENPASS_BITS_DEFAULT;
    if (!has_at_most(c, 3) || (c->argc == 3 && !call_arg_i64(c, 2, &bits)))
        return;
    if (bits <= 0 || bits > GENPASS_BITS_MAX) {
        reply_error_format(c->reply,
                           "ERR ACL GENPASS argument must be the number of bits for the output "
                           "password, a positive number up to %d",
                           GENPASS_BITS_MAX);
        return;
    }
    static const char digits[] = "0123456789abcdef";
    uint8_t random[GENPASS_BITS_MAX / 8];
    char text[GENPASS_BITS_MAX / 4];
    struct env *env = env_posix();
    size_t chars = (size_t)(bits + 3) / 4;
    env->random_bytes(env, random, (chars + 1) / 2);
    for (size_t i = 0; i < chars; i++)
        text[i] = digits[random[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
    reply_bulk(c->reply, bytes_make(text, chars));
}

/* ---- Asking. */

static void cmd_acl_dryrun(struct call *c)
{
    const struct acl_user *user = acl_find(acl_of(c), c->argv[2]);
    if (user == NULL) {
        reply_error_format(c->reply, "ERR User '%.*s' not found", (int)c->argv[2].len,
                           (const char *)c->argv[2].data);
        return;
    }
    const struct bytes *argv = c->argv + 3;
    int argc = c->argc - 3;
    const struct command *command = command_find(c->services->commands, argv, argc, NULL);
    if (command == NULL) {
        reply_error_format(c->reply, "ERR Command '%.*s' not found", (int)argv[0].len,
                           (const char *)argv[0].data);
        return;
    }
    if (!command_takes(command, argc)) {
        reply_error_arity(c->reply, command->name);
        return;
    }
    int arg;
    enum acl_result result = acl_user_check(user, command, argv, argc, &arg);
    if (result == ACL_ALLOWED) {
        reply_ok(c->reply);
        return;
    }
    struct buf text = {0};
    acl_explain(&text, result, user, command, argv[arg], true);
    reply_bulk(c->reply, buf_bytes(&text));
    buf_deinit(&text);
}

/* ---- What was denied. */

static void reply_entry(struct call *c, const struct acl_log_entry *entry)
{
    static const char *const reasons[] = {[ACL_DENIED_COMMAND] = "command",
                                          [ACL_DENIED_KEY] = "key",
                                          [ACL_DENIED_AUTH] = "auth",
                                          [ACL_DENIED_CHANNEL] = "channel"};
    static const char *const contexts[] = {
        [ACL_LOG_TOPLEVEL] = "toplevel", [ACL_LOG_MULTI] = "multi", [ACL_LOG_LUA] = "lua"};
    reply_map(c->reply, LOG_FIELDS);
    reply_bulk_text(c->reply, "count");
    reply_integer(c->reply, (int64_t)entry->count);
    reply_bulk_text(c->reply, "reason");
    reply_bulk_text(c->reply, reasons[entry->reason]);
    reply_bulk_text(c->reply, "context");
    reply_bulk_text(c->reply, contexts[entry->context]);
    reply_bulk_text(c->reply, "object");
    reply_bulk(c->reply, entry->object);
    reply_bulk_text(c->reply, "username");
    reply_bulk(c->reply, entry->user);
    reply_bulk_text(c->reply, "age-seconds");
    reply_double(c->reply, (double)(c->now_ms - entry->updated_at_ms) / 1000);
    reply_bulk_text(c->reply, "client-info");
    reply_bulk(c->reply, entry->client_info);
    reply_bulk_text(c->reply, "entry-id");
    reply_integer(c->reply, (int64_t)entry->id);
    reply_bulk_text(c->reply, "timestamp-created");
    reply_integer(c->reply, entry->created_at_ms);
    reply_bulk_text(c->reply, "timestamp-last-updated");
    reply_integer(c->reply, entry->updated_at_ms);
}

static void cmd_acl_log(struct call *c)
{
    struct acl_log *log = acl_log_of(acl_of(c));
    int64_t count = LOG_COUNT_DEFAULT;
    if (!has_at_most(c, 3))
        return;
    if (c->argc == 3 && call_arg_is(c, 2, "reset")) {
        acl_log_clear(log);
        reply_ok(c->reply);
        return;
    }
    if (c->argc == 3 && !call_arg_i64(c, 2, &count))
        return;
    if (count < 0)
        count = 0;
    if ((uint64_t)count > acl_log_count(log))
        count = (int64_t)acl_log_count(log);
    reply_array(c->reply, (uint64_t)count);
    for (const struct acl_log_entry *entry = acl_log_first(log); count > 0; entry = entry->older) {
        reply_entry(c, entry);
        count--;
    }
}

static void cmd_acl_help(struct call *c)
{
    static const char *const lines[] = {
        "CAT [<category>]",
        "    List all commands that belong to <category>, or all command categories",
        "    when no category is specified.",
        "DELUSER <username> [<username> ...]",
        "    Delete a list of users.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Returns whether the user can execute the given command without executing the command.",
        "GETUSER <username>",
        "    Get the user's details.",
        "GENPASS [<bits>]",
        "    Generate a secure 256-bit user password. The optional `bits` argument can",
        "    be used to specify a different size.",
        "LIST",
        "    Show users details in config file format.",
        "LOAD",
        "    Reload users from the ACL file.",
        "LOG [<count> | RESET]",
        "    Show the ACL log entries.",
        "SAVE",
        "    Save the current config to the ACL file.",
        "SETUSER <username> <attribute> [<attribute> ...]",
        "    Create or modify a user with the specified attributes.",
        "USERS",
        "    List all the registered usernames.",
        "WHOAMI",
        "    Return the current connection username.",
        NULL,
    };
    reply_help(c->reply, "ACL", lines);
}

const struct command cmd_acl_table[] = {
    {.name = "acl",
     .arity = -2,
     .flags = CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for Access List Control commands."},
    {.name = "acl|cat",
     .handler = cmd_acl_cat,
     .arity = -2,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity = "O(1) since the categories and commands are a fixed set.",
     .summary = "Lists the ACL categories, or the commands inside a category.",
     .args = ARGS(ARG("category", STRING, .flags = ARG_OPTIONAL))},
    {.name = "acl|deluser",
     .handler = cmd_acl_deluser,
     .arity = -3,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity = "O(1) amortized time considering the typical user.",
     .summary = "Deletes ACL users, and terminates their connections.",
     .tips = TEXTS("request_policy:all_nodes", "response_policy:all_succeeded"),
     .args = ARGS(ARG("username", STRING, .flags = ARG_MULTIPLE))},
    {.name = "acl|dryrun",
     .handler = cmd_acl_dryrun,
     .arity = -4,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "7.0.0",
     .complexity = "O(1).",
     .summary = "Simulates the execution of a command by a user, without executing the command.",
     .args = ARGS(ARG("username", STRING), ARG("command", STRING),
                  ARG("arg", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "acl|genpass",
     .handler = cmd_acl_genpass,
     .arity = -2,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Generates a pseudorandom, secure password that can be used to identify ACL users.",
     .args = ARGS(ARG("bits", INTEGER, .flags = ARG_OPTIONAL))},
    {.name = "acl|getuser",
     .handler = cmd_acl_getuser,
     .arity = 3,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity =
         "O(N). Where N is the number of password, command and pattern rules that the user has.",
     .summary = "Lists the ACL rules of a user.",
     .history = TEXTS("6.2.0", "Added Pub/Sub channel patterns.", "7.0.0",
                      "Added selectors and changed the format of key and channel patterns from a "
                      "list to their rule representation."),
     .args = ARGS(ARG("username", STRING))},
    {.name = "acl|help",
     .handler = cmd_acl_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "acl|list",
     .handler = cmd_acl_list,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity = "O(N). Where N is the number of configured users.",
     .summary = "Dumps the effective rules in ACL file format."},
    {.name = "acl|load",
     .handler = cmd_acl_load,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity = "O(N). Where N is the number of configured users.",
     .summary = "Reloads the rules from the configured ACL file."},
    {.name = "acl|log",
     .handler = cmd_acl_log,
     .arity = -2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity = "O(N) with N being the number of entries shown.",
     .summary = "Lists recent security events generated due to ACL rules.",
     .history = TEXTS("7.2.0", "Added entry ID, timestamp created, and timestamp last updated."),
     .args = ARGS(ARG("operation", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(ARG("count", INTEGER), TOKEN("reset", "RESET"))))},
    {.name = "acl|save",
     .handler = cmd_acl_save,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity = "O(N). Where N is the number of configured users.",
     .summary = "Saves the effective ACL rules in the configured ACL file.",
     .tips = TEXTS("request_policy:all_nodes", "response_policy:all_succeeded")},
    {.name = "acl|setuser",
     .handler = cmd_acl_setuser,
     .arity = -3,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity = "O(N). Where N is the number of rules provided.",
     .summary = "Creates and modifies an ACL user and its rules.",
     .tips = TEXTS("request_policy:all_nodes", "response_policy:all_succeeded"),
     .history = TEXTS("6.2.0", "Added Pub/Sub channel patterns.", "7.0.0",
                      "Added selectors and key based permissions."),
     .args =
         ARGS(ARG("username", STRING), ARG("rule", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "acl|users",
     .handler = cmd_acl_users,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity = "O(N). Where N is the number of configured users.",
     .summary = "Lists all ACL users."},
    {.name = "acl|whoami",
     .handler = cmd_acl_whoami,
     .arity = 2,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .group = "server",
     .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Returns the authenticated username of the current connection."},
    {.name = NULL},
};
