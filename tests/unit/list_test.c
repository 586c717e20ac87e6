/* Goal: a list is a sequence of texts whatever it is held in, and whichever of its nodes are in
 * RAM; its record gives the same list back, and damage to it is noticed.
 *
 * Method: random operations on a list and on a plain array, with nodes of several sizes, held small
 * and large. Large lists live on a store of elements that the test keeps itself: from time to time
 * a cut takes the changed parts, which are applied some operations later; nodes and pages are
 * dropped at random, and brought back before an operation that needs them. */
#include "tests/support/harness.h"

#include "codec/mem.h"
#include "storage/cold.h"
#include "storage/types/list_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define STEPS     6000
#define MODEL_MAX 4000

struct world {
    struct object *o;
    struct list_rules rules;
    struct value_rules values;
    struct buf *model; /* of MODEL_MAX texts */
    uint64_t count;
    uint64_t random;
    uint64_t next_id;
    /* the disk of a large list */
    char *dir;
    struct cold *cold;
    struct parts_taken *taken; /* by a cut that has not been applied yet */
    size_t orphan_bytes;
    struct buf record;
    uint8_t record_encoding;
};

static uint64_t next_random(struct world *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random * 0x2545F4914F6CDD1DULL;
}

static uint64_t below(struct world *w, uint64_t limit)
{
    return (next_random(w) >> 20) % limit;
}

static uint64_t new_id(void *arg)
{
    struct world *w = arg;
    return ++w->next_id;
}

/* ---- The model. */

static void random_text(struct world *w, struct buf *out)
{
    buf_clear(out);
    uint64_t kind = below(w, 100);
    if (kind < 30) {
        buf_append_format(out, "%d", (int)below(w, 40) - 10);
    } else if (kind < 50) {
        buf_append_format(out, "%lld", (long long)next_random(w));
    } else {
        size_t len = below(w, kind < 90 ? 20 : kind < 98 ? 300 : 6000);
        memset(buf_reserve(out, len + 1), 'a' + (int)below(w, 3), len);
        out->len = len;
    }
}

static void model_insert(struct world *w, uint64_t at, struct bytes text)
{
    assert_true(w->count < MODEL_MAX);
    memmove(&w->model[at + 1], &w->model[at], (w->count - at) * sizeof(struct buf));
    w->model[at] = (struct buf){0};
    buf_append_bytes(&w->model[at], text);
    w->count++;
}

static void model_delete(struct world *w, uint64_t at, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        buf_deinit(&w->model[at + i]);
    w->count -= count;
    memmove(&w->model[at], &w->model[at + count], (w->count - at) * sizeof(struct buf));
}

static bool model_is(const struct world *w, uint64_t at, struct bytes text)
{
    return bytes_equal(buf_bytes(&w->model[at]), text);
}

/* ---- The disk. */

static void open_disk(struct world *w)
{
    struct err err = {0};
    w->dir = harness_make_dir();
    struct cold_options options = {.dir = w->dir,
                                   .write_buffer_bytes = COLD_WRITE_BUFFER_BYTES_MIN,
                                   .block_cache_bytes = COLD_BLOCK_CACHE_BYTES_MIN};
    assert_ok(cold_open(&options, &w->cold, &err), &err);
}

/* Brings in what is missing of one element. */
static void load(struct world *w, char kind, uint64_t id)
{
    uint8_t element[LIST_ELEMENT_BYTES] = {(uint8_t)kind};
    uint8_t key[RECORD_ELEMENT_PREFIX_BYTES + LIST_ELEMENT_BYTES];
    struct buf value = {0};
    struct err err = {0};
    store_be64(element + 1, id);
    size_t len = record_element_key_encode(list_of(w->o)->parts.object_id,
                                           bytes_make(element, sizeof(element)), key);
    assert_ok(cold_get(w->cold, FAMILY_LIST, bytes_make(key, len), &value, &err), &err);
    assert_ok(list_value_type.install_part(w->o, bytes_make(element, sizeof(element)),
                                           buf_bytes(&value), true, &w->values),
              &err);
    buf_deinit(&value);
}

