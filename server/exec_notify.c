/* Keyspace events that are not a handler's: see call_notify for those. What the keyspace tells of
 * itself may come at any time, also between requests. */
#include "server/exec_internal.h"

#include "server/config.h"
#include "server/notify.h"
#include "server/push.h"
#include "server/services.h"

void exec_notify(struct exec *exec, int event_class, const char *event, struct bytes key,
                 uint32_t db)
{
    int classes = exec->config->notify_keyspace_events;
    if ((classes & event_class) != 0)
        notify_publish(exec->services->pubsub, classes, event, key, db, &exec->event_channel);
}

/* While the journal is replayed nothing happens that did not happen before. */
static void told_by_keyspace(struct exec *exec, int event_class, const char *event,
                             const struct db *db, struct bytes key)
{
    if (exec->loading)
        return;
    bool active = pushes_active(exec->pushes);
    if (!active)
        pushes_begin(exec->pushes, NULL);
    exec_notify(exec, event_class, event, key, exec_db_number(exec, db));
    if (!active)
        pushes_end(exec->pushes, 0);
}

static void key_created(void *arg, const struct db *db, struct bytes key)
{
    told_by_keyspace(arg, NOTIFY_CREATED, "new", db, key);
}

static void key_loaded(void *arg, const struct db *db, struct bytes key)
{
    told_by_keyspace(arg, NOTIFY_TIER, "loaded", db, key);
}

static void key_demoted(void *arg, const struct db *db, struct bytes key)
{
    told_by_keyspace(arg, NOTIFY_TIER, "demoted", db, key);
}

void exec_watch_keyspace(struct exec *exec)
{
    int classes = exec->config->notify_keyspace_events;
    bool tier = (classes & NOTIFY_TIER) != 0;
    struct keyspace_watch watch = {
        .created = (classes & NOTIFY_CREATED) != 0 ? key_created : NULL,
        .loaded = tier ? key_loaded : NULL,
        .demoted = tier ? key_demoted : NULL,
        .arg = exec,
    };
    ks_set_watch(exec->ks, &watch);
}
