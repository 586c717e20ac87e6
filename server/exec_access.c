#include "server/exec_access.h"

#include "server/acl.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/exec_internal.h"
#include "server/services.h"
#include "server/stats.h"

static void count(struct stats *stats, enum acl_result reason)
{
    switch (reason) {
    case ACL_DENIED_COMMAND:
        stats->denied_commands++;
        break;
    case ACL_DENIED_KEY:
        stats->denied_keys++;
        break;
    case ACL_DENIED_CHANNEL:
        stats->denied_channels++;
        break;
    case ACL_DENIED_AUTH:
        stats->auth_failures++;
        break;
    case ACL_ALLOWED:
        break;
    }
}

/* A script's session has no connection: the client is the one who runs it. */
static void note(struct exec *exec, const struct session *session, struct acl_denial *denial)
{
    count(exec->stats, denial->reason);
    struct conn *conn = session->conn;
    if (conn == NULL && exec->unit != NULL)
        conn = exec->unit->session->conn;
    struct buf client = {0};
    if (conn != NULL)
        conn_describe(conn, &client);
    denial->client_info = buf_bytes(&client);
    denial->now_ms = exec->now_ms;
    acl_log_add(acl_log_of(exec->services->acl), denial, exec->config->acllog_max_len);
    buf_deinit(&client);
}

enum acl_result exec_check_access(struct exec *exec, const struct access_request *request,
                                  enum acl_log_context context, struct buf *text)
{
    const struct session *session = request->session;
    if (access_is_unrestricted(session))
        return ACL_ALLOWED;
    int arg;
    enum acl_result result =
        acl_user_check(session->user, request->command, request->argv, request->argc, &arg);
    if (result == ACL_ALLOWED)
        return ACL_ALLOWED;
    struct acl_denial denial = {
        .reason = result,
        .context = context,
        .object =
            result == ACL_DENIED_COMMAND ? bytes_text(request->command->name) : request->argv[arg],
        .user = bytes_text(session->user->name),
    };
    note(exec, session, &denial);
    if (text != NULL)
        acl_explain(text, result, session->user, request->command, request->argv[arg], false);
    return result;
}

void exec_deny_login(struct exec *exec, const struct session *session, struct bytes command,
                     struct bytes user)
{
    bool in_multi = (session->flags & SESSION_MULTI) != 0;
    struct acl_denial denial = {.reason = ACL_DENIED_AUTH,
                                .context = in_multi ? ACL_LOG_MULTI : ACL_LOG_TOPLEVEL,
                                .object = command,
                                .user = user};
    note(exec, session, &denial);
}