/* All nodes with elements from `from` to before `to`; not those within if `ends_only`. */
static void need(struct world *w, uint64_t from, uint64_t to, bool ends_only)
{
    if (!w->o->large)
        return;
    struct list *list = list_of(w->o);
    uint64_t at = 0;
    for (uint32_t p = 0; p < list->page_count; p++) {
        struct list_page *page = &list->pages[p];
        if (page->slots == NULL && at < to && at + page->length > from)
            load(w, LIST_ELEMENT_PAGE, page->id);
        for (uint32_t s = 0; page->slots != NULL && s < page->slot_count; s++) {
            struct list_slot *slot = &page->slots[s];
            uint64_t end = at + slot->count;
            bool whole = at >= from && end <= to;
            if (slot->node == NULL && at < to && end > from && !(whole && ends_only))
                load(w, LIST_ELEMENT_NODE, slot->id);
            at = end;
        }
        if (page->slots == NULL)
            at += page->length;
    }
}

static void begin_cut(struct world *w)
{
    struct cold_batch *batch = cold_batch_create();
    struct err err = {0};
    buf_clear(&w->record);
    w->record_encoding = list_value_type.encode(w->o, &w->record);
    w->taken = parts_take(&list_of(w->o)->parts, OBJECT_LIST, 0, &w->orphan_bytes);
    if (w->taken != NULL) {
        parts_encode(w->taken, batch);
        assert_ok(cold_write(w->cold, batch, false, &err), &err);
    }
    cold_batch_destroy(batch);
}

static void finish_cut(struct world *w)
{
    if (w->taken == NULL)
        return;
    while (parts_finish(w->taken, w->o, 7))
        continue;
    parts_taken_destroy(w->taken);
    w->taken = NULL;
}

/* What the record says is all that is left. */
static void forget_all(struct world *w)
{
    object_free_fn *free_fn;
    void *value = list_value_type.take(w->o, &free_fn);
    free_fn(value);
    struct record_header header = {.encoding = w->record_encoding, .large = true};
    assert_status(list_value_type.decode(w->o, &header, buf_bytes(&w->record), &w->values), ST_OK);
}

static void disturb(struct world *w)
{
    if (!w->o->large || w->count == 0)
        return;
    switch (below(w, 60)) {
    case 0:
        if (w->taken == NULL)
            begin_cut(w);
        break;
    case 1:
    case 2:
        finish_cut(w);
        break;
    case 3:
        (void)list_value_type.drop_clean(w->o, below(w, 100000));
        break;
    case 4:
        finish_cut(w);
        begin_cut(w);
        finish_cut(w);
        forget_all(w);
        break;
    default:
        break;
    }
}

/* ---- Checks. */

static void check_sums(const struct world *w)
{
    if (w->o->encoding == ENCODING_LISTPACK)
        return;
    const struct list *list = list_of(w->o);
    uint64_t length = 0, content = 0;
    size_t bytes = mem_usable_size(list) + list->page_capacity * sizeof(*list->pages);
    uint32_t changed = 0;
    for (uint32_t p = 0; p < list->page_count; p++) {
        const struct list_page *page = &list->pages[p];
        length += page->length;
        content += page->bytes;
        changed += page->changed;
        bytes += list_slots_bytes(page->slot_capacity);
        uint64_t page_length = 0;
        for (uint32_t s = 0; page->slots != NULL && s < page->slot_count; s++) {
            const struct list_slot *slot = &page->slots[s];
            page_length += slot->count;
            bytes += mem_usable_size(slot->node);
            assert_int_not_equal(slot->count, 0);
            if (slot->node != NULL)
                assert_int_equal(list_node_content(slot->node), slot->bytes);
        }
        if (page->slots != NULL)
            assert_int_equal(page_length, page->length);
        assert_int_not_equal(page->slot_count, 0);
    }
    assert_int_equal(length, list->length);
    assert_int_equal(content, list->content);
    assert_int_equal(bytes, list->bytes);
    assert_int_equal(changed, list->changed_pages);
}

