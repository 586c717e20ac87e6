/* The journal thread: writes submitted blocks, has them synced as the policy says, begins and
 * deletes segments, and finds the way out of failures.
 *
 * Each round it writes all that is submitted, begins a sync if that is due, and rests. Under
 * `always` it syncs by itself, and a round that had work is followed by the next at once: while it
 * was in fdatasync, more came in, and one sync covers all of it. Else the sync thread syncs and
 * writing goes on, so that what a killed process loses does not depend on how long a sync takes;
 * and the thread naps after each round, so that the main thread's many small blocks become few
 * large writes and cost it no system call.
 *
 * A new segment is prepared by a sync job, too: it makes the old one durable up to some offset X,
 * and a file that begins there. Blocks behind X are written to the old file meanwhile, then to the
 * new one, which gets its name when it holds all of them: whenever the process dies, one file has
 * what was written. Nothing in it is durable before a sync of the directory and of the file.
 *
 * Failure. After a failed write the file has unknown bytes behind its good part, after a failed
 * sync not even the good part is known: pages that could not be written are clean from then on, and
 * the next sync would report success. So the file is given up. All blocks behind `durable` are
 * still in memory; a new segment that begins at `durable` takes them, and when it is synced and has
 * its name, it supersedes what the old file holds from there on. Until then the old file is left
 * alone: what it has may be all that survives if the process dies. */
#include <inttypes.h>
#include <time.h>

#include "codec/mem.h"
#include "storage/journal_internal.h"

#define BATCH_BYTES_MAX      ((uint64_t)256 << 10) /* checksummed, then written from the L2 cache */
#define NAP_US               2000                  /* 1000 costs a fifth more CPU per byte */
#define NAP_WATCHED_US       500                   /* replicas wait for what is written */
#define QUIET_ROUNDS_MAX     4
#define SYNC_INTERVAL_US     1000000
#define COMPLAIN_INTERVAL_US 60000000
#define ZERO_PART_BYTES      ((uint64_t)16 << 10)
#define ZERO_AHEAD_BYTES     ((uint64_t)512 << 10)
#define SYNC_AVERAGE_OF      8
#define GATHER_SYNCS_MAX     4 /* wait so many times as long as a sync takes */
#define GATHER_US_MAX        5000
#define GATHER_PAUSES_MAX    256

static void call_notify(struct journal *journal)
{
    if (journal->notify != NULL)
        journal->notify(journal->notify_arg);
}

static bool is_failed(struct journal *journal)
{
    return atomic_load_explicit(&journal->failed, memory_order_relaxed);
}

static uint64_t durable_offset(struct journal *journal)
{
    return journal->durable_at.offset;
}

static uint64_t unsynced_bytes(struct journal *journal)
{
    return journal->write_at.offset - journal->durable_at.offset;
}

static bool is_always(struct journal *journal)
{
    return atomic_load_explicit(&journal->fsync, memory_order_relaxed) == (int)JOURNAL_FSYNC_ALWAYS;
}

static bool segment_is_full(const struct journal *journal)
{
    /* A file full of closing marks, without a byte of the stream, would be its own next one. */
    return journal->file_pos >= journal->segment_bytes &&
           journal->write_at.offset > journal->segment_start;
}

/* ---- Progress ---- */

static void recycle_chunk(struct journal *journal, struct chunk *chunk)
{
    if (chunk->capacity != JOURNAL_CHUNK_BYTES - sizeof(struct chunk) ||
        atomic_load_explicit(&journal->spare_count, memory_order_relaxed) >=
            JOURNAL_SPARE_CHUNKS_MAX) {
        journal_chunk_destroy(journal, chunk);
        return;
    }
    atomic_fetch_add_explicit(&journal->spare_count, 1, memory_order_relaxed);
    struct chunk *head = atomic_load_explicit(&journal->recycled, memory_order_relaxed);
    do
        atomic_store_explicit(&chunk->next, head, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&journal->recycled, &head, chunk,
                                                  memory_order_release, memory_order_relaxed));
}

