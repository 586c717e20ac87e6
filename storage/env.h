/* Files, clocks and randomness as a table of functions: the seam through which tests inject faults,
 * lose unsynced data and stop time.
 *
 * The members of struct env are primitives: they return 0 or an errno value and may do less than
 * asked (short reads and writes). Modules rather use the env_* functions below, which finish short
 * transfers and return a status with an error that names the operation, the path and the system's
 * reason. Both may be called by any thread. Paths are borrowed for the call; a descriptor belongs
 * to whoever opened it. */
#ifndef BASALT_STORAGE_ENV_H
#define BASALT_STORAGE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/bytes.h"
#include "codec/status.h"

struct buf;
struct iovec;

#define ENV_FILE_MODE      0644
#define ENV_DIR_MODE       0755
#define ENV_PATH_BYTES_MAX 4096
#define ENV_IO_PARTS_MAX   1024 /* of one writev */

enum env_open_flag {
    ENV_READ = 1 << 0,
    ENV_WRITE = 1 << 1,
    ENV_CREATE = 1 << 2,    /* make the file if it does not exist */
    ENV_EXCLUSIVE = 1 << 3, /* with ENV_CREATE: it must not exist */
    ENV_TRUNCATE = 1 << 4,
    ENV_APPEND = 1 << 5,
};

/* Gets the name of each entry of a directory ("." and ".." left out), in no particular order. */
typedef void env_visit_fn(void *arg, const char *name);

struct env {
    int (*open)(struct env *env, const char *path, unsigned flags, int *fd_out);
    int (*close)(struct env *env, int fd);
    int (*read)(struct env *env, int fd, void *data, size_t len, size_t *done_out);
    int (*pread)(struct env *env, int fd, void *data, size_t len, uint64_t off, size_t *done_out);
    int (*write)(struct env *env, int fd, const void *data, size_t len, size_t *done_out);
    int (*writev)(struct env *env, int fd, const struct iovec *parts, int count, size_t *done_out);
    int (*fdatasync)(struct env *env, int fd);
    int (*sync_dir)(struct env *env, const char *path);
    int (*truncate)(struct env *env, int fd, uint64_t size);
    int (*seek)(struct env *env, int fd, uint64_t off); /* where the next read or write goes */
    int (*file_size)(struct env *env, int fd, uint64_t *size_out);
    int (*drop_cache)(struct env *env, int fd); /* forget clean cached pages; a mere hint */
    int (*rename)(struct env *env, const char *from, const char *to);
    int (*exchange)(struct env *env, const char *a, const char *b);
    int (*unlink)(struct env *env, const char *path);
    int (*mkdir)(struct env *env, const char *path);
    int (*rmdir)(struct env *env, const char *path);
    int (*list_dir)(struct env *env, const char *path, env_visit_fn *visit, void *arg);
    /* Opens (makes) the file and takes its lock, which lasts until close; EAGAIN if it is taken. */
    int (*lock_file)(struct env *env, const char *path, int *fd_out);
    int64_t (*now_realtime_ms)(struct env *env);
    int64_t (*now_mono_us)(struct env *env);
    void (*random_bytes)(struct env *env, void *data, size_t len);
};

/* The real system. Never destroyed. */
struct env *env_posix(void);

/* An env over env_posix() that fails chosen calls, for integration tests of a whole server:
 * `spec` is one or more of "op:path-substring:nth:errno[:count]", separated by ';'. The nth call (1
 * is the first) of the named member on a path that contains the substring fails with the named
 * errno (EIO, ENOSPC, EDQUOT, EACCES, EMFILE, or a number), and so do the `count` - 1 calls after
 * it (default 1; 0: all). Errno "KILL" kills the process with SIGKILL instead of calling;
 * "KILL_AFTER" does so once the call has returned. Used only by a server that was told so.
 * Returns ST_INVALID for a spec that cannot be read. The env is never destroyed. */
MUST_USE enum status env_posix_with_faults(const char *spec, struct env **out, struct err *err);

/* Turns an errno value into a status: ENOSPC and EDQUOT ST_NO_SPACE, ENOENT ST_NOT_FOUND, EEXIST
 * ST_EXISTS, EAGAIN ST_AGAIN, all else ST_IO. */
enum status env_status(int os_errno);

MUST_USE enum status env_open(struct env *env, const char *path, unsigned flags, int *fd_out,
                              struct err *err);
/* Closes and forgets errors: what must be durable was synced before. -1 is accepted. */
void env_close(struct env *env, int fd);
/* Reads `len` bytes at `off`, fewer only at the end of the file (`*len_out` says how many). */
MUST_USE enum status env_read_at(struct env *env, int fd, const char *path, uint64_t off,
                                 void *data, size_t len, size_t *len_out, struct err *err);
/* Writes all of it. After a failure an unknown part of it is in the file. */
MUST_USE enum status env_write_all(struct env *env, int fd, const char *path, const void *data,
                                   size_t len, struct err *err);
/* The same for parts in a row; changes `parts`. */
MUST_USE enum status env_writev_all(struct env *env, int fd, const char *path, struct iovec *parts,
                                    int count, struct err *err);
MUST_USE enum status env_sync(struct env *env, int fd, const char *path, struct err *err);
MUST_USE enum status env_sync_dir(struct env *env, const char *path, struct err *err);
MUST_USE enum status env_truncate(struct env *env, int fd, const char *path, uint64_t size,
                                  struct err *err);
MUST_USE enum status env_seek(struct env *env, int fd, const char *path, uint64_t off,
                              struct err *err);
MUST_USE enum status env_file_size(struct env *env, int fd, const char *path, uint64_t *size_out,
                                   struct err *err);
MUST_USE enum status env_rename(struct env *env, const char *from, const char *to, struct err *err);
/* Lets two existing names change places, both at once whatever happens. ST_UNSUPPORTED where the
 * file system cannot. */
MUST_USE enum status env_exchange(struct env *env, const char *a, const char *b, struct err *err);
MUST_USE enum status env_unlink(struct env *env, const char *path, struct err *err);
/* Makes the directory (one level); one that exists already is fine. Its name is durable then, so
 * that no file which is synced in it can go with it. */
MUST_USE enum status env_mkdir(struct env *env, const char *path, struct err *err);
/* Removes an empty directory. */
MUST_USE enum status env_rmdir(struct env *env, const char *path, struct err *err);
/* Deletes a directory with all that is in it, links and not what they point to. One that does not
 * exist is fine. After a failure some of it is left. */
MUST_USE enum status env_remove_tree(struct env *env, const char *path, struct err *err);
MUST_USE enum status env_list_dir(struct env *env, const char *path, env_visit_fn *visit, void *arg,
                                  struct err *err);
/* Takes the lock; ST_AGAIN when another process holds it. env_close gives it back. */
MUST_USE enum status env_lock_file(struct env *env, const char *path, int *fd_out, struct err *err);

/* Appends the whole file to `out`; ST_LIMIT if it has more than `bytes_max`. */
MUST_USE enum status env_read_file(struct env *env, const char *path, size_t bytes_max,
                                   struct buf *out, struct err *err);
/* Replaces the file by one with this content so that a crash leaves the old or the new one whole:
 * writes "<path>.tmp", syncs, renames, syncs the directory. */
MUST_USE enum status env_replace_file(struct env *env, const char *path, struct bytes content,
                                      struct err *err);

static inline int64_t env_now_realtime_ms(struct env *env)
{
    return env->now_realtime_ms(env);
}

static inline int64_t env_now_mono_us(struct env *env)
{
    return env->now_mono_us(env);
}

#endif
