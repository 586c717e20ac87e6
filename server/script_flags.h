/* What a script says of itself in its first line ("#!lua name=… flags=…"), or a function when it is
 * registered. Source: scripting of Redis 7.2. */
#ifndef BASALT_SERVER_SCRIPT_FLAGS_H
#define BASALT_SERVER_SCRIPT_FLAGS_H

#include "codec/buf.h"
#include "codec/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SCRIPT_FLAG_NO_WRITES = 1 << 0,
    SCRIPT_FLAG_ALLOW_OOM = 1 << 1,
    SCRIPT_FLAG_ALLOW_STALE = 1 << 2,
    SCRIPT_FLAG_NO_CLUSTER = 1 << 3,
    SCRIPT_FLAG_ALLOW_CROSS_SLOT = 1 << 4,
    SCRIPT_FLAG_COMPAT = 1 << 5, /* a script without a first line of this kind */
    SCRIPT_FLAG_WROTE = 1 << 6,  /* it has been seen to write */
};

/* The name of the i-th flag, 0 and up; NULL behind the last. */
const char *script_flag_name(int i);
/* 0: there is none of that name. */
uint32_t script_flag_find(struct bytes name);
/* The same in any case of letters. */
uint32_t script_flag_find_nocase(struct bytes name);

/* Reads the first line of a script for EVAL. `*line_len_out` is the part to be skipped: the line
 * without its end. False: the message is appended to `error`. */
bool script_read_shebang(struct bytes body, uint32_t *flags_out, size_t *line_len_out,
                         struct buf *error);

/* The first line of a library. Zeroed: valid and empty. */
struct script_library_line {
    struct buf name;
    struct buf engine; /* as written */
    size_t line_len;   /* without its end */
};
bool script_read_library_line(struct bytes code, struct script_library_line *out,
                              struct buf *error);
void script_library_line_deinit(struct script_library_line *line);
/* Letters, digits and underscores, one at least. */
bool script_name_is_valid(struct bytes name);

#endif
