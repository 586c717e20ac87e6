/* Goal: a large stream is the same row of entries, with the same pending ones, whatever of it is in
 * RAM, through appends, deletions, trimming, cuts, evictions and restarts.
 *
 * Method: random changes and questions, each after its ensure function, against plain arrays, while
 * the stream's pieces come and go (large_world.h). A failure prints its seed: BASALT_TEST_SEED=n
 * repeats it, but for how far the thread of the cuts has come. */
#include "tests/support/harness.h"

#include "codec/mem.h"
#include "storage/types/stream.h"
#include "tests/support/large_world.h"

#include <inttypes.h>
#include <stdio.h>

#define SEEDS        6
#define STEPS        4000
#define ENTRIES_MAX  (2 * STEPS)
#define NODE_ENTRIES 7
#define TEXT_MAX     64
#define CONSUMERS    3
#define LONG_EACH    3 /* one in so many entries has a second field */
#define GROUP        bytes_text("group")

struct pending {
    struct stream_id id;
    uint32_t consumer; /* 0 to CONSUMERS - 1 */
    uint64_t deliveries;
};

struct world {
    struct large_world large;
    struct stream_id last, ids[ENTRIES_MAX]; /* ascending */
    size_t count;
    struct pending pending[ENTRIES_MAX];
    size_t pending_count;
};

static uint64_t below(struct world *w, uint64_t limit)
{
    return large_world_below(&w->large, limit);
}

/* ---- The model. */

static bool is_long(struct stream_id id)
{
    return id.ms % LONG_EACH == 0;
}

static struct bytes value_text(struct stream_id id, char text[TEXT_MAX])
{
    const char *format = is_long(id) ? "a longer value, of %" PRIu64 " and %" PRIu64 : "%" PRIu64;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return bytes_make(text, (size_t)snprintf(text, TEXT_MAX, format, id.ms, id.seq));
#pragma GCC diagnostic pop
}

