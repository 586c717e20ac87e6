/* What others may see of a request that has run: the slow log, the latency monitor, MONITOR. */
#include "server/exec_internal.h"

#include "server/config.h"
#include "server/conn.h"
#include "server/hot_keys.h"
#include "server/latency.h"
#include "server/monitor.h"
#include "server/redact.h"
#include "server/services.h"
#include "server/slowlog.h"
#include "storage/journal.h"
#include "storage/store.h"

#include <stdio.h>
#include <time.h>

#define NS_PER_US 1000
#define NS_PER_MS 1000000

static int64_t wall_clock_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void exec_configure_observation(struct exec *exec)
{
    const struct config *config = exec->config;
    uint64_t least_ns = UINT64_MAX;
    if (config->slowlog_log_slower_than >= 0 &&
        (uint64_t)config->slowlog_log_slower_than < UINT64_MAX / NS_PER_US)
        least_ns = (uint64_t)config->slowlog_log_slower_than * NS_PER_US;
    uint64_t threshold_ms = (uint64_t)config->latency_monitor_threshold;
    if (threshold_ms != 0 && threshold_ms < least_ns / NS_PER_MS)
        least_ns = threshold_ms * NS_PER_MS;
    exec->notable_ns = least_ns;
    slowlog_trim(exec->services->slowlog, config->slowlog_max_len);
    store_measure_ticks(exec->store, threshold_ms != 0);
}

/* ---- Waiting ----------------------------------------------------------------------------------
 */

void exec_begin_wait(struct pending *p)
{
    if (p->waits_journal || p->waits_since_ns != 0)
        return;
    p->waits_since_ns = ticks_clock_ns();
    p->waits_for_turn = p->throttled;
}

void exec_end_wait(struct pending *p)
{
    if (p->waits_since_ns == 0)
        return;
    uint64_t ns = ticks_clock_ns() - p->waits_since_ns;
    p->waits_since_ns = 0;
    if (p->waits_for_turn)
        p->queue_ns += ns;
    else
        p->load_ns += ns;
}

/* ---- The slow log and the latency monitor -----------------------------------------------------
 */

/* The client on whose behalf the call runs. */
static const struct session *client_of(const struct call *c)
{
    return c->exec->unit != NULL ? c->exec->unit->session : c->session;
}

static void log_slow(struct call *c, const struct slowlog_times *times)
{
    struct exec *exec = c->exec;
    const struct session *client = client_of(c);
    struct redact redact;
    redact_init(&redact, exec->config, c->command);
    struct slowlog_request request = {
        .argv = c->argv,
        .argc = c->argc,
        .redact = &redact,
        .address = bytes_text(client->conn != NULL ? conn_peer_address(client->conn) : "?:0"),
        .name = bytes_text(client->name != NULL ? client->name : ""),
        .at_s = wall_clock_us() / 1000000,
        .times = *times,
    };
    slowlog_add(exec->services->slowlog, &request);
    slowlog_trim(exec->services->slowlog, exec->config->slowlog_max_len);
}

static void sample(struct exec *exec, enum latency_event event, uint64_t us)
{
    uint64_t threshold_ms = (uint64_t)exec->config->latency_monitor_threshold;
    if (threshold_ms != 0 && us / 1000 >= threshold_ms)
        latency_add(exec->services->latency, event, us / 1000, wall_clock_us() / 1000000);
}

void exec_note_duration(struct call *c, uint64_t run_ns)
{
    struct exec *exec = c->exec;
    const struct pending *p = c->pending;
    if (c->session->flags & SESSION_REPLAY)
        return;
    struct slowlog_times times = {.run_us = run_ns / NS_PER_US};
    if (p != NULL) {
        times.queue_us = p->queue_ns / NS_PER_US;
        times.load_us = p->load_ns / NS_PER_US;
    }
    bool fast = (c->command->flags & CMD_FAST) != 0;
    sample(exec, fast ? LATENCY_FAST_COMMAND : LATENCY_COMMAND, times.run_us);
    sample(exec, LATENCY_COLD_LOAD, times.load_us);
    sample(exec, LATENCY_WRITE_DELAY, times.queue_us);
    /* EXEC's time is that of its commands, which have been logged; what it waited for is its own.
     */
    if ((c->command->flags & CMD_SKIP_SLOWLOG) != 0) {
        times.run_us = 0;
        if (slowlog_total_us(&times) == 0)
            return;
    }
    int64_t least_us = exec->config->slowlog_log_slower_than;
    if (least_us >= 0 && slowlog_total_us(&times) >= (uint64_t)least_us)
        log_slow(c, &times);
}

void exec_note_tick(struct exec *exec)
{
    if (exec->config->latency_monitor_threshold == 0)
        return;
    const struct store_tick_times *times = store_tick_times(exec->store);
    sample(exec, LATENCY_EXPIRE_CYCLE, times->expire_us);
    sample(exec, LATENCY_CUT_SLICE, times->cut_us);
    sample(exec, LATENCY_EVICTION_CYCLE, times->evict_us);
    if (exec->config->appendfsync != CONFIG_APPENDFSYNC_ALWAYS)
        return;
    struct journal_stats journal;
    journal_read_stats(exec->journal, &journal);
    if (journal.sync_count != exec->syncs_seen)
        sample(exec, LATENCY_AOF_FSYNC_ALWAYS, journal.sync_us_last);
    exec->syncs_seen = journal.sync_count;
}

/* ---- MONITOR ----------------------------------------------------------------------------------
 */

void exec_show(struct call *c)
{
    struct exec *exec = c->exec;
    const struct session *session = c->session;
    if ((c->command->flags & CMD_ADMIN) != 0 || (session->flags & SESSION_REPLAY) != 0)
        return;
    if (c->pending != NULL) {
        if (c->pending->shown)
            return;
        c->pending->shown = true;
    }
    char path[128]; /* a socket's path has at most 107 characters */
    const char *origin = "?:0";
    if ((session->flags & SESSION_SCRIPT) != 0) {
        origin = "lua";
    } else if ((session->flags & SESSION_UNIX_SOCKET) != 0) {
        (void)snprintf(path, sizeof path, "unix:%s", exec->config->unixsocket);
        origin = path;
    } else if (session->conn != NULL) {
        origin = conn_peer_address(session->conn);
    }
    struct redact redact;
    redact_init(&redact, exec->config, c->command);
    struct monitor_request request = {.argv = c->argv,
                                      .argc = c->argc,
                                      .db = session->db,
                                      .origin = origin,
                                      .at_us = wall_clock_us(),
                                      .redact = &redact};
    monitors_show(exec->services->monitors, &request);
}

/* ---- Hot keys ----------------------------------------------------------------------------------
 */

/* One key stands for all of the command. What a script declares, its commands count themselves. */
void exec_count_keys(struct call *c)
{
    struct exec *exec = c->exec;
    struct hot_keys *hot = exec->services->hot_keys;
    exec->until_counted = hot_keys_next(hot);
    if (c->key_count == 0 || (c->command->flags & CMD_RUNS_SCRIPT) != 0 ||
        (c->session->flags & SESSION_REPLAY) != 0)
        return;
    uint64_t count = (uint64_t)c->key_count;
    const struct keyref *ref = &c->keys[hot_keys_random(hot, count)];
    uint32_t db = ref->db == c->db ? c->session->db : exec_db_number(exec, ref->db);
    hot_keys_count(hot, db, ref->key, count);
}
