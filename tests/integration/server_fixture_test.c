/* Goal: the server fixture starts, stops, kills and restarts a real process, and tells why one did
 * not start; transcripts notice what differs. Method: against the reference redis-server, so that a
 * failure here is the fixture's. Skipped where no reference is installed. */
#include "tests/support/server_fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/transcript.h"

#define EXIT_SKIPPED 77

static struct server_options reference_options(const char *const *args)
{
    return (struct server_options){.program = server_fixture_reference(),
                                   .argv0 = SERVER_FIXTURE_REFERENCE_ARGV0,
                                   .args = args};
}

static void started_server_answers_and_stops_cleanly(void **state)
{
    (void)state;
    struct server_options options = reference_options(NULL);
    struct server_fixture *server = server_fixture_start(&options);
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "SET \"a key\" 'its value'", "+OK");
    assert_reply(client, "GET \"a key\"", "\"its value\"");
    assert_string_equal(resp_client_call(client, "STRLEN", "a key", NULL), ":9");
    assert_true(server_fixture_wait_log(server, "Ready to accept connections", 1000));
    resp_client_close(client);
    assert_true(server_fixture_is_running(server));
    server_fixture_stop(server);
    assert_false(server_fixture_is_running(server));
    server_fixture_destroy(server);
}

static void restart_keeps_the_directory_and_the_port(void **state)
{
    (void)state;
    struct server_options options =
        reference_options((const char *const[]){"--save", "3600 1", NULL});
    struct server_fixture *server = server_fixture_start(&options);
    int port = server_fixture_port(server);
    pid_t pid = server_fixture_pid(server);
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "SET kept 1", "+OK");
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_restart(server);
    assert_int_equal(server_fixture_port(server), port);
    assert_int_not_equal(server_fixture_pid(server), pid);
    client = server_fixture_connect(server);
    assert_reply(client, "GET kept", "\"1\"");
    assert_reply(client, "SET lost 1", "+OK");
    resp_client_close(client);
    server_fixture_kill(server);
    server_fixture_restart(server);
    client = server_fixture_connect(server);
    assert_reply(client, "MGET kept lost", "[\"1\" nil]");
    resp_client_close(client);
    server_fixture_destroy(server);
}

static void server_that_refuses_to_start_is_reported_with_its_log(void **state)
{
    (void)state;
    struct server_options options =
        reference_options((const char *const[]){"--no-such-setting", "1", NULL});
    struct server_fixture *server = NULL;
    assert_status(server_fixture_try_start(&options, &server), ST_IO);
    char *log = server_fixture_read_log(server);
    assert_non_null(strstr(log, "no-such-setting"));
    mem_free(log);
    int status = 0;
    assert_true(server_fixture_wait_exit(server, 0, &status));
    assert_int_not_equal(status, 0);
    server_fixture_destroy(server);

    options = (struct server_options){.program = "/nonexistent/server"};
    assert_status(server_fixture_try_start(&options, &server), ST_IO);
    assert_true(server_fixture_wait_log(server, "cannot run /nonexistent/server", 0));
    server_fixture_destroy(server);
}

static void destroyed_server_leaves_neither_process_nor_directory(void **state)
{
    (void)state;
    struct server_options options = reference_options(NULL);
    struct server_fixture *server = server_fixture_start(&options);
    pid_t pid = server_fixture_pid(server);
    char *dir = mem_strdup(server_fixture_dir(server));
    assert_int_equal(access(dir, F_OK), 0);
    server_fixture_destroy(server);
    assert_int_not_equal(access(dir, F_OK), 0);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
    mem_free(dir);
}

