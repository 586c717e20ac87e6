/* DEBUG: for tests and for looking inside; refused unless enable-debug-command allows it. What it
 * does is not journaled. Settings of parts of Redis that do not exist here are accepted without an
 * effect, because test suites set them. Source: debug.c of Redis 7.2; EVICT and CUT are ours. */
#include "server/call.h"
#include "server/commands/debug_reload.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/exec.h"
#include "server/log.h"
#include "server/scripting.h"
#include "server/server.h"
#include "server/services.h"
#include "server/value_digest.h"
#include "storage/ensure.h"
#include "storage/env.h"
#include "storage/object_value.h"
#include "storage/rdb_value.h"
#include "storage/store.h"
#include "storage/table.h"
#include "storage/types/list.h"
#include "storage/types/string.h"
#include "storage/value_type.h"

#include "codec/glob.h"
#include "codec/number.h"
#include "codec/rdb_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DIGEST_BATCH     1024 /* keys per scan of DEBUG DIGEST */
#define POPULATE_BATCH   4096 /* keys between two looks at memory */
#define DEMOTE_BUDGET_US 100000
#define FLOAT_CHARS_MAX  64
#define LRU_CLOCK_MASK   0xffffff

/* ---- Values. */

static enum status discard(void *arg, struct bytes data, struct err *err)
{
    (void)arg;
    (void)data;
    (void)err;
    return ST_OK;
}

/* Length of the value in an RDB file. Of large values, which need not be in RAM: what they take
 * there. */
static uint64_t serialized_len(const struct config *config, const struct object *o)
{
    if (o->large)
        return object_value_bytes(o);
    struct rdb_writer_options options = {.write = discard,
                                         .no_compression = !config->rdbcompression};
    struct rdb_target target = {.writer = rdb_writer_create(&options),
                                .version = RDB_VERSION_DEFAULT};
    uint64_t before = rdb_writer_offset(target.writer);
    rdb_value_put(&target, o);
    uint64_t len = rdb_writer_offset(target.writer) - before;
    rdb_writer_destroy(target.writer);
    return len;
}

static struct object *find_or_error(struct call *c)
{
    struct object *o = c->key_count == 0 ? NULL : ks_find(c->ks, &c->keys[0]);
    if (o == NULL)
        reply_error_id(c->reply, ERROR_NO_KEY);
    return o;
}

/* What is told of a list with nodes. Nodes are compressed on disk only. */
static void describe_nodes(const struct config *config, const struct object *o, char *out,
                           size_t len)
{
    struct list_facts facts;
    out[0] = '\0';
    if (o->type != OBJECT_LIST || !list_read_facts(o, &facts))
        return;
    (void)snprintf(out, len,
                   " ql_nodes:%llu ql_avg_node:%.2f ql_listpack_max:%d ql_compressed:0 "
                   "ql_uncompressed_size:%llu",
                   (unsigned long long)facts.nodes, (double)list_length(o) / (double)facts.nodes,
                   config->list_max_listpack_size, (unsigned long long)facts.content_bytes);
}

static void debug_object(struct call *c)
{
    const struct object *o = find_or_error(c);
    if (o == NULL)
        return;
    uint32_t idle = ks_idle_seconds(c->ks, o);
    /* The access clock is monotonic; what is told is wall time, the same for the same access. */
    int64_t boot_s = (c->now_ms - exec_mono_ms(c->exec)) / 1000;
    char more[128], text[384];
    describe_nodes(c->services->config, o, more, sizeof more);
    (void)snprintf(text, sizeof text,
                   "Value at:%p refcount:1 encoding:%s serializedlength:%llu lru:%u "
                   "lru_seconds_idle:%u%s",
                   (const void *)o, object_encoding_name(o),
                   (unsigned long long)serialized_len(c->services->config, o),
                   (uint32_t)(boot_s + o->access) & LRU_CLOCK_MASK, idle, more);
    reply_simple(c->reply, text);
}

static void reply_digest(struct call *c, const struct value_digest *digest)
{
    char hex[SHA1_HEX_CHARS + 1];
    sha1_format(digest->bytes, hex);
    reply_simple(c->reply, hex);
}

