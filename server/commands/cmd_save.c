/* Saving to RDB files: BGSAVE, SAVE, LASTSAVE; and BGREWRITEAOF. Source: rdb.c, aof.c of Redis 7.2.
 */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/saves.h"
#include "server/services.h"
#include "storage/store.h"

#define ALREADY_RUNNING "ERR Background save already in progress"

static void cmd_bgsave(struct call *c)
{
    if (c->argc > 2 || (c->argc == 2 && !call_arg_is(c, 1, "schedule"))) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    if (saves_start(c->services->saves) == 0)
        reply_error(c->reply, ALREADY_RUNNING);
    else
        reply_simple(c->reply, "Background saving started");
}

/* Only this client waits. */
static void cmd_save(struct call *c)
{
    struct saves *saves = c->services->saves;
    uint64_t *number = call_ticket(c);
    if (*number == 0) {
        *number = saves_start(saves);
        if (*number == 0) {
            reply_error(c->reply, ALREADY_RUNNING);
            return;
        }
    }
    if (saves_last_ended(saves) < *number)
        call_wait_tick(c);
    else if (saves_last_was_good(saves))
        reply_ok(c->reply);
    else
        reply_error(c->reply, "ERR");
}

static void cmd_lastsave(struct call *c)
{
    struct saves_stats stats;
    saves_read_stats(c->services->saves, &stats);
    reply_integer(c->reply, stats.last_good_ms / 1000);
}

/* What the append-only file's rewriting is for, a cut does: what it has brought to RocksDB need not
 * be in the journal any more. */
static void cmd_bgrewriteaof(struct call *c)
{
    cut_request(store_cut(c->services->store));
    reply_simple(c->reply, "Background append only file rewriting started");
}

const struct command cmd_save_table[] = {
    {.name = "bgrewriteaof",
     .handler = cmd_bgrewriteaof,
     .arity = 1,
     .flags = CMD_NO_ASYNC_LOADING | CMD_ADMIN | CMD_NOSCRIPT,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Asynchronously rewrites the append-only file to disk."},
    {.name = "bgsave",
     .handler = cmd_bgsave,
     .arity = -1,
     .flags = CMD_NO_ASYNC_LOADING | CMD_ADMIN | CMD_NOSCRIPT,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Asynchronously saves the database(s) to disk.",
     .history = TEXTS("3.2.2", "Added the `SCHEDULE` option."),
     .args = ARGS(TOKEN("schedule", "SCHEDULE", .flags = ARG_OPTIONAL, .since = "3.2.2"))},
    {.name = "lastsave",
     .handler = cmd_lastsave,
     .arity = 1,
     .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
     .acl = ACL_ADMIN | ACL_DANGEROUS,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Returns the Unix timestamp of the last successful save to disk.",
     .tips = TEXTS("nondeterministic_output")},
    {.name = "save",
     .handler = cmd_save,
     .arity = 1,
     .flags = CMD_NO_ASYNC_LOADING | CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_MULTI,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(N) where N is the total number of keys in all databases",
     .summary = "Synchronously saves the database(s) to disk."},
    {.name = NULL},
};
