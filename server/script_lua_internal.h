/* Shared by the parts of the interpreter: script_lua.c (states, compiling, running),
 * script_lua_sandbox.c (what a script can reach), script_lua_pattern.c (functions of texts),
 * script_lua_redis.c (the table `redis`), script_lua_library.c (redis.register_function) and
 * script_lua_reply.c (replies to values and back). */
#ifndef BASALT_SERVER_SCRIPT_LUA_INTERNAL_H
#define BASALT_SERVER_SCRIPT_LUA_INTERNAL_H

#include "server/script_lua.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

/* A library that is being loaded. */
struct script_lua_loading {
    script_lua_register_fn *fn;
    void *arg;
};

struct script_lua {
    lua_State *state;
    struct script_lua_options options;
    size_t bytes; /* taken by the interpreter */
    uint64_t random;
    const struct script_lua_call *call;       /* NULL: no script is running */
    const struct script_lua_loading *loading; /* NULL: no library is being loaded */
    bool killed;                              /* by the host's verdict */
    bool unbounded;                           /* script_lua_set_unbounded */
    bool collecting;                          /* the collector works outside of a script */
    bool calling;                             /* inside redis.call */
    bool tuned;                               /* the script has changed the collector's settings */
    int resp;                                 /* protocol that the script has asked for */
    unsigned runs;                            /* since the last step of the collector */
    struct bytes *argv;                       /* owned scratch of redis.call */
    int argv_capacity;
    struct buf scratch; /* text on its way to or from the state */
    /* The standard functions behind those that the sandbox replaces. */
    struct {
        lua_CFunction collectgarbage, getmetatable, insert, remove, rawset, setmetatable, sort;
    } standard;
};

static inline struct script_lua *script_lua_of(lua_State *state)
{
    void *lua;
    (void)lua_getallocf(state, &lua);
    return lua;
}

/* script_lua.c */
/* Asks the host whether the running script is to go on; throws if not. */
void script_lua_check_verdict(lua_State *state);
/* Compiles source, never bytecode, and pushes the function. Non-zero: pushes the error, as
 * luaL_loadbuffer does. */
int script_lua_load_text(lua_State *state, struct bytes code, const char *chunk);

/* Sets up the hook that asks the host's verdict. */
void script_lua_watch(struct script_lua *lua);

/* script_lua_sandbox.c. Called once, protected. */
void script_lua_sandbox_open(lua_State *state);
/* Pushes the table of all real global variables. */
void script_lua_push_globals(lua_State *state);
/* Pops a table and pushes one that shows the same and cannot be changed. getmetatable() answers
 * nil for it. */
void script_lua_protect(lua_State *state);
bool script_lua_is_protected(lua_State *state, int index);
/* What scripts see as global variables: the real ones, or, while a library is loaded, the few for
 * that. */
void script_lua_show_globals(lua_State *state, bool loading);
/* Reading a field that is not there throws. For the table on the stack's top. */
void script_lua_forbid_missing(lua_State *state);
/* Raises {err = "ERR <text>"}. */
int script_lua_throw(lua_State *state, const char *text);
/* Pushes {err = <text>}; `text` has a code as its first word. */
void script_lua_push_error(lua_State *state, struct bytes text);

/* script_lua_redis.c. Pushes the table `redis`, for scripts or for the loading of a library. */
void script_lua_push_redis(lua_State *state, bool loading);

/* script_lua_library.c */
int script_lua_register_function(lua_State *state);

/* script_lua_reply.c */
/* Pushes the value of a whole reply. */
void script_lua_push_reply(lua_State *state, struct bytes resp);
/* Replies the value on the stack's top, and pops it. */
void script_lua_reply(lua_State *state, struct reply *reply, struct script_lua_result *result);
/* An error's parts, from the value on the stack's top. Appends its text (without "-"). */
void script_lua_describe_error(lua_State *state, struct buf *text, bool *counted);
/* Appends " script: <name>, on <source>:<line>." if the error says where. */
void script_lua_describe_place(lua_State *state, const char *name, struct buf *text);

#endif
