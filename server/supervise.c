#include "server/supervise.h"

#include "server/config.h"
#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PIDFILE_DEFAULT                                                                            \
    "/var/run/redis.pid" /* as Redis: where daemonize is on and none is named                      \
                          */

static bool under_systemd(const struct config *config)
{
    return (config->supervised == CONFIG_SUPERVISED_SYSTEMD ||
            config->supervised == CONFIG_SUPERVISED_AUTO) &&
           getenv("NOTIFY_SOCKET") != NULL;
}

static bool under_upstart(const struct config *config)
{
    return (config->supervised == CONFIG_SUPERVISED_UPSTART ||
            config->supervised == CONFIG_SUPERVISED_AUTO) &&
           getenv("UPSTART_JOB") != NULL;
}

void supervise_daemonize(const struct config *config)
{
    if (!config->daemonize || under_systemd(config) || under_upstart(config))
        return;
    if (fork() != 0)
        _exit(0);
    (void)setsid();
    int fd = open("/dev/null", O_RDWR);
    if (fd < 0)
        return;
    (void)dup2(fd, STDIN_FILENO);
    (void)dup2(fd, STDOUT_FILENO);
    (void)dup2(fd, STDERR_FILENO);
    if (fd > STDERR_FILENO)
        (void)close(fd);
}

static const char *pid_path(const struct config *config)
{
    if (config->pidfile != NULL && config->pidfile[0] != '\0')
        return config->pidfile;
    return config->daemonize ? PIDFILE_DEFAULT : NULL;
}

void supervise_write_pid(const struct config *config)
{
    const char *path = pid_path(config);
    if (path == NULL)
        return;
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        log_write(LOG_WARNING, "Failed to write PID file: %s: %s", path, strerror(errno));
        return;
    }
    (void)fprintf(file, "%d\n", (int)getpid());
    (void)fclose(file);
}

void supervise_remove_pid(const struct config *config)
{
    const char *path = pid_path(config);
    if (path == NULL)
        return;
    log_write(LOG_NOTICE, "Removing the pid file.");
    (void)unlink(path);
}

/* Sends a datagram to the socket that systemd names in the environment. */
static void notify_systemd(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, strlen(path));
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (address.sun_path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address, len) < 0)
        log_write(LOG_WARNING, "Can't send to systemd's notify socket: %s", strerror(errno));
    (void)close(fd);
}

void supervise_ready(const struct config *config)
{
    if (under_systemd(config))
        notify_systemd("STATUS=Ready to accept connections\nREADY=1\n");
    else if (under_upstart(config))
        (void)raise(SIGSTOP);
}

void supervise_stopping(const struct config *config)
{
    if (under_systemd(config))
        notify_systemd("STATUS=Saving the final cut\nSTOPPING=1\n");
}
