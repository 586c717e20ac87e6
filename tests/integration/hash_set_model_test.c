/* Goal: sets and hashes are what arrays would be, whether they are in RAM, in part or on disk only,
 * through cuts, demotions, kills and restarts, and whichever way they are held.
 *
 * Method: random commands on a few keys against plain arrays, with thresholds so small that every
 * holding and every step between them occurs, and with DEBUG CUT and DEBUG EVICT in between. At the
 * end, and after each restart, everything is listed. BASALT_TEST_SEED and BASALT_TEST_STEPS change
 * what is done; a failure prints its seed. */
#include "tests/support/harness.h"

#include "codec/buf.h"
#include "codec/mem.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/store_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define KEYS          3
#define NAMES         120
#define STEPS_DEFAULT 1500
#define ARGS_MAX      64
#define NO_DEADLINE   ((int64_t)-1)
#define FAR_MS        INT64_C(33177117420000) /* a deadline that does not come */
#define GONE_MS_MAX   20000

struct hash_model {
    bool there[NAMES];
    int value[NAMES];
    int64_t deadline_ms[NAMES];
};

struct run {
    struct server_fixture *server;
    struct resp_client *client;
    uint64_t seed, random;
    bool sets[KEYS][NAMES];
    struct hash_model hashes[KEYS];
    struct bytes args[ARGS_MAX];
    char texts[ARGS_MAX][256];
    size_t arg_count;
    struct resp_reply reply;
};

static uint32_t below(struct run *run, uint32_t limit)
{
    return store_model_below(&run->random, limit);
}

/* ---- Requests. */

static size_t name_of(uint32_t index, char out[256])
{
    if (index % 5 == 0)
        return (size_t)snprintf(out, 256, "%u", index * 1000);
    if (index % 17 == 0)
        return (size_t)snprintf(out, 256, "%0200u", index);
    return (size_t)snprintf(out, 256, "member:%u", index);
}

static void arg_format(struct run *run, const char *format, long long value)
{
    assert_true(run->arg_count < ARGS_MAX);
    char *text = run->texts[run->arg_count];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int len = snprintf(text, 256, format, value);
#pragma GCC diagnostic pop
    run->args[run->arg_count++] = bytes_make(text, (size_t)len);
}

static void arg_name(struct run *run, uint32_t index)
{
    assert_true(run->arg_count < ARGS_MAX);
    char *text = run->texts[run->arg_count];
    run->args[run->arg_count++] = bytes_make(text, name_of(index, text));
}

static void begin(struct run *run, const char *command, const char *key_format, uint32_t key)
{
    run->arg_count = 0;
    arg_format(run, command, 0);
    if (key_format != NULL)
        arg_format(run, key_format, key);
}

static void send_request(struct run *run)
{
    struct buf request = {0};
    struct err err = {0};
    resp_format_request(run->arg_count, run->args, &request);
    assert_ok(resp_client_send(run->client, buf_bytes(&request), &err), &err);
    buf_deinit(&request);
    resp_reply_deinit(&run->reply);
    assert_ok(resp_client_read(run->client, &run->reply, &err), &err);
}

static void fail_here(struct run *run, const char *what)
{
    struct buf text = {0};
    for (size_t i = 0; i < run->arg_count; i++) {
        buf_append_bytes(&text, run->args[i]);
        buf_append_byte(&text, ' ');
    }
    buf_append_text(&text, "-> ");
    resp_reply_render(&run->reply, &text);
    buf_append_byte(&text, 0);
    fail_msg("seed %" PRIu64 ": %s: %s", run->seed, what, (const char *)text.data);
}

/* Sends the request; the reply must be this integer. */
static void expect_integer(struct run *run, int64_t expected)
{
    send_request(run);
    char text[32];
    int len = snprintf(text, sizeof(text), "%" PRId64, expected);
    if (run->reply.kind != RESP_INTEGER ||
        !bytes_equal(buf_bytes(&run->reply.text), bytes_make(text, (size_t)len)))
        fail_here(run, text);
}

static int64_t integer_of(const struct resp_reply *reply)
{
    char text[32] = {0};
    if (reply->text.len != 0 && reply->text.len < sizeof(text))
        memcpy(text, reply->text.data, reply->text.len);
    return strtoll(text, NULL, 10);
}

