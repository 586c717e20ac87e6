/* From sorted runs, and what is left in memory, to tables: family by family, two at a time, the
 * largest first. Each is merged by one thread while another one writes its tables. */
#include "storage/import_internal.h"

#include "codec/mem.h"

#include <string.h>

#define MERGE_CHUNKS   4
#define NAMES_PER_LOOK ((uint64_t)1 << 16)

/* A family. Of the thread that merges it, until all have ended. */
struct merge_job {
    struct merging *all; /* borrowed */
    enum family family;
    bool is_callers;         /* on the caller's thread, which reports progress */
    struct import_run *runs; /* owned: copies; their paths are borrowed */
    size_t run_count;
    struct import_batch *batches[IMPORT_WORKERS_MAX]; /* borrowed */
    size_t batch_count;
    uint64_t records;
    struct import_pipe *pipe;
    uint64_t chunk_records; /* in the chunk being filled */
    struct import_db *dbs;  /* owned: counts by number; of a family with keys */
    uint32_t db_last;       /* number of the one found last */
    uint64_t large;
    struct import_run_writer names_writer; /* if names are wanted */
    struct import_run_list names;          /* one run, if they are */
    struct buf name;                       /* owned: scratch */
    struct import_repeats repeats;
};

struct merging {
    struct import *import;
    struct merge_job jobs[FAMILY_COUNT]; /* the largest first */
    /* If several families have keys: those of each, to see whether one is in two of them. */
    bool names_wanted;
    uint64_t total;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    size_t started; /* jobs */
    bool helping;   /* the second thread has not ended */
    uint64_t done;
    enum status status; /* the first failure */
    struct err err;
};

/* ---- One family --------------------------------------------------------------------------------
 */

/* Writing thread: a chunk of merged records to tables. */
static enum status write_chunk(void *arg, void *item, struct err *err)
{
    const struct merge_job *job = arg;
    struct buf *chunk = item;
    struct bytes rest = buf_bytes(chunk);
    enum status st = ST_OK;
    while (st == ST_OK && rest.len > 0) {
        struct import_record record;
        CHECK(import_record_decode(job->family, rest, &record));
        st = import_tables_put(&job->all->import->tables[job->family], record.key, record.value,
                               err);
        rest.data += record.encoded.len;
        rest.len -= record.encoded.len;
    }
    return st;
}

/* Records come by database. */
static enum status find_db(struct merge_job *job, uint32_t id, uint32_t *number_out)
{
    const struct import *import = job->all->import;
    for (uint32_t i = 0; i < import->db_count; i++) {
        if (import->db_ids[job->db_last] == id) {
            *number_out = job->db_last;
            return ST_OK;
        }
        job->db_last = (job->db_last + 1) % import->db_count;
    }
    return ST_NOT_FOUND;
}

/* A record of the dataset: counted here and nowhere else, so that the counters are exact. */
static enum status count_record(struct merge_job *job, const struct import_record *record,
                                struct err *err)
{
    uint32_t db_id;
    uint64_t position;
    struct bytes name;
    struct record_header header;
    struct bytes payload;
    uint32_t number;
    if (!record_key_decode(record->key, &db_id, &position, &name) ||
        find_db(job, db_id, &number) != ST_OK ||
        record_header_decode(record->value, &header, &payload) != ST_OK)
        return err_set(err, ST_CORRUPT, "a record came back damaged while merging");
    job->dbs[number].keys++;
    job->dbs[number].expires += header.has_expire;
    job->large += header.large;
    return ST_OK;
}

/* ST_AGAIN: another thread has failed, and all has the reason. */
static enum status submit_chunk(struct merge_job *job, struct buf *chunk, struct err *err)
{
    struct merging *all = job->all;
    import_pipe_submit(job->pipe, chunk);
    (void)pthread_mutex_lock(&all->lock);
    all->done += job->chunk_records;
    uint64_t done = all->done;
    enum status st = all->status == ST_OK ? ST_OK : ST_AGAIN;
    (void)pthread_cond_signal(&all->changed);
    (void)pthread_mutex_unlock(&all->lock);
    job->chunk_records = 0;
    return st == ST_OK && job->is_callers
               ? import_report_progress(all->import, IMPORT_MERGING, done, all->total, err)
               : st;
}

