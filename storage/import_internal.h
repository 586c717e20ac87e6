/* What the parts of import share.
 *
 *   import.c           order of events        import_batch.c   records in memory, sorting
 *   import_work.c      threads that decode    import_run.c     sorted files
 *   import_read.c      RDB to records         import_merge.c   many sorted sources into one
 *   import_run_list.c  full batches to runs   import_tables.c  RocksDB's tables
 *   import_merge_all.c runs to tables         import_pipe.c    a thread that writes tables
 *   import_finish.c    tables to a store      import_place.c   directories
 *   import_value.c     collections, function libraries   import_existing.c  a dataset that is there
 *
 * A record is everywhere in the same form: key length and value length as varints, key, value. Its
 * *rank* is a number that orders as the key does, as far as it goes: most comparisons need no more.
 */
#ifndef BASALT_STORAGE_IMPORT_INTERNAL_H
#define BASALT_STORAGE_IMPORT_INTERNAL_H

#include "codec/buf.h"
#include "codec/bytes.h"
#include "codec/check.h"
#include "codec/endian.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/env.h"
#include "storage/import.h"
#include "storage/loader.h"
#include "storage/meta.h"
#include "storage/types/string.h"
#include "storage/value_type.h"

#include <pthread.h>
#include <stdatomic.h>

struct import_record {
    struct bytes encoded; /* the whole record */
    struct bytes key;
    struct bytes value;
    uint64_t rank;
};

#define IMPORT_RECORD_HEAD_BYTES_MAX (2 * VARINT_BYTES_MAX)

static inline bool import_is_element(struct bytes key)
{
    return key.len >= RECORD_ELEMENT_PREFIX_BYTES && load_be32(key.data) == RECORD_ELEMENT_DB_ID;
}

/* Of a record key: database and position; so that keys of equal rank are rare. Of an element key,
 * which comes behind all of them: the low bits of the object's id, and the element's first bytes.
 * Of others: the first bytes. */
static inline uint64_t import_rank(enum family family, struct bytes key)
{
    const uint64_t db_id_limit = (1u << (64 - RECORD_POSITION_BITS)) - 1;
    const uint64_t id_limit = (1u << 21) - 1;
    uint32_t db_id;
    uint64_t position;
    struct bytes name;
    if (family == FAMILY_EXPIRES)
        return key.len >= 8 ? load_be64(key.data) : UINT64_MAX;
    if (import_is_element(key)) {
        uint64_t id = load_be64(key.data + 4);
        if (id >= id_limit || key.len < RECORD_ELEMENT_PREFIX_BYTES + 4)
            return id >= id_limit ? UINT64_MAX : db_id_limit << RECORD_POSITION_BITS | id << 32;
        return db_id_limit << RECORD_POSITION_BITS | id << 32 |
               load_be32(key.data + RECORD_ELEMENT_PREFIX_BYTES);
    }
    if (!record_key_decode(key, &db_id, &position, &name))
        return UINT64_MAX;
    return db_id < db_id_limit ? (uint64_t)db_id << RECORD_POSITION_BITS | position
                               : db_id_limit << RECORD_POSITION_BITS;
}

/* Reads the record at the front of `from`; false if it is none. */
static inline bool import_record_decode(enum family family, struct bytes from,
                                        struct import_record *out)
{
    uint64_t key_len;
    uint64_t value_len;
    size_t head = varint_decode(from, &key_len);
    size_t more =
        head == 0 ? 0 : varint_decode(bytes_make(from.data + head, from.len - head), &value_len);
    size_t rest = from.len - head - more;
    if (more == 0 || key_len > rest || value_len > rest - key_len)
        return false;
    const uint8_t *data = from.data + head + more;
    out->key = bytes_make(data, (size_t)key_len);
    out->value = bytes_make(data + key_len, (size_t)value_len);
    out->encoded = bytes_make(from.data, head + more + (size_t)(key_len + value_len));
    out->rank = import_rank(family, out->key);
    return true;
}

/* Called with each record that gives way to a newer one of the same key. */
typedef void import_dropped_fn(void *arg, enum family family, const struct import_record *record);

/* ---- Batches (import_batch.c) ------------------------------------------------------------------
 *
 * One allocation: records grow from its front, entries that tell where they are from its end, and
 * between them there is always room to sort the entries. */

struct import_entry {
    uint64_t rank;
    uint32_t off; /* of the record */
    uint32_t family;
};

struct import_batch {
    uint8_t *data; /* owned */
    size_t capacity;
    size_t used;  /* bytes of records */
    size_t count; /* entries */
    bool sorted;
    /* Once sorted: */
    struct import_entry *entries;
    size_t family_start[FAMILY_COUNT + 1];
};

