#include "tests/support/model.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/checksum.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "tests/support/harness.h"

#define BUCKETS_MIN     64
#define SHOWN_BYTES_MAX 60
#define MODEL_DBS_MAX   16

struct item {
    struct item *next; /* in its bucket */
    uint64_t key_hash;
    uint64_t hash; /* of all of it: its part of the fingerprint */
    uint32_t db;
    int64_t expire_at_ms;
    struct buf key;
    struct buf value;
};

struct model {
    struct item **buckets; /* owned */
    size_t bucket_count;   /* a power of two */
    size_t count;
    size_t db_counts[MODEL_DBS_MAX];
    uint64_t fingerprint; /* of all items, combined by exclusive or */
};

/* --- the table --- */

static uint64_t hash_key(uint32_t db, struct bytes key)
{
    return hash64(db + 1, key.data, key.len);
}

static uint64_t hash_item(const struct item *item)
{
    uint64_t seed = item->key_hash ^ (uint64_t)item->expire_at_ms * 0x9E3779B97F4A7C15U;
    return hash64(seed, item->value.data, item->value.len) | 1;
}

struct model *model_create(void)
{
    struct model *model = mem_calloc(1, sizeof(*model));
    model->bucket_count = BUCKETS_MIN;
    model->buckets = mem_calloc(model->bucket_count, sizeof(*model->buckets));
    return model;
}

static void free_item(struct item *item)
{
    buf_deinit(&item->key);
    buf_deinit(&item->value);
    mem_free(item);
}

void model_destroy(struct model *model)
{
    if (model == NULL)
        return;
    for (size_t i = 0; i < model->bucket_count; i++) {
        while (model->buckets[i] != NULL) {
            struct item *item = model->buckets[i];
            model->buckets[i] = item->next;
            free_item(item);
        }
    }
    mem_free(model->buckets);
    mem_free(model);
}

static struct item **place_of(const struct model *model, uint32_t db, struct bytes key)
{
    uint64_t hash = hash_key(db, key);
    struct item **link = &model->buckets[hash & (model->bucket_count - 1)];
    while (*link != NULL && ((*link)->key_hash != hash || (*link)->db != db ||
                             !bytes_equal(buf_bytes(&(*link)->key), key)))
        link = &(*link)->next;
    return link;
}

static struct item *find(const struct model *model, uint32_t db, struct bytes key)
{
    return *place_of(model, db, key);
}

static void grow(struct model *model)
{
    struct item **old = model->buckets;
    size_t old_count = model->bucket_count;
    model->bucket_count *= 2;
    model->buckets = mem_calloc(model->bucket_count, sizeof(*model->buckets));
    for (size_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct item *item = old[i];
            old[i] = item->next;
            struct item **link = &model->buckets[item->key_hash & (model->bucket_count - 1)];
            item->next = *link;
            *link = item;
        }
    }
    mem_free(old);
}

/* The key's item, made without a value if there is none. To be ended by `changed`. */
static struct item *touch(struct model *model, uint32_t db, struct bytes key)
{
    assert_true(db < MODEL_DBS_MAX);
    struct item *item = find(model, db, key);
    if (item != NULL) {
        model->fingerprint ^= item->hash;
        return item;
    }
    if (model->count >= model->bucket_count)
        grow(model);
    item = mem_calloc(1, sizeof(*item));
    item->db = db;
    item->key_hash = hash_key(db, key);
    item->expire_at_ms = MODEL_NO_EXPIRE;
    buf_append_bytes(&item->key, key);
    struct item **link = &model->buckets[item->key_hash & (model->bucket_count - 1)];
    item->next = *link;
    *link = item;
    model->count++;
    model->db_counts[db]++;
    return item;
}

static void changed(struct model *model, struct item *item)
{
    item->hash = hash_item(item);
    model->fingerprint ^= item->hash;
}

static bool drop(struct model *model, uint32_t db, struct bytes key)
{
    struct item **link = place_of(model, db, key);
    struct item *item = *link;
    if (item == NULL)
        return false;
    *link = item->next;
    model->fingerprint ^= item->hash;
    model->count--;
    model->db_counts[db]--;
    free_item(item);
    return true;
}

static void store(struct model *model, uint32_t db, struct bytes key, struct bytes value,
                  int64_t expire_at_ms)
{
    struct item *item = touch(model, db, key);
    buf_clear(&item->value);
    buf_append_bytes(&item->value, value);
    item->expire_at_ms = expire_at_ms;
    changed(model, item);
}

void model_put(struct model *model, const struct model_entry *entry)
{
    store(model, entry->db, entry->key, entry->value, entry->expire_at_ms);
}

