/* The journal: one append-only stream of commands in RESP that is the durability log, the
 * replication stream and its backlog at once. A position in it is a *stream offset*: a byte count
 * since the beginning of history, the replication offset that clients of the server see.
 *
 * Life of a byte: the main thread *stages* it (journal_reserve, journal_commit), *submits* it with
 * all else that is staged as one block, the journal thread *writes* it to a segment file, and it
 * or the sync thread *syncs* that, which makes it durable:
 *
 *     first offset <= durable <= written <= submitted <= end
 *
 * A block is what is read, checked and replayed whole; its bounds are *block boundaries*. Submit
 * at the end of a loop tick and never inside a transaction, then no cut or crash splits one.
 *
 * Threads: the functions for the main thread are marked so, and are for one thread at a time. All
 * others may be called by any thread. See journal_internal.h for the hand-over between threads.
 *
 * Failure: when a write or sync fails, the journal is *failed*: nothing becomes durable and the
 * main thread is to refuse writes. What was submitted and is not durable stays in memory, and the
 * thread tries each `retry_ms` to write it to a fresh segment; when that succeeds the state clears
 * by itself. A failed sync is never repeated on the same file.
 *
 * Format: codec/FORMAT.md, "Journal". */
#ifndef BASALT_STORAGE_JOURNAL_H
#define BASALT_STORAGE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/bytes.h"
#include "codec/check.h"
#include "codec/log_fn.h"
#include "codec/status.h"

struct env;
struct journal;
struct journal_reader;

#define JOURNAL_SEGMENT_BYTES_DEFAULT ((uint64_t)64 << 20)
#define JOURNAL_SEGMENT_BYTES_MIN     ((uint64_t)4 << 10)
#define JOURNAL_RETRY_MS_DEFAULT      1000
#define JOURNAL_DB_MAX                65535
#define JOURNAL_DB_UNKNOWN            ((uint32_t)JOURNAL_DB_MAX + 1)
/* Bytes submitted and not yet written from which on the main thread should slow its writers. */
#define JOURNAL_BACKLOG_BYTES_MAX ((uint64_t)64 << 20)
/* Bytes written and not yet durable from which on a sync starts whatever the policy: they are held
 * in memory until then. */
#define JOURNAL_UNSYNCED_BYTES_MAX ((uint64_t)8 << 20)
/* The same, from which on no more is written until a sync that is under way has ended. */
#define JOURNAL_HELD_BYTES_MAX ((uint64_t)64 << 20)

enum journal_fsync {
    JOURNAL_FSYNC_ALWAYS,   /* at once; one sync covers all that came in meanwhile */
    JOURNAL_FSYNC_EVERYSEC, /* when the oldest unsynced byte is a second old */
    JOURNAL_FSYNC_NO,       /* only for journal_sync, the bound above, and at a segment's end */
};

/* What becomes of segments that neither recovery nor the backlog needs. They are archived (packed
 * into files of their own, see journal_archive.h) and deleted once both limits allow it; if both
 * are 0, they are deleted at once. Readers find what is archived no more. */
struct journal_archiving {
    uint64_t bytes; /* of the stream before the backlog, as they were before they were packed */
    int64_t ms;     /* since they were written */
};

