/* Goal: bit, struct, cmsgpack and cjson give what those of Redis 7.2 give, and stand any input.
 * Method: tables of scripts; for the decoders also every truncation and every single-byte change of
 * valid input, and random bytes. */
#include "server/script_lib.h"

#include "tests/unit/script_fixture.h"

#include <stdio.h>

#define PLACE      " script: sha, on @user_script:1.\r\n"
#define FAILS(say) "-ERR user_script:1: " say PLACE

static void check(const struct script_case *cases, size_t count)
{
    struct script_fixture f;
    fixture_open(&f, false);
    fixture_check(&f, cases, count);
    fixture_close(&f);
}

static void bits_are_those_of_32_bit_integers(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return bit.tobit(0xffffffff)", ":-1\r\n"},
        {"return bit.tobit(2^31)", ":-2147483648\r\n"},
        {"return bit.tobit(2^32 + 5)", ":5\r\n"},
        {"return bit.tobit('12')", ":12\r\n"},
        {"return bit.tobit(2.5)", ":2\r\n"},
        {"return bit.tobit(3.5)", ":4\r\n"},
        {"return bit.bnot(0)", ":-1\r\n"},
        {"return bit.band(0x12345678, 0xff, 0xf0)", ":112\r\n"},
        {"return bit.bor(1, 2, 4, 8)", ":15\r\n"},
        {"return bit.bxor(0xa5a5f0f0, 0xaa55ff00)", ":267390960\r\n"},
        {"return bit.lshift(1, 31)", ":-2147483648\r\n"},
        {"return bit.lshift(1, 32)", ":1\r\n"},
        {"return bit.rshift(-1, 28)", ":15\r\n"},
        {"return bit.arshift(-256, 4)", ":-16\r\n"},
        {"return bit.arshift(-256, 0)", ":-256\r\n"},
        {"return bit.arshift(256, 4)", ":16\r\n"},
        {"return bit.rol(0x12345678, 12)", ":1164411171\r\n"},
        {"return bit.rol(5, 0)", ":5\r\n"},
        {"return bit.ror(0x12345678, 12)", ":1736516421\r\n"},
        {"return bit.bswap(0x12345678)", ":2018915346\r\n"},
        {"return bit.tohex(255)", "$8\r\n000000ff\r\n"},
        {"return bit.tohex(-1, -4)", "$4\r\nFFFF\r\n"},
        {"return bit.tohex(255, 0)", "$0\r\n\r\n"},
        {"return bit.tohex(1, 100)", "$8\r\n00000001\r\n"},
        {"return bit.tohex(1, -2147483648)", "$8\r\n00000001\r\n"},
        {"return bit.band()", FAILS("bad argument #1 to 'band' (number expected, got no value)")},
        {"return bit.band(1, {})", FAILS("bad argument #2 to 'band' (number expected, got table)")},
        {"return bit.bor(1, 'x')", FAILS("bad argument #2 to 'bor' (number expected, got string)")},
    };
    check(cases, sizeof(cases) / sizeof(cases[0]));
}

