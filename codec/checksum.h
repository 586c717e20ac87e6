/* Checksums and the keyed hash. Pure functions, any thread.
 *
 *   crc32c   what we write: journal blocks and segments (Castagnoli, reflected)
 *   crc64    what Redis writes: RDB files and DUMP payloads (Jones polynomial, reflected)
 *   crc16    Redis Cluster's slots (XMODEM: polynomial 0x1021, not reflected, starts at 0)
 *   hash64   XXH3; keyed by a seed, so that clients cannot choose keys that collide */
#ifndef BASALT_CODEC_CHECKSUM_H
#define BASALT_CODEC_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* CRC32C with the usual inversions on both sides. `seed` is 0, or the result for the bytes before:
 * crc32c(crc32c(0, a), b) is the checksum of a and b together. Uses the CPU's instructions where it
 * has them (about 20 GB/s for large inputs). */
uint32_t crc32c(uint32_t seed, const void *data, size_t len);

/* Redis's CRC64, without inversions. `seed` is 0, or the result for the bytes before. */
uint64_t crc64(uint64_t seed, const void *data, size_t len);

uint16_t crc16(const void *data, size_t len);

/* XXH3_64bits_withSeed(). */
uint64_t hash64(uint64_t seed, const void *data, size_t len);

/* The same as crc32c() without the CPU's instructions. For tests and the fallback. */
uint32_t crc32c_portable(uint32_t seed, const void *data, size_t len);

#endif
