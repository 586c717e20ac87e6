/* Imports that must not happen, that fail, and that are killed: the data directory then holds the
 * dataset that it held before, or the new one, and importing again works. Processes that are killed
 * are this program itself, started anew with a role as its first argument. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/mem.h"
#include "storage/cold.h"
#include "storage/env.h"
#include "storage/journal.h"
#include "tests/support/dataset.h"
#include "tests/support/env_fault.h"
#include "tests/support/harness.h"

#define FUTURE_MS    INT64_C(4102444800000) /* 2100 */
#define PROBLEM_EXIT 3

enum { OLD_KEYS = 50, NEW_KEYS = 2000 };

struct fixture {
    char *root;
    char dir[256];          /* the data directory; not made yet */
    struct rdb_file old;    /* a small dataset */
    struct rdb_file new;    /* another one, of several runs with the least memory */
    uint64_t journal_start; /* of the journal that was made */
    uint64_t journal_end;
};

static void make_rdb(struct rdb_file *file, const char *value, size_t keys)
{
    rdb_file_begin(file);
    rdb_file_select(file, 0);
    char key[32];
    uint8_t text[200];
    memset(text, 'x', sizeof(text));
    memcpy(text, value, strlen(value));
    for (size_t i = 0; i < keys; i++)
        rdb_file_put(file, bytes_make(key, (size_t)snprintf(key, sizeof(key), "key:%zu", i)),
                     bytes_make(text, i % 2 == 0 ? strlen(value) : sizeof(text)),
                     i % 10 == 0 ? FUTURE_MS : 0);
    if (keys > 1000) {
        uint8_t *large = mem_calloc(1, 100000);
        memset(large, 'L', 100000);
        rdb_file_put(file, bytes_text("large"), bytes_make(large, 100000), 0);
        mem_free(large);
    }
    rdb_file_end(file);
}

static int create_fixture(void **state)
{
    struct fixture *fixture = mem_calloc(1, sizeof(*fixture));
    fixture->root = harness_make_dir();
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "%s/data", fixture->root);
    make_rdb(&fixture->old, "old", OLD_KEYS);
    make_rdb(&fixture->new, "new", NEW_KEYS);
    *state = fixture;
    return 0;
}

static int destroy_fixture(void **state)
{
    struct fixture *fixture = *state;
    rdb_file_deinit(&fixture->old);
    rdb_file_deinit(&fixture->new);
    harness_remove_dir(fixture->root);
    mem_free(fixture->root);
    mem_free(fixture);
    return 0;
}

static enum status import_into(struct fixture *fixture, struct env *env, struct rdb_file *file,
                               bool replace, struct err *err)
{
    struct import_options options = {.env = env,
                                     .dir = fixture->dir,
                                     .replace = replace,
                                     .memory_bytes = IMPORT_MEMORY_BYTES_MIN};
    return dataset_import(&options, buf_bytes(&file->bytes), NULL, err);
}

static void import_old(struct fixture *fixture)
{
    struct err err;
    assert_ok(import_into(fixture, NULL, &fixture->old, false, &err), &err);
}

static void join(char out[1024], const char *dir, const char *name)
{
    int len = snprintf(out, 1024, "%s/%s", dir, name);
    assert_in_range(len, 1, 1023);
}

static bool exists(const char *dir, const char *name)
{
    char path[1024];
    struct stat info;
    join(path, dir, name);
    return stat(path, &info) == 0;
}

/* Which dataset the directory holds: 'o' or 'n'; it must be whole. */
static char which_dataset(struct fixture *fixture)
{
    struct dataset dataset;
    struct buf text = {0};
    struct record_header header;
    dataset_open(&dataset, fixture->dir);
    uint64_t keys = dataset_check(&dataset);
    assert_true(dataset_read(&dataset, 0, bytes_text("key:0"), &text, &header));
    char which = (char)text.data[0];
    assert_int_equal(keys, which == 'o' ? OLD_KEYS : NEW_KEYS + 1);
    buf_deinit(&text);
    dataset_close(&dataset);
    return which;
}

