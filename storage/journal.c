/* The journal as its users see it: opening, staging, submitting, progress. The thread that writes
 * is in journal_write.c; the hand-over to it is described in journal_internal.h. */
#include "storage/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "codec/mem.h"
#include "storage/journal_internal.h"

#define SELECT_BYTES_MAX 64
#define LOG_TEXT_BYTES   1024

_Static_assert(offsetof(struct journal, stage) == 0, "journal_stage() casts");
_Static_assert(JOURNAL_SEGMENT_BYTES_MIN > JOURNAL_SEGMENT_HEADER_BYTES, "a segment holds a block");
_Static_assert(JOURNAL_DB_MAX <= UINT16_MAX, "a block header has 16 bits for it");
_Static_assert(sizeof(struct chunk) % 8 == 0, "chunk data is aligned");

void journal_log(struct journal *journal, int level, const char *format, ...)
{
    if (journal->log == NULL)
        return;
    char text[LOG_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    journal->log(journal->log_arg, level, text);
}

/* ---- Chunks ---- */

struct chunk *journal_chunk_create(struct journal *journal, size_t capacity)
{
    struct chunk *chunk = mem_alloc(sizeof(*chunk) + capacity);
    atomic_init(&chunk->next, NULL);
    chunk->capacity = capacity;
    chunk->used = 0;
    chunk->data = (uint8_t *)(chunk + 1);
    atomic_fetch_add_explicit(&journal->memory_bytes, sizeof(*chunk) + capacity,
                              memory_order_relaxed);
    return chunk;
}

void journal_chunk_destroy(struct journal *journal, struct chunk *chunk)
{
    atomic_fetch_sub_explicit(&journal->memory_bytes, sizeof(*chunk) + chunk->capacity,
                              memory_order_relaxed);
    mem_free(chunk);
}

/* An empty chunk for at least `bytes`: a spare one, or a new one (of its own size if it is big). */
static struct chunk *take_chunk(struct journal *journal, size_t bytes)
{
    size_t capacity = JOURNAL_CHUNK_BYTES - sizeof(struct chunk);
    if (bytes > capacity)
        return journal_chunk_create(journal, bytes);
    if (journal->spare == NULL)
        journal->spare = atomic_exchange_explicit(&journal->recycled, NULL, memory_order_acquire);
    struct chunk *chunk = journal->spare;
    if (chunk == NULL)
        return journal_chunk_create(journal, capacity);
    journal->spare = atomic_load_explicit(&chunk->next, memory_order_relaxed);
    atomic_fetch_sub_explicit(&journal->spare_count, 1, memory_order_relaxed);
    atomic_store_explicit(&chunk->next, NULL, memory_order_relaxed);
    chunk->used = 0;
    return chunk;
}

/* Goes on in a fresh chunk with room for `bytes`. */
static void append_chunk(struct journal *journal, size_t bytes)
{
    struct journal_stage *stage = &journal->stage;
    uint64_t end = journal_end(journal);
    struct chunk *chunk = take_chunk(journal, bytes);
    journal->tail->used = (size_t)(stage->cursor - journal->tail->data);
    atomic_store_explicit(&journal->tail->next, chunk, memory_order_release);
    journal->tail = chunk;
    stage->cursor = chunk->data;
    stage->correction = end - (uint64_t)(uintptr_t)stage->cursor;
}

static void destroy_chunks(struct journal *journal, struct chunk *chunk)
{
    while (chunk != NULL) {
        struct chunk *next = atomic_load_explicit(&chunk->next, memory_order_relaxed);
        journal_chunk_destroy(journal, chunk);
        chunk = next;
    }
}

/* ---- Staging ---- */

static size_t tail_room(const struct journal *journal)
{
    return (size_t)(journal->tail->data + journal->tail->capacity - journal->stage.cursor);
}

/* Makes `bytes` of room at the cursor, in an open block; one that is opened here is of `db`. */
static void make_room(struct journal *journal, uint32_t db, size_t bytes)
{
    struct journal_stage *stage = &journal->stage;
    if (journal->block_header == NULL) {
        if (tail_room(journal) < JOURNAL_BLOCK_HEADER_BYTES ||
            tail_room(journal) - JOURNAL_BLOCK_HEADER_BYTES < bytes)
            append_chunk(journal, JOURNAL_BLOCK_HEADER_BYTES + bytes);
        journal->block_offset = journal_end(journal);
        journal->block_db = db;
        journal->block_header = stage->cursor;
        stage->cursor += JOURNAL_BLOCK_HEADER_BYTES;
        stage->correction -= JOURNAL_BLOCK_HEADER_BYTES;
    } else if (tail_room(journal) < bytes) {
        append_chunk(journal, bytes);
    }
    stage->limit = journal->tail->data + journal->tail->capacity;
}

static void stage_select(struct journal *journal, uint32_t db)
{
    struct journal_stage *stage = &journal->stage;
    make_room(journal, stage->db == JOURNAL_DB_UNKNOWN ? db : stage->db, SELECT_BYTES_MAX);
    char number[16];
    int digits = snprintf(number, sizeof(number), "%" PRIu32, db);
    int len = snprintf((char *)stage->cursor, SELECT_BYTES_MAX,
                       "*2\r\n$6\r\nSELECT\r\n$%d\r\n%s\r\n", digits, number);
    CHECK(len > 0 && len < SELECT_BYTES_MAX);
    stage->cursor += len;
    stage->db = db;
}

uint8_t *journal_reserve_slow(struct journal *journal, uint32_t db, size_t bytes_max)
{
    CHECK(db <= JOURNAL_DB_MAX);
    if (journal->stage.db != db)
        stage_select(journal, db);
    make_room(journal, db, bytes_max);
    return journal->stage.cursor;
}

void journal_stage_bytes(struct journal *journal, uint32_t db, struct bytes bytes)
{
    uint8_t *room = journal_reserve(journal, db, bytes.len);
    if (bytes.len != 0)
        memcpy(room, bytes.data, bytes.len);
    journal_commit(journal, bytes.len);
}

void journal_stage_raw(struct journal *journal, struct bytes bytes)
{
    struct journal_stage *stage = &journal->stage;
    if (bytes.len == 0)
        return;
    make_room(journal, stage->db == JOURNAL_DB_UNKNOWN ? 0 : stage->db, bytes.len);
    memcpy(stage->cursor, bytes.data, bytes.len);
    stage->cursor += bytes.len;
}

void journal_set_db(struct journal *journal, uint32_t db)
{
    CHECK(db <= JOURNAL_DB_UNKNOWN);
    journal->stage.db = db;
    if (journal->block_header != NULL && journal_end(journal) == journal->block_offset)
        journal->block_db = db == JOURNAL_DB_UNKNOWN ? 0 : db;
}

size_t journal_staged(const struct journal *journal)
{
    return (size_t)(journal_end(journal) - journal->submitted_main);
}

void journal_submit(struct journal *journal)
{
    struct journal_stage *stage = &journal->stage;
    uint64_t end = journal_end(journal);
    if (end == journal->submitted_main)
        return; /* an open block without payload stays open */
    struct journal_block block = {
        .payload_len = end - journal->block_offset,
        .offset = journal->block_offset,
        .db = (uint16_t)journal->block_db,
    };
    journal_block_header_encode(&block, journal->block_header);
    journal->block_header = NULL;
    journal->submitted_main = end;
    stage->limit = stage->cursor;
    atomic_store_explicit(&journal->submitted, end, memory_order_seq_cst);
    if (atomic_load_explicit(&journal->idle, memory_order_seq_cst) &&
        !atomic_load_explicit(&journal->gathering, memory_order_seq_cst) && journal_wake(journal))
        journal->wake_count++;
}

void journal_gathered(struct journal *journal, uint64_t durable)
{
    atomic_store(&journal->gathered, durable);
    if (journal_is_gathering(journal))
        (void)journal_wake(journal);
}

bool journal_is_gathering(const struct journal *journal)
{
    return atomic_load(&journal->idle) && atomic_load(&journal->gathering);
}

uint64_t journal_mark(struct journal *journal)
{
    journal_submit(journal);
    return journal->submitted_main;
}

/* ---- Waking the thread ---- */

bool journal_wake(struct journal *journal)
{
    (void)pthread_mutex_lock(&journal->wake_lock);
    bool idle = atomic_exchange(&journal->idle, false);
    if (idle)
        (void)pthread_cond_signal(&journal->wake);
    (void)pthread_mutex_unlock(&journal->wake_lock);
    return idle;
}

void journal_poke(struct journal *journal)
{
    atomic_store(&journal->poked, true);
    if (atomic_load(&journal->idle))
        (void)journal_wake(journal);
}

/* Raises `*word` to `value`; whether it was lower. */
static bool raise_to(_Atomic uint64_t *word, uint64_t value)
{
    uint64_t current = atomic_load(word);
    while (current < value) {
        if (atomic_compare_exchange_weak(word, &current, value))
            return true;
    }
    return false;
}

/* ---- Progress ---- */

void journal_sync(struct journal *journal, uint64_t offset)
{
    CHECK(offset <= atomic_load(&journal->submitted));
    if (raise_to(&journal->sync_target, offset) && atomic_load(&journal->idle))
        (void)journal_wake(journal);
}

uint64_t journal_written(const struct journal *journal)
{
    return atomic_load_explicit(&journal->written, memory_order_acquire);
}

uint64_t journal_durable(const struct journal *journal)
{
    return atomic_load_explicit(&journal->durable, memory_order_acquire);
}

enum status journal_wait_durable(struct journal *journal, uint64_t offset, struct err *err)
{
    enum status st = ST_OK;
    journal_sync(journal, offset);
    (void)pthread_mutex_lock(&journal->lock);
    while (journal_durable(journal) < offset && !atomic_load(&journal->failed))
        (void)pthread_cond_wait(&journal->progress, &journal->lock);
    if (journal_durable(journal) < offset) {
        st = journal->failure.code;
        if (err != NULL)
            *err = journal->failure;
    }
    (void)pthread_mutex_unlock(&journal->lock);
    return st;
}

static bool has_backlog(const struct journal *journal)
{
    return journal->submitted_main - journal_written(journal) > JOURNAL_BACKLOG_BYTES_MAX;
}

bool journal_backlogged(struct journal *journal)
{
    if (__builtin_expect(!has_backlog(journal), 1))
        return false;
    /* Look again after asking for a notification: it may be over already and nobody will call. */
    atomic_store(&journal->backlog_seen, true);
    return journal->submitted_main - atomic_load(&journal->written) > JOURNAL_BACKLOG_BYTES_MAX;
}

bool journal_failed(struct journal *journal, struct err *err)
{
    if (__builtin_expect(!atomic_load_explicit(&journal->failed, memory_order_acquire), 1))
        return false;
    if (err != NULL) {
        (void)pthread_mutex_lock(&journal->lock);
        *err = journal->failure;
        (void)pthread_mutex_unlock(&journal->lock);
    }
    return true;
}

void journal_set_fsync(struct journal *journal, enum journal_fsync fsync)
{
    atomic_store(&journal->fsync, (int)fsync);
    journal_poke(journal);
}

void journal_set_retain(struct journal *journal, uint64_t retain_bytes)
{
    atomic_store(&journal->retain_bytes, retain_bytes);
    journal_poke(journal);
}

void journal_set_archiving(struct journal *journal, struct journal_archiving archiving)
{
    journal_archiver_set_limits(journal->archiver, archiving);
    journal_poke(journal);
}

void journal_watch_written(struct journal *journal, bool watch)
{
    atomic_store(&journal->watch_written, watch);
}

void journal_release(struct journal *journal, uint64_t offset)
{
    if (raise_to(&journal->released, offset))
        journal_poke(journal);
}

static uint64_t relaxed(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

void journal_read_stats(struct journal *journal, struct journal_stats *out)
{
    *out = (struct journal_stats){
        .end = journal_end(journal),
        .submitted = journal->submitted_main,
        .written = journal_written(journal),
        .durable = journal_durable(journal),
        .released = relaxed(&journal->released),
        .memory_bytes = relaxed(&journal->memory_bytes),
        .written_bytes = relaxed(&journal->written_bytes),
        .write_count = relaxed(&journal->write_count),
        .block_count = relaxed(&journal->block_count),
        .sync_count = relaxed(&journal->sync_count),
        .sync_us_last = relaxed(&journal->sync_us_last),
        .sync_us_max = relaxed(&journal->sync_us_max),
        .sync_us_total = relaxed(&journal->sync_us_total),
        .wake_count = journal->wake_count,
        .gather_count = relaxed(&journal->gather_count),
        .gather_misses = relaxed(&journal->gather_misses),
        .failure_count = relaxed(&journal->failure_count),
        .recovery_count = relaxed(&journal->recovery_count),
        .failed = atomic_load(&journal->failed),
        .disk_bytes = relaxed(&journal->file_bytes),
    };
    journal_archiver_read_stats(journal->archiver, out);
    uint64_t archived = journal_archiver_done(journal->archiver);
    (void)pthread_mutex_lock(&journal->lock);
    out->first_offset = journal->segments.items[0].start;
    out->segment_count = journal->segments.count;
    uint64_t kept = journal_kept_offset(journal);
    for (size_t i = 0; i < journal->segments.count; i++) {
        out->disk_bytes += journal->segments.items[i].file_bytes;
        out->archive_waiting +=
            journal->segments.items[i].end <= kept && journal->segments.items[i].end > archived;
    }
    out->last_error = journal->failure;
    (void)pthread_mutex_unlock(&journal->lock);
}

void journal_read_recovery(const struct journal *journal, struct journal_recovery *out)
{
    *out = journal->recovery;
}

/* ---- Opening ---- */

/* Goes on in the last segment that was found. */
static enum status continue_segment(struct journal *journal, const struct journal_scan *scan,
                                    struct err *err)
{
    struct segment *last = &journal->segments.items[journal->segments.count - 1];
    segment_path(journal->dir, last->start, "", journal->path);
    enum status st = env_open(journal->env, journal->path, ENV_READ | ENV_WRITE, &journal->fd, err);
    if (st == ST_OK)
        st = env_seek(journal->env, journal->fd, journal->path, scan->tail_file_bytes, err);
    journal->segment_start = last->start;
    journal->file_pos = scan->tail_file_bytes;
    last->file_bytes = 0;
    return st;
}

static enum status start_segment(struct journal *journal, uint64_t offset, struct err *err)
{
    enum status st = segment_create(journal->env, journal->dir, offset, &journal->fd, err);
    if (st != ST_OK)
        return st;
    st = segment_publish(journal->env, journal->dir, offset, journal->fd, err);
    if (st != ST_OK) {
        segment_discard(journal->env, journal->dir, offset, journal->fd);
        journal->fd = -1;
        return st;
    }
    (void)segment_list_append(&journal->segments, offset, UINT64_MAX);
    segment_path(journal->dir, offset, "", journal->path);
    journal->segment_start = offset;
    journal->file_pos = JOURNAL_SEGMENT_HEADER_BYTES;
    return ST_OK;
}

/* Finds or makes the files; afterwards the journal stands at its end offset, returned in
 * `recovery` with the rest of what was found. */
static enum status open_files(struct journal *journal, const struct journal_options *options,
                              struct err *err)
{
    struct journal_scan_options scan_options = {
        .env = options->env,
        .dir = options->dir,
        .needed_from = options->needed_from,
        .repair = true,
        .accept_loss = options->accept_loss,
        .log = options->log,
        .log_arg = options->log_arg,
    };
    struct journal_scan scan;
    enum status st = env_mkdir(options->env, options->dir, err);
    if (st == ST_OK)
        st = journal_scan(&scan_options, &scan, err);
    if (st != ST_OK)
        return st;
    bool fresh = scan.list.count == 0 && !scan.loss_accepted;
    uint64_t end = fresh ? options->start_offset : scan.end_offset;
    journal->segments = scan.list; /* taken */
    journal->stage.db = scan.db;
    st = fresh || scan.loss_accepted ? start_segment(journal, end, err)
                                     : continue_segment(journal, &scan, err);
    journal->file_pos_durable = journal->file_pos;
    journal->file_bytes_all = journal->file_pos;
    journal->claimed = end;
    journal->closed_mark = scan.clean;
    journal->trim_due = true;
    atomic_init(&journal->file_bytes, journal->file_pos);
    if (st != ST_OK)
        return st;
    journal->recovery = (struct journal_recovery){
        .first_offset = journal->segments.items[0].start,
        .end_offset = end,
        .tail_cut_bytes = scan.tail_cut_bytes,
        .fresh = fresh,
        .clean = scan.clean && scan.tail_cut_bytes == 0,
        .loss_accepted = scan.loss_accepted,
    };
    return ST_OK;
}

static void init_locks(struct journal *journal)
{
    pthread_condattr_t monotonic;
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_mutex_init(&journal->wake_lock, NULL) == 0);
    CHECK(pthread_cond_init(&journal->wake, &monotonic) == 0);
    CHECK(pthread_mutex_init(&journal->lock, NULL) == 0);
    CHECK(pthread_cond_init(&journal->progress, NULL) == 0);
    CHECK(pthread_mutex_init(&journal->syncer_lock, NULL) == 0);
    CHECK(pthread_cond_init(&journal->syncer_changed, NULL) == 0);
    (void)pthread_condattr_destroy(&monotonic);
}

static struct journal *create(const struct journal_options *options)
{
    struct journal *journal = mem_calloc(1, sizeof(*journal));
    journal->env = options->env;
    journal->dir = mem_strdup(options->dir);
    journal->segment_bytes =
        options->segment_bytes == 0 ? JOURNAL_SEGMENT_BYTES_DEFAULT : options->segment_bytes;
    journal->retry_ms = options->retry_ms == 0 ? JOURNAL_RETRY_MS_DEFAULT : options->retry_ms;
    journal->time_interval_ms = options->time_interval_ms;
    journal->notify = options->notify;
    journal->notify_arg = options->notify_arg;
    journal->log = options->log;
    journal->log_arg = options->log_arg;
    journal->fd = -1;
    journal->gather_pauses = 1;
    atomic_init(&journal->fsync, (int)options->fsync);
    atomic_init(&journal->retain_bytes, options->retain_bytes);
    init_locks(journal);
    return journal;
}

static void destroy(struct journal *journal)
{
    env_close(journal->env, journal->fd);
    segment_list_deinit(&journal->segments);
    destroy_chunks(journal, journal->durable_at.chunk);
    destroy_chunks(journal, journal->spare);
    destroy_chunks(journal, atomic_load(&journal->recycled));
    CHECK(atomic_load(&journal->memory_bytes) == 0);
    (void)pthread_mutex_destroy(&journal->wake_lock);
    (void)pthread_cond_destroy(&journal->wake);
    (void)pthread_mutex_destroy(&journal->lock);
    (void)pthread_cond_destroy(&journal->progress);
    (void)pthread_mutex_destroy(&journal->syncer_lock);
    (void)pthread_cond_destroy(&journal->syncer_changed);
    mem_free(journal->dir);
    mem_free(journal);
}

/* Everything up to `end` is durable, nothing is staged. */
static void init_position(struct journal *journal, uint64_t end)
{
    struct chunk *chunk = take_chunk(journal, 0);
    journal->tail = chunk;
    journal->stage.cursor = chunk->data;
    journal->stage.limit = chunk->data;
    journal->stage.correction = end - (uint64_t)(uintptr_t)chunk->data;
    journal->submitted_main = end;
    journal->write_at = (struct block_cursor){.chunk = chunk, .offset = end};
    journal->durable_at = journal->write_at;
    atomic_init(&journal->submitted, end);
    atomic_init(&journal->written, end);
    atomic_init(&journal->durable, end);
    atomic_init(&journal->sync_target, end);
}

/* Signals are for the main thread. */
static int start_threads(struct journal *journal, const struct journal_options *options)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const char *history = options->history == NULL ? "" : options->history;
    int error = journal_archiver_start(journal, history, options->archiving);
    if (error == 0) {
        error = pthread_create(&journal->syncer, NULL, journal_syncer_thread, journal);
        if (error == 0) {
            error = pthread_create(&journal->thread, NULL, journal_thread, journal);
            if (error != 0)
                journal_syncer_end(journal);
        }
        if (error != 0)
            journal_archiver_end(journal->archiver);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return error;
    (void)pthread_setname_np(journal->syncer, "journal-sync");
    (void)pthread_setname_np(journal->thread, "journal");
    return 0;
}

enum status journal_open(const struct journal_options *options, struct journal **out,
                         struct err *err)
{
    if (strlen(options->dir) > JOURNAL_DIR_BYTES_MAX)
        return err_set(err, ST_INVALID, "the journal directory's name is longer than %d bytes",
                       JOURNAL_DIR_BYTES_MAX);
    if (options->segment_bytes != 0 && options->segment_bytes < JOURNAL_SEGMENT_BYTES_MIN)
        return err_set(err, ST_INVALID, "journal segments of %" PRIu64 " bytes are too small",
                       options->segment_bytes);
    struct journal *journal = create(options);
    enum status st = open_files(journal, options, err);
    if (st != ST_OK) {
        destroy(journal);
        return st;
    }
    init_position(journal, journal->recovery.end_offset);
    int error = start_threads(journal, options);
    if (error != 0) {
        destroy(journal);
        return err_set_os(err, ST_LIMIT, error, "cannot start the journal's threads");
    }
    *out = journal;
    return ST_OK;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    journal_submit(journal);
    CHECK(journal->readers == NULL);
    atomic_store(&journal->stopping, true);
    (void)journal_wake(journal);
    CHECK(pthread_join(journal->thread, NULL) == 0);
    journal_syncer_end(journal);
    journal_archiver_end(journal->archiver);
    destroy(journal);
}

enum status journal_check_dir(struct env *env, const char *dir, struct journal_check *out,
                              struct err *err)
{
    struct journal_scan_options options = {.env = env, .dir = dir};
    struct journal_scan scan;
    enum status st = journal_scan(&options, &scan, err);
    if (st != ST_OK)
        return st;
    if (scan.list.count == 0) {
        journal_scan_deinit(&scan);
        return err_set(err, ST_NOT_FOUND, "%s: no journal segment", dir);
    }
    journal_scan_describe(&scan, out);
    journal_scan_deinit(&scan);
    return ST_OK;
}
