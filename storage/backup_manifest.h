/* What a backup consists of: a text file that names its files, with their checksums and its own.
 *
 * A backup directory holds many backups that share files. A file is stored once under a name made
 * of its checksum and size, whatever it is called where it came from:
 *
 *     files/<checksum>-<bytes>      tables, RocksDB's own small files, journal segments, archived
 *                                   or not
 *     backups/<name>.manifest       one per backup, written last: without it there is no backup
 *
 * Format: codec/FORMAT.md, "Backups". */
#ifndef BASALT_STORAGE_BACKUP_MANIFEST_H
#define BASALT_STORAGE_BACKUP_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/status.h"

struct env;

#define BACKUP_NAME_BYTES_MAX 64
#define BACKUP_PATH_BYTES_MAX 128 /* of a stored file, below the backup directory */

struct backup_file {
    char name[BACKUP_NAME_BYTES_MAX]; /* in RocksDB's directory; empty: a journal segment */
    bool archived;                    /* the segment is packed, as in the journal's archive */
    uint64_t bytes;                   /* as it is stored */
    uint64_t checksum;
    uint64_t start, end; /* of a segment: stream offsets */
};

struct backup_manifest {
    char name[BACKUP_NAME_BYTES_MAX]; /* of the backup: its time, such as 20240131T235959Z */
    int64_t created_ms;
    char replication_id[41];           /* of the history that the offsets belong to */
    char store[BACKUP_NAME_BYTES_MAX]; /* RocksDB's own id: with it, its tables' names are unique */
    uint64_t cut_offset;               /* RocksDB's files are the dataset here, */
    uint64_t end_offset;               /* and the segments lead on to here */
    struct backup_file *files;         /* owned */
    size_t count, capacity;
};

struct backup_file *backup_manifest_add(struct backup_manifest *manifest);
void backup_manifest_deinit(struct backup_manifest *manifest);

/* Where the content of a file is stored: "files/...". */
void backup_stored_path(const struct backup_file *file, char out[BACKUP_PATH_BYTES_MAX]);

/* Durable at return, whole or not at all. */
MUST_USE enum status backup_manifest_write(struct env *env, const char *dest,
                                           const struct backup_manifest *manifest, struct err *err);
/* ST_CORRUPT names the file. */
MUST_USE enum status backup_manifest_read(struct env *env, const char *dest, const char *name,
                                          struct backup_manifest *out, struct err *err);

struct backup_list {
    struct backup_manifest *items; /* owned; oldest first */
    size_t count;
};
/* Reads all manifests. ST_NOT_FOUND: `dest` is no backup directory; ST_CORRUPT. */
MUST_USE enum status backup_list_read(struct env *env, const char *dest, struct backup_list *out,
                                      struct err *err);
void backup_list_deinit(struct backup_list *list);

#endif
