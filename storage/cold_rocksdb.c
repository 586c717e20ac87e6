/* The cold tier over RocksDB: opening, closing, and the translation of its errors.
 *
 * RocksDB reports errors as text only. The text begins with the kind of error ("Corruption: ",
 * "IO error: "), which gives the status, and goes on with the place, which goes into `err` whole.
 *
 * Opening guards against what RocksDB would do silently: it makes a new, empty store when the file
 * CURRENT is missing, and removes the tables that it then finds unreferenced. So a directory that
 * holds tables or logs without CURRENT is refused here before RocksDB sees it. */
#include "storage/cold.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"
#include "storage/cold_rocksdb_internal.h"

static const char *const family_names[FAMILY_COUNT] = {
    [FAMILY_META] = "default",  [FAMILY_STRING] = "string",   [FAMILY_LIST] = "list",
    [FAMILY_HASH] = "hash",     [FAMILY_SET] = "set",         [FAMILY_ZSET] = "zset",
    [FAMILY_STREAM] = "stream", [FAMILY_EXPIRES] = "expires",
};

const char *cold_family_name(enum family family)
{
    CHECK(family < FAMILY_COUNT);
    return family_names[family];
}

/* ---- Errors -------------------------------------------------------------------------------------
 */

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum status classify_io_error(const char *text)
{
    if (strstr(text, "No space left on device") != NULL ||
        strstr(text, "Disk quota exceeded") != NULL)
        return ST_NO_SPACE;
    bool missing = strstr(text, "No such file or directory") != NULL;
    /* A table, log or manifest that is referred to but not there is damage, not an I/O error. */
    if (missing && (strstr(text, ".sst") != NULL || strstr(text, "MANIFEST-") != NULL))
        return ST_CORRUPT;
    return ST_IO;
}

static enum status classify(const char *text)
{
    if (starts_with(text, "Corruption: "))
        return ST_CORRUPT;
    if (starts_with(text, "IO error: "))
        return classify_io_error(text);
    if (starts_with(text, "NotFound: "))
        return ST_NOT_FOUND;
    if (starts_with(text, "Result incomplete: ") || starts_with(text, "Resource busy: ") ||
        starts_with(text, "Operation timed out: ") ||
        starts_with(text, "Operation failed. Try again"))
        return ST_AGAIN;
    if (starts_with(text, "Invalid argument: "))
        return ST_INVALID;
    if (starts_with(text, "Not implemented: "))
        return ST_UNSUPPORTED;
    if (strstr(text, "Memory limit reached") != NULL)
        return ST_LIMIT;
    return ST_IO;
}

/* RocksDB looks for a missing table under its name of old as well, and then reports that one. */
static void name_table_rightly(char *text)
{
    char *old = strstr(text, ".ldb");
    if (old != NULL)
        memcpy(old, ".sst", 4);
}

enum status cold_error_take(char *text, const char *doing, struct err *err)
{
    name_table_rightly(text);
    enum status st = classify(text);
    (void)err_set(err, st, "%s: %s", doing, text);
    rocksdb_free(text);
    return st;
}

enum status cold_write_begin(struct cold *cold, struct err *err)
{
    if (cold->read_only)
        return err_set(err, ST_INVALID, "the store is open for reading only");
    if (cold_failed(cold, err))
        return err->code;
    CHECK(!atomic_exchange(&cold->writing, true));
    return ST_OK;
}

/* Errors of RocksDB's own files, as opposed to a wrong argument or a lack of memory. */
static bool is_disk_error(enum status st)
{
    return st == ST_IO || st == ST_NO_SPACE || st == ST_CORRUPT;
}

enum status cold_write_end(struct cold *cold, enum status st, const struct err *err)
{
    if (is_disk_error(st))
        cold_set_failure(cold, err);
    atomic_store(&cold->writing, false);
    return st;
}

enum status cold_write_end_aside(struct cold *cold, enum status st)
{
    atomic_store(&cold->writing, false);
    return st;
}

void cold_set_failure(struct cold *cold, const struct err *err)
{
    pthread_mutex_lock(&cold->failure_lock);
    cold->failure = err != NULL ? *err : (struct err){.code = ST_OK};
    pthread_mutex_unlock(&cold->failure_lock);
}

bool cold_failed(struct cold *cold, struct err *err)
{
    pthread_mutex_lock(&cold->failure_lock);
    bool failed = cold->failure.code != ST_OK;
    if (failed && err != NULL)
        *err = cold->failure;
    pthread_mutex_unlock(&cold->failure_lock);
    return failed;
}

/* ---- Opening ------------------------------------------------------------------------------------
 */

struct dir_contents {
    bool has_current;
    char data_file[256]; /* the name of some table or log; empty if none */
};