static void given_directory_and_configuration_file_are_used(void **state)
{
    (void)state;
    char *dir = harness_make_dir();
    struct buf path = {0};
    buf_append_format(&path, "%s/test.conf", dir);
    buf_append_byte(&path, '\0');
    FILE *file = fopen((const char *)path.data, "we");
    assert_non_null(file);
    assert_true(fputs("maxclients 123\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    struct server_options options = reference_options(NULL);
    options.config_file = (const char *)path.data;
    options.dir = dir;
    struct server_fixture *server = server_fixture_start(&options);
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "CONFIG GET maxclients", "{\"maxclients\" \"123\"}");
    assert_string_equal(server_fixture_dir(server), dir);
    resp_client_close(client);
    server_fixture_destroy(server);
    assert_int_equal(access(dir, F_OK), 0);
    harness_remove_dir(dir);
    buf_deinit(&path);
    mem_free(dir);
}

/* --- transcripts --- */

static struct transcript *load_text(const char *text, struct err *err)
{
    char *dir = harness_make_dir();
    struct buf path = {0};
    buf_append_format(&path, "%s/test.txt", dir);
    buf_append_byte(&path, '\0');
    FILE *file = fopen((const char *)path.data, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    struct transcript *transcript = NULL;
    if (transcript_load((const char *)path.data, &transcript, err) != ST_OK)
        transcript = NULL;
    harness_remove_dir(dir);
    buf_deinit(&path);
    mem_free(dir);
    return transcript;
}

static struct transcript_target reference_target(void)
{
    static const char *const args[] = {"--save", "", "--enable-debug-command", "yes", NULL};
    return (struct transcript_target){
        .server = reference_options(args), .is_reference = true, .version = 700};
}

static const struct {
    const char *text;
    size_t failures;
    const char *report; /* part of it */
} transcripts[] = {
    {"> SET k v\n+OK\n> GET k\n\"v\"\n", 0, NULL},
    {"> SET k v\n+NO\n", 1, "SET k v\n  expected +NO\n  got      +OK\n"},
    {"# pipeline\n> INCR n\n> INCR n\n:1\n:2\n", 0, NULL},
    {"> PING\n> PING\n+PONG\n", 1, "a reply that nobody expected: +PONG"},
    {"a> BLPOP q 0\n@silent a\nb> RPUSH q x\n:1\na< [\"q\" \"x\"]\n", 0, NULL},
    {"a> PING\n@silent a\n", 1, "got      +PONG"},
    {"> CLIENT ID\n:*=id\nb> CLIENT KILL ID ${id}\n:1\n@closed\n", 0, NULL},
    {"@closed\n", 1, "still open"},
    {"@send \"PI\"\n@send \"NG\\r\\n\"\n@raw \"+PONG\\r\\n\"\n", 0, NULL},
    {"@send \"PING\\r\\n\"\n@raw \"+PONX\\r\\n\"\n", 1, "got \"+PONG\\r\\n\""},
    {"@for i 1..30\n> SET k:${i} ${i}\n+OK\n@end\n@scan SCAN CURSOR MATCH k:1? COUNT 3\n"
     "[\"k:10\" \"k:11\" \"k:12\" \"k:13\" \"k:14\" \"k:15\" \"k:16\" \"k:17\" \"k:18\" "
     "\"k:19\"]\n",
     0, NULL},
    {"@let v = repeat \"a\\\"\\x00\" 3\n> SET k \"${v}\"\n+OK\n> GET k\n"
     "\"a\\\"\\x00a\\\"\\x00a\\\"\\x00\"\n> STRLEN k\n:9\n",
     0, NULL},
    {"> SET k v PX 5\n+OK\n@until 2000\n> EXISTS k\n:0\n", 0, NULL},
    {"@until 20\n> PING\n+PONX\n", 1, "expected +PONX"},
    {"@if basalt-only\n> PING\n+A\n@else\n> PING\n+PONG\n@end\n", 0, NULL},
    {"@if redis>=7.2\n> PING\n+A\n@end\n@if redis<7.2\n> PING\n+PONG\n@end\n", 0, NULL},
    {"@if has:get has:client|id\n> PING\n+PONG\n@end\n@if has:nosuch\n> PING\n+A\n@end\n", 0, NULL},
    {"> CONFIG GET maxclients\n{\"maxclients\"\n  /[0-9]+/\n}\n> PING\n+PONG\n", 0, NULL},
    {"> SET k v\n+OK\n@restart\n> GET k\n\"v\"\n@crash\n> PING\n+PONG\n", 0, NULL},
    {"> SHUTDOWN NOSAVE\n@exited\n> PING\n+PONG\n", 0, NULL},
    {"@server --maxclients 77\n> CONFIG GET maxclients\n{\"maxclients\" \"77\"}\n", 0, NULL},
    {"@protocol 2\n> HELLO 3\n{\"server\" \"redis\" ...}\n> GET none\nnil\n> RESET\n+RESET\n"
     "> GET none\nnil\n",
     0, NULL},
    {"> GET ${x}\nnil\n", 1, "unknown variable"},
};

static void transcripts_report_what_differs(void **state)
{
    (void)state;
    struct transcript_target target = reference_target();
    target.timeout_ms = 300; /* what shall fail by silence need not take long */
    for (size_t i = 0; i < sizeof(transcripts) / sizeof(transcripts[0]); i++) {
        struct err err = {0};
        struct transcript *transcript = load_text(transcripts[i].text, &err);
        if (transcript == NULL)
            fail_msg("case %zu: %s", i, err.message);
        for (int protocol = 2; protocol <= 3; protocol++) {
            if (!transcript_applies(transcript, &target, protocol))
                continue;
            struct transcript_result result = {0};
            transcript_run(transcript, &target, protocol, &result);
            buf_append_byte(&result.report, '\0');
            const char *report = (const char *)result.report.data;
            if (result.failure_count != transcripts[i].failures ||
                (transcripts[i].report != NULL && strstr(report, transcripts[i].report) == NULL))
                fail_msg("case %zu RESP%d: %s", i, protocol, report);
            buf_deinit(&result.report);
        }
        transcript_destroy(transcript);
    }
    server_fixture_destroy(target.shared);
}

static void malformed_transcripts_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"> PING\n\n+\n", "test.txt:3: "},
        {"+PONG\n", "test.txt:1: an expectation before the first request"},
        {"@nonsense\n", "test.txt:1: unknown directive"},
        {"@if hot\n", "a block is not closed"},
        {"@end\n", "test.txt:1: no block is open"},
        {"@for i 1..2\n@else\n@end\n", "test.txt:2: @else belongs to @if"},
        {"> PING\n[\n", "the pattern is not closed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        assert_null(load_text(cases[i].text, &err));
        if (strstr(err.message, cases[i].message) == NULL)
            fail_msg("case %zu: %s", i, err.message);
    }
}

