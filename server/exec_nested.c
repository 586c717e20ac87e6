#include "server/exec_nested.h"

#include "server/exec_internal.h"

#include "codec/check.h"
#include "storage/store.h"

#define NESTING_MAX 4 /* EXEC, a script, its call: far below what a stack bears */

/* ---- Loading beforehand. */

static void note_wanted(struct call *outer, enum exec_residency there)
{
    if (there > outer->wanted)
        outer->wanted = there;
}

/* What a session has pending is its outer call's, not the request's. */
static void init_call(struct call *c, struct exec *exec, struct session *session,
                      const struct nested_request *request)
{
    exec_init_call(c, exec, session, request->command, request->argv, request->argc, request->raw);
    c->pending = NULL;
    c->has_random_position = request->has_random_position;
    c->random_position = request->random_position;
}

void call_want(struct call *outer, struct nested_request *request)
{
    struct call c;
    init_call(&c, outer->exec, outer->session, request);
    c.db = ks_db(outer->ks, request->db);
    exec_find_keys(&c);
    enum exec_residency there = exec_make_resident(&c, exec_may_wait(outer) ? outer : NULL);
    exec_forget_keys(&c);
    request->has_random_position = c.has_random_position;
    request->random_position = c.random_position;
    if (there == EXEC_TOO_LARGE)
        there = EXEC_RESIDENT; /* that command will say so */
    note_wanted(outer, there);
}

void call_want_key(struct call *outer, uint32_t db, struct bytes key)
{
    struct call c;
    exec_init_call(&c, outer->exec, outer->session, outer->command, NULL, 0, bytes_make(NULL, 0));
    ks_ref(outer->ks, ks_db(outer->ks, db), key, &c.keys[0]);
    c.keys[0].flags = KEY_LOAD_META;
    c.key_count = 1;
    note_wanted(outer, exec_make_resident(&c, exec_may_wait(outer) ? outer : NULL));
}

bool call_wanted(struct call *outer)
{
    if (outer->wanted == EXEC_UNREADABLE)
        exec_reply_not_resident(outer, EXEC_UNREADABLE);
    outer->waiting = outer->wanted == EXEC_MISSING;
    return outer->wanted == EXEC_RESIDENT;
}

bool call_wanted_readable(struct call *outer)
{
    outer->waiting = outer->wanted == EXEC_MISSING;
    return !outer->waiting;
}

/* ---- Running. */

void exec_run_nested(struct call *outer, struct session *session,
                     const struct nested_request *request)
{
    struct exec *exec = outer->exec;
    struct call c;
    CHECK(exec->unit != NULL);
    CHECK(exec->nesting < NESTING_MAX);
    init_call(&c, exec, session, request);
    c.outer = outer;
    session->reply.failed = false;
    store_hold_cuts(exec->store, true);
    exec->nesting++;
    exec_find_keys(&c);
    enum exec_residency there = exec_make_resident(&c, NULL);
    if (there == EXEC_RESIDENT)
        exec_run_handler(&c);
    else
        exec_reply_not_resident(&c, there);
    CHECK(!c.waiting);
    exec_forget_keys(&c);
    exec_collect_effects(&c);
    exec->nesting--;
    if (c.pending != NULL)
        exec_pending_destroy(c.pending);
}

void exec_call_nested(struct call *outer, struct session *session, const struct bytes *argv,
                      int argc)
{
    struct exec *exec = outer->exec;
    session->reply.failed = false;
    const struct command *command = exec_find_command(exec, session, argv, argc);
    if (command == NULL)
        return;
    if (exec->effect_count == 0 && !exec_pass_gates(exec, session, command, argv, argc))
        return;
    exec_run_nested(outer, session,
                    &(struct nested_request){.command = command, .argv = argv, .argc = argc});
}

bool exec_unit_changed(const struct exec *exec)
{
    return exec->effect_count != 0;
}
