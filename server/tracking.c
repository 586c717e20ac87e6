#include "server/tracking_internal.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "server/call.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/services.h"

/* Keys invalidated in one go when there are too many: by each request that reads, and each tick. */
#define EVICTIONS_MAX 100
/* Keys of a dropped table that are freed per tick. */
#define DROPS_PER_TICK 1000

/* A key that clients may have: their ids, in ascending order. Ids of clients that have gone stay
 * until there is no room for another one. */
struct tracked_key {
    struct name_entry entry; /* in tracking->keys; first */
    uint32_t id_count;
    uint32_t id_capacity; /* 1: the id itself is in `ids` */
    union {
        uint64_t one;
        uint64_t *many; /* owned */
    } ids;
    uint8_t name[];
};

struct tracker *tracker_of(const struct session *session)
{
    return session->extension[SESSION_EXTENSION_TRACKING];
}

struct tracking *tracking_create(const struct services *services, uint64_t hash_seed)
{
    struct tracking *tracking = mem_calloc(1, sizeof(*tracking));
    tracking->services = services;
    tracking->random = hash_seed | 1;
    name_map_init(&tracking->keys, hash_seed);
    name_map_init(&tracking->dropped, hash_seed);
    name_map_init(&tracking->prefixes, hash_seed);
    return tracking;
}

static void free_key(struct tracked_key *key)
{
    if (key->id_capacity > 1)
        mem_free(key->ids.many);
    mem_free(key);
}

static void free_keys(struct name_map *map, size_t count_max)
{
    for (size_t i = 0; i < count_max && map->count != 0; i++)
        free_key((struct tracked_key *)(void *)name_map_pop(map));
}

void tracking_destroy(struct tracking *tracking)
{
    if (tracking == NULL)
        return;
    CHECK(tracking->tracker_count == 0);
    CHECK(tracking->prefixes.count == 0);
    free_keys(&tracking->keys, SIZE_MAX);
    free_keys(&tracking->dropped, SIZE_MAX);
    push_deinit(&tracking->push);
    mem_free(tracking);
}

/* Forgets all keys. Many would take long to free at once. */
static void drop_keys(struct tracking *tracking)
{
    tracking->item_count = 0;
    if (tracking->dropped.count != 0) {
        free_keys(&tracking->keys, SIZE_MAX);
        return;
    }
    tracking->dropped = tracking->keys;
    name_map_init(&tracking->keys, tracking->dropped.seed);
}

/* ---- A client. */

void tracking_enable(struct tracking *tracking, struct session *session,
                     const struct tracking_options *options)
{
    struct tracker *tracker = tracker_of(session);
    if (tracker == NULL) {
        tracker = mem_calloc(1, sizeof(*tracker));
        tracker->session = session;
        tracker->next = tracking->first_tracker;
        if (tracker->next != NULL)
            tracker->next->prev = tracker;
        tracking->first_tracker = tracker;
        tracking->tracker_count++;
        session->extension[SESSION_EXTENSION_TRACKING] = tracker;
        session->flags |= SESSION_TRACKING;
    }
    tracker->modes = options->modes | (tracker->modes & TRACKING_CACHING);
    tracker->redirect = options->redirect;
    if ((options->modes & TRACKING_BCAST) == 0)
        return;
    if (options->prefix_count == 0)
        bcast_join(tracking, tracker, bytes_text(""));
    for (size_t i = 0; i < options->prefix_count; i++)
        bcast_join(tracking, tracker, options->prefixes[i]);
}

void tracking_disable(struct tracking *tracking, struct session *session)
{
    struct tracker *tracker = tracker_of(session);
    if (tracker == NULL)
        return;
    bcast_leave_all(tracking, tracker);
    if (tracker->prev != NULL)
        tracker->prev->next = tracker->next;
    else
        tracking->first_tracker = tracker->next;
    if (tracker->next != NULL)
        tracker->next->prev = tracker->prev;
    tracking->tracker_count--;
    mem_free(tracker);
    session->extension[SESSION_EXTENSION_TRACKING] = NULL;
    session->flags &= ~(uint32_t)SESSION_TRACKING;
    if (tracking->tracker_count == 0)
        drop_keys(tracking);
}