/* NULL: out of memory. */
struct import_batch *import_batch_create(size_t capacity);
void import_batch_destroy(struct import_batch *batch);
void import_batch_clear(struct import_batch *batch);
/* Whether a record fits. One that does not fit in an empty batch is ST_LIMIT there if the batch
 * cannot be enlarged. */
bool import_batch_has_room(const struct import_batch *batch, size_t key_len, size_t value_len);
MUST_USE enum status import_batch_enlarge(struct import_batch *batch, size_t key_len,
                                          size_t value_len, struct err *err);
/* Adds a record that fits; the caller writes its key and value before any other call. */
struct import_space {
    uint8_t *key;
    uint8_t *value;
} import_batch_add(struct import_batch *batch, enum family family, uint64_t rank, size_t key_len,
                   size_t value_len);
/* Sorts by family and key and drops all but the last of each key. */
void import_batch_sort(struct import_batch *batch, import_dropped_fn *dropped, void *arg);
void import_batch_record(const struct import_batch *batch, const struct import_entry *entry,
                         struct import_record *out);

/* ---- Runs (import_run.c) -----------------------------------------------------------------------
 *
 * A file of blocks: length u32 LE, CRC32C u32 LE, whole records in ascending order. Gone when the
 * import is over, whatever comes of it. */

struct import_run {
    char *path; /* owned */
    uint64_t records;
    uint64_t bytes;
    uint32_t level; /* 0: of a batch; else merged out of runs one level below */
};

struct import_run_writer {
    struct env *env; /* borrowed */
    int fd;
    struct import_run run;
    uint8_t *block; /* owned */
    size_t block_bytes;
    size_t block_capacity;
    size_t used;
};

MUST_USE enum status import_run_writer_open(struct import_run_writer *writer, struct env *env,
                                            const char *path, size_t block_bytes, struct err *err);
MUST_USE enum status import_run_writer_put(struct import_run_writer *writer, struct bytes encoded,
                                           struct err *err);
/* Ends the file and hands the run over. */
MUST_USE enum status import_run_writer_finish(struct import_run_writer *writer,
                                              struct import_run *out, struct err *err);
/* A finished or zeroed writer is allowed; else the file is deleted. */
void import_run_writer_close(struct import_run_writer *writer);

struct import_run_reader {
    struct env *env; /* borrowed */
    const struct import_run *run;
    int fd;
    uint8_t *block; /* owned */
    size_t block_capacity;
    size_t used; /* bytes in it */
    size_t at;
    uint64_t off;  /* of the next block */
    uint64_t left; /* records */
};

MUST_USE enum status import_run_reader_open(struct import_run_reader *reader, struct env *env,
                                            const struct import_run *run, struct err *err);
/* Borrowed until the next call. ST_END; ST_CORRUPT; ST_IO; ST_LIMIT. */
MUST_USE enum status import_run_reader_next(struct import_run_reader *reader, enum family family,
                                            struct import_record *out, struct err *err);
void import_run_reader_close(struct import_run_reader *reader); /* a zeroed one is allowed */

/* ---- Merging (import_merge.c) ------------------------------------------------------------------
 */

struct import_merge;

struct import_merge_options {
    struct env *env;
    enum family family;
    const struct import_run *runs; /* oldest first; borrowed until destroyed */
    size_t run_count;
    struct import_batch *const *batches; /* sorted; of the same key newer than any run; borrowed */
    size_t batch_count;
    import_dropped_fn *dropped;
    void *arg;
};

MUST_USE enum status import_merge_create(const struct import_merge_options *options,
                                         struct import_merge **out, struct err *err);
void import_merge_destroy(struct import_merge *merge); /* NULL is allowed */
/* The records of all sources in ascending order, of each key the newest; borrowed until the next
 * call. ST_END. */
MUST_USE enum status import_merge_next(struct import_merge *merge, struct import_record *out,
                                       struct err *err);

/* ---- Tables (import_tables.c) ------------------------------------------------------------------
 */

/* Writes ascending records into as many tables as they need. */
struct import_tables {
    struct cold *cold; /* borrowed */
    const char *dir;   /* borrowed */
    const char *name;  /* static: begins the names of the files */
    enum family family;
    struct cold_sst_writer *writer;
    uint64_t writer_records;
    uint64_t writer_bytes; /* before compression */
    char **paths;          /* owned; of finished tables and the one being written */
    size_t count;
    size_t capacity;
    uint64_t bytes; /* of finished tables */
};

MUST_USE enum status import_tables_put(struct import_tables *tables, struct bytes key,
                                       struct bytes value, struct err *err);
