/* States, compiling and running.
 *
 * Whatever can throw a Lua error (that is nearly all, since memory may run out) happens inside
 * lua_cpcall: an error outside of it would end the process. Functions named `protected_…` are what
 * lua_cpcall runs.
 *
 * Memory: the allocator counts, and refuses what goes beyond memory_bytes_max; Lua turns that into
 * an error of the script. */
#include "server/script_lua_internal.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "server/output.h"
#include "server/reply.h"

/* Instructions between two looks at the clock: a few milliseconds at most. */
#define HOOK_INSTRUCTIONS 100000
/* The collector gets a step of this size after so many runs; it also works while scripts run. */
#define COLLECT_RUNS 50
#define COLLECT_STEP 50
/* Lua's default, in per cent. */
#define COLLECTOR_SETTING 200
/* What the collector may take beyond the limit: without any memory it could not free some. */
#define COLLECTOR_RESERVE_BYTES ((size_t)1 << 20)
/* Kept from one run to the next. */
#define SCRATCH_KEPT_BYTES_MAX 65536

static void *allocate(void *arg, void *pointer, size_t old_size, size_t new_size)
{
    struct script_lua *lua = arg;
    if (new_size == 0) {
        mem_free(pointer);
        lua->bytes -= old_size;
        return NULL;
    }
    size_t max = lua->options.memory_bytes_max + (lua->collecting ? COLLECTOR_RESERVE_BYTES : 0);
    if (lua->unbounded)
        max = SIZE_MAX;
    if (new_size > old_size &&
        (new_size - old_size > max || lua->bytes > max - (new_size - old_size)))
        return NULL;
    void *moved = mem_try_realloc(pointer, new_size);
    if (moved == NULL && new_size <= old_size)
        moved = pointer; /* Lua expects that shrinking cannot fail */
    if (moved != NULL)
        lua->bytes += new_size - old_size;
    return moved;
}

static void on_hook(lua_State *state, lua_Debug *where)
{
    (void)where;
    script_lua_check_verdict(state);
}

void script_lua_check_verdict(lua_State *state)
{
    struct script_lua *lua = script_lua_of(state);
    if (lua->call == NULL && lua->loading == NULL)
        return;
    if (!lua->killed && lua->options.host.interrupt(lua->options.host.arg) == SCRIPT_KILLED)
        lua->killed = true;
    if (!lua->killed)
        return;
    /* From now on at every line, so that a script that catches the error does not get far. */
    (void)lua_sethook(state, on_hook, LUA_MASKLINE, 0);
    if (lua->loading != NULL)
        script_lua_throw(state, "FUNCTION LOAD timeout");
    else
        script_lua_throw(state, "Script killed by user with SCRIPT KILL...");
}

