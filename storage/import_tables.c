#include "storage/import_internal.h"

#include "codec/buf.h"
#include "codec/mem.h"

#define TABLE_BYTES         ((uint64_t)64 << 20)  /* as RocksDB's own */
#define TABLE_PLAIN_BYTES   ((uint64_t)512 << 20) /* bounds the filter of a table that packs well */
#define RECORDS_PER_LOOK_AT 64

static enum status begin_table(struct import_tables *tables, struct err *err)
{
    struct buf path = {0};
    buf_append_format(&path, "%s/%s-%06zu.sst", tables->dir, tables->name, tables->count);
    buf_append_byte(&path, 0);
    if (tables->count == tables->capacity) {
        tables->capacity = tables->capacity == 0 ? 16 : 2 * tables->capacity;
        tables->paths = mem_realloc(tables->paths, tables->capacity * sizeof(*tables->paths));
    }
    tables->paths[tables->count++] = (char *)path.data;
    tables->writer_records = 0;
    tables->writer_bytes = 0;
    return cold_sst_writer_create(tables->cold, tables->family, (const char *)path.data,
                                  &tables->writer, err);
}

static enum status end_table(struct import_tables *tables, struct err *err)
{
    enum status st = cold_sst_writer_finish(tables->writer, err);
    if (st == ST_OK)
        tables->bytes += cold_sst_writer_bytes(tables->writer);
    cold_sst_writer_destroy(tables->writer);
    tables->writer = NULL;
    return st;
}

enum status import_tables_put(struct import_tables *tables, struct bytes key, struct bytes value,
                              struct err *err)
{
    if (tables->writer == NULL) {
        enum status st = begin_table(tables, err);
        if (st != ST_OK)
            return st;
    }
    enum status st = cold_sst_writer_put(tables->writer, key, value, err);
    if (st != ST_OK)
        return st;
    tables->writer_bytes += key.len + value.len;
    if (++tables->writer_records % RECORDS_PER_LOOK_AT != 0)
        return ST_OK;
    bool full = tables->writer_bytes >= TABLE_PLAIN_BYTES ||
                cold_sst_writer_bytes(tables->writer) >= TABLE_BYTES;
    return full ? end_table(tables, err) : ST_OK;
}

enum status import_tables_finish(struct import_tables *tables, struct err *err)
{
    return tables->writer == NULL ? ST_OK : end_table(tables, err);
}

void import_tables_deinit(struct import_tables *tables)
{
    cold_sst_writer_destroy(tables->writer);
    for (size_t i = 0; i < tables->count; i++)
        mem_free(tables->paths[i]);
    mem_free(tables->paths);
    *tables = (struct import_tables){0};
}
