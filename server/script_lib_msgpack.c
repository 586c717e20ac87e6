/* The library `cmsgpack`: values to and from MessagePack, as the one in Redis 7.2 does it (integers
 * and doubles in their shortest form, tables as arrays or maps, what has no form as nil).
 *
 * Tables within tables are encoded down to NESTING_MAX; decoding is bounded by Lua's own stack, of
 * which every level takes at least one place. Lengths found in the input are never believed: each
 * element is asked for when its turn comes. Source: github.com/msgpack/msgpack, spec.md. */
#include "server/script_lib.h"

#include "server/script_lib_buf.h"

#include <lauxlib.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>

#define NESTING_MAX        16   /* of tables that are encoded; deeper ones become nil */
#define DECODE_NESTING_MAX 2000 /* bounds the C stack; Lua's is used up at 4000 or less */

enum {
    FIXMAP = 0x80,
    FIXARRAY = 0x90,
    FIXSTR = 0xa0,
    NIL = 0xc0,
    FALSE = 0xc2,
    TRUE = 0xc3,
    FLOAT_32 = 0xca,
    FLOAT_64 = 0xcb,
    UINT_8 = 0xcc,
    UINT_16 = 0xcd,
    UINT_32 = 0xce,
    UINT_64 = 0xcf,
    INT_8 = 0xd0,
    INT_16 = 0xd1,
    INT_32 = 0xd2,
    INT_64 = 0xd3,
    STR_8 = 0xd9,
    STR_16 = 0xda,
    STR_32 = 0xdb,
    ARRAY_16 = 0xdc,
    ARRAY_32 = 0xdd,
    MAP_16 = 0xde,
    MAP_32 = 0xdf,
    NEGATIVE_FIXINT = 0xe0,
};

/* ---- Encoding ---------------------------------------------------------------------------------
 */

/* A kind, and the `width` lowest bytes of a number, most significant first. */
static void put_head(struct script_lib_buf *out, uint8_t kind, uint64_t bits, unsigned width)
{
    uint8_t *place = script_lib_buf_reserve(out, 1 + width);
    *place++ = kind;
    for (unsigned i = 0; i < width; i++)
        place[i] = (uint8_t)(bits >> 8 * (width - 1 - i));
    out->len += 1 + width;
}

static void put_integer(struct script_lib_buf *out, int64_t value)
{
    uint64_t bits = (uint64_t)value;
    if (value >= 0) {
        if (value <= 127)
            put_head(out, (uint8_t)value, 0, 0);
        else if (value <= UINT8_MAX)
            put_head(out, UINT_8, bits, 1);
        else if (value <= UINT16_MAX)
            put_head(out, UINT_16, bits, 2);
        else if (value <= UINT32_MAX)
            put_head(out, UINT_32, bits, 4);
        else
            put_head(out, UINT_64, bits, 8);
    } else if (value >= -32) {
        put_head(out, (uint8_t)value, 0, 0);
    } else if (value >= INT8_MIN) {
        put_head(out, INT_8, bits, 1);
    } else if (value >= INT16_MIN) {
        put_head(out, INT_16, bits, 2);
    } else if (value >= INT32_MIN) {
        put_head(out, INT_32, bits, 4);
    } else {
        put_head(out, INT_64, bits, 8);
    }
}

static void put_number(struct script_lib_buf *out, double number)
{
    const double two_63 = 9223372036854775808.0;
    if (number >= -two_63 && number < two_63 && number == floor(number)) {
        put_integer(out, (int64_t)number);
        return;
    }
    union {
        double number;
        uint64_t bits;
    } whole = {.number = number};
    union {
        float number;
        uint32_t bits;
    } half = {.number = (float)number};
    if ((double)half.number == number)
        put_head(out, FLOAT_32, half.bits, 4);
    else
        put_head(out, FLOAT_64, whole.bits, 8);
}

static void put_string(struct script_lib_buf *out, const char *text, size_t len)
{
    if (len < 32)
        put_head(out, (uint8_t)(FIXSTR | len), 0, 0);
    else if (len <= UINT8_MAX)
        put_head(out, STR_8, len, 1);
    else if (len <= UINT16_MAX)
        put_head(out, STR_16, len, 2);
    else if (len <= UINT32_MAX)
        put_head(out, STR_32, len, 4);
    else
        luaL_error(out->lua, "string is too long for MessagePack");
    script_lib_buf_append(out, text, len);
}

/* `fix`, `wide` and `wider` are the kinds for counts of 4, 16 and 32 bits. */
static void put_count(struct script_lib_buf *out, size_t count, uint8_t fix, uint8_t wide,
                      uint8_t wider)
{
    if (count <= 15)
        put_head(out, (uint8_t)(fix | count), 0, 0);
    else if (count <= UINT16_MAX)
        put_head(out, wide, count, 2);
    else if (count <= UINT32_MAX)
        put_head(out, wider, count, 4);
    else
        luaL_error(out->lua, "table is too large for MessagePack");
}

