/* An env that shows each call to a function before and after it reaches the env below. The function
 * may fail the call, shorten it or answer in its place; that is all that fault injection needs.
 * Clocks and randomness are passed through. Any thread, if the functions can take that. */
#ifndef BASALT_STORAGE_ENV_HOOK_H
#define BASALT_STORAGE_ENV_HOOK_H

#include <pthread.h>

#include "storage/env.h"

enum env_op {
    ENV_OP_OPEN,
    ENV_OP_CLOSE,
    ENV_OP_READ,
    ENV_OP_PREAD,
    ENV_OP_WRITE,
    ENV_OP_WRITEV,
    ENV_OP_FDATASYNC,
    ENV_OP_SYNC_DIR,
    ENV_OP_TRUNCATE,
    ENV_OP_SEEK,
    ENV_OP_FILE_SIZE,
    ENV_OP_DROP_CACHE,
    ENV_OP_RENAME,
    ENV_OP_EXCHANGE,
    ENV_OP_UNLINK,
    ENV_OP_MKDIR,
    ENV_OP_RMDIR,
    ENV_OP_LIST_DIR,
    ENV_OP_LOCK_FILE,
    ENV_OP_COUNT,
};

/* The name of the member of struct env, such as "fdatasync". */
const char *env_op_name(enum env_op op);

struct env_call {
    enum env_op op;
    const char *path;    /* of the file, also where the call has a descriptor only */
    const char *path_to; /* ENV_OP_RENAME, ENV_OP_EXCHANGE */
    int fd;              /* -1 where there is none; for an open, set after the call */
    unsigned flags;      /* ENV_OP_OPEN */
    uint64_t off;        /* ENV_OP_PREAD, ENV_OP_SEEK; the size for ENV_OP_TRUNCATE */
    size_t len;          /* of a transfer; may be lowered before the call */
};

/* What a `before` function may return instead of an errno value: success without the call. Only for
 * calls that return nothing. */
#define ENV_HOOK_SKIP (-1)

/* Returns 0 to let the call through, ENV_HOOK_SKIP, or an errno value to fail it. */
typedef int env_before_fn(void *arg, struct env_call *call);
/* `error` is the outcome of a call that was let through, `done` the bytes transferred. */
typedef void env_after_fn(void *arg, const struct env_call *call, int error, size_t done);

struct env_hook {
    struct env env;   /* what users are given; first, so that it can be cast back */
    struct env *base; /* borrowed */
    env_before_fn *before;
    env_after_fn *after; /* may be NULL */
    void *arg;
    pthread_mutex_t lock; /* guards what follows */
    char **paths;         /* owned; by descriptor, NULL where none is open */
    size_t paths_count;
};

void env_hook_init(struct env_hook *hook, struct env *base, env_before_fn *before,
                   env_after_fn *after, void *arg);
void env_hook_deinit(struct env_hook *hook);

#endif
