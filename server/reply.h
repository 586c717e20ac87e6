/* What handlers say to a client: RESP2 or RESP3, as the session has asked for, appended to an
 * output. Handlers know no sockets. Main thread. Source: Redis 7.2's reply shapes. */
#ifndef BASALT_SERVER_REPLY_H
#define BASALT_SERVER_REPLY_H

#include "codec/buf.h"
#include "codec/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct output; /* queue of bytes on their way to a client (output.h) */

#define REPLY_ERROR_CODE_BYTES_MAX 32

struct reply {
    struct output *out; /* borrowed; where bytes go */
    uint8_t resp;       /* 2 or 3 */
    bool muted;         /* CLIENT REPLY OFF/SKIP, replay: everything is dropped */
    bool failed;        /* an error was replied since this was last cleared */
    char error_code[REPLY_ERROR_CODE_BYTES_MAX]; /* first word of the last error, for errorstats */
};

void reply_ok(struct reply *r);
void reply_simple(struct reply *r, const char *text); /* +text */
void reply_integer(struct reply *r, int64_t value);   /* :value */
void reply_bulk(struct reply *r, struct bytes bytes); /* $len */
void reply_bulk_text(struct reply *r, const char *text);
void reply_bulk_integer(struct reply *r, int64_t value); /* the number as a bulk string */
void reply_bulk_format(struct reply *r, const char *format, ...) PRINTF_LIKE(2, 3);
/* A bulk string in pieces: the header for `len` bytes, the bytes in any number of parts, the end.
 */
void reply_bulk_begin(struct reply *r, size_t len);
void reply_bulk_part(struct reply *r, struct bytes part);
void reply_bulk_end(struct reply *r);
void reply_null(struct reply *r);       /* $-1 or _ */
void reply_null_array(struct reply *r); /* *-1 or _ */
void reply_array(struct reply *r, uint64_t count);
void reply_map(struct reply *r, uint64_t pairs);            /* RESP2: array of 2 * pairs */
void reply_set(struct reply *r, uint64_t count);            /* RESP2: array */
void reply_push(struct reply *r, uint64_t count);           /* RESP2: array */
void reply_attribute(struct reply *r, uint64_t pairs);      /* RESP3 only; RESP2: not allowed */
void reply_bool(struct reply *r, bool value);               /* RESP2: :1 :0 */
void reply_double(struct reply *r, double value);           /* RESP2: bulk */
void reply_long_double(struct reply *r, long double value); /* human form; RESP2: bulk */
void reply_big_number(struct reply *r, const char *digits); /* RESP2: bulk */
void reply_verbatim(struct reply *r, struct bytes text, const char extension[3]); /* RESP2: bulk */
/* A multi-line text block for INFO and the like: verbatim "txt" in RESP3, bulk in RESP2. */
void reply_text(struct reply *r, struct bytes text);
/* Copies finished RESP bytes through. */
void reply_raw(struct reply *r, struct bytes resp);

/* Aggregates whose count is known only afterwards. Nest like brackets. */
struct reply_deferred {
    struct output *out;
    void *place; /* where the header goes */
};
struct reply_deferred reply_deferred_begin(struct reply *r);
void reply_deferred_array(struct reply *r, struct reply_deferred *d, uint64_t count);
void reply_deferred_map(struct reply *r, struct reply_deferred *d, uint64_t pairs);
void reply_deferred_set(struct reply *r, struct reply_deferred *d, uint64_t count);
/* A number of at most 17 digits as a bulk string: a scan's cursor. */
void reply_deferred_bulk_integer(struct reply *r, struct reply_deferred *d, uint64_t value);

/* Errors. `text` begins with the code ("ERR …", "WRONGTYPE …"); CR and LF in it become spaces,
 * those at its end are dropped. */
void reply_error(struct reply *r, const char *text);
void reply_error_format(struct reply *r, const char *format, ...) PRINTF_LIKE(2, 3);

/* The error texts that clients match, byte-exact as in Redis 7.2 (reply_errors in reply.c). */
enum reply_error_id {
    ERROR_WRONGTYPE,
    ERROR_SYNTAX,
    ERROR_NOT_INTEGER,        /* ERR value is not an integer or out of range */
    ERROR_NOT_FLOAT,          /* ERR value is not a valid float */
    ERROR_NO_KEY,             /* ERR no such key */
    ERROR_OUT_OF_RANGE,       /* ERR value is out of range */
    ERROR_INDEX_OUT_OF_RANGE, /* ERR index out of range */
    ERROR_SAME_OBJECT,        /* ERR source and destination objects are the same */
    ERROR_STRING_TOO_LONG,    /* ERR string exceeds maximum allowed size (proto-max-bulk-len) */
    ERROR_OVERFLOW,           /* ERR increment or decrement would overflow */
    ERROR_NAN_OR_INFINITY,    /* ERR increment would produce NaN or Infinity */
    ERROR_INVALID_EXPIRE,     /* a format: see reply_error_expire */
    ERROR_BUSYKEY,
    ERROR_NOAUTH,
    ERROR_LOADING,
    ERROR_READONLY,
    ERROR_MISCONF_JOURNAL,
    ERROR_OOM,
    ERROR_EXECABORT,
    ERROR_NOSCRIPT,
    ERROR_IO, /* IOERR: the key's record could not be read; nothing was changed */
    REPLY_ERROR_COUNT,
};
void reply_error_id(struct reply *r, enum reply_error_id id);
const char *reply_error_text(enum reply_error_id id);

/* "ERR unknown subcommand '…'. Try CMD HELP." and "ERR wrong number of arguments for '…' command".
 */
void reply_error_subcommand(struct reply *r, struct bytes subcommand, const char *command_upper);
void reply_error_arity(struct reply *r, const char *full_name);
/* "ERR unknown subcommand or wrong number of arguments for '…'. Try CMD HELP." */
void reply_error_subcommand_syntax(struct reply *r, struct bytes subcommand,
                                   const char *command_upper);
/* "ERR invalid expire time in '…' command" */
void reply_error_expire(struct reply *r, const char *full_name);
/* HELP subcommands: the lines between Redis's standard first and last ones; NULL-terminated. */
void reply_help(struct reply *r, const char *command_upper, const char *const *lines);

#endif
