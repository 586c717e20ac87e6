/* Goal: a server that finds its data, its settings or its place damaged, missing or taken says
 * precisely what is wrong and where, and touches nothing; what a crash may leave is repaired with a
 * line in the log; and a place that cannot be read is an error to whoever asks for it, never a
 * missing key.
 *
 * Method: data directories are made by servers that are killed or stopped, and then damaged. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/journal_block.h"
#include "codec/mem.h"
#include "storage/cold.h"
#include "tests/support/harness.h"
#include "tests/support/model.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/witness.h"

#define PATH_BYTES     1024
#define ARGS_MAX       16
#define NOBODY         65534
#define KEYS           2000
#define VALUE_BYTES    "400"
#define EXIT_NOT_FOUND 127
#define PATIENCE_MS    20000

static char *data_dir;

static int setup(void **state)
{
    (void)state;
    data_dir = harness_make_dir();
    return 0;
}

static int teardown(void **state)
{
    (void)server_fixture_teardown(state);
    harness_remove_dir(data_dir);
    mem_free(data_dir);
    data_dir = NULL;
    return 0;
}

/* --- servers --- */

/* Cuts come only when they are asked for, so that the journal holds what the test says. */
static const char *const quiet_args[] = {"--appendfsync",
                                         "always",
                                         "--flush-interval",
                                         "3600000",
                                         "--enable-debug-command",
                                         "yes",
                                         "--journal-segment-size",
                                         "16kb",
                                         NULL};

static struct server_options quiet(void)
{
    return (struct server_options){.dir = data_dir, .args = quiet_args};
}

static struct server_fixture *start(void)
{
    struct server_options options = quiet();
    return server_fixture_start(&options);
}

static void assert_logged(const struct server_fixture *server, const char *text)
{
    char *log = server_fixture_read_log(server);
    if (strstr(log, text) == NULL)
        fail_msg("the log does not say \"%s\":\n%s", text, log);
    mem_free(log);
}

/* The server must exit with status 1 and say both. */
static void assert_refused_with(const struct server_options *options, const char *what,
                                const char *where)
{
    struct server_fixture *server = NULL;
    int status = 0;
    assert_status(server_fixture_try_start(options, &server), ST_IO);
    assert_logged(server, what);
    assert_logged(server, where);
    assert_true(server_fixture_wait_exit(server, 0, &status));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    server_fixture_destroy(server);
}

static void assert_refused(const char *what, const char *where)
{
    struct server_options options = quiet();
    assert_refused_with(&options, what, where);
}

/* --- files --- */

/* The nth file (0 is the first in the order of names, -1 the last) with the ending. */
static void find_file(const char *folder, const char *ending, int nth, char out[PATH_BYTES])
{
    char path[PATH_BYTES];
    struct dirent **entries = NULL;
    (void)snprintf(path, sizeof(path), "%s/%s", data_dir, folder);
    int count = scandir(path, &entries, NULL, alphasort);
    int found = 0;
    out[0] = '\0';
    for (int i = 0; i < count; i++) {
        size_t len = strlen(entries[i]->d_name);
        if (len > strlen(ending) &&
            strcmp(entries[i]->d_name + len - strlen(ending), ending) == 0 &&
            (found++ == nth || nth < 0))
            (void)snprintf(out, PATH_BYTES, "%.500s/%.500s", path, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (out[0] == '\0')
        fail_msg("no file \"%s\" number %d in %s", ending, nth, path);
}

static const char *base_name(const char *path)
{
    return strrchr(path, '/') + 1;
}

static uint64_t size_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (uint64_t)info.st_size;
}

static void overwrite(const char *path, uint64_t off, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, (off_t)off), len);
    close(fd);
}

static void read_at(const char *path, uint64_t off, void *data, size_t len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, data, len, (off_t)off), len);
    close(fd);
}

