/* The phases of a request, in order, and why each stands where it stands:
 *
 *   1 look up      everything else depends on the row
 *   2 arity        the key specifications may only be read from a request of sufficient length
 *   3 gates        cheap refusals before anything is loaded
 *   4 keys         positions and lookups, once
 *   5 residency    what is missing is asked for; the request may be suspended, and begins again at
 * 4 6 run          the handler; it may ask to be called anew (call_scan), then 4 again 7 effect to
 * the journal, before anything else can run
 *
 * A suspended request keeps its arguments in the connection's buffer; struct pending is what the
 * executor knows of it. */
#include "server/exec_internal.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "server/config.h"
#include "server/output.h"
#include "server/services.h"
#include "server/stats.h"
#include "storage/cut.h"
#include "storage/journal.h"
#include "storage/store.h"
#include "storage/types/string.h"

#include <stdio.h>
#include <time.h>

#define KEY_ARGS_INLINE       32
#define SLOW_COMMAND_NS       1000000 /* after a longer command the clock is read anew */
#define UNKNOWN_ARGS_TEXT_MAX 128     /* of the arguments told in "unknown command" */
#define ADMIT_BURST_BYTES     (256 * 1024)
#define ADMIT_RATE_MIN        ((uint64_t)1 << 20) /* bytes per second, whatever the pressure */
#define ADMIT_RATE_MAX        ((uint64_t)256 << 20)

struct exec *exec_create(struct services *services)
{
    struct exec *exec = mem_calloc(1, sizeof(*exec));
    exec->services = services;
    exec->config = services->config;
    exec->commands = services->commands;
    exec->store = services->store;
    exec->ks = services->ks;
    exec->journal = services->journal;
    exec->loader = store_loader(services->store);
    exec->stats = services->stats;
    exec->always_cold = store_always_cold(services->store);
    ticks_scale_init(&exec->scale);
    exec_refresh_time(exec);
    return exec;
}

void exec_destroy(struct exec *exec)
{
    if (exec == NULL)
        return;
    CHECK(exec->waiting_first == NULL);
    buf_deinit(&exec->effects);
    mem_free(exec);
}

void exec_configure(struct exec *exec)
{
    exec->always_cold = store_always_cold(exec->store);
}

void exec_on_resumed(struct exec *exec, exec_resumed_fn *fn, void *arg)
{
    exec->resumed = fn;
    exec->resumed_arg = arg;
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

static void pending_destroy(struct pending *p)
{
    waiting_remove(p);
    if (p->throttled)
        p->exec->counters.throttled_now--;
    load_wait_release(p->exec->loader, &p->wait);
    for (int i = 0; i < PENDING_SCANS_MAX; i++)
        scan_destroy(p->scans[i]);
    buf_deinit(&p->walk.found);
    p->session->pending = NULL;
    if ((p->session->flags & SESSION_SUSPENDED) != 0) {
        p->session->flags &= ~(uint32_t)SESSION_SUSPENDED;
        p->exec->counters.suspended_now--;
    }
    p->session->flags &= ~(uint32_t)SESSION_BLOCKED;
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
        c->pending = p;
        c->session->pending = p;
    }
    return c->pending;
}

static enum exec_result suspend(struct call *c)
{
    CHECK(c->pending != NULL);
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
        pending_destroy(session->pending);
}

/* ---- Phase 3: gates ---------------------------------------------------------------------------
 */

static bool refuse_unauthenticated(const struct session *session, const struct command *command)
{
    return !session->authenticated && (command->flags & CMD_NO_AUTH) == 0 && session->conn != NULL;
}

/* Replies and returns false if the command may not run now. */
static bool pass_gates(struct call *c)
{
    const struct exec *exec = c->exec;
    const struct command *command = c->command;
    if ((c->session->flags & SESSION_REPLAY) != 0)
        return true; /* what it loads is what the others wait for */
    if (refuse_unauthenticated(c->session, command)) {
        reply_error_id(c->reply, ERROR_NOAUTH);
        return false;
    }
    if (exec->loading && (command->flags & CMD_LOADING) == 0) {
        reply_error_id(c->reply, ERROR_LOADING);
        return false;
    }
    struct err err;
    if ((command->flags & CMD_WRITE) != 0 && journal_failed(exec->journal, &err)) {
        reply_error_format(c->reply, "MISCONF Errors writing to the journal: %s", err.message);
        return false;
    }
    return true;
}

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
    return bytes;
}

