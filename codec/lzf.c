#include "codec/lzf.h"

#include <liblzf/lzf.h>

size_t lzf_encode(struct bytes in, uint8_t *out, size_t out_capacity)
{
    if (in.len == 0 || in.len > LZF_BYTES_MAX || out_capacity == 0)
        return 0;
    size_t capacity = out_capacity < LZF_BYTES_MAX ? out_capacity : LZF_BYTES_MAX;
    return lzf_compress(in.data, (unsigned)in.len, out, (unsigned)capacity);
}

enum status lzf_decode(struct bytes in, uint8_t *out, size_t out_len)
{
    if (in.len == 0 || in.len > LZF_BYTES_MAX || out_len == 0 || out_len > LZF_BYTES_MAX)
        return ST_CORRUPT;
    return lzf_decompress(in.data, (unsigned)in.len, out, (unsigned)out_len) == out_len
               ? ST_OK
               : ST_CORRUPT;
}
