/* Buffered input of the RDB reader. One buffer slides over the file; short strings are handed out
 * where they lie in it. The checksum is taken of large pieces, when the buffer moves on. */
#include "codec/rdb_read_internal.h"

#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/lzf.h"
#include "codec/mem.h"
#include "codec/number.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define INPUT_BYTES      (256 * 1024)
#define DETAIL_BYTES_MAX 160

_Static_assert(RDB_INPUT_TAKE_BYTES_MAX <= INPUT_BYTES, "what is taken fits in the buffer");

void rdb_input_init(struct rdb_input *in, const struct rdb_reader_options *options)
{
    *in = (struct rdb_input){
        .read = options->read,
        .read_arg = options->read_arg,
        .string_bytes_max =
            options->string_bytes_max != 0 ? options->string_bytes_max : LZF_BYTES_MAX,
        .data = mem_alloc(INPUT_BYTES),
        .doing = "reading the header",
    };
}

void rdb_input_init_memory(struct rdb_input *in, struct bytes data, uint64_t string_bytes_max)
{
    *in = (struct rdb_input){
        .string_bytes_max = string_bytes_max != 0 ? string_bytes_max : LZF_BYTES_MAX,
        .data = (uint8_t *)(uintptr_t)data.data, /* fill() does not write to it */
        .end = data.len,
        .ended = true,
        .in_memory = true,
        .doing = "reading",
    };
}

void rdb_input_deinit(struct rdb_input *in)
{
    if (!in->in_memory)
        mem_free(in->data);
    buf_deinit(&in->compressed);
    *in = (struct rdb_input){0};
}

uint64_t rdb_input_offset(const struct rdb_input *in)
{
    return in->data_offset + in->at;
}

static void add_to_checksum(struct rdb_input *in, size_t end)
{
    in->checksum = crc64(in->checksum, in->data + in->checksum_at, end - in->checksum_at);
    in->checksum_at = end;
}

uint64_t rdb_input_checksum(struct rdb_input *in)
{
    CHECK(!in->marked);
    add_to_checksum(in, in->at);
    return in->checksum;
}

void rdb_input_mark(struct rdb_input *in)
{
    in->marked = true;
    in->mark = in->at;
}

struct bytes rdb_input_unmark(struct rdb_input *in, bool back)
{
    struct bytes bytes = bytes_make(in->data + in->mark, in->at - in->mark);
    CHECK(in->marked);
    in->marked = false;
    if (back)
        in->at = in->mark;
    return bytes;
}

