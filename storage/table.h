/* The hot tier's hash table: finds objects by key, and walks them in scan order.
 *
 * Objects are placed by their 53-bit position: one small table per cluster slot (its upper 14
 * bits), and within it buckets in bit-reversed order of the 39-bit hash. A slot's table grows and
 * shrinks by linear hashing, one bucket at a time, so there is no rehash and no pause; and since a
 * bucket always covers one contiguous range of hashes, SCAN can go through a range of positions
 * over RAM and disk alike.
 *
 * A bucket is one cache line: seven entries of 16 tag bits and a 48-bit pointer, and a link to an
 * overflow bucket. A lookup touches the slot's header, one bucket and the object. Main thread. */
#ifndef BASALT_STORAGE_TABLE_H
#define BASALT_STORAGE_TABLE_H

#include "codec/bytes.h"
#include "storage/object.h"

#include <stddef.h>
#include <stdint.h>

struct table;

#define TABLE_SLOT_COUNT     16384
#define TABLE_POSITION_LIMIT ((uint64_t)1 << 53)

struct table *table_create(void);
/* Frees the table only; the objects are the caller's. */
void table_destroy(struct table *table);

struct object *table_find(const struct table *table, uint64_t position, struct bytes key);
/* All objects of exactly this position (keys whose hashes collide), up to `max`. */
size_t table_find_position(const struct table *table, uint64_t position, struct object **out,
                           size_t max);
/* Starts to bring the lines a lookup of `position` will touch into the cache. */
void table_prefetch(const struct table *table, uint64_t position);
/* The same one step on: the objects that may match, once the bucket is there. False: none does. */
bool table_prefetch_object(const struct table *table, uint64_t position);
/* The key must not be in the table. */
void table_insert(struct table *table, struct object *o);
/* `o` must be in the table. */
void table_remove(struct table *table, const struct object *o);
/* Puts `to` (same key) in the place of `from`. `from` may be freed already. */
void table_replace(struct table *table, const struct object *from, struct object *to);

uint64_t table_count(const struct table *table);
/* Bytes of the table itself. */
size_t table_bytes(const struct table *table);

/* Collects the objects of the bucket that covers `position` whose positions are >= it, in no
 * particular order, into `out` (a vector of at most `max`); `*next_out` is the first position
 * behind the bucket's range (TABLE_POSITION_LIMIT at the end; empty slots are skipped at once).
 * Returns how many objects there are; if more than `max`, call again with room for so many. */
size_t table_walk(const struct table *table, uint64_t position, struct object **out, size_t max,
                  uint64_t *next_out);
/* Collects up to `max` objects around a random place (for victim sampling). `random` is any 64
 * random bits. 0 only when the table is empty. */
size_t table_sample(const struct table *table, uint64_t random, struct object **out, size_t max);

#endif
