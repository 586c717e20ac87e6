/* Goal: over TLS the server is the same server, whatever the sizes of requests and replies; whom
 * the settings refuse gets no reply; new settings hold for new connections, and bad ones for
 * nobody. MIGRATE speaks it, too.
 *
 * Method: certificates that are made on the spot, and the usual client through a tunnel. */
#include "codec/buf.h"
#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/tls_certificate.h"
#include "tests/support/tls_tunnel.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATH_BYTES        1024
#define LARGE_BYTES       (10 << 20)
#define PIPELINED         20000
#define PATIENCE_MS       20000
#define HANDSHAKE_WAIT_MS 15000 /* the server's bound is 10 s, and it looks once a second */

static char *dir;
static int port;

static int set_up(void **state)
{
    (void)state;
    dir = harness_make_dir();
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return -1;
    port = ntohs(address.sin_port);
    return close(fd);
}

static int tear_down(void **state)
{
    (void)server_fixture_teardown(state);
    harness_remove_dir(dir);
    mem_free(dir);
    return 0;
}

static char *path(const char *name)
{
    static char texts[8][PATH_BYTES];
    static int next;
    char *text = texts[next++ % 8];
    (void)snprintf(text, PATH_BYTES, "%s/%s", dir, name);
    return text;
}

static void make(const char *name, const char *issuer, int days)
{
    tls_certificate_make(
        &(struct tls_certificate){.dir = dir, .name = name, .issuer = issuer, .days = days});
}

static struct server_fixture *start(const char *auth)
{
    char number[16];
    (void)snprintf(number, sizeof(number), "%d", port);
    make("ca", NULL, 10);
    make("server", "ca", 10);
    make("client", "ca", 10);
    const char *const args[] = {"--tls-port",
                                number,
                                "--tls-cert-file",
                                path("server.crt"),
                                "--tls-key-file",
                                path("server.key"),
                                "--tls-ca-cert-file",
                                path("ca.crt"),
                                "--tls-auth-clients",
                                auth,
                                NULL};
    return server_fixture_start(&(struct server_options){.args = args});
}

/* NULL: refused. `name` NULL: without a certificate. */
static struct resp_client *try_connect(const char *name, const char *authority)
{
    char certificate[64], key[64];
    struct tls_tunnel_options options = {.port = port, .authority = path(authority)};
    if (name != NULL) {
        (void)snprintf(certificate, sizeof(certificate), "%s.crt", name);
        (void)snprintf(key, sizeof(key), "%s.key", name);
        options.certificate = path(certificate);
        options.key = path(key);
    }
    int fd = tls_tunnel_open(&options);
    if (fd < 0)
        return NULL;
    struct resp_client *client = resp_client_adopt(fd);
    struct resp_reply reply;
    struct err err;
    enum status st = resp_client_send(client, bytes_text("PING\r\n"), &err);
    if (st == ST_OK)
        st = resp_client_read(client, &reply, &err);
    if (st == ST_OK) {
        resp_reply_deinit(&reply);
        return client;
    }
    resp_client_close(client);
    return NULL;
}

static struct resp_client *connect_as(const char *name)
{
    struct resp_client *client = try_connect(name, "ca.crt");
    assert_non_null(client);
    return client;
}

static void assert_refused(const char *name)
{
    struct resp_client *client = try_connect(name, "ca.crt");
    if (client != NULL)
        fail_msg("%s was let in", name == NULL ? "no certificate" : name);
}

/* ---- Bytes. */

static void requests_and_replies_of_any_size_pass_whole(void **state)
{
    (void)state;
    static const size_t lens[] = {0,     1,     100,   16383, 16384,  16385,
                                  32767, 32768, 65536, 65537, 300000, LARGE_BYTES};
    struct server_fixture *server = start("yes");
    struct resp_client *client = connect_as("client");
    resp_client_set_timeout_ms(client, PATIENCE_MS);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct buf value = {0};
        uint8_t *place = buf_reserve(&value, lens[i] + 1);
        for (size_t at = 0; at < lens[i]; at++)
            place[at] = (uint8_t)(at * 31 + at / 251 + i);
        value.len = lens[i];
        struct buf request = {0};
        struct bytes set[] = {bytes_text("SET"), bytes_text("key"), buf_bytes(&value)};
        struct bytes get[] = {bytes_text("GET"), bytes_text("key")};
        resp_format_request(3, set, &request);
        resp_format_request(2, get, &request);
        struct err err;
        assert_ok(resp_client_send(client, buf_bytes(&request), &err), &err);
        struct buf expected = {0};
        struct buf actual = {0};
        buf_append_format(&expected, "+OK\r\n$%zu\r\n", lens[i]);
        buf_append_bytes(&expected, buf_bytes(&value));
        buf_append_text(&expected, "\r\n");
        assert_ok(resp_client_read_raw(client, expected.len, &actual, &err), &err);
        assert_true(bytes_equal(buf_bytes(&expected), buf_bytes(&actual)));
        buf_deinit(&value);
        buf_deinit(&request);
        buf_deinit(&expected);
        buf_deinit(&actual);
    }
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_destroy(server);
}

