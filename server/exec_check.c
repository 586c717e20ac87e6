/* Phases 1 to 3 of a request: its row, its arity, and the cheap refusals before anything is loaded.
 */
#include "server/exec_internal.h"

#include "server/acl.h"
#include "server/exec_access.h"
#include "server/multi.h"
#include "server/replicas.h"
#include "server/scripting.h"
#include "server/services.h"
#include "server/stats.h"
#include "storage/journal.h"

#include <stdio.h>

#define UNKNOWN_ARGS_TEXT_MAX 128 /* of the arguments told in "unknown command" */

uint32_t exec_command_flags(const struct exec *exec, const struct session *session,
                            const struct command *command, const struct bytes *argv, int argc)
{
    if (__builtin_expect((command->flags & CMD_RUNS_SCRIPT) != 0, 0))
        return scripting_command_flags(exec->services->scripting, command, argv, argc);
    return multi_flags(session, command);
}

void exec_count_rejected(struct exec *exec, const struct command *command,
                         const struct session *session)
{
    if (command != NULL)
        exec->stats->commands[command->id].rejected++;
    if (session->reply.failed) {
        stats_count_error(exec->stats, session->reply.error_code);
        exec->stats->error_replies++;
    }
}

void exec_reply_refused(struct exec *exec, struct session *session, const struct command *command,
                        const char *text)
{
    if ((command->flags & CMD_EXEC) == 0) {
        multi_spoil(session);
        reply_error(&session->reply, text);
        return;
    }
    multi_end(exec->watches, session);
    if (strncmp(text, "ERR ", 4) == 0)
        text += 4;
    reply_error_format(&session->reply, "EXECABORT Transaction discarded because of: %s", text);
}

static void refuse(struct exec *exec, struct session *session, const struct command *command,
                   const char *text)
{
    exec_reply_refused(exec, session, command, text);
    exec_count_rejected(exec, command, session);
}

/* ---- Phases 1 and 2 ---------------------------------------------------------------------------
 */

static void reply_unknown(struct session *session, const struct bytes *argv, int argc,
                          const struct command *container)
{
    if (container != NULL) {
        char upper[64];
        size_t len = 0;
        for (; container->name[len] != '\0' && len < sizeof(upper) - 1; len++)
            upper[len] = (char)(container->name[len] >= 'a' && container->name[len] <= 'z'
                                    ? container->name[len] - 'a' + 'A'
                                    : container->name[len]);
        upper[len] = '\0';
        reply_error_subcommand(&session->reply, argv[1], upper);
        return;
    }
    char args[UNKNOWN_ARGS_TEXT_MAX + 64];
    size_t used = 0;
    args[0] = '\0';
    for (int i = 1; i < argc && used < UNKNOWN_ARGS_TEXT_MAX; i++) {
        int room = (int)(UNKNOWN_ARGS_TEXT_MAX - used);
        int len = argv[i].len < (size_t)room ? (int)argv[i].len : room;
        int wrote =
            snprintf(args + used, sizeof(args) - used, "'%.*s' ", len, (const char *)argv[i].data);
        used += wrote < 0 ? 0 : (size_t)wrote;
        if (used >= sizeof(args))
            used = sizeof(args) - 1;
    }
    int name_len = argv[0].len < UNKNOWN_ARGS_TEXT_MAX ? (int)argv[0].len : UNKNOWN_ARGS_TEXT_MAX;
    reply_error_format(&session->reply, "ERR unknown command '%.*s', with args beginning with: %s",
                       name_len, (const char *)argv[0].data, args);
}

const struct command *exec_find_command(struct exec *exec, struct session *session,
                                        const struct bytes *argv, int argc)
{
    const struct command *container = NULL;
    const struct command *command = command_find(exec->commands, argv, argc, &container);
    if (command == NULL) {
        multi_spoil(session);
        reply_unknown(session, argv, argc, container);
        exec_count_rejected(exec, container, session);
        return NULL;
    }
    if (!command_takes(command, argc)) {
        session->last_command = command;
        char text[128];
        (void)snprintf(text, sizeof(text), "ERR wrong number of arguments for '%s' command",
                       command->name);
        refuse(exec, session, command, text);
        return NULL;
    }
    return command;
}