static void structures_are_packed_and_unpacked(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return struct.pack('>bBhH', -1, 255, -2, 65535)", "$6\r\n\xff\xff\xff\xfe\xff\xff\r\n"},
        {"return struct.pack('<i4', 0x01020304)", "$4\r\n\4\3\2\1\r\n"},
        {"return struct.pack('>i3>I5', 1, 2) == '\\0\\0\\1\\0\\0\\0\\0\\2'", ":1\r\n"},
        {"return #struct.pack('lLTfd', 1, 2, 3, 4, 5)", ":36\r\n"},
        {"return struct.pack('s', 'abc') == 'abc\\0'", ":1\r\n"},
        {"return struct.pack('c2', 'abc')", "$2\r\nab\r\n"},
        {"return struct.pack('c0', 'abc')", "$3\r\nabc\r\n"},
        {"return struct.pack('!4 b i4', 1, 2) == '\\1\\0\\0\\0\\2\\0\\0\\0'", ":1\r\n"},
        {"return struct.pack('bxb', 1, 2) == '\\1\\0\\2'", ":1\r\n"},
        {"return {struct.unpack('>bBhH', '\\255\\255\\255\\254\\255\\255')}",
         "*5\r\n:-1\r\n:255\r\n:-2\r\n:65535\r\n:7\r\n"},
        {"return {struct.unpack('<i4i4', '\\4\\3\\2\\1\\255\\255\\255\\255')}",
         "*3\r\n:16909060\r\n:-1\r\n:9\r\n"},
        {"return {struct.unpack('>i3', '\\255\\255\\254')}", "*2\r\n:-2\r\n:4\r\n"},
        {"return {struct.unpack('>i8', '\\255\\255\\255\\255\\255\\255\\255\\254')}",
         "*2\r\n:-2\r\n:9\r\n"},
        {"return {struct.unpack('s', 'abc\\0def')}", "*2\r\n$3\r\nabc\r\n:5\r\n"},
        {"return {struct.unpack('c3', 'abcdef')}", "*2\r\n$3\r\nabc\r\n:4\r\n"},
        {"return {struct.unpack('Bc0', '\\2abc')}", "*2\r\n$2\r\nab\r\n:4\r\n"},
        {"return {struct.unpack('>f>d', struct.pack('>f>d', 1.5, -2.25))}",
         "*3\r\n:1\r\n:-2\r\n:13\r\n"},
        {"return {struct.unpack('b', 'abc', 3)}", "*2\r\n:99\r\n:4\r\n"},
        {"return struct.size('!8 b d i2')", ":18\r\n"},
        {"return struct.size('c10')", ":10\r\n"},
        {"return struct.pack('i')", FAILS("bad argument #2 to 'pack' (number expected, got nil)")},
        {"return struct.pack('s')", FAILS("bad argument #2 to 'pack' (string expected, got nil)")},
        {"return struct.pack('c5', 'abc')", FAILS("bad argument #3 to 'pack' (string too short)")},
        {"return struct.pack('z', 1)",
         FAILS("bad argument #1 to 'pack' (invalid format option 'z')")},
        {"return struct.pack('i33', 1)", FAILS("integral size 33 is larger than limit of 32")},
        {"return struct.pack('i99999999999', 1)", FAILS("integral size overflow")},
        {"return struct.pack('!3', 1)", FAILS("alignment 3 is not a power of 2")},
        {"return struct.pack('!0', 1)", FAILS("alignment 0 is not a power of 2")},
        {"return #struct.pack('i32', -1)", ":32\r\n"},
        {"return struct.unpack('i4', 'abc')",
         FAILS("bad argument #2 to 'unpack' (data string too short)")},
        {"return struct.unpack('b', 'abc', 4)",
         FAILS("bad argument #2 to 'unpack' (data string too short)")},
        {"return struct.unpack('b', 'abc', 0)",
         FAILS("bad argument #3 to 'unpack' (offset must be 1 or greater)")},
        {"return struct.unpack('b', 'abc', -5)",
         FAILS("bad argument #3 to 'unpack' (offset must be 1 or greater)")},
        {"return struct.unpack('b', 'abc', 2^62)",
         FAILS("bad argument #2 to 'unpack' (data string too short)")},
        {"return struct.unpack('s', 'abc')", FAILS("unfinished string in data")},
        {"return struct.unpack('c0', 'abc')", FAILS("format 'c0' needs a previous size")},
        {"return struct.unpack('Bc0', '\\9abc')",
         FAILS("bad argument #2 to 'unpack' (data string too short)")},
        {"return struct.unpack('i8c0', '\\255\\255\\255\\255\\255\\255\\255\\255abc')",
         FAILS("bad argument #2 to 'unpack' (data string too short)")},
        {"return struct.unpack('c2147483647', 'abc')",
         FAILS("bad argument #2 to 'unpack' (data string too short)")},
        {"return struct.size('s')",
         FAILS("bad argument #1 to 'size' (option 's' has no fixed size)")},
        {"return struct.size('c0')",
         FAILS("bad argument #1 to 'size' (option 'c0' has no fixed size)")},
    };
    check(cases, sizeof(cases) / sizeof(cases[0]));
}

