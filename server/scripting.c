#include "server/scripting_internal.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "server/call.h"
#include "server/config.h"
#include "server/exec.h"
#include "server/exec_access.h"
#include "server/exec_nested.h"
#include "server/functions.h"
#include "server/log.h"
#include "server/loop.h"
#include "server/replicas.h"
#include "server/script_cache.h"
#include "server/script_flags.h"
#include "server/script_lua.h"
#include "server/services.h"
#include "server/stats.h"
#include "storage/journal.h"

/* An interpreter may take this part of the memory that there is. */
#define MEMORY_SHARE     8
#define MEMORY_BYTES_MIN ((size_t)64 << 20)
/* Scripts that only EVAL knows are dropped when an interpreter has this part of what it may take
 * and all of that is in use. */
#define CACHE_SHARE 4

/* ---- What scripts call ------------------------------------------------------------------------
 */

static void refuse(struct scripting *s, const struct command *command, struct script_answer *out,
                   const char *text)
{
    struct stats *stats = s->services->stats;
    out->error = mem_strdup(text);
    char code[REPLY_ERROR_CODE_BYTES_MAX];
    size_t len = strcspn(text, " ");
    CHECK(len < sizeof(code));
    memcpy(code, text, len);
    code[len] = '\0';
    stats_count_error(stats, code);
    stats->error_replies++;
    if (command != NULL)
        stats->commands[command->id].rejected++;
}

void scripting_allow_debug(struct scripting *s, bool allow)
{
    s->debug_allowed = allow;
}

/* The parts of DEBUG that tests of scripting need; others must not run inside a unit. */
static bool is_allowed_debug(const struct scripting *s, const struct bytes *argv, int argc)
{
    return s->debug_allowed && argc > 1 && bytes_equal_nocase(argv[0], "debug") &&
           (bytes_equal_nocase(argv[1], "protocol") || bytes_equal_nocase(argv[1], "sleep"));
}

/* Whether the client that runs the script could call this itself; else why is told. */
static bool may_call(struct scripting *s, const struct command *command, const struct bytes *argv,
                     int argc, struct script_answer *out)
{
    struct access_request access = {
        .session = &s->session, .command = command, .argv = argv, .argc = argc};
    struct buf text = {0};
    buf_append_text(&text, "ERR ACL failure in script: ");
    bool allowed =
        exec_check_access(s->run->call->exec, &access, ACL_LOG_LUA, &text) == ACL_ALLOWED;
    buf_append_byte(&text, '\0');
    if (!allowed)
        refuse(s, command, out, (const char *)text.data);
    buf_deinit(&text);
    return allowed;
}

/* The row of what a script calls; NULL: it may not, and why is told. */
static const struct command *find_command(struct scripting *s, const struct bytes *argv, int argc,
                                          struct script_answer *out)
{
    const struct script_run *run = s->run;
    const struct command *command = command_find(s->services->commands, argv, argc, NULL);
    if (command == NULL)
        refuse(s, NULL, out, "ERR Unknown Redis command called from script");
    else if (!command_takes(command, argc))
        refuse(s, command, out, "ERR Wrong number of args calling Redis command from script");
    else if ((command->flags & CMD_NOSCRIPT) != 0 && !is_allowed_debug(s, argv, argc))
        refuse(s, command, out, "ERR This Redis command is not allowed from script");
    else if (!may_call(s, command, argv, argc, out))
        ;
    else if (run->read_only && (command->flags & (CMD_WRITE | CMD_MAY_REPLICATE)) != 0)
        refuse(s, command, out, "ERR Write commands are not allowed from read-only scripts.");
    else
        return command;
    return NULL;
}

/* The reply in one piece. */
static struct bytes whole_reply(struct scripting *s)
{
    struct bytes ranges[2];
    if (output_peek(&s->output, ranges, 2) == 1)
        return ranges[0];
    buf_clear(&s->reply);
    while (output_peek(&s->output, ranges, 1) == 1) {
        buf_append_bytes(&s->reply, ranges[0]);
        output_consume(&s->output, ranges[0].len);
    }
    return buf_bytes(&s->reply);
}

