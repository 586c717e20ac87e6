/* The buffered input below rdb_read.c: bytes, lengths and strings, without the structure above
 * them. Every function but input_init/deinit returns ST_OK or a final failure. */
#ifndef BASALT_CODEC_RDB_READ_INTERNAL_H
#define BASALT_CODEC_RDB_READ_INTERNAL_H

#include "codec/rdb_read.h"

struct rdb_input {
    rdb_read_fn *read;
    void *read_arg;
    uint64_t string_bytes_max;
    uint8_t *data;        /* owned, INPUT_BYTES; unless in_memory: borrowed, not written to */
    size_t at;            /* next byte to decode */
    size_t end;           /* of what was read */
    size_t checksum_at;   /* bytes before it are in the checksum */
    uint64_t data_offset; /* of data[0] in the file */
    uint64_t checksum;    /* CRC64 so far */
    bool ended;           /* the read function said so */
    bool in_memory;       /* data is borrowed, and all there is */
    bool marked;          /* what is behind the mark stays in the buffer */
    bool broken;          /* the read function has failed */
    size_t mark;
    rdb_take_bytes_fn *copy; /* also given what is decoded; or NULL */
    void *copy_arg;
    struct buf compressed; /* scratch for a compressed string longer than the input buffer */
    const char *doing;     /* static: for messages */
};

/* A length, or the encoding of a string that has none. */
struct rdb_length_field {
    uint64_t value;
    bool is_encoding;
};

void rdb_input_init(struct rdb_input *in, const struct rdb_reader_options *options);
/* Over bytes in memory. */
void rdb_input_init_memory(struct rdb_input *in, struct bytes data, uint64_t string_bytes_max);
void rdb_input_deinit(struct rdb_input *in);
uint64_t rdb_input_offset(const struct rdb_input *in);
/* From here on everything stays where it can be gone back to: what does not fit in the buffer
 * together with that is ST_LIMIT. */
void rdb_input_mark(struct rdb_input *in);
/* The bytes since the mark, borrowed until the next call; `back`: they are to be decoded again. */
struct bytes rdb_input_unmark(struct rdb_input *in, bool back);
/* The checksum of all bytes decoded so far; not while there is a mark. */
uint64_t rdb_input_checksum(struct rdb_input *in);

/* Sets `err` to a message that names the offset and what was being read; returns `code`. */
enum status rdb_input_fail(const struct rdb_input *in, struct err *err, enum status code,
                           const char *format, ...) PRINTF_LIKE(4, 5);

/* The next `len` bytes, at most RDB_INPUT_TAKE_BYTES_MAX, valid until the next call. */
#define RDB_INPUT_TAKE_BYTES_MAX 65536
MUST_USE enum status rdb_input_take(struct rdb_input *in, size_t len, const uint8_t **out,
                                    struct err *err);
MUST_USE enum status rdb_input_skip(struct rdb_input *in, uint64_t len, struct err *err);

MUST_USE enum status rdb_input_length_field(struct rdb_input *in, struct rdb_length_field *out,
                                            struct err *err);
/* A length where no encoding may stand. */
MUST_USE enum status rdb_input_length(struct rdb_input *in, uint64_t *out, struct err *err);
/* A string in any encoding. `out` is valid until the next call and while `scratch` is unchanged. */
MUST_USE enum status rdb_input_string(struct rdb_input *in, struct buf *scratch, struct bytes *out,
                                      struct err *err);
MUST_USE enum status rdb_input_skip_string(struct rdb_input *in, struct err *err);

/* rdb_read_value.c: decodes the value, of a known type, at which the input stands. */
MUST_USE enum status rdb_decode_value(struct rdb_input *in, uint8_t type, rdb_element_fn *take,
                                      void *arg, struct err *err);
/* rdb_read.c */
bool rdb_type_is_known(uint8_t type);

#endif
