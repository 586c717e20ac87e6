/* See cut.h. The batch is filled on the main thread and written by the flusher; while it is WRITING
 * only the flusher touches it. Chunks of large strings are handed over by reference and copied into
 * the batch by the flusher. */
#include "storage/cut.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/executor.h"
#include "storage/journal.h"
#include "storage/loader.h"
#include "storage/meta.h"
#include "storage/object_value.h"
#include "storage/tier.h"

#include <stddef.h>
#include <stdio.h>
#include <time.h>

#define ENCODE_SLICE_OBJECTS 64 /* between looks at the clock */
#define PREFETCH_DISTANCE    8
#define RETRY_MS             1000
#define SYNC_JOURNAL_BYTES   ((uint64_t)16 << 20) /* sync a cut that can release so much journal */

enum cut_phase { CUT_IDLE, CUT_ENCODING, CUT_RESOLVING, CUT_WRITING, CUT_RETRYING, CUT_FINISHING };

/* A database's part of the running cut. */
struct cut_db {
    struct db *db;
    uint32_t number;            /* at the cut's offset */
    struct object_list pending; /* taken from the database */
    uint32_t next;              /* first place of `pending` not encoded yet */
    struct object_list leaving; /* tombstones encoded as deletions */
};

struct cut_chunk {
    uint64_t object_id;
    uint32_t index;
    struct string_chunk *chunk; /* a reference */
};

struct cut {
    struct job job; /* for the flusher; first */
    struct cut_options options;
    enum cut_phase phase;
    uint64_t offset;      /* X of the running cut */
    uint64_t applied;     /* X of the last applied one */
    uint64_t synced;      /* X of the last one written with sync */
    uint32_t epoch;       /* of the running cut */
    struct cut_db *parts; /* owned; one per database number */
    uint32_t part_count;
    uint32_t part_next; /* first part not encoded through */
    uint32_t finish_next, finish_item;
    size_t waiting; /* encoded objects that are still unresolved */
    struct cold_batch *batch;
    struct cut_chunk *chunks; /* owned vector */
    size_t chunk_count, chunk_capacity;
    size_t chunk_bytes;
    struct buf encoded;    /* scratch */
    struct buf index_puts; /* expires keys of the next cut: length u32, bytes */
    struct buf index_deletes;
    uint32_t next_db_id;
    uint64_t next_object_id;
    bool requested;
    bool want_sync, want_flush;
    bool stopping; /* cut_run: do not sleep between tries */
    int64_t started_us;
    int64_t last_start_ms;
    int64_t retry_at_ms;
    /* result of the flusher's job */
    enum status status;
    struct err err;
    int64_t write_us;
    size_t batch_bytes; /* as the main thread may know it while the flusher works */
    struct cut_stats stats;
};

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct cut *cut_create(const struct cut_options *options)
{
    struct cut *cut = mem_calloc(1, sizeof(*cut));
    cut->options = *options;
    cut->applied = options->offset;
    cut->synced = options->offset;
    cut->batch = cold_batch_create();
    cut->stats.offset = options->offset;
    return cut;
}

void cut_destroy(struct cut *cut)
{
    if (cut == NULL)
        return;
    CHECK(cut->phase == CUT_IDLE || cut->phase == CUT_RETRYING);
    for (size_t i = 0; i < cut->chunk_count; i++)
        string_chunk_release(cut->chunks[i].chunk);
    for (uint32_t i = 0; i < cut->part_count; i++) {
        mem_free(cut->parts[i].pending.items);
        mem_free(cut->parts[i].leaving.items);
    }
    mem_free(cut->parts);
    mem_free(cut->chunks);
    cold_batch_destroy(cut->batch);
    buf_deinit(&cut->encoded);
    buf_deinit(&cut->index_puts);
    buf_deinit(&cut->index_deletes);
    mem_free(cut);
}

void cut_configure(struct cut *cut, int64_t interval_ms, size_t dirty_bytes_max,
                   uint64_t journal_bytes_max, bool unordered)
{
    cut->options.interval_ms = interval_ms;
    cut->options.dirty_bytes_max = dirty_bytes_max;
    cut->options.journal_bytes_max = journal_bytes_max;
    cut->options.unordered = unordered;
}

