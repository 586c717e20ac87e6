/* Walks over a database in position order, over RAM and disk together, without keeping any state
 * between calls: the cursor is a position. What is in the database during the whole walk is
 * returned; a key comes once unless it is deleted and created again. Main thread. */
#ifndef BASALT_STORAGE_SCAN_H
#define BASALT_STORAGE_SCAN_H

#include "codec/buf.h"
#include "storage/keyspace.h"

struct cold;
struct executor;
struct scan;
struct scans;

#define SCAN_END UINT64_C(0) /* cursor behind the last key, as clients see it */

struct scan_key {
    uint64_t position;
    size_t off; /* in scan_result.keys */
    uint32_t len;
    uint8_t type; /* enum object_type */
    int64_t expire_at_ms;
};

/* The keys found so far, and where to go on. */
struct scan_result {
    struct scan_key *items; /* owned by the scan; in position order */
    size_t count;
    const uint8_t *keys;
    uint64_t next; /* SCAN_END when the walk is over */
};

struct scans_options {
    struct keyspace *ks;
    struct cold *cold;
    struct executor *executor;
};
struct scans *scans_create(const struct scans_options *options);
/* All scans must have ended. */
void scans_destroy(struct scans *scans);

typedef void scan_done_fn(void *arg, struct scan *scan);

/* Collects at least `count` keys from position `cursor` on (all of a position together), or all to
 * the end. `done` is called once, from the loop, unless the scan is complete at once: then
 * *complete_out is true and it is not called. The scan's owner destroys it in any case. */
struct scan *scan_start(struct scans *scans, struct db *db, uint64_t cursor, size_t count,
                        scan_done_fn *done, void *arg, bool *complete_out);
/* The same, waiting for the disk (inside scripts). */
struct scan *scan_run(struct scans *scans, struct db *db, uint64_t cursor, size_t count,
                      struct err *err);
/* After completion. Error: ST_IO or ST_CORRUPT, and the result is empty. */
MUST_USE enum status scan_read(const struct scan *scan, struct scan_result *out, struct err *err);
/* Also while it is under way: it then ends unseen. */
void scan_destroy(struct scan *scan);

#endif
