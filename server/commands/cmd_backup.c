/* BACKUP: the server's side of `basalt backup`. Not in Redis. See storage/backup_stage.h. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/services.h"
#include "storage/backup_stage.h"
#include "storage/store.h"
#include "storage/tier.h"

static void cmd_backup_start(struct call *c)
{
    struct err err;
    struct backup_stage *stage = store_backup(c->services->store);
    struct backup_stage_info info;
    if (backup_stage_start(stage, store_keyspace(c->services->store)->now_ms, &err) != ST_OK) {
        reply_error_format(c->reply, "BUSY %s", err.message);
        return;
    }
    backup_stage_read(stage, &info);
    reply_integer(c->reply, (int64_t)info.number);
}

static void cmd_backup_end(struct call *c)
{
    struct err err;
    struct backup_stage *stage = store_backup(c->services->store);
    enum status st = backup_stage_end(stage, &err);
    if (st == ST_OK)
        reply_ok(c->reply);
    else
        reply_error_format(c->reply, st == ST_AGAIN ? "BUSY %s" : "ERR %s", err.message);
}

static void cmd_backup_status(struct call *c)
{
    struct backup_stage_info info;
    backup_stage_read(store_backup(c->services->store), &info);
    reply_map(c->reply, 8);
    reply_bulk_text(c->reply, "state");
    reply_bulk_text(c->reply, backup_stage_state_name(info.state));
    reply_bulk_text(c->reply, "number");
    reply_integer(c->reply, (int64_t)info.number);
    reply_bulk_text(c->reply, "since-ms");
    reply_integer(c->reply, info.since_ms);
    reply_bulk_text(c->reply, "cut-offset");
    reply_integer(c->reply, info.state == BACKUP_STAGE_READY ? (int64_t)info.cut_offset : 0);
    reply_bulk_text(c->reply, "end-offset");
    reply_integer(c->reply, info.state == BACKUP_STAGE_READY ? (int64_t)info.end_offset : 0);
    reply_bulk_text(c->reply, "replication-id");
    reply_bulk_text(c->reply, store_replication_id(c->services->store));
    reply_bulk_text(c->reply, "dir");
    reply_bulk_text(c->reply, store_dir(c->services->store));
    reply_bulk_text(c->reply, "error");
    reply_bulk_text(c->reply, info.state == BACKUP_STAGE_FAILED ? info.err.message : "");
}

static void cmd_backup_help(struct call *c)
{
    static const char *const lines[] = {
        "END",    "    Remove the staged files and let the journal go.",
        "START",  "    Stage the dataset in the directory \"backup\" of the data directory.",
        "STATUS", "    Return the state of the staging, offsets and directories.",
        NULL,
    };
    reply_help(c->reply, "BACKUP", lines);
}

const struct command cmd_backup_table[] = {
    {.name = "backup",
     .arity = -2,
     .group = "server",
     .since = "7.2.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for online backup commands of Basalt."},
    {.name = "backup|end",
     .handler = cmd_backup_end,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_MULTI,
     .group = "server",
     .since = "7.2.0",
     .complexity = "O(1); files are removed in the background.",
     .summary = "Removes the staged copy of the dataset."},
    {.name = "backup|help",
     .handler = cmd_backup_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "7.2.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "backup|start",
     .handler = cmd_backup_start,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_MULTI,
     .group = "server",
     .since = "7.2.0",
     .complexity = "O(1); files are linked in the background.",
     .summary = "Stages a copy of the dataset for a backup, by hard links.",
     .tips = TEXTS("nondeterministic_output")},
    {.name = "backup|status",
     .handler = cmd_backup_status,
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT,
     .group = "server",
     .since = "7.2.0",
     .complexity = "O(1)",
     .summary = "Returns the state of the staged copy.",
     .tips = TEXTS("nondeterministic_output")},
    {.name = NULL},
};
