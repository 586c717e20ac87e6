/* What journal_open makes of files that are not as they were written: a torn tail is cut off at
 * every byte it can begin, a flipped byte is refused with file and position if blocks written after
 * a later sync follow, and cut off if it can be what a power failure left.
 * Method: a journal of a few blocks in two segments; a damaged copy of its last (or first) file is
 * put in its place, for every byte. */
#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/journal_block.h"
#include "codec/mem.h"
#include "storage/journal.h"
#include "tests/support/harness.h"
#include "tests/support/journal_fixture.h"

#include <sched.h>
#include <stdio.h>

#define HEADER JOURNAL_SEGMENT_HEADER_BYTES

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

/* A copy of the model, to start the next damage from. */
struct snapshot {
    struct buf model;
    size_t model_len;
    size_t boundary_count;
    uint32_t model_db;
    struct journal_boundary *boundaries;
};

static struct snapshot take_snapshot(const struct journal_fixture *fixture)
{
    struct snapshot snapshot = {
        .model_len = fixture->model.len,
        .boundary_count = fixture->boundary_count,
        .model_db = fixture->model_db,
        .boundaries =
            mem_dup(fixture->boundaries, fixture->boundary_count * sizeof(*fixture->boundaries))};
    buf_append_bytes(&snapshot.model, buf_bytes(&fixture->model));
    return snapshot;
}

static void restore(struct journal_fixture *fixture, const struct snapshot *snapshot)
{
    size_t bytes = snapshot->boundary_count * sizeof(*fixture->boundaries);
    buf_clear(&fixture->model);
    buf_append_bytes(&fixture->model, buf_bytes(&snapshot->model));
    fixture->boundaries = mem_realloc(fixture->boundaries, bytes);
    memcpy(fixture->boundaries, snapshot->boundaries, bytes);
    fixture->boundary_count = snapshot->boundary_count;
    fixture->model_db = snapshot->model_db;
    fixture->durable = fixture->start;
}

static void drop_snapshot(struct snapshot *snapshot)
{
    buf_deinit(&snapshot->model);
    mem_free(snapshot->boundaries);
}

/* Ends the process without a closing mark. */
static void kill_journal(struct journal_fixture *fixture)
{
    env_fault_kill(fixture->fault);
    journal_fixture_close(fixture);
    env_fault_revive(fixture->fault);
}

/* Segments: one full, one with `blocks` blocks, each synced or (under everysec) the first. */
static void make_journal(struct journal_fixture *fixture, unsigned blocks, bool synced)
{
    fixture->options.fsync = JOURNAL_FSYNC_ALWAYS;
    journal_fixture_open(fixture);
    journal_fixture_stage(fixture, 1, 5000);
    journal_fixture_sync(fixture);
    for (unsigned i = 0; i < blocks; i++) {
        journal_fixture_append(fixture, 1 + i % 2, 60);
        if (synced || i == 0)
            journal_fixture_sync(fixture);
        if (!synced && i == 0) {
            env_fault_stop_clock(fixture->fault);
            journal_set_fsync(fixture->journal, JOURNAL_FSYNC_EVERYSEC);
        }
    }
    while (journal_written(fixture->journal) != journal_end(fixture->journal))
        (void)sched_yield();
    kill_journal(fixture);
    assert_int_equal(journal_fixture_segments(fixture, 0, NULL), 2);
}

static void a_tail_torn_at_any_byte_is_cut_off(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512];
    struct buf good = {0};
    make_journal(fixture, 6, true);
    struct snapshot snapshot = take_snapshot(fixture);
    (void)journal_fixture_segments(fixture, -1, path);
    journal_fixture_read_file(path, &good);
    for (size_t len = HEADER; len <= good.len; len++) {
        restore(fixture, &snapshot);
        buf_clear(&fixture->log);
        journal_fixture_write_file(path, bytes_make(good.data, len));
        journal_fixture_open(fixture); /* checks that it ends at a boundary */
        struct journal_recovery recovery;
        journal_read_recovery(fixture->journal, &recovery);
        assert_false(recovery.clean);
        assert_true(recovery.tail_cut_bytes < 32 + 200);
        bool cut = recovery.tail_cut_bytes > 0;
        assert_int_equal(journal_fixture_logged(fixture, "cutting off"), cut);
        assert_int_equal(journal_fixture_logged(fixture, path), cut);
        /* And the stream goes on from there. */
        journal_fixture_append(fixture, 2, 50);
        journal_fixture_sync(fixture);
        journal_fixture_close(fixture);
        journal_fixture_open(fixture);
        journal_read_recovery(fixture->journal, &recovery);
        assert_true(recovery.clean);
        journal_fixture_close(fixture);
    }
    buf_deinit(&good);
    drop_snapshot(&snapshot);
}

