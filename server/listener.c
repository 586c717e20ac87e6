/* TCP options are set on the listening socket: Linux hands them down to the sockets it accepts,
 * which saves five system calls for each. */
#include "server/listener.h"

#include "codec/check.h"
#include "codec/log_fn.h"
#include "codec/mem.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/log.h"
#include "server/loop.h"
#include "server/services.h"
#include "server/tls.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

/* Per listener and tick, so that a storm of new clients leaves time for the others. */
#define ACCEPTS_PER_TICK_MAX 1000
/* Out of descriptors: when to try again. */
#define ACCEPT_PAUSE_MS 100

struct listener {
    uv_poll_t watcher;
    struct listeners *owner;
    int fd;
    bool tls;
};

struct listeners {
    struct config *config;
    struct loop *loop;
    struct conns *conns;
    struct tls *tls;
    struct listener *tcp[2 * CONFIG_BIND_COUNT_MAX]; /* owned, each; those of TLS come last */
    size_t tcp_count;
    struct listener *unix_socket; /* owned; NULL: none */
    char *unix_path;              /* owned: of unix_socket */
    struct loop_timer *resume;    /* owned: accepts again after a pause */
};

/* ---- Sockets. */

static void set_option(int fd, int level, int option, int value)
{
    /* Best effort: a socket works without any of them. */
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

void listener_set_tcp_options(int fd, int keepalive_seconds)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (keepalive_seconds <= 0)
        return;
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, keepalive_seconds);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, keepalive_seconds >= 3 ? keepalive_seconds / 3 : 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

/* What to listen on, and how it is called in messages. */
struct tcp_address {
    const char *text; /* without '-' */
    bool optional;
    bool ipv6;
    int port;
};

/* Keeps the reason in errno and in `reason`. Returns -1 on failure. */
static int fail_socket(int fd, const char *step, char *reason, size_t reason_size)
{
    int saved = errno;
    (void)snprintf(reason, reason_size, "%s: %s", step, strerror(saved));
    if (fd >= 0)
        (void)close(fd);
    errno = saved;
    return -1;
}

static int open_tcp(const struct config *config, const struct tcp_address *address, char *reason,
                    size_t reason_size)
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%d", address->port);
    struct addrinfo hints = {.ai_family = address->ipv6 ? AF_INET6 : AF_INET,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE};
    bool any = strcmp(address->text, "*") == 0 || strcmp(address->text, "::*") == 0;
    struct addrinfo *info = NULL;
    int result = getaddrinfo(any ? NULL : address->text, port, &hints, &info);
    if (result != 0) {
        (void)snprintf(reason, reason_size, "%s", gai_strerror(result));
        errno = result == EAI_ADDRFAMILY ? EAFNOSUPPORT : EINVAL;
        return -1;
    }
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    info->ai_protocol);
    if (fd >= 0) {
        if (address->ipv6)
            set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (config->socket_mark_id != 0)
            set_option(fd, SOL_SOCKET, SO_MARK, (int)config->socket_mark_id);
        listener_set_tcp_options(fd, config->tcp_keepalive);
    }
    if (fd < 0)
        (void)fail_socket(fd, "socket", reason, reason_size);
    else if (bind(fd, info->ai_addr, info->ai_addrlen) != 0)
        fd = fail_socket(fd, "bind", reason, reason_size);
    else if (listen(fd, config->tcp_backlog) != 0)
        fd = fail_socket(fd, "listen", reason, reason_size);
    int saved = errno;
    freeaddrinfo(info);
    errno = saved;
    return fd;
}

static int open_unix(const struct config *config, char *reason, size_t reason_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(config->unixsocket);
    if (len >= sizeof(address.sun_path)) {
        (void)snprintf(reason, reason_size, "unix socket path too long (%zu), must be under %zu",
                       len, sizeof(address.sun_path));
        return -1;
    }
    memcpy(address.sun_path, config->unixsocket, len);
    (void)unlink(config->unixsocket); /* left over from a server that was killed */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_socket(fd, "creating socket", reason, reason_size);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        return fail_socket(fd, "bind", reason, reason_size);
    if (config->unixsocketperm != 0 && chmod(config->unixsocket, config->unixsocketperm) != 0)
        return fail_socket(fd, "chmod", reason, reason_size);
    if (listen(fd, config->tcp_backlog) != 0)
        return fail_socket(fd, "listen", reason, reason_size);
    return fd;
}

/* ---- Accepting. */

static void on_acceptable(uv_poll_t *watcher, int status, int events);

static void watch(struct listener *listener)
{
    CHECK(uv_poll_start(&listener->watcher, UV_READABLE, on_acceptable) == 0);
}

