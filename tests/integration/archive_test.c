/* Goal: with the journal's archive every moment of the retention can be restored, from backups that
 * took it along, from an older backup and the server's journal, or from a copy of the archive;
 * where the journal has a gap, the restoration is refused. Method: real servers with small
 * segments, whose datasets are compared by DEBUG DIGEST. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/tool_run.h"

#define EXIT_SKIPPED 77
#define DIGEST_BYTES 64
#define MOMENTS      4
#define KILLS        5

struct fixture {
    char *root;
    char data[256], journal[300], dest[256], restored[256], copy[256];
    char port[16];
    struct server_fixture *server;
    struct resp_client *client;
    char digests[MOMENTS][DIGEST_BYTES];
    char times[MOMENTS][32];
    char offsets[MOMENTS][32];
};

static const char *const server_args[] = {"--enable-debug-command",
                                          "yes",
                                          "--journal-segment-size",
                                          "4kb",
                                          "--repl-backlog-size",
                                          "1",
                                          "--journal-retention-time",
                                          "3600",
                                          NULL};

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    f->root = harness_make_dir();
    (void)snprintf(f->data, sizeof(f->data), "%s/data", f->root);
    (void)snprintf(f->journal, sizeof(f->journal), "%s/journal", f->data);
    (void)snprintf(f->dest, sizeof(f->dest), "%s/backups", f->root);
    (void)snprintf(f->restored, sizeof(f->restored), "%s/restored", f->root);
    (void)snprintf(f->copy, sizeof(f->copy), "%s/copy", f->root);
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

static void remove_tree(const char *path)
{
    char command[600];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

/* ---- The dataset ---- */

static void fill(struct fixture *f, int from, int to)
{
    for (int i = from; i < to; i++) {
        char line[200];
        (void)snprintf(line, sizeof(line), "SET string%d value-%d-of-some-length", i % 70, i);
        (void)resp_client_ask(f->client, line);
        (void)snprintf(line, sizeof(line), "HSET hash field%d %d", i, i);
        (void)resp_client_ask(f->client, line);
        (void)snprintf(line, sizeof(line), "RPUSH list element-%d", i);
        (void)resp_client_ask(f->client, line);
    }
}

static void read_digest(struct resp_client *client, char out[DIGEST_BYTES])
{
    (void)snprintf(out, DIGEST_BYTES, "%s", resp_client_ask(client, "DEBUG DIGEST"));
}

static unsigned long long info(struct fixture *f, const char *section, const char *field)
{
    char line[64];
    (void)snprintf(line, sizeof(line), "INFO %s", section);
    const char *at = strstr(resp_client_ask(f->client, line), field);
    assert_non_null(at);
    return strtoull(at + strlen(field) + 1, NULL, 10);
}

/* Everything before the last cut is archived. */
static void wait_until_archived(struct fixture *f)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    int64_t give_up = harness_now_ms() + 60000;
    while (info(f, "persistence", "journal_archive_pending_segments") != 0 ||
           info(f, "tiering", "journal_segments") > 1) {
        if (harness_now_ms() > give_up)
            fail_msg("the journal was not archived");
        (void)nanosleep(&pause, NULL);
    }
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

/* Some moments with a digest, an offset and a time each, and the journal of all of them archived.
 */
static void live(struct fixture *f)
{
    for (int i = 0; i < MOMENTS; i++) {
        fill(f, 200 * i, 200 * i + 150);
        if (i == 2)
            assert_reply(f->client, "DEL hash", ":1");
        read_digest(f->client, f->digests[i]);
        (void)snprintf(f->offsets[i], sizeof(f->offsets[i]), "%llu",
                       info(f, "replication", "master_repl_offset"));
        (void)resp_client_ask(f->client, "WAITAOF 1 0 5000");
        pass_second(f->times[i]);
        assert_reply(f->client, "DEBUG CUT", "+OK");
    }
    fill(f, 1000, 1150);
    assert_reply(f->client, "DEBUG CUT", "+OK");
    wait_until_archived(f);
    assert_true(info(f, "persistence", "journal_archived_segments") > MOMENTS);
}

static int back_up(struct fixture *f)
{
    return TOOL_RUN(f->root, "backup", "--port", f->port, f->dest);
}

/* The restored directory has this digest and goes. */
static void assert_restored(struct fixture *f, const char *digest)
{
    char actual[DIGEST_BYTES];
    assert_int_equal(TOOL_RUN(f->root, "check", f->restored, "--deep"), 0);
    struct server_fixture *server =
        server_fixture_start(&(struct server_options){.dir = f->restored, .args = server_args});
    struct resp_client *client = server_fixture_connect(server);
    read_digest(client, actual);
    assert_string_equal(actual, digest);
    resp_client_close(client);
    server_fixture_destroy(server);
    remove_tree(f->restored);
}

