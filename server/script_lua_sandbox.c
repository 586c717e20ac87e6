/* What a script can reach.
 *
 * Lua has no read-only tables. A protected table is therefore an empty one in front of the real
 * one:
 *
 *   script ──► empty table ── metatable: __index ──► real table
 *                                        __newindex: an error
 *
 * Being empty it passes every access to its metatable. The library functions that go past
 * metatables (rawset, next, table.insert, …) are replaced by ones that know protected tables:
 * those that read look at the real one, those that write refuse. No function hands out a real
 * table, or a metatable.
 *
 * The variables a script sees are a protected table, too. Gone are those that reach outside (io, os
 * but for its clock, require, dofile, print, debug), bytecode (load and loadstring take text
 * alone), and getfenv, setfenv and newproxy, with which a script could change what the next one
 * sees, or have code run in it. Pattern matching is script_lua_pattern.c's; unpack, which counts
 * with too few bits, and table.insert have limits of their own. Source: global variables of scripts
 * in Redis 7.2. */
#include "server/script_lua_internal.h"

#include "server/script_lib.h"
#include "server/script_lib_buf.h"
#include "server/script_lua_pattern.h"

#include "codec/check.h"

#include <limits.h>
#include <math.h>
#include <time.h>

/* table.insert moves all from there on, one by one. */
#define INSERT_PLACE_MIN (-1000)

/* Keys in the metatable of a protected table, and of the registry: their addresses. */
static const char real_key;    /* the real table */
static const char shown_key;   /* what getmetatable() answers; false: nil */
static const char globals_key; /* registry: real global variables */
static const char loading_key; /* registry: those while a library is loaded */

static void push_key(lua_State *state, const char *key)
{
    union {
        const char *borrowed;
        void *plain;
    } cast = {.borrowed = key};
    lua_pushlightuserdata(state, cast.plain);
}

/* table[key] = the value on the stack's top, which is popped. */
static void set_key(lua_State *state, int table, const char *key)
{
    push_key(state, key);
    lua_insert(state, -2);
    lua_rawset(state, table < 0 && table > LUA_REGISTRYINDEX ? table - 1 : table);
}

static void get_key(lua_State *state, int table, const char *key)
{
    push_key(state, key);
    lua_rawget(state, table < 0 && table > LUA_REGISTRYINDEX ? table - 1 : table);
}

/* ---- Protected tables -------------------------------------------------------------------------
 */

#define READONLY_TEXT "Attempt to modify a readonly table"

static int refuse_change(lua_State *state)
{
    return luaL_error(state, READONLY_TEXT);
}

static int refuse_missing(lua_State *state)
{
    if (!lua_isstring(state, 2))
        return luaL_error(state, "Name of a global variable must be a string or number");
    return luaL_error(state, "Script attempted to access nonexistent global variable '%s'",
                      lua_tostring(state, 2));
}

void script_lua_forbid_missing(lua_State *state)
{
    lua_createtable(state, 0, 1);
    lua_pushcfunction(state, refuse_missing);
    lua_setfield(state, -2, "__index");
    (void)lua_setmetatable(state, -2);
}

/* Pops what getmetatable() is to answer, or false, and a real table; pushes the protected one. */
static void protect_showing(lua_State *state)
{
    lua_newtable(state);
    lua_createtable(state, 0, 4);
    lua_pushcfunction(state, refuse_change);
    lua_setfield(state, -2, "__newindex");
    lua_pushvalue(state, -3);
    set_key(state, -2, &shown_key);
    lua_pushvalue(state, -4);
    lua_setfield(state, -2, "__index");
    lua_pushvalue(state, -4);
    set_key(state, -2, &real_key);
    (void)lua_setmetatable(state, -2);
    lua_replace(state, -3);
    lua_pop(state, 1);
}

void script_lua_protect(lua_State *state)
{
    lua_pushboolean(state, 0);
    protect_showing(state);
}

