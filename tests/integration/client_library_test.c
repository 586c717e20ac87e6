/* Goal: a client that we did not write works. Method: hiredis, blocking and pipelined, against the
 * server under test, or against the reference while that is not built. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/harness.h"
#include "tests/support/server_fixture.h"

#define EXIT_SKIPPED    77
#define PIPELINED_COUNT 2000
#define LARGE_BYTES     (3 * 1024 * 1024 + 17)

static struct server_fixture *start_server(void)
{
    struct server_options options = {.program = server_fixture_program()};
    if (options.program == NULL) {
        options.program = server_fixture_reference();
        options.argv0 = SERVER_FIXTURE_REFERENCE_ARGV0;
    }
    return server_fixture_start(&options);
}

static redisContext *connect_to(const struct server_fixture *server)
{
    redisContext *context = redisConnect("127.0.0.1", server_fixture_port(server));
    assert_non_null(context);
    if (context->err != 0)
        fail_msg("%s", context->errstr);
    return context;
}

static void commands_are_answered_with_their_types(void **state)
{
    (void)state;
    struct server_fixture *server = start_server();
    redisContext *context = connect_to(server);
    static const struct {
        const char *command;
        int type;
        long long integer;
        const char *text;
    } cases[] = {
        {"SET key value", REDIS_REPLY_STATUS, 0, "OK"},
        {"GET key", REDIS_REPLY_STRING, 0, "value"},
        {"GET missing", REDIS_REPLY_NIL, 0, NULL},
        {"STRLEN key", REDIS_REPLY_INTEGER, 5, NULL},
        {"INCR key", REDIS_REPLY_ERROR, 0, "ERR value is not an integer or out of range"},
        {"MGET key missing", REDIS_REPLY_ARRAY, 0, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        redisReply *reply = redisCommand(context, cases[i].command);
        assert_non_null(reply);
        assert_int_equal(reply->type, cases[i].type);
        assert_int_equal(reply->integer, cases[i].integer);
        if (cases[i].text != NULL)
            assert_string_equal(reply->str, cases[i].text);
        freeReplyObject(reply);
    }
    redisFree(context);
    server_fixture_destroy(server);
}

static void pipeline_is_answered_in_order(void **state)
{
    (void)state;
    struct server_fixture *server = start_server();
    redisContext *context = connect_to(server);
    for (int i = 0; i < PIPELINED_COUNT; i++) {
        assert_int_equal(redisAppendCommand(context, "SET key:%d value:%d", i, i), REDIS_OK);
        assert_int_equal(redisAppendCommand(context, "GET key:%d", i / 2), REDIS_OK);
    }
    for (int i = 0; i < PIPELINED_COUNT * 2; i++) {
        redisReply *reply = NULL;
        char expected[32] = "OK";
        assert_int_equal(redisGetReply(context, (void **)&reply), REDIS_OK);
        if (i % 2 == 1)
            (void)snprintf(expected, sizeof(expected), "value:%d", i / 4);
        assert_string_equal(reply->str, expected);
        freeReplyObject(reply);
    }
    redisFree(context);
    server_fixture_destroy(server);
}

static void large_binary_value_comes_back_unchanged(void **state)
{
    (void)state;
    struct server_fixture *server = start_server();
    redisContext *context = connect_to(server);
    char *value = malloc(LARGE_BYTES);
    assert_non_null(value);
    for (size_t i = 0; i < LARGE_BYTES; i++)
        value[i] = (char)(i * 2654435761U >> 13);
    redisReply *reply = redisCommand(context, "SET large %b", value, (size_t)LARGE_BYTES);
    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_STATUS);
    freeReplyObject(reply);
    reply = redisCommand(context, "GET large");
    assert_non_null(reply);
    assert_int_equal(reply->len, LARGE_BYTES);
    assert_memory_equal(reply->str, value, LARGE_BYTES);
    freeReplyObject(reply);
    free(value);
    redisFree(context);
    server_fixture_destroy(server);
}

int main(void)
{
    if (server_fixture_program() == NULL && server_fixture_reference() == NULL) {
        (void)printf("neither the server nor a reference is there: skipped\n");
        return EXIT_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        TEST_WITH(commands_are_answered_with_their_types, NULL, server_fixture_teardown),
        TEST_WITH(pipeline_is_answered_in_order, NULL, server_fixture_teardown),
        TEST_WITH(large_binary_value_comes_back_unchanged, NULL, server_fixture_teardown),
    };
    return RUN_TESTS("client_library", tests);
}
