/* Goal: CONFIG GET and CONFIG SET answer as Redis 7.2's, and a set happens whole or not at all.
 * Method: tables of (name, value, expected text or reply) on a fresh struct; hooks that count and
 * fail. */
#include "server/config.h"

#include "codec/buf.h"
#include "codec/mem.h"
#include "server/config_internal.h"
#include "server/log.h"
#include "server/notify.h"
#include "tests/support/harness.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static const struct config_set_context context = {0};

struct fixture {
    struct config *config;
    char *cwd; /* what setup found; restored */
    char *dir;
    struct err err;
};

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    char cwd[PATH_MAX];
    f->cwd = mem_strdup(getcwd(cwd, sizeof(cwd)));
    f->dir = harness_make_dir();
    f->config = config_create();
    log_set_level(LOG_NOTHING); /* failed hooks are logged, rightly */
    *state = f;
    return 0;
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

/* Sets name-value pairs given as a list that NULL ends. */
static enum status set_many(struct fixture *f, const struct config_set_context *how,
                            const char *const *texts)
{
    struct config_pair pairs[16];
    size_t count = 0;
    for (; texts[0] != NULL; texts += 2)
        pairs[count++] = (struct config_pair){bytes_text(texts[0]), bytes_text(texts[1])};
    f->err = (struct err){0};
    return config_set(f->config, pairs, count, how, &f->err);
}

#define SET(f, ...) set_many((f), &context, (const char *const[]){__VA_ARGS__, NULL})

static void append_pair(void *arg, struct bytes name, struct bytes value)
{
    struct buf *out = arg;
    buf_append_format(out, "%.*s=%.*s;", (int)name.len, (const char *)name.data, (int)value.len,
                      value.len > 0 ? (const char *)value.data : "");
}

static void assert_shown(const struct fixture *f, const char *name, const char *expected)
{
    struct buf out = {0};
    struct buf wanted = {0};
    struct bytes pattern = bytes_text(name);
    (void)config_get(f->config, &pattern, 1, append_pair, &out);
    buf_append_format(&wanted, "%s=%s;", name, expected);
    assert_bytes(buf_bytes(&out), buf_bytes(&wanted));
    buf_deinit(&out);
    buf_deinit(&wanted);
}

static void table_is_consistent(void **state)
{
    const struct fixture *f = *state;
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *s = &config_settings[i];
        assert_ptr_equal(config_find(f->config, bytes_text(s->name))->setting, s);
        if (s->alias != NULL)
            assert_ptr_equal(config_find(f->config, bytes_text(s->alias))->setting, s);
        if (s->kind == &config_kind_int)
            assert_true(s->min >= INT_MIN && s->max <= INT_MAX);
        if (s->kind == &config_kind_uint)
            assert_true(s->min >= 0 && s->max <= UINT_MAX);
        if (s->kind == &config_kind_i64)
            assert_true(s->max <= INT64_MAX);
        if (s->kind == &config_kind_choice || s->kind == &config_kind_flags)
            assert_non_null(s->choices);
        /* No two settings share a field. */
        for (size_t j = 0; j < i; j++)
            assert_true(s->offset == SETTING_INERT || s->offset != config_settings[j].offset);
    }
}

struct value_case {
    const char *name;
    const char *value;
    const char *shown; /* after a successful set */
    const char *error; /* else the reason, behind "... - " */
};

