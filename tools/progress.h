/* Says how far a long job has come: a bar that is redrawn where somebody watches a terminal, else a
 * line every few seconds. */
#ifndef BASALT_TOOLS_PROGRESS_H
#define BASALT_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PROGRESS_LINE_BYTES_MAX 160

enum progress_unit { PROGRESS_BYTES, PROGRESS_RECORDS };

/* How far a phase has come. */
struct progress_step {
    const char *name; /* static */
    enum progress_unit unit;
    uint64_t done;
    uint64_t total; /* 0: not known */
    uint64_t keys;  /* read in all; shown if not 0 */
};

struct progress {
    FILE *out; /* borrowed */
    bool terminal;
    const char *name;   /* of the phase shown */
    int64_t started_ms; /* of the phase */
    int64_t shown_ms;
    bool shown; /* a line is on the terminal */
};

void progress_init(struct progress *progress, FILE *out, bool terminal);
/* Shows the step unless one of the same phase was shown a moment ago. `now_ms` is monotonic. Cheap:
 * call it often. */
void progress_show(struct progress *progress, const struct progress_step *step, int64_t now_ms);
/* Takes the bar off the terminal. */
void progress_clear(struct progress *progress);

/* Writes the line for a step that began `elapsed_ms` ago: with a bar for a terminal, without one
 * else. Returns its length. */
int progress_format(const struct progress_step *step, int64_t elapsed_ms, bool bar,
                    char out[PROGRESS_LINE_BYTES_MAX]);
/* "1,234,567" */
const char *progress_format_count(uint64_t count, char out[32]);
/* "1.4 GiB" */
const char *progress_format_bytes(uint64_t bytes, char out[32]);

#endif
