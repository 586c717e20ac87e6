/* Goal: timers, wakeups, signals and tick-end hooks run when and as often as promised. Method: the
 * real loop; waits are bounded by what is waited for. */
#include "server/loop.h"

#include "tests/support/harness.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

struct counts {
    struct loop *loop;
    struct loop_timer *timer;
    struct loop_wakeup *wakeup;
    int timers;
    int wakeups;
    int ticks;
    int late_ticks;
    int signals;
    int last_signal;
    int again;
};

static int set_up(void **state)
{
    static struct counts counts;
    counts = (struct counts){0};
    struct err err;
    if (loop_open(&counts.loop, &err) != ST_OK)
        return -1;
    *state = &counts;
    return 0;
}

static int tear_down(void **state)
{
    struct counts *counts = *state;
    loop_timer_destroy(counts->timer);
    loop_wakeup_destroy(counts->wakeup);
    loop_close(counts->loop);
    return 0;
}

static void on_timer(void *arg)
{
    struct counts *counts = arg;
    if (++counts->timers == 3)
        loop_stop(counts->loop);
}

static void on_tick(void *arg)
{
    struct counts *counts = arg;
    counts->ticks++;
    if (counts->again > 0) {
        counts->again--;
        loop_again(counts->loop);
        if (counts->again == 0)
            loop_stop(counts->loop);
    }
}

static void on_late_tick(void *arg)
{
    struct counts *counts = arg;
    counts->late_ticks++;
    assert_int_equal(counts->ticks, counts->late_ticks);
}

static void on_wakeup(void *arg)
{
    struct counts *counts = arg;
    counts->wakeups++;
    loop_stop(counts->loop);
}

static void on_signal(void *arg, int number)
{
    struct counts *counts = arg;
    counts->signals++;
    counts->last_signal = number;
    loop_stop(counts->loop);
}

static void a_repeating_timer_fires_until_stopped(void **state)
{
    struct counts *counts = *state;
    counts->timer = loop_timer_create(counts->loop, on_timer, counts);
    int64_t before_ms = loop_now_ms(counts->loop);
    loop_timer_start(counts->timer, 2, 2);
    loop_run(counts->loop);
    assert_int_equal(counts->timers, 3);
    assert_true(loop_now_ms(counts->loop) - before_ms >= 6);
    loop_timer_stop(counts->timer);
    loop_run_once(counts->loop);
    assert_int_equal(counts->timers, 3);
}

static void a_single_timer_fires_once(void **state)
{
    struct counts *counts = *state;
    counts->timer = loop_timer_create(counts->loop, on_timer, counts);
    loop_timer_start(counts->timer, 0, 0);
    for (int i = 0; i < 5; i++)
        loop_run_once(counts->loop);
    assert_int_equal(counts->timers, 1);
}

static void hooks_run_at_each_tick_in_their_order(void **state)
{
    struct counts *counts = *state;
    loop_on_tick_end(counts->loop, on_tick, counts);
    loop_on_tick_end(counts->loop, on_late_tick, counts);
    for (int i = 0; i < 4; i++)
        loop_run_once(counts->loop);
    assert_int_equal(counts->ticks, 4);
    assert_int_equal(counts->late_ticks, 4);
}

static void the_loop_goes_on_at_once_when_asked(void **state)
{
    struct counts *counts = *state;
    loop_on_tick_end(counts->loop, on_tick, counts);
    /* Keeps the loop alive; it would sleep for an hour. */
    counts->timer = loop_timer_create(counts->loop, on_timer, counts);
    loop_timer_start(counts->timer, 3600000, 0);
    counts->again = 100;
    loop_run(counts->loop);
    assert_true(counts->ticks >= 100);
}

static void *signal_often(void *wakeup)
{
    for (int i = 0; i < 1000; i++)
        loop_wakeup_signal(wakeup);
    return NULL;
}

static void a_wakeup_from_another_thread_reaches_the_loop(void **state)
{
    struct counts *counts = *state;
    counts->wakeup = loop_wakeup_create(counts->loop, on_wakeup, counts);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, signal_often, counts->wakeup), 0);
    loop_run(counts->loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    loop_run_once(counts->loop);
    assert_true(counts->wakeups >= 1 && counts->wakeups <= 1000);
}

static void a_wakeup_needs_no_function(void **state)
{
    struct counts *counts = *state;
    counts->wakeup = loop_wakeup_create(counts->loop, NULL, NULL);
    loop_wakeup_signal(counts->wakeup);
    loop_run_once(counts->loop);
}

static void signals_arrive_as_calls(void **state)
{
    struct counts *counts = *state;
    loop_on_signal(counts->loop, on_signal, counts);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    loop_run(counts->loop);
    assert_int_equal(counts->last_signal, SIGTERM);
    assert_int_equal(kill(getpid(), SIGINT), 0);
    loop_run(counts->loop);
    assert_int_equal(counts->last_signal, SIGINT);
    assert_int_equal(counts->signals, 2);
    /* Ignored. */
    assert_int_equal(kill(getpid(), SIGHUP), 0);
    assert_int_equal(kill(getpid(), SIGPIPE), 0);
}

#define LOOP_TEST(function) TEST_WITH(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_repeating_timer_fires_until_stopped),
        LOOP_TEST(a_single_timer_fires_once),
        LOOP_TEST(hooks_run_at_each_tick_in_their_order),
        LOOP_TEST(the_loop_goes_on_at_once_when_asked),
        LOOP_TEST(a_wakeup_from_another_thread_reaches_the_loop),
        LOOP_TEST(a_wakeup_needs_no_function),
        LOOP_TEST(signals_arrive_as_calls),
    };
    return RUN_TESTS("loop", tests);
}
