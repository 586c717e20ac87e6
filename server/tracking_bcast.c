/* Broadcasting mode: each prefix collects the keys that change within a tick, with who changed them
 * last (NOLOOP), and tells them to its clients at the tick's end in one message. */
#include "server/tracking_internal.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "server/session.h"

struct bcast_key {
    struct name_entry entry; /* in bcast_prefix->keys; first */
    struct bcast_key *next;  /* in the order of the first change */
    uint64_t by;             /* session id of who changed it last; 0: nobody */
    uint8_t name[];
};

struct bcast_prefix {
    struct name_entry entry;   /* in tracking->prefixes; first */
    struct tracker **trackers; /* owned array, in the order of joining */
    size_t tracker_count, tracker_capacity;
    struct name_map keys; /* changed in this tick */
    struct bcast_key *first_key, *last_key;
    struct bcast_prefix *next_changed; /* tracking->changed, while there are keys */
    uint8_t name[];
};

static struct bcast_prefix *find_prefix(const struct tracking *tracking, struct bytes name)
{
    return (struct bcast_prefix *)(void *)name_map_find(&tracking->prefixes, name);
}

struct bytes bcast_prefix_name(const struct bcast_prefix *prefix)
{
    return prefix->entry.name;
}

/* ---- Joining and leaving. */

static struct bcast_prefix *create_prefix(struct tracking *tracking, struct bytes name)
{
    struct bcast_prefix *prefix = mem_alloc(sizeof(*prefix) + name.len);
    *prefix = (struct bcast_prefix){0};
    if (name.len != 0)
        memcpy(prefix->name, name.data, name.len);
    prefix->entry.name = bytes_make(prefix->name, name.len);
    name_map_init(&prefix->keys, tracking->prefixes.seed);
    name_map_add(&tracking->prefixes, &prefix->entry);
    return prefix;
}

static bool has_prefix(const struct tracker *tracker, const struct bcast_prefix *prefix)
{
    for (size_t i = 0; i < tracker->prefix_count; i++) {
        if (tracker->prefixes[i] == prefix)
            return true;
    }
    return false;
}

void bcast_join(struct tracking *tracking, struct tracker *tracker, struct bytes name)
{
    struct bcast_prefix *prefix = find_prefix(tracking, name);
    if (prefix == NULL)
        prefix = create_prefix(tracking, name);
    else if (has_prefix(tracker, prefix))
        return;
    if (prefix->tracker_count == prefix->tracker_capacity) {
        prefix->tracker_capacity = prefix->tracker_capacity == 0 ? 4 : 2 * prefix->tracker_capacity;
        prefix->trackers =
            mem_realloc(prefix->trackers, prefix->tracker_capacity * sizeof(struct tracker *));
    }
    prefix->trackers[prefix->tracker_count++] = tracker;
    tracker->prefixes =
        mem_realloc(tracker->prefixes, (tracker->prefix_count + 1) * sizeof(struct bcast_prefix *));
    tracker->prefixes[tracker->prefix_count++] = prefix;
    tracker->memory += sizeof(*prefix) + name.len;
}

static void forget_keys(struct bcast_prefix *prefix)
{
    while (prefix->first_key != NULL) {
        struct bcast_key *key = prefix->first_key;
        prefix->first_key = key->next;
        mem_free(key);
    }
    prefix->last_key = NULL;
    name_map_deinit(&prefix->keys);
}

static void remove_changed(struct tracking *tracking, const struct bcast_prefix *prefix)
{
    struct bcast_prefix **place = &tracking->changed;
    while (*place != prefix)
        place = &(*place)->next_changed;
    *place = prefix->next_changed;
}

static void destroy_prefix(struct tracking *tracking, struct bcast_prefix *prefix)
{
    if (prefix->first_key != NULL)
        remove_changed(tracking, prefix);
    forget_keys(prefix);
    name_map_remove(&tracking->prefixes, &prefix->entry);
    mem_free(prefix->trackers);
    mem_free(prefix);
}

