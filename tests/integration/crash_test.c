/* Goal: what was acknowledged outlives kill -9.
 *
 * Method: rounds on one data directory. In each, witnesses (support/witness.h) write while a thread
 * waits for a random moment and kills the server; it is started again, all of its keys are read,
 * and each witness looks for that state among those that it has seen. Settings are small, so that
 * cuts, new segments, evictions and cold loads happen all the time.
 *
 * BASALT_CRASH_ROUNDS sets the number of rounds of each test, BASALT_CRASH_SEED the seed. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/model.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/witness.h"

#define ROUNDS_DEFAULT    3
#define WITNESSES_MAX     8
#define KILL_AFTER_US_MIN 50000
#define KILL_AFTER_US_MAX 700000
/* Milliseconds are promised; the rest is for write() on a disk, and threads on a machine, that
 * others load. */
#define EVERYSEC_LOSS_US 3000000
#define CUT_EVERY        400 /* steps between forced cuts, on the average */

static size_t rounds_wanted(void)
{
    const char *text = getenv("BASALT_CRASH_ROUNDS");
    return text == NULL ? ROUNDS_DEFAULT : strtoul(text, NULL, 10);
}

static uint64_t seed_wanted(void)
{
    const char *text = getenv("BASALT_CRASH_SEED");
    return text == NULL ? (uint64_t)witness_now_us() : strtoull(text, NULL, 10);
}

/* --- the killer --- */

struct killer {
    pthread_t thread;
    pid_t pid;
    int64_t after_us;
    int64_t killed_us; /* when */
};

static void *run_killer(void *arg)
{
    struct killer *killer = arg;
    struct timespec span = {.tv_sec = killer->after_us / 1000000,
                            .tv_nsec = killer->after_us % 1000000 * 1000};
    (void)nanosleep(&span, NULL);
    killer->killed_us = witness_now_us();
    (void)kill(killer->pid, SIGKILL);
    return NULL;
}

static void killer_start(struct killer *killer, pid_t pid, int64_t after_us)
{
    *killer = (struct killer){.pid = pid, .after_us = after_us};
    assert_int_equal(pthread_create(&killer->thread, NULL, run_killer, killer), 0);
}

static void killer_join(struct killer *killer)
{
    assert_int_equal(pthread_join(killer->thread, NULL), 0);
}

/* --- one test: rounds of one kind --- */

struct plan {
    const char *policy;
    size_t witnesses;
    size_t depth;        /* requests without a reply, per witness */
    int64_t loss_us_max; /* 0: nothing acknowledged may be lost */
    bool whole;          /* one witness that empties and swaps databases too */
    bool always_cold;
};

struct trial {
    const struct plan *plan;
    struct server_fixture *server;
    struct witness *witnesses[WITNESSES_MAX];
    unsigned seed;
};

static struct trial *trial_create(const struct plan *plan)
{
    struct trial *trial = mem_calloc(1, sizeof(*trial));
    uint64_t seed = seed_wanted();
    trial->plan = plan;
    trial->seed = (unsigned)seed;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (size_t i = 0; i < plan->witnesses; i++) {
        char prefix[16];
        (void)snprintf(prefix, sizeof(prefix), "w%zu.", i);
        struct witness_options options = {.prefix = prefix,
                                          .seed = seed * 31 + i,
                                          .db = (uint32_t)(i % 3),
                                          .small_keys = 1500,
                                          .large_keys = i % 2 == 0 ? 4 : 0,
                                          .depth = plan->depth,
                                          .whole = plan->whole};
        trial->witnesses[i] = witness_create(&options);
    }
    trial->server = server_fixture_start(&(struct server_options){
        .args = (const char *const[]){
            "--appendfsync", plan->policy, "--flush-interval", "50", "--dirty-limit", "1mb",
            "--maxmemory", "8mb", "--journal-segment-size", "64kb", "--enable-debug-command", "yes",
            "--debug-always-cold", plan->always_cold ? "yes" : "no", NULL}});
    return trial;
}

static void trial_destroy(struct trial *trial)
{
    for (size_t i = 0; i < trial->plan->witnesses; i++)
        witness_destroy(trial->witnesses[i]);
    server_fixture_destroy(trial->server);
    mem_free(trial);
}

/* Each witness sends, then each receives, until the server is gone. */
static void write_until_killed(struct trial *trial)
{
    size_t count = trial->plan->witnesses;
    struct resp_client *operator= server_fixture_connect(trial->server);
    bool there = true;
    while (there) {
        for (size_t i = 0; i < count && there; i++)
            while (there && witness_in_flight(trial->witnesses[i]) < trial->plan->depth)
                there = witness_send(trial->witnesses[i]);
        for (size_t i = 0; i < count && there; i++)
            if (trial->plan->depth == 1 || rand_r(&trial->seed) % 4 != 0)
                there = witness_receive(trial->witnesses[i]);
        struct resp_reply reply = {.kind = RESP_NIL};
        if (there && rand_r(&trial->seed) % CUT_EVERY == 0) {
            bool evict = rand_r(&trial->seed) % 2 == 0;
            const char *line = evict ? "DEBUG EVICT ALL\r\n" : "DEBUG CUT\r\n";
            there = resp_client_send(operator, bytes_text(line), NULL) == ST_OK &&
                    resp_client_read(operator, & reply, NULL) == ST_OK;
        }
        resp_reply_deinit(&reply);
    }
    resp_client_close(operator);
}

