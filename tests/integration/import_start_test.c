/* Goal: a server on Redis's files, and on no dataset of its own, imports them once and serves the
 * same data; killed anywhere it begins anew; what is damaged is refused, and nothing is left.
 *
 * Method: the reference writes an RDB, or append-only files with a base and commands since; the
 * server starts on a copy. Skipped where no reference is installed. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#define EXIT_SKIPPED 77
#define PATH_BYTES   1024
#define PATIENCE_MS  20000
#define MANIFEST     "appendonlydir/appendonly.aof.manifest"
#define COMMANDS     "appendonlydir/appendonly.aof.2.incr.aof"

struct fixture {
    char *root;
    char data[256]; /* the server's directory */
    char *digest;   /* owned: of the reference's dataset */
};

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    f->root = harness_make_dir();
    (void)snprintf(f->data, sizeof(f->data), "%s/data", f->root);
    assert_int_equal(mkdir(f->data, 0700), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int result = server_fixture_teardown(state);
    harness_remove_dir(f->root);
    mem_free(f->root);
    mem_free(f->digest);
    mem_free(f);
    return result;
}

static void read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t got;
    do {
        got = fread(buf_reserve(out, 65536), 1, 65536, file);
        out->len += got;
    } while (got != 0);
    assert_int_equal(fclose(file), 0);
}

static void write_file(const char *path, struct bytes bytes)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
}

static void copy_file(const char *from_dir, const char *to_dir, const char *name)
{
    char path[PATH_BYTES];
    struct buf content = {0};
    (void)snprintf(path, sizeof(path), "%s/%s", from_dir, name);
    read_file(path, &content);
    (void)snprintf(path, sizeof(path), "%s/%s", to_dir, name);
    write_file(path, buf_bytes(&content));
    buf_deinit(&content);
}

static void fill(struct resp_client *client, const char *which)
{
    static const char *const requests[] = {
        "SET %s:s value",         "RPUSH %s:l a b 3",  "SADD %s:set 1 2 x", "HSET %s:h f v g w",
        "ZADD %s:z 1 a 2.5 b",    "XADD %s:x 1-1 f v", "INCRBY %s:n 12345", "SET %s:t v EX 1000000",
        "XGROUP CREATE %s:x g 0", "LPOP %s:l",         "SPOP %s:set",       "INCRBYFLOAT %s:f 0.1",
    };
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        char request[256];
        const char *at = strstr(requests[i], "%s");
        (void)snprintf(request, sizeof(request), "%.*s%s%s", (int)(at - requests[i]), requests[i],
                       which, at + 2);
        (void)resp_client_ask(client, request);
    }
    for (int i = 0; i < 500; i++) {
        char request[256];
        (void)snprintf(request, sizeof(request), "HSET %s:large field:%d value:%d", which, i, i);
        (void)resp_client_ask(client, request);
    }
}

static struct server_fixture *start_reference(const char *appendonly)
{
    const char *const args[] = {
        "--enable-debug-command",  "yes", "--save", "", "--appendonly", appendonly,
        "--aof-timestamp-enabled", "yes", NULL};
    struct server_options options = {.program = server_fixture_reference(),
                                     .argv0 = SERVER_FIXTURE_REFERENCE_ARGV0,
                                     .args = args};
    return server_fixture_start(&options);
}

static void make_rdb(struct fixture *f)
{
    struct server_fixture *reference = start_reference("no");
    struct resp_client *client = server_fixture_connect(reference);
    fill(client, "first");
    assert_reply(client, "SAVE", "+OK");
    f->digest = mem_strdup(resp_client_ask(client, "DEBUG DIGEST"));
    copy_file(server_fixture_dir(reference), f->data, "dump.rdb");
    resp_client_close(client);
    server_fixture_destroy(reference);
}