/* An empty chunk. ST_AGAIN: the writing thread failed, and has the reason. */
static enum status take_chunk(struct merge_job *job, struct buf **out)
{
    size_t chunk_bytes = job->all->import->chunk_bytes;
    struct buf *chunk = import_pipe_take(job->pipe);
    if (chunk == NULL)
        return ST_AGAIN;
    buf_clear(chunk);
    if (chunk->capacity > 2 * chunk_bytes) /* it had a huge record */
        buf_deinit(chunk);
    (void)buf_reserve(chunk, chunk_bytes);
    *out = chunk;
    return ST_OK;
}

/* Puts a record into the chunk; a full one goes to the writing thread first. */
static enum status append_record(struct merge_job *job, struct buf **chunk, struct bytes encoded,
                                 struct err *err)
{
    enum status st = ST_OK;
    if (*chunk != NULL && (*chunk)->len + encoded.len > job->all->import->chunk_bytes) {
        st = submit_chunk(job, *chunk, err);
        *chunk = NULL;
    }
    if (st == ST_OK && *chunk == NULL)
        st = take_chunk(job, chunk);
    if (st != ST_OK)
        return st;
    if (!buf_try_reserve(*chunk, encoded.len))
        return err_set(err, ST_LIMIT, "out of memory for a record of %zu bytes", encoded.len);
    buf_append_bytes(*chunk, encoded);
    job->chunk_records++;
    return ST_OK;
}

/* A key of the dataset. */
static enum status take_key(struct merge_job *job, const struct import_record *record,
                            struct err *err)
{
    enum status st = count_record(job, record, err);
    if (st != ST_OK || !job->all->names_wanted)
        return st;
    buf_clear(&job->name);
    uint8_t *at = buf_reserve(&job->name, IMPORT_RECORD_HEAD_BYTES_MAX + record->key.len);
    job->name.len = varint_encode(record->key.len, at);
    job->name.len += varint_encode(0, at + job->name.len);
    buf_append_bytes(&job->name, record->key);
    return import_run_writer_put(&job->names_writer, buf_bytes(&job->name), err);
}

static enum status merge_records(struct merge_job *job, struct import_merge *merge, struct err *err)
{
    struct buf *chunk = NULL;
    enum status st = ST_OK;
    while (st == ST_OK) {
        struct import_record record;
        st = import_merge_next(merge, &record, err);
        if (st == ST_OK && job->family != FAMILY_EXPIRES && !import_is_element(record.key))
            st = take_key(job, &record, err);
        if (st == ST_OK)
            st = append_record(job, &chunk, record.encoded, err);
    }
    if (st != ST_END)
        return st;
    return chunk == NULL ? ST_OK : submit_chunk(job, chunk, err);
}

/* The same, and the keys' names beside. */
static enum status merge_with_names(struct merge_job *job, struct import_merge *merge,
                                    struct err *err)
{
    struct import_run run;
    enum status st = ST_OK;
    if (job->all->names_wanted)
        st = import_open_run(job->all->import, "names", (uint64_t)job->family, &job->names_writer,
                             err);
    if (st == ST_OK)
        st = merge_records(job, merge, err);
    if (st == ST_OK && job->all->names_wanted) {
        st = import_run_writer_finish(&job->names_writer, &run, err);
        if (st == ST_OK)
            import_append_run(&job->names, &run);
    }
    import_run_writer_close(&job->names_writer);
    buf_deinit(&job->name);
    return st;
}

static enum status merge_to_tables(struct merge_job *job, struct import_merge *merge,
                                   struct err *err)
{
    struct buf chunks[MERGE_CHUNKS] = {{0}};
    void *items[MERGE_CHUNKS];
    for (size_t i = 0; i < MERGE_CHUNKS; i++)
        items[i] = &chunks[i];
    job->pipe = import_pipe_create(items, MERGE_CHUNKS, write_chunk, job);
    enum status st = merge_with_names(job, merge, err);
    struct err pipe_err;
    enum status pipe_st = import_pipe_join(job->pipe, &pipe_err);
    if (pipe_st != ST_OK) {
        st = pipe_st;
        *err = pipe_err;
    }
    for (size_t i = 0; i < MERGE_CHUNKS; i++)
        buf_deinit(&chunks[i]);
    return st == ST_OK ? import_tables_finish(&job->all->import->tables[job->family], err) : st;
}

