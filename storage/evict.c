#include "storage/evict.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "storage/cut.h"
#include "storage/loader.h"
#include "storage/object_value.h"
#include "storage/tier.h"

#include <time.h>

#define SAMPLES_MAX          64
#define PRESSURE_SLACK       32 /* 1 / this much over the bound slows writers, twice that stops them */
#define PRESSURE_BYTES_MIN   ((size_t)1 << 20) /* writers get so much, however low the bound */
#define PROBATION_SHARE      10 /* newly loaded keys may be 1 / this many of all resident ones */
#define ROUNDS_PER_LOOK      16 /* between looks at the clock */
#define SAME_POSITION_MAX    8
#define FRUITLESS_ROUNDS_MAX 64   /* then everything near is dirty: wait for the cut */
#define PROBATION_ITEMS_MIN  1024 /* a power of two */
#define PROBATION_POPS_MAX   64   /* in one round */
#define LARGE_DROP_BYTES     ((size_t)1 << 20)
#define HELD_SHARE           2
#define WHOLE_CHANCE         64

struct probation_entry {
    uint64_t position;
    uint32_t db_id;
};

/* A ring; its capacity is a power of two. */
struct probation {
    struct probation_entry *items; /* owned */
    size_t first, count, capacity;
};

struct evict {
    struct evict_options options;
    bool found_nothing; /* the last time when room was to be made */
    struct evict_stats stats;
};

struct probation *probation_create(void)
{
    return mem_calloc(1, sizeof(struct probation));
}

void probation_destroy(struct probation *probation)
{
    if (probation == NULL)
        return;
    mem_free(probation->items);
    mem_free(probation);
}

static uint64_t resident_count(const struct keyspace *ks)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < ks->db_count; i++)
        total += ks->dbs[i]->resident;
    return total;
}

static struct probation_entry probation_pop(struct probation *probation)
{
    struct probation_entry entry = probation->items[probation->first];
    probation->first = (probation->first + 1) & (probation->capacity - 1);
    probation->count--;
    return entry;
}

size_t probation_bytes(const struct probation *probation)
{
    return probation == NULL ? 0 : probation->capacity * sizeof(*probation->items);
}

void probation_push(struct keyspace *ks, const struct db *db, const struct object *o)
{
    struct probation *probation = ks->probation;
    if (probation == NULL)
        return;
    bool full = probation->count == probation->capacity;
    if (full && probation->count != 0 && probation->count >= resident_count(ks)) {
        (void)probation_pop(probation); /* most entries are out of date: no need for more room */
    } else if (full) {
        size_t capacity = probation->capacity == 0 ? PROBATION_ITEMS_MIN : probation->capacity * 2;
        struct probation_entry *items = mem_alloc(capacity * sizeof(*items));
        for (size_t i = 0; i < probation->count; i++)
            items[i] = probation->items[(probation->first + i) & (probation->capacity - 1)];
        mem_free(probation->items);
        probation->items = items;
        probation->first = 0;
        probation->capacity = capacity;
    }
    size_t at = (probation->first + probation->count++) & (probation->capacity - 1);
    probation->items[at] = (struct probation_entry){.position = o->position, .db_id = db->id};
}

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct evict *evict_create(const struct evict_options *options)
{
    struct evict *evict = mem_calloc(1, sizeof(*evict));
    evict_configure(evict, options);
    return evict;
}

void evict_destroy(struct evict *evict)
{
    mem_free(evict);
}

void evict_configure(struct evict *evict, const struct evict_options *options)
{
    CHECK(options->samples >= 1);
    CHECK(options->samples <= SAMPLES_MAX);
    evict->options = *options;
}

size_t evict_used_bytes(const struct evict *evict)
{
    return ks_bytes(evict->options.ks) + cut_bytes(evict->options.cut);
}

/* ---- Victims ----------------------------------------------------------------------------------
 */

static void demote(struct evict *evict, struct db *db, struct object *o)
{
    evict->stats.demoted++;
    ks_demote(evict->options.ks, db, o);
}