static void on_resume(void *arg)
{
    struct listeners *listeners = arg;
    for (size_t i = 0; i < listeners->tcp_count; i++)
        watch(listeners->tcp[i]);
    if (listeners->unix_socket != NULL)
        watch(listeners->unix_socket);
}

/* The process has no descriptor left: without a pause the loop would spin on what it cannot take.
 */
static void pause_accepting(struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->tcp_count; i++)
        (void)uv_poll_stop(&listeners->tcp[i]->watcher);
    if (listeners->unix_socket != NULL)
        (void)uv_poll_stop(&listeners->unix_socket->watcher);
    loop_timer_start(listeners->resume, ACCEPT_PAUSE_MS, 0);
}

static void adopt(const struct listener *listener, int fd, const struct sockaddr *peer)
{
    struct listeners *owner = listener->owner;
    if (listener->tls)
        conns_adopt_tls(owner->conns, fd, peer, owner->tls);
    else
        conns_adopt(owner->conns, fd, peer);
}

static void accept_some(struct listener *listener)
{
    for (int i = 0; i < ACCEPTS_PER_TICK_MAX; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t size = sizeof(peer);
        int fd =
            accept4(listener->fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            adopt(listener, fd, (const struct sockaddr *)&peer);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        log_write(LOG_WARNING, "Accepting client connection: accept: %s", strerror(errno));
        pause_accepting(listener->owner);
        return;
    }
}

static void on_acceptable(uv_poll_t *watcher, int status, int events)
{
    (void)events;
    if (status >= 0)
        accept_some(watcher->data);
}

void listeners_accept(struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->tcp_count; i++)
        accept_some(listeners->tcp[i]);
    if (listeners->unix_socket != NULL)
        accept_some(listeners->unix_socket);
}

static struct listener *start(struct listeners *listeners, int fd)
{
    struct listener *listener = mem_calloc(1, sizeof(*listener));
    listener->owner = listeners;
    listener->fd = fd;
    CHECK(uv_poll_init(loop_uv(listeners->loop), &listener->watcher, fd) == 0);
    listener->watcher.data = listener;
    watch(listener);
    return listener;
}

static void free_listener(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void stop(struct listener *listener)
{
    uv_close((uv_handle_t *)&listener->watcher, free_listener);
    (void)close(listener->fd);
}

/* ---- Opening and closing. */

static void close_tcp(struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->tcp_count; i++)
        stop(listeners->tcp[i]);
    listeners->tcp_count = 0;
}

static bool may_be_missing(const struct tcp_address *address, int os_error)
{
    if (address->optional && os_error == EADDRNOTAVAIL)
        return true;
    return os_error == ENOPROTOOPT || os_error == EPROTONOSUPPORT || os_error == ESOCKTNOSUPPORT ||
           os_error == EPFNOSUPPORT || os_error == EAFNOSUPPORT;
}

static void warn_of_short_backlog(int wanted)
{
    static const char path[] = "/proc/sys/net/core/somaxconn";
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return;
    int allowed = 0;
    if (fscanf(file, "%d", &allowed) == 1 && allowed > 0 && allowed < wanted)
        log_write(LOG_WARNING,
                  "WARNING: The TCP backlog setting of %d cannot be enforced because %s is set to "
                  "the lower value of %d.",
                  wanted, path, allowed);
    (void)fclose(file);
}

int listener_open_tcp(const struct config *config, const char *text, int port, bool *optional_out,
                      char *reason, size_t reason_size)
{
    struct tcp_address address = {.optional = text[0] == '-', .port = port};
    address.text = address.optional ? text + 1 : text;
    address.ipv6 = strchr(address.text, ':') != NULL;
    int fd = open_tcp(config, &address, reason, reason_size);
    *optional_out = fd < 0 && may_be_missing(&address, errno);
    return fd;
}

static enum status open_port(struct listeners *listeners, int port, bool tls, struct err *err)
{
    const struct config *config = listeners->config;
    const char *name = tls ? "TLS" : "TCP";
    for (size_t i = 0; i < config->bind.count; i++) {
        const char *text = config->bind.addresses[i];
        char reason[200];
        bool optional;
        int fd = listener_open_tcp(config, text, port, &optional, reason, sizeof(reason));
        if (fd >= 0) {
            struct listener *listener = start(listeners, fd);
            listener->tls = tls;
            listeners->tcp[listeners->tcp_count++] = listener;
            continue;
        }
        int os_error = errno;
        log_write(LOG_WARNING, "Warning: Could not create server %s listening socket %s:%d: %s",
                  name, text[0] == '-' ? text + 1 : text, port, reason);
        if (optional)
            continue;
        return err_set_os(err, ST_IO, os_error, "Failed listening on port %d (%s), aborting.", port,
                          name);
    }
    return ST_OK;
}

