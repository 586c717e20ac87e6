/* What stands in a data directory while something is imported:
 *
 *     DIR/rocksdb             the dataset's store, if there is one
 *     DIR/journal             its journal
 *     DIR/import.tmp/LOCK     held as long as the import runs
 *     DIR/import.tmp/rocksdb  the new store; after the exchange, the old one
 *     DIR/import.tmp/...      runs, tables
 *
 * Publishing, and what a server finds if everything ends right behind a step:
 *
 *     1 sync the new store           the old dataset
 *     2 exchange the two stores      the new dataset: its cut is the end of the old journal, so
 * that there is nothing to replay (or, where that journal is damaged, an offset behind its end: it
 * refuses to start, import again) 3 delete the old journal       the same, oldest segments first;
 * behind the last one a fresh journal at the cut 4 delete import.tmp            the new dataset
 *
 * From step 1 on the new store is locked, as the old one is from the beginning: no server can open
 * a store whose journal is about to be deleted. */
#include "storage/import_internal.h"

#include "storage/journal_discard.h"

#include <stdio.h>
#include <string.h>

#define WORK_NAME "import.tmp"
#define LOCK_NAME "LOCK"

/* Room for the longest name that is put behind the data directory's. */
#define DIR_BYTES_MAX (ENV_PATH_BYTES_MAX - 64)

static void join(char *out, const char *dir, const char *name)
{
    int len = snprintf(out, ENV_PATH_BYTES_MAX, "%s/%s", dir, name);
    CHECK(len > 0 && len < ENV_PATH_BYTES_MAX);
}

static void note_entry(void *arg, const char *name)
{
    (void)name;
    *(bool *)arg = true;
}

