/* Goal: a transaction is done whole or not at all, whatever happens to the server, and needs its
 * cold keys only once.
 *
 * Method: clients move money between accounts and count their transfers in the same transaction,
 * some by relative changes, some by what they have read under WATCH; the server is killed again and
 * again. The sum must stay, and each client's count be what it was told, or that plus the transfer
 * that it had not been told of. Beside that, single cases: what the journal holds, groups that are
 * cut off, disks that cannot be read or written. */
#include <errno.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "storage/env.h"
#include "storage/journal.h"
#include "tests/support/harness.h"
#include "tests/support/io_shim.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#define ACCOUNTS          48
#define START_BALANCE     1000
#define CLIENTS           6
#define ROUNDS_DEFAULT    3
#define KILL_AFTER_MS_MIN 50
#define KILL_AFTER_MS_MAX 500
#define EVICT_EVERY       64 /* turns */
#define LINE_BYTES        256

static char *shim_dir;

static int teardown(void **state)
{
    (void)server_fixture_teardown(state);
    if (shim_dir != NULL) {
        io_shim_close();
        harness_remove_dir(shim_dir);
        mem_free(shim_dir);
        shim_dir = NULL;
    }
    return 0;
}

/* ---- Transfers. */

struct mover {
    struct resp_client *client;
    bool watches;
    uint64_t promised; /* transfers that the server has confirmed */
    bool in_flight;    /* one was sent and not answered */
    unsigned from, to, amount;
};

struct bank {
    struct server_fixture *server;
    struct resp_client *operator; /* cuts and demotes now and then */
    struct mover movers[CLIENTS];
    uint64_t given_up; /* because a watched key had changed */
    unsigned seed;
};

/* Accounts are spread over two databases. */
static unsigned db_of(unsigned account)
{
    return account % 2;
}

static bool send_text(struct resp_client *client, struct buf *lines)
{
    bool there = resp_client_send(client, buf_bytes(lines), NULL) == ST_OK;
    buf_deinit(lines);
    return there;
}

/* Reads `count` replies and keeps the last one. */
static bool read_replies(struct resp_client *client, int count, struct resp_reply *last)
{
    for (int i = 0; i < count; i++) {
        resp_reply_deinit(last);
        if (resp_client_read(client, last, NULL) != ST_OK)
            return false;
    }
    return true;
}

static bool send_group(struct mover *mover, size_t self, const char *take, const char *give)
{
    struct buf lines = {0};
    buf_append_format(&lines, "MULTI\r\nSELECT %u\r\n%s\r\nSELECT %u\r\n%s\r\n", db_of(mover->from),
                      take, db_of(mover->to), give);
    buf_append_format(&lines, "SELECT 0\r\nINCR count.%zu\r\nEXEC\r\n", self);
    mover->in_flight = true;
    return send_text(mover->client, &lines);
}

static bool send_relative(struct mover *mover, size_t self)
{
    char take[64], give[64];
    (void)snprintf(take, sizeof(take), "DECRBY a.%u %u", mover->from, mover->amount);
    (void)snprintf(give, sizeof(give), "INCRBY a.%u %u", mover->to, mover->amount);
    return send_group(mover, self, take, give);
}

static bool send_look(struct mover *mover)
{
    struct buf lines = {0};
    buf_append_format(&lines, "SELECT %u\r\nWATCH a.%u\r\nGET a.%u\r\n", db_of(mover->from),
                      mover->from, mover->from);
    buf_append_format(&lines, "SELECT %u\r\nWATCH a.%u\r\nGET a.%u\r\n", db_of(mover->to),
                      mover->to, mover->to);
    return send_text(mover->client, &lines);
}

static bool read_balance(struct mover *mover, long long *out)
{
    struct resp_reply reply = {.kind = RESP_NIL};
    bool there = read_replies(mover->client, 3, &reply);
    if (there) {
        assert_int_equal(reply.kind, RESP_BULK);
        buf_append_byte(&reply.text, '\0');
        *out = strtoll((const char *)reply.text.data, NULL, 10);
    }
    resp_reply_deinit(&reply);
    return there;
}

/* Writes what it has seen, changed by the amount: right only if nobody else has changed it. */
static bool send_absolute(struct mover *mover, size_t self)
{
    long long from, to;
    char take[64], give[64];
    if (!read_balance(mover, &from) || !read_balance(mover, &to))
        return false;
    (void)snprintf(take, sizeof(take), "SET a.%u %lld", mover->from, from - mover->amount);
    (void)snprintf(give, sizeof(give), "SET a.%u %lld", mover->to, to + mover->amount);
    return send_group(mover, self, take, give);
}

