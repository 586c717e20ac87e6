/* Goal: a kill -9 in the middle of DEBUG RELOAD leaves all of the dataset of before or all of the
 * one of after, keys and libraries, and no write of anybody else that was acknowledged is lost.
 *
 * Method: the file holds dataset A, the server has B, with tens of thousands of keys of all types.
 * Rounds bring the server to B, send a reload together with another client's writes, kill the
 * server at a random moment of it, and compare digests after the restart. With appendfsync always,
 * what was answered is there. BASALT_TEST_SEED repeats the choice of moments. */
#include "tests/support/every_type.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/store_model.h"
#include "tests/support/tool_run.h"

#include "codec/buf.h"
#include "codec/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_SKIPPED 77
#define KEYS         20000 /* of A; a third of them is not in B, a third has other values there */
#define MORE_KEYS    4000  /* only in B */
#define PIPELINE     500   /* requests sent at once */
#define ROUNDS       6
#define WRITES       20 /* of the other client, in a round */
#define STATE_BYTES  512

/* What a server holds, in short. */
struct state {
    char text[STATE_BYTES];
};

struct plan {
    const char *reload;
    bool saves;   /* so that nothing changes */
    bool forgets; /* what is not in the file */
};

struct run {
    const struct plan *plan;
    uint64_t random;
    struct server_fixture *server;
    struct resp_client *client;
    struct state before, after;
    int64_t took_ms; /* a reload that nobody disturbs */
    int counted;     /* the other client's writes that were answered */
};

/* ---- Datasets. */

static void put_key(struct buf *out, int i, const char *value)
{
    switch (i % 7) {
    case 0:
        buf_append_format(out, "SET k:%d %s:%d\r\n", i, value, i);
        break;
    case 1:
        buf_append_format(out, "SET k:%d %s PXAT 4102444800%03d\r\n", i, value, i % 1000);
        break;
    case 2:
        buf_append_format(out, "RPUSH k:%d a %s %d\r\n", i, value, i);
        break;
    case 3:
        buf_append_format(out, "SADD k:%d a %s %d\r\n", i, value, i);
        break;
    case 4:
        buf_append_format(out, "ZADD k:%d 1 a %d.5 %s\r\n", i, i, value);
        break;
    case 5:
        buf_append_format(out, "HSET k:%d f %s g %d\r\n", i, value, i);
        break;
    default:
        buf_append_format(out, "XADD k:%d %d-1 f %s\r\n", i, i + 1, value);
        break;
    }
}

/* Sends what is in `out`, and reads as many replies. */
static void flush_requests(struct resp_client *client, struct buf *out)
{
    struct err err = {0};
    size_t count = 0;
    for (size_t i = 0; i < out->len; i++)
        count += out->data[i] == '\n';
    assert_ok(resp_client_send(client, buf_bytes(out), &err), &err);
    for (size_t i = 0; i < count; i++) {
        struct resp_reply reply = {0};
        assert_ok(resp_client_read(client, &reply, &err), &err);
        assert_int_not_equal(reply.kind, RESP_ERROR);
        resp_reply_deinit(&reply);
    }
    buf_clear(out);
}

static void fill_a(struct resp_client *client)
{
    struct buf out = {0};
    every_type_fill(client);
    for (int i = 0; i < KEYS; i++) {
        put_key(&out, i, "first");
        if (i % PIPELINE == PIPELINE - 1)
            flush_requests(client, &out);
    }
    buf_append_text(&out, "FUNCTION LOAD \"#!lua name=first\\nredis.register_function('first', "
                          "function() return 1 end)\"\r\n");
    flush_requests(client, &out);
    buf_deinit(&out);
}

