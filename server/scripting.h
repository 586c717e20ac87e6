/* Scripts in the server: EVAL and its like, and the functions of libraries. Joins the interpreter
 * (script_lua.h) with the executor: what a script calls runs nested in the request that runs the
 * script, so that the whole is one atomic unit, and the journal gets its effects, never the script.
 * Main thread. Source: scripting of Redis 7.2. */
#ifndef BASALT_SERVER_SCRIPTING_H
#define BASALT_SERVER_SCRIPTING_H

#include "codec/bytes.h"
#include "codec/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct command;
struct functions;
struct scripting;
struct services;
struct session;

struct scripting *scripting_create(struct services *services);
/* Accepts NULL. No script may be running. */
void scripting_destroy(struct scripting *scripting);

/* Reads the libraries that are on disk, before the journal is replayed. */
MUST_USE enum status scripting_read_libraries(struct scripting *scripting, struct err *err);

/* EVAL and EVALSHA: runs the script that c->argv[1] is, or names; keys and arguments follow. */
void scripting_eval(struct call *c, bool read_only);
void scripting_evalsha(struct call *c, bool read_only);
/* SCRIPT LOAD of c->argv[2]. */
void scripting_load(struct call *c);
bool scripting_exists(struct scripting *scripting, struct bytes sha);
/* SCRIPT FLUSH: forgets all scripts, and the state in which they ran. */
void scripting_flush(struct scripting *scripting);

/* The flags of a command that has CMD_RUNS_SCRIPT, as they hold for this request: EVAL of a script
 * with the flag no-writes is no write. */
uint32_t scripting_command_flags(struct scripting *scripting, const struct command *command,
                                 const struct bytes *argv, int argc);

/* FCALL of the function c->argv[1]. */
void scripting_fcall(struct call *c, bool read_only);
/* The libraries. What changes is part of the next cut. */
struct functions *scripting_functions(struct scripting *scripting);
/* Around functions_load and functions_restore for a client: their code may run for half a second.
 * What was accepted before, and is replayed, may run for as long and take as much as it needs. */
void scripting_begin_loading(struct scripting *scripting, bool replay);
void scripting_end_loading(struct scripting *scripting);

/* While a script runs for longer than busy-reply-threshold this is called every now and then, to
 * answer other clients. `session` is that of the request that runs the script. */
typedef void scripting_serve_fn(void *arg, const struct session *session);
void scripting_on_busy(struct scripting *scripting, scripting_serve_fn *fn, void *arg);
/* SCRIPT KILL and FUNCTION KILL. */
void scripting_kill(struct call *c, bool eval);
/* What runs, for FUNCTION STATS; false: nothing does. */
struct scripting_running {
    const char *name;
    const struct call *call;
    uint64_t duration_ms;
    bool eval;
};
bool scripting_running(const struct scripting *scripting, struct scripting_running *out);

/* DEBUG SET-DISABLE-DENY-SCRIPTS: scripts may use DEBUG PROTOCOL and DEBUG SLEEP. */
void scripting_allow_debug(struct scripting *scripting, bool allow);

struct scripting_stats {
    size_t eval_bytes;         /* of the interpreter for EVAL */
    size_t script_count;       /* cached */
    size_t scripts_bytes;      /* of the cache */
    size_t functions_vm_bytes; /* of the interpreter for functions */
    size_t library_count;
    size_t function_count;
    size_t functions_bytes; /* of the libraries */
};
void scripting_read_stats(const struct scripting *scripting, struct scripting_stats *out);

#endif