static void numbers_beyond_integers_are_packed_somehow(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return #struct.pack('i8', 1/0)", ":8\r\n"},
        {"return #struct.pack('i8', -1/0)", ":8\r\n"},
        {"return #struct.pack('i8', 0/0)", ":8\r\n"},
        {"return #struct.pack('f', 1e300)", ":4\r\n"},
        {"return struct.unpack('>i8', struct.pack('>i8', -2^63)) == -2^63", ":1\r\n"},
        {"return struct.unpack('>I8', struct.pack('>I8', 2^63)) == 2^63", ":1\r\n"},
    };
    check(cases, sizeof(cases) / sizeof(cases[0]));
}

static const char hex_function[] =
    "local function hex(s) return (s:gsub('.', function(c) return ('%02x'):format(c:byte()) end)) "
    "end ";

static void messages_are_packed_in_their_shortest_form(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *hex;
    } cases[] = {
        {"0", "00"},
        {"127", "7f"},
        {"128", "cc80"},
        {"255", "ccff"},
        {"256", "cd0100"},
        {"65535", "cdffff"},
        {"65536", "ce00010000"},
        {"4294967295", "ceffffffff"},
        {"4294967296", "cf0000000100000000"},
        {"-1", "ff"},
        {"-32", "e0"},
        {"-33", "d0df"},
        {"-128", "d080"},
        {"-129", "d1ff7f"},
        {"-32768", "d18000"},
        {"-32769", "d2ffff7fff"},
        {"-2147483648", "d280000000"},
        {"-2147483649", "d3ffffffff7fffffff"},
        {"-2^63", "d38000000000000000"},
        {"2^63", "ca5f000000"},
        {"1.5", "ca3fc00000"},
        {"0.1", "cb3fb999999999999a"},
        {"1/0", "ca7f800000"},
        {"true", "c3"},
        {"false", "c2"},
        {"nil", "c0"},
        {"type", "c0"},
        {"'abc'", "a3616263"},
        {"('x'):rep(31):sub(1,1)", "a178"},
        {"{}", "90"},
        {"{1,2}", "920102"},
        {"{a=1}", "81a16101"},
        {"{[1]=1,[3]=3}", "8201010303"},
        {"{[0]=1}", "810001"},
        {"{[1.5]=1}", "81ca3fc0000001"},
        {"1, 'a', nil", "01a161c0"},
    };
    struct script_fixture f;
    fixture_open(&f, false);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char code[512];
        char reply[128];
        (void)snprintf(code, sizeof(code), "%sreturn hex(cmsgpack.pack(%s))", hex_function,
                       cases[i].value);
        (void)snprintf(reply, sizeof(reply), "$%zu\r\n%s\r\n", strlen(cases[i].hex), cases[i].hex);
        const struct script_case one = {code, reply};
        fixture_check(&f, &one, 1);
    }
    fixture_close(&f);
}

