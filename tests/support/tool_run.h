/* Running the tool `basalt` as a process, and what it printed. */
#ifndef BASALT_TESTS_SUPPORT_TOOL_RUN_H
#define BASALT_TESTS_SUPPORT_TOOL_RUN_H

#include <stdbool.h>
#include <sys/types.h>

/* The basalt next to this program, or $BASALT_TOOL; NULL when there is none. */
const char *tool_program(void);

/* Starts it with arguments up to NULL; what it prints goes to the files "stdout" and "stderr" of
 * `dir`. */
pid_t tool_start(const char *dir, const char *const *args);
/* The same with something to read: `input`, a file descriptor. */
pid_t tool_start_from(const char *dir, int input, const char *const *args);
/* Waits for its end; the exit status, or -signal if it was killed. */
int tool_wait(pid_t pid);
/* Both; fails the test if it is killed. */
int tool_run(const char *dir, const char *const *args);
#define TOOL_RUN(dir, ...) tool_run((dir), (const char *const[]){__VA_ARGS__, NULL})

/* Whether what the last run printed to "stdout" or "stderr" holds `text`. */
bool tool_has_printed(const char *dir, const char *stream, const char *text);
/* Fails the test, showing the output, unless it does. */
void tool_assert_printed(const char *dir, const char *stream, const char *text);

#endif
