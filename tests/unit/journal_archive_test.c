/* The journal's archive: what is archived and what is still plain are together the whole stream,
 * whatever call fails and whenever the process or the machine dies; the limits decide what goes.
 * Method: a journal beside a model (journal_fixture). To compare, all that is archived is unpacked
 * beside copies of the plain segments, and a journal opened on that. */
#include "storage/journal_archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/journal_fixture.h"

#define CALLS_MAX 2000
#define ALL       UINT64_MAX
#define HOUR_MS   3600000

static int setup(void **state)
{
    struct journal_fixture *fixture = journal_fixture_create();
    fixture->options.retain_bytes = 0;
    fixture->options.archiving.bytes = ALL;
    fixture->options.history = "this-store";
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    journal_fixture_destroy(*state);
    return 0;
}

static struct journal_stats stats_of(struct journal_fixture *fixture)
{
    struct journal_stats stats;
    journal_read_stats(fixture->journal, &stats);
    return stats;
}

/* Some segments, all released but the last one. */
static void write_and_release(struct journal_fixture *fixture, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        journal_fixture_append(fixture, 2, 800);
        (void)!journal_wait_durable(fixture->journal, journal_end(fixture->journal), NULL);
        journal_release(fixture->journal, journal_durable(fixture->journal));
    }
}

/* A segment's file goes only after it has left the count. */
static void wait_until_archived(struct journal_fixture *fixture)
{
    WAIT_UNTIL(stats_of(fixture).segment_count == 1);
    WAIT_UNTIL(journal_fixture_segments(fixture, 0, NULL) == 1);
}

static void archive_dir(const struct journal_fixture *fixture, char out[300])
{
    (void)snprintf(out, 300, "%s/" JOURNAL_ARCHIVE_DIR, fixture->dir);
}

static void read_list(struct journal_fixture *fixture, struct journal_archive_list *out)
{
    char dir[300];
    struct err err;
    archive_dir(fixture, dir);
    assert_ok(journal_archive_list_read(env_posix(), dir, false, out, &err), &err);
}

/* While the journal is closed: puts both forms together in another directory, and compares that
 * with the model, from its beginning to what was durable. */
static void check_whole(struct journal_fixture *fixture)
{
    char whole[300], archived[300], path[ENV_PATH_BYTES_MAX], plain[400];
    struct journal_archive_list list;
    struct journal_recovery recovery;
    struct buf content = {0};
    struct err err;
    (void)snprintf(whole, sizeof(whole), "%s/whole", fixture->root);
    archive_dir(fixture, archived);
    assert_ok(env_remove_tree(env_posix(), whole, &err), &err);
    assert_ok(env_mkdir(env_posix(), whole, &err), &err);
    read_list(fixture, &list);
    for (size_t i = 0; i < list.count; i++) {
        const struct journal_archive *head = &list.items[i].head;
        assert_false(list.items[i].unreadable);
        assert_string_equal(head->history, "this-store");
        journal_archive_path(archived, head->start, head->end, path);
        (void)snprintf(plain, sizeof(plain), "%s/%020llu.journal", whole,
                       (unsigned long long)head->start);
        assert_ok(journal_archive_unpack(env_posix(), path, plain, &err), &err);
    }
    journal_archive_list_deinit(&list);
    size_t segments = journal_fixture_segments(fixture, 0, NULL);
    for (size_t i = 0; i < segments; i++) {
        char segment[512];
        (void)journal_fixture_segments(fixture, (int)i, segment);
        (void)snprintf(plain, sizeof(plain), "%s%s", whole, strrchr(segment, '/'));
        journal_fixture_read_file(segment, &content);
        journal_fixture_write_file(plain, buf_bytes(&content));
    }
    buf_deinit(&content);
    struct journal_options options = fixture->options;
    fixture->options.env = env_posix();
    fixture->options.dir = whole;
    fixture->options.archiving = (struct journal_archiving){.bytes = ALL};
    fixture->options.retain_bytes = UINT64_MAX;
    journal_fixture_open(fixture);
    journal_read_recovery(fixture->journal, &recovery);
    assert_int_equal(recovery.first_offset, fixture->start);
    journal_fixture_close(fixture);
    fixture->options = options;
}

