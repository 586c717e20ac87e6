/* MONITOR: clients that are shown every request that runs. Main thread. Source:
 * replicationFeedMonitors of Redis 7.2. */
#ifndef BASALT_SERVER_MONITOR_H
#define BASALT_SERVER_MONITOR_H

#include "codec/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct monitors;
struct pushes;
struct redact;
struct session;

struct monitors *monitors_create(struct pushes *pushes);
/* All must have been removed. Accepts NULL. */
void monitors_destroy(struct monitors *monitors);

/* From now on the session is shown all requests, and is SESSION_MONITOR. Once per session. */
void monitors_add(struct monitors *monitors, struct session *session);
/* No longer. Does nothing for a session that is not SESSION_MONITOR. */
void monitors_remove(struct monitors *monitors, struct session *session);
/* Cheap: nobody watches. */
bool monitors_is_idle(const struct monitors *monitors);

struct monitor_request {
    const struct bytes *argv;
    int argc;
    uint32_t db;
    const char *origin; /* the client's address, "unix:path", "lua" */
    int64_t at_us;      /* wall clock */
    struct redact *redact;
};
/* Shows a request to all of them. Between pushes_begin and pushes_end. */
void monitors_show(struct monitors *monitors, const struct monitor_request *request);

#endif
