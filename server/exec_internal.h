/* Shared by the parts of the executor: exec.c (phases), exec_check.c (the first of them),
 * exec_keys.c (keys and residency), exec_nested.c (commands inside others), exec_call.c (what
 * handlers call), exec_effect.c (the journal's record of a unit), exec_ahead.c (pipelines). */
#ifndef BASALT_SERVER_EXEC_INTERNAL_H
#define BASALT_SERVER_EXEC_INTERNAL_H

#include "codec/buf.h"
#include "server/call.h"
#include "server/exec.h"
#include "server/ticks.h"
#include "storage/loader.h"
#include "storage/scan.h"

struct blocked;
struct blocking;
struct config;
struct journal;
struct loop_timer;
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
    struct db *exact_db;           /* waits for db->unresolved == 0 */
    bool waits_tick;               /* for the next tick */
    uint64_t ticket;               /* call_ticket */
    const atomic_bool *waits_over; /* until this is set (call_wait_over); NULL: not */
    void *kept;                    /* call_keep; given to `drop` at the end */
    call_drop_fn *drop;
    bool waits_journal; /* for journal_offset to be durable, until deadline_ms */
    uint64_t journal_offset;
    int64_t deadline_ms;      /* monotonic; INT64_MAX: none */
    bool unblock_error;       /* CLIENT UNBLOCK ERROR ends that wait */
    struct blocked *blocked;  /* waits for keys (call_block) */
    struct bytes *own_argv;   /* owned: a blocked request keeps its arguments itself */
    int64_t own_bytes;        /* of that allocation */
    uint64_t random_position; /* see call.random_position */
    bool has_random_position;
    /* For the slow log: how long it has waited for its turn and for cold data. */
    uint64_t queue_ns, load_ns;
    uint64_t waits_since_ns; /* 0: it does not */
    bool waits_for_turn;     /* else for cold data */
    bool shown;              /* MONITOR has had it */
    bool throttled;          /* in exec->waiting because of write pressure */
    bool admitted;           /* its turn came */
    bool in_waiting;         /* linked in exec->waiting */
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
    struct pushes *pushes;
    exec_resumed_fn *resumed;
    exec_resumed_fn *blocked;
    void *resumed_arg;

    struct blocking *blocking;      /* who waits for which key */
    struct loop_timer *tick_timer;  /* for requests that wait for ticks; NULL before there is one */
    struct loop_timer *block_timer; /* for their deadlines; NULL before anybody has one */
    int64_t block_timer_ms;         /* when it is due; INT64_MAX: it does not run */

    bool loading;
    const char *busy_error; /* exec_set_busy */
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

    /* The open unit: what the running request does, with all that is nested in it. */
    struct call *unit; /* the outermost call; NULL: none is running */
    uint32_t nesting;  /* how deep the running call is in it; 0: it is `unit` */
    /* Its effects (exec_effect.c). */
    struct buf effects;
    uint32_t effect_count;
    uint64_t write_offset; /* journal offset behind the last of all effects */

    struct buf event_channel; /* scratch of notify_publish */

    struct load_wait field_wait; /* loads of due fields of a large hash (exec_fields.c) */

    struct ahead ahead;
    struct watches *watches; /* owned */

    uint64_t notable_ns;    /* a command that runs so long is for the slow log or latency monitor */
    uint32_t until_counted; /* commands up to the next one whose keys are (hot_keys.h) */
    uint64_t syncs_seen;    /* of the journal, by the latency monitor */

    struct exec_stats counters;
};

/* exec_check.c */
/* Phases 1 and 2. NULL: the request is no command's, which was replied. */
const struct command *exec_find_command(struct exec *exec, struct session *session,
                                        const struct bytes *argv, int argc);
/* Phase 3. False: the command may not run now, which was replied. What a script calls has been
 * asked for already whether its user may. */
bool exec_pass_gates(struct exec *exec, struct session *session, const struct command *command,
                     const struct bytes *argv, int argc);
/* The part of it that may have changed while the request was waiting: who is asking, and what for.
 */
bool exec_pass_access(struct exec *exec, struct session *session, const struct command *command,
                      const struct bytes *argv, int argc);
/* Replies why a request is refused. A transaction is spoiled by that; EXEC ends it and says so. */
void exec_reply_refused(struct exec *exec, struct session *session, const struct command *command,
                        const char *text);
void exec_count_rejected(struct exec *exec, const struct command *command,
                         const struct session *session);

