/* Replies on their way to a client: a queue of blocks. Main thread.
 *
 * Small replies are packed into blocks of 16 KiB (the first one kept for reuse); large bulk strings
 * get blocks of their own. A deferred aggregate keeps a place for its header. */
#ifndef BASALT_SERVER_OUTPUT_H
#define BASALT_SERVER_OUTPUT_H

#include "codec/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct output;

struct output *output_create(void);
void output_destroy(struct output *out);

/* A place for up to `len_max` bytes in one piece; commit what was used. len_max <= 4096. */
uint8_t *output_reserve(struct output *out, size_t len_max);
void output_commit(struct output *out, size_t len);
void output_append(struct output *out, const void *data, size_t len);
/* Splits here: bytes can be put before all that comes later, once (a deferred header). */
void *output_mark(struct output *out);
void output_fill_mark(struct output *out, void *mark, const void *data, size_t len);

/* Bytes queued, and bytes of memory held. */
size_t output_bytes(const struct output *out);
size_t output_memory(const struct output *out);

/* For the sender: up to `max` ranges from the front; then what was sent. */
size_t output_peek(const struct output *out, struct bytes *ranges, size_t max);
void output_consume(struct output *out, size_t len);
/* Moves all of `from` behind what `out` holds. */
void output_splice(struct output *out, struct output *from);
/* Drops everything behind `bytes_kept` (a transaction's replies thrown away, a captured reply). */
void output_truncate(struct output *out, size_t bytes_kept);

#endif
