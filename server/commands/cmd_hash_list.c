/* Hashes: many fields at once. HGETALL, HKEYS, HVALS, HSCAN, HRANDFIELD. Fields whose time has come
 * are passed over. Source: t_hash.c of Redis 7.2 and 7.4. */
#include "server/commands/hash_edit.h"
#include "server/commands/rows.h"
#include "server/commands/scan_options.h"
#include "server/commands/tables.h"

#include "codec/mem.h"
#include "codec/number.h"

#define REPEAT_WINDOW 1000 /* of a large hash: what repeated fields are chosen among */

/* ---- What requests need of large hashes. */

static enum ensured ensure_scan(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    struct scan_options options;
    if (hash_needs_nothing(e) || !scan_peek(argv, argc, 2, &options))
        return ENSURED;
    return members_ensure_scan(e, hash_members(e->o), options.cursor, (size_t)options.count);
}

static enum ensured ensure_random(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    if (hash_needs_nothing(e))
        return ENSURED;
    struct members *m = hash_members(e->o);
    int64_t count = 1;
    if (argc > 4 || (argc >= 3 && !number_parse_i64(argv[2], &count)))
        return ENSURED;
    if (count < 0)
        count = count < -REPEAT_WINDOW ? REPEAT_WINDOW : -count;
    if ((uint64_t)count >= m->count)
        return members_ensure_all(e, m);
    return members_ensure_sample(e, m, (size_t)count);
}

/* ---- All fields. */

enum { LIST_FIELDS = 1, LIST_VALUES = 2 };

/* How many fields are to be seen. */
static uint64_t count_visible(const struct call *c, const struct object *o)
{
    int64_t next_ms = hash_next_deadline(o);
    if (!call_field_is_due(c, next_ms))
        return hash_count(o);
    uint64_t count = 0;
    struct hash_iter iter;
    struct bytes field;
    struct hash_value value;
    for (hash_iter_init(&iter, o); hash_iter_next(&iter, &field, &value);)
        count += !call_field_is_due(c, value.expire_at_ms);
    return count;
}

static void list(struct call *c, unsigned what)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_HASH, &wrong_type);
    if (wrong_type)
        return;
    uint64_t count = o == NULL ? 0 : count_visible(c, o);
    if (what == (LIST_FIELDS | LIST_VALUES))
        reply_map(c->reply, count);
    else
        reply_array(c->reply, count);
    if (o == NULL)
        return;
    struct hash_iter iter;
    struct bytes field;
    struct hash_value value;
    for (hash_iter_init(&iter, o); hash_iter_next(&iter, &field, &value);) {
        if (call_field_is_due(c, value.expire_at_ms))
            continue;
        if ((what & LIST_FIELDS) != 0)
            reply_bulk(c->reply, field);
        if ((what & LIST_VALUES) != 0)
            reply_bulk(c->reply, value.value);
    }
}

static void cmd_hgetall(struct call *c)
{
    list(c, LIST_FIELDS | LIST_VALUES);
}

static void cmd_hkeys(struct call *c)
{
    list(c, LIST_FIELDS);
}

static void cmd_hvals(struct call *c)
{
    list(c, LIST_VALUES);
}

/* ---- HSCAN. */

struct scan_reply {
    struct call *call;
    const struct scan_options *options;
    uint64_t count;
};

static void reply_scanned(void *arg, struct bytes field, const struct hash_value *value)
{
    struct scan_reply *scan = arg;
    if (!scan_matches(scan->options, field) || call_field_is_due(scan->call, value->expire_at_ms))
        return;
    reply_bulk(scan->call->reply, field);
    scan->count++;
    if (scan->options->no_values)
        return;
    reply_bulk(scan->call->reply, value->value);
    scan->count++;
}

static void cmd_hscan(struct call *c)
{
    struct scan_options options;
    if (!scan_read_cursor(c, 2, &options))
        return;
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_HASH, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL) {
        scan_reply_empty(c->reply);
        return;
    }
    if (!scan_read_options(c, 3, SCAN_ALLOW_NOVALUES, &options))
        return;
    struct scan_reply scan = {.call = c, .options = &options};
    reply_array(c->reply, 2);
    struct reply_deferred cursor = reply_deferred_begin(c->reply);
    struct reply_deferred fields = reply_deferred_begin(c->reply);
    uint64_t next = hash_scan(o, options.cursor, (size_t)options.count, reply_scanned, &scan);
    reply_deferred_array(c->reply, &fields, scan.count);
    reply_deferred_bulk_integer(c->reply, &cursor, next);
}

