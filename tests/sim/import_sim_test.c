/* Goal: wherever an import is killed, or the power fails, the data directory holds the old dataset
 * (or none) or the new one, whole, and a second import puts the new one there.
 *
 * Method: `basalt rdb import` as a process, ended by the I/O shim (support/io_shim.h) at random
 * calls that change files, half of them among the last. Then a server is started on what is left
 * and asked for all keys. The dataset that is replaced has a journal that its server was killed
 * over, so that not all of it was synced.
 *
 * A failure prints its seed: BASALT_SIM_SEED=n repeats it. BASALT_SIM_SECONDS=n gives each test so
 * much time. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/mem.h"
#include "tests/support/dataset.h"
#include "tests/support/harness.h"
#include "tests/support/io_shim.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#define SECONDS_DEFAULT 5
#define NEW_KEYS        300
#define OLD_KEYS        50
#define LAST_CALLS      30 /* of an import: among them the one that puts the dataset in its place */

struct fixture {
    char *root;
    char data[512];
    char rdb[512];
    uint64_t seed;
    uint64_t random;
    uint64_t calls; /* of a whole import */
    uint64_t nth;   /* the one that the import is ended at */
    struct server_fixture *server;
    uint64_t ended, old_found, new_found;
    bool passed;
};

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void write_rdb(const char *path)
{
    struct rdb_file file;
    struct buf value = {0};
    rdb_file_begin(&file);
    for (int i = 0; i < NEW_KEYS; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "new:%d", i);
        buf_clear(&value);
        for (int n = 0; n < (i % 50 == 0 ? 30000 : 5); n++)
            buf_append_format(&value, "%d,", i + n);
        rdb_file_put(&file, bytes_text(key), buf_bytes(&value), i % 3 == 0 ? 4102444800000 : 0);
    }
    rdb_file_end(&file);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(file.bytes.data, 1, file.bytes.len, out), file.bytes.len);
    assert_int_equal(fclose(out), 0);
    rdb_file_deinit(&file);
    buf_deinit(&value);
}

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    f->root = harness_make_dir();
    (void)snprintf(f->data, sizeof(f->data), "%s/data", f->root);
    (void)snprintf(f->rdb, sizeof(f->rdb), "%s/dump.rdb", f->root);
    f->seed = number_from_environment("BASALT_SIM_SEED", (uint64_t)harness_now_ms());
    f->random = f->seed;
    write_rdb(f->rdb);
    io_shim_open(f->data);
    io_shim_skip_syncs();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (!f->passed)
        print_error("failed with BASALT_SIM_SEED=%llu at call %llu\n", (unsigned long long)f->seed,
                    (unsigned long long)f->nth);
    int result = server_fixture_teardown(state);
    io_shim_close();
    harness_remove_dir(f->root);
    mem_free(f->root);
    mem_free(f);
    return result;
}

/* ---- The tool. */

/* True if it came to its end, which must be a good one. */
static bool import(struct fixture *f)
{
    char program[4096];
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 32);
    assert_true(len > 0);
    program[len] = '\0';
    memcpy(strrchr(program, '/') + 1, "basalt", sizeof("basalt"));
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, 2);
        (void)dup2(null, 1);
        (void)execl(program, program, "rdb", "import", f->rdb, "--dir", f->data,
                    "--replace-dataset", "--memory", "32mb", (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_true(io_shim_hits() != 0);
        return false;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return true;
}

/* ---- The server. */

static void start(struct fixture *f)
{
    f->server = server_fixture_start(&(struct server_options){
        .dir = f->data,
        .args = (const char *const[]){"--appendfsync", "everysec", "--flush-interval", "50",
                                      "--memtable-size", "1mb", NULL}});
}

static void stop(struct fixture *f)
{
    server_fixture_kill(f->server);
    server_fixture_destroy(f->server);
    f->server = NULL;
}

static void make_old_dataset(struct fixture *f)
{
    start(f);
    struct resp_client *client = server_fixture_connect(f->server);
    for (int i = 0; i < OLD_KEYS; i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "SET old:%d %d", i, i);
        assert_reply(client, line, "+OK");
    }
    resp_client_close(client);
    stop(f);
}

