/* The table `redis`: calling commands, replies, logging. Source: script_lua.c of Redis 7.2. */
#include "server/script_lua_internal.h"

#include "codec/mem.h"
#include "codec/number.h"
#include "codec/sha1.h"
#include "server/version.h"

/* ---- Errors -----------------------------------------------------------------------------------
 */

void script_lua_push_error(lua_State *state, struct bytes text)
{
    lua_createtable(state, 0, 4);
    lua_pushliteral(state, "err");
    lua_pushlstring(state, (const char *)text.data, text.len);
    lua_rawset(state, -3);
}

/* Pushes {err = "ERR <text>"}. */
static void push_plain_error(lua_State *state, const char *text)
{
    lua_createtable(state, 0, 4);
    lua_pushliteral(state, "err");
    lua_pushfstring(state, "ERR %s", text);
    lua_rawset(state, -3);
}

int script_lua_throw(lua_State *state, const char *text)
{
    luaL_checkstack(state, 4, "error");
    push_plain_error(state, text);
    return lua_error(state);
}

/* The error has been counted by the command that it came from. */
static void mark_counted(lua_State *state)
{
    lua_pushliteral(state, "ignore_error_stats_update");
    lua_pushboolean(state, 1);
    lua_rawset(state, -3);
}

/* ---- Commands ---------------------------------------------------------------------------------
 */

/* A number as its text, in its place on the stack. Lua's own conversion keeps 14 digits only. */
static void format_number(lua_State *state, int index)
{
    char text[NUMBER_F64_CHARS_MAX];
    size_t len = number_format_f64(lua_tonumber(state, index), text);
    lua_pushlstring(state, text, len);
    lua_replace(state, index);
}

/* The function's arguments, as borrowed from the stack. NULL: an error was pushed. */
static const struct bytes *read_arguments(lua_State *state, int *argc_out)
{
    struct script_lua *lua = script_lua_of(state);
    int argc = lua_gettop(state);
    if (argc == 0) {
        push_plain_error(state, "Please specify at least one argument for this redis lib call");
        return NULL;
    }
    if (lua->argv_capacity < argc) {
        lua->argv = mem_realloc(lua->argv, (size_t)argc * sizeof(*lua->argv));
        lua->argv_capacity = argc;
    }
    for (int i = 1; i <= argc; i++) {
        size_t len;
        if (lua_type(state, i) == LUA_TNUMBER)
            format_number(state, i);
        const char *text = lua_tolstring(state, i, &len);
        if (text == NULL) {
            push_plain_error(state, "Lua redis lib command arguments must be strings or integers");
            return NULL;
        }
        lua->argv[i - 1] = bytes_make(text, len);
    }
    *argc_out = argc;
    return lua->argv;
}

/* Takes `error`. */
static void push_refusal(lua_State *state, char *error)
{
    struct script_lua *lua = script_lua_of(state);
    buf_clear(&lua->scratch); /* what Lua may throw must not leak */
    buf_append_text(&lua->scratch, error);
    mem_free(error);
    script_lua_push_error(state, buf_bytes(&lua->scratch));
    mark_counted(state);
}

static int call_command(lua_State *state, bool raise)
{
    struct script_lua *lua = script_lua_of(state);
    if (lua->call == NULL || lua->calling)
        return script_lua_throw(state, "redis.call can only be called inside a script invocation");
    int argc;
    const struct bytes *argv = read_arguments(state, &argc);
    if (argv == NULL)
        return raise ? lua_error(state) : 1;
    struct script_answer answer = {.error = NULL};
    lua->calling = true;
    lua->options.host.call(lua->options.host.arg, argv, argc, lua->resp, &answer);
    lua->calling = false;
    lua_settop(state, 0); /* there may be just as many as the stack takes */
    if (answer.error == NULL)
        script_lua_check_verdict(state); /* commands can take longer than instructions */
    if (answer.error != NULL) {
        push_refusal(state, answer.error);
        return raise ? lua_error(state) : 1;
    }
    script_lua_push_reply(state, answer.resp);
    return raise && answer.resp.data[0] == '-' ? lua_error(state) : 1;
}

