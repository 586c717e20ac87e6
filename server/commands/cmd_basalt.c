/* BASALT: what Basalt tells of its own. Not in Redis. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/hot_keys.h"
#include "server/services.h"
#include "storage/key_survey.h"
#include "storage/store.h"

#include "codec/mem.h"

#define COUNT_DEFAULT 10

/* [COUNT count]; false: an error was replied. */
static bool read_count(struct call *c, int64_t max, size_t *out)
{
    int64_t count = COUNT_DEFAULT;
    if (c->argc != 2 && (c->argc != 4 || !call_arg_is(c, 2, "count"))) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (c->argc == 4 && !call_arg_range(c, 3, 1, max, &count, NULL))
        return false;
    *out = (size_t)count;
    return true;
}

static double percent(uint64_t part, uint64_t total)
{
    return total == 0 ? 0 : 100.0 * (double)part / (double)total;
}

static void cmd_basalt_hotkeys(struct call *c)
{
    size_t count;
    uint64_t total;
    if (!read_count(c, HOT_KEYS_COUNT, &count))
        return;
    struct hot_keys_item *items = mem_alloc(count * sizeof(*items));
    count = hot_keys_read(c->services->hot_keys, items, count, &total);
    reply_map(c->reply, 2);
    reply_bulk_text(c->reply, "accesses");
    reply_integer(c->reply, (int64_t)(total * HOT_KEYS_INTERVAL));
    reply_bulk_text(c->reply, "keys");
    reply_array(c->reply, count);
    for (size_t i = 0; i < count; i++) {
        reply_map(c->reply, 4);
        reply_bulk_text(c->reply, "db");
        reply_integer(c->reply, items[i].db);
        reply_bulk_text(c->reply, "key");
        reply_bulk(c->reply, items[i].key);
        reply_bulk_text(c->reply, "percent");
        reply_double(c->reply, percent(items[i].count, total));
        reply_bulk_text(c->reply, "percent-error");
        reply_double(c->reply, percent(items[i].error, total));
    }
    mem_free(items);
}

static void reply_survey(struct call *c, const struct key_survey_result *result)
{
    reply_map(c->reply, 2);
    reply_bulk_text(c->reply, "seen");
    reply_integer(c->reply, (int64_t)result->keys);
    reply_bulk_text(c->reply, "keys");
    reply_array(c->reply, result->count);
    for (size_t i = 0; i < result->count; i++) {
        const struct key_survey_item *item = &result->items[i];
        reply_map(c->reply, 5);
        reply_bulk_text(c->reply, "db");
        reply_integer(c->reply, item->db);
        reply_bulk_text(c->reply, "key");
        reply_bulk(c->reply, item->key);
        reply_bulk_text(c->reply, "type");
        reply_bulk_text(c->reply, object_type_name(item->type));
        reply_bulk_text(c->reply, "bytes");
        reply_integer(c->reply, (int64_t)item->bytes);
        reply_bulk_text(c->reply, "elements");
        reply_integer(c->reply, (int64_t)item->elements);
    }
}

/* Only this client waits. */
static void cmd_basalt_bigkeys(struct call *c)
{
    size_t count;
    struct key_survey *survey = store_key_survey(c->services->store);
    uint64_t *number = call_ticket(c);
    if (!read_count(c, KEY_SURVEY_COUNT_MAX, &count))
        return;
    if (*number == 0 && key_survey_running(survey)) {
        reply_error(c->reply, "BUSY another survey of the keys is under way");
        return;
    }
    if (*number == 0)
        *number = key_survey_start(survey, count);
    if (key_survey_running(survey)) {
        call_wait_tick(c);
        return;
    }
    const struct key_survey_result *result = key_survey_result(survey, *number);
    if (result == NULL)
        reply_error(c->reply, "BUSY another survey of the keys has taken its place");
    else if (result->status != ST_OK)
        reply_error_format(c->reply, "IOERR %s", result->err.message);
    else
        reply_survey(c, result);
}

static void cmd_basalt_help(struct call *c)
{
    static const char *const lines[] = {
        "BIGKEYS [COUNT <count>]",
        "    Return the keys with the largest values, from what is on disk.",
        "HOTKEYS [COUNT <count>]",
        "    Return the keys that were used most in the last minutes, by sampling.",
        NULL,
    };
    reply_help(c->reply, "BASALT", lines);
}

#define COUNT_ARG ARGS(ARG("count", INTEGER, .token = "COUNT", .flags = ARG_OPTIONAL))

const struct command cmd_basalt_table[] = {
    {.name = "basalt",
     .arity = -2,
     .group = "server",
     .since = "7.2.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for what Basalt tells of its own."},
    {.name = "basalt|bigkeys",
     .handler = cmd_basalt_bigkeys,
     .arity = -2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_MULTI,
     .acl = ACL_KEYSPACE,
     .group = "server",
     .since = "7.2.0",
     .complexity = "O(N) where N is the number of keys, in the background.",
     .summary = "Returns the keys with the largest values.",
     .tips = TEXTS("nondeterministic_output"),
     .args = COUNT_ARG},
    {.name = "basalt|help",
     .handler = cmd_basalt_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .group = "server",
     .since = "7.2.0",
     .complexity = "O(1)",
     .summary = "Returns helpful text about the different subcommands."},
    {.name = "basalt|hotkeys",
     .handler = cmd_basalt_hotkeys,
     .arity = -2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT,
     .acl = ACL_KEYSPACE,
     .group = "server",
     .since = "7.2.0",
     .complexity = "O(1)",
     .summary = "Returns the keys that were used most in the last minutes.",
     .tips = TEXTS("nondeterministic_output"),
     .args = COUNT_ARG},
    {.name = NULL},
};
