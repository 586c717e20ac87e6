/* The phases of a request, in order, and why each stands where it stands:
 *
 *   1 look up      everything else depends on the row
 *   2 arity        the key specifications may only be read from a request of sufficient length
 *   3 gates        cheap refusals before anything is loaded
 *   4 keys         positions and lookups, once
 *   5 residency    what is missing is asked for; the request may wait, and begins again at 4
 *   6 run          the handler; it may ask to be called anew (call_scan), then 4 again
 *   7 effect       to the journal, before anything else can run
 *
 * 1 to 3 are in exec_check.c, 4 and 5 in exec_keys.c, 7 in exec_effect.c. Inside MULTI most
 * requests are queued after 3; EXEC runs them through 4 to 7 as parts of its own (exec_nested.h).
 *
 * A suspended request keeps its arguments in the connection's buffer; struct pending is what the
 * executor knows of it. */
#include "server/exec_internal.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "server/blocking.h"
#include "server/config.h"
#include "server/exec_nested.h"
#include "server/hot_keys.h"
#include "server/loop.h"
#include "server/monitor.h"
#include "server/multi.h"
#include "server/output.h"
#include "server/pubsub.h"
#include "server/push.h"
#include "server/replicas.h"
#include "server/services.h"
#include "server/stats.h"
#include "server/tracking.h"
#include "server/watch.h"
#include "storage/cut.h"
#include "storage/journal.h"
#include "storage/store.h"
#include "storage/types/string.h"

#include <stdio.h>
#include <time.h>

#define UNBLOCKED_ERROR   "UNBLOCKED client unblocked via CLIENT UNBLOCK"
#define SLOW_COMMAND_NS   1000000 /* after a longer command the clock is read anew */
#define ADMIT_BURST_BYTES (256 * 1024)
#define WAITING_POLL_MS   1
#define ADMIT_RATE_MIN    ((uint64_t)1 << 20) /* bytes per second, whatever the pressure */
#define ADMIT_RATE_MAX    ((uint64_t)256 << 20)

struct exec *exec_create(struct services *services)
{
    struct exec *exec = mem_calloc(1, sizeof(*exec));
    exec->services = services;
    exec->until_counted = HOT_KEYS_INTERVAL;
    exec->config = services->config;
    exec->commands = services->commands;
    exec->store = services->store;
    exec->ks = services->ks;
    exec->journal = services->journal;
    exec->loader = store_loader(services->store);
    exec->stats = services->stats;
    exec->pushes = services->pushes;
    exec_configure(exec);
    exec->watches = watches_create();
    ticks_scale_init(&exec->scale);
    exec_refresh_time(exec);
    exec_block_open(exec);
    return exec;
}

void exec_destroy(struct exec *exec)
{
    if (exec == NULL)
        return;
    CHECK(exec->waiting_first == NULL);
    exec_block_close(exec);
    loop_timer_destroy(exec->tick_timer);
    load_wait_release(exec->loader, &exec->field_wait);
    buf_deinit(&exec->effects);
    buf_deinit(&exec->event_channel);
    watches_destroy(exec->watches);
    mem_free(exec);
}

void exec_configure(struct exec *exec)
{
    exec->always_cold = store_always_cold(exec->store);
    exec_watch_keyspace(exec);
    exec_configure_observation(exec);
}

void exec_on_resumed(struct exec *exec, exec_resumed_fn *fn, void *arg)
{
    exec->resumed = fn;
    exec->resumed_arg = arg;
}

void exec_on_blocked(struct exec *exec, exec_resumed_fn *fn)
{
    exec->blocked = fn;
}

/* ---- Time -------------------------------------------------------------------------------------
 */

void exec_refresh_time(struct exec *exec)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    exec->now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    uint64_t mono_ns = ticks_clock_ns();
    exec->mono_ms = (int64_t)(mono_ns / 1000000);
    ticks_scale_update(&exec->scale, mono_ns);
    exec->time_stale = false;
}

