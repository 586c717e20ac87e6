#include "server/scripting_internal.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "server/call.h"
#include "server/functions.h"
#include "server/loop.h"
#include "server/script_lua.h"
#include "server/services.h"
#include "storage/env.h"
#include "storage/meta.h"
#include "storage/store.h"

#define LOADING_US_MAX 500000

/* A functions_changed_fn: the library's record is part of the next cut. */
static void library_changed(void *arg, const struct library *library, bool comes)
{
    struct scripting *s = arg;
    struct cut *cut = store_cut(s->services->store);
    struct buf key = {0};
    struct buf value = {0};
    (void)meta_library_key(&key, bytes_text(library->name));
    if (comes)
        cut_meta_put(cut, buf_bytes(&key), meta_library_value(&value, buf_bytes(&library->code)));
    else
        cut_meta_delete(cut, buf_bytes(&key));
    buf_deinit(&key);
    buf_deinit(&value);
}

void scripting_open_functions(struct scripting *s, struct script_lua *lua)
{
    uint64_t seed;
    struct env *env = env_posix();
    env->random_bytes(env, (uint8_t *)&seed, sizeof(seed));
    s->functions_lua = lua;
    s->functions = functions_create(lua, seed);
}

static enum status load_record(void *arg, struct bytes name, struct bytes code, struct err *err)
{
    struct scripting *s = arg;
    struct buf error = {0};
    const struct library *library = functions_load(s->functions, code, false, &error);
    enum status st = ST_OK;
    if (library == NULL)
        st = err_set(err, ST_CORRUPT, "function library \"%.*s\" cannot be loaded: %.*s",
                     (int)name.len, (const char *)name.data, (int)error.len,
                     (const char *)error.data);
    buf_deinit(&error);
    return st;
}

enum status scripting_read_libraries(struct scripting *s, struct err *err)
{
    scripting_begin_loading(s, true);
    enum status st = meta_read_libraries(s->services->cold, load_record, s, err);
    scripting_end_loading(s);
    /* What was read is on disk already; from now on it changes. */
    functions_on_changed(s->functions, library_changed, s);
    return st;
}

struct functions *scripting_functions(struct scripting *s)
{
    return s->functions;
}

void scripting_begin_loading(struct scripting *s, bool replay)
{
    CHECK(s->run == NULL);
    s->loading_until_us = replay ? 0 : loop_clock_us() + LOADING_US_MAX;
    script_lua_set_unbounded(s->functions_lua, replay);
}

void scripting_end_loading(struct scripting *s)
{
    s->loading_until_us = 0;
    script_lua_set_unbounded(s->functions_lua, false);
    script_lua_collect(s->functions_lua);
}

bool scripting_function_flags(const struct scripting *s, struct bytes name, uint32_t *flags_out)
{
    const struct function *function = functions_find(s->functions, name);
    if (function != NULL)
        *flags_out = function->flags;
    return function != NULL;
}

void scripting_fcall(struct call *c, bool read_only)
{
    struct scripting *s = c->services->scripting;
    const struct function *function = functions_find(s->functions, c->argv[1]);
    int64_t key_count;
    if (function == NULL) {
        reply_error(c->reply, "ERR Function not found");
        return;
    }
    if (!number_parse_i64(c->argv[2], &key_count)) {
        reply_error(c->reply, "ERR Bad number of keys provided");
        return;
    }
    if (!scripting_check_key_count(c, key_count))
        return;
    struct script_target target = {
        .lua = s->functions_lua,
        .reference = function->reference,
        .name = function->name,
        .flags = function->flags,
        .read_only = read_only,
        .key_count = (int)key_count,
    };
    (void)scripting_run(c, &target);
}
