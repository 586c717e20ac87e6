/* Pattern matching for scripts: string.find, match, gmatch and gsub as in Lua 5.1.
 *
 * The standard ones recurse in C, and nothing ends a match that has begun: a pattern of thirty
 * bytes on a text of a few kilobytes can take longer than anybody waits, and SCRIPT KILL is heeded
 * between instructions only. Here a match asks now and then whether the script is to go on.
 *
 * What may have to be tried otherwise is a *choice* on a stack. Patterns have no loops but over
 * single characters, so each place in a pattern has at most one choice at a time, and the stack has
 * room for as many as the pattern has bytes. Undoing captures is a choice, too, which always fails
 * on. Nothing here needs to be freed: errors of Lua may be thrown anywhere. Source: section 5.4.1
 * of the manual of Lua 5.1, and the error texts of its lstrlib.c. */
#include "server/script_lua_pattern.h"

#include "server/script_lib_buf.h"
#include "server/script_lua_internal.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#define CAPTURES_MAX     32 /* as in Lua */
#define LEN_OPEN         ((ptrdiff_t)-1)
#define LEN_POSITION     ((ptrdiff_t)-2)
#define CHOICES_FEW      32
#define STEPS_EACH_CHECK 100000
#define REP_BYTES_MAX    ((size_t)512 << 20)
#define SPECIALS         "^$*+?.([%-"

enum choice_kind {
    CHOICE_SHORTER, /* `*`, `+`, `?`: the repetition that ends at `at` may end earlier */
    CHOICE_LONGER,  /* `-`: the repetition that ends at `at` may go on */
    CHOICE_OPENED,  /* a capture was opened */
    CHOICE_CLOSED,  /* capture `capture` was closed */
};

struct choice {
    enum choice_kind kind;
    int capture;
    const char *item; /* the single-character item, up to `item_end` */
    const char *item_end;
    const char *least; /* a repetition must not end before that */
    const char *at;
};

struct matcher {
    lua_State *state;
    const char *text;
    const char *text_end;
    const char *pattern; /* behind `^` */
    const char *pattern_end;
    bool anchored;
    unsigned steps;
    int level; /* captures, closed or open */
    struct {
        const char *from;
        ptrdiff_t len;
    } captures[CAPTURES_MAX];
    size_t choice_count;
    struct choice *choices;
    struct choice few[CHOICES_FEW];
};

/* Takes one slot of the stack. A pattern ends at its first zero byte. */
static void open_matcher(struct matcher *m, lua_State *state, struct bytes text,
                         struct bytes pattern, bool may_anchor)
{
    size_t len = strnlen((const char *)pattern.data, pattern.len);
    m->state = state;
    m->text = (const char *)text.data;
    m->text_end = m->text + text.len;
    m->pattern = (const char *)pattern.data;
    m->pattern_end = m->pattern + len;
    m->anchored = may_anchor && len > 0 && m->pattern[0] == '^';
    m->pattern += m->anchored;
    m->steps = 0;
    m->choices = m->few;
    if (len > CHOICES_FEW)
        m->choices = lua_newuserdata(state, len * sizeof(struct choice));
    else
        lua_pushnil(state);
}

static void take_steps(struct matcher *m, size_t count)
{
    m->steps += (unsigned)(count < STEPS_EACH_CHECK ? count : STEPS_EACH_CHECK);
    if (m->steps < STEPS_EACH_CHECK)
        return;
    m->steps = 0;
    script_lua_check_verdict(m->state);
}

/* ---- Single characters. */

static bool is_end(const struct matcher *m, const char *at)
{
    return at >= m->pattern_end;
}

/* Where the item that begins at `at` ends. */
static const char *find_item_end(const struct matcher *m, const char *at)
{
    char first = *at++;
    if (first == '%') {
        if (is_end(m, at))
            luaL_error(m->state, "malformed pattern (ends with '%%')");
        return at + 1;
    }
    if (first != '[')
        return at;
    if (!is_end(m, at) && *at == '^')
        at++;
    /* A bracket right at the beginning belongs to the set. */
    for (bool begins = true; begins || *at != ']'; begins = false) {
        if (!is_end(m, at) && *at++ == '%')
            at++;
        if (is_end(m, at))
            luaL_error(m->state, "malformed pattern (missing ']')");
    }
    return at + 1;
}

