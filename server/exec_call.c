/* What handlers call on their way: finding keys, waiting, arguments. See call.h. */
#include "server/exec_internal.h"

#include "codec/check.h"
#include "codec/number.h"
#include "server/blocking.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/notify.h"
#include "server/push.h"
#include "server/services.h"
#include "server/tracking.h"
#include "storage/ensure.h"
#include "storage/journal.h"
#include "storage/store.h"

#include <stdio.h>

/* ---- Expiry -----------------------------------------------------------------------------------
 */

void exec_expire_key(struct exec *exec, uint32_t db, struct keyref *ref)
{
    const char *name = call_deletion_name(exec->config->lazyfree_lazy_expire);
    struct bytes argv[2] = {bytes_text(name), ref->key};
    exec_stage_command(exec, db, 2, argv);
    exec->counters.expired_keys++;
    exec_watch_expired(exec, db, ref);
    blocking_signal(exec->blocking, db, ref->key);
    ks_delete(exec->ks, ref);
    exec_notify(exec, NOTIFY_EXPIRED, "expired", ref->key, db);
    tracking_key_modified(exec->services->tracking, NULL, ref->key);
}

void exec_expired(void *arg, uint32_t db, struct keyref *ref)
{
    struct exec *exec = arg;
    const struct object *o = ref->object;
    pushes_begin(exec->pushes, NULL);
    if (object_has_expire(o) && o->expire_at_ms <= exec_now_ms(exec))
        exec_expire_key(exec, db, ref);
    else
        exec_expire_fields(exec, db, ref);
    pushes_end(exec->pushes, exec->write_offset);
}

/* The live object of `ref`, deleting it first if its time has come. While the journal is replayed
 * nothing expires: the deletion is in the journal too. While clients are paused nothing is deleted,
 * only hidden. */
static struct object *find_live(struct call *c, struct keyref *ref)
{
    struct object *o = ks_find(c->ks, ref);
    if (o == NULL || !object_has_expire(o) || o->expire_at_ms > c->now_ms)
        return o;
    if ((c->session->flags & SESSION_REPLAY) != 0)
        return o;
    const struct conns *conns = c->services->conns;
    if (conns != NULL && conns_paused(conns) != CONNS_RUN)
        return NULL;
    exec_expire_key(c->exec, ref->db == c->db ? c->session->db : exec_db_number(c->exec, ref->db),
                    ref);
    return NULL;
}

/* ---- Finding ----------------------------------------------------------------------------------
 */

static void touch(struct call *c, uint32_t key_flags, struct object *o)
{
    if ((c->session->flags & SESSION_NO_TOUCH) == 0 && (key_flags & KEY_NO_TOUCH) == 0)
        ks_touch(c->ks, o);
}

struct object *call_find_read(struct call *c, int index)
{
    CHECK(index < c->key_count);
    struct object *o = find_live(c, &c->keys[index]);
    if (o == NULL) {
        c->exec->counters.keyspace_misses++;
        if ((c->keys[index].flags & KEY_NO_MISS) == 0)
            call_notify(c, NOTIFY_KEY_MISS, "keymiss", c->keys[index].key);
        return NULL;
    }
    c->exec->counters.keyspace_hits++;
    touch(c, c->keys[index].flags, o);
    return o;
}

struct object *call_find_write(struct call *c, int index)
{
    CHECK(index < c->key_count);
    struct object *o = find_live(c, &c->keys[index]);
    if (o != NULL)
        touch(c, c->keys[index].flags, o);
    return o;
}

static struct object *check_type(struct call *c, struct object *o, enum object_type type,
                                 bool *wrong_type)
{
    *wrong_type = o != NULL && o->type != type;
    if (!*wrong_type)
        return o;
    reply_error_id(c->reply, ERROR_WRONGTYPE);
    return NULL;
}

struct object *call_find_read_type(struct call *c, int index, enum object_type type,
                                   bool *wrong_type)
{
    return check_type(c, call_find_read(c, index), type, wrong_type);
}

struct object *call_find_write_type(struct call *c, int index, enum object_type type,
                                    bool *wrong_type)
{
    return check_type(c, call_find_write(c, index), type, wrong_type);
}

void call_keyref(struct call *c, struct bytes key, struct keyref *ref)
{
    ks_ref(c->ks, c->db, key, ref);
}

