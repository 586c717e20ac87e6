/* Goal: a script sees what it may and changes nothing that another one sees. Method: attempts to
 * get out, each of which must fail in its own way; after each of them the next script finds all as
 * it was. */
#include "server/script_lua.h"

#include "tests/unit/script_fixture.h"

#include <stdio.h>

#define PLACE " script: sha, on @user_script:1.\r\n"
/* By an assignment, and by a function. */
#define READONLY      "-ERR user_script:1: Attempt to modify a readonly table" PLACE
#define READONLY_CALL "-ERR Attempt to modify a readonly table" PLACE
#define MISSING(name)                                                                              \
    "-ERR user_script:1: Script attempted to access nonexistent global variable '" name "'" PLACE

/* What every script must find. */
static const char intact[] =
    "local names = {} "
    "for name, value in pairs(_G) do names[#names + 1] = name .. ':' .. type(value) end "
    "table.sort(names) "
    "assert(getmetatable(string) == nil and getmetatable(redis) == nil) "
    "assert(('x'):rep(2) == 'xx' and string.rep('x', 2) == 'xx') "
    "assert(rawget(_G, 'evil') == nil and rawget(string, 'evil') == nil) "
    "assert(_G._G == _G and next(setmetatable({}, {})) == nil) "
    "assert(#string == 0 and #redis == 0 and #_G == 0) "
    "local keys = 0 for _ in pairs(string) do keys = keys + 1 end "
    "return table.concat(names, ' ') .. ' ' .. keys";

static const char names[] =
    "ARGV:table KEYS:table _G:table _VERSION:string assert:function bit:table cjson:table "
    "cmsgpack:table collectgarbage:function coroutine:table error:function gcinfo:function "
    "getmetatable:function ipairs:function load:function loadstring:function math:table "
    "next:function os:table pairs:function pcall:function rawequal:function rawget:function "
    "rawset:function redis:table select:function setmetatable:function string:table struct:table "
    "table:table tonumber:function tostring:function type:function unpack:function "
    "xpcall:function 15";

static void check_intact(struct script_fixture *f, const char *after)
{
    char expected[sizeof(names) + 32];
    (void)snprintf(expected, sizeof(expected), "$%zu\r\n%s\r\n", strlen(names), names);
    const char *reply = fixture_run(f, intact);
    if (strcmp(reply, expected) != 0)
        fail_msg("after: %s\n  %s", after, reply);
}

static void check_attempts(const struct script_case *cases, size_t count)
{
    struct script_fixture f;
    fixture_open(&f, false);
    check_intact(&f, "nothing");
    for (size_t i = 0; i < count; i++) {
        fixture_check(&f, &cases[i], 1);
        check_intact(&f, cases[i].code);
    }
    fixture_close(&f);
}

static void globals_cannot_be_changed(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"evil = 1", READONLY},
        {"_G.evil = 1", READONLY},
        {"_G._G.evil = 1", READONLY},
        {"_G = {}", READONLY},
        {"KEYS = {}", READONLY},
        {"redis = {}", READONLY},
        {"print = 1", READONLY},
        {"function evil() end", READONLY},
        {"rawset(_G, 'evil', 1)", READONLY_CALL},
        {"rawset(_G, 'redis', 1)", READONLY_CALL},
        {"table.insert(_G, 'evil')", READONLY_CALL},
        {"table.insert(_G, 1, 'evil')", READONLY_CALL},
        {"table.remove(_G, 1)", READONLY_CALL},
        {"table.sort(_G)", READONLY_CALL},
        {"setmetatable(_G, {})", READONLY_CALL},
        {"setmetatable(_G, nil)", READONLY_CALL},
        {"getmetatable(_G).__index = {}", READONLY},
        {"getmetatable(_G).__newindex = nil", READONLY},
        {"rawset(getmetatable(_G), '__index', {})", READONLY_CALL},
        {"setmetatable(getmetatable(_G), {})", READONLY_CALL},
        {"pcall(rawset, _G, 'evil', 1)", "$-1\r\n"},
        {"pcall(function() evil = 1 end)", "$-1\r\n"},
        {"xpcall(function() evil = 1 end, function() evil = 2 end)", "$-1\r\n"},
        {"coroutine.wrap(function() evil = 1 end)()",
         "-ERR user_script:1: user_script:1: Attempt to modify a readonly table" PLACE},
        {"loadstring('evil = 1')()",
         "-ERR [string \"evil = 1\"]:1: Attempt to modify a readonly table script: sha, on evil = "
         "1:1.\r\n"},
        {"load(function() return nil end)() return 1", ":1\r\n"},
        {"error(_G)", "-ERR unknown error\r\n"},
        {"KEYS[1] = 'changed' ARGV.evil = 1 return 1", ":1\r\n"},
        {"for k in pairs(_G) do pcall(rawset, _G, k, nil) end", "$-1\r\n"},
        {"for k in pairs(_G) do pcall(function() _G[k] = nil end) end", "$-1\r\n"},
    };
    check_attempts(cases, sizeof(cases) / sizeof(cases[0]));
}

