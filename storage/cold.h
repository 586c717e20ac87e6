/* The cold tier: all data on disk, in one column family per data type, over RocksDB.
 *
 * Every write goes through a batch that is applied whole or not at all, over all families, also
 * when the process is killed: RocksDB's write-ahead log is on. What an unsynced write put there
 * survives the end of the process; only cold_write(sync) and cold_sync make it survive the end of
 * the machine. After a crash the store stands at one batch boundary, the same in every family.
 *
 * Threads. Reads, iterators, snapshots and statistics: any thread, at once. Writes, flushes,
 * compactions of a range, checkpoints and ingestion: ONE thread, the flusher, never two at once.
 * A batch belongs to one thread at a time and may be handed over between filling and writing.
 *
 * Failure. A read that cannot be answered is ST_CORRUPT, ST_IO or ST_LIMIT (out of memory), never
 * ST_NOT_FOUND. After a disk error in a write, or in a background job, the store is failed
 * (cold_failed): reads go on, and every write is refused without being tried, until cold_reopen
 * succeeds. (RocksDB would take writes again by itself when a full disk has room again; but it then
 * goes on in a log file that it failed to write to, which Debian's build answers with an abort.) */
#ifndef BASALT_STORAGE_COLD_H
#define BASALT_STORAGE_COLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/bytes.h"
#include "codec/status.h"

struct buf;
struct cold;
struct cold_batch;
struct cold_iter;
struct cold_snapshot;
struct cold_sst_writer;

/* The order is part of no format; the names are (cold_family_name). */
enum family {
    FAMILY_META, /* RocksDB's "default": format version, seed, databases, cut, counters */
    FAMILY_STRING,
    FAMILY_LIST,
    FAMILY_HASH,
    FAMILY_SET,
    FAMILY_ZSET,
    FAMILY_STREAM,
    FAMILY_EXPIRES,
    FAMILY_COUNT,
};

enum cold_compression {
    COLD_COMPRESSION_LZ4,  /* the default: 2x on JSON, 0.6 us a record */
    COLD_COMPRESSION_ZSTD, /* the bottommost level with zstd: 3x, 2.6 us a record */
    COLD_COMPRESSION_NONE,
};

#define COLD_LEVELS_MAX             7
#define COLD_BLOCK_CACHE_BYTES_MIN  ((uint64_t)1 << 20)
#define COLD_WRITE_BUFFER_BYTES_MIN ((uint64_t)1 << 20)
#define COLD_BACKGROUND_JOBS_MAX    64
/* A larger batch is refused (RocksDB's own bound is 4 GiB). */
#define COLD_BATCH_BYTES_MAX ((uint64_t)2 << 30)

struct cold_options {
    const char *dir;             /* made if missing, one level; borrowed for the call */
    uint64_t block_cache_bytes;  /* 0: 64 MiB */
    uint64_t write_buffer_bytes; /* bound for the memtables of all families; 0: 128 MiB. A batch
                                  * is never split: see cold_memory_bound */
    uint32_t background_jobs;    /* compactions at once; 0: 2. A flush thread comes on top */
    enum cold_compression compression;
    bool read_only;        /* several processes may; writes are ST_INVALID */
    bool must_exist;       /* a missing store is ST_NOT_FOUND instead of being made */
    bool bounded_metadata; /* filters and indexes in the block cache instead of the heap: a bound
                            * for very large stores, at 1.0 us instead of 0.5 per absent key */
    bool direct_io; /* read past the page cache where the file system can (writes always do) */
};

/* Returns a static name such as "string". */
const char *cold_family_name(enum family family);

/* Opens the store, replaying RocksDB's log. ST_NOT_FOUND (must_exist, read_only); ST_EXISTS:
 * another process has it open; ST_CORRUPT names the file; ST_UNSUPPORTED: it holds families that
 * this version does not know; ST_IO (permissions, missing directory), ST_NO_SPACE; ST_INVALID
 * (options). */
MUST_USE enum status cold_open(const struct cold_options *options, struct cold **out,
                               struct err *err);
/* Waits for running background jobs. What the memtables hold stays in the log (cold_flush first for
 * a fast next start). Iterators, snapshots, results and SST writers must be gone. NULL is allowed.
 */
void cold_close(struct cold *cold);

/* Takes the lock of a store that is not open, as cold_open does, without looking at what is in it:
 * until cold_unlock no process can open it. The store may be moved meanwhile. ST_NOT_FOUND: there
 * is none; ST_EXISTS: a process has it open; ST_IO. Not for a store that this process has open. */