/* exec_keys.c */
enum exec_residency {
    EXEC_RESIDENT,
    EXEC_MISSING,
    EXEC_UNREADABLE,
    EXEC_TOO_LARGE, /* it needs all of a collection, which is more than may be brought into RAM */
};
/* Phase 4: fills c->keys. */
void exec_find_keys(struct call *c);
void exec_forget_keys(struct call *c);
/* Phase 5: sees to it that all of c->keys are in RAM or known to be absent. What is not is loaded
 * on behalf of `waiter`, whose request has to wait then (EXEC_MISSING), or at once (NULL). */
enum exec_residency exec_make_resident(struct call *c, struct call *waiter);

/* exec_effect.c */
void exec_add_effect(struct exec *exec, uint32_t db, int argc, const struct bytes *argv);
/* What a nested command has done becomes part of its unit. */
void exec_collect_effects(struct call *c);
/* Stages what the unit has done, and forgets it. */
void exec_stage_effects(struct call *c);
/* Stages one command at once (an expired key's DEL), or makes it part of the open unit. */
void exec_stage_command(struct exec *exec, uint32_t db, int argc, const struct bytes *argv);

/* exec_fields.c */
/* Deletes fields of a hash whose time has come, with their journal record and event; those that are
 * not in RAM when it is called again. */
void exec_expire_fields(struct exec *exec, uint32_t db, struct keyref *ref);
/* Lets go of what that has loaded. Once per tick, and at the end. */
void exec_release_field_loads(struct exec *exec);

/* exec_notify.c */
/* Publishes an event if its class is on. */
void exec_notify(struct exec *exec, int event_class, const char *event, struct bytes key,
                 uint32_t db);
/* Has the keyspace tell what the classes n and T want to know, if they are on. */
void exec_watch_keyspace(struct exec *exec);
/* exec_watch.c */
void exec_watch_modified(struct call *c, const struct keyref *ref);
void exec_watch_expired(struct exec *exec, uint32_t db, const struct keyref *ref);
void exec_watch_db_emptied(struct call *c, uint32_t db);
void exec_watch_db_replaced(struct call *c, uint32_t db, uint32_t by);

/* exec_observe.c */
void exec_configure_observation(struct exec *exec);
/* A request begins to wait, for cold data or its turn to write; and goes on. */
void exec_begin_wait(struct pending *p);
void exec_end_wait(struct pending *p);
/* A command has run, for so long: tells the slow log and the latency monitor what they want. */
void exec_note_duration(struct call *c, uint64_t run_ns);
/* The same for what the tick's end has done. */
void exec_note_tick(struct exec *exec);
/* Shows a command to those who use MONITOR, once however often its handler is called. */
void exec_show(struct call *c);
/* Counts the keys of a command that has run, and says when the next one's are. */
void exec_count_keys(struct call *c);

/* exec_ahead.c */
/* A request has to wait for loads: asks also for what those behind it in the pipeline will need. */
void exec_load_ahead(struct exec *exec, struct pending *p);

/* exec_block.c */
void exec_block_open(struct exec *exec);
void exec_block_close(struct exec *exec);
/* What a handler that called call_block waits for is in place; lets go of all else. */
enum exec_result exec_block(struct call *c);
/* Whether a request that is tried again has nothing to find: the key that woke it is not its. */
bool exec_stays_blocked(struct call *c);
/* Part of exec_pending_destroy. */
void exec_block_forget(struct pending *p);
/* Serves those that wait for keys which are ready now. */
void exec_serve_blocked(struct exec *exec);
/* Ends its wait: a null array, or an error (NULL: none). */
void exec_end_blocked(struct pending *p, const char *error);

/* exec.c */
/* Tries a suspended or blocked request again. */
enum exec_result exec_retry(struct pending *p);
/* Its request has been replied to. */
void exec_finish(struct pending *p);
uint32_t exec_db_number(const struct exec *exec, const struct db *db);
void exec_init_call(struct call *c, struct exec *exec, struct session *session,
                    const struct command *command, const struct bytes *argv, int argc,
                    struct bytes raw);
/* Whether the request can be suspended; else it reads the disk on this thread. */
bool exec_may_wait(const struct call *c);
/* Phase 6: runs the handler, and counts it unless it waits. */
void exec_run_handler(struct call *c);
/* Why the request cannot run: `there` is one of the last two. */
void exec_reply_not_resident(struct call *c, enum exec_residency there);
struct pending *exec_pending(struct call *c);
void exec_pending_destroy(struct pending *p);
/* The request is looked at again at each tick's end. */
void exec_wait_tick(struct pending *p);
/* Deletes an expired live key. */
void exec_expire_key(struct exec *exec, uint32_t db, struct keyref *ref);
void exec_refresh_time(struct exec *exec);

#endif
