/* The event loop: one libuv loop, run by the main thread, with what the server needs of it: timers,
 * signals, wakeups from other threads, file descriptors, and a hook at the end of each tick.
 *
 *   one tick:  timers ► tick-end hooks ► sleep until a descriptor or wakeup is ready ► callbacks
 *
 * The tick-end hooks run right before the loop may sleep, so that whatever timers and callbacks
 * have left to do (journal bytes to hand over, replies to send) is done in one go. Main thread,
 * but for loop_wakeup_signal. */
#ifndef BASALT_SERVER_LOOP_H
#define BASALT_SERVER_LOOP_H

#include "codec/status.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_timer;
struct loop_wakeup;
struct uv_loop_s;

typedef void loop_fn(void *arg);

/* ST_IO when the system gives no event queue. SIGPIPE and SIGHUP are ignored from here on. */
MUST_USE enum status loop_open(struct loop **loop_out, struct err *err);
/* All timers, wakeups and watched descriptors must have been destroyed. Accepts NULL. */
void loop_close(struct loop *loop);
/* Returns after loop_stop, having finished the tick. */
void loop_run(struct loop *loop);
/* Runs one tick without sleeping (tests, long work that must let others in). */
void loop_run_once(struct loop *loop);
void loop_stop(struct loop *loop);

/* Monotonic clock as of the beginning of this tick's callbacks; and as of now. */
int64_t loop_now_ms(const struct loop *loop);
uint64_t loop_clock_us(void);

/* Hooks run in the order in which they were added; at most LOOP_TICK_HOOKS_MAX. */
#define LOOP_TICK_HOOKS_MAX 8
void loop_on_tick_end(struct loop *loop, loop_fn *fn, void *arg);
/* The next tick follows without sleeping. */
void loop_again(struct loop *loop);

/* Timers do nothing until started. repeat_ms 0: once. Starting a running one sets it anew. */
struct loop_timer *loop_timer_create(struct loop *loop, loop_fn *fn, void *arg);
void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms, uint64_t repeat_ms);
void loop_timer_stop(struct loop_timer *timer);
/* Accepts NULL. */
void loop_timer_destroy(struct loop_timer *timer);

/* Wakeups: `fn` runs on the loop some time after loop_wakeup_signal, once for any number of signals
 * since the last time. `fn` may be NULL where the tick-end hooks do the work. */
struct loop_wakeup *loop_wakeup_create(struct loop *loop, loop_fn *fn, void *arg);
/* Any thread, and as a `void (*)(void *)` callback. Not after loop_wakeup_destroy. */
void loop_wakeup_signal(void *wakeup);
/* Accepts NULL. */
void loop_wakeup_destroy(struct loop_wakeup *wakeup);

/* SIGTERM and SIGINT. */
typedef void loop_signal_fn(void *arg, int signal_number);
void loop_on_signal(struct loop *loop, loop_signal_fn *fn, void *arg);

/* For the modules that watch descriptors themselves (conn, listener, links). */
struct uv_loop_s *loop_uv(struct loop *loop);

#endif
