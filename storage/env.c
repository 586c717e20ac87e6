/* Whole transfers and errors that name the path, over the primitives of struct env. */
#include "storage/env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "codec/buf.h"
#include "codec/check.h"

#define READ_PIECE_BYTES 65536
#define LOCK_TEXT_BYTES  32

enum status env_status(int os_errno)
{
    switch (os_errno) {
    case 0:
        return ST_OK;
    case ENOSPC:
    case EDQUOT:
        return ST_NO_SPACE;
    case ENOENT:
        return ST_NOT_FOUND;
    case EEXIST:
        return ST_EXISTS;
    case EAGAIN:
        return ST_AGAIN;
    default:
        return ST_IO;
    }
}

/* "cannot <verb> <path>: <reason>" */
static enum status report(struct err *err, int os_errno, const char *verb, const char *path)
{
    char reason[128];
    return err_set_os(err, env_status(os_errno), os_errno, "cannot %s %s: %s", verb, path,
                      strerror_r(os_errno, reason, sizeof(reason)));
}

enum status env_open(struct env *env, const char *path, unsigned flags, int *fd_out,
                     struct err *err)
{
    int error = env->open(env, path, flags, fd_out);
    if (error != 0)
        return report(err, error, (flags & ENV_CREATE) != 0 ? "create" : "open", path);
    return ST_OK;
}

void env_close(struct env *env, int fd)
{
    if (fd >= 0)
        (void)env->close(env, fd);
}

enum status env_read_at(struct env *env, int fd, const char *path, uint64_t off, void *data,
                        size_t len, size_t *len_out, struct err *err)
{
    size_t got = 0;
    while (got < len) {
        size_t done = 0;
        int error = env->pread(env, fd, (uint8_t *)data + got, len - got, off + got, &done);
        if (error != 0)
            return report(err, error, "read", path);
        if (done == 0)
            break;
        got += done;
    }
    *len_out = got;
    return ST_OK;
}

enum status env_write_all(struct env *env, int fd, const char *path, const void *data, size_t len,
                          struct err *err)
{
    size_t written = 0;
    while (written < len) {
        size_t done = 0;
        int error = env->write(env, fd, (const uint8_t *)data + written, len - written, &done);
        if (error != 0 || done == 0)
            return report(err, error != 0 ? error : ENOSPC, "write", path);
        written += done;
    }
    return ST_OK;
}

/* Takes `done` bytes off the front of the parts; returns how many parts are used up. */
static int advance_parts(struct iovec *parts, int count, size_t done)
{
    int used = 0;
    while (used < count && done >= parts[used].iov_len) {
        done -= parts[used].iov_len;
        used++;
    }
    if (used < count) {
        parts[used].iov_base = (uint8_t *)parts[used].iov_base + done;
        parts[used].iov_len -= done;
    }
    return used;
}

enum status env_writev_all(struct env *env, int fd, const char *path, struct iovec *parts,
                           int count, struct err *err)
{
    int used = advance_parts(parts, count, 0);
    while (used < count) {
        size_t done = 0;
        int batch = count - used < ENV_IO_PARTS_MAX ? count - used : ENV_IO_PARTS_MAX;
        int error = env->writev(env, fd, parts + used, batch, &done);
        if (error != 0 || done == 0)
            return report(err, error != 0 ? error : ENOSPC, "write", path);
        used += advance_parts(parts + used, count - used, done);
    }
    return ST_OK;
}

enum status env_sync(struct env *env, int fd, const char *path, struct err *err)
{
    int error = env->fdatasync(env, fd);
    return error == 0 ? ST_OK : report(err, error, "sync", path);
}

enum status env_sync_dir(struct env *env, const char *path, struct err *err)
{
    int error = env->sync_dir(env, path);
    return error == 0 ? ST_OK : report(err, error, "sync directory", path);
}