static void check_all(struct world *w)
{
    struct list_iter iter;
    struct listpack_value value;
    char digits[NUMBER_I64_CHARS_MAX];
    assert_int_equal(list_length(w->o), w->count);
    check_sums(w);
    need(w, 0, w->count, false);
    list_iter_init(&iter, w->o, 0, true);
    for (uint64_t i = 0; i < w->count; i++) {
        assert_true(list_iter_next(&iter, &value));
        assert_bytes(listpack_value_text(&value, digits), buf_bytes(&w->model[i]));
    }
    assert_false(list_iter_next(&iter, &value));
    if (w->count == 0)
        return;
    list_iter_init(&iter, w->o, w->count - 1, false);
    for (uint64_t i = w->count; i-- > 0;) {
        assert_true(list_iter_next(&iter, &value));
        assert_bytes(listpack_value_text(&value, digits), buf_bytes(&w->model[i]));
    }
    assert_false(list_iter_next(&iter, &value));
}

/* ---- Operations. */

static void do_push(struct world *w, struct buf *text)
{
    enum list_end end = below(w, 2) == 0 ? LIST_HEAD : LIST_TAIL;
    uint64_t count = below(w, 10) == 0 ? below(w, 60) + 1 : 1;
    for (uint64_t i = 0; i < count && w->count < MODEL_MAX - 1; i++) {
        random_text(w, text);
        if (end == LIST_HEAD)
            need(w, 0, 1, false);
        else
            need(w, w->count - (w->count != 0), w->count, false);
        list_will_grow(w->o, &w->rules, text->len, 1);
        list_push(w->o, &w->rules, end, buf_bytes(text));
        model_insert(w, end == LIST_HEAD ? 0 : w->count, buf_bytes(text));
    }
}

static void do_set(struct world *w, struct buf *text)
{
    uint64_t at = below(w, w->count);
    need(w, at, at + 1, false);
    list_will_grow(w->o, &w->rules, text->len, 1);
    assert_true(list_set(w->o, &w->rules, at, buf_bytes(text)));
    list_has_shrunk(w->o, &w->rules);
    model_delete(w, at, 1);
    model_insert(w, at, buf_bytes(text));
}

static void do_insert(struct world *w, struct buf *text)
{
    struct buf pivot = {0};
    buf_append_bytes(&pivot, buf_bytes(&w->model[below(w, w->count)]));
    uint64_t at = 0;
    while (!model_is(w, at, buf_bytes(&pivot)))
        at++;
    bool after = below(w, 2) == 0;
    need(w, 0, at + 1, false);
    list_will_grow(w->o, &w->rules, text->len, 1);
    assert_true(list_insert(w->o, &w->rules, buf_bytes(&pivot), after, buf_bytes(text)));
    model_insert(w, at + after, buf_bytes(text));
    buf_deinit(&pivot);
}

static void do_delete(struct world *w)
{
    uint64_t at = below(w, w->count);
    uint64_t count = below(w, below(w, 20) == 0 ? w->count - at : 8) + 1;
    if (count > w->count - at)
        count = w->count - at;
    if (count == w->count)
        return; /* the list would have to go */
    need(w, at, at + count, true);
    list_delete(w->o, at, count);
    list_has_shrunk(w->o, &w->rules);
    model_delete(w, at, count);
}

static void do_remove(struct world *w)
{
    struct buf text = {0};
    buf_append_bytes(&text, buf_bytes(&w->model[below(w, w->count)]));
    bool backward = below(w, 2) == 0;
    uint64_t count_max = below(w, 3) == 0 ? UINT64_MAX : below(w, 3) + 1;
    uint64_t expected = 0;
    for (uint64_t i = 0; i < w->count; i++)
        expected += model_is(w, i, buf_bytes(&text));
    if (expected < w->count && w->count > 1) {
        expected = expected < count_max ? expected : count_max;
        need(w, 0, w->count, false);
        assert_int_equal(
            list_remove(w->o, buf_bytes(&text), backward ? LIST_TAIL : LIST_HEAD, count_max),
            expected);
        list_has_shrunk(w->o, &w->rules);
        uint64_t at = backward ? w->count : 0;
        while (expected > 0) {
            if (backward)
                at--;
            if (model_is(w, at, buf_bytes(&text))) {
                model_delete(w, at, 1);
                expected--;
            } else if (!backward) {
                at++;
            }
        }
    }
    buf_deinit(&text);
}

