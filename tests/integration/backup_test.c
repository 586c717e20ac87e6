/* Goal: what `basalt restore` makes is the dataset at the very point that was asked for, whatever
 * happened while it was backed up; a backup that is damaged or was never finished is not restored.
 * Method: real servers, whose datasets are compared by DEBUG DIGEST; the tool is killed at ever
 * later moments until it gets through. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "codec/mem.h"
#include "storage/backup_manifest.h"
#include "storage/env.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/tool_run.h"

#define EXIT_SKIPPED 77
#define DIGEST_BYTES 64
#define KILL_STEP_US 1500
#define KILLS_MAX    400

struct fixture {
    char *root;
    char data[256], dest[256], restored[256];
    char port[16];
    struct server_fixture *server;
    struct resp_client *client;
};

static const char *const server_args[] = {"--enable-debug-command", "yes", NULL};

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    f->root = harness_make_dir();
    (void)snprintf(f->data, sizeof(f->data), "%s/data", f->root);
    (void)snprintf(f->dest, sizeof(f->dest), "%s/backups of it", f->root);
    (void)snprintf(f->restored, sizeof(f->restored), "%s/restored", f->root);
    f->server = server_fixture_start(&(struct server_options){.dir = f->data, .args = server_args});
    f->client = server_fixture_connect(f->server);
    (void)snprintf(f->port, sizeof(f->port), "%d", server_fixture_port(f->server));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    resp_client_close(f->client);
    int result = server_fixture_teardown(state);
    harness_remove_dir(f->root);
    mem_free(f->root);
    mem_free(f);
    return result;
}

/* ---- Datasets ---- */

static void fill(struct fixture *f, int from, int to)
{
    for (int i = from; i < to; i++) {
        char line[160];
        (void)snprintf(line, sizeof(line), "SET string%d value-%d", i, i);
        (void)resp_client_ask(f->client, line);
        (void)snprintf(line, sizeof(line), "HSET hash field%d %d", i, i);
        (void)resp_client_ask(f->client, line);
        (void)snprintf(line, sizeof(line), "RPUSH list element-%d", i);
        (void)resp_client_ask(f->client, line);
        (void)snprintf(line, sizeof(line), "SADD set member-%d", i * 7);
        (void)resp_client_ask(f->client, line);
    }
}

static void read_digest(struct resp_client *client, char out[DIGEST_BYTES])
{
    (void)snprintf(out, DIGEST_BYTES, "%s", resp_client_ask(client, "DEBUG DIGEST"));
}

/* The journal's end, which is the replication offset. */
static void read_offset(struct resp_client *client, char out[32])
{
    const char *info = resp_client_ask(client, "INFO replication");
    const char *at = strstr(info, "master_repl_offset:");
    assert_non_null(at);
    (void)snprintf(out, 32, "%llu", strtoull(at + strlen("master_repl_offset:"), NULL, 10));
}

/* A server on the restored directory answers with this digest; the directory goes. */
static void assert_restored(struct fixture *f, const char *digest)
{
    char actual[DIGEST_BYTES];
    char command[600];
    assert_int_equal(TOOL_RUN(f->root, "check", f->restored, "--deep"), 0);
    struct server_fixture *server =
        server_fixture_start(&(struct server_options){.dir = f->restored, .args = server_args});
    struct resp_client *client = server_fixture_connect(server);
    read_digest(client, actual);
    assert_string_equal(actual, digest);
    assert_reply(client, "SET written later", "+OK");
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_destroy(server);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", f->restored);
    assert_int_equal(system(command), 0);
}

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

static int back_up(struct fixture *f)
{
    return TOOL_RUN(f->root, "backup", "--port", f->port, f->dest);
}

/* ---- Tests ---- */