static void flip(const char *path, uint64_t off)
{
    uint8_t byte;
    read_at(path, off, &byte, 1);
    byte ^= 0x40;
    overwrite(path, off, &byte, 1);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* --- the journal --- */

/* A witness's history in the journal alone, several segments long; the server is killed. */
static struct witness *write_journal(void)
{
    struct witness *witness = witness_create(&(struct witness_options){.prefix = "w.", .seed = 3});
    struct server_fixture *server = start();
    witness_use(witness, server_fixture_connect(server));
    for (int i = 0; i < 600; i++)
        assert_true(witness_step(witness));
    server_fixture_kill(server);
    server_fixture_destroy(server);
    return witness;
}

/* Starts with more arguments; the state must be one that the witness has seen. Ends the witness. */
static struct witness_verdict recover(struct witness *witness, const char *arg, const char *value,
                                      const char *log_line)
{
    const char *args[ARGS_MAX] = {NULL};
    size_t count = 0;
    for (; quiet_args[count] != NULL; count++)
        args[count] = quiet_args[count];
    args[count++] = arg;
    args[count] = value;
    struct server_options options = {.dir = data_dir, .args = args};
    struct server_fixture *server = server_fixture_start(&options);
    assert_logged(server, log_line);
    struct resp_client *client = server_fixture_connect(server);
    struct model *found = server_read_all(client);
    struct witness_verdict verdict;
    witness_settle(witness, found, witness_now_us(), &verdict);
    assert_true(verdict.kept != UINT64_MAX);
    resp_client_close(client);
    witness_use(witness, server_fixture_connect(server)); /* and all goes on */
    for (int i = 0; i < 50; i++)
        assert_true(witness_step(witness));
    model_destroy(found);
    witness_destroy(witness);
    server_fixture_kill(server);
    server_fixture_restart(server);
    server_fixture_destroy(server);
    return verdict;
}

static void a_damaged_block_is_refused_with_file_and_offset(void **state)
{
    (void)state;
    char path[PATH_BYTES];
    char place[64];
    struct witness *witness = write_journal();
    find_file("journal", ".journal", 1, path);
    flip(path, size_of(path) / 2);
    assert_refused(base_name(path), "at byte ");
    (void)snprintf(place, sizeof(place), "stream offset");
    assert_refused("Fatal: ", path);
    assert_refused(path, "checksum");
    struct witness_verdict verdict =
        recover(witness, "--accept-journal-loss", "yes", "accepting the loss");
    assert_true(verdict.kept > 0 && verdict.kept < verdict.promised);
    char lost[PATH_BYTES + 8];
    find_file("journal", ".journal", 0, lost); /* what was good is still there */
}

static void a_damaged_block_in_the_last_file_is_told_from_a_torn_tail(void **state)
{
    (void)state;
    char path[PATH_BYTES];
    struct witness *witness = write_journal();
    find_file("journal", ".journal", -1, path);
    flip(path, JOURNAL_SEGMENT_HEADER_BYTES + JOURNAL_BLOCK_HEADER_BYTES + 3);
    assert_refused(path, "stream offset");
    struct witness_verdict verdict =
        recover(witness, "--accept-journal-loss", "yes", "accepting the loss");
    assert_true(verdict.kept > 0 && verdict.kept < verdict.promised);
}

static void a_missing_segment_is_refused(void **state)
{
    (void)state;
    char path[PATH_BYTES];
    char first[PATH_BYTES];
    struct witness *witness = write_journal();
    find_file("journal", ".journal", 1, path);
    find_file("journal", ".journal", 0, first);
    assert_int_equal(unlink(path), 0);
    assert_refused(first, "the next one starts at");
    struct witness_verdict verdict =
        recover(witness, "--accept-journal-loss", "yes", "accepting the loss");
    assert_true(verdict.kept > 0 && verdict.kept < verdict.promised);
}

static void a_torn_tail_is_cut_off_with_a_line_in_the_log(void **state)
{
    (void)state;
    char path[PATH_BYTES];
    struct witness *witness = write_journal();
    find_file("journal", ".journal", -1, path);
    assert_int_equal(truncate(path, (off_t)size_of(path) - 3), 0);
    struct witness_verdict verdict = recover(witness, "--accept-journal-loss", "no", "cutting off");
    assert_int_equal(verdict.kept, verdict.promised - 1);
}

static void noise_behind_the_last_block_is_cut_off(void **state)
{
    (void)state;
    static const uint8_t noise[5000] = {1, 2, 3};
    char path[PATH_BYTES];
    struct witness *witness = write_journal();
    find_file("journal", ".journal", -1, path);
    overwrite(path, size_of(path), noise, sizeof(noise));
    struct witness_verdict verdict =
        recover(witness, "--accept-journal-loss", "no", "cutting off 5000 bytes");
    assert_int_equal(verdict.kept, verdict.promised);
}

static void a_journal_of_a_newer_version_is_refused(void **state)
{
    (void)state;
    char path[PATH_BYTES];
    uint8_t header[JOURNAL_SEGMENT_HEADER_BYTES];
    witness_destroy(write_journal());
    find_file("journal", ".journal", 1, path);
    read_at(path, 0, header, sizeof(header));
    store_le32(header + 8, JOURNAL_SEGMENT_VERSION + 1);
    store_le32(header + 28, crc32c(0, header, 28));
    overwrite(path, 0, header, sizeof(header));
    assert_refused(path, "version 2");
}

/* --- the directory --- */

static void a_data_directory_in_use_is_refused(void **state)
{
    (void)state;
    struct server_fixture *server = start();
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "SET a 1", "+OK");
    assert_refused("in use by another process", data_dir);
    assert_reply(client, "GET a", "\"1\"");
    assert_reply(client, "SET a 2", "+OK");
    resp_client_close(client);
    server_fixture_kill(server);
    server_fixture_restart(server);
    client = server_fixture_connect(server);
    assert_reply(client, "GET a", "\"2\"");
    resp_client_close(client);
    server_fixture_destroy(server);
}

