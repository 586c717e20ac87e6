/* SCAN, KEYS, RANDOMKEY: walks over a database in the order of positions, RAM and disk together. A
 * SCAN cursor is a position (storage/scan.h). Keys that have expired are passed over; SCAN and
 * RANDOMKEY delete those that they meet. Source: db.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/scan_options.h"
#include "server/commands/tables.h"
#include "server/exec_nested.h"

#include "codec/glob.h"

#define KEYS_BATCH       16384 /* keys per scan of KEYS */
#define RANDOM_BATCH     16    /* keys per scan of RANDOMKEY */
#define EXPIRED_LOAD_MAX 128   /* expired keys on disk that one call deletes */

static struct bytes scan_key_name(const struct scan_result *result, const struct scan_key *key)
{
    return bytes_make(result->keys + key->off, key->len);
}

static bool has_expired(const struct call *c, const struct scan_key *key)
{
    return key->expire_at_ms != OBJECT_NO_EXPIRE && key->expire_at_ms <= c->now_ms;
}

/* ---- Which keys are asked for. */

struct key_filter {
    struct bytes pattern;
    bool has_pattern; /* "*" is none */
    bool has_type;
    enum object_type type; /* OBJECT_NONE: a type that there is not */
};

static void set_pattern(struct key_filter *filter, struct bytes pattern)
{
    filter->pattern = pattern;
    filter->has_pattern = !bytes_equal(pattern, bytes_text("*"));
}

