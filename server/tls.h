/* TLS for clients, and for MIGRATE with tls-cluster, by OpenSSL (the only file that knows it is
 * tls.c).
 *
 * A stream stands between a connection and its socket: reading and writing go through it with the
 * results of recv() and send(), so that all else of a connection need not know. The handshake is
 * part of the first reads. A stream may hold bytes that have left the socket already, of which no
 * poll will tell: ask tls_has_unread.
 *
 * Main thread, but for streams to other servers. Certificates are read from disk by it, at the
 * start and on CONFIG SET. */
#ifndef BASALT_SERVER_TLS_H
#define BASALT_SERVER_TLS_H

#include "codec/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct config;
struct iovec;
struct tls;
struct tls_stream;

/* Reads nothing yet. `config` is borrowed. The context follows CONFIG SET of the tls-* settings as
 * long as TLS is in use; streams that are open keep what they began with. */
struct tls *tls_create(struct config *config);
/* All streams must have been destroyed. Accepts NULL. */
void tls_destroy(struct tls *tls);
/* Reads certificates and keys as the settings say. On failure, which is logged, all stays as it
 * was. */
MUST_USE enum status tls_configure(struct tls *tls, struct err *err);

/* Whether the settings ask for TLS at all. */
bool tls_is_wanted(const struct config *config);

/* The server's end of an accepted, non-blocking socket. NULL when OpenSSL has no memory, or nothing
 * was configured. */
struct tls_stream *tls_accept(struct tls *tls, int fd);
/* The client's end of a connection to another server, before there is a socket: from tls_connect on
 * it belongs to whatever thread uses it, and needs no `tls` any more. The other's certificate must
 * come from an authority that is trusted here; its name is not compared, as in Redis. NULL as for
 * tls_accept. */
struct tls_stream *tls_prepare(struct tls *tls);
/* The handshake over a connected, non-blocking socket: 0 when it is through, -1 and errno as for
 * tls_read. Call it again, with the same socket, after EAGAIN. */
int tls_connect(struct tls_stream *stream, int fd);
/* Says goodbye if the socket takes it; the socket stays open. Accepts NULL. */
void tls_stream_destroy(struct tls_stream *stream);

/* As recv: how many bytes, 0 at the end, -1 and errno: EAGAIN, or EPROTO with tls_error. */
ssize_t tls_read(struct tls_stream *stream, void *place, size_t room);
/* As sendmsg: may take less than there is; of a stream to another server one range at a time. After
 * EAGAIN the same bytes must come again, in front of what has come since. */
ssize_t tls_write(struct tls_stream *stream, const struct iovec *iov, int count);
/* There is something to read that the socket will not tell of. */
bool tls_has_unread(const struct tls_stream *stream);
/* The last read waits for the socket to take bytes of the handshake. */
bool tls_wants_write(const struct tls_stream *stream);
/* The handshake is through. */
bool tls_is_established(const struct tls_stream *stream);
/* Why the last call failed. */
const char *tls_error(const struct tls_stream *stream);

#endif
