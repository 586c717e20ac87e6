/* The journal on files that fail: whatever call fails, and however often, what was reported durable
 * is there afterwards, no block is there by half, and service resumes by itself.
 * Method: fault loops (the 1st, 2nd, ... call fails until none is left to fail), then processes
 * that die and machines that lose power at every call; after each, the journal is opened again and
 * compared with a model (journal_fixture_check). */
#include "storage/journal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/mem.h"
#include "storage/journal_discard.h"
#include "tests/support/harness.h"
#include "tests/support/journal_fixture.h"

#define CALLS_MAX 2000

static int setup(void **state)
{
    *state = journal_fixture_create();
    return 0;
}

static int teardown(void **state)
{
    journal_fixture_destroy(*state);
    return 0;
}

/* Some segments' worth of work, with waits for durability, releases, and a reader. */
static void work(struct journal_fixture *fixture, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        struct journal_reader *reader = NULL;
        struct bytes payload;
        uint64_t offset = 0;
        uint32_t db = 0;
        journal_fixture_append(fixture, 1 + i % 3, i % 5 == 4 ? 3000 : 400);
        uint64_t end = journal_end(fixture->journal);
        if (i % 3 == 2 && journal_wait_durable(fixture->journal, end, NULL) == ST_OK)
            assert_true(journal_durable(fixture->journal) >= end);
        if (i % 4 == 3) {
            journal_release(fixture->journal, journal_durable(fixture->journal));
            uint64_t from = journal_written(fixture->journal);
            if (journal_reader_open(fixture->journal, from - from / 8, &reader, NULL) == ST_OK)
                (void)!journal_reader_next(reader, &db, &offset, &payload, NULL);
            journal_reader_close(reader);
        }
        journal_fixture_note(fixture);
    }
}

/* A first life that ends by a kill, with a torn write at the end. */
static void live_and_die(struct journal_fixture *fixture)
{
    char path[512];
    struct buf content = {0};
    journal_fixture_open(fixture);
    work(fixture, 7);
    journal_fixture_sync(fixture);
    env_fault_kill(fixture->fault);
    journal_fixture_close(fixture);
    env_fault_revive(fixture->fault);
    (void)journal_fixture_segments(fixture, -1, path);
    journal_fixture_read_file(path, &content);
    buf_append_text(&content, "BJB1 and no more");
    journal_fixture_write_file(path, buf_bytes(&content));
    buf_deinit(&content);
}

/* A second life with the plan; whether a call failed. */
static bool live_with_plan(struct journal_fixture *fixture, const struct env_fault_plan *plan)
{
    env_fault_set_plan(fixture->fault, plan);
    if (journal_fixture_try_open(fixture, NULL) == ST_OK)
        work(fixture, 14);
    return env_fault_failed(fixture->fault) > 0;
}

static void failed_calls_anywhere_lose_nothing(uint64_t in_a_row, enum journal_fsync fsync)
{
    uint64_t nth = 0;
    bool failed = true;
    while (failed && nth < CALLS_MAX) {
        struct journal_fixture *fixture = journal_fixture_create();
        nth++;
        fixture->options.retain_bytes = 8000;
        live_and_die(fixture);
        fixture->options.fsync = fsync;
        struct env_fault_plan plan = {.ops = ENV_FAULT_ALL,
                                      .nth = nth,
                                      .count = in_a_row,
                                      .error = nth % 2 == 0 ? EIO : ENOSPC,
                                      .torn_bytes = nth % 5 * 17};
        failed = live_with_plan(fixture, &plan);
        if (fixture->journal != NULL) {
            /* More failures in a row than one may outlast the attempt that closing makes. */
            if (in_a_row > 1)
                WAIT_UNTIL(!journal_failed(fixture->journal, NULL));
            if (in_a_row > 1)
                env_fault_set_plan(fixture->fault, NULL);
            journal_fixture_close(fixture);
            fixture->durable = fixture->start + fixture->model.len;
            failed = failed || env_fault_failed(fixture->fault) > 0;
        }
        env_fault_set_plan(fixture->fault, NULL);
        journal_fixture_open(fixture);
        work(fixture, 3);
        journal_fixture_close(fixture);
        fixture->durable = fixture->start + fixture->model.len;
        journal_fixture_open(fixture);
        journal_fixture_destroy(fixture);
    }
    assert_true(nth > 40 && nth < CALLS_MAX);
}

