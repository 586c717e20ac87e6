/* Putting an end to a journal that no process has open: where its stream ends, and its removal. For
 * a dataset that takes another one's place and goes on with a new stream at the same offset. */
#ifndef BASALT_STORAGE_JOURNAL_DISCARD_H
#define BASALT_STORAGE_JOURNAL_DISCARD_H

#include "codec/status.h"

#include <stdint.h>

struct env;

/* Finds the end of the stream in `dir`, and makes it durable. A dataset cut there has nothing to
 * replay, with these segments as well as without any. If they are damaged, it is an offset that no
 * byte of theirs can have reached: a journal opened there refuses them, and misses nothing.
 *
 * Returns ST_OK; ST_NOT_FOUND: there is no journal; ST_UNSUPPORTED (a newer format); ST_IO. Reads
 * all of the journal. */
MUST_USE enum status journal_find_end(struct env *env, const char *dir, uint64_t *end_out,
                                      struct err *err);
/* Deletes all segments, also those set aside as lost, oldest first: what is left after a failure or
 * a kill is a journal with the same end. A directory that does not exist is fine. */
MUST_USE enum status journal_discard(struct env *env, const char *dir, struct err *err);

#endif
