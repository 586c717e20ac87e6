/* Loads of pieces: chunks of large strings, parts of large collections. See loader.h, ensure.h. */
#include "codec/buf.h"
#include "codec/check.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/ensure.h"
#include "storage/loader_internal.h"
#include "storage/object_value.h"
#include "storage/parts.h"
#include "storage/tier.h"

#include <inttypes.h>

#define PARTS_PER_LOAD  64
#define RANGE_BYTES_MAX ((size_t)1 << 20)

/* ---- Chunks of large strings ------------------------------------------------------------------
 */

void loader_free_chunk_results(struct load *load)
{
    if (load->chunk_results != NULL)
        cold_results_release(load->chunk_results, load->chunk_count);
    mem_free(load->chunk_results);
    load->chunk_results = NULL;
}

static enum status read_chunks(struct cold *cold, uint64_t object_id, const uint32_t *chunks,
                               uint32_t count, struct cold_result *results, struct err *err)
{
    uint8_t keys[CHUNKS_PER_LOAD][RECORD_CHUNK_KEY_BYTES];
    struct bytes ranges[CHUNKS_PER_LOAD];
    for (uint32_t i = 0; i < count; i++) {
        record_chunk_key_encode(object_id, chunks[i], keys[i]);
        ranges[i] = bytes_make(keys[i], RECORD_CHUNK_KEY_BYTES);
    }
    return cold_get_batch(cold, FAMILY_STRING, count, ranges, results, err);
}

static enum status install_chunks(struct keyspace *ks, struct db *db, struct object *o,
                                  const uint32_t *chunks, uint32_t count,
                                  const struct cold_result *results, struct err *err)
{
    size_t before = object_value_bytes(o);
    enum status st = ST_OK;
    for (uint32_t i = 0; i < count && st == ST_OK; i++) {
        st = string_chunked_install(o, chunks[i], results[i].value, results[i].status == ST_OK);
        if (st != ST_OK)
            err_set(err, st, "chunk %u of large string %" PRIu64 " is damaged (%zu bytes)",
                    chunks[i], string_object_id(o), results[i].value.len);
    }
    size_t after = object_value_bytes(o);
    db->object_bytes += after - before;
    ks->object_bytes += after - before;
    return st;
}

static void run_chunk_load(struct job *job)
{
    struct load *load = (struct load *)(void *)job;
    load->status = read_chunks(load->loader->cold, load->object_id, load->chunks, load->chunk_count,
                               load->chunk_results, &load->err);
}

static void done_chunk_load(struct job *job)
{
    struct load *load = (struct load *)(void *)job;
    struct loader *loader = load->loader;
    load->state = LOAD_PRESENT;
    struct db *db = ks_db_by_id(loader->ks, load->db_id);
    struct object *o = db == NULL ? NULL : table_find(db->table, load->position, load->key);
    /* Chunks that a cut took meanwhile may be cold again, with newer elements than were read. */
    if (load->status == ST_OK && o != NULL && o->encoding == ENCODING_CHUNKED &&
        string_object_id(o) == load->object_id &&
        string_chunked(o)->taken_epoch == load->taken_epoch)
        load->status = install_chunks(loader->ks, db, o, load->chunks, load->chunk_count,
                                      load->chunk_results, &load->err);
    else if (load->status == ST_OK)
        loader->stats.discarded++;
    if (load->status != ST_OK)
        load->state = LOAD_FAILED;
    loader_free_chunk_results(load);
    loader_finish_load(load);
}

enum loader_answer loader_want_chunks(struct loader *loader, struct load_wait *wait, struct db *db,
                                      struct object *o, uint64_t from, uint64_t to)
{
    if (o->encoding != ENCODING_CHUNKED)
        return LOADER_ABSENT;
    uint32_t first[1];
    size_t total = string_chunked_missing(o, from, to, first, 1);
    if (total == 0)
        return LOADER_ABSENT;
    uint32_t *missing = mem_alloc(total * sizeof(*missing));
    (void)string_chunked_missing(o, from, to, missing, total);
    for (size_t at = 0; at < total; at += CHUNKS_PER_LOAD) {
        size_t count = total - at < CHUNKS_PER_LOAD ? total - at : CHUNKS_PER_LOAD;
        struct load *load = loader_create_load(loader, db, o->position, object_key(o));
        load->chunk_count = (uint32_t)count;
        load->chunk_results = mem_calloc(count, sizeof(*load->chunk_results));
        load->object_id = string_object_id(o);
        load->taken_epoch = string_chunked(o)->taken_epoch;
        memcpy(load->chunks, missing + at, count * sizeof(*missing));
        load->job.run = run_chunk_load;
        load->job.done = done_chunk_load;
        loader_wait_for(wait, load);
        loader->stats.chunk_loads++;
        loader_start_load(loader, load);
    }
    mem_free(missing);
    return LOADER_STARTED;
}

