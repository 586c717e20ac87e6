/* A recursive descent parser for patterns, and the comparison. The recursion is over text that is
 * part of the tests, not over what a server sent. */
#include "tests/support/reply_pattern.h"

#include <regex.h>
#include <stdlib.h>

#include "codec/buf.h"
#include "codec/mem.h"

enum text_test {
    TEXT_EXACT,
    TEXT_ANY,
    TEXT_REGEX,
    TEXT_RANGE, /* integers */
};

struct reply_pattern {
    enum resp_kind kind;
    bool any;       /* whatever the kind */
    bool unordered; /* children in any order */
    bool pairs;     /* children stand in arrays of two in RESP3 */
    bool open;      /* more children may follow */
    enum text_test test;
    char format[4];
    int64_t min; /* TEXT_RANGE */
    int64_t max;
    struct buf text;                 /* owned; TEXT_EXACT */
    regex_t regex;                   /* owned; TEXT_REGEX */
    struct buf capture;              /* owned; empty for none */
    struct reply_pattern **children; /* owned */
    size_t child_count;
    struct reply_pattern *alternative; /* owned; what stands behind "or" */
};

struct parser {
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    struct err *err;
};

void reply_pattern_destroy(struct reply_pattern *pattern)
{
    if (pattern == NULL)
        return;
    for (size_t i = 0; i < pattern->child_count; i++)
        reply_pattern_destroy(pattern->children[i]);
    mem_free(pattern->children);
    if (pattern->test == TEXT_REGEX)
        regfree(&pattern->regex);
    buf_deinit(&pattern->text);
    buf_deinit(&pattern->capture);
    reply_pattern_destroy(pattern->alternative);
    mem_free(pattern);
}

/* --- parsing --- */

static enum status refuse(const struct parser *parser, const char *what)
{
    return err_set(parser->err, ST_INVALID, "%s at column %zu of the pattern", what,
                   (size_t)(parser->at - parser->start) + 1);
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static void skip_blanks(struct parser *parser)
{
    while (parser->at < parser->end && is_blank(*parser->at))
        parser->at++;
}

static bool take_text(struct parser *parser, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(parser->end - parser->at) < len || memcmp(parser->at, text, len) != 0)
        return false;
    parser->at += len;
    return true;
}

/* A word of letters: must not go on. */
static bool take_word(struct parser *parser, const char *word)
{
    const uint8_t *before = parser->at;
    if (!take_text(parser, word))
        return false;
    if (parser->at == parser->end || strchr(" \t\r\n[]{}", *parser->at) != NULL)
        return true;
    parser->at = before;
    return false;
}

static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* After the backslash. */
static enum status parse_escape(struct parser *parser, struct buf *out)
{
    static const char letters[] = "nrtba";
    static const char values[] = "\n\r\t\b\a";
    if (parser->at == parser->end)
        return refuse(parser, "unfinished escape");
    uint8_t byte = *parser->at++;
    const char *letter = byte == '\0' ? NULL : strchr(letters, byte);
    if (letter != NULL) {
        buf_append_byte(out, (uint8_t)values[letter - letters]);
    } else if (byte == 'x') {
        if (parser->end - parser->at < 2 || hex_value(parser->at[0]) < 0 ||
            hex_value(parser->at[1]) < 0)
            return refuse(parser, "\\x wants two hexadecimal digits");
        buf_append_byte(out, (uint8_t)(hex_value(parser->at[0]) * 16 + hex_value(parser->at[1])));
        parser->at += 2;
    } else {
        buf_append_byte(out, byte);
    }
    return ST_OK;
}

/* After the opening quote. */
static enum status parse_quoted(struct parser *parser, struct buf *out)
{
    while (parser->at < parser->end) {
        uint8_t byte = *parser->at++;
        if (byte == '"')
            return ST_OK;
        if (byte != '\\') {
            buf_append_byte(out, byte);
            continue;
        }
        enum status st = parse_escape(parser, out);
        if (st != ST_OK)
            return st;
    }
    return refuse(parser, "unfinished string");
}

