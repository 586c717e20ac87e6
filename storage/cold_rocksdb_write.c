/* The cold tier's writes: batches, syncs, flushes, compactions of a range, checkpoints. All of them
 * on one thread, the flusher; cold_write_begin checks that no two overlap.
 *
 * RocksDB 7.8 has faults in what runs beside writes (checkpoints, ingestion, manual flushes); with
 * one thread doing all of it in turn they cannot strike. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "codec/buf.h"
#include "codec/check.h"
#include "storage/cold.h"
#include "storage/cold_rocksdb_internal.h"

/* cold_tend decides once per window: this much written in it is a load, less is quiet. */
#define TEND_WINDOW_MS  15000
#define TEND_LOAD_BYTES ((uint64_t)32 << 20)

static enum status sync_log(struct cold *cold, struct err *err)
{
    char *text = NULL;
    rocksdb_flush_wal(cold->db, 1, &text);
    return text == NULL ? ST_OK : cold_error_take(text, "sync", err);
}

static enum status write_batch(struct cold *cold, struct cold_batch *batch, bool sync,
                               struct err *err)
{
    rocksdb_writebatch_t *sealed = cold_batch_seal(batch, cold);
    char *text = NULL;
    rocksdb_write(cold->db, sync ? cold->write_sync : cold->write, sealed, &text);
    if (text != NULL)
        return cold_error_take(text, "write", err);
    atomic_fetch_add(&cold->writes, 1);
    atomic_fetch_add(&cold->write_bytes, cold_batch_bytes(batch));
    return ST_OK;
}

enum status cold_write(struct cold *cold, struct cold_batch *batch, bool sync, struct err *err)
{
    struct err own;
    err = err != NULL ? err : &own;
    if (cold_batch_bytes(batch) > COLD_BATCH_BYTES_MAX)
        return err_set(err, ST_LIMIT, "a batch of %zu bytes is too large", cold_batch_bytes(batch));
    enum status st = cold_write_begin(cold, err);
    if (st != ST_OK)
        return st;
    if (cold_batch_count(batch) > 0)
        st = write_batch(cold, batch, sync, err);
    else if (sync)
        st = sync_log(cold, err);
    return cold_write_end(cold, st, err);
}

enum status cold_sync(struct cold *cold, struct err *err)
{
    struct err own;
    err = err != NULL ? err : &own;
    enum status st = cold_write_begin(cold, err);
    if (st != ST_OK)
        return st;
    return cold_write_end(cold, sync_log(cold, err), err);
}

static enum status flush_family(struct cold *cold, int family, struct err *err)
{
    char *text = NULL;
    rocksdb_flush_cf(cold->db, cold->flush, cold->families[family], &text);
    return text == NULL ? ST_OK : cold_error_take(text, "flush", err);
}

enum status cold_flush(struct cold *cold, struct err *err)
{
    struct err own;
    err = err != NULL ? err : &own;
    enum status st = cold_write_begin(cold, err);
    if (st != ST_OK)
        return st;
    for (int family = 0; st == ST_OK && family < FAMILY_COUNT; family++)
        st = flush_family(cold, family, err);
    return cold_write_end(cold, st, err);
}

static uint64_t background_errors(struct cold *cold)
{
    uint64_t count = 0;
    (void)rocksdb_property_int(cold->db, "rocksdb.background-errors", &count);
    return count;
}

/* The C interface drops the status of a manual compaction; a failure shows in the error count. */
static enum status compact_range(struct cold *cold, enum family family, struct bytes lower,
                                 struct bytes upper, struct err *err)
{
    uint64_t errors_before = background_errors(cold);
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    rocksdb_compact_range_cf_opt(cold->db, cold->families[family], options,
                                 lower.len > 0 ? cold_chars(lower) : NULL, lower.len,
                                 upper.len > 0 ? cold_chars(upper) : NULL, upper.len);
    rocksdb_compactoptions_destroy(options);
    if (background_errors(cold) != errors_before)
        return err_set(err, ST_IO,
                       "a compaction of family %s failed: the next write tells the reason",
                       cold_family_name(family));
    return ST_OK;
}

enum status cold_compact_range(struct cold *cold, enum family family, struct bytes lower,
                               struct bytes upper, struct err *err)
{
    struct err own;
    err = err != NULL ? err : &own;
    enum status st = cold_write_begin(cold, err);
    if (st != ST_OK)
        return st;
    return cold_write_end(cold, compact_range(cold, family, lower, upper, err), err);
}

/* RocksDB's limit is inclusive here, unlike everywhere else: the limit given to it must lie below
 * `upper`. The greatest such key that is not endless is good enough: a file between the two stays.
 */
static void append_key_below(struct buf *out, struct bytes upper)
{
    CHECK(upper.len > 0);
    uint8_t last = upper.data[upper.len - 1];
    buf_append(out, upper.data, upper.len - 1);
    if (last == 0)
        return;
    buf_append_byte(out, (uint8_t)(last - 1));
    for (int i = 0; i < 64; i++)
        buf_append_byte(out, UINT8_MAX);
}

