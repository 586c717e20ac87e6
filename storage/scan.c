/* A scan goes in rounds. A round takes a stretch of positions that holds about as many objects in
 * RAM as are wanted; reads the database's records in it from all families on another thread (keys,
 * types and expiries), up to as many again, which may shorten the stretch; then, on the main
 * thread, lays the objects in RAM over it: a key that is in the table is told by the table.
 *
 * A key could escape that was only in RAM when the stretch was read, and only on disk when RAM was
 * looked at: its cut was applied in between. So a round during which a cut was applied is done
 * again; where cuts come thick and fast (debug-always-cold), at last on the main thread. */
#include "storage/scan.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/executor.h"
#include "storage/loader.h"
#include "storage/tier.h"

#include <stdlib.h>

#define ROUND_KEYS_MAX  10000 /* bounds what a round holds in memory */
#define ROUND_TRIES_MAX 8     /* then the disk is read on the main thread */

struct scans {
    struct scans_options options;
};

struct scan_list {
    struct scan_key *items; /* owned */
    size_t count, capacity;
    struct buf keys;
};

struct scan {
    struct job job; /* first */
    struct scans *scans;
    uint32_t db_id;
    uint64_t cursor; /* where the current round begins */
    size_t wanted;
    scan_done_fn *done;
    void *arg;
    bool running;   /* the job is under way */
    bool abandoned; /* destroyed meanwhile */
    bool complete;
    struct scan_list found;
    /* the round */
    uint32_t epoch;
    uint32_t tries; /* of this round, overtaken by cuts */
    uint32_t families;
    size_t round_wanted;
    uint64_t round_end; /* first position behind the stretch */
    struct scan_list disk;
    uint64_t disk_next; /* first position behind what was read */
    enum status status;
    struct err err;
};

struct scans *scans_create(const struct scans_options *options)
{
    struct scans *scans = mem_calloc(1, sizeof(*scans));
    scans->options = *options;
    return scans;
}

void scans_destroy(struct scans *scans)
{
    mem_free(scans);
}

static void list_deinit(struct scan_list *list)
{
    mem_free(list->items);
    buf_deinit(&list->keys);
    *list = (struct scan_list){0};
}

static void list_push(struct scan_list *list, uint64_t position, struct bytes key, uint8_t type,
                      int64_t expire_at_ms)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 32 : list->capacity * 2;
        list->items = mem_realloc(list->items, list->capacity * sizeof(*list->items));
    }
    list->items[list->count++] = (struct scan_key){.position = position,
                                                   .off = list->keys.len,
                                                   .len = (uint32_t)key.len,
                                                   .type = type,
                                                   .expire_at_ms = expire_at_ms};
    (void)buf_reserve(&list->keys, key.len + 1); /* the bytes of an empty key are somewhere too */
    buf_append_bytes(&list->keys, key);
}

/* ---- The disk's part: any thread. -------------------------------------------------------------
 */

static struct cold_iter *open_family(const struct scan *scan, enum object_type type)
{
    uint8_t lower[RECORD_KEY_PREFIX_BYTES];
    uint8_t upper[RECORD_KEY_PREFIX_BYTES];
    size_t upper_len = RECORD_DB_ID_BYTES;
    record_key_prefix_encode(scan->db_id, scan->cursor, lower);
    if (scan->round_end < TABLE_POSITION_LIMIT) {
        record_key_prefix_encode(scan->db_id, scan->round_end, upper);
        upper_len = RECORD_KEY_PREFIX_BYTES;
    } else {
        record_db_prefix_encode(scan->db_id + 1, upper);
    }
    struct cold_iter_options options = {.lower = bytes_make(lower, sizeof(lower)),
                                        .upper = bytes_make(upper, upper_len)};
    struct cold_iter *iter =
        cold_iter_create(scan->scans->options.cold, loader_family(type), &options);
    cold_iter_seek(iter, options.lower);
    return iter;
}

