/* The real system as an env. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "codec/check.h"
#include "storage/env.h"

#define TRANSFER_BYTES_MAX                                                                         \
    ((size_t)1 << 30) /* of one call; the kernel takes a little less than 2 GiB */

static int result(int outcome)
{
    return outcome == 0 ? 0 : errno;
}

/* Turns the result of a transfer into an errno value and a count. */
static int transferred(ssize_t outcome, size_t *done_out)
{
    if (outcome < 0)
        return errno;
    *done_out = (size_t)outcome;
    return 0;
}

static size_t transfer_len(size_t len)
{
    return len < TRANSFER_BYTES_MAX ? len : TRANSFER_BYTES_MAX;
}

static int posix_open(struct env *env, const char *path, unsigned flags, int *fd_out)
{
    (void)env;
    int os_flags = O_CLOEXEC;
    if ((flags & ENV_WRITE) != 0)
        os_flags |= (flags & ENV_READ) != 0 ? O_RDWR : O_WRONLY;
    os_flags |= (flags & ENV_CREATE) != 0 ? O_CREAT : 0;
    os_flags |= (flags & ENV_EXCLUSIVE) != 0 ? O_EXCL : 0;
    os_flags |= (flags & ENV_TRUNCATE) != 0 ? O_TRUNC : 0;
    os_flags |= (flags & ENV_APPEND) != 0 ? O_APPEND : 0;
    int fd = -1;
    do
        fd = open(path, os_flags, ENV_FILE_MODE);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return errno;
    *fd_out = fd;
    return 0;
}

static int posix_close(struct env *env, int fd)
{
    (void)env;
    return result(close(fd));
}

static int posix_read(struct env *env, int fd, void *data, size_t len, size_t *done_out)
{
    (void)env;
    ssize_t got = -1;
    do
        got = read(fd, data, transfer_len(len));
    while (got < 0 && errno == EINTR);
    return transferred(got, done_out);
}

static int posix_pread(struct env *env, int fd, void *data, size_t len, uint64_t off,
                       size_t *done_out)
{
    (void)env;
    if (off > INT64_MAX)
        return EINVAL;
    ssize_t got = -1;
    do
        got = pread(fd, data, transfer_len(len), (off_t)off);
    while (got < 0 && errno == EINTR);
    return transferred(got, done_out);
}

static int posix_write(struct env *env, int fd, const void *data, size_t len, size_t *done_out)
{
    (void)env;
    ssize_t put = -1;
    do
        put = write(fd, data, transfer_len(len));
    while (put < 0 && errno == EINTR);
    return transferred(put, done_out);
}

static int posix_writev(struct env *env, int fd, const struct iovec *parts, int count,
                        size_t *done_out)
{
    (void)env;
    ssize_t put = -1;
    do
        put = writev(fd, parts, count);
    while (put < 0 && errno == EINTR);
    return transferred(put, done_out);
}

static int posix_fdatasync(struct env *env, int fd)
{
    (void)env;
    return result(fdatasync(fd));
}

static int posix_sync_dir(struct env *env, const char *path)
{
    (void)env;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = result(fsync(fd));
    (void)close(fd);
    return error;
}

static int posix_truncate(struct env *env, int fd, uint64_t size)
{
    (void)env;
    return size > INT64_MAX ? EINVAL : result(ftruncate(fd, (off_t)size));
}

static int posix_seek(struct env *env, int fd, uint64_t off)
{
    (void)env;
    if (off > INT64_MAX)
        return EINVAL;
    return lseek(fd, (off_t)off, SEEK_SET) < 0 ? errno : 0;
}

static int posix_file_size(struct env *env, int fd, uint64_t *size_out)
{
    (void)env;
    struct stat info;
    if (fstat(fd, &info) != 0)
        return errno;
    *size_out = (uint64_t)info.st_size;
    return 0;
}

static int posix_drop_cache(struct env *env, int fd)
{
    (void)env;
    return posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int posix_rename(struct env *env, const char *from, const char *to)
{
    (void)env;
    return result(rename(from, to));
}

static int posix_exchange(struct env *env, const char *a, const char *b)
{
    (void)env;
    return result(renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE));
}

static int posix_unlink(struct env *env, const char *path)
{
    (void)env;
    return result(unlink(path));
}

static int posix_mkdir(struct env *env, const char *path)
{
    (void)env;
    return result(mkdir(path, ENV_DIR_MODE));
}

static int posix_rmdir(struct env *env, const char *path)
{
    (void)env;
    return result(rmdir(path));
}

static int posix_list_dir(struct env *env, const char *path, env_visit_fn *visit, void *arg)
{
    (void)env;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno;
    int error = 0;
    for (;;) {
        errno = 0; /* the only way to tell the end from an error */
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            error = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(arg, entry->d_name);
    }
    (void)closedir(dir);
    return error;
}

/* flock rather than fcntl: it also holds off a second opener in the same process, and closing
 * another descriptor of the file does not drop it. */
static int posix_lock_file(struct env *env, const char *path, int *fd_out)
{
    int fd = -1;
    int error = posix_open(env, path, ENV_READ | ENV_WRITE | ENV_CREATE, &fd);
    if (error != 0)
        return error;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        error = errno == EWOULDBLOCK ? EAGAIN : errno;
        (void)close(fd);
        return error;
    }
    /* Who holds it, for the message of the next one; the lock is good without. */
    char text[32];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)len, 0) < 0)
        (void)ftruncate(fd, 0);
    *fd_out = fd;
    return 0;
}

static int64_t posix_now_realtime_ms(struct env *env)
{
    (void)env;
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t posix_now_mono_us(struct env *env)
{
    (void)env;
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void posix_random_bytes(struct env *env, void *data, size_t len)
{
    (void)env;
    size_t done = 0;
    while (done < len) {
        ssize_t got = getrandom((uint8_t *)data + done, len - done, 0);
        CHECK(got >= 0 || errno == EINTR);
        done += got > 0 ? (size_t)got : 0;
    }
}

struct env *env_posix(void)
{
    static struct env env = {
        .open = posix_open,
        .close = posix_close,
        .read = posix_read,
        .pread = posix_pread,
        .write = posix_write,
        .writev = posix_writev,
        .fdatasync = posix_fdatasync,
        .sync_dir = posix_sync_dir,
        .truncate = posix_truncate,
        .seek = posix_seek,
        .file_size = posix_file_size,
        .drop_cache = posix_drop_cache,
        .rename = posix_rename,
        .exchange = posix_exchange,
        .unlink = posix_unlink,
        .mkdir = posix_mkdir,
        .rmdir = posix_rmdir,
        .list_dir = posix_list_dir,
        .lock_file = posix_lock_file,
        .now_realtime_ms = posix_now_realtime_ms,
        .now_mono_us = posix_now_mono_us,
        .random_bytes = posix_random_bytes,
    };
    return &env;
}
