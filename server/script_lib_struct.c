/* The library `struct`: values to and from the bytes of C structures, with the formats and errors
 * of the one in Redis 7.2:
 *
 *   > < =endianness   ! alignment   x padding   b B h H l L T i I integers (i, I with a size)
 *   f d floating point   s zero-terminated string   c string of a length (c0: by what came before)
 *
 * Every offset is compared with the data's length before it is used. */
#include "server/script_lib.h"

#include "server/script_lib_buf.h"

#include <ctype.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdbool.h>

#define INTEGER_BYTES_MAX 32
#define ALIGNMENT_DEFAULT 8 /* of "!" without a number */

struct format {
    lua_State *lua;
    const char *at; /* next option */
    bool big_endian;
    size_t alignment;
};

/* The bits that C's conversion gives on the usual processors, also beyond its defined range. */
static uint64_t integer_bits(double number)
{
    const double two_63 = 9223372036854775808.0;
    if (number < 0)
        return number >= -two_63 ? (uint64_t)(int64_t)number : UINT64_C(1) << 63;
    if (number < two_63)
        return (uint64_t)number;
    if (number < 2 * two_63)
        return (uint64_t)(number - two_63) | UINT64_C(1) << 63;
    return number >= two_63 ? 0 : UINT64_C(1) << 63; /* too large; not a number */
}

static void format_init(struct format *format, lua_State *lua)
{
    *format = (struct format){.lua = lua, .at = luaL_checkstring(lua, 1), .alignment = 1};
}

/* The number that may follow an option. */
static int take_number(struct format *format, int absent)
{
    if (!isdigit((unsigned char)*format->at))
        return absent;
    int number = 0;
    do {
        int digit = *format->at++ - '0';
        if (number > (INT_MAX - digit) / 10)
            return luaL_error(format->lua, "integral size overflow");
        number = number * 10 + digit;
    } while (isdigit((unsigned char)*format->at));
    return number;
}

static size_t take_size(struct format *format, char option)
{
    switch (option) {
    case 'b':
    case 'B':
    case 'x':
        return 1;
    case 'h':
    case 'H':
        return sizeof(short);
    case 'l':
    case 'L':
        return sizeof(long);
    case 'T':
        return sizeof(size_t);
    case 'f':
        return sizeof(float);
    case 'd':
        return sizeof(double);
    case 'c':
        return (size_t)take_number(format, 1);
    case 'i':
    case 'I': {
        int size = take_number(format, sizeof(int));
        if (size > INTEGER_BYTES_MAX)
            return (size_t)luaL_error(format->lua, "integral size %d is larger than limit of %d",
                                      size, INTEGER_BYTES_MAX);
        return (size_t)size;
    }
    default:
        return 0;
    }
}

/* Bytes of padding before an element of `size` bytes at `offset`. */
static size_t padding(const struct format *format, char option, size_t offset, size_t size)
{
    if (size == 0 || option == 'c')
        return 0;
    if (size > format->alignment)
        size = format->alignment;
    return (size - (offset & (size - 1))) & (size - 1);
}

/* Options that stand for no data. */
static void take_control(struct format *format, char option)
{
    switch (option) {
    case ' ':
        return;
    case '>':
        format->big_endian = true;
        return;
    case '<':
        format->big_endian = false;
        return;
    case '!': {
        int alignment = take_number(format, ALIGNMENT_DEFAULT);
        if (alignment <= 0 || (alignment & (alignment - 1)) != 0)
            luaL_error(format->lua, "alignment %d is not a power of 2", alignment);
        format->alignment = (size_t)alignment;
        return;
    }
    default:
        luaL_argerror(format->lua, 1,
                      lua_pushfstring(format->lua, "invalid format option '%c'", option));
    }
}

static bool is_integer_option(char option)
{
    return option != '\0' && strchr("bBhHlLTiI", option) != NULL;
}

static void reverse(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len / 2; i++) {
        uint8_t byte = bytes[i];
        bytes[i] = bytes[len - 1 - i];
        bytes[len - 1 - i] = byte;
    }
}

/* ---- pack -------------------------------------------------------------------------------------
 */

static void put_integer(const struct format *format, struct script_lib_buf *out, int arg,
                        size_t size)
{
    uint64_t bits = integer_bits(luaL_checknumber(format->lua, arg));
    uint8_t bytes[INTEGER_BYTES_MAX];
    for (size_t i = 0; i < size; i++, bits >>= 8)
        bytes[i] = (uint8_t)bits;
    if (format->big_endian)
        reverse(bytes, size);
    script_lib_buf_append(out, bytes, size);
}

static void put_float(const struct format *format, struct script_lib_buf *out, int arg, size_t size)
{
    double number = luaL_checknumber(format->lua, arg);
    float half = (float)number;
    uint8_t bytes[sizeof(double)];
    if (size == sizeof(half))
        memcpy(bytes, &half, size);
    else
        memcpy(bytes, &number, size);
    if (format->big_endian)
        reverse(bytes, size);
    script_lib_buf_append(out, bytes, size);
}

static void put_string(const struct format *format, struct script_lib_buf *out, int arg,
                       char option, size_t size)
{
    size_t len;
    const char *text = luaL_checklstring(format->lua, arg, &len);
    if (size == 0)
        size = len;
    luaL_argcheck(format->lua, len >= size, arg + 1, "string too short");
    script_lib_buf_append(out, text, size);
    if (option == 's')
        script_lib_buf_append_byte(out, 0);
}

