/* A journal in a scratch directory beside a model of what it must hold: every byte that was staged,
 * and every offset at which something was submitted. */
#ifndef BASALT_TESTS_SUPPORT_JOURNAL_FIXTURE_H
#define BASALT_TESTS_SUPPORT_JOURNAL_FIXTURE_H

#include "codec/buf.h"
#include "storage/journal.h"
#include "tests/support/env_fault.h"

struct journal_boundary {
    uint64_t offset;
    uint32_t db; /* selected there */
};

struct journal_fixture {
    char *root;
    char dir[256];
    struct env_fault *fault;
    struct journal_options options; /* what the next open uses */
    struct journal *journal;        /* NULL while closed */
    uint64_t start;                 /* stream offset of model.data[0] */
    struct buf model;
    uint32_t model_db;
    struct journal_boundary *boundaries;
    size_t boundary_count;
    uint64_t durable; /* the highest offset that was reported durable */
    uint64_t random;
    pthread_mutex_t gate_lock;
    pthread_cond_t gate_changed;
    bool gate_closed;
    unsigned gate_waiting; /* calls that wait at the gate */
    pthread_mutex_t log_lock;
    struct buf log; /* what the journal logged, a line each */
};

/* Makes the directory and a fault env; small segments, `always`, retry after 1 ms. */
struct journal_fixture *journal_fixture_create(void);
void journal_fixture_destroy(struct journal_fixture *fixture);

/* Opens; the model then must agree with what the journal says it holds: see
 * journal_fixture_check. Fails the test if it cannot. */
void journal_fixture_open(struct journal_fixture *fixture);
enum status journal_fixture_try_open(struct journal_fixture *fixture, struct err *err);
/* Notes the durable offset, then closes. */
void journal_fixture_close(struct journal_fixture *fixture);
/* Notes the durable offset. */
void journal_fixture_note(struct journal_fixture *fixture);

/* Stages a command of about `bytes` bytes. */
void journal_fixture_stage(struct journal_fixture *fixture, uint32_t db, size_t bytes);
/* Stages `count` commands of random sizes below `bytes_max` and databases, and submits them. */
void journal_fixture_append(struct journal_fixture *fixture, unsigned count, size_t bytes_max);
void journal_fixture_submit(struct journal_fixture *fixture);
/* Submits, and waits until all is durable. */
void journal_fixture_sync(struct journal_fixture *fixture);

/* From now on calls of `ops` (ENV_FAULT_OP) wait until journal_fixture_open_gate, on whichever
 * thread makes them. Takes the place of plan and watcher. */
void journal_fixture_close_gate(struct journal_fixture *fixture, uint32_t ops);
void journal_fixture_open_gate(struct journal_fixture *fixture);
unsigned journal_fixture_waiting(struct journal_fixture *fixture);

/* After opening: the journal ends at a boundary of the model, not before what was reported durable;
 * what it holds, read block by block from the first byte held, is what the model has; the selected
 * database is right. The model then forgets what was lost. Fails the test otherwise. */
void journal_fixture_check(struct journal_fixture *fixture);
/* Reads all that is written through `reader` and compares. */
void journal_fixture_check_reader(struct journal_fixture *fixture, struct journal_reader *reader);

uint64_t journal_fixture_random(struct journal_fixture *fixture, uint64_t bound);
bool journal_fixture_logged(struct journal_fixture *fixture, const char *part);
/* Path of the nth segment (0: oldest; counted from behind if negative), and how many there are. */
size_t journal_fixture_segments(struct journal_fixture *fixture, int nth, char path_out[512]);
void journal_fixture_read_file(const char *path, struct buf *out);
void journal_fixture_write_file(const char *path, struct bytes content);

#endif