static void a_tail_of_zeros_or_noise_is_cut_off(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512];
    struct buf good = {0};
    make_journal(fixture, 3, true);
    struct snapshot snapshot = take_snapshot(fixture);
    (void)journal_fixture_segments(fixture, -1, path);
    journal_fixture_read_file(path, &good);
    for (unsigned round = 0; round < 40; round++) {
        struct buf bad = {0};
        buf_append_bytes(&bad, buf_bytes(&good));
        size_t extra = 1 + (size_t)journal_fixture_random(fixture, 3000);
        for (size_t i = 0; i < extra; i++)
            buf_append_byte(&bad,
                            round % 2 == 0 ? 0 : (uint8_t)journal_fixture_random(fixture, 256));
        restore(fixture, &snapshot);
        journal_fixture_write_file(path, buf_bytes(&bad));
        journal_fixture_open(fixture);
        assert_int_equal(journal_end(fixture->journal), snapshot.model_len);
        kill_journal(fixture);
        buf_deinit(&bad);
    }
    buf_deinit(&good);
    drop_snapshot(&snapshot);
}

static void room_behind_the_last_block_is_no_torn_tail(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512];
    struct buf file = {0};
    make_journal(fixture, 3, true);
    (void)journal_fixture_segments(fixture, -1, path);
    journal_fixture_read_file(path, &file);
    size_t end_of_blocks = file.len;
    while (file.data[end_of_blocks - 1] == 0)
        end_of_blocks--;
    assert_true(file.len > end_of_blocks + 1000);
    struct journal_check check;
    assert_ok(journal_check_dir(env_posix(), fixture->dir, &check, NULL), NULL);
    assert_int_equal(check.tail_bytes, 0);
    assert_int_equal(check.end_offset, fixture->model.len);

    journal_fixture_open(fixture);
    struct journal_recovery recovery;
    journal_read_recovery(fixture->journal, &recovery);
    assert_int_equal(recovery.tail_cut_bytes, 0);
    assert_false(recovery.clean);
    assert_int_equal(recovery.end_offset, fixture->model.len);
    assert_false(journal_fixture_logged(fixture, "cutting off"));
    journal_fixture_read_file(path, &file);
    assert_int_equal(file.len, end_of_blocks);

    /* A clean end leaves no room, but the closing mark. */
    journal_fixture_append(fixture, 1, 50);
    journal_fixture_sync(fixture);
    journal_fixture_close(fixture);
    journal_fixture_read_file(path, &file);
    struct journal_block mark;
    assert_ok(
        journal_block_header_decode(file.data + file.len - JOURNAL_BLOCK_HEADER_BYTES, &mark, NULL),
        NULL);
    assert_true((mark.flags & JOURNAL_BLOCK_CLOSED) != 0);
    journal_fixture_open(fixture);
    journal_read_recovery(fixture->journal, &recovery);
    assert_true(recovery.clean);
    buf_deinit(&file);
}

/* File offsets at which the blocks of a segment start, and the end of the last one: there the file
 * ends, or has zeros only. */
static size_t block_positions(const struct buf *file, size_t out[32])
{
    size_t count = 0;
    size_t at = HEADER;
    while (at < file->len && load_le64(file->data + at) != 0) {
        out[count++] = at;
        at += JOURNAL_BLOCK_HEADER_BYTES + (size_t)load_le64(file->data + at + 8);
    }
    assert_true(at <= file->len);
    out[count] = at;
    for (; at < file->len; at++)
        assert_int_equal(file->data[at], 0);
    return count;
}

