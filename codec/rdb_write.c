/* RDB files: see rdb_write.h and FORMAT.md, "RDB". */
#include "codec/rdb_write.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/lzf.h"
#include "codec/mem.h"
#include "codec/number.h"

#include <stdio.h>

#define BUFFER_BYTES            (256 * 1024)
#define INTEGER_CHARS_MAX       11 /* "-2147483648" */
#define COMPRESS_GAIN_BYTES_MIN 4  /* less is not worth it */
#define LENGTH_6_BITS_MAX       63
#define LENGTH_14_BITS_MAX      16383
#define OPCODE(kind, low)       ((uint8_t)((kind) << 6 | (low)))

struct rdb_writer {
    rdb_write_fn *write;
    void *write_arg;
    bool compress;
    bool checksum_wanted;
    bool finished;
    uint64_t checksum;  /* of what was written out */
    uint64_t written;   /* bytes written out */
    struct buf pending; /* put, not yet written out */
    struct buf packed;  /* scratch for a compressed string */
    struct err failure; /* code is ST_OK until a write failed */
};

static void flush(struct rdb_writer *writer)
{
    struct bytes data = buf_bytes(&writer->pending);
    if (data.len == 0)
        return;
    if (writer->checksum_wanted)
        writer->checksum = crc64(writer->checksum, data.data, data.len);
    if (writer->failure.code == ST_OK) {
        enum status st = writer->write(writer->write_arg, data, &writer->failure);
        writer->failure.code = st;
    }
    writer->written += data.len;
    buf_clear(&writer->pending);
}

void rdb_writer_put_bytes(struct rdb_writer *writer, struct bytes data)
{
    CHECK(!writer->finished);
    while (data.len != 0 && writer->failure.code == ST_OK) {
        size_t room = BUFFER_BYTES - writer->pending.len;
        size_t piece = data.len < room ? data.len : room;
        buf_append(&writer->pending, data.data, piece);
        data = bytes_make(data.data + piece, data.len - piece);
        if (writer->pending.len == BUFFER_BYTES)
            flush(writer);
    }
}

static void put_byte(struct rdb_writer *writer, uint8_t byte)
{
    rdb_writer_put_bytes(writer, bytes_make(&byte, 1));
}

struct rdb_writer *rdb_writer_create(const struct rdb_writer_options *options)
{
    int version = options->version != 0 ? options->version : RDB_VERSION_DEFAULT;
    CHECK(version >= RDB_VERSION_CHECKSUM);
    CHECK(version <= RDB_VERSION_MAX);
    struct rdb_writer *writer = mem_calloc(1, sizeof(*writer));
    writer->write = options->write;
    writer->write_arg = options->write_arg;
    writer->compress = !options->no_compression;
    writer->checksum_wanted = !options->no_checksum;
    (void)buf_reserve(&writer->pending, BUFFER_BYTES);
    char magic[RDB_MAGIC_BYTES + 1];
    (void)snprintf(magic, sizeof(magic), "REDIS%04u", (unsigned)version % 10000u);
    rdb_writer_put_bytes(writer, bytes_make(magic, RDB_MAGIC_BYTES));
    return writer;
}

void rdb_writer_destroy(struct rdb_writer *writer)
{
    if (writer == NULL)
        return;
    buf_deinit(&writer->pending);
    buf_deinit(&writer->packed);
    mem_free(writer);
}

void rdb_writer_put_length(struct rdb_writer *writer, uint64_t len)
{
    uint8_t out[9];
    size_t size = 1;
    if (len <= LENGTH_6_BITS_MAX) {
        out[0] = OPCODE(RDB_LENGTH_6_BITS, len);
    } else if (len <= LENGTH_14_BITS_MAX) {
        out[0] = OPCODE(RDB_LENGTH_14_BITS, len >> 8);
        out[1] = (uint8_t)len;
        size = 2;
    } else if (len <= UINT32_MAX) {
        out[0] = RDB_LENGTH_32_BITS;
        store_be32(out + 1, (uint32_t)len);
        size = 5;
    } else {
        out[0] = RDB_LENGTH_64_BITS;
        store_be64(out + 1, len);
        size = 9;
    }
    rdb_writer_put_bytes(writer, bytes_make(out, size));
}

/* An integer of up to 32 bits that the text stands for exactly. */
static bool put_integer(struct rdb_writer *writer, struct bytes text)
{
    int64_t value;
    if (text.len > INTEGER_CHARS_MAX || !number_parse_i64(text, &value) || value < INT32_MIN ||
        value > INT32_MAX)
        return false;
    uint8_t out[5];
    size_t size;
    store_le32(out + 1, (uint32_t)value);
    if (value >= INT8_MIN && value <= INT8_MAX) {
        out[0] = OPCODE(RDB_LENGTH_ENCODED, RDB_STRING_INT8);
        size = 2;
    } else if (value >= INT16_MIN && value <= INT16_MAX) {
        out[0] = OPCODE(RDB_LENGTH_ENCODED, RDB_STRING_INT16);
        size = 3;
    } else {
        out[0] = OPCODE(RDB_LENGTH_ENCODED, RDB_STRING_INT32);
        size = 5;
    }
    rdb_writer_put_bytes(writer, bytes_make(out, size));
    return true;
}

