/* Being a service: daemonize, pid file, and telling systemd or upstart how it goes. Main thread. */
#ifndef BASALT_SERVER_SUPERVISE_H
#define BASALT_SERVER_SUPERVISE_H

#include <stdbool.h>

struct config;

/* Detaches from the terminal if the settings ask for it (and nobody supervises us). Before any
 * thread is started. */
void supervise_daemonize(const struct config *config);
/* Writes the pid file; a failure is logged only. */
void supervise_write_pid(const struct config *config);
void supervise_remove_pid(const struct config *config);
/* The server takes requests. */
void supervise_ready(const struct config *config);
void supervise_stopping(const struct config *config);

#endif
