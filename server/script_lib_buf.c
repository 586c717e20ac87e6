#include "server/script_lib_buf.h"

#include <lauxlib.h>

void script_lib_buf_open(struct script_lib_buf *buf, lua_State *lua)
{
    luaL_checkstack(lua, 2, "too many values");
    lua_pushnil(lua);
    buf->lua = lua;
    buf->slot = lua_gettop(lua);
    buf->data = buf->few;
    buf->len = 0;
    buf->capacity = sizeof(buf->few);
}

uint8_t *script_lib_buf_grow(struct script_lib_buf *buf, size_t extra)
{
    if (extra > SIZE_MAX / 4 - buf->len)
        luaL_error(buf->lua, "not enough memory");
    size_t capacity = 2 * (buf->len + extra);
    luaL_checkstack(buf->lua, 1, "too many values");
    uint8_t *data = lua_newuserdata(buf->lua, capacity);
    memcpy(data, buf->data, buf->len);
    lua_replace(buf->lua, buf->slot);
    buf->data = data;
    buf->capacity = capacity;
    return data + buf->len;
}

void script_lib_buf_push(const struct script_lib_buf *buf)
{
    lua_pushlstring(buf->lua, (const char *)buf->data, buf->len);
}