static void do_get(struct world *w)
{
    uint64_t at = below(w, w->count);
    struct listpack_value value;
    char digits[NUMBER_I64_CHARS_MAX];
    need(w, at, at + 1, false);
    assert_true(list_get(w->o, at, &value));
    assert_bytes(listpack_value_text(&value, digits), buf_bytes(&w->model[at]));
    struct list_needle needle = list_needle(buf_bytes(&w->model[at]));
    assert_true(list_is(&value, &needle));
    assert_false(list_get(w->o, w->count, &value));
}

static void step(struct world *w, struct buf *text)
{
    uint64_t r = below(w, 100);
    random_text(w, text);
    if (w->count == 0 || (r < 35 && w->count < MODEL_MAX - 100))
        do_push(w, text);
    else if (r < 50)
        do_set(w, text);
    else if (r < 65 && w->count < MODEL_MAX - 1)
        do_insert(w, text);
    else if (r < 80)
        do_delete(w);
    else if (r < 88)
        do_remove(w);
    else
        do_get(w);
}

/* ---- Worlds. */

static struct world *create_world(int node_size, size_t plain_bytes, size_t large_bytes,
                                  uint64_t seed)
{
    struct world *w = mem_calloc(1, sizeof(*w));
    w->random = seed * 0x9E3779B97F4A7C15ULL | 1;
    w->values = (struct value_rules){.large_bytes = large_bytes, .new_id = new_id, .arg = w};
    w->rules = (struct list_rules){
        .values = &w->values, .node_size = node_size, .plain_bytes = plain_bytes};
    w->model = mem_calloc(MODEL_MAX + 1, sizeof(*w->model));
    w->o = mem_calloc(1, sizeof(*w->o));
    w->o->type = OBJECT_LIST;
    list_init(w->o);
    if (large_bytes != SIZE_MAX)
        open_disk(w);
    return w;
}

static void destroy_world(struct world *w)
{
    finish_cut(w);
    object_free_fn *free_fn;
    void *value = list_value_type.take(w->o, &free_fn);
    free_fn(value);
    mem_free(w->o);
    model_delete(w, 0, w->count);
    mem_free(w->model);
    buf_deinit(&w->record);
    if (w->cold != NULL) {
        cold_close(w->cold);
        harness_remove_dir(w->dir);
        mem_free(w->dir);
    }
    mem_free(w);
}

static void run(int node_size, size_t plain_bytes, size_t large_bytes, uint64_t seed)
{
    struct world *w = create_world(node_size, plain_bytes, large_bytes, seed);
    struct buf text = {0};
    for (int i = 0; i < STEPS; i++) {
        step(w, &text);
        disturb(w);
        if (i % 100 == 0)
            check_all(w);
    }
    check_all(w);
    buf_deinit(&text);
    destroy_world(w);
}

static const struct {
    int node_size;
    size_t plain_bytes;
} shapes[] = {
    {-2, LIST_PLAIN_BYTES_MAX}, {-1, 1000}, {1, LIST_PLAIN_BYTES_MAX}, {5, 200}, {0, 10},
    {-9, LIST_PLAIN_BYTES_MAX}, {128, 100},
};

static void a_small_list_is_what_an_array_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
        run(shapes[i].node_size, shapes[i].plain_bytes, SIZE_MAX, i + 1);
}

static void a_large_list_is_what_an_array_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
        run(shapes[i].node_size, shapes[i].plain_bytes, 200, i + 100);
}

/* ---- Records. */