/* Pushes the real table behind the value at `index`; false, and nothing pushed: it is not
 * protected. */
static bool push_real(lua_State *state, int index)
{
    if (lua_getmetatable(state, index) == 0)
        return false;
    get_key(state, -1, &real_key);
    lua_remove(state, -2);
    if (lua_istable(state, -1))
        return true;
    lua_pop(state, 1);
    return false;
}

bool script_lua_is_protected(lua_State *state, int index)
{
    bool is = lua_istable(state, index) && push_real(state, index);
    if (is)
        lua_pop(state, 1);
    return is;
}

/* For functions that read past metatables: the argument becomes the real table. */
static void look_behind(lua_State *state, int arg)
{
    if (lua_istable(state, arg) && push_real(state, arg))
        lua_replace(state, arg);
}

/* For functions that write past metatables. */
static void refuse_protected(lua_State *state, int arg)
{
    if (!script_lua_is_protected(state, arg))
        return;
    lua_pushliteral(state, READONLY_TEXT);
    (void)lua_error(state);
}

/* ---- Replaced functions -----------------------------------------------------------------------
 */

static int sandbox_next(lua_State *state)
{
    luaL_checktype(state, 1, LUA_TTABLE);
    look_behind(state, 1);
    lua_settop(state, 2);
    if (lua_next(state, 1) != 0)
        return 2;
    lua_pushnil(state);
    return 1;
}

/* Its upvalue is sandbox_next. */
static int sandbox_pairs(lua_State *state)
{
    luaL_checktype(state, 1, LUA_TTABLE);
    lua_pushvalue(state, lua_upvalueindex(1));
    lua_pushvalue(state, 1);
    lua_pushnil(state);
    return 3;
}

static int sandbox_rawget(lua_State *state)
{
    luaL_checktype(state, 1, LUA_TTABLE);
    luaL_checkany(state, 2);
    lua_settop(state, 2);
    look_behind(state, 1);
    lua_rawget(state, 1);
    return 1;
}

static int sandbox_rawset(lua_State *state)
{
    refuse_protected(state, 1);
    return script_lua_of(state)->standard.rawset(state);
}

static int sandbox_setmetatable(lua_State *state)
{
    refuse_protected(state, 1);
    return script_lua_of(state)->standard.setmetatable(state);
}

static int sandbox_getmetatable(lua_State *state)
{
    luaL_checkany(state, 1);
    if (lua_getmetatable(state, 1) != 0) {
        get_key(state, -1, &shown_key);
        if (lua_istable(state, -1))
            return 1;
        if (lua_isboolean(state, -1)) {
            lua_pushnil(state);
            return 1;
        }
    }
    lua_settop(state, 1);
    return script_lua_of(state)->standard.getmetatable(state);
}

static int sandbox_insert(lua_State *state)
{
    refuse_protected(state, 1);
    if (lua_gettop(state) == 3 && luaL_checkint(state, 2) < INSERT_PLACE_MIN)
        return luaL_argerror(state, 2, "position out of bounds");
    return script_lua_of(state)->standard.insert(state);
}

static int sandbox_remove(lua_State *state)
{
    refuse_protected(state, 1);
    return script_lua_of(state)->standard.remove(state);
}

static int sandbox_sort(lua_State *state)
{
    refuse_protected(state, 1);
    return script_lua_of(state)->standard.sort(state);
}

static int sandbox_unpack(lua_State *state)
{
    luaL_checktype(state, 1, LUA_TTABLE);
    look_behind(state, 1);
    int64_t first = luaL_optint(state, 2, 1);
    int64_t last = luaL_opt(state, luaL_checkint, 3, (int)lua_objlen(state, 1));
    if (first > last)
        return 0;
    int64_t count = last - first + 1;
    if (count >= INT_MAX || !lua_checkstack(state, (int)count))
        return luaL_error(state, "too many results to unpack");
    for (int64_t i = first; i <= last; i++)
        lua_rawgeti(state, 1, (int)i);
    return (int)count;
}

