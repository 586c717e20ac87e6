#include "storage/import_internal.h"
#include "storage/member_cover.h"

#include "codec/mem.h"

#include <inttypes.h>

void import_note_dropped(void *arg, enum family family, const struct import_record *record)
{
    struct import_repeats *repeats = arg;
    if (family == FAMILY_EXPIRES) /* the same key, due at the same time */
        return;
    if (import_is_element(record->key)) {
        /* Other elements than members are written anew as they change. */
        const struct bytes key = record->key;
        repeats->elements += key.len > RECORD_ELEMENT_PREFIX_BYTES &&
                             key.data[RECORD_ELEMENT_PREFIX_BYTES] == MEMBER_ELEMENT_KIND &&
                             (family == FAMILY_HASH || family == FAMILY_SET);
        return;
    }
    if (repeats->key.len == 0)
        buf_append_bytes(&repeats->key, record->key);
}

/* Names may be anything: they are told cut off and harmless. */
enum status import_check_repeats(const struct import *import, const struct import_repeats *repeats,
                                 struct err *err)
{
    char text[64];
    size_t len = 0;
    uint32_t db_id = 0;
    uint64_t position = 0;
    struct bytes name;
    if (repeats->elements != 0)
        return err_set(err, ST_CORRUPT, "a large hash or set of the file has a member twice");
    if (repeats->key.len == 0)
        return ST_OK;
    CHECK(record_key_decode(buf_bytes(&repeats->key), &db_id, &position, &name));
    for (; len < name.len && len < sizeof(text) - 1; len++)
        text[len] = name.data[len] < 0x20 || name.data[len] > 0x7e ? '?' : (char)name.data[len];
    text[len] = '\0';
    uint32_t number = 0;
    while (number + 1 < import->db_count && import->db_ids[number] != db_id)
        number++;
    return err_set(err, ST_CORRUPT, "the file has the key \"%s\" of db%" PRIu32 " twice", text,
                   number);
}

enum status import_open_run(struct import *import, const char *name, uint64_t number,
                            struct import_run_writer *writer, struct err *err)
{
    struct buf path = {0};
    buf_append_format(&path, "%s/%s-%06" PRIu64 ".run", import->place.work, name, number);
    buf_append_byte(&path, 0);
    enum status st = import_run_writer_open(writer, import->options.env, (const char *)path.data,
                                            import->block_bytes, err);
    buf_deinit(&path);
    return st;
}

void import_append_run(struct import_run_list *list, const struct import_run *run)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        list->items = mem_realloc(list->items, list->capacity * sizeof(*list->items));
    }
    list->items[list->count++] = *run;
}

static enum status open_run(struct import_worker *worker, enum family family,
                            struct import_run_writer *writer, struct err *err)
{
    uint64_t number = worker->run_count * IMPORT_WORKERS_MAX + worker->number;
    return import_open_run(worker->import, cold_family_name(family), number, writer, err);
}

static void append_run(struct import_worker *worker, enum family family,
                       const struct import_run *run)
{
    import_append_run(&worker->runs[family], run);
    worker->run_count++;
    worker->run_bytes += run->bytes;
}

static void free_run(struct import *import, struct import_run *run)
{
    struct env *env = import->options.env;
    (void)env->unlink(env, run->path); /* else it goes with the directory */
    mem_free(run->path);
    run->path = NULL;
}

void import_drop_runs(struct import *import, struct import_run_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free_run(import, &list->items[i]);
    list->count = 0;
}

/* Merges the newest `count` runs of a family into one of the next level. */
static enum status collapse_runs(struct import_worker *worker, enum family family, size_t count,
                                 struct err *err)
{
    struct import *import = worker->import;
    struct import_run_list *list = &worker->runs[family];
    struct import_run *first = &list->items[list->count - count];
    struct import_merge_options options = {.env = import->options.env,
                                           .family = family,
                                           .runs = first,
                                           .run_count = count,
                                           .dropped = import_note_dropped,
                                           .arg = &worker->repeats};
    struct import_merge *merge = NULL;
    struct import_run_writer writer = {0};
    struct import_run merged;
    struct import_record record;
    enum status st = import_merge_create(&options, &merge, err);
    if (st == ST_OK)
        st = open_run(worker, family, &writer, err);
    while (st == ST_OK) {
        st = import_merge_next(merge, &record, err);
        if (st == ST_OK)
            st = import_run_writer_put(&writer, record.encoded, err);
    }
    if (st == ST_END)
        st = import_run_writer_finish(&writer, &merged, err);
    import_merge_destroy(merge);
    import_run_writer_close(&writer);
    if (st != ST_OK)
        return st;
    merged.level = first->level + 1;
    for (size_t i = 0; i < count; i++)
        free_run(import, &first[i]);
    list->count -= count;
    append_run(worker, family, &merged);
    return ST_OK;
}

/* Keeps the number of runs of each level below the fan-in. */
static enum status bound_runs(struct import_worker *worker, enum family family, struct err *err)
{
    struct import_run_list *list = &worker->runs[family];
    size_t fan_in = worker->import->fan_in;
    enum status st = ST_OK;
    while (st == ST_OK && list->count >= fan_in &&
           list->items[list->count - fan_in].level == list->items[list->count - 1].level)
        st = collapse_runs(worker, family, fan_in, err);
    return st;
}

#define PREFETCH_DISTANCE 12

static enum status write_run(struct import_worker *worker, enum family family, struct err *err)
{
    const struct import_batch *batch = worker->batch;
    size_t at = batch->family_start[family];
    size_t end = batch->family_start[family + 1];
    if (at == end)
        return ST_OK;
    struct import_run_writer writer = {0};
    struct import_run run;
    enum status st = open_run(worker, family, &writer, err);
    for (; st == ST_OK && at < end; at++) {
        if (at + PREFETCH_DISTANCE < end) {
            const uint8_t *ahead = batch->data + batch->entries[at + PREFETCH_DISTANCE].off;
            __builtin_prefetch(ahead);
            __builtin_prefetch(ahead + 64);
        }
        struct import_record record;
        import_batch_record(batch, &batch->entries[at], &record);
        st = import_run_writer_put(&writer, record.encoded, err);
    }
    if (st == ST_OK)
        st = import_run_writer_finish(&writer, &run, err);
    import_run_writer_close(&writer);
    if (st != ST_OK)
        return st;
    append_run(worker, family, &run);
    return bound_runs(worker, family, err);
}

enum status import_write_batch(struct import_worker *worker, struct err *err)
{
    enum status st = ST_OK;
    import_batch_sort(worker->batch, import_note_dropped, &worker->repeats);
    for (int family = 0; st == ST_OK && family < FAMILY_COUNT; family++)
        st = write_run(worker, (enum family)family, err);
    import_batch_clear(worker->batch);
    return st == ST_OK ? import_check_repeats(worker->import, &worker->repeats, err) : st;
}
