/* Goal: the metrics can be scraped, mean what INFO says, and no scraper can hold the server up.
 * Method: HTTP by hand over plain sockets, against a server with metrics-port. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "codec/buf.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#define SCRAPES_MAX 16 /* as in metrics_http.c */

static int free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static struct server_fixture *start(int *port_out)
{
    static char port[8];
    *port_out = free_port();
    (void)snprintf(port, sizeof port, "%d", *port_out);
    return server_fixture_start(&(struct server_options){
        .args =
            (const char *const[]){"--metrics-port", port, "--enable-debug-command", "yes", NULL}});
}

static int connect_to(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval patience = {.tv_sec = 30};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* All until the server closes, as a text; closes. */
static void read_all(int fd, struct buf *out)
{
    buf_clear(out);
    for (;;) {
        uint8_t *room = buf_reserve(out, 65536);
        ssize_t count = recv(fd, room, 65535, 0);
        if (count <= 0)
            break;
        out->len += (size_t)count;
    }
    *buf_reserve(out, 1) = 0;
    close(fd);
}

static void request(int port, const char *text, struct buf *out)
{
    int fd = connect_to(port);
    send_text(fd, text);
    read_all(fd, out);
}

static double value_of(const struct buf *answer, const char *name)
{
    char wanted[160];
    (void)snprintf(wanted, sizeof wanted, "\n%s ", name);
    const char *found = strstr((const char *)answer->data, wanted);
    if (found == NULL)
        fail_msg("there is no %s", name);
    return strtod(found + strlen(wanted), NULL);
}

static bool begins_with(const struct buf *answer, const char *text)
{
    return strncmp((const char *)answer->data, text, strlen(text)) == 0;
}

#define SCRAPE "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"

static void figures_are_those_of_info(void **state)
{
    (void)state;
    int port;
    struct buf answer = {0};
    struct server_fixture *server = start(&port);
    struct resp_client *client = server_fixture_connect(server);
    for (int i = 0; i < 5; i++)
        assert_reply(client, "SET key value", "+OK");
    assert_reply(client, "LPUSH key x", "-*");
    assert_reply(client, "SET other value EX 1000", "+OK");
    request(port, SCRAPE, &answer);
    assert_true(begins_with(&answer, "HTTP/1.1 200 OK\r\n"));
    assert_int_equal(value_of(&answer, "basalt_connected_clients"), 1);
    assert_int_equal(value_of(&answer, "basalt_db_keys{db=\"0\"}"), 2);
    assert_int_equal(value_of(&answer, "basalt_db_expires{db=\"0\"}"), 1);
    assert_int_equal(value_of(&answer, "basalt_command_calls_total{command=\"set\"}"), 6);
    assert_int_equal(value_of(&answer, "basalt_command_failed_total{command=\"lpush\"}"), 1);
    assert_int_equal(value_of(&answer, "basalt_errors_total{code=\"WRONGTYPE\"}"), 1);
    assert_int_equal(
        value_of(&answer, "basalt_command_duration_seconds_bucket{command=\"set\",le=\"+Inf\"}"),
        6);
    assert_int_equal(value_of(&answer, "basalt_command_duration_seconds_count{command=\"set\"}"),
                     6);
    assert_int_equal(value_of(&answer, "basalt_journal_status"), 1);
    resp_client_close(client);
    server_fixture_destroy(server);
    buf_deinit(&answer);
}

static void cold_loads_are_counted(void **state)
{
    (void)state;
    int port;
    struct buf answer = {0};
    struct server_fixture *server = start(&port);
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "SET key value", "+OK");
    assert_reply(client, "DEBUG CUT", "+OK");
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_restart(server);
    client = server_fixture_connect(server);
    assert_reply(client, "GET key", "\"value\"");
    request(port, SCRAPE, &answer);
    assert_int_equal(value_of(&answer, "basalt_cold_loads"), 1);
    assert_int_equal(value_of(&answer, "basalt_cold_load_duration_seconds_count"), 1);
    assert_int_equal(value_of(&answer, "basalt_cold_load_duration_seconds_bucket{le=\"+Inf\"}"), 1);
    assert_true(value_of(&answer, "basalt_cold_load_duration_seconds_sum") > 0);
    resp_client_close(client);
    server_fixture_destroy(server);
    buf_deinit(&answer);
}

/* One line of the format, without its end. */
static void check_line(const char *line, size_t len)
{
    char name[200], value[64], rest;
    char copy[400];
    assert_true(len < sizeof copy);
    memcpy(copy, line, len);
    copy[len] = 0;
    if (copy[0] == '#') {
        assert_int_equal(sscanf(copy, "# TYPE %199s %63s%c", name, value, &rest), 2);
        assert_true(strcmp(value, "counter") == 0 || strcmp(value, "gauge") == 0 ||
                    strcmp(value, "histogram") == 0);
        return;
    }
    assert_int_equal(strncmp(copy, "basalt_", 7), 0);
    char *blank = strrchr(copy, ' ');
    assert_non_null(blank);
    char *end;
    (void)strtod(blank + 1, &end);
    assert_true(end > blank + 1 && *end == 0);
}

