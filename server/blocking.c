#include "server/blocking.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/record.h"

#include <string.h>

#define BUCKETS_MIN 16u
#define HEAP_MIN    16u
#define NO_PLACE    SIZE_MAX

enum key_state { KEY_IDLE, KEY_READY, KEY_SERVING, KEY_STALLED };

struct waiter;

struct blocked_key {
    struct blocked_key *bucket_next;
    struct blocked_key *ready_next;
    struct waiter *first, *last;         /* in the order in which they blocked */
    struct waiter *next;                 /* READY, SERVING, STALLED: the next to try; NULL: none */
    uint32_t by_type[OBJECT_TYPE_COUNT]; /* how many wait for it to be of this type */
    uint32_t on_delete;                  /* how many wait for it to go, too */
    uint32_t db;
    uint8_t state; /* enum key_state */
    bool again;    /* signalled while SERVING or STALLED */
    uint64_t hash;
    size_t key_len;
    uint8_t key[];
};

/* A request's place in one key's queue. */
struct waiter {
    struct waiter *next, *prev;
    struct blocked_key *key;
    struct blocked *blocked;
};

struct blocked {
    void *owner;
    int64_t deadline_ms;
    size_t heap_place;          /* NO_PLACE: has no deadline */
    struct blocked_key *trying; /* the key that woke it, while it is tried */
    enum object_type type;
    bool on_delete;
    bool loading;
    uint32_t waiter_count;
    struct waiter waiters[];
};

struct blocking {
    struct blocking_stats stats; /* must be first */
    struct blocking_options options;
    struct blocked_key **buckets; /* owned; a power of two of them */
    size_t bucket_count;
    struct blocked_key *ready_first, *ready_last;
    struct blocked **heap; /* owned: those with deadlines, the earliest first */
    size_t heap_capacity;
    bool serving;
};

/* ---- Keys by name ------------------------------------------------------------------------------
 */

static uint64_t hash_of(const struct blocking *b, uint32_t db, struct bytes key)
{
    return record_position(b->options.hash_seed, key) ^ db * 0x9E3779B97F4A7C15ULL;
}

static struct blocked_key **find_place(const struct blocking *b, uint64_t hash, uint32_t db,
                                       struct bytes key)
{
    struct blocked_key **place = &b->buckets[hash & (b->bucket_count - 1)];
    for (; *place != NULL; place = &(*place)->bucket_next) {
        const struct blocked_key *k = *place;
        if (k->hash == hash && k->db == db && bytes_equal(bytes_make(k->key, k->key_len), key))
            break;
    }
    return place;
}

static void grow_buckets(struct blocking *b)
{
    struct blocked_key **old = b->buckets;
    size_t old_count = b->bucket_count;
    b->bucket_count = old_count * 2;
    b->buckets = mem_calloc(b->bucket_count, sizeof(struct blocked_key *));
    for (size_t i = 0; i < old_count; i++) {
        for (struct blocked_key *k = old[i]; k != NULL;) {
            struct blocked_key *next = k->bucket_next;
            struct blocked_key **head = &b->buckets[k->hash & (b->bucket_count - 1)];
            k->bucket_next = *head;
            *head = k;
            k = next;
        }
    }
    mem_free(old);
}

static struct blocked_key *find_or_add_key(struct blocking *b, uint32_t db, struct bytes key)
{
    uint64_t hash = hash_of(b, db, key);
    struct blocked_key **place = find_place(b, hash, db, key);
    if (*place != NULL)
        return *place;
    if (b->stats.keys == b->bucket_count) {
        grow_buckets(b);
        place = find_place(b, hash, db, key);
    }
    struct blocked_key *k = mem_alloc(sizeof(*k) + key.len);
    *k = (struct blocked_key){.db = db, .hash = hash, .key_len = key.len};
    if (key.len != 0)
        memcpy(k->key, key.data, key.len);
    *place = k;
    b->stats.keys++;
    return k;
}

static void free_key(struct blocking *b, struct blocked_key *k)
{
    struct blocked_key **place = find_place(b, k->hash, k->db, bytes_make(k->key, k->key_len));
    CHECK(*place == k);
    *place = k->bucket_next;
    b->stats.keys--;
    mem_free(k);
}

/* ---- Ready keys --------------------------------------------------------------------------------
 */

static void make_ready(struct blocking *b, struct blocked_key *k)
{
    k->state = KEY_READY;
    k->ready_next = NULL;
    if (b->ready_last != NULL)
        b->ready_last->ready_next = k;
    else
        b->ready_first = k;
    b->ready_last = k;
    b->stats.ready++;
}

static struct blocked_key *take_ready(struct blocking *b)
{
    struct blocked_key *k = b->ready_first;
    if (k == NULL)
        return NULL;
    b->ready_first = k->ready_next;
    if (b->ready_first == NULL)
        b->ready_last = NULL;
    b->stats.ready--;
    return k;
}

