/* What the parts of backup share: backup.c (making one), backup_restore.c, backup_manifest.c,
 * backup_copy.c. */
#ifndef BASALT_STORAGE_BACKUP_INTERNAL_H
#define BASALT_STORAGE_BACKUP_INTERNAL_H

#include "storage/backup.h"
#include "storage/env.h"

/* Copying with progress over many files. */
struct backup_copier {
    struct env *env;
    backup_progress_fn *progress;
    void *arg;
    const char *what;
    uint64_t done, total;
    uint8_t *block; /* owned */
};
void backup_copier_init(struct backup_copier *copier, struct env *env, backup_progress_fn *progress,
                        void *arg, const char *what);
void backup_copier_deinit(struct backup_copier *copier);
/* Copies the first `bytes` bytes of a file to a new file `to` (NULL: only reads them), which is
 * synced then; its directory is not. ST_CORRUPT: the file is shorter. */
MUST_USE enum status backup_copy(struct backup_copier *copier, const char *from, uint64_t bytes,
                                 const char *to, uint64_t *checksum_out, struct err *err);
/* The same from where a file is stored, checking it; ST_CORRUPT names it. */
MUST_USE enum status backup_fetch(struct backup_copier *copier, const char *dest,
                                  const struct backup_file *file, const char *to, struct err *err);

#endif