static size_t drop_chunks(struct evict *evict, struct db *db, struct object *o)
{
    struct keyspace *ks = evict->options.ks;
    if (o->encoding != ENCODING_CHUNKED || string_chunked(o)->taken_epoch > ks->applied_epoch ||
        loader_is_loading(ks->loader, db, o))
        return 0;
    return string_chunked_drop_clean(o, LARGE_DROP_BYTES);
}

/* While somebody waits for parts of a collection they are left alone. If it takes most of the
 * memory (and is read here and there, so that it would never shrink) that is so for requests that
 * need much: what may be brought in whole takes up to HELD_SHARE times the memory for a while,
 * since the bound on it does not count tables. What just came in is spared in any case
 * (part.fresh). */
static size_t drop_parts(struct evict *evict, struct db *db, struct object *o)
{
    struct keyspace *ks = evict->options.ks;
    size_t bytes = object_value_bytes(o);
    if (loader_is_loading(ks->loader, db, o) &&
        (bytes < evict->options.bytes_max / 2 ||
         (bytes / HELD_SHARE < evict->options.bytes_max && loader_holds_pieces(ks->loader, db, o))))
        return 0;
    return object_value_type((enum object_type)o->type)->drop_clean(o, LARGE_DROP_BYTES);
}

/* A large value loses some clean pieces before it goes as a whole. */
static bool drop_pieces(struct evict *evict, struct db *db, struct object *o)
{
    struct keyspace *ks = evict->options.ks;
    size_t freed = o->type == OBJECT_STRING ? drop_chunks(evict, db, o) : drop_parts(evict, db, o);
    db->object_bytes -= freed;
    ks->object_bytes -= freed;
    evict->stats.piece_bytes += freed;
    return freed != 0;
}

/* What is large in RAM, too, goes by pieces: to read it again from the start, a sorted set's order
 * above all, takes long. It goes as a whole when there has been nothing left to drop for a while;
 * once is not enough, since pieces that are in use are spared at first. */
static bool may_go_whole(const struct evict *evict, const struct object *o, bool dropped)
{
    return object_value_bytes(o) < LARGE_DROP_BYTES ||
           (!dropped && ks_random(evict->options.ks) % WHOLE_CHANCE == 0);
}

/* Higher goes first. */
static uint64_t badness(const struct evict *evict, const struct object *o)
{
    const struct keyspace *ks = evict->options.ks;
    uint64_t score = 0;
    switch (evict->options.policy) {
    case EVICT_LRU:
        score = ks_idle_seconds(ks, o);
        break;
    case EVICT_LFU:
        score = 255 - (uint64_t)ks_frequency(ks, o);
        break;
    case EVICT_TTL:
        score = object_has_expire(o) ? INT64_MAX - (uint64_t)o->expire_at_ms : 0;
        break;
    case EVICT_RANDOM:
        break;
    }
    bool preferred = o->probation || (evict->options.volatile_first && object_has_expire(o));
    return score | (preferred ? (uint64_t)1 << 63 : 0); /* no score has that bit */
}

static struct db *pick_db(struct keyspace *ks)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < ks->db_count; i++)
        total += ks->dbs[i]->resident;
    if (total == 0)
        return NULL;
    uint64_t at = ks_random(ks) % total;
    for (uint32_t i = 0; i < ks->db_count; i++) {
        if (at < ks->dbs[i]->resident)
            return ks->dbs[i];
        at -= ks->dbs[i]->resident;
    }
    return NULL;
}

static bool evict_sampled(struct evict *evict)
{
    struct keyspace *ks = evict->options.ks;
    struct db *db = pick_db(ks);
    if (db == NULL)
        return false;
    struct object *samples[SAMPLES_MAX];
    size_t count = table_sample(db->table, ks_random(ks), samples, evict->options.samples + 2);
    for (size_t i = 0; i < count; i++)
        __builtin_prefetch(samples[i]);
    struct object *worst = NULL;
    uint64_t worst_score = 0;
    bool dropped = false;
    for (size_t i = 0; i < count; i++) {
        struct object *o = samples[i];
        if (o->large && object_is_live(o)) {
            bool freed = drop_pieces(evict, db, o);
            dropped = dropped || freed;
            if (!may_go_whole(evict, o, freed))
                continue;
        }
        if (!ks_can_demote(ks, db, o))
            continue;
        uint64_t score = badness(evict, o);
        if (worst == NULL || score > worst_score) {
            worst = o;
            worst_score = score;
        }
    }
    if (worst == NULL) {
        evict->stats.no_victim++;
        return dropped;
    }
    demote(evict, db, worst);
    return true;
}

