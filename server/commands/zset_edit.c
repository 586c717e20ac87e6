#include "server/commands/zset_edit.h"

void zset_reply_array(struct reply *r, uint64_t count, bool scores)
{
    reply_array(r, scores && r->resp == 2 ? 2 * count : count);
}

void zset_reply_element(struct reply *r, struct bytes member, double score, bool scores)
{
    if (scores && r->resp != 2)
        reply_array(r, 2);
    reply_bulk(r, member);
    if (scores)
        reply_double(r, score);
}

void zset_removed(struct call *c, int index, struct object *o, uint64_t removed, const char *event)
{
    struct keyref *ref = &c->keys[index];
    if (removed == 0)
        return;
    bool empty = zset_count(o) == 0;
    ks_change_end(c->ks, ref->db, o);
    if (empty)
        ks_delete(c->ks, ref);
    call_key_modified(c, ref);
    call_notify(c, NOTIFY_ZSET, event, ref->key);
    if (empty)
        call_notify(c, NOTIFY_GENERIC, "del", ref->key);
    call_changed(c, removed);
}

static void delete_key(struct call *c, int index)
{
    struct keyref *ref = &c->keys[index];
    if (call_find_write(c, index) == NULL)
        return;
    ks_delete(c->ks, ref);
    call_key_modified(c, ref);
    call_notify(c, NOTIFY_GENERIC, "del", ref->key);
    call_changed(c, 1);
}

void zset_store_result(struct call *c, int index, struct zset_build *build, const char *event)
{
    struct keyref *ref = &c->keys[index];
    uint64_t count = zset_build_count(build);
    if (count == 0) {
        zset_build_destroy(build);
        delete_key(c, index);
    } else {
        (void)call_find_write(c, index); /* what has expired goes with its event */
        struct object *o = ks_create(c->ks, ref, OBJECT_ZSET);
        ks_change_begin(c->ks, ref->db, o);
        zset_build_store(build, o);
        ks_change_end(c->ks, ref->db, o);
        call_key_modified(c, ref);
        call_notify(c, NOTIFY_ZSET, event, ref->key);
        call_changed(c, 1);
    }
    reply_integer(c->reply, (int64_t)count);
}