static void records_give_the_same_list_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        struct world *w =
            create_world(shapes[i].node_size, shapes[i].plain_bytes, SIZE_MAX, i + 200);
        struct buf text = {0};
        for (int j = 0; j < 300; j++) {
            step(w, &text);
            struct buf payload = {0};
            struct record_header header = {.encoding = list_value_type.encode(w->o, &payload)};
            object_free_fn *free_fn;
            void *value = list_value_type.take(w->o, &free_fn);
            free_fn(value);
            enum status st = list_value_type.decode(w->o, &header, buf_bytes(&payload), &w->values);
            assert_status(st, ST_OK);
            check_all(w);
            buf_deinit(&payload);
        }
        buf_deinit(&text);
        destroy_world(w);
    }
}

/* FORMAT.md's example. */
static void a_small_list_is_written_as_documented(void **state)
{
    (void)state;
    static const uint8_t example[] = {0x02, 0x1a, 0x0d, 0x00, 0x00, 0x00, 0x02, 0x00, 0x81,
                                      0x61, 0x02, 0x81, 0x62, 0x02, 0xff, 0x03, 0x63};
    struct value_rules values = {.large_bytes = SIZE_MAX};
    struct list_rules rules = {.values = &values, .node_size = -2, .plain_bytes = 1};
    struct object o = {.type = OBJECT_LIST};
    struct buf payload = {0};
    list_init(&o);
    list_will_grow(&o, &rules, 10000, 1);
    rules.plain_bytes = LIST_PLAIN_BYTES_MAX;
    list_push(&o, &rules, LIST_TAIL, bytes_text("a"));
    list_push(&o, &rules, LIST_TAIL, bytes_text("b"));
    rules.plain_bytes = 1;
    list_push(&o, &rules, LIST_TAIL, bytes_text("c"));
    assert_int_equal(list_value_type.encode(&o, &payload), 1);
    assert_bytes(buf_bytes(&payload), bytes_make(example, sizeof(example)));
    object_free_fn *free_fn;
    void *value = list_value_type.take(&o, &free_fn);
    free_fn(value);
    buf_deinit(&payload);
}

/* A damaged payload is refused, or is a valid list. */
static void try_decode(uint8_t encoding, bool large, struct bytes payload)
{
    struct value_rules values = {.large_bytes = SIZE_MAX};
    struct record_header header = {.encoding = encoding, .large = large};
    struct object o = {.type = OBJECT_LIST};
    enum status st = list_value_type.decode(&o, &header, payload, &values);
    if (st != ST_OK) {
        assert_int_equal(st, ST_CORRUPT);
        assert_int_equal(o.encoding, ENCODING_NONE);
        return;
    }
    if (!large)
        assert_int_not_equal(list_length(&o), 0);
    object_free_fn *free_fn;
    void *value = list_value_type.take(&o, &free_fn);
    free_fn(value);
}

static void damage(uint8_t encoding, bool large, struct bytes payload)
{
    uint8_t *copy = mem_dup(payload.data, payload.len);
    for (size_t len = 0; len < payload.len; len++) {
        struct record_header header = {.encoding = encoding, .large = large};
        struct object o = {.type = OBJECT_LIST};
        struct value_rules values = {.large_bytes = SIZE_MAX};
        uint8_t *exact = mem_dup(payload.data, len); /* so that reading on is noticed */
        assert_status(list_value_type.decode(&o, &header, bytes_make(exact, len), &values),
                      ST_CORRUPT);
        mem_free(exact);
    }
    for (size_t i = 0; i < payload.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            copy[i] ^= (uint8_t)(1 << bit);
            try_decode(encoding, large, bytes_make(copy, payload.len));
            copy[i] ^= (uint8_t)(1 << bit);
        }
    }
    mem_free(copy);
}

