/* Scripts in the server: EVAL and its like, and the functions of libraries. Joins the interpreter
 * (script_lua.h) with the executor: what a script calls runs nested in the request that runs the
 * script, so that the whole is one atomic unit, and the journal gets its effects, never the script.
 * Main thread. Source: scripting of Redis 7.2. */
#ifndef BASALT_SERVER_SCRIPTING_H
#define BASALT_SERVER_SCRIPTING_H

#include "codec/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct command;
struct scripting;
struct services;

struct scripting *scripting_create(struct services *services);
/* Accepts NULL. No script may be running. */
void scripting_destroy(struct scripting *scripting);

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
