/* From sorted runs to a complete store. */
#include "storage/import_internal.h"

#include "codec/mem.h"

#include <string.h>

#define MERGE_CHUNKS   4
#define NAMES_PER_LOOK ((uint64_t)1 << 16)

/* ---- Merging ----------------------------------------------------------------------------------
 */

struct merge_job {
    struct import_tables *tables;
    enum family family;
};

/* Second thread: a chunk of merged records to tables. */
static enum status write_chunk(void *arg, void *item, struct err *err)
{
    struct merge_job *job = arg;
    struct buf *chunk = item;
    struct bytes rest = buf_bytes(chunk);
    enum status st = ST_OK;
    while (st == ST_OK && rest.len > 0) {
        struct import_record record;
        CHECK(import_record_decode(job->family, rest, &record));
        st = import_tables_put(job->tables, record.key, record.value, err);
        rest.data += record.encoded.len;
        rest.len -= record.encoded.len;
    }
    return st;
}

/* A record of the dataset: counted here and nowhere else, so that the counters are exact. */
static enum status count_record(struct import *import, enum family family,
                                const struct import_record *record, struct err *err)
{
    uint32_t db_id;
    uint64_t position;
    struct bytes name;
    struct record_header header;
    struct bytes payload;
    uint32_t number;
    if (!record_key_decode(record->key, &db_id, &position, &name) ||
        import_find_db(import, db_id, &number) != ST_OK ||
        record_header_decode(record->value, &header, &payload) != ST_OK)
        return err_set(err, ST_CORRUPT, "a record came back damaged while merging");
    import->dbs[number].keys++;
    import->dbs[number].keys_of_type[import_type_of(family)]++;
    import->dbs[number].expires += header.has_expire;
    import->report.keys++;
    import->report.expires += header.has_expire;
    import->report.large_strings += header.large && family == FAMILY_STRING;
    import->report.large_collections += header.large && family != FAMILY_STRING;
    return ST_OK;
}

/* An empty chunk. ST_AGAIN: the second thread failed, and has the reason. */
static enum status take_chunk(struct import *import, struct buf **out)
{
    struct buf *chunk = import_pipe_take(import->pipe);
    if (chunk == NULL)
        return ST_AGAIN;
    buf_clear(chunk);
    if (chunk->capacity > 2 * import->chunk_bytes) /* it had a huge record */
        buf_deinit(chunk);
    (void)buf_reserve(chunk, import->chunk_bytes);
    *out = chunk;
    return ST_OK;
}

/* Puts a record into the chunk; a full one goes to the second thread first. */
static enum status append_record(struct import *import, struct buf **chunk, struct bytes encoded,
                                 struct err *err)
{
    enum status st = ST_OK;
    if (*chunk != NULL && (*chunk)->len + encoded.len > import->chunk_bytes) {
        import_pipe_submit(import->pipe, *chunk);
        *chunk = NULL;
        st = import_report_progress(import, IMPORT_MERGING, import->merge_done, import->merge_total,
                                    err);
    }
    if (st == ST_OK && *chunk == NULL)
        st = take_chunk(import, chunk);
    if (st != ST_OK)
        return st;
    if (!buf_try_reserve(*chunk, encoded.len))
        return err_set(err, ST_LIMIT, "out of memory for a record of %zu bytes", encoded.len);
    buf_append_bytes(*chunk, encoded);
    import->merge_done++;
    return ST_OK;
}

/* Where a family's records go, besides the chunks. */
struct merge_target {
    enum family family;
    struct import_run_writer names; /* if they are wanted */
    struct buf name;                /* owned: scratch */
};

/* A key of the dataset. */
static enum status take_key(struct import *import, struct merge_target *to,
                            const struct import_record *record, struct err *err)
{
    enum status st = count_record(import, to->family, record, err);
    if (st != ST_OK || !import->names_wanted)
        return st;
    buf_clear(&to->name);
    uint8_t *at = buf_reserve(&to->name, IMPORT_RECORD_HEAD_BYTES_MAX + record->key.len);
    to->name.len = varint_encode(record->key.len, at);
    to->name.len += varint_encode(0, at + to->name.len);
    buf_append_bytes(&to->name, record->key);
    return import_run_writer_put(&to->names, buf_bytes(&to->name), err);
}