/* After the opening slash; \/ stands for a slash, \n and \r for what they are elsewhere. */
static enum status parse_regex(struct parser *parser, struct reply_pattern *pattern)
{
    struct buf source = {0};
    buf_append_text(&source, "^(");
    bool closed = false;
    while (parser->at < parser->end && !closed) {
        uint8_t byte = *parser->at++;
        uint8_t next = parser->at < parser->end ? *parser->at : 0;
        if (byte == '\\' && (next == '/' || next == 'n' || next == 'r')) {
            buf_append_byte(&source, next == 'n' ? '\n' : next == 'r' ? '\r' : '/');
            parser->at++;
        } else if (byte == '/') {
            closed = true;
        } else {
            buf_append_byte(&source, byte);
        }
    }
    buf_append(&source, ")$", 3);
    enum status st = ST_OK;
    if (!closed || regcomp(&pattern->regex, (const char *)source.data, REG_EXTENDED) != 0)
        st = refuse(parser, closed ? "bad regular expression" : "unfinished regular expression");
    else
        pattern->test = TEXT_REGEX;
    buf_deinit(&source);
    return st;
}

static struct bytes take_bare(struct parser *parser, bool to_end)
{
    const uint8_t *start = parser->at;
    while (parser->at < parser->end && (to_end || strchr(" \t\r\n[]{}=", *parser->at) == NULL))
        parser->at++;
    const uint8_t *end = parser->at;
    while (to_end && end > start && is_blank(end[-1]))
        end--;
    return bytes_make(start, (size_t)(end - start));
}

/* The text behind a prefix. `to_end`: a bare text reaches to the end of the line. */
static enum status parse_text(struct parser *parser, bool to_end, struct reply_pattern *pattern)
{
    if (take_text(parser, "\""))
        return parse_quoted(parser, &pattern->text);
    if (take_text(parser, "/"))
        return parse_regex(parser, pattern);
    struct bytes bare = take_bare(parser, to_end);
    if (bare.len == 0)
        return refuse(parser, "nothing behind the prefix");
    if (bytes_equal(bare, bytes_text("*")))
        pattern->test = TEXT_ANY;
    else
        buf_append_bytes(&pattern->text, bare);
    return ST_OK;
}

static enum status parse_integer(struct parser *parser, struct reply_pattern *pattern)
{
    enum status st = parse_text(parser, false, pattern);
    if (st != ST_OK || pattern->test != TEXT_EXACT)
        return st;
    char text[64];
    if (pattern->text.len >= sizeof(text))
        return refuse(parser, "not an integer");
    memcpy(text, pattern->text.data, pattern->text.len);
    text[pattern->text.len] = '\0';
    char *end = NULL;
    pattern->min = pattern->max = strtoll(text, &end, 10);
    if (end != text && strncmp(end, "..", 2) == 0) {
        pattern->test = TEXT_RANGE;
        char *second = end + 2;
        pattern->max = strtoll(second, &end, 10);
        if (end == second)
            end = text;
    }
    return end == text || *end != '\0' ? refuse(parser, "not an integer") : ST_OK;
}

static enum status parse_alternatives(struct parser *parser, bool top, struct reply_pattern **out);

static enum status parse_children(struct parser *parser, uint8_t close,
                                  struct reply_pattern *pattern)
{
    for (;;) {
        skip_blanks(parser);
        if (parser->at == parser->end)
            return err_set(parser->err, ST_AGAIN, "the pattern is not closed");
        if (*parser->at == close) {
            parser->at++;
            return ST_OK;
        }
        if (pattern->open)
            return refuse(parser, "nothing may follow ...");
        if (take_text(parser, "...")) {
            pattern->open = true;
            continue;
        }
        struct reply_pattern *child = NULL;
        enum status st = parse_alternatives(parser, false, &child);
        if (st != ST_OK)
            return st;
        pattern->children =
            mem_realloc(pattern->children, (pattern->child_count + 1) * sizeof(*pattern->children));
        pattern->children[pattern->child_count++] = child;
    }
}