static void leave(struct tracking *tracking, struct bcast_prefix *prefix,
                  const struct tracker *tracker)
{
    size_t i = 0;
    while (prefix->trackers[i] != tracker) {
        i++;
        CHECK(i < prefix->tracker_count);
    }
    prefix->tracker_count--;
    memmove(&prefix->trackers[i], &prefix->trackers[i + 1],
            (prefix->tracker_count - i) * sizeof(struct tracker *));
    if (prefix->tracker_count == 0)
        destroy_prefix(tracking, prefix);
}

void bcast_leave_all(struct tracking *tracking, struct tracker *tracker)
{
    for (size_t i = 0; i < tracker->prefix_count; i++)
        leave(tracking, tracker->prefixes[i], tracker);
    mem_free(tracker->prefixes);
    tracker->prefixes = NULL;
    tracker->prefix_count = 0;
    tracker->memory = 0;
}

/* ---- Collecting. */

static void collect(struct tracking *tracking, struct bcast_prefix *prefix, uint64_t by,
                    struct bytes name)
{
    struct bcast_key *key = (struct bcast_key *)(void *)name_map_find(&prefix->keys, name);
    if (key != NULL) {
        key->by = by;
        return;
    }
    key = mem_alloc(sizeof(*key) + name.len);
    *key = (struct bcast_key){.by = by};
    if (name.len != 0)
        memcpy(key->name, name.data, name.len);
    key->entry.name = bytes_make(key->name, name.len);
    name_map_add(&prefix->keys, &key->entry);
    if (prefix->first_key == NULL) {
        prefix->first_key = key;
        prefix->next_changed = tracking->changed;
        tracking->changed = prefix;
    } else {
        prefix->last_key->next = key;
    }
    prefix->last_key = key;
}

static bool begins_with(struct bytes name, struct bytes prefix)
{
    return prefix.len == 0 ||
           (name.len >= prefix.len && memcmp(name.data, prefix.data, prefix.len) == 0);
}

void bcast_key_modified(struct tracking *tracking, const struct session *by, struct bytes key)
{
    uint64_t id = by == NULL ? 0 : by->id;
    struct name_entry *entry = name_map_first(&tracking->prefixes);
    for (; entry != NULL; entry = name_map_next(&tracking->prefixes, entry)) {
        if (begins_with(key, entry->name))
            collect(tracking, (struct bcast_prefix *)(void *)entry, id, key);
    }
}

/* ---- Telling. */

/* The array of a prefix's changed keys, without those that `except` changed (0: all). False: there
 * are none. */
static bool write_keys(const struct bcast_prefix *prefix, uint64_t except, struct buf *out)
{
    size_t count = 0;
    for (const struct bcast_key *key = prefix->first_key; key != NULL; key = key->next)
        count += except == 0 || key->by != except;
    if (count == 0)
        return false;
    buf_clear(out);
    buf_append_format(out, "*%zu\r\n", count);
    for (const struct bcast_key *key = prefix->first_key; key != NULL; key = key->next) {
        if (except != 0 && key->by == except)
            continue;
        buf_append_format(out, "$%zu\r\n", key->entry.name.len);
        buf_append_bytes(out, key->entry.name);
        buf_append(out, "\r\n", 2);
    }
    return true;
}

static void send_prefix(struct tracking *tracking, const struct bcast_prefix *prefix)
{
    struct buf all = {0};
    struct buf others = {0};
    (void)write_keys(prefix, 0, &all);
    struct bytes all_keys = buf_bytes(&all);
    struct invalidation to_all = {.resp = &all_keys};
    for (size_t i = 0; i < prefix->tracker_count; i++) {
        struct tracker *tracker = prefix->trackers[i];
        if ((tracker->modes & TRACKING_NOLOOP) == 0) {
            send_invalidation(tracking, tracker, &to_all);
        } else if (write_keys(prefix, tracker->session->id, &others)) {
            struct bytes keys = buf_bytes(&others);
            struct invalidation to_one = {.resp = &keys};
            to_all.made_for = 0; /* they share tracking->push */
            send_invalidation(tracking, tracker, &to_one);
        }
    }
    buf_deinit(&all);
    buf_deinit(&others);
}

void bcast_send(struct tracking *tracking)
{
    while (tracking->changed != NULL) {
        struct bcast_prefix *prefix = tracking->changed;
        tracking->changed = prefix->next_changed;
        send_prefix(tracking, prefix);
        forget_keys(prefix);
    }
}
