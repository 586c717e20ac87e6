/* CLIENT TRACKING and its companions: client-side caching. Source: clientCommand and tracking.c of
 * Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/conn.h"
#include "server/services.h"
#include "server/tracking.h"

#include "codec/mem.h"

/* ---- CLIENT TRACKING. */

static bool is_tracking(const struct call *c)
{
    return (c->session->flags & SESSION_TRACKING) != 0;
}

/* False: an error was replied. */
static bool parse_redirect(struct call *c, int arg, uint64_t *redirect)
{
    if (*redirect != 0) {
        reply_error(c->reply, "ERR A client can only redirect to a single other client");
        return false;
    }
    int64_t id;
    if (!call_arg_i64(c, arg, &id))
        return false;
    if (id <= 0 || conns_find(c->services->conns, (uint64_t)id) == NULL) {
        reply_error(c->reply, "ERR The client ID you want redirect to does not exist");
        return false;
    }
    *redirect = (uint64_t)id;
    return true;
}

static uint32_t find_mode(const struct call *c, int arg)
{
    static const struct {
        const char *name;
        uint32_t mode;
    } words[] = {{"bcast", TRACKING_BCAST},
                 {"optin", TRACKING_OPTIN},
                 {"optout", TRACKING_OPTOUT},
                 {"noloop", TRACKING_NOLOOP}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (call_arg_is(c, arg, words[i].name))
            return words[i].mode;
    }
    return 0;
}

/* Writes the prefixes to `prefixes`, which has room for all arguments. False: an error was replied.
 */