struct watches *exec_watches(struct exec *exec)
{
    return exec->watches;
}

int64_t exec_now_ms(struct exec *exec)
{
    return exec->now_ms;
}

int64_t exec_mono_ms(struct exec *exec)
{
    return exec->mono_ms;
}

/* ---- Sessions ---------------------------------------------------------------------------------
 */

void session_init(struct session *session, struct output *out, uint64_t id, int64_t now_ms)
{
    *session = (struct session){.id = id,
                                .reply = {.out = out, .resp = 2},
                                .created_at_ms = now_ms,
                                .last_command_at_ms = now_ms};
}

void session_deinit(struct exec *exec, struct session *session)
{
    exec_cancel(exec, session);
    pubsub_forget(exec->services->pubsub, session);
    tracking_disable(exec->services->tracking, session);
    monitors_remove(exec->services->monitors, session);
    replicas_remove(exec->services->replicas, session);
    multi_end(exec->watches, session);
    mem_free(session->name);
    mem_free(session->lib_name);
    mem_free(session->lib_version);
}

void exec_set_loading(struct exec *exec, bool loading)
{
    exec->loading = loading;
}

bool exec_loading(const struct exec *exec)
{
    return exec->loading;
}

uint32_t exec_db_number(const struct exec *exec, const struct db *db)
{
    for (uint32_t i = 0; i < ks_db_count(exec->ks); i++)
        if (ks_db(exec->ks, i) == db)
            return i;
    CHECK_UNREACHED("the database has a number");
    return 0;
}

/* ---- Waiting ----------------------------------------------------------------------------------
 */

void exec_wait_tick(struct pending *p)
{
    struct exec *exec = p->exec;
    if (p->in_waiting)
        return;
    p->in_waiting = true;
    p->next = NULL;
    p->prev = exec->waiting_last;
    if (exec->waiting_last != NULL)
        exec->waiting_last->next = p;
    else
        exec->waiting_first = p;
    exec->waiting_last = p;
}

static void waiting_remove(struct pending *p)
{
    struct exec *exec = p->exec;
    if (!p->in_waiting)
        return;
    p->in_waiting = false;
    if (p->prev != NULL)
        p->prev->next = p->next;
    else
        exec->waiting_first = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    else
        exec->waiting_last = p->prev;
}

void exec_pending_destroy(struct pending *p)
{
    waiting_remove(p);
    if (p->throttled)
        p->exec->counters.throttled_now--;
    load_wait_release(p->exec->loader, &p->wait);
    for (int i = 0; i < PENDING_SCANS_MAX; i++)
        scan_destroy(p->scans[i]);
    buf_deinit(&p->walk.found);
    if (p->drop != NULL)
        p->drop(p->kept);
    exec_block_forget(p);
    if (p->session->pending == p) {
        p->session->pending = NULL;
        if ((p->session->flags & SESSION_SUSPENDED) != 0)
            p->exec->counters.suspended_now--;
        p->session->flags &= ~(uint32_t)(SESSION_SUSPENDED | SESSION_BLOCKED);
    }
    mem_free(p);
}

static void resume(void *arg);

struct pending *exec_pending(struct call *c)
{
    if (c->pending == NULL) {
        struct pending *p = mem_calloc(1, sizeof(*p));
        p->exec = c->exec;
        p->session = c->session;
        p->command = c->command;
        p->argv = c->argv;
        p->argc = c->argc;
        p->raw = c->raw;
        p->wait.ready = resume;
        p->wait.arg = p;
        p->random_position = c->random_position;
        p->has_random_position = c->has_random_position;
        c->pending = p;
        if (c->outer == NULL)
            c->session->pending = p;
    }
    return c->pending;
}

static enum exec_result suspend(struct call *c)
{
    CHECK(c->pending != NULL);
    CHECK(c->changes == 0);
    exec_begin_wait(c->pending);
    if ((c->session->flags & SESSION_SUSPENDED) == 0) {
        c->session->flags |= SESSION_SUSPENDED;
        c->exec->counters.suspended_total++;
        c->exec->counters.suspended_now++;
    }
    return EXEC_SUSPENDED;
}

