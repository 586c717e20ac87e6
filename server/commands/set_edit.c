#include "server/commands/set_edit.h"

struct object *set_edit_begin(struct call *c, int index, struct object *o, struct bytes first,
                              size_t count)
{
    struct keyref *ref = &c->keys[index];
    const struct value_rules *rules = ks_value_rules(c->ks);
    bool is_new = o == NULL;
    if (is_new)
        o = ks_create(c->ks, ref, OBJECT_SET);
    ks_change_begin(c->ks, ref->db, o);
    if (is_new)
        set_init(o, rules, first, count);
    else
        set_expect(o, rules, count);
    return o;
}

bool set_edit_end(struct call *c, int index, struct object *o)
{
    struct keyref *ref = &c->keys[index];
    set_settle(o, ks_value_rules(c->ks));
    bool empty = set_count(o) == 0;
    ks_change_end(c->ks, ref->db, o);
    if (empty)
        ks_delete(c->ks, ref);
    return empty;
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

void set_store_result(struct call *c, int index, struct object *result, const char *event)
{
    struct keyref *ref = &c->keys[index];
    uint64_t count = set_count(result);
    if (count == 0) {
        delete_key(c, index);
        reply_integer(c->reply, 0);
        return;
    }
    (void)call_find_write(c, index); /* what has expired goes, with its event */
    struct object *o = ks_create(c->ks, ref, OBJECT_SET);
    ks_change_begin(c->ks, ref->db, o);
    set_move(o, result);
    set_settle(o, ks_value_rules(c->ks));
    ks_change_end(c->ks, ref->db, o);
    call_key_modified(c, ref);
    call_notify(c, NOTIFY_SET, event, ref->key);
    call_changed(c, 1);
    reply_integer(c->reply, (int64_t)count);
}