static void each_point_of_the_history_can_be_restored(void **state)
{
    struct fixture *f = *state;
    char first[DIGEST_BYTES], second[DIGEST_BYTES], third[DIGEST_BYTES];
    char offset[32];
    struct backup_list list;
    fill(f, 0, 800);
    assert_reply(f->client, "DEBUG CUT", "+OK");
    fill(f, 800, 900);
    read_digest(f->client, first);
    assert_int_equal(back_up(f), 0);
    fill(f, 900, 1000);
    read_digest(f->client, second);
    read_offset(f->client, offset);
    assert_reply(f->client, "DEL hash", ":1");
    fill(f, 0, 5);
    read_digest(f->client, third);
    assert_int_equal(TOOL_RUN(f->root, "backup", "--port", f->port, "--incremental", f->dest), 0);
    assert_reply(f->client, "FLUSHALL", "+OK");
    assert_ok(backup_list_read(env_posix(), f->dest, &list, NULL), NULL);
    assert_int_equal(list.count, 2);

    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored), 0);
    assert_restored(f, third);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--to-offset", offset), 0);
    assert_restored(f, second);
    assert_int_equal(
        TOOL_RUN(f->root, "restore", f->dest, f->restored, "--backup", list.items[0].name), 0);
    assert_restored(f, first);
    /* from the first backup on through the journal of the second */
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--backup",
                              list.items[0].name, "--to-offset", offset),
                     0);
    assert_restored(f, second);

    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--to-offset", "5"), 1);
    tool_assert_printed(f->root, "stderr", "reaches back to offset 5");
    assert_int_equal(
        TOOL_RUN(f->root, "restore", f->dest, f->restored, "--to-offset", "99999999999"), 1);
    tool_assert_printed(f->root, "stderr", "only up to offset");
    assert_false(exists(f->restored));
    backup_list_deinit(&list);
}

/* Waits for the next second of the wall clock, and tells the one that is over. */
static void pass_second(char out[32])
{
    time_t now = time(NULL);
    const struct timespec pause = {.tv_nsec = 20000000};
    while (time(NULL) == now)
        (void)nanosleep(&pause, NULL);
    (void)nanosleep(&pause, NULL); /* the server's clock has passed it, too */
    (void)snprintf(out, 32, "%lld", (long long)now);
}

static void each_moment_since_the_first_backup_can_be_restored(void **state)
{
    struct fixture *f = *state;
    char digests[4][DIGEST_BYTES];
    char times[4][32];
    char later[32];
    fill(f, 0, 20);
    assert_reply(f->client, "DEBUG CUT", "+OK");
    for (int i = 0; i < 4; i++) {
        fill(f, 100 * i, 100 * i + 10);
        read_digest(f->client, digests[i]);
        (void)resp_client_ask(f->client, "WAITAOF 1 0 5000");
        pass_second(times[i]);
        if (i == 0)
            assert_int_equal(back_up(f), 0);
        if (i == 1)
            assert_reply(f->client, "DEBUG CUT", "+OK");
    }
    assert_int_equal(back_up(f), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--to-time", times[i]),
                         0);
        assert_restored(f, digests[i]);
    }
    (void)snprintf(later, sizeof(later), "%lld", (long long)time(NULL) + 100);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--to-time", later), 1);
    tool_assert_printed(f->root, "stderr", "the last backup of this history is of");
    assert_int_equal(
        TOOL_RUN(f->root, "restore", f->dest, f->restored, "--to-time", "2001-01-01T00:00:00Z"), 1);
    tool_assert_printed(f->root, "stderr", "no backup reaches back to that time");
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--to-time", "soon"), 2);
    assert_false(exists(f->restored));
}

static void what_is_stored_already_is_not_copied_again(void **state)
{
    struct fixture *f = *state;
    assert_reply(f->client, "DEBUG POPULATE 20000 key 100", "+OK");
    assert_reply(f->client, "DEBUG CUT", "+OK");
    assert_int_equal(TOOL_RUN(f->root, "backup", "--port", f->port, "--incremental", f->dest), 1);
    tool_assert_printed(f->root, "stderr", "no backup of this dataset to build on");
    assert_int_equal(back_up(f), 0);
    assert_int_equal(
        TOOL_RUN(f->root, "backup", "--port", f->port, "--incremental", "--json", f->dest), 0);
    tool_assert_printed(f->root, "stdout", "\"copied_files\":0,\"copied_bytes\":0");
    assert_reply(f->client, "BACKUP START", ":4"); /* the server's files can go: both are whole */
    assert_int_equal(TOOL_RUN(f->root, "backup", "--verify", f->dest), 0);
    char digest[DIGEST_BYTES];
    read_digest(f->client, digest);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored), 0);
    assert_restored(f, digest);
}

