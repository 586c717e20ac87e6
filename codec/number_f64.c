/* Doubles as text: the Grisu2 algorithm (Florian Loitsch, "Printing Floating-Point Numbers Quickly
 * and Accurately with Integers", PLDI 2010).
 *
 * Redis 7.2 prints doubles with Grisu2, and clients compare its text, hence the same algorithm
 * here: one that always finds the shortest digits would differ in about one of a thousand numbers.
 * The digits always read back as the same number.
 *
 * In short: the number and the two midpoints to its neighbours are scaled by a power of ten, so
 * that their binary exponents lie in a narrow range; digits of the upper midpoint are produced
 * until what is left over is smaller than the distance between the midpoints; the last digit is
 * then moved towards the number itself. */
#include "codec/number.h"

#include "codec/check.h"

#include <math.h>

#define FRACTION_BITS   52
#define HIDDEN_BIT      (UINT64_C(1) << FRACTION_BITS)
#define EXPONENT_BIAS   (1023 + FRACTION_BITS)
#define EXPONENT_MAX    0x7ff
#define DIGITS_MAX      18
#define INTEGER_ABS_MAX 4611686018427387904.0 /* 2^62 */

/* Binary exponents between which a scaled number's exponent must be. */
#define SCALED_EXPONENT_MIN (-60)
#define SCALED_EXPONENT_MAX (-32)

/* 10^(-348 + 8 i), rounded to 64 significant bits; power_exponent() has their binary exponents. */
#define POWER_FIRST (-348)
#define POWER_STEP  8
#define POWER_COUNT 87
/* clang-format off */
static const uint64_t power_significands[POWER_COUNT] = {
    0xfa8fd5a0081c0288, 0xbaaee17fa23ebf76, 0x8b16fb203055ac76, 0xcf42894a5dce35ea,
    0x9a6bb0aa55653b2d, 0xe61acf033d1a45df, 0xab70fe17c79ac6ca, 0xff77b1fcbebcdc4f,
    0xbe5691ef416bd60c, 0x8dd01fad907ffc3c, 0xd3515c2831559a83, 0x9d71ac8fada6c9b5,
    0xea9c227723ee8bcb, 0xaecc49914078536d, 0x823c12795db6ce57, 0xc21094364dfb5637,
    0x9096ea6f3848984f, 0xd77485cb25823ac7, 0xa086cfcd97bf97f4, 0xef340a98172aace5,
    0xb23867fb2a35b28e, 0x84c8d4dfd2c63f3b, 0xc5dd44271ad3cdba, 0x936b9fcebb25c996,
    0xdbac6c247d62a584, 0xa3ab66580d5fdaf6, 0xf3e2f893dec3f126, 0xb5b5ada8aaff80b8,
    0x87625f056c7c4a8b, 0xc9bcff6034c13053, 0x964e858c91ba2655, 0xdff9772470297ebd,
    0xa6dfbd9fb8e5b88f, 0xf8a95fcf88747d94, 0xb94470938fa89bcf, 0x8a08f0f8bf0f156b,
    0xcdb02555653131b6, 0x993fe2c6d07b7fac, 0xe45c10c42a2b3b06, 0xaa242499697392d3,
    0xfd87b5f28300ca0e, 0xbce5086492111aeb, 0x8cbccc096f5088cc, 0xd1b71758e219652c,
    0x9c40000000000000, 0xe8d4a51000000000, 0xad78ebc5ac620000, 0x813f3978f8940984,
    0xc097ce7bc90715b3, 0x8f7e32ce7bea5c70, 0xd5d238a4abe98068, 0x9f4f2726179a2245,
    0xed63a231d4c4fb27, 0xb0de65388cc8ada8, 0x83c7088e1aab65db, 0xc45d1df942711d9a,
    0x924d692ca61be758, 0xda01ee641a708dea, 0xa26da3999aef774a, 0xf209787bb47d6b85,
    0xb454e4a179dd1877, 0x865b86925b9bc5c2, 0xc83553c5c8965d3d, 0x952ab45cfa97a0b3,
    0xde469fbd99a05fe3, 0xa59bc234db398c25, 0xf6c69a72a3989f5c, 0xb7dcbf5354e9bece,
    0x88fcf317f22241e2, 0xcc20ce9bd35c78a5, 0x98165af37b2153df, 0xe2a0b5dc971f303a,
    0xa8d9d1535ce3b396, 0xfb9b7cd9a4a7443c, 0xbb764c4ca7a44410, 0x8bab8eefb6409c1a,
    0xd01fef10a657842c, 0x9b10a4e5e9913129, 0xe7109bfba19c0c9d, 0xac2820d9623bf429,
    0x80444b5e7aa7cf85, 0xbf21e44003acdd2d, 0x8e679c2f5e44ff8f, 0xd433179d9c8cb841,
    0x9e19db92b4e31ba9, 0xeb96bf6ebadf77d9, 0xaf87023b9bf0ee6b,
};
/* clang-format on */

