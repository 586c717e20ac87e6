#include "server/hot_keys.h"

#include "codec/mem.h"
#include "server/name_map.h"

#include <stdlib.h>

#define HALVE_EACH_MS 60000
#define DB_BYTES      4 /* in front of the key, in a name */

struct entry {
    struct name_entry name; /* first; database and key, owned */
    uint64_t count;
    uint64_t error;
};

struct hot_keys {
    struct name_map map;
    struct entry *entries[HOT_KEYS_COUNT]; /* owned, in no order */
    size_t count;
    uint64_t total;
    uint64_t random;
    int64_t halved_ms;
    uint8_t scratch[DB_BYTES + HOT_KEYS_NAME_BYTES_MAX];
};

struct hot_keys *hot_keys_create(uint64_t seed)
{
    struct hot_keys *keys = mem_calloc(1, sizeof(*keys));
    name_map_init(&keys->map, seed);
    keys->random = seed | 1;
    return keys;
}

static void remove_entry(struct hot_keys *keys, size_t index)
{
    struct entry *entry = keys->entries[index];
    name_map_remove(&keys->map, &entry->name);
    mem_free((void *)(uintptr_t)entry->name.name.data);
    mem_free(entry);
    keys->entries[index] = keys->entries[--keys->count];
}

void hot_keys_destroy(struct hot_keys *keys)
{
    if (keys == NULL)
        return;
    while (keys->count > 0)
        remove_entry(keys, 0);
    name_map_deinit(&keys->map);
    mem_free(keys);
}

/* xorshift64* */
uint64_t hot_keys_random(struct hot_keys *keys, uint64_t limit)
{
    keys->random ^= keys->random >> 12;
    keys->random ^= keys->random << 25;
    keys->random ^= keys->random >> 27;
    return (keys->random * UINT64_C(0x2545f4914f6cdd1d) >> 16) % limit;
}

uint32_t hot_keys_next(struct hot_keys *keys)
{
    return 1 + (uint32_t)hot_keys_random(keys, 2 * HOT_KEYS_INTERVAL - 1);
}

static size_t find_least(const struct hot_keys *keys)
{
    size_t least = 0;
    for (size_t i = 1; i < keys->count; i++)
        if (keys->entries[i]->count < keys->entries[least]->count)
            least = i;
    return least;
}

static struct bytes make_name(struct hot_keys *keys, uint32_t db, struct bytes key)
{
    memcpy(keys->scratch, &db, DB_BYTES);
    if (key.len > 0)
        memcpy(keys->scratch + DB_BYTES, key.data, key.len);
    return bytes_make(keys->scratch, DB_BYTES + key.len);
}

void hot_keys_count(struct hot_keys *keys, uint32_t db, struct bytes key, uint64_t weight)
{
    if (key.len > HOT_KEYS_NAME_BYTES_MAX)
        return;
    struct bytes name = make_name(keys, db, key);
    struct entry *entry = (struct entry *)(void *)name_map_find(&keys->map, name);
    keys->total += weight;
    if (entry != NULL) {
        entry->count += weight;
        return;
    }
    uint64_t error = 0;
    if (keys->count == HOT_KEYS_COUNT) {
        size_t least = find_least(keys);
        error = keys->entries[least]->count;
        remove_entry(keys, least);
    }
    entry = mem_alloc(sizeof(*entry));
    *entry = (struct entry){.name = {.name = bytes_make(mem_dup(name.data, name.len), name.len)},
                            .count = error + weight,
                            .error = error};
    name_map_add(&keys->map, &entry->name);
    keys->entries[keys->count++] = entry;
}

void hot_keys_cron(struct hot_keys *keys, int64_t mono_ms)
{
    if (mono_ms - keys->halved_ms < HALVE_EACH_MS)
        return;
    keys->halved_ms = mono_ms;
    keys->total /= 2;
    for (size_t i = keys->count; i > 0; i--) {
        struct entry *entry = keys->entries[i - 1];
        entry->count /= 2;
        entry->error /= 2;
        if (entry->count == 0)
            remove_entry(keys, i - 1);
    }
}

static int compare(const void *a, const void *b)
{
    const struct hot_keys_item *left = a;
    const struct hot_keys_item *right = b;
    return left->count < right->count ? 1 : left->count > right->count ? -1 : 0;
}

size_t hot_keys_read(const struct hot_keys *keys, struct hot_keys_item *out, size_t max,
                     uint64_t *total_out)
{
    struct hot_keys_item *all = mem_alloc((keys->count + 1) * sizeof(*all));
    for (size_t i = 0; i < keys->count; i++) {
        const struct entry *entry = keys->entries[i];
        struct bytes name = entry->name.name;
        all[i] =
            (struct hot_keys_item){.key = bytes_make(name.data + DB_BYTES, name.len - DB_BYTES),
                                   .count = entry->count,
                                   .error = entry->error};
        memcpy(&all[i].db, name.data, DB_BYTES);
    }
    qsort(all, keys->count, sizeof(*all), compare);
    size_t count = keys->count < max ? keys->count : max;
    memcpy(out, all, count * sizeof(*all));
    mem_free(all);
    *total_out = keys->total;
    return count;
}
