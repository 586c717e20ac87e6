#include "storage/reap.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/executor.h"
#include "storage/loader.h"
#include "storage/meta.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define PERIOD_MS       3000 /* between jobs when nothing has happened */
#define SLICE_US        20000
#define ENTRIES_PER_JOB 32
/* Up to so many records go one by one: range deletions cost reads. */
#define SINGLE_DELETE_MAX 1000
#define FILE_BYTES_MIN    ((uint64_t)8 << 20) /* in files, for their space to be got back at once */

/* A range of a family that a job has dropped, with much of it in files. */
struct reap_range {
    enum family family;
    uint8_t prefix_len;
    uint8_t lower[RECORD_ELEMENT_PREFIX_BYTES];
    uint8_t upper[RECORD_ELEMENT_PREFIX_BYTES];
};

struct reap {
    struct job job; /* first */
    struct cold *cold;
    struct executor *flusher;
    bool busy;
    bool stopped;
    bool more; /* the last job did not get to the end */
    uint32_t epoch_seen;
    int64_t ran_at_ms; /* monotonic: when the last job was submitted */
    bool ever_ran;
    /* the job's: an emptied database that is being searched for large objects */
    struct buf next_note; /* where the next job begins; empty: at the start */
    struct buf resume;    /* of the first note: type u8, then the key to go on with; empty: none */
    struct reap_range ranges[ENTRIES_PER_JOB]; /* what finds no place waits for a compaction */
    uint32_t range_count;
    struct reap_stats work;
    atomic_uint holds; /* reap_hold_files; both threads */
    /* the main thread's */
    struct reap_stats stats;
};

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct reap *reap_create(struct cold *cold, struct executor *flusher)
{
    struct reap *reap = mem_calloc(1, sizeof(*reap));
    reap->cold = cold;
    reap->flusher = flusher;
    return reap;
}

void reap_destroy(struct reap *reap)
{
    if (reap == NULL)
        return;
    CHECK(!reap->busy);
    buf_deinit(&reap->next_note);
    buf_deinit(&reap->resume);
    mem_free(reap);
}

static void note_files(struct reap *reap, enum family family, struct bytes lower,
                       struct bytes upper)
{
    if (reap->range_count == ENTRIES_PER_JOB ||
        cold_file_bytes(reap->cold, family, lower, upper) < FILE_BYTES_MIN)
        return;
    struct reap_range *range = &reap->ranges[reap->range_count++];
    range->family = family;
    range->prefix_len = (uint8_t)lower.len;
    memcpy(range->lower, lower.data, lower.len);
    memcpy(range->upper, upper.data, upper.len);
}

/* Deletes a range of a family, between two prefixes: few records one by one, many as a range. */
static enum status drop_range(struct reap *reap, struct cold_batch *batch, enum family family,
                              struct bytes lower, struct bytes upper)
{
    struct cold_iter_options options = {.lower = lower, .upper = upper};
    struct cold_iter *iter = cold_iter_create(reap->cold, family, &options);
    size_t count = 0;
    for (cold_iter_seek(iter, lower); cold_iter_valid(iter) && count <= SINGLE_DELETE_MAX;
         cold_iter_next(iter))
        count++;
    if (count <= SINGLE_DELETE_MAX) {
        for (cold_iter_seek(iter, lower); cold_iter_valid(iter); cold_iter_next(iter))
            cold_batch_delete(batch, family, cold_iter_key(iter));
        reap->work.records += count;
    } else {
        cold_batch_delete_range(batch, family, lower, upper);
        note_files(reap, family, lower, upper);
        reap->work.ranges++;
    }
    enum status st = cold_iter_status(iter, NULL);
    cold_iter_destroy(iter);
    return st;
}

static enum status drop_object(struct reap *reap, struct cold_batch *batch, uint8_t type,
                               uint64_t object_id)
{
    uint8_t lower[RECORD_ELEMENT_PREFIX_BYTES];
    uint8_t upper[RECORD_ELEMENT_PREFIX_BYTES];
    record_element_prefix_encode(object_id, lower);
    record_element_prefix_encode(object_id + 1, upper);
    enum status st = drop_range(reap, batch, loader_family(type), bytes_make(lower, sizeof(lower)),
                                bytes_make(upper, sizeof(upper)));
    reap->work.objects++;
    return st;
}

