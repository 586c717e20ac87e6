/* Goal: clients fit into the limit of open files, one way or the other. Method: each case runs in a
 * process of its own, whose hard limit is lowered first; without the right to raise it again. */
#include "server/open_files.h"

#include "server/config.h"
#include "tests/support/harness.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* In a child with these limits: what open_files_adjust makes of `maxclients`; 0: it failed. */
static unsigned adjust_in_child(rlim_t soft, rlim_t hard, unsigned maxclients)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || (getuid() == 0 && setuid(NOBODY) != 0))
            _exit(1);
        struct config *config = config_create();
        config->maxclients = maxclients;
        struct err err;
        unsigned result = open_files_adjust(config, &err) == ST_OK ? config->maxclients : 0;
        ssize_t written = write(ends[1], &result, sizeof(result));
        config_destroy(config);
        _exit(written == sizeof(result) ? 0 : 1);
    }
    unsigned result = 0;
    assert_int_equal(read(ends[0], &result, sizeof(result)), sizeof(result));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return result;
}

static void a_soft_limit_is_raised(void **state)
{
    (void)state;
    assert_int_equal(adjust_in_child(100, 1000, 900), 900);
    assert_int_equal(adjust_in_child(100, 1000, 1000 - OPEN_FILES_RESERVED),
                     1000 - OPEN_FILES_RESERVED);
}

static void clients_that_do_not_fit_are_not_promised(void **state)
{
    (void)state;
    assert_int_equal(adjust_in_child(100, 1000, 10000), 1000 - OPEN_FILES_RESERVED);
    assert_int_equal(adjust_in_child(100, 1000, 1001 - OPEN_FILES_RESERVED),
                     1000 - OPEN_FILES_RESERVED);
}

static void a_limit_without_room_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(adjust_in_child(OPEN_FILES_RESERVED, OPEN_FILES_RESERVED, 10), 0);
    assert_int_equal(adjust_in_child(OPEN_FILES_RESERVED, OPEN_FILES_RESERVED + 1, 10), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_soft_limit_is_raised),
        TEST(clients_that_do_not_fit_are_not_promised),
        TEST(a_limit_without_room_is_an_error),
    };
    return RUN_TESTS("open_files", tests);
}
