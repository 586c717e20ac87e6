/* Goal: log lines have Redis's form, obey the level, and survive threads, rotation and odd input.
 * Method: write to a file in a fresh directory and read it back. */
#include "server/log.h"

#include "codec/mem.h"
#include "tests/support/harness.h"

#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define THREAD_COUNT     4
#define LINES_PER_THREAD 500

struct fixture {
    char *dir;
    char path[256];
};

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    f->dir = harness_make_dir();
    (void)snprintf(f->path, sizeof(f->path), "%s/server.log", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    log_close();
    harness_remove_dir(f->dir);
    mem_free(f->dir);
    mem_free(f);
    return 0;
}

static void open_log(const struct fixture *f, int level)
{
    struct err err;
    struct log_options options = {.path = f->path, .level = level};
    assert_ok(log_open(&options, &err), &err);
}

/* The whole file, to be freed; "" if there is none. */
static char *read_log(const char *path)
{
    char *text = mem_calloc(1, 4 << 20);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return text;
    size_t len = fread(text, 1, (4 << 20) - 1, file);
    text[len] = '\0';
    (void)fclose(file);
    return text;
}

static bool matches(const char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

static void lines_have_the_form_of_redis(void **state)
{
    const struct fixture *f = *state;
    open_log(f, LOG_DEBUG);
    log_write(LOG_DEBUG, "one %d", 1);
    log_write(LOG_VERBOSE, "two");
    log_write(LOG_NOTICE, "three");
    log_set_role('S');
    log_write(LOG_WARNING, "four");
    log_set_role('M');
    char *text = read_log(f->path);
    const char *time = "[0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}";
    char pattern[1024];
    (void)snprintf(pattern, sizeof(pattern),
                   "^%d:M %s [.] one 1\n%d:M %s - two\n%d:M %s [*] three\n%d:S %s # four\n$",
                   getpid(), time, getpid(), time, getpid(), time, getpid(), time);
    if (!matches(text, pattern))
        fail_msg("unexpected lines:\n%s", text);
    mem_free(text);
}

static void messages_below_the_level_are_dropped(void **state)
{
    const struct fixture *f = *state;
    open_log(f, LOG_WARNING);
    log_write(LOG_NOTICE, "hidden");
    log_write(LOG_WARNING, "shown");
    log_set_level(LOG_NOTHING);
    log_write(LOG_WARNING, "hidden too");
    log_set_level(LOG_DEBUG);
    assert_true(log_enabled(LOG_DEBUG));
    log_sink(NULL, LOG_DEBUG, "through the sink 100%");
    char *text = read_log(f->path);
    assert_null(strstr(text, "hidden"));
    assert_non_null(strstr(text, "# shown\n"));
    assert_non_null(strstr(text, ". through the sink 100%\n"));
    mem_free(text);
}

static void long_messages_are_cut_off(void **state)
{
    const struct fixture *f = *state;
    open_log(f, LOG_NOTICE);
    char message[LOG_TEXT_BYTES_MAX * 2];
    memset(message, 'x', sizeof(message));
    message[sizeof(message) - 1] = '\0';
    log_write(LOG_NOTICE, "%s", message);
    log_sink(NULL, LOG_NOTICE, message);
    char *text = read_log(f->path);
    assert_true(strlen(text) < 2 * (LOG_TEXT_BYTES_MAX + LOG_TIME_BYTES_MAX + 32));
    assert_int_equal(text[strlen(text) - 1], '\n');
    mem_free(text);
}

static void rotated_file_is_followed(void **state)
{
    const struct fixture *f = *state;
    open_log(f, LOG_NOTICE);
    log_write(LOG_NOTICE, "before");
    char rotated[300];
    (void)snprintf(rotated, sizeof(rotated), "%s.1", f->path);
    assert_int_equal(rename(f->path, rotated), 0);
    log_write(LOG_NOTICE, "after");
    char *text = read_log(f->path);
    assert_null(strstr(text, "before"));
    assert_non_null(strstr(text, "after"));
    mem_free(text);
}

static void file_that_cannot_be_opened_is_an_error(void **state)
{
    const struct fixture *f = *state;
    char path[300];
    (void)snprintf(path, sizeof(path), "%s/missing/server.log", f->dir);
    struct err err;
    struct log_options options = {.path = path, .level = LOG_NOTICE};
    assert_status(log_open(&options, &err), ST_IO);
    assert_string_equal(err.message, "Can't open the log file: No such file or directory");
}

static void *log_many(void *arg)
{
    for (int i = 0; i < LINES_PER_THREAD; i++)
        log_write(LOG_NOTICE, "thread %s line %d end", (const char *)arg, i);
    return NULL;
}

static void lines_of_several_threads_never_mix(void **state)
{
    const struct fixture *f = *state;
    open_log(f, LOG_NOTICE);
    static char names[THREAD_COUNT][2];
    pthread_t threads[THREAD_COUNT];
    for (int i = 0; i < THREAD_COUNT; i++) {
        names[i][0] = (char)('a' + i);
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, names[i]), 0);
    }
    for (int i = 0; i < THREAD_COUNT; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    char *text = read_log(f->path);
    int lines = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char name;
        int number;
        char *at = strstr(line, "* thread ");
        assert_non_null(at);
        assert_int_equal(sscanf(at, "* thread %c line %d", &name, &number), 2);
        assert_string_equal(line + strlen(line) - 4, " end");
        lines++;
    }
    assert_int_equal(lines, THREAD_COUNT * LINES_PER_THREAD);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(lines_have_the_form_of_redis, setup, teardown),
        TEST_WITH(messages_below_the_level_are_dropped, setup, teardown),
        TEST_WITH(long_messages_are_cut_off, setup, teardown),
        TEST_WITH(rotated_file_is_followed, setup, teardown),
        TEST_WITH(file_that_cannot_be_opened_is_an_error, setup, teardown),
        TEST_WITH(lines_of_several_threads_never_mix, setup, teardown),
    };
    return RUN_TESTS("log", tests);
}
