#include "storage/backup_stage.h"

#include <stdio.h>

#include "codec/check.h"
#include "codec/mem.h"
#include "storage/cold.h"
#include "storage/env.h"
#include "storage/executor.h"
#include "storage/journal.h"
#include "storage/meta.h"

struct backup_stage {
    struct job job; /* first */
    struct backup_stage_options options;
    struct backup_stage_info info;
    struct journal_reader *hold; /* keeps the journal from the cut on */
    enum status status;          /* of the job */
    char dir[ENV_PATH_BYTES_MAX];
};

const char *backup_stage_state_name(enum backup_stage_state state)
{
    static const char *const names[] = {"none", "staging", "ready", "failed", "ending"};
    return names[state];
}

struct backup_stage *backup_stage_create(const struct backup_stage_options *options)
{
    struct backup_stage *stage = mem_calloc(1, sizeof(*stage));
    stage->options = *options;
    int len = snprintf(stage->dir, sizeof(stage->dir), "%s/" BACKUP_STAGE_DIR, options->dir);
    CHECK(len > 0 && (size_t)len < sizeof(stage->dir) - 64);
    (void)!env_remove_tree(options->env, stage->dir, NULL); /* the next start tries again */
    return stage;
}

void backup_stage_destroy(struct backup_stage *stage)
{
    if (stage == NULL)
        return;
    CHECK(!backup_stage_busy(stage));
    journal_reader_close(stage->hold);
    mem_free(stage);
}

bool backup_stage_busy(const struct backup_stage *stage)
{
    return stage->info.state == BACKUP_STAGE_STAGING || stage->info.state == BACKUP_STAGE_ENDING;
}

void backup_stage_read(const struct backup_stage *stage, struct backup_stage_info *out)
{
    *out = stage->info;
}

/* No cut is applied meanwhile, so the journal has been released up to this one's offset at most. */
static enum status make_stage(struct backup_stage *stage, struct err *err)
{
    struct backup_stage_options *options = &stage->options;
    char path[ENV_PATH_BYTES_MAX + 16];
    struct meta_state state;
    enum status st = env_remove_tree(options->env, stage->dir, err);
    if (st == ST_OK)
        st = env_mkdir(options->env, stage->dir, err);
    (void)snprintf(path, sizeof(path), "%s/rocksdb", stage->dir);
    if (st == ST_OK)
        st = cold_checkpoint(options->cold, path, err);
    if (st != ST_OK)
        return st;
    st = meta_read_state(options->cold, &state, err);
    if (st == ST_NOT_FOUND) { /* no cut yet */
        stage->info.cut_offset = 0;
        st = ST_OK;
    } else if (st == ST_OK) {
        stage->info.cut_offset = state.cut_offset;
        meta_state_deinit(&state);
    }
    if (st == ST_OK)
        st = journal_wait_durable(options->journal, stage->info.end_offset, err);
    if (st == ST_OK)
        st = journal_reader_open(options->journal, stage->info.cut_offset, &stage->hold, err);
    return st;
}

static void run_start(struct job *job)
{
    struct backup_stage *stage = (struct backup_stage *)(void *)job;
    stage->status = make_stage(stage, &stage->info.err);
}

static void done_start(struct job *job)
{
    struct backup_stage *stage = (struct backup_stage *)(void *)job;
    stage->info.state = stage->status == ST_OK ? BACKUP_STAGE_READY : BACKUP_STAGE_FAILED;
}

enum status backup_stage_start(struct backup_stage *stage, int64_t now_ms, struct err *err)
{
    if (stage->info.state != BACKUP_STAGE_NONE)
        return err_set(err, ST_EXISTS, "a backup is under way");
    stage->info = (struct backup_stage_info){.state = BACKUP_STAGE_STAGING,
                                             .number = stage->info.number + 1,
                                             .end_offset = journal_mark(stage->options.journal),
                                             .since_ms = now_ms};
    stage->job.run = run_start;
    stage->job.done = done_start;
    executor_submit(stage->options.flusher, &stage->job);
    return ST_OK;
}

static void run_end(struct job *job)
{
    struct backup_stage *stage = (struct backup_stage *)(void *)job;
    journal_reader_close(stage->hold);
    stage->hold = NULL;
    (void)!env_remove_tree(stage->options.env, stage->dir, NULL); /* the next one tries again */
}

static void done_end(struct job *job)
{
    struct backup_stage *stage = (struct backup_stage *)(void *)job;
    stage->info.state = BACKUP_STAGE_NONE;
}

enum status backup_stage_end(struct backup_stage *stage, struct err *err)
{
    if (stage->info.state == BACKUP_STAGE_NONE)
        return err_set(err, ST_NOT_FOUND, "no backup is under way");
    if (backup_stage_busy(stage))
        return err_set(err, ST_AGAIN, "the backup is being prepared or ended: try again");
    stage->info.state = BACKUP_STAGE_ENDING;
    stage->job.run = run_end;
    stage->job.done = done_end;
    executor_submit(stage->options.reclaimer, &stage->job);
    return ST_OK;
}