static void host_call(void *arg, const struct bytes *argv, int argc, int resp,
                      struct script_answer *out)
{
    struct scripting *s = arg;
    struct script_run *run = s->run;
    const struct command *command = find_command(s, argv, argc, out);
    if (command == NULL)
        return;
    if ((command->flags & CMD_WRITE) != 0)
        run->written = true;
    output_clear(&s->output);
    s->session.reply.resp = (uint8_t)resp;
    exec_call_nested(run->call, &s->session, argv, argc);
    out->resp = whole_reply(s);
}

static enum script_verdict host_interrupt(void *arg)
{
    struct scripting *s = arg;
    if (s->run != NULL)
        return scripting_interrupt(s) ? SCRIPT_KILLED : SCRIPT_GO_ON;
    bool too_long = s->loading_until_us != 0 && loop_clock_us() > s->loading_until_us;
    return too_long ? SCRIPT_KILLED : SCRIPT_GO_ON;
}

static void host_log(void *arg, int level, struct bytes text)
{
    (void)arg;
    log_write(level, "%.*s", (int)(text.len < LOG_TEXT_BYTES_MAX ? text.len : LOG_TEXT_BYTES_MAX),
              (const char *)text.data);
}

static bool host_logs(void *arg, int level)
{
    (void)arg;
    return log_enabled(level);
}

static int host_acl_check(void *arg, const struct bytes *argv, int argc)
{
    struct scripting *s = arg;
    const struct command *command = command_find(s->services->commands, argv, argc, NULL);
    if (command == NULL)
        return -1;
    int denied;
    return access_is_unrestricted(&s->session) ||
           acl_user_check(s->session.user, command, argv, argc, &denied) == ACL_ALLOWED;
}

/* ---- Opening and closing ----------------------------------------------------------------------
 */

static struct script_lua *open_interpreter(struct scripting *s, bool functions)
{
    struct script_lua_options options = {
        .host = {.arg = s,
                 .call = host_call,
                 .interrupt = host_interrupt,
                 .log = host_log,
                 .logs = host_logs,
                 .acl_check = host_acl_check},
        .functions = functions,
        .memory_bytes_max = s->memory_bytes_max,
    };
    return script_lua_create(&options);
}

static void release_script(void *arg, int reference)
{
    script_lua_release(((struct scripting *)arg)->eval, reference);
}

struct scripting *scripting_create(struct services *services)
{
    struct scripting *s = mem_calloc(1, sizeof(*s));
    s->services = services;
    s->memory_bytes_max = config_memory_available() / MEMORY_SHARE;
    if (s->memory_bytes_max < MEMORY_BYTES_MIN)
        s->memory_bytes_max = MEMORY_BYTES_MIN;
    output_init(&s->output, NULL);
    session_init(&s->session, &s->output, 0, 0);
    s->eval = open_interpreter(s, false);
    s->cache = script_cache_create(release_script, s);
    scripting_open_functions(s, open_interpreter(s, true));
    return s;
}

void scripting_destroy(struct scripting *s)
{
    if (s == NULL)
        return;
    CHECK(s->run == NULL);
    functions_destroy(s->functions);
    script_lua_destroy(s->functions_lua);
    script_cache_destroy(s->cache);
    script_lua_destroy(s->eval);
    output_deinit(&s->output);
    buf_deinit(&s->reply);
    mem_free(s);
}

/* ---- Running ----------------------------------------------------------------------------------
 */

bool scripting_check_key_count(struct call *c, int64_t count)
{
    if (count > c->argc - 3)
        reply_error(c->reply, "ERR Number of keys can't be greater than number of args");
    else if (count < 0)
        reply_error(c->reply, "ERR Number of keys can't be negative");
    return count >= 0 && count <= c->argc - 3;
}

/* Scripts that say what they do can be refused before they begin. */
static bool may_run(struct call *c, uint32_t flags, bool read_only)
{
    struct err err;
    if ((flags & (SCRIPT_FLAG_COMPAT | SCRIPT_FLAG_NO_WRITES)) != 0)
        return true;
    if (journal_failed(c->services->journal, &err) && !exec_unit_changed(c->exec)) {
        reply_error_format(c->reply,
                           "MISCONF Errors writing to the journal. Writable scripts are blocked. "
                           "Use 'no-writes' flag for read only scripts. %s",
                           err.message);
        return false;
    }
    if (replicas_lacking(c->services->replicas)) {
        reply_error(c->reply, "NOREPLICAS Not enough good replicas to write.");
        return false;
    }
    if (read_only)
        reply_error(c->reply, "ERR Can not execute a script with write flag using *_ro command.");
    return !read_only;
}