/* How many entries are before this id. */
static size_t place_of(const struct world *w, struct stream_id id)
{
    size_t from = 0;
    size_t to = w->count;
    while (from < to) {
        size_t middle = (from + to) / 2;
        if (stream_id_compare(w->ids[middle], id) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static void model_remove(struct world *w, size_t at, size_t count)
{
    w->count -= count;
    memmove(&w->ids[at], &w->ids[at + count], (w->count - at) * sizeof(*w->ids));
}

static struct pending *find_pending(struct world *w, struct stream_id id)
{
    for (size_t i = 0; i < w->pending_count; i++)
        if (stream_id_compare(w->pending[i].id, id) == 0)
            return &w->pending[i];
    return NULL;
}

/* An id that is there, or was, or never was. */
static struct stream_id some_id(struct world *w)
{
    if (w->count != 0 && below(w, 4) != 0)
        return w->ids[below(w, w->count)];
    return (struct stream_id){.ms = 1 + below(w, w->last.ms + 1), .seq = below(w, 3)};
}

/* ---- The store. */

/* The stream; made, with its group, if there is none. */
static struct object *object_of(struct world *w)
{
    struct keyref ref;
    struct object *o = large_world_find(&w->large, &ref);
    if (o != NULL)
        return o;
    o = ks_create(w->large.ks, &ref, OBJECT_STREAM);
    ks_change_begin(w->large.ks, ref.db, o);
    stream_init(o);
    struct stream *s = stream_of(o);
    struct stream_group *group = stream_create_group(s, GROUP, (struct stream_id){0, 0}, 0);
    for (uint32_t i = 0; i < CONSUMERS; i++) {
        char name[TEXT_MAX];
        (void)snprintf(name, sizeof(name), "consumer-%u", i);
        assert_non_null(stream_create_consumer(s, group, bytes_text(name), 1));
    }
    ks_change_end(w->large.ks, ref.db, o);
    return o;
}

static struct ensure ensure_of(struct world *w, struct object *o)
{
    return large_world_ensure(&w->large, o);
}

static struct stream *begin_change(struct world *w, struct object *o)
{
    ks_change_begin(w->large.ks, w->large.db, o);
    return stream_of(o);
}

static void end_change(struct world *w, struct object *o)
{
    stream_settle(o, ks_value_rules(w->large.ks));
    ks_change_end(w->large.ks, w->large.db, o);
}

/* ---- Changes. */

static void append(struct world *w)
{
    static const struct stream_limits limits = {.node_entries_max = NODE_ENTRIES};
    char text[TEXT_MAX];
    struct object *o = object_of(w);
    struct ensure e = ensure_of(w, o);
    if (w->count == ENTRIES_MAX)
        return;
    assert_int_equal(stream_ensure_tail(&e), ENSURED);
    if (w->last.ms == 0 || below(w, 3) != 0)
        w->last = (struct stream_id){.ms = w->last.ms + 1 + below(w, 3), .seq = below(w, 2)};
    else
        w->last.seq++;
    struct bytes value = value_text(w->last, text);
    const struct bytes texts[] = {bytes_text("field"), value, bytes_text("second"), value};
    struct stream *s = begin_change(w, o);
    stream_append(s, w->last, texts, is_long(w->last) ? 2 : 1, &limits);
    end_change(w, o);
    w->ids[w->count++] = w->last;
}

/* Some that stand together, or anywhere. */
static void delete_some(struct world *w)
{
    struct stream_id ids[3 * NODE_ENTRIES];
    size_t count = 1 + below(w, sizeof(ids) / sizeof(ids[0]));
    size_t from = w->count == 0 ? 0 : below(w, w->count);
    bool together = below(w, 2) == 0;
    if (below(w, 4) == 0)
        from = 0;
    for (size_t i = 0; i < count; i++)
        ids[i] = together && from + i < w->count ? w->ids[from + i] : some_id(w);
    struct object *o = object_of(w);
    struct ensure e = ensure_of(w, o);
    assert_int_equal(stream_ensure_ids(&e, ids, count), ENSURED);
    struct stream *s = begin_change(w, o);
    for (size_t i = 0; i < count; i++) {
        size_t at = place_of(w, ids[i]);
        bool there = at < w->count && stream_id_compare(w->ids[at], ids[i]) == 0;
        assert_int_equal(stream_delete(s, ids[i]), there);
        if (there)
            model_remove(w, at, 1);
    }
    end_change(w, o);
}

static void trim(struct world *w)
{
    struct stream_trim how = {.by_id = below(w, 2) == 0, .approximate = below(w, 2) == 0};
    size_t most;
    if (how.by_id) {
        how.min_id = w->count == 0 ? w->last : w->ids[below(w, 1 + w->count / 4)];
        if (below(w, 40) == 0)
            how.min_id = STREAM_ID_MAX;
        most = place_of(w, how.min_id);
    } else {
        how.length_max = below(w, 40) == 0 ? 0 : w->count - below(w, 1 + w->count / 4);
        most = w->count - how.length_max;
    }
    struct object *o = object_of(w);
    struct ensure e = ensure_of(w, o);
    assert_int_equal(stream_ensure_trim(&e, &how), ENSURED);
    struct stream *s = begin_change(w, o);
    uint64_t done = stream_trim(s, &how);
    end_change(w, o);
    if (how.approximate)
        assert_in_range(done, 0, most);
    else
        assert_int_equal(done, most);
    model_remove(w, 0, (size_t)done);
}

static void deliver(struct world *w)
{
    if (w->count == 0 || w->pending_count == ENTRIES_MAX)
        return;
    struct stream_id id = w->ids[below(w, w->count)];
    uint32_t consumer = (uint32_t)below(w, CONSUMERS);
    uint64_t deliveries = below(w, 1000);
    struct object *o = object_of(w);
    struct ensure e = ensure_of(w, o);
    assert_int_equal(stream_ensure_groups(&e), ENSURED);
    struct stream *s = begin_change(w, o);
    struct stream_group *group = stream_find_group(s, GROUP);
    stream_put_pending(s, group, group->consumers[consumer], id, 5, deliveries);
    end_change(w, o);
    struct pending *known = find_pending(w, id);
    if (known == NULL)
        known = &w->pending[w->pending_count++];
    *known = (struct pending){.id = id, .consumer = consumer, .deliveries = deliveries};
}

static void acknowledge(struct world *w)
{
    struct stream_id id = some_id(w);
    if (w->pending_count != 0 && below(w, 3) != 0)
        id = w->pending[below(w, w->pending_count)].id;
    struct object *o = object_of(w);
    struct ensure e = ensure_of(w, o);
    assert_int_equal(stream_ensure_groups(&e), ENSURED);
    struct pending *known = find_pending(w, id);
    struct stream *s = begin_change(w, o);
    assert_int_equal(stream_remove_pending(s, stream_find_group(s, GROUP), id), known != NULL);
    end_change(w, o);
    if (known != NULL)
        *known = w->pending[--w->pending_count];
}

static void change(struct world *w, bool grows)
{
    uint64_t which = below(w, 100);
    if (which < (grows ? 60 : 30))
        append(w);
    else if (which < 70)
        deliver(w);
    else if (which < 80)
        acknowledge(w);
    else if (which < (grows ? 85 : 97))
        delete_some(w);
    else if (below(w, 4) == 0)
        trim(w);
}

/* ---- Questions. */

static void check_header(struct world *w)
{
    const struct stream *s = stream_of(object_of(w));
    struct stream_id first = w->count == 0 ? (struct stream_id){0, 0} : w->ids[0];
    assert_int_equal(s->length, w->count);
    assert_int_equal(stream_id_compare(s->last_id, w->last), 0);
    assert_int_equal(stream_id_compare(s->first_id, first), 0);
}

static void check_entry(struct stream_entry *entry, struct stream_id id)
{
    char field_scratch[24], value_scratch[24], text[TEXT_MAX];
    struct bytes field, value;
    assert_int_equal(stream_id_compare(entry->id, id), 0);
    assert_int_equal(entry->field_count, is_long(id) ? 2 : 1);
    for (uint64_t i = 0; i < entry->field_count; i++) {
        stream_entry_next(entry, field_scratch, value_scratch, &field, &value);
        assert_bytes(field, bytes_text(i == 0 ? "field" : "second"));
        assert_bytes(value, value_text(id, text));
    }
}

/* Up to `count` entries from..to. */
static void check_range(struct world *w, struct stream_id from, struct stream_id to, uint64_t count,
                        bool reverse)
{
    struct object *o = object_of(w);
    struct ensure e = ensure_of(w, o);
    struct stream_walk walk;
    struct stream_entry entry;
    size_t first = place_of(w, from);
    size_t end = place_of(w, to);
    end += end < w->count && stream_id_compare(w->ids[end], to) == 0;
    size_t expected = end > first ? end - first : 0;
    if (expected > count)
        expected = (size_t)count;
    assert_int_equal(stream_ensure_range(&e, from, to, count, reverse), ENSURED);
    stream_walk_init(&walk, stream_of(o), from, to, reverse);
    for (size_t i = 0; i < expected; i++) {
        assert_true(stream_walk_next(&walk, &entry));
        check_entry(&entry, w->ids[reverse ? end - 1 - i : first + i]);
    }
    if (expected < count)
        assert_false(stream_walk_next(&walk, &entry));
}

static void check_pending(struct world *w)
{
    struct object *o = object_of(w);
    struct ensure e = ensure_of(w, o);
    assert_int_equal(stream_ensure_groups(&e), ENSURED);
    const struct stream_group *group = stream_find_group(stream_of(o), GROUP);
    uint64_t of_consumers = 0;
    assert_int_equal(group->pending.count, w->pending_count);
    for (uint32_t i = 0; i < CONSUMERS; i++)
        of_consumers += group->consumers[i]->pending.count;
    assert_int_equal(of_consumers, w->pending_count);
    for (size_t i = 0; i < w->pending_count; i++) {
        const struct pending *expected = &w->pending[i];
        const struct stream_pending_part *found = stream_find_pending(group, expected->id);
        assert_non_null(found);
        assert_int_equal(found->deliveries, expected->deliveries);
        assert_int_equal(found->consumer, group->consumers[expected->consumer]->part->number);
    }
}

static void check_all(struct world *w)
{
    static const struct stream_id zero = {0, 0};
    check_header(w);
    check_range(w, zero, STREAM_ID_MAX, ENTRIES_MAX + 1, false);
    check_range(w, zero, STREAM_ID_MAX, ENTRIES_MAX + 1, true);
    check_pending(w);
}

static void ask(struct world *w)
{
    struct stream_id from = some_id(w);
    struct stream_id to = below(w, 3) == 0 ? STREAM_ID_MAX : some_id(w);
    check_header(w);
    check_range(w, from, to, 1 + below(w, 30), below(w, 2) == 0);
    struct object *o = object_of(w);
    struct ensure e = ensure_of(w, o);
    size_t at = place_of(w, from);
    assert_int_equal(stream_ensure_ids(&e, NULL, 0), ENSURED);
    assert_int_equal(stream_ensure_ids(&e, &from, 1), ENSURED);
    assert_int_equal(stream_has(stream_of(o), from),
                     at < w->count && stream_id_compare(w->ids[at], from) == 0);
}

static void run(uint64_t seed)
{
    struct world *w = mem_calloc(1, sizeof(*w));
    large_world_open(&w->large, seed);
    for (uint32_t step = 0; step < STEPS; step++) {
        change(w, step % 1500 < 1000);
        ask(w);
        large_world_disturb(&w->large, 20000);
        if (step % 500 == 499)
            check_all(w);
    }
    assert_true(object_of(w)->large);
    large_world_reopen(&w->large);
    check_all(w);
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