static struct model_entry entry_of(const struct item *item)
{
    return (struct model_entry){.db = item->db,
                                .key = buf_bytes(&item->key),
                                .value = buf_bytes(&item->value),
                                .expire_at_ms = item->expire_at_ms};
}

bool model_find(const struct model *model, uint32_t db, struct bytes key, struct model_entry *out)
{
    const struct item *item = find(model, db, key);
    if (item != NULL)
        *out = entry_of(item);
    return item != NULL;
}

size_t model_count(const struct model *model, uint32_t db)
{
    return db < MODEL_DBS_MAX ? model->db_counts[db] : 0;
}

size_t model_count_all(const struct model *model)
{
    return model->count;
}

uint64_t model_fingerprint(const struct model *model)
{
    return model->fingerprint;
}

static bool begins_with(struct bytes text, struct bytes prefix)
{
    return text.len >= prefix.len && memcmp(text.data, prefix.data, prefix.len) == 0;
}

struct model *model_copy(const struct model *model, struct bytes prefix)
{
    struct model *copy = model_create();
    for (size_t i = 0; i < model->bucket_count; i++) {
        for (const struct item *item = model->buckets[i]; item != NULL; item = item->next) {
            struct model_entry entry = entry_of(item);
            if (prefix.len == 0 || begins_with(entry.key, prefix))
                model_put(copy, &entry);
        }
    }
    return copy;
}

/* --- differences --- */

static void print_entry(const char *label, const struct model_entry *entry)
{
    struct buf key = {0};
    struct buf value = {0};
    struct bytes shown = entry->value;
    if (shown.len > SHOWN_BYTES_MAX)
        shown.len = SHOWN_BYTES_MAX;
    resp_render_quoted(entry->key, &key);
    resp_render_quoted(shown, &value);
    (void)fprintf(stderr, "%s db %u key %.*s = %zu bytes %.*s expires %lld\n", label, entry->db,
                  (int)key.len, (const char *)key.data, entry->value.len, (int)value.len,
                  (const char *)value.data, (long long)entry->expire_at_ms);
    buf_deinit(&key);
    buf_deinit(&value);
}

static bool differs(const struct model *model, const struct item *item, struct model_entry *out)
{
    return !model_find(model, item->db, buf_bytes(&item->key), out) ||
           out->expire_at_ms != item->expire_at_ms ||
           !bytes_equal(out->value, buf_bytes(&item->value));
}

size_t model_print_differences(const struct model *expected, const struct model *actual, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < expected->bucket_count; i++) {
        for (const struct item *item = expected->buckets[i]; item != NULL; item = item->next) {
            struct model_entry other = {.value = {0}};
            if (!differs(actual, item, &other) || ++count > max)
                continue;
            struct model_entry entry = entry_of(item);
            print_entry("expected", &entry);
            if (other.key.len != 0)
                print_entry("   found", &other);
            else
                (void)fprintf(stderr, "   found nothing\n");
        }
    }
    for (size_t i = 0; i < actual->bucket_count; i++) {
        for (const struct item *item = actual->buckets[i]; item != NULL; item = item->next) {
            if (find(expected, item->db, buf_bytes(&item->key)) != NULL || ++count > max)
                continue;
            struct model_entry entry = entry_of(item);
            print_entry("unexpected", &entry);
        }
    }
    return count;
}

/* --- requests --- */

struct request {
    struct model *model;
    uint32_t db;
    size_t argc;
    const struct bytes *argv;
    struct resp_reply *reply;
};

static void answer(struct request *r, enum resp_kind kind, struct bytes text)
{
    r->reply->kind = kind;
    buf_append_bytes(&r->reply->text, text);
}

static void answer_ok(struct request *r)
{
    answer(r, RESP_SIMPLE, bytes_text("OK"));
}

static void answer_integer(struct request *r, int64_t value)
{
    char digits[NUMBER_I64_CHARS_MAX];
    answer(r, RESP_INTEGER, bytes_make(digits, number_format_i64(value, digits)));
}

static void answer_value(struct request *r, const struct item *item)
{
    if (item == NULL)
        answer(r, RESP_NIL, bytes_make("", 0));
    else
        answer(r, RESP_BULK, buf_bytes(&item->value));
}

static int64_t integer_arg(const struct request *r, size_t index)
{
    int64_t value = 0;
    assert_true(index < r->argc);
    assert_true(number_parse_i64(r->argv[index], &value));
    return value;
}

static uint32_t db_arg(const struct request *r, size_t index)
{
    int64_t db = integer_arg(r, index);
    assert_true(db >= 0 && db < MODEL_DBS_MAX);
    return (uint32_t)db;
}

static struct item *first_key(const struct request *r)
{
    return find(r->model, r->db, r->argv[1]);
}