static int struct_pack(lua_State *lua)
{
    struct format format;
    struct script_lib_buf out;
    format_init(&format, lua);
    int args = lua_gettop(lua);
    script_lib_buf_open(&out, lua);
    int arg = 2;
    while (*format.at != '\0') {
        char option = *format.at++;
        size_t size = take_size(&format, option);
        for (size_t left = padding(&format, option, out.len, size); left > 0; left--)
            script_lib_buf_append_byte(&out, 0);
        bool takes_text = option == 'c' || option == 's';
        bool takes_number = is_integer_option(option) || option == 'f' || option == 'd';
        if ((takes_text || takes_number) && arg > args)
            return luaL_argerror(
                lua, arg, takes_text ? "string expected, got nil" : "number expected, got nil");
        if (takes_text)
            put_string(&format, &out, arg++, option, size);
        else if (option == 'f' || option == 'd')
            put_float(&format, &out, arg++, size);
        else if (takes_number)
            put_integer(&format, &out, arg++, size);
        else if (option == 'x')
            script_lib_buf_append_byte(&out, 0);
        else
            take_control(&format, option);
    }
    script_lib_buf_push(&out);
    return 1;
}

/* ---- unpack -----------------------------------------------------------------------------------
 */

static void push_integer(const struct format *format, const uint8_t *data, char option, size_t size)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < size; i++)
        bits = bits << 8 | data[format->big_endian ? i : size - 1 - i];
    if (!islower((unsigned char)option)) {
        lua_pushnumber(format->lua, (lua_Number)bits);
        return;
    }
    if (size > 0 && size < 8 && (bits >> (size * 8 - 1) & 1) != 0)
        bits |= UINT64_MAX << (size * 8);
    lua_pushnumber(format->lua, (lua_Number)(int64_t)bits);
}

static void push_float(const struct format *format, const uint8_t *data, size_t size)
{
    uint8_t bytes[sizeof(double)];
    float half;
    double number;
    memcpy(bytes, data, size);
    if (format->big_endian)
        reverse(bytes, size);
    if (size == sizeof(half)) {
        memcpy(&half, bytes, size);
        number = half;
    } else {
        memcpy(&number, bytes, size);
    }
    lua_pushnumber(format->lua, number);
}

struct unpacker {
    struct format format;
    const uint8_t *data;
    size_t len;
    size_t offset; /* of the next element */
    int count;     /* results pushed */
};

static void check_room(struct unpacker *u, size_t size)
{
    luaL_argcheck(u->format.lua, size <= u->len && u->offset <= u->len - size, 2,
                  "data string too short");
}

/* A string of `size` bytes, or, if that is 0, of as many as the last result says. Returns its
 * length. */
static size_t push_counted_string(struct unpacker *u, size_t size)
{
    lua_State *lua = u->format.lua;
    if (size == 0) {
        if (u->count == 0 || !lua_isnumber(lua, -1))
            luaL_error(lua, "format 'c0' needs a previous size");
        size = (size_t)integer_bits(lua_tonumber(lua, -1));
        lua_pop(lua, 1);
        u->count--;
        check_room(u, size);
    }
    lua_pushlstring(lua, (const char *)u->data + u->offset, size);
    u->count++;
    return size;
}

/* Returns the length, its zero included. */
static size_t push_terminated_string(struct unpacker *u)
{
    const uint8_t *start = u->data + u->offset;
    const uint8_t *end = memchr(start, 0, u->len - u->offset);
    if (end == NULL)
        return (size_t)luaL_error(u->format.lua, "unfinished string in data");
    lua_pushlstring(u->format.lua, (const char *)start, (size_t)(end - start));
    u->count++;
    return (size_t)(end - start) + 1;
}

static int struct_unpack(lua_State *lua)
{
    struct unpacker u = {.len = 0};
    format_init(&u.format, lua);
    u.data = (const uint8_t *)luaL_checklstring(lua, 2, &u.len);
    lua_Integer from = luaL_optinteger(lua, 3, 1);
    luaL_argcheck(lua, from > 0, 3, "offset must be 1 or greater");
    u.offset = (size_t)from - 1;
    while (*u.format.at != '\0') {
        char option = *u.format.at++;
        size_t size = take_size(&u.format, option);
        u.offset += padding(&u.format, option, u.offset, size);
        check_room(&u, size);
        luaL_checkstack(lua, 2, "too many results");
        if (is_integer_option(option)) {
            push_integer(&u.format, u.data + u.offset, option, size);
            u.count++;
        } else if (option == 'f' || option == 'd') {
            push_float(&u.format, u.data + u.offset, size);
            u.count++;
        } else if (option == 'c') {
            size = push_counted_string(&u, size);
        } else if (option == 's') {
            size = push_terminated_string(&u);
        } else if (option != 'x') {
            take_control(&u.format, option);
        }
        u.offset += size;
    }
    lua_pushinteger(lua, (lua_Integer)u.offset + 1);
    return u.count + 1;
}

static int struct_size(lua_State *lua)
{
    struct format format;
    size_t offset = 0;
    format_init(&format, lua);
    while (*format.at != '\0') {
        char option = *format.at++;
        size_t size = take_size(&format, option);
        offset += padding(&format, option, offset, size);
        if (option == 's')
            return luaL_argerror(lua, 1, "option 's' has no fixed size");
        if (option == 'c' && size == 0)
            return luaL_argerror(lua, 1, "option 'c0' has no fixed size");
        if (!isalnum((unsigned char)option))
            take_control(&format, option);
        offset += size;
    }
    lua_pushinteger(lua, (lua_Integer)offset);
    return 1;
}

int script_lib_struct_open(lua_State *lua)
{
    static const luaL_Reg functions[] = {
        {"pack", struct_pack},
        {"unpack", struct_unpack},
        {"size", struct_size},
        {NULL, NULL},
    };
    lua_newtable(lua);
    luaL_register(lua, NULL, functions);
    return 1;
}
