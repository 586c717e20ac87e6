/* A journal beside a model of it: see journal_fixture.h. */
#include "tests/support/journal_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/mem.h"
#include "tests/support/harness.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)
#define SEGMENTS_MAX   4096

static void keep_log(void *arg, int level, const char *text)
{
    struct journal_fixture *fixture = arg;
    (void)level;
    (void)pthread_mutex_lock(&fixture->log_lock);
    buf_append_text(&fixture->log, text);
    buf_append_byte(&fixture->log, '\n');
    (void)pthread_mutex_unlock(&fixture->log_lock);
}

bool journal_fixture_logged(struct journal_fixture *fixture, const char *part)
{
    (void)pthread_mutex_lock(&fixture->log_lock);
    bool found = fixture->log.len > 0 &&
                 memmem(fixture->log.data, fixture->log.len, part, strlen(part)) != NULL;
    (void)pthread_mutex_unlock(&fixture->log_lock);
    return found;
}

uint64_t journal_fixture_random(struct journal_fixture *fixture, uint64_t bound)
{
    fixture->random ^= fixture->random << 13;
    fixture->random ^= fixture->random >> 7;
    fixture->random ^= fixture->random << 17;
    return fixture->random % bound;
}

struct journal_fixture *journal_fixture_create(void)
{
    struct journal_fixture *fixture = mem_calloc(1, sizeof(*fixture));
    fixture->root = harness_make_dir();
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "%s/journal", fixture->root);
    fixture->fault = env_fault_create();
    fixture->random = UINT64_C(88172645463325252);
    fixture->model_db = JOURNAL_DB_UNKNOWN;
    (void)pthread_mutex_init(&fixture->gate_lock, NULL);
    (void)pthread_cond_init(&fixture->gate_changed, NULL);
    (void)pthread_mutex_init(&fixture->log_lock, NULL);
    fixture->options = (struct journal_options){
        .env = env_fault_env(fixture->fault),
        .dir = fixture->dir,
        .segment_bytes = JOURNAL_SEGMENT_BYTES_MIN,
        .retain_bytes = UINT64_MAX,
        .fsync = JOURNAL_FSYNC_ALWAYS,
        .retry_ms = 1,
        .log = keep_log,
        .log_arg = fixture,
    };
    return fixture;
}

void journal_fixture_destroy(struct journal_fixture *fixture)
{
    if (fixture == NULL)
        return;
    journal_fixture_open_gate(fixture);
    journal_close(fixture->journal);
    env_fault_destroy(fixture->fault);
    harness_remove_dir(fixture->root);
    (void)pthread_mutex_destroy(&fixture->gate_lock);
    (void)pthread_cond_destroy(&fixture->gate_changed);
    (void)pthread_mutex_destroy(&fixture->log_lock);
    mem_free(fixture->root);
    mem_free(fixture->boundaries);
    buf_deinit(&fixture->model);
    buf_deinit(&fixture->log);
    mem_free(fixture);
}

static void add_boundary(struct journal_fixture *fixture)
{
    size_t bytes = (fixture->boundary_count + 1) * sizeof(*fixture->boundaries);
    fixture->boundaries = mem_realloc(fixture->boundaries, bytes);
    fixture->boundaries[fixture->boundary_count++] = (struct journal_boundary){
        .offset = fixture->start + fixture->model.len, .db = fixture->model_db};
}

enum status journal_fixture_try_open(struct journal_fixture *fixture, struct err *err)
{
    enum status st = journal_open(&fixture->options, &fixture->journal, err);
    if (st == ST_OK && fixture->boundary_count == 0) {
        fixture->start = journal_end(fixture->journal);
        fixture->durable = fixture->start;
        add_boundary(fixture);
    }
    return st;
}

void journal_fixture_open(struct journal_fixture *fixture)
{
    struct err err;
    assert_ok(journal_fixture_try_open(fixture, &err), &err);
    journal_fixture_check(fixture);
}

void journal_fixture_note(struct journal_fixture *fixture)
{
    uint64_t durable = journal_durable(fixture->journal);
    assert_true(durable >= fixture->durable);
    fixture->durable = durable;
}

void journal_fixture_close(struct journal_fixture *fixture)
{
    if (fixture->journal == NULL)
        return;
    journal_fixture_note(fixture);
    journal_close(fixture->journal);
    fixture->journal = NULL;
}

