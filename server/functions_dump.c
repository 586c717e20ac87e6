/* The payload of FUNCTION DUMP is the beginning of an RDB file without its header and its end: it
 * is written and read as such, with a header in front and an end behind. */
#include "server/functions.h"

#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/rdb_read.h"
#include "codec/rdb_write.h"

#include <stdio.h>

/* Behind the libraries: the version, u16 LE, and a CRC64 of all before it, u64 LE. */
#define VERSION_BYTES 2
#define FOOTER_BYTES  (VERSION_BYTES + RDB_CHECKSUM_BYTES)
/* The end of a file: an opcode and a checksum, zeros for none. */
#define END_BYTES (1 + RDB_CHECKSUM_BYTES)

/* ---- Writing. */

static enum status append(void *arg, struct bytes data, struct err *err)
{
    (void)err;
    buf_append_bytes(arg, data);
    return ST_OK;
}

void functions_dump(const struct functions *functions, bool compress, struct buf *out)
{
    struct buf file = {0};
    struct rdb_writer_options options = {
        .write = append, .write_arg = &file, .no_compression = !compress, .no_checksum = true};
    struct rdb_writer *writer = rdb_writer_create(&options);
    for (const struct library *library = functions_first(functions); library != NULL;
         library = library->next)
        rdb_writer_put_function(writer, buf_bytes(&library->code));
    struct err err;
    CHECK(rdb_writer_finish(writer, &err) == ST_OK);
    rdb_writer_destroy(writer);
    buf_append(out, file.data + RDB_MAGIC_BYTES, file.len - RDB_MAGIC_BYTES - END_BYTES);
    buf_deinit(&file);
    uint8_t footer[FOOTER_BYTES];
    store_le16(footer, RDB_VERSION_DEFAULT);
    buf_append(out, footer, VERSION_BYTES);
    store_le64(footer, crc64(0, out->data, out->len));
    buf_append(out, footer, RDB_CHECKSUM_BYTES);
}

/* ---- Reading. */

/* A file: the header, the payload's libraries, the end. */
struct pieces {
    struct bytes pieces[3];
    int next;
};

static enum status read_pieces(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                               struct err *err)
{
    struct pieces *pieces = arg;
    (void)err;
    *read_out = 0;
    while (pieces->next < 3 && pieces->pieces[pieces->next].len == 0)
        pieces->next++;
    if (pieces->next == 3)
        return ST_OK;
    struct bytes *piece = &pieces->pieces[pieces->next];
    size_t len = piece->len < capacity ? piece->len : capacity;
    memcpy(out, piece->data, len);
    piece->data += len;
    piece->len -= len;
    *read_out = len;
    return ST_OK;
}

static bool check_footer(struct bytes payload, int *version_out)
{
    if (payload.len < FOOTER_BYTES)
        return false;
    const uint8_t *footer = payload.data + payload.len - FOOTER_BYTES;
    *version_out = load_le16(footer);
    return *version_out <= RDB_VERSION_MAX && *version_out > 0 &&
           crc64(0, payload.data, payload.len - RDB_CHECKSUM_BYTES) ==
               load_le64(footer + VERSION_BYTES);
}

/* Loads the libraries of a file of `len` bytes. */
static bool load_file(struct functions *into, struct rdb_reader *reader, size_t len,
                      struct buf *error)
{
    struct rdb_item item;
    struct err err;
    enum status st;
    while ((st = rdb_reader_next(reader, &item, &err)) == ST_OK) {
        if (item.event != RDB_EVENT_FUNCTION) {
            buf_append_text(error, "given type is not a function");
            return false;
        }
        if (functions_load(into, item.function, false, error) == NULL)
            return false;
    }
    if (st == ST_UNSUPPORTED)
        buf_append_text(error, "Pre-GA function format not supported");
    else if (st != ST_END)
        buf_append_text(error, "failed loading the given functions payload");
    else if (rdb_reader_offset(reader) != len) /* the payload has an end of its own */
        buf_append_text(error, "given type is not a function");
    else
        return true;
    return false;
}

bool functions_restore(struct functions *functions, struct bytes payload,
                       enum functions_policy policy, struct buf *error)
{
    static const uint8_t end[END_BYTES] = {RDB_OPCODE_EOF};
    int version;
    char header[RDB_MAGIC_BYTES + 1];
    if (!check_footer(payload, &version)) {
        buf_append_text(error, "DUMP payload version or checksum are wrong");
        return false;
    }
    (void)snprintf(header, sizeof(header), "REDIS%04d", version);
    struct pieces pieces = {
        .pieces = {bytes_make(header, RDB_MAGIC_BYTES),
                   bytes_make(payload.data, payload.len - FOOTER_BYTES),
                   bytes_make(end, version < RDB_VERSION_CHECKSUM ? 1 : END_BYTES)}};
    size_t len = 0;
    for (int i = 0; i < 3; i++)
        len += pieces.pieces[i].len;
    struct rdb_reader_options options = {.read = read_pieces, .read_arg = &pieces};
    struct rdb_reader *reader = rdb_reader_create(&options);
    struct functions *aside = functions_create_aside(functions);
    bool restored = load_file(aside, reader, len, error) &&
                    functions_join(functions, aside, policy == FUNCTIONS_REPLACE,
                                   policy == FUNCTIONS_FLUSH, error);
    functions_destroy(aside);
    rdb_reader_destroy(reader);
    return restored;
}
