/* The library that support/io_shim.h loads into a server: the C library's functions for files with
 * faults in front. It knows a file's path by asking the kernel for it at each call, which costs
 * about a microsecond and cannot go wrong.
 *
 * For the failure of power it remembers up to where each file was synced (by its number on the
 * device, in the shared page, so that what an earlier process has left unsynced is known), and
 * truncates the files to somewhere between that and their size before it kills the process. Files
 * that no process with the shim has made are taken to be wholly synced. */
#include "tests/support/io_shim.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096
#define SECTOR_BYTES   512
#define SETTLE_US      3000 /* calls that are inside the kernel when the power fails get so long */
#define EXPORT         __attribute__((visibility("default")))

typedef ssize_t write_fn(int fd, const void *data, size_t len);
typedef ssize_t pwrite_fn(int fd, const void *data, size_t len, off_t off);
typedef ssize_t writev_fn(int fd, const struct iovec *parts, int count);
typedef ssize_t pread_fn(int fd, void *data, size_t len, off_t off);
typedef int sync_fn(int fd);
typedef int open_fn(const char *path, int flags, ...);
typedef int rename_fn(const char *from, const char *to);
typedef int unlink_fn(const char *path);
typedef int ftruncate_fn(int fd, off_t size);

static struct {
    struct io_shim_page *page;
    atomic_bool dying;
    pthread_mutex_t lock; /* guards page->files */
} shim = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The C library's own function. */
static void *next_function(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL)
        abort();
    return function;
}

/* --- what is synced --- */

static struct io_shim_file *file_of(ino_t inode)
{
    struct io_shim_file *files = shim.page->files;
    size_t at = (size_t)(inode * 2654435761U) % IO_SHIM_FILES_MAX;
    while (files[at].inode != 0 && files[at].inode != inode)
        at = (at + 1) % IO_SHIM_FILES_MAX;
    return &files[at];
}

static void note_synced(ino_t inode, off_t size)
{
    (void)pthread_mutex_lock(&shim.lock);
    struct io_shim_file *file = file_of(inode);
    file->inode = inode;
    if (size > file->extent)
        file->extent = size;
    if (size > file->rewritten_from)
        size = file->rewritten_from;
    if (size > file->size)
        file->size = size;
    (void)pthread_mutex_unlock(&shim.lock);
}

/* A sync begins: what is written from now on need not be in it. */
static void note_sync_begins(ino_t inode)
{
    (void)pthread_mutex_lock(&shim.lock);
    file_of(inode)->rewritten_from = INT64_MAX;
    (void)pthread_mutex_unlock(&shim.lock);
}

/* What is written over is not safe any more, nor is what follows it. */
static void note_written(int fd, off_t off)
{
    struct stat info;
    if (shim.page == NULL || off < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return;
    (void)pthread_mutex_lock(&shim.lock);
    struct io_shim_file *file = file_of(info.st_ino);
    if (file->inode != 0 && off < file->size)
        file->size = off;
    if (file->inode != 0 && off < file->rewritten_from)
        file->rewritten_from = off;
    (void)pthread_mutex_unlock(&shim.lock);
}

/* Where the next write goes; -1: behind what is there. */
static off_t position(int fd)
{
    if (shim.page == NULL || (fcntl(fd, F_GETFL) & O_APPEND) != 0)
        return -1;
    return lseek(fd, 0, SEEK_CUR);
}

/* A new file may get the number of one that is gone. */
static void note_created(ino_t inode)
{
    (void)pthread_mutex_lock(&shim.lock);
    *file_of(inode) = (struct io_shim_file){.inode = inode};
    (void)pthread_mutex_unlock(&shim.lock);
}

/* A file that was cut shorter has no more than that. */
static void note_truncated(ino_t inode, off_t size)
{
    (void)pthread_mutex_lock(&shim.lock);
    struct io_shim_file *file = file_of(inode);
    if (file->inode == inode && file->size > size)
        file->size = size;
    if (file->inode == inode && file->extent > size)
        file->extent = size;
    (void)pthread_mutex_unlock(&shim.lock);
}

typedef void visit_fn(const char *path, const struct stat *info);

static void walk(const char *dir, visit_fn *visit)
{
    DIR *stream = opendir(dir);
    if (stream == NULL)
        return;
    struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        char path[PATH_BYTES_MAX];
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int len = snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (len < 0 || len >= PATH_BYTES_MAX || lstat(path, &info) != 0)
            continue;
        if (S_ISDIR(info.st_mode))
            walk(path, visit);
        else if (S_ISREG(info.st_mode))
            visit(path, &info);
    }
    (void)closedir(stream);
}