static void run_set(struct request *r)
{
    int64_t expire_at_ms = MODEL_NO_EXPIRE;
    const struct item *old = first_key(r);
    bool get = false;
    bool refused = false;
    for (size_t i = 3; i < r->argc; i++) {
        if (bytes_equal_nocase(r->argv[i], "pxat"))
            expire_at_ms = integer_arg(r, ++i);
        else if (bytes_equal_nocase(r->argv[i], "keepttl"))
            expire_at_ms = old == NULL ? MODEL_NO_EXPIRE : old->expire_at_ms;
        else if (bytes_equal_nocase(r->argv[i], "nx"))
            refused = old != NULL;
        else if (bytes_equal_nocase(r->argv[i], "xx"))
            refused = old == NULL;
        else if (bytes_equal_nocase(r->argv[i], "get"))
            get = true;
        else
            fail_msg("the model does not know this option of SET");
    }
    if (get)
        answer_value(r, old);
    else if (refused)
        answer(r, RESP_NIL, bytes_make("", 0));
    else
        answer_ok(r);
    if (!refused)
        store(r->model, r->db, r->argv[1], r->argv[2], expire_at_ms);
}

static void run_get(struct request *r)
{
    answer_value(r, first_key(r));
}

static void run_getdel(struct request *r)
{
    answer_value(r, first_key(r));
    (void)drop(r->model, r->db, r->argv[1]);
}

static void run_strlen(struct request *r)
{
    const struct item *item = first_key(r);
    answer_integer(r, item == NULL ? 0 : (int64_t)item->value.len);
}

/* Only with 0 <= from <= to. */
static void run_getrange(struct request *r)
{
    const struct item *item = first_key(r);
    size_t from = (size_t)integer_arg(r, 2);
    size_t to = (size_t)integer_arg(r, 3) + 1;
    size_t len = item == NULL ? 0 : item->value.len;
    if (to > len)
        to = len;
    answer(r, RESP_BULK,
           from < to ? bytes_make(item->value.data + from, to - from) : bytes_make("", 0));
}

static void run_append(struct request *r)
{
    struct item *item = touch(r->model, r->db, r->argv[1]);
    buf_append_bytes(&item->value, r->argv[2]);
    changed(r->model, item);
    answer_integer(r, (int64_t)item->value.len);
}

static void overwrite(struct item *item, size_t off, struct bytes bytes)
{
    size_t end = off + bytes.len;
    if (end > item->value.len) {
        size_t grown = end - item->value.len;
        memset(buf_reserve(&item->value, grown), 0, grown);
        item->value.len = end;
    }
    memcpy(item->value.data + off, bytes.data, bytes.len);
}

/* Only with bytes to write. */
static void run_setrange(struct request *r)
{
    assert_true(r->argv[3].len != 0);
    struct item *item = touch(r->model, r->db, r->argv[1]);
    overwrite(item, (size_t)integer_arg(r, 2), r->argv[3]);
    changed(r->model, item);
    answer_integer(r, (int64_t)item->value.len);
}

static void run_setbit(struct request *r)
{
    struct item *item = touch(r->model, r->db, r->argv[1]);
    size_t bit = (size_t)integer_arg(r, 2);
    uint8_t mask = (uint8_t)(0x80 >> bit % 8);
    uint8_t byte = bit / 8 < item->value.len ? item->value.data[bit / 8] : 0;
    answer_integer(r, (byte & mask) != 0);
    byte = (uint8_t)(integer_arg(r, 3) != 0 ? byte | mask : byte & ~mask);
    overwrite(item, bit / 8, bytes_make(&byte, 1));
    changed(r->model, item);
}

static void run_incrby(struct request *r)
{
    int64_t value = 0;
    struct item *item = touch(r->model, r->db, r->argv[1]);
    bool is_number = item->value.len == 0 || number_parse_i64(buf_bytes(&item->value), &value);
    assert_true(is_number);
    value += r->argc > 2 ? integer_arg(r, 2) : 1;
    char digits[NUMBER_I64_CHARS_MAX];
    buf_clear(&item->value);
    buf_append(&item->value, digits, number_format_i64(value, digits));
    changed(r->model, item);
    answer_integer(r, value);
}

static void run_mset(struct request *r)
{
    for (size_t i = 1; i + 1 < r->argc; i += 2)
        store(r->model, r->db, r->argv[i], r->argv[i + 1], MODEL_NO_EXPIRE);
    answer_ok(r);
}

static void run_del(struct request *r)
{
    int64_t count = 0;
    for (size_t i = 1; i < r->argc; i++)
        count += drop(r->model, r->db, r->argv[i]);
    answer_integer(r, count);
}