static void each_line_is_of_the_format(void **state)
{
    (void)state;
    int port, lines = 0;
    struct buf answer = {0};
    struct server_fixture *server = start(&port);
    request(port, SCRAPE, &answer);
    const char *text = (const char *)answer.data;
    const char *body = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "Content-Length: ");
    assert_non_null(body);
    assert_non_null(length);
    body += 4;
    assert_int_equal(strtoul(length + 16, NULL, 10), answer.len - (size_t)(body - text));
    for (const char *at = body; *at != 0; lines++) {
        const char *end = strchr(at, '\n');
        assert_non_null(end);
        check_line(at, (size_t)(end - at));
        at = end + 1;
    }
    assert_true(lines > 300);
    server_fixture_destroy(server);
    buf_deinit(&answer);
}

static void only_scraping_is_answered(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        const char *answer;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
        {"GET /metricsx HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
        {"GET /metrics\r\n\r\n", "HTTP/1.1 404 "},
        {"GET\r\n\r\n", "HTTP/1.1 405 "},
        {"GET \r\n\r\n", "HTTP/1.1 404 "},
        {"\r\n\r\n", "HTTP/1.1 405 "},
        {"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 405 "},
        {"FLUSHALL\r\n\r\n", "HTTP/1.1 405 "},
        {"GET /metrics?x=1 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 "},
        {"HEAD /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 "},
    };
    int port;
    struct buf answer = {0};
    struct server_fixture *server = start(&port);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        request(port, cases[i].request, &answer);
        if (!begins_with(&answer, cases[i].answer))
            fail_msg("case %zu: %.60s", i, (const char *)answer.data);
    }
    const char *end = strstr((const char *)answer.data, "\r\n\r\n");
    assert_non_null(end); /* HEAD: no body */
    assert_int_equal(strlen(end), 4);
    server_fixture_destroy(server);
    buf_deinit(&answer);
}

static void a_request_in_pieces_is_answered(void **state)
{
    (void)state;
    int port;
    struct buf answer = {0};
    struct server_fixture *server = start(&port);
    struct resp_client *client = server_fixture_connect(server);
    int fd = connect_to(port);
    for (const char *at = SCRAPE; *at != 0; at++) {
        assert_int_equal(send(fd, at, 1, MSG_NOSIGNAL), 1);
        assert_reply(client, "PING", "+PONG"); /* nobody waits for it */
    }
    read_all(fd, &answer);
    assert_true(begins_with(&answer, "HTTP/1.1 200 OK\r\n"));
    resp_client_close(client);
    server_fixture_destroy(server);
    buf_deinit(&answer);
}

static void a_request_without_end_is_refused(void **state)
{
    (void)state;
    int port;
    struct buf answer = {0};
    struct server_fixture *server = start(&port);
    int fd = connect_to(port);
    char piece[8192];
    memset(piece, 'x', sizeof piece);
    memcpy(piece, "GET /metrics HTTP/1.1\r\nX: ", 26);
    assert_int_equal(send(fd, piece, sizeof piece, MSG_NOSIGNAL), (ssize_t)sizeof piece);
    read_all(fd, &answer);
    assert_true(begins_with(&answer, "HTTP/1.1 431 "));
    server_fixture_destroy(server);
    buf_deinit(&answer);
}

static void only_so_many_connections_are_kept(void **state)
{
    (void)state;
    int port, idle[SCRAPES_MAX];
    struct buf answer = {0};
    struct server_fixture *server = start(&port);
    for (int i = 0; i < SCRAPES_MAX; i++) {
        idle[i] = connect_to(port);
        send_text(idle[i], "GET /met");
    }
    request(port, SCRAPE, &answer);
    assert_int_equal(answer.len, 0);
    send_text(idle[0], "rics HTTP/1.1\r\n\r\n");
    read_all(idle[0], &answer);
    assert_true(begins_with(&answer, "HTTP/1.1 200 OK\r\n"));
    request(port, SCRAPE, &answer); /* there is room again */
    assert_true(begins_with(&answer, "HTTP/1.1 200 OK\r\n"));
    server_fixture_stop(server); /* cleanly, in spite of those that are open */
    for (int i = 1; i < SCRAPES_MAX; i++)
        close(idle[i]);
    server_fixture_destroy(server);
    buf_deinit(&answer);
}

int main(void)
{
    if (server_fixture_program() == NULL)
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(figures_are_those_of_info, server_fixture_teardown),
        cmocka_unit_test_teardown(cold_loads_are_counted, server_fixture_teardown),
        cmocka_unit_test_teardown(each_line_is_of_the_format, server_fixture_teardown),
        cmocka_unit_test_teardown(only_scraping_is_answered, server_fixture_teardown),
        cmocka_unit_test_teardown(a_request_in_pieces_is_answered, server_fixture_teardown),
        cmocka_unit_test_teardown(a_request_without_end_is_refused, server_fixture_teardown),
        cmocka_unit_test_teardown(only_so_many_connections_are_kept, server_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
