/* Import: makes a whole data directory out of an RDB file, at the speed of sorting.
 *
 * Nothing passes through memtables, compaction or the journal. The file is decoded into records;
 * whenever memory is full they are sorted and written out as a *run*; in the end all runs are
 * merged into sorted tables, which RocksDB takes in as they are. That happens in a store of its
 * own, in "import.tmp" in the data directory. Only when that is complete and durable does it
 * take the place of the dataset's store, by one rename: who looks at the directory, whenever the
 * process or the machine ends, finds the old dataset (or none) or the new one.
 *
 *     import_open ──► import_read ──► import_publish ──► import_close
 *                        └── failed or given up ───────────┘ (the directory is as it was)
 *
 * Keys can be added to a dataset that is there: then the store of its own begins as a copy of the
 * old one, by hard links (import_existing.c).
 *
 * The new dataset has an identity of its own. Its cut is where the journal of the old one ended, so
 * that neither is taken for the other's: see journal_discard.h.
 *
 * Memory: `memory_bytes`, and on top the largest string or sorted set of the file, and what RocksDB
 * takes to open the finished store, filters and indexes of some 3 bytes a key, as a server does
 * too.
 *
 * One thread calls, and others help it: all of them decode, sort and write runs; two families at a
 * time are merged into tables. Blocks. */
#ifndef BASALT_STORAGE_IMPORT_H
#define BASALT_STORAGE_IMPORT_H

#include "codec/log_fn.h"
#include "codec/rdb_read.h"
#include "codec/status.h"
#include "storage/object.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct env;
struct import;

#define IMPORT_MEMORY_BYTES_DEFAULT ((size_t)256 << 20)
#define IMPORT_MEMORY_BYTES_MIN     ((size_t)256 << 10)
#define IMPORT_DB_COUNT_DEFAULT     16
#define IMPORT_DB_COUNT_MAX         65535
#define IMPORT_STRING_BYTES_MAX     ((uint64_t)512 << 20) /* of a key or value, as in Redis */

/* What becomes of a dataset that is there, unless it is replaced as a whole. */
enum import_existing {
    IMPORT_EXISTING_REFUSED,  /* ST_EXISTS */
    IMPORT_EXISTING_KEPT,     /* keys are added; of those that it has, its own stay */
    IMPORT_EXISTING_REPLACED, /* the same, but the file's replace its own */
};

enum import_phase {
    IMPORT_READING,   /* done and total are bytes of the input */
    IMPORT_MERGING,   /* records */
    IMPORT_FINISHING, /* tables */
};

struct import_progress {
    enum import_phase phase;
    uint64_t done;
    uint64_t total; /* 0: not known */
    uint64_t keys;  /* read so far */
};

/* Called some thousand times a second at most, on the caller's thread. False: give up. */
typedef bool import_progress_fn(void *arg, const struct import_progress *progress);

struct import_options {
    struct env *env;
    const char *dir;               /* the data directory; made if missing, one level */
    bool replace;                  /* take the place of a dataset that is there */
    enum import_existing existing; /* not with `replace` */
    bool more_follows;             /* see import_aof.h: the new dataset is marked as not complete */
    bool keep_expired;             /* keep keys that are due: their master will delete them */
    size_t memory_bytes;           /* 0: the default */
    uint32_t db_count;             /* the dataset has at least so many databases; 0: the default */
    uint32_t db_count_max;     /* a higher number in the file is ST_LIMIT; 0: IMPORT_DB_COUNT_MAX */
    size_t large_object_bytes; /* longer strings become chunks; 0: 64 KiB, as the server has it */
    size_t large_collection_bytes; /* larger collections are stored in pieces; 0: 8 KiB, likewise */
    /* These two are called on the import's threads, one at a time. */
    bool (*wanted)(void *arg, const struct rdb_key *key); /* which keys to take; NULL: all */
    void *wanted_arg;
    rdb_read_fn *read;
    void *read_arg;
    uint64_t input_bytes;         /* for the progress; 0: not known */
    import_progress_fn *progress; /* may be NULL */
    void *progress_arg;
};

#define IMPORT_VERSION_CHARS_MAX 32

struct import_report {
    int rdb_version;
    bool has_checksum;
    char redis_version[IMPORT_VERSION_CHARS_MAX]; /* as the file says; empty if it does not */
    uint64_t input_bytes;
    uint64_t keys;              /* imported */
    uint64_t expires;           /* of these, with an expiry */
    uint64_t large_strings;     /* of these, in chunks */
    uint64_t large_collections; /* of these, in pieces */
    uint64_t functions;         /* libraries */
    uint64_t expired;           /* left out: due */
    uint64_t unwanted;          /* left out: as import_options.wanted said */
    uint64_t empty;             /* left out: collections without elements, as in Redis */
    uint64_t existing;          /* left out: keys that the dataset has (IMPORT_EXISTING_KEPT) */
    uint64_t replaced;          /* of `keys`, those that the dataset had */
    /* Left out: libraries, where the dataset has its own, as their functions may have equal names.
     */
    uint64_t functions_left_out;
    /* Left out: what belongs to modules. */
    uint64_t skipped[RDB_TYPE_COUNT]; /* keys by type */
    uint64_t module_data;             /* beside keys */
    /* How it went. */
    uint64_t runs;
    uint64_t run_bytes;
    uint64_t tables;
    uint64_t table_bytes;
    int64_t read_us;
    int64_t merge_us;
    int64_t finish_us;
};

struct import_db {
    uint64_t keys;
    uint64_t expires;
    uint64_t keys_of_type[OBJECT_TYPE_COUNT];
};

/* Locks the directory and looks at what is in it. Leftovers of an import that was killed are
 * removed.
 *
 * Returns ST_OK; ST_EXISTS: there is a dataset and nothing says what becomes of it, or a process
 * has it open; ST_INVALID: keys are to be added, and its journal has changes that the store lacks;
 * ST_AGAIN: another import is under way; ST_INVALID (options); ST_LIMIT (out of memory); ST_IO,
 * ST_NO_SPACE and others of the system and of RocksDB. The directory is as it was. */
MUST_USE enum status import_open(const struct import_options *options, struct import **out,
                                 struct err *err);
/* Reads the RDB to its end and completes the store beside the dataset. ST_OK; the reader's errors,
 * which name the offset; ST_LIMIT: too many databases; ST_AGAIN: the progress function gave up;
 * ST_NO_SPACE, ST_IO, ST_CORRUPT (a run did not read back as written). Then only import_close. */
MUST_USE enum status import_read(struct import *import, struct err *err);
/* Puts the new store in the old one's place and removes the old one and its journal. ST_OK; ST_IO
 * and others. `*placed_out` says which dataset the directory holds after a failure: false the old
 * one, true the new one, with remains of the old journal, for which a server may refuse to start;
 * import again then. */
MUST_USE enum status import_publish(struct import *import, bool *placed_out, struct err *err);
/* Also removes what is not published. NULL is allowed. */
void import_close(struct import *import);

/* Where the new dataset's journal begins. */
uint64_t import_cut_offset(const struct import *import);

/* A file in the data directory: its dataset waits for more_follows. */
#define IMPORT_PENDING_NAME "import.pending"
bool import_is_pending(struct env *env, const char *dir);
/* Takes the mark away. */
MUST_USE enum status import_complete_pending(struct env *env, const char *dir, struct err *err);

const struct import_report *import_report(const struct import *import);
/* The databases of the new dataset, by number. */
const struct import_db *import_dbs(const struct import *import, uint32_t *count_out);

#endif
