/* Goal: what the server dumps and saves, Redis reads, and it is the same there. Method: a data set
 * with keys of each type in each form is carried to the reference, and both are asked for digests.
 * Skipped where no reference is installed. */
#include <stdio.h>
#include <string.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "tests/support/every_type.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#define EXIT_SKIPPED 77

static struct server_fixture *start_reference(void)
{
    static const char *const args[] = {"--enable-debug-command", "yes", "--save", "", NULL};
    struct server_options options = {.program = server_fixture_reference(),
                                     .argv0 = SERVER_FIXTURE_REFERENCE_ARGV0,
                                     .args = args};
    return server_fixture_start(&options);
}

static struct server_fixture *start_server(const char *setting, const char *value)
{
    const char *const args[] = {"--enable-debug-command", "yes", setting, value, NULL};
    return server_fixture_start(&(struct server_options){.args = args});
}

/* Asks both the same and compares the answers. */
static void assert_same(struct resp_client *reference, struct resp_client *server,
                        const char *request)
{
    char *expected = mem_strdup(resp_client_ask(reference, request));
    const char *actual = resp_client_ask(server, request);
    if (strcmp(expected, actual) != 0)
        fail_msg("%s: the reference says %.200s, the server %.200s", request, expected, actual);
    mem_free(expected);
}

/* ---- DUMP ---- */

static void carry_key(struct resp_client *from, struct resp_client *to, const char *key)
{
    char line[128];
    struct buf restore = {0};
    (void)snprintf(line, sizeof(line), "DUMP %s", key);
    buf_append_format(&restore, "RESTORE %s 0 %s", key, resp_client_ask(from, line));
    const char *reply = resp_client_ask(to, (const char *)restore.data);
    if (strcmp(reply, "+OK") != 0)
        fail_msg("RESTORE %s: %s", key, reply);
    buf_deinit(&restore);
    (void)snprintf(line, sizeof(line), "DEBUG DIGEST-VALUE %s", key);
    assert_same(to, from, line);
}

static void carry_all(const char *setting, const char *value)
{
    struct server_fixture *ours = start_server(setting, value);
    struct server_fixture *theirs = start_reference();
    struct resp_client *server = server_fixture_connect(ours);
    struct resp_client *reference = server_fixture_connect(theirs);
    every_type_fill(server);
    for (size_t i = 0; i < every_type_key_count; i++)
        carry_key(server, reference, every_type_keys[i]);
    assert_same(reference, server, "XPENDING x:small group");
    assert_same(reference, server, "XPENDING x:large group");
    assert_same(reference, server, "XINFO GROUPS x:small");
    assert_same(reference, server, "XINFO GROUPS x:large");
    resp_client_close(server);
    resp_client_close(reference);
    server_fixture_destroy(ours);
    server_fixture_destroy(theirs);
}

static void what_is_dumped_redis_restores(void **state)
{
    (void)state;
    carry_all("--appendfsync", "everysec");
}

static void cold_values_are_dumped_whole(void **state)
{
    (void)state;
    carry_all("--debug-always-cold", "yes");
}

static void a_dump_needs_all_of_a_value_and_has_a_limit(void **state)
{
    (void)state;
    struct server_fixture *ours = start_server("--whole-load-limit", "64kb");
    struct resp_client *server = server_fixture_connect(ours);
    every_type_fill(server);
    assert_reply(server, "DEBUG EVICT all", "+OK");
    assert_reply(server, "DUMP h:large", "-/.*larger than whole-load-limit.*/");
    assert_int_equal(resp_client_ask(server, "DUMP h:table")[0], '"');
    resp_client_close(server);
    server_fixture_destroy(ours);
}

int main(void)
{
    if (server_fixture_program() == NULL || server_fixture_reference() == NULL) {
        (void)fprintf(stderr, "skipped: the server or the reference is missing\n");
        return EXIT_SKIPPED;
    }
#define SERVER_TEST(function) TEST_WITH(function, NULL, server_fixture_teardown)
    const struct CMUnitTest tests[] = {
        SERVER_TEST(what_is_dumped_redis_restores),
        SERVER_TEST(cold_values_are_dumped_whole),
        SERVER_TEST(a_dump_needs_all_of_a_value_and_has_a_limit),
    };
    return RUN_TESTS("rdb_save", tests);
}
