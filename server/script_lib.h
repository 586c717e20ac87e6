/* The libraries that scripts have besides Lua's own: bit, struct, cmsgpack and cjson, as Redis 7.2
 * has them. Each function leaves its library's table on the Lua stack, so that it can be called by
 * lua_call with no arguments and one result. They know nothing of the server, and keep all their
 * memory in the Lua state, so that its limit holds and an error thrown half-way leaks nothing. */
#ifndef BASALT_SERVER_SCRIPT_LIB_H
#define BASALT_SERVER_SCRIPT_LIB_H

struct lua_State;

int script_lib_bit_open(struct lua_State *lua);
int script_lib_struct_open(struct lua_State *lua);
int script_lib_msgpack_open(struct lua_State *lua);
int script_lib_json_open(struct lua_State *lua);

#endif
