/* The library `cjson`: values to and from JSON, with the interface, defaults, texts and errors of
 * lua-cjson 2.1 as Redis 7.2 configures it (1000 levels of nesting, sparse arrays are an error,
 * "inf" and "nan" are read and not written, 14 digits).
 *
 * Why not the package: it ends the process when memory runs out, keeps its buffers outside the Lua
 * state, and overflows on very long strings. Here everything lies in the state.
 *
 * Text is decoded as bytes: UTF-8 is not validated, and a zero byte ends the input. */
#include "server/script_lib.h"

#include "server/script_lib_buf.h"

#include <lauxlib.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define DEPTH_DEFAULT     1000
#define DEPTH_MAX         4000 /* bounds the C stack whatever a script sets */
#define PRECISION_MAX     14
#define NUMBER_CHARS_MAX  32
#define ESCAPED_CHARS_MAX 6

enum invalid_numbers { INVALID_OFF, INVALID_ON, INVALID_NULL };

/* The upvalue of all functions of one library table. */
struct json_config {
    int sparse_convert;
    int sparse_ratio;
    int sparse_safe;
    int encode_depth;
    int decode_depth;
    int encode_invalid; /* enum invalid_numbers */
    int decode_invalid;
    int precision;
    int keep_buffer; /* kept for those who set it; the buffer lies in the Lua state either way */
};

static struct json_config *config_of(lua_State *lua)
{
    return lua_touserdata(lua, lua_upvalueindex(1));
}

/* ---- Settings ---------------------------------------------------------------------------------
 */

static struct json_config *check_args(lua_State *lua, int max)
{
    luaL_argcheck(lua, lua_gettop(lua) <= max, max + 1, "found too many arguments");
    lua_settop(lua, max);
    return config_of(lua);
}

static int integer_setting(lua_State *lua, int arg, int *setting, int min, int max)
{
    if (!lua_isnil(lua, arg)) {
        lua_Integer value = luaL_checkinteger(lua, arg);
        if (value < min || value > max)
            return luaL_argerror(
                lua, 1, lua_pushfstring(lua, "expected integer between %d and %d", min, max));
        *setting = (int)value;
    }
    lua_pushinteger(lua, *setting);
    return 1;
}

/* Off and on, by word or as a boolean, and with `words` more. */
static int word_setting(lua_State *lua, int arg, int *setting, const char *const *words)
{
    if (lua_isboolean(lua, arg))
        *setting = lua_toboolean(lua, arg);
    else if (!lua_isnil(lua, arg))
        *setting = luaL_checkoption(lua, arg, NULL, words);
    if (*setting <= 1)
        lua_pushboolean(lua, *setting);
    else
        lua_pushstring(lua, words[*setting]);
    return 1;
}

static const char *const off_on[] = {"off", "on", NULL};
static const char *const off_on_null[] = {"off", "on", "null", NULL};

static int json_encode_sparse_array(lua_State *lua)
{
    struct json_config *config = check_args(lua, 3);
    word_setting(lua, 1, &config->sparse_convert, off_on);
    integer_setting(lua, 2, &config->sparse_ratio, 0, INT_MAX);
    integer_setting(lua, 3, &config->sparse_safe, 0, INT_MAX);
    return 3;
}

static int json_encode_max_depth(lua_State *lua)
{
    return integer_setting(lua, 1, &check_args(lua, 1)->encode_depth, 1, INT_MAX);
}

static int json_decode_max_depth(lua_State *lua)
{
    return integer_setting(lua, 1, &check_args(lua, 1)->decode_depth, 1, INT_MAX);
}

static int json_encode_number_precision(lua_State *lua)
{
    return integer_setting(lua, 1, &check_args(lua, 1)->precision, 1, PRECISION_MAX);
}

static int json_encode_keep_buffer(lua_State *lua)
{
    return word_setting(lua, 1, &check_args(lua, 1)->keep_buffer, off_on);
}

static int json_encode_invalid_numbers(lua_State *lua)
{
    return word_setting(lua, 1, &check_args(lua, 1)->encode_invalid, off_on_null);
}

static int json_decode_invalid_numbers(lua_State *lua)
{
    return word_setting(lua, 1, &check_args(lua, 1)->decode_invalid, off_on);
}

/* ---- Encoding ---------------------------------------------------------------------------------
 */

struct encoder {
    lua_State *lua;
    const struct json_config *config;
    struct script_lib_buf out;
    int depth;
};