/* ---- Tests ---- */

static void an_older_backup_and_the_servers_journal_reach_each_moment(void **state)
{
    struct fixture *f = *state;
    char now[DIGEST_BYTES];
    fill(f, 0, 50);
    assert_int_equal(back_up(f), 0);
    live(f);
    read_digest(f->client, now);
    for (int i = 0; i < MOMENTS; i++) {
        assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--journal", f->journal,
                                  "--to-time", f->times[i]),
                         0);
        assert_restored(f, f->digests[i]);
    }
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--journal", f->journal,
                              "--to-offset", f->offsets[1]),
                     0);
    assert_restored(f, f->digests[1]);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--journal", f->journal),
                     0);
    assert_restored(f, now);

    /* Without the journal, nobody knows; nor what will be. */
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--to-time", f->times[1]),
                     1);
    tool_assert_printed(f->root, "stderr", "the last backup of this history is of");
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--journal", f->journal,
                              "--to-time", "4102444800"),
                     1);
    tool_assert_printed(f->root, "stderr", "does not tell what was written up to that time");

    /* A copy of the archive alone does for what it has. */
    char command[900];
    (void)snprintf(command, sizeof(command), "cp -r '%s/archive' '%s'", f->journal, f->copy);
    assert_int_equal(system(command), 0);
    server_fixture_stop(f->server);
    remove_tree(f->data);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--journal", f->copy,
                              "--to-time", f->times[2]),
                     0);
    assert_restored(f, f->digests[2]);
}

static void backups_take_the_archive_along(void **state)
{
    struct fixture *f = *state;
    fill(f, 0, 50);
    assert_int_equal(back_up(f), 0);
    live(f);
    assert_int_equal(TOOL_RUN(f->root, "backup", "--port", f->port, "--incremental", f->dest), 0);
    assert_int_equal(
        TOOL_RUN(f->root, "backup", "--port", f->port, "--incremental", "--json", f->dest), 0);
    tool_assert_printed(f->root, "stdout", "\"copied_files\":0,");
    assert_reply(f->client, "CONFIG SET journal-retention-time 0", "+OK");
    fill(f, 2000, 2100);
    assert_reply(f->client, "DEBUG CUT", "+OK");
    while (info(f, "persistence", "journal_archived_segments") != 0)
        continue;
    assert_int_equal(TOOL_RUN(f->root, "backup", "--verify", f->dest), 0);
    for (int i = 0; i < MOMENTS; i++) {
        assert_int_equal(
            TOOL_RUN(f->root, "restore", f->dest, f->restored, "--to-time", f->times[i]), 0);
        assert_restored(f, f->digests[i]);
    }
    assert_int_equal(
        TOOL_RUN(f->root, "restore", f->dest, f->restored, "--to-offset", f->offsets[3]), 0);
    assert_restored(f, f->digests[3]);
}

static void a_gap_in_the_journal_is_refused(void **state)
{
    struct fixture *f = *state;
    fill(f, 0, 50);
    assert_int_equal(back_up(f), 0);
    assert_reply(f->client, "CONFIG SET journal-retention-time 0", "+OK");
    char time[32];
    fill(f, 50, 300);
    (void)resp_client_ask(f->client, "WAITAOF 1 0 5000");
    pass_second(time);
    fill(f, 300, 500);
    assert_reply(f->client, "DEBUG CUT", "+OK");
    while (info(f, "tiering", "journal_segments") > 1)
        continue;
    assert_reply(f->client, "CONFIG SET journal-retention-time 3600", "+OK");
    fill(f, 500, 700);
    assert_reply(f->client, "DEBUG CUT", "+OK");
    wait_until_archived(f);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--journal", f->journal,
                              "--to-time", time),
                     1);
    tool_assert_printed(f->root, "stderr", "backups and journal have the journal from backup");
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--journal", f->journal),
                     1);
    tool_assert_printed(f->root, "stderr", "only up to offset");
    assert_int_equal(back_up(f), 0);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--to-time", time), 1);
    tool_assert_printed(f->root, "stderr", "the backups have the journal from backup");
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored), 0);
}

static void a_gap_right_behind_a_backup_is_refused(void **state)
{
    struct fixture *f = *state;
    char time[32];
    fill(f, 0, 50);
    server_fixture_stop(f->server); /* its last cut has everything */
    assert_int_equal(TOOL_RUN(f->root, "backup", f->data, f->dest), 0);
    resp_client_close(f->client);
    server_fixture_restart(f->server);
    f->client = server_fixture_connect(f->server);
    assert_reply(f->client, "CONFIG SET journal-retention-time 0", "+OK");
    fill(f, 50, 300);
    (void)resp_client_ask(f->client, "WAITAOF 1 0 5000");
    pass_second(time);
    fill(f, 300, 500);
    assert_reply(f->client, "DEBUG CUT", "+OK");
    while (info(f, "tiering", "journal_segments") > 1)
        continue;
    assert_int_equal(back_up(f), 0);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--to-time", time), 1);
    tool_assert_printed(f->root, "stderr", "the backups have the journal from backup");
}

