/* Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH. Queueing is the executor's business (exec.c,
 * multi.h): what stands here runs at once. Source: multi.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/exec.h"
#include "server/exec_access.h"
#include "server/exec_nested.h"
#include "server/multi.h"

static bool in_multi(const struct call *c)
{
    return (c->session->flags & SESSION_MULTI) != 0;
}

static void end(struct call *c)
{
    multi_end(exec_watches(c->exec), c->session);
}

static void cmd_multi(struct call *c)
{
    if (in_multi(c)) {
        reply_error(c->reply, "ERR MULTI calls can not be nested");
        return;
    }
    multi_begin(c->session);
    reply_ok(c->reply);
}

static void cmd_discard(struct call *c)
{
    if (!in_multi(c)) {
        reply_error(c->reply, "ERR DISCARD without MULTI");
        return;
    }
    end(c);
    reply_ok(c->reply);
}

/* ---- EXEC. */

/* Replies and returns true if the transaction must not run. */
static bool is_spoiled(struct call *c)
{
    const struct session *session = c->session;
    if ((session->flags & SESSION_DIRTY_EXEC) != 0) {
        reply_error_id(c->reply, ERROR_EXECABORT);
        return true;
    }
    if ((session->flags & SESSION_DIRTY_CAS) != 0 ||
        watch_has_expired(&session->transaction->watched, c->now_ms)) {
        reply_null_array(c->reply);
        return true;
    }
    return false;
}

/* Asks for all that is queued will need, so that one wait does for all of it. */
static bool load_all(struct call *c)
{
    const struct transaction *t = c->session->transaction;
    for (size_t i = 0; i < t->count; i++)
        call_want(c, &t->requests[i]);
    return call_wanted(c);
}

/* Permissions may have changed since it was queued. False: a reply says so. */
static bool may_run(struct call *c, const struct nested_request *request)
{
    static const char *const reasons[] = {
        [ACL_DENIED_COMMAND] = "no permission to execute the command or subcommand",
        [ACL_DENIED_KEY] = "no permission to touch the specified keys",
        [ACL_DENIED_CHANNEL] = "no permission to access one of the channels used as arguments",
        [ACL_DENIED_AUTH] = "no permission",
    };
    struct access_request access = {.session = c->session,
                                    .command = request->command,
                                    .argv = request->argv,
                                    .argc = request->argc};
    enum acl_result result = exec_check_access(c->exec, &access, ACL_LOG_MULTI, NULL);
    if (result == ACL_ALLOWED)
        return true;
    reply_error_format(c->reply,
                       "NOPERM ACLs rules changed between the moment the transaction was "
                       "accumulated and the EXEC call. This command is no longer allowed for the "
                       "following reason: %s",
                       reasons[result]);
    return false;
}

static void run_all(struct call *c)
{
    struct session *session = c->session;
    const struct transaction *t = session->transaction;
    multi_unwatch(exec_watches(c->exec), session);
    reply_array(c->reply, t->count);
    for (size_t i = 0; i < t->count; i++)
        if (may_run(c, &t->requests[i]))
            exec_run_nested(c, session, &t->requests[i]);
    c->reply->failed = false; /* an error of one of them is not EXEC's */
}

static void cmd_exec(struct call *c)
{
    if (!in_multi(c)) {
        reply_error(c->reply, "ERR EXEC without MULTI");
        return;
    }
    if (!is_spoiled(c)) {
        if (!load_all(c))
            return;
        run_all(c);
    }
    end(c);
}

/* ---- WATCH. */

static void cmd_watch(struct call *c)
{
    if (in_multi(c)) {
        reply_error(c->reply, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    for (int i = 0; i < c->key_count; i++) {
        const struct object *o = ks_find(c->ks, &c->keys[i]);
        struct watch_key key = {
            .db = c->session->db, .position = c->keys[i].position, .name = c->keys[i].key};
        bool live = call_is_live(c, o);
        multi_watch(exec_watches(c->exec), c->session, &key, live,
                    live && object_has_expire(o) ? o->expire_at_ms : INT64_MAX);
    }
    reply_ok(c->reply);
}

static void cmd_unwatch(struct call *c)
{
    multi_unwatch(exec_watches(c->exec), c->session);
    c->session->flags &= ~(uint32_t)SESSION_DIRTY_CAS;
    reply_ok(c->reply);
}

#define FLAGS_EVERYWHERE (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ALLOW_BUSY)

const struct command cmd_multi_table[] = {
    {.name = "discard",
     .handler = cmd_discard,
     .arity = 1,
     .flags = FLAGS_EVERYWHERE | CMD_AT_ONCE,
     .acl = ACL_TRANSACTION,
     .group = "transactions",
     .since = "2.0.0",
     .complexity = "O(N), when N is the number of queued commands",
     .summary = "Discards a transaction."},
    {.name = "exec",
     .handler = cmd_exec,
     .arity = 1,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SKIP_SLOWLOG | CMD_AT_ONCE | CMD_EXEC,
     .acl = ACL_TRANSACTION,
     .group = "transactions",
     .since = "1.2.0",
     .complexity = "Depends on commands in the transaction",
     .summary = "Executes all commands in a transaction."},
    {.name = "multi",
     .handler = cmd_multi,
     .arity = 1,
     .flags = FLAGS_EVERYWHERE | CMD_AT_ONCE,
     .acl = ACL_TRANSACTION,
     .group = "transactions",
     .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Starts a transaction."},
    {.name = "unwatch",
     .handler = cmd_unwatch,
     .arity = 1,
     .flags = FLAGS_EVERYWHERE,
     .acl = ACL_TRANSACTION,
     .group = "transactions",
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Forgets about watched keys of a transaction."},
    {.name = "watch",
     .handler = cmd_watch,
     .arity = -2,
     .flags = FLAGS_EVERYWHERE | CMD_AT_ONCE,
     .acl = ACL_TRANSACTION,
     .keys = {KEY_RANGE(1, -1, 1, KEY_RO | KEY_LOAD_META | KEY_NO_TOUCH)},
     .group = "transactions",
     .since = "2.2.0",
     .complexity = "O(1) for every key.",
     .summary = "Monitors changes to keys to determine the execution of a transaction.",
     .args = ARGS(ARG("key", KEY, .key_spec_index = 0, .flags = ARG_MULTIPLE))},
    {.name = NULL},
};
