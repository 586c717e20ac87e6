#include "codec/buf.h"

#include "codec/check.h"
#include "codec/mem.h"

#include <stdarg.h>
#include <stdio.h>

#define BUF_CAPACITY_BYTES_MIN 64

static size_t grown_capacity(const struct buf *buf, size_t extra)
{
    size_t needed = buf->len + extra;
    CHECK(needed >= extra);
    size_t capacity = buf->capacity + buf->capacity / 2;
    if (capacity < needed)
        capacity = needed;
    return capacity < BUF_CAPACITY_BYTES_MIN ? BUF_CAPACITY_BYTES_MIN : capacity;
}

void buf_deinit(struct buf *buf)
{
    mem_free(buf->data);
    *buf = (struct buf){0};
}

uint8_t *buf_reserve(struct buf *buf, size_t extra)
{
    if (buf->capacity - buf->len < extra) {
        buf->capacity = grown_capacity(buf, extra);
        buf->data = mem_realloc(buf->data, buf->capacity);
    }
    return buf->data + buf->len;
}

bool buf_try_reserve(struct buf *buf, size_t extra)
{
    if (buf->capacity - buf->len >= extra)
        return true;
    if (extra > SIZE_MAX / 2 - buf->len)
        return false;
    size_t capacity = grown_capacity(buf, extra);
    uint8_t *data = mem_try_realloc(buf->data, capacity);
    if (data == NULL)
        return false;
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void buf_append(struct buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buf_reserve(buf, len), data, len);
    buf->len += len;
}

void buf_append_bytes(struct buf *buf, struct bytes bytes)
{
    buf_append(buf, bytes.data, bytes.len);
}

void buf_append_text(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_append_format(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(len >= 0);
    (void)buf_reserve(buf, (size_t)len + 1);
    (void)vsnprintf((char *)buf->data + buf->len, (size_t)len + 1, format, again);
    va_end(again);
    buf->len += (size_t)len;
}

void buf_append_byte(struct buf *buf, uint8_t byte)
{
    *buf_reserve(buf, 1) = byte;
    buf->len++;
}

void buf_consume(struct buf *buf, size_t len)
{
    CHECK(len <= buf->len);
    buf->len -= len;
    if (buf->len != 0 && len != 0)
        memmove(buf->data, buf->data + len, buf->len);
}

void buf_shrink(struct buf *buf)
{
    if (buf->len == 0) {
        buf_deinit(buf);
        return;
    }
    buf->data = mem_realloc(buf->data, buf->len);
    buf->capacity = buf->len;
}