/* From A, B, or B with A merged into it. */
static void make_b(struct resp_client *client)
{
    struct buf out = {0};
    for (int i = 0; i < KEYS + MORE_KEYS; i++) {
        if (i % 3 != 0 || i >= KEYS)
            buf_append_format(&out, "DEL k:%d\r\n", i);
        if (i % 3 == 1 || i >= KEYS)
            put_key(&out, i, "second");
        if (i % PIPELINE == PIPELINE - 1)
            flush_requests(client, &out);
    }
    buf_append_text(&out, "DEL l:large h:small s:large\r\n"
                          "SET h:small text\r\n"
                          "FUNCTION FLUSH\r\n"
                          "FUNCTION LOAD \"#!lua name=second\\nredis.register_function('second', "
                          "function() return 2 end)\"\r\n");
    flush_requests(client, &out);
    buf_deinit(&out);
}

static struct state state_of(struct resp_client *client)
{
    static const char *const questions[] = {"DEBUG DIGEST", "DBSIZE",
                                            "FUNCTION LIST LIBRARYNAME first",
                                            "FUNCTION LIST LIBRARYNAME second"};
    struct state state = {.text = ""};
    size_t len = 0;
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
        len += (size_t)snprintf(state.text + len, sizeof(state.text) - len, "%s\n",
                                resp_client_ask(client, questions[i]));
    assert_true(len < sizeof(state.text));
    return state;
}

static bool states_equal(const struct state *a, const struct state *b)
{
    return strcmp(a->text, b->text) == 0;
}

/* ---- Kills. */

/* The other client, whose writes go to database 9. That holds nothing between rounds. */
static struct resp_client *connect_other(struct run *run)
{
    struct resp_client *client = server_fixture_connect(run->server);
    assert_reply(client, "SELECT 9", "+OK");
    assert_reply(client, "SET counter 0", "+OK");
    run->counted = 0;
    return client;
}

static void send_writes(struct resp_client *client)
{
    struct buf out = {0};
    for (int i = 0; i < WRITES; i++)
        buf_append_text(&out, "INCR counter\r\n");
    assert_ok(resp_client_send(client, buf_bytes(&out), NULL), NULL);
    buf_deinit(&out);
}

/* Reads answers until `count` writes have one; false if the server has gone before. */
static bool read_writes(struct run *run, struct resp_client *client, int count)
{
    struct resp_reply reply = {0};
    for (; run->counted < count; run->counted++) {
        if (resp_client_read(client, &reply, NULL) != ST_OK)
            return false;
        resp_reply_deinit(&reply);
    }
    return true;
}

/* Sends a reload and kills the server after `after_ms`, or when it is done. True: it was. */
static bool reload_and_kill(struct run *run, int after_ms)
{
    struct buf line = {0};
    struct resp_reply reply = {0};
    struct resp_client *other = connect_other(run);
    buf_append_format(&line, "%s\r\n", run->plan->reload);
    send_writes(other);
    assert_true(read_writes(run, other, 1));
    assert_ok(resp_client_send(run->client, buf_bytes(&line), NULL), NULL);
    resp_client_set_timeout_ms(run->client, after_ms);
    bool done = resp_client_read(run->client, &reply, NULL) == ST_OK;
    server_fixture_kill(run->server);
    if (done)
        assert_int_equal(reply.kind, RESP_SIMPLE);
    (void)read_writes(run, other, WRITES);
    resp_client_close(other);
    resp_reply_deinit(&reply);
    buf_deinit(&line);
    resp_client_close(run->client);
    server_fixture_restart(run->server);
    run->client = server_fixture_connect(run->server);
    return done;
}

/* Empties database 9, and returns what was counted there: -1 for nothing. */
static int take_counter(struct run *run)
{
    assert_reply(run->client, "SELECT 9", "+OK");
    const char *reply = resp_client_ask(run->client, "GET counter");
    int counter = reply[0] == '"' ? (int)strtol(reply + 1, NULL, 10) : -1;
    assert_reply(run->client, "FLUSHDB", "+OK");
    assert_reply(run->client, "SELECT 0", "+OK");
    return counter;
}

