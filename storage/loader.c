/* See loader.h. A load is one struct from request to release; the pool's threads see only its
 * immutable request part and write only its result part, before it is handed back. */
#include "storage/loader.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/loader_internal.h"
#include "storage/object_value.h"
#include "storage/tier.h"

#include <inttypes.h>
#include <stddef.h>
#include <time.h>

#define QUEUED_LOADS_MAX      64 /* submitted at once, without waiting for the tick's end */
#define RESOLVE_BATCH_ENTRIES 128
#define RESOLVE_BATCH_BYTES   ((size_t)1 << 20) /* of keys */
#define RESOLVE_RETRY_US      1000000
#define RESOLVE_TRIES_DAMAGED 2  /* then an unreadable record that is overwritten is given up */
#define RESOLVE_TRIES_MAX     15 /* the same for errors that may pass */
#define LATENCY_SAMPLES_MAX   100000
#define CACHE_TRIAL_PERIOD    64 /* one inline cache read in so many while they seldom hit */

struct resolve_entry {
    uint32_t db_id;
    uint64_t position;
    uint32_t key_off, key_len; /* in `keys`: the record key */
    uint32_t tries;
    enum status status;
    enum object_type type;
    bool has_expire;
    bool large;
    uint64_t object_id;
    enum object_type doubtful_type; /* whose family could not be read; OBJECT_NONE: none */
    enum status doubt;
};

struct resolve_batch {
    struct job job;
    struct loader *loader;
    struct resolve_batch *next; /* of those that failed */
    uint32_t count;
    uint32_t families;
    struct err err; /* of the last entry that could not be read */
    struct buf keys;
    struct resolve_entry entries[RESOLVE_BATCH_ENTRIES];
};

int64_t loader_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

enum family loader_family(enum object_type type)
{
    switch (type) {
    case OBJECT_STRING:
        return FAMILY_STRING;
    case OBJECT_LIST:
        return FAMILY_LIST;
    case OBJECT_SET:
        return FAMILY_SET;
    case OBJECT_ZSET:
        return FAMILY_ZSET;
    case OBJECT_HASH:
        return FAMILY_HASH;
    case OBJECT_STREAM:
        return FAMILY_STREAM;
    case OBJECT_NONE:
    case OBJECT_TYPE_COUNT:
        break;
    }
    CHECK_UNREACHED("a type with a family");
    return FAMILY_META;
}

struct loader *loader_create(const struct loader_options *options)
{
    struct loader *loader = mem_calloc(1, sizeof(*loader));
    loader->ks = options->ks;
    loader->cold = options->cold;
    loader->executor = options->executor;
    loader->resolver = options->resolver;
    loader->cache_hit_ratio = 1024;
    loader->queued_last = &loader->queued_first;
    return loader;
}

void loader_set_inline(struct loader *loader, bool allowed)
{
    loader->never_inline = !allowed;
}

static void destroy_batch(struct resolve_batch *batch)
{
    buf_deinit(&batch->keys);
    mem_free(batch);
}

void loader_destroy(struct loader *loader)
{
    if (loader == NULL)
        return;
    CHECK(loader_idle(loader));
    if (loader->filling != NULL)
        destroy_batch(loader->filling);
    while (loader->failed != NULL) {
        struct resolve_batch *batch = loader->failed;
        loader->failed = batch->next;
        destroy_batch(batch);
    }
    mem_free(loader->ready);
    mem_free(loader);
}

/* ---- Latency ----------------------------------------------------------------------------------
 */

static void note_latency(struct loader *loader, int64_t us)
{
    uint64_t value = us < 0 ? 0 : (uint64_t)us;
    loader->latency_counts[latency_bucket(value)]++;
    loader->latency_all_counts[latency_bucket(value)]++;
    loader->latency_all_us += value;
    if (value > loader->stats.latency_us_max)
        loader->stats.latency_us_max = value;
    if (++loader->latency_total < LATENCY_SAMPLES_MAX)
        return;
    loader->latency_total = 0;
    loader->stats.latency_us_max = 0;
    for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) {
        loader->latency_counts[i] /= 2;
        loader->latency_total += loader->latency_counts[i];
    }
}

static uint64_t latency_percentile(const struct loader *loader, uint32_t per_mille)
{
    uint64_t wanted = loader->latency_total * per_mille / 1000;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += loader->latency_counts[i];
        if (seen > wanted)
            return latency_bucket_us(i);
    }
    return 0;
}