static void a_stopped_dataset_can_be_backed_up(void **state)
{
    struct fixture *f = *state;
    char digest[DIGEST_BYTES];
    fill(f, 0, 300);
    read_digest(f->client, digest);
    assert_int_equal(TOOL_RUN(f->root, "backup", f->data, f->dest), 1);
    tool_assert_printed(f->root, "stderr", "is in use: back up its server");
    server_fixture_stop(f->server);
    assert_int_equal(TOOL_RUN(f->root, "backup", f->data, f->dest), 0);
    assert_int_equal(TOOL_RUN(f->root, "check", f->data, "--deep"), 0);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored), 0);
    assert_restored(f, digest);
}

static void one_backup_at_a_time_is_staged(void **state)
{
    struct fixture *f = *state;
    char stage[512];
    (void)snprintf(stage, sizeof(stage), "%s/backup", f->data);
    fill(f, 0, 10);
    assert_reply(f->client, "BACKUP END", "-ERR no backup is under way");
    assert_reply(f->client, "BACKUP START", ":1");
    assert_reply(f->client, "BACKUP START", "-BUSY a backup is under way");
    assert_int_equal(back_up(f), 1);
    tool_assert_printed(f->root, "stderr", "BUSY a backup is under way");
    assert_int_equal(TOOL_RUN(f->root, "backup", "--port", f->port, "--force", f->dest), 0);
    assert_reply(f->client, "MULTI", "+OK");
    (void)resp_client_ask(f->client, "BACKUP START");
    assert_reply(f->client, "DISCARD", "+OK");
    /* what a killed server leaves is gone after the next start */
    assert_reply(f->client, "BACKUP START", ":3");
    while (strstr(resp_client_ask(f->client, "BACKUP STATUS"), "ready") == NULL)
        continue;
    assert_true(exists(stage));
    server_fixture_kill(f->server);
    assert_true(exists(stage));
    resp_client_close(f->client);
    server_fixture_restart(f->server);
    f->client = server_fixture_connect(f->server);
    assert_false(exists(stage));
    assert_reply(f->client, "GET string3", "\"value-3\"");
}

static void damaged_backups_are_refused_naming_the_file(void **state)
{
    struct fixture *f = *state;
    struct backup_list list;
    fill(f, 0, 300);
    assert_reply(f->client, "DEBUG CUT", "+OK");
    fill(f, 300, 310); /* the journal is needed, too */
    assert_int_equal(back_up(f), 0);
    assert_ok(backup_list_read(env_posix(), f->dest, &list, NULL), NULL);
    for (size_t i = 0; i < list.items[0].count; i++) {
        const struct backup_file *file = &list.items[0].files[i];
        char stored[BACKUP_PATH_BYTES_MAX];
        char path[600];
        uint8_t byte;
        if (file->bytes == 0)
            continue;
        backup_stored_path(file, stored);
        (void)snprintf(path, sizeof(path), "%s/%s", f->dest, stored);
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, &byte, 1, (off_t)file->bytes / 2), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)file->bytes / 2), 1);
        assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored), 1);
        tool_assert_printed(f->root, "stderr", stored);
        assert_false(exists(f->restored));
        assert_int_equal(TOOL_RUN(f->root, "backup", "--verify", f->dest), 1);
        tool_assert_printed(f->root, "stderr", stored);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)file->bytes / 2), 1);
        close(fd);
    }
    char path[600];
    (void)snprintf(path, sizeof(path), "%s/backups/%s.manifest", f->dest, list.items[0].name);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 40, SEEK_SET), 0);
    (void)fputc('x', file);
    (void)fclose(file);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored), 1);
    tool_assert_printed(f->root, "stderr", ".manifest is damaged");
    backup_list_deinit(&list);
}