static void refuse(struct encoder *e, int index, const char *reason)
{
    luaL_error(e->lua, "Cannot serialise %s: %s", luaL_typename(e->lua, index), reason);
}

static void put_text(struct encoder *e, const char *text)
{
    script_lib_buf_append(&e->out, text, strlen(text));
}

/* Writes at most ESCAPED_CHARS_MAX characters. */
static size_t write_escaped(uint8_t byte, uint8_t *place)
{
    static const char digits[] = "0123456789abcdef";
    static const char plain[] = "\"\\/\b\t\n\f\r";
    static const char letters[] = "\"\\/btnfr";
    const char *found = byte == 0 ? NULL : strchr(plain, byte);
    if (found != NULL) {
        place[0] = '\\';
        place[1] = (uint8_t)letters[found - plain];
        return 2;
    }
    if (byte >= 0x20 && byte != 0x7f) {
        place[0] = byte;
        return 1;
    }
    memcpy(place, "\\u00", 4);
    place[4] = (uint8_t)digits[byte >> 4];
    place[5] = (uint8_t)digits[byte & 15];
    return 6;
}

static void put_string(struct encoder *e, int index)
{
    size_t len;
    const char *text = lua_tolstring(e->lua, index, &len);
    script_lib_buf_append_byte(&e->out, '"');
    for (size_t i = 0; i < len; i++) {
        uint8_t *place = script_lib_buf_reserve(&e->out, ESCAPED_CHARS_MAX);
        e->out.len += write_escaped((uint8_t)text[i], place);
    }
    script_lib_buf_append_byte(&e->out, '"');
}

static void put_number(struct encoder *e, int index)
{
    double number = lua_tonumber(e->lua, index);
    bool invalid = isinf(number) || isnan(number);
    if (invalid && e->config->encode_invalid == INVALID_OFF)
        refuse(e, index, "must not be NaN or Inf");
    if (invalid && e->config->encode_invalid == INVALID_NULL) {
        put_text(e, "null");
    } else if (isnan(number)) {
        put_text(e, "nan");
    } else {
        uint8_t *place = script_lib_buf_reserve(&e->out, NUMBER_CHARS_MAX);
        e->out.len +=
            (size_t)snprintf((char *)place, NUMBER_CHARS_MAX, "%.*g", e->config->precision, number);
    }
}

/* The largest key of the table on the stack's top if it is to be an array, or -1. */
static int array_length(struct encoder *e)
{
    lua_State *lua = e->lua;
    double max = 0;
    double count = 0;
    lua_pushnil(lua);
    while (lua_next(lua, -2) != 0) {
        lua_pop(lua, 1);
        double key = lua_type(lua, -1) == LUA_TNUMBER ? lua_tonumber(lua, -1) : 0;
        if (!(key >= 1 && key <= INT_MAX && key == floor(key))) {
            lua_pop(lua, 1);
            return -1;
        }
        if (key > max)
            max = key;
        count++;
    }
    const struct json_config *config = e->config;
    if (config->sparse_ratio > 0 && max > count * config->sparse_ratio &&
        max > config->sparse_safe) {
        if (!config->sparse_convert)
            refuse(e, -1, "excessively sparse array");
        return -1;
    }
    return (int)max;
}

static void put_value(struct encoder *e);

static void put_array(struct encoder *e, int len)
{
    script_lib_buf_append_byte(&e->out, '[');
    for (int i = 1; i <= len; i++) {
        if (i > 1)
            script_lib_buf_append_byte(&e->out, ',');
        lua_rawgeti(e->lua, -1, i);
        put_value(e);
        lua_pop(e->lua, 1);
    }
    script_lib_buf_append_byte(&e->out, ']');
}

static void put_object(struct encoder *e)
{
    lua_State *lua = e->lua;
    bool first = true;
    script_lib_buf_append_byte(&e->out, '{');
    lua_pushnil(lua);
    while (lua_next(lua, -2) != 0) {
        if (!first)
            script_lib_buf_append_byte(&e->out, ',');
        first = false;
        int type = lua_type(lua, -2);
        if (type == LUA_TNUMBER) {
            script_lib_buf_append_byte(&e->out, '"');
            put_number(e, -2);
            script_lib_buf_append_byte(&e->out, '"');
        } else if (type == LUA_TSTRING) {
            put_string(e, -2);
        } else {
            refuse(e, -2, "table key must be a number or string");
        }
        script_lib_buf_append_byte(&e->out, ':');
        put_value(e);
        lua_pop(lua, 1);
    }
    script_lib_buf_append_byte(&e->out, '}');
}

