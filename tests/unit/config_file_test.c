/* Goal: files and command lines are read as by Redis 7.2, and each mistake is named with its place.
 * Method: write files into a fresh directory, load them, look at the settings or the message. */
#include "server/config.h"

#include "codec/mem.h"
#include "server/config_internal.h"
#include "server/log.h"
#include "tests/support/harness.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARG_COUNT_MAX 12

struct fixture {
    struct config *config;
    char *cwd;
    char *dir; /* the working directory during a test */
    struct err err;
};

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    char cwd[PATH_MAX];
    f->cwd = mem_strdup(getcwd(cwd, sizeof(cwd)));
    f->dir = harness_make_dir();
    int result = chdir(f->dir);
    f->config = config_create();
    *state = f;
    return result;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int result = chdir(f->cwd);
    config_destroy(f->config);
    harness_remove_dir(f->dir);
    mem_free(f->dir);
    mem_free(f->cwd);
    mem_free(f);
    return result;
}

static void write_bytes(const char *name, struct bytes text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text.data, 1, text.len, file), text.len);
    assert_int_equal(fclose(file), 0);
}

static void write_file(const char *name, const char *text)
{
    write_bytes(name, bytes_text(text));
}

static enum status load(struct fixture *f, const char *text)
{
    write_file("redis.conf", text);
    config_destroy(f->config);
    f->config = config_create();
    f->err = (struct err){0};
    return config_load_file(f->config, "redis.conf", &f->err);
}

/* Loads a command line given as a list that NULL ends. */
static enum status load_args(struct fixture *f, const char *const *texts)
{
    char *args[ARG_COUNT_MAX];
    int count = 0;
    for (; texts[count] != NULL; count++)
        args[count] = mem_strdup(texts[count]);
    config_destroy(f->config);
    f->config = config_create();
    f->err = (struct err){0};
    enum status st = config_load_args(f->config, count, args, &f->err);
    for (int i = 0; i < count; i++)
        mem_free(args[i]);
    return st;
}

#define ARGS(f, ...) load_args((f), (const char *const[]){__VA_ARGS__, NULL})

static void assert_shown(const struct config *config, const char *name, const char *expected)
{
    const struct setting *setting = config_find(config, bytes_text(name))->setting;
    struct buf out = {0};
    setting->kind->format(setting, config_slot_const(config, setting), &out);
    assert_bytes(buf_bytes(&out), bytes_text(expected));
    buf_deinit(&out);
}

static void file_of_redis_is_read(void **state)
{
    struct fixture *f = *state;
    assert_ok(load(f, "# a comment\n"
                      "\n"
                      "  \t port 7000   \r\n"
                      "PORT 7001\n"
                      "bind 127.0.0.1 -::1\n"
                      "requirepass \"with \\x41 space\"\n"
                      "masterauth 'single quoted'\n"
                      "maxmemory 100mb\n"
                      "maxmemory-policy allkeys-lru\n"
                      "slave-priority 42\n"
                      "hash-max-ziplist-entries 21\n"
                      "client-output-buffer-limit normal 1mb 0 0\n"
                      "client-output-buffer-limit replica 2mb 0 0\n"
                      "unixsocketperm 700\n"
                      "list-max-ziplist-entries 512\n"
                      "lua-replicate-commands yes\n"
                      "daemonize no\n"
                      "replicaof 10.0.0.1 6380\n"
                      "latency-tracking-info-percentiles \"50 99\"\n"
                      "rename-command FLUSHALL \"\"\n"
                      "rename-command config hidden\n"
                      "user alice on >pass ~* +@all\n"
                      "hz 1000"),
              &f->err);
    const struct config *c = f->config;
    assert_int_equal(c->port, 7001);
    assert_shown(c, "bind", "127.0.0.1 -::1");
    assert_bytes(c->requirepass, bytes_text("with A space"));
    assert_bytes(c->masterauth, bytes_text("single quoted"));
    assert_int_equal(c->maxmemory, 100 << 20);
    assert_int_equal(c->replica_priority, 42);
    assert_int_equal(c->hash_max_listpack_entries, 21);
    assert_shown(c, "client-output-buffer-limit",
                 "normal 1048576 0 0 slave 2097152 0 0 pubsub 33554432 8388608 60");
    assert_int_equal(c->unixsocketperm, 0700);
    assert_string_equal(c->replicaof.host, "10.0.0.1");
    assert_int_equal(c->replicaof.port, 6380);
    assert_int_equal(c->rename_count, 2);
    assert_string_equal(c->renames[0].from, "FLUSHALL");
    assert_string_equal(c->renames[0].to, "");
    assert_string_equal(c->renames[1].to, "hidden");
    assert_int_equal(c->user_count, 1);
    assert_int_equal(c->users[0].count, 5);
    assert_bytes(c->users[0].args[0], bytes_text("alice"));
    assert_bytes(c->users[0].args[2], bytes_text(">pass"));
    assert_int_equal(c->hz, 500);
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/redis.conf", c->dir);
    assert_string_equal(c->config_file, path);
}