void journal_fixture_stage(struct journal_fixture *fixture, uint32_t db, size_t bytes)
{
    struct buf command = {0};
    buf_append_format(&command, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%zu\r\n", bytes);
    uint8_t *value = buf_reserve(&command, bytes);
    for (size_t i = 0; i < bytes; i++)
        value[i] = (uint8_t)journal_fixture_random(fixture, 256);
    command.len += bytes;
    buf_append_text(&command, "\r\n");
    if (db != fixture->model_db) {
        char number[16];
        int digits = snprintf(number, sizeof(number), "%u", db);
        buf_append_format(&fixture->model, "*2\r\n$6\r\nSELECT\r\n$%d\r\n%s\r\n", digits, number);
        fixture->model_db = db;
    }
    buf_append_bytes(&fixture->model, buf_bytes(&command));
    journal_stage_bytes(fixture->journal, db, buf_bytes(&command));
    assert_int_equal(journal_end(fixture->journal), fixture->start + fixture->model.len);
    buf_deinit(&command);
}

void journal_fixture_submit(struct journal_fixture *fixture)
{
    journal_submit(fixture->journal);
    if (fixture->boundaries[fixture->boundary_count - 1].offset !=
        fixture->start + fixture->model.len)
        add_boundary(fixture);
}

void journal_fixture_append(struct journal_fixture *fixture, unsigned count, size_t bytes_max)
{
    for (unsigned i = 0; i < count; i++)
        journal_fixture_stage(fixture, (uint32_t)journal_fixture_random(fixture, 3),
                              (size_t)journal_fixture_random(fixture, bytes_max));
    journal_fixture_submit(fixture);
}

void journal_fixture_sync(struct journal_fixture *fixture)
{
    struct err err;
    journal_fixture_submit(fixture);
    uint64_t end = journal_end(fixture->journal);
    assert_ok(journal_wait_durable(fixture->journal, end, &err), &err);
    journal_fixture_note(fixture);
    assert_int_equal(fixture->durable, end);
}

/* ---- The gate ---- */

static void wait_at_gate(void *arg, struct env_call *call)
{
    struct journal_fixture *fixture = arg;
    (void)call;
    (void)pthread_mutex_lock(&fixture->gate_lock);
    fixture->gate_waiting++;
    while (fixture->gate_closed)
        (void)pthread_cond_wait(&fixture->gate_changed, &fixture->gate_lock);
    fixture->gate_waiting--;
    (void)pthread_mutex_unlock(&fixture->gate_lock);
}

static void set_gate(struct journal_fixture *fixture, bool closed)
{
    (void)pthread_mutex_lock(&fixture->gate_lock);
    fixture->gate_closed = closed;
    (void)pthread_cond_broadcast(&fixture->gate_changed);
    (void)pthread_mutex_unlock(&fixture->gate_lock);
}

void journal_fixture_close_gate(struct journal_fixture *fixture, uint32_t ops)
{
    set_gate(fixture, true);
    env_fault_set_plan(fixture->fault, &(struct env_fault_plan){.ops = ops});
    env_fault_set_watcher(fixture->fault, wait_at_gate, fixture);
}

void journal_fixture_open_gate(struct journal_fixture *fixture)
{
    env_fault_set_watcher(fixture->fault, NULL, NULL);
    set_gate(fixture, false);
}

unsigned journal_fixture_waiting(struct journal_fixture *fixture)
{
    (void)pthread_mutex_lock(&fixture->gate_lock);
    unsigned waiting = fixture->gate_waiting;
    (void)pthread_mutex_unlock(&fixture->gate_lock);
    return waiting;
}

/* ---- Comparing ---- */

static const struct journal_boundary *find_boundary(const struct journal_fixture *fixture,
                                                    uint64_t offset)
{
    for (size_t i = 0; i < fixture->boundary_count; i++) {
        if (fixture->boundaries[i].offset == offset)
            return &fixture->boundaries[i];
    }
    return NULL;
}

static uint32_t db_at(const struct journal_fixture *fixture, uint64_t offset)
{
    const struct journal_boundary *boundary = find_boundary(fixture, offset);
    assert_non_null(boundary);
    return boundary->db;
}

void journal_fixture_check_reader(struct journal_fixture *fixture, struct journal_reader *reader)
{
    uint64_t end = journal_written(fixture->journal);
    uint64_t at = journal_reader_offset(reader);
    bool aligned = find_boundary(fixture, at) != NULL;
    while (at < end) {
        struct err err;
        struct bytes payload;
        uint32_t db = 0;
        uint64_t offset = 0;
        assert_ok(journal_reader_next(reader, &db, &offset, &payload, &err), &err);
        assert_int_equal(offset, at);
        assert_true(payload.len > 0 && payload.len <= fixture->start + fixture->model.len - at);
        assert_bytes(payload, bytes_make(fixture->model.data + (at - fixture->start), payload.len));
        /* A block that starts with a SELECT may name any database. */
        uint32_t expected = aligned ? db_at(fixture, at) : db;
        if (expected != JOURNAL_DB_UNKNOWN)
            assert_int_equal(db, expected);
        at += payload.len;
        aligned = true;
        assert_non_null(find_boundary(fixture, at));
    }
    if (at == journal_written(fixture->journal))
        assert_int_equal(journal_reader_next(reader, NULL, NULL, NULL, NULL), ST_END);
}

static void forget_lost(struct journal_fixture *fixture, uint64_t end)
{
    while (fixture->boundaries[fixture->boundary_count - 1].offset > end)
        fixture->boundary_count--;
    fixture->model.len = (size_t)(end - fixture->start);
    fixture->model_db = fixture->boundaries[fixture->boundary_count - 1].db;
}

void journal_fixture_check(struct journal_fixture *fixture)
{
    struct err err;
    struct journal_recovery recovery;
    struct journal_reader *reader = NULL;
    journal_read_recovery(fixture->journal, &recovery);
    uint64_t end = journal_end(fixture->journal);
    assert_int_equal(recovery.end_offset, end);
    assert_int_equal(journal_durable(fixture->journal), end);
    if (end < fixture->durable)
        fail_msg("the journal ends at %llu, %llu was reported durable", (unsigned long long)end,
                 (unsigned long long)fixture->durable);
    if (find_boundary(fixture, end) == NULL)
        fail_msg("the journal ends at %llu, within a block", (unsigned long long)end);
    forget_lost(fixture, end);
    /* A closed journal does not know that nobody knows. */
    uint32_t db = journal_db(fixture->journal);
    if (fixture->model_db != JOURNAL_DB_UNKNOWN)
        assert_int_equal(db, fixture->model_db);
    fixture->model_db = db;
    fixture->boundaries[fixture->boundary_count - 1].db = db;
    fixture->durable = end;
    assert_ok(journal_reader_open(fixture->journal, recovery.first_offset, &reader, &err), &err);
    assert_true(journal_reader_aligned(reader));
    journal_fixture_check_reader(fixture, reader);
    journal_reader_close(reader);
}

/* ---- Files ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char *items[SEGMENTS_MAX];
    size_t count;
};

static void visit_name(void *arg, const char *name)
{
    struct names *names = arg;
    size_t len = strlen(name);
    if (len > 8 && strcmp(name + len - 8, ".journal") == 0 && names->count < SEGMENTS_MAX)
        names->items[names->count++] = mem_strdup(name);
}

size_t journal_fixture_segments(struct journal_fixture *fixture, int nth, char path_out[512])
{
    struct names *names = mem_calloc(1, sizeof(*names));
    struct err err;
    assert_ok(env_list_dir(env_posix(), fixture->dir, visit_name, names, &err), &err);
    qsort(names->items, names->count, sizeof(names->items[0]), compare_names);
    size_t count = names->count;
    size_t index = nth >= 0 ? (size_t)nth : count - (size_t)-nth;
    if (index < count && path_out != NULL)
        (void)snprintf(path_out, 512, "%s/%s", fixture->dir, names->items[index]);
    for (size_t i = 0; i < count; i++)
        mem_free(names->items[i]);
    mem_free(names);
    return count;
}

void journal_fixture_read_file(const char *path, struct buf *out)
{
    struct err err;
    buf_clear(out);
    assert_ok(env_read_file(env_posix(), path, FILE_BYTES_MAX, out, &err), &err);
}

void journal_fixture_write_file(const char *path, struct bytes content)
{
    struct err err;
    struct env *env = env_posix();
    int fd = -1;
    assert_ok(env_open(env, path, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &fd, &err), &err);
    assert_ok(env_write_all(env, fd, path, content.data, content.len, &err), &err);
    env_close(env, fd);
}