static bool read_outcome(struct bank *bank, struct mover *mover)
{
    struct resp_reply reply = {.kind = RESP_NIL};
    bool there = read_replies(mover->client, 8, &reply);
    if (there) {
        mover->in_flight = false;
        if (reply.kind == RESP_NIL_ARRAY) {
            assert_true(mover->watches);
            bank->given_up++;
        } else {
            assert_int_equal(reply.kind, RESP_ARRAY);
            assert_int_equal(reply.child_count, 6);
            mover->promised++;
        }
    }
    resp_reply_deinit(&reply);
    return there;
}

/* All look before any writes, so that they get into each other's way. */
static bool take_turn(struct bank *bank)
{
    bool there = true;
    for (size_t i = 0; i < CLIENTS; i++) {
        struct mover *mover = &bank->movers[i];
        mover->from = (unsigned)rand_r(&bank->seed) % ACCOUNTS;
        mover->to = (mover->from + 1 + (unsigned)rand_r(&bank->seed) % (ACCOUNTS - 1)) % ACCOUNTS;
        mover->amount = (unsigned)rand_r(&bank->seed) % 100;
        there = there && (!mover->watches || send_look(mover));
    }
    for (size_t i = 0; i < CLIENTS && there; i++) {
        struct mover *mover = &bank->movers[i];
        there = mover->watches ? send_absolute(mover, i) : send_relative(mover, i);
    }
    for (size_t i = 0; i < CLIENTS && there; i++)
        there = read_outcome(bank, &bank->movers[i]);
    if (there && rand_r(&bank->seed) % EVICT_EVERY == 0) {
        struct resp_reply reply = {.kind = RESP_NIL};
        struct buf line = {0};
        buf_append_text(&line, "DEBUG EVICT ALL\r\n");
        there = send_text(bank->operator, & line) && read_replies(bank->operator, 1, &reply);
        resp_reply_deinit(&reply);
    }
    return there;
}

/* GET of a key named `prefix` and a number. */
static long long get_number(struct resp_client *client, const char *prefix, size_t number)
{
    char line[64];
    (void)snprintf(line, sizeof(line), "GET %s.%zu", prefix, number);
    const char *answer = resp_client_ask(client, line);
    return strcmp(answer, "nil") == 0 ? 0 : strtoll(answer + 1, NULL, 10); /* "12" */
}

/* The sum is what it was, and no promise was broken. */
static void audit(struct bank *bank)
{
    struct resp_client *client = server_fixture_connect(bank->server);
    long long sum = 0;
    for (unsigned db = 0; db < 2; db++) {
        assert_reply(client, db == 0 ? "SELECT 0" : "SELECT 1", "+OK");
        for (unsigned account = db; account < ACCOUNTS; account += 2)
            sum += get_number(client, "a", account);
    }
    assert_int_equal(sum, ACCOUNTS * START_BALANCE);
    assert_reply(client, "SELECT 0", "+OK");
    for (size_t i = 0; i < CLIENTS; i++) {
        struct mover *mover = &bank->movers[i];
        uint64_t count = (uint64_t)get_number(client, "count", i);
        if (count != mover->promised && (!mover->in_flight || count != mover->promised + 1))
            fail_msg("client %zu was told of %llu transfers (%s), the server counts %llu", i,
                     (unsigned long long)mover->promised,
                     mover->in_flight ? "one more was sent" : "no more was sent",
                     (unsigned long long)count);
        mover->promised = count;
        mover->in_flight = false;
    }
    resp_client_close(client);
}

static void connect_all(struct bank *bank)
{
    bank->operator= server_fixture_connect(bank->server);
    for (size_t i = 0; i < CLIENTS; i++)
        bank->movers[i].client = server_fixture_connect(bank->server);
}

static void disconnect_all(struct bank *bank)
{
    resp_client_close(bank->operator);
    for (size_t i = 0; i < CLIENTS; i++)
        resp_client_close(bank->movers[i].client);
}

/* ---- The killer. */

struct killer {
    pthread_t thread;
    pid_t pid;
    long after_ms;
};

static void *run_killer(void *arg)
{
    const struct killer *killer = arg;
    struct timespec span = {.tv_nsec = killer->after_ms * 1000000};
    (void)nanosleep(&span, NULL);
    (void)kill(killer->pid, SIGKILL);
    return NULL;
}

