#include "storage/expire.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/cut.h"
#include "storage/executor.h"
#include "storage/loader.h"
#include "storage/object_value.h"
#include "storage/tier.h"
#include "storage/value_type.h"

#include <time.h>

#define HINTS_MAX         ((size_t)16 << 20) /* beyond, the disk's index and lookups must do */
#define INDEX_BATCH       256                /* entries read at once */
#define INDEX_PERIOD_MS   100                /* between reads when nothing is due */
#define STALE_PERIOD_MS   10000              /* while no key on disk has an expiry: old entries */
#define UNREADABLE_MS     10000              /* until unreadable records are tried again */
#define SAME_POSITION_MAX 8

/* ---- Hints in RAM: a binary heap by time. -----------------------------------------------------
 */

struct hint {
    int64_t when_ms;
    uint64_t position;
    uint32_t db_id;
};

struct expire_hints {
    struct hint *items; /* owned */
    size_t count, capacity;
};

struct expire_hints *expire_hints_create(void)
{
    return mem_calloc(1, sizeof(struct expire_hints));
}

void expire_hints_destroy(struct expire_hints *hints)
{
    if (hints == NULL)
        return;
    mem_free(hints->items);
    mem_free(hints);
}

size_t expire_hints_bytes(const struct expire_hints *hints)
{
    return hints->capacity * sizeof(*hints->items);
}

static void hints_push(struct expire_hints *hints, struct hint hint)
{
    if (hints->count == hints->capacity) {
        hints->capacity = hints->capacity == 0 ? 256 : hints->capacity * 2;
        hints->items = mem_realloc(hints->items, hints->capacity * sizeof(*hints->items));
    }
    size_t at = hints->count++;
    while (at > 0 && hints->items[(at - 1) / 2].when_ms > hint.when_ms) {
        hints->items[at] = hints->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    hints->items[at] = hint;
}

static struct hint hints_pop(struct expire_hints *hints)
{
    struct hint top = hints->items[0];
    struct hint last = hints->items[--hints->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= hints->count)
            break;
        if (child + 1 < hints->count &&
            hints->items[child + 1].when_ms < hints->items[child].when_ms)
            child++;
        if (hints->items[child].when_ms >= last.when_ms)
            break;
        hints->items[at] = hints->items[child];
        at = child;
    }
    if (hints->count != 0)
        hints->items[at] = last;
    return top;
}

void expire_hint(struct keyspace *ks, struct db *db, const struct object *o, int64_t at_ms)
{
    if (at_ms > ks->now_ms + EXPIRE_HORIZON_MS || ks->hints->count >= HINTS_MAX)
        return;
    hints_push(ks->hints,
               (struct hint){.when_ms = at_ms, .position = o->position, .db_id = db->id});
}

/* ---- The active cycle. ------------------------------------------------------------------------
 */

struct index_entry {
    uint32_t off, len;  /* of the expires key in `keys` */
    enum status status; /* of reading the record */
    enum object_type type;
    uint32_t value_off, value_len; /* the record's value in `values`, if it is due */
    int64_t expire_at_ms;          /* of the record */
};

struct expire {
    struct job job; /* first */
    struct expire_options options;
    bool active;
    bool paused;
    bool busy; /* the job is under way */
    bool more; /* the last read found a full batch */
    int64_t last_read_ms;
    int64_t retry_at_ms; /* when to look at unreadable records again; 0: there was none */
    struct buf seek;     /* expires key where the next read begins */
    /* the job's request and result */
    int64_t read_now_ms;
    uint32_t epoch; /* applied when it was submitted */
    uint32_t families;
    struct buf keys, values;
    struct index_entry entries[INDEX_BATCH];
    uint32_t entry_count;
    bool failed;
    struct expire_stats stats;
};

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct expire *expire_create(const struct expire_options *options)
{
    struct expire *expire = mem_calloc(1, sizeof(*expire));
    expire->options = *options;
    expire->active = true;
    return expire;
}

void expire_destroy(struct expire *expire)
{
    if (expire == NULL)
        return;
    CHECK(!expire->busy);
    buf_deinit(&expire->seek);
    buf_deinit(&expire->keys);
    buf_deinit(&expire->values);
    mem_free(expire);
}

void expire_set_active(struct expire *expire, bool active)
{
    expire->active = active;
}

void expire_set_paused(struct expire *expire, bool paused)
{
    expire->paused = paused;
}

bool expire_busy(const struct expire *expire)
{
    return expire->busy;
}

static uint32_t db_number(const struct keyspace *ks, const struct db *db)
{
    for (uint32_t i = 0; i < ks->db_count; i++)
        if (ks->dbs[i] == db)
            return i;
    CHECK_UNREACHED("the database has a number");
    return 0;
}