/* ---- HRANDFIELD. */

/* What was drawn, as texts of our own. */
struct drawn {
    struct call *call;
    struct buf bytes;
    size_t *lens; /* owned; of field and value in turn */
    size_t count; /* of pairs */
};

static void draw(void *arg, struct bytes field, const struct hash_value *value)
{
    struct drawn *drawn = arg;
    if (call_field_is_due(drawn->call, value->expire_at_ms))
        return;
    buf_append_bytes(&drawn->bytes, field);
    buf_append_bytes(&drawn->bytes, value->value);
    drawn->lens[2 * drawn->count] = field.len;
    drawn->lens[2 * drawn->count + 1] = value->value.len;
    drawn->count++;
}

static void drawn_begin(struct drawn *drawn, struct call *c, const struct object *o, size_t count)
{
    *drawn = (struct drawn){.call = c, .lens = mem_alloc(count * 2 * sizeof(size_t) + 1)};
    hash_sample(o, call_random_position(c), count, draw, drawn);
}

static void drawn_end(struct drawn *drawn)
{
    buf_deinit(&drawn->bytes);
    mem_free(drawn->lens);
}

static void reply_pair(struct reply *r, struct bytes field, struct bytes value, bool with_value)
{
    if (with_value && r->resp > 2)
        reply_array(r, 2);
    reply_bulk(r, field);
    if (with_value)
        reply_bulk(r, value);
}

static void reply_pairs_begin(struct reply *r, uint64_t count, bool with_values)
{
    reply_array(r, with_values && r->resp == 2 ? 2 * count : count);
}

/* Each once. */
static void reply_different(struct call *c, const struct object *o, size_t count, bool with_values)
{
    struct drawn drawn;
    drawn_begin(&drawn, c, o, count);
    const uint8_t *at = drawn.bytes.data;
    reply_pairs_begin(c->reply, drawn.count, with_values);
    for (size_t i = 0; i < drawn.count; i++) {
        struct bytes field = bytes_make(at, drawn.lens[2 * i]);
        struct bytes value = bytes_make(at + field.len, drawn.lens[2 * i + 1]);
        reply_pair(c->reply, field, value, with_values);
        at += field.len + value.len;
    }
    drawn_end(&drawn);
}

/* Any of them maybe several times. */
static void reply_repeated(struct call *c, const struct object *o, uint64_t count, bool with_values)
{
    uint64_t all = hash_count(o);
    size_t window = all < REPEAT_WINDOW || !hash_is_table(o) ? (size_t)all : REPEAT_WINDOW;
    if (hash_is_table(o) && members_are_all(hash_members(o)))
        window = count < all ? (size_t)count : (size_t)all;
    struct drawn drawn;
    drawn_begin(&drawn, c, o, window);
    if (drawn.count == 0)
        count = 0;
    size_t *offs = mem_alloc(drawn.count * sizeof(*offs) + 1);
    size_t off = 0;
    for (size_t i = 0; i < drawn.count; i++) {
        offs[i] = off;
        off += drawn.lens[2 * i] + drawn.lens[2 * i + 1];
    }
    uint64_t random = call_random_position(c) | 1;
    reply_pairs_begin(c->reply, count, with_values);
    for (uint64_t n = 0; n < count; n++) {
        size_t i = member_random(&random) % drawn.count;
        const uint8_t *at = drawn.bytes.data + offs[i];
        struct bytes field = bytes_make(at, drawn.lens[2 * i]);
        struct bytes value = bytes_make(at + field.len, drawn.lens[2 * i + 1]);
        reply_pair(c->reply, field, value, with_values);
    }
    mem_free(offs);
    drawn_end(&drawn);
}

