/* A hash table of watched keys, each with a list of its watches; a watch is in that list and in its
 * session's. */
#include "server/watch.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"

#define BUCKETS_MIN 16

struct watched_key {
    struct watched_key *next; /* in its bucket */
    struct watch *first;
    size_t count; /* of watches */
    uint64_t position;
    uint32_t db;
    uint32_t name_len;
    uint8_t name[];
};

struct watch {
    struct watched_key *key;
    struct session *session;
    struct watch *next, *prev; /* of the key */
    struct watch *next_of_session;
    bool live; /* the key was there when the watch began */
    int64_t expire_at_ms;
};

struct watches {
    struct watched_key **buckets; /* owned; a power of two of them */
    size_t bucket_count;
    size_t key_count;
};

struct watches *watches_create(void)
{
    struct watches *watches = mem_calloc(1, sizeof(*watches));
    watches->bucket_count = BUCKETS_MIN;
    watches->buckets = mem_calloc(BUCKETS_MIN, sizeof(struct watched_key *));
    return watches;
}

void watches_destroy(struct watches *watches)
{
    if (watches == NULL)
        return;
    CHECK(watches->key_count == 0);
    mem_free(watches->buckets);
    mem_free(watches);
}

size_t watches_key_count(const struct watches *watches)
{
    return watches->key_count;
}

/* ---- Keys. */

/* The low bits of a position are a keyed hash (codec/record.h). */
static struct watched_key **bucket_of(const struct watches *watches, uint32_t db, uint64_t position)
{
    return &watches->buckets[(position ^ db) & (watches->bucket_count - 1)];
}

static struct bytes name_of(const struct watched_key *key)
{
    return bytes_make(key->name, key->name_len);
}

static struct watched_key *find_key(const struct watches *watches, const struct watch_key *key)
{
    struct watched_key *found = *bucket_of(watches, key->db, key->position);
    while (found != NULL && (found->position != key->position || found->db != key->db ||
                             !bytes_equal(name_of(found), key->name)))
        found = found->next;
    return found;
}

static void resize(struct watches *watches, size_t bucket_count)
{
    struct watched_key **old = watches->buckets;
    size_t old_count = watches->bucket_count;
    watches->buckets = mem_calloc(bucket_count, sizeof(struct watched_key *));
    watches->bucket_count = bucket_count;
    for (size_t i = 0; i < old_count; i++) {
        for (struct watched_key *key = old[i]; key != NULL;) {
            struct watched_key *next = key->next;
            struct watched_key **bucket = bucket_of(watches, key->db, key->position);
            key->next = *bucket;
            *bucket = key;
            key = next;
        }
    }
    mem_free(old);
}

static struct watched_key *add_key(struct watches *watches, const struct watch_key *key)
{
    if (watches->key_count == watches->bucket_count)
        resize(watches, 2 * watches->bucket_count);
    struct watched_key *added = mem_alloc(sizeof(*added) + key->name.len);
    struct watched_key **bucket = bucket_of(watches, key->db, key->position);
    *added = (struct watched_key){.next = *bucket,
                                  .position = key->position,
                                  .db = key->db,
                                  .name_len = (uint32_t)key->name.len};
    if (key->name.len != 0)
        memcpy(added->name, key->name.data, key->name.len);
    *bucket = added;
    watches->key_count++;
    return added;
}

static void remove_key(struct watches *watches, struct watched_key *key)
{
    struct watched_key **place = bucket_of(watches, key->db, key->position);
    while (*place != key)
        place = &(*place)->next;
    *place = key->next;
    mem_free(key);
    watches->key_count--;
    if (watches->bucket_count > BUCKETS_MIN && watches->key_count < watches->bucket_count / 8)
        resize(watches, watches->bucket_count / 2);
}

/* ---- Watches. */

/* Looks through the shorter of the two lists. */
static bool is_watched_by(const struct watched_key *key, const struct session *session,
                          const struct watch_list *list)
{
    if (list->count < key->count) {
        for (const struct watch *watch = list->first; watch != NULL; watch = watch->next_of_session)
            if (watch->key == key)
                return true;
        return false;
    }
    for (const struct watch *watch = key->first; watch != NULL; watch = watch->next)
        if (watch->session == session)
            return true;
    return false;
}

static size_t watch_bytes(const struct watch *watch)
{
    return sizeof(*watch) + sizeof(*watch->key) + watch->key->name_len;
}

