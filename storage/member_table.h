/* The members of a set, a hash or a sorted set: a hash table of parts (parts.h), by the member that
 * each holds, which can be walked in the order in which the disk has them.
 *
 * A member's *position* is 53 bits of its keyed hash: cursors of HSCAN and the like are positions,
 * and elements stand on disk by (position, member). The table is divided into segments, each of
 * which covers one contiguous range of positions. One segment is split when there are more than 320
 * members per segment, in bit-reversed order (linear hashing), so the table never stops to rehash.
 * Within a segment, members stand in the order of their positions, about: lines of eight entries,
 * one cache line each, and what finds its line full goes to the next one. A segment has as many
 * lines as keep them 70 to 90 % full, in steps of the allocator's size classes; hence some 10 bytes
 * per member at any size.
 *
 * An entry is a pointer and 19 bits of the position, by which a segment is resized, split and
 * merged without a look at its members, but for one split in 256.
 *
 * A lookup touches a segment's header, mostly one line, and the part. Main thread, but for deinit
 * once nobody else knows the table. */
#ifndef BASALT_STORAGE_MEMBER_TABLE_H
#define BASALT_STORAGE_MEMBER_TABLE_H

#include "codec/bytes.h"
#include "storage/parts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMBER_POSITION_LIMIT ((uint64_t)1 << 53)

/* A part with this bit has eight bytes more before its member's length. */
#define PART_PREFIXED     2
#define PART_PREFIX_BYTES 8

struct member_segment;

struct member_table {
    uint64_t seed;         /* of positions (value_rules.hash_seed) */
    uint64_t count;        /* parts in it, tombstones among them */
    size_t bytes;          /* of the table itself */
    uint32_t segments;     /* 0: empty */
    uint32_t chunk_places; /* of `at.chunks` */
    uint8_t level;         /* 2^level <= segments < 2^(level + 1) */
    uint8_t member_offset; /* where in part.data a member's length stands: 0, or 8 behind a score */
    union {
        struct member_segment *single; /* up to MEMBER_CHUNK_SEGMENTS of them */
        struct member_segment **chunks;
    } at; /* owned */
};

/* ---- Parts with members: [8 bytes] | length of the member, varint | member | what the type adds.
 */

/* Length of a varint, and the number it is, of bytes that are known to be good. */
static inline size_t member_varint(const uint8_t *at, size_t *value_out)
{
    size_t value = at[0];
    size_t len = 1;
    if (__builtin_expect(value >= 0x80, 0)) {
        value &= 0x7f;
        for (;; len++) {
            value |= (size_t)(at[len] & 0x7f) << (7 * len);
            if (at[len] < 0x80)
                break;
        }
        len++;
    }
    *value_out = value;
    return len;
}

/* The member of a part whose length stands at part->data + offset (and behind a prefix). */
static inline struct bytes member_of_part(const struct part *part, size_t offset)
{
    const uint8_t *at = part->data + offset;
    if ((part->bits & PART_PREFIXED) != 0)
        at += PART_PREFIX_BYTES;
    size_t len;
    at += member_varint(at, &len);
    return bytes_make(at, len);
}

uint64_t member_position(uint64_t seed, struct bytes member);

/* ---- The table. */

/* `member_offset` is of all parts in it: 0 or 8. */
void member_table_init(struct member_table *table, uint64_t seed, uint8_t member_offset);
/* Frees the table, not the parts. */
void member_table_deinit(struct member_table *table);

/* The part of a member, which may be a tombstone; NULL when there is none. */
struct part *member_table_find(const struct member_table *table, uint64_t position,
                               struct bytes member);
/* Brings what a lookup touches into the cache: first the line; once that is there, the part. */
void member_table_prefetch(const struct member_table *table, uint64_t position);
void member_table_prefetch_part(const struct member_table *table, uint64_t position);

/* The member must not be in the table. */
void member_table_insert(struct member_table *table, uint64_t position, struct part *part);
/* `part` must be in the table; it may be freed already only in _replace. */
void member_table_remove(struct member_table *table, uint64_t position, const struct part *part);
/* Puts `to`, of the same member, in the place of `from`. */
void member_table_replace(struct member_table *table, uint64_t position, const struct part *from,
                          struct part *to);

/* A part that is not in the table as often as any other: NULL only when the table is empty.
 * `random` is the state of a generator of the caller's, any number but 0. */
struct part *member_table_random(const struct member_table *table, uint64_t *random);

/* Visits the parts of a stretch of positions that begins at `position`: about eight of them.
 * Returns where the stretch ends, which is where to go on; MEMBER_POSITION_LIMIT at the end. What
 * is in the table from the first call to the last is visited at least once, also when the table
 * changes between the calls; during one it must not. */
typedef void member_visit_fn(void *arg, struct part *part);
uint64_t member_table_walk(const struct member_table *table, uint64_t position,
                           member_visit_fn *visit, void *arg);

/* Goes through all parts, in no particular order, while the table does not change. About twice as
 * fast as walking. */
struct member_iter {
    const struct member_table *table;
    uint32_t segment;
    uint32_t slot;
};
static inline struct member_iter member_iter_begin(const struct member_table *table)
{
    return (struct member_iter){.table = table};
}
/* NULL at the end. */
struct part *member_iter_next(struct member_iter *iter);

#endif