static uint64_t cut_offset(struct fixture *fixture)
{
    struct dataset dataset;
    dataset_open(&dataset, fixture->dir);
    uint64_t offset = dataset.state.cut_offset;
    dataset_close(&dataset);
    return offset;
}

/* ---- Journals ---- */

static struct journal_options journal_settings(const char *path, uint64_t offset)
{
    return (struct journal_options){.env = env_posix(),
                                    .dir = path,
                                    .segment_bytes = JOURNAL_SEGMENT_BYTES_MIN,
                                    .start_offset = offset,
                                    .needed_from = offset};
}

/* A journal of some segments, as a server would have left it. */
static void make_journal(struct fixture *fixture)
{
    char path[1024];
    struct err err;
    struct journal *journal;
    join(path, fixture->dir, "journal");
    struct journal_options options = journal_settings(path, 0);
    assert_ok(journal_open(&options, &journal, &err), &err);
    for (int i = 0; i < 40; i++) {
        uint8_t command[1000];
        memset(command, 'c', sizeof(command));
        journal_stage_bytes(journal, 3, bytes_make(command, sizeof(command)));
        assert_ok(journal_wait_durable(journal, journal_mark(journal), &err), &err);
    }
    fixture->journal_end = journal_end(journal);
    journal_close(journal);
}

/* What a server does first: there must be nothing to replay. */
static enum status open_as_server_would(struct fixture *fixture, struct err *err)
{
    char path[1024];
    struct journal *journal;
    uint64_t cut = cut_offset(fixture);
    join(path, fixture->dir, "journal");
    struct journal_options options = journal_settings(path, cut);
    enum status st = journal_open(&options, &journal, err);
    if (st != ST_OK)
        return st;
    if (journal_end(journal) != cut)
        st = err_set(err, ST_CORRUPT, "the journal ends elsewhere");
    journal_close(journal);
    return st;
}

/* Counts the journal's segments; the paths of the first and the last one (each may be NULL). */
static size_t find_segments(struct fixture *fixture, char *first_out, char *last_out)
{
    char path[1024];
    size_t count = 0;
    join(path, fixture->dir, "journal");
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    struct dirent *entry;
    char first[300] = "~";
    char last[300] = "";
    while ((entry = readdir(dir)) != NULL) {
        if (strstr(entry->d_name, ".journal") == NULL)
            continue;
        count++;
        if (strcmp(entry->d_name, first) < 0)
            (void)snprintf(first, sizeof(first), "%s", entry->d_name);
        if (strcmp(entry->d_name, last) > 0)
            (void)snprintf(last, sizeof(last), "%s", entry->d_name);
    }
    closedir(dir);
    if (first_out != NULL)
        join(first_out, path, first);
    if (last_out != NULL)
        join(last_out, path, last);
    return count;
}

static size_t count_segments(struct fixture *fixture)
{
    return find_segments(fixture, NULL, NULL);
}

/* ---- Refusals ---- */

static void a_dataset_is_only_replaced_when_asked_for(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    import_old(fixture);
    assert_status(import_into(fixture, NULL, &fixture->new, false, &err), ST_EXISTS);
    assert_non_null(strstr(err.message, "holds a dataset already"));
    assert_false(exists(fixture->dir, "import.tmp"));
    assert_int_equal(which_dataset(fixture), 'o');
    assert_ok(import_into(fixture, NULL, &fixture->new, true, &err), &err);
    assert_int_equal(which_dataset(fixture), 'n');
    assert_false(exists(fixture->dir, "import.tmp"));
}

static void a_journal_alone_is_a_dataset_too(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    assert_int_equal(mkdir(fixture->dir, 0755), 0);
    make_journal(fixture);
    assert_status(import_into(fixture, NULL, &fixture->new, false, &err), ST_EXISTS);
    assert_ok(import_into(fixture, NULL, &fixture->new, true, &err), &err);
    assert_int_equal(cut_offset(fixture), fixture->journal_end);
    assert_int_equal(which_dataset(fixture), 'n');
}