static enum status merge_records(struct import *import, struct import_merge *merge,
                                 struct merge_target *to, struct err *err)
{
    struct buf *chunk = NULL;
    enum status st = ST_OK;
    while (st == ST_OK) {
        struct import_record record;
        st = import_merge_next(merge, &record, err);
        if (st == ST_OK && to->family != FAMILY_EXPIRES && !import_is_element(record.key))
            st = take_key(import, to, &record, err);
        if (st == ST_OK)
            st = append_record(import, &chunk, record.encoded, err);
    }
    if (st == ST_END && chunk != NULL)
        import_pipe_submit(import->pipe, chunk);
    return st == ST_END ? ST_OK : st;
}

/* The same, and the keys' names beside. */
static enum status merge_with_names(struct import *import, struct import_merge *merge,
                                    enum family family, struct err *err)
{
    struct merge_target to = {.family = family};
    struct import_run run;
    enum status st = ST_OK;
    if (import->names_wanted)
        st = import_open_run(import, "names", &to.names, err);
    if (st == ST_OK)
        st = merge_records(import, merge, &to, err);
    if (st == ST_OK && import->names_wanted) {
        st = import_run_writer_finish(&to.names, &run, err);
        if (st == ST_OK)
            import_append_run(&import->names, &run);
    }
    import_run_writer_close(&to.names);
    buf_deinit(&to.name);
    return st;
}

static enum status merge_family(struct import *import, enum family family, struct err *err)
{
    struct import_run_list *list = &import->runs[family];
    struct import_merge_options options = {.env = import->options.env,
                                           .family = family,
                                           .runs = list->items,
                                           .run_count = list->count,
                                           .batch = import->batch,
                                           .dropped = import_note_dropped,
                                           .arg = import};
    struct import_merge *merge = NULL;
    enum status st = import_merge_create(&options, &merge, err);
    if (st != ST_OK)
        return st;
    struct buf chunks[MERGE_CHUNKS] = {{0}};
    void *items[MERGE_CHUNKS];
    for (size_t i = 0; i < MERGE_CHUNKS; i++)
        items[i] = &chunks[i];
    struct merge_job job = {.tables = &import->tables[family], .family = family};
    import->pipe = import_pipe_create(items, MERGE_CHUNKS, write_chunk, &job);
    st = merge_with_names(import, merge, family, err);
    struct err pipe_err;
    enum status pipe_st = import_join(import, &pipe_err);
    if (pipe_st != ST_OK) {
        st = pipe_st;
        if (err != NULL)
            *err = pipe_err;
    }
    for (size_t i = 0; i < MERGE_CHUNKS; i++)
        buf_deinit(&chunks[i]);
    import_merge_destroy(merge);
    import_drop_runs(import, list);
    if (st == ST_OK)
        st = import_check_repeated(import, err);
    return st == ST_OK ? import_tables_finish(&import->tables[family], err) : st;
}

/* Whether a key is in two families, that is, of two types. */
static enum status check_names(struct import *import, struct err *err)
{
    struct import_merge_options options = {.env = import->options.env,
                                           .family = FAMILY_STRING, /* any that holds records */
                                           .runs = import->names.items,
                                           .run_count = import->names.count,
                                           .dropped = import_note_dropped,
                                           .arg = import};
    struct import_merge *merge = NULL;
    struct import_record record;
    enum status st = import_merge_create(&options, &merge, err);
    for (uint64_t count = 1; st == ST_OK; count++) {
        st = import_merge_next(merge, &record, err);
        if (st == ST_OK && count % NAMES_PER_LOOK == 0)
            st = import_report_progress(import, IMPORT_MERGING, import->merge_done,
                                        import->merge_total, err);
    }
    import_merge_destroy(merge);
    import_drop_runs(import, &import->names);
    return st == ST_END ? import_check_repeated(import, err) : st;
}

