/* Goal: who waits for a key is served in the order in which they blocked, only when the key holds
 * what they wait for, and nobody overtakes one that waits for the disk.
 *
 * Method: keys are a letter with a type and a number of elements; each request takes one element of
 * the first of its keys that has some, and notes its name in a line of text. */
#include "server/blocking.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "tests/support/harness.h"

#include <string.h>

#define KEYS 26
#define DBS  2

struct world;

struct request {
    struct world *world;
    char name;
    uint32_t db;
    enum object_type type;
    const char *keys;
    char pushes_to;  /* a key that gets the element, as BLMOVE does; 0: none */
    bool needs_disk; /* the next try finds something missing */
    struct blocked *blocked;
};

struct world {
    struct blocking *blocking;
    enum object_type types[DBS][KEYS];
    int elements[DBS][KEYS];
    char served[64];
    int tries;
};

static void note(struct world *w, char name)
{
    size_t len = strlen(w->served);
    CHECK(len + 1 < sizeof(w->served));
    w->served[len] = name;
    w->served[len + 1] = '\0';
}

static struct bytes key_of(const char *letter)
{
    return bytes_make(letter, 1);
}

static void push(struct world *w, uint32_t db, char key, enum object_type type, int count)
{
    w->types[db][key - 'a'] = type;
    w->elements[db][key - 'a'] += count;
    blocking_signal(w->blocking, db, key_of(&key));
}

static void take(struct world *w, uint32_t db, int key)
{
    if (--w->elements[db][key] == 0)
        w->types[db][key] = OBJECT_NONE;
}

static enum blocked_result serve(void *arg, void *owner)
{
    struct world *w = arg;
    struct request *r = owner;
    w->tries++;
    if (r->needs_disk) {
        r->needs_disk = false;
        return BLOCKED_LOADING;
    }
    if (!blocking_is_for(w->blocking, r->blocked))
        return BLOCKED_STILL;
    for (const char *key = r->keys; *key != '\0'; key++) {
        int k = *key - 'a';
        if (w->types[r->db][k] == OBJECT_NONE)
            continue;
        note(w, r->name);
        if (w->types[r->db][k] == r->type)
            take(w, r->db, k);
        else
            note(w, '!');
        blocking_remove(w->blocking, r->blocked);
        r->blocked = NULL;
        if (r->pushes_to != 0)
            push(w, r->db, r->pushes_to, r->type, 1);
        return BLOCKED_ENDED;
    }
    return BLOCKED_STILL;
}

static enum object_type type_of(void *arg, uint32_t db, struct bytes key)
{
    struct world *w = arg;
    return w->types[db][key.data[0] - 'a'];
}

static int set_up(void **state)
{
    struct world *w = mem_calloc(1, sizeof(*w));
    struct blocking_options options = {
        .hash_seed = 7, .serve = serve, .type_of = type_of, .arg = w};
    w->blocking = blocking_create(&options);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    blocking_destroy(w->blocking);
    mem_free(w);
    return 0;
}

static void block_with(struct world *w, struct request *r, bool on_delete, int64_t deadline_ms)
{
    struct bytes keys[KEYS];
    int count = 0;
    for (const char *key = r->keys; *key != '\0'; key++)
        keys[count++] = key_of(key);
    r->world = w;
    struct blocked_options options = {.owner = r,
                                      .db = r->db,
                                      .type = r->type,
                                      .on_delete = on_delete,
                                      .deadline_ms = deadline_ms};
    r->blocked = blocking_add(w->blocking, &options, keys, count);
}

static void block(struct world *w, struct request *r)
{
    block_with(w, r, false, INT64_MAX);
}

static void give_up(struct world *w, struct request *r)
{
    blocking_remove(w->blocking, r->blocked);
    r->blocked = NULL;
}

static void those_who_blocked_first_are_served_first(void **state)
{
    struct world *w = *state;
    struct request a = {.name = 'A', .type = OBJECT_LIST, .keys = "x"};
    struct request b = {.name = 'B', .type = OBJECT_LIST, .keys = "xy"};
    struct request c = {.name = 'C', .type = OBJECT_LIST, .keys = "x"};
    block(w, &a), block(w, &b), block(w, &c);
    assert_false(blocking_is_idle(w->blocking));
    push(w, 0, 'x', OBJECT_LIST, 2);
    assert_true(blocking_is_ready(w->blocking));
    assert_string_equal(w->served, ""); /* not before the command that pushed is complete */
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "AB");
    assert_int_equal(w->tries, 2); /* the third is not even tried */
    assert_false(blocking_is_ready(w->blocking));
    push(w, 0, 'x', OBJECT_LIST, 1);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "ABC");
    assert_true(blocking_is_idle(w->blocking));
}

static void keys_are_served_in_the_order_of_their_signals(void **state)
{
    struct world *w = *state;
    struct request a = {.name = 'A', .type = OBJECT_LIST, .keys = "x"};
    struct request b = {.name = 'B', .type = OBJECT_LIST, .keys = "y"};
    block(w, &a), block(w, &b);
    push(w, 0, 'y', OBJECT_LIST, 1);
    push(w, 0, 'x', OBJECT_LIST, 1);
    push(w, 0, 'y', OBJECT_LIST, 1);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "BA");
}