static void move_until_killed(struct bank *bank)
{
    struct killer killer = {.pid = server_fixture_pid(bank->server),
                            .after_ms =
                                KILL_AFTER_MS_MIN +
                                rand_r(&bank->seed) % (KILL_AFTER_MS_MAX - KILL_AFTER_MS_MIN)};
    assert_int_equal(pthread_create(&killer.thread, NULL, run_killer, &killer), 0);
    while (take_turn(bank))
        ;
    assert_int_equal(pthread_join(killer.thread, NULL), 0);
    server_fixture_kill(bank->server);
}

static size_t rounds_wanted(void)
{
    const char *text = getenv("BASALT_CRASH_ROUNDS");
    return text == NULL ? ROUNDS_DEFAULT : strtoul(text, NULL, 10);
}

static unsigned seed_wanted(void)
{
    const char *text = getenv("BASALT_CRASH_SEED");
    return text == NULL ? (unsigned)harness_now_ms() : (unsigned)strtoul(text, NULL, 10);
}

static void open_accounts(struct bank *bank)
{
    struct resp_client *client = server_fixture_connect(bank->server);
    for (unsigned account = 0; account < ACCOUNTS; account++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "SELECT %u", db_of(account));
        assert_reply(client, line, "+OK");
        (void)snprintf(line, sizeof(line), "SET a.%u %d", account, START_BALANCE);
        assert_reply(client, line, "+OK");
    }
    resp_client_close(client);
}

static void move_money(const char *always_cold)
{
    struct bank bank = {.seed = seed_wanted()};
    print_message("seed %u\n", bank.seed);
    for (size_t i = 0; i < CLIENTS; i++)
        bank.movers[i].watches = i % 2 == 0;
    bank.server = server_fixture_start(&(struct server_options){
        .args = (const char *const[]){"--appendfsync", "always", "--flush-interval", "50",
                                      "--journal-segment-size", "64kb", "--enable-debug-command",
                                      "yes", "--debug-always-cold", always_cold, NULL}});
    open_accounts(&bank);
    for (size_t round = rounds_wanted(); round > 0; round--) {
        connect_all(&bank);
        move_until_killed(&bank);
        disconnect_all(&bank);
        server_fixture_restart(bank.server);
        audit(&bank);
    }
    uint64_t promised = 0;
    for (size_t i = 0; i < CLIENTS; i++)
        promised += bank.movers[i].promised;
    print_message("%llu transfers, %llu given up\n", (unsigned long long)promised,
                  (unsigned long long)bank.given_up);
    assert_true(promised > 0);
    server_fixture_destroy(bank.server);
}

static void money_is_neither_made_nor_lost_by_a_kill(void **state)
{
    (void)state;
    move_money("no");
}

static void money_is_neither_made_nor_lost_while_every_object_is_demoted_at_once(void **state)
{
    (void)state;
    move_money("yes");
}

/* ---- Cold keys. */

static long long read_info(struct resp_client *client, const char *field)
{
    const char *place = strstr(resp_client_ask(client, "INFO everything"), field);
    assert_non_null(place);
    return strtoll(place + strlen(field) + 1, NULL, 10);
}

static void a_transaction_waits_once_for_all_of_its_cold_keys(void **state)
{
    (void)state;
    struct server_fixture *server = server_fixture_start(&(struct server_options){
        .args = (const char *const[]){"--enable-debug-command", "yes", "--debug-always-cold", "yes",
                                      "--large-object-threshold", "64kb", NULL}});
    struct resp_client *client = server_fixture_connect(server);
    for (int i = 0; i < 100; i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "SET k.%d %d", i, i);
        assert_reply(client, line, "+OK");
    }
    assert_reply(client, "SETRANGE large 299999 x", ":300000");
    assert_reply(client, "SELECT 4", "+OK");
    assert_reply(client, "SET other 1", "+OK");
    assert_reply(client, "SELECT 0", "+OK");
    long long waited = read_info(client, "requests_waited_for_disk");
    assert_reply(client, "MULTI", "+OK");
    for (int i = 0; i < 100; i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), i % 2 == 0 ? "INCR k.%d" : "GET k.%d", i);
        assert_reply(client, line, "+QUEUED");
    }
    assert_reply(client, "GETRANGE large 299999 -1", "+QUEUED");
    assert_reply(client, "MOVE k.7 4", "+QUEUED");
    assert_reply(client, "SELECT 4", "+QUEUED");
    assert_reply(client, "INCR other", "+QUEUED");
    assert_reply(client, "EXEC", "[:1 \"1\" :3 ...]");
    assert_int_equal(read_info(client, "cold_loads_synchronous"), 0);
    /* once for records, and once for the large one's pieces */
    assert_in_range(read_info(client, "requests_waited_for_disk") - waited, 1, 2);
    assert_reply(client, "MGET other k.7", "[\"2\" \"7\"]");
    resp_client_close(client);
    server_fixture_destroy(server);
}

