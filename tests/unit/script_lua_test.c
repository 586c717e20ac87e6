/* Goal: scripts run as in Redis 7.2: values to replies and back, errors with their place, limits.
 * Method: tables of scripts and the bytes of their replies, with a host that answers from a table.
 */
#include "server/script_lua.h"

#include "tests/unit/script_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define PLACE " script: sha, on @user_script:1.\r\n"

static void values_become_replies(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return 1", ":1\r\n"},
        {"return 3.99", ":3\r\n"},
        {"return -3.99", ":-3\r\n"},
        {"return 2^63", ":-9223372036854775808\r\n"},
        {"return 0/0", ":-9223372036854775808\r\n"},
        {"return 'text'", "$4\r\ntext\r\n"},
        {"return ''", "$0\r\n\r\n"},
        {"return true", ":1\r\n"},
        {"return false", "$-1\r\n"},
        {"return nil", "$-1\r\n"},
        {"return", "$-1\r\n"},
        {"return print_nothing == nil",
         "-ERR user_script:1: Script attempted to access nonexistent "
         "global variable 'print_nothing'" PLACE},
        {"return function() end", "$-1\r\n"},
        {"return {}", "*0\r\n"},
        {"return {1,'a',{2}}", "*3\r\n:1\r\n$1\r\na\r\n*1\r\n:2\r\n"},
        {"return {1,nil,3}", "*1\r\n:1\r\n"},
        {"return {KEYS[1],KEYS[2],KEYS[3],ARGV[1]}", "*2\r\n$2\r\nk1\r\n$2\r\nk2\r\n"},
        {"return {#KEYS,#ARGV,ARGV[1]}", "*3\r\n:2\r\n:1\r\n$2\r\na1\r\n"},
        {"return {ok='FI\\nNE'}", "+FI NE\r\n"},
        {"return {err='CODE te\\r\\nxt'}", "-CODE te  xt\r\n"},
        {"return {err=5}", "*0\r\n"},
        {"return {double=1.5}", "$3\r\n1.5\r\n"},
        {"return {big_number='123\\n4'}", "$5\r\n123 4\r\n"},
        {"return {verbatim_string={string='abc',format='txt'}}", "$3\r\nabc\r\n"},
        {"return {verbatim_string={string='abc'}}", "*0\r\n"},
        {"return {map={a=1}}", "*2\r\n$1\r\na\r\n:1\r\n"},
        {"return {set={a=true}}", "*1\r\n$1\r\na\r\n"},
        {"return setmetatable({}, {__index=function() error('read') end})", "*0\r\n"},
        {"return _G", "*0\r\n"},
    };
    struct script_fixture f;
    fixture_open(&f, false);
    FIXTURE_CHECK(&f, cases);
    fixture_close(&f);
}

static void values_become_replies_of_resp3(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return true", ":1\r\n"},
        {"return false", "_\r\n"},
        {"redis.setresp(3) return true", "#t\r\n"},
        {"redis.setresp(3) return false", "#f\r\n"},
        {"return nil", "_\r\n"},
        {"return {double=1.5}", ",1.5\r\n"},
        {"return {big_number='1234'}", "(1234\r\n"},
        {"return {verbatim_string={string='abc',format='mkdown'}}", "=7\r\nmkd:abc\r\n"},
        {"return {verbatim_string={string='abc',format='x'}}", "=7\r\nx  :abc\r\n"},
        {"return {map={a={1}}}", "%1\r\n$1\r\na\r\n*1\r\n:1\r\n"},
        {"return {set={a=true}}", "~1\r\n$1\r\na\r\n"},
    };
    struct script_fixture f;
    fixture_open(&f, false);
    f.reply.resp = 3;
    FIXTURE_CHECK(&f, cases);
    fixture_close(&f);
}