/* False if what was due is still there. */
static bool expire_object(struct expire *expire, struct db *db, struct object *o, int64_t now_ms)
{
    struct keyspace *ks = expire->options.ks;
    int64_t due_ms = object_next_deadline(o);
    expire->stats.lateness_ms_last = now_ms - due_ms;
    if (expire->stats.lateness_ms_last > expire->stats.lateness_ms_max)
        expire->stats.lateness_ms_max = expire->stats.lateness_ms_last;
    struct buf key = {0}; /* the object may go before the callback is done with its key */
    buf_append_bytes(&key, object_key(o));
    struct keyref ref = {.key = buf_bytes(&key),
                         .db = db,
                         .position = o->position,
                         .object = o,
                         .generation = ks->generation};
    expire->options.expired(expire->options.arg, db_number(ks, db), &ref);
    const struct object *left = table_find(db->table, ref.position, ref.key);
    buf_deinit(&key);
    int64_t next_ms = left == NULL ? OBJECT_NO_EXPIRE : object_next_deadline(left);
    if (next_ms == OBJECT_NO_EXPIRE || next_ms > now_ms)
        return true;
    if (next_ms == due_ms)
        return false;
    expire_hint(ks, db, left, now_ms); /* there is more than was done at once */
    return true;
}

static void expire_hinted(struct expire *expire, const struct hint *hint, int64_t now_ms)
{
    struct keyspace *ks = expire->options.ks;
    struct db *db = ks_db_by_id(ks, hint->db_id);
    if (db == NULL)
        return;
    struct object *found[SAME_POSITION_MAX];
    size_t count = table_find_position(db->table, hint->position, found, SAME_POSITION_MAX);
    for (size_t i = 0; i < count; i++) {
        int64_t due_ms = object_next_deadline(found[i]);
        if (object_is_live(found[i]) && due_ms != OBJECT_NO_EXPIRE && due_ms <= now_ms) {
            if (expire_object(expire, db, found[i], now_ms))
                expire->stats.from_ram++;
            else
                hints_push(ks->hints, (struct hint){.when_ms = now_ms + INDEX_PERIOD_MS,
                                                    .position = hint->position,
                                                    .db_id = hint->db_id});
            return; /* the others have hints of their own */
        }
    }
}

/* ---- The index on disk. */

/* Which types have records on disk. */
static uint32_t families_on_disk(const struct keyspace *ks)
{
    uint32_t families = 0;
    for (uint32_t i = 0; i < ks->db_count; i++)
        for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
            if (ks->dbs[i]->disk[type] != 0)
                families |= (uint32_t)1 << type;
    return families;
}

typedef enum status get_fn(struct cold *cold, enum family family, struct bytes key,
                           struct buf *value, struct err *err);

/* Reads the record that an entry is about, by cold_get or cold_get_cached. */
static void read_record(struct expire *expire, struct index_entry *entry, get_fn *get,
                        struct bytes record_key, struct buf *value)
{
    entry->status = ST_NOT_FOUND;
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++) {
        if ((expire->families >> type & 1) == 0)
            continue;
        entry->status = get(expire->options.cold, loader_family(type), record_key, value, NULL);
        if (entry->status == ST_NOT_FOUND)
            continue;
        struct record_header header;
        struct bytes payload;
        if (entry->status == ST_OK)
            entry->status = record_header_decode(buf_bytes(value), &header, &payload);
        if (entry->status != ST_OK)
            return;
        entry->type = type;
        entry->expire_at_ms = object_record_deadline(type, &header, payload);
        if (entry->expire_at_ms != OBJECT_NO_EXPIRE && entry->expire_at_ms <= expire->read_now_ms) {
            entry->value_off = (uint32_t)expire->values.len;
            entry->value_len = (uint32_t)value->len;
            buf_append_bytes(&expire->values, buf_bytes(value));
        }
        return;
    }
}

static void read_entry(struct expire *expire, struct bytes expires_key, struct buf *value)
{
    struct index_entry *entry = &expire->entries[expire->entry_count++];
    *entry = (struct index_entry){.off = (uint32_t)expire->keys.len,
                                  .len = (uint32_t)expires_key.len,
                                  .status = ST_NOT_FOUND};
    buf_append_bytes(&expire->keys, expires_key);
    int64_t when_ms = 0;
    struct bytes record_key;
    if (record_expires_key_decode(expires_key, &when_ms, &record_key))
        read_record(expire, entry, cold_get, record_key, value);
}