MUST_USE enum status cold_lock(const char *dir, int *lock_out, struct err *err);
void cold_unlock(int lock); /* -1 is allowed */

/* Copies a store that is not open and whose lock the caller holds: tables by hard links where the
 * file system can. The copy has another id: what is written to one is not in the other. `to` must
 * not exist; its parent must, and its name is not synced. Blocks. */
MUST_USE enum status cold_copy(const char *from, const char *to, struct err *err);

/* ---- Reads: any thread --------------------------------------------------------------------------
 */

enum cold_presence {
    COLD_ABSENT, /* certain */
    COLD_MAYBE,
};

/* Asks filters, memtables and cached blocks only: no I/O. About 0.5 us for an absent key. */
enum cold_presence cold_probe(struct cold *cold, enum family family, struct bytes key);

/* Reads a value into `value`, replacing its contents (left empty unless ST_OK). May block.
 * ST_OK; ST_NOT_FOUND; ST_CORRUPT, ST_IO, ST_LIMIT. */
MUST_USE enum status cold_get(struct cold *cold, enum family family, struct bytes key,
                              struct buf *value, struct err *err);
/* The same as the store was at `snapshot`. */
MUST_USE enum status cold_get_at(struct cold *cold, const struct cold_snapshot *snapshot,
                                 enum family family, struct bytes key, struct buf *value,
                                 struct err *err);
/* The same without any I/O: ST_AGAIN when memory alone cannot tell. An empty value is always
 * ST_AGAIN (this RocksDB's cache tier can answer "present, empty" without having looked). */
MUST_USE enum status cold_get_cached(struct cold *cold, enum family family, struct bytes key,
                                     struct buf *value, struct err *err);

struct cold_result {
    enum status status; /* ST_OK, ST_NOT_FOUND, or an error; never ST_NOT_FOUND for an error */
    struct bytes value; /* borrowed until cold_results_release; empty unless ST_OK */
    void *pin;          /* private */
    struct cold *cold;  /* private */
};

/* Reads `count` keys of one family. Each result has its own status and must be released, whatever
 * it is. No key may appear twice (this RocksDB can answer the second wrongly). Returns ST_OK when
 * every status is ST_OK or ST_NOT_FOUND, else the first error, which `err` then describes. May
 * block. */
enum status cold_get_batch(struct cold *cold, enum family family, size_t count,
                           const struct bytes *keys, struct cold_result *results, struct err *err);
/* Any thread. Released and zeroed results may be released again. */
void cold_results_release(struct cold_result *results, size_t count);
static inline void cold_result_release(struct cold_result *result)
{
    cold_results_release(result, 1);
}

/* A view of the whole store at one moment. Holds back the removal of what is overwritten later, and
 * cold_reopen. */
struct cold_snapshot *cold_snapshot_create(struct cold *cold);
void cold_snapshot_release(struct cold *cold, struct cold_snapshot *snapshot); /* NULL allowed */

struct cold_iter_options {
    struct bytes lower;                   /* inclusive; empty: none. Copied */
    struct bytes upper;                   /* exclusive; empty: none. Copied */
    const struct cold_snapshot *snapshot; /* NULL: the moment of creation */
    bool fill_cache;                      /* let blocks read enter the block cache */
    size_t readahead_bytes;               /* 0: grows by itself on sequential reads */
};

/* `options` may be NULL. One thread at a time; may block in every call but key and value. Starts
 * invalid: seek first. */
struct cold_iter *cold_iter_create(struct cold *cold, enum family family,
                                   const struct cold_iter_options *options);
void cold_iter_destroy(struct cold_iter *iter);                         /* NULL allowed */
void cold_iter_seek(struct cold_iter *iter, struct bytes key);          /* first >= key */
void cold_iter_seek_for_prev(struct cold_iter *iter, struct bytes key); /* last <= key */
void cold_iter_seek_first(struct cold_iter *iter);
void cold_iter_seek_last(struct cold_iter *iter);
/* Only while valid. */
void cold_iter_next(struct cold_iter *iter);
void cold_iter_prev(struct cold_iter *iter);
/* False at the end and after an error: cold_iter_status tells which. */
bool cold_iter_valid(const struct cold_iter *iter);
/* Borrowed until the next move. Only while valid. */
struct bytes cold_iter_key(const struct cold_iter *iter);
struct bytes cold_iter_value(const struct cold_iter *iter);
/* ST_OK also at the end. */
MUST_USE enum status cold_iter_status(const struct cold_iter *iter, struct err *err);

