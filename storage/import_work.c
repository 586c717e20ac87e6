/* Threads that decode the input. They take turns at reading it: in its turn a thread takes some
 * keys with their values as they stand, which costs little, and decodes them while others have
 * theirs. Only values too large for that are decoded in the turn itself. Each thread sorts and
 * writes its own records: all of them are busy until the input ends, whatever it holds.
 *
 * What fails first in the input's order is what the import fails with: failures have the number of
 * their turn. Turns are tokens, not locks: no lock is held while anything is read. */
#include "storage/import_internal.h"

#include "codec/mem.h"

void import_begin_turn(struct import_worker *worker)
{
    struct import_turns *turns = &worker->import->turns;
    CHECK(!worker->has_turn);
    (void)pthread_mutex_lock(&turns->lock);
    while (turns->taken)
        (void)pthread_cond_wait(&turns->changed, &turns->lock);
    turns->taken = true;
    (void)pthread_mutex_unlock(&turns->lock);
    worker->has_turn = true;
}

void import_end_turn(struct import_worker *worker)
{
    struct import_turns *turns = &worker->import->turns;
    CHECK(worker->has_turn);
    worker->has_turn = false;
    (void)pthread_mutex_lock(&turns->lock);
    turns->taken = false;
    (void)pthread_cond_signal(&turns->changed);
    (void)pthread_mutex_unlock(&turns->lock);
}

static void end_input(struct import_turns *turns)
{
    (void)pthread_mutex_lock(&turns->lock);
    turns->ended = true;
    (void)pthread_mutex_unlock(&turns->lock);
}

static bool has_ended(struct import_turns *turns)
{
    (void)pthread_mutex_lock(&turns->lock);
    bool ended = turns->ended;
    (void)pthread_mutex_unlock(&turns->lock);
    return ended;
}

/* False: there is nothing more to do. */
static bool do_turn(struct import_worker *worker)
{
    struct import_turns *turns = &worker->import->turns;
    struct err take_err;
    import_begin_turn(worker);
    if (has_ended(turns)) {
        import_end_turn(worker);
        return false;
    }
    worker->turn = turns->count++;
    enum status take_st = import_take_items(worker, &take_err);
    if (take_st != ST_OK)
        end_input(turns);
    import_end_turn(worker);
    /* What was taken came before what could not be. */
    worker->status = import_decode_items(worker, &worker->err);
    if (worker->status != ST_OK) {
        end_input(turns);
    } else if (take_st != ST_OK && take_st != ST_END) {
        worker->status = take_st;
        worker->err = take_err;
    }
    return take_st == ST_OK && worker->status == ST_OK;
}

/* The first worker's last records stay in memory, and those of others if they are few: merging
 * needs some, too. */
static enum status settle(struct import_worker *worker, struct err *err)
{
    struct import_batch *batch = worker->batch;
    buf_deinit(&worker->frames);
    buf_deinit(&worker->scratch);
    mem_free(worker->items);
    worker->items = NULL;
    if (worker->number == 0 || (worker->run_count == 0 && batch->used <= batch->capacity / 2)) {
        import_batch_sort(batch, import_note_dropped, &worker->repeats);
        return import_check_repeats(worker->import, &worker->repeats, err);
    }
    enum status st = import_write_batch(worker, err);
    import_batch_destroy(batch);
    worker->batch = NULL;
    return st;
}

static void work(struct import_worker *worker)
{
    while (do_turn(worker))
        ;
    if (worker->status == ST_OK)
        worker->status = settle(worker, &worker->err);
}

static void *run(void *arg)
{
    (void)pthread_setname_np(pthread_self(), "import");
    work(arg);
    return NULL;
}

/* A small input is one turn of the caller's thread. */
static void work_together(struct import *import)
{
    struct import_worker *first = &import->workers[0];
    if (!do_turn(first)) {
        for (unsigned i = 1; i < import->worker_count; i++) {
            import_batch_destroy(import->workers[i].batch);
            import->workers[i].batch = NULL;
        }
        work(first);
        return;
    }
    for (unsigned i = 1; i < import->worker_count; i++)
        CHECK(pthread_create(&import->workers[i].thread, NULL, run, &import->workers[i]) == 0);
    work(first);
    for (unsigned i = 1; i < import->worker_count; i++)
        CHECK(pthread_join(import->workers[i].thread, NULL) == 0);
}

static enum status conclude(struct import *import, struct err *err)
{
    const struct import_worker *failed = NULL;
    for (unsigned i = 0; i < import->worker_count; i++) {
        const struct import_worker *worker = &import->workers[i];
        if (worker->status != ST_OK && (failed == NULL || worker->turn < failed->turn))
            failed = worker;
        import->report.runs += worker->run_count;
        import->report.run_bytes += worker->run_bytes;
        import->report.empty += worker->empty;
    }
    if (failed == NULL)
        return ST_OK;
    if (err != NULL)
        *err = failed->err;
    return failed->status;
}

enum status import_read_input(struct import *import, struct err *err)
{
    struct rdb_reader_options options = {.read = import->options.read,
                                         .read_arg = import->options.read_arg,
                                         .string_bytes_max = IMPORT_STRING_BYTES_MAX};
    struct import_turns *turns = &import->turns;
    *turns = (struct import_turns){.reader = rdb_reader_create(&options)};
    CHECK(pthread_mutex_init(&turns->lock, NULL) == 0);
    CHECK(pthread_cond_init(&turns->changed, NULL) == 0);
    work_together(import);
    (void)pthread_cond_destroy(&turns->changed);
    (void)pthread_mutex_destroy(&turns->lock);
    rdb_reader_destroy(turns->reader);
    enum status st = conclude(import, err);
    return st == ST_OK ? import_tables_finish(&import->chunks, err) : st;
}
