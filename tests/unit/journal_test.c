/* The journal on healthy files: what is staged comes back, in blocks, across segments and restarts,
 * for readers at any offset, while it is being written; segments go when nobody needs them.
 * Method: a model of the stream beside it (journal_fixture). */
#include "storage/journal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/journal_fixture.h"

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

static void staged_commands_come_back_after_a_restart(void **state)
{
    struct journal_fixture *fixture = *state;
    fixture->options.start_offset = 1000;
    journal_fixture_open(fixture);
    struct journal_recovery recovery;
    journal_read_recovery(fixture->journal, &recovery);
    assert_true(recovery.fresh);
    assert_int_equal(recovery.first_offset, 1000);
    assert_int_equal(recovery.end_offset, 1000);
    for (unsigned i = 0; i < 30; i++)
        journal_fixture_append(fixture, 1 + i % 3, 300);
    journal_fixture_close(fixture);
    assert_true(journal_fixture_segments(fixture, 0, NULL) > 1);
    fixture->durable = fixture->start + fixture->model.len;
    fixture->options.start_offset = 5; /* for fresh directories only */
    journal_fixture_open(fixture);
    journal_read_recovery(fixture->journal, &recovery);
    assert_false(recovery.fresh);
    assert_true(recovery.clean);
    assert_int_equal(recovery.tail_cut_bytes, 0);
    assert_int_equal(recovery.first_offset, 1000);
}

static void select_is_staged_when_the_database_changes(void **state)
{
    struct journal_fixture *fixture = *state;
    journal_fixture_open(fixture);
    struct journal *journal = fixture->journal;
    assert_int_equal(journal_db(journal), JOURNAL_DB_UNKNOWN);
    assert_int_equal(journal_end(journal), 0);
    memcpy(journal_reserve(journal, 9, 100), "PING\r\n", 6);
    journal_commit(journal, 6);
    assert_int_equal(journal_end(journal), 23 + 6);
    memcpy(journal_reserve(journal, 9, 6), "PING\r\n", 6);
    journal_commit(journal, 6);
    assert_int_equal(journal_end(journal), 23 + 12);
    memcpy(journal_reserve(journal, 65535, 6), "PING\r\n", 6);
    journal_commit(journal, 6);
    assert_int_equal(journal_mark(journal), 23 + 12 + 27 + 6);
    assert_int_equal(journal_db(journal), 65535);
    assert_ok(journal_wait_durable(journal, journal_end(journal), NULL), NULL);
    struct journal_reader *reader = NULL;
    assert_ok(journal_reader_open(journal, 0, &reader, NULL), NULL);
    uint32_t db = 0;
    uint64_t offset = 0;
    struct bytes payload;
    assert_ok(journal_reader_next(reader, &db, &offset, &payload, NULL), NULL);
    assert_bytes(payload, bytes_text("*2\r\n$6\r\nSELECT\r\n$1\r\n9\r\nPING\r\nPING\r\n"
                                     "*2\r\n$6\r\nSELECT\r\n$5\r\n65535\r\nPING\r\n"));
    journal_reader_close(reader);
}

static void a_reservation_may_be_left_unused(void **state)
{
    struct journal_fixture *fixture = *state;
    journal_fixture_open(fixture);
    struct journal *journal = fixture->journal;
    journal_fixture_stage(fixture, 0, 10);
    (void)journal_reserve(journal, 0, 1000000);
    journal_commit(journal, 0);
    journal_fixture_sync(fixture);
    (void)journal_reserve(journal, 0, 300000);
    journal_commit(journal, 0);
    journal_submit(journal);
    assert_int_equal(journal_staged(journal), 0);
    journal_fixture_stage(fixture, 0, 400000);
    journal_fixture_sync(fixture);
    journal_fixture_close(fixture);
    journal_fixture_open(fixture);
}