struct journal_options {
    struct env *env;        /* borrowed until journal_close */
    const char *dir;        /* made if missing, one level */
    uint64_t segment_bytes; /* a segment that has reached this size is closed; 0: the default */
    enum journal_fsync fsync;
    uint64_t retain_bytes; /* so much of the newest stream is kept although released (backlog) */
    struct journal_archiving archiving;
    const char *history;   /* of archived segments; see struct journal_archive; NULL: empty */
    uint64_t start_offset; /* where the stream starts if the directory holds no segment */
    /* The caller will replay from here (the cut). Segments wholly before it are not checked. If
     * the directory holds segments, the stream must reach from here to its end without a gap. 0:
     * from the first segment. */
    uint64_t needed_from;
    /* If a block after `needed_from` is damaged, let the stream end there instead of refusing to
     * open; the damaged and all later segments are kept aside under names in ".lost-<time>". */
    bool accept_loss;
    /* The files tell the time of what is written at least so often (while something is): for
     * journal_walk_find_time. 0: never. */
    uint32_t time_interval_ms;
    uint32_t retry_ms; /* pause between attempts to leave the failed state; 0: the default */
    /* Called on the journal thread when `durable` grew, when the failed state began or ended, when
     * journal_backlogged went back to false, and, if asked for by journal_watch_written, when
     * `written` grew. Must be quick (uv_async_send). */
    void (*notify)(void *arg);
    void *notify_arg;
    log_fn *log; /* may be NULL */
    void *log_arg;
};

/* What journal_open found. */
struct journal_recovery {
    uint64_t first_offset;   /* oldest byte still held */
    uint64_t end_offset;     /* where the stream goes on */
    uint64_t tail_cut_bytes; /* bytes of a torn tail that were cut off the last file */
    bool fresh;              /* the directory held no segment */
    bool clean;              /* the last process closed the journal and nothing was cut off */
    bool loss_accepted;      /* accept_loss made the stream end before known later bytes */
};

/* Opens the journal of a directory, repairs its tail, and starts its threads.
 *
 * A block at the very end that is torn or was not synced when the machine stopped is cut off with
 * a log line. A bad block that blocks written after a later sync follow is ST_CORRUPT naming file
 * and offset, so is a missing segment, unless accept_loss. All that was found is durable when this
 * returns.
 *
 * Returns ST_OK; ST_CORRUPT; ST_UNSUPPORTED (a newer format); ST_IO, ST_NO_SPACE. Blocks. */
MUST_USE enum status journal_open(const struct journal_options *options, struct journal **out,
                                  struct err *err);
/* Submits, writes and syncs all that is staged, marks the journal clean and ends the threads. If it
 * is failed and one last attempt fails too, what could not be written is logged and dropped. NULL
 * is accepted. All readers must be closed. Main thread. Blocks. */
void journal_close(struct journal *journal);
void journal_read_recovery(const struct journal *journal, struct journal_recovery *out);

/* ---- Staging: main thread only ---- */

/* The part of struct journal that the inline functions below touch. Not for use elsewhere. */
struct journal_stage {
    uint8_t *cursor;     /* where the next byte goes */
    uint8_t *limit;      /* end of the room at `cursor`; equal to it while no block is open */
    uint64_t correction; /* stream offset of `cursor` minus its address */
    uint32_t db;         /* selected at `cursor`, or JOURNAL_DB_UNKNOWN */
};

/* The slow path of journal_reserve: new block, new chunk, SELECT. */
uint8_t *journal_reserve_slow(struct journal *journal, uint32_t db, size_t bytes_max);

static inline struct journal_stage *journal_stage(struct journal *journal)
{
    return (struct journal_stage *)(void *)journal; /* its first member; asserted in journal.c */
}

/* Stream offset after the last staged byte. */
static inline uint64_t journal_end(const struct journal *journal)
{
    const struct journal_stage *stage = (const struct journal_stage *)(const void *)journal;
    return stage->correction + (uint64_t)(uintptr_t)stage->cursor;
}

/* Returns room for `bytes_max` bytes of commands that work on database `db` (0..JOURNAL_DB_MAX),
 * after staging a SELECT if another database was selected. Cannot fail. The room is valid until
 * the next call of any staging function; end it with journal_commit. */
static inline uint8_t *journal_reserve(struct journal *journal, uint32_t db, size_t bytes_max)
{
    struct journal_stage *stage = journal_stage(journal);
    if (__builtin_expect(stage->db == db && (size_t)(stage->limit - stage->cursor) >= bytes_max, 1))
        return stage->cursor;
    return journal_reserve_slow(journal, db, bytes_max);
}

