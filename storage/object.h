/* A key with its value in RAM: one allocation holds the header, the key's bytes and, for short
 * strings, the value's bytes too, so that a hot GET touches the table's bucket and the object only.
 *
 * Objects belong to the main thread. They are created, changed and freed through keyspace.h; the
 * types in storage/types/ own what `value` points to. */
#ifndef BASALT_STORAGE_OBJECT_H
#define BASALT_STORAGE_OBJECT_H

#include "codec/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum object_type {
    OBJECT_NONE = 0, /* a tombstone: the key is known to be absent */
    OBJECT_STRING,
    OBJECT_LIST,
    OBJECT_SET,
    OBJECT_ZSET,
    OBJECT_HASH,
    OBJECT_STREAM,
    OBJECT_TYPE_COUNT,
};

/* How the value is held in RAM. What OBJECT ENCODING answers is up to the type. */
enum object_encoding {
    ENCODING_NONE = 0,
    ENCODING_INT,     /* string: value.integer */
    ENCODING_INLINE,  /* string: value.inline_len bytes behind the key */
    ENCODING_HEAP,    /* string: value.pointer is a struct string_heap */
    ENCODING_CHUNKED, /* string: value.pointer is a struct string_chunked; may be partly resident */
    ENCODING_LISTPACK,
    ENCODING_INTSET,
    ENCODING_TABLE,
    ENCODING_QUICKLIST,
    ENCODING_ORDERED,
    ENCODING_STREAM,
    ENCODING_LISTPACK_EX, /* hash: fields may have an expiry */
    ENCODING_PAGED,       /* collection too large to be one record; may be partly resident */
};

/* Where the object stands between RAM and RocksDB; see keyspace.h for the diagram. The two dirty
 * states take turns: objects in the keyspace's current one are in their database's dirty list,
 * those in the other one belong to the running cut and have not been encoded yet. So a cut begins
 * by exchanging the two, without a look at the objects. */
enum object_state {
    OBJECT_CLEAN = 0, /* equals its record, or will once the cut `cut_epoch` has been applied */
    OBJECT_DIRTY_A,
    OBJECT_DIRTY_B,
    OBJECT_LEAVING, /* a tombstone that goes when the cut `cut_epoch` has been applied */
};

#define OBJECT_NO_EXPIRE     ((int64_t)-1)
#define OBJECT_KEY_BYTES_MAX ((size_t)512 * 1024 * 1024)

/* Tells an object's LFU counter from the LRU clock, for the time after the policy has changed. */
#define OBJECT_ACCESS_LFU ((uint32_t)1 << 31)

struct object {
    uint64_t position; /* 53 bits, record_position() of the key */
    union {
        void *pointer;     /* owned by the type */
        int64_t integer;   /* ENCODING_INT */
        size_t inline_len; /* ENCODING_INLINE */
    } value;
    int64_t expire_at_ms; /* wall clock, or OBJECT_NO_EXPIRE */
    uint32_t access;      /* LRU: seconds; LFU: the bit below | minutes << 8 | counter */
    uint32_t list_index;  /* place in the list that `state` names */
    uint32_t cut_epoch;   /* the last cut that this object was encoded for, 0 = none */
    uint32_t key_len;
    uint8_t type;            /* enum object_type */
    uint8_t encoding;        /* enum object_encoding */
    uint8_t state;           /* enum object_state */
    uint8_t disk_type;       /* type of the record that RocksDB holds (or will, once the last cut is
                                applied) for this key; OBJECT_NONE = none */
    uint8_t unresolved : 1;  /* disk_type is not known yet: a blind overwrite, being looked up */
    uint8_t probation : 1;   /* loaded and not touched again since; the first to go (evict.h) */
    uint8_t fresh : 1;       /* probation: the command it was loaded for has not touched it yet */
    uint8_t disk_expire : 1; /* the record on disk has an expiry (as disk_type says its type) */
    uint8_t raw : 1;         /* string: answers "raw" whatever its length; else: the expires family
                                covers the value's own deadlines (value_type.next_deadline) */
    uint8_t expire_new : 1;  /* the expires family does not cover expire_at_ms yet */
    uint8_t large : 1;       /* value holds an object id: its elements are records of their own */
    uint8_t moved : 1;       /* large: the keyspace has noted where its record was (tier.h) */
    uint8_t key[];           /* key_len bytes, then the inline value */
};

static inline struct bytes object_key(const struct object *o)
{
    return bytes_make(o->key, o->key_len);
}

static inline bool object_has_expire(const struct object *o)
{
    return o->expire_at_ms != OBJECT_NO_EXPIRE;
}

static inline bool object_is_live(const struct object *o)
{
    return o->type != OBJECT_NONE;
}

/* "string", "list", "set", "zset", "hash", "stream" or "none", as TYPE answers. */
const char *object_type_name(enum object_type type);
/* What OBJECT ENCODING answers of a live object. */
const char *object_encoding_name(const struct object *o);

#endif
