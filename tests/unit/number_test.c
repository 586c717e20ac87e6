/* Numbers as text: both sides of each limit, and the texts that Redis 7.2 gives. */
#include "codec/mem.h"
#include "codec/number.h"
#include "tests/support/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void integers_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"1", true, 1},
        {"-1", true, -1},
        {"10", true, 10},
        {"1234567890123456789", true, INT64_C(1234567890123456789)},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"9999999999999999999", false, 0},
        {"-9999999999999999999", false, 0},
        {"18446744073709551616", false, 0},
        {"100000000000000000000", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"+1", false, 0},
        {"-0", false, 0},
        {"00", false, 0},
        {"01", false, 0},
        {"-01", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"--1", false, 0},
        {"1a", false, 0},
        {"/", false, 0},
        {":", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t value = 77;
        if (number_parse_i64(bytes_text(cases[i].text), &value) != cases[i].ok)
            fail_msg("case %zu: %s", i, cases[i].text);
        assert_int_equal(value, cases[i].ok ? cases[i].value : 77);
    }
    int64_t value;
    assert_false(number_parse_i64(bytes_make("1\0", 2), &value));
    assert_false(number_parse_i64(bytes_make(NULL, 0), &value));
}

static void unsigned_integers_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"42", true, 42},
        {"9999999999999999999", true, UINT64_C(9999999999999999999)},
        {"10000000000000000000", true, UINT64_C(10000000000000000000)},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"18446744073709551620", false, 0},
        {"99999999999999999999", false, 0},
        {"184467440737095516150", false, 0},
        {"01844674407370955161", false, 0},
        {"1844674407370955161x", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {"00", false, 0},
        {"1 ", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t value = 77;
        if (number_parse_u64(bytes_text(cases[i].text), &value) != cases[i].ok)
            fail_msg("case %zu: %s", i, cases[i].text);
        assert_int_equal(value, cases[i].ok ? cases[i].value : 77);
    }
}

static void formatted_integers_read_back(void **state)
{
    (void)state;
    char text[NUMBER_I64_CHARS_MAX];
    char expected[32];
    for (int shift = 0; shift < 64; shift++) {
        for (int64_t delta = -2; delta <= 2; delta++) {
            int64_t value = (int64_t)((UINT64_C(1) << shift) + (uint64_t)delta);
            size_t len = number_format_i64(value, text);
            assert_int_equal(len, snprintf(expected, sizeof(expected), "%lld", (long long)value));
            assert_memory_equal(text, expected, len);
            int64_t again;
            assert_true(number_parse_i64(bytes_make(text, len), &again));
            assert_int_equal(again, value);
        }
    }
    uint64_t power = 1;
    for (int digits = 1; digits <= 20; digits++, power *= 10) {
        for (uint64_t value = power - 1; value <= power; value++) {
            size_t len = number_format_u64(value, text);
            assert_int_equal(
                len, snprintf(expected, sizeof(expected), "%llu", (unsigned long long)value));
            assert_memory_equal(text, expected, len);
        }
    }
    assert_int_equal(number_format_i64(INT64_MIN, text), NUMBER_I64_CHARS_MAX);
    assert_memory_equal(text, "-9223372036854775808", NUMBER_I64_CHARS_MAX);
    assert_int_equal(number_format_u64(UINT64_MAX, text), NUMBER_U64_CHARS_MAX);
    assert_memory_equal(text, "18446744073709551615", NUMBER_U64_CHARS_MAX);
}