enum status loader_read_chunks_now(struct loader *loader, struct db *db, struct object *o,
                                   uint64_t from, uint64_t to, struct err *err)
{
    enum status st = ST_OK;
    uint32_t missing[CHUNKS_PER_LOAD];
    size_t total = 0;
    while (st == ST_OK && o->encoding == ENCODING_CHUNKED &&
           (total = string_chunked_missing(o, from, to, missing, CHUNKS_PER_LOAD)) != 0) {
        uint32_t count = total < CHUNKS_PER_LOAD ? (uint32_t)total : CHUNKS_PER_LOAD;
        struct cold_result results[CHUNKS_PER_LOAD] = {{0}};
        loader->stats.synchronous++;
        st = read_chunks(loader->cold, string_object_id(o), missing, count, results, err);
        if (st == ST_OK)
            st = install_chunks(loader->ks, db, o, missing, count, results, err);
        cold_results_release(results, count);
    }
    return st;
}

/* ---- Parts of large collections ---------------------------------------------------------------
 */

struct part_load {
    bool range;
    uint64_t object_id;
    enum object_type type;
    uint32_t epoch; /* of the last cut applied when the load began */
    uint32_t count; /* elements asked for; not for a range */
    size_t count_max;
    struct buf request; /* elements' or bounds' lengths and bytes; equal loads have equal ones */
    /* the result */
    struct cold_result *results; /* owned; one per element */
    struct buf found;            /* of a range: lengths, elements, values */
    bool more;                   /* the range was not read to its end */
};

/* What was read is in the collection now, or of no use. */
static void free_found(struct part_load *parts)
{
    if (parts->results != NULL)
        cold_results_release(parts->results, parts->count);
    mem_free(parts->results);
    parts->results = NULL;
    buf_deinit(&parts->found);
}

void loader_free_part_load(struct part_load *parts)
{
    free_found(parts);
    buf_deinit(&parts->request);
    mem_free(parts);
}

static void push_bytes(struct buf *buf, struct bytes bytes)
{
    uint8_t len[4];
    CHECK(bytes.len <= UINT32_MAX);
    store_le32(len, (uint32_t)bytes.len);
    buf_append(buf, len, sizeof(len));
    buf_append_bytes(buf, bytes);
}

static struct bytes next_bytes(const struct buf *buf, size_t *at)
{
    struct bytes bytes = bytes_make(buf->data + *at + 4, load_le32(buf->data + *at));
    *at += 4 + bytes.len;
    return bytes;
}

static struct part_load *create_part_load(const struct ensure *e)
{
    struct part_load *parts = mem_calloc(1, sizeof(*parts));
    parts->object_id = object_large_id(e->o);
    parts->type = (enum object_type)e->o->type;
    parts->epoch = e->loader->ks->applied_epoch;
    return parts;
}

/* Any thread. */
static enum status read_elements(struct cold *cold, struct part_load *parts, struct err *err)
{
    struct buf keys = {0};
    struct bytes ranges[PARTS_PER_LOAD];
    size_t at = 0;
    (void)buf_reserve(&keys, parts->request.len + parts->count * RECORD_ELEMENT_PREFIX_BYTES);
    for (uint32_t i = 0; i < parts->count; i++) {
        uint8_t *place = keys.data + keys.len;
        size_t len =
            record_element_key_encode(parts->object_id, next_bytes(&parts->request, &at), place);
        ranges[i] = bytes_make(place, len);
        keys.len += len;
    }
    enum status st =
        cold_get_batch(cold, loader_family(parts->type), parts->count, ranges, parts->results, err);
    buf_deinit(&keys);
    return st;
}

static void element_key(struct buf *key, uint64_t object_id, struct bytes element)
{
    (void)buf_reserve(key, RECORD_ELEMENT_PREFIX_BYTES + element.len);
    key->len = record_element_key_encode(object_id, element, key->data);
}

/* Any thread. */
static enum status read_range(struct cold *cold, struct part_load *parts, struct err *err)
{
    struct buf lower = {0};
    struct buf upper = {0};
    size_t at = 0;
    element_key(&lower, parts->object_id, next_bytes(&parts->request, &at));
    struct bytes to = next_bytes(&parts->request, &at);
    element_key(&upper, to.len == 0 ? parts->object_id + 1 : parts->object_id, to);
    struct cold_iter_options options = {
        .lower = buf_bytes(&lower), .upper = buf_bytes(&upper), .fill_cache = true};
    struct cold_iter *iter = cold_iter_create(cold, loader_family(parts->type), &options);
    cold_iter_seek(iter, buf_bytes(&lower));
    size_t count = 0;
    for (; cold_iter_valid(iter); cold_iter_next(iter)) {
        struct bytes key = cold_iter_key(iter);
        struct bytes value = cold_iter_value(iter);
        push_bytes(&parts->found, bytes_make(key.data + RECORD_ELEMENT_PREFIX_BYTES,
                                             key.len - RECORD_ELEMENT_PREFIX_BYTES));
        push_bytes(&parts->found, value);
        if (++count >= parts->count_max || parts->found.len >= RANGE_BYTES_MAX) {
            cold_iter_next(iter);
            parts->more = cold_iter_valid(iter);
            break;
        }
    }
    enum status st = cold_iter_status(iter, err);
    cold_iter_destroy(iter);
    buf_deinit(&lower);
    buf_deinit(&upper);
    return st;
}

