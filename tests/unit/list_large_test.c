/* Goal: with what its ensure functions bring in, and nothing more, a large list is what an array
 * is.
 *
 * Method: random changes and questions as the commands ask them, against an array of numbers, while
 * the list's pieces come and go (large_world.h). A failure prints its seed: BASALT_TEST_SEED=n
 * repeats it, but for how far the thread of the cuts has come. */
#include "tests/support/harness.h"

#include "codec/mem.h"
#include "storage/types/list.h"
#include "storage/types/list_ensure.h"
#include "storage/value_type.h"
#include "tests/support/large_world.h"

#include <stdio.h>

#define SEEDS     6
#define STEPS     4000
#define COUNT_MAX (16 * STEPS)
#define TEXT_MAX  320
#define PLAIN     300 /* elements so long have a node of their own */
#define MANY      40
#define VALUES    500

struct world {
    struct large_world large;
    int node_size;
    uint32_t elements[COUNT_MAX];
    size_t count;
};

static uint64_t below(struct world *w, uint64_t limit)
{
    return large_world_below(&w->large, limit);
}

/* A number as a number, as a text, or as a long text. */
static struct bytes element_text(uint32_t element, char text[TEXT_MAX])
{
    int len = snprintf(text, TEXT_MAX, element % 3 == 0 ? "%u" : "element %u", element);
    if (element % 50 == 1) {
        memset(text + len, 'x', (size_t)(TEXT_MAX - len));
        len = TEXT_MAX;
    }
    return bytes_make(text, (size_t)len);
}

static struct list_rules rules_of(const struct world *w)
{
    return (struct list_rules){
        .values = ks_value_rules(w->large.ks), .node_size = w->node_size, .plain_bytes = PLAIN};
}

/* The list; made if there is none. */
static struct object *object_of(struct world *w)
{
    struct keyref ref;
    struct object *o = large_world_find(&w->large, &ref);
    if (o != NULL)
        return o;
    o = ks_create(w->large.ks, &ref, OBJECT_LIST);
    ks_change_begin(w->large.ks, w->large.db, o);
    list_init(o);
    ks_change_end(w->large.ks, w->large.db, o);
    return o;
}

static void begin_change(struct world *w, struct object *o)
{
    ks_change_begin(w->large.ks, w->large.db, o);
}

/* An empty list is not left behind. */
static void end_change(struct world *w, struct object *o, bool shrunk)
{
    struct list_rules rules = rules_of(w);
    if (shrunk && w->count != 0)
        list_has_shrunk(o, &rules);
    ks_change_end(w->large.ks, w->large.db, o);
    if (w->count == 0) {
        struct keyref ref;
        (void)large_world_find(&w->large, &ref);
        ks_delete(w->large.ks, &ref);
    }
}

/* ---- Changes. */

static void push(struct world *w)
{
    char text[TEXT_MAX];
    enum list_end end = below(w, 2) == 0 ? LIST_HEAD : LIST_TAIL;
    struct list_rules rules = rules_of(w);
    for (uint64_t left = 1 + below(w, 12); left != 0 && w->count < COUNT_MAX; left--) {
        uint32_t element = (uint32_t)below(w, VALUES);
        struct object *o = object_of(w);
        struct ensure e = large_world_ensure(&w->large, o);
        struct bytes bytes = element_text(element, text);
        assert_int_equal(list_ensure_end(&e, end, 1), ENSURED);
        begin_change(w, o);
        list_will_grow(o, &rules, bytes.len, 1);
        list_push(o, &rules, end, bytes);
        size_t at = end == LIST_HEAD ? 0 : w->count;
        memmove(&w->elements[at + 1], &w->elements[at], (w->count - at) * sizeof(*w->elements));
        w->elements[at] = element;
        w->count++;
        end_change(w, o, false);
    }
}

static void delete_range(struct world *w, struct object *o, size_t from, size_t count)
{
    begin_change(w, o);
    list_delete(o, from, count);
    w->count -= count;
    memmove(&w->elements[from], &w->elements[from + count],
            (w->count - from) * sizeof(*w->elements));
    end_change(w, o, true);
}

static void pop(struct world *w)
{
    enum list_end end = below(w, 2) == 0 ? LIST_HEAD : LIST_TAIL;
    size_t count = 1 + (size_t)below(w, MANY);
    if (w->count == 0)
        return;
    if (count > w->count)
        count = w->count;
    struct object *o = object_of(w);
    struct ensure e = large_world_ensure(&w->large, o);
    assert_int_equal(list_ensure_end(&e, end, count), ENSURED);
    delete_range(w, o, end == LIST_HEAD ? 0 : w->count - count, count);
}