enum status cold_drop_files(struct cold *cold, enum family family, struct bytes lower,
                            struct bytes upper, struct err *err)
{
    struct err own;
    err = err != NULL ? err : &own;
    enum status st = cold_write_begin(cold, err);
    if (st != ST_OK)
        return st;
    struct buf limit = {0};
    append_key_below(&limit, upper);
    char *text = NULL;
    if (bytes_compare(lower, buf_bytes(&limit)) < 0)
        rocksdb_delete_file_in_range_cf(cold->db, cold->families[family], cold_chars(lower),
                                        lower.len, (const char *)limit.data, limit.len, &text);
    buf_deinit(&limit);
    if (text != NULL)
        st = cold_error_take(text, "drop of files", err);
    return cold_write_end(cold, st, err);
}

static enum status settle_range(struct cold *cold, enum family family, struct bytes lower,
                                struct bytes upper, struct err *err)
{
    enum status st = flush_family(cold, (int)family, err);
    if (st != ST_OK)
        return st;
    char *text = NULL;
    rocksdb_suggest_compact_range_cf(cold->db, cold->families[family], cold_chars(lower), lower.len,
                                     cold_chars(upper), upper.len, &text);
    return text == NULL ? ST_OK : cold_error_take(text, "merge of files", err);
}

enum status cold_settle_range(struct cold *cold, enum family family, struct bytes lower,
                              struct bytes upper, struct err *err)
{
    struct err own;
    err = err != NULL ? err : &own;
    enum status st = cold_write_begin(cold, err);
    if (st != ST_OK)
        return st;
    return cold_write_end(cold, settle_range(cold, family, lower, upper, err), err);
}

static enum status checkpoint(struct cold *cold, const char *dir, struct err *err)
{
    char *text = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(cold->db, &text);
    if (text == NULL) {
        uint64_t log_bytes_for_flush = 0; /* always flush: the copy needs no log */
        rocksdb_checkpoint_create(checkpoint, dir, log_bytes_for_flush, &text);
        rocksdb_checkpoint_object_destroy(checkpoint);
    }
    return text == NULL ? ST_OK : cold_error_take(text, "checkpoint", err);
}

enum status cold_checkpoint(struct cold *cold, const char *dir, struct err *err)
{
    struct err own;
    err = err != NULL ? err : &own;
    struct stat info;
    if (stat(dir, &info) == 0)
        return err_set(err, ST_EXISTS, "%s is there already", dir);
    enum status st = cold_write_begin(cold, err);
    if (st != ST_OK)
        return st;
    return cold_write_end_aside(cold, checkpoint(cold, dir, err));
}

/* ---- Tending ------------------------------------------------------------------------------------
 */

static void set_merges_early(struct cold *cold, int family, bool early)
{
    char count[16];
    (void)snprintf(count, sizeof(count), "%d", early ? COLD_L0_FILES_QUIET : COLD_L0_FILES_LOADED);
    const char *name = "level0_file_num_compaction_trigger";
    const char *value = count;
    char *text = NULL;
    rocksdb_set_options_cf(cold->db, cold->families[family], 1, &name, &value, &text);
    if (text == NULL)
        cold->merges_early[family] = early;
    rocksdb_free(text);
}

static bool has_files_to_merge(struct cold *cold, int family)
{
    /* Not one of the properties that come as numbers. */
    char *files =
        rocksdb_property_value_cf(cold->db, cold->families[family], "rocksdb.num-files-at-level0");
    bool has = files != NULL && strtoul(files, NULL, 10) >= COLD_L0_FILES_QUIET;
    rocksdb_free(files);
    return has;
}

static void tend(struct cold *cold, bool loaded)
{
    for (int family = 0; family < FAMILY_COUNT; family++) {
        if (loaded && cold->merges_early[family])
            set_merges_early(cold, family, false);
        else if (!loaded && !cold->merges_early[family] && has_files_to_merge(cold, family))
            set_merges_early(cold, family, true);
    }
}

void cold_tend(struct cold *cold, int64_t now_ms)
{
    if (cold->read_only || cold_failed(cold, NULL))
        return;
    CHECK(!atomic_exchange(&cold->writing, true));
    uint64_t bytes = atomic_load(&cold->write_bytes);
    bool loaded = bytes - cold->window_start_bytes >= TEND_LOAD_BYTES;
    bool over = now_ms - cold->window_start_ms >= TEND_WINDOW_MS;
    if (cold->window_start_ms != 0 && (loaded || over))
        tend(cold, loaded);
    if (cold->window_start_ms == 0 || loaded || over) {
        cold->window_start_ms = now_ms;
        cold->window_start_bytes = bytes;
    }
    atomic_store(&cold->writing, false);
}
