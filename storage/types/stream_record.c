/* Streams in records: a small one whole, of a large one the header. Source: FORMAT.md, "Stream". */
#include "storage/types/stream_internal.h"
#include "storage/types/stream_reader.h"

#include "codec/check.h"
#include "storage/value_type.h"

#include <string.h>

#define FREE_NODES_LONG 64u

/* ---- Life -------------------------------------------------------------------------------------
 */

struct stream *stream_create(void)
{
    struct stream *s = mem_calloc(1, sizeof(*s));
    s->loaded = STREAM_ALL_LOADED;
    s->next_group = 1;
    return s;
}

void stream_init(struct object *o)
{
    o->type = OBJECT_STREAM;
    o->encoding = ENCODING_STREAM;
    o->value.pointer = stream_create();
}

void stream_free(void *value)
{
    struct stream *s = value;
    parts_deinit(&s->parts);
    for (uint32_t i = 0; i < s->page_count; i++) {
        struct stream_page *page = stream_page(s, i);
        for (uint32_t ref = 0; ref < page->part->count; ref++)
            mem_free(page->nodes[ref]);
        mem_free(page->nodes);
        mem_free(page->part);
    }
    for (uint32_t i = 0; i < s->group_count; i++)
        stream_free_group(s->groups[i]);
    mem_free(s->groups);
    mem_free(s->pages);
    mem_free(s);
}

static size_t pending_bytes(const struct stream *s)
{
    /* two indexes of three words an entry, about */
    return (size_t)s->pending_count * 2 * sizeof(struct id_entry);
}

static const char *stream_encoding_name(const struct object *o)
{
    (void)o;
    return "stream";
}

static size_t stream_bytes(const struct object *o)
{
    const struct stream *s = stream_of(o);
    return sizeof(*s) + s->bytes + pending_bytes(s) + s->parts.dirty_capacity * sizeof(void *);
}

static size_t stream_dirty_bytes(const struct object *o)
{
    const struct stream *s = stream_of(o);
    return stream_is_large(s) ? 128 + s->parts.dirty_bytes : sizeof(*s) + s->bytes;
}

static void *stream_take(struct object *o, object_free_fn **free_out)
{
    void *value = o->value.pointer;
    *free_out = stream_free;
    o->encoding = ENCODING_NONE;
    o->large = 0;
    o->value.pointer = NULL;
    return value;
}

static bool stream_free_is_long(const struct object *o)
{
    const struct stream *s = stream_of(o);
    return s->node_count + s->pending_count > FREE_NODES_LONG;
}

/* Each part of `s` becomes dirty, as none is stored yet. */
static void add_all_parts(struct stream *s)
{
    for (uint32_t i = 0; i < s->page_count; i++) {
        struct stream_page *page = stream_page(s, i);
        parts_add(&s->parts, part_of(page->part));
        for (uint32_t ref = 0; ref < page->part->count; ref++)
            parts_add(&s->parts, part_of(page->nodes[ref]));
    }
    for (uint32_t i = 0; i < s->group_count; i++) {
        struct stream_group *group = s->groups[i];
        struct id_walk walk;
        struct id_entry entry;
        parts_add(&s->parts, part_of(group->part));
        for (uint32_t c = 0; c < group->consumer_count; c++)
            parts_add(&s->parts, part_of(group->consumers[c]->part));
        id_walk_init(&walk, &group->pending, (struct stream_id){0, 0});
        while (id_walk_next(&walk, &entry))
            parts_add(&s->parts, part_of(entry.value));
    }
}

void stream_settle(struct object *o, const struct value_rules *rules)
{
    struct stream *s = stream_of(o);
    if (stream_is_large(s) || s->bytes <= rules->large_bytes)
        return;
    parts_init(&s->parts, rules->new_id(rules->arg));
    o->large = 1;
    add_all_parts(s);
}

/* ---- Writing ----------------------------------------------------------------------------------
 */

static void put_varint(struct buf *out, uint64_t value)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    buf_append(out, bytes, varint_encode(value, bytes));
}

static void put_id(struct buf *out, struct stream_id id)
{
    put_varint(out, id.ms);
    put_varint(out, id.seq);
}

static void put_bytes(struct buf *out, struct bytes bytes)
{
    put_varint(out, bytes.len);
    buf_append_bytes(out, bytes);
}

