/* The only includer of cmocka: test programs include this header and list their tests in main().
 *
 *     static void empty_buffer_has_no_bytes(void **state)
 *     {
 *         (void)state;
 *         ...
 *     }
 *
 *     int main(void)
 *     {
 *         const struct CMUnitTest tests[] = {TEST(empty_buffer_has_no_bytes)};
 *         return RUN_TESTS("buf", tests);
 *     }
 *
 * A test's name is a sentence about behaviour. Failed assertions leave the test by a long jump, so
 * what a test holds then leaks: fixtures that must be released whatever happens (server processes)
 * hang on a teardown function. */
#ifndef BASALT_TESTS_SUPPORT_HARNESS_H
#define BASALT_TESTS_SUPPORT_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/bytes.h"
#include "codec/status.h"

#define TEST(function) cmocka_unit_test(function)
/* The teardown runs also after a failed assertion; NULL for none. */
#define TEST_WITH(function, setup, teardown)                                                       \
    cmocka_unit_test_setup_teardown(function, setup, teardown)
#define RUN_TESTS(group, tests) cmocka_run_group_tests_name(group, tests, NULL, NULL)

/* Fails unless a fallible call returned ST_OK; prints the error record (which may be NULL). */
#define assert_ok(status, err)                                                                     \
    harness_assert_status((status), ST_OK, (err), #status, __FILE__, __LINE__)
/* Fails unless the call returned `expected`. */
#define assert_status(status, expected)                                                            \
    harness_assert_status((status), (expected), NULL, #status, __FILE__, __LINE__)
/* Compares two byte ranges; prints both, escaped, when they differ. */
#define assert_bytes(actual, expected)                                                             \
    harness_assert_bytes((actual), (expected), __FILE__, __LINE__)

void harness_assert_status(enum status actual, enum status expected, const struct err *err,
                           const char *expression, const char *file, int line);
void harness_assert_bytes(struct bytes actual, struct bytes expected, const char *file, int line);

/* Makes a fresh directory under TMPDIR (/tmp when unset) and returns its path, to be freed with
 * mem_free. `harness_remove_dir` deletes it with all that is in it; it refuses any other directory.
 */
char *harness_make_dir(void);
void harness_remove_dir(const char *path);

/* A monotonic clock for deadlines. */
int64_t harness_now_ms(void);
/* Lets other threads or processes get there: a test waits for conditions, not for times. */
#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        int64_t give_up = harness_now_ms() + 20000;                                                \
        while (!(condition)) {                                                                     \
            if (harness_now_ms() > give_up)                                                        \
                fail_msg("waited too long for " #condition);                                       \
            harness_pause();                                                                       \
        }                                                                                          \
    } while (0)
/* A moment of that. */
void harness_pause(void);

#endif