/* ---- The index of loads -----------------------------------------------------------------------
 */

static struct load **load_bucket(struct loader *loader, uint64_t position)
{
    return &loader->buckets[(position ^ position >> 39) % BUCKET_COUNT];
}

struct load *loader_first_load(const struct loader *loader, uint64_t position)
{
    return loader->load_count == 0 ? NULL
                                   : loader->buckets[(position ^ position >> 39) % BUCKET_COUNT];
}

/* The load of a key's record, pending or referred to; NULL if there is none. With `pieces_too` any
 * load of the key. */
static struct load *find_load(const struct loader *loader, uint32_t db_id, uint64_t position,
                              struct bytes key, bool pieces_too)
{
    for (struct load *load = loader_first_load(loader, position); load != NULL; load = load->next)
        if (load_is_of(load, db_id, position, key) && (pieces_too || !load_is_pieces(load)))
            return load;
    return NULL;
}

static void destroy_load(struct load *load)
{
    CHECK(load->refs == 0);
    struct load **link = load_bucket(load->loader, load->position);
    while (*link != load)
        link = &(*link)->next;
    *link = load->next;
    load->loader->load_count--;
    if (load->parts != NULL)
        loader_free_part_load(load->parts);
    loader_free_chunk_results(load);
    buf_deinit(&load->value);
    mem_free(load->waiters);
    mem_free(load);
}

static void unref_load(struct load *load)
{
    CHECK(load->refs > 0);
    load->refs--;
    if (load->refs == 0)
        destroy_load(load);
}

void loader_wait_for(struct load_wait *wait, struct load *load)
{
    for (uint32_t i = 0; i < wait->load_count; i++)
        if (wait->loads[i] == load)
            return;
    if (wait->load_count == wait->load_capacity) {
        wait->load_capacity = wait->load_capacity == 0 ? 4 : wait->load_capacity * 2;
        wait->loads = mem_realloc(wait->loads, wait->load_capacity * sizeof(struct load *));
    }
    wait->loads[wait->load_count++] = load;
    load->bulk = load->bulk || wait->load_count > BULK_LOADS;
    load->refs++;
    if (load->state != LOAD_PENDING)
        return;
    if (load->waiter_count == load->waiter_capacity) {
        load->waiter_capacity = load->waiter_capacity == 0 ? 2 : load->waiter_capacity * 2;
        load->waiters = mem_realloc(load->waiters, load->waiter_capacity * sizeof(*load->waiters));
    }
    load->waiters[load->waiter_count++] = wait;
    wait->outstanding++;
}

void load_wait_release(struct loader *loader, struct load_wait *wait)
{
    for (uint32_t i = 0; i < wait->load_count; i++) {
        struct load *load = wait->loads[i];
        for (uint32_t w = 0; w < load->waiter_count; w++) {
            if (load->waiters[w] == wait) {
                load->waiters[w] = load->waiters[--load->waiter_count];
                break;
            }
        }
        unref_load(load);
    }
    for (size_t i = 0; i < loader->ready_count; i++)
        if (loader->ready[i] == wait)
            loader->ready[i] = NULL;
    mem_free(wait->loads);
    wait->loads = NULL;
    wait->load_count = 0;
    wait->load_capacity = 0;
    wait->outstanding = 0;
    wait->failed = false;
}

static void push_ready(struct loader *loader, struct load_wait *wait)
{
    if (loader->ready_count == loader->ready_capacity) {
        loader->ready_capacity = loader->ready_capacity == 0 ? 64 : loader->ready_capacity * 2;
        loader->ready = mem_realloc(loader->ready, loader->ready_capacity * sizeof(*loader->ready));
    }
    loader->ready[loader->ready_count++] = wait;
}

/* Tells the waiters of a load that has come back. A callback may release any wait, so all of them
 * are noted first and looked up one by one. */
static void wake_waiters(struct load *load)
{
    struct loader *loader = load->loader;
    size_t first = loader->ready_count;
    for (uint32_t i = 0; i < load->waiter_count; i++) {
        struct load_wait *wait = load->waiters[i];
        if (load->state == LOAD_FAILED && !wait->failed) {
            wait->failed = true;
            wait->err = load->err;
        }
        CHECK(wait->outstanding > 0);
        if (--wait->outstanding == 0)
            push_ready(loader, wait);
    }
    load->waiter_count = 0;
    unref_load(load); /* the pool's own reference; waiters hold theirs */
    for (size_t i = first; i < loader->ready_count; i++) {
        struct load_wait *wait = loader->ready[i];
        loader->ready[i] = NULL;
        if (wait != NULL)
            wait->ready(wait->arg);
    }
    if (first == 0)
        loader->ready_count = 0;
}

