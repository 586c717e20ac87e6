/* Goal: messages reach all subscribers whole and in order, whatever their length, and a subscriber
 * that does not read costs the server no more than its class may have.
 *
 * Method: several clients of a real server. What one client can see is in the transcripts. */
#include "codec/buf.h"
#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#include <stdio.h>

#define SUBSCRIBERS 20
#define PATIENCE_MS 20000

static struct server_fixture *start(const char *name, const char *value)
{
    return server_fixture_start(
        &(struct server_options){.args = (const char *const[]){name, value, NULL}});
}

static struct resp_client *subscribe(struct server_fixture *server, const char *protocol,
                                     const char *what)
{
    struct resp_client *client = server_fixture_connect(server);
    (void)resp_client_call(client, "HELLO", protocol, NULL);
    struct buf request = {0};
    struct bytes args[2] = {bytes_text("SUBSCRIBE"), bytes_text(what)};
    resp_format_request(2, args, &request);
    struct err err;
    assert_ok(resp_client_send(client, buf_bytes(&request), &err), &err);
    buf_deinit(&request);
    (void)resp_client_next(client);
    return client;
}

static char *repeat(char letter, size_t len)
{
    char *text = mem_alloc(len + 1);
    memset(text, letter, len);
    text[len] = '\0';
    return text;
}

/* Compares raw bytes, so that texts of megabytes cost nothing. */
static void assert_message(struct resp_client *client, char kind, const char *channel,
                           const char *message)
{
    struct buf expected = {0};
    buf_append_format(&expected, "%c3\r\n$7\r\nmessage\r\n$%zu\r\n%s\r\n$%zu\r\n", kind,
                      strlen(channel), channel, strlen(message));
    buf_append_text(&expected, message);
    buf_append_text(&expected, "\r\n");
    struct buf actual = {0};
    struct err err;
    assert_ok(resp_client_read_raw(client, expected.len, &actual, &err), &err);
    assert_true(bytes_equal(buf_bytes(&actual), buf_bytes(&expected)));
    buf_deinit(&expected);
    buf_deinit(&actual);
}

static void messages_of_any_length_reach_all_subscribers_whole_and_in_order(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 1000, 4000, 4095, 4096, 5000, 20000, 300000, 3, 2000000, 2};
    struct server_fixture *server = start("--client-output-buffer-limit", "pubsub 0 0 0");
    struct resp_client *publisher = server_fixture_connect(server);
    struct resp_client *subscribers[SUBSCRIBERS];
    for (size_t i = 0; i < SUBSCRIBERS; i++)
        subscribers[i] = subscribe(server, i % 2 == 0 ? "2" : "3", "channel");
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        char *text = repeat((char)('a' + i), lens[i]);
        assert_string_equal(resp_client_call(publisher, "PUBLISH", "channel", text, NULL), ":20");
        mem_free(text);
    }
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        char *text = repeat((char)('a' + i), lens[i]);
        for (size_t s = 0; s < SUBSCRIBERS; s++)
            assert_message(subscribers[s], s % 2 == 0 ? '*' : '>', "channel", text);
        mem_free(text);
    }
    for (size_t i = 0; i < SUBSCRIBERS; i++)
        resp_client_close(subscribers[i]);
    resp_client_close(publisher);
    server_fixture_destroy(server);
}

/* Publishes until nobody hears any more; returns how often. */
static int publish_until_alone(struct resp_client *publisher, const char *text)
{
    int64_t deadline_ms = harness_now_ms() + PATIENCE_MS;
    int count = 0;
    while (strcmp(resp_client_call(publisher, "PUBLISH", "channel", text, NULL), ":0") != 0) {
        assert_true(harness_now_ms() < deadline_ms);
        count++;
    }
    return count;
}

static void assert_slow_subscriber_is_closed(const char *limit)
{
    struct server_fixture *server = start("--client-output-buffer-limit", limit);
    struct resp_client *publisher = server_fixture_connect(server);
    struct resp_client *slow = subscribe(server, "3", "channel");
    char *text = repeat('x', 50000);
    int count = publish_until_alone(publisher, text);
    assert_true(count >= 20); /* a megabyte is allowed */
    assert_true(server_fixture_wait_log(server, "overcoming of output buffer limits", PATIENCE_MS));
    assert_string_equal(resp_client_ask(publisher, "CLIENT LIST TYPE pubsub"), "\"\"");
    assert_reply(publisher, "PING", "+PONG");
    mem_free(text);
    resp_client_close(slow);
    resp_client_close(publisher);
    server_fixture_destroy(server);
}

static void a_subscriber_that_does_not_read_is_closed_at_the_hard_limit(void **state)
{
    (void)state;
    assert_slow_subscriber_is_closed("pubsub 1mb 0 0");
}

static void a_subscriber_that_does_not_read_is_closed_at_the_soft_limit(void **state)
{
    (void)state;
    assert_slow_subscriber_is_closed("pubsub 0 1mb 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(messages_of_any_length_reach_all_subscribers_whole_and_in_order, NULL,
                  server_fixture_teardown),
        TEST_WITH(a_subscriber_that_does_not_read_is_closed_at_the_hard_limit, NULL,
                  server_fixture_teardown),
        TEST_WITH(a_subscriber_that_does_not_read_is_closed_at_the_soft_limit, NULL,
                  server_fixture_teardown),
    };
    return RUN_TESTS("pubsub", tests);
}