static const struct value_case value_cases[] = {
    {"appendfsync", "ALWAYS", "always", NULL},
    {"appendfsync", "sometimes", NULL,
     "argument(s) must be one of the following: everysec, always, no"},
    {"protected-mode", "No", "no", NULL},
    {"protected-mode", "1", NULL, "argument must be 'yes' or 'no'"},
    {"timeout", "0", "0", NULL},
    {"timeout", "-1", NULL, "argument must be between 0 and 2147483647 inclusive"},
    {"timeout", "2147483647", "2147483647", NULL},
    {"timeout", "2147483648", NULL, "argument must be between 0 and 2147483647 inclusive"},
    {"timeout", "10s", NULL, "argument couldn't be parsed into an integer"},
    {"timeout", "", NULL, "argument couldn't be parsed into an integer"},
    {"timeout", "010", NULL, "argument couldn't be parsed into an integer"},
    {"maxclients", "0", NULL, "argument must be between 1 and 4294967295 inclusive"},
    {"maxclients", "-1", NULL, "argument must be between 1 and 4294967295 inclusive"},
    {"maxclients", "4294967295", "4294967295", NULL},
    {"maxmemory", "1gb", "1073741824", NULL},
    {"maxmemory", "1G", "1000000000", NULL},
    {"maxmemory", "18446744073709551615", "18446744073709551615", NULL},
    {"maxmemory", "18446744073709551616", NULL, "argument must be a memory value"},
    {"maxmemory", "17179869184gb", NULL, "argument must be a memory value"},
    {"maxmemory", "-1", NULL, "argument must be a memory value"},
    {"maxmemory", "10tb", NULL, "argument must be a memory value"},
    {"repl-backlog-size", "9223372036854775808", NULL,
     "argument must be between 1 and 9223372036854775807 inclusive"},
    {"proto-max-bulk-len", "1048575", NULL,
     "argument must be between 1048576 and 9223372036854775807 inclusive"},
    {"maxmemory-clients", "50%", "50%", NULL},
    {"maxmemory-clients", "100%", "100%", NULL},
    {"maxmemory-clients", "10mb", "10485760", NULL},
    {"maxmemory-clients", "200%", NULL, "percentage argument must be less or equal to 100"},
    {"maxmemory-clients", "%", NULL, "argument must be a memory or percent value"},
    {"slowlog-log-slower-than", "-1", "-1", NULL},
    {"slowlog-log-slower-than", "-2", NULL,
     "argument must be between -1 and 9223372036854775807 inclusive"},
    {"list-max-listpack-size", "-2147483648", "-2147483648", NULL},
    {"hz", "0", "1", NULL},
    {"hz", "100000", "500", NULL},
    {"dbfilename", "a/b", NULL, "can't set protected config"},
    {"requirepass", "", "", NULL},
    {"requirepass", "secret", "secret", NULL},
    {"save", "", "", NULL},
    {"save", "3600 1 300 100", "3600 1 300 100", NULL},
    {"save", "3600", NULL, "Invalid save parameters"},
    {"save", "0 1", NULL, "Invalid save parameters"},
    {"save", "1 -1", NULL, "Invalid save parameters"},
    {"save", "a b", NULL, "Invalid save parameters"},
    {"save", "60  1", NULL, "Invalid save parameters"},
    {"bind", "", "", NULL},
    {"bind", "127.0.0.1 -::1", "127.0.0.1 -::1", NULL},
    {"bind", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", NULL,
     "Too many bind addresses specified."},
    {"client-output-buffer-limit", "replica 1mb 2kb 3",
     "normal 0 0 0 slave 1048576 2048 3 pubsub 33554432 8388608 60", NULL},
    {"client-output-buffer-limit", "normal 1 2", NULL,
     "Wrong number of arguments in buffer limit configuration."},
    {"client-output-buffer-limit", "master 1 2 3", NULL,
     "Invalid client class specified in buffer limit configuration."},
    {"client-output-buffer-limit", "normal 1 2 3 pubsub 1 x 3", NULL,
     "Error in hard, soft or soft_seconds setting in buffer limit configuration."},
    {"oom-score-adj-values", "1 2 3", "1 2 3", NULL},
    {"oom-score-adj-values", "1 2", NULL, "wrong number of arguments"},
    {"oom-score-adj-values", "1 2 2001", NULL,
     "Invalid oom-score-adj-values, elements must be between -2000 and 2000."},
    {"oom-score-adj", "relative", "yes", NULL},
    {"notify-keyspace-events", "KEA", "AKE", NULL},
    {"notify-keyspace-events", "gxE$lshzted", "AE", NULL},
    {"notify-keyspace-events", "AnKm", "AnKm", NULL},
    {"notify-keyspace-events", "T", "T", NULL},
    {"notify-keyspace-events", "", "", NULL},
    {"notify-keyspace-events", "KQ", NULL, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."},
    {"latency-tracking-info-percentiles", "50 99.90 100", "50 99.9 100", NULL},
    {"latency-tracking-info-percentiles", "", "", NULL},
    {"latency-tracking-info-percentiles", "101", NULL,
     "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"},
    {"latency-tracking-info-percentiles", "50 x", NULL,
     "Invalid latency-tracking-info-percentiles parameters"},
    {"shutdown-on-sigterm", "nosave force now", "nosave now force", NULL},
    {"shutdown-on-sigterm", "default", "default", NULL},
    {"shutdown-on-sigterm", "save nosave", NULL,
     "shutdown options SAVE and NOSAVE can't be used simultaneously"},
    {"shutdown-on-sigterm", "", NULL,
     "argument(s) must be one of the following: default, save, nosave, now, force"},
    {"proc-title-template", "{title} {port}", "{title} {port}", NULL},
    {"proc-title-template", "{unknown}", NULL,
     "template format is invalid or contains unknown variables"},
    {"proc-title-template", "", NULL, "template format is invalid or contains unknown variables"},
    {"locale-collate", "C", "C", NULL},
    {"locale-collate", "no_such_locale", NULL, "Invalid locale name"},
    {"cluster-announce-hostname", "a-b.c", "a-b.c", NULL},
    {"cluster-announce-hostname", "a_b", NULL,
     "Hostnames may only contain alphanumeric characters, hyphens or dots"},
    {"cluster-announce-human-nodename", "a b", NULL,
     "Announced human node name contained invalid character"},
    {"activedefrag", "yes", NULL,
     "Active defragmentation cannot be enabled: it requires a modified Jemalloc"},
    {"appendonly", "no", "no", NULL}, /* inert */
    {"auto-aof-rewrite-min-size", "1mb", "1048576", NULL},
    {"ignore-warnings", "ARM64-COW-BUG", "ARM64-COW-BUG", NULL},
    {"port", "65536", NULL, "argument must be between 0 and 65535 inclusive"},
    {"daemonize", "yes", NULL, "can't set immutable config"},
    {"daemonize", "no", NULL, "can't set immutable config"}, /* though it is so already */
    {"loader-threads", "9", NULL, "can't set immutable config"},
    {"loader-threads", "32", "32", NULL}, /* our own: it is so already */
    {"debug-always-cold", "yes", NULL, "can't set debug config"},
    {"slave-priority", "x", NULL, "argument couldn't be parsed into an integer"},
};

static void values_are_judged_and_shown_as_in_redis(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(value_cases) / sizeof(value_cases[0]); i++) {
        const struct value_case *c = &value_cases[i];
        enum status st = SET(f, c->name, c->value);
        if (c->error == NULL) {
            assert_ok(st, &f->err);
            assert_shown(f, c->name, c->shown);
            continue;
        }
        char expected[ERR_MESSAGE_BYTES_MAX];
        (void)snprintf(expected, sizeof(expected),
                       "CONFIG SET failed (possibly related to argument '%s') - %s", c->name,
                       c->error);
        assert_int_equal(st, ST_INVALID);
        assert_string_equal(f->err.message, expected);
    }
}