void loader_finish_load(struct load *load)
{
    note_latency(load->loader, loader_now_us() - load->started_us);
    load->loader->stats.pending--;
    if (load->state == LOAD_FAILED)
        load->loader->stats.errors++;
    wake_waiters(load);
}

static void submit_loads(struct loader *loader)
{
    struct job *first = loader->queued_first;
    size_t count = loader->queued_count;
    loader->queued_first = NULL;
    loader->queued_last = &loader->queued_first;
    loader->queued_count = 0;
    if (count != 0)
        executor_submit_list(loader->executor, first, count);
}

void loader_start_load(struct loader *loader, struct load *load)
{
    load->started_us = loader_now_us();
    loader->stats.pending++;
    load->job.next = NULL;
    *loader->queued_last = &load->job;
    loader->queued_last = &load->job.next;
    if (++loader->queued_count >= QUEUED_LOADS_MAX)
        submit_loads(loader);
}

/* ---- Records ----------------------------------------------------------------------------------
 */

/* Which types' families may hold the key: those with cold keys whose filters do not deny it. */
static uint32_t probe_families(const struct loader *loader, const struct db *db,
                               struct bytes record_key)
{
    uint32_t families = 0;
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        if (db->cold[type] != 0 &&
            cold_probe(loader->cold, loader_family(type), record_key) == COLD_MAYBE)
            families |= (uint32_t)1 << type;
    return families;
}

/* Reads the record from the first family of the set that has it. Any thread. */
static enum status read_record(struct cold *cold, uint32_t families, struct bytes record_key,
                               struct buf *value, enum object_type *type_out, struct err *err)
{
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++) {
        if ((families >> type & 1) == 0)
            continue;
        enum status st = cold_get(cold, loader_family(type), record_key, value, err);
        if (st == ST_NOT_FOUND)
            continue;
        *type_out = type;
        return st;
    }
    return ST_NOT_FOUND;
}

static void run_record_load(struct job *job)
{
    struct load *load = (struct load *)(void *)job;
    load->status = read_record(load->loader->cold, load->families, load->record_key, &load->value,
                               &load->type, &load->err);
}

static void done_record_load(struct job *job)
{
    struct load *load = (struct load *)(void *)job;
    struct loader *loader = load->loader;
    struct db *db = ks_db_by_id(loader->ks, load->db_id);
    load->state = LOAD_ABSENT;
    if (db == NULL || table_find(db->table, load->position, load->key) != NULL) {
        loader->stats.discarded++;
        load->state = LOAD_PRESENT;
    } else if (load->overtaken) {
        loader->stats.discarded++;
    } else if (load->status == ST_OK) {
        struct object *o = NULL;
        load->status = ks_install(loader->ks, db, load->type, load->position, load->key,
                                  buf_bytes(&load->value), &o, &load->err);
        load->state = load->status == ST_OK ? LOAD_PRESENT : LOAD_FAILED;
    } else if (load->status == ST_NOT_FOUND) {
        loader->stats.absent++;
    } else {
        load->state = LOAD_FAILED;
    }
    buf_deinit(&load->value);
    loader_finish_load(load);
}

struct load *loader_create_load(struct loader *loader, const struct db *db, uint64_t position,
                                struct bytes key)
{
    size_t record_len = record_key_bytes(key.len);
    struct load *load = mem_alloc(sizeof(*load) + record_len);
    memset(load, 0, offsetof(struct load, chunks));
    memset(&load->status, 0, sizeof(*load) - offsetof(struct load, status));
    uint8_t *record_key = (uint8_t *)(load + 1);
    (void)record_key_encode(db->id, position, key, record_key);
    load->loader = loader;
    load->db_id = db->id;
    load->position = position;
    load->record_key = bytes_make(record_key, record_len);
    load->key = bytes_make(record_key + record_len - key.len, key.len);
    load->refs = 1;
    struct load **bucket = load_bucket(loader, position);
    load->next = *bucket;
    *bucket = load;
    loader->load_count++;
    return load;
}

bool loader_cache_pays(struct loader *loader)
{
    if (loader->never_inline)
        return false;
    return loader->cache_hit_ratio >= 512 || ++loader->cache_trial % CACHE_TRIAL_PERIOD == 0;
}

