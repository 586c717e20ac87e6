#include "storage/key_survey.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/executor.h"
#include "storage/loader.h"
#include "storage/meta.h"
#include "storage/reap.h"
#include "storage/record_size.h"

#include <stdatomic.h>

#define LOOK_EACH_KEYS  256 /* at what would end it early */
#define READAHEAD_BYTES ((size_t)2 << 20)

struct key_survey {
    struct job job; /* first */
    struct key_survey_parts parts;
    struct executor *executor; /* from the first survey on */
    bool running;
    uint64_t number;
    atomic_bool stop;
    /* The job's while it runs. */
    struct cold_snapshot *snapshot;
    size_t count_max;
    struct key_survey_item *items; /* owned, and their keys; a heap, the smallest first, until the
                                      pass has ended */
    struct key_survey_result result;
};

struct key_survey *key_survey_create(const struct key_survey_parts *parts)
{
    struct key_survey *survey = mem_calloc(1, sizeof(*survey));
    survey->parts = *parts;
    return survey;
}

static void drop_items(struct key_survey *survey)
{
    for (size_t i = 0; i < survey->result.count; i++)
        mem_free((void *)(uintptr_t)survey->items[i].key.data);
    mem_free(survey->items);
    survey->items = NULL;
    survey->result = (struct key_survey_result){0};
}

void key_survey_destroy(struct key_survey *survey)
{
    if (survey == NULL)
        return;
    CHECK(!survey->running);
    executor_destroy(survey->executor);
    drop_items(survey);
    mem_free(survey);
}

/* ---- The heap ----------------------------------------------------------------------------------
 */

static void swap_items(struct key_survey_item *items, size_t a, size_t b)
{
    struct key_survey_item item = items[a];
    items[a] = items[b];
    items[b] = item;
}

/* Among the first `count` items. */
static void sift_down(struct key_survey_item *items, size_t count, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child < count && child <= 2 * at + 2; child++)
            if (items[child].bytes < items[least].bytes)
                least = child;
        if (least == at)
            return;
        swap_items(items, at, least);
        at = least;
    }
}