static void put_table(struct encoder *e)
{
    e->depth++;
    if (e->depth > e->config->encode_depth || e->depth > DEPTH_MAX || !lua_checkstack(e->lua, 4))
        luaL_error(e->lua, "Cannot serialise, excessive nesting (%d)", e->depth);
    int len = array_length(e);
    if (len > 0)
        put_array(e, len);
    else
        put_object(e);
    e->depth--;
}

/* Encodes the value on the stack's top and leaves it there. */
static void put_value(struct encoder *e)
{
    lua_State *lua = e->lua;
    switch (lua_type(lua, -1)) {
    case LUA_TSTRING:
        put_string(e, -1);
        break;
    case LUA_TNUMBER:
        put_number(e, -1);
        break;
    case LUA_TBOOLEAN:
        put_text(e, lua_toboolean(lua, -1) ? "true" : "false");
        break;
    case LUA_TTABLE:
        put_table(e);
        break;
    case LUA_TNIL:
        put_text(e, "null");
        break;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(lua, -1) != NULL)
            refuse(e, -1, "type not supported");
        put_text(e, "null");
        break;
    default:
        refuse(e, -1, "type not supported");
    }
}

static int json_encode(lua_State *lua)
{
    luaL_argcheck(lua, lua_gettop(lua) == 1, 1, "expected 1 argument");
    struct encoder e = {.lua = lua, .config = config_of(lua)};
    script_lib_buf_open(&e.out, lua);
    lua_pushvalue(lua, 1);
    put_value(&e);
    script_lib_buf_push(&e.out);
    return 1;
}

/* ---- Decoding ---------------------------------------------------------------------------------
 */

enum token {
    TOKEN_OBJECT,
    TOKEN_OBJECT_END,
    TOKEN_ARRAY,
    TOKEN_ARRAY_END,
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_BOOLEAN,
    TOKEN_NULL,
    TOKEN_COLON,
    TOKEN_COMMA,
    TOKEN_END,
    TOKEN_ERROR,
};

/* Error messages name them so. */
static const char *const token_names[] = {
    [TOKEN_OBJECT] = "T_OBJ_BEGIN", [TOKEN_OBJECT_END] = "T_OBJ_END",
    [TOKEN_ARRAY] = "T_ARR_BEGIN",  [TOKEN_ARRAY_END] = "T_ARR_END",
    [TOKEN_STRING] = "T_STRING",    [TOKEN_NUMBER] = "T_NUMBER",
    [TOKEN_BOOLEAN] = "T_BOOLEAN",  [TOKEN_NULL] = "T_NULL",
    [TOKEN_COLON] = "T_COLON",      [TOKEN_COMMA] = "T_COMMA",
    [TOKEN_END] = "T_END",
};

struct decoder {
    lua_State *lua;
    const struct json_config *config;
    const char *text; /* ends with a zero byte */
    const char *at;
    struct script_lib_buf string; /* of a TOKEN_STRING */
    /* the token */
    enum token token;
    size_t token_at;
    const char *error; /* of a TOKEN_ERROR */
    double number;
    bool boolean;
    int depth;
};

