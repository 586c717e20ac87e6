/* Reads a transcript into steps, one per request, expectation and directive, with the ends of
 * blocks found, so that the runner only walks an array. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/mem.h"
#include "tests/support/reply_pattern.h"
#include "tests/support/transcript_internal.h"

#define NESTING_MAX    8
#define DEFAULT_CLIENT "main"

struct parser {
    struct transcript *transcript;
    size_t line; /* index */
    size_t group;
    const char *client; /* whom a bare expectation is about */
    size_t open[NESTING_MAX];
    size_t open_count;
    struct err *err;
};

static enum status refuse(const struct parser *parser, const char *what)
{
    return err_set(parser->err, ST_INVALID, "%s:%zu: %s", parser->transcript->name,
                   parser->line + 1, what);
}

static char *copy_range(const char *start, size_t len)
{
    char *copy = mem_alloc(len + 1);
    memcpy(copy, start, len);
    copy[len] = '\0';
    return copy;
}

static enum status read_lines(struct transcript *transcript, struct err *err)
{
    FILE *file = fopen(transcript->path, "re");
    if (file == NULL)
        return err_set(err, ST_IO, "cannot open %s", transcript->path);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    while ((len = getline(&line, &capacity, file)) >= 0) {
        while (len > 0 && isspace((unsigned char)line[len - 1]))
            len--;
        transcript->lines = mem_realloc(transcript->lines,
                                        (transcript->line_count + 1) * sizeof(*transcript->lines));
        transcript->lines[transcript->line_count++] = copy_range(line, (size_t)len);
    }
    free(line);
    (void)fclose(file);
    return ST_OK;
}

static struct transcript_step *add_step(struct parser *parser, enum transcript_step_kind kind,
                                        const char *client, const char *text)
{
    struct transcript *transcript = parser->transcript;
    transcript->steps =
        mem_realloc(transcript->steps, (transcript->step_count + 1) * sizeof(*transcript->steps));
    struct transcript_step *step = &transcript->steps[transcript->step_count++];
    *step = (struct transcript_step){.kind = kind,
                                     .line = parser->line + 1,
                                     .last_line = parser->line + 1,
                                     .group = parser->group,
                                     .client = mem_strdup(client),
                                     .text = mem_strdup(text),
                                     .partner = transcript->step_count - 1};
    return step;
}

/* The length of a client's name at the start of `line` that `mark` and a blank (or the line's end)
 * follow; `*found` tells an empty name from none. */
