/* Goal: the score follows role and settings, and is given back as it was found.
 * Method: a file in place of the kernel's; CONFIG SET with the hook that the server registers. */
#include "server/oom_score.h"

#include "codec/mem.h"
#include "server/config.h"
#include "server/log.h"
#include "tests/support/harness.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void write_score(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* The first line; what a longer old text leaves behind in a plain file does not count. */
static void assert_score(const char *path, const char *expected)
{
    char text[64] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    assert_int_equal(fclose(file), 0);
    text[strcspn(text, "\n")] = '\0';
    assert_string_equal(text, expected);
}

static enum status set(struct config *config, const char *name, const char *value, struct err *err)
{
    const struct config_set_context context = {0};
    struct config_pair pair = {bytes_text(name), bytes_text(value)};
    return config_set(config, &pair, 1, &context, err);
}

static void score_follows_role_and_settings(void **state)
{
    (void)state;
    struct err err = {0};
    char path[256];
    char *dir = harness_make_dir();
    (void)snprintf(path, sizeof(path), "%s/score", dir);
    write_score(path, "7\n");
    struct oom_score score = {.path = path};
    struct config *config = config_create();
    config_on_change(config, "oom-score-adj", oom_score_apply, &score);
    config_on_change(config, "oom-score-adj-values", oom_score_apply, &score);
    assert_ok(oom_score_update(&score, config, &err), &err);
    assert_score(path, "7");
    assert_ok(set(config, "oom-score-adj-values", "10 20 30", &err), &err);
    assert_score(path, "7");
    assert_ok(set(config, "oom-score-adj", "yes", &err), &err);
    assert_score(path, "17");
    config_set_replicaof(config, "host", 1);
    assert_ok(oom_score_update(&score, config, &err), &err);
    assert_score(path, "27");
    assert_ok(set(config, "oom-score-adj", "absolute", &err), &err);
    assert_score(path, "20");
    assert_ok(set(config, "oom-score-adj-values", "0 2000 2000", &err), &err);
    assert_score(path, "1000");
    assert_ok(set(config, "oom-score-adj", "no", &err), &err);
    assert_score(path, "7");
    config_destroy(config);
    harness_remove_dir(dir);
    mem_free(dir);
}

static void refusal_of_the_system_rolls_the_setting_back(void **state)
{
    (void)state;
    struct err err = {0};
    struct oom_score score = {.path = "/no/such/place"};
    struct config *config = config_create();
    config_on_change(config, "oom-score-adj", oom_score_apply, &score);
    log_set_level(LOG_NOTHING);
    assert_int_equal(set(config, "oom-score-adj", "yes", &err), ST_INVALID);
    log_set_level(LOG_NOTICE);
    assert_string_equal(err.message,
                        "CONFIG SET failed (possibly related to argument 'oom-score-adj') - "
                        "Failed to set current oom_score_adj. Check server logs.");
    assert_int_equal(config->oom_score_adj, CONFIG_OOM_NO);
    config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(score_follows_role_and_settings),
        TEST(refusal_of_the_system_rolls_the_setting_back),
    };
    return RUN_TESTS("oom_score", tests);
}