/* ---- Batches: one thread at a time --------------------------------------------------------------
 *
 * Filling is a copy into an arena (some 20 ns an entry): it may happen on the main thread, in any
 * key order. cold_write sorts. The effect is that of: all range deletions, then for each key the
 * put or delete that was added last. So a batch that drops a range may put new keys into it. */
struct cold_batch *cold_batch_create(void);
void cold_batch_destroy(struct cold_batch *batch); /* NULL allowed */
/* Empties the batch, also after a write, and gives its memory back but for a first small chunk. */
void cold_batch_clear(struct cold_batch *batch);
void cold_batch_put(struct cold_batch *batch, enum family family, struct bytes key,
                    struct bytes value);
/* The value is `head` followed by `body`. */
void cold_batch_put_parts(struct cold_batch *batch, enum family family, struct bytes key,
                          struct bytes head, struct bytes body);
/* Adds a put whose key and value the caller writes in place before any other call on the batch. */
struct cold_batch_space {
    uint8_t *key;
    uint8_t *value;
} cold_batch_put_space(struct cold_batch *batch, enum family family, size_t key_len,
                       size_t value_len);
void cold_batch_delete(struct cold_batch *batch, enum family family, struct bytes key);
/* Deletes lower <= key < upper. For big ranges only, and few: each costs every later read of the
 * family until the next flush of it (22 us at 100 of them, 1.7 ms at 10,000). */
void cold_batch_delete_range(struct cold_batch *batch, enum family family, struct bytes lower,
                             struct bytes upper);
/* Entries added, and the memory they take (a little more than the bytes that will be written). */
size_t cold_batch_count(const struct cold_batch *batch);
size_t cold_batch_bytes(const struct cold_batch *batch);

/* ---- Writes: the flusher thread only ------------------------------------------------------------
 */

/* Applies the batch, whole or not at all. With `sync` it is on stable storage when ST_OK returns,
 * and so is every write before it. Blocks while RocksDB stalls. The batch can be written again
 * after a failure, but not changed before cold_batch_clear. ST_OK; ST_IO, ST_NO_SPACE, ST_CORRUPT:
 * the store is failed; ST_LIMIT: over COLD_BATCH_BYTES_MAX, ST_INVALID: read-only or lower >=
 * upper, in both cases nothing happened. */
MUST_USE enum status cold_write(struct cold *cold, struct cold_batch *batch, bool sync,
                                struct err *err);
/* Makes all writes so far survive the end of the machine. */
MUST_USE enum status cold_sync(struct cold *cold, struct err *err);
/* Writes all memtables out and waits, so that the next open has nothing to replay. */
MUST_USE enum status cold_flush(struct cold *cold, struct err *err);
/* Compacts what lies in lower <= key < upper (empty: no bound) down to the last level and waits. */
MUST_USE enum status cold_compact_range(struct cold *cold, enum family family, struct bytes lower,
                                        struct bytes upper, struct err *err);
/* Writes the family's memtable out, and has the files above the last level that overlap lower <=
 * key < upper merged into it, in the background: what was deleted there gives its space back. */
MUST_USE enum status cold_settle_range(struct cold *cold, enum family family, struct bytes lower,
                                       struct bytes upper, struct err *err);
/* How much of the files is lower <= key < upper, about; 0 if that cannot be said. Reads indexes. */
uint64_t cold_file_bytes(struct cold *cold, enum family family, struct bytes lower,
                         struct bytes upper);
/* Drops the files that lie wholly in lower <= key < upper, at once and without reading them: for
 * ranges that a cold_batch_delete_range has deleted before. Files of level 0 stay. Snapshots that
 * are still to be read there would lose them. */
MUST_USE enum status cold_drop_files(struct cold *cold, enum family family, struct bytes lower,
                                     struct bytes upper, struct err *err);
/* A consistent copy by hard links where possible. `dir` must not exist; its parent must. */
MUST_USE enum status cold_checkpoint(struct cold *cold, const char *dir, struct err *err);

/* Closes RocksDB and opens it again: the way out of errors after which it takes no more writes.
 *
 * First makes sure that files can be written at all, so that RocksDB is not closed in vain; that
 * error is returned and nothing else happens. Then reads that come in wait (cold_probe answers
 * COLD_MAYBE, cold_get_cached ST_AGAIN), and those that are under way, iterators, snapshots and
 * unreleased results must end within a tenth of a second: else ST_AGAIN, and nothing happens. If
 * RocksDB cannot be opened again it is opened for reading only; if that fails too, reads fail with
 * the error. In both cases the store stays failed, cold_closed is true, and this function is to be
 * called again later.
 *
 * What unsynced writes had put there may be gone afterwards: compare before going on. */