static const struct fixture_command commands[] = {
    {"int", ":-7\r\n", NULL},
    {"bulk", "$3\r\na\0b\r\n", NULL},
    {"text", "$5\r\nhello\r\n", NULL},
    {"nilbulk", "$-1\r\n", NULL},
    {"nilarray", "*-1\r\n", NULL},
    {"status", "+OK\r\n", NULL},
    {"error", "-CODE my error\r\n", NULL},
    {"array", "*3\r\n:1\r\n*1\r\n+x\r\n$-1\r\n", NULL},
    {"map", "%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n_\r\n", NULL},
    {"set", "~2\r\n$1\r\na\r\n:5\r\n", NULL},
    {"null", "_\r\n", NULL},
    {"true", "#t\r\n", NULL},
    {"double", ",1.25\r\n", NULL},
    {"inf", ",-inf\r\n", NULL},
    {"big", "(123456789\r\n", NULL},
    {"verbatim", "=7\r\ntxt:abc\r\n", NULL},
    {"attribute", "|1\r\n+key\r\n*2\r\n:1\r\n:2\r\n:42\r\n", NULL},
    {"push", ">1\r\n:1\r\n", NULL},
    {"refused", NULL, "NOPERM no way"},
    {NULL, NULL, NULL},
};

static void replies_become_values(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return redis.call('int') - 1", ":-8\r\n"},
        {"return #redis.call('text')", ":5\r\n"},
        {"return redis.call('nilbulk') == false", ":1\r\n"},
        {"return redis.call('nilarray') == false", ":1\r\n"},
        {"return redis.call('status').ok", "$2\r\nOK\r\n"},
        {"return redis.pcall('error').err", "$13\r\nCODE my error\r\n"},
        {"return redis.pcall('error')", "-CODE my error\r\n"},
        {"return redis.call('error')", "-CODE my error" PLACE},
        {"local a = redis.call('array') return {a[1],a[2][1].ok,a[3] == false}",
         "*3\r\n:1\r\n$1\r\nx\r\n:1\r\n"},
        {"local m = redis.call('map').map return {m.a, m.b == nil}", "*2\r\n:1\r\n:1\r\n"},
        {"local s = redis.call('set').set return {s.a, s[5]}", "*2\r\n:1\r\n:1\r\n"},
        {"return redis.call('null') == nil", ":1\r\n"},
        {"return redis.call('true') == true", ":1\r\n"},
        {"return redis.call('double').double * 4", ":5\r\n"},
        {"return redis.call('inf').double == -1/0", ":1\r\n"},
        {"return redis.call('big').big_number", "$9\r\n123456789\r\n"},
        {"local v = redis.call('verbatim').verbatim_string return {v.format,v.string}",
         "*2\r\n$3\r\ntxt\r\n$3\r\nabc\r\n"},
        {"return redis.call('attribute')", ":42\r\n"},
        {"return redis.call('push')", "*1\r\n:1\r\n"},
        {"return redis.call('refused')", "-NOPERM no way" PLACE},
        {"return redis.pcall('refused').err", "$13\r\nNOPERM no way\r\n"},
        {"return redis.call('unknown')", "-ERR Unknown Redis command called from script" PLACE},
        {"return redis.call()",
         "-ERR Please specify at least one argument for this redis lib call" PLACE},
        {"return redis.call('int', {})",
         "-ERR Lua redis lib command arguments must be strings or integers" PLACE},
        {"return redis.pcall('int', nil).err",
         "$63\r\nERR Lua redis lib command arguments must be strings or integers\r\n"},
    };
    struct script_fixture f;
    fixture_open(&f, false);
    f.commands = commands;
    FIXTURE_CHECK(&f, cases);
    fixture_close(&f);
}

static void arguments_of_commands_are_texts(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        const char *called;
    } cases[] = {
        {"redis.call('int', 1, 2.5, 'x')", "int 1 2.5 x"},
        {"redis.call('int', 1e8, -0.1, 1e300, 2^53)", "int 100000000 -0.1 1e+300 9007199254740992"},
        {"redis.call('INT', KEYS[2], ARGV[1])", "INT k2 a1"},
        {"redis.call('int', 1/0)", "int inf"},
    };
    struct script_fixture f;
    fixture_open(&f, false);
    f.commands = commands;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(fixture_run(&f, cases[i].code), "$-1\r\n");
        assert_bytes(buf_bytes(&f.called), bytes_text(cases[i].called));
        assert_int_equal(f.resp, 2);
    }
    (void)fixture_run(&f, "redis.setresp(3) redis.call('int')");
    assert_int_equal(f.resp, 3);
    (void)fixture_run(&f, "redis.call('int')");
    assert_int_equal(f.resp, 2);
    fixture_close(&f);
}

