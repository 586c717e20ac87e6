/* The cold tier when something is wrong: killed writers, other processes, missing and damaged
 * files, refused writes. Processes that are killed or limited are this program itself, started anew
 * with a role as its first argument, since RocksDB's threads do not survive a fork. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rocksdb/c.h>

#include "codec/buf.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "storage/cold.h"
#include "tests/support/harness.h"

#define KILL_ROUNDS     4
#define BATCH_KEYS      40
#define BATCH_SLOTS     97
#define BATCH_VALUE_LEN 600
#define PROBLEM_EXIT    3

static enum status open_dir(const char *dir, struct cold **out, struct err *err)
{
    const struct cold_options options = {.dir = dir,
                                         .write_buffer_bytes = COLD_WRITE_BUFFER_BYTES_MIN,
                                         .block_cache_bytes = COLD_BLOCK_CACHE_BYTES_MIN};
    return cold_open(&options, out, err);
}

static int make_dir(void **state)
{
    *state = harness_make_dir();
    return 0;
}

static int remove_dir(void **state)
{
    harness_remove_dir(*state);
    mem_free(*state);
    return 0;
}

static char *join(const char *dir, const char *name)
{
    struct buf path = {0};
    buf_append_format(&path, "%s/%s", dir, name);
    buf_append_byte(&path, 0);
    return (char *)path.data;
}

/* The first file of the directory whose name has this beginning and this end. Caller frees. */
static char *find_file(const char *dir, const char *prefix, const char *suffix)
{
    DIR *entries = opendir(dir);
    assert_non_null(entries);
    char *found = NULL;
    struct dirent *entry;
    while (found == NULL && (entry = readdir(entries)) != NULL) {
        size_t len = strlen(entry->d_name);
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && len >= strlen(suffix) &&
            strcmp(entry->d_name + len - strlen(suffix), suffix) == 0)
            found = join(dir, entry->d_name);
    }
    closedir(entries);
    return found;
}

static const char *base_name(const char *path)
{
    return strrchr(path, '/') + 1;
}

/* ---- Batches that tell what a store must hold ---------------------------------------------------
 */

/* Batch `number` sets "number" in every family, and some slots of each, to a value made of it. */
static void fill_batch(struct cold_batch *batch, uint64_t number)
{
    uint8_t value[BATCH_VALUE_LEN];
    for (size_t at = 0; at < sizeof(value); at += 8)
        store_le64(value + at, number * 0x9e3779b97f4a7c15U + at * (number | 1));
    store_le64(value, number);
    for (int family = 0; family < FAMILY_COUNT; family++)
        cold_batch_put(batch, (enum family)family, bytes_text("number"), bytes_make(value, 8));
    for (uint64_t i = 0; i < BATCH_KEYS; i++) {
        char key[32];
        int len = snprintf(key, sizeof(key), "slot%03u",
                           (unsigned)((number * BATCH_KEYS + i) * 31 % BATCH_SLOTS));
        /* Uneven, so that families flush at different times. */
        enum family family = (enum family)((number + i * i) % (FAMILY_COUNT - 1) + 1);
        cold_batch_put(batch, family, bytes_make(key, (size_t)len),
                       bytes_make(value, sizeof(value)));
    }
}

static uint64_t read_number(struct cold *cold, enum family family, const char *key)
{
    struct buf got = {0};
    struct err err;
    enum status st = cold_get(cold, family, bytes_text(key), &got, &err);
    assert_true(st == ST_OK || st == ST_NOT_FOUND);
    uint64_t number = st == ST_OK ? load_le64(got.data) : 0;
    buf_deinit(&got);
    return number;
}

/* Asserts that the store is what batches 1..N leave behind, for the N that it names. Returns N. */
static uint64_t assert_at_one_batch(struct cold *cold)
{
    uint64_t number = read_number(cold, FAMILY_META, "number");
    uint64_t expected[FAMILY_COUNT][BATCH_SLOTS] = {{0}};
    for (uint64_t n = 1; n <= number; n++)
        for (uint64_t i = 0; i < BATCH_KEYS; i++)
            expected[(n + i * i) % (FAMILY_COUNT - 1) + 1]
                    [(n * BATCH_KEYS + i) * 31 % BATCH_SLOTS] = n;
    for (int family = 0; family < FAMILY_COUNT; family++) {
        assert_int_equal(read_number(cold, (enum family)family, "number"), number);
        for (unsigned slot = 0; slot < BATCH_SLOTS; slot++) {
            char key[32];
            (void)snprintf(key, sizeof(key), "slot%03u", slot);
            assert_int_equal(read_number(cold, (enum family)family, key), expected[family][slot]);
        }
    }
    return number;
}

