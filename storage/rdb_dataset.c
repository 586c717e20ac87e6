#include "storage/rdb_dataset.h"

#include "storage/cold.h"
#include "storage/loader.h"
#include "storage/meta.h"
#include "storage/rdb_record.h"

#include <time.h>

#define VERSION_FUNCTIONS 10
#define LOOK_EACH_KEYS    256 /* at what would end it early */
#define READAHEAD_BYTES   ((size_t)2 << 20)
#define DELAY_STEP_US     10000 /* slept at once: it can be stopped in between */

struct pass {
    const struct rdb_dataset *dataset;
    struct rdb_source source;
    struct rdb_target target;
    uint32_t db; /* number */
    bool selected;
    uint64_t seen, keys;
};

static void put_aux(const struct rdb_dataset *dataset, struct rdb_writer *writer)
{
    rdb_writer_put_aux(writer, "redis-ver", bytes_text(dataset->redis_version));
    rdb_writer_put_aux_i64(writer, "redis-bits", 64);
    rdb_writer_put_aux_i64(writer, "ctime", dataset->now_ms / 1000);
    rdb_writer_put_aux_i64(writer, "used-mem", (int64_t)dataset->used_memory);
    rdb_writer_put_aux_i64(writer, "aof-base", 0);
}

static enum status put_library(void *arg, struct bytes name, struct bytes code, struct err *err)
{
    (void)name;
    (void)err;
    rdb_writer_put_function(arg, code);
    return ST_OK;
}

/* Once in a while: what ends the pass. RocksDB after a failed write wants to be opened again, which
 * it cannot while somebody reads it. */
static enum status look_around(const struct pass *pass, struct err *err)
{
    struct rdb_progress *progress = pass->dataset->progress;
    atomic_store(&progress->seen, pass->seen);
    atomic_store(&progress->keys, pass->keys);
    if (pass->dataset->look != NULL && !pass->dataset->look(pass->dataset->arg))
        atomic_store(&progress->stop, true);
    if (atomic_load(&progress->stop))
        return err_set(err, ST_AGAIN, "it was stopped");
    if (cold_failed(pass->dataset->cold, err))
        return ST_IO;
    return ST_OK;
}

/* How long to sleep after the key that was gone through last. */
static int64_t key_delay_us(const struct pass *pass)
{
    int64_t delay_us = atomic_load(&pass->dataset->progress->key_delay_us);
    return delay_us < 0 ? pass->seen % (uint64_t)-delay_us == 0 : delay_us;
}

/* In steps, in between which it can be told otherwise. */
static void delay(const struct pass *pass)
{
    int64_t slept_us = 0;
    for (;;) {
        int64_t left_us = key_delay_us(pass) - slept_us;
        if (left_us <= 0 || atomic_load(&pass->dataset->progress->stop))
            return;
        int64_t step_us = left_us < DELAY_STEP_US ? left_us : DELAY_STEP_US;
        struct timespec step = {.tv_nsec = (long)(step_us * 1000)};
        (void)nanosleep(&step, NULL);
        slept_us += step_us;
    }
}

static enum status put_record(struct pass *pass, enum object_type type, struct cold_iter *iter,
                              struct err *err)
{
    struct rdb_record record = {.type = type};
    const struct rdb_dataset *dataset = pass->dataset;
    uint32_t db_id;
    uint64_t position;
    bool put;
    enum status st = ST_CORRUPT;
    if (record_key_decode(cold_iter_key(iter), &db_id, &position, &record.key))
        st = record_header_decode(cold_iter_value(iter), &record.header, &record.payload);
    if (st != ST_OK)
        return err_set(err, st, "a record of type %s is damaged", object_type_name(type));
    if (dataset->wanted != NULL && !dataset->wanted(dataset->arg, pass->db, type, record.key))
        return ST_OK;
    if (!pass->selected)
        rdb_writer_put_select_db(pass->target.writer, pass->db);
    pass->selected = true;
    if (type == OBJECT_HASH && pass->target.version < RDB_VERSION_FIELD_DEADLINES &&
        (record.header.encoding == RECORD_HASH_LISTPACK_EX ||
         record.header.encoding == RECORD_HASH_TABLE_EX))
        (void)atomic_fetch_add(&dataset->progress->undated, 1);
    st = rdb_record_put(&pass->source, &pass->target, &record, &put, err);
    pass->keys += st == ST_OK && put;
    return st;
}