static void save_lines_add_up_and_the_first_replaces_the_default(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *file;
        const char *arg; /* of --save, or NULL */
        const char *shown;
    } cases[] = {
        {"", NULL, ""},
        {"save 100 100\n", NULL, "100 100"},
        {"save 100 100\nsave 5 6\n", NULL, "100 100 5 6"},
        {"save 1 2 3 4\n", NULL, "1 2 3 4"},
        {"save \"1 2 3 4\"\n", NULL, "1 2 3 4"},
        {"save 900 1\n", "100 100", "900 1 100 100"},
        {"save 900 1\n", "", ""},
        {"save \"\"\n", NULL, ""},
        {"save \"\"\nsave 7 8\n", NULL, "7 8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_file("redis.conf", cases[i].file);
        if (cases[i].arg == NULL)
            assert_ok(ARGS(f, "redis.conf"), &f->err);
        else
            assert_ok(ARGS(f, "redis.conf", "--save", cases[i].arg), &f->err);
        assert_shown(f->config, "save", cases[i].shown);
    }
}

struct error_case {
    const char *text;
    const char *line; /* what is quoted, NULL: all of the text */
    const char *reason;
};

static const struct error_case error_cases[] = {
    {"port abc", NULL, "argument couldn't be parsed into an integer"},
    {"port", NULL, "wrong number of arguments"},
    {"port 1 2", NULL, "wrong number of arguments"},
    {"port \"1", NULL, "Unbalanced quotes in configuration line"},
    {"bind \"'a b\"", NULL, "Unbalanced quotes in configuration line"},
    {"bind 127.0.0.1 \"\"", NULL, "An address to bind to is empty or has blanks in it"},
    {"bind 127.0.0.1 \"a b\"", NULL, "An address to bind to is empty or has blanks in it"},
    {"nothing 1", NULL, "Bad directive or wrong number of arguments"},
    {"include", NULL, "Bad directive or wrong number of arguments"},
    {"rename-command get", NULL, "Bad directive or wrong number of arguments"},
    {"user", NULL, "Bad directive or wrong number of arguments"},
    {"lua-replicate-commands", NULL, "Bad directive or wrong number of arguments"},
    {"loadmodule /x.so", NULL, "Modules are not supported"},
    {"search.threads 4", NULL, "Modules are not supported"},
    {"sentinel monitor m 127.0.0.1 1 1", NULL, "sentinel directive while not in sentinel mode"},
    {"loglevel loud", NULL,
     "argument(s) must be one of the following: debug, verbose, notice, warning, nothing"},
    {"maxmemory-policy lru", NULL,
     "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, "
     "volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction"},
    {"dir /no/such/place", NULL, "No such file or directory"},
    {"unixsocketperm 8", NULL, "argument couldn't be parsed as an octal number"},
    {"unixsocketperm 1000", NULL, "argument must be between 0 and 777 inclusive"},
    {"appendfilename a/b", NULL, "appendfilename can't be a path, just a filename"},
    {"appendfilename \"\"", NULL, "appendfilename can't be empty"},
    {"appenddirname \"\"", NULL, "appenddirname can't be empty"},
    {"replicaof localhost x", NULL, "Invalid master port"},
    {"replicaof localhost", NULL, "wrong number of arguments"},
    {"include missing.conf", NULL,
     "Fatal error, can't open config file 'missing.conf': No such file or directory"},
    {"include .", NULL, "Fatal error, can't open config file '.': Is a directory"},
    {"port 12345678901234567890123456789012345678901234567890123456789012345678901234567890",
     "port 12345678901234567890123456789012345678901234567890123456789...",
     "argument couldn't be parsed into an integer"},
};