void script_lua_watch(struct script_lua *lua)
{
    (void)lua_sethook(lua->state, on_hook, LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
}

static int protected_open(lua_State *state)
{
    script_lua_sandbox_open(state);
    return 0;
}

static int panic(lua_State *state)
{
    const char *text = lua_tostring(state, -1);
    CHECK_UNREACHED(text != NULL ? text : "an error of Lua outside of a protected call");
    return 0;
}

struct script_lua *script_lua_create(const struct script_lua_options *options)
{
    struct script_lua *lua = mem_calloc(1, sizeof(*lua));
    lua->options = *options;
    lua->random = UINT64_C(0x1234abcd330e); /* what lrand48() begins with */
    lua->state = lua_newstate(allocate, lua);
    CHECK(lua->state != NULL);
    (void)lua_atpanic(lua->state, panic);
    CHECK(lua_cpcall(lua->state, protected_open, NULL) == 0);
    script_lua_watch(lua); /* coroutines inherit it, whenever they are made */
    return lua;
}

void script_lua_destroy(struct script_lua *lua)
{
    if (lua == NULL)
        return;
    CHECK(lua->call == NULL);
    lua_close(lua->state);
    CHECK(lua->bytes == 0);
    mem_free(lua->argv);
    buf_deinit(&lua->scratch);
    mem_free(lua);
}

size_t script_lua_bytes(const struct script_lua *lua)
{
    return lua->bytes + lua->scratch.capacity + (size_t)lua->argv_capacity * sizeof(*lua->argv);
}

/* ---- Compiling --------------------------------------------------------------------------------
 */

/* Lua takes a chunk that begins with an escape character for bytecode, which can break out of any
 * sandbox. Behind a blank it is text, and what is no source is an ordinary error. */
struct text_reader {
    struct bytes code;
    bool blank;
    bool done;
};

static const char *read_text(lua_State *state, void *arg, size_t *len_out)
{
    struct text_reader *reader = arg;
    (void)state;
    if (reader->blank) {
        reader->blank = false;
        *len_out = 1;
        return " ";
    }
    if (reader->done || reader->code.len == 0)
        return NULL;
    reader->done = true;
    *len_out = reader->code.len;
    return (const char *)reader->code.data;
}

int script_lua_load_text(lua_State *state, struct bytes code, const char *chunk)
{
    struct text_reader reader = {.code = code,
                                 .blank = code.len != 0 && code.data[0] == LUA_SIGNATURE[0]};
    luaL_checkstack(state, 2, "too many values");
    /* The parser does not hold on to the chunk's name: it must not be collected meanwhile. */
    lua_pushstring(state, chunk);
    int status = lua_load(state, read_text, &reader, chunk);
    lua_remove(state, -2);
    return status;
}

struct compilation {
    struct bytes code;
    const char *chunk;
    int reference;
    struct buf *error;
};

/* Appends the text of the value on the stack's top. */
static void append_text(lua_State *state, struct buf *out)
{
    size_t len;
    const char *text = lua_tolstring(state, -1, &len);
    if (text != NULL)
        buf_append(out, text, len);
}

static int protected_compile(lua_State *state)
{
    struct compilation *c = lua_touserdata(state, 1);
    if (script_lua_load_text(state, c->code, c->chunk) != 0)
        append_text(state, c->error);
    else
        c->reference = luaL_ref(state, LUA_REGISTRYINDEX);
    return 0;
}

int script_lua_compile(struct script_lua *lua, struct bytes code, const char *chunk,
                       struct buf *error)
{
    struct compilation c = {
        .code = code, .chunk = chunk, .reference = SCRIPT_LUA_NONE, .error = error};
    if (lua_cpcall(lua->state, protected_compile, &c) != 0) {
        append_text(lua->state, error);
        lua_pop(lua->state, 1);
    }
    return c.reference;
}

static int protected_release(lua_State *state)
{
    const int *reference = lua_touserdata(state, 1);
    luaL_unref(state, LUA_REGISTRYINDEX, *reference);
    return 0;
}

void script_lua_release(struct script_lua *lua, int reference)
{
    if (reference != SCRIPT_LUA_NONE && lua_cpcall(lua->state, protected_release, &reference) != 0)
        lua_pop(lua->state, 1); /* no memory: the function stays, unused */
}

/* ---- Running ----------------------------------------------------------------------------------
 */

static const char *error_text(lua_State *state, int index)
{
    if (lua_isboolean(state, index))
        return lua_toboolean(state, index) ? "true" : "false";
    const char *text = lua_tostring(state, index);
    return text != NULL ? text : luaL_typename(state, index);
}

/* The function that runs at a level of the stack. */
static bool look_at_level(lua_State *state, int level, lua_Debug *where)
{
    return lua_getstack(state, level, where) != 0 && lua_getinfo(state, "Sl", where) != 0;
}

/* Turns an error into {err =, source =, line =}: where the script was when it came. */
static int handle_error(lua_State *state)
{
    lua_Debug where;
    lua_settop(state, 1);
    if (!lua_istable(state, 1)) {
        lua_pushfstring(state, "ERR %s", error_text(state, 1));
        lua_newtable(state);
        lua_insert(state, 2);
        lua_setfield(state, 2, "err");
        lua_replace(state, 1);
    }
    bool known = look_at_level(state, 1, &where);
    if (known && *where.what == 'C')
        known = look_at_level(state, 2, &where);
    if (known && !script_lua_is_protected(state, 1)) {
        lua_pushliteral(state, "source");
        lua_pushstring(state, where.source);
        lua_rawset(state, 1);
        lua_pushliteral(state, "line");
        lua_pushinteger(state, where.currentline);
        lua_rawset(state, 1);
    }
    return 1;
}

static void push_strings(lua_State *state, const struct bytes *strings, int count)
{
    lua_createtable(state, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushlstring(state, (const char *)strings[i].data, strings[i].len);
        lua_rawseti(state, -2, i + 1);
    }
}

/* KEYS and ARGV: variables for EVAL, arguments of a function. */
static int push_arguments(lua_State *state, const struct script_lua_call *call, bool functions)
{
    if (functions) {
        push_strings(state, call->keys, call->key_count);
        push_strings(state, call->args, call->arg_count);
        return 2;
    }
    script_lua_push_globals(state);
    push_strings(state, call->keys, call->key_count);
    lua_setfield(state, -2, "KEYS");
    push_strings(state, call->args, call->arg_count);
    lua_setfield(state, -2, "ARGV");
    lua_pop(state, 1);
    return 0;
}

static void reply_scratch(struct script_lua *lua, struct reply *reply)
{
    buf_append_byte(&lua->scratch, '\0');
    reply_error(reply, (const char *)lua->scratch.data);
}

static void reply_failure(lua_State *state, struct script_lua_result *result)
{
    struct script_lua *lua = script_lua_of(state);
    buf_clear(&lua->scratch);
    if (lua_istable(state, -1)) {
        script_lua_describe_error(state, &lua->scratch, &result->error_counted);
        script_lua_describe_place(state, lua->call->name, &lua->scratch);
    } else {
        const char *text = lua_tostring(state, -1);
        buf_append_format(&lua->scratch, "ERR Error running script %s, %.100s", lua->call->name,
                          text != NULL ? text : "execution failure");
    }
    reply_scratch(lua, lua->call->reply);
}

static int protected_run(lua_State *state)
{
    struct script_lua *lua = script_lua_of(state);
    struct script_lua_result *result = lua_touserdata(state, 1);
    lua_pushcfunction(state, handle_error);
    lua_rawgeti(state, LUA_REGISTRYINDEX, lua->call->reference);
    int count = push_arguments(state, lua->call, lua->options.functions);
    if (lua_pcall(state, count, 1, 2) != 0)
        reply_failure(state, result);
    else
        script_lua_reply(state, lua->call->reply, result);
    return 0;
}

void script_lua_set_unbounded(struct script_lua *lua, bool unbounded)
{
    lua->unbounded = unbounded;
}

static int protected_collect_all(lua_State *state)
{
    (void)lua_gc(state, LUA_GCCOLLECT, 0);
    return 0;
}

static void run_collector(struct script_lua *lua, lua_CFunction collector)
{
    lua->collecting = true;
    if (lua_cpcall(lua->state, collector, NULL) != 0)
        lua_pop(lua->state, 1); /* the next time does it */
    lua->collecting = false;
}

void script_lua_collect(struct script_lua *lua)
{
    run_collector(lua, protected_collect_all);
}

static int protected_collect(lua_State *state)
{
    struct script_lua *lua = script_lua_of(state);
    (void)lua_gc(state, LUA_GCSETPAUSE, COLLECTOR_SETTING);
    (void)lua_gc(state, LUA_GCSETSTEPMUL, COLLECTOR_SETTING);
    (void)lua_gc(state, LUA_GCRESTART, 0);
    if (lua->bytes > lua->options.memory_bytes_max / 2)
        (void)lua_gc(state, LUA_GCCOLLECT, 0);
    else
        (void)lua_gc(state, LUA_GCSTEP, COLLECT_STEP);
    return 0;
}

/* Does some of the collector's work, and sets it up again if the script has changed its ways. */
static void collect(struct script_lua *lua)
{
    if (++lua->runs < COLLECT_RUNS && !lua->tuned &&
        lua->bytes <= lua->options.memory_bytes_max / 2)
        return;
    lua->runs = 0;
    lua->tuned = false;
    run_collector(lua, protected_collect);
}

struct script_lua_result script_lua_run(struct script_lua *lua, const struct script_lua_call *call)
{
    CHECK(lua->call == NULL);
    struct script_lua_result result = {0};
    struct reply *reply = call->reply;
    size_t before = output_bytes(reply->out);
    lua->call = call;
    lua->killed = false;
    lua->resp = 2;
    if (lua_cpcall(lua->state, protected_run, &result) != 0) {
        /* Memory ran out while the arguments or the reply were converted. */
        output_truncate(reply->out, before);
        buf_clear(&lua->scratch);
        buf_append_format(&lua->scratch, "ERR Error running script %s, ", call->name);
        append_text(lua->state, &lua->scratch);
        reply_scratch(lua, reply);
        lua_settop(lua->state, 0);
    }
    script_lua_watch(lua);
    lua->call = NULL;
    lua->calling = false;
    collect(lua);
    if (lua->scratch.capacity > SCRATCH_KEPT_BYTES_MAX)
        buf_deinit(&lua->scratch);
    return result;
}
