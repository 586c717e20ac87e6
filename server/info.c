#include "server/info.h"

#include "server/config.h"
#include "server/conn.h"
#include "server/exec.h"
#include "server/info_internal.h"
#include "server/replicas.h"
#include "server/server.h"
#include "server/tracking.h"
#include "server/version.h"
#include "storage/journal.h"
#include "storage/store.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define SECONDS_PER_DAY 86400
#define LRU_CLOCK_MASK  0xffffff

/* ---- Lines. */

void info_zeros(struct buf *out, const char *const *names)
{
    for (; *names != NULL; names++)
        info_u64(out, *names, 0);
}

void info_bytes_human(struct buf *out, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGTP";
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= 1024 && units[unit + 1] != 0) {
        value /= 1024;
        unit++;
    }
    if (unit == 0)
        buf_append_format(out, "%s:%lluB\r\n", name, (unsigned long long)bytes);
    else
        buf_append_format(out, "%s:%.2f%c\r\n", name, value, units[unit]);
}

void info_bytes(struct buf *out, const char *name, uint64_t bytes)
{
    char human[64];
    info_u64(out, name, bytes);
    (void)snprintf(human, sizeof human, "%s_human", name);
    info_bytes_human(out, human, bytes);
}

/* ---- Server. */

static const char *supervised_name(const struct config *config)
{
    switch ((enum config_supervised)config->supervised) {
    case CONFIG_SUPERVISED_UPSTART:
        return "upstart";
    case CONFIG_SUPERVISED_SYSTEMD:
        return "systemd";
    case CONFIG_SUPERVISED_NO:
    case CONFIG_SUPERVISED_AUTO:
        break;
    }
    return "no";
}

static void write_executable(struct buf *out)
{
    char path[1024];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    path[len < 0 ? 0 : len] = 0;
    info_text(out, "executable", path);
}

static void write_build(struct buf *out)
{
    struct utsname system;
    info_text(out, "redis_version", REDIS_COMPATIBLE_VERSION);
    info_text(out, "redis_git_sha1", "00000000");
    info_u64(out, "redis_git_dirty", 0);
    info_u64(out, "redis_build_id", 0);
    info_text(out, "basalt_version", BASALT_VERSION);
    info_text(out, "redis_mode", "standalone");
    if (uname(&system) == 0)
        buf_append_format(out, "os:%s %s %s\r\n", system.sysname, system.release, system.machine);
    info_u64(out, "arch_bits", sizeof(void *) * 8);
    info_text(out, "monotonic_clock", "POSIX clock_gettime");
    info_text(out, "multiplexing_api", "epoll");
    info_text(out, "atomicvar_api", "c11-builtin");
    buf_append_format(out, "gcc_version:%d.%d.%d\r\n", __GNUC__, __GNUC_MINOR__,
                      __GNUC_PATCHLEVEL__);
}

/* Where clients may connect, in the order of Redis: TCP, unix socket. */
static void write_listeners(const struct config *config, struct buf *out)
{
    int count = 0;
    if (config->port != 0) {
        buf_append_format(out, "listener%d:name=tcp", count++);
        for (size_t i = 0; i < config->bind.count; i++)
            buf_append_format(out, ",bind=%s", config->bind.addresses[i]);
        buf_append_format(out, ",port=%d\r\n", config->port);
    }
    if (config->unixsocket[0] != 0)
        buf_append_format(out, "listener%d:name=unix,bind=%s\r\n", count++, config->unixsocket);
    if (config->tls_port != 0) {
        buf_append_format(out, "listener%d:name=tls", count);
        for (size_t i = 0; i < config->bind.count; i++)
            buf_append_format(out, ",bind=%s", config->bind.addresses[i]);
        buf_append_format(out, ",port=%d\r\n", config->tls_port);
    }
}