void watch_add(struct watches *watches, struct session *session, struct watch_list *list,
               const struct watch_key *key, bool live, int64_t expire_at_ms)
{
    CHECK(key->name.len <= UINT32_MAX);
    struct watched_key *watched = find_key(watches, key);
    if (watched == NULL)
        watched = add_key(watches, key);
    else if (is_watched_by(watched, session, list))
        return;
    struct watch *watch = mem_alloc(sizeof(*watch));
    *watch = (struct watch){.key = watched,
                            .session = session,
                            .next = watched->first,
                            .next_of_session = list->first,
                            .live = live,
                            .expire_at_ms = expire_at_ms};
    if (watched->first != NULL)
        watched->first->prev = watch;
    watched->first = watch;
    watched->count++;
    list->first = watch;
    list->count++;
    list->bytes += watch_bytes(watch);
}

static void unlink_watch(struct watches *watches, struct watch *watch)
{
    struct watched_key *key = watch->key;
    if (watch->prev != NULL)
        watch->prev->next = watch->next;
    else
        key->first = watch->next;
    if (watch->next != NULL)
        watch->next->prev = watch->prev;
    if (--key->count == 0)
        remove_key(watches, key);
}

void watch_drop_all(struct watches *watches, struct watch_list *list)
{
    for (struct watch *watch = list->first; watch != NULL;) {
        struct watch *next = watch->next_of_session;
        unlink_watch(watches, watch);
        mem_free(watch);
        watch = next;
    }
    *list = (struct watch_list){0};
}

bool watch_has_expired(const struct watch_list *list, int64_t now_ms)
{
    for (const struct watch *watch = list->first; watch != NULL; watch = watch->next_of_session)
        if (watch->live && watch->expire_at_ms <= now_ms)
            return true;
    return false;
}

/* ---- Changes. */

/* Marks the sessions of all watches of a key, or of those that saw the key. The key is gone
 * afterwards if none is left. */
static void touch(struct watched_key *key, bool only_live, watch_dirty_fn *dirty, void *arg)
{
    for (struct watch *watch = key->first; watch != NULL;) {
        struct watch *next = watch->next; /* another session's */
        if (watch->live || !only_live)
            dirty(arg, watch->session);
        watch = next;
    }
}

void watch_touch(struct watches *watches, const struct watch_key *key, watch_dirty_fn *dirty,
                 void *arg)
{
    struct watched_key *watched = find_key(watches, key);
    if (watched != NULL)
        touch(watched, false, dirty, arg);
}

void watch_touch_expired(struct watches *watches, const struct watch_key *key,
                         watch_dirty_fn *dirty, void *arg)
{
    struct watched_key *watched = find_key(watches, key);
    if (watched != NULL)
        touch(watched, true, dirty, arg);
}

static bool has_absent(const struct watched_key *key)
{
    for (const struct watch *watch = key->first; watch != NULL; watch = watch->next)
        if (!watch->live)
            return true;
    return false;
}

static struct watch_key describe(const struct watched_key *key)
{
    return (struct watch_key){.db = key->db, .position = key->position, .name = name_of(key)};
}

/* Adds the sessions that the change of a database concerns to `sessions`. */
static void collect(const struct watched_key *key, watch_is_live_fn *is_live, void *arg,
                    struct buf *sessions)
{
    struct watch_key described = describe(key);
    bool appears = is_live != NULL && has_absent(key) && is_live(arg, &described);
    for (struct watch *watch = key->first; watch != NULL; watch = watch->next)
        if (watch->live || appears)
            buf_append(sessions, &watch->session, sizeof(watch->session));
}

void watch_touch_db(struct watches *watches, uint32_t db, watch_is_live_fn *is_live,
                    void *is_live_arg, watch_dirty_fn *dirty, void *dirty_arg)
{
    struct buf sessions = {0}; /* first all of them: marking one takes keys out of the table */
    for (size_t i = 0; i < watches->bucket_count && watches->key_count != 0; i++)
        for (const struct watched_key *key = watches->buckets[i]; key != NULL; key = key->next)
            if (key->db == db)
                collect(key, is_live, is_live_arg, &sessions);
    for (size_t at = 0; at < sessions.len; at += sizeof(struct session *)) {
        struct session *session;
        memcpy(&session, sessions.data + at, sizeof(session));
        dirty(dirty_arg, session);
    }
    buf_deinit(&sessions);
}

void watch_visit_absent(const struct watches *watches, uint32_t db, watch_visit_fn *visit,
                        void *arg)
{
    for (size_t i = 0; i < watches->bucket_count && watches->key_count != 0; i++) {
        for (const struct watched_key *key = watches->buckets[i]; key != NULL; key = key->next) {
            struct watch_key described = describe(key);
            if (key->db == db && has_absent(key))
                visit(arg, &described);
        }
    }
}