static void a_key_named_twice_counts_once(void **state)
{
    struct world *w = *state;
    struct request a = {.name = 'A', .type = OBJECT_LIST, .keys = "xxyx"};
    block(w, &a);
    assert_int_equal(blocking_stats(w->blocking)->keys, 2);
    push(w, 0, 'x', OBJECT_LIST, 5);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "A");
    assert_int_equal(w->elements[0][(int)('x' - 'a')], 4);
}

static void only_those_who_wait_for_the_type_are_tried(void **state)
{
    struct world *w = *state;
    struct request a = {.name = 'A', .type = OBJECT_ZSET, .keys = "x"};
    struct request b = {.name = 'B', .type = OBJECT_LIST, .keys = "x"};
    struct request c = {.name = 'C', .type = OBJECT_ZSET, .keys = "x"};
    block(w, &a), block(w, &b), block(w, &c);
    push(w, 0, 'x', OBJECT_HASH, 1);
    blocking_serve(w->blocking);
    assert_int_equal(w->tries, 0);
    w->elements[0]['x' - 'a'] = 0;
    push(w, 0, 'x', OBJECT_LIST, 1);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "B");
    assert_int_equal(w->tries, 1);
    give_up(w, &a), give_up(w, &c);
}

static void one_may_also_wait_for_a_key_to_go(void **state)
{
    struct world *w = *state;
    struct request a = {.name = 'A', .type = OBJECT_STREAM, .keys = "x"};
    struct request b = {.name = 'B', .type = OBJECT_STREAM, .keys = "x"};
    block(w, &a);
    block_with(w, &b, true, INT64_MAX);
    assert_int_equal(blocking_stats(w->blocking)->on_delete_keys, 1);
    push(w, 0, 'x', OBJECT_HASH, 1);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "B!");
    assert_int_equal(blocking_stats(w->blocking)->on_delete_keys, 0);
    give_up(w, &a);
}

static void who_finds_nothing_keeps_its_place(void **state)
{
    struct world *w = *state;
    struct request a = {.name = 'A', .type = OBJECT_STREAM, .keys = "x"};
    struct request b = {.name = 'B', .type = OBJECT_STREAM, .keys = "x"};
    block_with(w, &a, true, INT64_MAX);
    block_with(w, &b, true, INT64_MAX);
    push(w, 0, 'x', OBJECT_NONE, 0);
    blocking_serve(w->blocking);
    assert_int_equal(w->tries, 2); /* each once */
    push(w, 0, 'x', OBJECT_STREAM, 1);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "A");
    give_up(w, &b);
}

static void nobody_overtakes_one_that_waits_for_the_disk(void **state)
{
    struct world *w = *state;
    struct request a = {.name = 'A', .type = OBJECT_LIST, .keys = "xy", .needs_disk = true};
    struct request b = {.name = 'B', .type = OBJECT_LIST, .keys = "x"};
    struct request c = {.name = 'C', .type = OBJECT_LIST, .keys = "y"};
    struct request d = {.name = 'D', .type = OBJECT_LIST, .keys = "z"};
    block(w, &a), block(w, &b), block(w, &c), block(w, &d);
    push(w, 0, 'x', OBJECT_LIST, 2);
    blocking_serve(w->blocking);
    push(w, 0, 'y', OBJECT_LIST, 1);
    push(w, 0, 'z', OBJECT_LIST, 1);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "D");
    assert_false(blocking_is_ready(w->blocking));
    assert_int_equal(serve(w, &a), BLOCKED_ENDED); /* its load is back */
    assert_true(blocking_is_ready(w->blocking));
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "DABC");
}

static void one_that_has_loaded_in_vain_lets_the_others_go_on(void **state)
{
    struct world *w = *state;
    struct request a = {.name = 'A', .type = OBJECT_LIST, .keys = "x", .needs_disk = true};
    struct request b = {.name = 'B', .type = OBJECT_STREAM, .keys = "x"};
    block(w, &a);
    block_with(w, &b, true, INT64_MAX);
    push(w, 0, 'x', OBJECT_LIST, 1);
    blocking_serve(w->blocking);
    take(w, 0, 'x' - 'a'); /* somebody else was faster */
    push(w, 0, 'x', OBJECT_SET, 1);
    assert_int_equal(serve(w, &a), BLOCKED_STILL);
    blocking_tried(w->blocking, a.blocked);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "B!");
    give_up(w, &a);
}

static void one_that_leaves_while_it_loads_lets_the_others_go_on(void **state)
{
    struct world *w = *state;
    struct request a = {.name = 'A', .type = OBJECT_LIST, .keys = "x", .needs_disk = true};
    struct request b = {.name = 'B', .type = OBJECT_LIST, .keys = "x"};
    block(w, &a), block(w, &b);
    push(w, 0, 'x', OBJECT_LIST, 1);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "");
    give_up(w, &a);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "B");
}