uint32_t tracking_modes(const struct session *session)
{
    const struct tracker *tracker = tracker_of(session);
    return tracker == NULL ? 0 : tracker->modes;
}

uint64_t tracking_redirect(const struct session *session)
{
    const struct tracker *tracker = tracker_of(session);
    return tracker == NULL ? 0 : tracker->redirect;
}

size_t tracking_prefix_count(const struct session *session)
{
    const struct tracker *tracker = tracker_of(session);
    return tracker == NULL ? 0 : tracker->prefix_count;
}

struct bytes tracking_prefix(const struct session *session, size_t index)
{
    const struct tracker *tracker = tracker_of(session);
    CHECK(tracker != NULL);
    CHECK(index < tracker->prefix_count);
    return bcast_prefix_name(tracker->prefixes[index]);
}

size_t tracking_session_memory(const struct session *session)
{
    const struct tracker *tracker = tracker_of(session);
    return tracker == NULL ? 0 : sizeof(*tracker) + tracker->memory;
}

void tracking_set_caching(struct session *session)
{
    struct tracker *tracker = tracker_of(session);
    tracker->modes |= TRACKING_CACHING;
    tracker->keeps_caching = true;
}

/* CLIENT CACHING holds until a request ends that is no CLIENT and not inside MULTI. */
void tracking_begin_request(struct session *session, const struct command *command)
{
    struct tracker *tracker = tracker_of(session);
    if (!tracker->keeps_caching && (session->flags & SESSION_MULTI) == 0)
        tracker->modes &= ~(uint32_t)TRACKING_CACHING;
    tracker->keeps_caching = command != NULL && strncmp(command->name, "client|", 7) == 0;
}

/* ---- Ids of a key. */

static uint64_t *ids_of(struct tracked_key *key)
{
    return key->id_capacity == 1 ? &key->ids.one : key->ids.many;
}

/* The place of the first id that is not below `id`. */
static uint32_t id_place(struct tracked_key *key, uint64_t id)
{
    const uint64_t *ids = ids_of(key);
    uint32_t low = 0;
    uint32_t high = key->id_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Who still wants to hear of remembered keys; NULL: it has gone, or changed its mode. */
static struct tracker *find_tracker(const struct tracking *tracking, uint64_t id)
{
    struct conn *conn = conns_find(tracking->services->conns, id);
    struct tracker *tracker = conn == NULL ? NULL : tracker_of(conn_session(conn));
    return tracker == NULL || (tracker->modes & TRACKING_BCAST) != 0 ? NULL : tracker;
}

static void drop_dead_ids(struct tracking *tracking, struct tracked_key *key)
{
    uint64_t *ids = ids_of(key);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < key->id_count; i++) {
        if (find_tracker(tracking, ids[i]) != NULL)
            ids[kept++] = ids[i];
    }
    tracking->item_count -= key->id_count - kept;
    key->id_count = kept;
}

static void grow_ids(struct tracked_key *key)
{
    uint32_t capacity = key->id_capacity == 1 ? 4 : 2 * key->id_capacity;
    uint64_t *many = mem_alloc(capacity * sizeof(*many));
    memcpy(many, ids_of(key), key->id_count * sizeof(*many));
    if (key->id_capacity > 1)
        mem_free(key->ids.many);
    key->ids.many = many;
    key->id_capacity = capacity;
}

static void add_id(struct tracking *tracking, struct tracked_key *key, uint64_t id)
{
    uint32_t place = id_place(key, id);
    if (place < key->id_count && ids_of(key)[place] == id)
        return;
    if (key->id_count == key->id_capacity) {
        drop_dead_ids(tracking, key);
        if (key->id_count == key->id_capacity)
            grow_ids(key);
        place = id_place(key, id);
    }
    uint64_t *ids = ids_of(key);
    memmove(ids + place + 1, ids + place, (key->id_count - place) * sizeof(*ids));
    ids[place] = id;
    key->id_count++;
    tracking->item_count++;
}

/* ---- Keys. */