/* Which name a reply is; NAMES: none. */
static uint32_t index_of(const struct resp_reply *reply)
{
    char text[256];
    for (uint32_t i = 0; i < NAMES; i++)
        if (bytes_equal(buf_bytes(&reply->text), bytes_make(text, name_of(i, text))))
            return i;
    return NAMES;
}

/* ---- Sets. */

static uint32_t set_size(const bool *set)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < NAMES; i++)
        count += set[i];
    return count;
}

/* The reply's members, from child `from` in steps of `step`, are of the set, and tells which. */
static uint32_t mark_members(struct run *run, const struct resp_reply *list, size_t step,
                             const bool *set, bool *seen)
{
    uint32_t different = 0;
    for (size_t i = 0; i < list->child_count; i += step) {
        uint32_t index = index_of(&list->children[i]);
        if (index == NAMES || !set[index])
            fail_here(run, "a member that is not in the set");
        different += !seen[index];
        seen[index] = true;
    }
    return different;
}

static void check_set(struct run *run, uint32_t key)
{
    bool seen[NAMES] = {false};
    begin(run, "SMEMBERS", "s%lld", key);
    send_request(run);
    if (mark_members(run, &run->reply, 1, run->sets[key], seen) != set_size(run->sets[key]))
        fail_here(run, "members are missing");
    begin(run, "SCARD", "s%lld", key);
    expect_integer(run, set_size(run->sets[key]));
}

static void change_members(struct run *run, uint32_t key, bool add)
{
    uint32_t count = 1 + below(run, 12);
    uint32_t changed = 0;
    begin(run, add ? "SADD" : "SREM", "s%lld", key);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = below(run, NAMES);
        arg_name(run, index);
        changed += run->sets[key][index] != add;
        run->sets[key][index] = add;
    }
    expect_integer(run, changed);
}

static void scan_set(struct run *run, uint32_t key)
{
    bool seen[NAMES] = {false};
    uint32_t found = 0;
    char cursor[32] = "0";
    do {
        begin(run, "SSCAN", "s%lld", key);
        memcpy(run->texts[2], cursor, sizeof(cursor));
        run->args[run->arg_count++] = bytes_text(run->texts[2]);
        arg_format(run, "COUNT", 0);
        arg_format(run, "%lld", 1 + below(run, 40));
        send_request(run);
        assert_int_equal(run->reply.child_count, 2);
        found += mark_members(run, &run->reply.children[1], 1, run->sets[key], seen);
        const struct buf *next = &run->reply.children[0].text;
        assert_true(next->len < sizeof(cursor));
        memcpy(cursor, next->data, next->len);
        cursor[next->len] = '\0';
    } while (strcmp(cursor, "0") != 0);
    if (found != set_size(run->sets[key]))
        fail_here(run, "a scan misses members");
}

static void random_members(struct run *run, uint32_t key, bool pop)
{
    int64_t count = pop ? below(run, 6) : (int64_t)below(run, 50) - 10;
    bool seen[NAMES] = {false};
    uint32_t size = set_size(run->sets[key]);
    begin(run, pop ? "SPOP" : "SRANDMEMBER", "s%lld", key);
    arg_format(run, "%lld", count);
    send_request(run);
    uint32_t different = mark_members(run, &run->reply, 1, run->sets[key], seen);
    if (count >= 0 &&
        (different != run->reply.child_count || different != (count < size ? count : size)))
        fail_here(run, "not as many different ones");
    if (count < 0 && size != 0 && (int64_t)run->reply.child_count != -count)
        fail_here(run, "not as many");
    for (uint32_t i = 0; pop && i < NAMES; i++)
        run->sets[key][i] = run->sets[key][i] && !seen[i];
}

static void combine_sets(struct run *run, uint32_t key)
{
    static const char *const commands[] = {"SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"};
    uint32_t kind = below(run, 3);
    uint32_t other = below(run, KEYS);
    begin(run, commands[kind], "s%lld", key);
    arg_format(run, "s%lld", key);
    arg_format(run, "s%lld", other);
    for (uint32_t i = 0; i < NAMES; i++) {
        bool a = run->sets[key][i];
        bool b = run->sets[other][i];
        run->sets[key][i] = kind == 0 ? a || b : kind == 1 ? a && b : a && !b;
    }
    expect_integer(run, set_size(run->sets[key]));
}

