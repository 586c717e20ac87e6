/* Any bytes, fed as a whole and in pieces of varying size, give the same requests; arguments stay
 * within what was received; a request that claims to be canonical is, byte for byte, what encoding
 * its arguments gives. The first input byte chooses limits and piece size. */
#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"
#include "codec/resp_parse.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct resp_parser *parser, struct buf *out)
{
    buf_append_format(out, "*%d\r\n", parser->argc);
    for (int i = 0; i < parser->argc; i++) {
        buf_append_format(out, "$%zu\r\n", parser->argv[i].len);
        buf_append_bytes(out, parser->argv[i]);
        buf_append_text(out, "\r\n");
    }
}

static void check_canonical(const struct resp_parser *parser, const uint8_t *start)
{
    struct buf encoded = {0};
    encode(parser, &encoded);
    CHECK(bytes_equal(buf_bytes(&encoded), bytes_make(start, parser->consumed)));
    buf_deinit(&encoded);
}

/* Appends what was parsed to `out`. */
static void parse_in_pieces(const uint8_t *data, size_t size, size_t step,
                            const struct resp_limits *limits, struct buf *out)
{
    struct resp_parser parser = {0};
    size_t start = 0;
    size_t end = step < size ? step : size;
    for (;;) {
        /* Memory of exactly the size, and never at the same place: the sanitizer sees overruns. */
        uint8_t *copy = end > start ? mem_dup(data + start, end - start) : NULL;
        enum resp_parse_result result = resp_parse(&parser, copy, end - start, limits);
        if (result == RESP_PARSE_REQUEST) {
            CHECK(parser.argc > 0);
            encode(&parser, out);
            if (parser.canonical)
                check_canonical(&parser, copy);
        }
        if (result == RESP_PARSE_ERROR)
            buf_append_text(out, parser.error);
        mem_free(copy);
        if (result == RESP_PARSE_ERROR)
            break;
        if (result == RESP_PARSE_MORE) {
            if (end == size)
                break;
            end = size - end < step ? size : end + step;
            continue;
        }
        CHECK(parser.consumed > 0 && parser.consumed <= end - start);
        start += parser.consumed;
        resp_parser_trim(&parser);
    }
    resp_parser_deinit(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct resp_limits limits = {.bulk_bytes_max = (data[0] & 1) != 0 ? 100 : 512 * 1024 * 1024,
                                 .unauthenticated = (data[0] & 2) != 0};
    size_t step = (size_t)(data[0] >> 2) + 1;
    struct buf whole = {0};
    struct buf pieces = {0};
    parse_in_pieces(data + 1, size - 1, size, &limits, &whole);
    parse_in_pieces(data + 1, size - 1, step, &limits, &pieces);
    CHECK(bytes_equal(buf_bytes(&whole), buf_bytes(&pieces)));
    buf_deinit(&whole);
    buf_deinit(&pieces);
    return 0;
}
