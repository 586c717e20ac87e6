/* Replies to Lua values, and Lua values to replies, by Redis's rules:
 *
 *   integer         number                 nil bulk, nil array   false (RESP2), nil (RESP3's null)
 *   bulk string     string                 double                {double = number}
 *   simple string   {ok = text}            boolean               boolean
 *   error           {err = text}           big number            {big_number = digits}
 *   array           list                   verbatim string       {verbatim_string = {string,
 * format}} map, set        {map = table}, {set = table of true}
 *
 * Attributes of a reply are skipped. Both directions recurse; what nests too deeply is an error
 * where it does. Replies come from our own commands and are trusted to be whole. */
#include "server/script_lua_internal.h"

#include "codec/check.h"
#include "codec/number.h"
#include "server/reply.h"

#include <math.h>
#include <stdlib.h>

/* Levels of a script's result; Lua's own stack is used up at about as many. */
#define RESULT_DEPTH_MAX 4000
/* Levels of a command's reply: far more than any has. */
#define REPLY_DEPTH_MAX 128

/* ---- Replies to values ------------------------------------------------------------------------
 */

struct reader {
    lua_State *state;
    const uint8_t *at;
    const uint8_t *end;
    int depth;
};

/* The line that begins at `at`, without its end; `at` moves behind it. */
static struct bytes take_line(struct reader *in)
{
    const uint8_t *end = memchr(in->at, '\r', (size_t)(in->end - in->at));
    CHECK(end != NULL && in->end - end >= 2);
    struct bytes line = bytes_make(in->at, (size_t)(end - in->at));
    in->at = end + 2;
    return line;
}

static int64_t take_integer(struct reader *in)
{
    int64_t value = 0;
    CHECK(number_parse_i64(take_line(in), &value));
    return value;
}

static struct bytes take_bulk(struct reader *in, int64_t len)
{
    CHECK(len >= 0 && in->end - in->at >= len + 2);
    struct bytes bulk = bytes_make(in->at, (size_t)len);
    in->at += len + 2;
    return bulk;
}

static void push_text(lua_State *state, struct bytes text)
{
    lua_pushlstring(state, (const char *)text.data, text.len);
}

/* {field = the value on the stack's top}, which is popped. */
static void wrap(lua_State *state, const char *field)
{
    lua_createtable(state, 0, 1);
    lua_insert(state, -2);
    lua_setfield(state, -2, field);
}

static void push_any(struct reader *in);

static void push_array(struct reader *in)
{
    int64_t count = take_integer(in);
    if (count < 0) {
        lua_pushboolean(in->state, 0);
        return;
    }
    lua_createtable(in->state, count < INT32_MAX ? (int)count : 0, 0);
    for (int64_t i = 1; i <= count; i++) {
        push_any(in);
        lua_rawseti(in->state, -2, (int)i);
    }
}

static void push_map(struct reader *in)
{
    int64_t pairs = take_integer(in);
    lua_newtable(in->state);
    for (int64_t i = 0; i < pairs; i++) {
        push_any(in);
        push_any(in);
        if (lua_isnil(in->state, -2))
            lua_pop(in->state, 2); /* no key can be nil */
        else
            lua_rawset(in->state, -3);
    }
    wrap(in->state, "map");
}

static void push_set(struct reader *in)
{
    int64_t count = take_integer(in);
    lua_newtable(in->state);
    for (int64_t i = 0; i < count; i++) {
        push_any(in);
        lua_pushboolean(in->state, 1);
        if (lua_isnil(in->state, -2))
            lua_pop(in->state, 2);
        else
            lua_rawset(in->state, -3);
    }
    wrap(in->state, "set");
}

static void skip_attribute(struct reader *in)
{
    int64_t pairs = take_integer(in);
    for (int64_t i = 0; i < 2 * pairs; i++) {
        push_any(in);
        lua_pop(in->state, 1);
    }
}

static void push_bulk(struct reader *in)
{
    int64_t len = take_integer(in);
    if (len < 0)
        lua_pushboolean(in->state, 0);
    else
        push_text(in->state, take_bulk(in, len));
}

static void push_verbatim(struct reader *in)
{
    struct bytes bulk = take_bulk(in, take_integer(in));
    CHECK(bulk.len >= 4);
    lua_createtable(in->state, 0, 2);
    push_text(in->state, bytes_make(bulk.data + 4, bulk.len - 4));
    lua_setfield(in->state, -2, "string");
    push_text(in->state, bytes_make(bulk.data, 3));
    lua_setfield(in->state, -2, "format");
    wrap(in->state, "verbatim_string");
}

static void push_double(struct reader *in)
{
    struct bytes line = take_line(in);
    char text[64];
    CHECK(line.len < sizeof(text));
    memcpy(text, line.data, line.len);
    text[line.len] = '\0';
    lua_pushnumber(in->state, strtod(text, NULL));
    wrap(in->state, "double");
}