static void the_database_is_known_after_raw_bytes_and_restarts(void **state)
{
    struct journal_fixture *fixture = *state;
    journal_fixture_open(fixture);
    static const struct {
        const char *raw;
        uint32_t db_after;
    } cases[] = {
        {"*2\r\n$6\r\nselect\r\n$2\r\n11\r\n*1\r\n$4\r\nPING\r\n", 11},
        {"*3\r\n$3\r\nSET\r\n$6\r\nSELECT\r\n$1\r\n3\r\n", 11},
        {"\n*1\r\n$4\r\nPING\r\n\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n", 0},
        {"*2\r\n$4\r\nECHO\r\n$29\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n*1\r\n\r\n", 0},
        {"*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n6\r\n", 6},
        {"*1\r\n$4\r\nPING\r\n", 6},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* Killed, so that no closing mark says it. */
        journal_stage_raw(fixture->journal, bytes_text(cases[i].raw));
        journal_set_db(fixture->journal, cases[i].db_after);
        uint64_t end = journal_mark(fixture->journal);
        assert_ok(journal_wait_durable(fixture->journal, end, NULL), NULL);
        env_fault_kill(fixture->fault);
        journal_close(fixture->journal);
        env_fault_revive(fixture->fault);
        assert_ok(journal_fixture_try_open(fixture, NULL), NULL);
        if (journal_db(fixture->journal) != cases[i].db_after)
            fail_msg("case %zu: database %u", i, journal_db(fixture->journal));
        assert_int_equal(journal_end(fixture->journal), end);
    }
    uint64_t before = journal_end(fixture->journal);
    journal_stage_bytes(fixture->journal, 6, bytes_text("PING\r\n"));
    assert_int_equal(journal_end(fixture->journal), before + 6);
    journal_set_db(fixture->journal, JOURNAL_DB_UNKNOWN);
    journal_stage_bytes(fixture->journal, 6, bytes_text("PING\r\n"));
    assert_int_equal(journal_end(fixture->journal), before + 6 + 23 + 6);
}

static void the_database_is_known_when_the_last_segment_is_empty(void **state)
{
    struct journal_fixture *fixture = *state;
    journal_fixture_open(fixture);
    journal_fixture_stage(fixture, 1, 3000);
    journal_fixture_stage(fixture, 2, 3000);
    journal_fixture_sync(fixture);
    /* The next one begins a segment; lose it, and with it the closing mark. */
    journal_fixture_stage(fixture, 2, 10);
    journal_fixture_sync(fixture);
    env_fault_kill(fixture->fault);
    journal_fixture_close(fixture);
    env_fault_revive(fixture->fault);
    char path[512];
    struct buf content = {0};
    assert_int_equal(journal_fixture_segments(fixture, -1, path), 2);
    journal_fixture_read_file(path, &content);
    journal_fixture_write_file(path, bytes_make(content.data, 32));
    buf_deinit(&content);
    fixture->durable = 0;
    journal_fixture_open(fixture);
    assert_int_equal(journal_db(fixture->journal), 2);
}

static void large_blocks_span_chunks_and_segments(void **state)
{
    struct journal_fixture *fixture = *state;
    static const size_t sizes[] = {0,      1,      262000, 262144, 300000, 100,   1000000, 5,
                                   262080, 262048, 262016, 70000,  70000,  70000, 3000000, 1};
    journal_fixture_open(fixture);
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            journal_fixture_stage(fixture, (uint32_t)(i % 2), sizes[i]);
            if (round == 0 || (round == 1 && i % 4 == 3))
                journal_fixture_submit(fixture);
        }
        journal_fixture_sync(fixture);
    }
    journal_fixture_close(fixture);
    journal_fixture_open(fixture);
}

static void a_reader_follows_the_writer(void **state)
{
    struct journal_fixture *fixture = *state;
    fixture->options.fsync = JOURNAL_FSYNC_EVERYSEC;
    journal_fixture_open(fixture);
    struct journal_reader *reader = NULL;
    assert_ok(journal_reader_open(fixture->journal, 0, &reader, NULL), NULL);
    assert_int_equal(journal_reader_next(reader, NULL, NULL, NULL, NULL), ST_END);
    for (unsigned i = 0; i < 600; i++) {
        journal_fixture_append(fixture, 1 + i % 4, 400);
        if (i % 3 == 0)
            journal_fixture_check_reader(fixture, reader);
    }
    WAIT_UNTIL(journal_written(fixture->journal) == journal_end(fixture->journal));
    journal_fixture_check_reader(fixture, reader);
    assert_int_equal(journal_reader_offset(reader), journal_end(fixture->journal));
    journal_reader_close(reader);
}

