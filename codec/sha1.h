/* SHA-1, for names of scripts and digests of data sets, where Redis uses it; not for security. Pure
 * functions, any thread. Source: RFC 3174. */
#ifndef BASALT_CODEC_SHA1_H
#define BASALT_CODEC_SHA1_H

#include "codec/bytes.h"

#define SHA1_BYTES     20
#define SHA1_HEX_CHARS 40

struct sha1 {
    uint32_t state[5];
    uint64_t total_bytes;
    uint8_t block[64]; /* what has not filled a block yet */
};

void sha1_init(struct sha1 *sha1);
void sha1_update(struct sha1 *sha1, struct bytes data);
/* `sha1` must be initialised again before further use. */
void sha1_finish(struct sha1 *sha1, uint8_t out[SHA1_BYTES]);

/* All at once. */
void sha1_digest(struct bytes data, uint8_t out[SHA1_BYTES]);
/* Lower-case hexadecimal digits and a terminator. */
void sha1_format(const uint8_t digest[SHA1_BYTES], char out[SHA1_HEX_CHARS + 1]);

#endif
