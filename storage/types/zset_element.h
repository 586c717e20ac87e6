/* An element of a sorted set: a part (storage/parts.h) with the score and the member packed behind
 * its header, so that a member of up to 18 bytes takes 32 bytes of RAM.
 *
 *     part header (5) | score f64 (8) | length of the member, varint | member */
#ifndef BASALT_STORAGE_TYPES_ZSET_ELEMENT_H
#define BASALT_STORAGE_TYPES_ZSET_ELEMENT_H

#include "codec/bytes.h"
#include "codec/record.h"
#include "storage/parts.h"

#include <stdint.h>
#include <string.h>

#define ZSET_SCORE_BYTES 8

static inline double zset_element_score(const struct part *element)
{
    double score;
    memcpy(&score, element->data, sizeof score);
    return score;
}

static inline void zset_element_set_score(struct part *element, double score)
{
    memcpy(element->data, &score, sizeof score);
}

static inline struct bytes zset_element_member(const struct part *element)
{
    const uint8_t *at = element->data + ZSET_SCORE_BYTES;
    size_t len = *at++;
    if (__builtin_expect(len >= 0x80, 0)) {
        len &= 0x7f;
        for (unsigned shift = 7;; shift += 7) {
            uint8_t byte = *at++;
            len |= (size_t)(byte & 0x7f) << shift;
            if (byte < 0x80)
                break;
        }
    }
    return bytes_make(at, len);
}

/* The score as an unsigned integer of the same order; 0 and -0 are one. */
static inline uint64_t zset_score_order(double score)
{
    uint64_t bits;
    score += 0.0; /* makes -0 a 0 */
    memcpy(&bits, &score, sizeof bits);
    return bits >> 63 != 0 ? ~bits : bits | (uint64_t)1 << 63;
}

#endif
