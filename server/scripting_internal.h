/* Shared by the parts of scripting: scripting.c (running, EVAL), scripting_function.c (libraries,
 * FCALL), scripting_busy.c (time limits). */
#ifndef BASALT_SERVER_SCRIPTING_INTERNAL_H
#define BASALT_SERVER_SCRIPTING_INTERNAL_H

#include "server/output.h"
#include "server/scripting.h"
#include "server/session.h"

struct script_cache;
struct script_lua;

/* A script on its way. */
struct script_run {
    struct call *call; /* of the request that runs it */
    const char *name;
    bool eval; /* not a function */
    bool read_only;
    bool written; /* it has called a command that writes */
    bool late;    /* over the threshold: other clients are served */
    bool killed;
    uint64_t started_us;
    uint64_t served_us; /* when other clients were served last */
};

struct scripting {
    struct services *services;
    size_t memory_bytes_max;
    struct script_lua *eval;
    struct script_cache *cache;
    struct script_lua *functions_lua;
    struct functions *functions;
    uint64_t loading_until_us; /* of a library; 0: no limit */
    struct session session;    /* of what scripts call */
    struct output output;      /* its replies */
    struct buf reply;          /* one that lies in several blocks */
    struct script_run *run;    /* NULL: none */
    bool debug_allowed;        /* scripting_allow_debug */
    scripting_serve_fn *serve; /* NULL: nobody is served */
    void *serve_arg;
};

/* A compiled script or function and how to run it. */
struct script_target {
    struct script_lua *lua;
    int reference;
    const char *name;
    uint32_t flags; /* SCRIPT_FLAG_* */
    bool read_only; /* by the command that runs it */
    int key_count;
};
/* True: it has called a command that writes. */
bool scripting_run(struct call *c, const struct script_target *target);
/* Whether so many of the arguments from the fourth on can be keys; else an error was replied. */
bool scripting_check_key_count(struct call *c, int64_t count);

/* scripting_busy.c */
/* Called every now and then while a script runs; true: it was killed. */
bool scripting_interrupt(struct scripting *scripting);
void scripting_end_busy(struct scripting *scripting);

/* scripting_function.c */
void scripting_open_functions(struct scripting *scripting, struct script_lua *lua);
/* The flags of the function of that name; false: there is none. */
bool scripting_function_flags(const struct scripting *scripting, struct bytes name,
                              uint32_t *flags_out);

#endif