/* Frees spare chunks after a burst; called when there is nothing to do. */
static void shed_chunks(struct journal *journal)
{
    if (atomic_load_explicit(&journal->spare_count, memory_order_relaxed) <=
        JOURNAL_IDLE_CHUNKS_MAX)
        return;
    struct chunk *chunk = atomic_exchange_explicit(&journal->recycled, NULL, memory_order_acquire);
    for (unsigned kept = 0; chunk != NULL; kept++) {
        struct chunk *next = atomic_load_explicit(&chunk->next, memory_order_relaxed);
        atomic_fetch_sub_explicit(&journal->spare_count, 1, memory_order_relaxed);
        if (kept < JOURNAL_IDLE_CHUNKS_MAX)
            recycle_chunk(journal, chunk);
        else
            journal_chunk_destroy(journal, chunk);
        chunk = next;
    }
}

/* Everything up to `upto`, which is at `file_pos` of the last segment, is durable: tells everybody
 * and gives the chunks back. */
static void note_durable(struct journal *journal, struct block_cursor upto, uint64_t file_pos)
{
    CHECK(upto.offset >= durable_offset(journal));
    struct chunk *chunk = journal->durable_at.chunk;
    while (chunk != upto.chunk) {
        struct chunk *next = atomic_load_explicit(&chunk->next, memory_order_acquire);
        recycle_chunk(journal, chunk);
        chunk = next;
    }
    journal->durable_at = upto;
    journal->file_pos_durable = file_pos;
    (void)pthread_mutex_lock(&journal->lock);
    atomic_store(&journal->durable, upto.offset);
    (void)pthread_cond_broadcast(&journal->progress);
    (void)pthread_mutex_unlock(&journal->lock);
    call_notify(journal);
}

static void note_written(struct journal *journal)
{
    atomic_store(&journal->written, journal->write_at.offset);
    atomic_store_explicit(&journal->file_bytes, journal->file_pos, memory_order_relaxed);
    bool notify = atomic_load_explicit(&journal->watch_written, memory_order_relaxed);
    if (atomic_load(&journal->backlog_seen) &&
        atomic_load(&journal->submitted) - journal->write_at.offset <= JOURNAL_BACKLOG_BYTES_MAX) {
        atomic_store(&journal->backlog_seen, false);
        notify = true;
    }
    if (notify)
        call_notify(journal);
}

/* ---- Syncs ---- */

/* Describes the sync of all that is written and begins it. */
static void begin_job(struct journal *journal, bool make_next, bool wait)
{
    journal->sync.sync_dir = journal->sync_dir_due;
    journal->sync.sync_file = unsynced_bytes(journal) > 0;
    journal->sync.make_next = make_next;
    journal->sync.upto = journal->write_at;
    journal->sync.file_pos = journal->file_pos;
    journal->unsynced_since_us = 0;
    journal_syncer_begin(journal, wait);
}

/* Notes what a job has made durable, and takes its result: `*next_fd_out` is the file of the next
 * segment or -1. */
static enum status take_result(struct journal *journal, int *next_fd_out, struct err *err)
{
    struct sync_job *job = &journal->sync;
    enum status st = job->status;
    *next_fd_out = job->next_fd;
    if (st != ST_OK && err != NULL)
        *err = job->err;
    if (!job->synced)
        journal->sync_failed = true;
    if (job->synced && job->sync_dir)
        journal->sync_dir_due = false;
    if (job->synced && job->sync_file) {
        uint64_t us = job->us > 0 ? (uint64_t)job->us : 0;
        journal_count(&journal->sync_count, 1);
        journal_count(&journal->sync_us_total, us);
        atomic_store_explicit(&journal->sync_us_last, us, memory_order_relaxed);
        if (us > atomic_load_explicit(&journal->sync_us_max, memory_order_relaxed))
            atomic_store_explicit(&journal->sync_us_max, us, memory_order_relaxed);
        journal->sync_us_usual += ((int64_t)us - journal->sync_us_usual) / SYNC_AVERAGE_OF;
        journal->synced_at_us = env_now_mono_us(journal->env);
        note_durable(journal, job->upto, job->file_pos);
    }
    journal_syncer_reset(journal);
    return st;
}