static enum status merge_family(struct merge_job *job, struct err *err)
{
    struct import *import = job->all->import;
    struct import_merge_options options = {.env = import->options.env,
                                           .family = job->family,
                                           .runs = job->runs,
                                           .run_count = job->run_count,
                                           .batches = job->batches,
                                           .batch_count = job->batch_count,
                                           .dropped = import_note_dropped,
                                           .arg = &job->repeats};
    struct import_merge *merge = NULL;
    enum status st = import_merge_create(&options, &merge, err);
    if (st != ST_OK)
        return st;
    job->dbs = mem_calloc(import->db_count, sizeof(*job->dbs));
    st = merge_to_tables(job, merge, err);
    import_merge_destroy(merge);
    for (unsigned i = 0; i < import->worker_count; i++)
        import_drop_runs(import, &import->workers[i].runs[job->family]);
    return st == ST_OK ? import_check_repeats(import, &job->repeats, err) : st;
}

/* ---- All of them -------------------------------------------------------------------------------
 */

static void fail(struct merging *all, enum status st, const struct err *err)
{
    (void)pthread_mutex_lock(&all->lock);
    if (all->status == ST_OK) {
        all->status = st;
        all->err = *err;
    }
    (void)pthread_mutex_unlock(&all->lock);
}

/* NULL: there is none left, or no use in it. */
static struct merge_job *take_job(struct merging *all)
{
    struct merge_job *job = NULL;
    (void)pthread_mutex_lock(&all->lock);
    if (all->status == ST_OK && all->started < FAMILY_COUNT)
        job = &all->jobs[all->started++];
    (void)pthread_mutex_unlock(&all->lock);
    return job != NULL && job->records != 0 ? job : NULL;
}

static void run_job(struct merge_job *job)
{
    struct err err;
    enum status st = merge_family(job, &err);
    if (st != ST_OK)
        fail(job->all, st, &err);
}

static void *help(void *arg)
{
    struct merging *all = arg;
    (void)pthread_setname_np(pthread_self(), "import");
    for (struct merge_job *job = take_job(all); job != NULL; job = take_job(all))
        run_job(job);
    (void)pthread_mutex_lock(&all->lock);
    all->helping = false;
    (void)pthread_cond_signal(&all->changed);
    (void)pthread_mutex_unlock(&all->lock);
    return NULL;
}

/* Reports how far the second thread gets, until it has ended. */
static void wait_for_help(struct merging *all)
{
    struct err err;
    (void)pthread_mutex_lock(&all->lock);
    while (all->helping) {
        uint64_t done = all->done;
        (void)pthread_cond_wait(&all->changed, &all->lock);
        if (done == all->done)
            continue;
        done = all->done;
        (void)pthread_mutex_unlock(&all->lock);
        enum status st =
            import_report_progress(all->import, IMPORT_MERGING, done, all->total, &err);
        if (st != ST_OK)
            fail(all, st, &err);
        (void)pthread_mutex_lock(&all->lock);
    }
    (void)pthread_mutex_unlock(&all->lock);
}

static void merge_families(struct merging *all)
{
    pthread_t helper;
    struct merge_job *job = take_job(all); /* the caller has the largest */
    if (job == NULL)
        return;
    bool has_helper = FAMILY_COUNT > 1 && all->jobs[1].records != 0;
    if (has_helper) {
        all->helping = true;
        CHECK(pthread_create(&helper, NULL, help, all) == 0);
    }
    for (; job != NULL; job = take_job(all)) {
        job->is_callers = true;
        run_job(job);
    }
    if (has_helper) {
        wait_for_help(all);
        CHECK(pthread_join(helper, NULL) == 0);
    }
}

