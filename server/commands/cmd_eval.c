/* EVAL, EVALSHA, their read-only forms, and SCRIPT. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/scripting.h"
#include "server/services.h"

static void cmd_eval(struct call *c)
{
    scripting_eval(c, false);
}

static void cmd_eval_ro(struct call *c)
{
    scripting_eval(c, true);
}

static void cmd_evalsha(struct call *c)
{
    scripting_evalsha(c, false);
}

static void cmd_evalsha_ro(struct call *c)
{
    scripting_evalsha(c, true);
}

/* ---- SCRIPT. */

static void cmd_script_load(struct call *c)
{
    scripting_load(c);
}

static void cmd_script_exists(struct call *c)
{
    reply_array(c->reply, (uint64_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++)
        reply_integer(c->reply, scripting_exists(c->services->scripting, c->argv[i]));
}

static void cmd_script_flush(struct call *c)
{
    bool valid =
        c->argc == 2 || (c->argc == 3 && (call_arg_is(c, 2, "sync") || call_arg_is(c, 2, "async")));
    if (!valid) {
        reply_error(c->reply, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
        return;
    }
    scripting_flush(c->services->scripting);
    reply_ok(c->reply);
}

static void cmd_script_kill(struct call *c)
{
    scripting_kill(c, true);
}

/* The debugger forks the server for each session, which is not to be had with threads and an open
 * store. */
static void cmd_script_debug(struct call *c)
{
    if (call_arg_is(c, 2, "no"))
        reply_ok(c->reply);
    else if (call_arg_is(c, 2, "yes") || call_arg_is(c, 2, "sync"))
        reply_error(c->reply, "ERR SCRIPT DEBUG is not supported: there is no script debugger");
    else
        reply_error(c->reply, "ERR Use SCRIPT DEBUG YES/SYNC/NO");
}

static void cmd_script_help(struct call *c)
{
    static const char *const lines[] = {
        "DEBUG (YES|SYNC|NO)",
        "    Set the debug mode for subsequent scripts executed.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Return information about the existence of the scripts in the script cache.",
        "FLUSH [ASYNC|SYNC]",
        "    Flush the Lua scripts cache. Very dangerous on replicas.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the scripts cache.",
        "    * SYNC: Synchronously flush the scripts cache.",
        "KILL",
        "    Kill the currently executing Lua script.",
        "LOAD <script>",
        "    Load a script into the scripts cache without executing it.",
        NULL,
    };
    reply_help(c->reply, "SCRIPT", lines);
}

#define EVAL_ARGS(what)                                                                            \
    ARGS(ARG(what, STRING), ARG("numkeys", INTEGER),                                               \
         ARG("key", KEY, .flags = ARG_OPTIONAL | ARG_MULTIPLE),                                    \
         ARG("arg", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))
#define EVAL_FLAGS                                                                                 \
    (CMD_NOSCRIPT | CMD_SKIP_MONITOR | CMD_NO_MANDATORY_KEYS | CMD_STALE | CMD_RUNS_SCRIPT)

const struct command cmd_eval_table[] = {
    {.name = "eval",
     .handler = cmd_eval,
     .arity = -3,
     .flags = EVAL_FLAGS | CMD_MAY_REPLICATE,
     .acl = ACL_SCRIPTING,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_UPDATE,
               .begin = KEY_BEGIN_INDEX,
               .index = 2,
               .find = KEY_FIND_KEYNUM,
               .last_or_keynum = 0,
               .step_or_first = 1,
               .limit_or_step = 1,
               .notes = "We cannot tell how the keys will be used so we assume the worst, RW and "
                        "UPDATE"}},
     .group = "scripting",
     .since = "2.6.0",
     .complexity = "Depends on the script that is executed.",
     .summary = "Executes a server-side Lua script.",
     .args = EVAL_ARGS("script")},
    {.name = "eval_ro",
     .handler = cmd_eval_ro,
     .arity = -3,
     .flags = EVAL_FLAGS | CMD_READONLY,
     .acl = ACL_SCRIPTING,
     .keys = {{.flags = KEY_RO | KEY_ACCESS,
               .begin = KEY_BEGIN_INDEX,
               .index = 2,
               .find = KEY_FIND_KEYNUM,
               .last_or_keynum = 0,
               .step_or_first = 1,
               .limit_or_step = 1,
               .notes = "We cannot tell how the keys will be used so we assume the worst, RO and "
                        "ACCESS"}},
     .group = "scripting",
     .since = "7.0.0",
     .complexity = "Depends on the script that is executed.",
     .summary = "Executes a read-only server-side Lua script.",
     .args = EVAL_ARGS("script")},
    {.name = "evalsha",
     .handler = cmd_evalsha,
     .arity = -3,
     .flags = EVAL_FLAGS | CMD_MAY_REPLICATE,
     .acl = ACL_SCRIPTING,
     .keys = {KEY_NUMKEYS(2, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .group = "scripting",
     .since = "2.6.0",
     .complexity = "Depends on the script that is executed.",
     .summary = "Executes a server-side Lua script by SHA1 digest.",
     .args = EVAL_ARGS("sha1")},
    {.name = "evalsha_ro",
     .handler = cmd_evalsha_ro,
     .arity = -3,
     .flags = EVAL_FLAGS | CMD_READONLY,
     .acl = ACL_SCRIPTING,
     .keys = {KEY_NUMKEYS(2, KEY_RO | KEY_ACCESS)},
     .group = "scripting",
     .since = "7.0.0",
     .complexity = "Depends on the script that is executed.",
     .summary = "Executes a read-only server-side Lua script by SHA1 digest.",
     .args = EVAL_ARGS("sha1")},
    {.name = "script",
     .arity = -2,
     .group = "scripting",
     .since = "2.6.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for Lua scripts management commands."},
    {.name = "script|debug",
     .handler = cmd_script_debug,
     .arity = 3,
     .flags = CMD_NOSCRIPT,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "3.2.0",
     .complexity = "O(1)",
     .summary = "Sets the debug mode of server-side Lua scripts.",
     .args = ARGS(
         ARG("mode", ONEOF,
             .children = ARGS(TOKEN("yes", "YES"), TOKEN("sync", "SYNC"), TOKEN("no", "NO"))))},
    {.name = "script|exists",
     .handler = cmd_script_exists,
     .arity = -3,
     .flags = CMD_NOSCRIPT,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "2.6.0",
     .complexity = "O(N) with N being the number of scripts to check (so checking a single script "
                   "is an O(1) operation).",
     .summary = "Determines whether server-side Lua scripts exist in the script cache.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:agg_logical_and"),
     .args = ARGS(ARG("sha1", STRING, .flags = ARG_MULTIPLE))},
    {.name = "script|flush",
     .handler = cmd_script_flush,
     .arity = -2,
     .flags = CMD_NOSCRIPT,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "2.6.0",
     .complexity = "O(N) with N being the number of scripts in cache",
     .summary = "Removes all server-side Lua scripts from the script cache.",
     .tips = TEXTS("request_policy:all_nodes", "response_policy:all_succeeded"),
     .history = TEXTS("6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers."),
     .args = ARGS(ARG("flush-type", ONEOF, .flags = ARG_OPTIONAL, .since = "6.2.0",
                      .children = ARGS(TOKEN("async", "ASYNC"), TOKEN("sync", "SYNC"))))},
    {.name = "script|help",
     .handler = cmd_script_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "script|kill",
     .handler = cmd_script_kill,
     .arity = 2,
     .flags = CMD_NOSCRIPT | CMD_ALLOW_BUSY,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Terminates a server-side Lua script during execution.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:one_succeeded")},
    {.name = "script|load",
     .handler = cmd_script_load,
     .arity = 3,
     .flags = CMD_NOSCRIPT | CMD_STALE,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "2.6.0",
     .complexity = "O(N) with N being the length in bytes of the script body.",
     .summary = "Loads a server-side Lua script to the script cache.",
     .tips = TEXTS("request_policy:all_nodes", "response_policy:all_succeeded"),
     .args = ARGS(ARG("script", STRING))},
    {.name = NULL},
};
