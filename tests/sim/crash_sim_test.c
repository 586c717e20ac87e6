/* Goal: whatever call the process is killed at, and wherever the power fails, what was acknowledged
 * is there after the restart: all of it under `always`, a prefix of it under `everysec`, and never
 * half of a group that belongs together. Also when the start that is to make it good is killed.
 *
 * Method: lives of one server on one data directory, which the I/O shim (support/io_shim.h) ends at
 * a chosen call: each sync in turn, then random ones of all that change files. Witnesses
 * (support/witness.h) and transfers between accounts (transactions whose sum is zero) write
 * meanwhile, with cuts, new segments, evictions and cold loads all the time; then all keys are read
 * and compared.
 *
 * A failure prints its seed: BASALT_SIM_SEED=n repeats it, but for the timing of threads.
 * BASALT_SIM_SECONDS=n gives each test so much time. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "codec/mem.h"
#include "codec/number.h"
#include "tests/support/harness.h"
#include "tests/support/io_shim.h"
#include "tests/support/model.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/witness.h"

#define SECONDS_DEFAULT 8
#define WITNESSES_MAX   2
#define STEPS_MAX       300 /* of a life that the shim does not end */
#define RESTARTS_MAX    3   /* killed ones in a row */
#define ACCOUNTS        8
#define TRANSFER_PARTS  5 /* replies of a transfer */
/* A second, and what a sync that is under way takes on a disk that others load. */
#define EVERYSEC_LOSS_US 10000000

struct plan {
    const char *policy;
    int64_t loss_us_max; /* 0: nothing acknowledged may be lost */
    bool power;          /* the power fails; else the process is killed */
    bool whole;          /* one witness that empties and swaps databases too, and no transfers */
    bool always_cold;
};

/* MULTI, INCRBY, INCRBY, INCR, EXEC by one client, one after the other. */
struct transfers {
    struct resp_client *client;
    uint64_t sent, promised; /* in all */
};

struct sim {
    const struct plan *plan;
    uint64_t seed;
    uint64_t random;
    char *root; /* the data directory is in it */
    char dir[512];
    struct server_fixture *server;
    struct witness *witnesses[WITNESSES_MAX];
    size_t witness_count;
    struct transfers transfers;
    uint64_t lives, restarts_killed, requests;
};

