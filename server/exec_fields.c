/* Fields of hashes whose time has come: deleted when they are looked at, or by the active cycle.
 * The effect is their HDEL, the event "hexpired". Source: t_hash.c of Redis 7.4. */
#include "server/exec_internal.h"

#include "codec/endian.h"
#include "codec/mem.h"
#include "server/blocking.h"
#include "server/conn.h"
#include "server/notify.h"
#include "server/push.h"
#include "server/services.h"
#include "server/tracking.h"
#include "storage/types/hash.h"

#define FIELDS_AT_ONCE 256

/* Names as hash_collect_due tells them, as the arguments of HDEL. */
struct removal {
    struct bytes *argv; /* owned: HDEL, key, fields */
    int argc;
};

static void delete_names(struct object *o, const struct buf *names, struct removal *out)
{
    size_t room = 2;
    for (size_t at = 0; at < names->len; room++)
        at += 4 + load_le32(names->data + at);
    out->argv = mem_alloc(room * sizeof(*out->argv));
    out->argc = 2;
    for (size_t at = 0; at < names->len;) {
        struct bytes name = bytes_make(names->data + at + 4, load_le32(names->data + at));
        at += 4 + name.len;
        if (hash_delete(o, name))
            out->argv[out->argc++] = name;
    }
}

/* Tells everybody that the fields are gone, and deletes a hash without any. */
static void tell_removal(struct exec *exec, uint32_t db, struct keyref *ref,
                         struct removal *removal)
{
    removal->argv[0] = bytes_text("HDEL");
    removal->argv[1] = ref->key;
    exec_stage_command(exec, db, removal->argc, removal->argv);
    exec->counters.expired_fields += (uint64_t)removal->argc - 2;
    exec_watch_expired(exec, db, ref);
    exec_notify(exec, NOTIFY_HASH, "hexpired", ref->key, db);
    if (hash_count(ks_find(exec->ks, ref)) == 0) {
        ks_delete(exec->ks, ref);
        blocking_signal(exec->blocking, db, ref->key);
        exec_notify(exec, NOTIFY_GENERIC, "del", ref->key, db);
    }
    tracking_key_modified(exec->services->tracking, NULL, ref->key);
}

static void end_change(struct exec *exec, struct keyref *ref, struct object *o)
{
    hash_settle(o, ks_value_rules(exec->ks));
    ks_change_end(exec->ks, ref->db, o);
    ks_note_deadline(exec->ks, ref->db, o, hash_next_deadline(o));
}

bool call_field_is_due(const struct call *c, int64_t expire_at_ms)
{
    return expire_at_ms != OBJECT_NO_EXPIRE && expire_at_ms <= c->now_ms &&
           (c->session->flags & (SESSION_REPLAY | SESSION_MASTER)) == 0;
}

/* While clients are paused nothing is deleted. */
static bool is_paused(const struct call *c)
{
    const struct conns *conns = c->services->conns;
    return conns != NULL && conns_paused(conns) != CONNS_RUN;
}

bool call_expire_fields(struct call *c, int index, const struct buf *names)
{
    struct keyref *ref = &c->keys[index];
    if (names->len == 0 || is_paused(c))
        return false;
    struct object *o = ks_find(c->ks, ref);
    struct removal removal;
    ks_change_begin(c->ks, ref->db, o);
    delete_names(o, names, &removal);
    end_change(c->exec, ref, o);
    if (removal.argc > 2)
        tell_removal(c->exec, c->session->db, ref, &removal);
    mem_free(removal.argv);
    return ks_find(c->ks, ref) == NULL;
}

bool call_expire_hash(struct call *c, int index)
{
    struct keyref *ref = &c->keys[index];
    struct object *o = ks_find(c->ks, ref);
    int64_t next_ms = hash_next_deadline(o);
    if (next_ms == OBJECT_NO_EXPIRE || !call_field_is_due(c, next_ms) || is_paused(c))
        return false; /* what is collected must go: the hash forgets when it is due */
    struct buf names = {0};
    ks_change_begin(c->ks, ref->db, o);
    (void)hash_collect_due(o, c->now_ms, SIZE_MAX, &names);
    ks_change_end(c->ks, ref->db, o);
    bool gone = call_expire_fields(c, index, &names);
    buf_deinit(&names);
    return gone;
}

/* ---- The active cycle. */

static void loads_are_back(void *arg)
{
    (void)arg; /* the cycle looks again by itself */
}

static struct load_wait *field_wait(void *arg)
{
    struct exec *exec = arg;
    exec->field_wait.ready = loads_are_back;
    return &exec->field_wait;
}

/* Due fields that are not in RAM, of one hash at a time. */
static void ensure_due(struct exec *exec, struct keyref *ref, struct object *o, int64_t now_ms)
{
    if (!hash_due_on_disk(o, now_ms) || exec->field_wait.load_count != 0)
        return;
    struct ensure e = {
        .loader = exec->loader, .wait = field_wait, .wait_arg = exec, .db = ref->db, .o = o};
    (void)hash_ensure_due(&e, now_ms);
}

void exec_release_field_loads(struct exec *exec)
{
    if (exec->field_wait.load_count != 0 && exec->field_wait.outstanding == 0)
        load_wait_release(exec->loader, &exec->field_wait);
}

void exec_expire_fields(struct exec *exec, uint32_t db, struct keyref *ref)
{
    struct object *o = ks_find(exec->ks, ref);
    int64_t now_ms = exec_now_ms(exec);
    ensure_due(exec, ref, o, now_ms);
    struct buf names = {0};
    struct removal removal;
    ks_change_begin(exec->ks, ref->db, o);
    (void)hash_collect_due(o, now_ms, FIELDS_AT_ONCE, &names);
    delete_names(o, &names, &removal);
    end_change(exec, ref, o);
    if (removal.argc > 2)
        tell_removal(exec, db, ref, &removal);
    mem_free(removal.argv);
    buf_deinit(&names);
}
