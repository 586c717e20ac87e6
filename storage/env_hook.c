/* One wrapper per member of struct env: describe the call, ask, pass it on, report. */
#include "storage/env_hook.h"

#include <sys/uio.h>

#include "codec/check.h"
#include "codec/mem.h"

#define SHORT_PARTS_MAX 64

static const char *const op_names[ENV_OP_COUNT] = {
    [ENV_OP_OPEN] = "open",           [ENV_OP_CLOSE] = "close",
    [ENV_OP_READ] = "read",           [ENV_OP_PREAD] = "pread",
    [ENV_OP_WRITE] = "write",         [ENV_OP_WRITEV] = "writev",
    [ENV_OP_FDATASYNC] = "fdatasync", [ENV_OP_SYNC_DIR] = "sync_dir",
    [ENV_OP_TRUNCATE] = "truncate",   [ENV_OP_SEEK] = "seek",
    [ENV_OP_FILE_SIZE] = "file_size", [ENV_OP_DROP_CACHE] = "drop_cache",
    [ENV_OP_RENAME] = "rename",       [ENV_OP_UNLINK] = "unlink",
    [ENV_OP_MKDIR] = "mkdir",         [ENV_OP_LIST_DIR] = "list_dir",
    [ENV_OP_LOCK_FILE] = "lock_file", [ENV_OP_EXCHANGE] = "exchange",
    [ENV_OP_RMDIR] = "rmdir",
};

const char *env_op_name(enum env_op op)
{
    return op_names[op];
}

static struct env_hook *hook_of(struct env *env)
{
    return (struct env_hook *)(void *)env;
}

static void remember_path(struct env_hook *hook, int fd, const char *path)
{
    CHECK(fd >= 0);
    size_t index = (size_t)fd;
    (void)pthread_mutex_lock(&hook->lock);
    if (index >= hook->paths_count) {
        size_t count = index + 16;
        hook->paths = mem_realloc(hook->paths, count * sizeof(*hook->paths));
        for (size_t i = hook->paths_count; i < count; i++)
            hook->paths[i] = NULL;
        hook->paths_count = count;
    }
    mem_free(hook->paths[index]);
    hook->paths[index] = path == NULL ? NULL : mem_strdup(path);
    (void)pthread_mutex_unlock(&hook->lock);
}

static void rename_paths(struct env_hook *hook, const char *from, const char *to)
{
    (void)pthread_mutex_lock(&hook->lock);
    for (size_t i = 0; i < hook->paths_count; i++) {
        if (hook->paths[i] != NULL && strcmp(hook->paths[i], from) == 0) {
            mem_free(hook->paths[i]);
            hook->paths[i] = mem_strdup(to);
        }
    }
    (void)pthread_mutex_unlock(&hook->lock);
}

/* A call on a descriptor; its path is a copy that finish() frees. */
static struct env_call fd_call(struct env_hook *hook, enum env_op op, int fd)
{
    struct env_call call = {.op = op, .fd = fd};
    (void)pthread_mutex_lock(&hook->lock);
    bool known = fd >= 0 && (size_t)fd < hook->paths_count && hook->paths[fd] != NULL;
    call.path = mem_strdup(known ? hook->paths[fd] : "");
    (void)pthread_mutex_unlock(&hook->lock);
    return call;
}

static struct env_call path_call(enum env_op op, const char *path)
{
    return (struct env_call){.op = op, .fd = -1, .path = mem_strdup(path)};
}

static int ask(struct env_hook *hook, struct env_call *call)
{
    return hook->before(hook->arg, call);
}

static void finish(struct env_call *call)
{
    union {
        const char *borrowed;
        char *owned;
    } path = {.borrowed = call->path};
    mem_free(path.owned);
}

/* Reports a call that was let through, or turns the refusal into the result. */
static int settle(struct env_hook *hook, struct env_call *call, int asked, int error, size_t done)
{
    if (asked == 0 && hook->after != NULL)
        hook->after(hook->arg, call, error, done);
    finish(call);
    return asked == ENV_HOOK_SKIP ? 0 : (asked != 0 ? asked : error);
}

static int hook_open(struct env *env, const char *path, unsigned flags, int *fd_out)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = path_call(ENV_OP_OPEN, path);
    call.flags = flags;
    int asked = ask(hook, &call);
    int error = asked == 0 ? hook->base->open(hook->base, path, flags, fd_out) : 0;
    if (asked == 0 && error == 0) {
        remember_path(hook, *fd_out, path);
        call.fd = *fd_out;
    }
    return settle(hook, &call, asked, error, 0);
}

