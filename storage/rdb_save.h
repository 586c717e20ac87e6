/* Saving the dataset to an RDB file while it goes on being used: a cut, a snapshot of RocksDB at
 * it, and a thread that writes what the snapshot has. The file is that of one moment, whatever is
 * written meanwhile.
 *
 *     IDLE ─start─► CUTTING ─the cut was applied─► WRITING ─► IDLE, and `done` is called
 *
 * It is written under its name with ".tmp" behind it, synced, renamed, and the directory is synced:
 * whatever happens, the file is the old one or the new one, whole. After a failure the temporary
 * file is removed; what a killed process has left of it, rdb_save_remove_rest.
 *
 * One at a time. Main thread, but for the thread that writes. */
#ifndef BASALT_STORAGE_RDB_SAVE_H
#define BASALT_STORAGE_RDB_SAVE_H

#include "codec/status.h"

#include <stdbool.h>
#include <stdint.h>

struct cold;
struct cut;
struct env;
struct executor;
struct rdb_save;
struct reap;

struct rdb_save_parts {
    struct env *env;
    struct cold *cold;
    struct cut *cut;
    struct reap *reap;
    struct executor *executor; /* a thread for it alone */
    uint64_t hash_seed;
};

struct rdb_save *rdb_save_create(const struct rdb_save_parts *parts);
/* None may be running. NULL is allowed. */
void rdb_save_destroy(struct rdb_save *save);

struct rdb_save_result {
    enum status status;
    struct err err;   /* unless ST_OK */
    uint64_t keys;    /* in the file */
    uint64_t bytes;   /* of the file */
    uint64_t offset;  /* of the journal: the moment of which the file is */
    uint64_t undated; /* hashes whose fields have lost their deadlines: the version has none */
    int64_t took_ms;
};

typedef void rdb_save_done_fn(void *arg, const struct rdb_save_result *result);

struct rdb_save_options {
    const char *dir;  /* copied, as the next two */
    const char *name; /* of the file in it */
    const char *redis_version;
    int version;
    uint32_t leave_out; /* as in rdb_dataset.h */
    bool no_compression, no_checksum;
    uint64_t used_memory;
    rdb_save_done_fn *done; /* may be called before rdb_save_start returns, too */
    void *arg;
};

/* Removes what a process that was killed while it saved to `name` in `dir` has left behind: not the
 * file itself. */
void rdb_save_remove_rest(struct env *env, const char *dir, const char *name);
/* None may be running. */
void rdb_save_start(struct rdb_save *save, const struct rdb_save_options *options);
/* The same at once, by the calling thread, which waits for the disk: `done` has been called when it
 * returns. Not while cuts are held (store_hold_cuts). */
void rdb_save_now(struct rdb_save *save, const struct rdb_save_options *options);
/* Ends a running one early: `done` is called with ST_AGAIN, not at once. */
void rdb_save_stop(struct rdb_save *save);
/* How long to sleep after each key, in us; below 0: 1 us after one in so many keys. For tests that
 * want saves to last. Goes for a running one, too. */
void rdb_save_set_key_delay(struct rdb_save *save, int delay_us);
bool rdb_save_running(const struct rdb_save *save);
/* A thread is at it: rdb_save_running until it has been drained, without any cut. */
bool rdb_save_writing(const struct rdb_save *save);
/* Keys written so far, and in all (0: not known yet), of a running one. */
void rdb_save_read_progress(struct rdb_save *save, uint64_t *keys_out, uint64_t *total_out);

#endif
