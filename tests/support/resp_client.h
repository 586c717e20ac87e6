/* A blocking Redis client for tests, on one socket, with its own reader for RESP2 and RESP3: it
 * shares no code with the server, and hiredis of Debian 12 (0.14) knows no RESP3.
 *
 * Every read and write has a deadline, so that a server that hangs fails the test instead. */
#ifndef BASALT_TESTS_SUPPORT_RESP_CLIENT_H
#define BASALT_TESTS_SUPPORT_RESP_CLIENT_H

#include "codec/buf.h"
#include "codec/bytes.h"
#include "codec/status.h"
#include "tests/support/resp_reply.h"

#define RESP_CLIENT_TIMEOUT_MS 60000

struct resp_client;

/* Connects to 127.0.0.1:port. ST_IO when refused. */
MUST_USE enum status resp_client_connect(int port, struct resp_client **out, struct err *err);
MUST_USE enum status resp_client_connect_unix(const char *path, struct resp_client **out,
                                              struct err *err);
/* Takes over a connected stream socket. */
struct resp_client *resp_client_adopt(int fd);
/* Closes the socket; NULL is fine. */
void resp_client_close(struct resp_client *client);
/* Bound of each following call; 0 means "only what is there already". */
void resp_client_set_timeout_ms(struct resp_client *client, int timeout_ms);
/* The local end's port, which CLIENT LIST shows in `addr`. */
int resp_client_local_port(const struct resp_client *client);

/* Sends bytes as they are. ST_IO if the server has closed; ST_AGAIN when the time is up. */
MUST_USE enum status resp_client_send(struct resp_client *client, struct bytes bytes,
                                      struct err *err);
/* Appends one request in its wire form (an array of bulk strings). */
void resp_format_request(size_t count, const struct bytes *args, struct buf *out);

/* Reads one reply. ST_AGAIN when the time is up (the connection is of no use afterwards if part of
 * a reply had come); ST_END if the server closed before its first byte; ST_IO if it closed amid it
 * or reset; ST_CORRUPT if it is no RESP. `out` is overwritten, not released. */
MUST_USE enum status resp_client_read(struct resp_client *client, struct resp_reply *out,
                                      struct err *err);
/* Appends exactly `len` raw bytes. The same results. */
MUST_USE enum status resp_client_read_raw(struct resp_client *client, size_t len, struct buf *out,
                                          struct err *err);

/* The rest fails the running test where something is wrong.
 *
 * resp_client_ask sends a request written as a line ("SET key \"a b\"", quoting as in inline
 * commands) and returns the reply in its text form, valid until the client's next call. Pushes that
 * come first are skipped. */
const char *resp_client_ask(struct resp_client *client, const char *line);
/* The same with arguments given one by one; at most 64, the last one NULL. */
const char *resp_client_call(struct resp_client *client, ...) __attribute__((sentinel));
/* Reads one more reply and returns its text form. */
const char *resp_client_next(struct resp_client *client);

/* Asks, and compares with a pattern as transcripts have it: `assert_reply(c, "TTL k", ":90..100")`.
 */
#define assert_reply(client, line, pattern)                                                        \
    resp_client_assert_reply((client), (line), (pattern), __FILE__, __LINE__)
void resp_client_assert_reply(struct resp_client *client, const char *line, const char *pattern,
                              const char *file, int source_line);

#endif