static void one_failed_call_anywhere_loses_nothing(void **state)
{
    (void)state;
    failed_calls_anywhere_lose_nothing(1, JOURNAL_FSYNC_ALWAYS);
    failed_calls_anywhere_lose_nothing(1, JOURNAL_FSYNC_NO);
}

static void some_failed_calls_in_a_row_lose_nothing(void **state)
{
    (void)state;
    failed_calls_anywhere_lose_nothing(4, JOURNAL_FSYNC_ALWAYS);
    failed_calls_anywhere_lose_nothing(4, JOURNAL_FSYNC_NO);
}

enum end {
    END_CLOSE,
    END_KILL,
    END_POWER_DROP,
    END_POWER_RANDOM,
    END_COUNT,
};

/* From the nth call on all fail; then the journal is closed, or the process or the machine dies. */
static void dead_disk_then(enum end end, uint32_t ops)
{
    uint64_t nth = 0;
    bool failed = true;
    while (failed && nth < CALLS_MAX) {
        struct journal_fixture *fixture = journal_fixture_create();
        fixture->random += ++nth;
        if (nth % 2 == 1)
            fixture->options.fsync = JOURNAL_FSYNC_NO;
        struct env_fault_plan plan = {
            .ops = ops, .nth = nth, .error = EIO, .torn_bytes = nth % 3 * 31};
        live_and_die(fixture);
        failed = live_with_plan(fixture, &plan);
        if (end == END_POWER_DROP || end == END_POWER_RANDOM)
            env_fault_kill(fixture->fault); /* no closing mark */
        if (end == END_KILL)
            env_fault_kill(fixture->fault);
        journal_fixture_close(fixture);
        if (end == END_POWER_DROP)
            env_fault_power_cut(fixture->fault, ENV_FAULT_CUT_DROP, nth);
        if (end == END_POWER_RANDOM)
            env_fault_power_cut(fixture->fault, ENV_FAULT_CUT_RANDOM, nth);
        env_fault_set_plan(fixture->fault, NULL);
        env_fault_revive(fixture->fault);
        journal_fixture_open(fixture);
        work(fixture, 3);
        journal_fixture_sync(fixture);
        journal_fixture_close(fixture);
        journal_fixture_open(fixture);
        journal_fixture_destroy(fixture);
    }
    assert_true(nth > 5 && nth < CALLS_MAX);
}

static void what_was_durable_survives_a_dead_disk_at_any_call(void **state)
{
    (void)state;
    for (int end = 0; end < END_COUNT; end++)
        dead_disk_then((enum end)end, ENV_FAULT_WRITES);
}

static void what_was_durable_survives_failing_syncs_and_a_power_cut(void **state)
{
    (void)state;
    dead_disk_then(END_POWER_RANDOM, ENV_FAULT_OP(ENV_OP_FDATASYNC));
    dead_disk_then(END_POWER_DROP, ENV_FAULT_OP(ENV_OP_FDATASYNC));
}

static void power_cuts_in_a_row_lose_nothing_durable(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct journal_fixture *fixture = journal_fixture_create();
        fixture->random += seed * 77777;
        for (unsigned life = 0; life < 12; life++) {
            fixture->options.fsync =
                (enum journal_fsync)journal_fixture_random(fixture, JOURNAL_FSYNC_NO + 1);
            journal_fixture_open(fixture);
            work(fixture, (unsigned)journal_fixture_random(fixture, 20));
            if (journal_fixture_random(fixture, 4) == 0) {
                journal_fixture_close(fixture);
                fixture->durable = fixture->start + fixture->model.len;
            }
            env_fault_kill(fixture->fault);
            journal_fixture_close(fixture);
            env_fault_power_cut(fixture->fault, ENV_FAULT_CUT_RANDOM, seed * 1000 + life);
            env_fault_revive(fixture->fault);
        }
        journal_fixture_destroy(fixture);
    }
}