static void mistakes_are_named_with_file_line_and_text(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(error_cases) / sizeof(error_cases[0]); i++) {
        const struct error_case *c = &error_cases[i];
        char text[256];
        char expected[512];
        (void)snprintf(text, sizeof(text), "# one\n\n  %s \r\nport 1\n", c->text);
        (void)snprintf(expected, sizeof(expected),
                       "Reading the configuration file 'redis.conf', at line 3\n>>> '%s'\n%s",
                       c->line != NULL ? c->line : c->text, c->reason);
        assert_true(load(f, text) != ST_OK);
        assert_string_equal(f->err.message, expected);
    }
}

static void zero_bytes_and_missing_files_are_errors(void **state)
{
    struct fixture *f = *state;
    write_bytes("zero.conf", bytes_make("port 1\nport 2\0 3\n", 17));
    assert_int_equal(config_load_file(f->config, "zero.conf", &f->err), ST_INVALID);
    assert_non_null(strstr(f->err.message, "'zero.conf', at line 2\n"));
    assert_non_null(strstr(f->err.message, "Zero byte in configuration line"));
    assert_int_equal(config_load_file(f->config, "missing.conf", &f->err), ST_IO);
    assert_string_equal(f->err.message, "Fatal error, can't open config file 'missing.conf': No "
                                        "such file or directory");
}

static void includes_take_effect_at_their_place(void **state)
{
    struct fixture *f = *state;
    write_file("inner.conf", "timeout 2\nport 2\ninclude deepest.conf");
    write_file("deepest.conf", "tcp-keepalive 7\n");
    write_file("a1.conf", "databases 4\nmaxclients 5\n");
    write_file("a2.conf", "databases 5\n");
    assert_ok(load(f, "port 1\ninclude inner.conf\ntimeout 3\ninclude a[12].conf\n"
                      "include none*.conf\n"),
              &f->err);
    assert_int_equal(f->config->port, 2);
    assert_int_equal(f->config->timeout, 3);
    assert_int_equal(f->config->tcp_keepalive, 7);
    assert_int_equal(f->config->maxclients, 5);
    assert_int_equal(f->config->databases, 5);
}

static void mistakes_in_included_files_are_named_there(void **state)
{
    struct fixture *f = *state;
    write_file("inner.conf", "timeout 2\nport x\n");
    assert_int_equal(load(f, "port 1\ninclude inner.conf\n"), ST_INVALID);
    assert_non_null(strstr(f->err.message, "file 'inner.conf', at line 2\n>>> 'port x'"));
}

static void endless_inclusion_is_stopped(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "port 1\ninclude redis.conf\n"), ST_LIMIT);
    assert_non_null(strstr(f->err.message, "include files are nested more than 16 deep"));
}

