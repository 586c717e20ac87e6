/* What the keyspace, cuts, loads and eviction do with a value, whatever its type: one constant
 * table per type, next to the type's operations (types/), listed in object.c. Strings are the
 * exception where inline values matter (keyspace.c, cut.c).
 *
 * A collection is held in one of two ways on disk. *Small*: packed whole in its record. *Large*
 * (object->large): the record is a header with an object id, and the elements are parts (parts.h),
 * each under an element key of its own. */
#ifndef BASALT_STORAGE_VALUE_TYPE_H
#define BASALT_STORAGE_VALUE_TYPE_H

#include "codec/buf.h"
#include "codec/record.h"
#include "codec/status.h"
#include "storage/ensure.h"
#include "storage/object.h"
#include "storage/object_value.h"

struct part;
struct part_sink;
struct parts;

/* What values need of their keyspace (ks_value_rules). */
struct value_rules {
    uint64_t hash_seed; /* of positions, of keys and of members */
    size_t large_bytes; /* large-collection-threshold: what has more in elements becomes large */
    /* Up to which a collection is held in its compact form: so many elements, so long ones. */
    size_t hash_listpack_entries, hash_listpack_value;
    size_t set_intset_entries, set_listpack_entries, set_listpack_value;
    size_t zset_listpack_entries, zset_listpack_value;
    uint64_t (*new_id)(void *arg); /* gives out object ids */
    void *arg;
};

struct value_type {
    /* What OBJECT ENCODING answers. Static. */
    const char *(*encoding_name)(const struct object *o);
    /* As object_value_bytes and the others of object_value.h. */
    size_t (*bytes)(const struct object *o);
    size_t (*dirty_bytes)(const struct object *o);
    void *(*take)(struct object *o, object_free_fn **free_out);
    bool (*free_is_long)(const struct object *o);

    /* Appends the record's payload (what stands behind the record header); returns the header's
     * encoding byte. Of a large value that is its header, without the parts. Main thread. */
    uint8_t (*encode)(const struct object *o, struct buf *payload);
    /* Gives `o`, which holds no value, the value of a record: encoding, value, large. ST_CORRUPT,
     * and `o` still without a value, when it is none that we write. */
    enum status (*decode)(struct object *o, const struct record_header *header,
                          struct bytes payload, const struct value_rules *rules);
    /* Gives `to`, which holds no value, a copy; all of `from` is in RAM. */
    void (*copy)(struct object *to, const struct object *from, const struct value_rules *rules);

    /* ---- Deadlines of its own, such as those of a hash's fields; NULL in types that have none. */

    /* Nothing in the value is due before that; OBJECT_NO_EXPIRE: never. O(1). */
    int64_t (*next_deadline)(const struct object *o);
    /* The same of a record: what it was when the record was made. Any thread. */
    int64_t (*record_deadline)(const struct record_header *header, struct bytes payload);

    /* ---- Large values; NULL in types that have none. */

    /* The bookkeeping of its parts. */
    struct parts *(*parts)(const struct object *o);
    /* Says what a part looks like on disk, or that it is gone. Pure; the flusher's thread, while
     * the main thread changes the part's standing but not its bytes. */
    void (*encode_part)(const struct part *part, struct part_sink *sink);
    /* A part whose deletion has been applied: it leaves the value. Frees it. */
    void (*forget_part)(struct object *o, struct part *part);
    /* Brings an element in that was read; `found` false when the disk has none. What is in RAM
     * already wins. ST_CORRUPT. */
    enum status (*install_part)(struct object *o, struct bytes element, struct bytes value,
                                bool found, const struct value_rules *rules);
    /* Everything that the disk has in from <= element < to has been installed since the load began
     * (to empty: up to the end). */
    void (*installed_range)(struct object *o, struct bytes from, struct bytes to);
    /* Asks for all of it (ensure.h). */
    enum ensured (*ensure_all)(struct ensure *e);
    /* Frees clean parts, least useful first, until `bytes` have been freed or none is left; returns
     * the bytes freed. */
    size_t (*drop_clean)(struct object *o, size_t bytes);
};

/* The table of a live object's type; never NULL for a type that is built in. */
const struct value_type *object_value_type(enum object_type type);
/* As object_next_deadline, of a record. Any thread. */
int64_t object_record_deadline(enum object_type type, const struct record_header *header,
                               struct bytes payload);

#endif