static void a_data_directory_of_a_newer_version_is_refused(void **state)
{
    (void)state;
    struct server_fixture *server = start();
    server_fixture_stop(server);
    server_fixture_destroy(server);
    char path[PATH_BYTES];
    struct cold *cold = NULL;
    struct err err;
    struct buf value = {0};
    (void)snprintf(path, sizeof(path), "%s/rocksdb", data_dir);
    const struct cold_options options = {.dir = path};
    assert_ok(cold_open(&options, &cold, &err), &err);
    assert_ok(cold_get(cold, FAMILY_META, bytes_text("identity"), &value, &err), &err);
    value.data[0]++;
    struct cold_batch *batch = cold_batch_create();
    cold_batch_put(batch, FAMILY_META, bytes_text("identity"), buf_bytes(&value));
    assert_ok(cold_write(cold, batch, true, &err), &err);
    cold_batch_destroy(batch);
    buf_deinit(&value);
    cold_close(cold);
    assert_refused("format version 2", "knows version 1");
}

static void a_file_in_the_place_of_a_directory_is_refused(void **state)
{
    (void)state;
    char dir[PATH_BYTES];
    char path[PATH_BYTES + 16];
    static const char *const names[] = {"journal", "rocksdb"};
    for (int i = 0; i < 2; i++) {
        (void)snprintf(dir, sizeof(dir), "%s/%d", data_dir, i);
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        assert_int_equal(mkdir(dir, 0755), 0);
        write_file(path, "not a directory");
        assert_refused_with(&(struct server_options){.dir = dir}, path, "irectory");
    }
}

/* As a user who may not: root may everything. */
static void a_directory_without_permission_is_refused(void **state)
{
    (void)state;
    char script[PATH_BYTES];
    char text[2 * PATH_BYTES];
    struct server_fixture *server = NULL;
    int status = 0;
    bool root = getuid() == 0;
    (void)snprintf(script, sizeof(script), "%s/server.sh", data_dir);
    (void)snprintf(text, sizeof(text), "#!/bin/sh\nexec %s \"%s\" \"$@\"\n",
                   root ? "setpriv --reuid 65534 --regid 65534 --clear-groups" : "",
                   server_fixture_program());
    write_file(script, text);
    assert_int_equal(chmod(script, 0755), 0);
    assert_int_equal(chmod(data_dir, root ? 0755 : 0555), 0);
    struct server_options options = quiet();
    options.program = script;
    assert_status(server_fixture_try_start(&options, &server), ST_IO);
    assert_int_equal(chmod(data_dir, 0755), 0);
    assert_true(server_fixture_wait_exit(server, 0, &status));
    if (WIFEXITED(status) && WEXITSTATUS(status) >= EXIT_NOT_FOUND - 1)
        skip(); /* no setpriv, or the server is where nobody may go */
    assert_logged(server, "Permission denied");
    assert_logged(server, data_dir);
    server_fixture_destroy(server);
}

static void missing_files_of_rocksdb_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const endings[] = {".sst", "CURRENT", ".sst"};
    char path[PATH_BYTES];
    char aside[PATH_BYTES + 8];
    struct server_fixture *server = start();
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "SET a 1", "+OK");
    assert_reply(client, "DEBUG CUT", "+OK");
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_destroy(server);
    for (int i = 0; i < 3; i++) {
        find_file("rocksdb", endings[i][0] == '.' ? endings[i] : "RENT", i == 2 ? -1 : 0, path);
        (void)snprintf(aside, sizeof(aside), "%s.aside", path);
        assert_int_equal(rename(path, aside), 0);
        assert_refused("Fatal: ", base_name(path));
        assert_int_equal(rename(aside, path), 0);
    }
    find_file("rocksdb", ".sst", 0, path);
    assert_int_equal(truncate(path, (off_t)size_of(path) / 2), 0);
    assert_refused("Fatal: ", base_name(path));
}