static void libraries_cannot_be_changed(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"redis.call = 1", READONLY},
        {"redis.evil = 1", READONLY},
        {"string.rep = nil", READONLY},
        {"math.random = function() return 4 end", READONLY},
        {"cjson.encode = nil", READONLY},
        {"bit.band = nil", READONLY},
        {"struct.pack = nil", READONLY},
        {"cmsgpack.pack = nil", READONLY},
        {"os.clock = nil", READONLY},
        {"coroutine.wrap = nil", READONLY},
        {"rawset(string, 'rep', nil)", READONLY_CALL},
        {"table.insert(string, 1)", READONLY_CALL},
        {"table.insert(table, 1)", READONLY_CALL},
        {"setmetatable(string, {})", READONLY_CALL},
        {"setmetatable(redis, {__index = 1})", READONLY_CALL},
        {"getmetatable('').__index = {}", READONLY},
        {"getmetatable('').evil = 1", READONLY},
        {"getmetatable('').__index.rep = nil", READONLY},
        {"getmetatable('').__index.evil = 1", READONLY},
        {"rawset(getmetatable(''), '__index', 1)", READONLY_CALL},
        {"getmetatable(getmetatable('')).x = 1",
         "-ERR user_script:1: attempt to index a nil value" PLACE},
        {"setmetatable('', {})", "-ERR user_script:1: bad argument #1 to 'setmetatable' (table "
                                 "expected, got string)" PLACE},
        {"return getmetatable(1) == nil and getmetatable(print_) == nil", MISSING("print_")},
        {"return getmetatable(1) == nil and getmetatable(type) == nil and getmetatable(nil) == nil "
         "and getmetatable(true) == nil and getmetatable(cjson.null) == nil",
         ":1\r\n"},
        {"return tostring(getmetatable(setmetatable({}, {__metatable = 'locked'})))",
         "$6\r\nlocked\r\n"},
        {"setmetatable(setmetatable({}, {__metatable = 1}), {})",
         "-ERR user_script:1: cannot change a protected metatable" PLACE},
        {"for k in pairs(string) do pcall(rawset, string, k, nil) end", "$-1\r\n"},
        {"local t = setmetatable({}, {__index = string}) t.rep = 1 return 1", ":1\r\n"},
        {"return string.gsub('rep', '%w+', string) == nil",
         "-ERR user_script:1: invalid replacement value (a function)" PLACE},
    };
    check_attempts(cases, sizeof(cases) / sizeof(cases[0]));
}

static void what_reaches_outside_is_not_there(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return print", MISSING("print")},
        {"return dofile", MISSING("dofile")},
        {"return loadfile", MISSING("loadfile")},
        {"return require", MISSING("require")},
        {"return module", MISSING("module")},
        {"return package", MISSING("package")},
        {"return io", MISSING("io")},
        {"return debug", MISSING("debug")},
        {"return getfenv", MISSING("getfenv")},
        {"return setfenv", MISSING("setfenv")},
        {"return newproxy", MISSING("newproxy")},
        {"return _G.io", MISSING("io")},
        {"return _G[1]", MISSING("1")},
        {"return _G[{}]",
         "-ERR user_script:1: Name of a global variable must be a string or number" PLACE},
        {"return rawget(_G, 'io') == nil", ":1\r\n"},
        {"local n = 0 for k in pairs(os) do n = n + 1 end return n", ":1\r\n"},
        {"return type(os.clock())", "$6\r\nnumber\r\n"},
        {"return os.execute == nil and os.getenv == nil and os.exit == nil", ":1\r\n"},
        {"return string.dump(function() end) ~= nil", ":1\r\n"},
    };
    check_attempts(cases, sizeof(cases) / sizeof(cases[0]));
}

