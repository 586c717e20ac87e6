/* Goal: `basalt rdb export` of a running server, ours or Redis, writes what that server has: byte
 * for byte, or chosen keys, or another version; and whatever goes wrong, it says so and leaves no
 * file.
 *
 * Method: servers are filled and exported, files are compared by `basalt rdb diff` and loaded by
 * the reference. A server that misbehaves is a child process with canned bytes. Skipped where no
 * reference is installed. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/bytes.h"
#include "codec/mem.h"
#include "tests/support/every_type.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/tls_certificate.h"
#include "tests/support/tool_run.h"

#define EXIT_SKIPPED 77
#define MARK         "0123456789abcdef0123456789abcdef01234567"
#define FILE_BYTES   ((size_t)16 << 20) /* of those that are read here */

static char *root;

static int set_up(void **state)
{
    (void)state;
    root = harness_make_dir();
    return 0;
}

static int tear_down(void **state)
{
    (void)server_fixture_teardown(state);
    (void)unsetenv("BASALTCLI_AUTH");
    (void)unsetenv("REDISCLI_AUTH");
    harness_remove_dir(root);
    mem_free(root);
    return 0;
}

static const char *path(const char *name)
{
    static char texts[16][1024];
    static int next;
    char *text = texts[next++ % 16];
    (void)snprintf(text, sizeof(texts[0]), "%s/%s", root, name);
    return text;
}

static const char *number(int value)
{
    static char texts[4][16];
    static int next;
    char *text = texts[next++ % 4];
    (void)snprintf(text, sizeof(texts[0]), "%d", value);
    return text;
}

static struct server_fixture *start_ours(const char *const *args)
{
    return server_fixture_start(&(struct server_options){.args = args});
}

/* On the file dump.rdb of the root, if there is one. */
static struct server_fixture *start_reference(const char *diskless)
{
    const char *const args[] = {
        "--enable-debug-command",     "yes", "--save", "", "--repl-diskless-sync", diskless,
        "--repl-diskless-sync-delay", "0",   NULL};
    return server_fixture_start(&(struct server_options){.program = server_fixture_reference(),
                                                         .argv0 = SERVER_FIXTURE_REFERENCE_ARGV0,
                                                         .args = args,
                                                         .dir = root});
}

/* Exports the server to the root's file `name`, with up to four more arguments. */
static int export_to(const struct server_fixture *server, const char *name, const char *a,
                     const char *b, const char *c, const char *d)
{
    const char *const args[] = {"rdb", "export",   "--port", number(server_fixture_port(server)),
                                "-o",  path(name), a,        b,
                                c,     d,          NULL};
    return tool_run(root, args);
}

static void assert_no_file(const char *name)
{
    char temp[64];
    (void)snprintf(temp, sizeof(temp), "%s.tmp", name);
    assert_int_equal(access(path(name), F_OK), -1);
    assert_int_equal(access(path(temp), F_OK), -1);
}

static void assert_same_files(const char *a, const char *b)
{
    if (TOOL_RUN(root, "rdb", "diff", path(a), path(b)) != 0)
        tool_assert_printed(root, "stdout", "The files hold the same");
}

static void what_a_server_has_redis_loads_and_sends_on(void **state)
{
    (void)state;
    static const char *const args[] = {"--enable-debug-command", "yes",
                                       "--large-collection-threshold", "500", NULL};
    struct server_fixture *ours = start_ours(args);
    struct resp_client *client = server_fixture_connect(ours);
    every_type_fill(client);
    assert_reply(client,
                 "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return "
                 "1 end)\"",
                 "\"lib\"");
    assert_reply(client, "SELECT 5", "+OK");
    assert_reply(client, "SET in-five x PX 100000000", "+OK");
    char *digest = mem_strdup(resp_client_ask(client, "DEBUG DIGEST"));
    assert_int_equal(export_to(ours, "dump.rdb", NULL, NULL, NULL, NULL), 0);
    tool_assert_printed(root, "stdout", " keys as RDB version 10, ");
    resp_client_close(client);
    server_fixture_destroy(ours);
    assert_int_equal(TOOL_RUN(root, "rdb", "verify", path("dump.rdb")), 0);

    static const char *const diskless[] = {"yes", "no"};
    static const char *const files[] = {"a.rdb", "b.rdb"};
    for (size_t i = 0; i < 2; i++) {
        struct server_fixture *reference = start_reference(diskless[i]);
        client = server_fixture_connect(reference);
        assert_string_equal(resp_client_ask(client, "DEBUG DIGEST"), digest);
        assert_reply(client, "FCALL f 0", ":1");
        assert_int_equal(export_to(reference, files[i], NULL, NULL, NULL, NULL), 0);
        resp_client_close(client);
        server_fixture_destroy(reference);
    }
    assert_same_files("dump.rdb", "a.rdb");
    assert_same_files("a.rdb", "b.rdb");
    mem_free(digest);
}

