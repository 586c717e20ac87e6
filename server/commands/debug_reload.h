/* DEBUG RELOAD, for cmd_debug.c. */
#ifndef BASALT_SERVER_COMMANDS_DEBUG_RELOAD_H
#define BASALT_SERVER_COMMANDS_DEBUG_RELOAD_H

struct call;

void debug_reload(struct call *c);

#endif