/* What there is of a family. */
static void begin_job(struct merging *all, enum family family, struct merge_job *job)
{
    struct import *import = all->import;
    size_t run_count = 0;
    *job = (struct merge_job){.all = all, .family = family};
    for (unsigned i = 0; i < import->worker_count; i++)
        run_count += import->workers[i].runs[family].count;
    job->runs = mem_alloc((run_count + 1) * sizeof(*job->runs));
    for (unsigned i = 0; i < import->worker_count; i++) {
        const struct import_worker *worker = &import->workers[i];
        const struct import_run_list *list = &worker->runs[family];
        for (size_t n = 0; n < list->count; n++) {
            job->runs[job->run_count++] = list->items[n];
            job->records += list->items[n].records;
        }
        if (worker->batch == NULL)
            continue;
        job->batches[job->batch_count++] = worker->batch;
        job->records +=
            worker->batch->family_start[family + 1] - worker->batch->family_start[family];
    }
}

static void begin(struct merging *all)
{
    unsigned key_families = 0;
    for (int family = 0; family < FAMILY_COUNT; family++) {
        struct merge_job job;
        begin_job(all, (enum family)family, &job);
        all->total += job.records;
        key_families += family != FAMILY_META && family != FAMILY_EXPIRES && job.records != 0;
        int at = family;
        for (; at > 0 && all->jobs[at - 1].records < job.records; at--)
            all->jobs[at] = all->jobs[at - 1];
        all->jobs[at] = job;
    }
    all->names_wanted = key_families > 1;
    CHECK(pthread_mutex_init(&all->lock, NULL) == 0);
    CHECK(pthread_cond_init(&all->changed, NULL) == 0);
}

/* Whether a key is in two families, that is, of two types. */
static enum status check_names(struct merging *all, struct err *err)
{
    struct import *import = all->import;
    struct import_run runs[FAMILY_COUNT];
    struct import_repeats repeats = {0};
    struct import_merge_options options = {.env = import->options.env,
                                           .family = FAMILY_STRING, /* any that holds records */
                                           .runs = runs,
                                           .dropped = import_note_dropped,
                                           .arg = &repeats};
    for (int i = 0; i < FAMILY_COUNT; i++)
        if (all->jobs[i].names.count != 0)
            runs[options.run_count++] = all->jobs[i].names.items[0];
    struct import_merge *merge = NULL;
    struct import_record record;
    enum status st = import_merge_create(&options, &merge, err);
    for (uint64_t count = 1; st == ST_OK; count++) {
        st = import_merge_next(merge, &record, err);
        if (st == ST_OK && count % NAMES_PER_LOOK == 0)
            st = import_report_progress(import, IMPORT_MERGING, all->done, all->total, err);
    }
    import_merge_destroy(merge);
    if (st == ST_END)
        st = import_check_repeats(import, &repeats, err);
    buf_deinit(&repeats.key);
    return st;
}

static void add_counts(struct import *import, const struct merge_job *job)
{
    struct import_report *report = &import->report;
    if (job->dbs == NULL || job->family == FAMILY_META || job->family == FAMILY_EXPIRES)
        return;
    for (uint32_t i = 0; i < import->db_count; i++) {
        import->dbs[i].keys += job->dbs[i].keys;
        import->dbs[i].keys_of_type[import_type_of(job->family)] += job->dbs[i].keys;
        import->dbs[i].expires += job->dbs[i].expires;
        report->keys += job->dbs[i].keys;
        report->expires += job->dbs[i].expires;
    }
    *(job->family == FAMILY_STRING ? &report->large_strings : &report->large_collections) +=
        job->large;
}

static void end(struct merging *all)
{
    struct import *import = all->import;
    for (int i = 0; i < FAMILY_COUNT; i++) {
        struct merge_job *job = &all->jobs[i];
        add_counts(import, job);
        import_drop_runs(import, &job->names);
        mem_free(job->names.items);
        buf_deinit(&job->repeats.key);
        mem_free(job->runs);
        mem_free(job->dbs);
    }
    for (unsigned i = 0; i < import->worker_count; i++) {
        import_batch_destroy(import->workers[i].batch);
        import->workers[i].batch = NULL;
    }
    (void)pthread_cond_destroy(&all->changed);
    (void)pthread_mutex_destroy(&all->lock);
}

enum status import_merge_all(struct import *import, struct err *err)
{
    struct merging *all = mem_calloc(1, sizeof(*all));
    all->import = import;
    begin(all);
    merge_families(all);
    enum status st = all->status;
    if (st != ST_OK && err != NULL)
        *err = all->err;
    if (st == ST_OK && all->names_wanted)
        st = check_names(all, err);
    end(all);
    mem_free(all);
    return st;
}
