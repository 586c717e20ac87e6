/* Thread pools on pthreads.
 *
 * One mutex and condition per pool guard its queue; a worker takes several jobs at a time when many
 * wait, so that the lock's cost is shared. Completions are one list under a mutex of its own; the
 * main thread takes the whole list at once. A wake-up is only sent when the list was empty: further
 * completions ride along. No lock is held while a job runs. */
#include "storage/executor.h"

#include "codec/check.h"
#include "codec/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define EXECUTOR_THREADS_MAX  64
#define EXECUTOR_TAKE_MAX     8 /* jobs a worker takes from the queue at once */
#define LONG_JOB_NS           25000
#define SHORT_JOBS_PER_THREAD 8

struct job_queue {
    struct job *first;
    struct job **last;
    size_t count;
};

struct completions {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct job_queue queue; /* guarded by lock */
    wakeup_fn *wakeup;
    void *arg;
};

struct executor {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job_queue queue; /* guarded by lock */
    size_t idle_count;      /* threads waiting for work; guarded by lock */
    bool stopping;          /* guarded by lock */
    struct completions *completions;
    atomic_size_t pending;
    _Atomic uint64_t service_ns; /* of a job lately, smoothed */
    size_t thread_count;
    char name[16];
    pthread_t threads[EXECUTOR_THREADS_MAX];
};

static void queue_init(struct job_queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
    queue->count = 0;
}

static void queue_push(struct job_queue *queue, struct job *job)
{
    job->next = NULL;
    *queue->last = job;
    queue->last = &job->next;
    queue->count++;
}

static struct job *queue_pop(struct job_queue *queue)
{
    struct job *job = queue->first;
    if (job == NULL)
        return NULL;
    queue->first = job->next;
    if (queue->first == NULL)
        queue->last = &queue->first;
    queue->count--;
    return job;
}

struct completions *completions_create(wakeup_fn *wakeup, void *arg)
{
    struct completions *c = mem_calloc(1, sizeof(*c));
    CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
    CHECK(pthread_cond_init(&c->ready, NULL) == 0);
    queue_init(&c->queue);
    c->wakeup = wakeup;
    c->arg = arg;
    return c;
}

