/* Goal: MIGRATE carries keys of each type to Redis, nobody but its client waits, and no key is lost
 * whatever the target does. Method: the reference is a target; where a target has to misbehave, or
 * the moment matters, the test itself plays one. Skipped where no reference is installed. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "tests/support/every_type.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#define EXIT_SKIPPED 77
#define WAIT_MS      10000
#define PASSWORD     "secret"

static struct server_fixture *start_reference(const char *setting, const char *value)
{
    const char *const args[] = {
        "--enable-debug-command", "yes", "--save", "", setting, value, NULL};
    return server_fixture_start(&(struct server_options){.program = server_fixture_reference(),
                                                         .argv0 = SERVER_FIXTURE_REFERENCE_ARGV0,
                                                         .args = args});
}

/* "MIGRATE 127.0.0.1 <port> <rest>", until the next call. */
static const char *migrate(int port, const char *rest)
{
    static char line[1024];
    (void)snprintf(line, sizeof(line), "MIGRATE 127.0.0.1 %d %s", port, rest);
    return line;
}

/* ---- The reference as target. */

static char *digest(struct resp_client *client, const char *key)
{
    return mem_strdup(resp_client_call(client, "DEBUG", "DIGEST-VALUE", key, NULL));
}

static void carry_all(const char *setting, const char *value)
{
    struct server_fixture *ours = server_fixture_start_with(setting, value);
    struct server_fixture *theirs = start_reference("--appendonly", "no");
    struct resp_client *server = server_fixture_connect(ours);
    struct resp_client *reference = server_fixture_connect(theirs);
    every_type_fill(server);
    char **digests = mem_calloc(every_type_key_count, sizeof(*digests));
    struct buf rest = {0};
    buf_append_text(&rest, "\"\" 9 5000 KEYS missing");
    for (size_t i = 0; i < every_type_key_count; i++) {
        digests[i] = digest(server, every_type_keys[i]);
        buf_append_format(&rest, " %s", every_type_keys[i]);
    }
    buf_append_byte(&rest, 0);
    assert_reply(server, migrate(server_fixture_port(theirs), (const char *)rest.data), "+OK");
    assert_reply(reference, "SELECT 9", "+OK");
    for (size_t i = 0; i < every_type_key_count; i++) {
        char *there = digest(reference, every_type_keys[i]);
        assert_string_equal(there, digests[i]);
        assert_string_equal(resp_client_call(server, "EXISTS", every_type_keys[i], NULL), ":0");
        mem_free(there);
        mem_free(digests[i]);
    }
    mem_free(digests);
    buf_deinit(&rest);
    resp_client_close(server);
    resp_client_close(reference);
    server_fixture_destroy(ours);
    server_fixture_destroy(theirs);
}

static void keys_of_each_type_arrive(void **state)
{
    (void)state;
    carry_all("--appendfsync", "everysec");
}

static void so_do_cold_ones(void **state)
{
    (void)state;
    carry_all("--debug-always-cold", "yes");
}