static void empty_directories_are_no_dataset(void **state)
{
    struct fixture *fixture = *state;
    char path[1024];
    struct err err;
    assert_int_equal(mkdir(fixture->dir, 0755), 0);
    join(path, fixture->dir, "rocksdb");
    assert_int_equal(mkdir(path, 0755), 0);
    join(path, fixture->dir, "journal");
    assert_int_equal(mkdir(path, 0755), 0);
    assert_ok(import_into(fixture, NULL, &fixture->new, false, &err), &err);
    assert_int_equal(which_dataset(fixture), 'n');
}

static void a_dataset_in_use_is_not_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct dataset dataset;
    struct err err;
    import_old(fixture);
    dataset_open(&dataset, fixture->dir);
    assert_status(import_into(fixture, NULL, &fixture->new, true, &err), ST_EXISTS);
    assert_non_null(strstr(err.message, "in use by another process"));
    dataset_close(&dataset);
    assert_int_equal(which_dataset(fixture), 'o');
}

static enum status no_input(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                            struct err *err)
{
    (void)arg;
    (void)out;
    (void)capacity;
    (void)err;
    *read_out = 0;
    return ST_OK;
}

static void two_imports_into_one_directory_are_one_too_many(void **state)
{
    struct fixture *fixture = *state;
    struct import *import;
    struct err err;
    struct import_options options = {.env = env_posix(), .dir = fixture->dir, .read = no_input};
    assert_ok(import_open(&options, &import, &err), &err);
    assert_status(import_into(fixture, NULL, &fixture->new, true, &err), ST_AGAIN);
    import_close(import);
    assert_ok(import_into(fixture, NULL, &fixture->new, false, &err), &err);
}

static void the_replaced_store_cannot_be_opened_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    struct import *import;
    struct cold *cold;
    struct err err;
    char path[1024];
    import_old(fixture);
    struct import_options options = {
        .env = env_posix(), .dir = fixture->dir, .replace = true, .read = no_input};
    assert_ok(import_open(&options, &import, &err), &err);
    join(path, fixture->dir, "rocksdb");
    struct cold_options cold_options = {.dir = path, .must_exist = true};
    assert_status(cold_open(&cold_options, &cold, &err), ST_EXISTS);
    import_close(import);
    assert_int_equal(which_dataset(fixture), 'o');
}

static void options_out_of_range_are_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct import_options cases[] = {
        {.memory_bytes = IMPORT_MEMORY_BYTES_MIN - 1}, {.db_count = IMPORT_DB_COUNT_MAX + 1},
        {.db_count_max = IMPORT_DB_COUNT_MAX + 1},     {.db_count = 17, .db_count_max = 16},
        {.large_object_bytes = (size_t)1 << 40},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct import_options options = cases[i];
        struct import *import;
        struct err err;
        options.env = env_posix();
        options.dir = fixture->dir;
        assert_status(import_open(&options, &import, &err), ST_INVALID);
    }
    assert_false(exists(fixture->root, "data"));
}

static void a_directory_that_cannot_be_made_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "%s/missing/data", fixture->root);
    assert_status(import_into(fixture, NULL, &fixture->new, false, &err), ST_NOT_FOUND);
    assert_non_null(strstr(err.message, fixture->dir));
}

/* ---- Bad input ---- */

static void a_file_cut_off_anywhere_leaves_the_old_dataset(void **state)
{
    struct fixture *fixture = *state;
    import_old(fixture);
    const size_t len = fixture->old.bytes.len;
    const size_t cuts[] = {0, 5, 9, 20, 30, len / 3, len / 2, len - 9, len - 8, len - 1};
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        struct rdb_file file = {.bytes = fixture->old.bytes};
        struct err err;
        file.bytes.len = cuts[i];
        assert_status(import_into(fixture, NULL, &file, true, &err), ST_CORRUPT);
        assert_non_null(strstr(err.message, "RDB offset "));
        assert_false(exists(fixture->dir, "import.tmp"));
    }
    assert_int_equal(which_dataset(fixture), 'o');
}

