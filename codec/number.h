/* Numbers as text, exactly as Redis 7.2 reads and writes them. Pure functions, any thread.
 *
 * Parsers return false, and write nothing, unless the whole text is such a number; formatters
 * return the number of characters and write no terminator. */
#ifndef BASALT_CODEC_NUMBER_H
#define BASALT_CODEC_NUMBER_H

#include "codec/bytes.h"
#include "codec/status.h"

#define NUMBER_I64_CHARS_MAX         20   /* "-9223372036854775808" */
#define NUMBER_U64_CHARS_MAX         20   /* "18446744073709551615" */
#define NUMBER_F64_CHARS_MAX         32   /* 25 are needed: a sign, 17 digits and 7 zeros */
#define NUMBER_LONG_DOUBLE_CHARS_MAX 5120 /* the largest x87 number has 4933 digits */

/* Strict: no plus sign, spaces, leading zeros or "-0", so that the text of a number is unique and
 * an integer can stand for its text. */
MUST_USE bool number_parse_i64(struct bytes text, int64_t *out);
MUST_USE bool number_parse_u64(struct bytes text, uint64_t *out);

/* What strtod() reads ("1e3", "0x1p3", "inf", "+.5"), but no leading space, and neither NaN nor
 * what over- or underflows. About 10 ns for plain decimals of up to 15 digits. */
MUST_USE bool number_parse_f64(struct bytes text, double *out);
/* The same for strtold(); at most NUMBER_LONG_DOUBLE_CHARS_MAX - 1 characters. */
MUST_USE bool number_parse_long_double(struct bytes text, long double *out);

/* A memory size: digits and one of the units b, k (1000), kb (1024), m, mb, g, gb in any case. */
MUST_USE bool number_parse_memory(struct bytes text, uint64_t *bytes_out);

size_t number_format_i64(int64_t value, char out[NUMBER_I64_CHARS_MAX]);
size_t number_format_u64(uint64_t value, char out[NUMBER_U64_CHARS_MAX]);

/* Scores and RESP3 doubles: plain digits for integers up to 2^62, else digits enough to read the
 * same number back (the shortest in all but one of about a thousand cases), with an exponent where
 * it is large; "inf", "-inf", "nan", "-0". */
size_t number_format_f64(double value, char out[NUMBER_F64_CHARS_MAX]);

/* INCRBYFLOAT's results: 17 digits behind the point, without trailing zeros, no exponent. */
size_t number_format_long_double_human(long double value, char out[NUMBER_LONG_DOUBLE_CHARS_MAX]);

#endif
