/* Goal: a large sorted set has its count, order, scores and ranks after kill -9, whatever of it was
 * on disk, on its way there, or out of RAM.
 *
 * Method: pipelined batches of random changes to one set of some leaves, against a plain sorted
 * array, with DEBUG CUT and DEBUG EVICT in between; the server is killed and started again after
 * some of the batches, and the whole set is compared. With appendfsync always, what was answered is
 * there. BASALT_TEST_SEED repeats a run. */
#include "tests/support/harness.h"

#include "codec/buf.h"
#include "codec/mem.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/store_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NAMES      3000
#define SCORES     500 /* many elements have equal ones */
#define ROUNDS     6
#define BATCHES    8 /* of a round */
#define BATCH      100
#define CHUNK      500 /* elements of one ZRANGE */
#define NO_SCORE   (-1)
#define LINE_BYTES 128

struct run {
    struct server_fixture *server;
    struct resp_client *client;
    uint64_t seed, random;
    int scores[NAMES];
    uint32_t sorted[NAMES]; /* names by score and text; made by sort_model */
    uint32_t count;
};

static uint32_t below(struct run *run, uint32_t limit)
{
    return store_model_below(&run->random, limit);
}

/* ---- The model. Names have equal lengths, so that their numbers are in the order of the texts. */

static void sort_model(struct run *run)
{
    run->count = 0;
    for (int score = 0; score < SCORES; score++)
        for (uint32_t name = 0; name < NAMES; name++)
            if (run->scores[name] == score)
                run->sorted[run->count++] = name;
}

/* ---- Requests. */

static void put_line(struct buf *out, const char *line)
{
    buf_append_text(out, line);
    buf_append_text(out, "\r\n");
}

static void change(struct run *run, struct buf *out)
{
    char line[LINE_BYTES];
    uint32_t name = below(run, NAMES);
    if (below(run, 10) < 7) {
        run->scores[name] = (int)below(run, SCORES);
        (void)snprintf(line, sizeof(line), "ZADD z %d member:%05u", run->scores[name], name);
    } else {
        run->scores[name] = NO_SCORE;
        (void)snprintf(line, sizeof(line), "ZREM z member:%05u", name);
    }
    put_line(out, line);
}

static void read_reply(struct run *run, struct resp_reply *out)
{
    struct err err = {0};
    assert_ok(resp_client_read(run->client, out, &err), &err);
    assert_int_not_equal(out->kind, RESP_ERROR);
}

static void run_batch(struct run *run)
{
    struct buf out = {0};
    struct err err = {0};
    for (int i = 0; i < BATCH; i++)
        change(run, &out);
    assert_ok(resp_client_send(run->client, buf_bytes(&out), &err), &err);
    for (int i = 0; i < BATCH; i++) {
        struct resp_reply reply = {0};
        read_reply(run, &reply);
        resp_reply_deinit(&reply);
    }
    buf_deinit(&out);
}

/* Takes the first or the last elements. */
static void pop(struct run *run, bool max)
{
    char line[LINE_BYTES];
    uint32_t count = 1 + below(run, 20);
    sort_model(run);
    if (run->count < 2 * count)
        return;
    (void)snprintf(line, sizeof(line), "%s z %u", max ? "ZPOPMAX" : "ZPOPMIN", count);
    (void)resp_client_ask(run->client, line);
    for (uint32_t i = 0; i < count; i++)
        run->scores[run->sorted[max ? run->count - 1 - i : i]] = NO_SCORE;
}

/* ---- Checks. */

static void expect(struct run *run, const char *line, uint32_t expected)
{
    char text[32];
    (void)snprintf(text, sizeof(text), ":%u", expected);
    const char *reply = resp_client_ask(run->client, line);
    if (strcmp(reply, text) != 0)
        fail_msg("seed %" PRIu64 ": %s: %s, not %s", run->seed, line, reply, text);
}