/* ---- Phase 3 ----------------------------------------------------------------------------------
 */

static bool must_log_in(const struct exec *exec, const struct session *session,
                        const struct command *command)
{
    return __builtin_expect(!session->authenticated, 0) && session->conn != NULL &&
           (command->flags & CMD_NO_AUTH) == 0 && !acl_is_open(exec->services->acl);
}

static void refuse_access(struct exec *exec, struct session *session, const struct command *command,
                          struct buf *reason)
{
    struct buf text = {0};
    buf_append_text(&text, "NOPERM ");
    buf_append_bytes(&text, buf_bytes(reason));
    buf_append_byte(&text, '\0');
    refuse(exec, session, command, (const char *)text.data);
    buf_deinit(&text);
}

bool exec_pass_access(struct exec *exec, struct session *session, const struct command *command,
                      const struct bytes *argv, int argc)
{
    if (must_log_in(exec, session, command)) {
        refuse(exec, session, command, reply_error_text(ERROR_NOAUTH));
        return false;
    }
    if (__builtin_expect(access_is_unrestricted(session), 1))
        return true;
    struct access_request request = {
        .session = session, .command = command, .argv = argv, .argc = argc};
    bool in_multi = (session->flags & SESSION_MULTI) != 0;
    struct buf reason = {0};
    bool allowed = exec_check_access(exec, &request, in_multi ? ACL_LOG_MULTI : ACL_LOG_TOPLEVEL,
                                     &reason) == ACL_ALLOWED;
    if (!allowed)
        refuse_access(exec, session, command, &reason);
    buf_deinit(&reason);
    return allowed;
}

/* True, and why was replied, while nobody may write. */
static bool refuse_writes(struct exec *exec, struct session *session, const struct command *command)
{
    struct err err;
    if (journal_failed(exec->journal, &err)) {
        char text[sizeof(err.message) + 64];
        (void)snprintf(text, sizeof(text), "MISCONF Errors writing to the journal: %s",
                       err.message);
        refuse(exec, session, command, text);
        return true;
    }
    if (replicas_lacking(exec->services->replicas)) {
        refuse(exec, session, command, "NOREPLICAS Not enough good replicas to write.");
        return true;
    }
    return false;
}

bool exec_pass_gates(struct exec *exec, struct session *session, const struct command *command,
                     const struct bytes *argv, int argc)
{
    if ((session->flags & SESSION_REPLAY) != 0)
        return true; /* what it loads is what the others wait for */
    if (must_log_in(exec, session, command)) {
        refuse(exec, session, command, reply_error_text(ERROR_NOAUTH));
        return false;
    }
    if ((session->flags & SESSION_MULTI) != 0 && (command->flags & CMD_NO_MULTI) != 0) {
        refuse(exec, session, command, "ERR Command not allowed inside a transaction");
        return false;
    }
    if ((session->flags & SESSION_SCRIPT) == 0 &&
        !exec_pass_access(exec, session, command, argv, argc))
        return false;
    if (exec->loading && (multi_flags_throughout(session, command) & CMD_LOADING) == 0) {
        refuse(exec, session, command, reply_error_text(ERROR_LOADING));
        return false;
    }
    if ((multi_flags(session, command) & CMD_WRITE) != 0 && refuse_writes(exec, session, command))
        return false;
    if ((session->flags & SESSION_PUBSUB) != 0 && session->reply.resp == 2 &&
        (command->flags & CMD_SUBSCRIBER) == 0) {
        char text[192];
        (void)snprintf(text, sizeof(text),
                       "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / "
                       "QUIT / RESET are allowed in this context",
                       command->name);
        refuse(exec, session, command, text);
        return false;
    }
    return true;
}