static void damaged_records_are_refused(void **state)
{
    (void)state;
    static const size_t large_bytes[] = {SIZE_MAX, SIZE_MAX, 100};
    for (size_t i = 0; i < 3; i++) {
        struct world *w = create_world(i == 0 ? 128 : 3, 12, large_bytes[i], 300);
        for (int j = 0; j < 20; j++) {
            char text[32];
            int len = snprintf(text, sizeof(text), "element-%d", j * 37);
            struct bytes element = bytes_make(text, (size_t)len);
            list_will_grow(w->o, &w->rules, element.len, 1);
            list_push(w->o, &w->rules, LIST_TAIL, element);
            model_insert(w, w->count, element);
        }
        assert_int_equal(w->o->large, i == 2);
        struct buf payload = {0};
        uint8_t encoding = list_value_type.encode(w->o, &payload);
        damage(encoding, w->o->large, buf_bytes(&payload));
        buf_deinit(&payload);
        destroy_world(w);
    }
}

static void damaged_elements_are_refused(void **state)
{
    (void)state;
    struct world *w = create_world(4, 12, 100, 400);
    struct buf text = {0};
    for (int j = 0; j < 200; j++)
        do_push(w, &text);
    begin_cut(w);
    finish_cut(w);
    forget_all(w);
    struct list *list = list_of(w->o);
    uint8_t element[LIST_ELEMENT_BYTES] = {LIST_ELEMENT_PAGE};
    store_be64(element + 1, list->pages[0].id);
    struct bytes key = bytes_make(element, sizeof(element));
    struct bytes nonsense = bytes_text("\x01\x05\x05\x05");
    assert_status(list_value_type.install_part(w->o, key, nonsense, true, &w->values), ST_CORRUPT);
    assert_status(list_value_type.install_part(w->o, key, bytes_text(""), false, &w->values),
                  ST_CORRUPT);
    assert_status(list_value_type.install_part(w->o, bytes_text("N"), nonsense, true, &w->values),
                  ST_CORRUPT);
    load(w, LIST_ELEMENT_PAGE, list->pages[0].id);
    element[0] = LIST_ELEMENT_NODE;
    store_be64(element + 1, list->pages[0].slots[0].id);
    assert_status(list_value_type.install_part(w->o, key, nonsense, true, &w->values), ST_CORRUPT);
    assert_status(list_value_type.install_part(w->o, key, bytes_text(""), false, &w->values),
                  ST_CORRUPT);
    store_be64(element + 1, 12345); /* gone since it was asked for */
    assert_status(list_value_type.install_part(w->o, key, nonsense, true, &w->values), ST_OK);
    check_all(w);
    buf_deinit(&text);
    destroy_world(w);
}

static void a_copy_is_a_list_of_its_own(void **state)
{
    (void)state;
    static const size_t large_bytes[] = {SIZE_MAX, 100};
    for (size_t i = 0; i < 2; i++) {
        struct world *w = create_world(4, 50, large_bytes[i], 500);
        struct buf text = {0};
        for (int j = 0; j < 100; j++)
            do_push(w, &text);
        struct object copy = {.type = OBJECT_LIST};
        list_value_type.copy(&copy, w->o, &w->values);
        assert_int_equal(copy.large, w->o->large);
        if (copy.large)
            assert_int_not_equal(list_of(&copy)->parts.object_id, list_of(w->o)->parts.object_id);
        assert_true(list_set(&copy, &w->rules, 3, bytes_text("changed in the copy")));
        check_all(w);
        struct listpack_value value;
        assert_true(list_get(&copy, 4, &value));
        char digits[NUMBER_I64_CHARS_MAX];
        assert_bytes(listpack_value_text(&value, digits), buf_bytes(&w->model[4]));
        object_free_fn *free_fn;
        void *taken = list_value_type.take(&copy, &free_fn);
        free_fn(taken);
        buf_deinit(&text);
        destroy_world(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_small_list_is_what_an_array_is),      TEST(a_large_list_is_what_an_array_is),
        TEST(records_give_the_same_list_back),       TEST(damaged_records_are_refused),
        TEST(a_small_list_is_written_as_documented), TEST(damaged_elements_are_refused),
        TEST(a_copy_is_a_list_of_its_own),
    };
    return RUN_TESTS("list", tests);
}
