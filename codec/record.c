/* Cold records: see record.h and FORMAT.md.
 *
 * record_position() is on the path of each command. Searching the hash tag therefore compares eight
 * bytes at a time, and only a key with a { in it takes the slow path. */
#include "codec/record.h"

#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/endian.h"

#define FORMAT_VERSION    1
#define FLAG_HAS_EXPIRE   0x1
#define FLAG_LARGE        0x2
#define FLAGS_KNOWN       (FLAG_HAS_EXPIRE | FLAG_LARGE)
#define HEADER_BYTES_MIN  2
#define CHUNK_COUNT_MAX   (UINT64_C(1) << 32) /* a chunk's index has 32 bits */
#define HASH_UNUSED_BITS  (64 - RECORD_POSITION_HASH_BITS)
#define EIGHT_TIMES(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Not 0 if a byte of `word` is a brace that opens. */
static inline uint64_t find_brace(uint64_t word)
{
    uint64_t v = word ^ EIGHT_TIMES('{');
    return (v - EIGHT_TIMES(1)) & ~v & EIGHT_TIMES(0x80);
}

static inline bool has_brace(struct bytes key)
{
    const uint8_t *p = key.data;
    if (key.len < 8) {
        for (size_t i = 0; i < key.len; i++) {
            if (p[i] == '{')
                return true;
        }
        return false;
    }
    /* The last word overlaps the one before it. */
    uint64_t found = find_brace(load_le64(p + key.len - 8));
    for (size_t i = 0; i + 8 < key.len; i += 8)
        found |= find_brace(load_le64(p + i));
    return found != 0;
}

static __attribute__((noinline)) struct bytes hash_tag(struct bytes key)
{
    const uint8_t *open = memchr(key.data, '{', key.len);
    if (open == NULL)
        return key;
    size_t behind = key.len - (size_t)(open + 1 - key.data);
    const uint8_t *close = memchr(open + 1, '}', behind);
    if (close == NULL || close == open + 1)
        return key;
    return bytes_make(open + 1, (size_t)(close - open - 1));
}

uint16_t record_slot(struct bytes key)
{
    struct bytes hashed = __builtin_expect(has_brace(key), 0) ? hash_tag(key) : key;
    return crc16(hashed.data, hashed.len) & (RECORD_SLOT_COUNT - 1);
}

uint64_t record_position(uint64_t seed, struct bytes key)
{
    uint64_t hash = hash64(seed, key.data, key.len) >> HASH_UNUSED_BITS;
    return (uint64_t)record_slot(key) << RECORD_POSITION_HASH_BITS | hash;
}

void record_key_prefix_encode(uint32_t db_id, uint64_t position,
                              uint8_t out[RECORD_KEY_PREFIX_BYTES])
{
    CHECK(db_id != RECORD_ELEMENT_DB_ID);
    CHECK(position <= RECORD_POSITION_MAX);
    /* The position's eighth byte is 0 and makes room for the database id's last one. */
    store_be64(out + 3, position);
    store_be32(out, db_id);
}

size_t record_key_encode(uint32_t db_id, uint64_t position, struct bytes key, uint8_t *out)
{
    record_key_prefix_encode(db_id, position, out);
    if (key.len != 0)
        memcpy(out + RECORD_KEY_PREFIX_BYTES, key.data, key.len);
    return record_key_bytes(key.len);
}

bool record_key_decode(struct bytes encoded, uint32_t *db_id_out, uint64_t *position_out,
                       struct bytes *key_out)
{
    if (encoded.len < RECORD_KEY_PREFIX_BYTES || record_is_element_key(encoded))
        return false;
    uint64_t position = load_be64(encoded.data + 3) & UINT64_C(0x00ffffffffffffff);
    if (position > RECORD_POSITION_MAX)
        return false;
    *db_id_out = load_be32(encoded.data);
    *position_out = position;
    *key_out =
        bytes_make(encoded.data + RECORD_KEY_PREFIX_BYTES, encoded.len - RECORD_KEY_PREFIX_BYTES);
    return true;
}

void record_db_prefix_encode(uint32_t db_id, uint8_t out[RECORD_DB_ID_BYTES])
{
    store_be32(out, db_id);
}

void record_element_prefix_encode(uint64_t object_id, uint8_t out[RECORD_ELEMENT_PREFIX_BYTES])
{
    store_be32(out, RECORD_ELEMENT_DB_ID);
    store_be64(out + 4, object_id);
}

size_t record_element_key_encode(uint64_t object_id, struct bytes element, uint8_t *out)
{
    record_element_prefix_encode(object_id, out);
    if (element.len != 0)
        memcpy(out + RECORD_ELEMENT_PREFIX_BYTES, element.data, element.len);
    return RECORD_ELEMENT_PREFIX_BYTES + element.len;
}