static void check_chunk(struct run *run, uint32_t from)
{
    char text[LINE_BYTES];
    struct buf out = {0};
    struct err err = {0};
    struct resp_reply reply = {0};
    uint32_t count = run->count - from < CHUNK ? run->count - from : CHUNK;
    (void)snprintf(text, sizeof(text), "ZRANGE z %u %u WITHSCORES", from, from + CHUNK - 1);
    put_line(&out, text);
    assert_ok(resp_client_send(run->client, buf_bytes(&out), &err), &err);
    read_reply(run, &reply);
    assert_int_equal(reply.child_count, 2 * count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t name = run->sorted[from + i];
        (void)snprintf(text, sizeof(text), "member:%05u", name);
        assert_bytes(buf_bytes(&reply.children[2 * i].text), bytes_text(text));
        (void)snprintf(text, sizeof(text), "%d", run->scores[name]);
        assert_bytes(buf_bytes(&reply.children[2 * i + 1].text), bytes_text(text));
    }
    resp_reply_deinit(&reply);
    buf_deinit(&out);
}

static void check_all(struct run *run)
{
    char line[LINE_BYTES];
    sort_model(run);
    expect(run, "ZCARD z", run->count);
    for (int i = 0; i < 20; i++) {
        uint32_t rank = below(run, run->count);
        (void)snprintf(line, sizeof(line), "ZRANK z member:%05u", run->sorted[rank]);
        expect(run, line, rank);
        (void)snprintf(line, sizeof(line), "ZREVRANK z member:%05u", run->sorted[rank]);
        expect(run, line, run->count - 1 - rank);
    }
    for (uint32_t from = 0; from < run->count; from += CHUNK)
        check_chunk(run, from);
}

/* ---- Runs. */

static void disturb(struct run *run)
{
    switch (below(run, 6)) {
    case 0:
        resp_client_assert_reply(run->client, "DEBUG CUT", "+OK", __FILE__, __LINE__);
        break;
    case 1:
    case 2:
        resp_client_assert_reply(run->client, "DEBUG EVICT z", "+OK", __FILE__, __LINE__);
        break;
    case 3:
        pop(run, false);
        break;
    case 4:
        pop(run, true);
        break;
    default:
        break;
    }
}

static void kill_and_check(struct run *run)
{
    server_fixture_kill(run->server);
    resp_client_close(run->client);
    server_fixture_restart(run->server);
    run->client = server_fixture_connect(run->server);
    check_all(run);
}

static void run_with(const char *name, const char *value)
{
    const char *const args[] = {"--enable-debug-command",
                                "yes",
                                "--appendfsync",
                                "always",
                                "--flush-interval",
                                "20",
                                "--large-collection-threshold",
                                "1000",
                                name,
                                value,
                                NULL};
    const char *seed = getenv("BASALT_TEST_SEED");
    struct run *run = mem_calloc(1, sizeof(*run));
    run->seed = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)harness_now_ms();
    run->random = run->seed;
    for (uint32_t i = 0; i < NAMES; i++)
        run->scores[i] = NO_SCORE;
    run->server = server_fixture_start(&(struct server_options){.args = args});
    run->client = server_fixture_connect(run->server);
    print_message("seed %" PRIu64 "\n", run->seed);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < BATCHES; i++) {
            run_batch(run);
            disturb(run);
        }
        kill_and_check(run);
    }
    resp_client_close(run->client);
    server_fixture_destroy(run->server);
    mem_free(run);
}

static void killed_servers_have_the_whole_set(void **state)
{
    (void)state;
    run_with("--maxmemory", "1gb");
}

static void also_when_leaves_are_dropped(void **state)
{
    (void)state;
    run_with("--maxmemory", "64kb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(killed_servers_have_the_whole_set, NULL, server_fixture_teardown),
        TEST_WITH(also_when_leaves_are_dropped, NULL, server_fixture_teardown),
    };
    return RUN_TESTS("zset_crash", tests);
}