/* The database and rights of the client that runs the script. */
static void begin_session(struct scripting *s, const struct session *caller)
{
    const uint32_t inherited = SESSION_NO_TOUCH | SESSION_REPLAY;
    s->session.flags = SESSION_SCRIPT | (caller->flags & inherited);
    s->session.db = caller->db;
    s->session.user = caller->user;
    s->session.authenticated = true;
}

bool scripting_run(struct call *c, const struct script_target *target)
{
    struct scripting *s = c->services->scripting;
    CHECK(s->run == NULL);
    if (!may_run(c, target->flags, target->read_only))
        return false;
    struct script_run run = {
        .call = c,
        .name = target->name,
        .eval = target->lua == s->eval,
        .started_us = loop_clock_us(),
        .read_only = target->read_only || (target->flags & SCRIPT_FLAG_NO_WRITES) != 0,
    };
    struct script_lua_call call = {
        .reference = target->reference,
        .name = target->name,
        .keys = c->argv + 3,
        .key_count = target->key_count,
        .args = c->argv + 3 + target->key_count,
        .arg_count = c->argc - 3 - target->key_count,
        .reply = c->reply,
    };
    begin_session(s, c->session);
    s->run = &run;
    struct script_lua_result result = script_lua_run(target->lua, &call);
    scripting_end_busy(s);
    s->run = NULL;
    c->error_counted = result.error_counted;
    output_clear(&s->output);
    buf_deinit(&s->reply);
    return run.written;
}

/* ---- EVAL -------------------------------------------------------------------------------------
 */

/* Room for one script more. */
static void make_room(struct scripting *s)
{
    size_t limit = s->memory_bytes_max / CACHE_SHARE;
    if (script_lua_bytes(s->eval) < limit)
        return;
    script_lua_collect(s->eval);
    while (script_lua_bytes(s->eval) >= limit && script_cache_drop_half(s->cache) != 0)
        script_lua_collect(s->eval);
}

/* Compiles a script that is not in the cache; NULL: an error was replied. */
static struct script *compile(struct call *c, struct bytes body, const uint8_t digest[SHA1_BYTES])
{
    struct scripting *s = c->services->scripting;
    struct buf error = {0};
    uint32_t flags;
    size_t line_len;
    struct script *script = NULL;
    buf_append_text(&error, "ERR ");
    if (script_read_shebang(body, &flags, &line_len, &error)) {
        /* The line's end stays, so that the script's lines keep their numbers. */
        struct bytes code = bytes_make(body.data + line_len, body.len - line_len);
        make_room(s);
        buf_append_text(&error, "Error compiling script (new function): ");
        int reference = script_lua_compile(s->eval, code, "@user_script", &error);
        if (reference != SCRIPT_LUA_NONE)
            script = script_cache_add(s->cache, digest, flags, reference);
    }
    buf_append_byte(&error, '\0');
    if (script == NULL)
        reply_error(c->reply, (const char *)error.data);
    buf_deinit(&error);
    return script;
}

static struct script *find_or_compile(struct call *c, struct bytes body)
{
    uint8_t digest[SHA1_BYTES];
    sha1_digest(body, digest);
    struct script *script = script_cache_find(c->services->scripting->cache, digest);
    return script != NULL ? script : compile(c, body, digest);
}

static void run_cached(struct call *c, struct script *script, bool read_only, int key_count)
{
    struct script_target target = {
        .lua = c->services->scripting->eval,
        .reference = script->reference,
        .name = script->name,
        .flags = script->flags,
        .read_only = read_only,
        .key_count = key_count,
    };
    if (scripting_run(c, &target))
        script->flags |= SCRIPT_FLAG_WROTE;
}

/* How many of the arguments are keys; false: an error was replied. */
static bool read_key_count(struct call *c, int *count_out)
{
    int64_t count;
    if (!call_arg_i64(c, 2, &count) || !scripting_check_key_count(c, count))
        return false;
    *count_out = (int)count;
    return true;
}

