/* The cold tier's reads: point lookups, batches of them, snapshots and iterators. Any thread.
 *
 * The one rule: only RocksDB's explicit "not there" becomes ST_NOT_FOUND or COLD_ABSENT. Its own
 * key_may_exist breaks it (any error counts as absent), so the probe is a lookup in the memory
 * tier, where "not there, and no error" is certain.
 *
 * All of it passes the gate (cold_rocksdb_internal.h); what the main thread asks on its way, the
 * probe and the cached read, does not wait for it. */
#include <string.h>

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"
#include "storage/cold.h"
#include "storage/cold_rocksdb_internal.h"

/* Keys handed to RocksDB at once: bounds the pointer arrays on the stack (3 KiB). */
#define BATCH_KEYS_MAX 96

static rocksdb_pinnableslice_t *lookup(struct cold *cold, const rocksdb_readoptions_t *options,
                                       enum family family, struct bytes key, char **text)
{
    return rocksdb_get_pinned_cf(cold->db, options, cold->families[family], cold_chars(key),
                                 key.len, text);
}

static struct bytes pinned_bytes(const rocksdb_pinnableslice_t *pin)
{
    size_t len = 0;
    const char *data = rocksdb_pinnableslice_value(pin, &len);
    return bytes_make(data, len);
}

static enum status copy_out(struct bytes found, struct buf *value, struct err *err)
{
    if (!buf_try_reserve(value, found.len))
        return err_set(err, ST_LIMIT, "no memory for a value of %zu bytes", found.len);
    buf_append_bytes(value, found);
    return ST_OK;
}

enum cold_presence cold_probe(struct cold *cold, enum family family, struct bytes key)
{
    char *text = NULL;
    if (!cold_try_enter(cold))
        return COLD_MAYBE;
    rocksdb_pinnableslice_t *pin = lookup(cold, cold->read_cached, family, key, &text);
    bool absent = pin == NULL && text == NULL;
    rocksdb_pinnableslice_destroy(pin);
    cold_leave(cold);
    rocksdb_free(text);
    return absent ? COLD_ABSENT : COLD_MAYBE;
}

static enum status get(struct cold *cold, const rocksdb_readoptions_t *options, enum family family,
                       struct bytes key, struct buf *value, struct err *err)
{
    buf_clear(value);
    char *text = NULL;
    enum status st = cold_enter(cold, err);
    if (st != ST_OK)
        return st;
    rocksdb_pinnableslice_t *pin = lookup(cold, options, family, key, &text);
    if (text != NULL)
        st = cold_error_take(text, cold_family_name(family), err);
    else if (pin == NULL)
        st = ST_NOT_FOUND;
    else
        st = copy_out(pinned_bytes(pin), value, err);
    rocksdb_pinnableslice_destroy(pin);
    cold_leave(cold);
    return st;
}

enum status cold_get(struct cold *cold, enum family family, struct bytes key, struct buf *value,
                     struct err *err)
{
    return get(cold, cold->read, family, key, value, err);
}

enum status cold_get_at(struct cold *cold, const struct cold_snapshot *snapshot, enum family family,
                        struct bytes key, struct buf *value, struct err *err)
{
    if (snapshot->snapshot == NULL) {
        buf_clear(value);
        return err_set(err, ST_IO, "the snapshot could not be made: RocksDB was not there");
    }
    return get(cold, snapshot->read, family, key, value, err);
}

enum status cold_get_cached(struct cold *cold, enum family family, struct bytes key,
                            struct buf *value, struct err *err)
{
    buf_clear(value);
    char *text = NULL;
    if (!cold_try_enter(cold))
        return ST_AGAIN;
    rocksdb_pinnableslice_t *pin = lookup(cold, cold->read_cached, family, key, &text);
    enum status st = ST_NOT_FOUND;
    if (text != NULL) {
        /* Mostly "incomplete"; whatever else it is, a full read finds and reports it. */
        rocksdb_free(text);
        st = ST_AGAIN;
    } else if (pin != NULL) {
        struct bytes found = pinned_bytes(pin);
        st = found.len == 0 ? ST_AGAIN : copy_out(found, value, err);
    }
    rocksdb_pinnableslice_destroy(pin);
    cold_leave(cold);
    return st;
}