static void a_file_damaged_behind_several_runs_is_not_imported(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    uint8_t *last = fixture->new.bytes.data + fixture->new.bytes.len - 1;
    *last ^= 1; /* of the checksum */
    assert_status(import_into(fixture, NULL, &fixture->new, false, &err), ST_CORRUPT);
    assert_non_null(strstr(err.message, "checksum"));
    *last ^= 1;
    assert_false(exists(fixture->dir, "rocksdb"));
    assert_false(exists(fixture->dir, "import.tmp"));
    assert_ok(import_into(fixture, NULL, &fixture->new, false, &err), &err);
    assert_int_equal(which_dataset(fixture), 'n');
}

static void what_follows_the_rdb_is_not_lost_silently(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    buf_append_text(&fixture->new.bytes, "*1\r\n$4\r\nPING\r\n");
    assert_status(import_into(fixture, NULL, &fixture->new, false, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.message, "the input goes on"));
    assert_false(exists(fixture->dir, "rocksdb"));
}

static void more_databases_than_allowed_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct rdb_file file;
    struct err err;
    rdb_file_begin(&file);
    rdb_file_select(&file, 4);
    rdb_file_put(&file, bytes_text("k"), bytes_text("v"), 0);
    rdb_file_end(&file);
    struct import_options options = {.dir = fixture->dir, .db_count = 4, .db_count_max = 4};
    assert_status(dataset_import(&options, buf_bytes(&file.bytes), NULL, &err), ST_LIMIT);
    assert_non_null(strstr(err.message, "database 4"));
    options.db_count_max = 5;
    assert_ok(dataset_import(&options, buf_bytes(&file.bytes), NULL, &err), &err);
    rdb_file_deinit(&file);
}

static bool give_up(void *arg, const struct import_progress *progress)
{
    return progress->phase < *(enum import_phase *)arg;
}

static void an_import_can_be_given_up_in_every_phase(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    import_old(fixture);
    for (enum import_phase phase = IMPORT_READING; phase <= IMPORT_FINISHING; phase++) {
        struct import_options options = {.dir = fixture->dir,
                                         .replace = true,
                                         .memory_bytes = IMPORT_MEMORY_BYTES_MIN,
                                         .progress = give_up,
                                         .progress_arg = &phase};
        assert_status(dataset_import(&options, buf_bytes(&fixture->new.bytes), NULL, &err),
                      ST_AGAIN);
        assert_false(exists(fixture->dir, "import.tmp"));
    }
    assert_int_equal(which_dataset(fixture), 'o');
}

/* ---- The journal of a replaced dataset ---- */

static void the_new_dataset_goes_on_where_the_old_journal_ended(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    import_old(fixture);
    make_journal(fixture);
    assert_true(count_segments(fixture) > 3);
    assert_ok(import_into(fixture, NULL, &fixture->new, true, &err), &err);
    assert_int_equal(cut_offset(fixture), fixture->journal_end);
    assert_int_equal(count_segments(fixture), 0);
    assert_ok(open_as_server_would(fixture, &err), &err);
}

static void a_torn_journal_is_replaced_too(void **state)
{
    struct fixture *fixture = *state;
    char path[1024];
    struct err err;
    import_old(fixture);
    make_journal(fixture);
    (void)find_segments(fixture, NULL, path);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(truncate(path, info.st_size - 600), 0);
    assert_ok(import_into(fixture, NULL, &fixture->new, true, &err), &err);
    assert_ok(open_as_server_would(fixture, &err), &err);
    assert_true(cut_offset(fixture) < fixture->journal_end);
}

/* Damages the first segment amid its blocks. */
static void damage_journal(struct fixture *fixture)
{
    char path[1024];
    (void)find_segments(fixture, path, NULL);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 1000, SEEK_SET), 0);
    assert_int_equal(fputc('?', file), '?');
    assert_int_equal(fclose(file), 0);
}

static void a_damaged_journal_is_replaced_too(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    import_old(fixture);
    make_journal(fixture);
    damage_journal(fixture);
    assert_ok(import_into(fixture, NULL, &fixture->new, true, &err), &err);
    assert_true(cut_offset(fixture) >= fixture->journal_end);
    assert_int_equal(count_segments(fixture), 0);
    assert_ok(open_as_server_would(fixture, &err), &err);
}

/* ---- Faults ---- */

/* Fails the 1st, 2nd, ... operation of our own on files (RocksDB's are not ours to fail); later
 * ones in larger steps, unless all are asked for. */