bool record_element_key_decode(struct bytes encoded, uint64_t *object_id_out,
                               struct bytes *element_out)
{
    if (encoded.len < RECORD_ELEMENT_PREFIX_BYTES || !record_is_element_key(encoded))
        return false;
    *object_id_out = load_be64(encoded.data + 4);
    *element_out = bytes_make(encoded.data + RECORD_ELEMENT_PREFIX_BYTES,
                              encoded.len - RECORD_ELEMENT_PREFIX_BYTES);
    return true;
}

void record_chunk_key_encode(uint64_t object_id, uint32_t index,
                             uint8_t out[RECORD_CHUNK_KEY_BYTES])
{
    record_element_prefix_encode(object_id, out);
    store_be32(out + RECORD_ELEMENT_PREFIX_BYTES, index);
}

bool record_chunk_key_decode(struct bytes encoded, uint64_t *object_id_out, uint32_t *index_out)
{
    struct bytes element;
    uint64_t object_id;
    if (encoded.len != RECORD_CHUNK_KEY_BYTES ||
        !record_element_key_decode(encoded, &object_id, &element))
        return false;
    *object_id_out = object_id;
    *index_out = load_be32(element.data);
    return true;
}

size_t record_expires_key_encode(int64_t expire_at_ms, struct bytes record_key, uint8_t *out)
{
    store_be64(out, expire_at_ms < 0 ? 0 : (uint64_t)expire_at_ms);
    if (record_key.len != 0)
        memcpy(out + RECORD_EXPIRES_PREFIX_BYTES, record_key.data, record_key.len);
    return RECORD_EXPIRES_PREFIX_BYTES + record_key.len;
}

bool record_expires_key_decode(struct bytes encoded, int64_t *expire_at_ms_out,
                               struct bytes *record_key_out)
{
    if (encoded.len < RECORD_EXPIRES_PREFIX_BYTES)
        return false;
    uint64_t at_ms = load_be64(encoded.data);
    if (at_ms > INT64_MAX)
        return false;
    *expire_at_ms_out = (int64_t)at_ms;
    *record_key_out = bytes_make(encoded.data + RECORD_EXPIRES_PREFIX_BYTES,
                                 encoded.len - RECORD_EXPIRES_PREFIX_BYTES);
    return true;
}

size_t record_header_encode(const struct record_header *header,
                            uint8_t out[RECORD_HEADER_BYTES_MAX])
{
    out[0] = (uint8_t)(FORMAT_VERSION << 4 | (header->has_expire ? FLAG_HAS_EXPIRE : 0) |
                       (header->large ? FLAG_LARGE : 0));
    out[1] = header->encoding;
    if (!header->has_expire)
        return HEADER_BYTES_MIN;
    store_le64(out + HEADER_BYTES_MIN, (uint64_t)header->expire_at_ms);
    return RECORD_HEADER_BYTES_MAX;
}

enum status record_header_decode(struct bytes value, struct record_header *header_out,
                                 struct bytes *payload_out)
{
    if (value.len < HEADER_BYTES_MIN)
        return ST_CORRUPT;
    uint8_t first = value.data[0];
    if (first >> 4 != FORMAT_VERSION)
        return first >> 4 > FORMAT_VERSION ? ST_UNSUPPORTED : ST_CORRUPT;
    if ((first & 0xf & ~FLAGS_KNOWN) != 0)
        return ST_CORRUPT;
    bool has_expire = (first & FLAG_HAS_EXPIRE) != 0;
    size_t header_bytes = has_expire ? RECORD_HEADER_BYTES_MAX : HEADER_BYTES_MIN;
    if (value.len < header_bytes)
        return ST_CORRUPT;
    *header_out = (struct record_header){
        .has_expire = has_expire,
        .large = (first & FLAG_LARGE) != 0,
        .encoding = value.data[1],
        .expire_at_ms = has_expire ? (int64_t)load_le64(value.data + HEADER_BYTES_MIN) : 0,
    };
    *payload_out = bytes_make(value.data + header_bytes, value.len - header_bytes);
    return ST_OK;
}

void record_large_string_encode(const struct record_large_string *large,
                                uint8_t out[RECORD_LARGE_STRING_BYTES])
{
    CHECK(large->chunk_bytes != 0);
    CHECK(large->len / large->chunk_bytes < CHUNK_COUNT_MAX);
    store_le64(out, large->object_id);
    store_le64(out + 8, large->len);
    store_le32(out + 16, large->chunk_bytes);
}

enum status record_large_string_decode(struct bytes payload, struct record_large_string *out)
{
    if (payload.len != RECORD_LARGE_STRING_BYTES)
        return ST_CORRUPT;
    uint64_t len = load_le64(payload.data + 8);
    uint32_t chunk_bytes = load_le32(payload.data + 16);
    if (chunk_bytes == 0 || len / chunk_bytes >= CHUNK_COUNT_MAX)
        return ST_CORRUPT;
    *out = (struct record_large_string){
        .object_id = load_le64(payload.data),
        .len = len,
        .chunk_bytes = chunk_bytes,
    };
    return ST_OK;
}
