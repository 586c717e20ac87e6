#include "storage/import.h"

#include "codec/mem.h"
#include "storage/import_internal.h"

#include <string.h>
#include <unistd.h>

#define LARGE_OBJECT_BYTES_DEFAULT     65536
#define LARGE_COLLECTION_BYTES_DEFAULT 8192
#define PARTS_BYTES_MIN                ((size_t)32 << 10)
#define PARTS_BYTES_MAX                ((size_t)16 << 20)
#define BATCH_BYTES_MAX                ((size_t)1 << 30)
#define RUN_BLOCK_BYTES_MIN            ((size_t)4 << 10)
#define RUN_BLOCK_BYTES_MAX            ((size_t)256 << 10)
#define CHUNK_BYTES_MIN                ((size_t)4 << 10)
#define CHUNK_BYTES_MAX                ((size_t)1 << 20)
#define TURN_BYTES_MIN                 ((size_t)8 << 10)
#define TURN_BYTES_MAX                 ((size_t)256 << 10)
#define FAN_IN_MIN                     8
#define FAN_IN_MAX                     256
#define STORE_WRITE_BUFFER_BYTES       ((uint64_t)4 << 20)

_Static_assert(IMPORT_DB_COUNT_MAX <= META_DB_COUNT_MAX, "the server can open what was imported");

/* ---- Opening ----------------------------------------------------------------------------------
 */

static size_t clamp(size_t value, size_t min, size_t max)
{
    return value < min ? min : value > max ? max : value;
}

static uint64_t new_object_id(void *arg)
{
    struct import *import = arg;
    return import->next_object_id++; /* on any worker's thread */
}