static void errors_say_where(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return error('boom')", "-ERR user_script:1: boom" PLACE},
        {"return error('boom', 0)", "-ERR boom" PLACE},
        {"\n\nlocal a\nreturn a.b", "-ERR user_script:4: attempt to index local 'a' (a nil value) "
                                    "script: sha, on @user_script:4.\r\n"},
        {"error({err='CODE mine'})", "-CODE mine" PLACE},
        {"error({})", "-ERR unknown error" PLACE},
        {"error(_G)", "-ERR unknown error\r\n"},
        {"error()", "-ERR nil" PLACE},
        {"error(true)", "-ERR true" PLACE},
        {"error(setmetatable({}, {__index=function() error('more') end}))",
         "-ERR unknown error" PLACE},
        {"return redis.error_reply('x')", "-ERR x\r\n"},
        {"return redis.error_reply('-CODE x\\r\\n')", "-CODE x\r\n"},
        {"return redis.error_reply('')", "-ERR \r\n"},
        {"return redis.error_reply(1)", "-ERR wrong number or type of arguments\r\n"},
        {"return redis.status_reply('S')", "+S\r\n"},
        {"return redis.status_reply()", "-ERR wrong number or type of arguments\r\n"},
        {"return redis.sha1hex('abc')", "$40\r\na9993e364706816aba3e25717850c26c9cd0d89d\r\n"},
        {"return redis.sha1hex()", "-ERR wrong number of arguments" PLACE},
        {"redis.setresp(1)", "-ERR RESP version must be 2 or 3." PLACE},
        {"redis.setresp()", "-ERR redis.setresp() requires one argument." PLACE},
        {"redis.set_repl(4)",
         "-ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL "
         "or REPL_NONE." PLACE},
        {"return redis.replicate_commands()", ":1\r\n"},
        {"return {redis.acl_check_cmd('get','k'), redis.acl_check_cmd('set','k')}",
         "*2\r\n:1\r\n$-1\r\n"},
        {"redis.acl_check_cmd('x')", "-ERR Invalid command passed to redis.acl_check_cmd()" PLACE},
        {"redis.log(redis.LOG_DEBUG)", "-ERR redis.log() requires two arguments or more." PLACE},
        {"redis.log('x', 1)", "-ERR First argument must be a number (log level)." PLACE},
        {"redis.log(4, 1)", "-ERR Invalid debug level." PLACE},
        {"return redis.REDIS_VERSION", "$5\r\n7.2.4\r\n"},
        {"return redis.REDIS_VERSION_NUM", ":459268\r\n"},
        {"return if", "user_script:1: unexpected symbol near 'if'"},
        {"return pcall(error, {err='CODE x'})", "$-1\r\n"},
    };
    struct script_fixture f;
    fixture_open(&f, false);
    FIXTURE_CHECK(&f, cases);
    fixture_close(&f);
}

static void caught_errors_are_texts(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return {pcall(error, {err='CODE x'})}", "*2\r\n$-1\r\n$6\r\nCODE x\r\n"},
        {"return select(2, pcall(error, {err='CODE x'}))", "$6\r\nCODE x\r\n"},
        {"return select(2, pcall(redis.call, 'error'))", "$13\r\nCODE my error\r\n"},
        {"return type(select(2, pcall(error, {1})))", "$5\r\ntable\r\n"},
        {"return {pcall(function(...) return ... end, 1, 2)}", "*3\r\n:1\r\n:1\r\n:2\r\n"},
        {"return type(select(2, xpcall(function() redis.call('error') end, function(e) return e "
         "end)))",
         "$5\r\ntable\r\n"},
    };
    struct script_fixture f;
    fixture_open(&f, false);
    f.commands = commands;
    FIXTURE_CHECK(&f, cases);
    fixture_close(&f);
}

