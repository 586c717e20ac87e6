/* What the parts of the journal share: journal.c (open, close, staging, progress), journal_write.c
 * (the thread), journal_blocks.c (from memory to a file), journal_syncer.c (syncs),
 * journal_segment.c (files), journal_scan.c (what is found at open), journal_reader.c.
 *
 * Hand-over. Bytes are staged in a singly linked list of *chunks* that the main thread fills and
 * the journal thread empties. A block is a header room and a payload; it may go on in the next
 * chunks. Submitting a block fills in its header, except for checksums, and stores the stream
 * offset of its end in `submitted`; that store is the only hand-over (release, acquire): what lies
 * before that offset is the thread's, what lies after it is the main thread's. The thread gives
 * chunks back through `recycled` once everything in them is durable.
 *
 * The thread sleeps in one of two ways. *Naps* are short sleeps of fixed length after which it
 * looks again; nobody wakes it. When there was nothing to do for a while (at once under `always`),
 * it goes *idle*: it waits on a condition, and whoever brings work wakes it. `idle` and the words
 * that bring work are sequentially consistent: either the bringer sees `idle`, or the thread,
 * which looks again after setting it, sees the work. While it *gathers* (see journal_gathered) it
 * is idle, too, but blocks are not work, and it waits no longer than a sync takes.
 *
 *     RUNNING --write or sync failed: fail()--> FAILED
 *     FAILED --all that is not durable is in a new segment: recover_from_failure()--> RUNNING
 *
 * While RUNNING, a sync job may be under way (journal_syncer.c); its end makes more of what is
 * written durable, or ends in FAILED, or brings the file of the next segment. In FAILED there is
 * none, and nothing is written to the old file; `written` and `durable` stand still. */
#ifndef BASALT_STORAGE_JOURNAL_INTERNAL_H
#define BASALT_STORAGE_JOURNAL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "codec/journal_block.h"
#include "storage/env.h"
#include "storage/journal.h"

/* A chunk with its header fills one size class of the allocator. */
#define JOURNAL_CHUNK_BYTES      ((size_t)256 << 10)
#define JOURNAL_SPARE_CHUNKS_MAX 128
#define JOURNAL_IDLE_CHUNKS_MAX  4
#define JOURNAL_DIR_BYTES_MAX    (ENV_PATH_BYTES_MAX - 64)
#define JOURNAL_CACHE_LINE_BYTES 64
#define JOURNAL_SINK_PARTS_MAX   64
#define JOURNAL_FILE_SUFFIX      ".journal"
#define JOURNAL_LOST_SUFFIX      ".lost"
#define JOURNAL_TMP_SUFFIX       ".tmp"

/* ---- Files (journal_segment.c) ---- */

/* One segment file. Blocks with an offset of `end` and more may stand in the file too: they are
 * superseded by the next segment, which a failure made begin there. */
struct segment {
    uint64_t id;         /* tells a segment from one that replaced it at the same offset */
    uint64_t start;      /* stream offset of its first byte; also its name */
    uint64_t end;        /* UINT64_MAX: the last one, still growing */
    uint64_t file_bytes; /* 0 while it grows */
};

struct segment_list {
    struct segment *items; /* owned; by start, each begins where the one before ends */
    size_t count;
    size_t capacity;
    uint64_t next_id;
};

void segment_list_deinit(struct segment_list *list);
struct segment *segment_list_append(struct segment_list *list, uint64_t start, uint64_t end);
/* The segment that holds `offset`, or NULL. */
struct segment *segment_list_find(const struct segment_list *list, uint64_t offset);

void segment_path(const char *dir, uint64_t start, const char *suffix,
                  char out[ENV_PATH_BYTES_MAX]);
/* Whether `name` is that of a segment; `*start_out` is its start. */
bool segment_parse_name(const char *name, uint64_t *start_out);
/* Makes a segment file under a temporary name, open for writing behind its header. It gets its
 * name by segment_publish. */
enum status segment_create(struct env *env, const char *dir, uint64_t start, int *fd_out,
                           struct err *err);
/* Gives the file its name, replacing a file of that name. */
enum status segment_name(struct env *env, const char *dir, uint64_t start, struct err *err);
/* Syncs the file, gives it its name and syncs the directory. */
enum status segment_publish(struct env *env, const char *dir, uint64_t start, int fd,
                            struct err *err);
/* Closes and deletes what segment_create made, after a failure. */
void segment_discard(struct env *env, const char *dir, uint64_t start, int fd);