static void a_transaction_whose_keys_cannot_be_read_changes_nothing(void **state)
{
    (void)state;
    shim_dir = harness_make_dir();
    io_shim_open(shim_dir);
    struct server_fixture *server = server_fixture_start(
        &(struct server_options){.dir = shim_dir,
                                 .args = (const char *const[]){"--enable-debug-command", "yes",
                                                               "--block-cache-size", "1mb", NULL}});
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "SET warm 1", "+OK");
    assert_reply(client, "SET cold 1", "+OK");
    assert_reply(client, "DEBUG CUT", "+OK");
    assert_reply(client, "DEBUG EVICT cold", "+OK");
    assert_reply(client, "MULTI", "+OK");
    assert_reply(client, "INCR warm", "+QUEUED");
    assert_reply(client, "INCR cold", "+QUEUED");
    io_shim_fail(IO_READ, "/rocksdb/", EIO);
    assert_reply(client, "EXEC", "-/EXECABORT Transaction discarded because of: IOERR .*/");
    io_shim_clear();
    assert_reply(client, "EXEC", "-ERR EXEC without MULTI");
    assert_reply(client, "MGET warm cold", "[\"1\" \"1\"]");
    resp_client_close(client);
    server_fixture_destroy(server);
}

/* ---- The journal. */

static void what_cannot_be_journaled_is_refused_as_a_whole(void **state)
{
    (void)state;
    shim_dir = harness_make_dir();
    io_shim_open(shim_dir);
    struct server_fixture *server = server_fixture_start(&(struct server_options){
        .dir = shim_dir, .args = (const char *const[]){"--appendfsync", "always", NULL}});
    struct resp_client *writer = server_fixture_connect(server);
    struct resp_client *reader = server_fixture_connect(server);
    struct resp_client *victim = server_fixture_connect(server);
    assert_reply(writer, "SET k 1", "+OK");
    assert_reply(writer, "MULTI", "+OK");
    assert_reply(writer, "GET k", "+QUEUED");
    assert_reply(writer, "INCR k", "+QUEUED");
    io_shim_fail(IO_CHANGES, "/journal/", ENOSPC);
    assert_ok(resp_client_send(victim, bytes_text("SET probe 1\r\n"), NULL), NULL);
    int64_t deadline_ms = harness_now_ms() + RESP_CLIENT_TIMEOUT_MS;
    while (strstr(resp_client_ask(reader, "INFO everything"), "journal_status:err") == NULL)
        assert_true(harness_now_ms() < deadline_ms);
    assert_reply(writer, "EXEC", "-/EXECABORT Transaction discarded because of: MISCONF .*/");
    assert_reply(writer, "EXEC", "-ERR EXEC without MULTI");
    assert_reply(reader, "MULTI", "+OK");
    assert_reply(reader, "GET k", "+QUEUED");
    assert_reply(reader, "EXEC", "[\"1\"]");
    assert_reply(reader, "MULTI", "+OK");
    assert_reply(reader, "INCR k", "-/MISCONF .*/");
    assert_reply(reader, "EXEC", "-EXECABORT Transaction discarded because of previous errors.");
    io_shim_clear();
    assert_string_equal(resp_client_next(victim), "+OK");
    assert_reply(reader, "GET k", "\"1\"");
    resp_client_close(victim);
    resp_client_close(reader);
    resp_client_close(writer);
    server_fixture_destroy(server);
}

/* Appends all files of a server's journal. */
static void read_journal(const struct server_fixture *server, struct buf *out)
{
    char pattern[512];
    glob_t found;
    (void)snprintf(pattern, sizeof(pattern), "%s/journal/*", server_fixture_dir(server));
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *file = fopen(found.gl_pathv[i], "rb");
        assert_non_null(file);
        size_t count;
        do {
            count = fread(buf_reserve(out, 65536), 1, 65536, file);
            out->len += count;
        } while (count != 0);
        (void)fclose(file);
    }
    globfree(&found);
}

static void assert_journal_has(const struct buf *journal, const char *expected)
{
    if (memmem(journal->data, journal->len, expected, strlen(expected)) != NULL)
        return;
    struct buf text = {0};
    resp_render_quoted(bytes_text(expected), &text);
    buf_append_text(&text, " is not in ");
    resp_render_quoted(buf_bytes(journal), &text);
    fail_msg("%.*s", (int)text.len, (const char *)text.data);
}

