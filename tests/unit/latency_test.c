/* Goal: the latency monitor keeps one sample per second, the newest ones, and draws them. Method:
 * series made by hand. */
#include "server/latency.h"

#include "tests/support/harness.h"

static void samples_of_one_second_are_one(void **state)
{
    (void)state;
    struct latency *latency = latency_create();
    assert_null(latency_series(latency, LATENCY_COMMAND));
    latency_add(latency, LATENCY_COMMAND, 5, 1000);
    latency_add(latency, LATENCY_COMMAND, 9, 1000);
    latency_add(latency, LATENCY_COMMAND, 7, 1000);
    const struct latency_series *series = latency_series(latency, LATENCY_COMMAND);
    assert_non_null(series);
    assert_int_equal(latency_sample(series, 0)->ms, 9);
    assert_null(latency_sample(series, 1));
    assert_null(latency_series(latency, LATENCY_FAST_COMMAND));
    latency_destroy(latency);
}

static void the_newest_samples_are_kept(void **state)
{
    (void)state;
    struct latency *latency = latency_create();
    for (int i = 1; i <= LATENCY_SAMPLES_MAX + 3; i++)
        latency_add(latency, LATENCY_COLD_LOAD, i == 1 ? 500 : (uint64_t)i, i);
    const struct latency_series *series = latency_series(latency, LATENCY_COLD_LOAD);
    assert_int_equal(series->max_ms, 500); /* of those forgotten, too */
    assert_int_equal(latency_sample(series, 0)->at_s, LATENCY_SAMPLES_MAX + 3);
    assert_int_equal(latency_sample(series, LATENCY_SAMPLES_MAX - 1)->at_s, 4);
    assert_null(latency_sample(series, LATENCY_SAMPLES_MAX));
    latency_destroy(latency);
}

static void a_reset_forgets(void **state)
{
    (void)state;
    struct latency *latency = latency_create();
    latency_add(latency, LATENCY_COMMAND, 5, 1000);
    assert_true(latency_reset(latency, LATENCY_COMMAND));
    assert_false(latency_reset(latency, LATENCY_COMMAND));
    assert_null(latency_series(latency, LATENCY_COMMAND));
    latency_destroy(latency);
}

static void names_are_found_in_any_case(void **state)
{
    (void)state;
    for (int i = 0; i < LATENCY_EVENT_COUNT; i++) {
        enum latency_event event = (enum latency_event)i;
        assert_int_equal(latency_find(bytes_text(latency_name(event))), event);
    }
    assert_int_equal(latency_find(bytes_text("Cold-Load")), LATENCY_COLD_LOAD);
    assert_int_equal(latency_find(bytes_text("nosuch")), LATENCY_EVENT_COUNT);
    assert_int_equal(latency_find(bytes_text("")), LATENCY_EVENT_COUNT);
}

static void a_series_is_drawn_with_its_ages(void **state)
{
    (void)state;
    struct latency *latency = latency_create();
    latency_add(latency, LATENCY_COMMAND, 10, 100000);
    latency_add(latency, LATENCY_COMMAND, 40, 100000 + 86400 - 75);
    latency_add(latency, LATENCY_COMMAND, 20, 100000 + 86400 - 3);
    struct buf text = {0};
    latency_draw(latency, LATENCY_COMMAND, 100000 + 86400, &text);
    buf_append_byte(&text, 0);
    const char *expected = "command - high 40 ms, low 10 ms (all time high 40 ms)\n"
                           "----------------------------------------"
                           "----------------------------------------\n"
                           " # \n"
                           " | \n"
                           " |#\n"
                           "#||\n"
                           "\n"
                           "113\n"
                           "dms\n"
                           "   \n";
    assert_string_equal((const char *)text.data, expected);
    buf_deinit(&text);
    latency_destroy(latency);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_of_one_second_are_one),
        cmocka_unit_test(the_newest_samples_are_kept),
        cmocka_unit_test(a_reset_forgets),
        cmocka_unit_test(names_are_found_in_any_case),
        cmocka_unit_test(a_series_is_drawn_with_its_ages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
