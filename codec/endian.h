/* Integers in memory with a fixed byte order. Addresses need no alignment. Compiles to single moves
 * (and a byte swap). */
#ifndef BASALT_CODEC_ENDIAN_H
#define BASALT_CODEC_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ENDIAN_LE16(v) (v)
#define ENDIAN_LE32(v) (v)
#define ENDIAN_LE64(v) (v)
#define ENDIAN_BE16(v) __builtin_bswap16(v)
#define ENDIAN_BE32(v) __builtin_bswap32(v)
#define ENDIAN_BE64(v) __builtin_bswap64(v)
#else
#define ENDIAN_LE16(v) __builtin_bswap16(v)
#define ENDIAN_LE32(v) __builtin_bswap32(v)
#define ENDIAN_LE64(v) __builtin_bswap64(v)
#define ENDIAN_BE16(v) (v)
#define ENDIAN_BE32(v) (v)
#define ENDIAN_BE64(v) (v)
#endif

static inline uint16_t load_le16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return ENDIAN_LE16(v);
}

static inline uint32_t load_le32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return ENDIAN_LE32(v);
}

static inline uint64_t load_le64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return ENDIAN_LE64(v);
}

static inline uint16_t load_be16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return ENDIAN_BE16(v);
}

static inline uint32_t load_be32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return ENDIAN_BE32(v);
}

static inline uint64_t load_be64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return ENDIAN_BE64(v);
}

static inline void store_le16(uint8_t *p, uint16_t v)
{
    v = ENDIAN_LE16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void store_le32(uint8_t *p, uint32_t v)
{
    v = ENDIAN_LE32(v);
    memcpy(p, &v, sizeof(v));
}

static inline void store_le64(uint8_t *p, uint64_t v)
{
    v = ENDIAN_LE64(v);
    memcpy(p, &v, sizeof(v));
}

static inline void store_be16(uint8_t *p, uint16_t v)
{
    v = ENDIAN_BE16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
    v = ENDIAN_BE32(v);
    memcpy(p, &v, sizeof(v));
}

static inline void store_be64(uint8_t *p, uint64_t v)
{
    v = ENDIAN_BE64(v);
    memcpy(p, &v, sizeof(v));
}

#endif
