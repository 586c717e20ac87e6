/* Each line of the protocol has two ways through: read_length_fast takes what a well-behaved client
 * sends when it is here as a whole; everything else (incomplete, malformed, unusual) goes through
 * the slow functions, which follow Redis check by check. State between calls: `consumed` is behind
 * the last complete line or argument, so that an incomplete line is simply read again. */
#include "codec/resp_parse.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"

#include <limits.h>
#include <stdio.h>

#define ITEM_CAPACITY_MIN  8
#define ITEM_CAPACITY_KEPT 64
/* Digits that fit an int64_t for sure. */
#define FAST_DIGITS_MAX 10

static enum resp_parse_result fail(struct resp_parser *parser, const char *what)
{
    (void)snprintf(parser->error, sizeof(parser->error), "Protocol error: %s", what);
    return RESP_PARSE_ERROR;
}

void resp_parser_deinit(struct resp_parser *parser)
{
    mem_free(parser->items);
    split_args_deinit(&parser->inline_args);
    *parser = (struct resp_parser){0};
}

/* Reads `type`, digits, CR LF. Returns the place behind them, or NULL when something is missing or
 * uncommon. */
static inline const uint8_t *read_length_fast(const uint8_t *place, const uint8_t *end,
                                              uint8_t type, int64_t *length_out)
{
    if (end - place < 4 || place[0] != type)
        return NULL;
    unsigned digit = place[1] - (unsigned)'0';
    if (digit > 9)
        return NULL;
    int64_t length = digit;
    const uint8_t *at = place + 2;
    const uint8_t *limit = end - at > FAST_DIGITS_MAX ? at + FAST_DIGITS_MAX : end;
    if (digit != 0) {
        while (at < limit && (digit = *at - (unsigned)'0') <= 9) {
            length = length * 10 + digit;
            at++;
        }
    }
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
        return NULL;
    *length_out = length;
    return at + 2;
}

/* Finds the end of a count or length line. Returns 0 when the line is not complete; else its length
 * with the two bytes that end it. */
static size_t line_len(const uint8_t *line, size_t len)
{
    CHECK(line != NULL);
    const uint8_t *end = memchr(line, '\r', len);
    if (end == NULL || (size_t)(end - line) + 2 > len)
        return 0;
    return (size_t)(end - line) + 2;
}

/* A line without its end: more bytes may help, up to a limit. */
static enum resp_parse_result incomplete_line(struct resp_parser *parser, size_t len,
                                              const char *too_long)
{
    parser->needed = 0;
    return len > RESP_LINE_BYTES_MAX ? fail(parser, too_long) : RESP_PARSE_MORE;
}

static enum resp_parse_result check_arg_count(struct resp_parser *parser, int64_t count,
                                              const struct resp_limits *limits)
{
    if (count > INT_MAX)
        return fail(parser, "invalid multibulk length");
    if (count > RESP_UNAUTHENTICATED_ARGS_MAX && limits->unauthenticated)
        return fail(parser, "unauthenticated multibulk length");
    parser->args_left = count > 0 ? (int)count : 0;
    parser->bulk_len = -1;
    parser->needed = 0;
    return count > 0 ? RESP_PARSE_REQUEST : RESP_PARSE_EMPTY;
}

/* RESP_PARSE_REQUEST: the line has been read, arguments follow. */
static enum resp_parse_result read_arg_count(struct resp_parser *parser, const uint8_t *data,
                                             size_t len, const struct resp_limits *limits)
{
    int64_t count;
    const uint8_t *behind = read_length_fast(data, data + len, '*', &count);
    if (behind != NULL) {
        parser->consumed = (size_t)(behind - data);
        return check_arg_count(parser, count, limits);
    }
    size_t line = line_len(data, len);
    if (line == 0) {
        /* A CR as the last byte ends no line yet, but it is no endless line either. */
        if (memchr(data, '\r', len) != NULL)
            return incomplete_line(parser, 0, "");
        return incomplete_line(parser, len, "too big mbulk count string");
    }
    if (!number_parse_i64(bytes_make(data + 1, line - 3), &count))
        return fail(parser, "invalid multibulk length");
    parser->canonical = data[line - 1] == '\n';
    parser->consumed = line;
    return check_arg_count(parser, count, limits);
}

static enum resp_parse_result check_bulk_len(struct resp_parser *parser, int64_t bulk_len,
                                             const struct resp_limits *limits)
{
    if (bulk_len < 0 || bulk_len > limits->bulk_bytes_max)
        return fail(parser, "invalid bulk length");
    if (bulk_len > RESP_UNAUTHENTICATED_BULK_BYTES_MAX && limits->unauthenticated)
        return fail(parser, "unauthenticated bulk length");
    parser->bulk_len = bulk_len;
    return RESP_PARSE_REQUEST;
}

