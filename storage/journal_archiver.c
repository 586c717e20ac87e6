/* The archive thread: packs segments that nobody needs any more into the archive, oldest first, and
 * deletes from the archive what the limits do not keep. See journal_archive.h for the files.
 *
 * It never deletes a segment itself: `done` tells the journal thread what need not be kept for the
 * archive's sake, and moves on when a file is durable. Whatever happens in between, a segment is
 * there in one form at least; one that is there in both after a kill is known by its name and not
 * packed again.
 *
 * Nothing is deleted beyond what the journal was released up to, so a process that opens a journal
 * and releases nothing leaves the archive alone.
 *
 * Failure: the segment stays, what there is of its file goes, and it is tried again, ever more
 * rarely up to RETRY_MS_MAX, for an attempt may take the last space that the journal itself needs.
 * For the same reason nothing is packed while the journal is failed. A segment with a damaged block
 * is packed as it is: what it has may be wanted, and those behind it must not wait for it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "codec/mem.h"
#include "storage/journal_archive.h"
#include "storage/journal_internal.h"

#define RETRY_MS_MAX         60000
#define COMPLAIN_INTERVAL_US 60000000
#define LOOK_MS_MIN          1000 /* between looks at the clock */
#define LOOK_MS_MAX          60000

struct journal_archiver {
    /* Constant. */
    struct journal *journal;
    pthread_t thread;
    char history[JOURNAL_HISTORY_BYTES_MAX];
    char dir[ENV_PATH_BYTES_MAX];

    /* The thread's. */
    struct journal_archive_list list;
    bool listed;
    int64_t retry_at_us; /* 0: the last attempt did not fail */
    int64_t retry_ms;    /* the pause after the next failure */
    int64_t complain_at_us;

    /* Written by the thread, read by all. */
    _Atomic uint64_t done_upto;
    _Atomic uint64_t count, bytes, first_offset, failures;
    atomic_bool failed;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */
    /* Guarded by `lock`. */
    struct journal_archiving limits;
    bool poked;
    atomic_bool stopping; /* set with `lock` held */
};

/* Both together: one new and one old limit could mean that nothing is to be kept. */
static struct journal_archiving read_limits(struct journal_archiver *archiver)
{
    (void)pthread_mutex_lock(&archiver->lock);
    struct journal_archiving limits = archiver->limits;
    (void)pthread_mutex_unlock(&archiver->lock);
    return limits;
}

static bool is_on(struct journal_archiver *archiver)
{
    struct journal_archiving limits = read_limits(archiver);
    return limits.bytes != 0 || limits.ms != 0;
}

void journal_archiver_set_limits(struct journal_archiver *archiver, struct journal_archiving limits)
{
    (void)pthread_mutex_lock(&archiver->lock);
    archiver->limits = limits;
    (void)pthread_mutex_unlock(&archiver->lock);
}

uint64_t journal_archiver_done(struct journal_archiver *archiver)
{
    return is_on(archiver) ? atomic_load(&archiver->done_upto) : UINT64_MAX;
}

void journal_archiver_poke(struct journal_archiver *archiver)
{
    (void)pthread_mutex_lock(&archiver->lock);
    archiver->poked = true;
    (void)pthread_cond_signal(&archiver->changed);
    (void)pthread_mutex_unlock(&archiver->lock);
}

void journal_archiver_read_stats(const struct journal_archiver *archiver, struct journal_stats *out)
{
    out->archive_count = atomic_load(&archiver->count);
    out->archive_bytes = atomic_load(&archiver->bytes);
    out->archive_first_offset = atomic_load(&archiver->first_offset);
    out->archive_failures = atomic_load(&archiver->failures);
    out->archive_failed = atomic_load(&archiver->failed);
}

/* ---- What is kept ---- */

/* Whether the limits keep a segment no more. */
static bool is_expired(struct journal_archiver *archiver, const struct journal_archive *head)
{
    const struct journal *journal = archiver->journal;
    struct journal_archiving limits = read_limits(archiver);
    uint64_t backlog = atomic_load(&journal->retain_bytes);
    uint64_t behind = journal_written(journal) - head->end;
    int64_t age_ms = env_now_realtime_ms(journal->env) - head->last_ms;
    bool beyond_bytes = behind >= limits.bytes && behind - limits.bytes >= backlog;
    return head->end <= atomic_load(&journal->released) && beyond_bytes && age_ms >= limits.ms;
}

static void publish_list(struct journal_archiver *archiver)
{
    const struct journal_archive_list *list = &archiver->list;
    uint64_t bytes = 0;
    for (size_t i = 0; i < list->count; i++)
        bytes += list->items[i].bytes;
    atomic_store(&archiver->count, list->count);
    atomic_store(&archiver->bytes, bytes);
    atomic_store(&archiver->first_offset, list->count == 0 ? 0 : list->items[0].head.start);
}

