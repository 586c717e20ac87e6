/* Shared by the parts of the executor: exec.c (phases), exec_call.c (what handlers call) and
 * exec_effect.c (the journal's record of a command). */
#ifndef BASALT_SERVER_EXEC_INTERNAL_H
#define BASALT_SERVER_EXEC_INTERNAL_H

#include "codec/buf.h"
#include "server/call.h"
#include "server/exec.h"
#include "server/ticks.h"
#include "storage/loader.h"
#include "storage/scan.h"

struct config;
struct journal;
struct stats;
struct store;

#define PENDING_SCANS_MAX 2

/* A request that waits: for loads, a scan, an exact count, or its turn to write. */
struct pending {
    struct exec *exec;
    struct session *session;
    const struct command *command;
    const struct bytes *argv; /* borrowed from the connection */
    int argc;
    struct bytes raw;
    struct load_wait wait;
    struct scan *scans[PENDING_SCANS_MAX];
    struct scan_result results[PENDING_SCANS_MAX];
    bool scans_done[PENDING_SCANS_MAX];
    struct call_walk walk;
    struct db *exact_db; /* waits for db->unresolved == 0 */
    bool waits_journal;  /* for journal_offset to be durable, until deadline_ms */
    uint64_t journal_offset;
    int64_t deadline_ms; /* monotonic; INT64_MAX: none */
    bool unblock_error;  /* CLIENT UNBLOCK ERROR ends that wait */
    uint64_t random_position;
    bool has_random_position;
    bool throttled;  /* in exec->waiting because of write pressure */
    bool admitted;   /* its turn came */
    bool in_waiting; /* linked in exec->waiting */
    uint64_t throttled_at_ns;
    struct pending *next, *prev; /* exec->waiting */
};

/* The keys of the requests that follow the running one in its pipeline. */
#define AHEAD_MAX 6
struct ahead_key {
    const uint8_t *key; /* in the connection's buffer */
    size_t len;         /* 0: none */
    const uint8_t *end; /* of the request */
    uint64_t position;
};
struct ahead {
    const uint8_t *at;         /* what was looked at ends here */
    const uint8_t *next, *end; /* the bytes behind the running request */
    uint32_t first, count;
    struct ahead_key keys[AHEAD_MAX]; /* a ring */
};

struct exec {
    struct services *services;
    const struct config *config;
    const struct command_table *commands;
    struct store *store;
    struct keyspace *ks;
    struct journal *journal;
    struct loader *loader;
    struct stats *stats;
    exec_resumed_fn *resumed;
    void *resumed_arg;

    bool loading;
    bool always_cold;

    /* Time */
    bool time_stale; /* the loop may have slept since */
    int64_t now_ms;
    int64_t mono_ms;
    struct ticks_scale scale;

    /* Requests that are looked at once per tick, in order. */
    struct pending *waiting_first, *waiting_last;

    /* Admission of writes under pressure, in bytes. */
    int64_t tokens;
    uint64_t tokens_at_ns;

    /* Effects of the running command: entries of db u32, len u32, RESP bytes. */
    struct buf effects;
    uint32_t effect_count;

    struct ahead ahead;

    struct exec_stats counters;
};

/* exec_effect.c */
void exec_add_effect(struct exec *exec, uint32_t db, int argc, const struct bytes *argv);
/* Stages what the command has done, and forgets it. */
void exec_stage_effects(struct call *c);
/* Stages one command at once (an expired key's DEL). */
void exec_stage_command(struct exec *exec, uint32_t db, int argc, const struct bytes *argv);

/* exec_ahead.c */
/* A request has to wait for loads: asks also for what those behind it in the pipeline will need. */
void exec_load_ahead(struct exec *exec, struct pending *p);

/* exec.c */
uint32_t exec_db_number(const struct exec *exec, const struct db *db);
struct pending *exec_pending(struct call *c);
/* The request is looked at again at each tick's end. */
void exec_wait_tick(struct pending *p);
/* Deletes an expired live key. */
void exec_expire_key(struct exec *exec, uint32_t db, struct keyref *ref);
void exec_refresh_time(struct exec *exec);

#endif