/* ---- Failure ---- */

static void set_failed(struct journal *journal, bool failed, const struct err *reason)
{
    (void)pthread_mutex_lock(&journal->lock);
    if (reason != NULL)
        journal->failure = *reason;
    atomic_store(&journal->failed, failed);
    (void)pthread_cond_broadcast(&journal->progress);
    (void)pthread_mutex_unlock(&journal->lock);
}

/* Lets a job that is under way end, for what it makes durable. */
static void end_job(struct journal *journal)
{
    int next_fd = -1;
    journal_syncer_wait(journal);
    if (!journal_syncer_has_result(journal))
        return;
    (void)take_result(journal, &next_fd, NULL);
    if (next_fd >= 0)
        segment_discard(journal->env, journal->dir, durable_offset(journal), next_fd);
}

static void fail(struct journal *journal, const struct err *reason)
{
    end_job(journal);
    /* A failed write says nothing about what was written before it: one sync, if none has failed
     * yet, saves writing that again (the disk may be full). */
    if (!journal->sync_failed && unsynced_bytes(journal) > 0) {
        begin_job(journal, false, true);
        end_job(journal);
    }
    int64_t now = env_now_mono_us(journal->env);
    journal->retry_at_us = now + (int64_t)journal->retry_ms * 1000;
    journal->complain_at_us = now + COMPLAIN_INTERVAL_US;
    journal_count(&journal->failure_count, 1);
    set_failed(journal, true, reason);
    journal_log(journal, LOG_WARNING,
                "Journal: %s. Writes are refused until it can be written again (durable up to "
                "offset %" PRIu64 ").",
                reason->message, durable_offset(journal));
    call_notify(journal);
}

/* The list after a recovery at `start`: the last segment ends there, or is replaced. */
static void supersede_segment(struct journal *journal, uint64_t start)
{
    (void)pthread_mutex_lock(&journal->lock);
    struct segment *last = &journal->segments.items[journal->segments.count - 1];
    if (last->start == start) {
        journal->segments.count--;
    } else {
        last->end = start;
        last->file_bytes = journal->file_pos_durable;
    }
    (void)segment_list_append(&journal->segments, start, UINT64_MAX);
    atomic_fetch_add(&journal->segments_version, 1);
    (void)pthread_mutex_unlock(&journal->lock);
}

/* Makes a file the one that blocks are written to. */
static void use_segment(struct journal *journal, uint64_t start, int fd, uint64_t file_pos)
{
    journal->fd = fd;
    journal->segment_start = start;
    journal->file_pos = file_pos;
    journal->file_bytes_all = file_pos;
    journal->file_pos_durable = JOURNAL_SEGMENT_HEADER_BYTES;
    journal->claimed = start;
    journal->timed_ms = 0;
    journal->sync_failed = false;
    journal->closed_mark = false;
    journal->trim_due = true;
    segment_path(journal->dir, start, "", journal->path);
}

