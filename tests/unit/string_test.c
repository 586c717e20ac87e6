/* Goal: a string reads the same whatever the holding, through every change, cut, drop and load.
 * Method: random operations on strings against a plain byte array, with small thresholds so that
 * all holdings and the steps between them occur; large strings have a pretended disk, on which each
 * cut must leave exactly the bytes of the moment it began. */
#include "tests/support/harness.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "storage/types/string.h"

#include <stdlib.h>

#define MODEL_BYTES_MAX 3000
#define DISK_CHUNKS_MAX 600

static uint64_t next_id(void *arg)
{
    return ++*(uint64_t *)arg;
}

static struct object *object_make(const char *key, size_t inline_len)
{
    size_t key_len = strlen(key);
    struct object *o = mem_alloc(offsetof(struct object, key) + key_len + inline_len + 8);
    memset(o, 0, sizeof(*o));
    o->expire_at_ms = OBJECT_NO_EXPIRE;
    o->key_len = (uint32_t)key_len;
    memcpy(o->key, key, key_len);
    return o;
}

static void object_free(struct object *o)
{
    object_free_fn *free_value;
    void *value = string_take(o, &free_value);
    if (value != NULL)
        free_value(value);
    mem_free(o);
}

static struct object *object_plan(const struct string_plan *plan, const struct string_rules *rules)
{
    struct object *o = object_make("some key", plan->inline_len);
    string_fill(o, plan, rules);
    return o;
}

static struct object *object_of(struct bytes value, const struct string_rules *rules)
{
    struct string_plan plan;
    string_plan(rules, value, &plan);
    return object_plan(&plan, rules);
}

static void assert_value(const struct object *o, struct bytes expected)
{
    struct buf all = {0};
    string_append_to(o, &all);
    assert_int_equal(string_len(o), expected.len);
    assert_bytes(buf_bytes(&all), expected);
    buf_deinit(&all);
}

/* ---- Holdings. */

struct holding_case {
    const char *value;
    size_t len; /* 0: of the text */
    uint8_t encoding;
    const char *name;
};

static const struct holding_case holding_cases[] = {
    {"", 0, ENCODING_INLINE, "embstr"},
    {"0", 0, ENCODING_INT, "int"},
    {"-1", 0, ENCODING_INT, "int"},
    {"-0", 0, ENCODING_INLINE, "embstr"},
    {"01", 0, ENCODING_INLINE, "embstr"},
    {"+1", 0, ENCODING_INLINE, "embstr"},
    {" 1", 0, ENCODING_INLINE, "embstr"},
    {"9223372036854775807", 0, ENCODING_INT, "int"},
    {"-9223372036854775808", 0, ENCODING_INT, "int"},
    {"9223372036854775808", 0, ENCODING_INLINE, "embstr"},
    {"-9223372036854775809", 0, ENCODING_INLINE, "embstr"},
    {"3.5", 0, ENCODING_INLINE, "embstr"},
    {NULL, 44, ENCODING_INLINE, "embstr"},
    {NULL, 45, ENCODING_INLINE, "raw"},
    {NULL, STRING_INLINE_BYTES_MAX, ENCODING_INLINE, "raw"},
    {NULL, STRING_INLINE_BYTES_MAX + 1, ENCODING_HEAP, "raw"},
    {NULL, 65536, ENCODING_HEAP, "raw"},
    {NULL, 65537, ENCODING_CHUNKED, "raw"},
    {NULL, 200000, ENCODING_CHUNKED, "raw"},
};

static struct bytes pattern(size_t len)
{
    static uint8_t bytes[200000];
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251 + 1);
    return bytes_make(bytes, len);
}

static void values_are_held_by_their_size_and_shape(void **state)
{
    (void)state;
    uint64_t ids = 0;
    struct string_rules rules = {
        .large_bytes = 65536, .chunk_bytes = RECORD_CHUNK_BYTES, .new_id = next_id, .arg = &ids};
    for (size_t i = 0; i < sizeof(holding_cases) / sizeof(holding_cases[0]); i++) {
        const struct holding_case *hc = &holding_cases[i];
        struct bytes value = hc->value != NULL ? bytes_text(hc->value) : pattern(hc->len);
        struct object *o = object_of(value, &rules);
        if (o->encoding != hc->encoding || strcmp(string_encoding_name(o), hc->name) != 0)
            fail_msg("case %zu: encoding %d %s", i, o->encoding, string_encoding_name(o));
        assert_value(o, value);
        assert_int_equal(o->large, hc->encoding == ENCODING_CHUNKED);
        object_free(o);
    }
}