static enum status resolve_options(struct import *import, const struct import_options *options,
                                   struct err *err)
{
    struct import_options *o = &import->options;
    *o = *options;
    o->memory_bytes = o->memory_bytes != 0 ? o->memory_bytes : IMPORT_MEMORY_BYTES_DEFAULT;
    o->db_count = o->db_count != 0 ? o->db_count : IMPORT_DB_COUNT_DEFAULT;
    o->db_count_max = o->db_count_max != 0 ? o->db_count_max : IMPORT_DB_COUNT_MAX;
    o->large_object_bytes =
        o->large_object_bytes != 0 ? o->large_object_bytes : LARGE_OBJECT_BYTES_DEFAULT;
    if (o->existing != IMPORT_EXISTING_REFUSED && (o->replace || o->more_follows))
        return err_set(err, ST_INVALID,
                       "commands that follow, or the place of a dataset, are not for adding keys");
    if (o->memory_bytes < IMPORT_MEMORY_BYTES_MIN)
        return err_set(err, ST_INVALID, "an import needs at least %zu KiB of memory",
                       IMPORT_MEMORY_BYTES_MIN >> 10);
    if (o->db_count > o->db_count_max || o->db_count_max > IMPORT_DB_COUNT_MAX)
        return err_set(err, ST_INVALID, "the number of databases must be 1 to %d",
                       IMPORT_DB_COUNT_MAX);
    if (o->large_object_bytes > STRING_LARGE_BYTES_LIMIT)
        return err_set(err, ST_INVALID, "strings of more than %zu bytes must be chunked",
                       STRING_LARGE_BYTES_LIMIT);
    import->rules = (struct string_rules){.large_bytes = o->large_object_bytes,
                                          .chunk_bytes = RECORD_CHUNK_BYTES};
    size_t large_bytes =
        o->large_collection_bytes != 0 ? o->large_collection_bytes : LARGE_COLLECTION_BYTES_DEFAULT;
    import->values = (struct value_rules){.large_bytes = large_bytes,
                                          .hash_listpack_entries = 512,
                                          .hash_listpack_value = 64,
                                          .set_intset_entries = 512,
                                          .set_listpack_entries = 128,
                                          .set_listpack_value = 64,
                                          .zset_listpack_entries = 128,
                                          .zset_listpack_value = 64,
                                          .new_id = new_object_id,
                                          .arg = import};
    import->parts_bytes = clamp(o->memory_bytes / 16, PARTS_BYTES_MIN, PARTS_BYTES_MAX);
    import->block_bytes = clamp(o->memory_bytes / 2048, RUN_BLOCK_BYTES_MIN, RUN_BLOCK_BYTES_MAX);
    import->chunk_bytes = clamp(o->memory_bytes / 64, CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
    import->turn_bytes = clamp(o->memory_bytes / 512, TURN_BYTES_MIN, TURN_BYTES_MAX);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    import->worker_count =
        (unsigned)clamp(cores < 0 ? 0 : (size_t)cores, IMPORT_WORKERS_MIN, IMPORT_WORKERS_MAX);
    /* Two families are merged at a time, out of the runs of all workers. */
    import->fan_in = clamp(o->memory_bytes / 16 / import->block_bytes / import->worker_count,
                           FAN_IN_MIN, FAN_IN_MAX);
    return ST_OK;
}

void import_grow_dbs(struct import *import, uint32_t count)
{
    if (count <= import->db_count)
        return;
    import->dbs = mem_realloc(import->dbs, count * sizeof(*import->dbs));
    memset(import->dbs + import->db_count, 0, (count - import->db_count) * sizeof(*import->dbs));
    import->db_ids = mem_realloc(import->db_ids, count * sizeof(*import->db_ids));
    for (uint32_t i = import->db_count; i < count; i++)
        import->db_ids[i] = import->next_db_id++;
    import->db_count = count;
}

static enum status open_store(struct import *import, struct err *err)
{
    struct cold_options options = {.dir = import->place.new_store,
                                   .block_cache_bytes = COLD_BLOCK_CACHE_BYTES_MIN,
                                   .write_buffer_bytes = STORE_WRITE_BUFFER_BYTES,
                                   .background_jobs = 1,
                                   .must_exist = import->merging};
    enum status st = ST_OK;
    if (import->merging)
        st = cold_copy(import->place.store, import->place.new_store, err);
    if (st == ST_OK)
        st = cold_open(&options, &import->cold, err);
    if (st != ST_OK)
        return st;
    import->chunks = (struct import_tables){
        .cold = import->cold, .dir = import->place.work, .name = "chunks", .family = FAMILY_STRING};
    for (int family = 0; family < FAMILY_COUNT; family++)
        import->tables[family] =
            (struct import_tables){.cold = import->cold,
                                   .dir = import->place.work,
                                   .name = cold_family_name((enum family)family),
                                   .family = (enum family)family};
    return ST_OK;
}

enum status import_open(const struct import_options *options, struct import **out, struct err *err)
{
    struct import *import = mem_calloc(1, sizeof(*import));
    import->place.lock = -1;
    import->place.store_lock = -1;
    enum status st = resolve_options(import, options, err);
    if (st == ST_OK)
        st = import_place_open(&import->place, &import->options, err);
    import->merging = options->existing != IMPORT_EXISTING_REFUSED && import->place.store_lock >= 0;
    if (st == ST_OK)
        st = open_store(import, err);
    import->next_object_id = 1;
    if (st == ST_OK && import->merging)
        st = import_existing_open(import, err);
    if (st != ST_OK) {
        import_close(import);
        return st;
    }
    if (!import->merging)
        meta_make_identity(options->env, &import->identity);
    import->values.hash_seed = import->identity.hash_seed;
    import->libraries = cold_batch_create();
    import->now_ms = env_now_realtime_ms(options->env);
    import_grow_dbs(import, import->options.db_count);
    /* All batches together take four fifths; the rest is for RocksDB and buffers. */
    size_t batch_bytes =
        clamp(import->options.memory_bytes / 5 * 4 / import->worker_count, 0, BATCH_BYTES_MAX);
    for (unsigned i = 0; i < import->worker_count; i++) {
        struct import_worker *worker = &import->workers[i];
        *worker = (struct import_worker){
            .import = import, .number = i, .batch = import_batch_create(batch_bytes)};
        if (worker->batch == NULL) {
            import_close(import);
            return err_set(err, ST_LIMIT, "out of memory for a batch of %zu bytes", batch_bytes);
        }
    }
    *out = import;
    return ST_OK;
}

/* ---- Running ----------------------------------------------------------------------------------
 */

enum status import_report_progress(struct import *import, enum import_phase phase, uint64_t done,
                                   uint64_t total, struct err *err)
{
    struct import_progress progress = {
        .phase = phase, .done = done, .total = total, .keys = import->keys_read};
    if (import->options.progress == NULL ||
        import->options.progress(import->options.progress_arg, &progress))
        return ST_OK;
    return err_set(err, ST_AGAIN, "the import was given up");
}

static void close_store(struct import *import)
{
    import_tables_deinit(&import->chunks);
    for (size_t family = 0; family < FAMILY_COUNT; family++)
        import_tables_deinit(&import->tables[family]);
    cold_batch_destroy(import->libraries);
    import->libraries = NULL;
    cold_batch_destroy(import->removals);
    import->removals = NULL;
    cold_close(import->cold);
    import->cold = NULL;
}

enum status import_read(struct import *import, struct err *err)
{
    CHECK(import->cold != NULL && import->turns.reader == NULL);
    struct env *env = import->options.env;
    int64_t start_us = env_now_mono_us(env);
    enum status st = import_read_input(import, err);
    int64_t read_us = env_now_mono_us(env);
    if (st == ST_OK)
        st = import_merge_all(import, err);
    int64_t merged_us = env_now_mono_us(env);
    if (st == ST_OK)
        st = import_complete(import, err);
    close_store(import);
    import->report.read_us = read_us - start_us;
    import->report.merge_us = merged_us - read_us;
    import->report.finish_us = env_now_mono_us(env) - merged_us;
    import->complete = st == ST_OK;
    return st;
}

enum status import_publish(struct import *import, bool *placed_out, struct err *err)
{
    CHECK(import->complete);
    import->complete = false;
    return import_place_publish(&import->place, import->options.more_follows, placed_out, err);
}

static void close_worker(struct import_worker *worker)
{
    for (size_t family = 0; family < FAMILY_COUNT; family++) {
        import_drop_runs(worker->import, &worker->runs[family]);
        mem_free(worker->runs[family].items);
    }
    import_batch_destroy(worker->batch);
    buf_deinit(&worker->frames);
    buf_deinit(&worker->scratch);
    buf_deinit(&worker->repeats.key);
    mem_free(worker->items);
}

void import_close(struct import *import)
{
    if (import == NULL)
        return;
    close_store(import);
    for (unsigned i = 0; i < import->worker_count; i++)
        close_worker(&import->workers[i]);
    import_place_close(&import->place);
    buf_deinit(&import->library_names);
    mem_free(import->dbs);
    mem_free(import->db_ids);
    mem_free(import);
}

uint64_t import_cut_offset(const struct import *import)
{
    return import->place.cut_offset;
}

const struct import_report *import_report(const struct import *import)
{
    return &import->report;
}

const struct import_db *import_dbs(const struct import *import, uint32_t *count_out)
{
    *count_out = import->db_count;
    return import->dbs;
}