/* Notes the large objects of an emptied database, some at a time. ST_AGAIN: not through. */
static enum status note_large_objects(struct reap *reap, struct cold_batch *batch, uint32_t db_id,
                                      int64_t deadline_us)
{
    uint8_t lower[RECORD_DB_ID_BYTES];
    uint8_t upper[RECORD_DB_ID_BYTES];
    record_db_prefix_encode(db_id, lower);
    record_db_prefix_encode(db_id + 1, upper);
    struct cold_iter_options options = {.lower = bytes_make(lower, sizeof(lower)),
                                        .upper = bytes_make(upper, sizeof(upper))};
    enum status st = ST_OK;
    uint32_t type = reap->resume.len != 0 ? reap->resume.data[0] : OBJECT_STRING;
    for (; type < OBJECT_TYPE_COUNT && st == ST_OK; type++) {
        struct cold_iter *iter = cold_iter_create(reap->cold, loader_family(type), &options);
        bool resumed = reap->resume.len > 1;
        cold_iter_seek(iter, resumed ? bytes_make(reap->resume.data + 1, reap->resume.len - 1)
                                     : options.lower);
        buf_clear(&reap->resume);
        for (uint32_t n = 1; cold_iter_valid(iter); cold_iter_next(iter), n++) {
            struct record_header header;
            struct bytes payload;
            if (record_header_decode(cold_iter_value(iter), &header, &payload) == ST_OK &&
                header.large && payload.len >= RECORD_LARGE_ID_BYTES) {
                uint8_t key[META_REAP_KEY_BYTES];
                uint64_t object_id = load_le64(payload.data);
                meta_reap_key(META_REAP_OBJECT, (uint8_t)type, object_id, key);
                cold_batch_put(batch, FAMILY_META, bytes_make(key, sizeof(key)), bytes_make("", 0));
                reap->more = true; /* in this job's order they come before where it is */
            }
            if (n % 256 == 0 && now_us() >= deadline_us) {
                buf_append_byte(&reap->resume, (uint8_t)type);
                buf_append_bytes(&reap->resume, cold_iter_key(iter));
                st = ST_AGAIN;
                break;
            }
        }
        if (st == ST_OK)
            st = cold_iter_status(iter, NULL);
        cold_iter_destroy(iter);
    }
    return st;
}

/* Once the job's batch is on stable storage, files that hold nothing but a dropped range go as a
 * whole. Not before: without the range's deletion, what they had deleted in older files would come
 * to light again. Those that have other keys, too, are merged with the deletion; so are all while
 * somebody holds them. */
static void drop_files(struct reap *reap)
{
    bool held = atomic_load(&reap->holds) != 0;
    for (uint32_t i = 0; i < reap->range_count; i++) {
        const struct reap_range *range = &reap->ranges[i];
        struct bytes lower = bytes_make(range->lower, range->prefix_len);
        struct bytes upper = bytes_make(range->upper, range->prefix_len);
        if ((!held && cold_drop_files(reap->cold, range->family, lower, upper, NULL) != ST_OK) ||
            cold_settle_range(reap->cold, range->family, lower, upper, NULL) != ST_OK)
            reap->work.errors++;
    }
}

static enum status drop_db(struct reap *reap, struct cold_batch *batch, uint32_t db_id,
                           int64_t deadline_us)
{
    enum status st = note_large_objects(reap, batch, db_id, deadline_us);
    if (st != ST_OK)
        return st;
    uint8_t lower[RECORD_DB_ID_BYTES];
    uint8_t upper[RECORD_DB_ID_BYTES];
    record_db_prefix_encode(db_id, lower);
    record_db_prefix_encode(db_id + 1, upper);
    for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT && st == ST_OK; type++)
        st = drop_range(reap, batch, loader_family(type), bytes_make(lower, sizeof(lower)),
                        bytes_make(upper, sizeof(upper)));
    reap->work.databases++;
    return st;
}

