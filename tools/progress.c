#include "tools/progress.h"

#include "codec/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define TERMINAL_PERIOD_MS 100
#define PLAIN_PERIOD_MS    5000
#define BAR_CHARS          24
#define RATE_ELAPSED_MS    500 /* before, a rate says nothing */

const char *progress_format_count(uint64_t count, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    int at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

const char *progress_format_bytes(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(out, 32, value < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

/* "m:ss" or "h:mm:ss" */
static void format_duration(uint64_t seconds, char out[32])
{
    if (seconds < 3600)
        (void)snprintf(out, 32, "%" PRIu64 ":%02" PRIu64, seconds / 60, seconds % 60);
    else
        (void)snprintf(out, 32, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 3600,
                       seconds / 60 % 60, seconds % 60);
}

static void append(char out[PROGRESS_LINE_BYTES_MAX], const char *format, ...) PRINTF_LIKE(2, 3);

static void append(char out[PROGRESS_LINE_BYTES_MAX], const char *format, ...)
{
    size_t len = strlen(out);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out + len, PROGRESS_LINE_BYTES_MAX - len, format, args);
    va_end(args);
}

static void append_bar(char out[PROGRESS_LINE_BYTES_MAX], unsigned percent)
{
    char bar[BAR_CHARS + 1];
    unsigned filled = percent * BAR_CHARS / 100;
    for (unsigned i = 0; i < BAR_CHARS; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_CHARS] = '\0';
    append(out, " [%s]", bar);
}

static void append_rate(char out[PROGRESS_LINE_BYTES_MAX], const struct progress_step *step,
                        int64_t elapsed_ms)
{
    char text[32];
    double rate = (double)step->done * 1000 / (double)elapsed_ms;
    if (step->unit == PROGRESS_BYTES)
        (void)progress_format_bytes((uint64_t)rate, text);
    else
        (void)progress_format_count((uint64_t)rate, text);
    append(out, ", %s/s", text);
    if (step->total == 0 || step->done == 0 || step->done > step->total)
        return;
    format_duration((uint64_t)((double)(step->total - step->done) / rate + 0.5), text);
    append(out, ", %s left", text);
}

int progress_format(const struct progress_step *step, int64_t elapsed_ms, bool bar,
                    char out[PROGRESS_LINE_BYTES_MAX])
{
    char text[32];
    out[0] = '\0';
    append(out, bar ? "%-9s" : "%s", step->name);
    if (step->total > 0) {
        unsigned percent = step->done >= step->total
                               ? 100
                               : (unsigned)((double)step->done * 100 / (double)step->total);
        if (bar)
            append_bar(out, percent);
        (void)snprintf(text, sizeof(text), bar ? "%3u%%" : "%u%%", percent);
        append(out, " %s", text);
    } else {
        append(out, " %s",
               step->unit == PROGRESS_BYTES ? progress_format_bytes(step->done, text)
                                            : progress_format_count(step->done, text));
    }
    if (step->keys > 0)
        append(out, ", %s keys", progress_format_count(step->keys, text));
    if (elapsed_ms >= RATE_ELAPSED_MS)
        append_rate(out, step, elapsed_ms);
    return (int)strlen(out);
}

void progress_init(struct progress *progress, FILE *out, bool terminal)
{
    *progress = (struct progress){.out = out, .terminal = terminal};
}

void progress_show(struct progress *progress, const struct progress_step *step, int64_t now_ms)
{
    int64_t period_ms = progress->terminal ? TERMINAL_PERIOD_MS : PLAIN_PERIOD_MS;
    if (progress->name != step->name) {
        progress->name = step->name;
        progress->started_ms = now_ms;
        progress->shown_ms = now_ms;
        if (!progress->terminal)
            return; /* nothing to say before the first period is over */
    } else if (now_ms - progress->shown_ms < period_ms) {
        return;
    }
    progress->shown_ms = now_ms;
    char line[PROGRESS_LINE_BYTES_MAX];
    (void)progress_format(step, now_ms - progress->started_ms, progress->terminal, line);
    (void)fprintf(progress->out, progress->terminal ? "\r%s\033[K" : "%s\n", line);
    (void)fflush(progress->out);
    progress->shown = progress->terminal;
}

void progress_clear(struct progress *progress)
{
    if (progress->shown)
        (void)fputs("\r\033[K", progress->out);
    (void)fflush(progress->out);
    progress->shown = false;
}
