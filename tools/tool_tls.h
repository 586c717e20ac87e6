/* TLS for the tool's connections to servers, by OpenSSL (tool_tls.c is the only file here that
 * knows it). The socket does not block: a call that cannot go on says what it waits for. */
#ifndef BASALT_TOOLS_TOOL_TLS_H
#define BASALT_TOOLS_TOOL_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "codec/status.h"

/* As of redis-cli: a certificate must come from an authority that is known, its names are not
 * looked at. Files and directories may be NULL. */
struct tool_tls_options {
    const char *authority_file, *authority_dir; /* neither: those of the system */
    const char *certificate_file, *key_file;    /* to be shown to the server */
    const char *server_name;                    /* to be sent (SNI) */
    bool insecure;                              /* any certificate will do */
};

struct tool_tls;

/* On a connected socket, which stays the caller's. The handshake is part of the first calls. */
MUST_USE enum status tool_tls_open(const struct tool_tls_options *options, int fd,
                                   struct tool_tls **out, struct err *err);
void tool_tls_close(struct tool_tls *tls); /* NULL is allowed */
/* As recv and send: -1 with EAGAIN, or with EPROTO and tool_tls_error. */
ssize_t tool_tls_read(struct tool_tls *tls, void *place, size_t room);
ssize_t tool_tls_write(struct tool_tls *tls, const void *data, size_t len);
/* After EAGAIN: POLLIN or POLLOUT. */
short tool_tls_awaits(const struct tool_tls *tls);
const char *tool_tls_error(const struct tool_tls *tls);

#endif