static void visit_name(void *arg, const char *name)
{
    *(bool *)arg = *(bool *)arg || strstr(name, ".tmp") != NULL;
}

static bool has_leftovers(const struct journal_fixture *fixture)
{
    char dir[300];
    bool found = false;
    struct err err;
    archive_dir(fixture, dir);
    enum status st = env_list_dir(env_posix(), dir, visit_name, &found, &err);
    assert_true(st == ST_OK || st == ST_NOT_FOUND);
    assert_ok(env_list_dir(env_posix(), fixture->dir, visit_name, &found, &err), &err);
    return found;
}

/* What is there only while the threads work at it, the next segment or another attempt, goes. */
static void no_leftovers(const struct journal_fixture *fixture)
{
    WAIT_UNTIL(!has_leftovers(fixture));
}

/* ---- Tests ---- */

static void what_nobody_needs_is_archived_and_unpacks_to_what_it_was(void **state)
{
    struct journal_fixture *fixture = *state;
    struct journal_reader *reader = NULL;
    fixture->options.time_interval_ms = 1;
    journal_fixture_open(fixture);
    write_and_release(fixture, 60);
    wait_until_archived(fixture);
    struct journal_stats stats = stats_of(fixture);
    assert_true(stats.archive_count > 5);
    assert_int_equal(stats.archive_first_offset, fixture->start);
    assert_int_equal(stats.archive_waiting, 0);
    assert_int_equal(stats.archive_failures, 0);
    /* Readers find what is plain only. */
    assert_status(journal_reader_open(fixture->journal, 1, &reader, NULL), ST_NOT_FOUND);
    struct journal_archive_list list;
    read_list(fixture, &list);
    uint64_t bytes = 0;
    for (size_t i = 0; i < list.count; i++) {
        bytes += list.items[i].bytes;
        assert_false(list.items[i].head.damaged);
        assert_true(list.items[i].head.last_ms > env_now_realtime_ms(env_posix()) - HOUR_MS);
        if (i > 0)
            assert_int_equal(list.items[i].head.start, list.items[i - 1].head.end);
    }
    assert_int_equal(list.count, stats.archive_count);
    assert_int_equal(bytes, stats.archive_bytes);
    journal_archive_list_deinit(&list);
    journal_fixture_close(fixture);
    check_whole(fixture);
}

static void large_segments_are_packed_in_pieces(void **state)
{
    struct journal_fixture *fixture = *state;
    fixture->options.segment_bytes = (uint64_t)3 << 20;
    journal_fixture_open(fixture);
    for (unsigned i = 0; i < 10; i++) {
        journal_fixture_append(fixture, 1, 1400000);
        journal_fixture_sync(fixture);
    }
    journal_release(fixture->journal, journal_durable(fixture->journal));
    wait_until_archived(fixture);
    assert_true(stats_of(fixture).archive_bytes > 2 << 20);
    journal_fixture_close(fixture);
    check_whole(fixture);
}

static void what_a_reader_or_recovery_needs_stays_plain(void **state)
{
    struct journal_fixture *fixture = *state;
    struct journal_reader *reader = NULL;
    struct err err;
    journal_fixture_open(fixture);
    journal_fixture_append(fixture, 1, 100);
    journal_fixture_sync(fixture);
    assert_ok(journal_reader_open(fixture->journal, fixture->start, &reader, &err), &err);
    write_and_release(fixture, 20);
    uint64_t released = journal_durable(fixture->journal);
    for (unsigned i = 0; i < 20; i++)
        journal_fixture_append(fixture, 2, 800);
    journal_fixture_sync(fixture);
    assert_int_equal(stats_of(fixture).archive_count, 0);
    journal_reader_close(reader);
    WAIT_UNTIL(stats_of(fixture).first_offset > fixture->start);
    WAIT_UNTIL(stats_of(fixture).archive_waiting == 0);
    assert_true(stats_of(fixture).first_offset <= released);
    assert_true(stats_of(fixture).segment_count > 1);
    journal_set_retain(fixture->journal, UINT64_MAX);
    journal_release(fixture->journal, journal_durable(fixture->journal));
    assert_true(stats_of(fixture).segment_count > 1);
    journal_fixture_close(fixture);
    check_whole(fixture);
}