/* Errors of redis.call are tables; scripts that were written for older versions expect texts. */
static int sandbox_pcall(lua_State *state)
{
    luaL_checkany(state, 1);
    bool failed = lua_pcall(state, lua_gettop(state) - 1, LUA_MULTRET, 0) != 0;
    if (failed && lua_istable(state, -1)) {
        lua_pushliteral(state, "err");
        lua_rawget(state, -2);
        if (lua_isstring(state, -1))
            lua_replace(state, -2);
        else
            lua_pop(state, 1);
    }
    luaL_checkstack(state, 1, "too many results");
    lua_pushboolean(state, !failed);
    lua_insert(state, 1);
    return lua_gettop(state);
}

/* The handler runs behind the failed call, not inside it: inside the hook, which throws when a
 * script is killed, no hook runs, and a handler without end could not be killed any more. */
static int sandbox_xpcall(lua_State *state)
{
    luaL_checkany(state, 2);
    lua_settop(state, 2);
    lua_pushvalue(state, 1);
    int status = lua_pcall(state, 0, LUA_MULTRET, 0);
    if (status == 0 || status == LUA_ERRMEM) {
        lua_remove(state, 2);
    } else if (lua_pcall(state, 1, 1, 0) != 0) {
        lua_pop(state, 1);
        lua_pushliteral(state, "error in error handling");
    }
    lua_pushboolean(state, status == 0);
    lua_replace(state, 1);
    return lua_gettop(state);
}

static int sandbox_collectgarbage(lua_State *state)
{
    const char *what = luaL_optstring(state, 1, "collect");
    struct script_lua *lua = script_lua_of(state);
    lua->tuned = lua->tuned || (strcmp(what, "collect") != 0 && strcmp(what, "count") != 0);
    return lua->standard.collectgarbage(state);
}

/* Nil and the message, or the function that was compiled. */
static int finish_load(lua_State *state, int status)
{
    if (status == 0)
        return 1;
    lua_pushnil(state);
    lua_insert(state, -2);
    return 2;
}

static int sandbox_loadstring(lua_State *state)
{
    size_t len;
    const char *code = luaL_checklstring(state, 1, &len);
    const char *chunk = luaL_optstring(state, 2, code);
    return finish_load(state, script_lua_load_text(state, bytes_make(code, len), chunk));
}

/* Reads all of the text before it is compiled: no script runs inside the parser. */
static int sandbox_load(lua_State *state)
{
    struct script_lib_buf code;
    luaL_checktype(state, 1, LUA_TFUNCTION);
    const char *chunk = luaL_optstring(state, 2, "=(load)");
    lua_settop(state, 2);
    script_lib_buf_open(&code, state);
    for (;;) {
        lua_pushvalue(state, 1);
        lua_call(state, 0, 1);
        if (lua_isnil(state, -1))
            break;
        size_t len;
        const char *piece = lua_tolstring(state, -1, &len);
        if (piece == NULL)
            return luaL_error(state, "reader function must return a string");
        if (len == 0)
            break;
        script_lib_buf_append(&code, piece, len);
        lua_pop(state, 1);
    }
    return finish_load(state, script_lua_load_text(state, bytes_make(code.data, code.len), chunk));
}

/* ---- Random numbers: those of lrand48(), so that a seed means the same everywhere. */

static double next_random(struct script_lua *lua)
{
    lua->random = (lua->random * UINT64_C(0x5deece66d) + 11) & ((UINT64_C(1) << 48) - 1);
    return (double)((lua->random >> 17) % INT32_MAX) / INT32_MAX;
}

static int sandbox_random(lua_State *state)
{
    double random = next_random(script_lua_of(state));
    int args = lua_gettop(state);
    if (args > 2)
        return luaL_error(state, "wrong number of arguments");
    if (args == 0) {
        lua_pushnumber(state, random);
        return 1;
    }
    int64_t low = args == 1 ? 1 : luaL_checkint(state, 1);
    int64_t high = luaL_checkint(state, args);
    luaL_argcheck(state, low <= high, args, "interval is empty");
    lua_pushnumber(state, floor(random * (double)(high - low + 1)) + (double)low);
    return 1;
}

