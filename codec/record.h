/* The bytes of RocksDB keys and values. Pure functions, any thread. Source: FORMAT.md, "Cold
 * records".
 *
 *   record key    database id u32 | position, 7 bytes | user key           all big endian
 *   element key   0xffffffff | object id u64 | element bytes
 *   expires key   expire_at_ms u64 | record key                            (value empty)
 *   value         version and flags, encoding, [expire_at_ms i64 LE], payload
 *
 * A position is 53 bits: the key's cluster slot (14 bits), then 39 bits of a keyed hash. Records
 * stand in that order, so that it is the order of SCAN, and a slot is one contiguous range. */
#ifndef BASALT_CODEC_RECORD_H
#define BASALT_CODEC_RECORD_H

#include "codec/bytes.h"
#include "codec/status.h"

#define RECORD_POSITION_BITS      53
#define RECORD_POSITION_HASH_BITS 39
#define RECORD_POSITION_MAX       ((UINT64_C(1) << RECORD_POSITION_BITS) - 1)
#define RECORD_SLOT_COUNT         16384
#define RECORD_DB_ID_BYTES        4
#define RECORD_KEY_PREFIX_BYTES   11           /* what stands before the user key */
#define RECORD_KEY_BYTES_MAX      (512u << 20) /* of a user key, as in Redis */

/* The database id that element keys bear, and thus no database. */
#define RECORD_ELEMENT_DB_ID        UINT32_MAX
#define RECORD_ELEMENT_PREFIX_BYTES 12
#define RECORD_EXPIRES_PREFIX_BYTES 8
#define RECORD_HEADER_BYTES_MAX     10
#define RECORD_LARGE_ID_BYTES       8 /* every large payload begins with the object id, u64 LE */
#define RECORD_LARGE_STRING_BYTES   20
#define RECORD_CHUNK_KEY_BYTES      16
#define RECORD_CHUNK_BYTES          16384 /* of a large string that we write */
#define VARINT_BYTES_MAX            10

_Static_assert(RECORD_POSITION_BITS - RECORD_POSITION_HASH_BITS == 14, "a slot has 14 bits");

/* -- Position ---------------------------------------------------------------------------------- */

/* Where `key` stands. `seed` is the data directory's. About 10 ns for a key of 16 bytes. */
uint64_t record_position(uint64_t seed, struct bytes key);

/* Redis Cluster's hash slot: CRC16 of the key, or of what is between the first { and the first }
 * behind it where that is not empty. */
uint16_t record_slot(struct bytes key);

static inline uint16_t record_position_slot(uint64_t position)
{
    return (uint16_t)(position >> RECORD_POSITION_HASH_BITS);
}

/* The first position of a slot; for RECORD_SLOT_COUNT, one more than the last position. */
static inline uint64_t record_slot_position(uint32_t slot)
{
    return (uint64_t)slot << RECORD_POSITION_HASH_BITS;
}

/* -- Record keys ------------------------------------------------------------------------------- */

static inline size_t record_key_bytes(size_t key_len)
{
    return RECORD_KEY_PREFIX_BYTES + key_len;
}

/* Writes what stands before the user key: where a scan from `position` on begins. */
void record_key_prefix_encode(uint32_t db_id, uint64_t position,
                              uint8_t out[RECORD_KEY_PREFIX_BYTES]);
/* Writes record_key_bytes(key.len) bytes and returns their number. */
size_t record_key_encode(uint32_t db_id, uint64_t position, struct bytes key, uint8_t *out);
/* False, and nothing written, if these bytes are no record key (an element key is none). `key_out`
 * points into `encoded`. */
MUST_USE bool record_key_decode(struct bytes encoded, uint32_t *db_id_out, uint64_t *position_out,
                                struct bytes *key_out);
/* Writes the first possible key of a database: of `db_id + 1`, the end of `db_id`'s range. */
void record_db_prefix_encode(uint32_t db_id, uint8_t out[RECORD_DB_ID_BYTES]);

/* -- Element keys ------------------------------------------------------------------------------ */

static inline bool record_is_element_key(struct bytes encoded)
{
    static const uint8_t mark[4] = {0xff, 0xff, 0xff, 0xff};
    return encoded.len >= sizeof(mark) && memcmp(encoded.data, mark, sizeof(mark)) == 0;
}

/* Where the elements of an object begin; those of `object_id + 1` are the end of the range. */
void record_element_prefix_encode(uint64_t object_id, uint8_t out[RECORD_ELEMENT_PREFIX_BYTES]);
/* Writes RECORD_ELEMENT_PREFIX_BYTES + element.len bytes and returns their number. */
size_t record_element_key_encode(uint64_t object_id, struct bytes element, uint8_t *out);
MUST_USE bool record_element_key_decode(struct bytes encoded, uint64_t *object_id_out,
                                        struct bytes *element_out);
