/* Splits a line into arguments, honouring quotes: inline commands and lines of a configuration
 * file. */
#ifndef BASALT_CODEC_SPLIT_ARGS_H
#define BASALT_CODEC_SPLIT_ARGS_H

#include "codec/buf.h"
#include "codec/bytes.h"

/* A zeroed struct is valid and empty. */
struct split_args {
    struct bytes *items; /* owned array; each item lies in `text` and has a zero byte behind it */
    size_t count;
    uint8_t *text; /* owned */
};

/* Splits `line` at blanks. An argument may be in double quotes, with \n \r \t \b \a \xHH and
 * \anything inside, or in single quotes, with \' only; a closing quote must be followed by a blank
 * or the end. A zero byte ends the line.
 *
 * Returns false, and leaves `out` empty, when quotes are unbalanced. Memory is bounded by the line:
 * its length plus 16 bytes per argument. `out` is overwritten, not released. Source: sdssplitargs
 * of Redis 7.2. */
MUST_USE bool split_args(struct bytes line, struct split_args *out);
void split_args_deinit(struct split_args *args);

/* Appends `value` as split_args reads it back: in double quotes, with escapes for what is not
 * printable. */
void split_args_quote(struct buf *out, struct bytes value);

#endif