/* Appends the record that the iterator is at. */
static enum status read_record(struct scan *scan, struct cold_iter *iter, uint8_t type)
{
    uint32_t db_id = 0;
    uint64_t position = 0;
    struct bytes key;
    struct record_header header;
    struct bytes payload;
    enum status st = ST_CORRUPT;
    if (record_key_decode(cold_iter_key(iter), &db_id, &position, &key))
        st = record_header_decode(cold_iter_value(iter), &header, &payload);
    if (st != ST_OK)
        return err_set(&scan->err, st, "a record of type %s in database id %u is damaged",
                       object_type_name(type), scan->db_id);
    list_push(&scan->disk, position, key, type,
              header.has_expire ? header.expire_at_ms : OBJECT_NO_EXPIRE);
    return ST_OK;
}

/* The family whose next key is the first; OBJECT_NONE when all are at their ends. */
static uint32_t first_family(struct cold_iter *const *iters)
{
    uint32_t first = OBJECT_NONE;
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        if (iters[type] != NULL && cold_iter_valid(iters[type]) &&
            (first == OBJECT_NONE ||
             bytes_compare(cold_iter_key(iters[type]), cold_iter_key(iters[first])) < 0))
            first = type;
    return first;
}

static void run_round(struct job *job)
{
    struct scan *scan = (struct scan *)(void *)job;
    struct cold_iter *iters[OBJECT_TYPE_COUNT] = {NULL};
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        if ((scan->families >> type & 1) != 0)
            iters[type] = open_family(scan, type);
    scan->status = ST_OK;
    scan->disk_next = scan->round_end;
    uint32_t type = OBJECT_NONE;
    while (scan->status == ST_OK && (type = first_family(iters)) != OBJECT_NONE) {
        scan->status = read_record(scan, iters[type], (uint8_t)type);
        if (scan->status != ST_OK)
            break;
        size_t count = scan->disk.count;
        uint64_t position = scan->disk.items[count - 1].position;
        if (count > scan->round_wanted && scan->disk.items[count - 2].position != position) {
            scan->disk.count--; /* one too far: the next round begins with it */
            scan->disk_next = position;
            break;
        }
        cold_iter_next(iters[type]);
    }
    for (uint32_t t = OBJECT_STRING; t < OBJECT_TYPE_COUNT; t++) {
        if (iters[t] != NULL && scan->status == ST_OK)
            scan->status = cold_iter_status(iters[t], &scan->err);
        cold_iter_destroy(iters[t]);
    }
}

/* ---- RAM's part. ------------------------------------------------------------------------------
 */

static int compare_keys(const void *a, const void *b)
{
    const struct scan_key *x = a;
    const struct scan_key *y = b;
    return (x->position > y->position) - (x->position < y->position);
}

/* Visits the live objects from `from` on; stops behind `to`, or at a bucket's end once `wanted`
 * were there. With `add`, adds them. Returns where it stopped. */
static uint64_t walk_resident(struct scan *scan, const struct db *db, uint64_t from, uint64_t to,
                              size_t wanted, bool add)
{
    struct object *few[64];
    struct object **objects = few;
    size_t room = 64;
    size_t count_live = 0;
    while (from < to && count_live < wanted) {
        uint64_t next = 0;
        size_t count = table_walk(db->table, from, objects, room, &next);
        if (count > room) {
            objects = mem_realloc(objects == few ? NULL : objects, count * sizeof(*objects));
            room = count;
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            const struct object *o = objects[i];
            if (!object_is_live(o) || o->position >= to)
                continue;
            if (add)
                list_push(&scan->found, o->position, object_key(o), o->type, o->expire_at_ms);
            count_live++;
        }
        from = next;
    }
    if (objects != few)
        mem_free(objects);
    return from < to ? from : to;
}

static void add_disk(struct scan *scan, const struct db *db)
{
    for (size_t i = 0; i < scan->disk.count; i++) {
        const struct scan_key *item = &scan->disk.items[i];
        struct bytes key = bytes_make(scan->disk.keys.data + item->off, item->len);
        if (table_find(db->table, item->position, key) == NULL)
            list_push(&scan->found, item->position, key, item->type, item->expire_at_ms);
    }
}

/* Stretches come in order: only what the last one has added has to be sorted. */
static void sort_added(struct scan *scan, size_t first)
{
    if (scan->found.count > first)
        qsort(scan->found.items + first, scan->found.count - first, sizeof(*scan->found.items),
              compare_keys);
}

/* Goes on until complete or a job is under way. */
static void advance(struct scan *scan);