static int sandbox_randomseed(lua_State *state)
{
    uint32_t seed = (uint32_t)luaL_checkint(state, 1);
    script_lua_of(state)->random = (uint64_t)seed << 16 | 0x330e;
    return 0;
}

static int sandbox_clock(lua_State *state)
{
    lua_pushnumber(state, (lua_Number)clock() / CLOCKS_PER_SEC);
    return 1;
}

/* ---- Putting it together ----------------------------------------------------------------------
 */

static void open_library(lua_State *state, lua_CFunction open, const char *name)
{
    lua_pushcfunction(state, open);
    lua_pushstring(state, name);
    lua_call(state, 1, 0);
}

/* The C function of that name in the table on the stack's top. */
static lua_CFunction standard_function(lua_State *state, const char *name)
{
    lua_getfield(state, -1, name);
    lua_CFunction function = lua_tocfunction(state, -1);
    CHECK(function != NULL);
    lua_pop(state, 1);
    return function;
}

static void set_function(lua_State *state, const char *name, lua_CFunction function)
{
    lua_pushcfunction(state, function);
    lua_setfield(state, -2, name);
}

static void set_functions(lua_State *state, const luaL_Reg *functions)
{
    for (; functions->name != NULL; functions++)
        set_function(state, functions->name, functions->func);
}

/* For the table of real global variables on the stack's top: takes over what is safe as it is. */
static void copy_base(lua_State *state)
{
    static const char *const names[] = {
        "_VERSION", "assert", "error",    "gcinfo",   "ipairs",
        "rawequal", "select", "tonumber", "tostring", "type",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        lua_getfield(state, LUA_GLOBALSINDEX, names[i]);
        CHECK(!lua_isnil(state, -1));
        lua_setfield(state, -2, names[i]);
    }
}

static void replace_base(lua_State *state)
{
    static const luaL_Reg functions[] = {
        {"collectgarbage", sandbox_collectgarbage},
        {"getmetatable", sandbox_getmetatable},
        {"load", sandbox_load},
        {"loadstring", sandbox_loadstring},
        {"next", sandbox_next},
        {"pcall", sandbox_pcall},
        {"rawget", sandbox_rawget},
        {"rawset", sandbox_rawset},
        {"setmetatable", sandbox_setmetatable},
        {"unpack", sandbox_unpack},
        {"xpcall", sandbox_xpcall},
        {NULL, NULL},
    };
    struct script_lua *lua = script_lua_of(state);
    lua_pushvalue(state, LUA_GLOBALSINDEX);
    lua->standard.collectgarbage = standard_function(state, "collectgarbage");
    lua->standard.getmetatable = standard_function(state, "getmetatable");
    lua->standard.rawset = standard_function(state, "rawset");
    lua->standard.setmetatable = standard_function(state, "setmetatable");
    lua_pop(state, 1);
    set_functions(state, functions);
    lua_pushcfunction(state, sandbox_next);
    lua_pushcclosure(state, sandbox_pairs, 1);
    lua_setfield(state, -2, "pairs");
}

/* Moves a library's table from the original global variables to the real ones, protected.
 * `functions` of it are replaced. */
static void take_library(lua_State *state, const char *name, const luaL_Reg *functions)
{
    lua_getfield(state, LUA_GLOBALSINDEX, name);
    CHECK(lua_istable(state, -1));
    set_functions(state, functions);
    script_lua_protect(state);
    lua_setfield(state, -2, name);
}