/* Buffered reading of one segment file from front to back. */
struct segment_file {
    struct env *env;
    int fd;
    uint64_t size; /* as far as is known; grows while the segment is written */
    uint64_t pos;  /* of the next block's header */
    uint8_t *buf;  /* owned; file bytes from buf_off on */
    size_t buf_capacity;
    size_t buf_len;
    uint64_t buf_off;
    char path[ENV_PATH_BYTES_MAX];
};

/* Opens the file and checks its header; `pos` is at the first block. Flags: ENV_READ and more.
 * ST_CORRUPT; ST_UNSUPPORTED; ST_NOT_FOUND; ST_IO. */
enum status segment_file_open(struct segment_file *file, struct env *env, const char *dir,
                              uint64_t start, unsigned flags, struct err *err);
/* A zeroed struct is accepted. */
void segment_file_close(struct segment_file *file);
/* Forgets what is buffered and asks for the size again. */
enum status segment_file_refresh(struct segment_file *file, struct err *err);
/* Makes the bytes at off..off+len available, fewer only at the end of the file; borrowed until the
 * next call. ST_LIMIT: no memory. */
enum status segment_file_peek(struct segment_file *file, uint64_t off, size_t len,
                              struct bytes *out, struct err *err);
/* Decodes the header of the block at `pos`, which must have the stream offset `offset`.
 * ST_END: the file ends here. ST_CORRUPT: bad or cut header, or it does not go on from `offset`. */
enum status segment_file_header(struct segment_file *file, uint64_t offset,
                                struct journal_block *out, struct err *err);
/* The payload of that block, verified. ST_CORRUPT if bad or cut. Does not move `pos`. */
enum status segment_file_payload(struct segment_file *file, const struct journal_block *block,
                                 struct bytes *out, struct err *err);
/* Puts file and position in front of a message made by the above. */
enum status segment_file_blame(const struct segment_file *file, uint64_t pos, enum status code,
                               struct err *err);

/* ---- What is found at open (journal_scan.c) ---- */

struct journal_scan_options {
    struct env *env;
    const char *dir;
    uint64_t needed_from;
    bool repair; /* else read only: nothing is cut off, renamed or deleted */
    bool accept_loss;
    log_fn *log;
    void *log_arg;
};

struct journal_scan {
    struct segment_list list;
    uint64_t end_offset;
    uint64_t tail_file_bytes; /* size of the last segment up to its last good block */
    uint64_t tail_cut_bytes;
    uint64_t block_count; /* that were checked */
    uint64_t disk_bytes;
    uint32_t db; /* selected at the end */
    bool clean;
    bool loss_accepted;
};

/* Finds, checks and (if told) repairs the segments of a directory. An empty list: there are none,
 * or none that can be used (loss accepted; `end_offset` then is needed_from). With `repair`, all
 * that was found is durable on ST_OK. */
enum status journal_scan(const struct journal_scan_options *options, struct journal_scan *out,
                         struct err *err);
/* The segments of a directory by their names alone, none of them read or changed. */
enum status journal_scan_list(struct env *env, const char *dir, struct segment_list *out,
                              struct err *err);
/* What a scan with at least one segment found. */
void journal_scan_describe(const struct journal_scan *scan, struct journal_check *out);
void journal_scan_deinit(struct journal_scan *scan);
/* The database selected after `payload` (whole commands) if `db` was before it. */
uint32_t journal_scan_selects(struct bytes payload, uint32_t db);

/* ---- The journal ---- */

struct chunk {
    struct chunk *_Atomic next; /* set once, by the main thread when it goes on there */
    size_t capacity;
    size_t used;   /* final and valid once `next` is set */
    uint8_t *data; /* behind this header */
};

/* A place in the chunks, at a block's header or at the end of all blocks. */
struct block_cursor {
    struct chunk *chunk;
    size_t pos;
    uint64_t offset; /* stream offset there */
};

/* Where blocks are written to. */
struct journal_sink {
    struct env *env;
    int fd;
    const char *path;
    uint64_t bytes;   /* put in so far */
    uint64_t claimed; /* the file says that the stream was durable up to here */
    uint8_t mark[JOURNAL_BLOCK_HEADER_BYTES];
    int64_t timed_ms; /* the last time that the file says; 0: none yet */
    uint8_t time[JOURNAL_BLOCK_HEADER_BYTES];
    int count;
    struct iovec parts[JOURNAL_SINK_PARTS_MAX]; /* not yet written */
};