static void errors_of_commands_are_counted_once(void **state)
{
    (void)state;
    struct script_fixture f;
    fixture_open(&f, false);
    f.commands = commands;
    (void)fixture_run(&f, "return redis.call('error')");
    assert_true(f.result.error_counted);
    (void)fixture_run(&f, "return redis.pcall('error')");
    assert_true(f.result.error_counted);
    (void)fixture_run(&f, "return redis.error_reply('x')");
    assert_false(f.result.error_counted);
    (void)fixture_run(&f, "error('x')");
    assert_false(f.result.error_counted);
    fixture_close(&f);
}

static void log_lines_are_joined(void **state)
{
    (void)state;
    struct script_fixture f;
    fixture_open(&f, false);
    (void)fixture_run(&f, "redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b') redis.log(0, 'quiet')");
    assert_bytes(buf_bytes(&f.logged), bytes_text("3:a 1 b"));
    fixture_close(&f);
}

static void random_numbers_are_those_of_lrand48(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return math.random(0)",
         "-ERR user_script:1: bad argument #1 to 'random' (interval is empty)" PLACE},
        {"return math.random(2, 1)",
         "-ERR user_script:1: bad argument #2 to 'random' (interval is empty)" PLACE},
        {"return math.random(1, 2, 3)", "-ERR user_script:1: wrong number of arguments" PLACE},
        {"local r = math.random() return r >= 0 and r < 1", ":1\r\n"},
        {"return math.random(-2147483648, 2147483647) ~= nil", ":1\r\n"},
    };
    struct script_fixture f;
    fixture_open(&f, false);
    FIXTURE_CHECK(&f, cases);
    srand48(10);
    for (int i = 0; i < 5; i++) {
        char expected[64];
        double random = (double)(lrand48() % INT32_MAX) / INT32_MAX;
        int number = (int)(random * 1000) + 1;
        (void)snprintf(expected, sizeof(expected), ":%d\r\n", number);
        assert_string_equal(fixture_run(&f, i == 0 ? "math.randomseed(10) return math.random(1000)"
                                                   : "return math.random(1000)"),
                            expected);
    }
    fixture_close(&f);
}

/* ---- Limits. */

static void memory_is_bounded(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "local t = {} for i = 1, 1e9 do t[i] = {} end",
        "return string.rep('x', 100 * 1024 * 1024)",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} for i = 1, 1e9 do t[i] = tostring(i) end",
        "return cjson.encode(string.rep('\\0', 8 * 1024 * 1024))",
        "return cmsgpack.pack(string.rep('x', 12 * 1024 * 1024))",
    };
    struct script_fixture f;
    fixture_open(&f, false);
    f.interrupts_max = 100000;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        assert_string_equal(fixture_run(&f, scripts[i]),
                            "-ERR Error running script sha, not enough memory\r\n");
        assert_true(script_lua_bytes(f.lua) <= 2 * FIXTURE_MEMORY_BYTES_MAX);
        /* It goes on. */
        assert_string_equal(fixture_run(&f, "return #string.rep('x', 1024 * 1024)"),
                            ":1048576\r\n");
    }
    fixture_close(&f);
}