static void recording_fills_in_what_is_missing_and_keeps_what_holds(void **state)
{
    (void)state;
    struct err err = {0};
    struct transcript *transcript =
        load_text("# title\n\n> SET k v\n> GET k\n\n> GET k\n\"wrong\"\n> TTL k\n:*\n\n"
                  "@scan SCAN CURSOR\n",
                  &err);
    assert_non_null(transcript);
    struct transcript_target target = reference_target();
    struct transcript_result result = {0};
    struct buf text = {0};
    transcript_record(transcript, &target, 2, &result, &text);
    assert_bytes(buf_bytes(&text),
                 bytes_text("# title\n\n> SET k v\n+OK\n> GET k\n\"v\"\n\n> GET k\n\"v\"\n> TTL k\n"
                            ":*\n\n@scan SCAN CURSOR\n[\"k\"]\n"));
    buf_deinit(&text);
    buf_deinit(&result.report);
    transcript_destroy(transcript);
    server_fixture_destroy(target.shared);
}

int main(void)
{
    if (server_fixture_reference() == NULL) {
        (void)printf("redis-server is not installed: skipped\n");
        return EXIT_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        TEST_WITH(started_server_answers_and_stops_cleanly, NULL, server_fixture_teardown),
        TEST_WITH(restart_keeps_the_directory_and_the_port, NULL, server_fixture_teardown),
        TEST_WITH(server_that_refuses_to_start_is_reported_with_its_log, NULL,
                  server_fixture_teardown),
        TEST_WITH(destroyed_server_leaves_neither_process_nor_directory, NULL,
                  server_fixture_teardown),
        TEST_WITH(given_directory_and_configuration_file_are_used, NULL, server_fixture_teardown),
        TEST_WITH(transcripts_report_what_differs, NULL, server_fixture_teardown),
        TEST(malformed_transcripts_are_refused_with_their_line),
        TEST_WITH(recording_fills_in_what_is_missing_and_keeps_what_holds, NULL,
                  server_fixture_teardown),
    };
    return RUN_TESTS("server_fixture", tests);
}