/* Whether the keys of the table on the stack's top are the integers from 1 to their number, which
 * goes to `*count_out` in any case. */
static bool is_array(lua_State *lua, size_t *count_out)
{
    size_t count = 0;
    double max = 0;
    bool array = true;
    lua_pushnil(lua);
    while (lua_next(lua, -2) != 0) {
        lua_pop(lua, 1);
        count++;
        double key = lua_type(lua, -1) == LUA_TNUMBER ? lua_tonumber(lua, -1) : 0;
        array = array && key >= 1 && key <= INT_MAX && key == floor(key);
        if (key > max)
            max = key;
    }
    *count_out = count;
    return array && max == (double)count;
}

static void put_value(struct script_lib_buf *out, int level);

static void put_table(struct script_lib_buf *out, int level)
{
    lua_State *lua = out->lua;
    size_t count;
    luaL_checkstack(lua, 4, "table is nested too deeply");
    if (is_array(lua, &count)) {
        put_count(out, count, FIXARRAY, ARRAY_16, ARRAY_32);
        for (size_t i = 1; i <= count; i++) {
            lua_rawgeti(lua, -1, (int)i);
            put_value(out, level + 1);
        }
        return;
    }
    put_count(out, count, FIXMAP, MAP_16, MAP_32);
    lua_pushnil(lua);
    while (lua_next(lua, -2) != 0) {
        lua_pushvalue(lua, -2);
        put_value(out, level + 1);
        put_value(out, level + 1);
    }
}

/* Encodes and pops the value on the stack's top. */
static void put_value(struct script_lib_buf *out, int level)
{
    lua_State *lua = out->lua;
    int type = lua_type(lua, -1);
    if (type == LUA_TTABLE && level == NESTING_MAX)
        type = LUA_TNIL;
    if (type == LUA_TSTRING) {
        size_t len;
        const char *text = lua_tolstring(lua, -1, &len);
        put_string(out, text, len);
    } else if (type == LUA_TNUMBER) {
        put_number(out, lua_tonumber(lua, -1));
    } else if (type == LUA_TBOOLEAN) {
        put_head(out, lua_toboolean(lua, -1) ? TRUE : FALSE, 0, 0);
    } else if (type == LUA_TTABLE) {
        put_table(out, level);
    } else {
        put_head(out, NIL, 0, 0);
    }
    lua_pop(lua, 1);
}

/* All arguments, one behind the other. */
static int msgpack_pack(lua_State *lua)
{
    int args = lua_gettop(lua);
    if (args == 0)
        return luaL_argerror(lua, 0, "MessagePack pack needs input.");
    struct script_lib_buf out;
    script_lib_buf_open(&out, lua);
    for (int i = 1; i <= args; i++) {
        luaL_checkstack(lua, 1, "in function mp_check");
        lua_pushvalue(lua, i);
        put_value(&out, 0);
    }
    script_lib_buf_push(&out);
    return 1;
}

/* ---- Decoding ---------------------------------------------------------------------------------
 */

struct input {
    lua_State *lua;
    const uint8_t *at;
    size_t left;
    int depth;
};

static const uint8_t *take(struct input *in, size_t len)
{
    if (in->left < len)
        luaL_error(in->lua, "Missing bytes in input.");
    const uint8_t *taken = in->at;
    in->at += len;
    in->left -= len;
    return taken;
}

static uint64_t take_bits(struct input *in, unsigned width)
{
    const uint8_t *bytes = take(in, width);
    uint64_t bits = 0;
    for (unsigned i = 0; i < width; i++)
        bits = bits << 8 | bytes[i];
    return bits;
}

static void push_string(struct input *in, size_t len)
{
    lua_pushlstring(in->lua, (const char *)take(in, len), len);
}

static void push_float(struct input *in)
{
    union {
        float number;
        uint32_t bits;
    } half = {.bits = (uint32_t)take_bits(in, 4)};
    lua_pushnumber(in->lua, (lua_Number)half.number);
}

static void push_double(struct input *in)
{
    union {
        double number;
        uint64_t bits;
    } whole = {.bits = take_bits(in, 8)};
    lua_pushnumber(in->lua, whole.number);
}

static void push_value(struct input *in);

/* An array or map of `count` elements or pairs: each takes a byte at least. */
static void enter(struct input *in, size_t count)
{
    if (count > in->left || count > INT_MAX)
        luaL_error(in->lua, "Missing bytes in input.");
    if (++in->depth > DECODE_NESTING_MAX)
        luaL_error(in->lua, "Too many nested values in input.");
}

static void push_array(struct input *in, size_t count)
{
    enter(in, count);
    lua_newtable(in->lua);
    for (size_t i = 1; i <= count; i++) {
        push_value(in);
        lua_rawseti(in->lua, -2, (int)i);
    }
    in->depth--;
}

