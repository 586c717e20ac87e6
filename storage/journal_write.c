/* The journal thread: writes submitted blocks, syncs them as the policy says, begins and deletes
 * segments, and finds the way out of failures.
 *
 * Each round it writes all that is submitted, syncs if that is due, and rests. Under `always` a
 * round that had work is followed by the next at once: while it was in fdatasync, more came in,
 * and one sync covers all of it. Else it naps after each round, so that the main thread's many
 * small blocks become few large writes and cost it no system call.
 *
 * Failure. After a failed write the file has unknown bytes behind its good part, after a failed
 * sync not even the good part is known: pages that could not be written are clean from then on, and
 * the next sync would report success. So the file is given up. All blocks behind `durable` are
 * still in memory; a new segment that begins at `durable` takes them, and when it is synced and has
 * its name, it supersedes what the old file holds from there on. Until then the old file is left
 * alone: what it has may be all that survives if the process dies. */
#include <inttypes.h>
#include <sys/uio.h>
#include <time.h>

#include "codec/checksum.h"
#include "codec/mem.h"
#include "storage/journal_internal.h"

#define BATCH_BYTES_MAX      ((uint64_t)256 << 10) /* checksummed, then written from the L2 cache */
#define BATCH_PARTS_MAX      64
#define NAP_US               2000 /* 1000 costs a fifth more CPU per byte */
#define NAP_WATCHED_US       500  /* replicas wait for what is written */
#define QUIET_ROUNDS_MAX     4
#define SYNC_INTERVAL_US     1000000
#define COMPLAIN_INTERVAL_US 60000000

_Static_assert(BATCH_PARTS_MAX <= ENV_IO_PARTS_MAX, "one writev takes a batch");

/* Where blocks go. */
struct sink {
    struct env *env;
    int fd;
    const char *path;
    uint64_t bytes; /* put in so far */
    int count;
    struct iovec parts[BATCH_PARTS_MAX]; /* not yet written */
};

/* A counter with one writer. */
static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

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

/* ---- Blocks out of chunks ---- */

/* Takes the next piece, of at most `len` bytes, that stands in one chunk. There must be one. */
static struct bytes take_piece(struct block_cursor *at, uint64_t len)
{
    for (;;) {
        struct chunk *next = atomic_load_explicit(&at->chunk->next, memory_order_acquire);
        size_t end = next == NULL ? at->chunk->capacity : at->chunk->used;
        if (at->pos < end) {
            size_t room = end - at->pos;
            struct bytes piece =
                bytes_make(at->chunk->data + at->pos, len < room ? (size_t)len : room);
            at->pos += piece.len;
            return piece;
        }
        CHECK(next != NULL);
        at->chunk = next;
        at->pos = 0;
    }
}

static enum status flush_sink(struct sink *sink, struct err *err)
{
    int count = sink->count;
    sink->count = 0;
    return env_writev_all(sink->env, sink->fd, sink->path, sink->parts, count, err);
}

static enum status put(struct sink *sink, struct bytes piece, struct err *err)
{
    union {
        const uint8_t *borrowed;
        void *base; /* struct iovec knows no const */
    } cast = {.borrowed = piece.data};
    sink->bytes += piece.len;
    if (sink->count > 0) {
        struct iovec *last = &sink->parts[sink->count - 1];
        if ((uint8_t *)last->iov_base + last->iov_len == piece.data) {
            last->iov_len += piece.len;
            return ST_OK;
        }
    }
    enum status st = sink->count == BATCH_PARTS_MAX ? flush_sink(sink, err) : ST_OK;
    sink->parts[sink->count++] = (struct iovec){.iov_base = cast.base, .iov_len = piece.len};
    return st;
}

/* Completes the header of the block at `at`, which the main thread has filled in but for checksum
 * and flags. */
static struct journal_block finish_header(struct block_cursor at, uint64_t durable)
{
    struct journal_block block;
    struct bytes room = take_piece(&at, JOURNAL_BLOCK_HEADER_BYTES);
    CHECK(room.len == JOURNAL_BLOCK_HEADER_BYTES);
    CHECK(journal_block_header_decode(room.data, &block, NULL) == ST_OK);
    CHECK(block.offset == at.offset);
    uint8_t *header = at.chunk->data + at.pos - JOURNAL_BLOCK_HEADER_BYTES;
    uint32_t crc = 0;
    for (uint64_t left = block.payload_len; left > 0;) {
        struct bytes piece = take_piece(&at, left);
        crc = crc32c(crc, piece.data, piece.len);
        left -= piece.len;
    }
    block.payload_crc = crc;
    block.flags = block.offset == durable ? JOURNAL_BLOCK_AFTER_SYNC : 0;
    journal_block_header_encode(&block, header);
    return block;
}

/* Writes whole blocks from `at` on, up to stream offset `target` or until the sink has had
 * `bytes_max` bytes, and moves `at` behind them. On failure `at` means nothing. */
