/* Members of a set, or fields with values of a hash, as parts in a table (member_table.h): what
 * both types do when they are no listpack or intset any more. In RAM all of them, or, when the
 * collection is large, any of them (parts.h).
 *
 * A part's data, of which hash and set use what they need:
 *
 *     [8 bytes: when the field expires, i64] | length, varint | member | [length, varint | value]
 *
 * The first is there if the part's bits have PART_PREFIXED, the last if PART_VALUED.
 *
 * Element record of a large collection: the key is `M`, the position as u64 BE, the member; the
 * value a byte of flags (MEMBER_RECORD_PREFIXED), the eight bytes if so, and the hash's value.
 *
 * Changes come between ks_change_begin and ks_change_end. Main thread, but for members_destroy and
 * members_encode_part. */
#ifndef BASALT_STORAGE_TYPES_MEMBERS_H
#define BASALT_STORAGE_TYPES_MEMBERS_H

#include "codec/buf.h"
#include "codec/bytes.h"
#include "codec/endian.h"
#include "codec/status.h"
#include "storage/ensure.h"
#include "storage/member_cover.h"
#include "storage/member_table.h"
#include "storage/parts.h"
#include "storage/value_type.h"

#define PART_VALUED 4 /* a value stands behind the member */

#define MEMBER_RECORD_PREFIXED 2 /* flag in an element's record, and in a small table's */

/* What a collection has beside its table once it is large. */
struct members_large {
    struct parts parts;
    struct member_cover cover;
    uint64_t hand; /* where drop_clean goes on */
};

struct members {
    struct member_table table;
    uint64_t count;              /* members, in RAM or not */
    uint64_t content_bytes;      /* of all of them, as parts */
    uint64_t gone;               /* tombstones and known absences in the table */
    size_t part_bytes;           /* of the parts in the table (allocator's sizes) */
    struct members_large *large; /* owned; NULL: not large */
};

/* ---- Parts. */

static inline struct bytes member_text(const struct part *part)
{
    return member_of_part(part, 0);
}

/* What stands behind the member of a part that has PART_VALUED. */
static inline struct bytes member_value(const struct part *part)
{
    struct bytes member = member_of_part(part, 0);
    const uint8_t *at = member.data + member.len;
    size_t len;
    at += member_varint(at, &len);
    return bytes_make(at, len);
}

static inline bool member_is_live(const struct part *part)
{
    return (part->bits & PART_GONE) == 0;
}

/* The eight bytes of a part that has PART_PREFIXED. */
static inline int64_t member_prefix(const struct part *part)
{
    return (int64_t)load_le64(part->data);
}

/* What a part is made of. */
struct member_content {
    struct bytes member;
    struct bytes value; /* with `valued` */
    int64_t prefix;     /* with `prefixed` */
    bool prefixed;
    bool valued;
};

/* ---- Owning. */

void members_init(struct members *m, const struct value_rules *rules);
/* Frees all. Any thread. */
void members_deinit(struct members *m);
/* A copy of all, which are in RAM; not large. */
void members_copy(struct members *to, const struct members *from, const struct value_rules *rules);
/* Bytes of RAM beside the struct itself. O(1), like the next. */
size_t members_bytes(const struct members *m);
size_t members_dirty_bytes(const struct members *m);
bool members_free_is_long(const struct members *m);

/* ---- Records. */

/* The payload of a small one's record, or of a large one's header. */
void members_encode(const struct members *m, struct buf *out);
/* Fills `m`, which is empty, from that. ST_CORRUPT. Of a large one's header the rest stays in `in`:
 * what the type has put behind it. */
MUST_USE enum status members_decode(struct members *m, bool large, struct bytes *in, bool valued,
                                    const struct value_rules *rules);

/* ---- Looking up. */

/* A member and where it belongs. */
struct member_key {
    struct bytes member;
    uint64_t position;
};

static inline struct member_key member_key(const struct members *m, struct bytes member)
{
    return (struct member_key){.member = member,
                               .position = member_position(m->table.seed, member)};
}

/* NULL when there is none. Of a large collection, the member must have been ensured. */
static inline struct part *members_find(const struct members *m, const struct member_key *key)
{
    struct part *part = member_table_find(&m->table, key->position, key->member);
    if (part == NULL || !member_is_live(part))
        return NULL;
    if (m->large != NULL && !part->used)
        part->used = 1;
    return part;
}

/* Any member, each with the same chance; there must be one, and all must be in RAM. */
struct part *members_random(const struct members *m, uint64_t *random);

/* Visits about `count` members from a position on, all of which must be in RAM up to where that
 * gets. Returns where to go on; MEMBER_POSITION_LIMIT at the end. */
uint64_t members_scan(const struct members *m, uint64_t position, size_t count,
                      member_visit_fn *visit, void *arg);

/* `count` different members chosen at random, or all if they are fewer; how many goes back. When
 * not all are in RAM, members_ensure_sample must have been called with the same seed (e->random)
 * and count. What is too large a part of a collection beyond whole_bytes_max comes from one stretch
 * of positions. */
size_t members_sample(const struct members *m, uint64_t seed, size_t count, struct part **out);

/* The next number of a generator whose state is any number but 0; not for secrets. */
static inline uint64_t member_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x * 0x2545F4914F6CDD1DULL;
}

/* ---- Changing. */

/* Adds a member that is not there. */
struct part *members_add(struct members *m, uint64_t position,
                         const struct member_content *content);
/* Gives `part` another value or prefix; returns the part that is now in its place. The content may
 * point into the part. */
struct part *members_change(struct members *m, uint64_t position, struct part *part,
                            const struct member_content *content);
/* Puts another part of the same member, made by the caller, in the place of `old`, which is gone
 * afterwards. */
void members_replace(struct members *m, uint64_t position, struct part *old, struct part *part);
/* The part is gone afterwards. */
void members_remove(struct members *m, uint64_t position, struct part *part);
/* Makes `o`, whose members these are, large if they are so many bytes. Before ks_change_end. */
void members_settle(struct members *m, struct object *o, const struct value_rules *rules);

/* ---- Large ones, as value_type.h says. */

/* A part that says: there is no such member. */
struct part *member_tombstone(struct bytes member);
/* A part that is new to the table enters it; counts are the caller's business. */
void members_put(struct members *m, uint64_t position, struct part *part);

void members_encode_part(const struct part *part, struct part_sink *sink);
void members_forget_part(struct members *m, struct part *part);
enum status members_install_part(struct members *m, struct bytes element, struct bytes value,
                                 bool found, bool valued);
size_t members_drop_clean(struct members *m, size_t bytes);
/* The same for those parts only for which `may_go` (NULL: all) answers true. */
typedef bool member_may_go_fn(void *arg, struct part *part);
size_t members_drop_clean_if(struct members *m, size_t bytes, member_may_go_fn *may_go, void *arg);
/* Of which nothing is in RAM yet. */
void members_init_large(struct members *m, const struct value_rules *rules, uint64_t object_id,
                        uint64_t count, uint64_t content_bytes);

/* What requests need, as ensure.h says; `m` is of e->o. */
enum ensured members_ensure(struct ensure *e, struct members *m, const struct bytes *members,
                            size_t count, size_t step);
enum ensured members_ensure_all(struct ensure *e, struct members *m);
/* For members_scan from a position. */
enum ensured members_ensure_scan(struct ensure *e, struct members *m, uint64_t position,
                                 size_t count);
/* For members_sample. */
enum ensured members_ensure_sample(struct ensure *e, struct members *m, size_t count);
/* Whether nothing is missing. */
bool members_are_all(const struct members *m);

#endif