/* Stages the first `bytes` (0..bytes_max) bytes of the room. They must be whole commands. */
static inline void journal_commit(struct journal *journal, size_t bytes)
{
    struct journal_stage *stage = journal_stage(journal);
    DCHECK(bytes <= (size_t)(stage->limit - stage->cursor));
    stage->cursor += bytes;
}

/* Reserve, copy, commit. */
void journal_stage_bytes(struct journal *journal, uint32_t db, struct bytes bytes);
/* Stages bytes as they are, without a SELECT: the stream of a master, which brings its own (and
 * must begin with one while journal_db is unknown). The caller says by journal_set_db which
 * database is selected after them, before it submits. */
void journal_stage_raw(struct journal *journal, struct bytes bytes);
/* Says which database is selected at the end of what is staged. JOURNAL_DB_UNKNOWN makes the next
 * journal_reserve stage a SELECT (somebody reads from here who does not know). */
void journal_set_db(struct journal *journal, uint32_t db);
/* The database selected at the end of the stream; after journal_open what the last block says.
 * JOURNAL_DB_UNKNOWN when the stream is empty. */
static inline uint32_t journal_db(const struct journal *journal)
{
    return ((const struct journal_stage *)(const void *)journal)->db;
}

/* Bytes staged and not submitted. */
size_t journal_staged(const struct journal *journal);
/* Hands all that is staged to the journal thread, as one block. Nothing staged: does nothing.
 * About 20 ns; wakes the thread (a system call) only if that sleeps, which it does between any two
 * batches under `always` and only after some quiet milliseconds otherwise. */
void journal_submit(struct journal *journal);
/* Submits, and returns the end, which then is a block boundary. */
uint64_t journal_mark(struct journal *journal);

/* Under `always` the thread *gathers*: it puts a sync off for some time, for the writers that the
 * last one has let go mostly come back with their next writes at once. Then one sync serves all of
 * them; else two groups take turns, each waiting for the other's. This says that those who waited
 * for the stream to be durable up to `durable` have submitted what they want next. If nobody says
 * so in time, the next syncs are not put off. Cheap. Main thread. */
void journal_gathered(struct journal *journal, uint64_t durable);
/* Whether it gathers now: nothing becomes durable before journal_gathered, or its time is over. */
bool journal_is_gathering(const struct journal *journal);

/* ---- Progress: any thread ---- */

/* Makes everything up to `offset` (at most what was submitted) durable soon, whatever the policy.
 */
void journal_sync(struct journal *journal, uint64_t offset);
/* Offset after the last byte given to the system: what readers can see. */
uint64_t journal_written(const struct journal *journal);
/* Offset after the last byte that survives a power failure. Never goes back. */
uint64_t journal_durable(const struct journal *journal);
/* journal_sync, and waits for it. ST_OK; the failure's status while the journal is failed (try
 * again later). Blocks: for the flusher thread, never the main one. */
MUST_USE enum status journal_wait_durable(struct journal *journal, uint64_t offset,
                                          struct err *err);
/* More than JOURNAL_BACKLOG_BYTES_MAX bytes wait to be written; `notify` is called when that is
 * over. A few ns. Main thread. */
bool journal_backlogged(struct journal *journal);
/* Whether the journal is failed; then `err` (may be NULL) says why. A few ns when it is not. */
bool journal_failed(struct journal *journal, struct err *err);

void journal_set_fsync(struct journal *journal, enum journal_fsync fsync);
void journal_set_retain(struct journal *journal, uint64_t retain_bytes);
void journal_set_archiving(struct journal *journal, struct journal_archiving archiving);
/* Notify also when `written` grew (replicas are attached). */
void journal_watch_written(struct journal *journal, bool watch);
/* Segments wholly below `offset` may be archived and deleted, except for retain_bytes and what
 * readers need. Never goes back. Background threads do so, soon. */
void journal_release(struct journal *journal, uint64_t offset);