bool cut_running(const struct cut *cut)
{
    return cut->phase != CUT_IDLE;
}

void cut_request(struct cut *cut)
{
    cut->requested = true;
}

/* ---- Encoding ---------------------------------------------------------------------------------
 */

static void take_chunk(void *arg, uint64_t object_id, uint32_t index, struct string_chunk *chunk)
{
    struct cut *cut = arg;
    if (cut->chunk_count == cut->chunk_capacity) {
        cut->chunk_capacity = cut->chunk_capacity == 0 ? 64 : cut->chunk_capacity * 2;
        cut->chunks = mem_realloc(cut->chunks, cut->chunk_capacity * sizeof(*cut->chunks));
    }
    cut->chunks[cut->chunk_count++] =
        (struct cut_chunk){.object_id = object_id, .index = index, .chunk = chunk};
    cut->chunk_bytes += chunk->capacity;
}

static uint8_t string_record_encoding(const struct object *o)
{
    if (o->encoding == ENCODING_INT)
        return RECORD_STRING_INT;
    bool embstr = !o->raw && string_len(o) <= STRING_EMBSTR_BYTES_MAX;
    return embstr ? RECORD_STRING_EMBSTR : RECORD_STRING_RAW;
}

/* Puts the record; `record_key` is of the object's key. */
static void put_record(struct cut *cut, struct object *o, struct bytes record_key)
{
    enum family family = loader_family(o->type);
    char scratch[STRING_SCRATCH_BYTES];
    struct bytes body;
    if (o->type == OBJECT_STRING && string_view(o, scratch, &body)) {
        struct record_header header = {.has_expire = object_has_expire(o),
                                       .encoding = string_record_encoding(o),
                                       .expire_at_ms = o->expire_at_ms};
        uint8_t head[RECORD_HEADER_BYTES_MAX];
        size_t head_len = record_header_encode(&header, head);
        cold_batch_put_parts(cut->batch, family, record_key, bytes_make(head, head_len), body);
        return;
    }
    CHECK(o->type == OBJECT_STRING);
    buf_clear(&cut->encoded);
    string_encode(o, &cut->encoded);
    cold_batch_put(cut->batch, family, record_key, buf_bytes(&cut->encoded));
    (void)string_chunked_take_dirty(o, take_chunk, cut);
}

static void count_disk(struct db *db, enum object_type type, bool has_expire, int by)
{
    if (type == OBJECT_NONE)
        return;
    db->disk[type] += (uint64_t)(int64_t)by;
    if (has_expire)
        db->disk_expires += (uint64_t)(int64_t)by;
}

/* Encodes an object as it is now and makes it clean or leaving. It is out of the pending list. */
static void encode_object(struct cut *cut, struct cut_db *part, struct object *o)
{
    struct db *db = part->db;
    uint8_t few[256];
    size_t record_len = record_key_bytes(o->key_len);
    uint8_t *place = record_len <= sizeof(few) ? few : mem_alloc(record_len);
    struct bytes record_key =
        bytes_make(place, record_key_encode(db->id, o->position, object_key(o), place));
    enum object_type old_type = o->disk_type;
    if (!o->unresolved)
        count_disk(db, old_type, o->disk_expire, -1);
    else if (o->cut_epoch != cut->epoch)
        cut->waiting++;
    if (object_is_live(o)) {
        put_record(cut, o, record_key);
        if (object_has_expire(o) && o->expire_new) {
            uint8_t *expires = mem_alloc(RECORD_EXPIRES_PREFIX_BYTES + record_len);
            size_t len = record_expires_key_encode(o->expire_at_ms, record_key, expires);
            cold_batch_put(cut->batch, FAMILY_EXPIRES, bytes_make(expires, len), bytes_make("", 0));
            mem_free(expires);
        }
        o->expire_new = 0;
        count_disk(db, o->type, object_has_expire(o), 1);
        o->state = OBJECT_CLEAN;
    } else {
        o->state = OBJECT_LEAVING;
        object_list_push(&part->leaving, o);
    }
    if (old_type != OBJECT_NONE && old_type != o->type)
        cold_batch_delete(cut->batch, loader_family(old_type), record_key);
    db->on_disk = true;
    o->disk_type = o->type;
    o->disk_expire = object_is_live(o) && object_has_expire(o);
    o->cut_epoch = cut->epoch;
    cut->stats.objects++;
    if (place != few)
        mem_free(place);
}