/* Writes all that is submitted and not durable to a segment of its own. */
static enum status rewrite_undurable(struct journal *journal, struct block_cursor *at, int *fd_out,
                                     uint64_t *file_bytes_out, struct err *err)
{
    uint64_t start = durable_offset(journal);
    uint64_t target = atomic_load(&journal->submitted);
    int fd = -1;
    enum status st = segment_create(journal->env, journal->dir, start, &fd, err);
    if (st != ST_OK)
        return st;
    char path[ENV_PATH_BYTES_MAX];
    segment_path(journal->dir, start, JOURNAL_TMP_SUFFIX, path);
    struct journal_sink sink = {.env = journal->env, .fd = fd, .path = path, .claimed = start};
    st = journal_put_blocks(journal, at, target, UINT64_MAX, &sink, err);
    if (st == ST_OK)
        st = segment_publish(journal->env, journal->dir, start, fd, err);
    if (st != ST_OK) {
        segment_discard(journal->env, journal->dir, start, fd);
        return st;
    }
    *fd_out = fd;
    *file_bytes_out = JOURNAL_SEGMENT_HEADER_BYTES + sink.bytes;
    return ST_OK;
}

static void recover_from_failure(struct journal *journal)
{
    struct err err;
    struct block_cursor at = journal->durable_at;
    uint64_t start = at.offset;
    uint64_t file_bytes = 0;
    int fd = -1;
    if (rewrite_undurable(journal, &at, &fd, &file_bytes, &err) != ST_OK) {
        int64_t now = env_now_mono_us(journal->env);
        journal->retry_at_us = now + (int64_t)journal->retry_ms * 1000;
        set_failed(journal, true, &err);
        if (now >= journal->complain_at_us) {
            journal->complain_at_us = now + COMPLAIN_INTERVAL_US;
            journal_log(journal, LOG_WARNING, "Journal: still failing: %s.", err.message);
        }
        return;
    }
    int old_fd = journal->fd;
    bool replaced = start == journal->segment_start;
    uint64_t old_bytes = journal->file_pos_durable;
    supersede_segment(journal, start);
    if (old_fd >= 0 && !replaced)
        (void)journal->env->truncate(journal->env, old_fd, old_bytes); /* a mere tidying up */
    env_close(journal->env, old_fd);
    use_segment(journal, start, fd, file_bytes);
    journal->sync_dir_due = false;
    journal->write_at = at;
    journal->unsynced_since_us = 0;
    note_written(journal);
    set_failed(journal, false, NULL);
    journal_count(&journal->recovery_count, 1);
    journal_log(journal, LOG_NOTICE,
                "Journal: can be written again, in a new segment from offset %" PRIu64 " (%" PRIu64
                " bytes saved from memory).",
                start, at.offset - start);
    note_durable(journal, at, file_bytes);
}

/* ---- Writing ---- */

/* The list when the stream goes on in a new segment. */
static void append_segment(struct journal *journal, uint64_t start)
{
    (void)pthread_mutex_lock(&journal->lock);
    struct segment *last = &journal->segments.items[journal->segments.count - 1];
    last->end = start;
    last->file_bytes = journal->file_pos; /* what is superseded included */
    (void)segment_list_append(&journal->segments, start, UINT64_MAX);
    atomic_fetch_add(&journal->segments_version, 1);
    (void)pthread_mutex_unlock(&journal->lock);
}

/* Goes on in the file that a job has made; what was written since the job began is copied. */
static void use_next(struct journal *journal, int fd)
{
    struct err err;
    char path[ENV_PATH_BYTES_MAX];
    uint64_t start = durable_offset(journal);
    struct block_cursor at = journal->durable_at;
    segment_path(journal->dir, start, JOURNAL_TMP_SUFFIX, path);
    struct journal_sink sink = {.env = journal->env, .fd = fd, .path = path, .claimed = start};
    enum status st = ST_OK;
    if (unsynced_bytes(journal) > 0)
        st = journal_put_blocks(journal, &at, journal->write_at.offset, UINT64_MAX, &sink, &err);
    if (st == ST_OK)
        st = segment_name(journal->env, journal->dir, start, &err);
    if (st != ST_OK) {
        segment_discard(journal->env, journal->dir, start, fd);
        fail(journal, &err);
        return;
    }
    int old_fd = journal->fd;
    append_segment(journal, start);
    use_segment(journal, start, fd, JOURNAL_SEGMENT_HEADER_BYTES + sink.bytes);
    journal->sync_dir_due = true;
    env_close(journal->env, old_fd);
    note_written(journal);
}

