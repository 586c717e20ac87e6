/* What the parts of backup share: backup.c (making one), backup_restore.c, backup_manifest.c,
 * backup_copy.c, backup_chain.c. */
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

/* ---- The journal that a restoration needs (backup_chain.c) ---- */

/* A file that holds a stretch of the stream, in the backup directory or outside. */
struct backup_link {
    uint64_t start, end; /* stream offsets */
    uint64_t bytes;      /* of the file that are wanted */
    bool archived;
    const struct backup_file *stored; /* borrowed; NULL: it is outside, in `dir` */
    const char *dir;                  /* the chain's */
};

struct backup_chain {
    struct backup_link *known; /* owned; all files of the base's history */
    size_t known_count, known_capacity;
    size_t *links; /* owned; of `known`, those that lead from the cut to `end` */
    size_t count;
    uint64_t end;       /* how far they lead; a later file than the last may supersede its end */
    uint64_t known_end; /* the stream is known to have come so far */
    int64_t known_ms;   /* and it would be known if something had been written before */
    char *journal_dir, *archive_dir; /* owned */
};

/* Finds what the backups have of the history of `base`, and, if not NULL, `journal_dir`. */
MUST_USE enum status backup_chain_open(struct env *env, const struct backup_list *list,
                                       const struct backup_manifest *base, const char *journal_dir,
                                       struct backup_chain *out, struct err *err);
/* Chooses what leads from stream offset `from` to `to`, or as far as there is something. */
void backup_chain_choose(struct backup_chain *chain, uint64_t from, uint64_t to);
uint64_t backup_chain_bytes(const struct backup_chain *chain);
/* Puts what was chosen into `to` as plain segments, synced, and checks what has no checksum in a
 * manifest. ST_CORRUPT names the bad file; ST_NOT_FOUND: the server has archived or deleted one
 * meanwhile. */
MUST_USE enum status backup_chain_fetch(const struct backup_chain *chain,
                                        struct backup_copier *copier, const char *dest,
                                        const char *to, struct err *err);
void backup_chain_close(struct backup_chain *chain);

#endif
