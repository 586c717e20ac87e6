/* HyperLogLog: PFADD, PFCOUNT, PFMERGE, and PFDEBUG and PFSELFTEST for tests. Values are strings
 * (storage/types/hyperloglog.h). Source: hyperloglog.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/string_edit.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/services.h"
#include "storage/journal.h"
#include "storage/types/hyperloglog.h"

#include "codec/mem.h"

#include <math.h>

#define DAMAGED_ERROR "INVALIDOBJ Corrupted HLL object detected"
#define CACHED_OFF    8

/* Replies and returns false unless the object is a HyperLogLog. `*value_out` are its bytes: its own
 * until it changes, or those of `scratch` when they are not in one piece. */
static bool view(struct call *c, const struct object *o, struct buf *scratch,
                 struct bytes *value_out)
{
    char few[STRING_SCRATCH_BYTES];
    if (o->type != OBJECT_STRING) {
        reply_error_id(c->reply, ERROR_WRONGTYPE);
        return false;
    }
    bool valid = false;
    if (!string_view(o, few, value_out) && string_len(o) <= HLL_DENSE_BYTES) {
        buf_clear(scratch);
        string_append_to(o, scratch);
        *value_out = buf_bytes(scratch);
        valid = true;
    }
    valid = (valid || o->encoding != ENCODING_CHUNKED) && hll_is_valid(*value_out);
    if (!valid)
        reply_error(c->reply, "WRONGTYPE Key is not a valid HyperLogLog string value.");
    return valid;
}

/* Stores a changed value with its cached cardinality out of date; the key keeps its expiry. */
static void store(struct call *c, int index, struct buf *hll)
{
    uint64_t cached;
    (void)hll_cached(buf_bytes(hll), &cached);
    hll_encode_cached(cached, false, hll->data + CACHED_OFF);
    struct keyref *ref = &c->keys[index];
    const struct object *old = ks_find(c->ks, ref);
    int64_t expire_at_ms = old == NULL ? OBJECT_NO_EXPIRE : old->expire_at_ms;
    struct string_plan plan;
    string_plan_text(ks_string_rules(c->ks), buf_bytes(hll), true, &plan);
    struct object *o = string_store(c, index, &plan);
    if (expire_at_ms != OBJECT_NO_EXPIRE)
        ks_set_expire(c->ks, ref->db, o, expire_at_ms);
}

/* Writes the cached cardinality of a value in place. */
static void write_cached(struct call *c, int index, uint64_t cardinality, bool valid)
{
    uint8_t bytes[8];
    hll_encode_cached(cardinality, valid, bytes);
    struct object *o = ks_find(c->ks, &c->keys[index]);
    o = string_edit_begin(c, index, o, string_len(o));
    string_write(o, ks_string_rules(c->ks), CACHED_OFF, bytes_make(bytes, sizeof(bytes)));
    string_edit_end(c, index, o);
}

/* ---- PFADD */

/* Changes a dense value in place. Returns how many registers changed. */
static uint64_t add_dense(struct call *c)
{
    uint64_t changes = 0;
    struct buf scratch = {0};
    struct bytes value;
    struct object *o = ks_find(c->ks, &c->keys[0]);
    for (int arg = 2; arg < c->argc; arg++) {
        uint8_t bytes[2];
        size_t off;
        if (!view(c, o, &scratch, &value) || !hll_dense_change(value, c->argv[arg], &off, bytes))
            continue;
        o = string_edit_begin(c, 0, o, string_len(o));
        string_write(o, ks_string_rules(c->ks), off, bytes_make(bytes, sizeof(bytes)));
        string_edit_end(c, 0, o);
        changes++;
    }
    uint64_t cached;
    if (changes != 0) {
        if (view(c, o, &scratch, &value) && hll_cached(value, &cached))
            write_cached(c, 0, cached, false);
        call_key_modified(c, &c->keys[0]);
    }
    buf_deinit(&scratch);
    return changes;
}