static void signal_key(struct blocking *b, struct blocked_key *k)
{
    switch ((enum key_state)k->state) {
    case KEY_IDLE:
        k->next = k->first;
        make_ready(b, k);
        break;
    case KEY_READY:
        k->next = k->first;
        break;
    case KEY_SERVING:
    case KEY_STALLED:
        k->again = true;
        break;
    }
}

void blocking_signal(struct blocking *b, uint32_t db, struct bytes key)
{
    if (b->stats.keys == 0)
        return;
    struct blocked_key *k = *find_place(b, hash_of(b, db, key), db, key);
    if (k != NULL)
        signal_key(b, k);
}

void blocking_signal_db(struct blocking *b, uint32_t db)
{
    for (size_t i = 0; b->stats.keys != 0 && i < b->bucket_count; i++) {
        for (struct blocked_key *k = b->buckets[i]; k != NULL; k = k->bucket_next) {
            if (k->db == db)
                signal_key(b, k);
        }
    }
}

struct blocking *blocking_create(const struct blocking_options *options)
{
    struct blocking *b = mem_calloc(1, sizeof(*b));
    b->options = *options;
    b->bucket_count = BUCKETS_MIN;
    b->buckets = mem_calloc(b->bucket_count, sizeof(struct blocked_key *));
    return b;
}

void blocking_destroy(struct blocking *b)
{
    if (b == NULL)
        return;
    for (struct blocked_key *k; (k = take_ready(b)) != NULL;) {
        CHECK(k->first == NULL);
        free_key(b, k);
    }
    CHECK(b->stats.keys == 0);
    CHECK(b->stats.timeouts == 0);
    mem_free(b->buckets);
    mem_free(b->heap);
    mem_free(b);
}

const struct blocking_stats *blocking_stats(const struct blocking *b)
{
    return &b->stats;
}

/* ---- Deadlines ---------------------------------------------------------------------------------
 */

static void heap_put(struct blocking *b, size_t place, struct blocked *blocked)
{
    b->heap[place] = blocked;
    blocked->heap_place = place;
}

