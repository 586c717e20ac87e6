/* What a replica is sent, read on a thread of its own: first a file, if there is one, then the
 * journal from an offset on, for as long as it goes. As soon as it is created it keeps the journal
 * from that offset on from being deleted. Main thread, but for the reading. */
#ifndef BASALT_STORAGE_FEED_H
#define BASALT_STORAGE_FEED_H

#include "codec/buf.h"
#include "codec/status.h"

#include <stdbool.h>
#include <stdint.h>

struct completions;
struct env;
struct feed;
struct feeds;
struct journal;

struct feeds *feeds_create(struct env *env, struct journal *journal, struct completions *c);
/* All feeds must have been destroyed. Waits for their threads. Accepts NULL. */
void feeds_destroy(struct feeds *feeds);
/* Deletes a file, soon. */
void feeds_unlink(struct feeds *feeds, const char *path);

struct feed_piece {
    enum status status; /* ST_NOT_FOUND: the journal does not go back that far; ST_IO, ST_CORRUPT */
    struct err err;     /* unless ST_OK */
    struct buf bytes;   /* the callee may take them; empty: there is no more at the moment */
    bool file_ended;    /* of the file nothing is left: what comes next is the journal */
};

/* On the main thread. It may destroy the feed. */
typedef void feed_fn(void *arg, struct feed_piece *piece);

/* `offset`: the first byte of the stream that may be wanted. `fn` gets the answer to each read, and
 * first one with no bytes, when the feed stands at its offset. */
struct feed *feed_create(struct feeds *feeds, uint64_t offset, feed_fn *fn, void *arg);
/* A read that is under way is given up. Accepts NULL. */
void feed_destroy(struct feed *feed);

/* The file is sent first, and the journal from `offset` on behind it: not before the feed's own.
 * Takes `fd`. Not while a read is under way. */
void feed_set_file(struct feed *feed, int fd, uint64_t offset);
/* Reads a piece of at least one and about `bytes_max` bytes. Not while a read is under way. */
void feed_read(struct feed *feed, size_t bytes_max);
bool feed_is_reading(const struct feed *feed);
/* Offset in the stream behind the last byte that was read. */
uint64_t feed_offset(const struct feed *feed);

#endif