/* Sees to the result of a job, if there is one. */
static void finish_sync(struct journal *journal)
{
    struct err err;
    int next_fd = -1;
    if (!journal_syncer_has_result(journal))
        return;
    if (take_result(journal, &next_fd, &err) != ST_OK)
        fail(journal, &err);
    else if (next_fd >= 0)
        use_next(journal, next_fd);
}

static void begin_sync(struct journal *journal, bool make_next)
{
    begin_job(journal, make_next, is_always(journal) || atomic_load(&journal->stopping));
    finish_sync(journal);
}

/* Under `always`, writes zeros behind the good part of the file when `bytes` more do not fit into
 * what is there. A block that takes the place of zeros changes nothing about the file, so that its
 * sync writes the block and waits for nothing else: on ext4 0.3 ms instead of 0.6 to 0.7, for the
 * file system's own journal, and the thread that writes that, are not needed. The zeros' own sync
 * is shared with the next block's. That they cannot be written is no failure of the journal. */
static enum status zero_ahead(struct journal *journal, uint64_t bytes, struct err *err)
{
    static const uint8_t zeros[ZERO_PART_BYTES];
    uint64_t from = journal->file_bytes_all;
    uint64_t to = from + ZERO_AHEAD_BYTES;
    if (to > journal->segment_bytes)
        to = journal->segment_bytes;
    if (!is_always(journal) || journal->file_pos + bytes <= from || to <= from)
        return ST_OK;
    struct iovec parts[ZERO_AHEAD_BYTES / ZERO_PART_BYTES];
    int count = 0;
    for (uint64_t at = from; at < to; at += parts[count++].iov_len) {
        union {
            const uint8_t *constant;
            void *base; /* struct iovec knows no const */
        } cast = {.constant = zeros};
        uint64_t len = to - at < ZERO_PART_BYTES ? to - at : ZERO_PART_BYTES;
        parts[count] = (struct iovec){.iov_base = cast.base, .iov_len = (size_t)len};
    }
    enum status st = env_seek(journal->env, journal->fd, journal->path, from, err);
    if (st != ST_OK)
        return st;
    /* Once only: the next attempt is made behind this one. */
    journal->file_bytes_all = to;
    if (env_writev_all(journal->env, journal->fd, journal->path, parts, count, NULL) == ST_OK)
        journal_count(&journal->written_bytes, to - from);
    return env_seek(journal->env, journal->fd, journal->path, journal->file_pos, err);
}

static void write_batch(struct journal *journal, uint64_t target)
{
    struct err err;
    struct block_cursor at = journal->write_at;
    struct journal_sink sink = {.env = journal->env,
                                .fd = journal->fd,
                                .path = journal->path,
                                .claimed = journal->claimed,
                                .timed_ms = journal->timed_ms};
    uint64_t room = journal->file_pos < journal->segment_bytes
                        ? journal->segment_bytes - journal->file_pos
                        : BATCH_BYTES_MAX; /* while the next segment is being made */
    uint64_t bytes_max = room < BATCH_BYTES_MAX ? room : BATCH_BYTES_MAX;
    journal->closed_mark = false;
    enum status st = zero_ahead(journal, target - at.offset, &err);
    if (st == ST_OK)
        st = journal_put_blocks(journal, &at, target, bytes_max, &sink, &err);
    if (st != ST_OK) {
        fail(journal, &err);
        return;
    }
    if (journal->unsynced_since_us == 0)
        journal->unsynced_since_us = env_now_mono_us(journal->env);
    journal->write_at = at;
    journal->file_pos += sink.bytes;
    if (journal->file_bytes_all < journal->file_pos)
        journal->file_bytes_all = journal->file_pos;
    journal->claimed = sink.claimed;
    journal->timed_ms = sink.timed_ms;
    note_written(journal);
}