void exec_cancel(struct exec *exec, struct session *session)
{
    (void)exec;
    if (session->pending != NULL)
        exec_pending_destroy(session->pending);
}

/* ---- Admission of writes -----------------------------------------------------------------------
 */

/* Bytes per second that writers may add now; UINT64_MAX: as they like. */
static uint64_t admit_rate(const struct exec *exec)
{
    uint32_t pressure = store_pressure(exec->store);
    if (journal_backlogged(exec->journal))
        pressure = 1000;
    if (pressure == 0)
        return UINT64_MAX;
    uint64_t rate = ADMIT_RATE_MAX * (1000 - pressure) / 1000 * (1000 - pressure) / 1000;
    return rate < ADMIT_RATE_MIN && pressure < 1000 ? ADMIT_RATE_MIN : rate;
}

static size_t request_bytes(const struct pending *p)
{
    size_t bytes = 64;
    for (int i = 0; i < p->argc; i++)
        bytes += p->argv[i].len;
    if ((p->command->flags & CMD_EXEC) != 0)
        bytes += p->session->transaction->bytes;
    return bytes;
}

/* No write has to wait. */
static bool admits_all(const struct exec *exec)
{
    bool queue = exec->waiting_first != NULL && exec->counters.throttled_now != 0;
    return !queue && admit_rate(exec) == UINT64_MAX;
}

/* False: the write has to wait for its turn. */
static bool admit_write(struct call *c)
{
    struct exec *exec = c->exec;
    if (c->pending != NULL && c->pending->admitted)
        return true;
    if (admits_all(exec))
        return true;
    struct pending *p = exec_pending(c);
    if (!p->throttled) {
        p->throttled = true;
        p->throttled_at_ns = ticks_clock_ns();
        exec->counters.throttled_total++;
        exec->counters.throttled_now++;
    }
    exec_wait_tick(p);
    return false;
}

static bool may_write(const struct call *c)
{
    bool script = (c->command->flags & CMD_RUNS_SCRIPT) != 0;
    if (script && admits_all(c->exec))
        return false; /* no need to look for the script */
    return (exec_command_flags(c->exec, c->session, c->command, c->argv, c->argc) & CMD_WRITE) != 0;
}

/* ---- Phases 6 and 7 ---------------------------------------------------------------------------
 */

void exec_reply_not_resident(struct call *c, enum exec_residency there)
{
    if (there == EXEC_TOO_LARGE) {
        reply_error_format(c->reply,
                           "ERR This command needs all of a collection that is larger than "
                           "whole-load-limit (%zu bytes now). Nothing was changed.",
                           store_whole_bytes_max(c->exec->store));
        return;
    }
    c->exec->counters.io_errors++;
    exec_reply_refused(c->exec, c->session, c->command, reply_error_text(ERROR_IO));
}

static void count_command(struct call *c, uint64_t duration_ns)
{
    struct exec *exec = c->exec;
    stats_count_command(exec->stats, c->command->id, duration_ns, exec->config->latency_tracking);
    if (c->reply->failed) {
        exec->stats->commands[c->command->id].failed++;
        if (!c->error_counted) {
            stats_count_error(exec->stats, c->reply->error_code);
            exec->stats->error_replies++;
        }
    }
    exec->counters.changes += c->changes;
    if (duration_ns > SLOW_COMMAND_NS && exec->nesting == 0)
        exec_refresh_time(exec);
}

/* What a client reads, itself or by what its scripts call, may be in its cache from now on. */
static void remember_keys(struct call *c)
{
    struct session *client = c->exec->unit->session;
    if ((client->flags & SESSION_TRACKING) != 0 && (c->command->flags & CMD_READONLY) != 0 &&
        (c->command->acl & ACL_SCRIPTING) == 0)
        tracking_remember(c->exec->services->tracking, client, c);
}