static void push_error(struct reader *in)
{
    script_lua_push_error(in->state, take_line(in));
    lua_pushboolean(in->state, 1); /* the command has counted it */
    lua_setfield(in->state, -2, "ignore_error_stats_update");
}

static void push_any(struct reader *in)
{
    lua_State *state = in->state;
    luaL_checkstack(state, 8, "reply is nested too deeply");
    CHECK(++in->depth <= REPLY_DEPTH_MAX);
    CHECK(in->at < in->end);
    while (*in->at == '|') {
        in->at++;
        skip_attribute(in);
    }
    switch (*in->at++) {
    case ':':
        lua_pushnumber(state, (lua_Number)take_integer(in));
        break;
    case '$':
        push_bulk(in);
        break;
    case '+':
        push_text(state, take_line(in));
        wrap(state, "ok");
        break;
    case '-':
        push_error(in);
        break;
    case '*':
    case '>':
        push_array(in);
        break;
    case '%':
        push_map(in);
        break;
    case '~':
        push_set(in);
        break;
    case '_':
        (void)take_line(in);
        lua_pushnil(state);
        break;
    case '#':
        lua_pushboolean(state, take_line(in).data[0] == 't');
        break;
    case ',':
        push_double(in);
        break;
    case '(':
        push_text(state, take_line(in));
        wrap(state, "big_number");
        break;
    case '=':
        push_verbatim(in);
        break;
    default:
        CHECK_UNREACHED("a reply's type is known");
    }
    in->depth--;
}

void script_lua_push_reply(lua_State *state, struct bytes resp)
{
    struct reader in = {.state = state, .at = resp.data, .end = resp.data + resp.len};
    push_any(&in);
    CHECK(in.at == in.end);
}

/* ---- Errors -----------------------------------------------------------------------------------
 */

/* Pushes a field of the table on the stack's top, without asking metatables. */
static void push_field(lua_State *state, const char *name)
{
    lua_pushstring(state, name);
    lua_rawget(state, -2);
}

/* Appends the field if it is text. */
static bool append_field(lua_State *state, const char *name, struct buf *text)
{
    size_t len;
    push_field(state, name);
    bool is_text = lua_isstring(state, -1) != 0;
    if (is_text) {
        const char *field = lua_tolstring(state, -1, &len);
        buf_append(text, field, len);
    }
    lua_pop(state, 1);
    return is_text;
}

void script_lua_describe_error(lua_State *state, struct buf *text, bool *counted)
{
    *counted = false;
    if (lua_isstring(state, -1)) {
        buf_append_format(text, "ERR %s", lua_tostring(state, -1));
        return;
    }
    if (!lua_istable(state, -1) || !append_field(state, "err", text)) {
        buf_append_text(text, "ERR unknown error");
        return;
    }
    push_field(state, "ignore_error_stats_update");
    *counted = lua_isboolean(state, -1) && lua_toboolean(state, -1);
    lua_pop(state, 1);
}

void script_lua_describe_place(lua_State *state, const char *name, struct buf *text)
{
    size_t before = text->len;
    buf_append_format(text, " script: %s, on ", name);
    bool known = append_field(state, "source", text);
    buf_append_byte(text, ':');
    if (!known || !append_field(state, "line", text))
        text->len = before;
    else
        buf_append_byte(text, '.');
}

/* ---- Values to replies ------------------------------------------------------------------------
 */

struct writer {
    lua_State *state;
    struct reply *reply;
    struct script_lua_result *result;
    struct buf *scratch;
    int depth;
};

static void write_value(struct writer *out);

static void write_error(struct writer *out)
{
    buf_clear(out->scratch);
    script_lua_describe_error(out->state, out->scratch, &out->result->error_counted);
    buf_append_byte(out->scratch, '\0');
    reply_error(out->reply, (const char *)out->scratch->data);
}

/* A line of its own cannot have line ends in it. */
static const char *line_text(struct writer *out)
{
    buf_clear(out->scratch);
    buf_append_text(out->scratch, lua_tostring(out->state, -1));
    for (size_t i = 0; i < out->scratch->len; i++)
        if (out->scratch->data[i] == '\r' || out->scratch->data[i] == '\n')
            out->scratch->data[i] = ' ';
    buf_append_byte(out->scratch, '\0');
    return (const char *)out->scratch->data;
}

/* The fields `string` and `format` of the table on the stack's top. */
static bool write_verbatim(struct writer *out)
{
    lua_State *state = out->state;
    push_field(state, "format");
    lua_insert(state, -2);
    push_field(state, "string");
    lua_insert(state, -2);
    bool valid = lua_type(state, -2) == LUA_TSTRING && lua_type(state, -3) == LUA_TSTRING;
    if (valid) {
        size_t len;
        size_t format_len;
        const char *text = lua_tolstring(state, -2, &len);
        const char *format = lua_tolstring(state, -3, &format_len);
        char extension[3] = {' ', ' ', ' '};
        memcpy(extension, format, format_len < 3 ? format_len : 3);
        reply_verbatim(out->reply, bytes_make(text, len), extension);
    }
    lua_remove(state, -2);
    lua_remove(state, -2);
    return valid;
}

