/* FCALL, FCALL_RO and FUNCTION. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/exec.h"
#include "server/functions.h"
#include "server/script_flags.h"
#include "server/scripting.h"
#include "server/services.h"

#include "codec/glob.h"

static void cmd_fcall(struct call *c)
{
    scripting_fcall(c, false);
}

static void cmd_fcall_ro(struct call *c)
{
    scripting_fcall(c, true);
}

static struct functions *functions_of(const struct call *c)
{
    return scripting_functions(c->services->scripting);
}

/* ---- Changing libraries. */

static void begin_loading(struct call *c)
{
    scripting_begin_loading(c->services->scripting, (c->session->flags & SESSION_REPLAY) != 0);
}

static void end_loading(struct call *c)
{
    scripting_end_loading(c->services->scripting);
}

/* Replies the text behind "ERR ". */
static void reply_reason(struct call *c, struct buf *reason)
{
    buf_append_byte(reason, '\0');
    reply_error_format(c->reply, "ERR %s", (const char *)reason->data);
}

static void cmd_function_load(struct call *c)
{
    bool replace = false;
    for (int i = 2; i < c->argc - 1; i++) {
        if (!call_arg_is(c, i, "replace")) {
            reply_error_format(c->reply, "ERR Unknown option given: %.*s",
                               (int)(c->argv[i].len < 128 ? c->argv[i].len : 128),
                               (const char *)c->argv[i].data);
            return;
        }
        replace = true;
    }
    struct buf reason = {0};
    begin_loading(c);
    const struct library *library =
        functions_load(functions_of(c), c->argv[c->argc - 1], replace, &reason);
    end_loading(c);
    if (library != NULL) {
        call_changed(c, 1);
        reply_bulk_text(c->reply, library->name);
    } else {
        reply_reason(c, &reason);
    }
    buf_deinit(&reason);
}

static void cmd_function_delete(struct call *c)
{
    if (!functions_delete(functions_of(c), c->argv[2])) {
        reply_error(c->reply, "ERR Library not found");
        return;
    }
    call_changed(c, 1);
    reply_ok(c->reply);
}