static void dir_moves_the_process_at_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir("sub", 0755), 0);
    write_file("sub/there.conf", "port 9\n");
    assert_ok(load(f, "dir sub\ninclude there.conf\n"), &f->err);
    assert_int_equal(f->config->port, 9);
    char cwd[PATH_MAX];
    assert_string_equal(getcwd(cwd, sizeof(cwd)), f->config->dir);
    assert_non_null(strstr(f->config->config_file, "/redis.conf"));
    assert_null(strstr(f->config->config_file, "/sub/"));
}

static void cluster_mode_has_one_database_and_no_master(void **state)
{
    struct fixture *f = *state;
    log_set_level(LOG_NOTHING);
    assert_ok(load(f, "cluster-enabled yes\ndatabases 16\n"), &f->err);
    log_set_level(LOG_NOTICE);
    assert_int_equal(f->config->databases, 1);
    assert_int_equal(load(f, "cluster-enabled yes\nreplicaof a 1\n"), ST_INVALID);
    assert_string_equal(f->err.message, "replicaof directive not allowed in cluster mode");
}

/* Command lines */

struct args_case {
    const char *args[ARG_COUNT_MAX];
    const char *name;
    const char *shown;
    const char *other_name;
    const char *other_shown;
};

static const struct args_case args_cases[] = {
    {{"--port", "7000", "--loglevel", "verbose"}, "port", "7000", "loglevel", "verbose"},
    {{"--maxmemory 700mb", "--maxmemory-policy volatile-lru"},
     "maxmemory",
     "734003200",
     "maxmemory-policy",
     "volatile-lru"},
    {{"--maxmemory '700mb'", "--maxmemory-policy 'volatile-lru'"},
     "maxmemory",
     "734003200",
     "maxmemory-policy",
     "volatile-lru"},
    {{"base.conf", "loglevel", "verbose", "--port", "1"}, "loglevel", "verbose", "port", "1"},
    {{"--proc-title-template", "--my--title--template", "--loglevel", "verbose"},
     "proc-title-template",
     "--my--title--template",
     "loglevel",
     "verbose"},
    {{"--proc-title-template --my--title--template", "--loglevel verbose"},
     "proc-title-template",
     "--my--title--template",
     "loglevel",
     "verbose"},
    {{"--save", "--loglevel", "verbose"}, "save", "", "loglevel", "verbose"},
    {{"--loglevel", "verbose", "--save"}, "save", "", "loglevel", "verbose"},
    {{"--save", "", "--loglevel", "verbose"}, "save", "", "loglevel", "verbose"},
    {{"--loglevel", "verbose", "--save", ""}, "save", "", "loglevel", "verbose"},
    {{"--proc-title-template", "--save", "--save", "", "--loglevel", "verbose"},
     "proc-title-template",
     "--save",
     "save",
     ""},
    {{"--shutdown-on-sigint", "nosave", "force", "now", "--shutdown-on-sigterm", "nosave force"},
     "shutdown-on-sigint",
     "nosave now force",
     "shutdown-on-sigterm",
     "nosave force"},
    {{"--bind", "127.0.0.1", "::1", "--port", "0"}, "bind", "127.0.0.1 ::1", "port", "0"},
    {{"base.conf", "--port", "8"}, "port", "8", "timeout", "11"},
};

static void command_lines_are_read_as_in_redis(void **state)
{
    struct fixture *f = *state;
    write_file("base.conf", "port 7\ntimeout 11\n");
    for (size_t i = 0; i < sizeof(args_cases) / sizeof(args_cases[0]); i++) {
        const struct args_case *c = &args_cases[i];
        assert_ok(load_args(f, c->args), &f->err);
        assert_shown(f->config, c->name, c->shown);
        assert_shown(f->config, c->other_name, c->other_shown);
    }
}