static void whatever_fails_leaves_one_of_the_two_datasets(void **state)
{
    struct fixture *fixture = *state;
    struct env_fault *fault = env_fault_create();
    struct err err;
    import_old(fixture);
    make_journal(fixture);
    enum status st = ST_IO;
    unsigned failures = 0;
    const bool all = getenv("BASALT_TEST_EVERY_FAULT") != NULL;
    for (uint64_t nth = 1; st != ST_OK; nth += all ? 1 : 1 + nth / 6) {
        const struct env_fault_plan plan = {
            .ops = ENV_FAULT_ALL, .nth = nth, .count = 1, .error = EIO};
        env_fault_set_plan(fault, &plan);
        st = import_into(fixture, env_fault_env(fault), &fixture->new, true, &err);
        failures += st != ST_OK;
        char which = which_dataset(fixture);
        assert_true(st == ST_OK ? which == 'n' : which == 'o' || which == 'n');
        if (which == 'n' && st != ST_OK)
            assert_ok(open_as_server_would(fixture, &err), &err);
        if (which == 'n' && st == ST_OK && env_fault_failed(fault) > 0)
            st = ST_IO; /* failed where it does no harm: go on */
        if (which == 'n' && st != ST_OK) {
            assert_ok(import_into(fixture, NULL, &fixture->old, true, &err), &err);
            assert_int_equal(which_dataset(fixture), 'o');
            make_journal(fixture);
        }
    }
    assert_true(failures > 15);
    env_fault_destroy(fault);
}

static void a_full_disk_is_said_to_be_full(void **state)
{
    struct fixture *fixture = *state;
    struct env_fault *fault = env_fault_create();
    struct err err;
    const struct env_fault_plan plan = {.ops = ENV_FAULT_OP(ENV_OP_WRITE),
                                        .path_part = ".run",
                                        .nth = 5,
                                        .count = 0,
                                        .error = ENOSPC,
                                        .torn_bytes = 100};
    env_fault_set_plan(fault, &plan);
    assert_status(import_into(fixture, env_fault_env(fault), &fixture->new, false, &err),
                  ST_NO_SPACE);
    assert_false(exists(fixture->dir, "import.tmp"));
    assert_false(exists(fixture->dir, "rocksdb"));
    env_fault_destroy(fault);
}

static void damage_run(void *arg, struct env_call *call)
{
    (void)arg;
    if (call->op != ENV_OP_OPEN || (call->flags & ENV_WRITE) != 0)
        return;
    FILE *file = fopen(call->path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 500, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, 500, SEEK_SET), 0);
    (void)fputc(byte ^ 4, file);
    assert_int_equal(fclose(file), 0);
}

static void a_run_that_does_not_read_back_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    struct env_fault *fault = env_fault_create();
    struct err err;
    const struct env_fault_plan plan = {
        .ops = ENV_FAULT_OP(ENV_OP_OPEN), .path_part = ".run", .nth = 1000000, .error = EIO};
    env_fault_set_plan(fault, &plan);
    env_fault_set_watcher(fault, damage_run, NULL);
    assert_status(import_into(fixture, env_fault_env(fault), &fixture->new, false, &err),
                  ST_CORRUPT);
    assert_non_null(strstr(err.message, ".run"));
    assert_false(exists(fixture->dir, "rocksdb"));
    env_fault_destroy(fault);
}

static int fail_exchange(struct env *env, const char *a, const char *b)
{
    (void)env;
    (void)a;
    (void)b;
    return EINVAL;
}

static void file_systems_without_exchange_keep_what_they_have(void **state)
{
    struct fixture *fixture = *state;
    struct env env = *env_posix();
    struct err err;
    env.exchange = fail_exchange;
    import_old(fixture);
    assert_status(import_into(fixture, &env, &fixture->new, true, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.message, "into an empty directory"));
    assert_int_equal(which_dataset(fixture), 'o');
    assert_false(exists(fixture->dir, "import.tmp"));
}

/* ---- Kills ---- */