static enum status put_family(struct pass *pass, uint32_t db_id, enum object_type type,
                              struct err *err)
{
    uint8_t lower[RECORD_DB_ID_BYTES];
    uint8_t upper[RECORD_DB_ID_BYTES];
    record_db_prefix_encode(db_id, lower);
    record_db_prefix_encode(db_id + 1, upper);
    struct cold_iter_options options = {.lower = bytes_make(lower, sizeof(lower)),
                                        .upper = bytes_make(upper, sizeof(upper)),
                                        .snapshot = pass->dataset->snapshot,
                                        .readahead_bytes = READAHEAD_BYTES};
    struct cold_iter *iter = cold_iter_create(pass->dataset->cold, loader_family(type), &options);
    enum status st = ST_OK;
    for (cold_iter_seek_first(iter); st == ST_OK && cold_iter_valid(iter); cold_iter_next(iter)) {
        st = put_record(pass, type, iter, err);
        pass->seen++;
        bool delayed = atomic_load(&pass->dataset->progress->key_delay_us) != 0;
        if (st == ST_OK && (delayed || pass->seen % LOOK_EACH_KEYS == 0))
            st = look_around(pass, err);
        if (st == ST_OK && delayed)
            delay(pass);
        if (rdb_writer_failed(pass->target.writer))
            break;
    }
    if (st == ST_OK)
        st = cold_iter_status(iter, err);
    cold_iter_destroy(iter);
    return st;
}

static uint64_t count_keys(const struct meta_db *db)
{
    uint64_t count = 0;
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        count += db->keys[type];
    return count;
}

static enum status put_db(struct pass *pass, uint32_t number, const struct meta_db *db,
                          struct err *err)
{
    uint64_t count = count_keys(db);
    enum status st = ST_OK;
    if (count == 0)
        return ST_OK;
    pass->db = number;
    pass->selected = pass->dataset->wanted == NULL;
    if (pass->selected) {
        rdb_writer_put_select_db(pass->target.writer, number);
        rdb_writer_put_resize_db(pass->target.writer, count, db->expires);
    }
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT && st == ST_OK; type++)
        if (db->keys[type] != 0)
            st = put_family(pass, db->id, type, err);
    return st;
}

enum status rdb_dataset_put(const struct rdb_dataset *dataset, struct rdb_writer *writer,
                            struct err *err)
{
    struct meta_state state = {0};
    struct pass pass = {
        .dataset = dataset,
        .source = {.cold = dataset->cold,
                   .snapshot = dataset->snapshot,
                   .rules = {.hash_seed = dataset->hash_seed}},
        .target = {.writer = writer, .version = dataset->version, .now_ms = dataset->now_ms}};
    enum status st = meta_read_state_at(dataset->cold, dataset->snapshot, &state, err);
    if (st == ST_NOT_FOUND) /* nothing was ever written */
        st = ST_OK;
    if (st != ST_OK)
        return st;
    uint64_t total = 0;
    uint32_t dbs = (dataset->leave_out & RDB_LEAVE_OUT_KEYS) != 0 ? 0 : state.db_count;
    for (uint32_t i = 0; i < dbs; i++)
        total += count_keys(&state.dbs[i]);
    atomic_store(&dataset->progress->total, total);
    put_aux(dataset, writer);
    if (dataset->version >= VERSION_FUNCTIONS && dataset->wanted == NULL &&
        (dataset->leave_out & RDB_LEAVE_OUT_LIBRARIES) == 0)
        st = meta_read_libraries_at(dataset->cold, dataset->snapshot, put_library, writer, err);
    for (uint32_t i = 0; i < dbs && st == ST_OK && !rdb_writer_failed(writer); i++)
        st = put_db(&pass, i, &state.dbs[i], err);
    atomic_store(&dataset->progress->seen, pass.seen);
    atomic_store(&dataset->progress->keys, pass.keys);
    meta_state_deinit(&state);
    return st;
}