static void debug_digest_value(struct call *c)
{
    reply_array(c->reply, (uint64_t)c->key_count);
    for (int i = 0; i < c->key_count; i++) {
        struct value_digest digest = {{0}};
        const struct object *o = ks_find(c->ks, &c->keys[i]);
        if (o != NULL)
            value_digest_add_object(&digest, o);
        reply_digest(c, &digest);
    }
}

/* ---- DEBUG DIGEST: walks over all databases in batches, reading cold values as it goes. */

struct digest_walk {
    struct value_digest digest;
    uint32_t db;
    bool db_added;
};

/* The object of a key that a scan has found, all of it in RAM; NULL: it is gone, or unreadable. */
static const struct object *load_now(struct call *c, struct db *db, struct bytes key)
{
    struct loader *loader = store_loader(c->services->store);
    struct keyref ref;
    struct err err;
    ks_ref(c->ks, db, key, &ref);
    if (ref.object == NULL && loader_read_now(loader, db, ref.position, key, &err) != ST_OK)
        return NULL;
    struct object *o = ks_find(c->ks, &ref);
    if (o != NULL && ensure_all_now(loader, db, o, &err) != ST_OK)
        return NULL;
    return o;
}

static void digest_batch(struct call *c, struct digest_walk *walk, const struct scan_result *result)
{
    struct db *db = ks_db(c->ks, walk->db);
    for (size_t i = 0; i < result->count; i++) {
        const struct scan_key *key = &result->items[i];
        const struct object *o = load_now(c, db, bytes_make(result->keys + key->off, key->len));
        if (o == NULL || (object_has_expire(o) && o->expire_at_ms <= c->now_ms))
            continue;
        if (!walk->db_added)
            value_digest_add_db(&walk->digest, walk->db);
        walk->db_added = true;
        value_digest_add_key(&walk->digest, o);
    }
    (void)evict_make_room(store_evict(c->services->store), 0, DEMOTE_BUDGET_US);
}

static void debug_digest(struct call *c)
{
    struct call_walk *kept = call_walk(c);
    struct digest_walk walk = {.db = 0};
    if (kept->found.len > 0)
        memcpy(&walk, kept->found.data, sizeof walk);
    while (walk.db < ks_db_count(c->ks)) {
        const struct scan_result *result =
            call_scan(c, 0, ks_db(c->ks, walk.db), kept->cursor, DIGEST_BATCH);
        if (result == NULL) {
            buf_clear(&kept->found);
            buf_append(&kept->found, &walk, sizeof walk);
            return;
        }
        digest_batch(c, &walk, result);
        kept->cursor = result->next;
        call_scan_again(c, 0);
        if (kept->cursor != SCAN_END)
            continue;
        walk.db++;
        walk.db_added = false;
    }
    reply_digest(c, &walk.digest);
}

/* ---- Storage. */

static void reply_status(struct call *c, enum status st, const struct err *err)
{
    if (st == ST_OK)
        reply_ok(c->reply);
    else
        reply_error_format(c->reply, "ERR %s", err->message);
}

static void debug_cut(struct call *c)
{
    struct err err;
    enum status st = store_cut_now(c->services->store, true, &err);
    reply_status(c, st, &err);
}

/* Demotes one key, writing it to disk first if need be. */
static void evict_key(struct call *c, struct bytes key)
{
    struct store *store = c->services->store;
    struct keyref ref;
    struct err err;
    call_keyref(c, key, &ref);
    struct object *o = ks_find(c->ks, &ref);
    if (o == NULL || evict_object(store_evict(store), c->db, o)) {
        reply_ok(c->reply);
        return;
    }
    if (store_cut_now(store, false, &err) != ST_OK) {
        reply_error_format(c->reply, "ERR %s", err.message);
        return;
    }
    o = ks_find(c->ks, &ref);
    if (o == NULL || evict_object(store_evict(store), c->db, o))
        reply_ok(c->reply);
    else
        reply_error(c->reply, "ERR the key is in use");
}

static void debug_evict(struct call *c)
{
    struct err err;
    if (call_arg_is(c, 2, "all"))
        reply_status(c, store_evict_all(c->services->store, &err), &err);
    else
        evict_key(c, c->argv[2]);
}

static void debug_loadaof(struct call *c)
{
    struct err err;
    enum status st = server_reload(c->services->server, &err);
    if (st == ST_OK)
        log_write(LOG_NOTICE, "Append Only File loaded by DEBUG LOADAOF");
    reply_status(c, st, &err);
}