/* The same, but keys are added to the dataset. Those of the old one are in the new one, too. */
static enum status add_into(struct fixture *fixture, struct env *env, enum import_existing existing,
                            struct import_report *report, struct err *err)
{
    struct import_options options = {.env = env,
                                     .dir = fixture->dir,
                                     .existing = existing,
                                     .memory_bytes = IMPORT_MEMORY_BYTES_MIN};
    return dataset_import(&options, buf_bytes(&fixture->new.bytes), report, err);
}

/* The role: imports over what is in the directory, or adds to it, until the fault kills it. */
static int role_import(const char *dir, const char *spec, bool add)
{
    struct fixture fixture = {.root = NULL};
    struct env *env;
    struct err err;
    (void)snprintf(fixture.dir, sizeof(fixture.dir), "%s", dir);
    make_rdb(&fixture.new, "new", NEW_KEYS);
    if (env_posix_with_faults(spec, &env, &err) != ST_OK)
        return PROBLEM_EXIT;
    enum status st = add ? add_into(&fixture, env, IMPORT_EXISTING_REPLACED, NULL, &err)
                         : import_into(&fixture, env, &fixture.new, true, &err);
    (void)fprintf(stderr, "%s was not killed by %s: %s\n", dir, spec, err.message);
    return st == ST_OK ? 0 : PROBLEM_EXIT;
}

static void run_until_killed(struct fixture *fixture, const char *role, const char *spec)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl("/proc/self/exe", "import_failure_test", role, fixture->dir, spec,
                    (char *)NULL);
        _exit(PROBLEM_EXIT);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("%s did not kill the import", spec);
}

static void import_until_killed(struct fixture *fixture, const char *spec)
{
    run_until_killed(fixture, "import", spec);
}

static const struct {
    const char *spec;
    char dataset; /* that is there then */
} kills[] = {
    {"lock_file:import.tmp:1:KILL_AFTER", 'o'},
    {"write:.run:1:KILL", 'o'},
    {"write:.run:40:KILL_AFTER", 'o'},
    {"unlink:.run:1:KILL", 'o'}, /* merged */
    {"unlink:.run:3:KILL", 'o'},
    {"sync_dir:import.tmp/rocksdb:1:KILL", 'o'},
    {"exchange:import.tmp:1:KILL", 'o'},
    {"exchange:import.tmp:1:KILL_AFTER", 'n'},
    {"unlink:.journal:1:KILL", 'n'},
    {"unlink:.journal:2:KILL_AFTER", 'n'},
    {"sync_dir:/journal:1:KILL", 'n'},
    {"unlink:import.tmp/rocksdb/:1:KILL", 'n'},
    {"rmdir:import.tmp:1:KILL", 'n'},
};

static void a_killed_import_leaves_one_of_the_two_datasets(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    for (size_t i = 0; i < sizeof(kills) / sizeof(kills[0]); i++) {
        assert_ok(import_into(fixture, NULL, &fixture->old, i > 0, &err), &err);
        make_journal(fixture);
        import_until_killed(fixture, kills[i].spec);
        if (which_dataset(fixture) != kills[i].dataset)
            fail_msg("%s left the other dataset", kills[i].spec);
        if (kills[i].dataset == 'n')
            assert_ok(open_as_server_would(fixture, &err), &err);
        else
            assert_true(count_segments(fixture) > 3);
    }
    assert_ok(import_into(fixture, NULL, &fixture->new, true, &err), &err);
    assert_int_equal(which_dataset(fixture), 'n');
    assert_false(exists(fixture->dir, "import.tmp"));
}

static void a_killed_first_import_leaves_no_dataset(void **state)
{
    static const char *const specs[] = {"write:.run:10:KILL",
                                        "sync_dir:import.tmp/rocksdb:1:KILL_AFTER",
                                        "rename:import.tmp/rocksdb:1:KILL"};
    struct fixture *fixture = *state;
    struct err err;
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        import_until_killed(fixture, specs[i]);
        assert_false(exists(fixture->dir, "rocksdb"));
    }
    assert_ok(import_into(fixture, NULL, &fixture->new, false, &err), &err);
    assert_int_equal(which_dataset(fixture), 'n');
    assert_false(exists(fixture->dir, "import.tmp"));
}