static void caught_lack_of_memory_leaves_a_working_script(void **state)
{
    (void)state;
    struct script_fixture f;
    fixture_open(&f, false);
    assert_string_equal(
        fixture_run(&f, "local ok, e = pcall(string.rep, 'x', 2^28) return {tostring(ok), e}"),
        "*2\r\n$5\r\nfalse\r\n$17\r\nnot enough memory\r\n");
    fixture_close(&f);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    struct script_fixture f;
    fixture_open(&f, false);
    const char *reply = fixture_run(&f, "local a = {} a[1] = a return a");
    while (strncmp(reply, "*1\r\n", 4) == 0)
        reply += 4;
    assert_string_equal(reply, "-ERR reached lua stack limit\r\n");
    reply = fixture_run(&f, "local a = {} a.map = {} a.map[1] = a return a");
    assert_non_null(strstr(reply, "-ERR reached lua stack limit\r\n"));
    assert_non_null(strstr(fixture_run(&f, "local function f() return f() + 1 end return f()"),
                           "stack overflow"));
    static const struct script_case cases[] = {
        {"return (string.find('x', string.rep('.?', 100000)))", ":1\r\n"},
        {"return (string.find(string.rep('a', 9000), string.rep('a', 9000)))", ":1\r\n"},
        {"return (string.find(string.rep('.', 9000), string.rep('.', 9000), 1, true))", ":1\r\n"},
        {"return string.rep('x', 2^30)", "-ERR user_script:1: resulting string too large" PLACE},
        {"table.insert({}, -2147483648, 1)",
         "-ERR user_script:1: bad argument #2 to 'insert' (position out of bounds)" PLACE},
        {"return unpack({}, 0, 2147483647)",
         "-ERR user_script:1: too many results to unpack" PLACE},
        {"return unpack({}, -2147483648, 2147483647)",
         "-ERR user_script:1: too many results to unpack" PLACE},
        {"return {unpack({1, 2, 3}, 2)}", "*2\r\n:2\r\n:3\r\n"},
        {"return {unpack({1, 2, 3}, 3, 2)}", "*0\r\n"},
    };
    FIXTURE_CHECK(&f, cases);
    fixture_close(&f);
}

static void endless_scripts_are_killed(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local f = coroutine.wrap(function() while true do end end) while true do pcall(f) end",
        "repeat until false",
        "local function f() return f() end f()",
        "while true do xpcall(error, function(e) while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) "
        "end",
        "local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "string.gsub('x', 'x', function() while true do end end)",
        "load(function() while true do end end)",
        /* Patterns that would take longer than anybody waits. */
        "string.find(string.rep('a', 5000), string.rep('a?', 5000) .. 'b')",
        "string.match(string.rep('a', 5000), '.-.-.-.-.-b')",
        "string.gsub(string.rep('a', 100000), '.-.-b', '')",
        "for x in string.gmatch(string.rep('a', 5000), '(a*)*(a*)(a*)b') do end",
        "string.find(string.rep('a', 20000), '[' .. string.rep('b', 100000) .. ']*c')",
        "string.find(string.rep('(', 30000), '%b()%b()')",
        "while true do pcall(string.find, string.rep('a', 5000), string.rep('a*', 100) .. 'b') end",
    };
    struct script_fixture f;
    fixture_open(&f, false);
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        f.interrupts = 0;
        f.interrupts_max = 5;
        const char *reply = fixture_run(&f, scripts[i]);
        if (strncmp(reply, "-ERR Script killed by user with SCRIPT KILL...", 46) != 0)
            fail_msg("%s: %s", scripts[i], reply);
        f.interrupts_max = 1000;
        assert_string_equal(fixture_run(&f, "return 1"), ":1\r\n");
    }
    fixture_close(&f);
}

static void scripts_do_not_leak(void **state)
{
    (void)state;
    struct script_fixture f;
    fixture_open(&f, false);
    f.commands = commands;
    size_t before = 0;
    for (int i = 0; i < 4000; i++) {
        if (i == 1000) {
            script_lua_collect(f.lua);
            before = script_lua_bytes(f.lua);
        }
        (void)fixture_run(&f, i % 2 == 0 ? "return {redis.call('array'), tostring(math.random())}"
                                         : "return redis.call('error', {})");
    }
    script_lua_collect(f.lua);
    assert_true(script_lua_bytes(f.lua) <= before + 1024);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(values_become_replies),
        TEST(values_become_replies_of_resp3),
        TEST(replies_become_values),
        TEST(arguments_of_commands_are_texts),
        TEST(errors_say_where),
        TEST(caught_errors_are_texts),
        TEST(errors_of_commands_are_counted_once),
        TEST(log_lines_are_joined),
        TEST(random_numbers_are_those_of_lrand48),
        TEST(memory_is_bounded),
        TEST(caught_lack_of_memory_leaves_a_working_script),
        TEST(nesting_is_bounded),
        TEST(endless_scripts_are_killed),
        TEST(scripts_do_not_leak),
    };
    return RUN_TESTS("script_lua", tests);
}