static enum status parse_aggregate(struct parser *parser, struct reply_pattern *pattern,
                                   bool *found)
{
    static const struct {
        const char *open;
        char close;
        enum resp_kind kind;
    } forms[] = {{"[", ']', RESP_ARRAY},
                 {"{", '}', RESP_MAP},
                 {"~[", ']', RESP_SET},
                 {">[", ']', RESP_PUSH},
                 {"|{", '}', RESP_ATTRIBUTE}};
    pattern->unordered = take_word(parser, "unordered");
    skip_blanks(parser);
    pattern->pairs = take_word(parser, "pairs");
    skip_blanks(parser);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (!take_text(parser, forms[i].open))
            continue;
        *found = true;
        pattern->kind = forms[i].kind;
        pattern->unordered = pattern->unordered || pattern->kind == RESP_SET;
        enum status st = parse_children(parser, (uint8_t)forms[i].close, pattern);
        bool is_map = pattern->kind == RESP_MAP || pattern->kind == RESP_ATTRIBUTE;
        if (st == ST_OK && pattern->pairs && pattern->kind != RESP_ARRAY)
            return refuse(parser, "pairs are an array");
        if (st == ST_OK && (is_map || pattern->pairs) && pattern->child_count % 2 != 0)
            return refuse(parser, "a key without a value");
        return st;
    }
    *found = false;
    if (pattern->pairs)
        return refuse(parser, "pairs of what?");
    return pattern->unordered ? refuse(parser, "unordered what?") : ST_OK;
}

/* =txt:"..." */
static enum status parse_verbatim(struct parser *parser, struct reply_pattern *pattern)
{
    if (parser->end - parser->at < 4 || parser->at[3] != ':')
        return refuse(parser, "a verbatim string wants its format");
    memcpy(pattern->format, parser->at, 3);
    parser->at += 4;
    return parse_text(parser, false, pattern);
}

static enum status parse_scalar(struct parser *parser, bool top, struct reply_pattern *pattern)
{
    static const struct {
        char prefix;
        enum resp_kind kind;
    } prefixes[] = {{'+', RESP_SIMPLE},     {'-', RESP_ERROR}, {',', RESP_DOUBLE},
                    {'(', RESP_BIG_NUMBER}, {'#', RESP_BOOL},  {'!', RESP_BULK_ERROR}};
    if (take_word(parser, "nil-array")) {
        pattern->kind = RESP_NIL_ARRAY;
        return ST_OK;
    }
    if (take_word(parser, "nil")) {
        pattern->kind = RESP_NIL;
        return ST_OK;
    }
    uint8_t prefix = *parser->at;
    if (prefix == '"' || prefix == '/') {
        pattern->kind = RESP_BULK;
        return parse_text(parser, false, pattern);
    }
    parser->at++;
    if (prefix == '*') {
        pattern->any = true;
        return ST_OK;
    }
    if (prefix == ':') {
        pattern->kind = RESP_INTEGER;
        return parse_integer(parser, pattern);
    }
    if (prefix == '=') {
        pattern->kind = RESP_VERBATIM;
        return parse_verbatim(parser, pattern);
    }
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (prefixes[i].prefix == (char)prefix) {
            pattern->kind = prefixes[i].kind;
            bool to_end = top && (prefix == '+' || prefix == '-');
            return parse_text(parser, to_end, pattern);
        }
    }
    parser->at--;
    return refuse(parser, "no reply is written like this");
}

static enum status parse_one(struct parser *parser, bool top, struct reply_pattern *pattern)
{
    bool found = false;
    enum status st = parse_aggregate(parser, pattern, &found);
    if (st == ST_OK && !found)
        st = parse_scalar(parser, top, pattern);
    if (st != ST_OK)
        return st;
    if (take_text(parser, "=")) {
        struct bytes name = take_bare(parser, false);
        if (name.len == 0)
            return refuse(parser, "a capture without a name");
        buf_append_bytes(&pattern->capture, name);
    }
    if (parser->at < parser->end && strchr(" \t\r\n]}", *parser->at) == NULL)
        return refuse(parser, "something glued to a value");
    return ST_OK;
}

static enum status parse_alternatives(struct parser *parser, bool top, struct reply_pattern **out)
{
    struct reply_pattern *first = NULL;
    struct reply_pattern **link = &first;
    enum status st;
    do {
        skip_blanks(parser);
        if (parser->at == parser->end) {
            st = refuse(parser, "a reply is missing");
            break;
        }
        *link = mem_calloc(1, sizeof(**link));
        st = parse_one(parser, top, *link);
        link = &(*link)->alternative;
        skip_blanks(parser);
    } while (st == ST_OK && take_word(parser, "or"));
    if (st == ST_OK)
        *out = first;
    else
        reply_pattern_destroy(first);
    return st;
}