static void move_member(struct run *run, uint32_t key)
{
    uint32_t to = below(run, KEYS);
    uint32_t index = below(run, NAMES);
    bool there = run->sets[key][index];
    begin(run, "SMOVE", "s%lld", key);
    arg_format(run, "s%lld", to);
    arg_name(run, index);
    expect_integer(run, there);
    if (there) {
        run->sets[key][index] = false;
        run->sets[to][index] = true;
    }
}

static void step_set(struct run *run)
{
    uint32_t key = below(run, KEYS);
    uint32_t index = below(run, NAMES);
    switch (below(run, 14)) {
    case 0:
    case 1:
    case 2:
    case 3:
        change_members(run, key, true);
        return;
    case 4:
    case 5:
    case 6:
        change_members(run, key, false);
        return;
    case 7:
        scan_set(run, key);
        return;
    case 8:
        random_members(run, key, true);
        return;
    case 9:
        random_members(run, key, false);
        return;
    case 10:
        combine_sets(run, key);
        return;
    case 11:
        move_member(run, key);
        return;
    case 12:
        check_set(run, key);
        return;
    default:
        begin(run, "SISMEMBER", "s%lld", key);
        arg_name(run, index);
        expect_integer(run, run->sets[key][index]);
        return;
    }
}

/* ---- Hashes. */

static void check_fields(struct run *run, const struct hash_model *hash)
{
    bool seen[NAMES] = {false};
    uint32_t found = mark_members(run, &run->reply, 2, hash->there, seen);
    if (found != set_size(hash->there) || run->reply.child_count != 2 * (size_t)found)
        fail_here(run, "fields are missing");
    for (size_t i = 0; i < run->reply.child_count; i += 2)
        if (integer_of(&run->reply.children[i + 1]) !=
            hash->value[index_of(&run->reply.children[i])])
            fail_here(run, "a wrong value");
}

static void check_deadlines(struct run *run, uint32_t key)
{
    const struct hash_model *hash = &run->hashes[key];
    uint32_t from = below(run, NAMES - 40);
    begin(run, "HPEXPIRETIME", "h%lld", key);
    arg_format(run, "FIELDS", 0);
    arg_format(run, "%lld", 40);
    for (uint32_t i = from; i < from + 40; i++)
        arg_name(run, i);
    send_request(run);
    for (uint32_t i = from; i < from + 40; i++)
        if (integer_of(&run->reply.children[i - from]) !=
            (hash->there[i] ? hash->deadline_ms[i] : -2))
            fail_here(run, "a wrong deadline");
}

static void check_hash(struct run *run, uint32_t key)
{
    begin(run, "HGETALL", "h%lld", key);
    send_request(run);
    check_fields(run, &run->hashes[key]);
    begin(run, "HLEN", "h%lld", key);
    expect_integer(run, set_size(run->hashes[key].there));
    check_deadlines(run, key);
}

static void set_fields(struct run *run, uint32_t key)
{
    struct hash_model *hash = &run->hashes[key];
    uint32_t created = 0;
    begin(run, "HSET", "h%lld", key);
    for (uint32_t n = 1 + below(run, 8); n > 0; n--) {
        uint32_t index = below(run, NAMES);
        created += !hash->there[index];
        hash->there[index] = true;
        hash->value[index] = (int)below(run, 100000);
        hash->deadline_ms[index] = NO_DEADLINE;
        arg_name(run, index);
        arg_format(run, "%lld", hash->value[index]);
    }
    expect_integer(run, created);
}

static void delete_fields(struct run *run, uint32_t key)
{
    struct hash_model *hash = &run->hashes[key];
    uint32_t deleted = 0;
    begin(run, "HDEL", "h%lld", key);
    for (uint32_t n = 1 + below(run, 8); n > 0; n--) {
        uint32_t index = below(run, NAMES);
        deleted += hash->there[index];
        hash->there[index] = false;
        arg_name(run, index);
    }
    expect_integer(run, deleted);
}

static void get_fields(struct run *run, uint32_t key)
{
    const struct hash_model *hash = &run->hashes[key];
    uint32_t from = below(run, NAMES - 10);
    begin(run, "HMGET", "h%lld", key);
    for (uint32_t i = from; i < from + 10; i++)
        arg_name(run, i);
    send_request(run);
    for (uint32_t i = from; i < from + 10; i++) {
        const struct resp_reply *one = &run->reply.children[i - from];
        if ((one->kind == RESP_BULK) != hash->there[i] ||
            (hash->there[i] && integer_of(one) != hash->value[i]))
            fail_here(run, "a wrong value");
    }
}

