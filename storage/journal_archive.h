/* The journal's archive: segments that neither recovery nor the backlog needs, each packed by zstd
 * into a file of its own, in "archive" below the journal's directory. It is what point-in-time
 * restoration reads; replicas never do.
 *
 * A file is named by the stream offsets at which the segment starts and ends, so all that a list
 * needs is its header. It gets that name when it is whole and durable.
 *
 * Here are the files; the thread that makes and deletes them is in journal_archiver.c. All
 * functions block, and may be called by any thread. Format: codec/FORMAT.md, "Journal". */
#ifndef BASALT_STORAGE_JOURNAL_ARCHIVE_H
#define BASALT_STORAGE_JOURNAL_ARCHIVE_H

#include <stdatomic.h>

#include "codec/journal_block.h"
#include "storage/env.h"

#define JOURNAL_ARCHIVE_DIR "archive"

struct journal_archive_file {
    struct journal_archive head; /* of an unreadable file: what its name tells */
    uint64_t bytes;              /* of the file */
    bool unreadable;
};

struct journal_archive_list {
    struct journal_archive_file *items; /* owned; by start, then by end */
    size_t count, capacity;
};

void journal_archive_path(const char *dir, uint64_t start, uint64_t end,
                          char out[ENV_PATH_BYTES_MAX]);
/* Reads the headers of all files in `dir`; none if there is no such directory. With `tidy`, what a
 * kill has left of unfinished ones is deleted. A bad header makes a file unreadable, and no
 * failure. ST_IO. */
MUST_USE enum status journal_archive_list_read(struct env *env, const char *dir, bool tidy,
                                               struct journal_archive_list *out, struct err *err);
/* Puts a file in its place in the list. */
void journal_archive_list_add(struct journal_archive_list *list,
                              const struct journal_archive_file *file);
void journal_archive_list_deinit(struct journal_archive_list *list);

/* Reads the segment that starts at `head->start` and completes `head`, of which `end` and `history`
 * are given. All blocks are checked. ST_CORRUPT: they are not all good, and `head` says that it is
 * damaged: it can be packed like that. ST_NOT_FOUND; ST_LIMIT; ST_IO. */
MUST_USE enum status journal_archive_measure(struct env *env, const char *journal_dir,
                                             struct journal_archive *head, struct err *err);
/* Packs the measured segment into a file in `dir`, made if missing. Durable at return, whole or not
 * at all. ST_AGAIN: `*stop` became true; ST_CORRUPT: the segment is shorter than it was measured;
 * ST_NO_SPACE; ST_IO. */
MUST_USE enum status journal_archive_pack(struct env *env, const char *journal_dir,
                                          const struct journal_archive *head, const char *dir,
                                          const atomic_bool *stop, uint64_t *bytes_out,
                                          struct err *err);
/* Unpacks the file `from` into a new file `to`, synced (NULL: only reads it). ST_CORRUPT names what
 * is wrong, also if the segment was damaged before it was packed; ST_UNSUPPORTED; ST_IO,
 * ST_NO_SPACE. `to` may be there after a failure. */
MUST_USE enum status journal_archive_unpack(struct env *env, const char *from, const char *to,
                                            struct err *err);

#endif