static void messages_are_unpacked(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return {cmsgpack.unpack('\\0\\127\\255\\224')}", "*4\r\n:0\r\n:127\r\n:-1\r\n:-32\r\n"},
        {"return {cmsgpack.unpack('\\204\\128\\205\\1\\0\\206\\0\\1\\0\\0')}",
         "*3\r\n:128\r\n:256\r\n:65536\r\n"},
        {"return {cmsgpack.unpack('\\208\\128\\209\\255\\127\\210\\128\\0\\0\\0')}",
         "*3\r\n:-128\r\n:-129\r\n:-2147483648\r\n"},
        {"return cmsgpack.unpack('\\207\\0\\0\\0\\1\\0\\0\\0\\0')", ":4294967296\r\n"},
        {"return cmsgpack.unpack('\\207\\255\\255\\255\\255\\255\\255\\255\\255')", ":-1\r\n"},
        {"return cmsgpack.unpack('\\202\\63\\192\\0\\0') * 2", ":3\r\n"},
        {"return cmsgpack.unpack('\\203\\63\\185\\153\\153\\153\\153\\153\\154') * 10", ":1\r\n"},
        {"return {cmsgpack.unpack('\\195\\194\\193')}", FAILS("Bad data format in input.")},
        {"return {cmsgpack.unpack('\\195')}", "*1\r\n:1\r\n"},
        {"return cmsgpack.unpack('\\217\\2ab')", "$2\r\nab\r\n"},
        {"return cmsgpack.unpack('\\218\\0\\2ab')", "$2\r\nab\r\n"},
        {"return cmsgpack.unpack('\\219\\0\\0\\0\\2ab')", "$2\r\nab\r\n"},
        {"return cmsgpack.unpack('\\220\\0\\2\\1\\2')", "*2\r\n:1\r\n:2\r\n"},
        {"return cmsgpack.unpack('\\221\\0\\0\\0\\2\\1\\2')", "*2\r\n:1\r\n:2\r\n"},
        {"return cmsgpack.unpack('\\222\\0\\1\\161a\\5').a", ":5\r\n"},
        {"return cmsgpack.unpack('\\223\\0\\0\\0\\1\\161a\\5').a", ":5\r\n"},
        {"return cmsgpack.unpack('\\129\\192\\1')",
         "-ERR table index is nil script: sha, on @user_script:1.\r\n"},
        {"return {cmsgpack.unpack_one('\\1\\2\\3')}", "*2\r\n:1\r\n:1\r\n"},
        {"return {cmsgpack.unpack_one('\\1\\2\\3', 2)}", "*2\r\n:-1\r\n:3\r\n"},
        {"return {cmsgpack.unpack_limit('\\1\\2\\3', 2)}", "*3\r\n:2\r\n:1\r\n:2\r\n"},
        {"return {cmsgpack.unpack_limit('\\1\\2\\3', 2, 1)}", "*3\r\n:-1\r\n:2\r\n:3\r\n"},
        {"return {cmsgpack.unpack_limit('\\1\\2\\3', 0, 0)}", "*3\r\n:1\r\n:2\r\n:3\r\n"},
        {"return {cmsgpack.unpack('')}", "*0\r\n"},
        {"return cmsgpack.unpack('\\1', 5)", ":1\r\n"},
        {"return cmsgpack.unpack_one('\\1', 2)",
         FAILS("Start offset 2 greater than input length 1.")},
        {"return cmsgpack.unpack_one('\\1', -1)",
         FAILS("Invalid request to unpack with offset of -1 and limit of 1.")},
        {"return cmsgpack.unpack('\\221\\255\\255\\255\\255')", FAILS("Missing bytes in input.")},
        {"return cmsgpack.unpack('\\223\\255\\255\\255\\255\\1')",
         FAILS("Missing bytes in input.")},
        {"return cmsgpack.unpack('\\219\\255\\255\\255\\255a')", FAILS("Missing bytes in input.")},
        {"return cmsgpack.unpack(('\\145'):rep(100000))",
         FAILS("Too many nested values in input.")},
        {"return cmsgpack.pack()",
         FAILS("bad argument #0 to 'pack' (MessagePack pack needs input.)")},
        {"local t = {} t[1] = t return #cmsgpack.pack(t)", ":17\r\n"},
        {"return #cmsgpack.pack(('x'):rep(31), ('x'):rep(32), ('x'):rep(256), ('x'):rep(65536))",
         ":65866\r\n"},
        {"local t = {} for i = 1, 70000 do t[i] = i end "
         "return #cmsgpack.unpack(cmsgpack.pack(t))",
         ":70000\r\n"},
        {"local t = {} for i = 1, 70000 do t['k' .. i] = i end "
         "local u = cmsgpack.unpack(cmsgpack.pack(t)) return {u.k1, u.k70000}",
         "*2\r\n:1\r\n:70000\r\n"},
    };
    check(cases, sizeof(cases) / sizeof(cases[0]));
}