enum status env_truncate(struct env *env, int fd, const char *path, uint64_t size, struct err *err)
{
    int error = env->truncate(env, fd, size);
    return error == 0 ? ST_OK : report(err, error, "truncate", path);
}

enum status env_seek(struct env *env, int fd, const char *path, uint64_t off, struct err *err)
{
    int error = env->seek(env, fd, off);
    return error == 0 ? ST_OK : report(err, error, "seek in", path);
}

enum status env_file_size(struct env *env, int fd, const char *path, uint64_t *size_out,
                          struct err *err)
{
    int error = env->file_size(env, fd, size_out);
    return error == 0 ? ST_OK : report(err, error, "read the size of", path);
}

enum status env_rename(struct env *env, const char *from, const char *to, struct err *err)
{
    int error = env->rename(env, from, to);
    if (error == 0)
        return ST_OK;
    char reason[128];
    return err_set_os(err, env_status(error), error, "cannot rename %s to %s: %s", from, to,
                      strerror_r(error, reason, sizeof(reason)));
}

enum status env_exchange(struct env *env, const char *a, const char *b, struct err *err)
{
    int error = env->exchange(env, a, b);
    if (error == 0)
        return ST_OK;
    bool unsupported = error == EINVAL || error == ENOSYS || error == ENOTSUP;
    char reason[128];
    return err_set_os(err, unsupported ? ST_UNSUPPORTED : env_status(error), error,
                      "cannot exchange %s and %s: %s", a, b,
                      strerror_r(error, reason, sizeof(reason)));
}

enum status env_unlink(struct env *env, const char *path, struct err *err)
{
    int error = env->unlink(env, path);
    return error == 0 ? ST_OK : report(err, error, "delete", path);
}

