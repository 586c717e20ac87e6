/* Who one is, what protocol one speaks, which database one uses: AUTH, HELLO, SELECT, RESET, PING.
 * Source: networking.c, acl.c and db.c of Redis 7.2. */
#include "server/acl.h"
#include "server/call.h"
#include "server/commands/client_attributes.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/exec.h"
#include "server/exec_access.h"
#include "server/monitor.h"
#include "server/multi.h"
#include "server/pubsub.h"
#include "server/services.h"
#include "server/tracking.h"
#include "server/version.h"

#define DEFAULT_USER  "default"
#define PROTOCOL_MIN  2
#define PROTOCOL_MAX  3
#define HELLO_FIELDS  7
#define AUTH_FORM_MAX 3

/* Logs the session in, or replies why not. */
static bool authenticate(struct call *c, struct bytes user, struct bytes password)
{
    if (acl_log_in(c->services->acl, c->session, user, password))
        return true;
    exec_deny_login(c->exec, c->session, c->argv[0], user);
    reply_error(c->reply, "WRONGPASS invalid username-password pair or user is disabled.");
    return false;
}

static void cmd_auth(struct call *c)
{
    if (c->argc > AUTH_FORM_MAX) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    if (c->argc == 2 && acl_default_user(c->services->acl)->no_password) {
        reply_error(c->reply, "ERR AUTH <password> called without any password configured for the "
                              "default user. Are you sure your configuration is correct?");
        return;
    }
    struct bytes user = c->argc == 2 ? bytes_text(DEFAULT_USER) : c->argv[1];
    if (authenticate(c, user, c->argv[c->argc - 1]))
        reply_ok(c->reply);
}

/* ---- HELLO. */

struct hello {
    int64_t protocol; /* 0: as it is */
    bool has_auth;
    bool has_name;
    struct bytes user;
    struct bytes password;
    struct bytes name;
};

/* False: an error was replied. */
static bool parse_hello(struct call *c, struct hello *hello)
{
    if (c->argc > 1) {
        if (!call_arg_range(c, 1, INT64_MIN, INT64_MAX, &hello->protocol,
                            "ERR Protocol version is not an integer or out of range"))
            return false;
        if (hello->protocol < PROTOCOL_MIN || hello->protocol > PROTOCOL_MAX) {
            reply_error(c->reply, "NOPROTO unsupported protocol version");
            return false;
        }
    }
    for (int i = 2; i < c->argc; i++) {
        int more = c->argc - 1 - i;
        if (call_arg_is(c, i, "auth") && more >= 2) {
            hello->has_auth = true;
            hello->user = c->argv[i + 1];
            hello->password = c->argv[i + 2];
            i += 2;
        } else if (call_arg_is(c, i, "setname") && more >= 1) {
            hello->has_name = true;
            hello->name = c->argv[++i];
            if (!client_check_name(c, hello->name))
                return false;
        } else {
            reply_error_format(c->reply, "ERR Syntax error in HELLO option '%.*s'",
                               (int)c->argv[i].len, (const char *)c->argv[i].data);
            return false;
        }
    }
    return true;
}

static void reply_hello(struct call *c)
{
    const struct config *config = c->services->config;
    reply_map(c->reply, HELLO_FIELDS);
    reply_bulk_text(c->reply, "server");
    reply_bulk_text(c->reply, "redis");
    reply_bulk_text(c->reply, "version");
    reply_bulk_text(c->reply, REDIS_COMPATIBLE_VERSION);
    reply_bulk_text(c->reply, "proto");
    reply_integer(c->reply, c->reply->resp);
    reply_bulk_text(c->reply, "id");
    reply_integer(c->reply, (int64_t)c->session->id);
    reply_bulk_text(c->reply, "mode");
    reply_bulk_text(c->reply, config->cluster_enabled ? "cluster" : "standalone");
    reply_bulk_text(c->reply, "role");
    reply_bulk_text(c->reply, config->replicaof.host != NULL ? "replica" : "master");
    reply_bulk_text(c->reply, "modules");
    reply_array(c->reply, 0);
}

static void cmd_hello(struct call *c)
{
    struct hello hello = {0};
    if (!parse_hello(c, &hello))
        return;
    if (hello.has_auth && !authenticate(c, hello.user, hello.password))
        return;
    if (acl_must_log_in(c->services->acl, c->session)) {
        reply_error(c->reply,
                    "NOAUTH HELLO must be called with the client already authenticated, otherwise "
                    "the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the "
                    "client and select the RESP protocol version at the same time");
        return;
    }
    if (hello.has_name)
        client_set_attribute(&c->session->name, hello.name);
    if (hello.protocol != 0)
        c->reply->resp = (uint8_t)hello.protocol;
    reply_hello(c);
}

/* ---- The rest. */

