/* An element of a sorted set: a part of a member (members.h) with the score as its prefix, so that
 * a member of up to 18 bytes takes 32 bytes of RAM.
 *
 *     part header (5) | score f64 LE (8) | length of the member, varint | member */
#ifndef BASALT_STORAGE_TYPES_ZSET_ELEMENT_H
#define BASALT_STORAGE_TYPES_ZSET_ELEMENT_H

#include "codec/bytes.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/member_table.h"

#include <stdint.h>
#include <string.h>

#define ZSET_SCORE_BYTES PART_PREFIX_BYTES

static inline uint64_t zset_score_bits(double score)
{
    uint64_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits;
}

static inline double zset_score_of_bits(uint64_t bits)
{
    double score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

static inline double zset_element_score(const struct part *element)
{
    return zset_score_of_bits(load_le64(element->data));
}

static inline void zset_element_set_score(struct part *element, double score)
{
    store_le64(element->data, zset_score_bits(score));
}

static inline struct bytes zset_element_member(const struct part *element)
{
    const uint8_t *at = element->data + ZSET_SCORE_BYTES;
    size_t len;
    at += member_varint(at, &len);
    return bytes_make(at, len);
}

/* A clean one that is nowhere yet; `bits` beside PART_PREFIXED. */
static inline struct part *zset_element_create(double score, struct bytes member, uint8_t bits)
{
    uint8_t len[VARINT_BYTES_MAX];
    size_t len_bytes = varint_encode(member.len, len);
    struct part *element = mem_alloc(PART_HEADER_BYTES + ZSET_SCORE_BYTES + len_bytes + member.len);
    memset(element, 0, PART_HEADER_BYTES);
    element->bits = PART_PREFIXED | bits;
    zset_element_set_score(element, score);
    memcpy(element->data + ZSET_SCORE_BYTES, len, len_bytes);
    if (member.len != 0)
        memcpy(element->data + ZSET_SCORE_BYTES + len_bytes, member.data, member.len);
    return element;
}

/* The score as an unsigned integer of the same order; 0 and -0 are one. */
static inline uint64_t zset_score_order(double score)
{
    uint64_t bits = zset_score_bits(score + 0.0); /* makes -0 a 0 */
    return bits >> 63 != 0 ? ~bits : bits | (uint64_t)1 << 63;
}

/* The opposite. */
static inline double zset_score_of_order(uint64_t order)
{
    return zset_score_of_bits(order >> 63 != 0 ? order & ~((uint64_t)1 << 63) : ~order);
}

#endif