static void a_reader_sees_blocks_take_the_place_of_zeros(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512];
    struct buf file = {0};
    fixture->options.segment_bytes = 0;
    journal_fixture_open(fixture);
    journal_fixture_append(fixture, 1, 400);
    journal_fixture_sync(fixture);
    struct journal_reader *reader = NULL;
    assert_ok(journal_reader_open(fixture->journal, 0, &reader, NULL), NULL);
    for (unsigned i = 0; i < 100; i++) {
        journal_fixture_check_reader(fixture, reader);
        journal_fixture_append(fixture, 1 + i % 4, 400);
        journal_fixture_sync(fixture);
    }
    journal_fixture_check_reader(fixture, reader);
    assert_int_equal(journal_reader_offset(reader), journal_end(fixture->journal));
    journal_reader_close(reader);
    (void)journal_fixture_segments(fixture, -1, path);
    journal_fixture_read_file(path, &file);
    assert_true(file.len > fixture->model.len + 100000);
    buf_deinit(&file);
}

static void a_reader_may_start_anywhere(void **state)
{
    struct journal_fixture *fixture = *state;
    journal_fixture_open(fixture);
    for (unsigned i = 0; i < 12; i++)
        journal_fixture_append(fixture, 3, 300);
    journal_fixture_sync(fixture);
    uint64_t end = journal_end(fixture->journal);
    for (uint64_t at = 0; at <= end; at += 7) {
        struct journal_reader *reader = NULL;
        assert_ok(journal_reader_open(fixture->journal, at, &reader, NULL), NULL);
        bool boundary = false;
        for (size_t i = 0; i < fixture->boundary_count; i++)
            boundary = boundary || fixture->boundaries[i].offset == at;
        assert_int_equal(journal_reader_aligned(reader), boundary);
        journal_fixture_check_reader(fixture, reader);
        journal_reader_close(reader);
    }
    struct journal_reader *reader = NULL;
    assert_status(journal_reader_open(fixture->journal, end + 1, &reader, NULL), ST_INVALID);
}

static void released_segments_are_deleted_unless_needed(void **state)
{
    struct journal_fixture *fixture = *state;
    fixture->options.retain_bytes = 0;
    journal_fixture_open(fixture);
    struct journal *journal = fixture->journal;
    struct journal_stats stats;
    struct journal_reader *reader = NULL;
    assert_ok(journal_reader_open(journal, 0, &reader, NULL), NULL);
    while (journal_end(journal) < 40000)
        journal_fixture_append(fixture, 3, 300);
    journal_fixture_sync(fixture);
    size_t segments = journal_fixture_segments(fixture, 0, NULL);
    assert_true(segments >= 8);
    journal_read_stats(journal, &stats);
    assert_int_equal(stats.segment_count, segments);
    assert_int_equal(stats.first_offset, 0);
    assert_int_equal(stats.end, journal_end(journal));

    journal_release(journal, 20000); /* the reader still needs the first one */
    journal_fixture_append(fixture, 3, 300);
    journal_fixture_sync(fixture);
    assert_int_equal(journal_fixture_segments(fixture, 0, NULL) >= segments, 1);
    journal_fixture_check_reader(fixture, reader);
    WAIT_UNTIL((journal_read_stats(journal, &stats), stats.first_offset > 10000));
    WAIT_UNTIL((journal_read_stats(journal, &stats),
                journal_fixture_segments(fixture, 0, NULL) == stats.segment_count));
    assert_true(stats.first_offset <= 20000);
    journal_reader_close(reader);
    assert_status(journal_reader_open(journal, 0, &reader, NULL), ST_NOT_FOUND);

    journal_set_retain(journal, journal_end(journal) - 25000);
    journal_release(journal, journal_end(journal));
    WAIT_UNTIL((journal_read_stats(journal, &stats), stats.first_offset > 20000));
    assert_true(stats.first_offset <= 25000);
    journal_set_retain(journal, 0);
    WAIT_UNTIL((journal_read_stats(journal, &stats), stats.segment_count <= 2));
    journal_fixture_close(fixture);
    /* What was released need not be there at the next start. */
    fixture->options.needed_from = fixture->start + fixture->model.len;
    journal_fixture_open(fixture);
}