static void make_aof(struct fixture *f)
{
    char path[PATH_BYTES];
    struct server_fixture *reference = start_reference("yes");
    struct resp_client *client = server_fixture_connect(reference);
    fill(client, "first");
    (void)resp_client_ask(client, "BGREWRITEAOF");
    assert_true(server_fixture_wait_log(reference, "Background AOF rewrite finished successfully",
                                        PATIENCE_MS));
    fill(client, "second");
    assert_reply(client, "MULTI", "+OK");
    assert_reply(client, "SELECT 6", "+QUEUED");
    assert_reply(client, "SET six 6", "+QUEUED");
    assert_reply(client, "INCR counter", "+QUEUED");
    (void)resp_client_ask(client, "EXEC");
    f->digest = mem_strdup(resp_client_ask(client, "DEBUG DIGEST"));
    resp_client_close(client);
    server_fixture_stop(reference);
    (void)snprintf(path, sizeof(path), "%s/appendonlydir", f->data);
    assert_int_equal(mkdir(path, 0700), 0);
    copy_file(server_fixture_dir(reference), f->data, MANIFEST);
    copy_file(server_fixture_dir(reference), f->data, COMMANDS);
    copy_file(server_fixture_dir(reference), f->data, "appendonlydir/appendonly.aof.2.base.rdb");
    server_fixture_destroy(reference);
}

static const char *const plain_args[] = {"--enable-debug-command", "yes", NULL};

static struct server_fixture *start(struct fixture *f, const char *const *args)
{
    struct server_options options = {.dir = f->data, .args = args == NULL ? plain_args : args};
    return server_fixture_start(&options);
}

/* A connection to a server that has replayed its journal. */
static struct resp_client *connect(struct server_fixture *server)
{
    struct resp_client *client = server_fixture_connect(server);
    int64_t deadline_ms = harness_now_ms() + PATIENCE_MS;
    while (strstr(resp_client_ask(client, "DBSIZE"), "LOADING") != NULL &&
           harness_now_ms() < deadline_ms)
        (void)usleep(2000);
    return client;
}

static void assert_served(struct fixture *f, struct server_fixture *server)
{
    struct resp_client *client = connect(server);
    assert_reply(client, "DEBUG DIGEST", f->digest);
    resp_client_close(client);
}

static void assert_absent(const struct fixture *f, const char *name)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/%s", f->data, name);
    if (access(path, F_OK) == 0)
        fail_msg("%s is there", path);
}

/* The server exits at once, and says why. */
static void assert_refused(struct fixture *f, const char *why)
{
    struct server_options options = {.dir = f->data, .args = plain_args};
    struct server_fixture *server;
    assert_status(server_fixture_try_start(&options, &server), ST_IO);
    if (!server_fixture_wait_log(server, why, PATIENCE_MS))
        fail_msg("the log lacks \"%s\"", why);
    server_fixture_destroy(server);
    assert_absent(f, "rocksdb");
    assert_absent(f, "import.tmp");
}

static void an_rdb_is_imported_once(void **state)
{
    struct fixture *f = *state;
    make_rdb(f);
    struct server_fixture *server = start(f, NULL);
    assert_served(f, server);
    struct resp_client *client = connect(server);
    assert_reply(client, "FLUSHALL", "+OK");
    assert_reply(client, "SET mine 1", "+OK");
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_restart(server);
    client = connect(server);
    assert_reply(client, "DBSIZE", ":1");
    resp_client_close(client);
    server_fixture_destroy(server);
}

static void nothing_is_imported_unless_asked_for(void **state)
{
    static const char *const args[] = {"--import-on-start", "no", NULL};
    struct fixture *f = *state;
    make_rdb(f);
    struct server_fixture *server = start(f, args);
    struct resp_client *client = connect(server);
    assert_reply(client, "DBSIZE", ":0");
    resp_client_close(client);
    server_fixture_destroy(server);
}

static void a_damaged_rdb_is_refused_and_nothing_is_left(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    struct buf rdb = {0};
    make_rdb(f);
    (void)snprintf(path, sizeof(path), "%s/dump.rdb", f->data);
    read_file(path, &rdb);
    write_file(path, bytes_make(rdb.data, rdb.len / 2));
    buf_deinit(&rdb);
    assert_refused(f, "the file ends here");
}

