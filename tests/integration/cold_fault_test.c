/* Goal: when RocksDB cannot write, cuts are tried again, writers are slowed down but nothing is
 * lost, and all goes on by itself when it can.
 *
 * Method: witnesses write to a server whose RocksDB files cannot be written while the I/O shim says
 * so; then its keys are compared with what the witnesses were promised, before and after a kill. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/io_shim.h"
#include "tests/support/model.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/witness.h"

#define PATIENCE_MS 60000
#define POLL_MS     5
#define WITNESSES   2
/* Milliseconds are promised; the rest is for write() on a disk, and threads on a machine, that
 * others load. */
#define LOSS_US_MAX 3000000

static char *data_dir;
static bool is_mounted; /* a file system of its own on it */
static struct witness *witnesses[WITNESSES];

static int setup(void **state)
{
    (void)state;
    data_dir = harness_make_dir();
    io_shim_open(data_dir);
    for (int i = 0; i < WITNESSES; i++) {
        char prefix[16];
        (void)snprintf(prefix, sizeof(prefix), "w%d.", i);
        witnesses[i] = witness_create(&(struct witness_options){.prefix = prefix,
                                                                .seed = 5 + (uint64_t)i,
                                                                .small_keys = 1000,
                                                                .large_keys = 1,
                                                                .depth = 8});
    }
    return 0;
}

static int teardown(void **state)
{
    for (int i = 0; i < WITNESSES; i++)
        witness_destroy(witnesses[i]);
    (void)server_fixture_teardown(state);
    io_shim_close();
    if (is_mounted)
        (void)umount2(data_dir, MNT_DETACH);
    is_mounted = false;
    harness_remove_dir(data_dir);
    mem_free(data_dir);
    data_dir = NULL;
    return 0;
}

static void pause_ms(int ms)
{
    struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&span, NULL);
}

static struct server_fixture *start(void)
{
    struct server_fixture *server = server_fixture_start(&(struct server_options){
        .dir = data_dir,
        .args = (const char *const[]){
            "--appendfsync", "everysec", "--flush-interval", "50", "--dirty-limit", "1mb",
            "--maxmemory", "8mb", "--memtable-size", "2mb", "--block-cache-size", "1mb",
            "--journal-segment-size", "1mb", "--enable-debug-command", "yes", NULL}});
    for (int i = 0; i < WITNESSES; i++)
        witness_use(witnesses[i], server_fixture_connect(server));
    return server;
}

static bool info_says(struct resp_client *client, const char *field)
{
    return strstr(resp_client_ask(client, "INFO everything"), field) != NULL;
}

static void step_all(void)
{
    for (int i = 0; i < WITNESSES; i++)
        assert_true(witness_step(witnesses[i]));
}

/* Goes on writing until INFO says something. */
static void write_until(struct resp_client *client, const char *field)
{
    int64_t deadline_ms = harness_now_ms() + PATIENCE_MS;
    while (!info_says(client, field)) {
        if (harness_now_ms() > deadline_ms)
            fail_msg("INFO does not say %s: %s", field, resp_client_ask(client, "INFO everything"));
        for (int i = 0; i < 5; i++)
            step_all();
    }
}

static void wait_until(struct resp_client *client, const char *field)
{
    int64_t deadline_ms = harness_now_ms() + PATIENCE_MS;
    while (!info_says(client, field)) {
        if (harness_now_ms() > deadline_ms)
            fail_msg("INFO does not say %s: %s", field, resp_client_ask(client, "INFO everything"));
        pause_ms(POLL_MS);
    }
}

/* `crash_us`: when the server was killed last. */
static void compare(struct server_fixture *server, int64_t crash_us, int64_t loss_us_max)
{
    struct resp_client *client = server_fixture_connect(server);
    struct model *found = server_read_all(client);
    assert_non_null(found);
    witnesses_settle(witnesses, WITNESSES, found, crash_us, loss_us_max, NULL);
    model_destroy(found);
    resp_client_close(client);
}

/* After the trouble: all goes on, and what the disk has is right, also after a kill. */
static void finish(struct server_fixture *server, struct resp_client *client)
{
    for (int i = 0; i < 100; i++)
        step_all();
    assert_reply(client, "DEBUG CUT", "+OK");
    assert_reply(client, "DEBUG EVICT ALL", "*");
    compare(server, witness_now_us(), 0);
    for (int i = 0; i < 100; i++)
        step_all();
    resp_client_close(client);
    int64_t crash_us = witness_now_us();
    server_fixture_kill(server);
    server_fixture_restart(server);
    compare(server, crash_us, LOSS_US_MAX);
    server_fixture_destroy(server);
}