void call_expire_resident(struct call *c, struct db *db, struct bytes key)
{
    struct keyref ref;
    ks_ref(c->ks, db, key, &ref);
    (void)find_live(c, &ref);
}

struct object *call_find_undeclared(struct call *c, struct bytes key, bool for_write)
{
    struct keyref ref;
    call_keyref(c, key, &ref);
    if (ref.object == NULL) {
        struct err err;
        enum status st = loader_read_now(c->exec->loader, ref.db, ref.position, key, &err);
        if (st != ST_OK && st != ST_NOT_FOUND)
            c->exec->counters.io_errors++;
    }
    struct object *o = find_live(c, &ref);
    if (o != NULL) {
        struct err err;
        if (ensure_all_now(c->exec->loader, ref.db, o, &err) != ST_OK) {
            c->exec->counters.io_errors++;
            return NULL;
        }
        touch(c, 0, o);
    }
    if (!for_write && o != NULL) {
        c->exec->counters.keyspace_hits++;
    } else if (!for_write) {
        c->exec->counters.keyspace_misses++;
        call_notify(c, NOTIFY_KEY_MISS, "keymiss", key);
    }
    return o;
}

/* ---- Waiting ----------------------------------------------------------------------------------
 */

static void scan_done(void *arg, struct scan *scan)
{
    struct pending *p = arg;
    for (int i = 0; i < PENDING_SCANS_MAX; i++)
        if (p->scans[i] == scan)
            p->scans_done[i] = true;
    p->wait.ready(p);
}

const struct scan_result *call_scan(struct call *c, int step, struct db *db, uint64_t cursor,
                                    size_t count)
{
    CHECK(step >= 0);
    CHECK(step < PENDING_SCANS_MAX);
    struct pending *p = exec_pending(c);
    struct scans *scans = store_scans(c->exec->store);
    if (p->scans[step] == NULL) {
        bool complete = false;
        if (exec_may_wait(c)) {
            p->scans[step] = scan_start(scans, db, cursor, count, scan_done, p, &complete);
        } else {
            p->scans[step] = scan_run(scans, db, cursor, count, NULL);
            c->exec->counters.sync_walks += db->cold_count != 0;
            complete = true;
        }
        p->scans_done[step] = complete;
    }
    if (!p->scans_done[step]) {
        c->waiting = true;
        return NULL;
    }
    struct err err;
    if (scan_read(p->scans[step], &p->results[step], &err) != ST_OK) {
        c->exec->counters.io_errors++;
        reply_error_format(c->reply, "IOERR %s", err.message);
        return NULL;
    }
    return &p->results[step];
}

void call_scan_again(struct call *c, int step)
{
    struct pending *p = exec_pending(c);
    scan_destroy(p->scans[step]);
    p->scans[step] = NULL;
    p->scans_done[step] = false;
}

struct call_walk *call_walk(struct call *c)
{
    return &exec_pending(c)->walk;
}

/* The same at once, on this thread. */
static bool make_exact(struct call *c)
{
    struct err err;
    c->exec->counters.sync_walks++;
    if (store_resolve_now(c->exec->store, &err) == ST_OK)
        return true;
    c->exec->counters.io_errors++;
    reply_error_format(c->reply, "IOERR %s", err.message);
    return false;
}

bool call_wait_exact(struct call *c, struct db *db)
{
    if (db->unresolved == 0)
        return true;
    if (!exec_may_wait(c))
        return make_exact(c);
    loader_submit(c->exec->loader);
    struct pending *p = exec_pending(c);
    p->exact_db = db;
    exec_wait_tick(p);
    c->waiting = true;
    return false;
}

bool call_wait_journal(struct call *c, uint64_t offset, int64_t timeout_ms)
{
    struct exec *exec = c->exec;
    if (journal_durable(exec->journal) >= offset || !call_may_block(c))
        return true;
    struct pending *p = exec_pending(c);
    if (!p->waits_journal) {
        p->waits_journal = true;
        c->session->flags |= SESSION_BLOCKED;
        p->journal_offset = offset;
        p->deadline_ms = timeout_ms == 0 ? INT64_MAX : exec->mono_ms + timeout_ms;
        journal_submit(exec->journal);
        uint64_t end = journal_end(exec->journal);
        journal_sync(exec->journal, offset < end ? offset : end);
    } else if (exec->mono_ms >= p->deadline_ms) {
        return true;
    }
    exec_wait_tick(p);
    c->waiting = true;
    return false;
}