static void a_transaction_is_one_group_in_the_journal(void **state)
{
    (void)state;
    struct server_fixture *server = server_fixture_start(
        &(struct server_options){.args = (const char *const[]){"--appendfsync", "no", NULL}});
    struct resp_client *client = server_fixture_connect(server);
    static const char *const transactions[][8] = {
        {"SET one 1", "GET one"}, /* one change needs no group */
        {"GET one", "GETRANGE one 0 1"},
        {"INCRBYFLOAT one 0.5", "SELECT 2", "SET two 2", "NOSUCH" /* never queued */},
        {"GETSET one 3", "SELECT 2", "APPEND two x", "GET two", "SELECT 0", "DEL one none"},
    };
    for (size_t i = 0; i < sizeof(transactions) / sizeof(*transactions); i++) {
        assert_reply(client, "MULTI", "+OK");
        for (size_t j = 0; j < 8 && transactions[i][j] != NULL; j++)
            (void)resp_client_ask(client, transactions[i][j]);
        (void)resp_client_ask(client, "EXEC");
    }
    resp_client_close(client);
    server_fixture_stop(server);
    struct buf journal = {0};
    read_journal(server, &journal);
    assert_journal_has(&journal, "\r\n0\r\n*3\r\n$3\r\nSET\r\n$3\r\none\r\n$1\r\n1\r\nBJB1");
    assert_journal_has(&journal,
                       "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$3\r\none\r\n$1\r\n3\r\n"
                       "*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n*3\r\n$6\r\nAPPEND\r\n$3\r\ntwo\r\n$1\r\nx"
                       "\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nDEL\r\n$3\r\none\r\n$4\r\n"
                       "none\r\n*1\r\n$4\r\nEXEC\r\nBJB1");
    buf_deinit(&journal);
    server_fixture_restart(server);
    client = server_fixture_connect(server);
    assert_reply(client, "EXISTS one", ":0");
    assert_reply(client, "SELECT 2", "+OK");
    assert_reply(client, "GET two", "\"x\"");
    resp_client_close(client);
    server_fixture_destroy(server);
}

static void a_group_that_its_block_cuts_off_is_dropped(void **state)
{
    (void)state;
    char *dir = harness_make_dir();
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/journal", dir);
    struct journal *journal = NULL;
    struct err err;
    struct journal_options options = {
        .env = env_posix(), .dir = path, .fsync = JOURNAL_FSYNC_ALWAYS};
    assert_ok(journal_open(&options, &journal, &err), &err);
    static const char *const blocks[] = {
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na"
        "\r\n*2\r\n$4\r\nINCR\r\n$1\r\nb\r\n",
        "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"
        "*2\r\n$4\r\nINCR\r\n$1\r\nc\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*1\r\n$4\r\nEXEC\r\n"
        "*2\r\n$4\r\nINCR\r\n$1\r\nd\r\n",
    };
    for (size_t i = 0; i < 2; i++) {
        journal_stage_bytes(journal, 0, bytes_text(blocks[i]));
        journal_submit(journal);
    }
    journal_close(journal);
    struct server_fixture *server = server_fixture_start(&(struct server_options){.dir = dir});
    assert_true(server_fixture_wait_log(server, "an incomplete transaction of 2 commands", 1000));
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "MGET a b d", "[\"2\" nil \"1\"]");
    assert_reply(client, "SELECT 3", "+OK");
    assert_reply(client, "GET c", "\"1\"");
    resp_client_close(client);
    server_fixture_destroy(server);
    harness_remove_dir(dir);
    mem_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(money_is_neither_made_nor_lost_by_a_kill, NULL, teardown),
        TEST_WITH(money_is_neither_made_nor_lost_while_every_object_is_demoted_at_once, NULL,
                  teardown),
        TEST_WITH(a_transaction_waits_once_for_all_of_its_cold_keys, NULL, teardown),
        TEST_WITH(a_transaction_whose_keys_cannot_be_read_changes_nothing, NULL, teardown),
        TEST_WITH(what_cannot_be_journaled_is_refused_as_a_whole, NULL, teardown),
        TEST_WITH(a_transaction_is_one_group_in_the_journal, NULL, teardown),
        TEST_WITH(a_group_that_its_block_cuts_off_is_dropped, NULL, teardown),
    };
    return RUN_TESTS("transaction", tests);
}