static void append_only_files_are_imported_and_their_commands_run(void **state)
{
    struct fixture *f = *state;
    make_aof(f);
    struct server_fixture *server = start(f, NULL);
    assert_served(f, server);
    assert_absent(f, "import.pending");
    server_fixture_kill(server);
    server_fixture_restart(server);
    assert_served(f, server);
    server_fixture_stop(server);
    server_fixture_restart(server);
    assert_served(f, server);
    server_fixture_destroy(server);
}

static void an_import_that_is_killed_begins_anew(void **state)
{
    /* Before and behind each step that others can see. */
    static const char *const kills[] = {
        "mkdir:import.tmp:1:KILL_AFTER",      "rename:import.pending:1:KILL",
        "rename:import.pending:1:KILL_AFTER", "rename:rocksdb:1:KILL",
        "rename:rocksdb:1:KILL_AFTER",        "write:journal:1:KILL",
        "fdatasync:journal:1:KILL",           "unlink:import.pending:1:KILL",
        "unlink:import.pending:1:KILL_AFTER",
    };
    struct fixture *f = *state;
    make_aof(f);
    for (size_t i = 0; i < sizeof(kills) / sizeof(kills[0]); i++) {
        char env[256];
        char command[PATH_BYTES];
        (void)snprintf(env, sizeof(env), "BASALT_FAULT=%s", kills[i]);
        struct server_options options = {.dir = f->data, .args = plain_args, .env = env};
        struct server_fixture *server;
        enum status st = server_fixture_try_start(&options, &server);
        if (st != ST_IO)
            fail_msg("%s did not end the server", kills[i]);
        server_fixture_destroy(server);
        server = start(f, NULL);
        assert_served(f, server);
        server_fixture_destroy(server);
        (void)snprintf(command, sizeof(command), "rm -r %s/rocksdb %s/journal", f->data, f->data);
        assert_int_equal(system(command), 0);
    }
}

static void a_cut_off_end_is_dropped_and_damage_refused(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    struct buf commands = {0};
    make_aof(f);
    (void)snprintf(path, sizeof(path), "%s/" COMMANDS, f->data);
    read_file(path, &commands);
    uint8_t was = commands.data[commands.len / 2];
    for (size_t at = commands.len / 2; at < commands.len; at++)
        if (commands.data[at] == '*') {
            was = commands.data[at];
            commands.data[at] = '?';
            write_file(path, buf_bytes(&commands));
            commands.data[at] = was;
            break;
        }
    assert_refused(f, "no command begins here");
    /* Amid the transaction at the end: none of it is done. */
    write_file(path, bytes_make(commands.data, commands.len - 3));
    buf_deinit(&commands);
    struct server_fixture *server = start(f, NULL);
    assert_true(server_fixture_wait_log(server, "were dropped", PATIENCE_MS));
    struct resp_client *client = connect(server);
    assert_reply(client, "GET second:n", "\"12345\"");
    assert_reply(client, "SELECT 6", "+OK");
    assert_reply(client, "DBSIZE", ":0");
    resp_client_close(client);
    server_fixture_destroy(server);
}

int main(void)
{
    if (server_fixture_program() == NULL || server_fixture_reference() == NULL) {
        (void)fprintf(stderr, "skipped: the server or the reference is missing\n");
        return EXIT_SKIPPED;
    }
#define FIXTURE_TEST(function) TEST_WITH(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(an_rdb_is_imported_once),
        FIXTURE_TEST(nothing_is_imported_unless_asked_for),
        FIXTURE_TEST(a_damaged_rdb_is_refused_and_nothing_is_left),
        FIXTURE_TEST(append_only_files_are_imported_and_their_commands_run),
        FIXTURE_TEST(an_import_that_is_killed_begins_anew),
        FIXTURE_TEST(a_cut_off_end_is_dropped_and_damage_refused),
    };
    return RUN_TESTS("import_start", tests);
}