static void write_server(const struct services *services, struct buf *out)
{
    const struct config *config = services->config;
    struct server_facts facts;
    server_read_facts(services->server, &facts);
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t uptime = (exec_mono_ms(services->exec) - facts.started_mono_ms) / 1000;

    write_build(out);
    info_i64(out, "process_id", getpid());
    info_text(out, "process_supervised", supervised_name(config));
    info_text(out, "run_id", facts.run_id);
    info_i64(out, "tcp_port", config->port != 0 ? config->port : config->tls_port);
    info_i64(out, "server_time_usec", (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    info_i64(out, "uptime_in_seconds", uptime);
    info_i64(out, "uptime_in_days", uptime / SECONDS_PER_DAY);
    info_i64(out, "hz", config->hz);
    info_i64(out, "configured_hz", config->hz);
    info_i64(out, "lru_clock", (int64_t)now.tv_sec & LRU_CLOCK_MASK);
    write_executable(out);
    info_text(out, "config_file", config->config_file);
    info_u64(out, "io_threads_active", 0);
    write_listeners(config, out);
}

/* ---- Clients. */

static void write_clients(const struct services *services, struct buf *out)
{
    struct conns_stats stats;
    struct exec_stats exec;
    struct tracking_stats tracking;
    conns_read_stats(services->conns, &stats);
    exec_read_stats(services->exec, &exec);
    tracking_read_stats(services->tracking, &tracking);
    info_u64(out, "connected_clients", stats.count);
    info_u64(out, "cluster_connections", 0);
    info_u64(out, "maxclients", services->config->maxclients);
    info_u64(out, "client_recent_max_input_buffer", stats.input_bytes_max);
    info_u64(out, "client_recent_max_output_buffer", stats.output_bytes_max);
    info_u64(out, "blocked_clients", stats.blocked);
    info_u64(out, "tracking_clients", tracking.clients);
    info_u64(out, "pubsub_clients", stats.pubsub);
    info_u64(out, "clients_in_timeout_table", exec.blocked_with_timeout);
    info_u64(out, "total_blocking_keys", exec.blocking_keys);
    info_u64(out, "total_blocking_keys_on_nokey", exec.blocking_keys_on_delete);
    info_u64(out, "clients_waiting_for_disk", exec.suspended_now);
    info_u64(out, "clients_waiting_for_sync", stats.held_by_gate);
}

/* ---- Replication. The journal is the backlog; offsets of the backlog count from 1, as in Redis.
 */

struct replica_list {
    struct buf lines;
    uint64_t count;
};

static void add_replica(void *arg, const struct replica_state *state)
{
    struct replica_list *list = arg;
    buf_append_format(&list->lines, "slave%llu:ip=%s,port=%d,state=%s,offset=%llu,lag=%lld\r\n",
                      (unsigned long long)list->count++, state->address, state->port, state->state,
                      (unsigned long long)state->acknowledged, (long long)state->lag_s);
}

static void write_replication(const struct services *services, struct buf *out)
{
    struct journal_stats journal;
    journal_read_stats(services->journal, &journal);
    info_text(out, "role", "master");
    struct replica_list replicas = {0};
    replicas_visit(services->replicas, add_replica, &replicas);
    info_u64(out, "connected_slaves", replicas.count);
    if (services->config->min_replicas_to_write > 0 && services->config->min_replicas_max_lag > 0)
        info_u64(out, "min_slaves_good_slaves", replicas_count_good(services->replicas));
    buf_append_bytes(out, buf_bytes(&replicas.lines));
    buf_deinit(&replicas.lines);
    info_text(out, "master_failover_state", "no-failover");
    info_text(out, "master_replid", store_replication_id(services->store));
    info_text(out, "master_replid2", "0000000000000000000000000000000000000000");
    info_u64(out, "master_repl_offset", journal.end);
    info_i64(out, "second_repl_offset", -1);
    info_u64(out, "repl_backlog_active", 1);
    info_i64(out, "repl_backlog_size", services->config->repl_backlog_size);
    info_u64(out, "repl_backlog_first_byte_offset", journal.first_offset + 1);
    info_u64(out, "repl_backlog_histlen", journal.end - journal.first_offset);
}

/* ---- CPU. */

static void write_time(struct buf *out, const char *name, struct timeval time)
{
    buf_append_format(out, "%s:%lld.%06lld\r\n", name, (long long)time.tv_sec,
                      (long long)time.tv_usec);
}

static void write_cpu(const struct services *services, struct buf *out)
{
    (void)services;
    struct rusage all = {0}, children = {0}, thread = {0};
    (void)getrusage(RUSAGE_SELF, &all);
    (void)getrusage(RUSAGE_CHILDREN, &children);
    (void)getrusage(RUSAGE_THREAD, &thread);
    write_time(out, "used_cpu_sys", all.ru_stime);
    write_time(out, "used_cpu_user", all.ru_utime);
    write_time(out, "used_cpu_sys_children", children.ru_stime);
    write_time(out, "used_cpu_user_children", children.ru_utime);
    write_time(out, "used_cpu_sys_main_thread", thread.ru_stime);
    write_time(out, "used_cpu_user_main_thread", thread.ru_utime);
}

/* ---- Modules, Cluster. */

static void write_modules(const struct services *services, struct buf *out)
{
    (void)services;
    (void)out;
}

static void write_cluster(const struct services *services, struct buf *out)
{
    info_u64(out, "cluster_enabled", services->config->cluster_enabled);
}

/* ---- The table. */

enum when { BY_DEFAULT, IN_ALL, BY_NAME };

static const struct section {
    const char *name; /* as a client says it */
    const char *title;
    info_section_fn *write;
    enum when when;
} sections[] = {
    {"server", "Server", write_server, BY_DEFAULT},
    {"clients", "Clients", write_clients, BY_DEFAULT},
    {"memory", "Memory", info_write_memory, BY_DEFAULT},
    {"persistence", "Persistence", info_write_persistence, BY_DEFAULT},
    {"tiering", "Tiering", info_write_tiering, BY_DEFAULT},
    {"stats", "Stats", info_write_stats, BY_DEFAULT},
    {"replication", "Replication", write_replication, BY_DEFAULT},
    {"cpu", "CPU", write_cpu, BY_DEFAULT},
    {"modules", "Modules", write_modules, BY_DEFAULT},
    {"commandstats", "Commandstats", info_write_commandstats, IN_ALL},
    {"errorstats", "Errorstats", info_write_errorstats, BY_DEFAULT},
    {"latencystats", "Latencystats", info_write_latencystats, IN_ALL},
    {"cluster", "Cluster", write_cluster, BY_DEFAULT},
    {"keyspace", "Keyspace", info_write_keyspace, BY_DEFAULT},
    {"debug", "Debug", info_write_debug, BY_NAME},
};
#define SECTION_COUNT (sizeof sections / sizeof sections[0])

static void select_sections(bool *chosen, struct bytes name)
{
    bool all = bytes_equal_nocase(name, "all") || bytes_equal_nocase(name, "everything");
    bool defaults = bytes_equal_nocase(name, "default");
    for (size_t i = 0; i < SECTION_COUNT; i++)
        if ((all && sections[i].when <= IN_ALL) || (defaults && sections[i].when == BY_DEFAULT) ||
            bytes_equal_nocase(name, sections[i].name))
            chosen[i] = true;
}

void info_write(const struct services *services, const struct bytes *names, size_t name_count,
                struct buf *out)
{
    bool chosen[SECTION_COUNT] = {false};
    if (name_count == 0)
        select_sections(chosen, bytes_text("default"));
    for (size_t i = 0; i < name_count; i++)
        select_sections(chosen, names[i]);

    const char *separator = "";
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        if (!chosen[i])
            continue;
        buf_append_format(out, "%s# %s\r\n", separator, sections[i].title);
        sections[i].write(services, out);
        separator = "\r\n";
    }
}