static bool is_of_class(unsigned char c, unsigned char class)
{
    bool is;
    switch (tolower(class)) {
    case 'a':
        is = isalpha(c) != 0;
        break;
    case 'c':
        is = iscntrl(c) != 0;
        break;
    case 'd':
        is = isdigit(c) != 0;
        break;
    case 'l':
        is = islower(c) != 0;
        break;
    case 'p':
        is = ispunct(c) != 0;
        break;
    case 's':
        is = isspace(c) != 0;
        break;
    case 'u':
        is = isupper(c) != 0;
        break;
    case 'w':
        is = isalnum(c) != 0;
        break;
    case 'x':
        is = isxdigit(c) != 0;
        break;
    case 'z':
        is = c == 0;
        break;
    default:
        return c == class;
    }
    return isupper(class) ? !is : is;
}

/* A set from its `[` up to `end`, where its `]` is. */
static bool is_of_set(unsigned char c, const char *at, const char *end)
{
    bool found = false;
    at++;
    bool wanted = *at != '^';
    at += !wanted;
    while (at < end && !found) {
        if (*at == '%') {
            found = is_of_class(c, (unsigned char)at[1]);
            at += 2;
        } else if (end - at > 2 && at[1] == '-') {
            found = (unsigned char)at[0] <= c && c <= (unsigned char)at[2];
            at += 3;
        } else {
            found = (unsigned char)*at == c;
            at++;
        }
    }
    return found == wanted;
}

static bool fits(struct matcher *m, const char *at, const char *item, const char *item_end)
{
    if (at >= m->text_end)
        return false;
    unsigned char c = (unsigned char)*at;
    switch (*item) {
    case '.':
        return true;
    case '%':
        return is_of_class(c, (unsigned char)item[1]);
    case '[':
        take_steps(m, (size_t)(item_end - item));
        return is_of_set(c, item, item_end - 1);
    default:
        return (unsigned char)*item == c;
    }
}

/* ---- Captures. */

static struct choice *push_choice(struct matcher *m, enum choice_kind kind)
{
    struct choice *choice = &m->choices[m->choice_count++];
    choice->kind = kind;
    return choice;
}

static void open_capture(struct matcher *m, const char *at, ptrdiff_t len)
{
    if (m->level >= CAPTURES_MAX)
        luaL_error(m->state, "too many captures");
    m->captures[m->level].from = at;
    m->captures[m->level].len = len;
    m->level++;
    (void)push_choice(m, CHOICE_OPENED);
}

static void close_capture(struct matcher *m, const char *at)
{
    int index = m->level - 1;
    while (index >= 0 && m->captures[index].len != LEN_OPEN)
        index--;
    if (index < 0)
        luaL_error(m->state, "invalid pattern capture");
    m->captures[index].len = at - m->captures[index].from;
    push_choice(m, CHOICE_CLOSED)->capture = index;
}

/* `%1`: the same text again. Where that ends; NULL: it is not there. */
static const char *repeat_capture(struct matcher *m, const char *at, char digit)
{
    int index = digit - '1';
    if (index < 0 || index >= m->level || m->captures[index].len == LEN_OPEN)
        luaL_error(m->state, "invalid capture index");
    ptrdiff_t len = m->captures[index].len;
    if (len < 0 || m->text_end - at < len)
        return NULL;
    take_steps(m, (size_t)len);
    return memcmp(m->captures[index].from, at, (size_t)len) == 0 ? at + len : NULL;
}

/* Of a match from `from` to `end`, which stands for the first one if there are none. */
static void push_capture(const struct matcher *m, int index, const char *from, const char *end)
{
    if (index >= m->level) {
        if (index != 0)
            luaL_error(m->state, "invalid capture index");
        lua_pushlstring(m->state, from, (size_t)(end - from));
        return;
    }
    ptrdiff_t len = m->captures[index].len;
    if (len == LEN_OPEN)
        luaL_error(m->state, "unfinished capture");
    if (len == LEN_POSITION)
        lua_pushinteger(m->state, m->captures[index].from - m->text + 1);
    else
        lua_pushlstring(m->state, m->captures[index].from, (size_t)len);
}

