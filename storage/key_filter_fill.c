#include "storage/key_filter_fill.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/executor.h"
#include "storage/key_filter.h"
#include "storage/loader.h"
#include "storage/tier.h"

#include <stdatomic.h>
#include <time.h>

#define BATCH_KEYS       4096 /* of one family: 0.4 ms of the main thread to add */
#define REST_US_MAX      100000
#define LOOK_MS          100 /* between looks for something to do */
#define RETRY_MS         1000
#define GONE_ENTRIES_MIN 65536

struct key_filter_fill {
    struct job job; /* first */
    struct keyspace *ks;
    struct cold *cold;
    struct completions *completions;
    struct executor *executor; /* from the first job on */
    bool busy;
    bool stopped;
    int64_t now_ms, next_ms; /* of the last tick; when there will be a look */
    /* The job's while it runs. */
    uint32_t db_id;
    uint64_t from, to; /* positions; `to` as far as was asked for, then as far as it came */
    uint32_t families; /* a bit per type */
    enum status status;
    struct { /* owned vector */
        uint64_t *items;
        size_t count, capacity;
    } positions;
};

struct key_filter_fill *key_filter_fill_create(struct keyspace *ks, struct cold *cold,
                                               struct completions *completions)
{
    struct key_filter_fill *fill = mem_calloc(1, sizeof(*fill));
    fill->ks = ks;
    fill->cold = cold;
    fill->completions = completions;
    return fill;
}

void key_filter_fill_destroy(struct key_filter_fill *fill)
{
    if (fill == NULL)
        return;
    CHECK(!fill->busy);
    executor_destroy(fill->executor);
    mem_free(fill->positions.items);
    mem_free(fill);
}

/* ---- The thread --------------------------------------------------------------------------------
 */

static void push(struct key_filter_fill *fill, uint64_t position)
{
    if (fill->positions.count == fill->positions.capacity) {
        fill->positions.capacity += BATCH_KEYS;
        fill->positions.items = mem_realloc(
            fill->positions.items, fill->positions.capacity * sizeof(*fill->positions.items));
    }
    fill->positions.items[fill->positions.count++] = position;
}

/* Reads the positions of a family's keys from..to-1, and lowers `to` where there are many. */
static enum status read_family(struct key_filter_fill *fill, enum object_type type)
{
    uint8_t lower[RECORD_KEY_PREFIX_BYTES];
    uint8_t upper[RECORD_KEY_PREFIX_BYTES];
    record_key_prefix_encode(fill->db_id, fill->from, lower);
    struct bytes end = bytes_make(upper, sizeof(upper));
    if (fill->to < TABLE_POSITION_LIMIT) {
        record_key_prefix_encode(fill->db_id, fill->to, upper);
    } else {
        record_db_prefix_encode(fill->db_id + 1, upper);
        end.len = RECORD_DB_ID_BYTES;
    }
    struct cold_iter_options options = {.lower = bytes_make(lower, sizeof(lower)), .upper = end};
    struct cold_iter *iter = cold_iter_create(fill->cold, loader_family(type), &options);
    enum status st = ST_OK;
    uint64_t before = fill->from;
    size_t count = 0;
    for (cold_iter_seek_first(iter); cold_iter_valid(iter); cold_iter_next(iter), count++) {
        uint32_t db_id;
        uint64_t position;
        struct bytes key;
        if (!record_key_decode(cold_iter_key(iter), &db_id, &position, &key)) {
            st = ST_CORRUPT;
            break;
        }
        if (count >= BATCH_KEYS && position != before) { /* all of one position, or none */
            fill->to = position;
            break;
        }
        push(fill, position);
        before = position;
    }
    if (st == ST_OK)
        st = cold_iter_status(iter, NULL);
    cold_iter_destroy(iter);
    return st;
}

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void run(struct job *job)
{
    struct key_filter_fill *fill = (struct key_filter_fill *)(void *)job;
    int64_t start_us = now_us();
    fill->positions.count = 0;
    fill->status = ST_OK;
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT && fill->status == ST_OK; type++)
        if ((fill->families >> type & 1) != 0)
            fill->status = read_family(fill, type);
    int64_t rest_us = now_us() - start_us;
    if (rest_us > REST_US_MAX)
        rest_us = REST_US_MAX;
    const struct timespec rest = {.tv_nsec = (long)rest_us * 1000};
    (void)nanosleep(&rest, NULL);
}

