#include "server/tls.h"

#include "codec/buf.h"
#include "codec/bytes.h"
#include "codec/check.h"
#include "codec/log_fn.h"
#include "codec/mem.h"
#include "codec/split_args.h"
#include "server/config.h"
#include "server/log.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#define RECORD_BYTES     16384        /* what a record holds at most */
#define WRITE_BYTES_MAX  (256 * 1024) /* per call, so that others get their turn */
#define ERROR_TEXT_BYTES 256

struct tls {
    const struct config *config;
    SSL_CTX *context;             /* owned; NULL: not configured */
    SSL_CTX *to_servers;          /* owned; NULL: not configured, or not wanted */
    uint8_t record[RECORD_BYTES]; /* small ranges on their way into one record */
};

struct tls_stream {
    struct tls *tls; /* NULL: a stream to another server, which another thread may have */
    SSL *ssl;        /* owned */
    bool failed;
    bool ended; /* what ended it was met behind bytes that were returned first */
    bool wants_write;
    char error[ERROR_TEXT_BYTES];
};

/* ---- Contexts. */

static const char *last_error(char text[ERROR_TEXT_BYTES])
{
    ERR_error_string_n(ERR_get_error(), text, ERROR_TEXT_BYTES);
    return text;
}

static int give_password(char *place, int size, int writing, void *arg)
{
    (void)writing;
    const char *password = arg;
    size_t len = strlen(password);
    if (size < 0 || len > (size_t)size)
        return -1;
    memcpy(place, password, len);
    return (int)len;
}

/* Options that forbid what `tls-protocols` does not name; false: a name is unknown. */
static bool read_protocols(const char *text, uint64_t *options_out)
{
    static const struct {
        const char *name;
        uint64_t forbid;
        bool by_default;
    } protocols[] = {
        {"TLSv1", SSL_OP_NO_TLSv1, false},
        {"TLSv1.1", SSL_OP_NO_TLSv1_1, false},
        {"TLSv1.2", SSL_OP_NO_TLSv1_2, true},
        {"TLSv1.3", SSL_OP_NO_TLSv1_3, true},
    };
    const size_t known_count = sizeof(protocols) / sizeof(protocols[0]);
    struct split_args names;
    if (!split_args(bytes_text(text), &names))
        return false;
    uint64_t options = SSL_OP_NO_SSLv3;
    size_t found = 0;
    for (size_t i = 0; i < known_count; i++) {
        bool named = false;
        for (size_t j = 0; j < names.count; j++)
            named = named || bytes_equal_nocase(names.items[j], protocols[i].name);
        found += named;
        if (names.count == 0 ? !protocols[i].by_default : !named)
            options |= protocols[i].forbid;
    }
    bool all_known = found >= names.count;
    split_args_deinit(&names);
    *options_out = options;
    return all_known;
}

/* What this server shows of itself: files, and the password of the key. */
struct identity {
    char *certificate, *key, *password; /* borrowed */
};

/* To clients; to other servers, which need not know the difference, perhaps something else. */
static struct identity identity_of(const struct config *config, bool to_servers)
{
    if (to_servers && config->tls_client_cert_file[0] != '\0' &&
        config->tls_client_key_file[0] != '\0')
        return (struct identity){config->tls_client_cert_file, config->tls_client_key_file,
                                 config->tls_client_key_file_pass};
    return (struct identity){config->tls_cert_file, config->tls_key_file,
                             config->tls_key_file_pass};
}

static bool load_key(SSL_CTX *context, const struct identity *identity)
{
    char text[ERROR_TEXT_BYTES];
    if (identity->password[0] != '\0') {
        SSL_CTX_set_default_passwd_cb(context, give_password);
        SSL_CTX_set_default_passwd_cb_userdata(context, identity->password);
    }
    bool loaded = false;
    if (SSL_CTX_use_certificate_chain_file(context, identity->certificate) <= 0)
        log_write(LOG_WARNING, "Failed to load certificate: %s: %s", identity->certificate,
                  last_error(text));
    else if (SSL_CTX_use_PrivateKey_file(context, identity->key, SSL_FILETYPE_PEM) <= 0)
        log_write(LOG_WARNING, "Failed to load private key: %s: %s", identity->key,
                  last_error(text));
    else
        loaded = true;
    SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
    SSL_CTX_set_default_passwd_cb(context, NULL);
    return loaded;
}

