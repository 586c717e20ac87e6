/* LZF, the compression of strings in RDB files, by liblzf. Pure functions, any thread; compressing
 * takes half a megabyte of stack. */
#ifndef BASALT_CODEC_LZF_H
#define BASALT_CODEC_LZF_H

#include "codec/bytes.h"
#include "codec/status.h"

#define LZF_BYTES_MAX UINT32_MAX

/* Compresses `in` into `out` and returns the number of bytes written, or 0 if they would be more
 * than `out_capacity` (or `in` is empty or longer than LZF_BYTES_MAX). */
size_t lzf_encode(struct bytes in, uint8_t *out, size_t out_capacity);

/* Decompresses `in` into exactly `out_len` bytes. ST_CORRUPT if it is not that; `out` then has
 * undefined contents. */
MUST_USE enum status lzf_decode(struct bytes in, uint8_t *out, size_t out_len);

/* The most bytes that `len` compressed ones can stand for: a bound to test before allocating what
 * an outsider claims. */
static inline uint64_t lzf_decoded_bytes_max(uint64_t len)
{
    return len > UINT64_MAX / 88 ? UINT64_MAX : len * 88; /* 3 bytes repeat up to 264 */
}

#endif