static void options_are_as_in_redis(void **state)
{
    (void)state;
    struct server_fixture *ours = server_fixture_start_with("--appendfsync", "always");
    struct server_fixture *theirs = start_reference("--requirepass", PASSWORD);
    struct resp_client *server = server_fixture_connect(ours);
    struct resp_client *reference = server_fixture_connect(theirs);
    int port = server_fixture_port(theirs);
    assert_reply(reference, "AUTH " PASSWORD, "+OK");
    assert_reply(server, "MSET a 1 b 2", "+OK");
    assert_reply(server, migrate(port, "a 0 5000"),
                 "-ERR Target instance replied with error: NOAUTH Authentication required.");
    assert_reply(server, migrate(port, "a 0 5000 AUTH wrong"),
                 "-/ERR Target instance replied with error: WRONGPASS.*/");
    assert_reply(server, migrate(port, "a 99 5000 AUTH " PASSWORD),
                 "-/ERR Target instance replied with error: ERR DB index is out of range/");
    assert_reply(reference, "DBSIZE", ":0"); /* nothing went into another database */
    assert_reply(server, migrate(port, "a 0 5000 COPY AUTH " PASSWORD), "+OK");
    assert_reply(server, "GET a", "\"1\"");
    assert_reply(reference, "GET a", "\"1\"");
    assert_reply(server, "SET a 3 PX 100000", "+OK");
    assert_reply(
        server, migrate(port, "\"\" 0 5000 AUTH2 default " PASSWORD " KEYS a b"),
        "-ERR Target instance replied with error: BUSYKEY Target key name already exists.");
    assert_reply(server, "MGET a b", "[\"3\" nil]"); /* b was taken */
    assert_reply(reference, "MGET a b", "[\"1\" \"2\"]");
    assert_reply(server, migrate(port, "\"\" 0 5000 REPLACE AUTH " PASSWORD " KEYS a a"), "+OK");
    assert_reply(server, "EXISTS a", ":0");
    assert_reply(reference, "GET a", "\"3\"");
    assert_reply(reference, "PTTL a", ":90000..100000");
    /* What has gone stays gone. */
    resp_client_close(server);
    server_fixture_kill(ours);
    server_fixture_restart(ours);
    server = server_fixture_connect(ours);
    assert_reply(server, "DBSIZE", ":0");
    resp_client_close(server);
    resp_client_close(reference);
    server_fixture_destroy(ours);
    server_fixture_destroy(theirs);
}

static void what_is_larger_than_the_limit_together_is_refused(void **state)
{
    (void)state;
    struct server_fixture *ours = server_fixture_start_with("--whole-load-limit", "64kb");
    struct resp_client *server = server_fixture_connect(ours);
    assert_reply(server, "CONFIG SET rdbcompression no", "+OK");
    assert_reply(server, "SETRANGE a 40000 x", ":40001");
    assert_reply(server, "COPY a b", ":1");
    assert_reply(server, "COPY a c", ":1");
    assert_reply(server, migrate(1, "\"\" 0 1000 KEYS a b c"), "-/ERR .*whole-load-limit.*/");
    assert_reply(server, migrate(1, "\"\" 0 1000 KEYS a b"), "-/IOERR .*connecting.*/");
    assert_reply(server, "EXISTS a b c", ":3");
    resp_client_close(server);
    server_fixture_destroy(ours);
}

/* ---- The test as target. */

struct target {
    int listener;
    int fd; /* the connection */
    int port;
};

static void target_open(struct target *target)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    target->fd = -1;
    target->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(target->listener >= 0);
    assert_int_equal(bind(target->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(target->listener, 8), 0);
    assert_int_equal(getsockname(target->listener, (struct sockaddr *)&address, &len), 0);
    target->port = ntohs(address.sin_port);
}

static void target_hang_up(struct target *target)
{
    if (target->fd >= 0)
        (void)close(target->fd);
    target->fd = -1;
}

static void target_close(struct target *target)
{
    target_hang_up(target);
    (void)close(target->listener);
}

static void wait_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, WAIT_MS), 1);
}

/* Until what has come ends with `end`. */
static void target_await(struct target *target, const char *end)
{
    struct buf in = {0};
    size_t len = strlen(end);
    while (in.len < len || memcmp(in.data + in.len - len, end, len) != 0) {
        wait_readable(target->fd);
        ssize_t got = recv(target->fd, buf_reserve(&in, 4096), 4096, 0);
        assert_true(got > 0);
        in.len += (size_t)got;
    }
    buf_deinit(&in);
}