/* The first keys of the old dataset: its server was killed before all was written. */
static void look_at_old(struct resp_client *client, int count, bool had_old)
{
    assert_in_range(count, 0, had_old ? OLD_KEYS : 0);
    for (int i = 0; i < count; i++) {
        char ask[32];
        char answer[32];
        (void)snprintf(ask, sizeof(ask), "GET old:%d", i);
        (void)snprintf(answer, sizeof(answer), "\"%d\"", i);
        assert_reply(client, ask, answer);
    }
}

/* What is there must be one of the two datasets, or none where none was. */
static void look(struct fixture *f, bool had_old, bool finished)
{
    start(f);
    struct resp_client *client = server_fixture_connect(f->server);
    const char *size = resp_client_ask(client, "DBSIZE");
    if (strcmp(size, ":300") == 0) {
        f->new_found++;
        assert_reply(client, "STRLEN new:0", "*");
        assert_string_equal(resp_client_ask(client, "STRLEN new:50"), ":169050");
        assert_reply(client, "GET new:299", "\"299,300,301,302,303,\"");
        assert_reply(client, "PEXPIRETIME new:297", ":4102444800000");
        assert_reply(client, "GET old:1", "nil");
    } else {
        f->old_found++;
        assert_false(finished);
        look_at_old(client, atoi(size + 1), had_old);
    }
    resp_client_close(client);
    stop(f);
}

/* ---- Rounds. */

static uint64_t below(struct fixture *f, uint64_t bound)
{
    uint64_t z = (f->random += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return (z ^ (z >> 31)) % bound;
}

static void prepare(struct fixture *f, bool had_old)
{
    harness_remove_dir(f->data);
    if (had_old)
        make_old_dataset(f);
}

static void count_calls(struct fixture *f, bool had_old)
{
    prepare(f, had_old);
    io_shim_kill(IO_CHANGES, "", INT64_MAX, IO_KILL);
    assert_true(import(f));
    f->calls = io_shim_calls();
    assert_true(f->calls > LAST_CALLS);
}

static void run(struct fixture *f, bool had_old, bool power)
{
    int64_t until_ms = harness_now_ms() + 1000 * (int64_t)number_from_environment(
                                                     "BASALT_SIM_SECONDS", SECONDS_DEFAULT);
    count_calls(f, had_old);
    while (harness_now_ms() < until_ms) {
        bool late = below(f, 2) == 0;
        f->nth = late ? f->calls - below(f, LAST_CALLS) : 1 + below(f, f->calls);
        prepare(f, had_old);
        if (power)
            io_shim_power_off(IO_CHANGES, "", (int64_t)f->nth, below(f, UINT32_MAX));
        else
            io_shim_kill(IO_CHANGES, "", (int64_t)f->nth, below(f, 2) ? IO_KILL : IO_KILL_AFTER);
        bool finished = import(f);
        io_shim_clear();
        look(f, had_old, finished);
        if (finished) /* it has made fewer calls this time */
            continue;
        f->ended++;
        assert_true(import(f));
        look(f, had_old, true);
    }
    print_message("ended %llu times, found the old dataset %llu times and the new one %llu times\n",
                  (unsigned long long)f->ended, (unsigned long long)f->old_found,
                  (unsigned long long)(f->new_found - f->ended));
    f->passed = true;
}

static void import_into_an_empty_directory_is_killed(void **state)
{
    run(*state, false, false);
}

static void import_into_an_empty_directory_loses_the_power(void **state)
{
    run(*state, false, true);
}

static void import_that_replaces_a_dataset_is_killed(void **state)
{
    run(*state, true, false);
}

static void import_that_replaces_a_dataset_loses_the_power(void **state)
{
    run(*state, true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(import_into_an_empty_directory_is_killed, setup, teardown),
        TEST_WITH(import_into_an_empty_directory_loses_the_power, setup, teardown),
        TEST_WITH(import_that_replaces_a_dataset_is_killed, setup, teardown),
        TEST_WITH(import_that_replaces_a_dataset_loses_the_power, setup, teardown),
    };
    return RUN_TESTS("import_sim", tests);
}
