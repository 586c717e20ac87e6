/* The variables of a running transcript, and what they do to its lines. */
#include "tests/support/transcript_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/mem.h"
#include "codec/split_args.h"
#include "tests/support/harness.h"

void transcript_set_variable(struct transcript_run *run, struct bytes name, struct bytes value)
{
    size_t i = 0;
    while (i < run->variable_count && !bytes_equal(buf_bytes(&run->variables[i].name), name))
        i++;
    if (i == TRANSCRIPT_VARIABLES_MAX)
        fail_msg("%s: too many variables", run->transcript->name);
    if (i == run->variable_count) {
        run->variable_count++;
        buf_append_bytes(&run->variables[i].name, name);
    }
    buf_clear(&run->variables[i].value);
    buf_append_bytes(&run->variables[i].value, value);
}

void transcript_set_number(struct transcript_run *run, const char *name, int64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    transcript_set_variable(run, bytes_text(name), bytes_text(text));
}

static const struct buf *find_variable(const struct transcript_run *run, struct bytes name)
{
    for (size_t i = 0; i < run->variable_count; i++) {
        if (bytes_equal(buf_bytes(&run->variables[i].name), name))
            return &run->variables[i].value;
    }
    return NULL;
}

static void append_value(struct buf *out, struct bytes value, bool quoted)
{
    if (!quoted) {
        buf_append_bytes(out, value);
        return;
    }
    struct buf text = {0};
    resp_render_quoted(value, &text);
    buf_append(out, text.data + 1, text.len - 2);
    buf_deinit(&text);
}

/* Replaces each ${name}; within double quotes, the value is escaped. The result ends with a zero.
 */
bool transcript_substitute(struct transcript_run *run, const char *text, struct buf *out)
{
    bool quoted = false;
    for (const char *at = text; *at != '\0'; at++) {
        const char *end = at[0] == '$' && at[1] == '{' ? strchr(at, '}') : NULL;
        if (end != NULL) {
            struct bytes name = bytes_make(at + 2, (size_t)(end - at) - 2);
            const struct buf *value = find_variable(run, name);
            if (value == NULL) {
                transcript_break(run, &run->transcript->steps[run->at], "unknown variable");
                return false;
            }
            append_value(out, buf_bytes(value), quoted);
            at = end;
            continue;
        }
        if (quoted && *at == '\\' && at[1] != '\0')
            buf_append_byte(out, (uint8_t)*at++);
        else if (*at == '"')
            quoted = !quoted;
        buf_append_byte(out, (uint8_t)*at);
    }
    buf_append_byte(out, '\0');
    return true;
}

/* A line's arguments after substitution; broken when the quotes are. */
bool transcript_split_line(struct transcript_run *run, const char *text, struct split_args *out)
{
    struct buf line = {0};
    *out = (struct split_args){0};
    bool ok = transcript_substitute(run, text, &line);
    if (ok && !split_args(bytes_make(line.data, line.len - 1), out)) {
        transcript_break(run, &run->transcript->steps[run->at], "unbalanced quotes");
        ok = false;
    }
    buf_deinit(&line);
    return ok;
}

/* name = repeat "text" count | now-ms offset | now-s offset | "literal" */
void transcript_run_let(struct transcript_run *run, const struct transcript_step *step)
{
    struct split_args args;
    if (!transcript_split_line(run, step->text, &args))
        return;
    const struct bytes *items = args.items;
    if (args.count < 3 || !bytes_equal(items[1], bytes_text("="))) {
        transcript_break(run, step, "@let wants: name = value");
    } else if (args.count == 5 && bytes_equal(items[2], bytes_text("repeat"))) {
        struct buf value = {0};
        for (long i = strtol((const char *)items[4].data, NULL, 10); i > 0; i--)
            buf_append_bytes(&value, items[3]);
        transcript_set_variable(run, items[0], buf_bytes(&value));
        buf_deinit(&value);
    } else if (bytes_equal(items[2], bytes_text("now-ms")) ||
               bytes_equal(items[2], bytes_text("now-s"))) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        int64_t offset = args.count < 4 ? 0 : strtoll((const char *)items[3].data, NULL, 10);
        bool is_ms = items[2].len == strlen("now-ms");
        int64_t base = is_ms ? (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 : now.tv_sec;
        transcript_set_number(run, (const char *)items[0].data, base + offset);
    } else {
        transcript_set_variable(run, items[0], items[2]);
    }
    split_args_deinit(&args);
}