static enum status read_parts(struct cold *cold, struct part_load *parts, struct err *err)
{
    return parts->range ? read_range(cold, parts, err) : read_elements(cold, parts, err);
}

static enum status damaged(const struct part_load *parts, enum status st, struct err *err)
{
    return err_set(err, st, "an element of %s %" PRIu64 " is damaged",
                   object_type_name(parts->type), parts->object_id);
}

static enum status install_range(const struct value_type *type, struct object *o,
                                 const struct part_load *parts, const struct value_rules *rules)
{
    struct bytes last = {.data = NULL, .len = 0};
    for (size_t at = 0; at < parts->found.len;) {
        last = next_bytes(&parts->found, &at);
        struct bytes value = next_bytes(&parts->found, &at);
        enum status st = type->install_part(o, last, value, true, rules);
        if (st != ST_OK)
            return st;
    }
    size_t at = 0;
    struct bytes from = next_bytes(&parts->request, &at);
    struct bytes to = next_bytes(&parts->request, &at);
    struct buf behind = {0};
    if (parts->more) { /* up to the element behind the last */
        buf_append_bytes(&behind, last);
        buf_append(&behind, "", 1);
        to = buf_bytes(&behind);
    }
    type->installed_range(o, from, to);
    buf_deinit(&behind);
    return ST_OK;
}

/* Brings what was read into the collection. */
static enum status install_parts(struct keyspace *ks, struct db *db, struct object *o,
                                 const struct part_load *parts, struct err *err)
{
    const struct value_type *type = object_value_type(parts->type);
    size_t before = object_value_bytes(o);
    enum status st = ST_OK;
    if (parts->range)
        st = install_range(type, o, parts, &ks->value_rules);
    size_t at = 0;
    for (uint32_t i = 0; i < parts->count && st == ST_OK; i++) {
        struct bytes element = next_bytes(&parts->request, &at);
        st = type->install_part(o, element, parts->results[i].value,
                                parts->results[i].status == ST_OK, &ks->value_rules);
    }
    size_t after = object_value_bytes(o);
    db->object_bytes += after - before;
    ks->object_bytes += after - before;
    return st == ST_OK ? ST_OK : damaged(parts, st, err);
}

static void run_part_load(struct job *job)
{
    struct load *load = (struct load *)(void *)job;
    load->status = read_parts(load->loader->cold, load->parts, &load->err);
}

/* Whether `o` is still the collection that was read, and nothing of it that is newer on disk than
 * what was read may have left RAM since. */
static bool is_current(const struct object *o, const struct part_load *parts)
{
    return o->large && o->type == parts->type && object_large_id(o) == parts->object_id &&
           object_value_type(parts->type)->parts(o)->applied_epoch <= parts->epoch;
}

static void done_part_load(struct job *job)
{
    struct load *load = (struct load *)(void *)job;
    struct loader *loader = load->loader;
    load->state = LOAD_PRESENT;
    struct db *db = ks_db_by_id(loader->ks, load->db_id);
    struct object *o = db == NULL ? NULL : table_find(db->table, load->position, load->key);
    if (load->status == ST_OK && o != NULL && is_current(o, load->parts))
        load->status = install_parts(loader->ks, db, o, load->parts, &load->err);
    else if (load->status == ST_OK)
        loader->stats.discarded++;
    if (load->status != ST_OK)
        load->state = LOAD_FAILED;
    free_found(load->parts);
    loader_finish_load(load);
}

/* A pending load that asks for the same. */
static struct load *find_equal(const struct ensure *e, const struct part_load *parts)
{
    struct load *load = loader_first_load(e->loader, e->o->position);
    for (; load != NULL; load = load->next)
        if (load->parts != NULL && load->state == LOAD_PENDING &&
            load_is_of(load, e->db->id, e->o->position, object_key(e->o)) &&
            load->parts->object_id == parts->object_id && load->parts->range == parts->range &&
            load->parts->epoch == parts->epoch && load->parts->count_max == parts->count_max &&
            bytes_equal(buf_bytes(&load->parts->request), buf_bytes(&parts->request)))
            return load;
    return NULL;
}

