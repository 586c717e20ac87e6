/* DUMP: a key's value as RESTORE takes it, here and in Redis. Source: cluster.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/services.h"
#include "storage/rdb_value.h"

/* A large value is brought into RAM whole before (or refused: whole-load-limit). */
static void cmd_dump(struct call *c)
{
    const struct object *o = call_find_read(c, 0);
    if (o == NULL) {
        reply_null(c->reply);
        return;
    }
    struct buf payload = {0};
    rdb_value_dump(o, c->services->config->rdbcompression, &payload);
    reply_bulk(c->reply, buf_bytes(&payload));
    buf_deinit(&payload);
}

const struct command cmd_dump_table[] = {
    {.name = "dump",
     .handler = cmd_dump,
     .arity = 2,
     .flags = CMD_READONLY,
     .acl = ACL_KEYSPACE,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .group = "generic",
     .since = "2.6.0",
     .complexity = "O(1) to access the key and additional O(N*M) to serialize it, where N is the "
                   "number of Redis objects composing the value and M their average size. For "
                   "small string values the time complexity is thus O(1)+O(1*M) where M is small, "
                   "so simply O(1).",
     .summary = "Returns a serialized representation of the value stored at a key.",
     .tips = TEXTS("nondeterministic_output"),
     .args = ARGS(ARG("key", KEY))},
    {.name = NULL},
};
