/* Goal: every configured address is listened on or the failure is told; accepted sockets have their
 * options; CONFIG SET moves the listeners. Method: the real loop and loopback sockets; conns_adopt
 * is the test's own. */
#include "server/listener.h"

#include "codec/mem.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/loop.h"
#include "server/services.h"
#include "tests/support/harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct conns {
    int accepted;
    int family;
    int fd;
};

void conns_adopt(struct conns *conns, int fd, const struct sockaddr *peer)
{
    if (conns->fd >= 0)
        (void)close(conns->fd);
    conns->accepted++;
    conns->family = peer->sa_family;
    conns->fd = fd;
}

void conns_adopt_tls(struct conns *conns, int fd, const struct sockaddr *peer, struct tls *tls)
{
    (void)tls;
    conns_adopt(conns, fd, peer);
}

struct fixture {
    struct loop *loop;
    struct config *config;
    struct conns conns;
    struct services services;
    struct listeners *listeners;
    char *dir;
    int client;
};

/* A port that nobody listens on right now. */
static int free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void set(struct fixture *f, const char *name, const char *value)
{
    struct config_pair pair = {bytes_text(name), bytes_text(value)};
    struct config_set_context context = {0};
    struct err err;
    assert_ok(config_set(f->config, &pair, 1, &context, &err), &err);
}

static int set_up(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    struct err err;
    if (loop_open(&f->loop, &err) != ST_OK)
        return -1;
    f->config = config_create();
    set(f, "bind", "127.0.0.1");
    f->config->port = free_port();
    f->conns.fd = -1;
    f->client = -1;
    f->services = (struct services){.config = f->config, .loop = f->loop, .conns = &f->conns};
    f->listeners = listeners_create(&f->services);
    f->dir = harness_make_dir();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    listeners_destroy(f->listeners);
    loop_close(f->loop);
    config_destroy(f->config);
    if (f->conns.fd >= 0)
        (void)close(f->conns.fd);
    if (f->client >= 0)
        (void)close(f->client);
    harness_remove_dir(f->dir);
    mem_free(f->dir);
    mem_free(f);
    return 0;
}

static bool try_connect(struct fixture *f, int port)
{
    if (f->client >= 0)
        (void)close(f->client);
    f->client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(f->client, (struct sockaddr *)&address, sizeof(address)) != 0)
        return false;
    for (int i = 0; i < 3; i++)
        loop_run_once(f->loop);
    return true;
}