static void typed_fields_follow_the_text(void **state)
{
    struct fixture *f = *state;
    struct config *c = f->config;
    assert_int_equal(c->port, 6379);
    assert_int_equal(c->maxclients, 10000);
    assert_int_equal(c->proto_max_bulk_len, 512 << 20);
    assert_int_equal(c->bind.count, 2);
    assert_string_equal(c->bind.addresses[0], "*");
    assert_string_equal(c->bind.addresses[1], "-::*");
    assert_int_equal(c->save.count, 0);
    assert_int_equal(c->client_output_buffer_limit[CONFIG_CLIENT_PUBSUB].soft_bytes, 8 << 20);
    assert_int_equal(c->latency_tracking_info_percentiles.count, 3);
    assert_null(c->replicaof.host);
    assert_string_equal(c->unixsocket, "");
    assert_int_equal(c->requirepass.len, 0);
    assert_int_equal(c->loglevel, LOG_NOTICE);
    assert_ok(SET(f, "maxmemory-policy", "allkeys-lfu", "notify-keyspace-events", "Kg", "loglevel",
                  "debug", "maxmemory-clients", "5%"),
              &f->err);
    assert_int_equal(c->maxmemory_policy, CONFIG_POLICY_ALLKEYS_LFU);
    assert_string_equal(config_maxmemory_policy_name(c->maxmemory_policy), "allkeys-lfu");
    assert_int_equal(c->notify_keyspace_events, NOTIFY_KEYSPACE | NOTIFY_GENERIC);
    assert_int_equal(c->loglevel, LOG_DEBUG);
    assert_int_equal(c->maxmemory_clients, -5);
}

