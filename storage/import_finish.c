/* From tables to a complete store. */
#include "storage/import_internal.h"

#include "codec/mem.h"

#include <string.h>

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