static void put_header(struct buf *out, const struct stream *s)
{
    put_varint(out, s->length);
    put_id(out, s->last_id);
    put_id(out, s->first_id);
    put_id(out, s->max_deleted_id);
    put_varint(out, s->entries_added);
    put_varint(out, s->next_page);
    put_varint(out, s->next_group);
}

static void put_group(struct buf *out, const struct stream_group *group)
{
    struct id_walk walk;
    struct id_entry entry;
    put_varint(out, group->part->number);
    stream_part_value((const struct part *)(const void *)group->part, out);
    put_varint(out, group->consumer_count);
    for (uint32_t i = 0; i < group->consumer_count; i++) {
        const struct stream_consumer_part *part = group->consumers[i]->part;
        put_varint(out, part->number);
        stream_part_value((const struct part *)(const void *)part, out);
    }
    put_varint(out, group->pending.count);
    id_walk_init(&walk, &group->pending, (struct stream_id){0, 0});
    while (id_walk_next(&walk, &entry)) {
        put_id(out, entry.id);
        stream_part_value(entry.value, out);
    }
}

static void put_node(void *arg, struct stream_id id, struct bytes listpack)
{
    put_id(arg, id);
    put_bytes(arg, listpack);
}

static uint8_t stream_encode(const struct object *o, struct buf *payload)
{
    const struct stream *s = stream_of(o);
    if (stream_is_large(s)) {
        uint8_t id[8];
        store_le64(id, s->parts.object_id);
        buf_append(payload, id, sizeof(id));
        put_header(payload, s);
        put_varint(payload, s->node_count);
        put_varint(payload, s->stored_bytes);
        return 0;
    }
    put_header(payload, s);
    put_varint(payload, s->node_count);
    stream_each_node(s, put_node, payload);
    put_varint(payload, s->group_count);
    for (uint32_t i = 0; i < s->group_count; i++)
        put_group(payload, s->groups[i]);
    return 0;
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

static void read_header(struct stream_reader *r, struct stream *s)
{
    s->length = read_varint(r);
    s->last_id = read_id(r);
    s->first_id = read_id(r);
    s->max_deleted_id = read_id(r);
    s->entries_added = read_varint(r);
    s->next_page = read_varint(r);
    s->next_group = read_u32(r);
}

static void read_node(struct stream_reader *r, struct stream *s, uint64_t *entries)
{
    struct stream_id id = read_id(r);
    struct bytes listpack = read_bytes(r);
    uint64_t count = 0;
    bool ascends =
        s->page_count == 0 ||
        stream_id_compare(id, stream_page(s, s->page_count - 1)
                                  ->part->refs[stream_page(s, s->page_count - 1)->part->count - 1]
                                  .first) > 0;
    if (!r->sound || !ascends || stream_node_validate(listpack, &count, NULL) != ST_OK) {
        r->sound = false;
        return;
    }
    *entries += count;
    stream_append_node(s, id, listpack);
}

static void read_group(struct stream_reader *r, struct stream *s)
{
    uint32_t number = read_u32(r);
    struct stream_group_part *group = read_group_part(r, number);
    if (group == NULL)
        return;
    stream_add_part(s, group, STREAM_GROUP);
    if (!stream_insert_group(s, group)) {
        mem_free(group);
        r->sound = false;
        return;
    }
    for (uint64_t n = read_varint(r); n != 0 && r->sound; n--) {
        uint32_t consumer = read_u32(r);
        struct stream_consumer_part *part = read_consumer_part(r, number, consumer);
        if (part == NULL)
            return;
        stream_add_part(s, part, STREAM_CONSUMER);
        if (!stream_insert_consumer(s, part)) {
            mem_free(part);
            r->sound = false;
        }
    }
    for (uint64_t n = read_varint(r); n != 0 && r->sound; n--) {
        struct stream_id id = read_id(r);
        struct stream_pending_part *part = read_pending_part(r, number, id);
        if (part == NULL)
            return;
        stream_add_part(s, part, STREAM_PENDING);
        if (!stream_insert_pending(s, part)) {
            mem_free(part);
            r->sound = false;
        }
    }
}

static enum status decode_large(struct object *o, struct bytes payload)
{
    if (payload.len < 8)
        return ST_CORRUPT;
    struct stream_reader r = {.at = payload.data + 8, .left = payload.len - 8, .sound = true};
    uint64_t object_id = load_le64(payload.data);
    struct stream *s = stream_create();
    read_header(&r, s);
    s->node_count = read_varint(&r);
    s->stored_bytes = read_varint(&r);
    if (!r.sound || r.left != 0 || object_id == 0) {
        stream_free(s);
        return ST_CORRUPT;
    }
    parts_init(&s->parts, object_id);
    s->parts.stored = true;
    s->loaded = 0;
    o->encoding = ENCODING_STREAM;
    o->large = 1;
    o->value.pointer = s;
    return ST_OK;
}

static enum status stream_decode(struct object *o, const struct record_header *header,
                                 struct bytes payload, const struct value_rules *rules)
{
    (void)rules;
    if (header->encoding != 0)
        return ST_CORRUPT;
    if (header->large)
        return decode_large(o, payload);
    struct stream_reader r = {.at = payload.data, .left = payload.len, .sound = true};
    struct stream *s = stream_create();
    uint64_t entries = 0;
    read_header(&r, s);
    uint64_t next_page = s->next_page;
    s->next_page = 0; /* pages are made anew */
    for (uint64_t n = read_varint(&r); n != 0 && r.sound; n--)
        read_node(&r, s, &entries);
    for (uint64_t n = read_varint(&r); n != 0 && r.sound; n--)
        read_group(&r, s);
    if (s->next_page < next_page)
        s->next_page = next_page;
    if (!r.sound || r.left != 0 || entries != s->length) {
        stream_free(s);
        return ST_CORRUPT;
    }
    o->encoding = ENCODING_STREAM;
    o->value.pointer = s;
    return ST_OK;
}

/* ---- Copying ----------------------------------------------------------------------------------
 */

static void copy_node(void *arg, struct stream_id id, struct bytes listpack)
{
    stream_append_node(arg, id, listpack);
}

static void copy_group(struct stream *to, const struct stream_group *from)
{
    struct stream_group *group = stream_create_group(to, stream_group_name(from),
                                                     from->part->last_id, from->part->entries_read);
    struct id_walk walk;
    struct id_entry entry;
    for (uint32_t i = 0; i < from->consumer_count; i++) {
        const struct stream_consumer *source = from->consumers[i];
        struct stream_consumer *consumer =
            stream_create_consumer(to, group, stream_consumer_name(source), 0);
        stream_set_consumer_times(to, consumer, source->part->seen_at_ms,
                                  source->part->active_at_ms);
        id_walk_init(&walk, &source->pending, (struct stream_id){0, 0});
        while (id_walk_next(&walk, &entry)) {
            const struct stream_pending_part *pending = entry.value;
            stream_put_pending(to, group, consumer, entry.id, pending->delivered_at_ms,
                               pending->deliveries);
        }
    }
}

static void stream_copy(struct object *to, const struct object *from,
                        const struct value_rules *rules)
{
    const struct stream *source = stream_of(from);
    stream_init(to);
    struct stream *s = stream_of(to);
    stream_each_node(source, copy_node, s);
    s->length = source->length;
    s->last_id = source->last_id;
    s->first_id = source->first_id;
    s->max_deleted_id = source->max_deleted_id;
    s->entries_added = source->entries_added;
    for (uint32_t i = 0; i < source->group_count; i++)
        copy_group(s, source->groups[i]);
    stream_settle(to, rules);
}

static struct parts *stream_parts(const struct object *o)
{
    return &stream_of(o)->parts;
}

const struct value_type stream_value_type = {
    .encoding_name = stream_encoding_name,
    .bytes = stream_bytes,
    .dirty_bytes = stream_dirty_bytes,
    .take = stream_take,
    .free_is_long = stream_free_is_long,
    .encode = stream_encode,
    .decode = stream_decode,
    .copy = stream_copy,
    .parts = stream_parts,
    .encode_part = stream_encode_part,
    .forget_part = stream_forget_part,
    .install_part = stream_install_part,
    .installed_range = stream_installed_range,
    .ensure_all = stream_ensure_all,
    .drop_clean = stream_drop_clean,
};