static void every_setting_accepts_what_it_shows(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *s = &config_settings[i];
        if (s->flags & (SETTING_IMMUTABLE | SETTING_PROTECTED | SETTING_DEBUG))
            continue;
        struct buf shown = {0};
        s->kind->format(s, config_slot(f->config, s), &shown);
        struct config_pair pair = {bytes_text(s->name), buf_bytes(&shown)};
        assert_ok(config_set(f->config, &pair, 1, &context, &f->err), &f->err);
        struct buf again = {0};
        s->kind->format(s, config_slot(f->config, s), &again);
        assert_bytes(buf_bytes(&again), buf_bytes(&shown));
        buf_deinit(&shown);
        buf_deinit(&again);
    }
}

static void secrets_may_hold_any_byte(void **state)
{
    struct fixture *f = *state;
    struct config_pair pair = {bytes_text("masterauth"), bytes_make("a\0b\xff", 4)};
    assert_ok(config_set(f->config, &pair, 1, &context, &f->err), &f->err);
    assert_bytes(f->config->masterauth, bytes_make("a\0b\xff", 4));
    pair = (struct config_pair){bytes_text("masteruser"), bytes_make("a\0b", 3)};
    assert_int_equal(config_set(f->config, &pair, 1, &context, &f->err), ST_INVALID);
    assert_true(config_is_sensitive(f->config, bytes_text("MasterAuth")));
    assert_true(config_is_sensitive(f->config, bytes_text("requirepass")));
    assert_false(config_is_sensitive(f->config, bytes_text("port")));
    assert_false(config_is_sensitive(f->config, bytes_text("nothing")));
}

/* Get */

static void get_finds_names_aliases_and_patterns_once(void **state)
{
    const struct fixture *f = *state;
    struct buf out = {0};
    struct bytes patterns[] = {bytes_text("MaxMemory"),  bytes_text("maxmemory"),
                               bytes_text("maxmemory*"), bytes_text("*of"),
                               bytes_text("BIND"),       bytes_text("nothing"),
                               bytes_text("no*thing")};
    size_t count = config_get(f->config, patterns, 7, append_pair, &out);
    assert_int_equal(count, config_get(f->config, patterns, 7, NULL, NULL));
    assert_bytes(buf_bytes(&out),
                 bytes_text("MaxMemory=0;maxmemory-clients=0;maxmemory-eviction-tenacity=10;"
                            "maxmemory-policy=noeviction;maxmemory-samples=5;replicaof=;slaveof=;"
                            "BIND=* -::*;"));
    assert_int_equal(count, 8);
    buf_deinit(&out);
}

static void get_of_everything_leaves_out_the_hidden(void **state)
{
    const struct fixture *f = *state;
    struct buf out = {0};
    struct bytes pattern = bytes_text("*");
    size_t count = config_get(f->config, &pattern, 1, append_pair, &out);
    buf_append_byte(&out, '\0');
    assert_true(count > 200);
    assert_null(strstr((char *)out.data, "key-load-delay="));
    assert_null(strstr((char *)out.data, "debug-always-cold="));
    assert_non_null(strstr((char *)out.data, ";slave-priority=100;"));
    assert_non_null(strstr((char *)out.data, ";hash-max-ziplist-value=64;"));
    assert_non_null(strstr((char *)out.data, ";flush-interval=10000;"));
    buf_deinit(&out);
    assert_shown(f, "key-load-delay", "0");
    pattern = bytes_text("key-load-dela?");
    assert_int_equal(config_get(f->config, &pattern, 1, NULL, NULL), 0);
}

/* Set */

static void several_pairs_are_set_together(void **state)
{
    struct fixture *f = *state;
    assert_ok(SET(f, "MAXMEMORY", "10000001", "repl-backlog-size", "10000002", "save", "3000 5"),
              &f->err);
    assert_shown(f, "maxmemory", "10000001");
    assert_shown(f, "repl-backlog-size", "10000002");
    assert_shown(f, "save", "3000 5");
    /* An alias and its name are two parameters; the later one counts. */
    assert_ok(SET(f, "hash-max-ziplist-entries", "4", "hash-max-listpack-entries", "5"), &f->err);
    assert_shown(f, "hash-max-ziplist-entries", "5");
}