/* significand * 2^exponent */
struct scaled {
    uint64_t significand;
    int exponent;
};

struct decimal {
    char digits[DIGITS_MAX];
    int count;
    int exponent; /* of the last digit */
};

/* floor(log2(10^n)) - 63 */
static int power_exponent(int n)
{
    return (n * 217706 >> 16) - 63;
}

/* The index of the power that brings a number with this binary exponent into the range. */
static int choose_power(int exponent)
{
    const double log10_of_2 = 0.30102999566398114;
    int decimal_exponent = (int)(-(exponent + POWER_COUNT) * log10_of_2);
    int index = (decimal_exponent - POWER_FIRST) / POWER_STEP;
    for (;;) {
        CHECK(index >= 0 && index < POWER_COUNT);
        int product = exponent + power_exponent(POWER_FIRST + index * POWER_STEP) + 64;
        if (product < SCALED_EXPONENT_MIN)
            index++;
        else if (product > SCALED_EXPONENT_MAX)
            index--;
        else
            return index;
    }
}

static struct scaled normalize(struct scaled v)
{
    int shift = __builtin_clzll(v.significand);
    return (struct scaled){v.significand << shift, v.exponent - shift};
}

/* The upper 64 bits of the product, rounded. */
static struct scaled multiply(struct scaled a, struct scaled b)
{
    unsigned __int128 product = (unsigned __int128)a.significand * b.significand;
    product += UINT64_C(1) << 63;
    return (struct scaled){(uint64_t)(product >> 64), a.exponent + b.exponent + 64};
}

/* Moves the last digit down while that brings the printed number closer to the true one.
 *
 *   rest   how far the printed number is below the upper bound
 *   width  how far it may be below it
 *   goal   how far the true number is below it
 *   unit   what one step of the last digit is worth */
static void round_last_digit(struct decimal *out, uint64_t rest, uint64_t width, uint64_t goal,
                             uint64_t unit)
{
    while (rest < goal && width - rest >= unit &&
           (rest + unit < goal || goal - rest > rest + unit - goal)) {
        out->digits[out->count - 1]--;
        rest += unit;
    }
}

static void add_digit(struct decimal *out, uint64_t digit)
{
    if (digit == 0 && out->count == 0)
        return;
    CHECK(out->count < DIGITS_MAX);
    out->digits[out->count++] = (char)('0' + digit);
}

/* `exact`, `low` and `high` share one exponent in the scaled range. */
static void generate_digits(uint64_t exact, uint64_t low, uint64_t high, int shift,
                            struct decimal *out)
{
    uint64_t goal = high - exact;
    uint64_t width = high - low;
    uint64_t one = UINT64_C(1) << shift;
    uint32_t whole = (uint32_t)(high >> shift); /* the shift is at least 32 */
    uint64_t fraction = high & (one - 1);
    uint32_t unit = 1000000000;
    for (int left = 9; left >= 0; left--, unit /= 10) {
        add_digit(out, whole / unit);
        whole %= unit;
        uint64_t rest = ((uint64_t)whole << shift) + fraction;
        if (rest <= width) {
            out->exponent += left;
            round_last_digit(out, rest, width, goal, (uint64_t)unit << shift);
            return;
        }
    }
    do {
        fraction *= 10;
        width *= 10;
        goal *= 10;
        out->exponent--;
        add_digit(out, fraction >> shift);
        fraction &= one - 1;
    } while (fraction >= width);
    round_last_digit(out, fraction, width, goal, one);
}

