/* Every function writes its bytes straight into the output, in one reserved piece where the size is
 * bounded: the common replies cost one bounds check and a few stores. */
#include "server/reply.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "server/output.h"

#include <stdarg.h>
#include <stdio.h>

/* A type byte, a number, CR LF. */
#define HEADER_BYTES_MAX (1 + NUMBER_U64_CHARS_MAX + 2)
/* Bulk strings up to this are written in one piece with their header. */
#define BULK_IN_ONE_PIECE_BYTES_MAX 1024
/* How much of a client's word is repeated in an error. */
#define QUOTED_WORD_BYTES_MAX 128

_Static_assert(HEADER_BYTES_MAX <= OUTPUT_MARK_BYTES_MAX, "a deferred header fits into a mark");
_Static_assert(BULK_IN_ONE_PIECE_BYTES_MAX + HEADER_BYTES_MAX + 2 <= OUTPUT_RESERVE_BYTES_MAX,
               "a small bulk string fits into a reserved piece");

static uint8_t *put_crlf(uint8_t *place)
{
    place[0] = '\r';
    place[1] = '\n';
    return place + 2;
}

/* Writes type, number, CR LF; returns the place behind them. */
static uint8_t *put_header(uint8_t *place, char type, uint64_t number)
{
    *place++ = (uint8_t)type;
    if (number < 10)
        *place++ = (uint8_t)('0' + number);
    else
        place += number_format_u64(number, (char *)place);
    return put_crlf(place);
}

static void append_header(struct reply *r, char type, uint64_t number)
{
    uint8_t *place = output_reserve(r->out, HEADER_BYTES_MAX);
    output_commit(r->out, (size_t)(put_header(place, type, number) - place));
}

static void append_text(struct reply *r, const char *text)
{
    output_append(r->out, text, strlen(text));
}

/* A number's text as RESP3 has it (`type` in front) or as a bulk string. */
static void append_number_text(struct reply *r, char type, const char *text, size_t len)
{
    if (r->resp == 2) {
        reply_bulk(r, bytes_make(text, len));
        return;
    }
    output_append(r->out, &type, 1);
    output_append(r->out, text, len);
    output_append(r->out, "\r\n", 2);
}

void reply_ok(struct reply *r)
{
    if (r->muted)
        return;
    memcpy(output_reserve(r->out, 5), "+OK\r\n", 5);
    output_commit(r->out, 5);
}

void reply_simple(struct reply *r, const char *text)
{
    if (r->muted)
        return;
    output_append(r->out, "+", 1);
    append_text(r, text);
    output_append(r->out, "\r\n", 2);
}

void reply_integer(struct reply *r, int64_t value)
{
    if (r->muted)
        return;
    uint8_t *start = output_reserve(r->out, HEADER_BYTES_MAX);
    uint8_t *place = start;
    *place++ = ':';
    if (value >= 0 && value < 10)
        *place++ = (uint8_t)('0' + value);
    else
        place += number_format_i64(value, (char *)place);
    output_commit(r->out, (size_t)(put_crlf(place) - start));
}

void reply_bulk(struct reply *r, struct bytes bytes)
{
    if (r->muted)
        return;
    if (bytes.len > BULK_IN_ONE_PIECE_BYTES_MAX) {
        reply_bulk_begin(r, bytes.len);
        reply_bulk_part(r, bytes);
        reply_bulk_end(r);
        return;
    }
    uint8_t *start = output_reserve(r->out, bytes.len + HEADER_BYTES_MAX + 2);
    uint8_t *place = put_header(start, '$', bytes.len);
    if (bytes.len != 0)
        memcpy(place, bytes.data, bytes.len);
    output_commit(r->out, (size_t)(put_crlf(place + bytes.len) - start));
}

void reply_bulk_text(struct reply *r, const char *text)
{
    reply_bulk(r, bytes_text(text));
}

void reply_bulk_integer(struct reply *r, int64_t value)
{
    char text[NUMBER_I64_CHARS_MAX];
    reply_bulk(r, bytes_make(text, number_format_i64(value, text)));
}

/* Formats into `small` if it fits, else into memory of its own, to be freed with mem_free. */
static PRINTF_LIKE(4, 0) char *format_text(char *small, size_t small_size, size_t *len_out,
                                           const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(small, small_size, format, args);
    CHECK(len >= 0);
    *len_out = (size_t)len;
    char *text = small;
    if ((size_t)len >= small_size) {
        text = mem_alloc((size_t)len + 1);
        (void)vsnprintf(text, (size_t)len + 1, format, again);
    }
    va_end(again);
    return text;
}

void reply_bulk_format(struct reply *r, const char *format, ...)
{
    if (r->muted)
        return;
    char small[256];
    size_t len;
    va_list args;
    va_start(args, format);
    char *text = format_text(small, sizeof(small), &len, format, args);
    va_end(args);
    reply_bulk(r, bytes_make(text, len));
    if (text != small)
        mem_free(text);
}

void reply_bulk_begin(struct reply *r, size_t len)
{
    if (r->muted)
        return;
    append_header(r, '$', len);
    output_expect(r->out, len + 2);
}