static bool ends_with(const char *text, const char *suffix)
{
    size_t len = strlen(text);
    size_t suffix_len = strlen(suffix);
    return len >= suffix_len && strcmp(text + len - suffix_len, suffix) == 0;
}

static enum status read_dir(const char *path, struct dir_contents *out, struct err *err)
{
    *out = (struct dir_contents){0};
    DIR *dir = opendir(path);
    if (dir == NULL)
        return err_set_os(err, errno == ENOENT ? ST_NOT_FOUND : ST_IO, errno,
                          "cannot read the directory %s: %s", path, strerror(errno));
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, "CURRENT") == 0)
            out->has_current = true;
        else if (ends_with(entry->d_name, ".sst") || ends_with(entry->d_name, ".log"))
            (void)snprintf(out->data_file, sizeof(out->data_file), "%s", entry->d_name);
    }
    closedir(dir);
    return ST_OK;
}

/* Makes the directory if allowed and decides whether there is a store in it. */
static enum status prepare_dir(const struct cold_options *options, bool *exists_out,
                               struct err *err)
{
    bool may_create = !options->must_exist && !options->read_only;
    if (may_create && mkdir(options->dir, 0755) != 0 && errno != EEXIST)
        return err_set_os(err, errno == ENOSPC ? ST_NO_SPACE : ST_IO, errno,
                          "cannot make the directory %s: %s", options->dir, strerror(errno));
    struct dir_contents contents;
    enum status st = read_dir(options->dir, &contents, err);
    if (st != ST_OK)
        return st;
    if (!contents.has_current && contents.data_file[0] != 0)
        return err_set(err, ST_CORRUPT, "%s/CURRENT is missing although %s is there", options->dir,
                       contents.data_file);
    if (!contents.has_current && !may_create)
        return err_set(err, ST_NOT_FOUND, "there is no store in %s", options->dir);
    *exists_out = contents.has_current;
    return ST_OK;
}

static bool is_known_family(const char *name)
{
    for (int i = 0; i < FAMILY_COUNT; i++)
        if (strcmp(name, family_names[i]) == 0)
            return true;
    return false;
}

/* RocksDB insists on opening all families; those of a newer version cannot be. */
static enum status check_families(const struct cold_setup *setup, const char *dir, struct err *err)
{
    char *text = NULL;
    size_t count = 0;
    char **names = rocksdb_list_column_families(setup->db, dir, &count, &text);
    enum status st = text == NULL ? ST_OK : cold_error_take(text, dir, err);
    for (size_t i = 0; st == ST_OK && i < count; i++)
        if (!is_known_family(names[i]))
            st = err_set(err, ST_UNSUPPORTED, "%s holds the unknown column family \"%s\"", dir,
                         names[i]);
    /* Also after a failure: the list is there, though empty. */
    rocksdb_list_column_families_destroy(names, count);
    return st;
}

/* True when the file's last bytes are those that every table ends with. */
static bool ends_as_table(int dir_fd, const char *name)
{
    static const uint8_t table_magic[8] = {0xf7, 0xcf, 0xf4, 0x85, 0xb7, 0x41, 0xe2, 0x88};
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    uint8_t last[sizeof(table_magic)] = {0};
    off_t size = lseek(fd, 0, SEEK_END);
    bool read_all = size >= (off_t)sizeof(last) &&
                    pread(fd, last, sizeof(last), size - (off_t)sizeof(last)) == sizeof(last);
    close(fd);
    return read_all && memcmp(last, table_magic, sizeof(last)) == 0;
}

/* RocksDB does not say which table made the opening fail when its end is damaged: names those. Nor
 * that a log cut short is what left some family's tables ahead. */
static void name_damaged_files(const char *path, struct err *err)
{
    DIR *dir = opendir(path);
    if (dir == NULL || err == NULL || strstr(err->message, ".sst") != NULL) {
        if (dir != NULL)
            closedir(dir);
        return;
    }
    struct err rocksdb = *err;
    if (strstr(rocksdb.message, "ahead of WALs") != NULL)
        (void)err_set(err, ST_CORRUPT, "a log file (%s/*.log) is damaged or missing (%.150s)", path,
                      rocksdb.message);
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        if (ends_with(entry->d_name, ".sst") && !ends_as_table(dirfd(dir), entry->d_name))
            (void)err_set(err, ST_CORRUPT, "%s/%s does not end as a table does (%.150s)", path,
                          entry->d_name, rocksdb.message);
    closedir(dir);
}

