/* A store that is not open, copied file by file: tables by hard links, since RocksDB never changes
 * a table that it has finished; all else (log, manifest, options) in full, since it does. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/mem.h"
#include "storage/cold.h"
#include "storage/cold_rocksdb_internal.h"

#define COPY_BYTES     ((size_t)256 << 10)
#define PATH_BYTES_MAX 4096

static enum status fail(struct err *err, const char *what, const char *path)
{
    int reason = errno;
    return err_set_os(err, reason == ENOSPC || reason == EDQUOT ? ST_NO_SPACE : ST_IO, reason,
                      "cannot %s %s: %s", what, path, strerror(reason));
}

static enum status copy_bytes(int from, int to, const char *from_path, const char *to_path,
                              struct err *err)
{
    uint8_t *piece = mem_alloc(COPY_BYTES);
    enum status st = ST_OK;
    for (ssize_t got = 1; st == ST_OK && got != 0;) {
        got = read(from, piece, COPY_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            st = fail(err, "read", from_path);
        for (ssize_t at = 0; st == ST_OK && at < got;) {
            ssize_t put = write(to, piece + at, (size_t)(got - at));
            if (put < 0 && errno != EINTR)
                st = fail(err, "write", to_path);
            at += put > 0 ? put : 0;
        }
    }
    mem_free(piece);
    if (st == ST_OK && fsync(to) != 0)
        st = fail(err, "sync", to_path);
    return st;
}

static enum status copy_file(const char *from_path, const char *to_path, struct err *err)
{
    int from = open(from_path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return fail(err, "open", from_path);
    int to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    enum status st =
        to < 0 ? fail(err, "make", to_path) : copy_bytes(from, to, from_path, to_path, err);
    if (to >= 0)
        close(to);
    close(from);
    return st;
}

static bool ends_with(const char *name, const char *ending)
{
    size_t len = strlen(name);
    size_t ending_len = strlen(ending);
    return len > ending_len && strcmp(name + len - ending_len, ending) == 0;
}

static enum status take_entry(const char *from, const char *to, const char *name, struct err *err)
{
    char from_path[PATH_BYTES_MAX];
    char to_path[PATH_BYTES_MAX];
    struct stat found;
    if (strncmp(name, "LOG", 3) == 0 || strcmp(name, "LOCK") == 0) /* messages, and the lock */
        return ST_OK;
    if (strcmp(name, "IDENTITY") == 0) /* it gives itself another: it will not be the same store */
        return ST_OK;
    if (snprintf(from_path, sizeof(from_path), "%s/%s", from, name) >= PATH_BYTES_MAX ||
        snprintf(to_path, sizeof(to_path), "%s/%s", to, name) >= PATH_BYTES_MAX)
        return err_set(err, ST_INVALID, "the directory's name is too long");
    if (lstat(from_path, &found) != 0)
        return fail(err, "look at", from_path);
    if (!S_ISREG(found.st_mode))
        return ST_OK;
    if (ends_with(name, ".sst") && link(from_path, to_path) == 0)
        return ST_OK;
    return copy_file(from_path, to_path, err);
}

enum status cold_copy(const char *from, const char *to, struct err *err)
{
    if (mkdir(to, 0755) != 0)
        return fail(err, "make", to);
    DIR *dir = opendir(from);
    if (dir == NULL)
        return fail(err, "read", from);
    enum status st = ST_OK;
    errno = 0;
    for (struct dirent *entry; st == ST_OK && (entry = readdir(dir)) != NULL; errno = 0)
        st = take_entry(from, to, entry->d_name, err);
    if (st == ST_OK && errno != 0)
        st = fail(err, "read", from);
    (void)closedir(dir);
    return st;
}