static int option(int fd, int level, int name)
{
    int value = 0;
    socklen_t size = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static void accepted_sockets_inherit_their_options(void **state)
{
    struct fixture *f = *state;
    f->config->tcp_keepalive = 60;
    struct err err;
    assert_ok(listeners_open(f->listeners, &err), &err);
    assert_int_equal(listeners_tcp_count(f->listeners), 1);
    assert_true(try_connect(f, f->config->port));
    assert_int_equal(f->conns.accepted, 1);
    assert_int_equal(f->conns.family, AF_INET);
    assert_int_equal(option(f->conns.fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option(f->conns.fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(f->conns.fd, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    assert_int_equal(option(f->conns.fd, IPPROTO_TCP, TCP_KEEPINTVL), 20);
}

static void closed_listeners_accept_nothing(void **state)
{
    struct fixture *f = *state;
    struct err err;
    assert_ok(listeners_open(f->listeners, &err), &err);
    listeners_close(f->listeners);
    assert_false(try_connect(f, f->config->port));
    assert_int_equal(listeners_tcp_count(f->listeners), 0);
}

static void a_port_in_use_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err err;
    assert_ok(listeners_open(f->listeners, &err), &err);
    struct listeners *second = listeners_create(&f->services);
    assert_int_equal(listeners_open(second, &err), ST_IO);
    assert_int_equal(listeners_tcp_count(second), 0);
    listeners_destroy(second);
    assert_true(try_connect(f, f->config->port));
}

static void an_optional_address_may_be_missing(void **state)
{
    struct fixture *f = *state;
    set(f, "port", "0");
    set(f, "bind", "127.0.0.1 -192.0.2.77");
    f->config->port = free_port();
    struct err err;
    assert_ok(listeners_open(f->listeners, &err), &err);
    assert_int_equal(listeners_tcp_count(f->listeners), 1);
    listeners_close(f->listeners);
    f->config->port = 0;
    set(f, "bind", "127.0.0.1 192.0.2.77");
    f->config->port = free_port();
    assert_int_equal(listeners_open(f->listeners, &err), ST_IO);
    assert_int_equal(listeners_tcp_count(f->listeners), 0);
}

static void all_addresses_means_both_families(void **state)
{
    struct fixture *f = *state;
    set(f, "port", "0");
    set(f, "bind", "* -::*");
    f->config->port = free_port();
    struct err err;
    assert_ok(listeners_open(f->listeners, &err), &err);
    assert_true(listeners_tcp_count(f->listeners) >= 1);
    assert_true(try_connect(f, f->config->port));
}

static void port_zero_listens_on_nothing(void **state)
{
    struct fixture *f = *state;
    f->config->port = 0;
    struct err err;
    assert_ok(listeners_open(f->listeners, &err), &err);
    assert_int_equal(listeners_tcp_count(f->listeners), 0);
    assert_false(listeners_has_unix(f->listeners));
}

static void config_set_moves_the_listeners(void **state)
{
    struct fixture *f = *state;
    struct err err;
    assert_ok(listeners_open(f->listeners, &err), &err);
    int old_port = f->config->port;
    int new_port = free_port();
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", new_port);
    set(f, "port", text);
    assert_true(try_connect(f, new_port));
    assert_false(try_connect(f, old_port));
    struct config_pair pair = {bytes_text("bind"), bytes_text("192.0.2.77")};
    struct config_set_context context = {0};
    assert_int_equal(config_set(f->config, &pair, 1, &context, &err), ST_INVALID);
    assert_non_null(strstr(err.message, "Failed to bind to specified addresses."));
    assert_true(try_connect(f, new_port));
}

static void the_unix_socket_has_its_permissions_and_is_removed(void **state)
{
    struct fixture *f = *state;
    char path[200];
    (void)snprintf(path, sizeof(path), "%s/socket", f->dir);
    mem_free(f->config->unixsocket);
    f->config->unixsocket = mem_strdup(path);
    f->config->unixsocketperm = 0600;
    struct err err;
    assert_ok(listeners_open(f->listeners, &err), &err);
    assert_true(listeners_has_unix(f->listeners));
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    f->client = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(f->client, (struct sockaddr *)&address, sizeof(address)), 0);
    loop_run_once(f->loop);
    assert_int_equal(f->conns.accepted, 1);
    assert_int_equal(f->conns.family, AF_UNIX);
    listeners_close(f->listeners);
    assert_int_equal(stat(path, &info), -1);
}

static void a_unix_path_that_is_too_long_is_told(void **state)
{
    struct fixture *f = *state;
    char path[300];
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    mem_free(f->config->unixsocket);
    f->config->unixsocket = mem_strdup(path);
    struct err err;
    assert_int_equal(listeners_open(f->listeners, &err), ST_IO);
    assert_non_null(strstr(err.message, "unix socket path too long (299), must be under 108"));
    assert_int_equal(listeners_tcp_count(f->listeners), 0);
}

#define LISTENER_TEST(function) TEST_WITH(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LISTENER_TEST(accepted_sockets_inherit_their_options),
        LISTENER_TEST(closed_listeners_accept_nothing),
        LISTENER_TEST(a_port_in_use_is_refused),
        LISTENER_TEST(an_optional_address_may_be_missing),
        LISTENER_TEST(all_addresses_means_both_families),
        LISTENER_TEST(port_zero_listens_on_nothing),
        LISTENER_TEST(config_set_moves_the_listeners),
        LISTENER_TEST(the_unix_socket_has_its_permissions_and_is_removed),
        LISTENER_TEST(a_unix_path_that_is_too_long_is_told),
    };
    return RUN_TESTS("listener", tests);
}