static void everysec_syncs_once_a_second(void **state)
{
    struct journal_fixture *fixture = *state;
    env_fault_stop_clock(fixture->fault);
    fixture->options.fsync = JOURNAL_FSYNC_EVERYSEC;
    fixture->options.segment_bytes = 0;
    journal_fixture_open(fixture);
    struct journal *journal = fixture->journal;
    for (unsigned i = 0; i < 50; i++) {
        journal_fixture_append(fixture, 2, 100);
        WAIT_UNTIL(journal_written(journal) == journal_end(journal));
    }
    assert_int_equal(journal_durable(journal), 0);
    env_fault_advance(fixture->fault, 999999);
    journal_set_fsync(journal, JOURNAL_FSYNC_EVERYSEC); /* look again */
    journal_fixture_append(fixture, 2, 100);
    WAIT_UNTIL(journal_written(journal) == journal_end(journal));
    assert_int_equal(journal_durable(journal), 0);
    env_fault_advance(fixture->fault, 1);
    journal_set_fsync(journal, JOURNAL_FSYNC_EVERYSEC);
    WAIT_UNTIL(journal_durable(journal) == journal_end(journal));
    struct journal_stats stats;
    journal_read_stats(journal, &stats);
    assert_int_equal(stats.sync_count, 1);
    /* A cut does not wait for the second to pass. */
    journal_fixture_append(fixture, 2, 100);
    journal_fixture_sync(fixture);
    journal_read_stats(journal, &stats);
    assert_int_equal(stats.sync_count, 2);
    /* Nor does a change of the policy. */
    journal_fixture_append(fixture, 2, 100);
    journal_set_fsync(journal, JOURNAL_FSYNC_ALWAYS);
    WAIT_UNTIL(journal_durable(journal) == journal_end(journal));
}

static void without_fsync_memory_is_bounded_by_syncs(void **state)
{
    struct journal_fixture *fixture = *state;
    fixture->options.fsync = JOURNAL_FSYNC_NO;
    fixture->options.segment_bytes = 0;
    journal_fixture_open(fixture);
    struct journal *journal = fixture->journal;
    uint8_t *block = mem_calloc(1, 1 << 20);
    memset(block, '\n', 1 << 20);
    unsigned blocks = (unsigned)(JOURNAL_UNSYNCED_BYTES_MAX >> 20);
    for (unsigned i = 0; i < blocks / 2 + blocks; i++) {
        journal_stage_bytes(journal, 0, bytes_make(block, 1 << 20));
        journal_submit(journal);
        if (i == blocks / 2) {
            WAIT_UNTIL(journal_written(journal) == journal_end(journal));
            assert_int_equal(journal_durable(journal), 0);
        }
    }
    WAIT_UNTIL(journal_written(journal) == journal_end(journal));
    WAIT_UNTIL(journal_durable(journal) >= JOURNAL_UNSYNCED_BYTES_MAX);
    mem_free(block);
}