static void write_batches(struct cold *cold, uint64_t from, uint64_t to)
{
    struct cold_batch *batch = cold_batch_create();
    struct err err;
    for (uint64_t n = from; n <= to; n++) {
        fill_batch(batch, n);
        assert_ok(cold_write(cold, batch, false, &err), &err);
        cold_batch_clear(batch);
    }
    cold_batch_destroy(batch);
}

/* ---- Roles of this program in another process ---------------------------------------------------
 */

struct child {
    pid_t pid;
    int output; /* what the child writes to its standard output */
};

static struct child start_role(const char *role, const char *dir)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct child child = {.pid = fork(), .output = ends[0]};
    assert_true(child.pid >= 0);
    if (child.pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/proc/self/exe", "cold_failure_test", role, dir, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    return child;
}

static void wait_for_exit(struct child *child, int expected)
{
    int status = 0;
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    close(child->output);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
}

static uint64_t read_u64(int fd)
{
    uint8_t bytes[8];
    size_t len = 0;
    while (len < sizeof(bytes)) {
        ssize_t got = read(fd, bytes + len, sizeof(bytes) - len);
        if (got <= 0)
            return 0;
        len += (size_t)got;
    }
    return load_le64(bytes);
}

static void report(uint64_t number)
{
    uint8_t bytes[8];
    store_le64(bytes, number);
    if (write(STDOUT_FILENO, bytes, sizeof(bytes)) != sizeof(bytes))
        exit(PROBLEM_EXIT);
}

/* Writes batches until killed, reporting each when its write has returned. */
static int role_writer(const char *dir)
{
    struct cold *cold = NULL;
    struct err err;
    if (open_dir(dir, &cold, &err) != ST_OK)
        return PROBLEM_EXIT;
    uint64_t number = read_number(cold, FAMILY_META, "number");
    struct cold_batch *batch = cold_batch_create();
    for (;;) {
        fill_batch(batch, ++number);
        if (cold_write(cold, batch, false, &err) != ST_OK)
            return PROBLEM_EXIT;
        cold_batch_clear(batch);
        report(number);
    }
}

/* Holds the store open until killed. */
static int role_holder(const char *dir)
{
    struct cold *cold = NULL;
    struct err err;
    if (open_dir(dir, &cold, &err) != ST_OK)
        return PROBLEM_EXIT;
    report(1);
    for (;;)
        pause();
}

/* Opens as a user who may not: exit status 0 if that is refused as it should be. */
static int role_stranger(const char *dir)
{
    if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        return PROBLEM_EXIT;
    struct cold *cold = NULL;
    struct err err = {0};
    enum status st = open_dir(dir, &cold, &err);
    bool refused = st == ST_IO && strstr(err.message, dir) != NULL &&
                   strstr(err.message, "Permission denied") != NULL;
    return refused ? 0 : PROBLEM_EXIT;
}

/* Writes under a limit of file sizes until refused, checks the state left behind, lifts the limit
 * and reopens. Returns 0 if all is as it should be, else the number of the step that was not. */
static int role_limited(const char *dir)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    struct cold *cold = NULL;
    struct err err = {0};
    if (open_dir(dir, &cold, &err) != ST_OK)
        return 10;
    const struct rlimit limited = {.rlim_cur = 300000, .rlim_max = RLIM_INFINITY};
    const struct rlimit unlimited = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &limited) != 0)
        return 11;
    struct cold_batch *batch = cold_batch_create();
    enum status st = ST_OK;
    uint64_t number = 0;
    while (st == ST_OK && number < 2000) {
        cold_batch_clear(batch);
        fill_batch(batch, ++number);
        st = cold_write(cold, batch, false, &err);
    }
    struct err failure = {0};
    if (st != ST_IO || !cold_failed(cold, &failure) || failure.code != ST_IO)
        return 12;
    if (cold_write(cold, batch, false, &err) == ST_OK)
        return 13; /* must not write behind a torn record */
    if (read_number(cold, FAMILY_META, "number") != number - 1)
        return 14; /* reads go on, and show nothing of the failed batch */
    if (cold_reopen(cold, &err) == ST_OK)
        return 15; /* it could not be written */
    if (setrlimit(RLIMIT_FSIZE, &unlimited) != 0)
        return 16;
    if (cold_write(cold, batch, false, &err) == ST_OK)
        return 19; /* it was not reopened */
    if (cold_reopen(cold, &err) != ST_OK)
        return 20;
    if (read_number(cold, FAMILY_META, "number") != number - 1)
        return 17;
    if (cold_write(cold, batch, true, &err) != ST_OK || cold_failed(cold, NULL))
        return 18; /* the batch that failed is still whole */
    cold_batch_destroy(batch);
    cold_close(cold);
    return 0;
}