static enum status write_blocks(struct journal *journal, struct block_cursor *at, uint64_t target,
                                uint64_t bytes_max, struct sink *sink, struct err *err)
{
    uint64_t blocks = 0;
    enum status st = ST_OK;
    while (st == ST_OK && at->offset < target && sink->bytes < bytes_max) {
        struct journal_block block = finish_header(*at, durable_offset(journal));
        uint64_t left = JOURNAL_BLOCK_HEADER_BYTES + block.payload_len;
        while (st == ST_OK && left > 0) {
            struct bytes piece = take_piece(at, left);
            left -= piece.len;
            st = put(sink, piece, err);
        }
        at->offset += block.payload_len;
        blocks++;
    }
    if (st == ST_OK)
        st = flush_sink(sink, err);
    if (st == ST_OK) {
        add(&journal->block_count, blocks);
        add(&journal->write_count, 1);
        add(&journal->written_bytes, sink->bytes);
    }
    return st;
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

/* All that is written is durable: tells everybody and gives the chunks back. */
static void note_durable(struct journal *journal)
{
    struct chunk *chunk = journal->durable_at.chunk;
    while (chunk != journal->write_at.chunk) {
        struct chunk *next = atomic_load_explicit(&chunk->next, memory_order_acquire);
        recycle_chunk(journal, chunk);
        chunk = next;
    }
    journal->durable_at = journal->write_at;
    journal->file_pos_durable = journal->file_pos;
    journal->unsynced_since_us = 0;
    (void)pthread_mutex_lock(&journal->lock);
    atomic_store(&journal->durable, journal->durable_at.offset);
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

static enum status sync_file(struct journal *journal, struct err *err)
{
    int64_t before = env_now_mono_us(journal->env);
    enum status st = env_sync(journal->env, journal->fd, journal->path, err);
    int64_t spent = env_now_mono_us(journal->env) - before;
    uint64_t us = spent > 0 ? (uint64_t)spent : 0;
    if (st != ST_OK) {
        journal->sync_failed = true;
        return st;
    }
    add(&journal->sync_count, 1);
    add(&journal->sync_us_total, us);
    atomic_store_explicit(&journal->sync_us_last, us, memory_order_relaxed);
    if (us > atomic_load_explicit(&journal->sync_us_max, memory_order_relaxed))
        atomic_store_explicit(&journal->sync_us_max, us, memory_order_relaxed);
    return ST_OK;
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

static void fail(struct journal *journal, const struct err *reason)
{
    /* A failed write says nothing about what was written before it: one sync, if none has failed
     * yet, saves writing that again (the disk may be full). */
    if (!journal->sync_failed && unsynced_bytes(journal) > 0 && sync_file(journal, NULL) == ST_OK)
        note_durable(journal);
    int64_t now = env_now_mono_us(journal->env);
    journal->retry_at_us = now + (int64_t)journal->retry_ms * 1000;
    journal->complain_at_us = now + COMPLAIN_INTERVAL_US;
    add(&journal->failure_count, 1);
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
    journal->file_pos_durable = JOURNAL_SEGMENT_HEADER_BYTES;
    journal->sync_failed = false;
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
    struct sink sink = {.env = journal->env, .fd = fd, .path = path};
    st = write_blocks(journal, at, target, UINT64_MAX, &sink, err);
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
    journal->closed_mark = false;
    journal->write_at = at;
    note_written(journal);
    set_failed(journal, false, NULL);
    add(&journal->recovery_count, 1);
    journal_log(journal, LOG_NOTICE,
                "Journal: can be written again, in a new segment from offset %" PRIu64 " (%" PRIu64
                " bytes saved from memory).",
                start, at.offset - start);
    note_durable(journal);
}

/* ---- Writing and syncing ---- */

static void sync_now(struct journal *journal)
{
    struct err err;
    if (unsynced_bytes(journal) == 0)
        return;
    if (sync_file(journal, &err) == ST_OK)
        note_durable(journal);
    else
        fail(journal, &err);
}

/* Begins a new segment; the old one is durable first, so nobody need look behind it. */
static void rotate(struct journal *journal)
{
    sync_now(journal);
    if (is_failed(journal))
        return;
    struct err err;
    uint64_t start = journal->write_at.offset;
    int fd = -1;
    enum status st = segment_create(journal->env, journal->dir, start, &fd, &err);
    if (st == ST_OK) {
        st = segment_publish(journal->env, journal->dir, start, fd, &err);
        if (st != ST_OK)
            segment_discard(journal->env, journal->dir, start, fd);
    }
    if (st != ST_OK) {
        fail(journal, &err);
        return;
    }
    (void)pthread_mutex_lock(&journal->lock);
    struct segment *last = &journal->segments.items[journal->segments.count - 1];
    last->end = start;
    last->file_bytes = journal->file_pos;
    (void)segment_list_append(&journal->segments, start, UINT64_MAX);
    atomic_fetch_add(&journal->segments_version, 1);
    (void)pthread_mutex_unlock(&journal->lock);
    env_close(journal->env, journal->fd);
    use_segment(journal, start, fd, JOURNAL_SEGMENT_HEADER_BYTES);
}

static void write_batch(struct journal *journal, uint64_t target)
{
    struct err err;
    struct block_cursor at = journal->write_at;
    struct sink sink = {.env = journal->env, .fd = journal->fd, .path = journal->path};
    uint64_t room = journal->file_pos < journal->segment_bytes
                        ? journal->segment_bytes - journal->file_pos
                        : 1; /* one block */
    uint64_t bytes_max = room < BATCH_BYTES_MAX ? room : BATCH_BYTES_MAX;
    journal->closed_mark = false;
    if (write_blocks(journal, &at, target, bytes_max, &sink, &err) != ST_OK) {
        fail(journal, &err);
        return;
    }
    if (journal->unsynced_since_us == 0)
        journal->unsynced_since_us = env_now_mono_us(journal->env);
    journal->write_at = at;
    journal->file_pos += sink.bytes;
    note_written(journal);
}

/* Writes all that was submitted when it began; whether there was anything. */
static bool write_pending(struct journal *journal)
{
    uint64_t target = atomic_load_explicit(&journal->submitted, memory_order_acquire);
    bool worked = journal->write_at.offset < target;
    while (!is_failed(journal) && journal->write_at.offset < target) {
        /* A file full of closing marks, without a byte of the stream, would be its own next one. */
        if (journal->file_pos >= journal->segment_bytes &&
            journal->write_at.offset > journal->segment_start) {
            rotate(journal);
            continue;
        }
        write_batch(journal, target);
        if (!is_failed(journal) && unsynced_bytes(journal) >= JOURNAL_UNSYNCED_BYTES_MAX)
            sync_now(journal);
    }
    return worked;
}

static bool sync_is_due(struct journal *journal)
{
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

/* The oldest offset that retention or a reader asks for. Needs journal->lock. */
static uint64_t kept_offset(struct journal *journal)
{
    uint64_t retain = atomic_load(&journal->retain_bytes);
    uint64_t written = journal->write_at.offset;
    uint64_t released = atomic_load(&journal->released);
    uint64_t pinned = journal_readers_pin(journal);
    uint64_t keep = written > retain ? written - retain : 0;
    keep = released < keep ? released : keep;
    return pinned < keep ? pinned : keep;
}

/* Takes the oldest segment off the list if nobody needs it. */
static bool take_deletable(struct journal *journal, struct segment *out)
{
    bool taken = false;
    (void)pthread_mutex_lock(&journal->lock);
    struct segment *first = &journal->segments.items[0];
    if (journal->segments.count > 1 && first->end <= kept_offset(journal)) {
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
    if (atomic_load(&journal->stopping) || atomic_load(&journal->poked))
        return true;
    return !is_failed(journal) && (atomic_load(&journal->submitted) != journal->write_at.offset ||
                                   atomic_load(&journal->sync_target) > durable_offset(journal));
}

/* Microseconds until something is due without anybody bringing it; -1: nothing. */
static int64_t next_due_us(struct journal *journal)
{
    int64_t at = 0;
    if (is_failed(journal))
        at = journal->retry_at_us;
    else if (unsynced_bytes(journal) > 0 &&
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

static void wait_idle(struct journal *journal)
{
    int64_t left = next_due_us(journal);
    struct timespec deadline = deadline_in(left > 0 ? left : 0);
    int timed_out = 0;
    (void)pthread_mutex_lock(&journal->wake_lock);
    atomic_store(&journal->idle, true);
    while (atomic_load(&journal->idle) && !has_work(journal) && timed_out == 0) {
        if (left < 0)
            (void)pthread_cond_wait(&journal->wake, &journal->wake_lock);
        else
            timed_out = pthread_cond_timedwait(&journal->wake, &journal->wake_lock, &deadline);
    }
    atomic_store(&journal->idle, false);
    (void)pthread_mutex_unlock(&journal->wake_lock);
}

static void rest(struct journal *journal, bool worked)
{
    bool always =
        atomic_load_explicit(&journal->fsync, memory_order_relaxed) == (int)JOURNAL_FSYNC_ALWAYS;
    if (always && worked)
        return;
    if (!always && !is_failed(journal)) {
        journal->quiet_rounds = worked ? 0 : journal->quiet_rounds + 1;
        if (journal->quiet_rounds <= QUIET_ROUNDS_MAX) {
            nap(journal);
            return;
        }
        shed_chunks(journal);
    }
    wait_idle(journal);
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

void *journal_thread(void *arg)
{
    struct journal *journal = arg;
    for (;;) {
        bool worked = false;
        bool stopping = atomic_load(&journal->stopping);
        if (atomic_exchange(&journal->poked, false))
            journal->trim_due = true;
        if (is_failed(journal)) {
            if (stopping || env_now_mono_us(journal->env) >= journal->retry_at_us)
                recover_from_failure(journal);
            if (stopping && is_failed(journal))
                break;
        } else {
            worked = write_pending(journal);
            if (!is_failed(journal) && sync_is_due(journal))
                sync_now(journal);
        }
        if (journal->trim_due)
            delete_released(journal);
        bool done =
            !is_failed(journal) && durable_offset(journal) == atomic_load(&journal->submitted);
        if (stopping && done)
            break;
        if (!stopping)
            rest(journal, worked);
    }
    end_thread(journal);
    return NULL;
}