static size_t client_name_len(const char *line, char mark, bool *found)
{
    size_t len = 0;
    while (isalnum((unsigned char)line[len]) || line[len] == '-' || line[len] == '_')
        len++;
    *found = line[len] == mark && (line[len + 1] == ' ' || line[len + 1] == '\0');
    return len;
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* An expectation whose brackets are still open at the end of a line goes on in the next one. */
static enum status add_expectation(struct parser *parser, const char *client, const char *text)
{
    struct transcript_step *step = add_step(parser, STEP_EXPECT, client, text);
    for (;;) {
        /* A variable may stand where the pattern wants a number. */
        struct buf probe = {0};
        for (const char *at = step->text; *at != '\0'; at++) {
            const char *end = at[0] == '$' && at[1] == '{' ? strchr(at, '}') : NULL;
            buf_append_byte(&probe, end == NULL ? (uint8_t)*at : '0');
            at = end == NULL ? at : end;
        }
        struct reply_pattern *pattern = NULL;
        struct err err = {0};
        enum status st = reply_pattern_parse(buf_bytes(&probe), &pattern, &err);
        buf_deinit(&probe);
        reply_pattern_destroy(pattern);
        if (st == ST_OK)
            return ST_OK;
        if (st != ST_AGAIN || parser->line + 1 == parser->transcript->line_count)
            return refuse(parser, err.message);
        const char *more = parser->transcript->lines[++parser->line];
        struct buf joined = {0};
        buf_append_format(&joined, "%s %s", step->text, skip_blanks(more));
        buf_append_byte(&joined, '\0');
        mem_free(step->text);
        step->text = (char *)joined.data;
        step->last_line = parser->line + 1;
    }
}

/* --- directives --- */

struct directive {
    const char *name;
    enum transcript_step_kind kind;
    bool takes_client;
    bool needs_server;
};

static const struct directive directives[] = {
    {"send", STEP_SEND, true, false},     {"raw", STEP_RAW, true, false},
    {"scan", STEP_SCAN, true, false},     {"until", STEP_UNTIL, false, false},
    {"close", STEP_CLOSE, true, false},   {"closed", STEP_CLOSED, true, false},
    {"silent", STEP_SILENT, true, false}, {"restart", STEP_RESTART, false, true},
    {"crash", STEP_CRASH, false, true},   {"exited", STEP_EXITED, false, true},
    {"let", STEP_LET, false, false},      {"if", STEP_IF, false, false},
    {"else", STEP_ELSE, false, false},    {"for", STEP_FOR, false, false},
    {"end", STEP_END, false, false},
};

/* @only, @protocol and @server speak of the whole file; false if `name` is none of them. */
static bool set_header(struct parser *parser, const char *name, const char *rest)
{
    struct transcript *transcript = parser->transcript;
    if (strcmp(name, "only") == 0) {
        mem_free(transcript->only);
        transcript->only = mem_strdup(rest);
    } else if (strcmp(name, "protocol") == 0) {
        transcript->protocol = atoi(rest);
    } else if (strcmp(name, "server") == 0) {
        mem_free(transcript->server_args);
        transcript->server_args = mem_strdup(rest);
        transcript->needs_server = true;
    } else {
        return false;
    }
    return true;
}

/* Notes which steps belong together. */
static enum status link_block(struct parser *parser)
{
    struct transcript_step *steps = parser->transcript->steps;
    size_t index = parser->transcript->step_count - 1;
    enum transcript_step_kind kind = steps[index].kind;
    if (kind == STEP_IF || kind == STEP_FOR) {
        if (parser->open_count == NESTING_MAX)
            return refuse(parser, "blocks nested too deeply");
        parser->open[parser->open_count++] = index;
        return ST_OK;
    }
    if (kind != STEP_ELSE && kind != STEP_END)
        return ST_OK;
    if (parser->open_count == 0)
        return refuse(parser, "no block is open");
    size_t opener = parser->open[--parser->open_count];
    steps[opener].partner = index;
    if (kind == STEP_ELSE) {
        if (steps[opener].kind != STEP_IF)
            return refuse(parser, "@else belongs to @if");
        parser->open[parser->open_count++] = index;
    } else if (steps[opener].kind == STEP_FOR) {
        steps[index].partner = opener;
    }
    return ST_OK;
}

static enum status add_directive(struct parser *parser, const char *line)
{
    size_t name_len = strcspn(line + 1, " \t");
    char name[16];
    if (name_len >= sizeof(name))
        return refuse(parser, "unknown directive");
    memcpy(name, line + 1, name_len);
    name[name_len] = '\0';
    const char *rest = skip_blanks(line + 1 + name_len);
    if (set_header(parser, name, rest))
        return ST_OK;
    const struct directive *found = NULL;
    for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++) {
        if (strcmp(directives[i].name, name) == 0)
            found = &directives[i];
    }
    if (found == NULL)
        return refuse(parser, "unknown directive");
    char *client = NULL;
    if (found->takes_client && *rest != '"' && *rest != '\0') {
        /* `@scan` is followed by a request: there the client is named as in a request line. */
        bool named = true;
        size_t len =
            found->kind == STEP_SCAN ? client_name_len(rest, '>', &named) : strcspn(rest, " \t");
        if (named) {
            client = copy_range(rest, len);
            rest = skip_blanks(rest + len + (found->kind == STEP_SCAN));
        }
    }
    (void)add_step(parser, found->kind, client != NULL ? client : DEFAULT_CLIENT, rest);
    mem_free(client);
    if (found->kind == STEP_SCAN)
        parser->client = parser->transcript->steps[parser->transcript->step_count - 1].client;
    parser->transcript->needs_server = parser->transcript->needs_server || found->needs_server;
    return link_block(parser);
}

