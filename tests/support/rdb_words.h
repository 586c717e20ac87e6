/* Values of RDB files in words: what is in them, however it was encoded, such as
 * "hash: f=1 g=2@33177117420123" or "stream: 1-1 a=1 length 1 last 1-1 ...". */
#ifndef BASALT_TESTS_SUPPORT_RDB_WORDS_H
#define BASALT_TESTS_SUPPORT_RDB_WORDS_H

#include "codec/buf.h"
#include "codec/rdb_read_value.h"

/* An rdb_element_fn that appends an element to a struct buf, in the order of the file. */
enum status rdb_words_take(void *arg, const struct rdb_element *element, struct err *err);

/* Appends a value in words, with the elements of sets, sorted sets and hashes in order of their
 * bytes, and without a stream's first id, which its entries tell: equal values have equal words.
 * Returns what rdb_decode did. */
MUST_USE enum status rdb_words_append(struct buf *out, uint8_t type, struct bytes value,
                                      struct err *err);

#endif