static void one_bad_pair_changes_nothing(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        const char *value;
        const char *message;
    } cases[] = {
        {"maxmemory-clients", "200%",
         "CONFIG SET failed (possibly related to argument 'maxmemory-clients') - percentage "
         "argument must be less or equal to 100"},
        {"nothing", "1", "Unknown option or number of arguments for CONFIG SET - 'nothing'"},
        {"MaxMemory", "2",
         "CONFIG SET failed (possibly related to argument 'MaxMemory') - duplicate parameter"},
        {"DIR", "/tmp",
         "CONFIG SET failed (possibly related to argument 'DIR') - can't set protected config"},
        {"Port", "x",
         "CONFIG SET failed (possibly related to argument 'port') - argument couldn't be parsed "
         "into an integer"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(SET(f, "maxmemory", "10000001", "save", "1 1", "requirepass", "x",
                             cases[i].name, cases[i].value),
                         ST_INVALID);
        assert_string_equal(f->err.message, cases[i].message);
        assert_shown(f, "maxmemory", "0");
        assert_shown(f, "save", "");
        assert_shown(f, "requirepass", "");
    }
}

static void permissions_open_protected_and_debug_settings(void **state)
{
    struct fixture *f = *state;
    const char *const texts[] = {"dbfilename", "x.rdb", "debug-always-cold", "yes", NULL};
    struct config_set_context local = {.client_is_local = true};
    f->config->enable_protected_configs = CONFIG_PERMIT_LOCAL;
    f->config->enable_debug_command = CONFIG_PERMIT_YES;
    assert_int_equal(set_many(f, &context, texts), ST_INVALID);
    assert_ok(set_many(f, &local, texts), &f->err);
    assert_true(f->config->debug_always_cold);
    assert_int_equal(SET(f, "dbfilename", "a/b"), ST_INVALID);
    f->config->enable_protected_configs = CONFIG_PERMIT_YES;
    assert_int_equal(SET(f, "dbfilename", "a/b"), ST_INVALID);
    assert_string_equal(f->err.message,
                        "CONFIG SET failed (possibly related to argument 'dbfilename') - "
                        "dbfilename can't be a path, just a filename");
    assert_ok(SET(f, "dbfilename", "y.rdb"), &f->err);
}

static void some_settings_wait_until_the_data_set_is_loaded(void **state)
{
    struct fixture *f = *state;
    struct config_set_context loading = {.loading = true};
    f->config->enable_protected_configs = CONFIG_PERMIT_YES;
    assert_int_equal(set_many(f, &loading, (const char *const[]){"dir", "/tmp", NULL}), ST_AGAIN);
    assert_ok(set_many(f, &loading, (const char *const[]){"loglevel", "warning", NULL}), &f->err);
}

static void dir_is_entered_and_left_again_when_the_set_fails(void **state)
{
    struct fixture *f = *state;
    char cwd[PATH_MAX];
    f->config->enable_protected_configs = CONFIG_PERMIT_YES;
    assert_int_equal(SET(f, "dir", "/no/such/place"), ST_INVALID);
    assert_string_equal(f->err.message, "CONFIG SET failed (possibly related to argument 'dir') - "
                                        "No such file or directory");
    assert_int_equal(SET(f, "dir", "/dev/null"), ST_INVALID);
    assert_string_equal(f->err.message,
                        "CONFIG SET failed (possibly related to argument 'dir') - Not a directory");
    assert_shown(f, "dir", f->cwd);
    assert_ok(SET(f, "dir", f->dir), &f->err);
    assert_string_equal(getcwd(cwd, sizeof(cwd)), f->config->dir);
    assert_ok(SET(f, "dir", ".."), &f->err);
    assert_string_equal(getcwd(cwd, sizeof(cwd)), f->config->dir);
}

/* Hooks */

struct hook {
    int calls;
    int fail_at; /* the call that fails, from 1; 0: none */
    int port_seen;
    uint64_t maxmemory_seen;
};

static enum status run_hook(void *arg, const struct config *config, struct err *err)
{
    struct hook *hook = arg;
    hook->calls++;
    hook->port_seen = config->port;
    hook->maxmemory_seen = config->maxmemory;
    if (hook->calls == hook->fail_at)
        return err_set(err, ST_IO, "Unable to listen on this port. Check server logs.");
    return ST_OK;
}

