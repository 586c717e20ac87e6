/* Incremental parser of requests: RESP arrays of bulk strings, and inline commands. It copies
 * nothing: arguments of arrays are ranges of the caller's bytes. One thread at a time.
 *
 * Source: processInputBuffer of Redis 7.2, its leniency included: what stands behind a bulk string
 * in place of CR LF is skipped unseen, an array of no or fewer elements is no request. */
#ifndef BASALT_CODEC_RESP_PARSE_H
#define BASALT_CODEC_RESP_PARSE_H

#include "codec/bytes.h"
#include "codec/split_args.h"

#include <stdbool.h>
#include <stdint.h>

/* Longest inline command, and longest count or length line. */
#define RESP_LINE_BYTES_MAX (64 * 1024)
/* What a client may send before it has given its password. */
#define RESP_UNAUTHENTICATED_ARGS_MAX       10
#define RESP_UNAUTHENTICATED_BULK_BYTES_MAX 16384

enum resp_parse_result {
    RESP_PARSE_REQUEST, /* argc, argv, consumed and canonical are set */
    RESP_PARSE_EMPTY,   /* a request without arguments, to be skipped; consumed is set */
    RESP_PARSE_MORE,    /* incomplete; needed is set */
    RESP_PARSE_ERROR,   /* error is set; the bytes cannot be parsed any further */
};

struct resp_limits {
    int64_t bulk_bytes_max; /* proto-max-bulk-len */
    bool unauthenticated;
};

/* A zeroed struct is valid and at the start of a request. */
struct resp_parser {
    /* Results. */
    const struct bytes *argv; /* argc ranges of the data, or (inline) of the parser's own memory */
    int argc;
    bool canonical;  /* the consumed bytes are an array in its one canonical form */
    size_t consumed; /* length of the request; while it is incomplete, what has been parsed of it */
    size_t needed; /* the incomplete request has at least this many bytes; 0: not known, or none */

    /* Private. */
    int args_left;       /* arguments still to come; 0 at the start of a request */
    int64_t bulk_len;    /* of the argument being received, or -1 */
    const uint8_t *base; /* where `data` was at the last call */
    struct bytes *items; /* owned */
    int item_capacity;
    struct split_args inline_args; /* owned */
    char error[64];                /* "Protocol error: …" */
};

void resp_parser_deinit(struct resp_parser *parser);

/* Parses one request. `data` starts at the request's first byte. After RESP_PARSE_MORE call again
 * with the same bytes, which may have moved, and more behind them. After RESP_PARSE_REQUEST and
 * RESP_PARSE_EMPTY the next call starts a new request, `consumed` bytes further on; argv is valid
 * until then. */
enum resp_parse_result resp_parse(struct resp_parser *parser, const uint8_t *data, size_t len,
                                  const struct resp_limits *limits);

/* Bytes of memory that the parser holds, itself not included; and gives back what large requests
 * have left, to be called between requests. */
size_t resp_parser_memory(const struct resp_parser *parser);
void resp_parser_trim(struct resp_parser *parser);

#endif