static void a_flipped_byte_before_a_later_sync_is_corruption(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512];
    struct buf good = {0};
    size_t blocks[32];
    make_journal(fixture, 5, true);
    struct snapshot snapshot = take_snapshot(fixture);
    (void)journal_fixture_segments(fixture, -1, path);
    journal_fixture_read_file(path, &good);
    size_t count = block_positions(&good, blocks);
    assert_int_equal(count, 5);
    size_t block = 0;
    assert_true(good.len > blocks[count]); /* has room for more */
    for (size_t at = HEADER; at < blocks[count]; at++) {
        if (at == blocks[block + 1])
            block++;
        struct err err;
        restore(fixture, &snapshot);
        good.data[at] ^= (uint8_t)(1U << (at % 8));
        journal_fixture_write_file(path, buf_bytes(&good));
        good.data[at] ^= (uint8_t)(1U << (at % 8));
        if (block + 1 == count) {
            journal_fixture_open(fixture);
            assert_true(journal_end(fixture->journal) < snapshot.model_len);
            kill_journal(fixture);
            continue;
        }
        assert_status(journal_fixture_try_open(fixture, &err), ST_CORRUPT);
        char place[600];
        (void)snprintf(place, sizeof(place), "%s: at byte %zu:", path, blocks[block]);
        if (strstr(err.message, place) == NULL)
            fail_msg("byte %zu: no \"%s\" in \"%s\"", at, place, err.message);
        struct journal_check check;
        assert_status(journal_check_dir(env_posix(), fixture->dir, &check, NULL), ST_CORRUPT);
    }
    buf_deinit(&good);
    drop_snapshot(&snapshot);
}

static void a_flipped_byte_in_what_was_never_synced_is_a_torn_tail(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512];
    struct buf good = {0};
    size_t blocks[32];
    make_journal(fixture, 5, false);
    struct snapshot snapshot = take_snapshot(fixture);
    (void)journal_fixture_segments(fixture, -1, path);
    journal_fixture_read_file(path, &good);
    size_t count = block_positions(&good, blocks);
    for (size_t i = 1; i < count; i++) {
        restore(fixture, &snapshot);
        good.data[blocks[i] + 40] ^= 4;
        journal_fixture_write_file(path, buf_bytes(&good));
        good.data[blocks[i] + 40] ^= 4;
        journal_fixture_open(fixture);
        assert_int_equal(journal_end(fixture->journal),
                         snapshot.model_len - (blocks[count] - blocks[i]) +
                             (count - i) * JOURNAL_BLOCK_HEADER_BYTES);
        kill_journal(fixture);
    }
    buf_deinit(&good);
    drop_snapshot(&snapshot);
}

/* A sync that ended while more was written: a mark says what it covered. */
static void a_flipped_byte_before_a_mark_is_corruption_up_to_what_it_says(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512];
    struct buf good = {0};
    fixture->options.fsync = JOURNAL_FSYNC_NO;
    journal_fixture_open(fixture);
    journal_fixture_close_gate(fixture, ENV_FAULT_OP(ENV_OP_FDATASYNC));
    uint64_t synced = 0;
    for (unsigned i = 0; i < 5; i++) {
        journal_fixture_append(fixture, 1 + i % 2, 60);
        while (journal_written(fixture->journal) != journal_end(fixture->journal))
            (void)sched_yield();
        if (i == 1) {
            synced = journal_end(fixture->journal);
            journal_sync(fixture->journal, synced);
            while (journal_fixture_waiting(fixture) == 0)
                (void)sched_yield();
        }
        if (i == 3) {
            journal_fixture_open_gate(fixture);
            while (journal_durable(fixture->journal) != synced)
                (void)sched_yield();
        }
    }
    kill_journal(fixture);
    struct snapshot snapshot = take_snapshot(fixture);
    (void)journal_fixture_segments(fixture, 0, path);
    journal_fixture_read_file(path, &good);
    size_t blocks = 0;
    uint64_t offset = 0; /* of the block that `at` is in */
    size_t end = HEADER; /* where that ends */
    uint64_t mark_offset = 0;
    size_t mark_end = 0;
    for (size_t at = HEADER; at < good.len; at++) {
        if (at == end) {
            struct journal_block block;
            assert_ok(journal_block_header_decode(good.data + at, &block, NULL), NULL);
            if ((block.flags & JOURNAL_BLOCK_MARK) != 0) {
                assert_int_equal(block.durable, synced);
                mark_offset = block.offset;
                mark_end = at + JOURNAL_BLOCK_HEADER_BYTES;
            }
            offset = block.offset;
            end += JOURNAL_BLOCK_HEADER_BYTES + (size_t)block.payload_len;
            blocks++;
        }
        restore(fixture, &snapshot);
        good.data[at] ^= 2;
        journal_fixture_write_file(path, buf_bytes(&good));
        good.data[at] ^= 2;
        if (offset < synced) {
            assert_status(journal_fixture_try_open(fixture, NULL), ST_CORRUPT);
        } else {
            journal_fixture_open(fixture);
            assert_int_equal(journal_end(fixture->journal), offset);
            kill_journal(fixture);
        }
    }
    assert_int_equal(blocks, 6);
    /* The file may end behind the mark. */
    restore(fixture, &snapshot);
    journal_fixture_write_file(path, bytes_make(good.data, mark_end));
    journal_fixture_open(fixture);
    assert_int_equal(journal_end(fixture->journal), mark_offset);
    buf_deinit(&good);
    drop_snapshot(&snapshot);
}