static void sift_up(struct key_survey_item *items, size_t at)
{
    while (at > 0 && items[at].bytes < items[(at - 1) / 2].bytes) {
        swap_items(items, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void sort_items(struct key_survey_item *items, size_t count)
{
    for (size_t left = count; left > 1; left--) {
        swap_items(items, 0, left - 1);
        sift_down(items, left - 1, 0);
    }
}

/* Whether a value of so many bytes would be among the largest so far. */
static bool is_among(const struct key_survey *survey, uint64_t bytes)
{
    return survey->result.count < survey->count_max || bytes > survey->items[0].bytes;
}

static void keep(struct key_survey *survey, struct key_survey_item item)
{
    item.key = bytes_make(mem_dup(item.key.data, item.key.len), item.key.len);
    if (survey->result.count < survey->count_max) {
        survey->items[survey->result.count] = item;
        sift_up(survey->items, survey->result.count++);
        return;
    }
    mem_free((void *)(uintptr_t)survey->items[0].key.data);
    survey->items[0] = item;
    sift_down(survey->items, survey->result.count, 0);
}

/* ---- The thread --------------------------------------------------------------------------------
 */

static enum status look_at(struct key_survey *survey, uint32_t db, enum object_type type,
                           struct cold_iter *iter, struct err *err)
{
    struct key_survey_item item = {.db = db, .type = type};
    struct record_header header;
    struct record_size size;
    struct bytes payload;
    uint32_t db_id;
    uint64_t position;
    enum status st = ST_CORRUPT;
    if (record_key_decode(cold_iter_key(iter), &db_id, &position, &item.key))
        st = record_header_decode(cold_iter_value(iter), &header, &payload);
    if (st == ST_OK && !header.large && !is_among(survey, payload.len))
        return ST_OK;
    if (st == ST_OK)
        st = record_size_read(type, &header, payload, &size);
    if (st != ST_OK)
        return err_set(err, st, "a record of type %s is damaged", object_type_name(type));
    if (!is_among(survey, size.bytes))
        return ST_OK;
    item.bytes = size.bytes;
    item.elements = size.elements;
    keep(survey, item);
    return ST_OK;
}

static enum status look_around(struct key_survey *survey, struct err *err)
{
    if (atomic_load(&survey->stop))
        return err_set(err, ST_AGAIN, "it was stopped");
    return cold_failed(survey->parts.cold, err) ? ST_IO : ST_OK;
}

static enum status survey_family(struct key_survey *survey, uint32_t db, uint32_t db_id,
                                 enum object_type type, struct err *err)
{
    uint8_t lower[RECORD_DB_ID_BYTES];
    uint8_t upper[RECORD_DB_ID_BYTES];
    record_db_prefix_encode(db_id, lower);
    record_db_prefix_encode(db_id + 1, upper);
    struct cold_iter_options options = {.lower = bytes_make(lower, sizeof(lower)),
                                        .upper = bytes_make(upper, sizeof(upper)),
                                        .snapshot = survey->snapshot,
                                        .readahead_bytes = READAHEAD_BYTES};
    struct cold_iter *iter = cold_iter_create(survey->parts.cold, loader_family(type), &options);
    enum status st = ST_OK;
    for (cold_iter_seek_first(iter); st == ST_OK && cold_iter_valid(iter); cold_iter_next(iter)) {
        st = look_at(survey, db, type, iter, err);
        survey->result.keys++;
        if (st == ST_OK && survey->result.keys % LOOK_EACH_KEYS == 0)
            st = look_around(survey, err);
    }
    if (st == ST_OK)
        st = cold_iter_status(iter, err);
    cold_iter_destroy(iter);
    return st;
}

static enum status survey_all(struct key_survey *survey, struct err *err)
{
    struct meta_state state = {0};
    enum status st = meta_read_state_at(survey->parts.cold, survey->snapshot, &state, err);
    for (uint32_t i = 0; st == ST_OK && i < state.db_count; i++)
        for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT && st == ST_OK; type++)
            if (state.dbs[i].keys[type] != 0)
                st = survey_family(survey, i, state.dbs[i].id, type, err);
    meta_state_deinit(&state);
    return st == ST_NOT_FOUND ? ST_OK : st; /* nothing was ever written */
}

static void run(struct job *job)
{
    struct key_survey *survey = (struct key_survey *)(void *)job;
    survey->result.status = survey_all(survey, &survey->result.err);
    sort_items(survey->items, survey->result.count);
    cold_snapshot_release(survey->parts.cold, survey->snapshot);
    survey->snapshot = NULL;
}

/* ---- The main thread ---------------------------------------------------------------------------
 */

static void done(struct job *job)
{
    struct key_survey *survey = (struct key_survey *)(void *)job;
    reap_release_files(survey->parts.reap);
    survey->running = false;
}

uint64_t key_survey_start(struct key_survey *survey, size_t count)
{
    CHECK(!survey->running);
    CHECK(count >= 1);
    CHECK(count <= KEY_SURVEY_COUNT_MAX);
    drop_items(survey);
    if (survey->executor == NULL)
        survey->executor = executor_create("survey", 1, survey->parts.completions);
    survey->items = mem_alloc(count * sizeof(*survey->items));
    survey->result.items = survey->items;
    survey->count_max = count;
    survey->running = true;
    atomic_store(&survey->stop, false);
    reap_hold_files(survey->parts.reap);
    survey->snapshot = cold_snapshot_create(survey->parts.cold);
    survey->job.run = run;
    survey->job.done = done;
    executor_submit(survey->executor, &survey->job);
    return ++survey->number;
}

void key_survey_stop(struct key_survey *survey)
{
    atomic_store(&survey->stop, true);
}

bool key_survey_running(const struct key_survey *survey)
{
    return survey->running;
}

const struct key_survey_result *key_survey_result(const struct key_survey *survey, uint64_t number)
{
    return survey->running || survey->number != number ? NULL : &survey->result;
}
