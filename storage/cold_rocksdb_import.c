/* Import: sorted table files written beside the store, then moved into it. */
#include <string.h>
#include <unistd.h>

#include "codec/check.h"
#include "codec/mem.h"
#include "storage/cold.h"
#include "storage/cold_rocksdb_internal.h"

struct cold_sst_writer {
    rocksdb_sstfilewriter_t *writer;
    rocksdb_envoptions_t *env;
    char *path; /* owned */
    bool has_entries;
    bool finished;
};

enum status cold_sst_writer_create(struct cold *cold, enum family family, const char *path,
                                   struct cold_sst_writer **out, struct err *err)
{
    struct cold_sst_writer *writer = mem_calloc(1, sizeof(*writer));
    writer->path = mem_strdup(path);
    writer->env = rocksdb_envoptions_create();
    writer->writer = rocksdb_sstfilewriter_create(writer->env, cold->setup.families[family]);
    char *text = NULL;
    rocksdb_sstfilewriter_open(writer->writer, path, &text);
    if (text != NULL) {
        writer->finished = true; /* there is no file of ours to remove */
        cold_sst_writer_destroy(writer);
        return cold_error_take(text, path, err);
    }
    *out = writer;
    return ST_OK;
}

enum status cold_sst_writer_put(struct cold_sst_writer *writer, struct bytes key,
                                struct bytes value, struct err *err)
{
    CHECK(!writer->finished);
    char *text = NULL;
    rocksdb_sstfilewriter_put(writer->writer, cold_chars(key), key.len, cold_chars(value),
                              value.len, &text);
    if (text != NULL)
        return cold_error_take(text, writer->path, err);
    writer->has_entries = true;
    return ST_OK;
}

uint64_t cold_sst_writer_bytes(const struct cold_sst_writer *writer)
{
    uint64_t bytes = 0;
    rocksdb_sstfilewriter_file_size(writer->writer, &bytes);
    return bytes;
}

enum status cold_sst_writer_finish(struct cold_sst_writer *writer, struct err *err)
{
    CHECK(!writer->finished);
    if (!writer->has_entries)
        return err_set(err, ST_INVALID, "%s: a table file needs at least one entry", writer->path);
    char *text = NULL;
    rocksdb_sstfilewriter_finish(writer->writer, &text);
    if (text != NULL)
        return cold_error_take(text, writer->path, err);
    writer->finished = true;
    return ST_OK;
}

void cold_sst_writer_destroy(struct cold_sst_writer *writer)
{
    if (writer == NULL)
        return;
    rocksdb_sstfilewriter_destroy(writer->writer);
    rocksdb_envoptions_destroy(writer->env);
    if (!writer->finished)
        (void)unlink(writer->path);
    mem_free(writer->path);
    mem_free(writer);
}

/* With an empty memtable: a file that goes between two writes of one memtable could be ordered
 * wrongly in level 0 (a fault of RocksDB before 7.10). */
static enum status ingest(struct cold *cold, enum family family, const char *const *paths,
                          size_t count, struct err *err)
{
    char *text = NULL;
    rocksdb_flush_cf(cold->db, cold->flush, cold->families[family], &text);
    if (text != NULL)
        return cold_error_take(text, "flush before import", err);
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    rocksdb_ingest_external_file_cf(cold->db, cold->families[family], paths, count, options, &text);
    rocksdb_ingestexternalfileoptions_destroy(options);
    return text == NULL ? ST_OK : cold_error_take(text, "import of files", err);
}

enum status cold_ingest(struct cold *cold, enum family family, const char *const *paths,
                        size_t count, struct err *err)
{
    struct err own;
    err = err != NULL ? err : &own;
    enum status st = cold_write_begin(cold, err);
    if (st != ST_OK)
        return st;
    if (count > 0)
        st = ingest(cold, family, paths, count, err);
    return cold_write_end_aside(cold, st);
}