static bool load_authorities(SSL_CTX *context, const struct config *config)
{
    char text[ERROR_TEXT_BYTES];
    const char *file = config->tls_ca_cert_file[0] != '\0' ? config->tls_ca_cert_file : NULL;
    const char *dir = config->tls_ca_cert_dir[0] != '\0' ? config->tls_ca_cert_dir : NULL;
    if ((file == NULL && dir == NULL) || SSL_CTX_load_verify_locations(context, file, dir) > 0)
        return true;
    log_write(LOG_WARNING, "Failed to configure CA certificate(s) file/directory: %s",
              last_error(text));
    return false;
}

static bool set_ciphers(SSL_CTX *context, const struct config *config)
{
    if (config->tls_ciphers[0] != '\0' && !SSL_CTX_set_cipher_list(context, config->tls_ciphers)) {
        log_write(LOG_WARNING, "Failed to configure ciphers: %s", config->tls_ciphers);
        return false;
    }
    if (config->tls_ciphersuites[0] != '\0' &&
        !SSL_CTX_set_ciphersuites(context, config->tls_ciphersuites)) {
        log_write(LOG_WARNING, "Failed to configure ciphersuites: %s", config->tls_ciphersuites);
        return false;
    }
    if (config->tls_prefer_server_ciphers)
        SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
    return true;
}

static bool load_dh_params(SSL_CTX *context, const char *path)
{
    if (path[0] == '\0') {
        SSL_CTX_set_dh_auto(context, 1);
        return true;
    }
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        log_write(LOG_WARNING, "Failed to load %s: %s", path, strerror(errno));
        return false;
    }
    EVP_PKEY *params = NULL;
    OSSL_DECODER_CTX *decoder = OSSL_DECODER_CTX_new_for_pkey(
        &params, "PEM", NULL, "DH", OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS, NULL, NULL);
    bool read = decoder != NULL && OSSL_DECODER_from_fp(decoder, file) == 1;
    OSSL_DECODER_CTX_free(decoder);
    (void)fclose(file);
    if (read && SSL_CTX_set0_tmp_dh_pkey(context, params) > 0)
        return true; /* which has taken them */
    EVP_PKEY_free(params);
    log_write(LOG_WARNING, "%s: failed to read DH params.", path);
    return false;
}

static void set_sessions(SSL_CTX *context, const struct config *config)
{
    static const unsigned char id[] = "basalt";
    if (!config->tls_session_caching) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        return;
    }
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(context, config->tls_session_cache_size);
    SSL_CTX_set_timeout(context, config->tls_session_cache_timeout);
    SSL_CTX_set_session_id_context(context, id, sizeof(id) - 1);
}

