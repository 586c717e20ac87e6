/* Goal: counters, histograms and rates say what happened. Method: known series, compared with exact
 * answers where there are any and with the promised precision elsewhere. */
#include "server/stats.h"

#include "tests/support/harness.h"

#include <stdio.h>

static void an_empty_histogram_answers_zero(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    assert_int_equal(histogram_percentile_ns(&histogram, 99), 0);
    assert_int_equal(histogram_count_below(&histogram, UINT64_MAX), 0);
}

static void percentiles_are_within_three_percent(void **state)
{
    (void)state;
    static struct histogram histogram;
    histogram_reset(&histogram);
    for (uint64_t i = 1; i <= 100000; i++)
        histogram_record(&histogram, i * 1000);
    static const double percents[] = {1, 25, 50, 90, 99, 99.9, 100};
    for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        double exact = percents[i] * 1000000.0;
        double actual = (double)histogram_percentile_ns(&histogram, percents[i]);
        assert_true(actual >= exact * 0.999 && actual <= exact * 1.032);
    }
    assert_int_equal(histogram.max_ns, 100000000);
}

static void any_duration_has_a_bucket(void **state)
{
    (void)state;
    static struct histogram histogram;
    for (int bit = 0; bit < 64; bit++) {
        for (int64_t step = -1; step <= 1; step++) {
            histogram_reset(&histogram);
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)step;
            histogram_record(&histogram, value);
            uint64_t limit = (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1;
            uint64_t exact = value < limit ? value : limit;
            assert_int_equal(histogram_percentile_ns(&histogram, 50), exact);
            assert_int_equal(histogram.count, 1);
        }
    }
}

static void counts_below_a_limit_are_cumulative(void **state)
{
    (void)state;
    static struct histogram histogram;
    histogram_reset(&histogram);
    for (int i = 0; i < 10; i++)
        histogram_record(&histogram, UINT64_C(1000) << i);
    for (int i = 0; i < 10; i++)
        assert_int_equal(histogram_count_below(&histogram, UINT64_C(1024) << i), (uint64_t)i + 1);
}

static void commands_are_counted_by_id(void **state)
{
    (void)state;
    struct stats *stats = stats_create(3);
    stats_count_command(stats, 1, 500, true);
    stats_count_command(stats, 1, 700, false);
    assert_int_equal(stats->commands[1].calls, 2);
    assert_int_equal(stats->commands[1].duration_ns, 1200);
    assert_int_equal(stats->commands[1].latency->count, 1);
    assert_null(stats->commands[0].latency);
    assert_int_equal(stats->commands_processed, 2);
    stats_reset(stats);
    assert_int_equal(stats->commands[1].calls, 0);
    assert_null(stats->commands[1].latency);
    assert_int_equal(stats->command_count, 3);
    stats_destroy(stats);
}

static void errors_are_sorted_by_code(void **state)
{
    (void)state;
    struct stats *stats = stats_create(0);
    static const char *const codes[] = {"WRONGTYPE", "ERR", "NOAUTH", "ERR", "BUSY", "ERR"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        stats_count_error(stats, codes[i]);
    assert_int_equal(stats->error_count, 4);
    assert_string_equal(stats->errors[0].code, "BUSY");
    assert_string_equal(stats->errors[1].code, "ERR");
    assert_int_equal(stats->errors[1].count, 3);
    assert_string_equal(stats->errors[3].code, "WRONGTYPE");
    stats_destroy(stats);
}

static void error_codes_are_bounded(void **state)
{
    (void)state;
    struct stats *stats = stats_create(0);
    for (int i = 0; i < 1000; i++) {
        char code[16];
        (void)snprintf(code, sizeof(code), "CODE%d", i);
        stats_count_error(stats, code);
    }
    assert_int_equal(stats->error_count, STATS_ERROR_CODES_MAX);
    uint64_t overflow = 0;
    for (size_t i = 0; i < stats->error_count; i++) {
        if (strcmp(stats->errors[i].code, "ERRORSTATS_OVERFLOW") == 0)
            overflow = stats->errors[i].count;
    }
    assert_int_equal(overflow, 1000 - (STATS_ERROR_CODES_MAX - 1));
    stats_destroy(stats);
}

static void rates_are_means_of_sixteen_samples(void **state)
{
    (void)state;
    struct stats *stats = stats_create(0);
    uint64_t now_us = 1000000;
    stats_sample(stats, now_us);
    for (int i = 0; i < STATS_RATE_SAMPLE_COUNT; i++) {
        stats->commands_processed += 100;
        stats->input_bytes += 5000;
        stats->replication_input_bytes += 1000;
        stats->ticks += 10;
        stats->tick_duration_us += 250;
        stats_sample(stats, now_us + 50000); /* too early: no sample */
        now_us += 100000;
        stats_sample(stats, now_us);
    }
    assert_int_equal(stats_rate(stats, STATS_RATE_COMMANDS), 1000);
    assert_int_equal(stats_rate(stats, STATS_RATE_INPUT), 60000);
    assert_int_equal(stats_rate(stats, STATS_RATE_REPLICATION_INPUT), 10000);
    assert_int_equal(stats_rate(stats, STATS_RATE_OUTPUT), 0);
    assert_int_equal(stats_rate(stats, STATS_RATE_TICKS), 100);
    assert_true(stats_rate(stats, STATS_RATE_TICK_DURATION) >= 23);
    stats_destroy(stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_histogram_answers_zero), TEST(percentiles_are_within_three_percent),
        TEST(any_duration_has_a_bucket),       TEST(counts_below_a_limit_are_cumulative),
        TEST(commands_are_counted_by_id),      TEST(errors_are_sorted_by_code),
        TEST(error_codes_are_bounded),         TEST(rates_are_means_of_sixteen_samples),
    };
    return RUN_TESTS("stats", tests);
}