/* With a damaged journal the end of the stream is not known: until the journal is gone, a server
 * refuses to start. */
static void a_kill_beside_a_damaged_journal_is_refused_until_imported_again(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    import_old(fixture);
    make_journal(fixture);
    damage_journal(fixture);
    import_until_killed(fixture, "exchange:import.tmp:1:KILL_AFTER");
    assert_int_equal(which_dataset(fixture), 'n');
    assert_status(open_as_server_would(fixture, &err), ST_CORRUPT);
    assert_ok(import_into(fixture, NULL, &fixture->new, true, &err), &err);
    assert_ok(open_as_server_would(fixture, &err), &err);
}

/* ---- Adding to a dataset ---- */

static void keys_are_added_to_a_dataset(void **state)
{
    struct fixture *fixture = *state;
    struct import_report report;
    struct dataset dataset;
    struct err err;
    import_old(fixture);
    assert_ok(add_into(fixture, NULL, IMPORT_EXISTING_KEPT, &report, &err), &err);
    assert_int_equal(report.keys, NEW_KEYS + 1 - OLD_KEYS);
    assert_int_equal(report.existing, OLD_KEYS);
    dataset_open(&dataset, fixture->dir);
    assert_int_equal(dataset_check(&dataset), NEW_KEYS + 1);
    dataset_assert(&dataset, 0, bytes_text("key:0"), bytes_text("old"), FUTURE_MS);
    dataset_assert(&dataset, 0, bytes_text("key:60"), bytes_text("new"), FUTURE_MS);
    dataset_close(&dataset);
    assert_ok(add_into(fixture, NULL, IMPORT_EXISTING_REPLACED, &report, &err), &err);
    assert_int_equal(report.keys, NEW_KEYS + 1);
    assert_int_equal(report.replaced, NEW_KEYS + 1);
    assert_int_equal(which_dataset(fixture), 'n');
    assert_false(exists(fixture->dir, "import.tmp"));
}

static void where_nothing_is_adding_is_importing(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    assert_ok(add_into(fixture, NULL, IMPORT_EXISTING_KEPT, NULL, &err), &err);
    assert_int_equal(which_dataset(fixture), 'n');
}

static void a_journal_that_is_ahead_is_not_added_to(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    import_old(fixture);
    make_journal(fixture);
    assert_status(add_into(fixture, NULL, IMPORT_EXISTING_KEPT, NULL, &err), ST_INVALID);
    assert_non_null(strstr(err.message, "start the server once"));
    assert_int_equal(which_dataset(fixture), 'o');
    assert_true(count_segments(fixture) > 3);
    assert_false(exists(fixture->dir, "import.tmp"));
}

static void whatever_fails_while_adding_leaves_one_of_the_two_datasets(void **state)
{
    struct fixture *fixture = *state;
    struct env_fault *fault = env_fault_create();
    struct err err;
    enum status st = ST_IO;
    unsigned failures = 0;
    import_old(fixture);
    for (uint64_t nth = 1; st != ST_OK; nth += 1 + nth / 4) {
        const struct env_fault_plan plan = {
            .ops = ENV_FAULT_ALL, .nth = nth, .count = 1, .error = EIO};
        env_fault_set_plan(fault, &plan);
        st = add_into(fixture, env_fault_env(fault), IMPORT_EXISTING_REPLACED, NULL, &err);
        failures += st != ST_OK;
        char which = which_dataset(fixture);
        assert_true(st == ST_OK ? which == 'n' : which == 'o' || which == 'n');
        if (st == ST_OK && env_fault_failed(fault) > 0)
            st = ST_IO; /* failed where it does no harm: go on */
        if (which == 'n' && st != ST_OK)
            assert_ok(import_into(fixture, NULL, &fixture->old, true, &err), &err);
    }
    assert_true(failures > 10);
    env_fault_destroy(fault);
}