void loader_note_cached(struct loader *loader, bool hit)
{
    loader->cache_hit_ratio -= loader->cache_hit_ratio / 64;
    if (hit)
        loader->cache_hit_ratio += 16;
}

/* Tries RocksDB's cache on this thread, while that often succeeds. */
static bool try_cached(struct loader *loader, struct db *db, uint32_t families, uint64_t position,
                       struct bytes key, struct bytes record_key)
{
    if ((families & (families - 1)) != 0)
        return false; /* several candidates: a job for the pool */
    if (!loader_cache_pays(loader))
        return false;
    enum object_type type = (enum object_type)__builtin_ctz(families);
    struct buf value = {0};
    enum status st = cold_get_cached(loader->cold, loader_family(type), record_key, &value, NULL);
    bool hit = st == ST_OK;
    loader_note_cached(loader, hit);
    if (hit) {
        struct object *o = NULL;
        hit = ks_install(loader->ks, db, type, position, key, buf_bytes(&value), &o, NULL) == ST_OK;
        loader->stats.inline_hits += hit;
    }
    buf_deinit(&value);
    return hit;
}

enum loader_answer loader_want_record(struct loader *loader, struct load_wait *wait, struct db *db,
                                      uint64_t position, struct bytes key)
{
    if (ks_is_absent(loader->ks, db, position)) {
        loader->stats.filter_negatives += db->cold_count != 0;
        return LOADER_ABSENT;
    }
    struct load *load = find_load(loader, db->id, position, key, false);
    if (load != NULL && load->state == LOAD_ABSENT)
        return LOADER_ABSENT;
    if (wait == NULL)
        return LOADER_STARTED;
    if (load != NULL && load->state != LOAD_PRESENT) {
        loader_wait_for(wait, load);
        loader->stats.joined++;
        if (load->state != LOAD_FAILED)
            return LOADER_STARTED;
        wait->failed = true;
        wait->err = load->err;
        return LOADER_FAILED;
    }
    CHECK(load == NULL); /* present ones are in the table */

    uint8_t few[256];
    size_t record_len = record_key_bytes(key.len);
    uint8_t *encoded = record_len <= sizeof(few) ? few : mem_alloc(record_len);
    struct bytes record_key =
        bytes_make(encoded, record_key_encode(db->id, position, key, encoded));
    uint32_t families = probe_families(loader, db, record_key);
    enum loader_answer answer = LOADER_STARTED;
    if (families == 0) {
        loader->stats.filter_negatives++;
        answer = LOADER_ABSENT;
    } else if (try_cached(loader, db, families, position, key, record_key)) {
        answer = LOADER_LOADED;
    }
    if (encoded != few)
        mem_free(encoded);
    if (answer != LOADER_STARTED)
        return answer;

    load = loader_create_load(loader, db, position, key);
    load->families = families;
    load->job.run = run_record_load;
    load->job.done = done_record_load;
    loader_wait_for(wait, load);
    loader->stats.loads++;
    loader_start_load(loader, load);
    return LOADER_STARTED;
}

enum status loader_read_now(struct loader *loader, struct db *db, uint64_t position,
                            struct bytes key, struct err *err)
{
    if (ks_is_absent(loader->ks, db, position))
        return ST_NOT_FOUND;
    uint8_t *encoded = mem_alloc(record_key_bytes(key.len));
    struct bytes record_key =
        bytes_make(encoded, record_key_encode(db->id, position, key, encoded));
    uint32_t families = probe_families(loader, db, record_key);
    enum status st = ST_NOT_FOUND;
    if (families != 0) {
        struct buf value = {0};
        enum object_type type = OBJECT_NONE;
        loader->stats.synchronous++;
        st = read_record(loader->cold, families, record_key, &value, &type, err);
        struct object *o = NULL;
        if (st == ST_OK)
            st = ks_install(loader->ks, db, type, position, key, buf_bytes(&value), &o, err);
        buf_deinit(&value);
    }
    mem_free(encoded);
    return st;
}

/* ---- Blind overwrites -------------------------------------------------------------------------
 */

/* Takes from a record what the keyspace must know of it. */
static void note_record(struct resolve_entry *entry, enum object_type type, struct bytes value,
                        struct err *err)
{
    struct record_header header;
    struct bytes payload;
    enum status st = record_header_decode(value, &header, &payload);
    if (st != ST_OK) {
        entry->doubtful_type = type;
        entry->doubt =
            err_set(err, st, "record of a %s key in database id %u is damaged (%zu bytes)",
                    object_type_name(type), entry->db_id, value.len);
        return;
    }
    entry->status = ST_OK;
    entry->type = type;
    entry->has_expire = header.has_expire;
    entry->large = header.large;
    if (header.large && payload.len >= RECORD_LARGE_ID_BYTES)
        entry->object_id = load_le64(payload.data);
}