MUST_USE enum status import_tables_finish(struct import_tables *tables, struct err *err);
void import_tables_deinit(struct import_tables *tables);

/* ---- Another thread (import_pipe.c) ------------------------------------------------------------
 *
 * Items go round: the caller takes a free one, fills it and submits it; the thread works on it and
 * frees it. The first failure of the work ends it: items are then freed without. */

#define IMPORT_PIPE_ITEMS_MAX 8

struct import_pipe;
typedef enum status import_work_fn(void *arg, void *item, struct err *err);

/* The items are the caller's again after import_pipe_join. */
struct import_pipe *import_pipe_create(void *const *items, size_t count, import_work_fn *work,
                                       void *arg);
/* Waits for a free item. NULL when the work has failed. */
void *import_pipe_take(struct import_pipe *pipe);
void import_pipe_submit(struct import_pipe *pipe, void *item);
/* Waits until all is done, ends the thread and frees the pipe. Returns the work's first failure.
 * NULL is ST_OK. */
enum status import_pipe_join(struct import_pipe *pipe, struct err *err);

/* ---- Directories (import_place.c) --------------------------------------------------------------
 */

struct import_place {
    struct env *env;                    /* borrowed */
    char dir[ENV_PATH_BYTES_MAX];       /* the data directory */
    char work[ENV_PATH_BYTES_MAX];      /* in it: all that is temporary */
    char store[ENV_PATH_BYTES_MAX];     /* the dataset's store */
    char new_store[ENV_PATH_BYTES_MAX]; /* the one being made */
    char journal[ENV_PATH_BYTES_MAX];   /* the dataset's journal */
    int lock;                           /* on `work`; -1: none */
    int store_lock;                     /* on the old store; -1: there is none */
    bool has_journal;
    uint64_t cut_offset; /* for the new dataset */
};

MUST_USE enum status import_place_open(struct import_place *place, const struct import_options *o,
                                       struct err *err);
/* The new store must be complete, synced and closed. As import_publish. */
MUST_USE enum status import_place_publish(struct import_place *place, bool more_follows,
                                          bool *placed_out, struct err *err);
/* Removes what is temporary, and all if nothing was published. */
void import_place_close(struct import_place *place);

/* ---- The import itself -------------------------------------------------------------------------
 */

#define IMPORT_WORKERS_MIN 2
#define IMPORT_WORKERS_MAX 4

/* As the server has it by default (list-max-listpack-size): 8 KiB a node. */
#define IMPORT_LIST_NODE_SIZE (-2)

/* The type of the records that a family holds. */
static inline enum object_type import_type_of(enum family family)
{
    int type = OBJECT_STRING;
    while (loader_family((enum object_type)type) != family)
        type++;
    return (enum object_type)type;
}

/* Runs of a family, oldest first; their levels never grow towards the end. */
struct import_run_list {
    struct import_run *items; /* owned */
    size_t count;
    size_t capacity;
};

/* What came twice, which no writer of RDB files does. */
struct import_repeats {
    struct buf key;    /* owned: a record key; empty: none */
    uint64_t elements; /* of collections: a member is there twice */
};

/* A key with its value as it stands in the file. */
struct import_item {
    struct rdb_key key; /* but for its name's address */
    uint64_t offset;    /* of the value, in the file */
    size_t name_at;     /* in import_worker.frames, as the next */
    size_t value_at;
    size_t value_len;
};

/* A thread that decodes, and sorts and writes what it has decoded. Other threads touch it only when
 * it has ended. Records of one object are all of one worker's, the newer the later. */
struct import_worker {
    struct import *import; /* borrowed */
    unsigned number;       /* 0 is the caller's thread */
    pthread_t thread;
    bool has_turn;             /* at the input */
    uint64_t turn;             /* number of the last one */
    struct buf frames;         /* owned: names and values of the items */
    struct import_item *items; /* owned: taken in the last turn */
    size_t item_count;
    size_t item_capacity;
    struct buf scratch;         /* owned: of a string */
    struct import_batch *batch; /* owned; being filled, sorted in the end */
    struct import_run_list runs[FAMILY_COUNT];
    uint64_t run_count; /* ever written, as the next */
    uint64_t run_bytes;
    uint64_t empty; /* collections without elements */
    struct import_repeats repeats;
    enum status status;
    struct err err;
};

/* The input, which one worker reads at a time. */
struct import_turns {
    pthread_mutex_t lock; /* guards what follows, up to the reader */
    pthread_cond_t changed;
    bool taken;
    bool ended; /* nothing is left to read, or a worker has failed */
    uint64_t count;
    struct rdb_reader *reader; /* owned; of whose turn it is, as the next */
    uint64_t progress_at;
};