/* The descriptor is closed whatever the hook says: a refusal is its result only. */
static int hook_close(struct env *env, int fd)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = fd_call(hook, ENV_OP_CLOSE, fd);
    int asked = ask(hook, &call);
    remember_path(hook, fd, NULL);
    int error = hook->base->close(hook->base, fd);
    return settle(hook, &call, asked, error, 0);
}

static int hook_read(struct env *env, int fd, void *data, size_t len, size_t *done_out)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = fd_call(hook, ENV_OP_READ, fd);
    call.len = len;
    int asked = ask(hook, &call);
    int error = asked == 0 ? hook->base->read(hook->base, fd, data, call.len, done_out) : 0;
    return settle(hook, &call, asked, error, asked == 0 && error == 0 ? *done_out : 0);
}

static int hook_pread(struct env *env, int fd, void *data, size_t len, uint64_t off,
                      size_t *done_out)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = fd_call(hook, ENV_OP_PREAD, fd);
    call.len = len;
    call.off = off;
    int asked = ask(hook, &call);
    int error = asked == 0 ? hook->base->pread(hook->base, fd, data, call.len, off, done_out) : 0;
    return settle(hook, &call, asked, error, asked == 0 && error == 0 ? *done_out : 0);
}

static int hook_write(struct env *env, int fd, const void *data, size_t len, size_t *done_out)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = fd_call(hook, ENV_OP_WRITE, fd);
    call.len = len;
    int asked = ask(hook, &call);
    int error = asked == 0 ? hook->base->write(hook->base, fd, data, call.len, done_out) : 0;
    return settle(hook, &call, asked, error, asked == 0 && error == 0 ? *done_out : 0);
}

/* Copies the parts that make up the first `len` bytes, at most SHORT_PARTS_MAX. */
static int shorten_parts(const struct iovec *parts, int count, size_t len, struct iovec *out)
{
    int used = 0;
    while (used < count && used < SHORT_PARTS_MAX && len > 0) {
        out[used] = parts[used];
        if (out[used].iov_len > len)
            out[used].iov_len = len;
        len -= out[used].iov_len;
        used++;
    }
    return used;
}

static int hook_writev(struct env *env, int fd, const struct iovec *parts, int count,
                       size_t *done_out)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = fd_call(hook, ENV_OP_WRITEV, fd);
    size_t len = 0;
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    call.len = len;
    struct iovec shorter[SHORT_PARTS_MAX];
    int asked = ask(hook, &call);
    if (call.len < len) {
        count = shorten_parts(parts, count, call.len, shorter);
        parts = shorter;
    }
    int error = asked == 0 ? hook->base->writev(hook->base, fd, parts, count, done_out) : 0;
    return settle(hook, &call, asked, error, asked == 0 && error == 0 ? *done_out : 0);
}

static int hook_fdatasync(struct env *env, int fd)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = fd_call(hook, ENV_OP_FDATASYNC, fd);
    int asked = ask(hook, &call);
    return settle(hook, &call, asked, asked == 0 ? hook->base->fdatasync(hook->base, fd) : 0, 0);
}

static int hook_sync_dir(struct env *env, const char *path)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = path_call(ENV_OP_SYNC_DIR, path);
    int asked = ask(hook, &call);
    return settle(hook, &call, asked, asked == 0 ? hook->base->sync_dir(hook->base, path) : 0, 0);
}

static int hook_truncate(struct env *env, int fd, uint64_t size)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = fd_call(hook, ENV_OP_TRUNCATE, fd);
    call.off = size;
    int asked = ask(hook, &call);
    int error = asked == 0 ? hook->base->truncate(hook->base, fd, size) : 0;
    return settle(hook, &call, asked, error, 0);
}

static int hook_seek(struct env *env, int fd, uint64_t off)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = fd_call(hook, ENV_OP_SEEK, fd);
    call.off = off;
    int asked = ask(hook, &call);
    return settle(hook, &call, asked, asked == 0 ? hook->base->seek(hook->base, fd, off) : 0, 0);
}

static int hook_file_size(struct env *env, int fd, uint64_t *size_out)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = fd_call(hook, ENV_OP_FILE_SIZE, fd);
    int asked = ask(hook, &call);
    int error = asked == 0 ? hook->base->file_size(hook->base, fd, size_out) : 0;
    return settle(hook, &call, asked, error, 0);
}