static void a_flipped_byte_in_an_older_segment_is_corruption(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512];
    struct buf good = {0};
    make_journal(fixture, 1, true);
    struct snapshot snapshot = take_snapshot(fixture);
    (void)journal_fixture_segments(fixture, 0, path);
    journal_fixture_read_file(path, &good);
    for (size_t at = 0; at < good.len; at += at < 100 ? 1 : 97) {
        struct err err;
        good.data[at] ^= 0x80;
        journal_fixture_write_file(path, buf_bytes(&good));
        good.data[at] ^= 0x80;
        assert_status(journal_fixture_try_open(fixture, &err), ST_CORRUPT);
        char place[600];
        (void)snprintf(place, sizeof(place), "%s: at byte %d:", path, at < HEADER ? 0 : HEADER);
        assert_non_null(strstr(err.message, place));
        /* Not if nobody needs it. */
        fixture->options.needed_from =
            journal_fixture_segments(fixture, 0, NULL) == 2 ? fixture->boundaries[1].offset : 0;
        assert_ok(journal_fixture_try_open(fixture, &err), &err);
        assert_int_equal(journal_end(fixture->journal), snapshot.model_len);
        kill_journal(fixture);
        fixture->options.needed_from = 0;
    }
    for (size_t len = 0; len < good.len; len += len < 100 ? 1 : 97) {
        struct err err;
        journal_fixture_write_file(path, bytes_make(good.data, len));
        assert_status(journal_fixture_try_open(fixture, &err), ST_CORRUPT);
        assert_non_null(strstr(err.message, path));
    }
    buf_deinit(&good);
    drop_snapshot(&snapshot);
}

static void a_damaged_header_of_the_last_segment_is_corruption(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512];
    struct err err;
    struct buf good = {0};
    make_journal(fixture, 1, true);
    (void)journal_fixture_segments(fixture, -1, path);
    journal_fixture_read_file(path, &good);
    for (size_t at = 0; at < HEADER; at++) {
        good.data[at] ^= 1;
        journal_fixture_write_file(path, buf_bytes(&good));
        good.data[at] ^= 1;
        assert_status(journal_fixture_try_open(fixture, &err), ST_CORRUPT);
        journal_fixture_write_file(path, bytes_make(good.data, at));
        assert_status(journal_fixture_try_open(fixture, &err), ST_CORRUPT);
        assert_non_null(strstr(err.message, path));
    }
    /* A newer format is no damage, and no loss to accept. */
    store_le32(good.data + 8, 2);
    store_le32(good.data + 28, crc32c(0, good.data, 28));
    journal_fixture_write_file(path, buf_bytes(&good));
    fixture->options.accept_loss = true;
    assert_status(journal_fixture_try_open(fixture, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.message, "version 2"));
    buf_deinit(&good);
}

