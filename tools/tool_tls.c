#include "tools/tool_tls.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "codec/mem.h"

#define ERROR_TEXT_BYTES 256

struct tool_tls {
    SSL_CTX *context; /* owned */
    SSL *ssl;         /* owned */
    short awaits;
    char error[ERROR_TEXT_BYTES];
};

static enum status fail(struct err *err, const char *what, const char *file)
{
    char text[ERROR_TEXT_BYTES];
    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    ERR_clear_error();
    return err_set(err, ST_INVALID, "%s %.80s: %.160s", what, file == NULL ? "" : file, text);
}

static enum status fill_context(SSL_CTX *context, const struct tool_tls_options *options,
                                struct err *err)
{
    const char *file = options->authority_file;
    const char *dir = options->authority_dir;
    SSL_CTX_set_options(context, SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 |
                                     SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(context, options->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (file != NULL || dir != NULL) {
        if (SSL_CTX_load_verify_locations(context, file, dir) <= 0)
            return fail(err, "cannot read the authorities' certificates", file);
    } else if (SSL_CTX_set_default_verify_paths(context) <= 0) {
        return fail(err, "cannot read the system's certificates", NULL);
    }
    if (options->certificate_file != NULL &&
        SSL_CTX_use_certificate_chain_file(context, options->certificate_file) <= 0)
        return fail(err, "cannot read the certificate", options->certificate_file);
    if (options->key_file != NULL &&
        SSL_CTX_use_PrivateKey_file(context, options->key_file, SSL_FILETYPE_PEM) <= 0)
        return fail(err, "cannot read the key", options->key_file);
    return ST_OK;
}

static enum status make_stream(struct tool_tls *tls, const struct tool_tls_options *options, int fd,
                               struct err *err)
{
    tls->context = SSL_CTX_new(TLS_client_method());
    if (tls->context == NULL)
        return fail(err, "TLS cannot be used", NULL);
    enum status st = fill_context(tls->context, options, err);
    if (st != ST_OK)
        return st;
    tls->ssl = SSL_new(tls->context);
    if (tls->ssl == NULL || SSL_set_fd(tls->ssl, fd) != 1)
        return fail(err, "TLS cannot be used", NULL);
    if (options->server_name != NULL && !SSL_set_tlsext_host_name(tls->ssl, options->server_name))
        return fail(err, "the server's name cannot be sent:", options->server_name);
    SSL_set_connect_state(tls->ssl);
    return ST_OK;
}

enum status tool_tls_open(const struct tool_tls_options *options, int fd, struct tool_tls **out,
                          struct err *err)
{
    struct tool_tls *tls = mem_calloc(1, sizeof(*tls));
    enum status st = make_stream(tls, options, fd, err);
    if (st == ST_OK)
        *out = tls;
    else
        tool_tls_close(tls);
    return st;
}

void tool_tls_close(struct tool_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    SSL_CTX_free(tls->context);
    ERR_clear_error();
    mem_free(tls);
}

static void keep_error(struct tool_tls *tls, int os_error)
{
    long verified = SSL_get_verify_result(tls->ssl);
    unsigned long code = ERR_peek_error();
    if (verified != X509_V_OK && SSL_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE)
        (void)snprintf(tls->error, sizeof(tls->error), "the server's certificate: %s",
                       X509_verify_cert_error_string(verified));
    else if (code != 0)
        ERR_error_string_n(code, tls->error, sizeof(tls->error));
    else
        (void)snprintf(tls->error, sizeof(tls->error), "%s",
                       os_error != 0 ? strerror(os_error) : "the connection was closed");
}

/* What the result of a call, which was not positive, means: 0 or -1 with errno. */
static ssize_t judge(struct tool_tls *tls, int result)
{
    int os_error = errno;
    int reason = SSL_get_error(tls->ssl, result);
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) {
        tls->awaits = reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        errno = EAGAIN;
        return -1;
    }
    if (reason == SSL_ERROR_ZERO_RETURN && SSL_is_init_finished(tls->ssl))
        return 0;
    keep_error(tls, os_error);
    ERR_clear_error();
    errno = EPROTO;
    return -1;
}

ssize_t tool_tls_read(struct tool_tls *tls, void *place, size_t room)
{
    ERR_clear_error();
    errno = 0;
    int count = SSL_read(tls->ssl, place, room < INT_MAX ? (int)room : INT_MAX);
    return count > 0 ? count : judge(tls, count);
}

ssize_t tool_tls_write(struct tool_tls *tls, const void *data, size_t len)
{
    ERR_clear_error();
    errno = 0;
    int count = SSL_write(tls->ssl, data, len < INT_MAX ? (int)len : INT_MAX);
    return count > 0 ? count : judge(tls, count);
}

short tool_tls_awaits(const struct tool_tls *tls)
{
    return tls->awaits;
}

const char *tool_tls_error(const struct tool_tls *tls)
{
    return tls->error;
}