static void debug_change_repl_id(struct call *c)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[20];
    char id[40];
    struct env *env = env_posix();
    env->random_bytes(env, random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++) {
        id[2 * i] = digits[random[i] >> 4];
        id[2 * i + 1] = digits[random[i] & 15];
    }
    log_write(LOG_NOTICE, "Changing replication IDs after receiving DEBUG change-repl-id");
    store_set_replication_id(c->services->store, id);
    reply_ok(c->reply);
}

/* ---- DEBUG POPULATE. */

/* Keeps memory bounded while keys are made faster than a tick can tend to them. */
static enum status make_room(struct call *c, struct err *err)
{
    struct store *store = c->services->store;
    if (evict_make_room(store_evict(store), 0, DEMOTE_BUDGET_US))
        return ST_OK;
    enum status st = store_cut_now(store, false, err);
    if (st == ST_OK)
        (void)evict_make_room(store_evict(store), 0, DEMOTE_BUDGET_US);
    return st;
}

struct populate {
    int64_t count;
    int64_t value_len; /* 0: as long as its text */
    struct bytes prefix;
    struct buf key;
    struct buf value;
};

static void populate_one(struct call *c, struct populate *populate, int64_t number)
{
    struct keyref ref;
    buf_clear(&populate->key);
    buf_append_bytes(&populate->key, populate->prefix);
    buf_append_format(&populate->key, ":%lld", (long long)number);
    if (call_find_undeclared(c, buf_bytes(&populate->key), true) != NULL)
        return;
    buf_clear(&populate->value);
    buf_append_format(&populate->value, "value:%lld", (long long)number);
    if (populate->value_len > 0) {
        size_t wanted = (size_t)populate->value_len, has = populate->value.len;
        if (has < wanted)
            memset(buf_reserve(&populate->value, wanted - has), 0, wanted - has);
        populate->value.len = wanted;
    }
    call_keyref(c, buf_bytes(&populate->key), &ref);
    ks_set_string(c->ks, &ref, buf_bytes(&populate->value));
    call_key_modified(c, &ref);
    call_changed(c, 1);
}

static void populate_all(struct call *c, struct populate *populate)
{
    struct err err;
    for (int64_t i = 0; i < populate->count; i++) {
        if (i % POPULATE_BATCH == POPULATE_BATCH - 1 && make_room(c, &err) != ST_OK) {
            reply_error_format(c->reply, "ERR %s", err.message);
            return;
        }
        populate_one(c, populate, i);
    }
    reply_ok(c->reply);
}

#define NOT_POSITIVE "ERR value is out of range, must be positive"

static void debug_populate(struct call *c)
{
    struct populate populate = {.prefix = c->argc > 3 ? c->argv[3] : bytes_text("key")};
    if (!call_arg_range(c, 2, 0, INT64_MAX, &populate.count, NOT_POSITIVE))
        return;
    if (c->argc > 4 && !call_arg_range(c, 4, 0, c->services->config->proto_max_bulk_len,
                                       &populate.value_len, NOT_POSITIVE))
        return;
    populate_all(c, &populate);
    buf_deinit(&populate.key);
    buf_deinit(&populate.value);
}

/* ---- Replies. */

static void protocol_map(struct call *c)
{
    reply_map(c->reply, 3);
    for (int i = 0; i < 3; i++) {
        reply_integer(c->reply, i);
        reply_bool(c->reply, i == 1);
    }
}

static void protocol_three(struct call *c)
{
    for (int i = 0; i < 3; i++)
        reply_integer(c->reply, i);
}

static void protocol_array(struct call *c)
{
    reply_array(c->reply, 3);
    protocol_three(c);
}

static void protocol_set(struct call *c)
{
    reply_set(c->reply, 3);
    protocol_three(c);
}

static void protocol_attribute(struct call *c)
{
    if (c->reply->resp > 2) {
        reply_attribute(c->reply, 1);
        reply_bulk_text(c->reply, "key-popularity");
        reply_array(c->reply, 2);
        reply_bulk_text(c->reply, "key:123");
        reply_integer(c->reply, 90);
    }
    reply_bulk_text(c->reply, "Some real reply following the attribute");
}