MUST_USE enum status cold_reopen(struct cold *cold, struct err *err);
/* Whether RocksDB could not be opened again for writing: trying once more costs the readers a
 * pause. Flusher thread. */
bool cold_closed(const struct cold *cold);

/* To be called by the flusher about once a second, whether or not there is something to write, with
 * a monotonic clock. While little is written, new files are merged early, which makes every lookup
 * of an absent key cheaper (1.3 us with eight files, 0.8 with three); under load they are left to
 * pile up, which halves what compaction writes. Mostly nanoseconds, some milliseconds at a change.
 */
void cold_tend(struct cold *cold, int64_t now_ms);

/* True, and why, since a write failed and until it was reopened. Any thread. */
bool cold_failed(struct cold *cold, struct err *err);

/* ---- Import: sorted files, bypassing log, memtables and compaction ------------------------------
 */

/* Creates `path` (on the store's file system, so that it can be moved in). One thread per writer;
 * several writers at once are fine. */
MUST_USE enum status cold_sst_writer_create(struct cold *cold, enum family family, const char *path,
                                            struct cold_sst_writer **out, struct err *err);
/* Keys strictly ascending, else ST_INVALID. */
MUST_USE enum status cold_sst_writer_put(struct cold_sst_writer *writer, struct bytes key,
                                         struct bytes value, struct err *err);
/* Bytes in the file so far, to split at some size (64 MiB suits). */
uint64_t cold_sst_writer_bytes(const struct cold_sst_writer *writer);
/* Completes and syncs the file. ST_INVALID when nothing was put. */
MUST_USE enum status cold_sst_writer_finish(struct cold_sst_writer *writer, struct err *err);
/* Also removes the file unless finished. NULL allowed. */
void cold_sst_writer_destroy(struct cold_sst_writer *writer);
/* Moves finished files into the family: all or none, durable at return, newer than all before.
 * Flusher thread. Key ranges of the files must not overlap each other. */
MUST_USE enum status cold_ingest(struct cold *cold, enum family family, const char *const *paths,
                                 size_t count, struct err *err);

/* ---- Statistics: any thread ---------------------------------------------------------------------
 */

struct cold_level_stats {
    uint64_t files;
    uint64_t bytes;
};

struct cold_family_stats {
    uint64_t keys_estimate;
    uint64_t live_bytes_estimate; /* without what is overwritten or deleted */
    uint64_t sst_bytes;           /* files of the current version */
    uint64_t sst_files;
    uint64_t memtable_bytes;
    uint64_t immutable_memtables; /* waiting for their flush */
    uint64_t table_reader_bytes;  /* filters and indexes */
    uint64_t pending_compaction_bytes;
    struct cold_level_stats levels[COLD_LEVELS_MAX];
};

struct cold_stats {
    struct cold_family_stats families[FAMILY_COUNT];
    struct cold_family_stats total; /* sums */
    uint64_t block_cache_capacity;
    uint64_t block_cache_bytes;
    uint64_t block_cache_pinned_bytes;
    uint64_t background_errors; /* since open */
    uint64_t flushes_running;
    uint64_t compactions_running;
    uint64_t snapshots;
    uint64_t sequence;           /* RocksDB's; grows by one per entry written */
    uint64_t delayed_write_rate; /* bytes per second while writes are slowed down, else 0 */
    bool write_stopped;          /* writes wait for flushes or compactions */
    uint64_t writes;             /* batches written since open */
    uint64_t write_bytes;        /* their bytes */
};

/* Some 100 us: for INFO, not for a request. */
void cold_read_stats(struct cold *cold, struct cold_stats *out);
/* RocksDB's text for a property such as "rocksdb.stats", appended to `out`. ST_NOT_FOUND; ST_AGAIN
 * while it is being reopened. */
MUST_USE enum status cold_property(struct cold *cold, enum family family, const char *name,
                                   struct buf *out);
/* What RocksDB may take in all: block cache, memtables, filters and indexes as they are now, and an
 * allowance for running jobs. On top comes the batch being written: while it has B bytes, up to 4 B
 * (as filled, as sorted, and twice in memtables, which cannot split it). */
uint64_t cold_memory_bound(struct cold *cold);

#endif