static void set_type(struct key_filter *filter, struct bytes name)
{
    filter->has_type = true;
    filter->type = OBJECT_NONE;
    for (enum object_type type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        if (bytes_equal_nocase(name, object_type_name(type)))
            filter->type = type;
}

static bool matches(const struct key_filter *filter, struct bytes name)
{
    return !filter->has_pattern || glob_match(filter->pattern, name, false);
}

/* ---- Deleting what has expired. */

/* Asks for the expired keys that are on disk only, which must be in RAM to be deleted; `first`:
 * only for those in front of the first live key. Where nobody can wait, and beyond a bound, they
 * are left to the active cycle. False: not there yet. */
static bool load_expired(struct call *c, const struct key_filter *filter, bool first,
                         const struct scan_result *result)
{
    if (call_is_nested(c))
        return true;
    size_t count = 0;
    for (size_t i = 0; i < result->count && count < EXPIRED_LOAD_MAX; i++) {
        struct bytes name = scan_key_name(result, &result->items[i]);
        bool expired = has_expired(c, &result->items[i]);
        if (first && !expired)
            break;
        if (!expired || !matches(filter, name))
            continue;
        call_want_key(c, c->session->db, name);
        count++;
    }
    return call_wanted_readable(c);
}

/* ---- SCAN. */

static void cmd_scan(struct call *c)
{
    struct scan_options options;
    struct key_filter filter = {0};
    if (!scan_read_cursor(c, 1, &options) || !scan_read_options(c, 2, SCAN_ALLOW_TYPE, &options))
        return;
    if (options.has_pattern)
        set_pattern(&filter, options.pattern);
    if (options.has_type)
        set_type(&filter, options.type);
    const struct scan_result *result =
        call_scan(c, 0, c->db, options.cursor, (size_t)options.count);
    if (result == NULL || !load_expired(c, &filter, false, result))
        return;
    reply_array(c->reply, 2);
    scan_reply_cursor(c->reply, result->next);
    uint64_t count = 0;
    struct reply_deferred deferred = reply_deferred_begin(c->reply);
    for (size_t i = 0; i < result->count; i++) {
        const struct scan_key *key = &result->items[i];
        struct bytes name = scan_key_name(result, key);
        if (!matches(&filter, name))
            continue;
        if (has_expired(c, key)) {
            call_expire_resident(c, c->db, name);
        } else if (!filter.has_type || key->type == filter.type) {
            reply_bulk(c->reply, name);
            count++;
        }
    }
    reply_deferred_array(c->reply, &deferred, count);
}

/* ---- KEYS. Walks in batches and keeps only what matches, so that memory is bounded by the reply.
 * While every key is in RAM the batches are one atomic step. */

static void keep_matches(struct call *c, struct call_walk *walk, const struct key_filter *filter,
                         const struct scan_result *result)
{
    for (size_t i = 0; i < result->count; i++) {
        struct bytes name = scan_key_name(result, &result->items[i]);
        if (has_expired(c, &result->items[i]) || !matches(filter, name))
            continue;
        uint32_t len = result->items[i].len;
        buf_append(&walk->found, &len, sizeof len);
        buf_append_bytes(&walk->found, name);
        walk->count++;
    }
}

static void reply_found(struct call *c, const struct call_walk *walk)
{
    reply_array(c->reply, walk->count);
    for (size_t at = 0; at < walk->found.len;) {
        uint32_t len;
        memcpy(&len, walk->found.data + at, sizeof len);
        at += sizeof len;
        reply_bulk(c->reply, bytes_make(walk->found.data + at, len));
        at += len;
    }
}

static void cmd_keys(struct call *c)
{
    struct key_filter filter = {0};
    set_pattern(&filter, c->argv[1]);
    struct call_walk *walk = call_walk(c);
    do {
        const struct scan_result *result = call_scan(c, 0, c->db, walk->cursor, KEYS_BATCH);
        if (result == NULL)
            return;
        keep_matches(c, walk, &filter, result);
        walk->cursor = result->next;
        call_scan_again(c, 0);
    } while (walk->cursor != SCAN_END);
    reply_found(c, walk);
}

/* ---- RANDOMKEY: the first key behind a random position, around the end if need be. */

static bool reply_first_live(struct call *c, const struct scan_result *result)
{
    for (size_t i = 0; i < result->count; i++) {
        struct bytes name = scan_key_name(result, &result->items[i]);
        if (has_expired(c, &result->items[i])) {
            call_expire_resident(c, c->db, name);
            continue;
        }
        reply_bulk(c->reply, name);
        return true;
    }
    return false;
}

static void cmd_randomkey(struct call *c)
{
    const struct key_filter all = {0};
    struct call_walk *walk = call_walk(c);
    uint64_t start = call_random_position(c);
    if (walk->count == 0)
        walk->cursor = start;
    for (;;) {
        walk->count++;
        const struct scan_result *result = call_scan(c, 0, c->db, walk->cursor, RANDOM_BATCH);
        if (result == NULL || !load_expired(c, &all, true, result) || reply_first_live(c, result))
            return;
        walk->cursor = result->next;
        call_scan_again(c, 0);
        bool ended = walk->cursor == SCAN_END;
        if (walk->wrapped && (ended || walk->cursor >= start))
            break;
        walk->wrapped = walk->wrapped || ended;
    }
    reply_null(c->reply);
}

const struct command cmd_scan_table[] = {
    {.name = "keys",
     .handler = cmd_keys,
     .arity = 2,
     .flags = CMD_READONLY,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(N) with N being the number of keys in the database, under the assumption "
                   "that the key names in the database and the given pattern have limited length.",
     .summary = "Returns all key names that match a pattern.",
     .tips = TEXTS("request_policy:all_shards", "nondeterministic_output_order"),
     .args = ARGS(ARG("pattern", PATTERN))},
    {.name = "randomkey",
     .handler = cmd_randomkey,
     .arity = 1,
     .flags = CMD_READONLY | CMD_TOUCHES_ARBITRARY_KEYS,
     .acl = ACL_KEYSPACE,
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Returns a random key name from the database.",
     .tips =
         TEXTS("request_policy:all_shards", "response_policy:special", "nondeterministic_output")},
    {.name = "scan",
     .handler = cmd_scan,
     .arity = -2,
     .flags = CMD_READONLY | CMD_TOUCHES_ARBITRARY_KEYS,
     .acl = ACL_KEYSPACE,
     .group = "generic",
     .since = "2.8.0",
     .complexity =
         "O(1) for every call. O(N) for a complete iteration, including enough command calls for "
         "the cursor to return back to 0. N is the number of elements inside the collection.",
     .summary = "Iterates over the key names in the database.",
     .tips = TEXTS("nondeterministic_output", "request_policy:special", "response_policy:special"),
     .history = TEXTS("6.0.0", "Added the `TYPE` subcommand."),
     .args = ARGS(ARG("cursor", INTEGER),
                  ARG("pattern", PATTERN, .token = "MATCH", .flags = ARG_OPTIONAL),
                  ARG("count", INTEGER, .token = "COUNT", .flags = ARG_OPTIONAL),
                  ARG("type", STRING, .token = "TYPE", .flags = ARG_OPTIONAL, .since = "6.0.0"))},
    {.name = NULL},
};