static void protocol_push(struct call *c)
{
    if (c->reply->resp < 3) {
        reply_error(c->reply, "ERR RESP2 is not supported by this command");
        return;
    }
    /* A push that comes up while a command runs goes out behind the command's reply. */
    reply_bulk_text(c->reply, "Some real reply following the push reply");
    reply_push(c->reply, 2);
    reply_bulk_text(c->reply, "server-cpu-usage");
    reply_integer(c->reply, 42);
}

static void protocol_string(struct call *c)
{
    reply_bulk_text(c->reply, "Hello World");
}

static void protocol_integer(struct call *c)
{
    reply_integer(c->reply, 12345);
}

static void protocol_double(struct call *c)
{
    reply_double(c->reply, 3.141);
}

static void protocol_big_number(struct call *c)
{
    reply_big_number(c->reply, "1234567999999999999999999999999999999");
}

static void protocol_null(struct call *c)
{
    reply_null(c->reply);
}

static void protocol_verbatim(struct call *c)
{
    reply_verbatim(c->reply, bytes_text("This is a verbatim\nstring"), "txt");
}

static void protocol_true(struct call *c)
{
    reply_bool(c->reply, true);
}

static void protocol_false(struct call *c)
{
    reply_bool(c->reply, false);
}

static void debug_protocol(struct call *c)
{
    static const struct {
        const char *name;
        command_fn *reply;
    } types[] = {
        {"string", protocol_string},     {"integer", protocol_integer},
        {"double", protocol_double},     {"bignum", protocol_big_number},
        {"null", protocol_null},         {"array", protocol_array},
        {"set", protocol_set},           {"map", protocol_map},
        {"attrib", protocol_attribute},  {"push", protocol_push},
        {"verbatim", protocol_verbatim}, {"true", protocol_true},
        {"false", protocol_false},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (call_arg_is(c, 2, types[i].name)) {
            types[i].reply(c);
            return;
        }
    }
    reply_error(c->reply, "ERR Wrong protocol type name. Please use one of the following: "
                          "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|"
                          "true|false");
}

static void debug_error(struct call *c)
{
    reply_error_format(c->reply, "%.*s", (int)c->argv[2].len, (const char *)c->argv[2].data);
}

/* ---- Small ones. */

/* The argument as strtod() reads its beginning; 0 when it is no number. */
static double float_arg(const struct call *c, int arg)
{
    char text[FLOAT_CHARS_MAX];
    size_t len = c->argv[arg].len < sizeof text ? c->argv[arg].len : sizeof text - 1;
    memcpy(text, c->argv[arg].data, len);
    text[len] = 0;
    return strtod(text, NULL);
}

static void debug_sleep(struct call *c)
{
    double seconds = float_arg(c, 2);
    if (seconds > 0) {
        struct timespec time = {.tv_sec = (time_t)seconds};
        time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
        (void)nanosleep(&time, NULL);
    }
    reply_ok(c->reply);
}

static void debug_set_disable_deny_scripts(struct call *c)
{
    scripting_allow_debug(c->services->scripting, !call_arg_is(c, 2, "0"));
    reply_ok(c->reply);
}

static void debug_log(struct call *c)
{
    log_write(LOG_WARNING, "DEBUG LOG: %.*s", (int)c->argv[2].len, (const char *)c->argv[2].data);
    reply_ok(c->reply);
}

static void debug_set_active_expire(struct call *c)
{
    expire_set_active(store_expire(c->services->store), float_arg(c, 2) != 0);
    reply_ok(c->reply);
}

static void debug_accept(struct call *c)
{
    reply_ok(c->reply);
}

static void debug_skip_checksum(struct call *c)
{
    int64_t on;
    if (!call_arg_i64(c, 2, &on))
        return;
    c->services->config->debug_skip_checksum = on != 0;
    reply_ok(c->reply);
}

static void debug_packed_threshold(struct call *c)
{
    const uint64_t limit = ((uint64_t)1 << 32) - ((uint64_t)1 << 20);
    uint64_t bytes;
    if (!number_parse_memory(c->argv[2], &bytes) || bytes > limit) {
        reply_error(c->reply,
                    "ERR argument must be a memory value bigger than 1 and smaller than 4gb");
        return;
    }
    c->services->config->debug_list_plain_bytes =
        bytes == 0 || bytes > LIST_PLAIN_BYTES_MAX ? LIST_PLAIN_BYTES_MAX : (size_t)bytes;
    reply_ok(c->reply);
}

