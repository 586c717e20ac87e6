/* With n buckets and p the largest power of two that is not above n, those from 0 to n-p-1 have
 * been split already and their other halves are p..n-1:
 *
 *   0 ......... n-p ......... p ......... n
 *   |  split    |  not yet    |  halves   |
 *
 * so an entry is looked for by one bit more of its hash in a split bucket than in the others. */
#include "server/name_map.h"

#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/mem.h"

#define BUCKETS_MIN 8
/* A map shrinks when fewer than one in so many buckets is used. */
#define SPARSE 4

_Static_assert((BUCKETS_MIN & (BUCKETS_MIN - 1)) == 0, "a power of two");

void name_map_init(struct name_map *map, uint64_t seed)
{
    *map = (struct name_map){.seed = seed};
}

void name_map_deinit(struct name_map *map)
{
    mem_free(map->buckets);
    name_map_init(map, map->seed);
}

static size_t floor_power(size_t n)
{
    return (size_t)1 << (63 - __builtin_clzll(n));
}

static size_t bucket_of(const struct name_map *map, uint64_t hash)
{
    size_t power = floor_power(map->bucket_count);
    size_t index = (size_t)hash & (2 * power - 1);
    return index < map->bucket_count ? index : (size_t)hash & (power - 1);
}

struct name_entry *name_map_find(const struct name_map *map, struct bytes name)
{
    if (map->count == 0)
        return NULL;
    uint64_t hash = hash64(map->seed, name.data, name.len);
    struct name_entry *entry = map->buckets[bucket_of(map, hash)];
    while (entry != NULL && (entry->hash != hash || !bytes_equal(entry->name, name)))
        entry = entry->next;
    return entry;
}

static void set_capacity(struct name_map *map, size_t capacity)
{
    map->buckets = mem_realloc(map->buckets, capacity * sizeof(*map->buckets));
    map->capacity = capacity;
}

static void add_first_buckets(struct name_map *map)
{
    set_capacity(map, BUCKETS_MIN);
    map->bucket_count = BUCKETS_MIN;
    for (size_t i = 0; i < BUCKETS_MIN; i++)
        map->buckets[i] = NULL;
}

static void split_one(struct name_map *map)
{
    size_t added = map->bucket_count;
    size_t split = added - floor_power(added);
    if (added == map->capacity)
        set_capacity(map, 2 * map->capacity);
    map->bucket_count++;
    struct name_entry *entry = map->buckets[split];
    map->buckets[split] = NULL;
    map->buckets[added] = NULL;
    while (entry != NULL) {
        struct name_entry *next = entry->next;
        struct name_entry **place = &map->buckets[bucket_of(map, entry->hash)];
        entry->next = *place;
        *place = entry;
        entry = next;
    }
}

/* The reverse of split_one. */
static void join_one(struct name_map *map)
{
    size_t last = map->bucket_count - 1;
    struct name_entry *entry = map->buckets[last];
    map->bucket_count--;
    struct name_entry **place = &map->buckets[last - floor_power(last)];
    while (*place != NULL)
        place = &(*place)->next;
    *place = entry;
    if (map->bucket_count <= map->capacity / SPARSE)
        set_capacity(map, map->capacity / 2);
}

void name_map_add(struct name_map *map, struct name_entry *entry)
{
    if (map->buckets == NULL)
        add_first_buckets(map);
    else if (map->count >= map->bucket_count)
        split_one(map);
    entry->hash = hash64(map->seed, entry->name.data, entry->name.len);
    struct name_entry **place = &map->buckets[bucket_of(map, entry->hash)];
    entry->next = *place;
    *place = entry;
    map->count++;
}

void name_map_remove(struct name_map *map, struct name_entry *entry)
{
    CHECK(map->count != 0);
    struct name_entry **place = &map->buckets[bucket_of(map, entry->hash)];
    while (*place != entry) {
        CHECK(*place != NULL);
        place = &(*place)->next;
    }
    *place = entry->next;
    entry->next = NULL;
    map->count--;
    if (map->count == 0)
        name_map_deinit(map);
    /* As many as keep the ratio. */
    for (int i = 0;
         i < SPARSE && map->bucket_count > BUCKETS_MIN && map->count < map->bucket_count / SPARSE;
         i++)
        join_one(map);
}

struct name_entry *name_map_pop(struct name_map *map)
{
    CHECK(map->count != 0);
    while (map->buckets[map->bucket_count - 1] == NULL)
        join_one(map);
    struct name_entry *entry = map->buckets[map->bucket_count - 1];
    map->buckets[map->bucket_count - 1] = entry->next;
    entry->next = NULL;
    map->count--;
    if (map->count == 0)
        name_map_deinit(map);
    return entry;
}

static struct name_entry *first_from(const struct name_map *map, size_t index)
{
    for (; index < map->bucket_count; index++) {
        if (map->buckets[index] != NULL)
            return map->buckets[index];
    }
    return NULL;
}

struct name_entry *name_map_first(const struct name_map *map)
{
    return first_from(map, 0);
}

struct name_entry *name_map_next(const struct name_map *map, const struct name_entry *entry)
{
    return entry->next != NULL ? entry->next : first_from(map, bucket_of(map, entry->hash) + 1);
}

struct name_entry *name_map_any(const struct name_map *map, uint64_t random)
{
    if (map->count == 0)
        return NULL;
    struct name_entry *entry = first_from(map, (size_t)random % map->bucket_count);
    return entry != NULL ? entry : first_from(map, 0);
}
