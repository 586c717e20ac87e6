/* Any bytes given to what decodes inside of scripts (cmsgpack, struct, cjson) give values or a Lua
 * error; what they gave is encoded again. Memory is bounded, as in the server. */
#include "codec/check.h"
#include "server/script_lib.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_MAX   ((size_t)64 << 20)
#define FORMAT_BYTES 40

struct memory {
    size_t bytes;
};

static void *allocate(void *arg, void *block, size_t old, size_t size)
{
    struct memory *memory = arg;
    if (size > old && memory->bytes + size - old > MEMORY_MAX)
        return NULL;
    memory->bytes = memory->bytes - old + size;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

/* Calls a function of a library with the arguments on the stack; true if it did not fail. */
static bool call(lua_State *lua, const char *library, const char *function, int arguments)
{
    lua_getglobal(lua, library);
    lua_getfield(lua, -1, function);
    lua_remove(lua, -2);
    lua_insert(lua, -1 - arguments);
    return lua_pcall(lua, arguments, LUA_MULTRET, 0) == 0;
}

static void check_msgpack(lua_State *lua, const char *data, size_t len)
{
    lua_pushlstring(lua, data, len);
    if (!call(lua, "cmsgpack", "unpack", 1))
        return;
    int values = lua_gettop(lua);
    if (values == 0 || values > 100 || !call(lua, "cmsgpack", "pack", values))
        return;
    (void)call(lua, "cmsgpack", "unpack", 1); /* fails where a key was too deep to be packed */
}

/* A format and what is unpacked by it; from a place in it. */
static void check_struct(lua_State *lua, const char *data, size_t len)
{
    size_t format = len == 0 ? 0 : (uint8_t)data[0] % FORMAT_BYTES;
    if (len < 2 || format > len - 2)
        return;
    lua_pushlstring(lua, data + 2, format);
    lua_pushlstring(lua, data + 2 + format, len - 2 - format);
    lua_pushinteger(lua, data[1]);
    (void)call(lua, "struct", "unpack", 3);
    lua_settop(lua, 0);
    lua_pushlstring(lua, data + 2, format);
    (void)call(lua, "struct", "size", 1);
}

static void check_json(lua_State *lua, const char *data, size_t len)
{
    lua_pushlstring(lua, data, len);
    if (call(lua, "cjson", "decode", 1) && lua_gettop(lua) == 1)
        (void)call(lua, "cjson", "encode", 1);
}

static void open_library(lua_State *lua, const char *name, lua_CFunction open)
{
    lua_pushcfunction(lua, open);
    lua_call(lua, 0, 1);
    lua_setglobal(lua, name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const checks[])(lua_State *, const char *, size_t) = {check_msgpack, check_struct,
                                                                        check_json};
    static struct memory memory;
    static lua_State *lua;
    if (lua == NULL) {
        lua = lua_newstate(allocate, &memory);
        CHECK(lua != NULL);
        open_library(lua, "cmsgpack", script_lib_msgpack_open);
        open_library(lua, "struct", script_lib_struct_open);
        open_library(lua, "cjson", script_lib_json_open);
    }
    if (size == 0)
        return 0;
    /* Lua keeps the text: a copy of exactly its length would say no more. */
    checks[data[0] % 3](lua, (const char *)data + 1, size - 1);
    lua_settop(lua, 0);
    lua_gc(lua, LUA_GCCOLLECT, 0);
    return 0;
}