static void on_notify(void *arg)
{
    atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

static void notifications_say_when_to_look_again(void **state)
{
    struct journal_fixture *fixture = *state;
    _Atomic unsigned calls = 0;
    fixture->options.notify = on_notify;
    fixture->options.notify_arg = &calls;
    journal_fixture_open(fixture);
    journal_fixture_append(fixture, 1, 100);
    journal_fixture_sync(fixture);
    WAIT_UNTIL(atomic_load(&calls) == 1);
    journal_set_fsync(fixture->journal, JOURNAL_FSYNC_NO);
    journal_fixture_append(fixture, 1, 100);
    WAIT_UNTIL(journal_written(fixture->journal) == journal_end(fixture->journal));
    assert_int_equal(atomic_load(&calls), 1);
    journal_watch_written(fixture->journal, true);
    journal_fixture_append(fixture, 1, 100);
    WAIT_UNTIL(atomic_load(&calls) == 2);
    journal_fixture_close(fixture);
}

static void a_stalled_disk_is_a_backlog_until_it_moves(void **state)
{
    struct journal_fixture *fixture = *state;
    _Atomic unsigned calls = 0;
    fixture->options.notify = on_notify;
    fixture->options.notify_arg = &calls;
    fixture->options.fsync = JOURNAL_FSYNC_NO;
    fixture->options.segment_bytes = 0;
    journal_fixture_open(fixture);
    journal_fixture_close_gate(fixture, ENV_FAULT_WRITES);
    uint8_t *block = mem_calloc(1, 1 << 20);
    memset(block, '\n', 1 << 20);
    for (unsigned i = 0; i < 65; i++) {
        assert_false(journal_backlogged(fixture->journal));
        journal_stage_bytes(fixture->journal, 0, bytes_make(block, (1 << 20) - 1));
        journal_submit(fixture->journal);
    }
    assert_true(journal_backlogged(fixture->journal));
    assert_int_equal(atomic_load(&calls), 0);
    journal_fixture_open_gate(fixture);
    WAIT_UNTIL(!journal_backlogged(fixture->journal));
    WAIT_UNTIL(atomic_load(&calls) > 0);
    mem_free(block);
    journal_fixture_close(fixture);
}

static void one_sync_covers_what_came_in_meanwhile(void **state)
{
    struct journal_fixture *fixture = *state;
    fixture->options.segment_bytes = 0;
    journal_fixture_open(fixture);
    journal_fixture_close_gate(fixture, ENV_FAULT_OP(ENV_OP_FDATASYNC));
    journal_fixture_append(fixture, 1, 100);
    WAIT_UNTIL(journal_written(fixture->journal) == journal_end(fixture->journal));
    for (unsigned i = 0; i < 500; i++)
        journal_fixture_append(fixture, 1, 100);
    journal_fixture_open_gate(fixture);
    journal_fixture_sync(fixture);
    struct journal_stats stats;
    journal_read_stats(fixture->journal, &stats);
    assert_int_equal(stats.sync_count, 2);
    assert_int_equal(stats.block_count, 501);
    assert_true(stats.wake_count <= 1);
}

/* Opens with lazy syncs, writes a first block, and holds the sync of it; returns where it ends. */
static uint64_t hold_a_sync(struct journal_fixture *fixture)
{
    fixture->options.fsync = JOURNAL_FSYNC_EVERYSEC;
    env_fault_stop_clock(fixture->fault);
    journal_fixture_open(fixture);
    journal_fixture_close_gate(fixture, ENV_FAULT_OP(ENV_OP_FDATASYNC));
    journal_fixture_append(fixture, 1, 100);
    uint64_t end = journal_end(fixture->journal);
    WAIT_UNTIL(journal_written(fixture->journal) == end);
    journal_sync(fixture->journal, end);
    WAIT_UNTIL(journal_fixture_waiting(fixture) == 1);
    return end;
}

static void writing_goes_on_during_a_sync(void **state)
{
    struct journal_fixture *fixture = *state;
    fixture->options.segment_bytes = 0;
    uint64_t first = hold_a_sync(fixture);
    for (unsigned i = 0; i < 20; i++) {
        journal_fixture_append(fixture, 2, 1000);
        WAIT_UNTIL(journal_written(fixture->journal) == journal_end(fixture->journal));
    }
    assert_int_equal(journal_durable(fixture->journal), 0);
    /* The sync covers what had been written when it began, and no more. */
    journal_fixture_open_gate(fixture);
    WAIT_UNTIL(journal_durable(fixture->journal) > 0);
    assert_int_equal(journal_durable(fixture->journal), first);
    env_fault_advance(fixture->fault, 1000000);
    journal_set_fsync(fixture->journal, JOURNAL_FSYNC_EVERYSEC); /* look again */
    WAIT_UNTIL(journal_durable(fixture->journal) == journal_end(fixture->journal));
    struct journal_stats stats;
    journal_read_stats(fixture->journal, &stats);
    assert_int_equal(stats.sync_count, 2);
}

static void a_kill_during_a_sync_loses_nothing_that_was_submitted(void **state)
{
    struct journal_fixture *fixture = *state;
    (void)hold_a_sync(fixture); /* and segments are small: the next one is wanted, too */
    while (journal_end(fixture->journal) < 3 * JOURNAL_SEGMENT_BYTES_MIN)
        journal_fixture_append(fixture, 2, 1000);
    uint64_t end = journal_end(fixture->journal);
    WAIT_UNTIL(journal_written(fixture->journal) == end);
    env_fault_kill(fixture->fault);
    journal_fixture_open_gate(fixture);
    journal_fixture_close(fixture);
    env_fault_revive(fixture->fault);
    journal_fixture_open(fixture);
    assert_int_equal(journal_end(fixture->journal), end);
}

static void a_segment_is_begun_while_writing_goes_on(void **state)
{
    struct journal_fixture *fixture = *state;
    struct journal_stats stats;
    fixture->options.fsync = JOURNAL_FSYNC_NO;
    journal_fixture_open(fixture);
    struct journal_reader *reader = NULL;
    assert_ok(journal_reader_open(fixture->journal, 0, &reader, NULL), NULL);
    for (unsigned round = 0; round < 3; round++) {
        /* The sync before a new segment is held, or that of the one just begun. */
        journal_fixture_close_gate(fixture, ENV_FAULT_OP(ENV_OP_FDATASYNC));
        while (journal_fixture_waiting(fixture) == 0)
            journal_fixture_append(fixture, 2, 500);
        for (unsigned i = 0; i < 5; i++)
            journal_fixture_append(fixture, 2, 3000);
        WAIT_UNTIL(journal_written(fixture->journal) == journal_end(fixture->journal));
        journal_fixture_check_reader(fixture, reader);
        journal_read_stats(fixture->journal, &stats);
        size_t before = stats.segment_count;
        journal_fixture_open_gate(fixture);
        WAIT_UNTIL((journal_fixture_append(fixture, 2, 500),
                    journal_read_stats(fixture->journal, &stats), stats.segment_count > before));
        WAIT_UNTIL(journal_written(fixture->journal) == journal_end(fixture->journal));
        journal_fixture_check_reader(fixture, reader);
    }
    journal_reader_close(reader);
    journal_fixture_sync(fixture);
    env_fault_kill(fixture->fault);
    journal_fixture_close(fixture);
    env_fault_power_cut(fixture->fault, ENV_FAULT_CUT_DROP, 1);
    env_fault_revive(fixture->fault);
    journal_fixture_open(fixture);
}

/* Each sync takes 8 ms of the fixture's stopped clock. */
static void take_time(void *arg, struct env_call *call)
{
    (void)call;
    env_fault_advance(arg, 8000);
}

/* One write, and a sync that nobody asked for; says that the writer is back, or does not. */
static void write_and_come_back(struct journal_fixture *fixture, bool says_so)
{
    journal_fixture_append(fixture, 1, 100);
    WAIT_UNTIL(journal_durable(fixture->journal) == journal_end(fixture->journal));
    if (says_so)
        journal_gathered(fixture->journal, journal_durable(fixture->journal));
}

static void syncs_are_put_off_for_those_who_come_back(void **state)
{
    struct journal_fixture *fixture = *state;
    struct journal_stats stats;
    fixture->options.segment_bytes = 0;
    journal_fixture_open(fixture);
    struct env_fault_plan syncs = {.ops = ENV_FAULT_OP(ENV_OP_FDATASYNC)};
    env_fault_set_plan(fixture->fault, &syncs);
    env_fault_set_watcher(fixture->fault, take_time, fixture->fault);
    env_fault_stop_clock(fixture->fault);
    /* Those who are back in time are seen to be back, and so often that it goes on. */
    WAIT_UNTIL((write_and_come_back(fixture, true), journal_read_stats(fixture->journal, &stats),
                stats.gather_count - stats.gather_misses >= 20));
    /* When nobody says so, writes become durable all the same, and soon no sync is put off. */
    uint64_t misses = stats.gather_misses;
    WAIT_UNTIL((write_and_come_back(fixture, false), journal_read_stats(fixture->journal, &stats),
                stats.gather_misses >= misses + 5));
    uint64_t gathered = stats.gather_count;
    uint64_t syncs_then = stats.sync_count;
    for (int i = 0; i < 15; i++)
        write_and_come_back(fixture, false);
    journal_read_stats(fixture->journal, &stats);
    assert_true(stats.sync_count >= syncs_then + 15);
    assert_true(stats.gather_count <= gathered + 1);
    env_fault_set_watcher(fixture->fault, NULL, NULL);
}

static void memory_is_bounded_while_a_sync_takes_its_time(void **state)
{
    struct journal_fixture *fixture = *state;
    fixture->options.segment_bytes = 0;
    (void)hold_a_sync(fixture);
    uint8_t *block = mem_calloc(1, 1 << 20);
    memset(block, '\n', 1 << 20);
    for (uint64_t bytes = 0; bytes < JOURNAL_HELD_BYTES_MAX + ((uint64_t)8 << 20);
         bytes += 1 << 20) {
        journal_stage_bytes(fixture->journal, 0, bytes_make(block, 1 << 20));
        journal_submit(fixture->journal);
    }
    mem_free(block);
    /* It has gone to rest, although there is more to write: it must be woken. */
    struct journal_stats stats;
    journal_read_stats(fixture->journal, &stats);
    uint64_t wakes = stats.wake_count;
    WAIT_UNTIL((journal_stage_bytes(fixture->journal, 0, bytes_text("\n")),
                journal_submit(fixture->journal), journal_read_stats(fixture->journal, &stats),
                stats.wake_count > wakes));
    assert_true(stats.written >= JOURNAL_HELD_BYTES_MAX);
    assert_true(stats.written < JOURNAL_HELD_BYTES_MAX + ((uint64_t)4 << 20));
    journal_fixture_open_gate(fixture);
    WAIT_UNTIL(journal_written(fixture->journal) == journal_end(fixture->journal));
}

static void short_writes_and_reads_are_finished(void **state)
{
    struct journal_fixture *fixture = *state;
    static const size_t limits[] = {1, 7, 33, 1000};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        env_fault_set_short(fixture->fault, limits[i]);
        journal_fixture_open(fixture);
        for (unsigned j = 0; j < 5; j++)
            journal_fixture_append(fixture, 2, 500);
        journal_fixture_sync(fixture);
        journal_fixture_close(fixture);
    }
}