/* Looks for the keys that no family has had so far. Together they cost half of what they do one by
 * one: RocksDB fetches the filters' cache lines of a batch ahead. */
static void resolve_family(struct resolve_batch *batch, enum object_type type)
{
    struct bytes keys[RESOLVE_BATCH_ENTRIES];
    struct cold_result results[RESOLVE_BATCH_ENTRIES];
    uint32_t places[RESOLVE_BATCH_ENTRIES];
    size_t count = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct resolve_entry *entry = &batch->entries[i];
        if (entry->status != ST_NOT_FOUND)
            continue;
        places[count] = i;
        keys[count++] = bytes_make(batch->keys.data + entry->key_off, entry->key_len);
    }
    if (count == 0)
        return;
    memset(results, 0, sizeof(results));
    (void)cold_get_batch(batch->loader->cold, loader_family(type), count, keys, results,
                         &batch->err);
    for (size_t i = 0; i < count; i++) {
        struct resolve_entry *entry = &batch->entries[places[i]];
        if (results[i].status == ST_OK) {
            note_record(entry, type, results[i].value, &batch->err);
        } else if (results[i].status != ST_NOT_FOUND) {
            entry->doubtful_type = type;
            entry->doubt = results[i].status;
        }
    }
    cold_results_release(results, count);
}

static void run_resolve(struct job *job)
{
    struct resolve_batch *batch = (struct resolve_batch *)(void *)job;
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->entries[i].status = ST_NOT_FOUND;
        batch->entries[i].doubtful_type = OBJECT_NONE;
    }
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        if ((batch->families >> type & 1) != 0)
            resolve_family(batch, type);
    for (uint32_t i = 0; i < batch->count; i++) {
        struct resolve_entry *entry = &batch->entries[i];
        if (entry->status == ST_OK)
            continue;
        entry->status = entry->doubtful_type == OBJECT_NONE ? ST_OK : entry->doubt;
        entry->type = OBJECT_NONE;
    }
}

/* What to do about an overwritten record that cannot be read. For some time it is tried again; but
 * it must not keep all others from the disk for ever. The filters say that it is there, and what it
 * held is overwritten anyway: it is taken for a record without deadline or elements. (If it had
 * elements, they stay on disk unused; if the filter erred, a count is off by one.) True: done. */
static bool give_up(struct loader *loader, struct resolve_entry *entry)
{
    if (cold_failed(loader->cold, NULL))
        return false; /* RocksDB may not even be there to say so */
    entry->tries++;
    if (entry->tries < (entry->status == ST_CORRUPT ? RESOLVE_TRIES_DAMAGED : RESOLVE_TRIES_MAX))
        return false;
    entry->status = ST_OK;
    entry->type = entry->doubtful_type;
    entry->has_expire = false;
    entry->large = false;
    loader->stats.assumed++;
    return true;
}

static void done_resolve(struct job *job)
{
    struct resolve_batch *batch = (struct resolve_batch *)(void *)job;
    struct loader *loader = batch->loader;
    uint32_t kept = 0;
    loader->resolve_jobs--;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct resolve_entry *entry = &batch->entries[i];
        struct db *db = ks_db_by_id_or_parked(loader->ks, entry->db_id);
        if (entry->status != ST_OK && db != NULL) {
            loader->stats.errors++;
            if (!give_up(loader, entry)) {
                batch->entries[kept++] = *entry;
                continue;
            }
        }
        loader->resolving--;
        if (db == NULL)
            continue; /* the database was emptied, and no cut needs it */
        struct bytes key = bytes_make(batch->keys.data + entry->key_off + RECORD_KEY_PREFIX_BYTES,
                                      entry->key_len - RECORD_KEY_PREFIX_BYTES);
        struct object *o = table_find(db->table, entry->position, key);
        CHECK(o != NULL); /* an unresolved object does not leave the table */
        loader->stats.resolved++;
        ks_resolve(loader->ks, db, o, entry->type, entry->has_expire, entry->large,
                   entry->object_id);
    }
    if (kept == 0) {
        destroy_batch(batch);
        return;
    }
    batch->count = kept;
    batch->next = loader->failed;
    loader->failed = batch;
    loader->retry_at_us = loader_now_us() + RESOLVE_RETRY_US;
}

