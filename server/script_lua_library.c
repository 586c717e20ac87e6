/* Loading a library: its code runs once, and registers its functions. */
#include "server/script_lua_internal.h"

#include "server/script_flags.h"

#include <strings.h>

/* What redis.register_function was told. */
struct registration {
    struct script_lua_function function;
    int callback; /* on the stack; 0: none */
};

static bool read_text(lua_State *state, int index, struct bytes *out)
{
    size_t len;
    if (!lua_isstring(state, index))
        return false;
    const char *text = lua_tolstring(state, index, &len);
    *out = bytes_make(text, len);
    return true;
}

/* A list of names. */
static bool read_flags(lua_State *state, int index, uint32_t *flags_out)
{
    for (int i = 1;; i++) {
        struct bytes name;
        lua_rawgeti(state, index, i);
        if (lua_isnil(state, -1)) {
            lua_pop(state, 1);
            return true;
        }
        uint32_t flag = read_text(state, -1, &name) ? script_flag_find_nocase(name) : 0;
        lua_pop(state, 1);
        if (flag == 0)
            return false;
        *flags_out |= flag;
    }
}

/* One named argument: its name and its value are on the stack's top, and stay on the stack for as
 * long as the function runs. Returns what is wrong with it, or NULL. */
static const char *read_named(lua_State *state, struct registration *r)
{
    int value = lua_gettop(state);
    int type = lua_type(state, value - 1);
    if (type != LUA_TSTRING && type != LUA_TNUMBER)
        return "named argument key given to redis.register_function is not a string";
    const char *name = type == LUA_TSTRING ? lua_tostring(state, value - 1) : "";
    if (strcasecmp(name, "function_name") == 0)
        return read_text(state, value, &r->function.name)
                   ? NULL
                   : "function_name argument given to redis.register_function must be a string";
    if (strcasecmp(name, "description") == 0)
        return read_text(state, value, &r->function.description)
                   ? NULL
                   : "description argument given to redis.register_function must be a string";
    if (strcasecmp(name, "callback") == 0) {
        r->callback = value;
        return lua_isfunction(state, value)
                   ? NULL
                   : "callback argument given to redis.register_function must be a function";
    }
    if (strcasecmp(name, "flags") != 0)
        return "unknown argument given to redis.register_function";
    if (!lua_istable(state, value))
        return "flags argument to redis.register_function must be a table representing function "
               "flags";
    return read_flags(state, value, &r->function.flags) ? NULL : "unknown flag given";
}

static const char *read_all_named(lua_State *state, struct registration *r)
{
    if (!lua_istable(state, 1))
        return "calling redis.register_function with a single argument is only applicable to Lua "
               "table (representing named arguments).";
    lua_pushnil(state);
    while (lua_next(state, 1) != 0) {
        luaL_checkstack(state, 4, "too many named arguments");
        const char *error = read_named(state, r);
        if (error != NULL)
            return error;
        lua_pushvalue(state, -2); /* the next key goes on top: the values must stay */
    }
    if (r->function.name.data == NULL)
        return "redis.register_function must get a function name argument";
    return r->callback != 0 ? NULL : "redis.register_function must get a callback argument";
}

static const char *read_registration(lua_State *state, struct registration *r)
{
    int args = lua_gettop(state);
    if (args < 1 || args > 2)
        return "wrong number of arguments to redis.register_function";
    if (args == 1)
        return read_all_named(state, r);
    if (!read_text(state, 1, &r->function.name))
        return "first argument to redis.register_function must be a string";
    r->callback = 2;
    return lua_isfunction(state, 2)
               ? NULL
               : "second argument to redis.register_function must be a function";
}

int script_lua_register_function(lua_State *state)
{
    const struct script_lua_loading *loading = script_lua_of(state)->loading;
    if (loading == NULL)
        return script_lua_throw(
            state, "redis.register_function can only be called on FUNCTION LOAD command");
    struct registration r = {.callback = 0};
    const char *error = read_registration(state, &r);
    if (error != NULL)
        return script_lua_throw(state, error);
    lua_pushvalue(state, r.callback);
    r.function.reference = luaL_ref(state, LUA_REGISTRYINDEX);
    error = loading->fn(loading->arg, &r.function);
    if (error == NULL)
        return 0;
    luaL_unref(state, LUA_REGISTRYINDEX, r.function.reference);
    return script_lua_throw(state, error);
}

/* ---- Loading. */

struct load {
    struct bytes code;
    struct buf *error;
    bool done;
};

static int protected_load(lua_State *state)
{
    struct load *load = lua_touserdata(state, 1);
    if (script_lua_load_text(state, load->code, "@user_function") != 0) {
        buf_append_format(load->error, "Error compiling function: %s", lua_tostring(state, -1));
        return 0;
    }
    script_lua_show_globals(state, true);
    bool failed = lua_pcall(state, 0, 0, 0) != 0;
    script_lua_show_globals(state, false);
    load->done = !failed;
    if (failed) {
        bool counted;
        buf_append_text(load->error, "Error registering functions: ");
        script_lua_describe_error(state, load->error, &counted);
    }
    return 0;
}

static int protected_show(lua_State *state)
{
    script_lua_show_globals(state, false);
    return 0;
}

bool script_lua_load(struct script_lua *lua, struct bytes code, script_lua_register_fn *fn,
                     void *arg, struct buf *error)
{
    struct script_lua_loading loading = {.fn = fn, .arg = arg};
    struct load load = {.code = code, .error = error};
    lua->loading = &loading;
    lua->killed = false;
    if (lua_cpcall(lua->state, protected_load, &load) != 0) {
        load.done = false;
        buf_append_format(error, "Error registering functions: %s", lua_tostring(lua->state, -1));
        lua_settop(lua->state, 0);
        (void)lua_cpcall(lua->state, protected_show, NULL);
    }
    lua->loading = NULL;
    script_lua_watch(lua);
    return load.done;
}