static void the_failed_state_says_why_and_ends_by_itself(void **state)
{
    struct journal_fixture *fixture = *state;
    struct err err;
    journal_fixture_open(fixture);
    journal_fixture_append(fixture, 3, 300);
    journal_fixture_sync(fixture);
    struct env_fault_plan full = {.ops = ENV_FAULT_OP(ENV_OP_WRITEV) | ENV_FAULT_OP(ENV_OP_WRITE),
                                  .nth = 1,
                                  .error = ENOSPC,
                                  .torn_bytes = 10};
    env_fault_set_plan(fixture->fault, &full);
    journal_fixture_append(fixture, 3, 300);
    uint64_t end = journal_end(fixture->journal);
    assert_status(journal_wait_durable(fixture->journal, end, &err), ST_NO_SPACE);
    assert_non_null(strstr(err.message, "No space left on device"));
    assert_int_equal(err.os_errno, ENOSPC);
    assert_true(journal_failed(fixture->journal, &err));
    assert_int_equal(err.code, ST_NO_SPACE);
    WAIT_UNTIL(journal_fixture_logged(fixture, "Writes are refused"));
    /* Reading goes on. */
    struct journal_reader *reader = NULL;
    assert_ok(journal_reader_open(fixture->journal, 0, &reader, &err), &err);
    journal_fixture_check_reader(fixture, reader);
    /* What comes in meanwhile is kept, too. */
    journal_fixture_append(fixture, 3, 300000);
    WAIT_UNTIL(env_fault_failed(fixture->fault) > 3);
    assert_true(journal_failed(fixture->journal, NULL));
    assert_true(journal_durable(fixture->journal) < end);

    env_fault_set_plan(fixture->fault, NULL);
    WAIT_UNTIL(!journal_failed(fixture->journal, &err));
    journal_fixture_sync(fixture);
    journal_fixture_check_reader(fixture, reader);
    journal_reader_close(reader);
    assert_true(journal_fixture_logged(fixture, "can be written again"));
    struct journal_stats stats;
    journal_read_stats(fixture->journal, &stats);
    assert_false(stats.failed);
    assert_int_equal(stats.failure_count, 1);
    assert_int_equal(stats.recovery_count, 1);
    assert_int_equal(stats.last_error.code, ST_NO_SPACE);
    journal_fixture_close(fixture);
    journal_fixture_open(fixture);
}

struct sync_log {
    _Atomic int fds[16];
    _Atomic unsigned count;
};

static void log_sync(void *arg, struct env_call *call)
{
    struct sync_log *log = arg;
    unsigned index = atomic_fetch_add(&log->count, 1);
    if (index < 16)
        atomic_store(&log->fds[index], call->fd);
}

static void a_failed_sync_is_not_repeated_on_the_same_file(void **state)
{
    struct journal_fixture *fixture = *state;
    struct sync_log log = {.count = 0};
    fixture->options.segment_bytes = 0;
    journal_fixture_open(fixture);
    struct env_fault_plan plan = {
        .ops = ENV_FAULT_OP(ENV_OP_FDATASYNC), .nth = 2, .count = 1, .error = EIO};
    env_fault_set_plan(fixture->fault, &plan);
    env_fault_set_watcher(fixture->fault, log_sync, &log);
    for (unsigned i = 0; i < 4; i++) {
        journal_fixture_append(fixture, 1, 100);
        WAIT_UNTIL(journal_durable(fixture->journal) == journal_end(fixture->journal));
        WAIT_UNTIL(!journal_failed(fixture->journal, NULL));
    }
    env_fault_set_watcher(fixture->fault, NULL, NULL);
    unsigned count = atomic_load(&log.count);
    assert_int_equal(count, 5); /* 4 and the failed one; the new file's first is that of block 2 */
    assert_int_equal(log.fds[0], log.fds[1]);
    for (unsigned i = 2; i < count; i++)
        assert_int_not_equal(log.fds[i], log.fds[1]);
    assert_int_equal(env_fault_failed(fixture->fault), 1);
    journal_fixture_close(fixture);
    assert_int_equal(journal_fixture_segments(fixture, 0, NULL), 2);
    fixture->durable = fixture->model.len;
    journal_fixture_open(fixture);
}

