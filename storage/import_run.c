#include "storage/import_internal.h"

#include "codec/checksum.h"
#include "codec/mem.h"

#include <inttypes.h>
#include <string.h>

#define BLOCK_HEAD_BYTES 8

/* ---- Writing ----------------------------------------------------------------------------------
 */

enum status import_run_writer_open(struct import_run_writer *writer, struct env *env,
                                   const char *path, size_t block_bytes, struct err *err)
{
    *writer = (struct import_run_writer){.env = env,
                                         .fd = -1,
                                         .block_bytes = block_bytes,
                                         .block_capacity = block_bytes,
                                         .used = BLOCK_HEAD_BYTES};
    enum status st = env_open(env, path, ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE, &writer->fd, err);
    if (st != ST_OK)
        return st;
    writer->run.path = mem_strdup(path);
    writer->block = mem_alloc(block_bytes);
    return ST_OK;
}

static enum status write_block(struct import_run_writer *writer, struct err *err)
{
    size_t len = writer->used - BLOCK_HEAD_BYTES;
    store_le32(writer->block, (uint32_t)len);
    store_le32(writer->block + 4, crc32c(0, writer->block + BLOCK_HEAD_BYTES, len));
    enum status st =
        env_write_all(writer->env, writer->fd, writer->run.path, writer->block, writer->used, err);
    writer->run.bytes += writer->used;
    writer->used = BLOCK_HEAD_BYTES;
    return st;
}

enum status import_run_writer_put(struct import_run_writer *writer, struct bytes encoded,
                                  struct err *err)
{
    if (encoded.len > writer->block_capacity - writer->used) {
        if (writer->used > BLOCK_HEAD_BYTES) {
            enum status st = write_block(writer, err);
            if (st != ST_OK)
                return st;
        }
        if (encoded.len > writer->block_capacity - BLOCK_HEAD_BYTES) {
            size_t capacity = encoded.len + BLOCK_HEAD_BYTES;
            CHECK(capacity < UINT32_MAX);
            uint8_t *block = mem_try_realloc(writer->block, capacity);
            if (block == NULL)
                return err_set(err, ST_LIMIT, "out of memory for a record of %zu bytes",
                               encoded.len);
            writer->block = block;
            writer->block_capacity = capacity;
        }
    }
    memcpy(writer->block + writer->used, encoded.data, encoded.len);
    writer->used += encoded.len;
    writer->run.records++;
    return ST_OK;
}

enum status import_run_writer_finish(struct import_run_writer *writer, struct import_run *out,
                                     struct err *err)
{
    if (writer->used > BLOCK_HEAD_BYTES) {
        enum status st = write_block(writer, err);
        if (st != ST_OK)
            return st;
    }
    *out = writer->run;
    writer->run.path = NULL;
    return ST_OK;
}

void import_run_writer_close(struct import_run_writer *writer)
{
    if (writer->env == NULL)
        return;
    env_close(writer->env, writer->fd);
    if (writer->run.path != NULL)
        (void)writer->env->unlink(writer->env, writer->run.path);
    mem_free(writer->run.path);
    mem_free(writer->block);
    *writer = (struct import_run_writer){.fd = -1};
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

enum status import_run_reader_open(struct import_run_reader *reader, struct env *env,
                                   const struct import_run *run, struct err *err)
{
    *reader = (struct import_run_reader){.env = env, .run = run, .fd = -1, .left = run->records};
    return env_open(env, run->path, ENV_READ, &reader->fd, err);
}

static enum status damaged(const struct import_run_reader *reader, struct err *err)
{
    return err_set(err, ST_CORRUPT, "%s is not as it was written, before byte %" PRIu64,
                   reader->run->path, reader->off);
}

static enum status read_exactly(struct import_run_reader *reader, void *out, size_t len,
                                struct err *err)
{
    size_t got = 0;
    enum status st =
        env_read_at(reader->env, reader->fd, reader->run->path, reader->off, out, len, &got, err);
    reader->off += got;
    return st == ST_OK && got != len ? damaged(reader, err) : st;
}

static enum status read_block(struct import_run_reader *reader, struct err *err)
{
    uint8_t head[BLOCK_HEAD_BYTES];
    enum status st = read_exactly(reader, head, sizeof(head), err);
    if (st != ST_OK)
        return st;
    size_t len = load_le32(head);
    if (len > reader->run->bytes - reader->off)
        return damaged(reader, err);
    if (len > reader->block_capacity) {
        mem_free(reader->block);
        reader->block = mem_try_alloc(len);
        reader->block_capacity = reader->block == NULL ? 0 : len;
        if (reader->block == NULL)
            return err_set(err, ST_LIMIT, "out of memory for a block of %zu bytes", len);
    }
    st = read_exactly(reader, reader->block, len, err);
    if (st == ST_OK && crc32c(0, reader->block, len) != load_le32(head + 4))
        st = damaged(reader, err);
    reader->used = len;
    reader->at = 0;
    return st;
}

enum status import_run_reader_next(struct import_run_reader *reader, enum family family,
                                   struct import_record *out, struct err *err)
{
    if (reader->left == 0)
        return ST_END;
    if (reader->at == reader->used) {
        enum status st = read_block(reader, err);
        if (st != ST_OK)
            return st;
    }
    struct bytes rest = bytes_make(reader->block + reader->at, reader->used - reader->at);
    if (!import_record_decode(family, rest, out))
        return damaged(reader, err);
    reader->at += out->encoded.len;
    reader->left--;
    return ST_OK;
}

void import_run_reader_close(struct import_run_reader *reader)
{
    if (reader->env == NULL)
        return;
    env_close(reader->env, reader->fd);
    mem_free(reader->block);
    *reader = (struct import_run_reader){.fd = -1};
}