/* ---- Batches ------------------------------------------------------------------------------------
 */

/* Returns the first error, which `err` then describes, or ST_OK. */
static enum status get_some(struct cold *cold, enum family family, size_t count,
                            const struct bytes *keys, struct cold_result *results, struct err *err)
{
    const char *key_data[BATCH_KEYS_MAX];
    size_t key_lens[BATCH_KEYS_MAX];
    rocksdb_pinnableslice_t *pins[BATCH_KEYS_MAX];
    char *texts[BATCH_KEYS_MAX];
    for (size_t i = 0; i < count; i++) {
        key_data[i] = cold_chars(keys[i]);
        key_lens[i] = keys[i].len;
    }
    rocksdb_batched_multi_get_cf(cold->db, cold->read, cold->families[family], count, key_data,
                                 key_lens, pins, texts, false);
    enum status first = ST_OK;
    for (size_t i = 0; i < count; i++) {
        results[i] = (struct cold_result){.status = ST_NOT_FOUND};
        if (texts[i] != NULL) {
            struct err *place = first == ST_OK ? err : NULL;
            results[i].status = cold_error_take(texts[i], cold_family_name(family), place);
            first = first == ST_OK ? results[i].status : first;
        } else if (pins[i] != NULL) {
            cold_hold(cold);
            results[i] = (struct cold_result){
                .status = ST_OK, .value = pinned_bytes(pins[i]), .pin = pins[i], .cold = cold};
        }
    }
    return first;
}

enum status cold_get_batch(struct cold *cold, enum family family, size_t count,
                           const struct bytes *keys, struct cold_result *results, struct err *err)
{
    enum status first = cold_enter(cold, err);
    if (first != ST_OK) {
        for (size_t i = 0; i < count; i++)
            results[i] = (struct cold_result){.status = first};
        return first;
    }
    for (size_t done = 0; done < count;) {
        size_t some = count - done < BATCH_KEYS_MAX ? count - done : BATCH_KEYS_MAX;
        struct err *place = first == ST_OK ? err : NULL;
        enum status st = get_some(cold, family, some, keys + done, results + done, place);
        first = first == ST_OK ? st : first;
        done += some;
    }
    cold_leave(cold);
    return first;
}

void cold_results_release(struct cold_result *results, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rocksdb_pinnableslice_destroy((rocksdb_pinnableslice_t *)results[i].pin);
        if (results[i].pin != NULL)
            cold_leave(results[i].cold);
        results[i] = (struct cold_result){.status = ST_NOT_FOUND};
    }
}

/* ---- Snapshots ----------------------------------------------------------------------------------
 */

struct cold_snapshot *cold_snapshot_create(struct cold *cold)
{
    struct cold_snapshot *snapshot = mem_calloc(1, sizeof(*snapshot));
    snapshot->read = rocksdb_readoptions_create();
    if (cold_enter(cold, NULL) == ST_OK)
        snapshot->snapshot = rocksdb_create_snapshot(cold->db);
    rocksdb_readoptions_set_snapshot(snapshot->read, snapshot->snapshot);
    return snapshot;
}

void cold_snapshot_release(struct cold *cold, struct cold_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    rocksdb_readoptions_destroy(snapshot->read);
    if (snapshot->snapshot != NULL) {
        rocksdb_release_snapshot(cold->db, snapshot->snapshot);
        cold_leave(cold);
    }
    mem_free(snapshot);
}

/* ---- Iterators ----------------------------------------------------------------------------------
 */

struct cold_iter {
    struct cold *cold;        /* whose gate it has passed */
    rocksdb_iterator_t *iter; /* NULL: RocksDB is not there, `err` says why */
    struct err err;
    rocksdb_readoptions_t
        *options; /* RocksDB keeps pointing at the bounds: they live in `bounds` */
    struct buf bounds;
};