static struct cut_db *part_of(struct cut *cut, const struct db *db)
{
    for (uint32_t i = 0; i < cut->part_count; i++)
        if (cut->parts[i].db == db)
            return &cut->parts[i];
    CHECK(!"the database is part of the cut");
    return NULL;
}

void cut_encode_now(struct cut *cut, struct db *db, struct object *o)
{
    CHECK(cut->phase == CUT_ENCODING);
    struct cut_db *part = part_of(cut, db);
    CHECK(part->pending.items[o->list_index] == o);
    part->pending.items[o->list_index] = NULL;
    encode_object(cut, part, o);
}

void cut_keep_tombstone(struct cut *cut, struct db *db, struct object *o)
{
    struct cut_db *part = part_of(cut, db);
    CHECK(part->leaving.items[o->list_index] == o);
    part->leaving.items[o->list_index] = NULL;
}

bool cut_resolved(struct cut *cut, struct db *db, const struct object *o, enum object_type type,
                  bool has_expire)
{
    if (cut->phase == CUT_IDLE || o->cut_epoch != cut->epoch)
        return false;
    CHECK(cut->phase == CUT_ENCODING || cut->phase == CUT_RESOLVING);
    CHECK(cut->waiting > 0);
    cut->waiting--;
    count_disk(db, type, has_expire, -1);
    if (type == OBJECT_NONE || type == o->disk_type)
        return true;
    uint8_t *place = mem_alloc(record_key_bytes(o->key_len));
    size_t len = record_key_encode(db->id, o->position, object_key(o), place);
    cold_batch_delete(cut->batch, loader_family(type), bytes_make(place, len));
    mem_free(place);
    return true;
}

/* ---- Index entries ----------------------------------------------------------------------------
 */

static void push_key(struct buf *buf, struct bytes key)
{
    uint32_t len = (uint32_t)key.len;
    buf_append(buf, &len, sizeof(len));
    buf_append_bytes(buf, key);
}

void cut_index_put(struct cut *cut, struct bytes expires_key)
{
    push_key(&cut->index_puts, expires_key);
}

void cut_index_delete(struct cut *cut, struct bytes expires_key)
{
    push_key(&cut->index_deletes, expires_key);
}

static void put_index(struct cut *cut)
{
    for (size_t at = 0; at < cut->index_deletes.len;) {
        uint32_t len = 0;
        memcpy(&len, cut->index_deletes.data + at, sizeof(len));
        cold_batch_delete(cut->batch, FAMILY_EXPIRES,
                          bytes_make(cut->index_deletes.data + at + sizeof(len), len));
        at += sizeof(len) + len;
    }
    for (size_t at = 0; at < cut->index_puts.len;) {
        uint32_t len = 0;
        memcpy(&len, cut->index_puts.data + at, sizeof(len));
        cold_batch_put(cut->batch, FAMILY_EXPIRES,
                       bytes_make(cut->index_puts.data + at + sizeof(len), len), bytes_make("", 0));
        at += sizeof(len) + len;
    }
    buf_deinit(&cut->index_deletes);
    buf_deinit(&cut->index_puts);
}

static void put_reap(struct cut *cut, enum meta_reap_kind kind, uint8_t type, uint64_t id)
{
    uint8_t key[META_REAP_KEY_BYTES];
    meta_reap_key(kind, type, id, key);
    cold_batch_put(cut->batch, FAMILY_META, bytes_make(key, sizeof(key)), bytes_make("", 0));
}

/* ---- Phases -----------------------------------------------------------------------------------
 */