static int redis_call(lua_State *state)
{
    return call_command(state, true);
}

static int redis_pcall(lua_State *state)
{
    return call_command(state, false);
}

static int redis_acl_check_cmd(lua_State *state)
{
    struct script_lua *lua = script_lua_of(state);
    int argc;
    const struct bytes *argv = read_arguments(state, &argc);
    if (argv == NULL)
        return lua_error(state);
    int permitted = lua->options.host.acl_check(lua->options.host.arg, argv, argc);
    if (permitted < 0)
        return script_lua_throw(state, "Invalid command passed to redis.acl_check_cmd()");
    lua_pushboolean(state, permitted);
    return 1;
}

/* ---- Replies ----------------------------------------------------------------------------------
 */

static bool is_one_text(lua_State *state)
{
    return lua_gettop(state) == 1 && lua_type(state, 1) == LUA_TSTRING;
}

/* "-CODE text" and "CODE text" as they are; "text" becomes "ERR text". */
static int redis_error_reply(lua_State *state)
{
    if (!is_one_text(state)) {
        push_plain_error(state, "wrong number or type of arguments");
        return 1;
    }
    const char *text = lua_tostring(state, 1);
    if (*text == '-')
        text++;
    size_t len = strlen(text);
    const char *blank = strchr(text, ' ');
    const char *message = blank == NULL ? text : blank + 1;
    size_t code_len = blank == NULL ? 0 : (size_t)(blank - text);
    while (len > 0 && (text[len - 1] == '\r' || text[len - 1] == '\n'))
        len--;
    const char *end = text + len;
    while (message < end && (*message == '\r' || *message == '\n'))
        message++;
    lua_createtable(state, 0, 4);
    lua_pushliteral(state, "err");
    if (blank == NULL)
        lua_pushliteral(state, "ERR");
    else
        lua_pushlstring(state, text, code_len);
    lua_pushliteral(state, " ");
    lua_pushlstring(state, message, message < end ? (size_t)(end - message) : 0);
    lua_concat(state, 3);
    lua_rawset(state, -3);
    return 1;
}

static int redis_status_reply(lua_State *state)
{
    if (!is_one_text(state)) {
        push_plain_error(state, "wrong number or type of arguments");
        return 1;
    }
    lua_createtable(state, 0, 1);
    lua_pushliteral(state, "ok");
    lua_pushvalue(state, 1);
    lua_rawset(state, -3);
    return 1;
}

static int redis_setresp(lua_State *state)
{
    if (lua_gettop(state) != 1)
        return script_lua_throw(state, "redis.setresp() requires one argument.");
    lua_Number resp = lua_tonumber(state, 1);
    if (resp != 2 && resp != 3)
        return script_lua_throw(state, "RESP version must be 2 or 3.");
    script_lua_of(state)->resp = (int)resp;
    return 0;
}

/* ---- The rest ---------------------------------------------------------------------------------
 */

static int redis_sha1hex(lua_State *state)
{
    if (lua_gettop(state) != 1)
        return script_lua_throw(state, "wrong number of arguments");
    size_t len = 0;
    const char *text = lua_tolstring(state, 1, &len);
    uint8_t digest[SHA1_BYTES];
    char hex[SHA1_HEX_CHARS + 1];
    sha1_digest(bytes_make(text, len), digest);
    sha1_format(digest, hex);
    lua_pushstring(state, hex);
    return 1;
}