static enum status drop_noted(struct reap *reap, struct cold_batch *batch, struct bytes note,
                              int64_t deadline_us)
{
    enum meta_reap_kind kind = META_REAP_OBJECT;
    uint8_t type = 0;
    uint64_t id = 0;
    enum status st = ST_OK;
    if (!meta_reap_key_decode(note, &kind, &type, &id))
        reap->work.errors++;
    else if (kind == META_REAP_DB)
        st = drop_db(reap, batch, (uint32_t)id, deadline_us);
    else
        st = drop_object(reap, batch, type, id);
    if (st == ST_OK)
        cold_batch_delete(batch, FAMILY_META, note);
    return st;
}

/* Works through the notes from where the last job stopped: to begin anew each time would mean to
 * read over all those just deleted. */
static enum status drop_some(struct reap *reap, struct cold_batch *batch, int64_t deadline_us)
{
    struct cold_iter_options options = {.lower = bytes_text("r"), .upper = bytes_text("s")};
    struct cold_iter *iter = cold_iter_create(reap->cold, FAMILY_META, &options);
    enum status st = ST_OK;
    cold_iter_seek(iter, reap->next_note.len != 0 ? buf_bytes(&reap->next_note) : options.lower);
    if (reap->next_note.len != 0)
        reap->more = true; /* what stands before is due after the end */
    buf_clear(&reap->next_note);
    for (uint32_t count = 0; cold_iter_valid(iter) && st == ST_OK; cold_iter_next(iter)) {
        if (count == ENTRIES_PER_JOB || (count != 0 && now_us() >= deadline_us))
            st = ST_AGAIN;
        else
            st = drop_noted(reap, batch, cold_iter_key(iter), deadline_us);
        if (st == ST_AGAIN) {
            buf_append_bytes(&reap->next_note, cold_iter_key(iter));
            break;
        }
        count++;
    }
    if (st == ST_OK)
        st = cold_iter_status(iter, NULL);
    cold_iter_destroy(iter);
    return st;
}

static void run_reap(struct job *job)
{
    struct reap *reap = (struct reap *)(void *)job;
    struct cold_batch *batch = cold_batch_create();
    cold_tend(reap->cold, reap->ran_at_ms);
    reap->more = false;
    reap->range_count = 0;
    reap->work = (struct reap_stats){0};
    enum status st = drop_some(reap, batch, now_us() + SLICE_US);
    if (st == ST_AGAIN) {
        reap->more = true;
        st = ST_OK;
    }
    if (st == ST_OK && cold_batch_count(batch) != 0)
        st = cold_write(reap->cold, batch, reap->range_count != 0, NULL);
    if (st == ST_OK) {
        drop_files(reap);
    } else { /* nothing of it has happened */
        reap->work = (struct reap_stats){.errors = reap->work.errors + 1};
        reap->more = false;
        buf_clear(&reap->next_note);
        buf_clear(&reap->resume);
    }
    cold_batch_destroy(batch);
}

static void done_reap(struct job *job)
{
    struct reap *reap = (struct reap *)(void *)job;
    reap->busy = false;
    reap->stats.databases += reap->work.databases;
    reap->stats.objects += reap->work.objects;
    reap->stats.records += reap->work.records;
    reap->stats.ranges += reap->work.ranges;
    reap->stats.errors += reap->work.errors;
}

void reap_tick(struct reap *reap, uint32_t epoch, int64_t mono_ms)
{
    if (reap->busy || reap->stopped)
        return;
    if (reap->ever_ran && !reap->more && epoch == reap->epoch_seen &&
        mono_ms - reap->ran_at_ms < PERIOD_MS)
        return;
    reap->ever_ran = true;
    reap->epoch_seen = epoch;
    reap->ran_at_ms = mono_ms;
    reap->busy = true;
    reap->job.run = run_reap;
    reap->job.done = done_reap;
    executor_submit(reap->flusher, &reap->job);
}

bool reap_busy(const struct reap *reap)
{
    return reap->busy;
}

void reap_stop(struct reap *reap)
{
    reap->stopped = true;
}

void reap_hold_files(struct reap *reap)
{
    (void)atomic_fetch_add(&reap->holds, 1);
}

void reap_release_files(struct reap *reap)
{
    CHECK(atomic_fetch_sub(&reap->holds, 1) != 0);
}

void reap_read_stats(const struct reap *reap, struct reap_stats *out)
{
    *out = reap->stats;
}
