/* The only includer of zstd.h. */
#include "codec/compress.h"

#include "codec/check.h"
#include "codec/mem.h"

#include <zstd.h>

struct compress_context {
    ZSTD_CCtx *encoder; /* owned; made at first use */
    ZSTD_DCtx *decoder; /* owned; made at first use */
};

struct compress_context *compress_context_create(void)
{
    return mem_calloc(1, sizeof(struct compress_context));
}

static void release(struct compress_context *context)
{
    (void)ZSTD_freeCCtx(context->encoder);
    (void)ZSTD_freeDCtx(context->decoder);
}

void compress_context_destroy(struct compress_context *context)
{
    if (context == NULL)
        return;
    release(context);
    mem_free(context);
}

static enum status out_of_memory(struct err *err, size_t len)
{
    return err_set(err, ST_LIMIT, "out of memory for zstd and %zu bytes", len);
}

static enum status encode(struct compress_context *context, int level, struct bytes in,
                          struct buf *out, struct err *err)
{
    if (context->encoder == NULL)
        context->encoder = ZSTD_createCCtx();
    size_t bound = ZSTD_compressBound(in.len);
    if (context->encoder == NULL || ZSTD_isError(bound) || !buf_try_reserve(out, bound))
        return out_of_memory(err, in.len);
    CHECK(level >= COMPRESS_LEVEL_MIN && level <= COMPRESS_LEVEL_MAX);
    (void)ZSTD_CCtx_setParameter(context->encoder, ZSTD_c_compressionLevel, level);
    (void)ZSTD_CCtx_setParameter(context->encoder, ZSTD_c_checksumFlag, 1);
    size_t len = ZSTD_compress2(context->encoder, out->data + out->len, bound, in.data, in.len);
    if (ZSTD_isError(len))
        return err_set(err, ST_LIMIT, "zstd cannot compress %zu bytes: %s", in.len,
                       ZSTD_getErrorName(len));
    out->len += len;
    return ST_OK;
}

enum status compress_encode(struct compress_context *context, int level, struct bytes in,
                            struct buf *out, struct err *err)
{
    if (context != NULL)
        return encode(context, level, in, out, err);
    struct compress_context once = {0};
    enum status st = encode(&once, level, in, out, err);
    release(&once);
    return st;
}

static enum status decode(struct compress_context *context, struct bytes in, size_t len_max,
                          struct buf *out, struct err *err)
{
    unsigned long long len = ZSTD_getFrameContentSize(in.data, in.len);
    if (len == ZSTD_CONTENTSIZE_ERROR || len == ZSTD_CONTENTSIZE_UNKNOWN)
        return err_set(err, ST_CORRUPT, "%zu bytes are no zstd frame with a size", in.len);
    if (ZSTD_findFrameCompressedSize(in.data, in.len) != in.len)
        return err_set(err, ST_CORRUPT, "%zu bytes are not one whole zstd frame", in.len);
    if (len > len_max)
        return err_set(err, ST_LIMIT, "zstd frame claims %llu bytes, %zu are allowed", len,
                       len_max);
    if (context->decoder == NULL)
        context->decoder = ZSTD_createDCtx();
    /* One byte more, so that there is an address to write to even for an empty frame. */
    if (context->decoder == NULL || !buf_try_reserve(out, (size_t)len + 1))
        return out_of_memory(err, (size_t)len);
    size_t got =
        ZSTD_decompressDCtx(context->decoder, out->data + out->len, (size_t)len, in.data, in.len);
    if (ZSTD_isError(got))
        return err_set(err, ST_CORRUPT, "zstd frame of %zu bytes: %s", in.len,
                       ZSTD_getErrorName(got));
    CHECK(got == len);
    out->len += got;
    return ST_OK;
}

enum status compress_decode(struct compress_context *context, struct bytes in, size_t len_max,
                            struct buf *out, struct err *err)
{
    if (context != NULL)
        return decode(context, in, len_max, out, err);
    struct compress_context once = {0};
    enum status st = decode(&once, in, len_max, out, err);
    release(&once);
    return st;
}

struct unpack {
    ZSTD_DStream *stream; /* owned */
    bool in_frame;
};

struct unpack *unpack_create(void)
{
    struct unpack *unpack = mem_calloc(1, sizeof(*unpack));
    unpack->stream = ZSTD_createDStream();
    return unpack;
}

void unpack_destroy(struct unpack *unpack)
{
    if (unpack == NULL)
        return;
    (void)ZSTD_freeDStream(unpack->stream);
    mem_free(unpack);
}

enum status unpack_step(struct unpack *unpack, struct bytes *in, uint8_t *out, size_t capacity,
                        size_t *len_out, struct err *err)
{
    if (unpack->stream == NULL)
        return err_set(err, ST_LIMIT, "out of memory");
    ZSTD_inBuffer from = {.src = in->data, .size = in->len};
    ZSTD_outBuffer to = {.dst = out, .size = capacity};
    size_t more = ZSTD_decompressStream(unpack->stream, &to, &from);
    if (ZSTD_isError(more))
        return err_set(err, ST_CORRUPT, "zstd: %s", ZSTD_getErrorName(more));
    if (from.pos != 0 || to.pos != 0)
        unpack->in_frame = more != 0;
    in->data += from.pos;
    in->len -= from.pos;
    *len_out = to.pos;
    return ST_OK;
}

bool unpack_at_end(const struct unpack *unpack)
{
    return !unpack->in_frame;
}