static void start(struct cut *cut, int64_t now_ms)
{
    struct keyspace *ks = cut->options.ks;
    CHECK(cut->phase == CUT_IDLE);
    cut->phase = CUT_ENCODING;
    cut->offset = journal_mark(cut->options.journal);
    cut->epoch = ks->applied_epoch + 1;
    ks->running_epoch = cut->epoch;
    cut->started_us = now_us();
    cut->last_start_ms = now_ms;
    cut->requested = false;
    cut->waiting = 0;
    if (cut->part_count != ks->db_count) {
        cut->parts = mem_realloc(cut->parts, ks->db_count * sizeof(*cut->parts));
        memset(cut->parts + cut->part_count, 0,
               (ks->db_count - cut->part_count) * sizeof(*cut->parts));
        cut->part_count = ks->db_count;
    }
    for (uint32_t i = 0; i < cut->part_count; i++) {
        struct cut_db *part = &cut->parts[i];
        struct object_list emptied = part->pending; /* its memory serves again */
        emptied.count = 0;
        emptied.live = 0;
        emptied.bytes = 0;
        part->db = ks->dbs[i];
        part->number = i;
        part->pending = part->db->dirty;
        part->next = 0;
        part->leaving.count = 0;
        part->leaving.live = 0;
        part->db->dirty = emptied;
    }
    cut->part_next = 0;
    ks->dirty_bytes = 0;
    ks->dirty_state = ks->dirty_state == OBJECT_DIRTY_A ? OBJECT_DIRTY_B : OBJECT_DIRTY_A;
    cut->next_db_id = ks->next_db_id;
    cut->next_object_id = ks->next_object_id;
    for (size_t i = 0; i < ks->retired_count; i++)
        put_reap(cut, META_REAP_OBJECT, ks->retired[i].type, ks->retired[i].object_id);
    for (size_t i = 0; i < ks->retired_db_count; i++)
        put_reap(cut, META_REAP_DB, 0, ks->retired_dbs[i]);
    ks->retired_count = 0;
    ks->retired_db_count = 0;
    ks->dbs_changed = false;
    put_index(cut);
}

/* Encodes up to `count` objects of the part; false when it is through. */
static bool encode_some(struct cut *cut, struct cut_db *part, uint32_t count)
{
    struct object **items = part->pending.items;
    uint32_t end = part->pending.count;
    for (uint32_t n = 0; n < count && part->next < end; n++, part->next++) {
        if (part->next + PREFETCH_DISTANCE < end) {
            struct object *ahead = items[part->next + PREFETCH_DISTANCE];
            if (ahead != NULL) {
                __builtin_prefetch(ahead);
                __builtin_prefetch((const uint8_t *)ahead + 64);
            }
        }
        struct object *o = items[part->next];
        if (o == NULL)
            continue;
        items[part->next] = NULL;
        encode_object(cut, part, o);
    }
    return part->next < end;
}

/* Works through the parts until done or out of time; true when all is encoded. */
static bool encode_slice(struct cut *cut, int64_t deadline_us)
{
    while (cut->part_next < cut->part_count) {
        if (!encode_some(cut, &cut->parts[cut->part_next], ENCODE_SLICE_OBJECTS))
            cut->part_next++;
        else if (now_us() >= deadline_us)
            return false;
    }
    return true;
}

static void put_state(struct cut *cut)
{
    struct meta_state state = {.cut_offset = cut->offset,
                               .next_db_id = cut->next_db_id,
                               .next_object_id = cut->next_object_id,
                               .db_count = cut->part_count};
    state.dbs = mem_calloc(state.db_count, sizeof(*state.dbs));
    for (uint32_t i = 0; i < state.db_count; i++) {
        const struct db *db = cut->parts[i].db;
        state.dbs[i].id = db->id;
        memcpy(state.dbs[i].keys, db->disk, sizeof(db->disk));
        state.dbs[i].expires = db->disk_expires;
    }
    meta_put_state(cut->batch, &state);
    meta_state_deinit(&state);
}

