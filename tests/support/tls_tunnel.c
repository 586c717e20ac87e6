#include "tests/support/tls_tunnel.h"

#include "codec/mem.h"
#include "tests/support/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE_BYTES 16384

/* Owned by its thread. */
struct tunnel {
    SSL *ssl;
    int plain; /* our end of the pair */
    int secure;
    uint8_t up[PIECE_BYTES], down[PIECE_BYTES]; /* to the server and from it */
    size_t up_start, up_end, down_start, down_end;
    bool ended;
};

static bool is_waiting(SSL *ssl, int result)
{
    int error = SSL_get_error(ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static void move_up(struct tunnel *t)
{
    if (t->up_start == t->up_end) {
        ssize_t count = recv(t->plain, t->up, sizeof(t->up), 0);
        if (count == 0 || (count < 0 && errno != EAGAIN))
            t->ended = true;
        t->up_start = 0;
        t->up_end = count > 0 ? (size_t)count : 0;
    }
    if (t->up_start == t->up_end)
        return;
    int sent = SSL_write(t->ssl, t->up + t->up_start, (int)(t->up_end - t->up_start));
    if (sent > 0)
        t->up_start += (size_t)sent;
    else if (!is_waiting(t->ssl, sent))
        t->ended = true;
}

static void move_down(struct tunnel *t)
{
    if (t->down_start == t->down_end) {
        int count = SSL_read(t->ssl, t->down, sizeof(t->down));
        if (count <= 0 && !is_waiting(t->ssl, count))
            t->ended = true;
        t->down_start = 0;
        t->down_end = count > 0 ? (size_t)count : 0;
    }
    if (t->down_start == t->down_end)
        return;
    ssize_t sent =
        send(t->plain, t->down + t->down_start, t->down_end - t->down_start, MSG_NOSIGNAL);
    if (sent > 0)
        t->down_start += (size_t)sent;
    else if (errno != EAGAIN)
        t->ended = true;
}

static void *carry(void *arg)
{
    struct tunnel *t = arg;
    while (!t->ended) {
        bool up = t->up_start != t->up_end;
        bool down = t->down_start != t->down_end;
        struct pollfd fds[] = {
            {.fd = t->plain, .events = (short)((up ? 0 : POLLIN) | (down ? POLLOUT : 0))},
            {.fd = t->secure, .events = (short)((down ? 0 : POLLIN) | (up ? POLLOUT : 0))},
        };
        if (SSL_pending(t->ssl) == 0 || down)
            (void)poll(fds, 2, -1);
        move_up(t);
        move_down(t);
    }
    SSL_free(t->ssl);
    (void)close(t->plain);
    (void)close(t->secure);
    mem_free(t);
    return NULL;
}

static SSL_CTX *make_context(const struct tls_tunnel_options *options)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    assert_non_null(context);
    assert_int_equal(SSL_CTX_load_verify_locations(context, options->authority, NULL), 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (options->protocol_max == 12)
        SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    if (options->certificate != NULL) {
        assert_int_equal(SSL_CTX_use_certificate_chain_file(context, options->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(context, options->key, SSL_FILETYPE_PEM), 1);
    }
    return context;
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void make_nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

int tls_tunnel_open(const struct tls_tunnel_options *options)
{
    SSL_CTX *context = make_context(options);
    int secure = connect_to(options->port);
    SSL *ssl = SSL_new(context);
    SSL_CTX_free(context);
    assert_int_equal(SSL_set_fd(ssl, secure), 1);
    if (SSL_connect(ssl) != 1) {
        ERR_clear_error();
        SSL_free(ssl);
        (void)close(secure);
        return -1;
    }
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct tunnel *t = mem_calloc(1, sizeof(*t));
    *t = (struct tunnel){.ssl = ssl, .plain = pair[1], .secure = secure};
    make_nonblocking(t->plain);
    make_nonblocking(t->secure);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, carry, t), 0);
    assert_int_equal(pthread_detach(thread), 0);
    return pair[0];
}