static void older_versions_hold_the_same(void **state)
{
    (void)state;
    static const char *const args[] = {"--rdb-version", "11", NULL};
    struct server_fixture *ours = start_ours(args);
    struct resp_client *client = server_fixture_connect(ours);
    every_type_fill(client);
    assert_reply(client, "SELECT 5", "+OK");
    assert_reply(client, "SET in-five x PX 100000000", "+OK");
    resp_client_close(client);
    assert_int_equal(export_to(ours, "11.rdb", "--rdb-version", "11", NULL, NULL), 0);
    assert_int_equal(export_to(ours, "10.rdb", "--rdb-version", "10", NULL, NULL), 0);
    tool_assert_printed(root, "stdout", "as RDB version 10");
    assert_int_equal(export_to(ours, "12.rdb", "--rdb-version", "12", "--zstd", NULL), 0);
    assert_int_equal(export_to(ours, "9.rdb", "--rdb-version", "9", "--json", NULL), 0);
    tool_assert_printed(root, "stdout", "{\"status\":\"ok\",\"rdb_version\":9,");
    server_fixture_destroy(ours);
    static const char *const files[] = {"10.rdb", "12.rdb"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(TOOL_RUN(root, "rdb", "verify", path(files[i])), 0);
        assert_same_files("11.rdb", files[i]);
    }
    /* What groups have read is not in version 9. */
    assert_int_equal(TOOL_RUN(root, "rdb", "verify", path("9.rdb")), 0);
    tool_assert_printed(root, "stdout", "RDB version 9");
    /* The reference refuses what is newer than itself, and forms that a version does not have. */
    assert_int_equal(rename(path("10.rdb"), path("dump.rdb")), 0);
    struct server_fixture *reference = start_reference("no");
    assert_int_equal(export_to(reference, "theirs.rdb", NULL, NULL, NULL, NULL), 0);
    assert_same_files("11.rdb", "theirs.rdb");
    server_fixture_destroy(reference);
}

static void deadlines_of_fields_are_lost_with_a_word(void **state)
{
    (void)state;
    static const char *const args[] = {"--rdb-version", "12", NULL};
    struct server_fixture *ours = start_ours(args);
    struct resp_client *client = server_fixture_connect(ours);
    assert_reply(client, "HSET hash later 2 stays 3", ":2");
    assert_reply(client, "HPEXPIREAT hash 4102444800000 FIELDS 1 later", "[:1]");
    assert_reply(client,
                 "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return "
                 "1 end)\"",
                 "\"lib\"");
    resp_client_close(client);
    assert_int_equal(export_to(ours, "12.rdb", NULL, NULL, NULL, NULL), 0);
    assert_int_equal(export_to(ours, "10.rdb", "--rdb-version", "10", NULL, NULL), 3);
    tool_assert_printed(root, "stdout", "the deadlines of fields of 1 hashes");
    assert_int_equal(export_to(ours, "9.rdb", "--rdb-version", "9", NULL, NULL), 3);
    tool_assert_printed(root, "stdout", "1 libraries of functions");
    server_fixture_destroy(ours);
    assert_int_equal(TOOL_RUN(root, "rdb", "diff", path("12.rdb"), path("10.rdb")), 3);
}