/* The flusher's part. */
static void run_write(struct job *job)
{
    struct cut *cut = (struct cut *)(void *)job;
    if (!cut->options.unordered) {
        cut->status = journal_wait_durable(cut->options.journal, cut->offset, &cut->err);
        if (cut->status != ST_OK)
            return;
    }
    for (size_t i = 0; i < cut->chunk_count; i++) {
        uint8_t key[RECORD_CHUNK_KEY_BYTES];
        record_chunk_key_encode(cut->chunks[i].object_id, cut->chunks[i].index, key);
        cold_batch_put(cut->batch, FAMILY_STRING, bytes_make(key, sizeof(key)),
                       string_chunk_element(cut->chunks[i].chunk));
        string_chunk_release(cut->chunks[i].chunk);
    }
    cut->chunk_count = 0;
    int64_t before_us = now_us();
    cut->status = cold_write(cut->options.cold, cut->batch, cut->want_sync, &cut->err);
    if (cut->status == ST_OK && cut->want_flush)
        cut->status = cold_flush(cut->options.cold, &cut->err);
    cut->write_us = now_us() - before_us;
    if (cut->status == ST_OK)
        cold_batch_clear(cut->batch);
}

static void log_failure(struct cut *cut, const char *what)
{
    if (cut->options.log == NULL)
        return;
    char text[ERR_MESSAGE_BYTES_MAX + 128];
    (void)snprintf(text, sizeof(text), "%s: %s", what, cut->err.message);
    cut->options.log(cut->options.log_arg, LOG_WARNING, text);
}

static void done_write(struct job *job)
{
    struct cut *cut = (struct cut *)(void *)job;
    struct keyspace *ks = cut->options.ks;
    CHECK(cut->phase == CUT_WRITING);
    if (cut->status != ST_OK) {
        cut->stats.failures++;
        cut->stats.error = cut->err;
        if (!cut->stats.failed)
            log_failure(cut, "Writing to RocksDB failed, will be tried again until it succeeds");
        cut->stats.failed = true;
        cut->phase = CUT_RETRYING;
        cut->retry_at_ms = now_us() / 1000 + RETRY_MS;
        return;
    }
    if (cut->stats.failed && cut->options.log != NULL)
        cut->options.log(cut->options.log_arg, LOG_NOTICE, "Writing to RocksDB works again");
    cut->stats.failed = false;
    cut->stats.count++;
    cut->stats.bytes += cut->batch_bytes;
    cut->stats.write_us_last = (uint64_t)cut->write_us;
    cut->stats.duration_us_last = (uint64_t)(now_us() - cut->started_us);
    if (cut->stats.duration_us_last > cut->stats.duration_us_max)
        cut->stats.duration_us_max = cut->stats.duration_us_last;
    cut->stats.last_applied_ms = ks->now_ms;
    cut->batch_bytes = 0;
    cut->chunk_bytes = 0;
    cut->applied = cut->offset;
    ks->applied_epoch = cut->epoch;
    if (cut->want_sync) {
        cut->synced = cut->offset;
        journal_release(cut->options.journal, cut->offset);
    }
    cut->phase = CUT_FINISHING;
    cut->finish_next = 0;
    cut->finish_item = 0;
}

static void submit(struct cut *cut)
{
    cut->phase = CUT_WRITING;
    cut->job.run = run_write;
    cut->job.done = done_write;
    executor_submit(cut->options.flusher, &cut->job);
}

/* Lets applied tombstones go; true when done. */
static bool finish_slice(struct cut *cut, int64_t deadline_us)
{
    struct keyspace *ks = cut->options.ks;
    for (; cut->finish_next < cut->part_count; cut->finish_next++, cut->finish_item = 0) {
        struct cut_db *part = &cut->parts[cut->finish_next];
        if (part->db->parked)
            continue;
        for (; cut->finish_item < part->leaving.count; cut->finish_item++) {
            if (cut->finish_item % ENCODE_SLICE_OBJECTS == 0 && now_us() >= deadline_us)
                return false;
            struct object *o = part->leaving.items[cut->finish_item];
            if (o != NULL)
                ks_forget_tombstone(ks, part->db, o);
            part->leaving.items[cut->finish_item] = NULL;
        }
    }
    for (uint32_t i = 0; i < cut->part_count; i++)
        cut->parts[i].leaving.count = 0;
    ks_release_parked(ks);
    return true;
}