enum status rdb_input_fail(const struct rdb_input *in, struct err *err, enum status code,
                           const char *format, ...)
{
    char detail[DETAIL_BYTES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    return err_set(err, code, "RDB offset %" PRIu64 ", %s: %s", rdb_input_offset(in), in->doing,
                   detail);
}

static enum status fail_at_end(struct rdb_input *in, size_t len, struct err *err)
{
    return rdb_input_fail(in, err, ST_CORRUPT, "the %s here, at least %zu more bytes must follow",
                          in->in_memory ? "bytes end" : "file ends", len - (in->end - in->at));
}

/* Reads until `len` bytes are there to decode. */
static enum status fill(struct rdb_input *in, size_t len, struct err *err)
{
    if (in->in_memory)
        return fail_at_end(in, len, err);
    size_t keep_from = in->marked ? in->mark : in->at;
    if (len > INPUT_BYTES - (in->at - keep_from))
        return ST_LIMIT;
    add_to_checksum(in, keep_from);
    memmove(in->data, in->data + keep_from, in->end - keep_from);
    in->data_offset += keep_from;
    in->end -= keep_from;
    in->at -= keep_from;
    in->checksum_at = 0;
    in->mark = 0;
    while (in->end - in->at < len) {
        size_t got = 0;
        if (!in->ended) {
            struct err read_err = {0};
            enum status st =
                in->read(in->read_arg, in->data + in->end, INPUT_BYTES - in->end, &got, &read_err);
            in->broken = st != ST_OK;
            if (st != ST_OK)
                return rdb_input_fail(in, err, st, "%s", read_err.message);
            CHECK(got <= INPUT_BYTES - in->end);
            in->ended = got == 0;
        }
        if (in->ended)
            return fail_at_end(in, len, err);
        in->end += got;
    }
    return ST_OK;
}

enum status rdb_input_take(struct rdb_input *in, size_t len, const uint8_t **out, struct err *err)
{
    DCHECK(len <= RDB_INPUT_TAKE_BYTES_MAX);
    if (in->end - in->at < len) {
        enum status st = fill(in, len, err);
        if (st != ST_OK)
            return st;
    }
    if (in->copy != NULL) {
        enum status st = in->copy(in->copy_arg, bytes_make(in->data + in->at, len));
        if (st != ST_OK)
            return rdb_input_fail(in, err, st, "what was read could not be kept");
    }
    *out = in->data + in->at;
    in->at += len;
    return ST_OK;
}

enum status rdb_input_skip(struct rdb_input *in, uint64_t len, struct err *err)
{
    while (len != 0) {
        size_t here = in->end - in->at;
        size_t piece =
            here != 0 && here < RDB_INPUT_TAKE_BYTES_MAX ? here : RDB_INPUT_TAKE_BYTES_MAX;
        if (piece > len)
            piece = (size_t)len;
        const uint8_t *ignored;
        enum status st = rdb_input_take(in, piece, &ignored, err);
        if (st != ST_OK)
            return st;
        len -= piece;
    }
    return ST_OK;
}

/* Appends the next `len` bytes to `out`, growing it only as bytes really arrive. */
static enum status append(struct rdb_input *in, uint64_t len, struct buf *out, struct err *err)
{
    while (len != 0) {
        size_t piece = len < RDB_INPUT_TAKE_BYTES_MAX ? (size_t)len : RDB_INPUT_TAKE_BYTES_MAX;
        const uint8_t *data;
        enum status st = rdb_input_take(in, piece, &data, err);
        if (st != ST_OK)
            return st;
        if (!buf_try_reserve(out, piece))
            return rdb_input_fail(in, err, ST_LIMIT, "out of memory");
        buf_append(out, data, piece);
        len -= piece;
    }
    return ST_OK;
}

enum status rdb_input_length_field(struct rdb_input *in, struct rdb_length_field *out,
                                   struct err *err)
{
    const uint8_t *p;
    enum status st = rdb_input_take(in, 1, &p, err);
    if (st != ST_OK)
        return st;
    uint8_t first = p[0];
    uint8_t low = first & 0x3f;
    *out = (struct rdb_length_field){.value = low, .is_encoding = first >> 6 == RDB_LENGTH_ENCODED};
    if (first >> 6 == RDB_LENGTH_6_BITS || out->is_encoding)
        return ST_OK;
    size_t more = first >> 6 == RDB_LENGTH_14_BITS ? 1
                  : first == RDB_LENGTH_32_BITS    ? 4
                  : first == RDB_LENGTH_64_BITS    ? 8
                                                   : 0;
    if (more == 0)
        return rdb_input_fail(in, err, ST_CORRUPT, "no length starts with byte 0x%02x", first);
    st = rdb_input_take(in, more, &p, err);
    if (st != ST_OK)
        return st;
    if (more == 1)
        out->value = (uint64_t)low << 8 | p[0];
    else
        out->value = more == 4 ? load_be32(p) : load_be64(p);
    return ST_OK;
}

enum status rdb_input_length(struct rdb_input *in, uint64_t *out, struct err *err)
{
    struct rdb_length_field field;
    enum status st = rdb_input_length_field(in, &field, err);
    if (st != ST_OK)
        return st;
    if (field.is_encoding)
        return rdb_input_fail(in, err, ST_CORRUPT, "a length is needed, string encoding %d is here",
                              (int)field.value);
    *out = field.value;
    return ST_OK;
}

static enum status check_string_len(const struct rdb_input *in, uint64_t len, struct err *err)
{
    if (len > in->string_bytes_max)
        return rdb_input_fail(in, err, ST_LIMIT,
                              "a string of %" PRIu64 " bytes is over the limit of %" PRIu64, len,
                              in->string_bytes_max);
    return ST_OK;
}

/* `len` bytes in one piece: in the input buffer, or in `scratch` if they are too many for it. */
static enum status contiguous(struct rdb_input *in, uint64_t len, struct buf *scratch,
                              struct bytes *out, struct err *err)
{
    if (len <= RDB_INPUT_TAKE_BYTES_MAX) {
        const uint8_t *data;
        enum status st = rdb_input_take(in, (size_t)len, &data, err);
        if (st == ST_OK)
            *out = bytes_make(data, (size_t)len);
        return st;
    }
    buf_clear(scratch);
    enum status st = append(in, len, scratch, err);
    if (st == ST_OK)
        *out = buf_bytes(scratch);
    return st;
}

/* The lengths of a compressed string: as stored, and decompressed. */
static enum status compressed_lengths(struct rdb_input *in, uint64_t *stored_out, uint64_t *len_out,
                                      struct err *err)
{
    enum status st = rdb_input_length(in, stored_out, err);
    return st == ST_OK ? rdb_input_length(in, len_out, err) : st;
}

static enum status compressed_string(struct rdb_input *in, struct buf *scratch, struct bytes *out,
                                     struct err *err)
{
    uint64_t stored;
    uint64_t len;
    enum status st = compressed_lengths(in, &stored, &len, err);
    if (st == ST_OK)
        st = check_string_len(in, len, err);
    if (st == ST_OK)
        st = check_string_len(in, stored, err);
    if (st != ST_OK)
        return st;
    if (len > lzf_decoded_bytes_max(stored))
        return rdb_input_fail(in, err, ST_CORRUPT,
                              "%" PRIu64 " bytes of LZF cannot stand for %" PRIu64, stored, len);
    struct bytes packed;
    st = contiguous(in, stored, &in->compressed, &packed, err);
    if (st != ST_OK)
        return st;
    buf_clear(scratch);
    if (!buf_try_reserve(scratch, (size_t)len + 1)) /* not NULL, even if it is empty */
        return rdb_input_fail(in, err, ST_LIMIT, "out of memory for a string of %" PRIu64 " bytes",
                              len);
    if (lzf_decode(packed, scratch->data, (size_t)len) != ST_OK)
        return rdb_input_fail(in, err, ST_CORRUPT,
                              "%" PRIu64 " bytes of LZF do not decompress to %" PRIu64, stored,
                              len);
    scratch->len = (size_t)len;
    *out = buf_bytes(scratch);
    return ST_OK;
}

static enum status integer_string(struct rdb_input *in, uint64_t encoding, struct buf *scratch,
                                  struct bytes *out, struct err *err)
{
    const uint8_t *p;
    enum status st = rdb_input_take(in, (size_t)1 << encoding, &p, err);
    if (st != ST_OK)
        return st;
    int64_t value = encoding == RDB_STRING_INT8    ? (int8_t)p[0]
                    : encoding == RDB_STRING_INT16 ? (int16_t)load_le16(p)
                                                   : (int32_t)load_le32(p);
    buf_clear(scratch);
    char text[NUMBER_I64_CHARS_MAX];
    buf_append(scratch, text, number_format_i64(value, text));
    *out = buf_bytes(scratch);
    return ST_OK;
}

enum status rdb_input_string(struct rdb_input *in, struct buf *scratch, struct bytes *out,
                             struct err *err)
{
    struct rdb_length_field field;
    enum status st = rdb_input_length_field(in, &field, err);
    if (st != ST_OK)
        return st;
    if (!field.is_encoding) {
        st = check_string_len(in, field.value, err);
        return st == ST_OK ? contiguous(in, field.value, scratch, out, err) : st;
    }
    if (field.value == RDB_STRING_LZF)
        return compressed_string(in, scratch, out, err);
    if (field.value <= RDB_STRING_INT32)
        return integer_string(in, field.value, scratch, out, err);
    return rdb_input_fail(in, err, ST_CORRUPT, "unknown string encoding %d", (int)field.value);
}

enum status rdb_input_skip_string(struct rdb_input *in, struct err *err)
{
    struct rdb_length_field field;
    enum status st = rdb_input_length_field(in, &field, err);
    if (st != ST_OK)
        return st;
    if (!field.is_encoding)
        return rdb_input_skip(in, field.value, err);
    if (field.value <= RDB_STRING_INT32)
        return rdb_input_skip(in, UINT64_C(1) << field.value, err);
    if (field.value != RDB_STRING_LZF)
        return rdb_input_fail(in, err, ST_CORRUPT, "unknown string encoding %d", (int)field.value);
    uint64_t stored;
    uint64_t len;
    st = compressed_lengths(in, &stored, &len, err);
    return st == ST_OK ? rdb_input_skip(in, stored, err) : st;
}
