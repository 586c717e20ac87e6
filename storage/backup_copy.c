#include <inttypes.h>
#include <stdio.h>

#include "codec/checksum.h"
#include "codec/mem.h"
#include "storage/backup_internal.h"

#define BLOCK_BYTES ((size_t)1 << 20)

void backup_copier_init(struct backup_copier *copier, struct env *env, backup_progress_fn *progress,
                        void *arg, const char *what)
{
    *copier = (struct backup_copier){.env = env,
                                     .progress = progress,
                                     .arg = arg,
                                     .what = what,
                                     .block = mem_alloc(BLOCK_BYTES)};
}

void backup_copier_deinit(struct backup_copier *copier)
{
    mem_free(copier->block);
    copier->block = NULL;
}

/* A file's checksum is that of its blocks, each with the one before as its seed. */
enum status backup_copy(struct backup_copier *copier, const char *from, uint64_t bytes,
                        const char *to, uint64_t *checksum_out, struct err *err)
{
    struct env *env = copier->env;
    int in = -1;
    int out = -1;
    uint64_t checksum = 0;
    enum status st = env_open(env, from, ENV_READ, &in, err);
    if (st == ST_OK && to != NULL)
        st = env_open(env, to, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &out, err);
    for (uint64_t at = 0; st == ST_OK && at < bytes;) {
        size_t want = bytes - at < BLOCK_BYTES ? (size_t)(bytes - at) : BLOCK_BYTES;
        size_t got = 0;
        st = env_read_at(env, in, from, at, copier->block, want, &got, err);
        if (st == ST_OK && got < want)
            st = err_set(err, ST_CORRUPT, "%s has %" PRIu64 " bytes instead of %" PRIu64, from,
                         at + got, bytes);
        if (st == ST_OK && to != NULL)
            st = env_write_all(env, out, to, copier->block, want, err);
        checksum = hash64(checksum, copier->block, want);
        at += want;
        copier->done += want;
        if (st == ST_OK && copier->progress != NULL &&
            !copier->progress(copier->arg, copier->what, copier->done, copier->total))
            st = err_set(err, ST_AGAIN, "stopped");
    }
    if (st == ST_OK && to != NULL)
        st = env_sync(env, out, to, err);
    env_close(env, out);
    env_close(env, in);
    *checksum_out = checksum;
    return st;
}

enum status backup_fetch(struct backup_copier *copier, const char *dest,
                         const struct backup_file *file, const char *to, struct err *err)
{
    char stored[BACKUP_PATH_BYTES_MAX];
    char path[ENV_PATH_BYTES_MAX];
    uint64_t checksum = 0;
    backup_stored_path(file, stored);
    (void)snprintf(path, sizeof(path), "%s/%s", dest, stored);
    enum status st = backup_copy(copier, path, file->bytes, to, &checksum, err);
    if (st == ST_NOT_FOUND)
        return err_set(err, ST_CORRUPT, "%s is missing in the backup", path);
    if (st == ST_OK && checksum != file->checksum)
        return err_set(err, ST_CORRUPT, "%s is damaged: its checksum is %016" PRIx64, path,
                       checksum);
    return st;
}