enum sync_state {
    SYNC_IDLE,
    SYNC_RUNNING,
    SYNC_DONE, /* the result is there and was not looked at */
};

/* A sync, and what goes with it: everything that waits for the disk while blocks are written. The
 * fields belong to the journal thread, except while the state is SYNC_RUNNING: then to whichever
 * thread does it, the sync thread mostly. */
struct sync_job {
    _Atomic int state; /* enum sync_state; changed with `syncer_lock` held */
    /* What is to be done, in this order, until something fails. */
    bool sync_dir;
    bool sync_file;
    bool make_next;           /* make the file of a segment that starts at `upto` */
    struct block_cursor upto; /* then this is durable, */
    uint64_t file_pos;        /* which is here in the file */
    /* What came of it. */
    enum status status;
    struct err err;
    bool synced; /* all of what was to be synced */
    int64_t us;  /* that `sync_file` took */
    int next_fd; /* a temporary file with a durable header; -1: none */
};

struct journal {
    /* Main thread. */
    struct journal_stage stage; /* first: see journal_stage() */
    struct chunk *tail;         /* the one being filled */
    uint8_t *block_header;      /* header room of the open block; NULL: none open */
    uint64_t block_offset;      /* where the open block starts; else the end */
    uint32_t block_db;
    struct chunk *spare;     /* empty chunks */
    uint64_t submitted_main; /* the same as `submitted` */
    uint64_t wake_count;
    struct journal_recovery recovery; /* constant after open */

    /* Constant after open. */
    struct env *env;
    char *dir;
    uint64_t segment_bytes;
    uint32_t retry_ms;
    uint32_t time_interval_ms;
    void (*notify)(void *arg);
    void *notify_arg;
    log_fn *log;
    void *log_arg;
    pthread_t thread;

    uint8_t pad_submit[JOURNAL_CACHE_LINE_BYTES];
    /* Written by the main thread, read by the journal thread. */
    _Atomic uint64_t submitted;
    _Atomic uint64_t gathered; /* see journal_gathered */

    uint8_t pad_thread[JOURNAL_CACHE_LINE_BYTES];
    /* Written by the journal thread, read by all. */
    _Atomic uint64_t written;
    _Atomic uint64_t durable;
    atomic_bool failed;
    atomic_bool idle;      /* cleared by whoever wakes the thread */
    atomic_bool gathering; /* while idle: more submitted blocks are no reason to wake it */

    uint8_t pad_shared[JOURNAL_CACHE_LINE_BYTES];
    /* Written by any thread. */
    _Atomic uint64_t sync_target; /* make durable up to here */
    _Atomic uint64_t released;
    _Atomic uint64_t retain_bytes;
    _Atomic int fsync; /* enum journal_fsync */
    atomic_bool watch_written;
    atomic_bool poked; /* something was set: look at everything again */
    atomic_bool stopping;
    atomic_bool backlog_seen; /* the main thread slows its writers and waits for a notification */
    struct chunk *_Atomic recycled; /* stack of empty chunks: pushed by the thread, taken whole */
    _Atomic uint64_t spare_count;   /* in `recycled` and `spare` */
    _Atomic uint64_t memory_bytes;

    /* Counters: written by the journal thread, relaxed. */
    _Atomic uint64_t written_bytes;
    _Atomic uint64_t write_count;
    _Atomic uint64_t block_count;
    _Atomic uint64_t sync_count;
    _Atomic uint64_t sync_us_last;
    _Atomic uint64_t sync_us_max;
    _Atomic uint64_t sync_us_total;
    _Atomic uint64_t gather_count;
    _Atomic uint64_t gather_misses;
    _Atomic uint64_t failure_count;
    _Atomic uint64_t recovery_count;
    _Atomic uint64_t file_bytes; /* of the last segment */