static void the_archive_goes_when_both_limits_allow_it(void **state)
{
    struct journal_fixture *fixture = *state;
    journal_fixture_open(fixture);
    write_and_release(fixture, 60);
    wait_until_archived(fixture);
    static const struct {
        struct journal_archiving archiving;
        bool goes;
    } cases[] = {
        {{.bytes = ALL, .ms = 0}, false},     {{.bytes = ALL, .ms = 1}, false},
        {{.bytes = 0, .ms = HOUR_MS}, false}, {{.bytes = 1, .ms = HOUR_MS}, false},
        {{.bytes = 20000, .ms = 1}, true},    {{.bytes = 10000, .ms = 0}, true},
        {{.bytes = 0, .ms = 0}, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t end = journal_end(fixture->journal);
        uint64_t count = stats_of(fixture).archive_count;
        journal_set_archiving(fixture->journal, cases[i].archiving);
        if (cases[i].goes)
            WAIT_UNTIL(stats_of(fixture).archive_count < count);
        else /* then it has looked at what was set */
            WAIT_UNTIL((write_and_release(fixture, 1), stats_of(fixture).archive_count > count));
        wait_until_archived(fixture);
        struct journal_stats stats = stats_of(fixture);
        assert_int_equal(stats.archive_count < count, cases[i].goes);
        if (cases[i].goes && cases[i].archiving.bytes > 0)
            assert_true(stats.archive_first_offset <= end - cases[i].archiving.bytes &&
                        stats.archive_count > 0);
    }
    assert_int_equal(stats_of(fixture).archive_count, 0);
}

static void without_limits_nothing_is_archived(void **state)
{
    struct journal_fixture *fixture = *state;
    char dir[300];
    fixture->options.archiving.bytes = 0;
    journal_fixture_open(fixture);
    write_and_release(fixture, 30);
    wait_until_archived(fixture);
    assert_int_equal(stats_of(fixture).archive_count, 0);
    archive_dir(fixture, dir);
    int fd = -1;
    assert_status(env_open(env_posix(), dir, ENV_READ, &fd, NULL), ST_NOT_FOUND);
}

static void what_is_released_by_nobody_is_left_alone(void **state)
{
    struct journal_fixture *fixture = *state;
    journal_fixture_open(fixture);
    write_and_release(fixture, 30);
    wait_until_archived(fixture);
    uint64_t count = stats_of(fixture).archive_count;
    journal_fixture_close(fixture);
    fixture->options.archiving.bytes = 0; /* a tool opens it, which knows no limits */
    journal_fixture_open(fixture);
    WAIT_UNTIL(stats_of(fixture).archive_count == count);
    journal_set_retain(fixture->journal, 1);
    journal_fixture_close(fixture);
    journal_fixture_open(fixture);
    WAIT_UNTIL(stats_of(fixture).archive_count == count);
}

static void a_full_disk_keeps_segments_plain_until_it_has_room(void **state)
{
    struct journal_fixture *fixture = *state;
    journal_fixture_open(fixture);
    struct env_fault_plan full = {.ops = ENV_FAULT_OP(ENV_OP_WRITE),
                                  .path_part = "/" JOURNAL_ARCHIVE_DIR "/",
                                  .nth = 1,
                                  .error = ENOSPC,
                                  .torn_bytes = 20};
    env_fault_set_plan(fixture->fault, &full);
    write_and_release(fixture, 40);
    WAIT_UNTIL(stats_of(fixture).archive_failures >= 3);
    struct journal_stats stats = stats_of(fixture);
    assert_true(stats.archive_failed);
    assert_false(stats.failed);
    assert_true(stats.archive_waiting > 3);
    assert_int_equal(stats.archive_count, 0);
    assert_int_equal(stats.first_offset, fixture->start);
    assert_true(journal_fixture_logged(fixture, "No space left on device"));
    size_t lines = 0;
    for (size_t i = 0; i < fixture->log.len; i++)
        lines += fixture->log.data[i] == '\n';
    assert_int_equal(lines, 1);
    no_leftovers(fixture);
    env_fault_set_plan(fixture->fault, NULL);
    wait_until_archived(fixture);
    WAIT_UNTIL(!stats_of(fixture).archive_failed);
    journal_fixture_close(fixture);
    check_whole(fixture);
}

static void a_damaged_segment_does_not_hold_up_the_others(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512], archived[300], archive_path[ENV_PATH_BYTES_MAX];
    struct buf content = {0};
    struct err err;
    journal_fixture_open(fixture);
    for (unsigned i = 0; i < 40; i++)
        journal_fixture_append(fixture, 2, 800);
    journal_fixture_sync(fixture);
    assert_true(journal_fixture_segments(fixture, 2, path) > 4);
    journal_fixture_read_file(path, &content);
    content.data[content.len / 2] ^= 1;
    journal_fixture_write_file(path, buf_bytes(&content));
    journal_release(fixture->journal, journal_durable(fixture->journal));
    wait_until_archived(fixture);
    assert_true(journal_fixture_logged(fixture, "archiving a damaged segment"));
    struct journal_archive_list list;
    read_list(fixture, &list);
    archive_dir(fixture, archived);
    for (size_t i = 0; i < list.count; i++) {
        const struct journal_archive *head = &list.items[i].head;
        assert_int_equal(head->damaged, i == 2);
        journal_archive_path(archived, head->start, head->end, archive_path);
        assert_status(journal_archive_unpack(env_posix(), archive_path, NULL, &err),
                      i == 2 ? ST_CORRUPT : ST_OK);
    }
    journal_archive_list_deinit(&list);
    buf_deinit(&content);
}