static void run_read(struct job *job)
{
    struct expire *expire = (struct expire *)(void *)job;
    uint8_t upper[RECORD_EXPIRES_PREFIX_BYTES];
    size_t upper_len = record_expires_key_encode(expire->read_now_ms + 1, bytes_make("", 0), upper);
    struct cold_iter_options options = {.upper = bytes_make(upper, upper_len)};
    struct cold_iter *iter = cold_iter_create(expire->options.cold, FAMILY_EXPIRES, &options);
    struct buf value = {0};
    for (cold_iter_seek(iter, buf_bytes(&expire->seek));
         cold_iter_valid(iter) && expire->entry_count < INDEX_BATCH; cold_iter_next(iter))
        read_entry(expire, cold_iter_key(iter), &value);
    expire->failed = cold_iter_status(iter, NULL) != ST_OK;
    cold_iter_destroy(iter);
    buf_deinit(&value);
}

/* One record that cannot be read must not keep those behind it. */
static bool skip_unreadable(struct expire *expire)
{
    expire->stats.read_errors++;
    if (expire->retry_at_ms == 0)
        expire->retry_at_ms = expire->last_read_ms + UNREADABLE_MS;
    return true;
}

/* A cut was applied since the record was read, and may have changed it: reads it once more, from
 * RocksDB's cache, which has just been filled. Where one cut follows the other no read of the disk
 * would ever be in time. */
static void read_again(struct expire *expire, struct index_entry *entry, struct bytes record_key)
{
    struct buf value = {0};
    expire->families = families_on_disk(expire->options.ks);
    read_record(expire, entry, cold_get_cached, record_key, &value);
    buf_deinit(&value);
}

static void put_entry(struct expire *expire, int64_t at_ms, struct bytes record_key)
{
    uint8_t *entry = mem_alloc(RECORD_EXPIRES_PREFIX_BYTES + record_key.len);
    size_t len = record_expires_key_encode(at_ms, record_key, entry);
    cut_index_put(expire->options.cut, bytes_make(entry, len));
    mem_free(entry);
}

/* The entry of an object in RAM that is due later, or never, is about to go. What a hash knows of
 * its fields may have become exact since its record was written, without a change: the record,
 * which tells an earlier time, must go with the entry, or none would stand behind it. */
static void replace_record(struct expire *expire, const struct index_entry *entry, struct db *db,
                           struct object *o)
{
    struct keyspace *ks = expire->options.ks;
    int64_t deadline_ms = object_next_deadline(o);
    bool as_read = expire->epoch == ks->applied_epoch && o->cut_epoch <= ks->applied_epoch &&
                   entry->status == ST_OK;
    if (o->state != OBJECT_CLEAN || o->type != OBJECT_HASH ||
        (as_read && entry->expire_at_ms == deadline_ms))
        return;
    ks_change_begin(ks, db, o);
    ks_change_end(ks, db, o);
    ks_note_deadline(ks, db, o, deadline_ms);
}

/* What to do about one entry; false when it must be looked at again later. */
static bool handle_entry(struct expire *expire, struct index_entry *entry, int64_t now_ms)
{
    struct keyspace *ks = expire->options.ks;
    struct bytes expires_key = bytes_make(expire->keys.data + entry->off, entry->len);
    int64_t when_ms = 0;
    struct bytes record_key;
    uint32_t db_id = 0;
    uint64_t position = 0;
    struct bytes key;
    struct db *db = NULL;
    if (record_expires_key_decode(expires_key, &when_ms, &record_key) &&
        record_key_decode(record_key, &db_id, &position, &key))
        db = ks_db_by_id(ks, db_id);
    if (db == NULL) {
        expire->stats.stale++;
        cut_index_delete(expire->options.cut, expires_key);
        return true;
    }
    struct object *o = table_find(db->table, position, key);
    int64_t expire_at_ms = OBJECT_NO_EXPIRE;
    if (o != NULL) {
        if (object_is_live(o))
            expire_at_ms = object_next_deadline(o);
    } else {
        if (expire->epoch != ks->applied_epoch)
            read_again(expire, entry, record_key);
        if (entry->status == ST_AGAIN)
            return false;
        if (entry->status != ST_OK && entry->status != ST_NOT_FOUND)
            return skip_unreadable(expire);
        if (entry->status == ST_OK)
            expire_at_ms = entry->expire_at_ms;
        if (expire_at_ms > expire->read_now_ms && expire_at_ms <= now_ms)
            return false; /* was not due when it was read */
    }
    if (o != NULL && object_is_live(o) &&
        (expire_at_ms == OBJECT_NO_EXPIRE || expire_at_ms > now_ms))
        replace_record(expire, entry, db, o);
    if (expire_at_ms == OBJECT_NO_EXPIRE) {
        expire->stats.stale++;
    } else if (expire_at_ms > now_ms) {
        expire->stats.rearmed++;
        put_entry(expire, expire_at_ms, record_key);
    } else {
        if (o == NULL &&
            ks_install(ks, db, entry->type, position, key,
                       bytes_make(expire->values.data + entry->value_off, entry->value_len), &o,
                       NULL) != ST_OK)
            return skip_unreadable(expire);
        if (!expire_object(expire, db, o, now_ms))
            return false;
        expire->stats.from_disk++;
        o = table_find(db->table, position, key);
        int64_t left_ms = o == NULL ? OBJECT_NO_EXPIRE : object_next_deadline(o);
        if (left_ms != OBJECT_NO_EXPIRE) /* of fields, or of the key behind them */
            put_entry(expire, left_ms, record_key);
    }
    if (expire_at_ms != when_ms || expire_at_ms <= now_ms)
        cut_index_delete(expire->options.cut, expires_key);
    return true;
}