/* False: the write has to wait for its turn. */
static bool admit_write(struct call *c)
{
    struct exec *exec = c->exec;
    if (c->pending != NULL && c->pending->admitted)
        return true;
    bool queue = exec->waiting_first != NULL && exec->counters.throttled_now != 0;
    if (!queue && admit_rate(exec) == UINT64_MAX)
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

/* ---- Phases 4 and 5: keys and residency -------------------------------------------------------
 */

static void add_key(struct call *c, struct db *db, int arg, uint32_t flags)
{
    struct keyref *ref = &c->keys[c->key_count++];
    ks_ref(c->ks, db, c->argv[arg], ref);
    ref->flags = flags;
}

/* The database that an argument names; NULL: there is none, and the handler will say so. */
static struct db *db_of_arg(const struct call *c, int arg)
{
    if (arg == 0)
        return c->db;
    int64_t number;
    if (!number_parse_i64(c->argv[arg], &number) || number < 0 ||
        number >= (int64_t)ks_db_count(c->ks))
        return NULL;
    return ks_db(c->ks, (uint32_t)number);
}

/* Fills c->keys. */
static void find_keys(struct call *c)
{
    c->key_count = 0;
    c->keys = c->keys_inline;
    const struct command *command = c->command;
    if (command->single_key != 0) {
        add_key(c, c->db, command->single_key, command->keys[0].flags);
        return;
    }
    if (command->keys[0].begin == KEY_BEGIN_NONE && command->keys_fn == NULL)
        return;
    struct key_arg few[KEY_ARGS_INLINE];
    struct key_arg *args = few;
    int count = command_keys(command, c->argv, c->argc, args, KEY_ARGS_INLINE);
    if (count > KEY_ARGS_INLINE) {
        args = mem_alloc((size_t)count * sizeof(*args));
        count = command_keys(command, c->argv, c->argc, args, count);
    }
    if (count > CALL_KEYS_INLINE)
        c->keys = mem_alloc((size_t)count * sizeof(*c->keys));
    for (int i = 0; i < count; i++) {
        struct db *db = db_of_arg(c, args[i].db_arg);
        if (db != NULL)
            add_key(c, db, args[i].index, args[i].flags);
    }
    if (args != few)
        mem_free(args);
}

static void forget_keys(struct call *c)
{
    if (c->keys != c->keys_inline && c->keys != NULL)
        mem_free(c->keys);
    c->keys = c->keys_inline;
    c->key_count = 0;
}

/* Sessions that cannot wait read the disk on this thread. */
static bool must_not_wait(const struct call *c)
{
    return (c->session->flags & (SESSION_REPLAY | SESSION_SCRIPT)) != 0;
}

enum residency { RESIDENT, MISSING, UNREADABLE };

static enum residency want_pieces(struct call *c, int index, struct object *o)
{
    uint64_t from = 0;
    uint64_t to = UINT64_MAX;
    if (c->command->pieces != NULL && !c->command->pieces(c->argv, c->argc, index, o, &from, &to)) {
        from = 0;
        to = UINT64_MAX;
    }
    struct db *db = c->keys[index].db;
    struct pending *p = c->pending;
    if (o->encoding != ENCODING_CHUNKED || string_missing(o, from, to, NULL, 0) == 0)
        return RESIDENT;
    if (must_not_wait(c)) {
        struct err err;
        return loader_read_chunks_now(c->exec->loader, db, o, from, to, &err) == ST_OK ? RESIDENT
                                                                                       : UNREADABLE;
    }
    p = exec_pending(c);
    (void)loader_want_chunks(c->exec->loader, &p->wait, db, o, from, to);
    return MISSING;
}

static enum residency want_record(struct call *c, int index)
{
    struct keyref *ref = &c->keys[index];
    struct exec *exec = c->exec;
    if (must_not_wait(c)) {
        struct err err;
        enum status st = loader_read_now(exec->loader, ref->db, ref->position, ref->key, &err);
        return st == ST_OK || st == ST_NOT_FOUND ? RESIDENT : UNREADABLE;
    }
    struct pending *p = exec_pending(c);
    switch (loader_want_record(exec->loader, &p->wait, ref->db, ref->position, ref->key)) {
    case LOADER_ABSENT:
    case LOADER_LOADED:
        return RESIDENT;
    case LOADER_STARTED:
        return MISSING;
    case LOADER_FAILED:
        return UNREADABLE;
    }
    return UNREADABLE;
}

/* Sees to it that all declared keys are in RAM or known to be absent. */
static enum residency make_resident(struct call *c)
{
    bool missing = false;
    for (int i = 0; i < c->key_count; i++) {
        struct keyref *ref = &c->keys[i];
        if ((ref->flags & KEY_NOT_KEY) != 0)
            continue;
        struct object *o = ks_lookup(c->ks, ref);
        enum residency there = RESIDENT;
        if (o == NULL && (ref->flags & KEY_LOAD_NOTHING) != 0) {
            ref->flags |= KEYREF_BLIND;
        } else if (o == NULL && ref->db->cold_count != 0) {
            there = want_record(c, i);
            o = ks_lookup(c->ks, ref);
        }
        if (o != NULL && o->large && (ref->flags & (KEY_LOAD_META | KEY_LOAD_NOTHING)) == 0)
            there = want_pieces(c, i, o);
        if (there == UNREADABLE)
            return UNREADABLE;
        missing = missing || there == MISSING;
    }
    return missing ? MISSING : RESIDENT;
}

static void reply_unreadable(struct call *c)
{
    c->exec->counters.io_errors++;
    reply_error_id(c->reply, ERROR_IO);
}

/* ---- Phases 6 and 7 ---------------------------------------------------------------------------
 */

static void count_command(struct call *c, uint64_t duration_ns)
{
    struct exec *exec = c->exec;
    stats_count_command(exec->stats, c->command->id, duration_ns, exec->config->latency_tracking);
    if (c->reply->failed) {
        exec->stats->commands[c->command->id].failed++;
        stats_count_error(exec->stats, c->reply->error_code);
        exec->stats->error_replies++;
    }
    exec->counters.changes += c->changes;
    if (duration_ns > SLOW_COMMAND_NS)
        exec_refresh_time(exec);
}

static enum exec_result run_phases(struct call *c)
{
    struct exec *exec = c->exec;
    find_keys(c);
    enum residency there = make_resident(c);
    if (there == MISSING) {
        forget_keys(c);
        return suspend(c);
    }
    c->reply->failed = false;
    if (there == UNREADABLE) {
        reply_unreadable(c);
        forget_keys(c);
        return EXEC_DONE;
    }
    uint64_t start = ticks_now();
    c->command->handler(c);
    forget_keys(c);
    if (c->waiting)
        return suspend(c);
    exec_stage_effects(c);
    count_command(c, ticks_to_ns(&exec->scale, ticks_now() - start));
    if (exec->always_cold && !exec->loading) {
        struct err err;
        exec->counters.sync_evictions++;
        if (store_evict_all(exec->store, &err) != ST_OK)
            exec->counters.io_errors++;
    }
    return EXEC_DONE;
}

static void init_call(struct call *c, struct exec *exec, struct session *session,
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
    c->now_ms = exec->now_ms;
    c->raw = raw;
    c->changes = 0;
    c->effect_custom = false;
    c->effect_none = false;
    c->waiting = false;
    c->pending = session->pending;
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

/* Tries a suspended request again. */
static void resume(void *arg)
{
    struct pending *p = arg;
    struct exec *exec = p->exec;
    struct session *session = p->session;
    if (exec->time_stale)
        exec_refresh_time(exec);
    struct call call;
    init_call(&call, exec, session, p->command, p->argv, p->argc, p->raw);
    if (p->wait.failed) {
        call.reply->failed = false;
        reply_unreadable(&call);
    } else if (run_phases(&call) != EXEC_DONE) {
        return;
    }
    pending_destroy(p);
    if (exec->resumed != NULL)
        exec->resumed(exec->resumed_arg, session);
}

/* ---- Phases 1 and 2 ---------------------------------------------------------------------------
 */

static void reply_unknown(struct session *session, const struct bytes *argv, int argc,
                          const struct command *container)
{
    if (container != NULL) {
        char upper[64];
        size_t len = 0;
        for (; container->name[len] != '\0' && len < sizeof(upper) - 1; len++)
            upper[len] = (char)(container->name[len] >= 'a' && container->name[len] <= 'z'
                                    ? container->name[len] - 'a' + 'A'
                                    : container->name[len]);
        upper[len] = '\0';
        reply_error_subcommand(&session->reply, argv[1], upper);
        return;
    }
    char args[UNKNOWN_ARGS_TEXT_MAX + 64];
    size_t used = 0;
    args[0] = '\0';
    for (int i = 1; i < argc && used < UNKNOWN_ARGS_TEXT_MAX; i++) {
        int room = (int)(UNKNOWN_ARGS_TEXT_MAX - used);
        int len = argv[i].len < (size_t)room ? (int)argv[i].len : room;
        int wrote =
            snprintf(args + used, sizeof(args) - used, "'%.*s' ", len, (const char *)argv[i].data);
        used += wrote < 0 ? 0 : (size_t)wrote;
        if (used >= sizeof(args))
            used = sizeof(args) - 1;
    }
    int name_len = argv[0].len < UNKNOWN_ARGS_TEXT_MAX ? (int)argv[0].len : UNKNOWN_ARGS_TEXT_MAX;
    reply_error_format(&session->reply, "ERR unknown command '%.*s', with args beginning with: %s",
                       name_len, (const char *)argv[0].data, args);
}

static bool arity_holds(const struct command *command, int argc)
{
    return command->arity >= 0 ? argc == command->arity : argc >= -command->arity;
}

static void count_rejected(struct exec *exec, const struct command *command,
                           const struct session *session)
{
    if (command != NULL)
        exec->stats->commands[command->id].rejected++;
    if (session->reply.failed) {
        stats_count_error(exec->stats, session->reply.error_code);
        exec->stats->error_replies++;
    }
}

enum exec_result exec_run(struct exec *exec, struct session *session, const struct bytes *argv,
                          int argc, struct bytes raw)
{
    if (exec->time_stale)
        exec_refresh_time(exec);
    session->last_command_at_ms = exec->mono_ms;
    session->command_count++;
    mute(session);
    session->reply.failed = false;
    const struct command *container = NULL;
    const struct command *command = command_find(exec->commands, argv, argc, &container);
    if (command == NULL) {
        reply_unknown(session, argv, argc, container);
        count_rejected(exec, container, session);
        return EXEC_DONE;
    }
    session->last_command = command;
    if (!arity_holds(command, argc) || command->handler == NULL) {
        reply_error_arity(&session->reply, command->name);
        count_rejected(exec, command, session);
        return EXEC_DONE;
    }
    struct call call;
    init_call(&call, exec, session, command, argv, argc, raw);
    if (!pass_gates(&call)) {
        count_rejected(exec, command, session);
        return EXEC_DONE;
    }
    if ((command->flags & CMD_WRITE) != 0 && session->conn != NULL && !admit_write(&call))
        return suspend(&call);
    enum exec_result result = run_phases(&call);
    if (result == EXEC_SUSPENDED && call.pending->wait.outstanding != 0)
        exec_load_ahead(exec, call.pending);
    exec->ahead.next = NULL;
    exec->ahead.end = NULL;
    if (result == EXEC_DONE && call.pending != NULL)
        pending_destroy(call.pending);
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

/* Whether a request waits for what only ticks bring about; the journal wakes the loop by itself. */
static bool waits_for_tick(const struct exec *exec)
{
    for (const struct pending *p = exec->waiting_first; p != NULL; p = p->next)
        if (!p->waits_journal)
            return true;
    return false;
}

bool exec_unblock(void *arg, struct session *session, bool with_error)
{
    struct exec *exec = arg;
    struct pending *p = session->pending;
    if (p == NULL || !p->waits_journal || !p->in_waiting)
        return false;
    p->unblock_error = with_error;
    p->deadline_ms = exec->mono_ms;
    return true;
}

static void end_with_error(struct pending *p)
{
    struct exec *exec = p->exec;
    struct session *session = p->session;
    session->reply.failed = false;
    reply_error(&session->reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    count_rejected(exec, NULL, session);
    pending_destroy(p);
    if (exec->resumed != NULL)
        exec->resumed(exec->resumed_arg, session);
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

bool exec_tick_end(struct exec *exec)
{
    exec_refresh_time(exec);
    poll_waiting(exec);
    bool more = store_tick(exec->store, exec->now_ms, exec->mono_ms);
    journal_submit(exec->journal);
    exec->time_stale = true;
    return more || waits_for_tick(exec);
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

void exec_read_stats(const struct exec *exec, struct exec_stats *out)
{
    *out = exec->counters;
}

void exec_reset_stats(struct exec *exec)
{
    uint64_t suspended = exec->counters.suspended_now;
    uint64_t throttled = exec->counters.throttled_now;
    uint64_t changes = exec->counters.changes;
    exec->counters = (struct exec_stats){
        .suspended_now = suspended, .throttled_now = throttled, .changes = changes};
}