static void target_say(struct target *target, const char *text)
{
    assert_int_equal(send(target->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* A client begins to migrate; the keys are on their way when this returns. `rest` has REPLACE: the
 * end of each RESTORE is known by it. */
static void begin(struct resp_client *client, struct target *target, const char *rest)
{
    struct buf line = {0};
    buf_append_text(&line, migrate(target->port, rest));
    buf_append_text(&line, "\r\n");
    assert_ok(resp_client_send(client, buf_bytes(&line), NULL), NULL);
    buf_deinit(&line);
    wait_readable(target->listener);
    target->fd = accept(target->listener, NULL, NULL);
    assert_true(target->fd >= 0);
    target_await(target, "$6\r\nSELECT\r\n$1\r\n0\r\n");
    target_say(target, "+OK\r\n");
    target_await(target, "$7\r\nREPLACE\r\n");
}

struct scene {
    struct server_fixture *ours;
    struct resp_client *mover, *other;
    struct target target;
};

static void open_scene(struct scene *scene, const char *setting, const char *value)
{
    scene->ours = server_fixture_start_with(setting, value);
    scene->mover = server_fixture_connect(scene->ours);
    scene->other = server_fixture_connect(scene->ours);
    target_open(&scene->target);
}

static void close_scene(struct scene *scene)
{
    resp_client_close(scene->mover);
    resp_client_close(scene->other);
    target_close(&scene->target);
    server_fixture_destroy(scene->ours);
}

#define CHANGED                                                                                    \
    "-ERR key '%s' was changed while it was being sent: the target has it as it was before, and "  \
    "here it stays as it is"

static void a_key_that_changes_meanwhile_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *change, *key, *left;
    } cases[] = {
        {"GET a", NULL, "[nil nil]"},
        {"SET c x", NULL, "[nil nil]"},
        {"SET a x", "a", "[\"x\" nil]"},
        {"APPEND b x", "b", "[nil \"2x\"]"},
        {"PEXPIRE b 100000", "b", "[nil \"2\"]"},
        {"RENAME c a", "a", "[\"3\" nil]"},
        {"DEL b", "b", "[nil nil]"},
        {"EVAL \"return redis.call('incr', KEYS[1])\" 1 b", "b", "[nil \"3\"]"},
        {"FLUSHALL", "a", "[nil nil]"},
    };
    static const char *const settings[][2] = {{"--appendfsync", "everysec"},
                                              {"--debug-always-cold", "yes"}};
    for (size_t s = 0; s < sizeof(settings) / sizeof(*settings); s++) {
        struct scene scene;
        open_scene(&scene, settings[s][0], settings[s][1]);
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
            char reply[256] = "+OK";
            if (cases[i].key != NULL)
                (void)snprintf(reply, sizeof(reply), CHANGED, cases[i].key);
            assert_reply(scene.other, "MSET a 1 b 2 c 3", "+OK");
            begin(scene.mover, &scene.target, "\"\" 0 5000 REPLACE KEYS a b");
            (void)resp_client_ask(scene.other, cases[i].change); /* is served meanwhile */
            target_say(&scene.target, "+OK\r\n+OK\r\n");
            assert_string_equal(resp_client_next(scene.mover), reply);
            assert_reply(scene.other, "MGET a b", cases[i].left);
            target_hang_up(&scene.target);
        }
        close_scene(&scene);
    }
}

static void what_the_target_has_not_taken_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *reply, *left;
        bool hangs_up;
    } cases[] = {
        {"+OK\r\n", "-IOERR error or timeout reading to target instance", "[nil \"2\"]", true},
        {"+OK\r\n", "-IOERR error or timeout reading to target instance", "[nil \"2\"]", false},
        {"", "-IOERR error or timeout reading to target instance", "[\"1\" \"2\"]", true},
        {"-ERR no\r\n+OK\r\n", "-ERR Target instance replied with error: ERR no", "[\"1\" nil]",
         false},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "-IOERR error or timeout reading to target instance",
         "[\"1\" \"2\"]", false},
    };
    struct scene scene;
    open_scene(&scene, "--appendfsync", "everysec");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_reply(scene.other, "MSET a 1 b 2", "+OK");
        begin(scene.mover, &scene.target, "\"\" 0 300 REPLACE KEYS a b");
        target_say(&scene.target, cases[i].answer);
        if (cases[i].hangs_up)
            target_hang_up(&scene.target);
        assert_string_equal(resp_client_next(scene.mover), cases[i].reply);
        assert_reply(scene.other, "MGET a b", cases[i].left);
        target_hang_up(&scene.target);
    }
    close_scene(&scene);
}

