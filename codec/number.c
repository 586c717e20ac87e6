/* Numbers as text: parsing, and formatting of integers. Doubles are formatted in number_f64.c. */
#include "codec/number.h"

#include "codec/mem.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGITS_SAFE           19 /* as many digits never overflow 64 bits */
#define STACK_TEXT_BYTES      512
#define MEMORY_UNIT_CHARS_MAX 2

/* A double holds integers up to 2^53 and powers of ten up to 10^22 exactly. */
#define EXACT_MANTISSA_MAX (UINT64_C(1) << 53)
#define EXACT_POWER_MAX    22
/* Bounds the exponent's digits in the fast path; more of them go to strtod(). */
#define FAST_EXPONENT_DIGITS_MAX 4

static const char digit_pairs[200] = "00010203040506070809"
                                     "10111213141516171819"
                                     "20212223242526272829"
                                     "30313233343536373839"
                                     "40414243444546474849"
                                     "50515253545556575859"
                                     "60616263646566676869"
                                     "70717273747576777879"
                                     "80818283848586878889"
                                     "90919293949596979899";

static inline bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') <= 9;
}

/* Reads a number of 1 to DIGITS_SAFE digits without a leading zero (but "0" itself). */
static inline bool parse_digits(const uint8_t *p, size_t len, uint64_t *out)
{
    if (len == 0 || len > DIGITS_SAFE || (p[0] == '0' && len != 1))
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(p[i]))
            return false;
        value = value * 10 + (uint64_t)(p[i] - '0');
    }
    *out = value;
    return true;
}

bool number_parse_i64(struct bytes text, int64_t *out)
{
    if (text.len == 0)
        return false;
    bool negative = text.data[0] == '-';
    uint64_t magnitude;
    if (!parse_digits(text.data + negative, text.len - negative, &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + negative || (negative && magnitude == 0))
        return false;
    *out = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

bool number_parse_u64(struct bytes text, uint64_t *out)
{
    if (text.len <= DIGITS_SAFE)
        return parse_digits(text.data, text.len, out);
    uint64_t head;
    uint8_t last = text.data[DIGITS_SAFE];
    uint64_t value;
    if (text.len > NUMBER_U64_CHARS_MAX || !is_digit(last) ||
        !parse_digits(text.data, DIGITS_SAFE, &head) || __builtin_mul_overflow(head, 10, &value) ||
        __builtin_add_overflow(value, (uint64_t)(last - '0'), &value))
        return false;
    *out = value;
    return true;
}

/* Reads the digits at p[*at] into `mantissa`; their number, or SIZE_MAX when it grows too large. */
static size_t scan_digits(struct bytes text, size_t *at, uint64_t *mantissa)
{
    size_t start = *at;
    for (; *at < text.len && is_digit(text.data[*at]); (*at)++) {
        *mantissa = *mantissa * 10 + (uint64_t)(text.data[*at] - '0');
        if (*mantissa > EXACT_MANTISSA_MAX)
            return SIZE_MAX;
    }
    return *at - start;
}

/* Reads "e-12" at text[*at], if it is there. False if it is not a small exponent. */
static bool scan_exponent(struct bytes text, size_t *at, int *exponent)
{
    if (*at == text.len || (text.data[*at] | 0x20) != 'e')
        return true;
    (*at)++;
    bool negative = *at < text.len && text.data[*at] == '-';
    if (*at < text.len && (negative || text.data[*at] == '+'))
        (*at)++;
    size_t start = *at;
    int value = 0;
    for (; *at < text.len && is_digit(text.data[*at]); (*at)++) {
        if (*at - start == FAST_EXPONENT_DIGITS_MAX)
            return false;
        value = value * 10 + (text.data[*at] - '0');
    }
    *exponent += negative ? -value : value;
    return *at != start;
}

/* Decimals whose digits and power of ten are both exact doubles need one correctly rounded
 * operation (Clinger's fast path). False means only that strtod() has to look. */
static bool parse_f64_fast(struct bytes text, double *out)
{
    static const double powers[EXACT_POWER_MAX + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    bool negative = text.len != 0 && text.data[0] == '-';
    size_t at = negative;
    uint64_t mantissa = 0;
    size_t whole = scan_digits(text, &at, &mantissa);
    if (whole == SIZE_MAX)
        return false;
    size_t fraction = 0;
    if (at < text.len && text.data[at] == '.') {
        at++;
        fraction = scan_digits(text, &at, &mantissa);
    }
    if (fraction > EXACT_POWER_MAX || whole + fraction == 0)
        return false;
    int exponent = -(int)fraction;
    if (!scan_exponent(text, &at, &exponent) || at != text.len || exponent < -EXACT_POWER_MAX ||
        exponent > EXACT_POWER_MAX)
        return false;
    double value = (double)mantissa;
    value = exponent < 0 ? value / powers[-exponent] : value * powers[exponent];
    *out = negative ? -value : value;
    return true;
}

/* Copies `text` and ends it with a zero byte, in `stack` if it fits there. The caller frees what is
 * not `stack`; NULL when out of memory. */
static char *terminated_copy(struct bytes text, char stack[STACK_TEXT_BYTES])
{
    char *copy = text.len < STACK_TEXT_BYTES ? stack : mem_try_alloc(text.len + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return copy;
}

bool number_parse_f64(struct bytes text, double *out)
{
    if (parse_f64_fast(text, out))
        return true;
    if (text.len == 0 || isspace(text.data[0]))
        return false;
    char stack[STACK_TEXT_BYTES];
    char *copy = terminated_copy(text, stack);
    if (copy == NULL)
        return false;
    char *end;
    errno = 0;
    double value = strtod(copy, &end);
    /* A range error that leaves a subnormal number is none. */
    bool ok = (size_t)(end - copy) == text.len && !isnan(value) &&
              !(errno == ERANGE && (isinf(value) || value == 0));
    if (copy != stack)
        mem_free(copy);
    if (ok)
        *out = value;
    return ok;
}

bool number_parse_long_double(struct bytes text, long double *out)
{
    if (text.len == 0 || text.len >= NUMBER_LONG_DOUBLE_CHARS_MAX || isspace(text.data[0]))
        return false;
    char stack[STACK_TEXT_BYTES];
    char *copy = terminated_copy(text, stack);
    if (copy == NULL)
        return false;
    char *end;
    errno = 0;
    long double value = strtold(copy, &end);
    bool ok = (size_t)(end - copy) == text.len && !isnan(value) &&
              !(errno == ERANGE && (isinf(value) || value == 0));
    if (copy != stack)
        mem_free(copy);
    if (ok)
        *out = value;
    return ok;
}

bool number_parse_memory(struct bytes text, uint64_t *bytes_out)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {
        {"", 1},
        {"b", 1},
        {"k", 1000},
        {"kb", 1024},
        {"m", 1000 * 1000},
        {"mb", 1024 * 1024},
        {"g", 1000 * 1000 * 1000},
        {"gb", 1024 * 1024 * 1024},
    };
    size_t digits = 0;
    uint64_t value = 0;
    for (; digits < text.len && is_digit(text.data[digits]); digits++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.data[digits] - '0'), &value))
            return false;
    }
    if (digits == 0 || text.len - digits > MEMORY_UNIT_CHARS_MAX)
        return false;
    struct bytes unit = bytes_make(text.data + digits, text.len - digits);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (bytes_equal_nocase(unit, units[i].name))
            return !__builtin_mul_overflow(value, units[i].bytes, bytes_out);
    }
    return false;
}

