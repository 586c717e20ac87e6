/* Which keys may be on disk: an answer from RAM for keys that are not.
 *
 * RocksDB has a filter in each file, and a lookup asks one per sorted run of each type's family: 2
 * to 5 us for an absent key. This is one filter over all of them, asked in 50 ns; with it a missing
 * key costs what it costs a store in memory, and a new key's first write needs no look at the disk.
 *
 * It holds 32 bits of a hash of each key: 16 choose a page, which is a sorted array of the other
 * 16. So it takes 2.2 bytes a key, grows without being rebuilt, and is wrong ("maybe") for 1 of 200
 * absent keys at 20 million keys, 1 of 40 at 100 million. Nothing is ever taken out, since two keys
 * may share an entry: it is cleared and filled again when it holds much that is gone
 * (key_filter_fill.h).
 *
 * Main thread only. */
#ifndef BASALT_STORAGE_KEY_FILTER_H
#define BASALT_STORAGE_KEY_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_FILTER_BYTES_MIN ((size_t)1 << 20) /* under this bound there is no filter */

struct key_filter;

struct key_filter *key_filter_create(void);
void key_filter_destroy(struct key_filter *filter); /* NULL allowed */

/* The hash of a key at `position` (record_position) of the database with this id. Positions as they
 * are would do badly: keys with one {tag} share their upper bits. */
static inline uint64_t key_filter_hash(uint32_t db_id, uint64_t position)
{
    uint64_t hash = (position + (uint64_t)db_id * 0x9e3779b97f4a7c15ULL) * 0xd6e8feb86659fd93ULL;
    hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93ULL;
    return hash ^ hash >> 32;
}

/* Adding what is there changes nothing. Where the bound forbids more memory, the page in question
 * is given up instead: it says "maybe" from then on, until the filter is cleared. */
void key_filter_add(struct key_filter *filter, uint64_t hash);
/* False: certainly not added since it was cleared. */
bool key_filter_may_have(const struct key_filter *filter, uint64_t hash);
/* Brings what key_filter_may_have will look at into the cache. */
void key_filter_prefetch(const struct key_filter *filter, uint64_t hash);
void key_filter_clear(struct key_filter *filter);

/* Bounds its memory; pages are given up until it fits. */
void key_filter_set_bound(struct key_filter *filter, size_t bytes_max);
size_t key_filter_bytes_max(const struct key_filter *filter);
size_t key_filter_bytes(const struct key_filter *filter);
/* Entries: about the number of keys added. */
uint64_t key_filter_count(const struct key_filter *filter);
/* Whether some pages have been given up. */
bool key_filter_is_cut_short(const struct key_filter *filter);

#endif