/* Whether so much is held in memory that writing must wait for a sync. */
static bool must_hold(struct journal *journal)
{
    return !journal_syncer_is_idle(journal) && unsynced_bytes(journal) >= JOURNAL_HELD_BYTES_MAX;
}

/* Writes all that was submitted when it began; whether it wrote anything. */
static bool write_pending(struct journal *journal)
{
    uint64_t target = atomic_load_explicit(&journal->submitted, memory_order_acquire);
    uint64_t before = journal->write_at.offset;
    while (!is_failed(journal) && journal->write_at.offset < target && !must_hold(journal)) {
        if (segment_is_full(journal) && journal_syncer_is_idle(journal))
            begin_sync(journal, true);
        else
            write_batch(journal, target);
        if (!is_failed(journal) && unsynced_bytes(journal) >= JOURNAL_UNSYNCED_BYTES_MAX &&
            journal_syncer_is_idle(journal))
            begin_sync(journal, false);
        if (!is_failed(journal))
            finish_sync(journal);
    }
    return journal->write_at.offset != before;
}

static bool sync_is_due(struct journal *journal)
{
    if (is_failed(journal) || !journal_syncer_is_idle(journal))
        return false;
    if (journal->sync_dir_due)
        return true;
    if (unsynced_bytes(journal) == 0)
        return false;
    if (atomic_load(&journal->stopping) ||
        atomic_load(&journal->sync_target) > durable_offset(journal))
        return true;
    switch ((enum journal_fsync)atomic_load_explicit(&journal->fsync, memory_order_relaxed)) {
    case JOURNAL_FSYNC_ALWAYS:
        return true;
    case JOURNAL_FSYNC_EVERYSEC:
        return env_now_mono_us(journal->env) - journal->unsynced_since_us >= SYNC_INTERVAL_US;
    case JOURNAL_FSYNC_NO:
        break;
    }
    return false;
}

/* ---- Deleting ---- */

uint64_t journal_kept_offset(const struct journal *journal)
{
    uint64_t retain = atomic_load(&journal->retain_bytes);
    uint64_t written = journal_written(journal);
    uint64_t released = atomic_load(&journal->released);
    uint64_t pinned = journal_readers_pin(journal);
    uint64_t keep = written > retain ? written - retain : 0;
    keep = released < keep ? released : keep;
    return pinned < keep ? pinned : keep;
}

/* Takes the oldest segment off the list if nobody needs it and it is archived, if it is to be. */
static bool take_deletable(struct journal *journal, struct segment *out)
{
    bool taken = false;
    uint64_t archived = journal_archiver_done(journal->archiver);
    (void)pthread_mutex_lock(&journal->lock);
    struct segment *first = &journal->segments.items[0];
    if (journal->segments.count > 1 && first->end <= journal_kept_offset(journal) &&
        first->end <= archived) {
        *out = *first;
        journal->segments.count--;
        memmove(first, first + 1, journal->segments.count * sizeof(*first));
        taken = true;
    }
    (void)pthread_mutex_unlock(&journal->lock);
    return taken;
}

static void put_back(struct journal *journal, const struct segment *segment)
{
    (void)pthread_mutex_lock(&journal->lock);
    (void)segment_list_append(&journal->segments, 0, 0);
    struct segment *first = &journal->segments.items[0];
    memmove(first + 1, first, (journal->segments.count - 1) * sizeof(*first));
    *first = *segment;
    (void)pthread_mutex_unlock(&journal->lock);
}

/* Oldest first, so that a gap never stands in front of what is kept. */
static void delete_released(struct journal *journal)
{
    struct segment segment;
    journal->trim_due = false;
    journal_archiver_poke(journal->archiver);
    while (take_deletable(journal, &segment)) {
        struct err err;
        char path[ENV_PATH_BYTES_MAX];
        segment_path(journal->dir, segment.start, "", path);
        enum status st = env_unlink(journal->env, path, &err);
        if (st != ST_OK && st != ST_NOT_FOUND) {
            put_back(journal, &segment);
            journal_log(journal, LOG_WARNING, "Journal: %s.", err.message);
            return;
        }
    }
}

