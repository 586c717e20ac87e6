#include "server/commands/string_edit.h"

#include "server/config.h"
#include "server/services.h"

/* Room behind a key that is worth giving back when the value has moved to the heap. */
#define WASTED_ROOM_BYTES_MAX 64

/* ---- Replying. */

void string_reply_range(struct reply *r, const struct object *o, uint64_t from, uint64_t to)
{
    struct string_reader reader;
    string_reader_init(&reader, o, from, to);
    reply_bulk_begin(r, reader.end - reader.at);
    struct bytes piece;
    while (string_reader_next(&reader, &piece))
        reply_bulk_part(r, piece);
    reply_bulk_end(r);
}

/* ---- Storing. */

struct object *string_store(struct call *c, int index, const struct string_plan *plan)
{
    struct keyref *ref = &c->keys[index];
    struct object *o = ks_store_string(c->ks, ref, plan);
    call_key_modified(c, ref);
    return o;
}

/* ---- Changing in place. */

uint64_t string_bytes_max(const struct call *c)
{
    uint64_t bytes_max = STRING_CHUNKS_MAX * ks_string_rules(c->ks)->chunk_bytes;
    uint64_t setting = (uint64_t)c->services->config->proto_max_bulk_len;
    bool obeys = (c->session->flags & (SESSION_REPLAY | SESSION_MASTER)) != 0;
    return obeys || setting > bytes_max ? bytes_max : setting;
}

bool string_check_len(struct call *c, uint64_t offset, uint64_t len)
{
    uint64_t end;
    if (!__builtin_add_overflow(offset, len, &end) && end <= string_bytes_max(c))
        return true;
    reply_error_id(c->reply, ERROR_STRING_TOO_LONG);
    return false;
}

static bool is_beside_key(const struct object *o)
{
    return o->encoding == ENCODING_INLINE || o->encoding == ENCODING_INT;
}

struct object *string_edit_begin(struct call *c, int index, struct object *o, uint64_t len)
{
    struct keyref *ref = &c->keys[index];
    bool is_new = o == NULL;
    if (is_new)
        o = ks_create(c->ks, ref, OBJECT_STRING);
    ks_change_begin(c->ks, ref->db, o);
    if (is_new)
        string_init_empty(o);
    /* A short value stays behind its key: cheaper than a block of its own. One that grows gets
     * twice the room, as it is likely to go on. */
    if (is_beside_key(o) && len <= STRING_INLINE_BYTES_MAX && len > string_inline_room(o)) {
        size_t room = is_new || 2 * len > STRING_INLINE_BYTES_MAX ? len : 2 * len;
        o = ks_resize_inline(c->ks, ref, room);
    }
    return o;
}

void string_edit_end(struct call *c, int index, struct object *o)
{
    struct keyref *ref = &c->keys[index];
    if (!is_beside_key(o) && string_inline_room(o) > WASTED_ROOM_BYTES_MAX)
        o = ks_resize_inline(c->ks, ref, 0);
    ks_change_end(c->ks, ref->db, o);
}