static void hooks_run_once_and_only_for_changes(void **state)
{
    struct fixture *f = *state;
    struct hook hook = {0};
    struct hook other = {0};
    config_on_change(f->config, "port", run_hook, &hook);
    config_on_change(f->config, "bind", run_hook, &hook);
    config_on_change(f->config, "port", run_hook, &other);
    assert_ok(SET(f, "port", "6379", "bind", "* -::*", "timeout", "5"), &f->err);
    assert_int_equal(hook.calls, 0);
    assert_ok(SET(f, "port", "7000", "bind", "127.0.0.1"), &f->err);
    assert_int_equal(hook.calls, 1);
    assert_int_equal(hook.port_seen, 7000);
    assert_int_equal(other.calls, 1);
    assert_ok(SET(f, "bind", "127.0.0.1 ::1"), &f->err);
    assert_int_equal(hook.calls, 2);
    assert_int_equal(other.calls, 1);
}

static void settings_that_name_files_are_applied_even_when_equal(void **state)
{
    struct fixture *f = *state;
    struct hook hook = {0};
    config_on_change(f->config, "tls-cert-file", run_hook, &hook);
    assert_ok(SET(f, "tls-cert-file", "a.pem"), &f->err);
    assert_ok(SET(f, "tls-cert-file", "a.pem"), &f->err);
    assert_int_equal(hook.calls, 2);
}

static void a_hook_that_refuses_rolls_everything_back(void **state)
{
    struct fixture *f = *state;
    struct hook first = {0};
    struct hook second = {.fail_at = 1};
    struct hook third = {0};
    config_on_change(f->config, "maxmemory", run_hook, &first);
    config_on_change(f->config, "port", run_hook, &second);
    config_on_change(f->config, "timeout", run_hook, &third);
    assert_int_equal(SET(f, "maxmemory", "10000001", "save", "1 1", "hash-max-ziplist-entries", "1",
                         "hash-max-listpack-entries", "2", "port", "7001", "timeout", "9"),
                     ST_INVALID);
    assert_string_equal(f->err.message,
                        "CONFIG SET failed (possibly related to argument 'port') - Unable to "
                        "listen on this port. Check server logs.");
    assert_shown(f, "maxmemory", "0");
    assert_shown(f, "save", "");
    assert_shown(f, "hash-max-listpack-entries", "512");
    assert_shown(f, "port", "6379");
    assert_shown(f, "timeout", "0");
    /* Those that ran were asked again, with the old values; the third never ran. */
    assert_int_equal(first.calls, 2);
    assert_int_equal(first.maxmemory_seen, 0);
    assert_int_equal(second.calls, 2);
    assert_int_equal(second.port_seen, 6379);
    assert_int_equal(third.calls, 0);
    /* The next attempt succeeds. */
    assert_ok(SET(f, "port", "7001"), &f->err);
    assert_shown(f, "port", "7001");
}

static void replicaof_is_set_by_its_command_only(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(SET(f, "replicaof", "127.0.0.1 6379"), ST_INVALID);
    config_set_replicaof(f->config, "127.0.0.1", 7000);
    assert_shown(f, "slaveof", "127.0.0.1 7000");
    config_set_replicaof(f->config, NULL, 0);
    assert_shown(f, "replicaof", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(table_is_consistent, setup, teardown),
        TEST_WITH(values_are_judged_and_shown_as_in_redis, setup, teardown),
        TEST_WITH(typed_fields_follow_the_text, setup, teardown),
        TEST_WITH(every_setting_accepts_what_it_shows, setup, teardown),
        TEST_WITH(secrets_may_hold_any_byte, setup, teardown),
        TEST_WITH(get_finds_names_aliases_and_patterns_once, setup, teardown),
        TEST_WITH(get_of_everything_leaves_out_the_hidden, setup, teardown),
        TEST_WITH(several_pairs_are_set_together, setup, teardown),
        TEST_WITH(one_bad_pair_changes_nothing, setup, teardown),
        TEST_WITH(permissions_open_protected_and_debug_settings, setup, teardown),
        TEST_WITH(some_settings_wait_until_the_data_set_is_loaded, setup, teardown),
        TEST_WITH(dir_is_entered_and_left_again_when_the_set_fails, setup, teardown),
        TEST_WITH(hooks_run_once_and_only_for_changes, setup, teardown),
        TEST_WITH(settings_that_name_files_are_applied_even_when_equal, setup, teardown),
        TEST_WITH(a_hook_that_refuses_rolls_everything_back, setup, teardown),
        TEST_WITH(replicaof_is_set_by_its_command_only, setup, teardown),
    };
    return RUN_TESTS("config", tests);
}