static int verify_mode(const struct config *config)
{
    switch ((enum config_tls_auth_clients)config->tls_auth_clients) {
    case CONFIG_TLS_AUTH_NO:
        return SSL_VERIFY_NONE;
    case CONFIG_TLS_AUTH_OPTIONAL:
        return SSL_VERIFY_PEER;
    case CONFIG_TLS_AUTH_YES:
        break;
    }
    return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

/* What must be set; false: something is missing. */
static bool is_complete(const struct config *config)
{
    bool authority = config->tls_ca_cert_file[0] != '\0' || config->tls_ca_cert_dir[0] != '\0';
    bool verifies = config->tls_auth_clients != CONFIG_TLS_AUTH_NO || config->tls_cluster ||
                    config->tls_replication;
    if (config->tls_cert_file[0] == '\0')
        log_write(LOG_WARNING, "No tls-cert-file configured!");
    else if (config->tls_key_file[0] == '\0')
        log_write(LOG_WARNING, "No tls-key-file configured!");
    else if (verifies && !authority)
        log_write(LOG_WARNING,
                  "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, "
                  "tls-replication or tls-auth-clients are enabled!");
    else
        return true;
    return false;
}

static bool fill_context(SSL_CTX *context, const struct config *config, bool to_servers)
{
    uint64_t options;
    struct identity identity = identity_of(config, to_servers);
    if (!read_protocols(config->tls_protocols, &options)) {
        log_write(LOG_WARNING, "Invalid tls-protocols specified. Use a combination of 'TLSv1', "
                               "'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'.");
        return false;
    }
    SSL_CTX_set_options(context, options | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_SINGLE_DH_USE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context, to_servers ? SSL_VERIFY_PEER : verify_mode(config), NULL);
    if (!to_servers)
        set_sessions(context, config);
    return load_key(context, &identity) && load_authorities(context, config) &&
           set_ciphers(context, config) &&
           (to_servers || load_dh_params(context, config->tls_dh_params_file));
}

/* NULL, which the log tells of: it cannot be made. */
static SSL_CTX *make_context(const struct config *config, bool to_servers)
{
    SSL_CTX *context = SSL_CTX_new(to_servers ? TLS_client_method() : TLS_server_method());
    if (context != NULL && fill_context(context, config, to_servers))
        return context;
    SSL_CTX_free(context);
    ERR_clear_error();
    return NULL;
}

bool tls_is_wanted(const struct config *config)
{
    return config->tls_port != 0 || config->tls_cluster;
}

enum status tls_configure(struct tls *tls, struct err *err)
{
    ERR_clear_error();
    SSL_CTX *context = NULL;
    SSL_CTX *to_servers = NULL;
    if (is_complete(tls->config))
        context = make_context(tls->config, false);
    if (context != NULL && tls->config->tls_cluster)
        to_servers = make_context(tls->config, true);
    if (context == NULL || (to_servers == NULL && tls->config->tls_cluster)) {
        SSL_CTX_free(context);
        return err_set(err, ST_INVALID, "Failed to configure TLS. Check logs for more info.");
    }
    SSL_CTX_free(tls->context);
    SSL_CTX_free(tls->to_servers);
    tls->context = context;
    tls->to_servers = to_servers;
    return ST_OK;
}

static enum status apply_settings(void *arg, const struct config *config, struct err *err)
{
    struct tls *tls = arg;
    if (!tls_is_wanted(config) || tls_configure(tls, NULL) == ST_OK)
        return ST_OK;
    return err_set(err, ST_INVALID, "Unable to update TLS configuration. Check server logs.");
}

struct tls *tls_create(struct config *config)
{
    static const char *const settings[] = {
        "tls-cert-file",
        "tls-key-file",
        "tls-key-file-pass",
        "tls-ca-cert-file",
        "tls-ca-cert-dir",
        "tls-dh-params-file",
        "tls-protocols",
        "tls-ciphers",
        "tls-ciphersuites",
        "tls-auth-clients",
        "tls-replication",
        "tls-cluster",
        "tls-session-caching",
        "tls-prefer-server-ciphers",
        "tls-session-cache-size",
        "tls-session-cache-timeout",
        "tls-client-cert-file",
        "tls-client-key-file",
        "tls-client-key-file-pass",
    };
    struct tls *tls = mem_calloc(1, sizeof(*tls));
    tls->config = config;
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        config_on_change(config, settings[i], apply_settings, tls);
    return tls;
}

void tls_destroy(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    SSL_CTX_free(tls->to_servers);
    mem_free(tls);
}

/* ---- Streams. */

struct tls_stream *tls_accept(struct tls *tls, int fd)
{
    if (tls->context == NULL)
        return NULL;
    SSL *ssl = SSL_new(tls->context);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_accept_state(ssl);
    struct tls_stream *stream = mem_calloc(1, sizeof(*stream));
    stream->tls = tls;
    stream->ssl = ssl;
    return stream;
}

struct tls_stream *tls_prepare(struct tls *tls)
{
    SSL *ssl = tls->to_servers == NULL ? NULL : SSL_new(tls->to_servers);
    if (ssl == NULL) {
        ERR_clear_error();
        return NULL;
    }
    SSL_set_connect_state(ssl);
    struct tls_stream *stream = mem_calloc(1, sizeof(*stream));
    stream->ssl = ssl;
    return stream;
}

void tls_stream_destroy(struct tls_stream *stream)
{
    if (stream == NULL)
        return;
    ERR_clear_error();
    if (!stream->failed && SSL_is_init_finished(stream->ssl))
        (void)SSL_shutdown(stream->ssl);
    SSL_free(stream->ssl);
    ERR_clear_error();
    mem_free(stream);
}

static void keep_error(struct tls_stream *stream, int os_error)
{
    unsigned long code = ERR_peek_error();
    if (code != 0)
        ERR_error_string_n(code, stream->error, sizeof(stream->error));
    else
        (void)snprintf(stream->error, sizeof(stream->error), "%s",
                       os_error != 0 ? strerror(os_error) : "Connection closed");
    stream->failed = true;
}

/* What the result of a call, which was not positive, means: 0 or -1 with errno. */
static ssize_t judge(struct tls_stream *stream, int result)
{
    int os_error = errno;
    stream->wants_write = false;
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_WRITE:
        stream->wants_write = true;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_READ:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        if (SSL_is_init_finished(stream->ssl))
            return 0;
        keep_error(stream, 0);
        break;
    default:
        keep_error(stream, os_error);
        break;
    }
    errno = EPROTO;
    return -1;
}