/* Whether the directory exists and there is something in it. */
static enum status has_entries(struct env *env, const char *path, bool *out, struct err *err)
{
    *out = false;
    enum status st = env_list_dir(env, path, note_entry, out, err);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static enum status take_work_dir(struct import_place *place, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    enum status st = env_mkdir(place->env, place->dir, err);
    if (st == ST_OK)
        st = env_mkdir(place->env, place->work, err);
    if (st != ST_OK)
        return st;
    join(path, place->work, LOCK_NAME);
    st = env_lock_file(place->env, path, &place->lock, err);
    if (st == ST_AGAIN)
        st = err_set(err, ST_AGAIN, "another import into %s is under way", place->dir);
    return st;
}

struct leftovers {
    struct import_place *place;
    enum status status;
    struct err *err;
};

static void remove_leftover(void *arg, const char *name)
{
    struct leftovers *leftovers = arg;
    struct import_place *place = leftovers->place;
    if (leftovers->status != ST_OK || strcmp(name, LOCK_NAME) == 0)
        return;
    char path[ENV_PATH_BYTES_MAX];
    if (strlen(place->work) + 1 + strlen(name) >= sizeof(path))
        return;
    join(path, place->work, name);
    if (env_unlink(place->env, path, NULL) != ST_OK)
        leftovers->status = env_remove_tree(place->env, path, leftovers->err);
}

static enum status empty_work_dir(struct import_place *place, struct err *err)
{
    struct leftovers leftovers = {.place = place, .err = err};
    enum status st = env_list_dir(place->env, place->work, remove_leftover, &leftovers, err);
    return st == ST_OK ? leftovers.status : st;
}

/* Looks at the dataset that is there, and locks it. */
static enum status find_dataset(struct import_place *place, const struct import_options *o,
                                struct err *err)
{
    bool has_store = false;
    enum status st = has_entries(place->env, place->store, &has_store, err);
    if (st == ST_OK)
        st = has_entries(place->env, place->journal, &place->has_journal, err);
    if (st != ST_OK)
        return st;
    bool merge = o->existing != IMPORT_EXISTING_REFUSED;
    if ((has_store || place->has_journal) && !o->replace && !merge)
        return err_set(err, ST_EXISTS, "%s holds a dataset already", place->dir);
    if (merge && (has_store ? import_is_pending(place->env, place->dir) : place->has_journal))
        return err_set(err, ST_INVALID,
                       "the dataset in %s is not complete: start the server once and stop it in "
                       "order",
                       place->dir);
    if (has_store) {
        st = cold_lock(place->store, &place->store_lock, err);
        if (st != ST_OK)
            return st == ST_NOT_FOUND
                       ? err_set(err, ST_EXISTS, "%s is there and is no store", place->store)
                       : st;
    }
    if (place->has_journal) {
        st = journal_find_end(place->env, place->journal, &place->cut_offset, err);
        place->has_journal = st == ST_OK;
        st = st == ST_NOT_FOUND ? ST_OK : st;
    }
    return st;
}

enum status import_place_open(struct import_place *place, const struct import_options *o,
                              struct err *err)
{
    *place = (struct import_place){.env = o->env, .lock = -1, .store_lock = -1};
    if (strlen(o->dir) == 0 || strlen(o->dir) > DIR_BYTES_MAX)
        return err_set(err, ST_INVALID, "the directory's name has %zu bytes", strlen(o->dir));
    (void)snprintf(place->dir, sizeof(place->dir), "%s", o->dir);
    join(place->work, place->dir, WORK_NAME);
    join(place->store, place->dir, "rocksdb");
    join(place->new_store, place->work, "rocksdb");
    join(place->journal, place->dir, "journal");
    enum status st = take_work_dir(place, err);
    if (st == ST_OK)
        st = empty_work_dir(place, err);
    if (st == ST_OK)
        st = find_dataset(place, o, err);
    if (st != ST_OK)
        import_place_close(place);
    return st;
}

static enum status put_in_place(struct import_place *place, struct err *err)
{
    struct err why;
    enum status st;
    if (place->store_lock >= 0)
        st = env_exchange(place->env, place->new_store, place->store, &why);
    else
        st = env_rename(place->env, place->new_store, place->store, &why);
    if (st == ST_UNSUPPORTED)
        return err_set(
            err, st,
            "the file system of %s cannot exchange two directories: import into an empty "
            "directory and move that",
            place->dir);
    if (st != ST_OK && err != NULL)
        *err = why;
    return st;
}

static void pending_path(const char *dir, char out[ENV_PATH_BYTES_MAX])
{
    join(out, dir, IMPORT_PENDING_NAME);
}

bool import_is_pending(struct env *env, const char *dir)
{
    char path[ENV_PATH_BYTES_MAX];
    int fd;
    pending_path(dir, path);
    enum status st = env_open(env, path, ENV_READ, &fd, NULL);
    if (st == ST_OK)
        env_close(env, fd);
    return st != ST_NOT_FOUND;
}

enum status import_complete_pending(struct env *env, const char *dir, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    pending_path(dir, path);
    enum status st = env_unlink(env, path, err);
    return st == ST_NOT_FOUND ? ST_OK : st == ST_OK ? env_sync_dir(env, dir, err) : st;
}

/* Before the new store is in place, so that nobody takes it for complete. */
static enum status mark_pending(struct import_place *place, struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    pending_path(place->dir, path);
    return env_replace_file(place->env, path, bytes_text("commands follow\n"), err);
}

enum status import_place_publish(struct import_place *place, bool more_follows, bool *placed_out,
                                 struct err *err)
{
    int new_lock = -1;
    *placed_out = false;
    enum status st = cold_lock(place->new_store, &new_lock, err);
    if (st == ST_OK)
        st = env_sync_dir(place->env, place->new_store, err);
    if (st == ST_OK && more_follows)
        st = mark_pending(place, err);
    if (st == ST_OK)
        st = put_in_place(place, err);
    if (st != ST_OK)
        goto out;
    *placed_out = true;
    st = env_sync_dir(place->env, place->dir, err);
    if (st == ST_OK && place->has_journal)
        st = journal_discard(place->env, place->journal, err);
    if (st == ST_OK && !more_follows && import_is_pending(place->env, place->dir))
        st = import_complete_pending(place->env, place->dir, err);
out:
    cold_unlock(new_lock);
    return st;
}

void import_place_close(struct import_place *place)
{
    if (place->lock >= 0) {
        char path[ENV_PATH_BYTES_MAX];
        join(path, place->work, LOCK_NAME);
        /* What cannot be deleted, the next import will try again. */
        (void)empty_work_dir(place, NULL);
        (void)place->env->unlink(place->env, path);
        (void)place->env->rmdir(place->env, place->work);
        env_close(place->env, place->lock);
    }
    cold_unlock(place->store_lock);
    place->lock = -1;
    place->store_lock = -1;
}