/* --- settings --- */

static void bad_settings_are_refused_with_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *what;
        const char *where;
    } cases[] = {
        {"appendonly yes\nno-such-setting 1\n", "Bad directive or wrong number of arguments",
         "no-such-setting 1"},
        {"\nmaxmemory lots\n", "argument must be a memory value", "maxmemory lots"},
        {"flush-interval -5\n", "argument must be between", "flush-interval -5"},
        {"appendfsync sometimes\n", "argument(s) must be one of the following", "sometimes"},
        {"save \"900 1\n", "Unbalanced quotes", "save \"900 1"},
        {"port 1 2 3\n", "wrong number of arguments", "port 1 2 3"},
        {"include /nonexistent/file.conf\n", "/nonexistent/file.conf", "No such file"},
        {"replicaof 127.0.0.1 6379\n", "replicaof 127.0.0.1 6379", "cannot be a replica"},
    };
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/basalt.conf", data_dir);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_file(path, cases[i].text);
        struct server_options options = {.dir = data_dir, .config_file = path};
        assert_refused_with(&options, cases[i].what, cases[i].where);
    }
    write_file(path, "# good\nmaxmemory 10mb\n");
    struct server_fixture *server =
        server_fixture_start(&(struct server_options){.dir = data_dir, .config_file = path});
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "CONFIG GET maxmemory", "[\"maxmemory\" \"10485760\"]");
    resp_client_close(client);
    server_fixture_destroy(server);
}

/* --- damage that is found while serving --- */

static void fill(struct server_fixture *server)
{
    struct resp_client *client = server_fixture_connect(server);
    struct buf wire = {0};
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        char value[512];
        (void)snprintf(key, sizeof(key), "key:%d", i);
        (void)snprintf(value, sizeof(value), "%0" VALUE_BYTES "d", i * 7919);
        struct bytes argv[] = {bytes_text("SET"), bytes_text(key), bytes_text(value)};
        resp_format_request(3, argv, &wire);
    }
    struct err err;
    assert_ok(resp_client_send(client, buf_bytes(&wire), &err), &err);
    for (int i = 0; i < KEYS; i++)
        assert_string_equal(resp_client_next(client), "+OK");
    buf_deinit(&wire);
    resp_client_close(client);
}

/* Each reply is the right value or IOERR; returns how many were the latter. */
static int count_unreadable(struct resp_client *client)
{
    int unreadable = 0;
    for (int i = 0; i < KEYS; i++) {
        char line[32];
        char value[512];
        (void)snprintf(line, sizeof(line), "GET key:%d", i);
        (void)snprintf(value, sizeof(value), "\"%0" VALUE_BYTES "d\"", i * 7919);
        const char *reply = resp_client_ask(client, line);
        if (strncmp(reply, "-IOERR ", 7) == 0)
            unreadable++;
        else
            assert_string_equal(reply, value);
    }
    return unreadable;
}

/* The largest table of the directory. */
static void find_data_table(char out[PATH_BYTES])
{
    char path[PATH_BYTES];
    char last[PATH_BYTES];
    uint64_t largest = 0;
    find_file("rocksdb", ".sst", -1, last);
    for (int i = 0;; i++) {
        find_file("rocksdb", ".sst", i, path);
        if (size_of(path) > largest) {
            largest = size_of(path);
            (void)snprintf(out, PATH_BYTES, "%s", path);
        }
        if (strcmp(path, last) == 0)
            return;
    }
}

static void a_damaged_table_block_is_an_error_and_never_a_missing_key(void **state)
{
    (void)state;
    char path[PATH_BYTES];
    struct server_fixture *server = start();
    fill(server);
    server_fixture_stop(server); /* a clean stop writes all to tables */
    find_data_table(path);
    flip(path, size_of(path) / 4);
    server_fixture_restart(server);
    struct resp_client *client = server_fixture_connect(server);
    int unreadable = count_unreadable(client);
    assert_true(unreadable > 0 && unreadable < KEYS / 10);
    assert_int_equal(count_unreadable(client), unreadable); /* it stays so */
    char expected[32];
    (void)snprintf(expected, sizeof(expected), ":%d", KEYS);
    assert_reply(client, "DBSIZE", expected);
    assert_reply(client, "SET another 1", "+OK");
    assert_reply(client, "PING", "+PONG");
    resp_client_close(client);
    server_fixture_destroy(server);
}