int tls_connect(struct tls_stream *stream, int fd)
{
    ERR_clear_error();
    errno = 0;
    if (SSL_get_fd(stream->ssl) != fd && SSL_set_fd(stream->ssl, fd) != 1) {
        keep_error(stream, ENOMEM);
        errno = EPROTO;
        return -1;
    }
    int result = SSL_do_handshake(stream->ssl);
    if (result == 1)
        return 0;
    if (judge(stream, result) == 0)
        errno = EPROTO;
    return -1;
}

ssize_t tls_read(struct tls_stream *stream, void *place, size_t room)
{
    size_t got = 0;
    stream->ended = false;
    if (stream->failed) {
        errno = EPROTO;
        return -1;
    }
    while (got < room) {
        size_t left = room - got < INT_MAX ? room - got : INT_MAX;
        ERR_clear_error();
        errno = 0;
        int count = SSL_read(stream->ssl, (uint8_t *)place + got, (int)left);
        if (count > 0) {
            stream->wants_write = false;
            got += (size_t)count;
            continue;
        }
        ssize_t result = judge(stream, count);
        if (got == 0)
            return result;
        stream->ended = result == 0 || errno != EAGAIN;
        break;
    }
    return (ssize_t)got;
}

/* The next piece: small ranges together, a large one as it is. */
static struct bytes next_piece(struct tls *tls, const struct iovec *iov, int count, size_t from)
{
    size_t len = 0;
    for (int i = 0; i < count && len < RECORD_BYTES; i++) {
        if (from >= iov[i].iov_len) {
            from -= iov[i].iov_len;
            continue;
        }
        const uint8_t *data = (const uint8_t *)iov[i].iov_base + from;
        size_t left = iov[i].iov_len - from;
        if (len == 0 && (left >= RECORD_BYTES || i == count - 1))
            return bytes_make(data, left < RECORD_BYTES ? left : RECORD_BYTES);
        size_t taken = left < RECORD_BYTES - len ? left : RECORD_BYTES - len;
        memcpy(tls->record + len, data, taken);
        len += taken;
        from = 0;
    }
    return bytes_make(tls->record, len);
}

ssize_t tls_write(struct tls_stream *stream, const struct iovec *iov, int count)
{
    size_t total = 0;
    CHECK(stream->tls != NULL || count == 1); /* which needs no place to put them together */
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    if (stream->failed) {
        errno = EPROTO;
        return -1;
    }
    size_t sent = 0;
    while (sent < total && sent < WRITE_BYTES_MAX) {
        struct bytes piece = next_piece(stream->tls, iov, count, sent);
        ERR_clear_error();
        errno = 0;
        int result = SSL_write(stream->ssl, piece.data, (int)piece.len);
        if (result > 0) {
            sent += (size_t)result;
            continue;
        }
        if (judge(stream, result) == 0) {
            keep_error(stream, EPIPE);
            errno = EPROTO;
        }
        stream->wants_write = false; /* the sender waits for that anyway */
        if (sent == 0)
            return -1;
        break;
    }
    return (ssize_t)sent;
}

bool tls_has_unread(const struct tls_stream *stream)
{
    return stream->ended || SSL_pending(stream->ssl) > 0;
}

bool tls_wants_write(const struct tls_stream *stream)
{
    return stream->wants_write;
}

bool tls_is_established(const struct tls_stream *stream)
{
    return SSL_is_init_finished(stream->ssl);
}

const char *tls_error(const struct tls_stream *stream)
{
    return stream->error;
}