static void keys_can_be_chosen(void **state)
{
    (void)state;
    struct server_fixture *ours = start_ours(NULL);
    struct resp_client *client = server_fixture_connect(ours);
    assert_reply(client, "MSET user:1 a user:2 b other c", "+OK");
    assert_reply(client, "HSET user:3 f v", ":1");
    assert_reply(client, "SELECT 3", "+OK");
    assert_reply(client, "SET user:1 three", "+OK");
    resp_client_close(client);
    assert_int_equal(export_to(ours, "some.rdb", "--match", "user:*", "--type", "string"), 0);
    tool_assert_printed(root, "stdout", "Exported 3 keys");
    tool_assert_printed(root, "stdout", "Left out: 2 keys");
    assert_int_equal(export_to(ours, "dump.rdb", "--db", "3", "--zstd", NULL), 0);
    assert_int_equal(TOOL_RUN(root, "rdb", "convert", path("dump.rdb"), "--to", "jsonl"), 0);
    tool_assert_printed(root, "stdout",
                        "{\"db\":3,\"key\":\"user:1\",\"type\":\"string\",\"value\":\"three\"}\n");
    /* To standard output, the result goes to standard error. */
    assert_int_equal(export_to(ours, "some.rdb", "-o", "-", "--db", "9"), 0);
    tool_assert_printed(root, "stdout", "REDIS0010");
    tool_assert_printed(root, "stderr", "Exported 0 keys");
    server_fixture_destroy(ours);
}

static void a_login_is_needed_where_one_is_needed(void **state)
{
    (void)state;
    static const char *const args[] = {"--requirepass", "secret", NULL};
    struct server_fixture *ours = start_ours(args);
    struct resp_client *client = server_fixture_connect(ours);
    assert_reply(client, "AUTH secret", "+OK");
    assert_reply(client, "ACL SETUSER reader on >word +psync +sync +replconf", "+OK");
    assert_reply(client, "ACL SETUSER other on >word +get", "+OK");
    resp_client_close(client);
    assert_int_equal(export_to(ours, "x.rdb", NULL, NULL, NULL, NULL), 1);
    tool_assert_printed(root, "stderr", "NOAUTH Authentication required.");
    assert_no_file("x.rdb");
    assert_int_equal(export_to(ours, "x.rdb", "--password", "wrong", NULL, NULL), 1);
    tool_assert_printed(root, "stderr", "WRONGPASS ");
    assert_no_file("x.rdb");
    assert_int_equal(export_to(ours, "x.rdb", "--password", "secret", NULL, NULL), 0);
    assert_int_equal(setenv("REDISCLI_AUTH", "word", 1), 0);
    assert_int_equal(export_to(ours, "x.rdb", "--user", "reader", NULL, NULL), 0);
    assert_int_equal(unlink(path("x.rdb")), 0);
    assert_int_equal(export_to(ours, "x.rdb", "--user", "other", NULL, NULL), 1);
    tool_assert_printed(root, "stderr", "NOPERM ");
    assert_no_file("x.rdb");
    assert_int_equal(setenv("BASALTCLI_AUTH", "secret", 1), 0);
    assert_int_equal(export_to(ours, "x.rdb", NULL, NULL, NULL, NULL), 0);
    server_fixture_destroy(ours);
}

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(close(fd), 0);
    return ntohs(address.sin_port);
}

static void sockets_and_tls_do_as_well(void **state)
{
    (void)state;
    const char *port = number(free_port());
    tls_certificate_make(&(struct tls_certificate){.dir = root, .name = "ca", .days = 10});
    tls_certificate_make(&(struct tls_certificate){.dir = root, .name = "else", .days = 10});
    tls_certificate_make(
        &(struct tls_certificate){.dir = root, .name = "server", .issuer = "ca", .days = 10});
    tls_certificate_make(
        &(struct tls_certificate){.dir = root, .name = "client", .issuer = "ca", .days = 10});
    const char *const args[] = {"--unixsocket",
                                path("sock"),
                                "--tls-port",
                                port,
                                "--tls-cert-file",
                                path("server.crt"),
                                "--tls-key-file",
                                path("server.key"),
                                "--tls-ca-cert-file",
                                path("ca.crt"),
                                "--enable-debug-command",
                                "yes",
                                NULL};
    struct server_fixture *ours = start_ours(args);
    struct resp_client *client = server_fixture_connect(ours);
    assert_reply(client, "DEBUG POPULATE 30000 key 100", "+OK");
    resp_client_close(client);
    assert_int_equal(
        TOOL_RUN(root, "rdb", "export", "--socket", path("sock"), "-o", path("unix.rdb")), 0);
    const char *cert = path("client.crt");
    const char *key = path("client.key");
    assert_int_equal(TOOL_RUN(root, "rdb", "export", "--port", port, "--tls", "--cacert",
                              path("ca.crt"), "--cert", cert, "--key", key, "-o", path("tls.rdb")),
                     0);
    tool_assert_printed(root, "stdout", "Exported 30,000 keys");
    assert_same_files("unix.rdb", "tls.rdb");
    assert_int_equal(TOOL_RUN(root, "rdb", "export", "--port", port, "--tls", "--cacert",
                              path("else.crt"), "--cert", cert, "--key", key, "-o", path("x.rdb")),
                     1);
    tool_assert_printed(root, "stderr", "the server's certificate: ");
    assert_int_equal(TOOL_RUN(root, "rdb", "export", "--port", port, "--tls", "--insecure",
                              "--cert", cert, "--key", key, "-o", path("any.rdb")),
                     0);
    assert_int_equal(TOOL_RUN(root, "rdb", "export", "--port", port, "--tls", "--cacert",
                              path("ca.crt"), "-o", path("x.rdb")),
                     1);
    assert_int_equal(TOOL_RUN(root, "rdb", "export", "--port", port, "--tls", "--cacert",
                              path("missing"), "-o", path("x.rdb")),
                     1);
    tool_assert_printed(root, "stderr", "cannot read the authorities' certificates");
    assert_no_file("x.rdb");
    server_fixture_destroy(ours);
}