static void json_is_encoded(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return cjson.encode({1, 2.5, 'x', true, cjson.null})",
         "$21\r\n[1,2.5,\"x\",true,null]\r\n"},
        {"return cjson.encode({a = {b = 1}})", "$13\r\n{\"a\":{\"b\":1}}\r\n"},
        {"return cjson.encode({})", "$2\r\n{}\r\n"},
        {"return cjson.encode({[1]=1,[2]=2,[4]=4})", "$12\r\n[1,2,null,4]\r\n"},
        {"return cjson.encode({[1]=1,[1000]=2})",
         FAILS("Cannot serialise table: excessively sparse array")},
        {"return cjson.encode({[1.5]=1})", "$9\r\n{\"1.5\":1}\r\n"},
        {"return cjson.encode({[true]=1})",
         FAILS("Cannot serialise boolean: table key must be a number or string")},
        {"return cjson.encode('\\0\\1\\b\\t\\n\\f\\r\\\"\\\\/\\127 \\195\\169')",
         "$39\r\n\"\\u0000\\u0001\\b\\t\\n\\f\\r\\\"\\\\\\/\\u007f \xc3\xa9\"\r\n"},
        {"return cjson.encode(1e100)", "$6\r\n1e+100\r\n"},
        {"return cjson.encode(0.1)", "$3\r\n0.1\r\n"},
        {"return cjson.encode(1/3)", "$16\r\n0.33333333333333\r\n"},
        {"return cjson.encode(1/0)", FAILS("Cannot serialise number: must not be NaN or Inf")},
        {"return cjson.encode(type)", FAILS("Cannot serialise function: type not supported")},
        {"return cjson.encode()", FAILS("bad argument #1 to 'encode' (expected 1 argument)")},
        {"local t = {} t[1] = t return cjson.encode(t)",
         FAILS("Cannot serialise, excessive nesting (1001)")},
        {"return cjson.encode(nil)", "$4\r\nnull\r\n"},
    };
    check(cases, sizeof(cases) / sizeof(cases[0]));
}

