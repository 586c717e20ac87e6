/* MIGRATE: keys are sent to another server, and deleted here. Source: cluster.c of Redis 7.2.
 *
 * Only this client waits. The handler is called twice: first it makes the payloads, which
 * migrations.h sends; when the target has answered it deletes what the target has taken. Others may
 * write meanwhile: each key is watched, as WATCH does it, and one that changed is kept. So a key is
 * here, there or on both sides, whatever fails and whenever, and never on neither. */
#include "codec/buf.h"
#include "codec/mem.h"
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/exec.h"
#include "server/migrations.h"
#include "server/multi.h"
#include "server/notify.h"
#include "server/services.h"
#include "server/tls.h"
#include "storage/rdb_value.h"
#include "storage/store.h"

#include <stdint.h>

#define TIMEOUT_MS_DEFAULT 1000
#define FIRST_OPTION       6
#define KEY_SHOWN_BYTES    128

/* ---- Arguments. */

/* How many arguments belong to the option at `arg`, beside itself. */
static int option_args(struct bytes word)
{
    if (bytes_equal_nocase(word, "auth"))
        return 1;
    return bytes_equal_nocase(word, "auth2") ? 2 : 0;
}

static int keys_of_migrate(const struct bytes *argv, int argc, struct key_arg *out, int max)
{
    int first = 3;
    int count = 1;
    for (int i = FIRST_OPTION; i < argc; i += 1 + option_args(argv[i])) {
        if (!bytes_equal_nocase(argv[i], "keys"))
            continue;
        first = i + 1;
        count = argv[3].len == 0 ? argc - first : 0;
        break;
    }
    for (int i = 0; i < count && i < max; i++)
        out[i] = (struct key_arg){.index = first + i, .flags = KEY_RW | KEY_ACCESS | KEY_DELETE};
    return count;
}

struct request {
    struct migration_options target;
    bool copy;
};

