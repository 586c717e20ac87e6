/* Goal: a large sorted set is the same row of elements whatever of it is in RAM, through changes,
 * cuts, evictions and restarts; only what a request looks at is read; and damaged elements are
 * refused.
 *
 * Method: random changes and questions, each after its ensure function, on a real store in a
 * scratch directory, against a plain sorted array of some thousand elements, which are several
 * leaves of the order. In between leaves and members are evicted, cuts begin and end, the whole set
 * leaves RAM, and the store is closed and opened again. A failure prints its seed:
 * BASALT_TEST_SEED=n repeats it. */
#include "tests/support/harness.h"
#include "tests/support/large_world.h"

#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/store.h"
#include "storage/tier.h"
#include "storage/types/zset.h"
#include "storage/types/zset_ensure.h"
#include "storage/types/zset_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NAMES         5000 /* different members */
#define STEPS         5000
#define TEXT_MAX      64
#define SCORES_SPREAD 1000000

struct element {
    double score;
    uint32_t name;
};

struct world {
    struct large_world large;
    uint32_t score_range; /* scores are from 0 to before that */
    struct element *sorted;
    size_t count;
    double scores[NAMES]; /* NAN: not in the set */
};

static uint64_t below(struct world *w, uint64_t limit)
{
    return large_world_below(&w->large, limit);
}

/* ---- The model. */

static struct bytes name_text(uint32_t name, char text[TEXT_MAX])
{
    const char *format = name % 3 == 0 ? "a member with a long name %u" : "m%u";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return bytes_make(text, (size_t)snprintf(text, TEXT_MAX, format, name));
#pragma GCC diagnostic pop
}

static int compare(const struct element *a, const struct element *b)
{
    char x[TEXT_MAX], y[TEXT_MAX];
    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    return bytes_compare(name_text(a->name, x), name_text(b->name, y));
}