static void what_a_failed_sync_left_in_the_page_cache_is_not_trusted(void **state)
{
    struct journal_fixture *fixture = *state;
    journal_fixture_open(fixture);
    journal_fixture_append(fixture, 2, 100);
    journal_fixture_sync(fixture);
    uint64_t durable = fixture->durable;
    struct env_fault_plan plan = {.ops = ENV_FAULT_OP(ENV_OP_FDATASYNC), .nth = 1, .error = EIO};
    env_fault_set_plan(fixture->fault, &plan);
    journal_fixture_append(fixture, 2, 100);
    WAIT_UNTIL(journal_failed(fixture->journal, NULL));
    env_fault_kill(fixture->fault);
    journal_fixture_close(fixture);
    env_fault_set_plan(fixture->fault, NULL);
    env_fault_revive(fixture->fault);
    /* The bytes can still be read, and a sync would succeed: but they are not on the disk. */
    journal_fixture_open(fixture);
    assert_int_equal(journal_end(fixture->journal), durable);
    journal_fixture_append(fixture, 2, 100);
    journal_fixture_sync(fixture);
    env_fault_kill(fixture->fault);
    journal_fixture_close(fixture);
    env_fault_power_cut(fixture->fault, ENV_FAULT_CUT_DROP, 1);
    env_fault_revive(fixture->fault);
    journal_fixture_open(fixture);
}

static void what_a_given_up_file_still_holds_is_superseded(void **state)
{
    struct journal_fixture *fixture = *state;
    journal_fixture_open(fixture);
    journal_fixture_append(fixture, 2, 100);
    journal_fixture_sync(fixture);
    /* The sync of the second block fails, and so does cutting it off the old file later. */
    struct env_fault_plan plan = {.ops = ENV_FAULT_OP(ENV_OP_FDATASYNC) |
                                         ENV_FAULT_OP(ENV_OP_TRUNCATE),
                                  .path_part = "/00000000000000000000.journal",
                                  .nth = 1,
                                  .error = EIO};
    env_fault_set_plan(fixture->fault, &plan);
    for (unsigned i = 0; i < 3; i++) {
        journal_fixture_append(fixture, 2, 100);
        WAIT_UNTIL(journal_durable(fixture->journal) == journal_end(fixture->journal));
    }
    WAIT_UNTIL(env_fault_failed(fixture->fault) == 2);
    journal_fixture_close(fixture);
    assert_int_equal(journal_fixture_segments(fixture, 0, NULL), 2);
    journal_fixture_open(fixture);
    assert_int_equal(journal_end(fixture->journal), fixture->model.len);
}

static void a_failure_at_a_segments_start_replaces_the_segment(void **state)
{
    struct journal_fixture *fixture = *state;
    journal_fixture_open(fixture);
    struct journal_reader *reader = NULL;
    struct env_fault_plan plan = {
        .ops = ENV_FAULT_OP(ENV_OP_FDATASYNC), .nth = 1, .count = 1, .error = EIO};
    env_fault_set_plan(fixture->fault, &plan);
    fixture->options.retry_ms = 1;
    journal_fixture_append(fixture, 2, 100);
    WAIT_UNTIL(journal_written(fixture->journal) == journal_end(fixture->journal));
    assert_ok(journal_reader_open(fixture->journal, 0, &reader, NULL), NULL);
    WAIT_UNTIL(journal_durable(fixture->journal) == journal_end(fixture->journal));
    journal_fixture_append(fixture, 2, 100);
    WAIT_UNTIL(journal_durable(fixture->journal) == journal_end(fixture->journal));
    assert_int_equal(journal_fixture_segments(fixture, 0, NULL), 1);
    journal_fixture_check_reader(fixture, reader);
    journal_reader_close(reader);
    journal_fixture_close(fixture);
    journal_fixture_open(fixture);
    assert_int_equal(journal_end(fixture->journal), fixture->boundaries[2].offset);
}

static void a_segment_that_cannot_be_deleted_is_tried_again(void **state)
{
    struct journal_fixture *fixture = *state;
    fixture->options.retain_bytes = 0;
    journal_fixture_open(fixture);
    while (journal_end(fixture->journal) < 20000)
        journal_fixture_append(fixture, 3, 300);
    journal_fixture_sync(fixture);
    size_t before = journal_fixture_segments(fixture, 0, NULL);
    struct env_fault_plan plan = {.ops = ENV_FAULT_OP(ENV_OP_UNLINK), .nth = 1, .error = EACCES};
    env_fault_set_plan(fixture->fault, &plan);
    journal_release(fixture->journal, 10000);
    WAIT_UNTIL(journal_fixture_logged(fixture, "cannot delete"));
    struct journal_stats stats;
    journal_read_stats(fixture->journal, &stats);
    assert_int_equal(stats.first_offset, 0);
    assert_int_equal(journal_fixture_segments(fixture, 0, NULL), before);
    env_fault_set_plan(fixture->fault, NULL);
    journal_release(fixture->journal, 10001);
    WAIT_UNTIL((journal_read_stats(fixture->journal, &stats), stats.first_offset > 0));
    WAIT_UNTIL((journal_read_stats(fixture->journal, &stats),
                journal_fixture_segments(fixture, 0, NULL) == stats.segment_count));
}