static int push_captures(const struct matcher *m, bool whole, const char *from, const char *end)
{
    int count = m->level == 0 && whole ? 1 : m->level;
    luaL_checkstack(m->state, count, "too many captures");
    for (int i = 0; i < count; i++)
        push_capture(m, i, from, end);
    return count;
}

/* ---- Matching. */

/* `%bxy`: where the balance is reached; NULL: never. */
static const char *match_balance(struct matcher *m, const char *at, const char *pair)
{
    if (m->pattern_end - pair < 2)
        luaL_error(m->state, "unbalanced pattern");
    if (at >= m->text_end || *at != pair[0])
        return NULL;
    size_t depth = 1;
    const char *end = at + 1;
    for (; end < m->text_end && depth > 0; end++) {
        if (*end == pair[1])
            depth--;
        else if (*end == pair[0])
            depth++;
    }
    take_steps(m, (size_t)(end - at));
    return depth == 0 ? end : NULL;
}

/* `%f[set]`: whether `at` is where characters of the set begin. */
static bool is_frontier(struct matcher *m, const char *at, const char *set, const char *set_end)
{
    unsigned char before = at == m->text ? 0 : (unsigned char)at[-1];
    unsigned char here = at == m->text_end ? 0 : (unsigned char)*at;
    take_steps(m, (size_t)(set_end - set));
    return !is_of_set(before, set, set_end - 1) && is_of_set(here, set, set_end - 1);
}

/* A single-character item with what is behind it, at *at and *place, which go on behind that. */
static bool match_item(struct matcher *m, const char **at, const char **place)
{
    const char *item = *place;
    const char *item_end = find_item_end(m, item);
    take_steps(m, (size_t)(item_end - item));
    char suffix = is_end(m, item_end) ? '\0' : *item_end;
    const char *from = *at;
    const char *end = from;
    *place = item_end + 1;
    switch (suffix) {
    case '*':
    case '+':
        while (fits(m, end, item, item_end))
            end++;
        take_steps(m, (size_t)(end - from));
        break;
    case '?':
        end += fits(m, end, item, item_end);
        break;
    case '-':
        break;
    default:
        *place = item_end;
        (*at)++;
        return fits(m, from, item, item_end);
    }
    const char *least = suffix == '+' ? from + 1 : from;
    if (end < least)
        return false;
    *at = end;
    if (suffix != '-' && end == least)
        return true;
    struct choice *choice = push_choice(m, suffix == '-' ? CHOICE_LONGER : CHOICE_SHORTER);
    choice->item = item;
    choice->item_end = item_end;
    choice->least = least;
    choice->at = end;
    return true;
}

/* What begins with % and is no single character; false, and *handled_out is too: it is one. */
static bool match_special(struct matcher *m, const char **at, const char **place, bool *handled_out)
{
    const char *next = *place + 1;
    *handled_out = true;
    if (is_end(m, next))
        luaL_error(m->state, "malformed pattern (ends with '%%')");
    if (*next == 'b') {
        const char *end = match_balance(m, *at, next + 1);
        *place = next + 3;
        *at = end != NULL ? end : *at;
        return end != NULL;
    }
    if (*next == 'f') {
        const char *set = next + 1;
        if (is_end(m, set) || *set != '[')
            luaL_error(m->state, "missing '[' after '%%f' in pattern");
        *place = find_item_end(m, set);
        return is_frontier(m, *at, set, *place);
    }
    if (isdigit((unsigned char)*next)) {
        const char *end = repeat_capture(m, *at, *next);
        *place = next + 1;
        *at = end != NULL ? end : *at;
        return end != NULL;
    }
    *handled_out = false;
    return false;
}

/* One step on from *place in the pattern and *at in the text; false: it does not match. */
static bool match_next(struct matcher *m, const char **at, const char **place)
{
    bool handled = false;
    switch (**place) {
    case '(': {
        bool position = m->pattern_end - *place > 1 && (*place)[1] == ')';
        open_capture(m, *at, position ? LEN_POSITION : LEN_OPEN);
        *place += position ? 2 : 1;
        return true;
    }
    case ')':
        close_capture(m, *at);
        (*place)++;
        return true;
    case '$':
        if (!is_end(m, *place + 1))
            break;
        (*place)++;
        return *at == m->text_end;
    case '%': {
        bool matched = match_special(m, at, place, &handled);
        if (handled)
            return matched;
        break;
    }
    default:
        break;
    }
    return match_item(m, at, place);
}

