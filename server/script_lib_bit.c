/* The library `bit`: operations on 32-bit integers. Numbers are taken modulo 2^32 and results are
 * signed, as in Lua BitOp 1.0.2, whose semantics Redis documents. */
#include "server/script_lib.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>

/* Added to a number of up to 51 bits it leaves that number, rounded to an integer, in the lowest
 * bits of the double: 2^52 + 2^51. */
#define ROUNDING 6755399441055744.0

static uint32_t check_bits(lua_State *lua, int index)
{
    union {
        double number;
        uint64_t bits;
    } cast = {.number = luaL_checknumber(lua, index) + ROUNDING};
    return (uint32_t)cast.bits;
}

static int push_bits(lua_State *lua, uint32_t bits)
{
    lua_pushnumber(lua, (lua_Number)(int32_t)bits);
    return 1;
}

static int bit_tobit(lua_State *lua)
{
    return push_bits(lua, check_bits(lua, 1));
}

static int bit_bnot(lua_State *lua)
{
    return push_bits(lua, ~check_bits(lua, 1));
}

static int bit_band(lua_State *lua)
{
    uint32_t bits = check_bits(lua, 1);
    for (int i = lua_gettop(lua); i > 1; i--)
        bits &= check_bits(lua, i);
    return push_bits(lua, bits);
}

static int bit_bor(lua_State *lua)
{
    uint32_t bits = check_bits(lua, 1);
    for (int i = lua_gettop(lua); i > 1; i--)
        bits |= check_bits(lua, i);
    return push_bits(lua, bits);
}

static int bit_bxor(lua_State *lua)
{
    uint32_t bits = check_bits(lua, 1);
    for (int i = lua_gettop(lua); i > 1; i--)
        bits ^= check_bits(lua, i);
    return push_bits(lua, bits);
}

static uint32_t rotate_left(uint32_t bits, uint32_t by)
{
    return by == 0 ? bits : bits << by | bits >> (32 - by);
}

static int bit_lshift(lua_State *lua)
{
    uint32_t bits = check_bits(lua, 1);
    return push_bits(lua, bits << (check_bits(lua, 2) & 31));
}

static int bit_rshift(lua_State *lua)
{
    uint32_t bits = check_bits(lua, 1);
    return push_bits(lua, bits >> (check_bits(lua, 2) & 31));
}

static int bit_arshift(lua_State *lua)
{
    uint32_t bits = check_bits(lua, 1);
    uint32_t by = check_bits(lua, 2) & 31;
    uint32_t sign = (bits & UINT32_C(0x80000000)) != 0 && by != 0 ? UINT32_MAX << (32 - by) : 0;
    return push_bits(lua, bits >> by | sign);
}

static int bit_rol(lua_State *lua)
{
    uint32_t bits = check_bits(lua, 1);
    return push_bits(lua, rotate_left(bits, check_bits(lua, 2) & 31));
}

static int bit_ror(lua_State *lua)
{
    uint32_t bits = check_bits(lua, 1);
    return push_bits(lua, rotate_left(bits, -check_bits(lua, 2) & 31));
}

static int bit_bswap(lua_State *lua)
{
    return push_bits(lua, __builtin_bswap32(check_bits(lua, 1)));
}

/* The lowest digits in hexadecimal: eight, or as many as asked for, in capitals if negative. */
static int bit_tohex(lua_State *lua)
{
    uint32_t bits = check_bits(lua, 1);
    int64_t count = lua_isnone(lua, 2) ? 8 : (int32_t)check_bits(lua, 2);
    const char *digits = count < 0 ? "0123456789ABCDEF" : "0123456789abcdef";
    if (count < 0)
        count = -count;
    if (count > 8)
        count = 8;
    char text[8];
    for (int64_t i = count - 1; i >= 0; i--, bits >>= 4)
        text[i] = digits[bits & 15];
    lua_pushlstring(lua, text, (size_t)count);
    return 1;
}

int script_lib_bit_open(lua_State *lua)
{
    static const luaL_Reg functions[] = {
        {"tobit", bit_tobit},   {"bnot", bit_bnot},       {"band", bit_band},
        {"bor", bit_bor},       {"bxor", bit_bxor},       {"lshift", bit_lshift},
        {"rshift", bit_rshift}, {"arshift", bit_arshift}, {"rol", bit_rol},
        {"ror", bit_ror},       {"bswap", bit_bswap},     {"tohex", bit_tohex},
        {NULL, NULL},
    };
    lua_newtable(lua);
    luaL_register(lua, NULL, functions);
    return 1;
}