static void take_string(lua_State *state)
{
    take_library(state, "string", script_lua_pattern_functions);
    /* Methods of strings: their metatable shows the protected table, as a copy of itself. */
    lua_pushliteral(state, "");
    CHECK(lua_getmetatable(state, -1) != 0);
    lua_getfield(state, -3, "string");
    lua_setfield(state, -2, "__index");
    lua_newtable(state);
    lua_getfield(state, -4, "string");
    lua_setfield(state, -2, "__index");
    script_lua_protect(state);
    set_key(state, -2, &shown_key);
    lua_pop(state, 2);
}

static void take_libraries(lua_State *state)
{
    static const luaL_Reg none[] = {{NULL, NULL}};
    static const luaL_Reg table[] = {
        {"insert", sandbox_insert},
        {"remove", sandbox_remove},
        {"sort", sandbox_sort},
        {NULL, NULL},
    };
    static const luaL_Reg math[] = {
        {"random", sandbox_random},
        {"randomseed", sandbox_randomseed},
        {NULL, NULL},
    };
    struct script_lua *lua = script_lua_of(state);
    lua_getfield(state, LUA_GLOBALSINDEX, "table");
    lua->standard.insert = standard_function(state, "insert");
    lua->standard.remove = standard_function(state, "remove");
    lua->standard.sort = standard_function(state, "sort");
    lua_pop(state, 1);
    take_library(state, "coroutine", none);
    take_library(state, "math", math);
    take_library(state, "table", table);
    take_string(state);
}

static void add_library(lua_State *state, const char *name, lua_CFunction open)
{
    lua_pushcfunction(state, open);
    lua_call(state, 0, 1);
    script_lua_protect(state);
    lua_setfield(state, -2, name);
}

static int open_os(lua_State *state)
{
    lua_newtable(state);
    set_function(state, "clock", sandbox_clock);
    return 1;
}

static void add_libraries(lua_State *state)
{
    add_library(state, "bit", script_lib_bit_open);
    add_library(state, "cjson", script_lib_json_open);
    add_library(state, "cmsgpack", script_lib_msgpack_open);
    add_library(state, "os", open_os);
    add_library(state, "struct", script_lib_struct_open);
    script_lua_push_redis(state, false);
    lua_setfield(state, -2, "redis");
}

/* The few variables there are while a library is loaded. */
static void make_loading_globals(lua_State *state)
{
    lua_newtable(state);
    script_lua_push_redis(state, true);
    lua_setfield(state, -2, "redis");
    script_lua_forbid_missing(state);
    set_key(state, LUA_REGISTRYINDEX, &loading_key);
}

void script_lua_sandbox_open(lua_State *state)
{
    open_library(state, luaopen_base, "");
    open_library(state, luaopen_table, LUA_TABLIBNAME);
    open_library(state, luaopen_string, LUA_STRLIBNAME);
    open_library(state, luaopen_math, LUA_MATHLIBNAME);
    lua_newtable(state);
    copy_base(state);
    replace_base(state);
    take_libraries(state);
    add_libraries(state);
    script_lua_forbid_missing(state);
    lua_pushvalue(state, -1);
    set_key(state, LUA_REGISTRYINDEX, &globals_key);
    if (script_lua_of(state)->options.functions)
        make_loading_globals(state);

    lua_pushvalue(state, -1);
    lua_newtable(state);
    script_lua_protect(state);
    protect_showing(state);
    lua_pushvalue(state, -1);
    lua_setfield(state, -3, "_G");
    lua_replace(state, LUA_GLOBALSINDEX);
    lua_pop(state, 1);
}

void script_lua_push_globals(lua_State *state)
{
    get_key(state, LUA_REGISTRYINDEX, &globals_key);
}

void script_lua_show_globals(lua_State *state, bool loading)
{
    CHECK(lua_getmetatable(state, LUA_GLOBALSINDEX) != 0);
    get_key(state, LUA_REGISTRYINDEX, loading ? &loading_key : &globals_key);
    lua_pushvalue(state, -1);
    lua_setfield(state, -3, "__index");
    set_key(state, -2, &real_key);
    lua_pop(state, 1);
}