static void submit_batch(struct loader *loader, struct resolve_batch *batch)
{
    loader->resolve_jobs++;
    executor_submit(loader->resolver, &batch->job);
}

void loader_retry_resolves(struct loader *loader)
{
    while (loader->failed != NULL) {
        struct resolve_batch *batch = loader->failed;
        loader->failed = batch->next;
        submit_batch(loader, batch);
    }
}

static void submit_resolves(struct loader *loader)
{
    if (loader->failed != NULL && loader_now_us() >= loader->retry_at_us)
        loader_retry_resolves(loader);
    struct resolve_batch *batch = loader->filling;
    if (batch == NULL)
        return;
    loader->filling = NULL;
    submit_batch(loader, batch);
}

enum status loader_resolve_status(const struct loader *loader, struct err *err)
{
    if (loader->failed == NULL)
        return ST_OK;
    if (err != NULL)
        *err = loader->failed->err;
    return loader->failed->err.code;
}

void loader_submit(struct loader *loader)
{
    submit_loads(loader);
    submit_resolves(loader);
}

void loader_resolve(struct loader *loader, struct db *db, struct object *o)
{
    struct resolve_batch *batch = loader->filling;
    if (batch == NULL) {
        batch = mem_alloc(sizeof(*batch));
        memset(batch, 0, offsetof(struct resolve_batch, entries));
        batch->loader = loader;
        batch->job.run = run_resolve;
        batch->job.done = done_resolve;
        loader->filling = batch;
    }
    struct resolve_entry *entry = &batch->entries[batch->count++];
    memset(entry, 0, sizeof(*entry));
    entry->db_id = db->id;
    entry->position = o->position;
    entry->key_off = (uint32_t)batch->keys.len;
    entry->key_len = (uint32_t)record_key_bytes(o->key_len);
    (void)record_key_encode(db->id, o->position, object_key(o),
                            buf_reserve(&batch->keys, entry->key_len));
    batch->keys.len += entry->key_len;
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        if (db->cold[type] != 0)
            batch->families |= (uint32_t)1 << type;
    o->unresolved = 1;
    db->unresolved++;
    loader->resolving++;
    if (batch->count == RESOLVE_BATCH_ENTRIES || batch->keys.len > RESOLVE_BATCH_BYTES) {
        loader->filling = NULL;
        submit_batch(loader, batch);
    }
}

size_t loader_resolving(const struct loader *loader)
{
    return loader->resolving;
}

void loader_forget(struct loader *loader, const struct db *db, const struct object *o)
{
    if (loader == NULL || loader->load_count == 0)
        return;
    struct load *load = find_load(loader, db->id, o->position, object_key(o), false);
    if (load == NULL)
        return;
    if (load->state == LOAD_PENDING)
        load->overtaken = true;
    else
        load->state = LOAD_ABSENT;
}

bool loader_is_loading(const struct loader *loader, const struct db *db, const struct object *o)
{
    return loader != NULL && loader->load_count != 0 &&
           find_load(loader, db->id, o->position, object_key(o), true) != NULL;
}

bool loader_holds_pieces(const struct loader *loader, const struct db *db, const struct object *o)
{
    const struct load *load = loader == NULL ? NULL : loader_first_load(loader, o->position);
    while (load != NULL && !(load->bulk && load_is_of(load, db->id, o->position, object_key(o))))
        load = load->next;
    return load != NULL;
}

bool loader_idle(const struct loader *loader)
{
    return loader->load_count == 0 && loader->resolve_jobs == 0;
}

void loader_read_latencies(const struct loader *loader, const uint64_t *limits_us, size_t count,
                           struct loader_latencies *out)
{
    CHECK(count <= LOADER_LATENCY_LIMITS_MAX);
    *out = (struct loader_latencies){.sum_us = loader->latency_all_us};
    for (uint32_t bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
        uint64_t loads = loader->latency_all_counts[bucket];
        out->count += loads;
        for (size_t i = 0; i < count; i++)
            if (latency_bucket_us(bucket) < limits_us[i])
                out->below[i] += loads;
    }
}

void loader_read_stats(const struct loader *loader, struct loader_stats *out)
{
    *out = loader->stats;
    out->latency_us_p50 = latency_percentile(loader, 500);
    out->latency_us_p99 = latency_percentile(loader, 990);
}
