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
#include "storage/meta_queue.h"
#include "storage/object_value.h"
#include "storage/parts.h"
#include "storage/tier.h"

#include <stddef.h>
#include <stdio.h>
#include <time.h>

#define ENCODE_SLICE_OBJECTS 64 /* between looks at the clock */
#define FINISH_SLICE_PARTS   256
#define PREFETCH_DISTANCE    8
#define RETRY_MS             1000
#define RETRY_MS_MAX         16000 /* while each try stops the readers for a moment */
#define SYNC_JOURNAL_BYTES   ((uint64_t)16 << 20) /* sync a cut that can release so much journal */
#define WRITTEN_POLL_US      50

enum cut_phase { CUT_IDLE, CUT_ENCODING, CUT_RESOLVING, CUT_WRITING, CUT_RETRYING, CUT_FINISHING };

/* A database's part of the running cut. */
struct cut_db {
    struct db *db;
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
    struct parts_taken *taken; /* owned list: parts of large collections */
    size_t taken_count;
    size_t orphan_bytes;   /* of parts that only this cut still needs */
    struct buf encoded;    /* scratch */
    struct buf index_puts; /* expires keys of the next cut: length u32, bytes */
    struct buf index_deletes;
    struct meta_queue meta; /* of the next cut */
    uint32_t next_db_id;
    uint64_t next_object_id;
    bool requested;
    bool want_sync, want_flush;
    bool job_unordered; /* options.unordered as of the job's start, for its thread */
    int64_t started_us;
    int64_t tick_ms, last_start_ms; /* the caller's monotonic clock */
    int64_t retry_at_us;
    /* result of the flusher's job */
    enum status status;
    struct err err;
    uint32_t reopen_failures; /* in a row, for which RocksDB was closed */
    int64_t write_us;
    bool encoded_parts; /* `taken` is in the batch */
    bool written;       /* in RocksDB; a flush may still be to be done */
    size_t batch_bytes; /* as the main thread may know it while the flusher works */
    size_t list_bytes;  /* of the parts' lists */
    struct cut_snapshots snapshots;
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
    CHECK(cut->phase != CUT_WRITING);
    cut_snapshots_give_up(&cut->snapshots);
    for (size_t i = 0; i < cut->chunk_count; i++)
        string_chunk_release(cut->chunks[i].chunk);
    while (cut->taken != NULL) {
        struct parts_taken *taken = cut->taken;
        cut->taken = taken->next;
        if (taken->parts != NULL)
            taken->parts->taken = NULL;
        object_free_fn *free_fn = taken->free_fn;
        void *value = taken->value;
        parts_taken_destroy(taken); /* looks at parts that the value owns */
        if (value != NULL)
            free_fn(value);
    }
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
    meta_queue_deinit(&cut->meta);
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

bool cut_writing(const struct cut *cut)
{
    return cut->phase == CUT_WRITING;
}

static size_t batch_bytes(const struct cut *cut)
{
    switch (cut->phase) {
    case CUT_IDLE:
    case CUT_FINISHING:
        return 0;
    case CUT_ENCODING:
    case CUT_RESOLVING:
        return cold_batch_bytes(cut->batch) + cut->chunk_bytes;
    case CUT_WRITING:
    case CUT_RETRYING:
        return cut->batch_bytes; /* the batch is the flusher's */
    }
    return 0;
}

size_t cut_bytes(const struct cut *cut)
{
    return batch_bytes(cut) + cut->list_bytes + cut->orphan_bytes +
           cut->taken_count * sizeof(struct parts_taken);
}

void cut_want_snapshot(struct cut *cut, struct cut_snapshot_request *request)
{
    cut_snapshots_want(&cut->snapshots, request);
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

/* A small one whole; of a large one the header, and its dirty parts are taken. */
static void put_collection(struct cut *cut, struct object *o, struct bytes record_key)
{
    const struct value_type *type = object_value_type((enum object_type)o->type);
    struct record_header header = {
        .has_expire = object_has_expire(o), .large = o->large, .expire_at_ms = o->expire_at_ms};
    header.encoding = type->encode(o, &cut->encoded);
    uint8_t head[RECORD_HEADER_BYTES_MAX];
    size_t head_len = record_header_encode(&header, head);
    cold_batch_put_parts(cut->batch, loader_family((enum object_type)o->type), record_key,
                         bytes_make(head, head_len), buf_bytes(&cut->encoded));
    if (!o->large)
        return;
    struct parts_taken *taken = parts_take(type->parts(o), (enum object_type)o->type,
                                           cut->options.ks->hash_seed, &cut->orphan_bytes);
    if (taken == NULL)
        return;
    taken->next = cut->taken;
    cut->taken = taken;
    cut->taken_count++;
    cut->chunk_bytes += taken->bytes; /* the flusher adds them to the batch */
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
    buf_clear(&cut->encoded);
    if (o->type != OBJECT_STRING) {
        put_collection(cut, o, record_key);
        return;
    }
    string_encode(o, &cut->encoded);
    cold_batch_put(cut->batch, family, record_key, buf_bytes(&cut->encoded));
    if (string_chunked_take_dirty(o, take_chunk, cut) != 0)
        string_chunked(o)->taken_epoch = cut->epoch;
}

static void count_disk(struct db *db, enum object_type type, bool has_expire, int by)
{
    if (type == OBJECT_NONE)
        return;
    db->disk[type] += (uint64_t)(int64_t)by;
    if (has_expire)
        db->disk_expires += (uint64_t)(int64_t)by;
}

static void put_deadline(struct cut *cut, int64_t at_ms, struct bytes record_key)
{
    uint8_t *expires = mem_alloc(RECORD_EXPIRES_PREFIX_BYTES + record_key.len);
    size_t len = record_expires_key_encode(at_ms, record_key, expires);
    cold_batch_put(cut->batch, FAMILY_EXPIRES, bytes_make(expires, len), bytes_make("", 0));
    mem_free(expires);
}

/* Entries in the expires family for what it does not cover yet. */
static void put_deadlines(struct cut *cut, struct object *o, struct bytes record_key)
{
    if (object_has_expire(o) && o->expire_new)
        put_deadline(cut, o->expire_at_ms, record_key);
    o->expire_new = 0;
    const struct value_type *type = object_value_type((enum object_type)o->type);
    if (type->next_deadline == NULL || o->raw)
        return;
    int64_t deadline_ms = type->next_deadline(o);
    if (deadline_ms != OBJECT_NO_EXPIRE)
        put_deadline(cut, deadline_ms, record_key);
    o->raw = 1;
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
        put_deadlines(cut, o, record_key);
        count_disk(db, o->type, object_has_expire(o), 1);
        o->state = OBJECT_CLEAN;
    } else {
        o->state = OBJECT_LEAVING;
        object_list_push(&part->leaving, o);
    }
    if (old_type != OBJECT_NONE && old_type != o->type)
        cold_batch_delete(cut->batch, loader_family(old_type), record_key);
    db->on_disk = true;
    o->moved = 0;
    o->disk_type = o->type;
    o->disk_expire = object_is_live(o) && object_has_expire(o);
    o->cut_epoch = cut->epoch;
    cut->stats.objects++;
    if (place != few)
        mem_free(place);
}

static struct cut_db *part_of(struct cut *cut, const struct db *db)
{
    CHECK(db->cut_part < cut->part_count);
    struct cut_db *part = &cut->parts[db->cut_part];
    CHECK(part->db == db);
    return part;
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

void cut_resolved(struct cut *cut, struct db *db, const struct object *o, enum object_type type,
                  bool has_expire)
{
    CHECK(cut->phase == CUT_ENCODING || cut->phase == CUT_RESOLVING);
    CHECK(o->cut_epoch == cut->epoch);
    CHECK(cut->waiting > 0);
    cut->waiting--;
    count_disk(db, type, has_expire, -1);
    if (type == OBJECT_NONE || type == o->disk_type)
        return;
    uint8_t *place = mem_alloc(record_key_bytes(o->key_len));
    size_t len = record_key_encode(db->id, o->position, object_key(o), place);
    cold_batch_delete(cut->batch, loader_family(type), bytes_make(place, len));
    mem_free(place);
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

/* ---- Meta records -----------------------------------------------------------------------------
 */

void cut_meta_put(struct cut *cut, struct bytes key, struct bytes value)
{
    meta_queue_put(&cut->meta, key, value);
}

void cut_meta_delete(struct cut *cut, struct bytes key)
{
    meta_queue_delete(&cut->meta, key);
}

/* ---- What the reaper is to drop. --------------------------------------------------------------
 */

static void put_reap(struct cut *cut, enum meta_reap_kind kind, uint8_t type, uint64_t id)
{
    uint8_t key[META_REAP_KEY_BYTES];
    meta_reap_key(kind, type, id, key);
    cold_batch_put(cut->batch, FAMILY_META, bytes_make(key, sizeof(key)), bytes_make("", 0));
}

void cut_retire_object(struct cut *cut, enum object_type type, uint64_t object_id)
{
    CHECK(cut->phase == CUT_ENCODING || cut->phase == CUT_RESOLVING);
    put_reap(cut, META_REAP_OBJECT, (uint8_t)type, object_id);
}

static void put_retired(struct cut *cut)
{
    struct keyspace *ks = cut->options.ks;
    for (size_t i = 0; i < ks->retired_count; i++)
        put_reap(cut, META_REAP_OBJECT, ks->retired[i].type, ks->retired[i].object_id);
    for (size_t i = 0; i < ks->retired_db_count; i++)
        put_reap(cut, META_REAP_DB, 0, ks->retired_dbs[i]);
    for (size_t i = 0; i < ks->moved_count; i++)
        cold_batch_delete(cut->batch, loader_family(ks->moved[i].type),
                          buf_bytes(&ks->moved[i].old_record));
    ks->retired_count = 0;
    ks->retired_db_count = 0;
    ks_forget_moved(ks);
}

/* ---- Phases -----------------------------------------------------------------------------------
 */

static void start(struct cut *cut)
{
    struct keyspace *ks = cut->options.ks;
    CHECK(cut->phase == CUT_IDLE);
    cut->phase = CUT_ENCODING;
    cut->offset = journal_mark(cut->options.journal);
    if (cut->snapshots.wanted != NULL) /* a replica may read on from here */
        journal_set_db(cut->options.journal, JOURNAL_DB_UNKNOWN);
    cut->epoch = ks->applied_epoch + 1;
    ks->running_epoch = cut->epoch;
    cut->started_us = now_us();
    cut->last_start_ms = cut->tick_ms;
    cut->requested = false;
    cut->written = false;
    cut->encoded_parts = false;
    cut->waiting = 0;
    cut->list_bytes = 0;
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
        part->db->cut_part = i;
        part->pending = part->db->dirty;
        part->next = 0;
        part->leaving.count = 0;
        part->leaving.live = 0;
        part->db->dirty = emptied;
        cut->list_bytes += part->pending.capacity * sizeof(*part->pending.items);
    }
    cut->part_next = 0;
    ks->dirty_bytes = 0;
    ks->dirty_state = ks->dirty_state == OBJECT_DIRTY_A ? OBJECT_DIRTY_B : OBJECT_DIRTY_A;
    cut->next_db_id = ks->next_db_id;
    cut->next_object_id = ks->next_object_id;
    ks->dbs_changed = false;
    cut_snapshots_begin(&cut->snapshots);
    put_retired(cut); /* before any object: a key may have been written again since */
    put_index(cut);
    meta_queue_drain(&cut->meta, cut->batch);
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

/* Log before data: waits until the journal is durable up to the cut's offset; `unordered`, until
 * the system has it, so that it survives the end of the process. */
static enum status wait_for_journal(struct cut *cut)
{
    struct journal *journal = cut->options.journal;
    if (!cut->job_unordered)
        return journal_wait_durable(journal, cut->offset, &cut->err);
    const struct timespec pause = {.tv_nsec = WRITTEN_POLL_US * 1000};
    while (journal_written(journal) < cut->offset) {
        if (journal_failed(journal, &cut->err))
            return cut->err.code;
        (void)nanosleep(&pause, NULL);
    }
    return ST_OK;
}

static void say(const struct cut *cut, int level, const char *what, const char *why)
{
    char text[ERR_MESSAGE_BYTES_MAX + 128];
    if (cut->options.log == NULL)
        return;
    (void)snprintf(text, sizeof(text), "%s%s", what, why);
    cut->options.log(cut->options.log_arg, level, text);
}

/* RocksDB may come back without what was written to it and not synced. Then clean and demoted
 * objects would not be what they were: only a new start, with the journal, makes that good. */
static enum status reopen(struct cut *cut)
{
    struct meta_state state = {0};
    enum status st = cold_reopen(cut->options.cold, &cut->err);
    cut->reopen_failures = cold_closed(cut->options.cold) ? cut->reopen_failures + 1 : 0;
    if (st != ST_OK)
        return st;
    st = meta_read_state(cut->options.cold, &state, &cut->err);
    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    if (state.cut_offset < cut->applied)
        say(cut, LOG_WARNING, "Fatal: after its failure RocksDB has come back without the last ",
            "cut. Nothing is lost: start again, the journal has it.");
    CHECK(state.cut_offset >= cut->applied);
    meta_state_deinit(&state);
    cut->written = false;
    say(cut, LOG_NOTICE, "RocksDB was closed and opened again.", "");
    return ST_OK;
}

/* The flusher's part. */
static void run_write(struct job *job)
{
    struct cut *cut = (struct cut *)(void *)job;
    cut->status = wait_for_journal(cut);
    if (cut->status != ST_OK)
        return;
    for (size_t i = 0; i < cut->chunk_count; i++) {
        uint8_t key[RECORD_CHUNK_KEY_BYTES];
        record_chunk_key_encode(cut->chunks[i].object_id, cut->chunks[i].index, key);
        cold_batch_put(cut->batch, FAMILY_STRING, bytes_make(key, sizeof(key)),
                       string_chunk_element(cut->chunks[i].chunk));
        string_chunk_release(cut->chunks[i].chunk);
    }
    cut->chunk_count = 0;
    for (const struct parts_taken *taken = cut->taken; taken != NULL && !cut->encoded_parts;
         taken = taken->next)
        parts_encode(taken, cut->batch);
    cut->encoded_parts = true;
    int64_t before_us = now_us();
    if (cold_failed(cut->options.cold, NULL))
        cut->status = reopen(cut);
    if (cut->status == ST_OK && !cut->written) {
        cut->status = cold_write(cut->options.cold, cut->batch, cut->want_sync, &cut->err);
        cut->written = cut->status == ST_OK;
    }
    if (cut->status == ST_OK && cut->want_flush)
        cut->status = cold_flush(cut->options.cold, &cut->err);
    cut->write_us = now_us() - before_us;
    if (cut->status != ST_OK)
        return;
    cut_snapshots_take(&cut->snapshots, cut->options.cold);
    cold_batch_clear(cut->batch);
}

/* Logs the first of a row of failures. */
static void note_failure(struct cut *cut, const struct err *err)
{
    cut->stats.failures++;
    cut->stats.error = *err;
    if (!cut->stats.failed)
        say(cut, LOG_WARNING,
            "Bringing data to RocksDB failed, will be tried again until it succeeds: ",
            err->message);
    cut->stats.failed = true;
}

static int64_t retry_delay_ms(const struct cut *cut)
{
    uint32_t doublings = cut->reopen_failures < 4 ? cut->reopen_failures : 4;
    int64_t delay_ms = (int64_t)RETRY_MS << doublings;
    return delay_ms < RETRY_MS_MAX ? delay_ms : RETRY_MS_MAX;
}

static void done_write(struct job *job)
{
    struct cut *cut = (struct cut *)(void *)job;
    struct keyspace *ks = cut->options.ks;
    CHECK(cut->phase == CUT_WRITING);
    if (cut->status != ST_OK) {
        note_failure(cut, &cut->err);
        cut_snapshots_end(&cut->snapshots, cut->offset, &cut->err);
        cut->phase = CUT_RETRYING;
        cut->retry_at_us = now_us() + retry_delay_ms(cut) * 1000;
        return;
    }
    if (cut->stats.failed)
        say(cut, LOG_NOTICE, "Bringing data to RocksDB works again.", "");
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
    cut_snapshots_end(&cut->snapshots, cut->offset, NULL);
}

static void submit(struct cut *cut)
{
    cut->phase = CUT_WRITING;
    cut->job_unordered = cut->options.unordered;
    cut->job.run = run_write;
    cut->job.done = done_write;
    executor_submit(cut->options.flusher, &cut->job);
}

/* Goes on with a collection whose parts have been applied; true when done with it. */
static bool finish_parts(struct cut *cut, struct parts_taken *taken)
{
    struct keyspace *ks = cut->options.ks;
    struct parts *parts = taken->parts;
    struct object *o = parts == NULL || parts->db->parked ? NULL : parts->owner;
    size_t before = o == NULL ? 0 : object_value_bytes(o);
    if (parts != NULL)
        parts->applied_epoch = ks->applied_epoch;
    bool more = parts_finish(taken, o, FINISH_SLICE_PARTS);
    if (o != NULL) {
        size_t after = object_value_bytes(o);
        parts->db->object_bytes -= before - after;
        ks->object_bytes -= before - after;
    }
    return !more;
}

/* Lets applied tombstones go, of parts and of keys; true when done. */
static bool finish_slice(struct cut *cut, int64_t deadline_us)
{
    struct keyspace *ks = cut->options.ks;
    while (cut->taken != NULL) {
        struct parts_taken *taken = cut->taken;
        if (now_us() >= deadline_us)
            return false;
        if (!finish_parts(cut, taken))
            continue;
        cut->taken = taken->next;
        cut->taken_count--;
        if (taken->value != NULL && ks->reclaim_value != NULL)
            ks->reclaim_value(ks->reclaim_arg, taken->free_fn, taken->value);
        else if (taken->value != NULL)
            taken->free_fn(taken->value);
        parts_taken_destroy(taken);
    }
    cut->orphan_bytes = 0;
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
    for (uint32_t i = 0; i < cut->part_count; i++) {
        object_list_empty(&cut->parts[i].leaving);
        object_list_empty(&cut->parts[i].pending);
    }
    cut->list_bytes = 0;
    ks_release_parked(ks);
    return true;
}

/* Whether a cut would change anything. */
static bool has_work(const struct cut *cut)
{
    const struct keyspace *ks = cut->options.ks;
    return journal_end(cut->options.journal) != cut->applied || ks->dirty_bytes != 0 ||
           cut->index_deletes.len != 0 || cut->index_puts.len != 0 || cut->meta.entries.len != 0 ||
           ks->dbs_changed || cut->snapshots.wanted != NULL;
}

static bool is_due(const struct cut *cut)
{
    if (!has_work(cut))
        return false;
    uint64_t behind = journal_end(cut->options.journal) - cut->applied;
    return cut->requested || cut->snapshots.wanted != NULL ||
           cut->options.ks->dirty_bytes >= cut->options.dirty_bytes_max ||
           behind >= cut->options.journal_bytes_max ||
           cut->tick_ms - cut->last_start_ms >= cut->options.interval_ms;
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
        if (cut->waiting != 0) {
            struct err err;
            if (!cut->stats.failed && loader_resolve_status(cut->options.ks->loader, &err) != ST_OK)
                note_failure(cut, &err);
            return false;
        }
        put_state(cut);
        cut->batch_bytes = cold_batch_bytes(cut->batch) + cut->chunk_bytes;
        cut->want_sync = cut->want_flush || cut->offset - cut->synced >= SYNC_JOURNAL_BYTES;
        submit(cut);
        return false;
    case CUT_RETRYING:
        if (now_us() < cut->retry_at_us)
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

bool cut_tick(struct cut *cut, int64_t mono_ms, int64_t budget_us)
{
    cut->tick_ms = mono_ms;
    if (cut->phase == CUT_IDLE) {
        if (!is_due(cut))
            return false;
        start(cut);
    }
    int64_t deadline_us = now_us() + budget_us;
    bool more = true;
    do {
        more = step(cut, deadline_us);
    } while (more && now_us() < deadline_us);
    return more;
}

/* Drives the running cut to its end, waiting for the threads. What has failed is tried once more;
 * if it fails again, says why and leaves it to cut_tick. */
static enum status drive(struct cut *cut, struct err *err)
{
    struct loader *loader = cut->options.ks->loader;
    cut->retry_at_us = 0;
    loader_retry_resolves(loader);
    while (cut->phase != CUT_IDLE) {
        if (step(cut, INT64_MAX) || cut->phase == CUT_IDLE)
            continue;
        completions_wait(cut->options.completions);
        (void)completions_drain(cut->options.completions);
        if (cut->phase == CUT_RETRYING) {
            if (err != NULL)
                *err = cut->err;
            return cut->status;
        }
        if (cut->phase == CUT_RESOLVING) {
            enum status st = loader_resolve_status(loader, err);
            if (st != ST_OK)
                return st;
        }
    }
    return ST_OK;
}

enum status cut_run(struct cut *cut, bool flush, struct err *err)
{
    enum status st = drive(cut, err);
    if (st != ST_OK || (!flush && !has_work(cut)))
        return st;
    start(cut);
    cut->want_flush = flush;
    st = drive(cut, err);
    cut->want_flush = false;
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
    out->batch_bytes = batch_bytes(cut);
}