/* Much more than a tick runs, sent before anything is read: the server has to stop reading. */
static void long_pipelines_are_answered_in_order(void **state)
{
    (void)state;
    struct server_fixture *server = start("no");
    struct resp_client *client = connect_as(NULL);
    resp_client_set_timeout_ms(client, PATIENCE_MS);
    struct buf request = {0};
    struct buf expected = {0};
    for (int i = 0; i < PIPELINED; i++) {
        buf_append_format(&request, "*2\r\n$4\r\nECHO\r\n$200\r\n%0200d\r\n", i);
        buf_append_format(&expected, "$200\r\n%0200d\r\n", i);
    }
    struct err err;
    assert_ok(resp_client_send(client, buf_bytes(&request), &err), &err);
    struct buf actual = {0};
    assert_ok(resp_client_read_raw(client, expected.len, &actual, &err), &err);
    assert_true(bytes_equal(buf_bytes(&expected), buf_bytes(&actual)));
    buf_deinit(&request);
    buf_deinit(&expected);
    buf_deinit(&actual);
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_destroy(server);
}

static void blocked_clients_and_messages_are_served(void **state)
{
    (void)state;
    struct server_fixture *server = start("yes");
    struct resp_client *waiting = connect_as("client");
    struct resp_client *hearing = connect_as("client");
    struct resp_client *other = server_fixture_connect(server);
    struct err err;
    assert_ok(resp_client_send(waiting, bytes_text("BLPOP list 0\r\nPING\r\n"), &err), &err);
    assert_reply(hearing, "SUBSCRIBE channel", "[\"subscribe\" \"channel\" :1]");
    assert_reply(other, "PUBLISH channel text", ":1");
    assert_string_equal(resp_client_next(hearing), "[\"message\" \"channel\" \"text\"]");
    assert_reply(other, "RPUSH list a", ":1");
    assert_string_equal(resp_client_next(waiting), "[\"list\" \"a\"]");
    assert_string_equal(resp_client_next(waiting), "+PONG");
    resp_client_close(waiting);
    resp_client_close(hearing);
    resp_client_close(other);
    server_fixture_destroy(server);
}

/* ---- Who is let in. */

static void clients_must_show_what_the_settings_ask_for(void **state)
{
    (void)state;
    struct server_fixture *server = start("yes");
    struct resp_client *plain = server_fixture_connect(server);
    make("other", NULL, 10);
    make("stranger", "other", 10);
    make("expired", "ca", -1);
    resp_client_close(connect_as("client"));
    assert_refused(NULL);
    assert_refused("stranger");
    assert_refused("expired");
    assert_true(server_fixture_wait_log(server, "Error accepting a client connection", 2000));
    assert_reply(plain, "CONFIG SET tls-auth-clients optional", "+OK");
    resp_client_close(connect_as(NULL));
    resp_client_close(connect_as("client"));
    assert_refused("stranger");
    assert_refused("expired");
    assert_reply(plain, "CONFIG SET tls-auth-clients no", "+OK");
    resp_client_close(connect_as(NULL));
    resp_client_close(connect_as("stranger"));
    /* The other way round: this client trusts somebody else. */
    assert_null(try_connect("client", "other.crt"));
    resp_client_close(plain);
    server_fixture_destroy(server);
}

static void who_speaks_no_tls_is_refused(void **state)
{
    (void)state;
    struct server_fixture *server = start("no");
    struct resp_client *client;
    struct resp_reply reply;
    struct err err;
    assert_ok(resp_client_connect(port, &client, &err), &err);
    assert_ok(resp_client_send(client, bytes_text("PING\r\n"), &err), &err);
    assert_int_not_equal(resp_client_read(client, &reply, &err), ST_OK);
    resp_client_close(client);
    resp_client_close(connect_as(NULL));
    server_fixture_destroy(server);
}

/* ---- Handshakes that do not end. */