void exec_run_handler(struct call *c)
{
    struct exec *exec = c->exec;
    bool watched = !monitors_is_idle(exec->services->monitors);
    if (watched && (c->command->flags & CMD_RUNS_SCRIPT) != 0)
        exec_show(c); /* before its commands */
    uint64_t start = ticks_now();
    c->command->handler(c);
    if (watched && (!c->waiting || c->blocks) && (c->command->flags & CMD_SKIP_MONITOR) == 0)
        exec_show(c);
    if (c->waiting) {
        if (watched && (c->command->flags & CMD_RUNS_SCRIPT) != 0)
            c->pending->shown = true;
        return;
    }
    uint64_t duration_ns = ticks_to_ns(&exec->scale, ticks_now() - start);
    count_command(c, duration_ns);
    if (__builtin_expect(duration_ns >= exec->notable_ns || c->pending != NULL, 0))
        exec_note_duration(c, duration_ns);
    remember_keys(c);
    if (__builtin_expect(--exec->until_counted == 0, 0))
        exec_count_keys(c);
}

bool exec_may_wait(const struct call *c)
{
    return c->outer == NULL && (c->session->flags & (SESSION_REPLAY | SESSION_SCRIPT)) == 0;
}

static void demote_all(struct exec *exec)
{
    struct err err;
    exec->counters.sync_evictions++;
    if (store_evict_all(exec->store, &err) != ST_OK)
        exec->counters.io_errors++;
}

static enum exec_result run_phases(struct call *c)
{
    struct exec *exec = c->exec;
    exec_find_keys(c);
    enum exec_residency there = exec_make_resident(c, exec_may_wait(c) ? c : NULL);
    if (there == EXEC_MISSING) {
        exec_forget_keys(c);
        return suspend(c);
    }
    c->reply->failed = false;
    if (there != EXEC_RESIDENT) {
        exec_reply_not_resident(c, there);
        exec_forget_keys(c);
        return EXEC_DONE;
    }
    if (c->pending != NULL && c->pending->blocked != NULL && exec_stays_blocked(c)) {
        exec_forget_keys(c);
        return exec_block(c);
    }
    exec->unit = c;
    pushes_begin(exec->pushes, c->session);
    exec_run_handler(c);
    exec_forget_keys(c);
    exec_stage_effects(c);
    pushes_end(exec->pushes, c->session->write_offset);
    store_hold_cuts(exec->store, false);
    exec->unit = NULL;
    if (c->blocks)
        return exec_block(c);
    if (c->waiting)
        return suspend(c);
    if (exec->always_cold && !exec->loading)
        demote_all(exec);
    return EXEC_DONE;
}

void exec_init_call(struct call *c, struct exec *exec, struct session *session,
                    const struct command *command, const struct bytes *argv, int argc,
                    struct bytes raw)
{
    c->session = session;
    c->command = command;
    c->argv = argv;
    c->argc = argc;
    c->reply = &session->reply;
    c->ks = exec->ks;
    c->db = ks_db(exec->ks, session->db);
    c->services = exec->services;
    c->exec = exec;
    c->outer = NULL;
    c->now_ms = exec->now_ms;
    c->raw = raw;
    c->changes = 0;
    c->effect_custom = false;
    c->effect_none = false;
    c->error_counted = false;
    c->waiting = false;
    c->blocks = false;
    c->wanted = EXEC_RESIDENT;
    c->pending = session->pending;
    c->has_random_position = c->pending != NULL && c->pending->has_random_position;
    c->random_position = c->has_random_position ? c->pending->random_position : 0;
    c->keys = c->keys_inline;
    c->key_count = 0;
}

/* CLIENT REPLY OFF and SKIP. */
static void mute(struct session *session)
{
    bool skip = (session->flags & SESSION_REPLY_SKIP_NEXT) != 0;
    session->flags &= ~(uint32_t)(SESSION_REPLY_SKIP_NEXT | SESSION_REPLY_SKIP);
    if (skip)
        session->flags |= SESSION_REPLY_SKIP;
    session->reply.muted =
        (session->flags & (SESSION_REPLY_OFF | SESSION_REPLY_SKIP | SESSION_REPLAY)) != 0;
}