void reply_bulk_part(struct reply *r, struct bytes part)
{
    if (!r->muted)
        output_append(r->out, part.data, part.len);
}

void reply_bulk_end(struct reply *r)
{
    if (!r->muted)
        output_append(r->out, "\r\n", 2);
}

void reply_null(struct reply *r)
{
    if (!r->muted)
        append_text(r, r->resp == 2 ? "$-1\r\n" : "_\r\n");
}

void reply_null_array(struct reply *r)
{
    if (!r->muted)
        append_text(r, r->resp == 2 ? "*-1\r\n" : "_\r\n");
}

void reply_array(struct reply *r, uint64_t count)
{
    if (!r->muted)
        append_header(r, '*', count);
}

void reply_map(struct reply *r, uint64_t pairs)
{
    if (!r->muted)
        append_header(r, r->resp == 2 ? '*' : '%', r->resp == 2 ? 2 * pairs : pairs);
}

void reply_set(struct reply *r, uint64_t count)
{
    if (!r->muted)
        append_header(r, r->resp == 2 ? '*' : '~', count);
}

void reply_push(struct reply *r, uint64_t count)
{
    if (!r->muted)
        append_header(r, r->resp == 2 ? '*' : '>', count);
}

void reply_attribute(struct reply *r, uint64_t pairs)
{
    CHECK(r->resp >= 3);
    if (!r->muted)
        append_header(r, '|', pairs);
}

void reply_bool(struct reply *r, bool value)
{
    if (r->muted)
        return;
    if (r->resp == 2)
        append_header(r, ':', value);
    else
        append_text(r, value ? "#t\r\n" : "#f\r\n");
}

void reply_double(struct reply *r, double value)
{
    if (r->muted)
        return;
    char text[NUMBER_F64_CHARS_MAX];
    append_number_text(r, ',', text, number_format_f64(value, text));
}

void reply_long_double(struct reply *r, long double value)
{
    if (r->muted)
        return;
    char *text = mem_alloc(NUMBER_LONG_DOUBLE_CHARS_MAX);
    append_number_text(r, ',', text, number_format_long_double_human(value, text));
    mem_free(text);
}

void reply_big_number(struct reply *r, const char *digits)
{
    if (!r->muted)
        append_number_text(r, '(', digits, strlen(digits));
}

void reply_verbatim(struct reply *r, struct bytes text, const char extension[3])
{
    if (r->muted)
        return;
    if (r->resp == 2) {
        reply_bulk(r, text);
        return;
    }
    append_header(r, '=', text.len + 4);
    output_append(r->out, extension, 3);
    output_append(r->out, ":", 1);
    output_append(r->out, text.data, text.len);
    output_append(r->out, "\r\n", 2);
}

void reply_text(struct reply *r, struct bytes text)
{
    reply_verbatim(r, text, "txt");
}

void reply_raw(struct reply *r, struct bytes resp)
{
    if (!r->muted)
        output_append(r->out, resp.data, resp.len);
}

struct reply_deferred reply_deferred_begin(struct reply *r)
{
    return (struct reply_deferred){.out = r->out, .place = r->muted ? NULL : output_mark(r->out)};
}

static void fill_deferred(struct reply_deferred *d, char type, uint64_t count)
{
    if (d->place == NULL)
        return;
    uint8_t header[HEADER_BYTES_MAX];
    size_t len = (size_t)(put_header(header, type, count) - header);
    output_fill_mark(d->out, d->place, header, len);
    d->place = NULL;
}

void reply_deferred_array(struct reply *r, struct reply_deferred *d, uint64_t count)
{
    (void)r;
    fill_deferred(d, '*', count);
}

void reply_deferred_map(struct reply *r, struct reply_deferred *d, uint64_t pairs)
{
    fill_deferred(d, r->resp == 2 ? '*' : '%', r->resp == 2 ? 2 * pairs : pairs);
}

void reply_deferred_set(struct reply *r, struct reply_deferred *d, uint64_t count)
{
    fill_deferred(d, r->resp == 2 ? '*' : '~', count);
}

void reply_deferred_bulk_integer(struct reply *r, struct reply_deferred *d, uint64_t value)
{
    (void)r;
    if (d->place == NULL)
        return;
    char digits[NUMBER_U64_CHARS_MAX];
    uint8_t bulk[HEADER_BYTES_MAX + NUMBER_U64_CHARS_MAX + 2];
    size_t len = number_format_u64(value, digits);
    uint8_t *place = put_header(bulk, '$', len);
    memcpy(place, digits, len);
    output_fill_mark(d->out, d->place, bulk, (size_t)(put_crlf(place + len) - bulk));
    d->place = NULL;
}

/* ---- Errors. */

static void note_error(struct reply *r, const char *text, size_t len)
{
    r->failed = true;
    size_t max = len < sizeof(r->error_code) - 1 ? len : sizeof(r->error_code) - 1;
    const char *space = memchr(text, ' ', max);
    if (space == NULL || space == text) {
        memcpy(r->error_code, "ERR", 4);
        return;
    }
    size_t code_len = (size_t)(space - text);
    memcpy(r->error_code, text, code_len);
    r->error_code[code_len] = '\0';
}