/* Works on a copy, so that a damaged value stays as it is. False: an error was replied. */
static bool add_copied(struct call *c, struct buf *hll, bool is_new, uint64_t *changes)
{
    *changes = is_new ? 1 : 0;
    for (int arg = 2; arg < c->argc; arg++) {
        enum hll_added added =
            hll_add(hll, c->argv[arg], c->services->config->hll_sparse_max_bytes);
        if (added == HLL_DAMAGED) {
            reply_error(c->reply, DAMAGED_ERROR);
            return false;
        }
        *changes += added == HLL_CHANGED;
    }
    if (*changes != 0)
        store(c, 0, hll);
    return true;
}

static void cmd_pfadd(struct call *c)
{
    const struct object *o = call_find_write(c, 0);
    struct buf hll = {0};
    struct bytes value;
    uint64_t changes = 0;
    if (o != NULL && !view(c, o, &hll, &value))
        goto out;
    if (o != NULL && hll_is_dense(value)) {
        changes = add_dense(c);
    } else {
        if (o == NULL) {
            hll_create(&hll);
        } else if (value.data != hll.data) {
            buf_clear(&hll);
            buf_append_bytes(&hll, value);
        }
        if (!add_copied(c, &hll, o == NULL, &changes))
            goto out;
    }
    if (changes != 0) {
        call_notify(c, NOTIFY_STRING, "pfadd", c->keys[0].key);
        call_changed(c, changes);
    }
    reply_integer(c->reply, changes != 0);
out:
    buf_deinit(&hll);
}

/* ---- PFCOUNT, PFMERGE */

/* Merges the existing ones of the keys from..c->key_count-1. False: an error was replied. */
static bool merge_keys(struct call *c, struct hll_registers *registers, bool *dense_out)
{
    struct buf scratch = {0};
    bool sound = true;
    for (int i = 0; i < c->key_count && sound; i++) {
        struct bytes value;
        const struct object *o = call_find_read(c, i);
        if (o == NULL)
            continue;
        sound = view(c, o, &scratch, &value);
        if (!sound)
            break;
        *dense_out = *dense_out || hll_is_dense(value);
        sound = hll_merge(registers, value);
        if (!sound)
            reply_error(c->reply, DAMAGED_ERROR);
    }
    buf_deinit(&scratch);
    return sound;
}

/* The cache is part of the value: replicas are told, as Redis tells them. When nothing can be
 * written the answer is computed only. */
static void count_one(struct call *c, struct hll_registers *registers)
{
    const struct object *o = call_find_read(c, 0);
    struct buf scratch = {0};
    struct bytes value;
    uint64_t cardinality = 0;
    if (o == NULL) {
        reply_integer(c->reply, 0);
    } else if (view(c, o, &scratch, &value)) {
        if (hll_cached(value, &cardinality)) {
            reply_integer(c->reply, (int64_t)cardinality);
        } else if (!hll_merge(registers, value)) {
            reply_error(c->reply, DAMAGED_ERROR);
        } else {
            cardinality = hll_estimate(registers);
            reply_integer(c->reply, (int64_t)cardinality);
            if (!journal_failed(c->services->journal, NULL)) {
                write_cached(c, 0, cardinality, true);
                call_key_modified(c, &c->keys[0]);
                call_changed(c, 1);
            }
        }
    }
    buf_deinit(&scratch);
}

static void cmd_pfcount(struct call *c)
{
    struct hll_registers *registers = mem_calloc(1, sizeof(*registers));
    bool dense = false;
    if (c->key_count == 1)
        count_one(c, registers);
    else if (merge_keys(c, registers, &dense))
        reply_integer(c->reply, (int64_t)hll_estimate(registers));
    mem_free(registers);
}

/* The specifications do not allow for a merge of nothing, Redis does. */
static int keys_of_pfmerge(const struct bytes *argv, int argc, struct key_arg *out, int max)
{
    (void)argv;
    for (int i = 1; i < argc && i <= max; i++)
        out[i - 1] = (struct key_arg){
            .index = i, .flags = i == 1 ? KEY_RW | KEY_ACCESS | KEY_INSERT : KEY_RO | KEY_ACCESS};
    return argc - 1;
}

