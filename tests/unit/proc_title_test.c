/* Goal: process titles are made from templates as in Redis 7.2, and fit into the room there is.
 * Method: templates against a config; the arguments of a pretended program. */
#include "server/proc_title.h"

#include "codec/buf.h"
#include "codec/mem.h"
#include "server/config.h"
#include "tests/support/harness.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void templates_are_judged(void **state)
{
    (void)state;
    assert_true(proc_title_is_valid("{title} {listen-addr} {server-mode}"));
    assert_true(proc_title_is_valid("{port}{tls-port}{unixsocket}{config-file}"));
    assert_true(proc_title_is_valid("plain"));
    assert_true(proc_title_is_valid("{{"));
    assert_false(proc_title_is_valid(""));
    assert_false(proc_title_is_valid("  "));
    assert_false(proc_title_is_valid("{title}"));
    assert_false(proc_title_is_valid("x {nothing}"));
    assert_false(proc_title_is_valid("x {"));
    assert_false(proc_title_is_valid("x {title"));
}

static void assert_title(struct config *config, const char *template, const char *expected)
{
    char *saved = config->proc_title_template;
    config->proc_title_template = mem_strdup(template);
    struct buf out = {0};
    proc_title_expand(config, "basalt-server", &out);
    assert_bytes(buf_bytes(&out), bytes_text(expected));
    buf_deinit(&out);
    mem_free(config->proc_title_template);
    config->proc_title_template = saved;
}

static void variables_are_replaced(void **state)
{
    (void)state;
    struct config *config = config_create();
    assert_title(config, "{title} {listen-addr} {server-mode}", "basalt-server *:6379");
    assert_title(config, " {{x} {config-file} {port} {tls-port} ", "{x} - 6379 0");
    config->cluster_enabled = true;
    assert_title(config, "{title} {listen-addr} {server-mode}", "basalt-server *:6379 [cluster]");
    config->port = 0;
    mem_free(config->unixsocket);
    config->unixsocket = mem_strdup("/tmp/s");
    assert_title(config, "{listen-addr}", "unixsocket:/tmp/s");
    config_destroy(config);
}

static void titles_are_cut_off_at_the_room_there_is(void **state)
{
    (void)state;
    char **environment = environ;
    char area[] = "prog\0-x\0VALUE=1"; /* as the system lays them out: arguments, environment */
    char *variables[] = {area + 8, NULL};
    char *argv[] = {area, area + 5, NULL};
    struct proc_title title;
    environ = variables;
    proc_title_init(&title, 2, argv);
    assert_int_equal(title.size, sizeof(area));
    assert_string_equal(getenv("VALUE"), "1");
    proc_title_set(&title, "0123456789abcdefXYZ");
    assert_string_equal(area, "0123456789abcde");
    proc_title_set(&title, "short");
    assert_string_equal(area, "short");
    assert_string_equal(argv[0], "prog");
    assert_string_equal(argv[1], "-x");
    assert_string_equal(getenv("VALUE"), "1");
    mem_free(argv[0]);
    mem_free(argv[1]);
    mem_free(environ[0]);
    mem_free(environ);
    environ = environment;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(templates_are_judged),
        TEST(variables_are_replaced),
        TEST(titles_are_cut_off_at_the_room_there_is),
    };
    return RUN_TESTS("proc_title", tests);
}