/* ---- Crashes ------------------------------------------------------------------------------------
 */

static void a_killed_writer_leaves_all_families_at_one_batch(void **state)
{
    const char *dir = *state;
    uint64_t written = 0;
    for (unsigned round = 0; round < KILL_ROUNDS; round++) {
        struct child child = start_role("writer", dir);
        uint64_t target = written + 60 + 71 * round;
        while (written < target) {
            uint64_t number = read_u64(child.output);
            assert_true(number > 0);
            written = number;
        }
        kill(child.pid, SIGKILL);
        assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
        uint64_t number;
        while ((number = read_u64(child.output)) > 0)
            written = number;
        close(child.output);
        struct cold *cold = NULL;
        struct err err;
        assert_ok(open_dir(dir, &cold, &err), &err);
        uint64_t found = assert_at_one_batch(cold);
        /* Nothing that was reported is lost; one batch may have been on its way. */
        assert_in_range(found, written, written + 1);
        written = found;
        cold_close(cold);
    }
}

static void a_torn_log_is_cut_at_a_batch(void **state)
{
    const char *dir = *state;
    struct cold *cold = NULL;
    struct err err;
    assert_ok(open_dir(dir, &cold, &err), &err);
    write_batches(cold, 1, 20);
    cold_close(cold);
    char *log = find_file(dir, "", ".log");
    struct stat info;
    assert_int_equal(stat(log, &info), 0);
    assert_int_equal(truncate(log, info.st_size * 3 / 5), 0);
    mem_free(log);
    assert_ok(open_dir(dir, &cold, &err), &err);
    assert_in_range(assert_at_one_batch(cold), 5, 19);
    cold_close(cold);
}

static void write_at(const char *path, off_t offset, uint8_t mask)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    uint8_t byte = 0;
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= mask;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static void a_damaged_log_is_cut_at_a_batch(void **state)
{
    const char *dir = *state;
    struct cold *cold = NULL;
    struct err err;
    assert_ok(open_dir(dir, &cold, &err), &err);
    write_batches(cold, 1, 20);
    cold_close(cold);
    char *log = find_file(dir, "", ".log");
    struct stat info;
    assert_int_equal(stat(log, &info), 0);
    write_at(log, info.st_size / 2, 0x10);
    mem_free(log);
    assert_ok(open_dir(dir, &cold, &err), &err);
    uint64_t number = assert_at_one_batch(cold);
    assert_in_range(number, 5, 19);
    write_batches(cold, number + 1, number + 5);
    cold_close(cold);
    assert_ok(open_dir(dir, &cold, &err), &err);
    assert_int_equal(assert_at_one_batch(cold), number + 5);
    cold_close(cold);
}

/* With families flushed at different times, a log cut short may lie behind some family's tables:
 * then there is no batch at which all families could stand, and the store must be refused. */
static void a_damaged_log_never_parts_the_families(void **state)
{
    const char *dir = *state;
    for (unsigned part = 1; part < 8; part++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "part%u", part);
        char *store = join(dir, name);
        struct cold *cold = NULL;
        struct err err;
        assert_ok(open_dir(store, &cold, &err), &err);
        write_batches(cold, 1, 130);
        cold_close(cold);
        char *log = find_file(store, "", ".log");
        struct stat info;
        assert_int_equal(stat(log, &info), 0);
        write_at(log, info.st_size * part / 8, 0x01);
        enum status st = open_dir(store, &cold, &err);
        if (st == ST_OK) {
            assert_in_range(assert_at_one_batch(cold), 1, 130);
            cold_close(cold);
        } else {
            assert_status(st, ST_CORRUPT);
            assert_non_null(strstr(err.message, ".log"));
        }
        mem_free(log);
        mem_free(store);
    }
}