/* Goes back to the last choice that can be made otherwise; false: there is none. */
static bool choose_otherwise(struct matcher *m, const char **at, const char **place)
{
    while (m->choice_count > 0) {
        struct choice *choice = &m->choices[m->choice_count - 1];
        bool found = false;
        switch (choice->kind) {
        case CHOICE_OPENED:
            m->level--;
            break;
        case CHOICE_CLOSED:
            m->captures[choice->capture].len = LEN_OPEN;
            break;
        case CHOICE_SHORTER:
            found = choice->at > choice->least;
            choice->at -= found;
            break;
        case CHOICE_LONGER:
            found = fits(m, choice->at, choice->item, choice->item_end);
            choice->at += found;
            break;
        }
        if (found) {
            *at = choice->at;
            *place = choice->item_end + 1;
            return true;
        }
        m->choice_count--;
    }
    return false;
}

/* Where the match that begins at `at` ends; NULL: there is none. */
static const char *match_at(struct matcher *m, const char *at)
{
    const char *place = m->pattern;
    m->level = 0;
    m->choice_count = 0;
    while (!is_end(m, place)) {
        take_steps(m, 1);
        if (!match_next(m, &at, &place) && !choose_otherwise(m, &at, &place))
            return NULL;
    }
    return at;
}

/* ---- The functions. */

static struct bytes check_text(lua_State *state, int arg)
{
    size_t len;
    const char *text = luaL_checklstring(state, arg, &len);
    return bytes_make(text, len);
}

/* Where the search begins: counted from 1, or from the end if it is negative. */
static size_t check_start(lua_State *state, size_t text_len)
{
    ptrdiff_t start = luaL_optinteger(state, 3, 1);
    if (start < 0)
        start += (ptrdiff_t)text_len + 1;
    if (start < 1)
        start = 1;
    return (size_t)start - 1 < text_len ? (size_t)start - 1 : text_len;
}

static int search(lua_State *state, bool find)
{
    struct bytes text = check_text(state, 1);
    struct bytes pattern = check_text(state, 2);
    size_t start = check_start(state, text.len);
    bool plain = lua_toboolean(state, 4) || strpbrk((const char *)pattern.data, SPECIALS) == NULL;
    if (find && plain) {
        const uint8_t *found =
            memmem(text.data + start, text.len - start, pattern.data, pattern.len);
        if (found == NULL) {
            lua_pushnil(state);
            return 1;
        }
        lua_pushinteger(state, found - text.data + 1);
        lua_pushinteger(state, found - text.data + (ptrdiff_t)pattern.len);
        return 2;
    }
    struct matcher m;
    open_matcher(&m, state, text, pattern, true);
    for (const char *from = m.text + start; from <= m.text_end; from++) {
        const char *end = match_at(&m, from);
        if (end != NULL && !find)
            return push_captures(&m, true, from, end);
        if (end != NULL) {
            lua_pushinteger(state, from - m.text + 1);
            lua_pushinteger(state, end - m.text);
            return push_captures(&m, false, from, end) + 2;
        }
        if (m.anchored)
            break;
    }
    lua_pushnil(state);
    return 1;
}

static int pattern_find(lua_State *state)
{
    return search(state, true);
}

static int pattern_match(lua_State *state)
{
    return search(state, false);
}

/* Its upvalues: text, pattern, where to go on. */
static int match_next_of_all(lua_State *state)
{
    struct matcher m;
    struct bytes text = check_text(state, lua_upvalueindex(1));
    struct bytes pattern = check_text(state, lua_upvalueindex(2));
    open_matcher(&m, state, text, pattern, false);
    const char *from = m.text + lua_tointeger(state, lua_upvalueindex(3));
    for (; from <= m.text_end; from++) {
        const char *end = match_at(&m, from);
        if (end == NULL)
            continue;
        lua_pushinteger(state, end - m.text + (end == from));
        lua_replace(state, lua_upvalueindex(3));
        return push_captures(&m, true, from, end);
    }
    return 0;
}

static int pattern_gmatch(lua_State *state)
{
    (void)check_text(state, 1);
    (void)check_text(state, 2);
    lua_settop(state, 2);
    lua_pushinteger(state, 0);
    lua_pushcclosure(state, match_next_of_all, 3);
    return 1;
}

