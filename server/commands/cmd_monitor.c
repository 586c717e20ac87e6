/* MONITOR. Source: monitorCommand of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/monitor.h"
#include "server/services.h"

static void cmd_monitor(struct call *c)
{
    if (!call_may_block(c)) {
        reply_error(c->reply, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    /* Like Redis: one that is a monitor already is not even answered. */
    if ((c->session->flags & (SESSION_REPLICA | SESSION_MONITOR)) != 0)
        return;
    monitors_add(c->services->monitors, c->session);
    reply_ok(c->reply);
}

const struct command cmd_monitor_table[] = {
    {.name = "monitor",
     .handler = cmd_monitor,
     .arity = 1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "1.0.0",
     .summary = "Listens for all requests received by the server in real-time."},
    {.name = NULL},
};
