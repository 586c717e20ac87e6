/* A connection to a server, for what the tool asks of it: RESP2, over TCP, TLS or a unix socket. */
#ifndef BASALT_TOOLS_TOOL_CLIENT_H
#define BASALT_TOOLS_TOOL_CLIENT_H

#include <stddef.h>

#include "codec/buf.h"
#include "codec/status.h"

#define TOOL_REPLY_PARTS_MAX 64
/* Where a password is looked for that is not in the command line, in this order. */
#define TOOL_PASSWORD_VARIABLES "BASALT_PASSWORD, BASALTCLI_AUTH or REDISCLI_AUTH"

struct tool_signals;
struct tool_tls;
struct tool_tls_options;

/* Where it is, and how to get in. All borrowed. */
struct tool_server {
    const char *host, *port;
    const char *socket;          /* path of a unix socket; NULL: TCP */
    const char *user, *password; /* NULL: the default one; as the environment says, or none */
    const struct tool_tls_options *tls; /* NULL: plain */
};

struct tool_client {
    int fd;
    struct tool_tls *tls;         /* owned; NULL: plain */
    struct tool_signals *signals; /* borrowed: one that comes ends all waiting; or NULL */
    struct buf in;
    size_t at; /* of what is not read yet */
};

/* A reply as a row of texts: one, or those of an array (nested ones in their order). */
struct tool_reply {
    struct buf text;                    /* each part with a zero behind it */
    size_t parts[TOOL_REPLY_PARTS_MAX]; /* where they begin */
    size_t count;
};

/* Connects and logs in; `signals` may be NULL. Close it whatever the result. ST_IO names the
 * address; ST_INVALID: the login was refused, or a certificate cannot be read; ST_AGAIN, here and
 * below: a signal came. */
MUST_USE enum status tool_client_connect(struct tool_client *client,
                                         const struct tool_server *server,
                                         struct tool_signals *signals, struct err *err);
void tool_client_close(struct tool_client *client);
/* Sends arguments up to NULL and reads the reply. ST_INVALID: it is an error, which `err` has. */
MUST_USE enum status tool_client_call(struct tool_client *client, const char *const *args,
                                      struct tool_reply *reply, struct err *err);
void tool_reply_deinit(struct tool_reply *reply);
/* The part behind the one that is `name`; "" if there is none. */
const char *tool_reply_find(const struct tool_reply *reply, const char *name);

/* For what is no reply. Sends bytes as they are. */
MUST_USE enum status tool_client_send(struct tool_client *client, struct bytes bytes,
                                      struct err *err);
/* The next line without its end; borrowed until the next call. */
MUST_USE enum status tool_client_read_line(struct tool_client *client, struct bytes *out,
                                           struct err *err);
/* At least one and at most `capacity` bytes. ST_IO also when the server has closed. */
MUST_USE enum status tool_client_read(struct tool_client *client, void *out, size_t capacity,
                                      size_t *read_out, struct err *err);

#endif