static void integers_are_read_from_any_small_holding(void **state)
{
    (void)state;
    uint64_t ids = 0;
    struct string_rules rules = {
        .large_bytes = 64, .chunk_bytes = 16, .new_id = next_id, .arg = &ids};
    int64_t value = 0;
    struct object *o = object_of(bytes_text("41"), &rules);
    assert_true(string_integer(o, &value));
    assert_int_equal(value, 41);
    string_set_integer(o, -7);
    assert_value(o, bytes_text("-7"));
    string_write(o, &rules, 0, bytes_text("12"));
    assert_true(string_integer(o, &value));
    assert_int_equal(value, 12);
    assert_string_equal(string_encoding_name(o), "raw");
    string_set_integer(o, 13);
    assert_string_equal(string_encoding_name(o), "int");
    string_write(o, &rules, 2, bytes_text("x"));
    assert_false(string_integer(o, &value));
    object_free(o);

    struct string_plan plan;
    string_plan_text(&rules, bytes_text("5"), false, &plan);
    o = object_plan(&plan, &rules);
    assert_string_equal(string_encoding_name(o), "embstr");
    assert_true(string_integer(o, &value));
    assert_int_equal(value, 5);
    object_free(o);
    o = object_of(pattern(100), &rules);
    assert_false(string_integer(o, &value));
    object_free(o);
}

static void heap_growth_doubles_up_to_the_large_threshold(void **state)
{
    (void)state;
    uint64_t ids = 0;
    struct string_rules rules = {
        .large_bytes = 65536, .chunk_bytes = RECORD_CHUNK_BYTES, .new_id = next_id, .arg = &ids};
    struct object *o = object_of(pattern(5000), &rules);
    assert_true(string_bytes(o) < 5000 + 5000 / 4 + 64);
    string_write(o, &rules, 5999, bytes_text("x"));
    assert_true(string_bytes(o) >= 12000);
    string_write(o, &rules, 39999, bytes_text("x"));
    assert_true(string_bytes(o) >= 65536 && string_bytes(o) < 90000);
    string_write(o, &rules, 65535, bytes_text("x"));
    assert_int_equal(o->encoding, ENCODING_HEAP);
    string_write(o, &rules, 65536, bytes_text("x"));
    assert_int_equal(o->encoding, ENCODING_CHUNKED);
    assert_int_equal(string_object_id(o), 1);
    object_free(o);
}

static void sparse_string_takes_memory_for_what_was_written_only(void **state)
{
    (void)state;
    uint64_t ids = 0;
    struct string_rules rules = {
        .large_bytes = 65536, .chunk_bytes = RECORD_CHUNK_BYTES, .new_id = next_id, .arg = &ids};
    struct object *o = object_of(bytes_text("a"), &rules);
    string_write(o, &rules, ((uint64_t)512 << 20) - 1, bytes_text("z"));
    assert_int_equal(string_len(o), (uint64_t)512 << 20);
    assert_true(string_bytes(o) < 700000);
    assert_int_equal(string_dirty_bytes(o), RECORD_LARGE_STRING_BYTES + 2 * RECORD_CHUNK_BYTES);
    uint8_t edge[3];
    assert_int_equal(string_read(o, ((uint64_t)512 << 20) - 2, edge, 3), 2);
    assert_int_equal(edge[0], 0);
    assert_int_equal(edge[1], 'z');
    assert_int_equal(string_read(o, UINT64_MAX - 1, edge, 3), 0);
    object_free(o);
}

/* ---- The model. */

struct disk_chunk {
    uint64_t id;
    uint32_t index;
    struct buf bytes;
};

struct pending_chunk {
    uint64_t id;
    uint32_t index;
    struct string_chunk *chunk;
};

/* One string, what it must read as, and its elements on the pretended disk. */
struct world {
    struct string_rules rules;
    uint64_t ids;
    uint64_t random;
    struct object *o;
    uint8_t model[MODEL_BYTES_MAX];
    size_t len;
    struct disk_chunk disk[DISK_CHUNKS_MAX];
    size_t disk_count;
    struct pending_chunk pending[DISK_CHUNKS_MAX];
    size_t pending_count;
    bool cut_runs;
    uint64_t cut_id; /* the object's id when the cut began; 0: not chunked */
    uint8_t cut_model[MODEL_BYTES_MAX];
    size_t cut_len;
};

static uint64_t pick(struct world *w, uint64_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random % below;
}

static struct bytes random_bytes(struct world *w, size_t len, uint8_t *out)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(pick(w, 3) == 0 ? 0 : pick(w, 256));
    return bytes_make(out, len);
}