static void fail_and_recover(uint32_t ops, const char *part, int error)
{
    struct server_fixture *server = start();
    struct resp_client *client = server_fixture_connect(server);
    for (int i = 0; i < 300; i++)
        step_all();
    assert_reply(client, "DEBUG CUT", "+OK");
    io_shim_fail(ops, part, error);
    write_until(client, "cut_status:err");
    int64_t until_ms = harness_now_ms() + 600;
    while (harness_now_ms() < until_ms)
        step_all(); /* slowed down, never refused */
    compare(server, witness_now_us(), 0);
    io_shim_clear();
    wait_until(client, "cut_status:ok");
    finish(server, client);
}

static void a_full_disk_under_rocksdbs_log_delays_cuts(void **state)
{
    (void)state;
    fail_and_recover(IO_WRITE, "/rocksdb/", ENOSPC);
}

static void an_error_of_rocksdbs_log_delays_cuts(void **state)
{
    (void)state;
    fail_and_recover(IO_WRITE, ".log", EIO);
}

static void an_error_of_rocksdbs_tables_delays_cuts(void **state)
{
    (void)state;
    fail_and_recover(IO_WRITE | IO_SYNC, ".sst", EIO);
}

static void an_error_of_rocksdbs_syncs_delays_cuts(void **state)
{
    (void)state;
    fail_and_recover(IO_SYNC, "/rocksdb/", EIO);
}

static void an_error_of_rocksdbs_manifest_delays_cuts(void **state)
{
    (void)state;
    fail_and_recover(IO_WRITE | IO_SYNC, "MANIFEST", EIO);
}

static void a_file_system_that_turned_read_only_delays_cuts(void **state)
{
    (void)state;
    fail_and_recover(IO_CHANGES, "/rocksdb/", EROFS);
}

/* The limit itself is not set: the journal's segments may exceed their size while a sync takes its
 * time, and would meet it, too. */
static void a_limit_on_file_sizes_delays_cuts(void **state)
{
    (void)state;
    fail_and_recover(IO_WRITE, "/rocksdb/", EFBIG);
}

/* Lets a file grow until the file system of the data directory has no more than `left` bytes. */
static void add_ballast(const char *path, uint64_t left)
{
    static const uint8_t zeros[4096];
    struct statvfs fs;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    do
        assert_int_equal(statvfs(data_dir, &fs), 0);
    while (fs.f_bavail * fs.f_frsize > left && write(fd, zeros, sizeof(zeros)) > 0);
    close(fd);
}

/* Journal and RocksDB on one small file system: all that can fail does. */
static void a_really_full_disk_refuses_writes_until_there_is_room(void **state)
{
    (void)state;
    char ballast[512];
    if (mount("none", data_dir, "tmpfs", 0, "size=64m") != 0)
        skip(); /* only root may */
    is_mounted = true;
    for (int i = 0; i < WITNESSES; i++) {
        witness_set_depth(witnesses[i], 1);
        witness_accept_error(witnesses[i], "MISCONF");
    }
    struct server_fixture *server = start();
    struct resp_client *client = server_fixture_connect(server);
    for (int i = 0; i < 300; i++)
        step_all();
    (void)snprintf(ballast, sizeof(ballast), "%s/ballast", data_dir);
    add_ballast(ballast, 2 << 20);
    int64_t deadline_ms = harness_now_ms() + PATIENCE_MS;
    while (witness_refused(witnesses[0]) < 50) {
        assert_true(harness_now_ms() < deadline_ms);
        if (info_says(client, "cut_status:err") && witness_refused(witnesses[0]) == 0)
            add_ballast(ballast, 0);
        step_all();
    }
    resp_client_set_timeout_ms(client, PATIENCE_MS);
    wait_until(client, "cut_status:err");
    compare(server, witness_now_us(), 0);
    assert_int_equal(unlink(ballast), 0);
    wait_until(client, "journal_status:ok");
    wait_until(client, "cut_status:ok");
    finish(server, client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(a_full_disk_under_rocksdbs_log_delays_cuts, setup, teardown),
        TEST_WITH(an_error_of_rocksdbs_log_delays_cuts, setup, teardown),
        TEST_WITH(an_error_of_rocksdbs_tables_delays_cuts, setup, teardown),
        TEST_WITH(an_error_of_rocksdbs_syncs_delays_cuts, setup, teardown),
        TEST_WITH(an_error_of_rocksdbs_manifest_delays_cuts, setup, teardown),
        TEST_WITH(a_file_system_that_turned_read_only_delays_cuts, setup, teardown),
        TEST_WITH(a_limit_on_file_sizes_delays_cuts, setup, teardown),
        TEST_WITH(a_really_full_disk_refuses_writes_until_there_is_room, setup, teardown),
    };
    return RUN_TESTS("cold_fault", tests);
}
