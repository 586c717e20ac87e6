/* Hashes. One of few short fields and values is a listpack of both in turn (ENCODING_LISTPACK), or,
 * once a field has had an expiry, of field, value and deadline (ENCODING_LISTPACK_EX: the earliest
 * first, 0 for none at the end); all others are a table (members.h, ENCODING_TABLE), of which a
 * large one need not be in RAM as a whole. What has once become a table stays one. Source: Redis
 * 7.2, and 7.4 for the expiry of fields.
 *
 * A field whose time has come is still there, until somebody deletes it: whoever reads looks at the
 * deadline. Deadlines can be found in order (hash_next_deadline, hash_collect_due).
 *
 * Changes come between ks_change_begin and ks_change_end, with hash_settle before the latter. Main
 * thread. */
#ifndef BASALT_STORAGE_TYPES_HASH_H
#define BASALT_STORAGE_TYPES_HASH_H

#include "codec/buf.h"
#include "codec/bytes.h"
#include "codec/number.h"
#include "storage/ensure.h"
#include "storage/member_table.h"
#include "storage/object.h"

struct members;
struct record_header;
struct value_rules;
struct value_type;

extern const struct value_type hash_value_type;

static inline bool hash_is_table(const struct object *o)
{
    return o->encoding == ENCODING_TABLE;
}

/* Of a table. */
struct members *hash_members(const struct object *o);

/* Gives `o`, which holds no value, an empty hash. */
void hash_init(struct object *o);

/* ---- Reading. Of a large hash, what is looked at must be in RAM. */

/* Fields, those among them whose time has come. */
uint64_t hash_count(const struct object *o);

struct hash_value {
    struct bytes value;   /* good until the hash changes, or this struct moves */
    int64_t expire_at_ms; /* or OBJECT_NO_EXPIRE */
    char scratch[NUMBER_I64_CHARS_MAX];
};
/* False if there is no such field. */
bool hash_get(const struct object *o, struct bytes field, struct hash_value *out);
/* Starts to bring what hash_get touches into the cache. */
void hash_prefetch(const struct object *o, struct bytes field);

/* Walks over all fields while the hash does not change. */
struct hash_iter {
    const struct object *o;
    uint32_t at; /* offset in a listpack */
    struct member_iter members;
    char scratch[NUMBER_I64_CHARS_MAX]; /* of the field */
};
void hash_iter_init(struct hash_iter *iter, const struct object *o);
/* `field` and `value` are good until the next call. False at the end. */
bool hash_iter_next(struct hash_iter *iter, struct bytes *field, struct hash_value *value);

typedef void hash_visit_fn(void *arg, struct bytes field, const struct hash_value *value);
/* Visits about `count` fields from a cursor on; returns the next cursor, 0 at the end. */
uint64_t hash_scan(const struct object *o, uint64_t cursor, size_t count, hash_visit_fn *visit,
                   void *arg);
/* Visits `count` different fields chosen at random, or all if they are fewer. Not in random order.
 * A large hash of which not all is in RAM has had members_ensure_sample of the same count and seed.
 */
void hash_sample(const struct object *o, uint64_t seed, size_t count, hash_visit_fn *visit,
                 void *arg);

/* Whether any field has, or has had, an expiry. If not, none has to be looked for. */
bool hash_has_deadlines(const struct object *o);
/* No field's time comes before that; OBJECT_NO_EXPIRE: never. */
int64_t hash_next_deadline(const struct object *o);

/* ---- Changing. */

/* Fields and values, `count` of both together, are about to be set: a listpack that they do not
 * suit becomes a table. */
void hash_expect(struct object *o, const struct value_rules *rules, const struct bytes *texts,
                 size_t count);
/* Gives a field its value and expiry (OBJECT_NO_EXPIRE: none). True if the field is new. */
bool hash_set(struct object *o, const struct value_rules *rules, struct bytes field,
              struct bytes value, int64_t expire_at_ms);
/* Gives a field that is there another expiry. */
void hash_set_expire(struct object *o, struct bytes field, int64_t expire_at_ms);
/* False if there was no such field. */
bool hash_delete(struct object *o, struct bytes field);
/* Makes a hash that has become so many bytes large. */
void hash_settle(struct object *o, const struct value_rules *rules);

/* ---- Fields whose time has come. */

/* Appends the names of up to `max` fields that are due, for which the caller then calls
 * hash_delete: each its length, u32 LE, and its bytes. Returns how many. Fields that are not in RAM
 * are among them if hash_ensure_due was called before. Between ks_change_begin and ks_change_end.
 */
size_t hash_collect_due(struct object *o, int64_t now_ms, size_t max, struct buf *names);
/* Brings due fields of a large hash into RAM. */
enum ensured hash_ensure_due(struct ensure *e, int64_t now_ms);
/* Whether that would do anything. */
bool hash_due_on_disk(const struct object *o, int64_t now_ms);

#endif