static void push_map(struct input *in, size_t count)
{
    enter(in, count);
    lua_newtable(in->lua);
    for (size_t i = 0; i < count; i++) {
        push_value(in);
        push_value(in);
        lua_settable(in->lua, -3);
    }
    in->depth--;
}

static void push_small(struct input *in, uint8_t kind)
{
    if (kind < FIXMAP)
        lua_pushinteger(in->lua, kind);
    else if (kind >= NEGATIVE_FIXINT)
        lua_pushinteger(in->lua, (int8_t)kind);
    else if (kind < FIXARRAY)
        push_map(in, kind & 15);
    else if (kind < FIXSTR)
        push_array(in, kind & 15);
    else if (kind < NIL)
        push_string(in, kind & 31);
    else
        luaL_error(in->lua, "Bad data format in input.");
}

static void push_value(struct input *in)
{
    lua_State *lua = in->lua;
    luaL_checkstack(lua, 3,
                    "too many return values at once; use unpack_one or unpack_limit instead.");
    uint8_t kind = *take(in, 1);
    switch (kind) {
    case NIL:
        lua_pushnil(lua);
        break;
    case FALSE:
    case TRUE:
        lua_pushboolean(lua, kind == TRUE);
        break;
    case FLOAT_32:
        push_float(in);
        break;
    case FLOAT_64:
        push_double(in);
        break;
    case UINT_8:
    case UINT_16:
    case UINT_32:
        lua_pushnumber(lua, (lua_Number)take_bits(in, 1U << (kind - UINT_8)));
        break;
    case UINT_64: /* beyond 2^63 negative, as scripts know it */
    case INT_64:
        lua_pushnumber(lua, (lua_Number)(int64_t)take_bits(in, 8));
        break;
    case INT_8:
        lua_pushinteger(lua, (int8_t)take_bits(in, 1));
        break;
    case INT_16:
        lua_pushinteger(lua, (int16_t)take_bits(in, 2));
        break;
    case INT_32:
        lua_pushinteger(lua, (int32_t)take_bits(in, 4));
        break;
    case STR_8:
    case STR_16:
    case STR_32:
        push_string(in, take_bits(in, 1U << (kind - STR_8)));
        break;
    case ARRAY_16:
    case ARRAY_32:
        push_array(in, take_bits(in, 2U << (kind - ARRAY_16)));
        break;
    case MAP_16:
    case MAP_32:
        push_map(in, take_bits(in, 2U << (kind - MAP_16)));
        break;
    default:
        push_small(in, kind);
    }
}

/* Decodes at most `limit` values from `offset` on. With `tell_offset` the first result is where the
 * next value begins, or -1 at the end. */
static int unpack(lua_State *lua, lua_Integer limit, lua_Integer offset, bool tell_offset)
{
    size_t len;
    const char *text = luaL_checklstring(lua, 1, &len);
    if (offset < 0 || limit < 0)
        return luaL_error(lua, "Invalid request to unpack with offset of %d and limit of %d.",
                          (int)offset, (int)len);
    if ((size_t)offset > len)
        return luaL_error(lua, "Start offset %d greater than input length %d.", (int)offset,
                          (int)len);
    lua_settop(lua, 1);
    struct input in = {
        .lua = lua, .at = (const uint8_t *)text + offset, .left = len - (size_t)offset};
    int count = 0;
    for (; in.left > 0 && count < limit; count++)
        push_value(&in);
    if (!tell_offset)
        return count;
    luaL_checkstack(lua, 1, "in function mp_unpack_full");
    lua_pushinteger(lua, in.left == 0 ? -1 : (lua_Integer)(len - in.left));
    lua_insert(lua, 2);
    return count + 1;
}

static int msgpack_unpack(lua_State *lua)
{
    return unpack(lua, INT_MAX, 0, false);
}

static int msgpack_unpack_one(lua_State *lua)
{
    return unpack(lua, 1, luaL_optinteger(lua, 2, 0), true);
}

static int msgpack_unpack_limit(lua_State *lua)
{
    lua_Integer limit = luaL_checkinteger(lua, 2);
    lua_Integer offset = luaL_optinteger(lua, 3, 0);
    bool all = limit == 0 && offset == 0;
    return unpack(lua, all ? INT_MAX : limit, offset, !all);
}

int script_lib_msgpack_open(lua_State *lua)
{
    static const luaL_Reg functions[] = {
        {"pack", msgpack_pack},
        {"unpack", msgpack_unpack},
        {"unpack_one", msgpack_unpack_one},
        {"unpack_limit", msgpack_unpack_limit},
        {NULL, NULL},
    };
    lua_newtable(lua);
    luaL_register(lua, NULL, functions);
    lua_pushliteral(lua, "cmsgpack");
    lua_setfield(lua, -2, "_NAME");
    lua_pushliteral(lua, "lua-cmsgpack 0.4.0");
    lua_setfield(lua, -2, "_VERSION");
    lua_pushliteral(lua, "MessagePack C implementation for Lua");
    lua_setfield(lua, -2, "_DESCRIPTION");
    return 1;
}