static void a_directory_with_something_in_it_is_left_alone(void **state)
{
    struct fixture *f = *state;
    char digest[DIGEST_BYTES];
    fill(f, 0, 20);
    read_digest(f->client, digest);
    assert_int_equal(back_up(f), 0);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->data), 1);
    tool_assert_printed(f->root, "stderr", "is not empty");
    assert_int_equal(mkdir(f->restored, 0700), 0);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored), 0);
    assert_restored(f, digest);
    assert_int_equal(TOOL_RUN(f->root, "backup", "--port", f->port, f->root), 1);
    tool_assert_printed(f->root, "stderr", "holds other things than backups");
    assert_int_equal(TOOL_RUN(f->root, "backup", f->dest), 2);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest), 2);
}

/* Runs the tool and kills it after ever longer times, up to some seconds, until it gets through;
 * how often it was killed. `held` must hold after each kill. */
static unsigned kill_until_done(struct fixture *f, const char *const *args,
                                void (*held)(struct fixture *f))
{
    long after_us = 0;
    for (unsigned kills = 0; kills < KILLS_MAX; kills++) {
        const struct timespec pause = {.tv_sec = after_us / 1000000,
                                       .tv_nsec = after_us % 1000000 * 1000};
        after_us += KILL_STEP_US + after_us / 100;
        pid_t pid = tool_start(f->root, args);
        (void)nanosleep(&pause, NULL);
        (void)kill(pid, SIGKILL);
        int status = tool_wait(pid);
        if (status == 0)
            return kills;
        assert_int_equal(status, -SIGKILL);
        held(f);
    }
    fail_msg("it never got through");
    return 0;
}

static void no_half_backup_is_there(struct fixture *f)
{
    struct backup_list list;
    enum status st = backup_list_read(env_posix(), f->dest, &list, NULL);
    assert_true(st == ST_OK || st == ST_NOT_FOUND);
    if (st == ST_OK && list.count != 0) /* killed behind its end */
        assert_int_equal(TOOL_RUN(f->root, "backup", "--verify", f->dest), 0);
    backup_list_deinit(&list);
}

static void nothing_is_restored_by_halves(struct fixture *f)
{
    if (exists(f->restored)) /* killed behind its end */
        assert_int_equal(TOOL_RUN(f->root, "check", f->restored), 0);
    char command[600];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", f->restored);
    assert_int_equal(system(command), 0);
}

static void a_killed_backup_or_restoration_leaves_nothing_half_made(void **state)
{
    struct fixture *f = *state;
    char digest[DIGEST_BYTES];
    assert_reply(f->client, "DEBUG POPULATE 30000 key 200", "+OK");
    fill(f, 0, 50);
    assert_reply(f->client, "DEBUG CUT", "+OK");
    read_digest(f->client, digest);
    const char *const backup[] = {"backup", "--port", f->port, "--force", f->dest, NULL};
    assert_true(kill_until_done(f, backup, no_half_backup_is_there) > 0);
    const char *const restore[] = {"restore", f->dest, f->restored, NULL};
    assert_true(kill_until_done(f, restore, nothing_is_restored_by_halves) > 0);
    assert_restored(f, digest);
    char path[600];
    (void)snprintf(path, sizeof(path), "ls '%s/files' | grep -q copying", f->dest);
    assert_int_not_equal(system(path), 0);
}

int main(void)
{
    if (server_fixture_program() == NULL || tool_program() == NULL)
        return EXIT_SKIPPED;
    const struct CMUnitTest tests[] = {
        TEST_WITH(each_point_of_the_history_can_be_restored, setup, teardown),
        TEST_WITH(each_moment_since_the_first_backup_can_be_restored, setup, teardown),
        TEST_WITH(what_is_stored_already_is_not_copied_again, setup, teardown),
        TEST_WITH(a_stopped_dataset_can_be_backed_up, setup, teardown),
        TEST_WITH(one_backup_at_a_time_is_staged, setup, teardown),
        TEST_WITH(damaged_backups_are_refused_naming_the_file, setup, teardown),
        TEST_WITH(a_directory_with_something_in_it_is_left_alone, setup, teardown),
        TEST_WITH(a_killed_backup_or_restoration_leaves_nothing_half_made, setup, teardown),
    };
    return RUN_TESTS("backup", tests);
}