/* LTRIM: both ends at once. */
static void trim(struct world *w)
{
    size_t from = (size_t)below(w, 1 + w->count / 3);
    size_t tail = (size_t)below(w, 1 + w->count / 3);
    if (w->count == 0)
        return;
    struct object *o = object_of(w);
    struct ensure e = large_world_ensure(&w->large, o);
    assert_int_equal(list_ensure_delete(&e, 0, from), ENSURED);
    assert_int_equal(list_ensure_delete(&e, w->count - tail, tail), ENSURED);
    begin_change(w, o);
    list_delete(o, w->count - tail, tail);
    list_delete(o, 0, from);
    w->count -= from + tail;
    memmove(w->elements, &w->elements[from], w->count * sizeof(*w->elements));
    end_change(w, o, true);
}

static void set(struct world *w)
{
    char text[TEXT_MAX];
    struct list_rules rules = rules_of(w);
    if (w->count == 0)
        return;
    size_t at = (size_t)below(w, w->count);
    w->elements[at] = (uint32_t)below(w, VALUES);
    struct object *o = object_of(w);
    struct ensure e = large_world_ensure(&w->large, o);
    assert_int_equal(list_ensure_range(&e, at, 1), ENSURED);
    begin_change(w, o);
    assert_true(list_set(o, &rules, at, element_text(w->elements[at], text)));
    end_change(w, o, true);
}

static void insert(struct world *w)
{
    char text[TEXT_MAX];
    char pivot_text[TEXT_MAX];
    struct list_rules rules = rules_of(w);
    uint32_t element = (uint32_t)below(w, VALUES);
    uint32_t pivot = (uint32_t)below(w, VALUES);
    bool after = below(w, 2) == 0;
    size_t at = 0;
    if (w->count == 0 || w->count == COUNT_MAX)
        return;
    while (at < w->count && w->elements[at] != pivot)
        at++;
    bool there = at < w->count;
    struct object *o = object_of(w);
    struct ensure e = large_world_ensure(&w->large, o);
    assert_int_equal(list_ensure_all(&e), ENSURED);
    struct bytes bytes = element_text(element, text);
    begin_change(w, o);
    list_will_grow(o, &rules, bytes.len, 1);
    assert_int_equal(list_insert(o, &rules, element_text(pivot, pivot_text), after, bytes), there);
    if (there) {
        at += after;
        memmove(&w->elements[at + 1], &w->elements[at], (w->count - at) * sizeof(*w->elements));
        w->elements[at] = element;
        w->count++;
    }
    end_change(w, o, false);
}

static void change(struct world *w, bool grows)
{
    uint64_t which = below(w, 100);
    if (which < (grows ? 70 : 40))
        push(w);
    else if (which < 80)
        set(w);
    else if (which < 83)
        insert(w);
    else if (which < 98)
        pop(w);
    else if (!grows)
        trim(w);
}

/* ---- Questions. */

static void check_value(const struct listpack_value *value, uint32_t element)
{
    char text[TEXT_MAX];
    struct list_needle needle = list_needle(element_text(element, text));
    assert_true(list_is(value, &needle));
}

static void check_range(struct world *w, size_t from, size_t count, bool forward)
{
    struct object *o = object_of(w);
    struct ensure e = large_world_ensure(&w->large, o);
    struct list_iter iter;
    struct listpack_value value;
    assert_int_equal(list_ensure_range(&e, from, count), ENSURED);
    list_iter_init(&iter, o, forward ? from : from + count - 1, forward);
    for (size_t i = 0; i < count; i++) {
        assert_true(list_iter_next(&iter, &value));
        check_value(&value, w->elements[forward ? from + i : from + count - 1 - i]);
    }
}

static void ask(struct world *w)
{
    struct listpack_value value;
    if (w->count == 0)
        return;
    size_t at = (size_t)below(w, w->count);
    size_t count = 1 + (size_t)below(w, MANY);
    check_range(w, at, w->count - at < count ? w->count - at : count, below(w, 2) == 0);
    struct object *o = object_of(w);
    struct ensure e = large_world_ensure(&w->large, o);
    at = (size_t)below(w, w->count);
    assert_int_equal(list_length(o), w->count);
    assert_int_equal(list_ensure_range(&e, at, 1), ENSURED);
    assert_true(list_get(o, at, &value));
    check_value(&value, w->elements[at]);
}

static void run(uint64_t seed)
{
    static const int node_sizes[] = {5, -1, 1, 30};
    struct world *w = mem_calloc(1, sizeof(*w));
    large_world_open(&w->large, seed);
    w->node_size = node_sizes[seed % (sizeof(node_sizes) / sizeof(node_sizes[0]))];
    for (uint32_t step = 0; step < STEPS; step++) {
        change(w, step % 1500 < 1000);
        ask(w);
        large_world_disturb(&w->large, 20000);
        if (step % 500 == 499 && w->count != 0)
            check_range(w, 0, w->count, step % 1000 == 999);
    }
    assert_true(object_of(w)->large);
    large_world_reopen(&w->large);
    check_range(w, 0, w->count, true);
    large_world_close(&w->large);
    mem_free(w);
}

static void random_changes_equal_a_model(void **state)
{
    (void)state;
    large_world_each_seed(SEEDS, run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_changes_equal_a_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