static void json_is_decoded(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return cjson.decode('[1, -2, 3.5e1, \"x\", {}, []]')",
         "*6\r\n:1\r\n:-2\r\n:35\r\n$1\r\nx\r\n*0\r\n*0\r\n"},
        {"local t = cjson.decode('{\"a\":{\"b\":[true,false,null]}}') "
         "return {t.a.b[1], t.a.b[2] == false, t.a.b[3] == cjson.null}",
         "*3\r\n:1\r\n:1\r\n:1\r\n"},
        {"return cjson.decode('\"\\\\u00e9\\\\ud83d\\\\ude00\\\\n\\\\/\\\\\"\"')",
         "$9\r\n\xc3\xa9\xf0\x9f\x98\x80\n/\"\r\n"},
        {"return cjson.decode('\"\\\\u0000\"') == '\\0'", ":1\r\n"},
        {"return cjson.decode(' 5 ')", ":5\r\n"},
        {"return cjson.decode('0x10')", ":16\r\n"},
        {"return cjson.decode('Infinity') == 1/0", ":1\r\n"},
        {"local n = cjson.decode('nan') return n ~= n", ":1\r\n"},
        {"return cjson.decode('')", FAILS("Expected value but found T_END at character 1")},
        {"return cjson.decode('[1,')", FAILS("Expected value but found T_END at character 4")},
        {"return cjson.decode('[1,]')", FAILS("Expected value but found T_ARR_END at character 4")},
        {"return cjson.decode('[1 2]')",
         FAILS("Expected comma or array end but found T_NUMBER at character 4")},
        {"return cjson.decode('{\"a\"}')",
         FAILS("Expected colon but found T_OBJ_END at character 5")},
        {"return cjson.decode('{\"a\":1,}')",
         FAILS("Expected object key string but found T_OBJ_END at character 8")},
        {"return cjson.decode('{1:2}')",
         FAILS("Expected object key string but found T_NUMBER at character 2")},
        {"return cjson.decode('{\"a\":1 2}')",
         FAILS("Expected comma or object end but found T_NUMBER at character 8")},
        {"return cjson.decode('[1] x')",
         FAILS("Expected the end but found invalid token at character 5")},
        {"return cjson.decode('nope')",
         FAILS("Expected value but found invalid token at character 1")},
        {"return cjson.decode('-')",
         FAILS("Expected value but found invalid number at character 1")},
        {"return cjson.decode('\"abc')",
         FAILS("Expected value but found unexpected end of string at character 5")},
        {"return cjson.decode('\"\\\\x\"')",
         FAILS("Expected value but found invalid escape code at character 2")},
        {"return cjson.decode('\"\\\\ud800\"')",
         FAILS("Expected value but found invalid unicode escape code at character 2")},
        {"return cjson.decode('\"\\\\udc00\"')",
         FAILS("Expected value but found invalid unicode escape code at character 2")},
        {"return cjson.decode('\"\\\\u12')",
         FAILS("Expected value but found invalid unicode escape code at character 2")},
        {"return cjson.decode('\"\\\\')",
         FAILS("Expected value but found invalid escape code at character 2")},
        {"return cjson.decode('[\\0')", FAILS("JSON parser does not support UTF-16 or UTF-32")},
        {"return #cjson.decode(('['):rep(1000) .. (']'):rep(1000))", ":1\r\n"},
        {"return cjson.decode(('['):rep(1001) .. (']'):rep(1001))",
         FAILS("Found too many nested data structures (1001) at character 1001")},
        {"return cjson.decode()", FAILS("bad argument #1 to 'decode' (expected 1 argument)")},
        {"return cjson.decode({})",
         FAILS("bad argument #1 to 'decode' (string expected, got table)")},
    };
    check(cases, sizeof(cases) / sizeof(cases[0]));
}

static void json_has_settings(void **state)
{
    (void)state;
    static const struct script_case cases[] = {
        {"return {cjson.encode_max_depth(), cjson.decode_max_depth(), "
         "cjson.encode_number_precision(), cjson.encode_keep_buffer(), "
         "cjson.encode_invalid_numbers() == false, cjson.decode_invalid_numbers()}",
         "*6\r\n:1000\r\n:1000\r\n:14\r\n:1\r\n:1\r\n:1\r\n"},
        {"local c, r, s = cjson.encode_sparse_array() return {tostring(c), r, s}",
         "*3\r\n$5\r\nfalse\r\n:2\r\n:10\r\n"},
        {"local j = cjson.new() j.encode_max_depth(1) return j.encode({{}})",
         FAILS("Cannot serialise, excessive nesting (2)")},
        {"return cjson.encode({{}})", "$4\r\n[{}]\r\n"},
        {"local j = cjson.new() j.encode_max_depth(100000) local t = {} t[1] = t "
         "return j.encode(t)",
         FAILS("Cannot serialise, excessive nesting (4001)")},
        {"local j = cjson.new() j.encode_sparse_array(true) return j.encode({[1]=1,[1000]=2})",
         "$16\r\n{\"1\":1,\"1000\":2}\r\n"},
        {"local j = cjson.new() j.encode_number_precision(3) return j.encode(1/3)",
         "$5\r\n0.333\r\n"},
        {"local j = cjson.new() j.encode_invalid_numbers('null') return j.encode({1/0, 0/0})",
         "$11\r\n[null,null]\r\n"},
        {"local j = cjson.new() j.encode_invalid_numbers(true) return j.encode({1/0, 0/0})",
         "$9\r\n[inf,nan]\r\n"},
        {"local j = cjson.new() j.decode_invalid_numbers(false) return j.decode('0x10')",
         FAILS("Expected value but found invalid number at character 1")},
        {"cjson.new().encode_max_depth(0)",
         FAILS(
             "bad argument #1 to 'encode_max_depth' (expected integer between 1 and 2147483647)")},
        {"cjson.new().encode_invalid_numbers('x')",
         FAILS("bad argument #1 to 'encode_invalid_numbers' (invalid option 'x')")},
        {"cjson.new().encode_max_depth(1, 2)",
         FAILS("bad argument #2 to 'encode_max_depth' (found too many arguments)")},
    };
    check(cases, sizeof(cases) / sizeof(cases[0]));
}