static void adding_that_is_killed_leaves_one_of_the_two_datasets(void **state)
{
    static const struct {
        const char *spec;
        char dataset;
    } cases[] = {
        {"lock_file:import.tmp:1:KILL_AFTER", 'o'},
        {"write:.run:1:KILL", 'o'}, /* reading: keys have been deleted from the copy */
        {"write:.run:40:KILL_AFTER", 'o'},
        {"unlink:.run:1:KILL", 'o'},
        {"unlink:.run:3:KILL", 'o'},
        {"sync_dir:import.tmp/rocksdb:1:KILL", 'o'},
        {"exchange:import.tmp:1:KILL", 'o'},
        {"exchange:import.tmp:1:KILL_AFTER", 'n'},
        {"unlink:import.tmp/rocksdb/:1:KILL", 'n'},
        {"rmdir:import.tmp:1:KILL", 'n'},
    };
    struct fixture *fixture = *state;
    struct import_report report;
    struct err err;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_ok(import_into(fixture, NULL, &fixture->old, i > 0, &err), &err);
        run_until_killed(fixture, "add", cases[i].spec);
        if (which_dataset(fixture) != cases[i].dataset)
            fail_msg("%s left the other dataset", cases[i].spec);
        assert_ok(open_as_server_would(fixture, &err), &err);
        /* Again, whatever there is now. */
        assert_ok(add_into(fixture, NULL, IMPORT_EXISTING_REPLACED, &report, &err), &err);
        assert_int_equal(report.replaced, cases[i].dataset == 'o' ? OLD_KEYS : NEW_KEYS + 1);
        assert_int_equal(which_dataset(fixture), 'n');
        assert_false(exists(fixture->dir, "import.tmp"));
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && (strcmp(argv[1], "import") == 0 || strcmp(argv[1], "add") == 0))
        return role_import(argv[2], argv[3], argv[1][0] == 'a');
#define FIXTURE_TEST(function) TEST_WITH(function, create_fixture, destroy_fixture)
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_dataset_is_only_replaced_when_asked_for),
        FIXTURE_TEST(a_journal_alone_is_a_dataset_too),
        FIXTURE_TEST(empty_directories_are_no_dataset),
        FIXTURE_TEST(a_dataset_in_use_is_not_replaced),
        FIXTURE_TEST(two_imports_into_one_directory_are_one_too_many),
        FIXTURE_TEST(the_replaced_store_cannot_be_opened_meanwhile),
        FIXTURE_TEST(options_out_of_range_are_refused),
        FIXTURE_TEST(a_directory_that_cannot_be_made_is_named),
        FIXTURE_TEST(a_file_cut_off_anywhere_leaves_the_old_dataset),
        FIXTURE_TEST(a_file_damaged_behind_several_runs_is_not_imported),
        FIXTURE_TEST(what_follows_the_rdb_is_not_lost_silently),
        FIXTURE_TEST(more_databases_than_allowed_are_refused),
        FIXTURE_TEST(an_import_can_be_given_up_in_every_phase),
        FIXTURE_TEST(the_new_dataset_goes_on_where_the_old_journal_ended),
        FIXTURE_TEST(a_torn_journal_is_replaced_too),
        FIXTURE_TEST(a_damaged_journal_is_replaced_too),
        FIXTURE_TEST(whatever_fails_leaves_one_of_the_two_datasets),
        FIXTURE_TEST(a_full_disk_is_said_to_be_full),
        FIXTURE_TEST(a_run_that_does_not_read_back_is_noticed),
        FIXTURE_TEST(file_systems_without_exchange_keep_what_they_have),
        FIXTURE_TEST(a_killed_import_leaves_one_of_the_two_datasets),
        FIXTURE_TEST(a_killed_first_import_leaves_no_dataset),
        FIXTURE_TEST(a_kill_beside_a_damaged_journal_is_refused_until_imported_again),
        FIXTURE_TEST(keys_are_added_to_a_dataset),
        FIXTURE_TEST(where_nothing_is_adding_is_importing),
        FIXTURE_TEST(a_journal_that_is_ahead_is_not_added_to),
        FIXTURE_TEST(whatever_fails_while_adding_leaves_one_of_the_two_datasets),
        FIXTURE_TEST(adding_that_is_killed_leaves_one_of_the_two_datasets),
    };
    return RUN_TESTS("import_failure", tests);
}
