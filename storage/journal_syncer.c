/* The journal's sync thread: does what waits for the disk, so that the journal thread goes on
 * writing meanwhile. Under `always` nobody gains by that, for every reply waits for a sync; then
 * the journal thread does it itself, which saves two thread switches.
 *
 *     IDLE --begin--> RUNNING --all done, or something failed--> DONE --reset--> IDLE
 *
 * One job at a time. A job touches the last segment's file only by syncing it. */
#include "storage/journal_internal.h"

/* The syncs of a job, and how long that of the file took. */
static enum status sync_files(struct journal *journal, struct sync_job *job)
{
    enum status st = ST_OK;
    if (job->sync_dir)
        st = env_sync_dir(journal->env, journal->dir, &job->err);
    if (st != ST_OK || !job->sync_file)
        return st;
    int64_t before = env_now_mono_us(journal->env);
    st = env_sync(journal->env, journal->fd, journal->path, &job->err);
    job->us = env_now_mono_us(journal->env) - before;
    return st;
}

/* A segment that begins where the synced part of the last one ends. */
static enum status make_next(struct journal *journal, struct sync_job *job)
{
    int fd = -1;
    uint64_t start = job->upto.offset;
    enum status st = segment_create(journal->env, journal->dir, start, &fd, &job->err);
    if (st != ST_OK)
        return st;
    char path[ENV_PATH_BYTES_MAX];
    segment_path(journal->dir, start, JOURNAL_TMP_SUFFIX, path);
    st = env_sync(journal->env, fd, path, &job->err);
    if (st != ST_OK) {
        segment_discard(journal->env, journal->dir, start, fd);
        return st;
    }
    job->next_fd = fd;
    return ST_OK;
}

static void run(struct journal *journal)
{
    struct sync_job *job = &journal->sync;
    job->next_fd = -1;
    job->us = 0;
    job->status = sync_files(journal, job);
    job->synced = job->status == ST_OK;
    if (job->synced && job->make_next)
        job->status = make_next(journal, job);
}

static bool is_running(const struct journal *journal)
{
    return atomic_load(&journal->sync.state) == (int)SYNC_RUNNING;
}

static void set_state(struct journal *journal, enum sync_state state)
{
    (void)pthread_mutex_lock(&journal->syncer_lock);
    atomic_store(&journal->sync.state, (int)state);
    (void)pthread_cond_broadcast(&journal->syncer_changed);
    (void)pthread_mutex_unlock(&journal->syncer_lock);
}

void journal_syncer_begin(struct journal *journal, bool wait)
{
    CHECK(journal_syncer_is_idle(journal));
    if (wait) {
        run(journal);
        atomic_store(&journal->sync.state, (int)SYNC_DONE);
    } else {
        set_state(journal, SYNC_RUNNING);
    }
}

bool journal_syncer_is_idle(const struct journal *journal)
{
    return atomic_load(&journal->sync.state) == (int)SYNC_IDLE;
}

bool journal_syncer_has_result(const struct journal *journal)
{
    return atomic_load(&journal->sync.state) == (int)SYNC_DONE;
}

void journal_syncer_wait(struct journal *journal)
{
    (void)pthread_mutex_lock(&journal->syncer_lock);
    while (is_running(journal))
        (void)pthread_cond_wait(&journal->syncer_changed, &journal->syncer_lock);
    (void)pthread_mutex_unlock(&journal->syncer_lock);
}

void journal_syncer_reset(struct journal *journal)
{
    CHECK(journal_syncer_has_result(journal));
    atomic_store(&journal->sync.state, (int)SYNC_IDLE);
}

/* Waits for a job; false: the thread is to end. */
static bool wait_for_job(struct journal *journal)
{
    (void)pthread_mutex_lock(&journal->syncer_lock);
    while (!is_running(journal) && !journal->syncer_ends)
        (void)pthread_cond_wait(&journal->syncer_changed, &journal->syncer_lock);
    bool runs = is_running(journal);
    (void)pthread_mutex_unlock(&journal->syncer_lock);
    return runs;
}

void *journal_syncer_thread(void *arg)
{
    struct journal *journal = arg;
    while (wait_for_job(journal)) {
        run(journal);
        set_state(journal, SYNC_DONE);
        if (atomic_load(&journal->idle))
            (void)journal_wake(journal);
    }
    return NULL;
}

void journal_syncer_end(struct journal *journal)
{
    (void)pthread_mutex_lock(&journal->syncer_lock);
    journal->syncer_ends = true;
    (void)pthread_cond_broadcast(&journal->syncer_changed);
    (void)pthread_mutex_unlock(&journal->syncer_lock);
    CHECK(pthread_join(journal->syncer, NULL) == 0);
}