static void increment_field(struct run *run, uint32_t key)
{
    struct hash_model *hash = &run->hashes[key];
    uint32_t index = below(run, NAMES);
    if (!hash->there[index]) {
        hash->there[index] = true;
        hash->value[index] = 0;
        hash->deadline_ms[index] = NO_DEADLINE;
    }
    hash->value[index] += 5;
    begin(run, "HINCRBY", "h%lld", key);
    arg_name(run, index);
    arg_format(run, "%lld", 5);
    expect_integer(run, hash->value[index]);
}

static void scan_hash(struct run *run, uint32_t key)
{
    const struct hash_model *hash = &run->hashes[key];
    bool seen[NAMES] = {false};
    uint32_t found = 0;
    char cursor[32] = "0";
    do {
        begin(run, "HSCAN", "h%lld", key);
        memcpy(run->texts[2], cursor, sizeof(cursor));
        run->args[run->arg_count++] = bytes_text(run->texts[2]);
        arg_format(run, "COUNT", 0);
        arg_format(run, "%lld", 1 + below(run, 40));
        send_request(run);
        assert_int_equal(run->reply.child_count, 2);
        found += mark_members(run, &run->reply.children[1], 2, hash->there, seen);
        const struct buf *next = &run->reply.children[0].text;
        assert_true(next->len < sizeof(cursor));
        memcpy(cursor, next->data, next->len);
        cursor[next->len] = '\0';
    } while (strcmp(cursor, "0") != 0);
    if (found != set_size(hash->there))
        fail_here(run, "a scan misses fields");
}

/* Deadlines that do not come, or are taken away. */
static void date_fields(struct run *run, uint32_t key)
{
    struct hash_model *hash = &run->hashes[key];
    bool persist = below(run, 3) == 0;
    int64_t at_ms = persist ? NO_DEADLINE : FAR_MS + below(run, 1000);
    uint32_t index[5];
    int64_t expected[5];
    begin(run, persist ? "HPERSIST" : "HPEXPIREAT", "h%lld", key);
    if (!persist)
        arg_format(run, "%lld", at_ms);
    arg_format(run, "FIELDS", 0);
    arg_format(run, "%lld", 5);
    for (uint32_t i = 0; i < 5; i++) {
        index[i] = (below(run, NAMES / 5) * 5 + i) % NAMES; /* all different */
        arg_name(run, index[i]);
        bool dated = hash->there[index[i]] && hash->deadline_ms[index[i]] != NO_DEADLINE;
        expected[i] = !hash->there[index[i]] ? -2 : persist && !dated ? -1 : 1;
        hash->deadline_ms[index[i]] = at_ms;
    }
    send_request(run);
    for (uint32_t i = 0; i < 5; i++)
        if (integer_of(&run->reply.children[i]) != expected[i])
            fail_here(run, "a wrong answer");
}