static struct disk_chunk *disk_find(struct world *w, uint64_t id, uint32_t index)
{
    for (size_t i = 0; i < w->disk_count; i++) {
        if (w->disk[i].id == id && w->disk[i].index == index)
            return &w->disk[i];
    }
    return NULL;
}

static void disk_put(struct world *w, uint64_t id, uint32_t index, struct bytes element)
{
    struct disk_chunk *chunk = disk_find(w, id, index);
    if (chunk == NULL) {
        assert_true(w->disk_count < DISK_CHUNKS_MAX);
        chunk = &w->disk[w->disk_count++];
        *chunk = (struct disk_chunk){.id = id, .index = index};
    }
    buf_clear(&chunk->bytes);
    buf_append_bytes(&chunk->bytes, element);
}

static void disk_forget_others(struct world *w, uint64_t id)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->disk_count; i++) {
        if (w->disk[i].id == id)
            w->disk[kept++] = w->disk[i];
        else
            buf_deinit(&w->disk[i].bytes);
    }
    w->disk_count = kept;
}

/* Loads what the range needs, as the executor would; each missing chunk is listed once. */
static void load(struct world *w, uint64_t from, uint64_t to)
{
    uint32_t missing[DISK_CHUNKS_MAX];
    size_t count = string_missing(w->o, from, to, missing, DISK_CHUNKS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct disk_chunk *chunk = disk_find(w, string_object_id(w->o), missing[i]);
        struct bytes element = {0};
        if (chunk != NULL)
            element = buf_bytes(&chunk->bytes);
        assert_status(string_chunked_install(w->o, missing[i], element, chunk != NULL), ST_OK);
    }
    assert_int_equal(string_missing(w->o, from, to, NULL, 0), 0);
}

static void keep_chunk(void *arg, uint64_t id, uint32_t index, struct string_chunk *chunk)
{
    struct world *w = arg;
    assert_true(w->pending_count < DISK_CHUNKS_MAX);
    w->pending[w->pending_count++] =
        (struct pending_chunk){.id = id, .index = index, .chunk = chunk};
}

static void cut_begin(struct world *w)
{
    if (w->cut_runs)
        return;
    w->cut_runs = true;
    w->cut_id = string_object_id(w->o);
    memcpy(w->cut_model, w->model, w->len);
    w->cut_len = w->len;
    if (w->o->encoding == ENCODING_CHUNKED) {
        string_chunked_take_dirty(w->o, keep_chunk, w);
        assert_int_equal(string_dirty_bytes(w->o), RECORD_LARGE_STRING_BYTES);
    }
}

static void cut_apply(struct world *w)
{
    if (!w->cut_runs)
        return;
    w->cut_runs = false;
    for (size_t i = 0; i < w->pending_count; i++) {
        struct pending_chunk *p = &w->pending[i];
        disk_put(w, p->id, p->index, string_chunk_element(p->chunk));
        string_chunk_release(p->chunk);
    }
    w->pending_count = 0;
    if (w->cut_id != 0) {
        for (size_t at = 0; at < w->cut_len; at++) {
            struct disk_chunk *chunk =
                disk_find(w, w->cut_id, (uint32_t)(at / w->rules.chunk_bytes));
            size_t in_chunk = at % w->rules.chunk_bytes;
            uint8_t byte =
                chunk != NULL && in_chunk < chunk->bytes.len ? chunk->bytes.data[in_chunk] : 0;
            assert_int_equal(byte, w->cut_model[at]);
        }
    }
    disk_forget_others(w, string_object_id(w->o));
}

static void set(struct world *w, struct bytes value)
{
    object_free(w->o);
    w->o = object_of(value, &w->rules);
    memcpy(w->model, value.data, value.len);
    w->len = value.len;
}

static void step_set(struct world *w)
{
    uint8_t bytes[MODEL_BYTES_MAX];
    size_t limits[] = {1, 20, w->rules.large_bytes + 2, MODEL_BYTES_MAX};
    set(w, random_bytes(w, pick(w, limits[pick(w, 4)]), bytes));
}

static void step_set_integer(struct world *w)
{
    char text[NUMBER_I64_CHARS_MAX];
    int64_t value = (int64_t)(w->random >> pick(w, 60));
    size_t len = number_format_i64(value, text);
    if (w->o->encoding == ENCODING_CHUNKED) {
        set(w, bytes_make(text, len));
    } else {
        string_set_integer(w->o, value);
        memcpy(w->model, text, len);
        w->len = len;
    }
    assert_int_equal(w->o->encoding, ENCODING_INT);
}