static void a_line_without_end_is_no_answer(void **state)
{
    (void)state;
    struct scene scene;
    char noise[4096];
    memset(noise, '+', sizeof(noise) - 1);
    noise[sizeof(noise) - 1] = 0;
    open_scene(&scene, "--appendfsync", "everysec");
    assert_reply(scene.other, "SET a 1", "+OK");
    begin(scene.mover, &scene.target, "a 0 100000 REPLACE");
    target_say(&scene.target, noise);
    assert_string_equal(resp_client_next(scene.mover),
                        "-IOERR error or timeout reading to target instance");
    assert_reply(scene.other, "GET a", "\"1\"");
    close_scene(&scene);
}

static void writes_of_a_pause_wait_and_then_go_on(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "--appendfsync", "everysec");
    assert_reply(scene.other, "SET a 1", "+OK");
    begin(scene.mover, &scene.target, "a 0 5000 REPLACE");
    assert_reply(scene.other, "CLIENT PAUSE 100000 WRITE", "+OK");
    target_say(&scene.target, "+OK\r\n");
    (void)usleep(50000); /* whether it comes too early */
    assert_reply(scene.other, "GET a", "\"1\"");
    assert_reply(scene.other, "CLIENT UNPAUSE", "+OK");
    assert_string_equal(resp_client_next(scene.mover), "+OK");
    assert_reply(scene.other, "EXISTS a", ":0");
    close_scene(&scene);
}

static void what_was_begun_is_ended_without_its_client(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "--appendfsync", "everysec");
    assert_reply(scene.other, "SET a 1", "+OK");
    begin(scene.mover, &scene.target, "a 0 100000 REPLACE");
    resp_client_close(scene.mover);
    scene.mover = NULL;
    target_say(&scene.target, "+OK\r\n");
    int64_t deadline_ms = harness_now_ms() + WAIT_MS;
    while (strcmp(resp_client_ask(scene.other, "EXISTS a"), ":0") != 0) {
        assert_true(harness_now_ms() < deadline_ms);
        (void)usleep(10000);
    }
    close_scene(&scene);
}

static void a_client_that_is_killed_leaves_its_key(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "--appendfsync", "everysec");
    assert_reply(scene.other, "SET a 1", "+OK");
    begin(scene.mover, &scene.target, "a 0 100000 REPLACE");
    assert_reply(scene.other, "CLIENT KILL TYPE normal", ":1");
    char byte; /* the target sees that it is given up */
    wait_readable(scene.target.fd);
    assert_int_equal(recv(scene.target.fd, &byte, 1, 0), 0);
    assert_reply(scene.other, "GET a", "\"1\"");
    close_scene(&scene);
}

static void the_end_of_the_server_does_not_wait_for_a_target(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "--appendfsync", "everysec");
    assert_reply(scene.other, "SET a 1", "+OK");
    begin(scene.mover, &scene.target, "a 0 1000000 REPLACE");
    server_fixture_stop(scene.ours);
    resp_client_close(scene.mover);
    resp_client_close(scene.other);
    scene.mover = NULL;
    server_fixture_restart(scene.ours);
    scene.other = server_fixture_connect(scene.ours);
    assert_reply(scene.other, "GET a", "\"1\"");
    close_scene(&scene);
}

int main(void)
{
    if (server_fixture_program() == NULL || server_fixture_reference() == NULL) {
        (void)fprintf(stderr, "skipped: the server or the reference is missing\n");
        return EXIT_SKIPPED;
    }
#define SERVER_TEST(function) TEST_WITH(function, NULL, server_fixture_teardown)
    const struct CMUnitTest tests[] = {
        SERVER_TEST(keys_of_each_type_arrive),
        SERVER_TEST(so_do_cold_ones),
        SERVER_TEST(options_are_as_in_redis),
        SERVER_TEST(what_is_larger_than_the_limit_together_is_refused),
        SERVER_TEST(a_key_that_changes_meanwhile_is_kept),
        SERVER_TEST(what_the_target_has_not_taken_is_kept),
        SERVER_TEST(a_line_without_end_is_no_answer),
        SERVER_TEST(writes_of_a_pause_wait_and_then_go_on),
        SERVER_TEST(what_was_begun_is_ended_without_its_client),
        SERVER_TEST(a_client_that_is_killed_leaves_its_key),
        SERVER_TEST(the_end_of_the_server_does_not_wait_for_a_target),
    };
    return RUN_TESTS("migrate", tests);
}