static bool parse_options(struct call *c, struct request *out)
{
    for (int i = FIRST_OPTION; i < c->argc; i++) {
        int args = option_args(c->argv[i]);
        if (args >= c->argc - i) {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
        if (call_arg_is(c, i, "copy")) {
            out->copy = true;
        } else if (call_arg_is(c, i, "replace")) {
            out->target.replace = true;
        } else if (args != 0) {
            out->target.auth = true;
            out->target.auth_user = args == 2;
            out->target.user = args == 2 ? c->argv[i + 1] : bytes_make(NULL, 0);
            out->target.password = c->argv[i + args];
            i += args;
        } else if (call_arg_is(c, i, "keys")) {
            if (c->argv[3].len == 0)
                return true;
            reply_error(c->reply, "ERR When using MIGRATE KEYS option, the key argument must be "
                                  "set to the empty string");
            return false;
        } else {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

static bool parse(struct call *c, struct request *out)
{
    *out = (struct request){.target = {.host = c->argv[1], .port = c->argv[2]}};
    if (!parse_options(c, out) || !call_arg_i64(c, 5, &out->target.timeout_ms) ||
        !call_arg_i64(c, 4, &out->target.db))
        return false;
    if (out->target.timeout_ms <= 0)
        out->target.timeout_ms = TIMEOUT_MS_DEFAULT;
    return true;
}

/* ---- Between the two calls. */

struct sent_key {
    bool sent;            /* it was there */
    size_t number;        /* in the migration */
    int64_t expire_at_ms; /* INT64_MAX: never */
    struct session eye;   /* watches just this key */
};

struct sending {
    struct migration *migration;
    struct watches *watches;
    struct sent_key *keys; /* owned; as the request's */
    int key_count;
};

static void drop(void *kept)
{
    struct sending *sending = kept;
    for (int i = 0; i < sending->key_count; i++)
        multi_end(sending->watches, &sending->keys[i].eye);
    migration_drop(sending->migration);
    mem_free(sending->keys);
    mem_free(sending);
}

static void watch(struct call *c, const struct keyref *ref, struct sent_key *key)
{
    struct watch_key name = {.db = c->session->db, .position = ref->position, .name = ref->key};
    multi_watch(exec_watches(c->exec), &key->eye, &name, true, key->expire_at_ms);
}

/* ---- The first call: what is to be sent. */

/* Keys that are there, and their values, in the order of the request. False: together they are too
 * large, which was replied. */
static bool add_keys(struct call *c, struct sending *sending)
{
    struct migration *m = sending->migration;
    size_t bytes_max = store_whole_bytes_max(c->services->store);
    struct buf payload = {0};
    bool fits = true;
    for (int i = 0; i < c->key_count && fits; i++) {
        const struct object *o = call_find_read(c, i);
        if (o == NULL)
            continue;
        if (migration_count(m) != 0 && migration_bytes(m) > bytes_max) {
            reply_error(c->reply, "ERR the values of these keys are larger than whole-load-limit "
                                  "together: migrate fewer at a time");
            fits = false;
            continue;
        }
        struct sent_key *key = &sending->keys[i];
        int64_t ttl_ms = object_has_expire(o) ? o->expire_at_ms - c->now_ms : 0;
        *key =
            (struct sent_key){.sent = true,
                              .number = migration_count(m),
                              .expire_at_ms = object_has_expire(o) ? o->expire_at_ms : INT64_MAX};
        buf_clear(&payload);
        rdb_value_dump(o, c->services->config->rdbcompression, &payload);
        migration_add(m, c->keys[i].key, ttl_ms, buf_bytes(&payload));
        watch(c, &c->keys[i], key);
    }
    buf_deinit(&payload);
    return fits;
}

static void begin(struct call *c, const struct request *request)
{
    struct migration_options target = request->target;
    if (c->services->config->tls_cluster) {
        target.tls = tls_prepare(c->services->tls);
        if (target.tls == NULL) {
            reply_error(c->reply, "IOERR error or timeout connecting to the client");
            return;
        }
    }
    struct sending *sending = mem_calloc(1, sizeof(*sending));
    sending->migration = migration_create(&target);
    sending->watches = exec_watches(c->exec);
    sending->key_count = c->key_count;
    sending->keys = mem_calloc((size_t)c->key_count + 1, sizeof(*sending->keys));
    if (!add_keys(c, sending)) {
        drop(sending);
    } else if (migration_count(sending->migration) == 0) {
        reply_simple(c->reply, "NOKEY");
        drop(sending);
    } else {
        call_keep(c, sending, drop);
        migration_start(c->services->migrations, sending->migration);
        call_wait_over(c, migration_over(sending->migration));
    }
}

/* ---- The second call: what has been taken goes here. */

static bool may_go(const struct sending *sending, int index)
{
    const struct sent_key *key = &sending->keys[index];
    return key->sent && migration_was_taken(sending->migration, key->number) &&
           (key->eye.flags & SESSION_DIRTY_CAS) == 0;
}

/* The first key that the target has as it is here no more; -1: there is none. That its time has
 * come since is no such change: it comes there, too. */
static int find_changed(const struct call *c, const struct sending *sending)
{
    for (int i = 0; i < sending->key_count; i++) {
        const struct sent_key *key = &sending->keys[i];
        if (key->sent && migration_was_taken(sending->migration, key->number) &&
            (key->eye.flags & SESSION_DIRTY_CAS) != 0 && key->expire_at_ms > c->now_ms)
            return i;
    }
    return -1;
}

static void delete_taken(struct call *c, const struct sending *sending)
{
    struct bytes *argv = mem_alloc(((size_t)sending->key_count + 1) * sizeof(*argv));
    int argc = 1;
    argv[0] = bytes_text("DEL");
    /* The list comes first: a key that was named twice is changed by being deleted. */
    bool *goes = mem_calloc((size_t)sending->key_count, sizeof(*goes));
    for (int i = 0; i < sending->key_count; i++)
        goes[i] = may_go(sending, i);
    for (int i = 0; i < sending->key_count; i++) {
        if (!goes[i] || call_find_write(c, i) == NULL)
            continue;
        ks_delete(c->ks, &c->keys[i]);
        call_key_modified(c, &c->keys[i]);
        call_notify(c, NOTIFY_GENERIC, "del", c->keys[i].key);
        argv[argc++] = c->keys[i].key;
    }
    if (argc > 1) {
        call_changed(c, (uint64_t)argc - 1);
        call_effect(c, argc, argv);
    }
    mem_free(goes);
    mem_free(argv);
}

static void reply_changed(struct call *c, struct bytes key)
{
    size_t shown = key.len < KEY_SHOWN_BYTES ? key.len : KEY_SHOWN_BYTES;
    reply_error_format(c->reply,
                       "ERR key '%.*s' was changed while it was being sent: the target has it as "
                       "it was before, and here it stays as it is",
                       (int)shown, (const char *)key.data);
}

static void finish(struct call *c, const struct request *request, const struct sending *sending)
{
    const struct conns *conns = c->services->conns;
    if (conns != NULL && conns_paused(conns) != CONNS_RUN) {
        call_wait_tick(c);
        return;
    }
    const char *error = migration_error(sending->migration);
    int changed = request->copy ? -1 : find_changed(c, sending);
    if (!request->copy)
        delete_taken(c, sending);
    if (error != NULL)
        reply_error(c->reply, error);
    else if (changed >= 0)
        reply_changed(c, c->keys[changed].key);
    else
        reply_ok(c->reply);
}

static void cmd_migrate(struct call *c)
{
    struct request request;
    if (!parse(c, &request))
        return;
    if (!call_may_block(c)) {
        reply_error(c->reply, "ERR MIGRATE would have to wait for its target, which it cannot "
                              "inside a transaction or a script");
        return;
    }
    const struct sending *sending = call_kept(c);
    if (sending == NULL)
        begin(c, &request);
    else
        finish(c, &request, sending);
}

const struct command cmd_migrate_table[] = {
    {.name = "migrate",
     .handler = cmd_migrate,
     .arity = -6,
     .flags = CMD_WRITE,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .keys = {KEY_AT(3, KEY_RW | KEY_ACCESS | KEY_DELETE),
              {.flags = KEY_RW | KEY_ACCESS | KEY_DELETE | KEY_INCOMPLETE,
               .begin = KEY_BEGIN_KEYWORD,
               .keyword = "KEYS",
               .index = -2,
               .last_or_keynum = -1,
               .step_or_first = 1,
               .limit_or_step = 0}},
     .keys_fn = keys_of_migrate,
     .group = "generic",
     .since = "2.6.0",
     .complexity = "This command actually executes a DUMP+DEL in the source instance, and a "
                   "RESTORE in the target instance. See the pages of these commands for time "
                   "complexity. Also an O(N) data transfer between the two instances is performed.",
     .summary = "Atomically transfers a key from one Redis instance to another.",
     .tips = TEXTS("nondeterministic_output"),
     .history = TEXTS("3.0.0", "Added the `COPY` and `REPLACE` options.", "3.0.6",
                      "Added the `KEYS` option.", "4.0.7", "Added the `AUTH` option.", "6.0.0",
                      "Added the `AUTH2` option."),
     .args =
         ARGS(ARG("host", STRING), ARG("port", INTEGER),
              ARG("key-selector", ONEOF,
                  .children = ARGS(ARG("key", KEY), TOKEN("empty-string", "\"\""))),
              ARG("destination-db", INTEGER), ARG("timeout", INTEGER),
              TOKEN("copy", "COPY", .flags = ARG_OPTIONAL, .since = "3.0.0"),
              TOKEN("replace", "REPLACE", .flags = ARG_OPTIONAL, .since = "3.0.0"),
              ARG("authentication", ONEOF, .flags = ARG_OPTIONAL,
                  .children = ARGS(
                      ARG("auth", STRING, .token = "AUTH", .display = "password", .since = "4.0.7"),
                      ARG("auth2", BLOCK, .token = "AUTH2", .since = "6.0.0",
                          .children = ARGS(ARG("username", STRING), ARG("password", STRING))))),
              ARG("keys", KEY, .token = "KEYS", .flags = ARG_OPTIONAL | ARG_MULTIPLE,
                  .key_spec_index = 1, .display = "key", .since = "3.0.6"))},
    {.name = NULL},
};