static void checking_a_directory_changes_nothing(void **state)
{
    struct journal_fixture *fixture = *state;
    struct journal_check check;
    struct env *env = env_posix();
    assert_status(journal_check_dir(env, fixture->dir, &check, NULL), ST_NOT_FOUND);
    journal_fixture_open(fixture);
    for (unsigned i = 0; i < 20; i++)
        journal_fixture_append(fixture, 2, 500);
    journal_fixture_close(fixture);
    assert_ok(journal_check_dir(env, fixture->dir, &check, NULL), NULL);
    assert_int_equal(check.end_offset, fixture->model.len);
    assert_int_equal(check.block_count, 21);
    assert_int_equal(check.tail_bytes, 0);
    assert_true(check.clean);
    char path[512];
    struct buf content = {0};
    assert_int_equal(journal_fixture_segments(fixture, -1, path), check.segment_count);
    journal_fixture_read_file(path, &content);
    journal_fixture_write_file(path, bytes_make(content.data, content.len - 1));
    assert_ok(journal_check_dir(env, fixture->dir, &check, NULL), NULL);
    assert_int_equal(check.tail_bytes, 31);
    assert_false(check.clean);
    size_t before = content.len - 1;
    journal_fixture_read_file(path, &content);
    assert_int_equal(content.len, before);
    buf_deinit(&content);
}