static void damage_in_the_archive_is_found(void **state)
{
    struct fixture *f = *state;
    char command[900];
    fill(f, 0, 50);
    assert_int_equal(back_up(f), 0);
    live(f);
    server_fixture_stop(f->server);
    assert_int_equal(TOOL_RUN(f->root, "check", f->data), 0);
    tool_assert_printed(f->root, "stdout", "The archive has");
    (void)snprintf(command, sizeof(command),
                   "f=$(ls '%s/archive'/*.archive | sed -n 3p) && "
                   "printf xx | dd of=\"$f\" bs=1 seek=150 conv=notrunc 2>/dev/null",
                   f->journal);
    assert_int_equal(system(command), 0);
    assert_int_equal(TOOL_RUN(f->root, "check", f->data), 3);
    tool_assert_printed(f->root, "stdout", "journal_archive: ");
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--journal", f->journal),
                     1);
    tool_assert_printed(f->root, "stderr", ".archive: ");
    struct stat info;
    assert_int_not_equal(stat(f->restored, &info), 0);
}

/* What is imported is in no journal. */
static void the_journal_before_an_import_is_not_joined_to_that_behind(void **state)
{
    struct fixture *f = *state;
    char file[300], time[32];
    (void)snprintf(file, sizeof(file), "%s/dump.rdb", f->data);
    fill(f, 0, 50);
    assert_reply(f->client, "SAVE", "+OK");
    assert_int_equal(back_up(f), 0);
    live(f);
    server_fixture_stop(f->server);
    assert_int_equal(TOOL_RUN(f->root, "rdb", "import", file, "--dir", f->data, "--replace"), 0);
    resp_client_close(f->client);
    server_fixture_restart(f->server);
    f->client = server_fixture_connect(f->server);
    fill(f, 3000, 3200);
    (void)resp_client_ask(f->client, "WAITAOF 1 0 5000");
    pass_second(time);
    assert_reply(f->client, "DEBUG CUT", "+OK");
    wait_until_archived(f);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--journal", f->journal,
                              "--to-time", time),
                     1);
    tool_assert_printed(f->root, "stderr", "does not tell what was written up to that time");
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--journal", f->journal,
                              "--to-time", f->times[1]),
                     0);
    assert_restored(f, f->digests[1]);
}

static void a_killed_server_goes_on_archiving_without_a_gap(void **state)
{
    struct fixture *f = *state;
    char digest[DIGEST_BYTES];
    char command[600];
    fill(f, 0, 50);
    assert_int_equal(back_up(f), 0);
    for (int i = 0; i < KILLS; i++) {
        const struct timespec pause = {.tv_nsec = i * 3000000};
        fill(f, 100 * i, 100 * i + 100);
        assert_reply(f->client, "DEBUG CUT", "+OK");
        fill(f, 100 * i, 100 * i + 20);
        (void)resp_client_ask(f->client, "WAITAOF 1 0 5000");
        (void)nanosleep(&pause, NULL);
        server_fixture_kill(f->server);
        resp_client_close(f->client);
        server_fixture_restart(f->server);
        f->client = server_fixture_connect(f->server);
    }
    read_digest(f->client, digest);
    assert_reply(f->client, "DEBUG CUT", "+OK");
    wait_until_archived(f);
    (void)snprintf(command, sizeof(command), "! ls '%s/archive' | grep -q tmp", f->journal);
    assert_int_equal(system(command), 0);
    server_fixture_stop(f->server);
    assert_int_equal(TOOL_RUN(f->root, "restore", f->dest, f->restored, "--journal", f->journal),
                     0);
    assert_restored(f, digest);
}

int main(void)
{
    if (server_fixture_program() == NULL || tool_program() == NULL)
        return EXIT_SKIPPED;
    const struct CMUnitTest tests[] = {
        TEST_WITH(an_older_backup_and_the_servers_journal_reach_each_moment, setup, teardown),
        TEST_WITH(backups_take_the_archive_along, setup, teardown),
        TEST_WITH(a_gap_in_the_journal_is_refused, setup, teardown),
        TEST_WITH(a_gap_right_behind_a_backup_is_refused, setup, teardown),
        TEST_WITH(damage_in_the_archive_is_found, setup, teardown),
        TEST_WITH(the_journal_before_an_import_is_not_joined_to_that_behind, setup, teardown),
        TEST_WITH(a_killed_server_goes_on_archiving_without_a_gap, setup, teardown),
    };
    return RUN_TESTS("archive", tests);
}
