/* Text form of replies. It is also what a pattern in a transcript is compared with, so it must
 * never show two different replies alike. */
#include "tests/support/resp_reply.h"

#include "codec/mem.h"

void resp_reply_deinit(struct resp_reply *reply)
{
    for (size_t i = 0; i < reply->child_count; i++)
        resp_reply_deinit(&reply->children[i]);
    mem_free(reply->children);
    buf_deinit(&reply->text);
    *reply = (struct resp_reply){.kind = RESP_NIL};
}

bool resp_kind_has_children(enum resp_kind kind)
{
    return kind == RESP_ARRAY || kind == RESP_MAP || kind == RESP_SET || kind == RESP_PUSH ||
           kind == RESP_ATTRIBUTE;
}

void resp_render_quoted(struct bytes text, struct buf *out)
{
    static const char plain[] = "\n\r\t\b\a\"\\";
    static const char letters[] = "nrtba\"\\";
    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.data[i];
        const char *special = byte == '\0' ? NULL : strchr(plain, byte);
        if (special != NULL) {
            buf_append_byte(out, '\\');
            buf_append_byte(out, (uint8_t)letters[special - plain]);
        } else if (byte >= 0x20 && byte < 0x7f) {
            buf_append_byte(out, byte);
        } else {
            buf_append_format(out, "\\x%02x", byte);
        }
    }
    buf_append_byte(out, '"');
}

/* Simple strings and errors stand as they are where that is one word, else in quotes. */
static void render_line(uint8_t prefix, struct bytes text, bool nested, struct buf *out)
{
    buf_append_byte(out, prefix);
    bool plain = text.len != 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.data[i];
        bool printable = byte > 0x20 && byte < 0x7f;
        bool delimits = strchr("\"/[]{}", byte) != NULL;
        plain = plain && (printable || (byte == ' ' && !nested)) && (!delimits || !nested);
    }
    /* A first character that begins a quoted form or a regular expression is quoted too. */
    if (plain && strchr("\"/*", text.data[0]) == NULL && text.data[text.len - 1] != ' ')
        buf_append_bytes(out, text);
    else
        resp_render_quoted(text, out);
}

static void render(const struct resp_reply *reply, bool nested, struct buf *out);

static void render_children(const struct resp_reply *reply, const char *open, char close,
                            struct buf *out)
{
    buf_append_text(out, open);
    for (size_t i = 0; i < reply->child_count; i++) {
        if (i != 0)
            buf_append_byte(out, ' ');
        render(&reply->children[i], true, out);
    }
    buf_append_byte(out, (uint8_t)close);
}

static void render(const struct resp_reply *reply, bool nested, struct buf *out)
{
    struct bytes text = buf_bytes(&reply->text);
    switch (reply->kind) {
    case RESP_SIMPLE:
        render_line('+', text, nested, out);
        break;
    case RESP_ERROR:
        render_line('-', text, nested, out);
        break;
    case RESP_INTEGER:
        buf_append_byte(out, ':');
        buf_append_bytes(out, text);
        break;
    case RESP_BULK:
        resp_render_quoted(text, out);
        break;
    case RESP_NIL:
        buf_append_text(out, "nil");
        break;
    case RESP_NIL_ARRAY:
        buf_append_text(out, "nil-array");
        break;
    case RESP_ARRAY:
        render_children(reply, "[", ']', out);
        break;
    case RESP_MAP:
        render_children(reply, "{", '}', out);
        break;
    case RESP_SET:
        render_children(reply, "~[", ']', out);
        break;
    case RESP_PUSH:
        render_children(reply, ">[", ']', out);
        break;
    case RESP_ATTRIBUTE:
        render_children(reply, "|{", '}', out);
        break;
    case RESP_DOUBLE:
        buf_append_byte(out, ',');
        buf_append_bytes(out, text);
        break;
    case RESP_BOOL:
        buf_append_byte(out, '#');
        buf_append_bytes(out, text);
        break;
    case RESP_BIG_NUMBER:
        buf_append_byte(out, '(');
        buf_append_bytes(out, text);
        break;
    case RESP_VERBATIM:
        buf_append_format(out, "=%s:", reply->format);
        resp_render_quoted(text, out);
        break;
    case RESP_BULK_ERROR:
        buf_append_byte(out, '!');
        resp_render_quoted(text, out);
        break;
    }
}

void resp_reply_render(const struct resp_reply *reply, struct buf *out)
{
    render(reply, false, out);
}
