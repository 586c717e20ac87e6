/* What a transcript expects of a reply: the text form of resp_reply.h, with wildcards.
 *
 *     *  :*  :1..5  +*  -*  ,*        anything, any integer, one in a range, any text of the kind
 *     /ab+c/  +/OK.?/  -/ERR .+/       extended regular expression for the whole text,
 *                                     with \/ \n \r
 *     [:1 "a" ...]                    an array that goes on
 *     unordered ["a" "b"]             in any order, for {...} too, always so for ~[...]
 *     pairs ["a" ,1 "b" ,2]           in RESP3 an array of arrays of two; unordered pairs [...]
 *     :0 or :1                        one of several
 *     :*=id  "a"=name  /x/=name       names what came, for ${id} further down a transcript; of a
 *                                     regular expression with groups, what the first one matched
 *
 * A pattern is written once for both protocols: {...} is a map in RESP3 and a flat array in RESP2,
 * ~[...] and >[...] an array, ,1.5 and =txt:"..." and (123 a bulk string, #t the integer 1, and
 * nil-array is a plain null in RESP3. A regular expression without prefix is a bulk or verbatim
 * string. */
#ifndef BASALT_TESTS_SUPPORT_REPLY_PATTERN_H
#define BASALT_TESTS_SUPPORT_REPLY_PATTERN_H

#include "codec/bytes.h"
#include "codec/status.h"
#include "tests/support/resp_reply.h"

struct reply_pattern;

/* Returns ST_OK; ST_AGAIN if the text ends inside brackets, so that the next line belongs to it;
 * ST_INVALID with the place otherwise. */
MUST_USE enum status reply_pattern_parse(struct bytes text, struct reply_pattern **out,
                                         struct err *err);
void reply_pattern_destroy(struct reply_pattern *pattern);

/* Told of each named piece of a reply that matches. */
struct reply_captures {
    void (*capture)(void *arg, struct bytes name, struct bytes value);
    void *arg;
};

/* `protocol` is the connection's, 2 or 3, or 0 to take either; `captures` may be NULL. */
bool reply_pattern_matches(const struct reply_pattern *pattern, const struct resp_reply *reply,
                           int protocol, const struct reply_captures *captures);

#endif