static void set_bounds(struct cold_iter *iter, const struct cold_iter_options *options)
{
    buf_append_bytes(&iter->bounds, options->lower);
    buf_append_bytes(&iter->bounds, options->upper);
    const char *bounds = (const char *)iter->bounds.data;
    if (options->lower.len > 0)
        rocksdb_readoptions_set_iterate_lower_bound(iter->options, bounds, options->lower.len);
    if (options->upper.len > 0)
        rocksdb_readoptions_set_iterate_upper_bound(iter->options, bounds + options->lower.len,
                                                    options->upper.len);
}

struct cold_iter *cold_iter_create(struct cold *cold, enum family family,
                                   const struct cold_iter_options *options)
{
    static const struct cold_iter_options defaults;
    if (options == NULL)
        options = &defaults;
    struct cold_iter *iter = mem_calloc(1, sizeof(*iter));
    iter->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(iter->options, options->fill_cache);
    /* Files that the iterator was the last to use are unlinked by a background thread. */
    rocksdb_readoptions_set_background_purge_on_iterator_cleanup(iter->options, 1);
    if (options->readahead_bytes > 0)
        rocksdb_readoptions_set_readahead_size(iter->options, options->readahead_bytes);
    if (options->snapshot != NULL)
        rocksdb_readoptions_set_snapshot(iter->options, options->snapshot->snapshot);
    set_bounds(iter, options);
    iter->cold = cold;
    if (options->snapshot != NULL && options->snapshot->snapshot == NULL)
        (void)err_set(&iter->err, ST_IO, "the snapshot could not be made: RocksDB was not there");
    else if (cold_enter(cold, &iter->err) == ST_OK)
        iter->iter = rocksdb_create_iterator_cf(cold->db, iter->options, cold->families[family]);
    return iter;
}

void cold_iter_destroy(struct cold_iter *iter)
{
    if (iter == NULL)
        return;
    if (iter->iter != NULL) {
        rocksdb_iter_destroy(iter->iter);
        cold_leave(iter->cold);
    }
    rocksdb_readoptions_destroy(iter->options);
    buf_deinit(&iter->bounds);
    mem_free(iter);
}

void cold_iter_seek(struct cold_iter *iter, struct bytes key)
{
    if (iter->iter != NULL)
        rocksdb_iter_seek(iter->iter, cold_chars(key), key.len);
}

void cold_iter_seek_for_prev(struct cold_iter *iter, struct bytes key)
{
    if (iter->iter != NULL)
        rocksdb_iter_seek_for_prev(iter->iter, cold_chars(key), key.len);
}

void cold_iter_seek_first(struct cold_iter *iter)
{
    if (iter->iter != NULL)
        rocksdb_iter_seek_to_first(iter->iter);
}

void cold_iter_seek_last(struct cold_iter *iter)
{
    if (iter->iter != NULL)
        rocksdb_iter_seek_to_last(iter->iter);
}

void cold_iter_next(struct cold_iter *iter)
{
    CHECK(cold_iter_valid(iter));
    rocksdb_iter_next(iter->iter);
}

void cold_iter_prev(struct cold_iter *iter)
{
    CHECK(cold_iter_valid(iter));
    rocksdb_iter_prev(iter->iter);
}

bool cold_iter_valid(const struct cold_iter *iter)
{
    return iter->iter != NULL && rocksdb_iter_valid(iter->iter) != 0;
}

struct bytes cold_iter_key(const struct cold_iter *iter)
{
    size_t len = 0;
    const char *data = rocksdb_iter_key(iter->iter, &len);
    return bytes_make(data, len);
}

struct bytes cold_iter_value(const struct cold_iter *iter)
{
    size_t len = 0;
    const char *data = rocksdb_iter_value(iter->iter, &len);
    return bytes_make(data, len);
}

enum status cold_iter_status(const struct cold_iter *iter, struct err *err)
{
    if (iter->iter == NULL) {
        if (err != NULL)
            *err = iter->err;
        return iter->err.code;
    }
    char *text = NULL;
    rocksdb_iter_get_error(iter->iter, &text);
    return text == NULL ? ST_OK : cold_error_take(text, "iterator", err);
}