static void append_top(lua_State *state, struct script_lib_buf *out)
{
    size_t len;
    const char *text = lua_tolstring(state, -1, &len);
    script_lib_buf_append(out, text, len);
    lua_pop(state, 1);
}

/* The third argument, with captures in the places of %0 to %9. */
static void append_replacement(const struct matcher *m, struct script_lib_buf *out,
                               const char *from, const char *end)
{
    size_t len;
    const char *text = lua_tolstring(m->state, 3, &len);
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            script_lib_buf_append_byte(out, (uint8_t)text[i]);
            continue;
        }
        i++; /* behind the last one is a zero byte, which is taken as in Lua */
        if (!isdigit((unsigned char)text[i])) {
            script_lib_buf_append_byte(out, (uint8_t)text[i]);
        } else if (text[i] == '0') {
            script_lib_buf_append(out, from, (size_t)(end - from));
        } else {
            push_capture(m, text[i] - '1', from, end);
            append_top(m->state, out);
        }
    }
}

static void append_substitute(const struct matcher *m, struct script_lib_buf *out, const char *from,
                              const char *end)
{
    lua_State *state = m->state;
    int type = lua_type(state, 3);
    if (type == LUA_TNUMBER || type == LUA_TSTRING) {
        append_replacement(m, out, from, end);
        return;
    }
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(state, 3);
        lua_call(state, push_captures(m, true, from, end), 1);
    } else {
        push_capture(m, 0, from, end);
        lua_gettable(state, 3);
    }
    if (!lua_toboolean(state, -1)) {
        lua_pop(state, 1);
        script_lib_buf_append(out, from, (size_t)(end - from));
    } else if (!lua_isstring(state, -1)) {
        luaL_error(state, "invalid replacement value (a %s)", luaL_typename(state, -1));
    } else {
        append_top(state, out);
    }
}

static int pattern_gsub(lua_State *state)
{
    struct matcher m;
    struct script_lib_buf out;
    struct bytes text = check_text(state, 1);
    struct bytes pattern = check_text(state, 2);
    int type = lua_type(state, 3);
    luaL_argcheck(state,
                  type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE ||
                      type == LUA_TFUNCTION,
                  3, "string/function/table expected");
    ptrdiff_t max = luaL_optint(state, 4, -1);
    bool limited = !lua_isnoneornil(state, 4);
    lua_settop(state, 3);
    open_matcher(&m, state, text, pattern, true);
    script_lib_buf_open(&out, state);
    const char *from = m.text;
    ptrdiff_t count = 0;
    while (!limited || count < max) {
        const char *end = match_at(&m, from);
        if (end != NULL) {
            count++;
            append_substitute(&m, &out, from, end);
        }
        if (end != NULL && end > from)
            from = end;
        else if (from < m.text_end)
            script_lib_buf_append_byte(&out, (uint8_t)*from++);
        else
            break;
        if (m.anchored)
            break;
    }
    script_lib_buf_append(&out, from, (size_t)(m.text_end - from));
    script_lib_buf_push(&out);
    lua_pushinteger(state, count);
    return 2;
}

/* The standard one copies byte by byte, which takes seconds for what memory allows. */
static int pattern_rep(lua_State *state)
{
    struct bytes text = check_text(state, 1);
    ptrdiff_t count = luaL_checkint(state, 2);
    if (count <= 0 || text.len == 0) {
        lua_pushliteral(state, "");
        return 1;
    }
    if ((size_t)count > REP_BYTES_MAX / text.len)
        return luaL_error(state, "resulting string too large");
    size_t len = text.len * (size_t)count;
    char *out = lua_newuserdata(state, len);
    memcpy(out, text.data, text.len);
    for (size_t done = text.len; done < len;) {
        size_t more = done < len - done ? done : len - done;
        memcpy(out + done, out, more);
        done += more;
    }
    lua_pushlstring(state, out, len);
    return 1;
}

const luaL_Reg script_lua_pattern_functions[] = {
    {"find", pattern_find}, {"gfind", pattern_gmatch}, {"gmatch", pattern_gmatch},
    {"gsub", pattern_gsub}, {"match", pattern_match},  {"rep", pattern_rep},
    {NULL, NULL},
};