static void missing_segments_are_corruption(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512];
    struct err err;
    struct buf saved = {0};
    journal_fixture_open(fixture);
    for (unsigned i = 0; i < 4; i++) {
        journal_fixture_stage(fixture, 0, 5000);
        journal_fixture_sync(fixture);
    }
    journal_fixture_close(fixture);
    size_t count = journal_fixture_segments(fixture, 1, path);
    assert_int_equal(count, 4);
    journal_fixture_read_file(path, &saved);
    assert_int_equal(env_posix()->unlink(env_posix(), path), 0);
    assert_status(journal_fixture_try_open(fixture, &err), ST_CORRUPT);
    assert_non_null(strstr(err.message, "the next one starts at"));
    journal_fixture_write_file(path, buf_bytes(&saved));
    /* The first ones. */
    (void)journal_fixture_segments(fixture, 0, path);
    assert_int_equal(env_posix()->unlink(env_posix(), path), 0);
    fixture->options.needed_from = fixture->boundaries[1].offset - 1;
    assert_status(journal_fixture_try_open(fixture, &err), ST_CORRUPT);
    assert_non_null(strstr(err.message, "segments are missing"));
    fixture->options.needed_from = fixture->boundaries[1].offset;
    assert_ok(journal_fixture_try_open(fixture, &err), &err);
    kill_journal(fixture);
    /* The last ones. */
    (void)journal_fixture_segments(fixture, -1, path);
    assert_int_equal(env_posix()->unlink(env_posix(), path), 0);
    fixture->options.needed_from = fixture->boundaries[3].offset + 1;
    assert_status(journal_fixture_try_open(fixture, &err), ST_CORRUPT);
    assert_non_null(strstr(err.message, "the data needs it from"));
    buf_deinit(&saved);
}

static void an_accepted_loss_ends_the_stream_at_the_damage(void **state)
{
    struct journal_fixture *fixture = *state;
    char path[512];
    struct err err;
    struct buf good = {0};
    journal_fixture_open(fixture);
    for (unsigned i = 0; i < 30; i++) {
        journal_fixture_append(fixture, 3, 300);
        journal_fixture_sync(fixture);
    }
    journal_fixture_close(fixture);
    struct snapshot snapshot = take_snapshot(fixture);
    size_t count = journal_fixture_segments(fixture, 1, path);
    assert_true(count > 3);
    journal_fixture_read_file(path, &good);
    size_t blocks[32];
    assert_true(block_positions(&good, blocks) > 3);
    good.data[blocks[2] + 50] ^= 1;
    journal_fixture_write_file(path, buf_bytes(&good));
    restore(fixture, &snapshot);
    assert_status(journal_fixture_try_open(fixture, &err), ST_CORRUPT);
    assert_int_equal(journal_fixture_segments(fixture, 0, NULL), count);

    fixture->options.accept_loss = true;
    journal_fixture_open(fixture);
    struct journal_recovery recovery;
    journal_read_recovery(fixture->journal, &recovery);
    assert_true(recovery.loss_accepted);
    assert_false(recovery.clean);
    assert_true(journal_fixture_logged(fixture, "accepting the loss"));
    assert_true(journal_fixture_logged(fixture, ".lost-"));
    uint64_t end = journal_end(fixture->journal);
    assert_true(end > fixture->start && end < snapshot.model_len);
    assert_int_equal(journal_fixture_segments(fixture, 0, NULL), 3);
    journal_fixture_append(fixture, 3, 300);
    journal_fixture_close(fixture);

    /* From now on all is well without it. */
    fixture->options.accept_loss = false;
    journal_fixture_open(fixture);
    journal_fixture_append(fixture, 3, 300);
    journal_fixture_close(fixture);
    journal_fixture_open(fixture);
    buf_deinit(&good);
    drop_snapshot(&snapshot);
}