static void unfinished_handshakes_are_killed_and_bounded(void **state)
{
    (void)state;
    struct server_fixture *server = start("no");
    struct resp_client *plain = server_fixture_connect(server);
    struct resp_client *silent[2];
    struct err err;
    for (int i = 0; i < 2; i++)
        assert_ok(resp_client_connect(port, &silent[i], &err), &err);
    /* The beginning of a record that holds a handshake. */
    assert_ok(resp_client_send(silent[0], bytes_make("\x16\x03\x01\x02", 4), &err), &err);
    char request[128];
    (void)snprintf(request, sizeof(request), "CLIENT KILL ADDR 127.0.0.1:%d",
                   resp_client_local_port(silent[0]));
    assert_reply(plain, request, ":1");
    struct resp_reply reply;
    assert_int_not_equal(resp_client_read(silent[0], &reply, &err), ST_OK);
    resp_client_set_timeout_ms(silent[1], HANDSHAKE_WAIT_MS);
    assert_int_equal(resp_client_read(silent[1], &reply, &err), ST_END);
    assert_true(server_fixture_wait_log(server, "no TLS handshake within", 2000));
    assert_reply(plain, "PING", "+PONG");
    resp_client_close(silent[0]);
    resp_client_close(silent[1]);
    resp_client_close(plain);
    server_fixture_destroy(server);
}

/* ---- Settings. */

static void new_certificates_hold_for_new_connections(void **state)
{
    (void)state;
    struct server_fixture *server = start("no");
    struct resp_client *plain = server_fixture_connect(server);
    struct resp_client *old = connect_as(NULL);
    make("ca2", NULL, 10);
    make("second", "ca2", 10);
    char request[4 * PATH_BYTES];
    (void)snprintf(request, sizeof(request), "CONFIG SET tls-cert-file %s tls-key-file %s",
                   path("second.crt"), path("second.key"));
    assert_reply(plain, request, "+OK");
    assert_null(try_connect(NULL, "ca.crt"));
    struct resp_client *fresh = try_connect(NULL, "ca2.crt");
    assert_non_null(fresh);
    assert_reply(old, "PING", "+PONG");
    resp_client_close(fresh);
    resp_client_close(old);
    resp_client_close(plain);
    server_fixture_destroy(server);
}

static void bad_settings_are_refused_and_change_nothing(void **state)
{
    (void)state;
    struct server_fixture *server = start("no");
    struct resp_client *plain = server_fixture_connect(server);
    static const char *const bad[] = {
        "CONFIG SET tls-cert-file /nonexistent", "CONFIG SET tls-key-file /nonexistent",
        "CONFIG SET tls-cert-file \"\"",         "CONFIG SET tls-protocols SSLv2",
        "CONFIG SET tls-ciphers nonsense",       "CONFIG SET tls-ciphersuites nonsense",
        "CONFIG SET tls-ca-cert-file /none",     "CONFIG SET tls-dh-params-file /none",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_reply(plain, bad[i], "-/ERR CONFIG SET failed .* Unable to update TLS.*/");
        resp_client_close(connect_as(NULL));
    }
    assert_reply(plain, "CONFIG SET tls-protocols TLSv1.3", "+OK");
    struct tls_tunnel_options old = {.port = port, .authority = path("ca.crt"), .protocol_max = 12};
    assert_int_equal(tls_tunnel_open(&old), -1);
    assert_reply(plain, "CONFIG SET tls-protocols \"TLSv1.2 TLSv1.3\"", "+OK");
    int fd = tls_tunnel_open(&old);
    assert_true(fd >= 0);
    (void)close(fd);
    tls_certificate_make(&(struct tls_certificate){
        .dir = dir, .name = "locked", .issuer = "ca", .days = 10, .password = "secret"});
    char request[4 * PATH_BYTES];
    (void)snprintf(request, sizeof(request),
                   "CONFIG SET tls-key-file-pass %s tls-cert-file %s tls-key-file %s", "wrong",
                   path("locked.crt"), path("locked.key"));
    assert_reply(plain, request, "-*");
    (void)snprintf(request, sizeof(request),
                   "CONFIG SET tls-key-file-pass %s tls-cert-file %s tls-key-file %s", "secret",
                   path("locked.crt"), path("locked.key"));
    assert_reply(plain, request, "+OK");
    resp_client_close(connect_as(NULL));
    assert_reply(plain, "CONFIG SET tls-port 0", "+OK");
    struct resp_client *client;
    struct err err;
    assert_int_not_equal(resp_client_connect(port, &client, &err), ST_OK);
    assert_reply(plain, "PING", "+PONG");
    resp_client_close(plain);
    server_fixture_destroy(server);
}

/* ---- To other servers. */

/* A server that migrates by TLS, with this certificate to show and this authority to trust. */
static struct server_fixture *start_source(const char *name, const char *authority)
{
    char certificate[64], key[64];
    (void)snprintf(certificate, sizeof(certificate), "%s.crt", name);
    (void)snprintf(key, sizeof(key), "%s.key", name);
    const char *const args[] = {"--tls-cluster",
                                "yes",
                                "--tls-cert-file",
                                path("server.crt"),
                                "--tls-key-file",
                                path("server.key"),
                                "--tls-client-cert-file",
                                path(certificate),
                                "--tls-client-key-file",
                                path(key),
                                "--tls-ca-cert-file",
                                path(authority),
                                NULL};
    return server_fixture_start(&(struct server_options){.args = args});
}

