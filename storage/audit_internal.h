/* What the parts of the audit share: audit.c (the order of things, repairs), audit_records.c
 * (records, the expiry index), audit_objects.c, audit_order.c (elements of large objects). */
#ifndef BASALT_STORAGE_AUDIT_INTERNAL_H
#define BASALT_STORAGE_AUDIT_INTERNAL_H

#include "codec/buf.h"
#include "codec/bytes.h"
#include "codec/record.h"
#include "storage/audit.h"
#include "storage/cold.h"
#include "storage/meta.h"
#include "storage/value_type.h"

#define AUDIT_PLACE_BYTES_MAX 160
#define AUDIT_READAHEAD_BYTES ((size_t)2 << 20)

/* The ids of large objects, a window of them at a time: the smallest AUDIT_IDS_MAX that are above
 * `above`. An entry is type << 60 | id. */
#define AUDIT_IDS_MAX  ((size_t)4 << 20)
#define AUDIT_ID_LIMIT (UINT64_C(1) << 60)
struct audit_ids {
    uint64_t *items; /* owned */
    size_t count, capacity;
    uint64_t above; /* entries up to this one were dealt with */
    uint64_t upto;  /* no entry up to this one is missing from the window */
};

/* Expiring keys whose entry in the index is not where it would be most likely. */
#define AUDIT_SUSPECTS_MAX      ((size_t)1 << 20)
#define AUDIT_SUSPECT_BYTES_MAX ((size_t)64 << 20)
struct audit_suspect {
    uint64_t key_hash;
    int64_t deadline_ms;
    uint32_t off, len; /* of the record key in suspect_keys */
    uint8_t type;
    bool cleared;
};

struct audit {
    const struct audit_options *options;
    struct audit_report *report;
    struct cold *cold;
    struct cold_batch *repairs;
    struct meta_identity identity;
    struct meta_state state; /* db_count 0: could not be read */
    struct value_rules rules;
    struct meta_db *counted; /* owned: what there is, by database number */
    struct audit_ids ids;
    struct audit_suspect *suspects; /* owned; sorted when they are looked up */
    size_t suspect_count;
    struct buf suspect_keys;
    uint64_t dated; /* records that the index must have an entry for */
    uint64_t highest_id;
    uint64_t expected; /* entries to be read, for progress */
    uint64_t done;
    bool unreadable[FAMILY_COUNT];
    bool ids_lost[FAMILY_COUNT]; /* a record could not be read that may have been a large one's */
};

/* A record that is being looked at. */
struct audit_record {
    enum object_type type;
    struct bytes key; /* the record key */
    struct bytes value;
    struct record_header header;
    struct bytes payload;
    uint32_t db_number;
};

void audit_note(struct audit *audit, enum audit_kind kind, bool repaired, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* "hash "name" in database 3". */
const char *audit_place(const struct audit *audit, const struct audit_record *record,
                        char out[AUDIT_PLACE_BYTES_MAX]);
/* Counts entries read; ST_AGAIN when it is to stop. */
MUST_USE enum status audit_advance(struct audit *audit, const char *what, uint64_t entries,
                                   struct err *err);
/* An iterator's end: notes damage, and that the family is not to be relied on. */
MUST_USE enum status audit_iter_end(struct audit *audit, enum family family,
                                    const struct cold_iter *iter, struct err *err);
/* A lookup's result: ST_OK, ST_NOT_FOUND; damage is noted and given as ST_CORRUPT. */
MUST_USE enum status audit_get(struct audit *audit, enum family family, struct bytes key,
                               struct buf *value, struct err *err);

/* ---- Repairs: nothing happens, and they return false, unless repairs are wanted. */
bool audit_put(struct audit *audit, enum family family, struct bytes key, struct bytes value);
bool audit_delete(struct audit *audit, enum family family, struct bytes key);

/* All records, large objects with their elements; then elements without objects. */
MUST_USE enum status audit_read_records(struct audit *audit, struct err *err);
/* The expiry index. */
MUST_USE enum status audit_read_expires(struct audit *audit, struct err *err);
/* Compares the suspects with the index and forgets them. */
MUST_USE enum status audit_clear_suspects(struct audit *audit, struct err *err);

/* The elements of a large object, whose record has been decoded. */
MUST_USE enum status audit_read_object(struct audit *audit, const struct audit_record *record,
                                       uint64_t object_id, struct err *err);

/* ---- For audit_objects.c and audit_order.c: going through the elements of an object. */
struct audit_walk {
    struct audit *audit;
    const struct audit_record *record;
    uint64_t object_id;
    enum family family;
    struct cold_iter *iter;
    struct bytes element; /* its bytes behind the object's id */
    struct bytes value;
    struct buf key, found; /* scratch, for audit_walk_find */
    uint64_t bad;          /* elements that could not be decoded: counts say nothing then */
};
/* The elements that begin with `first` (0: all). */
void audit_walk_begin(struct audit_walk *walk, struct audit *audit,
                      const struct audit_record *record, uint64_t object_id, uint8_t first);
/* False at the end. */
bool audit_walk_next(struct audit_walk *walk);
/* `st` is the walk's own result so far. */
MUST_USE enum status audit_walk_end(struct audit_walk *walk, enum status st, struct err *err);
/* Looks up an element; its value is in walk->found. As audit_get. */
MUST_USE enum status audit_walk_find(struct audit_walk *walk, struct bytes element,
                                     struct err *err);
/* Notes that the element at hand is not what it should be. */
void audit_walk_blame(struct audit_walk *walk, const char *what);
void audit_blame_object(struct audit *audit, const struct audit_record *record,
                        enum audit_kind kind, const char *what, uint64_t is, uint64_t should);

/* audit_order.c: what has an order of its own beside its elements. */
MUST_USE enum status audit_read_list(struct audit *audit, const struct audit_record *record,
                                     uint64_t object_id, struct err *err);
MUST_USE enum status audit_read_stream(struct audit *audit, const struct audit_record *record,
                                       uint64_t object_id, struct err *err);
MUST_USE enum status audit_read_zset(struct audit *audit, const struct audit_record *record,
                                     uint64_t object_id, struct err *err);

static inline bool audit_take_varint(struct bytes *from, uint64_t *out)
{
    size_t len = varint_decode(*from, out);
    *from = bytes_make(from->data + len, from->len - len);
    return len != 0;
}

#endif