/* Finds the record of a key of the "string" family and gives it another value. */
static void damage_record(void)
{
    char path[PATH_BYTES];
    struct cold *cold = NULL;
    struct err err;
    (void)snprintf(path, sizeof(path), "%s/rocksdb", data_dir);
    const struct cold_options options = {.dir = path};
    assert_ok(cold_open(&options, &cold, &err), &err);
    struct cold_iter *iter = cold_iter_create(cold, FAMILY_STRING, NULL);
    struct cold_batch *batch = cold_batch_create();
    static const uint8_t noise[] = {0xff, 0xff, 0xff};
    cold_iter_seek_first(iter);
    assert_true(cold_iter_valid(iter));
    cold_batch_put(batch, FAMILY_STRING, cold_iter_key(iter), bytes_make(noise, sizeof(noise)));
    cold_iter_destroy(iter);
    assert_ok(cold_write(cold, batch, true, &err), &err);
    cold_batch_destroy(batch);
    cold_close(cold);
}

static void a_damaged_record_is_an_error_and_never_a_missing_key(void **state)
{
    (void)state;
    struct server_fixture *server = start();
    fill(server);
    server_fixture_stop(server); /* a clean stop writes all to tables */
    damage_record();
    server_fixture_restart(server);
    struct resp_client *client = server_fixture_connect(server);
    assert_int_equal(count_unreadable(client), 1);
    assert_int_equal(count_unreadable(client), 1);
    assert_reply(client, "PING", "+PONG");
    resp_client_close(client);
    server_fixture_destroy(server);
}

/* Writing the keys anew heals what can be healed without being read. */
static void damaged_keys_can_be_written_again(void **state)
{
    (void)state;
    char path[PATH_BYTES];
    struct server_fixture *server = start();
    fill(server);
    server_fixture_stop(server); /* a clean stop writes all to tables */
    find_data_table(path);
    flip(path, size_of(path) / 4);
    server_fixture_restart(server);
    struct resp_client *client = server_fixture_connect(server);
    assert_true(count_unreadable(client) > 0);
    fill(server);
    assert_int_equal(count_unreadable(client), 0);
    /* What is overwritten cannot be read either: that holds the cut up only for a while. */
    int64_t deadline_ms = harness_now_ms() + PATIENCE_MS;
    while (strcmp(resp_client_ask(client, "DEBUG CUT"), "+OK") != 0)
        assert_true(harness_now_ms() < deadline_ms);
    resp_client_close(client);
    server_fixture_kill(server);
    server_fixture_restart(server);
    client = server_fixture_connect(server);
    assert_int_equal(count_unreadable(client), 0);
    char expected[32];
    (void)snprintf(expected, sizeof(expected), ":%d", KEYS);
    assert_reply(client, "DBSIZE", expected);
    resp_client_close(client);
    server_fixture_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(a_damaged_block_is_refused_with_file_and_offset, setup, teardown),
        TEST_WITH(a_damaged_block_in_the_last_file_is_told_from_a_torn_tail, setup, teardown),
        TEST_WITH(a_missing_segment_is_refused, setup, teardown),
        TEST_WITH(a_torn_tail_is_cut_off_with_a_line_in_the_log, setup, teardown),
        TEST_WITH(noise_behind_the_last_block_is_cut_off, setup, teardown),
        TEST_WITH(a_journal_of_a_newer_version_is_refused, setup, teardown),
        TEST_WITH(a_data_directory_in_use_is_refused, setup, teardown),
        TEST_WITH(a_data_directory_of_a_newer_version_is_refused, setup, teardown),
        TEST_WITH(a_file_in_the_place_of_a_directory_is_refused, setup, teardown),
        TEST_WITH(a_directory_without_permission_is_refused, setup, teardown),
        TEST_WITH(missing_files_of_rocksdb_are_refused_by_name, setup, teardown),
        TEST_WITH(bad_settings_are_refused_with_file_and_line, setup, teardown),
        TEST_WITH(a_damaged_table_block_is_an_error_and_never_a_missing_key, setup, teardown),
        TEST_WITH(a_damaged_record_is_an_error_and_never_a_missing_key, setup, teardown),
        TEST_WITH(damaged_keys_can_be_written_again, setup, teardown),
    };
    return RUN_TESTS("start", tests);
}