static int hook_drop_cache(struct env *env, int fd)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = fd_call(hook, ENV_OP_DROP_CACHE, fd);
    int asked = ask(hook, &call);
    return settle(hook, &call, asked, asked == 0 ? hook->base->drop_cache(hook->base, fd) : 0, 0);
}

static int hook_rename(struct env *env, const char *from, const char *to)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = path_call(ENV_OP_RENAME, from);
    call.path_to = to;
    int asked = ask(hook, &call);
    int error = asked == 0 ? hook->base->rename(hook->base, from, to) : 0;
    if (asked == 0 && error == 0)
        rename_paths(hook, from, to);
    return settle(hook, &call, asked, error, 0);
}

/* For directories: the paths of open files in them are not brought up to date. */
static int hook_exchange(struct env *env, const char *a, const char *b)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = path_call(ENV_OP_EXCHANGE, a);
    call.path_to = b;
    int asked = ask(hook, &call);
    return settle(hook, &call, asked, asked == 0 ? hook->base->exchange(hook->base, a, b) : 0, 0);
}

static int hook_unlink(struct env *env, const char *path)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = path_call(ENV_OP_UNLINK, path);
    int asked = ask(hook, &call);
    return settle(hook, &call, asked, asked == 0 ? hook->base->unlink(hook->base, path) : 0, 0);
}

static int hook_mkdir(struct env *env, const char *path)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = path_call(ENV_OP_MKDIR, path);
    int asked = ask(hook, &call);
    return settle(hook, &call, asked, asked == 0 ? hook->base->mkdir(hook->base, path) : 0, 0);
}

static int hook_rmdir(struct env *env, const char *path)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = path_call(ENV_OP_RMDIR, path);
    int asked = ask(hook, &call);
    return settle(hook, &call, asked, asked == 0 ? hook->base->rmdir(hook->base, path) : 0, 0);
}

static int hook_list_dir(struct env *env, const char *path, env_visit_fn *visit, void *arg)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = path_call(ENV_OP_LIST_DIR, path);
    int asked = ask(hook, &call);
    int error = asked == 0 ? hook->base->list_dir(hook->base, path, visit, arg) : 0;
    return settle(hook, &call, asked, error, 0);
}

static int hook_lock_file(struct env *env, const char *path, int *fd_out)
{
    struct env_hook *hook = hook_of(env);
    struct env_call call = path_call(ENV_OP_LOCK_FILE, path);
    int asked = ask(hook, &call);
    int error = asked == 0 ? hook->base->lock_file(hook->base, path, fd_out) : 0;
    if (asked == 0 && error == 0) {
        remember_path(hook, *fd_out, path);
        call.fd = *fd_out;
    }
    return settle(hook, &call, asked, error, 0);
}

static int64_t hook_now_realtime_ms(struct env *env)
{
    struct env *base = hook_of(env)->base;
    return base->now_realtime_ms(base);
}

static int64_t hook_now_mono_us(struct env *env)
{
    struct env *base = hook_of(env)->base;
    return base->now_mono_us(base);
}

static void hook_random_bytes(struct env *env, void *data, size_t len)
{
    struct env *base = hook_of(env)->base;
    base->random_bytes(base, data, len);
}

void env_hook_init(struct env_hook *hook, struct env *base, env_before_fn *before,
                   env_after_fn *after, void *arg)
{
    *hook = (struct env_hook){
        .env =
            {
                .open = hook_open,
                .close = hook_close,
                .read = hook_read,
                .pread = hook_pread,
                .write = hook_write,
                .writev = hook_writev,
                .fdatasync = hook_fdatasync,
                .sync_dir = hook_sync_dir,
                .truncate = hook_truncate,
                .seek = hook_seek,
                .file_size = hook_file_size,
                .drop_cache = hook_drop_cache,
                .rename = hook_rename,
                .exchange = hook_exchange,
                .unlink = hook_unlink,
                .mkdir = hook_mkdir,
                .rmdir = hook_rmdir,
                .list_dir = hook_list_dir,
                .lock_file = hook_lock_file,
                .now_realtime_ms = hook_now_realtime_ms,
                .now_mono_us = hook_now_mono_us,
                .random_bytes = hook_random_bytes,
            },
        .base = base,
        .before = before,
        .after = after,
        .arg = arg,
    };
    CHECK(pthread_mutex_init(&hook->lock, NULL) == 0);
}

void env_hook_deinit(struct env_hook *hook)
{
    for (size_t i = 0; i < hook->paths_count; i++)
        mem_free(hook->paths[i]);
    mem_free(hook->paths);
    (void)pthread_mutex_destroy(&hook->lock);
    *hook = (struct env_hook){0};
}