static bool is_due(const struct cut *cut, int64_t now_ms)
{
    const struct keyspace *ks = cut->options.ks;
    uint64_t behind = journal_end(cut->options.journal) - cut->applied;
    if (behind == 0 && cut->index_deletes.len == 0 && cut->index_puts.len == 0)
        return false;
    return cut->requested || ks->dirty_bytes >= cut->options.dirty_bytes_max ||
           behind >= cut->options.journal_bytes_max ||
           now_ms - cut->last_start_ms >= cut->options.interval_ms;
}

/* One step of the phase that the main thread works on; false when there is nothing to do now. */
static bool step(struct cut *cut, int64_t deadline_us)
{
    switch (cut->phase) {
    case CUT_IDLE:
    case CUT_WRITING:
        return false;
    case CUT_ENCODING:
        if (!encode_slice(cut, deadline_us))
            return true;
        loader_submit(cut->options.ks->loader);
        cut->phase = CUT_RESOLVING;
        return true;
    case CUT_RESOLVING:
        if (cut->waiting != 0)
            return false;
        put_state(cut);
        cut->batch_bytes = cold_batch_bytes(cut->batch) + cut->chunk_bytes;
        cut->want_sync = cut->want_flush || cut->offset - cut->synced >= SYNC_JOURNAL_BYTES;
        submit(cut);
        return false;
    case CUT_RETRYING:
        if (!cut->stopping && now_us() / 1000 < cut->retry_at_ms)
            return false;
        submit(cut);
        return false;
    case CUT_FINISHING:
        if (finish_slice(cut, deadline_us))
            cut->phase = CUT_IDLE;
        return true;
    }
    return false;
}

bool cut_tick(struct cut *cut, int64_t now_ms, int64_t budget_us)
{
    if (cut->phase == CUT_IDLE) {
        if (!is_due(cut, now_ms))
            return false;
        start(cut, now_ms);
    }
    int64_t deadline_us = now_us() + budget_us;
    bool more = true;
    do {
        more = step(cut, deadline_us);
    } while (more && now_us() < deadline_us);
    return more;
}

/* Drives the running cut to its end, waiting for the threads. */
static enum status drive(struct cut *cut, struct err *err)
{
    while (cut->phase != CUT_IDLE) {
        if (cut->phase == CUT_RETRYING && cut->stats.failed) {
            if (cut->stopping) {
                if (err != NULL)
                    *err = cut->err;
                return cut->status;
            }
        }
        cut->stopping = true;
        bool more = step(cut, INT64_MAX);
        if (!more && cut->phase != CUT_IDLE) {
            completions_wait(cut->options.completions);
            (void)completions_drain(cut->options.completions);
        }
    }
    return ST_OK;
}

enum status cut_run(struct cut *cut, bool flush, struct err *err)
{
    cut->stopping = false;
    enum status st = drive(cut, err);
    if (st == ST_OK) {
        struct keyspace *ks = cut->options.ks;
        cut->stopping = false;
        cut->want_flush = flush;
        start(cut, ks->now_ms);
        st = drive(cut, err);
        cut->want_flush = false;
    }
    cut->stopping = false;
    return st;
}

uint32_t cut_pressure(const struct cut *cut)
{
    size_t max = cut->options.dirty_bytes_max;
    size_t bytes = cut->options.ks->dirty_bytes;
    if (cut->phase == CUT_IDLE || bytes <= max)
        return 0;
    return bytes >= 2 * max ? 1000 : (uint32_t)((bytes - max) * 1000 / max);
}

void cut_read_stats(const struct cut *cut, struct cut_stats *out)
{
    *out = cut->stats;
    out->offset = cut->applied;
    out->running = cut->phase != CUT_IDLE;
    out->dirty_bytes_max = cut->options.dirty_bytes_max;
    out->batch_bytes = cut->phase == CUT_IDLE ? 0
                       : cut->phase == CUT_ENCODING
                           ? cold_batch_bytes(cut->batch) + cut->chunk_bytes
                           : cut->batch_bytes;
}