/* The element key of chunk `index` of a large string. */
void record_chunk_key_encode(uint64_t object_id, uint32_t index,
                             uint8_t out[RECORD_CHUNK_KEY_BYTES]);
MUST_USE bool record_chunk_key_decode(struct bytes encoded, uint64_t *object_id_out,
                                      uint32_t *index_out);

/* -- Expires keys ------------------------------------------------------------------------------ */

/* Writes RECORD_EXPIRES_PREFIX_BYTES + record_key.len bytes and returns their number. A time before
 * 1970 counts as 0 (the entry is a hint; the record has the exact time). */
size_t record_expires_key_encode(int64_t expire_at_ms, struct bytes record_key, uint8_t *out);
/* Checks the time only; `record_key_out` points into `encoded` and is yet to be decoded. */
MUST_USE bool record_expires_key_decode(struct bytes encoded, int64_t *expire_at_ms_out,
                                        struct bytes *record_key_out);

/* -- Values ------------------------------------------------------------------------------------ */

enum record_string_encoding {
    RECORD_STRING_RAW = 0, /* the payload is the text in all three */
    RECORD_STRING_EMBSTR = 1,
    RECORD_STRING_INT = 2,
};

enum record_zset_encoding {
    RECORD_ZSET_LISTPACK = 0,
    RECORD_ZSET_TABLE = 1,
};

enum record_set_encoding {
    RECORD_SET_INTSET = 0,
    RECORD_SET_LISTPACK = 1,
    RECORD_SET_TABLE = 2, /* also of a large one */
};

enum record_hash_encoding {
    RECORD_HASH_LISTPACK = 0,
    RECORD_HASH_LISTPACK_EX = 1, /* with expiry of fields */
    RECORD_HASH_TABLE = 2,       /* also of a large one */
    RECORD_HASH_TABLE_EX = 3,    /* the same with expiry of fields */
};

struct record_header {
    bool has_expire;
    bool large;           /* the payload is a header, the elements stand under element keys */
    uint8_t encoding;     /* by type; for a string, an enum record_string_encoding */
    int64_t expire_at_ms; /* 0 unless has_expire */
};

/* Returns the number of bytes written: 2, or 10 with an expiry. The payload follows. */
size_t record_header_encode(const struct record_header *header,
                            uint8_t out[RECORD_HEADER_BYTES_MAX]);
/* Returns ST_OK; ST_CORRUPT (too short, unknown flags); ST_UNSUPPORTED (a newer format version).
 * `payload_out` points into `value`. Nothing is written unless ST_OK. */
MUST_USE enum status record_header_decode(struct bytes value, struct record_header *header_out,
                                          struct bytes *payload_out);

/* The payload of a large string's record. */
struct record_large_string {
    uint64_t object_id;
    uint64_t len;         /* bytes of the whole string */
    uint32_t chunk_bytes; /* of each chunk but the last; a missing chunk is all zeros */
};

void record_large_string_encode(const struct record_large_string *large,
                                uint8_t out[RECORD_LARGE_STRING_BYTES]);
/* ST_CORRUPT unless exactly such a payload: chunk_bytes not 0, len at most 2^32 chunks. */
MUST_USE enum status record_large_string_decode(struct bytes payload,
                                                struct record_large_string *out);

/* -- Varints ----------------------------------------------------------------------------------- */

/* LEB128: seven bits per byte, lowest first, the high bit says that more follow. Returns the number
 * of bytes written, 1 to VARINT_BYTES_MAX. */
static inline size_t varint_encode(uint64_t value, uint8_t out[VARINT_BYTES_MAX])
{
    size_t len = 0;
    while (value >= 0x80) {
        out[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[len++] = (uint8_t)value;
    return len;
}

/* Returns the number of bytes read from the front; 0 if they end too early, or do not fit in 64
 * bits, or are longer than the number needs (each number has one spelling). */
MUST_USE static inline size_t varint_decode(struct bytes encoded, uint64_t *value_out)
{
    uint64_t value = 0;
    size_t len_max = encoded.len < VARINT_BYTES_MAX ? encoded.len : VARINT_BYTES_MAX;
    for (size_t i = 0; i < len_max; i++) {
        uint64_t byte = encoded.data[i];
        value |= (byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            if ((byte == 0 && i != 0) || (i == VARINT_BYTES_MAX - 1 && byte > 1))
                return 0;
            *value_out = value;
            return i + 1;
        }
    }
    return 0;
}

#endif