static struct sim *current; /* for the teardown */

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static uint64_t below(struct sim *sim, uint64_t bound)
{
    uint64_t z = (sim->random += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return (z ^ (z >> 31)) % bound;
}

/* ---- Life of a simulation. */

static void sim_create(const struct plan *plan, uint64_t seed)
{
    struct sim *sim = mem_calloc(1, sizeof(*sim));
    current = sim;
    sim->plan = plan;
    sim->seed = seed;
    sim->random = seed;
    sim->root = harness_make_dir();
    (void)snprintf(sim->dir, sizeof(sim->dir), "%s/data", sim->root);
    io_shim_open(sim->root);
    io_shim_skip_syncs();
    sim->witness_count = plan->whole ? 1 : WITNESSES_MAX;
    for (size_t i = 0; i < sim->witness_count; i++) {
        char prefix[16];
        (void)snprintf(prefix, sizeof(prefix), "w%zu.", i);
        sim->witnesses[i] = witness_create(&(struct witness_options){.prefix = prefix,
                                                                     .seed = seed * 31 + i,
                                                                     .db = (uint32_t)i,
                                                                     .small_keys = 120,
                                                                     .large_keys = 2,
                                                                     .large_bytes = 40000,
                                                                     .depth = 1 + i * 7,
                                                                     .whole = plan->whole});
    }
}

static void sim_destroy(struct sim *sim)
{
    for (size_t i = 0; i < sim->witness_count; i++)
        witness_destroy(sim->witnesses[i]);
    resp_client_close(sim->transfers.client);
    server_fixture_destroy(sim->server);
    io_shim_close();
    harness_remove_dir(sim->root);
    mem_free(sim->root);
    mem_free(sim);
    current = NULL;
}

static int teardown(void **state)
{
    if (current == NULL)
        return server_fixture_teardown(state);
    print_error("failed with BASALT_SIM_SEED=%llu in life %llu\n",
                (unsigned long long)current->seed, (unsigned long long)current->lives);
    current->server = NULL;
    int result = server_fixture_teardown(state);
    sim_destroy(current);
    return result;
}

/* False if the server was ended before it was ready. Some starts make cuts only when they are asked
 * for, so that there is much to replay. */
static bool start(struct sim *sim)
{
    bool cuts = below(sim, 3) != 0;
    server_fixture_destroy(sim->server);
    sim->server = NULL;
    const char *const args[] = {"--appendfsync",
                                sim->plan->policy,
                                "--flush-interval",
                                cuts ? "20" : "3600000",
                                "--dirty-limit",
                                cuts ? "128kb" : "64mb",
                                "--maxmemory",
                                "2mb",
                                "--memtable-size",
                                "1mb",
                                "--block-cache-size",
                                "1mb",
                                "--journal-segment-size",
                                "32kb",
                                "--large-object-threshold",
                                "1kb",
                                "--enable-debug-command",
                                "yes",
                                "--debug-always-cold",
                                sim->plan->always_cold ? "yes" : "no",
                                NULL};
    enum status st = server_fixture_try_start(
        &(struct server_options){.dir = sim->dir, .args = args}, &sim->server);
    if (st == ST_OK)
        return true;
    int status = 0;
    if (!server_fixture_wait_exit(sim->server, 10000, &status) || !WIFSIGNALED(status) ||
        io_shim_hits() == 0)
        fail_msg("the server does not start");
    return false;
}

/* ---- Writing. */

static void format_account(char out[16], uint64_t number)
{
    (void)snprintf(out, 16, "t.%llu", (unsigned long long)number);
}

static void add_request(struct buf *wire, const char *name, const char *key, const char *amount)
{
    struct bytes argv[] = {bytes_text(name), bytes_text(key == NULL ? "" : key),
                           bytes_text(amount == NULL ? "" : amount)};
    resp_format_request(key == NULL ? 1 : amount == NULL ? 2 : 3, argv, wire);
}

static bool send_transfer(struct sim *sim)
{
    struct transfers *transfers = &sim->transfers;
    char from[16];
    char to[16];
    char amount[32];
    struct buf wire = {0};
    format_account(from, below(sim, ACCOUNTS));
    format_account(to, below(sim, ACCOUNTS));
    (void)snprintf(amount, sizeof(amount), "%u", (unsigned)below(sim, 1000));
    add_request(&wire, "MULTI", NULL, NULL);
    add_request(&wire, "DECRBY", from, amount);
    add_request(&wire, "INCRBY", to, amount);
    add_request(&wire, "INCR", "t.serial", NULL);
    add_request(&wire, "EXEC", NULL, NULL);
    transfers->sent++;
    bool there = resp_client_send(transfers->client, buf_bytes(&wire), NULL) == ST_OK;
    buf_deinit(&wire);
    for (int i = 0; i < TRANSFER_PARTS && there; i++) {
        struct resp_reply reply = {.kind = RESP_NIL};
        there = resp_client_read(transfers->client, &reply, NULL) == ST_OK;
        if (there)
            assert_int_not_equal(reply.kind, RESP_ERROR);
        resp_reply_deinit(&reply);
    }
    if (there)
        transfers->promised++;
    return there;
}

static bool command_storage(struct sim *sim, struct resp_client *operator)
{
    static const char *const lines[] = {"DEBUG CUT\r\n", "DEBUG EVICT ALL\r\n", "DEBUG RELOAD\r\n"};
    struct resp_reply reply = {.kind = RESP_NIL};
    bool there = resp_client_send(operator, bytes_text(lines[below(sim, 3)]), NULL) == ST_OK &&
                 resp_client_read(operator, & reply, NULL) == ST_OK;
    resp_reply_deinit(&reply);
    return there;
}

static bool step(struct sim *sim, struct resp_client *operator)
{
    for (size_t i = 0; i < sim->witness_count; i++)
        if (!witness_step(sim->witnesses[i]))
            return false;
    if (!sim->plan->whole && !send_transfer(sim))
        return false;
    return below(sim, 40) != 0 || command_storage(sim, operator);
}

/* A connection, or NULL if the server has been ended. */
static struct resp_client *try_connect(struct sim *sim)
{
    struct resp_client *client = NULL;
    return resp_client_connect(server_fixture_port(sim->server), &client, NULL) == ST_OK ? client
                                                                                         : NULL;
}

/* Writes until the shim ends the server, or has not for so many steps. */
static void write_until_killed(struct sim *sim)
{
    struct resp_client *operator= try_connect(sim);
    bool there = operator!= NULL;
    for (size_t i = 0; i < sim->witness_count; i++) {
        struct resp_client *client = try_connect(sim);
        witness_use(sim->witnesses[i], client);
        there = there && client != NULL;
    }
    resp_client_close(sim->transfers.client);
    sim->transfers.client = try_connect(sim);
    there = there && sim->transfers.client != NULL;
    for (int i = 0; i < STEPS_MAX && there; i++, sim->requests++)
        there = step(sim, operator);
    resp_client_close(operator);
}

/* ---- Verifying. */

static int64_t take_number(struct model *found, const char *key)
{
    struct model_entry entry;
    int64_t value = 0;
    if (!model_find(found, 0, bytes_text(key), &entry))
        return 0;
    assert_true(number_parse_i64(entry.value, &value));
    struct resp_reply reply;
    model_apply(found, 0, 2, (struct bytes[]){bytes_text("DEL"), bytes_text(key)}, &reply);
    resp_reply_deinit(&reply);
    return value;
}

/* Takes the transfers' keys out of what was found. */
static void settle_transfers(struct sim *sim, struct model *found)
{
    struct transfers *transfers = &sim->transfers;
    int64_t sum = 0;
    for (uint64_t i = 0; i < ACCOUNTS; i++) {
        char key[16];
        format_account(key, i);
        sum += take_number(found, key);
    }
    uint64_t kept = (uint64_t)take_number(found, "t.serial");
    if (sum != 0)
        fail_msg("half of a transaction is there: the accounts' sum is %lld", (long long)sum);
    if (kept > transfers->sent || (sim->plan->loss_us_max == 0 && kept < transfers->promised))
        fail_msg("of %llu transfers, %llu of them acknowledged, %llu are there",
                 (unsigned long long)transfers->sent, (unsigned long long)transfers->promised,
                 (unsigned long long)kept);
    transfers->sent = kept;
    transfers->promised = kept;
}

static void verify(struct sim *sim, int64_t crash_us)
{
    struct resp_client *client = server_fixture_connect(sim->server);
    struct model *found = server_read_all(client);
    assert_non_null(found);
    if (!sim->plan->whole)
        settle_transfers(sim, found);
    witnesses_settle(sim->witnesses, sim->witness_count, found, crash_us, sim->plan->loss_us_max,
                     NULL);
    model_destroy(found);
    resp_client_close(client);
}

/* ---- Lives. */

struct point {
    uint32_t ops;
    const char *part;
    uint64_t nth_max;
};

static const struct point points[] = {
    {IO_SYNC, "", 200},          {IO_SYNC, "/journal/", 100},
    {IO_SYNC, "/rocksdb/", 40},  {IO_WRITE, "/journal/", 200},
    {IO_WRITE, "/rocksdb/", 60}, {IO_OPEN | IO_RENAME | IO_UNLINK | IO_TRUNCATE, "", 60},
    {IO_CHANGES, "", 500},
};
#define POINT_COUNT (sizeof(points) / sizeof(points[0]))

static void arm(struct sim *sim, uint32_t ops, const char *part, int64_t nth)
{
    if (sim->plan->power)
        io_shim_power_off(ops, part, nth, below(sim, UINT32_MAX));
    else
        io_shim_kill(ops, part, nth, below(sim, 2) == 0 ? IO_KILL : IO_KILL_AFTER);
}

static void end_server(struct sim *sim)
{
    if (server_fixture_is_running(sim->server))
        server_fixture_kill(sim->server);
}

/* The server has been ended, or is now. Starts that are killed themselves, then one that is not. */
static void come_back(struct sim *sim)
{
    int64_t crash_us = witness_now_us();
    end_server(sim);
    for (int i = 0; i < RESTARTS_MAX && below(sim, 2) == 0; i++) {
        arm(sim, IO_CHANGES, "", 1 + (int64_t)below(sim, 60));
        bool ready = start(sim);
        end_server(sim);
        sim->restarts_killed += !ready;
    }
    io_shim_clear();
    assert_true(start(sim));
    verify(sim, crash_us);
}

static void live(struct sim *sim, uint32_t ops, const char *part, int64_t nth)
{
    sim->lives++;
    arm(sim, ops, part, nth);
    write_until_killed(sim);
    come_back(sim);
}

static void run(const struct plan *plan)
{
    uint64_t seed = number_from_environment("BASALT_SIM_SEED", (uint64_t)witness_now_us());
    int64_t until_ms = harness_now_ms() + 1000 * (int64_t)number_from_environment(
                                                     "BASALT_SIM_SECONDS", SECONDS_DEFAULT);
    sim_create(plan, seed);
    struct sim *sim = current;
    assert_true(start(sim));
    for (int64_t nth = 1; harness_now_ms() < until_ms; nth++) {
        const struct point *point = &points[below(sim, POINT_COUNT)];
        if (nth % 2 == 0) /* each sync in turn */
            live(sim, IO_SYNC, "", nth / 2);
        else
            live(sim, point->ops, point->part, 1 + (int64_t)below(sim, point->nth_max));
    }
    server_fixture_stop(sim->server); /* and once in order */
    assert_true(start(sim));
    verify(sim, witness_now_us());
    print_message("%llu lives, %llu killed starts, %llu rounds of requests\n",
                  (unsigned long long)sim->lives, (unsigned long long)sim->restarts_killed,
                  (unsigned long long)sim->requests);
    sim_destroy(sim);
}

static void nothing_acknowledged_is_lost_when_killed(void **state)
{
    (void)state;
    run(&(struct plan){.policy = "always"});
}

static void nothing_acknowledged_is_lost_when_the_power_fails(void **state)
{
    (void)state;
    run(&(struct plan){.policy = "always", .power = true});
}

static void prefix_survives_the_power_with_everysec(void **state)
{
    (void)state;
    run(&(struct plan){.policy = "everysec", .loss_us_max = EVERYSEC_LOSS_US, .power = true});
}

static void databases_emptied_and_exchanged_survive_the_power_as_a_prefix(void **state)
{
    (void)state;
    run(&(struct plan){
        .policy = "everysec", .loss_us_max = EVERYSEC_LOSS_US, .power = true, .whole = true});
}

static void nothing_acknowledged_is_lost_when_killed_while_every_object_is_demoted(void **state)
{
    (void)state;
    run(&(struct plan){.policy = "always", .whole = true, .always_cold = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(nothing_acknowledged_is_lost_when_killed, NULL, teardown),
        TEST_WITH(nothing_acknowledged_is_lost_when_the_power_fails, NULL, teardown),
        TEST_WITH(prefix_survives_the_power_with_everysec, NULL, teardown),
        TEST_WITH(databases_emptied_and_exchanged_survive_the_power_as_a_prefix, NULL, teardown),
        TEST_WITH(nothing_acknowledged_is_lost_when_killed_while_every_object_is_demoted, NULL,
                  teardown),
    };
    return RUN_TESTS("crash_sim", tests);
}