static void start_round(struct scan *scan, const struct db *db)
{
    scan->epoch = scan->scans->options.ks->applied_epoch;
    scan->families = 0;
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        if (db->disk[type] != 0)
            scan->families |= (uint32_t)1 << type;
    size_t left = scan->wanted - scan->found.count;
    scan->round_wanted = left < ROUND_KEYS_MAX ? left : ROUND_KEYS_MAX;
    scan->round_end =
        walk_resident(scan, db, scan->cursor, TABLE_POSITION_LIMIT, scan->round_wanted, false);
    scan->disk.count = 0;
    scan->disk.keys.len = 0;
    scan->running = true;
}

static void end_round(struct scan *scan)
{
    struct keyspace *ks = scan->scans->options.ks;
    scan->running = false;
    const struct db *db = ks_db_by_id(ks, scan->db_id);
    if (db == NULL) { /* emptied meanwhile */
        scan->cursor = TABLE_POSITION_LIMIT;
        return;
    }
    if (scan->status != ST_OK)
        return;
    if (scan->epoch != ks->applied_epoch) {
        scan->tries++;
        return;
    }
    scan->tries = 0;
    size_t first = scan->found.count;
    add_disk(scan, db);
    scan->cursor = walk_resident(scan, db, scan->cursor, scan->disk_next, SIZE_MAX, true);
    sort_added(scan, first);
}

static void done_round(struct job *job)
{
    struct scan *scan = (struct scan *)(void *)job;
    end_round(scan);
    if (scan->abandoned) {
        scan_destroy(scan);
        return;
    }
    advance(scan);
    if (scan->complete)
        scan->done(scan->arg, scan);
}

static void advance(struct scan *scan)
{
    struct keyspace *ks = scan->scans->options.ks;
    while (!scan->complete && !scan->running) {
        const struct db *db = ks_db_by_id(ks, scan->db_id);
        if (scan->status != ST_OK || scan->cursor >= TABLE_POSITION_LIMIT ||
            scan->found.count >= scan->wanted || db == NULL) {
            scan->complete = true;
        } else if (db->cold_count == 0) {
            size_t first = scan->found.count;
            scan->cursor = walk_resident(scan, db, scan->cursor, TABLE_POSITION_LIMIT,
                                         scan->wanted - first, true);
            sort_added(scan, first);
        } else {
            start_round(scan, db);
            scan->job.run = run_round;
            scan->job.done = done_round;
            if (scan->done != NULL && scan->tries < ROUND_TRIES_MAX) {
                executor_submit(scan->scans->options.executor, &scan->job);
            } else {
                run_round(&scan->job);
                end_round(scan);
            }
        }
    }
}

struct scan *scan_start(struct scans *scans, struct db *db, uint64_t cursor, size_t count,
                        scan_done_fn *done, void *arg, bool *complete_out)
{
    struct scan *scan = mem_calloc(1, sizeof(*scan));
    scan->scans = scans;
    scan->db_id = db->id;
    scan->cursor = cursor;
    scan->wanted = count == 0 ? 1 : count;
    scan->done = done;
    scan->arg = arg;
    advance(scan);
    *complete_out = scan->complete;
    return scan;
}

struct scan *scan_run(struct scans *scans, struct db *db, uint64_t cursor, size_t count,
                      struct err *err)
{
    bool complete = false;
    struct scan *scan = scan_start(scans, db, cursor, count, NULL, NULL, &complete);
    CHECK(complete);
    if (scan->status != ST_OK && err != NULL)
        *err = scan->err;
    return scan;
}

enum status scan_read(const struct scan *scan, struct scan_result *out, struct err *err)
{
    CHECK(scan->complete);
    if (scan->status != ST_OK) {
        if (err != NULL)
            *err = scan->err;
        return scan->status;
    }
    *out = (struct scan_result){.items = scan->found.items,
                                .count = scan->found.count,
                                .keys = scan->found.keys.data,
                                .next =
                                    scan->cursor >= TABLE_POSITION_LIMIT ? SCAN_END : scan->cursor};
    return ST_OK;
}

void scan_destroy(struct scan *scan)
{
    if (scan == NULL)
        return;
    if (scan->running) {
        scan->abandoned = true;
        return;
    }
    list_deinit(&scan->found);
    list_deinit(&scan->disk);
    mem_free(scan);
}