static void reply_unknown(struct call *c)
{
    reply_error_format(
        c->reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try DEBUG HELP.",
        c->argv[1].len < 128 ? (int)c->argv[1].len : 128, (const char *)c->argv[1].data);
}

static void debug_reply_buffer(struct call *c)
{
    int64_t ms;
    if (call_arg_is(c, 2, "peak-reset-time")) {
        bool word = call_arg_is(c, 3, "never") || call_arg_is(c, 3, "reset");
        if (!word && !call_arg_i64(c, 3, &ms))
            return;
    } else if (!call_arg_is(c, 2, "resizing")) {
        reply_unknown(c);
        return;
    }
    reply_ok(c->reply);
}

/* STRINGMATCH-LEN pattern text: whether the whole text matches. */
static void debug_string_match(struct call *c)
{
    reply_integer(c->reply, glob_match(c->argv[2], c->argv[3], false));
}

static void debug_config_rewrite(struct call *c)
{
    struct err err;
    enum status st = config_rewrite(c->services->config, true, &err);
    if (st == ST_OK)
        reply_ok(c->reply);
    else
        reply_error_format(c->reply, "ERR CONFIG-REWRITE-FORCE-ALL failed: %s", err.message);
}

static void debug_htstats(struct call *c)
{
    int64_t number;
    if (!call_arg_i64(c, 2, &number))
        return;
    if (number < 0 || number >= (int64_t)ks_db_count(c->ks)) {
        reply_error(c->reply, "ERR Out of range database");
        return;
    }
    const struct db *db = ks_db(c->ks, (uint32_t)number);
    struct buf text = {0};
    buf_append_format(&text,
                      "[Dictionary HT]\n entries: %llu\n bytes: %zu\n[Cold keys]\n entries: %llu\n",
                      (unsigned long long)table_count(db->table), table_bytes(db->table),
                      (unsigned long long)db->cold_count);
    reply_text(c->reply, buf_bytes(&text));
    buf_deinit(&text);
}

static void debug_htstats_key(struct call *c)
{
    if (find_or_error(c) != NULL)
        reply_error(c->reply, "ERR The value stored at the specified key is not represented using "
                              "an hash table");
}

static void debug_help(struct call *c)
{
    static const char *const lines[] = {
        "CHANGE-REPL-ID",
        "    Change the replication ID of the instance.",
        "CONFIG-REWRITE-FORCE-ALL",
        "    Like CONFIG REWRITE but writes all configuration options.",
        "CUT",
        "    Write all changes to RocksDB now and flush its memtables.",
        "DIGEST",
        "    Output a hex signature representing the current data set, as Redis does.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Output a hex signature of the values of all the specified keys.",
        "ERROR <string>",
        "    Return a Redis protocol error with <string> as message.",
        "EVICT <key>|ALL",
        "    Demote a key, or all of them: write to disk, then forget in RAM.",
        "HTSTATS <dbid>",
        "    Return statistics of a database's table of resident keys.",
        "HTSTATS-KEY <key>",
        "    Like HTSTATS but for the hash table stored at <key>'s value.",
        "LOADAOF",
        "    Write everything to disk and forget it in RAM.",
        "LOG <message>",
        "    Write <message> to the server log.",
        "OBJECT <key>",
        "    Show low level info about `key` and associated value.",
        "PAUSE-CRON, QUICKLIST-PACKED-THRESHOLD, REPLYBUFFER, SET-SKIP-CHECKSUM-VALIDATION",
        "    Accepted without an effect.",
        "POPULATE <count> [<prefix>] [<size>]",
        "    Create <count> string keys named key:<num>; not journaled.",
        "PROTOCOL <type>",
        "    Reply with a test value of the specified type. <type> can be: string,",
        "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
        "    true, false.",
        "RELOAD [option ...]",
        "    Save the dataset to the RDB file and load it again. Options are:",
        "    * MERGE: what is in the file replaces what is there already.",
        "    * NOFLUSH: what is not in the file stays.",
        "    * NOSAVE: load the file as it is.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    0 stops expiring keys that are not accessed; 1 starts it again.",
        "SLEEP <seconds>",
        "    Stop the server for <seconds>. Decimals allowed.",
        "STRINGMATCH-LEN <pattern> <string>",
        "    Tell whether the string matches the glob pattern.",
        NULL,
    };
    reply_help(c->reply, "DEBUG", lines);
}

