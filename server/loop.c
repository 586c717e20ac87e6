/* Tick-end hooks hang on libuv's prepare phase, which comes right before polling and after timers:
 * the one place per cycle that everything passes. loop_again() keeps an idle handle active for one
 * cycle, which makes libuv poll without waiting. */
#include "server/loop.h"

#include "codec/check.h"
#include "codec/mem.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <uv.h>

struct tick_hook {
    loop_fn *fn;
    void *arg;
};

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_idle_t idle;
    bool again; /* the idle handle is active */
    struct tick_hook hooks[LOOP_TICK_HOOKS_MAX];
    int hook_count;
    uv_signal_t signals[2]; /* SIGTERM, SIGINT; initialised when watched */
    bool signals_watched;
    loop_signal_fn *signal_fn;
    void *signal_arg;
};

struct loop_timer {
    uv_timer_t uv;
    loop_fn *fn;
    void *arg;
};

struct loop_wakeup {
    uv_async_t uv;
    loop_fn *fn;
    void *arg;
};

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop *loop = prepare->data;
    if (loop->again) {
        loop->again = false;
        (void)uv_idle_stop(&loop->idle);
    }
    for (int i = 0; i < loop->hook_count; i++)
        loop->hooks[i].fn(loop->hooks[i].arg);
}

static void ignore_signal(int number)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(number, &action, NULL);
}

enum status loop_open(struct loop **loop_out, struct err *err)
{
    struct loop *loop = mem_calloc(1, sizeof(*loop));
    int result = uv_loop_init(&loop->uv);
    if (result != 0) {
        mem_free(loop);
        return err_set_os(err, ST_IO, -result, "Can't create the event loop: %s",
                          uv_strerror(result));
    }
    CHECK(uv_prepare_init(&loop->uv, &loop->prepare) == 0);
    CHECK(uv_idle_init(&loop->uv, &loop->idle) == 0);
    loop->prepare.data = loop;
    CHECK(uv_prepare_start(&loop->prepare, on_prepare) == 0);
    ignore_signal(SIGPIPE);
    ignore_signal(SIGHUP);
    ignore_signal(SIGXFSZ); /* a limit on file sizes is to be an error like a full disk */
    *loop_out = loop;
    return ST_OK;
}

void loop_close(struct loop *loop)
{
    if (loop == NULL)
        return;
    loop->hook_count = 0;
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    for (int i = 0; loop->signals_watched && i < 2; i++)
        uv_close((uv_handle_t *)&loop->signals[i], NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&loop->uv) == 0);
    mem_free(loop);
}

void loop_run(struct loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_run_once(struct loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

int64_t loop_now_ms(const struct loop *loop)
{
    return (int64_t)uv_now(&loop->uv);
}

uint64_t loop_clock_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void loop_on_tick_end(struct loop *loop, loop_fn *fn, void *arg)
{
    CHECK(loop->hook_count < LOOP_TICK_HOOKS_MAX);
    loop->hooks[loop->hook_count++] = (struct tick_hook){.fn = fn, .arg = arg};
}

void loop_again(struct loop *loop)
{
    if (loop->again)
        return;
    loop->again = true;
    (void)uv_idle_start(&loop->idle, on_idle);
}

static void free_handle(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void on_timer(uv_timer_t *handle)
{
    struct loop_timer *timer = handle->data;
    timer->fn(timer->arg);
}

struct loop_timer *loop_timer_create(struct loop *loop, loop_fn *fn, void *arg)
{
    struct loop_timer *timer = mem_calloc(1, sizeof(*timer));
    timer->fn = fn;
    timer->arg = arg;
    CHECK(uv_timer_init(&loop->uv, &timer->uv) == 0);
    timer->uv.data = timer;
    return timer;
}

void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms, uint64_t repeat_ms)
{
    CHECK(uv_timer_start(&timer->uv, on_timer, delay_ms, repeat_ms) == 0);
}

void loop_timer_stop(struct loop_timer *timer)
{
    (void)uv_timer_stop(&timer->uv);
}

void loop_timer_destroy(struct loop_timer *timer)
{
    if (timer != NULL)
        uv_close((uv_handle_t *)&timer->uv, free_handle);
}

static void on_wakeup(uv_async_t *handle)
{
    struct loop_wakeup *wakeup = handle->data;
    if (wakeup->fn != NULL)
        wakeup->fn(wakeup->arg);
}

struct loop_wakeup *loop_wakeup_create(struct loop *loop, loop_fn *fn, void *arg)
{
    struct loop_wakeup *wakeup = mem_calloc(1, sizeof(*wakeup));
    wakeup->fn = fn;
    wakeup->arg = arg;
    CHECK(uv_async_init(&loop->uv, &wakeup->uv, on_wakeup) == 0);
    wakeup->uv.data = wakeup;
    return wakeup;
}

void loop_wakeup_signal(void *wakeup)
{
    struct loop_wakeup *self = wakeup;
    (void)uv_async_send(&self->uv);
}

void loop_wakeup_destroy(struct loop_wakeup *wakeup)
{
    if (wakeup != NULL)
        uv_close((uv_handle_t *)&wakeup->uv, free_handle);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    struct loop *loop = handle->data;
    loop->signal_fn(loop->signal_arg, signal_number);
}

void loop_on_signal(struct loop *loop, loop_signal_fn *fn, void *arg)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    CHECK(!loop->signals_watched);
    loop->signal_fn = fn;
    loop->signal_arg = arg;
    loop->signals_watched = true;
    for (int i = 0; i < 2; i++) {
        CHECK(uv_signal_init(&loop->uv, &loop->signals[i]) == 0);
        loop->signals[i].data = loop;
        CHECK(uv_signal_start(&loop->signals[i], on_signal, numbers[i]) == 0);
    }
}

struct uv_loop_s *loop_uv(struct loop *loop)
{
    return &loop->uv;
}
