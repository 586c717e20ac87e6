#include "server/commands/hash_edit.h"

#include "codec/endian.h"
#include "codec/number.h"

struct object *hash_edit_begin(struct call *c, int index, struct object *o)
{
    struct keyref *ref = &c->keys[index];
    bool is_new = o == NULL;
    if (is_new)
        o = ks_create(c->ks, ref, OBJECT_HASH);
    ks_change_begin(c->ks, ref->db, o);
    if (is_new)
        hash_init(o);
    return o;
}

bool hash_edit_end(struct call *c, int index, struct object *o)
{
    struct keyref *ref = &c->keys[index];
    hash_settle(o, ks_value_rules(c->ks));
    bool empty = hash_count(o) == 0;
    ks_change_end(c->ks, ref->db, o);
    if (empty)
        ks_delete(c->ks, ref);
    return empty;
}

void hash_edit_done(struct call *c, int index, struct object *o, const char *event)
{
    bool emptied = hash_edit_end(c, index, o);
    call_key_modified(c, &c->keys[index]);
    call_notify(c, NOTIFY_HASH, event, c->keys[index].key);
    if (emptied)
        call_notify(c, NOTIFY_GENERIC, "del", c->keys[index].key);
}

static void append_name(struct buf *names, struct bytes name)
{
    uint8_t len[4];
    store_le32(len, (uint32_t)name.len);
    buf_append(names, len, sizeof(len));
    buf_append_bytes(names, name);
}

bool hash_find(const struct call *c, const struct object *o, struct bytes field,
               struct hash_value *out, struct buf *due)
{
    if (o == NULL || !hash_get(o, field, out))
        return false;
    if (__builtin_expect(!call_field_is_due(c, out->expire_at_ms), 1))
        return true;
    append_name(due, field);
    return false;
}

bool hash_find_write(struct call *c, int index, struct object **o, struct bytes field,
                     struct hash_value *out)
{
    struct buf due = {0};
    bool found = hash_find(c, *o, field, out, &due);
    if (due.len != 0 && call_expire_fields(c, index, &due))
        *o = NULL;
    buf_deinit(&due);
    return found;
}

void hash_expire_named(struct call *c, int index, struct object **o, const struct bytes *fields,
                       size_t count, size_t step)
{
    struct buf due = {0};
    struct hash_value value;
    for (size_t i = 0; *o != NULL && i < count && hash_has_deadlines(*o); i++)
        (void)hash_find(c, *o, fields[i * step], &value, &due);
    if (due.len != 0 && call_expire_fields(c, index, &due))
        *o = NULL;
    buf_deinit(&due);
}

bool hash_read_fields(struct call *c, int at, const char *not_positive, const struct bytes **fields,
                      int *count)
{
    if (at + 1 >= c->argc || !call_arg_is(c, at, "fields")) {
        reply_error(c->reply,
                    "ERR Mandatory argument FIELDS is missing or not at the right position");
        return false;
    }
    int64_t number = 0;
    if (!call_arg_range(c, at + 1, 1, INT64_MAX, &number, not_positive))
        return false;
    if (number != c->argc - at - 2) {
        reply_error(c->reply, "ERR The `numfields` parameter must match the number of arguments");
        return false;
    }
    *fields = c->argv + at + 2;
    *count = (int)number;
    return true;
}

bool hash_peek_fields(const struct bytes *argv, int argc, int at, const struct bytes **fields,
                      size_t *count, size_t step)
{
    while (at < argc && !bytes_equal_nocase(argv[at], "fields"))
        at++;
    if (at + 2 >= argc)
        return false;
    *fields = argv + at + 2;
    *count = ((size_t)(argc - at - 2) + step - 1) / step;
    return true;
}