/* ---- Resting ---- */

static void nap(struct journal *journal)
{
    bool watched = atomic_load_explicit(&journal->watch_written, memory_order_relaxed);
    struct timespec pause = {.tv_nsec = (watched ? NAP_WATCHED_US : NAP_US) * 1000};
    (void)nanosleep(&pause, NULL);
}

static bool has_work(struct journal *journal)
{
    if (atomic_load(&journal->stopping) || atomic_load(&journal->poked) ||
        journal_syncer_has_result(journal))
        return true;
    if (is_failed(journal))
        return false;
    if (atomic_load(&journal->submitted) != journal->write_at.offset && !must_hold(journal))
        return true;
    return atomic_load(&journal->sync_target) > durable_offset(journal) &&
           journal_syncer_is_idle(journal);
}

/* Whether the next sync need not be put off any more. */
static bool has_gathered(struct journal *journal)
{
    return atomic_load(&journal->gathered) >= durable_offset(journal) ||
           atomic_load(&journal->sync_target) > durable_offset(journal) ||
           atomic_load(&journal->stopping) || atomic_load(&journal->poked);
}

/* Microseconds until something is due without anybody bringing it; -1: nothing. When a job ends,
 * the sync thread brings that. */
static int64_t next_due_us(struct journal *journal)
{
    int64_t at = 0;
    if (is_failed(journal))
        at = journal->retry_at_us;
    else if (unsynced_bytes(journal) > 0 && journal_syncer_is_idle(journal) &&
             atomic_load(&journal->fsync) == (int)JOURNAL_FSYNC_EVERYSEC)
        at = journal->unsynced_since_us + SYNC_INTERVAL_US;
    else
        return -1;
    int64_t left = at - env_now_mono_us(journal->env);
    return left > 0 ? left : 0;
}

static struct timespec deadline_in(int64_t us)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    int64_t nsec = at.tv_nsec + us % 1000000 * 1000;
    at.tv_sec += us / 1000000 + nsec / 1000000000;
    at.tv_nsec = nsec % 1000000000;
    return at;
}

/* Waits until somebody has woken the thread, `left_us` (-1: any time) have passed, or there is
 * something to do. While gathering, blocks are nothing to do. */
static void wait_idle(struct journal *journal, int64_t left_us, bool gathering)
{
    struct timespec deadline = deadline_in(left_us > 0 ? left_us : 0);
    int timed_out = 0;
    (void)pthread_mutex_lock(&journal->wake_lock);
    atomic_store(&journal->gathering, gathering);
    atomic_store(&journal->idle, true);
    while (atomic_load(&journal->idle) && timed_out == 0 &&
           !(gathering ? has_gathered(journal) : has_work(journal))) {
        if (left_us < 0)
            (void)pthread_cond_wait(&journal->wake, &journal->wake_lock);
        else
            timed_out = pthread_cond_timedwait(&journal->wake, &journal->wake_lock, &deadline);
    }
    atomic_store(&journal->idle, false);
    (void)pthread_mutex_unlock(&journal->wake_lock);
}

/* Puts the next sync off until those are back that the last one has let go. When they do not come
 * back in time, it is not tried again for some syncs: for twice as many after each miss, for half
 * as many after a success. */
