#include "server/replace_file.h"

#include "codec/buf.h"
#include "codec/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY_NAME "%s.%d.tmp"
#define NEW_FILE_MODE  0644

static int write_all(int fd, struct bytes content)
{
    size_t done = 0;
    while (done < content.len) {
        ssize_t written = write(fd, content.data + done, content.len - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        done += (size_t)written;
    }
    return fsync(fd);
}

/* Makes the rename durable. A failure is none of the file's: it is complete. */
static void sync_directory_of(const char *path)
{
    char *copy = mem_strdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    mem_free(copy);
}

enum status replace_file(const char *path, struct bytes content, struct err *err)
{
    struct buf temporary = {0};
    buf_append_format(&temporary, TEMPORARY_NAME, path, (int)getpid());
    buf_append_byte(&temporary, '\0');
    const char *name = (const char *)temporary.data;
    struct stat old;
    bool existed = stat(path, &old) == 0;
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                  existed ? old.st_mode & NEW_FILE_MODE : NEW_FILE_MODE);
    bool failed =
        fd < 0 || (existed && fchmod(fd, old.st_mode & 0777) != 0) || write_all(fd, content) != 0;
    int error = errno;
    if (fd >= 0 && close(fd) != 0 && !failed) {
        failed = true;
        error = errno;
    }
    if (!failed && rename(name, path) != 0) {
        failed = true;
        error = errno;
    }
    if (failed && fd >= 0)
        (void)unlink(name);
    buf_deinit(&temporary);
    if (failed)
        return err_set_os(err, ST_IO, error, "%s", strerror(error));
    sync_directory_of(path);
    return ST_OK;
}