static void each_flipped_byte_and_truncation_of_a_file_is_detected(void **state)
{
    struct journal_fixture *fixture = *state;
    char archived[300], path[ENV_PATH_BYTES_MAX];
    struct journal_archive_list list;
    struct buf content = {0};
    struct err err;
    journal_fixture_open(fixture);
    write_and_release(fixture, 20);
    wait_until_archived(fixture);
    read_list(fixture, &list);
    archive_dir(fixture, archived);
    journal_archive_path(archived, list.items[0].head.start, list.items[0].head.end, path);
    journal_fixture_read_file(path, &content);
    for (size_t at = 0; at < content.len; at += at < 300 ? 1 : 37) {
        content.data[at] ^= 4; /* zstd makes nothing of some others */
        journal_fixture_write_file(path, buf_bytes(&content));
        enum status st = journal_archive_unpack(env_posix(), path, NULL, &err);
        if (st != ST_CORRUPT && st != ST_UNSUPPORTED && st != ST_LIMIT)
            fail_msg("byte %zu: %s", at, status_name(st));
        content.data[at] ^= 4;
        journal_fixture_write_file(path, bytes_make(content.data, at));
        assert_status(journal_archive_unpack(env_posix(), path, NULL, &err), ST_CORRUPT);
    }
    buf_append_text(&content, "more");
    journal_fixture_write_file(path, buf_bytes(&content));
    assert_status(journal_archive_unpack(env_posix(), path, NULL, &err), ST_CORRUPT);
    journal_archive_list_deinit(&list);
    journal_fixture_write_file(path, bytes_make(content.data, 50));
    read_list(fixture, &list);
    assert_true(list.items[0].unreadable);
    journal_archive_list_deinit(&list);
    buf_deinit(&content);
}

