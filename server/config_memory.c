/* How much memory this process may use: the machine's, or less where a control group says so. A
 * group's limit binds those below it too, so each directory from the process's group up to the root
 * is asked; the smallest answer counts. Inside a container the path named in /proc/self/cgroup may
 * not exist: then the walk up ends at the root of what is mounted, which is the container's own
 * group. */
#include "server/config.h"

#include "codec/buf.h"
#include "codec/number.h"
#include "server/config_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SMALL_FILE_BYTES_MAX ((size_t)16 << 10)

/* Reads a file of /proc or /sys, or nothing when there is none. */
static void read_small_file(const char *path, struct buf *out)
{
    buf_clear(out);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t len;
    do {
        len = read(fd, buf_reserve(out, SMALL_FILE_BYTES_MAX), SMALL_FILE_BYTES_MAX - out->len);
        if (len > 0)
            out->len += (size_t)len;
    } while (len > 0 && out->len < SMALL_FILE_BYTES_MAX);
    (void)close(fd);
}

static struct bytes next_token(struct bytes *rest, char separator)
{
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->data, separator, rest->len);
    struct bytes token = *rest;
    if (end == NULL) {
        *rest = (struct bytes){0};
        return token;
    }
    token.len = (size_t)(end - rest->data);
    *rest = bytes_make(end + 1, rest->len - token.len - 1);
    return token;
}

/* Lowers *limit to what the file says; "max" and what is not a number say nothing. */
static void apply_limit_file(const struct buf *directory, const char *file, uint64_t *limit)
{
    struct buf path = {0};
    struct buf text = {0};
    uint64_t bytes;
    buf_append_format(&path, "%.*s/%s", (int)directory->len, (const char *)directory->data, file);
    buf_append_byte(&path, '\0');
    read_small_file((const char *)path.data, &text);
    struct bytes rest = buf_bytes(&text);
    if (number_parse_u64(next_token(&rest, '\n'), &bytes) && bytes > 0 && bytes < *limit)
        *limit = bytes;
    buf_deinit(&path);
    buf_deinit(&text);
}

/* Walks from the group at `group` (starting with '/') up to the mount. */
static void apply_groups(const char *root, const char *mount, struct bytes group,
                         const char *const files[2], uint64_t *limit)
{
    struct buf directory = {0};
    for (;;) {
        while (group.len > 0 && group.data[group.len - 1] == '/')
            group.len--;
        buf_clear(&directory);
        buf_append_format(&directory, "%s%s%.*s", root, mount, (int)group.len,
                          (const char *)group.data);
        for (size_t i = 0; i < 2; i++)
            apply_limit_file(&directory, files[i], limit);
        if (group.len == 0)
            break;
        while (group.len > 0 && group.data[group.len - 1] != '/')
            group.len--;
    }
    buf_deinit(&directory);
}

static bool lists_memory(struct bytes controllers)
{
    while (controllers.len > 0) {
        if (bytes_equal(next_token(&controllers, ','), bytes_text("memory")))
            return true;
    }
    return false;
}

uint64_t config_memory_limit_under(const char *root, uint64_t machine_bytes)
{
    static const char *const unified_files[2] = {"memory.max", "memory.high"};
    static const char *const legacy_files[2] = {"memory.limit_in_bytes",
                                                "memory.soft_limit_in_bytes"};
    struct buf path = {0};
    struct buf text = {0};
    uint64_t limit = machine_bytes;
    buf_append_format(&path, "%s/proc/self/cgroup", root);
    buf_append_byte(&path, '\0');
    read_small_file((const char *)path.data, &text);
    /* Lines of "hierarchy:controllers:path"; version 2 has hierarchy 0 and no controllers. */
    struct bytes lines = buf_bytes(&text);
    while (lines.len > 0) {
        struct bytes line = next_token(&lines, '\n');
        struct bytes hierarchy = next_token(&line, ':');
        struct bytes controllers = next_token(&line, ':');
        if (line.len == 0 || line.data[0] != '/')
            continue;
        if (controllers.len == 0 && bytes_equal(hierarchy, bytes_text("0")))
            apply_groups(root, "/sys/fs/cgroup", line, unified_files, &limit);
        else if (lists_memory(controllers))
            apply_groups(root, "/sys/fs/cgroup/memory", line, legacy_files, &limit);
    }
    buf_deinit(&path);
    buf_deinit(&text);
    return limit;
}

uint64_t config_memory_available(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t machine_bytes = (uint64_t)1 << 30; /* a modest guess where the system cannot tell */
    if (pages > 0 && page_bytes > 0)
        machine_bytes = (uint64_t)pages * (uint64_t)page_bytes;
    return config_memory_limit_under("", machine_bytes);
}

uint64_t config_effective_maxmemory(const struct config *config)
{
    return config->maxmemory != 0 ? config->maxmemory : config_memory_available() / 2;
}