static void bytecode_is_not_loaded(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return loadstring(string.dump(function() return 1 end))()",
         "-ERR user_script:1: attempt to call a nil value" PLACE},
        {"return select(2, loadstring(string.dump(function() return 1 end), '@x'))",
         "$36\r\nx:1: unexpected symbol near 'char(27)'\r\n"},
        {"local d = string.dump(function() return 1 end) local i = 0 "
         "return load(function() i = i + 1 if i <= #d then return d:sub(i, i) end end) == nil",
         ":1\r\n"},
        {"return load(function() return {} end)",
         "-ERR user_script:1: reader function must return a string" PLACE},
        {"local i = 0 return load(function() i = i + 1 return ({'ret', 'urn', ' 7'})[i] end)()",
         ":7\r\n"},
        {"return select(2, loadstring('return return', 'name'))",
         "$58\r\n[string \"name\"]:1: unexpected symbol near 'return'\r\n"},
        {"\33Lua", "user_script:1: unexpected symbol near 'char(27)'"},
    };
    struct script_fixture f;
    fixture_open(&f, false);
    fixture_check(&f, cases, 1);
    fixture_check(&f, cases + 2, 3);
    fixture_check(&f, cases + 6, 1);
    assert_non_null(
        strstr(fixture_run(&f, cases[1].code), "x:1: unexpected symbol near 'char(27)'"));
    assert_non_null(strstr(fixture_run(&f, cases[5].code), "unexpected symbol near 'return'"));
    check_intact(&f, "bytecode");
    fixture_close(&f);
}

static void settings_of_the_collector_do_not_last(void **state)
{
    (void)state;
    struct script_fixture f;
    fixture_open(&f, false);
    assert_string_equal(
        fixture_run(&f, "collectgarbage('stop') collectgarbage('setpause', 100000) return 1"),
        ":1\r\n");
    for (int i = 0; i < 100; i++)
        assert_string_equal(
            fixture_run(&f, "local t = {} for i = 1, 10000 do t = {t = 1} end return 1"), ":1\r\n");
    assert_true(script_lua_bytes(f.lua) < FIXTURE_MEMORY_BYTES_MAX / 4);
    assert_string_equal(fixture_run(&f, "return collectgarbage('count') > 0"), ":1\r\n");
    fixture_close(&f);
}

static void what_would_break_the_interpreter_is_refused(void **state)
{
    (void)state;
    /* Each is an error, which is caught. */
    static const char *const attempts[] = {
        "string.rep('x', 2147483647)",
        "string.format('%99999999999d', 1)",
        "string.format('%s%s')",
        "string.byte(string.rep('x', 1e6), 1, -1)",
        "string.char(-1)",
        "string.char(256)",
        "string.find('x', string.rep('(', 40))",
        "string.find('x', '[')",
        "string.gsub('x', 'x', '%9')",
        "table.concat({}, 'x', 1, 2147483647)",
        "table.insert({}, -2147483648, 1)",
        "table.sort({3, 1, 2, 5, 4, 7, 6}, function() return true end)",
        "unpack({}, 1, 1e7)",
        "select(-2147483648, 1)",
        "tonumber('1', 37)",
        "math.random(0/0)",
        "setmetatable(1, {})",
        "coroutine.wrap(function() coroutine.yield() end)(coroutine.wrap(error)())",
        "coroutine.yield(1)",
        "(function() local function f() return coroutine.wrap(f)() end return f() end)()",
        "(function() local function f() return f() .. 'x' end return f() end)()",
        "(function() local t = setmetatable({}, {__index = function(t, k) return t[k] end}) "
        "return t.x end)()",
        "tostring(setmetatable({}, {__tostring = function(t) return tostring(t) end}))",
        "assert(loadstring(string.rep('(', 10000) .. '1'))",
        "assert(loadstring('return ' .. string.rep('{', 10000)))",
        "assert(loadstring('x = ' .. string.rep('a..', 100000) .. 'a'))",
        "assert(loadstring(string.rep('local a ', 300)))",
        "assert(loadstring('[=' .. string.rep('=', 1000000) .. '['))",
        "cjson.decode(string.rep('[', 100000))",
        "cjson.decode(string.rep('{\"a\":', 100000))",
        "cjson.encode((function() local t = {} t[1] = t return t end)())",
        "cjson.encode({[100000000] = 1})",
        "cjson.encode(0/0)",
        "cjson.encode(function() end)",
        "cmsgpack.unpack(string.rep('\\145', 1000000))",
        "cmsgpack.unpack('\\221\\255\\255\\255\\255')",
        "cmsgpack.unpack('\\223\\255\\255\\255\\255')",
        "cmsgpack.unpack('\\219\\255\\255\\255\\255')",
        "struct.unpack('I2147483647', 'x')",
        "struct.pack('c2147483647', 'x')",
        "struct.unpack('I4', 'xxxx', -2147483648)",
        "struct.unpack('I4', 'xxxx', 2147483647)",
        "redis.setresp(4)",
        "redis.sha1hex()",
        "redis.log(1e300, 'x')",
        "redis.call(setmetatable({}, {__tostring = function() return 'ping' end}))",
        "redis.call('set', {}, 1)",
    };
    struct script_fixture f;
    fixture_open(&f, false);
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        char code[512];
        (void)snprintf(code, sizeof(code), "local ok = pcall(function() return %s end) return ok",
                       attempts[i]);
        const char *reply = fixture_run(&f, code);
        if (strcmp(reply, "$-1\r\n") != 0)
            fail_msg("%s: %s", attempts[i], reply);
        check_intact(&f, attempts[i]);
    }
    fixture_close(&f);
}