/* How many elements are before this one. */
static size_t place_of(const struct world *w, const struct element *element)
{
    size_t from = 0;
    size_t to = w->count;
    while (from < to) {
        size_t middle = (from + to) / 2;
        if (compare(&w->sorted[middle], element) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static void model_remove(struct world *w, size_t at, size_t count)
{
    for (size_t i = at; i < at + count; i++)
        w->scores[w->sorted[i].name] = NAN;
    w->count -= count;
    memmove(&w->sorted[at], &w->sorted[at + count], (w->count - at) * sizeof(*w->sorted));
}

static void model_put(struct world *w, uint32_t name, double score)
{
    struct element element = {.score = w->scores[name], .name = name};
    if (!isnan(element.score))
        model_remove(w, place_of(w, &element), 1);
    element.score = score;
    size_t at = place_of(w, &element);
    memmove(&w->sorted[at + 1], &w->sorted[at], (w->count - at) * sizeof(*w->sorted));
    w->sorted[at] = element;
    w->count++;
    w->scores[name] = score;
}

/* ---- The store. */

static struct world *create_world(uint64_t seed, uint32_t score_range)
{
    struct world *w = mem_calloc(1, sizeof(*w));
    w->score_range = score_range;
    w->sorted = mem_alloc((NAMES + 1) * sizeof(*w->sorted));
    for (size_t i = 0; i < NAMES; i++)
        w->scores[i] = NAN;
    large_world_open(&w->large, seed);
    return w;
}

static void destroy_world(struct world *w)
{
    large_world_close(&w->large);
    mem_free(w->sorted);
    mem_free(w);
}

static struct keyref ref_of(struct world *w)
{
    struct keyref ref;
    (void)large_world_find(&w->large, &ref);
    return ref;
}

/* The set; made if there is none. */
static struct object *set_of(struct world *w)
{
    struct keyref ref = ref_of(w);
    struct object *o = ks_find(w->large.ks, &ref);
    if (o != NULL)
        return o;
    o = ks_create(w->large.ks, &ref, OBJECT_ZSET);
    ks_change_begin(w->large.ks, ref.db, o);
    zset_init(o, ks_value_rules(w->large.ks), 1, 1);
    ks_change_end(w->large.ks, ref.db, o);
    return o;
}

static struct ensure ensure_of(struct world *w, struct object *o)
{
    return large_world_ensure(&w->large, o);
}

static void begin_change(struct world *w, struct object *o)
{
    ks_change_begin(w->large.ks, w->large.db, o);
}

static void end_change(struct world *w, struct object *o)
{
    zset_settle(o, ks_value_rules(w->large.ks));
    ks_change_end(w->large.ks, w->large.db, o);
}

/* ---- Changes. */

static void put(struct world *w, uint32_t name, double score)
{
    char text[TEXT_MAX];
    struct bytes member = name_text(name, text);
    struct object *o = set_of(w);
    struct zset_found found;
    if (o->large) {
        struct ensure e = ensure_of(w, o);
        struct zset_scores scores = {.members = &member, .count = 1, .step = 1, .scores = &score};
        assert_int_equal(zset_ensure_add(&e, &scores), ENSURED);
    }
    begin_change(w, o);
    if (zset_find(o, member, &found))
        zset_rescore(o, member, &found, score);
    else
        zset_add(o, ks_value_rules(w->large.ks), member, score);
    end_change(w, o);
    model_put(w, name, score);
}

static void remove_one(struct world *w, uint32_t name)
{
    char text[TEXT_MAX];
    struct bytes member = name_text(name, text);
    struct object *o = set_of(w);
    struct zset_found found;
    if (o->large) {
        struct ensure e = ensure_of(w, o);
        assert_int_equal(zset_ensure_remove(&e, &member, 1, 1), ENSURED);
    }
    bool there = !isnan(w->scores[name]);
    assert_int_equal(zset_find(o, member, &found), there);
    if (!there || w->count == 1)
        return;
    begin_change(w, o);
    zset_remove(o, &found);
    end_change(w, o);
    struct element element = {.score = w->scores[name], .name = name};
    model_remove(w, place_of(w, &element), 1);
}

static void ensure_ranks(struct world *w, struct object *o, uint64_t from, uint64_t to)
{
    if (!o->large)
        return;
    struct ensure e = ensure_of(w, o);
    assert_int_equal(zset_ensure_order(&e), ENSURED);
    assert_int_equal(zset_ensure_ranks(&e, from, to), ENSURED);
}

static void remove_range(struct world *w, uint64_t rank, uint64_t count)
{
    struct object *o = set_of(w);
    ensure_ranks(w, o, rank, rank + count);
    begin_change(w, o);
    zset_remove_range(o, rank, count);
    end_change(w, o);
    model_remove(w, rank, count);
}

/* ---- Questions. */

static void check_walk(struct world *w, uint64_t from, uint64_t count, bool down)
{
    struct object *o = set_of(w);
    struct zset_walk walk;
    struct bytes member;
    double score;
    char text[TEXT_MAX];
    if (count == 0)
        return;
    ensure_ranks(w, o, from, from + count);
    zset_walk_init(&walk, o, down ? from + count - 1 : from, down);
    for (uint64_t i = 0; i < count; i++) {
        const struct element *expected = &w->sorted[down ? from + count - 1 - i : from + i];
        assert_true(zset_walk_next(&walk, &member, &score));
        assert_bytes(member, name_text(expected->name, text));
        assert_true(score == expected->score);
    }
}

static void check_all(struct world *w)
{
    assert_int_equal(zset_count(set_of(w)), w->count);
    check_walk(w, 0, w->count, false);
    check_walk(w, 0, w->count, true);
}

static void check_score(struct world *w, uint32_t name)
{
    char text[TEXT_MAX];
    struct bytes member = name_text(name, text);
    struct object *o = set_of(w);
    struct zset_found found;
    if (o->large) {
        struct ensure e = ensure_of(w, o);
        assert_int_equal(zset_ensure_members(&e, &member, 1, 1), ENSURED);
    }
    assert_int_equal(zset_find(o, member, &found), !isnan(w->scores[name]));
    if (!isnan(w->scores[name]))
        assert_true(found.score == w->scores[name]);
}

static void check_rank(struct world *w, uint32_t name)
{
    char text[TEXT_MAX];
    struct bytes member = name_text(name, text);
    struct object *o = set_of(w);
    struct zset_found found;
    if (o->large) {
        struct ensure e = ensure_of(w, o);
        assert_int_equal(zset_ensure_rank(&e, member), ENSURED);
    }
    assert_int_equal(zset_find(o, member, &found), !isnan(w->scores[name]));
    struct element element = {.score = w->scores[name], .name = name};
    if (!isnan(element.score))
        assert_int_equal(zset_rank(o, &found), place_of(w, &element));
}

static void check_seek(struct world *w)
{
    struct object *o = set_of(w);
    struct order_bound bound = {.score = (double)below(w, w->score_range),
                                .after = below(w, 2) == 0};
    size_t expected = 0;
    while (expected < w->count && (w->sorted[expected].score < bound.score ||
                                   (bound.after && w->sorted[expected].score == bound.score)))
        expected++;
    if (o->large) {
        struct ensure e = ensure_of(w, o);
        assert_int_equal(zset_ensure_seek(&e, &bound), ENSURED);
    }
    assert_int_equal(zset_seek(o, &bound), expected);
}

struct scan {
    const struct world *w;
    bool seen[NAMES];
    size_t count; /* of those that were seen */
};

static void see(void *arg, struct bytes member, double score)
{
    struct scan *scan = arg;
    char text[TEXT_MAX];
    uint32_t name = 0;
    for (size_t at = 0; at < member.len; at++)
        if (member.data[at] >= '0' && member.data[at] <= '9')
            name = name * 10 + (uint32_t)(member.data[at] - '0');
    assert_in_range(name, 0, NAMES - 1);
    assert_bytes(member, name_text(name, text));
    assert_true(score == scan->w->scores[name]);
    scan->count += !scan->seen[name];
    scan->seen[name] = true;
}

static void check_scan(struct world *w)
{
    struct scan scan = {.w = w};
    uint64_t cursor = 0;
    do {
        struct object *o = set_of(w);
        if (o->large) {
            struct ensure e = ensure_of(w, o);
            assert_int_equal(zset_ensure_scan(&e, cursor, 100), ENSURED);
        }
        cursor = zset_scan(o, cursor, 100, see, &scan);
        if (below(w, 20) == 0)
            large_world_evict(&w->large, 20000);
    } while (cursor != 0);
    assert_int_equal(scan.count, w->count); /* each once at least */
}

/* ---- The run. */

/* `grows` of 100 changes put something in. */
static void change(struct world *w, uint64_t grows)
{
    uint32_t name = (uint32_t)below(w, NAMES);
    if (below(w, 100) < grows) {
        put(w, name, (double)below(w, w->score_range));
        return;
    }
    if (below(w, 30) != 0 || w->count < 1000) {
        remove_one(w, name);
        return;
    }
    uint64_t count = below(w, 3) == 0 ? below(w, 700) + 1 : 1 + below(w, 3);
    uint64_t place = below(w, 4); /* the first ones, the last ones, or any */
    uint64_t last = w->count - count;
    remove_range(w, place == 0 ? 0 : place == 1 ? last : below(w, last + 1), count);
}

static void ask(struct world *w)
{
    uint32_t name = (uint32_t)below(w, NAMES);
    uint64_t from;
    switch (below(w, 8)) {
    case 0:
    case 1:
        check_score(w, name);
        break;
    case 2:
    case 3:
        check_rank(w, name);
        break;
    case 4:
        check_seek(w);
        break;
    case 5:
    case 6:
        from = w->count == 0 ? 0 : below(w, w->count);
        check_walk(w, from, w->count - from < 20 ? w->count - from : below(w, 20),
                   below(w, 2) == 0);
        break;
    default:
        assert_int_equal(zset_count(set_of(w)), w->count);
        break;
    }
}

static void run(uint64_t seed, uint32_t score_range)
{
    struct world *w = create_world(seed, score_range);
    print_message("seed %" PRIu64 "\n", seed);
    for (uint32_t name = 0; name < NAMES; name += 2)
        put(w, name, (double)below(w, w->score_range));
    for (uint32_t step = 0; step < STEPS; step++) {
        change(w, step % 2500 < 1600 ? 70 : 35);
        ask(w);
        large_world_disturb(&w->large, 200000);
        if (step % 2500 == 2499)
            check_all(w);
    }
    assert_true(set_of(w)->large);
    check_scan(w);
    large_world_evict_all(&w->large);
    check_scan(w);
    large_world_reopen(&w->large);
    check_all(w);
    destroy_world(w);
}

static void random_changes_equal_a_model(void **state)
{
    (void)state;
    static const uint32_t ranges[] = {SCORES_SPREAD, 4, 1};
    const char *seed = getenv("BASALT_TEST_SEED");
    for (uint64_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
        run(seed != NULL ? strtoull(seed, NULL, 10) : i + 1, ranges[i]);
}

static struct world *filled_world(uint32_t count)
{
    struct world *w = create_world(5, SCORES_SPREAD);
    for (uint32_t i = 0; i < count; i++)
        put(w, i, (double)(i * 7919 % SCORES_SPREAD));
    assert_true(set_of(w)->large);
    large_world_evict_all(&w->large);
    return w;
}

static void ranks_and_ranges_read_little(void **state)
{
    (void)state;
    struct world *w = filled_world(NAMES);
    struct keyref ref = ref_of(w);
    struct object *o = ks_find(w->large.ks, &ref);
    struct err err;
    assert_int_equal(zset_count(o), NAMES); /* the header alone tells */
    assert_int_equal(zset_of(o)->members.table.count, 0);
    check_rank(w, 77);
    assert_in_range(zset_of(o)->members.table.count, 1, ORDER_LEAF_MAX + 1);
    check_walk(w, 3000, 10, false);
    check_seek(w);
    assert_in_range(zset_of(o)->members.table.count, 1, 5 * ORDER_LEAF_MAX);
    remove_range(w, 0, 3);
    remove_range(w, w->count - 3, 3);
    put(w, 3, 5);
    assert_in_range(zset_of(o)->members.table.count, 1, 8 * ORDER_LEAF_MAX);
    check_all(w);
    assert_ok(store_cut_now(w->large.store, false, &err), &err);
    destroy_world(w);
}

static void what_is_evicted_frees_its_memory(void **state)
{
    (void)state;
    struct world *w = filled_world(NAMES);
    check_all(w);
    size_t all = zset_value_type.bytes(set_of(w));
    for (int i = 0; i < 100; i++)
        large_world_evict(&w->large, 1 << 20);
    size_t rest = zset_value_type.bytes(set_of(w));
    assert_int_equal(zset_of(set_of(w))->members.table.count, 0);
    assert_true(rest < all / 8);
    check_all(w);
    destroy_world(w);
}

/* ---- Bytes on disk. */

static enum status read_element(struct world *w, struct bytes element, struct buf *value)
{
    struct err err;
    uint8_t key[128];
    buf_clear(value);
    size_t len = record_element_key_encode(object_large_id(set_of(w)), element, key);
    return cold_get(store_cold(w->large.store), FAMILY_ZSET, bytes_make(key, len), value, &err);
}

/* As FORMAT.md has it. */
static void elements_have_their_documented_bytes(void **state)
{
    (void)state;
    static const uint8_t two[] = {'S', 0xc0, 0, 0, 0, 0, 0, 0, 0, 'b'};
    static const uint8_t minus[] = {'S', 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'c'};
    static const uint8_t zero[] = {'S', 0x80, 0, 0, 0, 0, 0, 0, 0, 'z'};
    static const uint8_t first[] = {'L', 0, 0, 0, 0, 0, 0, 0, 0};
    struct world *w = filled_world(300);
    struct buf value = {0};
    static const struct {
        const char *member;
        double score;
    } elements[] = {{"b", 2}, {"c", -2}, {"z", -0.0}};
    struct object *o = set_of(w);
    for (size_t i = 0; i < 3; i++) {
        struct bytes member = bytes_text(elements[i].member);
        struct ensure e = ensure_of(w, o);
        struct zset_scores scores = {
            .members = &member, .count = 1, .step = 1, .scores = &elements[i].score};
        assert_int_equal(zset_ensure_add(&e, &scores), ENSURED);
        begin_change(w, o);
        zset_add(o, ks_value_rules(w->large.ks), member, elements[i].score);
        end_change(w, o);
    }
    large_world_cut(&w->large);
    assert_status(read_element(w, bytes_make(two, sizeof(two)), &value), ST_OK);
    assert_bytes(buf_bytes(&value), bytes_make("\0", 1));
    assert_status(read_element(w, bytes_make(minus, sizeof(minus)), &value), ST_OK);
    assert_bytes(buf_bytes(&value), bytes_make("\0", 1));
    assert_status(read_element(w, bytes_make(zero, sizeof(zero)), &value), ST_OK);
    assert_bytes(buf_bytes(&value), bytes_make("\1", 1));
    assert_status(read_element(w, bytes_make(first, sizeof(first)), &value), ST_OK);
    assert_bytes(buf_bytes(&value), bytes_make("\xaf\x02", 2)); /* 303 */
    buf_deinit(&value);
    destroy_world(w);
}

static enum status install(struct world *w, struct bytes element, struct bytes value)
{
    return zset_value_type.install_part(set_of(w), element, value, true,
                                        ks_value_rules(w->large.ks));
}

static void damaged_elements_are_refused(void **state)
{
    (void)state;
    static const uint8_t nan[] = {'S', 0xff, 0xf8, 0, 0, 0, 0, 0, 0, 'x'};
    static const uint8_t good[] = {'S', 0xc0, 0, 0, 0, 0, 0, 0, 0, 'x'};
    static const uint8_t leaf[] = {'L', 0xc0, 0, 0, 0, 0, 0, 0, 0};
    struct world *w = filled_world(2000);
    struct ensure e = ensure_of(w, set_of(w));
    struct bytes none = bytes_make("\0", 1);
    assert_status(install(w, bytes_make("", 0), none), ST_CORRUPT);
    assert_status(install(w, bytes_text("X"), none), ST_CORRUPT);
    for (size_t len = 1; len < ZSET_KEY_PREFIX_BYTES; len++) {
        assert_status(install(w, bytes_make(good, len), none), ST_CORRUPT);
        assert_status(install(w, bytes_make(leaf, len), none), ST_CORRUPT);
    }
    assert_status(install(w, bytes_make(nan, sizeof(nan)), none), ST_CORRUPT);
    assert_status(install(w, bytes_make(good, sizeof(good)), bytes_text("")), ST_CORRUPT);
    assert_status(install(w, bytes_make(good, sizeof(good)), bytes_make("\0\0", 2)), ST_CORRUPT);
    assert_status(install(w, bytes_make(good, sizeof(good)), bytes_text("\2")), ST_CORRUPT);
    assert_status(install(w, bytes_make(good, sizeof(good)), bytes_text("\1")), ST_CORRUPT);
    assert_status(install(w, bytes_make(leaf, sizeof(leaf)), bytes_text("")), ST_CORRUPT);
    assert_status(install(w, bytes_make(leaf, sizeof(leaf)), none), ST_CORRUPT);
    assert_status(install(w, bytes_make(leaf, sizeof(leaf)), bytes_text("\x80")), ST_CORRUPT);
    assert_status(install(w, bytes_make(leaf, sizeof(leaf)), bytes_text("\1\1")), ST_CORRUPT);

    uint8_t member[MEMBER_ELEMENT_PREFIX_BYTES + 1];
    uint8_t score[1 + ZSET_SCORE_BYTES] = {MEMBER_RECORD_PREFIXED};
    struct member_key key = member_key(&zset_of(set_of(w))->members, bytes_text("x"));
    member_element_prefix(key.position + 1, member);
    member[sizeof(member) - 1] = 'x';
    struct bytes element = bytes_make(member, sizeof(member));
    assert_status(install(w, element, bytes_make(score, sizeof(score))), ST_CORRUPT);
    member_element_prefix(key.position, member);
    assert_status(install(w, element, bytes_make(score, sizeof(score) - 1)), ST_CORRUPT);
    assert_status(install(w, element, bytes_make("\0", 1)), ST_CORRUPT);
    store_le64(score + 1, 0x7ff8000000000000);
    assert_status(install(w, element, bytes_make(score, sizeof(score))), ST_CORRUPT);

    /* Elements that a whole leaf does not have. */
    assert_int_equal(zset_ensure_all(&e), ENSURED);
    store_le64(score + 1, 0);
    assert_status(install(w, element, bytes_make(score, sizeof(score))), ST_CORRUPT);
    assert_status(install(w, bytes_make(good, sizeof(good)), none), ST_CORRUPT);
    check_all(w);
    destroy_world(w);
}

/* A record by order, or a leaf's, that is not there: what there is counts. */
static void missing_elements_leave_the_others_in_order(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct world *w = filled_world(2000);
        struct err err;
        uint8_t key[128];
        struct buf element = {0};
        struct ensure e = ensure_of(w, set_of(w));
        assert_int_equal(zset_ensure_order(&e), ENSURED);
        const struct order_leaf *second = order_leaf_next(zset_of(e.o)->order.first);
        struct order_key place = order_leaf_begin(second);
        char text[TEXT_MAX];
        if (kind == 0) {
            place.score = zset_score_order(w->sorted[700].score);
            place.member = name_text(w->sorted[700].name, text);
        }
        zset_order_key(&place, &element);
        if (kind == 1)
            element.data[0] = ZSET_KEY_LEAF;
        size_t len = record_element_key_encode(object_large_id(e.o), buf_bytes(&element), key);
        large_world_evict_all(&w->large);
        struct cold_batch *batch = cold_batch_create();
        cold_batch_delete(batch, FAMILY_ZSET, bytes_make(key, len));
        assert_ok(cold_write(store_cold(w->large.store), batch, false, &err), &err);
        cold_batch_destroy(batch);
        if (kind == 0)
            model_remove(w, 700, 1);
        e.o = set_of(w);
        assert_int_equal(zset_ensure_all(&e), ENSURED);
        check_all(w);
        buf_deinit(&element);
        destroy_world(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_changes_equal_a_model),     TEST(ranks_and_ranges_read_little),
        TEST(what_is_evicted_frees_its_memory), TEST(elements_have_their_documented_bytes),
        TEST(damaged_elements_are_refused),     TEST(missing_elements_leave_the_others_in_order),
    };
    return RUN_TESTS("zset_large", tests);
}