static const char *migrate(int to, const char *rest)
{
    static char line[128];
    (void)snprintf(line, sizeof(line), "MIGRATE 127.0.0.1 %d %s", to, rest);
    return line;
}

static void keys_migrate_by_tls(void **state)
{
    (void)state;
    struct server_fixture *target = start("yes");
    struct server_fixture *source = start_source("client", "ca.crt");
    struct resp_client *client = server_fixture_connect(source);
    struct resp_client *there = connect_as("client");
    char line[64];
    (void)snprintf(line, sizeof(line), "SETRANGE large %d x", LARGE_BYTES - 1);
    (void)resp_client_ask(client, line);
    assert_reply(client, "CONFIG SET rdbcompression no", "+OK");
    assert_reply(client, "SET small v", "+OK");
    assert_reply(client, "RPUSH list a b c", ":3");
    assert_reply(client, migrate(port, "\"\" 0 5000 KEYS large small list missing"), "+OK");
    assert_reply(client, "DBSIZE", ":0");
    (void)snprintf(line, sizeof(line), ":%d", LARGE_BYTES);
    assert_reply(there, "STRLEN large", line);
    assert_reply(there, "GET small", "\"v\"");
    assert_reply(there, "LRANGE list 0 -1", "[\"a\" \"b\" \"c\"]");
    /* A port without TLS, and TLS's without it. */
    assert_reply(client, "SET k v", "+OK");
    assert_reply(client, migrate(server_fixture_port(target), "k 0 300"),
                 "-IOERR error or timeout connecting to the client");
    assert_reply(client, "CONFIG SET tls-cluster no", "+OK");
    assert_reply(client, migrate(port, "k 0 300"), "-/IOERR error or timeout .*/");
    assert_reply(client, migrate(server_fixture_port(target), "k 0 5000"), "+OK");
    assert_reply(there, "GET k", "\"v\"");
    resp_client_close(there);
    resp_client_close(client);
    server_fixture_destroy(source);
    server_fixture_destroy(target);
}

static void keys_migrate_to_whom_both_trust_only(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"stranger", "ca.crt", "-/IOERR error or timeout .*/"},
        {"client", "stranger.crt", "-IOERR error or timeout connecting to the client"},
    };
    struct server_fixture *target = start("yes");
    make("stranger", NULL, 10);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct server_fixture *source = start_source(cases[i][0], cases[i][1]);
        struct resp_client *client = server_fixture_connect(source);
        assert_reply(client, "SET k v", "+OK");
        assert_reply(client, migrate(port, "k 0 5000"), cases[i][2]);
        assert_reply(client, "GET k", "\"v\"");
        /* Settings that cannot be are refused, and those before stay. */
        assert_reply(client, "CONFIG SET tls-client-key-file /missing",
                     "-/ERR CONFIG SET failed .*/");
        resp_client_close(client);
        server_fixture_destroy(source);
    }
    struct resp_client *client = server_fixture_connect(target);
    assert_reply(client, "DBSIZE", ":0");
    resp_client_close(client);
    server_fixture_destroy(target);
}

static void tls_to_servers_needs_certificates(void **state)
{
    (void)state;
    struct server_fixture *server;
    const char *const args[] = {"--tls-cluster", "yes", NULL};
    assert_status(server_fixture_try_start(&(struct server_options){.args = args}, &server), ST_IO);
    assert_true(server_fixture_wait_log(server, "No tls-cert-file configured!", PATIENCE_MS));
    server_fixture_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(requests_and_replies_of_any_size_pass_whole, set_up, tear_down),
        TEST_WITH(long_pipelines_are_answered_in_order, set_up, tear_down),
        TEST_WITH(blocked_clients_and_messages_are_served, set_up, tear_down),
        TEST_WITH(clients_must_show_what_the_settings_ask_for, set_up, tear_down),
        TEST_WITH(who_speaks_no_tls_is_refused, set_up, tear_down),
        TEST_WITH(unfinished_handshakes_are_killed_and_bounded, set_up, tear_down),
        TEST_WITH(new_certificates_hold_for_new_connections, set_up, tear_down),
        TEST_WITH(bad_settings_are_refused_and_change_nothing, set_up, tear_down),
        TEST_WITH(keys_migrate_by_tls, set_up, tear_down),
        TEST_WITH(keys_migrate_to_whom_both_trust_only, set_up, tear_down),
        TEST_WITH(tls_to_servers_needs_certificates, set_up, tear_down),
    };
    return RUN_TESTS("tls", tests);
}