static void doubles_are_read_as_redis_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        double value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, -0.0},
        {"1", true, 1},
        {"+1", true, 1},
        {"007", true, 7},
        {"1.", true, 1},
        {".5", true, 0.5},
        {"-.5", true, -0.5},
        {"1.5", true, 1.5},
        {"3.14159", true, 3.14159},
        {"0.1", true, 0.1},
        {"1e3", true, 1000},
        {"1E+3", true, 1000},
        {"25e-1", true, 2.5},
        {"9007199254740992", true, 9007199254740992.0},
        {"9007199254740993", true, 9007199254740992.0},
        {"123456789012345678901234567890", true, 123456789012345678901234567890.0},
        {"1e22", true, 1e22},
        {"1e23", true, 1e23},
        {"1e-22", true, 1e-22},
        {"1e-23", true, 1e-23},
        {"1.7976931348623157e308", true, 1.7976931348623157e308},
        {"4.9e-324", true, 4.9e-324},
        {"0x10", true, 16},
        {"0x1p-2", true, 0.25},
        {"inf", true, INFINITY},
        {"-inf", true, -INFINITY},
        {"+Infinity", true, INFINITY},
        {"1e309", false, 0},
        {"-1e309", false, 0},
        {"1e-400", false, 0},
        {"nan", false, 0},
        {"-nan", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {".", false, 0},
        {"-.", false, 0},
        {"e5", false, 0},
        {".e5", false, 0},
        {"1e", false, 0},
        {"1e+", false, 0},
        {"1e5 ", false, 0},
        {" 1", false, 0},
        {"\t1", false, 0},
        {"1 ", false, 0},
        {"1,5", false, 0},
        {"--1", false, 0},
        {"1.2.3", false, 0},
        {"1e1000000000000000000000", false, 0},
        {"1e-1000000000000000000000", false, 0},
        {"abc", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double value = 77;
        if (number_parse_f64(bytes_text(cases[i].text), &value) != cases[i].ok)
            fail_msg("case %zu: %s", i, cases[i].text);
        double expected = cases[i].ok ? cases[i].value : 77;
        if (memcmp(&value, &expected, sizeof(value)) != 0)
            fail_msg("case %zu: %s gave %.17g", i, cases[i].text, value);
    }
    double value;
    assert_false(number_parse_f64(bytes_make("1\0", 2), &value));
    assert_false(number_parse_f64(bytes_make("1\0002", 3), &value));
}

static void very_long_doubles_are_read(void **state)
{
    (void)state;
    for (size_t len = 500; len <= 530; len++) {
        char text[600];
        memset(text, '0', len);
        text[len - 1] = '7';
        double value = 0;
        long double wide = 0;
        assert_true(number_parse_f64(bytes_make(text, len), &value));
        assert_true(number_parse_long_double(bytes_make(text, len), &wide));
        assert_true(value == 7);
        assert_true(wide == 7);
    }
}

static void the_fast_path_agrees_with_strtod(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252u;
    for (int i = 0; i < 200000; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        char text[64];
        int len = snprintf(text, sizeof(text), "%llu.%03llue%d",
                           (unsigned long long)(seed % 10000000 >> (seed >> 60)),
                           (unsigned long long)(seed >> 32) % 1000, (int)(seed >> 50 & 63) - 32);
        double value;
        assert_true(number_parse_f64(bytes_make(text, (size_t)len), &value));
        double expected = strtod(text, NULL);
        if (memcmp(&value, &expected, sizeof(value)) != 0)
            fail_msg("%s gave %.17g", text, value);
    }
}