static void verify(struct trial *trial, size_t round, const struct killer *killer)
{
    struct resp_client *client = server_fixture_connect(trial->server);
    struct model *found = server_read_all(client);
    assert_non_null(found);
    struct witness_verdict sum;
    witnesses_settle(trial->witnesses, trial->plan->witnesses, found, killer->killed_us,
                     trial->plan->loss_us_max, &sum);
    print_message("round %zu: killed after %lld ms: %llu requests, %llu acknowledged, %llu kept, "
                  "%zu keys, lost at most %.3f ms\n",
                  round, (long long)killer->after_us / 1000, (unsigned long long)sum.sent,
                  (unsigned long long)sum.promised, (unsigned long long)sum.kept,
                  model_count_all(found), (double)sum.lost_us / 1000);
    model_destroy(found);
    resp_client_close(client);
}

static void run_rounds(const struct plan *plan)
{
    struct trial *trial = trial_create(plan);
    size_t rounds = rounds_wanted();
    for (size_t round = 1; round <= rounds; round++) {
        for (size_t i = 0; i < plan->witnesses; i++)
            witness_use(trial->witnesses[i], server_fixture_connect(trial->server));
        struct killer killer;
        int64_t span = KILL_AFTER_US_MAX - KILL_AFTER_US_MIN;
        killer_start(&killer, server_fixture_pid(trial->server),
                     KILL_AFTER_US_MIN + rand_r(&trial->seed) % span);
        write_until_killed(trial);
        killer_join(&killer);
        server_fixture_kill(trial->server);
        server_fixture_restart(trial->server);
        verify(trial, round, &killer);
    }
    server_fixture_stop(trial->server); /* and once in order */
    server_fixture_restart(trial->server);
    struct killer none = {.killed_us = witness_now_us()};
    verify(trial, 0, &none);
    trial_destroy(trial);
}

static void no_acknowledged_write_is_lost_with_appendfsync_always(void **state)
{
    (void)state;
    run_rounds(&(struct plan){.policy = "always", .witnesses = 8, .depth = 1});
}

static void no_acknowledged_write_of_a_pipeline_is_lost_with_appendfsync_always(void **state)
{
    (void)state;
    run_rounds(&(struct plan){.policy = "always", .witnesses = 4, .depth = 16});
}

static void a_prefix_of_history_survives_with_appendfsync_everysec(void **state)
{
    (void)state;
    run_rounds(&(struct plan){
        .policy = "everysec", .witnesses = 8, .depth = 16, .loss_us_max = EVERYSEC_LOSS_US});
}

static void one_clients_history_over_all_databases_survives_as_a_prefix(void **state)
{
    (void)state;
    run_rounds(&(struct plan){.policy = "everysec",
                              .witnesses = 1,
                              .depth = 8,
                              .loss_us_max = EVERYSEC_LOSS_US,
                              .whole = true});
}

static void histories_survive_while_every_object_is_demoted_at_once(void **state)
{
    (void)state;
    run_rounds(&(struct plan){.policy = "everysec",
                              .witnesses = 2,
                              .depth = 1,
                              .loss_us_max = EVERYSEC_LOSS_US,
                              .always_cold = true});
}

static void deadlines_set_by_relative_times_do_not_move(void **state)
{
    (void)state;
    struct server_fixture *server = server_fixture_start(
        &(struct server_options){.args = (const char *const[]){"--appendfsync", "always", NULL}});
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "SET a 1 EX 100000", "+OK");
    assert_reply(client, "SET b 1", "+OK");
    assert_reply(client, "PEXPIRE b 100000000", ":1");
    assert_reply(client, "SETEX c 100000 1", "+OK");
    char before[3][32];
    const char *const asks[] = {"PEXPIRETIME a", "PEXPIRETIME b", "PEXPIRETIME c"};
    for (int i = 0; i < 3; i++)
        (void)snprintf(before[i], sizeof(before[i]), "%s", resp_client_ask(client, asks[i]));
    resp_client_close(client);
    server_fixture_kill(server);
    server_fixture_restart(server);
    client = server_fixture_connect(server);
    for (int i = 0; i < 3; i++)
        assert_reply(client, asks[i], before[i]);
    resp_client_close(client);
    server_fixture_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(no_acknowledged_write_is_lost_with_appendfsync_always, NULL,
                  server_fixture_teardown),
        TEST_WITH(no_acknowledged_write_of_a_pipeline_is_lost_with_appendfsync_always, NULL,
                  server_fixture_teardown),
        TEST_WITH(a_prefix_of_history_survives_with_appendfsync_everysec, NULL,
                  server_fixture_teardown),
        TEST_WITH(one_clients_history_over_all_databases_survives_as_a_prefix, NULL,
                  server_fixture_teardown),
        TEST_WITH(histories_survive_while_every_object_is_demoted_at_once, NULL,
                  server_fixture_teardown),
        TEST_WITH(deadlines_set_by_relative_times_do_not_move, NULL, server_fixture_teardown),
    };
    return RUN_TESTS("crash", tests);
}