static void write_map(struct writer *out)
{
    uint64_t pairs = 0;
    struct reply_deferred deferred = reply_deferred_begin(out->reply);
    lua_pushnil(out->state);
    while (lua_next(out->state, -2) != 0) {
        lua_pushvalue(out->state, -2);
        write_value(out);
        write_value(out);
        pairs++;
    }
    reply_deferred_map(out->reply, &deferred, pairs);
}

static void write_set(struct writer *out)
{
    uint64_t count = 0;
    struct reply_deferred deferred = reply_deferred_begin(out->reply);
    lua_pushnil(out->state);
    while (lua_next(out->state, -2) != 0) {
        lua_pop(out->state, 1);
        lua_pushvalue(out->state, -1);
        write_value(out);
        count++;
    }
    reply_deferred_set(out->reply, &deferred, count);
}

static void write_array(struct writer *out)
{
    struct reply_deferred deferred = reply_deferred_begin(out->reply);
    uint64_t count = 0;
    for (;;) {
        lua_rawgeti(out->state, -1, (int)count + 1);
        if (lua_isnil(out->state, -1) || count == INT32_MAX - 1)
            break;
        write_value(out);
        count++;
    }
    lua_pop(out->state, 1);
    reply_deferred_array(out->reply, &deferred, count);
}

enum special { ERR, OK, DOUBLE, BIG_NUMBER, VERBATIM, MAP, SET };

static const struct {
    const char *field;
    int type; /* of the field */
} specials[] = {
    [ERR] = {"err", LUA_TSTRING},
    [OK] = {"ok", LUA_TSTRING},
    [DOUBLE] = {"double", LUA_TNUMBER},
    [BIG_NUMBER] = {"big_number", LUA_TSTRING},
    [VERBATIM] = {"verbatim_string", LUA_TTABLE},
    [MAP] = {"map", LUA_TTABLE},
    [SET] = {"set", LUA_TTABLE},
};

/* The field's value is on the stack's top, its table below. */
static bool write_special(struct writer *out, enum special special)
{
    switch (special) {
    case ERR:
        lua_pushvalue(out->state, -2);
        write_error(out);
        lua_pop(out->state, 1);
        break;
    case OK:
        reply_simple(out->reply, line_text(out));
        break;
    case DOUBLE:
        reply_double(out->reply, lua_tonumber(out->state, -1));
        break;
    case BIG_NUMBER:
        reply_big_number(out->reply, line_text(out));
        break;
    case VERBATIM:
        return write_verbatim(out);
    case MAP:
        write_map(out);
        break;
    case SET:
        write_set(out);
        break;
    }
    return true;
}

static void write_table(struct writer *out)
{
    for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++) {
        push_field(out->state, specials[i].field);
        bool done =
            lua_type(out->state, -1) == specials[i].type && write_special(out, (enum special)i);
        lua_pop(out->state, 1);
        if (done)
            return;
    }
    write_array(out);
}

/* What C's conversion gives on the usual processors, also beyond its defined range. */
static int64_t integer_of(double number)
{
    const double two_63 = 9223372036854775808.0;
    return number >= -two_63 && number < two_63 ? (int64_t)number : INT64_MIN;
}

/* Replies and pops the value on the stack's top. */
static void write_value(struct writer *out)
{
    lua_State *state = out->state;
    if (out->depth == RESULT_DEPTH_MAX || !lua_checkstack(state, 8)) {
        reply_error(out->reply, "ERR reached lua stack limit");
        lua_pop(state, 1);
        return;
    }
    out->depth++;
    switch (lua_type(state, -1)) {
    case LUA_TSTRING: {
        size_t len;
        const char *text = lua_tolstring(state, -1, &len);
        reply_bulk(out->reply, bytes_make(text, len));
        break;
    }
    case LUA_TBOOLEAN:
        if (script_lua_of(state)->resp == 3)
            reply_bool(out->reply, lua_toboolean(state, -1) != 0);
        else if (lua_toboolean(state, -1))
            reply_integer(out->reply, 1);
        else
            reply_null(out->reply);
        break;
    case LUA_TNUMBER:
        reply_integer(out->reply, integer_of(lua_tonumber(state, -1)));
        break;
    case LUA_TTABLE:
        write_table(out);
        break;
    default:
        reply_null(out->reply);
    }
    out->depth--;
    lua_pop(state, 1);
}

void script_lua_reply(lua_State *state, struct reply *reply, struct script_lua_result *result)
{
    struct writer out = {.state = state,
                         .reply = reply,
                         .result = result,
                         .scratch = &script_lua_of(state)->scratch};
    write_value(&out);
}