static void doubles_are_written_as_redis_writes_them(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1, "-1"},
        {0.1, "0.1"},
        {-0.5, "-0.5"},
        {3.3000000000000003, "3.3000000000000003"},
        {1.5, "1.5"},
        {1e17, "100000000000000000"},
        {4611686018427387904.0, "4611686018427387904"},
        {4611686018427388928.0, "4611686018427389000"},
        {1e19, "1e+19"},
        {-1e19, "-1e+19"},
        {1.5e19, "1.5e+19"},
        {123456789012345680000.0, "123456789012345680000"},
        {1e21, "1e+21"},
        {1.2345e-5, "1.2345e-5"},
        {1.2345e-3, "0.0012345"},
        {-123456789012345670000000.0, "-123456789012345670000000"},
        {1e-6, "0.000001"},
        {1e-7, "1e-7"},
        {1.5e-7, "1.5e-7"},
        {0.00012345678901234567, "1.2345678901234567e-4"},
        {0.001234567890123456, "0.001234567890123456"},
        {1e100, "1e+100"},
        {1e-100, "1e-100"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {-2.2250738585072014e-308, "-2.2250738585072014e-308"},
        {4.9406564584124654e-324, "5e-324"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
        {NAN, "nan"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[NUMBER_F64_CHARS_MAX];
        size_t len = number_format_f64(cases[i].value, text);
        assert_bytes(bytes_make(text, len), bytes_text(cases[i].text));
    }
}

static void each_written_double_reads_back(void **state)
{
    (void)state;
    uint64_t bits = 88172645463325252u;
    for (int i = 0; i < 300000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        uint64_t pattern = i % 4 == 0 ? bits & UINT64_C(0x800fffffffffffff) : bits;
        double value;
        memcpy(&value, &pattern, sizeof(value));
        if (!isfinite(value))
            continue;
        char text[NUMBER_F64_CHARS_MAX];
        size_t len = number_format_f64(value, text);
        assert_true(len <= 25);
        double again;
        assert_true(number_parse_f64(bytes_make(text, len), &again));
        assert_memory_equal(&again, &value, sizeof(value));
    }
}

static void long_doubles_are_written_for_humans(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        const char *text;
    } cases[] = {
        {"0", "0"},         {"-0", "0"},
        {"3.0", "3"},       {"10.5", "10.5"},
        {"-10.5", "-10.5"}, {"3.14", "3.14"},
        {"5.0e3", "5000"},  {"100", "100"},
        {"0.1", "0.1"},     {"17179869184.25", "17179869184.25"},
        {"-1e-18", "0"},    {"1e-17", "0.00000000000000001"},
        {"inf", "inf"},     {"-inf", "-inf"},
    };
    char *text = mem_alloc(NUMBER_LONG_DOUBLE_CHARS_MAX);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        long double value;
        assert_true(number_parse_long_double(bytes_text(cases[i].input), &value));
        size_t len = number_format_long_double_human(value, text);
        assert_bytes(bytes_make(text, len), bytes_text(cases[i].text));
    }
    long double largest;
    assert_true(number_parse_long_double(bytes_text("1e4932"), &largest));
    assert_int_equal(number_format_long_double_human(-largest, text), 4934);
    assert_int_equal(number_format_long_double_human((long double)NAN, text), 3);
    assert_memory_equal(text, "nan", 3);
    mem_free(text);
}

static void odd_long_doubles_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"",         " 1", "1 ",       "nan", "1e99999",
                                        "1e-99999", "1x", "-1e99999", "--1", "."};
    long double value;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (number_parse_long_double(bytes_text(cases[i]), &value))
            fail_msg("case %zu: %s", i, cases[i]);
    }
    char *text = mem_alloc(NUMBER_LONG_DOUBLE_CHARS_MAX);
    memset(text, '0', NUMBER_LONG_DOUBLE_CHARS_MAX);
    assert_false(number_parse_long_double(bytes_make(text, NUMBER_LONG_DOUBLE_CHARS_MAX), &value));
    assert_true(
        number_parse_long_double(bytes_make(text, NUMBER_LONG_DOUBLE_CHARS_MAX - 1), &value));
    mem_free(text);
}

static void memory_sizes_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"100", true, 100},
        {"100b", true, 100},
        {"1k", true, 1000},
        {"1kb", true, 1024},
        {"1KB", true, 1024},
        {"3m", true, 3000000},
        {"3Mb", true, 3 << 20},
        {"2g", true, UINT64_C(2000000000)},
        {"2gB", true, UINT64_C(2) << 30},
        {"007", true, 7},
        {"17179869183gb", true, UINT64_C(17179869183) << 30},
        {"17179869184gb", false, 0},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"", false, 0},
        {"mb", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {"1 mb", false, 0},
        {"1tb", false, 0},
        {"1.5gb", false, 0},
        {"1mbx", false, 0},
        {"1bk", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t value = 77;
        if (number_parse_memory(bytes_text(cases[i].text), &value) != cases[i].ok)
            fail_msg("case %zu: %s", i, cases[i].text);
        if (cases[i].ok)
            assert_int_equal(value, cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(integers_are_read_strictly),
        TEST(unsigned_integers_are_read_strictly),
        TEST(formatted_integers_read_back),
        TEST(doubles_are_read_as_redis_reads_them),
        TEST(very_long_doubles_are_read),
        TEST(the_fast_path_agrees_with_strtod),
        TEST(doubles_are_written_as_redis_writes_them),
        TEST(each_written_double_reads_back),
        TEST(long_doubles_are_written_for_humans),
        TEST(odd_long_doubles_are_refused),
        TEST(memory_sizes_have_units),
    };
    return RUN_TESTS("number", tests);
}
