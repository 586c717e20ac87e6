/* General compression, by zstd: one-shot frames that carry their uncompressed size and a checksum.
 * Pure apart from the context, which one thread at a time may use. */
#ifndef BASALT_CODEC_COMPRESS_H
#define BASALT_CODEC_COMPRESS_H

#include "codec/buf.h"
#include "codec/bytes.h"
#include "codec/status.h"

#define COMPRESS_LEVEL_MIN     (-5) /* fastest */
#define COMPRESS_LEVEL_DEFAULT 1
#define COMPRESS_LEVEL_MAX     19

/* Keeps zstd's tables between calls: that saves their allocation, some microseconds per call. */
struct compress_context;

struct compress_context *compress_context_create(void);
void compress_context_destroy(struct compress_context *context);

/* Appends a frame with the contents of `in` to `out`. A `context` of NULL is made for this call.
 * ST_LIMIT, and nothing appended, when out of memory. */
MUST_USE enum status compress_encode(struct compress_context *context, int level, struct bytes in,
                                     struct buf *out, struct err *err);

/* Appends the contents of the one frame `in` to `out`. ST_CORRUPT if it is none, or damaged;
 * ST_LIMIT if it claims more than `len_max` bytes or when out of memory. `out` keeps its former
 * contents then. */
MUST_USE enum status compress_decode(struct compress_context *context, struct bytes in,
                                     size_t len_max, struct buf *out, struct err *err);

/* ---- Files packed by zstd, piece by piece. */

struct unpack;

struct unpack *unpack_create(void);
void unpack_destroy(struct unpack *unpack); /* NULL is allowed */
/* Unpacks from the front of `in`, which it moves on, into at most `capacity` bytes. ST_CORRUPT,
 * ST_LIMIT (out of memory, or a window of more than 128 MiB). */
MUST_USE enum status unpack_step(struct unpack *unpack, struct bytes *in, uint8_t *out,
                                 size_t capacity, size_t *len_out, struct err *err);
/* Whether the input may end here: between two frames. */
bool unpack_at_end(const struct unpack *unpack);

#endif