static void step_write(struct world *w)
{
    uint8_t bytes[400];
    uint64_t offset = pick(w, 2) == 0 ? w->len : pick(w, w->len + 300);
    size_t len = 1 + pick(w, pick(w, 3) == 0 ? 399 : 20);
    if (offset + len > MODEL_BYTES_MAX)
        return;
    struct bytes data = random_bytes(w, len, bytes);
    load(w, offset, offset + len);
    string_write(w->o, &w->rules, offset, data);
    if (offset > w->len)
        memset(w->model + w->len, 0, offset - w->len);
    memcpy(w->model + offset, bytes, len);
    if (offset + len > w->len)
        w->len = offset + len;
}

/* A chunk that is written up to the string's end need not be in RAM. */
static void step_write_whole_chunk(struct world *w)
{
    uint32_t chunk_bytes = w->rules.chunk_bytes;
    if (w->o->encoding != ENCODING_CHUNKED)
        return;
    uint8_t bytes[512];
    uint64_t offset = pick(w, w->len / chunk_bytes) * chunk_bytes;
    size_t len = w->len - offset < chunk_bytes ? w->len - offset : chunk_bytes;
    string_write(w->o, &w->rules, offset, random_bytes(w, len, bytes));
    memcpy(w->model + offset, bytes, len);
}

static void step_grow(struct world *w)
{
    size_t len = w->len + pick(w, 60);
    if (len > MODEL_BYTES_MAX)
        return;
    string_grow(w->o, &w->rules, len);
    memset(w->model + w->len, 0, len - w->len);
    w->len = len;
    assert_true(w->o->raw);
}

static void step_read(struct world *w)
{
    uint8_t bytes[MODEL_BYTES_MAX];
    uint64_t from = pick(w, w->len + 5);
    size_t len = pick(w, 100);
    load(w, from, from + len);
    size_t expected = from >= w->len ? 0 : w->len - from < len ? w->len - from : len;
    assert_int_equal(string_read(w->o, from, bytes, len), expected);
    assert_memory_equal(bytes, w->model + (expected == 0 ? 0 : from), expected);
}

static void step_drop(struct world *w)
{
    if (w->o->encoding != ENCODING_CHUNKED || w->cut_runs)
        return;
    size_t before = string_bytes(w->o);
    size_t wanted = pick(w, 2000);
    string_chunked_pin(w->o);
    assert_int_equal(string_chunked_drop_clean(w->o, wanted), 0);
    string_chunked_unpin(w->o);
    size_t freed = string_chunked_drop_clean(w->o, wanted);
    assert_int_equal(freed, before - string_bytes(w->o));
}

/* Writes the record, forgets the object and reads it back. */
static void step_demote(struct world *w)
{
    cut_apply(w);
    cut_begin(w);
    cut_apply(w);
    w->o->expire_at_ms = pick(w, 2) == 0 ? OBJECT_NO_EXPIRE : 123456;
    struct buf record = {0};
    string_encode(w->o, &record);
    struct record_header header;
    struct bytes payload;
    struct string_plan plan;
    assert_status(record_header_decode(buf_bytes(&record), &header, &payload), ST_OK);
    assert_int_equal(header.has_expire, object_has_expire(w->o));
    assert_status(string_plan_record(&header, payload, &plan), ST_OK);
    const char *name = string_encoding_name(w->o);
    uint64_t id = string_object_id(w->o);
    object_free(w->o);
    w->o = object_plan(&plan, &w->rules);
    assert_string_equal(string_encoding_name(w->o), name);
    assert_int_equal(string_object_id(w->o), id);
    assert_int_equal(string_len(w->o), w->len);
    buf_deinit(&record);
}

static void step_rename(struct world *w)
{
    struct string_plan plan;
    string_plan_like(w->o, &plan);
    struct object *to = object_make("another, longer key", plan.inline_len);
    string_move(to, w->o);
    object_free(w->o);
    w->o = to;
}

static void step_copy(struct world *w)
{
    load(w, 0, UINT64_MAX);
    struct string_plan plan;
    string_plan_like(w->o, &plan);
    struct object *to = object_make("k", plan.inline_len);
    string_copy(to, w->o, &w->rules);
    assert_true(string_object_id(to) != string_object_id(w->o) || string_object_id(to) == 0);
    /* The source changes, the copy does not. */
    if (w->len > 0)
        string_write(w->o, &w->rules, pick(w, w->len), bytes_text("!"));
    object_free(w->o);
    w->o = to;
}

typedef void step_fn(struct world *w);