/* `value` is finite and above 0. */
static void to_decimal(double value, struct decimal *out)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    int biased = (int)(bits >> FRACTION_BITS);
    uint64_t fraction = bits & (HIDDEN_BIT - 1);
    struct scaled exact = biased == 0
                              ? (struct scaled){fraction, 1 - EXPONENT_BIAS}
                              : (struct scaled){fraction | HIDDEN_BIT, biased - EXPONENT_BIAS};
    /* The midpoints to the neighbours; below a power of two the lower one is only half as far. */
    struct scaled high = {(exact.significand << 1) + 1, exact.exponent - 1};
    int low_shift = exact.significand == HIDDEN_BIT ? 2 : 1;
    struct scaled low = {(exact.significand << low_shift) - 1, exact.exponent - low_shift};
    high = normalize(high);
    low.significand <<= low.exponent - high.exponent;
    low.exponent = high.exponent;
    exact = normalize(exact);

    int index = choose_power(high.exponent);
    int power = POWER_FIRST + index * POWER_STEP;
    struct scaled ten = {power_significands[index], power_exponent(power)};
    exact = multiply(exact, ten);
    high = multiply(high, ten);
    low = multiply(low, ten);
    CHECK(exact.exponent == high.exponent);
    *out = (struct decimal){.exponent = -power};
    /* The products are off by less than one unit; stay inside what is certain. */
    generate_digits(exact.significand, low.significand + 1, high.significand - 1, -high.exponent,
                    out);
}

static size_t write_plain(const struct decimal *d, char *out)
{
    size_t count = (size_t)d->count;
    if (d->exponent >= 0) {
        memcpy(out, d->digits, count);
        memset(out + count, '0', (size_t)d->exponent);
        return count + (size_t)d->exponent;
    }
    int whole = d->count + d->exponent;
    if (whole > 0) {
        memcpy(out, d->digits, (size_t)whole);
        out[whole] = '.';
        memcpy(out + whole + 1, d->digits + whole, count - (size_t)whole);
        return count + 1;
    }
    size_t zeros = (size_t)-whole;
    memcpy(out, "0.", 2);
    memset(out + 2, '0', zeros);
    memcpy(out + 2 + zeros, d->digits, count);
    return 2 + zeros + count;
}

static size_t write_scientific(const struct decimal *d, char *out)
{
    char *p = out;
    *p++ = d->digits[0];
    if (d->count > 1) {
        *p++ = '.';
        memcpy(p, d->digits + 1, (size_t)d->count - 1);
        p += d->count - 1;
    }
    int exponent = d->exponent + d->count - 1;
    *p++ = 'e';
    *p++ = exponent < 0 ? '-' : '+';
    p += number_format_u64((uint64_t)(exponent < 0 ? -exponent : exponent), p);
    return (size_t)(p - out);
}

/* Redis writes an exponent only where plain digits would need many zeros. */
static size_t write_decimal(const struct decimal *d, char *out)
{
    int exponent = d->exponent + d->count - 1;
    int magnitude = exponent < 0 ? -exponent : exponent;
    bool plain = d->exponent >= 0 ? magnitude < d->count + 7 : d->exponent > -7 || magnitude < 4;
    return plain ? write_plain(d, out) : write_scientific(d, out);
}

static size_t write_text(const char *text, char *out)
{
    size_t len = strlen(text);
    memcpy(out, text, len);
    return len;
}

size_t number_format_f64(double value, char out[NUMBER_F64_CHARS_MAX])
{
    if (isnan(value))
        return write_text("nan", out);
    if (isinf(value))
        return write_text(value < 0 ? "-inf" : "inf", out);
    if (value == 0)
        return write_text(signbit(value) ? "-0" : "0", out);
    if (value >= -INTEGER_ABS_MAX && value <= INTEGER_ABS_MAX) {
        int64_t integer = (int64_t)value;
        if ((double)integer == value)
            return number_format_i64(integer, out);
    }
    struct decimal decimal;
    to_decimal(fabs(value), &decimal);
    size_t sign = value < 0;
    out[0] = '-';
    return sign + write_decimal(&decimal, out + sign);
}