static void a_refused_write_leaves_the_batch_before(void **state)
{
    struct child child = start_role("limited", *state);
    wait_for_exit(&child, 0);
}

/* ---- Opening ------------------------------------------------------------------------------------
 */

static void a_store_in_use_is_refused(void **state)
{
    const char *dir = *state;
    struct child child = start_role("holder", dir);
    assert_int_equal(read_u64(child.output), 1);
    struct cold *cold = NULL;
    struct err err;
    assert_status(open_dir(dir, &cold, &err), ST_EXISTS);
    assert_non_null(strstr(err.message, dir));
    kill(child.pid, SIGKILL);
    assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
    close(child.output);
    assert_ok(open_dir(dir, &cold, &err), &err);
    struct cold *second = NULL;
    assert_status(open_dir(dir, &second, &err), ST_EXISTS);
    cold_close(cold);
}

static void a_missing_store_is_found_missing(void **state)
{
    const char *dir = *state;
    char *missing = join(dir, "missing");
    char *nested = join(dir, "missing/store");
    char *file = join(dir, "file");
    struct cold *cold = NULL;
    struct err err;
    struct cold_options options = {.dir = missing, .must_exist = true};
    assert_status(cold_open(&options, &cold, &err), ST_NOT_FOUND);
    options = (struct cold_options){.dir = missing, .read_only = true};
    assert_status(cold_open(&options, &cold, &err), ST_NOT_FOUND);
    options = (struct cold_options){.dir = dir, .must_exist = true};
    assert_status(cold_open(&options, &cold, &err), ST_NOT_FOUND);
    assert_status(open_dir(nested, &cold, &err), ST_IO);
    assert_non_null(strstr(err.message, nested));
    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_status(open_dir(file, &cold, &err), ST_IO);
    assert_null(cold);
    mem_free(missing);
    mem_free(nested);
    mem_free(file);
}

static void a_forbidden_directory_is_an_error_that_names_it(void **state)
{
    const char *dir = *state;
    struct cold *cold = NULL;
    struct err err;
    assert_ok(open_dir(dir, &cold, &err), &err);
    cold_close(cold);
    /* First the directory may not be listed, then its files may not be written. */
    assert_int_equal(chmod(dir, 0), 0);
    struct child child = start_role("stranger", dir);
    wait_for_exit(&child, 0);
    assert_int_equal(chmod(dir, 0755), 0);
    if (getuid() == 0) {
        child = start_role("stranger", dir);
        wait_for_exit(&child, 0);
    }
}

static void options_out_of_range_are_refused(void **state)
{
    const char *dir = *state;
    static const struct cold_options bad[] = {
        {.block_cache_bytes = COLD_BLOCK_CACHE_BYTES_MIN - 1},
        {.write_buffer_bytes = COLD_WRITE_BUFFER_BYTES_MIN - 1},
        {.background_jobs = COLD_BACKGROUND_JOBS_MAX + 1},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cold_options options = bad[i];
        options.dir = dir;
        struct cold *cold = NULL;
        struct err err;
        assert_status(cold_open(&options, &cold, &err), ST_INVALID);
    }
}

static void families_of_a_newer_version_are_refused(void **state)
{
    const char *dir = *state;
    struct cold *cold = NULL;
    struct err err;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    char *text = NULL;
    rocksdb_t *db = rocksdb_open(options, dir, &text);
    assert_null(text);
    rocksdb_column_family_handle_t *family =
        rocksdb_create_column_family(db, options, "graph", &text);
    assert_null(text);
    rocksdb_column_family_handle_destroy(family);
    rocksdb_close(db);
    rocksdb_options_destroy(options);
    assert_status(open_dir(dir, &cold, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.message, "graph"));
}

/* ---- Damage -------------------------------------------------------------------------------------
 */

/* Leaves a closed store with some tables of every family but meta. */
static void make_flushed_store(const char *dir)
{
    struct cold *cold = NULL;
    struct err err;
    assert_ok(open_dir(dir, &cold, &err), &err);
    write_batches(cold, 1, 10);
    assert_ok(cold_flush(cold, &err), &err);
    cold_close(cold);
}

static void assert_refused_naming(const char *dir, const char *path)
{
    struct cold *cold = NULL;
    struct err err;
    assert_status(open_dir(dir, &cold, &err), ST_CORRUPT);
    if (strstr(err.message, base_name(path)) == NULL)
        fail_msg("\"%s\" does not name %s", err.message, base_name(path));
}