void scripting_eval(struct call *c, bool read_only)
{
    int key_count;
    if (!read_key_count(c, &key_count))
        return;
    struct script *script = find_or_compile(c, c->argv[1]);
    if (script != NULL)
        run_cached(c, script, read_only, key_count);
}

void scripting_evalsha(struct call *c, bool read_only)
{
    int key_count;
    struct scripting *s = c->services->scripting;
    if (c->argv[1].len != SHA1_HEX_CHARS) {
        reply_error_id(c->reply, ERROR_NOSCRIPT);
        return;
    }
    if (!read_key_count(c, &key_count))
        return;
    struct script *script = script_cache_find_name(s->cache, c->argv[1]);
    if (script == NULL)
        reply_error_id(c->reply, ERROR_NOSCRIPT);
    else
        run_cached(c, script, read_only, key_count);
}

/* ---- SCRIPT -----------------------------------------------------------------------------------
 */

void scripting_load(struct call *c)
{
    struct script *script = find_or_compile(c, c->argv[2]);
    if (script == NULL)
        return;
    script_cache_keep(c->services->scripting->cache, script);
    reply_bulk_text(c->reply, script->name);
}

bool scripting_exists(struct scripting *s, struct bytes sha)
{
    return script_cache_find_name(s->cache, sha) != NULL;
}

void scripting_flush(struct scripting *s)
{
    CHECK(s->run == NULL);
    script_cache_clear(s->cache);
    script_lua_destroy(s->eval);
    s->eval = open_interpreter(s, false);
}

/* ---- For others -------------------------------------------------------------------------------
 */

static const struct script *find_script(struct scripting *s, const struct command *command,
                                        const struct bytes *argv)
{
    uint8_t digest[SHA1_BYTES];
    if (strncmp(command->name, "evalsha", 7) == 0)
        return script_cache_find_name(s->cache, argv[1]);
    sha1_digest(argv[1], digest);
    return script_cache_find(s->cache, digest);
}

/* The flags of the script that a request is to run; false: there is none, or it cannot be told. */
static bool script_flags(struct scripting *s, const struct command *command,
                         const struct bytes *argv, uint32_t *flags_out)
{
    size_t line_len;
    struct buf error = {0};
    if (command->name[0] == 'f') /* FCALL */
        return scripting_function_flags(s, argv[1], flags_out);
    const struct script *script = find_script(s, command, argv);
    if (script != NULL)
        *flags_out = script->flags;
    if (script != NULL || strncmp(command->name, "evalsha", 7) == 0)
        return script != NULL;
    bool valid = script_read_shebang(argv[1], flags_out, &line_len, &error);
    buf_deinit(&error);
    return valid;
}

uint32_t scripting_command_flags(struct scripting *s, const struct command *command,
                                 const struct bytes *argv, int argc)
{
    uint32_t flags;
    if (argc < 2 || !script_flags(s, command, argv, &flags))
        return command->flags;
    if ((flags & SCRIPT_FLAG_COMPAT) != 0)
        return command->flags | ((flags & SCRIPT_FLAG_WROTE) != 0 ? CMD_WRITE : 0);
    uint32_t replaced = CMD_STALE | CMD_DENYOOM | CMD_WRITE | CMD_MAY_REPLICATE;
    uint32_t result = command->flags & ~replaced;
    if ((flags & (SCRIPT_FLAG_ALLOW_OOM | SCRIPT_FLAG_NO_WRITES)) == 0)
        result |= CMD_DENYOOM;
    if ((flags & SCRIPT_FLAG_NO_WRITES) == 0)
        result |= CMD_WRITE;
    if ((flags & SCRIPT_FLAG_ALLOW_STALE) != 0)
        result |= CMD_STALE;
    return result;
}

void scripting_read_stats(const struct scripting *s, struct scripting_stats *out)
{
    *out = (struct scripting_stats){
        .eval_bytes = script_lua_bytes(s->eval),
        .script_count = script_cache_count(s->cache),
        .scripts_bytes = script_cache_bytes(s->cache),
        .functions_vm_bytes = script_lua_bytes(s->functions_lua),
        .library_count = functions_library_count(s->functions),
        .function_count = functions_count(s->functions),
        .functions_bytes = functions_bytes(s->functions),
    };
}