void call_wait_tick(struct call *c)
{
    struct pending *p = exec_pending(c);
    p->waits_tick = true;
    exec_wait_tick(p);
    c->waiting = true;
}

uint64_t *call_ticket(struct call *c)
{
    return &exec_pending(c)->ticket;
}

void call_wait_over(struct call *c, const atomic_bool *over)
{
    struct pending *p = exec_pending(c);
    p->waits_over = over;
    exec_wait_tick(p);
    c->waiting = true;
}

void *call_kept(const struct call *c)
{
    return c->pending == NULL ? NULL : c->pending->kept;
}

void call_keep(struct call *c, void *kept, call_drop_fn *drop)
{
    struct pending *p = exec_pending(c);
    CHECK(p->drop == NULL);
    p->kept = kept;
    p->drop = drop;
}

uint64_t call_random_position(struct call *c)
{
    if (!c->has_random_position) {
        c->random_position = ks_random_position(c->ks);
        c->has_random_position = true;
    }
    if (c->pending != NULL) {
        c->pending->random_position = c->random_position;
        c->pending->has_random_position = true;
    }
    return c->random_position;
}

/* ---- Telling ----------------------------------------------------------------------------------
 */

void call_key_modified(struct call *c, const struct keyref *key)
{
    struct exec *exec = c->exec;
    exec_watch_modified(c, key);
    tracking_key_modified(exec->services->tracking, c->session, key->key);
    if (__builtin_expect(blocking_is_idle(exec->blocking), 1))
        return;
    uint32_t db = key->db == c->db ? c->session->db : exec_db_number(exec, key->db);
    blocking_signal(exec->blocking, db, key->key);
}

void call_db_emptied(struct call *c, uint32_t db)
{
    exec_watch_db_emptied(c, db);
    blocking_signal_db(c->exec->blocking, db);
}

void call_dbs_swapped(struct call *c, uint32_t a, uint32_t b)
{
    exec_watch_db_replaced(c, a, b);
    exec_watch_db_replaced(c, b, a);
    blocking_signal_db(c->exec->blocking, a);
    blocking_signal_db(c->exec->blocking, b);
}

void call_flushed(struct call *c)
{
    tracking_flushed(c->services->tracking);
}

void call_notify(struct call *c, int event_class, const char *event, struct bytes key)
{
    call_notify_db(c, event_class, event, key, c->session->db);
}

void call_notify_db(struct call *c, int event_class, const char *event, struct bytes key,
                    uint32_t db)
{
    if (__builtin_expect((c->exec->config->notify_keyspace_events & event_class) == 0, 1))
        return;
    if ((c->session->flags & SESSION_REPLAY) == 0)
        exec_notify(c->exec, event_class, event, key, db);
}

/* ---- Arguments --------------------------------------------------------------------------------
 */

bool call_arg_i64(struct call *c, int arg, int64_t *out)
{
    if (number_parse_i64(c->argv[arg], out))
        return true;
    reply_error_id(c->reply, ERROR_NOT_INTEGER);
    return false;
}

bool call_arg_range(struct call *c, int arg, int64_t min, int64_t max, int64_t *out,
                    const char *error)
{
    int64_t value = 0;
    bool parsed = number_parse_i64(c->argv[arg], &value);
    if (parsed && value >= min && value <= max) {
        *out = value;
        return true;
    }
    if (error != NULL)
        reply_error(c->reply, error);
    else if (!parsed)
        reply_error_id(c->reply, ERROR_NOT_INTEGER);
    else
        reply_error_format(c->reply, "ERR value is out of range, value must between %lld and %lld",
                           (long long)min, (long long)max);
    return false;
}

bool call_arg_f64(struct call *c, int arg, double *out)
{
    if (number_parse_f64(c->argv[arg], out))
        return true;
    reply_error_id(c->reply, ERROR_NOT_FLOAT);
    return false;
}

bool call_arg_db(struct call *c, int arg, uint32_t *out, const char *not_integer_error)
{
    int64_t value = 0;
    if (!call_arg_range(c, arg, INT32_MIN, INT32_MAX, &value, not_integer_error))
        return false;
    if (value < 0 || value >= (int64_t)ks_db_count(c->ks)) {
        reply_error(c->reply, "ERR DB index is out of range");
        return false;
    }
    *out = (uint32_t)value;
    return true;
}