/* The directory part of `path`, "." if it has none. */
static void parent_of(const char *path, char out[ENV_PATH_BYTES_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    CHECK(len < ENV_PATH_BYTES_MAX);
    if (slash == NULL) {
        (void)snprintf(out, ENV_PATH_BYTES_MAX, ".");
        return;
    }
    len = len == 0 ? 1 : len; /* "/file" */
    memcpy(out, path, len);
    out[len] = '\0';
}

enum status env_mkdir(struct env *env, const char *path, struct err *err)
{
    char parent[ENV_PATH_BYTES_MAX];
    int error = env->mkdir(env, path);
    if (error != 0 && error != EEXIST)
        return report(err, error, "make directory", path);
    parent_of(path, parent);
    enum status st = env_sync_dir(env, parent, err);
    return error == EEXIST ? ST_OK : st; /* an old one may stand where we must not look */
}

enum status env_rmdir(struct env *env, const char *path, struct err *err)
{
    int error = env->rmdir(env, path);
    return error == 0 ? ST_OK : report(err, error, "remove directory", path);
}

static void append_name(void *arg, const char *name)
{
    buf_append(arg, name, strlen(name) + 1);
}

/* Deletes the files of a directory until one turns out to be a directory: then `path` becomes that
 * one's, and `*entered_out` true. */
static enum status empty_dir(struct env *env, char *path, bool *entered_out, struct err *err)
{
    struct buf names = {0};
    size_t path_len = strlen(path);
    *entered_out = false;
    enum status st = env_list_dir(env, path, append_name, &names, err);
    for (size_t at = 0; st == ST_OK && at < names.len && !*entered_out;) {
        const char *name = (const char *)names.data + at;
        size_t name_len = strlen(name);
        at += name_len + 1;
        if (path_len + 1 + name_len >= ENV_PATH_BYTES_MAX) {
            st = err_set(err, ST_LIMIT, "cannot delete %s: paths in it are too long", path);
            break;
        }
        path[path_len] = '/';
        memcpy(path + path_len + 1, name, name_len + 1);
        int error = env->unlink(env, path);
        *entered_out = error == EISDIR;
        if (error != 0 && error != EISDIR && error != ENOENT)
            st = report(err, error, "delete", path);
        if (!*entered_out)
            path[path_len] = '\0';
    }
    buf_deinit(&names);
    return st;
}

enum status env_remove_tree(struct env *env, const char *path, struct err *err)
{
    char place[ENV_PATH_BYTES_MAX];
    size_t root_len = strlen(path);
    if (root_len >= sizeof(place))
        return err_set(err, ST_LIMIT, "the path %.100s... is too long", path);
    memcpy(place, path, root_len + 1);
    enum status st = ST_OK;
    while (st == ST_OK) {
        bool entered = false;
        st = empty_dir(env, place, &entered, err);
        if (st == ST_NOT_FOUND && strlen(place) == root_len)
            return ST_OK;
        if (st != ST_OK || entered)
            continue;
        st = env_rmdir(env, place, err);
        if (strlen(place) == root_len)
            break;
        *strrchr(place, '/') = '\0';
    }
    return st;
}

enum status env_list_dir(struct env *env, const char *path, env_visit_fn *visit, void *arg,
                         struct err *err)
{
    int error = env->list_dir(env, path, visit, arg);
    return error == 0 ? ST_OK : report(err, error, "list directory", path);
}

/* The holder's process id as its lock file says, or 0. */
static long lock_holder(struct env *env, const char *path)
{
    struct buf text = {0};
    long pid = 0;
    if (env_read_file(env, path, LOCK_TEXT_BYTES, &text, NULL) == ST_OK) {
        buf_append_byte(&text, '\0');
        pid = strtol((const char *)text.data, NULL, 10);
    }
    buf_deinit(&text);
    return pid;
}

enum status env_lock_file(struct env *env, const char *path, int *fd_out, struct err *err)
{
    int error = env->lock_file(env, path, fd_out);
    if (error == 0)
        return ST_OK;
    if (error != EAGAIN)
        return report(err, error, "lock", path);
    long pid = lock_holder(env, path);
    if (pid > 0)
        return err_set_os(err, ST_AGAIN, error, "cannot lock %s: process %ld holds it", path, pid);
    return err_set_os(err, ST_AGAIN, error, "cannot lock %s: another process holds it", path);
}

enum status env_read_file(struct env *env, const char *path, size_t bytes_max, struct buf *out,
                          struct err *err)
{
    int fd = -1;
    enum status st = env_open(env, path, ENV_READ, &fd, err);
    size_t total = 0;
    while (st == ST_OK) {
        size_t got = 0;
        if (!buf_try_reserve(out, READ_PIECE_BYTES)) {
            st = err_set(err, ST_LIMIT, "no memory to read %s", path);
            break;
        }
        st = env_read_at(env, fd, path, total, out->data + out->len, READ_PIECE_BYTES, &got, err);
        if (st != ST_OK || got == 0)
            break;
        out->len += got;
        total += got;
        if (total > bytes_max)
            st = err_set(err, ST_LIMIT, "%s has more than %zu bytes", path, bytes_max);
    }
    env_close(env, fd);
    return st;
}

enum status env_replace_file(struct env *env, const char *path, struct bytes content,
                             struct err *err)
{
    struct buf tmp = {0};
    buf_append_format(&tmp, "%s.tmp", path);
    buf_append_byte(&tmp, '\0');
    const char *tmp_path = (const char *)tmp.data;
    char dir[ENV_PATH_BYTES_MAX];
    parent_of(path, dir);
    int fd = -1;
    enum status st = env_open(env, tmp_path, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &fd, err);
    if (st == ST_OK)
        st = env_write_all(env, fd, tmp_path, content.data, content.len, err);
    if (st == ST_OK)
        st = env_sync(env, fd, tmp_path, err);
    if (st == ST_OK)
        st = env_rename(env, tmp_path, path, err);
    if (st != ST_OK && fd >= 0)
        (void)env->unlink(env, tmp_path);
    env_close(env, fd);
    if (st == ST_OK)
        st = env_sync_dir(env, dir, err);
    buf_deinit(&tmp);
    return st;
}
