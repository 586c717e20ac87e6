/* A connection to a server, for the few commands that the tool sends: blocking, RESP2. */
#ifndef BASALT_TOOLS_TOOL_CLIENT_H
#define BASALT_TOOLS_TOOL_CLIENT_H

#include <stddef.h>

#include "codec/buf.h"
#include "codec/status.h"

#define TOOL_REPLY_PARTS_MAX 64

struct tool_client {
    int fd;
    struct buf in;
    size_t at; /* of what is not read yet */
};

/* A reply as a row of texts: one, or those of an array (nested ones in their order). */
struct tool_reply {
    struct buf text;                    /* each part with a zero behind it */
    size_t parts[TOOL_REPLY_PARTS_MAX]; /* where they begin */
    size_t count;
};

/* ST_IO names the address. */
MUST_USE enum status tool_client_connect(struct tool_client *client, const char *host,
                                         const char *port, struct err *err);
void tool_client_close(struct tool_client *client);
/* Sends arguments up to NULL and reads the reply. ST_INVALID: it is an error, which `err` has. */
MUST_USE enum status tool_client_call(struct tool_client *client, const char *const *args,
                                      struct tool_reply *reply, struct err *err);
void tool_reply_deinit(struct tool_reply *reply);
/* The part behind the one that is `name`; "" if there is none. */
const char *tool_reply_find(const struct tool_reply *reply, const char *name);

#endif
