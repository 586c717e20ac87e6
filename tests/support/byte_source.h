/* An input for streaming decoders: bytes in memory, handed out in small pieces, that may fail. */
#ifndef BASALT_TESTS_SUPPORT_BYTE_SOURCE_H
#define BASALT_TESTS_SUPPORT_BYTE_SOURCE_H

#include "codec/bytes.h"
#include "codec/status.h"

struct byte_source {
    struct bytes data;  /* what is left */
    size_t piece_bytes; /* how many at most per call; 0 for as many as fit */
    size_t calls;       /* made so far */
    size_t fail_call;   /* from this call on (the first is 1) all fail with ST_IO; 0 for never */
};

/* An rdb_read_fn; `arg` is a struct byte_source. */
enum status byte_source_read(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                             struct err *err);

#endif