static enum status open_all_tcp(struct listeners *listeners, struct err *err)
{
    const struct config *config = listeners->config;
    enum status st = ST_OK;
    if (config->port != 0)
        st = open_port(listeners, config->port, false, err);
    if (st == ST_OK && tls_is_wanted(config))
        st = tls_configure(listeners->tls, err);
    if (st == ST_OK && config->tls_port != 0)
        st = open_port(listeners, config->tls_port, true, err);
    if (st != ST_OK)
        close_tcp(listeners);
    return st;
}

static enum status open_unix_socket(struct listeners *listeners, struct err *err)
{
    const struct config *config = listeners->config;
    if (config->unixsocket[0] == '\0')
        return ST_OK;
    char reason[200];
    int fd = open_unix(config, reason, sizeof(reason));
    if (fd < 0)
        return err_set_os(err, ST_IO, errno, "Failed opening Unix socket: %s", reason);
    listeners->unix_socket = start(listeners, fd);
    listeners->unix_path = mem_strdup(config->unixsocket);
    return ST_OK;
}

static enum status reopen_tcp(struct listeners *listeners)
{
    loop_timer_stop(listeners->resume);
    close_tcp(listeners);
    if (listeners->unix_socket != NULL)
        watch(listeners->unix_socket);
    return open_all_tcp(listeners, NULL);
}

static enum status apply_port(void *arg, const struct config *config, struct err *err)
{
    (void)config;
    if (reopen_tcp(arg) == ST_OK)
        return ST_OK;
    return err_set(err, ST_INVALID, "Unable to listen on this port. Check server logs.");
}

static enum status apply_bind(void *arg, const struct config *config, struct err *err)
{
    (void)config;
    if (reopen_tcp(arg) == ST_OK)
        return ST_OK;
    return err_set(err, ST_INVALID, "Failed to bind to specified addresses.");
}

struct listeners *listeners_create(struct services *services)
{
    struct listeners *listeners = mem_calloc(1, sizeof(*listeners));
    listeners->config = services->config;
    listeners->loop = services->loop;
    listeners->conns = services->conns;
    listeners->tls = services->tls;
    listeners->resume = loop_timer_create(listeners->loop, on_resume, listeners);
    config_on_change(listeners->config, "port", apply_port, listeners);
    config_on_change(listeners->config, "tls-port", apply_port, listeners);
    config_on_change(listeners->config, "bind", apply_bind, listeners);
    return listeners;
}

enum status listeners_open(struct listeners *listeners, struct err *err)
{
    warn_of_short_backlog(listeners->config->tcp_backlog);
    enum status status = open_all_tcp(listeners, err);
    if (status == ST_OK)
        status = open_unix_socket(listeners, err);
    if (status != ST_OK)
        close_tcp(listeners);
    return status;
}

size_t listeners_tcp_count(const struct listeners *listeners)
{
    return listeners->tcp_count;
}

bool listeners_has_unix(const struct listeners *listeners)
{
    return listeners->unix_socket != NULL;
}

void listeners_log_ready(const struct listeners *listeners)
{
    bool tls = listeners->tcp_count != 0 && listeners->tcp[listeners->tcp_count - 1]->tls;
    if (listeners->tcp_count != 0 && !listeners->tcp[0]->tls)
        log_write(LOG_NOTICE, "Ready to accept connections tcp");
    if (tls)
        log_write(LOG_NOTICE, "Ready to accept connections tls");
    if (listeners->unix_socket != NULL)
        log_write(LOG_NOTICE, "Ready to accept connections unix");
}

void listeners_close(struct listeners *listeners)
{
    loop_timer_stop(listeners->resume);
    close_tcp(listeners);
    if (listeners->unix_socket == NULL)
        return;
    stop(listeners->unix_socket);
    listeners->unix_socket = NULL;
    log_write(LOG_NOTICE, "Removing the unix socket file.");
    if (unlink(listeners->unix_path) != 0)
        log_write(LOG_WARNING, "Error removing the unix socket file: %s", strerror(errno));
    mem_free(listeners->unix_path);
    listeners->unix_path = NULL;
}

void listeners_destroy(struct listeners *listeners)
{
    if (listeners == NULL)
        return;
    listeners_close(listeners);
    loop_timer_destroy(listeners->resume);
    mem_free(listeners);
}