/* ---- The table. */

static const struct debug_row {
    const char *name;
    command_fn *run;
    int argc_min;
    int argc_max; /* 0: any */
    bool data;    /* looks at the dataset, or changes it: not while that is being loaded */
} debug_rows[] = {
    {"aof-flush-sleep", debug_accept, 3, 3, false},
    {"change-repl-id", debug_change_repl_id, 2, 2, false},
    {"config-rewrite-force-all", debug_config_rewrite, 2, 2, false},
    {"cut", debug_cut, 2, 2, true},
    {"digest", debug_digest, 2, 2, true},
    {"digest-value", debug_digest_value, 2, 0, true},
    {"error", debug_error, 3, 3, false},
    {"evict", debug_evict, 3, 3, true},
    {"help", debug_help, 2, 2, false},
    {"htstats", debug_htstats, 3, 4, true},
    {"htstats-key", debug_htstats_key, 3, 4, true},
    {"loadaof", debug_loadaof, 2, 0, true},
    {"log", debug_log, 3, 3, false},
    {"object", debug_object, 3, 3, true},
    {"pause-cron", debug_accept, 3, 3, false},
    {"populate", debug_populate, 3, 5, true},
    {"protocol", debug_protocol, 3, 3, false},
    {"quicklist-packed-threshold", debug_packed_threshold, 3, 3, false},
    {"reload", debug_reload, 2, 0, true},
    {"replybuffer", debug_reply_buffer, 4, 4, false},
    {"set-active-expire", debug_set_active_expire, 3, 3, false},
    {"set-disable-deny-scripts", debug_set_disable_deny_scripts, 3, 3, false},
    {"set-skip-checksum-validation", debug_skip_checksum, 3, 3, false},
    {"sleep", debug_sleep, 3, 3, false},
    {"stringmatch-len", debug_string_match, 4, 4, false},
};

/* Keys are hidden from COMMAND, which knows none of DEBUG's. */
static int debug_keys(const struct bytes *argv, int argc, struct key_arg *out, int max)
{
    const uint32_t flags = KEY_RO | KEY_NO_TOUCH | KEY_HIDDEN;
    bool one = bytes_equal_nocase(argv[1], "object") || bytes_equal_nocase(argv[1], "htstats-key");
    bool many = bytes_equal_nocase(argv[1], "digest-value");
    int count = many ? argc - 2 : one && argc > 2 ? 1 : 0;
    for (int i = 0; i < count && i < max; i++)
        out[i] = (struct key_arg){.index = 2 + i, .flags = flags | (many ? 0 : KEY_LOAD_META)};
    return count;
}

static bool is_allowed(const struct call *c)
{
    const struct session *session = c->session;
    switch ((enum config_permission)c->services->config->enable_debug_command) {
    case CONFIG_PERMIT_YES:
        return true;
    case CONFIG_PERMIT_LOCAL:
        return session->conn == NULL || conn_is_local(session->conn);
    case CONFIG_PERMIT_NO:
        break;
    }
    return false;
}

static void cmd_debug(struct call *c)
{
    if (!is_allowed(c)) {
        reply_error(c->reply,
                    "ERR DEBUG command not allowed. If the enable-debug-command option is set to "
                    "\"local\", you can run it from a local connection, otherwise you need to set "
                    "this option in the configuration file, and then restart the server.");
        return;
    }
    for (size_t i = 0; i < sizeof debug_rows / sizeof debug_rows[0]; i++) {
        const struct debug_row *row = &debug_rows[i];
        if (call_arg_is(c, 1, row->name) && c->argc >= row->argc_min &&
            (row->argc_max == 0 || c->argc <= row->argc_max)) {
            if (row->run != debug_reload) /* which tells its effect itself */
                call_no_effect(c);
            if (row->data && exec_loading(c->exec))
                reply_error_id(c->reply, ERROR_LOADING);
            else
                row->run(c);
            return;
        }
    }
    reply_unknown(c);
}

const struct command cmd_debug_table[] = {
    {.name = "debug",
     .handler = cmd_debug,
     .arity = -2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_PROTECTED | CMD_SYSCMD,
     .keys_fn = debug_keys,
     .group = "server",
     .since = "1.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for debugging commands."},
    {.name = NULL},
};