/* Takes `parts`: reads it at once, or starts or joins a load. */
static enum ensured want(struct ensure *e, struct part_load *parts)
{
    struct loader *loader = e->loader;
    if (!parts->range)
        parts->results = mem_calloc(parts->count, sizeof(*parts->results));
    if (e->wait == NULL) {
        loader->stats.synchronous++;
        enum status st = read_parts(loader->cold, parts, &e->err);
        if (st == ST_OK)
            st = install_parts(loader->ks, e->db, e->o, parts, &e->err);
        loader_free_part_load(parts);
        return st == ST_OK ? ENSURED : ENSURE_FAILED;
    }
    struct load *load = find_equal(e, parts);
    if (load != NULL) {
        loader_free_part_load(parts);
        loader->stats.joined++;
        loader_wait_for(e->wait(e->wait_arg), load);
        return ENSURE_WAIT;
    }
    load = loader_create_load(loader, e->db, e->o->position, object_key(e->o));
    load->parts = parts;
    load->job.run = run_part_load;
    load->job.done = done_part_load;
    loader_wait_for(e->wait(e->wait_arg), load);
    loader->stats.part_loads++;
    loader_start_load(loader, load);
    return ENSURE_WAIT;
}

/* Whether the filters or the cache tell all about an element now. */
static bool known_at_once(struct ensure *e, struct bytes element, struct buf *key)
{
    struct loader *loader = e->loader;
    enum family family = loader_family((enum object_type)e->o->type);
    element_key(key, object_large_id(e->o), element);
    if (cold_probe(loader->cold, family, buf_bytes(key)) == COLD_ABSENT) {
        loader->stats.filter_negatives++;
        return true;
    }
    if (e->wait == NULL || !loader_cache_pays(loader))
        return false;
    struct buf value = {0};
    bool hit = cold_get_cached(loader->cold, family, buf_bytes(key), &value, NULL) == ST_OK;
    loader_note_cached(loader, hit);
    if (hit) {
        const struct value_type *type = object_value_type((enum object_type)e->o->type);
        size_t before = object_value_bytes(e->o);
        hit = type->install_part(e->o, element, buf_bytes(&value), true,
                                 &loader->ks->value_rules) == ST_OK;
        size_t after = object_value_bytes(e->o);
        e->db->object_bytes += after - before;
        loader->ks->object_bytes += after - before;
        loader->stats.inline_hits += hit;
    }
    buf_deinit(&value);
    return hit;
}

static bool is_in(const struct bytes *elements, size_t count, struct bytes element)
{
    for (size_t i = 0; i < count; i++)
        if (bytes_equal(elements[i], element))
            return true;
    return false;
}

enum ensured ensure_parts(struct ensure *e, const struct bytes *elements, size_t count)
{
    enum ensured result = ENSURED;
    if (!object_large_is_stored(e->o))
        return ENSURED;
    struct buf key = {0};
    for (size_t at = 0; at < count && result != ENSURE_FAILED;) {
        struct bytes asked[PARTS_PER_LOAD];
        struct part_load *parts = create_part_load(e);
        for (; at < count && parts->count < PARTS_PER_LOAD; at++) {
            if (is_in(asked, parts->count, elements[at]) || known_at_once(e, elements[at], &key))
                continue;
            asked[parts->count++] = elements[at];
            push_bytes(&parts->request, elements[at]);
        }
        if (parts->count == 0) {
            loader_free_part_load(parts);
            continue;
        }
        enum ensured one = want(e, parts);
        if (one != ENSURED)
            result = one;
    }
    buf_deinit(&key);
    return result;
}

enum ensured ensure_range(struct ensure *e, struct bytes from, struct bytes to, size_t count_max)
{
    CHECK(count_max != 0);
    if (!object_large_is_stored(e->o)) {
        object_value_type((enum object_type)e->o->type)->installed_range(e->o, from, to);
        return ENSURED;
    }
    struct part_load *parts = create_part_load(e);
    parts->range = true;
    parts->count_max = count_max;
    push_bytes(&parts->request, from);
    push_bytes(&parts->request, to);
    return want(e, parts);
}

enum status ensure_all_now(struct loader *loader, struct db *db, struct object *o, struct err *err)
{
    if (!o->large)
        return ST_OK;
    if (o->type == OBJECT_STRING)
        return loader_read_chunks_now(loader, db, o, 0, UINT64_MAX, err);
    struct ensure e = {.loader = loader, .db = db, .o = o, .whole_bytes_max = SIZE_MAX};
    enum ensured result = object_value_type((enum object_type)o->type)->ensure_all(&e);
    if (result == ENSURED)
        return ST_OK;
    CHECK(result == ENSURE_FAILED);
    return err_set(err, ST_IO, "%s", e.err.message);
}
