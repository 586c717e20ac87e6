/* Messages to sessions that are not replies: what was published, and which cached keys have
 * changed.
 *
 * A message is encoded once for all its receivers: RESP2 and RESP3 differ in its first byte only,
 * and long ones are shared instead of copied.
 *
 * The session whose request is running gets its messages behind the reply, so that they never stand
 * in the middle of one. And with appendfsync always a message must not tell of a change that may
 * still be lost: session->told_offset keeps the journal offset that its receiver's output waits for
 * (conn_write.c). Main thread. Source: CLIENT_PUSHING in Redis 7.2. */
#ifndef BASALT_SERVER_PUSH_H
#define BASALT_SERVER_PUSH_H

#include "codec/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct output_shared;
struct pushes;
struct session;

struct pushes *pushes_create(void);
/* Accepts NULL. */
void pushes_destroy(struct pushes *pushes);

/* ---- Around what may send messages: a request, or work of the tick. */

/* `running`: whose request runs; NULL: none does. */
void pushes_begin(struct pushes *pushes, struct session *running);
/* `offset` is the journal offset behind the newest change that messages since then may tell of. */
void pushes_end(struct pushes *pushes, uint64_t offset);
/* Between the two. */
bool pushes_active(const struct pushes *pushes);
/* Whose request is running; NULL: no request is. */
struct session *pushes_running(const struct pushes *pushes);

/* ---- A message. A zeroed struct is a valid empty one. */
struct push {
    struct buf bytes; /* owned; the message without its first byte */
    struct output_shared *shared;
};

/* Begins a new one of `count` elements. */
void push_begin(struct push *push, uint64_t count);
void push_add(struct push *push, struct bytes element);
void push_add_resp(struct push *push, struct bytes resp); /* finished RESP, one element */
void push_add_null(struct push *push, uint8_t protocol);
void push_add_integer(struct push *push, int64_t value);
/* Begins a line of its own instead, which is no push of RESP3 (MONITOR); to be written to the
 * result, with its first byte and its end. */
struct buf *push_begin_line(struct push *push);
/* Sends such a line. False: the session is about to go. */
bool push_send_line(struct pushes *pushes, struct push *push, struct session *to);
/* As RESP3 push or RESP2 array, as the session speaks. CLIENT REPLY OFF does not hold it back.
 * False: it is about to go. */
bool push_send(struct pushes *pushes, struct push *push, struct session *to);
/* The same, and if it is for the session whose request runs, behind all other messages for it. */
bool push_send_last(struct pushes *pushes, struct push *push, struct session *to);
void push_deinit(struct push *push);

#endif
