/* Listening sockets: TCP on each `bind` address, plain and with TLS, and the unix socket. What they
 * accept goes to conns_adopt. They follow CONFIG SET port, tls-port and bind by themselves. Main
 * thread. Source: listenToPort of Redis 7.2. */
#ifndef BASALT_SERVER_LISTENER_H
#define BASALT_SERVER_LISTENER_H

#include "codec/status.h"

#include <stdbool.h>
#include <stddef.h>

struct config;
struct listeners;
struct services;

/* Opens nothing yet. `services` is borrowed: config, loop, tls and conns are used. */
struct listeners *listeners_create(struct services *services);
/* Opens all that is configured, or nothing. An address with '-' in front may be missing on this
 * machine, and a family that the kernel does not know is passed over, each with a line in the log.
 * ST_IO when one cannot be opened. With port 0 and no unix socket there is nothing to open. */
MUST_USE enum status listeners_open(struct listeners *listeners, struct err *err);
/* How many TCP addresses are listened on, and whether the unix socket is. */
size_t listeners_tcp_count(const struct listeners *listeners);
bool listeners_has_unix(const struct listeners *listeners);
/* Logs "Ready to accept connections tcp", "… tls" and "… unix", for which scripts wait. */
void listeners_log_ready(const struct listeners *listeners);
/* Takes the connections that wait to be accepted, without waiting for the loop to tell. */
void listeners_accept(struct listeners *listeners);
/* Stops listening and removes the unix socket's file. */
void listeners_close(struct listeners *listeners);
/* Closes first. Accepts NULL. */
void listeners_destroy(struct listeners *listeners);

/* A listening socket at one address as `bind` has it, '-' in front or not. -1: errno and `reason`
 * tell why; `*optional_out`: it may be missing on this machine. */
int listener_open_tcp(const struct config *config, const char *text, int port, bool *optional_out,
                      char *reason, size_t reason_size);

/* Keepalive probes as `tcp-keepalive` says, and no delay for small packets: for the sockets of
 * outgoing links; accepted ones have both from their listener. keepalive_seconds 0: no probes. */
void listener_set_tcp_options(int fd, int keepalive_seconds);

#endif