static enum status parse_line(struct parser *parser)
{
    const char *line = parser->transcript->lines[parser->line];
    if (line[0] == '\0') {
        parser->group++;
        return ST_OK;
    }
    if (line[0] == '#' && (line[1] == ' ' || line[1] == '\0' || line[1] == '#'))
        return ST_OK;
    if (line[0] == '@')
        return add_directive(parser, line);
    for (size_t i = 0; i < 2; i++) {
        char mark = i == 0 ? '>' : '<';
        bool found = false;
        size_t len = client_name_len(line, mark, &found);
        if (!found)
            continue;
        char *client = len == 0 ? mem_strdup(DEFAULT_CLIENT) : copy_range(line, len);
        const char *text = skip_blanks(line + len + 1);
        enum status st = ST_OK;
        if (mark == '>') {
            const struct transcript_step *step = add_step(parser, STEP_REQUEST, client, text);
            parser->client = step->client;
        } else {
            st = add_expectation(parser, client, text);
        }
        mem_free(client);
        return st;
    }
    if (parser->client == NULL)
        return refuse(parser, "an expectation before the first request");
    return add_expectation(parser, parser->client, line);
}

enum status transcript_load(const char *path, struct transcript **out, struct err *err)
{
    struct transcript *transcript = mem_calloc(1, sizeof(*transcript));
    transcript->path = mem_strdup(path);
    transcript->name = transcript->path;
    size_t slashes = 0;
    for (size_t i = strlen(path); i > 0 && slashes < 2; i--) {
        if (path[i - 1] == '/' && ++slashes == 2)
            transcript->name = transcript->path + i;
    }
    struct parser parser = {.transcript = transcript, .err = err};
    enum status st = read_lines(transcript, err);
    for (; st == ST_OK && parser.line < transcript->line_count; parser.line++)
        st = parse_line(&parser);
    if (st == ST_OK && parser.open_count != 0)
        st = refuse(&parser, "a block is not closed");
    if (st == ST_OK)
        *out = transcript;
    else
        transcript_destroy(transcript);
    return st;
}

void transcript_destroy(struct transcript *transcript)
{
    if (transcript == NULL)
        return;
    for (size_t i = 0; i < transcript->step_count; i++) {
        mem_free(transcript->steps[i].client);
        mem_free(transcript->steps[i].text);
    }
    for (size_t i = 0; i < transcript->line_count; i++)
        mem_free(transcript->lines[i]);
    mem_free(transcript->steps);
    mem_free(transcript->lines);
    mem_free(transcript->only);
    mem_free(transcript->server_args);
    mem_free(transcript->path);
    mem_free(transcript);
}

/* --- conditions --- */

static enum status check_condition(const char *word, struct transcript_target *target, int protocol,
                                   bool *out, struct err *err)
{
    static const char has[] = "has:";
    static const struct {
        const char *operator;
        int sign; /* of (actual - wanted) when it holds */
    } comparisons[] = {{"redis>=", 1}, {"redis<", -1}};
    for (size_t i = 0; i < sizeof(comparisons) / sizeof(comparisons[0]); i++) {
        size_t len = strlen(comparisons[i].operator);
        int major = 0;
        int minor = 0;
        if (strncmp(word, comparisons[i].operator, len) != 0)
            continue;
        if (sscanf(word + len, "%d.%d", &major, &minor) != 2)
            return err_set(err, ST_INVALID, "bad version in %s", word);
        bool at_least = target->version >= major * 100 + minor;
        *out = comparisons[i].sign > 0 ? at_least : !at_least;
        return ST_OK;
    }
    if (strncmp(word, has, strlen(has)) == 0)
        *out = transcript_server_has(target, word + strlen(has));
    else if (strcmp(word, "basalt-only") == 0)
        *out = !target->is_reference;
    else if (strcmp(word, "redis-only") == 0)
        *out = target->is_reference;
    else if (strcmp(word, "hot") == 0 || strcmp(word, "cold") == 0)
        *out = target->is_cold == (word[0] == 'c');
    else if (strcmp(word, "resp2") == 0 || strcmp(word, "resp3") == 0)
        *out = protocol == word[4] - '0';
    else
        return err_set(err, ST_INVALID, "unknown condition %s", word);
    return ST_OK;
}

enum status transcript_check_conditions(const char *conditions, struct transcript_target *target,
                                        int protocol, bool *out, struct err *err)
{
    char *copy = mem_strdup(conditions);
    char *rest = copy;
    enum status st = ST_OK;
    *out = true;
    for (char *word = strtok_r(rest, " \t", &rest); word != NULL && st == ST_OK;
         word = strtok_r(NULL, " \t", &rest)) {
        bool holds = false;
        st = check_condition(word, target, protocol, &holds, err);
        *out = *out && holds;
    }
    mem_free(copy);
    return st;
}
