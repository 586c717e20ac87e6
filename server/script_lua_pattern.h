/* Pattern matching for scripts, as in Lua 5.1, that ends when the script is killed. */
#ifndef BASALT_SERVER_SCRIPT_LUA_PATTERN_H
#define BASALT_SERVER_SCRIPT_LUA_PATTERN_H

#include <lauxlib.h>

/* What replaces functions of the library `string`: find, gfind, gmatch, gsub, match, rep. For
 * states that script_lua.c has made (or whose allocator has a script_lua for its argument). */
extern const luaL_Reg script_lua_pattern_functions[];

#endif
