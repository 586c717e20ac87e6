/* A *stage*: a copy of RocksDB's files beside the data, by hard links, and a hold on the journal,
 * so that somebody (the tool `basalt backup`) can copy both at leisure while the server goes on.
 *
 *     NONE ──start──► STAGING ──done──► READY ──end──► ENDING ──► NONE
 *                        └───error───► FAILED ──end──► ENDING
 *
 * Together they make a dataset: RocksDB's copy is the dataset at its cut, and the journal is kept
 * from there on, up to and beyond the offset that start returned. The stage stands in "backup" in
 * the data directory; what a crash leaves of it is removed by the next start of the server.
 *
 * Main thread, but for its jobs: staging is the flusher's, as all that RocksDB is told. */
#ifndef BASALT_STORAGE_BACKUP_STAGE_H
#define BASALT_STORAGE_BACKUP_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/status.h"

struct backup_stage;
struct cold;
struct env;
struct executor;
struct journal;

#define BACKUP_STAGE_DIR "backup"

struct backup_stage_options {
    struct env *env;
    const char *dir; /* the data directory; copied */
    struct cold *cold;
    struct journal *journal;
    struct executor *flusher;
    struct executor *reclaimer; /* removes the stage */
};

enum backup_stage_state {
    BACKUP_STAGE_NONE,
    BACKUP_STAGE_STAGING,
    BACKUP_STAGE_READY,
    BACKUP_STAGE_FAILED,
    BACKUP_STAGE_ENDING,
};

struct backup_stage_info {
    enum backup_stage_state state;
    uint64_t number;     /* of the stage, counted since the server started */
    uint64_t cut_offset; /* of RocksDB's copy; while READY */
    uint64_t end_offset; /* the journal is durable up to here; while READY */
    int64_t since_ms;    /* wall clock */
    struct err err;      /* while FAILED */
};

/* Removes what an earlier process has left. */
struct backup_stage *backup_stage_create(const struct backup_stage_options *options);
/* No job may be under way; before the journal is closed. NULL is accepted. */
void backup_stage_destroy(struct backup_stage *stage);

/* Begins one that holds everything up to now. ST_EXISTS: there is one. */
MUST_USE enum status backup_stage_start(struct backup_stage *stage, int64_t now_ms,
                                        struct err *err);
/* Lets go of it. ST_NOT_FOUND: there is none; ST_AGAIN: it is being made. */
MUST_USE enum status backup_stage_end(struct backup_stage *stage, struct err *err);
void backup_stage_read(const struct backup_stage *stage, struct backup_stage_info *out);
/* "none", "staging", "ready", "failed", "ending" */
const char *backup_stage_state_name(enum backup_stage_state state);
bool backup_stage_busy(const struct backup_stage *stage);

#endif