static void the_last_may_leave_while_it_loads(void **state)
{
    struct world *w = *state;
    struct request a = {.name = 'A', .type = OBJECT_LIST, .keys = "x", .needs_disk = true};
    block(w, &a);
    push(w, 0, 'x', OBJECT_LIST, 1);
    blocking_serve(w->blocking);
    give_up(w, &a);
    assert_true(blocking_is_ready(w->blocking)); /* tear_down finds it so */
}

static void being_served_may_serve_others(void **state)
{
    struct world *w = *state;
    struct request a = {.name = 'A', .type = OBJECT_LIST, .keys = "x", .pushes_to = 'y'};
    struct request b = {.name = 'B', .type = OBJECT_LIST, .keys = "y", .pushes_to = 'x'};
    struct request c = {.name = 'C', .type = OBJECT_LIST, .keys = "x", .pushes_to = 'x'};
    struct request d = {.name = 'D', .type = OBJECT_LIST, .keys = "x"};
    block(w, &a), block(w, &b), block(w, &c), block(w, &d);
    push(w, 0, 'x', OBJECT_LIST, 1);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "ABCD");
    assert_true(blocking_is_idle(w->blocking));
}

static void databases_are_apart(void **state)
{
    struct world *w = *state;
    struct request a = {.name = 'A', .type = OBJECT_LIST, .keys = "xy"};
    struct request b = {.name = 'B', .db = 1, .type = OBJECT_LIST, .keys = "x"};
    block(w, &a), block(w, &b);
    assert_int_equal(blocking_stats(w->blocking)->keys, 3);
    push(w, 1, 'x', OBJECT_LIST, 1);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "B");
    w->types[0]['y' - 'a'] = OBJECT_LIST;
    w->elements[0]['y' - 'a'] = 1;
    blocking_signal_db(w->blocking, 1);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "B");
    blocking_signal_db(w->blocking, 0);
    blocking_serve(w->blocking);
    assert_string_equal(w->served, "BA");
}

static void deadlines_come_in_their_order(void **state)
{
    struct world *w = *state;
    enum { COUNT = 200 };
    static struct request requests[COUNT];
    uint32_t random = 12345;
    assert_int_equal(blocking_next_deadline_ms(w->blocking), INT64_MAX);
    assert_null(blocking_find_due(w->blocking, INT64_MAX));
    for (int i = 0; i < COUNT; i++) {
        random = random * 1664525 + 1013904223;
        requests[i] = (struct request){.name = 'A', .type = OBJECT_LIST, .keys = "k"};
        block_with(w, &requests[i], false, random >> 16);
    }
    for (int i = 0; i < COUNT; i += 3)
        give_up(w, &requests[i]);
    int64_t last_ms = 0;
    int count = 0;
    for (struct request *due; (due = blocking_find_due(w->blocking, INT64_MAX)) != NULL; count++) {
        int64_t due_ms = blocking_next_deadline_ms(w->blocking);
        assert_true(due_ms >= last_ms);
        assert_null(blocking_find_due(w->blocking, due_ms - 1));
        last_ms = due_ms;
        give_up(w, due);
    }
    assert_int_equal(count, COUNT - (COUNT + 2) / 3);
    assert_true(blocking_is_idle(w->blocking));
}

static void many_keys_are_told_apart(void **state)
{
    struct world *w = *state;
    enum { COUNT = 1000 };
    struct blocked *all[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        struct blocked_options options = {
            .type = OBJECT_LIST, .deadline_ms = INT64_MAX, .owner = w};
        struct bytes key = bytes_make((const uint8_t *)&i, sizeof(i));
        all[i] = blocking_add(w->blocking, &options, &key, 1);
    }
    assert_int_equal(blocking_stats(w->blocking)->keys, COUNT);
    for (uint32_t i = 0; i < COUNT; i++)
        blocking_remove(w->blocking, all[i]);
    assert_true(blocking_is_idle(w->blocking));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(those_who_blocked_first_are_served_first, set_up, tear_down),
        TEST_WITH(keys_are_served_in_the_order_of_their_signals, set_up, tear_down),
        TEST_WITH(a_key_named_twice_counts_once, set_up, tear_down),
        TEST_WITH(only_those_who_wait_for_the_type_are_tried, set_up, tear_down),
        TEST_WITH(one_may_also_wait_for_a_key_to_go, set_up, tear_down),
        TEST_WITH(who_finds_nothing_keeps_its_place, set_up, tear_down),
        TEST_WITH(nobody_overtakes_one_that_waits_for_the_disk, set_up, tear_down),
        TEST_WITH(one_that_has_loaded_in_vain_lets_the_others_go_on, set_up, tear_down),
        TEST_WITH(one_that_leaves_while_it_loads_lets_the_others_go_on, set_up, tear_down),
        TEST_WITH(the_last_may_leave_while_it_loads, set_up, tear_down),
        TEST_WITH(being_served_may_serve_others, set_up, tear_down),
        TEST_WITH(databases_are_apart, set_up, tear_down),
        TEST_WITH(deadlines_come_in_their_order, set_up, tear_down),
        TEST_WITH(many_keys_are_told_apart, set_up, tear_down),
    };
    return RUN_TESTS("blocking", tests);
}