static void set_deadline(struct request *r, struct item *item, int64_t expire_at_ms)
{
    if (item != NULL) {
        item = touch(r->model, r->db, r->argv[1]);
        item->expire_at_ms = expire_at_ms;
        changed(r->model, item);
    }
}

static void run_pexpireat(struct request *r)
{
    struct item *item = first_key(r);
    answer_integer(r, item != NULL);
    set_deadline(r, item, integer_arg(r, 2));
}

static void run_persist(struct request *r)
{
    struct item *item = first_key(r);
    answer_integer(r, item != NULL && item->expire_at_ms != MODEL_NO_EXPIRE);
    set_deadline(r, item, MODEL_NO_EXPIRE);
}

/* Copies a value to another place and tells whether there was one. */
static bool copy_item(struct request *r, uint32_t db, struct bytes to)
{
    const struct item *item = first_key(r);
    if (item == NULL)
        return false;
    struct buf value = {0};
    int64_t expire_at_ms = item->expire_at_ms;
    buf_append_bytes(&value, buf_bytes(&item->value));
    store(r->model, db, to, buf_bytes(&value), expire_at_ms);
    buf_deinit(&value);
    return true;
}

static void run_rename(struct request *r)
{
    if (bytes_equal(r->argv[1], r->argv[2])) {
        answer(r, RESP_ERROR, bytes_text("ERR the model takes different keys"));
    } else if (copy_item(r, r->db, r->argv[2])) {
        (void)drop(r->model, r->db, r->argv[1]);
        answer_ok(r);
    } else {
        answer(r, RESP_ERROR, bytes_text("ERR no such key"));
    }
}

/* COPY from to [REPLACE] */
static void run_copy(struct request *r)
{
    bool taken = find(r->model, r->db, r->argv[2]) != NULL;
    answer_integer(r, (!taken || r->argc > 3) && copy_item(r, r->db, r->argv[2]));
}

static void run_move(struct request *r)
{
    uint32_t db = db_arg(r, 2);
    bool moved = find(r->model, db, r->argv[1]) == NULL && copy_item(r, db, r->argv[1]);
    if (moved)
        (void)drop(r->model, r->db, r->argv[1]);
    answer_integer(r, moved);
}

/* Puts all items of two databases (or of one and none) elsewhere; `to` UINT32_MAX drops them. */
static void rearrange(struct model *model, uint32_t a, uint32_t a_to, uint32_t b, uint32_t b_to)
{
    struct model *moved = model_create();
    for (size_t i = 0; i < model->bucket_count; i++) {
        for (const struct item *item = model->buckets[i]; item != NULL; item = item->next) {
            struct model_entry entry = entry_of(item);
            entry.db = item->db == a ? a_to : item->db == b ? b_to : item->db;
            if (entry.db != UINT32_MAX)
                model_put(moved, &entry);
        }
    }
    struct model swap = *model;
    *model = *moved;
    *moved = swap;
    model_destroy(moved);
}

static void run_flushdb(struct request *r)
{
    rearrange(r->model, r->db, UINT32_MAX, r->db, UINT32_MAX);
    answer_ok(r);
}

static void run_swapdb(struct request *r)
{
    uint32_t a = db_arg(r, 1);
    uint32_t b = db_arg(r, 2);
    rearrange(r->model, a, b, b, a);
    answer_ok(r);
}

static const struct {
    const char *name;
    size_t argc_min;
    void (*run)(struct request *r);
} requests[] = {
    {"set", 3, run_set},           {"get", 2, run_get},
    {"getdel", 2, run_getdel},     {"strlen", 2, run_strlen},
    {"getrange", 4, run_getrange}, {"append", 3, run_append},
    {"setrange", 4, run_setrange}, {"setbit", 4, run_setbit},
    {"incr", 2, run_incrby},       {"incrby", 3, run_incrby},
    {"mset", 3, run_mset},         {"del", 2, run_del},
    {"unlink", 2, run_del},        {"pexpireat", 3, run_pexpireat},
    {"persist", 2, run_persist},   {"rename", 3, run_rename},
    {"copy", 3, run_copy},         {"move", 3, run_move},
    {"flushdb", 1, run_flushdb},   {"swapdb", 3, run_swapdb},
};

void model_apply(struct model *model, uint32_t db, size_t argc, const struct bytes *argv,
                 struct resp_reply *reply)
{
    *reply = (struct resp_reply){.kind = RESP_NIL};
    struct request r = {.model = model, .db = db, .argc = argc, .argv = argv, .reply = reply};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        if (!bytes_equal_nocase(argv[0], requests[i].name))
            continue;
        assert_true(argc >= requests[i].argc_min);
        requests[i].run(&r);
        return;
    }
    fail_msg("the model does not know %.*s", (int)argv[0].len, (const char *)argv[0].data);
}