static void run_model(size_t large_bytes, uint32_t chunk_bytes, uint64_t seed, int steps)
{
    static step_fn *const table[] = {
        step_set,   step_set_integer, step_write,  step_write, step_write,
        step_grow,  step_read,        step_read,   cut_begin,  cut_apply,
        step_drop,  step_demote,      step_rename, step_copy,  step_write_whole_chunk,
        step_write, step_drop,
    };
    struct world *w = mem_calloc(1, sizeof(*w));
    w->rules = (struct string_rules){
        .large_bytes = large_bytes, .chunk_bytes = chunk_bytes, .new_id = next_id, .arg = &w->ids};
    w->random = seed;
    w->o = object_of(bytes_text(""), &w->rules);
    for (int i = 0; i < steps; i++) {
        table[pick(w, sizeof(table) / sizeof(table[0]))](w);
        if (pick(w, 4) == 0) {
            load(w, 0, UINT64_MAX);
            assert_value(w->o, bytes_make(w->model, w->len));
        }
    }
    cut_apply(w);
    object_free(w->o);
    disk_forget_others(w, 0);
    mem_free(w);
}

static void random_operations_agree_with_a_byte_array(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        run_model(100, 16, seed * 7919, 300);
        run_model(500, 64, seed * 104729, 300);
        run_model(2000, 512, seed * 1299709, 300);
    }
}

/* ---- Loads and records that must be refused. */

static void load_that_lost_the_race_is_ignored(void **state)
{
    (void)state;
    uint64_t ids = 0;
    struct string_rules rules = {
        .large_bytes = 32, .chunk_bytes = 16, .new_id = next_id, .arg = &ids};
    struct string_plan plan = {.encoding = ENCODING_CHUNKED,
                               .large = {.object_id = 9, .len = 40, .chunk_bytes = 16},
                               .cold = true};
    struct object *o = object_plan(&plan, &rules);
    string_write(o, &rules, 16, bytes_text("0123456789abcdef"));
    assert_status(string_chunked_install(o, 1, bytes_text("stale"), true), ST_OK);
    assert_status(string_chunked_install(o, 0, bytes_text("a"), true), ST_OK);
    assert_status(string_chunked_install(o, 2, bytes_text("0123456789abcdefX"), true), ST_CORRUPT);
    assert_status(string_chunked_install(o, 2, bytes_make(NULL, 0), false), ST_OK);
    uint8_t expected[40] = "a";
    memcpy(expected + 16, "0123456789abcdef", 16);
    assert_value(o, bytes_make(expected, 40));
    object_free(o);
}

static void records_that_we_never_write_are_refused(void **state)
{
    (void)state;
    struct string_plan plan;
    struct record_header header = {.encoding = RECORD_STRING_INT};
    assert_status(string_plan_record(&header, bytes_text("12"), &plan), ST_OK);
    assert_status(string_plan_record(&header, bytes_text("012"), &plan), ST_CORRUPT);
    assert_status(string_plan_record(&header, bytes_text(""), &plan), ST_CORRUPT);
    header.encoding = 3;
    assert_status(string_plan_record(&header, bytes_text("12"), &plan), ST_CORRUPT);

    static const struct record_large_string bad[] = {
        {.object_id = 1, .len = 100, .chunk_bytes = 8},
        {.object_id = 1, .len = 100, .chunk_bytes = 24},
        {.object_id = 1, .len = 100, .chunk_bytes = 1u << 21},
        {.object_id = 1, .len = STRING_CHUNKS_MAX * 16 + 1, .chunk_bytes = 16},
    };
    uint8_t payload[RECORD_LARGE_STRING_BYTES];
    header = (struct record_header){.large = true};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        record_large_string_encode(&bad[i], payload);
        assert_status(string_plan_record(&header, bytes_make(payload, sizeof(payload)), &plan),
                      ST_CORRUPT);
    }
    struct record_large_string good = {.object_id = 1, .len = 100, .chunk_bytes = 16};
    record_large_string_encode(&good, payload);
    assert_status(string_plan_record(&header, bytes_make(payload, sizeof(payload)), &plan), ST_OK);
    assert_status(string_plan_record(&header, bytes_make(payload, 19), &plan), ST_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(values_are_held_by_their_size_and_shape),
        TEST(integers_are_read_from_any_small_holding),
        TEST(heap_growth_doubles_up_to_the_large_threshold),
        TEST(sparse_string_takes_memory_for_what_was_written_only),
        TEST(random_operations_agree_with_a_byte_array),
        TEST(load_that_lost_the_race_is_ignored),
        TEST(records_that_we_never_write_are_refused),
    };
    return RUN_TESTS("string", tests);
}
