/* Glob patterns as KEYS, SCAN, PSUBSCRIBE, CONFIG GET and the ACL rules know them. */
#ifndef BASALT_CODEC_GLOB_H
#define BASALT_CODEC_GLOB_H

#include "codec/bytes.h"

/* True if the whole of `text` matches `pattern`:
 *
 *   *         any bytes, also none (but see below)
 *   ?         any one byte
 *   [a-z_]    one byte of the set; [^...] one that is not in it; a set left open ends with the
 * pattern \x        the byte x itself, also within a set; a final backslash is itself
 *
 * An empty text matches the empty pattern only. `nocase` ignores the case of ASCII letters, but, as
 * in Redis, not of an escaped byte within a set. Cost: at most pattern.len * text.len steps,
 * whatever the pattern; no memory. Source: stringmatchlen of Redis 7.2. */
bool glob_match(struct bytes pattern, struct bytes text, bool nocase);

/* True if the pattern has one of `*`, `?` and `[`, so that it is not just a name. */
bool glob_has_wildcard(struct bytes pattern);

#endif