static void done_read(struct job *job)
{
    struct expire *expire = (struct expire *)(void *)job;
    expire->busy = false;
    expire->more = expire->entry_count == INDEX_BATCH && !expire->failed;
    if (expire->failed)
        expire->stats.read_errors++;
    for (uint32_t i = 0; i < expire->entry_count && expire->active && !expire->paused; i++) {
        struct index_entry *entry = &expire->entries[i];
        if (!handle_entry(expire, entry, expire->options.ks->now_ms)) {
            buf_clear(&expire->seek); /* begin with this one again */
            buf_append(&expire->seek, expire->keys.data + entry->off, entry->len);
            expire->more = false;
            break;
        }
        buf_clear(&expire->seek);
        buf_append(&expire->seek, expire->keys.data + entry->off, entry->len);
        buf_append_byte(&expire->seek, 0);
    }
    buf_clear(&expire->keys);
    buf_deinit(&expire->values);
}

static void start_read(struct expire *expire, int64_t now_ms)
{
    struct keyspace *ks = expire->options.ks;
    expire->busy = true;
    expire->last_read_ms = now_ms;
    expire->read_now_ms = now_ms;
    expire->epoch = ks->applied_epoch;
    expire->families = families_on_disk(ks);
    expire->entry_count = 0;
    expire->job.run = run_read;
    expire->job.done = done_read;
    executor_submit(expire->options.executor, &expire->job);
}

/* A cut may write entries that lie before the place that reading has reached, and skipped ones are
 * due some time: begin anew. */
static void choose_place(struct expire *expire, int64_t now_ms)
{
    bool retry = expire->retry_at_ms != 0 && now_ms >= expire->retry_at_ms;
    if (expire->epoch == expire->options.ks->applied_epoch && !retry)
        return;
    buf_clear(&expire->seek);
    expire->retry_at_ms = 0;
}

static bool read_is_due(const struct expire *expire, int64_t now_ms)
{
    int64_t elapsed_ms = now_ms - expire->last_read_ms;
    if (elapsed_ms < 0 || elapsed_ms >= STALE_PERIOD_MS) /* or the clock was set back */
        return true;
    const struct keyspace *ks = expire->options.ks;
    uint64_t candidates = 0; /* hashes may have fields with deadlines */
    for (uint32_t i = 0; i < ks->db_count && elapsed_ms >= INDEX_PERIOD_MS; i++)
        candidates += ks->dbs[i]->disk_expires + ks->dbs[i]->disk[OBJECT_HASH];
    return candidates != 0;
}

bool expire_tick(struct expire *expire, int64_t now_ms, int64_t budget_us)
{
    if (!expire->active || expire->paused)
        return false;
    struct expire_hints *hints = expire->options.ks->hints;
    int64_t begin_us = now_us();
    uint32_t count = 0;
    bool in_time = true;
    while (in_time && hints->count != 0 && hints->items[0].when_ms <= now_ms) {
        struct hint hint = hints_pop(hints);
        expire_hinted(expire, &hint, now_ms);
        in_time = ++count % 16 != 0 || now_us() < begin_us + budget_us;
    }
    if (count != 0)
        expire->stats.busy_us += (uint64_t)(now_us() - begin_us);
    if (!in_time) {
        expire->stats.cut_short++;
        return true;
    }
    if (!expire->busy && (expire->more || read_is_due(expire, now_ms))) {
        choose_place(expire, now_ms);
        start_read(expire, now_ms);
    }
    return false;
}

void expire_read_stats(const struct expire *expire, struct expire_stats *out)
{
    *out = expire->stats;
    out->hints = expire->options.ks->hints->count;
}