static void note_failure(struct journal_archiver *archiver, const struct err *err)
{
    int64_t now = env_now_mono_us(archiver->journal->env);
    atomic_fetch_add(&archiver->failures, 1);
    atomic_store(&archiver->failed, true);
    archiver->retry_at_us = now + archiver->retry_ms * 1000;
    archiver->retry_ms *= 2;
    if (archiver->retry_ms > RETRY_MS_MAX)
        archiver->retry_ms = RETRY_MS_MAX;
    if (now < archiver->complain_at_us)
        return;
    archiver->complain_at_us = now + COMPLAIN_INTERVAL_US;
    journal_log(archiver->journal, LOG_WARNING,
                "Journal archive: %s. Segments stay as they are until it succeeds.", err->message);
}

static void note_success(struct journal_archiver *archiver)
{
    archiver->retry_at_us = 0;
    archiver->retry_ms = archiver->journal->retry_ms;
    atomic_store(&archiver->failed, false);
}

/* Deletes what is expired, oldest first, so that what is left has no gap. */
static enum status delete_expired(struct journal_archiver *archiver, struct err *err)
{
    struct journal_archive_list *list = &archiver->list;
    size_t gone = 0;
    enum status st = ST_OK;
    while (gone < list->count && is_expired(archiver, &list->items[gone].head)) {
        char path[ENV_PATH_BYTES_MAX];
        const struct journal_archive *head = &list->items[gone].head;
        journal_archive_path(archiver->dir, head->start, head->end, path);
        st = env_unlink(archiver->journal->env, path, err);
        if (st != ST_OK && st != ST_NOT_FOUND)
            break;
        st = ST_OK;
        gone++;
    }
    list->count -= gone;
    if (gone > 0) {
        memmove(list->items, list->items + gone, list->count * sizeof(*list->items));
        publish_list(archiver);
    }
    return st;
}

/* ---- Archiving ---- */

/* The oldest segment that nobody needs and that is not archived yet. */
static bool find_next(struct journal_archiver *archiver, struct segment *out)
{
    struct journal *journal = archiver->journal;
    bool found = false;
    (void)pthread_mutex_lock(&journal->lock);
    uint64_t kept = journal_kept_offset(journal);
    for (size_t i = 0; i + 1 < journal->segments.count && !found; i++) {
        const struct segment *segment = &journal->segments.items[i];
        if (segment->end > kept)
            break;
        found = segment->end > atomic_load(&archiver->done_upto);
        *out = *segment;
    }
    (void)pthread_mutex_unlock(&journal->lock);
    return found;
}

static bool is_listed(const struct journal_archiver *archiver, const struct segment *segment)
{
    for (size_t i = archiver->list.count; i > 0; i--) {
        const struct journal_archive_file *file = &archiver->list.items[i - 1];
        if (file->head.start == segment->start && file->head.end == segment->end)
            return !file->unreadable && strcmp(file->head.history, archiver->history) == 0;
    }
    return false;
}

static void add_file(struct journal_archiver *archiver, const struct journal_archive *head,
                     uint64_t bytes)
{
    struct journal_archive_file file = {.head = *head, .bytes = bytes};
    struct journal_archive_list *list = &archiver->list;
    for (size_t i = 0; i < list->count; i++) { /* what it has replaced */
        if (list->items[i].head.start != head->start || list->items[i].head.end != head->end)
            continue;
        list->items[i] = file;
        publish_list(archiver);
        return;
    }
    journal_archive_list_add(list, &file);
    publish_list(archiver);
}

static enum status archive_segment(struct journal_archiver *archiver, const struct segment *segment,
                                   struct err *err)
{
    struct journal *journal = archiver->journal;
    struct journal_archive head = {.start = segment->start, .end = segment->end};
    uint64_t bytes = 0;
    memcpy(head.history, archiver->history, sizeof(head.history));
    if (is_listed(archiver, segment))
        return ST_OK;
    enum status st = journal_archive_measure(journal->env, journal->dir, &head, err);
    if (st == ST_NOT_FOUND)
        return ST_OK; /* somebody has deleted it */
    if (st == ST_CORRUPT) {
        journal_log(journal, LOG_WARNING, "Journal archive: archiving a damaged segment: %s.",
                    err->message);
        st = ST_OK;
    }
    if (st != ST_OK || is_expired(archiver, &head))
        return st;
    st = journal_archive_pack(journal->env, journal->dir, &head, archiver->dir, &archiver->stopping,
                              &bytes, err);
    if (st == ST_OK)
        add_file(archiver, &head, bytes);
    return st;
}

/* Archives all that is to be. */
static enum status archive_all(struct journal_archiver *archiver, struct err *err)
{
    struct journal *journal = archiver->journal;
    struct segment segment;
    while (is_on(archiver) && !atomic_load(&archiver->stopping) && !atomic_load(&journal->failed) &&
           find_next(archiver, &segment)) {
        enum status st = archive_segment(archiver, &segment, err);
        if (st != ST_OK)
            return st;
        atomic_store(&archiver->done_upto, segment.end);
        journal_poke(journal);
        note_success(archiver);
    }
    return ST_OK;
}

