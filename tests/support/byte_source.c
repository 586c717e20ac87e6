#include "tests/support/byte_source.h"

enum status byte_source_read(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                             struct err *err)
{
    struct byte_source *source = arg;
    source->calls++;
    if (source->fail_call != 0 && source->calls >= source->fail_call)
        return err_set(err, ST_IO, "injected read error");
    size_t len = source->data.len;
    if (len > capacity)
        len = capacity;
    if (source->piece_bytes != 0 && len > source->piece_bytes)
        len = source->piece_bytes;
    if (len != 0) {
        memcpy(out, source->data.data, len);
        source->data = bytes_make(source->data.data + len, source->data.len - len);
    }
    *read_out = len;
    return ST_OK;
}
