/* The arguments that SCAN, HSCAN, SSCAN and ZSCAN have in common: cursor, MATCH, COUNT. Source:
 * db.c of Redis 7.2. */
#ifndef BASALT_SERVER_COMMANDS_SCAN_OPTIONS_H
#define BASALT_SERVER_COMMANDS_SCAN_OPTIONS_H

#include "codec/bytes.h"
#include "server/call.h"

#define SCAN_COUNT_DEFAULT 10
#define SCAN_COUNT_MAX     (1 << 20) /* of one request; COUNT is a hint */

struct scan_options {
    uint64_t cursor;
    int64_t count; /* 1 to SCAN_COUNT_MAX */
    struct bytes pattern;
    bool has_pattern; /* "*" is none */
    bool no_values;   /* HSCAN: fields only */
    struct bytes type;
    bool has_type; /* SCAN: of keys */
};

enum { SCAN_ALLOW_TYPE = 1, SCAN_ALLOW_NOVALUES = 2 };

/* Reads the cursor at argument `at`. False: an error was replied. */
bool scan_read_cursor(struct call *c, int at, struct scan_options *out);
/* Reads the options behind it. False: an error was replied. */
bool scan_read_options(struct call *c, int at, unsigned allow, struct scan_options *out);
/* Both, without replies, for ensure functions: false if the arguments are not valid. */
bool scan_peek(const struct bytes *argv, int argc, int at, struct scan_options *out);

bool scan_matches(const struct scan_options *options, struct bytes text);
void scan_reply_cursor(struct reply *r, uint64_t cursor);
/* Cursor 0 and nothing. */
void scan_reply_empty(struct reply *r);

#endif
