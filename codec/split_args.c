/* One pass over the line. Arguments are separated by at least one blank, so all of them with their
 * terminators fit into one more byte than the line has: the text is allocated once. */
#include "codec/split_args.h"

#include "codec/check.h"
#include "codec/mem.h"

#define ITEM_CAPACITY_MIN 8

/* Where the scanner is in the line, and where its output goes. */
struct scanner {
    const uint8_t *p;
    const uint8_t *end;
    uint8_t *out;
};

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* What ends an unquoted argument; not the vertical tab and form feed that count as blanks before
 * one. */
static bool ends_argument(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

/* Reads one escape sequence; s->p is at its backslash, which is not the line's last byte. */
static void scan_escape(struct scanner *s)
{
    if (s->end - s->p >= 4 && s->p[1] == 'x' && hex_digit(s->p[2]) >= 0 &&
        hex_digit(s->p[3]) >= 0) {
        *s->out++ = (uint8_t)(hex_digit(s->p[2]) * 16 + hex_digit(s->p[3]));
        s->p += 4;
        return;
    }
    uint8_t byte = s->p[1];
    switch (byte) {
    case 'n':
        byte = '\n';
        break;
    case 'r':
        byte = '\r';
        break;
    case 't':
        byte = '\t';
        break;
    case 'b':
        byte = '\b';
        break;
    case 'a':
        byte = '\a';
        break;
    default:
        break;
    }
    *s->out++ = byte;
    s->p += 2;
}

/* Reads from behind an opening quote to behind the closing one; false if that is missing or
 * misplaced. */
static bool scan_quoted(struct scanner *s, uint8_t quote)
{
    while (s->p < s->end) {
        bool escape = *s->p == '\\' && s->end - s->p >= 2;
        if (*s->p == quote) {
            s->p++;
            return s->p == s->end || is_blank(*s->p);
        }
        if (escape && quote == '"') {
            scan_escape(s);
        } else if (escape && s->p[1] == '\'') {
            *s->out++ = '\'';
            s->p += 2;
        } else {
            *s->out++ = *s->p++;
        }
    }
    return false;
}

/* Reads one argument, which starts at s->p and is not empty in the line. */
static bool scan_argument(struct scanner *s)
{
    while (s->p < s->end && !ends_argument(*s->p)) {
        uint8_t byte = *s->p++;
        if (byte == '"' || byte == '\'')
            return scan_quoted(s, byte);
        *s->out++ = byte;
    }
    return true;
}

static void append_item(struct split_args *args, size_t *capacity, struct bytes item)
{
    if (args->count == *capacity) {
        *capacity = *capacity == 0 ? ITEM_CAPACITY_MIN : *capacity * 2;
        args->items = mem_realloc(args->items, *capacity * sizeof(*args->items));
    }
    args->items[args->count++] = item;
}

bool split_args(struct bytes line, struct split_args *out)
{
    *out = (struct split_args){0};
    if (line.len == 0)
        line = bytes_text("");
    const uint8_t *zero = memchr(line.data, 0, line.len);
    if (zero != NULL)
        line.len = (size_t)(zero - line.data);
    size_t text_size = line.len + 1;
    out->text = mem_alloc(text_size);
    size_t capacity = 0;
    struct scanner s = {.p = line.data, .end = line.data + line.len, .out = out->text};
    for (;;) {
        while (s.p < s.end && is_blank(*s.p))
            s.p++;
        if (s.p == s.end)
            break;
        const uint8_t *start = s.out;
        if (!scan_argument(&s)) {
            split_args_deinit(out);
            return false;
        }
        append_item(out, &capacity, bytes_make(start, (size_t)(s.out - start)));
        *s.out++ = 0;
        CHECK(s.out <= out->text + text_size);
    }
    return true;
}

void split_args_deinit(struct split_args *args)
{
    mem_free(args->items);
    mem_free(args->text);
    *args = (struct split_args){0};
}

void split_args_quote(struct buf *out, struct bytes value)
{
    buf_append_byte(out, '"');
    for (size_t i = 0; i < value.len; i++) {
        uint8_t byte = value.data[i];
        switch (byte) {
        case '\\':
        case '"':
            buf_append_byte(out, '\\');
            buf_append_byte(out, byte);
            break;
        case '\n':
            buf_append_text(out, "\\n");
            break;
        case '\r':
            buf_append_text(out, "\\r");
            break;
        case '\t':
            buf_append_text(out, "\\t");
            break;
        case '\a':
            buf_append_text(out, "\\a");
            break;
        case '\b':
            buf_append_text(out, "\\b");
            break;
        default:
            if (byte >= ' ' && byte <= '~')
                buf_append_byte(out, byte);
            else
                buf_append_format(out, "\\x%02x", byte);
            break;
        }
    }
    buf_append_byte(out, '"');
}
