#include "server/commands/list_edit.h"

#include "server/config.h"
#include "server/notify.h"
#include "server/services.h"

struct list_rules list_rules_of(const struct call *c)
{
    const struct config *config = c->services->config;
    return (struct list_rules){.values = ks_value_rules(c->ks),
                               .node_size = config->list_max_listpack_size,
                               .plain_bytes = config->debug_list_plain_bytes};
}

void list_reply_elements(struct reply *r, const struct object *o, uint64_t from, uint64_t count,
                         bool forward)
{
    struct list_iter iter;
    struct listpack_value value;
    list_iter_init(&iter, o, from, forward);
    for (uint64_t i = 0; i < count && list_iter_next(&iter, &value); i++)
        list_reply_element(r, &value);
}

struct object *list_open(struct call *c, struct keyref *key, struct object *o)
{
    bool is_new = o == NULL;
    if (is_new)
        o = ks_create(c->ks, key, OBJECT_LIST);
    ks_change_begin(c->ks, key->db, o);
    if (is_new)
        list_init(o);
    return o;
}

void list_commit(struct call *c, struct keyref *key, struct object *o)
{
    ks_change_end(c->ks, key->db, o);
    call_key_modified(c, key);
}

void list_commit_removal(struct call *c, struct keyref *key, struct object *o, const char *event)
{
    struct list_rules rules = list_rules_of(c);
    bool empty = list_length(o) == 0;
    if (!empty)
        list_has_shrunk(o, &rules);
    ks_change_end(c->ks, key->db, o);
    call_notify(c, NOTIFY_LIST, event, key->key);
    if (empty) {
        ks_delete(c->ks, key);
        call_notify(c, NOTIFY_GENERIC, "del", key->key);
    }
    call_key_modified(c, key);
}

bool list_arg_end(struct call *c, int arg, enum list_end *out)
{
    if (call_arg_is(c, arg, "right")) {
        *out = LIST_TAIL;
    } else if (call_arg_is(c, arg, "left")) {
        *out = LIST_HEAD;
    } else {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    return true;
}

bool list_range_of(uint64_t length, int64_t start, int64_t stop, uint64_t *from_out,
                   uint64_t *count_out)
{
    int64_t len = (int64_t)length;
    if (start < 0)
        start = start < -len ? 0 : len + start;
    if (stop < 0)
        stop = stop < -len ? -1 : len + stop;
    if (start > stop || start >= len)
        return false;
    if (stop >= len)
        stop = len - 1;
    *from_out = (uint64_t)start;
    *count_out = (uint64_t)(stop - start) + 1;
    return true;
}