enum status reply_pattern_parse(struct bytes text, struct reply_pattern **out, struct err *err)
{
    struct parser parser = {text.data, text.data, text.data + text.len, err};
    struct reply_pattern *pattern = NULL;
    enum status st = parse_alternatives(&parser, true, &pattern);
    if (st != ST_OK)
        return st;
    if (parser.at != parser.end) {
        reply_pattern_destroy(pattern);
        return refuse(&parser, "something behind the value");
    }
    *out = pattern;
    return ST_OK;
}

/* --- matching --- */

/* Our own group around the expression, and the expression's first one. */
#define REGEX_SPANS      3
#define REGEX_GROUP_SPAN 2

/* `captured` becomes what a capture takes: the whole text, or the expression's first group. */
static bool regex_matches(const struct reply_pattern *pattern, struct bytes text,
                          struct bytes *captured)
{
    regmatch_t spans[REGEX_SPANS] = {{.rm_so = 0, .rm_eo = (regoff_t)text.len}};
    /* The text may hold zero bytes, which REG_STARTEND allows; it must end with one all the same.
     */
    struct buf copy = {0};
    buf_append_bytes(&copy, text);
    buf_append_byte(&copy, '\0');
    int result =
        regexec(&pattern->regex, (const char *)copy.data, REGEX_SPANS, spans, REG_STARTEND);
    buf_deinit(&copy);
    if (result != 0)
        return false;
    const regmatch_t *group = &spans[REGEX_GROUP_SPAN];
    if (pattern->regex.re_nsub >= REGEX_GROUP_SPAN && group->rm_so >= 0)
        *captured = bytes_make(text.data + group->rm_so, (size_t)(group->rm_eo - group->rm_so));
    return true;
}

static bool text_matches(const struct reply_pattern *pattern, struct bytes text,
                         struct bytes *captured)
{
    if (pattern->test == TEXT_ANY)
        return true;
    if (pattern->test == TEXT_REGEX)
        return regex_matches(pattern, text, captured);
    if (pattern->test == TEXT_RANGE) {
        char digits[32];
        if (text.len >= sizeof(digits))
            return false;
        memcpy(digits, text.data, text.len);
        digits[text.len] = '\0';
        int64_t value = strtoll(digits, NULL, 10);
        return value >= pattern->min && value <= pattern->max;
    }
    return bytes_equal(buf_bytes(&pattern->text), text);
}

/* How RESP2 says what has a form of its own in RESP3. */
static bool downgrade_matches(enum resp_kind expected, enum resp_kind actual)
{
    switch (expected) {
    case RESP_MAP:
    case RESP_SET:
    case RESP_PUSH:
        return actual == RESP_ARRAY;
    case RESP_DOUBLE:
    case RESP_BIG_NUMBER:
    case RESP_VERBATIM:
        return actual == RESP_BULK;
    case RESP_BOOL:
        return actual == RESP_INTEGER;
    case RESP_BULK_ERROR:
        return actual == RESP_ERROR;
    case RESP_SIMPLE:
    case RESP_ERROR:
    case RESP_INTEGER:
    case RESP_BULK:
    case RESP_NIL:
    case RESP_NIL_ARRAY:
    case RESP_ARRAY:
    case RESP_ATTRIBUTE:
        return false;
    }
    return false;
}

static bool kind_matches(const struct reply_pattern *pattern, const struct resp_reply *reply,
                         int protocol)
{
    if (protocol == 2 && reply->is_resp3)
        return false;
    if (protocol == 3 && reply->kind == RESP_NIL && !reply->is_resp3)
        return false;
    if (pattern->any)
        return true;
    if (pattern->kind == reply->kind)
        return pattern->kind != RESP_NIL_ARRAY || protocol != 3;
    if (pattern->kind == RESP_NIL_ARRAY)
        return reply->kind == RESP_NIL && reply->is_resp3;
    if (pattern->kind == RESP_BULK && pattern->test == TEXT_REGEX && reply->kind == RESP_VERBATIM)
        return true;
    return protocol != 3 && downgrade_matches(pattern->kind, reply->kind);
}

static bool matches_here(const struct reply_pattern *pattern, const struct resp_reply *reply,
                         int protocol, const struct reply_captures *captures);