static void an_accepted_loss_before_the_cut_starts_anew_at_the_cut(void **state)
{
    struct journal_fixture *fixture = *state;
    struct err err;
    journal_fixture_open(fixture);
    journal_fixture_append(fixture, 3, 300);
    journal_fixture_close(fixture);
    uint64_t cut = fixture->start + fixture->model.len + 1000;
    fixture->options.needed_from = cut;
    assert_status(journal_fixture_try_open(fixture, &err), ST_CORRUPT);
    fixture->options.accept_loss = true;
    assert_ok(journal_fixture_try_open(fixture, &err), &err);
    assert_int_equal(journal_end(fixture->journal), cut);
    struct journal_stats stats;
    journal_read_stats(fixture->journal, &stats);
    assert_int_equal(stats.first_offset, cut);
    assert_int_equal(stats.segment_count, 1);
    journal_stage_bytes(fixture->journal, 0, bytes_text("PING\r\n"));
    journal_close(fixture->journal);
    fixture->options.accept_loss = false;
    assert_ok(journal_fixture_try_open(fixture, &err), &err);
    assert_int_equal(journal_end(fixture->journal), cut + 23 + 6);
}

/* Writes a journal whose last, torn block has `inner` in its payload. */
static void make_torn_block(struct journal_fixture *fixture, struct bytes inner)
{
    char path[512];
    struct buf content = {0};
    journal_fixture_open(fixture);
    journal_fixture_append(fixture, 1, 100);
    journal_fixture_sync(fixture);
    journal_stage_raw(fixture->journal, inner);
    uint64_t end = journal_mark(fixture->journal);
    assert_ok(journal_wait_durable(fixture->journal, end, NULL), NULL);
    kill_journal(fixture);
    (void)journal_fixture_segments(fixture, -1, path);
    journal_fixture_read_file(path, &content);
    size_t end_of_blocks = content.len;
    while (content.data[end_of_blocks - 1] == 0) /* room for more */
        end_of_blocks--;
    size_t block = end_of_blocks - inner.len - JOURNAL_BLOCK_HEADER_BYTES;
    memset(content.data + block, 0, JOURNAL_BLOCK_HEADER_BYTES);
    journal_fixture_write_file(path, buf_bytes(&content));
    buf_deinit(&content);
    fixture->durable = fixture->start;
}

static void journal_bytes_inside_a_torn_value_are_no_blocks(void **state)
{
    struct journal_fixture *fixture = *state;
    uint8_t inner[200];
    memset(inner, 'x', sizeof(inner));
    /* A good block, written after a sync, of an offset far ahead, as a copy of a journal has it. */
    struct journal_block block = {.payload_len = 20,
                                  .offset = 100000,
                                  .payload_crc = crc32c(0, inner, 20),
                                  .flags = JOURNAL_BLOCK_AFTER_SYNC};
    journal_block_header_encode(&block, inner + 60);
    make_torn_block(fixture, bytes_make(inner, sizeof(inner)));
    journal_fixture_open(fixture);
    assert_int_equal(journal_end(fixture->journal), fixture->boundaries[1].offset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(a_tail_torn_at_any_byte_is_cut_off, setup, teardown),
        TEST_WITH(a_tail_of_zeros_or_noise_is_cut_off, setup, teardown),
        TEST_WITH(room_behind_the_last_block_is_no_torn_tail, setup, teardown),
        TEST_WITH(a_flipped_byte_before_a_later_sync_is_corruption, setup, teardown),
        TEST_WITH(a_flipped_byte_in_what_was_never_synced_is_a_torn_tail, setup, teardown),
        TEST_WITH(a_flipped_byte_before_a_mark_is_corruption_up_to_what_it_says, setup, teardown),
        TEST_WITH(a_flipped_byte_in_an_older_segment_is_corruption, setup, teardown),
        TEST_WITH(a_damaged_header_of_the_last_segment_is_corruption, setup, teardown),
        TEST_WITH(missing_segments_are_corruption, setup, teardown),
        TEST_WITH(an_accepted_loss_ends_the_stream_at_the_damage, setup, teardown),
        TEST_WITH(an_accepted_loss_before_the_cut_starts_anew_at_the_cut, setup, teardown),
        TEST_WITH(journal_bytes_inside_a_torn_value_are_no_blocks, setup, teardown),
    };
    return RUN_TESTS("journal_damage", tests);
}