static bool evict_probation(struct evict *evict)
{
    struct keyspace *ks = evict->options.ks;
    for (uint32_t n = 0; n < PROBATION_POPS_MAX && ks->probation->count != 0; n++) {
        struct probation_entry entry = probation_pop(ks->probation);
        struct db *db = ks_db_by_id(ks, entry.db_id);
        if (db == NULL)
            continue;
        struct object *found[SAME_POSITION_MAX];
        size_t count = table_find_position(db->table, entry.position, found, SAME_POSITION_MAX);
        for (size_t i = 0; i < count; i++) {
            if (found[i]->probation && ks_can_demote(ks, db, found[i])) {
                evict->stats.demoted_probation++;
                demote(evict, db, found[i]);
                return true;
            }
        }
    }
    return false;
}

static bool evict_one(struct evict *evict)
{
    struct keyspace *ks = evict->options.ks;
    if (ks->probation != NULL && ks->probation->count * PROBATION_SHARE > resident_count(ks) &&
        evict_probation(evict))
        return true;
    return evict_sampled(evict);
}

bool evict_make_room(struct evict *evict, size_t extra, int64_t budget_us)
{
    struct keyspace *ks = evict->options.ks;
    size_t used = evict_used_bytes(evict) + extra;
    evict->found_nothing = false;
    if (used <= evict->options.bytes_max)
        return true;
    size_t excess = used - evict->options.bytes_max;
    size_t before = ks->object_bytes;
    int64_t deadline_us = now_us() + budget_us;
    uint32_t fruitless = 0;
    for (uint32_t round = 1; before - ks->object_bytes < excess; round++) {
        if (!evict_one(evict) && ++fruitless >= FRUITLESS_ROUNDS_MAX) {
            cut_request(evict->options.cut);
            evict->found_nothing = true;
            return false;
        }
        if (round % ROUNDS_PER_LOOK == 0 && now_us() >= deadline_us)
            return false;
    }
    return true;
}

/* Whether waiting would not help: nothing can be demoted now, nor after a cut. */
static bool is_exhausted(const struct evict *evict)
{
    return evict->found_nothing && !cut_running(evict->options.cut) &&
           evict->options.ks->dirty_bytes == 0;
}

uint32_t evict_pressure(const struct evict *evict)
{
    size_t used = evict_used_bytes(evict);
    size_t max = evict->options.bytes_max;
    if (max < PRESSURE_BYTES_MIN)
        max = PRESSURE_BYTES_MIN;
    size_t slack = max / PRESSURE_SLACK;
    if (used <= max + slack)
        return 0;
    if (used >= max + 2 * slack)
        return is_exhausted(evict) ? 999 : 1000;
    return (uint32_t)((used - max - slack) * 1000 / slack);
}

bool evict_object(struct evict *evict, struct db *db, struct object *o)
{
    if (!ks_can_demote(evict->options.ks, db, o))
        return false;
    demote(evict, db, o);
    return true;
}

size_t evict_all(struct evict *evict)
{
    struct keyspace *ks = evict->options.ks;
    size_t kept = 0;
    struct object **objects = NULL;
    size_t room = 0;
    for (uint32_t i = 0; i < ks->db_count; i++) {
        struct db *db = ks->dbs[i];
        uint64_t position = 0;
        while (table_count(db->table) != 0 && position < TABLE_POSITION_LIMIT) {
            uint64_t next = 0;
            size_t count = table_walk(db->table, position, objects, room, &next);
            if (count > room) {
                room = count + 64;
                objects = mem_realloc(objects, room * sizeof(*objects));
                continue;
            }
            for (size_t n = 0; n < count; n++) {
                if (ks_can_demote(ks, db, objects[n]))
                    demote(evict, db, objects[n]);
                else
                    kept++;
            }
            position = next;
        }
    }
    mem_free(objects);
    return kept;
}

void evict_read_stats(const struct evict *evict, struct evict_stats *out)
{
    *out = evict->stats;
}