enum exec_result exec_retry(struct pending *p)
{
    struct exec *exec = p->exec;
    struct session *session = p->session;
    exec_end_wait(p);
    if (exec->time_stale)
        exec_refresh_time(exec);
    session->reply.failed = false;
    /* Whose connection is about to be closed may have lost its user, and must not go on as another.
     */
    if ((session->flags & SESSION_CLOSE_ASAP) != 0)
        return EXEC_DONE;
    if (!exec_pass_access(exec, session, p->command, p->argv, p->argc))
        return EXEC_DONE;
    struct call call;
    exec_init_call(&call, exec, session, p->command, p->argv, p->argc, p->raw);
    if (!p->wait.failed)
        return run_phases(&call);
    call.reply->failed = false;
    exec_reply_not_resident(&call, EXEC_UNREADABLE);
    return EXEC_DONE;
}

void exec_finish(struct pending *p)
{
    struct exec *exec = p->exec;
    struct session *session = p->session;
    exec_pending_destroy(p);
    if (exec->resumed != NULL)
        exec->resumed(exec->resumed_arg, session);
}

/* What a suspended request, or a blocked one, has waited for is there. */
static void resume(void *arg)
{
    struct pending *p = arg;
    struct exec *exec = p->exec;
    bool was_blocked = p->blocked != NULL;
    enum exec_result result = exec_retry(p);
    if (result == EXEC_DONE)
        exec_finish(p);
    else if (result == EXEC_BLOCKED && was_blocked)
        blocking_tried(exec->blocking, p->blocked);
    else if (result == EXEC_BLOCKED && exec->blocked != NULL)
        exec->blocked(exec->resumed_arg, p->session);
    exec_serve_blocked(exec);
}

/* ---- A request --------------------------------------------------------------------------------
 */

/* MULTI is on: the request waits for EXEC. */
static void queue(struct exec *exec, struct session *session, const struct nested_request *request)
{
    uint32_t flags =
        exec_command_flags(exec, session, request->command, request->argv, request->argc);
    if (multi_queue(session, ks_db_count(exec->ks), request, flags)) {
        reply_simple(&session->reply, "QUEUED");
        return;
    }
    exec_reply_refused(exec, session, request->command, reply_error_text(ERROR_OOM));
    exec_count_rejected(exec, request->command, session);
}

void exec_set_busy(struct exec *exec, const char *error)
{
    CHECK(exec->unit != NULL);
    exec->busy_error = error;
    if (error != NULL)
        journal_submit(exec->journal); /* nothing of the open unit is staged yet */
}

const char *exec_busy(const struct exec *exec)
{
    return exec->busy_error;
}

/* A request of another client while a script runs: part of its unit, and without effects. */
static void run_busy(struct exec *exec, struct session *session, const struct bytes *argv, int argc,
                     struct bytes raw)
{
    CHECK(exec->busy_error != NULL);
    session->command_count++;
    mute(session);
    session->reply.failed = false;
    const struct command *command = exec_find_command(exec, session, argv, argc);
    if (command == NULL)
        return;
    session->last_command = command;
    if (!exec_pass_gates(exec, session, command, argv, argc))
        return;
    struct nested_request request = {.command = command, .argv = argv, .argc = argc, .raw = raw};
    uint32_t effects = exec->effect_count;
    if ((command->flags & CMD_ALLOW_BUSY) == 0) {
        exec_reply_refused(exec, session, command, exec->busy_error);
        exec_count_rejected(exec, command, session);
    } else if ((session->flags & SESSION_MULTI) != 0 && (command->flags & CMD_AT_ONCE) == 0) {
        queue(exec, session, &request);
    } else {
        exec_run_nested(exec->unit, session, &request);
    }
    CHECK(exec->effect_count == effects);
}