static void cmd_pfmerge(struct call *c)
{
    struct hll_registers *registers = mem_calloc(1, sizeof(*registers));
    struct buf hll = {0};
    struct bytes value;
    bool dense = false;
    if (!merge_keys(c, registers, &dense))
        goto out;
    const struct object *o = call_find_write(c, 0);
    if (o == NULL) {
        hll_create(&hll);
    } else if (!view(c, o, &hll, &value)) {
        goto out;
    } else if (value.data != hll.data) {
        buf_clear(&hll);
        buf_append_bytes(&hll, value);
    }
    if (dense && !hll_to_dense(&hll)) {
        reply_error(c->reply, DAMAGED_ERROR);
        goto out;
    }
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        if (registers->values[i] != 0)
            (void)hll_raise(&hll, i, registers->values[i],
                            c->services->config->hll_sparse_max_bytes);
    store(c, 0, &hll);
    call_notify(c, NOTIFY_STRING, "pfadd", c->keys[0].key);
    call_changed(c, 1);
    reply_ok(c->reply);
out:
    buf_deinit(&hll);
    mem_free(registers);
}

/* ---- PFDEBUG, PFSELFTEST */

static void reply_registers(struct call *c, struct bytes value)
{
    struct hll_registers *registers = mem_calloc(1, sizeof(*registers));
    (void)hll_merge(registers, value);
    reply_array(c->reply, HLL_REGISTERS);
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        reply_integer(c->reply, registers->values[i]);
    mem_free(registers);
}

/* Makes a sparse value dense for GETREG and TODENSE. False: an error was replied. */
static bool make_dense(struct call *c, struct bytes value, bool *converted)
{
    struct buf hll = {0};
    *converted = false;
    if (hll_is_dense(value))
        return true;
    buf_append_bytes(&hll, value);
    bool sound = hll_to_dense(&hll);
    if (sound) {
        store(c, 0, &hll);
        call_changed(c, 1);
        *converted = true;
    } else {
        reply_error(c->reply, DAMAGED_ERROR);
    }
    buf_deinit(&hll);
    return sound;
}

static void describe(struct call *c, struct bytes value)
{
    struct buf text = {0};
    if (hll_is_dense(value)) {
        reply_error(c->reply, "ERR HLL encoding is not sparse");
        return;
    }
    hll_describe(value, &text);
    reply_bulk(c->reply, buf_bytes(&text));
    buf_deinit(&text);
}

static void cmd_pfdebug(struct call *c)
{
    const struct object *o = call_find_write(c, 0);
    struct buf scratch = {0};
    struct bytes value;
    bool converted;
    if (o == NULL) {
        reply_error(c->reply, "ERR The specified key does not exist");
        return;
    }
    if (!view(c, o, &scratch, &value))
        goto out;
    if (call_arg_is(c, 1, "getreg")) {
        if (make_dense(c, value, &converted) &&
            view(c, ks_find(c->ks, &c->keys[0]), &scratch, &value))
            reply_registers(c, value);
    } else if (call_arg_is(c, 1, "decode")) {
        describe(c, value);
    } else if (call_arg_is(c, 1, "encoding")) {
        reply_simple(c->reply, hll_is_dense(value) ? "dense" : "sparse");
    } else if (call_arg_is(c, 1, "todense")) {
        if (make_dense(c, value, &converted))
            reply_integer(c->reply, converted);
    } else {
        reply_error_format(c->reply, "ERR Unknown PFDEBUG subcommand '%.*s'",
                           (int)(c->argv[1].len < 128 ? c->argv[1].len : 128),
                           (const char *)c->argv[1].data);
    }
out:
    buf_deinit(&scratch);
}

