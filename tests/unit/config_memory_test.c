/* Goal: the memory that may be used is the smallest of the machine's and its control groups'
 * limits. Method: trees of files as the kernel shows them, in a fresh directory. */
#include "codec/buf.h"
#include "codec/mem.h"
#include "server/config.h"
#include "server/config_internal.h"
#include "tests/support/harness.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MACHINE ((uint64_t)8 << 30)

struct memory_case {
    const char *cgroup;   /* /proc/self/cgroup */
    const char *files[8]; /* path and content in turn, below the root */
    uint64_t limit;
};

static const struct memory_case cases[] = {
    {NULL, {NULL}, MACHINE},
    {"", {NULL}, MACHINE},
    {"0::/\n", {"sys/fs/cgroup/memory.max", "1073741824\n"}, 1073741824},
    {"0::/\n", {"sys/fs/cgroup/memory.max", "max\n"}, MACHINE},
    {"0::/\n", {"sys/fs/cgroup/memory.max", "99999999999999\n"}, MACHINE},
    {"0::/\n",
     {"sys/fs/cgroup/memory.max", "4096000\n", "sys/fs/cgroup/memory.high", "2048000\n"},
     2048000},
    {"0::/a/b\n",
     {"sys/fs/cgroup/a/b/memory.max", "3000000\n", "sys/fs/cgroup/a/memory.max", "2000000\n",
      "sys/fs/cgroup/memory.max", "max\n"},
     2000000},
    /* The path is the host's, the mount the container's. */
    {"0::/docker/0123\n", {"sys/fs/cgroup/memory.max", "5000000\n"}, 5000000},
    {"12:cpu,cpuacct:/x\n4:memory:/x\n0::/y\n",
     {"sys/fs/cgroup/memory/x/memory.limit_in_bytes", "6000000\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"},
     6000000},
    {"4:cpu,memory:/\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes", "7000000\n"}, 7000000},
    {"4:memoryless:/\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes", "7000000\n"}, MACHINE},
    {"garbage\n0:\n::\n", {"sys/fs/cgroup/memory.max", "7000000\n"}, MACHINE},
    {"0::/\n", {"sys/fs/cgroup/memory.max", "\n"}, MACHINE},
    {"0::/\n", {"sys/fs/cgroup/memory.max", "0\n"}, MACHINE},
};

static void write_file(const char *root, const char *path, const char *text)
{
    struct buf full = {0};
    buf_append_format(&full, "%s/%s", root, path);
    buf_append_byte(&full, '\0');
    char *name = (char *)full.data;
    for (char *slash = strchr(name + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(name, 0755);
        *slash = '/';
    }
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    buf_deinit(&full);
}

static void smallest_limit_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *root = harness_make_dir();
        if (cases[i].cgroup != NULL)
            write_file(root, "proc/self/cgroup", cases[i].cgroup);
        for (size_t j = 0; cases[i].files[j] != NULL; j += 2)
            write_file(root, cases[i].files[j], cases[i].files[j + 1]);
        uint64_t limit = config_memory_limit_under(root, MACHINE);
        harness_remove_dir(root);
        mem_free(root);
        if (limit != cases[i].limit)
            fail_msg("case %zu: %llu", i, (unsigned long long)limit);
    }
}

static void maxmemory_not_set_is_half_of_what_there_is(void **state)
{
    (void)state;
    struct config *config = config_create();
    assert_true(config_memory_available() > (16 << 20));
    assert_int_equal(config_effective_maxmemory(config), config_memory_available() / 2);
    config->maxmemory = 12345678;
    assert_int_equal(config_effective_maxmemory(config), 12345678);
    config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(smallest_limit_counts),
        TEST(maxmemory_not_set_is_half_of_what_there_is),
    };
    return RUN_TESTS("config_memory", tests);
}
