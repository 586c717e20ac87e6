/* The whole: opens the parts in order, joins them, runs the loop, and closes them. Main thread. */
#ifndef BASALT_SERVER_SERVER_H
#define BASALT_SERVER_SERVER_H

#include "codec/status.h"

#include <stdbool.h>
#include <stdint.h>

struct config;
struct server;
struct services;

/* Opens everything and begins to listen. The dataset may still have to be replayed: clients are
 * told -LOADING meanwhile. `executable` is argv[0]; borrowed for good. */
MUST_USE enum status server_open(struct config *config, const char *executable, struct server **out,
                                 struct err *err);
/* Runs until a shutdown was asked for and carried out. Returns the process's exit status. */
int server_run(struct server *server);
void server_close(struct server *server);

/* How SHUTDOWN and the signals end it. Without `force`, a failing last cut keeps the server alive
 * (the journal has everything, so `force` loses nothing either: it only makes the next start
 * replay). */
struct server_shutdown {
    bool no_save; /* leave the last cut to the next start's replay */
    bool now;     /* do not wait for replicas */
    bool force;
};
/* Asks for it; it happens at the end of the loop's tick. */
void server_request_shutdown(struct server *server, const struct server_shutdown *how);
/* SHUTDOWN ABORT: false when none was under way. */
bool server_abort_shutdown(struct server *server);

/* Facts for INFO. */
struct server_facts {
    const char *run_id; /* 40 hexadecimal digits, new with each start */
    const char *executable;
    int64_t started_at_ms;   /* wall clock */
    int64_t started_mono_ms; /* monotonic */
    bool loading;            /* the journal is being replayed */
    uint64_t loading_bytes_total, loading_bytes_done;
    int64_t loading_started_ms; /* wall clock */
    int64_t loading_us;         /* how long the last replay took */
    uint64_t loading_commands;  /* replayed */
};
void server_read_facts(const struct server *server, struct server_facts *out);

/* DEBUG LOADAOF: writes all to disk, drops RAM. */
MUST_USE enum status server_reload(struct server *server, struct err *err);

#endif