static void a_missing_table_is_named(void **state)
{
    const char *dir = *state;
    make_flushed_store(dir);
    char *table = find_file(dir, "", ".sst");
    assert_int_equal(unlink(table), 0);
    assert_refused_naming(dir, table);
    mem_free(table);
}

static void a_shortened_table_is_named(void **state)
{
    const char *dir = *state;
    make_flushed_store(dir);
    char *table = find_file(dir, "", ".sst");
    struct stat info;
    assert_int_equal(stat(table, &info), 0);
    assert_int_equal(truncate(table, info.st_size - 1), 0);
    assert_refused_naming(dir, table);
    mem_free(table);
}

static void a_missing_manifest_is_named(void **state)
{
    const char *dir = *state;
    make_flushed_store(dir);
    char *manifest = find_file(dir, "MANIFEST-", "");
    assert_int_equal(unlink(manifest), 0);
    assert_refused_naming(dir, manifest);
    mem_free(manifest);
}

static void a_damaged_manifest_is_refused(void **state)
{
    const char *dir = *state;
    make_flushed_store(dir);
    char *manifest = find_file(dir, "MANIFEST-", "");
    struct stat info;
    assert_int_equal(stat(manifest, &info), 0);
    write_at(manifest, info.st_size / 2, 0x04);
    struct cold *cold = NULL;
    struct err err;
    assert_status(open_dir(dir, &cold, &err), ST_CORRUPT);
    assert_non_null(strstr(err.message, dir));
    mem_free(manifest);
}

static void a_missing_current_never_empties_the_store(void **state)
{
    const char *dir = *state;
    make_flushed_store(dir);
    char *current = join(dir, "CURRENT");
    char *aside = join(dir, "aside");
    assert_int_equal(rename(current, aside), 0);
    assert_refused_naming(dir, current);
    assert_int_equal(rename(aside, current), 0);
    struct cold *cold = NULL;
    struct err err;
    assert_ok(open_dir(dir, &cold, &err), &err);
    assert_int_equal(assert_at_one_batch(cold), 10);
    cold_close(cold);
    mem_free(current);
    mem_free(aside);
}

/* A store whose string family is one table of `count` keys. Returns the table's path. */
static char *make_string_table(const char *dir, unsigned count)
{
    struct cold *cold = NULL;
    struct err err;
    assert_ok(open_dir(dir, &cold, &err), &err);
    struct cold_batch *batch = cold_batch_create();
    for (unsigned i = 0; i < count; i++) {
        char text[64];
        int len =
            snprintf(text, sizeof(text), "key%05u-%08x%08x", i, i * 2654435761U, ~i * 2246822519U);
        cold_batch_put(batch, FAMILY_STRING, bytes_make(text, 8), bytes_make(text, (size_t)len));
    }
    assert_ok(cold_write(cold, batch, false, &err), &err);
    cold_batch_destroy(batch);
    assert_ok(cold_flush(cold, &err), &err);
    cold_close(cold);
    char *table = find_file(dir, "", ".sst");
    assert_non_null(table);
    return table;
}

static void a_damaged_block_is_an_error_and_never_an_absence(void **state)
{
    const char *dir = *state;
    enum { COUNT = 2000 };
    char *table = make_string_table(dir, COUNT);
    write_at(table, 100, 0x40); /* in the first data block */
    struct cold *cold = NULL;
    struct err err;
    assert_ok(open_dir(dir, &cold, &err), &err);
    struct bytes first = bytes_text("key00000");
    struct bytes last = bytes_text("key01999");
    struct bytes missing = bytes_text("missing");
    struct buf got = {0};
    assert_int_equal(cold_probe(cold, FAMILY_STRING, first), COLD_MAYBE);
    assert_status(cold_get_cached(cold, FAMILY_STRING, first, &got, &err), ST_AGAIN);
    assert_status(cold_get(cold, FAMILY_STRING, first, &got, &err), ST_CORRUPT);
    assert_non_null(strstr(err.message, base_name(table)));
    assert_int_equal(got.len, 0);
    assert_int_equal(cold_probe(cold, FAMILY_STRING, first), COLD_MAYBE);
    assert_ok(cold_get(cold, FAMILY_STRING, last, &got, &err), &err);

    const struct bytes keys[] = {first, last, missing};
    struct cold_result results[3];
    err.message[0] = 0;
    assert_status(cold_get_batch(cold, FAMILY_STRING, 3, keys, results, &err), ST_CORRUPT);
    assert_non_null(strstr(err.message, base_name(table)));
    assert_status(results[0].status, ST_CORRUPT);
    assert_int_equal(results[0].value.len, 0);
    assert_status(results[1].status, ST_OK);
    assert_bytes(results[1].value, buf_bytes(&got));
    assert_status(results[2].status, ST_NOT_FOUND);
    cold_results_release(results, 3);

    struct cold_iter *iter = cold_iter_create(cold, FAMILY_STRING, NULL);
    cold_iter_seek_first(iter);
    assert_false(cold_iter_valid(iter));
    assert_status(cold_iter_status(iter, &err), ST_CORRUPT);
    assert_non_null(strstr(err.message, base_name(table)));
    cold_iter_destroy(iter);
    cold_close(cold);
    buf_deinit(&got);
    mem_free(table);
}