static void visit_existing(const char *path, const struct stat *info)
{
    (void)path;
    if (file_of(info->st_ino)->inode != 0)
        return;
    note_sync_begins(info->st_ino);
    note_synced(info->st_ino, info->st_size);
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 29;
    x *= 0xBF58476D1CE4E5B9U;
    return x ^ x >> 32;
}

/* Sectors between two places that were never written. */
static void tear(const char *path, off_t from, off_t to, uint64_t chance)
{
    static const char zeros[SECTOR_BYTES];
    int fd = ((open_fn *)next_function("open"))(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    for (off_t at = from; at < to; at += SECTOR_BYTES - at % SECTOR_BYTES) {
        off_t end = at + SECTOR_BYTES - at % SECTOR_BYTES;
        chance = mix(chance + 0x9E3779B97F4A7C15U);
        if (chance % 8 == 0)
            (void)((pwrite_fn *)next_function("pwrite"))(fd, zeros,
                                                         (size_t)((end < to ? end : to) - at), at);
    }
    close(fd);
}

static void visit_powerless(const char *path, const struct stat *info)
{
    struct io_shim_file *file = file_of(info->st_ino);
    off_t safe = file->inode == 0 ? 0 : file->size;
    if (info->st_size <= safe)
        return;
    uint64_t chance = mix(shim.page->seed * 0x9E3779B97F4A7C15U + (uint64_t)info->st_ino);
    off_t kept = (off_t)(chance % (uint64_t)(info->st_size - safe + 1));
    if (chance % 3 == 0)
        kept = 0;
    (void)truncate(path, safe + kept);
    if (chance % 3 == 1)
        tear(path, safe, safe + kept, chance);
    if (file->extent > safe + kept)
        (void)truncate(path, file->extent);
    off_t size = safe + kept > file->extent ? safe + kept : file->extent;
    *file = (struct io_shim_file){
        .inode = info->st_ino, .size = size, .extent = size, .rewritten_from = INT64_MAX};
}

/* --- faults --- */

__attribute__((constructor)) static void load(void)
{
    const char *path = getenv(IO_SHIM_ENV);
    if (path == NULL)
        return;
    int fd = ((open_fn *)next_function("open"))(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof(struct io_shim_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page == MAP_FAILED)
        return;
    shim.page = page;
    walk(shim.page->dir, visit_existing);
}

static _Noreturn void die(int action)
{
    if (action == IO_POWER_OFF) {
        const struct timespec settle = {.tv_nsec = SETTLE_US * 1000};
        atomic_store(&shim.dying, true);
        (void)nanosleep(&settle, NULL);
        walk(shim.page->dir, visit_powerless);
    }
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* Whether a call of `op` on the path is hit now; `*action_out` then is what is to happen. */
static bool is_hit(enum io_op op, const char *path, int *action_out)
{
    struct io_shim_page *page = shim.page;
    while (atomic_load(&shim.dying))
        (void)pause();
    if (atomic_load(&page->armed) == 0 || (page->ops & op) == 0 ||
        strncmp(path, page->dir, strlen(page->dir)) != 0 || strstr(path, page->part) == NULL)
        return false;
    atomic_fetch_add(&page->calls, 1);
    if (atomic_fetch_sub(&page->skip, 1) > 0)
        return false;
    if (atomic_fetch_sub(&page->count, 1) <= 0)
        return false;
    atomic_fetch_add(&page->hits, 1);
    *action_out = page->action;
    return true;
}

/* Before a call: returns true if it is to fail, with errno set; `*after` is an action for after. */
static bool before(enum io_op op, const char *path, int *after)
{
    int action = 0;
    *after = 0;
    if (shim.page == NULL || !is_hit(op, path, &action))
        return false;
    if (action == IO_KILL || action == IO_POWER_OFF)
        die(action);
    if (action == IO_KILL_AFTER) {
        *after = action;
        return false;
    }
    errno = action;
    return true;
}

static bool before_fd(enum io_op op, int fd, int *after)
{
    char name[64];
    char path[PATH_BYTES_MAX];
    *after = 0;
    if (shim.page == NULL)
        return false;
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(name, path, sizeof(path) - 1);
    path[len > 0 ? len : 0] = '\0';
    return before(op, path, after);
}

static void finish(int after)
{
    if (after != 0)
        die(after);
}

/* --- the functions --- */

EXPORT ssize_t write(int fd, const void *data, size_t len)
{
    int after;
    if (before_fd(IO_WRITE, fd, &after))
        return -1;
    note_written(fd, position(fd));
    ssize_t done = ((write_fn *)next_function("write"))(fd, data, len);
    finish(after);
    return done;
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t len, off_t off)
{
    int after;
    if (before_fd(IO_WRITE, fd, &after))
        return -1;
    note_written(fd, off);
    ssize_t done = ((pwrite_fn *)next_function("pwrite"))(fd, data, len, off);
    finish(after);
    return done;
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t len, off_t off)
{
    return pwrite(fd, data, len, off);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
    int after;
    if (before_fd(IO_WRITE, fd, &after))
        return -1;
    note_written(fd, position(fd));
    ssize_t done = ((writev_fn *)next_function("writev"))(fd, parts, count);
    finish(after);
    return done;
}

EXPORT ssize_t pread(int fd, void *data, size_t len, off_t off)
{
    int after;
    if (before_fd(IO_READ, fd, &after))
        return -1;
    ssize_t done = ((pread_fn *)next_function("pread"))(fd, data, len, off);
    finish(after);
    return done;
}

EXPORT ssize_t pread64(int fd, void *data, size_t len, off_t off)
{
    return pread(fd, data, len, off);
}

static int sync_by(const char *name, int fd)
{
    int after;
    struct stat info;
    if (before_fd(IO_SYNC, fd, &after))
        return -1;
    /* The size from before: what is written meanwhile need not be in it. */
    bool known = shim.page != NULL && fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    if (known)
        note_sync_begins(info.st_ino);
    bool skips = shim.page != NULL && shim.page->skips_syncs != 0;
    int result = skips ? 0 : ((sync_fn *)next_function(name))(fd);
    if (result == 0 && known)
        note_synced(info.st_ino, info.st_size);
    finish(after);
    return result;
}

EXPORT int fsync(int fd)
{
    return sync_by("fsync", fd);
}

EXPORT int fdatasync(int fd)
{
    return sync_by("fdatasync", fd);
}

static int open_by(const char *name, const char *path, int flags, unsigned mode)
{
    int after = 0;
    struct stat info;
    bool writes = (flags & (O_WRONLY | O_RDWR)) != 0;
    if (writes && before(IO_OPEN, path, &after))
        return -1;
    int fd = ((open_fn *)next_function(name))(path, flags, mode);
    if (fd >= 0 && writes && shim.page != NULL && fstat(fd, &info) == 0 && info.st_size == 0)
        note_created(info.st_ino);
    finish(after);
    return fd;
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, unsigned) : 0;
    va_end(args);
    return open_by("open", path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, unsigned) : 0;
    va_end(args);
    return open_by("open64", path, flags, mode);
}

EXPORT int rename(const char *from, const char *to)
{
    int after;
    if (before(IO_RENAME, to, &after))
        return -1;
    int result = ((rename_fn *)next_function("rename"))(from, to);
    finish(after);
    return result;
}

EXPORT int unlink(const char *path)
{
    int after;
    if (before(IO_UNLINK, path, &after))
        return -1;
    int result = ((unlink_fn *)next_function("unlink"))(path);
    finish(after);
    return result;
}

EXPORT int ftruncate(int fd, off_t size)
{
    int after;
    struct stat info;
    if (before_fd(IO_TRUNCATE, fd, &after))
        return -1;
    int result = ((ftruncate_fn *)next_function("ftruncate"))(fd, size);
    if (result == 0 && shim.page != NULL && fstat(fd, &info) == 0)
        note_truncated(info.st_ino, size);
    finish(after);
    return result;
}

EXPORT int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}