void completions_destroy(struct completions *c)
{
    if (c == NULL)
        return;
    CHECK(c->queue.count == 0);
    (void)pthread_cond_destroy(&c->ready);
    (void)pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

static void completions_push(struct completions *c, struct job *jobs)
{
    pthread_mutex_lock(&c->lock);
    bool was_empty = c->queue.count == 0;
    while (jobs != NULL) {
        struct job *next = jobs->next;
        queue_push(&c->queue, jobs);
        jobs = next;
    }
    pthread_cond_signal(&c->ready);
    pthread_mutex_unlock(&c->lock);
    if (was_empty && c->wakeup != NULL)
        c->wakeup(c->arg);
}

size_t completions_drain(struct completions *c)
{
    pthread_mutex_lock(&c->lock);
    struct job *job = c->queue.first;
    queue_init(&c->queue);
    pthread_mutex_unlock(&c->lock);
    size_t count = 0;
    while (job != NULL) {
        struct job *next = job->next;
        job->done(job);
        job = next;
        count++;
    }
    return count;
}

void completions_wait(struct completions *c)
{
    pthread_mutex_lock(&c->lock);
    while (c->queue.count == 0)
        pthread_cond_wait(&c->ready, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

/* Takes up to a fair share of the queue; NULL when the pool is stopping and nothing is left. */
static struct job *take_jobs(struct executor *e)
{
    pthread_mutex_lock(&e->lock);
    while (e->queue.count == 0 && !e->stopping) {
        e->idle_count++;
        pthread_cond_wait(&e->work, &e->lock);
        e->idle_count--;
    }
    size_t share = e->queue.count / e->thread_count + 1;
    if (share > EXECUTOR_TAKE_MAX)
        share = EXECUTOR_TAKE_MAX;
    struct job_queue taken;
    queue_init(&taken);
    while (share-- > 0) {
        struct job *job = queue_pop(&e->queue);
        if (job == NULL)
            break;
        queue_push(&taken, job);
    }
    pthread_mutex_unlock(&e->lock);
    return taken.first;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Several threads may race here; any of their values will do. */
static void note_service(struct executor *e, uint64_t ns)
{
    uint64_t smoothed = atomic_load_explicit(&e->service_ns, memory_order_relaxed);
    smoothed = smoothed - smoothed / 16 + ns / 16;
    atomic_store_explicit(&e->service_ns, smoothed, memory_order_relaxed);
}

static void *executor_thread(void *arg)
{
    struct executor *e = arg;
    (void)pthread_setname_np(pthread_self(), e->name);
    struct job *job = NULL;
    while ((job = take_jobs(e)) != NULL) {
        struct job_queue finished;
        queue_init(&finished);
        size_t count = 0;
        uint64_t start_ns = now_ns();
        while (job != NULL) {
            struct job *next = job->next;
            bool has_done = job->done != NULL;
            job->run(job);
            count++;
            if (has_done)
                queue_push(&finished, job);
            job = next;
        }
        note_service(e, (now_ns() - start_ns) / count);
        if (finished.count != 0)
            completions_push(e->completions, finished.first);
        atomic_fetch_sub_explicit(&e->pending, count, memory_order_release);
    }
    return NULL;
}

struct executor *executor_create(const char *name, size_t thread_count, struct completions *c)
{
    CHECK(thread_count >= 1);
    CHECK(thread_count <= EXECUTOR_THREADS_MAX);
    struct executor *e = mem_calloc(1, sizeof(*e));
    CHECK(pthread_mutex_init(&e->lock, NULL) == 0);
    CHECK(pthread_cond_init(&e->work, NULL) == 0);
    queue_init(&e->queue);
    e->completions = c;
    e->thread_count = thread_count;
    (void)snprintf(e->name, sizeof(e->name), "%s", name);
    for (size_t i = 0; i < thread_count; i++)
        CHECK(pthread_create(&e->threads[i], NULL, executor_thread, e) == 0);
    return e;
}

void executor_destroy(struct executor *e)
{
    if (e == NULL)
        return;
    pthread_mutex_lock(&e->lock);
    e->stopping = true;
    pthread_cond_broadcast(&e->work);
    pthread_mutex_unlock(&e->lock);
    for (size_t i = 0; i < e->thread_count; i++)
        CHECK(pthread_join(e->threads[i], NULL) == 0);
    (void)pthread_cond_destroy(&e->work);
    (void)pthread_mutex_destroy(&e->lock);
    mem_free(e);
}

void executor_submit(struct executor *e, struct job *job)
{
    job->next = NULL;
    executor_submit_list(e, job, 1);
}

/* Jobs that wait for a disk want a thread each; for short ones a wake-up costs more than the job.
 */
static size_t threads_wanted(const struct executor *e, size_t count)
{
    uint64_t service_ns = atomic_load_explicit(&e->service_ns, memory_order_relaxed);
    return service_ns > LONG_JOB_NS ? count
                                    : (count + SHORT_JOBS_PER_THREAD - 1) / SHORT_JOBS_PER_THREAD;
}

void executor_submit_list(struct executor *e, struct job *first, size_t count)
{
    atomic_fetch_add_explicit(&e->pending, count, memory_order_relaxed);
    pthread_mutex_lock(&e->lock);
    CHECK(!e->stopping);
    while (first != NULL) {
        struct job *next = first->next;
        queue_push(&e->queue, first);
        first = next;
    }
    size_t wake = e->idle_count;
    pthread_mutex_unlock(&e->lock);
    size_t wanted = threads_wanted(e, count);
    if (wake > wanted)
        wake = wanted;
    for (size_t i = 0; i < wake; i++)
        pthread_cond_signal(&e->work);
}

size_t executor_pending(const struct executor *e)
{
    return atomic_load_explicit(&e->pending, memory_order_acquire);
}