static void closing_again_and_again_leaves_one_mark(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512];
    struct buf content = {0};
    size_t bytes = 0;
    for (unsigned i = 0; i < 5; i++) {
        journal_fixture_open(fixture);
        journal_fixture_close(fixture);
        (void)journal_fixture_segments(fixture, -1, path);
        journal_fixture_read_file(path, &content);
        if (i == 0)
            bytes = content.len;
        assert_int_equal(content.len, bytes);
    }
    assert_int_equal(bytes, 64);
    for (unsigned i = 0; i < 5; i++) {
        journal_fixture_open(fixture);
        journal_fixture_append(fixture, 1, 10);
        journal_fixture_close(fixture);
    }
    journal_fixture_open(fixture);
    buf_deinit(&content);
}

static void unusable_options_are_refused(void **state)
{
    struct journal_fixture *fixture = *state;
    struct err err;
    fixture->options.segment_bytes = JOURNAL_SEGMENT_BYTES_MIN - 1;
    assert_status(journal_fixture_try_open(fixture, &err), ST_INVALID);
    char *path = mem_calloc(1, 5000);
    memset(path, 'x', 4999);
    fixture->options.segment_bytes = 0;
    fixture->options.dir = path;
    assert_status(journal_fixture_try_open(fixture, &err), ST_INVALID);
    (void)snprintf(path, 5000, "%s/missing/journal", fixture->root);
    assert_status(journal_fixture_try_open(fixture, &err), ST_NOT_FOUND);
    assert_non_null(strstr(err.message, path));
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(staged_commands_come_back_after_a_restart, setup, teardown),
        TEST_WITH(select_is_staged_when_the_database_changes, setup, teardown),
        TEST_WITH(a_reservation_may_be_left_unused, setup, teardown),
        TEST_WITH(the_database_is_known_after_raw_bytes_and_restarts, setup, teardown),
        TEST_WITH(the_database_is_known_when_the_last_segment_is_empty, setup, teardown),
        TEST_WITH(large_blocks_span_chunks_and_segments, setup, teardown),
        TEST_WITH(a_reader_follows_the_writer, setup, teardown),
        TEST_WITH(a_reader_sees_blocks_take_the_place_of_zeros, setup, teardown),
        TEST_WITH(a_reader_may_start_anywhere, setup, teardown),
        TEST_WITH(released_segments_are_deleted_unless_needed, setup, teardown),
        TEST_WITH(everysec_syncs_once_a_second, setup, teardown),
        TEST_WITH(without_fsync_memory_is_bounded_by_syncs, setup, teardown),
        TEST_WITH(notifications_say_when_to_look_again, setup, teardown),
        TEST_WITH(a_stalled_disk_is_a_backlog_until_it_moves, setup, teardown),
        TEST_WITH(one_sync_covers_what_came_in_meanwhile, setup, teardown),
        TEST_WITH(writing_goes_on_during_a_sync, setup, teardown),
        TEST_WITH(a_kill_during_a_sync_loses_nothing_that_was_submitted, setup, teardown),
        TEST_WITH(a_segment_is_begun_while_writing_goes_on, setup, teardown),
        TEST_WITH(syncs_are_put_off_for_those_who_come_back, setup, teardown),
        TEST_WITH(memory_is_bounded_while_a_sync_takes_its_time, setup, teardown),
        TEST_WITH(short_writes_and_reads_are_finished, setup, teardown),
        TEST_WITH(checking_a_directory_changes_nothing, setup, teardown),
        TEST_WITH(closing_again_and_again_leaves_one_mark, setup, teardown),
        TEST_WITH(unusable_options_are_refused, setup, teardown),
    };
    return RUN_TESTS("journal", tests);
}
