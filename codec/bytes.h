/* A borrowed range of bytes. */
#ifndef BASALT_CODEC_BYTES_H
#define BASALT_CODEC_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct bytes {
    const uint8_t *data; /* may be NULL only if len is 0 */
    size_t len;
};

static inline struct bytes bytes_make(const void *data, size_t len)
{
    return (struct bytes){.data = (const uint8_t *)data, .len = len};
}

/* A view of a C string without its terminator. */
static inline struct bytes bytes_text(const char *text)
{
    return bytes_make(text, strlen(text));
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Compares with a C string, ignoring the case of ASCII letters. */
static inline bool bytes_equal_nocase(struct bytes a, const char *text)
{
    return strlen(text) == a.len && strncasecmp((const char *)a.data, text, a.len) == 0;
}

/* <0, 0, >0 as memcmp; a shorter range that is a prefix sorts first. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

#endif