static void sleep_ms(int ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* Fields that go by themselves, looked at or not. */
static void expire_fields(struct run *run, uint32_t key)
{
    struct hash_model *hash = &run->hashes[key];
    uint32_t from = below(run, NAMES - 4);
    begin(run, "HPEXPIRE", "h%lld", key);
    arg_format(run, "%lld", 2);
    arg_format(run, "FIELDS", 0);
    arg_format(run, "%lld", 4);
    for (uint32_t i = from; i < from + 4; i++)
        arg_name(run, i);
    send_request(run);
    for (uint32_t i = from; i < from + 4; i++) {
        if (integer_of(&run->reply.children[i - from]) != (hash->there[i] ? 1 : -2))
            fail_here(run, "a wrong answer");
        hash->there[i] = false;
    }
    if (below(run, 2) == 0) {
        begin(run, "DEBUG", NULL, 0);
        arg_format(run, "EVICT", 0);
        arg_format(run, "h%lld", key);
        send_request(run);
    }
    sleep_ms(4);
    if (below(run, 2) == 0)
        get_fields(run, key);
    int64_t deadline_ms = harness_now_ms() + GONE_MS_MAX;
    do {
        begin(run, "HLEN", "h%lld", key);
        send_request(run);
        if (integer_of(&run->reply) == set_size(hash->there))
            return;
        sleep_ms(5);
    } while (harness_now_ms() < deadline_ms);
    fail_here(run, "fields are still there");
}

static void step_hash(struct run *run)
{
    uint32_t key = below(run, KEYS);
    uint32_t other = below(run, KEYS);
    switch (below(run, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        set_fields(run, key);
        return;
    case 5:
    case 6:
        delete_fields(run, key);
        return;
    case 7:
        increment_field(run, key);
        return;
    case 8:
        scan_hash(run, key);
        return;
    case 9:
    case 10:
        date_fields(run, key);
        return;
    case 11:
        if (below(run, 4) == 0)
            expire_fields(run, key);
        return;
    case 12:
        check_hash(run, key);
        return;
    case 13:
        if (key == other || set_size(run->hashes[key].there) == 0)
            return;
        begin(run, "COPY", "h%lld", key);
        arg_format(run, "h%lld", other);
        arg_format(run, "REPLACE", 0);
        expect_integer(run, 1);
        run->hashes[other] = run->hashes[key];
        return;
    default:
        get_fields(run, key);
        return;
    }
}

/* ---- Runs. */

static void step(struct run *run)
{
    switch (below(run, 20)) {
    case 0:
        begin(run, "DEBUG", NULL, 0);
        arg_format(run, "CUT", 0);
        send_request(run);
        return;
    case 1:
    case 2:
        begin(run, "DEBUG", NULL, 0);
        arg_format(run, "EVICT", 0);
        arg_format(run, below(run, 2) == 0 ? "s%lld" : "h%lld", below(run, KEYS));
        send_request(run);
        return;
    default:
        if (below(run, 2) == 0)
            step_set(run);
        else
            step_hash(run);
        return;
    }
}

static void check_all(struct run *run)
{
    for (uint32_t key = 0; key < KEYS; key++) {
        check_set(run, key);
        check_hash(run, key);
    }
}

static void reconnect(struct run *run)
{
    resp_client_close(run->client);
    server_fixture_restart(run->server);
    run->client = server_fixture_connect(run->server);
    check_all(run);
}

static uint64_t number_of(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text == NULL ? fallback : strtoull(text, NULL, 10);
}

static void run_with(const char *name, const char *value)
{
    const char *const args[] = {"--enable-debug-command",
                                "yes",
                                "--appendfsync",
                                "always",
                                "--flush-interval",
                                "20",
                                "--set-max-intset-entries",
                                "8",
                                "--set-max-listpack-entries",
                                "16",
                                "--hash-max-listpack-entries",
                                "16",
                                "--large-collection-threshold",
                                "700",
                                name,
                                value,
                                NULL};
    struct run *run = mem_calloc(1, sizeof(*run));
    run->seed = number_of("BASALT_TEST_SEED", (uint64_t)harness_now_ms());
    run->random = run->seed;
    run->server = server_fixture_start(&(struct server_options){.args = args});
    run->client = server_fixture_connect(run->server);
    uint64_t steps = number_of("BASALT_TEST_STEPS", STEPS_DEFAULT);
    for (uint64_t i = 1; i <= steps; i++) {
        step(run);
        if (i != steps / 2)
            continue;
        server_fixture_kill(run->server);
        reconnect(run);
    }
    check_all(run);
    server_fixture_stop(run->server);
    reconnect(run);
    resp_reply_deinit(&run->reply);
    resp_client_close(run->client);
    server_fixture_destroy(run->server);
    mem_free(run);
}

static void sets_and_hashes_are_arrays(void **state)
{
    (void)state;
    run_with("--debug-always-cold", "no");
}

static void also_when_nothing_stays_in_ram(void **state)
{
    (void)state;
    run_with("--debug-always-cold", "yes");
}

static void also_when_parts_are_dropped(void **state)
{
    (void)state;
    run_with("--maxmemory", "64kb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(sets_and_hashes_are_arrays, NULL, server_fixture_teardown),
        TEST_WITH(also_when_nothing_stays_in_ram, NULL, server_fixture_teardown),
        TEST_WITH(also_when_parts_are_dropped, NULL, server_fixture_teardown),
    };
    return RUN_TESTS("hash_set_model", tests);
}
