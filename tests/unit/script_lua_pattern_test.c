/* Goal: patterns match as in Lua 5.1. Method: random patterns and texts of few different bytes,
 * given to the standard functions and to ours; results, captures and error texts are the same. */
#include "server/script_lua.h"
#include "server/script_lua_pattern.h"
#include "tests/support/harness.h"

#include <lua.h>
#include <lualib.h>

#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 60000

static void *allocate(void *arg, void *block, size_t old, size_t size)
{
    (void)arg;
    (void)old;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

/* Without a script that runs nobody is asked for a verdict. */
static lua_State *open_state(struct script_lua *lua)
{
    lua_State *state = lua_newstate(allocate, lua);
    luaL_openlibs(state);
    lua_newtable(state);
    for (const luaL_Reg *entry = script_lua_pattern_functions; entry->name != NULL; entry++) {
        lua_pushcfunction(state, entry->func);
        lua_setfield(state, -2, entry->name);
    }
    lua_setglobal(state, "ours");
    return state;
}

static const char compare[] =
    "local seed, rounds = ...\n"
    "math.randomseed(seed)\n"
    "local pieces = {'a', 'b', '.', '%a', '%A', '%d', '%', '%b', '%bab', '%bxx', '%f', '%f[a]',\n"
    "  '%f[^%a]', '%1', '%2', '%%', '[', ']', '[a]', '[^a]', '[a-b]', '[]]', '[^]]', '[%a_]',\n"
    "  '[a-]', '[%]]', '(', ')', '()', '(a)', '(.-)', '^', '$', '*', '+', '-', '?', '*', '+', "
    "'-',\n"
    "  '?', '%z', '%w', '%S', '%x', '%p', 'x', '1', '\\0'}\n"
    "local bytes = {'a', 'a', 'b', 'x', '1', ' ', '\\0', ']', '-'}\n"
    "local function make(from, len)\n"
    "  local t = {}\n"
    "  for i = 1, math.random(0, len) do t[i] = from[math.random(#from)] end\n"
    "  return table.concat(t)\n"
    "end\n"
    "local function show(...)\n"
    "  local t = {...}\n"
    "  for i = 1, select('#', ...) do t[i] = type(t[i]) .. ':' .. tostring(t[i]) end\n"
    "  return table.concat(t, ',')\n"
    "end\n"
    "local function all(gmatch, text, pattern)\n"
    "  local t = {}\n"
    "  for a, b, c in gmatch(text, pattern) do t[#t + 1] = show(a, b, c) end\n"
    "  return table.concat(t, ';')\n"
    "end\n"
    "local map = setmetatable({a = 'A', b = false, aa = 7}, {__index = function(t, k)\n"
    "  if k == 1 then return 'one' end end})\n"
    "local good = 0\n"
    "for i = 1, rounds do\n"
    "  local text, pattern, start = make(bytes, 12), make(pieces, 6), math.random(-14, 14)\n"
    "  local replacement = make({'a', '%0', '%1', '%2', '%%', '%', '\\0'}, 3)\n"
    "  local function check(name, a, b)\n"
    "    if a ~= b then\n"
    "      error(string.format('%s of %q, %q, %d, %q: %s and not %s', name, text, pattern, start,\n"
    "        replacement, b, a))\n"
    "    end\n"
    "    if a:sub(1, 12) == 'boolean:true' then good = good + 1 end\n"
    "  end\n"
    "  for _, name in ipairs{'find', 'match'} do\n"
    "    check(name, show(pcall(string[name], text, pattern, start)),\n"
    "      show(pcall(ours[name], text, pattern, start)))\n"
    "  end\n"
    "  check('plain', show(pcall(string.find, text, pattern, start, true)),\n"
    "    show(pcall(ours.find, text, pattern, start, true)))\n"
    "  check('gmatch', show(pcall(all, string.gmatch, text, pattern)),\n"
    "    show(pcall(all, ours.gmatch, text, pattern)))\n"
    "  local max = math.random(-1, 8)\n"
    "  if max > 6 then max = nil end\n"
    "  for _, by in ipairs{replacement, map, 7, function(a, b) return b and a .. b end} do\n"
    "    check('gsub', show(pcall(string.gsub, text, pattern, by, max)),\n"
    "      show(pcall(ours.gsub, text, pattern, by, max)))\n"
    "  end\n"
    "  check('rep', show(pcall(string.rep, text, start)), show(pcall(ours.rep, text, start)))\n"
    "end\n"
    "return good\n";

static void patterns_match_as_in_lua(void **state)
{
    (void)state;
    const struct script_lua_options options = {.memory_bytes_max = 1 << 20};
    struct script_lua *lua = script_lua_create(&options);
    lua_State *lua_state = open_state(lua);
    const char *runs = getenv("BASALT_TEST_RUNS");
    const char *fixed = getenv("BASALT_TEST_SEED");
    double rounds = runs == NULL ? ROUNDS : atof(runs);
    double seed = fixed == NULL ? 1 : atof(fixed);
    assert_int_equal(luaL_loadstring(lua_state, compare), 0);
    lua_pushnumber(lua_state, seed);
    lua_pushnumber(lua_state, rounds);
    if (lua_pcall(lua_state, 2, 1, 0) != 0)
        fail_msg("seed %g: %s", seed, lua_tostring(lua_state, -1));
    assert_true(lua_tonumber(lua_state, -1) > rounds); /* many are no patterns */
    lua_close(lua_state);
    script_lua_destroy(lua);
}

static void results_are_the_same_for(lua_State *state, const char *expression)
{
    char code[512];
    (void)snprintf(code, sizeof(code),
                   "local function run(string) return %s end "
                   "local a, b = {pcall(run, string)}, {pcall(run, ours)} "
                   "for i = 1, 9 do assert(a[i] == b[i], tostring(a[i]) .. ', ' .. tostring(b[i])) "
                   "end",
                   expression);
    if (luaL_dostring(state, code) != 0)
        fail_msg("%s: %s", expression, lua_tostring(state, -1));
}

static void what_is_rare_is_as_in_lua(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "string.find('x', ('()'):rep(33))",
        "string.find('x', ('()'):rep(32))",
        "string.match(('x'):rep(500), '(.-)%1%1$')",
        "string.match('key=value; other=thing', '(%w+)=(%w+); (%w+)=(%w+)')",
        "string.gsub('hello world', '(o)', '<%1%0>')",
        "string.gsub('abc', '%w', '%%%0', 2)",
        "string.gsub('abc', '', '-')",
        "string.gsub('abc', '^a', 'x')",
        "string.gsub('abc', 'b', {b = true})",
        "string.gsub('abc', 'b', true)",
        "string.gsub('abc', 'b')",
        "string.gsub(123, 2, 5)",
        "string.gsub('  trim  ', '^%s*(.-)%s*$', '%1')",
        "string.gsub('f(a(b)c)d', '%b()', '')",
        "string.gsub('THE (quick) fox', '%f[%a]%a+', function(word) return word .. #word end)",
        "string.find('a\\0b', '%z')",
        "string.find('a\\0b', 'b', 1, true)",
        "string.find('', '')",
        "string.find('abc', '', 10)",
        "string.find('abc', '', 4)",
        "string.find('abc', 'b', -1)",
        "string.find(nil, 'b')",
        "string.find('abc')",
        "string.gmatch('abc')",
        "string.gmatch({}, 'a')",
        "string.rep('ab', 3)",
        "string.rep('', 2147483647)",
        "string.rep('x', -2147483648)",
        "string.rep('x')",
    };
    const struct script_lua_options options = {.memory_bytes_max = 1 << 20};
    struct script_lua *lua = script_lua_create(&options);
    lua_State *lua_state = open_state(lua);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        results_are_the_same_for(lua_state, cases[i]);
    lua_close(lua_state);
    script_lua_destroy(lua);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(patterns_match_as_in_lua),
        TEST(what_is_rare_is_as_in_lua),
    };
    return RUN_TESTS("script_lua_pattern", tests);
}