static void failed_calls_lose_nothing(void **state)
{
    (void)state;
    uint64_t nth = 0;
    bool failed = true;
    while (failed && nth < CALLS_MAX) {
        struct journal_fixture *fixture = NULL;
        (void)setup((void **)&fixture);
        nth++;
        journal_fixture_open(fixture);
        struct env_fault_plan plan = {.ops = ENV_FAULT_ALL,
                                      .path_part = "/" JOURNAL_ARCHIVE_DIR,
                                      .nth = nth,
                                      .count = 1 + nth % 3,
                                      .error = nth % 2 == 0 ? EIO : ENOSPC,
                                      .torn_bytes = nth % 5 * 17};
        env_fault_set_plan(fixture->fault, &plan);
        write_and_release(fixture, 12);
        wait_until_archived(fixture);
        failed = env_fault_failed(fixture->fault) > 0;
        env_fault_set_plan(fixture->fault, NULL);
        no_leftovers(fixture);
        journal_fixture_close(fixture);
        check_whole(fixture);
        journal_fixture_destroy(fixture);
    }
    assert_true(nth > 10 && nth < CALLS_MAX);
}

enum end { END_KILL, END_POWER_DROP, END_POWER_RANDOM };

/* The process (or machine) dies at the nth call; nothing durable is gone, and the next one archives
 * the rest and leaves nothing behind. */
static void die_at_each_call(enum end end)
{
    uint64_t nth = 0;
    bool failed = true;
    while (failed && nth < CALLS_MAX) {
        struct journal_fixture *fixture = NULL;
        (void)setup((void **)&fixture);
        fixture->random += ++nth;
        journal_fixture_open(fixture);
        struct env_fault_plan plan = {
            .ops = ENV_FAULT_WRITES, .nth = nth, .error = EIO, .torn_bytes = nth % 3 * 31};
        env_fault_set_plan(fixture->fault, &plan);
        write_and_release(fixture, 9);
        WAIT_UNTIL(env_fault_failed(fixture->fault) > 0 || stats_of(fixture).segment_count == 1);
        failed = env_fault_failed(fixture->fault) > 0;
        env_fault_kill(fixture->fault);
        journal_fixture_close(fixture);
        if (end != END_KILL)
            env_fault_power_cut(fixture->fault,
                                end == END_POWER_DROP ? ENV_FAULT_CUT_DROP : ENV_FAULT_CUT_RANDOM,
                                nth);
        env_fault_set_plan(fixture->fault, NULL);
        env_fault_revive(fixture->fault);
        journal_fixture_open(fixture);
        write_and_release(fixture, 3);
        wait_until_archived(fixture);
        no_leftovers(fixture);
        journal_fixture_close(fixture);
        check_whole(fixture);
        journal_fixture_destroy(fixture);
    }
    assert_true(nth > 20 && nth < CALLS_MAX);
}

static void a_process_killed_at_any_call_loses_nothing(void **state)
{
    (void)state;
    die_at_each_call(END_KILL);
}

static void a_power_cut_at_any_call_loses_nothing(void **state)
{
    (void)state;
    die_at_each_call(END_POWER_DROP);
    die_at_each_call(END_POWER_RANDOM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(what_nobody_needs_is_archived_and_unpacks_to_what_it_was, setup, teardown),
        TEST_WITH(large_segments_are_packed_in_pieces, setup, teardown),
        TEST_WITH(what_a_reader_or_recovery_needs_stays_plain, setup, teardown),
        TEST_WITH(the_archive_goes_when_both_limits_allow_it, setup, teardown),
        TEST_WITH(without_limits_nothing_is_archived, setup, teardown),
        TEST_WITH(what_is_released_by_nobody_is_left_alone, setup, teardown),
        TEST_WITH(a_full_disk_keeps_segments_plain_until_it_has_room, setup, teardown),
        TEST_WITH(a_damaged_segment_does_not_hold_up_the_others, setup, teardown),
        TEST_WITH(each_flipped_byte_and_truncation_of_a_file_is_detected, setup, teardown),
        TEST_WITH(failed_calls_lose_nothing, NULL, NULL),
        TEST_WITH(a_process_killed_at_any_call_loses_nothing, NULL, NULL),
        TEST_WITH(a_power_cut_at_any_call_loses_nothing, NULL, NULL),
    };
    return RUN_TESTS("journal_archive", tests);
}
