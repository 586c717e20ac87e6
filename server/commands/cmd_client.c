/* CLIENT: connections as their owners and operators see them. Source: clientCommand of Redis 7.2.
 * Client-side caching is in cmd_client_tracking.c. */
#include "server/acl.h"
#include "server/call.h"
#include "server/commands/client_attributes.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/conn.h"
#include "server/loop.h"
#include "server/services.h"
#include "storage/expire.h"
#include "storage/store.h"

/* ---- Types of clients. */

enum client_type { TYPE_NORMAL, TYPE_REPLICA, TYPE_PUBSUB, TYPE_MASTER, TYPE_ANY };

static enum client_type type_of(struct conn *conn)
{
    if ((conn_session(conn)->flags & SESSION_MASTER) != 0)
        return TYPE_MASTER;
    switch (conn_class(conn)) {
    case CONFIG_CLIENT_REPLICA:
        return TYPE_REPLICA;
    case CONFIG_CLIENT_PUBSUB:
        return TYPE_PUBSUB;
    case CONFIG_CLIENT_NORMAL:
    case CONFIG_CLIENT_CLASS_COUNT:
        break;
    }
    return TYPE_NORMAL;
}

/* False: an error was replied. */
static bool parse_type(struct call *c, int arg, enum client_type *out)
{
    static const struct {
        const char *name;
        enum client_type type;
    } types[] = {{"normal", TYPE_NORMAL},
                 {"slave", TYPE_REPLICA},
                 {"replica", TYPE_REPLICA},
                 {"pubsub", TYPE_PUBSUB},
                 {"master", TYPE_MASTER}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (call_arg_is(c, arg, types[i].name)) {
            *out = types[i].type;
            return true;
        }
    }
    reply_error_format(c->reply, "ERR Unknown client type '%.*s'", (int)c->argv[arg].len,
                       (const char *)c->argv[arg].data);
    return false;
}

/* Too many arguments for a subcommand whose arity does not bound them. */
static void reply_syntax_of_subcommand(struct call *c)
{
    reply_error_subcommand_syntax(c->reply, c->argv[1], "CLIENT");
}