static bool parse_tracking(struct call *c, struct tracking_options *options, struct bytes *prefixes)
{
    options->prefixes = prefixes;
    for (int i = 3; i < c->argc; i++) {
        bool more = i + 1 < c->argc;
        uint32_t mode = find_mode(c, i);
        if (call_arg_is(c, i, "redirect") && more) {
            if (!parse_redirect(c, ++i, &options->redirect))
                return false;
        } else if (call_arg_is(c, i, "prefix") && more) {
            prefixes[options->prefix_count++] = c->argv[++i];
        } else if (mode != 0) {
            options->modes |= mode;
        } else {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* Why these modes cannot be, or not after what is on already; NULL: they can. */
static const char *mode_error(const struct call *c, const struct tracking_options *options)
{
    uint32_t modes = options->modes;
    uint32_t before = tracking_modes(c->session);
    if ((modes & TRACKING_BCAST) == 0 && options->prefix_count != 0)
        return "ERR PREFIX option requires BCAST mode to be enabled";
    if (is_tracking(c) && ((before ^ modes) & TRACKING_BCAST) != 0)
        return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, "
               "and then re-enabling it with a different mode.";
    if ((modes & TRACKING_BCAST) != 0 && (modes & (TRACKING_OPTIN | TRACKING_OPTOUT)) != 0)
        return "ERR OPTIN and OPTOUT are not compatible with BCAST";
    if ((modes & TRACKING_OPTIN) != 0 && (modes & TRACKING_OPTOUT) != 0)
        return "ERR You can't specify both OPTIN mode and OPTOUT mode";
    if (((modes & TRACKING_OPTIN) != 0 && (before & TRACKING_OPTOUT) != 0) ||
        ((modes & TRACKING_OPTOUT) != 0 && (before & TRACKING_OPTIN) != 0))
        return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, "
               "and then re-enabling it with a different mode.";
    return NULL;
}

/* Whether some key begins with both. */
static bool overlap(struct bytes a, struct bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    return len == 0 || memcmp(a.data, b.data, len) == 0;
}

static void reply_overlap(struct call *c, struct bytes prefix, const char *what, struct bytes other)
{
    reply_error_format(c->reply,
                       "ERR Prefix '%.*s' overlaps with %s '%.*s'. Prefixes for a single client "
                       "must not overlap.",
                       (int)prefix.len, (const char *)prefix.data, what, (int)other.len,
                       (const char *)other.data);
}

/* False: an error was replied. */
static bool check_prefixes(struct call *c, const struct tracking_options *options)
{
    for (size_t i = 0; i < options->prefix_count; i++) {
        struct bytes prefix = options->prefixes[i];
        for (size_t k = 0; k < tracking_prefix_count(c->session); k++) {
            struct bytes other = tracking_prefix(c->session, k);
            if (overlap(prefix, other)) {
                reply_overlap(c, prefix, "an existing prefix", other);
                return false;
            }
        }
        for (size_t k = i + 1; k < options->prefix_count; k++) {
            if (overlap(prefix, options->prefixes[k])) {
                reply_overlap(c, prefix, "another provided prefix", options->prefixes[k]);
                return false;
            }
        }
    }
    return true;
}

static void track(struct call *c, const struct tracking_options *options)
{
    const char *error = mode_error(c, options);
    if (error != NULL) {
        reply_error(c->reply, error);
    } else if (check_prefixes(c, options)) {
        tracking_enable(c->services->tracking, c->session, options);
        reply_ok(c->reply);
    }
}

static void cmd_client_tracking(struct call *c)
{
    struct tracking_options options = {0};
    struct bytes *prefixes = mem_alloc((size_t)c->argc * sizeof(*prefixes));
    if (parse_tracking(c, &options, prefixes)) {
        if (call_arg_is(c, 2, "on")) {
            track(c, &options);
        } else if (call_arg_is(c, 2, "off")) {
            tracking_disable(c->services->tracking, c->session);
            reply_ok(c->reply);
        } else {
            reply_error_id(c->reply, ERROR_SYNTAX);
        }
    }
    mem_free(prefixes);
}

/* ---- CLIENT CACHING. */

static void cmd_client_caching(struct call *c)
{
    uint32_t modes = tracking_modes(c->session);
    if (!is_tracking(c)) {
        reply_error(c->reply, "ERR CLIENT CACHING can be called only when the client is in "
                              "tracking mode with OPTIN or OPTOUT mode enabled");
    } else if (call_arg_is(c, 2, "yes") && (modes & TRACKING_OPTIN) == 0) {
        reply_error(c->reply,
                    "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
    } else if (call_arg_is(c, 2, "no") && (modes & TRACKING_OPTOUT) == 0) {
        reply_error(c->reply,
                    "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
    } else if (!call_arg_is(c, 2, "yes") && !call_arg_is(c, 2, "no")) {
        reply_error_id(c->reply, ERROR_SYNTAX);
    } else {
        tracking_set_caching(c->session);
        reply_ok(c->reply);
    }
}

/* ---- CLIENT GETREDIR and TRACKINGINFO. */

static void reply_redirect(struct call *c)
{
    reply_integer(c->reply, is_tracking(c) ? (int64_t)tracking_redirect(c->session) : -1);
}

static void cmd_client_getredir(struct call *c)
{
    reply_redirect(c);
}

static void reply_flags(struct call *c)
{
    static const struct {
        uint32_t modes; /* all of them */
        const char *name;
    } words[] = {{TRACKING_BCAST, "bcast"},
                 {TRACKING_OPTIN, "optin"},
                 {TRACKING_OPTIN | TRACKING_CACHING, "caching-yes"},
                 {TRACKING_OPTOUT, "optout"},
                 {TRACKING_OPTOUT | TRACKING_CACHING, "caching-no"},
                 {TRACKING_NOLOOP, "noloop"},
                 {TRACKING_BROKEN_REDIR, "broken_redirect"}};
    uint32_t modes = tracking_modes(c->session);
    struct reply_deferred flags = reply_deferred_begin(c->reply);
    reply_bulk_text(c->reply, is_tracking(c) ? "on" : "off");
    uint64_t count = 1;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if ((modes & words[i].modes) != words[i].modes)
            continue;
        reply_bulk_text(c->reply, words[i].name);
        count++;
    }
    reply_deferred_set(c->reply, &flags, count);
}

static void cmd_client_trackinginfo(struct call *c)
{
    reply_map(c->reply, 3);
    reply_bulk_text(c->reply, "flags");
    reply_flags(c);
    reply_bulk_text(c->reply, "redirect");
    reply_redirect(c);
    reply_bulk_text(c->reply, "prefixes");
    size_t count = tracking_prefix_count(c->session);
    reply_array(c->reply, count);
    for (size_t i = 0; i < count; i++)
        reply_bulk(c->reply, tracking_prefix(c->session, i));
}

/* ---- Rows. */

#define FLAGS_SELF (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SENTINEL)

const struct command cmd_client_tracking_table[] = {
    {.name = "client|caching",
     .handler = cmd_client_caching,
     .arity = 3,
     .flags = FLAGS_SELF,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Instructs the server whether to track the keys in the next request.",
     .args = ARGS(ARG("mode", ONEOF, .children = ARGS(TOKEN("yes", "YES"), TOKEN("no", "NO"))))},
    {.name = "client|getredir",
     .handler = cmd_client_getredir,
     .arity = 2,
     .flags = FLAGS_SELF,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Returns the client ID to which the connection's tracking notifications are "
                "redirected."},
    {.name = "client|tracking",
     .handler = cmd_client_tracking,
     .arity = -3,
     .flags = FLAGS_SELF,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "6.0.0",
     .complexity = "O(1). Some options may introduce additional complexity.",
     .summary = "Controls server-assisted client-side caching for the connection.",
     .args = ARGS(ARG("status", ONEOF, .children = ARGS(TOKEN("on", "ON"), TOKEN("off", "OFF"))),
                  ARG("client-id", INTEGER, .token = "REDIRECT", .flags = ARG_OPTIONAL),
                  ARG("prefix", STRING, .token = "PREFIX",
                      .flags = ARG_OPTIONAL | ARG_MULTIPLE | ARG_MULTIPLE_TOKEN),
                  TOKEN("BCAST", "BCAST", .flags = ARG_OPTIONAL),
                  TOKEN("OPTIN", "OPTIN", .flags = ARG_OPTIONAL),
                  TOKEN("OPTOUT", "OPTOUT", .flags = ARG_OPTIONAL),
                  TOKEN("NOLOOP", "NOLOOP", .flags = ARG_OPTIONAL))},
    {.name = "client|trackinginfo",
     .handler = cmd_client_trackinginfo,
     .arity = 2,
     .flags = FLAGS_SELF,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Returns information about server-assisted client-side caching for the "
                "connection."},
    {.name = NULL},
};