static enum status read_list(struct journal_archiver *archiver, struct err *err)
{
    if (archiver->listed)
        return ST_OK;
    enum status st = journal_archive_list_read(archiver->journal->env, archiver->dir, true,
                                               &archiver->list, err);
    /* A process that was killed may not have come to that. */
    if (st == ST_OK && archiver->list.count > 0)
        st = env_sync_dir(archiver->journal->env, archiver->dir, err);
    archiver->listed = st == ST_OK;
    if (st != ST_OK)
        journal_archive_list_deinit(&archiver->list);
    publish_list(archiver);
    return st;
}

/* ---- The thread ---- */

static void run(struct journal_archiver *archiver)
{
    struct err err = {.code = ST_OK};
    if (archiver->retry_at_us > env_now_mono_us(archiver->journal->env))
        return;
    enum status st = read_list(archiver, &err);
    if (st == ST_OK)
        st = delete_expired(archiver, &err);
    if (st == ST_OK)
        st = archive_all(archiver, &err);
    if (st == ST_OK)
        st = delete_expired(archiver, &err);
    if (st == ST_OK)
        note_success(archiver);
    else if (st != ST_AGAIN)
        note_failure(archiver, &err);
}

/* How long to wait if nobody pokes; -1: for ever. */
static int64_t pause_ms(struct journal_archiver *archiver)
{
    const struct journal *journal = archiver->journal;
    int64_t left = LOOK_MS_MAX;
    if (archiver->retry_at_us != 0) {
        left = (archiver->retry_at_us - env_now_mono_us(journal->env)) / 1000 + 1;
        return left > 1 ? left : 1;
    }
    if (archiver->list.count == 0)
        return -1;
    int64_t age_ms = env_now_realtime_ms(journal->env) - archiver->list.items[0].head.last_ms;
    left = read_limits(archiver).ms - age_ms;
    if (left <= 0 || left > LOOK_MS_MAX) /* what is kept for its bytes goes when more is written */
        return LOOK_MS_MAX;
    return left < LOOK_MS_MIN ? LOOK_MS_MIN : left;
}

static void wait_for_work(struct journal_archiver *archiver)
{
    int64_t ms = pause_ms(archiver);
    struct timespec at;
    int timed_out = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += ms < 0 ? 0 : ms % 1000 * 1000000;
    at.tv_sec += ms < 0 ? 0 : ms / 1000 + at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&archiver->lock);
    while (!archiver->poked && !atomic_load(&archiver->stopping) && timed_out == 0) {
        if (ms < 0)
            (void)pthread_cond_wait(&archiver->changed, &archiver->lock);
        else
            timed_out = pthread_cond_timedwait(&archiver->changed, &archiver->lock, &at);
    }
    archiver->poked = false;
    (void)pthread_mutex_unlock(&archiver->lock);
}

static void *run_thread(void *arg)
{
    struct journal_archiver *archiver = arg;
    while (!atomic_load(&archiver->stopping)) {
        run(archiver);
        wait_for_work(archiver);
    }
    return NULL;
}

static void destroy(struct journal_archiver *archiver)
{
    (void)pthread_mutex_destroy(&archiver->lock);
    (void)pthread_cond_destroy(&archiver->changed);
    journal_archive_list_deinit(&archiver->list);
    mem_free(archiver);
}

int journal_archiver_start(struct journal *journal, const char *history,
                           struct journal_archiving limits)
{
    struct journal_archiver *archiver = mem_calloc(1, sizeof(*archiver));
    pthread_condattr_t monotonic;
    CHECK(strlen(history) < sizeof(archiver->history));
    for (size_t i = 0; history[i] != '\0'; i++) /* it came from a file */
        archiver->history[i] = history[i] > ' ' && history[i] <= '~' ? history[i] : '?';
    archiver->journal = journal;
    archiver->retry_ms = journal->retry_ms;
    archiver->limits = limits;
    int len =
        snprintf(archiver->dir, sizeof(archiver->dir), "%s/" JOURNAL_ARCHIVE_DIR, journal->dir);
    CHECK(len > 0 && (size_t)len < sizeof(archiver->dir));
    CHECK(pthread_mutex_init(&archiver->lock, NULL) == 0);
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&archiver->changed, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
    journal->archiver = archiver;
    int error = pthread_create(&archiver->thread, NULL, run_thread, archiver);
    if (error != 0) {
        destroy(archiver);
        journal->archiver = NULL;
        return error;
    }
    (void)pthread_setname_np(archiver->thread, "journal-archive");
    return 0;
}

void journal_archiver_end(struct journal_archiver *archiver)
{
    (void)pthread_mutex_lock(&archiver->lock);
    atomic_store(&archiver->stopping, true);
    (void)pthread_cond_signal(&archiver->changed);
    (void)pthread_mutex_unlock(&archiver->lock);
    CHECK(pthread_join(archiver->thread, NULL) == 0);
    destroy(archiver);
}