static void cmd_ping(struct call *c)
{
    if (c->argc > 2) {
        reply_error_arity(c->reply, c->command->name);
        return;
    }
    if ((c->session->flags & SESSION_PUBSUB) != 0 && c->reply->resp == 2) {
        reply_array(c->reply, 2);
        reply_bulk_text(c->reply, "pong");
        reply_bulk(c->reply, c->argc == 1 ? bytes_text("") : c->argv[1]);
    } else if (c->argc == 1) {
        reply_simple(c->reply, "PONG");
    } else {
        reply_bulk(c->reply, c->argv[1]);
    }
}

static void cmd_echo(struct call *c)
{
    reply_bulk(c->reply, c->argv[1]);
}

static void cmd_select(struct call *c)
{
    uint32_t db;
    if (!call_arg_db(c, 1, &db, NULL))
        return;
    if (c->services->config->cluster_enabled && db != 0) {
        reply_error(c->reply, "ERR SELECT is not allowed in cluster mode");
        return;
    }
    c->session->db = db;
    reply_ok(c->reply);
}

static void cmd_quit(struct call *c)
{
    reply_ok(c->reply);
    c->session->flags |= SESSION_CLOSE_AFTER_REPLY;
}

static void cmd_reset(struct call *c)
{
    struct session *session = c->session;
    if ((session->flags & (SESSION_REPLICA | SESSION_MASTER)) != 0) {
        reply_error(c->reply, "ERR can only reset normal client connections");
        return;
    }
    multi_end(exec_watches(c->exec), session);
    pubsub_forget(c->services->pubsub, session);
    tracking_disable(c->services->tracking, session);
    monitors_remove(c->services->monitors, session);
    session->db = 0;
    acl_admit(c->services->acl, session);
    client_set_attribute(&session->name, (struct bytes){0});
    session->flags &=
        ~(uint32_t)(SESSION_READONLY_LINK | SESSION_REPLY_OFF | SESSION_REPLY_SKIP_NEXT |
                    SESSION_REPLY_SKIP | SESSION_NO_TOUCH | SESSION_NO_EVICT | SESSION_PUBSUB);
    c->reply->resp = PROTOCOL_MIN;
    c->reply->muted = false;
    reply_simple(c->reply, "RESET");
}

#define FLAGS_BEFORE_AUTH                                                                          \
    (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY)

const struct command cmd_conn_table[] = {
    {.name = "auth",
     .handler = cmd_auth,
     .arity = -2,
     .flags = FLAGS_BEFORE_AUTH | CMD_SENTINEL,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of passwords defined for the user",
     .summary = "Authenticates the connection.",
     .history = TEXTS("6.0.0", "Added ACL style (username and password)."),
     .args = ARGS(ARG("username", STRING, .flags = ARG_OPTIONAL, .since = "6.0.0"),
                  ARG("password", STRING))},
    {.name = "echo",
     .handler = cmd_echo,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Returns the given string.",
     .args = ARGS(ARG("message", STRING))},
    {.name = "hello",
     .handler = cmd_hello,
     .arity = -1,
     .flags = FLAGS_BEFORE_AUTH | CMD_SENTINEL,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Handshakes with the Redis server.",
     .history = TEXTS("6.2.0", "`protover` made optional; when called without arguments the "
                               "command reports the current connection's context."),
     .args = ARGS(ARG(
         "arguments", BLOCK, .flags = ARG_OPTIONAL,
         .children = ARGS(ARG("protover", INTEGER),
                          ARG("auth", BLOCK, .token = "AUTH", .flags = ARG_OPTIONAL,
                              .children = ARGS(ARG("username", STRING), ARG("password", STRING))),
                          ARG("clientname", STRING, .token = "SETNAME", .flags = ARG_OPTIONAL))))},
    {.name = "ping",
     .handler = cmd_ping,
     .arity = -1,
     .flags = CMD_FAST | CMD_SENTINEL | CMD_SUBSCRIBER,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Returns the server's liveliness response.",
     .tips = TEXTS("request_policy:all_shards", "response_policy:all_succeeded"),
     .args = ARGS(ARG("message", STRING, .flags = ARG_OPTIONAL))},
    {.name = "quit",
     .handler = cmd_quit,
     .arity = -1,
     .flags = FLAGS_BEFORE_AUTH | CMD_SUBSCRIBER | CMD_AT_ONCE,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Closes the connection.",
     .deprecated_since = "7.2.0",
     .replaced_by = "just closing the connection"},
    {.name = "reset",
     .handler = cmd_reset,
     .arity = 1,
     .flags = FLAGS_BEFORE_AUTH | CMD_SUBSCRIBER | CMD_AT_ONCE,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Resets the connection."},
    {.name = "select",
     .handler = cmd_select,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Changes the selected database.",
     .args = ARGS(ARG("index", INTEGER))},
    {.name = NULL},
};