static void heap_rise(struct blocking *b, size_t place, struct blocked *blocked)
{
    while (place != 0 && b->heap[(place - 1) / 2]->deadline_ms > blocked->deadline_ms) {
        heap_put(b, place, b->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    heap_put(b, place, blocked);
}

static void heap_sink(struct blocking *b, size_t place, struct blocked *blocked)
{
    size_t count = b->stats.timeouts;
    for (size_t child; (child = place * 2 + 1) < count; place = child) {
        if (child + 1 < count && b->heap[child + 1]->deadline_ms < b->heap[child]->deadline_ms)
            child++;
        if (b->heap[child]->deadline_ms >= blocked->deadline_ms)
            break;
        heap_put(b, place, b->heap[child]);
    }
    heap_put(b, place, blocked);
}

static void heap_add(struct blocking *b, struct blocked *blocked)
{
    if (b->stats.timeouts == b->heap_capacity) {
        b->heap_capacity = b->heap_capacity == 0 ? HEAP_MIN : b->heap_capacity * 2;
        b->heap = mem_realloc(b->heap, b->heap_capacity * sizeof(struct blocked *));
    }
    heap_rise(b, b->stats.timeouts++, blocked);
}

static void heap_remove(struct blocking *b, const struct blocked *blocked)
{
    size_t place = blocked->heap_place;
    CHECK(b->heap[place] == blocked);
    struct blocked *last = b->heap[--b->stats.timeouts];
    if (last == blocked)
        return;
    if (place != 0 && b->heap[(place - 1) / 2]->deadline_ms > last->deadline_ms)
        heap_rise(b, place, last);
    else
        heap_sink(b, place, last);
}

int64_t blocking_next_deadline_ms(const struct blocking *b)
{
    return b->stats.timeouts == 0 ? INT64_MAX : b->heap[0]->deadline_ms;
}

void *blocking_find_due(const struct blocking *b, int64_t now_ms)
{
    return blocking_next_deadline_ms(b) <= now_ms && b->stats.timeouts != 0 ? b->heap[0]->owner
                                                                            : NULL;
}

/* ---- Requests ----------------------------------------------------------------------------------
 */

static void join_queue(struct blocking *b, struct blocked *blocked, struct blocked_key *k)
{
    struct waiter *w = &blocked->waiters[blocked->waiter_count++];
    *w = (struct waiter){.key = k, .blocked = blocked, .prev = k->last};
    if (k->last != NULL)
        k->last->next = w;
    else
        k->first = w;
    k->last = w;
    k->by_type[blocked->type]++;
    if (blocked->on_delete && k->on_delete++ == 0)
        b->stats.on_delete_keys++;
}

static void leave_queue(struct blocking *b, struct waiter *w)
{
    struct blocked_key *k = w->key;
    if (k->next == w)
        k->next = w->next;
    if (w->prev != NULL)
        w->prev->next = w->next;
    else
        k->first = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    else
        k->last = w->prev;
    k->by_type[w->blocked->type]--;
    if (w->blocked->on_delete && --k->on_delete == 0)
        b->stats.on_delete_keys--;
    if (k->first == NULL && k->state == KEY_IDLE)
        free_key(b, k);
}

struct blocked *blocking_add(struct blocking *b, const struct blocked_options *options,
                             const struct bytes *keys, int key_count)
{
    CHECK(key_count > 0);
    struct blocked *blocked =
        mem_alloc(sizeof(*blocked) + (size_t)key_count * sizeof(struct waiter));
    *blocked = (struct blocked){.owner = options->owner,
                                .deadline_ms = options->deadline_ms,
                                .heap_place = NO_PLACE,
                                .type = options->type,
                                .on_delete = options->on_delete};
    for (int i = 0; i < key_count; i++) {
        struct blocked_key *k = find_or_add_key(b, options->db, keys[i]);
        if (k->last == NULL || k->last->blocked != blocked)
            join_queue(b, blocked, k);
    }
    if (options->deadline_ms != INT64_MAX)
        heap_add(b, blocked);
    return blocked;
}

/* Keys that have waited for this request to be tried go on. */
static void release_stalled(struct blocking *b, struct blocked *blocked)
{
    blocked->loading = false;
    for (uint32_t i = 0; i < blocked->waiter_count; i++) {
        struct blocked_key *k = blocked->waiters[i].key;
        if (k->state == KEY_STALLED && k->next == &blocked->waiters[i])
            make_ready(b, k);
    }
}

void blocking_tried(struct blocking *b, struct blocked *blocked)
{
    CHECK(blocked->loading);
    struct blocked_key *k = blocked->trying;
    release_stalled(b, blocked);
    if (k->next != NULL && k->next->blocked == blocked)
        k->next = k->next->next;
    blocked->trying = NULL;
}

void blocking_remove(struct blocking *b, struct blocked *blocked)
{
    release_stalled(b, blocked);
    if (blocked->heap_place != NO_PLACE)
        heap_remove(b, blocked);
    for (uint32_t i = 0; i < blocked->waiter_count; i++)
        leave_queue(b, &blocked->waiters[i]);
    mem_free(blocked);
}

/* ---- Serving -----------------------------------------------------------------------------------
 */

static enum object_type type_of(const struct blocking *b, const struct blocked_key *k)
{
    return b->options.type_of(b->options.arg, k->db, bytes_make(k->key, k->key_len));
}

static bool is_for(const struct blocked *blocked, enum object_type type)
{
    return type == blocked->type || type == BLOCKING_TYPE_UNKNOWN || blocked->on_delete;
}

bool blocking_is_for(struct blocking *b, const struct blocked *blocked)
{
    return is_for(blocked, type_of(b, blocked->trying));
}

/* The next request to be tried for a key; NULL: none. */
static struct waiter *next_waiter(const struct blocking *b, struct blocked_key *k)
{
    if (k->next == NULL)
        return NULL;
    enum object_type type = type_of(b, k);
    if (type != BLOCKING_TYPE_UNKNOWN && k->by_type[type] == 0 && k->on_delete == 0)
        return NULL;
    while (k->next != NULL && !is_for(k->next->blocked, type))
        k->next = k->next->next;
    return k->next;
}

/* False: it is stalled. */
static bool try_waiters(struct blocking *b, struct blocked_key *k)
{
    struct waiter *w;
    while ((w = next_waiter(b, k)) != NULL) {
        struct blocked *blocked = w->blocked;
        if (blocked->loading)
            return false;
        blocked->trying = k;
        switch (b->options.serve(b->options.arg, blocked->owner)) {
        case BLOCKED_ENDED:
            break; /* k->next has moved on */
        case BLOCKED_STILL:
            blocked->trying = NULL;
            k->next = w->next;
            break;
        case BLOCKED_LOADING:
            blocked->loading = true;
            return false;
        }
    }
    return true;
}

static void serve_key(struct blocking *b, struct blocked_key *k)
{
    if (k->again) { /* signalled while it was stalled */
        k->again = false;
        k->next = k->first;
    }
    k->state = KEY_SERVING;
    if (!try_waiters(b, k)) {
        k->state = KEY_STALLED;
        return;
    }
    k->state = KEY_IDLE;
    k->next = NULL;
    bool again = k->again;
    k->again = false;
    if (k->first == NULL)
        free_key(b, k);
    else if (again)
        signal_key(b, k);
}

void blocking_serve(struct blocking *b)
{
    if (b->serving)
        return;
    b->serving = true;
    for (struct blocked_key *k; (k = take_ready(b)) != NULL;)
        serve_key(b, k);
    b->serving = false;
}