/* ---- Servers that misbehave. */

/* A child that takes one connection, waits for SYNC, sends `bytes` and hangs up. */
static pid_t start_fake(struct bytes bytes, int *port_out)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    *port_out = ntohs(address.sin_port);
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char in[4096];
        size_t len = 0;
        (void)alarm(30);
        int fd = accept(listener, NULL, NULL);
        for (ssize_t got; memmem(in, len, "SYNC\r\n", 6) == NULL; len += (size_t)got) {
            got = recv(fd, in + len, sizeof(in) - len, 0);
            if (got <= 0)
                _exit(1);
            if (memmem(in + len, (size_t)got, "REPLCONF", 8) != NULL &&
                send(fd, "+OK\r\n", 5, MSG_NOSIGNAL) < 0)
                _exit(2);
        }
        while (bytes.len != 0) {
            size_t piece = bytes.len > 1000 ? 777 : bytes.len > 30 ? 23 : 1;
            if (send(fd, bytes.data, piece, MSG_NOSIGNAL) < 0)
                _exit(3);
            bytes = bytes_make(bytes.data + piece, bytes.len - piece);
        }
        (void)shutdown(fd, SHUT_WR);
        while (recv(fd, in, sizeof(in), 0) > 0)
            ;
        _exit(0);
    }
    (void)close(listener);
    return pid;
}

static int export_fake(const struct buf *bytes, const char *name)
{
    int port;
    int status;
    pid_t pid = start_fake(buf_bytes(bytes), &port);
    int result = TOOL_RUN(root, "rdb", "export", "--port", number(port), "-o", path(name));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return result;
}

static void read_file(const char *name, struct buf *out)
{
    FILE *file = fopen(path(name), "r");
    assert_non_null(file);
    out->len = fread(buf_reserve(out, FILE_BYTES), 1, FILE_BYTES, file);
    assert_in_range(out->len, 1, FILE_BYTES - 1);
    assert_int_equal(fclose(file), 0);
}

static void transfers_are_taken_whole_or_not_at_all(void **state)
{
    (void)state;
    struct server_fixture *ours = start_ours(NULL);
    struct resp_client *client = server_fixture_connect(ours);
    every_type_fill(client);
    resp_client_close(client);
    assert_int_equal(export_to(ours, "good.rdb", NULL, NULL, NULL, NULL), 0);
    server_fixture_destroy(ours);
    struct buf good = {0};
    struct buf sent = {0};
    struct buf got = {0};
    read_file("good.rdb", &good);

    /* With a mark, signs of life, and commands that follow at once. */
    buf_append_text(&sent, "\n\n\n$EOF:" MARK "\r\n");
    buf_append_bytes(&sent, buf_bytes(&good));
    buf_append_text(&sent, MARK "*1\r\n$4\r\nPING\r\n");
    assert_int_equal(export_fake(&sent, "marked.rdb"), 0);
    read_file("marked.rdb", &got);
    assert_true(bytes_equal(buf_bytes(&good), buf_bytes(&got)));

    /* Cut off in the mark. */
    sent.len -= strlen("*1\r\n$4\r\nPING\r\n") + 1;
    assert_int_equal(export_fake(&sent, "x.rdb"), 1);
    tool_assert_printed(root, "stderr", "the server has closed the connection");
    assert_no_file("x.rdb");

    /* With its length; cut off; damaged; with more than the file. */
    for (int i = 0; i < 4; i++) {
        buf_clear(&sent);
        buf_append_format(&sent, "$%zu\r\n", good.len + (i == 3));
        buf_append_bytes(&sent, buf_bytes(&good));
        if (i == 1)
            sent.len -= 5;
        if (i == 2)
            sent.data[sent.len - 3] ^= 1;
        if (i == 3)
            buf_append_byte(&sent, 'x');
        assert_int_equal(export_fake(&sent, i == 0 ? "counted.rdb" : "x.rdb"), i == 0 ? 0 : 1);
        assert_no_file("x.rdb");
        if (i == 1)
            tool_assert_printed(root, "stderr", " bytes of the dataset");
        if (i == 2)
            tool_assert_printed(root, "stderr", "checksum");
        if (i == 3)
            tool_assert_printed(root, "stderr", "goes on behind its end");
    }
    assert_same_files("good.rdb", "counted.rdb");
    buf_deinit(&good);
    buf_deinit(&sent);
    buf_deinit(&got);
}

