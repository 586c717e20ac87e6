/* Reading the journal of a directory that no process has open, block by block, changing nothing. */
#ifndef BASALT_STORAGE_JOURNAL_WALK_H
#define BASALT_STORAGE_JOURNAL_WALK_H

#include "storage/journal.h"

struct env;

struct journal_walk_block {
    uint64_t offset;      /* stream offset of the payload's first byte */
    uint32_t db;          /* selected there */
    struct bytes payload; /* whole commands; borrowed for the call */
};

/* False: that was enough. */
typedef bool journal_walk_fn(void *arg, const struct journal_walk_block *block);

/* Checks what journal_open would check that is needed from `from` on (as
 * journal_options.needed_from), and calls `fn` for each block that ends behind `from`. What a torn
 * tail holds is left out. `out` tells what was found, as journal_check_dir does.
 *
 * Returns ST_OK; ST_NOT_FOUND (no segment); ST_CORRUPT; ST_UNSUPPORTED; ST_IO, ST_LIMIT. Blocks. */
MUST_USE enum status journal_walk(struct env *env, const char *dir, uint64_t from,
                                  journal_walk_fn *fn, void *arg, struct journal_check *out,
                                  struct err *err);

/* A segment as far as it belongs to a stretch of the stream. */
struct journal_walk_segment {
    uint64_t start, end; /* stream offsets */
    uint64_t bytes;      /* of the file, header included, up to `end` */
};
typedef enum status journal_walk_segment_fn(void *arg, const struct journal_walk_segment *segment,
                                            struct err *err);

/* Calls `fn` for each segment that holds something of from..to, after checking its blocks; a status
 * of its own ends that. `to` must be a block boundary. The journal may be open elsewhere if it is
 * kept from `from` on (journal_reader_open) and durable up to `to`.
 *
 * Returns ST_OK; ST_NOT_FOUND: not all of it is there; ST_CORRUPT; ST_IO, ST_LIMIT. */
MUST_USE enum status journal_walk_segments(struct env *env, const char *dir, uint64_t from,
                                           uint64_t to, journal_walk_segment_fn *fn, void *arg,
                                           struct err *err);

/* Where the oldest segment starts. ST_NOT_FOUND: there is none; ST_IO. */
MUST_USE enum status journal_walk_first(struct env *env, const char *dir, uint64_t *start_out,
                                        struct err *err);
/* Calls `fn` for each segment, oldest first: its whole file, but of the last one what is good. What
 * is in the others is not looked at. The journal may be open elsewhere. ST_CORRUPT: the last one
 * has no good header; ST_IO; what `fn` returns. */
MUST_USE enum status journal_walk_files(struct env *env, const char *dir,
                                        journal_walk_segment_fn *fn, void *arg, struct err *err);

/* Where the first block stands that was written behind a moment, as the files tell
 * (journal_options.time_interval_ms); UINT64_MAX: none was. `*first_ms_out` is the last time
 * that is told before `from` in its segment, else the first one behind; INT64_MAX: none is. A torn
 * tail is no error. */
MUST_USE enum status journal_walk_find_time(struct env *env, const char *dir, uint64_t from,
                                            int64_t time_ms, uint64_t *offset_out,
                                            int64_t *first_ms_out, struct err *err);

/* Cuts the journal of a directory that no process has open at the last block boundary that is not
 * behind `upto`; what follows goes. Durable at return. `*end_out` is where it ends now. */
MUST_USE enum status journal_walk_cut(struct env *env, const char *dir, uint64_t upto,
                                      uint64_t *end_out, struct err *err);

#endif