struct import {
    struct import_options options; /* defaults resolved */
    struct import_place place;
    struct cold *cold; /* the store being made */
    struct meta_identity identity;
    struct import_report report; /* of whose turn it is, while the input is read */
    int64_t now_ms;              /* when the import began: what is due then is left out */
    struct import_db *dbs;       /* owned; by number, as the next */
    uint32_t *db_ids;            /* owned */
    uint32_t db_count;
    uint32_t next_db_id;
    bool merging;                /* keys are added to a dataset that is there */
    bool has_libraries;          /* it has some */
    struct cold_batch *removals; /* owned: of its keys, not written yet; NULL: not merging */
    _Atomic uint64_t next_object_id;
    struct string_rules rules;
    struct value_rules values;
    size_t parts_bytes; /* of a large collection, before they are written */
    size_t block_bytes; /* of runs */
    size_t chunk_bytes; /* of what goes to the thread that writes tables */
    size_t turn_bytes;  /* of the input, that a worker takes in its turn */
    size_t fan_in;      /* runs of one level */
    struct import_worker workers[IMPORT_WORKERS_MAX];
    unsigned worker_count;
    struct import_turns turns;
    struct import_tables chunks;  /* elements of large strings; of whose turn it is */
    struct cold_batch *libraries; /* owned: records of function libraries */
    struct buf library_names;     /* of these, each between blanks */
    struct import_tables tables[FAMILY_COUNT];
    uint64_t keys_read;
    bool complete;
};

/* Calls the progress function; ST_AGAIN when it gives up. The caller's thread. */
MUST_USE enum status import_report_progress(struct import *import, enum import_phase phase,
                                            uint64_t done, uint64_t total, struct err *err);
/* The dataset has at least `count` databases. */
void import_grow_dbs(struct import *import, uint32_t count);

/* import_existing.c: reads what the copied store is. ST_INVALID: its journal is not settled. */
MUST_USE enum status import_existing_open(struct import *import, struct err *err);
/* Whether a key of the input is still wanted, and removes the one that it replaces. key->db is the
 * database's id. */
MUST_USE enum status import_existing_meet(struct import *import, const struct rdb_key *key,
                                          uint32_t number, bool *wanted_out, struct err *err);
/* Writes the removals that have gathered. */
MUST_USE enum status import_existing_write(struct import *import, struct err *err);

/* import_run_list.c: what becomes of full batches. */
/* Sorts the worker's batch, writes its runs, and empties it. */
MUST_USE enum status import_write_batch(struct import_worker *worker, struct err *err);
/* Notes that a record came twice; `arg` is a struct import_repeats. */
void import_note_dropped(void *arg, enum family family, const struct import_record *record);
/* ST_CORRUPT: something did. */
MUST_USE enum status import_check_repeats(const struct import *import,
                                          const struct import_repeats *repeats, struct err *err);
/* A new file for a run; its name is `name` with `number`. */
MUST_USE enum status import_open_run(struct import *import, const char *name, uint64_t number,
                                     struct import_run_writer *writer, struct err *err);
/* Deletes runs. */
void import_drop_runs(struct import *import, struct import_run_list *list);
void import_append_run(struct import_run_list *list, const struct import_run *run);

/* import_work.c: decodes the whole input. What is left in the workers' batches stays there, sorted.
 */
MUST_USE enum status import_read_input(struct import *import, struct err *err);
/* Waits until it is this worker's turn at the input. */
void import_begin_turn(struct import_worker *worker);
void import_end_turn(struct import_worker *worker);

/* import_read.c */
/* Takes what comes next in the input, enough for a turn. ST_END: that was the last. */
MUST_USE enum status import_take_items(struct import_worker *worker, struct err *err);
/* Decodes what was taken. */
MUST_USE enum status import_decode_items(struct import_worker *worker, struct err *err);
/* Adds a record to the batch; a full one is written first. */
MUST_USE enum status import_add_record(struct import_worker *worker, enum family family,
                                       struct bytes key, struct bytes value, struct err *err);

/* import_value.c: takes a key's value that is neither a string nor a module's; out of the frame, or
 * out of the input if that is NULL. */
MUST_USE enum status import_read_collection(struct import_worker *worker,
                                            const struct rdb_frame *frame,
                                            const struct rdb_key *key, struct err *err);
MUST_USE enum status import_read_library(struct import *import, struct bytes code, struct err *err);

/* import_merge_all.c: merges runs and batches into tables, and counts. */
MUST_USE enum status import_merge_all(struct import *import, struct err *err);
/* import_finish.c: ingests the tables and writes what makes the store a dataset. */
MUST_USE enum status import_complete(struct import *import, struct err *err);

#endif