static bool put_compressed(struct rdb_writer *writer, struct bytes text)
{
    if (!writer->compress || text.len < RDB_STRING_COMPRESS_BYTES_MIN)
        return false;
    size_t room = text.len - COMPRESS_GAIN_BYTES_MIN;
    buf_clear(&writer->packed);
    if (!buf_try_reserve(&writer->packed, room))
        return false;
    size_t len = lzf_encode(text, writer->packed.data, room);
    if (len == 0)
        return false;
    put_byte(writer, OPCODE(RDB_LENGTH_ENCODED, RDB_STRING_LZF));
    rdb_writer_put_length(writer, len);
    rdb_writer_put_length(writer, text.len);
    rdb_writer_put_bytes(writer, bytes_make(writer->packed.data, len));
    if (writer->packed.capacity > BUFFER_BYTES)
        buf_deinit(&writer->packed);
    return true;
}

void rdb_writer_put_text(struct rdb_writer *writer, struct bytes text)
{
    if (put_integer(writer, text) || put_compressed(writer, text))
        return;
    rdb_writer_put_length(writer, text.len);
    rdb_writer_put_bytes(writer, text);
}

void rdb_writer_put_aux(struct rdb_writer *writer, const char *name, struct bytes value)
{
    put_byte(writer, RDB_OPCODE_AUX);
    rdb_writer_put_text(writer, bytes_text(name));
    rdb_writer_put_text(writer, value);
}

void rdb_writer_put_aux_i64(struct rdb_writer *writer, const char *name, int64_t value)
{
    char text[NUMBER_I64_CHARS_MAX];
    rdb_writer_put_aux(writer, name, bytes_make(text, number_format_i64(value, text)));
}

void rdb_writer_put_function(struct rdb_writer *writer, struct bytes code)
{
    put_byte(writer, RDB_OPCODE_FUNCTION2);
    rdb_writer_put_text(writer, code);
}

void rdb_writer_put_select_db(struct rdb_writer *writer, uint32_t db)
{
    put_byte(writer, RDB_OPCODE_SELECTDB);
    rdb_writer_put_length(writer, db);
}

void rdb_writer_put_resize_db(struct rdb_writer *writer, uint64_t key_count, uint64_t expire_count)
{
    put_byte(writer, RDB_OPCODE_RESIZEDB);
    rdb_writer_put_length(writer, key_count);
    rdb_writer_put_length(writer, expire_count);
}

void rdb_writer_put_key(struct rdb_writer *writer, const struct rdb_key *key)
{
    if (key->has_expire) {
        uint8_t out[9] = {RDB_OPCODE_EXPIRETIME_MS};
        store_le64(out + 1, (uint64_t)key->expire_at_ms);
        rdb_writer_put_bytes(writer, bytes_make(out, sizeof(out)));
    }
    if (key->idle_s >= 0) {
        put_byte(writer, RDB_OPCODE_IDLE);
        rdb_writer_put_length(writer, (uint64_t)key->idle_s);
    }
    if (key->freq >= 0) {
        CHECK(key->freq <= UINT8_MAX);
        put_byte(writer, RDB_OPCODE_FREQ);
        put_byte(writer, (uint8_t)key->freq);
    }
    put_byte(writer, key->type);
    rdb_writer_put_text(writer, key->name);
}

void rdb_writer_put_string(struct rdb_writer *writer, const struct rdb_key *key, struct bytes value)
{
    CHECK(key->type == RDB_TYPE_STRING);
    rdb_writer_put_key(writer, key);
    rdb_writer_put_text(writer, value);
}

void rdb_writer_put_raw(struct rdb_writer *writer, const struct rdb_key *key, struct bytes value)
{
    rdb_writer_put_key(writer, key);
    rdb_writer_put_bytes(writer, value);
}

bool rdb_writer_failed(const struct rdb_writer *writer)
{
    return writer->failure.code != ST_OK;
}

uint64_t rdb_writer_offset(const struct rdb_writer *writer)
{
    return writer->written + writer->pending.len;
}

enum status rdb_writer_finish(struct rdb_writer *writer, struct err *err)
{
    put_byte(writer, RDB_OPCODE_EOF);
    /* The checksum is of all before it: that must be in it first. */
    flush(writer);
    uint8_t checksum[RDB_CHECKSUM_BYTES];
    store_le64(checksum, writer->checksum);
    rdb_writer_put_bytes(writer, bytes_make(checksum, sizeof(checksum)));
    flush(writer);
    writer->finished = true;
    if (writer->failure.code != ST_OK && err != NULL)
        *err = writer->failure;
    return writer->failure.code;
}