enum exec_result exec_run(struct exec *exec, struct session *session, const struct bytes *argv,
                          int argc, struct bytes raw)
{
    if (__builtin_expect(exec->unit != NULL, 0)) {
        run_busy(exec, session, argv, argc, raw);
        return EXEC_DONE;
    }
    if (exec->time_stale)
        exec_refresh_time(exec);
    session->last_command_at_ms = exec->mono_ms;
    session->command_count++;
    mute(session);
    session->reply.failed = false;
    const struct command *command = exec_find_command(exec, session, argv, argc);
    if ((session->flags & SESSION_TRACKING) != 0)
        tracking_begin_request(session, command);
    if (command == NULL)
        return EXEC_DONE;
    session->last_command = command;
    if (!exec_pass_gates(exec, session, command, argv, argc))
        return EXEC_DONE;
    if ((session->flags & SESSION_MULTI) != 0 && (command->flags & CMD_AT_ONCE) == 0) {
        queue(exec, session,
              &(struct nested_request){.command = command, .argv = argv, .argc = argc, .raw = raw});
        return EXEC_DONE;
    }
    struct call call;
    exec_init_call(&call, exec, session, command, argv, argc, raw);
    if (may_write(&call) && session->conn != NULL && !admit_write(&call))
        return suspend(&call);
    enum exec_result result = run_phases(&call);
    if (result == EXEC_SUSPENDED && call.pending->wait.outstanding != 0)
        exec_load_ahead(exec, call.pending);
    exec->ahead.next = NULL;
    exec->ahead.end = NULL;
    if (result == EXEC_DONE && call.pending != NULL)
        exec_pending_destroy(call.pending);
    exec_serve_blocked(exec);
    return result;
}

/* ---- Ticks ------------------------------------------------------------------------------------
 */

static void refill_tokens(struct exec *exec)
{
    uint64_t now_ns = ticks_clock_ns();
    uint64_t rate = admit_rate(exec);
    if (rate == UINT64_MAX) {
        exec->tokens = INT64_MAX;
    } else {
        if (exec->tokens > ADMIT_BURST_BYTES)
            exec->tokens = ADMIT_BURST_BYTES;
        uint64_t ns = now_ns - exec->tokens_at_ns;
        if (ns > 100000000)
            ns = 100000000;
        exec->tokens += (int64_t)(rate * (ns / 1000) / 1000000);
        if (exec->tokens > ADMIT_BURST_BYTES)
            exec->tokens = ADMIT_BURST_BYTES;
    }
    exec->tokens_at_ns = now_ns;
}

static bool journal_wait_over(const struct exec *exec, const struct pending *p)
{
    return journal_durable(exec->journal) >= p->journal_offset || exec->mono_ms >= p->deadline_ms;
}

/* Whether a request waits for what only ticks bring about; the journal and threads wake the loop by
 * themselves. */
static bool waits_for_tick(const struct exec *exec)
{
    for (const struct pending *p = exec->waiting_first; p != NULL; p = p->next)
        if (!p->waits_journal && p->waits_over == NULL)
            return true;
    return false;
}

bool exec_unblock(void *arg, struct session *session, bool with_error)
{
    struct exec *exec = arg;
    struct pending *p = session->pending;
    if (p != NULL && p->blocked != NULL) {
        exec_end_blocked(p, with_error ? UNBLOCKED_ERROR : NULL);
        return true;
    }
    if (p == NULL || !p->waits_journal || !p->in_waiting)
        return false;
    p->unblock_error = with_error;
    p->deadline_ms = exec->mono_ms;
    return true;
}

static void end_with_error(struct pending *p)
{
    struct session *session = p->session;
    session->reply.failed = false;
    reply_error(&session->reply, UNBLOCKED_ERROR);
    exec_count_rejected(p->exec, NULL, session);
    exec_finish(p);
}

