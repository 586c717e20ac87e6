/* Whether a session's user may do what it asks for. Main thread. */
#ifndef BASALT_SERVER_EXEC_ACCESS_H
#define BASALT_SERVER_EXEC_ACCESS_H

#include "server/acl_log.h"
#include "server/acl_user.h"
#include "server/session.h"

struct exec;

/* A request that was found and has the right number of arguments. */
struct access_request {
    const struct session *session;
    const struct command *command;
    const struct bytes *argv;
    int argc;
};

/* What most sessions are, and all that is looked at then. */
static inline bool access_is_unrestricted(const struct session *session)
{
    return session->user == NULL || session->user->unrestricted;
}

/* Asks the user's rules. What is denied is counted and goes to the ACL log; unless `text` is NULL
 * the reason is appended there, such as "User x has no permissions to run the 'get' command". */
enum acl_result exec_check_access(struct exec *exec, const struct access_request *request,
                                  enum acl_log_context context, struct buf *text);

/* A login has failed. */
void exec_deny_login(struct exec *exec, const struct session *session, struct bytes command,
                     struct bytes user);

#endif
