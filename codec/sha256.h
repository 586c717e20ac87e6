/* SHA-256, for passwords of users. Pure functions, any thread. Source: FIPS 180-4. */
#ifndef BASALT_CODEC_SHA256_H
#define BASALT_CODEC_SHA256_H

#include "codec/bytes.h"

#define SHA256_BYTES     32
#define SHA256_HEX_CHARS 64

void sha256_digest(struct bytes data, uint8_t out[SHA256_BYTES]);
/* Lower-case hexadecimal digits and a terminator. */
void sha256_format(const uint8_t digest[SHA256_BYTES], char out[SHA256_HEX_CHARS + 1]);

#endif
