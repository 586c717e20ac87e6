/* Assertions with readable messages, scratch directories and a clock for tests. */
#include "tests/support/harness.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/mem.h"

#define SCRATCH_PREFIX       "basalt-test-"
#define SHOWN_BYTES_MAX      512
#define NFTW_DESCRIPTORS_MAX 16
#define PAUSE_NS             200000

void harness_assert_status(enum status actual, enum status expected, const struct err *err,
                           const char *expression, const char *file, int line)
{
    if (actual == expected)
        return;
    print_error("%s is %s, expected %s", expression, status_name(actual), status_name(expected));
    if (err != NULL && actual != ST_OK)
        print_error(": %s", err->message);
    print_error("\n");
    _fail(file, line);
}

static void print_escaped(const char *label, struct bytes bytes)
{
    struct buf text = {0};
    for (size_t i = 0; i < bytes.len && i < SHOWN_BYTES_MAX; i++) {
        uint8_t byte = bytes.data[i];
        if (byte == '"' || byte == '\\')
            buf_append_format(&text, "\\%c", byte);
        else if (byte >= 0x20 && byte < 0x7f)
            buf_append_byte(&text, byte);
        else
            buf_append_format(&text, "\\x%02x", byte);
    }
    print_error("%s %zu bytes: \"%.*s\"%s\n", label, bytes.len, (int)text.len,
                text.len == 0 ? "" : (const char *)text.data,
                bytes.len > SHOWN_BYTES_MAX ? "..." : "");
    buf_deinit(&text);
}

void harness_assert_bytes(struct bytes actual, struct bytes expected, const char *file, int line)
{
    if (bytes_equal(actual, expected))
        return;
    print_escaped("actual  ", actual);
    print_escaped("expected", expected);
    _fail(file, line);
}

char *harness_make_dir(void)
{
    const char *parent = getenv("TMPDIR");
    struct buf path = {0};
    buf_append_format(&path, "%s/" SCRATCH_PREFIX "XXXXXX", parent == NULL ? "/tmp" : parent);
    buf_append_byte(&path, '\0');
    if (mkdtemp((char *)path.data) == NULL)
        fail_msg("cannot make a directory like %s", (const char *)path.data);
    return (char *)path.data;
}

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *position)
{
    (void)stat;
    (void)kind;
    (void)position;
    (void)remove(path);
    return 0;
}

void harness_remove_dir(const char *path)
{
    if (path == NULL)
        return;
    if (strstr(path, "/" SCRATCH_PREFIX) == NULL)
        fail_msg("%s is not a directory of harness_make_dir", path);
    (void)nftw(path, remove_entry, NFTW_DESCRIPTORS_MAX, FTW_DEPTH | FTW_PHYS);
}

void harness_pause(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    (void)nanosleep(&pause, NULL);
}

int64_t harness_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
