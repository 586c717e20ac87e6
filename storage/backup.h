/* Backups of a data directory: copies of what a checkpoint of RocksDB and the journal hold, in a
 * directory that many backups share (backup_manifest.h), and their restoration.
 *
 * A backup is a checkpoint at some cut and the journal from there on, and what the journal's
 * archive has of the time since earlier backups. So it can be restored as it was at its end, or at
 * any block of the journal since the cut, also one that only a later backup of the same history
 * holds, or the server itself.
 *
 * Kills: stored files get their names when they are whole and durable, and a manifest is written
 * last, so a killed backup is none, and what it has stored serves the next one. A restoration is
 * made beside the place where it is to stand, and takes it by one rename. */
#ifndef BASALT_STORAGE_BACKUP_H
#define BASALT_STORAGE_BACKUP_H

#include "storage/backup_manifest.h"

struct env;

/* What is to be backed up, made to stand still by the caller. */
struct backup_source {
    const char *rocksdb_dir; /* no process changes it */
    const char *journal_dir; /* kept from the cut on */
    char replication_id[41];
    char store[BACKUP_NAME_BYTES_MAX]; /* RocksDB's id (backup_read_store_id) */
    uint64_t cut_offset;
    uint64_t end_offset; /* durable, and a block boundary */
};

/* How far it has come, in bytes; false: stop (ST_AGAIN). May be NULL. */
typedef bool backup_progress_fn(void *arg, const char *what, uint64_t done, uint64_t total);

struct backup_report {
    char name[BACKUP_NAME_BYTES_MAX];
    uint64_t cut_offset, end_offset;
    uint64_t files, bytes;               /* of the backup */
    uint64_t copied_files, copied_bytes; /* that were not there yet */
};

/* What a store in `rocksdb_dir` calls itself. */
MUST_USE enum status backup_read_store_id(struct env *env, const char *rocksdb_dir,
                                          char out[BACKUP_NAME_BYTES_MAX], struct err *err);
/* Reads what is needed of a data directory that no process has open. */
MUST_USE enum status backup_describe_dir(struct env *env, const char *dir,
                                         struct backup_source *out, struct err *err);

struct backup_options {
    struct env *env;
    const char *dest; /* made if missing, one level */
    const struct backup_source *source;
    bool incremental; /* insist on an earlier backup of the same store */
    backup_progress_fn *progress;
    void *arg;
};
/* Returns ST_OK; ST_EXISTS: another process writes to `dest`, or it is no backup directory and not
 * empty; ST_NOT_FOUND (incremental: there is none); ST_AGAIN: stopped; ST_CORRUPT; ST_IO,
 * ST_NO_SPACE. Blocks. */
MUST_USE enum status backup_write(const struct backup_options *options, struct backup_report *out,
                                  struct err *err);

/* Reads all files of all backups (`name` NULL) or of one and compares checksums. `*files_out` is
 * how many. ST_CORRUPT names the first that is damaged or missing. */
MUST_USE enum status backup_verify(struct env *env, const char *dest, const char *name,
                                   backup_progress_fn *progress, void *arg, uint64_t *files_out,
                                   struct err *err);

struct restore_options {
    struct env *env;
    const char *dest; /* the backup directory */
    const char *dir;  /* must not exist, or be empty */
    const char *name; /* of the backup; NULL: the latest that will do */
    bool has_offset;
    uint64_t to_offset; /* not beyond this stream offset */
    bool has_time;      /* of the two, one at most */
    int64_t to_time_ms; /* not what was written behind this moment */
    /* A server's journal directory, or a copy of its archive: for what no backup has yet. Without
     * an offset or time, all of it is restored. NULL: none. */
    const char *journal_dir;
    backup_progress_fn *progress;
    void *arg;
};
struct restore_report {
    char name[BACKUP_NAME_BYTES_MAX];
    uint64_t cut_offset; /* of the backup */
    uint64_t end_offset; /* of what was restored */
    uint64_t files, bytes;
};
/* Puts a dataset in `dir`, with a replication id of its own: it is another history from here on.
 * Returns ST_OK; ST_EXISTS (`dir` is not empty); ST_NOT_FOUND: no backup, or none that reaches the
 * offset, or the journal up to there is not all there; ST_CORRUPT names the damaged file; ST_AGAIN:
 * stopped; ST_IO, ST_NO_SPACE. Nothing is at `dir` unless ST_OK. Blocks. */
MUST_USE enum status restore_run(const struct restore_options *options, struct restore_report *out,
                                 struct err *err);

#endif
