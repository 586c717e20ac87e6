#include "tests/support/tool_run.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/harness.h"

#define TOOL_ARGS_MAX 16

const char *tool_program(void)
{
    static char found[4096];
    const char *given = getenv("BASALT_TOOL");
    if (given != NULL)
        return given;
    ssize_t len = readlink("/proc/self/exe", found, sizeof(found) - 32);
    if (len <= 0)
        return NULL;
    found[len] = '\0';
    memcpy(strrchr(found, '/') + 1, "basalt", sizeof("basalt"));
    return access(found, X_OK) == 0 ? found : NULL;
}

static int open_output(const char *dir, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
}

pid_t tool_start_from(const char *dir, int input, const char *const *args)
{
    const char *argv[TOOL_ARGS_MAX + 2] = {"basalt"};
    for (size_t i = 0; args[i] != NULL; i++) {
        assert_true(i < TOOL_ARGS_MAX);
        argv[i + 1] = args[i];
    }
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    if (dup2(input, 0) < 0 || dup2(open_output(dir, "stdout"), 1) < 0 ||
        dup2(open_output(dir, "stderr"), 2) < 0)
        _exit(126);
    union {
        const char **borrowed;
        char *const *exec;
    } arguments = {.borrowed = argv};
    (void)execv(tool_program(), arguments.exec);
    _exit(127);
}

pid_t tool_start(const char *dir, const char *const *args)
{
    int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pid_t pid = tool_start_from(dir, input, args);
    (void)close(input);
    return pid;
}

int tool_wait(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int tool_run(const char *dir, const char *const *args)
{
    int status = tool_wait(tool_start(dir, args));
    assert_true(status >= 0);
    return status;
}

static void read_output(const char *dir, const char *stream, char *out, size_t capacity)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, stream);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(out, 1, capacity - 1, file);
    out[len] = '\0';
    (void)fclose(file);
}

bool tool_has_printed(const char *dir, const char *stream, const char *text)
{
    static char content[65536];
    read_output(dir, stream, content, sizeof(content));
    return strstr(content, text) != NULL;
}

void tool_assert_printed(const char *dir, const char *stream, const char *text)
{
    static char content[65536];
    read_output(dir, stream, content, sizeof(content));
    if (strstr(content, text) == NULL)
        fail_msg("%s lacks \"%s\": %s", stream, text, content);
}