static void refusals_are_told_in_the_servers_words(void **state)
{
    (void)state;
    static const struct {
        const char *sent, *told;
    } cases[] = {
        {"-LOADING Redis is loading the dataset in memory\r\n", "LOADING Redis is loading"},
        {"\n\n-ERR not today\r\n", "does not send its dataset: ERR not today"},
        {"+OK\r\n", "not understood"},
        {"$EOF:short\r\n", "not understood"},
        {"$0\r\n", "not understood"},
        {"$99999999999999999999\r\n", "not understood"},
        {"", "the server has closed the connection"},
        {"$9\r\nnot-redis", "not an RDB file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf sent = {0};
        buf_append_text(&sent, cases[i].sent);
        assert_int_equal(export_fake(&sent, "x.rdb"), 1);
        tool_assert_printed(root, "stderr", cases[i].told);
        assert_no_file("x.rdb");
        buf_deinit(&sent);
    }
    assert_int_equal(
        TOOL_RUN(root, "rdb", "export", "--port", number(free_port()), "-o", path("x.rdb")), 1);
    tool_assert_printed(root, "stderr", "cannot connect to 127.0.0.1 port");
}

static void a_wrong_command_line_is_explained(void **state)
{
    (void)state;
    static const struct {
        const char *const args[8];
        const char *told;
    } cases[] = {
        {{"rdb", "export", "--host", "h"}, "into which file?"},
        {{"rdb", "export", "-o", "f"}, "of which directory or server?"},
        {{"rdb", "export", "-o", "f", "--dir", "d", "--port", "1"}, "--dir came with --host"},
        {{"rdb", "export", "-o", "f", "--socket", "s", "--port", "1"}, "--socket came with"},
        {{"rdb", "export", "-o", "f", "--port", "1", "--ignore-journal"}, "--ignore-journal"},
        {{"rdb", "export", "-o", "f", "--port", "1", "--insecure"}, "--tls"},
        {{"rdb", "export", "-o", "f", "--dir", "d", "--tls"}, "only for a server"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *args[9] = {NULL};
        memcpy(args, cases[i].args, sizeof(cases[i].args));
        assert_int_equal(tool_run(root, args), 2);
        tool_assert_printed(root, "stderr", cases[i].told);
    }
    assert_int_equal(
        TOOL_RUN(root, "rdb", "export", "-o", "f", "--port", "1", "--tls", "--cert", "c"), 2);
    tool_assert_printed(root, "stderr", "--cert and --key go together");
}

int main(void)
{
    if (tool_program() == NULL || server_fixture_program() == NULL ||
        server_fixture_reference() == NULL) {
        (void)fprintf(stderr, "skipped: the tool, the server or the reference is missing\n");
        return EXIT_SKIPPED;
    }
#define FETCH_TEST(function) TEST_WITH(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FETCH_TEST(what_a_server_has_redis_loads_and_sends_on),
        FETCH_TEST(older_versions_hold_the_same),
        FETCH_TEST(deadlines_of_fields_are_lost_with_a_word),
        FETCH_TEST(keys_can_be_chosen),
        FETCH_TEST(a_login_is_needed_where_one_is_needed),
        FETCH_TEST(sockets_and_tls_do_as_well),
        FETCH_TEST(transfers_are_taken_whole_or_not_at_all),
        FETCH_TEST(refusals_are_told_in_the_servers_words),
        FETCH_TEST(a_wrong_command_line_is_explained),
    };
    return RUN_TESTS("rdb_fetch", tests);
}
