/* Background work: jobs go to a pool of threads, their completions come back to the main thread.
 *
 * A job is a struct embedded in the submitter's own, so submitting allocates nothing. It carries
 * all that its run function needs; nothing else is shared. Jobs of a pool with one thread run in
 * the order of submission. */
#ifndef BASALT_STORAGE_EXECUTOR_H
#define BASALT_STORAGE_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>

struct executor;
struct completions;
struct job;

typedef void job_fn(struct job *job);
typedef void wakeup_fn(void *arg);

struct job {
    job_fn *run;  /* on a thread of the pool */
    job_fn *done; /* on the main thread, from completions_drain; may free the job. NULL: none, and
                     `run` may free the job */
    struct job *next; /* the executor's */
};

/* The way back: one for all pools of a store. `wakeup` is called from a pool's thread when
 * something has been completed and nothing was waiting to be drained; it must make the main thread
 * call completions_drain soon. */
struct completions *completions_create(wakeup_fn *wakeup, void *arg);
void completions_destroy(struct completions *c);
/* Runs the done functions of what has been completed. Returns how many. Main thread. */
size_t completions_drain(struct completions *c);
/* Blocks until something can be drained (start-up, shutdown and tests only). Main thread. */
void completions_wait(struct completions *c);

/* Starts `thread_count` (1..64) threads called `name` (at most 15 characters). */
struct executor *executor_create(const char *name, size_t thread_count, struct completions *c);
/* Runs what was submitted, then ends the threads. Completions still need a drain afterwards. */
void executor_destroy(struct executor *e);
/* Any thread. */
void executor_submit(struct executor *e, struct job *job);
/* The same for `count` jobs linked by `next`, the last one's NULL: one lock, and as few wake-ups as
 * suit the time that jobs of this pool have taken lately. */
void executor_submit_list(struct executor *e, struct job *first, size_t count);
/* Jobs submitted and not completed. Any thread; a momentary value. */
size_t executor_pending(const struct executor *e);

#endif
