/* Goal: memory is bounded as the settings say, and a bound that is too low stops nobody.
 *
 * Method: real servers with small bounds; what the kernel says that they take is looked at while
 * clients write. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#define DATABASES   1500
#define KEYS        100
#define VALUE_BYTES 5000 /* together more than the burst that is admitted in any case */
#define MIB         ((size_t)1 << 20)
#define MAXMEMORY   (64 * MIB)
/* What docs/operations.md promises for 64 MB of maxmemory, 32 of memtables and 16 of block cache.
 */
#define PROCESS_MAX   ((64 + 32 + 16) * MIB * 5 / 4 + 256 * MIB)
#define BATCH_BYTES   MIB
#define BYTES_A_LOOK  (20 * MIB)
#define RANDOM_FACTOR UINT64_C(6364136223846793005)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true /* what the process takes is the sanitizer's */
#else
#define SANITIZED false
#endif

/* Requests that write, each in its own way; all are answered before the client gives up. */
static void write_in_every_way(struct resp_client *client)
{
    char line[VALUE_BYTES + 64];
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(line, sizeof(line), "SET key:%d %0*d", i, VALUE_BYTES, i);
        assert_reply(client, line, "+OK");
        (void)snprintf(line, sizeof(line), "STRLEN key:%d", i / 2);
        assert_reply(client, line, ":5000");
    }
    for (int i = 0; i < 5; i++) {
        assert_reply(client, "SET k v", "+OK");
        assert_reply(client, "GET k", "\"v\"");
        assert_reply(client, "MULTI", "+OK");
        assert_reply(client, "SET n 1", "+QUEUED");
        assert_reply(client, "INCR n", "+QUEUED");
        assert_reply(client, "EXEC", "[+OK :2]");
        assert_reply(client, "EVAL \"return redis.call('INCRBY', KEYS[1], 5)\" 1 n", ":7");
        assert_reply(client, "DEL k n", ":2");
    }
}

static void a_bound_of_one_byte_stops_nobody(void **state)
{
    (void)state;
    struct server_fixture *server = server_fixture_start(
        &(struct server_options){.args = (const char *const[]){"--maxmemory", "1", NULL}});
    struct resp_client *client = server_fixture_connect(server);
    write_in_every_way(client);
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_destroy(server);
}

/* The tables of so many databases take more than the least that writers are given. */
static void a_bound_below_what_tables_take_stops_nobody(void **state)
{
    (void)state;
    char line[64];
    struct server_fixture *server = server_fixture_start(&(struct server_options){
        .args = (const char *const[]){"--maxmemory", "256mb", "--databases", "1501", NULL}});
    struct resp_client *client = server_fixture_connect(server);
    for (int i = 1; i <= DATABASES; i++) {
        (void)snprintf(line, sizeof(line), "SELECT %d", i);
        assert_reply(client, line, "+OK");
        assert_reply(client, "SET k v", "+OK");
    }
    assert_reply(client, "SELECT 0", "+OK");
    assert_reply(client, "CONFIG SET maxmemory 1", "+OK");
    write_in_every_way(client);
    assert_reply(client, "SELECT 7", "+OK");
    assert_reply(client, "GET k", "\"v\"");
    assert_reply(client, "CONFIG SET maxmemory 100mb", "+OK");
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_destroy(server);
}

static size_t info_number(struct resp_client *client, const char *field)
{
    const char *at = strstr(resp_client_ask(client, "INFO everything"), field);
    if (at == NULL)
        fail_msg("INFO has no %s", field);
    return (size_t)strtoull(at + strlen(field) + 1, NULL, 10);
}

/* The most that the process has taken since it started. */
static size_t peak_bytes(pid_t pid)
{
    char path[64];
    char line[256];
    size_t kib = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = (size_t)strtoull(line + 6, NULL, 10);
    (void)fclose(file);
    assert_true(kib > 0);
    return kib << 10;
}

/* Values of `value_bytes` that do not compress, of `bytes` together, `*next` being the first key.
 */
static void write_values(struct resp_client *client, size_t value_bytes, size_t bytes,
                         unsigned *next)
{
    uint64_t random = value_bytes;
    uint8_t *value = mem_alloc(value_bytes);
    for (size_t i = 0; i < value_bytes; i++) {
        random = random * RANDOM_FACTOR + 1;
        value[i] = (uint8_t)(random >> 56);
    }
    size_t batch = value_bytes < BATCH_BYTES ? BATCH_BYTES / value_bytes : 1;
    for (size_t done = 0; done < bytes; done += batch * value_bytes) {
        struct buf requests = {0};
        struct buf replies = {0};
        struct err err;
        for (size_t i = 0; i < batch; i++) {
            char key[32];
            int len = snprintf(key, sizeof(key), "key:%u", (*next)++);
            memcpy(value, key, (size_t)len);
            resp_format_request(3,
                                (const struct bytes[]){bytes_text("SET"), bytes_text(key),
                                                       bytes_make(value, value_bytes)},
                                &requests);
        }
        assert_ok(resp_client_send(client, buf_bytes(&requests), &err), &err);
        assert_ok(resp_client_read_raw(client, batch * 5, &replies, &err), &err);
        for (size_t i = 0; i < batch; i++)
            assert_memory_equal(replies.data + i * 5, "+OK\r\n", 5);
        buf_deinit(&requests);
        buf_deinit(&replies);
        if (done / BYTES_A_LOOK != (done + batch * value_bytes) / BYTES_A_LOOK)
            assert_in_range(info_number(client, "hot_used_bytes"), 1,
                            MAXMEMORY + MAXMEMORY / 8 + 2 * value_bytes);
    }
    mem_free(value);
}

static void much_data_takes_no_more_memory_than_promised(void **state)
{
    (void)state;
    unsigned next = 0;
    struct server_fixture *server = server_fixture_start(&(struct server_options){
        .args = (const char *const[]){"--maxmemory", "64mb", "--memtable-size", "32mb",
                                      "--block-cache-size", "16mb", NULL}});
    struct resp_client *client = server_fixture_connect(server);
    resp_client_set_timeout_ms(client, 120000);
    write_values(client, 1000, 100 * MIB, &next);
    write_values(client, 100000, 200 * MIB, &next);
    write_values(client, 4 * MIB, 200 * MIB, &next);
    char size[32];
    (void)snprintf(size, sizeof(size), ":%u", next);
    assert_reply(client, "DBSIZE", size);
    size_t peak = peak_bytes(server_fixture_pid(server));
    if (!SANITIZED)
        assert_in_range(peak, 1, PROCESS_MAX);
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(a_bound_of_one_byte_stops_nobody, NULL, server_fixture_teardown),
        TEST_WITH(a_bound_below_what_tables_take_stops_nobody, NULL, server_fixture_teardown),
        TEST_WITH(much_data_takes_no_more_memory_than_promised, NULL, server_fixture_teardown),
    };
    return RUN_TESTS("memory", tests);
}
