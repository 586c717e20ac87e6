/* An env for tests over the real one: fails chosen calls, shortens transfers, stops the clock, and
 * plays the end of a process or of the machine.
 *
 * It keeps book of what is durable: bytes by fdatasync, names by sync_dir. Real syncs are left out,
 * which makes tests fast. env_fault_power_cut puts the files under the directories it has seen into
 * a state that a power failure could leave: what was synced is there, of the rest any 512-byte
 * sector may be there, be zero, or lie behind the end of the file; of the renames, creations and
 * deletions that were not synced a first part has happened. Of what is written over, and behind
 * that, nothing is durable before the next sync.
 * What a failed fdatasync was to write is lost for good, as on Linux: it can be read from the page
 * cache, later syncs succeed, and it is gone after a power cut or when the cache is dropped.
 *
 * Any thread may use the env; the functions below are for the test's thread. */
#ifndef BASALT_TESTS_SUPPORT_ENV_FAULT_H
#define BASALT_TESTS_SUPPORT_ENV_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/env_hook.h"

struct env_fault;

struct env_fault *env_fault_create(void);
/* NULL is accepted. Descriptors must be closed. */
void env_fault_destroy(struct env_fault *fault);
struct env *env_fault_env(struct env_fault *fault);

#define ENV_FAULT_OP(op) (1U << (op))
/* Calls that can fail on a healthy machine and change something, or make it durable. */
#define ENV_FAULT_WRITES                                                                           \
    (ENV_FAULT_OP(ENV_OP_OPEN) | ENV_FAULT_OP(ENV_OP_WRITE) | ENV_FAULT_OP(ENV_OP_WRITEV) |        \
     ENV_FAULT_OP(ENV_OP_FDATASYNC) | ENV_FAULT_OP(ENV_OP_SYNC_DIR) |                              \
     ENV_FAULT_OP(ENV_OP_TRUNCATE) | ENV_FAULT_OP(ENV_OP_RENAME) | ENV_FAULT_OP(ENV_OP_UNLINK) |   \
     ENV_FAULT_OP(ENV_OP_MKDIR) | ENV_FAULT_OP(ENV_OP_RMDIR) | ENV_FAULT_OP(ENV_OP_EXCHANGE))
/* All that return something a caller must look at. */
#define ENV_FAULT_ALL                                                                              \
    (ENV_FAULT_WRITES | ENV_FAULT_OP(ENV_OP_READ) | ENV_FAULT_OP(ENV_OP_PREAD) |                   \
     ENV_FAULT_OP(ENV_OP_SEEK) | ENV_FAULT_OP(ENV_OP_FILE_SIZE) | ENV_FAULT_OP(ENV_OP_LIST_DIR) |  \
     ENV_FAULT_OP(ENV_OP_LOCK_FILE))

struct env_fault_plan {
    uint32_t ops;          /* ENV_FAULT_OP() of those that may fail */
    const char *path_part; /* only paths that contain it; NULL: any; borrowed until the next plan */
    uint64_t nth;          /* the first call to fail; 1: the next one */
    uint64_t count;        /* how many in a row; 0: all from then on */
    int error;             /* errno */
    size_t torn_bytes;     /* a failing write first puts so many bytes into the file */
};
/* Replaces the plan; NULL: nothing fails. The count of calls starts anew. */
void env_fault_set_plan(struct env_fault *fault, const struct env_fault_plan *plan);
/* Calls that the plan has matched since it was set (those failed included). */
uint64_t env_fault_matched(struct env_fault *fault);
/* Calls that the plan has failed since it was set. */
uint64_t env_fault_failed(struct env_fault *fault);
/* Transfers are of at most so many bytes; 0: no limit. */
void env_fault_set_short(struct env_fault *fault, size_t bytes_max);
/* Called before each matched call goes on, on the caller's thread. NULL: none. */
void env_fault_set_watcher(struct env_fault *fault, void (*watch)(void *arg, struct env_call *call),
                           void *arg);
/* Stops the monotonic clock at its present value; env_fault_advance moves it. */
void env_fault_stop_clock(struct env_fault *fault);
void env_fault_advance(struct env_fault *fault, int64_t us);

/* From here on every call fails with EIO, as if the process were gone: close what is open, then
 * go on after env_fault_revive. Files stay as they are. */
void env_fault_kill(struct env_fault *fault);

enum env_fault_cut {
    ENV_FAULT_CUT_DROP,   /* nothing that was not synced is left */
    ENV_FAULT_CUT_RANDOM, /* any of it */
};
/* env_fault_kill, and what was not synced is lost. Nothing may be writing while it runs. */
void env_fault_power_cut(struct env_fault *fault, enum env_fault_cut cut, uint64_t seed);
/* Calls reach the system again; all that is there counts as synced. */
void env_fault_revive(struct env_fault *fault);

#endif