/* Looks at the requests that wait for something else than a load. */
static void poll_waiting(struct exec *exec)
{
    if (exec->waiting_first == NULL)
        return;
    refill_tokens(exec);
    struct pending *last = exec->waiting_last;
    bool more = true;
    for (struct pending *p = exec->waiting_first; p != NULL && more;) {
        struct pending *next = p->next;
        more = p != last; /* those that join now are for the next tick */
        if (p->throttled && exec->tokens > 0) {
            exec->tokens -= (int64_t)request_bytes(p);
            exec->counters.throttled_now--;
            exec->counters.throttled_us += (ticks_clock_ns() - p->throttled_at_ns) / 1000;
            p->throttled = false;
            p->admitted = true;
            waiting_remove(p);
            resume(p);
        } else if (p->exact_db != NULL && p->exact_db->unresolved == 0) {
            p->exact_db = NULL;
            waiting_remove(p);
            resume(p);
        } else if (p->waits_tick) {
            p->waits_tick = false;
            waiting_remove(p);
            resume(p);
        } else if (p->waits_over != NULL && atomic_load(p->waits_over)) {
            p->waits_over = NULL;
            waiting_remove(p);
            resume(p);
        } else if (p->waits_journal && p->unblock_error) {
            end_with_error(p);
        } else if (p->waits_journal && journal_wait_over(exec, p)) {
            waiting_remove(p);
            resume(p);
        }
        /* resuming may have ended any session: go on only if `next` is still there */
        if (more && next != NULL && !next->in_waiting)
            break;
        p = next;
    }
}

static void on_tick_timer(void *arg)
{
    (void)arg; /* that the loop wakes up is all */
}

/* Requests that wait for their turn to write are looked at every so often, not all the time: the
 * processor is needed for what they wait for. */
static void tick_soon(struct exec *exec)
{
    if (exec->tick_timer == NULL)
        exec->tick_timer = loop_timer_create(exec->services->loop, on_tick_timer, exec);
    loop_timer_start(exec->tick_timer, WAITING_POLL_MS, 0);
}

bool exec_tick_end(struct exec *exec)
{
    exec_refresh_time(exec);
    poll_waiting(exec);
    bool more = store_tick(exec->store, exec->now_ms, exec->mono_ms);
    exec_note_tick(exec);
    exec_release_field_loads(exec);
    exec_serve_blocked(exec);
    pushes_begin(exec->pushes, NULL);
    more = tracking_tick(exec->services->tracking) || more;
    pushes_end(exec->pushes, exec->write_offset);
    journal_submit(exec->journal);
    exec->time_stale = true;
    if (!more && waits_for_tick(exec))
        tick_soon(exec);
    return more;
}

struct exec_gate exec_gate(const struct exec *exec)
{
    if (exec->config->appendfsync != CONFIG_APPENDFSYNC_ALWAYS)
        return (struct exec_gate){.durable = UINT64_MAX};
    uint64_t end = journal_end(exec->journal);
    uint64_t durable = journal_durable(exec->journal);
    return (struct exec_gate){.offset = durable >= end ? 0 : end,
                              .durable = durable,
                              .failed = journal_failed(exec->journal, NULL)};
}

void exec_gathered(struct exec *exec, uint64_t durable)
{
    journal_gathered(exec->journal, durable);
}

bool exec_is_gathering(const struct exec *exec)
{
    return journal_is_gathering(exec->journal);
}

void exec_read_stats(const struct exec *exec, struct exec_stats *out)
{
    const struct blocking_stats *blocking = blocking_stats(exec->blocking);
    *out = exec->counters;
    out->blocking_keys = blocking->keys;
    out->blocking_keys_on_delete = blocking->on_delete_keys;
    out->blocked_with_timeout = blocking->timeouts;
}

void exec_reset_stats(struct exec *exec)
{
    uint64_t suspended = exec->counters.suspended_now;
    uint64_t throttled = exec->counters.throttled_now;
    uint64_t changes = exec->counters.changes;
    exec->counters = (struct exec_stats){
        .suspended_now = suspended, .throttled_now = throttled, .changes = changes};
}
