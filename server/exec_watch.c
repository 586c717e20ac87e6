/* Tells WATCH what commands change. */
#include "server/exec_internal.h"

#include "server/exec_nested.h"
#include "server/multi.h"

static void mark(void *arg, struct session *session)
{
    struct exec *exec = arg;
    multi_dirty(exec->watches, session);
}

static bool nothing_watched(const struct exec *exec)
{
    return __builtin_expect(watches_key_count(exec->watches) == 0, 1);
}

void exec_watch_modified(struct call *c, const struct keyref *ref)
{
    struct exec *exec = c->exec;
    if (nothing_watched(exec))
        return;
    struct watch_key key = {.db = ref->db == c->db ? c->session->db : exec_db_number(exec, ref->db),
                            .position = ref->position,
                            .name = ref->key};
    watch_touch(exec->watches, &key, mark, exec);
}

void exec_watch_expired(struct exec *exec, uint32_t db, const struct keyref *ref)
{
    if (nothing_watched(exec))
        return;
    struct watch_key key = {.db = db, .position = ref->position, .name = ref->key};
    watch_touch_expired(exec->watches, &key, mark, exec);
}

/* ---- Databases as a whole. */

struct replacement {
    struct call *call;
    uint32_t db;
};

static bool is_live(void *arg, const struct watch_key *key)
{
    const struct replacement *by = arg;
    const struct call *c = by->call;
    struct keyref ref;
    ks_ref_at(c->ks, ks_db(c->ks, by->db), key->name, key->position, &ref);
    return call_is_live(c, ks_find(c->ks, &ref));
}

void exec_watch_db_emptied(struct call *c, uint32_t db)
{
    watch_touch_db(c->exec->watches, db, NULL, NULL, mark, c->exec);
}

void exec_watch_db_replaced(struct call *c, uint32_t db, uint32_t by)
{
    struct replacement replacement = {.call = c, .db = by};
    watch_touch_db(c->exec->watches, db, is_live, &replacement, mark, c->exec);
}

static void want(void *arg, const struct watch_key *key)
{
    const struct replacement *by = arg;
    call_want_key(by->call, by->db, key->name);
}

bool call_wait_swap(struct call *c, uint32_t a, uint32_t b)
{
    struct replacement by_b = {.call = c, .db = b};
    struct replacement by_a = {.call = c, .db = a};
    watch_visit_absent(c->exec->watches, a, want, &by_b);
    watch_visit_absent(c->exec->watches, b, want, &by_a);
    return call_wanted(c);
}