/* Whether each group of `step` patterns finds a group of replies of its own: tries to place the
 * patterns from `first` on, taking back a choice that leads nowhere. */
static bool place_unordered(const struct reply_pattern *pattern, const struct resp_reply *reply,
                            int protocol, size_t step, size_t first, bool *taken)
{
    if (first == pattern->child_count)
        return true;
    for (size_t i = 0; i + step <= reply->child_count; i += step) {
        bool fits = !taken[i];
        for (size_t j = 0; j < step && fits; j++)
            fits = reply_pattern_matches(pattern->children[first + j], &reply->children[i + j],
                                         protocol, NULL);
        if (!fits)
            continue;
        taken[i] = true;
        if (place_unordered(pattern, reply, protocol, step, first + step, taken))
            return true;
        taken[i] = false;
    }
    return false;
}

static bool has_pairs(const struct resp_reply *reply)
{
    bool all = true;
    for (size_t i = 0; i < reply->child_count; i++)
        all = all && reply->children[i].kind == RESP_ARRAY && reply->children[i].child_count == 2;
    return all;
}

static bool row_matches(const struct reply_pattern *pattern, const struct resp_reply *reply,
                        int protocol, const struct reply_captures *captures)
{
    if (reply->child_count < pattern->child_count ||
        (reply->child_count > pattern->child_count && !pattern->open))
        return false;
    if (pattern->unordered) {
        size_t step = pattern->kind == RESP_MAP || pattern->pairs ? 2 : 1;
        bool *taken = mem_calloc(reply->child_count + 1, sizeof(*taken));
        bool placed = place_unordered(pattern, reply, protocol, step, 0, taken);
        mem_free(taken);
        return placed;
    }
    for (size_t i = 0; i < pattern->child_count; i++) {
        if (!reply_pattern_matches(pattern->children[i], &reply->children[i], protocol, captures))
            return false;
    }
    return true;
}

static bool children_match(const struct reply_pattern *pattern, const struct resp_reply *reply,
                           int protocol, const struct reply_captures *captures)
{
    bool in_pairs = pattern->pairs && protocol != 2 && has_pairs(reply);
    if (!in_pairs)
        return (!pattern->pairs || protocol != 3) &&
               row_matches(pattern, reply, protocol, captures);
    struct resp_reply row = *reply; /* borrows what the pairs hold */
    row.child_count = 2 * reply->child_count;
    row.children = mem_calloc(row.child_count + 1, sizeof(*row.children));
    for (size_t i = 0; i < row.child_count; i++)
        row.children[i] = reply->children[i / 2].children[i % 2];
    bool match = row_matches(pattern, &row, protocol, captures);
    mem_free(row.children);
    return match;
}

static bool matches_here(const struct reply_pattern *pattern, const struct resp_reply *reply,
                         int protocol, const struct reply_captures *captures)
{
    if (!kind_matches(pattern, reply, protocol))
        return false;
    bool leaf = !resp_kind_has_children(reply->kind);
    if (!pattern->any && !leaf && !children_match(pattern, reply, protocol, captures))
        return false;
    bool has_text = leaf && reply->kind != RESP_NIL && reply->kind != RESP_NIL_ARRAY;
    struct bytes text = buf_bytes(&reply->text);
    if (pattern->kind == RESP_BOOL && reply->kind == RESP_INTEGER)
        text = bytes_text(bytes_equal(text, bytes_text("1")) ? "t" : "f");
    struct bytes captured = text;
    if (!pattern->any && has_text && !text_matches(pattern, text, &captured))
        return false;
    if (reply->kind == RESP_VERBATIM && pattern->kind == RESP_VERBATIM &&
        memcmp(reply->format, pattern->format, sizeof(reply->format)) != 0)
        return false;
    if (captures != NULL && pattern->capture.len != 0 && leaf)
        captures->capture(captures->arg, buf_bytes(&pattern->capture), captured);
    return true;
}

bool reply_pattern_matches(const struct reply_pattern *pattern, const struct resp_reply *reply,
                           int protocol, const struct reply_captures *captures)
{
    for (; pattern != NULL; pattern = pattern->alternative) {
        if (matches_here(pattern, reply, protocol, captures))
            return true;
    }
    return false;
}