/* ---- The main thread ---------------------------------------------------------------------------
 */

static void done(struct job *job)
{
    struct key_filter_fill *fill = (struct key_filter_fill *)(void *)job;
    struct db *db = ks_db_by_id(fill->ks, fill->db_id);
    fill->busy = false;
    if (fill->status != ST_OK) {
        fill->next_ms = fill->now_ms + RETRY_MS;
        return;
    }
    if (db == NULL || db->filtered_to != fill->from)
        return; /* emptied, or the filter was cleared */
    for (size_t i = 0; i < fill->positions.count; i++)
        key_filter_add(fill->ks->filter, key_filter_hash(fill->db_id, fill->positions.items[i]));
    db->filtered_to = fill->to;
    fill->next_ms = fill->now_ms;
    key_filter_fill_tick(fill, fill->now_ms);
}

/* Of these, some may be in the filter that are not on disk any more. */
static uint64_t key_count(const struct keyspace *ks)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < ks->db_count; i++)
        count += db_size(ks->dbs[i]);
    return count;
}

/* Whether the filter has become much worse than a new one would be. */
static bool is_worn(const struct key_filter_fill *fill)
{
    const struct key_filter *filter = fill->ks->filter;
    size_t bytes_max = key_filter_bytes_max(filter);
    if (key_filter_is_cut_short(filter))
        return bytes_max >= KEY_FILTER_BYTES_MIN * 2 && key_filter_bytes(filter) < bytes_max / 2;
    uint64_t keys = key_count(fill->ks);
    return key_filter_count(filter) > keys * 2 + GONE_ENTRIES_MIN;
}

static void begin_again(struct keyspace *ks)
{
    key_filter_clear(ks->filter);
    for (uint32_t i = 0; i < ks->db_count; i++)
        ks->dbs[i]->filtered_to = ks->dbs[i]->cold_count == 0 ? TABLE_POSITION_LIMIT : 0;
}

static void submit(struct key_filter_fill *fill, const struct db *db)
{
    fill->db_id = db->id;
    fill->from = db->filtered_to;
    fill->to = TABLE_POSITION_LIMIT;
    fill->families = 0;
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        if (db->cold[type] != 0)
            fill->families |= (uint32_t)1 << type;
    if (fill->executor == NULL)
        fill->executor = executor_create("filter", 1, fill->completions);
    fill->busy = true;
    fill->job.run = run;
    fill->job.done = done;
    executor_submit(fill->executor, &fill->job);
}

void key_filter_fill_tick(struct key_filter_fill *fill, int64_t mono_ms)
{
    struct keyspace *ks = fill->ks;
    fill->now_ms = mono_ms;
    if (fill->busy || fill->stopped || mono_ms < fill->next_ms)
        return;
    fill->next_ms = mono_ms + LOOK_MS;
    if (is_worn(fill))
        begin_again(ks);
    size_t bytes_max = key_filter_bytes_max(ks->filter);
    if (key_filter_is_cut_short(ks->filter) ||
        key_filter_bytes(ks->filter) > bytes_max - bytes_max / 8)
        return;
    for (uint32_t i = 0; i < ks->db_count; i++) {
        struct db *db = ks->dbs[i];
        if (db->filtered_to == TABLE_POSITION_LIMIT)
            continue;
        submit(fill, db);
        return;
    }
}

void key_filter_fill_stop(struct key_filter_fill *fill)
{
    fill->stopped = true;
}

bool key_filter_fill_busy(const struct key_filter_fill *fill)
{
    return fill->busy;
}