    /* Journal thread. */
    int fd; /* the last segment; -1 after a failure to make one */
    char path[ENV_PATH_BYTES_MAX];
    uint64_t segment_start;
    uint64_t file_pos;         /* size of its good part */
    uint64_t file_bytes_all;   /* and of the zeros behind it, see zero_ahead() */
    uint64_t file_pos_durable; /* the same up to `durable` */
    struct block_cursor write_at;
    struct block_cursor durable_at;
    int64_t unsynced_since_us; /* when the oldest byte that no sync covers was written; 0: none */
    int64_t retry_at_us;       /* next attempt to leave the failed state */
    int64_t complain_at_us;    /* no log line about a failed attempt before */
    uint64_t claimed;          /* the file says that the stream was durable up to here */
    int64_t timed_ms;          /* the last time that the file says; 0: none yet */
    unsigned quiet_rounds;
    int64_t sync_us_usual;  /* a moving average */
    int64_t synced_at_us;   /* when the last sync ended */
    unsigned gather_pause;  /* so many syncs are not to be put off */
    unsigned gather_pauses; /* how many that will be after the next miss */
    bool sync_failed;       /* the file must not be synced again */
    bool sync_dir_due;      /* the file's name is not durable */
    bool closed_mark;       /* the last block in the file has JOURNAL_BLOCK_CLOSED */
    bool trim_due;          /* segments may have become deletable */

    pthread_t syncer;
    pthread_mutex_t syncer_lock;
    pthread_cond_t syncer_changed;
    bool syncer_ends; /* guarded by syncer_lock */
    struct sync_job sync;

    pthread_mutex_t wake_lock;
    pthread_cond_t wake; /* monotonic clock */

    pthread_mutex_t lock;    /* guards what follows; held only for some instructions */
    pthread_cond_t progress; /* `durable` grew, or failed changed */
    struct segment_list segments;
    struct journal_archiver *archiver; /* constant after open */
    struct journal_reader *readers;    /* list of those open */
    struct err failure;
    _Atomic uint64_t segments_version; /* raised by each change of `segments`; read without lock */
};

/* Wakes the journal thread if it is idle; returns whether it was. */
bool journal_wake(struct journal *journal);
/* Tells the thread to look at everything again. */
void journal_poke(struct journal *journal);
void journal_log(struct journal *journal, int level, const char *format, ...) PRINTF_LIKE(3, 4);
/* The journal thread's function; `arg` is the journal. */
void *journal_thread(void *arg);
/* Adds to a counter that only the caller's thread writes. */
static inline void journal_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* Writes whole blocks from `at` on, up to stream offset `target` or until the sink has had
 * `bytes_max` bytes, and moves `at` behind them. On failure `at` means nothing. Journal thread. */
enum status journal_put_blocks(struct journal *journal, struct block_cursor *at, uint64_t target,
                               uint64_t bytes_max, struct journal_sink *sink, struct err *err);

/* ---- Syncs (journal_syncer.c); journal thread ---- */

/* Begins the job that journal->sync describes, on the sync thread; `wait`: does it here and now. */
void journal_syncer_begin(struct journal *journal, bool wait);
/* Whether a job can be begun: none runs, and no result waits to be taken. */
bool journal_syncer_is_idle(const struct journal *journal);
/* Whether a result is there to be taken. */
bool journal_syncer_has_result(const struct journal *journal);
/* Until no job is running. */
void journal_syncer_wait(struct journal *journal);
/* Takes the result: now there is no job. */
void journal_syncer_reset(struct journal *journal);
/* The sync thread's function; `arg` is the journal. Ends by journal_syncer_end. */
void *journal_syncer_thread(void *arg);
void journal_syncer_end(struct journal *journal);
/* The lowest offset that an open reader needs, UINT64_MAX for none. Needs journal->lock. */
uint64_t journal_readers_pin(const struct journal *journal);
/* The oldest offset that recovery, the backlog or a reader asks for. Needs journal->lock. */
uint64_t journal_kept_offset(const struct journal *journal);

/* ---- The archive (journal_archiver.c) ---- */

/* Starts its thread; returns 0 or an errno value. `history` is borrowed for the call. */
int journal_archiver_start(struct journal *journal, const char *history,
                           struct journal_archiving limits);
/* Both limits at once. Any thread. */
void journal_archiver_set_limits(struct journal_archiver *archiver,
                                 struct journal_archiving limits);
/* Ends it; what is not archived yet waits for the next start. */
void journal_archiver_end(struct journal_archiver *archiver);
/* Something has changed that it should look at. Any thread. */
void journal_archiver_poke(struct journal_archiver *archiver);
/* Segments that end here or before need not be kept for it: they are archived, or too old for that.
 * UINT64_MAX while nothing is to be archived. Any thread. */
uint64_t journal_archiver_done(struct journal_archiver *archiver);
void journal_archiver_read_stats(const struct journal_archiver *archiver,
                                 struct journal_stats *out);
struct chunk *journal_chunk_create(struct journal *journal, size_t capacity);
void journal_chunk_destroy(struct journal *journal, struct chunk *chunk);

#endif
