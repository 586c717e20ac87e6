/* Things by name: a hash table of entries that are part of the caller's own structs. For names that
 * clients choose in any number (channels, patterns, watched and tracked keys).
 *
 * Linear hashing: an insertion splits at most one bucket and a removal joins a few, so that no
 * request ever waits for a large table to be rebuilt. A map that is empty holds no memory. Main
 * thread. */
#ifndef BASALT_SERVER_NAME_MAP_H
#define BASALT_SERVER_NAME_MAP_H

#include "codec/bytes.h"

#include <stddef.h>
#include <stdint.h>

struct name_entry {
    struct name_entry *next; /* in its bucket */
    uint64_t hash;
    struct bytes name; /* the owner's; must not change while the entry is in a map */
};

struct name_map {
    struct name_entry **buckets; /* owned */
    size_t bucket_count;
    size_t capacity; /* places of `buckets` */
    size_t count;    /* entries */
    uint64_t seed;   /* of the hash */
};

/* `seed` keeps clients from choosing names that collide. */
void name_map_init(struct name_map *map, uint64_t seed);
/* Frees the map, not the entries. */
void name_map_deinit(struct name_map *map);

/* NULL when there is none. */
struct name_entry *name_map_find(const struct name_map *map, struct bytes name);
/* entry->name is set, and no entry has it yet. */
void name_map_add(struct name_map *map, struct name_entry *entry);
/* `entry` is in the map. */
void name_map_remove(struct name_map *map, struct name_entry *entry);

/* Takes some entry out of the map, which must not be empty; for emptying it. */
struct name_entry *name_map_pop(struct name_map *map);

/* All entries, in no order; NULL at the end. The map must not be changed on the way. */
struct name_entry *name_map_first(const struct name_map *map);
struct name_entry *name_map_next(const struct name_map *map, const struct name_entry *entry);
/* Some entry, chosen by `random`, not quite evenly; NULL when there is none. */
struct name_entry *name_map_any(const struct name_map *map, uint64_t random);

#endif