static void check_round(struct run *run, int round, bool done)
{
    int counter = take_counter(run);
    struct state state = state_of(run->client);
    bool is_after = states_equal(&state, &run->after);
    bool is_before = states_equal(&state, &run->before);
    if (!is_after && (done || !is_before))
        fail_msg("%s, round %d, %s: holds\n%sbefore\n%safter\n%s", run->plan->reload, round,
                 done ? "done" : "killed", state.text, run->before.text, run->after.text);
    if ((is_before || !run->plan->forgets) && (counter < run->counted || counter > WRITES))
        fail_msg("%s, round %d: %d writes were answered, %d are left", run->plan->reload, round,
                 run->counted, counter);
}

/* ---- Runs. */

/* Goes to B, and the same way as the rounds to what is there after a reload. */
static void learn_states(struct run *run)
{
    fill_a(run->client);
    assert_reply(run->client, "SAVE", "+OK");
    make_b(run->client);
    run->before = state_of(run->client);
    int64_t begin_ms = harness_now_ms();
    assert_reply(run->client, run->plan->reload, "+OK");
    run->took_ms = harness_now_ms() - begin_ms;
    run->after = state_of(run->client);
    assert_int_equal(states_equal(&run->before, &run->after), run->plan->saves);
}

static void check_directory(struct run *run)
{
    const char *dir = server_fixture_dir(run->server);
    resp_client_close(run->client);
    server_fixture_stop(run->server);
    char *output = harness_make_dir();
    (void)TOOL_RUN(output, "check", dir, "--deep");
    tool_assert_printed(output, "stdout", "is sound.");
    harness_remove_dir(output);
    mem_free(output);
}

static void run_plan(const struct plan *plan)
{
    static const char *const args[] = {"--enable-debug-command", "yes",    "--maxmemory", "8mb",
                                       "--appendfsync",          "always", NULL};
    const char *seed_text = getenv("BASALT_TEST_SEED");
    uint64_t seed = seed_text != NULL ? strtoull(seed_text, NULL, 10) : (uint64_t)harness_now_ms();
    struct run run = {.plan = plan, .random = seed};
    int kills = 0;
    print_message("%s: seed %" PRIu64 "\n", plan->reload, seed);
    run.server = server_fixture_start(&(struct server_options){.args = args});
    run.client = server_fixture_connect(run.server);
    learn_states(&run);
    for (int round = 0; round < ROUNDS; round++) {
        make_b(run.client);
        struct state state = state_of(run.client);
        assert_true(states_equal(&state, &run.before));
        /* one moment of each part of the time that it takes, and a little more */
        uint32_t part_ms = (uint32_t)(run.took_ms * 6 / 5 / ROUNDS) + 1;
        int after_ms = (int)((uint32_t)round * part_ms + store_model_below(&run.random, part_ms));
        bool done = reload_and_kill(&run, after_ms);
        kills += !done;
        check_round(&run, round, done);
    }
    check_directory(&run);
    server_fixture_destroy(run.server);
    if (kills == 0)
        fail_msg("%s: each one was through before the kill", plan->reload);
}

static void a_saved_dataset_stays_the_same(void **state)
{
    (void)state;
    run_plan(&(struct plan){.reload = "DEBUG RELOAD", .saves = true});
}

static void the_file_takes_the_datasets_place_at_once(void **state)
{
    (void)state;
    run_plan(&(struct plan){.reload = "DEBUG RELOAD NOSAVE", .forgets = true});
}

static void the_file_is_merged_at_once(void **state)
{
    (void)state;
    run_plan(&(struct plan){.reload = "DEBUG RELOAD NOSAVE NOFLUSH MERGE"});
}

int main(void)
{
    if (server_fixture_program() == NULL || tool_program() == NULL) {
        (void)fprintf(stderr, "skipped: the server or the tool is missing\n");
        return EXIT_SKIPPED;
    }
#define SERVER_TEST(function) TEST_WITH(function, NULL, server_fixture_teardown)
    const struct CMUnitTest tests[] = {
        SERVER_TEST(a_saved_dataset_stays_the_same),
        SERVER_TEST(the_file_takes_the_datasets_place_at_once),
        SERVER_TEST(the_file_is_merged_at_once),
    };
    return RUN_TESTS("reload_crash", tests);
}
