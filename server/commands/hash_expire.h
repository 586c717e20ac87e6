/* Giving fields another deadline, or none: what HEXPIRE, HPERSIST, HGETEX and HSETEX have in
 * common. */
#ifndef BASALT_SERVER_COMMANDS_HASH_EXPIRE_H
#define BASALT_SERVER_COMMANDS_HASH_EXPIRE_H

#include "server/call.h"
#include "storage/types/hash.h"

#define HASH_DEADLINE_MS_MAX ((INT64_C(1) << 46) - 1)

/* Reads a time at argument `at`, from `base_ms` on. False: an error was replied. */
bool hash_read_deadline(struct call *c, int at, int64_t base_ms, bool seconds, int64_t *at_ms);

/* One request's changes of deadlines. A deadline that is past deletes the field. */
struct hash_redating {
    struct call *call;
    struct object *o;
    int64_t at_ms;
    struct bytes *redated; /* owned; the fields behind room for the effect's other arguments */
    struct bytes *deleted;
    size_t redated_count, deleted_count;
};
/* For up to `count` fields of the hash of key 0, which is changed from now on. OBJECT_NO_EXPIRE
 * takes deadlines away. */
void hash_redating_begin(struct hash_redating *redating, struct call *c, struct object *o,
                         int64_t at_ms, size_t count);
/* A field that is there; good until the end. False: it was deleted. */
bool hash_redate(struct hash_redating *redating, struct bytes field);
/* Ends the change; effects and events. */
void hash_redating_end(struct hash_redating *redating);

#endif