struct journal_stats {
    uint64_t first_offset; /* oldest byte still held in files */
    uint64_t end;          /* staged bytes included */
    uint64_t submitted;
    uint64_t written;
    uint64_t durable;
    uint64_t released;
    uint64_t segment_count;
    uint64_t disk_bytes;    /* of all segments, headers included */
    uint64_t memory_bytes;  /* chunks that hold staged and unsynced bytes, and spare ones */
    uint64_t written_bytes; /* given to the system since open, headers included */
    uint64_t write_count;
    uint64_t block_count;
    uint64_t sync_count;
    uint64_t sync_us_last;
    uint64_t sync_us_max;
    uint64_t sync_us_total;
    uint64_t wake_count;           /* how often a submit had to wake the thread */
    uint64_t gather_count;         /* syncs that were put off for more writers to come back */
    uint64_t gather_misses;        /* of them, those for which they did not come back in time */
    uint64_t failure_count;        /* how often the failed state began */
    uint64_t recovery_count;       /* and ended */
    uint64_t archive_count;        /* archived segments */
    uint64_t archive_bytes;        /* of their files */
    uint64_t archive_first_offset; /* 0: there are none */
    uint64_t archive_waiting;      /* segments that are to be archived */
    uint64_t archive_failures;     /* failed attempts to archive one, or to delete one */
    bool archive_failed;           /* the last attempt did */
    bool failed;
    struct err last_error; /* of the last failure, kept after recovery */
};
/* Main thread. About a microsecond. */
void journal_read_stats(struct journal *journal, struct journal_stats *out);

/* ---- Reading: a reader belongs to one thread, any ---- */

/* Opens a reader of the stream from `offset`, and keeps the segments it still needs from being
 * deleted. An offset inside a block is allowed (replicas stand anywhere): then the first block is
 * returned from there on, and journal_reader_aligned is false.
 *
 * Returns ST_OK; ST_NOT_FOUND (older than what is held); ST_INVALID (beyond `written`); ST_CORRUPT,
 * ST_IO. May read up to a segment. */
MUST_USE enum status journal_reader_open(struct journal *journal, uint64_t offset,
                                         struct journal_reader **out, struct err *err);
/* NULL is accepted. */
void journal_reader_close(struct journal_reader *reader);
/* Whether the offset given to journal_reader_open was a block boundary. Replay insists on it. */
bool journal_reader_aligned(const struct journal_reader *reader);
/* Reads the next block.
 *
 *   db_out       database selected at the start of the block
 *   offset_out   stream offset of the first byte of the payload
 *   payload_out  whole commands; borrowed until the next call or close
 *
 * Returns ST_OK; ST_END (all that is written was read; call again after a notification); ST_CORRUPT
 * naming file and offset; ST_LIMIT (no memory for the block); ST_IO. After a failure the reader
 * stands where it stood. */
MUST_USE enum status journal_reader_next(struct journal_reader *reader, uint32_t *db_out,
                                         uint64_t *offset_out, struct bytes *payload_out,
                                         struct err *err);
/* Offset of the next byte that journal_reader_next returns. */
uint64_t journal_reader_offset(const struct journal_reader *reader);

/* ---- Checking, without opening ---- */

struct journal_check {
    uint64_t first_offset;
    uint64_t end_offset;
    uint64_t segment_count;
    uint64_t block_count;
    uint64_t disk_bytes;
    uint64_t tail_bytes; /* torn bytes after the last good block; journal_open cuts them off */
    bool clean;
};
/* Reads and checks every block of a directory's journal and changes nothing. No process may have it
 * open. Returns ST_OK; ST_NOT_FOUND (no segment); ST_CORRUPT (the first damage); ST_UNSUPPORTED;
 * ST_IO. Blocks. */
MUST_USE enum status journal_check_dir(struct env *env, const char *dir, struct journal_check *out,
                                       struct err *err);

#endif
