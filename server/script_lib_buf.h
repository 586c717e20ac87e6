/* Bytes that a library function puts together. They lie in a userdata on the Lua stack, so that
 * the state's memory limit holds and an error thrown by Lua frees them. For script_lib_*.c. */
#ifndef BASALT_SERVER_SCRIPT_LIB_BUF_H
#define BASALT_SERVER_SCRIPT_LIB_BUF_H

#include <lua.h>
#include <stdint.h>
#include <string.h>

struct script_lib_buf {
    lua_State *lua;
    int slot;      /* on the stack: the userdata behind `data` */
    uint8_t *data; /* `few`, or in the userdata */
    size_t len;
    size_t capacity;
    uint8_t few[512];
};

/* Takes one slot on the stack's top, which must stay until the buffer is not used any more. */
void script_lib_buf_open(struct script_lib_buf *buf, lua_State *lua);
/* Room for `extra` bytes; advance `len` by what was written. Throws a Lua error without memory. */
uint8_t *script_lib_buf_grow(struct script_lib_buf *buf, size_t extra);
/* Pushes the bytes as a string. */
void script_lib_buf_push(const struct script_lib_buf *buf);

static inline uint8_t *script_lib_buf_reserve(struct script_lib_buf *buf, size_t extra)
{
    if (buf->capacity - buf->len < extra)
        return script_lib_buf_grow(buf, extra);
    return buf->data + buf->len;
}

static inline void script_lib_buf_append(struct script_lib_buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(script_lib_buf_reserve(buf, len), data, len);
    buf->len += len;
}

static inline void script_lib_buf_append_byte(struct script_lib_buf *buf, uint8_t byte)
{
    *script_lib_buf_reserve(buf, 1) = byte;
    buf->len++;
}

#endif
