/* The cold tier's figures, read from RocksDB's properties. */
#include <string.h>

#include "codec/buf.h"
#include "storage/cold.h"
#include "storage/cold_rocksdb_internal.h"

/* A running compaction holds read-ahead and write buffers and the filter of the file it makes. */
#define JOB_BYTES_ALLOWANCE ((uint64_t)24 << 20)

static uint64_t db_figure(struct cold *cold, const char *name)
{
    uint64_t value = 0;
    (void)rocksdb_property_int(cold->db, name, &value);
    return value;
}

static uint64_t family_figure(struct cold *cold, int family, const char *name)
{
    uint64_t value = 0;
    (void)rocksdb_property_int_cf(cold->db, cold->families[family], name, &value);
    return value;
}

static void read_levels(struct cold *cold, int family, struct cold_family_stats *out)
{
    rocksdb_column_family_metadata_t *metadata =
        rocksdb_get_column_family_metadata_cf(cold->db, cold->families[family]);
    size_t count = rocksdb_column_family_metadata_get_level_count(metadata);
    for (size_t i = 0; i < count && i < COLD_LEVELS_MAX; i++) {
        rocksdb_level_metadata_t *level =
            rocksdb_column_family_metadata_get_level_metadata(metadata, i);
        out->levels[i].files = rocksdb_level_metadata_get_file_count(level);
        out->levels[i].bytes = rocksdb_level_metadata_get_size(level);
        out->sst_files += out->levels[i].files;
        out->sst_bytes += out->levels[i].bytes;
        rocksdb_level_metadata_destroy(level);
    }
    rocksdb_column_family_metadata_destroy(metadata);
}

static void read_family(struct cold *cold, int family, struct cold_family_stats *out)
{
    out->keys_estimate = family_figure(cold, family, "rocksdb.estimate-num-keys");
    out->live_bytes_estimate = family_figure(cold, family, "rocksdb.estimate-live-data-size");
    out->memtable_bytes = family_figure(cold, family, "rocksdb.size-all-mem-tables");
    out->immutable_memtables = family_figure(cold, family, "rocksdb.num-immutable-mem-table");
    out->table_reader_bytes = family_figure(cold, family, "rocksdb.estimate-table-readers-mem");
    out->pending_compaction_bytes =
        family_figure(cold, family, "rocksdb.estimate-pending-compaction-bytes");
    read_levels(cold, family, out);
}

static void add_family(struct cold_family_stats *total, const struct cold_family_stats *family)
{
    total->keys_estimate += family->keys_estimate;
    total->live_bytes_estimate += family->live_bytes_estimate;
    total->sst_bytes += family->sst_bytes;
    total->sst_files += family->sst_files;
    total->memtable_bytes += family->memtable_bytes;
    total->immutable_memtables += family->immutable_memtables;
    total->table_reader_bytes += family->table_reader_bytes;
    total->pending_compaction_bytes += family->pending_compaction_bytes;
    for (int i = 0; i < COLD_LEVELS_MAX; i++) {
        total->levels[i].files += family->levels[i].files;
        total->levels[i].bytes += family->levels[i].bytes;
    }
}

void cold_read_stats(struct cold *cold, struct cold_stats *out)
{
    *out = (struct cold_stats){0};
    out->block_cache_capacity = cold->setup.block_cache_bytes;
    out->writes = atomic_load(&cold->writes);
    out->write_bytes = atomic_load(&cold->write_bytes);
    if (!cold_try_enter(cold))
        return;
    for (int family = 0; family < FAMILY_COUNT; family++) {
        read_family(cold, family, &out->families[family]);
        add_family(&out->total, &out->families[family]);
    }
    out->block_cache_bytes = rocksdb_cache_get_usage(cold->setup.block_cache);
    out->block_cache_pinned_bytes = rocksdb_cache_get_pinned_usage(cold->setup.block_cache);
    out->background_errors = db_figure(cold, "rocksdb.background-errors");
    out->flushes_running = db_figure(cold, "rocksdb.num-running-flushes");
    out->compactions_running = db_figure(cold, "rocksdb.num-running-compactions");
    out->snapshots = db_figure(cold, "rocksdb.num-snapshots");
    out->sequence = rocksdb_get_latest_sequence_number(cold->db);
    out->delayed_write_rate = db_figure(cold, "rocksdb.actual-delayed-write-rate");
    out->write_stopped = db_figure(cold, "rocksdb.is-write-stopped") != 0;
    cold_leave(cold);
}

enum status cold_property(struct cold *cold, enum family family, const char *name, struct buf *out)
{
    if (!cold_try_enter(cold))
        return ST_AGAIN;
    char *value = rocksdb_property_value_cf(cold->db, cold->families[family], name);
    cold_leave(cold);
    if (value == NULL)
        return ST_NOT_FOUND;
    buf_append_text(out, value);
    rocksdb_free(value);
    return ST_OK;
}

uint64_t cold_memory_bound(struct cold *cold)
{
    uint64_t bound = cold->setup.block_cache_bytes + cold->setup.write_buffer_bytes;
    /* One flush runs beside the compactions. */
    bound += (cold->setup.background_jobs + 1) * JOB_BYTES_ALLOWANCE;
    if (!cold_try_enter(cold))
        return bound;
    for (int family = 0; family < FAMILY_COUNT; family++)
        bound += family_figure(cold, family, "rocksdb.estimate-table-readers-mem");
    cold_leave(cold);
    return bound;
}

uint64_t cold_file_bytes(struct cold *cold, enum family family, struct bytes lower,
                         struct bytes upper)
{
    const char *from = cold_chars(lower);
    const char *to = cold_chars(upper);
    uint64_t bytes = 0;
    char *text = NULL;
    if (!cold_try_enter(cold))
        return 0;
    rocksdb_approximate_sizes_cf(cold->db, cold->families[family], 1, &from, &lower.len, &to,
                                 &upper.len, &bytes, &text);
    cold_leave(cold);
    if (text != NULL)
        bytes = 0;
    rocksdb_free(text);
    return bytes;
}