static inline size_t count_digits(uint64_t value)
{
    size_t count = 1;
    for (;;) {
        if (value < 10)
            return count;
        if (value < 100)
            return count + 1;
        if (value < 1000)
            return count + 2;
        if (value < 10000)
            return count + 3;
        value /= 10000;
        count += 4;
    }
}

static size_t format_digits(uint64_t value, char *out)
{
    size_t len = count_digits(value);
    char *p = out + len;
    while (value >= 100) {
        p -= 2;
        memcpy(p, digit_pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10)
        memcpy(out, digit_pairs + value * 2, 2);
    else
        out[0] = (char)('0' + value);
    return len;
}

size_t number_format_u64(uint64_t value, char out[NUMBER_U64_CHARS_MAX])
{
    return format_digits(value, out);
}

size_t number_format_i64(int64_t value, char out[NUMBER_I64_CHARS_MAX])
{
    if (value >= 0)
        return format_digits((uint64_t)value, out);
    out[0] = '-';
    return 1 + format_digits(0 - (uint64_t)value, out + 1);
}

size_t number_format_long_double_human(long double value, char out[NUMBER_LONG_DOUBLE_CHARS_MAX])
{
    if (isnan(value)) {
        memcpy(out, "nan", 3);
        return 3;
    }
    if (isinf(value)) {
        const char *text = value < 0 ? "-inf" : "inf";
        memcpy(out, text, strlen(text));
        return strlen(text);
    }
    size_t len = (size_t)snprintf(out, NUMBER_LONG_DOUBLE_CHARS_MAX, "%.17Lf", value);
    while (out[len - 1] == '0')
        len--;
    if (out[len - 1] == '.')
        len--;
    if (len == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        len = 1;
    }
    return len;
}
