/* The server itself: INFO, TIME, LOLWUT, SHUTDOWN. Source: Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/exec.h"
#include "server/info.h"
#include "server/saves.h"
#include "server/server.h"
#include "server/services.h"
#include "server/version.h"
#include "storage/store.h"

#include <time.h>

static void cmd_info(struct call *c)
{
    struct buf text = {0};
    info_write(c->services, c->argv + 1, (size_t)c->argc - 1, &text);
    reply_text(c->reply, buf_bytes(&text));
    buf_deinit(&text);
}

static void cmd_time(struct call *c)
{
    struct timespec now = {.tv_sec = c->now_ms / 1000, .tv_nsec = c->now_ms % 1000 * 1000000};
    if (c->outer == NULL) /* time stands still in transactions and scripts */
        (void)clock_gettime(CLOCK_REALTIME, &now);
    reply_array(c->reply, 2);
    reply_bulk_integer(c->reply, now.tv_sec);
    reply_bulk_integer(c->reply, now.tv_nsec / 1000);
}

/* ---- LOLWUT: basalt columns seen from above, as many as asked for. */

#define COLUMNS_DEFAULT 12
#define COLUMNS_MAX     60
#define ROWS_DEFAULT    3
#define ROWS_MAX        20

/* Hexagons two lines high; odd columns stand half a hexagon lower. */
static void draw_columns(struct buf *out, int64_t columns, int64_t rows)
{
    for (int64_t line = 0; line <= 2 * rows; line++) {
        for (int64_t column = 0; column < columns; column++) {
            bool low = (line + column) % 2 != 0;
            bool first = line == 0, last = line == 2 * rows;
            const char *upper = first && column % 2 != 0 ? "   " : "/  ";
            const char *lower = last && column % 2 == 0 ? "   " : "\\__";
            buf_append_text(out, low ? lower : upper);
        }
        buf_append_byte(out, '\n');
    }
}

/* An optional size argument; anything out of range is brought into it. */
static bool parse_size(struct call *c, int arg, int64_t max, int64_t *size)
{
    if (arg >= c->argc)
        return true;
    if (!call_arg_i64(c, arg, size))
        return false;
    if (*size < 1)
        *size = 1;
    if (*size > max)
        *size = max;
    return true;
}

static void cmd_lolwut(struct call *c)
{
    int64_t version = 0, columns = COLUMNS_DEFAULT, rows = ROWS_DEFAULT;
    int arg = 1;
    if (c->argc >= 3 && call_arg_is(c, 1, "version")) {
        if (!call_arg_i64(c, 2, &version))
            return;
        arg = 3;
    }
    if (!parse_size(c, arg, COLUMNS_MAX, &columns) || !parse_size(c, arg + 1, ROWS_MAX, &rows))
        return;
    struct buf text = {0};
    draw_columns(&text, columns, rows);
    buf_append_text(&text,
                    "\nBasalt " BASALT_VERSION ", Redis ver. " REDIS_COMPATIBLE_VERSION "\n");
    reply_text(c->reply, buf_bytes(&text));
    buf_deinit(&text);
}

/* ---- SHUTDOWN. */

struct shutdown_options {
    struct server_shutdown how;
    bool save;
    bool abort;
};

static bool parse_shutdown(struct call *c, struct shutdown_options *out)
{
    *out = (struct shutdown_options){0};
    for (int i = 1; i < c->argc; i++) {
        if (call_arg_is(c, i, "nosave"))
            out->how.no_save = true;
        else if (call_arg_is(c, i, "save"))
            out->save = true;
        else if (call_arg_is(c, i, "now"))
            out->how.now = true;
        else if (call_arg_is(c, i, "force"))
            out->how.force = true;
        else if (call_arg_is(c, i, "abort"))
            out->abort = true;
        else
            return false;
    }
    return !(out->save && out->how.no_save) && !(out->abort && c->argc > 2);
}

/* With SAVE, or with save points, an RDB file is written before, as in Redis; the others are served
 * meanwhile. False: not yet, or it failed and that was replied. */
static bool save_before(struct call *c, const struct shutdown_options *options)
{
    struct saves *saves = c->services->saves;
    if (options->how.no_save || (!options->save && c->services->config->save.count == 0) ||
        exec_loading(c->exec))
        return true;
    uint64_t *number = call_ticket(c);
    if (*number == 0)
        *number = saves_start(saves);
    /* One that runs already may have begun before the last write. */
    if (*number == 0 || saves_last_ended(saves) < *number) {
        call_wait_tick(c);
        return false;
    }
    if (saves_last_was_good(saves) || options->how.force)
        return true;
    reply_error(c->reply, "ERR Errors trying to SHUTDOWN. Check logs.");
    return false;
}

/* The last cut is tried here, where a failure can still be told; the client gets no other reply
 * than its connection's end. */
static void cmd_shutdown(struct call *c)
{
    struct shutdown_options options;
    if (!parse_shutdown(c, &options)) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    if (options.abort) {
        if (server_abort_shutdown(c->services->server))
            reply_ok(c->reply);
        else
            reply_error(c->reply, "ERR No shutdown in progress.");
        return;
    }
    if (exec_busy(c->exec) != NULL && !options.how.no_save) {
        reply_error(c->reply, exec_busy(c->exec));
        return;
    }
    if (!save_before(c, &options))
        return;
    struct err err;
    bool cut = !options.how.no_save && !exec_loading(c->exec);
    if (cut && store_cut_now(c->services->store, true, &err) != ST_OK && !options.how.force) {
        reply_error_format(c->reply, "ERR Errors trying to SHUTDOWN. Check logs. (%s)",
                           err.message);
        return;
    }
    server_request_shutdown(c->services->server, &options.how);
    if (c->session->conn != NULL)
        conn_close_after_reply(c->session->conn);
}

const struct command cmd_admin_table[] = {
    {.name = "info",
     .handler = cmd_info,
     .arity = -1,
     .flags = CMD_LOADING | CMD_STALE | CMD_SENTINEL,
     .acl = ACL_DANGEROUS,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Returns information and statistics about the server.",
     .tips =
         TEXTS("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
     .history = TEXTS("7.0.0", "Added support for taking multiple section arguments."),
     .args = ARGS(ARG("section", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "lolwut",
     .handler = cmd_lolwut,
     .arity = -1,
     .flags = CMD_READONLY | CMD_FAST,
     .group = "server",
     .since = "5.0.0",
     .summary = "Displays computer art and the Redis version",
     .args = ARGS(ARG("version", INTEGER, .token = "VERSION", .flags = ARG_OPTIONAL))},
    {.name = "shutdown",
     .handler = cmd_shutdown,
     .arity = -1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_NO_MULTI | CMD_SENTINEL |
              CMD_ALLOW_BUSY,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(N) when saving, where N is the total number of keys in all databases when "
                   "saving data, otherwise O(1)",
     .summary = "Synchronously saves the database(s) to disk and shuts down the Redis server.",
     .history = TEXTS("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers."),
     .args = ARGS(ARG("save-selector", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("nosave", "NOSAVE"), TOKEN("save", "SAVE"))),
                  TOKEN("now", "NOW", .flags = ARG_OPTIONAL, .since = "7.0.0"),
                  TOKEN("force", "FORCE", .flags = ARG_OPTIONAL, .since = "7.0.0"),
                  TOKEN("abort", "ABORT", .flags = ARG_OPTIONAL, .since = "7.0.0"))},
    {.name = "time",
     .handler = cmd_time,
     .arity = 1,
     .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
     .group = "server",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Returns the server time.",
     .tips = TEXTS("nondeterministic_output")},
    {.name = NULL},
};
