#include "tests/support/io_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/mem.h"
#include "tests/support/harness.h"

#define NEVER INT64_MAX

/* The page of the one shim that is open, and where its file is. */
static struct io_shim_page *page;
static char *page_dir;

static void find_shim(char *out, size_t room)
{
    ssize_t len = readlink("/proc/self/exe", out, room - 32);
    if (len <= 0)
        fail_msg("cannot find out where this program is");
    out[len] = '\0';
    (void)snprintf(strrchr(out, '/') + 1, 32, "tests/libio_shim.so");
    if (access(out, R_OK) != 0)
        fail_msg("%s is not there: build io_shim", out);
}

void io_shim_open(const char *dir)
{
    char path[4096];
    assert_null(page);
    assert_true(strlen(dir) < IO_SHIM_DIR_BYTES);
    find_shim(path, sizeof(path));
    assert_int_equal(setenv("LD_PRELOAD", path, 1), 0);
    /* The sanitizers' runtimes want to be the first, and need not be. */
    assert_int_equal(setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1), 0);
    page_dir = harness_make_dir();
    (void)snprintf(path, sizeof(path), "%s/page", page_dir);
    assert_int_equal(setenv(IO_SHIM_ENV, path, 1), 0);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(*page)), 0);
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(page != MAP_FAILED);
    close(fd);
    (void)snprintf(page->dir, sizeof(page->dir), "%s", dir);
}

void io_shim_close(void)
{
    if (page == NULL)
        return;
    (void)unsetenv("LD_PRELOAD");
    (void)unsetenv("ASAN_OPTIONS");
    (void)unsetenv(IO_SHIM_ENV);
    (void)munmap(page, sizeof(*page));
    page = NULL;
    harness_remove_dir(page_dir);
    mem_free(page_dir);
    page_dir = NULL;
}

static void arm(uint32_t ops, const char *part, int action, int64_t skip, int64_t count)
{
    assert_non_null(page);
    assert_true(strlen(part) < IO_SHIM_PART_BYTES);
    io_shim_clear();
    page->ops = ops;
    page->action = action;
    (void)snprintf(page->part, sizeof(page->part), "%s", part);
    atomic_store(&page->skip, skip);
    atomic_store(&page->count, count);
    atomic_store(&page->calls, 0);
    atomic_store(&page->hits, 0);
    atomic_store(&page->armed, 1);
}

void io_shim_fail(uint32_t ops, const char *part, int error)
{
    arm(ops, part, error, 0, NEVER);
}

void io_shim_kill(uint32_t ops, const char *part, int64_t nth, enum io_action action)
{
    arm(ops, part, (int)action, nth - 1, 1);
}

void io_shim_power_off(uint32_t ops, const char *part, int64_t nth, uint64_t seed)
{
    assert_non_null(page);
    page->seed = seed;
    arm(ops, part, IO_POWER_OFF, nth - 1, 1);
}

void io_shim_skip_syncs(void)
{
    assert_non_null(page);
    page->skips_syncs = 1;
}

void io_shim_clear(void)
{
    if (page != NULL)
        atomic_store(&page->armed, 0);
}

uint64_t io_shim_calls(void)
{
    return page == NULL ? 0 : atomic_load(&page->calls);
}

uint64_t io_shim_hits(void)
{
    return page == NULL ? 0 : atomic_load(&page->hits);
}