/* ON or OFF sets or clears a flag of the session. */
static void set_flag(struct call *c, uint32_t flag)
{
    if (call_arg_is(c, 2, "on")) {
        c->session->flags |= flag;
    } else if (call_arg_is(c, 2, "off")) {
        c->session->flags &= ~flag;
    } else {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    reply_ok(c->reply);
}

/* ---- About oneself. */

static void cmd_client_id(struct call *c)
{
    reply_integer(c->reply, (int64_t)c->session->id);
}

static void cmd_client_getname(struct call *c)
{
    if (c->session->name == NULL)
        reply_null(c->reply);
    else
        reply_bulk_text(c->reply, c->session->name);
}

static void cmd_client_setname(struct call *c)
{
    if (!client_check_name(c, c->argv[2]))
        return;
    client_set_attribute(&c->session->name, c->argv[2]);
    reply_ok(c->reply);
}

static void cmd_client_setinfo(struct call *c)
{
    struct bytes option = c->argv[2];
    char **attribute;
    if (call_arg_is(c, 2, "lib-name")) {
        attribute = &c->session->lib_name;
    } else if (call_arg_is(c, 2, "lib-ver")) {
        attribute = &c->session->lib_version;
    } else {
        reply_error_format(c->reply, "ERR Unrecognized option '%.*s'", (int)option.len,
                           (const char *)option.data);
        return;
    }
    if (!client_attribute_is_valid(c->argv[3])) {
        reply_error_format(c->reply,
                           "ERR %.*s cannot contain spaces, newlines or special characters.",
                           (int)option.len, (const char *)option.data);
        return;
    }
    client_set_attribute(attribute, c->argv[3]);
    reply_ok(c->reply);
}

static void cmd_client_reply(struct call *c)
{
    struct session *session = c->session;
    if (call_arg_is(c, 2, "on")) {
        session->flags &= ~(uint32_t)(SESSION_REPLY_OFF | SESSION_REPLY_SKIP);
        c->reply->muted = false;
        reply_ok(c->reply);
    } else if (call_arg_is(c, 2, "off")) {
        session->flags |= SESSION_REPLY_OFF;
    } else if (call_arg_is(c, 2, "skip")) {
        if ((session->flags & SESSION_REPLY_OFF) == 0)
            session->flags |= SESSION_REPLY_SKIP_NEXT;
    } else {
        reply_error_id(c->reply, ERROR_SYNTAX);
    }
}

static void cmd_client_no_evict(struct call *c)
{
    set_flag(c, SESSION_NO_EVICT);
}

static void cmd_client_no_touch(struct call *c)
{
    set_flag(c, SESSION_NO_TOUCH);
}

/* ---- CLIENT INFO and LIST. */

static void describe(struct conn *conn, struct buf *out)
{
    conn_describe(conn, out);
    buf_append_byte(out, '\n');
}

static void cmd_client_info(struct call *c)
{
    struct buf lines = {0};
    if (c->session->conn != NULL)
        describe(c->session->conn, &lines);
    reply_text(c->reply, buf_bytes(&lines));
    buf_deinit(&lines);
}

/* False: an error was replied. */
static bool list_ids(struct call *c, struct buf *lines)
{
    for (int i = 3; i < c->argc; i++) {
        int64_t id;
        if (!call_arg_range(c, i, INT64_MIN, INT64_MAX, &id, "ERR Invalid client ID"))
            return false;
        struct conn *conn = id > 0 ? conns_find(c->services->conns, (uint64_t)id) : NULL;
        if (conn != NULL)
            describe(conn, lines);
    }
    return true;
}

static void list_type(struct call *c, enum client_type type, struct buf *lines)
{
    for (struct conn *conn = conns_first(c->services->conns); conn != NULL;
         conn = conns_next(conn)) {
        if (type == TYPE_ANY || type_of(conn) == type)
            describe(conn, lines);
    }
}

static void cmd_client_list(struct call *c)
{
    struct buf lines = {0};
    enum client_type type = TYPE_ANY;
    if (c->argc == 4 && call_arg_is(c, 2, "type")) {
        if (!parse_type(c, 3, &type))
            return;
        list_type(c, type, &lines);
    } else if (c->argc > 3 && call_arg_is(c, 2, "id")) {
        if (!list_ids(c, &lines)) {
            buf_deinit(&lines);
            return;
        }
    } else if (c->argc == 2) {
        list_type(c, TYPE_ANY, &lines);
    } else {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    reply_text(c->reply, buf_bytes(&lines));
    buf_deinit(&lines);
}

/* ---- CLIENT KILL. */

struct kill_filter {
    struct bytes address;       /* of the peer; data NULL: any */
    struct bytes local_address; /* data NULL: any */
    enum client_type type;
    uint64_t id;                 /* 0: any */
    const struct acl_user *user; /* NULL: any */
    bool skip_me;
};

/* One option and its value. False: an error was replied. */
static bool parse_kill_option(struct call *c, int arg, struct kill_filter *filter)
{
    int value = arg + 1;
    if (value == c->argc) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (call_arg_is(c, arg, "id")) {
        int64_t id;
        if (!call_arg_range(c, value, 1, INT64_MAX, &id, "ERR client-id should be greater than 0"))
            return false;
        filter->id = (uint64_t)id;
    } else if (call_arg_is(c, arg, "type")) {
        return parse_type(c, value, &filter->type);
    } else if (call_arg_is(c, arg, "addr")) {
        filter->address = c->argv[value];
    } else if (call_arg_is(c, arg, "laddr")) {
        filter->local_address = c->argv[value];
    } else if (call_arg_is(c, arg, "user")) {
        filter->user = acl_find(c->services->acl, c->argv[value]);
        if (filter->user == NULL) {
            reply_error_format(c->reply, "ERR No such user '%.*s'", (int)c->argv[value].len,
                               (const char *)c->argv[value].data);
            return false;
        }
    } else if (call_arg_is(c, arg, "skipme") && call_arg_is(c, value, "yes")) {
        filter->skip_me = true;
    } else if (call_arg_is(c, arg, "skipme") && call_arg_is(c, value, "no")) {
        filter->skip_me = false;
    } else {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    return true;
}

static bool matches(const struct kill_filter *filter, struct conn *conn)
{
    if (filter->address.data != NULL &&
        !bytes_equal(filter->address, bytes_text(conn_peer_address(conn))))
        return false;
    if (filter->local_address.data != NULL &&
        !bytes_equal(filter->local_address, bytes_text(conn_local_address(conn))))
        return false;
    if (filter->type != TYPE_ANY && type_of(conn) != filter->type)
        return false;
    if (filter->user != NULL && conn_session(conn)->user != filter->user)
        return false;
    return filter->id == 0 || conn_session(conn)->id == filter->id;
}

/* Closes all others that match at once; tells of oneself in `*me_out`. Returns their number. */
static int64_t kill_matching(struct call *c, const struct kill_filter *filter, bool *me_out)
{
    int64_t killed = 0;
    *me_out = false;
    for (struct conn *conn = conns_first(c->services->conns); conn != NULL;
         conn = conns_next(conn)) {
        bool me = conn == c->session->conn;
        if ((me && filter->skip_me) || !matches(filter, conn))
            continue;
        killed++;
        if (me)
            *me_out = true;
        else
            conn_close_later(conn);
    }
    return killed;
}

static void cmd_client_kill(struct call *c)
{
    struct kill_filter filter = {.type = TYPE_ANY, .skip_me = true};
    bool old_form = c->argc == 3;
    if (old_form) {
        filter.address = c->argv[2];
        filter.skip_me = false;
    } else {
        for (int i = 2; i < c->argc; i += 2) {
            if (!parse_kill_option(c, i, &filter))
                return;
        }
    }
    bool me;
    int64_t killed = kill_matching(c, &filter, &me);
    if (!old_form)
        reply_integer(c->reply, killed);
    else if (killed == 0)
        reply_error(c->reply, "ERR No such client");
    else
        reply_ok(c->reply);
    if (me)
        c->session->flags |= SESSION_CLOSE_AFTER_REPLY;
}

/* ---- CLIENT PAUSE, UNPAUSE and UNBLOCK. */

/* Milliseconds from now as a moment of the loop's clock. False: an error was replied. */
static bool parse_timeout(struct call *c, int arg, int64_t *until_ms_out)
{
    int64_t timeout_ms;
    if (!call_arg_range(c, arg, INT64_MIN, INT64_MAX, &timeout_ms,
                        "ERR timeout is not an integer or out of range"))
        return false;
    if (timeout_ms < 0) {
        reply_error(c->reply, "ERR timeout is negative");
        return false;
    }
    if (timeout_ms > INT64_MAX - c->now_ms) {
        reply_error(c->reply, "ERR timeout is out of range");
        return false;
    }
    *until_ms_out = loop_now_ms(c->services->loop) + timeout_ms;
    return true;
}

static void cmd_client_pause(struct call *c)
{
    if (c->argc > 4) {
        reply_syntax_of_subcommand(c);
        return;
    }
    enum conns_pause mode = CONNS_PAUSE_ALL;
    if (c->argc == 4 && call_arg_is(c, 3, "write")) {
        mode = CONNS_PAUSE_WRITES;
    } else if (c->argc == 4 && !call_arg_is(c, 3, "all")) {
        reply_error(c->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
        return;
    }
    int64_t until_ms;
    if (!parse_timeout(c, 2, &until_ms))
        return;
    conns_pause(c->services->conns, until_ms, mode);
    expire_set_paused(store_expire(c->services->store),
                      conns_paused(c->services->conns) != CONNS_RUN);
    reply_ok(c->reply);
}

static void cmd_client_unpause(struct call *c)
{
    conns_unpause(c->services->conns);
    expire_set_paused(store_expire(c->services->store), false);
    reply_ok(c->reply);
}

static void cmd_client_unblock(struct call *c)
{
    if (c->argc > 4) {
        reply_syntax_of_subcommand(c);
        return;
    }
    bool with_error = c->argc == 4 && call_arg_is(c, 3, "error");
    if (c->argc == 4 && !with_error && !call_arg_is(c, 3, "timeout")) {
        reply_error(c->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    int64_t id;
    if (!call_arg_i64(c, 2, &id))
        return;
    struct conn *conn = id > 0 ? conns_find(c->services->conns, (uint64_t)id) : NULL;
    reply_integer(c->reply, conn != NULL && conn_unblock(conn, with_error));
}

/* ---- CLIENT HELP. */

static void cmd_client_help(struct call *c)
{
    static const char *const lines[] = {
        "CACHING (YES|NO)",
        "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
        "GETREDIR",
        "    Return the client ID we are redirecting to when tracking is enabled.",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "SETINFO <option> <value>",
        "    Set client meta attr. Options are:",
        "    * LIB-NAME: the client lib name.",
        "    * LIB-VER: the client lib version.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
        "         [OPTIN] [OPTOUT] [NOLOOP]",
        "    Control server assisted client side caching.",
        "TRACKINGINFO",
        "    Report tracking status for the current connection.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
        "NO-TOUCH (ON|OFF)",
        "    Will not touch LRU/LFU stats when this mode is on.",
        NULL};
    reply_help(c->reply, "CLIENT", lines);
}

/* ---- Rows. */

#define FLAGS_SELF  (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL)
#define FLAGS_ADMIN (FLAGS_SELF | CMD_ADMIN)
#define ON_OR_OFF   ARG("enabled", ONEOF, .children = ARGS(TOKEN("on", "ON"), TOKEN("off", "OFF")))

const struct command cmd_client_table[] = {
    {.name = "client",
     .arity = -2,
     .flags = CMD_SENTINEL,
     .group = "connection",
     .since = "2.4.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for client connection commands."},
    {.name = "client|getname",
     .handler = cmd_client_getname,
     .arity = 2,
     .flags = FLAGS_SELF,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "2.6.9",
     .complexity = "O(1)",
     .summary = "Returns the name of the connection."},
    {.name = "client|help",
     .handler = cmd_client_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "client|id",
     .handler = cmd_client_id,
     .arity = 2,
     .flags = FLAGS_SELF,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Returns the unique client ID of the connection."},
    {.name = "client|info",
     .handler = cmd_client_info,
     .arity = 2,
     .flags = FLAGS_SELF,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Returns information about the connection.",
     .tips = TEXTS("nondeterministic_output")},
    {.name = "client|kill",
     .handler = cmd_client_kill,
     .arity = -3,
     .flags = FLAGS_ADMIN,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "2.4.0",
     .complexity = "O(N) where N is the number of client connections",
     .summary = "Terminates open connections.",
     .history =
         TEXTS("2.8.12", "Added new filter format.", "2.8.12", "`ID` option.", "3.2.0",
               "Added `master` type in for `TYPE` option.", "5.0.0",
               ("Replaced `slave` `TYPE` with `replica`. `slave` still supported for backward "
                "compatibility."),
               "6.2.0", "`LADDR` option."),
     .args = ARGS(ARG(
         "filter", ONEOF,
         .children =
             ARGS(ARG("old-format", STRING, .display = "ip:port", .deprecated_since = "2.8.12"),
                  ARG("new-format", ONEOF, .flags = ARG_MULTIPLE,
                      .children =
                          ARGS(ARG("client-id", INTEGER, .token = "ID", .flags = ARG_OPTIONAL,
                                   .since = "2.8.12"),
                               ARG("client-type", ONEOF, .token = "TYPE", .flags = ARG_OPTIONAL,
                                   .since = "2.8.12",
                                   .children = ARGS(TOKEN("normal", "normal"),
                                                    TOKEN("master", "master", .since = "3.2.0"),
                                                    TOKEN("slave", "slave"),
                                                    TOKEN("replica", "replica", .since = "5.0.0"),
                                                    TOKEN("pubsub", "pubsub"))),
                               ARG("username", STRING, .token = "USER", .flags = ARG_OPTIONAL),
                               ARG("addr", STRING, .display = "ip:port", .token = "ADDR",
                                   .flags = ARG_OPTIONAL),
                               ARG("laddr", STRING, .display = "ip:port", .token = "LADDR",
                                   .flags = ARG_OPTIONAL, .since = "6.2.0"),
                               ARG("skipme", ONEOF, .token = "SKIPME", .flags = ARG_OPTIONAL,
                                   .children = ARGS(TOKEN("yes", "YES"), TOKEN("no", "NO"))))))))},
    {.name = "client|list",
     .handler = cmd_client_list,
     .arity = -2,
     .flags = FLAGS_ADMIN,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "2.4.0",
     .complexity = "O(N) where N is the number of client connections",
     .summary = "Lists open connections.",
     .tips = TEXTS("nondeterministic_output"),
     .history = TEXTS("2.8.12", "Added unique client `id` field.", "5.0.0",
                      "Added optional `TYPE` filter.", "6.0.0", "Added `user` field.", "6.2.0",
                      ("Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the optional "
                       "`ID` filter."),
                      "7.0.0", "Added `resp`, `multi-mem`, `rbs` and `rbp` fields.", "7.0.3",
                      "Added `ssub` field."),
     .args =
         ARGS(ARG("client-type", ONEOF, .token = "TYPE", .flags = ARG_OPTIONAL, .since = "5.0.0",
                  .children = ARGS(TOKEN("normal", "normal"), TOKEN("master", "master"),
                                   TOKEN("replica", "replica"), TOKEN("pubsub", "pubsub"))),
              ARG("client-id", INTEGER, .token = "ID", .flags = ARG_OPTIONAL | ARG_MULTIPLE,
                  .since = "6.2.0"))},
    {.name = "client|no-evict",
     .handler = cmd_client_no_evict,
     .arity = 3,
     .flags = FLAGS_ADMIN,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Sets the client eviction mode of the connection.",
     .args = ARGS(ON_OR_OFF)},
    {.name = "client|no-touch",
     .handler = cmd_client_no_touch,
     .arity = 3,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "7.2.0",
     .complexity = "O(1)",
     .summary = "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.",
     .args = ARGS(ON_OR_OFF)},
    {.name = "client|pause",
     .handler = cmd_client_pause,
     .arity = -3,
     .flags = FLAGS_ADMIN,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "3.0.0",
     .complexity = "O(1)",
     .summary = "Suspends commands processing.",
     .history = TEXTS("6.2.0", "`CLIENT PAUSE WRITE` mode added along with the `mode` option."),
     .args = ARGS(ARG("timeout", INTEGER),
                  ARG("mode", ONEOF, .flags = ARG_OPTIONAL, .since = "6.2.0",
                      .children = ARGS(TOKEN("write", "WRITE"), TOKEN("all", "ALL"))))},
    {.name = "client|reply",
     .handler = cmd_client_reply,
     .arity = 3,
     .flags = FLAGS_SELF,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "3.2.0",
     .complexity = "O(1)",
     .summary = "Instructs the server whether to reply to commands.",
     .args = ARGS(
         ARG("action", ONEOF,
             .children = ARGS(TOKEN("on", "ON"), TOKEN("off", "OFF"), TOKEN("skip", "SKIP"))))},
    {.name = "client|setinfo",
     .handler = cmd_client_setinfo,
     .arity = 4,
     .flags = FLAGS_SELF,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "7.2.0",
     .complexity = "O(1)",
     .summary = "Sets information specific to the client or connection.",
     .tips = TEXTS("request_policy:all_nodes", "response_policy:all_succeeded"),
     .args = ARGS(ARG("attr", ONEOF,
                      .children = ARGS(ARG("libname", STRING, .token = "lib-name"),
                                       ARG("libver", STRING, .token = "lib-ver"))))},
    {.name = "client|setname",
     .handler = cmd_client_setname,
     .arity = 3,
     .flags = FLAGS_SELF,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "2.6.9",
     .complexity = "O(1)",
     .summary = "Sets the connection name.",
     .tips = TEXTS("request_policy:all_nodes", "response_policy:all_succeeded"),
     .args = ARGS(ARG("connection-name", STRING))},
    {.name = "client|unblock",
     .handler = cmd_client_unblock,
     .arity = -3,
     .flags = FLAGS_ADMIN,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "5.0.0",
     .complexity = "O(log N) where N is the number of client connections",
     .summary = "Unblocks a client blocked by a blocking command from a different connection.",
     .args = ARGS(ARG("client-id", INTEGER),
                  ARG("unblock-type", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("timeout", "TIMEOUT"), TOKEN("error", "ERROR"))))},
    {.name = "client|unpause",
     .handler = cmd_client_unpause,
     .arity = 2,
     .flags = FLAGS_ADMIN,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "6.2.0",
     .complexity = "O(N) Where N is the number of paused clients",
     .summary = "Resumes processing commands from paused clients."},
    {.name = NULL},
};