/* bit.tohex once took the smallest number of digits for a length. */
static void odd_values_are_answered(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return bit.tohex(1, -2147483648)", "$8\r\n00000001\r\n"},
        {"return bit.tohex(-1, 2147483647)", "$8\r\nffffffff\r\n"},
        {"return ('x'):rep(-1)", "$0\r\n\r\n"},
        {"local t = {} t[1] = t return #cmsgpack.pack(t)", ":17\r\n"},
        {"local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, function(a, b) for j = 1, "
         "1000 "
         "do t[j] = nil end return a and b and a < b end) return 1",
         ":1\r\n"},
        {"error(setmetatable({}, {__tostring = function() error('x') end, "
         "__index = function() error('y') end}))",
         "-ERR unknown error" PLACE},
        {"return {err = 'x\\r\\n+OK\\r\\n'}", "-x  +OK\r\n"},
        {"return {ok = 'x\\r\\n-ERR'}", "+x  -ERR\r\n"},
        {"return setmetatable({}, {__index = function(t, k) error(k) end})", "*0\r\n"},
    };
    check_attempts(cases, sizeof(cases) / sizeof(cases[0]));
}

static void errors_are_handled_as_in_lua(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return {xpcall(function() return 1, 2 end, error)}", "*3\r\n:1\r\n:1\r\n:2\r\n"},
        {"local ok, e, more = xpcall(function() error('x', 0) end, function(e) return e .. 1, 2 "
         "end) "
         "return {tostring(ok), e, tostring(more)}",
         "*3\r\n$5\r\nfalse\r\n$2\r\nx1\r\n$3\r\nnil\r\n"},
        {"local ok, e = xpcall(error, error) return {tostring(ok), tostring(e)}",
         "*2\r\n$5\r\nfalse\r\n$23\r\nerror in error handling\r\n"},
        {"local ok, e = xpcall(error, 1) return {tostring(ok), e}",
         "*2\r\n$5\r\nfalse\r\n$23\r\nerror in error handling\r\n"},
        {"xpcall(error)", "-ERR user_script:1: bad argument #2 to 'xpcall' (value expected)" PLACE},
        {"return {xpcall(redis.call, function(e) return type(e.err) end)}",
         "*2\r\n$-1\r\n$6\r\nstring\r\n"},
        {"local function f() return f() + 1 end "
         "return {xpcall(f, function(e) return #e > 10 end)}",
         "*2\r\n$-1\r\n:1\r\n"},
    };
    check_attempts(cases, sizeof(cases) / sizeof(cases[0]));
}

static void nothing_is_called_outside_of_a_run(void **state)
{
    (void)state;
    /* Closures and coroutines of one run cannot be had in the next: nothing keeps them. */
    static const struct script_case cases[] = {
        {"local co = coroutine.create(function() coroutine.yield() redis.call('x') end) "
         "coroutine.resume(co) return 1",
         ":1\r\n"},
        {"return pcall(coroutine.wrap(function() error({err = 'X y'}) end))", "$-1\r\n"},
        {"return coroutine.wrap(function() return redis.call('x') end)()",
         "-ERR Unknown Redis command called from script" PLACE},
    };
    check_attempts(cases, sizeof(cases) / sizeof(cases[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(globals_cannot_be_changed),
        TEST(libraries_cannot_be_changed),
        TEST(what_reaches_outside_is_not_there),
        TEST(bytecode_is_not_loaded),
        TEST(settings_of_the_collector_do_not_last),
        TEST(what_would_break_the_interpreter_is_refused),
        TEST(odd_values_are_answered),
        TEST(errors_are_handled_as_in_lua),
        TEST(nothing_is_called_outside_of_a_run),
    };
    return RUN_TESTS("script_sandbox", tests);
}