/* Adds many numbers to a sparse and to a dense value: both must agree, and estimate well. */
static void cmd_pfselftest(struct call *c)
{
    const uint32_t count = 100000;
    struct hll_registers *registers = mem_calloc(1, sizeof(*registers));
    struct buf sparse = {0};
    struct buf dense = {0};
    const char *error = NULL;
    hll_create(&sparse);
    hll_create(&dense);
    (void)hll_to_dense(&dense);
    for (uint32_t n = 1; n <= count && error == NULL; n++) {
        uint64_t number = n * UINT64_C(0x9e3779b97f4a7c15);
        struct bytes element = bytes_make(&number, sizeof(number));
        if (hll_add(&sparse, element, 3000) != hll_add(&dense, element, 3000))
            error = "ERR TESTFAILED sparse and dense differ";
        if ((n & (n - 1)) != 0 && n != count)
            continue;
        memset(registers, 0, sizeof(*registers));
        uint64_t estimate = hll_merge(registers, buf_bytes(&dense)) ? hll_estimate(registers) : 0;
        /* the standard error is 1.04 / sqrt(registers), about 0.8 % */
        if (fabs((double)estimate - n) > 4 * 1.04 / sqrt(HLL_REGISTERS) * n + 10)
            error = "ERR TESTFAILED the estimate is too far off";
    }
    if (error == NULL)
        reply_ok(c->reply);
    else
        reply_error(c->reply, error);
    buf_deinit(&sparse);
    buf_deinit(&dense);
    mem_free(registers);
}

/* ---- The rows. */

const struct command cmd_hyperloglog_table[] = {
    {.name = "pfadd",
     .handler = cmd_pfadd,
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HYPERLOGLOG,
     .keys = {KEY_AT(1, KEY_RW | KEY_INSERT)},
     .group = "hyperloglog",
     .since = "2.8.9",
     .complexity = "O(1) to add every element.",
     .summary = "Adds elements to a HyperLogLog key. Creates the key if it doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("element", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "pfcount",
     .handler = cmd_pfcount,
     .arity = -2,
     .flags = CMD_READONLY | CMD_MAY_REPLICATE,
     .acl = ACL_HYPERLOGLOG,
     .keys = {KEY_RANGE(1, -1, 1, KEY_RW | KEY_ACCESS)},
     .group = "hyperloglog",
     .since = "2.8.9",
     .complexity = "O(1) with a very small average constant time when called with a single key. "
                   "O(N) with N being the number of keys, and much bigger constant times, when "
                   "called with multiple keys.",
     .summary =
         "Returns the approximated cardinality of the set(s) observed by the HyperLogLog key(s).",
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE))},
    {.name = "pfdebug",
     .handler = cmd_pfdebug,
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_ADMIN | CMD_SYSCMD,
     .acl = ACL_HYPERLOGLOG,
     .keys = {KEY_AT(2, KEY_RW | KEY_ACCESS)},
     .group = "hyperloglog",
     .since = "2.8.9",
     .complexity = "N/A",
     .summary = "Internal commands for debugging HyperLogLog values.",
     .args = ARGS(ARG("subcommand", STRING), ARG("key", KEY))},
    {.name = "pfmerge",
     .handler = cmd_pfmerge,
     .keys_fn = keys_of_pfmerge,
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_HYPERLOGLOG,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_INSERT),
              KEY_RANGE(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .group = "hyperloglog",
     .since = "2.8.9",
     .complexity = "O(N) to merge N HyperLogLogs, but with high constant times.",
     .summary = "Merges one or more HyperLogLog values into a single key.",
     .args = ARGS(ARG("destkey", KEY), ARG("sourcekey", KEY, .key_spec_index = 1,
                                           .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "pfselftest",
     .handler = cmd_pfselftest,
     .arity = 1,
     .flags = CMD_ADMIN | CMD_SYSCMD,
     .acl = ACL_HYPERLOGLOG,
     .group = "hyperloglog",
     .since = "2.8.9",
     .complexity = "N/A",
     .summary = "An internal command for testing HyperLogLog values."},
    {.name = NULL},
};