static void closing_a_failed_journal_says_what_is_lost(void **state)
{
    struct journal_fixture *fixture = *state;
    fixture->options.retry_ms = 60000;
    journal_fixture_open(fixture);
    journal_fixture_append(fixture, 1, 100);
    journal_fixture_sync(fixture);
    struct env_fault_plan plan = {.ops = ENV_FAULT_WRITES, .nth = 1, .error = EIO};
    env_fault_set_plan(fixture->fault, &plan);
    journal_fixture_append(fixture, 1, 100);
    WAIT_UNTIL(journal_failed(fixture->journal, NULL));
    journal_fixture_close(fixture);
    assert_true(journal_fixture_logged(fixture, "are lost"));
    env_fault_set_plan(fixture->fault, NULL);
    journal_fixture_open(fixture);
    journal_fixture_append(fixture, 1, 100);
    journal_fixture_sync(fixture);
    /* A last attempt that succeeds loses nothing. */
    plan.count = 1;
    env_fault_set_plan(fixture->fault, &plan);
    journal_fixture_append(fixture, 1, 100);
    WAIT_UNTIL(journal_failed(fixture->journal, NULL));
    uint64_t end = journal_end(fixture->journal);
    journal_fixture_close(fixture);
    env_fault_set_plan(fixture->fault, NULL);
    journal_fixture_open(fixture);
    assert_int_equal(journal_end(fixture->journal), end);
}

/* A dataset that is cut there may get on stable storage before it. */
static void the_end_that_is_found_is_durable(void **state)
{
    struct journal_fixture *fixture = *state;
    struct env *env = env_fault_env(fixture->fault);
    struct env_fault_plan plan = {
        .ops = ENV_FAULT_OP(ENV_OP_FDATASYNC), .nth = 1, .count = 1, .error = EIO};
    struct err err;
    uint64_t end = 0;
    journal_fixture_open(fixture);
    journal_fixture_append(fixture, 40, 1000); /* some segments */
    journal_fixture_submit(fixture);
    uint64_t expected = journal_end(fixture->journal);
    journal_fixture_close(fixture);
    env_fault_set_plan(fixture->fault, &plan);
    assert_status(journal_find_end(env, fixture->dir, &end, &err), ST_IO);
    assert_int_equal(env_fault_failed(fixture->fault), 1);
    assert_ok(journal_find_end(env, fixture->dir, &end, &err), &err);
    assert_int_equal(env_fault_matched(fixture->fault), 2);
    assert_int_equal(end, expected);
    env_fault_set_plan(fixture->fault, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(one_failed_call_anywhere_loses_nothing, setup, teardown),
        TEST_WITH(some_failed_calls_in_a_row_lose_nothing, setup, teardown),
        TEST_WITH(what_was_durable_survives_a_dead_disk_at_any_call, setup, teardown),
        TEST_WITH(what_was_durable_survives_failing_syncs_and_a_power_cut, setup, teardown),
        TEST_WITH(power_cuts_in_a_row_lose_nothing_durable, setup, teardown),
        TEST_WITH(the_failed_state_says_why_and_ends_by_itself, setup, teardown),
        TEST_WITH(a_failed_sync_is_not_repeated_on_the_same_file, setup, teardown),
        TEST_WITH(what_a_failed_sync_left_in_the_page_cache_is_not_trusted, setup, teardown),
        TEST_WITH(what_a_given_up_file_still_holds_is_superseded, setup, teardown),
        TEST_WITH(a_failure_at_a_segments_start_replaces_the_segment, setup, teardown),
        TEST_WITH(a_segment_that_cannot_be_deleted_is_tried_again, setup, teardown),
        TEST_WITH(closing_a_failed_journal_says_what_is_lost, setup, teardown),
        TEST_WITH(the_end_that_is_found_is_durable, setup, teardown),
    };
    return RUN_TESTS("journal_fault", tests);
}
