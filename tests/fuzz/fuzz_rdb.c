/* Any bytes given to the RDB reader lead to an orderly end, the same one whatever the pieces they
 * arrive in and however values are taken; and what was read can be written and read again. */
#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/rdb_read.h"
#include "codec/rdb_write.h"

#define STRING_BYTES_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
    struct bytes data;
    size_t piece_bytes;
};

static enum status source_read(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                               struct err *err)
{
    (void)err;
    struct source *source = arg;
    size_t len = source->data.len < source->piece_bytes ? source->data.len : source->piece_bytes;
    if (len > capacity)
        len = capacity;
    if (len != 0)
        memcpy(out, source->data.data, len);
    source->data = bytes_make(source->data.data + len, source->data.len - len);
    *read_out = len;
    return ST_OK;
}

static enum status sink_write(void *arg, struct bytes data, struct err *err)
{
    (void)err;
    buf_append_bytes(arg, data);
    return ST_OK;
}

/* Takes the value of a key in one of three manners; `raw` gets it where it is copied. */
static enum status take_value(struct rdb_reader *reader, const struct rdb_key *key, int manner,
                              struct buf *raw)
{
    struct bytes text;
    if (manner == 0)
        return rdb_reader_skip_value(reader, NULL);
    if (manner == 1 && key->type == RDB_TYPE_STRING)
        return rdb_reader_read_string(reader, &text, NULL);
    buf_clear(raw);
    return rdb_reader_read_raw(reader, raw, NULL);
}

/* Reads `file` and returns a digest of its keys; where `copy` is given, a file with them goes
 * there.
 */
static uint64_t read_file(struct bytes file, size_t piece_bytes, int manner, enum status *end_out,
                          struct buf *copy)
{
    struct source source = {file, piece_bytes};
    struct rdb_reader *reader = rdb_reader_create(&(struct rdb_reader_options){
        .read = source_read,
        .read_arg = &source,
        .string_bytes_max = STRING_BYTES_MAX,
        .ignore_checksum = true,
    });
    struct rdb_writer *writer = copy == NULL ? NULL
                                             : rdb_writer_create(&(struct rdb_writer_options){
                                                   .write = sink_write, .write_arg = copy});
    struct buf raw = {0};
    struct rdb_item item;
    uint64_t digest = 0;
    enum status st;
    while ((st = rdb_reader_next(reader, &item, NULL)) == ST_OK) {
        if (item.event != RDB_EVENT_KEY)
            continue;
        uint8_t type = item.key.type;
        st = take_value(reader, &item.key, manner, &raw);
        if (st != ST_OK)
            break;
        digest = hash64(digest, item.key.name.data, item.key.name.len);
        digest = hash64(digest, &type, 1);
        if (writer != NULL)
            rdb_writer_put_raw(writer, &item.key, buf_bytes(&raw));
    }
    CHECK(rdb_reader_offset(reader) <= file.len);
    if (writer != NULL)
        CHECK(rdb_writer_finish(writer, NULL) == ST_OK);
    rdb_reader_destroy(reader);
    rdb_writer_destroy(writer);
    buf_deinit(&raw);
    *end_out = st;
    return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes file = bytes_make(data, size);
    struct buf copy = {0};
    enum status end;
    enum status other_end;
    uint64_t digest = read_file(file, SIZE_MAX, 2, &end, &copy);
    CHECK(end == ST_END || end == ST_CORRUPT || end == ST_UNSUPPORTED || end == ST_LIMIT);
    CHECK(read_file(file, 1, 2, &other_end, NULL) == digest);
    CHECK(other_end == end);
    CHECK(read_file(file, 7, 0, &other_end, NULL) == digest);
    CHECK(other_end == end);
    /* Reading strings looks at their contents, and may therefore end earlier. */
    (void)read_file(file, SIZE_MAX, 1, &other_end, NULL);
    CHECK(other_end != ST_END || end == ST_END);
    CHECK(read_file(buf_bytes(&copy), SIZE_MAX, 2, &other_end, NULL) == digest);
    CHECK(other_end == ST_END);
    buf_deinit(&copy);
    return 0;
}
