/* An owned, growable range of bytes. A zeroed struct is a valid empty buffer. One thread at a time.
 */
#ifndef BASALT_CODEC_BUF_H
#define BASALT_CODEC_BUF_H

#include "codec/bytes.h"
#include "codec/status.h"

struct buf {
    uint8_t *data; /* owned; NULL while capacity is 0 */
    size_t len;
    size_t capacity;
};

/* Frees the memory; the buffer is empty and usable afterwards. */
void buf_deinit(struct buf *buf);
/* Makes room for `extra` more bytes (aborts when out of memory) and returns where they go. */
uint8_t *buf_reserve(struct buf *buf, size_t extra);
/* The same where an outsider chose the size: false, and nothing changed, when out of memory. */
MUST_USE bool buf_try_reserve(struct buf *buf, size_t extra);
void buf_append(struct buf *buf, const void *data, size_t len);
void buf_append_bytes(struct buf *buf, struct bytes bytes);
void buf_append_text(struct buf *buf, const char *text);
void buf_append_format(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_append_byte(struct buf *buf, uint8_t byte);
/* Drops the first `len` bytes, moving the rest to the front. */
void buf_consume(struct buf *buf, size_t len);
/* Gives back capacity beyond `len`. */
void buf_shrink(struct buf *buf);

static inline void buf_clear(struct buf *buf)
{
    buf->len = 0;
}

static inline struct bytes buf_bytes(const struct buf *buf)
{
    return (struct bytes){.data = buf->data, .len = buf->len};
}

#endif