/* ---- Damaged input. */

/* Runs the script with ARGV[1] cut off at each byte, and with each byte changed to each value. */
static void try_all(const char *code, const uint8_t *bytes, size_t len)
{
    struct script_fixture f;
    struct buf error = {0};
    fixture_open(&f, false);
    int reference = script_lua_compile(f.lua, bytes_text(code), "@user_script", &error);
    assert_int_not_equal(reference, SCRIPT_LUA_NONE);
    uint8_t *copy = mem_dup(bytes, len);
    for (size_t i = 0; i < len; i++) {
        for (int value = -1; value < 256; value++) {
            /* -1: cut off here */
            copy[i] = value < 0 ? bytes[i] : (uint8_t)value;
            struct bytes arg = bytes_make(copy, value < 0 ? i : len);
            const struct script_lua_call call = {.reference = reference,
                                                 .name = "sha",
                                                 .args = &arg,
                                                 .arg_count = 1,
                                                 .reply = &f.reply};
            f.result = script_lua_run(f.lua, &call);
            assert_true(output_bytes(&f.output) > 0);
            output_clear(&f.output);
        }
        copy[i] = bytes[i];
    }
    mem_free(copy);
    fixture_close(&f);
    buf_deinit(&error);
}

static void damaged_input_is_an_error_at_worst(void **state)
{
    (void)state;
    static const uint8_t message[] =
        "\x94\xcc\x80\xd9\x03"
        "abc\x82\xa1"
        "a\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a\x05\xc0\xdc\x00\x02\x01\xda\x00\x01x";
    static const uint8_t json[] = "{\"a\":[1,-2.5e3,\"\\u00e9\\n\",true,null],\"b\":{}}";
    static const uint8_t packed[] = "\x01\x02\x03\x04\x05xyz\0\1\2\3\4\5\6\7\10";
    try_all("return tostring((cmsgpack.unpack(ARGV[1])))", message, sizeof(message) - 1);
    try_all("return tostring(cjson.decode(ARGV[1]))", json, sizeof(json) - 1);
    try_all("return {struct.unpack('>!4bi2Bc0sd', ARGV[1])}", packed, sizeof(packed) - 1);
    static const uint8_t format[] = ">!4b i3 c2 s d I8 x";
    try_all("return {pcall(struct.unpack, ARGV[1], ('x'):rep(64))}", format, sizeof(format) - 1);
    try_all("return {pcall(struct.pack, ARGV[1], 1, 2, 'abc', 'x', 5, 6)}", format,
            sizeof(format) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bits_are_those_of_32_bit_integers),
        TEST(structures_are_packed_and_unpacked),
        TEST(numbers_beyond_integers_are_packed_somehow),
        TEST(messages_are_packed_in_their_shortest_form),
        TEST(messages_are_unpacked),
        TEST(json_is_encoded),
        TEST(json_is_decoded),
        TEST(json_has_settings),
        TEST(damaged_input_is_an_error_at_worst),
    };
    return RUN_TESTS("script_lib", tests);
}