static bool has_several_types(const struct import *import)
{
    const struct import_batch *batch = import->batch;
    unsigned count = 0;
    for (int family = FAMILY_STRING; family < FAMILY_EXPIRES; family++)
        count += import->runs[family].count != 0 ||
                 batch->family_start[family] != batch->family_start[family + 1];
    return count > 1;
}

enum status import_merge_all(struct import *import, struct err *err)
{
    import->names_wanted = has_several_types(import);
    import->merge_total = import->batch->family_start[FAMILY_COUNT];
    for (size_t family = 0; family < FAMILY_COUNT; family++)
        for (size_t i = 0; i < import->runs[family].count; i++)
            import->merge_total += import->runs[family].items[i].records;
    enum status st = ST_OK;
    for (int family = 0; st == ST_OK && family < FAMILY_COUNT; family++)
        st = merge_family(import, (enum family)family, err);
    if (st == ST_OK && import->names_wanted)
        st = check_names(import, err);
    for (size_t i = 0; i < IMPORT_BATCHES; i++) {
        import_batch_destroy(import->batches[i]);
        import->batches[i] = NULL;
    }
    import->batch = NULL;
    return st;
}

/* ---- Completing -------------------------------------------------------------------------------
 */

static enum status ingest_family(struct import *import, enum family family, struct err *err)
{
    const struct import_tables *tables = &import->tables[family];
    size_t more = family == import->chunks.family ? import->chunks.count : 0;
    size_t count = tables->count + more;
    if (count == 0)
        return ST_OK;
    const char **paths = mem_alloc(count * sizeof(*paths));
    for (size_t i = 0; i < tables->count; i++)
        paths[i] = tables->paths[i];
    for (size_t i = 0; i < more; i++)
        paths[tables->count + i] = import->chunks.paths[i];
    enum status st = cold_ingest(import->cold, family, paths, count, err);
    mem_free(paths);
    import->report.tables += count;
    import->report.table_bytes += tables->bytes + (more > 0 ? import->chunks.bytes : 0);
    return st;
}

static void put_state(const struct import *import, struct cold_batch *batch)
{
    struct meta_state state = {.cut_offset = import->place.cut_offset,
                               .next_db_id = import->next_db_id,
                               .next_object_id = import->next_object_id,
                               .db_count = import->db_count};
    state.dbs = mem_calloc(state.db_count, sizeof(*state.dbs));
    for (uint32_t i = 0; i < state.db_count; i++) {
        state.dbs[i].id = import->db_ids[i];
        memcpy(state.dbs[i].keys, import->dbs[i].keys_of_type, sizeof(state.dbs[i].keys));
        state.dbs[i].expires = import->dbs[i].expires;
    }
    meta_put_state(batch, &state);
    meta_state_deinit(&state);
}

/* Identity and counters: with these it is a dataset. */
static enum status write_meta(struct import *import, struct err *err)
{
    struct cold_batch *batch = cold_batch_create();
    meta_put_identity(batch, &import->identity);
    put_state(import, batch);
    enum status st = cold_write(import->cold, import->libraries, false, err);
    if (st == ST_OK)
        st = cold_write(import->cold, batch, true, err);
    cold_batch_destroy(batch);
    return st == ST_OK ? cold_flush(import->cold, err) : st;
}

enum status import_complete(struct import *import, struct err *err)
{
    enum status st = ST_OK;
    if (import->merging) /* before the tables, which are to be newer */
        st = import_existing_write(import, err);
    for (int family = 0; st == ST_OK && family < FAMILY_COUNT; family++) {
        st = import_report_progress(import, IMPORT_FINISHING, (uint64_t)family, FAMILY_COUNT, err);
        if (st == ST_OK)
            st = ingest_family(import, (enum family)family, err);
    }
    return st == ST_OK ? write_meta(import, err) : st;
}