static void gather(struct journal *journal)
{
    if (journal->gather_pause > 0) {
        journal->gather_pause--;
        return;
    }
    int64_t limit = journal->sync_us_usual * GATHER_SYNCS_MAX;
    if (limit > GATHER_US_MAX)
        limit = GATHER_US_MAX;
    int64_t left = journal->synced_at_us + limit - env_now_mono_us(journal->env);
    if (left > 0)
        wait_idle(journal, left, true);
    journal_count(&journal->gather_count, 1);
    if (has_gathered(journal)) {
        journal->gather_pauses -= journal->gather_pauses / 2;
        return;
    }
    journal_count(&journal->gather_misses, 1);
    journal->gather_pause = journal->gather_pauses;
    if (journal->gather_pauses < GATHER_PAUSES_MAX)
        journal->gather_pauses *= 2;
}

static void rest(struct journal *journal, bool worked)
{
    bool always = is_always(journal);
    if (always && worked) {
        if (!is_failed(journal))
            gather(journal);
        return;
    }
    if (!always && !is_failed(journal)) {
        journal->quiet_rounds = worked ? 0 : journal->quiet_rounds + 1;
        if (journal->quiet_rounds <= QUIET_ROUNDS_MAX) {
            nap(journal);
            return;
        }
        shed_chunks(journal);
    }
    wait_idle(journal, next_due_us(journal), false);
}

/* ---- The thread ---- */

/* An empty block at the end says that all is there and was synced. */
static void write_closing_mark(struct journal *journal)
{
    if (journal->closed_mark)
        return;
    uint32_t db = journal->stage.db; /* the main thread waits for this one to end */
    struct journal_block block = {
        .offset = journal->write_at.offset,
        .db = (uint16_t)(db == JOURNAL_DB_UNKNOWN ? 0 : db),
        .flags = JOURNAL_BLOCK_AFTER_SYNC | JOURNAL_BLOCK_CLOSED,
    };
    uint8_t header[JOURNAL_BLOCK_HEADER_BYTES];
    struct err err;
    journal_block_header_encode(&block, header);
    enum status st =
        env_write_all(journal->env, journal->fd, journal->path, header, sizeof(header), &err);
    if (st == ST_OK && journal->file_bytes_all > journal->file_pos)
        st = env_truncate(journal->env, journal->fd, journal->path,
                          journal->file_pos + sizeof(header), &err);
    if (st == ST_OK)
        st = env_sync(journal->env, journal->fd, journal->path, &err);
    if (st != ST_OK)
        journal_log(journal, LOG_WARNING, "Journal: all is written but the closing mark: %s.",
                    err.message);
}

static void end_thread(struct journal *journal)
{
    uint64_t lost = atomic_load(&journal->submitted) - durable_offset(journal);
    if (!is_failed(journal)) {
        CHECK(lost == 0);
        write_closing_mark(journal);
    } else if (lost > 0) {
        journal_log(journal, LOG_WARNING,
                    "Journal: closed while failing: %" PRIu64 " bytes after offset %" PRIu64
                    " are lost.",
                    lost, durable_offset(journal));
    }
}

/* One turn; false: this was the last one. */
static bool run_round(struct journal *journal)
{
    bool worked = false;
    bool stopping = atomic_load(&journal->stopping);
    if (stopping)
        journal_syncer_wait(journal);
    if (atomic_exchange(&journal->poked, false))
        journal->trim_due = true;
    finish_sync(journal);
    if (is_failed(journal)) {
        if (stopping || env_now_mono_us(journal->env) >= journal->retry_at_us)
            recover_from_failure(journal);
        if (stopping && is_failed(journal))
            return false;
    } else {
        worked = write_pending(journal);
        if (sync_is_due(journal))
            begin_sync(journal, false);
    }
    bool syncing = !journal_syncer_is_idle(journal) || journal->sync_dir_due;
    if (journal->trim_due && !syncing)
        delete_released(journal);
    if (!stopping)
        rest(journal, worked);
    return !stopping || syncing || is_failed(journal) ||
           durable_offset(journal) != atomic_load(&journal->submitted);
}

void *journal_thread(void *arg)
{
    struct journal *journal = arg;
    while (run_round(journal))
        continue;
    end_thread(journal);
    return NULL;
}
