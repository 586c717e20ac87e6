/* Everything below the server: opens and closes the parts in order, and gives them their share of
 * each loop tick. Main thread. */
#ifndef BASALT_STORAGE_STORE_H
#define BASALT_STORAGE_STORE_H

#include "codec/log_fn.h"
#include "storage/cut.h"
#include "storage/evict.h"
#include "storage/executor.h"
#include "storage/expire.h"
#include "storage/journal.h"
#include "storage/keyspace.h"
#include "storage/loader.h"
#include "storage/reap.h"
#include "storage/scan.h"

struct backup_stage;
struct cold;
struct env;
struct feeds;
struct key_survey;
struct rdb_save;
struct store;

struct store_options {
    struct env *env;
    const char *dir; /* the data directory: RocksDB in "rocksdb", the journal in "journal" */
    uint32_t db_count;
    size_t large_object_bytes;
    size_t large_collection_bytes;
    size_t hash_listpack_entries, hash_listpack_value;
    size_t set_intset_entries, set_listpack_entries, set_listpack_value;
    size_t zset_listpack_entries, zset_listpack_value;
    size_t whole_load_bytes;
    /* Journal */
    enum journal_fsync fsync;
    uint64_t segment_bytes;
    uint64_t retain_bytes;
    struct journal_archiving archiving;
    bool accept_loss;
    /* Cuts */
    int64_t flush_interval_ms;
    size_t dirty_bytes_max;
    uint64_t journal_bytes_max;
    /* RocksDB */
    uint64_t block_cache_bytes;
    uint64_t write_buffer_bytes;
    uint32_t compaction_threads;
    uint32_t loader_threads;
    /* Memory */
    size_t hot_bytes_max;
    enum evict_policy policy;
    bool volatile_first;
    uint32_t samples;
    uint8_t lfu_log_factor;
    uint16_t lfu_decay_minutes;
    bool always_cold;     /* debugging: every object is demoted after every command */
    int rdb_key_delay_us; /* debugging: rdb_save_set_key_delay */
    /* Calls up. All on the main thread but wakeup. */
    wakeup_fn *wakeup;                   /* any thread: store_tick should be called soon */
    void (*journal_progress)(void *arg); /* journal thread: durability or state changed */
    void (*expired)(void *arg, uint32_t number, struct keyref *ref); /* see expire.h */
    void *arg;
    log_fn *log;
    void *log_arg;
};

/* Opens or makes a data directory. ST_EXISTS: in use by another process; ST_CORRUPT,
 * ST_UNSUPPORTED, ST_IO, ST_NO_SPACE with the file. The journal behind the last cut is then to be
 * replayed before anything else: store_replay_next until ST_END. */
MUST_USE enum status store_open(const struct store_options *options, struct store **out,
                                struct err *err);
/* With `clean`, makes a last cut and flush, so that the next start has nothing to replay; ST_OK or
 * what kept it from that (nothing is lost: the journal has it). Else a running cut is given up. The
 * store is closed in any case. All load waits must be released and all scans destroyed before. */
enum status store_close(struct store *store, bool clean, struct err *err);
/* Applies changed settings (all but env, dir, db_count, threads, sizes of journal segments). */
void store_configure(struct store *store, const struct store_options *options);

/* The next block of the journal behind the cut: whole commands in RESP, beginning in database
 * number `*db_out`. ST_END: the dataset is complete. */
MUST_USE enum status store_replay_next(struct store *store, uint32_t *db_out, uint64_t *offset_out,
                                       struct bytes *payload_out, struct err *err);
/* Bytes of journal still to be replayed. */
uint64_t store_replay_left(const struct store *store);

/* Once per loop tick: completions, cuts, eviction, expiry. True when there is more to do at once.
 */
bool store_tick(struct store *store, int64_t now_ms, int64_t mono_ms);
/* How long the last tick was busy with what may hold clients up; zeros unless it is measured. */
struct store_tick_times {
    uint64_t expire_us, cut_us, evict_us;
};
void store_measure_ticks(struct store *store, bool measure);
const struct store_tick_times *store_tick_times(const struct store *store);
/* While it is held no cut begins (I4): a unit of several commands is running, and the journal does
 * not have its effects yet. No tick may come meanwhile; store_cut_now and store_evict_all are
 * ST_AGAIN. */
void store_hold_cuts(struct store *store, bool hold);
/* How hard writers must be slowed, for dirty data over their limit or a hot tier over its bound: 0
 * (not at all) to 1000. */
uint32_t store_pressure(const struct store *store);
/* Handles what background threads have completed (wakeups). */
void store_drain(struct store *store);

struct keyspace *store_keyspace(struct store *store);
struct journal *store_journal(struct store *store);
struct cold *store_cold(struct store *store);
struct loader *store_loader(struct store *store);
struct cut *store_cut(struct store *store);
struct evict *store_evict(struct store *store);
struct expire *store_expire(struct store *store);
struct scans *store_scans(struct store *store);
struct reap *store_reap(struct store *store);
struct key_survey *store_key_survey(struct store *store);
struct rdb_save *store_rdb_save(struct store *store);
struct backup_stage *store_backup(struct store *store);
/* The data directory, as a path from the root. */
const char *store_dir(const struct store *store);
struct env *store_env(const struct store *store);
struct feeds *store_feeds(struct store *store);
const char *store_replication_id(const struct store *store);
void store_set_replication_id(struct store *store, const char id[40]);

/* Makes a cut up to now and waits for it; with `flush` RocksDB's memtables are written out too
 * (DEBUG CUT, DEBUG RELOAD). ST_AGAIN while the journal is being replayed: the dataset is not that
 * of the journal's end yet. */
MUST_USE enum status store_cut_now(struct store *store, bool flush, struct err *err);
/* Waits until no blind overwrite is unresolved, so that db_size() is exact (inside scripts). */
MUST_USE enum status store_resolve_now(struct store *store, struct err *err);
/* DEBUG EVICT all, and after each command with always_cold: cuts, then demotes everything. */
MUST_USE enum status store_evict_all(struct store *store, struct err *err);
bool store_always_cold(const struct store *store);
/* Values, and keys of emptied databases, that the reclaim thread has to free, and has freed since
 * the last reset. */
void store_read_reclaimed(const struct store *store, uint64_t *pending_out, uint64_t *freed_out);
void store_reset_reclaimed(struct store *store);
/* Bytes of a large collection that may be brought into RAM for one command. */
size_t store_whole_bytes_max(const struct store *store);

#endif
