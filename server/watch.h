/* What WATCH has an eye on: keys by name and database number, and the sessions that want to know of
 * their changes. Independent of where the keys are: in RAM, on disk or nowhere.
 *
 * A watch remembers what its session could see when it began: whether the key was there, and when
 * it would expire. The session is marked SESSION_DIRTY_CAS when that is true no more, and then
 * watches nothing any longer. A key that was not there, because it had expired but was not deleted
 * yet, may be deleted: nothing changes by that. Main thread. */
#ifndef BASALT_SERVER_WATCH_H
#define BASALT_SERVER_WATCH_H

#include "codec/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session;
struct watch;
struct watches;

struct watches *watches_create(void);
/* Nothing may be watched. */
void watches_destroy(struct watches *watches);
/* How many different keys are watched. */
size_t watches_key_count(const struct watches *watches);

/* A key as a watch needs it. */
struct watch_key {
    uint32_t db;       /* number */
    uint64_t position; /* as keyref.position */
    struct bytes name;
};

/* What one session watches. Embedded; zeroed is empty. */
struct watch_list {
    struct watch *first;
    size_t count;
    size_t bytes; /* of memory */
};

/* Begins to watch a key, unless the session does already. `live`: it is there, until `expire_at_ms`
 * (INT64_MAX: for ever). */
void watch_add(struct watches *watches, struct session *session, struct watch_list *list,
               const struct watch_key *key, bool live, int64_t expire_at_ms);
/* Ends all watches of a list. */
void watch_drop_all(struct watches *watches, struct watch_list *list);
/* Whether the time of a watched key that was there has come since. */
bool watch_has_expired(const struct watch_list *list, int64_t now_ms);

/* Called for each session that is to be marked; it must drop the session's list. */
typedef void watch_dirty_fn(void *arg, struct session *session);

/* A key was changed by a command. */
void watch_touch(struct watches *watches, const struct watch_key *key, watch_dirty_fn *dirty,
                 void *arg);
/* An expired key was deleted. */
void watch_touch_expired(struct watches *watches, const struct watch_key *key,
                         watch_dirty_fn *dirty, void *arg);
/* All keys of a database were removed, or replaced by others: `is_live` says whether there is a key
 * of that name then (NULL: there is none). */
typedef bool watch_is_live_fn(void *arg, const struct watch_key *key);
void watch_touch_db(struct watches *watches, uint32_t db, watch_is_live_fn *is_live,
                    void *is_live_arg, watch_dirty_fn *dirty, void *dirty_arg);
/* Tells the watched keys of a database for which watch_touch_db will ask `is_live`. */
typedef void watch_visit_fn(void *arg, const struct watch_key *key);
void watch_visit_absent(const struct watches *watches, uint32_t db, watch_visit_fn *visit,
                        void *arg);

#endif