static void wrong_command_lines_are_named(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *args[ARG_COUNT_MAX];
        const char *expected;
    } cases[] = {
        {{"--invalid"}, "1\n>>> 'invalid'\nBad directive or wrong number of arguments"},
        {{"--port"}, "1\n>>> 'port'\nwrong number of arguments"},
        {{"--port", "6380", "--loglevel"}, "2\n>>> 'loglevel'\nwrong number of arguments"},
        {{"--port", "6379", "6380"}, "1\n>>> 'port \"6379\" \"6380\"'\nwrong number of arguments"},
        {{"--port", "--loglevel", "verbose"},
         "1\n>>> 'port \"--loglevel\" \"verbose\"'\nwrong number of arguments"},
        {{"--port", "--bla", "--loglevel", "verbose"},
         "1\n>>> 'port \"--bla\"'\nargument couldn't be parsed into an integer"},
        {{"--shutdown-on-sigint"},
         "1\n>>> 'shutdown-on-sigint'\nargument(s) must be one of the following: default, save, "
         "nosave, now, force"},
        {{"--replicaof", "127.0.0.1", "abc"},
         "1\n>>> 'replicaof \"127.0.0.1\" \"abc\"'\nInvalid master port"},
        {{"--replicaof", "--127.0.0.1", "--abc"},
         "1\n>>> 'replicaof \"--127.0.0.1\"'\nwrong number of arguments"},
        {{"--sentinel", "--port", "1"},
         "1\n>>> 'sentinel'\nsentinel directive while not in sentinel mode"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[ERR_MESSAGE_BYTES_MAX];
        (void)snprintf(expected, sizeof(expected), "Reading the command line, at line %s",
                       cases[i].expected);
        assert_true(load_args(f, cases[i].args) != ST_OK);
        assert_string_equal(f->err.message, expected);
    }
}

static void standard_input_comes_between_file_and_options(void **state)
{
    struct fixture *f = *state;
    write_file("base.conf", "port 1\ntimeout 1\ntcp-keepalive 1\n");
    write_file("input", "timeout 2\ntcp-keepalive 2\n");
    int saved = dup(STDIN_FILENO);
    int fd = open("input", O_RDONLY);
    assert_true(saved >= 0 && fd >= 0);
    assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    assert_ok(ARGS(f, "base.conf", "--tcp-keepalive", "3", "-"), &f->err);
    assert_int_equal(f->config->port, 1);
    assert_int_equal(f->config->timeout, 2);
    assert_int_equal(f->config->tcp_keepalive, 3);
    assert_int_equal(lseek(STDIN_FILENO, 0, SEEK_SET), 0);
    assert_ok(ARGS(f, "-"), &f->err);
    assert_int_equal(f->config->timeout, 2);
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    (void)close(saved);
    (void)close(fd);
}

static void nothing_to_read_leaves_the_defaults(void **state)
{
    struct fixture *f = *state;
    assert_ok(config_load_args(f->config, 0, NULL, &f->err), &f->err);
    assert_int_equal(f->config->port, 6379);
    assert_string_equal(f->config->config_file, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(file_of_redis_is_read, setup, teardown),
        TEST_WITH(save_lines_add_up_and_the_first_replaces_the_default, setup, teardown),
        TEST_WITH(mistakes_are_named_with_file_line_and_text, setup, teardown),
        TEST_WITH(zero_bytes_and_missing_files_are_errors, setup, teardown),
        TEST_WITH(includes_take_effect_at_their_place, setup, teardown),
        TEST_WITH(mistakes_in_included_files_are_named_there, setup, teardown),
        TEST_WITH(endless_inclusion_is_stopped, setup, teardown),
        TEST_WITH(dir_moves_the_process_at_once, setup, teardown),
        TEST_WITH(cluster_mode_has_one_database_and_no_master, setup, teardown),
        TEST_WITH(command_lines_are_read_as_in_redis, setup, teardown),
        TEST_WITH(wrong_command_lines_are_named, setup, teardown),
        TEST_WITH(standard_input_comes_between_file_and_options, setup, teardown),
        TEST_WITH(nothing_to_read_leaves_the_defaults, setup, teardown),
    };
    return RUN_TESTS("config_file", tests);
}
