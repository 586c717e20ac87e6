/* A TCP connection to another server, also by TLS, for a thread that may wait: MIGRATE's way to its
 * target.
 *
 * Every wait ends after `timeout_ms` without progress, and soon after `cancelled` was set. What the
 * peer answers is not trusted: a line is bounded. Thread: any but the main thread. */
#ifndef BASALT_SERVER_PEER_LINK_H
#define BASALT_SERVER_PEER_LINK_H

#include "codec/buf.h"
#include "codec/status.h"

#include <stdatomic.h>
#include <stdint.h>

#define PEER_LINE_BYTES_MAX 1024

struct tls_stream;

struct peer_link {
    int fd;                 /* -1: closed */
    struct tls_stream *tls; /* owned, of tls_prepare; NULL: the connection is plain */
    int64_t timeout_ms;
    const atomic_bool *cancelled; /* borrowed */
    struct buf in;                /* read, and not taken yet */
};

/* ST_IO: the name is unknown, nobody accepts in time, or the handshake fails. The link is closed
 * then. */
MUST_USE enum status peer_link_open(struct peer_link *link, const char *host, const char *port);
/* Accepts a closed one. */
void peer_link_close(struct peer_link *link);
/* All of it. ST_IO: the peer has gone, or takes nothing any more. */
MUST_USE enum status peer_link_write(struct peer_link *link, struct bytes bytes);
/* Replaces `line` by the next one, without its end. ST_IO: none comes, or it is
 * longer than PEER_LINE_BYTES_MAX. */
MUST_USE enum status peer_link_read_line(struct peer_link *link, struct buf *line);

#endif
