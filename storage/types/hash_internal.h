/* Shared by the parts of hashes: hash.c, hash_listpack.c, hash_deadlines.c, hash_record.c. */
#ifndef BASALT_STORAGE_TYPES_HASH_INTERNAL_H
#define BASALT_STORAGE_TYPES_HASH_INTERNAL_H

#include "storage/types/hash.h"
#include "storage/types/members.h"

/* As hash_collect_due tells names. */
static inline void hash_append_name(struct buf *names, struct bytes name)
{
    uint8_t len[4];
    store_le32(len, (uint32_t)name.len);
    buf_append(names, len, sizeof(len));
    buf_append_bytes(names, name);
}

/* ---- Listpacks of fields: `step` entries each (hash_step). */

static inline uint32_t hash_step(const struct object *o)
{
    return o->encoding == ENCODING_LISTPACK ? 2 : 3;
}

uint32_t hash_listpack_find(const struct object *o, struct bytes field);
/* What stands behind the field at `at`; returns where the next field is, 0 at the end. */
uint32_t hash_listpack_read(const struct object *o, uint32_t at, struct hash_value *out);
bool hash_listpack_set(struct object *o, struct bytes field, struct bytes value,
                       int64_t expire_at_ms);
void hash_listpack_set_expire(struct object *o, struct bytes field, int64_t expire_at_ms);
bool hash_listpack_delete(struct object *o, struct bytes field);
int64_t hash_listpack_deadline(const struct object *o);
size_t hash_listpack_collect_due(const struct object *o, int64_t now_ms, size_t max,
                                 struct buf *names);
/* Whether a valid listpack is one of fields: a multiple of `step` entries and not none, different
 * fields, deadlines in order. */
bool hash_listpack_check(const uint8_t *data, uint32_t step);

/* ---- Tables. */

struct hash_deadlines;

struct hash_table {
    struct members members;           /* first */
    struct hash_deadlines *deadlines; /* owned; NULL: no field has had one */
};

static inline struct hash_table *hash_table(const struct object *o)
{
    return (struct hash_table *)o->value.pointer;
}

struct hash_table *hash_init_table(struct object *o, const struct value_rules *rules);
void hash_table_destroy(void *table);

/* ---- Deadlines of a table's fields (hash_deadlines.c). */

#define PART_DEADLINE 8 /* no field, but a deadline to be written for one (FORMAT.md) */

/* What a table knows of its fields' deadlines: those in RAM in a heap by time, which may have
 * entries that are out of date; of a large one, the element records of all, by time. */
struct hash_deadlines {
    struct hash_deadline *heap; /* owned */
    size_t count, capacity;
    size_t rebuild_at; /* with so many entries, those that are out of date go */
    int64_t disk_ms;   /* no record is before that; OBJECT_NO_EXPIRE: there is none */
    /* Records that were read for hash_collect_due: deadlines and fields. */
    struct buf due;
    size_t due_count;
    int64_t due_ms;           /* what is at or before is due */
    int64_t first_due_ms;     /* of what was read */
    int64_t behind_due_ms;    /* the first that is not */
    bool due_read, due_ready; /* the records; their fields, too, are in RAM */
};

struct hash_deadline {
    int64_t at_ms;
    uint64_t position; /* of the field */
};

struct hash_deadlines *hash_deadlines_of(struct hash_table *table);
void hash_deadlines_destroy(struct hash_deadlines *deadlines);
size_t hash_deadlines_bytes(const struct hash_table *table);
int64_t hash_deadlines_next(const struct hash_table *table);
/* A field has been given a deadline. */
void hash_deadlines_add(struct hash_table *table, struct bytes field, uint64_t position,
                        int64_t at_ms);
/* A field loses the deadline that it had. */
void hash_deadlines_drop(struct hash_table *table, struct bytes field, uint64_t position,
                         int64_t at_ms);
/* The table has become large: what its fields' deadlines are has to be written. */
void hash_deadlines_settle(struct hash_table *table);
size_t hash_deadlines_collect(struct hash_table *table, int64_t now_ms, size_t max,
                              struct buf *names);

bool hash_is_deadline(struct bytes element);
void hash_encode_deadline(const struct part *part, struct part_sink *sink);
enum status hash_install_deadline(struct hash_table *table, struct bytes element);
void hash_installed_deadlines(struct hash_table *table, struct bytes to);

#endif