static int redis_log(lua_State *state)
{
    struct script_lua *lua = script_lua_of(state);
    const struct script_host *host = &lua->options.host;
    int args = lua_gettop(state);
    if (args < 2)
        return script_lua_throw(state, "redis.log() requires two arguments or more.");
    if (!lua_isnumber(state, 1))
        return script_lua_throw(state, "First argument must be a number (log level).");
    lua_Number level = lua_tonumber(state, 1);
    if (!(level >= 0 && level < 4))
        return script_lua_throw(state, "Invalid debug level.");
    if (!host->logs(host->arg, (int)level))
        return 0;
    buf_clear(&lua->scratch);
    for (int i = 2; i <= args; i++) {
        size_t len;
        const char *text = lua_tolstring(state, i, &len);
        if (text == NULL)
            continue;
        if (i > 2)
            buf_append_byte(&lua->scratch, ' ');
        buf_append(&lua->scratch, text, len);
    }
    host->log(host->arg, (int)level, buf_bytes(&lua->scratch));
    return 0;
}

/* Everything is journaled whatever is asked for: a change that the journal lacks would be lost in a
 * crash, and what it holds of later ones could not be replayed. */
static int redis_set_repl(lua_State *state)
{
    if (lua_gettop(state) != 1)
        return script_lua_throw(state, "redis.set_repl() requires one argument.");
    lua_Number where = lua_tonumber(state, 1);
    if (!(where >= 0 && where < 4))
        return script_lua_throw(
            state, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
    return 0;
}

/* Effects are what is replicated, always. */
static int redis_replicate_commands(lua_State *state)
{
    lua_pushboolean(state, 1);
    return 1;
}

/* There is no debugger: no breakpoint is ever active, and nobody reads what is told it. */
static int redis_breakpoint(lua_State *state)
{
    lua_pushboolean(state, 0);
    return 1;
}

static int redis_debug(lua_State *state)
{
    (void)state;
    return 0;
}

static void set_numbers(lua_State *state, bool loading)
{
    static const struct {
        const char *name;
        int value;
        bool loading;
    } numbers[] = {
        {"LOG_DEBUG", 0, true},
        {"LOG_VERBOSE", 1, true},
        {"LOG_NOTICE", 2, true},
        {"LOG_WARNING", 3, true},
        {"REDIS_VERSION_NUM", REDIS_COMPATIBLE_VERSION_NUM, true},
        {"REPL_NONE", 0, false},
        {"REPL_AOF", 1, false},
        {"REPL_SLAVE", 2, false},
        {"REPL_REPLICA", 2, false},
        {"REPL_ALL", 3, false},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (loading && !numbers[i].loading)
            continue;
        lua_pushinteger(state, numbers[i].value);
        lua_setfield(state, -2, numbers[i].name);
    }
    lua_pushliteral(state, REDIS_COMPATIBLE_VERSION);
    lua_setfield(state, -2, "REDIS_VERSION");
}

void script_lua_push_redis(lua_State *state, bool loading)
{
    static const luaL_Reg common[] = {
        {"acl_check_cmd", redis_acl_check_cmd},
        {"call", redis_call},
        {"error_reply", redis_error_reply},
        {"log", redis_log},
        {"pcall", redis_pcall},
        {"set_repl", redis_set_repl},
        {"setresp", redis_setresp},
        {"sha1hex", redis_sha1hex},
        {"status_reply", redis_status_reply},
        {NULL, NULL},
    };
    static const luaL_Reg eval[] = {
        {"breakpoint", redis_breakpoint},
        {"debug", redis_debug},
        {"replicate_commands", redis_replicate_commands},
        {NULL, NULL},
    };
    static const luaL_Reg library[] = {
        {"log", redis_log},
        {"register_function", script_lua_register_function},
        {NULL, NULL},
    };
    lua_newtable(state);
    set_numbers(state, loading);
    luaL_register(state, NULL, loading ? library : common);
    if (loading)
        script_lua_forbid_missing(state);
    else if (!script_lua_of(state)->options.functions)
        luaL_register(state, NULL, eval);
    script_lua_protect(state);
}