/* The slow way of reading "$len". */
static enum resp_parse_result read_bulk_len(struct resp_parser *parser, const uint8_t *data,
                                            size_t len, const struct resp_limits *limits)
{
    const uint8_t *start = data + parser->consumed;
    size_t rest = len - parser->consumed;
    if (rest == 0)
        return incomplete_line(parser, 0, "");
    size_t line = line_len(start, rest);
    if (line == 0) {
        if (memchr(start, '\r', rest) != NULL)
            return incomplete_line(parser, 0, "");
        return incomplete_line(parser, rest, "too big bulk count string");
    }
    if (start[0] != '$') {
        char what[32];
        (void)snprintf(what, sizeof(what), "expected '$', got '%c'", start[0]);
        return fail(parser, what);
    }
    int64_t bulk_len;
    if (!number_parse_i64(bytes_make(start + 1, line - 3), &bulk_len))
        return fail(parser, "invalid bulk length");
    parser->canonical = parser->canonical && start[line - 1] == '\n';
    parser->consumed += line;
    return check_bulk_len(parser, bulk_len, limits);
}

static void grow_items(struct resp_parser *parser)
{
    int capacity = parser->item_capacity < ITEM_CAPACITY_MIN / 2 ? ITEM_CAPACITY_MIN
                   : parser->item_capacity < INT_MAX / 2         ? parser->item_capacity * 2
                                                                 : INT_MAX;
    parser->items = mem_realloc(parser->items, (size_t)capacity * sizeof(*parser->items));
    parser->item_capacity = capacity;
    parser->argv = parser->items;
}

/* Arguments found so far follow the bytes to where they are now. */
static void move_base(struct resp_parser *parser, const uint8_t *data)
{
    for (int i = 0; i < parser->argc; i++)
        parser->items[i].data = data + (parser->items[i].data - parser->base);
    parser->base = data;
}

static enum resp_parse_result read_args(struct resp_parser *parser, const uint8_t *data, size_t len,
                                        const struct resp_limits *limits)
{
    const uint8_t *end = data + len;
    while (parser->args_left > 0) {
        if (parser->bulk_len < 0) {
            int64_t bulk_len;
            const uint8_t *behind = read_length_fast(data + parser->consumed, end, '$', &bulk_len);
            enum resp_parse_result result;
            if (behind != NULL) {
                parser->consumed = (size_t)(behind - data);
                result = check_bulk_len(parser, bulk_len, limits);
            } else {
                result = read_bulk_len(parser, data, len, limits);
            }
            if (result != RESP_PARSE_REQUEST)
                return result;
        }
        size_t bulk_len = (size_t)parser->bulk_len;
        const uint8_t *bulk = data + parser->consumed;
        if ((size_t)(end - bulk) < bulk_len + 2) {
            parser->needed = parser->consumed + bulk_len + 2;
            return RESP_PARSE_MORE;
        }
        if (parser->argc == parser->item_capacity)
            grow_items(parser);
        parser->items[parser->argc++] = (struct bytes){.data = bulk, .len = bulk_len};
        if (bulk[bulk_len] != '\r' || bulk[bulk_len + 1] != '\n')
            parser->canonical = false;
        parser->consumed += bulk_len + 2;
        parser->bulk_len = -1;
        parser->args_left--;
    }
    parser->needed = 0;
    return RESP_PARSE_REQUEST;
}

static enum resp_parse_result read_inline(struct resp_parser *parser, const uint8_t *data,
                                          size_t len)
{
    const uint8_t *newline = memchr(data, '\n', len);
    /* As in Redis a zero byte hides what follows: such a line never ends. */
    if (newline == NULL || memchr(data, '\0', (size_t)(newline - data)) != NULL)
        return incomplete_line(parser, len, "too big inline request");
    size_t line = (size_t)(newline - data);
    parser->needed = 0;
    parser->consumed = line + 1;
    if (line > 0 && data[line - 1] == '\r')
        line--;
    if (!split_args(bytes_make(data, line), &parser->inline_args))
        return fail(parser, "unbalanced quotes in request");
    parser->canonical = false;
    if (parser->inline_args.count == 0)
        return RESP_PARSE_EMPTY;
    parser->argv = parser->inline_args.items;
    parser->argc = (int)parser->inline_args.count;
    return RESP_PARSE_REQUEST;
}

enum resp_parse_result resp_parse(struct resp_parser *parser, const uint8_t *data, size_t len,
                                  const struct resp_limits *limits)
{
    if (parser->args_left > 0) {
        if (parser->base != data)
            move_base(parser, data);
        return read_args(parser, data, len, limits);
    }
    if (parser->inline_args.text != NULL || parser->inline_args.items != NULL)
        split_args_deinit(&parser->inline_args);
    parser->argv = parser->items;
    parser->argc = 0;
    parser->consumed = 0;
    parser->canonical = true;
    if (len == 0) {
        parser->needed = 0;
        return RESP_PARSE_MORE;
    }
    if (data[0] != '*')
        return read_inline(parser, data, len);
    parser->base = data;
    enum resp_parse_result result = read_arg_count(parser, data, len, limits);
    return result == RESP_PARSE_REQUEST ? read_args(parser, data, len, limits) : result;
}

size_t resp_parser_memory(const struct resp_parser *parser)
{
    return (size_t)parser->item_capacity * sizeof(*parser->items) +
           parser->inline_args.count * sizeof(*parser->inline_args.items) +
           mem_usable_size(parser->inline_args.text);
}

void resp_parser_trim(struct resp_parser *parser)
{
    if (parser->args_left > 0)
        return;
    parser->argc = 0;
    split_args_deinit(&parser->inline_args);
    if (parser->item_capacity <= ITEM_CAPACITY_KEPT)
        return;
    mem_free(parser->items);
    parser->items = NULL;
    parser->item_capacity = 0;
}