static void remember(struct tracking *tracking, uint64_t id, struct bytes name)
{
    struct tracked_key *key = (struct tracked_key *)(void *)name_map_find(&tracking->keys, name);
    if (key == NULL) {
        key = mem_alloc(sizeof(*key) + name.len);
        *key = (struct tracked_key){.id_capacity = 1};
        if (name.len != 0)
            memcpy(key->name, name.data, name.len);
        key->entry.name = bytes_make(key->name, name.len);
        name_map_add(&tracking->keys, &key->entry);
    }
    add_id(tracking, key, id);
}

/* Tells all who may have the key but `except` (NULL: nobody), if it does not want to hear of its
 * own changes, and forgets the key. */
static void invalidate(struct tracking *tracking, struct tracked_key *key,
                       const struct session *except)
{
    struct buf resp = {0};
    buf_append_format(&resp, "*1\r\n$%zu\r\n", key->entry.name.len);
    buf_append_bytes(&resp, key->entry.name);
    buf_append(&resp, "\r\n", 2);
    struct bytes keys = buf_bytes(&resp);
    struct invalidation message = {.resp = &keys};
    const uint64_t *ids = ids_of(key);
    for (uint32_t i = 0; i < key->id_count; i++) {
        struct tracker *tracker = find_tracker(tracking, ids[i]);
        if (tracker == NULL ||
            ((tracker->modes & TRACKING_NOLOOP) != 0 && tracker->session == except))
            continue;
        send_invalidation(tracking, tracker, &message);
    }
    buf_deinit(&resp);
    tracking->item_count -= key->id_count;
    name_map_remove(&tracking->keys, &key->entry);
    free_key(key);
}

static void limit_keys(struct tracking *tracking, size_t evictions_max)
{
    uint64_t keys_max = tracking->services->config->tracking_table_max_keys;
    if (keys_max == 0)
        return;
    for (size_t i = 0; i < evictions_max && tracking->keys.count > keys_max; i++) {
        tracking->random = tracking->random * 6364136223846793005u + 1442695040888963407u;
        struct name_entry *entry = name_map_any(&tracking->keys, tracking->random >> 20);
        invalidate(tracking, (struct tracked_key *)(void *)entry, NULL);
    }
}

void tracking_remember(struct tracking *tracking, struct session *client, const struct call *call)
{
    const struct tracker *tracker = tracker_of(client);
    if (tracker == NULL || (tracker->modes & TRACKING_BCAST) != 0)
        return;
    bool caching = (tracker->modes & TRACKING_CACHING) != 0;
    if (((tracker->modes & TRACKING_OPTIN) != 0 && !caching) ||
        ((tracker->modes & TRACKING_OPTOUT) != 0 && caching))
        return;
    for (int i = 0; i < call->key_count; i++) {
        if ((call->keys[i].flags & (KEY_NOT_KEY | KEY_HIDDEN)) == 0)
            remember(tracking, client->id, call->keys[i].key);
    }
    limit_keys(tracking, (size_t)call->key_count + EVICTIONS_MAX);
}

void tracking_key_modified(struct tracking *tracking, const struct session *by, struct bytes key)
{
    if (__builtin_expect(tracking->tracker_count == 0, 1))
        return;
    if (tracking->prefixes.count != 0)
        bcast_key_modified(tracking, by, key);
    struct name_entry *entry = name_map_find(&tracking->keys, key);
    if (entry != NULL)
        invalidate(tracking, (struct tracked_key *)(void *)entry,
                   pushes_running(tracking->services->pushes));
}

void tracking_flushed(struct tracking *tracking)
{
    struct invalidation message = {.resp = NULL};
    for (struct tracker *tracker = tracking->first_tracker; tracker != NULL;
         tracker = tracker->next)
        send_invalidation(tracking, tracker, &message);
    drop_keys(tracking);
}

bool tracking_tick(struct tracking *tracking)
{
    free_keys(&tracking->dropped, DROPS_PER_TICK);
    if (tracking->tracker_count != 0) {
        limit_keys(tracking, EVICTIONS_MAX);
        bcast_send(tracking);
    }
    return tracking->dropped.count != 0;
}

void tracking_read_stats(const struct tracking *tracking, struct tracking_stats *out)
{
    *out = (struct tracking_stats){.clients = tracking->tracker_count,
                                   .keys = tracking->keys.count,
                                   .items = tracking->item_count,
                                   .prefixes = tracking->prefixes.count};
}