enum status cold_open_db(struct cold *cold, bool read_only, struct err *err)
{
    const char *dir = cold->options.dir;
    const rocksdb_options_t *family_options[FAMILY_COUNT];
    for (int i = 0; i < FAMILY_COUNT; i++)
        family_options[i] = cold->setup.families[i];
    char *text = NULL;
    if (read_only)
        cold->db = rocksdb_open_for_read_only_column_families(cold->setup.db, dir, FAMILY_COUNT,
                                                              family_names, family_options,
                                                              cold->families, 0, &text);
    else
        cold->db = rocksdb_open_column_families(cold->setup.db, dir, FAMILY_COUNT, family_names,
                                                family_options, cold->families, &text);
    if (text == NULL)
        return ST_OK;
    cold->db = NULL;
    if (strstr(text, "/LOCK") != NULL &&
        (strstr(text, "While lock file") != NULL || strstr(text, "lock hold by") != NULL)) {
        rocksdb_free(text);
        return err_set(err, ST_EXISTS, "the store in %s is in use by another process", dir);
    }
    enum status st = cold_error_take(text, dir, err);
    if (st == ST_CORRUPT)
        name_damaged_files(dir, err);
    return st;
}

void cold_close_db(struct cold *cold)
{
    if (cold->db == NULL)
        return;
    /* In this order: RocksDB asserts that no handle outlives its store. */
    for (int i = 0; i < FAMILY_COUNT; i++)
        rocksdb_column_family_handle_destroy(cold->families[i]);
    rocksdb_close(cold->db);
    cold->db = NULL;
}

static void create_call_options(struct cold *cold)
{
    cold->read = rocksdb_readoptions_create();
    cold->read_cached = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(cold->read_cached, 1 /* kBlockCacheTier */);
    cold->write = rocksdb_writeoptions_create();
    cold->write_sync = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(cold->write_sync, 1);
    cold->flush = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(cold->flush, 1);
}

enum status cold_open(const struct cold_options *options, struct cold **out, struct err *err)
{
    bool exists = false;
    enum status st = prepare_dir(options, &exists, err);
    if (st != ST_OK)
        return st;
    struct cold *cold = mem_calloc(1, sizeof(*cold));
    CHECK(pthread_mutex_init(&cold->failure_lock, NULL) == 0);
    cold_gate_init(&cold->gate);
    cold->read_only = options->read_only;
    cold->options = *options;
    cold->options.dir = mem_strdup(options->dir);
    create_call_options(cold);
    st = cold_setup_init(&cold->setup, options, err);
    if (st == ST_OK && exists)
        st = check_families(&cold->setup, options->dir, err);
    /* RocksDB itself may not survive a full disk while it is opened (cold_rocksdb_options.c). */
    if (st == ST_OK && !options->read_only)
        st = cold_probe_disk(cold, err);
    if (st == ST_OK)
        st = cold_open_db(cold, options->read_only, err);
    if (st != ST_OK) {
        cold_close(cold);
        return st;
    }
    *out = cold;
    return ST_OK;
}

/* RocksDB locks the whole file LOCK by fcntl. A lock of this kind conflicts with that, but belongs
 * to the descriptor instead of the process. */
enum status cold_lock(const char *dir, int *lock_out, struct err *err)
{
    struct buf path = {0};
    buf_append_format(&path, "%s/LOCK", dir);
    buf_append_byte(&path, 0);
    int fd = open((const char *)path.data, O_RDWR | O_CLOEXEC);
    int error = fd < 0 ? errno : 0;
    buf_deinit(&path);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &whole) != 0)
        error = errno;
    if (error == 0) {
        *lock_out = fd;
        return ST_OK;
    }
    cold_unlock(fd);
    if (error == EAGAIN || error == EACCES)
        return err_set(err, ST_EXISTS, "the store in %s is in use by another process", dir);
    return err_set_os(err, error == ENOENT || error == ENOTDIR ? ST_NOT_FOUND : ST_IO, error,
                      "cannot lock the store in %s: %s", dir, strerror(error));
}

void cold_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}

void cold_close(struct cold *cold)
{
    if (cold == NULL)
        return;
    CHECK(!atomic_load(&cold->writing));
    cold_close_db(cold);
    cold_setup_deinit(&cold->setup);
    rocksdb_flushoptions_destroy(cold->flush);
    rocksdb_writeoptions_destroy(cold->write_sync);
    rocksdb_writeoptions_destroy(cold->write);
    rocksdb_readoptions_destroy(cold->read_cached);
    rocksdb_readoptions_destroy(cold->read);
    pthread_mutex_destroy(&cold->failure_lock);
    cold_gate_deinit(&cold->gate);
    union {
        const char *borrowed;
        void *owned;
    } dir = {.borrowed = cold->options.dir};
    mem_free(dir.owned);
    mem_free(cold);
}
