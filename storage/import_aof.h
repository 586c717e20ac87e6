/* Append-only files of Redis 7 as what a dataset is imported from: a manifest that names a base
 * file, mostly an RDB, and files of commands that were run since.
 *
 *     aof_open ──► import_open (read: aof_read_base; more_follows) ──► import_read
 *              ──► import_publish ──► aof_append ──► aof_close
 *
 * The base is imported like any RDB. The commands are written to the new dataset's journal: what
 * an append-only file holds is what our journal holds, so that the server runs them when it starts,
 * as after a crash. From import_publish to the end of aof_append the directory bears a mark (a file
 * IMPORT_PENDING_NAME), which says that the dataset is not complete: no server may use it.
 *
 * One thread. Blocks. */
#ifndef BASALT_STORAGE_IMPORT_AOF_H
#define BASALT_STORAGE_IMPORT_AOF_H

#include "codec/status.h"

#include <stddef.h>
#include <stdint.h>

struct aof;
struct env;

struct aof_report {
    uint64_t files;         /* of commands */
    uint64_t commands;      /* in them */
    uint64_t bytes;         /* of them */
    uint64_t cut_off_bytes; /* at the end of the last file: an incomplete command or transaction */
};

/* Reads the manifest, and all commands once, to see that they are some. ST_OK; ST_NOT_FOUND (a
 * file is not there); ST_CORRUPT names file and offset; ST_IO. */
MUST_USE enum status aof_open(struct env *env, const char *manifest, struct aof **out,
                              struct err *err);
void aof_close(struct aof *aof); /* NULL is allowed */
/* An rdb_read_fn of the base; `arg` is the struct aof. */
enum status aof_read_base(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                          struct err *err);
/* Adds the commands to the journal of the dataset in `dir`, which ends at `offset`
 * (import_cut_offset), and takes the mark away. */
MUST_USE enum status aof_append(struct aof *aof, const char *dir, uint64_t offset, struct err *err);
const struct aof_report *aof_report(const struct aof *aof);

#endif
