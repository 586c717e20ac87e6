#include "server/commands/scan_options.h"

#include "codec/glob.h"
#include "codec/number.h"

/* What strtoul() takes, as Redis does: an optional sign, digits, and also nothing at all. */
static bool parse_cursor(struct bytes text, uint64_t *out)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    bool has_sign = negative || (text.len > 0 && text.data[0] == '+');
    if (has_sign && text.len == 1)
        return false;
    uint64_t value = 0;
    for (size_t i = has_sign; i < text.len; i++) {
        uint8_t digit = (uint8_t)(text.data[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *out = negative ? -value : value;
    return true;
}

bool scan_read_cursor(struct call *c, int at, struct scan_options *out)
{
    *out = (struct scan_options){.count = SCAN_COUNT_DEFAULT};
    if (parse_cursor(c->argv[at], &out->cursor))
        return true;
    reply_error(c->reply, "ERR invalid cursor");
    return false;
}

static void set_count(struct scan_options *out, int64_t count)
{
    out->count = count < SCAN_COUNT_MAX ? count : SCAN_COUNT_MAX;
}

bool scan_read_options(struct call *c, int at, unsigned allow, struct scan_options *out)
{
    for (int i = at; i < c->argc; i++) {
        bool has_value = i + 1 < c->argc;
        int64_t count = 0;
        if (has_value && call_arg_is(c, i, "count")) {
            if (!call_arg_i64(c, ++i, &count))
                return false;
            if (count < 1) {
                reply_error_id(c->reply, ERROR_SYNTAX);
                return false;
            }
            set_count(out, count);
        } else if (has_value && call_arg_is(c, i, "match")) {
            out->pattern = c->argv[++i];
            out->has_pattern = !bytes_equal(out->pattern, bytes_text("*"));
        } else if (has_value && (allow & SCAN_ALLOW_TYPE) != 0 && call_arg_is(c, i, "type")) {
            out->type = c->argv[++i];
            out->has_type = true;
        } else if ((allow & SCAN_ALLOW_NOVALUES) != 0 && call_arg_is(c, i, "novalues")) {
            out->no_values = true;
        } else {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

bool scan_peek(const struct bytes *argv, int argc, int at, struct scan_options *out)
{
    *out = (struct scan_options){.count = SCAN_COUNT_DEFAULT};
    if (!parse_cursor(argv[at], &out->cursor))
        return false;
    for (int i = at + 1; i + 1 < argc; i++) {
        if (bytes_equal_nocase(argv[i], "match")) {
            i++;
        } else if (bytes_equal_nocase(argv[i], "count")) {
            int64_t count;
            if (!number_parse_i64(argv[++i], &count) || count < 1)
                return false;
            set_count(out, count);
        }
    }
    return true;
}

bool scan_matches(const struct scan_options *options, struct bytes text)
{
    return !options->has_pattern || glob_match(options->pattern, text, false);
}

void scan_reply_cursor(struct reply *r, uint64_t cursor)
{
    char text[NUMBER_U64_CHARS_MAX];
    reply_bulk(r, bytes_make(text, number_format_u64(cursor, text)));
}

void scan_reply_empty(struct reply *r)
{
    reply_array(r, 2);
    scan_reply_cursor(r, 0);
    reply_array(r, 0);
}