static void cmd_function_flush(struct call *c)
{
    if (c->argc > 3) {
        reply_error_subcommand_syntax(c->reply, c->argv[1], "FUNCTION");
        return;
    }
    if (c->argc == 3 && !call_arg_is(c, 2, "sync") && !call_arg_is(c, 2, "async")) {
        reply_error(c->reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
        return;
    }
    functions_clear(functions_of(c));
    call_changed(c, 1);
    reply_ok(c->reply);
}

static bool read_policy(struct call *c, enum functions_policy *out)
{
    *out = FUNCTIONS_APPEND;
    if (c->argc == 3 || call_arg_is(c, 3, "append"))
        return true;
    if (call_arg_is(c, 3, "replace"))
        *out = FUNCTIONS_REPLACE;
    else if (call_arg_is(c, 3, "flush"))
        *out = FUNCTIONS_FLUSH;
    return *out != FUNCTIONS_APPEND;
}

static void cmd_function_restore(struct call *c)
{
    enum functions_policy policy;
    if (c->argc > 4) {
        reply_error_subcommand_syntax(c->reply, c->argv[1], "FUNCTION");
        return;
    }
    if (!read_policy(c, &policy)) {
        reply_error(c->reply, "ERR Wrong restore policy given, value should be either FLUSH, "
                              "APPEND or REPLACE.");
        return;
    }
    struct buf reason = {0};
    begin_loading(c);
    bool restored = functions_restore(functions_of(c), c->argv[2], policy, &reason);
    end_loading(c);
    if (restored) {
        call_changed(c, 1);
        reply_ok(c->reply);
    } else {
        reply_reason(c, &reason);
    }
    buf_deinit(&reason);
}

/* ---- Looking at them. */

static void cmd_function_dump(struct call *c)
{
    struct buf payload = {0};
    functions_dump(functions_of(c), c->services->config->rdbcompression, &payload);
    reply_bulk(c->reply, buf_bytes(&payload));
    buf_deinit(&payload);
}

static void reply_function(struct call *c, const struct function *function)
{
    reply_map(c->reply, 3);
    reply_bulk_text(c->reply, "name");
    reply_bulk_text(c->reply, function->name);
    reply_bulk_text(c->reply, "description");
    if (function->description.data != NULL)
        reply_bulk(c->reply, buf_bytes(&function->description));
    else
        reply_null(c->reply);
    reply_bulk_text(c->reply, "flags");
    reply_set(c->reply, (uint64_t)__builtin_popcount(function->flags));
    for (int i = 0; script_flag_name(i) != NULL; i++)
        if ((function->flags & script_flag_find(bytes_text(script_flag_name(i)))) != 0)
            reply_simple(c->reply, script_flag_name(i));
}

static void reply_library(struct call *c, const struct library *library, bool with_code)
{
    reply_map(c->reply, with_code ? 4 : 3);
    reply_bulk_text(c->reply, "library_name");
    reply_bulk_text(c->reply, library->name);
    reply_bulk_text(c->reply, "engine");
    reply_bulk_text(c->reply, "LUA");
    reply_bulk_text(c->reply, "functions");
    reply_array(c->reply, library->function_count);
    for (const struct function *function = library->first; function != NULL;
         function = function->next)
        reply_function(c, function);
    if (with_code) {
        reply_bulk_text(c->reply, "library_code");
        reply_bulk(c->reply, buf_bytes(&library->code));
    }
}

struct list_options {
    bool with_code;
    bool has_pattern;
    struct bytes pattern;
};

static bool read_list_options(struct call *c, struct list_options *out)
{
    *out = (struct list_options){.with_code = false};
    for (int i = 2; i < c->argc; i++) {
        if (!out->with_code && call_arg_is(c, i, "withcode")) {
            out->with_code = true;
        } else if (!out->has_pattern && call_arg_is(c, i, "libraryname")) {
            if (++i == c->argc) {
                reply_error(c->reply, "ERR library name argument was not given");
                return false;
            }
            out->has_pattern = true;
            out->pattern = c->argv[i];
        } else {
            reply_error_format(c->reply, "ERR Unknown argument %.*s",
                               (int)(c->argv[i].len < 128 ? c->argv[i].len : 128),
                               (const char *)c->argv[i].data);
            return false;
        }
    }
    return true;
}

static void cmd_function_list(struct call *c)
{
    struct list_options options;
    uint64_t count = 0;
    if (!read_list_options(c, &options))
        return;
    struct reply_deferred list = reply_deferred_begin(c->reply);
    for (const struct library *library = functions_first(functions_of(c)); library != NULL;
         library = library->next) {
        if (options.has_pattern && !glob_match(options.pattern, bytes_text(library->name), true))
            continue;
        reply_library(c, library, options.with_code);
        count++;
    }
    reply_deferred_array(c->reply, &list, count);
}

/* ---- What runs. */

static void cmd_function_kill(struct call *c)
{
    scripting_kill(c, false);
}

static void cmd_function_stats(struct call *c)
{
    struct scripting_running running;
    bool runs = scripting_running(c->services->scripting, &running);
    if (runs && running.eval) {
        reply_error(c->reply, exec_busy(c->exec));
        return;
    }
    reply_map(c->reply, 2);
    reply_bulk_text(c->reply, "running_script");
    if (runs) {
        reply_map(c->reply, 3);
        reply_bulk_text(c->reply, "name");
        reply_bulk_text(c->reply, running.name);
        reply_bulk_text(c->reply, "command");
        reply_array(c->reply, (uint64_t)running.call->argc);
        for (int i = 0; i < running.call->argc; i++)
            reply_bulk(c->reply, running.call->argv[i]);
        reply_bulk_text(c->reply, "duration_ms");
        reply_integer(c->reply, (int64_t)running.duration_ms);
    } else {
        reply_null(c->reply);
    }
    reply_bulk_text(c->reply, "engines");
    reply_map(c->reply, 1);
    reply_bulk_text(c->reply, "LUA");
    reply_map(c->reply, 2);
    reply_bulk_text(c->reply, "libraries_count");
    reply_integer(c->reply, (int64_t)functions_library_count(functions_of(c)));
    reply_bulk_text(c->reply, "functions_count");
    reply_integer(c->reply, (int64_t)functions_count(functions_of(c)));
}

static void cmd_function_help(struct call *c)
{
    static const char *const lines[] = {
        "LOAD [REPLACE] <FUNCTION CODE>",
        "    Create a new library with the given library name and code.",
        "DELETE <LIBRARY NAME>",
        "    Delete the given library.",
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Return general information on all the libraries:",
        "    * Library name",
        "    * The engine used to run the Library",
        "    * Library description",
        "    * Functions list",
        "    * Library code (if WITHCODE is given)",
        "    It also possible to get only function that matches a pattern using LIBRARYNAME "
        "argument.",
        "STATS",
        "    Return information about the current function running:",
        "    * Function name",
        "    * Command used to run the function",
        "    * Duration in MS that the function is running",
        "    If no function is running, return nil",
        "    In addition, returns a list of available engines.",
        "KILL",
        "    Kill the current running function.",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all the libraries.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the libraries.",
        "    * SYNC: Synchronously flush the libraries.",
        "DUMP",
        "    Return a serialized payload representing the current libraries, can be restored using "
        "FUNCTION RESTORE command",
        "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
        "    Restore the libraries represented by the given payload, it is possible to give a "
        "restore policy to",
        "    control how to handle existing libraries (default APPEND):",
        "    * FLUSH: delete all existing libraries.",
        "    * APPEND: appends the restored libraries to the existing libraries. On collision, "
        "abort.",
        "    * REPLACE: appends the restored libraries to the existing libraries, On collision, "
        "replace the old",
        "      libraries with the new libraries (notice that even on this option there is a chance "
        "of failure",
        "      in case of functions name collision with another library).",
        NULL,
    };
    reply_help(c->reply, "FUNCTION", lines);
}

#define FCALL_ARGS                                                                                 \
    ARGS(ARG("function", STRING), ARG("numkeys", INTEGER),                                         \
         ARG("key", KEY, .flags = ARG_OPTIONAL | ARG_MULTIPLE),                                    \
         ARG("arg", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))
#define FCALL_FLAGS                                                                                \
    (CMD_NOSCRIPT | CMD_SKIP_MONITOR | CMD_NO_MANDATORY_KEYS | CMD_STALE | CMD_RUNS_SCRIPT)

const struct command cmd_function_table[] = {
    {.name = "fcall",
     .handler = cmd_fcall,
     .arity = -3,
     .flags = FCALL_FLAGS | CMD_MAY_REPLICATE,
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
     .since = "7.0.0",
     .complexity = "Depends on the function that is executed.",
     .summary = "Invokes a function.",
     .args = FCALL_ARGS},
    {.name = "fcall_ro",
     .handler = cmd_fcall_ro,
     .arity = -3,
     .flags = FCALL_FLAGS | CMD_READONLY,
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
     .complexity = "Depends on the function that is executed.",
     .summary = "Invokes a read-only function.",
     .args = FCALL_ARGS},
    {.name = "function",
     .arity = -2,
     .group = "scripting",
     .since = "7.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for function commands."},
    {.name = "function|delete",
     .handler = cmd_function_delete,
     .arity = 3,
     .flags = CMD_NOSCRIPT | CMD_WRITE,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Deletes a library and its functions.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:all_succeeded"),
     .args = ARGS(ARG("library-name", STRING))},
    {.name = "function|dump",
     .handler = cmd_function_dump,
     .arity = 2,
     .flags = CMD_NOSCRIPT,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "7.0.0",
     .complexity = "O(N) where N is the number of functions",
     .summary = "Dumps all libraries into a serialized binary payload."},
    {.name = "function|flush",
     .handler = cmd_function_flush,
     .arity = -2,
     .flags = CMD_NOSCRIPT | CMD_WRITE,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "7.0.0",
     .complexity = "O(N) where N is the number of functions deleted",
     .summary = "Deletes all libraries and functions.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:all_succeeded"),
     .args = ARGS(ARG("flush-type", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("async", "ASYNC"), TOKEN("sync", "SYNC"))))},
    {.name = "function|help",
     .handler = cmd_function_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "function|kill",
     .handler = cmd_function_kill,
     .arity = 2,
     .flags = CMD_NOSCRIPT | CMD_ALLOW_BUSY,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Terminates a function during execution.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:one_succeeded")},
    {.name = "function|list",
     .handler = cmd_function_list,
     .arity = -2,
     .flags = CMD_NOSCRIPT,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "7.0.0",
     .complexity = "O(N) where N is the number of functions",
     .summary = "Returns information about all libraries.",
     .tips = TEXTS("nondeterministic_output_order"),
     .args =
         ARGS(ARG("library-name-pattern", STRING, .token = "LIBRARYNAME", .flags = ARG_OPTIONAL),
              TOKEN("withcode", "WITHCODE", .flags = ARG_OPTIONAL))},
    {.name = "function|load",
     .handler = cmd_function_load,
     .arity = -3,
     .flags = CMD_NOSCRIPT | CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "7.0.0",
     .complexity = "O(1) (considering compilation time is redundant)",
     .summary = "Creates a library.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:all_succeeded"),
     .args =
         ARGS(TOKEN("replace", "REPLACE", .flags = ARG_OPTIONAL), ARG("function-code", STRING))},
    {.name = "function|restore",
     .handler = cmd_function_restore,
     .arity = -3,
     .flags = CMD_NOSCRIPT | CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "7.0.0",
     .complexity = "O(N) where N is the number of functions on the payload",
     .summary = "Restores all libraries from a payload.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:all_succeeded"),
     .args = ARGS(ARG("serialized-value", STRING),
                  ARG("policy", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("flush", "FLUSH"), TOKEN("append", "APPEND"),
                                       TOKEN("replace", "REPLACE"))))},
    {.name = "function|stats",
     .handler = cmd_function_stats,
     .arity = 2,
     .flags = CMD_NOSCRIPT | CMD_ALLOW_BUSY,
     .acl = ACL_SCRIPTING,
     .group = "scripting",
     .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Returns information about a function during execution.",
     .tips =
         TEXTS("nondeterministic_output", "request_policy:all_shards", "response_policy:special")},
    {.name = NULL},
};