static bool read_count(struct call *c, int64_t *count, bool *with_values)
{
    *with_values = c->argc == 4;
    if (!call_arg_range(c, 2, -INT64_MAX, INT64_MAX, count, NULL))
        return false;
    if (c->argc > 4 || (*with_values && !call_arg_is(c, 3, "withvalues"))) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (*with_values && (*count < -INT64_MAX / 2 || *count > INT64_MAX / 2)) {
        reply_error_id(c->reply, ERROR_OUT_OF_RANGE);
        return false;
    }
    return true;
}

static void cmd_hrandfield(struct call *c)
{
    int64_t count = 1;
    bool with_values = false;
    bool counted = c->argc > 2;
    if (counted && !read_count(c, &count, &with_values))
        return;
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_HASH, &wrong_type);
    if (wrong_type)
        return;
    if (o != NULL && call_expire_hash(c, 0))
        o = NULL;
    if (!counted) {
        struct drawn drawn = {.count = 0};
        if (o != NULL)
            drawn_begin(&drawn, c, o, 1);
        if (drawn.count == 0)
            reply_null(c->reply);
        else
            reply_bulk(c->reply, bytes_make(drawn.bytes.data, drawn.lens[0]));
        drawn_end(&drawn);
    } else if (o == NULL || count == 0) {
        reply_array(c->reply, 0);
    } else if (count < 0) {
        reply_repeated(c, o, (uint64_t)-count, with_values);
    } else {
        uint64_t all = hash_count(o);
        reply_different(c, o, (uint64_t)count < all ? (size_t)count : (size_t)all, with_values);
    }
}

/* ---- The rows. */

const struct command cmd_hash_list_table[] = {
    {.name = "hgetall",
     .handler = cmd_hgetall,
     .arity = 2,
     .flags = CMD_READONLY,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .group = "hash",
     .since = "2.0.0",
     .complexity = "O(N) where N is the size of the hash.",
     .summary = "Returns all fields and values in a hash.",
     .tips = TEXTS("nondeterministic_output_order"),
     .args = ARGS(ARG("key", KEY))},
    {.name = "hkeys",
     .handler = cmd_hkeys,
     .arity = 2,
     .flags = CMD_READONLY,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .group = "hash",
     .since = "2.0.0",
     .complexity = "O(N) where N is the size of the hash.",
     .summary = "Returns all fields in a hash.",
     .tips = TEXTS("nondeterministic_output_order"),
     .args = ARGS(ARG("key", KEY))},
    {.name = "hrandfield",
     .handler = cmd_hrandfield,
     .arity = -2,
     .flags = CMD_READONLY,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_random,
     .group = "hash",
     .since = "6.2.0",
     .complexity = "O(N) where N is the number of fields returned",
     .summary = "Returns one or more random fields from a hash.",
     .tips = TEXTS("nondeterministic_output"),
     .args = ARGS(ARG("key", KEY),
                  ARG("options", BLOCK, .flags = ARG_OPTIONAL,
                      .children = ARGS(ARG("count", INTEGER),
                                       TOKEN("withvalues", "WITHVALUES", .flags = ARG_OPTIONAL))))},
    {.name = "hscan",
     .handler = cmd_hscan,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_scan,
     .group = "hash",
     .since = "2.8.0",
     .complexity =
         "O(1) for every call. O(N) for a complete iteration, including enough command calls for "
         "the cursor to return back to 0. N is the number of elements inside the collection.",
     .summary = "Iterates over fields and values of a hash.",
     .tips = TEXTS("nondeterministic_output"),
     .args = ARGS(ARG("key", KEY), ARG("cursor", INTEGER),
                  ARG("pattern", PATTERN, .token = "MATCH", .flags = ARG_OPTIONAL),
                  ARG("count", INTEGER, .token = "COUNT", .flags = ARG_OPTIONAL),
                  TOKEN("novalues", "NOVALUES", .flags = ARG_OPTIONAL, .since = "7.4.0"))},
    {.name = "hvals",
     .handler = cmd_hvals,
     .arity = 2,
     .flags = CMD_READONLY,
     .acl = ACL_HASH,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .group = "hash",
     .since = "2.0.0",
     .complexity = "O(N) where N is the size of the hash.",
     .summary = "Returns all values in a hash.",
     .tips = TEXTS("nondeterministic_output_order"),
     .args = ARGS(ARG("key", KEY))},
    {.name = NULL},
};
