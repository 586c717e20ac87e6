/* MODULE: there are none, and none can be loaded. Source: module.c of Redis 7.2 for the replies. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/log.h"
#include "server/services.h"

/* False: an error was replied. */
static bool is_permitted(const struct call *c)
{
    int permission = c->services->config->enable_module_command;
    bool local = c->session->conn != NULL && conn_is_local(c->session->conn);
    if (permission == CONFIG_PERMIT_YES || (permission == CONFIG_PERMIT_LOCAL && local))
        return true;
    reply_error(c->reply,
                "ERR MODULE command not allowed. If the enable-module-command option is set to "
                "\"local\", you can run it from a local connection, otherwise you need to set this "
                "option in the configuration file, and then restart the server.");
    return false;
}

static void cmd_module_list(struct call *c)
{
    reply_array(c->reply, 0);
}

static void cmd_module_load(struct call *c)
{
    if (!is_permitted(c))
        return;
    log_write(LOG_WARNING, "A module was not loaded: this server has no modules");
    reply_error(c->reply, "ERR Error loading the extension. Please check the server logs.");
}

static void cmd_module_unload(struct call *c)
{
    if (is_permitted(c))
        reply_error(c->reply, "ERR Error unloading module: no such module with that name");
}

static void cmd_module_help(struct call *c)
{
    static const char *const lines[] = {
        "LIST",
        "    Return a list of loaded modules.",
        "LOAD <path> [<arg> ...]",
        "    Load a module library from <path>, passing to it any optional arguments.",
        "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
        "    Load a module library from <path>, while passing it module configurations and "
        "optional arguments.",
        "UNLOAD <name>",
        "    Unload a module.",
        NULL,
    };
    reply_help(c->reply, "MODULE", lines);
}

const struct command cmd_module_table[] = {
    {.name = "module",
     .arity = -2,
     .group = "server",
     .since = "4.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for module commands."},
    {.name = "module|help",
     .handler = cmd_module_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "module|list",
     .handler = cmd_module_list,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT,
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(N) where N is the number of loaded modules.",
     .summary = "Returns all loaded modules.",
     .tips = TEXTS("nondeterministic_output_order")},
    {.name = "module|load",
     .handler = cmd_module_load,
     .arity = -3,
     .flags = CMD_NO_ASYNC_LOADING | CMD_ADMIN | CMD_NOSCRIPT | CMD_PROTECTED,
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Loads a module.",
     .args = ARGS(ARG("path", STRING), ARG("arg", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "module|loadex",
     .handler = cmd_module_load,
     .arity = -3,
     .flags = CMD_NO_ASYNC_LOADING | CMD_ADMIN | CMD_NOSCRIPT | CMD_PROTECTED,
     .group = "server",
     .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Loads a module using extended parameters.",
     .args = ARGS(ARG("path", STRING),
                  ARG("configs", BLOCK, .token = "CONFIG",
                      .flags = ARG_OPTIONAL | ARG_MULTIPLE | ARG_MULTIPLE_TOKEN,
                      .children = ARGS(ARG("name", STRING), ARG("value", STRING))),
                  ARG("args", STRING, .token = "ARGS", .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "module|unload",
     .handler = cmd_module_unload,
     .arity = 3,
     .flags = CMD_NO_ASYNC_LOADING | CMD_ADMIN | CMD_NOSCRIPT | CMD_PROTECTED,
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Unloads a module.",
     .args = ARGS(ARG("name", STRING))},
    {.name = NULL},
};
