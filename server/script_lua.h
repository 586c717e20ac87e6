/* The Lua interpreter behind EVAL and FUNCTION: one state with Redis's sandbox, memory bounded, in
 * which scripts are compiled and run. It knows no sessions and no keys: what a script asks of the
 * server goes through struct script_host. Lua's headers are included by script_lua*.c and
 * script_lib*.c alone. Main thread. Source: scripting of Redis 7.2. */
#ifndef BASALT_SERVER_SCRIPT_LUA_H
#define BASALT_SERVER_SCRIPT_LUA_H

#include "codec/buf.h"
#include "codec/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct reply;
struct script_lua;

/* A script reference that stands for none. */
#define SCRIPT_LUA_NONE (-2)

/* What a command answered. */
struct script_answer {
    struct bytes resp; /* its reply, valid until the next call */
    char *error;       /* taken; not NULL: it was not run, for this reason ("CODE text") */
};

enum script_verdict { SCRIPT_GO_ON, SCRIPT_KILLED };

/* What a script asks of the server. */
struct script_host {
    void *arg;
    /* redis.call and redis.pcall; `resp` is the protocol that the script has asked for. */
    void (*call)(void *arg, const struct bytes *argv, int argc, int resp,
                 struct script_answer *out);
    /* Called every now and then, between instructions and behind commands, while a script runs or a
     * library is loaded. */
    enum script_verdict (*interrupt)(void *arg);
    /* Text for the server's log, at one of Redis's levels 0 to 3; whether a level is logged. */
    void (*log)(void *arg, int level, struct bytes text);
    bool (*logs)(void *arg, int level);
    /* redis.acl_check_cmd: 1 permitted, 0 not, -1 no such command. */
    int (*acl_check)(void *arg, const struct bytes *argv, int argc);
};

struct script_lua_options {
    struct script_host host;
    bool functions;          /* for FUNCTION: no KEYS and ARGV, but redis.register_function */
    size_t memory_bytes_max; /* what does not fit is an error in the script */
};

struct script_lua *script_lua_create(const struct script_lua_options *options);
/* No script may be running. Accepts NULL. */
void script_lua_destroy(struct script_lua *lua);
/* Bytes that the interpreter has taken. */
size_t script_lua_bytes(const struct script_lua *lua);
/* While `unbounded`, memory_bytes_max does not hold. */
void script_lua_set_unbounded(struct script_lua *lua, bool unbounded);
/* Frees what is not referred to any more. Takes as long as the state is large. */
void script_lua_collect(struct script_lua *lua);

/* Compiles source text; `chunk` names it in messages ("@user_script"). Returns a reference, or
 * SCRIPT_LUA_NONE with the message appended to `error`. */
int script_lua_compile(struct script_lua *lua, struct bytes code, const char *chunk,
                       struct buf *error);
/* Accepts SCRIPT_LUA_NONE. */
void script_lua_release(struct script_lua *lua, int reference);

/* One execution. */
struct script_lua_call {
    int reference;
    const char *name; /* in messages: the script's SHA-1, the function's name */
    const struct bytes *keys;
    int key_count;
    const struct bytes *args;
    int arg_count;
    struct reply *reply; /* gets what the script returns, or its error */
};
/* What became of it: an error that redis.call has already counted is not to be counted again. */
struct script_lua_result {
    bool error_counted;
};
struct script_lua_result script_lua_run(struct script_lua *lua, const struct script_lua_call *call);

/* A function that a library registers. */
struct script_lua_function {
    struct bytes name;
    struct bytes description; /* data NULL: none */
    uint32_t flags;           /* SCRIPT_FLAG_*, script_flags.h */
    int reference;            /* taken, if registered */
};
/* Returns NULL, or why not. */
typedef const char *script_lua_register_fn(void *arg, const struct script_lua_function *function);
/* Runs a library's code (behind its first line), which registers its functions. False: the message
 * is appended to `error`; what was registered until then is the caller's to release. */
bool script_lua_load(struct script_lua *lua, struct bytes code, script_lua_register_fn *fn,
                     void *arg, struct buf *error);

#endif