static void append_error(struct reply *r, const char *text, size_t len)
{
    while (len > 0 && (text[len - 1] == '\r' || text[len - 1] == '\n'))
        len--;
    note_error(r, text, len);
    if (r->muted)
        return;
    output_append(r->out, "-", 1);
    for (size_t start = 0; start < len;) {
        size_t end = start;
        while (end < len && text[end] != '\r' && text[end] != '\n')
            end++;
        output_append(r->out, text + start, end - start);
        if (end < len)
            output_append(r->out, " ", 1);
        start = end + 1;
    }
    output_append(r->out, "\r\n", 2);
}

void reply_error(struct reply *r, const char *text)
{
    append_error(r, text, strlen(text));
}

void reply_error_format(struct reply *r, const char *format, ...)
{
    char small[512];
    size_t len;
    va_list args;
    va_start(args, format);
    char *text = format_text(small, sizeof(small), &len, format, args);
    va_end(args);
    append_error(r, text, len);
    if (text != small)
        mem_free(text);
}

static const char *const reply_errors[REPLY_ERROR_COUNT] = {
    [ERROR_WRONGTYPE] = "WRONGTYPE Operation against a key holding the wrong kind of value",
    [ERROR_SYNTAX] = "ERR syntax error",
    [ERROR_NOT_INTEGER] = "ERR value is not an integer or out of range",
    [ERROR_NOT_FLOAT] = "ERR value is not a valid float",
    [ERROR_NO_KEY] = "ERR no such key",
    [ERROR_OUT_OF_RANGE] = "ERR value is out of range",
    [ERROR_INDEX_OUT_OF_RANGE] = "ERR index out of range",
    [ERROR_SAME_OBJECT] = "ERR source and destination objects are the same",
    [ERROR_STRING_TOO_LONG] = "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
    [ERROR_OVERFLOW] = "ERR increment or decrement would overflow",
    [ERROR_NAN_OR_INFINITY] = "ERR increment would produce NaN or Infinity",
    [ERROR_INVALID_EXPIRE] = "ERR invalid expire time in '%s' command",
    [ERROR_BUSYKEY] = "BUSYKEY Target key name already exists.",
    [ERROR_NOAUTH] = "NOAUTH Authentication required.",
    [ERROR_LOADING] = "LOADING Redis is loading the dataset in memory",
    [ERROR_READONLY] = "READONLY You can't write against a read only replica.",
    [ERROR_MISCONF_JOURNAL] =
        ("MISCONF Errors writing to the journal. Commands that may modify the data set are "
         "disabled until it can be written again. Please check the server's log for details."),
    [ERROR_OOM] = "OOM command not allowed when used memory > 'maxmemory'.",
    [ERROR_EXECABORT] = "EXECABORT Transaction discarded because of previous errors.",
    [ERROR_NOSCRIPT] = "NOSCRIPT No matching script. Please use EVAL.",
    [ERROR_IO] = "IOERR The key's record could not be read from disk. Nothing was changed.",
};

void reply_error_id(struct reply *r, enum reply_error_id id)
{
    reply_error(r, reply_error_text(id));
}

const char *reply_error_text(enum reply_error_id id)
{
    CHECK(id < REPLY_ERROR_COUNT);
    return reply_errors[id];
}

/* A client's word as an error repeats it: up to its first zero byte, not too long. */
static int quoted_len(struct bytes word)
{
    size_t max = word.len < QUOTED_WORD_BYTES_MAX ? word.len : QUOTED_WORD_BYTES_MAX;
    return max == 0 ? 0 : (int)strnlen((const char *)word.data, max);
}

void reply_error_subcommand(struct reply *r, struct bytes subcommand, const char *command_upper)
{
    reply_error_format(r, "ERR unknown subcommand '%.*s'. Try %s HELP.", quoted_len(subcommand),
                       (const char *)subcommand.data, command_upper);
}

void reply_error_subcommand_syntax(struct reply *r, struct bytes subcommand,
                                   const char *command_upper)
{
    reply_error_format(
        r, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
        quoted_len(subcommand), (const char *)subcommand.data, command_upper);
}

void reply_error_arity(struct reply *r, const char *full_name)
{
    reply_error_format(r, "ERR wrong number of arguments for '%s' command", full_name);
}

void reply_error_expire(struct reply *r, const char *full_name)
{
    reply_error_format(r, "ERR invalid expire time in '%s' command", full_name);
}

void reply_help(struct reply *r, const char *command_upper, const char *const *lines)
{
    size_t count = 0;
    while (lines[count] != NULL)
        count++;
    char head[128];
    (void)snprintf(head, sizeof(head),
                   "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", command_upper);
    reply_array(r, count + 3);
    reply_simple(r, head);
    for (size_t i = 0; i < count; i++)
        reply_simple(r, lines[i]);
    reply_simple(r, "HELP");
    reply_simple(r, "    Print this help.");
}