static void set_error(struct decoder *d, const char *error)
{
    d->token = TOKEN_ERROR;
    d->token_at = (size_t)(d->at - d->text);
    d->error = error;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Four hexadecimal digits, or -1. */
static int32_t read_code_unit(const char *digits)
{
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(digits[i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static void append_utf8(struct script_lib_buf *out, uint32_t point)
{
    uint8_t *place = script_lib_buf_reserve(out, 4);
    size_t len = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        place[i] = (uint8_t)(0x80 | (point & 0x3f));
    place[0] = (uint8_t)(heads[len] | point);
    out->len += len;
}

/* `at` is at the backslash of "\uXXXX", of which two may make a surrogate pair. */
static bool take_unicode_escape(struct decoder *d)
{
    int32_t unit = read_code_unit(d->at + 2);
    if (unit < 0)
        return false;
    uint32_t point = (uint32_t)unit;
    d->at += 6;
    if ((unit & 0xf800) == 0xd800) {
        if ((unit & 0x400) != 0 || d->at[0] != '\\' || d->at[1] != 'u')
            return false;
        int32_t low = read_code_unit(d->at + 2);
        if (low < 0 || (low & 0xfc00) != 0xdc00)
            return false;
        point = ((uint32_t)(unit & 0x3ff) << 10 | (uint32_t)(low & 0x3ff)) + 0x10000;
        d->at += 6;
    }
    append_utf8(&d->string, point);
    return true;
}

/* False: the token is an error. */
static bool take_escape(struct decoder *d)
{
    static const char letters[] = "\"\\/btnfr";
    static const char plain[] = "\"\\/\b\t\n\f\r";
    const char *start = d->at;
    if (d->at[1] == 'u') {
        if (take_unicode_escape(d))
            return true;
        d->at = start;
        set_error(d, "invalid unicode escape code");
        return false;
    }
    const char *found = d->at[1] == '\0' ? NULL : strchr(letters, d->at[1]);
    if (found == NULL) {
        set_error(d, "invalid escape code");
        return false;
    }
    script_lib_buf_append_byte(&d->string, (uint8_t)plain[found - letters]);
    d->at += 2;
    return true;
}

static void take_string(struct decoder *d)
{
    d->at++;
    d->string.len = 0;
    for (;;) {
        size_t len = strcspn(d->at, "\"\\");
        script_lib_buf_append(&d->string, d->at, len);
        d->at += len;
        if (*d->at == '"')
            break;
        if (*d->at == '\0') {
            set_error(d, "unexpected end of string");
            return;
        }
        if (!take_escape(d))
            return;
    }
    d->at++;
    d->token = TOKEN_STRING;
}

/* What strtod() takes and JSON does not. */
static bool is_invalid_number(const char *at)
{
    if (*at == '+')
        return true;
    if (*at == '-')
        at++;
    if (*at == '0')
        return (at[1] | 0x20) == 'x' || (at[1] >= '0' && at[1] <= '9');
    if (*at <= '9')
        return false;
    return strncasecmp(at, "inf", 3) == 0 || strncasecmp(at, "nan", 3) == 0;
}

static void take_number(struct decoder *d)
{
    char *end;
    d->number = strtod(d->at, &end);
    d->token = TOKEN_NUMBER;
    if (end == d->at)
        set_error(d, "invalid number");
    else
        d->at = end;
}

static bool take_word(struct decoder *d, const char *word, enum token token)
{
    size_t len = strlen(word);
    if (strncmp(d->at, word, len) != 0)
        return false;
    d->at += len;
    d->token = token;
    d->boolean = word[0] == 't';
    return true;
}

static void next_token(struct decoder *d)
{
    static const char marks[] = "{}[]:,";
    static const enum token mark_tokens[] = {TOKEN_OBJECT,    TOKEN_OBJECT_END, TOKEN_ARRAY,
                                             TOKEN_ARRAY_END, TOKEN_COLON,      TOKEN_COMMA};
    d->at += strspn(d->at, " \t\n\r");
    d->token_at = (size_t)(d->at - d->text);
    char first = *d->at;
    const char *mark = first == '\0' ? NULL : strchr(marks, first);
    if (first == '\0') {
        d->token = TOKEN_END;
    } else if (mark != NULL) {
        d->at++;
        d->token = mark_tokens[mark - marks];
    } else if (first == '"') {
        take_string(d);
    } else if (first == '-' || (first >= '0' && first <= '9')) {
        if (!d->config->decode_invalid && is_invalid_number(d->at))
            set_error(d, "invalid number");
        else
            take_number(d);
    } else if (!take_word(d, "true", TOKEN_BOOLEAN) && !take_word(d, "false", TOKEN_BOOLEAN) &&
               !take_word(d, "null", TOKEN_NULL)) {
        if (d->config->decode_invalid && is_invalid_number(d->at))
            take_number(d);
        else
            set_error(d, "invalid token");
    }
}

static void refuse_token(struct decoder *d, const char *expected)
{
    luaL_error(d->lua, "Expected %s but found %s at character %d", expected,
               d->token == TOKEN_ERROR ? d->error : token_names[d->token], (int)d->token_at + 1);
}

static void enter(struct decoder *d)
{
    d->depth++;
    if (d->depth > d->config->decode_depth || d->depth > DEPTH_MAX || !lua_checkstack(d->lua, 4))
        luaL_error(d->lua, "Found too many nested data structures (%d) at character %d", d->depth,
                   (int)(d->at - d->text));
    lua_newtable(d->lua);
    next_token(d);
}

static void push_value(struct decoder *d);

static void push_string(struct decoder *d)
{
    script_lib_buf_push(&d->string);
}

static void push_object(struct decoder *d)
{
    enter(d);
    while (d->token != TOKEN_OBJECT_END) {
        if (d->token != TOKEN_STRING)
            refuse_token(d, "object key string");
        push_string(d);
        next_token(d);
        if (d->token != TOKEN_COLON)
            refuse_token(d, "colon");
        next_token(d);
        push_value(d);
        lua_rawset(d->lua, -3);
        next_token(d);
        if (d->token == TOKEN_OBJECT_END)
            break;
        if (d->token != TOKEN_COMMA)
            refuse_token(d, "comma or object end");
        next_token(d);
        if (d->token == TOKEN_OBJECT_END)
            refuse_token(d, "object key string");
    }
    d->depth--;
}

static void push_array(struct decoder *d)
{
    enter(d);
    for (int i = 1; d->token != TOKEN_ARRAY_END; i++) {
        push_value(d);
        lua_rawseti(d->lua, -2, i);
        next_token(d);
        if (d->token == TOKEN_ARRAY_END)
            break;
        if (d->token != TOKEN_COMMA)
            refuse_token(d, "comma or array end");
        next_token(d);
        if (d->token == TOKEN_ARRAY_END)
            refuse_token(d, "value");
    }
    d->depth--;
}

/* Decodes the value that begins with the present token. */
static void push_value(struct decoder *d)
{
    lua_State *lua = d->lua;
    if (d->token == TOKEN_STRING)
        push_string(d);
    else if (d->token == TOKEN_NUMBER)
        lua_pushnumber(lua, d->number);
    else if (d->token == TOKEN_BOOLEAN)
        lua_pushboolean(lua, d->boolean);
    else if (d->token == TOKEN_NULL)
        lua_pushlightuserdata(lua, NULL); /* nil would delete the key; cjson.null */
    else if (d->token == TOKEN_OBJECT)
        push_object(d);
    else if (d->token == TOKEN_ARRAY)
        push_array(d);
    else
        refuse_token(d, "value");
}

static int json_decode(lua_State *lua)
{
    luaL_argcheck(lua, lua_gettop(lua) == 1, 1, "expected 1 argument");
    size_t len;
    struct decoder d = {.lua = lua, .config = config_of(lua)};
    d.text = luaL_checklstring(lua, 1, &len);
    if (len > INT_MAX)
        return luaL_error(lua, "JSON text is too long");
    d.at = d.text;
    if (len >= 2 && (d.text[0] == '\0' || d.text[1] == '\0'))
        return luaL_error(lua, "JSON parser does not support UTF-16 or UTF-32");
    script_lib_buf_open(&d.string, lua);
    next_token(&d);
    push_value(&d);
    next_token(&d);
    if (d.token != TOKEN_END)
        refuse_token(&d, "the end");
    return 1;
}

/* ---- The table --------------------------------------------------------------------------------
 */

int script_lib_json_open(lua_State *lua)
{
    static const luaL_Reg functions[] = {
        {"encode", json_encode},
        {"decode", json_decode},
        {"encode_sparse_array", json_encode_sparse_array},
        {"encode_max_depth", json_encode_max_depth},
        {"decode_max_depth", json_decode_max_depth},
        {"encode_number_precision", json_encode_number_precision},
        {"encode_keep_buffer", json_encode_keep_buffer},
        {"encode_invalid_numbers", json_encode_invalid_numbers},
        {"decode_invalid_numbers", json_decode_invalid_numbers},
        {"new", script_lib_json_open},
        {NULL, NULL},
    };
    lua_settop(lua, 0);
    lua_newtable(lua);
    struct json_config *config = lua_newuserdata(lua, sizeof(*config));
    *config = (struct json_config){
        .sparse_ratio = 2,
        .sparse_safe = 10,
        .encode_depth = DEPTH_DEFAULT,
        .decode_depth = DEPTH_DEFAULT,
        .decode_invalid = INVALID_ON,
        .precision = PRECISION_MAX,
        .keep_buffer = 1,
    };
    for (const luaL_Reg *function = functions; function->name != NULL; function++) {
        lua_pushvalue(lua, 2);
        lua_pushcclosure(lua, function->func, 1);
        lua_setfield(lua, 1, function->name);
    }
    lua_pushlightuserdata(lua, NULL);
    lua_setfield(lua, 1, "null");
    lua_pushliteral(lua, "cjson");
    lua_setfield(lua, 1, "_NAME");
    lua_pushliteral(lua, "2.1.0");
    lua_setfield(lua, 1, "_VERSION");
    lua_settop(lua, 1);
    return 1;
}