/* Whatever byte is damaged: refused at open, or every key is right or an error. */
static void assert_no_wrong_answer(const char *dir, unsigned count)
{
    struct cold *cold = NULL;
    struct err err;
    enum status st = open_dir(dir, &cold, &err);
    if (st != ST_OK) {
        assert_status(st, ST_CORRUPT);
        return;
    }
    struct buf got = {0};
    for (unsigned i = 0; i < count; i++) {
        char text[64];
        int len =
            snprintf(text, sizeof(text), "key%05u-%08x%08x", i, i * 2654435761U, ~i * 2246822519U);
        struct bytes key = bytes_make(text, 8);
        assert_int_equal(cold_probe(cold, FAMILY_STRING, key), COLD_MAYBE);
        st = cold_get(cold, FAMILY_STRING, key, &got, &err);
        if (st == ST_OK)
            assert_bytes(buf_bytes(&got), bytes_make(text, (size_t)len));
        else
            assert_status(st, ST_CORRUPT);
    }
    buf_deinit(&got);
    cold_close(cold);
}

static void no_damaged_byte_of_a_table_gives_a_wrong_answer(void **state)
{
    const char *dir = *state;
    enum { COUNT = 60, STEPS = 24 };
    char *table = make_string_table(dir, COUNT);
    struct stat info;
    assert_int_equal(stat(table, &info), 0);
    const char *all = getenv("BASALT_TEST_EVERY_BYTE");
    off_t step = all != NULL ? 1 : info.st_size / STEPS + 1;
    for (off_t at = 0; at < info.st_size; at += step) {
        uint8_t mask = (uint8_t)(1U << (at % 8));
        write_at(table, at, mask);
        assert_no_wrong_answer(dir, COUNT);
        write_at(table, at, mask);
    }
    mem_free(table);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        static const struct {
            const char *name;
            int (*run)(const char *dir);
        } roles[] = {{"writer", role_writer},
                     {"holder", role_holder},
                     {"stranger", role_stranger},
                     {"limited", role_limited}};
        for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
            if (strcmp(argv[1], roles[i].name) == 0)
                return roles[i].run(argv[2]);
        return PROBLEM_EXIT;
    }
#define DIR_TEST(function) TEST_WITH(function, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        DIR_TEST(a_killed_writer_leaves_all_families_at_one_batch),
        DIR_TEST(a_torn_log_is_cut_at_a_batch),
        DIR_TEST(a_damaged_log_is_cut_at_a_batch),
        DIR_TEST(a_damaged_log_never_parts_the_families),
        DIR_TEST(a_refused_write_leaves_the_batch_before),
        DIR_TEST(a_store_in_use_is_refused),
        DIR_TEST(a_missing_store_is_found_missing),
        DIR_TEST(a_forbidden_directory_is_an_error_that_names_it),
        DIR_TEST(options_out_of_range_are_refused),
        DIR_TEST(families_of_a_newer_version_are_refused),
        DIR_TEST(a_missing_table_is_named),
        DIR_TEST(a_shortened_table_is_named),
        DIR_TEST(a_missing_manifest_is_named),
        DIR_TEST(a_damaged_manifest_is_refused),
        DIR_TEST(a_missing_current_never_empties_the_store),
        DIR_TEST(a_damaged_block_is_an_error_and_never_an_absence),
        DIR_TEST(no_damaged_byte_of_a_table_gives_a_wrong_answer),
    };
    return RUN_TESTS("cold_failure", tests);
}
